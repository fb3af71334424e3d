//! The lines of a ladder that look into the records and the listing of calls.

use std::time::Duration;

use serde_json::Value;
use umbra::call::recording::Control;

use super::{Play, Stage};

impl<S: Stage> Play<S> {
    fn wait_for_cdrs(&mut self, count: usize) -> Vec<Value> {
        let deadline = self.cast.stage.now() + Duration::from_secs(5);
        loop {
            let cdrs = self.cast.stage.cdrs();
            let now = self.cast.stage.now();
            if cdrs.len() >= count || now >= deadline {
                return cdrs;
            }
            if let Some(cue) = self.cast.step(now + Duration::from_millis(50)) {
                self.note(cue);
            }
        }
    }

    /// Words with the media addresses of phones in them: `A'S MEDIA`.
    fn with_addresses(&self, words: &str) -> String {
        self.cast.phones.iter().fold(words.to_owned(), |words, phone| {
            let media = phone
                .calls
                .last()
                .map_or(String::new(), |call| call.media.to_string());
            words.replace(&format!("{}'S MEDIA", phone.name), &media)
        })
    }

    /// What a listing says of the live calls' audio, one line a call.
    pub(super) fn calls(&mut self, more: &[String]) -> Result<(), String> {
        let said = self.cast.stage.audio();
        let wanted: Vec<String> = more.iter().map(|words| self.with_addresses(words)).collect();
        if said == wanted {
            Ok(())
        } else {
            Err(format!("the listing says {said:?}"))
        }
    }

    pub(super) fn cdr(&mut self, fields: &[&str], more: &[String]) -> Result<(), String> {
        let cdrs = self.wait_for_cdrs(self.cdrs_seen + 1);
        let Some(cdr) = cdrs.get(self.cdrs_seen) else {
            return Err("there is no further record".into());
        };
        self.cdrs_seen += 1;
        for field in fields {
            let at_least = field.split_once('≥');
            let (key, wanted) = at_least
                .or_else(|| field.split_once('='))
                .ok_or("a field is key=value or key≥number")?;
            let key = match key {
                "status" => "sip_status",
                key => key,
            };
            let value = key
                .split('.')
                .fold(cdr, |value, part| match part.parse::<usize>() {
                    Ok(index) => &value[index],
                    Err(_) => &value[part],
                });
            let is = match value {
                Value::Null => "none".to_owned(),
                Value::String(text) => text.clone(),
                Value::Array(list) => list.len().to_string(),
                other => other.to_string(),
            };
            let wanted = self.name(wanted);
            let number = |text: &str| text.parse::<u64>().ok();
            let ok = at_least.is_some() && number(&is) >= number(&wanted)
                || is == wanted
                // A line's words have no spaces.
                || is.replace(' ', "_") == wanted
                || (wanted == "some" && is != "none");
            if !ok {
                return Err(format!("{key} is {is}, not {wanted}\n  {cdr}"));
            }
        }
        for words in more {
            let wanted = self.with_addresses(words);
            if cdr["media"]["audio"] != wanted.as_str() {
                return Err(format!(
                    "it says of the audio: {}\n  not {wanted}",
                    cdr["media"]["audio"]
                ));
            }
        }
        Ok(())
    }

    /// Somebody pauses the recording of the call, or goes on with it.
    pub(super) fn control(&mut self, control: Control) -> Result<(), String> {
        self.cast.stage.control_recordings(control);
        Ok(())
    }

    /// What the recorder was told since the last such line, in order; and what it heard, if that is asked.
    pub(super) fn recording(&mut self, wanted: &[&str]) -> Result<(), String> {
        let (told, packets) = self.cast.stage.recording();
        let is_seen = |word: &&&str| packets.is_some() || word.starts_with("not:") || **word == "over";
        let heard = wanted.iter().find(|word| word.starts_with("heard="));
        let wanted: Vec<&str> = (wanted.iter().copied())
            .filter(|word| !word.starts_with("heard=") && *word != "none")
            .filter(|word| is_seen(&word))
            .collect();
        if told != wanted {
            return Err(format!("the recorder was told {told:?}"));
        }
        let said = packets.map(|[caller, callee]| format!("heard={caller},{callee}"));
        match (heard, said) {
            (Some(heard), Some(said)) if *heard != said => Err(format!("it has {said}")),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    pub(super) fn no_cdr(&mut self) -> Result<(), String> {
        self.wait("100ms")?;
        match self.cast.stage.cdrs().get(self.cdrs_seen) {
            Some(cdr) => Err(format!("there is a record: {cdr}")),
            None => Ok(()),
        }
    }
}

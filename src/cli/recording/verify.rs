//! `umbra recording verify`

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::files::{self, KeyFolder};
use crate::api::native::recording_verdict;
use crate::base::id::Id;
use crate::base::text;
use crate::cli::client::Control;
use crate::cli::screen::{self, Form};
use crate::cli::when;
use crate::records::recordings::chain::Sha;
use crate::records::recordings::seal::Keys;
use crate::records::recordings::verify::{Change, Compared, Seals, Verdict, moment, verify};
use crate::records::recordings::{Place, is_busy};

const ABOUT: &str = "\
Say whether recordings are as they were written. Each byte of the audio is compared with the chain beside it, and the chain \
with itself, so that whatever was changed, cut off, added or exchanged is named with its block and its time.

A chain that was made anew together with its audio is only found by the digits of its end, which the audit log has: --sha256. \
The running server, asked for an ID, takes those of its audit log. What the end was compared with is said each time.

Exit code 0: all that is there is as it was written; a recording that still runs is said to be unfinished. 1: something \
isn't, or can't be read.";

/// What can be done where the server had no key.
const UNCHECKED_BY_SERVER: &str = "put the key that sealed it into the server's recordings.keys, or verify the server's own files \
     with --keys DIR";

/// What `recording verify` takes.
#[derive(Args, Debug)]
#[command(long_about = ABOUT)]
pub struct Verify {
    /// Files of recordings (.wav, .rtpdump, .sealed or .chain), folders with all that is in them, or the IDs of recordings
    /// that the running server has
    #[arg(required = true, value_name = "PATH|ID")]
    what: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyFolder,
    /// The digits of the end of the one recording that is named, as the audit log has them
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    sha256: Option<Sha>,
    #[command(flatten)]
    form: Form,
}

fn digest(digits: &str) -> Result<Sha, String> {
    let digits = digits.trim().to_ascii_lowercase();
    text::unhex(digits.as_bytes())
        .map(Sha)
        .ok_or_else(|| "a digest is 64 hexadecimal digits".to_owned())
}

/// What was found of one recording.
struct Checked {
    /// Its fields for programs.
    fields: Map<String, Value>,
    /// What is said of it, behind its name.
    sentence: String,
    is_right: bool,
}

impl Verify {
    /// Says of each recording whether it is as it was written.
    ///
    /// # Errors
    /// One isn't, or can't be read.
    pub fn run(
        self,
        control: impl FnOnce() -> anyhow::Result<Control>,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        // What is a file here is no id.
        let id = |path: &PathBuf| path.to_str().filter(|_| !path.exists())?.parse::<Id>().ok();
        let ids: Vec<Id> = self.what.iter().filter_map(id).collect();
        let paths: Vec<PathBuf> = self
            .what
            .iter()
            .filter(|path| id(path).is_none())
            .cloned()
            .collect();
        let places = files::all(&paths)?;
        let keys = self.keys.given()?;
        if self.sha256.is_some() && ids.len() + places.len() != 1 {
            bail!("--sha256 is of one recording: name that one alone");
        }
        let control = match ids.is_empty() {
            true => None,
            false => Some(control()?),
        };
        let on_disk = places
            .iter()
            .map(|place| local(place, keys.as_ref(), self.sha256));
        let asked = control.iter().flat_map(|control| {
            let expected = self.sha256;
            ids.iter().map(move |id| ask(control, *id, expected))
        });
        let (mut rows, mut right, mut wrong) = (Vec::new(), 0, Vec::new());
        for checked in on_disk.chain(asked) {
            match checked.is_right {
                true => right += 1,
                false => wrong.push(checked.sentence.clone()),
            }
            if self.form.json {
                rows.push(Value::Object(checked.fields));
            } else if checked.is_right || ids.len() + places.len() > 1 {
                writeln!(out, "{}", checked.sentence)?;
            }
        }
        if self.form.json {
            screen::write_json_rows(out, &rows)?;
        }
        match wrong.as_slice() {
            [] => Ok(()),
            [one] if right == 0 => bail!("{one}"),
            [_, ..] => bail!(
                "{} of {} recordings aren't as they were written, or can't be read",
                wrong.len(),
                wrong.len() + right
            ),
        }
    }
}

/// What is found of a recording on this machine's disk.
fn local(place: &Place, keys: Option<&Keys>, expected: Option<Sha>) -> Checked {
    let shown = place.day.join(place.recording.to_string());
    let shown = shown.display();
    let mut fields = Map::new();
    fields.insert("recording".into(), place.recording.to_string().into());
    fields.insert("folder".into(), place.day.display().to_string().into());
    let verdict = match verify(place, keys.unwrap_or(&Keys::default()), expected) {
        Ok(verdict) => verdict,
        Err(error) => return unreadable(fields, &shown.to_string(), &error.to_string()),
    };
    let moment = match verdict {
        Verdict::Changed { block, .. } if block > 0 => moment(place, block),
        Verdict::Torn { blocks } => moment(place, blocks + 1),
        Verdict::Changed { .. } | Verdict::Whole { .. } | Verdict::Unfinished { .. } => None,
    };
    let compared = expected.map_or(Compared::Nothing, |_| Compared::Given);
    let mut sentence = format!("{shown}: {}", verdict.said(compared));
    if let Some(moment) = &moment {
        let after_s = moment.after.as_secs_f64();
        sentence += &format!(
            ", {after_s:.1} s after its begin ({})",
            when::show_time(moment.at)
        );
        fields.insert("after_s".into(), after_s.into());
        fields.insert("at".into(), moment.at.to_string().into());
    }
    if let Value::Object(said) = recording_verdict(&verdict, compared) {
        fields.extend(said);
    }
    let is_written = is_busy(place);
    if let Verdict::Whole { sha256, .. } = &verdict {
        sentence += &format!("; sha256 {sha256}");
    }
    let cure = match &verdict {
        Verdict::Whole {
            seals: Seals::Unchecked,
            ..
        } if keys.is_some() => Some(
            "the key that sealed it isn't in the folder that was given (--keys), though another one of its name may be: \
             an earlier one is named NAME.until-DATE.aes-256-gcm there",
        ),
        Verdict::Whole { .. } | Verdict::Unfinished { .. } => None,
        Verdict::Torn { .. } if is_written => None,
        Verdict::Torn { .. } => {
            Some("start a server on that folder: it goes on with it, or ends it before what is torn")
        }
        Verdict::Changed { what, .. } => Some(cure(*what)),
    };
    if let Some(cure) = cure {
        sentence += &format!(": {cure}");
        fields.insert("cure".into(), cure.into());
    }
    if is_written {
        sentence += "; a server is writing it";
    }
    fields.insert("sentence".into(), sentence.clone().into());
    Checked {
        fields,
        sentence,
        is_right: cure.is_none(),
    }
}

/// What can be done about it.
const fn cure(what: Change) -> &'static str {
    match what {
        Change::Head
        | Change::Line
        | Change::LineRemoved
        | Change::LineMoved
        | Change::LinesAdded
        | Change::EndRemoved
        | Change::End => {
            "keep these files as they are, and verify the chain of a copy or backup beside the same audio"
        }
        Change::Name => "give both files the name back that the chain's first line says (recording)",
        Change::NoAudio => "put its audio file back beside its chain, under the same ID",
        Change::Header | Change::Audio | Change::AudioCut | Change::AudioAdded => {
            "keep these files as they are, and verify the audio of a copy or backup beside the same chain"
        }
        Change::Replaced => {
            "compare the digits with those in the audit log; if they are right, look for the first files in a copy or backup"
        }
        Change::Seal => "keep these files as they are, and look for the first ones in a copy or backup",
    }
}

/// What the running server finds.
fn ask(control: &Control, id: Id, expected: Option<Sha>) -> Checked {
    let body = expected.map_or_else(|| json!({}), |sha| json!({"sha256": sha}));
    let mut fields = Map::new();
    fields.insert("recording".into(), id.to_string().into());
    let asked = control.send_patiently(Method::POST, &format!("/v1/recordings/{id}/verify"), Some(&body));
    let answer = match asked {
        Ok(answer) => answer,
        Err(trouble) => return unreadable(fields, &id.to_string(), &trouble.to_string()),
    };
    let (verdict, mut sentence) = (
        screen::text(&answer, "verdict"),
        screen::text(&answer, "sentence"),
    );
    if screen::text(&answer, "seals") == "unchecked" {
        sentence += ": ";
        sentence += UNCHECKED_BY_SERVER;
        fields.insert("cure".into(), UNCHECKED_BY_SERVER.into());
    }
    if let Value::Object(answer) = answer {
        fields.extend(answer);
    }
    Checked {
        fields,
        sentence: format!("{id}: {sentence}"),
        is_right: matches!(verdict.as_str(), "whole" | "unfinished"),
    }
}

/// One that nobody could look at.
fn unreadable(mut fields: Map<String, Value>, shown: &str, why: &str) -> Checked {
    fields.extend([
        ("verdict".to_owned(), json!("unreadable")),
        ("sentence".to_owned(), why.into()),
    ]);
    Checked {
        fields,
        sentence: format!("{shown}: {why}"),
        is_right: false,
    }
}

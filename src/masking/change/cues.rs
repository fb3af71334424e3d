//! The sounds of a binding, as bytes: whether there are any, and which.

use super::question::put_hearers;
use super::{BadRecord, Reader, put_text_option, question};
use crate::masking::cues::{Cues, Early};

/// Nothing is asked for.
const NONE: u8 = 0;
/// Everything that [`Cues`] has.
const ALL: u8 = 1;

pub(super) fn put(out: &mut Vec<u8>, cues: Option<&Cues>) {
    let Some(cues) = cues else {
        return out.push(NONE);
    };
    let Cues {
        last_minute,
        early_media,
        waiting_caller,
        waiting_callee,
        whisper,
        record_tone,
        question,
    } = cues;
    out.push(ALL);
    for hearers in [last_minute, record_tone] {
        put_hearers(out, *hearers);
    }
    out.push(match early_media {
        None => 0,
        Some(Early::Relay) => 1,
        Some(Early::Keep) => 2,
    });
    for text in [waiting_caller, waiting_callee, whisper] {
        put_text_option(out, text.as_deref());
    }
    question::put(out, question.as_ref().map(|question| &**question));
}

impl Reader<'_> {
    pub(super) fn cues(&mut self) -> Result<Option<Box<Cues>>, BadRecord> {
        match self.byte()? {
            NONE => return Ok(None),
            ALL => {}
            _ => return Err(BadRecord::Field("sounds")),
        }
        let (last_minute, record_tone) = (self.hearers()?, self.hearers()?);
        let early_media = match self.byte()? {
            0 => None,
            1 => Some(Early::Relay),
            2 => Some(Early::Keep),
            _ => return Err(BadRecord::Field("early media")),
        };
        let cues = Cues {
            last_minute,
            early_media,
            waiting_caller: self.text_option("prompt")?,
            waiting_callee: self.text_option("prompt")?,
            whisper: self.text_option("prompt")?,
            record_tone,
            question: self.question()?.map(Box::new),
        };
        // One way to say nothing.
        cues.some().ok_or(BadRecord::Field("sounds")).map(Some)
    }
}

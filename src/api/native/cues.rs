//! The sounds of a binding, as fields of requests and answers.

use serde_json::{Map, Value, json};

use super::question;
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::masking::cues::{Cues, CuesChange, Early, Hearers};

/// What a new binding is to sound like.
pub(super) fn read(fields: &mut Fields) -> Result<Option<Box<Cues>>, ApiError> {
    Ok(change(fields)?.after(None))
}

/// What an update says of it.
pub(super) fn change(fields: &mut Fields) -> Result<CuesChange, ApiError> {
    Ok(CuesChange {
        last_minute: word(fields, "last_minute", &Hearers::NAMES)?,
        early_media: word(fields, "early_media", &Early::NAMES)?,
        waiting_caller: text(fields, "waiting_caller")?,
        waiting_callee: text(fields, "waiting_callee")?,
        whisper: text(fields, "whisper")?,
        record_tone: word(fields, "record_tone", &Hearers::NAMES)?,
        question: question::change(fields)?,
    })
}

fn text(fields: &mut Fields, name: &str) -> Result<Option<Option<Box<str>>>, ApiError> {
    let patch = fields.patch(name, |f| f.text(name))?;
    Ok(patch.into_change().map(|set| set.map(Into::into)))
}

fn word<T: Copy>(
    fields: &mut Fields,
    name: &str,
    words: &[(&str, T)],
) -> Result<Option<Option<T>>, ApiError> {
    Ok(fields.patch(name, |f| f.word(name, words))?.into_change())
}

/// Adds the sounds of a binding to what is shown of it.
pub(super) fn show(view: &mut Map<String, Value>, cues: Option<&Cues>) {
    let Cues {
        last_minute,
        early_media,
        waiting_caller,
        waiting_callee,
        whisper,
        record_tone,
        question,
    } = cues.unwrap_or(&Cues::NONE);
    let fields = [
        ("last_minute", json!(last_minute.map(Hearers::name))),
        ("early_media", json!(early_media.map(Early::name))),
        ("waiting_caller", json!(waiting_caller)),
        ("waiting_callee", json!(waiting_callee)),
        ("whisper", json!(whisper)),
        ("record_tone", json!(record_tone.map(Hearers::name))),
    ];
    view.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    question::show(view, question.as_ref().map(|question| &**question));
}

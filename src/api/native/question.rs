//! The question at the end of a call, as fields of bindings and pools: `question` (its prompt; `null` takes it away),
//! `question_to`, `question_keys`, `question_loops`.

use serde_json::{Map, Value, json};

use crate::api::error::ApiError;
use crate::api::fields::{Fields, wrong};
use crate::masking::cues::Hearers;
use crate::masking::question::{EndQuestion, Keys, QuestionChange};

/// What a request says of it.
pub(super) fn change(fields: &mut Fields) -> Result<QuestionChange, ApiError> {
    let prompt = fields.patch("question", |f| f.text("question"))?;
    let keys = fields.text("question_keys")?.map(|text| text.parse::<Keys>());
    let loops = fields.integer("question_loops")?.map(u8::try_from);
    Ok(QuestionChange {
        prompt: prompt.into_change().map(|set| set.map(Into::into)),
        to: fields.word("question_to", &Hearers::NAMES)?,
        keys: keys
            .transpose()
            .map_err(|why| wrong("question_keys", &why.to_string()))?,
        loops: loops.transpose().map_err(|_| wrong("question_loops", "1 to 5"))?,
    })
}

/// Adds it to what is shown.
pub(super) fn show(view: &mut Map<String, Value>, question: Option<&EndQuestion>) {
    let fields = [
        ("question", json!(question.map(|question| &question.prompt))),
        ("question_to", json!(question.map(|question| question.to.name()))),
        (
            "question_keys",
            json!(question.map(|question| question.keys.to_string())),
        ),
        ("question_loops", json!(question.map(|question| question.loops))),
    ];
    view.extend(fields.map(|(name, value)| (name.to_owned(), value)));
}

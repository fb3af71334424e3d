//! The question at the end of a call, as fields of bindings and pools: `question` (its prompt; `null` takes it away, so
//! that the pool's holds), `question_to` (`nobody`: nobody is asked, whatever the pool says), `question_keys`, `question_loops`.

use serde_json::{Map, Value, json};

use crate::api::error::ApiError;
use crate::api::fields::{Fields, wrong};
use crate::masking::cues::Hearers;
use crate::masking::question::{EndQuestion, Keys, QuestionChange, Said};

/// The word for a binding that asks nobody though its pool does.
const NOBODY: &str = "nobody";

/// What a request says of it.
pub(super) fn change(fields: &mut Fields) -> Result<QuestionChange, ApiError> {
    let prompt = fields.patch("question", |f| f.text("question"))?;
    let keys = fields.text("question_keys")?.map(|text| text.parse::<Keys>());
    let loops = fields.integer("question_loops")?.map(u8::try_from);
    let [caller, callee, both] = Hearers::NAMES.map(|(name, who)| (name, Some(who)));
    let to = fields.word("question_to", &[caller, callee, both, (NOBODY, None)])?;
    let mut change = QuestionChange {
        prompt: prompt.into_change().map(|set| Said::from(set.map(Into::into))),
        to: to.flatten(),
        keys: keys
            .transpose()
            .map_err(|why| wrong("question_keys", &why.to_string()))?,
        loops: loops.transpose().map_err(|_| wrong("question_loops", "1 to 5"))?,
    };
    if to == Some(None) {
        if change != QuestionChange::default() {
            return Err(wrong(
                "question_to",
                "somebody, where a question is named too: caller, callee or both",
            ));
        }
        change.prompt = Some(Said::Nobody);
    }
    Ok(change)
}

/// Adds it to what is shown.
pub(super) fn show(view: &mut Map<String, Value>, question: Said<&EndQuestion>) {
    let to = match question {
        Said::Nothing => None,
        Said::Nobody => Some(NOBODY),
        Said::This(question) => Some(question.to.name()),
    };
    let question = question.this();
    let fields = [
        ("question", json!(question.map(|question| &question.prompt))),
        ("question_to", json!(to)),
        (
            "question_keys",
            json!(question.map(|question| question.keys.to_string())),
        ),
        ("question_loops", json!(question.map(|question| question.loops))),
    ];
    view.extend(fields.map(|(name, value)| (name.to_owned(), value)));
}

//! The question at the end of a call, as options of `umbra bind`, `update` and `pool`.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::masking::cues::Hearers;
use crate::masking::question::Keys;

/// What is asked of whoever stays on the line when the other one has hung up. What isn't named is as in the question that
/// ships: good, fair or poor, by 1, 2 and 3, asked of the caller at most twice.
#[derive(Args, Debug, Default)]
#[group(id = "end_question", multiple = true)]
pub(super) struct Question {
    /// The prompt that asks whoever stays how it was, when the other one has hung up; an empty name: nobody is asked
    #[arg(long, value_name = "PROMPT", help_heading = "Question at the end")]
    question: Option<String>,
    /// Who is asked, if he stays
    #[arg(long, value_enum, value_name = "WHO", help_heading = "Question at the end")]
    question_to: Option<To>,
    /// The keys that answer it, such as 12345 or 1#
    #[arg(long, value_name = "KEYS", value_parser = keys, help_heading = "Question at the end")]
    question_keys: Option<Keys>,
    /// How often it is asked where no key or a wrong one comes, 1 to 5
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=5), help_heading = "Question at the end")]
    question_loops: Option<u64>,
}

/// Who is asked.
#[derive(ValueEnum, Debug, Clone, Copy)]
enum To {
    /// Who called
    Caller,
    /// Who was called
    Callee,
    /// Whoever stays
    Both,
}

fn keys(text: &str) -> Result<Keys, String> {
    text.parse()
        .map_err(|why| format!("name {why}, each a key that answers"))
}

impl Question {
    /// Adds what is named to a request.
    pub fn put(&self, body: &mut Map<String, Value>) {
        let mut set = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        set("question", super::cues::text(self.question.as_deref()));
        let to = self.question_to.map(|to| match to {
            To::Caller => Hearers::Caller,
            To::Callee => Hearers::Callee,
            To::Both => Hearers::Both,
        });
        set("question_to", to.map(|to| to.name().into()));
        set(
            "question_keys",
            self.question_keys.map(|keys| keys.to_string().into()),
        );
        set("question_loops", self.question_loops.map(Into::into));
    }
}

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
    /// The prompt that asks whoever stays how it was, when the other one has hung up; an empty name: nobody is asked,
    /// whatever the pool says
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
    /// Nobody, whatever the pool says
    Nobody,
    /// Whom the pool says, and what it says
    Pool,
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
        let (prompt, to) = match (self.question.as_deref(), self.question_to) {
            (Some(""), None) => (None, Some("nobody")),
            (prompt, None) => (prompt.map(Value::from), None),
            (prompt, Some(To::Caller)) => (prompt.map(Value::from), Some(Hearers::Caller.name())),
            (prompt, Some(To::Callee)) => (prompt.map(Value::from), Some(Hearers::Callee.name())),
            (prompt, Some(To::Both)) => (prompt.map(Value::from), Some(Hearers::Both.name())),
            (Some("") | None, Some(To::Nobody)) => (None, Some("nobody")),
            (prompt, Some(To::Nobody)) => (prompt.map(Value::from), Some("nobody")),
            (_, Some(To::Pool)) => (Some(Value::Null), None),
        };
        set("question", prompt);
        set("question_to", to.map(Value::from));
        set(
            "question_keys",
            self.question_keys.map(|keys| keys.to_string().into()),
        );
        set("question_loops", self.question_loops.map(Into::into));
    }
}

//! The sounds of a binding, as options of `umbra bind` and `umbra update`.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use super::question::Question;
use crate::masking::cues;

/// What is heard of its calls beside the parties themselves. Prompts are named as `umbra prompt list` shows them; an
/// empty name takes one away.
#[derive(Args, Debug, Default)]
#[group(id = "cues", multiple = true)]
pub(super) struct Cues {
    /// Who hears a tone one minute before the longest duration is over
    #[arg(long, value_enum, value_name = "WHO", help_heading = "Sounds")]
    last_minute: Option<Hearers>,
    /// What becomes of the called side's media before it answers, in place of its trunk's setting
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Sounds")]
    early_media: Option<Early>,
    /// What the caller hears over and over while it rings; an empty name: the usual again
    #[arg(long, value_name = "PROMPT", help_heading = "Sounds")]
    waiting_caller: Option<String>,
    /// What the called side hears over and over while something is said to the caller after its answer
    #[arg(long, value_name = "PROMPT", help_heading = "Sounds")]
    waiting_callee: Option<String>,
    /// What the called side hears when it has answered, before the two talk
    #[arg(long, value_name = "PROMPT", help_heading = "Sounds")]
    whisper: Option<String>,
    /// Who is told, before the two talk, that the call is recorded (with --record)
    #[arg(long, value_enum, value_name = "WHO", help_heading = "Sounds")]
    record_tone: Option<Hearers>,
    #[command(flatten)]
    question: Question,
}

/// Who hears something; `none` takes it away.
#[derive(ValueEnum, Debug, Clone, Copy)]
enum Hearers {
    /// Nobody
    None,
    /// Who calls
    Caller,
    /// Who is called
    Callee,
    /// Both
    Both,
}

/// What becomes of early media; `trunk` takes the binding's own wish away.
#[derive(ValueEnum, Debug, Clone, Copy)]
enum Early {
    /// What its trunk says
    Trunk,
    /// The caller hears it
    Relay,
    /// The caller hears a tone or prompt of ours
    Keep,
}

impl Cues {
    /// Adds what is named to a request.
    pub fn put(&self, body: &mut Map<String, Value>) {
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.into(), value);
            }
        };
        set("last_minute", self.last_minute.map(Hearers::value));
        set("early_media", self.early_media.map(Early::value));
        set("waiting_caller", text(self.waiting_caller.as_deref()));
        set("waiting_callee", text(self.waiting_callee.as_deref()));
        set("whisper", text(self.whisper.as_deref()));
        set("record_tone", self.record_tone.map(Hearers::value));
        self.question.put(body);
    }
}

impl Hearers {
    fn value(self) -> Value {
        let hearers = match self {
            Self::None => return Value::Null,
            Self::Caller => cues::Hearers::Caller,
            Self::Callee => cues::Hearers::Callee,
            Self::Both => cues::Hearers::Both,
        };
        hearers.name().into()
    }
}

impl Early {
    fn value(self) -> Value {
        let early = match self {
            Self::Trunk => return Value::Null,
            Self::Relay => cues::Early::Relay,
            Self::Keep => cues::Early::Keep,
        };
        early.name().into()
    }
}

/// A name; an empty one takes away.
pub(super) fn text(name: Option<&str>) -> Option<Value> {
    name.map(|name| if name.is_empty() { Value::Null } else { name.into() })
}

//! The log: text or JSON, its level changeable while running, no number readable in it.

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Level {
    /// What a person has to look at.
    Error,
    /// And what may become that.
    Warn,
    /// And what an operator wants to know.
    #[default]
    Info,
    /// And what the server does.
    Debug,
    /// And every message.
    Trace,
}

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// What the conf says of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// How much.
    pub level: Level,
    /// In what form.
    pub format: Format,
}

//! What callers of a trunk hear when nobody is reached.

/// How a refusal is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Refusals {
    /// By its status alone.
    #[default]
    Status,
    /// By a tone first, as early media, and then by the status.
    Tone,
    /// By a sentence first, as the pool or account has it, and then by the status.
    Prompt,
}

//! What another process needs to go on with a call: its state, written small.

/// The version of what is written: its first byte. A program reads its own and earlier ones.
pub const VERSION: u8 = 1;

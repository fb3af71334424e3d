//! Floor 4, the disk: the one writer of bindings, and the journal of calls.
pub mod disk;
pub mod journal;
pub mod log;
pub mod snapshot;
pub mod writer;

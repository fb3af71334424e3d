//! Floor 0, the words: numbers, time, chance, ids, timers, limits. Everything else speaks in these.
//!
//! Nothing here (nor on floors 1–3) can read a clock, open a socket or draw a random number of its own:
//! time and chance are handed in.

pub mod bytes;
pub mod chance;
pub mod dscp;
pub mod form;
pub mod histogram;
pub mod id;
pub mod keying;
pub mod language;
pub mod limits;
pub mod number;
pub mod redact;
pub mod shard;
pub mod text;
pub mod time;
pub mod timer;
pub mod url;

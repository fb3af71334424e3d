//! Floor 4, media: the RTP threads.
pub mod socket;
pub mod table;
pub mod thread;

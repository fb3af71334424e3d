//! Floor 4, media: the RTP threads. Each runs one [`Relay`](crate::rtp::relay::Relay) over the sockets that it has
//! bound, obeys the switch's orders and reports back. And the folder that their prompts come from.

pub mod prompts;
pub mod socket;
pub mod table;
pub mod thread;

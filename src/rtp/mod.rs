//! Floor 1, the language of media (RFC 3550): what comes in on one leg, what goes out on the other.
//!
//! Pure: packets, ports and time are handed in. The simulator and the media threads run the same [`relay`].

pub mod clip;
pub mod dtmf;
pub mod ear;
pub mod flow;
pub mod g711;
pub mod g722;
pub mod inbound;
pub mod opus;
pub mod outbound;
pub mod packet;
pub mod recording;
pub mod relay;
pub mod resample;
pub mod rtcp;
pub mod signals;
pub mod srtp;
pub mod tap;
pub mod tone;
pub mod twice;
pub mod wav;

//! Floor 4, transport: the sockets of signalling (UDP) and the loop of each shard's thread.
//!
//! Every socket is read by one shard's thread, which looks at the envelope ([`peek`](crate::sip::peek)) and
//! gives the message to the shard whose Call-ID it is: itself, directly, or another by its [`shard::Door`].
//! Every shard sends on every socket.

pub mod clock;
pub mod event_loop;
pub mod poller;
pub mod shard;
pub mod udp;

//! Floor 4, transport: the sockets of signalling (UDP, TCP and TLS) and the loop of each shard's thread.
//!
//! Every socket is read by one shard's thread, which looks at the envelope ([`peek`](crate::sip::peek)) and
//! gives the message to the shard whose Call-ID it is: itself, directly, or another by its [`shard::Door`].
//! Every shard sends on every UDP socket. A TCP connection is written by the shard that reads it
//! ([`connections::Connections`]), which the others hand their messages to.

mod bound;
pub mod clock;
pub mod connections;
pub mod event_loop;
mod fresh;
pub mod handed;
pub mod poller;
pub mod shard;
mod sort;
pub mod tcp;
pub mod tls;
pub mod udp;
mod watch;
mod wire;

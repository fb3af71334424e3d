//! Floor 4, transport: the sockets of signalling and the loop of a shard.
pub mod event_loop;
pub mod shard;
pub mod udp;

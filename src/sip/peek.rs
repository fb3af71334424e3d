//! The first look at a datagram.

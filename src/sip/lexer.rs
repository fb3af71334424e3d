//! Offsets of one message's parts.

//! The only writer of messages.

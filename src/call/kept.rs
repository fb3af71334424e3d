//! What another process needs to go on with a call: its state, written small.

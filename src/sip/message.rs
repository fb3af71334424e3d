//! One message, read.

//! Floor 5, the front desk: parse, authorise, translate.
//!
//! Every door to the running server is here. Today there is one, [`native`]: the JSON API that the command
//! line speaks over the control socket, and programs over HTTP.

pub mod error;
pub mod fields;
pub mod idempotency;
pub mod native;
pub mod range;
pub mod socket;
pub mod switchboard;

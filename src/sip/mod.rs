//! Floor 1, the language of signalling (RFC 3261): bytes to meaning, meaning to bytes, transactions, dialogs.
//!
//! [`message::Message`] reads (no allocation, nothing copied), [`build`] is the only writer, [`digest`] knows passwords' sums,
//! [`transaction::Layer`] keeps the four machines of §17, [`dialog`] keeps what §12 asks for.

pub mod build;
pub mod dialog;
pub mod digest;
pub mod framer;
pub mod header;
pub mod lexer;
pub mod message;
pub mod method;
pub mod multipart;
pub mod outline;
pub mod overload;
pub mod path;
pub mod peek;
pub mod reason;
mod scan;
pub mod seen;
pub mod session_id;
pub mod transaction;
pub mod uri;
pub mod veil;

//! The Reason header (RFC 3326): why a request was sent or, with a Q.850 cause, why one failed (RFC 6432).
//!
//! Only the numbers are read and only numbers are written: a `text` may say anything about anybody.

use std::fmt::Write;

use arrayvec::ArrayString;

use super::header::{self, Name};
use super::lexer::Head;

/// The reasons of one message, by protocol; RFC 3326 §2 lets each protocol speak once, so its first value counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reasons {
    /// The cause of ITU-T Q.850, 1–127.
    pub q850: Option<u8>,
    /// A SIP status, 200–699.
    pub sip: Option<u16>,
}

/// A Reason header's value as we write it.
pub type Written = ArrayString<15>;

/// Reads every Reason of a message. What can't be read, or is of another protocol, says nothing.
pub fn read(message: &Head<'_>) -> Reasons {
    let mut reasons = Reasons::default();
    for value in message.values(Name::Reason) {
        let (protocol, params) = match value.iter().position(|byte| *byte == b';') {
            Some(at) => value.split_at(at),
            None => continue,
        };
        let Some(cause) = header::param(params, "cause") else {
            continue;
        };
        let protocol = header::trim(protocol);
        if protocol.eq_ignore_ascii_case(b"Q.850") && reasons.q850.is_none() {
            reasons.q850 = header::decimal(cause, 127)
                .and_then(|cause| u8::try_from(cause).ok())
                .filter(|cause| *cause > 0);
        } else if protocol.eq_ignore_ascii_case(b"SIP") && reasons.sip.is_none() {
            reasons.sip = header::decimal(cause, 699)
                .and_then(|cause| u16::try_from(cause).ok())
                .filter(|cause| *cause >= 200);
        }
    }
    reasons
}

/// The value that names a Q.850 cause, and nothing besides.
pub fn q850(cause: u8) -> Written {
    let mut out = Written::new();
    // Three digits always fit.
    let _ = write!(out, "Q.850;cause={cause}");
    out
}

#[cfg(test)]
mod tests;

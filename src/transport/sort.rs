//! Whose a received message is.

use super::fresh::{Fresh, SHED_TO};
use super::shard::{Door, Packet};
use super::watch::is_keep_alive;
use crate::base::shard::Homes;
use crate::base::time::Now;
use crate::call::port::Input;
use crate::sip::path::Path;
use crate::sip::peek::{PeekKind, peek};

/// Finds out whose a message is, and whether it can wait.
pub(super) fn sort(
    homes: &Homes,
    doors: &[Door],
    now: Now,
    (path, bytes): (Path, &[u8]),
    fresh: &mut Fresh,
    input: impl FnOnce(Input<'_>),
) {
    if is_keep_alive(bytes) || is_of_refusal(bytes) {
        return;
    }
    if homes.shard.count == 1 && is_in_call(bytes) {
        return input(Input::Packet { path, bytes });
    }
    let Some(peeked) = peek(bytes) else {
        // Whoever reads a faulty one says what is wrong with it.
        return input(Input::Packet { path, bytes });
    };
    let home = homes.of(peeked.call_id);
    let is_ours = home == homes.shard.index;
    if is_ours && peeked.kind == PeekKind::InCall {
        return input(Input::Packet { path, bytes });
    }
    let packet = Packet {
        path,
        bytes: bytes.into(),
    };
    if is_ours {
        return fresh.wait(now.at, packet);
    }
    if let Err(packet) = doors[home].hand_over(packet, peeked.kind, now.at) {
        match peeked.kind {
            PeekKind::NewRequest => fresh.refuse(packet),
            // Its sender repeats it.
            PeekKind::InCall | PeekKind::Cancel => fresh.lose(),
        }
    }
}

/// Whether a first glance already tells that a datagram belongs to a call: most do.
fn is_in_call(bytes: &[u8]) -> bool {
    [b"SIP/2.0 ".as_slice(), b"ACK "]
        .iter()
        .any(|start| bytes.starts_with(start))
}

/// Whether it is the ACK of a 503 that nothing was kept of: there is one for each.
fn is_of_refusal(bytes: &[u8]) -> bool {
    let has_tag = || memchr::memchr_iter(b';', bytes).any(|at| bytes[at..].starts_with(SHED_TO));
    bytes.starts_with(b"ACK ") && has_tag()
}

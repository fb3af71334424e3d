//! Whose a received message is.

use super::fresh::{Fresh, SHED_TO};
use super::shard::{Door, Packet};
use super::watch::is_keep_alive;
use crate::base::shard::Homes;
use crate::base::time::Now;
use crate::sip::path::Path;
use crate::sip::peek::{PeekKind, peek};

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sorted {
    /// It is to be handed on now.
    Now,
    /// It is a new call that is to be refused now.
    Refuse,
    /// It waits, here or at another shard's door, or it is nobody's.
    Done,
}

/// Finds out whose a message is, and whether it can wait.
pub(super) fn sort(
    homes: &Homes,
    doors: &[Door],
    now: Now,
    (path, bytes): (Path, &[u8]),
    fresh: &mut Fresh,
) -> Sorted {
    if is_keep_alive(bytes) || is_of_refusal(bytes) {
        return Sorted::Done;
    }
    if homes.shard.count == 1 && is_in_call(bytes) {
        return Sorted::Now;
    }
    let Some(peeked) = peek(bytes) else {
        // Whoever reads a faulty one says what is wrong with it.
        return Sorted::Now;
    };
    let home = homes.of(peeked.call_id);
    let is_ours = home == homes.shard.index;
    if is_ours && peeked.kind == PeekKind::InCall {
        return Sorted::Now;
    }
    if is_ours && fresh.is_hopeless(now.at, path, bytes) {
        return Sorted::Refuse;
    }
    let packet = Packet {
        path,
        bytes: bytes.into(),
    };
    if is_ours {
        fresh.wait(now.at, packet);
    } else if let Err(packet) = doors[home].hand_over(packet, peeked.kind, now.at) {
        match peeked.kind {
            PeekKind::NewRequest => fresh.refuse(packet),
            // Its sender repeats it.
            PeekKind::InCall | PeekKind::Cancel => fresh.lose(),
        }
    }
    Sorted::Done
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

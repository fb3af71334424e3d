//! Whose a received message is.

use super::fresh::{Fresh, SHED_TO, Turned};
use super::shard::{Door, Packet};
use super::watch::is_keep_alive;
use crate::base::shard::Homes;
use crate::base::time::Now;
use crate::sip::message::Message;
use crate::sip::outline::{Asked, Outline};
use crate::sip::path::Path;
use crate::sip::peek::{PeekKind, peek};

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sorted {
    /// It is to be handed on now.
    Now,
    /// It is a new call that is refused.
    Refused,
    /// It waits, here or at another shard's door, or it is nobody's.
    Done,
}

/// Finds out whose a message is, and whether it can wait. `knows` says whether a request repeats one that was taken.
pub(super) fn sort(
    homes: &Homes,
    doors: &[Door],
    now: Now,
    (path, bytes): (Path, &[u8]),
    fresh: &mut Fresh,
    knows: impl Fn(Path, Asked<'_, '_>) -> bool,
) -> Sorted {
    if is_keep_alive(bytes) || is_of_refusal(bytes) {
        return Sorted::Done;
    }
    let is_alone = homes.shard.count == 1;
    if is_alone && is_in_call(bytes) {
        return Sorted::Now;
    }
    let is_hopeless = fresh.is_hopeless(now.at, path, bytes);
    let outline = if is_hopeless {
        fresh.outline(path, bytes)
    } else {
        None
    };
    // Whoever refuses one reads it whole: where that can only be this shard, no glance comes before.
    if is_hopeless
        && is_alone
        && outline.is_none()
        && let Some(sorted) = refuse_whole(now, (path, bytes), fresh, &knows)
    {
        return sorted;
    }
    let peeked = outline.as_ref().map(Outline::peeked);
    let Some(peeked) = peeked.or_else(|| peek(bytes)) else {
        // Whoever reads a faulty one says what is wrong with it.
        return Sorted::Now;
    };
    let home = homes.of(peeked.call_id);
    let is_ours = home == homes.shard.index;
    if is_ours && let Some(outline) = &outline {
        return refuse(now, (path, bytes), fresh, Asked::Outline(outline), &knows);
    }
    if is_ours && peeked.kind == PeekKind::InCall {
        return Sorted::Now;
    }
    if is_ours && is_hopeless {
        return refuse_whole(now, (path, bytes), fresh, &knows).unwrap_or_else(|| {
            // What can't be read is not answered now.
            fresh.lose();
            Sorted::Done
        });
    }
    let packet = Packet::of(path, bytes);
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

/// Refuses a call that would wait in vain, if it can be read and is a new one.
fn refuse_whole(
    now: Now,
    (path, bytes): (Path, &[u8]),
    fresh: &mut Fresh,
    knows: impl Fn(Path, Asked<'_, '_>) -> bool,
) -> Option<Sorted> {
    let request = Message::parse(bytes).ok()?;
    if request.to_tag().is_some() {
        return None;
    }
    let asked = Asked::Whole(&request);
    Some(refuse(now, (path, bytes), fresh, asked, knows))
}

/// Refuses a call that would wait in vain, if it is a new one.
fn refuse(
    now: Now,
    (path, bytes): (Path, &[u8]),
    fresh: &mut Fresh,
    asked: Asked<'_, '_>,
    knows: impl Fn(Path, Asked<'_, '_>) -> bool,
) -> Sorted {
    match fresh.turn_away_at_once(now, path, asked, knows) {
        Turned::Away => Sorted::Refused,
        Turned::Known => Sorted::Now,
        Turned::ForHelp => {
            fresh.wait(now.at, Packet::of(path, bytes));
            Sorted::Done
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

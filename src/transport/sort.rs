//! Whose a received message is, and what becomes of one that finds no room.

use std::collections::VecDeque;

use super::shard::{Door, Packet, fresh_room};
use super::watch::is_keep_alive;
use crate::base::limits::RETRY_AFTER_S;
use crate::base::shard::Homes;
use crate::call::port::Input;
use crate::sip::build::{self, Response};
use crate::sip::message;
use crate::sip::path::Path;
use crate::sip::peek::{PeekKind, peek};

/// A message found no room in its shard's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shed(pub(super) PeekKind);

/// Finds out whose a message is, and whether it can wait.
pub(super) fn sort(
    homes: &Homes,
    doors: &[Door],
    (path, bytes): (Path, &[u8]),
    fresh: &mut VecDeque<Packet>,
    input: impl FnOnce(Input<'_>),
) -> Result<(), Shed> {
    if is_keep_alive(bytes) {
        return Ok(());
    }
    if homes.shard.count == 1 && is_in_call(bytes) {
        input(Input::Packet { path, bytes });
        return Ok(());
    }
    let Some(peeked) = peek(bytes) else {
        // Whoever reads a faulty one says what is wrong with it.
        input(Input::Packet { path, bytes });
        return Ok(());
    };
    let home = homes.of(peeked.call_id);
    let is_ours = home == homes.shard.index;
    if is_ours && peeked.kind == PeekKind::InCall {
        input(Input::Packet { path, bytes });
        return Ok(());
    }
    let packet = Packet {
        path,
        bytes: bytes.into(),
    };
    if !is_ours {
        return doors[home]
            .hand_over(packet, peeked.kind)
            .map_err(|_| Shed(peeked.kind));
    }
    if fresh.len() >= fresh_room(peeked.kind) {
        return Err(Shed(peeked.kind));
    }
    fresh.push_back(packet);
    Ok(())
}

/// Whether a first glance already tells that a datagram belongs to a call: most do.
fn is_in_call(bytes: &[u8]) -> bool {
    [b"SIP/2.0 ".as_slice(), b"ACK "]
        .iter()
        .any(|start| bytes.starts_with(start))
}

/// The stateless 503 (RFC 3261 §8.2.7) of a request, and the way it goes.
pub(super) fn overloaded(path: Path, bytes: &[u8]) -> Option<(Path, Vec<u8>)> {
    let request = message::Message::parse(bytes).ok()?;
    let retry = RETRY_AFTER_S.to_string();
    let response = Response {
        status: 503,
        // The same for every repetition of the request, as §8.2.7 asks.
        to_tag: Some(b"shed"),
        contact: None,
        headers: &[("Retry-After", &retry)],
        body: None,
    };
    let answer = build::response(request.head(), path.remote, &response);
    Some((build::reply_path(request.head(), path), answer))
}

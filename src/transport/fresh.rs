//! New requests of a shard: those that wait for their turn, and those that are refused.

use std::net::IpAddr;
use std::sync::Arc;

use memchr::memmem;

use super::shard::Packet;
use crate::base::chance::Chance;
use crate::base::limits::SHARD_QUEUE;
use crate::base::shard::Shard;
use crate::base::time::{Instant, Now};
use crate::call::arrive;
use crate::call::config::Config;
use crate::call::overload::lines::{Lines, Out, Priority, Verdict, Whose};
use crate::call::overload::{self, draw};
use crate::call::targets::Resolved;
use crate::call::trunk::{self, Trunk};
use crate::sip::build::{self, Response};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::overload::answering;
use crate::sip::path::{Party, Path};

/// How the To-tag of every answer begins that is given here. No tag that we mint elsewhere holds a hyphen.
pub(super) const SHED_TO: &[u8] = b";tag=shed-";
const SHED_TAG: &[u8] = SHED_TO.split_at(5).1;

/// The length of an answer that is given here is a multiple of this.
const ROUND_BYTES: usize = 64;

/// A shard's new requests.
pub(super) struct Fresh {
    lines: Lines<Packet>,
    refused: Vec<Packet>,
    /// Requests that were lost, since this was asked.
    lost: u64,
    config: Arc<Config>,
    resolved: Arc<Resolved>,
    /// Whose the last one was: the next one is mostly theirs too.
    last: Option<(IpAddr, Option<Party>, Whose)>,
    shard: Shard,
}

impl Fresh {
    pub(super) fn new(shard: Shard, config: Arc<Config>, resolved: Arc<Resolved>) -> Self {
        Self {
            lines: Lines::default(),
            refused: Vec::new(),
            lost: 0,
            config,
            resolved,
            last: None,
            shard,
        }
    }

    /// Goes on under another conf, or other addresses of gateways.
    pub(super) fn follow(&mut self, now: Instant, config: &Arc<Config>, resolved: &Arc<Resolved>) {
        self.config = Arc::clone(config);
        self.resolved = Arc::clone(resolved);
        self.last = None;
        let shard = self.shard;
        self.lines
            .sort_anew(now, |packet| whose(&shard, config, resolved, packet.path));
    }

    /// One waits from now on, which came at `came`.
    pub(super) fn wait(&mut self, came: Instant, packet: Packet) {
        let whose = self.whose(packet.path);
        let priority = match Priority::of(&packet.bytes) {
            Priority::Emergency if !self.is_for_help(&packet) => Priority::Call,
            priority => priority,
        };
        match self.lines.push(came, whose, priority, packet) {
            Ok(()) => {}
            Err(Out::Shed(packet)) if self.is_for_help(&packet) => {
                let whose = self.whose(packet.path);
                if self.lines.push(came, whose, Priority::Emergency, packet).is_err() {
                    self.lost += 1;
                }
            }
            Err(Out::Shed(packet)) => self.refuse(packet),
            Err(Out::Lost(_)) => self.lost += 1,
        }
    }

    /// Whether it is an emergency call, in whatever way its trunk writes the number.
    fn is_for_help(&self, packet: &Packet) -> bool {
        let Some(of) = &self.config.emergency else {
            return false;
        };
        let trunk = trunk::of_path(&self.config.trunks, &self.resolved, packet.path);
        let (Some(trunk), Ok(request)) = (trunk, Message::parse(&packet.bytes)) else {
            return false;
        };
        request.method() == Method::Invite
            && arrive::emergency(&request, trunk, &self.config.numbers, &of.table).is_some()
    }

    /// One has no room where it was to go.
    pub(super) fn refuse(&mut self, packet: Packet) {
        self.refused.push(packet);
    }

    /// One is lost: its sender repeats it.
    pub(super) fn lose(&mut self) {
        self.lost += 1;
    }

    /// The next one that is to be served now. Those before it that waited too long are refused.
    pub(super) fn next(&mut self, now: Instant) -> Option<Packet> {
        loop {
            match self.lines.pop(now)? {
                (packet, Verdict::Taken) => return Some(packet),
                (packet, Verdict::Shed) if self.is_for_help(&packet) => return Some(packet),
                (packet, Verdict::Shed) => self.refused.push(packet),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many were lost since this was asked.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Answers what was refused; how many of them were, and those that repeat something that was taken: they are none of
    /// them. Nothing is kept of the others, and strangers hear nothing.
    pub(super) fn answer_refused(
        &mut self,
        now: Now,
        knows: impl Fn(Path, &Message<'_>) -> bool,
        mut send: impl FnMut(Path, Vec<u8>),
    ) -> (u64, Vec<Packet>) {
        let (mut answered, mut known) = (0, Vec::new());
        for packet in self.refused.drain(..) {
            let Packet { path, bytes } = &packet;
            let trunk = trunk::of_path(&self.config.trunks, &self.resolved, *path);
            let (Some(trunk), Ok(request)) = (trunk, Message::parse(bytes)) else {
                self.lost += 1;
                continue;
            };
            if knows(*path, &request) {
                known.push(packet);
                continue;
            }
            trunk.overload.count(now, Verdict::Shed);
            let answer = overloaded(&self.shard, trunk, *path, &request);
            send(build::reply_path(request.head(), *path), answer);
            answered += 1;
        }
        // What one flood needed is not held for ever.
        self.refused.shrink_to(SHARD_QUEUE / 8);
        (answered, known)
    }

    fn whose(&mut self, path: Path) -> Whose {
        let source = path.remote.ip();
        match self.last {
            Some((last, party, whose)) if (last, party) == (source, path.party) => whose,
            Some(_) | None => {
                let whose = whose(&self.shard, &self.config, &self.resolved, path);
                self.last = Some((source, path.party, whose));
                whose
            }
        }
    }
}

/// In which line a request waits that came this way.
fn whose(shard: &Shard, config: &Config, resolved: &Resolved, path: Path) -> Whose {
    let trunk = trunk::of_path(&config.trunks, resolved, path);
    let place = trunk.and_then(|trunk| config.trunks.iter().position(|one| std::ptr::eq(one, trunk)));
    match place {
        Some(place) => Whose::Trunk(place, shard.draw(&[&octets(path.remote.ip())])),
        None => Whose::Stranger,
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The stateless 503 (RFC 3261 §8.2.7) of a request. It is the same for every repetition of it while the load is.
fn overloaded(shard: &Shard, trunk: &Trunk, path: Path, request: &Message<'_>) -> Vec<u8> {
    let mut tag = [0; 12 + SHED_TAG.len()];
    let (start, rest) = tag.split_at_mut(SHED_TAG.len());
    start.copy_from_slice(SHED_TAG);
    rest.copy_from_slice(&Chance::token_of(draw(shard, request)));
    let wait = overload::wait_s(shard, Some(trunk), 1, request).map(|seconds| seconds.to_string());
    let header = wait.as_ref().map(|wait| ("Retry-After", wait.as_str()));
    let response = Response {
        status: 503,
        to_tag: Some(&tag),
        contact: None,
        headers: header.as_slice(),
        body: None,
    };
    let answer = build::response(request.head(), path.remote, &response);
    of_one_length(answering(answer, || Some(trunk.overload.wanted())))
}

/// The answer with a tag so much longer that its length is a round one: those of one length leave together.
fn of_one_length(mut answer: Vec<u8>) -> Vec<u8> {
    let missing = answer.len().next_multiple_of(ROUND_BYTES) - answer.len();
    if let Some(at) = memmem::find(&answer, SHED_TO) {
        let at = at + SHED_TO.len();
        answer.splice(at..at, std::iter::repeat_n(b'b', missing));
    }
    answer
}

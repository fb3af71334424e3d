//! New requests of a shard: those that wait for their turn, and those that are refused.

use std::net::IpAddr;
use std::sync::Arc;

use super::shard::Packet;
use super::udp::BATCH;
use crate::base::chance::Chance;
use crate::base::limits::SHARD_QUEUE;
use crate::base::shard::Shard;
use crate::base::time::{Instant, Now};
use crate::call::arrive;
use crate::call::config::Config;
use crate::call::overload::lines::{Lines, Out, Priority, Verdict, Whose};
use crate::call::overload::{self, draw, draw_by};
use crate::call::targets::Resolved;
use crate::call::trunk::{self, Trunk};
use crate::sip::build::{self, Response};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::outline::{Asked, Outline};
use crate::sip::overload::{Control, answering, of_via, read};
use crate::sip::path::{Party, Path};

/// How the To-tag of every answer begins that is given here. No tag that we mint elsewhere holds a hyphen.
pub(super) const SHED_TO: &[u8] = b";tag=shed-";
const SHED_TAG: &[u8] = SHED_TO.split_at(5).1;

/// The length of an answer that is given here is a multiple of this.
const ROUND_BYTES: usize = 64;

/// Rooms of answers that are kept: so many leave together, and as many may come with the next reading.
const ROOMS: usize = 2 * BATCH;
/// The largest that is kept.
const ROOM_BYTES_MAX: usize = 2_048;

/// What became of a request that was to be refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turned {
    /// It was.
    Away,
    /// It repeats one that was taken: whoever took that answers it.
    Known,
    /// It is an emergency call, in whatever way its trunk writes the number: it waits.
    ForHelp,
}

/// A shard's new requests.
pub(super) struct Fresh {
    lines: Lines<Packet>,
    refused: Vec<Packet>,
    /// What leaves together: many of them, of one length.
    answers: Vec<(Path, Vec<u8>)>,
    /// Room for the next answers, which earlier ones had: in a flood nothing is allocated for any.
    rooms: Vec<Vec<u8>>,
    /// Whether something was refused since this was asked.
    has_refused: bool,
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
            answers: Vec::new(),
            rooms: Vec::new(),
            has_refused: false,
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

    /// Whether a message, if it is new, is a call that would wait in vain.
    pub(super) fn is_hopeless(&mut self, now: Instant, path: Path, bytes: &[u8]) -> bool {
        let whose = self.whose(path);
        self.lines.is_hopeless(now, whose) && Priority::of(bytes) == Priority::Call
    }

    /// The outline of one that [is hopeless](Self::is_hopeless). `None`: it has to be read whole.
    pub(super) fn outline<'a>(&mut self, path: Path, bytes: &'a [u8]) -> Option<Outline<'a>> {
        let Whose::Trunk(place, _) = self.whose(path) else {
            return None;
        };
        let tells_enough = |trunk: &Trunk| self.config.emergency.is_none() || arrive::is_in_outline(trunk);
        if !self.config.trunks.get(place).is_some_and(tells_enough) {
            return None;
        }
        Outline::read(bytes)
    }

    /// One waits from now on, which came at `came`.
    pub(super) fn wait(&mut self, came: Instant, packet: Packet) {
        let whose = self.whose(packet.path);
        let priority = match Priority::of(&packet.bytes) {
            Priority::Emergency if !self.is_for_help(packet.path, &packet.bytes) => Priority::Call,
            priority => priority,
        };
        match self.lines.push(came, whose, priority, packet) {
            Ok(()) => {}
            Err(Out::Shed(packet)) if self.is_for_help(packet.path, &packet.bytes) => {
                let whose = self.whose(packet.path);
                if self.lines.push(came, whose, Priority::Emergency, packet).is_err() {
                    self.lost += 1;
                }
            }
            Err(Out::Shed(packet)) => self.refuse(packet),
            Err(Out::Lost(_)) => self.lost += 1,
        }
    }

    fn is_for_help(&self, path: Path, bytes: &[u8]) -> bool {
        let trunk = trunk::of_path(&self.config.trunks, &self.resolved, path);
        let (Some(trunk), Ok(request)) = (trunk, Message::parse(bytes)) else {
            return false;
        };
        is_for_help(&self.config, trunk, Asked::Whole(&request))
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
                (packet, Verdict::Shed) if self.is_for_help(packet.path, &packet.bytes) => {
                    return Some(packet);
                }
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

    /// Refuses one that [is hopeless](Self::is_hopeless), as it comes.
    pub(super) fn turn_away_at_once(
        &mut self,
        now: Now,
        path: Path,
        asked: Asked<'_, '_>,
        knows: impl Fn(Path, Asked<'_, '_>) -> bool,
    ) -> Turned {
        let whose = self.whose(path);
        self.lines.refuses(now.at, whose);
        self.turn_away(now, path, asked, knows)
    }

    /// Refuses one now. Nothing is kept of it, and strangers hear nothing.
    pub(super) fn turn_away(
        &mut self,
        now: Now,
        path: Path,
        asked: Asked<'_, '_>,
        knows: impl Fn(Path, Asked<'_, '_>) -> bool,
    ) -> Turned {
        let trunk = match self.whose(path) {
            Whose::Trunk(place, _) => self.config.trunks.get(place),
            Whose::Stranger => None,
        };
        let Some(trunk) = trunk else {
            self.lost += 1;
            return Turned::Away;
        };
        if knows(path, asked) {
            return Turned::Known;
        }
        if is_for_help(&self.config, trunk, asked) {
            return Turned::ForHelp;
        }
        trunk.overload.count(now, Verdict::Shed);
        let room = self.rooms.pop().unwrap_or_default();
        let answer = overloaded(&self.shard, trunk, path, asked, room);
        self.answers
            .push((build::reply_path_by(&asked.via(), path), answer));
        self.has_refused = true;
        Turned::Away
    }

    /// Refuses what was to be refused. Those that are to be taken all the same.
    pub(super) fn turn_refused_away(
        &mut self,
        now: Now,
        knows: impl Fn(Path, Asked<'_, '_>) -> bool,
    ) -> Vec<Packet> {
        let mut refused = std::mem::take(&mut self.refused);
        let mut known = Vec::new();
        for packet in refused.drain(..) {
            let turned = match Message::parse(&packet.bytes) {
                Ok(request) => self.turn_away(now, packet.path, Asked::Whole(&request), &knows),
                Err(_) => {
                    self.lost += 1;
                    Turned::Away
                }
            };
            match turned {
                Turned::Away => {}
                Turned::Known | Turned::ForHelp => known.push(packet),
            }
        }
        // What one flood needed is not held for ever.
        refused.shrink_to(SHARD_QUEUE / 8);
        self.refused = refused;
        known
    }

    /// How many answers wait.
    pub(super) fn answers(&self) -> usize {
        self.answers.len()
    }

    /// The answers of those that were turned away since this was asked.
    pub(super) fn take_answers(&mut self) -> Vec<(Path, Vec<u8>)> {
        std::mem::take(&mut self.answers)
    }

    /// Answers that have left: as many of the next ones as usually leave together find their room.
    pub(super) fn keep_room(&mut self, mut answers: Vec<(Path, Vec<u8>)>) {
        let room = ROOMS.saturating_sub(self.rooms.len());
        let rooms = answers.drain(..).map(|(_, room)| room);
        let usual = |room: &Vec<u8>| (1..=ROOM_BYTES_MAX).contains(&room.capacity());
        self.rooms.extend(rooms.filter(usual).take(room));
        // What one flood needed is not held for ever.
        answers.shrink_to(ROOMS);
        self.answers = answers;
    }

    /// Whether something was refused since this was asked.
    pub(super) fn has_refused(&mut self) -> bool {
        std::mem::take(&mut self.has_refused)
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

/// Whether it is an emergency call, in whatever way its trunk writes the number.
fn is_for_help(config: &Config, trunk: &Trunk, asked: Asked<'_, '_>) -> bool {
    config.emergency.as_ref().is_some_and(|of| {
        asked.method() == Method::Invite
            && arrive::emergency(asked, trunk, &config.numbers, &of.table).is_some()
    })
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

/// The stateless 503 (RFC 3261 §8.2.7) of a request, in a room that an earlier one had. It is the same for every repetition
/// of the request while the load is.
fn overloaded(shard: &Shard, trunk: &Trunk, path: Path, asked: Asked<'_, '_>, room: Vec<u8>) -> Vec<u8> {
    let (drawn, said) = match asked {
        Asked::Whole(request) => (draw(shard, request), read(request)),
        Asked::Outline(invite) => {
            let via = invite.topmost();
            (draw_by(shard, via, invite.call_id()), of_via(via))
        }
    };
    let mut tag = [0; 12 + SHED_TAG.len()];
    let (start, rest) = tag.split_at_mut(SHED_TAG.len());
    start.copy_from_slice(SHED_TAG);
    rest.copy_from_slice(&Chance::token_of(drawn));
    let wait = overload::wait_s(Some(trunk), 1, || said, || drawn);
    let (answer, tag_ends) = match asked {
        Asked::Whole(request) => {
            let wait = wait.map(|seconds| seconds.to_string());
            let header = wait.as_ref().map(|wait| ("Retry-After", wait.as_str()));
            let response = Response {
                status: 503,
                to_tag: Some(&tag),
                contact: None,
                headers: header.as_slice(),
                body: None,
            };
            build::response_of(request, path.remote, &response, room)
        }
        Asked::Outline(invite) => build::refusal(invite, path.remote, &tag, wait, room),
    };
    let behind_tag = answer.len() - tag_ends;
    let answer = match said {
        Some(Control::Offered) => answering(answer, || Some(trunk.overload.wanted())),
        Some(Control::Wanted(_)) | None => answer,
    };
    // A tag that isn't ours stays as it is.
    match asked {
        Asked::Whole(request) if request.to_tag().is_some() => answer,
        Asked::Whole(_) | Asked::Outline(_) => of_one_length(answer, behind_tag),
    }
}

/// The answer with a tag so much longer that its length is a round one: those of one length leave together. So many bytes
/// stand behind the tag.
fn of_one_length(mut answer: Vec<u8>, behind_tag: usize) -> Vec<u8> {
    let len = answer.len();
    let missing = len.next_multiple_of(ROUND_BYTES) - len;
    answer.resize(len + missing, b'b');
    if let Some((_, behind)) = answer.split_at_mut_checked(len - behind_tag) {
        behind.copy_within(..behind_tag, missing);
        behind.iter_mut().take(missing).for_each(|byte| *byte = b'b');
    }
    answer
}

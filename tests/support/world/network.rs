//! The network of the simulated world, with its weather, and what arrives at Umbra by it.

use std::time::Duration;

use umbra::call::media::{self, Report};
use umbra::call::port::{Input, Records, Why};
use umbra::rtp::srtp::RTP_GROWTH_MAX;
use umbra::sip::path::{ListenerId, Path, Transport};
use umbra::sip::peek::peek;

use super::super::stage::Packet;
use super::super::text::{Msg, uri_in, user_of};
use super::super::wires::Towards;
use super::{What, World};

/// What the network does to packets.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The shortest way, in microseconds.
    pub delay_min: u32,
    /// The longest way: more than the shortest reorders.
    pub delay_max: u32,
    /// Packets lost, per thousand.
    pub loss: u32,
    /// Packets that come twice, per thousand.
    pub dup: u32,
    /// Packets towards Umbra that are followed by a mangled copy, per thousand.
    pub mangled: u32,
    /// Packets that are seconds late, behind all that was sent after them, per thousand.
    pub late: u32,
}

impl Weather {
    /// Every packet, once, after a millisecond.
    pub const FAIR: Self = Self {
        delay_min: 1_000,
        delay_max: 1_000,
        loss: 0,
        dup: 0,
        mangled: 0,
        late: 0,
    };
}

impl World {
    /// A copy that came to harm: bytes changed, lost, doubled, or a piece of it again elsewhere.
    fn mangle(&mut self, mut packet: Packet) {
        for _ in 0..1 + self.chance.below(3) {
            let length = packet.bytes.len() as u32;
            if length < 4 {
                return;
            }
            let (from, to) = (self.chance.below(length), self.chance.below(length));
            let (from, to) = (from.min(to) as usize, from.max(to) as usize);
            match self.chance.below(5) {
                0 => packet.bytes[from] = self.chance.below(256) as u8,
                1 => drop(packet.bytes.drain(from..(from + 20).min(to))),
                2 => packet.bytes.truncate(to.max(4)),
                3 => {
                    let piece = packet.bytes[from..(from + 80).min(to)].to_vec();
                    packet.bytes.splice(to..to, piece);
                }
                _ => {
                    let signs = b"\r\n;:,<>@\"0129 ";
                    packet.bytes[from] = signs[self.chance.below(signs.len() as u32) as usize];
                }
            }
        }
        let us = self.chance.below(5_000_000);
        self.later(Duration::from_micros(us.into()), What::Packet(packet, None));
    }

    /// A packet goes into the network.
    pub(super) fn carry(&mut self, packet: Packet, way: Option<(usize, Path)>) {
        if packet.to == self.setup.umbra() && self.chance.below(1_000) < self.weather.mangled {
            self.mangle(packet.clone());
        }
        let copies = if self.chance.below(1_000) < self.weather.dup {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let storm = if self.now < self.storm_until { 800 } else { 0 };
            if self.chance.below(1_000) < self.weather.loss.max(storm) {
                self.note(&packet, " (lost)");
                continue;
            }
            let span = self.weather.delay_max - self.weather.delay_min;
            let mut us = self.weather.delay_min + self.chance.below(span + 1);
            if self.chance.below(1_000) < self.weather.late {
                us += self.chance.below(4_000_000);
            }
            self.later(
                Duration::from_micros(us.into()),
                What::Packet(packet.clone(), way),
            );
        }
    }

    pub(super) fn note(&mut self, packet: &Packet, what: &str) {
        if let Some(msg) = Msg::read(&packet.bytes) {
            let text = format!(
                "{} {}{what}",
                msg.name(),
                if msg.body.is_empty() { "" } else { "+sdp" }
            );
            self.log.push((self.now, packet.from, packet.to, text));
        }
    }

    /// A message of Umbra's that goes over TCP: by a connection that is there, or by a new one.
    pub(super) fn stream_out(&mut self, to: Path, bytes: Vec<u8>) {
        let known = self.wires.of_path(to);
        let is_heard = self.listening.contains(&to.remote) && self.setup.hears_tcp(to.remote);
        let at = match known {
            Some(at) => at,
            None if is_heard => {
                let (_, umbra) = self.setup.listeners()[usize::from(to.listener.0)];
                self.wires
                    .opened_by_umbra((to.listener, to.transport), umbra, to.remote)
            }
            None => return self.tell_failed(to, Why::Refused),
        };
        self.stream(at, Towards::Phone, bytes);
    }

    /// A message of a phone's that goes over TCP.
    pub(super) fn stream_in(&mut self, packet: Packet) {
        let umbra = self.setup.umbra_near(packet.from);
        if self.dead.is_some() {
            return;
        }
        let known = self
            .wires
            .between(packet.from, packet.to)
            .or_else(|| self.wires.between(packet.from, umbra));
        let at = known.or_else(|| {
            let stream = self.setup.stream_at(packet.from);
            let listener = self.setup.listener(stream, umbra)?;
            let listener = ListenerId(listener as u8);
            Some(self.wires.opened_by_phone((listener, stream), umbra, packet.from))
        });
        match at {
            Some(at) => self.stream(at, Towards::Umbra, packet.bytes),
            // Nobody listens: it is a datagram whose Via lies.
            None => self.carry(packet, None),
        }
    }

    fn stream(&mut self, at: usize, towards: Towards, bytes: Vec<u8>) {
        let span = self.weather.delay_max - self.weather.delay_min;
        let us = self.weather.delay_min + self.chance.below(span + 1);
        let wished = self.now + Duration::from_micros(us.into());
        let arrival = self.wires.arrival(at, towards, wished);
        self.later(arrival - self.now, What::Streamed(at, towards, bytes));
    }

    /// As the loop does: every shard hears of it.
    pub(super) fn tell_failed(&mut self, path: Path, why: Why) {
        for shard in 0..self.switches.len() {
            self.later(Duration::from_millis(1), What::Failed(shard, path, why));
        }
    }

    /// Bytes of a connection arrive; what a phone gets is handed back.
    pub(super) fn streamed(&mut self, at: usize, towards: Towards, bytes: Vec<u8>) -> Option<Packet> {
        let wire = self.wires.open(at)?.clone();
        let (from, to) = match towards {
            Towards::Umbra => (wire.theirs, wire.umbra),
            Towards::Phone => (wire.umbra, wire.phone),
        };
        let packet = Packet { from, to, bytes };
        self.note(&packet, " over TCP");
        match towards {
            Towards::Umbra => {
                let path = self.wires.path(at);
                self.hear(path, &packet.bytes);
                None
            }
            Towards::Phone => Some(packet),
        }
    }

    /// A SIP message has arrived at Umbra.
    fn hear(&mut self, path: Path, bytes: &[u8]) {
        if self.dead.is_some() {
            return;
        }
        let from = path.remote;
        let call_id = peek(bytes).map(|p| p.call_id.to_vec()).unwrap_or_default();
        let shard = self.homes.of(&call_id);
        if let Some(msg) = Msg::read(bytes)
            && msg.method() == "INVITE"
            && msg.status().is_none()
            && msg.tag("To").is_none()
            && let Ok(dialled) = self.plan.normalise(user_of(msg.uri()))
            && self.table.is_ours(dialled)
            && self
                .config
                .trunks
                .iter()
                .any(|t| t.accept_from.iter().any(|c| c.holds(from.ip())))
            && self.seen.insert(msg.call_id().to_owned())
            && self.records_kept == Records::Kept
        {
            let at = self.at().wall;
            let identity = msg.get("P-Asserted-Identity").or_else(|| msg.get("From"));
            let caller = identity.and_then(|id| self.plan.normalise(user_of(uri_in(id))).ok());
            let verdict = self.law.judge(dialled, caller, at);
            let verdicts = self.attempts.entry(msg.call_id().to_owned());
            verdicts.or_default().push(verdict);
            self.heard.push((self.now, msg.call_id().to_owned()));
            self.coming = Some((dialled, caller, at));
        }
        self.give(shard, Input::Packet { path, bytes });
        self.coming = None;
    }

    /// A packet has arrived at Umbra.
    pub(super) fn arrive(&mut self, packet: Packet) {
        let Packet { from, to, mut bytes } = packet;
        if let Some(listener) = self.setup.listener(Transport::Udp, to) {
            return self.hear(Path::udp(ListenerId(listener as u8), from), &bytes);
        }
        let now = self.at().at;
        let Some(port) = self.setup.media_port(to).filter(|port| self.bound.contains(port)) else {
            return;
        };
        if to.port() % 2 == 1 {
            self.relay.rtcp(now, port.0, from, &mut bytes);
            return;
        }
        let length = bytes.len();
        bytes.resize(length + RTP_GROWTH_MAX, 0);
        if let Some(out) = self.relay.rtp(now, port.0, from, &mut bytes, length) {
            self.media_leaves(out.port, out.to, bytes[out.bytes].to_vec());
        }
        self.faults.extend(self.tapes.look());
        while let Some((port, keyed)) = self.relay.poll_heard() {
            let port = media::MediaPort(port);
            let shard = self.lanes.shard_of(port);
            self.later(Duration::ZERO, What::Report(shard, Report::of_key(port, keyed)));
        }
    }
}

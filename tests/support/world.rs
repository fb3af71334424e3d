//! The whole server on virtual time: switches, the relay, a network with weather. One seed, one history.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use umbra::base::chance::Chance;
use umbra::base::id::Id;
use umbra::base::number::{Format, NumberPlan, Tel};
use umbra::base::shard::{Homes, Shard};
use umbra::base::time::{Instant, Now, Wall};
use umbra::call::cdr::{Cdr, Line};
use umbra::call::config::{Config, Listener, SipTimers};
use umbra::call::media::{self, Order, Report};
use umbra::call::port::{
    Answer, AskId, CallEntry, Command, Event, EventKind, Input, Note, Output, Records, Why,
};
use umbra::call::switch::Switch;
use umbra::call::trunk::{
    CallerFrom, Cidr, DialledFrom, Dtmf, Gateway, LargeRequests, MayShow, Naming, Redirects, Reliability,
    RtcpMux, SessionTimer, SessionWish, Trunk,
};
use umbra::masking::binding::Mode;
use umbra::masking::change::Change;
use umbra::masking::reason::Reason;
use umbra::masking::request::{Refused, Write};
use umbra::masking::table::Table;
use umbra::rtp::flow::MediaNat;
use umbra::rtp::relay::Relay;
use umbra::sip::path::{ListenerId, Path, Transport};
use umbra::sip::peek::peek;

use super::law::{Law, Verdict};
use super::sequence::Sequence;
use super::stage::{Binding, Doing, Large, Packet, Setup, Stage};
use super::text::{Msg, uri_in, user_of};
use super::wires::{Towards, Wires};

mod disk;
pub mod owner;
pub mod restart;

use disk::Disk;
use restart::{Kill, Past, Strike};

/// 2026-11-21T10:00:00Z
const BEGINNING: i64 = 1_795_255_200_000;

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

/// When a conversation began and ended, by the clock that nobody sets.
#[derive(Clone, Copy, Default, Debug)]
pub struct Talk {
    /// The answer.
    pub from: Option<Duration>,
    /// The end.
    pub until: Option<Duration>,
    /// How far the wall's clock, by which another process went on counting, had been set forward between.
    pub leap: Duration,
}

/// What an INVITE of Umbra's says.
#[derive(Clone, Debug)]
pub struct Invited {
    /// Its Call-ID.
    pub call_id: String,
    /// Whom it calls.
    pub called: String,
    /// What it shows, in each header that shows anything.
    pub shown: Vec<String>,
}

enum What {
    /// The process that comes after one that was killed is there.
    Back,
    /// A record stands in the CDR files for certain.
    Recorded(Id),
    Packet(Packet, Option<(usize, Path)>),
    Report(usize, Report),
    Failed(usize, Path, Why),
    /// Bytes of a TCP connection.
    Streamed(usize, Towards, Vec<u8>),
}

struct Item {
    at: Duration,
    serial: u64,
    what: What,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// The world.
pub struct World {
    setup: Setup,
    /// What the network is like.
    pub weather: Weather,
    /// How long the media threads take to bind a port.
    pub bind_delay: Duration,
    table: Arc<Table>,
    plan: NumberPlan,
    chance: Chance,
    switches: Vec<Switch>,
    /// As any shard sees it: every Call-ID's home.
    homes: Homes,
    relay: Relay,
    lanes: media::Lanes,
    bound: HashSet<media::MediaPort>,
    /// Ports that somebody else has.
    pub taken: HashSet<u16>,
    now: Duration,
    /// How far the wall clock was set forward.
    skew: Duration,
    /// How far when the process was killed last.
    skew_then: Duration,
    /// Until when most packets are lost.
    storm_until: Duration,
    config: Config,
    records_kept: Records,
    /// There was a time when no record could be kept.
    pub was_full: bool,
    law: Law,
    /// The attempt that is being given to a switch: what was dialled, by whom, when.
    coming: Option<(Tel, Option<Tel>, Wall)>,
    serial: u64,
    queue: BinaryHeap<Reverse<Item>>,
    listening: HashSet<SocketAddr>,
    wires: Wires,
    /// Records, in order.
    pub records: Vec<Cdr>,
    /// When each call was first in the journal, by the order of outputs.
    pub journal: BTreeMap<Id, u64>,
    disk: Disk,
    /// Every change of the table, in order: what the store keeps.
    changes: Vec<Change>,
    /// How the process is going to end.
    doom: Option<Kill>,
    /// When the process was killed, while nobody is there.
    dead: Option<Wall>,
    /// What became of calls in restarts.
    pub past: Past,
    /// The first and the last finished record that went to the journal, of each call that isn't recorded yet.
    over: BTreeMap<Id, [Arc<Line>; 2]>,
    /// Records that may not be in the CDR files for certain yet.
    unconfirmed: BTreeSet<Id>,
    /// When an INVITE with this Call-ID first left, by the order of outputs.
    pub invites: BTreeMap<String, u64>,
    /// Every INVITE outside a dialog that left.
    pub invited: Vec<Invited>,
    /// New INVITEs from the trunk on numbers of ours that arrived at Umbra: Call-ID and what the law says; once for each
    /// process that heard it.
    pub attempts: BTreeMap<String, Vec<Verdict>>,
    /// When which of them arrived.
    heard: Vec<(Duration, String)>,
    /// The Call-IDs of all that arrived so at this process, and of those for which there was no room for a record.
    seen: HashSet<String>,
    /// The conversations, by call.
    pub talks: BTreeMap<Id, Talk>,
    /// Events, in order.
    pub events: Vec<Event>,
    /// Notes, in order.
    pub notes: Vec<Note>,
    /// Every packet: when, from, to, what.
    pub log: Vec<(Duration, SocketAddr, SocketAddr, String)>,
    sequence: Sequence,
    faults: Vec<String>,
    audio: Vec<String>,
    audio_answers: usize,
}

impl World {
    /// A world. `seed` is its chance.
    pub fn new(setup: Setup, seed: u64) -> Self {
        let mut chance = Chance::from_number(seed);
        let table = Arc::new(Table::new());
        let settings = config_of(&setup);
        let config = Arc::new(settings.clone());
        let key = [chance.bits(), chance.bits()];
        let count = setup.shards;
        let shard = |index| Shard { index, count, key };
        let switches = (0..count)
            .map(|index| Switch::new(config.clone(), table.clone(), shard(index), chance.fork()))
            .collect();
        let lanes = config.media.lanes(count);
        let relay = relay_of(&config, &mut chance);
        let mut world = Self {
            setup,
            weather: Weather::FAIR,
            bind_delay: Duration::ZERO,
            table,
            plan: NumberPlan::default(),
            chance,
            switches,
            homes: Homes {
                shard: shard(0),
                moved: Arc::default(),
            },
            relay,
            lanes,
            bound: HashSet::new(),
            taken: HashSet::new(),
            now: Duration::ZERO,
            skew: Duration::ZERO,
            skew_then: Duration::ZERO,
            storm_until: Duration::ZERO,
            config: settings,
            was_full: false,
            records_kept: Records::Kept,
            law: Law::default(),
            coming: None,
            serial: 0,
            queue: BinaryHeap::new(),
            listening: HashSet::new(),
            wires: Wires::default(),
            records: Vec::new(),
            journal: BTreeMap::new(),
            disk: Disk::new(),
            changes: Vec::new(),
            doom: None,
            dead: None,
            past: Past::default(),
            over: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            invites: BTreeMap::new(),
            invited: Vec::new(),
            attempts: BTreeMap::new(),
            heard: Vec::new(),
            seen: HashSet::new(),
            talks: BTreeMap::new(),
            events: Vec::new(),
            notes: Vec::new(),
            log: Vec::new(),
            sequence: Sequence::default(),
            faults: Vec::new(),
            audio: Vec::new(),
            audio_answers: 0,
        };
        for shard in 0..count {
            world.drain_outputs(shard);
        }
        world
    }

    /// Live calls of all shards.
    pub fn calls(&self) -> usize {
        self.switches.iter().map(Switch::calls).sum()
    }

    /// Gives every shard a command.
    pub fn command(&mut self, command: Command) {
        for shard in 0..self.switches.len() {
            self.give(shard, Input::Order(command));
        }
    }

    /// Whether records can be written from now on.
    pub fn records(&mut self, records: Records) {
        self.records_kept = records;
        self.was_full |= records == Records::Full;
        self.command(Command::Records(records));
    }

    /// Sets the wall clock forward, as an administrator or NTP does.
    pub fn set_forward(&mut self, by: Duration) {
        self.skew += by;
    }

    /// From now on, for so long, four of five packets are lost.
    pub fn storm(&mut self, length: Duration) {
        self.storm_until = self.storm_until.max(self.now + length);
    }

    /// Nothing moves on the connections of this address for a while.
    pub fn stall(&mut self, at: SocketAddr, length: Duration) {
        self.wires.stall(at, self.now + length);
    }

    /// Gives every shard a changed configuration.
    pub fn reload(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        let config = Arc::new(self.config.clone());
        for shard in 0..self.switches.len() {
            self.give(shard, Input::Config(config.clone()));
        }
    }

    fn at(&self) -> Now {
        let us = |of: Duration| u64::try_from(of.as_micros()).unwrap_or(u64::MAX);
        Now {
            at: Instant::from_micros(us(self.now)),
            wall: Wall::from_millis(BEGINNING + (us(self.now + self.skew) / 1_000) as i64),
        }
    }

    fn give(&mut self, shard: usize, input: Input<'_>) {
        let now = self.at();
        if let Some(switch) = self.switches.get_mut(shard) {
            switch.handle(now, input);
            self.drain_outputs(shard);
        }
    }

    /// Carries out what a switch wants, as the shell does: what goes to the journal stands there before anything else
    /// happens.
    fn drain_outputs(&mut self, shard: usize) {
        let Some(switch) = self.switches.get_mut(shard) else {
            return;
        };
        let (mut entries, mut outputs) = (Vec::new(), Vec::new());
        while let Some(output) = switch.poll() {
            if let Output::Journal(entry) = output {
                entries.push(entry);
            } else {
                outputs.push(output);
            }
        }
        if entries.is_empty() && outputs.is_empty() {
            return;
        }
        self.disk.write(self.now, &entries);
        let strike = self.struck(&entries, &outputs);
        entries.into_iter().for_each(|entry| self.journalled(entry));
        match strike {
            None => self.carry_out(shard, outputs),
            Some(Strike { kill, sends }) => {
                let outputs = restart::before_death(outputs, sends);
                self.carry_out(shard, outputs);
                self.strikes(kill);
            }
        }
    }

    /// Takes note of an entry that is written.
    fn journalled(&mut self, entry: CallEntry) {
        self.serial += 1;
        match entry {
            CallEntry::Over(line) => match self.over.entry(line.call_id) {
                Entry::Vacant(none) => drop(none.insert([Arc::clone(&line), line])),
                Entry::Occupied(mut lines) => lines.get_mut()[1] = line,
            },
            CallEntry::Arrived(line) => {
                if self.journal.insert(line.call_id, self.serial).is_some() {
                    self.faults
                        .push(format!("{} is twice in the journal", line.call_id));
                }
            }
            CallEntry::Answered { .. }
            | CallEntry::Kept { .. }
            | CallEntry::Acked { .. }
            | CallEntry::Ended { .. } => {}
        }
    }

    fn carry_out(&mut self, shard: usize, outputs: Vec<Output>) {
        for output in outputs {
            self.serial += 1;
            match output {
                Output::Send { to, bytes } => {
                    let msg = Msg::read(&bytes);
                    self.faults
                        .extend(msg.as_ref().and_then(|msg| self.sequence.leaves(msg)));
                    if let Some(msg) = msg.filter(|m| m.method() == "INVITE" && m.status().is_none()) {
                        let serial = self.serial;
                        self.invites.entry(msg.call_id().to_owned()).or_insert(serial);
                        if msg.tag("To").is_none() {
                            let seen = |header| msg.get(header).map(|value| user_of(uri_in(value)));
                            let shown = ["From", "P-Asserted-Identity"].into_iter().filter_map(seen);
                            self.invited.push(Invited {
                                call_id: msg.call_id().to_owned(),
                                called: user_of(msg.uri()).to_owned(),
                                shown: shown.map(str::to_owned).collect(),
                            });
                        }
                    }
                    if to.transport == Transport::Tcp {
                        self.stream_out(to, bytes);
                        continue;
                    }
                    let (_, from) = self.setup.listeners()[usize::from(to.listener.0)];
                    let packet = Packet {
                        from,
                        to: to.remote,
                        bytes,
                    };
                    self.carry(packet, Some((shard, to)));
                }
                Output::Media(order) => self.obey(shard, &order),
                Output::Event(event) => {
                    let talk = self.talks.entry(event.call_id).or_default();
                    match event.what {
                        EventKind::Answered => {
                            talk.from = Some(self.now);
                            self.law.used(event.call_id);
                        }
                        EventKind::Ended { refusal, .. } => {
                            talk.until.get_or_insert(self.now);
                            match refusal {
                                Some(Reason::Cancelled) => self.law.used(event.call_id),
                                Some(_) | None => self.law.given_back(event.call_id),
                            }
                        }
                        EventKind::Ringing => self.law.used(event.call_id),
                        EventKind::Arrived => {
                            if let Some((dialled, caller, at)) = self.coming.take() {
                                self.law.took(dialled, caller, at, event.call_id);
                            }
                        }
                        EventKind::Dialled => {}
                    }
                    self.events.push(event);
                }
                Output::Cdr(cdr, line, _) => {
                    let is_itself = serde_json::from_slice::<Cdr>(&line.json).is_ok_and(|read| read == *cdr);
                    let over = self.over.remove(&cdr.call_id);
                    if !over
                        .as_ref()
                        .is_some_and(|[first, _]| was_known(first, &line, &cdr))
                    {
                        self.faults.push(format!(
                            "how {} ended was not in the journal at once",
                            cdr.call_id
                        ));
                    }
                    if !over.is_some_and(|[_, last]| last == line) || !is_itself {
                        self.faults
                            .push(format!("{} is not in the journal as it is recorded", cdr.call_id));
                    }
                    self.record(*cdr);
                }
                Output::Answer(_, Answer::Calls(calls)) => {
                    self.audio_answers += 1;
                    let words = calls.into_iter().map(|call| call.media.audio.unwrap_or_default());
                    self.audio.extend(words);
                }
                Output::Told(id) => self.disk.told(self.now, id),
                // It is written.
                Output::Journal(_) | Output::Answer(..) => {}
                Output::CalleeUsed(callee) => {
                    let (id, only) = (callee.binding, Some(callee));
                    must(self.write(&Write::ClearCallee { id, only }));
                }
                Output::Note(note) => {
                    if note.is_alarm() && !self.setup.alarms.contains(&format!("{note:?}")) {
                        self.faults.push(format!("alarm: {note:?}"));
                    }
                    self.notes.push(note);
                }
            }
        }
    }

    fn obey(&mut self, shard: usize, order: &Order) {
        let now = self.at().at;
        let port = order.port();
        match order {
            Order::Bind(_) | Order::Resume(..) if self.taken.contains(&port.number()) => {
                self.later(self.bind_delay, What::Report(shard, Report::NotBound(port)));
                return;
            }
            Order::Bind(_) => {
                self.bound.insert(port);
                self.later(self.bind_delay, What::Report(shard, Report::Bound(port)));
                return;
            }
            Order::Resume(_, spec) => {
                self.bound.insert(port);
                self.relay.resume(now, port.0, spec);
                self.later(Duration::ZERO, What::Report(shard, Report::Bound(port)));
            }
            Order::Open(_, spec) => self.relay.open(now, port.0, spec),
            Order::Change(_, spec) => self.relay.change(now, port.0, spec),
            Order::Join(a, b) => self.relay.join(now, a.0, b.0),
            Order::Digit(_, digit) => {
                self.relay.digit(now, port.0, *digit);
            }
            Order::Count(_) => {
                let counts = self.relay.counts(now, port.0).unwrap_or_default();
                self.later(Duration::ZERO, What::Report(shard, Report::Counts(port, counts)));
            }
            Order::Close(_) => match self.relay.close(now, port.0) {
                Some(counts) => {
                    self.later(Duration::ZERO, What::Report(shard, Report::Closed(port, counts)));
                }
                // Of a call that was to go on, on a port that somebody took: its end is answered all the same.
                None if self.taken.contains(&port.number()) => {
                    let counts = Default::default();
                    self.later(Duration::ZERO, What::Report(shard, Report::Closed(port, counts)));
                }
                None => self
                    .faults
                    .push(format!("closed a port without a flow: {port:?}")),
            },
        }
        if !self.bound.contains(&port) && !self.taken.contains(&port.number()) {
            self.faults
                .push(format!("a flow on a port that nobody bound: {port:?}"));
        }
        self.relay_sends();
    }

    fn relay_sends(&mut self) {
        while let Some((port, to, bytes)) = self.relay.poll_out() {
            let from = self.setup.media_address(media::MediaPort(port));
            self.carry(Packet { from, to, bytes }, None);
        }
        while let Some(port) = self.relay.poll_dead() {
            let port = media::MediaPort(port);
            let shard = self.lanes.shard_of(port);
            self.later(Duration::ZERO, What::Report(shard, Report::Dead(port)));
        }
    }

    fn later(&mut self, after: Duration, what: What) {
        self.serial += 1;
        self.queue.push(Reverse(Item {
            at: self.now + after,
            serial: self.serial,
            what,
        }));
    }

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
    fn carry(&mut self, packet: Packet, way: Option<(usize, Path)>) {
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

    fn note(&mut self, packet: &Packet, what: &str) {
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
    fn stream_out(&mut self, to: Path, bytes: Vec<u8>) {
        let known = self.wires.of_path(to);
        let is_heard = self.listening.contains(&to.remote) && self.setup.hears_tcp(to.remote);
        let at = match known {
            Some(at) => at,
            None if is_heard => {
                let (_, umbra) = self.setup.listeners()[usize::from(to.listener.0)];
                self.wires.opened_by_umbra(to.listener, umbra, to.remote)
            }
            None => return self.tell_failed(to, Why::Refused),
        };
        self.stream(at, Towards::Phone, bytes);
    }

    /// A message of a phone's that goes over TCP.
    fn stream_in(&mut self, packet: Packet) {
        let umbra = self.setup.umbra_near(packet.from);
        if self.dead.is_some() {
            return;
        }
        let known = self
            .wires
            .between(packet.from, packet.to)
            .or_else(|| self.wires.between(packet.from, umbra));
        let at = known.or_else(|| {
            let listener = self.setup.listener(Transport::Tcp, umbra)?;
            let listener = ListenerId(listener as u8);
            Some(self.wires.opened_by_phone(listener, umbra, packet.from))
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
    fn tell_failed(&mut self, path: Path, why: Why) {
        for shard in 0..self.switches.len() {
            self.later(Duration::from_millis(1), What::Failed(shard, path, why));
        }
    }

    /// Bytes of a connection arrive; what a phone gets is handed back.
    fn streamed(&mut self, at: usize, towards: Towards, bytes: Vec<u8>) -> Option<Packet> {
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
    fn arrive(&mut self, packet: Packet) {
        let Packet { from, to, mut bytes } = packet;
        if let Some(listener) = self.setup.listener(Transport::Udp, to) {
            return self.hear(Path::udp(ListenerId(listener as u8), from), &bytes);
        }
        let now = self.at().at;
        let Some(port) = self.setup.media_port(to).filter(|port| self.bound.contains(port)) else {
            return;
        };
        if to.port() % 2 == 1 {
            self.relay.rtcp(now, port.0, from, &bytes);
            return;
        }
        if let Some(out) = self.relay.rtp(now, port.0, from, &mut bytes) {
            let packet = Packet {
                from: self.setup.media_address(media::MediaPort(out.port)),
                to: out.to,
                bytes: bytes[out.bytes].to_vec(),
            };
            self.carry(packet, None);
        }
        while let Some((port, digit)) = self.relay.poll_heard() {
            let port = media::MediaPort(port);
            let shard = self.lanes.shard_of(port);
            self.later(Duration::ZERO, What::Report(shard, Report::Key(port, digit)));
        }
    }

    /// A number as people write it.
    pub fn tel(&self, text: &str) -> Tel {
        match self.plan.normalise(text) {
            Ok(tel) => tel,
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

impl Stage for World {
    fn is_exact(&self) -> bool {
        true
    }

    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn open(&mut self, at: SocketAddr) {
        self.listening.insert(at);
    }

    fn shut(&mut self, at: SocketAddr) {
        self.listening.remove(&at);
        self.reset(at);
    }

    fn send(&mut self, packet: Packet) {
        if Msg::read(&packet.bytes).is_some_and(|msg| msg.is_over_tcp()) {
            self.stream_in(packet);
        } else {
            self.carry(packet, None);
        }
    }

    fn reset(&mut self, at: SocketAddr) {
        for wire in self.wires.reset(at) {
            let path = self.wires.path(wire);
            let why = if self.wires.has_served(wire) {
                Why::Crossed
            } else {
                Why::Closed
            };
            self.tell_failed(path, why);
        }
    }

    fn receive(&mut self, until: Duration) -> Option<Packet> {
        let us = |at: Instant| Duration::from_micros(at.as_micros());
        loop {
            let queued = self.queue.peek().map(|Reverse(item)| item.at);
            let relay = self.relay.timeout().map(us);
            let switch = self
                .switches
                .iter()
                .enumerate()
                .filter_map(|(index, s)| s.timeout().map(|at| (us(at), index)))
                .min();
            let next = [queued, relay, switch.map(|(at, _)| at)]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until.max(self.now);
                return None;
            };
            self.now = next.max(self.now);
            if queued == Some(next) {
                let Some(Reverse(item)) = self.queue.pop() else {
                    continue;
                };
                match item.what {
                    What::Back => self.come_back(),
                    What::Recorded(call_id) => {
                        self.unconfirmed.remove(&call_id);
                        self.disk.write(self.now, &[CallEntry::Ended { call_id }]);
                    }
                    What::Report(shard, report) => self.give(shard, Input::Media(report)),
                    What::Failed(shard, path, why) => self.give(shard, Input::Failed(path, why)),
                    What::Streamed(at, towards, bytes) => {
                        if let Some(packet) = self.streamed(at, towards, bytes) {
                            return Some(packet);
                        }
                    }
                    What::Packet(packet, way) => {
                        if packet.to.ip() == self.setup.ip(0, 1)
                            || self.setup.media_port(packet.to).is_some()
                            || self.setup.listener(Transport::Udp, packet.to).is_some()
                        {
                            self.note(&packet, "");
                            self.arrive(packet);
                        } else if self.listening.contains(&packet.to) {
                            self.note(&packet, "");
                            return Some(packet);
                        } else if let Some((shard, path)) = way {
                            self.note(&packet, " (nobody there)");
                            let failed = What::Failed(shard, path, Why::Refused);
                            self.later(Duration::from_millis(1), failed);
                        }
                    }
                }
            } else if relay == Some(next) {
                let at = self.at().at;
                self.relay.tick(at);
                self.relay_sends();
            } else if let Some((_, shard)) = switch {
                self.give(shard, Input::Timeout);
            }
        }
    }

    fn own(&mut self, x: &str) {
        self.owns_in(Mode::Axb, x);
    }

    fn own_in(&mut self, mode: &str, x: &str) {
        self.owns_in(mode_of(mode), x);
    }

    fn callee(&mut self, x: &str, to: Option<&str>) {
        must(self.names(x, to));
    }

    fn bind(&mut self, binding: &Binding) {
        must(self.binds(binding));
    }

    fn unbind(&mut self, x: &str) {
        must(self.unbinds(x));
    }

    fn order(&mut self, doing: Doing, x: Option<&str>) {
        must(self.orders(doing, x));
    }

    fn drain(&mut self) {
        self.command(Command::Drain);
    }

    fn set_up_anew(&mut self, setup: Setup) {
        let config = config_of(&setup);
        self.setup = setup;
        self.reload(|c| *c = config);
    }

    fn cdrs(&mut self) -> Vec<Value> {
        self.records
            .iter()
            .map(|cdr| serde_json::to_value(cdr).expect("a record is JSON"))
            .collect()
    }

    fn audio(&mut self) -> Vec<String> {
        self.audio.clear();
        self.command(Command::Calls(AskId(1)));
        let until = self.now + Duration::from_millis(300);
        while self.audio_answers < self.switches.len() && self.now < until {
            // Whatever reaches a phone meanwhile is lost on it: nothing is said while it is asked.
            let _ = self.receive(self.now + Duration::from_millis(1));
        }
        self.audio_answers = 0;
        std::mem::take(&mut self.audio)
    }

    fn restart(&mut self, away: Duration) {
        self.die();
        if away.is_zero() {
            self.come_back();
        } else {
            self.later(away, What::Back);
        }
    }

    fn hand_over(&mut self) {
        // The media are asked for their counts, and these are written down.
        self.audio();
        self.command(Command::KeepAll);
        self.restart(Duration::ZERO);
    }

    fn busy(&mut self) -> Option<String> {
        if self.dead.is_some() {
            return Some("nobody is there".into());
        }
        let flows = self.relay.flows();
        if flows > 0 {
            return Some(format!("{flows} flows"));
        }
        let busy = self.switches.iter().find(|s| !s.is_idle());
        let seats = Some(self.table.calls_at_once()).filter(|calls| *calls > 0);
        busy.map(|s| format!("{s:?}"))
            .or_else(|| seats.map(|calls| format!("{calls} calls are counted and not there")))
    }

    fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}

fn relay_of(config: &Config, chance: &mut Chance) -> Relay {
    let (media::MediaPort(first), media::MediaPort(last)) = config.media.ranges().span();
    Relay::new(chance.fork(), first, last, Wall::from_millis(BEGINNING))
}

fn must(done: Result<(), Refused>) {
    if let Err(refused) = done {
        panic!("the table refuses: {refused:?}");
    }
}

fn mode_of(name: &str) -> Mode {
    Mode::ALL
        .into_iter()
        .find(|mode| mode.name() == name)
        .unwrap_or(Mode::Axb)
}

fn config_of(setup: &Setup) -> Config {
    let mut config = Config::on(setup.umbra());
    let listener = |(at, (transport, address)): (usize, (Transport, SocketAddr))| Listener {
        id: ListenerId(at as u8),
        transport,
        address,
        advertised: address,
    };
    config.listeners = setup.listeners().into_iter().enumerate().map(listener).collect();
    let net = |(network, prefix)| Cidr { network, prefix };
    config.timers = SipTimers::around(setup.t1);
    config.ring_timeout = setup.ring;
    config.media.interfaces = setup.interfaces();
    let named = |name: &Option<String>| {
        let name = name.as_ref()?;
        let at = config.media.interfaces.iter().position(|i| *i.name == **name);
        Some(media::InterfaceId(at.expect("an interface of the play") as u8))
    };
    let trunk_media = named(&setup.media);
    config.media.timeout = setup.media_timeout;
    config.trunks = vec![Trunk {
        name: "carrier".into(),
        accept_from: setup.accepted().into_iter().map(net).collect(),
        gateways: (1..=setup.gateways)
            .map(|n| Gateway {
                address: setup.gateway(n as u8),
                transport: setup.gateway.transport(),
            })
            .collect(),
        large_requests: match setup.large {
            Large::Udp => LargeRequests::Udp,
            Large::Heard | Large::Refused => LargeRequests::Tcp,
        },
        listener: None,
        dialled_from: vec![DialledFrom::Ruri],
        caller_id: vec![CallerFrom::Pai, CallerFrom::From],
        strip: Vec::new(),
        number_format: Format::National,
        may_show: vec![MayShow::Own],
        default: true,
        media_nat: if setup.latch {
            MediaNat::Latch
        } else {
            MediaNat::Strict
        },
        media: trunk_media,
        first_response: setup.silence,
        redirects: if setup.follows {
            Redirects::Follow
        } else {
            Redirects::Refuse
        },
        rtcp_mux: if setup.offers_mux {
            RtcpMux::Offer
        } else {
            RtcpMux::Answer
        },
        dtmf: if setup.keys_by_info { Dtmf::Info } else { Dtmf::Rtp },
        reliable_provisionals: match setup.reliable.as_str() {
            "off" => Reliability::Off,
            "require" => Reliability::Require,
            _ => Reliability::Offer,
        },
        charging_vector: naming(setup.names_charging),
        session_id: naming(setup.names_sessions),
        media_from: Vec::new(),
        session: SessionWish {
            timer: match setup.session_timer.as_str() {
                "accept" => SessionTimer::Accept,
                "offer" => SessionTimer::Offer,
                "off" => SessionTimer::Off,
                other => panic!("no session timer is {other}"),
            },
            interval_s: setup.session_expires_s,
            min_s: setup.min_se_s,
        },
    }];
    config
}

fn naming(is_own: bool) -> Naming {
    if is_own { Naming::Own } else { Naming::None }
}

/// Whether the journal knew how a call ended before its media was counted: what it then said is what is recorded.
fn was_known(first: &Arc<Line>, last: &Arc<Line>, cdr: &Cdr) -> bool {
    let Ok(first_cdr) = serde_json::from_slice::<Cdr>(&first.json) else {
        return false;
    };
    let end = |cdr: &Cdr| {
        (
            cdr.ended_at,
            cdr.released_by,
            cdr.end_cause.clone(),
            cdr.billable_s,
            cdr.sip_status,
        )
    };
    // Who isn't gone on with has no flows that could be counted.
    let has_media = cdr.answered_at.is_some() && cdr.end_cause.as_deref() != Some("restart");
    end(&first_cdr) == end(cdr) && (!has_media || !Arc::ptr_eq(first, last))
}

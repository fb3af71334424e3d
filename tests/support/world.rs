//! The whole server on virtual time: switches, the relay, a network with weather. One seed, one history.

use std::cell::LazyCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use umbra::base::chance::Chance;
use umbra::base::id::Id;
use umbra::base::number::{NumberPlan, Tel};
use umbra::base::shard::{Homes, Shard};
use umbra::base::time::{Instant, Now, Wall};
use umbra::call::ask::Advice;
use umbra::call::bans::Bans;
use umbra::call::cdr::Cdr;
use umbra::call::config::Config;
use umbra::call::draft::Draft;
use umbra::call::ivr::lockout::Lockout;
use umbra::call::media::{self, Report};
use umbra::call::port::{AskId, CallEntry, Command, Event, Input, Note, Records, Why};
use umbra::call::reach::{Block, Reach};
use umbra::call::recording::Control;
use umbra::call::switch::Switch;
use umbra::masking::binding::Mode;
use umbra::masking::change::Change;
use umbra::masking::request::Refused;
use umbra::masking::table::Table;
use umbra::rtp::relay::Relay;
use umbra::sip::path::{Path, Transport};

use super::customer::Script;
use super::law::{Law, Verdict};
use super::sequence::Sequence;
use super::stage::{Binding, Doing, Packet, Setup, Stage};
use super::text::Msg;
use super::wires::{Towards, Wires};
use super::witness;

mod conf;
pub mod customer;
mod disk;
mod network;
mod outputs;
pub mod owner;
pub mod recorder;
pub mod restart;
pub mod tapes;

use conf::{config_of, mode_of, resolved_of};
use disk::Disk;
pub use network::Weather;
use recorder::Recorder;
use restart::{Kill, Past};
use tapes::Tapes;

/// 2026-11-21T10:00:00Z
const BEGINNING: i64 = 1_795_255_200_000;

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
    /// What a customer's server says to a process of which so many have died before.
    Advised(usize, usize, AskId, Advice),
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
    /// What the shards know of the gateways.
    reach: Arc<Reach>,
    plan: NumberPlan,
    chance: Chance,
    switches: Vec<Switch>,
    /// As any shard sees it: every Call-ID's home.
    homes: Homes,
    relay: Relay,
    recorder: Recorder,
    /// What the media threads' taps hear.
    pub tapes: Tapes,
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
    customer: customer::Customer,
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
    /// Made when something is written.
    disk: LazyCell<Disk>,
    /// Whether anything is.
    is_kept: bool,
    /// Every change of the table, in order: what the store keeps.
    changes: Vec<Change>,
    /// How the process is going to end.
    doom: Option<Kill>,
    /// When the process was killed, while nobody is there.
    dead: Option<Wall>,
    /// What became of calls in restarts.
    pub past: Past,
    /// What the journal was told of the end of each call that isn't recorded yet.
    over: BTreeMap<Id, Vec<Draft>>,
    /// What it was told of each when it came.
    arrivals: BTreeMap<Id, Draft>,
    /// Records that may not be in the CDR files for certain yet.
    unconfirmed: BTreeSet<Id>,
    /// When an INVITE with this Call-ID first left, by the order of outputs.
    pub invites: BTreeMap<String, u64>,
    /// When a BYE with this Call-ID was refused.
    pub refused_byes: BTreeMap<String, Vec<Duration>>,
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
        let reach = Arc::new(Reach::default());
        let bans = Arc::new(Bans::default());
        let lockout = Arc::new(Lockout::default());
        let switches = (0..count)
            .map(|index| {
                Switch::new(config.clone(), table.clone(), shard(index), chance.fork())
                    .sharing(reach.clone())
                    .barring(bans.clone())
                    .locking(lockout.clone())
            })
            .collect();
        let lanes = config.media.lanes(count);
        let recorder = Recorder::default();
        let mut tapes = Tapes::default();
        let relay = tapes.relay(&config, &mut chance);
        let mut world = Self {
            setup,
            weather: Weather::FAIR,
            bind_delay: Duration::ZERO,
            table,
            reach,
            plan: NumberPlan::default(),
            chance,
            switches,
            homes: Homes {
                shard: shard(0),
                moved: Arc::default(),
            },
            relay,
            recorder,
            tapes,
            lanes,
            bound: HashSet::new(),
            taken: HashSet::new(),
            now: Duration::ZERO,
            skew: Duration::ZERO,
            skew_then: Duration::ZERO,
            storm_until: Duration::ZERO,
            config: settings,
            records_kept: Records::Kept,
            was_full: false,
            law: Law::default(),
            customer: customer::Customer::default(),
            coming: None,
            serial: 0,
            queue: BinaryHeap::new(),
            listening: HashSet::new(),
            wires: Wires::default(),
            records: Vec::new(),
            journal: BTreeMap::new(),
            disk: LazyCell::new(Disk::new),
            is_kept: true,
            changes: Vec::new(),
            doom: None,
            dead: None,
            past: Past::default(),
            over: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            invites: BTreeMap::new(),
            refused_byes: BTreeMap::new(),
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
        world.tell_names();
        world
    }

    /// The same without a journal, of which nobody asks for another process.
    pub fn without_journal(self) -> Self {
        Self {
            is_kept: false,
            ..self
        }
    }

    /// Whether processes heard this INVITE anew, each after the death of the one before.
    pub fn came_to_several(&self, call_id: &str) -> bool {
        let mut times = self
            .heard
            .iter()
            .filter(|(_, id)| id == call_id)
            .map(|(at, _)| *at);
        let first = times.next();
        let is_between = |first: Duration, later: Duration| {
            self.past
                .deaths
                .iter()
                .any(|death| first <= *death && *death <= later)
        };
        first.is_some_and(|first| times.any(|later| is_between(first, later)))
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

    /// Tells every shard what the name of the trunk's gateway resolves to, if it is one.
    fn tell_names(&mut self) {
        if self.setup.names.is_some() {
            let resolved = Arc::new(resolved_of(&self.setup));
            for shard in 0..self.switches.len() {
                self.give(shard, Input::Resolved(resolved.clone()));
            }
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

    fn later(&mut self, after: Duration, what: What) {
        self.serial += 1;
        self.queue.push(Reverse(Item {
            at: self.now + after,
            serial: self.serial,
            what,
        }));
    }

    /// The names of a trunk and a gateway of it, which these words name.
    fn named(&self, what: &[&str]) -> (Box<str>, Option<Box<str>>) {
        let gateway = what.get(1).map(|n| {
            let n: usize = n.parse().expect("a gateway's number");
            self.setup.gateway_uris()[n - 1].as_str().into()
        });
        ((*what.first().expect("a trunk")).into(), gateway)
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
        if let Some(shown) = witness::unveiled(&packet.bytes) {
            self.faults
                .push(format!("a capture server would be shown a number:\n{shown}"));
        }
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
                        self.write_down(&[CallEntry::Ended { call_id }]);
                    }
                    What::Report(shard, report) => self.give(shard, Input::Media(report)),
                    What::Advised(deaths, shard, id, advice) => self.advised(deaths, shard, id, advice),
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

    fn set_pool(&mut self, mode: &str, settings: &[&str]) {
        self.sets_pool(mode_of(mode), settings);
    }

    fn set_account(&mut self, settings: &[&str]) {
        self.sets_account(settings);
    }

    fn own_in(&mut self, mode: &str, x: &str) {
        self.owns_in(mode_of(mode), x);
    }

    fn ask(&mut self, x: &str, numbers: &str) {
        self.asks_for(x, numbers);
    }

    fn server(&mut self, script: Script) {
        self.customer.script = script;
    }

    fn questions(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.customer.asked)
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

    fn block(&mut self, what: &[&str]) {
        let (trunk, gateway) = self.named(what);
        let block = Block {
            trunk,
            gateway,
            since: self.at().wall,
        };
        self.reach.block(block).expect("there is room");
    }

    fn unblock(&mut self, what: &[&str]) {
        let (trunk, gateway) = self.named(what);
        assert!(self.reach.unblock(&trunk, gateway.as_deref()), "it is blocked");
    }

    fn set_up_anew(&mut self, setup: Setup) {
        let config = config_of(&setup);
        self.setup = setup;
        self.tell_names();
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

    fn control_recordings(&mut self, control: Control) {
        self.controls_recordings(control);
    }

    fn recorder_says(&mut self, what: &str, why: &str) {
        World::recorder_says(self, what, why);
    }

    fn recording(&mut self) -> (Vec<String>, Option<[usize; 2]>) {
        let heard = std::mem::take(&mut self.tapes.taped);
        self.recorder.take(&heard)
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
        if self.calls() == 0 && self.recorder.is_running() {
            return Some("a recording goes on without a call".into());
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

fn must(done: Result<(), Refused>) {
    if let Err(refused) = done {
        panic!("the table refuses: {refused:?}");
    }
}

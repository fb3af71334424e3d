//! The corridor: every input comes in here, is taken to the room that knows, and every output leaves here.
//! Rooms are called by it, never by each other's doors.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use self::probes::Probes;
use super::bans::Bans;
use super::config::Config;
use super::gate::Gate;
use super::hands::{CallRef, Hands, Keeping};
use super::ivr::lockout::Lockout;
use super::kept;
use super::listing::Listing;
use super::media::Lanes;
use super::overload::Door;
use super::phase::{Call, CalleeFate, Recorded};
use super::port::{Input, Output, Records};
use super::ports::Ports;
use super::reach::Reach;
use super::registrar::Registrar;
use super::trunk;
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::PORTS_TO_BEGIN;
use crate::base::shard::Shard;
use crate::base::time::{Instant, Now};
use crate::base::timer::Timers;
use crate::masking::table::Table;
use crate::sip::outline::Asked;
use crate::sip::overload::answering;
use crate::sip::path::Path;
use crate::sip::transaction::{BaseTimers, Layer, ServerId};

mod events;
mod messages;
mod probes;

/// One shard's switch: the whole server, to the simulator.
pub struct Switch {
    pub(super) config: Arc<Config>,
    pub(super) table: Arc<Table>,
    pub(super) hands: Hands,
    pub(super) calls: Vec<Option<Box<Call>>>,
    pub(super) generations: Vec<u32>,
    pub(super) free: Vec<u32>,
    pub(super) live: usize,
    pub(super) by_id: HashMap<Id, CallRef, ahash::RandomState>,
    pub(super) late: VecDeque<Late>,
    /// Calls whose caller may not know yet that he was refused: he hasn't acknowledged it.
    unheard: HashMap<CallRef, Id, ahash::RandomState>,
    pub(super) door: Door,
    /// Where trunks ask for passwords.
    gate: Gate,
    /// Our registrations with trunks.
    registrar: Registrar,
    pub(super) records: Records,
    /// A listing of the calls that waits for their counts.
    pub(super) listing: Option<Listing>,
    /// The gateways that are asked whether they are there.
    probes: Probes,
}

/// The answer to somebody who is no live party: it waits for its fixed offset from arrival.
pub(super) struct Late {
    pub(super) at: Instant,
    pub(super) server: ServerId,
    pub(super) status: u16,
    pub(super) bytes: Vec<u8>,
}

fn base_timers(config: &Config) -> BaseTimers {
    BaseTimers {
        t1: config.timers.t1,
        t2: config.timers.t2,
        t4: config.timers.t4,
    }
}

impl Switch {
    /// A switch without calls. `table` is shared by all shards.
    pub fn new(config: Arc<Config>, table: Arc<Table>, shard: Shard, chance: Chance) -> Self {
        let lanes = config.media.lanes(shard.count);
        Self::with_ports(config, table, shard, lanes, chance)
    }

    /// A switch without calls, where calls that another process left go on: `lanes` says who has their ports.
    pub fn with_ports(
        config: Arc<Config>,
        table: Arc<Table>,
        shard: Shard,
        lanes: Lanes,
        mut chance: Chance,
    ) -> Self {
        let seeds = [chance.bits(), chance.bits(), chance.bits(), chance.bits()];
        let state = || ahash::RandomState::with_seeds(seeds[0], seeds[1], seeds[2], seeds[3]);
        let timers = base_timers(&config);
        let gate = Gate::new(&mut chance.fork());
        let mut hands = Hands {
            layer: Layer::keyed(timers, seeds),
            out: Default::default(),
            timers: Timers::default(),
            ports: Ports::slice(lanes, shard.index),
            chance,
            dialogs: HashMap::with_hasher(state()),
            by_port: HashMap::with_hasher(state()),
            bans: Arc::default(),
            lockout: Arc::default(),
            reach: Arc::default(),
            resolved: Arc::default(),
            shard,
            keeping: Keeping::Calls,
            announcing: 0,
            ink: Vec::new(),
        };
        hands.bind_ahead(Instant::default());
        let mut registrar = Registrar::default();
        registrar.configure(Instant::default(), &mut hands, &config);
        let mut switch = Self {
            config,
            table,
            hands,
            calls: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            live: 0,
            by_id: HashMap::with_hasher(state()),
            late: VecDeque::new(),
            unheard: HashMap::with_hasher(state()),
            door: Door::Open,
            gate,
            registrar,
            records: Records::Kept,
            listing: None,
            probes: Probes::default(),
        };
        switch.plan_probes(Instant::default());
        switch
    }

    /// The same, sharing with others what is known of gateways.
    pub fn sharing(mut self, reach: Arc<Reach>) -> Self {
        self.hands.reach = reach;
        self
    }

    /// The same, sharing with others who is banned.
    pub fn barring(mut self, bans: Arc<Bans>) -> Self {
        self.hands.bans = bans;
        self
    }

    /// The same, sharing with others who guesses extensions.
    pub fn locking(mut self, lockout: Arc<Lockout>) -> Self {
        self.hands.lockout = lockout;
        self
    }

    /// Says nothing to the journal from now on: for whoever measures what that costs.
    pub fn keep_nothing(&mut self) {
        self.hands.keeping = Keeping::Nothing;
    }

    /// Takes one input. Drain [`Switch::poll`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Packet { path, bytes } => self.packet(now, path, bytes),
            Input::Failed(path, why) => self.send_failed(now, path, why),
            Input::Timeout => self.tick(now),
            Input::Media(report) => self.media(now, report),
            Input::Recorded(report) => self.recording_reported(now, &report),
            Input::Advice(id, advice) => self.advised(now, id, advice),
            Input::Order(command) => self.order(now, command),
            Input::Config(config) => {
                self.hands.layer.set_timers(base_timers(&config));
                self.hands.reach.follow(&config);
                self.registrar.configure(now.at, &mut self.hands, &config);
                self.config = config;
                self.plan_probes(now.at);
            }
            Input::Resolved(resolved) => {
                self.hands.resolved = resolved;
                let config = self.config.clone();
                self.registrar.configure(now.at, &mut self.hands, &config);
            }
        }
        self.transaction_events(now);
        self.hands.collect_sends();
    }

    /// The next output, in order; `None` when all are out.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.hands.out.pop_front()?;
        let Output::Send { to, bytes } = output else {
            return Some(output);
        };
        let wanted = || {
            let trunk = trunk::of_path(&self.config.trunks, &self.hands.resolved, to)?;
            Some(trunk.overload.wanted())
        };
        Some(Output::Send {
            to,
            bytes: answering(bytes, wanted),
        })
    }

    /// When [`Input::Timeout`] is due.
    pub fn timeout(&self) -> Option<Instant> {
        let late = self.late.front().map(|late| late.at);
        let listing = self.listing.as_ref().map(Listing::until);
        [
            self.hands.timers.next(),
            self.hands.layer.timeout(),
            self.registrar.timeout(),
            late,
            listing,
            self.probes.timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether no call, transaction, timer, dialog or port in use remains.
    pub fn is_idle(&self) -> bool {
        self.live == 0
            && self.hands.layer.is_empty()
            && self.hands.timers.is_empty()
            && self.hands.dialogs.is_empty()
            && self.hands.ports.in_use() == 0
            && self.by_id.is_empty()
            && self.hands.by_port.is_empty()
            && self.late.is_empty()
            && self.unheard.is_empty()
    }

    /// Whether a request is a repetition of one that was taken.
    pub fn knows(&self, path: Path, request: Asked<'_, '_>) -> bool {
        self.hands.layer.knows(path, request)
    }

    /// Calls that could begin at this instant with ports that are bound and free.
    pub fn berths_ready(&self) -> usize {
        self.hands.ports.ready()
    }

    /// Whether the ports of the first calls are being bound just now: whoever calls in that moment is refused, so that
    /// it is better to let him wait for it.
    pub fn awaits_ports(&self) -> bool {
        self.berths_ready() < PORTS_TO_BEGIN && self.hands.ports.is_binding()
    }

    /// The caller of a call has acknowledged that it was refused, or never will.
    fn refusal_heard(&mut self, me: CallRef) {
        if let Some(id) = self.unheard.remove(&me) {
            self.hands.out.push_back(Output::Told(id));
        }
    }

    /// Registrations of ours that gateways know of, or are just being told.
    pub fn registrations(&self) -> usize {
        self.registrar.held()
    }

    /// Live calls.
    pub fn calls(&self) -> usize {
        self.live
    }

    fn call(&self, me: CallRef) -> Option<&Call> {
        let place = self.calls.get(me.index as usize)?;
        place.as_deref().filter(|call| call.me == me)
    }

    pub(super) fn take(&mut self, me: CallRef) -> Option<Box<Call>> {
        let place = self.calls.get_mut(me.index as usize)?;
        if place.as_ref()?.me != me {
            None
        } else {
            place.take()
        }
    }

    pub(super) fn put_back(&mut self, mut call: Box<Call>) {
        if let Some(callee) = call.callee_taken
            && let Some(fate) = call.callee_fate()
        {
            call.callee_taken = None;
            match fate {
                CalleeFate::Used => self.hands.out.push_back(Output::CalleeUsed(callee)),
                CalleeFate::GivenBack => self.table.give_back(&callee),
            }
        }
        if call.recorded != Recorded::Open {
            call.seat = None;
            call.passes = [None, None];
        }
        kept::keep(&mut call, &mut self.hands);
        // Only of a call that was dialled anything is kept.
        let is_kept = call.record.dialled_at.is_some()
            || call.ivr.is_some()
            || call.through.is_some()
            || call.kept.is_of_one_alone();
        if !call.is_told && is_kept && call.is_left_by_all() {
            call.is_told = true;
            let id = call.record.call_id;
            if self.hands.layer.awaits_ack(call.caller.server) {
                self.unheard.insert(call.me, id);
            } else {
                self.hands.out.push_back(Output::Told(id));
            }
        }
        if !call.is_gone() {
            let index = call.me.index as usize;
            self.calls[index] = Some(call);
            return;
        }
        self.by_id.remove(&call.record.call_id);
        self.free.push(call.me.index);
        self.live -= 1;
        call.forget(&mut self.hands);
    }
}

impl fmt::Debug for Switch {
    /// What is in it, in numbers: never what it knows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("shard", &self.hands.shard.index)
            .field("calls", &self.live)
            .field("transactions", &self.hands.layer.len())
            .field("timers", &self.hands.timers.len())
            .field("dialogs", &self.hands.dialogs.len())
            .field("ports", &self.hands.ports.in_use())
            .field("by_id", &self.by_id.len())
            .field("by_port", &self.hands.by_port.len())
            .field("late", &self.late.len())
            .finish()
    }
}

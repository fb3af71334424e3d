//! The process is killed, at any event, and another one comes: what it finds, and what becomes of the calls.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use umbra::base::id::Id;
use umbra::base::shard::{Homes, Shard};
use umbra::base::time::Wall;
use umbra::call::bans::Bans;
use umbra::call::cdr::Cdr;
use umbra::call::ivr::lockout::Lockout;
use umbra::call::kept::{self, Fate, Left};
use umbra::call::media::{MediaPort, Order};
use umbra::call::port::{CallEntry, Command, Output, Records};
use umbra::call::reach::Reach;
use umbra::call::switch::Switch;
use umbra::masking::table::Table;

use super::disk::SYNC_EVERY;
use super::{BEGINNING, Reverse, What, World};

/// Calls whose process was away for longer are ended.
const RESTORE_WITHIN: Duration = Duration::from_secs(120);

/// How long the CDR files take to have a record for certain.
const RECORDING: Duration = Duration::from_millis(20);

/// The moment at which a process is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// It has done all that it had to do.
    Idle,
    /// It writes to the journal: of what it writes any part is there, and nothing else of that has happened.
    Writing,
    /// The journal has all that it wanted to write, and some of its messages have left.
    Sending,
    /// The machine loses power: any part of what the journal was told in the last 100 ms is gone, too.
    PowerLoss,
}

/// How a process ends, and what comes after it.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// When, in what it does just then.
    pub moment: Moment,
    /// So many times more it does something, before that.
    pub after: u32,
    /// How long nobody is there.
    pub away: Duration,
    /// The shards of the next process.
    pub shards: usize,
}

/// The end of a process, while it carries something out.
pub(super) struct Strike {
    pub(super) kill: Kill,
    /// What still leaves of its messages; `None`: not even anything else happens.
    pub(super) sends: Option<usize>,
}

/// What restarts have made of calls.
#[derive(Default, Debug)]
pub struct Past {
    /// When the process was killed.
    pub deaths: Vec<Duration>,
    /// Calls whose record the process that came next wrote, or would have.
    pub closed: BTreeSet<Id>,
    /// Calls that had to end: nobody was there for too long, or somebody else has their ports now.
    pub forsaken: BTreeSet<Id>,
    /// Calls of which something was lost with the power.
    pub torn: BTreeSet<Id>,
    /// Attempts of which the process may have heard in its last moment only, by Call-ID.
    pub unheard: BTreeSet<String>,
    /// The journal was read with a torn entry at its end.
    pub tears: usize,
    /// Power was lost.
    pub dark: bool,
}

/// What still happens of that which a process wanted when it was killed.
pub(super) fn before_death(outputs: Vec<Output>, sends: Option<usize>) -> Vec<Output> {
    let Some(mut sends) = sends else {
        return Vec::new();
    };
    let mut outputs = outputs;
    let leaving = outputs
        .iter()
        .filter(|output| matches!(output, Output::Send { .. }))
        .count();
    let all_leave = leaving <= sends;
    outputs.retain(|output| {
        if let Output::Told(_) = output {
            return all_leave;
        }
        let is_message = matches!(output, Output::Send { .. });
        let happens = !is_message || sends > 0;
        sends -= usize::from(is_message && happens);
        happens
    });
    outputs
}

impl World {
    /// The process will be killed so.
    pub fn kill(&mut self, kill: Kill) {
        self.doom = Some(kill);
    }

    /// Whether the process dies of what it does now, with these entries written.
    pub(super) fn struck(&mut self, entries: &[CallEntry], outputs: &[Output]) -> Option<Strike> {
        let kill = self.doom.as_mut()?;
        if kill.after > 0 {
            kill.after -= 1;
            return None;
        }
        let leaving = outputs
            .iter()
            .filter(|o| matches!(o, Output::Send { .. }))
            .count();
        let fits = match kill.moment {
            Moment::Idle | Moment::PowerLoss => true,
            Moment::Writing => !entries.is_empty(),
            Moment::Sending => leaving > 0,
        };
        let kill = self.doom.take_if(|_| fits)?;
        let sends = match kill.moment {
            Moment::Idle | Moment::PowerLoss => Some(leaving),
            Moment::Sending => Some(self.chance.below(leaving as u32) as usize),
            Moment::Writing => None,
        };
        Some(Strike { kill, sends })
    }

    /// The process is killed, and another one will come.
    pub(super) fn strikes(&mut self, kill: Kill) {
        match kill.moment {
            Moment::Idle | Moment::Sending => {}
            Moment::Writing => {
                self.disk.tear_last(&mut self.chance);
                let last = self.heard.last().filter(|(at, _)| *at == self.now);
                self.past.unheard.extend(last.map(|(_, id)| id.clone()));
            }
            Moment::PowerLoss => {
                let torn = self.disk.tear_unsynced(self.now, &mut self.chance);
                self.past.torn.extend(torn);
                self.past.dark = true;
                let now = self.now;
                let lately = self.heard.iter().filter(|(at, _)| *at + SYNC_EVERY >= now);
                self.past.unheard.extend(lately.map(|(_, id)| id.clone()));
            }
        }
        self.tell(format!("is killed: {kill:?}"));
        // A record that isn't confirmed may be there or not.
        for id in std::mem::take(&mut self.unconfirmed) {
            self.past.closed.insert(id);
            if self.chance.below(2) == 0 {
                self.records.retain(|record| record.call_id != id);
            }
        }
        self.die();
        self.setup.shards = kill.shards;
        self.later(kill.away, What::Back);
    }

    /// A record goes to the CDR files.
    pub(super) fn record(&mut self, record: Cdr) {
        self.unconfirmed.insert(record.call_id);
        self.later(RECORDING, What::Recorded(record.call_id));
        self.records.push(record);
    }

    /// The process is killed: all that it knew is gone, but for what the journal and the store hold. Whoever sends it
    /// anything meanwhile speaks to nobody.
    pub(super) fn die(&mut self) {
        self.dead = Some(self.at().wall);
        self.customer.deaths += 1;
        self.past.deaths.push(self.now);
        self.skew_then = self.skew;
        self.switches.clear();
        self.relay = self.tapes.relay(&self.config, &mut self.chance);
        self.bound.clear();
        self.wires.reset_all();
        self.over.clear();
        self.unconfirmed.clear();
        // An attempt that is repeated is a new one to the next process.
        self.seen.clear();
        self.law.forgets_takers();
        let mut left = std::mem::take(&mut self.queue).into_vec();
        left.retain(|Reverse(item)| {
            !matches!(item.what, What::Report(..) | What::Failed(..) | What::Recorded(_))
        });
        self.queue = left.into();
    }

    /// The next process is there: it writes the records of the calls that are over, and goes on with the others.
    pub(super) fn come_back(&mut self) {
        let Some(died) = self.dead.take() else { return };
        let (left, notes) = self.disk.open_again(died);
        self.tell("is there again".into());
        for note in notes {
            if note.contains("of a torn entry at its end") {
                self.past.tears += 1;
            } else {
                self.faults.push(note);
            }
        }
        self.table = Arc::new(Table::new());
        for (seq, change) in (1..).zip(&self.changes) {
            self.table.apply(seq, change);
        }
        let count = self.setup.shards;
        let key = self.homes.shard.key;
        let shard = |index| Shard { index, count, key };
        let config = Arc::new(self.config.clone());
        self.lanes = config.media.lanes(count);
        self.homes = Homes {
            shard: shard(0),
            moved: Arc::default(),
        };
        let recorded: HashSet<Id> = self.records.iter().map(|record| record.call_id).collect();
        let (mut going_on, mut orders) = (Vec::new(), Vec::new());
        for call in left {
            let id = call.record.call_id;
            let is_recorded = recorded.contains(&id);
            let is_over = is_recorded || call.died.is_none();
            if is_recorded {
                self.later(Duration::ZERO, What::Recorded(id));
            } else if is_over || call.kept.is_none() {
                self.closes(call.record.clone(), call.died);
            }
            let Some(state) = &call.kept else { continue };
            let died = call.died.unwrap_or(call.record.ended_at);
            // It may have been left alone by more than one process.
            let fate = if is_over {
                Fate::Over
            } else if self.at().wall.since(died) > RESTORE_WITHIN {
                Fate::Ends
            } else {
                Fate::GoesOn
            };
            let outline = match kept::outline(state, &config.media) {
                Ok(outline) => outline,
                Err(why) => {
                    self.faults.push(format!("{id}: {why}"));
                    continue;
                }
            };
            let is_taken = |port: &MediaPort| self.taken.contains(&port.number());
            if fate != Fate::Over && outline.ports.iter().any(is_taken) {
                self.past.forsaken.insert(id);
            }
            // Nobody talks yet whose phone rings.
            let talks = !outline.ports.is_empty() && fate != Fate::Over;
            let [theirs, _] = &outline.call_ids;
            let home = self.homes.shard.home_of(theirs);
            let elsewhere = outline.call_ids.iter();
            let elsewhere = elsewhere.filter(|id| self.homes.shard.home_of(id) != home);
            let moved: Vec<_> = elsewhere.map(|id| (id.clone(), home)).collect();
            Arc::make_mut(&mut self.homes.moved).extend(moved);
            if fate == Fate::GoesOn {
                self.lanes.keep(home, &outline.ports);
                orders.extend(outline.media.into_iter().map(|order| (home, order)));
            }
            going_on.push((home, call, died, fate, talks));
        }
        self.bring_back(&orders, shard);
        self.none_is_missing(going_on.iter().map(|(_, call, ..)| call.record.call_id));
        for (home, call, died, fate, talks) in going_on {
            let (id, record) = (call.record.call_id, call.record);
            if talks {
                self.goes_on(&record, fate, died);
            }
            let left = Left {
                record,
                state: call.kept.as_deref().unwrap_or_default(),
                acked: call.acked,
                died,
                fate,
            };
            let now = self.at();
            if let Err(why) = self.switches[home].restore(now, left) {
                self.faults.push(format!("{id}: {why}"));
            }
        }
        for index in 0..count {
            self.drain_outputs(index);
        }
        self.tell_names();
        if self.records_kept == Records::Full {
            self.command(Command::Records(Records::Full));
        }
    }

    /// The media of the calls that go on, and switches.
    fn bring_back(&mut self, orders: &[(usize, Order)], shard: impl Fn(usize) -> Shard) {
        for (home, order) in orders {
            self.obey(*home, order);
        }
        let config = Arc::new(self.config.clone());
        self.reach = Arc::new(Reach::with(self.reach.blocks()));
        let bans = Arc::new(Bans::default());
        let lockout = Arc::new(Lockout::default());
        for index in 0..self.setup.shards {
            let (config, table, lanes) = (config.clone(), self.table.clone(), self.lanes.clone());
            let switch = Switch::with_ports(config, table, shard(index), lanes, self.chance.fork());
            let switch = switch
                .sharing(self.reach.clone())
                .barring(bans.clone())
                .locking(lockout.clone());
            self.switches.push(switch);
        }
    }

    /// What happens to Umbra stands in the history.
    fn tell(&mut self, what: String) {
        let umbra = self.setup.umbra();
        self.log.push((self.now, umbra, umbra, what));
    }

    /// Nobody goes on with a call: its record is written.
    fn closes(&mut self, record: Cdr, died: Option<Wall>) {
        self.past.closed.insert(record.call_id);
        if died.is_some() {
            self.talked(&record, self.skew_then);
        }
        let from = record.answered_at.map(|at| self.moment_of(at));
        // Of one that was over the last moment of that process: a record's times don't follow a clock that is set.
        let until = match died {
            Some(_) => Some(self.moment_of(record.ended_at)),
            None => self.past.deaths.last().copied(),
        };
        let talk = self.talks.entry(record.call_id).or_default();
        talk.from = talk.from.or(from);
        talk.until = talk.until.or(until);
        self.law.given_back(record.call_id);
        self.record(record);
    }

    /// Somebody goes on with a call, or ends it.
    fn goes_on(&mut self, record: &Cdr, fate: Fate, died: Wall) {
        let id = record.call_id;
        self.law.used(id);
        match fate {
            Fate::GoesOn => self.talked(record, self.skew),
            Fate::Ends => {
                self.talked(record, self.skew_then);
                self.past.forsaken.insert(id);
                let until = self.moment_of(died);
                self.talks.entry(id).or_default().until = Some(until);
            }
            Fate::Over => {}
        }
    }

    /// A call's answer may have been written and not told any more. And if the wall's clock was set since, by so much in
    /// all, that is what the next process goes by.
    fn talked(&mut self, record: &Cdr, skew: Duration) {
        let Some(answered) = record.answered_at else {
            return;
        };
        let said = self.moment_of(answered);
        let passed = answered.since(Wall::from_millis(BEGINNING));
        let talk = self.talks.entry(record.call_id).or_default();
        let from = *talk.from.get_or_insert(said);
        talk.leap = (from + skew).saturating_sub(passed);
    }

    /// Every call that talked when the process was killed has to be known to the one that came.
    fn none_is_missing(&mut self, going_on: impl Iterator<Item = Id>) {
        let records = self.records.iter().map(|record| record.call_id);
        let known: HashSet<Id> = records.chain(going_on).collect();
        for (id, talk) in &self.talks {
            let talked = talk.from.is_some() && talk.until.is_none();
            if talked && !known.contains(id) && !self.past.torn.contains(id) {
                self.faults.push(format!("{id} talked, and nobody knows of it"));
            }
        }
    }

    /// When it was this time by the wall's clock, if that had always stood as it did when the process was killed.
    fn moment_of(&self, at: Wall) -> Duration {
        let passed = at.since(Wall::from_millis(BEGINNING));
        passed.saturating_sub(self.skew_then)
    }
}

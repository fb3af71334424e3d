//! The law of masking, as one would tell it to a child: promises in a list, looked at one by one. It shares
//! nothing with the server's rules but the words for modes, directions and reasons.

use std::collections::HashSet;
use std::time::Duration;

use umbra::base::id::Id;
use umbra::base::number::Tel;
use umbra::base::time::Wall;
use umbra::masking::binding::{Direction, Mode};
use umbra::masking::reason::Reason;

/// How long a caller's key rests, and a whole number of AX.
const KEY_RESTS: Duration = Duration::from_secs(24 * 3_600);
const NUMBER_RESTS: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What the law says of an attempt at the moment when it arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is for this number, which sees that one, and nobody else.
    For {
        /// Who is called.
        called: Tel,
        /// What he sees.
        shown: Tel,
    },
    /// It is for these, one after the other, who see that number, and nobody else.
    ForOneOf {
        /// Who is called.
        called: [Option<Tel>; 4],
        /// What they see.
        shown: Tel,
    },
    /// It is asked for an extension; whoever it reaches then sees this number.
    Asked {
        /// Those who have one.
        called: [Option<Tel>; 4],
        /// What he sees.
        shown: Tel,
    },
    /// It reaches nobody, and this is why. Of whoever has nothing here any more is also said that he never had.
    Nobody(Reason),
}

/// Whom somebody who dials his own number calls next.
#[derive(Clone, Copy, Debug)]
struct Named {
    to: Tel,
    until: Wall,
    taken: Option<Id>,
}

/// What was promised to people: the naive form of a binding.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Its mode.
    pub mode: Mode,
    /// The number that stands for A.
    pub x: Tel,
    /// The one that stands for B, in AXYB.
    pub y: Option<Tel>,
    /// A; the employee himself, where it is his work number; what is behind a 400 number.
    pub a: Tel,
    /// B, where there is one: whom a customer is paired with stands in the promise of the work number.
    pub b: Option<Tel>,
    /// The members of its group.
    pub members: Vec<Tel>,
    /// The one of them whom B reaches.
    pub default: Option<Tel>,
    /// Who rings when a customer calls, one after the other, where it isn't the employee alone.
    pub ring: Vec<Tel>,
    /// Who may call.
    pub direction: Direction,
    /// Since when.
    pub from: Wall,
    /// Until when: not any more then.
    pub until: Wall,
    named: Option<Named>,
}

/// What a promise says of somebody by name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    To {
        called: Tel,
        shown: Tel,
        by: Party,
    },
    /// To whom he had named, or by default.
    Callback {
        default: Option<Tel>,
        shown: Tel,
        by: Party,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Party {
    A,
    B,
}

impl Promise {
    /// A promise without end.
    pub fn new(mode: Mode, x: Tel, a: Tel, y: Option<Tel>, b: Option<Tel>, from: Wall) -> Self {
        Self {
            mode,
            x,
            y,
            a,
            b,
            members: Vec::new(),
            default: None,
            ring: Vec::new(),
            direction: Direction::Both,
            from,
            until: Wall::NEVER,
            named: None,
        }
    }

    fn holds(&self, at: Wall) -> bool {
        self.from <= at && at < self.until
    }

    fn rests(&self, at: Wall) -> bool {
        let lasts = match self.mode {
            Mode::Axb | Mode::Axyb | Mode::Axe | Mode::Gxb | Mode::Gxyb => KEY_RESTS,
            Mode::Ax | Mode::Axn | Mode::Axn95 | Mode::Axg | Mode::Xb | Mode::Inbound | Mode::X => {
                NUMBER_RESTS
            }
        };
        self.until <= at && at < self.until.plus(lasts)
    }

    fn row(&self, dialled: Tel, caller: Tel) -> Option<Row> {
        let (a, b, x) = (self.a, self.b, self.x);
        let to = |called: Option<Tel>, shown: Tel, by: Party| {
            Some(Row::To {
                called: called?,
                shown,
                by,
            })
        };
        let back = |default: Option<Tel>, shown: Tel, by: Party| Some(Row::Callback { default, shown, by });
        match self.mode {
            Mode::Axb if dialled == x && caller == a => to(b, x, Party::A),
            Mode::Axb if dialled == x && Some(caller) == b => to(Some(a), x, Party::B),
            Mode::Ax | Mode::Axn | Mode::Axn95 if dialled == x && caller == a => back(None, x, Party::A),
            Mode::Axyb if Some(dialled) == self.y && caller == a => to(b, x, Party::A),
            Mode::Axyb if dialled == x && Some(caller) == b => to(Some(a), self.y?, Party::B),
            Mode::Axg if dialled == x && self.members.contains(&caller) => to(Some(a), x, Party::B),
            Mode::Gxb if dialled == x && self.members.contains(&caller) => to(b, x, Party::A),
            Mode::Gxb if dialled == x && Some(caller) == b => back(self.default, x, Party::B),
            Mode::Gxyb if Some(dialled) == self.y && self.members.contains(&caller) => to(b, x, Party::A),
            Mode::Gxyb if dialled == x && Some(caller) == b => back(self.default, self.y?, Party::B),
            Mode::Axg if dialled == x && caller == a => back(None, x, Party::A),
            Mode::Inbound if dialled == x && caller != a => to(Some(a), self.y.unwrap_or(a), Party::B),
            Mode::Axb
            | Mode::Ax
            | Mode::Axyb
            | Mode::Axe
            | Mode::Axn
            | Mode::Axn95
            | Mode::Axg
            | Mode::Gxb
            | Mode::Gxyb
            | Mode::Xb
            | Mode::Inbound
            | Mode::X => None,
        }
    }

    fn is_self_call(&self, dialled: Tel, caller: Tel) -> bool {
        let is_a = dialled == self.x && caller == self.a;
        let is_b = Some(dialled) == self.y && Some(caller) == self.b;
        (self.mode == Mode::Axyb && (is_a || is_b))
            || (self.mode == Mode::Gxyb && is_b)
            || (self.mode == Mode::Inbound && is_a)
    }

    /// Who reaches whom he named by dialling X.
    fn owner(&self) -> Option<Tel> {
        match self.mode {
            Mode::Ax | Mode::Axn | Mode::Axn95 | Mode::Axg | Mode::Axe => Some(self.a),
            Mode::Gxb | Mode::Gxyb | Mode::Xb => self.b,
            Mode::Axb | Mode::Axyb | Mode::Inbound | Mode::X => None,
        }
    }

    /// Whether it is that of an employee's work number, and not of a customer of his.
    fn is_work(&self) -> bool {
        self.mode == Mode::Xb && self.b.is_some()
    }

    /// Whether the whole of X is one's alone.
    fn is_whole(&self) -> bool {
        is_anyones(self.mode) || self.is_work() || matches!(self.mode, Mode::Axg | Mode::Inbound)
    }

    /// Whom somebody who dials his own number has named, if nobody has used that up.
    fn named_at(&self, at: Wall) -> Option<Tel> {
        let named = self
            .named
            .filter(|named| named.taken.is_none() && at < named.until);
        named.map(|named| named.to)
    }

    fn is_on(&self, number: Tel) -> bool {
        self.x == number || self.y == Some(number)
    }

    /// Everybody whom it names, with what he dials.
    fn keys(&self) -> Vec<(Tel, Option<Tel>)> {
        let by_members = |dialled: Tel| self.members.iter().map(move |member| (dialled, Some(*member)));
        match self.mode {
            Mode::Axb => vec![(self.x, Some(self.a)), (self.x, self.b)],
            Mode::Ax | Mode::Axn | Mode::Axn95 => vec![(self.x, Some(self.a)), (self.x, None)],
            // By keys, of which a promise says nothing.
            Mode::Axe => Vec::new(),
            Mode::Axg => [(self.x, Some(self.a)), (self.x, None)]
                .into_iter()
                .chain(by_members(self.x))
                .collect(),
            Mode::Gxb => [(self.x, self.b), (self.x, None)]
                .into_iter()
                .chain(by_members(self.x))
                .collect(),
            Mode::Gxyb => std::iter::once((self.x, self.b))
                .chain(by_members(self.y.unwrap_or(self.x)))
                .collect(),
            Mode::Xb if self.is_work() => vec![(self.x, self.b), (self.x, None)],
            Mode::Xb => vec![(self.x, Some(self.a))],
            Mode::Inbound => vec![(self.x, None)],
            Mode::Axyb => vec![(self.y.unwrap_or(self.x), Some(self.a)), (self.x, self.b)],
            Mode::X => Vec::new(),
        }
    }
}

/// Whether anyone may call A by X.
const fn is_anyones(mode: Mode) -> bool {
    match mode {
        Mode::Ax | Mode::Axn | Mode::Axn95 | Mode::X => true,
        Mode::Axb
        | Mode::Axyb
        | Mode::Axe
        | Mode::Axg
        | Mode::Gxb
        | Mode::Gxyb
        | Mode::Xb
        | Mode::Inbound => false,
    }
}

fn first_four(mut all: impl Iterator<Item = Tel>) -> [Option<Tel>; 4] {
    [(); 4].map(|()| all.next())
}

/// Everything that was ever promised, and what the owner forbade.
#[derive(Debug, Default)]
pub struct Law {
    promises: Vec<Promise>,
    ours: HashSet<Tel>,
    frozen: HashSet<Tel>,
    suspended: bool,
    /// Pools in which a whole number may be given to others at once.
    pub soft: bool,
}

impl Law {
    /// A number is ours.
    pub fn own(&mut self, number: Tel) {
        self.ours.insert(number);
    }

    /// A number takes no calls, or takes them again.
    pub fn freeze(&mut self, number: Tel, frozen: bool) {
        if frozen {
            self.frozen.insert(number);
        } else {
            self.frozen.remove(&number);
        }
    }

    /// Nothing goes for the account, or it goes again.
    pub fn suspend(&mut self, suspended: bool) {
        self.suspended = suspended;
    }

    /// The server has accepted a promise; what is wrong with that.
    pub fn promise(&mut self, new: Promise) -> Option<String> {
        let at = new.from;
        let taken = self.promises.iter().filter(|p| p.holds(at)).any(|p| {
            let theirs = p.keys();
            new.keys().iter().any(|key| theirs.contains(key))
        });
        let is_others = |p: &Promise| p.is_whole() && p.x == new.x && p.a != new.a;
        let rests = self.promises.iter().any(|p| is_others(p) && p.rests(at));
        let frozen = new.keys().iter().any(|(number, _)| self.frozen.contains(number));
        let wrong = match () {
            () if self.suspended => Some("while the account is suspended"),
            () if frozen => Some("on a frozen number"),
            () if taken => Some("though somebody has the key"),
            () if new.is_whole() && rests && !self.soft => Some("though the number rests"),
            () => None,
        };
        self.promises.push(new);
        wrong.map(|wrong| format!("the server bound {wrong}"))
    }

    /// Every promise on a number ends.
    pub fn end(&mut self, number: Tel, at: Wall) {
        for promise in self.promises.iter_mut().filter(|p| p.is_on(number)) {
            promise.until = promise.until.min(at);
        }
    }

    /// The promise on this X changes: what is wrong with that. `change` gets it as it was.
    pub fn update(&mut self, x: Tel, at: Wall, change: impl FnOnce(&mut Promise)) -> Option<String> {
        let old = self.promises.iter_mut().find(|p| p.x == x && p.holds(at))?;
        let mut new = old.clone();
        change(&mut new);
        if (new.mode, new.a, new.b) == (old.mode, old.a, old.b) {
            return None;
        }
        // Whom one A was to reach is no business of another.
        new.named = new.named.filter(|_| is_anyones(new.mode) && new.a == old.a);
        old.until = at;
        new.from = at;
        // It is the same promise still: nothing of what rests forbids it.
        let soft = std::mem::replace(&mut self.soft, true);
        let wrong = self.promise(new);
        self.soft = soft;
        wrong
    }

    /// Whom A reaches by his X next.
    pub fn name(&mut self, x: Tel, to: Option<Tel>, at: Wall, lasts: Duration) {
        let promise = self.promises.iter_mut().find(|p| p.x == x && p.holds(at));
        if let Some(promise) = promise {
            promise.named = to.map(|to| Named {
                to,
                until: at.plus(lasts),
                taken: None,
            });
        }
    }

    /// What is true of an attempt that arrives now.
    pub fn judge(&self, dialled: Tel, caller: Option<Tel>, at: Wall) -> Verdict {
        let nobody = Verdict::Nobody;
        if self.suspended {
            return nobody(Reason::AccountSuspended);
        }
        if self.frozen.contains(&dialled) {
            return nobody(Reason::NumberFrozen);
        }
        let Some(caller) = caller else {
            return nobody(Reason::Unidentified);
        };
        if self.ours.contains(&caller) {
            return nobody(Reason::Loop);
        }
        let live = || self.promises.iter().filter(|p| p.holds(at));
        let extensions = || live().filter(|p| p.mode == Mode::Axe && p.x == dialled);
        if extensions().next().is_some() {
            let called = first_four(extensions().map(|p| p.a));
            let own = extensions().find(|p| p.a == caller);
            return match own.map(|own| own.named_at(at)) {
                None => Verdict::Asked {
                    called,
                    shown: dialled,
                },
                Some(Some(called)) => Verdict::For {
                    called,
                    shown: dialled,
                },
                Some(None) => nobody(Reason::NoCallee),
            };
        }
        if let Some((promise, row)) = live().find_map(|p| Some((p, p.row(dialled, caller)?))) {
            let (Row::To { shown, by, .. } | Row::Callback { shown, by, .. }) = row;
            if self.frozen.contains(&shown) {
                return nobody(Reason::NumberFrozen);
            }
            match (promise.direction, by) {
                (Direction::AToB, Party::B) | (Direction::BToA, Party::A) => {
                    return nobody(Reason::Direction);
                }
                (Direction::Both | Direction::AToB | Direction::BToA, Party::A | Party::B) => {}
            }
            return match row {
                Row::To { called, shown, .. } => Verdict::For { called, shown },
                Row::Callback { default, shown, .. } => {
                    // Where it has members, only they are called.
                    let may = |to: &Tel| promise.members.is_empty() || promise.members.contains(to);
                    let named = promise.named_at(at).filter(|to| *to != caller && may(to));
                    match named.or(default.filter(may)) {
                        Some(called) => Verdict::For { called, shown },
                        None => nobody(Reason::NoCallee),
                    }
                }
            };
        }
        if let Some(verdict) = self.at_work(dialled, caller, at) {
            return verdict;
        }
        if live().any(|p| p.is_self_call(dialled, caller)) {
            return nobody(Reason::SelfCall);
        }
        let former = self
            .promises
            .iter()
            .filter(|p| p.rests(at))
            .filter_map(|p| Some((p.from, p.row(dialled, caller)?)))
            .max_by_key(|(from, _)| *from);
        match (live().find(|p| is_anyones(p.mode) && p.x == dialled), former) {
            (Some(ax), None) => Verdict::For {
                called: ax.a,
                shown: ax.x,
            },
            (Some(ax), Some((_, Row::To { called, .. }))) if called == ax.a => Verdict::For {
                called: ax.a,
                shown: ax.x,
            },
            (None | Some(_), Some(_)) => nobody(Reason::Expired),
            (None, None) => nobody(Reason::NoBinding),
        }
    }

    /// What is true of an employee, and of a customer of his, who dials his work number.
    fn at_work(&self, x: Tel, caller: Tel, at: Wall) -> Option<Verdict> {
        let live = self.promises.iter().filter(|p| p.holds(at) && p.x == x);
        let work = live.clone().find(|p| p.is_work())?;
        let mut customers = live.filter(|p| p.mode == Mode::Xb && !p.is_work());
        if work.b == Some(caller) {
            let chosen = work.named_at(at);
            let his = |p: &&Promise| Some(p.a) == chosen;
            let chosen = customers.clone().find(his).or(customers.next_back());
            return Some(match chosen.map(|p| p.a) {
                Some(called) => Verdict::For { called, shown: x },
                None => Verdict::Nobody(Reason::NoCallee),
            });
        }
        customers.find(|p| p.a == caller)?;
        let rings = work.ring.iter().filter(|who| **who != caller);
        Some(match first_four(rings.copied()) {
            [None, ..] => Verdict::Nobody(Reason::Loop),
            called => Verdict::ForOneOf { called, shown: x },
        })
    }

    /// Somebody is a member of the group of the promise on this X from now on, or isn't: what is wrong with that.
    pub fn member(&mut self, x: Tel, who: Tel, is_in: bool, at: Wall) -> Option<String> {
        let i = self.promises.iter().position(|p| p.x == x && p.holds(at))?;
        let dialled = self.promises[i].y.unwrap_or(x);
        let others = self
            .promises
            .iter()
            .enumerate()
            .filter(|(other, p)| *other != i && p.holds(at));
        let is_taken = others
            .map(|(_, p)| p)
            .any(|p| p.keys().contains(&(dialled, Some(who))));
        let promise = &mut self.promises[i];
        let is_party = promise.a == who || promise.b == Some(who);
        promise.members.retain(|member| *member != who);
        if is_in {
            promise.members.push(who);
        } else {
            promise.default = promise.default.filter(|default| *default != who);
        }
        let wrong = is_in && (is_taken || is_party);
        wrong.then(|| "the server took a member who has the key already".to_owned())
    }

    /// This attempt, judged a moment ago, is this call: it uses up whom A had named.
    pub fn took(&mut self, dialled: Tel, caller: Option<Tel>, at: Wall, call: Id) {
        let is_his = |p: &Promise| p.holds(at) && p.x == dialled && caller.is_some() && p.owner() == caller;
        let Some(i) = self.promises.iter().position(is_his) else {
            return;
        };
        // Whom he may not call any more stays named.
        let to = self.promises[i].named_at(at);
        let is_customer = |p: &Promise| p.holds(at) && p.x == dialled && !p.is_work() && Some(p.a) == to;
        let promise = &self.promises[i];
        let may = match to {
            None => false,
            Some(_) if promise.is_work() => self.promises.iter().any(is_customer),
            Some(to) => promise.members.is_empty() || promise.members.contains(&to),
        };
        if let Some(named) = self.promises[i].named.as_mut().filter(|_| may) {
            named.taken.get_or_insert(call);
        }
    }

    /// It rang, or the caller gave up: what he had named is gone for good.
    pub fn used(&mut self, call: Id) {
        let is_his = |named: &Named| named.taken == Some(call);
        for promise in &mut self.promises {
            promise.named = promise.named.filter(|named| !is_his(named));
        }
    }

    /// The callee's side failed before it rang: A may try again.
    pub fn given_back(&mut self, call: Id) {
        let all = self.promises.iter_mut().filter_map(|p| p.named.as_mut());
        for named in all.filter(|named| named.taken == Some(call)) {
            named.taken = None;
        }
    }

    /// Whoever had begun to use what A had named is forgotten: A may try again.
    pub fn forgets_takers(&mut self) {
        for named in self.promises.iter_mut().filter_map(|p| p.named.as_mut()) {
            named.taken = None;
        }
    }
}

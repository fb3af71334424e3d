//! What a binding of a group means for each person at a moment, by lists that are searched from end to end.

use crate::base::id::Id;
use crate::masking::binding::{Direction, Side};
use crate::masking::group::GroupId;
use crate::masking::model::common::{Callees, NUMBER_RESTS, PEOPLE, Person, State, Virtual};
use crate::masking::reason::Reason;

/// Two of AXG, two of GXB, three of GXYB.
pub(super) const NUMBERS: [Virtual; 7] = [
    "17000000051",
    "17000000052",
    "17000000061",
    "17000000062",
    "17000000071",
    "17000000072",
    "17000000073",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Joins {
    Axg {
        x: Virtual,
        a: Person,
        g: GroupId,
    },
    Gxb {
        x: Virtual,
        g: GroupId,
        b: Person,
    },
    Gxyb {
        x: Virtual,
        g: GroupId,
        y: Virtual,
        b: Person,
    },
}

/// A binding for as long as nothing about it changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) id: Id,
    pub(super) joins: Joins,
    pub(super) direction: Direction,
    pub(super) from: i64,
    pub(super) until: i64,
    /// An update made something else of it: it was never free.
    pub(super) passed_on: bool,
    /// So long ago that it may have been forgotten, and with it that it rests.
    pub(super) forgotten: bool,
}

/// That somebody is or was a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) g: GroupId,
    pub(super) who: Person,
    pub(super) from: i64,
    pub(super) until: i64,
}

/// What a row means for one person who dials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leads {
    /// A member, who reaches the one person, who sees the number.
    To(Person, Virtual),
    /// The one person, who reaches a member, who sees the number.
    Back(Virtual),
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) groups: Vec<GroupId>,
    pub(super) removed: Vec<GroupId>,
    pub(super) defaults: Vec<(GroupId, Person)>,
    pub(super) members: Vec<Member>,
    pub(super) rows: Vec<Row>,
    pub(super) callees: Callees,
    pub(super) states: [State; 7],
}

impl Joins {
    pub(super) const fn group(self) -> GroupId {
        match self {
            Self::Axg { g, .. } | Self::Gxb { g, .. } | Self::Gxyb { g, .. } => g,
        }
    }

    pub(super) const fn x(self) -> Virtual {
        match self {
            Self::Axg { x, .. } | Self::Gxb { x, .. } | Self::Gxyb { x, .. } => x,
        }
    }

    /// The one person who is no member.
    pub(super) const fn person(self) -> Person {
        match self {
            Self::Axg { a: one, .. } | Self::Gxb { b: one, .. } | Self::Gxyb { b: one, .. } => one,
        }
    }

    /// What the members dial.
    pub(super) const fn members_dial(self) -> Virtual {
        match self {
            Self::Axg { x, .. } | Self::Gxb { x, .. } => x,
            Self::Gxyb { y, .. } => y,
        }
    }

    /// What members see of the one person.
    pub(super) const fn members_see(self) -> Virtual {
        self.members_dial()
    }

    pub(super) fn numbers(self) -> Vec<Virtual> {
        let mut numbers = vec![self.x(), self.members_dial()];
        numbers.dedup();
        numbers
    }

    /// No second one may be on its X.
    pub(super) const fn is_alone(self) -> bool {
        match self {
            Self::Axg { .. } | Self::Gxb { .. } => true,
            Self::Gxyb { .. } => false,
        }
    }

    pub(super) const fn members_side(self) -> Side {
        match self {
            Self::Axg { .. } => Side::B,
            Self::Gxb { .. } | Self::Gxyb { .. } => Side::A,
        }
    }
}

impl Model {
    pub(super) fn live(&self, at: i64) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |row| row.from <= at && at < row.until)
    }

    pub(super) fn is_member(&self, g: GroupId, who: Person, at: i64) -> bool {
        let mut members = self.members.iter();
        members.any(|m| (m.g, m.who) == (g, who) && m.from <= at && at < m.until)
    }

    pub(super) fn is_live(&self, g: GroupId) -> bool {
        self.groups.contains(&g) && !self.removed.contains(&g)
    }

    pub(super) fn state(&self, number: Virtual) -> State {
        let index = NUMBERS.iter().position(|n| *n == number).expect("one of ours");
        self.states[index]
    }

    /// Everybody whom it means at `at`, with what he dials.
    pub(super) fn keys(&self, joins: Joins, at: i64) -> Vec<(Virtual, Person)> {
        let members = PEOPLE
            .into_iter()
            .filter(|who| self.is_member(joins.group(), who, at));
        let mut keys: Vec<_> = members.map(|who| (joins.members_dial(), who)).collect();
        keys.push((joins.x(), joins.person()));
        keys
    }

    /// Every rule that keeps them from being joined now, and those that may.
    pub(super) fn against(
        &self,
        wanted: Joins,
        but: Option<Id>,
        now: i64,
    ) -> (Vec<&'static str>, Vec<&'static str>) {
        let mut rules = Vec::new();
        for number in wanted.numbers() {
            rules.extend(self.state(number).against());
        }
        if let Joins::Gxyb { x, y, .. } = wanted
            && x == y
        {
            rules.push("x_is_y");
        }
        let (g, keys) = (wanted.group(), self.keys(wanted, now));
        if !self.is_live(g) {
            rules.push("unknown_group");
        }
        if keys.len() == 1 {
            rules.push("group_empty");
        }
        if self.is_member(g, wanted.person(), now) {
            rules.push("member_is_party");
        }
        for other in self.live(now).filter(|row| Some(row.id) != but) {
            let theirs = self.keys(other.joins, now);
            // An X of GXYB stands for one group.
            let of_another = other.joins.x() == wanted.x() && (wanted.is_alone() || other.joins.group() != g);
            if of_another || keys.iter().any(|key| theirs.contains(key)) {
                rules.push("key_taken");
            }
        }
        let rests = |row: &&Row| row.until <= now && now < row.until + NUMBER_RESTS;
        let mut may = Vec::new();
        for former in self.rows.iter().filter(rests) {
            if let (Joins::Axg { x, a, .. }, Joins::Axg { x: on, a: new, .. }) = (former.joins, wanted)
                && (x == on && a != new)
            {
                // Those who knew one by X may be kept from reaching another, even where X was never free.
                may.push("key_quarantined");
                if !former.passed_on && !former.forgotten {
                    rules.push("key_quarantined");
                }
            }
        }
        (rules, may)
    }

    /// Why somebody can't join a group.
    pub(super) fn against_member(&self, g: GroupId, who: Person, now: i64) -> Vec<&'static str> {
        let mut rules = Vec::new();
        if !self.is_live(g) {
            rules.push("unknown_group");
        }
        for row in self.live(now).filter(|row| row.joins.group() == g) {
            if row.joins.person() == who {
                rules.push("member_is_party");
            }
            let key = (row.joins.members_dial(), who);
            let mut others = self.live(now).filter(|other| other.id != row.id);
            if others.any(|other| self.keys(other.joins, now).contains(&key)) {
                rules.push("key_taken");
            }
        }
        rules
    }

    /// The row by which somebody calls, and where it leads him.
    pub(super) fn leads(&self, dialled: Virtual, caller: Person, at: i64) -> Option<(Row, Leads)> {
        let mut found = Vec::new();
        for row in self.live(at) {
            let joins = row.joins;
            if joins.members_dial() == dialled && self.is_member(joins.group(), caller, at) {
                found.push((*row, Leads::To(joins.person(), joins.x())));
            } else if joins.x() == dialled && joins.person() == caller {
                found.push((*row, Leads::Back(joins.members_see())));
            }
        }
        assert!(
            found.len() <= 1,
            "{caller} has several rights on {dialled}: {found:?}"
        );
        found.pop()
    }

    /// Whom a call reaches, and what he sees. The law says in one sentence why it reaches nobody, if he never was there
    /// or is there no more.
    pub(super) fn route(
        &self,
        dialled: Virtual,
        caller: Person,
        at: i64,
    ) -> Result<(Person, Virtual), Reason> {
        if self.state(dialled) == State::Frozen {
            return Err(Reason::NumberFrozen);
        }
        let Some((row, leads)) = self.leads(dialled, caller, at) else {
            let own =
                |row: &Row| matches!(row.joins, Joins::Gxyb { y, b, .. } if (y, b) == (dialled, caller));
            return Err(if self.live(at).any(own) {
                Reason::SelfCall
            } else {
                Reason::NoBinding
            });
        };
        let (side, shown) = match (leads, row.joins.members_side()) {
            (Leads::To(_, shown), side) => (side, shown),
            (Leads::Back(shown), Side::A) => (Side::B, shown),
            (Leads::Back(shown), Side::B) => (Side::A, shown),
        };
        if self.state(shown) == State::Frozen {
            return Err(Reason::NumberFrozen);
        }
        match (row.direction, side) {
            (Direction::AToB, Side::B) | (Direction::BToA, Side::A) => return Err(Reason::Direction),
            (Direction::Both, _) | (Direction::AToB, Side::A) | (Direction::BToA, Side::B) => {}
        }
        match leads {
            Leads::To(called, shown) => Ok((called, shown)),
            Leads::Back(shown) => {
                let g = row.joins.group();
                let named = self.callees.of(row.id, at);
                let default = self.defaults.iter().find(|(of, _)| *of == g).map(|(_, who)| *who);
                let default = default.filter(|_| !matches!(row.joins, Joins::Axg { .. }));
                let is_in = |who: &Person| self.is_member(g, who, at);
                let to = named.filter(is_in).or(default.filter(is_in));
                to.map(|to| (to, shown)).ok_or(Reason::NoCallee)
            }
        }
    }

    pub(super) fn end(&mut self, id: Id, at: i64, passed_on: bool) {
        for row in self.rows.iter_mut().filter(|row| row.id == id && row.until > at) {
            (row.until, row.passed_on) = (at, passed_on);
        }
    }
}

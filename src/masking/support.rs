//! For tests: a table with its writer, a clock that is set by hand, and numbers by their digits.

use std::sync::Arc;

use super::binding::{Binding, Mode, Terms};
use super::change::{Change, Record};
use super::group::GroupId;
use super::inventory::{Pool, Unidentified};
use super::keyed::Keyed;
use super::plan::Planned;
use super::request::{
    BindRequest, DryRun, GroupRequest, OnConflict, Refused, Unbind, UpdateRequest, Wanted, Write, Written,
    XChoice,
};
use super::route::{Attempt, Decision, route};
use super::table::Table;
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::CALLEE_TIME;
use crate::base::number::{NumberPlan, RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;

pub(crate) fn tel(digits: &str) -> Tel {
    NumberPlan::default()
        .normalise(digits)
        .expect("tests write whole numbers")
}

pub(crate) fn real(digits: &str) -> RealNumber {
    RealNumber::new(tel(digits))
}

pub(crate) fn x(digits: &str) -> VirtualNumber {
    VirtualNumber::new(tel(digits))
}

pub(crate) const X: &str = "17000000001";
pub(crate) const A: &str = "13800000001";
pub(crate) const B: &str = "13900000002";
pub(crate) const C: &str = "13700000003";

/// A request to bind for ever, whatever else it says.
pub(crate) fn axb(on: &str, a: &str, b: &str) -> BindRequest {
    BindRequest {
        x: XChoice::Given(x(on)),
        parties: Wanted::Axb {
            a: real(a),
            b: real(b),
        },
        terms: Terms::default(),
        expires: None,
        on_conflict: OnConflict::Fail,
        dry_run: DryRun::No,
    }
}

/// A request to bind anyone to A, for ever.
pub(crate) fn ax(on: &str, a: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Ax { a: real(a) },
        ..axb(on, a, a)
    }
}

/// A request to bind A, for whom X stands, and B, for whom Y stands, for ever.
pub(crate) fn axyb(on: &str, a: &str, y: &str, b: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Axyb {
            a: real(a),
            y: XChoice::Given(x(y)),
            b: real(b),
        },
        ..axb(on, a, b)
    }
}

/// A request to bind A by an extension behind X, for ever.
pub(crate) fn axe(on: &str, a: &str, e: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Axe {
            a: real(a),
            e: Some(e.parse().expect("tests write extensions")),
        },
        ..axb(on, a, a)
    }
}

/// A request to bind anyone to A in AXN, for ever.
pub(crate) fn axn(on: &str, a: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Axn { a: real(a) },
        ..axb(on, a, a)
    }
}

/// A request to bind the members of a group and A, for ever.
pub(crate) fn axg(on: &str, a: &str, group: GroupId) -> BindRequest {
    BindRequest {
        parties: Wanted::Axg { a: real(a), group },
        ..axb(on, a, a)
    }
}

/// A request to bind the members of a group and B, for ever.
pub(crate) fn gxb(on: &str, group: GroupId, b: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Gxb { group, b: real(b) },
        ..axb(on, b, b)
    }
}

/// A request to bind the members of a group, for whom X stands, and B, for whom Y stands, for ever.
pub(crate) fn gxyb(on: &str, group: GroupId, y: &str, b: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Gxyb {
            group,
            y: XChoice::Given(x(y)),
            b: real(b),
        },
        ..axb(on, b, b)
    }
}

/// A request to make X an employee's work number, for ever.
pub(crate) fn work(on: &str, b: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Xb { b: real(b) },
        ..axb(on, b, b)
    }
}

/// A request to pair a customer with the employee whose work number X is, for ever.
pub(crate) fn paired(on: &str, a: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Paired { a: real(a) },
        ..axb(on, a, a)
    }
}

/// A request to put a number behind X, for ever.
pub(crate) fn inbound(on: &str, base: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Inbound { base: real(base) },
        ..axb(on, base, base)
    }
}

pub(crate) struct World {
    pub(crate) table: Table,
    pub(crate) now: Wall,
    pub(crate) chance: Chance,
    pub(crate) changes: Vec<Change>,
}

impl World {
    /// A server at some time, with number [`X`].
    pub(crate) fn new() -> Self {
        let mut world = Self {
            table: Table::new(),
            now: Wall::from_millis(1_795_000_000_000),
            chance: Chance::from_number(1),
            changes: Vec::new(),
        };
        world.add(X);
        world
    }

    pub(crate) fn later(&mut self, ms: i64) {
        self.now = Wall::from_millis(self.now.as_millis() + ms);
    }

    pub(crate) fn at(&self, ms: i64) -> Wall {
        Wall::from_millis(self.now.as_millis() + ms)
    }

    pub(crate) fn write(&mut self, write: &Write) -> Result<Written, Refused> {
        let Planned { change, written } = self.table.plan(write, self.now, &mut self.chance)?;
        self.apply(change);
        Ok(written)
    }

    pub(crate) fn apply(&mut self, change: Change) {
        self.changes.push(change);
        let seq = self.changes.len() as u64;
        self.table.apply(seq, self.changes.last().expect("just pushed"));
    }

    pub(crate) fn add(&mut self, number: &str) {
        self.add_to(None, number);
    }

    fn add_to(&mut self, pool: Option<&str>, number: &str) {
        let write = Write::add_number_to(pool, x(number));
        self.write(&write).expect("a new number");
    }

    /// A pool of a mode, of that name, with these numbers.
    pub(crate) fn pool(&mut self, mode: Mode, numbers: &[&str]) {
        self.write(&Write::add_pool(mode.name(), mode))
            .expect("a new name");
        for number in numbers {
            self.add_to(Some(mode.name()), number);
        }
    }

    /// The pool takes callers without identity.
    pub(crate) fn accept_unidentified(&mut self, pool: &str) {
        let pool = self.table.pool(pool).expect("a pool of that name");
        let accepting = Pool {
            version: pool.version + 1,
            unidentified: Unidentified::Accepted,
            ..(*pool).clone()
        };
        self.apply(Change {
            records: vec![Record::Pool(accepting)],
        });
    }

    /// A group of the pool with these members.
    pub(crate) fn group(&mut self, pool: &str, members: &[&str]) -> GroupId {
        let numbers = members.iter().map(|number| real(number)).collect();
        let request = GroupRequest {
            pool: pool.into(),
            name: None,
            numbers,
            default: None,
        };
        match self.write(&Write::AddGroup(request)) {
            Ok(Written::Group(group)) => group.id,
            other => panic!("a group was answered {other:?}"),
        }
    }

    /// Whom A of the binding reaches next, for a minute.
    pub(crate) fn callee(&mut self, id: Id, to: &str) -> Result<Written, Refused> {
        self.write(&Write::SetCallee {
            id,
            to: real(to),
            lasts: CALLEE_TIME,
        })
    }

    pub(crate) fn try_bind(&mut self, request: BindRequest) -> Result<Arc<Binding>, Refused> {
        match self.write(&Write::Bind(request))? {
            Written::Binding(binding) | Written::Existing(binding) | Written::DryRun(binding) => Ok(binding),
            other => panic!("a bind was answered {other:?}"),
        }
    }

    pub(crate) fn bind(&mut self, on: &str, a: &str, b: &str) -> Id {
        self.try_bind(axb(on, a, b)).expect("free keys").id
    }

    pub(crate) fn unbind(&mut self, id: Id) {
        self.write(&Write::Unbind(Unbind::Id(id)))
            .expect("a live binding");
    }

    pub(crate) fn update(&mut self, request: UpdateRequest) -> Result<Written, Refused> {
        self.write(&Write::Update(request))
    }

    pub(crate) fn attempt(&self, dialled: &str, caller: &str) -> Attempt {
        Attempt {
            diverting: None,
            dialled: tel(dialled),
            caller: Some(tel(caller)),
            arrived: self.now,
            digits: Keyed::Nothing,
        }
    }

    pub(crate) fn call(&self, dialled: &str, caller: &str) -> Decision {
        route(&self.table, &self.attempt(dialled, caller))
    }
}

//! What the owner of the numbers does: written to the table at once, and told to the law.

use std::time::Duration;

use umbra::base::limits::CALLEE_TIME;
use umbra::base::number::{RealNumber, Tel, VirtualNumber};
use umbra::base::time::Wall;
use umbra::call::port::Command;
use umbra::masking::binding::{Direction, Mode, Rare, Terms};
use umbra::masking::inventory::{DEFAULT_ACCOUNT, DEFAULT_POOL, NumberState, Standing};
use umbra::masking::listing::BindingFilter;
use umbra::masking::quarantine::{Grip, Quarantine};
use umbra::masking::request::{
    BindRequest, DryRun, OnConflict, PoolChange, Refused, Unbind, UpdateRequest, Wanted, Write, XChoice,
};

use super::super::law::Promise;
use super::super::stage::{Binding, Doing};
use super::World;

/// What changes in a binding.
#[derive(Clone, Debug)]
pub enum Amend {
    /// AX becomes AXB with this B.
    OnlyB(String),
    /// Another A.
    A(String),
    /// Another B.
    B(String),
}

impl World {
    pub(super) fn write(&mut self, write: &Write) -> Result<(), Refused> {
        let now = self.at().wall;
        let planned = self.table.plan(write, now, &mut self.chance)?;
        self.table.apply(self.table.seq() + 1, &planned.change);
        self.changes.push(planned.change);
        Ok(())
    }

    fn blame(&mut self, wrong: Option<String>) {
        self.faults.extend(wrong);
    }

    /// Numbers of this mode that somebody had may be given to others at once.
    pub fn soften(&mut self, mode: Mode) {
        self.law.soft |= mode == Mode::Ax;
        let settings = Box::new(PoolChange {
            quarantine: Some(Some(Quarantine {
                lasts: Duration::from_secs(24 * 3_600),
                grip: Grip::Soft,
            })),
            ..PoolChange::default()
        });
        let pool = mode.name().into();
        super::must(self.write(&Write::SetPool {
            pool,
            name: None,
            settings,
        }));
    }

    pub(super) fn owns_in(&mut self, mode: Mode, x: &str) {
        if mode != Mode::Axb && self.table.pool(mode.name()).is_none() {
            super::must(self.write(&Write::add_pool(mode.name(), mode)));
        }
        let x = VirtualNumber::new(self.tel(x));
        if !self.table.is_ours(x.tel()) {
            let pool = (mode != Mode::Axb).then_some(mode.name());
            super::must(self.write(&Write::add_number_to(pool, x)));
            self.law.own(x.tel());
        }
    }

    /// Binds, if the server lets him.
    ///
    /// # Errors
    /// The server's no.
    pub fn binds(&mut self, binding: &Binding) -> Result<(), Refused> {
        let mode = super::mode_of(&binding.mode);
        let direction = match binding.direction.as_deref() {
            None | Some("both") => Direction::Both,
            Some("a-to-b") => Direction::AToB,
            Some("b-to-a") => Direction::BToA,
            Some(other) => panic!("no direction is called {other}"),
        };
        let now = self.at().wall;
        let (x, a) = (self.tel(&binding.x), self.tel(&binding.a));
        let y = (mode == Mode::Axyb).then(|| self.tel(&binding.y));
        let b = (mode != Mode::Ax).then(|| self.tel(&binding.b));
        let person = |tel: Option<Tel>| RealNumber::new(tel.expect("this mode has one"));
        let parties = match mode {
            Mode::Axb => Wanted::Axb {
                a: person(Some(a)),
                b: person(b),
            },
            Mode::Ax => Wanted::Ax { a: person(Some(a)) },
            Mode::Axyb => Wanted::Axyb {
                a: person(Some(a)),
                y: XChoice::Given(VirtualNumber::new(y.expect("this mode has one"))),
                b: person(b),
            },
        };
        let rare = Rare {
            max_duration: binding.max,
            ..Rare::default()
        };
        let expires = binding.ttl.map(|ttl| now.plus(ttl));
        self.write(&Write::Bind(BindRequest {
            x: XChoice::Given(VirtualNumber::new(x)),
            parties,
            terms: Terms::new(direction, binding.record, rare),
            expires,
            on_conflict: OnConflict::Fail,
            dry_run: DryRun::No,
        }))?;
        let mut promise = Promise::new(mode, x, a, y, b, now);
        promise.direction = direction;
        promise.until = expires.unwrap_or(Wall::NEVER);
        let wrong = self.law.promise(promise);
        self.blame(wrong);
        Ok(())
    }

    /// Ends every binding on a number.
    ///
    /// # Errors
    /// The server's no.
    pub fn unbinds(&mut self, x: &str) -> Result<(), Refused> {
        let now = self.at().wall;
        let x = self.tel(x);
        self.write(&Write::Unbind(Unbind::X(VirtualNumber::new(x))))?;
        self.law.end(x, now);
        Ok(())
    }

    /// Changes the one binding on a number; nothing, if there is none, or more.
    ///
    /// # Errors
    /// The server's no.
    pub fn amends(&mut self, x: &str, amend: &Amend) -> Result<(), Refused> {
        let (now, x) = (self.at().wall, self.tel(x));
        let Some(id) = self.bound_to(x) else {
            return Ok(());
        };
        let number = |text: &String| Some(RealNumber::new(self.tel(text)));
        let none = UpdateRequest::of(id);
        let request = match amend {
            Amend::OnlyB(b) => UpdateRequest {
                mode: Some(Mode::Axb),
                b: number(b),
                ..none
            },
            Amend::A(a) => UpdateRequest { a: number(a), ..none },
            Amend::B(b) => UpdateRequest { b: number(b), ..none },
        };
        self.write(&Write::Update(request))?;
        let tel = |text: &String| self.tel(text);
        let change: Box<dyn FnOnce(&mut Promise)> = match amend {
            Amend::OnlyB(b) => {
                let b = tel(b);
                Box::new(move |p| (p.mode, p.b) = (Mode::Axb, Some(b)))
            }
            Amend::A(a) => {
                let a = tel(a);
                Box::new(move |p| p.a = a)
            }
            Amend::B(b) => {
                let b = tel(b);
                Box::new(move |p| p.b = Some(b))
            }
        };
        let wrong = self.law.update(x, now, change);
        self.blame(wrong);
        Ok(())
    }

    /// Names whom A reaches by his X next; nothing, if X isn't bound.
    ///
    /// # Errors
    /// The server's no.
    pub fn names(&mut self, x: &str, to: Option<&str>) -> Result<(), Refused> {
        let (now, x) = (self.at().wall, self.tel(x));
        let Some(id) = self.bound_to(x) else {
            return Ok(());
        };
        let to = to.map(|to| self.tel(to));
        self.write(&match to {
            Some(to) => Write::SetCallee {
                id,
                to: RealNumber::new(to),
                lasts: CALLEE_TIME,
            },
            None => Write::ClearCallee { id, only: None },
        })?;
        self.law.name(x, to, now, CALLEE_TIME);
        Ok(())
    }

    fn bound_to(&self, x: Tel) -> Option<umbra::base::id::Id> {
        let filter = BindingFilter {
            x: Some(VirtualNumber::new(x)),
            ..BindingFilter::default()
        };
        let page = self.table.bindings(&filter, self.at().wall, None, 2);
        match &page.items[..] {
            [only] => Some(only.id),
            _ => None,
        }
    }

    /// Does something to a number, or to the account.
    ///
    /// # Errors
    /// The server's no.
    pub fn orders(&mut self, doing: Doing, x: Option<&str>) -> Result<(), Refused> {
        let standing = |standing| Write::set_standing(DEFAULT_ACCOUNT, standing);
        let state = match doing {
            Doing::Suspend => {
                self.write(&standing(Standing::Suspended))?;
                self.law.suspend(true);
                return Ok(());
            }
            Doing::Resume => {
                self.write(&standing(Standing::Active))?;
                self.law.suspend(false);
                return Ok(());
            }
            Doing::Fax(fax) => {
                let settings = PoolChange {
                    fax: Some(fax),
                    ..PoolChange::default()
                };
                return self.write(&Write::SetPool {
                    pool: DEFAULT_POOL.into(),
                    name: None,
                    settings: Box::new(settings),
                });
            }
            Doing::Lock => Some(NumberState::Locked),
            Doing::Unlock => Some(NumberState::Active),
            Doing::Freeze(cause) => Some(NumberState::Frozen(cause)),
            Doing::Thaw => None,
        };
        let x = VirtualNumber::new(self.tel(x.expect("an order about a number names it")));
        self.write(&match state {
            Some(state) => Write::SetNumberState { x, state },
            None => Write::ThawNumber { x },
        })?;
        match doing {
            Doing::Freeze(cause) => {
                self.law.freeze(x.tel(), true);
                if cause.cuts_calls() {
                    self.command(Command::CutNumber(x));
                }
            }
            Doing::Lock | Doing::Unlock | Doing::Thaw => self.law.freeze(x.tel(), false),
            Doing::Suspend | Doing::Resume | Doing::Fax(_) => {}
        }
        Ok(())
    }
}

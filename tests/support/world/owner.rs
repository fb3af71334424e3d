//! What the owner of the numbers does: written to the table at once, and told to the law.

use std::sync::Arc;
use std::time::Duration;

use umbra::base::limits::{CALLEE_TIME, RING_EACH_DEFAULT};
use umbra::base::number::{RealNumber, Tel, VirtualNumber};
use umbra::base::time::Wall;
use umbra::call::port::Command;
use umbra::masking::binding::{Direction, Mode, Rare, Terms};
use umbra::masking::collect::Collecting;
use umbra::masking::cues::{Cues, Early, Hearers};
use umbra::masking::group::GroupId;
use umbra::masking::inventory::{Callback, DEFAULT_ACCOUNT, DEFAULT_POOL, NumberState, OwnerDials, Standing};
use umbra::masking::listing::BindingFilter;
use umbra::masking::menu::{Choice, Menu};
use umbra::masking::quarantine::{Grip, Quarantine};
use umbra::masking::question::{QuestionChange, Said};
use umbra::masking::recording::{KeepingChange, Since, WishChange};
use umbra::masking::request::{
    BindRequest, DryRun, GroupRequest, OnConflict, PoolChange, Refused, Unbind, UpdateRequest, Wanted, Write,
    XChoice,
};
use umbra::masking::turns::{Order, Ring};

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

/// Who is told of a recording: `record-tone=both`.
fn told(setting: &str) -> Option<Hearers> {
    let word = setting.strip_prefix("record-tone=");
    let known = |(name, _): &&(&str, Hearers)| Some(*name) == word;
    let found = Hearers::NAMES.iter().find(known);
    Some(found.unwrap_or_else(|| panic!("no setting is {setting}")).1)
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

    /// Settings of a mode's pool.
    pub(super) fn sets_pool(&mut self, mode: Mode, settings: &[&str]) {
        if self.table.pool(mode.name()).is_none() {
            super::must(self.write(&Write::add_pool(mode.name(), mode)));
        }
        let mut change = PoolChange::default();
        for setting in settings {
            match *setting {
                "collect=answer" => change.collect = Some(Collecting::Answer),
                "collect=early" => change.collect = Some(Collecting::Early),
                "owner-dials=ask" => change.owner_dials = Some(OwnerDials::Ask),
                "callback=last" => change.callback = Some(Callback::Last),
                "record=yes" => change.recording.record = Some(true),
                "record-from=early_media" => change.recording.since = Some(Some(Since::EarlyMedia)),
                other if other.starts_with("record-tone=") => change.recording.tone = Some(told(other)),
                "calls-per-x=1" => change.calls_per_x = Some(Some(1)),
                "question=question" => change.question.prompt = Some(Said::This("question".into())),
                other => match other.strip_prefix("width=").and_then(|width| width.parse().ok()) {
                    Some(width) => change.extension_width = Some(width),
                    None => panic!("no setting of a pool is {other}"),
                },
            }
        }
        let settings = Box::new(change);
        let pool = mode.name().into();
        super::must(self.write(&Write::SetPool {
            pool,
            name: None,
            settings,
        }));
    }

    /// What the default account wants of recordings.
    pub(super) fn sets_account(&mut self, settings: &[&str]) {
        let mut recording = WishChange::default();
        for setting in settings {
            match *setting {
                "record=yes" => recording.record = Some(true),
                other => recording.tone = Some(told(other)),
            }
        }
        super::must(self.write(&Write::SetAccount {
            name: DEFAULT_ACCOUNT.into(),
            standing: None,
            x_per_a: None,
            expiry_max: None,
            language: None,
            recording,
            kept: KeepingChange::default(),
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
        let x = self.tel(&binding.x);
        let a = self.tel(if binding.a.is_empty() {
            &binding.b
        } else {
            &binding.a
        });
        let y = (!binding.y.is_empty()).then(|| self.tel(&binding.y));
        let b = (!binding.b.is_empty()).then(|| self.tel(&binding.b));
        let person = |tel: Option<Tel>| RealNumber::new(tel.expect("this mode has one"));
        let members: Vec<Tel> = binding.members.iter().map(|one| self.tel(one)).collect();
        let default = (!binding.default.is_empty()).then(|| self.tel(&binding.default));
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
            Mode::X => panic!("nothing is bound in it"),
            Mode::Axe => Wanted::Axe {
                a: person(Some(a)),
                e: binding.e.parse().ok(),
            },
            Mode::Axn => Wanted::Axn { a: person(Some(a)) },
            Mode::Axn95 => Wanted::Axn95 { a: person(Some(a)) },
            Mode::Axg => Wanted::Axg {
                a: person(Some(a)),
                group: self.group(mode, &members, None)?,
            },
            Mode::Gxb => Wanted::Gxb {
                group: self.group(mode, &members, default)?,
                b: person(b),
            },
            Mode::Gxyb => Wanted::Gxyb {
                group: self.group(mode, &members, default)?,
                y: XChoice::Given(VirtualNumber::new(y.expect("this mode has one"))),
                b: person(b),
            },
            Mode::Xb if binding.a.is_empty() => Wanted::Xb { b: person(b) },
            Mode::Xb => Wanted::Paired { a: person(Some(a)) },
            Mode::Inbound => Wanted::Inbound {
                base: person(Some(a)),
            },
        };
        let callback = (!binding.callback.is_empty()).then(|| self.tel(&binding.callback));
        let list: Vec<RealNumber> = binding
            .ring
            .iter()
            .map(|one| RealNumber::new(self.tel(one)))
            .collect();
        let order = match binding.order.as_str() {
            "unconditional" => Order::Unconditional,
            _ => Order::Conditional,
        };
        let rings: Vec<Tel> = binding.ring.iter().map(|one| self.tel(one)).collect();
        let rare_ring = (!rings.is_empty()).then_some((order, rings));
        let rare = Rare {
            ring: (!list.is_empty()).then(|| {
                let each = RING_EACH_DEFAULT;
                Box::new(Ring { order, list, each })
            }),
            max_duration: binding.max,
            callback: callback.map(RealNumber::new),
            display: (!binding.display.is_empty()).then(|| VirtualNumber::new(self.tel(&binding.display))),
            menu: (!binding.menu.is_empty()).then(|| Arc::new(self.menu(binding))),
            cues: cues(&binding.cues).some(),
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
        promise.members = members;
        promise.default = default;
        promise.ring = match (mode, rare_ring) {
            (Mode::Xb, Some((Order::Unconditional, list))) => list,
            (Mode::Xb, Some((Order::Conditional, list))) => [vec![a], list].concat(),
            _ => vec![a],
        };
        promise.direction = direction;
        promise.until = expires.unwrap_or(Wall::NEVER);
        let wrong = self.law.promise(promise);
        self.blame(wrong);
        Ok(())
    }

    /// The menu of a 400 number.
    fn menu(&self, binding: &Binding) -> Menu {
        let person = |one: &String| RealNumber::new(self.tel(one));
        let choices = binding.choices.iter().map(|(keys, to)| Choice {
            keys: keys.parse().expect("keys"),
            to: to.iter().map(person).collect(),
        });
        Menu {
            prompt: binding.menu.as_str().into(),
            choices: choices.collect(),
            default: binding.menu_default.parse().ok(),
        }
    }

    /// A group of these members, in the mode's pool.
    fn group(&mut self, mode: Mode, members: &[Tel], default: Option<Tel>) -> Result<GroupId, Refused> {
        self.write(&Write::AddGroup(GroupRequest {
            pool: mode.name().into(),
            name: None,
            numbers: members.iter().copied().map(RealNumber::new).collect(),
            default: default.map(RealNumber::new),
        }))?;
        let groups = self.table.groups(None, None, usize::MAX);
        Ok(groups.items.last().expect("one was just made").id)
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
                Box::new(move |p| {
                    // Where members are on A's side, B alone has a name.
                    if !p.members.is_empty() {
                        p.a = b;
                    }
                    p.b = Some(b);
                })
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

    /// Takes somebody into the group of the one binding on a number, or out of it; nothing, if there is none.
    ///
    /// # Errors
    /// The server's no.
    pub fn regroups(&mut self, x: &str, who: &str, is_in: bool) -> Result<(), Refused> {
        let (now, x, who) = (self.at().wall, self.tel(x), self.tel(who));
        let binding = self.bound_to(x).and_then(|id| self.table.binding(id));
        let Some(group) = binding.and_then(|binding| binding.parties.group()) else {
            return Ok(());
        };
        let numbers = vec![RealNumber::new(who)];
        self.write(&match is_in {
            true => Write::Join { group, numbers },
            false => Write::Leave { group, numbers },
        })?;
        let wrong = self.law.member(x, who, is_in, now);
        self.blame(wrong);
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
            // A work number comes before those who are paired on it.
            [work, _] if work.mode() == Mode::Xb => Some(work.id),
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
            Doing::Callback(mode, callback) => {
                let settings = PoolChange {
                    callback: Some(callback),
                    ..PoolChange::default()
                };
                return self.write(&Write::SetPool {
                    pool: mode.name().into(),
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
            Doing::Suspend | Doing::Resume | Doing::Fax(_) | Doing::Callback(..) => {}
        }
        Ok(())
    }
}

/// What is heard beside the parties.
fn cues(said: &[(String, String)]) -> Cues {
    let mut cues = Cues::default();
    let mut question = QuestionChange::default();
    for (key, value) in said {
        let prompt = || Some(Box::from(&**value));
        let hearers = || {
            let found = Hearers::NAMES.iter().find(|(name, _)| name == value);
            Some(found.expect("who hears it").1)
        };
        match &**key {
            "last_minute" => cues.last_minute = hearers(),
            "early_media" => {
                let found = Early::NAMES.iter().find(|(name, _)| name == value);
                cues.early_media = Some(found.expect("relay or keep").1);
            }
            "waiting_caller" => cues.waiting_caller = prompt(),
            "waiting_callee" => cues.waiting_callee = prompt(),
            "whisper" => cues.whisper = prompt(),
            "record_tone" => cues.record_tone = hearers(),
            "question" => question.prompt = Some(Said::from(prompt())),
            "question_to" if value == "nobody" => question.prompt = Some(Said::Nobody),
            "question_to" => question.to = hearers(),
            "question_keys" => question.keys = value.parse().ok(),
            "question_loops" => question.loops = value.parse().ok(),
            other => panic!("nothing heard is called {other}"),
        }
    }
    cues.question = question.after(Said::Nothing).map(Box::new);
    cues
}

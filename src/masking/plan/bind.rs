//! Writes to bindings: bind, update, unbind, and what is in their way.

use std::sync::Arc;
use std::time::Duration;

use super::choose::{Fit, Search, Seat};
use super::fit::{Obstacle, key_taken};
use super::parties::{is_of_work, is_work, people_of, updated_parties};
use super::{Planned, Planner, planned, unchanged};
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::number::{RealNumber, VirtualNumber};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Ended, Home, Mode, Parties, Party, Rare, Terms};
use crate::masking::bounds::{
    change_terms, check_class, check_classes, check_expiry, check_expiry_of, check_mode,
    check_takes_bindings, check_terms, check_terms_of,
};
use crate::masking::change::{Change, Record};
use crate::masking::inventory::Number;
use crate::masking::menu::Choice;
use crate::masking::mode;
use crate::masking::request::{
    BindRequest, DryRun, Field, GroupRefused, MenuRefused, OnConflict, Refused, UpdateRequest, Wanted,
    Written, XChoice,
};

impl Planner<'_> {
    pub(super) fn bind(
        &self,
        request: &BindRequest,
        now: Wall,
        chance: &mut Chance,
    ) -> Result<Planned, Refused> {
        let (a, b) = people_of(&request.parties);
        self.check_people(a, b)?;
        check_terms(&request.terms)?;
        let expires = check_expiry(request.expires, now)?;
        let (number, parties) = self.place(request, now, chance)?;
        self.check_callback(&parties, &request.terms)?;
        check_classes(number.x, &parties, &request.terms)?;
        self.check_terms_of(&parties, &request.terms)?;
        check_expiry_of(self.account(&number.account).as_deref(), expires, now)?;
        let outlived = self.outlived(number.x, &parties, now);
        let since = match self.fit_after(&outlived, &number, &parties, None, now) {
            Ok(since) => since,
            Err(Obstacle::Law(refused)) => return Err(refused),
            Err(Obstacle::Held(held, dialled, party)) => {
                let taken = key_taken(&held, &parties, dialled, party);
                if (held.x, held.parties) != (number.x, parties) {
                    return Err(taken);
                }
                return already_bound(request, &held, taken, expires, now);
            }
        };
        let binding = Binding {
            id: Id::mint(now, chance),
            version: 1,
            home: Arc::new(Home {
                account: number.account.clone(),
                pool: number.pool.clone(),
            }),
            x: number.x,
            parties,
            terms: self.terms_in(&number.pool, &request.terms),
            created: now,
            since,
            expires,
            ended: None,
        };
        Ok(match request.dry_run {
            DryRun::Yes => unchanged(Written::DryRun(Arc::new(binding))),
            DryRun::No => {
                let mut planned = binding_planned(binding, Written::Binding);
                planned.change.records.splice(0..0, outlived.records);
                planned
            }
        })
    }

    pub(super) fn update(
        &self,
        request: &UpdateRequest,
        now: Wall,
        chance: &mut Chance,
    ) -> Result<Planned, Refused> {
        let old = self.live_binding(request.id, now)?;
        self.check_account(old.account())?;
        let mut new = (*old).clone();
        new.version = new.version.saturating_add(1);
        new.since = now.max(just_after(old.since));
        new.parties = updated_parties(old.parties, request)?;
        change_terms(&mut new.terms, &request.terms);
        check_terms(&new.terms)?;
        self.check_terms_of(&new.parties, &new.terms)?;
        check_classes(new.x, &new.parties, &new.terms)?;
        self.check_callback(&new.parties, &new.terms)?;
        if let Some(expires) = request.expires {
            new.expires = check_expiry(Some(expires), now)?;
            check_expiry_of(self.account(old.account()).as_deref(), new.expires, now)?;
        }
        if new.parties != old.parties {
            self.check_people(new.parties.a(), new.parties.b())?;
            let number = self.own_number(old.x)?;
            check_takes_bindings(&number)?;
            if let Some(y) = new.parties.y() {
                check_takes_bindings(&*self.own_number(y)?)?;
            }
            let since = self.fits(&number, &new.parties, Some(new.id), now)?;
            new.since = new.since.max(since);
        }
        match request.dry_run {
            DryRun::Yes => return Ok(unchanged(Written::DryRun(Arc::new(new)))),
            DryRun::No => {}
        }
        // The pair that was is kept as a binding that ended: its keys rest, and who was behind X is known.
        let former = (new.parties != old.parties).then(|| Binding {
            id: Id::mint(now, chance),
            version: 1,
            ended: Some((new.since, Ended::Replaced)),
            ..(*old).clone()
        });
        let gone = self.people_gone(&old, &new.parties);
        let mut planned = binding_planned(new, Written::Binding);
        planned.change.records.extend(former.map(Record::Binding));
        planned.change.records.extend(gone);
        Ok(planned)
    }

    pub(super) fn unbind(&self, id: Id, now: Wall) -> Result<Planned, Refused> {
        let binding = self.live_binding(id, now)?;
        self.check_account(binding.account())?;
        let mut over = vec![ended(&binding, now, Ended::Unbound)];
        over.extend(self.paired_on(&binding, now, Ended::Unbound));
        Ok(self.unbound(over))
    }

    /// A work number takes its pairings with it when it ends.
    fn paired_on(&self, work: &Binding, now: Wall, why: Ended) -> Vec<Binding> {
        if !is_work(&work.parties) {
            return Vec::new();
        }
        let live = self.live_on(work.x, now).into_iter();
        let others = live.filter(|id| *id != work.id).filter_map(|id| self.binding(id));
        // Once it is over, X may be somebody else's, with pairings of his own, before that is written.
        let of_it = others.filter(|other| !is_work(&other.parties) && other.since < work.until());
        // That it is written later lets none of them rest longer.
        let at = now.min(work.until());
        of_it.map(|binding| ended(&binding, at, why)).collect()
    }

    /// What ends a work number on X whose time is over though nobody has written that down yet, and its pairings: a new
    /// work number there, or a pairing with it, would find them as its own.
    pub(super) fn outlived(&self, x: VirtualNumber, parties: &Parties, now: Wall) -> Change {
        if !is_of_work(parties) {
            return Change::default();
        }
        let is_over = |work: &Arc<Binding>| {
            is_work(&work.parties) && work.x == x && work.ended.is_none() && work.is_over(now)
        };
        let mut over: Vec<Binding> = Vec::new();
        for work in self.holders(mode::whole(x)).into_iter().filter(is_over) {
            // Those that this group of writes has are handed out twice.
            if over.iter().all(|known| known.id != work.id) {
                over.push(ended(&work, work.expires, Ended::Expired));
                over.extend(self.paired_on(&work, now, Ended::Expired));
            }
        }
        self.unbound(over).change
    }

    /// [`Planner::fit`] as it will be once what [`Planner::outlived`] found is written down: none of them is in the
    /// way, and their keys rest, as if that had been done when their time was over.
    pub(super) fn fit_after(
        &self,
        outlived: &Change,
        x: &Number,
        parties: &Parties,
        but: Option<Id>,
        now: Wall,
    ) -> Result<Wall, Obstacle> {
        if outlived.records.is_empty() {
            return self.fit(x, parties, but, now);
        }
        let mut after = self.clone();
        after.absorb(outlived);
        after.fit(x, parties, but, now)
    }

    pub(super) fn unbind_all(&self, x: VirtualNumber, now: Wall) -> Result<Planned, Refused> {
        let number = self.own_number(x)?;
        self.check_account(&number.account)?;
        let live = self.live_on(x, now);
        let live = live.iter().filter_map(|id| self.binding(*id));
        Ok(self.unbound(live.map(|binding| ended(&binding, now, Ended::Unbound)).collect()))
    }

    pub(super) fn expire(&self, id: Id, now: Wall) -> Result<Planned, Refused> {
        let binding = self.binding(id).ok_or(Refused::UnknownBinding { id })?;
        if binding.ended.is_some() || binding.expires > now {
            return Ok(self.unbound(Vec::new()));
        }
        let mut over = vec![ended(&binding, binding.expires, Ended::Expired)];
        over.extend(self.paired_on(&binding, now, Ended::Expired));
        Ok(self.unbound(over))
    }

    /// These end, and who called last by them is forgotten.
    fn unbound(&self, ended: Vec<Binding>) -> Planned {
        let ids: Vec<Id> = ended.iter().map(|binding| binding.id).collect();
        let mut records: Vec<Record> = ended.into_iter().map(Record::Binding).collect();
        records.extend(ids.iter().filter_map(|id| self.last_gone(*id)));
        Planned {
            written: Written::Unbound(ids),
            change: Change { records },
        }
    }

    /// The terms with what the pool says where they say nothing.
    fn terms_in(&self, pool: &str, terms: &Terms) -> Terms {
        let ring_timeout = self.pool(pool).and_then(|pool| pool.ring_timeout);
        if ring_timeout.is_none() || terms.rare().ring_timeout.is_some() {
            return terms.clone();
        }
        let rare = Rare {
            ring_timeout,
            ..terms.rare().clone()
        };
        Terms::new(terms.direction, terms.record, rare)
    }

    // Where a binding goes.

    /// X, as named or as its pool chooses, and the parties with their Y.
    fn place(
        &self,
        request: &BindRequest,
        now: Wall,
        chance: &mut Chance,
    ) -> Result<(Arc<Number>, Parties), Refused> {
        let mode = request.parties.mode();
        let x_seat = Seat::x(&request.parties);
        // A pool passes over the numbers whose class the request doesn't suit.
        let of_class = |x: &Number| check_class(x.x, mode, &request.terms).err().map(|_| Fit::No);
        let x_for = |parties: Parties| {
            let fits = |x: &Number| of_class(x).unwrap_or_else(|| self.fitness(x, &parties, now));
            let x = self.number_for(&request.x, mode, &x_seat, request.dry_run, now, fits)?;
            Ok((x, parties))
        };
        let with_y = |y: &XChoice, with: &dyn Fn(VirtualNumber) -> Parties| {
            let (x, y) = match y {
                XChoice::Given(y) => {
                    let y = self.given(*y, mode)?;
                    let (x, _) = x_for(with(y.x))?;
                    (x, y)
                }
                // X by what it is without Y, then the Y that goes with it.
                XChoice::FromPool(_) => {
                    let fits = |x: &Number| {
                        of_class(x).unwrap_or_else(|| Fit::of(self.fit_x(x, &with(x.x), None, now)))
                    };
                    let x = self.number_for(&request.x, mode, &x_seat, request.dry_run, now, fits)?;
                    let fits = |y: &Number| of_class(y).unwrap_or_else(|| self.fitness(&x, &with(y.x), now));
                    let seat = Seat::y(&with(x.x));
                    let y = self.number_for(y, mode, &seat, request.dry_run, now, fits)?;
                    (x, y)
                }
            };
            if y.account != x.account {
                return Err(Refused::UnknownNumber { x: y.x });
            }
            let parties = with(y.x);
            Ok((x, parties))
        };
        match &request.parties {
            Wanted::Axb { a, b } => x_for(Parties::Axb { a: *a, b: *b }),
            Wanted::Ax { a } => x_for(Parties::Ax { a: *a }),
            Wanted::Axn { a } => x_for(Parties::Axn { a: *a }),
            Wanted::Axn95 { a } => x_for(Parties::Axn95 { a: *a }),
            Wanted::Axe { a, e: Some(e) } => x_for(Parties::Axe { a: *a, e: *e }),
            Wanted::Axe { a, e: None } => {
                // Not one after another: who knows one shouldn't know the next.
                let start = (chance.bits() >> 48) as u16;
                let fits = |x: &Number| {
                    of_class(x).unwrap_or_else(|| match self.check_family(x.x, mode, None, now) {
                        Ok(()) if self.choose_extension(x, *a, start, now).is_ok() => Fit::Free,
                        Ok(()) | Err(_) => Fit::No,
                    })
                };
                let x = self.number_for(&request.x, mode, &x_seat, request.dry_run, now, fits)?;
                let e = self.choose_extension(&x, *a, start, now)?;
                Ok((x, Parties::Axe { a: *a, e }))
            }
            Wanted::Axyb { a, y, b } => with_y(y, &|y| Parties::Axyb { a: *a, y, b: *b }),
            Wanted::Axg { a, group } => x_for(Parties::Axg { a: *a, group: *group }),
            Wanted::Gxb { group, b } => x_for(Parties::Gxb { group: *group, b: *b }),
            Wanted::Gxyb { group, y, b } => with_y(y, &|y| Parties::Gxyb {
                group: *group,
                y,
                b: *b,
            }),
            Wanted::Xb { b } => x_for(Parties::Xb { b: *b }),
            Wanted::Paired { a } => {
                let XChoice::Given(x) = request.x else {
                    return Err(Refused::BoundsOf(Field::X));
                };
                let work = self.work_on(x, now).ok_or(GroupRefused::NoWork { x })?;
                let b = work.parties.first();
                if b == *a {
                    return Err(Refused::SameNumber);
                }
                x_for(Parties::Paired { a: *a, b })
            }
            Wanted::Inbound { base } => x_for(Parties::Inbound { base: *base }),
        }
    }

    /// The live binding by which X is somebody's work number.
    pub(super) fn work_on(&self, x: VirtualNumber, now: Wall) -> Option<Arc<Binding>> {
        let holder = self.holder(mode::whole(x), now, None);
        holder.live.filter(|binding| is_work(&binding.parties))
    }

    /// Terms that only one mode has, and whom they name.
    fn check_terms_of(&self, parties: &Parties, terms: &Terms) -> Result<(), Refused> {
        check_terms_of(parties, terms)?;
        let list = terms.rare().ring.iter().flat_map(|ring| &ring.list);
        for number in list.copied() {
            if self.is_ours(number) || number.may_be_emergency() || parties.b() == Some(number) {
                return Err(Refused::BoundsOf(Field::Ring));
            }
        }
        for Choice { keys, to } in terms.rare().menu.iter().flat_map(|menu| &menu.choices) {
            let keys = *keys;
            if let Some(number) = to.iter().copied().find(|number| self.is_ours(*number)) {
                return Err(Refused::Menu(MenuRefused::Own { keys, number }));
            }
            if let Some(number) = to.iter().copied().find(|number| number.may_be_emergency()) {
                return Err(Refused::Menu(MenuRefused::Emergency { keys, number }));
            }
        }
        Ok(())
    }

    fn number_for(
        &self,
        choice: &XChoice,
        mode: Mode,
        seat: &Seat,
        dry_run: DryRun,
        now: Wall,
        fits: impl Fn(&Number) -> Fit,
    ) -> Result<Arc<Number>, Refused> {
        match choice {
            XChoice::Given(x) => self.given(*x, mode),
            XChoice::FromPool(choice) => {
                let pool = self.known_pool(&choice.pool)?;
                self.check_account(&pool.account)?;
                check_mode(&pool, mode)?;
                let search = Search {
                    pool: &pool,
                    city: choice.city.as_deref(),
                    seat,
                    now,
                };
                self.choose(&search, dry_run, fits)
            }
        }
    }

    /// A number that the request names, if it takes bindings of this mode.
    fn given(&self, x: VirtualNumber, mode: Mode) -> Result<Arc<Number>, Refused> {
        let number = self.own_number(x)?;
        let pool = self.known_pool(&number.pool)?;
        self.check_account(&number.account)?;
        check_takes_bindings(&number)?;
        check_mode(&pool, mode)?;
        Ok(number)
    }

    /// The number that the terms name for A's callback is neither his own nor ours, and of use.
    pub(super) fn check_callback(&self, parties: &Parties, terms: &Terms) -> Result<(), Refused> {
        let Some(to) = terms.rare().callback else {
            return Ok(());
        };
        match parties {
            Parties::Ax { .. }
            | Parties::Axe { .. }
            | Parties::Axn { .. }
            | Parties::Axn95 { .. }
            | Parties::Axg { .. }
            | Parties::Gxb { .. }
            | Parties::Gxyb { .. } => {}
            Parties::Axb { .. }
            | Parties::Axyb { .. }
            | Parties::Xb { .. }
            | Parties::Paired { .. }
            | Parties::Inbound { .. } => {
                let (field, mode) = (Field::Callback, parties.mode());
                return Err(Refused::NotOfMode { field, mode });
            }
        }
        let is_other = parties.group().is_some_and(|group| !self.is_member(group, to));
        if to == parties.first() || is_other || self.is_ours(to) {
            return Err(Refused::BoundsOf(Field::Callback));
        }
        Ok(())
    }

    pub(super) fn check_people(&self, a: Option<RealNumber>, b: Option<RealNumber>) -> Result<(), Refused> {
        if a.is_some() && a == b {
            return Err(Refused::SameNumber);
        }
        for (party, real) in [(Party::A, a), (Party::B, b)] {
            if real.is_some_and(|real| self.is_ours(real)) {
                return Err(Refused::OwnNumber { party });
            }
        }
        Ok(())
    }

    /// Whether somebody's number is one of ours.
    pub(super) fn is_ours(&self, real: RealNumber) -> bool {
        self.number(real.reveal()).is_some_and(|number| number.is_ours())
    }
}

/// The answer when the very same is bound already.
fn already_bound(
    request: &BindRequest,
    held: &Arc<Binding>,
    taken: Refused,
    expires: Wall,
    now: Wall,
) -> Result<Planned, Refused> {
    match request.on_conflict {
        OnConflict::Fail => Err(taken),
        OnConflict::Return => Ok(unchanged(Written::Existing(held.clone()))),
        OnConflict::Extend => {
            let extended = Binding {
                version: held.version.saturating_add(1),
                since: now.max(just_after(held.since)),
                expires,
                ..(**held).clone()
            };
            Ok(match request.dry_run {
                DryRun::Yes => unchanged(Written::DryRun(Arc::new(extended))),
                DryRun::No => binding_planned(extended, Written::Existing),
            })
        }
    }
}

pub(super) fn just_after(at: Wall) -> Wall {
    at.plus(Duration::from_millis(1))
}

fn ended(binding: &Binding, at: Wall, why: Ended) -> Binding {
    Binding {
        // A version that has not begun to count never will.
        ended: Some((at.max(binding.since), why)),
        ..binding.clone()
    }
}

fn binding_planned(binding: Binding, written: fn(Arc<Binding>) -> Written) -> Planned {
    let written = written(Arc::new(binding.clone()));
    planned(Record::Binding(binding), written)
}

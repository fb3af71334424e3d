//! Writes to bindings: bind, update, unbind, and what is in their way.

use std::sync::Arc;
use std::time::Duration;

use super::choose::{Fit, Search, Seat};
use super::{Planned, Planner, planned, unchanged};
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::X_PER_A;
use crate::base::number::{RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Ended, Home, Mode, Parties, Party, Rare, Terms};
use crate::masking::bounds::{
    change_terms, check_class, check_classes, check_expiry, check_expiry_of, check_mode,
    check_takes_bindings, check_terms,
};
use crate::masking::change::{Change, Record};
use crate::masking::inventory::Number;
use crate::masking::mode;
use crate::masking::quarantine::Grip;
use crate::masking::request::{
    BindRequest, DryRun, Field, OnConflict, Refused, UpdateRequest, Wanted, Written, XChoice,
};
use crate::masking::rule::Key;

/// Open bindings of a number that are looked at in one go.
const CHUNK: usize = 64;

/// What keeps parties from being joined on a number.
pub(super) enum Obstacle {
    /// A live binding is in the way: on the number dialled by this key, which is this party's.
    Held(Arc<Binding>, Tel, Party),
    /// Anything else.
    Law(Refused),
}

impl From<Refused> for Obstacle {
    fn from(refused: Refused) -> Self {
        Self::Law(refused)
    }
}

impl Planner<'_> {
    pub(super) fn bind(
        &self,
        request: &BindRequest,
        now: Wall,
        chance: &mut Chance,
    ) -> Result<Planned, Refused> {
        match &request.parties {
            Wanted::Axb { a, b } | Wanted::Axyb { a, b, .. } => self.check_people(*a, Some(*b))?,
            Wanted::Ax { a } => self.check_people(*a, None)?,
        }
        check_terms(&request.terms)?;
        let expires = check_expiry(request.expires, now)?;
        let (number, parties) = self.place(request, now)?;
        check_classes(number.x, &parties, &request.terms)?;
        check_expiry_of(self.account(&number.account).as_deref(), expires, now)?;
        let since = match self.fit(&number, &parties, None, now) {
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
            DryRun::No => binding_planned(binding, Written::Binding),
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
        check_classes(new.x, &new.parties, &new.terms)?;
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
        // Whom one A was to reach next is no business of another.
        let forgets = new.parties != old.parties && self.callee(new.id).is_some();
        let gone = forgets.then_some(Record::CalleeGone(new.id));
        let mut planned = binding_planned(new, Written::Binding);
        planned.change.records.extend(former.map(Record::Binding));
        planned.change.records.extend(gone);
        Ok(planned)
    }

    pub(super) fn unbind(&self, id: Id, now: Wall) -> Result<Planned, Refused> {
        let binding = self.live_binding(id, now)?;
        self.check_account(binding.account())?;
        Ok(unbound(vec![ended(&binding, now, Ended::Unbound)]))
    }

    pub(super) fn unbind_all(&self, x: VirtualNumber, now: Wall) -> Result<Planned, Refused> {
        let number = self.own_number(x)?;
        self.check_account(&number.account)?;
        let live = self.live_on(x, now);
        let live = live.iter().filter_map(|id| self.binding(*id));
        Ok(unbound(
            live.map(|binding| ended(&binding, now, Ended::Unbound)).collect(),
        ))
    }

    pub(super) fn expire(&self, id: Id, now: Wall) -> Result<Planned, Refused> {
        let binding = self.binding(id).ok_or(Refused::UnknownBinding { id })?;
        if binding.ended.is_some() || binding.expires > now {
            return Ok(unbound(Vec::new()));
        }
        Ok(unbound(vec![ended(&binding, binding.expires, Ended::Expired)]))
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
    fn place(&self, request: &BindRequest, now: Wall) -> Result<(Arc<Number>, Parties), Refused> {
        let mode = request.parties.mode();
        let x_seat = Seat::x(&request.parties);
        // A pool passes over the numbers whose class the request doesn't suit.
        let of_class = |x: &Number| check_class(x.x, mode, &request.terms).err().map(|_| Fit::No);
        let x_for = |parties: Parties| {
            let fits = |x: &Number| of_class(x).unwrap_or_else(|| self.fitness(x, &parties, now));
            let x = self.number_for(&request.x, mode, &x_seat, request.dry_run, now, fits)?;
            Ok((x, parties))
        };
        match &request.parties {
            Wanted::Axb { a, b } => x_for(Parties::Axb { a: *a, b: *b }),
            Wanted::Ax { a } => x_for(Parties::Ax { a: *a }),
            Wanted::Axyb { a, y, b } => {
                let with = |y: VirtualNumber| Parties::Axyb { a: *a, y, b: *b };
                let (x, y) = match y {
                    XChoice::Given(y) => {
                        let y = self.given(*y, mode)?;
                        let (x, _) = x_for(with(y.x))?;
                        (x, y)
                    }
                    // X by what it is without Y, then the Y that goes with it.
                    XChoice::FromPool(_) => {
                        let fits = |x: &Number| {
                            of_class(x).unwrap_or_else(|| Fit::of(self.fit_x(x, *a, *b, None, now)))
                        };
                        let x = self.number_for(&request.x, mode, &x_seat, request.dry_run, now, fits)?;
                        let fits =
                            |y: &Number| of_class(y).unwrap_or_else(|| self.fitness(&x, &with(y.x), now));
                        let seat = Seat::y(*a, *b);
                        let y = self.number_for(y, mode, &seat, request.dry_run, now, fits)?;
                        (x, y)
                    }
                };
                if y.account != x.account {
                    return Err(Refused::UnknownNumber { x: y.x });
                }
                let parties = with(y.x);
                Ok((x, parties))
            }
        }
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

    pub(super) fn check_people(&self, a: RealNumber, b: Option<RealNumber>) -> Result<(), Refused> {
        if Some(a) == b {
            return Err(Refused::SameNumber);
        }
        for (party, real) in [(Party::A, Some(a)), (Party::B, b)] {
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

    // What is in the way. `but` is the binding that is updated: it is in its own way never.

    /// How the number suits a pool that chooses it for these parties.
    fn fitness(&self, x: &Number, parties: &Parties, now: Wall) -> Fit {
        match Fit::of(self.fit(x, parties, None, now)) {
            Fit::Free => {}
            not_free @ (Fit::Rests(_) | Fit::Quarantined | Fit::No | Fit::Never(_)) => return not_free,
        }
        let rests = self.rests(x, parties, None, now);
        match rests.iter().map(|rest| rest.left).max() {
            Some(left) => Fit::Rests(left),
            None => Fit::Free,
        }
    }

    /// Whether these parties can be joined on `x` at `now`: from when on, or what is in the way.
    fn fit(&self, x: &Number, parties: &Parties, but: Option<Id>, now: Wall) -> Result<Wall, Obstacle> {
        let mut since = now;
        match *parties {
            Parties::Axb { .. } | Parties::Ax { .. } => self.check_family(x.x, parties.mode(), but, now)?,
            Parties::Axyb { a, y, b } => {
                if x.x == y {
                    return Err(Refused::XIsY.into());
                }
                self.check_family(y, Mode::Axyb, but, now)?;
                since = self.fit_x(x, a, b, but, now)?;
            }
        }
        for (key, party) in mode::rows(x.x, parties) {
            since = since.max(self.free_from(key, party, but, now)?);
        }
        for rest in self.rests(x, parties, but, now) {
            match rest.grip {
                Grip::Soft => {}
                Grip::Hard => return Err(Obstacle::Law(rest.refused)),
            }
        }
        match *parties {
            Parties::Axb { .. } => {
                let limit = self.known_pool(&x.pool)?.axb_pairs_per_x;
                if self.is_full(x.x, limit, but, now, |_| true) {
                    return Err(Refused::PairsFull { x: x.x, limit }.into());
                }
            }
            Parties::Ax { a } => self.check_numbers_of(a, x, but, now)?,
            Parties::Axyb { a, y, .. } => {
                self.check_numbers_of(a, x, but, now)?;
                let stands = |binding: &Binding| binding.parties.y() == Some(y);
                let y_pool = self.own_number(y).and_then(|y| self.known_pool(&y.pool))?;
                let limit = y_pool.relations_per_y;
                if self.is_full(y, limit, but, now, stands) {
                    return Err(Refused::RelationsFull { y, limit }.into());
                }
            }
        }
        Ok(since)
    }

    /// The same, where whatever is in the way refuses.
    pub(super) fn fits(
        &self,
        x: &Number,
        parties: &Parties,
        but: Option<Id>,
        now: Wall,
    ) -> Result<Wall, Refused> {
        match self.fit(x, parties, but, now) {
            Ok(since) => Ok(since),
            Err(Obstacle::Law(refused)) => Err(refused),
            Err(Obstacle::Held(held, dialled, party)) => Err(key_taken(&held, parties, dialled, party)),
        }
    }

    /// The same for AXYB, as far as it doesn't depend on Y.
    fn fit_x(
        &self,
        x: &Number,
        a: RealNumber,
        b: RealNumber,
        but: Option<Id>,
        now: Wall,
    ) -> Result<Wall, Obstacle> {
        self.check_family(x.x, Mode::Axyb, but, now)?;
        // X stands for one A at a time; more B may join him.
        let of_another = |binding: &Binding| binding.x == x.x && binding.parties.a() != a;
        if let Some(held) = self.find_live_on(x.x, but, now, of_another) {
            return Err(Obstacle::Held(held, x.x.tel(), Party::N));
        }
        self.free_from(mode::by(x.x, b), Party::B, but, now)
    }

    /// The keys that these parties want and that rest from others, the whole number among them.
    fn rests(&self, x: &Number, parties: &Parties, but: Option<Id>, now: Wall) -> Vec<Rest> {
        let mut rests = Vec::new();
        // As if they were bound: whom would each of them know behind the number?
        let wanted = |party| mode::peer_of(parties, party);
        let mut wants: Vec<(Key, Party, Option<RealNumber>)> = mode::rows(x.x, parties)
            .into_iter()
            .map(|(key, party)| (key, party, wanted(party)))
            .collect();
        for number in [Some(x.x), parties.y()].into_iter().flatten() {
            let whole = mode::anyone(number);
            if !wants.iter().any(|(key, ..)| *key == whole) {
                wants.push((whole, Party::N, Some(parties.a())));
            }
        }
        for (key, party, peer) in wants {
            let Some(number) = self.number(key.dialled) else {
                continue;
            };
            let pool = self.pool(&number.pool);
            for (left, former) in self.left(key, but, now) {
                let quarantine = self.table.quarantine(pool.as_deref(), former.mode());
                let until = left.plus(quarantine.lasts);
                // A who could be led to anyone had nobody there whom he knew.
                let knew = mode::caller(&former, key).and_then(|by| mode::peer(&former, by));
                if now < until && knew.is_some() && knew != peer {
                    let x = number.x;
                    rests.push(Rest {
                        left,
                        grip: quarantine.grip,
                        refused: Refused::KeyQuarantined { x, party, until },
                    });
                }
            }
        }
        rests
    }

    /// Bindings that gave a key up, and when; not versions that handed it on to a later one of the same binding.
    fn left(&self, key: Key, but: Option<Id>, now: Wall) -> Vec<(Wall, Arc<Binding>)> {
        let rules = self.table.rules(key);
        let pending = self.keys.get(&key).into_iter().flatten();
        let mut had: Vec<Arc<Binding>> = Vec::new();
        for id in rules.iter().chain(pending) {
            let binding = self.binding(*id).filter(|b| mode::caller(b, key).is_some());
            had.extend(binding.filter(|binding| had.iter().all(|known| known.id != binding.id)));
        }
        let left = had
            .iter()
            .filter(|binding| binding.is_over(now) && Some(binding.id) != but);
        let handed_on = |former: &Binding| had.iter().any(|next| took_over(next, former));
        left.filter(|former| !handed_on(former) && self.table.may_rest(former))
            .map(|former| (former.until(), former.clone()))
            .collect()
    }

    /// From when on `party` may have a key.
    fn free_from(&self, key: Key, party: Party, but: Option<Id>, now: Wall) -> Result<Wall, Obstacle> {
        let holder = self.holder(key, now, but);
        match holder.live {
            Some(held) => Err(Obstacle::Held(held, key.dialled, party)),
            None => Ok(holder.free_from),
        }
    }

    /// One family of modes at a time is bound on a number.
    fn check_family(&self, x: VirtualNumber, mode: Mode, but: Option<Id>, now: Wall) -> Result<(), Refused> {
        // All that is live is of one family: the first tells.
        match self.find_live_on(x, but, now, |_| true) {
            Some(held) if mode::family(held.mode()) != mode::family(mode) => Err(Refused::FamilyTaken {
                x,
                mode: held.mode(),
                binding: held.id,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// A has no more than so many numbers that stand for him.
    fn check_numbers_of(&self, a: RealNumber, x: &Number, but: Option<Id>, now: Wall) -> Result<(), Refused> {
        let counts = |binding: &Binding| {
            binding.parties.a() == a
                && Some(binding.id) != but
                && binding.account() == &*x.account
                && !binding.is_over(now)
        };
        let mut numbers = vec![x.x];
        let mut add = |binding: &Binding| {
            let stands = match binding.mode() {
                Mode::Ax | Mode::Axyb => counts(binding) && !numbers.contains(&binding.x),
                Mode::Axb => false,
            };
            if stands {
                numbers.push(binding.x);
            }
            numbers.len()
        };
        // The group's own first: they are few.
        let mut count = self
            .bindings
            .values()
            .map(|binding| add(binding))
            .max()
            .unwrap_or(1);
        let limit = self
            .account(&x.account)
            .map_or(X_PER_A, |account| account.x_per_a);
        let mut after = (0, Id::from_bits(0));
        while count <= limit
            && let Some((number, id)) = self.table.own_next(a, after)
        {
            let binding = self
                .binding(id)
                .filter(|binding| binding.x.tel().bits() == number);
            let before = count;
            count = binding.map_or(count, |binding| add(&binding));
            // A number that was counted needs no second look.
            let last = Id::from_bits(u128::MAX);
            after = (number, if count > before { last } else { id });
        }
        if count > limit {
            return Err(Refused::NumbersFull { limit });
        }
        Ok(())
    }

    /// Who has a key at `now`, apart from the binding `but`.
    fn holder(&self, key: Key, now: Wall, but: Option<Id>) -> Holder {
        let mut holder = Holder {
            live: None,
            free_from: now,
        };
        let rules = self.table.rules(key);
        let pending = self.keys.get(&key).into_iter().flatten();
        for id in rules.iter().chain(pending) {
            if Some(*id) == but {
                continue;
            }
            let Some(binding) = self.binding(*id) else {
                continue;
            };
            let has_key = mode::caller(&binding, key).is_some();
            if has_key && !binding.is_over(now) {
                holder.live = Some(binding);
            } else {
                // An attempt of the very millisecond in which the key became free is the former
                // holder's, or nobody's: the next holder begins one later.
                let left = if has_key { binding.until() } else { binding.since };
                holder.free_from = holder.free_from.max(just_after(left));
            }
        }
        holder
    }

    /// The first live binding on a number that is wanted.
    fn find_live_on(
        &self,
        number: VirtualNumber,
        but: Option<Id>,
        now: Wall,
        wanted: impl Fn(&Binding) -> bool,
    ) -> Option<Arc<Binding>> {
        let live = |id: Id| {
            self.binding(id)
                .filter(|binding| Some(id) != but && !binding.is_over(now) && wanted(binding))
        };
        if let Some(found) = self.pending_on(number).find_map(live) {
            return Some(found);
        }
        let mut after = None;
        loop {
            let ids = self.table.open_on(number.tel(), after, CHUNK);
            after = Some(*ids.last()?);
            if let Some(found) = ids.into_iter().find_map(live) {
                return Some(found);
            }
        }
    }

    /// Whether as many live bindings as the limit allows, of those wanted, are on a number.
    fn is_full(
        &self,
        number: VirtualNumber,
        limit: usize,
        but: Option<Id>,
        now: Wall,
        wanted: impl Fn(&Binding) -> bool,
    ) -> bool {
        // Too many rather than too few are counted first; only near the limit is it worth looking.
        let at_most = self.table.open_on(number.tel(), None, limit).len() + self.pending_on(number).count();
        let counts = |id: &Id| Some(*id) != but && self.binding(*id).is_some_and(|binding| wanted(&binding));
        at_most >= limit && self.live_on(number, now).iter().filter(|id| counts(id)).count() >= limit
    }
}

/// A key that rests from others than its former pair.
struct Rest {
    /// Since when.
    left: Wall,
    /// How firmly.
    grip: Grip,
    /// What is answered where it is hard.
    refused: Refused,
}

/// Who has a key.
struct Holder {
    /// The binding that holds it.
    live: Option<Arc<Binding>>,
    /// From when on another may have it: not before its former holders left it.
    free_from: Wall,
}

/// Whether `former` is what an update replaced, and `next` a later version of the same binding, or what a later
/// update replaced. They bear one birthday. That `next` begins when `former` ended would tell too little: an update
/// of nothing but terms begins anew as well, and the key that it keeps would rest from its own holder.
fn took_over(next: &Binding, former: &Binding) -> bool {
    let is_replaced = match former.ended {
        Some((_, Ended::Replaced)) => true,
        Some((_, Ended::Unbound | Ended::Expired)) | None => false,
    };
    is_replaced
        && (next.x, next.created) == (former.x, former.created)
        // A version that was over before it began took nothing.
        && former.until() < next.until()
}

/// What an update makes of the parties.
fn updated_parties(old: Parties, request: &UpdateRequest) -> Result<Parties, Refused> {
    let mode = old.mode();
    let a = request.a.unwrap_or(old.a());
    match (old, request.mode.unwrap_or(mode)) {
        (Parties::Axb { b, .. }, Mode::Axb) => Ok(Parties::Axb {
            a,
            b: request.b.unwrap_or(b),
        }),
        (Parties::Ax { .. }, Mode::Ax) => match request.b {
            None => Ok(Parties::Ax { a }),
            Some(_) => Err(Refused::NotOfMode {
                field: Field::B,
                mode,
            }),
        },
        (Parties::Ax { .. }, Mode::Axb) => match request.b {
            Some(b) => Ok(Parties::Axb { a, b }),
            None => Err(Refused::BoundsOf(Field::B)),
        },
        (Parties::Axyb { y, b, .. }, Mode::Axyb) => Ok(Parties::Axyb {
            a,
            y,
            b: request.b.unwrap_or(b),
        }),
        (Parties::Axb { .. }, Mode::Ax | Mode::Axyb)
        | (Parties::Ax { .. }, Mode::Axyb)
        | (Parties::Axyb { .. }, Mode::Axb | Mode::Ax) => Err(Refused::NotOfMode {
            field: Field::Mode,
            mode,
        }),
    }
}

fn key_taken(held: &Binding, wanted: &Parties, dialled: Tel, party: Party) -> Refused {
    Refused::KeyTaken {
        x: VirtualNumber::new(dialled),
        number: wanted.number_of(party).unwrap_or(held.parties.a()),
        party,
        binding: held.id,
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

fn unbound(ended: Vec<Binding>) -> Planned {
    Planned {
        written: Written::Unbound(ended.iter().map(|binding| binding.id).collect()),
        change: Change {
            records: ended.into_iter().map(Record::Binding).collect(),
        },
    }
}

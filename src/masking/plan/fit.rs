//! What is in the way of a binding: a key that is held or rests, another family of modes, a limit.

use std::sync::Arc;

use super::Planner;
use super::bind::just_after;
use super::choose::Fit;
use super::parties::is_work;
use crate::base::id::Id;
use crate::base::limits::X_PER_A;
use crate::base::number::{RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Ended, Mode, Parties, Party};
use crate::masking::inventory::Number;
use crate::masking::mode;
use crate::masking::quarantine::Grip;
use crate::masking::request::Refused;
use crate::masking::rule::{Key, Who};

/// Open bindings of a number that are looked at in one go.
const CHUNK: usize = 64;

/// What keeps parties from being joined on a number.
pub(super) enum Obstacle {
    /// A live binding is in the way: on the number dialled by this key, which is this party's.
    Held(Arc<Binding>, Tel, Party),
    /// Anything else.
    Law(Refused),
}

impl Obstacle {
    /// What they are told whom it keeps from being joined.
    pub(super) fn refused(self, wanted: &Parties) -> Refused {
        match self {
            Self::Law(refused) => refused,
            Self::Held(held, dialled, party) => key_taken(&held, wanted, dialled, party),
        }
    }
}

impl From<Refused> for Obstacle {
    fn from(refused: Refused) -> Self {
        Self::Law(refused)
    }
}

/// A key that rests from others than its former pair.
pub(super) struct Rest {
    /// Since when.
    pub(super) left: Wall,
    /// How firmly.
    pub(super) grip: Grip,
    /// What is answered where it is hard.
    pub(super) refused: Refused,
}

/// Who has a key.
pub(super) struct Holder {
    /// The binding that holds it.
    pub(super) live: Option<Arc<Binding>>,
    /// From when on another may have it: not before its former holders left it.
    pub(super) free_from: Wall,
}

impl Planner<'_> {
    // `but` is the binding that is updated: it is in its own way never.

    /// How the number suits a pool that chooses it for these parties.
    pub(super) fn fitness(&self, x: &Number, parties: &Parties, now: Wall) -> Fit {
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
    pub(super) fn fit(
        &self,
        x: &Number,
        parties: &Parties,
        but: Option<Id>,
        now: Wall,
    ) -> Result<Wall, Obstacle> {
        let mut since = now;
        match parties.y() {
            None => self.check_family(x.x, parties.mode(), but, now)?,
            Some(y) => {
                if x.x == y {
                    return Err(Refused::XIsY.into());
                }
                self.check_family(y, parties.mode(), but, now)?;
                since = self.fit_x(x, parties, but, now)?;
            }
        }
        self.check_group(x, parties)?;
        for (key, party) in mode::rows(x.x, parties) {
            since = since.max(self.free_from(key, party, but, now)?);
            since = since.max(self.free_of_groups(key, party, but, now)?);
        }
        for rest in self.rests(x, parties, but, now) {
            match rest.grip {
                Grip::Soft => {}
                Grip::Hard => return Err(Obstacle::Law(rest.refused)),
            }
        }
        match *parties {
            Parties::Axb { .. } | Parties::Paired { .. } => {
                let limit = self.known_pool(&x.pool)?.axb_pairs_per_x;
                if self.is_full(x.x, limit, but, now, |binding| !is_work(&binding.parties)) {
                    return Err(Refused::PairsFull { x: x.x, limit }.into());
                }
            }
            Parties::Ax { a } | Parties::Axn { a } | Parties::Axn95 { a } => {
                self.check_numbers_of(a, x, but, now)?;
            }
            Parties::Axe { e, .. } => self.check_extension(x, e, but, now)?,
            Parties::Axg { .. } | Parties::Gxb { .. } | Parties::Xb { .. } | Parties::Inbound { .. } => {}
            Parties::Axyb { y, .. } | Parties::Gxyb { y, .. } => {
                if let Some(a) = parties.a() {
                    self.check_numbers_of(a, x, but, now)?;
                }
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
        let since = self.fit(x, parties, but, now);
        since.map_err(|obstacle| obstacle.refused(parties))
    }

    /// The same for AXYB and GXYB, as far as it doesn't depend on Y: that of the parties isn't looked at.
    pub(super) fn fit_x(
        &self,
        x: &Number,
        parties: &Parties,
        but: Option<Id>,
        now: Wall,
    ) -> Result<Wall, Obstacle> {
        self.check_family(x.x, parties.mode(), but, now)?;
        // X stands for one A, or one group, at a time; more B may join them.
        let stands_for = |parties: &Parties| (parties.a(), parties.group());
        let of_another =
            |binding: &Binding| binding.x == x.x && stands_for(&binding.parties) != stands_for(parties);
        if let Some(held) = self.find_live_on(x.x, but, now, of_another) {
            return Err(Obstacle::Held(held, x.x.tel(), Party::N));
        }
        match parties.b() {
            Some(b) => {
                let key = mode::by(x.x, b);
                let since = self.free_from(key, Party::B, but, now)?;
                Ok(since.max(self.free_of_groups(key, Party::B, but, now)?))
            }
            None => Ok(now),
        }
    }

    /// The keys that these parties want and that rest from others, the whole number among them.
    pub(super) fn rests(&self, x: &Number, parties: &Parties, but: Option<Id>, now: Wall) -> Vec<Rest> {
        let mut rests = Vec::new();
        match parties {
            Parties::Ax { a } | Parties::Axn { a } | Parties::Axn95 { a } => {
                rests.extend(self.rest_of_extensions(x, *a, now));
            }
            Parties::Axb { .. }
            | Parties::Axyb { .. }
            | Parties::Axe { .. }
            | Parties::Axg { .. }
            | Parties::Gxb { .. }
            | Parties::Gxyb { .. }
            | Parties::Xb { .. }
            | Parties::Paired { .. }
            | Parties::Inbound { .. } => {}
        }
        // As if they were bound: whom would each of them know behind the number?
        let wanted = |party| mode::peer_of(parties, party);
        let mut wants: Vec<(Key, Party, Option<RealNumber>)> = mode::rows(x.x, parties)
            .into_iter()
            .map(|(key, party)| (key, party, wanted(party)))
            .collect();
        for number in [Some(x.x), parties.y()].into_iter().flatten() {
            for whole in [mode::anyone(number), mode::whole(number)] {
                if !wants.iter().any(|(key, ..)| *key == whole) {
                    wants.push((whole, Party::N, Some(parties.behind())));
                }
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
                    let refused = match key.caller {
                        Who::Extension(e) => Refused::ExtensionQuarantined { x, e, until },
                        Who::Number(_) | Who::Anyone | Who::Member(_) | Who::Whole => {
                            Refused::KeyQuarantined { x, party, until }
                        }
                    };
                    rests.push(Rest {
                        left,
                        grip: quarantine.grip,
                        refused,
                    });
                }
            }
        }
        rests
    }

    /// Bindings that gave a key up, and when; not versions that handed it on to a later one of the same binding.
    fn left(&self, key: Key, but: Option<Id>, now: Wall) -> Vec<(Wall, Arc<Binding>)> {
        let mut had: Vec<Arc<Binding>> = Vec::new();
        for binding in self.holders(key) {
            if mode::caller(&binding, key).is_some() && had.iter().all(|known| known.id != binding.id) {
                had.push(binding);
            }
        }
        let left = had
            .iter()
            .filter(|binding| binding.is_over(now) && Some(binding.id) != but);
        let handed_on = |former: &Binding| had.iter().any(|next| took_over(next, former));
        // The table doesn't count yet what ends by this group of writes: that ended a moment ago.
        let may_rest =
            |former: &Binding| self.bindings.contains_key(&former.id) || self.table.may_rest(former);
        left.filter(|former| !handed_on(former) && may_rest(former))
            .map(|former| (former.until(), former.clone()))
            .collect()
    }

    /// From when on `party` may have a key.
    pub(super) fn free_from(
        &self,
        key: Key,
        party: Party,
        but: Option<Id>,
        now: Wall,
    ) -> Result<Wall, Obstacle> {
        let holder = self.holder(key, now, but);
        match holder.live {
            Some(held) => Err(Obstacle::Held(held, key.dialled, party)),
            None => Ok(holder.free_from),
        }
    }

    /// One family of modes at a time is bound on a number.
    pub(super) fn check_family(
        &self,
        x: VirtualNumber,
        mode: Mode,
        but: Option<Id>,
        now: Wall,
    ) -> Result<(), Refused> {
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
            binding.parties.a() == Some(a)
                && Some(binding.id) != but
                && binding.account() == &*x.account
                && !binding.is_over(now)
        };
        let mut numbers = vec![x.x];
        let mut add = |binding: &Binding| {
            let stands = match binding.mode() {
                Mode::Ax | Mode::Axn | Mode::Axn95 | Mode::Axyb | Mode::X => {
                    counts(binding) && !numbers.contains(&binding.x)
                }
                Mode::Axb | Mode::Axe | Mode::Axg | Mode::Gxb | Mode::Gxyb | Mode::Xb | Mode::Inbound => {
                    false
                }
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
    pub(super) fn holder(&self, key: Key, now: Wall, but: Option<Id>) -> Holder {
        let mut holder = Holder {
            live: None,
            free_from: now,
        };
        let others = self
            .holders(key)
            .into_iter()
            .filter(|binding| Some(binding.id) != but);
        for binding in others {
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

    /// The bindings that have or had a key, those of the group of writes included; some of them twice.
    pub(super) fn holders(&self, key: Key) -> Vec<Arc<Binding>> {
        let rules = self.table.rules(key);
        let pending = self.keys.get(&key).into_iter().flatten();
        let ids = rules.iter().chain(pending);
        ids.filter_map(|id| self.binding(*id)).collect()
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
    pub(super) fn is_full(
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

pub(super) fn key_taken(held: &Binding, wanted: &Parties, dialled: Tel, party: Party) -> Refused {
    if let Some(e) = wanted.extension() {
        return Refused::ExtensionTaken {
            x: VirtualNumber::new(dialled),
            e,
            binding: held.id,
        };
    }
    Refused::KeyTaken {
        x: VirtualNumber::new(dialled),
        number: wanted.number_of(party).unwrap_or(held.parties.first()),
        party,
        binding: held.id,
    }
}

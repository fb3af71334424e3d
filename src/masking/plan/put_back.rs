//! Writes that bring back what was there before, or elsewhere: a binding keeps its id, so that customers and
//! records find it again. All other rules hold as for any binding.

use std::sync::Arc;

use super::bind::just_after;
use super::inventory::{account_planned, number_planned, pool_planned};
use super::{Planned, Planner, planned, unchanged};
use crate::base::chance::Chance;
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Home, Parties};
use crate::masking::bounds::check_classes;
use crate::masking::callee::Callee;
use crate::masking::change::Record;
use crate::masking::group::Group;
use crate::masking::inventory::{Account, Number, Pool};
use crate::masking::last::Last;
use crate::masking::request::{BindRequest, Field, GroupRefused, Import, Refused, Wanted, Written, XChoice};

impl Planner<'_> {
    /// Binds under the id and with the birthday that the binding had. One that is there, by that id, stays as it
    /// is; one that has ended here doesn't come back.
    pub(super) fn import(&self, import: &Import, now: Wall, chance: &mut Chance) -> Result<Planned, Refused> {
        if let Some(known) = import.id.and_then(|id| self.binding(id)) {
            if known.is_over(now) {
                return Err(Refused::BindingEnded { id: known.id });
            }
            if !is_same(&import.request, &known) {
                return Err(Refused::IdTaken { id: known.id });
            }
            return Ok(unchanged(Written::Existing(known)));
        }
        // A clock that was set by it would run ahead.
        if import.created.is_some_and(|created| created > now) {
            return Err(Refused::BoundsOf(Field::CreatedAt));
        }
        let bound = self.bind(&import.request, now, chance)?;
        let Written::Binding(binding) = &bound.written else {
            return Ok(bound);
        };
        let binding = Binding {
            id: import.id.unwrap_or(binding.id),
            created: import.created.unwrap_or(binding.created),
            ..(**binding).clone()
        };
        let mut change = bound.change;
        // It stands last; before it, what ends by it.
        change.records.pop();
        let written = Written::Binding(Arc::new(binding.clone()));
        change.records.push(Record::Binding(binding));
        Ok(Planned { change, written })
    }

    /// Makes a record of a backup true again. What is there of accounts, pools and numbers stays as it is; a
    /// binding gets the parties, terms and expiry that it had, even if it has ended since.
    /// `group` is what the backup says of the group that the record names.
    pub(super) fn put_back(
        &self,
        record: &Record,
        group: Option<&Group>,
        now: Wall,
    ) -> Result<Planned, Refused> {
        match record {
            Record::Account(account) => Ok(self.put_back_account(account)),
            Record::Pool(pool) => self.put_back_pool(pool),
            Record::Number(number) => self.put_back_number(number),
            Record::Binding(binding) => self.put_back_binding(binding, group, now),
            // They are in no backup.
            Record::Group(group) => self.put_back_group(group),
            Record::Member(member) => self.put_back_member(member, group, now),
            Record::GroupGone(group) | Record::MemberGone(group, _) => {
                Err(GroupRefused::Unknown { group: *group }.into())
            }
            Record::Callee(Callee { binding: id, .. })
            | Record::CalleeGone(id)
            | Record::Last(Last { binding: id, .. })
            | Record::LastGone(id)
            | Record::Forget(id) => Err(Refused::UnknownBinding { id: *id }),
        }
    }

    fn put_back_account(&self, account: &Account) -> Planned {
        match self.account(&account.name) {
            Some(known) => unchanged(Written::Account(known)),
            None => account_planned(account.clone()),
        }
    }

    fn put_back_pool(&self, pool: &Pool) -> Result<Planned, Refused> {
        if let Some(known) = self.pool(&pool.key) {
            return Ok(unchanged(Written::Pool(known)));
        }
        if self.pool(&pool.name).is_some() {
            return Err(Refused::NameTaken {
                name: pool.name.clone(),
            });
        }
        Ok(pool_planned(pool.clone()))
    }

    fn put_back_number(&self, number: &Number) -> Result<Planned, Refused> {
        let known = self.number(number.x.tel());
        if let Some(known) = known.clone().filter(|known| known.is_ours() || !number.is_ours()) {
            return Ok(unchanged(Written::Number(known)));
        }
        self.known_pool(&number.pool)?;
        let version = known.map_or(number.version, |known| {
            known.version.max(number.version).saturating_add(1)
        });
        Ok(number_planned(Number {
            version,
            ..number.clone()
        }))
    }

    fn put_back_binding(
        &self,
        binding: &Binding,
        group: Option<&Group>,
        now: Wall,
    ) -> Result<Planned, Refused> {
        if binding.is_over(now) {
            return Err(Refused::BindingEnded { id: binding.id });
        }
        if let Some(id) = binding.parties.group() {
            self.same_group(id, group)?;
        }
        let known = self.binding(binding.id);
        let is_there = |known: &Arc<Binding>| {
            let same = (known.x, known.parties, &known.terms, known.expires)
                == (binding.x, binding.parties, &binding.terms, binding.expires);
            same && !known.is_over(now)
        };
        if let Some(known) = known.clone().filter(is_there) {
            return Ok(unchanged(Written::Existing(known)));
        }
        let number = self.own_number(binding.x)?;
        // Whether its account is suspended, or its number locked or frozen, was so or will be: the owner, and not
        // the account, asks for what was.
        self.check_people(binding.parties.a(), binding.parties.b())?;
        check_classes(binding.x, &binding.parties, &binding.terms)?;
        self.check_callback(&binding.parties, &binding.terms)?;
        let outlived = self.outlived(binding.x, &binding.parties, now);
        let mut since = self
            .fit_after(&outlived, &number, &binding.parties, Some(binding.id), now)
            .map_err(|obstacle| obstacle.refused(&binding.parties))?;
        let mut version = binding.version;
        let gone = known
            .as_ref()
            .map(|known| self.people_gone(known, &binding.parties));
        if let Some(known) = known {
            version = known.version.max(version).saturating_add(1);
            // What an attempt meant that arrived while it was over, or something else, stays so.
            let left = known.until().min(now);
            since = since.max(just_after(known.since)).max(just_after(left));
        }
        let binding = Binding {
            version,
            since,
            home: Arc::new(Home {
                account: number.account.clone(),
                pool: number.pool.clone(),
            }),
            ended: None,
            ..binding.clone()
        };
        let written = Written::Binding(Arc::new(binding.clone()));
        let mut planned = planned(Record::Binding(binding), written);
        planned.change.records.splice(0..0, outlived.records);
        planned.change.records.extend(gone.into_iter().flatten());
        Ok(planned)
    }
}

/// Whether the request would make this binding.
fn is_same(request: &BindRequest, binding: &Binding) -> bool {
    let is = |choice: &XChoice, number| match choice {
        XChoice::Given(given) => Some(*given) == number,
        XChoice::FromPool(_) => true,
    };
    let parties = match (&request.parties, binding.parties) {
        (Wanted::Axb { a, b }, Parties::Axb { a: of_a, b: of_b }) => (*a, *b) == (of_a, of_b),
        (Wanted::Ax { a }, Parties::Ax { a: of_a })
        | (Wanted::Axn { a }, Parties::Axn { a: of_a })
        | (Wanted::Axn95 { a }, Parties::Axn95 { a: of_a }) => *a == of_a,
        (Wanted::Axe { a, e }, Parties::Axe { a: of_a, e: of_e }) => {
            *a == of_a && e.is_none_or(|e| e == of_e)
        }
        (
            Wanted::Axyb { a, y, b },
            Parties::Axyb {
                a: of_a,
                y: of_y,
                b: of_b,
            },
        ) => (*a, *b) == (of_a, of_b) && is(y, Some(of_y)),
        (
            Wanted::Axg { a, group },
            Parties::Axg {
                a: of_a,
                group: of_group,
            },
        ) => (*a, *group) == (of_a, of_group),
        (
            Wanted::Gxb { group, b },
            Parties::Gxb {
                group: of_group,
                b: of_b,
            },
        ) => (*group, *b) == (of_group, of_b),
        (
            Wanted::Gxyb { group, y, b },
            Parties::Gxyb {
                group: of_group,
                y: of_y,
                b: of_b,
            },
        ) => (*group, *b) == (of_group, of_b) && is(y, Some(of_y)),
        (Wanted::Xb { b }, Parties::Xb { b: of_b }) => *b == of_b,
        (Wanted::Paired { a }, Parties::Paired { a: of_a, .. }) => *a == of_a,
        (Wanted::Inbound { base }, Parties::Inbound { base: of_base }) => *base == of_base,
        (
            Wanted::Axb { .. }
            | Wanted::Ax { .. }
            | Wanted::Axyb { .. }
            | Wanted::Axe { .. }
            | Wanted::Axn { .. }
            | Wanted::Axn95 { .. }
            | Wanted::Axg { .. }
            | Wanted::Gxb { .. }
            | Wanted::Gxyb { .. }
            | Wanted::Xb { .. }
            | Wanted::Paired { .. }
            | Wanted::Inbound { .. },
            _,
        ) => false,
    };
    parties && is(&request.x, Some(binding.x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Id;
    use crate::masking::request::{OnConflict, Unbind, UpdateRequest, Write};
    use crate::masking::support::{A, B, C, World, X, axb, real};

    fn import(world: &World, id: u128) -> Write {
        let mut request = axb(X, A, B);
        request.on_conflict = OnConflict::Return;
        Write::Import(Box::new(Import {
            request,
            id: Some(Id::from_bits(id)),
            created: Some(world.at(-5_000)),
        }))
    }

    fn binding(written: Result<Written, Refused>) -> Arc<Binding> {
        match written {
            Ok(Written::Binding(binding) | Written::Existing(binding)) => binding,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_imported_binding_keeps_its_id_and_birthday_and_counts_from_now_on() {
        let mut world = World::new();
        let write = import(&world, 7);
        let made = binding(world.write(&write));
        assert_eq!((made.id, made.created), (Id::from_bits(7), world.at(-5_000)));
        assert_eq!((made.since, made.version), (world.now, 1));
        assert_eq!(world.table.binding(made.id), Some(made));
    }

    #[test]
    fn importing_again_changes_nothing_and_what_was_unbound_stays_so() {
        let mut world = World::new();
        let write = import(&world, 7);
        let made = binding(world.write(&write));
        let again = world.write(&write);
        assert!(matches!(&again, Ok(Written::Existing(_))), "{again:?}");
        // The same parties without an id, or under another one, are the same binding.
        let other = import(&world, 8);
        assert_eq!(binding(world.write(&other)).id, made.id);
        for again in [&write, &other] {
            let planned = world.table.plan(again, world.now, &mut world.chance);
            assert!(planned.is_ok_and(|planned| planned.change.records.is_empty()));
        }
        world.later(10);
        world.unbind(made.id);
        assert_eq!(world.write(&write), Err(Refused::BindingEnded { id: made.id }));
        // Under another id it is another binding.
        assert_eq!(binding(world.write(&other)).id, Id::from_bits(8));
    }

    #[test]
    fn an_id_that_others_have_and_a_birthday_to_come_are_refused() {
        let mut world = World::new();
        let write = import(&world, 7);
        let made = binding(world.write(&write));
        let Write::Import(mut other) = import(&world, 7) else {
            panic!("an import")
        };
        other.request = axb(X, A, C);
        let refused = world.write(&Write::Import(other.clone()));
        assert_eq!(refused, Err(Refused::IdTaken { id: made.id }));
        other.id = None;
        other.created = Some(world.at(1));
        let refused = world.write(&Write::Import(other));
        assert_eq!(refused, Err(Refused::BoundsOf(Field::CreatedAt)));
    }

    #[test]
    fn a_binding_of_a_backup_comes_back_as_it_was_whatever_became_of_it() {
        let mut world = World::new();
        let id = world.bind(X, A, B);
        let backup = world.table.binding(id).expect("it is there");
        let put_back = Write::put_back(Record::Binding((*backup).clone()));
        let there = world.write(&put_back);
        assert!(matches!(&there, Ok(Written::Existing(_))), "{there:?}");
        world.later(10);
        let mut update = UpdateRequest::of(id);
        update.b = Some(real(C));
        world.update(update).expect("a free key");
        world.later(10);
        assert_eq!(binding(world.write(&put_back)).parties, backup.parties);
        world.later(10);
        world.unbind(id);
        let back = binding(world.write(&put_back));
        assert_eq!((back.id, back.parties, back.ended), (id, backup.parties, None));
        assert!(back.version > backup.version && back.since > world.now);
        assert_eq!(world.table.binding(id), Some(back));
        let counts = world.table.counts();
        // The pair that the update replaced is kept beside it.
        assert_eq!((counts.bindings_live, counts.bindings_ended), (1, 1));
    }

    #[test]
    fn a_binding_of_a_backup_doesnt_take_a_key_from_anybody() {
        let mut world = World::new();
        let id = world.bind(X, A, B);
        let backup = world.table.binding(id).expect("it is there");
        world.later(10);
        world.unbind(id);
        world.later(10);
        let other = world.bind(X, A, C);
        let put_back = Write::put_back(Record::Binding((*backup).clone()));
        let refused = world.write(&put_back).expect_err("A is taken");
        assert_eq!(refused.binding(), Some(other));
        world.later(10);
        assert!(world.write(&Write::Unbind(Unbind::Id(other))).is_ok());
        assert_eq!(binding(world.write(&put_back)).id, id);
    }
}

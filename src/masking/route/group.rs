//! Who is reached where several people stand on one side: a group's members, an employee's customers and deputies.

use std::sync::Arc;

use super::{Attempt, Back, is_one_of_ours, live};
use crate::base::number::{RealNumber, Tel};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Parties, Party, Side};
use crate::masking::callee::Callee;
use crate::masking::group::GroupId;
use crate::masking::mode;
use crate::masking::reason::Reason;
use crate::masking::rule::{Key, Who};
use crate::masking::table::{AsOf, Table};
use crate::masking::turns::{Order, Turn};

type Found = (Arc<Binding>, Party);

/// The binding that the caller has a key of as a member of a group; `past` is the last one that he had.
pub(super) fn of_member(
    table: &Table,
    attempt: &Attempt,
    caller: Tel,
    past: &mut Option<Found>,
) -> Option<Found> {
    // Nearly everybody is in no group.
    for member in table.groups.of(RealNumber::new(caller)) {
        let key = Key {
            dialled: attempt.dialled,
            caller: Who::Member(member.group),
        };
        if member.counts_at(attempt.arrived) {
            let found = live(table, key, attempt.arrived, past);
            if found.is_some() {
                return found;
            }
        } else if member.since <= attempt.arrived {
            let mut rules = table.rules(key).into_iter();
            let left = rules.find_map(|rule| match table.judge(key, rule, attempt.arrived)? {
                AsOf::Live(binding, party) | AsOf::Past(binding, party) => Some((binding, party)),
            });
            *past = past.take().or(left);
        }
    }
    None
}

/// Which member of a group is called back: the one who was named, or, where the group is on A's side, its default.
pub(super) fn called(
    table: &Table,
    group: GroupId,
    binding: Arc<Binding>,
    back: Option<Back>,
    arrived: Wall,
) -> Option<Back> {
    let is_member = |number| table.is_member(group, number, arrived) && !is_one_of_ours(table, number);
    if let Some(back) = back.filter(|back| is_member(back.to)) {
        return Some(back);
    }
    match binding.parties.side(Party::Member) {
        Side::A => {
            let default = table.group(group)?.default?;
            is_member(default).then_some(Back {
                by: binding,
                to: default,
                callee: None,
            })
        }
        Side::B => None,
    }
}

/// The pairing by which an employee's call goes: the one that was chosen for it, or the last that was made.
pub(super) fn paired(table: &Table, work: &Binding, arrived: Wall) -> Option<(Arc<Binding>, Option<Callee>)> {
    let chosen = table
        .callees
        .named(work.id)
        .filter(|callee| callee.holds_at(arrived));
    if let Some(callee) = chosen {
        let mut past = None;
        let found = live(table, mode::by(work.x, callee.to), arrived, &mut past);
        if let Some((paired, Party::A)) = found {
            return Some((paired, Some(callee)));
        }
    }
    let is_his = |paired: &Binding| {
        let customer = paired.parties.a();
        paired.parties.b() == work.parties.b()
            && customer.is_some_and(|customer| !is_one_of_ours(table, customer))
    };
    let last = table.last_paired(work.x.tel(), arrived, is_his)?;
    Some((last, None))
}

/// Who rings first when the customer of an employee calls, and then others; `None`: one alone is called.
///
/// # Errors
/// [`Reason::Expired`]: X is nobody's work number any more. [`Reason::Loop`]: none of them may ring, because they are
/// numbers of ours by now or the caller himself.
pub(super) fn turns(
    table: &Table,
    binding: &Binding,
    party: Party,
    attempt: &Attempt,
) -> Result<Option<(RealNumber, Turn)>, Reason> {
    let b = match (binding.parties, party) {
        (Parties::Paired { b, .. }, Party::A | Party::B) => b,
        (Parties::Paired { .. }, Party::N | Party::Member)
        | (
            Parties::Axb { .. }
            | Parties::Ax { .. }
            | Parties::Axyb { .. }
            | Parties::Axe { .. }
            | Parties::Axn { .. }
            | Parties::Axn95 { .. }
            | Parties::Axg { .. }
            | Parties::Gxb { .. }
            | Parties::Gxyb { .. }
            | Parties::Xb { .. }
            | Parties::Inbound { .. },
            _,
        ) => return Ok(None),
    };
    let mut past = None;
    let work = live(table, mode::whole(binding.x), attempt.arrived, &mut past);
    let Some((work, _)) = work.filter(|(work, _)| work.parties.b() == Some(b)) else {
        return Err(Reason::Expired);
    };
    let ring = match (&work.terms.rare().ring, party) {
        (Some(ring), Party::A) => ring,
        (None, _) | (_, Party::B | Party::N | Party::Member) => return Ok(None),
    };
    let first = match ring.order {
        Order::Conditional => Some(b),
        Order::Unconditional => None,
    };
    let may_ring = |number: &RealNumber| {
        !is_one_of_ours(table, *number) && attempt.caller.is_none_or(|caller| !number.is(caller))
    };
    let list = first.into_iter().chain(ring.list.iter().copied());
    let list: Arc<[RealNumber]> = list.filter(may_ring).collect();
    match list.first().copied() {
        Some(first) => Ok(Some((first, Turn::first(list, ring.each)))),
        None => Err(Reason::Loop),
    }
}

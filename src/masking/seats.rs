//! Calls at once: how many go by a number, and how many of them are of one caller. Any shard adds and takes
//! away; a call's seat is given up with the call, whatever ends it.

use std::fmt;
use std::sync::Arc;

use ahash::RandomState;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::inventory::Pool;
use crate::base::number::{RealNumber, Tel};

/// The limit that is reached, and at how many calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// So many calls go by the number.
    PerX(usize),
    /// So many of them are this caller's.
    PerCaller(usize),
}

impl Full {
    /// The name of the rule: the pool's setting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerX(_) => "calls_per_x",
            Self::PerCaller(_) => "calls_per_caller",
        }
    }

    /// The limit.
    pub const fn limit(self) -> usize {
        match self {
            Self::PerX(limit) | Self::PerCaller(limit) => limit,
        }
    }
}

/// Who counts together: all calls by a number, or those of one caller by it.
type Group = (Tel, Option<RealNumber>);

/// The calls that there are: as many entries as groups with a call.
#[derive(Default)]
pub(super) struct Seats {
    taken: DashMap<Group, usize, RandomState>,
}

impl Seats {
    /// The limit that keeps one more call out, if there is one.
    pub(super) fn full(&self, x: Tel, caller: Option<RealNumber>, pool: &Pool) -> Option<Full> {
        let taken = |group| self.taken.get(&group).map_or(0, |taken| *taken);
        let limits = groups(x, caller, pool).into_iter().flatten();
        limits
            .filter_map(|(group, limit)| limit.filter(|full| taken(group) >= full.limit()))
            .next()
    }

    /// Takes a seat under the pool's limits.
    pub(super) fn take(
        self: &Arc<Self>,
        x: Tel,
        caller: Option<RealNumber>,
        pool: &Pool,
    ) -> Result<Seat, Full> {
        // Dropped where the second limit is reached, it gives back what the first let in.
        let mut seat = Seat {
            seats: self.clone(),
            groups: [None, None],
        };
        for (place, group) in seat.groups.iter_mut().zip(groups(x, caller, pool)) {
            let Some((group, limit)) = group else { continue };
            let mut taken = self.taken.entry(group).or_default();
            if let Some(full) = limit.filter(|full| *taken >= full.limit()) {
                return Err(full);
            }
            *taken = taken.saturating_add(1);
            *place = Some(group);
        }
        Ok(seat)
    }

    /// The seat of a call that had one before its process died: no limit keeps it out.
    pub(super) fn take_again(self: &Arc<Self>, x: Tel, caller: Option<RealNumber>) -> Seat {
        let groups = [caller.map(|caller| (x, Some(caller))), Some((x, None))];
        for group in groups.into_iter().flatten() {
            let mut taken = self.taken.entry(group).or_default();
            *taken = taken.saturating_add(1);
        }
        Seat {
            seats: self.clone(),
            groups,
        }
    }

    /// Calls at this moment.
    pub(super) fn calls(&self) -> usize {
        let by_x = self.taken.iter().filter(|entry| entry.key().1.is_none());
        by_x.map(|entry| *entry.value()).sum()
    }

    fn give_up(&self, group: Group) {
        if let Entry::Occupied(mut taken) = self.taken.entry(group) {
            match taken.get().saturating_sub(1) {
                0 => drop(taken.remove()),
                left => *taken.get_mut() = left,
            }
        }
    }
}

/// The groups of a call with their limits. Callers without identity are not taken for one.
fn groups(x: Tel, caller: Option<RealNumber>, pool: &Pool) -> [Option<(Group, Option<Full>)>; 2] {
    [
        caller.map(|caller| ((x, Some(caller)), pool.calls_per_caller.map(Full::PerCaller))),
        Some(((x, None), pool.calls_per_x.map(Full::PerX))),
    ]
}

/// A call's place among those by its number. Dropping it makes room for another.
pub struct Seat {
    seats: Arc<Seats>,
    groups: [Option<Group>; 2],
}

impl Drop for Seat {
    fn drop(&mut self) {
        for group in self.groups.into_iter().flatten() {
            self.seats.give_up(group);
        }
    }
}

impl fmt::Debug for Seat {
    /// Not whose it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seat")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masking::support::{A, B, X, real, tel};

    fn limits(x: Option<usize>, caller: Option<usize>) -> Pool {
        Pool {
            calls_per_x: x,
            calls_per_caller: caller,
            ..Pool::default_pool()
        }
    }

    #[test]
    fn a_seat_that_is_dropped_makes_room_and_leaves_nothing_behind() {
        let seats = Arc::new(Seats::default());
        let pool = limits(Some(3), Some(2));
        let take = |caller: Option<&str>| seats.take(tel(X), caller.map(real), &pool);
        let first = take(Some(A)).expect("room");
        let second = take(Some(A)).expect("room");
        assert_eq!(take(Some(A)).err(), Some(Full::PerCaller(2)));
        assert_eq!(seats.full(tel(X), Some(real(A)), &pool), Some(Full::PerCaller(2)));
        let third = take(Some(B)).expect("another caller's");
        assert_eq!(take(Some(B)).err(), Some(Full::PerX(3)));
        assert_eq!(take(None).err(), Some(Full::PerX(3)));
        assert_eq!(seats.calls(), 3);
        drop(second);
        let unknown = take(None).expect("room again");
        assert_eq!(take(Some(A)).err(), Some(Full::PerX(3)));
        drop((first, third, unknown));
        assert_eq!((seats.calls(), seats.taken.len()), (0, 0));
    }

    #[test]
    fn callers_without_identity_share_only_the_number() {
        let seats = Arc::new(Seats::default());
        let pool = limits(None, Some(1));
        let many: Vec<Seat> = (0..9).flat_map(|_| seats.take(tel(X), None, &pool)).collect();
        assert_eq!(many.len(), 9);
    }

    #[test]
    fn many_shards_never_get_more_seats_than_there_are() {
        let seats = Arc::new(Seats::default());
        let pool = limits(Some(5), Some(3));
        std::thread::scope(|scope| {
            for caller in [A, A, B, B] {
                let (seats, pool) = (&seats, &pool);
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let held: Vec<Seat> = (0..4)
                            .flat_map(|_| seats.take(tel(X), Some(real(caller)), pool))
                            .collect();
                        assert!(held.len() <= 3);
                        assert!(seats.calls() <= 5);
                    }
                });
            }
        });
        assert_eq!((seats.calls(), seats.taken.len()), (0, 0));
    }
}

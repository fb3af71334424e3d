//! Order and weight: when something's turn comes among its fellows, and how often it comes first.

use crate::base::chance::Chance;

/// When a gateway's turn comes among those of its trunk, or a trunk's among those of a route.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank {
    /// All of one priority come before those of the next; the lowest comes first.
    pub priority: u16,
    /// How often it comes first among those of its priority: its share of their weights' sum. 1 at least.
    pub weight: u16,
}

impl Default for Rank {
    fn default() -> Self {
        Self {
            priority: 1,
            weight: 1,
        }
    }
}

/// Who chooses among equals.
pub enum Draw<'c> {
    /// Chance, by the weights.
    Chance(&'c mut Chance),
    /// Nobody: they stay as they stand, for whoever only wants to see them.
    Nobody,
}

/// Brings `items` into the order in which they are tried: by priority, and in each priority drawn by weight, one after
/// the other (as RFC 2782 has it). Where all priorities differ nothing is drawn.
pub fn in_turn<T>(items: &mut [(Rank, T)], draw: &mut Draw<'_>) {
    items.sort_by_key(|(rank, _)| rank.priority);
    let Draw::Chance(chance) = draw else { return };
    for equals in items.chunk_by_mut(|(a, _), (b, _)| a.priority == b.priority) {
        for first in 0..equals.len().saturating_sub(1) {
            let left = equals.get(first..).unwrap_or_default();
            let total: u32 = left.iter().map(|(rank, _)| u32::from(rank.weight)).sum();
            let mut drawn = chance.below(total);
            let chosen = left.iter().position(|(rank, _)| {
                let is_it = drawn < u32::from(rank.weight);
                drawn = drawn.saturating_sub(rank.weight.into());
                is_it
            });
            equals.swap(first, first + chosen.unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(ranks: &[(u16, u16)]) -> Vec<(Rank, usize)> {
        let all = ranks.iter().enumerate();
        all.map(|(at, (priority, weight))| {
            let rank = Rank {
                priority: *priority,
                weight: *weight,
            };
            (rank, at)
        })
        .collect()
    }

    #[test]
    fn priorities_are_kept_and_equals_come_first_as_often_as_their_weights_say() {
        let mut chance = Chance::from_number(1);
        let mut first = [0; 4];
        for _ in 0..4_000 {
            let mut items = ranked(&[(2, 1), (1, 3), (1, 1), (3, 9)]);
            in_turn(&mut items, &mut Draw::Chance(&mut chance));
            let order: Vec<usize> = items.iter().map(|(_, at)| *at).collect();
            assert!(order[..2].contains(&1) && order[..2].contains(&2), "{order:?}");
            assert_eq!(order[2..], [0, 3]);
            first[order[0]] += 1;
        }
        assert!((2_850..3_150).contains(&first[1]), "{first:?}");
    }

    #[test]
    fn where_nothing_is_equal_nothing_is_drawn() {
        let (mut chance, mut same) = (Chance::from_number(1), Chance::from_number(1));
        let mut items = ranked(&[(1, 5), (2, 5), (3, 5)]);
        in_turn(&mut items, &mut Draw::Chance(&mut chance));
        assert_eq!(chance.bits(), same.bits());
        let mut items = ranked(&[(1, 1), (1, 9), (1, 9)]);
        in_turn(&mut items, &mut Draw::Nobody);
        assert_eq!(items, ranked(&[(1, 1), (1, 9), (1, 9)]));
    }
}

//! Which number of a pool a binding gets, when the pool chooses.

use std::sync::Arc;

use super::Planner;
use crate::base::number::Tel;
use crate::base::time::Wall;
use crate::masking::bounds::check_takes_bindings;
use crate::masking::inventory::{Number, Pool};
use crate::masking::request::{DryRun, Refused};

/// Numbers of a pool that are tried at a time when the pool chooses X.
const PROBES: usize = 64;

/// How a number fits what is wanted of it.
pub(super) enum Fit {
    /// It is free.
    Free,
    /// It could be had, but rests from others since then.
    Rests(Wall),
    /// It doesn't.
    No,
}

impl Planner<'_> {
    /// The pool's next number that is in service and `fits`, from where its last choice was: one whose keys don't
    /// rest, if there is one, else the one that was given up longest ago.
    pub(super) fn choose(
        &self,
        pool: &Pool,
        dry_run: DryRun,
        fits: impl Fn(&Number) -> Fit,
    ) -> Result<Arc<Number>, Refused> {
        let mut resting: Option<(Wall, Arc<Number>)> = None;
        let takes = |x: Tel| {
            let number = self.number(x)?;
            if number.pool != pool.key || check_takes_bindings(&number).is_err() {
                return None;
            }
            match fits(&number) {
                Fit::Free => Some(number),
                Fit::Rests(left) => {
                    if resting.as_ref().is_none_or(|(before, _)| left < *before) {
                        resting = Some((left, number));
                    }
                    None
                }
                Fit::No => None,
            }
        };
        let start = self.table.cursor(&pool.key);
        // From the cursor to the end, then from the beginning up to the cursor, then the group's own.
        let up_to_start = |x: &Tel| start.is_some_and(|start| *x <= start);
        let found = self
            .pool_numbers(pool, start)
            .chain(self.pool_numbers(pool, None).take_while(up_to_start))
            .chain(self.numbers.keys().copied())
            .find_map(takes);
        let number = found
            .or(resting.map(|(_, number)| number))
            .ok_or_else(|| Refused::NoFreeNumber {
                pool: pool.name.clone(),
            })?;
        match dry_run {
            DryRun::No => self.table.set_cursor(&pool.key, number.x.tel()),
            DryRun::Yes => {}
        }
        Ok(number)
    }

    /// The table's numbers of a pool after `after`, read [`PROBES`] at a time.
    fn pool_numbers(&self, pool: &Pool, mut after: Option<Tel>) -> impl Iterator<Item = Tel> {
        let mut probes = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if probes.len() == 0 {
                probes = self.table.pool_numbers(&pool.key, after, PROBES).into_iter();
            }
            let x = probes.next();
            after = x.or(after);
            x
        })
    }
}

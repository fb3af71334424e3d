//! The choice of an extension behind X, and what a former owner's rest keeps from others.

use std::sync::Arc;

use super::Planner;
use super::fit::{Obstacle, Rest};
use crate::base::number::{RealNumber, VirtualNumber};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Mode, Parties, Party};
use crate::masking::inventory::{Number, Pool};
use crate::masking::keyed::Extension;
use crate::masking::mode;
use crate::masking::quarantine::Grip;
use crate::masking::request::Refused;

impl Planner<'_> {
    /// An extension of X that A may have: the first that is free from the one numbered `start` on, else the one that
    /// rests longest, if rests are soft. Never the one that was freed last, whose callers are the likeliest to come
    /// back.
    pub(super) fn choose_extension(
        &self,
        x: &Number,
        a: RealNumber,
        start: u16,
        now: Wall,
    ) -> Result<Extension, Refused> {
        let pool = self.known_pool(&x.pool)?;
        self.check_extensions(x.x, &pool, None, now)?;
        let width = pool.extension_width;
        let count = Extension::count(width);
        let freed = self.last_freed(x.x);
        let freed = freed.and_then(|(_, binding)| binding.parties.extension());
        let mut resting: Option<(Wall, Extension)> = None;
        for step in 0..count {
            let value = (u32::from(start) + u32::from(step)) % u32::from(count) + 1;
            let e = u16::try_from(value).ok();
            let Some(e) = e.and_then(|value| Extension::new(width, value)) else {
                continue;
            };
            let key = mode::keyed(x.x, e);
            if Some(e) == freed || self.free_from(key, Party::N, None, now).is_err() {
                continue;
            }
            let rests = self.rests(x, &Parties::Axe { a, e }, None, now);
            match rests
                .iter()
                .map(|rest| (rest.grip == Grip::Hard, rest.left))
                .max()
            {
                None => return Ok(e),
                Some((true, _)) => {}
                Some((false, left)) => {
                    if resting.is_none_or(|(longest, _)| left < longest) {
                        resting = Some((left, e));
                    }
                }
            }
        }
        let limit = pool.extensions_per_x.min(count.into());
        resting
            .map(|(_, e)| e)
            .ok_or(Refused::ExtensionsFull { x: x.x, limit })
    }

    /// What extensions of this width and number ask of their pool.
    pub(super) fn check_extension(
        &self,
        x: &Number,
        e: Extension,
        but: Option<crate::base::id::Id>,
        now: Wall,
    ) -> Result<(), Obstacle> {
        let pool = self.known_pool(&x.pool)?;
        if pool.extension_width != e.width() {
            return Err(Obstacle::Law(Refused::ExtensionWidth {
                pool: pool.name.clone(),
                width: pool.extension_width,
            }));
        }
        Ok(self.check_extensions(x.x, &pool, but, now)?)
    }

    /// X carries fewer extensions than its pool allows.
    fn check_extensions(
        &self,
        x: VirtualNumber,
        pool: &Pool,
        but: Option<crate::base::id::Id>,
        now: Wall,
    ) -> Result<(), Refused> {
        let limit = pool.extensions_per_x;
        if self.is_full(x, limit, but, now, |_| true) {
            return Err(Refused::ExtensionsFull { x, limit });
        }
        Ok(())
    }

    /// The extension behind X that was freed last: when, and by which binding.
    pub(super) fn last_freed(&self, x: VirtualNumber) -> Option<(Wall, Arc<Binding>)> {
        let table = self.table.last_freed(x.tel()).and_then(|id| self.binding(id));
        let pending = self.pending_on(x).filter_map(|id| self.binding(id));
        pending
            .chain(table)
            .filter(|binding| mode::frees_extension(binding))
            .filter_map(|binding| Some((binding.ended?.0, binding)))
            .max_by_key(|(at, binding)| (*at, binding.id))
    }

    /// If X answered by extensions lately, whoever gets it for himself takes what those callers knew there: it rests
    /// from him as from the owner of the extension that was freed last.
    pub(super) fn rest_of_extensions(&self, x: &Number, a: RealNumber, now: Wall) -> Option<Rest> {
        let (left, former) = self.last_freed(x.x)?;
        let pool = self.pool(&x.pool);
        let quarantine = self.table.quarantine(pool.as_deref(), Mode::Axe);
        let until = left.plus(quarantine.lasts);
        let rests = now < until && former.parties.a() != Some(a) && self.table.may_rest(&former);
        rests.then_some(Rest {
            left,
            grip: quarantine.grip,
            refused: Refused::KeyQuarantined {
                x: x.x,
                party: Party::N,
                until,
            },
        })
    }

    /// No extension of another width is bound in the pool.
    pub(super) fn check_width(&self, pool: &Pool, width: u8) -> Result<(), Refused> {
        if pool.mode != Mode::Axe || pool.extension_width == width {
            return Ok(());
        }
        let bound = self.table.usage(&pool.key).0.bindings > 0;
        let pending = self
            .bindings
            .values()
            .any(|binding| binding.pool() == &*pool.key && binding.ended.is_none());
        if bound || pending {
            return Err(Refused::WidthInUse {
                pool: pool.name.clone(),
            });
        }
        Ok(())
    }
}

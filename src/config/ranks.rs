//! Lists in order and weight: gateways of a trunk, trunks of a route.

use super::reader::Section;
use crate::base::limits::RANK_MAX;
use crate::call::trunk::rank::Rank;

/// Reads a list whose items are texts, or tables with that text under `main`, and `priority` and `weight` beside it. Each
/// is read by `parse`, whose error is the cure. An item without a priority comes behind the one before it.
pub(super) fn read<T>(
    section: &Section<'_>,
    key: &str,
    main: &str,
    mut parse: impl FnMut(&str) -> Result<T, String>,
) -> Vec<(Rank, T)> {
    let mut last = 0_u16;
    let items = section.items(key, main, &[main, "priority", "weight"]);
    let read = items.into_iter().filter_map(|(at, own)| {
        let next = u32::from(last).saturating_add(1).min(RANK_MAX);
        let priority = own.integer("priority", 1..=RANK_MAX, next);
        if priority < last.into() {
            let cure = format!("write them in the order of their priorities: {last} stands before it");
            own.fault("priority", cure);
        }
        let narrow = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        last = last.max(narrow(priority));
        let rank = Rank {
            priority: last,
            weight: narrow(own.integer("weight", 1..=RANK_MAX, 1)),
        };
        match parse(at.value) {
            Ok(value) => Some((rank, value)),
            Err(cure) => {
                section.fault_at(&at.span, cure);
                None
            }
        }
    });
    read.collect()
}

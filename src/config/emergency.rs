//! The main file's `[emergency]` table: read behind all trunks, one of which it names.

use super::reader::{Section, Source};
use crate::base::limits::{EMERGENCY_DIGITS_MAX, EMERGENCY_NUMBERS_MAX};
use crate::call::config::Config;
use crate::call::emergency::{Emergency, Number, Table};

/// Reads what is to become of emergency calls.
pub(super) fn read(source: &Source<'_>, config: &mut Config) {
    let file = source.parse();
    // What doesn't belong into the file has been said.
    let known: Vec<&str> = file.get_ref().keys().map(|key| key.get_ref().as_ref()).collect();
    let root = Section::new(source, file.get_ref(), 0..0, "", &known);
    let section = root.section("emergency", "[emergency]", &["country", "trunk", "also"]);
    let table = section.parsed("country", None, |text| match text {
        "" => Ok(None),
        text => Table::of_country(text).map(Some).ok_or_else(|| {
            let all: Vec<&str> = Table::countries().collect();
            format!("write a country by its two capital letters: {}", all.join(", "))
        }),
    });
    let trunk = section.parsed("trunk", None, |name| match name {
        "" => Ok(None),
        name => {
            let place = config.trunks.iter().position(|trunk| *trunk.name == *name);
            let place = place.ok_or("no trunk has this name: name one that is in the trunk file")?;
            match config.trunks.get(place) {
                Some(trunk) if trunk.gateways.is_empty() => {
                    Err("this trunk has no gateways: no call leaves on it".into())
                }
                Some(_) | None => Ok(Some(place)),
            }
        }
    });
    let also = section.list("also", Vec::new(), |text| {
        Number::named(text).ok_or_else(|| format!("write a number of 2 to {EMERGENCY_DIGITS_MAX} digits"))
    });
    let says = |key: &str| section.text(key).is_some_and(|at| !at.value.is_empty());
    if !says("country") {
        for key in ["trunk", "also"] {
            if (key == "trunk" && says(key)) || (key == "also" && !also.is_empty()) {
                section.fault(
                    key,
                    "it is nothing without a country: write country = \"CN\", say",
                );
            }
        }
        return;
    }
    if !says("trunk") {
        section.fault(
            "country",
            "emergency calls need a way out: write trunk = \"carrier\", one that takes them",
        );
    }
    let (Some(mut table), Some(trunk)) = (table, trunk) else {
        return;
    };
    if !also.into_iter().all(|number| table.add(number)) {
        section.fault(
            "also",
            format!("at most {EMERGENCY_NUMBERS_MAX} numbers in all: take some away"),
        );
    }
    config.emergency = Some(Emergency { table, trunk });
}

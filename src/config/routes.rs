//! The trunk files' `[[route]]` tables: read behind all trunks, which they name.

use super::ranks;
use super::reader::{Section, Source};
use crate::base::limits::{NAME_BYTES_MAX, NUMBER_DIGITS_MAX, ROUTE_TRUNKS_MAX, ROUTES_MAX};
use crate::base::number::NumberPlan;
use crate::call::config::Config;
use crate::call::routes::{Match, Pattern, Route};

const KEYS: [&str; 4] = ["shown", "callee", "account", "trunks"];

/// Reads the routes of all trunk files.
pub(super) fn read(sources: &[Source<'_>], config: &mut Config) {
    // Where each of the routes stands.
    let mut places: Vec<String> = Vec::new();
    for source in sources {
        let table = source.parse();
        let root = super::trunks::root(source, table.get_ref());
        for section in root.sections("route", &KEYS) {
            if places.len() == ROUTES_MAX {
                section.fault_at(&section.span, format!("too many routes: at most {ROUTES_MAX}"));
                return;
            }
            let route = one(&section, config);
            let same = config.routes.iter().position(|other| other.of == route.of);
            if let Some(place) = same.and_then(|at| places.get(at)) {
                section.fault_at(
                    &section.span,
                    format!("the route at {place} is for the same calls: join their trunks in one of them"),
                );
            }
            places.push(source.place(&section.span));
            config.routes.push(route);
        }
    }
}

/// Reads one route. One that has faults is returned as well, so that later ones are checked against it.
fn one(section: &Section<'_>, config: &Config) -> Route {
    let pattern_of = |key: &str| {
        section.parsed(key, None, |text| match text {
            "" => Ok(None),
            text => pattern(text, &config.numbers).map(Some),
        })
    };
    let mut named: Vec<usize> = Vec::new();
    let trunks = ranks::read(section, "trunks", "name", |name| {
        let place = config.trunks.iter().position(|trunk| *trunk.name == *name);
        let Some(place) = place else {
            return Err("no trunk has this name".into());
        };
        if config.trunks.get(place).is_some_and(|t| t.gateways.is_empty()) {
            return Err("this trunk has no gateways: no call leaves on it".into());
        }
        if named.contains(&place) {
            return Err("the trunk is named twice: take one away".into());
        }
        named.push(place);
        Ok(place)
    });
    if !section.has("trunks") {
        section.fault("trunks", "the route leads nowhere: write trunks = [\"carrier\"]");
    } else if trunks.len() > ROUTE_TRUNKS_MAX {
        section.fault("trunks", format!("at most {ROUTE_TRUNKS_MAX} trunks"));
    }
    Route {
        of: Match {
            shown: pattern_of("shown"),
            callee: pattern_of("callee"),
            account: section.parsed("account", None, |name| {
                if name.len() > NAME_BYTES_MAX {
                    return Err(format!("no account's name has more than {NAME_BYTES_MAX} bytes"));
                }
                Ok((!name.is_empty()).then(|| name.into()))
            }),
        },
        trunks,
    }
}

/// One number, or first digits with a star behind them.
fn pattern(text: &str, plan: &NumberPlan) -> Result<Pattern, String> {
    let Some(digits) = text.strip_suffix('*') else {
        let form = "write a number, or first digits in E.164 without sign and a star (\"86170*\")";
        return plan
            .normalise(text)
            .map(Pattern::Exact)
            .map_err(|error| format!("{error}: {form}"));
    };
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let is_plain = digits.bytes().all(|c| c.is_ascii_digit());
    if !(1..=NUMBER_DIGITS_MAX).contains(&digits.len()) || !is_plain {
        return Err("write first digits in E.164 without sign, and a star (\"86170*\")".into());
    }
    if digits.starts_with('0') {
        return Err("no number in E.164 begins with 0: write the country's code first (\"86170*\")".into());
    }
    Ok(Pattern::Prefix(digits.into()))
}

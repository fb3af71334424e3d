//! Ways out as JSON: gateways and how they stand, routes, and what a call would leave by.

use serde_json::{Value, json};

use crate::base::time::Instant;
use crate::call::config::Config;
use crate::call::failover::{Exit, Right, Survey};
use crate::call::port::Probed;
use crate::call::reach::{Known, OfTrunk, Outcome, Reach, Standing};
use crate::call::routes::{Match, Pattern};
use crate::call::targets::Place;
use crate::call::trunk::Trunk;
use crate::call::trunk::rank::Rank;
use crate::names::keeper::Status;

/// How a trunk's gateways stand: a word for the whole, and each.
pub(super) fn of_trunk(trunk: &Trunk, reach: &Reach, at: Instant) -> Value {
    let of = reach.of(&trunk.name);
    let ways: Vec<(&'static str, Value)> = (0..trunk.gateways.len())
        .map(|gateway| way(trunk, gateway, &of, reach, at))
        .collect();
    let up = ways
        .iter()
        .filter(|(state, _)| matches!(*state, "up" | "unprobed"));
    let state = match (up.count(), ways.len()) {
        (_, 0) => "no gateways".to_owned(),
        _ if of.blocked.is_some() => "blocked".to_owned(),
        (up, all) if up == all => ways.first().map_or("up", |(state, _)| *state).to_owned(),
        (0, _) if ways.iter().all(|(state, _)| *state == "blocked") => "blocked".to_owned(),
        (0, _) => "down".to_owned(),
        (up, all) => format!("{up} of {all} up"),
    };
    json!({
        "state": state,
        "blocked_since": of.blocked.and_then(super::time),
        "probe_every_s": trunk.probe.every.map(|every| every.as_secs()),
        "ways": ways.into_iter().map(|(_, way)| way).collect::<Vec<_>>(),
    })
}

fn way(trunk: &Trunk, gateway: usize, of: &OfTrunk, reach: &Reach, at: Instant) -> (&'static str, Value) {
    let name = trunk.gateways.get(gateway).map(|gateway| gateway.name());
    let name = name.unwrap_or_default();
    let rank = trunk
        .gateways
        .get(gateway)
        .map_or(Rank::default(), |gateway| gateway.rank);
    let known = of.gateways.get(name.as_str()).cloned().unwrap_or_default();
    let standing = reach.standing(trunk, gateway, at);
    let state = match (standing, trunk.probe.every) {
        (Standing::Open, Some(_)) => "up",
        (Standing::Open, None) => "unprobed",
        (Standing::Rests(_), _) => "resting",
        (Standing::Down, _) => "down",
        (Standing::Blocked, _) => "blocked",
    };
    let Known {
        blocked,
        rests,
        spared,
        down,
        last,
        answered,
        failed,
        ..
    } = known;
    let since = match standing {
        Standing::Blocked => of.blocked.or(blocked),
        Standing::Down => down,
        Standing::Open | Standing::Rests(_) => None,
    };
    let rests = rests
        .filter(|until| *until > at)
        .map(|until| (until - at).as_secs() + 1);
    let spared = spared.into_iter().filter(|(_, until)| *until > at);
    let spared: Vec<Value> = spared
        .map(|(server, until)| json!({"server": server, "rests_s": (until - at).as_secs() + 1}))
        .collect();
    let view = json!({
        "gateway": name,
        "priority": rank.priority,
        "weight": rank.weight,
        "state": state,
        "since": since.and_then(super::time),
        "rests_s": rests,
        "servers_resting": spared,
        "last_probe": last.map(|(outcome, _)| outcome_words(outcome)),
        "last_probe_at": last.and_then(|(_, at)| super::time(at)),
        "round_trip_ms": last.and_then(|(outcome, _)| round_trip_ms(outcome)),
        "probes_answered": answered,
        "probes_failed": failed,
    });
    (state, view)
}

/// What came of a probe.
pub(in crate::api::native) fn probed(probed: &Probed) -> Value {
    let status = match probed.outcome {
        Outcome::Status(status, _) => Some(status),
        Outcome::Timeout | Outcome::Undelivered => None,
    };
    json!({
        "gateway": probed.gateway,
        "alive": probed.outcome.is_good(),
        "answer": outcome_words(probed.outcome),
        "status": status,
        "round_trip_ms": round_trip_ms(probed.outcome),
    })
}

fn outcome_words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Status(status, _) => status.to_string(),
        Outcome::Timeout => "no answer".to_owned(),
        Outcome::Undelivered => "not reached".to_owned(),
    }
}

/// In milliseconds, with tenths.
fn round_trip_ms(outcome: Outcome) -> Option<f64> {
    match outcome {
        Outcome::Status(_, took) => Some((took.as_micros() / 100) as f64 / 10.0),
        Outcome::Timeout | Outcome::Undelivered => None,
    }
}

/// The routes of a conf, in order.
pub(in crate::api::native) fn routes(config: &Config) -> Vec<Value> {
    let routes = config.routes.iter().map(|route| {
        let trunks = route.trunks.iter().filter_map(|(rank, trunk)| {
            let name = &config.trunks.get(*trunk)?.name;
            Some(json!({"name": name, "priority": rank.priority, "weight": rank.weight}))
        });
        json!({
            "shown": route.of.shown.as_ref().map(|pattern| written(pattern, config)),
            "callee": route.of.callee.as_ref().map(|pattern| written(pattern, config)),
            "account": route.of.account,
            "trunks": trunks.collect::<Vec<_>>(),
        })
    });
    routes.collect()
}

/// As the conf writes it.
fn written(pattern: &Pattern, config: &Config) -> String {
    match pattern {
        Pattern::Exact(tel) => config.numbers.record(*tel).to_string(),
        Pattern::Prefix(digits) => format!("{digits}*"),
    }
}

fn matched(of: &Match, config: &Config) -> String {
    let of_pattern = |name: &str, pattern: &Option<Pattern>| {
        let pattern = pattern.as_ref()?;
        Some(format!("{name} {}", written(pattern, config)))
    };
    let account = of.account.as_ref().map(|name| format!("account {name}"));
    let said = [
        of_pattern("shown", &of.shown),
        of_pattern("callee", &of.callee),
        account,
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() {
        "any call".to_owned()
    } else {
        said.join(", ")
    }
}

/// The gateways that a call would leave by, in order.
pub(in crate::api::native) fn survey(survey: &Survey<'_>, config: &Config, names: &[Status]) -> Vec<Value> {
    let ways = survey.ways.iter().filter_map(|(exit, right, standing)| {
        let (trunk, gateway) = named(config, *exit)?;
        Some(json!({
            "trunk": trunk,
            "gateway": gateway,
            "right": match right {
                Right::Owns => "owns",
                Right::Routed => "route",
                Right::MayShow => "may_show",
                Right::Emergency => "emergency",
            },
            "state": match standing {
                Standing::Open if is_nowhere(config, names, *exit) => "nowhere",
                Standing::Open => "open",
                Standing::Rests(_) => "resting",
                Standing::Down => "down",
                Standing::Blocked => "blocked",
            },
        }))
    });
    ways.collect()
}

/// Whether a gateway's name resolves to nothing at present: no call leaves by it.
fn is_nowhere(config: &Config, names: &[Status], exit: Exit) -> bool {
    let trunk = config.trunks.get(exit.trunk);
    let place = trunk.and_then(|trunk| Some(&trunk.gateways.get(exit.gateway)?.place));
    match place {
        Some(Place::Named(name)) => {
            let mut of_name = names.iter().filter(|status| status.name == *name);
            of_name.any(|status| status.servers.is_empty())
        }
        Some(Place::At(_)) | None => false,
    }
}

fn named(config: &Config, exit: Exit) -> Option<(&str, String)> {
    let trunk = config.trunks.get(exit.trunk)?;
    Some((&trunk.name, trunk.gateways.get(exit.gateway)?.name()))
}

/// The same in sentences: what is used, and why the others are not. `shown` is the number that the called party sees.
pub(in crate::api::native) fn sentences(
    survey: &Survey<'_>,
    config: &Config,
    names: &[Status],
    shown: &str,
) -> Vec<String> {
    let is_there = |exit: &Exit| !is_nowhere(config, names, *exit);
    let mut said = Vec::new();
    if let Some(route) = survey.route {
        said.push(format!(
            "The [[route]] for {} is for it.",
            matched(&route.of, config)
        ));
    }
    let is_open =
        |(exit, _, standing): &(Exit, Right, Standing)| *standing == Standing::Open && is_there(exit);
    // Who calls for help is put through by what others may not use.
    let is_usable = |(exit, right, standing): &(Exit, Right, Standing)| {
        (*standing != Standing::Blocked || *right == Right::Emergency) && is_there(exit)
    };
    let none_is_open = !survey.ways.iter().any(is_open);
    let mut first = true;
    for way in &survey.ways {
        let (exit, right, standing) = way;
        let Some((trunk, gateway)) = named(config, *exit) else {
            continue;
        };
        let why = match right {
            Right::Owns => format!("which owns {shown}"),
            Right::Routed => format!("which the route names and which may show {shown}"),
            Right::MayShow => format!("which may show {shown}"),
            Right::Emergency => "which takes emergency calls".to_owned(),
        };
        let trouble = match standing {
            Standing::Open if !is_there(exit) => {
                Some("its name resolves to nothing now (umbra trunk list says why)")
            }
            Standing::Open => None,
            Standing::Rests(_) => Some("it asked to be spared (503 with Retry-After)"),
            Standing::Down => Some("its probes are not answered"),
            Standing::Blocked => Some("it is blocked (umbra trunk unblock)"),
        };
        let is_used = is_open(way) || (none_is_open && is_usable(way));
        if !is_used {
            let trouble = trouble.unwrap_or_default();
            said.push(format!("Not by {gateway} of trunk {trunk}: {trouble}."));
            continue;
        }
        let begins = if first {
            "It leaves by"
        } else {
            "Where that fails, by"
        };
        let mut sentence = format!("{begins} {gateway} of trunk {trunk}, {why}");
        let used = survey
            .ways
            .iter()
            .filter(|way| is_open(way) || (none_is_open && is_usable(way)));
        if let Some(share) = share(config, *exit, used.map(|(exit, ..)| *exit)) {
            sentence.push_str(&share);
        }
        if let Some(trouble) = trouble {
            sentence.push_str(&format!("; {trouble}, but nothing better is left"));
        }
        sentence.push('.');
        said.push(sentence);
        first = false;
    }
    let barred = survey.barred.iter().filter_map(|trunk| config.trunks.get(*trunk));
    for trunk in barred {
        said.push(format!("Not by trunk {}: it may not show {shown}.", trunk.name));
    }
    if survey.ways.is_empty() {
        said.push(format!("No trunk may show {shown}: the call fails with 403."));
    } else if first {
        let is_blocked = |(.., standing): &(Exit, Right, Standing)| *standing == Standing::Blocked;
        let why = match survey.ways.iter().all(is_blocked) {
            true => "Every way is blocked",
            false => "No gateway is left that can be reached",
        };
        said.push(format!("{why}: the call fails with 500."));
    }
    said
}

/// How often a gateway comes first among those of its trunk and priority that are used, where it shares that with others.
fn share(config: &Config, exit: Exit, used: impl Iterator<Item = Exit>) -> Option<String> {
    let gateways = &config.trunks.get(exit.trunk)?.gateways;
    let own = gateways.get(exit.gateway)?.rank;
    let of_trunk = used.filter(|other| other.trunk == exit.trunk);
    let ranks = of_trunk.filter_map(|other| Some(gateways.get(other.gateway)?.rank));
    let weights: Vec<u32> = ranks
        .filter(|rank| rank.priority == own.priority)
        .map(|rank| rank.weight.into())
        .collect();
    let sum: u32 = weights.iter().sum();
    (weights.len() > 1).then(|| format!(" (first in {} of {sum} calls)", own.weight))
}

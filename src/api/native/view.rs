//! Our records as JSON. The only place of the API where real numbers are revealed: whoever may ask here
//! bound them.

mod recorded;
mod ways;

use serde_json::{Value, json};

pub(crate) use self::recorded::verdict;
pub(super) use self::recorded::{described, recording};
pub(super) use self::ways::{probed, routes, sentences, survey};

use crate::base::number::{Format, NumberPlan, RealNumber, Tel};
use crate::base::time::{Instant, Wall};
use crate::call::config::Config;
use crate::call::port::Registered;
use crate::call::port::{CallView, Heading, LegName, TraceLine};
use crate::call::reach::Reach;
use crate::call::targets::{Place, Server};
use crate::call::trunk::{Gateway, GatewaysCall, MayShow, Trunk};
use crate::masking::binding::{Binding, Ended, Party};
use crate::masking::callee::Callee;
use crate::masking::cues::Hearers;
use crate::masking::group::{Group, Membership};
use crate::masking::inventory::{Account, Number, NumberState, Pool, Standing, Thawed, Unidentified};
use crate::masking::recording::Since;
use crate::masking::route::{Explanation, Verdict};
use crate::masking::shelf::Usage;
use crate::names::keeper::Status;
use crate::telemetry::registrations::{Registrations, why_text};

/// A binding.
pub(super) fn binding(binding: &Binding, pool: Option<&Pool>, plan: &NumberPlan, now: Wall) -> Value {
    let terms = &binding.terms;
    let rare = terms.rare();
    let (state, ended_at) = match binding.ended {
        Some((at, Ended::Unbound)) => ("unbound", Some(at)),
        Some((at, Ended::Expired)) => ("expired", Some(at)),
        Some((at, Ended::Replaced)) => ("replaced", Some(at)),
        // Its time is over, and the writer hasn't noted it yet.
        None if binding.is_over(now) => ("expired", Some(binding.expires)),
        None => ("live", None),
    };
    let ring = rare.ring.as_deref();
    let mut view = json!({
        "id": binding.id,
        "version": binding.version,
        "state": state,
        "mode": binding.mode().name(),
        "account": binding.account(),
        "pool": pool.map(|p| &p.name),
        "pool_key": binding.pool(),
        "x": plan.virtual_text(binding.x).as_str(),
        "y": binding.parties.y().map(|y| plan.virtual_text(y).to_string()),
        "a": binding.parties.a().map(|a| real(a, plan)),
        "b": binding.parties.b().map(|b| real(b, plan)),
        "group": binding.parties.group(),
        "extension": binding.parties.extension().map(|e| e.to_string()),
        "direction": terms.direction.name(),
        "max_duration_s": rare.max_duration.map(|d| d.as_secs()),
        "ring_timeout_s": rare.ring_timeout.map(|d| d.as_secs()),
        "record": terms.record,
        "order_id": rare.order_id,
        "user_data": rare.user_data,
        "ring": ring.map(|ring| ring.list.iter().map(|number| real(*number, plan)).collect::<Vec<_>>()),
        "ring_order": ring.map(|ring| ring.order.name()),
        "ring_each_s": ring.map(|ring| ring.each.as_secs()),
        "display": rare.display.map(|display| plan.virtual_text(display).to_string()),
        "menu": rare.menu.as_deref().map(|menu| super::menu::show(menu, plan)),
        "callback": rare.callback.map(|to| real(to, plan)),
        "created_at": time(binding.created),
        "updated_at": time(binding.since),
        "expires_at": time(binding.expires),
        "ended_at": ended_at.and_then(time),
    });
    if let Some(fields) = view.as_object_mut() {
        super::cues::show(fields, rare.cues.as_deref());
    }
    view
}

/// A temporary callee.
pub(super) fn callee(callee: &Callee, plan: &NumberPlan) -> Value {
    json!({
        "binding": callee.binding,
        "to": real(callee.to, plan),
        "set_at": time(callee.set),
        "until": time(callee.until),
    })
}

/// A group, without its members.
pub(super) fn group(group: &Group, pool: Option<&Pool>, plan: &NumberPlan) -> Value {
    json!({
        "id": group.id,
        "name": group.name,
        "version": group.version,
        "account": group.account,
        "pool": pool.map(|pool| &pool.name),
        "pool_key": group.pool,
        "members": group.members,
        "default": group.default.map(|default| real(default, plan)),
        "created_at": time(group.created),
        "ended_at": group.ended.and_then(time),
    })
}

/// A member of a group.
pub(super) fn member(member: &Membership, plan: &NumberPlan) -> Value {
    json!({"number": real(member.number, plan), "since": time(member.since)})
}

pub(super) fn real(number: RealNumber, plan: &NumberPlan) -> String {
    plan.record(number.reveal()).to_string()
}

/// A time; nothing for never.
fn time(wall: Wall) -> Option<String> {
    (wall != Wall::NEVER).then(|| wall.to_string())
}

/// An account.
pub(super) fn account(account: &Account) -> Value {
    json!({
        "name": account.name,
        "state": match account.standing {
            Standing::Active => "active",
            Standing::Suspended => "suspended",
        },
        "x_per_a": account.x_per_a,
        "expiry_max_s": account.expiry_max.map(|time| time.as_secs()),
        "language": account.language,
        "record": account.recording.record,
        "record_from": account.recording.since.map(Since::name),
        "record_tone": account.recording.tone.map(Hearers::name),
        "recordings_keep_days": account.kept.keep_days,
        "recordings_at_least_days": account.kept.at_least_days,
        "created_at": made(account.created),
    })
}

/// When something was made; nothing for what was always there.
fn made(at: Wall) -> Option<String> {
    Some(at).filter(|at| at.as_millis() > 0).and_then(time)
}

/// A pool.
pub(super) fn pool(pool: &Pool) -> Value {
    let mut view = json!({
        "key": pool.key,
        "name": pool.name,
        "mode": pool.mode.name(),
        "account": pool.account,
        "axb_pairs_per_x": pool.axb_pairs_per_x,
        "relations_per_y": pool.relations_per_y,
        "city_rule": pool.city_rule.name(),
        "fallback_cities": pool.fallback_cities,
        "reuse": pool.reuse.name(),
        "callback": pool.callback.name(),
        "accept_unidentified": match pool.unidentified {
            Unidentified::Accepted => true,
            Unidentified::Refused => false,
        },
        "quarantine": pool.quarantine.map(|rule| rule.to_string()),
        "free_low_percent": pool.free_low_percent,
        "ring_timeout_s": pool.ring_timeout.map(|time| time.as_secs()),
        "calls_per_x": pool.calls_per_x,
        "calls_per_caller": pool.calls_per_caller,
        "t38": pool.fax.name(),
        "ask_url": pool.ask.as_ref().map(|server| server.url.as_str()),
        "ask_secret_set": pool.ask.as_ref().map(|server| server.secret.is_some()),
        "ask_numbers": pool.ask.as_ref().map(|server| server.numbers.name()),
        "extension_width": pool.extension_width,
        "extensions_per_x": pool.extensions_per_x,
        "collect": pool.collect.name(),
        "owner_dials": pool.owner_dials.name(),
        "last_kept_s": pool.last_kept.as_secs(),
        "language": pool.language,
        "record": pool.recording.record,
        "record_from": pool.recording.since.map(Since::name),
        "record_tone": pool.recording.tone.map(Hearers::name),
        "created_at": made(pool.created),
    });
    if let Some(fields) = view.as_object_mut() {
        super::question::show(fields, pool.question.as_deref().into());
    }
    view
}

/// How a pool or one of its cities is used.
pub(super) fn usage(usage: &Usage) -> Value {
    json!({
        "numbers": usage.numbers,
        "inventory": usage.inventory,
        "idle": usage.idle,
        "bound": usage.bound,
        "full": usage.full,
        "locked": usage.locked,
        "frozen": usage.frozen,
        "bindings": usage.bindings,
        "capacity": usage.capacity,
        "free": usage.free,
        "free_percent": usage.free_percent(),
    })
}

/// A number, and how many live bindings it carries.
pub(super) fn number(number: &Number, pool: Option<&Pool>, bindings: usize, plan: &NumberPlan) -> Value {
    let (state, cause) = match number.state {
        NumberState::Active if bindings == 0 => ("idle", None),
        NumberState::Active => ("bound", None),
        NumberState::Frozen(cause) => (number.state.name(), Some(cause.name())),
        NumberState::Inventory | NumberState::Locked | NumberState::Released => (number.state.name(), None),
    };
    let thaws_to = cause.map(|_| match number.thawed {
        Thawed::Active => "active",
        Thawed::Locked => "locked",
        Thawed::Inventory => "inventory",
    });
    json!({
        "x": plan.virtual_text(number.x).as_str(),
        "pool": pool.map(|p| &p.name),
        "pool_key": number.pool,
        "account": number.account,
        "trunks": number.trunks,
        "class": number.class().name(),
        "city": number.city,
        "operator": number.operator,
        "tags": number.tags,
        "state": state,
        "cause": cause,
        "thaws_to": thaws_to,
        "bindings": bindings,
        "added_at": time(number.added),
    })
}

/// What would become of an attempt.
pub(super) fn explanation(explanation: &Explanation) -> Value {
    let mut view = match &explanation.verdict {
        Verdict::Connect {
            called,
            shown,
            caller,
            binding,
        } => json!({
            "decision": "connect",
            "called": called,
            "shown": shown,
            "caller_kind": caller.name(),
            "binding": binding,
            "reason": null,
        }),
        Verdict::Ask { server } => json!({
            "decision": "ask",
            "called": null,
            "shown": null,
            "caller_kind": "n",
            "binding": null,
            "reason": null,
            "asks": server,
        }),
        Verdict::Collect {
            width,
            caller,
            binding,
        } => json!({
            "decision": "collect",
            "called": null,
            "shown": null,
            "caller_kind": caller.map(Party::name),
            "binding": binding,
            "reason": null,
            "width": width,
        }),
        Verdict::Refuse { reason, binding } => json!({
            "decision": "refuse",
            "called": null,
            "shown": null,
            "caller_kind": null,
            "binding": binding,
            "reason": reason,
            "sip_status": crate::call::refusal::status(*reason),
        }),
    };
    view["sentences"] = json!(explanation.sentences);
    view
}

/// A live call. Its numbers came masked from the switch.
pub(super) fn call(call: &CallView) -> Value {
    json!({
        "call_id": call.call_id,
        "binding_id": call.binding_id,
        "x": call.x.as_str(),
        "phase": call.phase,
        "caller": call.caller,
        "callee": call.callee,
        "arrived_at": time(call.arrived_at),
        "answered_at": call.answered_at.and_then(time),
        "media": call.media,
    })
}

/// A call's messages; times are milliseconds since the first.
pub(super) fn trace(lines: &[TraceLine]) -> Value {
    let start = lines.first().map_or(Instant::default(), |line| line.at);
    let rows: Vec<Value> = lines.iter().map(|line| trace_line(line, start)).collect();
    Value::Array(rows)
}

fn trace_line(line: &TraceLine, start: Instant) -> Value {
    // Microseconds of one call are far below 2⁵³: the quotient is exact enough to print.
    let at_ms = line.at.since(start).as_micros() as f64 / 1_000.0;
    json!({
        "at_ms": at_ms,
        "leg": match line.leg { LegName::Caller => "caller", LegName::Callee => "callee" },
        "heading": match line.heading { Heading::In => "in", Heading::Out => "out" },
        "method": line.method.name(),
        "status": line.status,
        "sdp": line.sdp,
    })
}

/// The trunks of a conf, and how they stand at this moment.
pub(super) fn trunks(
    config: &Config,
    registrations: &Registrations,
    names: &[Status],
    reach: &Reach,
    at: Instant,
) -> Vec<Value> {
    let trunks = config.trunks.iter().map(|of| {
        let mut view = trunk(of, registrations, names);
        if let (Some(view), Value::Object(more)) = (view.as_object_mut(), ways::of_trunk(of, reach, at)) {
            view.extend(more);
        }
        view
    });
    trunks.collect()
}

/// How we are registered with a trunk's gateway; null if it wants none.
fn registration(trunk: &Trunk, registrations: &Registrations) -> Value {
    if trunk.register.is_none() {
        return Value::Null;
    }
    match registrations.of(&trunk.name) {
        Some(Registered::Until(until)) => json!({"state": "registered", "until": until.to_string()}),
        Some(Registered::Failed(why, again)) => {
            json!({"state": "failed", "why": why_text(why), "again_at": again.to_string()})
        }
        Some(Registered::TakenBack) => json!({"state": "taken_back"}),
        Some(Registered::Never) | None => json!({"state": "registering"}),
    }
}

fn trunk(trunk: &Trunk, registrations: &Registrations, names: &[Status]) -> Value {
    let gateways_call = match trunk.gateways_call {
        GatewaysCall::Yes => Some("gateways".to_owned()),
        GatewaysCall::No => None,
    };
    let networks = trunk.accept_from.iter();
    let networks = networks.map(|cidr| format!("{}/{}", cidr.network, cidr.prefix));
    let accept_from: Vec<String> = gateways_call.into_iter().chain(networks).collect();
    let of_trunk = |status: &&Status| {
        let is_it = |place: &Place| matches!(place, Place::Named(name) if *name == status.name);
        trunk.gateways.iter().any(|gateway| is_it(&gateway.place))
    };
    let names: Vec<Value> = names.iter().filter(of_trunk).map(name).collect();
    let gateways: Vec<String> = trunk.gateways.iter().map(Gateway::name).collect();
    let may_show: Vec<&str> = trunk
        .may_show
        .iter()
        .map(|shown| match shown {
            MayShow::Own => "own",
            MayShow::Prefix(prefix) => prefix,
            MayShow::Any => "any",
        })
        .collect();
    json!({
        "name": trunk.name,
        "accept_from": accept_from,
        "gateways": gateways,
        "names": names,
        "number_format": format(trunk.numbers.format),
        "may_show": may_show,
        "default": trunk.default,
        "registration": registration(trunk, registrations),
    })
}

/// Where a gateway's name is at present.
fn name(status: &Status) -> Value {
    let server = |server: &Server| {
        json!({
            "tier": server.tier,
            "weight": server.weight,
            "transport": server.transport.name(),
            "addresses": server.addresses,
        })
    };
    json!({
        "name": status.name.to_string(),
        "servers": status.servers.iter().map(server).collect::<Vec<_>>(),
        "at": status.at(),
        "answered_s_ago": status.answered.map(|at| at.elapsed().as_secs()),
        "error": status.error,
    })
}

/// How numbers are written towards a trunk, as the conf says it.
pub(super) const fn format(format: Format) -> &'static str {
    match format {
        Format::National => "national",
        Format::E164 => "e164",
        Format::Plus => "plus",
    }
}

/// A dialled number as a sentence names it.
pub(super) fn dialled(tel: Tel, plan: &NumberPlan) -> String {
    plan.write(tel, Format::National).to_string()
}

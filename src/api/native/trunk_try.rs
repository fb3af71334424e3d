//! `POST /v1/trunks/{name}/try`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{Desk, view};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields};
use crate::base::limits::NUMBER_RULE_TEXT_BYTES_MAX;
use crate::base::number::{NumberError, NumberPlan, Tel};
use crate::call::trunk::Trunk;
use crate::call::trunk::number_format::{Step, Unfit, Which};

/// `POST /v1/trunks/{name}/try {number}` → what becomes of such a number on that trunk, each way. No call is made, and
/// the number is written nowhere.
pub(super) async fn try_number(
    State(desk): State<Arc<Desk>>,
    Path(name): Path<String>,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let number = fields.needed_text("number")?;
    fields.done()?;
    let config = desk.config.load();
    let trunk = config.trunks.iter().find(|trunk| *trunk.name == *name);
    let trunk =
        trunk.ok_or_else(|| ApiError::not_found("there is no such trunk: `umbra trunk list` names them"))?;
    Ok(Json(tried(trunk, &number, &config.numbers)))
}

/// `{"trunk", "number", "in": {"dialled", "caller"}, "out": {"called", "shown"}}`, each `{"steps": [{"step", "number"}], "number"
/// or null, "fault"?}`: what is made of a number that comes in so, and of the number itself when it goes out. `number` is whose it is,
/// written as records do, if it is a number by itself or as the trunk's peer dials it.
pub(crate) fn tried(trunk: &Trunk, number: &str, plan: &NumberPlan) -> Value {
    let read = |which| {
        let read = |each: &mut dyn FnMut(Step<'_>, &str)| {
            let tel = trunk.numbers.read(which, short(number)?, plan, each)?;
            Ok(plan.record(tel).to_string())
        };
        way(read)
    };
    let write = |which, tel: Result<Tel, Unfit>| {
        way(|each| Ok(trunk.numbers.write(which, tel?, plan, each)?.to_string()))
    };
    let mut silent = |_: Step<'_>, _: &str| ();
    let meant = plan.normalise(number).map_err(Unfit::Unread);
    let meant = meant.or_else(|_| {
        trunk
            .numbers
            .read(Which::Called, short(number)?, plan, &mut silent)
    });
    json!({
        "trunk": trunk.name,
        "number": meant.ok().map(|tel| plan.record(tel).to_string()),
        "in": {"dialled": read(Which::Called), "caller": read(Which::Calling)},
        "out": {"called": write(Which::Called, meant), "shown": write(Which::Calling, meant)},
    })
}

/// A number that is no longer than what is read from a message.
fn short(number: &str) -> Result<&str, Unfit> {
    if number.len() > NUMBER_RULE_TEXT_BYTES_MAX {
        return Err(Unfit::Unread(NumberError::TooLong));
    }
    Ok(number)
}

/// One way that a number takes: its steps, and what comes of it.
fn way(take: impl FnOnce(&mut dyn FnMut(Step<'_>, &str)) -> Result<String, Unfit>) -> Value {
    let mut steps = Vec::new();
    let end = take(&mut |step, number| {
        let step = match step {
            Step::Stripped(prefix) => format!("strip {prefix}"),
            Step::RuleIn(place) => format!("rules_in, rule {place}"),
            Step::AsE164 => "number_format_in e164".to_owned(),
            Step::Written(format) => format!("number_format {}", view::format(format)),
            Step::Prefixed(prefix) => format!("prefix_out {prefix}"),
            Step::RuleOut(place) => format!("rules_out, rule {place}"),
        };
        steps.push(json!({"step": step, "number": number}));
    });
    match end {
        Ok(number) => json!({"steps": steps, "number": number}),
        Err(fault) => json!({"steps": steps, "number": null, "fault": fault.to_string()}),
    }
}

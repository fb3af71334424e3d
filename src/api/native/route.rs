//! `POST /v1/route`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Desk, view};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields, wrong};
use crate::base::number::Digits;
use crate::call::config::Config;
use crate::call::emergency::{Emergency, Number};
use crate::call::failover;
use crate::masking::keyed::Keyed;
use crate::masking::route::{Attempt, Audience, Decision, Verdict, as_asked, explain, route as decide};

/// `POST /v1/route {x, caller, digits, ask}` → what would become of such a call now, and why, in sentences; with the gateways
/// that it would leave by, in order (`leaves_by`). `digits` are what the caller keys in if he is asked, `#` for that key alone.
/// A caller that is `null` is one without usable identity. No call is made. With `ask`, the customer's server of an X pool is
/// asked too, and `answer` says what came of it.
pub(super) async fn route(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    let config = desk.config.load();
    let plan = config.numbers;
    // As it is dialled: not every country's are numbers in the form of others.
    if let Some(of) = &config.emergency
        && let Some(x) = Fields::of_json(&body)?.text("x")?
        && let Some(number) = of.table.is(&x)
    {
        let mut fields = Fields::of_json(&body)?;
        fields.text("x")?;
        let caller = fields.number("caller", &plan)?.map(|caller| plan.record(caller));
        fields.done()?;
        return Ok(Json(help(&desk, &config, of, number, caller)));
    }
    let mut fields = Fields::of_json(&body)?;
    let attempt = Attempt {
        diverting: None,
        dialled: fields.needed_number("x", &plan)?,
        caller: fields.number("caller", &plan)?,
        arrived: desk.now(),
        digits: digits(&mut fields)?,
    };
    let asks = fields.truth("ask")?.unwrap_or(false);
    fields.done()?;
    let table = desk.store.table();
    let attempt = as_asked(table, &attempt);
    let mut explanation = explain(table, &attempt, &plan, Audience::Full);
    let mut leaves = None;
    let mut asked = None;
    let way = match decide(table, &attempt) {
        Decision::Connect(plan) => Some(plan),
        Decision::Ask(question) if asks => {
            let answer = desk.ask_customer(&config, &question).await;
            explanation.sentences.push(answer.sentence);
            asked = Some(answer.view);
            answer.plan
        }
        Decision::Collect(_) | Decision::Ask(_) | Decision::Refuse(_) => None,
    };
    if let Some(plan) = way {
        if let Some(of) = &config.emergency
            && let Some(number) = of.table.number_of(plan.called())
        {
            let caller = attempt.caller.map(|caller| config.numbers.record(caller));
            return Ok(Json(help(&desk, &config, of, number, caller)));
        }
        let survey = failover::survey(&config, &desk.reach, (desk.clock)().at, &plan);
        let names = (desk.owner.names)();
        let shown = match &explanation.verdict {
            Verdict::Connect { shown, .. } => shown.clone(),
            Verdict::Collect { .. } | Verdict::Ask { .. } | Verdict::Refuse { .. } => {
                Some(config.numbers.virtual_text(plan.number().x).to_string())
            }
        };
        let shown = shown.as_deref().unwrap_or("no number");
        explanation
            .sentences
            .extend(view::sentences(&survey, &config, &names, shown));
        leaves = Some(view::survey(&survey, &config, &names));
    }
    let mut view = view::explanation(&explanation);
    view["leaves_by"] = json!(leaves);
    if let Some(asked) = asked {
        view["answer"] = asked;
    }
    Ok(Json(view))
}

fn digits(fields: &mut Fields) -> Result<Keyed, ApiError> {
    let keyed = fields.text("digits")?.map(|text| text.parse());
    let keyed = keyed
        .transpose()
        .map_err(|_| wrong("digits", "1 to 8 digits, or #"))?;
    Ok(keyed.unwrap_or_default())
}

/// What becomes of a call to an emergency number.
fn help(desk: &Desk, config: &Config, of: &Emergency, number: &Number, caller: Option<Digits>) -> Value {
    let names = (desk.owner.names)();
    let survey = failover::survey_of(config, &desk.reach, (desk.clock)().at, of.trunk);
    let mut sentences = vec![format!(
        "{} is an emergency number ({}): it is called whatever stands in the way of other calls.",
        number.digits, of.table.country
    )];
    sentences.push(match &caller {
        Some(caller) => format!("It sees the caller's own number, {caller}, also if he hides it."),
        None => "It sees no number: nobody knows who calls.".to_owned(),
    });
    sentences.extend(view::sentences(&survey, config, &names, ""));
    json!({
        "decision": "emergency",
        "called": number.digits.as_str(),
        "shown": caller.as_deref(),
        "caller_kind": null,
        "binding": null,
        "reason": null,
        "sentences": sentences,
        "leaves_by": view::survey(&survey, config, &names),
    })
}

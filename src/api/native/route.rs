//! `POST /v1/route`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Desk, view};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields};
use crate::call::failover;
use crate::masking::route::{Attempt, Audience, Decision, Verdict, explain, route as decide};

/// `POST /v1/route {x, caller}` → what would become of such a call now, and why, in sentences; with the gateways that it would
/// leave by, in order (`leaves_by`). A caller that is `null` is one without usable identity. No call is made.
pub(super) async fn route(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    let plan = desk.config.load().numbers;
    let mut fields = Fields::of_json(&body)?;
    let attempt = Attempt {
        diverting: None,
        dialled: fields.needed_number("x", &plan)?,
        caller: fields.number("caller", &plan)?,
        arrived: desk.now(),
    };
    fields.done()?;
    let table = desk.store.table();
    let mut explanation = explain(table, &attempt, &plan, Audience::Full);
    let mut leaves = None;
    if let (Decision::Connect(plan), Verdict::Connect { shown, .. }) =
        (decide(table, &attempt), &explanation.verdict)
    {
        let config = desk.config.load();
        let survey = failover::survey(&config, &desk.reach, (desk.clock)().at, &plan);
        let shown = shown.as_deref().unwrap_or("no number");
        explanation
            .sentences
            .extend(view::sentences(&survey, &config, shown));
        leaves = Some(view::survey(&survey, &config));
    }
    let mut view = view::explanation(&explanation);
    view["leaves_by"] = json!(leaves);
    Ok(Json(view))
}

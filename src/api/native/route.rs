//! `POST /v1/route`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::{Desk, view};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields};
use crate::masking::route::{Attempt, Audience, explain};

/// `POST /v1/route {x, caller}` → what would become of such a call now, and why, in sentences. A caller
/// that is `null` is one without usable identity. No call is made.
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
    let explanation = explain(desk.store.table(), &attempt, &plan, Audience::Full);
    Ok(Json(view::explanation(&explanation)))
}

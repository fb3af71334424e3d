//! The server as a whole: `/v1/status`, `/v1/stop`, `/v1/reload`, `/v1/log`, `/v1/trunks`, and what
//! monitors ask: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Desk, Phase, view};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields, wrong};
use crate::telemetry::health::State as Worst;
use crate::telemetry::log::Level;
use crate::telemetry::metrics::Reading;

/// `GET /v1/trunks` → `{"trunks"}`, as the running server has them.
pub(super) async fn trunks(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(json!({"trunks": view::trunks(&desk.config.load())}))
}

/// `POST /v1/stop {drain_s}` → 202. New calls are refused at once; those in progress have that long.
pub(super) async fn stop(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let drain = fields.seconds("drain_s")?.unwrap_or_default();
    fields.done()?;
    tracing::info!("a stop was asked for");
    (desk.owner.stop)(drain);
    Ok((StatusCode::ACCEPTED, Json(json!({"drain_s": drain.as_secs()}))))
}

/// `POST /v1/reload` → `{"waits_for_restart": [keys]}`; 422 with every fault of the conf, and the old one
/// stays in force.
pub(super) async fn reload(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    Fields::of_json(&body)?.done()?;
    let waiting = super::blocking(move || (desk.owner.reload)()).await?;
    match waiting {
        Ok(keys) => Ok(Json(json!({"waits_for_restart": keys}))),
        Err(faults) => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad_conf",
            faults,
        )),
    }
}

/// `PUT /v1/log {level}`: until the next restart or reload.
pub(super) async fn log(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let name = fields.needed_text("level")?;
    fields.done()?;
    let level =
        Level::from_name(&name).ok_or_else(|| wrong("level", "error | warn | info | debug | trace"))?;
    (desk.owner.log_level)(level);
    tracing::info!("the log's level is {} now", level.name());
    Ok(Json(json!({"level": level.name()})))
}

/// `GET /v1/status`
pub(super) async fn status(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let now = desk.now();
    let counts = desk.store.table().counts();
    let report = desk.health.report();
    Json(json!({
        "node": desk.config.load().node,
        "version": env!("CARGO_PKG_VERSION"),
        "state": report.state,
        "phase": (desk.owner.phase)().name(),
        "started_at": desk.started.to_string(),
        "uptime_s": now.since(desk.started).as_secs(),
        "calls": (desk.owner.calls)(),
        "bindings": counts.bindings_live,
        "bindings_ended": counts.bindings_ended,
        "numbers": counts.numbers,
        "pools": counts.pools,
        "accounts": counts.accounts,
        "parts": report.parts,
    }))
}

/// `GET /healthz`: 200 while the process answers; its parts are in the body. (A monitor that restarts a
/// server because its disk is full would only lose calls.)
pub(super) async fn healthz(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(json!(desk.health.report()))
}

/// `GET /readyz`: 200 if new calls are welcome, 503 if a part is failing or the server is draining.
pub(super) async fn readyz(State(desk): State<Arc<Desk>>) -> (StatusCode, Json<Value>) {
    let report = desk.health.report();
    let phase = (desk.owner.phase)();
    let status = match (report.state, phase) {
        (Worst::Ok | Worst::Degraded, Phase::Serving) => StatusCode::OK,
        (Worst::Failing, _) | (_, Phase::Draining) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (
        status,
        Json(json!({"state": report.state, "phase": phase.name(), "parts": report.parts})),
    )
}

/// `GET /metrics`, as OpenMetrics text.
pub(super) async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    let counts = desk.store.table().counts();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    desk.metrics.set(Reading::Bindings, count(counts.bindings_live));
    desk.metrics.set(Reading::Numbers, count(counts.numbers));
    desk.metrics.set(Reading::Quarantined, count(counts.resting));
    desk.metrics.set(Reading::QuarantineShort, counts.rested_short);
    desk.metrics.set(Reading::Calls, count((desk.owner.calls)()));
    (desk.owner.readings)(&desk.metrics);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], desk.metrics.render()).into_response()
}

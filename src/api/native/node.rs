//! The server as a whole: `/v1/status`, `/v1/stop`, `/v1/reload`, `/v1/log`, `/v1/trunks`, and what
//! monitors ask: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Desk, view};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields};
use crate::telemetry::log::Level;

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
        Err(faults) => Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_conf", faults)),
    }
}

/// `PUT /v1/log {level}`: until the next restart or reload.
pub(super) async fn log(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    const LEVELS: [(&str, Level); 5] = [
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];
    let mut fields = Fields::of_json(&body)?;
    let level = fields
        .word("level", &LEVELS)?
        .ok_or_else(|| crate::api::fields::missing("level"))?;
    fields.done()?;
    (desk.owner.log_level)(level);
    let name = LEVELS.iter().find(|(_, known)| *known == level).map(|(name, _)| name);
    Ok(Json(json!({"level": name})))
}

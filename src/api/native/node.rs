//! The server as a whole: `/v1/status`, `/v1/stop`, `/v1/reload`, `/v1/log`, and what
//! monitors ask: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{ConfState, Desk, OnDisk, Phase, Reloaded, Stop};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields, wrong};
use crate::store::writer::WriteState;
use crate::telemetry::health::State as Worst;
use crate::telemetry::log::Level;
use crate::telemetry::metrics::Page;

/// `POST /v1/stop {drain_s}` → 202 `{"drain_s", "calls", "pid"}`. New calls are refused at once; those in progress have
/// that long. With `handover: true` instead the process ends at once, and they go on in the one that comes next; 503
/// `no_handover` while the journal doesn't have all that this needs.
pub(super) async fn stop(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let drain = fields.seconds("drain_s")?;
    let hands_over = fields.truth("handover")?.unwrap_or(false);
    fields.done()?;
    let how = match (drain, hands_over) {
        (Some(_), true) => return Err(wrong("handover", "leave out drain_s: nothing is waited for")),
        (None, true) => Stop::HandOver,
        (drain, false) => Stop::Drain(drain.unwrap_or_default()),
    };
    tracing::info!("a stop was asked for");
    let calls = (desk.owner.calls)();
    (desk.owner.stop)(how).map_err(|why| ApiError::unavailable("no_handover", why))?;
    let drain = drain.unwrap_or_default();
    let answer = json!({"drain_s": drain.as_secs(), "calls": calls, "pid": std::process::id()});
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// `POST /v1/drain` → `{"phase", "calls"}`: new calls are refused (503), those in progress go on, and the
/// process stays.
pub(super) async fn drain(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    Fields::of_json(&body)?.done()?;
    admit(&desk, Phase::Draining)
}

/// `DELETE /v1/drain` → `{"phase", "calls"}`: new calls are taken again; 409 while the server stops.
pub(super) async fn undrain(State(desk): State<Arc<Desk>>) -> Result<Json<Value>, ApiError> {
    admit(&desk, Phase::Serving)
}

fn admit(desk: &Desk, wanted: Phase) -> Result<Json<Value>, ApiError> {
    match (desk.owner.admit)(wanted) {
        Ok(()) => Ok(Json(
            json!({"phase": wanted.name(), "calls": (desk.owner.calls)()}),
        )),
        Err(phase) => Err(ApiError::new(
            StatusCode::CONFLICT,
            phase.name(),
            "the server is stopping: start it again when it is gone",
        )),
    }
}

/// `POST /v1/reload` → `{"taken": [keys and trunks], "waits_for_restart": [keys], "bad_prompts": [lines]}`; 422 with every fault of the conf, and the old one
/// stays in force.
pub(super) async fn reload(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    Fields::of_json(&body)?.done()?;
    match super::blocking(move || (desk.owner.reload)()).await? {
        Ok(Reloaded {
            bad_prompts,
            taken,
            waiting,
        }) => Ok(Json(
            json!({"taken": taken, "waits_for_restart": waiting, "bad_prompts": bad_prompts}),
        )),
        Err(faults) => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad_conf",
            faults.join("\n"),
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
pub(super) async fn status(State(desk): State<Arc<Desk>>) -> Result<Json<Value>, ApiError> {
    let now = desk.now();
    let conf = super::blocking({
        let desk = desk.clone();
        move || (desk.owner.conf)()
    })
    .await?;
    let counts = desk.store.table().counts();
    let report = desk.health.report();
    Ok(Json(json!({
        "node": desk.config.load().node,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "state": report.state,
        "phase": (desk.owner.phase)().name(),
        "started_at": desk.started.to_string(),
        "uptime_s": now.since(desk.started).as_secs(),
        "calls": (desk.owner.calls)(),
        "calls_before": {"taken": desk.takeover.taken, "ended": desk.takeover.ended},
        "connections": (desk.owner.connections)(),
        "bindings": counts.bindings_live,
        "bindings_ended": counts.bindings_ended,
        "numbers": counts.numbers,
        "pools": counts.pools,
        "accounts": counts.accounts,
        "conf": conf.map(conf_view),
        "parts": report.parts,
    })))
}

/// `{"path", "read_at", "by", "waits_for_restart", "on_disk": "same" | "changed" | "faulty", "faults"}`
fn conf_view(conf: ConfState) -> Value {
    let (on_disk, faults) = match conf.on_disk {
        OnDisk::Same => ("same", Vec::new()),
        OnDisk::Changed => ("changed", Vec::new()),
        OnDisk::Faulty(faults) => ("faulty", faults),
    };
    json!({
        "path": conf.path.display().to_string(),
        "read_at": conf.read_at.to_string(),
        "by": conf.by,
        "waits_for_restart": conf.waiting,
        "on_disk": on_disk,
        "faults": faults,
    })
}

/// `GET /healthz`: 200 while the process answers; its parts are in the body. (A monitor that restarts a
/// server because its disk is full would only lose calls.)
pub(super) async fn healthz(State(desk): State<Arc<Desk>>) -> Json<Value> {
    Json(json!(desk.health.report()))
}

/// `GET /readyz`: 200 if new calls are welcome; 503 if a part is failing, if the disk takes no records or writes
/// now, or if the server drains or stops.
pub(super) async fn readyz(State(desk): State<Arc<Desk>>) -> (StatusCode, Json<Value>) {
    let report = desk.health.report();
    let phase = (desk.owner.phase)();
    // Records that wait in memory would go with the process: calls are better off elsewhere, if there is one.
    let keeps_records = report
        .parts
        .iter()
        .all(|part| part.name != "cdr" || part.state == Worst::Ok);
    let takes_writes = desk.store.health().writes == WriteState::Taken;
    let status = match (report.state, phase) {
        (Worst::Ok | Worst::Degraded, Phase::Serving) if keeps_records && takes_writes => StatusCode::OK,
        (
            Worst::Ok | Worst::Degraded | Worst::Failing,
            Phase::Serving | Phase::Draining | Phase::Stopping,
        ) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (
        status,
        Json(json!({"state": report.state, "phase": phase.name(), "parts": report.parts})),
    )
}

/// `GET /metrics`, as OpenMetrics text.
pub(super) async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    let mut page = Page::default();
    desk.metrics.write(&mut page);
    desk.metrics.registrations.write((desk.clock)().wall, &mut page);
    (desk.owner.readings)(&mut page);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], page.finish()).into_response()
}

//! `/v1/calls`: the calls in progress, and the messages of those and of the last that ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Desk, id_of, view};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Body, Fields, Named};
use crate::api::switchboard::Silent;
use crate::base::id::Id;
use crate::call::cdr::Party;
use crate::call::port::{Answer, CallView, Command, Found};
use crate::call::recording::{Control, Controlled, Fate};

/// `GET /v1/calls` → `{"calls"}`, the longest first.
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Asked(asked): Asked,
) -> Result<Json<Value>, ApiError> {
    asked.done()?;
    let mut calls: Vec<CallView> = Vec::new();
    for answer in desk.board.ask(Command::Calls).await.map_err(silent)? {
        match answer {
            Answer::Calls(more) => calls.extend(more),
            Answer::CallsOf(_)
            | Answer::Hangup(_)
            | Answer::Trace(_)
            | Answer::Recording(_)
            | Answer::Probed(_) => {
                return Err(crossed());
            }
        }
    }
    calls.sort_by_key(|call| (call.arrived_at, call.call_id));
    let calls: Vec<Value> = calls.iter().map(view::call).collect();
    Ok(Json(json!({"calls": calls})))
}

/// The calls in which that number takes part; some of them may just have ended.
pub(super) async fn of_party(desk: &Desk, party: Party) -> Result<Vec<Id>, ApiError> {
    let mut calls = Vec::new();
    let answers = desk.board.ask(|ask| Command::CallsOf(ask, party)).await;
    for answer in answers.map_err(silent)? {
        match answer {
            Answer::CallsOf(more) => calls.extend(more),
            Answer::Calls(_)
            | Answer::Hangup(_)
            | Answer::Trace(_)
            | Answer::Recording(_)
            | Answer::Probed(_) => return Err(crossed()),
        }
    }
    Ok(calls)
}

/// `DELETE /v1/calls/{id}` → 202: the call is being ended; its record follows.
pub(super) async fn hangup(
    State(desk): State<Arc<Desk>>,
    Named(id): Named,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let call_id = id_of(&id)?;
    let mut found = Found::Nowhere;
    for answer in desk
        .board
        .ask(|ask| Command::Hangup(ask, call_id))
        .await
        .map_err(silent)?
    {
        match answer {
            Answer::Hangup(Found::Here) => found = Found::Here,
            Answer::Hangup(Found::Nowhere) => {}
            Answer::Calls(_)
            | Answer::CallsOf(_)
            | Answer::Trace(_)
            | Answer::Recording(_)
            | Answer::Probed(_) => {
                return Err(crossed());
            }
        }
    }
    match found {
        Found::Here => {
            tracing::info!(call = %call_id, "the call is ended by request");
            Ok((
                StatusCode::ACCEPTED,
                Json(json!({"call_id": call_id, "phase": "ending"})),
            ))
        }
        Found::Nowhere => Err(no_call(call_id)),
    }
}

/// `GET /v1/calls/{id}/trace` → `{"call_id", "live", "lines"}`.
pub(super) async fn trace(State(desk): State<Arc<Desk>>, Named(id): Named) -> Result<Json<Value>, ApiError> {
    let call_id = id_of(&id)?;
    for answer in desk
        .board
        .ask(|ask| Command::Trace(ask, call_id))
        .await
        .map_err(silent)?
    {
        match answer {
            Answer::Trace(Some(lines)) => return Ok(traced(call_id, &lines, true)),
            Answer::Trace(None) => {}
            Answer::Calls(_)
            | Answer::CallsOf(_)
            | Answer::Hangup(_)
            | Answer::Recording(_)
            | Answer::Probed(_) => {
                return Err(crossed());
            }
        }
    }
    match desk.traces.of(call_id) {
        Some(lines) => Ok(traced(call_id, &lines, false)),
        None => Err(ApiError::not_found(format!(
            "there is no trace of a call {call_id}: it isn't live, nor among the last that ended"
        ))),
    }
}

/// `POST /v1/calls/{id}/recording/{pause|resume}` → `{"call_id", "recording"}`: what is said from now on isn't kept, or is
/// again.
pub(super) async fn record(
    State(desk): State<Arc<Desk>>,
    Path((id, what)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let call_id = id_of(&id)?;
    let (control, state) = match what.as_str() {
        "pause" => (Control::Pause, "paused"),
        "resume" => (Control::Resume, "on"),
        _ => return Err(ApiError::not_found("there is nothing at this path")),
    };
    Fields::of_json(&body)?.done()?;
    let mut came = Controlled::Nowhere;
    for answer in desk
        .board
        .ask(|ask| Command::Recording(ask, call_id, control))
        .await
        .map_err(silent)?
    {
        match answer {
            Answer::Recording(Controlled::Nowhere) => {}
            Answer::Recording(found @ (Controlled::Done | Controlled::NotRecorded(_) | Controlled::Over)) => {
                came = found;
            }
            Answer::Calls(_)
            | Answer::CallsOf(_)
            | Answer::Hangup(_)
            | Answer::Trace(_)
            | Answer::Probed(_) => {
                return Err(crossed());
            }
        }
    }
    match came {
        Controlled::Done => {
            tracing::info!(call = %call_id, "the call's recording is {state} by request");
            Ok(Json(json!({"call_id": call_id, "recording": state})))
        }
        Controlled::NotRecorded(why) => {
            let why = Fate::None(why).reason();
            Err(ApiError::new(
                StatusCode::CONFLICT,
                "not_recorded",
                format!("the call {call_id} isn't recorded: {why}"),
            ))
        }
        Controlled::Over => Err(ApiError::new(
            StatusCode::CONFLICT,
            "not_recorded",
            format!("the call {call_id} isn't recorded any more: its recording has ended"),
        )),
        Controlled::Nowhere => Err(no_call(call_id)),
    }
}

fn traced(call_id: Id, lines: &[crate::call::port::TraceLine], live: bool) -> Json<Value> {
    Json(json!({"call_id": call_id, "live": live, "lines": view::trace(lines)}))
}

fn no_call(id: Id) -> ApiError {
    ApiError::not_found(format!("there is no call {id} in progress"))
}

/// A shard doesn't answer.
pub(super) fn silent(silent: Silent) -> ApiError {
    ApiError::unavailable("no_answer", silent.to_string())
}

/// A shard answered another question.
pub(super) fn crossed() -> ApiError {
    ApiError::ours("a shard answered another question than the one it was asked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::native::support::{Served, live_call};

    #[test]
    fn the_recording_of_a_call_is_paused_and_goes_on_and_a_call_without_one_says_why() {
        let served = Served::start();
        let (first, other) = (
            live_call(),
            CallView {
                call_id: Id::from_bits(8),
                ..live_call()
            },
        );
        *served.calls.lock().unwrap() = vec![first.clone(), other.clone()];
        for (what, state) in [("pause", "paused"), ("resume", "on")] {
            let path = format!("/v1/calls/{}/recording/{what}", first.call_id);
            let (status, answer) = served.ask("POST", &path, &Value::Null);
            assert_eq!((status, &answer["recording"]), (200, &json!(state)), "{answer}");
        }
        let path = format!("/v1/calls/{}/recording/pause", other.call_id);
        let (status, fault) = served.ask("POST", &path, &Value::Null);
        assert_eq!((status, &fault["code"]), (409, &json!("not_recorded")));
        let message = fault["message"].as_str().unwrap();
        assert!(message.ends_with("isn't recorded: not asked"), "{message}");
        let path = format!("/v1/calls/{}/recording/rewind", first.call_id);
        assert_eq!(served.ask("POST", &path, &Value::Null).0, 404);
    }
}

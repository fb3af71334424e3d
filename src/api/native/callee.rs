//! `/v1/bindings/{id}/callee`: the temporary callee of AX.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Desk, crossed, id_of, view};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields, Named};
use crate::base::limits::CALLEE_TIME;
use crate::base::number::RealNumber;
use crate::masking::request::{Write, Written};

/// `PUT /v1/bindings/{id}/callee {to, ttl_s}` → `{"binding", "to", "until"}`: whom A reaches by dialling
/// his X next. Good for one call, for 60 s if `ttl_s` doesn't say.
pub(super) async fn set(
    State(desk): State<Arc<Desk>>,
    Named(id): Named,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let plan = desk.config.load().numbers;
    let mut fields = Fields::of_json(&body)?;
    let write = Write::SetCallee {
        id: id_of(&id)?,
        to: RealNumber::new(fields.needed_number("to", &plan)?),
        lasts: fields.seconds("ttl_s")?.unwrap_or(CALLEE_TIME),
    };
    fields.done()?;
    write_callee(&desk, write).await
}

/// `DELETE /v1/bindings/{id}/callee` → `{"to": null}`, whether there was one or not.
pub(super) async fn clear(State(desk): State<Arc<Desk>>, Named(id): Named) -> Result<Json<Value>, ApiError> {
    let (id, only) = (id_of(&id)?, None);
    write_callee(&desk, Write::ClearCallee { id, only }).await
}

async fn write_callee(desk: &Arc<Desk>, write: Write) -> Result<Json<Value>, ApiError> {
    match desk.write(write).await? {
        Written::Callee(Some(callee)) => Ok(Json(view::callee(&callee, &desk.config.load().numbers))),
        Written::Callee(None) => Ok(Json(json!({"to": null}))),
        Written::Account(_)
        | Written::Pool(_)
        | Written::Number(_)
        | Written::Binding(_)
        | Written::Existing(_)
        | Written::Unbound(_)
        | Written::Group(_)
        | Written::DryRun(_) => Err(crossed()),
    }
}

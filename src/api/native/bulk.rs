//! Many writes in one request, for `umbra import` and `umbra restore`: answered with counts, and with each that
//! was refused. Unlike a batch, a request is done or refused as a whole where the server is to blame (429, 503):
//! it can be sent again, because what is done already changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::bindings::{list_of, lists_of, request_of};
use super::{Desk, id_of, refusal};
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields, missing, wrong};
use crate::masking::change::Record;
use crate::masking::request::{Import, OnConflict, PutBack, Unbind, Write, Written, XChoice};
use crate::store::writer::{Reply, WriteError};

/// `POST /v1/bindings:import {"bindings": […]}`, up to 1,000, each with the fields of `POST /v1/bindings` and
/// `id`, `created_at` → `{"made", "there", "refused": [{"index", "error"}]}`. A binding that is there already, by
/// its id or by its parties on its x, stays as it is.
pub(super) async fn import(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    let rows = list_of(&body, "bindings")?;
    let writes = rows.into_iter().map(|row| import_of(row, &desk)).collect();
    write_all(&desk, writes).await
}

fn import_of(row: Value, desk: &Desk) -> Result<Write, ApiError> {
    let mut fields = Fields::of_value(row)?;
    let id = fields.text("id")?.map(|text| id_of(&text)).transpose()?;
    let created = fields.time("created_at")?;
    let mut request = request_of(fields, desk)?;
    request.on_conflict = OnConflict::Return;
    if let (XChoice::FromPool(_), None) = (&request.x, id) {
        return Err(ApiError::bad(
            "missing_field",
            "x",
            "a row without an id names its x: a pool would choose another one each time",
        ));
    }
    Ok(Write::Import(Box::new(Import { request, id, created })))
}

/// `POST /v1/bindings:restore {"records": […], "groups": […]}`, up to 1,000 records of a backup in hexadecimal → as
/// [`import`]. What is there of accounts, pools and numbers stays; bindings become what they were. `groups` are the
/// records of the groups that members and bindings among them name: without it, or where another one has that id, they
/// are refused.
pub(super) async fn restore(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let [records, groups] = lists_of(&body, ["records", "groups"])?;
    let records = records.ok_or_else(|| missing("records"))?;
    let mut by_id = BTreeMap::new();
    for text in groups.into_iter().flatten() {
        let Record::Group(group) = record_of(&text, "groups")? else {
            return Err(wrong("groups", "records of groups"));
        };
        by_id.insert(group.id, group);
    }
    let writes = records
        .iter()
        .map(|text| {
            let record = record_of(text, "records")?;
            let group = record.names_group().and_then(|id| by_id.get(&id)).cloned();
            Ok(Write::PutBack(Box::new(PutBack { record, group })))
        })
        .collect();
    write_all(&desk, writes).await
}

/// A record of a backup in hexadecimal.
fn record_of(text: &Value, field: &'static str) -> Result<Record, ApiError> {
    let bytes = text.as_str().and_then(bytes_of);
    let bytes = bytes.ok_or_else(|| wrong(field, "texts in hexadecimal"))?;
    Record::decode(&bytes).map_err(|why| ApiError::bad("bad_field", field, why.to_string()))
}

/// `POST /v1/bindings:unbind {"ids": […]}`, up to 1,000 → as [`import`].
pub(super) async fn unbind(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    let writes = list_of(&body, "ids")?
        .iter()
        .map(|id| {
            let text = id.as_str().ok_or_else(|| wrong("ids", "texts"))?;
            Ok(Write::Unbind(Unbind::Id(id_of(text)?)))
        })
        .collect();
    write_all(&desk, writes).await
}

/// The bytes that pairs of hexadecimal digits stand for.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

async fn write_all(desk: &Desk, writes: Vec<Result<Write, ApiError>>) -> Result<Json<Value>, ApiError> {
    let plan = desk.config.load().numbers;
    let (mut jobs, mut answers) = (Vec::new(), Vec::new());
    for write in writes {
        answers.push(write.map(|write| {
            let (sender, receiver) = oneshot::channel();
            // Nobody listens if the client hung up: what was written stays written.
            let reply: Reply = Box::new(move |outcome| drop(sender.send(outcome)));
            jobs.push((write, reply));
            receiver
        }));
    }
    desk.store
        .submit_all(jobs)
        .map_err(|full| ApiError::busy(full.to_string()))?;
    let (mut made, mut there, mut refused) = (0_u64, 0_u64, Vec::new());
    for (index, answer) in answers.into_iter().enumerate() {
        let fault = match answer {
            Err(fault) => fault,
            Ok(receiver) => match receiver.await {
                Ok(Ok(Written::Existing(_) | Written::DryRun(_))) => {
                    there += 1;
                    continue;
                }
                Ok(Ok(
                    Written::Binding(_)
                    | Written::Unbound(_)
                    | Written::Account(_)
                    | Written::Pool(_)
                    | Written::Number(_)
                    | Written::Group(_)
                    | Written::Callee(_),
                )) => {
                    made += 1;
                    continue;
                }
                Ok(Err(error @ WriteError::Disk(_))) => return Err(refusal::of(&error, &plan)),
                Ok(Err(error @ WriteError::Refused(_))) => refusal::of(&error, &plan),
                Err(_) => {
                    return Err(ApiError::unavailable(
                        "store_unavailable",
                        "the store has stopped",
                    ));
                }
            },
        };
        refused.push(json!({"index": index, "error": fault.body()}));
    }
    Ok(Json(json!({"made": made, "there": there, "refused": refused})))
}

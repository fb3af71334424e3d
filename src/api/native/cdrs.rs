//! `/v1/cdrs`: call records, read from their files.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Desk, blocking, id_of};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Fields, Named, wrong};
use crate::base::limits;
use crate::base::number::VirtualNumber;
use crate::records::cdr_scan::{self, Cursor, Filter, More, Order, Page};

/// `GET /v1/cdrs?since=&until=&x=&order=oldest|newest&cursor=&limit=` → `{"cdrs", "cursor", "next"}`.
///
/// `since` and `until` are about the time a call ended. `cursor` is `null` when everything has been read;
/// `next` is where a later request finds what came in the meantime (oldest first only).
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let numbers = desk.config.load().numbers;
    let x = asked.number("x", &numbers)?;
    let filter = Filter {
        since: asked.time("since")?,
        until: asked.time("until")?,
        x: x.map(|x| numbers.virtual_text(VirtualNumber::new(x)).to_string()),
        ..Filter::default()
    };
    let order = asked
        .word(
            "order",
            &[("oldest", Order::OldestFirst), ("newest", Order::NewestFirst)],
        )?
        .unwrap_or(Order::OldestFirst);
    let cursor = cursor(&mut asked)?;
    let limit = limit(&mut asked)?;
    asked.done()?;
    let dir = desk.cdr_dir.clone();
    let page = scan(desk, filter, order, cursor, limit).await?;
    let next = page.next.map(|c| c.to_string());
    let cursor = match page.more {
        More::Perhaps => next.clone(),
        More::No => None,
    };
    let warning = unreadable(&dir, &page);
    Ok(Json(
        json!({"cdrs": page.cdrs, "cursor": cursor, "next": next, "warning": warning}),
    ))
}

/// What there is to say of lines that are no records.
fn unreadable(dir: &std::path::Path, page: &Page) -> Option<String> {
    let (name, at) = page.unreadable_at.as_ref()?;
    let sentence = format!(
        "{}: {} line(s) can't be read, one at byte {at}: check the disk; all the others are given",
        dir.join(name).display(),
        page.unreadable
    );
    tracing::warn!("{sentence}");
    Some(sentence)
}

/// `GET /v1/cdrs/{call_id}`: one record.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Named(id): Named) -> Result<Json<Value>, ApiError> {
    let call_id = id_of(&id)?;
    let filter = Filter {
        call_id: Some(call_id),
        ..Filter::default()
    };
    let mut cursor = None;
    loop {
        // Newest first: who asks for one record mostly asks for one of today.
        let page = scan(desk.clone(), filter.clone(), Order::NewestFirst, cursor, 1).await?;
        if let Some(cdr) = page.cdrs.into_iter().next() {
            return Ok(Json(json!(cdr)));
        }
        match (page.more, page.next) {
            (More::Perhaps, Some(next)) => cursor = Some(next),
            (More::Perhaps, None) | (More::No, _) => {
                return Err(ApiError::not_found(format!(
                    "there is no record of a call {call_id}"
                )));
            }
        }
    }
}

async fn scan(
    desk: Arc<Desk>,
    filter: Filter,
    order: Order,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<Page, ApiError> {
    blocking(move || cdr_scan::scan(&desk.cdr_dir, &filter, order, cursor, limit))
        .await?
        .map_err(|e| ApiError::unavailable("records_unreadable", format!("the records can't be read: {e}")))
}

fn cursor(asked: &mut Fields) -> Result<Option<Cursor>, ApiError> {
    let text = asked.text("cursor")?;
    text.map(|t| {
        t.parse()
            .map_err(|e| ApiError::bad("bad_cursor", "cursor", format!("{e}")))
    })
    .transpose()
}

/// The page's size: `limit`, or the default.
pub(super) fn limit(asked: &mut Fields) -> Result<usize, ApiError> {
    match asked.integer("limit")? {
        None => Ok(limits::PAGE),
        Some(n) => usize::try_from(n)
            .ok()
            .filter(|n| (1..=limits::PAGE_MAX).contains(n))
            .ok_or_else(|| wrong("limit", &format!("1 to {}", limits::PAGE_MAX))),
    }
}

//! `/v1/bans`: who is kept out.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Desk;
use crate::api::error::ApiError;
use crate::api::fields::{Body, Fields, Named};
use crate::base::time::Now;
use crate::call::bans::{Ban, By};

/// `GET /v1/bans` → `{"bans", "dropped"}`: who is banned at this moment, and how many messages and connections were kept out
/// since the start.
pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let now = (desk.clock)();
    let bans: Vec<Value> = desk.bans.list(now.at).iter().map(|ban| view(ban, now)).collect();
    let (_, dropped) = desk.bans.counts();
    Json(json!({"bans": bans, "dropped": dropped}))
}

/// `POST /v1/bans {address, for_s}` → the ban: nothing of that address (of IPv6: of its /64) is read for so long, or until
/// that is taken back or the server ends.
pub(super) async fn add(State(desk): State<Arc<Desk>>, Body(body): Body) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let source = address(&fields.needed_text("address")?)?;
    let lasts = fields.seconds("for_s")?;
    fields.done()?;
    let now = (desk.clock)();
    let ban = desk.bans.add(now.at, source, lasts, &desk.config.load());
    let ban = ban.map_err(|refused| ApiError::busy(refused.to_string()))?;
    tracing::warn!("nothing of {} is read, by request", ban.source);
    Ok(Json(view(&ban, now)))
}

/// `DELETE /v1/bans/{address}` → `{"address"}`: it is read again, and what it did is forgotten.
pub(super) async fn remove(
    State(desk): State<Arc<Desk>>,
    Named(text): Named,
) -> Result<Json<Value>, ApiError> {
    let source = address(&text)?;
    if !desk.bans.remove((desk.clock)().at, source) {
        return Err(ApiError::not_found("this address is not banned"));
    }
    tracing::info!("{source} is read again, by request");
    Ok(Json(json!({"address": source.to_string()})))
}

fn address(text: &str) -> Result<IpAddr, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad(
            "bad_address",
            "address",
            "write an address: 192.0.2.1 or 2001:db8::1",
        )
    })
}

fn view(ban: &Ban, now: Now) -> Value {
    let until = ban.until.map(|until| now.wall.plus(until - now.at).text());
    json!({
        "address": ban.source.to_string(),
        "network": if ban.source.is_ipv4() { 32 } else { 64 },
        "until": until,
        "by": match ban.by {
            By::Itself => "itself",
            By::Hand => "hand",
        },
        "times": ban.times,
    })
}

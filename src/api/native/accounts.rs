//! `/v1/accounts`

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::cdrs::limit;
use super::{Desk, crossed, view};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Body, Fields, Named, Patch, wrong};
use crate::base::language::{Language, NoLanguage};
use crate::base::limits::RECORDINGS_KEEP_DAYS_MAX;
use crate::masking::cues::Hearers;
use crate::masking::inventory::{Account, Standing};
use crate::masking::recording::{KeepingChange, Since, WishChange};
use crate::masking::request::{Write, Written};

/// `POST /v1/accounts {name}` → 201
pub(super) async fn add(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let name = fields.needed_text("name")?.into();
    fields.done()?;
    let account = desk.write_account(Write::AddAccount { name }).await?;
    Ok((StatusCode::CREATED, Json(view::account(&account))))
}

/// `GET /v1/accounts?cursor=&limit=` → `{"accounts", "cursor"}`
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let cursor = asked.text("cursor")?;
    let limit = limit(&mut asked)?;
    asked.done()?;
    let page = desk.store.table().accounts(cursor.as_deref(), limit);
    let accounts: Vec<Value> = page.items.iter().map(|a| view::account(a)).collect();
    Ok(Json(json!({"accounts": accounts, "cursor": page.next})))
}

/// `GET /v1/accounts/{name}`
pub(super) async fn show(State(desk): State<Arc<Desk>>, Named(name): Named) -> Result<Json<Value>, ApiError> {
    let account = desk.account_named(&name)?;
    Ok(Json(view::account(&account)))
}

/// What prompts are spoken in.
pub(super) fn language(fields: &mut Fields) -> Result<Option<Language>, ApiError> {
    let text = fields.text("language")?;
    text.map(|text| {
        text.parse()
            .map_err(|no: NoLanguage| ApiError::bad("bad_field", "language", no.to_string()))
    })
    .transpose()
}

/// Whether all calls are recorded, from when on, and who is told.
pub(super) fn recording(fields: &mut Fields) -> Result<WishChange, ApiError> {
    Ok(WishChange {
        record: fields.truth("record")?,
        since: fields
            .patch("record_from", |f| f.word("record_from", &Since::NAMES))?
            .into_change(),
        tone: fields
            .patch("record_tone", |f| f.word("record_tone", &Hearers::NAMES))?
            .into_change(),
    })
}

/// How long recordings are kept.
fn kept(fields: &mut Fields) -> Result<KeepingChange, ApiError> {
    let mut days = |name: &str, range: RangeInclusive<u32>| {
        let patch = fields.patch(name, |f| {
            let days = f.integer(name)?.map(u32::try_from);
            match days {
                None => Ok(None),
                Some(Ok(days)) if range.contains(&days) => Ok(Some(days)),
                Some(_) => Err(wrong(name, &format!("{} to {}", range.start(), range.end()))),
            }
        });
        patch.map(Patch::into_change)
    };
    Ok(KeepingChange {
        keep_days: days("recordings_keep_days", 1..=RECORDINGS_KEEP_DAYS_MAX)?,
        at_least_days: days("recordings_at_least_days", 0..=RECORDINGS_KEEP_DAYS_MAX)?,
    })
}

impl Desk {
    pub(super) fn account_named(&self, name: &str) -> Result<Arc<Account>, ApiError> {
        self.store.table().account(name).ok_or_else(|| ApiError {
            code: "unknown_account",
            field: Some("account".into()),
            ..ApiError::not_found(format!(
                "there is no account {}",
                crate::base::redact::scrub(name)
            ))
        })
    }
}

/// `PATCH /v1/accounts/{name} {x_per_a, expiry_max_s, language, record, record_from, record_tone, recordings_keep_days,
/// recordings_at_least_days}`: what is not named stays, `null` takes away.
pub(super) async fn set(
    State(desk): State<Arc<Desk>>,
    Named(name): Named,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let x_per_a = fields.integer("x_per_a")?;
    let write = Write::SetAccount {
        name: name.into(),
        standing: None,
        x_per_a: x_per_a
            .map(|n| usize::try_from(n).map_err(|_| wrong("x_per_a", "1 to 1000")))
            .transpose()?,
        expiry_max: fields
            .patch("expiry_max_s", |f| f.seconds("expiry_max_s"))?
            .into_change(),
        language: fields.patch("language", language)?.into_change(),
        recording: recording(&mut fields)?,
        kept: kept(&mut fields)?,
    };
    fields.done()?;
    Ok(Json(view::account(&*desk.write_account(write).await?)))
}

/// `POST /v1/accounts/{name}/{suspend|resume}`
pub(super) async fn act(
    State(desk): State<Arc<Desk>>,
    Path((name, what)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let standing = match what.as_str() {
        "suspend" => Standing::Suspended,
        "resume" => Standing::Active,
        _ => return Err(ApiError::not_found("there is nothing at this path")),
    };
    Fields::of_json(&body)?.done()?;
    let write = Write::set_standing(&name, standing);
    Ok(Json(view::account(&*desk.write_account(write).await?)))
}

impl Desk {
    async fn write_account(&self, write: Write) -> Result<Arc<Account>, ApiError> {
        match self.write(write).await? {
            Written::Account(account) => Ok(account),
            Written::Pool(_)
            | Written::Number(_)
            | Written::Binding(_)
            | Written::Existing(_)
            | Written::Unbound(_)
            | Written::DryRun(_)
            | Written::Group(_)
            | Written::Callee(_) => Err(crossed()),
        }
    }
}

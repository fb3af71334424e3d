//! `/v1/pools`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::accounts::{language, recording};
use super::bindings::MODES;
use super::cdrs::limit;
use super::{Desk, crossed, question, view};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Body, Fields, Named, wrong};
use crate::base::url::HttpUrl;
use crate::masking::ask::{NumbersTold, Secret};
use crate::masking::binding::Mode;
use crate::masking::collect::Collecting;
use crate::masking::inventory::{Callback, CityRule, Fax, OwnerDials, Pool, Reuse, Unidentified};
use crate::masking::quarantine::Quarantine;
use crate::masking::request::{AskChange, PoolChange, Write, Written};

const CITY_RULES: [(&str, CityRule); 2] = [("loose", CityRule::Loose), ("strict", CityRule::Strict)];
const REUSES: [(&str, Reuse); 3] = [
    ("any", Reuse::Any),
    ("sticky", Reuse::Sticky),
    ("avoid", Reuse::Avoid),
];
const FAX_WARNING: &str = "faxes are passed on in this pool: their frames carry what the sending machine calls itself \
    (TSI, CSI), mostly its real number, and nothing masks that";
const ASK_WARNING: &str =
    "callers of this pool's numbers reach nobody until it has an ask_url and an ask_secret";
const FAXES: [(&str, Fax); 2] = [("refuse", Fax::Refuse), ("pass", Fax::Pass)];
const CALLBACKS: [(&str, Callback); 5] = [
    ("temporary", Callback::Temporary),
    ("last", Callback::Last),
    ("preset", Callback::Preset),
    ("tone", Callback::Tone),
    ("refused", Callback::Refused),
];
const COLLECTS: [(&str, Collecting); 2] = [("answer", Collecting::Answer), ("early", Collecting::Early)];
const OWNER_DIALS: [(&str, OwnerDials); 2] = [("callback", OwnerDials::Callback), ("ask", OwnerDials::Ask)];

/// `POST /v1/pools {name, mode, account, …}` → 201; the rest is as in [`set`].
pub(super) async fn add(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let write = Write::AddPool {
        name: fields.needed_text("name")?.into(),
        mode: fields.word("mode", &MODES)?.unwrap_or(Mode::Axb),
        account: fields.text("account")?.map(Into::into),
        settings: Box::new(settings(&mut fields)?),
    };
    fields.done()?;
    let pool = desk.write_pool(write).await?;
    Ok((StatusCode::CREATED, Json(warned(&pool))))
}

/// `GET /v1/pools?cursor=&limit=` → `{"pools", "cursor"}`
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let cursor = asked.text("cursor")?;
    let limit = limit(&mut asked)?;
    asked.done()?;
    let page = desk.store.table().pools(cursor.as_deref(), limit);
    let pools: Vec<Value> = page.items.iter().map(|p| view::pool(p)).collect();
    Ok(Json(json!({"pools": pools, "cursor": page.next})))
}

/// `GET /v1/pools/{name or key}`
pub(super) async fn show(State(desk): State<Arc<Desk>>, Named(name): Named) -> Result<Json<Value>, ApiError> {
    Ok(Json(view::pool(&*desk.pool_named(&name)?)))
}

/// `GET /v1/pools/{name or key}/usage`: how its numbers and each city's are used.
pub(super) async fn usage(
    State(desk): State<Arc<Desk>>,
    Named(name): Named,
) -> Result<Json<Value>, ApiError> {
    let pool = desk.pool_named(&name)?;
    let table = desk.store.table();
    let (all, cities) = table.usage(&pool.key);
    let mut usage = view::usage(&all);
    let cities: Map<String, Value> = cities
        .iter()
        .map(|(city, usage)| (city.to_string(), view::usage(usage)))
        .collect();
    usage["pool"] = json!(pool.name);
    usage["pool_key"] = json!(pool.key);
    usage["quarantined"] = json!(table.quarantined(&pool, desk.now()));
    usage["low"] = json!(table.level(&pool.key).is_low());
    usage["cities"] = Value::Object(cities);
    Ok(Json(usage))
}

/// `PATCH /v1/pools/{name or key} {name, axb_pairs_per_x, relations_per_y, city_rule, fallback_cities, reuse, callback,
/// accept_unidentified, quarantine, free_low_percent, ring_timeout_s, calls_per_x, calls_per_caller,
/// t38, extension_width, extensions_per_x, collect, owner_dials, last_kept_s, language, record, record_from, record_tone, question, question_to, question_keys,
/// question_loops}`: what is not named stays.
pub(super) async fn set(
    State(desk): State<Arc<Desk>>,
    Named(pool): Named,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let write = Write::SetPool {
        pool: pool.into(),
        name: fields.text("name")?.map(Into::into),
        settings: Box::new(settings(&mut fields)?),
    };
    fields.done()?;
    let pool = desk.write_pool(write).await?;
    Ok(Json(warned(&pool)))
}

/// A pool that was written, and what its owner has to know of it.
fn warned(pool: &Pool) -> Value {
    let mut view = view::pool(pool);
    match pool.fax {
        Fax::Refuse => {}
        Fax::Pass => view["warning"] = json!(FAX_WARNING),
    }
    let has_secret = pool.ask.as_ref().is_some_and(|server| server.secret.is_some());
    if pool.mode == Mode::X && !has_secret {
        view["warning"] = json!(ASK_WARNING);
    }
    view
}

fn settings(fields: &mut Fields) -> Result<PoolChange, ApiError> {
    let low = fields.integer("free_low_percent")?;
    let width = fields.integer("extension_width")?;
    Ok(PoolChange {
        axb_pairs_per_x: count(fields, "axb_pairs_per_x")?,
        relations_per_y: count(fields, "relations_per_y")?,
        city_rule: fields.word("city_rule", &CITY_RULES)?,
        fallback_cities: fields.texts("fallback_cities")?,
        reuse: fields.word("reuse", &REUSES)?,
        callback: fields.word("callback", &CALLBACKS)?,
        unidentified: fields.truth("accept_unidentified")?.map(|accepted| {
            if accepted {
                Unidentified::Accepted
            } else {
                Unidentified::Refused
            }
        }),
        quarantine: fields.patch("quarantine", quarantine)?.into_change(),
        free_low_percent: low
            .map(|n| u8::try_from(n).map_err(|_| wrong("free_low_percent", "0 to 100")))
            .transpose()?,
        ring_timeout: fields
            .patch("ring_timeout_s", |f| f.seconds("ring_timeout_s"))?
            .into_change(),
        calls_per_x: fields
            .patch("calls_per_x", |f| calls(f, "calls_per_x"))?
            .into_change(),
        calls_per_caller: fields
            .patch("calls_per_caller", |f| calls(f, "calls_per_caller"))?
            .into_change(),
        fax: fields.word("t38", &FAXES)?,
        extension_width: width
            .map(|n| u8::try_from(n).map_err(|_| wrong("extension_width", "1 to 4")))
            .transpose()?,
        extensions_per_x: whole(fields, "extensions_per_x", "1 to 9999")?,
        collect: fields.word("collect", &COLLECTS)?,
        owner_dials: fields.word("owner_dials", &OWNER_DIALS)?,
        last_kept: fields.seconds("last_kept_s")?,
        language: fields.patch("language", language)?.into_change(),
        recording: recording(fields)?,
        question: question::change(fields)?,
        ask: ask(fields)?,
    })
}

/// `ask_url`, `ask_secret`, `ask_numbers`: the customer's server of a pool of mode x.
fn ask(fields: &mut Fields) -> Result<AskChange, ApiError> {
    let url = |fields: &mut Fields| {
        let text = fields.text("ask_url")?;
        text.map(|text| HttpUrl::parse(&text).map_err(|why| wrong_field("ask_url", &why)))
            .transpose()
    };
    Ok(AskChange {
        url: fields.patch("ask_url", url)?.into_change(),
        secret: fields.text("ask_secret")?.map(Secret::new),
        numbers: fields.word("ask_numbers", &NumbersTold::NAMES)?,
    })
}

/// As the conf writes it: `24h soft`, `7d hard`.
fn quarantine(fields: &mut Fields) -> Result<Option<Quarantine>, ApiError> {
    let text = fields.text("quarantine")?;
    text.map(|text| text.parse().map_err(|e| wrong_field("quarantine", &e)))
        .transpose()
}

fn wrong_field(name: &str, why: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad("bad_field", name, format!("{name}: {why}"))
}

fn count(fields: &mut Fields, name: &str) -> Result<Option<usize>, ApiError> {
    whole(fields, name, "1 to 5000")
}

fn calls(fields: &mut Fields, name: &str) -> Result<Option<usize>, ApiError> {
    whole(fields, name, "1 to 100000, or null for any")
}

fn whole(fields: &mut Fields, name: &str, range: &'static str) -> Result<Option<usize>, ApiError> {
    let count = fields.integer(name)?;
    count
        .map(|n| usize::try_from(n).map_err(|_| wrong(name, range)))
        .transpose()
}

impl Desk {
    pub(super) fn pool_named(&self, name: &str) -> Result<Arc<Pool>, ApiError> {
        self.store.table().pool(name).ok_or_else(|| ApiError {
            code: "unknown_pool",
            field: Some("pool".into()),
            ..ApiError::not_found(format!("there is no pool {}", crate::base::redact::scrub(name)))
        })
    }

    async fn write_pool(&self, write: Write) -> Result<Arc<Pool>, ApiError> {
        match self.write(write).await? {
            Written::Pool(pool) => Ok(pool),
            Written::Account(_)
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

//! `/v1/pools` and `/v1/numbers`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::bindings::MODES;
use super::cdrs::limit;
use super::{Desk, bad_cursor, crossed, view};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Body, Fields, Named, wrong};
use crate::base::number::{Tel, VirtualNumber};
use crate::masking::binding::Mode;
use crate::masking::inventory::{Freeze, Number, NumberState, Pool};
use crate::masking::listing::NumberFilter;
use crate::masking::request::{Write, Written};

/// `POST /v1/pools {name, mode, account}` → 201
pub(super) async fn add_pool(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let write = Write::AddPool {
        name: fields.needed_text("name")?.into(),
        mode: fields.word("mode", &MODES)?.unwrap_or(Mode::Axb),
        account: fields.text("account")?.map(Into::into),
    };
    fields.done()?;
    let pool = desk.write_pool(write).await?;
    Ok((StatusCode::CREATED, Json(desk.pool_view(&pool))))
}

/// `GET /v1/pools?cursor=&limit=` → `{"pools", "cursor"}`
pub(super) async fn list_pools(
    State(desk): State<Arc<Desk>>,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let cursor = asked.text("cursor")?;
    let limit = limit(&mut asked)?;
    asked.done()?;
    let page = desk.store.table().pools(cursor.as_deref(), limit);
    let pools: Vec<Value> = page.items.iter().map(|p| desk.pool_view(p)).collect();
    Ok(Json(json!({"pools": pools, "cursor": page.next})))
}

/// `GET /v1/pools/{name or key}`
pub(super) async fn show_pool(
    State(desk): State<Arc<Desk>>,
    Named(name): Named,
) -> Result<Json<Value>, ApiError> {
    let pool = desk.pool_named(&name)?;
    Ok(Json(desk.pool_view(&pool)))
}

/// `PATCH /v1/pools/{name or key} {name, axb_pairs_per_x}`
pub(super) async fn set_pool(
    State(desk): State<Arc<Desk>>,
    Named(pool): Named,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let pairs = fields.integer("axb_pairs_per_x")?;
    let write = Write::SetPool {
        pool: pool.into(),
        name: fields.text("name")?.map(Into::into),
        axb_pairs_per_x: pairs
            .map(|n| usize::try_from(n).map_err(|_| wrong("axb_pairs_per_x", "a number of pairs")))
            .transpose()?,
    };
    fields.done()?;
    let pool = desk.write_pool(write).await?;
    Ok(Json(desk.pool_view(&pool)))
}

/// `POST /v1/numbers {x, pool, trunks}` → 201
pub(super) async fn add_number(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let config = desk.config.load_full();
    let write = Write::AddNumber {
        x: VirtualNumber::new(fields.needed_number("x", &config.numbers)?),
        pool: fields.text("pool")?.map(Into::into),
        trunks: trunks(&mut fields)?,
    };
    fields.done()?;
    if let Write::AddNumber { trunks, .. } = &write
        && let Some(unknown) = trunks
            .iter()
            .find(|t| !config.trunks.iter().any(|known| known.name == **t))
    {
        let unknown = crate::base::redact::scrub(unknown);
        return Err(ApiError::bad(
            "unknown_trunk",
            "trunks",
            format!("the conf has no trunk {unknown}"),
        ));
    }
    let number = desk.write_number(write).await?;
    Ok((StatusCode::CREATED, Json(desk.number_view(&number))))
}

fn trunks(fields: &mut Fields) -> Result<Vec<Box<str>>, ApiError> {
    let list = match fields.value("trunks") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong("trunks", "a list of names")),
    };
    list.iter()
        .map(|name| {
            name.as_str()
                .map(Into::into)
                .ok_or_else(|| wrong("trunks", "a list of names"))
        })
        .collect()
}

/// `GET /v1/numbers?pool=&state=&cursor=&limit=` → `{"numbers", "cursor"}`; released ones only with
/// `state=released`.
pub(super) async fn list_numbers(
    State(desk): State<Arc<Desk>>,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let plan = desk.config.load().numbers;
    let pool = asked
        .text("pool")?
        .map(|name| desk.pool_named(&name))
        .transpose()?;
    let states = [
        ("active", NumberState::Active),
        ("locked", NumberState::Locked),
        ("released", NumberState::Released),
    ];
    let filter = NumberFilter {
        pool: pool.map(|pool| pool.key.clone()),
        state: asked.word("state", &states)?,
    };
    let cursor = asked.number("cursor", &plan).map_err(|_| bad_cursor())?;
    let limit = limit(&mut asked)?;
    asked.done()?;
    let page = desk.store.table().numbers(&filter, cursor, limit);
    let numbers: Vec<Value> = page.items.iter().map(|n| desk.number_view(n)).collect();
    let next = page.next.map(|x| view::dialled(x, &plan));
    Ok(Json(json!({"numbers": numbers, "cursor": next})))
}

/// `GET /v1/numbers/{x}`
pub(super) async fn show_number(
    State(desk): State<Arc<Desk>>,
    Named(x): Named,
) -> Result<Json<Value>, ApiError> {
    let x = desk.x_of(&x)?;
    let number = desk.store.table().number(x);
    match number {
        Some(number) => Ok(Json(desk.number_view(&number))),
        None => {
            let x = view::dialled(x, &desk.config.load().numbers);
            Err(ApiError {
                code: "unknown_number",
                ..ApiError::not_found(format!("{x} is not a number of this server"))
            })
        }
    }
}

/// `POST /v1/numbers/{x}/{lock|unlock|freeze|unfreeze|release}`; `freeze` takes `{"cause"}`.
pub(super) async fn act(
    State(desk): State<Arc<Desk>>,
    Path((x, what)): Path<(String, String)>,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let x = VirtualNumber::new(desk.x_of(&x)?);
    let mut fields = Fields::of_json(&body)?;
    let state = |state| Write::SetNumberState { x, state };
    let write = match what.as_str() {
        "lock" => {
            desk.leaves(x, "frozen")?;
            state(NumberState::Locked)
        }
        "unlock" => {
            desk.leaves(x, "frozen")?;
            state(NumberState::Active)
        }
        "freeze" => state(NumberState::Frozen(
            fields.word("cause", &view::FREEZES)?.unwrap_or(Freeze::Operator),
        )),
        "unfreeze" => {
            desk.leaves(x, "locked")?;
            state(NumberState::Active)
        }
        "release" => Write::ReleaseNumber { x },
        _ => return Err(ApiError::not_found("there is nothing at this path")),
    };
    fields.done()?;
    let number = desk.write_number(write).await?;
    Ok(Json(desk.number_view(&number)))
}

impl Desk {
    /// Refuses if the number is in the state of that name: unlocking must not thaw a number that was frozen
    /// for a complaint.
    fn leaves(&self, x: VirtualNumber, state: &str) -> Result<(), ApiError> {
        let there = self
            .store
            .table()
            .number(x.tel())
            .map(|number| number.state.name());
        if there != Some(state) {
            return Ok(());
        }
        let x = view::dialled(x.tel(), &self.config.load().numbers);
        let undo = if state == "frozen" { "unfreeze" } else { "unlock" };
        let sentence = format!("{x} is {state}: {undo} it");
        Err(ApiError {
            field: Some("x".into()),
            ..ApiError::new(StatusCode::CONFLICT, "number_state", sentence)
        })
    }

    fn x_of(&self, text: &str) -> Result<Tel, ApiError> {
        self.config
            .load()
            .numbers
            .normalise(text)
            .map_err(|e| ApiError::bad("bad_number", "x", format!("x: {e}")))
    }

    fn pool_named(&self, name: &str) -> Result<Arc<Pool>, ApiError> {
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
            | Written::Callee(_) => Err(crossed()),
        }
    }

    async fn write_number(&self, write: Write) -> Result<Arc<Number>, ApiError> {
        match self.write(write).await? {
            Written::Number(number) => Ok(number),
            Written::Account(_)
            | Written::Pool(_)
            | Written::Binding(_)
            | Written::Existing(_)
            | Written::Unbound(_)
            | Written::DryRun(_)
            | Written::Callee(_) => Err(crossed()),
        }
    }

    fn pool_view(&self, pool: &Pool) -> Value {
        view::pool(pool)
    }

    fn number_view(&self, number: &Number) -> Value {
        let table = self.store.table();
        let pool = table.pool(&number.pool);
        let bindings = table.bindings_on(number.x, self.now());
        view::number(number, pool.as_deref(), bindings, &self.config.load().numbers)
    }
}

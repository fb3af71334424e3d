//! `/v1/numbers`

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::cdrs::limit;
use super::{Desk, bad_cursor, crossed, view};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Body, Fields, Named, missing};
use crate::base::limits::NUMBER_BATCH_MAX;
use crate::base::number::{Tel, VirtualNumber};
use crate::call::config::Config;
use crate::call::port::Command;
use crate::masking::inventory::{Freeze, Number, NumberState};
use crate::masking::listing::{NumberFilter, NumberWish};
use crate::masking::request::{NumberChange, Service, Write, Written};

/// `POST /v1/numbers {x, pool, inventory, trunks, city, operator, tags}` → 201. With `inventory` it goes into
/// service later, when it is moved into a pool.
pub(super) async fn add(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let config = desk.config.load_full();
    let x = VirtualNumber::new(fields.needed_number("x", &config.numbers)?);
    let new = New::of(&mut fields, &config)?;
    fields.done()?;
    let number = desk.write_number(new.write(x)).await?;
    Ok((StatusCode::CREATED, Json(desk.number_view(&number))))
}

/// `POST /v1/numbers:batch {"xs": […], …}` → 200 and `{"results": […]}` in the same order: each the number, or
/// `{"x"?, "error"}`. The other fields are as for one number, and hold for all.
pub(super) async fn add_all(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let config = desk.config.load_full();
    let xs = fields.texts("xs")?.ok_or_else(|| missing("xs"))?;
    if xs.len() > NUMBER_BATCH_MAX {
        let sentence = format!("a batch holds at most {NUMBER_BATCH_MAX} numbers");
        return Err(ApiError::bad("batch_too_large", "xs", sentence));
    }
    let new = New::of(&mut fields, &config)?;
    fields.done()?;
    // All of them wait for the writer together, so that it can make them durable together.
    let waiting: Vec<_> = xs
        .iter()
        .map(|text| {
            let x = config.numbers.normalise(text);
            let x = x.map_err(|e| ApiError::bad("bad_number", "xs", e.to_string()));
            x.map(|x| (x, desk.submit(new.write(VirtualNumber::new(x)))))
        })
        .collect();
    let mut results = Vec::with_capacity(waiting.len());
    for queued in waiting {
        results.push(match queued {
            Ok((x, written)) => match written.await.and_then(number_of) {
                Ok(number) => desk.number_view(&number),
                Err(e) => json!({"x": view::dialled(x, &config.numbers), "error": e.body()}),
            },
            Err(e) => json!({"error": e.body()}),
        });
    }
    Ok(Json(json!({"results": results})))
}

/// What is said of new numbers.
struct New {
    pool: Option<Box<str>>,
    about: NumberChange,
    service: Service,
}

impl New {
    fn of(fields: &mut Fields, config: &Config) -> Result<Self, ApiError> {
        Ok(Self {
            pool: fields.text("pool")?.map(Into::into),
            about: about(fields, config)?,
            service: match fields.truth("inventory")? {
                Some(true) => Service::Later,
                Some(false) | None => Service::Now,
            },
        })
    }

    fn write(&self, x: VirtualNumber) -> Write {
        Write::AddNumber {
            x,
            pool: self.pool.clone(),
            about: Box::new(self.about.clone()),
            service: self.service,
        }
    }
}

fn about(fields: &mut Fields, config: &Config) -> Result<NumberChange, ApiError> {
    let text = |fields: &mut Fields, name: &str| {
        let patch = fields.patch(name, |f| f.text(name))?;
        Ok::<_, ApiError>(patch.into_change().map(|set| set.map(Into::into)))
    };
    let about = NumberChange {
        trunks: fields.texts("trunks")?,
        city: text(fields, "city")?,
        operator: text(fields, "operator")?,
        tags: fields.texts("tags")?,
    };
    let mut trunks = about.trunks.iter().flatten();
    if let Some(unknown) = trunks.find(|t| !config.trunks.iter().any(|known| known.name == **t)) {
        let unknown = crate::base::redact::scrub(unknown);
        return Err(ApiError::bad(
            "unknown_trunk",
            "trunks",
            format!("the conf has no trunk {unknown}"),
        ));
    }
    Ok(about)
}

const STATES: [(&str, NumberWish); 8] = [
    ("inventory", NumberWish::Inventory),
    ("active", NumberWish::Active),
    ("idle", NumberWish::Idle),
    ("bound", NumberWish::Bound),
    ("locked", NumberWish::Locked),
    ("frozen", NumberWish::Frozen),
    ("released", NumberWish::Released),
    ("ours", NumberWish::Ours),
];

/// `GET /v1/numbers?pool=&city=&trunk=&state=&cursor=&limit=` → `{"numbers", "cursor"}`; released ones only
/// with `state=released`; `active` is idle or bound. A page may be short, or empty, and still name a next one.
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let plan = desk.config.load().numbers;
    let pool = asked
        .text("pool")?
        .map(|name| desk.pool_named(&name))
        .transpose()?;
    let filter = NumberFilter {
        pool: pool.map(|pool| pool.key.clone()),
        city: asked.text("city")?.map(Into::into),
        trunk: asked.text("trunk")?.map(Into::into),
        state: asked.word("state", &STATES)?.unwrap_or_default(),
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
pub(super) async fn show(State(desk): State<Arc<Desk>>, Named(x): Named) -> Result<Json<Value>, ApiError> {
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

/// `PATCH /v1/numbers/{x} {trunks, city, operator, tags, pool}`: what is not named stays, `null` takes away.
/// To name another pool is to move it there, as [`act`] does; both together are done or refused one by one.
pub(super) async fn set(
    State(desk): State<Arc<Desk>>,
    Named(x): Named,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let x = VirtualNumber::new(desk.x_of(&x)?);
    let mut fields = Fields::of_json(&body)?;
    let about = about(&mut fields, &desk.config.load())?;
    let pool = fields.text("pool")?;
    fields.done()?;
    if let Some(pool) = pool {
        let pool = pool.into();
        desk.write_number(Write::MoveNumber { x, pool }).await?;
    }
    let about = Box::new(about);
    let number = desk.write_number(Write::SetNumber { x, about }).await?;
    Ok(Json(desk.number_view(&number)))
}

/// `POST /v1/numbers/{x}/{lock|unlock|freeze|unfreeze|release|move}`; `freeze` takes `{"cause"}`, `move` takes
/// `{"pool"}`. A freeze for complaint or by the regulator ends the number's calls.
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
            fields.word("cause", &Freeze::NAMES)?.unwrap_or(Freeze::Operator),
        )),
        "unfreeze" => {
            desk.leaves(x, "locked")?;
            Write::ThawNumber { x }
        }
        "release" => Write::ReleaseNumber { x },
        "move" => Write::MoveNumber {
            x,
            pool: fields.needed_text("pool")?.into(),
        },
        _ => return Err(ApiError::not_found("there is nothing at this path")),
    };
    fields.done()?;
    let number = desk.write_number(write).await?;
    // Whoever was judged before the freeze was in force has a call by now; whoever comes after it gets none.
    match number.state {
        NumberState::Frozen(cause) if cause.cuts_calls() => desk.board.tell(Command::CutNumber(x)),
        NumberState::Frozen(_)
        | NumberState::Inventory
        | NumberState::Active
        | NumberState::Locked
        | NumberState::Released => {}
    }
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

    async fn write_number(&self, write: Write) -> Result<Arc<Number>, ApiError> {
        self.write(write).await.and_then(number_of)
    }

    fn number_view(&self, number: &Number) -> Value {
        let table = self.store.table();
        let pool = table.pool(&number.pool);
        let bindings = table.bindings_on(number.x, self.now());
        view::number(number, pool.as_deref(), bindings, &self.config.load().numbers)
    }
}

fn number_of(written: Written) -> Result<Arc<Number>, ApiError> {
    match written {
        Written::Number(number) => Ok(number),
        Written::Account(_)
        | Written::Pool(_)
        | Written::Binding(_)
        | Written::Existing(_)
        | Written::Unbound(_)
        | Written::DryRun(_)
        | Written::Group(_)
        | Written::Callee(_) => Err(crossed()),
    }
}

//! `/v1/bindings`

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::cdrs::limit;
use super::groups::group_field;
use super::{Desk, cues, id_of, menu, view};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Body, Fields, Named, Patch, missing, wrong};
use crate::api::idempotency::Seen;
use crate::base::id::Id;
use crate::base::limits;
use crate::base::number::{NumberPlan, RealNumber, VirtualNumber};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Direction, Mode, Rare, Terms};
use crate::masking::keyed::Extension;
use crate::masking::listing::{BindingFilter, Living};
use crate::masking::request::{
    BindRequest, DryRun, OnConflict, PoolChoice, TermsChange, Unbind, UpdateRequest, Wanted, Write, Written,
    XChoice,
};
use crate::masking::turns::{Order, Ring};

/// The modes, by name.
pub(super) const MODES: [(&str, Mode); 12] = [
    ("axb", Mode::Axb),
    ("ax", Mode::Ax),
    ("axyb", Mode::Axyb),
    ("axe", Mode::Axe),
    ("axn", Mode::Axn),
    ("95axn", Mode::Axn95),
    ("x", Mode::X),
    ("axg", Mode::Axg),
    ("gxb", Mode::Gxb),
    ("gxyb", Mode::Gxyb),
    ("xb", Mode::Xb),
    ("400", Mode::Inbound),
];
const ORDERS: [(&str, Order); 2] = [
    ("conditional", Order::Conditional),
    ("unconditional", Order::Unconditional),
];
const DIRECTIONS: [(&str, Direction); 3] = [
    ("both", Direction::Both),
    ("a-to-b", Direction::AToB),
    ("b-to-a", Direction::BToA),
];
const CONFLICTS: [(&str, OnConflict); 3] = [
    ("fail", OnConflict::Fail),
    ("return", OnConflict::Return),
    ("extend", OnConflict::Extend),
];

/// `POST /v1/bindings` → 201 and the binding; 200 if it was there already (`on_conflict`), or for a
/// `dry_run`.
pub(super) async fn bind(State(desk): State<Arc<Desk>>, headers: HeaderMap, Body(body): Body) -> Response {
    once(desk, headers, body, |desk, body| async move {
        let request = Fields::of_json(&body).and_then(|fields| bind_request(fields, &desk));
        let bound = match request {
            Ok(write) => desk.write(write).await,
            Err(fault) => Err(fault),
        };
        match bound.and_then(|written| answer(&desk, written)) {
            Ok((status, view)) => (status, view),
            Err(fault) => (fault.status, fault.body()),
        }
    })
    .await
}

/// `POST /v1/bindings:batch` with `{"bindings": […]}`, up to 1,000 → 200 and `{"results": […]}` in the same
/// order, each `{"status", "binding"}` or `{"status", "error"}`. Each stands for itself.
pub(super) async fn batch(State(desk): State<Arc<Desk>>, headers: HeaderMap, Body(body): Body) -> Response {
    once(desk, headers, body, |desk, body| async move {
        match list_of(&body, "bindings") {
            Ok(requests) => (
                StatusCode::OK,
                json!({"results": bind_all(&desk, requests).await}),
            ),
            Err(fault) => (fault.status, fault.body()),
        }
    })
    .await
}

/// The one list of a body, of [`limits::BATCH_MAX`] at most.
pub(super) fn list_of(body: &[u8], name: &str) -> Result<Vec<Value>, ApiError> {
    let [requests] = lists_of(body, [name])?;
    requests.ok_or_else(|| missing(name))
}

/// The lists of these names that a body holds.
pub(super) fn lists_of<const N: usize>(
    body: &[u8],
    names: [&str; N],
) -> Result<[Option<Vec<Value>>; N], ApiError> {
    let mut fields = Fields::of_json(body)?;
    let mut lists = [const { None }; N];
    for (list, name) in lists.iter_mut().zip(names) {
        let items = match fields.value(name) {
            Some(Value::Array(items)) => items,
            Some(_) => return Err(wrong(name, "a list")),
            None => continue,
        };
        if items.len() > limits::BATCH_MAX {
            let sentence = format!("a batch holds at most {} {name}", limits::BATCH_MAX);
            return Err(ApiError::bad("out_of_bounds", name, sentence));
        }
        *list = Some(items);
    }
    fields.done()?;
    Ok(lists)
}

async fn bind_all(desk: &Arc<Desk>, requests: Vec<Value>) -> Vec<Value> {
    // All are handed over before the first is waited for: the writer makes them durable together.
    let waiting: Vec<_> = requests
        .into_iter()
        .map(|request| {
            Fields::of_value(request)
                .and_then(|fields| bind_request(fields, desk))
                .map(|write| desk.submit(write))
        })
        .collect();
    let mut results = Vec::with_capacity(waiting.len());
    for bound in waiting {
        let outcome = match bound {
            Ok(reply) => reply.await.and_then(|written| answer(desk, written)),
            Err(fault) => Err(fault),
        };
        results.push(match outcome {
            Ok((status, view)) => json!({"status": status.as_u16(), "binding": view}),
            Err(fault) => json!({"status": fault.status.as_u16(), "error": fault.body()}),
        });
    }
    results
}

/// Does a request's work once for its `Idempotency-Key`, to its end even if the client hangs up, and
/// answers as JSON.
async fn once<F>(
    desk: Arc<Desk>,
    headers: HeaderMap,
    body: Bytes,
    work: impl FnOnce(Arc<Desk>, Bytes) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = (StatusCode, Value)> + Send + 'static,
{
    let ticket = match desk.answers.look(&headers, &body) {
        Ok(Seen::New(ticket)) => ticket,
        Ok(Seen::Before(status, bytes)) => return as_json(status, bytes),
        Err(fault) => return fault.into_response(),
    };
    let done = tokio::spawn(async move {
        let (status, answer) = work(desk, body).await;
        let bytes = Bytes::from(answer.to_string());
        ticket.keep(status, &bytes);
        (status, bytes)
    });
    match done.await {
        Ok((status, bytes)) => as_json(status, bytes),
        Err(_) => ApiError::ours("the request could not be worked on to its end").into_response(),
    }
}

fn as_json(status: StatusCode, bytes: Bytes) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, limits::RETRY_AFTER_S.into());
    }
    response
}

fn answer(desk: &Desk, written: Written) -> Result<(StatusCode, Value), ApiError> {
    match written {
        Written::Binding(binding) => Ok((StatusCode::CREATED, desk.binding_view(&binding))),
        Written::Existing(binding) => Ok((StatusCode::OK, desk.binding_view(&binding))),
        Written::DryRun(binding) => Ok((StatusCode::OK, dry(desk, &binding))),
        Written::Account(_)
        | Written::Pool(_)
        | Written::Number(_)
        | Written::Unbound(_)
        | Written::Group(_)
        | Written::Callee(_) => Err(super::crossed()),
    }
}

/// A binding that was not made: as it would be, with `"dry_run": true` and without an id.
fn dry(desk: &Desk, binding: &Binding) -> Value {
    let mut view = desk.binding_view(binding);
    view["id"] = Value::Null;
    view["dry_run"] = Value::Bool(true);
    view
}

fn bind_request(fields: Fields, desk: &Desk) -> Result<Write, ApiError> {
    request_of(fields, desk).map(Write::Bind)
}

/// The binding that the fields ask for.
pub(super) fn request_of(mut fields: Fields, desk: &Desk) -> Result<BindRequest, ApiError> {
    let plan = desk.config.load().numbers;
    let request = BindRequest {
        x: number_choice(&mut fields, "x", &plan)?,
        parties: parties(&mut fields, &plan, desk)?,
        terms: terms(&mut fields, &plan)?,
        expires: match expiry(&mut fields, desk.now())? {
            Patch::Keep | Patch::Clear => None,
            Patch::Set(at) => Some(at),
        },
        on_conflict: fields.word("on_conflict", &CONFLICTS)?.unwrap_or_default(),
        dry_run: dry_run(&mut fields)?,
    };
    fields.done()?;
    Ok(request)
}

/// Whom the binding joins: by its `mode` some of `a`, `b`, `y` and `group`.
fn parties(fields: &mut Fields, plan: &NumberPlan, desk: &Desk) -> Result<Wanted, ApiError> {
    let mode = fields.word("mode", &MODES)?.ok_or_else(|| missing("mode"))?;
    let person = |fields: &mut Fields, name: &str| fields.needed_number(name, plan).map(RealNumber::new);
    let group = |fields: &mut Fields| group_field(fields, desk)?.ok_or_else(|| missing("group"));
    Ok(match mode {
        Mode::Axb => Wanted::Axb {
            a: person(fields, "a")?,
            b: person(fields, "b")?,
        },
        Mode::Ax => Wanted::Ax {
            a: person(fields, "a")?,
        },
        Mode::Axyb => Wanted::Axyb {
            a: person(fields, "a")?,
            y: number_choice(fields, "y", plan)?,
            b: person(fields, "b")?,
        },
        Mode::Axg => Wanted::Axg {
            a: person(fields, "a")?,
            group: group(fields)?,
        },
        Mode::Gxb => Wanted::Gxb {
            group: group(fields)?,
            b: person(fields, "b")?,
        },
        Mode::Gxyb => Wanted::Gxyb {
            group: group(fields)?,
            y: number_choice(fields, "y", plan)?,
            b: person(fields, "b")?,
        },
        // With an employee it is his work number from now on; with a customer, they are paired.
        Mode::Xb if fields.has("a") => {
            // An export names the employee too: whose number X is decides.
            fields.number("b", plan)?;
            Wanted::Paired {
                a: person(fields, "a")?,
            }
        }
        Mode::Xb => Wanted::Xb {
            b: person(fields, "b")?,
        },
        Mode::Inbound => Wanted::Inbound {
            base: person(fields, "a")?,
        },
        Mode::X => {
            let why =
                "nothing is bound in mode x: its pool asks the customer's server (ask_url) about each call";
            return Err(ApiError::bad("bad_field", "mode", why.to_owned()));
        }
        Mode::Axe => Wanted::Axe {
            a: person(fields, "a")?,
            e: extension(fields)?,
        },
        Mode::Axn => Wanted::Axn {
            a: person(fields, "a")?,
        },
        Mode::Axn95 => Wanted::Axn95 {
            a: person(fields, "a")?,
        },
    })
}

/// `extension`, as text: its zeros count.
fn extension(fields: &mut Fields) -> Result<Option<Extension>, ApiError> {
    let text = fields.text("extension")?;
    text.map(|text| {
        text.parse()
            .map_err(|_| wrong("extension", "1 to 4 digits, not all of them zero"))
    })
    .transpose()
}

fn terms(fields: &mut Fields, plan: &NumberPlan) -> Result<Terms, ApiError> {
    let rare = Rare {
        max_duration: fields.seconds("max_duration_s")?,
        ring_timeout: fields.seconds("ring_timeout_s")?,
        order_id: fields.text("order_id")?.map(Into::into),
        user_data: fields.text("user_data")?.map(Into::into),
        ring: ring(fields, plan)?.map(Box::new),
        display: fields.number("display", plan)?.map(VirtualNumber::new),
        menu: menu::read(fields, plan)?.map(Arc::new),
        cues: cues::read(fields)?,
        callback: fields.number("callback", plan)?.map(RealNumber::new),
    };
    let direction = fields.word("direction", &DIRECTIONS)?.unwrap_or_default();
    Ok(Terms::new(
        direction,
        fields.truth("record")?.unwrap_or(false),
        rare,
    ))
}

/// `ring`, `ring_order`, `ring_each_s`: who else rings when an employee is called.
fn ring(fields: &mut Fields, plan: &NumberPlan) -> Result<Option<Ring>, ApiError> {
    let numbers = fields.texts("ring")?.unwrap_or_default();
    let order = fields.word("ring_order", &ORDERS)?;
    let each = fields.seconds("ring_each_s")?;
    if numbers.is_empty() {
        return match order.is_some() || each.is_some() {
            true => Err(missing("ring")),
            false => Ok(None),
        };
    }
    let list = numbers
        .iter()
        .map(|text| plan.normalise(text).map(RealNumber::new))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| wrong("ring", "a list of numbers"))?;
    Ok(Some(Ring {
        order: order.unwrap_or_default(),
        list,
        each: each.unwrap_or(limits::RING_EACH_DEFAULT),
    }))
}

/// `x` or `pool`, `y` or `y_pool`: the number, or who chooses it.
fn number_choice(fields: &mut Fields, name: &str, plan: &NumberPlan) -> Result<XChoice, ApiError> {
    let chooser = if name == "x" { "pool" } else { "y_pool" };
    let number = fields.number(name, plan)?;
    let pool = fields.text(chooser)?;
    let city = if name == "x" { "city" } else { "y_city" };
    let wish = fields.text(city)?.map(Into::into);
    match (number, pool) {
        (Some(_), None) if wish.is_some() => Err(ApiError::bad(
            "bad_field",
            city,
            format!("a city is what a pool chooses by: name {chooser}, and not {name}"),
        )),
        (Some(number), None) => Ok(XChoice::Given(VirtualNumber::new(number))),
        (None, Some(pool)) => Ok(XChoice::FromPool(PoolChoice {
            pool: pool.into(),
            city: wish,
        })),
        (Some(_), Some(_)) => Err(ApiError::bad(
            "bad_field",
            chooser,
            format!("name {name}, or a pool that chooses it, and not both"),
        )),
        (None, None) => Err(ApiError::bad(
            "missing_field",
            name,
            format!("name {name}, or a pool that chooses it ({chooser})"),
        )),
    }
}

/// `ttl_s` or `expires_at`; `null` for never.
fn expiry(fields: &mut Fields, now: Wall) -> Result<Patch<Wall>, ApiError> {
    let ttl = fields.patch("ttl_s", |f| f.seconds("ttl_s"))?;
    let at = fields.patch("expires_at", |f| f.time("expires_at"))?;
    match (ttl, at) {
        (Patch::Keep, at) => Ok(at),
        (Patch::Clear, Patch::Keep) => Ok(Patch::Clear),
        (Patch::Set(ttl), Patch::Keep) => Ok(Patch::Set(now.plus(ttl))),
        (Patch::Clear | Patch::Set(_), Patch::Clear | Patch::Set(_)) => Err(ApiError::bad(
            "bad_field",
            "ttl_s",
            "name ttl_s or expires_at, and not both",
        )),
    }
}

fn dry_run(fields: &mut Fields) -> Result<DryRun, ApiError> {
    Ok(match fields.truth("dry_run")? {
        Some(true) => DryRun::Yes,
        Some(false) | None => DryRun::No,
    })
}

/// `GET /v1/bindings/{id}`
pub(super) async fn show(State(desk): State<Arc<Desk>>, Named(id): Named) -> Result<Json<Value>, ApiError> {
    let id = id_of(&id)?;
    match desk.store.table().binding(id) {
        Some(binding) => Ok(Json(desk.binding_view(&binding))),
        None => Err(ApiError {
            code: "unknown_binding",
            binding: Some(id),
            ..ApiError::not_found(format!("there is no binding {id}"))
        }),
    }
}

/// `PATCH /v1/bindings/{id}`: what is not named stays; `null` takes away. Naming an expiry restarts the
/// timer.
pub(super) async fn update(
    State(desk): State<Arc<Desk>>,
    Named(id): Named,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let request = update_request(id_of(&id)?, Fields::of_json(&body)?, &desk)?;
    match desk.write(Write::Update(request)).await? {
        Written::Binding(binding) | Written::Existing(binding) => Ok(Json(desk.binding_view(&binding))),
        Written::DryRun(binding) => {
            let mut view = desk.binding_view(&binding);
            view["dry_run"] = Value::Bool(true);
            Ok(Json(view))
        }
        Written::Account(_)
        | Written::Pool(_)
        | Written::Number(_)
        | Written::Unbound(_)
        | Written::Group(_)
        | Written::Callee(_) => Err(super::crossed()),
    }
}

fn update_request(id: Id, mut fields: Fields, desk: &Desk) -> Result<UpdateRequest, ApiError> {
    let plan = desk.config.load().numbers;
    let text = |fields: &mut Fields, name: &str| {
        fields
            .patch(name, |f| f.text(name))
            .map(|patch| patch.into_change().map(|set| set.map(Into::into)))
    };
    let request = UpdateRequest {
        mode: fields.word("mode", &MODES)?,
        a: fields.number("a", &plan)?.map(RealNumber::new),
        b: fields.number("b", &plan)?.map(RealNumber::new),
        group: group_field(&mut fields, desk)?,
        terms: TermsChange {
            direction: fields.word("direction", &DIRECTIONS)?,
            max_duration: fields
                .patch("max_duration_s", |f| f.seconds("max_duration_s"))?
                .into_change(),
            ring_timeout: fields
                .patch("ring_timeout_s", |f| f.seconds("ring_timeout_s"))?
                .into_change(),
            record: fields.truth("record")?,
            order_id: text(&mut fields, "order_id")?,
            user_data: text(&mut fields, "user_data")?,
            ring: fields.patch("ring", |f| ring(f, &plan))?.into_change(),
            display: fields
                .patch("display", |f| f.number("display", &plan))?
                .into_change()
                .map(|to| to.map(VirtualNumber::new)),
            menu: fields.patch("menu", |f| menu::read(f, &plan))?.into_change(),
            cues: Box::new(cues::change(&mut fields)?),
            callback: fields
                .patch("callback", |f| f.number("callback", &plan))?
                .into_change()
                .map(|set| set.map(RealNumber::new)),
        },
        expires: match expiry(&mut fields, desk.now())? {
            Patch::Keep => None,
            Patch::Clear => Some(Wall::NEVER),
            Patch::Set(at) => Some(at),
        },
        dry_run: dry_run(&mut fields)?,
        ..UpdateRequest::of(id)
    };
    fields.done()?;
    Ok(request)
}

/// `DELETE /v1/bindings/{id}` → `{"unbound": [id]}`
pub(super) async fn unbind(State(desk): State<Arc<Desk>>, Named(id): Named) -> Result<Json<Value>, ApiError> {
    unbound(&desk, Unbind::Id(id_of(&id)?)).await
}

/// `DELETE /v1/bindings?x=` → `{"unbound": [ids]}`: all of one number.
pub(super) async fn unbind_all(
    State(desk): State<Arc<Desk>>,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let x = asked.needed_number("x", &desk.config.load().numbers)?;
    asked.done()?;
    unbound(&desk, Unbind::X(VirtualNumber::new(x))).await
}

async fn unbound(desk: &Arc<Desk>, what: Unbind) -> Result<Json<Value>, ApiError> {
    match desk.write(Write::Unbind(what)).await? {
        Written::Unbound(ids) => Ok(Json(json!({"unbound": ids}))),
        Written::Account(_)
        | Written::Pool(_)
        | Written::Number(_)
        | Written::Binding(_)
        | Written::Existing(_)
        | Written::DryRun(_)
        | Written::Group(_)
        | Written::Callee(_) => Err(super::crossed()),
    }
}

/// `GET /v1/bindings?x=&y=&a=&b=&user_data=&order_id=&state=live|ended|all&cursor=&limit=` →
/// `{"bindings", "cursor"}`. A page may be short, or empty, and still name a next one.
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let plan = desk.config.load().numbers;
    let filter = BindingFilter {
        x: asked.number("x", &plan)?.map(VirtualNumber::new),
        y: asked.number("y", &plan)?.map(VirtualNumber::new),
        a: asked.number("a", &plan)?.map(RealNumber::new),
        b: asked.number("b", &plan)?.map(RealNumber::new),
        account: asked.text("account")?.map(Into::into),
        user_data: asked.text("user_data")?.map(Into::into),
        order_id: asked.text("order_id")?.map(Into::into),
        living: asked
            .word(
                "state",
                &[
                    ("live", Living::Live),
                    ("ended", Living::Ended),
                    ("all", Living::All),
                ],
            )?
            .unwrap_or_default(),
    };
    let cursor = asked
        .text("cursor")?
        .map(|text| text.parse::<Id>().map_err(|_| super::bad_cursor()))
        .transpose()?;
    let limit = limit(&mut asked)?;
    asked.done()?;
    let page = desk.store.table().bindings(&filter, desk.now(), cursor, limit);
    let bindings: Vec<Value> = page.items.iter().map(|b| desk.binding_view(b)).collect();
    Ok(Json(json!({"bindings": bindings, "cursor": page.next})))
}

impl Desk {
    fn binding_view(&self, binding: &Binding) -> Value {
        let pool = self.store.table().pool(binding.pool());
        let mut view = view::binding(binding, pool.as_deref(), &self.config.load().numbers, self.now());
        let group = binding.parties.group();
        let group = group.and_then(|group| self.store.table().group(group));
        view["group_name"] = json!(group.map(|group| group.name.clone()));
        view
    }
}

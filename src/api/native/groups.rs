//! `/v1/groups`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::cdrs::limit;
use super::{Desk, bad_cursor, crossed, view};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Body, Fields, Named, missing, wrong};
use crate::base::number::{NumberPlan, RealNumber};
use crate::base::redact;
use crate::masking::group::{Group, GroupId};
use crate::masking::request::{GroupRequest, Write, Written};

/// `GET /v1/groups?pool=&cursor=&limit=` → `{"groups", "cursor"}`, without their members.
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let pool = asked.text("pool")?;
    let cursor = asked.text("cursor")?;
    let cursor = cursor.map(|text| text.parse().map_err(|_| bad_cursor()));
    let (cursor, limit) = (cursor.transpose()?, limit(&mut asked)?);
    asked.done()?;
    let pool = pool.map(|pool| desk.pool_named(&pool)).transpose()?;
    let pool = pool.as_ref().map(|pool| &*pool.key);
    let page = desk.store.table().groups(pool, cursor, limit);
    let groups: Vec<Value> = page.items.iter().map(|group| desk.group_view(group)).collect();
    Ok(Json(json!({"groups": groups, "cursor": page.next})))
}

/// `POST /v1/groups {pool, name, numbers, default}` → 201 and the group; up to 200 numbers, more by its members.
pub(super) async fn add(
    State(desk): State<Arc<Desk>>,
    Body(body): Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let plan = desk.config.load().numbers;
    let mut fields = Fields::of_json(&body)?;
    let write = Write::AddGroup(GroupRequest {
        pool: fields.needed_text("pool")?.into(),
        name: fields.text("name")?.map(Into::into),
        numbers: numbers(&mut fields, &plan)?.unwrap_or_default(),
        default: fields.number("default", &plan)?.map(RealNumber::new),
    });
    fields.done()?;
    let group = desk.write_group(write).await?;
    Ok((StatusCode::CREATED, Json(desk.group_view(&group))))
}

/// `GET /v1/groups/{id or name}`
pub(super) async fn show(State(desk): State<Arc<Desk>>, Named(id): Named) -> Result<Json<Value>, ApiError> {
    let group = desk.group_named(&id)?;
    Ok(Json(desk.group_view(&group)))
}

/// `PATCH /v1/groups/{id or name} {name, default}`: what is not named stays; no default if it is `null`.
pub(super) async fn set(
    State(desk): State<Arc<Desk>>,
    Named(id): Named,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let plan = desk.config.load().numbers;
    let group = desk.group_named(&id)?.id;
    let mut fields = Fields::of_json(&body)?;
    let default = fields.patch("default", |f| f.number("default", &plan))?;
    let write = Write::SetGroup {
        group,
        name: fields.text("name")?.map(Into::into),
        default: default.into_change().map(|to| to.map(RealNumber::new)),
    };
    fields.done()?;
    let group = desk.write_group(write).await?;
    Ok(Json(desk.group_view(&group)))
}

/// `DELETE /v1/groups/{id or name}` → the group as it was; only without live bindings.
pub(super) async fn remove(State(desk): State<Arc<Desk>>, Named(id): Named) -> Result<Json<Value>, ApiError> {
    let group = desk.group_named(&id)?.id;
    let group = desk.write_group(Write::RemoveGroup { group }).await?;
    Ok(Json(desk.group_view(&group)))
}

/// `GET /v1/groups/{id or name}/members?cursor=&limit=` → `{"members": [{"number", "since"}], "cursor"}`
pub(super) async fn members(
    State(desk): State<Arc<Desk>>,
    Named(id): Named,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let group = desk.group_named(&id)?.id;
    // A member's packed number would be its number: the cursor is how many came before.
    let cursor = asked.integer("cursor")?.unwrap_or(0);
    let limit = limit(&mut asked)?;
    asked.done()?;
    let plan = desk.config.load().numbers;
    let from = usize::try_from(cursor).unwrap_or(usize::MAX);
    let all = desk.store.table().members(group, None, usize::MAX);
    let rest = all.get(from..).unwrap_or_default();
    let members: Vec<Value> = rest
        .iter()
        .take(limit)
        .map(|member| view::member(member, &plan))
        .collect();
    let next = (rest.len() > limit).then(|| (from + limit).to_string());
    Ok(Json(json!({"members": members, "cursor": next})))
}

/// `POST /v1/groups/{id or name}/members {numbers}` → the group; up to 200 at once, all of them or none. Those who are
/// members stay.
pub(super) async fn join(
    State(desk): State<Arc<Desk>>,
    Named(id): Named,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let (group, numbers) = desk.group_and_numbers(&id, &body)?;
    let group = desk.write_group(Write::Join { group, numbers }).await?;
    Ok(Json(desk.group_view(&group)))
}

/// `DELETE /v1/groups/{id or name}/members {numbers}` → the group; up to 200 at once. Who is no member is passed over.
pub(super) async fn leave(
    State(desk): State<Arc<Desk>>,
    Named(id): Named,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let (group, numbers) = desk.group_and_numbers(&id, &body)?;
    let group = desk.write_group(Write::Leave { group, numbers }).await?;
    Ok(Json(desk.group_view(&group)))
}

/// `group`: a group by its id, or by its name.
pub(super) fn group_field(fields: &mut Fields, desk: &Desk) -> Result<Option<GroupId>, ApiError> {
    let group = fields.text("group")?;
    group
        .map(|group| desk.group_named(&group).map(|group| group.id))
        .transpose()
}

fn numbers(fields: &mut Fields, plan: &NumberPlan) -> Result<Option<Vec<RealNumber>>, ApiError> {
    let texts = fields.texts("numbers")?;
    let read = |texts: Vec<Box<str>>| {
        let numbers = texts.iter().map(|text| plan.normalise(text).map(RealNumber::new));
        numbers.collect::<Result<Vec<_>, _>>()
    };
    let numbers = texts.map(read);
    numbers
        .transpose()
        .map_err(|_| wrong("numbers", "a list of numbers"))
}

impl Desk {
    /// A group by its pool and name (`couriers/east`), by its id or, where only one has it, by its name.
    fn group_named(&self, text: &str) -> Result<Arc<Group>, ApiError> {
        let table = self.store.table();
        let is_live = |group: &Arc<Group>| group.ended.is_none();
        // Either name may have the sign in it.
        let mut cuts = text.match_indices('/').map(|(at, _)| text.split_at(at));
        let of_pool = cuts.find_map(|(pool, name)| {
            let pool = table.pool(pool)?;
            table.group_named(&pool.key, name.get(1..)?)
        });
        if let Some(group) = of_pool {
            return Ok(group);
        }
        let by_id = text.parse().ok().and_then(|id| table.group(id)).filter(is_live);
        if let Some(group) = by_id {
            return Ok(group);
        }
        let named = table.groups_named(text);
        match named.as_slice() {
            [id] => table.group(*id).filter(is_live),
            [] => None,
            [_, _, ..] => {
                return Err(ApiError::bad(
                    "bad_field",
                    "group",
                    "several pools have a group of that name: write POOL/NAME, or its id",
                ));
            }
        }
        .ok_or_else(|| ApiError {
            code: "unknown_group",
            field: Some("group".into()),
            ..ApiError::not_found(format!("there is no group {}", redact::scrub(text)))
        })
    }

    fn group_and_numbers(&self, id: &str, body: &[u8]) -> Result<(GroupId, Vec<RealNumber>), ApiError> {
        let plan = self.config.load().numbers;
        let group = self.group_named(id)?.id;
        let mut fields = Fields::of_json(body)?;
        let numbers = numbers(&mut fields, &plan)?.ok_or_else(|| missing("numbers"))?;
        fields.done()?;
        Ok((group, numbers))
    }

    fn group_view(&self, group: &Group) -> Value {
        let pool = self.store.table().pool(&group.pool);
        view::group(group, pool.as_deref(), &self.config.load().numbers)
    }

    async fn write_group(&self, write: Write) -> Result<Arc<Group>, ApiError> {
        match self.write(write).await? {
            Written::Group(group) => Ok(group),
            Written::Account(_)
            | Written::Pool(_)
            | Written::Number(_)
            | Written::Binding(_)
            | Written::Existing(_)
            | Written::Unbound(_)
            | Written::DryRun(_)
            | Written::Callee(_) => Err(crossed()),
        }
    }
}

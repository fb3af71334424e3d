//! `/v1/recordings`: which there are, what is heard in them, whether they are as they were written, and their end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::{Value, json};

use super::cdrs::limit;
use super::{Desk, blocking, calls, id_of, view};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Body, Fields, Named, missing, wrong};
use crate::base::id::Id;
use crate::base::limits::RECORDING_LINK_S;
use crate::base::number::VirtualNumber;
use crate::base::text;
use crate::base::time::Wall;
use crate::call::cdr::Party;
use crate::records::archive::{self, Archive, Erasing, OfParty, Refused, Searched, Wanted, Which};
use crate::records::audit::Who;
use crate::records::recordings;
use crate::records::recordings::chain::Sha;
use crate::records::recordings::index::Filter;
use crate::records::recordings::retention::Erased;

mod audio;
#[cfg(test)]
mod tests;

pub(super) use audio::{audio, by_link, chain};

/// The account whose recordings alone a request may touch. Whoever lets requests in by an account's key puts it into their
/// extensions; a request without it is its owner's, of the process, who sees all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfAccount(pub Arc<str>);

/// A request came over TCP: its extensions say so.
#[derive(Clone, Copy, Debug)]
pub(super) struct OverTcp;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Asker {
    Owner,
    Tcp,
    Account(OfAccount),
    /// By a link that ends then.
    Link(Wall),
}

impl Asker {
    fn who(&self) -> Who<'_> {
        match self {
            Self::Owner => Who::Control,
            Self::Account(OfAccount(name)) => Who::Account(name),
            Self::Tcp => Who::Tcp,
            Self::Link(until) => Who::Link(*until),
        }
    }

    /// How they are told what the archive refuses. Whoever has no more than a link learns nothing of this server's folders.
    fn refusal(&self, error: archive::Error) -> ApiError {
        let refused = refusal(error);
        match self {
            Self::Link(_) if refused.status.is_server_error() || refused.status == StatusCode::CONFLICT => {
                tracing::warn!("a recording can't be given by its link: {}", refused.message);
                let message = "it can't be given now: ask whoever gave you the link".to_owned();
                ApiError { message, ..refused }
            }
            Self::Owner | Self::Tcp | Self::Account(_) | Self::Link(_) => refused,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let account = parts.extensions.get::<OfAccount>().cloned();
        let own = match parts.extensions.get::<OverTcp>() {
            Some(OverTcp) => Self::Tcp,
            None => Self::Owner,
        };
        Ok(account.map_or(own, Self::Account))
    }
}

/// What somebody wants of one recording: its id, and the fields of the body.
pub(super) struct OfOne {
    id: Id,
    fields: Fields,
}

impl<S: Send + Sync> FromRequest<S> for OfOne {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let Named(name) = Named::from_request_parts(&mut parts, state).await?;
        let Body(body) = Body::from_request(Request::from_parts(parts, body), state).await?;
        Ok(Self {
            id: id_of(&name)?,
            fields: Fields::of_json(&body)?,
        })
    }
}

impl Desk {
    /// Asks the archive, where that keeps no other request waiting.
    async fn ask_archive<T: Send + 'static>(
        self: &Arc<Self>,
        asker: Asker,
        work: impl FnOnce(&Archive, Who<'_>, Wall) -> Result<T, archive::Error> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (desk, now) = (self.clone(), self.now());
        let done = blocking(move || {
            let done = work(&desk.archive, asker.who(), now);
            done.map_err(|error| asker.refusal(error))
        });
        done.await?
    }
}

/// `GET /v1/recordings?account=&call_id=&binding_id=&number=&since=&until=&limit=&after=` → `{"recordings", "next"}`, the
/// latest first. `number` is a party's or a virtual one: those of calls in which it took part, or takes part now. Which these are
/// the calls' records say; where they can't of all, the answer has `searched_since`, `unreadable_records` and a `warning`.
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    asker: Asker,
    Asked(mut asked): Asked,
) -> Result<Json<Value>, ApiError> {
    let whose = Whose::of(&desk, &mut asked).await?;
    let wanted = Wanted {
        filter: Filter {
            account: asked.text("account")?.map(Into::into),
            call: whose.call,
            binding: whose.binding,
            since: asked.time("since")?,
            until: asked.time("until")?,
            ..Filter::default()
        },
        party: whose.party,
        after: id(&mut asked, "after")?,
        limit: limit(&mut asked)?,
    };
    asked.done()?;
    let listed = desk
        .ask_archive(asker, move |archive, who, now| archive.list(who, now, wanted))
        .await?;
    let rows: Vec<Value> = listed.rows.iter().map(view::recording).collect();
    let answer = json!({"recordings": rows, "next": listed.next});
    Ok(Json(said_of_search(answer, &listed.searched)))
}

/// `GET /v1/recordings/{id}`
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    asker: Asker,
    Named(name): Named,
) -> Result<Json<Value>, ApiError> {
    let id = id_of(&name)?;
    // All of its chain is read.
    let _place = desk.place_to_read()?;
    let (row, summary) = desk
        .ask_archive(asker, move |archive, who, now| archive.describe(who, now, id))
        .await?;
    Ok(Json(view::described(&row, summary.as_ref())))
}

/// `POST /v1/recordings/{id}/verify {"sha256"?}` → `{"verdict", "compared", …}`. Without the digits of its end those are taken
/// that the audit log has; `compared` says what there was: `given`, `audit log` or `nothing`.
pub(super) async fn verify(
    State(desk): State<Arc<Desk>>,
    asker: Asker,
    OfOne { id, mut fields }: OfOne,
) -> Result<Json<Value>, ApiError> {
    let expected = fields.text("sha256")?.map(|digits| {
        text::unhex(digits.as_bytes())
            .map(Sha)
            .ok_or_else(|| wrong("sha256", "64 hexadecimal digits"))
    });
    let expected = expected.transpose()?;
    fields.done()?;
    let _place = desk.place_to_read()?;
    let (verdict, compared) = desk
        .ask_archive(asker, move |archive, who, now| {
            archive.verify(who, now, id, expected)
        })
        .await?;
    Ok(Json(view::verdict(&verdict, compared)))
}

/// `POST /v1/recordings/{id}/link {"ttl_s"}` → `{"url", "expires_at"}`: whoever has it hears the recording until then.
pub(super) async fn link(
    State(desk): State<Arc<Desk>>,
    asker: Asker,
    OfOne { id, mut fields }: OfOne,
) -> Result<Json<Value>, ApiError> {
    let seconds = fields.integer("ttl_s")?.ok_or_else(|| missing("ttl_s"))?;
    fields.done()?;
    if !RECORDING_LINK_S.contains(&seconds) {
        let (least, most) = (RECORDING_LINK_S.start(), RECORDING_LINK_S.end());
        return Err(wrong("ttl_s", &format!("{least} to {most} seconds")));
    }
    let ttl = Duration::from_secs(seconds);
    let (url, until) = desk
        .ask_archive(asker, move |archive, who, now| archive.link(who, now, id, ttl))
        .await?;
    Ok(Json(json!({"url": url, "expires_at": &*until.text()})))
}

/// `DELETE /v1/recordings/{id}` → `{"id", "became": "gone"}`; 409 while it must be kept, or is written. What lies beside it goes
/// with it.
pub(super) async fn remove(
    State(desk): State<Arc<Desk>>,
    asker: Asker,
    Named(name): Named,
) -> Result<Json<Value>, ApiError> {
    let id = id_of(&name)?;
    let which = Which::Recording(id);
    let mut erasing = desk
        .ask_archive(asker, move |archive, who, now| {
            archive.erase(who, now, which, None)
        })
        .await?;
    let is_noted = erasing.is_noted;
    if let Some((_, error)) = erasing.failed.pop() {
        return Err(refusal(error.into()));
    }
    // Whichever of the two stays is said; else that the one is gone that was named.
    let stays = erasing.erased.iter().find(|(_, became)| *became != Erased::Gone);
    match stays.or(erasing.erased.last()).copied() {
        Some((_, Erased::Gone)) => {
            let gone = json!({"id": id, "became": "gone"});
            Ok(Json(said_of_noting(gone, is_noted)))
        }
        Some((id, Erased::NotBefore(time))) => Err(ApiError {
            not_before: Some(time),
            ..conflict(
                "not_before",
                format!(
                    "the recording {id} has to be kept: it can be erased from {} on",
                    time.text()
                ),
            )
        }),
        Some((id, Erased::Running)) => Err(conflict(
            "running",
            format!("the recording {id} is being written: ask again when its call is over"),
        )),
        // Somebody else was faster.
        None => Err(refusal(archive::Error::Absent(id))),
    }
}

fn conflict(code: &'static str, sentence: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, code, sentence)
}

/// `POST /v1/recordings/erase` with one of `call_id`, `binding_id` and `number` → `{"erased", "failed", "more"}`: what became
/// of each recording. `more`: there are so many that the rest has to be asked for again, `after` the one that is then `next`.
/// `"noted": false`: they are gone, and the audit log, which has that they go, couldn't be told what became of them.
pub(super) async fn erase(
    State(desk): State<Arc<Desk>>,
    asker: Asker,
    Body(body): Body,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::of_json(&body)?;
    let whose = Whose::of(&desk, &mut fields).await?;
    let after = id(&mut fields, "after")?;
    fields.done()?;
    let which = match (whose.call, whose.binding, whose.party) {
        (Some(call), None, None) => Which::Call(call),
        (None, Some(binding), None) => Which::Binding(binding),
        (None, None, Some(party)) => Which::Party(party),
        _ => {
            let sentence = "say whose recordings: one of call_id, binding_id and number";
            return Err(ApiError::bad("which", "call_id", sentence));
        }
    };
    let erasing = desk
        .ask_archive(asker, move |archive, who, now| {
            archive.erase(who, now, which, after)
        })
        .await?;
    Ok(Json(outcome(&erasing)))
}

fn outcome(erasing: &Erasing) -> Value {
    let erased = erasing.erased.iter().map(|(id, became)| match became {
        Erased::Gone => json!({"id": id, "became": "gone"}),
        Erased::NotBefore(time) => json!({"id": id, "became": "not_before", "not_before": &*time.text()}),
        Erased::Running => json!({"id": id, "became": "running"}),
    });
    let failed = erasing
        .failed
        .iter()
        .map(|(id, error)| json!({"id": id, "message": error.to_string()}));
    let mut said = json!({
        "erased": erased.collect::<Vec<_>>(),
        "failed": failed.collect::<Vec<_>>(),
        "more": erasing.next.is_some(),
    });
    if let Some(next) = erasing.next {
        said["next"] = json!(next);
    }
    said_of_noting(said_of_search(said, &erasing.searched), erasing.is_noted)
}

/// The answer, with what the calls' records couldn't tell.
fn said_of_search(mut answer: Value, searched: &Searched) -> Value {
    if let Some(warning) = searched.warning() {
        answer["warning"] = json!(warning);
        answer["searched_since"] = json!(searched.since.map(|since| since.text().to_string()));
        answer["unreadable_records"] = json!(searched.unreadable);
    }
    answer
}

/// The answer, with a word if what was done isn't noted.
fn said_of_noting(mut answer: Value, is_noted: bool) -> Value {
    if !is_noted {
        answer["noted"] = json!(false);
    }
    answer
}

fn id(fields: &mut Fields, name: &str) -> Result<Option<Id>, ApiError> {
    let text = fields.text(name)?;
    text.map(|text| {
        text.parse()
            .map_err(|e| ApiError::bad("bad_id", name, format!("{name}: {e}")))
    })
    .transpose()
}

/// Whose recordings are asked for.
struct Whose {
    call: Option<Id>,
    binding: Option<Id>,
    /// Of the calls of a number: it may be somebody's own, or a virtual one.
    party: Option<OfParty>,
}

impl Whose {
    async fn of(desk: &Desk, fields: &mut Fields) -> Result<Self, ApiError> {
        let plan = desk.config.load().numbers;
        let party = fields.number("number", &plan)?.map(|tel| Party {
            own: plan.record(tel),
            shown: plan.virtual_text(VirtualNumber::new(tel)),
        });
        let (call, binding) = (id(fields, "call_id")?, id(fields, "binding_id")?);
        let party = match party {
            Some(party) => Some(OfParty {
                live: calls::of_party(desk, party).await?,
                party,
            }),
            None => None,
        };
        Ok(Self { call, binding, party })
    }
}

/// How the archive's refusals are told.
fn refusal(error: archive::Error) -> ApiError {
    use archive::Error;
    let sentence = error.to_string();
    match error {
        Error::Absent(_) | Error::Recording(recordings::Error::Absent(_)) => ApiError::not_found(sentence),
        Error::Starting | Error::Searching => ApiError::unavailable("busy", sentence),
        Error::Unnoted(_) => ApiError::unavailable("not_noted", sentence),
        Error::Records(_) => ApiError::unavailable("records_unreadable", sentence),
        Error::NoLinks(_) => ApiError::unavailable("no_links", sentence),
        Error::Link(Refused::Forged) => ApiError::new(StatusCode::FORBIDDEN, "bad_link", sentence),
        Error::Link(Refused::Expired(_)) => ApiError::new(StatusCode::GONE, "link_expired", sentence),
        Error::Recording(
            recordings::Error::Full(_) | recordings::Error::Short(..) | recordings::Error::Disk(..),
        ) => ApiError::unavailable("recording_unreadable", sentence),
        Error::Recording(recordings::Error::Busy(_) | recordings::Error::Taken(_)) => {
            conflict("busy", sentence)
        }
        Error::Recording(
            recordings::Error::Damaged(..)
            | recordings::Error::TooLong(_)
            | recordings::Error::NoKey(..)
            | recordings::Error::Newer(..),
        ) => conflict("recording_unreadable", sentence),
    }
}

//! The bytes of a recording: from any of them on, opened if it is sealed, and never more of it in memory than is just sent.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, Sender};

use super::{Asker, refusal};
use crate::api::error::ApiError;
use crate::api::fields::{Asked, Named, missing};
use crate::api::native::backup::Pieces;
use crate::api::native::{Desk, blocking, id_of};
use crate::api::range::{self, Wanted};
use crate::base::id::Id;
use crate::base::limits::{RECORDING_READER_PATIENCE, RECORDINGS_READ_AT_ONCE, RETRY_AFTER_S};
use crate::records::archive::{Kind, Opened, Part};

/// Bytes that are read at a time.
const PIECE: u64 = 1 << 17;
/// Pieces that are read ahead of the client.
const AHEAD: usize = 1;

/// What is asked of whoever gives a part of a recording.
type Reading = (State<Arc<Desk>>, Asker, Named, Method, HeaderMap);

/// `GET /v1/recordings/{id}/audio`
pub(in crate::api::native) async fn audio(reading: Reading) -> Result<Response, ApiError> {
    part(reading, Part::Audio).await
}

/// `GET /v1/recordings/{id}/chain`
pub(in crate::api::native) async fn chain(reading: Reading) -> Result<Response, ApiError> {
    part(reading, Part::Chain).await
}

async fn part(reading: Reading, part: Part) -> Result<Response, ApiError> {
    let (State(desk), asker, Named(name), method, headers) = reading;
    desk.give(asker, id_of(&name)?, part, &method, &headers).await
}

/// `GET /recordings/{id}?expires=&signature=`: the audio, for whoever has the link.
pub(in crate::api::native) async fn by_link(
    State(desk): State<Arc<Desk>>,
    Named(name): Named,
    Asked(mut asked): Asked,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = id_of(&name)?;
    let expires = asked.text("expires")?.ok_or_else(|| missing("expires"))?;
    let signature = asked.text("signature")?.ok_or_else(|| missing("signature"))?;
    asked.done()?;
    desk.ask_archive(Asker::Link, move |archive, _, now| {
        archive.may_hear(now, id, &expires, &signature)
    })
    .await?;
    desk.give(Asker::Link, id, Part::Audio, &method, &headers).await
}

impl Desk {
    /// One of the places for those who read recordings, until it is dropped.
    pub(super) fn place_to_read(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = self.readers.clone().try_acquire_owned();
        place.map_err(|_| {
            let sentence =
                format!("{RECORDINGS_READ_AT_ONCE} recordings are being read at once: try again in a moment");
            ApiError {
                retry_after_s: Some(RETRY_AFTER_S),
                ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_readers", sentence)
            }
        })
    }

    async fn give(
        self: &Arc<Self>,
        asker: Asker,
        id: Id,
        part: Part,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let place = self.place_to_read()?;
        let opened = self
            .ask_archive(asker.clone(), move |archive, who, now| {
                archive.open(who, now, id, part)
            })
            .await?;
        let (bytes, etag) = (opened.bytes, opened.digits.map(|digits| format!("\"{digits}\"")));
        let wanted = etag
            .as_ref()
            .map_or(Wanted::All, |etag| range::wanted(headers, etag, bytes));
        let is_head = method == Method::HEAD;
        let given = match wanted {
            Wanted::All => bytes.checked_sub(1).map(|last| [0, last]),
            Wanted::Part { first, last } => Some([first, last]),
            Wanted::Beyond => None,
        };
        let said = match (is_head, wanted) {
            (true, _) => "head",
            (false, Wanted::All) => "all",
            (false, Wanted::Part { .. }) => "part",
            (false, Wanted::Beyond) => "beyond its end",
        };
        let noted = given.filter(|_| !is_head);
        let (desk, now) = (self.clone(), self.now());
        let opened = blocking(move || {
            let noted = desk.archive.note_read(asker.who(), now, &opened, noted, said);
            noted.map(|()| opened)
        });
        let opened = opened.await?.map_err(refusal)?;
        let mut response = match wanted {
            Wanted::Beyond => {
                let sentence = format!("the recording has {bytes} bytes: ask for some of these");
                ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "beyond_end", sentence).into_response()
            }
            Wanted::All | Wanted::Part { .. } => {
                let length = given.map_or(0, |[first, last]| last - first + 1);
                let kind = opened.kind;
                let body = match given.filter(|_| !is_head) {
                    Some(range) => send(opened, range, place),
                    None => Body::empty(),
                };
                let mut response = body.into_response();
                let head = response.headers_mut();
                head.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                head.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(kind)));
                set(
                    head,
                    header::CONTENT_DISPOSITION,
                    &format!("inline; filename=\"{id}.{}\"", ending(kind)),
                );
                response
            }
        };
        let head = response.headers_mut();
        // Nobody between keeps what somebody said.
        head.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-store"),
        );
        if let Some(etag) = etag {
            head.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            set(head, header::ETAG, &etag);
        }
        match wanted {
            Wanted::All => {}
            Wanted::Part { first, last } => {
                set(
                    head,
                    header::CONTENT_RANGE,
                    &format!("bytes {first}-{last}/{bytes}"),
                );
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            Wanted::Beyond => set(head, header::CONTENT_RANGE, &format!("bytes */{bytes}")),
        }
        Ok(response)
    }
}

const fn media_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Wav => "audio/wav",
        Kind::Rtpdump => "application/vnd.rtpdump",
        Kind::Chain => "application/jsonl",
    }
}

const fn ending(kind: Kind) -> &'static str {
    match kind {
        Kind::Wav => "wav",
        Kind::Rtpdump => "rtpdump",
        Kind::Chain => "chain",
    }
}

fn set(head: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // Digits, letters and a few signs: there is no other.
    if let Ok(value) = HeaderValue::from_str(value) {
        head.insert(name, value);
    }
}

/// A body of these bytes, the first and the last with them. Whoever takes nothing for long gets no more: its length tells.
fn send(opened: Opened, range: [u64; 2], place: OwnedSemaphorePermit) -> Body {
    let (sender, pieces) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        // Until all is sent.
        let _place = place;
        if let Err(why) = send_pieces(opened, range, &sender).await {
            tracing::warn!("a recording was not given to its end: {why}");
        }
    });
    Body::new(Pieces(pieces))
}

/// Reads each piece where it keeps nobody waiting, and has none read while the client takes nothing.
async fn send_pieces(mut opened: Opened, [first, last]: [u64; 2], to: &Sender<Bytes>) -> Result<(), String> {
    let mut at = first;
    while at <= last {
        let length = PIECE.min(last - at + 1);
        let (back, piece) = blocking(move || {
            let mut piece = vec![0; length as usize];
            let read = opened.read_at(at, &mut piece);
            let piece = read.map(|read| {
                piece.truncate(read);
                piece
            });
            (opened, piece)
        })
        .await
        .map_err(|error| error.message)?;
        opened = back;
        let piece = piece.map_err(|error| error.to_string())?;
        if piece.is_empty() {
            return Err("it is shorter than it was".to_owned());
        }
        at += piece.len() as u64;
        match tokio::time::timeout(RECORDING_READER_PATIENCE, to.send(piece.into())).await {
            Ok(Ok(())) => {}
            // He hung up: players do that all the time.
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err("whoever reads it has taken nothing for long".to_owned()),
        }
    }
    Ok(())
}

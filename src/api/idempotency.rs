//! `Idempotency-Key`: a request that is sent again gets the answer that the first one got.
//!
//! Answers are kept in memory, the newest of them (`ANSWERS_KEPT`, `BYTES_KEPT`): a restart forgets them,
//! and then `on_conflict` is what stands between a client and a second binding.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};

use super::error::ApiError;

/// Answers that are kept.
const ANSWERS_KEPT: usize = 10_000;
/// Bytes of answers that are kept.
const BYTES_KEPT: usize = 16 * 1024 * 1024;
/// Bytes of a key.
const KEY_BYTES_MAX: usize = 128;

/// The answers that are kept, by key.
#[derive(Default)]
pub struct Answers {
    hasher: RandomState,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_key: HashMap<String, Entry>,
    oldest_first: VecDeque<String>,
    bytes: usize,
}

struct Entry {
    body: u64,
    answer: Option<(StatusCode, Bytes)>,
}

/// What a key says about a request.
pub enum Seen {
    /// It names no key, or a new one: go on, and hand the answer to [`Ticket::keep`].
    New(Ticket),
    /// It was answered before, so.
    Before(StatusCode, Bytes),
}

impl Answers {
    /// Looks up the request's key. `body` is the request's whole body.
    ///
    /// # Errors
    /// 400 for a key that is empty or too long, 422 if the key came with another body before, 409 if the
    /// first request with it is still being worked on, 429 if nothing but such requests is kept.
    pub fn look(self: &Arc<Self>, headers: &HeaderMap, body: &[u8]) -> Result<Seen, ApiError> {
        let Some(key) = headers.get("idempotency-key") else {
            return Ok(Seen::New(Ticket {
                answers: self.clone(),
                key: None,
            }));
        };
        let key = key
            .to_str()
            .ok()
            .filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX)
            .ok_or_else(|| {
                let sentence = format!("Idempotency-Key is 1 to {KEY_BYTES_MAX} printable characters");
                ApiError::bad("bad_idempotency_key", "Idempotency-Key", sentence)
            })?;
        let body = self.hasher.hash_one(body);
        let mut kept = self.lock();
        match kept.by_key.get(key) {
            Some(entry) if entry.body != body => Err(ApiError {
                field: Some("Idempotency-Key".into()),
                ..ApiError::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "idempotency_key_reused",
                    "this Idempotency-Key came with another body before",
                )
            }),
            Some(Entry { answer: None, .. }) => Err(ApiError::new(
                StatusCode::CONFLICT,
                "idempotency_key_in_use",
                "the first request with this Idempotency-Key is still being worked on",
            )),
            Some(Entry {
                answer: Some((status, bytes)),
                ..
            }) => Ok(Seen::Before(*status, bytes.clone())),
            None => {
                kept.make_room()?;
                kept.by_key.insert(key.to_owned(), Entry { body, answer: None });
                Ok(Seen::New(Ticket {
                    answers: self.clone(),
                    key: Some(key.to_owned()),
                }))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn make_room(&mut self) -> Result<(), ApiError> {
        while self.by_key.len() >= ANSWERS_KEPT || self.bytes > BYTES_KEPT {
            let Some(oldest) = self.oldest_first.pop_front() else {
                return Err(ApiError::busy(
                    "too many requests with an Idempotency-Key are open",
                ));
            };
            let entry = self.by_key.remove(&oldest);
            self.bytes -= entry.and_then(|e| e.answer).map_or(0, |(_, bytes)| bytes.len());
        }
        Ok(())
    }
}

/// The right to answer for one key. Dropped without an answer, the key is free again.
pub struct Ticket {
    answers: Arc<Answers>,
    key: Option<String>,
}

impl Ticket {
    /// Keeps the answer, if it is final: what a moment's trouble (429, 5xx) refused may be tried again.
    pub fn keep(mut self, status: StatusCode, bytes: &Bytes) {
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return;
        }
        let Some(key) = self.key.take() else { return };
        let mut kept = self.answers.lock();
        if let Some(entry) = kept.by_key.get_mut(&key) {
            entry.answer = Some((status, bytes.clone()));
            kept.bytes += bytes.len();
            kept.oldest_first.push_back(key);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.answers.lock().by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(key: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_str(key).unwrap());
        headers
    }

    fn answer(answers: &Arc<Answers>, key: &str, status: StatusCode) {
        let Ok(Seen::New(ticket)) = answers.look(&headers(key), b"body") else {
            panic!("not new")
        };
        ticket.keep(status, &Bytes::from_static(b"{}"));
    }

    #[test]
    fn a_repeated_request_gets_the_first_answer_and_another_body_is_refused() {
        let answers = Arc::new(Answers::default());
        answer(&answers, "k", StatusCode::CREATED);
        assert!(matches!(
            answers.look(&headers("k"), b"body"),
            Ok(Seen::Before(StatusCode::CREATED, _))
        ));
        let fault = answers.look(&headers("k"), b"other").err().unwrap();
        assert_eq!(
            (fault.status.as_u16(), fault.code),
            (422, "idempotency_key_reused")
        );
    }

    #[test]
    fn a_key_in_use_is_refused_and_is_free_again_when_its_request_dies_or_may_be_tried_again() {
        let answers = Arc::new(Answers::default());
        let first = answers.look(&headers("k"), b"body").ok().unwrap();
        assert_eq!(
            answers.look(&headers("k"), b"body").err().unwrap().code,
            "idempotency_key_in_use"
        );
        drop(first);
        answer(&answers, "k", StatusCode::SERVICE_UNAVAILABLE);
        assert!(matches!(answers.look(&headers("k"), b"body"), Ok(Seen::New(_))));
    }

    #[test]
    fn the_oldest_answers_go_when_the_memory_is_full() {
        let answers = Arc::new(Answers::default());
        for n in 0..=ANSWERS_KEPT {
            answer(&answers, &format!("k{n}"), StatusCode::CREATED);
        }
        assert!(matches!(answers.look(&headers("k0"), b"body"), Ok(Seen::New(_))));
        assert!(matches!(
            answers.look(&headers("k5000"), b"body"),
            Ok(Seen::Before(..))
        ));
        assert!(answers.lock().by_key.len() <= ANSWERS_KEPT);
    }
}

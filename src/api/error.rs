//! What a client is told when it can't have what it asked for: an HTTP status and one JSON object.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::base::id::Id;
use crate::base::limits;
use crate::base::time::Wall;

/// A refusal, as the client reads it: `{"code", "message", "field"?, "binding"?, "not_before"?}`. The message is one
/// sentence for people and never holds a whole real number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// A word for programs, in snake case.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The field of the request that is at fault.
    pub field: Option<String>,
    /// The binding that stands in the way.
    pub binding: Option<Id>,
    /// Before when it can't be done.
    pub not_before: Option<Wall>,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
}

impl ApiError {
    /// A refusal without field or binding.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            field: None,
            binding: None,
            not_before: None,
            retry_after_s: None,
        }
    }

    /// 400: the request itself is wrong, at `field`.
    pub fn bad(code: &'static str, field: &str, message: impl Into<String>) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::new(StatusCode::BAD_REQUEST, code, message)
        }
    }

    /// 404: there is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 429: a queue is full; the same request may succeed in a moment.
    pub fn busy(message: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(limits::RETRY_AFTER_S),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", message)
        }
    }

    /// 503: a part of the server that the request needs doesn't work now.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(limits::RETRY_AFTER_S),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    /// 500: our own fault.
    pub fn ours(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The JSON object of the refusal.
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("code".into(), self.code.into());
        body.insert("message".into(), self.message.as_str().into());
        if let Some(field) = &self.field {
            body.insert("field".into(), field.as_str().into());
        }
        if let Some(binding) = self.binding {
            body.insert("binding".into(), binding.to_string().into());
        }
        if let Some(time) = self.not_before {
            body.insert("not_before".into(), (*time.text()).into());
        }
        Value::Object(body)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

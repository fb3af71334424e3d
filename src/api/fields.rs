//! The fields of a request, from a JSON body or a query string: each is taken by name and kind, what is
//! left over is refused by name. No message repeats a value, because a value may be somebody's number.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::base::number::{NumberPlan, Tel};
use crate::base::time::Wall;

/// Bytes of one request's body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A field that an update may set, clear (`null`) or leave alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Patch<T> {
    /// Not named: stays as it is.
    Keep,
    /// `null`: nothing from now on.
    Clear,
    /// This from now on.
    Set(T),
}

impl<T> Patch<T> {
    /// As changes are written: `None` leaves, `Some(None)` clears.
    pub fn into_change(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }
}

/// Fields that wait to be taken.
#[derive(Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of a JSON object.
    ///
    /// # Errors
    /// 400 `bad_json` if `bytes` is no JSON object. Nothing at all is an object without fields.
    pub fn of_json(bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        // serde's own sentence may quote the input; its line and column say enough.
        let value: Value = serde_json::from_slice(bytes).map_err(|e| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad_json",
                format!("the body is no JSON (line {}, column {})", e.line(), e.column()),
            )
        })?;
        Self::of_value(value)
    }

    /// The fields of a value that has to be an object.
    ///
    /// # Errors
    /// 400 `bad_json` if it is anything else.
    pub fn of_value(value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "bad_json",
                    "the body has to be a JSON object",
                ))
            }
        }
    }

    /// The fields of a query string.
    ///
    /// # Errors
    /// 400 `repeated_field` if one is named twice.
    pub fn of_query(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut map = Map::new();
        for (name, value) in pairs {
            if map.contains_key(&name) {
                let sentence = format!("{} is named twice", printable(&name));
                return Err(ApiError::bad("repeated_field", &printable(&name), sentence));
            }
            map.insert(name, Value::String(value));
        }
        Ok(Self(map))
    }

    /// Whether the field is there, `null` included.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Takes a field as it is; `null` is as good as none.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|v| !v.is_null())
    }

    /// Takes a text.
    ///
    /// # Errors
    /// 400 `bad_field` if it is no text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "text in quotes")),
        }
    }

    /// Takes a list of texts.
    ///
    /// # Errors
    /// 400 `bad_field` if it is no list, or holds something else.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<Box<str>>>, ApiError> {
        let list = match self.value(name) {
            None => return Ok(None),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(wrong(name, "a list of texts")),
        };
        list.iter()
            .map(|text| {
                text.as_str()
                    .map(Into::into)
                    .ok_or_else(|| wrong(name, "a list of texts"))
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Takes a text that has to be there.
    ///
    /// # Errors
    /// 400 `missing_field` or `bad_field`.
    pub fn needed_text(&mut self, name: &str) -> Result<String, ApiError> {
        self.text(name)?
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| missing(name))
    }

    /// Takes a phone number, in any writing that the plan understands.
    ///
    /// # Errors
    /// 400 `bad_number`, with the reader's own sentence, or `bad_field`.
    pub fn number(&mut self, name: &str, plan: &NumberPlan) -> Result<Option<Tel>, ApiError> {
        self.text(name)?
            .map(|text| {
                plan.normalise(&text)
                    .map_err(|e| ApiError::bad("bad_number", name, format!("{name}: {e}")))
            })
            .transpose()
    }

    /// Takes a phone number that has to be there.
    ///
    /// # Errors
    /// 400 `missing_field`, `bad_number` or `bad_field`.
    pub fn needed_number(&mut self, name: &str, plan: &NumberPlan) -> Result<Tel, ApiError> {
        self.number(name, plan)?.ok_or_else(|| missing(name))
    }

    /// Takes a whole number from 0 on; in a query string it is text.
    ///
    /// # Errors
    /// 400 `bad_field`.
    pub fn integer(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        let read = match self.value(name) {
            None => return Ok(None),
            Some(Value::Number(n)) => n.as_u64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_) | Value::Null) => None,
        };
        read.map(Some).ok_or_else(|| wrong(name, "a whole number"))
    }

    /// Takes a length of time in whole seconds.
    ///
    /// # Errors
    /// 400 `bad_field`.
    pub fn seconds(&mut self, name: &str) -> Result<Option<Duration>, ApiError> {
        // Beyond a thousand years it is a slip of the pen, and sums with wall times would not hold it.
        match self.integer(name)? {
            Some(seconds) if seconds > 31_536_000_000 => {
                Err(wrong(name, "a number of seconds under a thousand years"))
            }
            seconds => Ok(seconds.map(Duration::from_secs)),
        }
    }

    /// Takes `true` or `false`; in a query string as text.
    ///
    /// # Errors
    /// 400 `bad_field`.
    pub fn truth(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// Takes a time (RFC 3339). A query string may have turned the `+` of the offset into a space.
    ///
    /// # Errors
    /// 400 `bad_field`.
    pub fn time(&mut self, name: &str) -> Result<Option<Wall>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let mended = match text.len().checked_sub(6) {
            Some(at) if text.is_char_boundary(at) && text[at..].starts_with(' ') => {
                format!("{}+{}", &text[..at], &text[at + 1..])
            }
            Some(_) | None => text,
        };
        Wall::parse_rfc3339(&mended)
            .map(Some)
            .ok_or_else(|| wrong(name, "a time like 2026-11-21T10:00:00Z"))
    }

    /// Takes one of a few words.
    ///
    /// # Errors
    /// 400 `bad_field`, listing the words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let list: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                Err(wrong(name, &list.join(" | ")))
            }
        }
    }

    /// Takes a field by `take`, telling `null` from absent.
    ///
    /// # Errors
    /// What `take` says.
    pub fn patch<T>(
        &mut self,
        name: &str,
        take: impl FnOnce(&mut Self) -> Result<Option<T>, ApiError>,
    ) -> Result<Patch<T>, ApiError> {
        if !self.has(name) {
            return Ok(Patch::Keep);
        }
        Ok(take(self)?.map_or(Patch::Clear, Patch::Set))
    }

    /// All fields were taken.
    ///
    /// # Errors
    /// 400 `unknown_field`, naming one that wasn't.
    pub fn done(self) -> Result<(), ApiError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name = printable(name);
                Err(ApiError::bad(
                    "unknown_field",
                    &name,
                    format!("there is no field {name} here"),
                ))
            }
        }
    }
}

/// A field's name as it may be shown: somebody may have put a number where a name belongs.
fn printable(name: &str) -> String {
    let short: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    crate::base::redact::scrub(&short).into_owned()
}

/// 400: the field has the wrong kind of value.
pub fn wrong(name: &str, expected: &str) -> ApiError {
    ApiError::bad("bad_field", name, format!("{name} has to be {expected}"))
}

/// 400: the field isn't there.
pub fn missing(name: &str) -> ApiError {
    ApiError::bad("missing_field", name, format!("{name} is missing"))
}

/// A request's body, at most [`BODY_BYTES_MAX`] bytes.
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Bytes::from_request(request, state).await.map(Self).map_err(|e| {
            let status = e.status();
            if status == StatusCode::PAYLOAD_TOO_LARGE {
                let sentence = format!("a body holds at most {BODY_BYTES_MAX} bytes");
                ApiError::new(status, "body_too_large", sentence)
            } else {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "bad_body",
                    "the body could not be read to its end",
                )
            }
        })
    }
}

/// A request's query string.
pub struct Asked(pub Fields);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad_query",
                "the query string can't be read",
            )
        })?;
        Fields::of_query(pairs).map(Self)
    }
}

/// The one name in a request's path.
pub struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::not_found("there is nothing at this path"))?;
        Ok(Self(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Fields {
        Fields::of_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_field_of_the_wrong_kind_is_refused_by_name_and_its_value_is_not_repeated() {
        let plan = NumberPlan::default();
        let faults = [
            json(r#"{"a": 13800000001}"#).number("a", &plan).unwrap_err(),
            json(r#"{"a": "13800000001x"}"#).number("a", &plan).unwrap_err(),
            json(r#"{"a": -1}"#).integer("a").unwrap_err(),
            json(r#"{"a": 99999999999999}"#).seconds("a").unwrap_err(),
            json(r#"{"a": "yes"}"#).truth("a").unwrap_err(),
            json(r#"{"a": "tomorrow"}"#).time("a").unwrap_err(),
            json(r#"{"a": "13800000001"}"#)
                .word("a", &[("fail", 1)])
                .unwrap_err(),
            json("{}").needed_text("a").unwrap_err(),
        ];
        for fault in faults {
            assert_eq!(
                (fault.status.as_u16(), fault.field.as_deref()),
                (400, Some("a")),
                "{fault:?}"
            );
            assert!(!fault.message.contains("13800000001"), "{fault:?}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name_and_a_number_for_a_name_is_masked() {
        let mut fields = json(r#"{"x": "1", "colour": "red"}"#);
        fields.text("x").unwrap();
        assert_eq!(fields.done().unwrap_err().field.as_deref(), Some("colour"));
        let fault = json(r#"{"13800000001": 1}"#).done().unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("138****0001"));
    }

    #[test]
    fn an_update_tells_null_from_absent() {
        let mut fields = json(r#"{"a": null, "b": 5}"#);
        assert_eq!(fields.patch("a", |f| f.integer("a")).unwrap(), Patch::Clear);
        assert_eq!(fields.patch("b", |f| f.integer("b")).unwrap(), Patch::Set(5));
        assert_eq!(fields.patch("c", |f| f.integer("c")).unwrap(), Patch::Keep);
        fields.done().unwrap();
    }

    #[test]
    fn a_time_survives_a_query_string_that_ate_its_plus() {
        let pairs = vec![("since".to_owned(), "2026-11-21T18:00:00 08:00".to_owned())];
        let read = Fields::of_query(pairs).unwrap().time("since").unwrap();
        assert_eq!(read, Wall::parse_rfc3339("2026-11-21T10:00:00Z"));
    }

    #[test]
    fn a_field_named_twice_is_refused() {
        let pair = || ("x".to_owned(), "1".to_owned());
        assert_eq!(
            Fields::of_query(vec![pair(), pair()]).unwrap_err().code,
            "repeated_field"
        );
    }

    #[test]
    fn broken_json_is_refused_with_its_place_and_no_quotation() {
        let fault = Fields::of_json(br#"{"a": 13800000001"#).unwrap_err();
        assert_eq!(fault.code, "bad_json");
        assert!(!fault.message.contains("138"), "{fault:?}");
        assert_eq!(Fields::of_json(b"[1]").unwrap_err().code, "bad_json");
    }
}

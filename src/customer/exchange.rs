//! One question and its answer over a connection (RFC 9112).

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;

use super::breaker::Health;
use super::dial::Stream;
use super::sign::signature;
use crate::base::limits::{ASK_ANSWER_BYTES_MAX, ASK_HEAD_BYTES_MAX};
use crate::call::ask::{Advice, Inquiry, Silence};

/// Header fields that an answer may have.
const HEADERS_MAX: usize = 64;

/// The sending side of a connection that takes one question at a time.
pub(super) type Line = SendRequest<Full<Bytes>>;

/// What came of a question, and what it says of the server.
pub(super) struct Outcome {
    pub(super) advice: Advice,
    pub(super) health: Health,
}

impl Outcome {
    /// The server didn't answer, or not as one does that is well.
    pub(super) const fn down(why: Silence) -> Self {
        Self {
            advice: Advice::None(why),
            health: Health::Down,
        }
    }

    /// The server answered, and not so that it is of use.
    pub(super) const fn alive(why: Silence) -> Self {
        Self {
            advice: Advice::None(why),
            health: Health::Alive,
        }
    }
}

/// How a question left.
pub(super) enum Sent {
    /// It came to its end; the connection may be used once more, if it is still here.
    Over(Outcome, Option<Line>),
    /// The connection was gone before anything was sent.
    Unsent,
}

/// Opens HTTP on a connection.
pub(super) async fn open(stream: Stream) -> Result<Line, Silence> {
    let (line, connection) = http1::Builder::new()
        .max_buf_size(ASK_HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Silence::Broken)?;
    // It ends with the server's closing it, or with the last of our side: nobody else has to wait for it.
    tokio::spawn(connection);
    Ok(line)
}

/// Asks. `at_s` is the Unix time.
pub(super) async fn ask(mut line: Line, inquiry: &Inquiry, at_s: u64) -> Sent {
    if line.ready().await.is_err() {
        return Sent::Unsent;
    }
    let Some(request) = request(inquiry, at_s) else {
        return Sent::Over(Outcome::alive(Silence::NotSet), None);
    };
    let response = match line.try_send_request(request).await {
        Ok(response) => response,
        Err(mut error) => {
            // If it is still here, not a byte of it has left.
            return match error.take_message() {
                Some(_) => Sent::Unsent,
                None => Sent::Over(Outcome::down(Silence::Broken), None),
            };
        }
    };
    let status = response.status();
    if status.is_redirection() {
        return Sent::Over(Outcome::alive(Silence::Redirect), None);
    }
    if status.as_u16() != 200 {
        let health = if status.is_server_error() {
            Health::Down
        } else {
            Health::Alive
        };
        let advice = Advice::None(Silence::Status);
        return Sent::Over(Outcome { advice, health }, None);
    }
    match body_of(response).await {
        Ok(body) => {
            let outcome = Outcome {
                advice: Advice::read(&body),
                health: Health::Alive,
            };
            Sent::Over(outcome, Some(line))
        }
        Err(outcome) => Sent::Over(outcome, None),
    }
}

async fn body_of(response: Response<Incoming>) -> Result<Bytes, Outcome> {
    let body = Limited::new(response.into_body(), ASK_ANSWER_BYTES_MAX);
    match body.collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Outcome::alive(Silence::TooLong)),
        Err(_) => Err(Outcome::down(Silence::Broken)),
    }
}

/// The question as HTTP; `None` if there is no secret to sign it by. (A URL that was read has a host and a target that
/// can be sent.)
fn request(inquiry: &Inquiry, at_s: u64) -> Option<Request<Full<Bytes>>> {
    let (server, body) = (&inquiry.server, &inquiry.body);
    let secret = server.secret.as_ref()?;
    let value = |text: &str| HeaderValue::from_str(text).ok();
    Request::builder()
        .method(Method::POST)
        .uri(server.url.target())
        .header(HOST, value(server.url.authority())?)
        .header(USER_AGENT, concat!("umbra/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .header("Umbra-Id", value(&inquiry.id.to_string())?)
        .header("Umbra-Signature", value(&signature(secret.text(), at_s, body))?)
        .body(Full::new(Bytes::copy_from_slice(body)))
        .ok()
}

//! The command line's side of the control socket: one HTTP request, one JSON answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a long answer may take to begin, and to go on.
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(300);

/// Why there is no answer to be glad of.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody listens.
    #[error("no server answers at {0}: is `umbra serve` running there? (--control PATH names another)")]
    NoServer(PathBuf),
    /// The socket is somebody else's.
    #[error("{0} is another user's: run this as the user that runs the server")]
    Forbidden(PathBuf),
    /// The server refused; its own sentence.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The word for programs.
        code: String,
        /// The sentence.
        message: String,
    },
    /// The connection broke, or the answer makes no sense.
    #[error("the server at {0} gave no whole answer: {1}")]
    Broken(PathBuf, String),
}

/// A piece of a file that is being fetched.
pub struct Piece<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where they lie in the file.
    pub at: u64,
    /// How long the file is; 0 if the server doesn't say.
    pub length: u64,
}

/// Where a file that was fetched in part goes on.
pub struct GoOn<'a> {
    /// From this byte on.
    pub from: u64,
    /// If it is still this one: its entity tag (RFC 9110 §8.8.3), without the quotes.
    pub tag: &'a str,
}

/// The way to the running server.
pub struct Control {
    path: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Control {
    /// The server whose control socket is `path`. Nothing is opened yet.
    ///
    /// # Errors
    /// The operating system's, if it grants no poller.
    pub fn new(path: &Path) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            path: path.to_owned(),
            runtime,
        })
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process that listens there; `None` if nobody does, or if it can't be seen from here.
    pub fn process(&self) -> Option<u32> {
        let stream = UnixStream::connect(&self.path);
        let peer = self.runtime.block_on(stream).ok()?.peer_cred().ok()?;
        u32::try_from(peer.pid()?).ok().filter(|pid| *pid > 0)
    }

    /// Asks for what is at `path`, narrowed by `query`.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Trouble> {
        self.send(Method::GET, &target(path, query), None)
    }

    /// Sends a request with a body, or without.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn send(&self, method: Method, target: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let body = body.map(|b| Bytes::from(b.to_string())).unwrap_or_default();
        self.send_bytes(method, target, body)
    }

    /// [`Control::send`] for what may take the server minutes: all records are searched for a number, or all of a recording is
    /// read.
    ///
    /// # Errors
    /// As there. Where patience ends the server may still be at it, and the sentence says so.
    pub fn send_patiently(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let body = body.map(|b| Bytes::from(b.to_string())).unwrap_or_default();
        let late = "it took longer than five minutes; the server may still be at it, and do what was asked: look before you ask \
                    again";
        self.answer(method, target, body, (DOWNLOAD_PATIENCE, late))
    }

    /// Sends a request with whatever body.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn send_bytes(&self, method: Method, target: &str, body: Bytes) -> Result<Value, Trouble> {
        self.answer(method, target, body, (PATIENCE, "it took too long"))
    }

    fn answer(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
        (patience, late): (Duration, &str),
    ) -> Result<Value, Trouble> {
        let answer = async {
            tokio::time::timeout(patience, async {
                let response = self.exchange(method, target, &[], body).await?;
                self.whole(response).await
            })
            .await
            .unwrap_or_else(|_| Err(self.broken(late)))
        };
        let (status, bytes) = self.runtime.block_on(answer)?;
        if status.is_success() {
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes).map_err(|_| self.broken("it is no JSON"));
        }
        Err(refusal(status, &bytes))
    }

    /// Asks for what is at `path` and hands out its bytes as they come; `each` gets, besides, how many there will
    /// be.
    ///
    /// # Errors
    /// [`Trouble`], [`Trouble::Broken`] too if it ends before all have come; or what `each` says.
    pub fn download(
        &self,
        path: &str,
        each: &mut dyn FnMut(&[u8], u64) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        self.fetch(path, None, &mut |piece| each(piece.bytes, piece.length))
    }

    /// [`Control::download`], from a byte on if it is still the file that it was; otherwise from its begin, as the first
    /// piece says.
    ///
    /// # Errors
    /// As there.
    pub fn fetch(
        &self,
        path: &str,
        go_on: Option<GoOn<'_>>,
        each: &mut dyn FnMut(&Piece<'_>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let slow = |_| self.broken("it took too long");
        // RFC 9110 §13.1.5: without If-Range, what follows might be another file's.
        let headers = go_on.as_ref().map_or_else(Vec::new, |go_on| {
            vec![
                ("range", format!("bytes={}-", go_on.from)),
                ("if-range", format!("\"{}\"", go_on.tag)),
            ]
        });
        self.runtime.block_on(async {
            let asked = self.exchange(Method::GET, path, &headers, Bytes::new());
            let begun = tokio::time::timeout(DOWNLOAD_PATIENCE, asked);
            let mut response = begun.await.map_err(slow)??;
            if !response.status().is_success() {
                let (status, bytes) = self.whole(response).await?;
                return Err(refusal(status, &bytes).into());
            }
            let mut left = response.body().size_hint().exact().unwrap_or(0);
            let mut at = match (response.status(), &go_on) {
                (StatusCode::PARTIAL_CONTENT, Some(go_on)) => go_on.from,
                (_, _) => 0,
            };
            let length = at + left;
            let body = response.body_mut();
            while let Some(frame) = tokio::time::timeout(DOWNLOAD_PATIENCE, body.frame())
                .await
                .map_err(slow)?
            {
                let frame = frame.map_err(|e| self.broken(&e.to_string()))?;
                if let Some(bytes) = frame.data_ref() {
                    left = left.saturating_sub(bytes.len() as u64);
                    each(&Piece { bytes, at, length })?;
                    at += bytes.len() as u64;
                }
            }
            if left > 0 {
                return Err(self.broken("it ended too early").into());
            }
            Ok(())
        })
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Trouble> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|e| match e.kind() {
                io::ErrorKind::PermissionDenied => Trouble::Forbidden(self.path.clone()),
                _ => Trouble::NoServer(self.path.clone()),
            })?;
        let broken = |e: hyper::Error| self.broken(&e.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The connection's own fate shows in the answer; nothing else is to be learnt from it. It ends when its
        // one answer is read, because nobody can send on it any more.
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "umbra")
            .header("content-type", "application/json");
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, value))
            .body(Full::new(body))
            .map_err(|e| self.broken(&e.to_string()))?;
        sender.send_request(request).await.map_err(broken)
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<(StatusCode, Bytes), Trouble> {
        let status = response.status();
        let body = response.into_body().collect().await;
        let bytes = body.map_err(|e| self.broken(&e.to_string()))?.to_bytes();
        Ok((status, bytes))
    }

    fn broken(&self, why: &str) -> Trouble {
        Trouble::Broken(self.path.clone(), why.to_owned())
    }
}

/// The server's own sentence.
fn refusal(status: StatusCode, bytes: &[u8]) -> Trouble {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    Trouble::Refused {
        status: status.as_u16(),
        code: text("code").unwrap_or_else(|| "unknown".into()),
        message: text("message").unwrap_or_else(|| format!("the server answered {status}")),
    }
}

/// A path with a query string.
pub fn target(path: &str, query: &[(&str, String)]) -> String {
    let mut target = path.to_owned();
    for (i, (name, value)) in query.iter().enumerate() {
        target.push(if i == 0 { '?' } else { '&' });
        target.push_str(name);
        target.push('=');
        target.push_str(&escaped(value));
    }
    target
}

/// Text as one segment of a path or one value of a query (RFC 3986 §2.3).
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_a_target_is_escaped() {
        let query = [("a", "+86 138".to_owned()), ("user_data", "订&=".to_owned())];
        assert_eq!(
            target("/v1/bindings", &query),
            "/v1/bindings?a=%2B86%20138&user_data=%E8%AE%A2%26%3D"
        );
    }

    #[test]
    fn a_missing_server_is_named_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::new(&dir.path().join("control.sock")).unwrap();
        let fault = control.get("/v1/status", &[]).unwrap_err().to_string();
        assert!(fault.starts_with("no server answers at "), "{fault}");
        assert!(
            fault.ends_with("is `umbra serve` running there? (--control PATH names another)"),
            "{fault}"
        );
    }
}

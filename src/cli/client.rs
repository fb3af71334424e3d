//! The command line's side of the control socket: one HTTP request, one JSON answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

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
        let answer = async {
            tokio::time::timeout(PATIENCE, self.exchange(method, target, body))
                .await
                .unwrap_or_else(|_| Err(self.broken("it took too long")))
        };
        let (status, bytes) = self.runtime.block_on(answer)?;
        if status.is_success() {
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes).map_err(|_| self.broken("it is no JSON"));
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        Err(Trouble::Refused {
            status: status.as_u16(),
            code: text("code").unwrap_or_else(|| "unknown".into()),
            message: text("message").unwrap_or_else(|| format!("the server answered {status}")),
        })
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), Trouble> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|e| match e.kind() {
                io::ErrorKind::PermissionDenied => Trouble::Forbidden(self.path.clone()),
                _ => Trouble::NoServer(self.path.clone()),
            })?;
        let broken = |e: hyper::Error| self.broken(&e.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The connection's own fate shows in the answer; nothing else is to be learnt from it.
        let connection = tokio::spawn(async move { drop(connection.await) });
        let bytes = body.map(|b| Bytes::from(b.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "umbra")
            .header("content-type", "application/json")
            .body(Full::new(bytes))
            .map_err(|e| self.broken(&e.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
        connection.abort();
        Ok((status, bytes))
    }

    fn broken(&self, why: &str) -> Trouble {
        Trouble::Broken(self.path.clone(), why.to_owned())
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

//! The control socket of a running server, spoken to as programs do.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

/// One request and its answer; `None` when the server is gone.
pub fn ask(desk: &mut UnixStream, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: umbra\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    desk.write_all(request.as_bytes()).ok()?;
    let mut text = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = desk.read(&mut buffer).ok().filter(|read| *read > 0)?;
        text.extend_from_slice(&buffer[..read]);
        let whole = String::from_utf8_lossy(&text);
        let Some((head, rest)) = whole.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse::<usize>()
                .ok()
        });
        if rest.len() >= length.unwrap_or(0) {
            let status = head.split(' ').nth(1)?.parse().ok()?;
            return Some((status, serde_json::from_str(rest).unwrap_or(Value::Null)));
        }
    }
}

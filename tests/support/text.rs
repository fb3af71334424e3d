//! SIP text, read by a few lines of our own. The server's reader is not used here: phones are a second
//! opinion.

use std::fmt;

/// A message as a phone understands it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Msg {
    /// The start line.
    pub start: String,
    /// Header names as they came, and values, trimmed and unfolded.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Compact forms that this reader knows.
const COMPACT: [(&str, &str); 9] = [
    ("v", "Via"),
    ("f", "From"),
    ("t", "To"),
    ("i", "Call-ID"),
    ("m", "Contact"),
    ("l", "Content-Length"),
    ("c", "Content-Type"),
    ("k", "Supported"),
    ("x", "Session-Expires"),
];

impl Msg {
    /// Reads a datagram.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let at = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..at])
            .replace("\r\n ", " ")
            .replace("\r\n\t", " ");
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let name = name.trim();
            let full = COMPACT
                .iter()
                .find(|(short, _)| short.eq_ignore_ascii_case(name))
                .map_or(name, |(_, full)| full);
            headers.push((full.to_owned(), value.trim().to_owned()));
        }
        Some(Self {
            start,
            headers,
            body: bytes[at + 4..].to_vec(),
        })
    }

    /// Whether it travels over TCP or TLS: what its topmost Via says.
    pub fn is_over_tcp(&self) -> bool {
        let starts = |via: &str| via.starts_with("SIP/2.0/TCP") || via.starts_with("SIP/2.0/TLS");
        self.get("Via").is_some_and(starts)
    }

    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Every line's value of a header.
    pub fn all<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// A response's status.
    pub fn status(&self) -> Option<u16> {
        let rest = self.start.strip_prefix("SIP/2.0 ")?;
        rest.get(..3)?.parse().ok()
    }

    /// A request's method, or the one that a response answers.
    pub fn method(&self) -> &str {
        match self.status() {
            Some(_) => self
                .get("CSeq")
                .and_then(|c| c.split_whitespace().nth(1))
                .unwrap_or(""),
            None => self.start.split(' ').next().unwrap_or(""),
        }
    }

    /// A request's target.
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// CSeq's number.
    pub fn cseq(&self) -> u32 {
        self.get("CSeq")
            .and_then(|c| c.split_whitespace().next())
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    }

    /// The topmost Via's branch.
    pub fn branch(&self) -> &str {
        self.get("Via").and_then(|via| param(via, "branch")).unwrap_or("")
    }

    /// The tag in From or To.
    pub fn tag(&self, header: &str) -> Option<&str> {
        self.get(header).and_then(|value| param(value, "tag"))
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.get("Call-ID").unwrap_or("")
    }

    /// `INVITE` or `200 INVITE`.
    pub fn name(&self) -> String {
        match self.status() {
            Some(status) => format!("{status} {}", self.method()),
            None => self.method().to_owned(),
        }
    }
}

impl fmt::Debug for Msg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// A parameter after the address part of a header value.
pub fn param<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    let after = value.rfind('>').map_or(value, |at| &value[at..]);
    after.split(';').skip(1).find_map(|p| {
        let (n, v) = p.split_once('=')?;
        (n.trim().eq_ignore_ascii_case(name)).then(|| v.split(',').next().unwrap_or(v).trim())
    })
}

/// The values of a header line, split at the commas that stand in no brackets and no quotes.
pub fn listed(line: &str) -> Vec<String> {
    let (mut bracketed, mut quoted, mut escaped) = (false, false, false);
    let parts = line.split(|c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            '"' if !bracketed => quoted = !quoted,
            _ => {}
        }
        c == ',' && !bracketed && !quoted
    });
    parts.map(|value| value.trim().to_owned()).collect()
}

/// A header value without the quoted name before its address.
fn unnamed(value: &str) -> &str {
    let Some(rest) = value.strip_prefix('"') else {
        return value;
    };
    let mut escaped = false;
    let end = rest.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(value, |end| &rest[end + 1..])
}

/// The URI in a header value.
pub fn uri_in(value: &str) -> &str {
    let value = unnamed(value);
    match (value.find('<'), value.find('>')) {
        (Some(open), Some(close)) if open < close => &value[open + 1..close],
        _ => value.split(';').next().unwrap_or(value),
    }
}

/// The user part of a URI.
pub fn user_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split_once('@').map_or("", |(user, _)| user)
}

/// `host[:port]` of a URI.
pub fn host_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let rest = rest.split_once('@').map_or(rest, |(_, host)| host);
    rest.split([';', '?', '>']).next().unwrap_or(rest)
}

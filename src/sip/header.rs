//! Header names, and the values that have a form of their own. Everything here borrows; nothing is copied.
//!
//! Where the grammar of RFC 3261 §25.1 allows white space, folds included, it is accepted; the parts that
//! come out are trimmed.

use std::fmt;
use std::net::IpAddr;
use std::str::from_utf8;

use super::method::Method;
use super::scan::{find, find_either};
use super::uri;

mod name;

pub use name::Name;

/// White space of RFC 3261's LWS, the CR and LF of a fold included.
pub(in crate::sip) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The text without white space and folds around it.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_lws(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_lws(*last)
    {
        text = rest;
    }
    text
}

/// Whether the bytes are a token (RFC 3261 §25.1), which is never empty.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a token may hold the byte.
#[inline]
pub(super) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Which bytes a token may hold.
const TOKEN: [bool; 256] = {
    let mut is_token = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let c = byte as u8;
        is_token[byte] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        byte += 1;
    }
    is_token
};

/// A decimal number of at most `max`; leading zeros count for nothing, anything else than digits is refused.
pub fn decimal(text: &[u8], max: u32) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    let mut number: u32 = 0;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?;
        if number > max {
            return None;
        }
    }
    Some(number)
}

/// What hides a separator, besides a quoted string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hiding {
    /// Nothing else.
    Quotes,
    /// `<…>` and comments in parentheses.
    Brackets,
}

/// The text up to the separator, and what follows it (`None`: it isn't there). An open quote or bracket hides
/// all the rest.
#[inline]
fn cut(text: &[u8], separator: u8, hiding: Hiding) -> (&[u8], Option<&[u8]>) {
    let hides = |byte: u8| match hiding {
        Hiding::Quotes => byte == b'"',
        Hiding::Brackets => matches!(byte, b'"' | b'<' | b'('),
    };
    // Before the first that hides anything, which mostly isn't there, a separator is one.
    let first = match hiding {
        Hiding::Quotes => find_either(text, separator, b'"'),
        // Most have none at all, hidden or not.
        Hiding::Brackets => find(text, separator).and_then(|last| {
            text.iter()
                .take(last + 1)
                .position(|byte| *byte == separator || hides(*byte))
        }),
    };
    let Some(first) = first else {
        return (text, None);
    };
    if let Some((before, [found, after @ ..])) = text.split_at_checked(first)
        && *found == separator
    {
        return (before, Some(after));
    }
    cut_behind(text, first, separator, hiding)
}

/// The same, where a quote or a bracket stands at `first`, before any separator.
fn cut_behind(text: &[u8], first: usize, separator: u8, hiding: Hiding) -> (&[u8], Option<&[u8]>) {
    let mut quoted = false;
    let mut angle = false;
    let mut comments: u32 = 0;
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate().skip(first) {
        if escaped {
            escaped = false;
        } else if quoted || comments > 0 {
            match byte {
                b'\\' => escaped = true,
                b'"' if quoted => quoted = false,
                b'(' if !quoted => comments = comments.saturating_add(1),
                b')' if !quoted => comments = comments.saturating_sub(1),
                _ => {}
            }
        } else if angle {
            angle = byte != b'>';
        } else if byte == separator {
            let (before, after) = text.split_at_checked(at).unwrap_or((text, &[]));
            return (before, Some(after.get(1..).unwrap_or_default()));
        } else {
            match (byte, hiding) {
                (b'"', Hiding::Quotes | Hiding::Brackets) => quoted = true,
                (b'<', Hiding::Brackets) => angle = true,
                (b'(', Hiding::Brackets) => comments = 1,
                _ => {}
            }
        }
    }
    (text, None)
}

/// The values of a comma list (RFC 3261 §7.3.1), trimmed, empty ones left out.
pub fn split(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        while let Some(list) = rest {
            let (value, after) = cut(list, b',', Hiding::Brackets);
            rest = after;
            let value = trim(value);
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    })
}

/// The pieces between semicolons that stand outside quotes, as they are.
pub(super) fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (piece, after) = cut(rest?, b';', Hiding::Quotes);
        rest = after;
        Some(piece)
    })
}

/// Parameters `a=1;b;c="x;y"`: name and value (`None`: a flag), trimmed, values without their quotes. An empty
/// place between two semicolons has an empty name.
pub fn params(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut rest = if trim(text).is_empty() { None } else { Some(text) };
    std::iter::from_fn(move || {
        let (param, after) = cut(rest?, b';', Hiding::Quotes);
        rest = after;
        let (name, value) = cut(param, b'=', Hiding::Quotes);
        Some((trim(name), value.map(|value| unquote(trim(value)))))
    })
}

/// The value of the parameter of that name, in any case; a flag's is empty.
pub(super) fn param<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    params(text)
        .find(|(found, _)| is_like(found, name.as_bytes()))
        .map(|(_, value)| value.unwrap_or_default())
}

/// Whether the text is that word, in any case: mostly it is written as we write it, or has another length.
#[inline]
fn is_like(text: &[u8], word: &[u8]) -> bool {
    text.len() == word.len() && (text == word || text.eq_ignore_ascii_case(word))
}

/// The text without the quotes around it, if it has them. Escapes stay.
fn unquote(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"")
        .and_then(|text| text.strip_suffix(b"\""))
        .unwrap_or(text)
}

/// A transport as Via names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ViaTransport {
    /// `UDP`
    Udp,
    /// `TCP`
    Tcp,
    /// `TLS`
    Tls,
    /// Any other token: SCTP, WS and the unknown.
    Other,
}

/// The `rport` parameter (RFC 3581).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rport {
    /// Not there.
    Absent,
    /// Asked for: without a value, or with one that is no port.
    Asked,
    /// Filled in by whom the request passed.
    Port(u16),
}

/// One Via value (RFC 3261 §20.42).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport that the sender used.
    pub transport: ViaTransport,
    /// The sent-by host as written: a name, an IPv4 address, or an IPv6 address in its brackets.
    pub host: &'a [u8],
    /// The sent-by host, if it is an address.
    pub address: Option<IpAddr>,
    /// The sent-by port, never 0.
    pub port: Option<u16>,
    /// The branch; an RFC 2543 sender has none or one without the cookie.
    pub branch: Option<&'a [u8]>,
    /// Whether the sender asks for answers to its source port.
    pub rport: Rport,
    /// Whether it says where it was received from (RFC 3261 §18.2.1).
    pub has_received: bool,
    /// All parameters, without the first semicolon.
    pub params: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one value, not a list. `None`: not `SIP/2.0/transport host[:port];params`, an unbracketed IPv6
    /// address, or an empty parameter.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (sent, params_text) = cut(value, b';', Hiding::Quotes);
        let rest = match sent.strip_prefix(b"SIP/2.0/") {
            Some(rest) => trim(rest),
            // In another case, or with white space around the slashes.
            None => {
                let (protocol, rest) = cut(sent, b'/', Hiding::Quotes);
                let (version, rest) = cut(rest?, b'/', Hiding::Quotes);
                if !trim(protocol).eq_ignore_ascii_case(b"SIP") || trim(version) != b"2.0" {
                    return None;
                }
                trim(rest?)
            }
        };
        let gap = rest.iter().position(|byte| is_lws(*byte))?;
        let (transport, sent_by) = rest.split_at_checked(gap)?;
        if !is_token(transport) {
            return None;
        }
        let (host, address, port) = sent_by_parts(trim(sent_by))?;
        let mut via = Self {
            transport: via_transport(transport),
            host,
            address,
            port,
            branch: None,
            rport: Rport::Absent,
            has_received: false,
            params: params_text.unwrap_or_default(),
        };
        if params_text.is_some_and(|text| trim(text).is_empty()) {
            return None;
        }
        for (name, value) in params(via.params) {
            if name.is_empty() {
                return None;
            } else if is_like(name, b"branch") {
                via.branch = via.branch.or(value);
            } else if is_like(name, b"rport") && via.rport == Rport::Absent {
                via.rport = value.and_then(uri::port).map_or(Rport::Asked, Rport::Port);
            } else if is_like(name, b"received") {
                via.has_received = true;
            }
        }
        Some(via)
    }

    /// The parameter of that name, in any case; a flag's value is empty.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        param(self.params, name)
    }
}

impl fmt::Debug for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Via({:?})", self.transport)
    }
}

fn via_transport(token: &[u8]) -> ViaTransport {
    if is_like(token, b"UDP") {
        ViaTransport::Udp
    } else if token.eq_ignore_ascii_case(b"TCP") {
        ViaTransport::Tcp
    } else if token.eq_ignore_ascii_case(b"TLS") {
        ViaTransport::Tls
    } else {
        ViaTransport::Other
    }
}

/// `host [ ":" port ]`, where Via allows white space around the colon.
fn sent_by_parts(text: &[u8]) -> Option<(&[u8], Option<IpAddr>, Option<u16>)> {
    let (host, after) = uri::split_host(text)?;
    let host = trim(host);
    let address = uri::Host::parse(host)?.ip();
    match trim(after) {
        [] => Some((host, address, None)),
        [b':', port @ ..] => Some((host, address, Some(uri::port(trim(port))?))),
        _ => None,
    }
}

/// `"display" <uri>;params` or `uri;params`: From, To, Contact, P-Asserted-Identity, Route and their like
/// (RFC 3261 §20.10, §20.20).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as written, without quotes; it may hold escapes, folds and bytes that are no UTF-8.
    pub display: Option<&'a [u8]>,
    /// The URI, without its angle brackets. Never empty and free of white space; not yet read.
    pub uri: &'a [u8],
    /// The header's parameters, without the first semicolon.
    pub params: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads one value, not a list. Without angle brackets whatever follows the first semicolon belongs to the
    /// header, and the URI can have no `?` (RFC 3261 §20). `None`: an open quote or bracket, something between
    /// the parts, no URI.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        if let Some(rest) = value.strip_prefix(b"\"") {
            let (display, rest) = quoted(rest)?;
            return Self::bracketed(Some(display), trim(rest).strip_prefix(b"<")?);
        }
        // A quote before any bracket belongs to a parameter: then there are no brackets.
        let mark = find_either(value, b'<', b'"');
        if let Some((before, [b'<', rest @ ..])) = mark.and_then(|at| value.split_at_checked(at)) {
            let display = trim(before);
            return Self::bracketed((!display.is_empty()).then_some(display), rest);
        }
        let (uri, params) = cut(value, b';', Hiding::Quotes);
        let uri = trim(uri);
        (is_uri_like(uri) && !uri.contains(&b'?')).then_some(Self {
            display: None,
            uri,
            params: params.unwrap_or_default(),
        })
    }

    fn bracketed(display: Option<&'a [u8]>, rest: &'a [u8]) -> Option<Self> {
        let close = find(rest, b'>')?;
        let (uri, rest) = rest.split_at_checked(close)?;
        let params = match trim(rest.get(1..)?) {
            [] => &[],
            [b';', params @ ..] => params,
            _ => return None,
        };
        // White space just inside the brackets is repaired (RFC 4475 §3.1.2.14).
        let uri = trim(uri);
        is_uri_like(uri).then_some(Self { display, uri, params })
    }

    /// The tag; an empty one is none.
    pub fn tag(&self) -> Option<&'a [u8]> {
        let tag = match self.params.strip_prefix(b"tag=") {
            // As nearly everybody writes it: first, and without quotes.
            Some(rest) if !rest.contains(&b'"') => {
                let end = find(rest, b';').unwrap_or(rest.len());
                rest.get(..end).map(trim)
            }
            Some(_) | None => self.param("tag"),
        };
        tag.filter(|tag| !tag.is_empty())
    }

    /// The header parameter of that name, in any case; a flag's value is empty.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        param(self.params, name)
    }
}

impl fmt::Debug for NameAddr<'_> {
    /// Says nothing: names and numbers stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameAddr(…)")
    }
}

/// A quoted string, from after its opening quote: the inside, and what follows the closing quote.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            let (inside, rest) = text.split_at_checked(at)?;
            return Some((inside, rest.get(1..)?));
        }
    }
    None
}

fn is_uri_like(uri: &[u8]) -> bool {
    !uri.is_empty() && !uri.iter().any(|byte| NEVER_IN_URI[usize::from(*byte)])
}

/// Which bytes can't stand in a URI between its brackets, however lenient one is.
const NEVER_IN_URI: [bool; 256] = {
    let mut never = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let c = byte as u8;
        never[byte] = c.is_ascii_control() || matches!(c, b' ' | b'<' | b'>' | b'"');
        byte += 1;
    }
    never
};

/// A CSeq value (RFC 3261 §20.16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// Less than 2^31.
    pub number: u32,
    /// The method; of two unknown ones only the tokens tell whether they are the same.
    pub method: Method,
}

impl CSeq {
    /// Reads the value; beside it the method's token. `None`: not `number method`, or 2^31 and more.
    pub fn parse(value: &[u8]) -> Option<(Self, &[u8])> {
        let value = trim(value);
        let gap = value.iter().position(|byte| is_lws(*byte))?;
        let (number, token) = value.split_at_checked(gap)?;
        let token = trim(token);
        let cseq = Self {
            number: decimal(number, (1 << 31) - 1)?,
            method: Method::from_token(token),
        };
        is_token(token).then_some((cseq, token))
    }
}

/// An RAck value (RFC 3262 §7.2): which reliable response a PRACK acknowledges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RAck {
    /// The response's RSeq.
    pub rseq: u32,
    /// The response's CSeq.
    pub cseq: CSeq,
}

impl RAck {
    /// Reads the value. `None`: not `rseq cseq method`, or a number that is too large.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = trim(value);
        let gap = value.iter().position(|byte| is_lws(*byte))?;
        let (rseq, cseq) = value.split_at_checked(gap)?;
        Some(Self {
            rseq: decimal(rseq, u32::MAX)?,
            cseq: CSeq::parse(cseq)?.0,
        })
    }
}

/// A Content-Type value (RFC 3261 §20.15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaType<'a> {
    /// What stands before the slash.
    pub kind: &'a [u8],
    /// What stands after it.
    pub subtype: &'a [u8],
    /// The parameters, without the first semicolon.
    pub params: &'a [u8],
}

impl<'a> MediaType<'a> {
    /// Reads the value. `None`: not `token/token;params`.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (name, params) = cut(value, b';', Hiding::Quotes);
        let (kind, subtype) = cut(name, b'/', Hiding::Quotes);
        let (kind, subtype) = (trim(kind), trim(subtype?));
        (is_token(kind) && is_token(subtype)).then_some(Self {
            kind,
            subtype,
            params: params.unwrap_or_default(),
        })
    }

    /// Whether it is that type, such as `application/sdp`, in any case.
    pub fn is(&self, name: &str) -> bool {
        name.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind.as_bytes())
                && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
        })
    }

    /// The parameter of that name (`boundary`, `charset`), in any case; a flag's value is empty.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        param(self.params, name)
    }
}

/// The seconds that a Retry-After says (RFC 3261 §20.33), whatever comment and parameters follow. `None`: it doesn't
/// begin with digits. A number that is too large is the largest.
pub fn retry_after(value: &[u8]) -> Option<u32> {
    let value = trim(value);
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    let add = |sum: u32, digit: &u8| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    let first = value.first()?;
    first.is_ascii_digit().then(|| digits.fold(0, add))
}

/// The bytes as text, if they are ASCII.
pub(super) fn ascii(text: &[u8]) -> Option<&str> {
    text.is_ascii().then(|| from_utf8(text).ok()).flatten()
}

#[cfg(test)]
mod tests;

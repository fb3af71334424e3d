//! Header names, and the values that have a form of their own. Everything here borrows; nothing is copied.
//!
//! Where the grammar of RFC 3261 §25.1 allows white space, folds included, it is accepted; the parts that
//! come out are trimmed.

use std::fmt;
use std::str::from_utf8;

use super::method::Method;
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
    !text.is_empty()
        && text.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
                )
        })
}

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
fn cut(text: &[u8], separator: u8, hiding: Hiding) -> (&[u8], Option<&[u8]>) {
    let mut quoted = false;
    let mut angle = false;
    let mut comments: u32 = 0;
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate() {
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
        .find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value.unwrap_or_default())
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
    /// The sent-by port, never 0.
    pub port: Option<u16>,
    /// The branch; an RFC 2543 sender has none or one without the cookie.
    pub branch: Option<&'a [u8]>,
    /// Whether the sender asks for answers to its source port.
    pub rport: Rport,
    /// All parameters, without the first semicolon.
    pub params: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one value, not a list. `None`: not `SIP/2.0/transport host[:port];params`, an unbracketed IPv6
    /// address, or an empty parameter.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (sent, params_text) = cut(value, b';', Hiding::Quotes);
        let (protocol, rest) = cut(sent, b'/', Hiding::Quotes);
        let (version, rest) = cut(rest?, b'/', Hiding::Quotes);
        if !trim(protocol).eq_ignore_ascii_case(b"SIP") || trim(version) != b"2.0" {
            return None;
        }
        let rest = trim(rest?);
        let gap = rest.iter().position(|byte| is_lws(*byte))?;
        let (transport, sent_by) = rest.split_at_checked(gap)?;
        if !is_token(transport) {
            return None;
        }
        let (host, port) = sent_by_parts(trim(sent_by))?;
        let mut via = Self {
            transport: via_transport(transport),
            host,
            port,
            branch: None,
            rport: Rport::Absent,
            params: params_text.unwrap_or_default(),
        };
        if params_text.is_some_and(|text| trim(text).is_empty()) {
            return None;
        }
        for (name, value) in params(via.params) {
            if name.is_empty() {
                return None;
            } else if name.eq_ignore_ascii_case(b"branch") {
                via.branch = via.branch.or(value);
            } else if name.eq_ignore_ascii_case(b"rport") && via.rport == Rport::Absent {
                via.rport = value.and_then(uri::port).map_or(Rport::Asked, Rport::Port);
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
    if token.eq_ignore_ascii_case(b"UDP") {
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
fn sent_by_parts(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let (host, after) = uri::split_host(text)?;
    let host = trim(host);
    uri::Host::parse(host)?;
    match trim(after) {
        [] => Some((host, None)),
        [b':', port @ ..] => Some((host, Some(uri::port(trim(port))?))),
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
        let mark = value.iter().position(|byte| matches!(byte, b'<' | b'"'));
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
        let close = rest.iter().position(|byte| *byte == b'>')?;
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
        self.param("tag").filter(|tag| !tag.is_empty())
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
    !uri.is_empty()
        && !uri
            .iter()
            .any(|byte| byte.is_ascii_control() || matches!(byte, b' ' | b'<' | b'>' | b'"'))
}

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

/// The bytes as text, if they are ASCII.
pub(super) fn ascii(text: &[u8]) -> Option<&str> {
    text.is_ascii().then(|| from_utf8(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_outside_quotes_brackets_and_comments() {
        let values = |list: &'static str| -> Vec<_> {
            split(list.as_bytes())
                .map(|value| std::str::from_utf8(value).expect("text"))
                .collect()
        };
        assert_eq!(
            values("\"a, \\\" b\" <sip:x,y@h> ;p=\"1,2\",\r\n <sip:z@h>, sip:w@h"),
            ["\"a, \\\" b\" <sip:x,y@h> ;p=\"1,2\"", "<sip:z@h>", "sip:w@h"]
        );
        assert_eq!(values("a (b, (c, \\) d), e), f"), ["a (b, (c, \\) d), e)", "f"]);
        assert_eq!(values("<sip:(a@h>, b"), ["<sip:(a@h>", "b"]);
        assert_eq!(values(" ,, a,,\t,b , "), ["a", "b"]);
        assert_eq!(values(""), [""; 0]);
        assert_eq!(values("\"open, a"), ["\"open, a"]);
    }

    #[test]
    fn parameters_are_found_whatever_surrounds_them() {
        let text = b"a = 1 ; B;c=\"x;y=\\\"\" ;;d=\r\n 4;e=";
        assert_eq!(param(text, "A"), Some(&b"1"[..]));
        assert_eq!(param(text, "b"), Some(&b""[..]));
        assert_eq!(param(text, "c"), Some(&b"x;y=\\\""[..]));
        assert_eq!(param(text, "d"), Some(&b"4"[..]));
        assert_eq!(param(text, "e"), Some(&b""[..]));
        assert_eq!(param(text, "y"), None);
        assert_eq!(params(b" ").count(), 0);
    }

    #[test]
    fn a_name_addr_comes_in_three_forms() {
        let read = |text: &'static str| NameAddr::parse(text.as_bytes()).expect(text);
        let quoted = read(" \"A \\\"<B>\\\\\"<sip:a@h;x=1?y=2> ; tag=t;q=0.7");
        assert_eq!(quoted.display, Some(&b"A \\\"<B>\\\\"[..]));
        assert_eq!(quoted.uri, b"sip:a@h;x=1?y=2");
        assert_eq!(
            (quoted.tag(), quoted.param("Q")),
            (Some(&b"t"[..]), Some(&b"0.7"[..]))
        );
        let words = read("Bell, Alexander  <sip:a@h>");
        assert_eq!(words.display, Some(&b"Bell, Alexander"[..]));
        assert_eq!(words.tag(), None);
        let bare = read("sip:a@h;tag=\"<x>\";lr");
        assert_eq!((bare.display, bare.uri), (None, &b"sip:a@h"[..]));
        assert_eq!(
            (bare.tag(), bare.param("lr")),
            (Some(&b"<x>"[..]), Some(&b""[..]))
        );
        assert_eq!(read("< sip:a@h >").uri, b"sip:a@h");
        assert_eq!(
            read("\"\" <tel:+86138;phone-context=x>").uri,
            b"tel:+86138;phone-context=x"
        );
        assert_eq!(read("*").uri, b"*");
        assert_eq!(read("<sip:a@h>;tag=").tag(), None);
        assert_eq!(read("<sip:a@h>;tag=one;tag=two").tag(), Some(&b"one"[..]));
        for bad in [
            "",
            "<>",
            "< >",
            "\"",
            "\"a",
            "\"a\" sip:x@h",
            "\"a\\\" <sip:x@h>",
            "<sip:a@h",
            "<sip:a b@h>",
            "<sip:a@h> x",
            "<<sip:a@h>>",
            "a sip:b@h",
            "sip:a@h?x=y",
            ";tag=x",
            "a \"b\" <sip:x@h>",
        ] {
            assert_eq!(NameAddr::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_via_is_read_with_its_address_and_parameters() {
        let via =
            Via::parse(b"SIP/2.0/sctp h.example.com ; received=[::1];rport ;BRANCH=z9hG4bKx").expect("a Via");
        assert_eq!(
            (via.transport, via.host, via.port),
            (ViaTransport::Other, &b"h.example.com"[..], None)
        );
        assert_eq!((via.branch, via.rport), (Some(&b"z9hG4bKx"[..]), Rport::Asked));
        assert_eq!(via.param("received"), Some(&b"[::1]"[..]));
        let twice = Via::parse(b"SIP/2.0/UDP h;branch=one;branch=two").expect("a Via");
        assert_eq!(twice.branch, Some(&b"one"[..]));
        let rport = |text: &'static str| Via::parse(text.as_bytes()).map(|via| via.rport);
        assert_eq!(rport("SIP/2.0/UDP h"), Some(Rport::Absent));
        assert_eq!(rport("SIP/2.0/UDP h;rport="), Some(Rport::Asked));
        assert_eq!(rport("SIP/2.0/UDP h;rport=70000"), Some(Rport::Asked));
        assert_eq!(rport("SIP/2.0/UDP h;rport=5060;rport=9"), Some(Rport::Port(5060)));
        for bad in [
            "",
            "SIP",
            "SIP/2.0",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0/UDP ;branch=x",
            "SIP/3.0/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0/U(P h",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP h:0",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP ::1",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP h;",
            "SIP/2.0/UDP h;;branch=x",
            "SIP/2.0/UDP h;=x",
        ] {
            assert_eq!(Via::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_cseq_is_less_than_2_to_the_31() {
        let cseq = |text: &'static str| CSeq::parse(text.as_bytes()).map(|(cseq, _)| cseq.number);
        assert_eq!(cseq("2147483647 BYE"), Some(2_147_483_647));
        assert_eq!(cseq("0 \r\n BYE"), Some(0));
        assert_eq!(cseq("00000000000000007\tBYE"), Some(7));
        for bad in [
            "2147483648 BYE",
            "-1 BYE",
            "1",
            "1 ",
            "BYE 1",
            "1 B(E",
            "1 BYE x",
            "99999999999999999999 BYE",
        ] {
            assert_eq!(cseq(bad), None, "{bad:?}");
        }
        let (cseq, token) = CSeq::parse(b"1 NEWMETHOD").expect("a CSeq");
        assert_eq!((cseq.method, token), (Method::Unknown, &b"NEWMETHOD"[..]));
    }

    #[test]
    fn a_media_type_is_compared_in_any_case() {
        let kind = MediaType::parse(b"Multipart / MIXED ; boundary=\"a;b\"").expect("a type");
        assert!(kind.is("multipart/mixed") && !kind.is("multipart") && !kind.is("multipart/related"));
        assert_eq!(kind.param("boundary"), Some(&b"a;b"[..]));
        for bad in ["", "text", "text/", "/plain", "text/pl ain", "text/plain/x"] {
            assert_eq!(MediaType::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}

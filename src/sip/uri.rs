//! `sip:`, `sips:` and `tel:` URIs (RFC 3261 §19.1, RFC 3966), in place.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayString;

use super::header::{self, ascii};
use super::path::Transport;
use super::scan::find;

/// A URI's scheme.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Well formed, but none of these.
    Other,
}

/// A URI's host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// A name; empty in a URI without a host (`tel:`, other schemes).
    Name(&'a [u8]),
    /// An address; IPv6 was written in brackets.
    Ip(IpAddr),
}

impl<'a> Host<'a> {
    /// Reads a host: a name of letters, digits, `-`, `.` and `_`, an IPv4 address, or an IPv6 address in brackets.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if let [b'[', inside @ .., b']'] = text {
            let address: Ipv6Addr = ascii(inside)?.parse().ok()?;
            return Some(Self::Ip(address.into()));
        }
        if let Some(address) = ipv4(text) {
            return Some(Self::Ip(address.into()));
        }
        let is_name = !text.is_empty() && text.iter().all(|byte| NAMED[usize::from(*byte)]);
        is_name.then_some(Self::Name(text))
    }

    /// The address, if the host is one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(_) => f.write_str("Name(…)"),
            Self::Ip(_) => f.write_str("Ip(…)"),
        }
    }
}

/// Which bytes stand in no URI.
const FORBIDDEN: [bool; 256] = {
    let mut forbidden = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        forbidden[byte] = !c.is_ascii_graphic() || matches!(c, b'<' | b'>' | b'"' | b'\\');
        byte += 1;
    }
    forbidden
};

/// Which bytes stand in a host's name or an IPv4 address.
const NAMED: [bool; 256] = {
    let mut named = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        named[byte] = c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
        byte += 1;
    }
    named
};

/// Why a text is no URI that we read. Holds nothing of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadUri {
    /// No scheme with a colon.
    #[error("URI without a scheme")]
    Scheme,
    /// A space, a quote, a bracket, a control character or a byte beyond ASCII.
    #[error("URI with a character that is never in one")]
    Character,
    /// More than one `@`, or nothing before it.
    #[error("URI with a bad user part")]
    User,
    /// No host, or one that is neither a name nor an address (an IPv6 address without brackets).
    #[error("URI with a bad host")]
    Host,
    /// Not 1–65535.
    #[error("URI with a bad port")]
    Port,
}

/// One URI, borrowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part as written, escapes and `;` parameters included, without the password. For `tel:` the
    /// subscriber with its parameters.
    pub user: Option<&'a [u8]>,
    /// The host; an empty name for `tel:` and other schemes.
    pub host: Host<'a>,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// The URI's parameters, without the first semicolon. For `tel:` the subscriber's.
    pub params: &'a [u8],
    /// What follows the `?`. Nothing here is ever obeyed.
    pub headers: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI. Escapes are not folded, so an escaped `@` or `:` never moves a border.
    ///
    /// # Errors
    /// [`BadUri`] says which part is wrong. A scheme that we don't know is no error: [`Scheme::Other`].
    pub fn parse(text: &'a [u8]) -> Result<Self, BadUri> {
        if text.iter().any(|byte| FORBIDDEN[usize::from(*byte)]) {
            return Err(BadUri::Character);
        }
        let (scheme, rest) = split_once(text, b':').ok_or(BadUri::Scheme)?;
        match read_scheme(scheme)? {
            scheme @ (Scheme::Sip | Scheme::Sips) => Self::sip(scheme, rest),
            Scheme::Tel => Self::tel(rest),
            Scheme::Other => Ok(Self {
                scheme: Scheme::Other,
                user: None,
                host: Host::Name(&[]),
                port: None,
                params: &[],
                headers: &[],
            }),
        }
    }

    fn sip(scheme: Scheme, rest: &'a [u8]) -> Result<Self, BadUri> {
        // The user part may hold any of `;?:/`; the `@` can stand nowhere else unescaped.
        let (user, rest) = match split_once(rest, b'@') {
            Some((user, rest)) => (Some(split_once(user, b':').map_or(user, |(user, _)| user)), rest),
            None => (None, rest),
        };
        if user.is_some_and(<[u8]>::is_empty) || find(rest, b'@').is_some() {
            return Err(BadUri::User);
        }
        let (rest, headers) = split_once(rest, b'?').unwrap_or((rest, &[]));
        let (place, params) = split_once(rest, b';').unwrap_or((rest, &[]));
        let (host, after) = split_host(place).ok_or(BadUri::Host)?;
        let host = Host::parse(host).ok_or(BadUri::Host)?;
        let port = match after {
            [] => None,
            [b':', digits @ ..] => Some(port(digits).ok_or(BadUri::Port)?),
            _ => return Err(BadUri::Host),
        };
        Ok(Self {
            scheme,
            user,
            host,
            port,
            params,
            headers,
        })
    }

    fn tel(rest: &'a [u8]) -> Result<Self, BadUri> {
        let (number, params) = split_once(rest, b';').unwrap_or((rest, &[]));
        if number.is_empty() {
            return Err(BadUri::User);
        }
        Ok(Self {
            scheme: Scheme::Tel,
            user: Some(rest),
            host: Host::Name(&[]),
            port: None,
            params,
            headers: &[],
        })
    }

    /// The URI parameter of that name, in any case; a flag (`lr`) is an empty value.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        header::param(self.params, name)
    }

    /// The transport that the URI asks for: its parameter, or TLS for `sips:`. `None`: it leaves the choice, or
    /// names one that we haven't got.
    pub fn transport(&self) -> Option<Transport> {
        let secure = match self.scheme {
            Scheme::Sips => true,
            Scheme::Sip | Scheme::Tel | Scheme::Other => false,
        };
        match self.param("transport") {
            Some(token) if token.eq_ignore_ascii_case(b"tls") => Some(Transport::Tls),
            Some(token) if token.eq_ignore_ascii_case(b"tcp") && secure => Some(Transport::Tls),
            Some(token) if token.eq_ignore_ascii_case(b"tcp") => Some(Transport::Tcp),
            Some(token) if token.eq_ignore_ascii_case(b"udp") && !secure => Some(Transport::Udp),
            Some(_) => None,
            None => secure.then_some(Transport::Tls),
        }
    }

    /// The user part up to its first semicolon, as written: the number of a telephone URI.
    pub fn number(&self) -> Option<&'a [u8]> {
        self.user
            .map(|user| split_once(user, b';').map_or(user, |(number, _)| number))
    }

    /// A parameter of the telephone number itself (`phone-context`, `npdi`, `rn`, `isub`): in `tel:` the URI's,
    /// in `sip:` those within the user part (RFC 3261 §19.1.6). A flag is an empty value.
    pub fn number_param(&self, name: &str) -> Option<&'a [u8]> {
        let (_, params) = split_once(self.user?, b';')?;
        header::param(params, name)
    }
}

impl fmt::Debug for Uri<'_> {
    /// The scheme only: numbers stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({:?})", self.scheme)
    }
}

/// Four numbers up to 255 without leading zeros, as [`Ipv4Addr`] reads them.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut places = octets.iter_mut();
    let (mut number, mut digits) = (0_u32, 0_u32);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            // A fourth, or one behind a zero.
            if digits > 2 || (digits > 0 && number == 0) {
                return None;
            }
            number = number * 10 + u32::from(digit);
            digits += 1;
        } else if *byte == b'.' && digits > 0 {
            *places.next()? = u8::try_from(number).ok()?;
            (number, digits) = (0, 0);
        } else {
            return None;
        }
    }
    if digits == 0 {
        return None;
    }
    *places.next()? = u8::try_from(number).ok()?;
    places.next().is_none().then_some(Ipv4Addr::from(octets))
}

fn read_scheme(scheme: &[u8]) -> Result<Scheme, BadUri> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme.eq_ignore_ascii_case(b"sip") {
        Ok(Scheme::Sip)
    } else if scheme.eq_ignore_ascii_case(b"sips") {
        Ok(Scheme::Sips)
    } else if scheme.eq_ignore_ascii_case(b"tel") {
        Ok(Scheme::Tel)
    } else if scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(allowed) {
        Ok(Scheme::Other)
    } else {
        Err(BadUri::Scheme)
    }
}

/// What stands before and after the first such byte.
fn split_once(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = find(text, byte)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(1..)?))
}

/// Splits `host[:port]` before the colon that begins the port; an IPv6 address keeps its own within brackets.
pub(super) fn split_host(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = if text.first() == Some(&b'[') {
        find(text, b']')?.saturating_add(1)
    } else {
        find(text, b':').unwrap_or(text.len())
    };
    text.split_at_checked(at)
}

/// A port: 1–65535 in digits.
pub(super) fn port(text: &[u8]) -> Option<u16> {
    header::decimal(text, u32::from(u16::MAX))
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0)
}

/// The text with `%XX` folded (RFC 3261 §19.1.2), for reading a number. The result may hold any character, NUL
/// included. `None`: more than 64 bytes, not UTF-8, or a `%` without two hex digits.
pub fn unescape(user: &[u8]) -> Option<ArrayString<64>> {
    let mut plain = arrayvec::ArrayVec::<u8, 64>::new();
    let mut rest = user;
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => ((hex(*high)? << 4) | hex(*low)?, after),
            (b'%', _) => return None,
            (byte, after) => (*byte, after),
        };
        plain.try_push(byte).ok()?;
        rest = after;
    }
    ArrayString::from(std::str::from_utf8(&plain).ok()?).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).expect("a URI")
    }

    #[test]
    fn the_parts_of_a_sip_uri_are_found() {
        let uri = read("sip:alice:secret@Example.com:5070;transport=TCP;lr;maddr=h?subject=x&to=y");
        assert_eq!(uri.scheme, Scheme::Sip);
        assert_eq!(uri.user, Some(&b"alice"[..]));
        assert_eq!(uri.host, Host::Name(b"Example.com"));
        assert_eq!(uri.port, Some(5070));
        assert_eq!(uri.param("LR"), Some(&b""[..]));
        assert_eq!(uri.param("maddr"), Some(&b"h"[..]));
        assert_eq!(uri.param("user"), None);
        assert_eq!(uri.headers, b"subject=x&to=y");
        assert_eq!(uri.transport(), Some(Transport::Tcp));
        let bare = read("SIPS:192.0.2.1");
        assert_eq!((bare.scheme, bare.user, bare.port), (Scheme::Sips, None, None));
        assert_eq!(bare.host.ip(), Some(IpAddr::from([192, 0, 2, 1])));
    }

    #[test]
    fn a_number_in_a_sip_uri_keeps_its_context() {
        let uri = read("sip:+86138;npdi;phone-context=example.com@192.0.2.1;user=phone");
        assert_eq!(uri.user, Some(&b"+86138;npdi;phone-context=example.com"[..]));
        assert_eq!(uri.number(), Some(&b"+86138"[..]));
        assert_eq!(uri.number_param("Phone-Context"), Some(&b"example.com"[..]));
        assert_eq!(uri.number_param("npdi"), Some(&b""[..]));
        assert_eq!(uri.number_param("user"), None);
        assert_eq!(uri.param("user"), Some(&b"phone"[..]));
        assert_eq!(uri.param("phone-context"), None);
    }

    #[test]
    fn a_tel_uri_is_a_number_and_no_host() {
        let uri = read("tel:10086;phone-context=+86;npdi");
        assert_eq!(uri.scheme, Scheme::Tel);
        assert_eq!(uri.user, Some(&b"10086;phone-context=+86;npdi"[..]));
        assert_eq!(uri.number(), Some(&b"10086"[..]));
        assert_eq!(uri.number_param("phone-context"), Some(&b"+86"[..]));
        assert_eq!(uri.param("phone-context"), Some(&b"+86"[..]));
        assert_eq!(uri.host, Host::Name(b""));
        assert_eq!(read("TEL:#31#(010)-12.3").number(), Some(&b"#31#(010)-12.3"[..]));
    }

    #[test]
    fn an_ipv6_host_stands_in_brackets() {
        let uri = read("sip:x@[2001:db8::9:1]:5070;transport=udp");
        assert_eq!(uri.host.ip(), "2001:db8::9:1".parse().ok());
        assert_eq!(uri.port, Some(5070));
        assert_eq!(uri.transport(), Some(Transport::Udp));
        assert_eq!(read("sip:[::ffff:192.0.2.1]").port, None);
        for bad in [
            "sip:x@2001:db8::9:1",
            "sip:[2001:db8:::1]",
            "sip:[::1",
            "sip:[::1]x",
            "sip:[fe80::1%25eth0]",
        ] {
            assert!(Uri::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_ipv4_address_is_what_the_standard_library_reads() {
        for text in [
            "0.0.0.0",
            "127.0.0.1",
            "255.255.255.255",
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4.",
            ".1.2.3",
            "1..2.3",
            "01.2.3.4",
            "1.2.3.04",
            "00.0.0.0",
            "1.2.3.4a",
            "",
            "1.2.3.1000",
            "1.2.3.-4",
            "1.2.3. 4",
            "99.9.99.9",
            "1.010.1.1",
            "1.099.1.1",
            "1.100.1.1",
        ] {
            assert_eq!(ipv4(text.as_bytes()), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn escapes_and_odd_characters_move_no_border() {
        let uri = read("sip:sips%3Auser%40example.com@example.net");
        assert_eq!(uri.user, Some(&b"sips%3Auser%40example.com"[..]));
        assert_eq!(uri.host, Host::Name(b"example.net"));
        let uri = read(
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        );
        assert_eq!(
            uri.user,
            Some(&b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"[..])
        );
        assert_eq!((uri.host, uri.headers), (Host::Name(b"example.com"), &b""[..]));
        assert_eq!(
            read("sip:user;par=u%40example.net@example.com").number(),
            Some(&b"user"[..])
        );
    }

    #[test]
    fn each_bad_part_has_its_error() {
        let bad = [
            ("", BadUri::Scheme),
            ("sip", BadUri::Scheme),
            (":x", BadUri::Scheme),
            ("1sip:x", BadUri::Scheme),
            ("sip:", BadUri::Host),
            ("sip:x@", BadUri::Host),
            ("sip:x@h/y", BadUri::Host),
            ("sip:x@h%41", BadUri::Host),
            ("sip:@h", BadUri::User),
            ("sip:a@b@c", BadUri::User),
            ("sip:a@h;x=@y", BadUri::User),
            ("tel:", BadUri::User),
            ("tel:;x=y", BadUri::User),
            ("sip:a@h:", BadUri::Port),
            ("sip:a@h:0", BadUri::Port),
            ("sip:a@h:65536", BadUri::Port),
            ("sip:a@h:+5", BadUri::Port),
            ("sip:a b@h", BadUri::Character),
            ("<sip:a@h>", BadUri::Character),
            ("sip:\u{e9}@h", BadUri::Character),
            ("sip:a\r\n@h", BadUri::Character),
        ];
        for (text, error) in bad {
            assert_eq!(Uri::parse(text.as_bytes()), Err(error), "{text:?}");
        }
        assert_eq!(
            read("nobodyKnowsThisScheme:totallyopaquecontent").scheme,
            Scheme::Other
        );
    }

    #[test]
    fn sips_means_tls_and_what_we_have_not_got_is_no_transport() {
        let transport = |text| read(text).transport();
        assert_eq!(transport("sips:h"), Some(Transport::Tls));
        assert_eq!(transport("sips:h;transport=tcp"), Some(Transport::Tls));
        assert_eq!(transport("sips:h;transport=udp"), None);
        assert_eq!(transport("sip:h;transport=tls"), Some(Transport::Tls));
        assert_eq!(transport("sip:h;transport=sctp"), None);
        assert_eq!(transport("sip:h"), None);
    }

    #[test]
    fn escapes_are_folded_for_reading_a_number() {
        let folded = |text: &[u8]| unescape(text).map(|plain| plain.to_string());
        assert_eq!(folded(b"%2B86138").as_deref(), Some("+86138"));
        assert_eq!(folded(b"%2b%2523").as_deref(), Some("+%23"));
        assert_eq!(folded(b"").as_deref(), Some(""));
        assert_eq!(folded(b"a%00b").as_deref(), Some("a\0b"));
        assert_eq!(folded(&[b'1'; 64]).map(|plain| plain.len()), Some(64));
        for bad in [&b"%"[..], b"%2", b"%+1", b"%2G", b"%FF", &[b'1'; 65]] {
            assert_eq!(folded(bad), None);
        }
    }
}

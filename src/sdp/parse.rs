//! Bytes → [`Session`] (RFC 8866), tolerant of what we needn't understand.
//!
//! Line ends may be CR LF or LF; unknown lines and attributes are passed over; a codec whose lines make no
//! sense leaves, alone. Only what an answer has to mirror is an error: the media lines themselves.

use std::net::{IpAddr, SocketAddr};

use super::fmtp::{self, Fmtp};
use super::media::{Codec, CodecName, Media, MediaKind, Origin, Proto, SdpWay, Token};
use crate::base::limits::{SDP_CODECS_MAX, SDP_MEDIA_MAX};

/// The longest packet that anybody may ask for.
const PTIME_MS_MAX: u32 = 200;

/// A session description, as far as we use it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// `o=`, without its names. A text that isn't a number is hashed: it is only ever compared.
    pub origin: Origin,
    /// Its media lines in order; an answer has exactly as many. At most
    /// [`SDP_MEDIA_MAX`](crate::base::limits::SDP_MEDIA_MAX).
    pub media: Vec<Media>,
}

/// The bytes are no session description that could be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("session description, line {line}: {reason}")]
pub struct BadSdp {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: BadLine,
}

/// What is wrong with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadLine {
    /// The first line isn't `v=0`.
    #[error("it doesn't begin with v=0")]
    NoVersion,
    /// A media line that lacks kind, port, protocol or format, or has strange characters in them.
    #[error("the media line can't be read")]
    Media,
    /// More media lines than we could answer.
    #[error("there are too many media lines")]
    TooManyMedia,
}

/// Reads a session description.
///
/// # Errors
/// [`BadSdp`] if it isn't one, or has media lines that an answer couldn't mirror.
pub fn parse(bytes: &[u8]) -> Result<Session, BadSdp> {
    let lines = || {
        bytes
            .split(|c| *c == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    };
    if lines().next().map(<[u8]>::trim_ascii_end) != Some(b"v=0") {
        return Err(BadSdp {
            line: 1,
            reason: BadLine::NoVersion,
        });
    }

    let mut origin = Origin::default();
    let mut session = Level::default();
    let mut sections: Vec<Section> = Vec::new();
    for (index, line) in lines().enumerate() {
        let bad = |reason| BadSdp {
            line: index + 1,
            reason,
        };
        let Some((kind, value)) = split_once(line, b'=') else {
            continue;
        };
        match (kind, sections.last_mut()) {
            (b"m", _) => {
                if sections.len() == SDP_MEDIA_MAX {
                    return Err(bad(BadLine::TooManyMedia));
                }
                sections.push(Section::begin(value).ok_or_else(|| bad(BadLine::Media))?);
            }
            (b"o", None) => origin = read_origin(value),
            (b"c", None) => session.connection = Some(read_connection(value)),
            (b"c", Some(section)) => {
                // RFC 8866 §5.7 allows several for layered multicast; the first is the stream's.
                section
                    .level
                    .connection
                    .get_or_insert_with(|| read_connection(value));
            }
            (b"a", None) => session.attribute(value),
            (b"a", Some(section)) => {
                section.level.attribute(value);
                section.attribute(value);
            }
            _ => {}
        }
    }
    Ok(Session {
        origin,
        media: sections
            .into_iter()
            .map(|section| section.end(&session))
            .collect(),
    })
}

/// What a `c=` line says.
#[derive(Clone, Copy)]
enum Connection {
    At(IpAddr),
    /// `0.0.0.0`: don't send to me (RFC 3264 §8.4).
    Hold,
    /// A host name, or nonsense. Names aren't looked up: media comes from an address or is latched.
    Unknown,
}

/// What may stand both at session and at media level.
#[derive(Clone, Copy, Default)]
struct Level {
    connection: Option<Connection>,
    way: Option<SdpWay>,
    ptime_ms: Option<u16>,
}

impl Level {
    fn attribute(&mut self, value: &[u8]) {
        match value.trim_ascii_end() {
            b"sendrecv" => self.way = Some(SdpWay::SendRecv),
            b"sendonly" => self.way = Some(SdpWay::SendOnly),
            b"recvonly" => self.way = Some(SdpWay::RecvOnly),
            b"inactive" => self.way = Some(SdpWay::Inactive),
            other => {
                if let Some((b"ptime", ms)) = split_once(other, b':') {
                    let whole = ms.split(|c| *c == b'.').next().unwrap_or_default();
                    self.ptime_ms = fmtp::number(whole.trim_ascii())
                        .filter(|ms| (1..=PTIME_MS_MAX).contains(ms))
                        .and_then(|ms| u16::try_from(ms).ok());
                }
            }
        }
    }
}

/// A media line while its attributes are read. Attributes come in any order, so `a=fmtp` lines wait.
struct Section<'a> {
    kind: MediaKind,
    port: u16,
    proto: Proto,
    fmt: Token,
    level: Level,
    /// The line's payload types, in order, each once. Only of audio over plain RTP.
    payloads: Vec<u8>,
    /// The codecs of `a=rtpmap` lines, `None` for one that we don't know.
    maps: Vec<(u8, Option<Codec>)>,
    fmtps: Vec<(u8, &'a [u8])>,
    rtcp: Option<(u16, Option<Connection>)>,
}

impl<'a> Section<'a> {
    fn begin(value: &[u8]) -> Option<Self> {
        let mut words = words(value);
        let kind = match words.next()? {
            word if word.eq_ignore_ascii_case(b"audio") => MediaKind::Audio,
            word => MediaKind::Other(token(word)?),
        };
        // `port/count` (RFC 8866 §5.14): the first port is the one.
        let port = words.next()?.split(|c| *c == b'/').next()?;
        let port = fmtp::number(port).and_then(|port| u16::try_from(port).ok())?;
        let proto = match words.next()? {
            word if word.eq_ignore_ascii_case(b"RTP/AVP") => Proto::RtpAvp,
            word => Proto::Other(token(word)?),
        };
        let first = words.clone().next()?;
        let mut payloads = Vec::new();
        if kind == MediaKind::Audio && proto == Proto::RtpAvp {
            for payload in words.filter_map(payload_type) {
                if !payloads.contains(&payload) {
                    payloads.push(payload);
                }
            }
        }
        Some(Self {
            kind,
            port,
            proto,
            fmt: token(first).unwrap_or_else(|| token(b"0").unwrap_or_default()),
            level: Level::default(),
            payloads,
            maps: Vec::new(),
            fmtps: Vec::new(),
            rtcp: None,
        })
    }

    fn attribute(&mut self, value: &'a [u8]) {
        let Some((name, value)) = split_once(value, b':') else {
            return;
        };
        match name {
            b"rtpmap" => {
                if let Some((payload, rest)) = self.payload_of(value)
                    && !self.maps.iter().any(|(known, _)| *known == payload)
                {
                    self.maps.push((payload, read_rtpmap(payload, rest)));
                }
            }
            b"fmtp" => {
                if let Some((payload, rest)) = self.payload_of(value)
                    && !self.fmtps.iter().any(|(known, _)| *known == payload)
                {
                    self.fmtps.push((payload, rest));
                }
            }
            b"rtcp" => {
                let (port, rest) = split_once(value.trim_ascii(), b' ').unwrap_or((value.trim_ascii(), b""));
                let port = fmtp::number(port).and_then(|port| u16::try_from(port).ok());
                let place = (!rest.is_empty()).then(|| read_connection(rest));
                self.rtcp = port.filter(|port| *port != 0).map(|port| (port, place));
            }
            _ => {}
        }
    }

    /// `96 rest`, if the media line lists 96. That bounds what waits: a line lists at most 128.
    fn payload_of(&self, value: &'a [u8]) -> Option<(u8, &'a [u8])> {
        let (payload, rest) = split_once(value.trim_ascii(), b' ')?;
        let payload = payload_type(payload).filter(|payload| self.payloads.contains(payload))?;
        Some((payload, rest.trim_ascii()))
    }

    fn end(self, session: &Level) -> Media {
        let connection = self.level.connection.or(session.connection);
        let way = self.level.way.or(session.way).unwrap_or_default();
        let (address, way) = match connection {
            Some(Connection::At(address)) => (Some(address), way),
            Some(Connection::Hold) => (None, way.and(SdpWay::SendOnly)),
            Some(Connection::Unknown) | None => (None, way),
        };
        let rtcp = match self.rtcp {
            Some((port, None)) => address.map(|address| SocketAddr::new(address, port)),
            Some((port, Some(Connection::At(address)))) => Some(SocketAddr::new(address, port)),
            Some((_, Some(Connection::Hold | Connection::Unknown))) | None => None,
        };
        Media {
            kind: self.kind,
            port: self.port,
            proto: self.proto,
            fmt: self.fmt,
            address,
            rtcp,
            codecs: self.codecs(),
            way,
            ptime_ms: self.level.ptime_ms.or(session.ptime_ms),
        }
    }

    fn codecs(&self) -> Vec<Codec> {
        let codec = |payload: &u8| {
            let mapped = self.maps.iter().find(|(known, _)| known == payload);
            let mut codec = match mapped {
                Some((_, codec)) => codec.clone()?,
                // RFC 3551 §6: the old types need no rtpmap.
                None => Codec {
                    payload: *payload,
                    fmtp: None,
                    ..Codec::ours(CodecName::of_static(*payload)?)
                },
            };
            codec.fmtp = self
                .fmtps
                .iter()
                .find(|(known, _)| known == payload)
                .and_then(|(_, text)| Fmtp::rebuilt(codec.name, text));
            Some(codec)
        };
        self.payloads
            .iter()
            .filter_map(codec)
            .take(SDP_CODECS_MAX)
            .collect()
    }
}

/// `PCMA/8000`, `opus/48000/2`: a codec that we know at a clock that it has.
fn read_rtpmap(payload: u8, text: &[u8]) -> Option<Codec> {
    let mut parts = text.split(|c| *c == b'/').map(<[u8]>::trim_ascii);
    let name = CodecName::of(parts.next()?)?;
    let clock_hz = fmtp::number(parts.next()?)?;
    let channels = match parts.next() {
        Some(channels) => u8::try_from(fmtp::number(channels)?).ok()?,
        None => 1,
    };
    (name.runs_at(clock_hz) && channels == name.channels()).then_some(Codec {
        payload,
        name,
        clock_hz,
        channels,
        fmtp: None,
    })
}

/// `<username> <sess-id> <sess-version> …`
fn read_origin(value: &[u8]) -> Origin {
    let mut words = words(value).skip(1);
    let mut next = || words.next().map(only_compared).unwrap_or_default();
    Origin {
        id: next(),
        version: next(),
    }
}

/// A number, or for any other text its FNV-1a hash.
fn only_compared(text: &[u8]) -> u64 {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| {
            text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, c| {
                (hash ^ u64::from(*c)).wrapping_mul(0x0100_0000_01b3)
            })
        })
}

/// `IN IP4 192.0.2.1`, `IN IP6 2001:db8::1`.
fn read_connection(value: &[u8]) -> Connection {
    let mut words = words(value).skip(2);
    let address = words
        .next()
        .and_then(|word| word.split(|c| *c == b'/').next())
        .and_then(|word| std::str::from_utf8(word).ok())
        .and_then(|word| word.parse::<IpAddr>().ok());
    match address {
        Some(address) if address.is_unspecified() => Connection::Hold,
        // A stream is between two: packets to a group or to everybody are nobody's wish.
        Some(address) if address.is_multicast() || is_broadcast(address) => Connection::Unknown,
        Some(address) => Connection::At(address),
        None => Connection::Unknown,
    }
}

fn is_broadcast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_broadcast(),
        IpAddr::V6(_) => false,
    }
}

fn payload_type(word: &[u8]) -> Option<u8> {
    fmtp::number(word)
        .filter(|payload| *payload <= 127)
        .and_then(|payload| u8::try_from(payload).ok())
}

/// A short run of token characters (RFC 8866 §9) and `/`.
fn token(word: &[u8]) -> Option<Token> {
    let text = std::str::from_utf8(word).ok()?;
    let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-./^_`{|}~".contains(&c);
    if text.is_empty() || !text.bytes().all(is_token) {
        return None;
    }
    Token::from(text).ok()
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    text.split(|c| matches!(c, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = text.iter().position(|c| *c == at)?;
    let (before, after) = text.split_at_checked(index)?;
    Some((before, after.get(1..)?))
}

//! Bytes → [`Session`] (RFC 8866), tolerant of what we needn't understand.
//!
//! Line ends may be CR LF or LF; unknown lines and attributes are passed over; a codec whose lines make no
//! sense leaves, alone. Only what an answer has to mirror is an error: the media lines themselves.

use std::net::{IpAddr, SocketAddr};

use memchr::memchr;

use super::crypto::{self, Crypto};
use super::fax::Fax;
use super::fmtp::{self, Fmtp};
use super::media::{Codec, CodecName, Media, MediaKind, Origin, Packing, Proto, RtcpPort, SdpWay, Token};
use crate::base::limits::{SDP_CODECS_MAX, SDP_CRYPTO_MAX, SDP_MEDIA_MAX};

/// The longest packet that anybody may ask for.
const PTIME_MS_MAX: u32 = 200;

/// A session description, as far as we use it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// `o=`, without its names. A text that isn't a number is hashed: it is only ever compared.
    pub origin: Origin,
    /// Its media lines in order; an answer has exactly as many. At most
    /// [`SDP_MEDIA_MAX`].
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
    if lines(bytes).next().map(<[u8]>::trim_ascii_end) != Some(b"v=0") {
        return Err(BadSdp {
            line: 1,
            reason: BadLine::NoVersion,
        });
    }

    let mut origin = Origin::default();
    let mut session = Level::default();
    let mut sections: Vec<Section> = Vec::new();
    for (index, line) in lines(bytes).enumerate() {
        let bad = |reason| BadSdp {
            line: index + 1,
            reason,
        };
        let [kind, b'=', value @ ..] = line else {
            continue;
        };
        match (kind, sections.last_mut()) {
            (b'm', _) => {
                if sections.len() == SDP_MEDIA_MAX {
                    return Err(bad(BadLine::TooManyMedia));
                }
                sections.push(Section::begin(value).ok_or_else(|| bad(BadLine::Media))?);
            }
            (b'o', None) => origin = read_origin(value),
            (b'c', None) => session.connection = Some(read_connection(value)),
            (b'c', Some(section)) => {
                // RFC 8866 §5.7 allows several for layered multicast; the first is the stream's.
                section
                    .level
                    .connection
                    .get_or_insert_with(|| read_connection(value));
            }
            (b'a', None) => session.attribute(value),
            (b'a', Some(section)) => {
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
    packing: Packing,
}

impl Level {
    fn attribute(&mut self, value: &[u8]) {
        match value.trim_ascii_end() {
            b"sendrecv" => self.way = Some(SdpWay::SendRecv),
            b"sendonly" => self.way = Some(SdpWay::SendOnly),
            b"recvonly" => self.way = Some(SdpWay::RecvOnly),
            b"inactive" => self.way = Some(SdpWay::Inactive),
            other => {
                let (name, value) = split_once(other, b':').unwrap_or_default();
                match name {
                    b"ptime" => self.packing.ptime_ms = read_packet_length(value),
                    b"maxptime" => self.packing.maxptime_ms = read_packet_length(value),
                    _ => {}
                }
            }
        }
    }
}

/// `20`, `30.0`: milliseconds that anybody may ask for.
fn read_packet_length(ms: &[u8]) -> Option<u16> {
    let whole = ms.split(|c| *c == b'.').next()?;
    fmtp::number(whole.trim_ascii())
        .filter(|ms| (1..=PTIME_MS_MAX).contains(ms))
        .and_then(|ms| u16::try_from(ms).ok())
}

/// A media line while its attributes are read. Attributes come in any order, so `a=fmtp` lines wait.
struct Section<'a> {
    kind: MediaKind,
    port: u16,
    proto: Proto,
    fmt: Token,
    level: Level,
    /// The line's payload types, in order, each once. Only of audio over RTP.
    payloads: Vec<u8>,
    /// The codecs of `a=rtpmap` lines, `None` for one that we don't know.
    maps: Vec<(u8, Option<Codec>)>,
    fmtps: Vec<(u8, &'a [u8])>,
    rtcp: Option<(u16, Option<Connection>)>,
    rtcp_port: RtcpPort,
    fax: Option<Fax>,
    cryptos: Vec<Crypto>,
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
            word if word.eq_ignore_ascii_case(b"RTP/SAVP") => Proto::RtpSavp,
            word => Proto::Other(token(word)?),
        };
        let first = words.clone().next()?;
        let mut payloads = Vec::new();
        if kind == MediaKind::Audio && matches!(proto, Proto::RtpAvp | Proto::RtpSavp) {
            for payload in words.filter_map(payload_type) {
                if !payloads.contains(&payload) {
                    payloads.push(payload);
                }
            }
        }
        let is_fax = kind.name().eq_ignore_ascii_case("image")
            && proto.name().eq_ignore_ascii_case("udptl")
            && first.eq_ignore_ascii_case(b"t38");
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
            rtcp_port: RtcpPort::Own,
            fax: is_fax.then(Fax::default),
            cryptos: Vec::new(),
        })
    }

    fn attribute(&mut self, value: &'a [u8]) {
        let Some((name, value)) = split_once(value, b':') else {
            if value.trim_ascii_end() == b"rtcp-mux" {
                self.rtcp_port = RtcpPort::Shared;
            }
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
            b"crypto" if self.kind == MediaKind::Audio => {
                // RFC 4568 §4.1: a tag is a line's own; of two lines with one, the first counts.
                if self.cryptos.len() < SDP_CRYPTO_MAX
                    && let Some(crypto) = crypto::read(value)
                    && self.cryptos.iter().all(|known| known.tag != crypto.tag)
                {
                    self.cryptos.push(crypto);
                }
            }
            _ => {
                if let Some(fax) = &mut self.fax {
                    fax.read(name, value);
                }
            }
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
        // RFC 5761 §4: payload types 64 to 95 can't be told from RTCP.
        let looks_like_rtcp = self.payloads.iter().any(|payload| (64..=95).contains(payload));
        Media {
            kind: self.kind,
            port: self.port,
            proto: self.proto,
            fmt: self.fmt,
            address,
            rtcp,
            rtcp_port: if looks_like_rtcp {
                RtcpPort::Own
            } else {
                self.rtcp_port
            },
            codecs: self.codecs(),
            way,
            fax: self.fax,
            cryptos: self.cryptos,
            packing: Packing {
                ptime_ms: self.level.packing.ptime_ms.or(session.packing.ptime_ms),
                maxptime_ms: self.level.packing.maxptime_ms.or(session.packing.maxptime_ms),
            },
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

/// The lines, whichever way they end.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let text = rest?;
        let line = match memchr(b'\n', text).and_then(|at| text.split_at_checked(at)) {
            Some((line, behind)) => {
                rest = behind.get(1..);
                line
            }
            None => {
                rest = None;
                text
            }
        };
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PHONE: &str = "v=0\r\n\
        o=alice 2890844526 2890844527 IN IP4 host.example.com\r\n\
        s=Alice 13800000001\r\n\
        i=about nothing\r\n\
        u=http://example.com/13800000001\r\n\
        e=alice@example.com\r\n\
        c=IN IP4 192.0.2.7\r\n\
        b=AS:80\r\n\
        t=0 0\r\n\
        a=sendonly\r\n\
        m=audio 49170 RTP/AVP 96 8 0 18 3 101 8\r\n\
        a=fmtp:101 0-16\r\n\
        a=rtpmap:96 opus/48000/2\r\n\
        a=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:18 annexb=no\r\n\
        a=fmtp:96 useinbandfec=1;owner=13800000001\r\n\
        a=ptime:20\r\n\
        a=rtcp:53020 IN IP4 192.0.2.8\r\n\
        m=video 51372 RTP/AVP 31 32\r\n\
        c=IN IP6 2001:db8::1\r\n\
        a=rtpmap:31 H261/90000\r\n\
        a=recvonly\r\n";

    fn audio(lines: &str) -> Media {
        let text = format!("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n{lines}");
        parse(text.as_bytes()).expect("readable").media.remove(0)
    }

    fn listed(media: &Media) -> Vec<(u8, CodecName)> {
        media
            .codecs
            .iter()
            .map(|codec| (codec.payload, codec.name))
            .collect()
    }

    #[test]
    fn a_phones_description_is_read_whatever_its_line_ends() {
        let session = parse(PHONE.as_bytes()).expect("readable");
        let lf = parse(PHONE.replace("\r\n", "\n").as_bytes());
        assert_eq!(lf.as_ref(), Ok(&session));
        assert_eq!(
            session.origin,
            Origin {
                id: 2_890_844_526,
                version: 2_890_844_527
            }
        );
        let [audio, video] = &session.media[..] else {
            panic!("two media lines");
        };
        assert_eq!(
            listed(audio),
            [
                (96, CodecName::Opus),
                (8, CodecName::Pcma),
                (0, CodecName::Pcmu),
                (18, CodecName::G729),
                (101, CodecName::TelephoneEvent)
            ]
        );
        let fmtp: Vec<_> = audio
            .codecs
            .iter()
            .map(|c| c.fmtp.as_ref().map(Fmtp::as_str))
            .collect();
        assert_eq!(
            fmtp,
            [
                Some("useinbandfec=1"),
                None,
                None,
                Some("annexb=no"),
                Some("0-16")
            ]
        );
        assert_eq!(audio.rtp_address(), "192.0.2.7:49170".parse().ok());
        assert_eq!(audio.rtcp_address(), "192.0.2.8:53020".parse().ok());
        assert_eq!((audio.way, audio.packing.ptime_ms), (SdpWay::SendOnly, Some(20)));
        assert_eq!(
            (video.kind.name(), video.proto.name(), &*video.fmt),
            ("video", "RTP/AVP", "31")
        );
        assert_eq!(video.rtcp_address(), "[2001:db8::1]:51373".parse().ok());
        assert_eq!(video.way, SdpWay::RecvOnly);
        assert!(video.codecs.is_empty());
    }

    #[test]
    fn nothing_personal_survives_reading() {
        let session = parse(PHONE.as_bytes()).expect("readable");
        let kept = format!("{session:?}");
        for secret in ["13800000001", "alice", "Alice", "example", "owner"] {
            assert!(!kept.contains(secret), "{secret}");
        }
    }

    #[test]
    fn a_zero_address_is_hold_as_it_used_to_be() {
        for zero in ["IP4 0.0.0.0", "IP6 ::"] {
            let media = audio(&format!("m=audio 4000 RTP/AVP 8\nc=IN {zero}\n"));
            assert_eq!((media.address, media.way), (None, SdpWay::SendOnly));
            assert_eq!(media.port, 4_000);
        }
        let media = audio("m=audio 4000 RTP/AVP 8\nc=IN IP4 0.0.0.0\na=recvonly\n");
        assert_eq!(media.way, SdpWay::Inactive);
    }

    #[test]
    fn addresses_that_are_not_one_hosts_are_not_known() {
        for place in [
            "IP4 phone.example.com",
            "IP4 224.2.1.1/127",
            "IP4 255.255.255.255",
            "IP4",
        ] {
            let media = audio(&format!("m=audio 4000 RTP/AVP 8\nc=IN {place}\na=rtcp:4001\n"));
            assert_eq!((media.address, media.way), (None, SdpWay::SendRecv), "{place}");
            assert_eq!((media.rtp_address(), media.rtcp_address()), (None, None));
        }
    }

    #[test]
    fn codecs_that_make_no_sense_leave_alone() {
        let media = audio(
            "m=audio 4000 RTP/AVP 8 96 97 98 99 100 0 200 x\n\
             a=rtpmap:96 opus/0/2\na=rtpmap:97 AMR/13800000001\na=rtpmap:98 opus/48000\n\
             a=rtpmap:99 speex/8000\na=rtpmap:100\na=rtpmap:0 speex/8000\na=rtpmap:200 PCMA/8000\n\
             a=rtpmap:102 PCMA/8000\na=ptime:0\n",
        );
        assert_eq!(listed(&media), [(8, CodecName::Pcma)]);
        assert_eq!(media.packing.ptime_ms, None);
        assert_eq!(
            audio("m=audio 4000 RTP/AVP 8\na=ptime:99999999\n")
                .packing
                .ptime_ms,
            None
        );
        assert_eq!(
            audio("m=audio 4000 RTP/AVP 8\na=ptime:30.0\n").packing.ptime_ms,
            Some(30)
        );
    }

    #[test]
    fn what_an_answer_could_not_mirror_is_named() {
        let reason = |text: &str| parse(text.as_bytes()).map_err(|bad| (bad.line, bad.reason));
        assert_eq!(reason(""), Err((1, BadLine::NoVersion)));
        assert_eq!(reason("hello"), Err((1, BadLine::NoVersion)));
        for media in [
            "audio",
            "audio 4000",
            "audio 4000 RTP/AVP",
            "audio 65536 RTP/AVP 8",
            "a\u{e9} 1 x 1",
        ] {
            assert_eq!(
                reason(&format!("v=0\nm={media}\n")),
                Err((2, BadLine::Media)),
                "{media}"
            );
        }
        let many = format!("v=0\n{}", "m=audio 4000 RTP/AVP 8\n".repeat(SDP_MEDIA_MAX));
        assert_eq!(
            reason(&many).map(|session| session.media.len()),
            Ok(SDP_MEDIA_MAX)
        );
        assert_eq!(
            reason(&format!("{many}m=audio 4000 RTP/AVP 8\n")),
            Err((SDP_MEDIA_MAX + 2, BadLine::TooManyMedia))
        );
    }

    #[test]
    fn a_long_list_of_codecs_is_cut() {
        let all: Vec<String> = (96..=127).map(|n| n.to_string()).collect();
        let maps: String = (96..=127).map(|n| format!("a=rtpmap:{n} PCMA/8000\n")).collect();
        let media = audio(&format!("m=audio 4000 RTP/AVP {}\n{maps}", all.join(" ")));
        assert_eq!(media.codecs.len(), SDP_CODECS_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"v=0\n".as_slice(), &bytes].concat());
            let _ = parse(&[b"v=0\nm=audio 1 RTP/AVP 96\na=rtpmap:96 ".as_slice(), &bytes].concat());
            let _ = parse(&[b"v=0\nm=audio 1 RTP/AVP 96\na=rtpmap:96 AMR/8000\na=fmtp:96 ".as_slice(), &bytes].concat());
        }

        #[test]
        fn a_damaged_description_is_read_or_refused(
            damage in proptest::collection::vec((0..PHONE.len(), any::<u8>()), 1..20),
            cut in 0..PHONE.len(),
        ) {
            let mut bytes = PHONE.as_bytes().to_vec();
            for (at, byte) in damage {
                bytes[at] = byte;
            }
            let _ = parse(&bytes);
            let _ = parse(&bytes[..cut]);
        }
    }
}

//! Session descriptions, as a phone writes and reads them.

use std::net::SocketAddr;

/// A codec that ladders can name: name, payload type, rtpmap.
const CODECS: [(&str, u8, &str); 11] = [
    ("pcmu", 0, "PCMU/8000"),
    ("pcma", 8, "PCMA/8000"),
    ("g722", 9, "G722/8000"),
    ("g729", 18, "G729/8000"),
    ("opus", 111, "opus/48000/2"),
    ("amr", 96, "AMR/8000"),
    ("amrwb", 97, "AMR-WB/16000"),
    ("te16", 112, "telephone-event/16000"),
    ("te", 101, "telephone-event/8000"),
    ("te48", 110, "telephone-event/48000"),
    ("foo", 120, "FOO/8000"),
];

/// What a phone says of its media.
#[derive(Clone, Debug)]
pub struct Say<'a> {
    /// Codecs in order: `pcma`, `te:96` (another payload type).
    pub codecs: &'a [String],
    /// Where its RTP goes.
    pub at: SocketAddr,
    /// `sendrecv`, `sendonly`, `recvonly`, `inactive`.
    pub way: &'a str,
    /// Counts the descriptions of a session.
    pub version: u32,
    /// Further lines, after the audio line's own.
    pub more: &'a [String],
}

/// Writes it.
pub fn write(say: &Say<'_>) -> Vec<u8> {
    let (ip, port) = (say.at.ip(), say.at.port());
    let mut payloads = String::new();
    let mut maps = String::new();
    for codec in say.codecs.iter().filter(|c| *c != "video") {
        let (name, given) = codec
            .split_once(':')
            .map_or((codec.as_str(), None), |(n, p)| (n, p.parse().ok()));
        let Some((_, payload, map)) = CODECS.iter().find(|(n, ..)| *n == name) else {
            panic!("no codec is called {name}");
        };
        let payload: u8 = given.unwrap_or(*payload);
        payloads += &format!(" {payload}");
        maps += &format!("a=rtpmap:{payload} {map}\r\n");
        if name.starts_with("te") {
            maps += &format!("a=fmtp:{payload} 0-15\r\n");
        }
    }
    let net = if ip.is_ipv6() { "IP6" } else { "IP4" };
    let mut text = format!(
        "v=0\r\no=phone 7 {} IN {net} {ip}\r\ns=phone talk\r\nc=IN {net} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP{payloads}\r\n{maps}a=ptime:20\r\na={}\r\n",
        say.version, say.way
    );
    for line in say.more {
        text += line;
        text += "\r\n";
    }
    if say.codecs.iter().any(|c| c == "video") {
        text += &format!("m=video {} RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n", port + 2);
    }
    text.into_bytes()
}

/// The payload type by which a codec was named in what a phone said.
pub fn payload(said: &[String], name: &str) -> Option<u8> {
    said.iter().find_map(|codec| {
        let (said, given) = codec
            .split_once(':')
            .map_or((codec.as_str(), None), |(n, p)| (n, p.parse().ok()));
        let (_, usual, _) = CODECS.iter().find(|(n, ..)| *n == name && said == name)?;
        Some(given.unwrap_or(*usual))
    })
}

/// What a phone reads of the other side's media.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Codecs of the audio line, in order, by ladder name.
    pub codecs: Vec<String>,
    /// Payload types in order.
    pub payloads: Vec<u8>,
    /// Where the audio goes.
    pub at: Option<SocketAddr>,
    /// `sendrecv`, …
    pub way: String,
    /// The `o=` line.
    pub origin: String,
    /// The other media lines: kind and port.
    pub others: Vec<(String, u16)>,
}

/// Reads one.
pub fn read(body: &[u8]) -> Option<Heard> {
    let text = std::str::from_utf8(body).ok()?;
    let mut heard = Heard {
        codecs: Vec::new(),
        payloads: Vec::new(),
        at: None,
        way: "sendrecv".into(),
        origin: String::new(),
        others: Vec::new(),
    };
    let (mut ip, mut port, mut maps, mut in_audio, mut media) = (None, None, Vec::new(), true, 0);
    for line in text.split("\r\n").filter(|l| !l.is_empty()) {
        let (kind, value) = line.split_once('=')?;
        match kind {
            "o" => value.clone_into(&mut heard.origin),
            "c" if in_audio => ip = value.split(' ').nth(2)?.parse().ok(),
            "m" => {
                media += 1;
                let mut words = value.split(' ');
                let (name, at) = (words.next()?, words.next()?.parse().ok()?);
                in_audio = name == "audio" && port.is_none();
                if in_audio {
                    port = Some(at);
                    heard.payloads = words.skip(1).filter_map(|w| w.parse().ok()).collect();
                } else {
                    heard.others.push((name.to_owned(), at));
                }
            }
            "a" if in_audio => {
                if let Some(map) = value.strip_prefix("rtpmap:") {
                    let (payload, name) = map.split_once(' ')?;
                    maps.push((payload.parse::<u8>().ok()?, name.to_owned()));
                } else if matches!(value, "sendrecv" | "sendonly" | "recvonly" | "inactive") {
                    value.clone_into(&mut heard.way);
                }
            }
            _ => {}
        }
    }
    heard.at = ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port));
    heard.codecs = heard
        .payloads
        .iter()
        .map(|payload| {
            let map = maps
                .iter()
                .find(|(p, _)| p == payload)
                .map(|(_, name)| name.as_str());
            let known = CODECS.iter().find(|(_, p, name)| match map {
                Some(map) => name.eq_ignore_ascii_case(map),
                None => p == payload,
            });
            known.map_or_else(|| map.unwrap_or("?").to_owned(), |(name, ..)| (*name).to_owned())
        })
        .collect();
    (media > 0).then_some(heard)
}

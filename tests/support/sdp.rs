//! Session descriptions, as a phone writes and reads them.

use std::net::SocketAddr;

use umbra::base::keying::Suite;

use super::phone::secure::Secure;

/// A codec that ladders can name: name, payload type, rtpmap.
const CODECS: [(&str, u8, &str); 12] = [
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
    ("cn", 13, "CN/8000"),
    ("foo", 120, "FOO/8000"),
];

/// Media lines beside the audio that ladders can name: where the media port is to stand, and their attributes.
/// A line named with `:0` behind it has port 0.
const LINES: [(&str, &str); 8] = [
    ("video", "m=video PORT RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"),
    (
        "fax",
        "m=image PORT udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxRateManagement:transferredTCF\r\n\
         a=T38FaxMaxBuffer:262\r\na=T38FaxMaxDatagram:90\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n",
    ),
    (
        "msrp",
        "m=message PORT TCP/MSRP *\r\na=accept-types:text/plain\r\na=path:msrp://phone:7654/9di4ea;tcp\r\n",
    ),
    (
        "bfcp",
        "m=application PORT TCP/BFCP *\r\na=setup:actpass\r\na=confid:4321\r\na=floorctrl:c-s\r\n",
    ),
    (
        "savp",
        "m=audio PORT RTP/SAVP 8 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20\r\n",
    ),
    (
        "savpf",
        "m=audio PORT UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=mid:9\r\na=ice-ufrag:8hhY\r\n\
         a=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=fingerprint:sha-256 12:DF:3E\r\na=setup:actpass\r\na=rtcp-mux\r\n\
         a=candidate:1 1 UDP 2130706431 PHONEIP PORT typ host\r\n",
    ),
    ("second", "m=audio PORT RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"),
    ("text", "m=text PORT RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n"),
];

/// A codec of a ladder, `te` or `te:96`: its name, its payload type, its rtpmap. `None` for what is no codec.
pub fn codec(word: &str) -> Option<(&str, u8, &'static str)> {
    let (name, given) = word
        .split_once(':')
        .map_or((word, None), |(name, payload)| (name, payload.parse().ok()));
    let (_, payload, map) = CODECS.iter().find(|(known, ..)| *known == name)?;
    Some((name, given.unwrap_or(*payload), map))
}

/// What a phone says of its media.
#[derive(Clone, Debug)]
pub struct Say<'a> {
    /// Codecs in order: `pcma`, `te:96` (another payload type), and other media lines: `video`, `fax:0`, before or
    /// behind the audio's; `audio:0` makes its port 0.
    pub codecs: &'a [String],
    /// Where its RTP goes.
    pub at: SocketAddr,
    /// `sendrecv`, `sendonly`, `recvonly`, `inactive`; `none`: nothing is said.
    pub way: &'a str,
    /// What is said of the direction at session level.
    pub session_way: Option<&'a str>,
    /// What stands in `c=` for the address: `IP4 0.0.0.0`.
    pub place: Option<&'a str>,
    /// The packet length asked for.
    pub ptime: Option<u16>,
    /// Counts the descriptions of a session.
    pub version: u32,
    /// How it is secured.
    pub secure: &'a Secure,
    /// Further lines, after the audio line's own.
    pub more: &'a [String],
}

/// Writes it.
pub fn write(say: &Say<'_>) -> Vec<u8> {
    let (ip, port) = (say.at.ip(), say.at.port());
    let mut payloads = String::new();
    let mut maps = String::new();
    let mut before = String::new();
    let mut behind = String::new();
    let mut audio = port;
    for word in say.codecs {
        if let Some((name, payload, map)) = codec(word) {
            payloads += &format!(" {payload}");
            maps += &format!("a=rtpmap:{payload} {map}\r\n");
            if name.starts_with("te") {
                maps += &format!("a=fmtp:{payload} 0-15\r\n");
            }
            continue;
        }
        let (name, at) = match word.strip_suffix(":0") {
            Some(name) => (name, 0),
            // A fax goes where the audio went; other media have ports of their own.
            None if word == "fax" => (word.as_str(), port),
            None => (word.as_str(), port + 2),
        };
        if name == "audio" {
            audio = at;
            continue;
        }
        let Some((_, line)) = LINES.iter().find(|(known, _)| *known == name) else {
            panic!("no codec and no line is called {name}");
        };
        let line = line
            .replace("PORT", &at.to_string())
            .replace("PHONEIP", &ip.to_string());
        if payloads.is_empty() {
            before += &line;
        } else {
            behind += &line;
        }
    }
    let net = if ip.is_ipv6() { "IP6" } else { "IP4" };
    let place = say.place.map_or_else(|| format!("{net} {ip}"), str::to_owned);
    let session_way = say
        .session_way
        .map_or(String::new(), |way| format!("a={way}\r\n"));
    let way = if say.way == "none" {
        String::new()
    } else {
        format!("a={}\r\n", say.way)
    };
    let ptime = say.ptime.map_or(String::new(), |ms| format!("a=ptime:{ms}\r\n"));
    let mut text = format!(
        "v=0\r\no=phone 7 {} IN {net} {ip}\r\ns=phone talk\r\nc=IN {place}\r\nt=0 0\r\n{session_way}{before}",
        say.version
    );
    if !payloads.is_empty() {
        let profile = if say.secure.savp { "RTP/SAVP" } else { "RTP/AVP" };
        text += &format!("m=audio {audio} {profile}{payloads}\r\n{maps}{ptime}{way}");
        for (tag, suite, key) in &say.secure.keys {
            text += &format!("a=crypto:{tag} {} inline:{key}\r\n", suite.name());
        }
    }
    for line in say.more {
        text += line;
        text += "\r\n";
    }
    text += &behind;
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
    /// All media lines in order: `audio`, `video:0` for one that is refused.
    pub lines: Vec<String>,
    /// Where a fax goes.
    pub fax: Option<SocketAddr>,
    /// How the audio is secured.
    pub secure: Secure,
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
        lines: Vec::new(),
        fax: None,
        secure: Secure::default(),
    };
    let mut fax = None;
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
                heard.lines.push(if at == 0 {
                    format!("{name}:0")
                } else {
                    name.to_owned()
                });
                if name == "image" && at != 0 {
                    fax = Some(at);
                }
                // The audio that lives; a refused line may come before it.
                in_audio = name == "audio" && port.is_none_or(|port| port == 0);
                if in_audio {
                    port = Some(at);
                    maps.clear();
                    heard.secure = Secure {
                        savp: value.contains(" RTP/SAVP "),
                        keys: Vec::new(),
                    };
                    heard.payloads = words.skip(1).filter_map(|w| w.parse().ok()).collect();
                } else {
                    heard.others.push((name.to_owned(), at));
                }
            }
            "a" if in_audio => {
                if let Some(map) = value.strip_prefix("rtpmap:") {
                    let (payload, name) = map.split_once(' ')?;
                    maps.push((payload.parse::<u8>().ok()?, name.to_owned()));
                } else if let Some(crypto) = value.strip_prefix("crypto:") {
                    let mut words = crypto.split(' ');
                    let (tag, suite) = (words.next()?.parse().ok()?, Suite::of(words.next()?.as_bytes())?);
                    let key = words.next()?.strip_prefix("inline:")?;
                    heard.secure.keys.push((tag, suite, key.to_owned()));
                } else if matches!(value, "sendrecv" | "sendonly" | "recvonly" | "inactive") {
                    value.clone_into(&mut heard.way);
                }
            }
            _ => {}
        }
    }
    heard.fax = ip.zip(fax).map(|(ip, port)| SocketAddr::new(ip, port));
    heard.at = ip
        .zip(port.filter(|port| *port != 0))
        .map(|(ip, port)| SocketAddr::new(ip, port));
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

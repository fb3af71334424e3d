//! Parties over raw UDP sockets who write a canary of their own into every place of a message that has room
//! for one, and keep all that they are sent. They share no code with the server.

use std::cell::{RefCell, RefMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long a party waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Words and numbers that occur nowhere else, and the place where each was written.
pub struct Canaries {
    side: &'static str,
    /// The first seven digits of this side's numbers.
    digits: u32,
    made: Vec<(String, String)>,
}

impl Canaries {
    fn new(side: &'static str, digits: u32) -> Self {
        Self {
            side,
            digits,
            made: Vec::new(),
        }
    }

    /// A word for `place`.
    pub fn word(&mut self, place: &str) -> String {
        let word = format!("Cnry{}{:04}z", self.side, self.made.len());
        self.made.push((place.to_owned(), word.clone()));
        word
    }

    /// A number of eleven digits for `place`.
    pub fn number(&mut self, place: &str) -> String {
        let number = format!("{}{:04}", self.digits, self.made.len());
        self.made.push((place.to_owned(), number.clone()));
        number
    }

    /// Place and canary of all.
    pub fn made(&self) -> impl Iterator<Item = (&str, &str)> {
        self.made
            .iter()
            .map(|(place, canary)| (place.as_str(), canary.as_str()))
    }
}

/// One message, read in the simplest way there is.
#[derive(Clone, Debug)]
pub struct Message {
    start: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Message {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Self {
            start,
            headers,
            body: body.to_owned(),
        }
    }

    /// The whole of it.
    pub fn text(&self) -> String {
        let headers: String = self
            .headers
            .iter()
            .map(|(n, v)| format!("{n}: {v}\r\n"))
            .collect();
        format!("{}\r\n{headers}\r\n{}", self.start, self.body)
    }

    /// A response's status; 0 for a request.
    pub fn status(&self) -> u16 {
        let mut words = self.start.split(' ');
        match words.next() {
            Some("SIP/2.0") => words.next().and_then(|s| s.parse().ok()).unwrap_or(0),
            _ => 0,
        }
    }

    fn get(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    fn target(&self) -> String {
        let contact = self.get("Contact");
        let uri = contact.split_once('<').map_or(contact, |(_, rest)| rest);
        uri.split('>').next().unwrap_or_default().to_owned()
    }

    /// Where its description wants audio.
    pub fn media(&self) -> SocketAddr {
        let line = |start: &str| self.body.lines().find_map(|line| line.strip_prefix(start));
        let ip = line("c=IN IP4 ").and_then(|ip| ip.trim().parse::<Ipv4Addr>().ok());
        let port = line("m=audio ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        SocketAddr::from((ip.expect("an address"), port.expect("a port")))
    }
}

/// Someone who talks too much.
pub struct Party {
    sip: UdpSocket,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ssrc: u32,
    canaries: RefCell<Canaries>,
    got: Vec<Vec<u8>>,
    rtp_got: usize,
    rtcp_got: usize,
    /// Messages as they came, once each: what comes again is no news.
    seen: Vec<String>,
    unread: Vec<Message>,
    branches: u32,
}

impl Party {
    /// Someone at `ip`, whose canaries hold the letter `side` or begin with the seven digits `digits`.
    pub fn new(ip: Ipv4Addr, side: &'static str, digits: u32) -> Self {
        let (rtp, rtcp) = pair(ip);
        let sip = UdpSocket::bind((ip, 0)).expect("a free port");
        let [letter, ..] = side.as_bytes() else {
            unreachable!("a letter")
        };
        Self {
            sip,
            rtp,
            rtcp,
            ssrc: u32::from_be_bytes([b'S', b's', b'r', *letter]),
            canaries: RefCell::new(Canaries::new(side, digits)),
            got: Vec::new(),
            seen: Vec::new(),
            rtp_got: 0,
            rtcp_got: 0,
            unread: Vec::new(),
            branches: 0,
        }
    }

    /// Where it is spoken to.
    pub fn sip_address(&self) -> SocketAddr {
        self.sip.local_addr().expect("bound")
    }

    /// Its canaries.
    pub fn canaries(&self) -> RefMut<'_, Canaries> {
        self.canaries.borrow_mut()
    }

    /// All that it was sent: messages, audio, reports.
    pub fn got(&self) -> &[Vec<u8>] {
        &self.got
    }

    /// All of it in a row.
    pub fn heard(&self) -> Vec<u8> {
        self.got.concat()
    }

    /// A tag of its own.
    pub fn tag(&self) -> String {
        self.canaries().word("tag")
    }

    /// Sends a message.
    pub fn send(&self, to: SocketAddr, message: &Message) {
        self.sip
            .send_to(message.text().as_bytes(), to)
            .expect("loopback takes it");
    }

    /// The INVITE that begins a call, with everything in it that a header can hold.
    pub fn invite(&mut self, dialled: &str, caller: &str, body: &[u8]) -> Message {
        let via = self.via();
        let here = self.sip_address();
        let from = {
            let mut canaries = self.canaries();
            let (name, number) = (canaries.word("From's name"), canaries.number("From's number"));
            let (parameter, tag) = (canaries.word("From's parameter"), canaries.word("From's tag"));
            format!("\"{name}\" <sip:{number}@{here};user=phone;x={parameter}>;tag={tag}")
        };
        let call_id = format!("{}@{}", self.canaries().word("Call-ID"), here.ip());
        let identity = {
            let mut canaries = self.canaries();
            let name = canaries.word("P-Asserted-Identity's name");
            format!("\"{name}\" <sip:+86{caller}@{};user=phone>", here.ip())
        };
        let mut headers = vec![
            ("Via".to_owned(), via),
            ("Max-Forwards".to_owned(), "70".to_owned()),
            ("From".to_owned(), from),
            ("To".to_owned(), format!("<{dialled}>")),
            ("Call-ID".to_owned(), call_id),
            ("CSeq".to_owned(), "1 INVITE".to_owned()),
            ("P-Asserted-Identity".to_owned(), identity),
            ("P-Asserted-Identity".to_owned(), format!("<tel:+86{caller}>")),
        ];
        headers.extend(self.chatter());
        with_body(
            format!("INVITE {dialled} SIP/2.0"),
            headers,
            Some(("application/sdp", body)),
        )
    }

    /// An answer; with `tag` in To, unless one is there.
    pub fn answer(
        &mut self,
        request: &Message,
        status: u16,
        tag: Option<&str>,
        body: Option<&Vec<u8>>,
    ) -> Message {
        let phrase = self.canaries().word("reason phrase");
        let number = self.canaries().number("reason phrase");
        let mut headers: Vec<(String, String)> = request
            .all("Via")
            .into_iter()
            .map(|via| ("Via".to_owned(), via.to_owned()))
            .collect();
        let mut to = request.get("To").to_owned();
        if let Some(tag) = tag.filter(|_| !to.contains(";tag=")) {
            to = format!("{to};tag={tag}");
        }
        for (name, value) in [("From", request.get("From")), ("To", &to)] {
            headers.push((name.to_owned(), value.to_owned()));
        }
        for name in ["Call-ID", "CSeq"] {
            headers.push((name.to_owned(), request.get(name).to_owned()));
        }
        headers.extend(self.chatter());
        let start = format!("SIP/2.0 {status} {phrase} {number}");
        with_body(
            start,
            headers,
            body.map(|body| ("application/sdp", body.as_slice())),
        )
    }

    /// A request of the caller's within the dialog that `answer` made.
    pub fn within(
        &mut self,
        invite: &Message,
        answer: &Message,
        method: &str,
        cseq: u32,
        body: Option<(&str, &[u8])>,
    ) -> Message {
        let (from, to) = (invite.get("From").to_owned(), answer.get("To").to_owned());
        let (target, call_id) = (answer.target(), invite.get("Call-ID").to_owned());
        self.request(method, &target, (&from, &to), &call_id, cseq, body)
    }

    /// A request of the called party's within the dialog that it has answered under `tag`.
    pub fn back(
        &mut self,
        invite: &Message,
        tag: &str,
        method: &str,
        cseq: u32,
        body: Option<(&str, &[u8])>,
    ) -> Message {
        let from = format!("{};tag={tag}", invite.get("To"));
        let (to, call_id) = (invite.get("From").to_owned(), invite.get("Call-ID").to_owned());
        self.request(method, &invite.target(), (&from, &to), &call_id, cseq, body)
    }

    fn request(
        &mut self,
        method: &str,
        target: &str,
        (from, to): (&str, &str),
        call_id: &str,
        cseq: u32,
        body: Option<(&str, &[u8])>,
    ) -> Message {
        let mut headers = vec![("Via".to_owned(), self.via())];
        for (name, value) in [
            ("Max-Forwards", "70"),
            ("From", from),
            ("To", to),
            ("Call-ID", call_id),
        ] {
            headers.push((name.to_owned(), value.to_owned()));
        }
        headers.push(("CSeq".to_owned(), format!("{cseq} {method}")));
        match method {
            "REFER" => {
                let number = self.canaries().number("Refer-To");
                headers.push((
                    "Refer-To".to_owned(),
                    format!("<sip:{number}@{}>", self.sip_address()),
                ));
            }
            "NOTIFY" => {
                headers.push(("Event".to_owned(), "refer".to_owned()));
                headers.push(("Subscription-State".to_owned(), "active".to_owned()));
            }
            _ => {}
        }
        headers.extend(self.chatter());
        with_body(format!("{method} {target} SIP/2.0"), headers, body)
    }

    /// The ACK of a refusal: the INVITE's own transaction.
    pub fn ack_of_failure(&self, invite: &Message, refused: &Message) -> Message {
        self.same_transaction(invite, "ACK", refused.get("To"))
    }

    /// The CANCEL of an INVITE.
    pub fn cancel(&self, invite: &Message) -> Message {
        let mut cancel = self.same_transaction(invite, "CANCEL", invite.get("To"));
        let text = self.canaries().word("CANCEL's Reason");
        cancel
            .headers
            .insert(1, ("Reason".to_owned(), format!("SIP;cause=200;text=\"{text}\"")));
        cancel
    }

    fn same_transaction(&self, invite: &Message, method: &str, to: &str) -> Message {
        let uri = invite.start.split(' ').nth(1).unwrap_or_default();
        let mut headers = Vec::new();
        for name in ["Via", "Max-Forwards", "From", "Call-ID"] {
            headers.push((name.to_owned(), invite.get(name).to_owned()));
        }
        headers.push(("To".to_owned(), to.to_owned()));
        headers.push(("CSeq".to_owned(), format!("1 {method}")));
        with_body(format!("{method} {uri} SIP/2.0"), headers, None)
    }

    fn via(&mut self) -> String {
        self.branches += 1;
        let (mine, count) = (self.canaries().word("Via"), self.branches);
        format!(
            "SIP/2.0/UDP {};branch=z9hG4bK{mine}b{count};rport",
            self.sip_address()
        )
    }

    /// Headers that say who and where one is, and headers that nobody knows.
    fn chatter(&self) -> Vec<(String, String)> {
        let here = self.sip_address();
        let mut canaries = self.canaries();
        let mut headers = Vec::new();
        // Names and addresses.
        for name in [
            "Contact",
            "Remote-Party-ID",
            "P-Preferred-Identity",
            "P-Associated-URI",
            "Diversion",
            "History-Info",
            "Reply-To",
            "Referred-By",
            "P-Called-Party-ID",
            "Call-Info",
            "Alert-Info",
            "Error-Info",
            "P-Served-User",
            "Geolocation",
            "P-Profile-Key",
        ] {
            let (word, number) = (canaries.word(name), canaries.number(name));
            // A name before Contact's address is no part of where requests go, but a user part is.
            let value = match name {
                "Contact" => format!("\"{word}\" <sip:{number}@{here}>"),
                "History-Info" => format!("<sip:{number}@{word}.example>;index=1"),
                "Diversion" => format!("\"{word}\" <sip:{number}@carrier.example>;reason=unconditional"),
                "Call-Info" | "Alert-Info" | "Error-Info" => {
                    format!("<http://{word}.example/{number}.png>;purpose=icon")
                }
                _ => format!("\"{word}\" <sip:+86{number}@{word}.example>"),
            };
            headers.push((name.to_owned(), value));
        }
        // Words.
        for name in [
            "Subject",
            "Organization",
            "User-Agent",
            "Server",
            "P-Charging-Vector",
            "P-Charging-Function-Addresses",
            "P-Access-Network-Info",
            "P-Visited-Network-ID",
            "User-to-User",
            "Session-ID",
            "Identity",
            "Identity-Info",
            "X-Customer",
            "X-Real-Number",
            "In-Reply-To",
            "Proxy-Authorization",
            "Authorization",
            "Accept-Contact",
            "Supported",
            "Allow-Events",
            "Accept-Language",
            "Warning",
            "Reason",
            "P-Early-Media",
            "Content-Description",
            "Resource-Priority",
            "P-Asserted-Service",
            "Target-Dialog",
            "Recv-Info",
            "Attestation-Info",
            "Origination-Id",
            "Cellular-Network-Info",
            "P-User-Database",
            "Answer-Mode",
            "Priority",
            "UUI",
            "Feature-Caps",
            "P-Com.Caller",
        ] {
            let (word, number) = (canaries.word(name), canaries.number(name));
            let value = match name {
                "P-Charging-Vector" => format!("icid-value={word};orig-ioi={number}"),
                "User-to-User" => format!("{word}{number};encoding=hex"),
                "Proxy-Authorization" | "Authorization" => {
                    format!(
                        "Digest username=\"{number}\", realm=\"{word}\", nonce=\"{word}\", uri=\"sip:x\", response=\"0\""
                    )
                }
                "Supported" | "Allow-Events" | "Accept-Language" => word,
                "Warning" => format!("399 {word} \"{number}\""),
                "Reason" => format!("Q.850;cause=16;text=\"{word} {number}\""),
                _ => format!("{word} {number}"),
            };
            headers.push((name.to_owned(), value));
        }
        headers
    }

    /// A session description with a canary in every line that takes one.
    pub fn describe(&self, way: &str) -> Vec<u8> {
        let at = self.rtp.local_addr().expect("bound");
        let (ip, port) = (at.ip(), at.port());
        let mut canaries = self.canaries();
        let (phone, session) = (canaries.number("SDP p="), canaries.number("SDP o= id"));
        let mut word = |place: &str| canaries.word(&format!("SDP {place}"));
        let (origin, name, info, uri) = (word("o="), word("s="), word("i="), word("u="));
        let (mail, tool, label, mid) = (word("e="), word("a=tool"), word("a=label"), word("a=mid"));
        let (cname, ufrag, pwd, key) = (
            word("a=ssrc"),
            word("a=ice-ufrag"),
            word("a=ice-pwd"),
            word("a=crypto"),
        );
        let (codec, own, title, video) = (word("codec"), word("a=X"), word("media i="), word("video"));
        format!(
            "v=0\r\no={origin} {session} 1 IN IP4 {ip}\r\ns={name}\r\ni={info}\r\nu=http://{uri}.example/\r\n\
             e={mail}@example.com\r\np=+86{phone}\r\nc=IN IP4 {ip}\r\nt=0 0\r\na=tool:{tool}\r\n\
             a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio {port} RTP/AVP 8 97 101\r\ni={title}\r\n\
             a=rtpmap:8 PCMA/8000\r\na=rtpmap:97 {codec}/8000\r\na=fmtp:97 mode={codec}\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=label:{label}\r\na=mid:{mid}\r\n\
             a=ssrc:1234 cname:{cname}\r\na=candidate:1 1 UDP 2130706431 {ip} {port} typ host\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\na=X-{own}:{own}\r\na=ptime:20\r\na={way}\r\n\
             m=video 0 RTP/AVP 96\r\na=rtpmap:96 {video}/90000\r\n"
        )
        .into_bytes()
    }

    /// Waits for a request.
    pub fn await_request(&mut self, method: &str) -> Message {
        self.wait_for(method, |message| message.start.starts_with(&format!("{method} ")))
    }

    /// Waits for an answer to `request`.
    pub fn await_answer(&mut self, request: &Message, status: u16) -> Message {
        let (call_id, cseq) = (request.get("Call-ID").to_owned(), request.get("CSeq").to_owned());
        self.wait_for(&format!("{status} to {cseq}"), |message| {
            message.status() == status && message.get("Call-ID") == call_id && message.get("CSeq") == cseq
        })
    }

    /// Waits for the last answer to `request`, whatever it is.
    pub fn await_final(&mut self, request: &Message) -> Message {
        let (call_id, cseq) = (request.get("Call-ID").to_owned(), request.get("CSeq").to_owned());
        self.wait_for(&format!("an answer to {cseq}"), |message| {
            message.status() >= 200 && message.get("Call-ID") == call_id && message.get("CSeq") == cseq
        })
    }

    fn wait_for(&mut self, what: &str, is_it: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.unread.iter().position(&is_it) {
                return self.unread.remove(at);
            }
            assert!(
                Instant::now() < deadline,
                "{} waits in vain for {what}",
                self.sip_address()
            );
            self.listen(Duration::from_millis(20));
        }
    }

    /// Takes in what has come, for as long as nothing comes for `patience`.
    pub fn listen(&mut self, patience: Duration) {
        let mut buffer = [0; 65_535];
        self.sip.set_read_timeout(Some(patience)).expect("no zero");
        if let Ok((len, _)) = self.sip.recv_from(&mut buffer) {
            let message = Message::read(&buffer[..len]);
            if !self.seen.contains(&message.text()) {
                self.seen.push(message.text());
                self.unread.push(message);
            }
            self.got.push(buffer[..len].to_vec());
        }
        for (socket, count) in [(&self.rtp, &mut self.rtp_got), (&self.rtcp, &mut self.rtcp_got)] {
            while let Ok((len, _)) = socket.recv_from(&mut buffer) {
                self.got.push(buffer[..len].to_vec());
                *count += 1;
            }
        }
    }

    /// Whether so many packets of audio, and a report, have come.
    pub fn heard_enough(&self, packets: usize) -> bool {
        self.rtp_got >= packets && self.rtcp_got > 0
    }

    /// Sends one packet of audio, with contributors and an extension; every so often a report as well.
    pub fn speak(&self, to: SocketAddr, frame: u16) {
        // Extension, one contributor, PCMA.
        let mut packet = vec![0b1001_0001, 8];
        packet.extend(frame.to_be_bytes());
        packet.extend((u32::from(frame) * 160).to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        let (csrc, extension) = {
            let mut canaries = self.canaries();
            (canaries.short("CSRC"), canaries.long("header extension"))
        };
        packet.extend(csrc.as_bytes());
        packet.extend([0xBE, 0xDE, 0, 4]);
        packet.extend(extension.as_bytes());
        packet.extend([0xD5; 160]);
        self.rtp.send_to(&packet, to).expect("loopback takes it");
        if frame.is_multiple_of(25) {
            let rtcp = SocketAddr::new(to.ip(), to.port() + 1);
            self.rtcp
                .send_to(&self.report(frame), rtcp)
                .expect("loopback takes it");
        }
    }

    /// A sender report, a description with every item there is, and an application's packet.
    fn report(&self, frame: u16) -> Vec<u8> {
        let mut canaries = self.canaries();
        let ssrc = self.ssrc.to_be_bytes();
        let mut out = vec![0x80, 200, 0, 6];
        out.extend(ssrc);
        out.extend([0xE8, 0, 0, 0, 0, 0, 0, 1]);
        out.extend((u32::from(frame) * 160).to_be_bytes());
        out.extend(u32::from(frame).to_be_bytes());
        out.extend((u32::from(frame) * 160).to_be_bytes());
        let mut chunk = ssrc.to_vec();
        for (item, name) in [
            (1, "CNAME"),
            (2, "NAME"),
            (3, "EMAIL"),
            (4, "PHONE"),
            (5, "LOC"),
            (6, "TOOL"),
            (7, "NOTE"),
        ] {
            let text = format!("{}@{}", canaries.word(name), canaries.number(name));
            chunk.extend([item, text.len() as u8]);
            chunk.extend(text.as_bytes());
        }
        chunk.push(0);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        out.extend([0x81, 202, 0, (chunk.len() / 4) as u8]);
        out.extend(chunk);
        let application = canaries.long("APP");
        out.extend([0x80, 204, 0, 6]);
        out.extend(ssrc);
        out.extend(b"Name");
        out.extend(application.as_bytes());
        out
    }

    /// The SSRC that this party sends under is not in `bytes`.
    pub fn ssrc_is_not_in(&self, bytes: &[u8]) {
        let ssrc = self.ssrc.to_be_bytes();
        assert!(!bytes.windows(4).any(|four| four == ssrc), "an SSRC crossed");
    }
}

impl Canaries {
    /// Four letters.
    fn short(&mut self, place: &str) -> String {
        let word = format!("Cs{}q", self.side);
        self.keep(place, word)
    }

    /// Sixteen letters.
    fn long(&mut self, place: &str) -> String {
        let word = format!("{:z<16}", format!("Long{}Canary", self.side));
        self.keep(place, word)
    }

    fn keep(&mut self, place: &str, word: String) -> String {
        if !self.made.iter().any(|(_, known)| *known == word) {
            self.made.push((place.to_owned(), word.clone()));
        }
        word
    }
}

/// A message with its body's length.
fn with_body(start: String, mut headers: Vec<(String, String)>, body: Option<(&str, &[u8])>) -> Message {
    let text = body.map_or(String::new(), |(_, body)| {
        String::from_utf8_lossy(body).into_owned()
    });
    if let Some((kind, _)) = body {
        headers.push(("Content-Type".to_owned(), kind.to_owned()));
    }
    headers.push(("Content-Length".to_owned(), text.len().to_string()));
    Message {
        start,
        headers,
        body: text,
    }
}

/// Two sockets on neighbouring ports, the first even.
fn pair(ip: Ipv4Addr) -> (UdpSocket, UdpSocket) {
    let found = (0..100).find_map(|_| {
        let rtp = UdpSocket::bind((ip, 0)).ok()?;
        let port = rtp.local_addr().ok()?.port();
        let rtcp = UdpSocket::bind((ip, port.checked_add(1)?)).ok()?;
        port.is_multiple_of(2).then_some((rtp, rtcp))
    });
    let (rtp, rtcp) = found.expect("two free ports in a row");
    for socket in [&rtp, &rtcp] {
        socket.set_nonblocking(true).expect("sockets can");
    }
    (rtp, rtcp)
}

/// Whether the digits of `number` stand in `bytes`: separators folded away, escapes undone.
pub fn holds_number(bytes: &[u8], number: &str) -> bool {
    let mut folded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let hex = |at: usize| after.get(at).and_then(|c| char::from(*c).to_digit(16));
        rest = after;
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                folded.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            (b'-' | b'.' | b' ' | b'(' | b')' | b'/' | b'_', _, _) => {}
            _ => folded.push(*first),
        }
    }
    let needle = number.as_bytes();
    folded.windows(needle.len()).any(|window| window == needle)
}

/// Whether `word` stands in `bytes`, in any case; an address only as a whole one.
pub fn holds_word(bytes: &[u8], word: &str) -> bool {
    let is_address = word.parse::<IpAddr>().is_ok();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    bytes.windows(word.len()).enumerate().any(|(at, window)| {
        let is_part = is_digit(at.checked_sub(1)) || is_digit(Some(at + word.len()));
        window.eq_ignore_ascii_case(word.as_bytes()) && !(is_address && is_part)
    })
}

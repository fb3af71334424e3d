//! Words that betray, in every place of a message where somebody ever put one: none of them comes out on the
//! other side, in requests or answers, descriptions or packets, from the caller or from the called party.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use support::cast::{Cast, Cue};
use support::phone::{Extra, Phone};
use support::stage::{Binding, Packet, Setup, Stage};
use support::text::Msg;
use support::witness;
use support::world::World;

const X: &str = "17000000001";
const Y: &str = "17000000002";

/// Makes words that are found again, and remembers where each one was put.
struct Canaries {
    owner: &'static str,
    /// The word, and the header or line that it is in.
    all: Vec<(String, String)>,
}

impl Canaries {
    fn new(owner: &'static str) -> Self {
        Self {
            owner,
            all: Vec::new(),
        }
    }

    /// What the owner's packets are called.
    fn ssrc(&self) -> [u8; 4] {
        if self.owner == "caller" {
            *b"zqcr"
        } else {
            *b"zqce"
        }
    }

    /// The half of a session's name that the owner's messages tell (RFC 7989).
    fn half(&self) -> &'static str {
        if self.owner == "caller" {
            "deadbeefdead4eefaeadbeefdeadbeef"
        } else {
            "feedfacefeed4acefeedfacefeedface"
        }
    }

    /// A new word, to stand in `place`.
    fn word(&mut self, place: &str) -> String {
        let n = self.all.len();
        let letters: String = [n / 676 % 26, n / 26 % 26, n % 26]
            .map(|d| char::from(b'a' + d as u8))
            .iter()
            .collect();
        let word = format!("kanari{}{letters}q", self.owner);
        self.all.push((word.clone(), place.to_owned()));
        word
    }

    /// Puts a new word in place of every `%` of `line`.
    fn put(&mut self, line: &str) -> String {
        let mut out = String::new();
        for (i, part) in line.split('%').enumerate() {
            if i > 0 {
                out += &self.word(line);
            }
            out += part;
        }
        out
    }

    /// Header lines that have no business on the other side. `number` is the sender's own.
    fn headers(&mut self, number: &str) -> Vec<String> {
        let spaced = format!("+86 {} {} {}", &number[..3], &number[3..7], &number[7..]);
        let lines = [
            "P-Preferred-Identity: \"%\" <sip:%@%.example>",
            "Remote-Party-ID: \"%\" <sip:%@%.example>;party=calling;privacy=off;x=%",
            "Diversion: \"%\" <sip:%@%.example>;reason=unconditional;counter=1",
            "History-Info: <sip:%@%.example?Reason=SIP%3Bcause%3D302>;index=1, <sip:%@h.example>;index=1.1",
            "Call-Info: <http://%.example/%.jpg>;purpose=icon",
            "Alert-Info: <http://%.example/%.wav>",
            "Error-Info: <sip:%@%.example>",
            "Subject: call me at NUMBER, % said",
            "Organization: % and sons",
            "User-Agent: %/1.0 (%)",
            "Server: %/1.0",
            "User-to-User: %;encoding=hex",
            "Geolocation: <cid:%@%.example>",
            "Geolocation-Routing: yes;%",
            "Identity: %;info=<https://%.example/cert>;alg=ES256",
            "Identity-Info: <https://%.example/cert>",
            "Referred-By: <sip:%@%.example>;cid=\"%\"",
            "Replaces: %@h.example;to-tag=%;from-tag=%",
            "Join: %@h.example;to-tag=%;from-tag=%",
            "P-Charging-Vector: icid-value=%;orig-ioi=%.example",
            "P-Charging-Function-Addresses: ccf=%.example",
            "P-Access-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=%",
            "P-Visited-Network-ID: \"%\"",
            "P-Called-Party-ID: <sip:%@%.example>",
            "P-Asserted-Service: urn:urn-7:%",
            "P-Associated-URI: <sip:%@%.example>",
            "P-Served-User: <sip:%@%.example>",
            "P-Early-Media: sendrecv;%",
            "Reason: Q.850;cause=16;text=\"% NUMBER\"",
            "Warning: 399 %.example \"% NUMBER\"",
            "Session-ID: HALF;remote=%",
            "In-Reply-To: %@%.example",
            "Reply-To: \"%\" <sip:%@%.example>",
            "Date: Sat, 13 Nov 2010 23:29:00 GMT;%",
            "Accept-Language: %",
            "Timestamp: 54;%",
            "Feature-Caps: *;%",
            "Accept-Contact: *;%",
            "Reject-Contact: *;%",
            "Request-Disposition: %",
            "Path: <sip:%@%.example;lr>",
            "Service-Route: <sip:%@%.example;lr>",
            "Authorization: Digest username=\"%\", realm=\"%\", nonce=\"%\", uri=\"sip:%\", response=\"%\"",
            "Proxy-Authorization: Digest username=\"%\", realm=\"%\"",
            "Content-Disposition: session;%",
            "Content-Language: %",
            "MIME-Version: 1.0 (%)",
            "Supported: %",
            "Allow-Events: %",
            "Resource-Priority: %.0",
            "Privacy: %",
            "Recv-Info: %",
            "Content-ID: <%@%.example>",
            "Target-Dialog: %@h.example;local-tag=%;remote-tag=%",
            "Attestation-Info: %",
            "Origination-Id: %",
            "Additional-Identity: <sip:%@%.example>",
            "Cellular-Network-Info: 3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=%",
            "P-User-Database: <aaa://%.example>",
            "P-Private-Network-Indication: %.example",
            "P-Profile-Key: <sip:%@%.example>",
            "P-Answer-State: %",
            "P-Refused-URI-List: <sip:%@%.example>",
            "P-Media-Authorization: %",
            "Security-Client: %",
            "Security-Verify: %",
            "Answer-Mode: %",
            "Priority: %",
            "Response-Source: <sip:%@%.example>",
            "Relayed-Charge: mode=forward;%",
            "UUI: %",
            "X-Real-Number: NUMBER-%",
            "X-%: %",
            "X-PLAIN: %",
        ];
        let half = self.half();
        let written = |line: &&str| {
            line.replace("NUMBER", &spaced)
                .replace("PLAIN", number)
                .replace("HALF", half)
        };
        lines.iter().map(|line| self.put(&written(line))).collect()
    }

    /// A description with words on every line that can hold one.
    fn description(&mut self, at: SocketAddr, way: &str, number: &str) -> String {
        let (ip, port) = (at.ip(), at.port());
        let lines = [
            "v=0".to_owned(),
            format!("o=% 20518 0 IN IP4 {ip}"),
            format!("s=% of {number}"),
            "i=% calling".to_owned(),
            "u=http://%.example/%.pdf".to_owned(),
            "e=%@%.example (%)".to_owned(),
            format!("p=+86 {number} (%)"),
            format!("c=IN IP4 {ip}"),
            "b=X-%:128".to_owned(),
            "t=0 0".to_owned(),
            "k=clear:%".to_owned(),
            "a=tool:%".to_owned(),
            "a=group:BUNDLE %".to_owned(),
            "a=msid-semantic: WMS %".to_owned(),
            "a=ice-ufrag:%".to_owned(),
            "a=ice-pwd:%".to_owned(),
            "a=fingerprint:sha-256 %".to_owned(),
            "a=identity:%".to_owned(),
            format!("m=audio {port} RTP/AVP 8 97 101"),
            "i=%".to_owned(),
            "b=X-%:64".to_owned(),
            "k=prompt".to_owned(),
            "a=rtpmap:8 PCMA/8000".to_owned(),
            "a=rtpmap:97 %/8000".to_owned(),
            "a=rtpmap:101 telephone-event/8000".to_owned(),
            "a=fmtp:8 %=%".to_owned(),
            "a=fmtp:97 %=1".to_owned(),
            "a=fmtp:101 0-15".to_owned(),
            format!("a=candidate:1 1 UDP 2130706431 {ip} {port} typ host %"),
            "a=ssrc:12345 cname:%@%.example".to_owned(),
            "a=ssrc:12345 msid:% %".to_owned(),
            "a=msid:% %".to_owned(),
            "a=mid:%".to_owned(),
            "a=label:%".to_owned(),
            "a=content:%".to_owned(),
            "a=rid:% send".to_owned(),
            "a=extmap:1 urn:%".to_owned(),
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%".to_owned(),
            "a=x-%:%".to_owned(),
            "a=ptime:20".to_owned(),
            format!("a={way}"),
        ];
        let text: Vec<String> = lines.iter().map(|line| self.put(line)).collect();
        text.join("\r\n") + "\r\n"
    }

    /// The description among what carriers and phones put beside one: ISUP, where one is, who records.
    fn parts(&mut self, description: &str, number: &str) -> (String, String) {
        let boundary = self.word("a boundary");
        let mut body = self.put("% before the first part\r\n");
        let parts = [
            (
                "application/isup;version=%;base=itu-t92+",
                format!("\u{1}\u{0}%{number}"),
            ),
            (
                "application/pidf+xml",
                format!(
                    "<presence entity=\"pres:%@%.example\"><geopriv>%</geopriv><tel>{number}</tel></presence>"
                ),
            ),
            ("application/sdp", description.to_owned()),
            (
                "application/rs-metadata+xml",
                format!("<recording><nameID aor=\"sip:%{number}@%.example\"/></recording>"),
            ),
        ];
        for (kind, text) in parts {
            let (kind, text) = match kind {
                "application/sdp" => (kind.to_owned(), text),
                kind => (self.put(kind), self.put(&text)),
            };
            let id = self.put("Content-ID: <%@%.example>\r\nContent-Disposition: x-%;handling=optional");
            let head = match kind.as_str() {
                "application/sdp" => String::new(),
                _ => format!("{id}\r\n"),
            };
            body += &format!("--{boundary}\r\nContent-Type: {kind}\r\n{head}\r\n{text}\r\n");
        }
        body += &self.put(&format!("--{boundary}--\r\n% behind the last part"));
        (format!("multipart/mixed;boundary={boundary}"), body)
    }

    /// A compound RTCP packet that names everybody.
    fn rtcp(&mut self) -> Vec<u8> {
        let mut out = vec![0x80, 200, 0, 6];
        out.extend([0x55, 0, 0, 0]);
        out.extend([0; 20]);
        let mut items = vec![0x55, 0, 0, 0];
        for kind in 1..=8_u8 {
            let mut text = self.word("an SDES item").into_bytes();
            if kind == 8 {
                text.insert(0, 3);
            }
            items.extend([kind, text.len() as u8]);
            items.extend(text);
        }
        items.push(0);
        chunk(&mut out, 0x81, 202, &items);
        let mut app = b"\x55\0\0\0name".to_vec();
        app.extend(self.word("an APP packet").into_bytes());
        chunk(&mut out, 0x80, 204, &app);
        let reason = self.word("the reason of a BYE");
        let mut bye = vec![0x55, 0, 0, 0, reason.len() as u8];
        bye.extend(reason.into_bytes());
        chunk(&mut out, 0x81, 203, &bye);
        out
    }

    /// An RTP packet with contributors, a header extension and padding.
    fn rtp(&mut self, seq: u16) -> Vec<u8> {
        let mut out = vec![0x80 | 0x20 | 0x10 | 2, 8];
        out.extend(seq.to_be_bytes());
        out.extend((u32::from(seq) * 160).to_be_bytes());
        out.extend(self.ssrc());
        out.extend(b"zqxjzqxj");
        let mut extension = self.word("a header extension").into_bytes();
        extension.resize(extension.len().next_multiple_of(4), 0);
        out.extend([0xBE, 0xDE, 0, (extension.len() / 4) as u8]);
        out.extend(extension);
        out.extend([0xD5; 160]);
        let mut padding = self.word("padding").into_bytes();
        padding.push(0);
        let length = padding.len() as u8;
        *padding.last_mut().expect("one byte") = length;
        out.extend(padding);
        out
    }
}

fn chunk(out: &mut Vec<u8>, first: u8, kind: u8, content: &[u8]) {
    let words = content.len().div_ceil(4) as u16;
    out.extend([first, kind]);
    out.extend(words.to_be_bytes());
    out.extend(content);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A call between two who say too much.
struct Scene {
    cast: Cast<World>,
    caller: usize,
    callee: usize,
    /// What the caller dials, and what the callee sees.
    dialled: &'static str,
    shown: &'static str,
    words: [Canaries; 2],
}

impl Scene {
    /// In AXB. `caller` and `callee` by their place: 0 is A, 1 is B.
    fn new(caller: usize) -> Self {
        Self::of("axb", caller)
    }

    /// In AX, 1 is anyone to the binding, and the one whom A calls back.
    fn of(mode: &str, caller: usize) -> Self {
        Self::on(Setup::on(1), mode, caller)
    }

    fn on(setup: Setup, mode: &str, caller: usize) -> Self {
        let mut cast = Cast::on(World::new(setup, 3));
        cast.keeps = true;
        cast.stage.own_in(mode, X);
        let [a, b] = ["13800000001", "13900000002"];
        let (mut dialled, mut shown) = (X, X);
        if mode == "axyb" {
            cast.stage.own_in(mode, Y);
            // (Y, A) → B shown X; (X, B) → A shown Y.
            (dialled, shown) = if caller == 0 { (Y, X) } else { (X, Y) };
        }
        cast.stage.bind(&Binding {
            mode: mode.into(),
            x: X.into(),
            a: a.into(),
            y: Y.into(),
            b: b.into(),
            ..Binding::default()
        });
        if mode == "ax" && caller == 0 {
            cast.stage.callee(X, Some(b));
        }
        cast.join("A", a, false);
        cast.join("B", b, false);
        Self {
            cast,
            caller,
            callee: 1 - caller,
            dialled,
            shown,
            words: [Canaries::new("caller"), Canaries::new("callee")],
        }
    }

    fn phone(&mut self, who: usize) -> &mut Phone {
        &mut self.cast.phones[who]
    }

    /// What `who` says in any message, with a description if `way` is one.
    fn too_much(&mut self, who: usize, way: Option<&str>) -> Extra {
        let number = self.cast.phones[who].number.clone();
        let media = self.cast.phones[who].calls.first().map(|c| c.media);
        let media = media.unwrap_or_else(|| SocketAddr::new(self.cast.home(who).ip(), 31_000));
        let words = &mut self.words[usize::from(who == self.callee)];
        let mut headers = words.headers(&number);
        headers.push(words.put("Contact: \"%\" <sip:%@HOST;x=%>;+sip.instance=\"<urn:uuid:%>\""));
        let body = way.map(|way| {
            let description = words.description(media, way, &number);
            words.parts(&description, &number)
        });
        let host = match way {
            Some(_) if who == self.callee => self.cast.stage.setup().gateway(1),
            Some(_) | None => self.cast.home(who),
        };
        let host = host.to_string();
        Extra {
            headers: headers.into_iter().map(|h| h.replace("HOST", &host)).collect(),
            omit: vec!["Contact".into()],
            body,
            media_port: Some(media.port()),
            reason: Some(words.put(&format!("% of {number}"))),
            ..Extra::default()
        }
    }

    /// Waits until `who` hears `what`.
    fn hear(&mut self, who: usize, what: &str) -> Msg {
        self.hear_any(who, |name| name == what)
    }

    /// Waits until `who` hears something of such a name.
    fn hear_any(&mut self, who: usize, is_it: impl Fn(&str) -> bool) -> Msg {
        let deadline = self.cast.stage.now() + Duration::from_secs(20);
        loop {
            match self.cast.step(deadline) {
                Some(Cue::Heard {
                    phone,
                    msg,
                    again: false,
                    ..
                }) if phone == who && is_it(&msg.name()) => return msg,
                Some(_) => {}
                None => panic!("what was awaited never came\n{}", self.cast.transcript.join("\n")),
            }
        }
    }

    fn wait(&mut self, seconds: u64) {
        let until = self.cast.stage.now() + Duration::from_secs(seconds);
        while self.cast.step(until).is_some() {}
    }

    fn now(&self) -> Duration {
        self.cast.stage.now()
    }

    /// The caller's INVITE leaves; the callee's arrives.
    fn invite(&mut self) {
        let now = self.now();
        let (caller, callee) = (self.caller, self.callee);
        let number = self.phone(caller).number.clone();
        let mut extra = self.too_much(caller, Some("sendrecv"));
        let words = &mut self.words[0];
        let host = "HOST.example";
        extra.from = None;
        // An INVITE with these goes nowhere at all.
        extra
            .headers
            .retain(|line| !line.starts_with("Replaces:") && !line.starts_with("Join:"));
        extra.headers.push(words.put(&format!(
            "P-Asserted-Identity: \"% {number}\" <sip:{number}@{host};x=%>, <tel:+86{number};%=1>"
        )));
        let (home, umbra) = (self.cast.home(caller), self.cast.stage.setup().umbra());
        let dialled = self.dialled;
        self.phone(caller)
            .ask(now, home, umbra, "INVITE", dialled, &extra);
        let heard = self.hear(callee, "INVITE");
        let from = heard.get("From").expect("somebody calls");
        assert!(from.contains(self.shown), "{from}");
    }

    fn answer(&mut self, who: usize, status: u16, method: &str, way: Option<&str>) {
        let now = self.now();
        let extra = self.too_much(who, way);
        let answered = self.phone(who).respond(now, 0, status, Some(method), &extra);
        answered.expect("there is something to answer");
    }

    fn ask(&mut self, who: usize, method: &str, way: Option<&str>) {
        let now = self.now();
        let extra = self.too_much(who, way);
        self.phone(who).request(now, 0, method, &extra);
    }

    /// Everything that `who` can send within a call and that is none of the other's business.
    fn ends_here(&mut self, who: usize) {
        let other = "+8613612345678";
        let requests: &[(&str, &str, &[&str], &str)] = &[
            ("INFO", "", &[], ""),
            ("INFO", "text/plain", &[], "% NUMBER"),
            ("INFO", "application/isup;version=%", &[], "\u{1}%"),
            ("INFO", "application/%", &["Info-Package: %"], "%"),
            (
                "INFO",
                "application/dtmf-relay;%=%",
                &[],
                "Signal=5\r\nDuration=160\r\nName=%\r\n%=NUMBER",
            ),
            ("INFO", "application/dtmf;%=%", &[], "%"),
            (
                "REFER",
                "",
                &["Refer-To: \"%\" <sip:%@%.example?Replaces=%%3Bto-tag%3D1%3Bfrom-tag%3D2>"],
                "",
            ),
            (
                "NOTIFY",
                "application/simple-message-summary",
                &["Event: message-summary", "Subscription-State: active;%"],
                "Messages-Waiting: yes\r\nMessage-Account: sip:%@%.example\r\nVoice-Message: NUMBER",
            ),
            (
                "NOTIFY",
                "message/sipfrag",
                &["Event: refer;id=%", "Subscription-State: terminated;reason=%"],
                "SIP/2.0 200 %\r\nContact: <sip:%@%.example>",
            ),
            ("SUBSCRIBE", "", &["Event: dialog;%", "Expires: 60"], ""),
            ("MESSAGE", "text/plain", &[], "call me: NUMBER, %"),
            (
                "PUBLISH",
                "application/pidf+xml",
                &["Event: presence"],
                "<tel>NUMBER %</tel>",
            ),
            (
                "UPDATE",
                "",
                &["P-Asserted-Identity: \"%\" <sip:OTHER@%.example>"],
                "",
            ),
            (
                "UPDATE",
                "application/%",
                &["P-Asserted-Identity: <tel:OTHER;%>", "Supported: from-change"],
                "%",
            ),
            ("%", "text/plain", &["X: %"], "% NUMBER"),
        ];
        for (method, kind, headers, body) in requests {
            let mut extra = self.too_much(who, None);
            let number = self.cast.phones[who].number.clone();
            let words = &mut self.words[usize::from(who == self.callee)];
            let written = |words: &mut Canaries, text: &str| {
                let escaped = text.replace("%3B", "\u{2}").replace("%3D", "\u{3}");
                let text = words.put(&escaped.replace("NUMBER", &number).replace("OTHER", other));
                text.replace('\u{2}', "%3B").replace('\u{3}', "%3D")
            };
            let method = written(words, method).to_uppercase();
            // A repeated one would be refused for that alone.
            let is_new = |line: &String| {
                let name = line.split(':').next().unwrap_or_default();
                !headers.iter().any(|new| new.split(':').next() == Some(name))
            };
            extra.headers.retain(is_new);
            for header in *headers {
                extra.headers.push(written(words, header));
            }
            extra.body = (!kind.is_empty()).then(|| (written(words, kind), written(words, body)));
            // RFC 4916: whoever the other side has become.
            let name = words.put("\"% %\"");
            extra.from = Some(format!("{name} <sip:{other}@{}>", words.word("From's host")));
            let now = self.now();
            self.phone(who).request(now, 0, &method, &extra);
            let answered = self.hear_any(who, |name| name.ends_with(&format!(" {method}")));
            assert!(answered.status().is_some(), "{answered:?}");
        }
    }

    /// Packets of `who`, with too much in them.
    fn talk(&mut self, who: usize) {
        let call = &self.cast.phones[who].calls[0];
        let (from, to) = (
            call.media,
            call.heard
                .as_ref()
                .and_then(|h| h.at)
                .expect("media is described"),
        );
        let words = &mut self.words[usize::from(who == self.callee)];
        let next = |at: SocketAddr| SocketAddr::new(at.ip(), at.port() + 1);
        for seq in 0..10 {
            let bytes = words.rtp(seq);
            self.cast.stage.send(Packet { from, to, bytes });
            let bytes = words.rtcp();
            self.cast.stage.send(Packet {
                from: next(from),
                to: next(to),
                bytes,
            });
        }
    }

    /// Nothing of the one reached the other.
    fn assert_silent(&mut self) {
        let mut faults = std::mem::take(&mut self.cast.faults);
        faults.extend(self.cast.stage.faults());
        for (who, other) in [(self.caller, 1), (self.callee, 0)] {
            let number = &self.cast.phones[1 - who].number;
            for (_, bytes) in self.cast.kept.iter().filter(|(phone, _)| *phone == who) {
                for (word, place) in &self.words[other].all {
                    if witness::holds_word(bytes, word) {
                        faults.push(format!("{place}: {word}\n{}", String::from_utf8_lossy(bytes)));
                    }
                }
                let half = self.words[other].half();
                if witness::holds_word(bytes, half) {
                    faults.push(format!("{half}\n{}", String::from_utf8_lossy(bytes)));
                }
                let ssrc = self.words[other].ssrc();
                let named = bytes.windows(4).any(|w| w == ssrc || w == b"zqxj");
                if named || witness::holds_number(bytes, number) {
                    faults.push(format!("a betraying packet: {}", String::from_utf8_lossy(bytes)));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    }

    /// How many datagrams reached `who`, other than SIP.
    fn packets(&self, who: usize) -> usize {
        let of =
            |(phone, bytes): &&(usize, Vec<u8>)| *phone == who && bytes.first().is_some_and(|b| *b >= 0x80);
        self.cast.kept.iter().filter(of).count()
    }
}

fn a_whole_call(mode: &str, caller: usize) {
    a_whole_call_of(Scene::of(mode, caller));
}

fn a_whole_call_of(mut scene: Scene) {
    let caller = scene.caller;
    let callee = scene.callee;
    scene.invite();
    scene.answer(callee, 180, "INVITE", None);
    scene.hear(caller, "180 INVITE");
    scene.answer(callee, 183, "INVITE", Some("sendrecv"));
    scene.hear(caller, "183 INVITE");
    scene.answer(callee, 200, "INVITE", Some("sendrecv"));
    scene.hear(caller, "200 INVITE");
    scene.ask(caller, "ACK", None);
    scene.wait(1);
    for who in [caller, callee] {
        scene.talk(who);
    }
    // Long enough for reports of our own.
    scene.wait(20);
    for (who, other) in [(caller, callee), (callee, caller)] {
        scene.ask(who, "INVITE", Some("sendonly"));
        scene.hear(other, "INVITE");
        scene.answer(other, 200, "INVITE", Some("recvonly"));
        scene.hear(who, "200 INVITE");
        scene.ask(who, "ACK", None);
        scene.ask(who, "INVITE", Some("sendrecv"));
        scene.hear(other, "INVITE");
        scene.answer(other, 488, "INVITE", None);
        scene.hear(who, "488 INVITE");
        scene.ask(who, "OPTIONS", None);
        scene.hear(who, "200 OPTIONS");
        scene.ends_here(who);
    }
    scene.ask(caller, "BYE", None);
    scene.hear(callee, "BYE");
    scene.answer(callee, 200, "BYE", None);
    scene.wait(60);
    // Ten packets and at least one report each: the silence isn't that of a dead line.
    for who in [caller, callee] {
        assert!(scene.packets(who) > 10, "{} packets", scene.packets(who));
    }
    assert!(scene.words.iter().all(|words| words.all.len() > 300));
    scene.assert_silent();
}

#[test]
fn nothing_that_a_says_of_itself_reaches_b_when_a_calls() {
    a_whole_call("axb", 0);
}

#[test]
fn nothing_that_b_says_of_itself_reaches_a_when_b_calls() {
    a_whole_call("axb", 1);
}

#[test]
fn nothing_that_a_stranger_says_of_itself_reaches_a_of_ax_nor_back() {
    a_whole_call("ax", 1);
}

#[test]
fn nothing_that_a_of_ax_says_of_itself_reaches_whom_he_calls_back() {
    a_whole_call("ax", 0);
}

#[test]
fn nothing_crosses_where_the_trunk_names_calls_and_tells_keys_by_info() {
    for caller in [0, 1] {
        let setup = Setup {
            names_charging: true,
            names_sessions: true,
            keys_by_info: true,
            ..Setup::on(1)
        };
        a_whole_call_of(Scene::on(setup, "axb", caller));
    }
}

#[test]
fn nothing_crosses_in_axyb_when_a_dials_y() {
    a_whole_call("axyb", 0);
}

#[test]
fn nothing_crosses_in_axyb_when_b_dials_x() {
    a_whole_call("axyb", 1);
}

#[test]
fn no_failure_of_the_called_side_tells_the_caller_who_it_is() {
    for status in [
        302, 401, 404, 407, 408, 421, 433, 480, 484, 486, 488, 493, 500, 503, 600, 603, 606,
    ] {
        let mut scene = Scene::new(0);
        scene.invite();
        scene.answer(1, status, "INVITE", None);
        scene.wait(60);
        let finals = scene.cast.transcript.iter().filter(|line| line.contains("A <- "));
        assert!(finals.count() >= 2, "{status}: A heard no end");
        scene.assert_silent();
    }
}

#[test]
fn a_call_that_is_given_up_tells_neither_side() {
    let mut scene = Scene::new(0);
    scene.invite();
    scene.answer(1, 180, "INVITE", None);
    scene.hear(0, "180 INVITE");
    scene.ask(0, "CANCEL", None);
    scene.hear(1, "CANCEL");
    scene.answer(1, 200, "CANCEL", None);
    scene.answer(1, 487, "INVITE", None);
    scene.wait(60);
    scene.assert_silent();
}

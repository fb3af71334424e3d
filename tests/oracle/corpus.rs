//! Messages of all kinds.

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use umbra::call::recording::Control;

use crate::support::customer::Script;
use crate::support::ladder::{Ladder, ladders, play};
use crate::support::stage::{Binding, Doing, Packet, Setup, Stage};
use crate::support::world::World;
use crate::{rfc5118, verdicts};

/// Every message, with a name that finds it.
pub fn all() -> Vec<(String, Vec<u8>)> {
    let mut corpus = Vec::new();
    for case in verdicts::CASES {
        corpus.push((case.name.to_owned(), case.bytes.to_vec()));
    }
    for case in rfc5118::CASES {
        corpus.push((case.name.to_owned(), case.bytes()));
    }
    corpus.extend(variations());
    corpus.extend(said_in_ladders());
    corpus.extend(fuzzed());
    corpus
}

/// What is said in the ladders, by phones and by Umbra.
fn said_in_ladders() -> Vec<(String, Vec<u8>)> {
    let mut corpus = Vec::new();
    for path in ladders() {
        let ladder = Ladder::read(&fs::read_to_string(&path).expect("readable"));
        let said = Rc::new(RefCell::new(Vec::new()));
        let stage = Tapped {
            stage: World::new(ladder.set_up(Setup::on(1)), 7),
            said: said.clone(),
        };
        play(&ladder, stage).expect("the ladders go as written");
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for (n, bytes) in said.take().into_iter().enumerate() {
            corpus.push((format!("{name} {n}"), bytes));
        }
    }
    // What is said in every play is enough once.
    let mut seen = std::collections::BTreeSet::new();
    corpus.retain(|(_, bytes)| seen.insert(shape(bytes)));
    corpus
}

/// The bytes without what every call has anew.
fn shape(bytes: &[u8]) -> Vec<u8> {
    let mut shape: Vec<u8> = String::from_utf8_lossy(bytes)
        .lines()
        .filter(|line| !line.starts_with("Call-ID") && !line.starts_with("o="))
        .map(|line| line.split(['=', '@']).next().unwrap_or_default())
        .collect::<String>()
        .into_bytes();
    shape.retain(|byte| !byte.is_ascii_digit());
    shape
}

/// The fuzzers' messages; of an input of several the first.
fn fuzzed() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/datagram");
    let Ok(files) = fs::read_dir(folder) else {
        return Vec::new();
    };
    files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let mut bytes = fs::read(path).expect("readable");
            if let Some(next) = bytes.windows(6).position(|part| part == b"\n====\n") {
                bytes.truncate(next);
            }
            (format!("fuzzed {name}"), bytes)
        })
        .collect()
}

/// A stage whose messages are written down.
struct Tapped {
    stage: World,
    said: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Tapped {
    fn note(&self, packet: &Packet) {
        // Media and keep-alives are none of a parser's business.
        if packet
            .bytes
            .windows(8)
            .any(|part| part.eq_ignore_ascii_case(b"\r\ncseq: "))
        {
            self.said.borrow_mut().push(packet.bytes.clone());
        }
    }
}

impl Stage for Tapped {
    fn is_exact(&self) -> bool {
        self.stage.is_exact()
    }
    fn setup(&self) -> &Setup {
        self.stage.setup()
    }
    fn now(&self) -> Duration {
        self.stage.now()
    }
    fn open(&mut self, at: SocketAddr) {
        self.stage.open(at);
    }
    fn shut(&mut self, at: SocketAddr) {
        self.stage.shut(at);
    }
    fn send(&mut self, packet: Packet) {
        self.note(&packet);
        self.stage.send(packet);
    }
    fn reset(&mut self, at: SocketAddr) {
        self.stage.reset(at);
    }
    fn receive(&mut self, until: Duration) -> Option<Packet> {
        let packet = self.stage.receive(until)?;
        self.note(&packet);
        Some(packet)
    }
    fn set_pool(&mut self, mode: &str, settings: &[&str]) {
        self.stage.set_pool(mode, settings);
    }

    fn set_account(&mut self, settings: &[&str]) {
        self.stage.set_account(settings);
    }

    fn own_in(&mut self, mode: &str, x: &str) {
        self.stage.own_in(mode, x);
    }

    fn ask(&mut self, x: &str, numbers: &str) {
        self.stage.ask(x, numbers);
    }

    fn server(&mut self, script: Script) {
        self.stage.server(script);
    }

    fn questions(&mut self) -> Vec<Value> {
        self.stage.questions()
    }

    fn callee(&mut self, x: &str, to: Option<&str>) {
        self.stage.callee(x, to);
    }

    fn order(&mut self, doing: Doing, x: Option<&str>) {
        self.stage.order(doing, x);
    }

    fn control_recordings(&mut self, control: Control) {
        self.stage.control_recordings(control);
    }

    fn recorder_says(&mut self, what: &str, why: &str) {
        Stage::recorder_says(&mut self.stage, what, why);
    }

    fn recording(&mut self) -> (Vec<String>, Option<[usize; 2]>) {
        self.stage.recording()
    }

    fn restart(&mut self, away: Duration) {
        self.stage.restart(away);
    }

    fn hand_over(&mut self) {
        self.stage.hand_over();
    }

    fn own(&mut self, x: &str) {
        self.stage.own(x);
    }
    fn bind(&mut self, binding: &Binding) {
        self.stage.bind(binding);
    }
    fn unbind(&mut self, x: &str) {
        self.stage.unbind(x);
    }
    fn drain(&mut self) {
        self.stage.drain();
    }

    fn block(&mut self, what: &[&str]) {
        self.stage.block(what);
    }

    fn unblock(&mut self, what: &[&str]) {
        self.stage.unblock(what);
    }

    fn set_up_anew(&mut self, setup: Setup) {
        self.stage.set_up_anew(setup);
    }
    fn cdrs(&mut self) -> Vec<Value> {
        self.stage.cdrs()
    }
    fn audio(&mut self) -> Vec<String> {
        self.stage.audio()
    }

    fn busy(&mut self) -> Option<String> {
        self.stage.busy()
    }
    fn faults(&mut self) -> Vec<String> {
        self.stage.faults()
    }
}

const PLAIN: &str = "INVITE sip:bob@example.net SIP/2.0\r\n\
    Via: SIP/2.0/UDP client.example.com:5060;branch=z9hG4bK74bf9;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=9fxced76sl\r\n\
    To: Bob <sip:bob@example.net>\r\n\
    Call-ID: 3848276298220188511@example.com\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: <sip:alice@192.0.2.4:5062;transport=tcp>\r\n\
    Content-Length: 0\r\n\
    \r\n";

/// Points of the grammar: a line of the plain message, and what may stand in its place.
const POINTS: &[(&str, &[&str])] = &[
    (
        "INVITE sip:bob@example.net SIP/2.0",
        &[
            "INVITE sip:bob@192.0.2.4:5070 SIP/2.0",
            "INVITE sips:bob@example.net SIP/2.0",
            "INVITE sip:example.net SIP/2.0",
            "INVITE sip:example.net:5061;transport=tls SIP/2.0",
            "INVITE sip:+8613800000001@example.net;user=phone SIP/2.0",
            "INVITE sip:%2B8613800000001@example.net SIP/2.0",
            "INVITE sip:bob:secret@example.net SIP/2.0",
            "INVITE sip:bob;x=y@example.net SIP/2.0",
            "INVITE sip:bob@[2001:db8::1] SIP/2.0",
            "INVITE sip:bob@[2001:db8::1]:5070 SIP/2.0",
            "INVITE tel:+8613800000001 SIP/2.0",
            "INVITE tel:10086;phone-context=+86 SIP/2.0",
            "INVITE soap.beep://h SIP/2.0",
            "INVITE sip:bob@example.net?Subject=x SIP/2.0",
            "INVITE sip:bob@example.net SIP/3.0",
            "INVITE  sip:bob@example.net SIP/2.0",
            "INVITE <sip:bob@example.net> SIP/2.0",
            "INVITE sip:bob@example.net SIP/2.0 ",
            "INVITE sip:bob@example.net sip/2.0",
            "INVITE sip:bob@example.net:0 SIP/2.0",
            "INVITE sip:bob@example.net:65535 SIP/2.0",
            "INVITE sip:bob@example.net:65536 SIP/2.0",
            "INVITE sip:bob@host_name SIP/2.0",
            "INVITE sip:bob@example.net;lr;maddr=192.0.2.1;ttl=15 SIP/2.0",
            "INVITE SIP:bob@EXAMPLE.net SIP/2.0",
        ],
    ),
    (
        "Via: SIP/2.0/UDP client.example.com:5060;branch=z9hG4bK74bf9;rport",
        &[
            "v: SIP/2.0/UDP client.example.com:5060;branch=z9hG4bK74bf9",
            "VIA: SIP/2.0/UDP client.example.com:5060;branch=z9hG4bK74bf9",
            "Via : SIP/2.0/UDP client.example.com:5060;branch=z9hG4bK74bf9",
            "Via: SIP / 2.0 / UDP client.example.com ; branch = z9hG4bK74bf9",
            "Via: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK74bf9;received=192.0.2.10;rport=9",
            "Via: SIP/2.0/TLS client.example.com;branch=z9hG4bK74bf9",
            "Via: SIP/2.0/SCTP client.example.com;branch=z9hG4bK74bf9",
            "Via: SIP/2.0/WS client.example.com;branch=z9hG4bK74bf9",
            "Via: SIP/2.0/XYZ client.example.com;branch=z9hG4bK74bf9",
            "Via: SIP/2.0/UDP [2001:db8::9]:5060;branch=z9hG4bK74bf9",
            "Via: SIP/2.0/UDP client.example.com;branch=z9hG4bKa, SIP/2.0/UDP h;branch=z9hG4bKb",
            "Via: SIP/2.0/UDP client.example.com;branch=z9hG4bKa\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKb",
            "Via: SIP/2.0/UDP client.example.com",
            "Via: SIP/2.0/UDP client.example.com;BRANCH=z9hG4bK74bf9",
            "Via: SIP/2.0/UDP client.example.com;branch=\"z9hG4bK74bf9\"",
            "Via: SIP/2.0/UDP client.example.com;branch=z9hG4bK74bf9;x=\"a;b,c\"",
            "Via: SIP/2.0/UDP client.example.com;;branch=z9hG4bK74bf9",
            "Via: SIP/2.0/UDP client.example.com:99999;branch=z9hG4bK74bf9",
            "Via:\r\n SIP/2.0/UDP\r\n client.example.com;branch=z9hG4bK74bf9",
        ],
    ),
    (
        "From: \"Alice\" <sip:alice@example.com>;tag=9fxced76sl",
        &[
            "f: <sip:alice@example.com>;tag=9fxced76sl",
            "From: sip:alice@example.com;tag=9fxced76sl",
            "From: <sip:alice@example.com>",
            "From: Alice Smith <sip:alice@example.com>;tag=9fxced76sl",
            "From: \"Alice, \\\"A\\\" <x>\" <sip:alice@example.com>;tag=9fxced76sl",
            "From: \"\" <sip:alice@example.com>;tag=9fxced76sl",
            "From: \"Алиса\" <sip:alice@example.com>;tag=9fxced76sl",
            "From: Alice<sip:alice@example.com>;tag=9fxced76sl",
            "From: < sip:alice@example.com >;tag=9fxced76sl",
            "From: <sip:alice@example.com> ; tag = 9fxced76sl",
            "From: <sip:alice@example.com>;TAG=9fxced76sl",
            "From: <sip:alice@example.com>;x=y;tag=9fxced76sl;z",
            "From: <sip:alice@example.com;tag=inner>;tag=9fxced76sl",
            "From: <tel:+8613800000001>;tag=9fxced76sl",
            "From: tel:+8613800000001;tag=9fxced76sl",
            "From: <sip:alice@[2001:db8::1]>;tag=9fxced76sl",
            "From: <sip:alice@example.com>;tag=",
            "From: <sip:alice@example.com>;tag=a;tag=b",
            "From: \"Alice <sip:alice@example.com>;tag=9fxced76sl",
            "From: <sip:alice@example.com;tag=9fxced76sl",
            "From: anonymous <sip:anonymous@anonymous.invalid>;tag=9fxced76sl",
            "From:\r\n\t\"Alice\"\r\n <sip:alice@example.com>\r\n ;tag=9fxced76sl",
            "From: <sip:alice@example.com?Subject=x>;tag=9fxced76sl",
            "From: <sip:alice@example.com>;tag=9fxced76sl\r\nFrom: <sip:b@h>;tag=1",
        ],
    ),
    (
        "To: Bob <sip:bob@example.net>",
        &[
            "t: <sip:bob@example.net>",
            "To: sip:bob@example.net",
            "To: <sip:bob@example.net>;tag=314",
            "To: <sip:bob@example.net:5070;user=phone>;tag=314",
            "To: <tel:10086>",
            "To:<sip:bob@example.net>",
            "To:    <sip:bob@example.net>",
            "To: <isbn:2983792873>",
            "To: <sip:example.net>",
            "to: <SIP:bob@example.net>",
        ],
    ),
    (
        "Call-ID: 3848276298220188511@example.com",
        &[
            "i: a@b",
            "Call-ID: a",
            "Call-ID:a@b",
            "CALL-ID:   a@b   ",
            "Call-ID: word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
            "Call-ID: a b",
            "Call-ID: a\r\ni: a",
            "Call-ID:",
        ],
    ),
    (
        "CSeq: 314159 INVITE",
        &[
            "CSeq: 0 INVITE",
            "CSeq: 2147483647 INVITE",
            "CSeq: 2147483648 INVITE",
            "CSeq: 4294967296 INVITE",
            "CSeq: 0009 INVITE",
            "cseq:   7   INVITE",
            "CSeq: 7\r\n INVITE",
            "CSeq: 7\tINVITE",
            "CSeq: 7 invite",
            "CSeq: 7 BYE",
            "CSeq: INVITE",
            "CSeq: -7 INVITE",
        ],
    ),
    (
        "Contact: <sip:alice@192.0.2.4:5062;transport=tcp>",
        &[
            "m: <sip:alice@192.0.2.4>",
            "Contact: sip:alice@192.0.2.4",
            "Contact: \"A\" <sip:alice@192.0.2.4>;q=0.5;expires=60",
            "Contact: <sip:alice@192.0.2.4>, <sip:b@h>",
            "Contact: \"A, B\" <sip:alice@192.0.2.4>",
            "Contact: <sip:alice@[2001:db8::1]:5062>",
            "Contact: *",
            "Contact: <sip:alice@192.0.2.4?Route=%3Csip:x%3E>",
            "Contact: sip:alice@192.0.2.4?Route=x",
            "Contact: <tel:+8613800000001>",
            "Contact: <sip:192.0.2.4;ob>",
        ],
    ),
    (
        "Content-Length: 0\r\n\r\n",
        &[
            "l: 0\r\n\r\n",
            "\r\n",
            "Content-Length: 5\r\n\r\nv=0\r\n",
            "Content-Length: 00005\r\n\r\nv=0\r\n",
            "Content-Length: 5\r\n\r\nv=0\r\nmore",
            "Content-Length: 6\r\n\r\nv=0\r\n",
            "Content-Length: -1\r\n\r\n",
            "Content-Length: 4294967296\r\n\r\n",
            "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
            "\r\nv=0\r\n",
            "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
            "Content-Type: text/plain\r\nContent-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n",
            "Content-Length: 4\r\n\r\n\u{1}\u{0}é",
            "X-Other: 1\r\nContent-Length: 0\r\n\r\n",
            "X-Empty:\r\nContent-Length: 0\r\n\r\n",
            "no colon\r\nContent-Length: 0\r\n\r\n",
            "X-Lf: a\nContent-Length: 0\r\n\r\n",
            "Subject: a\r\n b\r\n\tc\r\nContent-Length: 0\r\n\r\n",
            "Max-Forwards: 256\r\nContent-Length: 0\r\n\r\n",
        ],
    ),
    (
        "Max-Forwards: 70\r\n",
        &[
            "",
            "Max-Forwards: 0\r\n",
            "max-forwards: 255\r\n",
            "Max-Forwards: 256\r\n",
            "Max-Forwards: x\r\n",
        ],
    ),
];

/// The plain message with one line changed, as a request and as a response, and by each method.
fn variations() -> Vec<(String, Vec<u8>)> {
    let mut corpus = vec![("plain".to_owned(), PLAIN.as_bytes().to_vec())];
    for (line, others) in POINTS {
        assert!(PLAIN.contains(line), "{line}");
        for other in *others {
            corpus.push((
                format!("variation {other:?}"),
                PLAIN.replacen(line, other, 1).into_bytes(),
            ));
            let response = PLAIN.replacen("INVITE sip:bob@example.net SIP/2.0", "SIP/2.0 180 Ringing", 1);
            if response.contains(line) {
                let name = format!("answered variation {other:?}");
                corpus.push((name, response.replacen(line, other, 1).into_bytes()));
            }
        }
    }
    for method in [
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "PRACK",
        "SUBSCRIBE",
        "NOTIFY",
        "PUBLISH",
        "INFO",
        "REFER",
        "MESSAGE",
        "UPDATE",
        "invite",
        "NEWMETHOD",
        "A.B-c",
    ] {
        corpus.push((method.to_owned(), PLAIN.replace("INVITE", method).into_bytes()));
    }
    for status in [
        "SIP/2.0 100 Trying",
        "SIP/2.0 183 Session Progress",
        "SIP/2.0 200 OK",
        "SIP/2.0 302 Moved",
        "SIP/2.0 404 ",
        "SIP/2.0 404",
        "SIP/2.0 433 Anonymity Disallowed",
        "SIP/2.0 486 Busy Here",
        "SIP/2.0 503 überlastet",
        "SIP/2.0 599 Odd",
        "SIP/2.0 606 No",
        "SIP/2.0 699 Odd",
        "SIP/2.0 700 Odd",
        "SIP/2.0 99 Odd",
        "SIP/2.0 0200 OK",
        "SIP/3.0 200 OK",
        "sip/2.0 200 OK",
    ] {
        let text = PLAIN.replacen("INVITE sip:bob@example.net SIP/2.0", status, 1);
        corpus.push((status.to_owned(), text.into_bytes()));
    }
    let mut odd = PLAIN.as_bytes().to_vec();
    let at = PLAIN.find("Alice").expect("there");
    odd[at] = 0xC0;
    corpus.push(("a display name that is no UTF-8".to_owned(), odd));
    corpus.push((
        "leading line ends".to_owned(),
        format!("\r\n\r\n{PLAIN}").into_bytes(),
    ));
    corpus
}

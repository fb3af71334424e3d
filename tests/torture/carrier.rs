//! A carrier that sends what no carrier should: what comes back, and whether the server is well afterwards.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use umbra::sip::build::{self, Response};
use umbra::sip::message::Message;

use crate::server::{A, B, PATIENCE, Server, Setup, X};
use crate::verdicts::Verdict;

/// The ports that Vias name besides 5060.
const OTHER_PORTS: [u16; 3] = [5050, 6050, 19_823];

/// How long one socket is listened to before the next one's turn.
const TURN: Duration = Duration::from_millis(5);

/// The server, and its carrier.
pub struct Carrier {
    server: Server,
    /// Sends; and hears what is answered to whom Via names no port.
    home: UdpSocket,
    /// Hear what is answered to the ports that some Vias name.
    others: Vec<UdpSocket>,
    gateway: UdpSocket,
    calls: usize,
}

impl Carrier {
    /// Starts a server with one binding.
    pub fn start() -> Self {
        let (home, others, gateway) = (1..255)
            .find_map(|n| {
                let at = |ip: [u8; 4], port| UdpSocket::bind((Ipv4Addr::from(ip), port)).ok();
                let others: Option<Vec<_>> = OTHER_PORTS
                    .iter()
                    .map(|port| at([127, 66, 0, n], *port))
                    .collect();
                Some((at([127, 66, 0, n], 5060)?, others?, at([127, 66, 1, n], 5060)?))
            })
            .expect("an address that nobody else plays on");
        for socket in others.iter().chain([&home, &gateway]) {
            socket
                .set_read_timeout(Some(TURN))
                .expect("a time-out can be set");
        }
        let server = Server::start(&Setup {
            gateway: gateway.local_addr().expect("bound"),
            media_nat: "strict",
            log: "info",
            calls: 240,
        });
        server.bind(X, A, B, "");
        Self {
            server,
            home,
            others,
            gateway,
            calls: 0,
        }
    }

    /// Sends the message as a datagram: the verdict is what comes back. Then the server answers an OPTIONS, and
    /// takes a call.
    pub fn udp(&mut self, name: &str, message: &[u8], verdict: Verdict, why: &str) {
        let expected: Vec<u16> = match verdict {
            Verdict::Answer(status) => vec![status],
            Verdict::Silence => Vec::new(),
            Verdict::Answers(..) | Verdict::AnswerAndClose(_) => panic!("{name}: no verdict for a datagram"),
        };
        self.send(message);
        // Whatever is answered at once is on its way before the answer to what was asked after it.
        let probe = format!("probe-of-{name}");
        self.send(&self.options(&probe));
        let mut heard = Vec::new();
        let mut is_alive = false;
        let begun = Instant::now();
        while !is_alive || heard.len() < expected.len() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{name}: heard {heard:?}, not {expected:?} ({why}); alive: {is_alive}"
            );
            let Some(answer) = self.hear() else { continue };
            if text(&answer).contains(&probe) {
                assert_eq!(status(&answer), 200, "{name}: {}", text(&answer));
                is_alive = true;
                continue;
            }
            heard.push(status(&answer));
            if let Ok(response) = Message::parse(&answer)
                && let Some(ack) = build::ack_for_failure(message, &response)
            {
                self.send(&ack);
            }
        }
        assert_eq!(heard, expected, "{name} ({why})");
        self.call(name);
    }

    /// A calls X, B is called and busy.
    fn call(&mut self, name: &str) {
        self.calls += 1;
        let invite = self.invite(&format!("call-after-{name}"));
        self.send(&invite);
        let (asked, server) = listen(|| receive(&self.gateway), |bytes| bytes.starts_with(b"INVITE "))
            .unwrap_or_else(|| panic!("{name}: the next call doesn't reach its party"));
        let asked = Message::parse(&asked).expect("ours");
        assert!(text(asked.request_uri()).contains(B), "{name}: B is called");
        let busy = Response {
            status: 486,
            to_tag: Some(b"busy"),
            contact: None,
            headers: &[],
            body: None,
        };
        let busy = build::response(asked.head(), server, &busy);
        self.gateway.send_to(&busy, server).expect("sent");
        let (answer, _) = listen(|| receive(&self.home), |bytes| status(bytes) >= 200)
            .unwrap_or_else(|| panic!("{name}: the next call gets no answer"));
        assert_eq!(status(&answer), 486, "{name}: {}", text(&answer));
        let response = Message::parse(&answer).expect("ours");
        let ack = build::ack_for_failure(&invite, &response).expect("the ACK of a failure");
        self.send(&ack);
        listen(|| receive(&self.gateway), |bytes| bytes.starts_with(b"ACK ")).expect("our answer is ACKed");
    }

    /// The server is idle, and has a record of every call and of nothing else.
    pub fn is_left_as_found(&self) {
        for record in self.server.settled(self.calls) {
            assert_eq!(record["refusal"], "busy", "{record}");
        }
        let printed = self.server.printed();
        assert!(!printed.contains("panicked"), "{printed}");
        self.server.prints_no_number();
    }

    fn options(&self, call_id: &str) -> Vec<u8> {
        self.request("OPTIONS", call_id, "probe", "")
    }

    fn invite(&self, call_id: &str) -> Vec<u8> {
        let home = self.home.local_addr().expect("bound");
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n",
            ip = home.ip()
        );
        self.request("INVITE", call_id, A, &body)
    }

    fn request(&self, method: &str, call_id: &str, from: &str, body: &str) -> Vec<u8> {
        let home = self.home.local_addr().expect("bound");
        let (server, kind) = (
            self.server.sip,
            if body.is_empty() {
                ""
            } else {
                "Content-Type: application/sdp\r\n"
            },
        );
        format!(
            "{method} sip:{X}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {home};branch=z9hG4bK-{call_id};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{from}@{home}>;tag=t\r\nTo: <sip:{X}@{server}>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nContact: <sip:{from}@{home}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn send(&self, message: &[u8]) {
        self.home.send_to(message, self.server.sip).expect("sent");
    }

    fn hear(&self) -> Option<Vec<u8>> {
        std::iter::once(&self.home)
            .chain(&self.others)
            .find_map(receive)
            .map(|(bytes, _)| bytes)
    }
}

fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = vec![0; 65_536];
    // The other end is here too: an error is the time-out.
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    buffer.truncate(length);
    Some((buffer, from))
}

/// Hears until a message is the one that is waited for.
fn listen(
    mut hear: impl FnMut() -> Option<(Vec<u8>, SocketAddr)>,
    is_it: impl Fn(&[u8]) -> bool,
) -> Option<(Vec<u8>, SocketAddr)> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = hear().filter(|(bytes, _)| is_it(bytes)) {
            return Some(found);
        }
    }
    None
}

/// A response's status; 0 for a request.
fn status(message: &[u8]) -> u16 {
    let text = text(message);
    let mut words = text.split(' ');
    match words.next() {
        Some("SIP/2.0") => words.next().and_then(|word| word.parse().ok()).unwrap_or(0),
        Some(_) | None => 0,
    }
}

fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

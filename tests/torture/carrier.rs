//! A carrier that sends what no carrier should: what comes back, and whether the server is well afterwards.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use umbra::sip::build::{self, Response};
use umbra::sip::message::Message;

use crate::server::{A, B, PATIENCE, Server, Setup, X, until};
use crate::verdicts::Verdict;

/// The ports that Vias name besides 5060.
const OTHER_PORTS: [u16; 3] = [5050, 6050, 19_823];

/// How long one socket is listened to before the next one's turn.
const TURN: Duration = Duration::from_millis(5);

/// The server, and its carrier.
pub struct Carrier {
    server: Server,
    /// The server's address that the messages are sent to.
    to: SocketAddr,
    /// Sends; and hears what is answered to whom Via names no port.
    home: UdpSocket,
    /// Hear what is answered to the ports that some Vias name.
    others: Vec<UdpSocket>,
    gateway: UdpSocket,
    calls: usize,
}

impl Carrier {
    /// A carrier at an IPv4 address of its own, and a server with one binding.
    pub fn start() -> Self {
        let ears = |n| ears(Ipv4Addr::new(127, 66, 0, n).into());
        let ears = (1..255)
            .find_map(ears)
            .expect("an address that nobody else plays on");
        let IpAddr::V4(home) = address(&ears[0]).ip() else {
            panic!("an IPv4 address");
        };
        let [_, _, _, n] = home.octets();
        Self::at(
            ears,
            SocketAddr::new(Ipv4Addr::new(127, 66, 2, n).into(), 5060),
            n,
        )
    }

    /// The same over IPv6, where there is but one address: other plays on it are waited for.
    pub fn start_on_ipv6() -> Self {
        let home = Ipv6Addr::LOCALHOST.into();
        let mut found = None;
        until("nobody else plays on ::1", || {
            found = ears(home);
            found.is_some()
        });
        let free = UdpSocket::bind((home, 0)).expect("a free port");
        let (ears, umbra) = (found.expect("found"), address(&free));
        drop(free);
        Self::at(ears, umbra, 0)
    }

    fn at(mut others: Vec<UdpSocket>, to: SocketAddr, n: u8) -> Self {
        let home = others.remove(0);
        let gateway = (n..=255)
            .find_map(|n| UdpSocket::bind((Ipv4Addr::new(127, 66, 1, n), 5060)).ok())
            .expect("an address for the gateway");
        for socket in others.iter().chain([&home, &gateway]) {
            socket
                .set_read_timeout(Some(TURN))
                .expect("a time-out can be set");
        }
        let server = Server::start(&Setup {
            gateway: address(&gateway),
            media_nat: "strict",
            log: "info",
            calls: 240,
            also: vec![to],
        });
        server.bind(X, A, B, "");
        Self {
            server,
            to,
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

    /// Sends the message on a connection of its own: the verdict is what comes back. Unless the connection is
    /// closed, an OPTIONS is answered on it; then the server takes a call.
    pub fn tcp(&mut self, name: &str, message: &[u8], verdict: Verdict, why: &str) {
        let mut stream = TcpStream::connect(self.to).expect("the server listens");
        stream
            .set_read_timeout(Some(TURN))
            .expect("a time-out can be set");
        stream.write_all(message).expect("the server reads");
        let mut heard = Stream {
            stream: &mut stream,
            bytes: Vec::new(),
            is_over: false,
        };
        let (expected, probes) = match verdict {
            Verdict::Answer(status) => (vec![status], true),
            // The second message is followed by bytes that are none.
            Verdict::Answers(one, two) => (vec![one, two], false),
            Verdict::AnswerAndClose(status) => (vec![status], false),
            Verdict::Silence => (Vec::new(), false),
        };
        for status in &expected {
            let answer = heard
                .answer()
                .unwrap_or_else(|| panic!("{name}: no {status} ({why})"));
            assert_eq!(
                self::status(&answer),
                *status,
                "{name}: {} ({why})",
                text(&answer)
            );
            if let Ok(response) = Message::parse(&answer)
                && let Some(ack) = build::ack_for_failure(message, &response)
            {
                // The server may have closed the connection.
                drop(heard.stream.write_all(&ack));
            }
        }
        if probes {
            let probe = self.options(&format!("probe-of-{name}"));
            heard.stream.write_all(&probe).expect("the connection is open");
            let answer = heard
                .answer()
                .unwrap_or_else(|| panic!("{name}: the next message gets no answer"));
            assert_eq!(self::status(&answer), 200, "{name}: {}", text(&answer));
        }
        match verdict {
            Verdict::AnswerAndClose(_) => {}
            Verdict::Answer(_) | Verdict::Answers(..) | Verdict::Silence => {
                // Gone already, if what followed was no message.
                drop(heard.stream.shutdown(Shutdown::Write));
            }
        }
        assert_eq!(heard.answer(), None, "{name}: nothing else ({why})");
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
        // Signalling is what is tested; the media runs over IPv4 whatever that does.
        let body = "v=0\r\no=- 1 1 IN IP4 127.66.0.1\r\ns=-\r\nc=IN IP4 127.66.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n";
        self.request("INVITE", call_id, A, body)
    }

    fn request(&self, method: &str, call_id: &str, from: &str, body: &str) -> Vec<u8> {
        let home = address(&self.home);
        let (server, kind) = (
            self.to,
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
        self.home.send_to(message, self.to).expect("sent");
    }

    fn hear(&self) -> Option<Vec<u8>> {
        std::iter::once(&self.home)
            .chain(&self.others)
            .find_map(receive)
            .map(|(bytes, _)| bytes)
    }
}

/// What comes on a connection.
struct Stream<'s> {
    stream: &'s mut TcpStream,
    bytes: Vec<u8>,
    is_over: bool,
}

impl Stream<'_> {
    /// The next answer; `None`: the connection is closed. Answers of ours have no body.
    fn answer(&mut self) -> Option<Vec<u8>> {
        let begun = Instant::now();
        loop {
            if let Some(end) = self.bytes.windows(4).position(|part| part == b"\r\n\r\n") {
                let rest = self.bytes.split_off(end + 4);
                return Some(std::mem::replace(&mut self.bytes, rest));
            }
            if self.is_over {
                assert!(self.bytes.is_empty(), "half an answer: {}", text(&self.bytes));
                return None;
            }
            assert!(begun.elapsed() < PATIENCE, "neither an answer nor the end");
            let mut buffer = [0; 4_096];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.is_over = true,
                Ok(length) => self.bytes.extend_from_slice(&buffer[..length]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    // The other end closed before it had read all.
                    _ => self.is_over = true,
                },
            }
        }
    }
}

/// Sockets on the ports that answers may come to: 5060 first.
fn ears(ip: IpAddr) -> Option<Vec<UdpSocket>> {
    std::iter::once(5060)
        .chain(OTHER_PORTS)
        .map(|port| UdpSocket::bind((ip, port)).ok())
        .collect()
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("bound")
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

//! Calls through a server that stay up, made by the simplest carrier and callee there are.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::rtp::packet;
use crate::server::{A, B, CALLEE, CARRIER, PATIENCE, Server, Setup, X};

/// How long a socket is looked at.
const MOMENT: Duration = Duration::from_millis(50);
/// Packets that are sent without a pause.
const BURST: usize = 100;
/// How often a call is tried.
const ATTEMPTS: usize = 100;

/// A server, a carrier and a callee.
pub struct Line {
    /// The server.
    pub server: Server,
    /// Who calls.
    pub carrier: UdpSocket,
    /// Who is called.
    pub callee: UdpSocket,
    /// Where the carrier wants audio of every call, and sends it from.
    pub carrier_media: UdpSocket,
    /// Likewise the callee.
    pub callee_media: UdpSocket,
    /// Where both want RTCP: it is never looked at.
    _reports: [UdpSocket; 2],
    made: usize,
    /// Messages of waves that came already.
    seen: HashSet<String>,
}

/// One call.
pub struct Held {
    invite: String,
    answer: String,
    /// The server's port for the caller.
    pub caller_port: SocketAddr,
    /// The server's port for the callee.
    pub callee_port: SocketAddr,
}

impl Line {
    /// A server with media ports for `calls` calls, and nobody talking.
    pub fn new(calls: u16) -> Self {
        Self::with(calls, "")
    }

    /// The same, and every call is recorded.
    pub fn recorded(calls: u16) -> Self {
        let mut line = Self::with(calls, "--record");
        line.server.stop();
        line.server.add_conf("[recordings]\nenabled = true\n");
        line.server.start_again();
        line
    }

    fn with(calls: u16, terms: &str) -> Self {
        let callee = socket(CALLEE);
        let server = Server::start(&Setup {
            gateway: callee.local_addr().expect("bound"),
            media_nat: "strict",
            log: "warn",
            calls,
            also: Vec::new(),
        });
        server.bind(X, A, B, terms);
        let ((carrier_media, carrier_reports), (callee_media, callee_reports)) =
            (media_pair(CARRIER), media_pair(CALLEE));
        Self {
            server,
            carrier: media_socket(CARRIER),
            callee,
            carrier_media,
            callee_media,
            _reports: [carrier_reports, callee_reports],
            made: 0,
            seen: HashSet::new(),
        }
    }

    /// Makes so many calls at once, and ends them.
    ///
    /// # Panics
    /// The server doesn't take every one.
    pub fn wave(&mut self, calls: usize) {
        let there = self.server.sip;
        let invites: Vec<String> = (0..calls).map(|_| self.invite()).collect();
        for invite in &invites {
            send(&self.carrier, there, invite);
        }
        let (here, media) = (address(&self.callee), address(&self.callee_media));
        for (arrived, server) in once(&self.callee, &mut self.seen, calls, "INVITE ") {
            send(&self.callee, server, &answer(&arrived, here, media));
        }
        let mut held = Vec::new();
        for (answer, _) in once(&self.carrier, &mut self.seen, calls, "SIP/2.0 200") {
            let id = line(&answer, "Call-ID:");
            let invite = invites.iter().find(|invite| line(invite, "Call-ID:") == id);
            let call = Held::of(invite.expect("one of ours").clone(), answer.clone(), there);
            send(&self.carrier, there, &call.request("ACK", 1));
            held.push(call);
        }
        for call in &held {
            send(&self.carrier, there, &call.request("BYE", 2));
        }
        for (bye, server) in once(&self.callee, &mut self.seen, calls, "BYE ") {
            send(&self.callee, server, &goodbye(&bye));
        }
        once(&self.carrier, &mut self.seen, calls, "SIP/2.0 200");
    }

    /// One packet of audio each way on each call: none of them is taken for dead.
    pub fn speak(&self, held: &[Held], frame: u32) {
        for (stream, call) in held.iter().enumerate() {
            let packet = packet(frame, stream as u32);
            for (socket, port) in [
                (&self.carrier_media, call.caller_port),
                (&self.callee_media, call.callee_port),
            ] {
                socket.send_to(&packet, port).expect("loopback takes it");
            }
            if stream % BURST == BURST - 1 {
                pause(0.001);
            }
        }
    }

    fn invite(&mut self) -> String {
        self.made += 1;
        invite(
            &format!("held-{}", self.made),
            address(&self.carrier),
            self.server.sip,
            address(&self.carrier_media),
        )
    }

    /// Makes one call, and has it answered; again, if the server had no port bound ahead for it.
    pub fn call(&mut self) -> Held {
        for _ in 0..ATTEMPTS {
            match self.attempt() {
                Some(held) => return held,
                None => pause(0.05),
            }
        }
        panic!("the server takes no call");
    }

    fn attempt(&mut self) -> Option<Held> {
        let (invite, there) = (self.invite(), self.server.sip);
        let id = line(&invite, "Call-ID:");
        send(&self.carrier, there, &invite);
        let is_refusal = |text: &str| refusal(text) && line(text, "Call-ID:") == id;
        let (arrived, server) = loop {
            if let Some(arrived) = glance(&self.callee, |text| text.starts_with("INVITE ")) {
                break arrived;
            }
            if let Some((refused, _)) = glance(&self.carrier, is_refusal) {
                let ack = invite.replacen("INVITE", "ACK", 1).replace("1 INVITE", "1 ACK");
                let to = format!("To: {}\r\n", line(&refused, "To:"));
                send(
                    &self.carrier,
                    there,
                    &ack.replace(&format!("To: <sip:{X}@{there}>\r\n"), &to),
                );
                return None;
            }
        };
        send(
            &self.callee,
            server,
            &answer(&arrived, address(&self.callee), address(&self.callee_media)),
        );
        let is_mine = |text: &str| text.starts_with("SIP/2.0 200") && line(text, "Call-ID:") == id;
        let (answer, _) = receive(&self.carrier, is_mine);
        let held = Held {
            caller_port: SocketAddr::new(there.ip(), audio_port(&answer)),
            callee_port: SocketAddr::new(there.ip(), audio_port(&arrived)),
            invite: invite.clone(),
            answer,
        };
        send(&self.carrier, there, &held.request("ACK", 1));
        receive(&self.callee, |text| text.starts_with("ACK "));
        Some(held)
    }

    /// Hangs up.
    pub fn end(&self, held: &Held) {
        send(&self.carrier, self.server.sip, &held.request("BYE", 2));
        let (bye, server) = receive(&self.callee, |text| text.starts_with("BYE "));
        send(&self.callee, server, &goodbye(&bye));
        let id = line(&held.invite, "Call-ID:");
        receive(&self.carrier, |text| {
            text.starts_with("SIP/2.0 200") && line(text, "Call-ID:") == id && line(text, "CSeq:") == "2 BYE"
        });
    }
}

impl Held {
    /// A call that was made otherwise.
    pub fn of(invite: String, answer: String, there: SocketAddr) -> Self {
        Self {
            invite,
            answer,
            caller_port: there,
            callee_port: there,
        }
    }

    /// A request of the carrier's within the call.
    pub fn request(&self, method: &str, cseq: u32) -> String {
        let contact = line(&self.answer, "Contact:");
        let target = contact
            .trim_start_matches('<')
            .split('>')
            .next()
            .unwrap_or_default();
        let id = line(&self.invite, "Call-ID:");
        let via = line(&self.invite, "Via:").replace("-i", &format!("-{method}"));
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\n",
            line(&self.invite, "From:"),
            line(&self.answer, "To:"),
        );
        with_body(&text, "")
    }
}

/// Where a socket is.
pub fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("bound")
}

/// A socket of one of the parties.
fn socket(ip: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).expect("a free port");
    socket.set_read_timeout(Some(MOMENT)).expect("no zero");
    socket
}

/// Sockets for RTP and, beside it, for RTCP: what nobody listened for would come back as an error to the server.
fn media_pair(ip: Ipv4Addr) -> (UdpSocket, UdpSocket) {
    loop {
        let media = media_socket(ip);
        let next = address(&media).port().checked_add(1);
        if let Some(Ok(reports)) = next.map(|next| UdpSocket::bind((ip, next))) {
            return (media, reports);
        }
    }
}

/// One that many packets come to.
pub fn media_socket(ip: Ipv4Addr) -> UdpSocket {
    let socket = socket(ip);
    let wide = socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20);
    wide.expect("a buffer as large as the system allows");
    socket
}

/// The carrier's INVITE.
pub fn invite(id: &str, here: SocketAddr, there: SocketAddr, media: SocketAddr) -> String {
    let head = format!(
        "INVITE sip:{X}@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK-{id}-i\r\nMax-Forwards: 70\r\n\
         From: <sip:{A}@{here}>;tag=f-{id}\r\nTo: <sip:{X}@{there}>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:{here}>\r\nContent-Type: application/sdp\r\n",
    );
    with_body(&head, &description(media))
}

/// The called party's 200 to `invite`.
pub fn answer(invite: &str, here: SocketAddr, media: SocketAddr) -> String {
    let head = format!(
        "{}Contact: <sip:{here}>\r\nContent-Type: application/sdp\r\n",
        ok(invite)
    );
    with_body(&head, &description(media))
}

/// The called party's 200 to `bye`.
pub fn goodbye(bye: &str) -> String {
    with_body(&ok(bye), "")
}

fn description(media: SocketAddr) -> String {
    let (ip, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
    )
}

/// The beginning of a 200 to `request`.
fn ok(request: &str) -> String {
    let mut to = line(request, "To:").to_owned();
    if !to.contains(";tag=") {
        to.push_str(";tag=callee");
    }
    format!(
        "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
        line(request, "Via:"),
        line(request, "From:"),
        line(request, "Call-ID:"),
        line(request, "CSeq:"),
    )
}

fn with_body(head: &str, body: &str) -> String {
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn send(socket: &UdpSocket, to: SocketAddr, text: &str) {
    socket.send_to(text.as_bytes(), to).expect("loopback takes it");
}

/// The next message that is the one; others (a 100, one that came again) are passed over.
fn receive(socket: &UdpSocket, is_it: impl Fn(&str) -> bool) -> (String, SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = glance(socket, &is_it) {
            return found;
        }
        assert!(Instant::now() < deadline, "the server says nothing");
    }
}

/// So many messages that begin so, each once: what a busy server or we ourselves were slow to answer comes again.
fn once(
    socket: &UdpSocket,
    seen: &mut HashSet<String>,
    count: usize,
    start: &str,
) -> Vec<(String, SocketAddr)> {
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let (text, from) = receive(socket, |text| text.starts_with(start) || refusal(text));
        assert!(!refusal(&text), "the server refuses a call");
        let what = format!("{start} {} {}", line(&text, "Call-ID:"), line(&text, "CSeq:"));
        if seen.insert(what) {
            found.push((text, from));
        }
    }
    found
}

/// The next message that is the one, if it comes before nothing comes for a moment.
fn glance(socket: &UdpSocket, is_it: impl Fn(&str) -> bool) -> Option<(String, SocketAddr)> {
    let mut buffer = [0; 4_096];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..len]);
        if is_it(&text) {
            return Some((text.into_owned(), from));
        }
    }
    None
}

fn refusal(text: &str) -> bool {
    let status = text
        .strip_prefix("SIP/2.0 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    status.is_some_and(|status: u16| status >= 300)
}

/// A header's value.
fn line<'t>(text: &'t str, name: &str) -> &'t str {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap_or_default().trim()
}

/// The port of audio in a message with a description.
pub fn audio_port(text: &str) -> u16 {
    let rest = line(text, "m=audio ");
    rest.split(' ')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a description with audio")
}

/// A while.
pub fn pause(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

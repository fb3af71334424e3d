//! The real server and phones over TLS: what becomes of calls, certificates and names.

#[path = "support/line.rs"]
mod line;
#[path = "support/server.rs"]
mod server;
#[path = "support/zone.rs"]
mod zone;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use line::{Line, Terms};
use rcgen::ExtendedKeyUsagePurpose;
use server::certificates::{PHONES, SERVER};
use server::{A, B, CALLEE, CARRIER, PATIENCE, Server, Setup, X, until};
use socket2::{Domain, Socket, Type};
use zone::Zone;

/// One end of a connection, and what came by it that nobody has asked for yet.
struct Phone {
    line: Line,
    came: Vec<u8>,
}

impl Phone {
    /// Calls the server from the carrier's address.
    fn calling(server: &Server, terms: &Terms) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .bind(&SocketAddr::from((CARRIER, 0)).into())
            .expect("a port");
        socket.connect(&server.sip.into()).expect("the server listens");
        Self::of(socket.into(), |stream| Line::calling(stream, terms))
    }

    /// Takes a connection of the server's.
    fn called(listener: &TcpListener, terms: &Terms) -> Self {
        listener.set_nonblocking(true).expect("a socket");
        let mut came = None;
        until("the server calls", || {
            came = listener.accept().ok();
            came.is_some()
        });
        let (stream, _) = came.expect("it came");
        stream.set_nonblocking(false).expect("a socket");
        Self::of(stream, |stream| Line::called(stream, terms))
    }

    fn of(stream: TcpStream, over: impl FnOnce(TcpStream) -> Line) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self {
            line: over(stream),
            came: Vec::new(),
        }
    }

    fn say(&self, text: &str) {
        self.line.write(text.as_bytes()).expect("the connection is there");
    }

    /// The next message that begins so; others are let go.
    fn hear(&mut self, start: &str) -> String {
        loop {
            let message = self.next();
            if message.starts_with(start) {
                return message;
            }
        }
    }

    fn next(&mut self) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.came).into_owned();
            if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("Content-Length: "));
                let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
                if let Some(body) = rest.get(..length) {
                    let message = format!("{head}\r\n\r\n{body}");
                    self.came.drain(..message.len());
                    return message;
                }
            }
            let mut buffer = [0; 4_096];
            let length = self.line.read(&mut buffer).expect("more comes in time");
            assert!(length > 0, "the server hung up");
            self.came.extend_from_slice(&buffer[..length]);
        }
    }

    /// Bytes of SIP that came before the other side hung up.
    fn comes(&mut self) -> usize {
        let mut buffer = [0; 4_096];
        self.line.read(&mut buffer).unwrap_or(0)
    }

    /// A request of A's; `to_tag` within a call.
    fn ask(&self, server: &Server, method: &str, cseq: u32, to_tag: &str, body: &str) {
        let here = self.line.address().expect("connected");
        let (home, length) = (server.sip, body.len());
        let call = here.port();
        let to_tag = Some(to_tag).filter(|tag| !tag.is_empty());
        let to_tag = to_tag.map_or(String::new(), |tag| format!(";tag={tag}"));
        self.say(&format!(
            "{method} sip:{X}@{home} SIP/2.0\r\nVia: SIP/2.0/TLS {here};branch=z9hG4bK{method}{cseq}\r\n\
             From: <sip:{A}@{here}>;tag=a{call}\r\nTo: <sip:{X}@{home}>{to_tag}\r\nCall-ID: tls{call}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:{A}@{here};transport=tls>\r\nMax-Forwards: 70\r\n\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Answers a request.
    fn answer(&self, request: &str, status: &str, contact: SocketAddr, body: &str) {
        let named = |names: &'static [&str]| {
            let lines = request.lines();
            let of = lines.filter(move |line| names.iter().any(|name| line.starts_with(name)));
            of.map(|line| format!("{line}\r\n")).collect::<String>()
        };
        let to = named(&["To:"]);
        let tag = if to.contains(";tag=") { "" } else { ";tag=b" };
        self.say(&format!(
            "SIP/2.0 {status}\r\n{}{}{tag}\r\nContact: <sip:{B}@{contact};transport=tls>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            named(&["Via:", "From:", "Call-ID:", "CSeq:"]),
            to.trim_end(),
            body.len(),
        ));
    }
}

fn sdp(ip: Ipv4Addr) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n")
}

fn tag_of(answer: &str) -> String {
    let to = answer.lines().find_map(|line| line.strip_prefix("To: "));
    let (_, tag) = to.and_then(|to| to.split_once(";tag=")).expect("a tag");
    tag.to_owned()
}

/// A server that speaks TLS, and where its gateway listens.
fn stage() -> (Server, TcpListener) {
    let listener = TcpListener::bind((CALLEE, 0)).expect("a port");
    let server = Server::speaking(
        "tls",
        &Setup {
            gateway: listener.local_addr().expect("bound"),
            media_nat: "strict",
            log: "debug",
            calls: 50,
            also: Vec::new(),
        },
    );
    server.bind(X, A, B, "");
    (server, listener)
}

#[test]
fn a_call_goes_on_while_certificates_are_read_again_and_who_comes_later_sees_the_new_one() {
    let (server, listener) = stage();
    let gateway = listener.local_addr().expect("bound");
    let terms = Terms::read_from(server.folder(), "phones");
    let mut a = Phone::calling(&server, &terms);
    a.ask(&server, "INVITE", 1, "", &sdp(CARRIER));
    // What it has to say leaves once it has read the server's part of the handshake.
    a.hear("SIP/2.0 100");
    let mut b = Phone::called(&listener, &terms);
    let invite = b.hear("INVITE ");
    b.answer(&invite, "200 OK", gateway, &sdp(CALLEE));
    let tag = tag_of(&a.hear("SIP/2.0 200"));
    a.ask(&server, "ACK", 1, &tag, "");
    b.hear("ACK ");
    let before = a.line.certificate().expect("it was shown");

    server.authority.sign(server.folder(), "umbra", &[SERVER]);
    let said = server.done("reload");
    assert!(said.contains("certificate umbra.pem"), "{said}");
    until("who connects now sees the new one", || {
        let mut later = Phone::calling(&server, &terms);
        later.ask(&server, "OPTIONS", 1, "", "");
        later.hear("SIP/2.0 200");
        later.line.certificate().is_some_and(|shown| shown != before)
    });

    // The old connections carry the call to its end: a request that only its own leg answers, and the end.
    a.ask(&server, "INVITE", 2, &tag, &sdp(CARRIER));
    a.hear("SIP/2.0 200");
    a.ask(&server, "ACK", 2, &tag, "");
    a.ask(&server, "BYE", 3, &tag, "");
    let bye = b.hear("BYE ");
    b.answer(&bye, "200 OK", gateway, "");
    a.hear("SIP/2.0 200");
    let record = server.settled(1).remove(0);
    assert_eq!(record["sip_status"], 200, "{record:#}");
    assert_eq!(record["released_by"], "caller", "{record:#}");
}

/// Has the trunk of this conf, and a DNS server to ask.
fn rewrite(server: &Server, dns: SocketAddr, trunk: &str) {
    let conf = server.folder().join("umbra.toml");
    let text = fs::read_to_string(&conf).expect("the conf");
    fs::write(&conf, format!("{text}[dns]\nservers = [\"{dns}\"]\n")).expect("our own folder");
    let trunk = format!(
        "[[trunk]]\nname = \"carrier\"\naccept_from = [\"127.0.0.0/8\"]\ndefault = true\n\
         client_names = [\"{PHONES}\"]\ntls_ca = \"ca.pem\"\n{trunk}"
    );
    fs::write(server.folder().join("trunks.toml"), trunk).expect("our own folder");
    server.done("reload");
}

#[test]
fn of_a_name_s_servers_a_call_takes_the_one_whose_certificate_is_for_that_name() {
    let (server, right) = stage();
    let wrong = TcpListener::bind((CALLEE, 0)).expect("a port");
    let [wrong_at, right_at] = [&wrong, &right].map(|listener| listener.local_addr().expect("bound"));
    let records = format!(
        "@ NAPTR 10 10 \"s\" \"SIPS+D2T\" \"\" _sips._tcp\n_sips._tcp SRV 0 0 {} one\n_sips._tcp SRV 1 0 {} two\n\
         one A {CALLEE}\ntwo A {CALLEE}",
        wrong_at.port(),
        right_at.port(),
    );
    let Some(zone) = Zone::start(&records) else { return };
    rewrite(&server, zone.address, "gateways = [\"sips:carrier.test\"]\n");
    // RFC 5922 §4: the name that was asked for counts, not the host that DNS made of it.
    server
        .authority
        .sign(server.folder(), "host", &["one.carrier.test"]);
    server
        .authority
        .sign(server.folder(), "domain", &["carrier.test"]);
    let terms = |stem| Terms::read_from(server.folder(), stem);
    let (theirs, host, domain) = (terms("phones"), terms("host"), terms("domain"));
    let mut a = Phone::calling(&server, &theirs);
    a.ask(&server, "INVITE", 1, "", &sdp(CARRIER));
    a.hear("SIP/2.0 100");
    let mut refused = Phone::called(&wrong, &host);
    assert_eq!(refused.comes(), 0, "it is told nothing");
    let mut b = Phone::called(&right, &domain);
    let invite = b.hear("INVITE ");
    assert!(
        invite.starts_with(&format!("INVITE sip:{B}@carrier.test")),
        "{invite}"
    );
    b.answer(&invite, "486 Busy Here", right_at, "");
    b.hear("ACK ");
    let tag = tag_of(&a.hear("SIP/2.0 486"));
    a.ask(&server, "ACK", 1, &tag, "");
    let record = server.settled(1).remove(0);
    let tries = record["attempts"].as_array().expect("a list");
    let tries: Vec<_> = tries
        .iter()
        .map(|one| (one["gateway"].clone(), one["status"].clone()))
        .collect();
    let wanted = [(wrong_at.to_string(), 0), (right_at.to_string(), 486)];
    let wanted = wanted.map(|(gateway, status)| (gateway.into(), status.into()));
    assert_eq!(tries, wanted, "{record:#}");
    server.prints_no_number();
}

#[test]
fn a_certificate_that_is_for_servers_alone_is_no_caller_s() {
    let (server, _listener) = stage();
    let (serves, calls) = (
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    );
    let folder = server.folder();
    let sign = |stem, uses: &[_]| server.authority.sign_for(folder, stem, &[PHONES], uses);
    sign("both", &[serves.clone(), calls]);
    sign("serves", &[serves]);
    let mut a = Phone::calling(&server, &Terms::read_from(folder, "both"));
    a.ask(&server, "OPTIONS", 1, "", "");
    a.hear("SIP/2.0 200");
    let mut a = Phone::calling(&server, &Terms::read_from(folder, "serves"));
    a.ask(&server, "OPTIONS", 1, "", "");
    assert_eq!(a.comes(), 0, "it is hung up on");
}

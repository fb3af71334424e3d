//! A small SIP phone: bytes in, bytes out, timers of its own. It shares no line with the server: what it sends
//! is `format!`ed here and what it gets is read here.
//!
//! What RFC 3261 leaves to transactions is done by itself: repetitions are sent, recognised and answered,
//! failures are ACKed. Everything else is said by whoever plays the phone.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::rel::Rel;
use super::sdp;
use super::stage::Packet;
use super::strict::{Said, check_answer};
use super::text::{Msg, host_of, listed, param, uri_in, user_of};

pub mod media;

/// What goes into a message beside the usual.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Whole header lines.
    pub headers: Vec<String>,
    /// Usual headers that are left out.
    pub omit: Vec<String>,
    /// A session description with these codecs.
    pub codecs: Option<Vec<String>>,
    /// Its direction; `sendrecv` if empty.
    pub way: String,
    /// What it says of the direction at session level.
    pub session_way: Option<String>,
    /// What its `c=` says for the address.
    pub place: Option<String>,
    /// The packet length that it asks for, in milliseconds; 0: none. 20 if nothing is said.
    pub ptime: Option<u16>,
    /// Further lines for it.
    pub sdp_lines: Vec<String>,
    /// Another port of ours for media.
    pub media_port: Option<u16>,
    /// The type of another part that the description shares a multipart body with.
    pub among: Option<String>,
    /// Another body: its type and text.
    pub body: Option<(String, String)>,
    /// A fork's name: makes another To tag.
    pub tag: Option<String>,
    /// Another reason phrase.
    pub reason: Option<String>,
    /// Another Request-URI.
    pub uri: Option<String>,
    /// Another From value, without tag.
    pub from: Option<String>,
    /// Another Max-Forwards.
    pub max_forwards: Option<String>,
    /// Another protocol version.
    pub version: Option<String>,
    /// The same request once more, but by another way: the last CSeq, another branch (RFC 3261 §8.2.2.2).
    pub merged: bool,
    /// Another To tag.
    pub to_tag: Option<String>,
    /// Another address that a request leaves from, and is answered at.
    pub at: Option<SocketAddr>,
    /// A provisional response is sent until its PRACK comes, with so many RSeq numbers left out before its own.
    pub reliable: Option<u32>,
}

/// A request of ours.
#[derive(Debug)]
struct Asked {
    method: String,
    branch: String,
    cseq: u32,
    uri: String,
    via: String,
    from: String,
    to: String,
    /// Its Route lines.
    routes: Vec<String>,
    peer: SocketAddr,
    bytes: Vec<u8>,
    repeats: Repeats,
    /// Final answers, by To tag.
    finals: Vec<(String, u16)>,
    /// What we had said of our codecs before; an offer that is refused changes nothing (RFC 3264 §4).
    said_before: Option<Vec<String>>,
    provisional: Vec<Vec<u8>>,
    /// What acknowledges them.
    acks: Vec<(String, Vec<u8>)>,
}

/// A request of theirs.
#[derive(Debug)]
struct Told {
    request: Msg,
    /// What they had described before; an offer that we refuse changes nothing.
    heard_before: Option<sdp::Heard>,
    source: SocketAddr,
    last: Option<Vec<u8>>,
    finals: Vec<Final>,
}

/// A final answer of ours to an INVITE, until it is ACKed.
#[derive(Debug)]
struct Final {
    tag: String,
    status: u16,
    bytes: Vec<u8>,
    repeats: Repeats,
    acked: bool,
}

/// When something is said again.
#[derive(Clone, Debug)]
pub struct Repeats {
    next: Option<Duration>,
    interval: Duration,
    cap: Duration,
    until: Duration,
}

impl Repeats {
    fn new(now: Duration, t1: Duration, cap: Duration) -> Self {
        Self {
            next: Some(now + t1),
            interval: t1,
            cap,
            until: now + t1 * 64,
        }
    }

    /// Over TCP nothing is said again; what is waited for is given up at the same time.
    fn once(now: Duration, t1: Duration) -> Self {
        Self {
            next: Some(now + t1 * 64),
            interval: t1,
            cap: t1,
            until: now + t1 * 64,
        }
    }

    /// Nothing is said again.
    pub fn stop(&mut self) {
        self.next = None;
    }

    /// When it is said again.
    pub fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Whether it is time; sets the next.
    pub fn due(&mut self, now: Duration) -> Due {
        match self.next {
            Some(next) if next <= now => {
                if now >= self.until {
                    self.next = None;
                    return Due::GivenUp;
                }
                self.interval = (self.interval * 2).min(self.cap);
                self.next = Some((next + self.interval).min(self.until));
                Due::Again
            }
            Some(_) | None => Due::No,
        }
    }
}

/// Whether something is to be said again.
pub enum Due {
    /// Not yet.
    No,
    /// Now.
    Again,
    /// It never will: nobody answered.
    GivenUp,
}

/// One call of a phone.
#[derive(Debug)]
pub struct Call {
    /// Its Call-ID.
    pub id: String,
    /// Where we are for this call.
    pub local: SocketAddr,
    /// Our tag.
    pub local_tag: String,
    /// Their tag.
    pub remote_tag: Option<String>,
    /// Our media.
    pub media: SocketAddr,
    /// Where it was before.
    pub media_before: Vec<SocketAddr>,
    /// Their last description.
    pub heard: Option<sdp::Heard>,
    /// The codecs that we said last.
    pub said: Vec<String>,
    /// RTP packets that came, and from where.
    pub rtp: Vec<(SocketAddr, Vec<u8>)>,
    /// The number of our last RTP packet.
    pub seq: u16,
    /// How many of `rtp` have been looked at for keys.
    pub keys_read: usize,
    /// RTCP packets that came, and when.
    pub rtcp: Vec<(Duration, Vec<u8>)>,
    /// What messages of the other side must go by.
    routing: Said,
    /// Reliable provisional responses.
    pub rel: Rel,
    peer: SocketAddr,
    ours: String,
    theirs: String,
    target: String,
    routes: Vec<String>,
    cseq: u32,
    said_version: u32,
    asked: Vec<Asked>,
    told: Vec<Told>,
}

/// What came of a datagram.
#[derive(Debug)]
pub enum Outcome {
    /// Something new for this call.
    New(usize, Msg),
    /// Something that had come before.
    Again(usize, Msg),
    /// Nothing to be told.
    Nothing,
}

/// What was given up for want of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lost {
    /// A request of ours of this method.
    Request(String),
    /// The ACK for an answer of ours.
    Ack(u16),
    /// The PRACK for a provisional answer of ours.
    Prack,
}

/// A phone.
#[derive(Debug)]
pub struct Phone {
    /// Its name in the play.
    pub name: String,
    /// Its number as people write it.
    pub number: String,
    /// Its calls, in order.
    pub calls: Vec<Call>,
    /// What it heard that a strict phone doesn't take.
    pub faults: Vec<String>,
    /// Every id that it made: Call-IDs, tags, branches.
    pub minted: Vec<String>,
    /// Whether it calls over TCP.
    pub speaks_tcp: bool,
    t1: Duration,
    out: VecDeque<Packet>,
    serial: u32,
    salt: u64,
    media_next: u16,
    /// The next media port on `::1`; `None` while its media is IPv4.
    pub media_v6: Option<u16>,
}

impl Phone {
    /// A phone; `salt` makes its ids.
    pub fn new(name: &str, number: &str, t1: Duration, salt: u64) -> Self {
        Self {
            name: name.into(),
            number: number.into(),
            calls: Vec::new(),
            faults: Vec::new(),
            minted: Vec::new(),
            speaks_tcp: false,
            t1,
            out: VecDeque::new(),
            serial: 0,
            salt,
            // Phones behind one gateway share its address.
            media_next: 30_000 + 400 * (salt as u16 & 0x3F),
            media_v6: None,
        }
    }

    /// What it wants sent.
    pub fn poll_send(&mut self) -> Option<Packet> {
        self.out.pop_front()
    }

    /// Makes an id.
    fn mint(&mut self, prefix: &str) -> String {
        self.serial += 1;
        let mixed = (self.salt ^ (u64::from(self.serial) << 32))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(31)
            .wrapping_mul(0xD1B5_4A32_D192_ED03);
        let letters: String = (0..10)
            .map(|i| char::from(b'a' + (mixed >> (i * 5)) as u8 % 26))
            .collect();
        let id = format!("{prefix}{}{letters}", self.name.to_lowercase());
        self.minted.push(id.trim_start_matches("z9hG4bK").to_owned());
        id
    }

    fn media_at(&mut self, local: SocketAddr) -> SocketAddr {
        if let Some(port) = self.media_v6 {
            self.media_v6 = Some(port + 4);
            return SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
        }
        self.media_next += 4;
        SocketAddr::new(local.ip(), self.media_next)
    }

    /// Sends a request to `dialled` outside any dialog, from `local`, through `peer`: an INVITE begins a call.
    pub fn ask(
        &mut self,
        now: Duration,
        local: SocketAddr,
        peer: SocketAddr,
        method: &str,
        dialled: &str,
        extra: &Extra,
    ) -> usize {
        let id = self.mint("");
        let local_tag = self.mint("tag");
        let media = self.media_at(local);
        let by = if self.speaks_tcp { ";transport=tcp" } else { "" };
        self.calls.push(Call {
            id: format!("{id}@{}", local.ip()),
            local,
            local_tag,
            remote_tag: None,
            media,
            media_before: Vec::new(),
            heard: None,
            said: Vec::new(),
            rtp: Vec::new(),
            seq: 0,
            keys_read: 0,
            rtcp: Vec::new(),
            routing: Said::default(),
            rel: Rel::default(),
            peer,
            ours: format!("<sip:{}@{local}>", self.number),
            theirs: format!("<sip:{dialled}@{peer}>"),
            target: format!("sip:{dialled}@{peer}{by}"),
            routes: Vec::new(),
            cseq: 0,
            said_version: 0,
            asked: Vec::new(),
            told: Vec::new(),
        });
        let call = self.calls.len() - 1;
        self.request(now, call, method, extra);
        call
    }

    /// Sends a request within a call. ACK and CANCEL belong to its last INVITE.
    pub fn request(&mut self, now: Duration, at: usize, method: &str, extra: &Extra) {
        let fresh = self.mint("z9hG4bK");
        let call = &mut self.calls[at];
        let is_unacked =
            |a: &Asked| a.acks.is_empty() && a.finals.iter().any(|(_, s)| (200..300).contains(s));
        let invites = |a: &Asked| a.method == "INVITE";
        let unacked = call.asked.iter().rposition(|a| invites(a) && is_unacked(a));
        let last = unacked
            .filter(|_| method == "ACK")
            .or_else(|| call.asked.iter().rposition(invites));
        let last_invite = last.map(|i| &call.asked[i]);
        let cseq = match (method, last_invite) {
            ("ACK" | "CANCEL", Some(invite)) => invite.cseq,
            _ => {
                call.cseq += 1;
                call.cseq
            }
        };
        let (branch, uri) = match (method, last_invite) {
            ("CANCEL", Some(invite)) => (invite.branch.clone(), invite.uri.clone()),
            _ => (fresh, extra.uri.clone().unwrap_or_else(|| call.target.clone())),
        };
        let cseq = if extra.merged { cseq - 1 } else { cseq };
        if extra.merged {
            call.cseq -= 1;
        }
        let leaves = extra.at.unwrap_or(call.local);
        let mut extra = extra.clone();
        for line in &mut extra.headers {
            *line = line.replace("BRANCH", &branch);
        }
        let own_via = Msg::read(format!("\r\n{}\r\n\r\n", extra.headers.join("\r\n")).as_bytes())
            .and_then(|lines| lines.all("Via").flat_map(listed).next());
        let via = match (method, last_invite, own_via) {
            ("CANCEL", Some(invite), _) => invite.via.clone(),
            (_, _, Some(via)) => {
                extra.omit.push("Via".into());
                via
            }
            (_, _, None) => format!("SIP/2.0/{} {leaves};rport;branch={branch}", call.transport()),
        };
        let (from, to) = match (method, last_invite) {
            ("CANCEL", Some(invite)) => (invite.from.clone(), invite.to.clone()),
            _ => {
                let ours = extra.from.as_ref().unwrap_or(&call.ours);
                let to_tag = extra.to_tag.as_ref().or(call.remote_tag.as_ref());
                let to = match to_tag {
                    Some(tag) => format!("{};tag={tag}", call.theirs),
                    None => call.theirs.clone(),
                };
                let fork = extra.tag.as_deref().unwrap_or("");
                (format!("{ours};tag={}{fork}", call.local_tag), to)
            }
        };
        let version = extra.version.as_deref().unwrap_or("SIP/2.0");
        let max_forwards = extra.max_forwards.as_deref().unwrap_or("70");
        let mut lines = vec![
            format!("Via: {via}"),
            format!("Max-Forwards: {max_forwards}"),
            format!("From: {from}"),
            format!("To: {to}"),
            format!("Call-ID: {}", call.id),
            format!("CSeq: {cseq} {method}"),
        ];
        if matches!(method, "INVITE" | "UPDATE") {
            lines.push(call.contact());
        }
        if method == "PRACK" && !extra.headers.iter().any(|line| line.starts_with("RAck")) {
            lines.extend(call.rel.rack());
        }
        // A CANCEL goes the way of its INVITE (RFC 3261 §9.1).
        let (routes, peer) = match (method, last_invite) {
            ("CANCEL", Some(invite)) => (invite.routes.clone(), invite.peer),
            _ => (
                call.routes.iter().map(|r| format!("Route: {r}")).collect(),
                host_of(call.next_hop()).parse().unwrap_or(call.peer),
            ),
        };
        let said_before = extra.codecs.is_some().then(|| call.said.clone());
        lines.extend(routes.iter().cloned());
        let bytes = call.compose(&format!("{method} {uri} {version}"), lines, &extra);
        if let Some(said) = Msg::read(&bytes) {
            call.routing.note(&said, None);
        }
        let packet = Packet {
            from: leaves,
            to: peer,
            bytes: bytes.clone(),
        };
        self.out.push_back(packet);
        if method == "ACK" {
            let tag = call.remote_tag.clone().unwrap_or_default();
            if let Some(invite) = last {
                call.asked[invite].acks.push((tag, bytes));
            }
            return;
        }
        let cap = if method == "INVITE" {
            self.t1 * 64
        } else {
            self.t1 * 8
        };
        let via_tcp = via.starts_with("SIP/2.0/TCP");
        call.asked.push(Asked {
            method: method.into(),
            branch,
            cseq,
            uri,
            via,
            from,
            to,
            routes,
            peer,
            bytes,
            repeats: if via_tcp {
                Repeats::once(now, self.t1)
            } else {
                Repeats::new(now, self.t1, cap)
            },
            finals: Vec::new(),
            said_before,
            provisional: Vec::new(),
            acks: Vec::new(),
        });
    }

    /// Sends the last request of this method again, byte by byte.
    pub fn repeat(&mut self, at: usize, method: &str) {
        let call = &self.calls[at];
        if let Some(asked) = call.asked.iter().rev().find(|a| a.method == method) {
            self.out.push_back(Packet {
                from: call.local,
                to: asked.peer,
                bytes: asked.bytes.clone(),
            });
        }
    }

    /// Sends the last answer to a request of this method again, byte by byte.
    pub fn repeat_answer(&mut self, at: usize, method: Option<&str>) {
        let call = &self.calls[at];
        let told = call
            .told
            .iter()
            .rev()
            .find(|t| method.is_none_or(|m| t.request.method() == m));
        if let Some((told, last)) = told.and_then(|t| Some((t, t.last.as_ref()?))) {
            self.out.push_back(Packet {
                from: call.local,
                to: told.source,
                bytes: last.clone(),
            });
        }
    }

    /// Whether a request of theirs waits for a final answer.
    pub fn owes(&self, at: usize, method: Option<&str>) -> bool {
        self.calls[at].owed(method, false).is_some()
    }

    /// Whether the call is over as far as this phone knows: either side has hung up and the other has said so, it has
    /// refused the INVITE, or said that there is no such call.
    pub fn has_left(&self, at: usize) -> bool {
        let call = &self.calls[at];
        let hung_up = |asked: &Asked| asked.method == "BYE" && !asked.finals.is_empty();
        let is_end = |told: &Told| {
            let said = told
                .last
                .as_deref()
                .and_then(Msg::read)
                .and_then(|last| last.status());
            match told.request.method() {
                "BYE" => said.is_some(),
                "INVITE" if told.request.tag("To").is_none() => said >= Some(300),
                _ => said == Some(481),
            }
        };
        call.asked.iter().any(hung_up) || call.told.iter().any(is_end)
    }

    /// Answers a request of theirs: the last one of `method` that has no final answer.
    ///
    /// # Errors
    /// There is none.
    pub fn respond(
        &mut self,
        now: Duration,
        at: usize,
        status: u16,
        method: Option<&str>,
        extra: &Extra,
    ) -> Result<(), String> {
        let t1 = self.t1;
        let call = &mut self.calls[at];
        let Some(index) = call.owed(method, extra.tag.is_some()) else {
            return Err(format!("{} has no request to answer with {status}", self.name));
        };
        let is_tagged = extra.tag.as_deref() != Some("");
        let tag = match &extra.tag {
            _ if extra.to_tag.is_some() => extra.to_tag.clone().unwrap_or_default(),
            Some(fork) if is_tagged => format!("{}{fork}", call.local_tag),
            Some(_) => String::new(),
            None => call.local_tag.clone(),
        };
        if extra.tag.is_some() && is_tagged && !self.minted.contains(&tag) {
            self.minted.push(tag.clone());
        }
        let told = &call.told[index];
        let request = &told.request;
        let is_invite = request.method() == "INVITE";
        let over_tcp = request.is_over_tcp();
        let mut lines: Vec<String> = request.all("Via").map(|via| format!("Via: {via}")).collect();
        if is_invite && (101..300).contains(&status) {
            lines.extend(request.all("Record-Route").map(|r| format!("Record-Route: {r}")));
        }
        lines.push(format!("From: {}", request.get("From").unwrap_or("")));
        let to = request.get("To").unwrap_or("");
        let to = match &extra.to_tag {
            Some(_) => to.split(";tag=").next().unwrap_or(to),
            None => to,
        };
        lines.push(if is_tagged && status > 100 && param(to, "tag").is_none() {
            format!("To: {to};tag={tag}")
        } else {
            format!("To: {to}")
        });
        lines.push(format!("Call-ID: {}", request.call_id()));
        lines.push(format!("CSeq: {}", request.get("CSeq").unwrap_or("")));
        let agrees = matches!(request.method(), "UPDATE") && (200..300).contains(&status);
        if (is_invite && (101..300).contains(&status)) || agrees {
            lines.push(call.contact());
        }
        let invite = request.cseq();
        let rseq = extra.reliable.map(|skip| call.rel.next(&tag, skip));
        if let Some(rseq) = rseq {
            lines.push("Require: 100rel".to_owned());
            lines.push(format!("RSeq: {rseq}"));
        }
        let (source, reason) = (told.source, extra.reason.as_deref().unwrap_or("So"));
        let bytes = call.compose(&format!("SIP/2.0 {status} {reason}"), lines, extra);
        if let Some(rseq) = rseq {
            // Doubling without an end (RFC 3262 §3).
            let repeats = Repeats::new(now, t1, t1 * 64);
            call.rel.say(&tag, (rseq, invite), &bytes, source, repeats);
        }
        if is_invite && status >= 200 {
            call.rel.stop();
        }
        let told = &mut call.told[index];
        if let Some(said) = Msg::read(&bytes) {
            call.routing.note(&said, Some(&told.request));
        }
        told.last = Some(bytes.clone());
        if status >= 300
            && let Some(heard) = told.heard_before.take()
        {
            call.heard = Some(heard);
        }
        if status >= 200 {
            // A 2xx is repeated over TCP too (RFC 3261 §13.3.1.4), a failure isn't (§17.2.1).
            let mut repeats = if over_tcp && status >= 300 {
                Repeats::once(now, t1)
            } else {
                Repeats::new(now, t1, t1 * 8)
            };
            if !is_invite {
                repeats.stop();
            }
            told.finals.push(Final {
                tag,
                status,
                bytes: bytes.clone(),
                repeats,
                acked: !is_invite,
            });
        }
        let from = call.local;
        self.out.push_back(Packet {
            from,
            to: source,
            bytes,
        });
        Ok(())
    }

    /// Holds a message of this call against what was said before: `is_direct`, if no proxy stands between.
    ///
    /// # Errors
    /// What RFC 3261 wants otherwise.
    pub fn check(&self, at: usize, msg: &Msg, is_direct: bool) -> Result<(), String> {
        let call = &self.calls[at];
        if msg.status().is_none() {
            return if is_direct {
                call.routing.check_request(msg)
            } else {
                Ok(())
            };
        }
        let asked = call.asked.iter().find(|asked| asked.branch == msg.branch());
        let request = asked.filter(|asked| asked.method == msg.method());
        match request.and_then(|asked| Msg::read(&asked.bytes)) {
            Some(request) => check_answer(&request, msg, is_direct),
            None => Ok(()),
        }
    }

    /// Takes a datagram that came to `local`.
    pub fn receive(&mut self, local: SocketAddr, from: SocketAddr, bytes: &[u8]) -> Outcome {
        let Some(msg) = Msg::read(bytes) else {
            return Outcome::Nothing;
        };
        if msg.status().is_some() {
            self.response(msg, bytes)
        } else {
            self.requested(local, from, msg)
        }
    }

    fn response(&mut self, msg: Msg, bytes: &[u8]) -> Outcome {
        let Some(at) = self.calls.iter().position(|c| c.id == msg.call_id()) else {
            return Outcome::Nothing;
        };
        let call = &mut self.calls[at];
        let status = msg.status().unwrap_or(0);
        let tag = msg.tag("To").unwrap_or("").to_owned();
        let known = call
            .asked
            .iter_mut()
            .find(|a| a.method == msg.method() && a.cseq == msg.cseq() && a.branch == msg.branch());
        let Some(asked) = known else {
            return Outcome::Nothing;
        };
        let is_invite = asked.method == "INVITE";
        if status < 200 {
            if is_invite {
                asked.repeats.stop();
            } else {
                asked.repeats.interval = asked.repeats.cap;
            }
            let new = !asked.provisional.iter().any(|p| p == bytes);
            if new && is_invite {
                let fault = call.rel.heard(&asked.bytes, &msg);
                self.faults.extend(fault.map(str::to_owned));
            }
            asked.provisional.push(bytes.to_vec());
            if new && is_invite && status > 100 && !tag.is_empty() {
                call.learn(&msg);
            }
            return if new {
                Outcome::New(at, msg)
            } else {
                Outcome::Again(at, msg)
            };
        }
        asked.repeats.stop();
        if asked.finals.iter().any(|(t, _)| *t == tag) {
            let ack = asked.acks.iter().find(|(t, _)| *t == tag || status >= 300);
            if let Some((_, ack)) = ack {
                let packet = Packet {
                    from: call.local,
                    to: asked.peer,
                    bytes: ack.clone(),
                };
                self.out.push_back(packet);
            }
            return Outcome::Again(at, msg);
        }
        asked.finals.push((tag.clone(), status));
        if let Some(said) = asked.said_before.take_if(|_| status >= 300) {
            call.said = said;
        }
        if !is_invite {
            if let Some(heard) = sdp::read(&msg.body) {
                call.heard = Some(heard);
            }
            return Outcome::New(at, msg);
        }
        let fault = call.rel.heard(&asked.bytes, &msg);
        self.faults.extend(fault.map(str::to_owned));
        if status >= 300 {
            // RFC 3261 §17.1.1.3
            let routes: String = asked.routes.iter().map(|r| format!("{r}\r\n")).collect();
            let ack = format!(
                "ACK {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\n{routes}From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
                asked.uri,
                asked.via,
                asked.from,
                msg.get("To").unwrap_or(""),
                call.id,
                asked.cseq
            );
            let peer = asked.peer;
            asked.acks.push((tag, ack.clone().into_bytes()));
            self.out.push_back(Packet {
                from: call.local,
                to: peer,
                bytes: ack.into_bytes(),
            });
        } else {
            call.learn(&msg);
        }
        Outcome::New(at, msg)
    }

    fn requested(&mut self, local: SocketAddr, from: SocketAddr, msg: Msg) -> Outcome {
        let at = match self.calls.iter().position(|c| c.id == msg.call_id()) {
            Some(at) => at,
            None if msg.method() == "INVITE" && msg.tag("To").is_none() => {
                let local_tag = self.mint("tag");
                let media = self.media_at(local);
                self.calls.push(Call {
                    id: msg.call_id().to_owned(),
                    local,
                    local_tag,
                    remote_tag: None,
                    media,
                    media_before: Vec::new(),
                    heard: None,
                    said: Vec::new(),
                    rtp: Vec::new(),
                    seq: 0,
                    keys_read: 0,
                    rtcp: Vec::new(),
                    routing: Said::default(),
                    rel: Rel::default(),
                    peer: from,
                    ours: msg.get("To").unwrap_or("").to_owned(),
                    theirs: String::new(),
                    target: String::new(),
                    routes: Vec::new(),
                    cseq: 0,
                    said_version: 0,
                    asked: Vec::new(),
                    told: Vec::new(),
                });
                self.calls.len() - 1
            }
            None => return Outcome::Nothing,
        };
        let call = &mut self.calls[at];
        if msg.method() == "ACK" {
            let tag = msg.tag("To").unwrap_or("").to_owned();
            for told in call.told.iter_mut().filter(|t| t.request.method() == "INVITE") {
                if told.request.cseq() != msg.cseq() {
                    continue;
                }
                let meant = |f: &&mut Final| f.tag == tag || f.status >= 300;
                if let Some(answer) = told.finals.iter_mut().find(meant) {
                    let first = !answer.acked;
                    answer.acked = true;
                    answer.repeats.stop();
                    if answer.status >= 300 {
                        return Outcome::Nothing;
                    }
                    if let Some(heard) = sdp::read(&msg.body) {
                        call.heard = Some(heard);
                    }
                    return if first {
                        Outcome::New(at, msg)
                    } else {
                        Outcome::Again(at, msg)
                    };
                }
            }
            return Outcome::Nothing;
        }
        let known = call
            .told
            .iter()
            .find(|t| t.request.branch() == msg.branch() && t.request.method() == msg.method());
        if let Some(told) = known {
            if let Some(last) = &told.last {
                self.out.push_back(Packet {
                    from: call.local,
                    to: told.source,
                    bytes: last.clone(),
                });
            }
            return Outcome::Again(at, msg);
        }
        let heard_before = call.heard.clone();
        if msg.method() != "CANCEL" {
            let fault = call.rel.asked(&msg);
            self.faults
                .extend(fault.map(|why| format!("{} got a {}: {why}", self.name, msg.method())));
        }
        if matches!(msg.method(), "INVITE" | "UPDATE") {
            call.learn(&msg);
        } else if let Some(heard) = sdp::read(&msg.body) {
            call.heard = Some(heard);
        }
        call.told.push(Told {
            request: msg.clone(),
            heard_before,
            source: from,
            last: None,
            finals: Vec::new(),
        });
        Outcome::New(at, msg)
    }

    /// When [`Phone::tick`] has something to do.
    pub fn timeout(&self) -> Option<Duration> {
        let of = |call: &Call| {
            let asked = call.asked.iter().filter_map(|a| a.repeats.next);
            let told = call
                .told
                .iter()
                .flat_map(|t| &t.finals)
                .filter_map(|f| f.repeats.next);
            asked.chain(told).chain(call.rel.timeout()).min()
        };
        self.calls.iter().filter_map(of).min()
    }

    /// Says again what is due; tells what was given up.
    pub fn tick(&mut self, now: Duration) -> Vec<(usize, Lost)> {
        let mut lost = Vec::new();
        for (at, call) in self.calls.iter_mut().enumerate() {
            let (due, given_up) = call.rel.tick(now);
            self.out.extend(due.into_iter().map(|(to, bytes)| Packet {
                from: call.local,
                to,
                bytes,
            }));
            lost.extend(given_up.then_some((at, Lost::Prack)));
            for asked in &mut call.asked {
                match asked.repeats.due(now) {
                    Due::No => {}
                    Due::Again => self.out.push_back(Packet {
                        from: call.local,
                        to: asked.peer,
                        bytes: asked.bytes.clone(),
                    }),
                    Due::GivenUp => lost.push((at, Lost::Request(asked.method.clone()))),
                }
            }
            for told in &mut call.told {
                for answer in &mut told.finals {
                    match answer.repeats.due(now) {
                        Due::No => {}
                        Due::Again => self.out.push_back(Packet {
                            from: call.local,
                            to: told.source,
                            bytes: answer.bytes.clone(),
                        }),
                        Due::GivenUp => lost.push((at, Lost::Ack(answer.status))),
                    }
                }
            }
        }
        lost
    }

    /// A request of theirs that was never answered.
    pub fn owed(&self) -> Option<String> {
        self.calls.iter().enumerate().find_map(|(at, call)| {
            let owed = call.told.iter().find(|t| t.finals.is_empty())?;
            let method = owed.request.method();
            Some(format!("{}.{} never answered {method}", self.name, at + 1))
        })
    }

    /// What this phone still waits for.
    pub fn busy(&self) -> Option<String> {
        self.calls.iter().enumerate().find_map(|(at, call)| {
            let asked = call.asked.iter().find(|a| a.repeats.next.is_some());
            let unacked = call
                .told
                .iter()
                .flat_map(|t| &t.finals)
                .find(|f| f.repeats.next.is_some());
            let what = asked
                .map(|a| format!("waits for an answer to {}", a.method))
                .or(unacked.map(|f| format!("waits for the ACK of its {}", f.status)))
                .or(call.rel.timeout().map(|_| "waits for a PRACK".to_owned()))?;
            Some(format!("{}.{} {what}", self.name, at + 1))
        })
    }
}

impl Call {
    /// Whose address requests of ours go to: the first route's, or else the other side's (RFC 3261 §12.2.1.1).
    fn next_hop(&self) -> &str {
        self.routes.first().map_or(&self.target, |route| uri_in(route))
    }

    /// What requests of ours go by: what the next hop's URI names.
    fn transport(&self) -> &'static str {
        if self.next_hop().contains(";transport=tcp") {
            "TCP"
        } else {
            "UDP"
        }
    }

    fn contact(&self) -> String {
        let by = match self.transport() {
            "TCP" => ";transport=tcp",
            _ => "",
        };
        format!(
            "Contact: <sip:{}@{}{by}>",
            user_of(uri_in(&self.ours)),
            self.local
        )
    }

    fn owed(&self, method: Option<&str>, fork: bool) -> Option<usize> {
        let wanted = if fork { Some("INVITE") } else { method };
        self.told
            .iter()
            .rposition(|t| (fork || t.finals.is_empty()) && wanted.is_none_or(|m| t.request.method() == m))
    }

    /// Takes over what an INVITE or an answer to one says of the other side.
    fn learn(&mut self, msg: &Msg) {
        let is_request = msg.status().is_none();
        let side = if is_request { "From" } else { "To" };
        if let Some(tag) = msg.tag(side) {
            self.remote_tag = Some(tag.to_owned());
        }
        if let Some(contact) = msg.get("Contact") {
            uri_in(contact).clone_into(&mut self.target);
        }
        if is_request && self.theirs.is_empty() {
            let from = msg.get("From").unwrap_or("");
            self.theirs = from.split(";tag=").next().unwrap_or(from).to_owned();
        }
        let mut routes: Vec<String> = msg.all("Record-Route").flat_map(listed).collect();
        if !is_request {
            routes.reverse();
        }
        // Proxies that this phone stands for have taken their part of a route set off.
        let stands_for_proxies = (self.asked.first())
            .and_then(|invite| Msg::read(&invite.bytes))
            .is_some_and(|invite| invite.get("Record-Route").is_some());
        if self.routes.is_empty() && !stands_for_proxies {
            self.routes = routes;
        }
        if let Some(heard) = sdp::read(&msg.body) {
            self.heard = Some(heard);
        }
    }

    fn compose(&mut self, start: &str, lines: Vec<String>, extra: &Extra) -> Vec<u8> {
        if let Some(port) = extra.media_port {
            self.media_before.push(self.media);
            self.media.set_port(port);
        }
        let body = match (&extra.codecs, &extra.body) {
            (Some(codecs), _) => {
                self.said_version += 1;
                self.said.clone_from(codecs);
                let bytes = sdp::write(&sdp::Say {
                    codecs,
                    at: self.media,
                    way: if extra.way.is_empty() {
                        "sendrecv"
                    } else {
                        &extra.way
                    },
                    session_way: extra.session_way.as_deref(),
                    place: extra.place.as_deref(),
                    ptime: Some(extra.ptime.unwrap_or(20)).filter(|ms| *ms > 0),
                    version: self.said_version,
                    more: &extra.sdp_lines,
                });
                Some(match &extra.among {
                    Some(other) => among(other, &bytes),
                    None => ("application/sdp".to_owned(), bytes),
                })
            }
            (None, Some((kind, text))) => Some((kind.clone(), text.clone().into_bytes())),
            (None, None) => None,
        };
        let mut text = format!("{start}\r\n");
        let left_out = |line: &String| {
            let name = line.split(':').next().unwrap_or("");
            extra.omit.iter().any(|o| o.eq_ignore_ascii_case(name))
        };
        for line in lines.iter().filter(|l| !left_out(l)).chain(&extra.headers) {
            text += line;
            text += "\r\n";
        }
        if let Some((kind, bytes)) = &body {
            text += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n", bytes.len());
            let mut whole = text.into_bytes();
            whole.extend_from_slice(bytes);
            return whole;
        }
        text += "Content-Length: 0\r\n\r\n";
        text.into_bytes()
    }
}

/// A body of two parts: first one that means nothing here, then the description.
fn among(other: &str, description: &[u8]) -> (String, Vec<u8>) {
    let head = format!(
        "--cut\r\nContent-Type: {other}\r\n\r\n\0\u{1}--cut\r\n--cut\r\nContent-Type: application/sdp\r\n\r\n"
    );
    let whole = [head.as_bytes(), description, b"\r\n--cut--\r\n"].concat();
    ("multipart/mixed;boundary=cut".to_owned(), whole)
}

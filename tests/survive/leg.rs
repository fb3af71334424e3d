//! One phone's end of one call: its dialog, the request that it waits for an answer to, and what it will tell at the
//! end. It sends nothing itself: what is to be sent is returned.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use crate::message::{Description, Message, describe, with_body};
use crate::pending::Pending;

/// Which phone of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    Caller,
    Callee,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Caller, Self::Callee];

    /// The one at the other end.
    pub fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// How far a call is at this end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Nothing was sent or has come.
    Idle,
    /// The INVITE is under way, and nobody has said anything.
    Calling,
    /// It rings, or will.
    Early,
    /// It was answered.
    Talking,
    /// It is over.
    Ended,
}

/// What this end knows of its call: what the server's record must agree with.
#[derive(Clone, Default, Debug)]
pub struct Log {
    /// When the INVITE first left, or came.
    pub begun: Option<SystemTime>,
    /// When the first 2xx came, or left.
    pub answered: Option<SystemTime>,
    /// The first final status of the INVITE.
    pub status: u16,
    /// When it was over.
    pub ended: Option<SystemTime>,
    /// Whether this end hung up, and was told 200.
    pub hung_up: bool,
    /// Whether the other end did, as it heard from the server.
    pub was_hung_up: bool,
    /// Whether it rang here and was cancelled.
    pub cancelled: bool,
    /// Requests of the server's that only said that the session goes on (RFC 4028).
    pub refreshed: u32,
}

/// One end of a call.
pub struct Leg {
    pub phase: Phase,
    pub log: Log,
    /// The dialog's Call-ID.
    pub id: String,
    /// Where its SIP is.
    pub here: SocketAddr,
    /// Where its audio is.
    pub media: SocketAddr,
    /// What the server described last.
    pub heard: Option<Description>,
    /// `sendrecv`, or what was said last.
    pub direction: &'static str,
    /// Header lines for each INVITE of ours.
    pub headers: &'static str,
    number: String,
    peer: String,
    tag: String,
    peer_tag: String,
    target: String,
    version: u32,
    cseq: u32,
    cseq_heard: u32,
    /// Whether our INVITE was cancelled.
    gave_up: bool,
    pending: Pending,
    /// The INVITE that waits for an answer of ours, if this is who is called.
    waiting: Option<Message>,
    /// The ACK of our last INVITE's 2xx, for when that comes again.
    ack: Option<(u32, String)>,
    /// What the last request of the server's was answered with.
    last_answer: Option<(u32, String, String)>,
    /// When somebody looks whether [`Leg::remind`] is due.
    pub alarm: Option<Instant>,
}

/// What a message or a moment leads to.
#[derive(Default)]
pub struct Deeds {
    /// To be sent to the server.
    pub send: Vec<String>,
    /// What the server did that it must not do.
    pub faults: Vec<String>,
}

impl Deeds {
    fn fault(&mut self, leg: &Leg, what: &str) {
        self.faults.push(format!("{} ({:?}): {what}", leg.id, leg.phase));
    }
}

impl Leg {
    /// A phone that is about to call, or to be called.
    pub fn new(id: String, here: SocketAddr, media: SocketAddr, number: &str, peer: &str) -> Self {
        Self {
            phase: Phase::Idle,
            log: Log::default(),
            tag: format!("t{id}"),
            id,
            here,
            media,
            heard: None,
            direction: "sendrecv",
            headers: "",
            number: number.to_owned(),
            peer: peer.to_owned(),
            peer_tag: String::new(),
            target: String::new(),
            version: 1,
            cseq: 1,
            cseq_heard: 0,
            gave_up: false,
            pending: Pending::default(),
            waiting: None,
            ack: None,
            last_answer: None,
            alarm: None,
        }
    }

    /// Whether nothing is left to be sent or waited for.
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether a re-INVITE may be sent.
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Talking && self.is_quiet()
    }

    /// Calls.
    pub fn call(&mut self, now: Instant, server: SocketAddr) -> Deeds {
        self.target = format!("sip:{}@{server}", self.peer);
        self.peer = format!("<sip:{}@{server}>", self.peer);
        self.number = format!("<sip:{}@{}>", self.number, self.here);
        self.phase = Phase::Calling;
        self.log.begun = Some(SystemTime::now());
        let body = describe(self.media, self.version, self.direction);
        self.ask(now, "INVITE", &body)
    }

    /// Gives up ringing.
    pub fn cancel(&mut self, now: Instant) -> Deeds {
        // RFC 3261 §9.1: a CANCEL waits for a provisional response.
        if self.phase != Phase::Early || self.pending.asked("INVITE", 1).is_none() {
            return Deeds::default();
        }
        self.gave_up = true;
        let (cseq, target, to) = (1, self.target.clone(), self.peer.clone());
        let branch = format!("{}INVITE", self.branch(cseq));
        let text = self.request("CANCEL", &branch, &target, &to, cseq, "");
        self.send(now, "CANCEL", cseq, text)
    }

    /// Hangs up.
    pub fn hang_up(&mut self, now: Instant) -> Deeds {
        if self.phase != Phase::Talking {
            return Deeds::default();
        }
        self.phase = Phase::Ended;
        self.log.ended = Some(SystemTime::now());
        self.pending.forget_answer();
        self.cseq += 1;
        self.ask(now, "BYE", "")
    }

    /// Offers audio in that direction.
    pub fn turn(&mut self, now: Instant, direction: &'static str) -> Deeds {
        self.direction = direction;
        self.version += 1;
        self.cseq += 1;
        let body = describe(self.media, self.version, direction);
        self.ask(now, "INVITE", &body)
    }

    /// Answers the INVITE that waits.
    pub fn answer(&mut self, now: Instant) -> Deeds {
        let Some(invite) = self.waiting.take() else {
            return Deeds::default();
        };
        self.phase = Phase::Talking;
        self.log.answered = Some(SystemTime::now());
        self.log.status = 200;
        let mut deeds = Deeds::default();
        self.accept(now, &invite, &mut deeds);
        deeds
    }

    /// Declines the INVITE that waits.
    pub fn decline(&mut self, now: Instant) -> Deeds {
        let Some(invite) = self.waiting.take() else {
            return Deeds::default();
        };
        self.end(486);
        self.conclude(now, &invite, "486 Busy Here")
    }

    /// When [`Leg::remind`] is due.
    pub fn due(&self) -> Option<Instant> {
        self.pending.due()
    }

    /// Sends again what nobody has answered.
    pub fn remind(&mut self, now: Instant) -> Deeds {
        let (send, given_up) = self.pending.remind(now);
        let mut deeds = Deeds {
            send,
            faults: Vec::new(),
        };
        for what in given_up {
            deeds.fault(self, &what);
            if self.phase != Phase::Talking {
                self.end(0);
            }
        }
        deeds
    }

    /// A response came.
    pub fn hear_response(&mut self, now: Instant, message: &Message) -> Deeds {
        let mut deeds = Deeds::default();
        let (status, cseq, method) = (message.status(), message.cseq(), message.method());
        if method == "INVITE" && (200..300).contains(&status) {
            self.hear_answer(now, message, &mut deeds);
            return deeds;
        }
        if (100..200).contains(&status) {
            if method == "INVITE" {
                self.pending.rings(cseq);
                if self.phase == Phase::Calling {
                    self.phase = Phase::Early;
                }
            }
            return deeds;
        }
        let since = self.pending.settle(method, cseq);
        match method {
            "INVITE" => {
                let branch = format!("{}INVITE", self.branch(cseq));
                let target = self.target.clone();
                let to = message.header("To").to_owned();
                deeds
                    .send
                    .push(self.request("ACK", &branch, &target, &to, cseq, ""));
                if since.is_none() {
                    // Again: the ACK was lost, or the server that had it.
                } else if cseq == 1 {
                    self.end(status);
                } else {
                    deeds.fault(self, &format!("our re-INVITE got {}", message.first_line()));
                }
            }
            "BYE" if since.is_some() => {
                // 481: both hung up at once.
                if status == 200 || self.log.was_hung_up {
                    self.log.hung_up = status == 200;
                } else {
                    deeds.fault(self, &format!("our BYE got {}", message.first_line()));
                }
            }
            // 481: it was over already.
            "BYE" | "CANCEL" => {}
            _ => deeds.fault(self, &format!("a strange {}", message.first_line())),
        }
        deeds
    }

    fn hear_answer(&mut self, now: Instant, message: &Message, deeds: &mut Deeds) {
        let (cseq, tag) = (message.cseq(), message.tag("To"));
        if let Some((acked, ack)) = &self.ack
            && *acked == cseq
        {
            if tag != self.peer_tag {
                deeds.fault(self, "a second answer has another tag");
            }
            deeds.send.push(ack.clone());
            return;
        }
        if self.pending.settle("INVITE", cseq).is_none() {
            deeds.fault(self, &format!("an answer to nothing: {cseq} INVITE"));
            return;
        }
        if cseq == 1 {
            self.peer_tag = tag.to_owned();
            self.peer = message.header("To").to_owned();
            self.log.answered = Some(SystemTime::now());
            self.log.status = message.status();
            self.phase = Phase::Talking;
        } else if tag != self.peer_tag {
            deeds.fault(self, "the answer to our re-INVITE has another tag");
        }
        self.target = message.contact().to_owned();
        self.take(message, deeds);
        let branch = format!("{}ACK", self.branch(cseq));
        let (target, to) = (self.target.clone(), self.peer.clone());
        let ack = self.request("ACK", &branch, &target, &to, cseq, "");
        deeds.send.push(ack.clone());
        self.ack = Some((cseq, ack));
        // Our CANCEL came too late.
        if cseq == 1 && self.gave_up {
            let more = self.hang_up(now);
            deeds.send.extend(more.send);
        }
    }

    /// A request came.
    pub fn hear_request(&mut self, now: Instant, message: &Message) -> Deeds {
        let mut deeds = Deeds::default();
        let (cseq, method) = (message.cseq(), message.method());
        if method == "ACK" {
            self.pending.is_acknowledged(cseq);
            return deeds;
        }
        if let Some((last, of, text)) = &self.last_answer
            && *last == cseq
            && of == method
        {
            deeds.send.push(text.clone());
            return deeds;
        }
        if method == "CANCEL" {
            deeds.send.push(message.response("200 OK", &self.tag, "", ""));
            if let Some(invite) = self.waiting.take() {
                self.log.cancelled = true;
                self.end(487);
                deeds
                    .send
                    .extend(self.conclude(now, &invite, "487 Request Terminated").send);
            }
            return deeds;
        }
        if self.phase == Phase::Idle && method == "INVITE" {
            self.ring(message, &mut deeds);
            return deeds;
        }
        if method == "INVITE" && cseq == self.cseq_heard && self.phase == Phase::Early {
            deeds
                .send
                .push(message.response("180 Ringing", &self.tag, &self.contact(), ""));
            return deeds;
        }
        if message.tag("From") != self.peer_tag || message.tag("To") != self.tag {
            deeds.fault(self, &format!("{} for another dialog", message.first_line()));
        }
        if cseq <= self.cseq_heard {
            deeds.fault(self, &format!("{cseq} {method} after {}", self.cseq_heard));
            deeds
                .send
                .push(message.response("500 Out of Order", &self.tag, "", ""));
            return deeds;
        }
        self.cseq_heard = cseq;
        let text = match method {
            "BYE" => {
                // Crossing ours, or the first.
                if self.phase != Phase::Ended {
                    self.log.ended = Some(SystemTime::now());
                }
                self.log.was_hung_up = true;
                self.phase = Phase::Ended;
                self.pending.forget_answer();
                message.response("200 OK", &self.tag, "", "")
            }
            _ if self.phase == Phase::Ended => {
                message.response("481 Call/Transaction Does Not Exist", &self.tag, "", "")
            }
            "INVITE" => {
                self.accept(now, message, &mut deeds);
                return deeds;
            }
            "UPDATE" => {
                let body = self.reply(message, &mut deeds);
                let headers = self.goes_on(message);
                message.response("200 OK", &self.tag, &headers, &body)
            }
            _ => message.response("200 OK", &self.tag, "", ""),
        };
        deeds.send.push(text.clone());
        self.last_answer = Some((cseq, method.to_owned(), text));
        deeds
    }

    /// The INVITE that makes this phone ring.
    fn ring(&mut self, message: &Message, deeds: &mut Deeds) {
        self.log.begun = Some(SystemTime::now());
        self.phase = Phase::Early;
        self.peer = message.header("From").to_owned();
        self.peer_tag = message.tag("From").to_owned();
        self.number = format!("{};tag={}", message.header("To"), self.tag);
        self.target = message.contact().to_owned();
        self.cseq_heard = message.cseq();
        deeds
            .send
            .push(message.response("180 Ringing", &self.tag, &self.contact(), ""));
        self.waiting = Some(message.clone());
    }

    /// 200 to an INVITE, again and again until its ACK.
    fn accept(&mut self, now: Instant, invite: &Message, deeds: &mut Deeds) {
        let body = self.reply(invite, deeds);
        let headers = self.goes_on(invite);
        let text = invite.response("200 OK", &self.tag, &headers, &body);
        deeds.send.push(text.clone());
        self.target = invite.contact().to_owned();
        self.await_ack(now, invite.cseq(), text);
    }

    /// A final refusal of an INVITE, again and again until its ACK.
    fn conclude(&mut self, now: Instant, invite: &Message, status: &str) -> Deeds {
        let text = invite.response(status, &self.tag, "", "");
        self.await_ack(now, invite.cseq(), text.clone());
        Deeds {
            send: vec![text],
            faults: Vec::new(),
        }
    }

    fn await_ack(&mut self, now: Instant, cseq: u32, text: String) {
        self.last_answer = Some((cseq, "INVITE".into(), text.clone()));
        self.pending.answer(now, cseq, text);
    }

    /// Takes an offer and answers it, or makes one where there is none.
    fn reply(&mut self, message: &Message, deeds: &mut Deeds) -> String {
        if let Some(offer) = message.description() {
            self.direction = match offer.direction.as_str() {
                "sendonly" => "recvonly",
                "recvonly" => "sendonly",
                "inactive" => "inactive",
                _ => "sendrecv",
            };
            self.take(message, deeds);
            self.version += 1;
        } else if message.method() == "UPDATE" {
            return String::new();
        }
        describe(self.media, self.version, self.direction)
    }

    /// Notes what the server describes (RFC 3264 §8: another description has another version, one up).
    fn take(&mut self, message: &Message, deeds: &mut Deeds) {
        let Some(said) = message.description() else {
            return;
        };
        if let Some(before) = &self.heard {
            if before.origin != said.origin {
                deeds.fault(self, "the server's o= is another's");
            }
            if said.version < before.version || (said.version == before.version && said.rest != before.rest) {
                let what = format!("the server's o= went from {} to {}", before.version, said.version);
                deeds.fault(self, &what);
            }
            if before.media != said.media {
                deeds.fault(self, "the server's port is another");
            }
        }
        self.heard = Some(said);
    }

    fn end(&mut self, status: u16) {
        self.phase = Phase::Ended;
        self.log.status = status;
        self.log.ended = Some(SystemTime::now());
    }

    fn contact(&self) -> String {
        format!("Contact: <sip:{}>\r\n", self.here)
    }

    /// The headers of a 2xx to what may refresh the session: as long as was asked for.
    fn goes_on(&mut self, message: &Message) -> String {
        let expires = message.header("Session-Expires");
        if expires.is_empty() {
            return self.contact();
        }
        if self.phase == Phase::Talking && message.tag("To") == self.tag {
            self.log.refreshed += 1;
        }
        format!(
            "{}Require: timer\r\nSession-Expires: {expires}\r\n",
            self.contact()
        )
    }

    fn branch(&self, cseq: u32) -> String {
        format!("z9hG4bK{}-{cseq}-", self.id)
    }

    fn ask(&mut self, now: Instant, method: &'static str, body: &str) -> Deeds {
        let branch = format!("{}{method}", self.branch(self.cseq));
        let (target, to) = (self.target.clone(), self.peer.clone());
        let text = self.request(method, &branch, &target, &to, self.cseq, body);
        self.send(now, method, self.cseq, text)
    }

    fn send(&mut self, now: Instant, method: &'static str, cseq: u32, text: String) -> Deeds {
        self.pending.ask(now, method, cseq, text.clone());
        Deeds {
            send: vec![text],
            faults: Vec::new(),
        }
    }

    fn request(&self, method: &str, branch: &str, target: &str, to: &str, cseq: u32, body: &str) -> String {
        let from = if self.number.contains(";tag=") {
            self.number.clone()
        } else {
            format!("{};tag={}", self.number, self.tag)
        };
        let headers = if method == "INVITE" { self.headers } else { "" };
        let head = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch}\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{headers}{}",
            self.here,
            self.id,
            self.contact(),
        );
        with_body(&head, body)
    }
}

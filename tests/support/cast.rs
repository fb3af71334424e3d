//! Phones on a stage: packets reach the right phone, and whatever reaches one is looked at by the witness.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::descriptions::Descriptions;
use super::phone::secure::NOT_AUTHENTIC;
use super::phone::{Call, Lost, Outcome, Phone};
use super::sdp;
use super::session::Sessions;
use super::stage::{Packet, Stage};
use super::text::{Msg, user_of};
use super::witness;

/// Something that a player may act on.
#[derive(Debug)]
pub enum Cue {
    /// A message came.
    Heard {
        /// The phone.
        phone: usize,
        /// Its call.
        call: usize,
        /// The message.
        msg: Msg,
        /// Whether it had come before.
        again: bool,
        /// Where it arrived.
        to: SocketAddr,
    },
    /// An answer or ACK never came.
    Lost {
        /// The phone.
        phone: usize,
        /// Its call.
        call: usize,
        /// What never came.
        lost: Lost,
    },
    /// An RTP packet came.
    Rtp {
        /// The phone.
        phone: usize,
        /// Its call.
        call: usize,
    },
}

/// Packets that the network is to treat badly, SIP only.
#[derive(Clone, Copy, Default, Debug)]
pub struct Mishaps {
    /// The next so many are lost.
    pub lose: u32,
    /// The next so many come twice.
    pub double: u32,
}

/// Phones on a stage.
pub struct Cast<S> {
    /// The stage.
    pub stage: S,
    /// The phones.
    pub phones: Vec<Phone>,
    /// What happens to packets towards a phone.
    pub to: HashMap<usize, Mishaps>,
    /// What happens to packets of a phone.
    pub from: HashMap<usize, Mishaps>,
    /// What the witness found.
    pub faults: Vec<String>,
    /// SRTP keys of Umbra's, and the Call-ID of the leg that each was told on.
    keys_told: HashMap<String, String>,
    /// Whether every datagram that reaches a phone is kept.
    pub keeps: bool,
    /// Those kept: which phone's, and its bytes.
    pub kept: Vec<(usize, Vec<u8>)>,
    /// What was heard and said, a line each.
    pub transcript: Vec<String>,
    /// What the phones have sent of media: when, from where, and what.
    pub spoken: Vec<(Duration, SocketAddr, Vec<u8>)>,
    open: HashSet<SocketAddr>,
    /// Where each phone calls from.
    homes: Vec<SocketAddr>,
    /// Gateways' addresses that are one phone's alone.
    seats: Vec<(SocketAddr, usize)>,
    /// What gateways say to whoever asks whether they are there; `None`: nothing. One that isn't here says 200.
    pub alive: HashMap<SocketAddr, Option<u16>>,
    /// Who takes emergency calls: they may know who calls.
    pub helpers: HashSet<usize>,
    /// Everything that a phone said: its own words may come back to it.
    said: Vec<Vec<u8>>,
    /// The description that a caller's dialog has: (Call-ID, CSeq) → body.
    described: HashMap<(String, u32), Vec<u8>>,
    /// Who knows session timers.
    sessions: Sessions,
    /// Every description that Umbra sent.
    descriptions: Descriptions,
    /// Lost things that wait for their turn.
    waiting: std::collections::VecDeque<Cue>,
}

impl<S: Stage> Cast<S> {
    /// Nobody yet; the gateways listen.
    pub fn on(mut stage: S) -> Self {
        let gateways: Vec<SocketAddr> = (1..=stage.setup().gateways)
            .map(|n| stage.setup().gateway(n as u8))
            .collect();
        for gateway in &gateways {
            stage.open(*gateway);
        }
        Self {
            stage,
            phones: Vec::new(),
            to: HashMap::new(),
            from: HashMap::new(),
            faults: Vec::new(),
            keys_told: HashMap::new(),
            keeps: false,
            kept: Vec::new(),
            transcript: Vec::new(),
            spoken: Vec::new(),
            open: gateways.into_iter().collect(),
            homes: Vec::new(),
            seats: Vec::new(),
            alive: HashMap::new(),
            helpers: HashSet::new(),
            said: Vec::new(),
            described: HashMap::new(),
            sessions: Sessions::default(),
            descriptions: Descriptions::default(),
            waiting: std::collections::VecDeque::new(),
        }
    }

    /// A phone joins, with an address of its own; a stranger's is no trunk's.
    pub fn join(&mut self, name: &str, number: &str, stranger: bool) -> usize {
        let index = self.phones.len();
        let setup = self.stage.setup();
        let home = setup.home(index, stranger);
        let mut phone = Phone::new(
            name,
            number,
            setup.t1,
            (u64::from(setup.net) << 16) | (index as u64 + 1),
        );
        phone.speaks = setup.home.transport();
        self.phones.push(phone);
        self.homes.push(home);
        self.said.push(Vec::new());
        self.open.insert(home);
        self.stage.open(home);
        index
    }

    /// Another phone of the same number joins: all that comes to the gateway is for it.
    pub fn join_at_gateway(&mut self, name: &str, number: &str, gateway: u8) {
        let phone = self.join(name, number, false);
        self.seats.push((self.stage.setup().gateway(gateway), phone));
    }

    /// Where a phone calls from.
    pub fn home(&self, phone: usize) -> SocketAddr {
        self.homes[phone]
    }

    /// Nobody listens there from now on.
    pub fn shut(&mut self, at: SocketAddr) {
        self.open.remove(&at);
        self.stage.shut(at);
    }

    /// Sends what the phones want sent.
    pub fn flush(&mut self) {
        for index in 0..self.phones.len() {
            let media: Vec<SocketAddr> = self.phones[index].calls.iter().map(|c| c.media).collect();
            for at in media {
                let rtcp = SocketAddr::new(at.ip(), at.port() + 1);
                for at in [at, rtcp] {
                    if self.open.insert(at) {
                        self.stage.open(at);
                    }
                }
            }
            while let Some(packet) = self.phones[index].poll_send() {
                let Some(msg) = Msg::read(&packet.bytes) else {
                    self.send_media(packet);
                    continue;
                };
                self.said[index].extend_from_slice(&packet.bytes);
                self.sessions.said(&msg);
                let mishaps = self.from.entry(index).or_default();
                let copies = copies(mishaps);
                let line = self.line(index, "->", &msg, copies);
                self.transcript.push(line);
                for _ in 0..copies {
                    self.stage.send(packet.clone());
                }
            }
        }
    }

    /// Sends a packet that is no message.
    pub fn send_media(&mut self, packet: Packet) {
        self.spoken
            .push((self.stage.now(), packet.from, packet.bytes.clone()));
        self.stage.send(packet);
    }

    /// Lets time pass until something happens to a phone, or until `until`.
    pub fn step(&mut self, until: Duration) -> Option<Cue> {
        loop {
            if let Some(cue) = self.waiting.pop_front() {
                return Some(cue);
            }
            self.flush();
            let timeout = self.phones.iter().filter_map(Phone::timeout).min();
            let deadline = timeout.map_or(until, |t| t.min(until));
            match self.stage.receive(deadline) {
                Some(packet) => {
                    if let Some(cue) = self.deliver(packet) {
                        return Some(cue);
                    }
                }
                None => {
                    let now = self.stage.now();
                    for phone in 0..self.phones.len() {
                        let lost = self.phones[phone].tick(now);
                        self.waiting
                            .extend(
                                lost.into_iter()
                                    .map(|(call, lost)| Cue::Lost { phone, call, lost }),
                            );
                    }
                    if now >= until && self.waiting.is_empty() {
                        self.flush();
                        return None;
                    }
                }
            }
        }
    }

    fn deliver(&mut self, packet: Packet) -> Option<Cue> {
        let Packet { from, to, bytes } = packet;
        let media = self.phones.iter().enumerate().find_map(|(phone, p)| {
            let of = |at: SocketAddr| at == to || (at.ip() == to.ip() && at.port() + 1 == to.port());
            let is_its = |c: &Call| of(c.media) || c.media_before.iter().copied().any(of);
            p.calls.iter().position(is_its).map(|call| (phone, call))
        });
        if let Some((phone, call)) = media {
            if self.keeps {
                self.kept.push((phone, bytes.clone()));
            }
            return self.heard_media(phone, call, from, to, bytes);
        }
        let msg = Msg::read(&bytes);
        if let Some(probe) = msg.as_ref().filter(|msg| is_probe(msg)) {
            let (head, probe_of) = (
                String::from_utf8_lossy(&bytes).into_owned(),
                self.stage.setup().probe,
            );
            if probe_of.every.is_none() || probe.get("Content-Length") != Some("0") {
                self.faults
                    .push(format!("gateway {to} is probed, and shouldn't be so: {head}"));
            }
            if let Some(canary) = self
                .stage
                .setup()
                .canaries
                .iter()
                .find(|canary| head.contains(&**canary))
            {
                self.faults
                    .push(format!("gateway {to}'s probe holds {canary}: {head}"));
            }
            let said = self.alive.get(&to).copied().unwrap_or(Some(200));
            self.transcript.push(format!(
                "{:>10.3} gateway {to} <- OPTIONS, says {said:?}",
                self.stage.now().as_secs_f64() * 1e3
            ));
            if let Some(status) = said {
                let bytes = answer_to(probe, status).into_bytes();
                let (from, to) = (to, from);
                self.stage.send(Packet { from, to, bytes });
            }
            return None;
        }
        let owner = msg.as_ref().and_then(|msg| self.owner(msg, to));
        let (Some(msg), Some(index)) = (msg, owner) else {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.faults
                .push(format!("{to} got what nobody there can be meant by: {text}"));
            return None;
        };
        if self.keeps {
            self.kept.push((index, bytes.clone()));
        }
        let mishaps = self.to.entry(index).or_default();
        let copies = copies(mishaps);
        let line = self.line(index, "<-", &msg, copies);
        self.transcript.push(line);
        let mut cue = None;
        for _ in 0..copies {
            self.look(index, to, &bytes, &msg);
            let outcome = self.phones[index].receive(to, from, &bytes);
            let (call, msg, again) = match outcome {
                Outcome::New(call, msg) => (call, msg, false),
                Outcome::Again(call, msg) => (call, msg, true),
                Outcome::Nothing => continue,
            };
            let heard = Cue::Heard {
                phone: index,
                call,
                msg,
                again,
                to,
            };
            if cue.is_none() {
                cue = Some(heard);
            } else {
                self.waiting.push_back(heard);
            }
        }
        self.faults.append(&mut self.phones[index].faults);
        self.flush();
        cue
    }

    /// Whose a message is: by its Call-ID, at that address first; else a new call to the number that it names, or
    /// to the phone that sits there alone.
    fn owner(&self, msg: &Msg, to: SocketAddr) -> Option<usize> {
        let its = |call: &Call| call.id == msg.call_id();
        let user = user_of(msg.uri());
        let sits_alone = |phone: usize| self.seats.iter().any(|(_, who)| *who == phone);
        let mut known = self.phones.iter().enumerate().filter(|(phone, p)| {
            let here = |call: &Call| call.local == to || !sits_alone(*phone);
            p.calls.iter().any(|call| its(call) && here(call))
        });
        let alone = self.seats.iter().find(|(at, _)| *at == to);
        (alone.map(|(_, phone)| *phone))
            .or_else(|| known.next().map(|(phone, _)| phone))
            .or_else(|| self.phones.iter().position(|p| p.number == user))
            // However the trunk writes it.
            .or_else(|| self.phones.iter().position(|p| user.ends_with(&p.number)))
            .or_else(|| self.homes.iter().position(|home| *home == to))
            // The last phone plays the registrar.
            .or_else(|| (msg.method() == "REGISTER").then(|| self.phones.len().checked_sub(1))?)
    }

    fn heard_media(
        &mut self,
        phone: usize,
        call: usize,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) -> Option<Cue> {
        let theirs = self.phones[phone].calls[call].heard.as_ref().and_then(|h| h.at);
        if self.stage.setup().media_port(from).is_none() {
            let name = &self.phones[phone].name;
            self.faults
                .push(format!("{name} got media from {from}, who is not Umbra"));
        }
        let is_rtcp = bytes
            .get(1)
            .is_some_and(|kind| (64..=95).contains(&(kind & 0x7f)));
        // The media threads hear of a new address a moment after the phones do: until then they send where they did.
        let told = &self.phones[phone].calls[call];
        let is_late = to != told.media && told.media_before.contains(&to);
        if is_late && !is_rtcp {
            if self.stage.is_exact() {
                self.faults
                    .push(format!("{to} got media after its phone had moved"));
            }
            return None;
        }
        let bytes = match self.phones[phone].calls[call].opened(bytes) {
            Ok(bytes) => bytes,
            Err(why) => {
                // The media threads hear of new keys a moment after the phones do, too.
                if self.stage.is_exact() || why != NOT_AUTHENTIC {
                    self.faults.push(format!("media for {to}: {why}"));
                }
                return None;
            }
        };
        if is_rtcp || to != self.phones[phone].calls[call].media {
            self.look_for_strangers_words(phone, to, &bytes, "RTCP");
            let now = self.stage.now();
            self.phones[phone].calls[call].rtcp.push((now, bytes));
            return None;
        }
        if let Some(theirs) = theirs.filter(|at| *at != from) {
            let name = &self.phones[phone].name;
            self.faults
                .push(format!("{name} got media from {from}, but was told {theirs}"));
        }
        let now = self.stage.now();
        let its = &mut self.phones[phone].calls[call];
        its.rtp.push((from, bytes));
        its.rtp_at.push(now);
        Some(Cue::Rtp { phone, call })
    }

    /// The witness looks at a message before its phone does.
    fn look(&mut self, index: usize, to: SocketAddr, bytes: &[u8], msg: &Msg) {
        // Each leg's own: whoever else has heard it could listen to the other.
        for (.., key) in sdp::read(&msg.body).into_iter().flat_map(|sdp| sdp.secure.keys) {
            let leg = self
                .keys_told
                .entry(key)
                .or_insert_with(|| msg.call_id().to_owned());
            if leg != msg.call_id() {
                let name = &self.phones[index].name;
                self.faults
                    .push(format!("{name} was told a key of another leg: {}", msg.name()));
            }
        }
        self.look_for_strangers_words(index, to, bytes, &msg.name());
        let length = msg.get("Content-Length").and_then(|l| l.parse().ok());
        if length != Some(msg.body.len()) {
            self.faults.push(format!(
                "{}: Content-Length {length:?}, body {}",
                msg.name(),
                msg.body.len()
            ));
        }
        if let Some(wrong) = self.sessions.heard(msg) {
            self.faults
                .push(format!("{}: {wrong}\n{:?}", msg.name(), msg.headers));
        }
        if !self.phones[index].may_be_old(msg)
            && let Some(fault) = self.descriptions.look(msg)
        {
            self.faults.push(format!("{}: {fault}", msg.name()));
        }
        // A cause is a number of our own table; a text could be anybody's (RFC 3326 §2).
        // An edge cancels its branches in words of its own.
        let is_the_edges = self.stage.setup().has_edge && msg.method() == "CANCEL";
        let reasons = msg.all("Reason").filter(|_| !is_the_edges);
        for reason in reasons.filter(|reason| !is_bare_cause(reason)) {
            self.faults.push(format!("{}: Reason: {reason}", msg.name()));
        }
        if msg.status().is_some_and(|s| s < 300) && msg.method() == "INVITE" && !msg.body.is_empty() {
            let key = (msg.call_id().to_owned(), msg.cseq());
            let before = self.described.entry(key).or_insert_with(|| msg.body.clone());
            if *before != msg.body {
                self.faults.push(format!(
                    "{} sees two descriptions in answer to one offer:\n{}\n{}",
                    self.phones[index].name,
                    String::from_utf8_lossy(before),
                    String::from_utf8_lossy(&msg.body)
                ));
            }
        }
    }

    fn look_for_strangers_words(&mut self, index: usize, to: SocketAddr, bytes: &[u8], what: &str) {
        for canary in &self.stage.setup().canaries {
            if witness::holds_word(bytes, canary) {
                self.faults.push(format!(
                    "{what} tells {} what was for Umbra alone: {canary}\n{}",
                    self.phones[index].name,
                    String::from_utf8_lossy(bytes)
                ));
            }
        }
        let own_ips: HashSet<_> = [self.homes[index].ip(), to.ip()]
            .into_iter()
            .chain(self.phones[index].calls.iter().map(|c| c.local.ip()))
            .collect();
        for (other, phone) in self
            .phones
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
        {
            let mut words: Vec<String> = phone.minted.clone();
            let ips: HashSet<_> = std::iter::once(self.homes[other].ip())
                .chain(phone.calls.iter().map(|c| c.local.ip()))
                // ::1 is everybody's.
                .filter(|ip| !own_ips.contains(ip) && *ip != Ipv6Addr::LOCALHOST)
                .collect();
            words.extend(ips.iter().map(ToString::to_string));
            let word = words.iter().find(|word| witness::holds_word(bytes, word));
            let number = Some(&phone.number)
                // Two phones may have one number.
                .filter(|n| **n != self.phones[index].number && !self.helpers.contains(&index))
                .filter(|n| witness::holds_number(bytes, n) && !witness::holds_number(&self.said[index], n));
            if let Some(leak) = word.or(number) {
                self.faults.push(format!(
                    "{what} tells {} what only {} may know: {leak}\n{}",
                    self.phones[index].name,
                    phone.name,
                    String::from_utf8_lossy(bytes)
                ));
            }
        }
    }

    fn line(&self, phone: usize, arrow: &str, msg: &Msg, copies: u32) -> String {
        let fate = match copies {
            0 => " (lost)",
            1 => "",
            _ => " (twice)",
        };
        let body = if msg.body.is_empty() { "" } else { " +body" };
        format!(
            "{:>10.3} {} {arrow} {}{body}{fate}",
            self.stage.now().as_secs_f64() * 1e3,
            self.phones[phone].name,
            msg.name()
        )
    }

    /// What some phone never answered.
    pub fn owed(&self) -> Option<String> {
        self.phones.iter().find_map(Phone::owed)
    }

    /// What some phone still waits for.
    pub fn busy(&self) -> Option<String> {
        let waits = !self.waiting.is_empty();
        waits
            .then(|| "somebody has still to hear something".to_owned())
            .or_else(|| self.phones.iter().find_map(Phone::busy))
    }
}

fn copies(mishaps: &mut Mishaps) -> u32 {
    if mishaps.lose > 0 {
        mishaps.lose -= 1;
        0
    } else if mishaps.double > 0 {
        mishaps.double -= 1;
        2
    } else {
        1
    }
}

/// Whether a Reason is a Q.850 cause and nothing besides.
fn is_bare_cause(reason: &str) -> bool {
    let cause = reason.strip_prefix("Q.850;cause=").and_then(|c| c.parse().ok());
    cause.is_some_and(|cause: u8| (1..=127).contains(&cause) && reason == format!("Q.850;cause={cause}"))
}

/// Whether somebody asks a gateway if it is there: a request outside any dialog that is for nobody.
fn is_probe(msg: &Msg) -> bool {
    msg.status().is_none() && msg.method() == "OPTIONS" && msg.tag("To").is_none() && !msg.uri().contains('@')
}

/// A gateway's answer to such a request.
fn answer_to(probe: &Msg, status: u16) -> String {
    let copied = ["Via", "From", "Call-ID", "CSeq"].map(|name| {
        let value = probe.get(name).unwrap_or_default();
        format!("{name}: {value}\r\n")
    });
    let to = probe.get("To").unwrap_or_default();
    format!(
        "SIP/2.0 {status} Said\r\n{}To: {to};tag=gateway\r\nContent-Length: 0\r\n\r\n",
        copied.concat()
    )
}

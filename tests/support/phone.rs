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
use super::strict::Said;
use super::text::{Msg, uri_in, user_of};
use umbra::sip::path::Transport;

mod answers;
mod hears;
pub mod media;
mod repeats;
mod says;
pub mod secure;
mod words;

pub use repeats::{Due, Repeats};
use secure::{Crypt, Secure};

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
    /// How its audio is secured: `savp:cm,gcm`, `avp:cm`; nothing: not at all.
    pub srtp: Option<String>,
    /// Which of its own keys it names: another number, other keys. The first if nothing is said.
    pub key: Option<u32>,
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
    /// What an answer says of overload control where the request offers it: Via's parameters.
    pub oc: Option<String>,
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
    /// Another address that a message leaves from, and a request is answered at.
    pub at: Option<SocketAddr>,
    /// User and password that answer the last challenge, and the count of its nonce's uses, if it isn't the next.
    pub proof: Option<(String, String, Option<u32>)>,
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
    said_before: Option<(Vec<String>, Secure)>,
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
    /// What we said of security last.
    pub secure: Secure,
    /// What secures our media.
    pub crypt: Crypt,
    /// RTP packets that came, and from where; opened, where they were sealed.
    pub rtp: Vec<(SocketAddr, Vec<u8>)>,
    /// When each of those came.
    pub rtp_at: Vec<Duration>,
    /// The number of our last RTP packet.
    pub seq: u16,
    /// How many of `rtp` have been looked at for keys.
    pub keys_read: usize,
    /// How many have been looked at for tones.
    pub tones_read: usize,
    /// How many came before the process that the phone hears now: its stream is another one.
    pub tones_before: usize,
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
    /// What it calls over.
    pub speaks: Transport,
    /// The last question for a password, and how often its nonce was used.
    challenge: Option<(Msg, u32)>,
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
            speaks: Transport::Udp,
            challenge: None,
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
    /// One of which nothing has been said.
    fn new(id: String, local: SocketAddr, local_tag: String, media: SocketAddr, peer: SocketAddr) -> Self {
        Self {
            id,
            local,
            local_tag,
            remote_tag: None,
            media,
            media_before: Vec::new(),
            heard: None,
            said: Vec::new(),
            secure: Secure::default(),
            crypt: Crypt::default(),
            rtp: Vec::new(),
            rtp_at: Vec::new(),
            seq: 0,
            keys_read: 0,
            tones_read: 0,
            tones_before: 0,
            rtcp: Vec::new(),
            routing: Said::default(),
            rel: Rel::default(),
            peer,
            ours: String::new(),
            theirs: String::new(),
            target: String::new(),
            routes: Vec::new(),
            cseq: 0,
            said_version: 0,
            asked: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Whose address requests of ours go to: the first route's, or else the other side's (RFC 3261 §12.2.1.1).
    fn next_hop(&self) -> &str {
        self.routes.first().map_or(&self.target, |route| uri_in(route))
    }

    /// What requests of ours go by: what the next hop's URI names.
    fn transport(&self) -> &'static str {
        if self.next_hop().contains(";transport=tcp") {
            "TCP"
        } else if self.next_hop().contains(";transport=tls") {
            "TLS"
        } else {
            "UDP"
        }
    }

    fn contact(&self) -> String {
        let by = match self.transport() {
            "TCP" => ";transport=tcp",
            "TLS" => ";transport=tls",
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
}

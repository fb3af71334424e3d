//! We register with the gateways of trunks that want it (RFC 3261 §10.2), so that they know where to send us calls.
//!
//! One shard does it for all. A registration goes on by itself: it is refreshed in time, tried again after longer and
//! longer waits when it fails, and taken back when no new calls are wanted any more. Its question for a password is
//! answered as an INVITE's is ([`challenge`](super::leg::challenge)).

mod line;
mod pauses;

use std::net::IpAddr;
use std::time::Duration;

use super::config::Config;
use super::hands::{Hands, Token};
use super::leg::challenge::Given;
use super::leg::contact_of;
use super::port::{Output, Registered, Registration, Unregistered};
use crate::base::limits::{REGISTER_EXPIRES, REGISTER_TRIES_MAX, REGISTERS_APART, REGISTERS_AT_ONCE};
use crate::base::time::{Instant, Now};
use crate::base::timer::{TimerId, Timers};
use crate::sip::build;
use crate::sip::digest::Asker;
use crate::sip::header::{Name, NameAddr, decimal};
use crate::sip::lexer::Head;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::transaction::Owner;

use line::{Line, Server};
use pauses::{pause, refresh_after, retry_after};

/// The first byte of the owner words of our transactions. Those of calls begin with a small one.
const OURS: u64 = 0xA0;

/// What a REGISTER that is out is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Out {
    /// To be registered, or to stay so.
    Renew,
    /// To take it back.
    Remove,
}

/// Whether a trunk of the conf stands behind a registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Yes,
    /// It is taken back and forgotten.
    No,
    /// It is forgotten as it is: another stands for the same address and Contact, which servers that have their records in
    /// common would take back with it.
    Replaced,
}

/// One registration.
struct Entry {
    line: Line,
    /// All that it may be kept at, in the order in which they are asked.
    servers: Vec<Server>,
    /// How many of them have failed since one has answered, or since the last pause.
    passed: usize,
    call_id: Token,
    tag: Token,
    cseq: u32,
    wanted: Wanted,
    /// The REGISTER that is out, if one is.
    out: Option<Out>,
    /// When the next is due, while it is wanted.
    due: Instant,
    /// What it says has changed since the one that is out was sent.
    is_outdated: bool,
    /// Until when the gateway knows us; in the past when nothing came of refreshing it.
    until: Option<Instant>,
    /// What the gateway grants at the least, in seconds.
    min_expires_s: u32,
    /// REGISTERs in a row that answered something (a challenge, a 423).
    tries: u32,
    /// The challenge that the one that is out answers.
    given: Option<Given>,
    failures: u32,
    timer: Option<TimerId>,
}

/// Whether new calls are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Calls {
    #[default]
    Wanted,
    Unwanted,
}

/// Every registration of ours.
#[derive(Default)]
pub struct Registrar {
    /// By its number, which doesn't come again while anything could still mean it.
    entries: Vec<(u32, Entry)>,
    next: u32,
    timers: Timers<u32>,
    /// When the next may go out, after many at once.
    rests_until: Instant,
    calls: Calls,
}

/// The number of the registration that a transaction is of.
fn owned(owner: Owner) -> Option<u32> {
    (owner.0 >> 56 == OURS).then_some(owner.0 as u32)
}

impl Registrar {
    /// When [`Registrar::tick`] has something to do.
    pub fn timeout(&self) -> Option<Instant> {
        self.timers.next().map(|at| at.max(self.rests_until))
    }

    /// Registrations that gateways know of, or are just being told.
    pub fn held(&self) -> usize {
        let is_held = |(_, entry): &&(u32, Entry)| entry.until.is_some() || entry.out.is_some();
        self.entries.iter().filter(is_held).count()
    }

    /// Takes a conf, or what names resolve to: registrations that it has as before go on, others are taken back, new ones begin at `at`.
    pub fn configure(&mut self, at: Instant, hands: &mut Hands, config: &Config) {
        // The answers of a Call-ID come to the shard that it hashes to, so one shard can have them all.
        if hands.shard.index != 0 {
            return;
        }
        let mut lines: Vec<(Line, Vec<Server>)> = config
            .trunks
            .iter()
            .filter_map(|trunk| {
                let is_its = |(_, entry): &&(u32, Entry)| {
                    entry.wanted == Wanted::Yes && entry.line.trunk == trunk.name
                };
                let present = self.entries.iter().find(is_its).map(|(_, entry)| &entry.line.at);
                Line::of(config, &hands.resolved, trunk, present)
            })
            .collect();
        let bindings: Vec<_> = lines.iter().map(|(line, _)| line.binding()).collect();
        for (_, entry) in &mut self.entries {
            match lines.iter().position(|(line, _)| line.is_of(&entry.line)) {
                Some(place) => {
                    let (line, servers) = lines.swap_remove(place);
                    entry.servers = servers;
                    // One that is being taken back, and is wanted again, begins anew.
                    if line != entry.line || entry.wanted != Wanted::Yes {
                        entry.wanted = Wanted::Yes;
                        entry.line = line;
                        entry.due = at;
                        entry.is_outdated = entry.out.is_some();
                        entry.failures = 0;
                    }
                }
                None if bindings.contains(&entry.line.binding()) => entry.wanted = Wanted::Replaced,
                None => entry.wanted = Wanted::No,
            }
        }
        for (line, servers) in lines {
            let entry = Entry {
                line,
                servers,
                passed: 0,
                call_id: hands.call_id(),
                tag: hands.token(),
                cseq: 0,
                wanted: Wanted::Yes,
                out: None,
                due: at,
                is_outdated: false,
                until: None,
                min_expires_s: 0,
                tries: 0,
                given: None,
                failures: 0,
                timer: None,
            };
            self.entries.push((self.next, entry));
            self.next = self.next.wrapping_add(1);
        }
        self.settle_all(at, hands);
    }

    /// No new calls are wanted: every registration is taken back.
    pub fn drain(&mut self, now: Now, hands: &mut Hands) {
        if self.calls == Calls::Wanted {
            self.calls = Calls::Unwanted;
            let idle = |entry: &&(u32, Entry)| entry.1.until.is_none() && entry.1.out.is_none();
            for (_, entry) in self.entries.iter().filter(idle) {
                entry.tell(hands, Registered::TakenBack);
            }
        }
        self.settle_all(now.at, hands);
    }

    /// New calls are wanted again.
    pub fn admit(&mut self, now: Now, hands: &mut Hands) {
        if self.calls == Calls::Unwanted {
            self.calls = Calls::Wanted;
            for (_, entry) in &mut self.entries {
                entry.due = now.at;
            }
        }
        self.settle_all(now.at, hands);
    }

    /// Sends what is due: of many, as after a start, some now and the others a little later.
    pub fn tick(&mut self, now: Now, hands: &mut Hands) {
        if now.at < self.rests_until {
            return;
        }
        for _ in 0..REGISTERS_AT_ONCE {
            let Some(number) = self.timers.pop_due(now.at) else {
                return;
            };
            let calls = self.calls;
            let Some(entry) = self.entry(number) else { continue };
            entry.timer = None;
            entry.tries = 0;
            entry.given = None;
            let out = if calls == Calls::Wanted && entry.wanted == Wanted::Yes {
                Out::Renew
            } else {
                Out::Remove
            };
            entry.send(now, hands, number, out);
            self.settle(now.at, hands, number);
        }
        self.rests_until = now.at + REGISTERS_APART;
    }

    /// Takes a response, which came from `source`. `false`: it is to no REGISTER of ours.
    pub fn answered(
        &mut self,
        now: Now,
        hands: &mut Hands,
        owner: Owner,
        source: IpAddr,
        response: &Message<'_>,
    ) -> bool {
        let Some(number) = owned(owner) else { return false };
        if let Some(entry) = self.entry(number)
            && response.status() >= Some(200)
        {
            match entry.wanted {
                Wanted::Yes | Wanted::No => entry.answered(now, hands, number, source, response),
                Wanted::Replaced => entry.out = None,
            }
            self.settle(now.at, hands, number);
        }
        true
    }

    /// A request got no answer. `false`: it was no REGISTER of ours.
    pub fn lost(&mut self, now: Now, hands: &mut Hands, owner: Owner) -> bool {
        let Some(number) = owned(owner) else { return false };
        if let Some(entry) = self.entry(number) {
            entry.failed(now, hands, Unregistered::Silent, Duration::ZERO);
            self.settle(now.at, hands, number);
        }
        true
    }

    fn settle_all(&mut self, at: Instant, hands: &mut Hands) {
        let numbers: Vec<u32> = self.entries.iter().map(|(number, _)| *number).collect();
        for number in numbers {
            self.settle(at, hands, number);
        }
    }

    /// Sets the timer to when a registration has something to send, and forgets it if that is never.
    fn settle(&mut self, at: Instant, hands: &mut Hands, number: u32) {
        let calls = self.calls;
        let Some(entry) = self.entry(number) else { return };
        let is_wanted = calls == Calls::Wanted && entry.wanted == Wanted::Yes;
        let due = match (entry.out, is_wanted) {
            (Some(_), _) => None,
            (None, true) => Some(entry.due),
            (None, false) => entry
                .until
                .filter(|_| entry.wanted != Wanted::Replaced)
                .map(|_| at),
        };
        let is_over = entry.out.is_none() && due.is_none();
        let (wanted, trunk) = (entry.wanted, entry.line.trunk.clone());
        if let Some(timer) = entry.timer.take() {
            self.timers.cancel(timer);
        }
        let timer = due.map(|due| self.timers.set(due, number));
        if let Some(entry) = self.entry(number) {
            entry.timer = timer;
        }
        if is_over && wanted != Wanted::Yes {
            self.entries.retain(|(other, _)| *other != number);
            // Another may have taken its place.
            if !self.entries.iter().any(|(_, other)| other.line.trunk == trunk) {
                let state = Registered::Never;
                hands
                    .out
                    .push_back(Output::Registration(Registration { trunk, state }));
            }
        }
    }

    fn entry(&mut self, number: u32) -> Option<&mut Entry> {
        let mut entries = self.entries.iter_mut();
        entries
            .find(|(other, _)| *other == number)
            .map(|(_, entry)| entry)
    }
}

impl Entry {
    /// Sends a REGISTER (RFC 3261 §10.2).
    fn send(&mut self, now: Now, hands: &mut Hands, number: u32, out: Out) {
        self.cseq += 1;
        self.is_outdated = false;
        let Line {
            register,
            credentials,
            at: Server {
                listener, transport, ..
            },
            ..
        } = &self.line;
        let expires_s = match out {
            Out::Renew => register.expires_s.max(self.min_expires_s),
            Out::Remove => 0,
        };
        let (uri, own) = (self.line.uri(None), self.line.uri(Some(&register.user)));
        let to = [b"<", &*own, b">"].concat();
        let from = [&*to, b";tag=", &self.tag].concat();
        let expires = expires_s.to_string();
        let proof = self.given.as_mut().zip(credentials.as_ref());
        let proof = proof.map(|(given, credentials)| given.prove(credentials, &mut hands.chance));
        let proof = proof.and_then(|proof| proof.header(Method::Register, &uri));
        let headers: Vec<(&str, &str)> = [(Name::Expires.text(), expires.as_str())]
            .into_iter()
            .chain(proof.as_ref().map(|(name, value)| (*name, value.as_str())))
            .collect();
        let bytes = build::request(&build::Request {
            method: Method::Register,
            uri: &uri,
            transport: *transport,
            sent_by: listener.advertised,
            branch: &hands.branch(),
            from: &from,
            to: &to,
            call_id: &self.call_id,
            cseq: self.cseq,
            max_forwards: 70,
            routes: &[],
            contact: Some(&contact_of(listener, Some(&register.contact_user))),
            headers: &headers,
            body: None,
        });
        let owner = Owner(OURS << 56 | u64::from(number));
        self.out = Some(out);
        let sent = hands.layer.request(now.at, self.line.path(), owner, bytes);
        if sent.is_none() {
            self.failed(now, hands, Unregistered::Silent, Duration::ZERO);
        }
    }

    fn answered(&mut self, now: Now, hands: &mut Hands, number: u32, source: IpAddr, response: &Message<'_>) {
        let (Some(out), Some(status)) = (self.out, response.status()) else {
            return;
        };
        if matches!(status, 200..300) {
            return self.done(now, hands, out, response);
        }
        self.tries += 1;
        let may_try = self.tries < REGISTER_TRIES_MAX;
        if let Some(asker) = Asker::of_status(status) {
            let credentials = self.line.credentials.as_ref();
            let ways = (source, self.line.at.registrar.ip());
            return match Given::to(credentials, self.given.as_ref(), ways, asker, response) {
                Ok(given) if may_try => {
                    self.given = Some(given);
                    self.send(now, hands, number, out);
                }
                Ok(_) => self.failed(now, hands, Unregistered::Status(status), Duration::ZERO),
                Err(why) => self.failed(now, hands, Unregistered::Challenge(why), Duration::ZERO),
            };
        }
        let longer = (status == 423).then(|| response.other("Min-Expires")).flatten();
        let longer = longer.and_then(|min| decimal(min, *REGISTER_EXPIRES.end()));
        match longer {
            // RFC 3261 §10.2.8
            Some(min) if may_try && min > self.min_expires_s && out == Out::Renew => {
                self.min_expires_s = min;
                self.send(now, hands, number, out);
            }
            Some(_) | None => {
                let wait = retry_after(response);
                self.failed(now, hands, Unregistered::Status(status), wait);
            }
        }
    }

    fn done(&mut self, now: Now, hands: &mut Hands, out: Out, response: &Head<'_>) {
        self.out = None;
        let state = match out {
            Out::Remove => {
                self.until = None;
                Registered::TakenBack
            }
            Out::Renew => {
                let granted_s = self.granted(response);
                if granted_s == 0 {
                    return self.failed(now, hands, Unregistered::NotGranted, Duration::ZERO);
                }
                let granted = Duration::from_secs(granted_s.into());
                (self.failures, self.passed) = (0, 0);
                self.until = Some(now.at + granted);
                self.due = now.at + refresh_after(granted, &mut hands.chance);
                Registered::Until(now.wall.plus(granted))
            }
        };
        if self.is_outdated {
            self.due = now.at;
        }
        self.tell(hands, state);
    }

    /// How long the gateway knows us now, in seconds (RFC 3261 §10.2.4): what it says of our Contact, or of the only one
    /// if it writes ours otherwise, else what it says of all, else what we have asked for.
    fn granted(&self, response: &Head<'_>) -> u32 {
        let asked = self.line.register.expires_s.max(self.min_expires_s);
        let ours = contact_of(&self.line.at.listener, Some(&self.line.register.contact_user));
        let plain = |uri: &[u8]| {
            let uri = uri.split(|byte| *byte == b';').next().unwrap_or_default();
            uri.to_ascii_lowercase()
        };
        let ours = NameAddr::parse(&ours).map(|ours| plain(ours.uri));
        let all: Vec<NameAddr<'_>> = response
            .values(Name::Contact)
            .filter_map(NameAddr::parse)
            .collect();
        let found = all.iter().find(|contact| Some(plain(contact.uri)) == ours);
        let found = match &all[..] {
            [only] => Some(only),
            _ => found,
        };
        let max = *REGISTER_EXPIRES.end();
        let seconds = |text: &[u8]| decimal(text, u32::MAX).map(|seconds| seconds.min(max));
        found
            .and_then(|contact| contact.param("expires"))
            .and_then(seconds)
            .or_else(|| response.get(Name::Expires).and_then(seconds))
            .unwrap_or(asked)
    }

    /// The REGISTER that is out came to nothing. The next goes to another server at once, where that may help, or out after
    /// a pause, and `wait` at the least.
    fn failed(&mut self, now: Now, hands: &mut Hands, why: Unregistered, wait: Duration) {
        let out = self.out.take();
        self.until = self.until.filter(|until| *until > now.at);
        if out == Some(Out::Remove) {
            // It ends by itself; there is nobody to be told again.
            self.until = None;
            return self.tell(hands, Registered::TakenBack);
        }
        let pause = if self.passes_on(&why) {
            Duration::ZERO
        } else {
            self.failures = self.failures.saturating_add(1);
            pause(self.failures, &mut hands.chance).max(wait)
        };
        self.due = if self.is_outdated { now.at } else { now.at + pause };
        let state = Registered::Failed(why, now.wall.plus(self.due - now.at));
        self.tell(hands, state);
    }

    /// Whether there is a server that hasn't failed yet, where this one has no time or says nothing (RFC 3263 §4.3): that is
    /// asked next. Behind the last one the first has its turn again, after a pause.
    fn passes_on(&mut self, why: &Unregistered) -> bool {
        let may_help = match why {
            Unregistered::Silent => true,
            Unregistered::Status(status) => matches!(status, 408 | 503),
            Unregistered::Challenge(_) | Unregistered::NotGranted => false,
        };
        if !may_help {
            return false;
        }
        let place = self.servers.iter().position(|server| server.is_of(&self.line.at));
        let next = place.map_or(0, |place| place + 1);
        let Some(server) = self.servers.get(next).or(self.servers.first()) else {
            return false;
        };
        self.line.at = server.clone();
        self.passed += 1;
        let is_left = self.passed < self.servers.len();
        if !is_left {
            self.passed = 0;
        }
        is_left
    }

    fn tell(&self, hands: &mut Hands, state: Registered) {
        if self.wanted == Wanted::Yes {
            let trunk = self.line.trunk.clone();
            hands
                .out
                .push_back(Output::Registration(Registration { trunk, state }));
        }
    }
}

#[cfg(test)]
mod tests;

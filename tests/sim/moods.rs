//! People with phones: what they mean to do, and what they do when something happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use umbra::base::chance::Chance;
use umbra::call::config::Config;
use umbra::call::port::{AskId, Command, Records};
use umbra::call::trunk::Cidr;

use crate::histories::ONWARD;
use crate::support::cast::{Cast, Cue};
use crate::support::phone::{Extra, Lost};
use crate::support::sdp;
use crate::support::stage::{Binding, Doing, Packet, Stage};
use crate::support::text::Msg;
use crate::support::world::World;
use crate::support::world::owner::Amend;

#[path = "forks.rs"]
mod forks;
#[path = "habits.rs"]
mod habits;

use forks::Fork;
use habits::Habits;

/// A phone's call.
type Place = (usize, usize);

/// Something that somebody will do.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Calls a number.
    Call(usize, String),
    /// Gives up waiting.
    Cancel(Place),
    /// Rings, answers, refuses.
    Answer(Place, u16),
    /// A further phone of somebody who is called rings, plays something or has failed: which, and the status.
    Ring(Place, usize, u16),
    /// It changes what it plays.
    Move(Place, usize),
    /// It hangs up before anybody answered.
    Leave(Place, usize),
    /// It answers.
    PickUp(Place, usize),
    /// Sends a fax from now on, instead of talking.
    Fax(Place),
    /// Puts the other on hold, or takes it back: the direction.
    Hold(Place, &'static str),
    /// Offers nothing in an INVITE within the call.
    Probe(Place),
    /// Acknowledges a reliable provisional response: whether that offered something, whether it described anything.
    Acknowledge(Place, bool, bool),
    /// Changes the session by UPDATE: the direction, if any.
    Update(Place, Option<&'static str>),
    /// Refreshes a session of so many seconds.
    Refresh(Place, u32),
    /// Says something.
    Talk(Place),
    /// Hangs up.
    HangUp(Place),
    /// Nobody listens at a gateway for a while.
    GatewayDown(u8),
    /// Somebody listens there again.
    GatewayUp(u8),
    /// The owner ends some call.
    Cut(u32),
    /// The owner takes no new calls.
    Drain,
    /// The owner ends everything.
    EndAll,
    /// The owner ends every binding on a number.
    Unbind(String),
    /// The owner gives a number to people, maybe others than before; those before have it no more.
    Bind(Binding),
    /// The owner joins more people on a number.
    Join(Binding),
    /// The owner changes the people of a binding.
    Amend(String, Amend),
    /// The owner names whom A reaches by his X next, or nobody.
    Name(String, Option<String>),
    /// The owner does something to a number or to the account.
    Order(Doing, Option<String>),
    /// Every connection of this address is reset.
    Reset(SocketAddr),
    /// Stops waiting for an answer that was on its way on a connection that is no more.
    Forsake(Place),
    /// Nothing moves on this address's connections, for so many milliseconds.
    Stall(SocketAddr, u32),
    /// The owner loads a changed configuration.
    Reload(Reload),
    /// The disk takes no records for a while.
    DiskFull,
    /// It takes them again.
    DiskFree,
    /// The wall clock is set forward, in seconds.
    SetForward(u32),
    /// The network is nearly down, for so many milliseconds.
    Storm(u32),
    /// Somebody who has no business here sends RTP to a port of Umbra's.
    Spray(u16),
}

/// What a changed configuration changes.
#[derive(Clone, Copy, Debug)]
pub enum Reload {
    /// The gateways' order.
    Gateways,
    /// How long phones ring, and how long silence may last.
    Times,
    /// The trunk is no longer ours to take calls from, for a while.
    NoTrunk,
    /// It is as before.
    Trunk,
}

/// How far a call is, for its phone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Our INVITE is out.
    Calling,
    /// Theirs is in.
    Called,
    /// We talk.
    Up,
    /// It is over.
    Over,
}

/// What a phone knows of a call.
#[derive(Debug)]
pub struct Mind {
    /// How far it is.
    pub state: State,
    /// The final status heard to our INVITE.
    pub heard: Option<u16>,
    /// The final status that we gave to theirs.
    pub said: Option<u16>,
    cancelled: bool,
    asking: bool,
    /// Whether their INVITE within the call came without an offer, or ours did.
    empty: bool,
    leaves: bool,
    habits: Habits,
    /// Our INVITE had no offer.
    late: bool,
    /// Descriptions were exchanged reliably before the answer.
    described: bool,
    /// Our provisional responses are reliable.
    rings_reliably: bool,
    /// What the INVITE to us offered.
    invited: Option<Msg>,
    /// The phones that ring beside the first one.
    forks: Vec<Fork>,
    /// Which of them answered; the first, if none of them did.
    fork: Option<&'static str>,
    /// The session's interval that our answer will name, and who refreshes it.
    session_wish: Option<(u32, &'static str)>,
}

/// When whatever was answered on a connection that was reset won't come any more.
const FORSAKEN_AFTER: Duration = Duration::from_secs(120);

/// The RTP payload that nobody may ever hear.
const SPRAY: u8 = 0xEE;

/// Everybody.
pub struct Crowd {
    /// The phones and their world.
    pub cast: Cast<World>,
    /// What they know.
    pub minds: BTreeMap<Place, Mind>,
    chance: Chance,
    /// Whether people talk for long.
    pub talkative: bool,
    /// Rare things that happened.
    pub seen: BTreeSet<&'static str>,
    deeds: BTreeMap<(Duration, u64), Deed>,
    serial: u64,
}

impl Crowd {
    /// A crowd without plans.
    pub fn new(cast: Cast<World>, chance: Chance) -> Self {
        Self {
            cast,
            minds: BTreeMap::new(),
            chance,
            talkative: false,
            seen: BTreeSet::new(),
            deeds: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Plans something.
    pub fn plan(&mut self, at: Duration, deed: Deed) {
        self.serial += 1;
        self.deeds.insert((at, self.serial), deed);
    }

    fn soon(&mut self, most_ms: u32, deed: Deed) {
        let after = Duration::from_millis(self.chance.below(most_ms).into());
        let at = self.cast.stage.now() + after;
        self.plan(at, deed);
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.chance.below(n) == 0
    }

    /// Lets everybody live until nothing is planned and nothing happens, or until `end`.
    pub fn live(&mut self, end: Duration) {
        loop {
            let next = self.deeds.keys().next().map(|(at, _)| *at);
            let now = self.cast.stage.now();
            if next.is_none() && self.cast.busy().is_none() && self.cast.stage.busy().is_none() || now >= end
            {
                return;
            }
            let until = next.unwrap_or(now + Duration::from_secs(1)).min(end);
            match self.cast.step(until) {
                Some(cue) => self.cue(cue),
                None => {
                    while let Some(next) = self.deeds.first_entry().filter(|e| e.key().0 <= until) {
                        let deed = next.remove();
                        self.act(deed);
                    }
                }
            }
        }
    }

    fn describe(&mut self, way: &str) -> Extra {
        if self.one_in(12) {
            // Too large for UDP, once it is Umbra's.
            let codecs = "pcmu,pcma,g722,g729,opus,amr,amrwb,te,te16,te48";
            let fmtp = "maxplaybackrate=48000;sprop-maxcapturerate=48000;maxaveragebitrate=510000;stereo=1";
            let more =
                ";sprop-stereo=1;useinbandfec=1;usedtx=1;mode-set=0,1,2,3,4,5,6,7;mode-change-period=2";
            return Extra {
                codecs: Some(codecs.split(',').map(str::to_owned).collect()),
                way: way.into(),
                sdp_lines: [18, 111, 96, 97]
                    .map(|n| format!("a=fmtp:{n} {fmtp}{more}"))
                    .to_vec(),
                ..Extra::default()
            };
        }
        let lists = [
            "pcma,te",
            "pcmu,pcma,cn,te",
            "pcma",
            "g729,pcma,te:96",
            "opus,pcma,te",
        ];
        let list = lists[self.chance.below(lists.len() as u32) as usize];
        Extra {
            codecs: Some(list.split(',').map(str::to_owned).collect()),
            way: way.into(),
            ..Extra::default()
        }
    }

    /// An answer to what the other side described last; an offer if it described nothing.
    fn answer_to(&mut self, place: Place, msg: &Msg) -> Extra {
        match sdp::read(&msg.body).or_else(|| self.cast.phones[place.0].calls[place.1].heard.clone()) {
            // A fax, whether it can be sent or not.
            Some(heard) if heard.fax.is_some() && heard.codecs.is_empty() => Extra {
                codecs: Some(vec!["fax".to_owned()]),
                ..Extra::default()
            },
            Some(heard) => {
                let mut codecs: Vec<String> = Vec::new();
                for (codec, payload) in heard.codecs.iter().zip(&heard.payloads) {
                    if codecs.is_empty() || codec.starts_with("te") {
                        codecs.push(format!("{codec}:{payload}"));
                    }
                }
                let way = match heard.way.as_str() {
                    "sendonly" => "recvonly",
                    "recvonly" => "sendonly",
                    "inactive" => "inactive",
                    _ => "sendrecv",
                };
                Extra {
                    codecs: Some(codecs),
                    way: way.into(),
                    ..Extra::default()
                }
            }
            None => self.describe("sendrecv"),
        }
    }

    fn state(&self, place: Place) -> State {
        self.minds.get(&place).map_or(State::Over, |mind| mind.state)
    }

    fn act(&mut self, deed: Deed) {
        let now = self.cast.stage.now();
        match deed {
            Deed::Call(phone, number) => {
                let late = self.one_in(8);
                let mut extra = if late {
                    Extra::default()
                } else {
                    self.describe("sendrecv")
                };
                let habits = Habits::some(&mut self.chance);
                extra.headers = self.introduction(habits);
                let (home, umbra) = (self.cast.home(phone), self.cast.stage.setup().umbra());
                let call = self.cast.phones[phone].ask(now, home, umbra, "INVITE", &number, &extra);
                let place = (phone, call);
                let mind = Mind {
                    late,
                    ..Mind::new(State::Calling, habits)
                };
                self.minds.insert(place, mind);
                if self.one_in(4) {
                    self.soon(15_000, Deed::Cancel(place));
                }
            }
            Deed::Cancel(place) => {
                let mind = self.minds.get_mut(&place);
                if let Some(mind) = mind.filter(|m| m.state == State::Calling && !m.cancelled) {
                    mind.cancelled = true;
                    self.cast.phones[place.0].request(now, place.1, "CANCEL", &Extra::default());
                }
            }
            Deed::Answer(place, status) => self.answer(place, status),
            Deed::Ring(place, fork, status) => self.rings(place, fork, status),
            Deed::Move(place, fork) => self.moves(place, fork),
            Deed::Leave(place, fork) => self.leaves(place, fork),
            Deed::PickUp(place, fork) => self.picks_up(place, fork),
            Deed::Fax(place) => self.fax(place),
            Deed::Hold(place, way) => {
                let extra = self.describe(way);
                self.ask_again(place, &extra);
            }
            Deed::Probe(place) => self.ask_again(place, &Extra::default()),
            Deed::Acknowledge(place, offered, describes) => self.acknowledge(place, offered, describes),
            Deed::Update(place, way) => self.update(place, way, Vec::new()),
            Deed::Refresh(place, interval) => self.refresh(place, interval),
            Deed::Talk(place) => {
                if self.state(place) == State::Up {
                    for seq in 0..5 {
                        self.cast.phones[place.0].speak(place.1, seq);
                    }
                }
            }
            Deed::HangUp(place) => {
                let mind = self.minds.get_mut(&place);
                if let Some(mind) = mind.filter(|m| m.state == State::Up && !m.leaves) {
                    mind.leaves = true;
                    self.say(place, "BYE", &Extra::default());
                }
            }
            Deed::GatewayDown(n) => {
                let at = self.cast.stage.setup().gateway(n);
                self.cast.stage.shut(at);
                self.soon(20_000, Deed::GatewayUp(n));
            }
            Deed::GatewayUp(n) => {
                let at = self.cast.stage.setup().gateway(n);
                self.cast.stage.open(at);
            }
            Deed::Cut(which) => {
                let calls: Vec<_> = self.cast.stage.events.iter().map(|e| e.call_id).collect();
                if let Some(id) = calls.get(which as usize % calls.len().max(1)) {
                    self.cast.stage.command(Command::Hangup(AskId(1), *id));
                }
            }
            Deed::Drain => self.cast.stage.drain(),
            Deed::EndAll => self.cast.stage.command(Command::EndAll),
            // What the owner may not do, he doesn't: the law hears only of what was done.
            Deed::Unbind(x) => drop(self.cast.stage.unbinds(&x)),
            Deed::Bind(binding) => {
                drop(self.cast.stage.unbinds(&binding.x));
                drop(self.cast.stage.binds(&binding));
            }
            Deed::Join(binding) => drop(self.cast.stage.binds(&binding)),
            Deed::Amend(x, amend) => drop(self.cast.stage.amends(&x, &amend)),
            Deed::Name(x, to) => drop(self.cast.stage.names(&x, to.as_deref())),
            Deed::Order(doing, x) => {
                drop(self.cast.stage.orders(doing, x.as_deref()));
                let undone = match doing {
                    Doing::Suspend => Doing::Resume,
                    Doing::Lock => Doing::Unlock,
                    Doing::Freeze(_) => Doing::Thaw,
                    Doing::Resume | Doing::Unlock | Doing::Thaw | Doing::Fax(_) => return,
                };
                self.soon(40_000, Deed::Order(undone, x));
            }
            Deed::Reset(at) => {
                self.cast.stage.reset(at);
                let waits =
                    |place: &Place| self.cast.home(place.0) == at && self.state(*place) == State::Calling;
                let waiting: Vec<Place> = self.minds.keys().copied().filter(waits).collect();
                for place in waiting {
                    self.plan(now + FORSAKEN_AFTER, Deed::Forsake(place));
                }
            }
            Deed::Forsake(place) => {
                let mind = self.minds.get_mut(&place);
                if let Some(mind) = mind.filter(|m| m.state == State::Calling) {
                    mind.state = State::Over;
                }
            }
            Deed::Stall(at, ms) => self.cast.stage.stall(at, Duration::from_millis(ms.into())),
            Deed::Reload(what) => self.reload(what),
            Deed::DiskFull => {
                self.cast.stage.records(Records::Full);
                self.soon(10_000, Deed::DiskFree);
            }
            Deed::DiskFree => self.cast.stage.records(Records::Kept),
            Deed::SetForward(s) => self.cast.stage.set_forward(Duration::from_secs(s.into())),
            Deed::Storm(ms) => self.cast.stage.storm(Duration::from_millis(ms.into())),
            Deed::Spray(port) => {
                let setup = self.cast.stage.setup();
                let mut bytes = vec![0x80, 8, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4];
                bytes.extend([SPRAY; 160]);
                self.cast.stage.send(Packet {
                    from: (setup.ip(9, 9), 4_000).into(),
                    to: (setup.ip(0, 1), port).into(),
                    bytes,
                });
            }
        }
    }

    fn reload(&mut self, what: Reload) {
        let ring = Duration::from_secs(5 + u64::from(self.chance.below(30)));
        match what {
            Reload::Gateways => self.cast.stage.reload(|c| c.trunks[0].gateways.reverse()),
            Reload::Times => self.cast.stage.reload(|c| {
                c.ring_timeout = ring;
                c.media.timeout = ring * 4;
            }),
            Reload::NoTrunk => {
                let away = |c: &mut Config| {
                    for trunk in &mut c.trunks {
                        trunk.accept_from.clear();
                    }
                };
                self.cast.stage.reload(away);
                self.soon(20_000, Deed::Reload(Reload::Trunk));
            }
            Reload::Trunk => {
                let setup = self.cast.stage.setup();
                let net = |(network, prefix)| Cidr { network, prefix };
                let nets = setup.accepted().into_iter().map(net).collect();
                self.cast.stage.reload(|c| c.trunks[0].accept_from = nets);
            }
        }
    }

    fn ask_again(&mut self, place: Place, extra: &Extra) {
        let owes = self.cast.phones[place.0].owes(place.1, Some("INVITE"));
        let mind = self.minds.get_mut(&place);
        if let Some(mind) = mind.filter(|m| m.state == State::Up && !m.asking && !m.leaves && !owes) {
            mind.asking = true;
            mind.empty = extra.codecs.is_none();
            self.say(place, "INVITE", extra);
        }
    }

    fn answer(&mut self, place: Place, status: u16) {
        let now = self.cast.stage.now();
        if self.state(place) != State::Called {
            return;
        }
        if self.waits_for_prack(place, status) {
            return self.soon(1_000, Deed::Answer(place, status));
        }
        let heard = self.cast.phones[place.0].calls[place.1].heard.clone();
        let described = status == 183 || (200..300).contains(&status);
        let invited = self.minds.get(&place).and_then(|mind| mind.invited.clone());
        let mut extra = if described && heard.is_some() {
            self.answer_to(place, &invited.unwrap_or_default())
        } else {
            Extra {
                headers: self.excuses(status),
                ..Extra::default()
            }
        };
        let whole = extra.clone();
        self.dress(place, status, &mut extra);
        if (200..300).contains(&status) {
            let fork = self.minds.get(&place).and_then(|mind| mind.fork);
            extra.tag = fork.map(str::to_owned);
        }
        let answered = self.cast.phones[place.0].respond(now, place.1, status, Some("INVITE"), &extra);
        let Some(mind) = self.minds.get_mut(&place).filter(|_| answered.is_ok()) else {
            return;
        };
        if status >= 200 {
            mind.said = Some(status);
            mind.state = if status < 300 { State::Up } else { State::Over };
        }
        if (200..300).contains(&status) {
            if self.one_in(20) {
                // Another phone of the same person answers too, that never rang.
                let fork = Extra {
                    tag: Some("another".into()),
                    ..whole
                };
                let phone = &mut self.cast.phones[place.0];
                phone
                    .respond(now, place.1, status, Some("INVITE"), &fork)
                    .unwrap_or_default();
            }
            self.talk(place);
        }
    }

    /// What a refusal says besides: a cause that may be any, and where the call is sent on to.
    fn excuses(&mut self, status: u16) -> Vec<String> {
        let mut headers = Vec::new();
        if status >= 300 && self.one_in(3) {
            let cause = 1 + self.chance.below(127);
            headers.push(format!("Reason: Q.850;cause={cause};text=\"{ONWARD}\""));
        }
        if (300..400).contains(&status) {
            // A number of ours is no place to go.
            let ours = self.cast.stage.invited.last().and_then(|i| i.shown.first());
            let ours = ours.map_or("nobody", String::as_str);
            headers.push(format!(
                "Contact: <sip:{ours}@192.0.2.66>;q=0.9, <sip:{ONWARD}@192.0.2.66>"
            ));
        }
        headers
    }

    /// What somebody does in a conversation.
    fn talk(&mut self, place: Place) {
        let stays = self.minds.get(&place).is_some_and(|mind| mind.habits.stays());
        if self.talkative || stays {
            let after = 70_000 + self.chance.below(60_000);
            let at = self.cast.stage.now() + Duration::from_millis(after.into());
            self.plan(at, Deed::HangUp(place));
        } else {
            let patience = if self.one_in(4) { 120_000 } else { 40_000 };
            self.soon(patience, Deed::HangUp(place));
            if self.one_in(2) {
                self.soon(60_000, Deed::HangUp(place));
            }
        }
        if self.one_in(3) {
            let ways = ["sendonly", "inactive", "recvonly", "sendrecv"];
            let way = ways[self.chance.below(4) as usize];
            self.soon(20_000, Deed::Hold(place, way));
            self.soon(30_000, Deed::Hold(place, "sendrecv"));
        }
        if self.one_in(6) {
            self.soon(20_000, Deed::Probe(place));
        }
        if self.one_in(12) {
            self.soon(15_000, Deed::Fax(place));
            if self.one_in(2) {
                self.soon(30_000, Deed::Hold(place, "sendrecv"));
            }
        }
        if self.one_in(3) {
            let ways = [None, Some("sendonly"), Some("inactive"), Some("sendrecv")];
            for _ in 0..2 {
                let way = ways[self.chance.below(4) as usize];
                self.soon(20_000, Deed::Update(place, way));
            }
        }
        for _ in 0..3 {
            self.soon(30_000, Deed::Talk(place));
        }
    }

    fn cue(&mut self, cue: Cue) {
        match cue {
            Cue::Heard {
                phone,
                call,
                msg,
                again: false,
                ..
            } => match msg.status() {
                Some(status) => self.response((phone, call), status, &msg),
                None => self.request((phone, call), &msg),
            },
            Cue::Heard { again: true, .. } => {}
            Cue::Lost { phone, call, lost } => self.lost((phone, call), &lost),
            Cue::Rtp { phone, call } => {
                let phone = &self.cast.phones[phone];
                let last = phone.calls[call].rtp.last();
                if last.is_some_and(|(_, bytes)| bytes.last() == Some(&SPRAY)) {
                    let fault = format!("{} hears a stranger's packet", phone.name);
                    self.cast.faults.push(fault);
                }
            }
        }
    }

    fn lost(&mut self, place: Place, lost: &Lost) {
        let Some(mind) = self.minds.get_mut(&place) else {
            return;
        };
        match lost {
            Lost::Request(method) if method == "INVITE" && mind.state == State::Up => {
                mind.asking = false;
                self.act(Deed::HangUp(place));
            }
            Lost::Request(method) if method == "INVITE" || method == "BYE" => mind.state = State::Over,
            Lost::Request(method) if method == "UPDATE" => {
                mind.asking = false;
                self.act(Deed::HangUp(place));
            }
            Lost::Request(_) => {}
            Lost::Ack(200..300) => self.act(Deed::HangUp(place)),
            Lost::Ack(_) => {}
            // RFC 3262 §3
            Lost::Prack => self.answer(place, 500),
        }
    }

    fn response(&mut self, place: Place, status: u16, msg: &Msg) {
        if status < 200 {
            self.hears_ringing(place, msg);
            return;
        }
        if status < 300 && matches!(msg.method(), "INVITE" | "UPDATE") {
            self.is_granted(place, msg);
        }
        let Some(mind) = self.minds.get_mut(&place) else {
            return;
        };
        match (msg.method(), mind.state) {
            ("INVITE", State::Calling) => {
                mind.heard = Some(status);
                if status >= 300 {
                    mind.state = State::Over;
                    return;
                }
                mind.state = State::Up;
                let cancelled = mind.cancelled;
                if self.one_in(25) {
                    // The ACK that never comes: Umbra has to end it.
                    return;
                }
                let late = self.cast.phones[place.0].calls[place.1].said.is_empty();
                let extra = if late {
                    self.answer_to(place, msg)
                } else {
                    Extra::default()
                };
                self.say(place, "ACK", &extra);
                if cancelled {
                    return self.act(Deed::HangUp(place));
                }
                self.talk(place);
            }
            ("INVITE", _) => {
                mind.asking = false;
                let empty = mind.empty;
                if status < 300 {
                    if sdp::read(&msg.body).is_some_and(|heard| heard.fax.is_some()) {
                        self.seen.insert("a fax");
                    }
                    let extra = if empty {
                        self.answer_to(place, msg)
                    } else {
                        Extra::default()
                    };
                    self.say(place, "ACK", &extra);
                } else if matches!(status, 408 | 481) {
                    self.act(Deed::HangUp(place));
                }
            }
            ("PRACK", _) => mind.asking = false,
            ("UPDATE", _) => {
                mind.asking = false;
                // One of a fork that lost ends nothing.
                if matches!(status, 408 | 481) && self.is_own(place, msg) {
                    self.act(Deed::HangUp(place));
                }
            }
            ("BYE", _) if mind.leaves => mind.state = State::Over,
            _ => {}
        }
    }

    fn request(&mut self, place: Place, msg: &Msg) {
        let now = self.cast.stage.now();
        let (phone, call) = place;
        let none = Extra::default();
        let is_own = self.is_own(place, msg);
        if msg.method() == "INVITE" && msg.tag("To").is_none() {
            return self.called(place, msg);
        }
        let Some(mind) = self.minds.get_mut(&place) else {
            return;
        };
        let answer = |cast: &mut Cast<World>, status, method, extra: &Extra| {
            let answered = cast.phones[phone].respond(now, call, status, Some(method), extra);
            answered.unwrap_or_default();
        };
        match msg.method() {
            "ACK" => {}
            "CANCEL" => {
                answer(&mut self.cast, 200, "CANCEL", &none);
                if mind.state == State::Called {
                    if self.chance.below(10) == 0 {
                        self.answer(place, 200);
                    } else {
                        mind.state = State::Over;
                        mind.said = Some(487);
                        answer(&mut self.cast, 487, "INVITE", &none);
                    }
                }
            }
            "BYE" => {
                answer(&mut self.cast, 200, "BYE", &none);
                // A losing fork's BYE isn't this phone's own.
                if is_own {
                    mind.state = State::Over;
                }
            }
            "INVITE" => {
                if mind.state != State::Up {
                    answer(&mut self.cast, 481, "INVITE", &none);
                } else if mind.asking {
                    answer(&mut self.cast, 491, "INVITE", &none);
                } else {
                    match self.chance.below(16) {
                        0 | 1 => answer(&mut self.cast, 488, "INVITE", &none),
                        2 if is_own => {
                            // It was switched off and on again.
                            mind.state = State::Over;
                            answer(&mut self.cast, 481, "INVITE", &none);
                        }
                        _ => {
                            let mut extra = self.answer_to(place, msg);
                            extra.headers = self.refreshed(place, msg);
                            answer(&mut self.cast, 200, "INVITE", &extra);
                        }
                    }
                }
            }
            "PRACK" | "UPDATE" => self.asked_in_passing(place, msg),
            _ => answer(&mut self.cast, 501, msg.method(), &none),
        }
    }

    /// Somebody's phone rings: what will they do?
    fn called(&mut self, place: Place, invite: &Msg) {
        let habits = Habits::some(&mut self.chance);
        let mind = Mind {
            invited: sdp::read(&invite.body).is_some().then(|| invite.clone()),
            ..Mind::new(State::Called, habits)
        };
        self.minds.insert(place, mind);
        if self.meets(place, invite) {
            return;
        }
        if self.one_in(15) {
            // Nothing at all.
            return;
        }
        let refusals = [486, 603, 404, 480, 500, 503, 302, 302, 401, 488, 600, 410];
        if self.one_in(5) {
            let status = refusals[self.chance.below(refusals.len() as u32) as usize];
            return self.soon(8_000, Deed::Answer(place, status));
        }
        self.rings_elsewhere(place);
        if !self.one_in(4) {
            self.soon(400, Deed::Answer(place, 180));
        }
        if self.one_in(3) {
            self.soon(2_000, Deed::Answer(place, 183));
        }
        if self.one_in(8) {
            // It rings and rings.
            return;
        }
        self.soon(12_000, Deed::Answer(place, 200));
    }
}

impl Mind {
    fn new(state: State, habits: Habits) -> Self {
        Self {
            state,
            heard: None,
            said: None,
            cancelled: false,
            asking: false,
            empty: false,
            leaves: false,
            habits,
            late: false,
            described: false,
            rings_reliably: false,
            invited: None,
            forks: Vec::new(),
            fork: None,
            session_wish: None,
        }
    }
}

//! People with phones: what they mean to do, and what they do when something happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use umbra::base::chance::Chance;
use umbra::call::recording::{Control, Fault};

use crate::support::cast::Cast;
use crate::support::phone::Extra;
use crate::support::sdp;
use crate::support::stage::{Binding, Doing, Packet, Stage};
use crate::support::text::Msg;
use crate::support::world::World;
use crate::support::world::owner::Amend;
use crate::support::world::recorder::Loss;
use crate::support::world::restart::Kill;

#[path = "acts.rs"]
mod acts;
#[path = "forks.rs"]
mod forks;
#[path = "habits.rs"]
mod habits;
#[path = "hears.rs"]
mod hears;

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
    /// Presses a key.
    Press(Place, u8),
    /// What he presses and says, packet by packet.
    Send(Box<Packet>),
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
    /// The owner takes somebody into the group of a binding, or out of it.
    Regroup(String, String, bool),
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
    /// Somebody pauses the recordings of all calls, or goes on with them.
    Control(Control),
    /// Somebody who talks keys the code by which his call's recording is paused.
    Code(u32),
    /// The recorder can't keep what was recorded last, or some of it.
    Unkept(Fault, Loss),
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
    /// The process is killed, and another one comes.
    Kill(Kill),
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
    /// Another phone, which never rang, answered too: either may be the one that is hung up on.
    has_rival: bool,
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
    /// BYEs that were answered with an error: when, with which, whose.
    pub turned_away: Vec<(Duration, u16, Place)>,
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
            turned_away: Vec::new(),
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
            has_rival: false,
            session_wish: None,
        }
    }
}

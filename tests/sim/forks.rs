//! Several phones of one person that ring side by side: each is a fork, an early dialog under a tag of its own
//! (RFC 3261 §12.1). The first one has no name; the others are played by the same phone under theirs.

use super::{Crowd, Deed, Place, State};
use crate::support::phone::Extra;
use crate::support::stage::Stage;
use crate::support::text::Msg;

/// How the further phones are called.
const NAMES: [&str; 3] = ["fork", "second", "third"];

/// A phone that rings beside the first one.
#[derive(Debug)]
pub struct Fork {
    name: &'static str,
    /// Its description went out reliably.
    described: bool,
    /// It has failed.
    gone: bool,
}

impl Crowd {
    /// Some of those who are called have more phones than one: what these will do, and whether one of them is to answer.
    pub(super) fn rings_elsewhere(&mut self, place: Place) {
        if !self.one_in(10) {
            return;
        }
        let count = 1 + self.chance.below(NAMES.len() as u32) as usize;
        if let Some(mind) = self.minds.get_mut(&place) {
            let fork = |name: &&'static str| Fork {
                name,
                described: false,
                gone: false,
            };
            mind.forks = NAMES.iter().take(count).map(fork).collect();
        }
        for fork in 0..count {
            self.soon(1_000, Deed::Ring(place, fork, 180));
            if self.one_in(2) {
                self.soon(4_000, Deed::Ring(place, fork, 183));
            }
            if self.one_in(4) {
                self.soon(6_000, Deed::Move(place, fork));
            }
            if self.one_in(6) {
                self.soon(8_000, Deed::Ring(place, fork, 199));
            }
            if self.one_in(20) {
                self.soon(8_000, Deed::Leave(place, fork));
            }
            if self.one_in(3) {
                self.soon(12_000, Deed::PickUp(place, fork));
            }
        }
    }

    /// What a fork says goes under its tag, and answers the INVITE's own offer.
    fn of_fork(&mut self, place: Place, name: &str, describes: bool) -> Extra {
        let invited = self.minds.get(&place).and_then(|mind| mind.invited.clone());
        let mut extra = match invited.filter(|_| describes) {
            Some(invited) => self.answer_to(place, &invited),
            None => Extra::default(),
        };
        extra.tag = Some(name.to_owned());
        extra
    }

    /// The fork that this is, as long as it may say something.
    fn live_fork(&mut self, place: Place, fork: usize) -> Option<&mut Fork> {
        let mind = self.minds.get_mut(&place)?;
        let is_called = mind.state == State::Called;
        mind.forks.get_mut(fork).filter(|fork| is_called && !fork.gone)
    }

    /// A fork rings (180), plays something (183), or has failed (199).
    pub(super) fn rings(&mut self, place: Place, fork: usize, status: u16) {
        let now = self.cast.stage.now();
        if self.live_fork(place, fork).is_none() {
            return;
        }
        if self.waits_for_prack(place, status) {
            return self.soon(1_000, Deed::Ring(place, fork, status));
        }
        let known = self.knows(place);
        let is_reliable = self.minds.get(&place).is_some_and(|mind| mind.rings_reliably) && status != 199;
        let Some(own) = self.live_fork(place, fork) else {
            return;
        };
        let (name, describes) = (own.name, status == 183 && !own.described);
        own.gone = status == 199;
        own.described |= describes && is_reliable;
        let mut extra = self.of_fork(place, name, describes);
        extra.headers.extend(known);
        extra.reliable = is_reliable.then_some(0);
        let answered = self.cast.phones[place.0].respond(now, place.1, status, Some("INVITE"), &extra);
        answered.unwrap_or_default();
    }

    /// A fork whose description was acknowledged changes it by UPDATE.
    pub(super) fn moves(&mut self, place: Place, fork: usize) {
        let Some(name) = self
            .live_fork(place, fork)
            .filter(|fork| fork.described)
            .map(|fork| fork.name)
        else {
            return;
        };
        let way = ["sendonly", "sendrecv"][self.chance.below(2) as usize];
        let extra = Extra {
            tag: Some(name.to_owned()),
            ..self.describe(way)
        };
        self.seen.insert("a fork changes its media");
        self.update_as(place, extra);
    }

    /// A fork hangs up before anybody has answered: it must not (RFC 3261 §15), and some do.
    pub(super) fn leaves(&mut self, place: Place, fork: usize) {
        let now = self.cast.stage.now();
        let Some(name) = self.live_fork(place, fork).map(|fork| {
            fork.gone = true;
            fork.name
        }) else {
            return;
        };
        let extra = Extra {
            tag: Some(name.to_owned()),
            ..Extra::default()
        };
        // Nobody can before it has heard of the other side's tag, and that stands in the INVITE.
        self.cast.phones[place.0].request(now, place.1, "BYE", &extra);
    }

    /// A fork answers: if it is the first to do so, what its phone does from now on goes under its tag.
    pub(super) fn picks_up(&mut self, place: Place, fork: usize) {
        let now = self.cast.stage.now();
        let waits = self.waits_for_prack(place, 200);
        let Some(mind) = self.minds.get_mut(&place) else {
            return;
        };
        let Some(own) = mind.forks.get_mut(fork) else {
            return;
        };
        let name = own.name;
        match mind.state {
            State::Called if waits => {
                self.soon(1_000, Deed::PickUp(place, fork));
            }
            State::Called => {
                std::mem::swap(&mut mind.described, &mut own.described);
                mind.fork = Some(name);
                self.seen.insert("a fork wins");
                self.answer(place, 200);
            }
            // Too late: somebody else was first.
            State::Up if mind.fork != Some(name) => {
                self.seen.insert("a fork answers late");
                let extra = self.of_fork(place, name, true);
                let answered = self.cast.phones[place.0].respond(now, place.1, 200, Some("INVITE"), &extra);
                answered.unwrap_or_default();
            }
            State::Calling | State::Up | State::Over => {}
        }
    }

    /// Sends a request in a call, by whichever of the phones has it.
    pub(super) fn say(&mut self, place: Place, method: &str, extra: &Extra) {
        let now = self.cast.stage.now();
        let fork = self.minds.get(&place).and_then(|mind| mind.fork);
        let mut extra = extra.clone();
        if let (Some(fork), None) = (fork, &extra.tag) {
            extra.tag = Some(fork.to_owned());
        }
        self.cast.phones[place.0].request(now, place.1, method, &extra);
    }

    /// Whether a message is for the phone that has the call, or that rang first, and not for another fork.
    pub(super) fn is_own(&self, place: Place, msg: &Msg) -> bool {
        let side = if msg.status().is_some() { "From" } else { "To" };
        let fork = self.minds.get(&place).and_then(|mind| mind.fork).unwrap_or("");
        let own = &self.cast.phones[place.0].calls[place.1].local_tag;
        msg.tag(side).is_none_or(|tag| tag == format!("{own}{fork}"))
    }
}

//! What people make of what their phones hear.

use super::habits::Habits;
use super::{Crowd, Deed, Mind, Place, SPRAY, State};
use crate::support::cast::{Cast, Cue};
use crate::support::phone::{Extra, Lost};
use crate::support::sdp;
use crate::support::stage::Stage;
use crate::support::text::Msg;
use crate::support::world::World;

impl Crowd {
    pub(super) fn cue(&mut self, cue: Cue) {
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
        let now = self.cast.stage.now();
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
            ("BYE", _) if mind.leaves => {
                mind.state = State::Over;
                if status >= 300 && mind.forks.is_empty() && !mind.has_rival {
                    self.turned_away.push((now, status, place));
                }
            }
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
            "OPTIONS" => {
                let status = if mind.state == State::Up { 200 } else { 481 };
                answer(&mut self.cast, status, "OPTIONS", &none);
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

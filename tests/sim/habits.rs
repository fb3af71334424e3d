//! What some phones know and others don't: reliable ringing, UPDATE, session timers.

use std::time::Duration;

use umbra::base::chance::Chance;

use super::{Crowd, Deed, Place, State};
use crate::support::phone::Extra;
use crate::support::sdp;
use crate::support::stage::Stage;
use crate::support::text::{Msg, param};

/// What a phone knows in one call.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Reliable provisional responses (RFC 3262).
    reliable: bool,
    /// It acknowledges each of them, sooner or later.
    acknowledges: bool,
    /// UPDATE (RFC 3311).
    updates: bool,
    /// Session timers (RFC 4028).
    timer: bool,
    /// It refreshes when it said that it would.
    faithful: bool,
}

impl Habits {
    /// Somebody's.
    pub fn some(chance: &mut Chance) -> Self {
        Self {
            reliable: chance.below(2) == 0,
            acknowledges: chance.below(12) != 0,
            updates: chance.below(2) == 0,
            timer: chance.below(3) == 0,
            faithful: chance.below(2) == 0,
        }
    }

    /// Whether its calls last long enough for its timers.
    pub fn stays(self) -> bool {
        self.timer
    }
}

/// Whether a header lists an extension.
fn lists(msg: &Msg, header: &str, tag: &str) -> bool {
    let mut tags = msg.all(header).flat_map(|line| line.split(','));
    tags.any(|one| one.trim().eq_ignore_ascii_case(tag))
}

/// A message's session interval, and who refreshes it.
fn session(msg: &Msg) -> Option<(u32, &str)> {
    let value = msg.get("Session-Expires")?;
    let seconds = value.split(';').next()?.trim().parse().ok()?;
    Some((seconds, param(value, "refresher").unwrap_or("")))
}

impl Crowd {
    /// What an INVITE or an answer to one says of its phone.
    pub(super) fn knows(&self, place: Place) -> Vec<String> {
        let updates = self.minds.get(&place).is_some_and(|mind| mind.habits.updates);
        let allow = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE".to_owned();
        updates.then_some(allow).into_iter().collect()
    }

    /// What the caller's INVITE says of the phone.
    pub(super) fn introduction(&mut self, habits: Habits) -> Vec<String> {
        let mut headers = Vec::new();
        if habits.updates {
            headers.push("Allow: INVITE, ACK, BYE, CANCEL, UPDATE".to_owned());
        }
        match (habits.reliable, self.one_in(8)) {
            (true, true) => headers.push("Require: 100rel".to_owned()),
            (true, false) => headers.push("Supported: 100rel".to_owned()),
            (false, _) => {}
        }
        if habits.timer {
            headers.push("Supported: timer".to_owned());
            let refresher = ["", ";refresher=uac", ";refresher=uas"][self.chance.below(3) as usize];
            let interval = if self.one_in(20) {
                60
            } else {
                90 + self.chance.below(40)
            };
            if !self.one_in(4) {
                headers.push(format!("Session-Expires: {interval}{refresher}"));
            }
        }
        headers
    }

    /// Whether a callee's answer has to wait for a PRACK of his (RFC 3262 §3).
    pub(super) fn waits_for_prack(&self, place: Place, status: u16) -> bool {
        let Some(mind) = self.minds.get(&place) else {
            return false;
        };
        let rings = mind.rings_reliably && (101..200).contains(&status);
        let answers = mind.described && (200..300).contains(&status);
        (rings || answers) && self.cast.phones[place.0].calls[place.1].rel.waits()
    }

    /// Says what a callee's answer to an INVITE says besides its description.
    pub(super) fn dress(&mut self, place: Place, status: u16, extra: &mut Extra) {
        let known = self.knows(place);
        let Some(mind) = self.minds.get_mut(&place) else {
            return;
        };
        if (101..300).contains(&status) {
            extra.headers.extend(known);
        }
        if mind.described {
            // What was answered reliably isn't answered again.
            extra.codecs = None;
        }
        if (101..200).contains(&status) && mind.rings_reliably {
            extra.reliable = Some(0);
            mind.described |= extra.codecs.is_some();
        }
        if (200..300).contains(&status)
            && let Some((interval, refresher)) = mind.session_wish
        {
            extra.headers.push("Require: timer".to_owned());
            let wish = format!("Session-Expires: {interval};refresher={refresher}");
            extra.headers.push(wish);
            if refresher == "uas" && mind.habits.faithful {
                self.soon_refresh(place, interval);
            }
        }
    }

    /// Somebody's phone gets an INVITE: what it will make of the extensions that this names. Whether it refuses at
    /// once, since the session's interval is too short for it.
    pub(super) fn meets(&mut self, place: Place, invite: &Msg) -> bool {
        let asked = session(invite);
        if asked.is_some_and(|(interval, _)| interval < 200) && self.one_in(20) {
            let extra = Extra {
                headers: vec!["Min-SE: 200".to_owned()],
                ..Extra::default()
            };
            let now = self.cast.stage.now();
            let answered = self.cast.phones[place.0].respond(now, place.1, 422, Some("INVITE"), &extra);
            answered.unwrap_or_default();
            if let Some(mind) = self.minds.get_mut(&place) {
                mind.said = Some(422);
                mind.state = State::Over;
            }
            return true;
        }
        let least = invite.get("Min-SE").and_then(|min| min.trim().parse().ok());
        let drawn = 90 + self.chance.below(40);
        let interval = asked.map_or(drawn.max(least.unwrap_or(90)), |(interval, _)| interval);
        let refresher = match asked.map_or("", |(_, refresher)| refresher) {
            "uac" => "uac",
            "uas" => "uas",
            _ => ["uac", "uas"][self.chance.below(2) as usize],
        };
        if let Some(mind) = self.minds.get_mut(&place) {
            let can = lists(invite, "Supported", "100rel") && mind.habits.reliable;
            mind.rings_reliably = can || lists(invite, "Require", "100rel");
            let timer = mind.habits.timer && lists(invite, "Supported", "timer");
            mind.session_wish = timer.then_some((interval, refresher));
        }
        false
    }

    /// A caller hears a provisional response: a reliable one is acknowledged, at once or later or never.
    pub(super) fn hears_ringing(&mut self, place: Place, msg: &Msg) {
        if !lists(msg, "Require", "100rel") {
            return;
        }
        let describes = sdp::read(&msg.body).is_some();
        let Some(mind) = self.minds.get_mut(&place) else {
            return;
        };
        if !mind.habits.acknowledges && self.chance.below(2) == 0 {
            return;
        }
        let offered = mind.late && describes;
        let most = if self.one_in(3) { 4_000 } else { 1 };
        self.soon(most, Deed::Acknowledge(place, offered, describes));
    }

    /// The PRACK: with the answer to what the response offered; with a further offer now and then.
    pub(super) fn acknowledge(&mut self, place: Place, offered: bool, describes: bool) {
        let now = self.cast.stage.now();
        if !matches!(self.state(place), State::Calling | State::Up) {
            return;
        }
        let more = !offered && describes && self.state(place) == State::Calling && self.one_in(10);
        let extra = if offered {
            self.answer_to(place, &Msg::default())
        } else if more {
            self.describe("sendrecv")
        } else {
            Extra::default()
        };
        self.cast.phones[place.0].request(now, place.1, "PRACK", &extra);
        if let Some(mind) = self.minds.get_mut(&place) {
            mind.described |= describes;
            mind.asking |= more;
        }
        if describes {
            self.moves_early(place);
        }
    }

    /// Whoever knows UPDATE and has exchanged descriptions may change them before the answer.
    fn moves_early(&mut self, place: Place) {
        let updates = self.minds.get(&place).is_some_and(|mind| mind.habits.updates);
        if updates && self.one_in(2) {
            let way = ["sendonly", "sendrecv"][self.chance.below(2) as usize];
            self.soon(4_000, Deed::Update(place, Some(way)));
        }
    }

    /// Turns the conversation into a fax (RFC 6913).
    pub(super) fn fax(&mut self, place: Place) {
        let extra = Extra {
            codecs: Some(vec!["fax".to_owned()]),
            ..Extra::default()
        };
        self.ask_again(place, &extra);
    }

    /// Changes the session by UPDATE, or only refreshes the dialog.
    pub(super) fn update(&mut self, place: Place, way: Option<&str>, headers: Vec<String>) {
        let mut extra = way.map_or_else(Extra::default, |way| self.describe(way));
        extra.headers.extend(headers);
        self.update_as(place, extra);
    }

    /// The same, as one of several phones would.
    pub(super) fn update_as(&mut self, place: Place, mut extra: Extra) {
        extra.headers.extend(self.knows(place));
        let phone = &mut self.cast.phones[place.0];
        let owes = ["INVITE", "UPDATE", "PRACK"].map(|method| phone.owes(place.1, Some(method)));
        let waits = phone.calls[place.1].rel.waits();
        let Some(mind) = self.minds.get_mut(&place) else {
            return;
        };
        let [owes_invite, owes_update, owes_prack] = owes;
        let can = match mind.state {
            // A fork's own description is for the fork to know.
            State::Called => (mind.described || extra.tag.is_some()) && !waits,
            State::Calling => mind.described && !mind.cancelled && !owes_invite,
            State::Up => !mind.leaves && !owes_invite,
            State::Over => false,
        };
        if can && mind.habits.updates && !mind.asking && !owes_update && !owes_prack {
            mind.asking = true;
            self.say(place, "UPDATE", &extra);
        }
    }

    /// An UPDATE or a PRACK comes.
    pub(super) fn asked_in_passing(&mut self, place: Place, msg: &Msg) {
        let now = self.cast.stage.now();
        let offers = sdp::read(&msg.body).is_some();
        let refuses = self.one_in(16);
        let Some(mind) = self.minds.get_mut(&place) else {
            return;
        };
        let is_update = msg.method() == "UPDATE";
        let status = match mind.state {
            State::Over => 481,
            _ if is_update && offers && mind.asking => 491,
            _ if is_update && offers && refuses => 488,
            State::Calling | State::Called | State::Up => 200,
        };
        let mut extra = Extra::default();
        if status == 200 {
            if offers {
                extra = self.answer_to(place, msg);
            }
            if is_update {
                extra.headers = self.refreshed(place, msg);
            }
        }
        let phone = &mut self.cast.phones[place.0];
        let answered = phone.respond(now, place.1, status, Some(msg.method()), &extra);
        answered.unwrap_or_default();
        let described = self.minds.get(&place).is_some_and(|mind| mind.described);
        if !is_update && described && self.state(place) == State::Called {
            self.moves_early(place);
        }
    }

    /// What a 2xx to a refresh of Umbra's says of the session (RFC 4028 §9).
    pub(super) fn refreshed(&mut self, place: Place, msg: &Msg) -> Vec<String> {
        let Some(habits) = self.minds.get(&place).map(|mind| mind.habits) else {
            return Vec::new();
        };
        let Some((interval, refresher)) = session(msg).filter(|_| habits.timer) else {
            return Vec::new();
        };
        let refresher = if refresher == "uas" { "uas" } else { "uac" };
        if refresher == "uas" && habits.faithful {
            self.soon_refresh(place, interval);
        }
        vec![
            "Require: timer".to_owned(),
            format!("Session-Expires: {interval};refresher={refresher}"),
        ]
    }

    /// A 2xx to an INVITE or UPDATE of ours: whether the session is ours to refresh.
    pub(super) fn is_granted(&mut self, place: Place, msg: &Msg) {
        let faithful = self.minds.get(&place).is_some_and(|mind| mind.habits.faithful);
        if let Some((interval, "uac")) = session(msg).filter(|_| faithful) {
            self.soon_refresh(place, interval);
        }
    }

    fn soon_refresh(&mut self, place: Place, interval: u32) {
        let at = self.cast.stage.now() + Duration::from_secs(u64::from(interval / 2));
        self.plan(at, Deed::Refresh(place, interval));
    }

    /// Refreshes the session, by UPDATE or by an INVITE.
    pub(super) fn refresh(&mut self, place: Place, interval: u32) {
        if self.state(place) != State::Up {
            return;
        }
        let headers = vec![
            "Supported: timer".to_owned(),
            format!("Session-Expires: {interval};refresher=uac"),
        ];
        let updates = self.minds.get(&place).is_some_and(|mind| mind.habits.updates);
        if updates && self.one_in(2) {
            return self.update(place, None, headers);
        }
        let mut extra = self.describe("sendrecv");
        extra.headers = headers;
        self.ask_again(place, &extra);
    }
}

//! What people do, what the owner of the numbers does, and what befalls the machine and the network.

use std::time::Duration;

use umbra::call::config::Config;
use umbra::call::port::{AskId, Command, Records};
use umbra::call::trunk::Cidr;

use super::habits::Habits;
use super::{Crowd, Deed, FORSAKEN_AFTER, Mind, Place, Reload, SPRAY, State};
use crate::histories::ONWARD;
use crate::support::phone::Extra;
use crate::support::stage::{Doing, Packet, Stage};

impl Crowd {
    pub(super) fn act(&mut self, deed: Deed) {
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
            Deed::Press(place, key) => {
                let has_heard = self.cast.phones[place.0].calls[place.1].heard.is_some();
                if self.state(place) == State::Up && has_heard {
                    let packets = self.cast.phones[place.0].press(place.1, "te", key);
                    for (ms, packet) in (0..).step_by(20).zip(packets) {
                        self.plan(now + Duration::from_millis(ms), Deed::Send(Box::new(packet)));
                    }
                }
            }
            Deed::Send(packet) => self.cast.stage.send(*packet),
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
            Deed::Regroup(x, who, is_in) => drop(self.cast.stage.regroups(&x, &who, is_in)),
            Deed::Amend(x, amend) => drop(self.cast.stage.amends(&x, &amend)),
            Deed::Name(x, to) => drop(self.cast.stage.names(&x, to.as_deref())),
            Deed::Order(doing, x) => {
                drop(self.cast.stage.orders(doing, x.as_deref()));
                let undone = match doing {
                    Doing::Suspend => Doing::Resume,
                    Doing::Lock => Doing::Unlock,
                    Doing::Freeze(_) => Doing::Thaw,
                    Doing::Resume | Doing::Unlock | Doing::Thaw | Doing::Fax(_) | Doing::Callback(..) => {
                        return;
                    }
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
            Deed::Control(control) => self.cast.stage.control_recordings(control),
            Deed::Code(which) => self.code(which),
            Deed::Unkept(why, loss) => self.cast.stage.unkept(why, loss),
            Deed::DiskFree => self.cast.stage.records(Records::Kept),
            Deed::SetForward(s) => self.cast.stage.set_forward(Duration::from_secs(s.into())),
            Deed::Storm(ms) => self.cast.stage.storm(Duration::from_millis(ms.into())),
            Deed::Kill(kill) => self.cast.stage.kill(kill),
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

    pub(super) fn ask_again(&mut self, place: Place, extra: &Extra) {
        let owes = self.cast.phones[place.0].owes(place.1, Some("INVITE"));
        let mind = self.minds.get_mut(&place);
        if let Some(mind) = mind.filter(|m| m.state == State::Up && !m.asking && !m.leaves && !owes) {
            mind.asking = true;
            mind.empty = extra.codecs.is_none();
            self.say(place, "INVITE", extra);
        }
    }

    pub(super) fn answer(&mut self, place: Place, status: u16) {
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
                if let Some(mind) = self.minds.get_mut(&place) {
                    mind.has_rival = true;
                }
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
    pub(super) fn talk(&mut self, place: Place) {
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
        if self.one_in(2) {
            self.keys(place);
        }
    }

    /// Keys an extension, whether one is asked for or not.
    fn keys(&mut self, place: Place) {
        let e = ["0012", "0012", "0034", "0099"][self.chance.below(4) as usize];
        let mut at = self.cast.stage.now() + Duration::from_millis(self.chance.below(8_000).into());
        for key in e.bytes() {
            at += Duration::from_millis(200);
            self.plan(at, Deed::Press(place, key));
        }
    }

    /// One of those who talk keys the code.
    fn code(&mut self, which: u32) {
        let talks = |place: &&Place| self.state(**place) == State::Up;
        let talking: Vec<Place> = self.minds.keys().filter(talks).copied().collect();
        let Some(place) = talking.get(which as usize % talking.len().max(1)) else {
            return;
        };
        let now = self.cast.stage.now();
        for (after, key) in [(0, b'*'), (200, b'7')] {
            self.plan(now + Duration::from_millis(after), Deed::Press(*place, key));
        }
    }
}

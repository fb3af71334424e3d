//! Asking the gateways whether they are there (RFC 3261 §11). One shard does it for all; what it finds, all know by
//! [`Reach`](crate::call::reach::Reach).

use std::collections::VecDeque;
use std::time::Duration;

use arrayvec::ArrayVec;

use super::Switch;
use crate::base::chance::Chance;
use crate::base::limits::PROBE_ASKERS_MAX;
use crate::base::text;
use crate::base::time::{Instant, Now};
use crate::call::config::Config;
use crate::call::failover::Exit;
use crate::call::hands::{CallRef, Purpose, listener_towards, owner};
use crate::call::inspect;
use crate::call::leg;
use crate::call::port::{Answer, AskId, Output, Probed};
use crate::call::reach::Outcome;
use crate::call::targets::{self, Target};
use crate::sip::build::{self, Request};
use crate::sip::method::Method;
use crate::sip::path::Path;
use crate::sip::transaction::ClientId;

/// Within how many milliseconds the first probes of a new conf leave.
const SPREAD_MS: u32 = 1_000;

/// The gateways that this shard asks.
#[derive(Default)]
pub(in crate::call) struct Probes {
    spots: Vec<Spot>,
    /// When something is due.
    next: Option<Instant>,
    /// Tells a probe's transaction from older ones.
    serial: u32,
}

/// One gateway.
struct Spot {
    exit: Exit,
    trunk: Box<str>,
    gateway: Box<str>,
    /// When it is asked next.
    due: Option<Instant>,
    /// Which of its addresses is asked: after each that gave no good answer, the next one.
    turn: usize,
    open: Option<Open>,
    /// Who waits for the outcome.
    askers: ArrayVec<AskId, PROBE_ASKERS_MAX>,
}

/// A probe that has no outcome yet.
struct Open {
    serial: u32,
    client: ClientId,
    sent: Instant,
    until: Instant,
}

impl Probes {
    /// When something is due.
    pub(super) const fn timeout(&self) -> Option<Instant> {
        self.next
    }

    fn settle(&mut self) {
        let due = |spot: &Spot| match (&spot.open, spot.due) {
            (Some(open), _) => Some(open.until),
            (None, due) => due,
        };
        self.next = self.spots.iter().filter_map(due).min();
    }

    /// The gateway whose probe this is, by the owner word of its transaction.
    fn place(&self, spot: CallRef) -> Option<usize> {
        let index = spot.index as usize;
        let open = self.spots.get(index)?.open.as_ref()?;
        (open.serial == spot.generation).then_some(index)
    }
}

impl Switch {
    /// Asks the gateways of the conf from now on, and no others. A gateway that was there before keeps its turn.
    pub(super) fn plan_probes(&mut self, at: Instant) {
        if self.hands.shard.index != 0 {
            return;
        }
        let mut before = std::mem::take(&mut self.probes.spots);
        let mut spots = Vec::new();
        let config = self.config.clone();
        for (trunk, of) in config.trunks.iter().enumerate() {
            for (gateway, its) in of.gateways.iter().enumerate() {
                let name = its.name().into_boxed_str();
                let known = before
                    .iter()
                    .position(|spot| spot.trunk == of.name && spot.gateway == name);
                let mut spot = match known {
                    Some(place) => before.swap_remove(place),
                    None => Spot {
                        exit: Exit { trunk, gateway },
                        trunk: of.name.clone(),
                        gateway: name,
                        due: None,
                        turn: 0,
                        open: None,
                        askers: ArrayVec::new(),
                    },
                };
                spot.exit = Exit { trunk, gateway };
                let chance = &mut self.hands.chance;
                spot.due = of.probe.every.map(|every| match spot.due {
                    Some(due) => due.min(at + every),
                    None => at + Duration::from_millis(chance.below(SPREAD_MS).into()),
                });
                // The place of what is under way has changed with the others'.
                let open = spot.open.take();
                spots.push(spot);
                if let Some(open) = open {
                    self.hands.layer.end_client(open.client);
                    if let Some(spot) = spots.last_mut() {
                        spot.due = spot.due.map(|_| at);
                        answer(&mut self.hands.out, spot, None);
                    }
                }
            }
        }
        for mut gone in before {
            if let Some(open) = gone.open.take() {
                self.hands.layer.end_client(open.client);
            }
            answer(&mut self.hands.out, &mut gone, None);
        }
        self.probes.spots = spots;
        self.probes.settle();
    }

    /// Somebody wants a gateway asked now.
    pub(super) fn probe_wanted(&mut self, now: Now, ask: AskId, exit: Exit) {
        let place = self.probes.spots.iter().position(|spot| spot.exit == exit);
        let spot = place.and_then(|place| self.probes.spots.get_mut(place));
        let (Some(place), Some(Ok(()))) = (place, spot.map(|spot| spot.askers.try_push(ask))) else {
            let none = Output::Answer(ask, Answer::Probed(None));
            return self.hands.out.push_back(none);
        };
        // One that is under way is as good as another.
        if self
            .probes
            .spots
            .get(place)
            .is_some_and(|spot| spot.open.is_none())
        {
            self.probe(now, place);
        }
        self.probes.settle();
    }

    /// Sends what is due, and gives up what waited long enough.
    pub(super) fn probes_due(&mut self, now: Now) {
        if self.probes.next.is_none_or(|next| next > now.at) {
            return;
        }
        for place in 0..self.probes.spots.len() {
            let Some(spot) = self.probes.spots.get(place) else {
                continue;
            };
            match &spot.open {
                Some(open) if open.until <= now.at => {
                    self.hands.layer.end_client(open.client);
                    self.probe_over(now, place, Outcome::Timeout);
                }
                None if spot.due.is_some_and(|due| due <= now.at) => self.probe(now, place),
                Some(_) | None => {}
            }
        }
        self.probes.settle();
    }

    /// The answer to a probe.
    pub(super) fn probe_answered(&mut self, now: Now, spot: CallRef, status: u16) {
        if status < 200 {
            return;
        }
        if let Some(place) = self.probes.place(spot) {
            let open = self.probes.spots.get(place).and_then(|spot| spot.open.as_ref());
            let took = open.map_or_else(Default::default, |open| now.at - open.sent);
            self.probe_over(now, place, Outcome::Status(status, took));
            self.probes.settle();
        }
    }

    /// A probe got nowhere.
    pub(super) fn probe_lost(&mut self, now: Now, spot: CallRef, outcome: Outcome) {
        if let Some(place) = self.probes.place(spot) {
            self.probe_over(now, place, outcome);
            self.probes.settle();
        }
    }

    fn probe(&mut self, now: Now, place: usize) {
        let config = self.config.clone();
        let serial = self.probes.serial.wrapping_add(1) & 0xFF_FFFF;
        self.probes.serial = serial;
        let Some(spot) = self.probes.spots.get_mut(place) else {
            return;
        };
        let Some(trunk) = config.trunks.get(spot.exit.trunk) else {
            return;
        };
        spot.due = trunk
            .probe
            .every
            .map(|every| now.at + jittered(every, &mut self.hands.chance));
        let me = CallRef {
            index: place as u32,
            generation: serial,
        };
        let Some(target) = self.asked_at(&config, place) else {
            // Its name resolves to nothing that we reach.
            return self.probe_over(now, place, Outcome::Undelivered);
        };
        let client = self.send_probe(now, &config, place, target, me);
        let Some(spot) = self.probes.spots.get_mut(place) else {
            return;
        };
        match client {
            Some(client) => {
                spot.open = Some(Open {
                    serial,
                    client,
                    sent: now.at,
                    until: now.at + trunk.probe.timeout,
                });
            }
            // There is no room for it here, of which the gateway knows nothing.
            None => answer(&mut self.hands.out, spot, None),
        }
    }

    /// Where a gateway is asked now.
    fn asked_at(&self, config: &Config, place: usize) -> Option<Target> {
        let spot = self.probes.spots.get(place)?;
        let trunk = config.trunks.get(spot.exit.trunk)?;
        let gateway = trunk.gateways.get(spot.exit.gateway)?;
        let all = targets::all(gateway, &config.listeners, trunk.listener, &self.hands.resolved);
        let place = spot.turn.checked_rem(all.len())?;
        all.get(place).copied()
    }

    fn send_probe(
        &mut self,
        now: Now,
        config: &Config,
        place: usize,
        target: Target,
        me: CallRef,
    ) -> Option<ClientId> {
        let exit = self.probes.spots.get(place)?.exit;
        let trunk = config.trunks.get(exit.trunk)?;
        let gateway = trunk.gateways.get(exit.gateway)?;
        let us = listener_towards(config, trunk.listener, target.transport, target.address)?;
        let (transport, sent_by) = us.via();
        let hands = &mut self.hands;
        let (tag, call_id, branch) = (hands.token(), hands.call_id(), hands.branch());
        let host = [b"sip:".as_slice(), gateway.place.host_port().as_bytes()].concat();
        let uri = [&*host, leg::transport_param(target.transport)].concat();
        let own = [
            b"<sip:".as_slice(),
            text::of_address(sent_by).as_bytes(),
            b">;tag=",
            &tag,
        ]
        .concat();
        let bytes = build::request(&Request {
            method: Method::Options,
            uri: &uri,
            transport,
            sent_by,
            branch: &branch,
            from: &own,
            to: &[b"<".as_slice(), &*host, b">"].concat(),
            call_id: &call_id,
            cseq: 1,
            max_forwards: 70,
            routes: &[],
            contact: Some(&leg::contact(us)),
            headers: &[("Accept", inspect::ACCEPT)],
            body: None,
        });
        let path = trunk.way(Path {
            listener: us.id,
            transport: target.transport,
            remote: target.address,
            flow: None,
            party: None,
        });
        hands
            .layer
            .request(now.at, path, owner(me, Purpose::Gateway), bytes)
    }

    fn probe_over(&mut self, now: Now, place: usize, outcome: Outcome) {
        let Some(spot) = self.probes.spots.get_mut(place) else {
            return;
        };
        spot.open = None;
        if !outcome.is_good() {
            spot.turn = spot.turn.wrapping_add(1);
        }
        if let Some(trunk) = self.config.trunks.get(spot.exit.trunk) {
            self.hands.reach.probed(trunk, spot.exit.gateway, now, outcome);
        }
        answer(&mut self.hands.out, spot, Some(outcome));
    }
}

/// Tells those who wait for it what came of a gateway's probe.
fn answer(out: &mut VecDeque<Output>, spot: &mut Spot, outcome: Option<Outcome>) {
    let probed = outcome.map(|outcome| Probed {
        trunk: spot.trunk.clone(),
        gateway: spot.gateway.clone(),
        outcome,
    });
    for ask in spot.askers.drain(..) {
        out.push_back(Output::Answer(ask, Answer::Probed(probed.clone())));
    }
}

/// That long, give or take a tenth: servers that were started together shall not ask together.
fn jittered(every: Duration, chance: &mut Chance) -> Duration {
    let tenth = u32::try_from(every.as_millis() / 10).unwrap_or(u32::MAX);
    let spread = Duration::from_millis(chance.below(tenth.saturating_mul(2).saturating_add(1)).into());
    every - every / 10 + spread
}

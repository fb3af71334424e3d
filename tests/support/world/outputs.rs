//! What the switches and the relay of the simulated server want is carried out, as the shell does, and looked at.

use std::net::SocketAddr;
use std::time::Duration;

use umbra::call::cdr::Cdr;
use umbra::call::draft::{self, Draft};
use umbra::call::media::{self, Order, Report};
use umbra::call::port::{Answer, CallEntry, EventKind, Output};
use umbra::masking::reason::Reason;
use umbra::masking::request::Write;

use super::super::stage::Packet;
use super::super::text::{Msg, uri_in, user_of};
use super::super::witness;
use super::restart::{self, Strike};
use super::{Invited, What, World, must};

impl World {
    /// Carries out what a switch wants, as the shell does: what goes to the journal stands there before anything else
    /// happens.
    pub(super) fn drain_outputs(&mut self, shard: usize) {
        let Some(switch) = self.switches.get_mut(shard) else {
            return;
        };
        let (mut entries, mut outputs) = (Vec::new(), Vec::new());
        while let Some(output) = switch.poll() {
            if let Output::Journal(entry) = output {
                entries.push(entry);
            } else {
                outputs.push(output);
            }
        }
        if entries.is_empty() && outputs.is_empty() {
            return;
        }
        self.write_down(&entries);
        let strike = self.struck(&entries, &outputs);
        entries.into_iter().for_each(|entry| self.journalled(entry));
        match strike {
            None => self.carry_out(shard, outputs),
            Some(Strike { kill, sends }) => {
                let outputs = restart::before_death(outputs, sends);
                self.carry_out(shard, outputs);
                self.strikes(kill);
            }
        }
    }

    /// What the journal is told.
    pub(super) fn write_down(&mut self, entries: &[CallEntry]) {
        if self.is_kept {
            self.disk.write(self.now, entries);
        }
    }

    /// Takes note of an entry that is written.
    fn journalled(&mut self, entry: CallEntry) {
        self.serial += 1;
        match entry {
            CallEntry::Over(draft) => self.over.entry(draft.call_id).or_default().push(draft),
            CallEntry::Arrived(draft) => {
                let id = draft.call_id;
                // One that was asked for digits, or waited for a customer's server, says once more whom it has.
                let before = self
                    .arrivals
                    .get(&id)
                    .map(|draft| draft::record(id, &draft.bytes, None));
                let is_named =
                    before.is_some_and(|before| before.map_or(true, |before| before.callee.is_some()));
                if is_named {
                    self.faults.push(format!("{id} is twice in the journal"));
                }
                self.journal.insert(id, self.serial);
                self.arrivals.insert(id, draft);
            }
            CallEntry::Answered { .. }
            | CallEntry::Kept { .. }
            | CallEntry::Acked { .. }
            | CallEntry::Ended { .. } => {}
        }
    }

    fn carry_out(&mut self, shard: usize, outputs: Vec<Output>) {
        for output in outputs {
            self.serial += 1;
            match output {
                Output::Send { to, bytes } => {
                    if let Some(shown) = witness::unveiled(&bytes) {
                        self.faults
                            .push(format!("a capture server would be shown a number:\n{shown}"));
                    }
                    self.recorder.is_fax_offered |= bytes.windows(7).any(|part| part == b"m=image");
                    let msg = Msg::read(&bytes);
                    self.faults
                        .extend(msg.as_ref().and_then(|msg| self.sequence.leaves(msg)));
                    let refused_bye = |m: &&Msg| m.method() == "BYE" && m.status().is_some_and(|s| s >= 300);
                    if let Some(msg) = msg.as_ref().filter(refused_bye) {
                        let times = self.refused_byes.entry(msg.call_id().to_owned());
                        times.or_default().push(self.now);
                    }
                    if let Some(msg) = msg.filter(|m| m.method() == "INVITE" && m.status().is_none()) {
                        let serial = self.serial;
                        self.invites.entry(msg.call_id().to_owned()).or_insert(serial);
                        if msg.tag("To").is_none() {
                            let seen = |header| msg.get(header).map(|value| user_of(uri_in(value)));
                            let shown = ["From", "P-Asserted-Identity"].into_iter().filter_map(seen);
                            self.invited.push(Invited {
                                call_id: msg.call_id().to_owned(),
                                called: user_of(msg.uri()).to_owned(),
                                shown: shown.map(str::to_owned).collect(),
                            });
                        }
                    }
                    if to.transport.is_reliable() {
                        self.stream_out(to, bytes);
                        continue;
                    }
                    let (_, from) = self.setup.listeners()[usize::from(to.listener.0)];
                    let packet = Packet {
                        from,
                        to: to.remote,
                        bytes,
                    };
                    self.carry(packet, Some((shard, to)));
                }
                Output::Media(order) => {
                    self.faults.extend(self.recorder.tap(&order));
                    self.obey(shard, &order);
                }
                Output::Record(order) => self.faults.extend(self.recorder.obey(&order, &self.past.torn)),
                Output::Event(event) => {
                    let talk = self.talks.entry(event.call_id).or_default();
                    match event.what {
                        EventKind::Answered => {
                            talk.from = Some(self.now);
                            self.law.used(event.call_id);
                        }
                        EventKind::Ended { refusal, .. } => {
                            talk.until.get_or_insert(self.now);
                            match refusal {
                                Some(Reason::Cancelled) => self.law.used(event.call_id),
                                Some(_) | None => self.law.given_back(event.call_id),
                            }
                        }
                        EventKind::Ringing => self.law.used(event.call_id),
                        EventKind::Arrived => {
                            if let Some((dialled, caller, at)) = self.coming.take() {
                                self.law.took(dialled, caller, at, event.call_id);
                            }
                        }
                        EventKind::Dialled | EventKind::Digits(_) => {}
                    }
                    self.events.push(event);
                }
                Output::Cdr(cdr, line, _) => {
                    let id = cdr.call_id;
                    let is_itself = serde_json::from_slice::<Cdr>(&line.json).is_ok_and(|read| read == *cdr);
                    let arrival = self.arrivals.get(&id);
                    let arrival = arrival.and_then(|draft| draft::record(id, &draft.bytes, None).ok());
                    let over = self.over.remove(&id).unwrap_or_default();
                    let read = |draft: &Draft| draft::record(id, &draft.bytes, arrival.clone()).ok();
                    let over: Vec<Cdr> = over.iter().filter_map(read).collect();
                    if !was_known(&over, &cdr) {
                        self.faults
                            .push(format!("how {id} ended was not in the journal at once"));
                    }
                    if over.last() != Some(&*cdr) || !is_itself {
                        self.faults
                            .push(format!("{id} is not in the journal as it is recorded"));
                    }
                    let alone = self.past.deaths.is_empty();
                    self.faults
                        .extend(self.recorder.recorded(&cdr, &self.past.torn, alone));
                    self.record(Cdr::clone(&cdr));
                }
                Output::Answer(_, Answer::Calls(calls)) => {
                    self.audio_answers += 1;
                    let words = calls.into_iter().map(|call| call.media.audio.unwrap_or_default());
                    self.audio.extend(words);
                }
                Output::Answer(_, Answer::Recording(controlled)) => self.recorder.answered(controlled),
                Output::Told(id) => self.disk.told(self.now, id),
                // It is written.
                Output::Ask(id, inquiry) => self.inquired(shard, id, &inquiry),
                Output::Journal(_) | Output::Answer(..) | Output::Registration(_) | Output::Legs(_) => {}
                Output::CalleeUsed(callee) => {
                    let (id, only) = (callee.binding, Some(callee));
                    must(self.write(&Write::ClearCallee { id, only }));
                }
                Output::Note(note) => {
                    if note.is_alarm() && !self.setup.alarms.contains(&format!("{note:?}")) {
                        self.faults.push(format!("alarm: {note:?}"));
                    }
                    self.notes.push(note);
                }
            }
        }
    }

    pub(super) fn obey(&mut self, shard: usize, order: &Order) {
        let now = self.at().at;
        let port = order.port();
        if let Order::Open(..) | Order::Resume(..) | Order::Close(_) = order {
            self.tapes.tap(port, None);
        }
        match order {
            Order::Bind(_) | Order::Resume(..) if self.taken.contains(&port.number()) => {
                self.later(self.bind_delay, What::Report(shard, Report::NotBound(port)));
                return;
            }
            Order::Bind(_) => {
                self.bound.insert(port);
                self.later(self.bind_delay, What::Report(shard, Report::Bound(port)));
                return;
            }
            Order::Resume(_, spec) => {
                self.bound.insert(port);
                self.tapes.sends(port, spec.stream);
                self.relay.resume(now, port.0, spec);
                self.later(Duration::ZERO, What::Report(shard, Report::Bound(port)));
            }
            Order::Open(_, spec) => {
                self.tapes.sends(port, spec.stream);
                self.relay.open(now, port.0, spec);
            }
            Order::Change(_, spec) => {
                self.tapes.sends(port, spec.stream);
                self.relay.change(now, port.0, spec);
            }
            Order::Join(a, b) => self.relay.join(now, a.0, b.0),
            Order::Digit(_, digit) => {
                self.relay.digit(now, port.0, *digit);
            }
            Order::Play(_, play) => self.relay.play(now, port.0, play),
            Order::Hush(_) => self.relay.hush(port.0),
            Order::Listen(_, listening) => self.relay.listen(port.0, *listening),
            Order::Tap(_, tap) => {
                self.tapes.tap(port, *tap);
                self.relay.tap(port.0, *tap);
            }
            Order::Count(_) => {
                let counts = self.relay.counts(now, port.0).unwrap_or_default();
                self.later(Duration::ZERO, What::Report(shard, Report::Counts(port, counts)));
            }
            Order::Close(_) => match self.relay.close(now, port.0) {
                Some(counts) => {
                    self.later(Duration::ZERO, What::Report(shard, Report::Closed(port, counts)));
                }
                // Of a call that was to go on, on a port that somebody took: its end is answered all the same.
                None if self.taken.contains(&port.number()) => {
                    let counts = Default::default();
                    self.later(Duration::ZERO, What::Report(shard, Report::Closed(port, counts)));
                }
                None => self
                    .faults
                    .push(format!("closed a port without a flow: {port:?}")),
            },
        }
        if !self.bound.contains(&port) && !self.taken.contains(&port.number()) {
            self.faults
                .push(format!("a flow on a port that nobody bound: {port:?}"));
        }
        self.relay_sends();
    }

    /// The relay sends this from one of its ports.
    pub(super) fn media_leaves(&mut self, port: u32, to: SocketAddr, bytes: Vec<u8>) {
        self.tapes.leaves(port, &bytes);
        let from = self.setup.media_address(media::MediaPort(port));
        self.carry(Packet { from, to, bytes }, None);
    }

    pub(super) fn relay_sends(&mut self) {
        let mut said = Vec::new();
        self.relay.speak(self.at().at, |port, to, bytes| {
            said.push((port, to, bytes.to_vec()));
        });
        for (port, to, bytes) in said {
            self.media_leaves(port, to, bytes);
        }
        while let Some((port, to, bytes)) = self.relay.poll_out() {
            self.media_leaves(port, to, bytes);
        }
        self.faults.extend(self.tapes.look());
        while let Some((port, rollovers)) = self.relay.poll_rolled() {
            let port = media::MediaPort(port);
            let shard = self.lanes.shard_of(port);
            self.later(
                Duration::ZERO,
                What::Report(shard, Report::RolledOver(port, rollovers)),
            );
        }
        while let Some(port) = self.relay.poll_dead() {
            let port = media::MediaPort(port);
            let shard = self.lanes.shard_of(port);
            self.later(Duration::ZERO, What::Report(shard, Report::Dead(port)));
        }
    }
}

/// Whether the journal knew how a call ended before its media was counted: what it then said is what is recorded.
fn was_known(said: &[Cdr], cdr: &Cdr) -> bool {
    let end = |cdr: &Cdr| {
        (
            cdr.ended_at,
            cdr.released_by,
            cdr.end_cause.clone(),
            cdr.billable_s,
            cdr.sip_status,
        )
    };
    if cdr.announcement.is_some() {
        // Why is known at once, and how the caller left when it has.
        return said.first().is_some_and(|first| first.refusal == cdr.refusal);
    }
    // Who isn't gone on with has no flows that could be counted.
    let has_media = cdr.answered_at.is_some() && cdr.end_cause.as_deref() != Some("restart");
    said.first().is_some_and(|first| end(first) == end(cdr)) && (!has_media || said.len() > 1)
}

//! What isn't a message: time, transactions that end, reports of media, orders of the owner.

use super::Switch;
use crate::base::time::Now;
use crate::call::ask::{Advice, Silence};
use crate::call::hands::{CallRef, CallTimer, Hands, Purpose, owned};
use crate::call::kept::Mark;
use crate::call::leg::callee::Lost;
use crate::call::media::{MediaPort, Report};
use crate::call::overload::Door;
use crate::call::phase::{Call, End};
use crate::call::port::{Answer, Command, Found, LegName, Note, Output, Why};
use crate::call::reach::Outcome;
use crate::call::recording::{self, Controlled};
use crate::sip::path::Path;
use crate::sip::transaction::{self, Loss};

impl Switch {
    pub(super) fn tick(&mut self, now: Now) {
        self.hands.layer.tick(now.at);
        while self.late.front().is_some_and(|late| late.at <= now.at) {
            if let Some(late) = self.late.pop_front() {
                self.hands
                    .layer
                    .respond(now.at, late.server, late.status, late.bytes);
            }
        }
        self.listing_due(now);
        self.probes_due(now);
        self.registrar.tick(now, &mut self.hands);
        while let Some((me, timer)) = self.hands.timers.pop_due(now.at) {
            let Some(mut call) = self.take(me) else { continue };
            let hands = &mut self.hands;
            match timer {
                CallTimer::Ring => {
                    call.clock = None;
                    call.ringing_due(hands, now);
                }
                CallTimer::MaxDuration => {
                    call.clock = None;
                    call.end(hands, now, End::cut("max_duration"));
                }
                CallTimer::LastMinute => {
                    call.clock = None;
                    call.last_minute(hands, now);
                }
                CallTimer::Cue => call.cue_over(hands, now),
                CallTimer::Code(leg) => call.code_late(hands, now, leg),
                CallTimer::Exchange(leg) => call.offer_late(hands, now, leg),
                CallTimer::Wanted(leg) => call.offer_paused(hands, now, leg),
                CallTimer::Unacked(leg) => call.repeat_2xx(hands, now, leg),
                CallTimer::Unpracked => call.repeat_reliable(hands, now),
                CallTimer::Cancelled => call.give_up_callee(hands),
                CallTimer::Left(invite) => call.give_up_left(hands, invite),
                CallTimer::Session(leg) => call.session_due(hands, now, leg),
                CallTimer::Probe(leg) => call.probe_due(hands, now, leg),
                CallTimer::Parting => {
                    call.clock = None;
                    call.part(hands, now);
                }
                CallTimer::Asked => {
                    call.clock = None;
                    call.advised(hands, now, &self.table, Advice::None(Silence::Timeout));
                }
                CallTimer::Collect => {
                    call.clock = None;
                    call.collect_due(hands, now);
                    self.attend(now, &mut call);
                }
                CallTimer::Question => {
                    call.clock = None;
                    call.question_due(hands, now);
                }
                CallTimer::Counts => {
                    call.counts_timer = None;
                    call.finish_record(hands, now);
                }
            }
            self.put_back(call);
        }
    }

    pub(super) fn transaction_events(&mut self, now: Now) {
        while let Some(event) = self.hands.layer.poll_event() {
            let (owner, lost) = match event {
                transaction::Event::Timeout(id, owner) => (owner, Some((id, Lost::Timeout))),
                transaction::Event::Failed(id, owner) => (owner, Some((id, Lost::Transport))),
                transaction::Event::NoAck(_, owner) | transaction::Event::ServerGone(_, owner) => {
                    (owner, None)
                }
            };
            if lost.is_some() && self.registrar.lost(now, &mut self.hands, owner) {
                continue;
            }
            let (me, purpose) = owned(owner);
            if purpose == Purpose::Gateway {
                if let Some((_, lost)) = lost {
                    let outcome = match lost {
                        Lost::Timeout => Outcome::Timeout,
                        Lost::Transport => Outcome::Undelivered,
                    };
                    self.probe_lost(now, me, outcome);
                }
                continue;
            }
            self.refusal_heard(me);
            let Some(mut call) = self.take(me) else { continue };
            let hands = &mut self.hands;
            match (purpose, lost) {
                (Purpose::Invite(LegName::Callee), Some((id, lost))) => {
                    call.callee_lost(hands, now, id, lost)
                }
                (Purpose::Exchange(leg), Some((_, Lost::Timeout))) => call.offer_lost(hands, now, leg),
                (Purpose::Exchange(leg), Some((_, Lost::Transport))) => {
                    call.offer_undelivered(hands, now, leg)
                }
                (Purpose::Bye(leg), _) => call.leg_over(leg),
                (Purpose::Info(leg), _) => call.key_lost(leg),
                // No ACK for a failure: nothing is left to be done for it (RFC 3261 §17.2.1).
                (
                    Purpose::Invite(_)
                    | Purpose::Exchange(_)
                    | Purpose::Cancel
                    | Purpose::Prack
                    | Purpose::Probe(_)
                    | Purpose::Gateway
                    | Purpose::Other,
                    Some(_) | None,
                ) => {}
            }
            self.put_back(call);
        }
    }

    pub(super) fn send_failed(&mut self, now: Now, path: Path, why: Why) {
        match why {
            Why::Refused | Why::Unreachable => self.hands.note(Note::SendFailed),
            // Connections come and go: mostly nothing was to be sent.
            Why::Closed | Why::Crossed => {}
        }
        let loss = match why {
            Why::Refused | Why::Unreachable | Why::Closed => Loss::Final,
            Why::Crossed => Loss::Crossed,
        };
        self.hands.layer.failed(now.at, path, loss);
    }

    pub(super) fn media(&mut self, now: Now, report: Report) {
        match report {
            Report::Bound(port) => self.hands.ports.bound(port),
            Report::NotBound(port) => {
                self.hands.note(Note::PortTaken);
                self.hands.ports.not_bound(port);
                self.lost_port(now, port);
                self.hands.bind_ahead(now.at);
            }
            Report::NotNow(port) => {
                self.hands.note(Note::FilesDry);
                self.hands.ports.not_now(now.at, port);
                self.lost_port(now, port);
            }
            Report::Dead(port) => self.with_port(port, |call, hands| {
                call.end(hands, now, End::cut("media_timeout"));
            }),
            Report::Key(port, digit) => self.with_port(port, |call, hands| {
                call.keyed(hands, now, port, digit);
            }),
            Report::Heard(port, heard) => {
                let me = self.hands.by_port.get(&port).copied();
                let Some(mut call) = me.and_then(|me| self.take(me)) else {
                    return;
                };
                call.heard(now, port, heard);
                self.attend(now, &mut call);
                self.put_back(call);
            }
            Report::RolledOver(port, rollovers) => self.with_port(port, |call, _| {
                call.bridge.rolled_over(port, rollovers);
            }),
            Report::Counts(port, counts) => {
                // Nothing of a call changes by that but its counts.
                let call = self.hands.by_port.get(&port).and_then(|me| {
                    let place = self.calls.get_mut(me.index as usize)?;
                    place.as_deref_mut().filter(|call| call.me == *me)
                });
                if let Some(call) = call {
                    call.counted_so_far(&mut self.hands, port, counts);
                }
                self.counts_came(now);
            }
            Report::Closed(port, counts) => self.with_port(port, |call, hands| {
                call.counted(hands, now, port, counts);
            }),
        }
    }

    /// A call that was to go on has no media on this port, if it is a call's: the system has nothing for it.
    fn lost_port(&mut self, now: Now, port: MediaPort) {
        if self.hands.by_port.contains_key(&port) {
            self.hands.ports.lost(port);
            self.with_port(port, |call, hands| call.end(hands, now, End::cut("restart")));
        }
    }

    fn with_port(&mut self, port: MediaPort, act: impl FnOnce(&mut Call, &mut Hands)) {
        let Some(me) = self.hands.by_port.get(&port).copied() else {
            return;
        };
        let Some(mut call) = self.take(me) else { return };
        act(&mut call, &mut self.hands);
        self.put_back(call);
    }

    pub(super) fn recording_reported(&mut self, now: Now, report: &recording::Report) {
        // A recording has its call's id.
        let me = self.by_id.get(&report.recording()).copied();
        if let Some(mut call) = me.and_then(|me| self.take(me)) {
            call.recording_reported(now, report);
            self.put_back(call);
        }
    }

    pub(super) fn order(&mut self, now: Now, command: Command) {
        match command {
            Command::Calls(ask) => self.list(now, ask),
            Command::CallsOf(ask, party) => {
                let calls = self.calls.iter().flatten();
                let of = calls.filter(|call| call.record.has(&party));
                let answer = Answer::CallsOf(of.map(|call| call.record.call_id).collect());
                self.hands.out.push_back(Output::Answer(ask, answer));
            }
            Command::Hangup(ask, id) => {
                let found = match self.by_id.get(&id).copied().and_then(|me| self.take(me)) {
                    Some(mut call) => {
                        call.end(
                            &mut self.hands,
                            now,
                            End {
                                status: 480,
                                ..End::cut("hangup")
                            },
                        );
                        self.put_back(call);
                        Found::Here
                    }
                    None => Found::Nowhere,
                };
                self.hands
                    .out
                    .push_back(Output::Answer(ask, Answer::Hangup(found)));
            }
            Command::Trace(ask, id) => {
                let trace = self
                    .by_id
                    .get(&id)
                    .and_then(|me| self.calls.get(me.index as usize)?.as_ref());
                let trace = trace.map(|call| call.trace.clone());
                self.hands
                    .out
                    .push_back(Output::Answer(ask, Answer::Trace(trace)));
            }
            Command::Recording(ask, id, control) => {
                let controlled = match self.by_id.get(&id).copied().and_then(|me| self.take(me)) {
                    Some(mut call) => {
                        let controlled = call.control_recording(&mut self.hands, now, control);
                        self.put_back(call);
                        controlled
                    }
                    None => Controlled::Nowhere,
                };
                let answer = Answer::Recording(controlled);
                self.hands.out.push_back(Output::Answer(ask, answer));
            }
            Command::Probe(ask, exit) => self.probe_wanted(now, ask, exit),
            Command::Drain => {
                self.door = Door::Draining;
                self.registrar.drain(now, &mut self.hands);
                // Nobody's talk is cut by that.
                self.end_where(now, End::cut("drain"), |call| call.question.is_some());
            }
            Command::Admit => {
                self.door = Door::Open;
                self.registrar.admit(now, &mut self.hands);
            }
            Command::EndAll => {
                self.door = Door::Draining;
                self.registrar.drain(now, &mut self.hands);
                let end = End {
                    status: 480,
                    ..End::cut("shutdown")
                };
                self.end_where(now, end, |_| true);
            }
            Command::KeepAll => self.keep_all(),
            Command::CutNumber(x) => {
                self.end_where(now, End::frozen(), |call| call.goes_through(x));
            }
            Command::Records(records) => self.records = records,
        }
    }

    /// What was counted since a call was kept, and other things that settle nothing, are kept too.
    fn keep_all(&mut self) {
        let all: Vec<CallRef> = self.calls.iter().flatten().map(|call| call.me).collect();
        for me in all {
            if let Some(mut call) = self.take(me) {
                call.kept = Mark::default();
                self.put_back(call);
            }
        }
    }

    fn end_where(&mut self, now: Now, end: End, is_meant: impl Fn(&Call) -> bool) {
        let meant = self.calls.iter().flatten().filter(|call| is_meant(call));
        let meant: Vec<CallRef> = meant.map(|call| call.me).collect();
        for me in meant {
            if let Some(mut call) = self.take(me) {
                call.end(&mut self.hands, now, end);
                self.put_back(call);
            }
        }
    }
}

//! What one SIP shard's thread does: hands inputs to its switch, and carries out what the switch wants.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

use crate::api::native::Takeover;
use crate::api::switchboard::Switchboard;
use crate::base::id::Id;
use crate::base::time::{Instant, Now};
use crate::call::cdr::Line;
use crate::call::kept::{self, Fate};
use crate::call::media::{Lanes, Order};
use crate::call::port::{CallEntry, Input, Output};
use crate::call::switch::Switch;
use crate::masking::request::Write;
use crate::media::thread::MediaThread;
use crate::records::cdr_file;
use crate::sip::outline::Asked;
use crate::sip::path::Path;
use crate::store::journal::Journal;
use crate::store::writer::Store;
use crate::telemetry::call_line;
use crate::telemetry::health::{Health, State};
use crate::telemetry::traces::Traces;
use crate::transport::event_loop::{Handler, Outbox};

use super::joined::Joined;
use super::takeover::Kept;

/// Calls of the process before that are taken over before the others hear of it.
const TAKEN_AT_ONCE: usize = 256;

/// What one SIP shard's thread works with.
pub(super) struct Room {
    pub(super) switch: Switch,
    pub(super) index: usize,
    pub(super) shared: Arc<Joined>,
    pub(super) media: Arc<OnceLock<Vec<MediaThread>>>,
    /// Whose port is which.
    pub(super) lanes: Lanes,
    pub(super) journal: Journal,
    pub(super) records: Arc<cdr_file::Writer>,
    pub(super) traces: Arc<Traces>,
    pub(super) board: Arc<Switchboard>,
    pub(super) store: Store,
    /// The calls of the process before that live here, until they are taken over.
    pub(super) left: Vec<Kept>,
    /// Who waits for that.
    pub(super) told: Option<Sender<Takeover>>,
    /// What a batch of inputs leaves for the other threads, so that each is woken once for all of it.
    pub(super) entries: Vec<CallEntry>,
    pub(super) cdrs: Vec<Line>,
    pub(super) gone: Vec<Id>,
    pub(super) orders: Vec<Order>,
}

impl Handler for Room {
    fn begin(&mut self, now: Now, outbox: &mut Outbox) {
        let mut tally = Takeover::default();
        let mut left = std::mem::take(&mut self.left).into_iter();
        while left.len() > 0 {
            for call in left.by_ref().take(TAKEN_AT_ONCE) {
                let was_over = call.fate == Fate::Over;
                if self.take_over(now, call, outbox) {
                    tally.taken += 1;
                } else if !was_over {
                    tally.ended += 1;
                }
            }
            self.batch_over();
        }
        if let Some(told) = self.told.take() {
            // Nobody listens if the start has failed.
            let _ = told.send(tally);
        }
    }

    fn is_ready(&self) -> bool {
        !self.switch.awaits_ports()
    }

    fn take(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) -> Option<Instant> {
        let from = match &input {
            Input::Packet { path, .. } => Some(path.remote),
            Input::Failed(..)
            | Input::Timeout
            | Input::Media(_)
            | Input::Recorded(_)
            | Input::Advice(..)
            | Input::Order(_)
            | Input::Config(_)
            | Input::Resolved(_) => None,
        };
        self.switch.handle(now, input);
        self.obey(outbox, from);
        self.switch.timeout()
    }

    fn knows(&self, path: Path, request: Asked<'_, '_>) -> bool {
        self.switch.knows(path, request)
    }

    fn batch_over(&mut self) {
        // An arrival stands in the journal before its INVITE leaves, and before its record can end it there.
        self.journal.write_all(&self.entries);
        self.entries.clear();
        if !self.cdrs.is_empty() {
            self.records.write_all(self.cdrs.drain(..));
        }
        if !self.orders.is_empty() {
            self.give_orders();
        }
        self.shared.beats[self.index].fetch_add(1, Ordering::Relaxed);
        self.shared.live[self.index].store(self.switch.calls(), Ordering::Relaxed);
        if self.index == 0 {
            let held = self.switch.registrations();
            self.shared.registrations.store(held, Ordering::Relaxed);
        }
        self.shared.berths[self.index].store(self.switch.berths_ready(), Ordering::Relaxed);
    }

    fn batch_left(&mut self) {
        // If the process dies before this, the next one tells them again.
        self.journal.told(&self.gone);
        self.gone.clear();
    }
}

impl Room {
    /// Goes on with a call of the process before, or ends it. Whether it goes on.
    fn take_over(&mut self, now: Now, call: Kept, outbox: &mut Outbox) -> bool {
        let (id, record, first) = (call.record.call_id, call.record.clone(), self.entries.len());
        let left = kept::Left {
            record,
            state: &call.state,
            acked: call.acked,
            died: call.died,
            fate: call.fate,
        };
        if let Some(hep) = &*self.shared.hep.load() {
            let [caller, callee] = call.call_ids;
            hep.leg(id, caller, callee);
        }
        let outcome = self.switch.restore(now, left);
        self.obey(outbox, None);
        if let Err(unfit) = outcome {
            if let Some(hep) = &*self.shared.hep.load() {
                hep.over(id);
            }
            self.gone.push(id);
            if call.fate != Fate::Over {
                tracing::warn!(call = %id, "the call ends with the server before: {unfit}");
                self.orders.extend(call.ports.into_iter().map(Order::Close));
                self.cdrs.push(call.record.line());
            }
        }
        let news = self.entries.get(first..).unwrap_or_default();
        let goes_on = |entry: &CallEntry| matches!(entry, CallEntry::Kept { .. });
        news.iter().any(goes_on)
    }

    /// Carries out what the switch wants, in order; what goes to other threads is kept until the batch is
    /// over. `from` is who sent the message that made it want that.
    fn obey(&mut self, outbox: &mut Outbox, from: Option<SocketAddr>) {
        while let Some(output) = self.switch.poll() {
            match output {
                Output::Send { to, bytes } => outbox.send(to, bytes),
                Output::Media(order) => self.orders.push(order),
                // The conf never has recordings: nobody could take them yet.
                Output::Record(_) => {}
                Output::Event(event) => {
                    self.shared.metrics.event(&event);
                    tracing::debug!(call = %event.call_id, "{}", call_line::moment(event.what));
                }
                Output::Cdr(cdr, line, trace) => {
                    tracing::info!(call = %cdr.call_id, "{}", call_line::ended(&cdr));
                    self.shared.metrics.over(&cdr);
                    if let Some(hep) = &*self.shared.hep.load() {
                        hep.over(cdr.call_id);
                    }
                    self.traces.keep(cdr.call_id, trace);
                    self.cdrs.push(line);
                }
                Output::Journal(entry) => self.entries.push(entry),
                Output::Told(id) => self.gone.push(id),
                Output::Ask(id, inquiry) => self.shared.asker.ask(self.index, id, inquiry),
                Output::Answer(id, answer) => self.board.answer(id, answer),
                Output::Registration(registration) => self.shared.registered(&registration),
                Output::Note(note) => self.shared.note(note, from),
                Output::Legs(legs) => {
                    if let Some(hep) = &*self.shared.hep.load() {
                        hep.leg(legs.call_id, legs.caller, legs.callee);
                    }
                }
                Output::CalleeUsed(callee) => {
                    let (id, only) = (callee.binding, Some(callee));
                    let write = Write::ClearCallee { id, only };
                    // Nobody waits for the answer, and a full queue only means that it ends by its time.
                    let _ = self.store.submit(write, Box::new(drop));
                }
            }
        }
    }

    fn give_orders(&mut self) {
        let threads = self.media.get().map_or(&[][..], Vec::as_slice);
        give_orders(threads, &self.lanes, self.orders.drain(..), &self.shared.health);
    }
}

/// Gives each order to the media thread that has its port, and wakes them.
pub(super) fn give_orders(
    threads: &[MediaThread],
    lanes: &Lanes,
    orders: impl IntoIterator<Item = Order>,
    health: &Health,
) {
    let mut refused = false;
    for order in orders {
        let thread = threads.get(lanes.thread_of(order.port()));
        refused |= thread.is_some_and(|thread| thread.put(order).is_err());
    }
    threads.iter().for_each(MediaThread::wake);
    if refused {
        health.set(
            "media",
            State::Failing,
            "a media thread takes no orders: restart the server",
        );
    }
}

//! Which flows are joined, and whether both have fallen silent.

use super::{Due, Relay, SILENCE_CHECK_MIN, whole_step};
use crate::base::time::Instant;

impl Relay {
    /// Ends the join of this flow, on both sides.
    pub(super) fn part(&mut self, port: u32) {
        let Some(other) = self.flow(port).and_then(|flow| flow.joined) else {
            return;
        };
        for port in [port, other] {
            self.unwatch(port);
            if let Some(flow) = self.flow(port) {
                flow.joined = None;
            }
        }
    }

    pub(super) fn unwatch(&mut self, port: u32) {
        let Some(flow) = self.flow(port) else {
            return;
        };
        flow.said_dead = None;
        if let Some(timer) = flow.silence_timer.take() {
            self.timers.cancel(timer);
        }
    }

    /// (Re)starts the watch over this flow and the one that it is joined with, if both have a time-out.
    pub(super) fn watch(&mut self, port: u32) {
        let Some(other) = self.flow(port).and_then(|flow| flow.joined) else {
            return;
        };
        self.unwatch(port);
        self.unwatch(other);
        if let Some((_, silent_at)) = self.silence(port, other) {
            self.look_again(port, silent_at);
        }
    }

    /// When something last came on either flow, and when both will have been silent for their time-outs.
    fn silence(&mut self, a: u32, b: u32) -> Option<(Instant, Instant)> {
        let mut pair = (Instant::default(), Instant::default());
        for port in [a, b] {
            let flow = self.flow(port)?;
            let alive = flow.inbound.alive;
            pair = (pair.0.max(alive), pair.1.max(alive + flow.timeout?));
        }
        Some(pair)
    }

    pub(super) fn look(&mut self, now: Instant, port: u32) {
        let Some(flow) = self.flow(port) else {
            return;
        };
        flow.silence_timer = None;
        let (said, joined) = (flow.said_dead, flow.joined);
        let Some((alive, silent_at)) = joined.and_then(|other| self.silence(port, other)) else {
            return;
        };
        let still_dead = said.is_some_and(|said| alive <= said);
        let mut next = silent_at;
        if silent_at <= now {
            if !still_dead {
                self.dead.push_back(port);
            }
            next = now + silent_at.since(alive);
        }
        if let Some(flow) = self.flow(port) {
            flow.said_dead = match (silent_at <= now, still_dead) {
                (true, true) => said,
                (true, false) => Some(now),
                (false, _) => None,
            };
        }
        self.look_again(port, next.max(now + SILENCE_CHECK_MIN));
    }

    fn look_again(&mut self, port: u32, at: Instant) {
        let timer = self.timers.set(whole_step(at), Due::Silence(port));
        if let Some(flow) = self.flow(port) {
            flow.silence_timer = Some(timer);
        }
    }
}

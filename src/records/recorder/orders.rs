//! Orders on their way to the ear. Whoever gives one never waits for it, and none is lost that a recording in progress needs:
//! without its end it would be open for ever, and without its pause somebody would be recorded who mustn't.
//!
//! Recordings begin while there is room. So those that can end are bounded, and an end always finds room. Pauses aren't
//! bounded: beyond the limit they wait by recording, and what several of them say is added up so that more is left out than
//! was asked for, never less.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender};

use super::Ordered;
use crate::base::id::Id;
use crate::call::recording::{Fault, Order};

/// Where orders are given.
pub(super) struct Orders {
    sender: Sender<Ordered>,
    beyond: Arc<Beyond>,
    max: usize,
}

/// Where they are taken.
pub(super) struct Inbox {
    receiver: Receiver<Ordered>,
    beyond: Arc<Beyond>,
}

/// What waits beside the queue.
#[derive(Default)]
struct Beyond {
    /// Whether anything does: nobody looks otherwise.
    is_any: AtomicBool,
    turns: Mutex<HashMap<Id, Turns>>,
}

/// What the pauses of one recording come to.
#[derive(Default)]
struct Turns {
    /// The first pause.
    pause: Option<Ordered>,
    /// What ended the last one.
    resume: Option<Ordered>,
}

impl Turns {
    fn add(&mut self, ordered: Ordered) {
        match (matches!(ordered.order, Order::Pause(..)), &self.pause) {
            (true, None) => (self.pause, self.resume) = (Some(ordered), None),
            (true, Some(_)) => self.resume = None,
            (false, _) => self.resume = Some(ordered),
        }
    }

    fn into_orders(self) -> impl Iterator<Item = Ordered> {
        self.pause.into_iter().chain(self.resume)
    }
}

impl Beyond {
    fn turns(&self) -> MutexGuard<'_, HashMap<Id, Turns>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both ends; no recording begins while half of `max` orders wait.
pub(super) fn orders(max: usize) -> (Orders, Inbox) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let beyond = Arc::<Beyond>::default();
    let orders = Orders {
        sender,
        beyond: beyond.clone(),
        max,
    };
    (orders, Inbox { receiver, beyond })
}

impl Orders {
    /// Gives an order; gives it back, and says why, if it would begin a recording and there is no room, or if nobody takes any.
    pub(super) fn give(&self, ordered: Ordered) -> Result<(), (Order, Fault)> {
        let is_turn = match &ordered.order {
            Order::Begin(_) | Order::GoOn(_) => {
                if self.sender.len() >= self.max / 2 {
                    return Err((ordered.order, Fault::Overrun));
                }
                false
            }
            Order::Pause(..) | Order::Resume(..) => true,
            Order::End(..) | Order::EndLeft(..) | Order::Drop(_) => false,
        };
        if is_turn && (self.sender.len() >= self.max || self.beyond.is_any.load(Ordering::Acquire)) {
            let mut turns = self.beyond.turns();
            let id = ordered.order.recording();
            // Behind those of this recording that wait there already; else the queue has had room since.
            if turns.contains_key(&id) || self.sender.len() >= self.max {
                turns.entry(id).or_default().add(ordered);
                self.beyond.is_any.store(true, Ordering::Release);
                return Ok(());
            }
        }
        self.sender
            .send(ordered)
            .map_err(|refused| (refused.0.order, Fault::Recorder))
    }
}

impl Inbox {
    /// Takes all that wait, those of a recording in the order in which they were given.
    pub(super) fn take(&self, mut take: impl FnMut(Ordered)) {
        while let Ok(ordered) = self.receiver.try_recv() {
            match &ordered.order {
                // What comes behind its turns.
                Order::End(..) | Order::Drop(_) if self.beyond.is_any.load(Ordering::Acquire) => {
                    let turns = self.beyond.turns().remove(&ordered.order.recording());
                    turns.into_iter().flat_map(Turns::into_orders).for_each(&mut take);
                }
                Order::Begin(_)
                | Order::GoOn(_)
                | Order::Pause(..)
                | Order::Resume(..)
                | Order::End(..)
                | Order::EndLeft(..)
                | Order::Drop(_) => {}
            }
            take(ordered);
        }
        if self.beyond.is_any.load(Ordering::Acquire) {
            let mut turns = self.beyond.turns();
            let all = std::mem::take(&mut *turns);
            self.beyond.is_any.store(false, Ordering::Release);
            drop(turns);
            all.into_values().flat_map(Turns::into_orders).for_each(take);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Instant, Now};

    fn given(orders: &Orders, order: Order) {
        let (shard, now) = (0, Now::default());
        orders.give(Ordered { shard, now, order }).expect("it is taken");
    }

    fn taken(inbox: &Inbox) -> Vec<Order> {
        let mut all = Vec::new();
        inbox.take(|ordered| all.push(ordered.order));
        all
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn a_pause_and_an_end_find_room_however_many_orders_wait() {
        let (orders, inbox) = orders(8);
        let [one, two] = [1, 2].map(Id::from_bits);
        for ms in 0..20 {
            given(&orders, Order::End(Id::from_bits(100 + u128::from(ms)), at(ms)));
        }
        given(&orders, Order::Pause(one, at(20)));
        given(&orders, Order::Pause(two, at(21)));
        given(&orders, Order::End(two, at(22)));
        let all = taken(&inbox);
        let of = |id: Id| -> Vec<Order> {
            all.iter()
                .filter(|order| order.recording() == id)
                .cloned()
                .collect()
        };
        assert_eq!(all.len(), 23);
        assert_eq!(of(one), [Order::Pause(one, at(20))]);
        assert_eq!(of(two), [Order::Pause(two, at(21)), Order::End(two, at(22))]);
    }

    #[test]
    fn no_order_overtakes_one_of_its_recording() {
        let (orders, inbox) = orders(4);
        let id = Id::from_bits(1);
        given(&orders, Order::Resume(id, at(0)));
        for other in 0..4 {
            given(&orders, Order::End(Id::from_bits(100 + other), at(1)));
        }
        given(&orders, Order::Pause(id, at(2)));
        while inbox.receiver.try_recv().is_ok() {}
        // There is room again, but a pause waits.
        given(&orders, Order::Resume(id, at(3)));
        let mut all = taken(&inbox);
        all.retain(|order| order.recording() == id);
        assert_eq!(all, [Order::Pause(id, at(2)), Order::Resume(id, at(3))]);
        given(&orders, Order::Pause(id, at(4)));
        assert_eq!(taken(&inbox), [Order::Pause(id, at(4))]);
    }

    #[test]
    fn pauses_that_wait_together_leave_out_all_that_any_of_them_does() {
        let (orders, inbox) = orders(0);
        let [one, two, three] = [1, 2, 3].map(Id::from_bits);
        for pause in [0, 10, 20] {
            given(&orders, Order::Pause(one, at(pause)));
            given(&orders, Order::Resume(one, at(pause + 5)));
        }
        given(&orders, Order::Resume(two, at(1)));
        given(&orders, Order::Pause(two, at(2)));
        given(&orders, Order::Pause(three, at(1)));
        given(&orders, Order::Resume(three, at(2)));
        given(&orders, Order::Pause(three, at(3)));
        let mut all = taken(&inbox);
        all.sort_by_key(Order::recording);
        let expected = [
            Order::Pause(one, at(0)),
            Order::Resume(one, at(25)),
            Order::Pause(two, at(2)),
            Order::Pause(three, at(1)),
        ];
        assert_eq!(all, expected);
    }
}

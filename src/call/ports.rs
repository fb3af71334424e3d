//! One shard's ledger of RTP ports: which are bound and free, which rest, which are still to be bound.
//!
//! A call takes one port for each leg, on the leg's own interface, and both in the hands of one media thread:
//! what one flow receives the other sends, without a lock. It takes ports that are bound already, so no call
//! waits for `bind()`. A port that is given back rests; the one that has rested longest is used first.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::media::{InterfaceId, Lanes, MediaPort, Order};
use crate::base::limits::{BIND_PAUSE, PORT_REST, PORT_REST_MIN, PORTS_AHEAD};
use crate::base::time::Instant;

/// The ports of one shard, by interface and by the media thread that has them.
#[derive(Debug)]
pub struct Ports {
    lanes: Lanes,
    /// Which shard this is.
    index: usize,
    /// By interface, then by thread.
    pools: Vec<Vec<Pool>>,
    binding: HashSet<MediaPort>,
    in_use: usize,
    /// Ports in use that could not be bound again for the call that has them.
    lost: HashSet<MediaPort>,
    /// Until when no port is asked for, because the system had nothing left for the last one.
    paused: Instant,
    /// The thread that the next call is given to, if it has the ports.
    turn: usize,
}

/// The ports of one interface that one media thread has.
#[derive(Debug, Default)]
struct Pool {
    unbound: VecDeque<MediaPort>,
    binding: usize,
    ready: VecDeque<MediaPort>,
    resting: VecDeque<(Instant, MediaPort)>,
    /// How many are kept bound ahead of need.
    ahead: usize,
}

/// A port taken out of its pool, and since when it had rested.
#[derive(Clone, Copy)]
struct Taken {
    port: MediaPort,
    since: Option<Instant>,
}

impl Pool {
    /// A rested port, else a fresh one, else one that has rested for `rest` at least.
    fn take(&mut self, now: Instant, rest: Duration) -> Option<Taken> {
        let rested = |pool: &Self, rest| {
            let longest = pool.resting.front();
            longest.is_some_and(|(since, _)| now - *since >= rest)
        };
        if !rested(self, PORT_REST)
            && let Some(port) = self.ready.pop_front()
        {
            return Some(Taken { port, since: None });
        }
        if !rested(self, rest) {
            return None;
        }
        self.resting.pop_front().map(|(since, port)| Taken {
            port,
            since: Some(since),
        })
    }

    /// Puts a port back to where it was taken from just now.
    fn undo(&mut self, taken: Taken) {
        match taken.since {
            Some(since) => self.resting.push_front((since, taken.port)),
            None => self.ready.push_front(taken.port),
        }
    }
}

impl Ports {
    /// The slice of shard `index`.
    pub fn slice(lanes: Lanes, index: usize) -> Self {
        let mut pools = Vec::new();
        for interface in lanes.ranges().interfaces() {
            let mut of_threads: Vec<Pool> = (0..lanes.threads()).map(|_| Pool::default()).collect();
            for port in lanes.ranges().ports(interface) {
                if lanes.shard_of(port) == index {
                    of_threads[lanes.thread_of(port)].unbound.push_back(port);
                }
            }
            let used = of_threads.iter().filter(|pool| !pool.unbound.is_empty()).count();
            for pool in &mut of_threads {
                // A call takes two.
                pool.ahead = (2 * PORTS_AHEAD).div_ceil(used.max(1));
            }
            pools.push(of_threads);
        }
        Self {
            lanes,
            index,
            pools,
            binding: HashSet::new(),
            in_use: 0,
            lost: HashSet::new(),
            paused: Instant::default(),
            turn: 0,
        }
    }

    /// Orders that keep enough ports bound ahead of need.
    pub fn bind_ahead(&mut self, now: Instant) -> Vec<Order> {
        if now < self.paused {
            return Vec::new();
        }
        let mut orders = Vec::new();
        for pool in self.pools.iter_mut().flatten() {
            let wanted = pool.ahead.saturating_sub(pool.ready.len() + pool.binding);
            // Half at a time: one thread wake-up for many, instead of one for each call.
            if wanted < pool.ahead / 2 {
                continue;
            }
            for port in pool.unbound.drain(..wanted.min(pool.unbound.len())) {
                pool.binding += 1;
                self.binding.insert(port);
                orders.push(Order::Bind(port));
            }
        }
        orders
    }

    /// A port is bound.
    pub fn bound(&mut self, port: MediaPort) {
        if let Some(pool) = self.bound_of(port) {
            pool.ready.push_back(port);
        }
    }

    /// A port can't be bound: it is left out until the next start.
    pub fn not_bound(&mut self, port: MediaPort) {
        self.bound_of(port);
    }

    /// The system has nothing left for a port: it waits behind the others, and for a while none is asked for.
    pub fn not_now(&mut self, now: Instant, port: MediaPort) {
        if let Some(pool) = self.bound_of(port) {
            pool.unbound.push_back(port);
        }
        self.paused = now + BIND_PAUSE;
    }

    /// Takes a port on each of these interfaces for a call's two legs; `None` if no thread has both.
    pub fn take(&mut self, now: Instant, caller: InterfaceId, callee: InterfaceId) -> Option<[MediaPort; 2]> {
        // Rather a short rest than no call; but first every thread is asked for ports that have rested long.
        for rest in [PORT_REST, PORT_REST_MIN] {
            let threads = self.lanes.threads();
            for step in 0..threads {
                let lane = (self.turn + step) % threads;
                let Some(first) = self.pool(caller, lane).and_then(|pool| pool.take(now, rest)) else {
                    continue;
                };
                if let Some(second) = self.pool(callee, lane).and_then(|pool| pool.take(now, rest)) {
                    self.turn = lane + 1;
                    self.in_use += 2;
                    return Some([first.port, second.port]);
                }
                if let Some(pool) = self.pool(caller, lane) {
                    pool.undo(first);
                }
            }
        }
        None
    }

    /// Takes a port on an interface for the other leg of the call that has the port `beside`, which stays.
    pub fn take_beside(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        beside: MediaPort,
    ) -> Option<MediaPort> {
        let lane = self.lanes.thread_of(beside);
        let taken = self.pool(interface, lane)?.take(now, PORT_REST_MIN)?;
        self.in_use += 1;
        Some(taken.port)
    }

    /// Takes exactly these ports, at a start, for a call that goes on with them: the order that resumes its flows binds
    /// them. Whether all are the shard's and free; else none is taken.
    pub fn take_exact(&mut self, ports: &[MediaPort]) -> bool {
        for (taken, port) in ports.iter().enumerate() {
            if self.withdraw(*port) {
                continue;
            }
            for port in &ports[..taken] {
                if let Some(pool) = self.pool_of(*port) {
                    // Where it is bound already, binding it is answered at once.
                    pool.unbound.push_front(*port);
                }
            }
            return false;
        }
        self.in_use += ports.len();
        true
    }

    /// A port in use could not be bound again: when it is given back, it serves nobody until it has been.
    pub fn lost(&mut self, port: MediaPort) {
        self.lost.insert(port);
    }

    /// A call gives a port back.
    pub fn give_back(&mut self, now: Instant, port: MediaPort) {
        let is_lost = self.lost.remove(&port);
        let Some(pool) = self.pool_of(port) else { return };
        if is_lost {
            pool.unbound.push_back(port);
        } else {
            pool.resting.push_back((now, port));
        }
        self.in_use -= 1;
    }

    /// Calls that could begin at this instant with ports that never were used, whatever interfaces they take.
    pub fn ready(&self) -> usize {
        let ready = |lanes: &Vec<Pool>| lanes.iter().map(|pool| pool.ready.len() / 2).sum();
        self.pools.iter().map(ready).min().unwrap_or(0)
    }

    /// Whether ports that were asked for are not answered for yet.
    pub fn is_binding(&self) -> bool {
        !self.binding.is_empty()
    }

    /// Ports that calls hold.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    fn pool(&mut self, interface: InterfaceId, lane: usize) -> Option<&mut Pool> {
        self.pools.get_mut(usize::from(interface.0))?.get_mut(lane)
    }

    /// The pool that a port of this shard's belongs to.
    fn pool_of(&mut self, port: MediaPort) -> Option<&mut Pool> {
        let is_ours = self.lanes.ranges().holds(port) && self.lanes.shard_of(port) == self.index;
        let lane = self.lanes.thread_of(port);
        self.pool(port.interface(), lane).filter(|_| is_ours)
    }

    /// The pool of a port whose binding was asked for, and now is answered.
    fn bound_of(&mut self, port: MediaPort) -> Option<&mut Pool> {
        if !self.binding.remove(&port) {
            return None;
        }
        let pool = self.pool_of(port)?;
        pool.binding -= 1;
        Some(pool)
    }

    /// Takes this port out of its pool. Whether it was there and had no rest to finish.
    fn withdraw(&mut self, port: MediaPort) -> bool {
        // One that is being bound is bound for whoever has it: the answer then finds nobody who waits.
        if self.bound_of(port).is_some() {
            return true;
        }
        let Some(pool) = self.pool_of(port) else {
            return false;
        };
        [&mut pool.unbound, &mut pool.ready].into_iter().any(|ports| {
            let at = ports.iter().position(|free| *free == port);
            at.and_then(|at| ports.remove(at)).is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::media::Ranges;

    const ONE: InterfaceId = InterfaceId(0);
    const TWO: InterfaceId = InterfaceId(1);

    fn ranges(list: &[(u16, u16)]) -> Ranges {
        Ranges(list.iter().copied().collect())
    }

    fn slice(ranges: Ranges, index: usize, count: usize, threads: usize) -> Ports {
        Ports::slice(Lanes::new(ranges, count, threads), index)
    }

    fn ports(last: u16) -> Ports {
        slice(ranges(&[(20_000, last)]), 0, 1, 1)
    }

    fn bind_all(ports: &mut Ports) -> usize {
        let orders = ports.bind_ahead(Instant::default());
        for order in &orders {
            ports.bound(order.port());
        }
        orders.len()
    }

    fn give_back(ports: &mut Ports, now: Instant, pair: [MediaPort; 2]) {
        pair.into_iter().for_each(|port| ports.give_back(now, port));
    }

    #[test]
    fn only_even_ports_whose_neighbour_is_in_the_range_are_rtp_ports() {
        let odd = ranges(&[(20_001, 20_006)]);
        let numbers = |port: MediaPort| port.number();
        assert_eq!(odd.ports(ONE).map(numbers).collect::<Vec<_>>(), [20_002, 20_004]);
        let held = (0..u16::MAX).filter(|number| odd.holds(MediaPort::new(ONE, *number)));
        assert_eq!(held.collect::<Vec<_>>(), [20_002, 20_004]);
        assert!(!odd.holds(MediaPort::new(TWO, 20_002)));
    }

    #[test]
    fn ports_are_bound_ahead_of_need() {
        let mut ports = ports(29_999);
        let none = ports.take(Instant::default(), ONE, ONE);
        assert_eq!(none, None, "nothing is used before it is bound");
        assert_eq!(bind_all(&mut ports), 2 * PORTS_AHEAD);
        assert_eq!(ports.ready(), PORTS_AHEAD);
        let pair = ports.take(Instant::default(), ONE, ONE).expect("bound");
        assert_eq!(pair.map(MediaPort::number), [20_000, 20_002]);
    }

    #[test]
    fn a_port_given_back_rests_before_it_is_used_again() {
        let mut ports = ports(20_003);
        bind_all(&mut ports);
        let start = Instant::default();
        let pair = ports.take(start, ONE, ONE).expect("bound");
        assert_eq!(ports.take(start, ONE, ONE), None, "the slice is dry");
        give_back(&mut ports, start, pair);
        assert_eq!(ports.take(start + Duration::from_millis(1_999), ONE, ONE), None);
        assert_eq!(
            ports.take(start + PORT_REST_MIN, ONE, ONE),
            Some(pair),
            "rather a short rest than no call"
        );
        assert_eq!(ports.in_use(), 2);
    }

    #[test]
    fn fresh_ports_go_before_those_that_still_rest_and_rested_ones_before_fresh() {
        let mut ports = ports(20_007);
        bind_all(&mut ports);
        let start = Instant::default();
        let first = ports.take(start, ONE, ONE).expect("bound");
        give_back(&mut ports, start, first);
        let second = ports.take(start + PORT_REST_MIN, ONE, ONE).expect("bound");
        assert_ne!(first, second);
        assert_eq!(ports.take(start + PORT_REST, ONE, ONE), Some(first));
    }

    #[test]
    fn a_port_that_the_system_has_no_file_for_is_tried_again_after_a_pause() {
        let mut ports = ports(20_003);
        let start = Instant::default();
        let orders = ports.bind_ahead(start);
        ports.bound(orders[0].port());
        ports.not_now(start, orders[1].port());
        assert_eq!(ports.take(start, ONE, ONE), None);
        assert_eq!(ports.bind_ahead(start + BIND_PAUSE / 2), [], "not at once");
        let again = ports.bind_ahead(start + BIND_PAUSE);
        assert_eq!(again, orders[1..]);
        again.iter().for_each(|order| ports.bound(order.port()));
        assert!(ports.take(start + BIND_PAUSE, ONE, ONE).is_some());
    }

    #[test]
    fn shards_share_the_ranges_without_overlap_and_a_taken_port_is_left_out() {
        let mut seen = HashSet::new();
        for index in 0..3 {
            let two = ranges(&[(20_000, 20_099), (20_000, 20_099)]);
            for order in slice(two, index, 3, 2).bind_ahead(Instant::default()) {
                assert!(seen.insert(order.port()), "{order:?} twice");
            }
        }
        assert_eq!(seen.len(), 100);
        let mut ports = ports(20_003);
        let orders = ports.bind_ahead(Instant::default());
        ports.bound(orders[0].port());
        ports.not_bound(orders[1].port());
        assert_eq!(ports.take(Instant::default(), ONE, ONE), None);
    }

    #[test]
    fn both_legs_are_in_the_hands_of_one_thread_whatever_their_interfaces() {
        let both = ranges(&[(20_000, 20_047), (30_000, 30_023)]);
        for (shards, threads) in [(1, 1), (1, 3), (3, 2), (2, 2), (2, 3)] {
            let mut calls = 0;
            for shard in 0..shards {
                let lanes = Lanes::new(both.clone(), shards, threads);
                let mut ports = Ports::slice(lanes.clone(), shard);
                bind_all(&mut ports);
                let kinds = [(ONE, TWO), (TWO, ONE), (ONE, ONE)];
                for (caller, callee) in kinds.into_iter().cycle().take(12) {
                    let Some([a, b]) = ports.take(Instant::default(), caller, callee) else {
                        continue;
                    };
                    calls += 1;
                    assert_eq!((a.interface(), b.interface()), (caller, callee));
                    assert_eq!(lanes.thread_of(a), lanes.thread_of(b));
                    assert_eq!(lanes.shard_of(a), shard);
                }
            }
            assert!(calls >= 6, "{calls} calls of {shards} shards, {threads} threads");
        }
    }

    #[test]
    fn a_leg_that_moves_to_another_interface_stays_with_its_thread_and_nothing_is_lost() {
        let both = ranges(&[(20_000, 20_031), (20_000, 20_031)]);
        let lanes = Lanes::new(both, 1, 2);
        let mut ports = Ports::slice(lanes.clone(), 0);
        bind_all(&mut ports);
        let start = Instant::default();
        let [caller, callee] = ports.take(start, ONE, ONE).expect("bound");
        let moved = ports.take_beside(start, TWO, caller).expect("bound");
        assert_eq!(lanes.thread_of(moved), lanes.thread_of(caller));
        ports.give_back(start, callee);
        assert_eq!(ports.in_use(), 2);
        give_back(&mut ports, start, [caller, moved]);
        assert_eq!(ports.in_use(), 0);
        // All of them serve again after their rest.
        let later = start + PORT_REST;
        let calls = std::iter::from_fn(|| ports.take(later, ONE, TWO)).count();
        assert_eq!(calls, 16);
    }

    #[test]
    fn a_call_that_goes_on_has_its_ports_and_nobody_else_gets_them_until_they_have_rested() {
        let mut ports = ports(20_007);
        let start = Instant::default();
        let orders = ports.bind_ahead(start);
        let [being_bound, unready, bound] = [0, 1, 2].map(|at: usize| orders[at].port());
        ports.bound(bound);
        assert!(ports.take_exact(&[being_bound, bound]));
        assert_eq!(ports.in_use(), 2);
        // What was asked for before is answered after: it is the call's all the same.
        orders.iter().for_each(|order| ports.bound(order.port()));
        let pair = ports.take(start, ONE, ONE).expect("two are left");
        assert!(pair.contains(&unready) && !pair.contains(&bound) && !pair.contains(&being_bound));
        assert_eq!(ports.take(start, ONE, ONE), None);
        give_back(&mut ports, start, [being_bound, bound]);
        give_back(&mut ports, start, pair);
        assert_eq!(ports.in_use(), 0);
        let later = start + PORT_REST;
        let calls = std::iter::from_fn(|| ports.take(later, ONE, ONE)).count();
        assert_eq!((calls, ports.in_use()), (2, 4), "all of them serve again");
    }

    #[test]
    fn ports_that_are_taken_or_not_ours_are_refused_and_none_is_lost_by_it() {
        let mut ports = ports(20_007);
        let port = |number| MediaPort::new(ONE, number);
        assert!(ports.take_exact(&[port(20_000)]));
        for refused in [
            [port(20_002), port(20_000)],
            [port(20_002), port(20_002)],
            [port(20_002), port(20_003)],
            [port(20_002), port(20_008)],
            [port(20_002), MediaPort::new(TWO, 20_004)],
        ] {
            assert!(!ports.take_exact(&refused), "{refused:?}");
        }
        assert_eq!(ports.in_use(), 1);
        assert_eq!(bind_all(&mut ports), 3);
        let call = ports.take(Instant::default(), ONE, ONE).expect("bound");
        give_back(&mut ports, Instant::default(), call);
        ports.give_back(Instant::default(), port(20_000));
        assert_eq!(ports.in_use(), 0);
    }

    #[test]
    fn a_port_that_somebody_took_meanwhile_is_bound_anew_before_it_serves_again() {
        let mut ports = ports(20_003);
        let [lost, kept] = [20_000, 20_002].map(|number| MediaPort::new(ONE, number));
        assert!(ports.take_exact(&[lost, kept]));
        ports.lost(lost);
        give_back(&mut ports, Instant::default(), [lost, kept]);
        assert_eq!(ports.in_use(), 0);
        let later = Instant::default() + PORT_REST;
        assert_eq!(ports.take(later, ONE, ONE), None);
        assert_eq!(ports.bind_ahead(later), [Order::Bind(lost)]);
        ports.bound(lost);
        assert!(ports.take(later, ONE, ONE).is_some());
    }

    #[test]
    fn under_another_number_of_shards_or_threads_a_call_keeps_its_ports_and_they_are_dealt_out_once() {
        let both = ranges(&[(20_000, 20_047), (30_000, 30_047)]);
        let pair = [MediaPort::new(ONE, 20_004), MediaPort::new(TWO, 30_008)];
        for (shards, threads) in [(1, 1), (2, 3), (3, 2), (5, 4)] {
            for home in 0..shards {
                let mut lanes = Lanes::new(both.clone(), shards, threads);
                lanes.keep(home, &pair);
                assert_eq!(lanes.thread_of(pair[0]), lanes.thread_of(pair[1]));
                let mut seen = HashSet::new();
                for index in 0..shards {
                    let mut ports = Ports::slice(lanes.clone(), index);
                    assert_eq!(ports.take_exact(&pair), index == home);
                    for order in ports.bind_ahead(Instant::default()) {
                        assert!(seen.insert(order.port()), "{order:?} twice");
                    }
                    if index == home {
                        give_back(&mut ports, Instant::default(), pair);
                        assert_eq!(ports.in_use(), 0);
                        let [caller, callee] = ports
                            .take(Instant::default() + PORT_REST, ONE, TWO)
                            .expect("rested");
                        assert_eq!([caller, callee], pair);
                    }
                }
                assert_eq!(seen.len(), 46, "{shards} shards, {threads} threads");
            }
        }
    }
}

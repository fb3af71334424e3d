//! The words between the switch and the media threads, and the switch's ledger of ports.

use std::collections::{HashMap, VecDeque};

use crate::base::limits::{BIND_PAUSE, PORT_REST, PORT_REST_MIN, PORTS_AHEAD};
use crate::base::time::Instant;
use crate::rtp::flow::{Counts, FlowSpec};

/// An RTP port of ours (even; RTCP is the next one). Unique in the node, so it names the flow that uses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MediaPort(pub u16);

/// What the switch tells the media threads. Orders for one port are obeyed in the order they were given.
#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    /// Bind this port (and the next, for RTCP) ahead of need. Answered by [`Report::Bound`],
    /// [`Report::NotBound`] or [`Report::NotNow`].
    Bind(MediaPort),
    /// A flow begins on a bound port.
    Open(MediaPort, Box<FlowSpec>),
    /// New SDP on this leg.
    Change(MediaPort, Box<FlowSpec>),
    /// What comes in on one goes out on the other.
    Join(MediaPort, MediaPort),
    /// The flow ends; the port stays bound, and silent. Answered by [`Report::Closed`].
    Close(MediaPort),
}

impl Order {
    /// The port that the order is about (the first of two).
    pub fn port(&self) -> MediaPort {
        match self {
            Self::Bind(port)
            | Self::Open(port, _)
            | Self::Change(port, _)
            | Self::Join(port, _)
            | Self::Close(port) => *port,
        }
    }
}

/// What the media threads tell the switch.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Report {
    /// The port is bound and may be used.
    Bound(MediaPort),
    /// Somebody else has the port, or its RTCP neighbour.
    NotBound(MediaPort),
    /// The system has no file or memory left for the port: it can be tried again later.
    NotNow(MediaPort),
    /// Both flows of the pair that this one belongs to have been silent, RTCP too, for the time-out.
    /// Said once until packets come again.
    Dead(MediaPort),
    /// The flow has ended; these are its counts.
    Closed(MediaPort, Counts),
}

impl Report {
    /// The port that the report is about.
    pub fn port(&self) -> MediaPort {
        match self {
            Self::Bound(port)
            | Self::NotBound(port)
            | Self::NotNow(port)
            | Self::Dead(port)
            | Self::Closed(port, _) => *port,
        }
    }
}

/// UDP ports of one berth: RTP and RTCP for each of a call's two legs.
const BERTH_PORTS: u16 = 4;

/// The ports of one call: four in a row, so that both legs are in the hands of one media thread.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Berth(u16);

impl Berth {
    /// The caller leg's RTP port.
    pub const fn caller(self) -> MediaPort {
        MediaPort(self.0)
    }

    /// The callee leg's RTP port.
    pub const fn callee(self) -> MediaPort {
        MediaPort(self.0 + 2)
    }

    /// The berth that a port belongs to, in a range that starts at `first`.
    pub const fn of(port: MediaPort, first: u16) -> Self {
        Self(port.0 - (port.0 - first) % BERTH_PORTS)
    }
}

/// Which of `threads` media threads, or of as many shards' slices, has this port: whole berths in turn.
pub fn lane_of(port: MediaPort, first: u16, lanes: usize) -> usize {
    usize::from(port.0.saturating_sub(first) / BERTH_PORTS) % lanes.max(1)
}

/// One shard's ports: which are bound and free, which rest, which are still to be bound.
///
/// A call takes a berth that is bound already, so no call waits for `bind()`. A berth given back rests;
/// the one that has rested longest is used first.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    unbound: VecDeque<Berth>,
    /// Berths being bound, and how many of their two RTP ports are.
    binding: HashMap<Berth, u8>,
    ready: VecDeque<Berth>,
    resting: VecDeque<(Instant, Berth)>,
    in_use: usize,
    /// Until when no port is asked for, because the system had nothing left for the last one.
    paused: Instant,
}

impl Ports {
    /// The slice of shard `index` of `count`, out of the range `first..=last` (`first` even).
    pub fn slice(first: u16, last: u16, index: usize, count: usize) -> Self {
        let unbound = (first..=last)
            .step_by(usize::from(BERTH_PORTS))
            .filter(|base| last - base >= BERTH_PORTS - 1)
            .filter(|base| lane_of(MediaPort(*base), first, count) == index)
            .map(Berth)
            .collect();
        Self {
            first,
            unbound,
            binding: HashMap::new(),
            ready: VecDeque::new(),
            resting: VecDeque::new(),
            in_use: 0,
            paused: Instant::default(),
        }
    }

    /// Orders that keep enough berths bound ahead of need.
    pub fn bind_ahead(&mut self, now: Instant) -> Vec<Order> {
        if now < self.paused {
            return Vec::new();
        }
        let wanted = PORTS_AHEAD.saturating_sub(self.ready.len() + self.binding.len());
        // Half at a time: one thread wake-up for many, instead of one for each call.
        if wanted < PORTS_AHEAD / 2 {
            return Vec::new();
        }
        let berths: Vec<Berth> = self.unbound.drain(..wanted.min(self.unbound.len())).collect();
        berths
            .into_iter()
            .flat_map(|berth| {
                self.binding.insert(berth, 0);
                [Order::Bind(berth.caller()), Order::Bind(berth.callee())]
            })
            .collect()
    }

    /// A port is bound.
    pub fn bound(&mut self, port: MediaPort) {
        let berth = Berth::of(port, self.first);
        if let Some(ports) = self.binding.get_mut(&berth) {
            *ports += 1;
            if *ports == 2 {
                self.binding.remove(&berth);
                self.ready.push_back(berth);
            }
        }
    }

    /// A port can't be bound: its berth is left out until the next start.
    pub fn not_bound(&mut self, port: MediaPort) {
        self.binding.remove(&Berth::of(port, self.first));
    }

    /// The system has nothing left for a port: its berth waits behind the others, and for a while none is asked for.
    pub fn not_now(&mut self, now: Instant, port: MediaPort) {
        let berth = Berth::of(port, self.first);
        if self.binding.remove(&berth).is_some() {
            self.unbound.push_back(berth);
        }
        self.paused = now + BIND_PAUSE;
    }

    /// Takes a berth for a call; `None` if the slice has run dry.
    pub fn take(&mut self, now: Instant) -> Option<Berth> {
        let rested = |rest| move |(since, _): &&(Instant, Berth)| now - *since >= rest;
        let berth = if self.resting.front().filter(rested(PORT_REST)).is_some() {
            self.resting.pop_front().map(|(_, berth)| berth)
        } else {
            self.ready.pop_front().or_else(|| {
                self.resting.front().filter(rested(PORT_REST_MIN))?;
                self.resting.pop_front().map(|(_, berth)| berth)
            })
        };
        self.in_use += usize::from(berth.is_some());
        berth
    }

    /// A call gives its berth back.
    pub fn give_back(&mut self, now: Instant, berth: Berth) {
        self.in_use -= 1;
        self.resting.push_back((now, berth));
    }

    /// Berths that are bound and free.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Berths that calls hold.
    pub fn in_use(&self) -> usize {
        self.in_use
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn bind_all(ports: &mut Ports) -> usize {
        let orders = ports.bind_ahead(Instant::default());
        for order in &orders {
            ports.bound(order.port());
        }
        orders.len()
    }

    #[test]
    fn berths_are_bound_ahead_of_need_and_both_legs_share_one() {
        let mut ports = Ports::slice(20_000, 29_999, 0, 1);
        assert_eq!(
            ports.take(Instant::default()),
            None,
            "nothing is used before it is bound"
        );
        assert_eq!(bind_all(&mut ports), 2 * PORTS_AHEAD);
        let berth = ports.take(Instant::default()).expect("bound");
        assert_eq!(
            (berth.caller(), berth.callee()),
            (MediaPort(20_000), MediaPort(20_002))
        );
        assert_eq!(Berth::of(MediaPort(20_002), 20_000), berth);
    }

    #[test]
    fn a_berth_given_back_rests_before_it_is_used_again() {
        let mut ports = Ports::slice(20_000, 20_003, 0, 1);
        bind_all(&mut ports);
        let start = Instant::default();
        let berth = ports.take(start).expect("bound");
        assert_eq!(ports.take(start), None, "the slice is dry");
        ports.give_back(start, berth);
        assert_eq!(ports.take(start + Duration::from_millis(1_999)), None);
        assert_eq!(
            ports.take(start + PORT_REST_MIN),
            Some(berth),
            "rather a short rest than no call"
        );
        assert_eq!(ports.in_use(), 1);
    }

    #[test]
    fn fresh_berths_go_before_those_that_still_rest_and_rested_ones_before_fresh() {
        let mut ports = Ports::slice(20_000, 20_007, 0, 1);
        bind_all(&mut ports);
        let start = Instant::default();
        let first = ports.take(start).expect("bound");
        ports.give_back(start, first);
        let second = ports.take(start + PORT_REST_MIN).expect("bound");
        assert_ne!(first, second);
        assert_eq!(ports.take(start + PORT_REST), Some(first));
    }

    #[test]
    fn a_port_that_the_system_has_no_file_for_is_tried_again_after_a_pause() {
        let mut ports = Ports::slice(20_000, 20_003, 0, 1);
        let start = Instant::default();
        let orders = ports.bind_ahead(start);
        ports.bound(orders[0].port());
        ports.not_now(start, orders[1].port());
        assert_eq!(ports.take(start), None);
        assert_eq!(ports.bind_ahead(start + BIND_PAUSE / 2), [], "not at once");
        let again = ports.bind_ahead(start + BIND_PAUSE);
        assert_eq!(again, orders);
        again.iter().for_each(|order| ports.bound(order.port()));
        assert!(ports.take(start + BIND_PAUSE).is_some());
    }

    #[test]
    fn shards_share_the_range_without_overlap_and_a_taken_port_is_left_out() {
        let mut seen = std::collections::HashSet::new();
        for index in 0..3 {
            let mut ports = Ports::slice(20_000, 20_099, index, 3);
            for order in ports.bind_ahead(Instant::default()) {
                assert!(seen.insert(order.port()), "{order:?} twice");
            }
        }
        assert_eq!(seen.len(), 50);
        let mut ports = Ports::slice(20_000, 20_003, 0, 1);
        let orders = ports.bind_ahead(Instant::default());
        ports.bound(orders[0].port());
        ports.not_bound(orders[1].port());
        assert_eq!(ports.take(Instant::default()), None);
    }
}

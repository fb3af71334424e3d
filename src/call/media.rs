//! The words between the switch and the media threads.

use std::collections::HashMap;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::base::limits::MEDIA_INTERFACES_MAX;
use crate::rtp::clip::Play;
use crate::rtp::dtmf::Digit;
use crate::rtp::ear::{Heard, Listening};
use crate::rtp::flow::{Counts, FlowSpec};
use crate::rtp::relay::Keyed;
use crate::rtp::tap::Tap;

/// Which of our media addresses: its place in [`MediaConfig`](super::config::MediaConfig).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct InterfaceId(pub u8);

/// An RTP port of ours (even; RTCP is the next one) on one of our addresses: the address in the high half, the UDP
/// port in the low one. Unique in the node, so it names the flow that uses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MediaPort(pub u32);

impl MediaPort {
    /// A UDP port on an address of ours.
    pub const fn new(interface: InterfaceId, number: u16) -> Self {
        Self((interface.0 as u32) << 16 | number as u32)
    }

    /// Which address it is on.
    pub const fn interface(self) -> InterfaceId {
        InterfaceId((self.0 >> 16) as u8)
    }

    /// The UDP port.
    pub const fn number(self) -> u16 {
        self.0 as u16
    }
}

/// UDP ports of two pairs of RTP and RTCP, as a call within one interface takes them: what is dealt out to shards
/// and threads at once, so that the smallest range there is serves a call.
const DEAL: u16 = 4;

/// The ranges of ports of our interfaces, first and last, by [`InterfaceId`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ranges(pub ArrayVec<(u16, u16), MEDIA_INTERFACES_MAX>);

impl Ranges {
    /// Which of `lanes` media threads, or of as many shards' slices, this port is dealt to. The first ports of every
    /// interface have lane 0: so each lane has ports on each.
    fn lane_of(&self, port: MediaPort, lanes: usize) -> usize {
        let first = self
            .0
            .get(usize::from(port.interface().0))
            .map_or(0, |(first, _)| *first);
        usize::from(port.number().saturating_sub(first) / DEAL) % lanes.max(1)
    }

    /// The interfaces.
    pub fn interfaces(&self) -> impl Iterator<Item = InterfaceId> + use<> {
        (0..self.0.len()).map(|index| InterfaceId(index as u8))
    }

    /// The RTP ports of an interface whose RTCP neighbour lies in the range too, in order.
    pub fn ports(&self, interface: InterfaceId) -> impl Iterator<Item = MediaPort> + use<> {
        let range = self.0.get(usize::from(interface.0)).copied();
        range.into_iter().flat_map(move |(first, last)| {
            (first..last)
                .filter(|number| number.is_multiple_of(2))
                .map(move |number| MediaPort::new(interface, number))
        })
    }

    /// Whether it is an RTP port of ours.
    pub fn holds(&self, port: MediaPort) -> bool {
        let range = self.0.get(usize::from(port.interface().0));
        range.is_some_and(|(first, last)| {
            (*first..*last).contains(&port.number()) && port.number().is_multiple_of(2)
        })
    }

    /// How many UDP ports there are.
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .map(|(first, last)| usize::from(last.saturating_sub(*first)) + 1)
            .sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest and the highest port by name: what is between them covers all.
    pub fn span(&self) -> (MediaPort, MediaPort) {
        let named = |at: usize, number| MediaPort::new(InterfaceId(at as u8), number);
        let first = self.0.first().map_or(0, |(first, _)| *first);
        let last = self.0.last().map_or(0, |(_, last)| *last);
        (named(0, first), named(self.0.len().saturating_sub(1), last))
    }
}

/// Whose each port is: which shard's and which media thread's. The same for all who ask, and for as long as the
/// process runs.
#[derive(Clone, Debug)]
pub struct Lanes {
    ranges: Ranges,
    shards: usize,
    threads: usize,
    /// The ports of calls that a process before this one made under a conf that dealt them out otherwise, and who has
    /// them now. Empty where shards, threads and ranges are what they were.
    moved: Arc<HashMap<MediaPort, Lane>>,
}

/// Who has a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lane {
    shard: usize,
    thread: usize,
}

impl Lanes {
    /// All ports of these ranges, dealt out to so many shards and media threads.
    pub fn new(ranges: Ranges, shards: usize, threads: usize) -> Self {
        Self {
            ranges,
            shards: shards.max(1),
            threads: threads.max(1),
            moved: Arc::default(),
        }
    }

    /// A call that goes on here has these ports. Its shard gets them, whose slice they are in otherwise, and one
    /// thread all of them: what one flow receives the other sends. To be told before the lanes are given to anybody;
    /// what is told stays so, also when the call is over.
    pub fn keep(&mut self, shard: usize, ports: &[MediaPort]) {
        let Some(first) = ports.first() else { return };
        let lane = Lane {
            shard,
            thread: self.thread_of(*first),
        };
        for port in ports {
            let dealt = Lane {
                shard: self.shard_of(*port),
                thread: self.thread_of(*port),
            };
            if dealt != lane && self.ranges.holds(*port) {
                Arc::make_mut(&mut self.moved).insert(*port, lane);
            }
        }
    }

    /// The ranges that are dealt out.
    pub fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// How many media threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The shard whose calls use this port.
    pub fn shard_of(&self, port: MediaPort) -> usize {
        self.moved
            .get(&port)
            .map_or_else(|| self.ranges.lane_of(port, self.shards), |lane| lane.shard)
    }

    /// The media thread that has this port.
    pub fn thread_of(&self, port: MediaPort) -> usize {
        self.moved
            .get(&port)
            .map_or_else(|| self.ranges.lane_of(port, self.threads), |lane| lane.thread)
    }
}

/// What the switch tells the media threads. Orders for one port are obeyed in the order they were given.
#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    /// Bind this port (and the next, for RTCP) ahead of need. Answered by [`Report::Bound`],
    /// [`Report::NotBound`] or [`Report::NotNow`].
    Bind(MediaPort),
    /// A flow begins on a bound port.
    Open(MediaPort, Box<FlowSpec>),
    /// A flow of a call that a process before this one made goes on: the port is bound, and the flow begins under an
    /// SSRC of its own. Answered by [`Report::Bound`], or by [`Report::NotBound`] or [`Report::NotNow`] if somebody has
    /// taken the port meanwhile or the system has no file for it; then there is no flow.
    Resume(MediaPort, Box<FlowSpec>),
    /// New SDP on this leg.
    Change(MediaPort, Box<FlowSpec>),
    /// What comes in on one goes out on the other.
    Join(MediaPort, MediaPort),
    /// A key is to be heard by this leg's peer: an RFC 4733 event of ours, under the number and clock that the leg
    /// has agreed on. Without effect, and counted, where it has agreed on none or nothing may be sent to it.
    Digit(MediaPort, Digit),
    /// This leg's peer hears a sound of ours from now on, in place of the other leg's peer, on the stream that it hears
    /// already. Until [`Order::Hush`], or the sound's end.
    Play(MediaPort, Box<Play>),
    /// What is played on this leg ends, if anything is.
    Hush(MediaPort),
    /// Whether keys that this leg's peer presses are for us, from now on and until the flow ends: then each is told by
    /// [`Report::Heard`], whether it comes as an event or as tones. Or whether we tell them to the other one: then each
    /// event is told by [`Report::Key`].
    Listen(MediaPort, Listening),
    /// What this leg's peer hears is recorded there from now on, until the flow ends; `None`: no more. Without effect
    /// where no flow is.
    Tap(MediaPort, Option<Tap>),
    /// How is it going? Answered by [`Report::Counts`].
    Count(MediaPort),
    /// The flow ends; the port stays bound, and silent. Answered by [`Report::Closed`].
    Close(MediaPort),
}

impl Order {
    /// The port that the order is about (the first of two).
    pub fn port(&self) -> MediaPort {
        match self {
            Self::Bind(port)
            | Self::Open(port, _)
            | Self::Resume(port, _)
            | Self::Change(port, _)
            | Self::Join(port, _)
            | Self::Digit(port, _)
            | Self::Play(port, _)
            | Self::Hush(port)
            | Self::Listen(port, _)
            | Self::Tap(port, _)
            | Self::Count(port)
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
    /// The peer pressed a key, as an event that doesn't go on as packets: the other leg has agreed on none, or we listen
    /// between the two.
    Key(MediaPort, Digit),
    /// The peer keyed something to us, who listen.
    Heard(MediaPort, Heard),
    /// The sequence numbers of the peer on a secured flow have rolled over so often: whoever goes on with it after us
    /// has to know (RFC 3711 §3.3.1).
    RolledOver(MediaPort, u32),
    /// What was counted on a flow so far.
    Counts(MediaPort, Counts),
    /// The flow has ended; these are its counts.
    Closed(MediaPort, Counts),
}

impl Report {
    /// The report of a key that was heard on a port.
    pub const fn of_key(port: MediaPort, keyed: Keyed) -> Self {
        match keyed {
            Keyed::Across(digit) => Self::Key(port, digit),
            Keyed::ToUs(heard) => Self::Heard(port, heard),
        }
    }

    /// The port that the report is about.
    pub fn port(&self) -> MediaPort {
        match self {
            Self::Bound(port)
            | Self::NotBound(port)
            | Self::NotNow(port)
            | Self::Dead(port)
            | Self::Key(port, _)
            | Self::Heard(port, _)
            | Self::RolledOver(port, _)
            | Self::Counts(port, _)
            | Self::Closed(port, _) => *port,
        }
    }
}

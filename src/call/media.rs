//! The words between the switch and the media threads, and the switch's ledger of ports.

use crate::rtp::flow::{Counts, FlowSpec};

/// An RTP port of ours (even; RTCP is the next one). Unique in the node, so it names the flow that uses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MediaPort(pub u16);

/// What the switch tells the media threads. Orders for one port are obeyed in the order they were given.
#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    /// Bind this port (and the next, for RTCP) ahead of need. Answered by [`Report::Bound`] or [`Report::NotBound`].
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

/// What the media threads tell the switch.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Report {
    /// The port is bound and may be used.
    Bound(MediaPort),
    /// Somebody else has the port, or its RTCP neighbour.
    NotBound(MediaPort),
    /// Both flows of the pair that this one belongs to have been silent, RTCP too, for the time-out.
    /// Said once until packets come again.
    Dead(MediaPort),
    /// The flow has ended; these are its counts.
    Closed(MediaPort, Counts),
}

//! Where a play is given: the simulator, or loopback and the real binary. Phones and ladders don't know which.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use umbra::masking::inventory::Freeze;

/// One datagram.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Whose.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// Everything that a play may want different from the usual.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The second octet of every address (127.NET.…): one play never meets another.
    pub net: u8,
    /// SIP shards.
    pub shards: usize,
    /// RFC 3261's T1.
    pub t1: Duration,
    /// Gateways of the one trunk.
    pub gateways: usize,
    /// Ring time-out.
    pub ring: Duration,
    /// Media time-out.
    pub media_timeout: Duration,
    /// Calls that the media ports suffice for.
    pub berths: u16,
    /// Whether the trunk lets media addresses be latched on.
    pub latch: bool,
    /// Alarms that belong to the play.
    pub alarms: Vec<String>,
}

impl Setup {
    /// The usual.
    pub fn on(net: u8) -> Self {
        Self {
            net,
            shards: 1,
            t1: Duration::from_millis(500),
            gateways: 1,
            ring: Duration::from_secs(60),
            media_timeout: Duration::from_secs(60),
            berths: 100,
            latch: false,
            alarms: Vec::new(),
        }
    }

    /// 127.NET.c.d
    pub fn ip(&self, c: u8, d: u8) -> IpAddr {
        Ipv4Addr::new(127, self.net, c, d).into()
    }

    /// Where Umbra listens.
    pub fn umbra(&self) -> SocketAddr {
        SocketAddr::new(self.ip(0, 1), 5060)
    }

    /// Where the gateway number `n`, from 1, listens: called parties are behind it.
    pub fn gateway(&self, n: u8) -> SocketAddr {
        SocketAddr::new(self.ip(2, n), 5060)
    }

    /// The first RTP port of Umbra's.
    pub const FIRST_PORT: u16 = 20_000;

    /// The last one.
    pub fn last_port(&self) -> u16 {
        Self::FIRST_PORT + 4 * self.berths - 1
    }
}

/// A binding to make. Numbers as people write them.
#[derive(Clone, Debug, Default)]
pub struct Binding {
    /// The virtual number.
    pub x: String,
    /// One party.
    pub a: String,
    /// The other.
    pub b: String,
    /// `both`, `a-to-b`, `b-to-a`.
    pub direction: Option<String>,
    /// Its life.
    pub ttl: Option<Duration>,
    /// The longest call.
    pub max: Option<Duration>,
}

/// What the owner does to a number, or to the default account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    Lock,
    Unlock,
    Freeze(Freeze),
    Thaw,
    Suspend,
    Resume,
}

/// A stage. Times are since its beginning.
pub trait Stage {
    /// Whether its time is exact: only virtual time is.
    fn is_exact(&self) -> bool;
    /// What it was set up with.
    fn setup(&self) -> &Setup;
    /// The time.
    fn now(&self) -> Duration;
    /// Somebody listens there from now on.
    fn open(&mut self, at: SocketAddr);
    /// Nobody listens there any more.
    fn shut(&mut self, at: SocketAddr);
    /// A datagram leaves a phone.
    fn send(&mut self, packet: Packet);
    /// The next datagram that reaches a phone; `None`: the time is `until`.
    fn receive(&mut self, until: Duration) -> Option<Packet>;
    /// Makes a number ours.
    fn own(&mut self, x: &str);
    /// Makes a binding; the number is ours already.
    fn bind(&mut self, binding: &Binding);
    /// Ends every binding on a number.
    fn unbind(&mut self, x: &str);
    /// The owner does something to a number, or to the default account.
    fn order(&mut self, doing: Doing, x: Option<&str>);
    /// No new calls from now on.
    fn drain(&mut self);
    /// Every call's record so far, in order.
    fn cdrs(&mut self) -> Vec<Value>;
    /// What is still going on, in a sentence; `None`: nothing.
    fn busy(&mut self) -> Option<String>;
    /// What the stage itself saw go wrong.
    fn faults(&mut self) -> Vec<String>;
}

//! The switch's configuration, checked and ready to use.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::bans::Terms;
use super::emergency::Emergency;
use super::media::{InterfaceId, Lanes, MediaPort, Ranges};
use super::prompts::Prompts;
use super::recording::Recordings;
use super::routes::Route;
use super::trunk::Trunk;
use crate::base::dscp::Dscp;
use crate::base::limits;
use crate::base::number::NumberPlan;
use crate::rtp::signals::{Country, Signals};
use crate::sip::path::{ListenerId, Transport};

/// One of our listening addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Names it in a [`Path`](crate::sip::path::Path).
    pub id: ListenerId,
    /// How it listens.
    pub transport: Transport,
    /// Where it is bound.
    pub address: SocketAddr,
    /// What Via and Contact say (`host:port`); the bound address unless `advertise` says otherwise.
    pub advertised: SocketAddr,
}

impl Listener {
    /// Whether a message to `remote` by `transport` can leave here.
    pub fn reaches(&self, transport: Transport, remote: SocketAddr) -> bool {
        self.transport == transport && self.address.is_ipv4() == remote.is_ipv4()
    }

    /// Whether this is the listener's own address, as we or others know it.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        self.address == address || self.advertised == address
    }

    /// How requests of ours travel that leave here, and what their Via says of us.
    pub const fn via(&self) -> (Transport, SocketAddr) {
        (self.transport, self.advertised)
    }
}

/// What requests from an address of no trunk get.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strangers {
    /// Nothing.
    Silence,
    /// 403, statelessly.
    #[default]
    Forbid,
}

/// Everything the switch is told by the conf.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The node's name, in records.
    pub node: String,
    /// How the country dials.
    pub numbers: NumberPlan,
    /// Our listening addresses.
    pub listeners: Vec<Listener>,
    /// How urgent our SIP is.
    pub dscp: Dscp,
    /// What strangers get.
    pub strangers: Strangers,
    /// Who is kept out for what he sends.
    pub bans: Terms,
    /// The trunks.
    pub trunks: Vec<Trunk>,
    /// Emergency calls; `None`: their numbers are no numbers of ours, and refused like others.
    pub emergency: Option<Emergency>,
    /// Which of them calls leave by, where more is said of it than whose number they show.
    pub routes: Vec<Route>,
    /// RFC 3261's T1, T2 and T4.
    pub timers: SipTimers,
    /// How long a called party rings when its binding doesn't say.
    pub ring_timeout: Duration,
    /// Whether it is told which legs are one call ([`Output::Legs`](super::port::Output::Legs)).
    pub tells_legs: bool,
    /// Live calls of one shard; the next gets 503.
    pub calls_max: usize,
    /// Refused callers of one shard who hear a tone at once; the next gets its status alone.
    pub announcements_max: usize,
    /// Media.
    pub media: MediaConfig,
    /// What callers are told in words.
    pub prompts: Arc<Prompts>,
    /// How calls are recorded; `None`: none is.
    pub recordings: Option<Recordings>,
}

/// RFC 3261's base timers (§17.1.1.1, Table 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SipTimers {
    /// The round-trip estimate: 500 ms.
    pub t1: Duration,
    /// The longest retransmission interval: 4 s.
    pub t2: Duration,
    /// How long a message may stay in the network: 5 s.
    pub t4: Duration,
}

impl SipTimers {
    /// The RFC's own ratios around a T1.
    pub const fn around(t1: Duration) -> Self {
        Self {
            t1,
            t2: t1.saturating_mul(8),
            t4: t1.saturating_mul(10),
        }
    }
}

impl Default for SipTimers {
    fn default() -> Self {
        Self::around(Duration::from_millis(500))
    }
}

/// Where media runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaConfig {
    /// Our media addresses, one at least and [`limits::MEDIA_INTERFACES_MAX`] at the most: [`InterfaceId`] is the
    /// place here.
    pub interfaces: Vec<Interface>,
    /// How urgent our RTP and RTCP are.
    pub dscp: Dscp,
    /// Media threads.
    pub threads: usize,
    /// Both sides silent for this long ends the call.
    pub timeout: Duration,
    /// The tones that callers hear of us.
    pub signals: Arc<Signals>,
}

/// One of our media addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name, for trunks to say.
    pub name: Box<str>,
    /// The address that the ports are bound on.
    pub address: IpAddr,
    /// The address that SDP names; of the same family.
    pub advertised: IpAddr,
    /// First port of the range (RTP ports are even).
    pub port_first: u16,
    /// Last port of the range.
    pub port_last: u16,
}

impl Interface {
    /// How many ports its range has.
    pub fn ports(&self) -> usize {
        usize::from(self.port_last.saturating_sub(self.port_first)) + 1
    }
}

impl MediaConfig {
    /// How many ports all interfaces have together.
    pub fn ports(&self) -> usize {
        self.interfaces.iter().map(Interface::ports).sum()
    }

    /// The interface for a leg: the one that its trunk `wants`, else the first of the same address family as
    /// `peer`. `None` if there is none of that family.
    pub fn towards(&self, wants: Option<InterfaceId>, peer: IpAddr) -> Option<InterfaceId> {
        wants.or_else(|| {
            let index = self
                .interfaces
                .iter()
                .position(|interface| interface.advertised.is_ipv4() == peer.is_ipv4())?;
            u8::try_from(index).ok().map(InterfaceId)
        })
    }

    /// What SDP says of an interface: its address. `None` only for an id of another configuration.
    pub fn advertised(&self, interface: InterfaceId) -> Option<IpAddr> {
        let interface = self.interfaces.get(usize::from(interface.0))?;
        Some(interface.advertised)
    }

    /// Every address that SDP may name.
    pub fn all_advertised(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.interfaces.iter().map(|interface| interface.advertised)
    }

    /// The interfaces' ranges of ports.
    pub fn ranges(&self) -> Ranges {
        let ranges = self.interfaces.iter().map(|i| (i.port_first, i.port_last));
        Ranges(ranges.take(limits::MEDIA_INTERFACES_MAX).collect())
    }

    /// Whose each port is, among so many shards.
    pub fn lanes(&self, shards: usize) -> Lanes {
        Lanes::new(self.ranges(), shards, self.threads)
    }

    /// The port of this number on the interface that is bound to this address; `None` if the conf has no such RTP port
    /// (any more).
    pub fn port_at(&self, address: IpAddr, number: u16) -> Option<MediaPort> {
        let ranges = self.ranges();
        let of_address = |id: &InterfaceId| {
            let interface = self.interfaces.get(usize::from(id.0));
            interface.is_some_and(|interface| interface.address == address)
        };
        ranges
            .interfaces()
            .filter(of_address)
            .map(|interface| MediaPort::new(interface, number))
            .find(|port| ranges.holds(*port))
    }
}

impl Config {
    /// Goes on with what the trunks of the conf before have counted, wherever one has the same name.
    pub fn go_on_from(&mut self, before: &Self) {
        for trunk in &mut self.trunks {
            if let Some(before) = before.trunks.iter().find(|before| before.name == trunk.name) {
                trunk.limits.go_on_from(&before.limits);
                trunk.overload.go_on_from(&before.overload);
            }
        }
    }

    /// A configuration with every default, listening on one UDP address: the start for tests.
    pub fn on(address: SocketAddr) -> Self {
        Self {
            node: "umbra-1".into(),
            numbers: NumberPlan::default(),
            listeners: vec![Listener {
                id: ListenerId(0),
                transport: Transport::Udp,
                address,
                advertised: address,
            }],
            dscp: Dscp::SIGNALLING,
            strangers: Strangers::default(),
            bans: Terms::default(),
            trunks: Vec::new(),
            emergency: None,
            routes: Vec::new(),
            timers: SipTimers::default(),
            ring_timeout: limits::RING_TIMEOUT,
            tells_legs: false,
            calls_max: limits::CALLS_MAX,
            announcements_max: limits::ANNOUNCEMENTS,
            media: MediaConfig {
                interfaces: vec![Interface {
                    name: "default".into(),
                    address: address.ip(),
                    advertised: address.ip(),
                    port_first: 20_000,
                    port_last: 29_999,
                }],
                dscp: Dscp::VOICE,
                threads: 1,
                timeout: Duration::from_secs(60),
                signals: Signals::of(Country::default()),
            },
            prompts: Arc::default(),
            recordings: None,
        }
    }
}

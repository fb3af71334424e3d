//! Where a message came from or goes: a listener of ours, a transport, a remote address.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A SIP transport (RFC 3261 §18).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream under TLS.
    Tls,
}

impl Transport {
    /// The token that Via carries (`UDP`).
    pub const fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The name that a URI's `transport` parameter has (`udp`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// Whether the transport itself delivers or fails (RFC 3261 §17: no retransmission by us).
    pub const fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }

    /// The port that is meant where none is written.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// The index of one of our listening addresses in the conf.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId(pub u8);

/// A connection of a stream transport, as a hint: a dialog never depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowHint(pub u32);

/// A trunk that the other side of a TLS connection is, or has to be: a key made of its name, which means the same trunk
/// under a later conf.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Party(u64);

impl Party {
    /// The party of the trunk of this name (FNV-1a, 64 bits: who writes the conf has no wish to make two names meet).
    pub fn named(trunk: &str) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(trunk.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    }
}

/// The way of one message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Path {
    /// Our side.
    pub listener: ListenerId,
    /// How.
    pub transport: Transport,
    /// Their side.
    pub remote: SocketAddr,
    /// The connection it came by, if any.
    pub flow: Option<FlowHint>,
    /// Over TLS, whom the other side's certificate has to name, or has named already. `None`: the address decides.
    pub party: Option<Party>,
}

impl Path {
    /// A way over UDP.
    pub const fn udp(listener: ListenerId, remote: SocketAddr) -> Self {
        Self {
            listener,
            transport: Transport::Udp,
            remote,
            flow: None,
            party: None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.name(), self.remote)
    }
}

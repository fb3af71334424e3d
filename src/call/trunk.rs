//! Trunks: whose wire a message came by, how that side writes numbers, where calls through it go.

pub mod codecs;
pub mod limits;
pub mod nat;
pub mod number_format;
pub mod overload;
pub mod probe;
pub mod rank;
pub mod refusals;
pub mod register;
pub mod secret;
pub mod showing;
pub mod srtp;
pub mod tls;

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::tls::{of_path, towards};

use self::codecs::Codecs;
use self::limits::Limits;
use self::nat::SignallingNat;
use self::number_format::NumberFormat;
use self::overload::Overload;
use self::probe::Probe;
use self::rank::Rank;
use self::refusals::Refusals;
use self::register::Register;
use self::secret::{Credentials, Demand};
use self::showing::Showing;
use self::srtp::Srtp;
use self::tls::Tls;
use super::media::InterfaceId;
use super::targets::{Place, Resolved};
use crate::base::limits::{SESSION_EXPIRES_S, SESSION_MIN_S};
use crate::masking::cues::Hearers;
use crate::rtp::flow::{MediaNat, MediaSource};
use crate::sip::path::ListenerId;

/// A range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cidr {
    /// The network's address; bits beyond the prefix are zero.
    pub network: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Cidr {
    /// Whether `address` is in the range.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Where the dialled number is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DialledFrom {
    /// The Request-URI.
    Ruri,
    /// The To header.
    To,
    /// P-Called-Party-ID (RFC 7315).
    PCalledPartyId,
    /// The topmost Diversion (RFC 5806), for pilot numbers.
    Diversion,
}

/// Where the caller's number is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallerFrom {
    /// P-Asserted-Identity (RFC 3325).
    Pai,
    /// The From header.
    From,
}

/// Whether a trunk's gateways may send us calls, from whichever addresses they have at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GatewaysCall {
    /// Only from addresses that stand in `accept_from` themselves.
    #[default]
    No,
    /// They may: an address of theirs counts like one that is named, unless another trunk names it.
    Yes,
}

/// Which numbers a trunk lets us show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MayShow {
    /// Those that name the trunk as theirs.
    Own,
    /// Those that start so, in E.164 without sign.
    Prefix(Box<str>),
    /// All.
    Any,
}

/// Where calls through a trunk go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// Where it is, and how it is spoken to.
    pub place: Place,
    /// When its turn comes.
    pub rank: Rank,
}

impl Gateway {
    /// Its name, by which admins and metrics know it: the URI that the conf has.
    pub fn name(&self) -> String {
        self.place.to_string()
    }
}

/// How requests over [`UDP_REQUEST_BYTES_MAX`](crate::base::limits::UDP_REQUEST_BYTES_MAX) go to a gateway that is
/// spoken to over UDP (RFC 3261 §18.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LargeRequests {
    /// Over UDP as well: few carriers listen on TCP where they say UDP, and each call would wait for the refusal.
    #[default]
    Udp,
    /// Over TCP to the same address and port; where no connection comes about, over UDP.
    Tcp,
}

/// What becomes of RTCP on RTP's port (RFC 5761) on a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum RtcpMux {
    /// Taken where it is offered to us.
    #[default]
    Answer,
    /// Offered by us too.
    Offer,
    /// Neither offered nor taken: RTCP has a port of its own.
    Off,
}

/// Whether a trunk's legs have session timers (RFC 4028).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum SessionTimer {
    /// Where the other side asks for one.
    #[default]
    Accept,
    /// Asked for by us too.
    Offer,
    /// Never: we don't know the extension.
    Off,
}

/// How a trunk wants its legs' sessions timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionWish {
    /// Whether at all.
    pub timer: SessionTimer,
    /// The interval that we ask for, in seconds; [`SESSION_MIN_S`] at least, and never less than `min_s`.
    pub interval_s: u32,
    /// The shortest interval that we take, in seconds; [`SESSION_MIN_S`] at least.
    pub min_s: u32,
}

impl Default for SessionWish {
    fn default() -> Self {
        Self {
            timer: SessionTimer::default(),
            interval_s: SESSION_EXPIRES_S,
            min_s: SESSION_MIN_S,
        }
    }
}

/// Whether provisional answers on a trunk are acknowledged (RFC 3262). A caller that insists on it is always obeyed, and
/// whatever a called party sends so is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reliability {
    /// Where the other side can: called parties are told that we can, callers that can get their session
    /// description so.
    #[default]
    Offer,
    /// Never by our own will.
    Off,
    /// Called parties must, and callers that can get every one so.
    Require,
}

/// Whether a header by which others name a call, to bill or to find it, is written on a trunk's legs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Naming {
    /// It isn't. What comes in one ends here in any case.
    #[default]
    None,
    /// With a name of our own, made for the leg.
    Own,
}

/// How the peers of a trunk tell keys, and hear them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Dtmf {
    /// As telephone-events among the audio (RFC 4733), where a description agrees on them.
    #[default]
    Rtp,
    /// By INFO (RFC 6086 §2), whatever their descriptions say: the other side gets and gives events.
    Info,
}

/// What becomes of what a trunk's side lets be heard before it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EarlyMedia {
    /// The caller hears it.
    #[default]
    Relay,
    /// It stays where it is: the caller hears that it rings, by a tone of ours if it speaks a law that we encode.
    Ringback,
    /// It stays where it is: the caller hears that it rings, and plays its own tone.
    Block,
}

/// What is done with a redirection (3xx) by which a trunk's side answers an INVITE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Redirects {
    /// The call fails.
    #[default]
    Refuse,
    /// The numbers that it names are called, by our own gateways, as the first one was.
    Follow,
}

/// One trunk of the conf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trunk {
    /// Its name.
    pub name: Box<str>,
    /// Who may send us calls on it; the longest prefix over all trunks wins.
    pub accept_from: Vec<Cidr>,
    /// Whether its gateways may as well.
    pub gateways_call: GatewaysCall,
    /// What whoever sends us calls on it has to prove; `None`: the address is enough.
    pub auth: Option<Demand>,
    /// Where calls through it go; their ranks say in which order.
    pub gateways: Vec<Gateway>,
    /// How large requests go to those of them that are spoken to over UDP.
    pub large_requests: LargeRequests,
    /// What its gateways know us by; `None`: they ask for no password.
    pub credentials: Option<Credentials>,
    /// How we register with its first gateway; `None`: not at all.
    pub register: Option<Register>,
    /// The listener that it uses; `None` is the first that fits.
    pub listener: Option<ListenerId>,
    /// The media interface of its legs; `None` is the first that fits.
    pub media: Option<InterfaceId>,
    /// How long a gateway of its may say nothing at all to an INVITE before the next one is tried.
    pub first_response: Duration,
    /// How long one may say no more than 100 before the next one is tried; the called party's ring time-out if that is
    /// shorter.
    pub progress: Duration,
    /// How long a party that it leads to may ring at the most, whatever its binding says; `None`: as long as that does.
    pub ring_timeout: Option<Duration>,
    /// How often a connection of ours to a gateway of its is kept alive; `None`: never.
    pub keepalive: Option<Duration>,
    /// How its gateways are probed.
    pub probe: Probe,
    /// What becomes of a call that its side redirects.
    pub redirects: Redirects,
    /// Whether RTCP may share RTP's port.
    pub rtcp_mux: RtcpMux,
    /// Whether provisional answers on it are acknowledged.
    pub reliable_provisionals: Reliability,
    /// Where the dialled number is read, first found.
    pub dialled_from: Vec<DialledFrom>,
    /// Where the caller's number is read, first found.
    pub caller_id: Vec<CallerFrom>,
    /// How numbers are written on its wire, both ways.
    pub numbers: NumberFormat,
    /// How the number that we show is written.
    pub showing: Showing,
    /// Which numbers it lets us show.
    pub may_show: Vec<MayShow>,
    /// Whether numbers that name no trunk belong to it.
    pub default: bool,
    /// How media addresses are learnt.
    pub media_nat: MediaNat,
    /// Where else its media may come from.
    pub media_from: Vec<MediaSource>,
    /// Whether its audio is secured.
    pub srtp: Srtp,
    /// Whether what its side says of its own address is believed.
    pub signalling_nat: SignallingNat,
    /// How many calls it takes and gives.
    pub limits: Limits,
    /// How hard it presses, and how hard we may press on its gateways.
    pub overload: Overload,
    /// The codecs that its descriptions may name.
    pub codecs: Codecs,
    /// What becomes of media before the answer.
    pub early_media: EarlyMedia,
    /// What its callers hear when nobody is reached.
    pub refusals: Refusals,
    /// How keys are told.
    pub dtmf: Dtmf,
    /// How its legs' sessions are timed.
    pub session: SessionWish,
    /// P-Charging-Vector (RFC 7315 §4.6) in INVITEs of ours.
    pub charging_vector: Naming,
    /// Session-ID (RFC 7989) in every message of ours.
    pub session_id: Naming,
    /// What it wants of TLS.
    pub tls: Tls,
    /// Whether calls that come or leave by it are recorded, whatever their bindings say.
    pub record: bool,
    /// Who is told, before the two talk, that such a call is recorded, if it is.
    pub record_tone: Option<Hearers>,
}

impl Trunk {
    /// Whether it takes calls from this address. One that asks for names of certificates takes them from anywhere,
    /// unless it says more.
    pub fn takes_from(&self, resolved: &Resolved, source: IpAddr) -> bool {
        let says_more = !self.accept_from.is_empty() || self.gateways_call == GatewaysCall::Yes;
        let is_anywhere = !says_more && !self.tls.client_names.is_empty();
        is_anywhere
            || self.accept_from.iter().any(|network| network.holds(source))
            || self.gateways_may_call_from(resolved, source)
    }

    fn gateways_may_call_from(&self, resolved: &Resolved, source: IpAddr) -> bool {
        match self.gateways_call {
            GatewaysCall::No => false,
            GatewaysCall::Yes => self
                .gateways
                .iter()
                .any(|gateway| resolved.is_at(gateway, source)),
        }
    }
}

/// The trunk whose wire an address is: the longest prefix wins, then who names it, then who stands first. Those that ask
/// for names of certificates are no address's.
pub fn of_source<'t>(trunks: &'t [Trunk], resolved: &Resolved, source: IpAddr) -> Option<&'t Trunk> {
    let named = |trunk: &Trunk| {
        let prefixes = trunk.accept_from.iter().filter(|c| c.holds(source));
        prefixes.map(|c| (c.prefix, Claim::Named)).max()
    };
    let width = if source.is_ipv4() { 32 } else { 128 };
    let as_gateway = |trunk: &Trunk| {
        let may_call = trunk.gateways_may_call_from(resolved, source);
        may_call.then_some((width, Claim::Gateway))
    };
    let claims = trunks
        .iter()
        .filter(|trunk| trunk.tls.client_names.is_empty())
        .filter_map(|trunk| named(trunk).max(as_gateway(trunk)).map(|claim| (claim, trunk)));
    // Of equals the first.
    claims
        .rev()
        .max_by_key(|(claim, _)| *claim)
        .map(|(_, trunk)| trunk)
}

/// By what an address is a trunk's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Gateway,
    Named,
}

#[cfg(test)]
impl Trunk {
    /// A trunk that nobody calls on and that leads nowhere.
    pub(crate) fn bare(name: &str) -> Self {
        Self {
            name: name.into(),
            accept_from: Vec::new(),
            gateways_call: GatewaysCall::No,
            gateways: Vec::new(),
            auth: None,
            credentials: None,
            register: None,
            large_requests: LargeRequests::default(),
            listener: None,
            dialled_from: Vec::new(),
            caller_id: Vec::new(),
            numbers: NumberFormat::default(),
            showing: Showing::default(),
            may_show: Vec::new(),
            default: false,
            media_nat: MediaNat::default(),
            media: None,
            first_response: crate::base::limits::FIRST_RESPONSE,
            progress: crate::base::limits::PROGRESS_TIMEOUT,
            ring_timeout: None,
            keepalive: None,
            probe: Probe::default(),
            redirects: Redirects::default(),
            rtcp_mux: RtcpMux::default(),
            srtp: Srtp::default(),
            signalling_nat: SignallingNat::default(),
            limits: Limits::default(),
            overload: Overload::default(),
            codecs: Codecs::default(),
            early_media: EarlyMedia::default(),
            refusals: Refusals::default(),
            dtmf: Dtmf::default(),
            reliable_provisionals: Reliability::default(),
            charging_vector: Naming::default(),
            session_id: Naming::default(),
            media_from: Vec::new(),
            session: SessionWish::default(),
            tls: Tls::default(),
            record: false,
            record_tone: None,
        }
    }
}

//! The trunk files: `[[trunk]]` tables, and what must hold between them.

mod numbers;
mod srtp;

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeTable;

use super::ranks;
use super::reader::{Section, Source, one_of, word};
use super::{gateway, register, secrets, value};
use crate::base::limits::{
    FIRST_RESPONSE, FIRST_RESPONSE_MAX, KEEPALIVE_S, PROBE_DOWN_AFTER, PROBE_EVERY, PROBE_EVERY_MAX,
    PROBE_THRESHOLD_MAX, PROBE_TIMEOUT, PROBE_TIMEOUT_MAX, PROBE_UP_AFTER, PROGRESS_TIMEOUT,
    RING_TIMEOUT_MAX, RING_TIMEOUT_MIN, SESSION_EXPIRES_S, SESSION_MAX_S, SESSION_MIN_S, TRUNK_CALLS_MAX,
    TRUNK_CALLS_PER_S_MAX,
};
use crate::call::config::{Config, Listener, MediaConfig};
use crate::call::media::InterfaceId;
use crate::call::targets::{Place, Target};
use crate::call::trunk::codecs::Codecs;
use crate::call::trunk::limits::{Limit, Limits};
use crate::call::trunk::nat::SignallingNat;
use crate::call::trunk::overload::{Offer, Overload};
use crate::call::trunk::probe::Probe;
use crate::call::trunk::refusals::Refusals;
use crate::call::trunk::{
    CallerFrom, Cidr, DialledFrom, Dtmf, EarlyMedia, Gateway, GatewaysCall, LargeRequests, MayShow, Naming,
    Redirects, Reliability, RtcpMux, SessionTimer, SessionWish, Trunk,
};
use crate::masking::cues::Hearers;
use crate::rtp::flow::{MediaNat, MediaSource};
use crate::sdp::media::CodecName;
use crate::sip::path::Transport;

/// What `accept_from` says of the trunk's own gateways, wherever they are.
const GATEWAYS: &str = "gateways";
/// Trunks of one conf.
const TRUNKS_MAX: usize = 256;
/// Media networks of one trunk: what a flow's orders hold.
const MEDIA_FROM_MAX: usize = 4;

/// How long a trunk may let its parties ring, in seconds.
const RING_TIMEOUT_S: RangeInclusive<u32> =
    RING_TIMEOUT_MIN.as_secs() as u32..=RING_TIMEOUT_MAX.as_secs() as u32;

const KEYS: &[&str] = &[
    "name",
    "accept_from",
    "auth",
    "auth_realm",
    "auth_status",
    "auth_algorithms",
    "gateways",
    "credentials",
    "register",
    "large_requests",
    "listen",
    "media",
    "dialled_from",
    "caller_id",
    "strip",
    "rules_in",
    "number_format_in",
    "number_format",
    "prefix_out",
    "rules_out",
    "show_in",
    "from_user",
    "from_domain",
    "user_phone",
    "privacy",
    "may_show",
    "default",
    "signalling_nat",
    "media_nat",
    "media_from",
    "rtcp_mux",
    "srtp",
    "srtp_suites",
    "srtp_keys_in_clear",
    "calls_per_s",
    "calls_at_once",
    "overload_control",
    "codecs",
    "early_media",
    "refusals",
    "dtmf",
    "reliable_provisionals",
    "charging_vector",
    "record",
    "record_tone",
    "session_id",
    "first_response_timeout_s",
    "progress_timeout_s",
    "ring_timeout_s",
    "keepalive_s",
    "probe",
    "redirects",
    "session_timer",
    "session_expires_s",
    "min_se_s",
    "client_names",
    "tls_name",
    "tls_ca",
    "tls_cert",
    "tls_key",
];

const DIALLED_FROM: [(&str, DialledFrom); 4] = [
    ("ruri", DialledFrom::Ruri),
    ("to", DialledFrom::To),
    ("p-called-party-id", DialledFrom::PCalledPartyId),
    ("diversion", DialledFrom::Diversion),
];
const CALLER_ID: [(&str, CallerFrom); 2] = [("pai", CallerFrom::Pai), ("from", CallerFrom::From)];
const LARGE_REQUESTS: [(&str, LargeRequests); 2] = [("udp", LargeRequests::Udp), ("tcp", LargeRequests::Tcp)];
const REDIRECTS: [(&str, Redirects); 2] = [("refuse", Redirects::Refuse), ("follow", Redirects::Follow)];
const RTCP_MUX: [(&str, RtcpMux); 3] = [
    ("answer", RtcpMux::Answer),
    ("offer", RtcpMux::Offer),
    ("off", RtcpMux::Off),
];
const EARLY_MEDIA: [(&str, EarlyMedia); 3] = [
    ("relay", EarlyMedia::Relay),
    ("ringback", EarlyMedia::Ringback),
    ("block", EarlyMedia::Block),
];
const REFUSALS: [(&str, Refusals); 3] = [
    ("status", Refusals::Status),
    ("tone", Refusals::Tone),
    ("prompt", Refusals::Prompt),
];
const TOLD: [(&str, Option<Hearers>); 4] = [
    ("none", None),
    ("caller", Some(Hearers::Caller)),
    ("callee", Some(Hearers::Callee)),
    ("both", Some(Hearers::Both)),
];
const DTMF: [(&str, Dtmf); 2] = [("rtp", Dtmf::Rtp), ("info", Dtmf::Info)];
const SESSION_TIMER: [(&str, SessionTimer); 3] = [
    ("accept", SessionTimer::Accept),
    ("offer", SessionTimer::Offer),
    ("off", SessionTimer::Off),
];
const RELIABILITY: [(&str, Reliability); 3] = [
    ("offer", Reliability::Offer),
    ("off", Reliability::Off),
    ("require", Reliability::Require),
];
const NAMING: [(&str, Naming); 2] = [("none", Naming::None), ("own", Naming::Own)];
const SIGNALLING_NAT: [(&str, SignallingNat); 3] = [
    ("contact", SignallingNat::Contact),
    ("private", SignallingNat::Private),
    ("source", SignallingNat::Source),
];
const MEDIA_NAT: [(&str, MediaNat); 2] = [("strict", MediaNat::Strict), ("latch", MediaNat::Latch)];

/// Reads one trunk file, after those in `trunks` (which it is checked against).
pub(super) fn read(source: &Source<'_>, config: &mut Config) {
    let Config {
        listeners,
        media,
        trunks,
        ..
    } = config;
    let table = source.parse();
    let root = root(source, table.get_ref());
    for section in root.sections("trunk", KEYS) {
        if trunks.len() == TRUNKS_MAX {
            section.fault_at(&section.span, format!("too many trunks: at most {TRUNKS_MAX}"));
            return;
        }
        let trunk = one(&section, listeners, media, trunks);
        trunks.push(trunk);
    }
}

/// The top of a trunk file.
pub(super) fn root<'a>(source: &'a Source<'a>, table: &'a DeTable<'a>) -> Section<'a> {
    let name = "a trunk file (its keys stand under lines [[trunk]] and [[route]])";
    Section::new(source, table, 0..0, name, &["trunk", "route"])
}

/// Reads one trunk. One that has faults is returned as well, so that later ones are checked against it.
fn one(section: &Section<'_>, listeners: &[Listener], media: &MediaConfig, others: &[Trunk]) -> Trunk {
    let (accept_from, gateways_call) = accept_from(section, others);
    let trunk = Trunk {
        name: name(section, others),
        accept_from,
        gateways_call,
        auth: secrets::demand(section),
        gateways: gateways(section, listeners),
        credentials: secrets::credentials(section),
        register: None,
        large_requests: section.choice("large_requests", &LARGE_REQUESTS, LargeRequests::Udp),
        listener: None,
        media: interface(section, media),
        first_response: Duration::from_secs(
            section
                .integer(
                    "first_response_timeout_s",
                    1..=FIRST_RESPONSE_MAX.as_secs() as u32,
                    FIRST_RESPONSE.as_secs() as u32,
                )
                .into(),
        ),
        progress: progress(section),
        ring_timeout: from(section, "ring_timeout_s", RING_TIMEOUT_S),
        keepalive: from(section, "keepalive_s", KEEPALIVE_S),
        probe: probe(section),
        redirects: section.choice("redirects", &REDIRECTS, Redirects::Refuse),
        rtcp_mux: section.choice("rtcp_mux", &RTCP_MUX, RtcpMux::Answer),
        srtp: srtp::read(section),
        reliable_provisionals: section.choice("reliable_provisionals", &RELIABILITY, Reliability::Offer),
        dialled_from: words(section, "dialled_from", &DIALLED_FROM, DialledFrom::Ruri),
        caller_id: if section.texts("caller_id").is_none() {
            vec![CallerFrom::Pai, CallerFrom::From]
        } else {
            words(section, "caller_id", &CALLER_ID, CallerFrom::Pai)
        },
        numbers: numbers::read(section),
        showing: numbers::showing(section),
        may_show: section.list("may_show", vec![MayShow::Own], may_show),
        default: section.flag("default"),
        signalling_nat: section.choice("signalling_nat", &SIGNALLING_NAT, SignallingNat::Contact),
        media_nat: section.choice("media_nat", &MEDIA_NAT, MediaNat::Strict),
        media_from: media_from(section),
        limits: limits(section),
        overload: Overload::offering(if section.flag("overload_control") {
            Offer::Yes
        } else {
            Offer::No
        }),
        codecs: codecs(section),
        early_media: section.choice("early_media", &EARLY_MEDIA, EarlyMedia::Relay),
        refusals: section.choice("refusals", &REFUSALS, Refusals::Status),
        dtmf: section.choice("dtmf", &DTMF, Dtmf::Rtp),
        session: session(section),
        record: section.flag("record"),
        record_tone: section.choice("record_tone", &TOLD, None),
        charging_vector: section.choice("charging_vector", &NAMING, Naming::None),
        session_id: section.choice("session_id", &NAMING, Naming::None),
        tls: super::tls::of_trunk(section, listeners, others),
    };
    if trunk.accept_from.is_empty() && trunk.tls.client_names.is_empty() && trunk.gateways.is_empty() {
        section.fault(
            "name",
            "the trunk neither takes calls nor makes any: give it accept_from, client_names or gateways",
        );
    }
    if trunk.gateways_call == GatewaysCall::Yes && trunk.gateways.is_empty() {
        section.fault(
            "accept_from",
            "the trunk has no gateways that could call: name them, or take \"gateways\" away",
        );
    }
    if trunk.default && others.iter().any(|t| t.default) {
        section.fault("default", "another trunk is the default already: only one can be");
    }
    by_tcp_if_large(section, listeners, &trunk);
    srtp::keys_stay_secret(section, listeners, &trunk);
    let listener = listener(section, listeners, &trunk);
    let register = register::read(section, &trunk);
    doubts(section, listeners, media, &trunk);
    Trunk {
        listener,
        register,
        ..trunk
    }
}

/// What is allowed and probably not meant.
fn doubts(section: &Section<'_>, listeners: &[Listener], media: &MediaConfig, trunk: &Trunk) {
    let name = &trunk.name;
    if trunk.gateways.is_empty() {
        section.warn(
            "gateways",
            format!("trunk {name} has no gateways: no call leaves on it"),
        );
    }
    let by_address = trunk.tls.client_names.is_empty() && trunk.gateways_call == GatewaysCall::No;
    if trunk.accept_from.is_empty() && by_address {
        section.warn(
            "accept_from",
            format!("trunk {name} accepts from nowhere: no call comes in on it"),
        );
    }
    if trunk.auth.is_none() && trunk.accept_from.iter().any(|c| c.prefix == 0) && by_address {
        section.warn(
            "accept_from",
            format!("trunk {name} accepts calls from the whole world: name the carrier's networks, or ask for a password (auth)"),
        );
    }
    for (family, is_of) in [("IPv4", true), ("IPv6", false)] {
        let accepts = trunk.accept_from.iter().any(|c| c.network.is_ipv4() == is_of);
        if accepts && !listeners.iter().any(|l| l.address.is_ipv4() == is_of) {
            section.warn(
                "accept_from",
                format!(
                    "trunk {name} accepts from an {family} network, but we listen on no {family} address"
                ),
            );
        }
    }
    let peers = trunk.gateways.iter().filter_map(|gateway| match &gateway.place {
        Place::At(target) => Some(target.address.ip()),
        Place::Named(_) => None,
    });
    let mut peers = peers.chain(trunk.accept_from.iter().map(|c| c.network));
    if trunk.media.is_none()
        && let Some(peer) = peers.find(|peer| media.towards(None, *peer).is_none())
    {
        section.warn(
            "name",
            format!(
                "trunk {name} speaks with {peer}, but no media address is of that family: whoever there has no \
                 other is refused with 488"
            ),
        );
    }
    let prefixes = || {
        trunk.may_show.iter().filter_map(|shown| match shown {
            MayShow::Prefix(prefix) => Some(&**prefix),
            MayShow::Own | MayShow::Any => None,
        })
    };
    if trunk.may_show.is_empty() && !trunk.gateways.is_empty() {
        section.warn(
            "may_show",
            format!("trunk {name} lets us show no number: every call through it is refused"),
        );
    }
    if trunk.may_show.contains(&MayShow::Any) && trunk.may_show.len() > 1 {
        section.warn("may_show", "\"any\" holds the others: leave them out");
    }
    for prefix in prefixes() {
        if prefix.starts_with('0') {
            section.warn(
                "may_show",
                format!("no number in E.164 begins with 0: \"{prefix}\" lets us show nothing"),
            );
        } else if let Some(outer) = prefixes().find(|p| *p != prefix && prefix.starts_with(p)) {
            section.warn(
                "may_show",
                format!("\"{outer}\" holds \"{prefix}\" already: leave it out"),
            );
        }
    }
}

fn name(section: &Section<'_>, others: &[Trunk]) -> Box<str> {
    let Some(at) = section.text("name") else {
        section.fault_at(&section.span, "the trunk has no name: write name = \"carrier\"");
        return "".into();
    };
    if let Err(cure) = super::plain_name(at.value) {
        section.fault_at(&at.span, cure);
    } else if others.iter().any(|t| *t.name == *at.value) {
        section.fault_at(&at.span, "another trunk has this name: choose a new one");
    }
    at.value.into()
}

fn accept_from(section: &Section<'_>, others: &[Trunk]) -> (Vec<Cidr>, GatewaysCall) {
    let mut own: Vec<Cidr> = Vec::new();
    let mut gateways_call = GatewaysCall::No;
    // Certificates tell trunks apart too.
    let by_address = section.texts("client_names").is_none_or(|names| names.is_empty());
    section.list("accept_from", Vec::new(), |text| {
        if text == GATEWAYS {
            gateways_call = GatewaysCall::Yes;
            return Ok(());
        }
        let cidr = value::cidr(text)?;
        if own.contains(&cidr) {
            return Err("the network is named twice: take one away".into());
        }
        let is_taken = |t: &&Trunk| t.tls.client_names.is_empty() && t.accept_from.contains(&cidr);
        if let Some(other) = others.iter().filter(|_| by_address).find(is_taken) {
            return Err(format!(
                "trunk {} accepts the same network: make one prefix longer, so that it is clear whose call it is",
                other.name
            ));
        }
        own.push(cidr);
        Ok(())
    });
    (own, gateways_call)
}

fn gateways(section: &Section<'_>, listeners: &[Listener]) -> Vec<Gateway> {
    let mut own: Vec<Gateway> = Vec::new();
    let ranked = ranks::read(section, "gateways", "uri", |text| {
        let gateway = gateway::read(text)?;
        let address = match &gateway.place {
            Place::At(target) => Some(target.address),
            Place::Named(_) => None,
        };
        if let Some(l) = listeners.iter().find(|l| address.is_some_and(|a| l.is_at(a))) {
            let key = l.transport.name();
            return Err(format!(
                "this is our own address (sip.{key}): calls would come back to us"
            ));
        }
        if own.contains(&gateway) {
            return Err("the gateway is named twice: take one away".into());
        }
        own.push(gateway.clone());
        Ok(gateway)
    });
    let gateway = |(rank, gateway)| Gateway { rank, ..gateway };
    ranked.into_iter().map(gateway).collect()
}

/// How long a gateway may say no more than 100.
fn progress(section: &Section<'_>) -> Duration {
    let most = PROGRESS_TIMEOUT.as_secs() as u32;
    Duration::from_secs(section.integer("progress_timeout_s", 1..=most, most).into())
}

/// A time in seconds within a range; 0 is none.
fn from(section: &Section<'_>, key: &str, range: RangeInclusive<u32>) -> Option<Duration> {
    let seconds = section.integer(key, 0..=*range.end(), 0);
    if seconds > 0 && !range.contains(&seconds) {
        section.fault(key, format!("write {} to {}, or 0", range.start(), range.end()));
    }
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// How gateways are probed.
fn probe(section: &Section<'_>) -> Probe {
    let own = section.section(
        "probe",
        "probe = { … }",
        &["every_s", "timeout_s", "down_after", "up_after"],
    );
    let seconds = |time: Duration| time.as_secs() as u32;
    let usual = if section.has("probe") {
        seconds(PROBE_EVERY)
    } else {
        0
    };
    let every = own.integer("every_s", 0..=seconds(PROBE_EVERY_MAX), usual);
    let timeout = own.integer(
        "timeout_s",
        1..=seconds(PROBE_TIMEOUT_MAX),
        seconds(PROBE_TIMEOUT),
    );
    let threshold = |key: &str, usual: u32| own.integer(key, 1..=PROBE_THRESHOLD_MAX, usual);
    let probe = Probe {
        every: (every > 0).then(|| Duration::from_secs(every.into())),
        timeout: Duration::from_secs(timeout.into()),
        down_after: threshold("down_after", PROBE_DOWN_AFTER),
        up_after: threshold("up_after", PROBE_UP_AFTER),
    };
    if probe.every.is_some_and(|every| every < probe.timeout) {
        own.fault(
            "every_s",
            format!("one probe would begin before the last one is over: write {timeout} or more"),
        );
    }
    probe
}

fn listener(
    section: &Section<'_>,
    listeners: &[Listener],
    trunk: &Trunk,
) -> Option<crate::sip::path::ListenerId> {
    // A gateway that none of these reaches.
    let missed = |from: &[&Listener]| {
        let reached = |g: &Gateway| from.iter().any(|l| may_reach(l, g, None));
        trunk.gateways.iter().find(|g| !reached(g))
    };
    let Some(at) = section.text("listen").filter(|at| !at.value.is_empty()) else {
        let all: Vec<&Listener> = listeners.iter().collect();
        if let Some(gateway) = missed(&all).filter(|_| !listeners.is_empty()) {
            section.fault(
                "gateways",
                match &gateway.place {
                    Place::At(Target { transport, address }) => format!(
                        "no address of sip.{} reaches {address}, which is {}: add one, or change the gateways",
                        transport.name(),
                        if address.is_ipv4() { "IPv4" } else { "IPv6" }
                    ),
                    Place::Named(name) => format!(
                        "no address of ours is spoken from as {name} wants it: add one to sip.{}, or change the gateways",
                        name.wants().map_or("udp", Transport::name)
                    ),
                },
            );
        }
        return None;
    };
    // One address may stand in udp and in tcp.
    let named: Vec<&Listener> = listeners
        .iter()
        .filter(|l| l.address.to_string() == at.value)
        .collect();
    let Some(listener) = named.first() else {
        let known: Vec<_> = listeners
            .iter()
            .map(|l| format!("{:?}", l.address.to_string()))
            .collect();
        section.fault_at(
            &at.span,
            format!(
                "write one of our addresses, as sip.udp, sip.tcp or sip.tls has it ({}), or nothing",
                known.join(", ")
            ),
        );
        return None;
    };
    if let Some(gateway) = missed(&named) {
        section.fault_at(
            &at.span,
            format!(
                "this address can't reach {}: its family or its transport is another",
                gateway.place
            ),
        );
    }
    Some(listener.id)
}

/// Whether a gateway can be reached from a listener, as far as that can be said before its name is looked up; by
/// another transport than its own, if that is said.
fn may_reach(listener: &Listener, gateway: &Gateway, by: Option<Transport>) -> bool {
    match &gateway.place {
        Place::At(target) => listener.reaches(by.unwrap_or(target.transport), target.address),
        Place::Named(name) => by
            .or(name.wants())
            .is_none_or(|transport| listener.transport == transport),
    }
}

/// `large_requests = "tcp"` needs a listener to speak it from.
fn by_tcp_if_large(section: &Section<'_>, listeners: &[Listener], trunk: &Trunk) {
    let is_reached = |g: &Gateway| listeners.iter().any(|l| may_reach(l, g, Some(Transport::Tcp)));
    if trunk.large_requests == LargeRequests::Tcp
        && !listeners.is_empty()
        && let Some(gateway) = trunk.gateways.iter().find(|g| !is_reached(g))
    {
        section.fault(
            "large_requests",
            format!(
                "no address of sip.tcp reaches {}: add one, or write \"udp\"",
                gateway.place.host_port()
            ),
        );
    }
}

/// The media interface that a trunk names.
fn interface(section: &Section<'_>, media: &MediaConfig) -> Option<InterfaceId> {
    let at = section.text("media").filter(|at| !at.value.is_empty())?;
    let index = media.interfaces.iter().position(|i| *i.name == *at.value);
    let found = index.and_then(|index| u8::try_from(index).ok());
    if found.is_none() {
        let known: Vec<_> = media.interfaces.iter().map(|i| format!("{:?}", i.name)).collect();
        section.fault_at(
            &at.span,
            format!(
                "write the name of one of our media addresses ({}), or nothing",
                known.join(", ")
            ),
        );
    }
    found.map(InterfaceId)
}

fn words<T: Copy + PartialEq>(section: &Section<'_>, key: &str, words: &[(&str, T)], default: T) -> Vec<T> {
    let mut seen = Vec::new();
    let read = section.list(key, vec![default], |text| {
        let value = word(text, words).ok_or_else(|| format!("write {}", one_of(words)))?;
        if seen.contains(&value) {
            return Err("named twice: take one away".into());
        }
        seen.push(value);
        Ok(value)
    });
    if section.texts(key).is_some_and(|t| t.is_empty()) {
        section.fault(key, format!("the list is empty: write {}", one_of(words)));
    }
    read
}

fn may_show(text: &str) -> Result<MayShow, String> {
    match text {
        "own" => Ok(MayShow::Own),
        "any" => Ok(MayShow::Any),
        digits
            if (1..=crate::base::limits::NUMBER_DIGITS_MAX).contains(&digits.len())
                && digits.bytes().all(|c| c.is_ascii_digit()) =>
        {
            Ok(MayShow::Prefix(digits.into()))
        }
        _ => Err("write \"own\", \"any\", or the first digits in E.164 without sign (\"86170\")".into()),
    }
}

/// How sessions are timed (RFC 4028): what we ask for is at least what we take.
fn session(section: &Section<'_>) -> SessionWish {
    let range = || SESSION_MIN_S..=SESSION_MAX_S;
    let min_s = section.integer("min_se_s", range(), SESSION_MIN_S);
    let wish = SessionWish {
        timer: section.choice("session_timer", &SESSION_TIMER, SessionTimer::Accept),
        interval_s: section.integer("session_expires_s", range(), SESSION_EXPIRES_S.max(min_s)),
        min_s,
    };
    if wish.interval_s < wish.min_s {
        section.fault(
            "session_expires_s",
            format!("we would ask for less than we take: write {} or more", wish.min_s),
        );
    }
    wish
}

/// How many calls it takes and gives.
fn limits(section: &Section<'_>) -> Limits {
    let each = |key, max| {
        let ways = section.section(key, &format!("{key} = {{ in = 0, out = 0 }}"), &["in", "out"]);
        [ways.integer("in", 0..=max, 0), ways.integer("out", 0..=max, 0)]
    };
    let per_s = each("calls_per_s", TRUNK_CALLS_PER_S_MAX);
    let at_once = each("calls_at_once", TRUNK_CALLS_MAX);
    let [inward, outward] = [0, 1].map(|way: usize| Limit {
        per_s: per_s[way],
        at_once: at_once[way],
    });
    Limits::new(inward, outward)
}

/// The audio codecs, best first.
fn codecs(section: &Section<'_>) -> Codecs {
    let mut codecs = Codecs::default();
    section.list("codecs", Vec::new(), |text| {
        let audio = || CodecName::ALL.into_iter().filter(|name| name.is_audio());
        let Some(name) = audio().find(|name| name.name().eq_ignore_ascii_case(text)) else {
            let names: Vec<&str> = audio().map(CodecName::name).collect();
            return Err(format!(
                "write {}; telephone-event and comfort noise pass in any case",
                names.join(", ")
            ));
        };
        if !codecs.add(name) {
            return Err("named twice: take one away".into());
        }
        Ok(())
    });
    codecs
}

fn media_from(section: &Section<'_>) -> Vec<MediaSource> {
    let networks = section.list("media_from", Vec::new(), |text| {
        value::cidr(text).map(|c| MediaSource {
            network: c.network,
            prefix: c.prefix,
        })
    });
    if networks.len() > MEDIA_FROM_MAX {
        section.fault(
            "media_from",
            format!("at most {MEDIA_FROM_MAX} networks: join some"),
        );
    }
    networks
}

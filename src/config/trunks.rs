//! The trunk files: `[[trunk]]` tables, and what must hold between them.

use std::net::SocketAddr;

use super::reader::{Section, Source, one_of, word};
use super::value;
use crate::base::number::Format;
use crate::call::config::{Config, Listener, MediaConfig};
use crate::call::media::InterfaceId;
use crate::call::trunk::{CallerFrom, Cidr, DialledFrom, MayShow, Trunk};
use crate::rtp::flow::{MediaNat, MediaSource};

/// Trunks of one conf.
const TRUNKS_MAX: usize = 256;
/// Media networks of one trunk: what a flow's orders hold.
const MEDIA_FROM_MAX: usize = 4;

const KEYS: [&str; 13] = [
    "name",
    "accept_from",
    "gateways",
    "listen",
    "media",
    "dialled_from",
    "caller_id",
    "strip",
    "number_format",
    "may_show",
    "default",
    "media_nat",
    "media_from",
];

const DIALLED_FROM: [(&str, DialledFrom); 4] = [
    ("ruri", DialledFrom::Ruri),
    ("to", DialledFrom::To),
    ("p-called-party-id", DialledFrom::PCalledPartyId),
    ("diversion", DialledFrom::Diversion),
];
const CALLER_ID: [(&str, CallerFrom); 2] = [("pai", CallerFrom::Pai), ("from", CallerFrom::From)];
const NUMBER_FORMAT: [(&str, Format); 3] = [
    ("national", Format::National),
    ("e164", Format::E164),
    ("plus", Format::Plus),
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
    let root = Section::new(
        source,
        table.get_ref(),
        0..0,
        "a trunk file (its keys stand under a line [[trunk]])",
        &["trunk"],
    );
    for section in root.sections("trunk", &KEYS) {
        if trunks.len() == TRUNKS_MAX {
            section.fault_at(&section.span, format!("too many trunks: at most {TRUNKS_MAX}"));
            return;
        }
        let trunk = one(&section, listeners, media, trunks);
        trunks.push(trunk);
    }
}

/// Reads one trunk. One that has faults is returned as well, so that later ones are checked against it.
fn one(section: &Section<'_>, listeners: &[Listener], media: &MediaConfig, others: &[Trunk]) -> Trunk {
    let trunk = Trunk {
        name: name(section, others),
        accept_from: accept_from(section, others),
        gateways: gateways(section, listeners),
        listener: None,
        media: interface(section, media),
        dialled_from: words(section, "dialled_from", &DIALLED_FROM, DialledFrom::Ruri),
        caller_id: if section.texts("caller_id").is_none() {
            vec![CallerFrom::Pai, CallerFrom::From]
        } else {
            words(section, "caller_id", &CALLER_ID, CallerFrom::Pai)
        },
        strip: strip(section),
        number_format: section.choice("number_format", &NUMBER_FORMAT, Format::National),
        may_show: section.list("may_show", vec![MayShow::Own], may_show),
        default: section.flag("default"),
        media_nat: section.choice("media_nat", &MEDIA_NAT, MediaNat::Strict),
        media_from: media_from(section),
    };
    if trunk.accept_from.is_empty() && trunk.gateways.is_empty() {
        section.fault(
            "name",
            "the trunk neither takes calls nor makes any: give it accept_from, gateways or both",
        );
    }
    if trunk.default && others.iter().any(|t| t.default) {
        section.fault("default", "another trunk is the default already: only one can be");
    }
    let listener = listener(section, listeners, &trunk);
    Trunk { listener, ..trunk }
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

fn accept_from(section: &Section<'_>, others: &[Trunk]) -> Vec<Cidr> {
    let mut own = Vec::new();
    section.list("accept_from", Vec::new(), |text| {
        let cidr = value::cidr(text)?;
        if own.contains(&cidr) {
            return Err("the network is named twice: take one away".into());
        }
        if let Some(other) = others.iter().find(|t| t.accept_from.contains(&cidr)) {
            return Err(format!(
                "trunk {} accepts the same network: make one prefix longer, so that it is clear whose call it is",
                other.name
            ));
        }
        own.push(cidr);
        Ok(cidr)
    })
}

fn gateways(section: &Section<'_>, listeners: &[Listener]) -> Vec<crate::call::trunk::Gateway> {
    let mut own: Vec<SocketAddr> = Vec::new();
    section.list("gateways", Vec::new(), |text| {
        let gateway = value::gateway(text)?;
        if listeners
            .iter()
            .any(|l| l.address == gateway.address || l.advertised == gateway.address)
        {
            return Err("this is our own address (sip.udp): calls would come back to us".into());
        }
        if own.contains(&gateway.address) {
            return Err("the gateway is named twice: take one away".into());
        }
        own.push(gateway.address);
        Ok(gateway)
    })
}

fn listener(
    section: &Section<'_>,
    listeners: &[Listener],
    trunk: &Trunk,
) -> Option<crate::sip::path::ListenerId> {
    let fits = |l: &Listener| {
        trunk
            .gateways
            .iter()
            .all(|g| g.transport == l.transport && g.address.is_ipv4() == l.address.is_ipv4())
    };
    let Some(at) = section.text("listen").filter(|at| !at.value.is_empty()) else {
        if !listeners.is_empty() && !listeners.iter().any(fits) {
            section.fault(
                "gateways",
                "no address of sip.udp is of the gateways' family: add one, or change the gateways",
            );
        }
        return None;
    };
    let Some(listener) = listeners.iter().find(|l| l.address.to_string() == at.value) else {
        let known: Vec<_> = listeners
            .iter()
            .map(|l| format!("{:?}", l.address.to_string()))
            .collect();
        section.fault_at(
            &at.span,
            format!(
                "write one of our addresses, as sip.udp has it ({}), or nothing",
                known.join(", ")
            ),
        );
        return None;
    };
    if !fits(listener) {
        section.fault_at(
            &at.span,
            "this address can't reach all the gateways: one is IPv4 and the other IPv6",
        );
    }
    Some(listener.id)
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

fn strip(section: &Section<'_>) -> Vec<Box<str>> {
    let mut prefixes = section.list("strip", Vec::new(), |text| {
        let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'#' || c == b'*');
        if text.is_empty() || text.len() > 8 || !plain {
            return Err("write a dial prefix of 1 to 8 digits, # or *: \"17951\"".into());
        }
        Ok(Box::<str>::from(text))
    });
    prefixes.sort_by_key(|p| std::cmp::Reverse(p.len()));
    prefixes
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

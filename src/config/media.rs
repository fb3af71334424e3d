//! `[media]`: our addresses for RTP, in the short form of one or as `[[media.interface]]` tables.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::file::THREADS_MAX;
use super::reader::Section;
use super::value;
use crate::base::dscp::Dscp;
use crate::base::limits::MEDIA_INTERFACES_MAX;
use crate::call::config::{Interface, Listener, MediaConfig};
use crate::rtp::signals::{Country, Signals};

/// The keys of an interface.
const INTERFACE_KEYS: [&str; 4] = ["name", "address", "advertise", "ports"];
/// The ports of an interface that doesn't say.
const PORTS: (u16, u16) = (20_000, 29_999);

/// Reads the section and everything in it.
pub(super) fn read(root: &Section<'_>, listeners: &[Listener], shards: u32) -> MediaConfig {
    let keys = [
        "address",
        "advertise",
        "ports",
        "dscp",
        "threads",
        "timeout_s",
        "tones",
        "interface",
    ];
    let media = root.section("media", "[media]", &keys);
    let tables = media.sections("interface", &INTERFACE_KEYS);
    let mut interfaces: Vec<Interface> = Vec::new();
    if tables.is_empty() {
        interfaces.push(interface(&media, "default".into(), &[], listeners, shards));
    } else {
        for key in ["address", "advertise", "ports"] {
            if media.has(key) {
                media.fault(
                    key,
                    "[[media.interface]] says this for each address: move it there",
                );
            }
        }
    }
    for table in &tables {
        if interfaces.len() == MEDIA_INTERFACES_MAX {
            table.fault_at(
                &table.span,
                format!("too many media addresses: at most {MEDIA_INTERFACES_MAX}"),
            );
            break;
        }
        let name = name(table, &interfaces);
        if !table.has("address") {
            table.fault_at(&table.span, "it has no address: write address = \"203.0.113.5\"");
        }
        interfaces.push(interface(table, name, &interfaces, listeners, shards));
    }
    MediaConfig {
        interfaces,
        dscp: media.dscp(Dscp::VOICE),
        threads: media.integer("threads", 1..=THREADS_MAX, 1) as usize,
        timeout: Duration::from_secs(u64::from(media.integer("timeout_s", 5..=3_600, 60))),
        signals: Signals::of(media.choice("tones", &Country::ALL, Country::default())),
    }
}

fn name(section: &Section<'_>, others: &[Interface]) -> Box<str> {
    let Some(at) = section.text("name") else {
        section.fault_at(
            &section.span,
            "the interface has no name: write name = \"outside\"",
        );
        return "".into();
    };
    if let Err(cure) = super::plain_name(at.value) {
        section.fault_at(&at.span, cure);
    } else if others.iter().any(|other| *other.name == *at.value) {
        section.fault_at(&at.span, "another interface has this name: choose a new one");
    }
    at.value.into()
}

/// Reads one interface's keys, which stand in `section`.
fn interface(
    section: &Section<'_>,
    name: Box<str>,
    others: &[Interface],
    listeners: &[Listener],
    shards: u32,
) -> Interface {
    let address = section.parsed("address", IpAddr::V4(Ipv4Addr::LOCALHOST), value::address);
    let advertised = section.parsed("advertise", None, |text| match text {
        "" => Ok(None),
        text => match value::address(text)? {
            advertised if advertised.is_unspecified() => {
                Err("write the address that media can be sent to".into())
            }
            advertised if advertised.is_ipv4() != address.is_ipv4() => {
                Err("it is of another family than address: write an interface for each family".into())
            }
            advertised => Ok(Some(advertised)),
        },
    });
    if address.is_unspecified() && section.text("advertise").is_none_or(|at| at.value.is_empty()) {
        section.fault(
            "address",
            format!(
                "{address} can't be told to the other side: set advertise to the address that it can reach"
            ),
        );
    }
    let (port_first, port_last) = section.parsed("ports", PORTS, |text| {
        let range = value::ports(text)?;
        fits(range, address, others, listeners, shards).map(|()| range)
    });
    if !section.has("ports")
        && let Err(cure) = fits(PORTS, address, others, listeners, shards)
    {
        section.fault("ports", cure);
    }
    Interface {
        name,
        address,
        advertised: advertised.unwrap_or(address),
        port_first,
        port_last,
    }
}

/// Whether a range of ports is free on an address, and large enough.
fn fits(
    (first, last): (u16, u16),
    address: IpAddr,
    others: &[Interface],
    listeners: &[Listener],
    shards: u32,
) -> Result<(), String> {
    let same_host = |ip: IpAddr| {
        ip.is_ipv4() == address.is_ipv4()
            && (ip == address || ip.is_unspecified() || address.is_unspecified())
    };
    if let Some(l) = listeners
        .iter()
        .find(|l| same_host(l.address.ip()) && (first..=last).contains(&l.address.port()))
    {
        return Err(format!(
            "the range holds the SIP port {}: choose ports beside it",
            l.address.port()
        ));
    }
    if let Some(other) = others
        .iter()
        .find(|other| same_host(other.address) && first <= other.port_last && other.port_first <= last)
    {
        return Err(format!(
            "interface {} has ports of this range on the same address: choose others",
            other.name
        ));
    }
    // A call takes two pairs, so a shard that has fewer could never connect one.
    let needed = shards.saturating_mul(4);
    if u32::from(last - first) + 1 < needed {
        return Err(format!("{shards} shards need {needed} ports at least"));
    }
    Ok(())
}

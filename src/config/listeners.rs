//! Where the server listens for SIP: `sip.udp`, `sip.tcp`, `sip.tls`, and what it says of itself, `sip.advertise`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::reader::Section;
use super::value;
use crate::call::config::Listener;
use crate::sip::path::{ListenerId, Transport};

/// Addresses that one server listens on.
const LISTENERS_MAX: usize = 16;

/// An address of one family that others reach us at.
#[derive(Clone, Copy)]
struct Advertised {
    ip: IpAddr,
    port: Option<u16>,
}

/// Reads the listeners of `[sip]`, UDP first.
pub(super) fn read(sip: &Section<'_>) -> Vec<Listener> {
    let default = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 5_060))];
    let udp = addresses(sip, "udp", default, 0);
    let tcp = addresses(sip, "tcp", Vec::new(), udp.len());
    let tls = addresses(sip, "tls", Vec::new(), udp.len() + tcp.len());
    if let Some(taken) = tls.iter().find(|address| tcp.contains(address)) {
        sip.fault(
            "tls",
            format!("sip.tcp has {taken} already: write another port, 5061 mostly"),
        );
    }
    if udp.is_empty() && tcp.is_empty() && tls.is_empty() && sip.texts("udp").is_some_and(|t| t.is_empty()) {
        sip.fault("udp", "the server would hear nobody: write one address at least");
    }
    let of = |transport| move |address| (transport, address);
    let all: Vec<(Transport, SocketAddr)> = udp
        .into_iter()
        .map(of(Transport::Udp))
        .chain(tcp.into_iter().map(of(Transport::Tcp)))
        .chain(tls.into_iter().map(of(Transport::Tls)))
        .collect();
    let advertised = advertise(sip, &all);
    let of_family = |address: SocketAddr| {
        let same = |a: &&Advertised| a.ip.is_ipv4() == address.is_ipv4();
        advertised.iter().find(same).copied()
    };
    // A faulty list is no list: then nothing is missing.
    let is_read = !advertised.is_empty() || sip.text("advertise").is_none_or(|at| at.value.is_empty());
    for (transport, address) in &all {
        if address.ip().is_unspecified() && of_family(*address).is_none() && is_read {
            sip.fault(
                transport.name(),
                format!(
                    "{} can't be told to the other side: set advertise to the address that it can reach",
                    address.ip()
                ),
            );
            break;
        }
    }
    let listener = |(at, (transport, address)): (usize, (Transport, SocketAddr))| Listener {
        id: ListenerId(u8::try_from(at).unwrap_or(u8::MAX)),
        transport,
        address,
        advertised: match of_family(address) {
            None => address,
            Some(Advertised { ip, port }) => SocketAddr::new(ip, port.unwrap_or(address.port())),
        },
    };
    all.into_iter().enumerate().map(listener).collect()
}

/// The addresses of one list; `others` stand in another one.
fn addresses(sip: &Section<'_>, key: &str, default: Vec<SocketAddr>, others: usize) -> Vec<SocketAddr> {
    let mut seen: Vec<SocketAddr> = Vec::new();
    sip.list(key, default, |text| {
        let address = value::listening(text, "127.0.0.1:5060")?;
        let clash = seen.iter().any(|s| {
            s.port() == address.port()
                && s.is_ipv4() == address.is_ipv4()
                && (s.ip() == address.ip() || s.ip().is_unspecified() || address.ip().is_unspecified())
        });
        if clash {
            return Err("another address of the list takes this one already: take one away".into());
        }
        if seen.len() + others == LISTENERS_MAX {
            return Err(format!(
                "at most {LISTENERS_MAX} addresses, those of udp, tcp and tls together"
            ));
        }
        seen.push(address);
        Ok(address)
    })
}

/// What `sip.advertise` says: an address a family, and a port if it names one.
fn advertise(sip: &Section<'_>, listeners: &[(Transport, SocketAddr)]) -> Vec<Advertised> {
    sip.parsed("advertise", Vec::new(), |text| {
        let mut all: Vec<Advertised> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|_| !text.is_empty()) {
            let one = advertised(part, listeners)?;
            if all.iter().any(|other| other.ip.is_ipv4() == one.ip.is_ipv4()) {
                return Err("write one address of IPv4, one of IPv6, or one of each".into());
            }
            all.push(one);
        }
        Ok(all)
    })
}

fn advertised(text: &str, listeners: &[(Transport, SocketAddr)]) -> Result<Advertised, String> {
    let form = "write the address that others reach us at: \"203.0.113.5\" or \"203.0.113.5:5060\"";
    let (ip, port) = match text.parse::<SocketAddr>() {
        Ok(address) => (address.ip(), Some(address.port())),
        Err(_) => (text.parse::<IpAddr>().map_err(|_| form.to_owned())?, None),
    };
    if port == Some(0) || ip.is_unspecified() || ip.is_multicast() {
        return Err(form.into());
    }
    let mut of_family = listeners.iter().filter(|(_, a)| a.is_ipv4() == ip.is_ipv4());
    let Some((_, first)) = of_family.next() else {
        return Err("we listen on no address of this family: take it away, or listen on one".into());
    };
    if port.is_some() && of_family.any(|(_, other)| other.port() != first.port()) {
        return Err("our addresses have several ports: leave the port out, each keeps its own".into());
    }
    if port.is_some()
        && listeners
            .iter()
            .filter(|(t, a)| *t == Transport::Udp && a.is_ipv4() == ip.is_ipv4())
            .count()
            > 1
    {
        return Err("sip.udp has several addresses: leave the port out, each keeps its own".into());
    }
    Ok(Advertised { ip, port })
}

//! Gateways as people write them: `sip:HOST[:PORT][;transport=udp | tcp | tls]`, or `sips:HOST[:PORT]`. A host is an IP
//! address, an IPv6 one in brackets, or a name.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::call::targets::{Name, Place, Scheme, Target};
use crate::call::trunk::Gateway;
use crate::call::trunk::rank::Rank;
use crate::sip::path::Transport;

const FORM: &str = "write \"sip:127.0.0.3:5060;transport=udp\" or \"sip:sbc.carrier.example\"";

/// Reads a gateway.
pub(super) fn read(text: &str) -> Result<Gateway, String> {
    let (scheme, rest) = match text.split_once(':') {
        Some(("sip", rest)) => (Scheme::Sip, rest),
        Some(("sips", rest)) => (Scheme::Sips, rest),
        Some(_) | None => return Err(FORM.into()),
    };
    let (host_port, parameters) = match rest.split_once(';') {
        Some((host_port, parameters)) => (host_port, Some(parameters)),
        None => (rest, None),
    };
    let transport = match parameters {
        None => None,
        Some("transport=udp") => Some(Transport::Udp),
        Some("transport=tcp") => Some(Transport::Tcp),
        Some("transport=tls") => Some(Transport::Tls),
        Some(_) => return Err(format!("unknown parameters: {FORM}")),
    };
    if (scheme, transport) == (Scheme::Sips, Some(Transport::Udp)) {
        return Err(
            "sips: is spoken over TLS, never over UDP: write \"sip:127.0.0.3:5061;transport=tls\"".into(),
        );
    }
    if host_port.contains('@') {
        return Err(format!("a gateway has no user part: {FORM}"));
    }
    let (host, port) = split(host_port)?;
    let place = match host.parse::<IpAddr>() {
        Ok(ip) => {
            if ip.is_unspecified() || ip.is_multicast() {
                return Err(format!("nobody can be called at this address: {FORM}"));
            }
            // RFC 3263 §4.1; RFC 3261 §26.2.2: sips over TCP is TLS.
            let transport = match scheme {
                Scheme::Sip => transport.unwrap_or(Transport::Udp),
                Scheme::Sips => Transport::Tls,
            };
            let address = SocketAddr::new(ip, port.unwrap_or(transport.default_port()));
            Place::At(Target { transport, address })
        }
        Err(_) => Place::Named(Name {
            scheme,
            host: host_name(host)?,
            port,
            transport,
        }),
    };
    Ok(Gateway {
        place,
        rank: Rank::default(),
    })
}

/// The host, without the brackets of IPv6, and the port.
fn split(host_port: &str) -> Result<(&str, Option<u16>), String> {
    if host_port.parse::<Ipv6Addr>().is_ok() {
        return Err("write an IPv6 address in brackets: \"sip:[2001:db8::3]:5060\"".into());
    }
    let (host, port) = match host_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, "")) => (v6, None),
        Some((v6, rest)) => (v6, Some(rest.strip_prefix(':').ok_or(FORM)?)),
        None => match host_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_port, None),
        },
    };
    if host_port.starts_with('[') && host.parse::<Ipv6Addr>().is_err() {
        return Err(FORM.into());
    }
    let Some(port) = port else { return Ok((host, None)) };
    let is_port = |port: &u16| *port > 0;
    let port = port.parse().ok().filter(is_port);
    port.map(|port| (host, Some(port)))
        .ok_or_else(|| format!("the port is 1 to 65535: {FORM}"))
}

/// A host's name (RFC 1123 §2.1), in small letters and without a dot at its end.
fn host_name(text: &str) -> Result<Box<str>, String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let plain = label
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(format!("this is neither an address nor a name: {FORM}"));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|c| c.is_ascii_digit()) {
        return Err(format!(
            "this is no address, and no name ends in a number: {FORM}"
        ));
    }
    Ok(name.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<String, String> {
        read(text).map(|gateway| gateway.place.to_string())
    }

    #[test]
    fn a_gateway_is_an_address_or_a_name_with_or_without_port_and_transport() {
        for (text, expected) in [
            ("sip:127.0.0.3", "sip:127.0.0.3:5060;transport=udp"),
            (
                "sip:127.0.0.3:5070;transport=tcp",
                "sip:127.0.0.3:5070;transport=tcp",
            ),
            ("sip:[2001:db8::3]", "sip:[2001:db8::3]:5060;transport=udp"),
            ("sip:[2001:db8::3]:5070", "sip:[2001:db8::3]:5070;transport=udp"),
            ("sip:sbc.carrier.example", "sip:sbc.carrier.example"),
            ("sip:SBC.Carrier.example.", "sip:sbc.carrier.example"),
            ("sip:sbc:5070", "sip:sbc:5070"),
            ("sip:127.0.0.3;transport=tls", "sip:127.0.0.3:5061;transport=tls"),
            ("sips:127.0.0.3;transport=tcp", "sip:127.0.0.3:5061;transport=tls"),
            ("sips:sbc.carrier.example", "sips:sbc.carrier.example"),
            (
                "sip:sbc-1.carrier.example;transport=tcp",
                "sip:sbc-1.carrier.example;transport=tcp",
            ),
            ("sip:3.carrier.example:5070", "sip:3.carrier.example:5070"),
        ] {
            assert_eq!(place(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for bad in [
            "",
            "sip:",
            "tel:1",
            "sip:127.0.0.3:0",
            "sips:sbc.example;transport=udp",
            "sip:127.0.0.3:99999",
            "sip:127.0.0.3:",
            "sip:10.0.0.300",
            "sip:10.0.0",
            "sip:2001:db8::3",
            "sip:[2001:db8::3",
            "sip:[2001:db8::3]5060",
            "sip:[sbc]",
            "sip:0.0.0.0",
            "sip:224.0.0.1",
            "sip:x@sbc.carrier.example",
            "sip:sbc..example",
            "sip:-sbc.example",
            "sip:sbc.example:sip",
            "sip:sbc.example;lr",
            "sip:sbc example",
            "sip:sbc.ex\u{e4}mple",
        ] {
            assert!(place(bad).is_err(), "{bad}");
        }
        assert!(place(&format!("sip:{}.example", "a".repeat(64))).is_err());
        assert!(place(&format!("sip:{}example", "a.".repeat(130))).is_err());
    }
}

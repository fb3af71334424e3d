//! Values as people write them: durations, addresses, port ranges, networks, gateways.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::call::trunk::Cidr;

/// A duration as people write it: `90s`, `10m`, `1h`, `7d`. `None` for anything else.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.chars().last()?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text
        .get(..text.len() - 1)?
        .parse()
        .ok()
        .filter(|_| !text.starts_with('+'))?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Bytes as people write them: `0`, `512MiB`, `2GiB`. `None` for anything else.
pub(super) fn size(text: &str) -> Option<u64> {
    let units = [("MiB", 1 << 20), ("GiB", 1 << 30)];
    if text == "0" {
        return Some(0);
    }
    let (number, bytes) = units
        .into_iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)))?;
    let number: u64 = number.parse().ok().filter(|_| !number.starts_with('+'))?;
    number.checked_mul(bytes)
}

/// An address and port to listen on, such as `example`.
pub(super) fn listening(text: &str, example: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("write an IP address and a port: \"{example}\""))?;
    if address.port() == 0 {
        return Err("write the port: 0 is none".into());
    }
    if matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0) {
        return Err("an address with a zone is known to this machine only: write a global one".into());
    }
    if address.ip().is_multicast() || address.ip() == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err("write an address of this machine: nobody can listen on this one".into());
    }
    Ok(address)
}

/// An address of one machine.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| "write an IP address: \"127.0.0.1\" or \"2001:db8::5\"".to_owned())?;
    if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err("write an address that one machine has".into());
    }
    Ok(address)
}

/// `first-last`: the first even, the last odd, since RTP and RTCP ports come in pairs (RFC 3550 §11).
pub(super) fn ports(text: &str) -> Result<(u16, u16), String> {
    let wrong = || "write two ports: \"20000-29999\"".to_owned();
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let first: u16 = first.trim().parse().map_err(|_| wrong())?;
    let last: u16 = last.trim().parse().map_err(|_| wrong())?;
    if first < 1_024 {
        return Err("the first port is 1024 at least".into());
    }
    if last <= first {
        return Err("the range is empty: write the lower port first".into());
    }
    if !first.is_multiple_of(2) || last.is_multiple_of(2) {
        // A range that is too short to shrink grows; the first port is 1024 at least, so there is room below.
        let (begin, end) = match (
            first + first % 2,
            if last.is_multiple_of(2) { last - 1 } else { last },
        ) {
            (begin, end) if begin < end => (begin, end),
            _ => (first - first % 2, last | 1),
        };
        return Err(format!(
            "RTP and RTCP take pairs of ports: begin even and end odd: \"{begin}-{end}\""
        ));
    }
    Ok((first, last))
}

/// A network (`10.0.0.0/8`) or one address.
pub(super) fn cidr(text: &str) -> Result<Cidr, String> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address
        .parse()
        .map_err(|_| "write an address or a network: \"10.1.2.3\" or \"10.0.0.0/8\"".to_owned())?;
    let width: u8 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => width,
        Some(text) => text
            .parse()
            .ok()
            .filter(|p| *p <= width)
            .ok_or_else(|| format!("write a prefix of 0 to {width} bits"))?,
    };
    let network = match address {
        IpAddr::V4(a) => IpAddr::from(
            (u32::from(a) & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)).to_be_bytes(),
        ),
        IpAddr::V6(a) => IpAddr::from(
            (u128::from(a) & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)).to_be_bytes(),
        ),
    };
    if network != address {
        return Err(format!(
            "the address has bits beyond the prefix: write \"{network}/{prefix}\" or \"{address}\""
        ));
    }
    Ok(Cidr { network, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1h"), Some(Duration::from_secs(3_600)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        for bad in [
            "",
            "h",
            "1",
            "1w",
            "-1h",
            "+1h",
            "1.5h",
            "99999999999999999999d",
            "18446744073709551615d",
            "1é",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_network_keeps_its_prefix_and_bits_beyond_it_are_refused() {
        assert_eq!(cidr("0.0.0.0/0").map(|c| c.prefix), Ok(0));
        assert_eq!(cidr("10.1.2.3").map(|c| c.prefix), Ok(32));
        assert_eq!(cidr("2001:db8::/32").map(|c| c.prefix), Ok(32));
        assert!(cidr("10.0.0.1/8").is_err_and(|e| e.contains("10.0.0.0/8")));
        assert!(cidr("10.0.0.0/33").is_err());
        assert!(cidr("carrier.example").is_err());
    }
}

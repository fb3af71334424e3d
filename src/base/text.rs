//! Numbers and addresses as text, added to what is there: what every message holds a dozen of. `fmt` writes the
//! same, for several times the work.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// Adds a number in decimal digits.
pub fn number(out: &mut Vec<u8>, number: u64) {
    // Most have one, two or three digits.
    let digit = |number: u64| b'0' + (number % 10) as u8;
    match number {
        0..10 => return out.push(digit(number)),
        10..100 => return out.extend_from_slice(&[digit(number / 10), digit(number)]),
        100..1_000 => {
            return out.extend_from_slice(&[digit(number / 100), digit(number / 10), digit(number)]);
        }
        1_000.. => {}
    }
    // 2^64 has 20 digits.
    let mut digits = [0; 20];
    let (mut rest, mut start) = (number, digits.len());
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Adds a byte as two hexadecimal digits, in capitals.
pub fn hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |half: u8| DIGITS[usize::from(half & 15)];
    out.extend_from_slice(&[digit(byte >> 4), digit(byte)]);
}

/// The bytes in small hexadecimal digits.
pub fn lower_hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]);
    digits.collect()
}

/// The bytes that [`lower_hex`] wrote; `None` if it wrote something else.
pub fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (place, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16).filter(|_| !c.is_ascii_uppercase());
        let [high, low] = *pair else { return None };
        *place = u8::try_from(digit(high)? << 4 | digit(low)?).ok()?;
    }
    Some(bytes)
}

/// An address with its port, as [`address`] adds it.
pub fn of_address(of: SocketAddr) -> String {
    // Room for any of IPv4.
    let mut out = Vec::with_capacity(21);
    address(&mut out, of);
    String::from_utf8(out).expect("digits, letters and marks")
}

/// Adds an IP address, an IPv6 one without brackets.
pub fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, part) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                number(out, part.into());
            }
        }
        IpAddr::V6(address) => write!(out, "{address}").expect("a Vec takes any write"),
    }
}

/// Adds an address with its port, an IPv6 one in brackets.
pub fn address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            ip(out, IpAddr::V4(*v4.ip()));
            out.push(b':');
            number(out, v4.port().into());
        }
        SocketAddr::V6(v6) => write!(out, "{v6}").expect("a Vec takes any write"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"x".to_vec();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn text_is_what_fmt_writes() {
        for n in [
            0,
            1,
            9,
            10,
            99,
            100,
            101,
            110,
            999,
            1_000,
            5_060,
            65_535,
            u64::MAX,
        ] {
            assert_eq!(written(|out| number(out, n)), format!("x{n}"));
        }
        for byte in [0, 9, 0x0a, 0x7f, 0xff] {
            assert_eq!(written(|out| hex(out, byte)), format!("x{byte:02X}"));
        }
        for text in [
            "0.0.0.0:0",
            "127.0.0.1:5060",
            "255.200.99.10:65535",
            "[2001:db8::1]:5060",
            "[::]:1",
        ] {
            let parsed: SocketAddr = text.parse().expect(text);
            assert_eq!(written(|out| address(out, parsed)), format!("x{parsed}"));
            assert_eq!(written(|out| ip(out, parsed.ip())), format!("x{}", parsed.ip()));
        }
    }
}

//! Overload control in Via (RFC 7339), by loss (§6.3): who sends requests offers it, who answers says how many of them it
//! would rather not have.

use std::fmt;
use std::time::Duration;

use memchr::memmem;

use super::header::{self, Name, Via};
use super::lexer::Head;
use crate::base::time::Wall;

/// How long a wish counts that doesn't say (§4.3).
const VALIDITY: Duration = Duration::from_millis(500);

/// What a Via's parameters say of overload control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// The sender of a request would obey.
    Offered,
    /// The sender of a response wants this.
    Wanted(Feedback),
}

/// How many requests a server would rather not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feedback {
    /// Of a hundred, so many: 0 to 100.
    pub loss_percent: u8,
    /// How long that counts; zero ends it (§4.3).
    pub validity: Duration,
    /// What tells a later wish from an earlier one (§4.4).
    pub seq: Seq,
}

/// The place of a wish among the others of its server: seconds, in hundred-thousandths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Seq(u64);

impl Seq {
    /// That of a wish of this moment.
    pub fn of(wall: Wall) -> Self {
        Self(u64::try_from(wall.as_millis()).unwrap_or(0).saturating_mul(100))
    }

    /// `1282321615.782`: at most twelve digits and five.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (whole, part) = text.split_once('.')?;
        let digits = |text: &str, most| {
            let is_number = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| text.parse::<u64>().ok()).flatten()
        };
        let (whole, part_digits) = (digits(whole, 12)?, part.len());
        let part = digits(part, 5)? * 10_u64.pow(5_u32.checked_sub(u32::try_from(part_digits).ok()?)?);
        Some(Self(whole * 100_000 + part))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:05}", self.0 / 100_000, self.0 % 100_000)
    }
}

/// What the topmost Via of a message says. `None`: nothing, or nothing that is to be heeded: a value out of range, another
/// algorithm.
pub fn read(message: &Head<'_>) -> Option<Control> {
    of_via(message.values(Name::Via).next()?)
}

/// The same, of the topmost Via's value.
pub fn of_via(via: &[u8]) -> Option<Control> {
    // Nearly none has it.
    if !may_have(via) {
        return None;
    }
    of_params(Via::parse(via)?.params)
}

/// Whether a Via may have a parameter `oc`.
fn may_have(via: &[u8]) -> bool {
    let params = memchr::memchr_iter(b';', via).filter_map(|at| via.get(at + 1..));
    let mut names = params.map(<[u8]>::trim_ascii_start);
    names.any(|name| name.get(..2).is_some_and(|name| name.eq_ignore_ascii_case(b"oc")))
}

fn of_params(params: &[u8]) -> Option<Control> {
    let (mut control, mut algorithms, mut validity, mut seq) = (None, None, None, None);
    for (name, value) in header::params(params) {
        let slot = match name.to_ascii_lowercase().as_slice() {
            b"oc" => &mut control,
            b"oc-algo" => &mut algorithms,
            b"oc-validity" => &mut validity,
            b"oc-seq" => &mut seq,
            _ => continue,
        };
        if slot.is_some() {
            // Said twice is not said.
            return None;
        }
        *slot = Some(value);
    }
    let control = control?;
    if let Some(names) = algorithms {
        let mut names = names?.split(|byte| *byte == b',');
        names.find(|name| name.trim_ascii().eq_ignore_ascii_case(b"loss"))?;
    }
    let Some(wanted) = control else {
        return Some(Control::Offered);
    };
    let number = |text: &[u8], most: u32| {
        let text = std::str::from_utf8(text).ok()?;
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>()
            .ok()
            .filter(|number| is_number && *number <= most)
    };
    let validity = match validity {
        None => VALIDITY,
        Some(text) => Duration::from_millis(number(text?, u32::MAX)?.into()),
    };
    let seq = match seq {
        // The RFC wants one; a server that gives none says one thing at a time.
        None => Seq::default(),
        Some(text) => Seq::parse(text?)?,
    };
    Some(Control::Wanted(Feedback {
        loss_percent: u8::try_from(number(wanted, 100)?).ok()?,
        validity,
        seq,
    }))
}

/// A request of ours, offering to obey (§5.2).
pub fn offering(request: Vec<u8>) -> Vec<u8> {
    // We write Via first, and `rport` at its end.
    match memmem::find(&request, b";rport\r\n") {
        Some(at) => {
            let (before, after) = request.split_at(at);
            [before, b";oc;oc-algo=\"loss\"", after].concat()
        }
        None => request,
    }
}

/// A response of ours, saying what we want of whoever has offered to obey (§5.4); of anybody else the response as it is.
pub fn answering(response: Vec<u8>, wanted: impl FnOnce() -> Option<Feedback>) -> Vec<u8> {
    match with_wish(&response, wanted) {
        Some(written) => written,
        None => response,
    }
}

/// `None`: nobody has offered, or nothing is wanted.
fn with_wish(response: &[u8], wanted: impl FnOnce() -> Option<Feedback>) -> Option<Vec<u8>> {
    if !response.starts_with(b"SIP/2.0 ") {
        return None;
    }
    // We end lines by CRLF.
    let status_line = memchr::memchr(b'\n', response)? + 1;
    let (start, rest) = response.split_at_checked(status_line)?;
    let (via, rest) = rest.split_at_checked(memchr::memchr(b'\r', rest)?)?;
    if !may_have(via) {
        return None;
    }
    let value = via.strip_prefix(b"Via: ")?;
    if of_params(Via::parse(value)?.params) != Some(Control::Offered) {
        return None;
    }
    let Feedback {
        loss_percent,
        validity,
        seq,
    } = wanted()?;
    let mut out = Vec::with_capacity(response.len() + 80);
    out.extend_from_slice(start);
    out.extend_from_slice(b"Via: ");
    for (at, piece) in header::pieces(value).enumerate() {
        let name = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
        let name = name.trim_ascii().to_ascii_lowercase();
        if matches!(name.as_slice(), b"oc" | b"oc-algo" | b"oc-validity" | b"oc-seq") {
            continue;
        }
        if at > 0 {
            out.push(b';');
        }
        out.extend_from_slice(piece);
    }
    let validity = validity.as_millis();
    let wish = format!(";oc-seq={seq};oc={loss_percent};oc-algo=\"loss\";oc-validity={validity}");
    out.extend_from_slice(wish.as_bytes());
    out.extend_from_slice(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(loss_percent: u8, ms: u64, seq: u64) -> Option<Control> {
        Some(Control::Wanted(Feedback {
            loss_percent,
            validity: Duration::from_millis(ms),
            seq: Seq(seq),
        }))
    }

    #[test]
    fn a_wish_is_read_and_one_that_is_out_of_range_is_not() {
        let read = |params: &str| of_params(params.as_bytes());
        assert_eq!(
            read("branch=z9hG4bKa;oc=20;oc-algo=\"loss\";oc-validity=1000;oc-seq=1282321615.782"),
            wish(20, 1_000, 128_232_161_578_200)
        );
        assert_eq!(read("oc=100"), wish(100, 500, 0));
        assert_eq!(read("OC=0;oc-validity=0;oc-seq=1.00001"), wish(0, 0, 100_001));
        assert_eq!(read("oc;oc-algo=\"rate,loss\""), Some(Control::Offered));
        for ignored in [
            "branch=z9hG4bKa",
            "oc=101",
            "oc=-1",
            "oc=+5",
            "oc=",
            "oc=20;oc-algo=\"rate\"",
            "oc;oc-algo=\"rate\"",
            "oc=20;oc-validity=x",
            "oc=20;oc-seq=1",
            "oc=20;oc-seq=1234567890123.1",
            "oc=20;oc-seq=1.123456",
            "oc=20;oc=30",
            "occ=20",
        ] {
            assert_eq!(read(ignored), None, "{ignored}");
        }
    }

    #[test]
    fn whoever_offers_is_told_and_nobody_else() {
        let response = |via: &str| {
            format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;{via}\r\nTo: <sip:oc@x>\r\n\r\n")
                .into_bytes()
        };
        let wanted = || {
            Some(Feedback {
                loss_percent: 7,
                validity: Duration::from_secs(1),
                seq: Seq(150_000),
            })
        };
        let offered = response("branch=z9hG4bKa;oc;oc-algo=\"loss\";rport=5");
        assert_eq!(
            String::from_utf8(answering(offered.clone(), wanted)).unwrap(),
            String::from_utf8(response(
                "branch=z9hG4bKa;rport=5;oc-seq=1.50000;oc=7;oc-algo=\"loss\";oc-validity=1000"
            ))
            .unwrap()
        );
        assert_eq!(answering(offered.clone(), || None), offered);
        for other in ["branch=z9hG4bKoc", "oc=5", "oc;oc-algo=\"rate\""] {
            assert_eq!(answering(response(other), wanted), response(other), "{other}");
        }
        let request = b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=b;oc\r\n\r\n".to_vec();
        assert_eq!(answering(request.clone(), wanted), request);
        assert_eq!(
            offering(b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=b;rport\r\n\r\n".to_vec()),
            b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=b;oc;oc-algo=\"loss\";rport\r\n\r\n"
        );
    }
}

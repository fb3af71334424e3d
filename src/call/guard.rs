//! The egress guard: reads every message of a call after it is written and before it is sent, and stops
//! it if it would show one party what belongs to the other.
//!
//! It should never fire: the legs are built apart. It is the net under that, not the means.

use std::net::IpAddr;

use memchr::memmem;

use super::config::MediaConfig;
use crate::base::limits::RING_LIST_MAX;
use crate::base::number::{Digits, NumberPlan, RealNumber};
use crate::base::text;

/// Ids and addresses of one side that are searched for: each who rings has a Call-ID, a tag and an address.
const IDS_MAX: usize = 16 + 3 * RING_LIST_MAX;
/// What we write ourselves in every message, and what an id therefore can't be told from.
const OUR_WORDS: &[u8] = b"INVITE ACK BYE CANCEL OPTIONS SIP/2.0/UDP SIP/2.0/TCP transport=tcp Via Max-Forwards Route Record-Route From To Call-ID \
CSeq Contact Allow P-Asserted-Identity Privacy Content-Type Content-Length application/sdp Retry-After Unsupported \
Accept-Encoding identity Warning umbra INFO Signal Duration application/dtmf-relay application/dtmf Recv-Info \
user=phone P-Charging-Vector icid-value icid-generated-at Session-ID remote multipart/mixed multipart/alternative multipart/related \"Anonymous\" anonymous@anonymous.invalid rport received branch z9hG4bK v=0 o=- s=- c=IN IP4 IP6 \
t=0 0 m=audio RTP/AVP a=rtpmap a=fmtp a=ptime a=sendrecv a=sendonly a=recvonly a=inactive a=rtcp-mux PCMA/8000 PCMU/8000 \
G722/8000 G729/8000 opus/48000/2 AMR/8000 AMR-WB/16000 telephone-event/8000 telephone-event/16000 \
telephone-event/24000 telephone-event/32000 telephone-event/48000 CN/8000 a=maxptime a=rtcp useinbandfec octet-align \
m=image udptl t38 a=T38FaxVersion a=T38MaxBitRate a=T38FaxMaxBuffer a=T38FaxMaxDatagram a=T38FaxRateManagement localTCF \
transferredTCF a=T38FaxUdpEC t38UDPRedundancy t38UDPFEC t38UDPNoEC Supported Require 100rel timer Session-Expires refresher=uac \
uas Min-SE RSeq RAck Reason Q.850 cause Call/Transaction Forwarded Progress Accepted Unauthorized Forbidden Acceptable \
Authentication Required Request-URI Unsupported Extension Interval Anonymity Disallowed Temporarily Unavailable Detected \
Incomplete Terminated Internal Implemented Time-out Everywhere Anywhere Redirection SIP/2.0/TLS transport=tls Authorization \
Proxy-Authorization Digest username realm nonce uri response algorithm SHA-256 SHA-512-256 opaque cnonce qop=auth nc=00000001 nc=00000002 \
RTP/SAVP a=crypto AES_CM_128_HMAC_SHA1_80 AEAD_AES_256_GCM";
/// Shorter ids of the other side are not searched for: they would be found by accident.
const ID_BYTES_MIN: usize = 8;
/// Writings of numbers that one side may not see: more than a message can carry.
const NUMBERS_MAX: usize = 16 + 2 * RING_LIST_MAX;
/// Numbers shorter than this are looked for only where a number can stand.
const LONG_NUMBER_DIGITS: usize = 7;

/// Which parts of a message are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All of it: a message that begins a leg.
    Whole,
    /// Without the lines that give this side's own words back to it, as RFC 3261 §8.2.6.2 and §12.2.1.1
    /// demand: request line, Via, From, To, Call-ID, CSeq, Route, Record-Route, Session-ID.
    Ours,
}

/// What must not go out on one leg: the other side's numbers, ids and addresses.
#[derive(Debug, Default)]
pub struct Forbidden {
    /// Each number in each of its writings, digits only; at most [`NUMBERS_MAX`].
    numbers: Vec<Digits>,
    ids: Vec<Box<[u8]>>,
    /// Addresses, and how they are written.
    addresses: Vec<(IpAddr, Box<[u8]>)>,
    /// Addresses that this side knows anyway: its own and ours.
    known: Vec<IpAddr>,
}

/// What was found. It names the kind, never the thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hit {
    /// A real number of the other party.
    Number,
    /// An id or an address of the other leg.
    Id,
}

/// What [`Forbidden`] is made of, for whoever keeps it elsewhere.
pub struct Words<'g> {
    /// The writings of numbers.
    pub numbers: &'g [Digits],
    /// Ids of the other leg.
    pub ids: Vec<&'g [u8]>,
    /// Addresses of the other side.
    pub addresses: Vec<IpAddr>,
    /// Addresses that this side knows anyway.
    pub known: &'g [IpAddr],
}

impl Forbidden {
    /// What it is made of.
    pub fn words(&self) -> Words<'_> {
        Words {
            numbers: &self.numbers,
            ids: self.ids.iter().map(|id| &**id).collect(),
            addresses: self.addresses.iter().map(|(address, _)| *address).collect(),
            known: &self.known,
        }
    }

    /// What these were the words of.
    pub fn of_words(words: &Words<'_>) -> Self {
        let mut made = Self {
            numbers: words.numbers.iter().copied().take(NUMBERS_MAX).collect(),
            ids: Vec::with_capacity(words.ids.len().min(IDS_MAX)),
            addresses: Vec::with_capacity(words.addresses.len().min(IDS_MAX)),
            known: Vec::with_capacity(words.known.len().min(16)),
        };
        made.known(words.known);
        words.ids.iter().for_each(|id| made.id(id));
        words.addresses.iter().for_each(|address| made.address(*address));
        made
    }

    /// Forbids a real number, in every writing that digits have.
    pub fn number(&mut self, number: RealNumber, plan: &NumberPlan) {
        for written in plan.unsigned(number.reveal()) {
            // Leading zeros are dialling: a run is compared without them.
            let text = written.trim_start_matches('0');
            let known = self.numbers.iter().any(|n| n.as_str() == text);
            if let (false, Ok(digits)) = (known, Digits::from(text))
                && self.numbers.len() < NUMBERS_MAX
            {
                // A full list is a call with more identities than a message can carry; the first count.
                self.numbers.push(digits);
            }
        }
    }

    /// Forbids an id of the other leg: Call-ID, tag.
    pub fn id(&mut self, id: &[u8]) {
        let is_new = || !self.ids.iter().any(|known| **known == *id);
        // A peer that takes one of our own words, or a mere number, for its id could only ring our alarm
        // with it.
        let is_name = || id.iter().any(u8::is_ascii_alphabetic) && !holds_id(OUR_WORDS, id);
        if id.len() >= ID_BYTES_MIN && self.has_room() && is_new() && is_name() {
            self.ids.push(id.into());
        }
    }

    /// Forbids an address of the other side, unless this side knows it anyway: both are often behind one
    /// SBC.
    pub fn address(&mut self, address: IpAddr) {
        let is_new = || !self.addresses.iter().any(|(known, _)| *known == address);
        if !self.known.contains(&address) && !address.is_unspecified() && self.has_room() && is_new() {
            let mut written = Vec::with_capacity(16);
            text::ip(&mut written, address);
            self.addresses.push((address, written.into_boxed_slice()));
        }
    }

    /// Gives back room that was for more: the call is answered, and little is added from now on.
    pub fn shrink(&mut self) {
        self.numbers.shrink_to_fit();
        self.ids.shrink_to_fit();
        self.addresses.shrink_to_fit();
        self.known.shrink_to_fit();
    }

    fn has_room(&self) -> bool {
        self.ids.len() + self.addresses.len() < IDS_MAX
    }

    /// Addresses that this side knows anyway: its own and ours.
    pub fn known(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            self.addresses.retain(|(forbidden, _)| forbidden != address);
            if address.is_ipv6() && !self.ids.is_empty() {
                // A peer whose id is written like this address could only ring our alarm with it.
                let written = address.to_string();
                self.ids.retain(|id| **id != *written.as_bytes());
            }
            if !self.known.contains(address) && self.known.len() < 16 {
                self.known.push(*address);
            }
        }
    }

    /// Words of the conf that our messages to this side hold anyway: an id of the other side that is one of them tells
    /// nothing, and could only ring our alarm.
    pub fn ours(&mut self, words: &[&str]) {
        self.ids
            .retain(|id| !words.iter().any(|word| holds_id(word.as_bytes(), id)));
    }

    /// Our own media addresses, which any description of ours may name.
    pub fn known_media(&mut self, media: &MediaConfig) {
        for address in media.all_advertised() {
            self.known(&[address]);
        }
    }

    /// Reads a message that is about to be sent.
    ///
    /// # Errors
    /// What was found first.
    pub fn check(&self, message: &[u8], scope: Scope) -> Result<(), Hit> {
        match scope {
            Scope::Whole => self.check_part(message),
            // What isn't in the whole isn't in a line of it: one pass is enough nearly always.
            Scope::Ours if self.check_part(message).is_ok() => Ok(()),
            Scope::Ours => {
                let body = memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
                let (head, rest) = message.split_at(body);
                let mut start = memmem::find(head, b"\r\n").map_or(head.len(), |at| at + 2);
                while start < head.len() {
                    let end = memmem::find(&head[start..], b"\r\n").map_or(head.len(), |at| start + at + 2);
                    let line = &head[start..end];
                    if !is_echo(line) {
                        self.check_part(line)?;
                    }
                    start = end;
                }
                self.check_part(rest)
            }
        }
    }

    fn check_part(&self, part: &[u8]) -> Result<(), Hit> {
        let addresses = self.addresses.iter().map(|(_, written)| written);
        if self.ids.iter().chain(addresses).any(|id| holds_id(part, id)) {
            return Err(Hit::Id);
        }
        if self.numbers_in(part) {
            Err(Hit::Number)
        } else {
            Ok(())
        }
    }

    /// A run counts with and without the separators in it; `%31` is a digit.
    fn numbers_in(&self, part: &[u8]) -> bool {
        let Some(shortest) = self.numbers.iter().map(|number| number.len()).min() else {
            return false;
        };
        // A number of n digits is at least n bytes, all of which may belong to a run: looking at every nth byte
        // misses none, and passes over most of a message.
        let stride = shortest.max(1);
        let mut at = stride - 1;
        while let Some(c) = part.get(at) {
            if !IN_RUN[usize::from(*c)] {
                at += stride;
                continue;
            }
            let (before, behind) = part.split_at(at);
            let start = at
                - before
                    .iter()
                    .rev()
                    .take_while(|c| IN_RUN[usize::from(**c)])
                    .count();
            let end = at + behind.iter().take_while(|c| IN_RUN[usize::from(**c)]).count();
            if end - start >= stride && self.number_within(part, start, end, shortest) {
                return true;
            }
            at = end + stride;
        }
        false
    }

    /// One pass over the digits between two places that no run crosses.
    fn number_within(&self, part: &[u8], from: usize, to: usize, shortest: usize) -> bool {
        let mut at = from;
        while let Some(offset) = part[at..to].iter().position(|c| c.is_ascii_digit() || *c == b'%') {
            at += offset;
            let start = at;
            // Ports, branches and payload types by the dozen: too short for any number, however it is written.
            if let Some((digits, end)) = plain_run(&part[start..to])
                && digits < shortest
            {
                at = start + end;
                continue;
            }
            let (mut run, mut folded) = (Run::default(), Run::default());
            while let Some((c, width)) = symbol(&part[at..to]) {
                if c.is_ascii_digit() {
                    run.push(c);
                    folded.push(c);
                } else if is_separator(c) {
                    if self.is_number(&run, part, start, at) {
                        return true;
                    }
                    run = Run::default();
                } else {
                    break;
                }
                at += width;
            }
            // An IPv4 address is no number with dots in it.
            let is_address = || part.get(start..at).is_some_and(is_ipv4);
            if self.is_number(&run, part, start, at)
                || (self.is_number(&folded, part, start, at) && !is_address())
            {
                return true;
            }
            at = at.max(start + 1);
        }
        false
    }

    fn is_number(&self, run: &Run, part: &[u8], start: usize, end: usize) -> bool {
        let digits = run.digits();
        self.numbers.iter().any(|n| n.as_bytes() == digits)
            && (digits.len() >= LONG_NUMBER_DIGITS || stands_as_number(part, start, end))
    }
}

/// The digits of one run; a run longer than any number is none.
#[derive(Default)]
struct Run {
    digits: [u8; 24],
    len: usize,
}

impl Run {
    fn push(&mut self, c: u8) {
        if let Some(place) = self.digits.get_mut(self.len) {
            *place = c;
        }
        self.len += 1;
    }

    /// Leading zeros don't count: `0086…` and `86…` are one.
    fn digits(&self) -> &[u8] {
        let whole = self.digits.get(..self.len).unwrap_or_default();
        let zeros = whole.iter().take_while(|c| **c == b'0').count();
        &whole[zeros..]
    }
}

/// Which bytes may stand in a run: digits, separators, and what escapes of either are made of.
const IN_RUN: [bool; 256] = {
    let mut in_run = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        // `%2D` and `%2E` are separators.
        in_run[byte] = c.is_ascii_digit() || is_separator(c) || matches!(c, b'%' | b'D' | b'E' | b'd' | b'e');
        byte += 1;
    }
    in_run
};

/// How many digits a run without escapes has, and how long it is with its separators; `None` for one with escapes.
fn plain_run(rest: &[u8]) -> Option<(usize, usize)> {
    let mut digits = 0;
    for (at, c) in rest.iter().enumerate() {
        if c.is_ascii_digit() {
            digits += 1;
        } else if *c == b'%' {
            return None;
        } else if !is_separator(*c) {
            return Some((digits, at));
        }
    }
    Some((digits, rest.len()))
}

/// The character here, escapes folded, and how many bytes it takes.
fn symbol(rest: &[u8]) -> Option<(u8, usize)> {
    match rest {
        [b'%', high, low, ..] => {
            let hex = |c: &u8| char::from(*c).to_digit(16);
            match (hex(high), hex(low)) {
                (Some(high), Some(low)) => Some(((high * 16 + low) as u8, 3)),
                _ => Some((b'%', 1)),
            }
        }
        [c, ..] => Some((*c, 1)),
        [] => None,
    }
}

fn is_ipv4(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::Ipv4Addr>().is_ok())
}

const fn is_separator(c: u8) -> bool {
    matches!(c, b'-' | b'.' | b' ' | b'(' | b')')
}

/// A short number counts in a URI's user, in quotes, after `tel:` or `=`: where a number can stand.
fn stands_as_number(part: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).and_then(|i| part.get(i));
    let after = part.get(end);
    let opens = matches!(before, Some(b':' | b'"' | b'+' | b'=' | b'<'));
    let closes = matches!(after, Some(b'@' | b'"' | b';' | b'>' | b'\r') | None);
    opens && closes
}

fn is_echo(line: &[u8]) -> bool {
    [
        &b"Via:"[..],
        b"From:",
        b"To:",
        b"Call-ID:",
        b"CSeq:",
        b"Route:",
        b"Record-Route:",
        // RFC 7989 §6: half of it is the peer's own.
        b"Session-ID:",
    ]
    .iter()
    .any(|name| {
        line.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    })
}

/// Whether `id` stands in `part` as a whole word (an address must not be found inside a longer one).
fn holds_id(part: &[u8], id: &[u8]) -> bool {
    memmem::find_iter(part, id).any(|at| {
        let edge = |c: Option<&u8>| !c.is_some_and(|c| c.is_ascii_alphanumeric());
        edge(at.checked_sub(1).and_then(|i| part.get(i))) && edge(part.get(at + id.len()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::sip::method::reason_phrase;

    fn forbidden(number: &str) -> Forbidden {
        let plan = NumberPlan::default();
        let mut forbidden = Forbidden::default();
        forbidden.number(RealNumber::new(plan.normalise(number).expect(number)), &plan);
        forbidden
    }

    #[test]
    fn a_number_is_found_in_every_writing() {
        let guard = forbidden("13800000001");
        for text in [
            "sip:13800000001@h",
            "+8613800000001",
            "008613800000001",
            "013800000001",
            "8613800000001",
            "138-0000-0001",
            "(138) 0000.0001",
            "%31%33800000001",
            "s=call 13800000001 5",
            "x13800000001y",
            "\"+86 138 0000 0001\"",
            "tel:+86-138-0000-0001;x",
        ] {
            let message = format!("INVITE sip:a SIP/2.0\r\nX: {text}\r\n\r\n");
            assert_eq!(
                guard.check(message.as_bytes(), Scope::Whole),
                Err(Hit::Number),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn looking_at_every_nth_byte_finds_what_one_pass_finds(
            number in select(vec!["10086", "13800000001", "057187654321", "95588"]),
            written in select(vec![
                "10086", "1-0-0-8-6", "%31%300%386", "13800000001", "+86 138-0000-0001", "8613800000001",
                "1%2D3%2e80%280000001", "0571.8765.4321", "95588", "955 88",
            ]),
            before in "[0-9aAdDeEx%+. ()@:;=<\"\r\n-]{0,30}",
            behind in "[0-9aAdDeEx%+. ()@:;=>\"\r\n-]{0,30}",
        ) {
            let guard = forbidden(number);
            let text = format!("{before}{written}{behind}");
            let shortest = guard.numbers.iter().map(|number| number.len()).min().unwrap_or(0);
            let by_one_pass = guard.number_within(text.as_bytes(), 0, text.len(), shortest);
            prop_assert_eq!(guard.numbers_in(text.as_bytes()), by_one_pass, "{}", text);
        }
    }

    #[test]
    fn other_digits_pass() {
        let guard = forbidden("13800000001");
        for text in [
            "17000000001",
            "138000000012",
            "213800000001",
            "127.0.0.1:5060",
            "m=audio 20000 RTP/AVP 8 0 101",
        ] {
            assert_eq!(guard.check(text.as_bytes(), Scope::Whole), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_short_number_is_found_where_a_number_stands_and_not_in_a_length() {
        let guard = forbidden("10086");
        assert_eq!(
            guard.check(b"From: <sip:10086@h>", Scope::Whole),
            Err(Hit::Number)
        );
        assert_eq!(
            guard.check(b"From: \"10086\" <sip:x@h>", Scope::Whole),
            Err(Hit::Number)
        );
        assert_eq!(guard.check(b"m=audio 10086 RTP/AVP 8", Scope::Whole), Ok(()));
    }

    #[test]
    fn an_address_is_no_number_with_dots_in_it() {
        let guard = forbidden("19216810020");
        assert_eq!(guard.check(b"c=IN IP4 192.168.100.20\r\n", Scope::Whole), Ok(()));
        assert_eq!(
            guard.check(b"s=192-1681-0020\r\n", Scope::Whole),
            Err(Hit::Number)
        );
    }

    #[test]
    fn a_peer_can_not_ring_the_alarm_with_our_own_words() {
        let mut guard = Forbidden::default();
        for id in [
            &b"sendrecv"[..],
            b"application",
            b"17000000001",
            b"telephone-event",
            b"refresher",
            b"Unavailable",
            b"Progress",
            b"maxptime",
        ] {
            guard.id(id);
        }
        let ours = b"SIP/2.0 480 Temporarily Unavailable\r\nContact: <sip:17000000001@h>\r\n\
            Session-Expires: 90;refresher=uac\r\nContent-Type: application/sdp\r\n\r\na=sendrecv\r\na=maxptime:40\r\n";
        assert_eq!(guard.check(ours, Scope::Whole), Ok(()));
    }

    #[test]
    fn no_word_of_a_reason_phrase_can_be_the_name_of_anything() {
        for status in 100..700 {
            for word in reason_phrase(status)
                .split(' ')
                .flat_map(|words| words.split('/'))
            {
                let mut guard = Forbidden::default();
                guard.id(word.as_bytes());
                assert!(guard.ids.is_empty(), "{word}");
            }
        }
    }

    #[test]
    fn ids_and_addresses_of_the_other_side_are_found_as_whole_words() {
        let mut guard = Forbidden::default();
        guard.id(b"abc-call-id@10.0.0.1");
        guard.address([10, 0, 0, 7].into());
        guard.known(&[[10, 0, 0, 7].into()]);
        guard.address([10, 0, 0, 1].into());
        guard.address([10, 0, 0, 7].into());
        assert_eq!(
            guard.check(b"In-Reply-To: abc-call-id@10.0.0.1\r\n", Scope::Whole),
            Err(Hit::Id)
        );
        assert_eq!(guard.check(b"c=IN IP4 10.0.0.1\r\n", Scope::Whole), Err(Hit::Id));
        assert_eq!(guard.check(b"c=IN IP4 10.0.0.12\r\n", Scope::Whole), Ok(()));
        assert_eq!(
            guard.check(b"c=IN IP4 10.0.0.7\r\n", Scope::Whole),
            Ok(()),
            "both sides are there"
        );
    }

    #[test]
    fn an_id_that_is_a_word_of_ours_is_none() {
        let mut guard = Forbidden::default();
        for word in [
            "Proxy-Authorization",
            "username",
            "SHA-512-256",
            "AES_CM_128_HMAC_SHA1_80",
            "RTP/SAVP",
        ] {
            guard.id(word.as_bytes());
        }
        assert!(
            guard.ids.is_empty(),
            "what a proof, or a line of keys, is made of"
        );
        guard.id(b"sip.carrier.example");
        guard.id(b"somebody@carrier.example");
        guard.ours(&["sip.carrier.example:5070", "umbra"]);
        let to = b"To: <sip:1@sip.carrier.example:5070>\r\n";
        assert_eq!(guard.check(to, Scope::Whole), Ok(()), "the gateway's own name");
        let other = b"X: somebody@carrier.example\r\n";
        assert_eq!(guard.check(other, Scope::Whole), Err(Hit::Id));
    }

    #[test]
    fn a_sides_own_words_go_back_to_it_and_nothing_else_does() {
        let guard = forbidden("13900000002");
        let echo = "SIP/2.0 180 Ringing\r\nTo: <sip:13900000002@x>\r\nContact: <sip:us>\r\n\r\n";
        assert_eq!(guard.check(echo.as_bytes(), Scope::Ours), Ok(()));
        for leak in [
            "SIP/2.0 180 Ringing\r\nContact: <sip:13900000002@x>\r\n\r\n",
            "SIP/2.0 200 OK\r\nTo: <sip:a>\r\n\r\no=13900000002 1 1 IN IP4 1.2.3.4\r\n",
        ] {
            assert_eq!(
                guard.check(leak.as_bytes(), Scope::Ours),
                Err(Hit::Number),
                "{leak}"
            );
        }
    }
}

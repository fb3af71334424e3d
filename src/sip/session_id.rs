//! Session-ID (RFC 7989): a name for a session that its two ends make together, half by half.
//!
//! The RFC wants it to go from end to end. Between two parties who must not know of each other it goes from us to
//! each of them: each leg has a half of ours, made for it alone, and its peer's half is given back to that peer only.

use serde::{Deserialize, Serialize};

use super::header::{Name, trim};
use super::message::Message;
use crate::base::chance::Chance;

/// Characters of one half: a UUID without its hyphens.
const HALF: usize = 32;
/// The half of an end that isn't known yet (RFC 7989 §5).
const NIL: [u8; HALF] = [b'0'; HALF];
const REMOTE: &[u8] = b";remote=";
/// Characters of the whole value.
const VALUE: usize = 2 * HALF + REMOTE.len();
/// Digits in a row that a half of ours may hold: nothing of ours can be taken for a number.
const DIGITS_MAX: usize = 4;

/// The two halves of one leg's name, as that leg has them.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionId {
    ours: [u8; HALF],
    theirs: [u8; HALF],
}

impl std::fmt::Debug for SessionId {
    /// Says nothing: a peer may write what it likes into its half.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId(…)")
    }
}

impl SessionId {
    /// A new one, of which only our half is known: a random UUID (RFC 4122 §4.4, RFC 7989 §4.1).
    pub fn mint(chance: &mut Chance) -> Self {
        loop {
            let mut ours = [0; HALF];
            for half in ours.chunks_mut(16) {
                let bits = chance.bits();
                for (at, letter) in half.iter_mut().enumerate() {
                    *letter = hex((bits >> (4 * at)) as u8 & 0xF);
                }
            }
            // Version and variant.
            ours[12] = b'4';
            ours[16] = hex(8 | (chance.bits() as u8 & 3));
            let longest = ours
                .split(|letter| !letter.is_ascii_digit())
                .map(<[u8]>::len)
                .max();
            if longest.is_some_and(|digits| digits <= DIGITS_MAX) {
                return Self { ours, theirs: NIL };
            }
        }
    }

    /// The name that a peer's message gives back, where nothing is kept of it any more: our half, which it calls the
    /// remote one, and its own.
    pub fn given_back(message: &Message<'_>) -> Option<Self> {
        let value = message.get(Name::SessionId)?;
        let mut params = value.split(|byte| *byte == b';').skip(1).map(trim);
        let ours = half(params.find_map(|param| param.strip_prefix(b"remote="))?)?;
        let mut given = Self { ours, theirs: NIL };
        given.hear(message);
        Some(given)
    }

    /// Takes in the peer's half from a message of its leg, if it tells one that can be read: its last word counts
    /// (RFC 7989 §6).
    pub fn hear(&mut self, message: &Message<'_>) {
        let value = message.get(Name::SessionId).unwrap_or_default();
        if let Some(half) = half(trim(value.split(|byte| *byte == b';').next().unwrap_or_default())) {
            self.theirs = half;
        }
    }

    /// The header's value: our half, and theirs as `remote`.
    pub fn value(&self) -> [u8; VALUE] {
        let mut value = [0; VALUE];
        let parts = self.ours.iter().chain(REMOTE).chain(&self.theirs);
        for (place, byte) in value.iter_mut().zip(parts) {
            *place = *byte;
        }
        value
    }
}

/// One half as a message writes it.
fn half(text: &[u8]) -> Option<[u8; HALF]> {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    <[u8; HALF]>::try_from(text)
        .ok()
        .filter(|half| half.iter().all(is_hex))
}

const fn hex(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(id: &mut SessionId, header: &str) -> String {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:x@h>;tag=2\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n{header}\r\n"
        );
        id.hear(&Message::parse(text.as_bytes()).expect("readable"));
        let value = String::from_utf8(id.value().to_vec()).expect("ASCII");
        value.split_once(";remote=").expect("two halves").1.to_owned()
    }

    #[test]
    fn a_half_of_ours_is_a_random_uuid_that_nobody_takes_for_a_number() {
        let mut chance = Chance::from_number(7);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let id = SessionId::mint(&mut chance);
            let (ours, theirs) = (String::from_utf8_lossy(&id.ours).into_owned(), id.theirs);
            assert_eq!((ours.as_bytes()[12], theirs), (b'4', NIL));
            assert!("89ab".contains(char::from(ours.as_bytes()[16])), "{ours}");
            let runs = ours.split(|c: char| !c.is_ascii_digit());
            assert!(runs.map(str::len).max() <= Some(4), "{ours}");
            assert!(seen.insert(ours));
        }
    }

    #[test]
    fn a_name_is_given_back_with_both_halves_or_not_at_all() {
        let given = |header: &str| {
            let text = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
                 To: <sip:x@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{header}\r\n"
            );
            let id = SessionId::given_back(&Message::parse(text.as_bytes()).expect("readable"))?;
            Some(String::from_utf8(id.value().to_vec()).expect("ASCII"))
        };
        let (one, two) = ("a".repeat(32), "b".repeat(32));
        let full = format!("Session-ID: {one};x=1 ; remote={two}\r\n");
        assert_eq!(given(&full), Some(format!("{two};remote={one}")));
        for unread in [
            String::new(),
            format!("Session-ID: {one}\r\n"),
            format!("Session-ID: {one};remote=b\r\n"),
        ] {
            assert_eq!(given(&unread), None, "{unread}");
        }
    }

    #[test]
    fn the_peers_half_is_its_last_readable_word() {
        let mut id = SessionId::mint(&mut Chance::from_number(1));
        let nil = "0".repeat(32);
        let half = "ab30317f1a784dc48ff824d0d3715d86";
        assert_eq!(heard(&mut id, ""), nil);
        assert_eq!(heard(&mut id, "Session-ID: nonsense\r\n"), nil);
        assert_eq!(
            heard(&mut id, &format!("Session-ID: {half};remote={nil}\r\n")),
            half
        );
        for unread in [
            "",
            "Session-ID: \r\n",
            "Session-ID: AB30317F1A784DC48FF824D0D3715D86\r\n",
        ] {
            assert_eq!(heard(&mut id, unread), half, "{unread}");
        }
        let other = "47755a9de7794ba387653f2099600ef2";
        assert_eq!(heard(&mut id, &format!("session-id: {other} ; x=1\r\n")), other);
    }
}

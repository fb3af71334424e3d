//! What a leg's peer can do beyond RFC 3261, as the messages say that make or refresh its dialog.

use serde::{Deserialize, Serialize};

use crate::sip::header::{Name, trim};
use crate::sip::message::Message;

/// Whether a peer knows something. What it never spoke of it doesn't know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Knows {
    /// It said so.
    Yes,
    /// It didn't.
    #[default]
    No,
}

impl Knows {
    /// Whether it does.
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

/// What a peer can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    /// Reliable provisional responses (`100rel`, RFC 3262).
    pub rel: Knows,
    /// UPDATE (RFC 3311).
    pub update: Knows,
    /// Session timers (`timer`, RFC 4028).
    pub timer: Knows,
    /// INFO (RFC 6086).
    pub info: Knows,
}

impl Peer {
    /// Reads what a message says of its sender. A list counts as a whole, and until the next one: a message without
    /// `Allow` leaves the methods as they were, one without `Supported` and `Require` the extensions.
    pub fn hear(&mut self, message: &Message<'_>) {
        if let Some(first) = message.get(Name::Allow) {
            (self.update, self.info) = (Knows::No, Knows::No);
            let mut method = |name: &[u8]| match name {
                b"UPDATE" => self.update = Knows::Yes,
                b"INFO" => self.info = Knows::Yes,
                _ => {}
            };
            tokens(first).for_each(&mut method);
            // Mostly there is one line.
            message
                .lines(Name::Allow)
                .skip(1)
                .flat_map(tokens)
                .for_each(&mut method);
        }
        let says = |name| message.get(name).is_some();
        if says(Name::Supported) || says(Name::Require) {
            (self.rel, self.timer) = (Knows::No, Knows::No);
            for name in [Name::Supported, Name::Require] {
                for tag in message.lines(name).flat_map(tokens) {
                    if tag.eq_ignore_ascii_case(b"100rel") {
                        self.rel = Knows::Yes;
                    } else if tag.eq_ignore_ascii_case(b"timer") {
                        self.timer = Knows::Yes;
                    }
                }
            }
        }
    }
}

/// The tokens of a list that holds nothing else: neither quotes nor brackets hide its commas.
fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(peer: &mut Peer, headers: &str) {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:x@h>;tag=2\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n{headers}\r\n"
        );
        peer.hear(&Message::parse(text.as_bytes()).expect("readable"));
    }

    #[test]
    fn what_a_peer_never_spoke_of_it_does_not_know() {
        let mut peer = Peer::default();
        heard(&mut peer, "");
        assert_eq!(peer, Peer::default());
    }

    #[test]
    fn lists_are_read_in_every_spelling_and_as_a_whole() {
        let mut peer = Peer::default();
        heard(
            &mut peer,
            "Allow: INVITE,ACK\r\nallow: BYE , UPDATE\r\nk: Replaces, 100REL\r\nRequire: timer\r\n",
        );
        let all_but_info = Peer {
            rel: Knows::Yes,
            update: Knows::Yes,
            timer: Knows::Yes,
            info: Knows::No,
        };
        assert_eq!(peer, all_but_info);
        heard(&mut peer, "");
        assert_eq!(peer, all_but_info);
        heard(&mut peer, "Allow: INFO\r\nSupported:\r\n");
        let only_info = Peer {
            info: Knows::Yes,
            ..Peer::default()
        };
        assert_eq!(peer, only_info);
        heard(&mut peer, "Allow: update\r\n");
        assert_eq!(peer, Peer::default(), "a method's case matters (RFC 3261 §7.1)");
    }
}

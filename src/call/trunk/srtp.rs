//! Whether the audio of a trunk's legs is secured (RFC 3711), by keys that stand in their descriptions (RFC 4568).

use crate::base::keying::{Suite, Suites};
use crate::sdp::crypto::Mode;
use crate::sip::path::Transport;

/// What a trunk wants of SRTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srtp {
    /// Whether its audio is secured.
    pub mode: Mode,
    /// By what, the best first: offered in this order, and what isn't named is not taken.
    pub suites: Suites,
    /// Whether keys may stand in messages that everybody on their way can read.
    pub keys_in_clear: KeysInClear,
}

/// Whether keys may stand in messages that go by UDP or TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeysInClear {
    /// They may not (RFC 4568 §7): without TLS nothing is secured.
    #[default]
    No,
    /// They may: something else keeps the way secret.
    Yes,
}

impl Default for Srtp {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            suites: Suite::ALL.into(),
            keys_in_clear: KeysInClear::No,
        }
    }
}

impl Srtp {
    /// What that comes to on a leg whose messages go this way: where keys may not be named, who must have them gets
    /// none, and nothing can be agreed on.
    pub fn over(&self, transport: Transport) -> (Mode, Suites) {
        let is_secret = match (transport, self.keys_in_clear) {
            (Transport::Tls, _) | (_, KeysInClear::Yes) => true,
            (Transport::Udp | Transport::Tcp, KeysInClear::No) => false,
        };
        match (self.mode, is_secret) {
            (Mode::Off, _) | (Mode::Optional, false) => (Mode::Off, Suites::new()),
            (Mode::Required, false) => (Mode::Required, Suites::new()),
            (mode @ (Mode::Optional | Mode::Required), true) => (mode, self.suites.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_only_where_nobody_else_can_read_it_unless_the_conf_says_so() {
        let over = |mode, transport, keys_in_clear| {
            let srtp = Srtp {
                mode,
                keys_in_clear,
                ..Srtp::default()
            };
            let (mode, suites) = srtp.over(transport);
            (mode, suites.len())
        };
        let (udp, tls) = (Transport::Udp, Transport::Tls);
        assert_eq!(over(Mode::Optional, udp, KeysInClear::No), (Mode::Off, 0));
        assert_eq!(over(Mode::Required, udp, KeysInClear::No), (Mode::Required, 0));
        assert_eq!(over(Mode::Optional, udp, KeysInClear::Yes), (Mode::Optional, 2));
        assert_eq!(over(Mode::Required, tls, KeysInClear::No), (Mode::Required, 2));
        assert_eq!(over(Mode::Off, tls, KeysInClear::Yes), (Mode::Off, 0));
    }
}

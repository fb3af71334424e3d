//! How a phone secures its media (RFC 3711): keys of its own in its descriptions (RFC 4568), and those of the other side.

use std::collections::HashSet;

use umbra::base::keying::{Keying, Suite};
use umbra::rtp::srtp::{Open, RTP_GROWTH_MAX, Seal};

use super::super::sdp::Heard;
use super::Call;

/// The suites by their names in a ladder.
pub const SUITES: [(&str, Suite); 2] = [("cm", Suite::AesCm128HmacSha1_80), ("gcm", Suite::AeadAes256Gcm)];

/// What is said of a packet that doesn't open.
pub const NOT_AUTHENTIC: &str = "it doesn't authenticate";

/// What a description says of security.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Secure {
    /// Whether its line is of RTP/SAVP.
    pub savp: bool,
    /// Its keys, in order: tag, suite, key in base64.
    pub keys: Vec<(u32, Suite, String)>,
}

impl Secure {
    /// What a ladder says of it: `cm,gcm`, and whose line it is.
    pub fn words(&self) -> String {
        let name = |suite| {
            SUITES
                .iter()
                .find(|(_, known)| *known == suite)
                .map_or("?", |(name, _)| *name)
        };
        let names: Vec<&str> = self.keys.iter().map(|(_, suite, _)| name(*suite)).collect();
        let profile = if self.savp { "savp" } else { "avp" };
        format!("{profile}:{}", names.join(","))
    }
}

/// What secures a call's media, as both sides have agreed.
#[derive(Default)]
pub struct Crypt {
    /// Our key, and what seals by it.
    seal: Option<(String, Seal)>,
    /// Theirs, and what opens by it.
    open: Option<(String, Open)>,
    /// The SSRCs that Umbra's packets had under each of its keys, and in which process.
    seen: HashSet<(String, u32, usize)>,
    /// How often Umbra was started again.
    pub restarts: usize,
}

impl std::fmt::Debug for Crypt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("keys")
    }
}

/// A key of a phone's own, for the `number`th time that it makes one.
pub fn own_key(seed: &str, suite: Suite, number: u32) -> String {
    let length = suite.key_bytes() + suite.salt_bytes();
    // Whatever differs from phone to phone and call to call.
    let mut state = seed
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64 ^ u64::from(number), |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect();
    base64(&bytes)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let word = chunk
                .iter()
                .chain([0, 0].iter())
                .take(3)
                .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
            (0..4).map(move |at| match at <= chunk.len() {
                true => char::from(LETTERS[(word >> (18 - 6 * at)) as usize & 63]),
                false => '=',
            })
        })
        .collect()
}

fn unbase64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    letters
        .chunks(4)
        .flat_map(|chunk| {
            let word =
                chunk.iter().fold(0_u32, |word, six| word << 6 | u32::from(*six)) << (6 * (4 - chunk.len()));
            let bytes = [(word >> 16) as u8, (word >> 8) as u8, word as u8];
            bytes.into_iter().take(chunk.len() - 1)
        })
        .collect()
}

fn keying(suite: Suite, key: &str) -> Keying {
    Keying::new(suite, &unbase64(key)).unwrap_or_else(|| panic!("no key of {suite:?}: {key}"))
}

impl Call {
    /// The keys that are agreed: ours, theirs.
    fn agreed(&self) -> Option<(Suite, String, String)> {
        let heard: &Heard = self.heard.as_ref()?;
        self.secure.keys.iter().find_map(|(tag, suite, ours)| {
            let mut theirs = heard.secure.keys.iter();
            let (_, _, theirs) =
                theirs.find(|(their_tag, their_suite, _)| (their_tag, their_suite) == (tag, suite))?;
            Some((*suite, ours.clone(), theirs.clone()))
        })
    }

    /// What goes out instead of this packet: sealed, if that is agreed.
    pub(super) fn sealed(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let Some((suite, ours, _)) = self.agreed() else {
            return bytes;
        };
        if self.crypt.seal.as_ref().is_none_or(|(key, _)| *key != ours) {
            let seal = Seal::new(&keying(suite, &ours)).expect("its own length");
            self.crypt.seal = Some((ours, seal));
        }
        let (_, seal) = self.crypt.seal.as_mut().expect("made above");
        if (192..=223).contains(&bytes[1]) {
            seal.rtcp(&mut bytes).expect("a report");
            return bytes;
        }
        let length = bytes.len();
        bytes.resize(length + RTP_GROWTH_MAX, 0);
        let place = seal
            .rtp(&mut bytes, 0..length)
            .expect("each sequence number once");
        bytes[place].to_vec()
    }

    /// What a packet of Umbra's is in the clear.
    ///
    /// # Errors
    /// It is agreed that packets are secured, and this one doesn't authenticate, or Umbra has used its key and SSRC in a
    /// process before.
    pub fn opened(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let Some((suite, _, theirs)) = self.agreed() else {
            return Ok(bytes);
        };
        if self.crypt.open.as_ref().is_none_or(|(key, _)| *key != theirs) {
            let open = Open::new(&keying(suite, &theirs), 0).expect("its own length");
            self.crypt.open = Some((theirs.clone(), open));
        }
        let restarts = self.crypt.restarts;
        let (_, open) = self.crypt.open.as_mut().expect("made above");
        let is_rtcp = (192..=223).contains(&bytes[1]);
        let length = match is_rtcp {
            true => open.rtcp(&mut bytes),
            false => open.rtp(&mut bytes),
        };
        bytes.truncate(length.ok_or(NOT_AUTHENTIC)?);
        let at = if is_rtcp { 4 } else { 8 };
        let ssrc = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut before = (0..restarts).map(|process| (theirs.clone(), ssrc, process));
        if before.any(|used| self.crypt.seen.contains(&used)) {
            return Err(format!("a process before has used this key with SSRC {ssrc:08x}"));
        }
        self.crypt.seen.insert((theirs, ssrc, restarts));
        Ok(bytes)
    }
}

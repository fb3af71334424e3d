//! `a=crypto` (RFC 4568): the key by which whoever writes it secures what it sends, and what a leg does about that.
//!
//! A key stands in its own leg's descriptions and in nothing that crosses: [`Terms`](super::answer::Terms) have no
//! field for one. Each leg has keys of its own, both ways.

use arrayvec::ArrayVec;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use super::media::{Media, MediaKind, Proto};
use crate::base::keying::{KEYING_BYTES_MAX, Keying, Suite};

/// Padding is written, and may be left away (RFC 4568 §6.1).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The most packets that a key may be used for, as a power of two (RFC 3711 §9.2).
const LIFETIME_BITS_MAX: u32 = 48;

/// One `a=crypto` line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Crypto {
    /// By which the answer names it.
    pub tag: u32,
    /// What its writer secures its packets with.
    pub keying: Keying,
}

/// What a leg does about SRTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Mode {
    /// Nothing: its media is plain RTP.
    #[default]
    Off,
    /// Its media is secured if the other side wants that too. Our offers say RTP/AVP with keys (RFC 8643), which who
    /// knows nothing of them answers with plain RTP.
    Optional,
    /// Its media is secured or there is none. Our offers say RTP/SAVP.
    Required,
}

/// What we bring to a leg's descriptions: whether its media is to be secured, and a key of ours for each suite that may
/// be used, the best first. Without a key nothing can be secured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Protection {
    /// Whether it is to be secured.
    pub mode: Mode,
    /// Our keys.
    pub ours: ArrayVec<Keying, { Suite::ALL.len() }>,
}

/// The protocol in an audio line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Profile {
    /// `RTP/AVP`: plain, or secured all the same where both sides name a key (RFC 8643).
    Avp,
    /// `RTP/SAVP`: secured.
    Savp,
}

/// What our audio line says of its security.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Its protocol.
    pub profile: Profile,
    /// Our keys: all that may be used in an offer, the one that is used in an answer.
    pub cryptos: ArrayVec<Crypto, { Suite::ALL.len() }>,
}

/// How a leg's media is secured, as both sides have agreed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Secured {
    /// The protocol of its audio line.
    pub profile: Profile,
    /// By which both name it.
    pub tag: u32,
    /// What we seal with.
    pub ours: Keying,
    /// What the peer seals with: the same suite.
    pub theirs: Keying,
}

impl Protection {
    /// Nothing is secured.
    pub const OFF: Self = Self {
        mode: Mode::Off,
        ours: ArrayVec::new_const(),
    };

    /// Our key for a suite.
    fn ours(&self, suite: Suite) -> Option<&Keying> {
        self.ours.iter().find(|keying| keying.suite() == suite)
    }

    /// How an offered line would be secured: by the first of its keys that we have a suite for. `None`: we can't carry
    /// it. `Some(None)`: plainly.
    pub(super) fn take(&self, media: &Media) -> Option<Option<Box<Secured>>> {
        if media.kind != MediaKind::Audio || media.port == 0 {
            return None;
        }
        let profile = match media.proto {
            Proto::RtpAvp => Profile::Avp,
            Proto::RtpSavp => Profile::Savp,
            Proto::Other(_) => return None,
        };
        let secured = media.cryptos.iter().find_map(|crypto| {
            Some(Box::new(Secured {
                profile,
                tag: crypto.tag,
                ours: self.ours(crypto.keying.suite())?.clone(),
                theirs: crypto.keying.clone(),
            }))
        });
        match (self.mode, profile) {
            (Mode::Off, Profile::Avp) => Some(None),
            (Mode::Optional, Profile::Avp) => Some(secured),
            (Mode::Off, Profile::Savp) => None,
            (Mode::Optional, Profile::Savp) | (Mode::Required, _) => secured.map(Some),
        }
    }

    /// What the first offer of ours says.
    pub fn offer(&self) -> Line {
        let profile = match self.mode {
            Mode::Off | Mode::Optional => Profile::Avp,
            Mode::Required => Profile::Savp,
        };
        let tags = 1_u32..;
        let cryptos = tags.zip(&self.ours).map(|(tag, keying)| Crypto {
            tag,
            keying: keying.clone(),
        });
        Line {
            profile,
            cryptos: cryptos.collect(),
        }
    }
}

impl Line {
    /// Nothing is secured.
    pub const PLAIN: Self = Self {
        profile: Profile::Avp,
        cryptos: ArrayVec::new_const(),
    };

    /// What our answer to an offer says that is secured so, or plainly.
    pub fn answer(secured: Option<&Secured>) -> Self {
        let Some(secured) = secured else {
            return Self::PLAIN;
        };
        Self {
            profile: secured.profile,
            cryptos: std::iter::once(Crypto {
                tag: secured.tag,
                keying: secured.ours.clone(),
            })
            .collect(),
        }
    }

    /// How an answered line is secured, to an offer of ours that said this, on a leg where audio is secured by `mode`.
    /// `None`: it is no answer that we can use. `Some(None)`: plainly.
    pub(super) fn check(&self, mode: Mode, media: &Media) -> Option<Option<Box<Secured>>> {
        if media.kind != MediaKind::Audio || media.port == 0 {
            return None;
        }
        let is_secure = match media.proto {
            Proto::RtpAvp => false,
            Proto::RtpSavp => true,
            Proto::Other(_) => return None,
        };
        // RFC 4568 §5.1.2: one of those that were offered, by its tag.
        let secured = media.cryptos.iter().find_map(|crypto| {
            let is_it =
                |ours: &&Crypto| ours.tag == crypto.tag && ours.keying.suite() == crypto.keying.suite();
            let ours = self.cryptos.iter().find(is_it)?;
            Some(Box::new(Secured {
                profile: self.profile,
                tag: crypto.tag,
                ours: ours.keying.clone(),
                theirs: crypto.keying.clone(),
            }))
        });
        match (secured, mode) {
            (Some(secured), _) => Some(Some(secured)),
            (None, Mode::Off | Mode::Optional) => {
                (!is_secure && self.profile == Profile::Avp).then_some(None)
            }
            (None, Mode::Required) => None,
        }
    }

    /// Whether its keys are as long as their suites have them: what was read back may not be.
    pub fn is_sound(&self) -> bool {
        self.cryptos.iter().all(|crypto| crypto.keying.is_sound())
    }
}

impl Secured {
    /// Whether its keys fit their suite, which is one: what was read back may not be.
    pub fn is_sound(&self) -> bool {
        let is_one = self.ours.suite() == self.theirs.suite();
        is_one && self.ours.is_sound() && self.theirs.is_sound()
    }
}

/// Reads what stands behind `a=crypto:`. `None`: it is no key that we can use: of a suite that we don't know, several
/// keys in one line or one with a key identifier (RFC 4568 §6.1: whoever needs one offers another line besides), or a
/// session parameter that would change how packets are secured.
pub(super) fn read(value: &[u8]) -> Option<Crypto> {
    let mut words = value
        .split(|c| matches!(c, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    let tag = words.next()?;
    let tag = Some(tag).filter(|tag| tag.len() <= 9).and_then(number)?;
    let suite = Suite::of(words.next()?)?;
    let (method, key) = words.next()?.split_at_checked(b"inline:".len())?;
    if !method.eq_ignore_ascii_case(b"inline:") {
        return None;
    }
    let mut parts = key.split(|c| *c == b'|');
    let mut bytes = [0; KEYING_BYTES_MAX + 2];
    // Its room is what the longest key needs, so whatever is longer is refused here.
    let length = BASE64.decode_slice(parts.next()?, &mut bytes).ok()?;
    let keying = Keying::new(suite, bytes.get(..length)?)?;
    if let Some(lifetime) = parts.next() {
        is_lifetime(lifetime).then_some(())?;
    }
    if parts.next().is_some() || !words.all(may_be_ignored) {
        return None;
    }
    Some(Crypto { tag, keying })
}

/// Writes what stands behind `a=crypto:`.
pub(super) fn write(out: &mut Vec<u8>, crypto: &Crypto) {
    let key = BASE64.encode(crypto.keying.bytes());
    let suite = crypto.keying.suite().name();
    out.extend_from_slice(format!("{} {suite} inline:{key}", crypto.tag).as_bytes());
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok()
}

/// `2^20` or `1048576` packets (RFC 4568 §6.1). Whoever names it has to change its key in time.
fn is_lifetime(text: &[u8]) -> bool {
    let count: Option<u64> = match text.strip_prefix(b"2^") {
        Some(power) => number(power).and_then(|power| 1_u64.checked_shl(power)),
        None => number(text),
    };
    count.is_some_and(|count| (1..=1 << LIFETIME_BITS_MAX).contains(&count))
}

/// Session parameters that needn't be obeyed (RFC 4568 §6.3): a hint at the size of our window, and those that say so
/// themselves by a minus.
fn may_be_ignored(parameter: &[u8]) -> bool {
    let window = parameter.strip_prefix(b"WSH=").and_then(number::<u32>);
    window.is_some() || parameter.starts_with(b"-")
}

#[cfg(test)]
mod tests;

//! How a side's audio is secured: our keys towards it, and under which SSRCs they were used.
//!
//! A key of ours is drawn for one leg, and for each gateway that is tried anew. It stays for the dialog's life, in this
//! process and the next one. There it must not make the same keystream again: that depends on key, SSRC and index, and
//! how far the index had come nobody knows. A new key would need a re-INVITE, and silence until it is answered, for
//! every call at once, and some peers refuse it. So it is the SSRC that is new, by which a peer tells streams apart in
//! any case. Each process takes one that lies behind all that the key was used with before ([`Ssrcs`]), by a step that
//! is drawn: so one that died before it could write its own down has had another than the one after it, but once in
//! 2^26 times. The journal is told of it before the media threads are, and nothing is sealed until they know.

use serde::{Deserialize, Serialize};

use super::{Bridge, Side};
use crate::base::chance::Chance;
use crate::base::keying::{Keying, Suites};
use crate::base::limits::SRTP_SSRCS;
use crate::call::hands::Hands;
use crate::call::kept::form;
use crate::call::media::MediaPort;
use crate::call::port::LegName;
use crate::rtp::flow::Security;
use crate::sdp::answer::Agreed;
use crate::sdp::crypto::{Line, Mode, Protection};

/// The longest step to the SSRCs of the next process: sixty restarts of one call fit in what there is.
const STEP_MAX: u32 = 1 << 26;

/// The SSRCs that a key of ours is used with. A process has [`SRTP_SSRCS`] of them, from one on: it begins another
/// where it can't go on with the one before, as after a change of clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(in crate::call) struct Ssrcs {
    /// The very first.
    first: u32,
    /// How far behind it this process begins.
    behind: u32,
}

impl Ssrcs {
    fn draw(chance: &mut Chance) -> Self {
        Self {
            first: chance.bits() as u32,
            behind: 0,
        }
    }

    /// Where this process begins.
    const fn now(self) -> u32 {
        self.first.wrapping_add(self.behind)
    }

    /// Those of the next process. `None`: there are no more that the key wasn't used with.
    fn next(self, chance: &mut Chance) -> Option<Self> {
        let step = SRTP_SSRCS + chance.below(STEP_MAX);
        let behind = self.behind.checked_add(step)?;
        behind.checked_add(SRTP_SSRCS)?;
        Some(Self { behind, ..self })
    }
}

/// What secures a side's audio, where it is secured at all.
#[derive(Debug)]
pub(super) struct Secret {
    /// What we bring to its descriptions.
    protection: Protection,
    /// What our last one said.
    line: Line,
    ssrcs: Ssrcs,
    /// Whether the media threads may use them: those of the process before they may not.
    may_seal: MaySeal,
    /// How often the peer's sequence numbers have rolled over, as far as we were told.
    rollovers: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum MaySeal {
    Yes,
    NotYet,
}

impl Secret {
    /// New keys. `None`: nothing is secured.
    pub(super) fn draw((mode, suites): (Mode, Suites), chance: &mut Chance) -> Option<Box<Self>> {
        match mode {
            Mode::Off => return None,
            Mode::Optional | Mode::Required => {}
        }
        let keys = suites.into_iter().map(|suite| Keying::draw(suite, chance));
        let protection = Protection {
            mode,
            ours: keys.collect(),
        };
        Some(Box::new(Self {
            line: protection.offer(),
            protection,
            ssrcs: Ssrcs::draw(chance),
            may_seal: MaySeal::Yes,
            rollovers: 0,
        }))
    }

    /// What we bring to its side's descriptions.
    pub(super) const fn protection(&self) -> &Protection {
        &self.protection
    }

    /// What our last description said of it.
    pub(super) const fn line(&self) -> &Line {
        &self.line
    }

    /// What was kept of it. `None`: no key is of its suite's length.
    pub(super) fn of_kept(kept: form::Secret<'_>) -> Option<Box<Self>> {
        let protection = kept.protection.into_owned();
        let line = kept.line.into_owned();
        let is_sound = protection.ours.iter().all(Keying::is_sound) && line.is_sound();
        is_sound.then(|| {
            Box::new(Self {
                protection,
                line,
                ssrcs: kept.ssrcs,
                may_seal: MaySeal::NotYet,
                rollovers: kept.rollovers,
            })
        })
    }
}

impl Side {
    /// What we bring to its descriptions.
    pub(super) fn protection(&self) -> &Protection {
        static OFF: Protection = Protection::OFF;
        self.secret.as_ref().map_or(&OFF, |secret| &secret.protection)
    }

    /// What our descriptions say of its audio's security: in an offer of ours what was said last, too.
    pub(super) fn line(&self) -> &Line {
        static PLAIN: Line = Line::PLAIN;
        self.secret.as_ref().map_or(&PLAIN, |secret| &secret.line)
    }

    /// From now on our descriptions answer an offer that is secured as this says.
    pub(super) fn answer_line(&mut self, agreed: &Agreed) {
        if let Some(secret) = self.secret.as_mut().filter(|_| agreed.fax.is_none()) {
            secret.line = Line::answer(agreed.secured.as_deref());
        }
    }

    /// Exchanges what our descriptions say: each fork of the called side has its own.
    pub(super) fn turn_line(&mut self, line: Option<Box<Line>>) -> Option<Box<Line>> {
        let secret = self.secret.as_mut()?;
        let line = line.map_or_else(|| secret.protection.offer(), |line| *line);
        Some(Box::new(std::mem::replace(&mut secret.line, line)))
    }

    /// Whether it may be without security: a fax always is.
    pub(super) fn may_be_plain(&self) -> bool {
        match self.protection().mode {
            Mode::Off | Mode::Optional => true,
            Mode::Required => false,
        }
    }

    /// What the media threads have to know.
    pub(super) fn security(&self) -> Option<Box<Security>> {
        let secured = self.agreed.as_ref()?.secured.as_deref()?;
        let secret = self.secret.as_ref()?;
        Some(Box::new(Security {
            ours: secured.ours.clone(),
            theirs: secured.theirs.clone(),
            ssrc: match secret.may_seal {
                MaySeal::Yes => Some(secret.ssrcs.now()),
                MaySeal::NotYet => None,
            },
            rollovers: secret.rollovers,
        }))
    }

    /// What has to be written down.
    pub(super) fn kept_secret(&self) -> Option<form::Secret<'_>> {
        use std::borrow::Cow::Borrowed;
        let secret = self.secret.as_ref()?;
        let agreed = self.agreed.as_ref();
        Some(form::Secret {
            protection: Borrowed(&secret.protection),
            line: Borrowed(&secret.line),
            ssrcs: secret.ssrcs,
            rollovers: secret.rollovers,
            secured: agreed.and_then(|agreed| agreed.secured.as_deref()).map(Borrowed),
        })
    }
}

impl Bridge {
    /// Takes SSRCs for each of our keys of a kept call that it wasn't used with before. `false`: one has none left.
    pub(in crate::call) fn renew_ssrcs(&mut self, chance: &mut Chance) -> bool {
        let secrets = self
            .sides
            .iter_mut()
            .flatten()
            .filter_map(|side| side.secret.as_mut());
        for secret in secrets {
            let Some(next) = secret.ssrcs.next(chance) else {
                return false;
            };
            (secret.ssrcs, secret.may_seal) = (next, MaySeal::Yes);
        }
        true
    }

    /// The media threads go on with a kept call: what they send may be sealed from now on.
    pub(in crate::call) fn order_seals(&mut self, hands: &mut Hands) {
        let mut sides = self.sides.iter().flatten();
        if sides.any(|side| side.secret.is_some()) {
            self.order_flows(hands);
        }
    }

    /// The sequence numbers of the peer on this port have rolled over so often.
    pub fn rolled_over(&mut self, port: MediaPort, rollovers: u32) {
        let mut sides = self.sides.iter_mut().flatten();
        let side = sides.find(|side| side.port == port);
        if let Some(secret) = side.and_then(|side| side.secret.as_mut()) {
            secret.rollovers = rollovers;
        }
    }

    /// What secures a leg, to be written down.
    pub(in crate::call) fn kept_secret(&self, leg: LegName) -> Option<form::Secret<'_>> {
        self.side(leg)?.kept_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_process_has_an_ssrc_that_one_before_it_may_have_used() {
        let mut chance = Chance::from_number(5);
        let mut now = Ssrcs::draw(&mut chance);
        let mut restarts = 0;
        // Far from the beginning, as a number on a circle.
        let far = |ssrcs: Ssrcs| u64::from(ssrcs.now().wrapping_sub(ssrcs.first));
        while let Some(next) = now.next(&mut chance) {
            assert!(far(next) >= far(now) + u64::from(SRTP_SSRCS));
            assert!(far(next) + u64::from(SRTP_SSRCS) <= 1 << 32);
            now = next;
            restarts += 1;
        }
        assert!(restarts >= 60, "{restarts}");
    }

    #[test]
    fn two_that_go_on_from_one_entry_differ() {
        let mut chance = Chance::from_number(6);
        let before = Ssrcs::draw(&mut chance);
        assert_ne!(before.next(&mut chance), before.next(&mut chance));
    }
}

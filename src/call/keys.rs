//! What a leg's peer keys to us, whichever way it comes: as events or tones on its stream, or in an INFO of its dialog.
//!
//! Here the three ways meet, and a key that comes more than one way is counted once ([`Twice`]). Keys wait until they are
//! asked for, so that what is keyed before the prompt counts too.
//!
//! Keys stand in no record, trace or log.

use arrayvec::ArrayVec;

use super::hands::Hands;
use super::media::MediaPort;
use super::phase::{Call, Recorded};
use super::port::LegName;
use crate::base::limits::KEYS_KEPT_MAX;
use crate::base::time::Now;
use crate::rtp::dtmf::Key;
use crate::rtp::ear::{Heard, Listening, Stroke};
use crate::rtp::twice::{Again, By, Twice};

/// What a leg's peer keyed while we listened.
#[derive(Debug, Default)]
pub struct Ear {
    /// Whether we listen still. After it a key that was counted may be told by a message yet, which is nobody else's.
    listening: Listening,
    twice: Twice,
    /// Keys that nobody has asked for.
    keys: ArrayVec<Key, KEYS_KEPT_MAX>,
}

impl Ear {
    /// A key came, for the first time or again. More than anybody can use are not kept.
    fn press(&mut self, key: Key, again: Again) {
        match (self.listening, again) {
            (Listening::Yes, Again::No) => {
                let _ = self.keys.try_push(key);
            }
            (Listening::Yes, Again::Yes) | (Listening::No | Listening::Between, Again::No | Again::Yes) => {}
        }
    }
}

/// Whose the key of an INFO is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// Ours: we listen to the leg.
    Ours,
    /// The other leg's peer's.
    Theirs,
}

impl Call {
    /// What this leg's peer keys is for us, from now on and until [`Call::hear_no_more`].
    pub fn hear(&mut self, hands: &mut Hands, name: LegName) {
        if let Some(leg) = self.leg(name) {
            leg.ear.get_or_insert_default().listening = Listening::Yes;
            self.bridge.listen(hands, name, Listening::Yes);
        }
    }

    /// What this leg's peer keys is the other one's again. What nobody has asked for is forgotten.
    pub fn hear_no_more(&mut self, hands: &mut Hands, name: LegName) {
        if let Some(leg) = self.leg(name) {
            if let Some(ear) = &mut leg.ear {
                ear.listening = Listening::No;
                ear.keys.clear();
            }
            let between = self.between(name);
            self.bridge.listen(hands, name, between);
        }
    }

    /// The next key that this leg's peer has keyed to us.
    pub fn next_key(&mut self, name: LegName) -> Option<Key> {
        let ear = self.leg(name)?.ear.as_mut()?;
        ear.keys.pop_at(0)
    }

    /// A key was heard on a leg's stream.
    pub fn heard(&mut self, now: Now, port: MediaPort, heard: Heard) {
        let Some(name) = self.bridge.leg_of(port) else {
            return;
        };
        let Some(ear) = self.ear(name) else { return };
        match heard.stroke {
            Stroke::Down => {
                let again = ear.twice.down(now.at, heard.key, heard.by);
                ear.press(heard.key, again);
            }
            Stroke::Up => ear.twice.up(now.at, heard.key, heard.by),
        }
    }

    /// A leg's peer told a key by a message.
    pub(super) fn told_key(&mut self, now: Now, name: LegName, key: Key) -> Whose {
        let Some(ear) = self.ear(name) else {
            return Whose::Theirs;
        };
        let again = ear.twice.told(now.at, key, By::Message);
        ear.press(key, again);
        match (ear.listening, again) {
            (Listening::Yes, Again::No | Again::Yes) | (Listening::No | Listening::Between, Again::Yes) => {
                Whose::Ours
            }
            (Listening::No | Listening::Between, Again::No) => Whose::Theirs,
        }
    }

    fn ear(&mut self, name: LegName) -> Option<&mut Ear> {
        if self.recorded != Recorded::Open {
            return None;
        }
        self.leg(name)?.ear.as_deref_mut()
    }
}

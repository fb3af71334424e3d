//! Events where one side tells its keys by INFO: its descriptions know nothing of them, and the other side's do.

use std::borrow::Cow;

use super::Bridge;
use crate::call::port::LegName;
use crate::call::trunk::Dtmf;
use crate::sdp::answer::{Agreed, Pair, Terms};
use crate::sdp::media::{Codec, CodecName};

impl Bridge {
    /// Whether a leg's peer has agreed on events.
    pub fn has_events(&self, leg: LegName) -> bool {
        self.agreed(leg).is_some_and(has_events)
    }

    /// Whether a leg's peer tells its keys by INFO, and hears them so.
    pub fn keys_by_info(&self, leg: LegName) -> bool {
        self.side(leg).is_some_and(|side| side.dtmf == Dtmf::Info)
    }

    /// Adds events to an offer to a leg, if the other one tells its keys by INFO and there are none in it.
    pub(super) fn offer_events(&self, leg: LegName, terms: &mut Terms) {
        if !self.keys_by_info(leg.other()) || terms.codecs.iter().any(|codec| codec.name.is_event()) {
            return;
        }
        let used = self.agreed(leg).map_or(&[][..], |agreed| &agreed.codecs);
        let is_audio = |codec: &&Codec| codec.name.is_audio();
        let Some(clock_hz) = terms.codecs.iter().find(is_audio).map(|audio| audio.clock_hz) else {
            return;
        };
        // A number keeps its meaning for as long as the dialog lives (RFC 3264 §8.3.2).
        let is_other = |pair: &Pair| !pair.theirs.name.is_event();
        let is_free = |number: &u8| {
            let is_its = |pair: &Pair| pair.ours == *number || pair.theirs.payload == *number;
            terms.codecs.iter().all(|codec| codec.payload != *number)
                && !used.iter().any(|pair| is_other(pair) && is_its(pair))
        };
        let before = used.iter().find(|pair| !is_other(pair)).map(|pair| pair.ours);
        let usual = CodecName::TelephoneEvent.payload();
        let mut numbers = before.into_iter().chain([usual]).chain(96..=127);
        if let Some(payload) = numbers.find(is_free) {
            terms.codecs.push(Codec {
                payload,
                ..events_at(clock_hz)
            });
        }
    }

    /// What a leg has settled, as the other leg is to know it: with events, if its peer tells its keys by INFO.
    pub(super) fn with_events<'a>(&self, leg: LegName, agreed: &'a Agreed) -> Cow<'a, Agreed> {
        let Some(audio) = (agreed.codecs.iter()).find(|pair| pair.theirs.name.is_audio()) else {
            return Cow::Borrowed(agreed);
        };
        if !self.keys_by_info(leg) || has_events(agreed) {
            return Cow::Borrowed(agreed);
        }
        let events = events_at(audio.theirs.clock_hz);
        let mut agreed = agreed.clone();
        agreed.codecs.push(Pair {
            ours: events.payload,
            theirs: events,
        });
        Cow::Owned(agreed)
    }
}

fn has_events(agreed: &Agreed) -> bool {
    agreed.codecs.iter().any(|pair| pair.theirs.name.is_event())
}

/// Events at the audio's clock (RFC 4733 §2.1).
fn events_at(clock_hz: u32) -> Codec {
    Codec {
        clock_hz,
        ..Codec::ours(CodecName::TelephoneEvent)
    }
}

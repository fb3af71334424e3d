//! What each leg is offered after its first description, and what it was told last.

use super::{Bridge, Owes};
use crate::call::hands::Hands;
use crate::call::port::LegName;
use crate::sdp::answer::{Pair, Terms};
use crate::sdp::media::Codec;

impl Bridge {
    /// How many descriptions a leg has got from us so far, each other than the one before.
    pub fn versions(&self, leg: LegName) -> u64 {
        self.side(leg).map_or(0, |side| side.origin.version)
    }

    /// Writes an offer of ours to a leg that has settled something before.
    pub fn offer_to(&mut self, leg: LegName, terms: Terms) {
        if let Some(side) = self.side_mut(leg) {
            let former = side.written.as_ref().map(|(terms, _)| Box::new(terms.clone()));
            side.former = former;
        }
        self.write_offer(leg, terms);
    }

    /// Writes what was last written to a leg as an offer once more.
    pub fn offer_again(&mut self, leg: LegName) {
        if let Some((terms, _)) = self.side(leg).and_then(|side| side.written.as_ref()) {
            self.offer_to(leg, terms.clone());
        }
    }

    /// Our offer to a leg came to nothing: what was settled before goes on (RFC 3261 §14.1). Returns what was
    /// offered. The version goes on too: whoever refused has seen it (RFC 3264 §8).
    pub fn offer_refused(&mut self, leg: LegName) -> Option<Terms> {
        let side = self.side_mut(leg)?;
        side.owes = Owes::Nothing;
        let former = side.former.take()?;
        if side.written.as_ref().is_some_and(|(terms, _)| *terms == *former) {
            // A refresh: what is said next is still the same (RFC 4028 §7.4).
            return Some(*former);
        }
        // Without text: it is written again, under a new version, before it is said again.
        let (offered, _) = side.written.replace((*former, Box::default()))?;
        Some(offered)
    }

    /// What a leg has still to be offered, so that it has what the other one has settled: another codec, because
    /// the other may not send what it takes, or another direction. `None`: nothing.
    pub fn terms_missing_at(&self, leg: LegName) -> Option<Terms> {
        let far = self.agreed(leg.other())?;
        let near = self.agreed(leg);
        let (told, _) = self.side(leg)?.written.as_ref()?;
        let is_audio = |codec: &&Codec| codec.name.is_audio();
        let mut spoken = far.codecs.iter().map(|pair| &pair.theirs).filter(is_audio);
        let is_fax = far.fax.is_some() && told.fax.is_some();
        let is_told = is_fax || spoken.any(|codec| told.codecs.iter().any(|known| known.packs_like(codec)));
        let is_taken = near.is_none_or(|near| {
            let mut takes = near.codecs.iter().map(|pair| &pair.theirs).filter(is_audio);
            takes.all(|codec| far.codecs.iter().any(|pair| pair.theirs.packs_like(codec)))
        });
        let runs = near.is_none_or(|near| far.wish.and(near.wish.reversed()) == near.way);
        (!(is_told && is_taken && runs)).then(|| far.onward(near))
    }

    /// A leg's peer speaks no more than it was told: what was settled of its first offer beyond that counts no longer.
    pub fn keep_told(&mut self, hands: &mut Hands, leg: LegName) {
        let Some(side) = self.side_mut(leg) else { return };
        let (Some(agreed), Some((told, _))) = (&mut side.agreed, &side.written) else {
            return;
        };
        let is_told = |pair: &Pair| {
            let is_it = |codec: &Codec| codec.packs_like(&pair.theirs);
            pair.theirs.name.is_audio() && told.codecs.iter().any(is_it)
        };
        if agreed.codecs.iter().any(is_told) {
            return;
        }
        let told = told.codecs.iter().map(|codec| Pair {
            ours: codec.payload,
            theirs: codec.clone(),
        });
        agreed.codecs = told.collect();
        self.order_flows(hands);
    }

    /// Writes an offer to a leg that asked for one: what the other leg has settled; if there is none, what it was told.
    pub fn offer_anew(&mut self, leg: LegName) {
        let terms = match self.agreed(leg.other()) {
            Some(far) => Some(far.onward(self.agreed(leg))),
            None => self.told(leg).cloned(),
        };
        if let Some(terms) = terms {
            self.offer_to(leg, terms);
            if let Some(side) = self.side_mut(leg) {
                side.owes = Owes::Answer;
            }
        }
    }

    /// The terms that we last wrote to a leg.
    pub fn told(&self, leg: LegName) -> Option<&Terms> {
        self.side(leg)?.written.as_ref().map(|(terms, _)| terms)
    }

    /// Whether a leg's ACK has to carry the answer to an offer of ours.
    pub fn awaits_answer(&self, leg: LegName) -> bool {
        self.side(leg).is_some_and(|side| side.owes == Owes::Answer)
    }
}

//! Which codecs a trunk's descriptions may name, and in which order ours do.

use arrayvec::ArrayVec;

use crate::sdp::media::{Codec, CodecName};

/// Audio codecs that there are.
const AUDIO: usize = 7;

/// The audio codecs of a trunk, best first; none named: all, in the order of whoever offers. Events and comfort noise
/// are no audio: they pass whatever is named.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Codecs(ArrayVec<CodecName, AUDIO>);

impl Codecs {
    /// Adds the next best. `false`: it is named already, or no audio.
    pub fn add(&mut self, name: CodecName) -> bool {
        name.is_audio() && !self.0.contains(&name) && self.0.try_push(name).is_ok()
    }

    /// What is seen of a peer's offer: the rest is as if it weren't there.
    pub fn known(&self) -> ArrayVec<CodecName, { CodecName::ALL.len() }> {
        CodecName::ALL
            .into_iter()
            .filter(|name| self.takes(*name))
            .collect()
    }

    /// Narrows what we offer to the trunk's codecs, in its order.
    pub fn narrow(&self, codecs: &mut Vec<Codec>) {
        if self.0.is_empty() {
            return;
        }
        codecs.retain(|codec| self.takes(codec.name));
        // What is no audio stands behind it, as it stood.
        codecs.sort_by_key(|codec| {
            self.0
                .iter()
                .position(|name| *name == codec.name)
                .unwrap_or(AUDIO)
        });
    }

    /// Whether anything that can be heard is left of an offer.
    pub fn leave_audio(&self, codecs: &[Codec]) -> bool {
        codecs
            .iter()
            .any(|codec| codec.name.is_audio() && self.takes(codec.name))
    }

    /// What we offer on this trunk when there is no other's offer to go by, to a party that will speak with one of
    /// `other`'s.
    pub fn unasked(&self, other: &Self) -> ArrayVec<CodecName, { AUDIO + 1 }> {
        let own = self.0.iter().copied().chain([CodecName::TelephoneEvent]);
        let usual = CodecName::DEFAULT.into_iter();
        let mut all: ArrayVec<CodecName, { AUDIO + 1 }> = match self.0.is_empty() {
            true => usual.collect(),
            false => own.collect(),
        };
        all.retain(|name| other.takes(*name));
        all
    }

    /// Whether its descriptions may name it.
    pub fn takes(&self, name: CodecName) -> bool {
        self.0.is_empty() || !name.is_audio() || self.0.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codecs(names: &[CodecName]) -> Codecs {
        let mut codecs = Codecs::default();
        assert!(names.iter().all(|name| codecs.add(*name)));
        codecs
    }

    fn narrowed(own: &Codecs, names: &[CodecName]) -> Vec<CodecName> {
        let mut offer: Vec<Codec> = names.iter().copied().map(Codec::ours).collect();
        own.narrow(&mut offer);
        offer.iter().map(|codec| codec.name).collect()
    }

    #[test]
    fn an_offer_names_the_trunks_codecs_in_its_order_and_events_behind_them() {
        use CodecName::{ComfortNoise, G722, G729, Pcma, Pcmu, TelephoneEvent};
        let own = codecs(&[Pcma, Pcmu]);
        assert_eq!(
            narrowed(&own, &[TelephoneEvent, G729, Pcmu, ComfortNoise, Pcma]),
            [Pcma, Pcmu, TelephoneEvent, ComfortNoise]
        );
        let all = Codecs::default();
        assert_eq!(
            narrowed(&all, &[TelephoneEvent, G729, Pcmu]),
            [TelephoneEvent, G729, Pcmu]
        );
        assert!(!own.leave_audio(&[Codec::ours(G729), Codec::ours(TelephoneEvent)]));
        assert_eq!(
            own.unasked(&codecs(&[G722, Pcmu])).as_slice(),
            [Pcmu, TelephoneEvent]
        );
        assert_eq!(all.unasked(&all).as_slice(), CodecName::DEFAULT);
        assert_eq!(own.known().as_slice(), [Pcma, Pcmu, TelephoneEvent, ComfortNoise]);
        assert_eq!(all.known().as_slice(), CodecName::ALL);
    }
}

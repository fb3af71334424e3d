//! Sounds of ours that the caller hears before the call is answered: that it rings, or why nobody is reached.
//!
//! It is the gateway model of RFC 3960 §3: whoever hears us is told so by a description in a 183, and it is the one
//! description of its dialog (RFC 3261 §13.2.1). So its 200 repeats it; and where the called side then speaks another
//! codec, the caller gets a re-INVITE, as with a fork that wins.

use std::sync::Arc;

use super::{Bridge, Opened};
use crate::call::hands::Hands;
use crate::call::media::Order;
use crate::call::port::{LegName, Output};
use crate::call::trunk::EarlyMedia;
use crate::rtp::clip::{CLOCK_HZ, Clip, FRAME, Play};
use crate::rtp::g711::Law;
use crate::sdp::answer::{Agreed, Mismatch, Offer, Pair, Terms};
use crate::sdp::media::{Codec, CodecName, Packing, RtcpPort, SdpWay};

/// Whether the caller hears a sound of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sounds {
    /// It does, as soon as it has our description.
    Yes,
    /// It can't: it has made no offer, speaks no law of ours or only in shorter packets, holds the call, or has been
    /// told otherwise already.
    No,
}

/// Whether the caller has been given a description for a sound of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Voiced {
    No,
    Yes,
}

impl Bridge {
    /// The caller is to hear this from now on, until it hears something else or the call is answered. Our description
    /// for it is written, if it has none yet.
    pub fn sound(&mut self, hands: &mut Hands, clip: &Arc<Clip>) -> Sounds {
        if self.talking.is_some() || self.offer.is_none() {
            return Sounds::No;
        }
        let is_told = self.description(LegName::Caller).is_some() && !self.is_untold();
        let voice = match self.voice() {
            None if !is_told => self.write_voice(),
            voice => voice,
        };
        let Some((law, number)) = voice else {
            return Sounds::No;
        };
        let clip = clip.clone();
        self.playing = Some(Box::new(Play { clip, law, number }));
        self.voiced = Voiced::Yes;
        self.order_play(hands);
        Sounds::Yes
    }

    /// Whether the caller hears a sound of ours.
    pub fn sounds(&self) -> Sounds {
        match self.playing {
            Some(_) => Sounds::Yes,
            None => Sounds::No,
        }
    }

    /// Whether what is written for the caller is only what comes of media that are kept from it.
    pub(super) fn is_untold(&self) -> bool {
        let is_kept_away = match self.early {
            EarlyMedia::Relay => false,
            EarlyMedia::Ringback | EarlyMedia::Block => true,
        };
        is_kept_away && self.talking.is_none() && self.voiced == Voiced::No
    }

    /// Something of the caller's leg was settled anew while it hears a sound.
    pub(super) fn order_sound(&mut self, hands: &mut Hands) {
        let voice = self.told_law();
        let Some(play) = &mut self.playing else { return };
        let before = (play.law, play.number);
        if let Some((law, number)) = voice {
            (play.law, play.number) = (law, number);
        }
        let is_same = voice == Some(before);
        if let (Some(spec), Some(caller)) = (self.spec(LegName::Caller), self.side(LegName::Caller)) {
            let change = Order::Change(caller.port, Box::new(spec));
            hands.out.push_back(Output::Media(change));
        }
        match voice {
            Some(_) if is_same => {}
            Some(_) => self.order_play(hands),
            None => self.hush(hands),
        }
    }

    /// No sound of ours is heard any more.
    pub(super) fn hush(&mut self, hands: &mut Hands) {
        if self.playing.take().is_some()
            && let Some(caller) = self.side(LegName::Caller)
        {
            hands.out.push_back(Output::Media(Order::Hush(caller.port)));
        }
    }

    fn order_play(&mut self, hands: &mut Hands) {
        let spec = self.spec(LegName::Caller);
        let Some(play) = self.playing.clone() else { return };
        let Some(caller) = self.side_mut(LegName::Caller) else {
            return;
        };
        if caller.open == Opened::No
            && let Some(spec) = spec
        {
            caller.open = Opened::Yes;
            let open = Order::Open(caller.port, Box::new(spec));
            hands.out.push_back(Output::Media(open));
        }
        hands.out.push_back(Output::Media(Order::Play(caller.port, play)));
    }

    /// How the caller can hear us by what it is told: the law, and its number.
    fn voice(&self) -> Option<(Law, u8)> {
        self.agreed(LegName::Caller).filter(|agreed| hears(agreed))?;
        self.told_law()
    }

    /// The first law in what the caller is told, and its number.
    fn told_law(&self) -> Option<(Law, u8)> {
        let told = self.told(LegName::Caller)?;
        told.codecs
            .iter()
            .find_map(|codec| Some((law(codec)?, codec.payload)))
    }

    /// Answers the caller's offer with a law of ours, the one that the called side will speak most likely. Nothing is
    /// written if it can't hear that.
    fn write_voice(&mut self) -> Option<(Law, u8)> {
        let offer = self.offer.as_ref()?;
        let likely = self.told(LegName::Callee).map_or(&[][..], |terms| &terms.codecs);
        let (answer, near) = spoken(offer, likely).filter(|(_, near)| hears(near))?;
        self.unwrite(LegName::Caller);
        if let Some(caller) = self.side_mut(LegName::Caller) {
            caller.answer_line(&near);
        }
        self.write(LegName::Caller, answer);
        self.settle(LegName::Caller, near);
        self.voice()
    }

    /// The caller makes another offer while it hears a sound, and nothing is settled with the called side yet: it is
    /// answered as the first one was.
    ///
    /// # Errors
    /// [`Mismatch::NoCodec`] if no law of ours is in it.
    pub(super) fn revoice(&mut self, hands: &mut Hands, offer: Offer) -> Result<(), Mismatch> {
        let likely = self.told(LegName::Caller).map_or(&[][..], |terms| &terms.codecs);
        let (answer, near) = spoken(&offer, likely).ok_or(Mismatch::NoCodec)?;
        if let Some(side) = self.side_mut(LegName::Caller) {
            side.lines.clone_from(&offer.lines);
            side.answer_line(&near);
        }
        self.offer = Some(Box::new(offer));
        self.write(LegName::Caller, answer);
        self.settle(LegName::Caller, near);
        self.order_sound(hands);
        Ok(())
    }
}

/// Our answer to an offer, with one law of ours and keys, and what is settled by it. Of several laws the first of the
/// `likely` ones is taken.
fn spoken(offer: &Offer, likely: &[Codec]) -> Option<(Terms, Agreed)> {
    let offered = &offer.terms.codecs;
    let codec = likely.iter().chain(offered).find_map(|codec| {
        law(codec)?;
        offered.iter().find(|offered| offered.is(codec))
    })?;
    let is_key = |codec: &&Codec| codec.name.is_event() && codec.clock_hz == CLOCK_HZ;
    let pairs = [Some(codec), offered.iter().find(is_key)].into_iter().flatten();
    let ours = Agreed {
        codecs: pairs
            .map(|codec| Pair {
                ours: codec.payload,
                theirs: codec.clone(),
            })
            .collect(),
        way: SdpWay::SendRecv,
        wish: SdpWay::SendRecv,
        packing: Packing::default(),
        rtp: None,
        rtcp: None,
        rtcp_port: RtcpPort::Own,
        fax: None,
        secured: None,
    };
    offer.answer(&ours, None).ok()
}

/// Whether frames of ours can be heard on a leg that has settled this.
fn hears(near: &Agreed) -> bool {
    let frame_ms = FRAME.as_millis() as u16;
    let longest = near.packing.maxptime_ms;
    near.fax.is_none()
        && near.way.sends()
        && near.rtp.is_some()
        && longest.is_none_or(|longest| longest >= frame_ms)
}

/// The law of a codec that we encode.
fn law(codec: &Codec) -> Option<Law> {
    match codec.name {
        CodecName::Pcma => Some(Law::A),
        CodecName::Pcmu => Some(Law::Mu),
        CodecName::G722
        | CodecName::G729
        | CodecName::Opus
        | CodecName::Amr
        | CodecName::AmrWb
        | CodecName::TelephoneEvent
        | CodecName::ComfortNoise => None,
    }
}

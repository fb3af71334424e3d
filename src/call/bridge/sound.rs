//! Sounds of ours: what the caller hears before the call is answered (that it rings, or why nobody is reached), what the
//! called side hears before the two talk, and what either hears in the talk.
//!
//! It is the gateway model of RFC 3960 §3: whoever hears us is told so by a description in a 183, and it is the one
//! description of its dialog (RFC 3261 §13.2.1). So its 200 repeats it; and where the called side then speaks another
//! codec, the caller gets a re-INVITE, as with a fork that wins.

use std::sync::Arc;

use super::{Bridge, Opened, Owes};
use crate::call::hands::Hands;
use crate::call::media::Order;
use crate::call::port::{LegName, Output};
use crate::call::trunk::EarlyMedia;
use crate::rtp::clip::{CLOCK_HZ, Clip, Coding, FRAME, Play, Repeats};
use crate::sdp::answer::{Agreed, Mismatch, Offer, Pair, Terms};
use crate::sdp::media::{Codec, CodecName, Packing, RtcpPort, SdpWay};

/// Whether the caller hears a sound of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sounds {
    /// It does, as soon as it has our description.
    Yes,
    /// It can't: it has made no offer, speaks no codec of ours or only in shorter packets, holds the call, or has been
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
    pub fn sound(&mut self, hands: &mut Hands, clip: &Arc<Clip>, repeats: Repeats) -> Sounds {
        if self.talking.is_some() || (self.offer.is_none() && self.agreed(LegName::Caller).is_none()) {
            return Sounds::No;
        }
        let is_told = self.description(LegName::Caller).is_some() && !self.is_untold();
        let voice = match self.voice() {
            None if !is_told => self.write_voice(),
            voice => voice,
        };
        let Some(voice) = voice else {
            return Sounds::No;
        };
        self.voiced = Voiced::Yes;
        self.play(hands, LegName::Caller, voice, clip, repeats);
        Sounds::Yes
    }

    /// The caller is to talk with us alone: our description for it is written, and it hears this over and over from when it has that. Who
    /// made no offer gets ours, of one law, and hears what is played once it has answered.
    pub fn greet(&mut self, hands: &mut Hands, clip: &Arc<Clip>) -> Sounds {
        self.early = EarlyMedia::Ringback;
        self.voiced = Voiced::Yes;
        if self.offer.is_some() {
            return self.sound(hands, clip, Repeats::Forever);
        }
        let Some(caller) = self.side_mut(LegName::Caller) else {
            return Sounds::No;
        };
        caller.owes = Owes::Answer;
        let laws = [CodecName::Pcma, CodecName::Pcmu];
        let Some(law) = laws.into_iter().find(|law| caller.codecs.takes(*law)) else {
            return Sounds::No;
        };
        self.write_offer(LegName::Caller, Terms::list(&[law, CodecName::TelephoneEvent]));
        Sounds::Yes
    }

    /// Whom the caller has named is offered what the caller speaks, if that had to be asked for.
    pub fn offer_settled(&mut self) {
        if self.offer.is_none() {
            let terms = self.first_terms();
            self.write_offer(LegName::Callee, terms);
        }
    }

    /// Whatever the called side's trunk says, the caller hears us until somebody answers: it has talked with us before.
    pub fn ring_for(&mut self) {
        self.early = EarlyMedia::Ringback;
    }

    /// Somebody who is connected to us is to hear this from now on, in place of the other party: in the talk, or the called
    /// side before it.
    pub fn cue(&mut self, hands: &mut Hands, leg: LegName, clip: &Arc<Clip>, repeats: Repeats) -> Sounds {
        let Some(voice) = self.heard_as(leg) else {
            return Sounds::No;
        };
        self.play(hands, leg, voice, clip, repeats);
        Sounds::Yes
    }

    /// Whether who is connected to us on this leg can hear us.
    pub fn hears_us(&self, leg: LegName) -> Sounds {
        match self.heard_as(leg) {
            Some(_) => Sounds::Yes,
            None => Sounds::No,
        }
    }

    fn play(
        &mut self,
        hands: &mut Hands,
        leg: LegName,
        (coding, number): (Coding, u8),
        clip: &Arc<Clip>,
        repeats: Repeats,
    ) {
        let play = Play::new(clip.clone(), coding, number);
        self.playing[leg.index()] = Some(Box::new(match repeats {
            Repeats::Once => play,
            Repeats::Forever => play.over_and_over(),
        }));
        self.order_play(hands, leg);
    }

    /// Whether the caller hears a sound of ours.
    pub fn sounds(&self) -> Sounds {
        match self.playing[LegName::Caller.index()] {
            Some(_) => Sounds::Yes,
            None => Sounds::No,
        }
    }

    /// Whether anybody hears a sound of ours.
    pub(super) fn plays(&self) -> Sounds {
        match self.playing {
            [None, None] => Sounds::No,
            [..] => Sounds::Yes,
        }
    }

    /// Whether the caller hears the called side before it answers, and no sound of ours.
    pub fn relays_early(&self) -> bool {
        self.early == EarlyMedia::Relay && self.plays() == Sounds::No
    }

    /// Whether what is written for the caller is only what comes of media that are kept from it.
    pub(super) fn is_untold(&self) -> bool {
        let is_kept_away = match self.early {
            EarlyMedia::Relay => false,
            EarlyMedia::Ringback | EarlyMedia::Block => true,
        };
        is_kept_away && self.talking.is_none() && self.voiced == Voiced::No
    }

    /// Something of a leg was settled anew while somebody hears a sound, and the parties don't hear each other yet.
    pub(super) fn order_sounds(&mut self, hands: &mut Hands) {
        for leg in [LegName::Caller, LegName::Callee] {
            if self.playing[leg.index()].is_none() {
                continue;
            }
            if let (Some(spec), Some(side)) = (self.spec(leg), self.side(leg)) {
                let change = Order::Change(side.port, Box::new(spec));
                hands.out.push_back(Output::Media(change));
            }
            let voice = match leg {
                LegName::Caller => self.told_coding(),
                LegName::Callee => self.heard_as(leg),
            };
            match voice {
                Some(voice) => self.recode(hands, leg, voice),
                None => self.hush(hands, leg),
            }
        }
    }

    /// The same in the talk. Who holds the call hears nothing of us meanwhile, and what it missed isn't said again.
    pub(super) fn order_cues(&mut self, hands: &mut Hands) {
        for leg in [LegName::Caller, LegName::Callee] {
            if self.playing[leg.index()].is_some()
                && let Some(voice) = self.heard_as(leg)
            {
                self.recode(hands, leg, voice);
            }
        }
    }

    /// A leg hears us so from now on: what it hears begins anew if that is another coding.
    fn recode(&mut self, hands: &mut Hands, leg: LegName, (coding, number): (Coding, u8)) {
        let Some(play) = &mut self.playing[leg.index()] else {
            return;
        };
        if (play.coding, play.number) != (coding, number) {
            let repeats = play.repeats;
            **play = Play {
                repeats,
                ..Play::new(play.clip.clone(), coding, number)
            };
            self.order_play(hands, leg);
        }
    }

    /// No sound of ours is heard on a leg any more.
    pub fn hush(&mut self, hands: &mut Hands, leg: LegName) {
        if self.playing[leg.index()].take().is_some()
            && let Some(side) = self.side(leg)
        {
            hands.out.push_back(Output::Media(Order::Hush(side.port)));
        }
    }

    fn order_play(&mut self, hands: &mut Hands, leg: LegName) {
        let spec = self.spec(leg);
        let Some(play) = self.playing[leg.index()].clone() else {
            return;
        };
        let Some(side) = self.side_mut(leg) else {
            return;
        };
        if side.open == Opened::No
            && let Some(spec) = spec
        {
            side.open = Opened::Yes;
            let open = Order::Open(side.port, Box::new(spec));
            hands.out.push_back(Output::Media(open));
            side.order_ears(hands);
        }
        hands.out.push_back(Output::Media(Order::Play(side.port, play)));
    }

    /// How a leg hears us by what it has agreed on: the first coding of ours in it, and its number there.
    fn heard_as(&self, leg: LegName) -> Option<(Coding, u8)> {
        let agreed = self.agreed(leg).filter(|agreed| hears(agreed))?;
        let mut codecs = agreed.codecs.iter().map(|pair| &pair.theirs);
        codecs.find_map(|codec| Some((coding(codec.name)?, codec.payload)))
    }

    /// How the caller can hear us by what it is told: the coding, and its number.
    fn voice(&self) -> Option<(Coding, u8)> {
        self.agreed(LegName::Caller).filter(|agreed| hears(agreed))?;
        self.told_coding()
    }

    /// The first coding of ours in what the caller is told, and its number.
    fn told_coding(&self) -> Option<(Coding, u8)> {
        let told = self.told(LegName::Caller)?;
        told.codecs
            .iter()
            .find_map(|codec| Some((coding(codec.name)?, codec.payload)))
    }

    /// Answers the caller's offer with a codec of ours, the one that the called side will speak most likely. Nothing is
    /// written if it can't hear that.
    fn write_voice(&mut self) -> Option<(Coding, u8)> {
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
    /// [`Mismatch::NoCodec`] if no codec of ours is in it.
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
        self.order_sounds(hands);
        Ok(())
    }
}

/// Our answer to an offer, with one codec of ours and keys, and what is settled by it. Of several the first of the
/// `likely` ones is taken.
fn spoken(offer: &Offer, likely: &[Codec]) -> Option<(Terms, Agreed)> {
    let offered = &offer.terms.codecs;
    let codec = likely.iter().chain(offered).find_map(|codec| {
        coding(codec.name)?;
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

/// How we code for a codec, if we can.
pub(super) fn coding(codec: CodecName) -> Option<Coding> {
    match codec {
        CodecName::Pcma => Some(Coding::A),
        CodecName::Pcmu => Some(Coding::Mu),
        CodecName::G722 => Some(Coding::G722),
        CodecName::G729
        | CodecName::Opus
        | CodecName::Amr
        | CodecName::AmrWb
        | CodecName::TelephoneEvent
        | CodecName::ComfortNoise => None,
    }
}

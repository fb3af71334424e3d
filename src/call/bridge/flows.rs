//! What the media threads are told of a call, and what they tell.

use std::net::SocketAddr;
use std::time::Duration;

use arrayvec::ArrayVec;

use super::sound::coding;
use super::{Bridge, Joined, Opened, Side};
use crate::base::id::Id;
use crate::base::limits::SDP_CODECS_MAX;
use crate::call::audio::{Heard, Sends};
use crate::call::hands::Hands;
use crate::call::media::{MediaPort, Order};
use crate::call::port::{LegName, Output};
use crate::call::recording::{self, Faxing, Sound};
use crate::rtp::clip::Coding;
use crate::rtp::dtmf::Digit;
use crate::rtp::ear::Listening;
use crate::rtp::flow::{self, Counts, FlowSpec, Payload, Payloads, Stream, Way};
use crate::rtp::tap::{Channel, Tap};
use crate::sdp::answer::{Agreed, rows};
use crate::sdp::media::{RtcpPort, SdpWay};

/// Whether a leg's peer can be told a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// It is being told, as an RFC 4733 event.
    Told,
    /// It has agreed on no events, no media runs to it, or it holds the call.
    Untold,
}

/// A recorded call as a fax.
#[derive(Debug, Default)]
pub(super) struct Faxed {
    /// The recording that hears nothing of it now.
    now: Option<Id>,
    /// There was one.
    was: bool,
}

/// One of the two legs has left the other.
#[derive(Debug)]
pub(super) struct Gone {
    leg: LegName,
    /// Whether its flow has still to tell its counts.
    closes: Opened,
    /// What the two descriptions said at that moment: the record's words on the audio are about the talk.
    said: [Said; 2],
}

/// What a leg's description says of its peer's media.
#[derive(Clone, Copy, Debug)]
struct Said {
    named: Option<SocketAddr>,
    sends: Sends,
}

impl Bridge {
    /// Tells the media threads what both sides have settled; before the answer only if the called side may be heard.
    pub fn order_flows(&mut self, hands: &mut Hands) {
        self.note_fax(hands);
        if self.talking.is_none() && !self.relays_early() {
            return self.order_sounds(hands);
        }
        let gone = self.left();
        let Some([caller, callee]) = self.sides.as_mut() else {
            return;
        };
        let timeout = self.talking.filter(|_| !is_held([caller, callee], gone));
        let mut order = |near: &mut Side, far: Option<&Agreed>| {
            let Some(agreed) = &near.agreed else { return };
            let spec = Box::new(flow_spec(near, agreed, far, timeout));
            let order = match near.open {
                Opened::No => Order::Open(near.port, spec),
                Opened::Yes => Order::Change(near.port, spec),
            };
            hands.out.push_back(Output::Media(order));
            if near.open == Opened::No {
                near.open = Opened::Yes;
                near.order_ears(hands);
            }
        };
        let callee_agreed = callee.agreed.clone();
        if gone != Some(LegName::Caller) {
            order(caller, callee_agreed.as_ref());
        }
        if gone != Some(LegName::Callee) {
            order(callee, caller.agreed.as_ref());
        }
        let both = (Opened::Yes, Opened::Yes);
        if (caller.open, callee.open) == both && self.joined == Joined::No {
            self.joined = Joined::Yes;
            hands
                .out
                .push_back(Output::Media(Order::Join(caller.port, callee.port)));
        }
        self.order_cues(hands);
    }

    /// The party of this leg has hung up, and the other one stays: its flow ends, and nothing goes there or comes from there
    /// any more.
    pub fn part_with(&mut self, hands: &mut Hands, leg: LegName) {
        let was_held = self.is_held();
        self.hush(hands, leg);
        self.joined = Joined::No;
        let said = [LegName::Caller, LegName::Callee].map(|leg| self.said(leg));
        let mut closes = Opened::No;
        if let Some(side) = self.side_mut(leg).filter(|side| side.open == Opened::Yes) {
            closes = std::mem::replace(&mut side.open, Opened::No);
            let close = Order::Close(side.port);
            hands.out.push_back(Output::Media(close));
        }
        self.gone = Some(Box::new(Gone { leg, closes, said }));
        if was_held && !self.is_held() {
            // The time-out of media watches over who stays.
            self.order_flows(hands);
        }
    }

    /// Whether the party of this leg hears and is heard, as far as its description says.
    pub fn talks(&self, leg: LegName) -> bool {
        self.agreed(leg)
            .is_some_and(|agreed| agreed.way == SdpWay::SendRecv)
    }

    /// Whether the party of this leg has left the other one.
    pub fn has_left(&self, leg: LegName) -> bool {
        self.left() == Some(leg)
    }

    fn left(&self) -> Option<LegName> {
        self.gone.as_ref().map(|gone| gone.leg)
    }

    /// Whether its flow has still to tell its counts.
    pub fn is_closing(&self) -> bool {
        self.gone.as_ref().is_some_and(|gone| gone.closes == Opened::Yes)
    }

    /// It has.
    pub fn closed(&mut self) {
        if let Some(gone) = &mut self.gone {
            gone.closes = Opened::No;
        }
    }

    /// Whether somebody holds the call: then silence is meant, and no time-out of media watches over it.
    pub fn is_held(&self) -> bool {
        self.sides
            .as_ref()
            .is_some_and(|[caller, callee]| is_held([caller, callee], self.left()))
    }

    /// What the media threads have to know of a leg; `None` as long as it has settled nothing.
    pub(super) fn spec(&self, leg: LegName) -> Option<FlowSpec> {
        let [caller, callee] = self.sides.as_ref()?;
        let (near, far) = match leg {
            LegName::Caller => (caller, callee),
            LegName::Callee => (callee, caller),
        };
        let timeout = self.talking.filter(|_| !is_held([caller, callee], self.left()));
        let agreed = near.agreed.as_ref()?;
        Some(flow_spec(near, agreed, far.agreed.as_ref(), timeout))
    }

    /// A leg's peer is to hear a key, as an event among its audio: on the leg's own timeline, under the number and
    /// at the clock that the leg agreed on (RFC 4733).
    pub fn press(&self, hands: &mut Hands, leg: LegName, digit: Digit) -> Keys {
        let hears = |agreed: &Agreed| {
            agreed.way.sends() && agreed.codecs.iter().any(|pair| pair.theirs.name.is_event())
        };
        let able = self
            .side(leg)
            .filter(|side| side.open == Opened::Yes && side.agreed.as_ref().is_some_and(hears));
        let Some(side) = able else {
            return Keys::Untold;
        };
        hands.out.push_back(Output::Media(Order::Digit(side.port, digit)));
        Keys::Told
    }

    /// Whether a leg's peer is listened to, from now on or from when its media begin.
    pub fn listen(&mut self, hands: &mut Hands, leg: LegName, listening: Listening) {
        let Some(side) = self.side_mut(leg) else { return };
        let before = std::mem::replace(&mut side.listening, listening);
        if before != listening && side.open == Opened::Yes {
            hands
                .out
                .push_back(Output::Media(Order::Listen(side.port, listening)));
        }
    }

    /// Whether it is.
    pub fn listens(&self, leg: LegName) -> Listening {
        self.side(leg).map_or(Listening::No, |side| side.listening)
    }

    /// What both sides hear belongs to this recording, from now on or from when their media begin; or to none any more.
    pub fn tap(&mut self, hands: &mut Hands, recording: Option<Id>) {
        // What the caller hears is the callee's channel, and the other way round.
        let channels = [
            (LegName::Caller, Channel::Callee),
            (LegName::Callee, Channel::Caller),
        ];
        for (leg, channel) in channels {
            let Some(side) = self.side_mut(leg) else { return };
            let tap = recording.map(|recording| Tap { recording, channel });
            let before = std::mem::replace(&mut side.tap, tap);
            if before != tap && side.open == Opened::Yes {
                hands.out.push_back(Output::Media(Order::Tap(side.port, tap)));
            }
        }
        self.note_fax(hands);
    }

    /// Whether it was a fax while it was recorded: of that nothing is heard.
    pub const fn was_faxed(&self) -> bool {
        self.faxed.was
    }

    /// Tells the recorder that what is recorded turns to a fax, or back.
    fn note_fax(&mut self, hands: &mut Hands) {
        let of_fax = |side: &Side| {
            let agreed = side.agreed.as_ref();
            let is_fax = agreed.is_some_and(|agreed| agreed.fax.is_some());
            side.tap.map(|tap| tap.recording).filter(|_| is_fax)
        };
        let now = self.sides.iter().flatten().find_map(of_fax);
        let before = std::mem::replace(&mut self.faxed.now, now);
        self.faxed.was |= now.is_some();
        if before == now {
            return;
        }
        let ends = before.map(|recording| (recording, Faxing::Ends));
        let begins = now.map(|recording| (recording, Faxing::Begins));
        for (recording, fax) in ends.into_iter().chain(begins) {
            let order = recording::Order::Fax(recording, fax);
            hands.out.push_back(Output::Record(order));
        }
    }

    /// How what a leg's peer hears is coded.
    pub fn coded(&self, leg: LegName) -> Sound {
        match self.agreed(leg).and_then(Agreed::audio).map(coding) {
            Some(Some(Coding::A | Coding::Mu)) | None => Sound::Narrow,
            Some(Some(Coding::G722)) => Sound::Wide,
            Some(None) => Sound::Unread,
        }
    }

    /// Which leg a port belongs to.
    pub fn leg_of(&self, port: MediaPort) -> Option<LegName> {
        let [caller, callee] = self.sides.as_ref()?;
        if caller.port == port {
            Some(LegName::Caller)
        } else if callee.port == port {
            Some(LegName::Callee)
        } else {
            None
        }
    }

    /// What was counted on a leg in the talk, beside what its description says, or said when the talk ended.
    pub fn heard(&self, leg: LegName, counts: Counts) -> Heard {
        let [caller, callee] = match &self.gone {
            Some(gone) => gone.said,
            None => [LegName::Caller, LegName::Callee].map(|leg| self.said(leg)),
        };
        let Said { named, sends } = match leg {
            LegName::Caller => caller,
            LegName::Callee => callee,
        };
        Heard { counts, named, sends }
    }

    fn said(&self, leg: LegName) -> Said {
        let agreed = self.agreed(leg);
        let sends = match agreed.map(|agreed| agreed.way) {
            Some(SdpWay::SendOnly | SdpWay::Inactive) => Sends::Held,
            Some(SdpWay::SendRecv | SdpWay::RecvOnly) | None => Sends::Yes,
        };
        Said {
            named: agreed.and_then(|agreed| agreed.rtp),
            sends,
        }
    }

    /// The ports on which flows run.
    pub fn open_ports(&self) -> ArrayVec<MediaPort, 2> {
        self.sides
            .iter()
            .flatten()
            .filter(|side| side.open == Opened::Yes)
            .map(|side| side.port)
            .collect()
    }

    /// The name of a leg's codec, by the payload type last seen, else the one agreed on.
    pub fn codec_name(&self, leg: LegName, payload: Option<u8>) -> Option<String> {
        let agreed = self.agreed(leg)?;
        if agreed.fax.is_some() {
            return Some("T38".to_owned());
        }
        let seen = agreed
            .codecs
            .iter()
            .find(|pair| payload.is_some_and(|p| p == pair.theirs.payload || p == pair.ours))
            .map(|pair| pair.theirs.name)
            .filter(|name| name.is_audio());
        seen.or_else(|| agreed.audio()).map(|name| name.name().to_owned())
    }
}

impl Side {
    /// Its flow has begun: its peer is listened to at once, and what it hears is recorded, if so it is to be.
    pub(super) fn order_ears(&self, hands: &mut Hands) {
        match self.listening {
            Listening::No => {}
            Listening::Yes | Listening::Between => {
                let listen = Order::Listen(self.port, self.listening);
                hands.out.push_back(Output::Media(listen));
            }
        }
        if self.tap.is_some() {
            hands
                .out
                .push_back(Output::Media(Order::Tap(self.port, self.tap)));
        }
    }
}

/// Whether somebody holds the call: silence is meant. Who has left it holds nobody.
fn is_held(sides: [&Side; 2], left: Option<LegName>) -> bool {
    let names = [LegName::Caller, LegName::Callee];
    let there = names.into_iter().zip(sides).filter(|(leg, _)| left != Some(*leg));
    there
        .filter_map(|(_, side)| side.agreed.as_ref())
        .any(|agreed| agreed.way != SdpWay::SendRecv)
}

fn flow_spec(near: &Side, agreed: &Agreed, far: Option<&Agreed>, timeout: Option<Duration>) -> FlowSpec {
    // As long as there is nobody to relay to, we may listen.
    let payloads: Payloads = rows(agreed, far)
        .into_iter()
        .map(|row| Payload {
            number: row.number,
            other: row.other,
            clock_hz: row.clock_hz,
            coding: coding(row.name),
            is_event: row.name.is_event(),
        })
        .take(SDP_CODECS_MAX)
        .collect();
    let way = match agreed.way {
        SdpWay::SendRecv => Way::Both,
        SdpWay::SendOnly => Way::Send,
        SdpWay::RecvOnly => Way::Receive,
        SdpWay::Inactive => Way::Neither,
    };
    FlowSpec {
        remote: agreed.rtp,
        // RTCP elsewhere than RTP (RFC 3605) is sent there only if our socket can.
        remote_rtcp: agreed
            .rtcp
            .filter(|rtcp| agreed.rtp.is_none_or(|rtp| rtp.is_ipv4() == rtcp.is_ipv4())),
        rtcp_port: match agreed.rtcp_port {
            RtcpPort::Own => flow::RtcpPort::Own,
            RtcpPort::Shared => flow::RtcpPort::Shared,
        },
        stream: match agreed.fax {
            None => Stream::Rtp,
            Some(_) => Stream::Udptl,
        },
        payloads,
        way,
        nat: near.nat,
        media_from: near.media_from.clone(),
        timeout,
        security: near.security(),
    }
}

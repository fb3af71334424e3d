//! What joins the two legs: the session descriptions that each side gets from us, and the orders that make
//! the media threads pass packets between them.

use std::net::SocketAddr;
use std::time::Duration;

use arrayvec::ArrayVec;

use super::config::{Config, MediaConfig};
use super::hands::Hands;
use super::media::{Berth, MediaPort, Order};
use super::port::{LegName, Note, Output};
use super::trunk::Trunk;
use crate::base::time::Instant;
use crate::masking::reason::Reason;
use crate::rtp::flow::{FlowSpec, MediaNat, MediaSource, Payload, Payloads, Way};
use crate::sdp::answer::{Agreed, Lines, Mismatch, Offer, Terms, rows};
use crate::sdp::build;
use crate::sdp::media::{Codec, CodecName, Origin, SdpWay};
use crate::sdp::parse::Session;

/// One leg's media, as its session descriptions have settled it.
#[derive(Debug)]
struct Side {
    port: MediaPort,
    lines: Lines,
    origin: Origin,
    /// What we last wrote to this side, and the terms in it.
    written: Option<(Terms, Box<[u8]>)>,
    agreed: Option<Agreed>,
    /// Whether the media threads have a flow for it.
    open: Opened,
    owes: Owes,
    nat: MediaNat,
    media_from: ArrayVec<MediaSource, 4>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Opened {
    No,
    Yes,
}

/// Whether a side's peer has still to answer the offer that we wrote to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owes {
    Nothing,
    Answer,
}

/// Whether the call's ports are its own still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holding {
    Ports,
    Nothing,
}

/// An offer that one leg made and the other has still to agree to.
#[derive(Debug)]
pub struct Crossing {
    /// Whose offer it is.
    pub from: LegName,
    offer: Offer,
}

/// What joins the two legs.
#[derive(Debug)]
pub struct Bridge {
    berth: Option<Berth>,
    holding: Holding,
    media: MediaConfig,
    sides: Option<[Side; 2]>,
    /// The caller's first offer; `None` if it made none and gets ours.
    offer: Option<Offer>,
    /// An offer under way from one leg to the other.
    pub crossing: Option<Crossing>,
    talking: Option<Duration>,
}

impl Bridge {
    /// A bridge without ports yet.
    pub fn new(config: &Config) -> Self {
        Self {
            berth: None,
            holding: Holding::Nothing,
            media: config.media,
            sides: None,
            offer: None,
            crossing: None,
            talking: None,
        }
    }

    /// Takes the call's ports and writes the offer to the called side.
    ///
    /// # Errors
    /// [`Reason::Overload`] when no port is left, [`Reason::Media`] for an offer that we can't take.
    pub fn begin(&mut self, hands: &mut Hands, now: Instant, offer: Option<Session>) -> Result<(), Reason> {
        let offer = offer
            .map(|session| Offer::read(&session, &CodecName::ALL, None))
            .transpose()
            .map_err(|_| Reason::Media)?;
        let terms = match &offer {
            Some(offer) => offer.onward(None),
            None => Terms::list(&CodecName::DEFAULT),
        };
        let Some(berth) = hands.ports.take(now) else {
            hands.note(Note::PortsDry);
            hands.bind_ahead(now);
            return Err(Reason::Overload);
        };
        hands.bind_ahead(now);
        self.berth = Some(berth);
        self.holding = Holding::Ports;
        let mut side = |port, lines| Side {
            port,
            lines,
            // Four digits at the most: nothing of ours can be taken for a number.
            origin: Origin {
                id: u64::from(1_000 + hands.chance.below(9_000)),
                version: 0,
            },
            written: None,
            agreed: None,
            open: Opened::No,
            owes: Owes::Nothing,
            nat: MediaNat::default(),
            media_from: ArrayVec::new(),
        };
        let lines = offer
            .as_ref()
            .map_or_else(Lines::one, |offer| offer.lines.clone());
        self.sides = Some([side(berth.caller(), lines), side(berth.callee(), Lines::one())]);
        self.offer = offer;
        self.write(LegName::Callee, terms);
        Ok(())
    }

    /// Takes over how the trunk of a leg wants media addresses learnt.
    pub fn learn_by(&mut self, leg: LegName, trunk: &Trunk) {
        if let Some(side) = self.side_mut(leg) {
            side.nat = trunk.media_nat;
            side.media_from = trunk.media_from.iter().copied().take(4).collect();
        }
    }

    /// Our current description for a leg.
    pub fn description(&self, leg: LegName) -> Option<&[u8]> {
        self.side(leg)?.written.as_ref().map(|(_, bytes)| &**bytes)
    }

    /// What a leg has settled.
    pub fn agreed(&self, leg: LegName) -> Option<&Agreed> {
        self.side(leg)?.agreed.as_ref()
    }

    /// The called side answered our offer: media can run as soon as [`Bridge::order_flows`] or [`Bridge::talk`] says
    /// so. The first answer settles the caller's one description; a later fork's only moves the called side's flow.
    ///
    /// # Errors
    /// The answer agrees to nothing that was offered.
    pub fn callee_described(&mut self, session: &Session) -> Result<(), Mismatch> {
        let callee = self.side(LegName::Callee).ok_or(Mismatch::NoAudio)?;
        let (terms, _) = callee.written.as_ref().ok_or(Mismatch::NoAudio)?;
        let far = terms.check(&callee.lines, session)?;
        let (answer, near) = match &self.offer {
            Some(offer) => {
                let (answer, near) = offer.answer(&far)?;
                (answer, Some(near))
            }
            // One codec, so that the caller's ACK can't choose another than the called side speaks.
            None => (one_codec(far.onward(None)), None),
        };
        if self.description(LegName::Caller).is_none() {
            self.write(LegName::Caller, answer);
        }
        if near.is_none()
            && let Some(caller) = self.side_mut(LegName::Caller)
            && caller.agreed.is_none()
        {
            caller.owes = Owes::Answer;
        }
        self.settle(LegName::Callee, far);
        if let Some(near) = near {
            self.settle(LegName::Caller, near);
        }
        Ok(())
    }

    /// The caller's ACK answered our offer (the INVITE had none), or a peer's ACK the one in our 2xx to its
    /// empty re-INVITE.
    ///
    /// # Errors
    /// The answer agrees to nothing that was offered.
    pub fn acked_with(&mut self, hands: &mut Hands, leg: LegName, session: &Session) -> Result<(), Mismatch> {
        let side = self.side(leg).ok_or(Mismatch::NoAudio)?;
        let (terms, _) = side.written.as_ref().ok_or(Mismatch::NoAudio)?;
        let agreed = terms.check(&side.lines, session)?;
        self.settle(leg, agreed);
        self.order_flows(hands);
        Ok(())
    }

    /// The call is answered: from now on silence on both sides counts.
    pub fn talk(&mut self, hands: &mut Hands) {
        self.talking = Some(self.media.timeout);
        self.order_flows(hands);
    }

    /// Reads a new offer within a leg. `Ok(None)`: it is the leg's own affair, and our answer is written.
    /// `Ok(Some(terms))`: the other leg has to be asked with them first.
    ///
    /// # Errors
    /// [`Mismatch`]: 488.
    pub fn reoffered(
        &mut self,
        hands: &mut Hands,
        leg: LegName,
        session: &Session,
    ) -> Result<Option<Terms>, Mismatch> {
        let near = self.side(leg).ok_or(Mismatch::NoAudio)?;
        let offer = Offer::read(session, &CodecName::ALL, Some(&near.lines))?;
        let (Some(agreed), Some(far)) = (self.agreed(leg), self.agreed(leg.other())) else {
            return Err(Mismatch::NoAudio);
        };
        if offer.changes(agreed, far).crosses() {
            let terms = offer.onward(Some(far));
            self.crossing = Some(Crossing { from: leg, offer });
            return Ok(Some(terms));
        }
        let far = far.clone();
        self.answer_offer(hands, leg, offer, &far)?;
        Ok(None)
    }

    /// Writes an offer of ours to a leg.
    pub fn offer_to(&mut self, leg: LegName, terms: Terms) {
        self.write(leg, terms);
    }

    /// An offer to the caller of what the called side speaks, if that is not in what the caller was told.
    pub fn terms_missing_at_caller(&self) -> Option<Terms> {
        let far = self.agreed(LegName::Callee)?;
        let (told, _) = self.side(LegName::Caller)?.written.as_ref()?;
        let told_of = |codec: &Codec| told.codecs.iter().any(|known| known.packs_like(codec));
        let is_told = far
            .codecs
            .iter()
            .any(|pair| !pair.theirs.name.is_event() && told_of(&pair.theirs));
        (!is_told).then(|| far.onward(self.agreed(LegName::Caller)))
    }

    /// Writes an offer to a leg that asked for one: what the other leg has settled.
    pub fn offer_anew(&mut self, leg: LegName) {
        if let Some(terms) = self
            .agreed(leg.other())
            .map(|far| one_codec(far.onward(self.agreed(leg))))
        {
            self.write(leg, terms);
            if let Some(side) = self.side_mut(leg) {
                side.owes = Owes::Answer;
            }
        }
    }

    /// Whether a leg's ACK has to carry the answer to an offer of ours.
    pub fn awaits_answer(&self, leg: LegName) -> bool {
        self.side(leg).is_some_and(|side| side.owes == Owes::Answer)
    }

    /// Whether the caller's INVITE made an offer: only then may a provisional answer describe media
    /// (RFC 3261 §13.2.1).
    pub fn caller_offered(&self) -> bool {
        self.offer.is_some()
    }

    /// The other leg answered a crossing offer: both are settled, and our answer is written.
    ///
    /// # Errors
    /// [`Mismatch`]: the leg that offered gets 488.
    pub fn crossed(&mut self, hands: &mut Hands, session: &Session) -> Result<LegName, Mismatch> {
        let Some(Crossing { from, offer }) = self.crossing.take() else {
            return Err(Mismatch::NoAudio);
        };
        let other = self.side(from.other()).ok_or(Mismatch::NoAudio)?;
        let (terms, _) = other.written.as_ref().ok_or(Mismatch::NoAudio)?;
        let far = terms.check(&other.lines, session)?;
        // Both are settled or neither.
        offer.answer(&far)?;
        self.settle(from.other(), far.clone());
        self.answer_offer(hands, from, offer, &far)?;
        Ok(from)
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

    /// The ports on which flows run.
    pub fn open_ports(&self) -> ArrayVec<MediaPort, 2> {
        self.sides
            .iter()
            .flatten()
            .filter(|side| side.open == Opened::Yes)
            .map(|side| side.port)
            .collect()
    }

    /// The ports that the call has or had.
    pub fn berth(&self) -> Option<Berth> {
        self.berth
    }

    /// The name of a leg's codec, by the payload type last seen, else the one agreed on.
    pub fn codec_name(&self, leg: LegName, payload: Option<u8>) -> Option<String> {
        let agreed = self.agreed(leg)?;
        let seen = agreed
            .codecs
            .iter()
            .find(|pair| payload.is_some_and(|p| p == pair.theirs.payload || p == pair.ours))
            .map(|pair| pair.theirs.name)
            .filter(|name| !name.is_event());
        seen.or_else(|| agreed.audio()).map(|name| name.name().to_owned())
    }

    /// The call's ports go to rest.
    pub fn give_back(&mut self, hands: &mut Hands, now: Instant) {
        if let (Some(berth), Holding::Ports) = (self.berth, self.holding) {
            self.holding = Holding::Nothing;
            hands.ports.give_back(now, berth);
        }
    }

    fn answer_offer(
        &mut self,
        hands: &mut Hands,
        leg: LegName,
        offer: Offer,
        far: &Agreed,
    ) -> Result<(), Mismatch> {
        let (answer, near) = offer.answer(far)?;
        if let Some(side) = self.side_mut(leg) {
            side.lines = offer.lines;
        }
        self.write(leg, answer);
        self.settle(leg, near);
        self.order_flows(hands);
        Ok(())
    }

    fn settle(&mut self, leg: LegName, agreed: Agreed) {
        if let Some(side) = self.side_mut(leg) {
            side.agreed = Some(agreed);
            side.owes = Owes::Nothing;
        }
    }

    /// Writes a description; the version counts only what changes (RFC 3264 §8).
    fn write(&mut self, leg: LegName, terms: Terms) {
        let address = self.media.advertised;
        let Some(side) = self.side_mut(leg) else { return };
        let here = SocketAddr::new(address, side.port.0);
        if let Some((last, bytes)) = &side.written {
            let same = build::write(side.origin, here, &side.lines, &terms);
            if *last == terms && **bytes == *same {
                return;
            }
        }
        side.origin.version += 1;
        let bytes = build::write(side.origin, here, &side.lines, &terms).into_boxed_slice();
        side.written = Some((terms, bytes));
    }

    /// Tells the media threads what both sides have settled.
    /// Tells the media threads what both sides have settled.
    pub fn order_flows(&mut self, hands: &mut Hands) {
        let Some([caller, callee]) = self.sides.as_mut() else {
            return;
        };
        let held = [&caller.agreed, &callee.agreed]
            .into_iter()
            .flatten()
            .any(|agreed| agreed.way != SdpWay::SendRecv);
        let timeout = self.talking.filter(|_| !held);
        let was_open = (caller.open, callee.open);
        let mut order = |near: &mut Side, far: Option<&Agreed>| {
            let Some(agreed) = &near.agreed else { return };
            let spec = Box::new(flow_spec(agreed, far, near.nat, near.media_from.clone(), timeout));
            let order = match near.open {
                Opened::No => Order::Open(near.port, spec),
                Opened::Yes => Order::Change(near.port, spec),
            };
            near.open = Opened::Yes;
            hands.out.push_back(Output::Media(order));
        };
        let callee_agreed = callee.agreed.clone();
        order(caller, callee_agreed.as_ref());
        order(callee, caller.agreed.as_ref());
        let both = (Opened::Yes, Opened::Yes);
        if (caller.open, callee.open) == both && was_open != both {
            hands
                .out
                .push_back(Output::Media(Order::Join(caller.port, callee.port)));
        }
    }

    fn side(&self, leg: LegName) -> Option<&Side> {
        self.sides.as_ref().map(|sides| &sides[leg.index()])
    }

    fn side_mut(&mut self, leg: LegName) -> Option<&mut Side> {
        self.sides.as_mut().map(|sides| &mut sides[leg.index()])
    }
}

/// The terms with their best audio codec only, and the events.
fn one_codec(mut terms: Terms) -> Terms {
    let mut audio = 0;
    terms.codecs.retain(|codec| {
        audio += usize::from(!codec.name.is_event());
        codec.name.is_event() || audio == 1
    });
    terms
}

fn flow_spec(
    agreed: &Agreed,
    far: Option<&Agreed>,
    nat: MediaNat,
    media_from: ArrayVec<MediaSource, 4>,
    timeout: Option<Duration>,
) -> FlowSpec {
    let payloads: Payloads = match far {
        Some(far) => rows(agreed, far)
            .into_iter()
            .map(|row| Payload {
                number: row.number,
                other: row.other,
                clock_hz: row.clock_hz,
                is_event: row.name.is_event(),
            })
            .take(crate::base::limits::SDP_CODECS_MAX)
            .collect(),
        None => Payloads::new(),
    };
    let way = match agreed.way {
        SdpWay::SendRecv => Way::Both,
        SdpWay::SendOnly => Way::Send,
        SdpWay::RecvOnly => Way::Receive,
        SdpWay::Inactive => Way::Neither,
    };
    FlowSpec {
        remote: agreed.rtp,
        remote_rtcp: agreed.rtcp,
        payloads,
        way,
        nat,
        media_from,
        timeout,
    }
}

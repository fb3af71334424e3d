//! What joins the two legs: the session descriptions that each side gets from us, and the orders that make
//! the media threads pass packets between them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use arrayvec::ArrayVec;

use super::config::{Config, MediaConfig};
use super::hands::{CallRef, Hands};
use super::media::{InterfaceId, MediaPort, Order};
use super::phase::End;
use super::port::{LegName, Note, Output};
use super::trunk::codecs::Codecs;
use super::trunk::{Dtmf, EarlyMedia, RtcpMux, Trunk};
use crate::base::keying::Suites;
use crate::base::time::Instant;
use crate::masking::inventory::Fax;
use crate::masking::reason::Reason;
use crate::rtp::clip::Play;
use crate::rtp::ear::Listening;
use crate::rtp::flow::{MediaNat, MediaSource};
use crate::rtp::tap::Tap;
use crate::sdp::answer::{Agreed, Lines, Mismatch, Offer, Terms};
use crate::sdp::build;
use crate::sdp::crypto::{Mode, Protection};
use crate::sdp::media::{CodecName, Origin, RtcpPort};
use crate::sdp::parse::Session;
use crate::sip::path::Transport;

mod flows;
mod forks;
mod kept;
mod keys;
mod offers;
mod secure;
mod sound;

pub(in crate::call) use secure::Ssrcs;

pub use flows::Keys;
pub use forks::{Described, Met};
pub use sound::Sounds;

use flows::{Faxed, Gone};
use secure::Secret;
use sound::Voiced;

/// One leg's media, as its session descriptions have settled it.
#[derive(Debug)]
struct Side {
    port: MediaPort,
    /// The address that our descriptions name.
    here: IpAddr,
    lines: Lines,
    origin: Origin,
    /// What we last wrote to this side, and the terms in it.
    written: Option<(Terms, Box<[u8]>)>,
    /// The terms before those of our offer that has no answer yet.
    former: Option<Box<Terms>>,
    agreed: Option<Agreed>,
    /// Whether the media threads have a flow for it.
    open: Opened,
    /// Whether its peer is listened to.
    listening: Listening,
    /// Where what its peer hears is recorded.
    tap: Option<Tap>,
    owes: Owes,
    nat: MediaNat,
    media_from: ArrayVec<MediaSource, 4>,
    mux: RtcpMux,
    dtmf: Dtmf,
    codecs: Codecs,
    /// What secures it; `None`: nothing does.
    secret: Option<Box<Secret>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Opened {
    No,
    Yes,
}

/// Whether what comes in on one leg goes out on the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Joined {
    No,
    Yes,
}

/// Whether a side's peer has still to answer the offer that we wrote to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owes {
    Nothing,
    Answer,
}

/// An offer that one leg made and the other has still to agree to.
#[derive(Debug)]
pub struct Crossing {
    /// Whose offer it is.
    pub from: LegName,
    offer: Offer,
}

/// What a record says of a call that failed because one side's media is IPv4 and ours there is IPv6, or the other
/// way round.
pub const OTHER_FAMILY: &str = "media_family";

/// Why a description can't be agreed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The terms don't meet.
    Mismatch(Mismatch),
    /// Its address is of another family than ours on that leg: nothing could be sent there.
    OtherFamily,
}

impl From<Mismatch> for Refused {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

/// Where the legs of a new call have their media.
#[derive(Clone, Debug)]
pub struct Faces {
    /// Towards the caller; `None`: we have no address of its family.
    pub caller: Option<InterfaceId>,
    /// Towards the called side; `None`: not known, as the caller's.
    pub callee: Option<InterfaceId>,
    /// The codecs of the trunks of both.
    pub codecs: [Codecs; 2],
    /// How the caller's media is to be secured.
    pub security: (Mode, Suites),
}

/// What joins the two legs.
#[derive(Debug)]
pub struct Bridge {
    call: CallRef,
    timeout: Duration,
    /// The ports that are the call's own still.
    held: ArrayVec<MediaPort, 2>,
    sides: Option<[Side; 2]>,
    /// The caller's first offer; `None` if it made none and gets ours, and once the call is answered.
    offer: Option<Box<Offer>>,
    /// The terms of the called side's INVITE, once a fork has others: the answers of those that come are to these.
    /// `None` again once the call is answered.
    invited: Option<Box<Terms>>,
    /// An offer under way from one leg to the other.
    pub crossing: Option<Box<Crossing>>,
    talking: Option<Duration>,
    /// Whether the call may turn into a fax.
    fax: Fax,
    /// Whether it has, while it was recorded.
    faxed: Faxed,
    /// What the called side's trunk says of media before the answer.
    early: EarlyMedia,
    /// Whether the two flows are: what comes in on one goes out on the other.
    joined: Joined,
    /// The leg that has left while the other one is asked how it was.
    gone: Option<Box<Gone>>,
    /// The sounds of ours that the two hear.
    playing: [Option<Box<Play>>; 2],
    /// Whether it ever had one for such a sound.
    voiced: Voiced,
}

impl Bridge {
    /// A bridge without ports yet.
    pub fn new(call: CallRef, config: &Config) -> Self {
        Self {
            call,
            timeout: config.media.timeout,
            held: ArrayVec::new(),
            sides: None,
            offer: None,
            invited: None,
            crossing: None,
            talking: None,
            fax: Fax::Refuse,
            faxed: Faxed::default(),
            early: EarlyMedia::default(),
            joined: Joined::No,
            gone: None,
            playing: [None, None],
            voiced: Voiced::No,
        }
    }

    /// Takes the call's ports and writes the offer to the called side.
    ///
    /// # Errors
    /// [`Reason::Overload`] when no port is left, [`Reason::Media`] for an offer that we can't take.
    pub fn begin(
        &mut self,
        hands: &mut Hands,
        now: Instant,
        offer: Option<Session>,
        faces: Faces,
        media: &MediaConfig,
    ) -> Result<(), End> {
        let [near_codecs, far_codecs] = faces.codecs;
        let secret = Secret::draw(faces.security, &mut hands.chance);
        let off = Protection::OFF;
        let ours = secret.as_ref().map_or(&off, |secret| secret.protection());
        let offer = offer
            .map(|session| Offer::read(&session, &near_codecs.known(), ours, None))
            .transpose()
            .map_err(|_| End::failed(Reason::Media))?;
        let caller = faces.caller.ok_or(other_family())?;
        let callee = faces.callee.unwrap_or(caller);
        let (Some(near), Some(far)) = (media.advertised(caller), media.advertised(callee)) else {
            return Err(other_family());
        };
        if offer.as_ref().is_some_and(|offer| !reaches(near, offer.rtp)) {
            return Err(other_family());
        }
        let Some(ports) = hands.ports.take(now, caller, callee) else {
            return Err(ports_dry(hands, now));
        };
        hands.bind_ahead(now);
        for port in ports {
            self.hold(hands, port);
        }
        let mut side = |port, here, lines, codecs, secret| Side {
            port,
            here,
            lines,
            // Four digits at the most: nothing of ours can be taken for a number.
            origin: Origin {
                id: u64::from(1_000 + hands.chance.below(9_000)),
                version: 0,
            },
            written: None,
            former: None,
            agreed: None,
            open: Opened::No,
            listening: Listening::No,
            tap: None,
            owes: Owes::Nothing,
            nat: MediaNat::default(),
            media_from: ArrayVec::new(),
            mux: RtcpMux::default(),
            dtmf: Dtmf::default(),
            codecs,
            secret,
        };
        let lines = offer
            .as_ref()
            .map_or_else(Lines::one, |offer| offer.lines.clone());
        let [caller, callee] = ports;
        self.sides = Some([
            side(caller, near, lines, near_codecs, secret),
            // Its trunk says more when it is called.
            side(callee, far, Lines::one(), far_codecs, None),
        ]);
        self.offer = offer.map(Box::new);
        let terms = self.first_terms();
        self.write_offer(LegName::Callee, terms);
        Ok(())
    }

    /// What the called side is offered first: the caller's offer, or what its trunk and the caller's have in common.
    fn first_terms(&self) -> Terms {
        match (&self.offer, &self.sides) {
            (Some(offer), _) => offer.onward(None),
            (
                None,
                Some(
                    [
                        Side {
                            agreed: Some(near), ..
                        },
                        _,
                    ],
                ),
            ) => near.onward(None),
            (None, Some([caller, callee])) => Terms::list(&callee.codecs.unasked(&caller.codecs)),
            (None, None) => Terms::list(&CodecName::DEFAULT),
        }
    }

    /// What becomes of the called side's media before it answers, whatever its trunk's setting.
    pub fn treat_early(&mut self, early: EarlyMedia) {
        self.early = early;
    }

    /// The called side is to be called by this trunk and interface: our offer to it follows, from a port there.
    /// Only while no media runs on that side. `by` is how its INVITE goes: who is called anew, gets new keys.
    ///
    /// # Errors
    /// [`Reason::Overload`] when no port is left there, [`Reason::Media`] where the trunk has no codec of the offer's, or
    /// must be secured where no key may be named.
    pub fn face_callee(
        &mut self,
        hands: &mut Hands,
        now: Instant,
        trunk: &Trunk,
        by: Transport,
        interface: InterfaceId,
        media: &MediaConfig,
    ) -> Result<(), End> {
        let (mode, suites) = trunk.srtp.over(by);
        if mode == Mode::Required && suites.is_empty() {
            return Err(End::failed(Reason::Media));
        }
        if let Some(callee) = self.side_mut(LegName::Callee) {
            callee.secret = Secret::draw((mode, suites), &mut hands.chance);
        }
        let is_other = self
            .side(LegName::Callee)
            .is_some_and(|side| side.codecs != trunk.codecs);
        self.learn_by(LegName::Callee, trunk);
        self.early = trunk.early_media;
        let first = is_other.then(|| self.first_terms());
        let Some([caller, callee]) = &mut self.sides else {
            return Ok(());
        };
        let written = first.or_else(|| callee.written.as_ref().map(|(terms, _)| terms.clone()));
        if written
            .as_ref()
            .is_some_and(|terms| !callee.codecs.leave_audio(&terms.codecs))
        {
            return Err(End::failed(Reason::Media));
        }
        if callee.port.interface() == interface || callee.open == Opened::Yes {
            if let Some(terms) = written {
                self.write_offer(LegName::Callee, terms);
            }
            return Ok(());
        }
        let here = media.advertised(interface).ok_or(other_family())?;
        let Some(port) = hands.ports.take_beside(now, interface, caller.port) else {
            return Err(ports_dry(hands, now));
        };
        let old = std::mem::replace(&mut callee.port, port);
        callee.here = here;
        self.release(hands, now, old);
        self.hold(hands, port);
        hands.bind_ahead(now);
        if let Some(terms) = written {
            self.write_offer(LegName::Callee, terms);
        }
        Ok(())
    }

    /// Somebody else is called in place of the called side: nothing that was settled with it counts for him, and no packet
    /// of its media or to it is his.
    ///
    /// # Errors
    /// [`Reason::Overload`] when no port is left in place of the one that it knows.
    pub fn leave_callee(&mut self, hands: &mut Hands, now: Instant) -> Result<(), End> {
        let Some([caller, callee]) = &mut self.sides else {
            return Ok(());
        };
        if callee.open == Opened::Yes {
            let Some(port) = hands.ports.take_beside(now, callee.port.interface(), caller.port) else {
                return Err(ports_dry(hands, now));
            };
            let old = std::mem::replace(&mut callee.port, port);
            callee.open = Opened::No;
            self.joined = Joined::No;
            hands.out.push_back(Output::Media(Order::Close(old)));
            self.release(hands, now, old);
            self.hold(hands, port);
            hands.bind_ahead(now);
        }
        self.crossing = None;
        let _ = self.turn_callee(Described::default());
        self.invited = None;
        if let Some(callee) = self.side_mut(LegName::Callee) {
            callee.lines = Lines::one();
            callee.owes = Owes::Nothing;
        }
        Ok(())
    }

    /// Takes over how the trunk of a leg wants media addresses learnt, and RTCP offered.
    pub fn learn_by(&mut self, leg: LegName, trunk: &Trunk) {
        if let Some(side) = self.side_mut(leg) {
            side.nat = trunk.media_nat;
            side.mux = trunk.rtcp_mux;
            side.dtmf = trunk.dtmf;
            side.codecs.clone_from(&trunk.codecs);
            side.media_from = trunk.media_from.iter().copied().take(4).collect();
        }
        if let (LegName::Caller, RtcpMux::Off, Some(offer)) = (leg, trunk.rtcp_mux, &mut self.offer) {
            offer.keep_rtcp_apart();
        }
    }

    /// Takes over what the pool says of faxes.
    pub fn treat_faxes(&mut self, fax: Fax) {
        self.fax = fax;
    }

    /// What becomes of the called side's media before it answers.
    pub const fn early(&self) -> EarlyMedia {
        self.early
    }

    /// Our current description for a leg.
    pub fn description(&self, leg: LegName) -> Option<&[u8]> {
        self.side(leg)?.written.as_ref().map(|(_, bytes)| &**bytes)
    }

    /// What a leg has settled.
    pub fn agreed(&self, leg: LegName) -> Option<&Agreed> {
        self.side(leg)?.agreed.as_ref()
    }

    /// A leg's peer answered an offer of ours that was nobody else's: in the ACK of a 2xx, or in a 2xx.
    ///
    /// # Errors
    /// The answer agrees to nothing that was offered.
    pub fn took_offer(&mut self, hands: &mut Hands, leg: LegName, session: &Session) -> Result<(), Refused> {
        let agreed = self.check(leg, session)?;
        self.settle_answered(leg, agreed);
        self.order_flows(hands);
        Ok(())
    }

    /// The call is answered: from now on silence on both sides counts.
    pub fn talk(&mut self, hands: &mut Hands) {
        self.talking = Some(self.timeout);
        self.offer = None;
        self.invited = None;
        self.hush(hands, LegName::Caller);
        self.hush(hands, LegName::Callee);
        self.order_flows(hands);
    }

    /// Reads a new offer within a leg. `Ok(None)`: it is the leg's own affair, and our answer is written.
    /// `Ok(Some(terms))`: the other leg has to be asked with them first.
    ///
    /// # Errors
    /// [`Refused`]: 488.
    pub fn reoffered(
        &mut self,
        hands: &mut Hands,
        leg: LegName,
        session: &Session,
    ) -> Result<Option<Terms>, Refused> {
        let near = self.side(leg).ok_or(Mismatch::NoAudio)?;
        let mut offer = match (
            Offer::read(
                session,
                &near.codecs.known(),
                near.protection(),
                Some(&near.lines),
            ),
            self.fax,
        ) {
            (Err(Mismatch::NoAudio), Fax::Pass) => Offer::read_fax(session, near.protection(), &near.lines)?,
            (read, Fax::Pass | Fax::Refuse) => read?,
        };
        if near.mux == RtcpMux::Off {
            offer.keep_rtcp_apart();
        }
        if !reaches(near.here, offer.rtp) {
            return Err(Refused::OtherFamily);
        }
        let (Some(agreed), Some(far)) = (self.agreed(leg), self.agreed(leg.other())) else {
            if leg == LegName::Caller && self.sounds() == Sounds::Yes {
                self.revoice(hands, offer)?;
                return Ok(None);
            }
            return Err(Mismatch::NoAudio.into());
        };
        if offer.changes(agreed, far).crosses() {
            let terms = offer.onward(Some(far));
            let takes = |side: &Side| match terms.fax {
                Some(_) => side.may_be_plain(),
                None => side.codecs.leave_audio(&terms.codecs),
            };
            if !self.side(leg.other()).is_some_and(takes) {
                return Err(Mismatch::NoCodec.into());
            }
            self.crossing = Some(Box::new(Crossing { from: leg, offer }));
            return Ok(Some(terms));
        }
        let far = far.clone();
        self.answer_offer(hands, leg, offer, &far)?;
        Ok(None)
    }

    /// Reads a new offer within a leg that can't wait for the other one, and writes our answer to it: what that one has
    /// settled. What it should hear of them is [`Bridge::terms_missing_at`] it.
    ///
    /// # Errors
    /// [`Refused`]: 488.
    pub fn answer_at_once(
        &mut self,
        hands: &mut Hands,
        leg: LegName,
        session: &Session,
    ) -> Result<(), Refused> {
        let near = self.side(leg).ok_or(Mismatch::NoAudio)?;
        let mut offer = Offer::read(
            session,
            &near.codecs.known(),
            near.protection(),
            Some(&near.lines),
        )?;
        if near.mux == RtcpMux::Off {
            offer.keep_rtcp_apart();
        }
        if !reaches(near.here, offer.rtp) {
            return Err(Refused::OtherFamily);
        }
        let far = self.agreed(leg.other()).cloned().ok_or(Mismatch::NoAudio)?;
        self.answer_offer(hands, leg, offer, &far)?;
        Ok(())
    }

    /// Whether the caller's INVITE made an offer: only then may a provisional answer describe media
    /// (RFC 3261 §13.2.1).
    pub fn caller_offered(&self) -> bool {
        self.offer.is_some()
    }

    /// The other leg answered a crossing offer: both are settled, and our answer is written.
    ///
    /// # Errors
    /// [`Refused`]: the leg that offered gets 488.
    pub fn crossed(&mut self, hands: &mut Hands, session: &Session) -> Result<LegName, Refused> {
        let Some(crossing) = self.crossing.take() else {
            return Err(Mismatch::NoAudio.into());
        };
        let Crossing { from, offer } = *crossing;
        let far = self.check(from.other(), session)?;
        // Both are settled or neither.
        offer.answer(&far, None)?;
        self.settle_answered(from.other(), far.clone());
        self.answer_offer(hands, from, offer, &far)?;
        Ok(from)
    }

    /// The call's ports go to rest.
    pub fn give_back(&mut self, hands: &mut Hands, now: Instant) {
        for port in self.held.take() {
            self.release(hands, now, port);
        }
    }

    /// A port is the call's from now on, and the call is found by it.
    fn hold(&mut self, hands: &mut Hands, port: MediaPort) {
        self.held.push(port);
        hands.by_port.insert(port, self.call);
    }

    /// A port goes to rest; the next call that gets it is found by it.
    fn release(&mut self, hands: &mut Hands, now: Instant, port: MediaPort) {
        self.held.retain(|held| *held != port);
        hands.by_port.remove(&port);
        hands.ports.give_back(now, port);
    }

    /// Holds a leg's answer against our offer to it.
    fn check(&self, leg: LegName, session: &Session) -> Result<Agreed, Refused> {
        let side = self.side(leg).ok_or(Mismatch::NoAudio)?;
        let (terms, _) = side.written.as_ref().ok_or(Mismatch::NoAudio)?;
        let agreed = terms.check(&side.lines, side.line(), side.protection().mode, session)?;
        if reaches(side.here, agreed.rtp) {
            Ok(agreed)
        } else {
            Err(Refused::OtherFamily)
        }
    }

    fn answer_offer(
        &mut self,
        hands: &mut Hands,
        leg: LegName,
        offer: Offer,
        far: &Agreed,
    ) -> Result<(), Mismatch> {
        let (answer, near) = offer.answer(&self.with_events(leg.other(), far), self.agreed(leg))?;
        if let Some(side) = self.side_mut(leg) {
            side.lines.clone_from(&offer.lines);
            side.answer_line(&near);
        }
        if leg == LegName::Caller && self.offer.is_some() {
            // What a fork answers from now on meets this one.
            self.offer = Some(Box::new(offer));
        }
        self.write(leg, answer);
        self.settle(leg, near);
        self.order_flows(hands);
        Ok(())
    }

    /// Settles what a leg's peer has answered to an offer of ours. Before the call is answered, another fork may yet
    /// meet what the caller offered: as it stands after this.
    fn settle_answered(&mut self, leg: LegName, agreed: Agreed) {
        if let (LegName::Caller, Some(offer)) = (leg, &mut self.offer) {
            offer.amend(&agreed);
        }
        self.settle(leg, agreed);
        if let Some(side) = self.side_mut(leg) {
            side.former = None;
            side.owes = Owes::Nothing;
        }
    }

    /// What a leg has settled from now on. An offer of ours to it may still be unanswered: that the other leg speaks
    /// through another fork is no answer.
    fn settle(&mut self, leg: LegName, mut agreed: Agreed) {
        agreed.codecs.shrink_to_fit();
        if let Some(side) = self.side_mut(leg) {
            side.agreed = Some(agreed);
        }
    }

    /// Writes an offer of ours. Where RTCP goes is the leg's own affair: as agreed, and RFC 5761 §5.1.1 wants it
    /// said again in each offer; at first as the trunk wants it.
    fn write_offer(&mut self, leg: LegName, mut terms: Terms) {
        if let Some(side) = self.side(leg) {
            side.codecs.narrow(&mut terms.codecs);
            terms.rtcp_port = match (&side.agreed, side.mux) {
                (Some(agreed), _) => agreed.rtcp_port,
                (None, RtcpMux::Offer) => RtcpPort::Shared,
                (None, RtcpMux::Answer | RtcpMux::Off) => RtcpPort::Own,
            };
        }
        self.offer_events(leg, &mut terms);
        self.write(leg, terms);
    }

    /// Writes a description; the version counts only what changes (RFC 3264 §8).
    fn write(&mut self, leg: LegName, mut terms: Terms) {
        terms.codecs.shrink_to_fit();
        let Some(side) = self.side_mut(leg) else { return };
        let here = SocketAddr::new(side.here, side.port.number());
        if let Some((last, bytes)) = &side.written {
            let same = build::write(side.origin, here, &side.lines, &terms, side.line());
            if *last == terms && **bytes == *same {
                return;
            }
        }
        side.origin.version += 1;
        let bytes = build::write(side.origin, here, &side.lines, &terms, side.line()).into_boxed_slice();
        let is_later = leg == LegName::Callee && side.agreed.is_some();
        let before = side.written.replace((terms, bytes));
        if is_later && self.talking.is_none() && self.invited.is_none() {
            self.invited = before.map(|(terms, _)| Box::new(terms));
        }
    }

    fn side(&self, leg: LegName) -> Option<&Side> {
        self.sides.as_ref().map(|sides| &sides[leg.index()])
    }

    fn side_mut(&mut self, leg: LegName) -> Option<&mut Side> {
        self.sides.as_mut().map(|sides| &mut sides[leg.index()])
    }
}

/// Whether media can go from `here` to there; nowhere yet can always be reached.
fn reaches(here: IpAddr, there: Option<SocketAddr>) -> bool {
    there.is_none_or(|there| there.is_ipv4() == here.is_ipv4())
}

fn other_family() -> End {
    End {
        cause: Some(OTHER_FAMILY),
        ..End::failed(Reason::Media)
    }
}

fn ports_dry(hands: &mut Hands, now: Instant) -> End {
    hands.note(Note::PortsDry);
    hands.bind_ahead(now);
    End::failed(Reason::Overload)
}

//! Offer and answer (RFC 3264), between one leg's peer and us. The module's documentation in
//! [`sdp`](super) shows the way through.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::crypto::{Line, Mode, Protection, Secured};
use super::fax::Fax;
use super::media::{Codec, CodecName, Media, MediaKind, Packing, Proto, RtcpPort, SdpWay, Token};
use super::parse::Session;

/// Why a description can't be agreed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Mismatch {
    /// It has no live audio line that the leg can carry, plain or secured as its trunk says, or none where ours is.
    #[error("there is no audio that could be carried")]
    NoAudio,
    /// It has audio, but no codec that both sides know.
    #[error("there is no codec in common")]
    NoCodec,
    /// It has fewer media lines than the dialog had (RFC 3264 §8), or an answer has others than its offer.
    #[error("the media lines don't follow those before")]
    Lines,
}

/// An audio line: the part of a description that is negotiated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// Codecs, best first, with the payload types of the leg that it is written to.
    pub codecs: Vec<Codec>,
    /// Packet lengths asked for.
    pub packing: Packing,
    /// Which way, seen from whoever writes it.
    pub way: SdpWay,
    /// Whether RTCP shares RTP's port: each leg's own affair.
    pub rtcp_port: RtcpPort,
    /// The line is a fax's (T.38 over UDPTL), not audio: it has no codecs.
    pub fax: Option<Fax>,
}

/// The media lines of one dialog. Their number and order stay for its whole life (RFC 3264 §8).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lines {
    audio: usize,
    shapes: Vec<Shape>,
}

/// What it takes to refuse a line in place: its own writer's words, told to nobody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) kind: MediaKind,
    pub(super) proto: Proto,
    pub(super) fmt: Token,
}

impl Lines {
    /// One audio line: what an offer of ours begins a dialog with.
    pub fn one() -> Self {
        Self {
            audio: 0,
            shapes: vec![Shape {
                kind: MediaKind::Audio,
                proto: Proto::RtpAvp,
                fmt: Token::new(),
            }],
        }
    }

    fn of(session: &Session, audio: usize) -> Self {
        let shape = |media: &Media| Shape {
            kind: media.kind,
            proto: media.proto,
            fmt: media.fmt,
        };
        Self {
            audio,
            shapes: session.media.iter().map(shape).collect(),
        }
    }

    /// Whether they can be the lines of a dialog, of which there are so many at the most.
    pub fn is_sound(&self, most: usize) -> bool {
        self.audio < self.shapes.len() && self.shapes.len() <= most
    }

    /// The line that carries the audio.
    pub(super) fn audio(&self) -> usize {
        self.audio
    }

    pub(super) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }
}

/// What a leg's peer offers, as far as we could take it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The dialog's media lines from now on, for our answer and for offers of ours that follow.
    pub lines: Lines,
    /// The audio line, seen from the peer.
    pub terms: Terms,
    /// Where the peer wants RTP; `None` on hold or unknown.
    pub rtp: Option<SocketAddr>,
    /// Where the peer wants RTCP.
    pub rtcp: Option<SocketAddr>,
    /// How its audio would be secured; `None`: not at all.
    pub secured: Option<Box<Secured>>,
    /// Where it wants RTCP if that doesn't share RTP's port.
    apart: Option<SocketAddr>,
}

/// What a leg has settled: the flow is made from it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Agreed {
    /// The codecs, best first, at least one of them audio unless the leg is a fax.
    pub codecs: Vec<Pair>,
    /// Which way, seen from us: what our side of the leg does.
    pub way: SdpWay,
    /// Which way the peer would go if it were only for itself, seen from the peer. More than it said if
    /// our offer forbade the rest: a call that was held by the other side comes back by this.
    pub wish: SdpWay,
    /// Packet lengths that the peer wants.
    pub packing: Packing,
    /// Where the peer wants RTP; `None` on hold or unknown.
    pub rtp: Option<SocketAddr>,
    /// Where the peer wants RTCP.
    pub rtcp: Option<SocketAddr>,
    /// Whether RTCP shares RTP's port, both ways.
    pub rtcp_port: RtcpPort,
    /// The leg is a fax (T.38 over UDPTL) now, as the peer described it; then it has no codecs.
    pub fax: Option<Fax>,
    /// How its audio is secured; `None`: not at all. Whoever writes the rest down writes this behind it.
    #[serde(skip)]
    pub secured: Option<Box<Secured>>,
}

/// One agreed codec. The peer sends by the number in *our* description and receives by the one in *its
/// own*; nearly always they are one (RFC 3264 §5.1, §6.1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// The number in our description.
    pub ours: u8,
    /// The codec as the peer described it.
    pub theirs: Codec,
}

/// One payload type of a leg's flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The payload type on this leg.
    pub number: u8,
    /// The payload type by which the other leg's peer receives the same codec; `None` if it knows none.
    pub other: Option<u8>,
    /// RTP clock in hertz.
    pub clock_hz: u32,
    /// What it is.
    pub name: CodecName,
}

/// What a new offer changes. None of them: it only refreshes the session. Several may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Where, under which payload numbers or by which key, the peer wants its media: the leg's own affair.
    pub address: bool,
    /// Which way media can run between the two parties.
    pub direction: bool,
    /// A codec that both legs use is gone.
    pub codecs: bool,
    /// Packets of another length are asked for.
    pub packing: bool,
}

impl Changes {
    /// Whether the other leg has to be asked. Refreshes and moved addresses are answered on their own leg.
    pub const fn crosses(self) -> bool {
        self.direction || self.codecs || self.packing
    }
}

impl Offer {
    /// Reads an offer, in which only `known` codecs are seen, and of which only what `ours` can secure, or may leave
    /// plain, is taken. `before` are the dialog's lines if it had any.
    ///
    /// # Errors
    /// [`Mismatch`] if it can't be accepted: 488 (RFC 3261 §13.3.1.3).
    pub fn read(
        session: &Session,
        known: &[CodecName],
        ours: &Protection,
        before: Option<&Lines>,
    ) -> Result<Self, Mismatch> {
        if before.is_some_and(|before| session.media.len() < before.shapes.len()) {
            return Err(Mismatch::Lines);
        }
        // The line that carried the audio goes on; else the first that we can carry.
        let usable = |index: usize| {
            let media = session.media.get(index)?;
            Some((index, media, ours.take(media)?))
        };
        let (index, media, secured) = before
            .and_then(|before| usable(before.audio()))
            .or_else(|| (0..session.media.len()).find_map(usable))
            .ok_or(Mismatch::NoAudio)?;
        let codecs: Vec<Codec> = media
            .codecs
            .iter()
            .filter(|codec| known.contains(&codec.name))
            .cloned()
            .collect();
        with_audio(&codecs)?;
        Ok(Self {
            lines: Lines::of(session, index),
            terms: Terms {
                codecs,
                packing: media.packing,
                way: media.way,
                rtcp_port: media.rtcp_port,
                fax: None,
            },
            rtp: media.rtp_address(),
            rtcp: rtcp_of(media, media.rtcp_port),
            secured,
            apart: media.rtcp_address(),
        })
    }

    /// RTCP has a port of its own, even if the peer would have it on RTP's: our answer doesn't agree to that (RFC 5761
    /// §5.1.1).
    pub fn keep_rtcp_apart(&mut self) {
        self.terms.rtcp_port = RtcpPort::Own;
        self.rtcp = self.apart;
    }

    /// Reads an offer that turns a call into a fax: no audio that `ours` could carry, and a fax line, which can't be
    /// secured. `before` are the dialog's lines.
    ///
    /// # Errors
    /// [`Mismatch`] if it is none.
    pub fn read_fax(session: &Session, ours: &Protection, before: &Lines) -> Result<Self, Mismatch> {
        if session.media.len() < before.shapes.len() {
            return Err(Mismatch::Lines);
        }
        let mut live = session.media.iter().enumerate();
        let (index, media, fax) = live
            .find_map(|(index, media)| Some((index, media, media.live_fax()?)))
            .filter(|_| {
                ours.mode != Mode::Required && !session.media.iter().any(|media| ours.take(media).is_some())
            })
            .ok_or(Mismatch::NoAudio)?;
        Ok(Self {
            lines: Lines::of(session, index),
            terms: Terms {
                way: media.way,
                fax: Some(fax),
                ..Terms::list(&[])
            },
            rtp: media.rtp_address(),
            rtcp: None,
            secured: None,
            apart: None,
        })
    }

    /// Our offer to the other leg: the same codecs, packet length and direction, under the numbers that
    /// leg uses already (`onto`), else under this leg's own.
    pub fn onward(&self, onto: Option<&Agreed>) -> Terms {
        Terms {
            codecs: renumbered(self.terms.codecs.iter(), onto),
            rtcp_port: RtcpPort::Own,
            ..self.terms.clone()
        }
    }

    /// Our answer, limited to what the other leg (`far`) has agreed to, and what is settled by it. `before`: what
    /// its own leg had settled, if anything.
    ///
    /// # Errors
    /// [`Mismatch::NoCodec`] if the other leg uses none of the offered codecs.
    pub fn answer(&self, far: &Agreed, before: Option<&Agreed>) -> Result<(Terms, Agreed), Mismatch> {
        let mut rest: Vec<&Codec> = self.terms.codecs.iter().collect();
        let mut codecs = Vec::new();
        let mut pairs = Vec::new();
        if self.terms.fax.is_some() != far.fax.is_some() {
            return Err(Mismatch::NoCodec);
        }
        for wanted in far.codecs.iter().map(|pair| &pair.theirs) {
            let Some(offered) = take_like(&mut rest, wanted) else {
                continue;
            };
            // The parameters are those that the other party wants to receive (RFC 3264 §6.1).
            codecs.push(Codec {
                payload: offered.payload,
                ..wanted.clone()
            });
            pairs.push(Pair {
                ours: offered.payload,
                theirs: offered.clone(),
            });
        }
        if self.terms.fax.is_none() {
            with_audio(&codecs)?;
        }
        let way = self.terms.way.reversed().and(far.wish);
        let terms = Terms {
            codecs,
            packing: far.packing,
            way,
            // RFC 5761 §5.1.1: whoever offers to share is answered so.
            rtcp_port: self.terms.rtcp_port,
            fax: far.fax,
        };
        let agreed = Agreed {
            codecs: pairs,
            way,
            wish: self.wish(before),
            packing: self.terms.packing,
            rtp: self.rtp,
            rtcp: self.rtcp,
            rtcp_port: self.terms.rtcp_port,
            fax: self.terms.fax,
            secured: self.secured.clone(),
        };
        Ok((terms, agreed))
    }

    /// What stands of this offer once the peer has answered one of ours: the codecs that it named at first, and where,
    /// which way and under which numbers it wants them as it says now.
    pub fn amend(&mut self, now: &Agreed) {
        (self.rtp, self.rtcp) = (now.rtp, now.rtcp);
        self.secured.clone_from(&now.secured);
        self.terms.rtcp_port = now.rtcp_port;
        self.terms.packing = now.packing;
        self.terms.way = now.wish;
        for pair in &now.codecs {
            let mut known = self.terms.codecs.iter_mut();
            if let Some(codec) = known.find(|codec| codec.packs_like(&pair.theirs)) {
                codec.clone_from(&pair.theirs);
            }
        }
    }

    /// Which way the peer would go by itself. A party that only repeats the direction that it was put into (held, it
    /// refreshes with `recvonly`) says nothing new of its own (RFC 6337 §5.3); should it be its own wish after all,
    /// it says so when it is asked to come back.
    fn wish(&self, before: Option<&Agreed>) -> SdpWay {
        let way = self.terms.way;
        before
            .filter(|before| before.way.reversed() == way)
            .map_or(way, |before| before.wish)
    }

    /// What this new offer changes of what its leg (`near`) and the other (`far`) have settled.
    pub fn changes(&self, near: &Agreed, far: &Agreed) -> Changes {
        let mut rest: Vec<&Codec> = self.terms.codecs.iter().collect();
        let mut changes = Changes {
            address: self.rtp != near.rtp
                || self.rtcp != near.rtcp
                || self.terms.rtcp_port != near.rtcp_port
                || self.secured != near.secured,
            direction: self.terms.way.reversed().and(far.wish) != near.way,
            // Audio becomes a fax, or a fax audio again.
            codecs: self.terms.fax.is_some() != near.fax.is_some(),
            packing: self.terms.packing.asks_more_than(near.packing),
        };
        for pair in &near.codecs {
            match take_like(&mut rest, &pair.theirs) {
                Some(codec) if codec.payload == pair.theirs.payload => {}
                Some(_) => changes.address = true,
                // Whoever wants no comfort noise gets none: that is no news for the other side.
                None if pair.theirs.name == CodecName::ComfortNoise => {}
                None => changes.codecs |= far.codecs.iter().any(|far| far.theirs.is(&pair.theirs)),
            }
        }
        changes
    }
}

impl Terms {
    /// An offer of ours with no other to go by: these codecs, both ways. An INVITE without a description
    /// gets one (RFC 3261 §13.2.1).
    pub fn list(codecs: &[CodecName]) -> Self {
        Self {
            codecs: codecs.iter().copied().map(Codec::ours).collect(),
            packing: Packing::default(),
            way: SdpWay::SendRecv,
            rtcp_port: RtcpPort::Own,
            fax: None,
        }
    }

    /// Holds the peer's answer against this offer of ours, which was written with `lines` and `line` on a leg where
    /// audio is secured by `mode`.
    ///
    /// # Errors
    /// [`Mismatch`] if it refuses the audio or agrees to nothing that was offered.
    pub fn check(
        &self,
        lines: &Lines,
        line: &Line,
        mode: Mode,
        answer: &Session,
    ) -> Result<Agreed, Mismatch> {
        let media = answer.media.get(lines.audio()).ok_or(Mismatch::Lines)?;
        let fax = media.live_fax().filter(|_| self.fax.is_some());
        if fax.is_none() && self.fax.is_some() {
            return Err(Mismatch::NoAudio);
        }
        let secured = match fax {
            Some(_) => None,
            None => line.check(mode, media).ok_or(Mismatch::NoAudio)?,
        };
        let mut rest: Vec<&Codec> = self.codecs.iter().collect();
        let mut codecs = Vec::new();
        for theirs in &media.codecs {
            if let Some(offered) = take_like(&mut rest, theirs) {
                let mut theirs = theirs.clone();
                if !theirs.packs_like(offered) {
                    // It forgot to repeat how it packs; an answer may not change that (RFC 4867 §8.3.1).
                    theirs.fmtp.clone_from(&offered.fmtp);
                }
                codecs.push(Pair {
                    ours: offered.payload,
                    theirs,
                });
            }
        }
        if fax.is_none() && !codecs.iter().any(|pair| pair.theirs.name.is_audio()) {
            return Err(Mismatch::NoCodec);
        }
        // RFC 5761 §5.1.1: shared only if both say so.
        let rtcp_port = match (self.rtcp_port, media.rtcp_port) {
            (RtcpPort::Shared, RtcpPort::Shared) => RtcpPort::Shared,
            (RtcpPort::Own, _) | (_, RtcpPort::Own) => RtcpPort::Own,
        };
        Ok(Agreed {
            codecs,
            way: media.way.reversed().and(self.way),
            // What our offer forbade, the answer couldn't say.
            wish: media.way.or(self.way.reversed().complement()),
            packing: media.packing,
            rtp: media.rtp_address(),
            rtcp: rtcp_of(media, rtcp_port).filter(|_| fax.is_none()),
            rtcp_port,
            fax,
            secured,
        })
    }
}

impl Agreed {
    /// An offer to the other leg (`onto`: what it has settled, if anything) narrowed to what this one
    /// agreed to: for a caller that made no offer, or whose call was answered by another fork.
    pub fn onward(&self, onto: Option<&Agreed>) -> Terms {
        Terms {
            codecs: renumbered(self.codecs.iter().map(|pair| &pair.theirs), onto),
            packing: self.packing,
            way: self.wish,
            rtcp_port: RtcpPort::Own,
            fax: self.fax,
        }
    }

    /// Whether the two legs' peers can hear each other: they share a codec, or a fax.
    pub fn meets(&self, far: &Self) -> bool {
        let is_fax = self.fax.is_some() && far.fax.is_some();
        let audio = |pair: &&Pair| pair.theirs.name.is_audio();
        let has = |pair: &Pair| far.codecs.iter().any(|its| its.theirs.packs_like(&pair.theirs));
        is_fax || self.codecs.iter().filter(audio).any(has)
    }

    /// The audio codec that the peer likes best, for records.
    pub fn audio(&self) -> Option<CodecName> {
        self.codecs
            .iter()
            .map(|pair| pair.theirs.name)
            .find(|name| name.is_audio())
    }
}

/// The payload types of one leg's flow (`near`) and their counterparts on the other (`far`), if that has settled
/// anything. A peer that renumbered a codec in its answer has two rows for it: what it sends and what it says.
pub fn rows(near: &Agreed, far: Option<&Agreed>) -> Vec<Row> {
    let far = far.map_or(&[][..], |far| &far.codecs);
    let mut rest: Vec<&Codec> = far.iter().map(|pair| &pair.theirs).collect();
    let mut rows: Vec<Row> = Vec::new();
    for pair in &near.codecs {
        let other = take_like(&mut rest, &pair.theirs).map(|codec| codec.payload);
        rows.push(Row {
            number: pair.theirs.payload,
            other,
            clock_hz: pair.theirs.clock_hz,
            name: pair.theirs.name,
        });
    }
    // The second rows come last and only where the number is free: the peer's own word counts more.
    for pair in &near.codecs {
        if rows.iter().all(|row| row.number != pair.ours)
            && let Some(row) = rows.iter().find(|row| row.number == pair.theirs.payload).copied()
        {
            rows.push(Row {
                number: pair.ours,
                ..row
            });
        }
    }
    rows
}

/// Where RTCP goes.
fn rtcp_of(media: &Media, port: RtcpPort) -> Option<SocketAddr> {
    match port {
        RtcpPort::Own => media.rtcp_address(),
        RtcpPort::Shared => media.rtp_address(),
    }
}

fn with_audio(codecs: &[Codec]) -> Result<(), Mismatch> {
    if !codecs.iter().any(|codec| codec.name.is_audio()) {
        return Err(Mismatch::NoCodec);
    }
    Ok(())
}

/// Takes the codec most like `wanted` out of `rest`: same packing and number, same packing, same number
/// (an answer that forgot to repeat how it packs).
fn take_like<'c>(rest: &mut Vec<&'c Codec>, wanted: &Codec) -> Option<&'c Codec> {
    let packs = |codec: &&Codec| codec.packs_like(wanted);
    let numbered = |codec: &&Codec| codec.is(wanted) && codec.payload == wanted.payload;
    let index = rest
        .iter()
        .position(|codec| packs(codec) && numbered(codec))
        .or_else(|| rest.iter().position(packs))
        .or_else(|| rest.iter().position(numbered))?;
    Some(rest.remove(index))
}

/// `codecs` under numbers that mean the same, or nothing yet, on the leg `onto`: within a dialog a number
/// never changes its meaning (RFC 3264 §8.3.2).
fn renumbered<'c>(codecs: impl Iterator<Item = &'c Codec>, onto: Option<&Agreed>) -> Vec<Codec> {
    let used = onto.map(|leg| leg.codecs.as_slice()).unwrap_or_default();
    let mut out: Vec<Codec> = Vec::new();
    for codec in codecs {
        let known = used.iter().find(|pair| pair.theirs.packs_like(codec));
        let is_free = |number: u8, out: &[Codec]| {
            out.iter().all(|codec| codec.payload != number)
                && used
                    .iter()
                    .all(|pair| pair.ours != number && pair.theirs.payload != number)
        };
        let number = match known {
            Some(pair) if out.iter().all(|codec| codec.payload != pair.ours) => Some(pair.ours),
            _ if is_free(codec.payload, &out) => Some(codec.payload),
            // RFC 3551 §3: the dynamic range, and what lies free below it. 64–95 look like RTCP (RFC 5761 §4).
            _ => (96..=127).chain(35..=63).find(|number| is_free(*number, &out)),
        };
        if let Some(payload) = number {
            out.push(Codec {
                payload,
                ..codec.clone()
            });
        }
    }
    out
}

#[cfg(test)]
mod tests;

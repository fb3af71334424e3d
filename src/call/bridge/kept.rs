//! The bridge of a call that another process goes on with.

use std::borrow::Cow;
use std::net::SocketAddr;

use arrayvec::ArrayVec;

use super::flows::Faxed;
use super::secure::Secret;
use super::{Bridge, Joined, Opened, Owes, Side, Voiced};
use crate::base::limits::{SDP_CODECS_MAX, SDP_MEDIA_MAX};
use crate::base::time::Instant;
use crate::call::config::MediaConfig;
use crate::call::hands::{CallRef, Hands};
use crate::call::kept::{Unfit, form};
use crate::call::media::{MediaPort, Order};
use crate::call::port::LegName;
use crate::call::trunk::EarlyMedia;
use crate::call::trunk::codecs::Codecs;
use crate::masking::inventory::Fax;
use crate::rtp::ear::Listening;
use crate::sdp::answer::{Agreed, Terms};
use crate::sdp::build;
use crate::sdp::crypto::Line;

impl Bridge {
    /// What the pool said of faxes.
    pub(in crate::call) const fn fax(&self) -> Fax {
        self.fax
    }

    /// A leg's side, to be written down. An offer of ours without an answer counts as refused, unless it stands in a 2xx:
    /// that is repeated until its ACK brings the answer.
    pub(in crate::call) fn kept(&self, leg: LegName, media: &MediaConfig) -> Option<form::Side<'_>> {
        let side = self.side(leg)?;
        let interface = usize::from(side.port.interface().0);
        let bound = media.interfaces.get(interface)?.address;
        let (written, is_said) = match (&side.written, &side.former) {
            (Some((terms, _)), Some(former)) if side.owes == Owes::Nothing && *terms != **former => {
                (Some(&**former), false)
            }
            (Some((terms, text)), Some(_) | None) => (Some(terms), !text.is_empty()),
            (None, _) => (None, false),
        };
        Some(form::Side {
            here: SocketAddr::new(side.here, side.port.number()),
            bound: (bound != side.here).then_some(bound),
            lines: Cow::Borrowed(&side.lines),
            origin: side.origin,
            written: written.map(Cow::Borrowed),
            is_said,
            agreed: side.agreed.as_ref().map(Cow::Borrowed),
            owes: side.owes == Owes::Answer,
            nat: side.nat,
            media_from: Cow::Borrowed(&side.media_from),
            mux: side.mux,
            dtmf: side.dtmf,
            // It is written behind the rest.
            secret: None,
        })
    }

    /// The bridge of an answered call as it was kept. `Ok(None)`: its ports aren't ours any more.
    ///
    /// # Errors
    /// [`Unfit::Unsound`]: it holds more than any call does.
    pub(in crate::call) fn of_kept(
        call: CallRef,
        media: &MediaConfig,
        fax: Fax,
        sides: [form::Side<'_>; 2],
    ) -> Result<Option<Self>, Unfit> {
        let [caller, callee] = sides;
        let ports = [&caller, &callee].map(|side| {
            let bound = side.bound.unwrap_or(side.here.ip());
            media.port_at(bound, side.here.port())
        });
        let [caller, callee] = [caller, callee].map(|side| Side::of_kept(MediaPort(0), side));
        let sides = match (ports, caller?, callee?) {
            ([Some(near), Some(far)], caller, callee) => {
                [Side { port: near, ..caller }, Side { port: far, ..callee }]
            }
            ([_, _], _, _) => return Ok(None),
        };
        Ok(Some(Self {
            call,
            timeout: media.timeout,
            held: ArrayVec::new(),
            sides: Some(sides),
            offer: None,
            invited: None,
            crossing: None,
            talking: Some(media.timeout),
            fax,
            faxed: Faxed::default(),
            // It is answered.
            early: EarlyMedia::Relay,
            gone: None,
            joined: Joined::Yes,
            playing: [None, None],
            voiced: Voiced::No,
        }))
    }

    /// Takes over which codecs the trunk of a leg has now, unless the leg speaks one that it has given up meanwhile: a
    /// call goes on as it began, and its refreshes must name what is spoken.
    pub(in crate::call) fn limit(&mut self, leg: LegName, codecs: &Codecs) {
        let Some(side) = self.side_mut(leg) else { return };
        let spoken = side.agreed.iter().flat_map(|agreed| &agreed.codecs);
        if spoken.map(|pair| pair.theirs.name).all(|name| codecs.takes(name)) {
            side.codecs.clone_from(codecs);
        }
    }

    /// Whose it is.
    pub(in crate::call) fn owned_by(self, call: CallRef) -> Self {
        Self { call, ..self }
    }

    /// Takes the ports of a kept call. Whether they were free; else none is taken.
    pub(in crate::call) fn hold_kept(&mut self, hands: &mut Hands, now: Instant) -> bool {
        let Some([caller, callee]) = &self.sides else {
            return false;
        };
        let ports = [caller.port, callee.port];
        if !hands.ports.take_exact(&ports) {
            return false;
        }
        // They may be among those that were begun to be bound for new calls: those need others.
        hands.bind_ahead(now);
        for port in ports {
            self.hold(hands, port);
        }
        true
    }

    /// The orders by which the media threads go on with a kept call.
    pub(in crate::call) fn resumes(&self) -> Vec<Order> {
        let mut orders = Vec::with_capacity(3);
        let Some(sides) = &self.sides else {
            return orders;
        };
        for (leg, side) in [LegName::Caller, LegName::Callee].into_iter().zip(sides) {
            orders.push(match self.spec(leg) {
                Some(spec) => Order::Resume(side.port, Box::new(spec)),
                None => Order::Bind(side.port),
            });
        }
        let heard = sides.iter().filter(|side| side.listening != Listening::No);
        orders.extend(heard.map(|side| Order::Listen(side.port, side.listening)));
        let [caller, callee] = sides;
        if (caller.open, callee.open) == (Opened::Yes, Opened::Yes) {
            orders.push(Order::Join(caller.port, callee.port));
        }
        orders
    }

    /// The ports of both legs.
    pub(in crate::call) fn ports(&self) -> ArrayVec<MediaPort, 2> {
        self.sides.iter().flatten().map(|side| side.port).collect()
    }
}

impl Side {
    fn of_kept(port: MediaPort, kept: form::Side<'_>) -> Result<Self, Unfit> {
        let written = kept.written.map(Cow::into_owned);
        let mut agreed = kept.agreed.map(Cow::into_owned);
        let mut secret = None;
        if let Some(mut kept) = kept.secret {
            let secured = kept.secured.take().map(|secured| Box::new(secured.into_owned()));
            if !secured.iter().all(|secured| secured.is_sound()) {
                return Err(Unfit::Unsound);
            }
            if let Some(agreed) = &mut agreed {
                agreed.secured = secured;
            }
            secret = Some(Secret::of_kept(kept).ok_or(Unfit::Unsound)?);
        }
        let terms_fit = |terms: &Terms| terms.codecs.len() <= SDP_CODECS_MAX + 1;
        let agreed_fits = |agreed: &Agreed| agreed.codecs.len() <= SDP_CODECS_MAX + 1;
        if !kept.lines.is_sound(SDP_MEDIA_MAX)
            || !written.as_ref().is_none_or(terms_fit)
            || !agreed.as_ref().is_none_or(agreed_fits)
        {
            return Err(Unfit::Unsound);
        }
        let lines = kept.lines.into_owned();
        let plain = Line::PLAIN;
        let line = secret.as_deref().map_or(&plain, Secret::line);
        let written = written.map(|terms| {
            let text = match kept.is_said {
                true => build::write(kept.origin, kept.here, &lines, &terms, line).into_boxed_slice(),
                // It is written again, under a new version, before it is said again.
                false => Box::default(),
            };
            (terms, text)
        });
        Ok(Self {
            port,
            here: kept.here.ip(),
            lines,
            origin: kept.origin,
            written,
            former: None,
            open: if agreed.is_some() { Opened::Yes } else { Opened::No },
            // Whoever listened says so again.
            listening: Listening::No,
            tap: None,
            agreed,
            owes: if kept.owes { Owes::Answer } else { Owes::Nothing },
            nat: kept.nat,
            media_from: kept.media_from.iter().copied().take(4).collect(),
            mux: kept.mux,
            dtmf: kept.dtmf,
            // Its trunk's, as the conf has it by now.
            codecs: Codecs::default(),
            secret,
        })
    }
}

//! What the called side answers, whose forks are dialogs of their own (RFC 3261 §13.2.2.4).

use super::{Bridge, Owes, Refused};
use crate::call::port::LegName;
use crate::sdp::answer::{Agreed, Terms};
use crate::sdp::crypto::Line;
use crate::sdp::parse::Session;

/// What a fork of the called side has described, and what it was asked.
#[derive(Debug, Default)]
pub struct Described {
    /// What is settled with it, if anything.
    pub agreed: Option<Agreed>,
    /// The terms that it has from us; `None`: those of the INVITE.
    terms: Option<Box<Terms>>,
    /// What they say of security; `None`: what the INVITE says.
    line: Option<Box<Line>>,
}

/// How an answer of the called side stands to what the caller speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Met {
    /// They have a codec in common.
    Together,
    /// It chose what the caller has given up since its INVITE.
    Apart,
}

impl Bridge {
    /// The called side answered our offer: media can run as soon as [`Bridge::order_flows`] or [`Bridge::talk`] says
    /// so. The first answer settles the caller's one description; a later fork's only moves the called side's flow.
    ///
    /// # Errors
    /// The answer agrees to nothing that was offered, or is of another family.
    pub fn callee_described(&mut self, session: &Session) -> Result<Met, Refused> {
        let far = self.check(LegName::Callee, session)?;
        self.forget_untold();
        let known = self.with_events(LegName::Callee, &far);
        let answer = self.offer.as_ref().map(|offer| offer.answer(&known, None));
        let Ok(answer) = answer.transpose() else {
            // It answers the INVITE's offer, of which the caller has taken something back by an UPDATE.
            self.settle(LegName::Callee, far);
            return Ok(Met::Apart);
        };
        let is_told = self.description(LegName::Caller).is_some();
        let near = match answer {
            Some((answer, near)) => {
                if !is_told {
                    if let Some(caller) = self.side_mut(LegName::Caller) {
                        caller.answer_line(&near);
                    }
                    self.write(LegName::Caller, answer);
                }
                Some(near)
            }
            None => {
                if !is_told {
                    // One codec, so that the caller's ACK can't choose another than the called side speaks.
                    self.write_offer(LegName::Caller, one_codec(far.onward(None)));
                }
                None
            }
        };
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
        Ok(Met::Together)
    }

    /// What was written for the caller of media that were kept from it, it has not seen: it is told what comes of the last
    /// description, as its first one.
    fn forget_untold(&mut self) {
        if self.is_untold() {
            self.unwrite(LegName::Caller);
        }
    }

    /// What is written for a leg it has not seen, and never will.
    pub(super) fn unwrite(&mut self, leg: LegName) {
        if let Some(side) = self.side_mut(leg) {
            side.written = None;
            side.origin.version = 0;
        }
    }

    /// Whether both sides have settled something, and have no codec in common.
    pub fn are_apart(&self) -> bool {
        match (self.agreed(LegName::Caller), self.agreed(LegName::Callee)) {
            (Some(near), Some(far)) => !near.meets(far),
            (Some(_) | None, _) => false,
        }
    }

    /// The called side's fork in use gives way to another: what that one has settled (by default nothing yet) counts
    /// from now on. Returns what was settled with the one before.
    pub fn turn_callee(&mut self, fork: Described) -> Described {
        let near = match (&self.offer, &fork.agreed) {
            (Some(offer), Some(far)) => {
                let far = self.with_events(LegName::Callee, far);
                offer.answer(&far, None).ok().map(|(_, near)| near)
            }
            (Some(_) | None, _) => None,
        };
        if let Some(near) = near {
            self.settle(LegName::Caller, near);
        }
        let invited = self.invited.clone();
        let Some(callee) = self.side_mut(LegName::Callee) else {
            return Described::default();
        };
        // An offer without an answer counts for nothing.
        let former = callee.former.take();
        let asked = callee.written.as_ref().map(|(terms, _)| Box::new(terms.clone()));
        let before = Described {
            agreed: std::mem::replace(&mut callee.agreed, fork.agreed),
            terms: former.or(asked),
            line: callee.turn_line(fork.line),
        };
        if let (Some(terms), Some((written, text))) = (fork.terms.or(invited), &mut callee.written)
            && *terms != *written
        {
            // Without text: it is written again, under a new version, before it is said again.
            *written = *terms;
            *text = Box::default();
        }
        before
    }
}

/// The terms with their best audio codec only, and what goes among it.
fn one_codec(mut terms: Terms) -> Terms {
    let mut audio = 0;
    terms.codecs.retain(|codec| {
        let is_audio = codec.name.is_audio();
        audio += usize::from(is_audio);
        !is_audio || audio == 1
    });
    terms
}

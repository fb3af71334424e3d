//! A gateway asks us for a password (RFC 3261 §22.2, §22.3).
//!
//! It is answered only where it can't be a trick (CVE-2021-41158): in the answer to a request of ours that begins
//! something (the INVITE of a call, a REGISTER), which came from where that request went, for the realm that the conf
//! gives the trunk, and once for each nonce. A challenge to anything else, within a call above all, is a failure like
//! others; nothing there can reach a password.

use std::net::IpAddr;

use crate::base::chance::Chance;
use crate::base::time::Now;
use crate::call::cdr::Challenged;
use crate::call::hands::{Hands, Token};
use crate::call::phase::Call;
use crate::call::trunk::secret::Credentials;
use crate::sip::digest::{Asker, Challenge, Freshness, Kept, Reply};
use crate::sip::lexer::Head;
use crate::sip::message::Message;
use crate::sip::method::Method;

/// Challenges to one request that are answered: the first, and one that says that its nonce was too old.
const ANSWERS_MAX: u32 = 2;

/// A challenge that requests of ours answer.
#[derive(Clone, Debug)]
pub struct Given {
    asker: Asker,
    kept: Kept,
    /// Requests that have used its nonce.
    count: u32,
    /// Ours, for the last of them.
    cnonce: Token,
    /// Challenges that have been answered, this one included.
    answers: u32,
}

impl Given {
    /// What answers a challenge to a request of ours: `came` is where the response came from, `asked` where the request
    /// went, `before` what the request answered already.
    ///
    /// # Errors
    /// Why it isn't answered.
    pub fn to(
        credentials: Option<&Credentials>,
        before: Option<&Self>,
        (came, asked): (IpAddr, IpAddr),
        asker: Asker,
        response: &Head<'_>,
    ) -> Result<Self, Challenged> {
        if came != asked {
            return Err(Challenged::OtherSource);
        }
        let credentials = credentials.ok_or(Challenged::NoCredentials)?;
        let mut why = Challenged::Unknown;
        let found = Challenge::strongest(response, asker, |challenge| {
            let is_ours = *challenge.realm.plain() == *credentials.realm.as_bytes();
            if !is_ours {
                why = Challenged::OtherRealm;
            }
            is_ours && credentials.secret.ha1(challenge.algorithm).is_some()
        });
        let challenge = found.ok_or(why)?;
        let answers = match before {
            None => 1,
            Some(before) => before.again(&challenge)?,
        };
        Ok(Self {
            asker,
            kept: Kept::of(&challenge).ok_or(Challenged::Unknown)?,
            count: 0,
            cnonce: Token::default(),
            answers,
        })
    }

    /// Whether one more challenge is answered after this one: with another nonce, if it says that this one was too old, or
    /// if this one had served before. How many have been answered with it.
    fn again(&self, challenge: &Challenge<'_>) -> Result<u32, Challenged> {
        let is_old = challenge.freshness == Freshness::Stale || self.count > 1;
        let is_new = challenge.nonce != self.kept.challenge().nonce;
        if is_old && is_new && self.answers < ANSWERS_MAX {
            Ok(self.answers + 1)
        } else {
            Err(Challenged::WrongPassword)
        }
    }

    /// How many challenges a request has answered.
    pub fn answers(given: Option<&Self>) -> u32 {
        given.map_or(0, |given| given.answers)
    }

    /// The proof for one more request.
    pub fn prove<'a>(&'a mut self, credentials: &'a Credentials, chance: &mut Chance) -> Proof<'a> {
        self.count = self.count.saturating_add(1);
        self.cnonce = chance.token();
        Proof {
            given: self,
            credentials,
        }
    }
}

/// That we know a password: made for one request.
#[derive(Debug)]
pub struct Proof<'a> {
    given: &'a Given,
    credentials: &'a Credentials,
}

impl Proof<'_> {
    /// The header for a request of this method to this URI. `None` if it can't be written: the challenge, or the URI,
    /// is no UTF-8.
    pub fn header(&self, method: Method, uri: &[u8]) -> Option<(&'static str, String)> {
        let Given {
            asker,
            kept,
            count,
            cnonce,
            ..
        } = self.given;
        let challenge = kept.challenge();
        let reply = Reply {
            user: &self.credentials.user,
            challenge: &challenge,
            count: *count,
            cnonce: std::str::from_utf8(cnonce).ok()?,
            method: method.name(),
            uri: std::str::from_utf8(uri).ok()?,
        };
        let ha1 = self.credentials.secret.ha1(challenge.algorithm)?;
        Some((asker.credentials().text(), reply.write(ha1)?))
    }
}

impl Call {
    /// The gateway asks for a password, in its answer to our INVITE: the same INVITE goes out once more and gives it.
    /// `false`: it doesn't ask, or isn't told, and the answer is a failure like others.
    pub(super) fn answer_challenge(
        &mut self,
        hands: &mut Hands,
        now: Now,
        source: IpAddr,
        response: &Message<'_>,
    ) -> bool {
        let Some(asker) = response.status().and_then(Asker::of_status) else {
            return false;
        };
        let Some(callee) = self.callee.as_ref() else {
            return false;
        };
        let exit = callee.exits.get(callee.tried);
        let trunk = exit.and_then(|exit| self.config.trunks.get(exit.trunk));
        let ways = (source, callee.path.remote.ip());
        let given = if self.has_rung() {
            Err(Challenged::TooLate)
        } else {
            let credentials = trunk.and_then(|trunk| trunk.credentials.as_ref());
            Given::to(credentials, callee.given.as_ref(), ways, asker, response)
        };
        let min_s = callee.min_s;
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.challenge = Some(match &given {
                Ok(_) => Challenged::Answered,
                Err(why) => *why,
            });
        }
        match given {
            Ok(given) => {
                self.dial_same(hands, now, min_s, Some(given));
                true
            }
            Err(_) => false,
        }
    }
}

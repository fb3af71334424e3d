//! The callee's side sends the call on (3xx): where the trunk lets us follow, the numbers that it names are called one
//! after the other, each by an INVITE of its own that shows what the first one showed.
//!
//! Only a number is taken from a Contact, never its host: a call goes to our own gateways and nowhere else.

use std::collections::VecDeque;

use arrayvec::ArrayVec;

use crate::base::limits::{REDIRECT_CONTACTS_MAX, REDIRECT_TARGETS_MAX};
use crate::base::number::{Format, Tel};
use crate::base::time::Now;
use crate::call::arrive;
use crate::call::guard::Scope;
use crate::call::hands::Hands;
use crate::call::phase::{Call, Recorded};
use crate::call::port::LegName;
use crate::call::trunk::number_format::Which;
use crate::call::trunk::{Redirects, Trunk};
use crate::call::warrant::Warrant;
use crate::masking::route::{self, Plan};
use crate::masking::table::Table;
use crate::sip::header::{Name, NameAddr};
use crate::sip::message::Message;
use crate::sip::transaction::Answer;

/// Where a call was sent on to.
#[derive(Debug, Default)]
pub struct Redirection {
    /// Those that wait, in order.
    next: VecDeque<Plan>,
    /// Every number that was named, followed or not: none is followed twice.
    seen: ArrayVec<Tel, REDIRECT_TARGETS_MAX>,
}

impl Call {
    /// Takes note of where a 3xx to the callee's INVITE sends the call, if its trunk lets us follow. Nothing is
    /// followed once the caller has heard ringing: the call would seem to begin anew.
    pub fn hear_targets(&mut self, table: &Table, answer: &Answer, response: &Message<'_>) {
        let follows = match response.status().filter(|_| self.is_present(answer.id)) {
            // RFC 3261 §21.3: 305 names a proxy and 380 another service, not another place of the same person.
            Some(300..=302) => self.trunk_follows() && !self.has_rung() && self.recorded == Recorded::Open,
            _ => false,
        };
        let Some(plan) = self.warrant.as_ref().and_then(Warrant::plan).filter(|_| follows) else {
            return;
        };
        let Some(trunk) = self.trunk_out() else { return };
        let mut targets: ArrayVec<(u16, Tel), REDIRECT_CONTACTS_MAX> = response
            .values(Name::Contact)
            .take(REDIRECT_CONTACTS_MAX)
            .filter_map(NameAddr::parse)
            .filter_map(|contact| {
                let number = arrive::number_of_uri(contact.uri, Which::Called, trunk, &self.config.numbers)?;
                Some((preference(contact.param("q")), number))
            })
            .collect();
        // RFC 3261 §8.1.3.4: the most wanted first; equals as they stand.
        targets.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
        for (_, target) in targets {
            let known = &mut self.redirection.get_or_insert_default().seen;
            if known.contains(&target) || known.try_push(target).is_err() {
                continue;
            }
            // Who was called before is not told to who is called instead, nor anything of the caller.
            let numbers = &self.config.numbers;
            let written = [
                b"To: <sip:",
                numbers.write(target, Format::Plus).as_bytes(),
                b"@h>\r\n\r\n",
            ]
            .concat();
            if !self.may_send(LegName::Callee, &written, Scope::Whole) {
                continue;
            }
            let Ok(plan) = route::redirected(table, plan, target) else {
                continue;
            };
            self.not_to_caller.number(plan.called(), &self.config.numbers);
            self.redirection.get_or_insert_default().next.push_back(plan);
        }
    }

    /// Calls the next of the numbers that the call was sent on to, if there is one.
    pub(super) fn try_target(&mut self, hands: &mut Hands, now: Now) -> bool {
        let Some(plan) = self
            .redirection
            .as_mut()
            .and_then(|onward| onward.next.pop_front())
        else {
            return false;
        };
        if let Some(before) = self.warrant.replace(Warrant::Masked(plan)) {
            // Who is called instead has no more right to the number of who was.
            self.not_to_callee.number(before.called(), &self.config.numbers);
        }
        self.dial_again(hands, now);
        true
    }

    /// Whether the call was sent on to a number that was not called yet.
    pub(super) fn has_another_target(&self) -> bool {
        let onward = self.redirection.as_ref();
        onward.is_some_and(|onward| !onward.next.is_empty())
    }

    fn trunk_follows(&self) -> bool {
        self.trunk_out().is_some_and(|trunk| match trunk.redirects {
            Redirects::Refuse => false,
            Redirects::Follow => true,
        })
    }

    /// The trunk that the called party is called by.
    fn trunk_out(&self) -> Option<&Trunk> {
        let callee = self.callee.as_ref()?;
        let exit = callee.exits.get(callee.tried)?;
        self.config.trunks.get(exit.trunk)
    }
}

/// A Contact's `q` in thousandths; without one, or with one that can't be read, it is wanted most.
fn preference(q: Option<&[u8]>) -> u16 {
    let read = |q: &[u8]| {
        let (whole, part) = match q {
            [whole, b'.', part @ ..] if part.len() <= 3 => (*whole, part),
            [whole] => (*whole, &[][..]),
            _ => return None,
        };
        let whole = match whole {
            b'0' => 0,
            b'1' => 1_000,
            _ => return None,
        };
        let digits = part.iter().chain([&b'0'; 3]).take(3);
        let part = digits.into_iter().try_fold(0_u16, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0'))
        })?;
        Some((whole + part).min(1_000))
    };
    q.and_then(read).unwrap_or(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_read_in_thousandths() {
        for (q, expected) in [
            (None, 1_000),
            (Some("1"), 1_000),
            (Some("1.000"), 1_000),
            (Some("0"), 0),
            (Some("0."), 0),
            (Some("0.7"), 700),
            (Some("0.05"), 50),
            (Some("0.999"), 999),
            (Some("0.9999"), 1_000),
            (Some("2"), 1_000),
            (Some("-1"), 1_000),
            (Some(""), 1_000),
            (Some("0.x"), 1_000),
        ] {
            assert_eq!(preference(q.map(str::as_bytes)), expected, "{q:?}");
        }
    }
}

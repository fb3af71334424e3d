//! The only reader of the caller's INVITE. It takes what the call needs into a small struct; the message
//! itself goes no further, so nothing of it can reach the called side.

use std::net::IpAddr;

use super::refusal::Bounce;
use super::trunk::{CallerFrom, DialledFrom, Trunk};
use crate::base::number::{NumberPlan, Tel};
use crate::sdp::parse::Session;
use crate::sip::header::{Name, NameAddr};
use crate::sip::message::Message;
use crate::sip::uri::{Scheme, Uri, unescape};

/// What an INVITE said that the switch may know.
#[derive(Debug)]
pub struct Arrival {
    /// The dialled number, if it can be one.
    pub dialled: Option<Tel>,
    /// The caller's number, if it has a usable one.
    pub caller: Option<Tel>,
    /// Who diverted the call here: the topmost Diversion (RFC 5806).
    pub diverting: Option<Tel>,
    /// Every identity that the message carries for its sender: none of them may reach the other side.
    pub identities: arrayvec::ArrayVec<Tel, 4>,
    /// Hops left after ours.
    pub max_forwards: u8,
    /// The caller's session description; `None` asks us to offer.
    pub offer: Option<Session>,
}

impl Arrival {
    /// The address that the caller's description names for its media.
    pub fn media_address(&self) -> Option<IpAddr> {
        let session = self.offer.as_ref()?;
        session.media.iter().find_map(|media| media.address)
    }
}

/// Option tags that we honour in Require: none yet.
const HONOURED: [&str; 0] = [];

/// Hops that a request without Max-Forwards gets (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: u8 = 70;

/// Reads an INVITE that came on `trunk`; beside it what RFC 3261 §8.2 wants refused before anybody is
/// looked for, if there is something.
pub fn read(invite: &Message<'_>, trunk: &Trunk, plan: &NumberPlan) -> (Arrival, Result<(), Bounce>) {
    let max_forwards = invite.max_forwards().unwrap_or(MAX_FORWARDS);
    let hops = if max_forwards == 0 {
        Err(Bounce::status(483))
    } else {
        Ok(())
    };
    let (offer, body) = match offer(invite) {
        Ok(offer) => (offer, Ok(())),
        Err(bounce) => (None, Err(bounce)),
    };
    let asserted = invite
        .values(Name::PAssertedIdentity)
        .filter_map(|value| number_in(value, plan));
    let preferred = invite
        .values(Name::PPreferredIdentity)
        .filter_map(|value| number_in(value, plan));
    let from = number_of_uri(invite.from().uri, plan);
    let caller = trunk.caller_id.iter().find_map(|place| match place {
        CallerFrom::Pai => asserted_number(invite, plan),
        CallerFrom::From => from,
    });
    let arrival = Arrival {
        dialled: dialled(invite, trunk, plan),
        caller,
        diverting: invite
            .values(Name::Diversion)
            .next()
            .and_then(|value| number_in(value, plan)),
        identities: from
            .into_iter()
            .chain(asserted)
            .chain(preferred)
            .take(4)
            .collect(),
        max_forwards: max_forwards.saturating_sub(1),
        offer,
    };
    (arrival, check_request(invite).and(hops).and(body))
}

/// What any request but ACK and CANCEL must be before it is looked at (RFC 3261 §8.2.2, §8.2.3).
///
/// # Errors
/// 416 for a scheme that isn't ours, 420 for an extension that we don't know.
pub fn check_request(request: &Message<'_>) -> Result<(), Bounce> {
    match Uri::parse(request.request_uri()).map(|uri| uri.scheme) {
        Ok(Scheme::Sip | Scheme::Sips | Scheme::Tel) => {}
        Ok(Scheme::Other) => return Err(Bounce::status(416)),
        Err(_) => return Err(Bounce::status(400)),
    }
    let unknown: Vec<String> = request
        .values(Name::Require)
        .filter(|tag| {
            !HONOURED
                .iter()
                .any(|known| known.as_bytes().eq_ignore_ascii_case(tag))
        })
        .map(|tag| {
            String::from_utf8_lossy(tag)
                .chars()
                .filter(|c| c.is_ascii_graphic())
                .take(64)
                .collect()
        })
        .take(8)
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Bounce::with(420, "Unsupported", unknown.join(", ")))
    }
}

/// The session description in a message's body, if there is one.
///
/// # Errors
/// 415 for another kind of body or an encoded one (RFC 3261 §8.2.3), 400 for one that can't be read.
pub fn offer(message: &Message<'_>) -> Result<Option<Session>, Bounce> {
    if message.body().is_empty() {
        return Ok(None);
    }
    if message
        .get(Name::ContentEncoding)
        .is_some_and(|e| !e.eq_ignore_ascii_case(b"identity"))
    {
        return Err(Bounce::with(415, "Accept-Encoding", "identity".into()));
    }
    if !message
        .content_type()
        .is_some_and(|kind| kind.is("application/sdp"))
    {
        return Err(Bounce::with(415, "Accept", "application/sdp".into()));
    }
    crate::sdp::parse::parse(message.body())
        .map(Some)
        .map_err(|_| Bounce::status(400))
}

fn dialled(invite: &Message<'_>, trunk: &Trunk, plan: &NumberPlan) -> Option<Tel> {
    trunk.dialled_from.iter().find_map(|place| {
        let uri = match place {
            DialledFrom::Ruri => invite.request_uri(),
            DialledFrom::To => invite.to().uri,
            DialledFrom::PCalledPartyId => NameAddr::parse(invite.values(Name::PCalledPartyId).next()?)?.uri,
            DialledFrom::Diversion => NameAddr::parse(invite.values(Name::Diversion).next()?)?.uri,
        };
        let user = unescape(Uri::parse(uri).ok()?.user?)?;
        let mut number = user.as_str();
        for prefix in &trunk.strip {
            if let Some(rest) = number.strip_prefix(&**prefix) {
                number = rest;
                break;
            }
        }
        plan.normalise(number).ok()
    })
}

/// Two PAI values, a SIP and a tel URI of one subscriber, are normal (RFC 3325 §9.1): the first that is a
/// number counts.
fn asserted_number(invite: &Message<'_>, plan: &NumberPlan) -> Option<Tel> {
    invite
        .values(Name::PAssertedIdentity)
        .find_map(|value| number_in(value, plan))
}

fn number_in(value: &[u8], plan: &NumberPlan) -> Option<Tel> {
    number_of_uri(NameAddr::parse(value)?.uri, plan)
}

fn number_of_uri(uri: &[u8], plan: &NumberPlan) -> Option<Tel> {
    let user = unescape(Uri::parse(uri).ok()?.user?)?;
    plan.normalise(&user).ok()
}

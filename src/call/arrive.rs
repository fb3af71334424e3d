//! The only reader of the caller's INVITE. It takes what the call needs into a small struct; the message
//! itself goes no further, so nothing of it can reach the called side.

use std::net::IpAddr;
use std::time::Duration;

use super::emergency::{Number, Table};
use super::inspect;
use super::leg::refresh::{Judged, judged};
use super::refusal::Bounce;
use super::trunk::number_format::{Step, Which};
use super::trunk::{CallerFrom, DialledFrom, Trunk};
use crate::base::limits::NUMBER_RULE_TEXT_BYTES_MAX;
use crate::base::number::{NumberPlan, RealNumber, Tel};
use crate::sdp::parse::Session;
use crate::sip::header::{Name, NameAddr, decimal};
use crate::sip::message::Message;
use crate::sip::outline::Asked;
use crate::sip::uri::{Uri, unescape};

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
    /// How long the invitation holds (RFC 3261 §13.3.1), if it says so.
    pub expires: Option<Duration>,
    /// The caller's session description; `None` asks us to offer.
    pub offer: Option<Session>,
    /// What it asks for of a session timer.
    pub session: Judged,
}

impl Arrival {
    /// The address that the caller's description names for its media.
    pub fn media_address(&self) -> Option<IpAddr> {
        let session = self.offer.as_ref()?;
        session.media.iter().find_map(|media| media.address)
    }
}

/// What an INVITE wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Somebody who has a number.
    Somebody,
    /// An emergency service: by its number, or by a URN, which is no address of anybody (RFC 5031).
    Help,
}

/// Room for two unescaped texts, and what stands between them.
type Subscriber = arrayvec::ArrayString<NUMBER_RULE_TEXT_BYTES_MAX>;

/// Hops that a request without Max-Forwards gets (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: u8 = 70;

/// Reads an INVITE that came on `trunk`; beside it what RFC 3261 §8.2 wants refused before anybody is
/// looked for, if there is something.
pub fn read(
    invite: &Message<'_>,
    trunk: &Trunk,
    plan: &NumberPlan,
    wanted: Wanted,
) -> (Arrival, Result<(), Bounce>) {
    let max_forwards = invite.max_forwards().unwrap_or(MAX_FORWARDS);
    let hops = if max_forwards == 0 {
        Err(Bounce::status(483))
    } else {
        Ok(())
    };
    let (offer, body) = match inspect::offer(invite) {
        Ok(offer) => (offer, Ok(())),
        Err(bounce) => (None, Err(bounce)),
    };
    let (session, timer) = match judged(invite, trunk.session, None) {
        Ok(session) => (session, Ok(())),
        Err(bounce) => (Judged::default(), Err(bounce)),
    };
    // Two values, a SIP and a tel URI of one subscriber, are normal (RFC 3325 §9.1): the first that is a number counts.
    let asserted: arrayvec::ArrayVec<Tel, 4> = invite
        .values(Name::PAssertedIdentity)
        .filter_map(|value| caller_in(value, trunk, plan))
        .take(4)
        .collect();
    let preferred = invite
        .values(Name::PPreferredIdentity)
        .filter_map(|value| caller_in(value, trunk, plan));
    let from = number_of_uri(invite.from().uri, Which::Calling, trunk, plan);
    let caller = trunk.caller_id.iter().find_map(|place| match place {
        CallerFrom::Pai => asserted.first().copied(),
        CallerFrom::From => from,
    });
    let arrival = Arrival {
        dialled: dialled(invite, trunk, plan),
        caller,
        diverting: invite
            .values(Name::Diversion)
            .next()
            .and_then(|value| caller_in(value, trunk, plan)),
        identities: from
            .into_iter()
            .chain(asserted)
            .chain(preferred)
            .take(4)
            .collect(),
        max_forwards: max_forwards.saturating_sub(1),
        expires: invite.get(Name::Expires).map(seconds),
        offer,
        session,
    };
    let request = match wanted {
        Wanted::Somebody => inspect::check_request(invite),
        Wanted::Help => inspect::check_extensions(invite),
    };
    let sound = request
        .and(hops)
        .and(body)
        .and_then(|()| inspect::check_accept(invite))
        .and_then(|()| inspect::check_takeover(invite))
        .and(timer);
    (arrival, sound)
}

/// Whether an INVITE's outline tells what is dialled on the trunk.
pub fn is_in_outline(trunk: &Trunk) -> bool {
    trunk.dialled_from.iter().all(|place| match place {
        DialledFrom::Ruri | DialledFrom::To => true,
        DialledFrom::PCalledPartyId | DialledFrom::Diversion => false,
    })
}

/// The emergency number that an INVITE calls, if it is one: as it came, and as each step of the trunk's own reading
/// leaves it, so that whatever is dialled before a number on its wire hides none. Of an outline it is known where
/// [it tells that](is_in_outline).
pub fn emergency<'t>(
    asked: Asked<'_, '_>,
    trunk: &Trunk,
    plan: &NumberPlan,
    table: &'t Table,
) -> Option<&'t Number> {
    let request_uri = asked.request_uri();
    let service = std::str::from_utf8(request_uri).ok();
    if let Some(number) = service.and_then(|uri| table.of_service(uri)) {
        return Some(number);
    }
    // The Request-URI is read in any case.
    let places = trunk
        .dialled_from
        .iter()
        .filter(|place| **place != DialledFrom::Ruri);
    let uris = places.filter_map(|place| uri_at(*place, asked));
    // What we have registered as stands in every call's Request-URI: nobody dialled it.
    let is_ours = |user: &str| {
        let register = trunk.register.as_ref();
        register.is_some_and(|as_whom| *as_whom.contact_user == *user)
            && !trunk.dialled_from.contains(&DialledFrom::Ruri)
    };
    [request_uri].into_iter().chain(uris).find_map(|uri| {
        let uri = Uri::parse(uri).ok()?;
        // All that is taken off a number is taken off its beginning, but by a rule.
        if trunk.numbers.rules_in.is_empty() && !table.may_end(uri.number()?) {
            return None;
        }
        let text = subscriber(&uri)?;
        if is_ours(&text) {
            return None;
        }
        let context = text.find(';').and_then(|at| text.get(at..)).unwrap_or_default();
        let mut found = table.is(&text);
        let mut step = |_: Step<'_>, left: &str| {
            found = found.or_else(|| table.is(&[left, context].concat()));
        };
        let read = trunk.numbers.read(Which::Called, &text, plan, &mut step);
        found.or_else(|| table.number_of(RealNumber::new(read.ok()?)))
    })
}

fn uri_at<'m>(place: DialledFrom, asked: Asked<'_, 'm>) -> Option<&'m [u8]> {
    let value = match (place, asked) {
        (DialledFrom::Ruri, _) => return Some(asked.request_uri()),
        (DialledFrom::To, Asked::Whole(invite)) => return Some(invite.to().uri),
        (DialledFrom::To, Asked::Outline(invite)) => invite.to().value,
        (DialledFrom::PCalledPartyId, Asked::Whole(invite)) => invite.values(Name::PCalledPartyId).next()?,
        (DialledFrom::Diversion, Asked::Whole(invite)) => invite.values(Name::Diversion).next()?,
        (DialledFrom::PCalledPartyId | DialledFrom::Diversion, Asked::Outline(_)) => return None,
    };
    Some(NameAddr::parse(value)?.uri)
}

fn dialled(invite: &Message<'_>, trunk: &Trunk, plan: &NumberPlan) -> Option<Tel> {
    let mut places = trunk.dialled_from.iter();
    let uri = |place: &DialledFrom| uri_at(*place, Asked::Whole(invite));
    places.find_map(|place| number_of_uri(uri(place)?, Which::Called, trunk, plan))
}

/// A value of seconds. What can't be read counts as an hour (RFC 3261 §20.19), what is beyond all numbers as the
/// largest.
fn seconds(value: &[u8]) -> Duration {
    const UNREADABLE: u32 = 3_600;
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let beyond = if is_number { u32::MAX } else { UNREADABLE };
    Duration::from_secs(decimal(value, u32::MAX).unwrap_or(beyond).into())
}

fn caller_in(value: &[u8], trunk: &Trunk, plan: &NumberPlan) -> Option<Tel> {
    number_of_uri(NameAddr::parse(value)?.uri, Which::Calling, trunk, plan)
}

/// The number of a URI that names a subscriber, whatever its host, as it is written on this trunk's wire.
pub(super) fn number_of_uri(uri: &[u8], which: Which, trunk: &Trunk, plan: &NumberPlan) -> Option<Tel> {
    let text = subscriber(&Uri::parse(uri).ok()?)?;
    trunk.numbers.read(which, &text, plan, &mut |_, _| ()).ok()
}

/// The number of a URI and the country that it is to be read in, as [`NumberPlan::normalise`] takes them, whatever
/// other parameters there are (RFC 3966 §5.1.5: a global context is a prefix, with separators).
fn subscriber(uri: &Uri<'_>) -> Option<Subscriber> {
    let number = unescape(uri.number()?)?;
    // An escaped semicolon begins no parameter: it belongs to no number.
    if number.contains(';') {
        return None;
    }
    let mut text = Subscriber::new();
    text.try_push_str(&number).ok()?;
    if let Some(context) = uri.number_param("phone-context").and_then(unescape) {
        text.try_push_str(";phone-context=").ok()?;
        for c in context.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')) {
            text.try_push(c).ok()?;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::trunk::number_format::{NumberFormat, ReadAs, Rule};

    /// Whether a call of this URI is for help, where a glance tells most that they are none, and where none may tell: with a
    /// rule, though one that matches nothing.
    fn for_help(uri: &str, trunk: &Trunk, country: &str) -> [bool; 2] {
        let invite = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@h>;tag=a\r\n\
             To: <{uri}>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        let mut ruled = trunk.clone();
        let never = Rule::new("^x$", "1", None).expect("a rule");
        ruled.numbers.rules_in.push(never);
        let table = Table::of_country(country).expect("it is in the list");
        let plan = NumberPlan::default();
        [trunk, &ruled].map(|trunk| {
            let invite = Message::parse(invite.as_bytes());
            invite.is_ok_and(|invite| emergency(Asked::Whole(&invite), trunk, &plan, &table).is_some())
        })
    }

    proptest! {
        #[test]
        fn a_glance_takes_no_emergency_number_for_another(
            before in proptest::sample::select(vec![
                "", "+", "+86", "0086", "17951", "17951+86", "*31#", "%2B86", "0", "0571", "%31", "9-", "(0)", "%2523",
            ]),
            number in proptest::sample::select(vec![
                "110", "1-1-0", "1.20", "119", "12395", "%31%31%30", "11%30", "122", "911", "17000000001", "13800000119", "1", "",
                "110%2520", "(110)", "110a", "13800000110",
            ]),
            behind in proptest::sample::select(vec![
                "", ";phone-context=+86", ";phone-context=%2B86", ";phone-context=x.cn", ";npdi", ":110", ";phone-context=+852",
            ]),
            is_tel in any::<bool>(),
            is_e164 in any::<bool>(),
        ) {
            let uri = match is_tel {
                true => format!("tel:{before}{number}{behind}"),
                false => format!("sip:{before}{number}{behind}@192.0.2.1"),
            };
            let mut trunk = Trunk::bare("carrier");
            trunk.dialled_from = vec![DialledFrom::To, DialledFrom::Ruri];
            trunk.numbers.strip = vec!["17951".into(), "9".into()];
            if is_e164 {
                trunk.numbers.read_as = ReadAs::E164;
            }
            for country in ["CN", "US"] {
                let [glanced, looked] = for_help(&uri, &trunk, country);
                prop_assert_eq!(glanced, looked, "{} in {}", uri, country);
            }
        }
    }

    fn number(uri: &str) -> Option<String> {
        let plan = NumberPlan::default();
        let text = subscriber(&Uri::parse(uri.as_bytes()).ok()?)?;
        let read = NumberFormat::default().read(Which::Calling, &text, &plan, &mut |_, _| ());
        read.ok().map(|tel| plan.record(tel).to_string())
    }

    #[test]
    fn a_number_is_read_from_any_uri_that_carries_one() {
        let long = format!("tel:+8613800000001;{}", "ext=1;".repeat(40));
        for same in [
            "tel:+8613800000001",
            "TEL:+86-138.0000(0001)",
            "tel:13800000001;phone-context=+86",
            "tel:13800000001;npdi;PHONE-CONTEXT=%2B86;rn=+8613",
            "tel:138-0000-0001;phone-context=+8-6",
            "tel:13800000001;isub=1411;postd=pp22;phone-context=example.com",
            "sip:13800000001;phone-context=+86@192.0.2.1;user=phone",
            "sip:%2B86138%300000001@h",
            "sips:013800000001:secret@h",
            &long,
        ] {
            assert_eq!(number(same).as_deref(), Some("+8613800000001"), "{same}");
        }
        assert_eq!(number("tel:10086;phone-context=+86").as_deref(), Some("10086"));
        for none in [
            "sip:h",
            "sip:alice@h",
            "tel:13800000001%3Bphone-context=+852",
            "sip:138%00@h",
            "sip:138%@h",
            "tel:+",
            "urn:service:sos",
            "nonsense",
        ] {
            assert_eq!(number(none), None, "{none}");
        }
    }

    #[test]
    fn an_invitation_that_cannot_say_how_long_it_holds_holds_an_hour() {
        for (value, expected) in [
            ("0", 0),
            ("30", 30),
            ("4294967295", 4_294_967_295),
            ("99999999999999999999", 4_294_967_295),
            ("", 3_600),
            ("-1", 3_600),
            ("Thu, 01 Dec 1994 16:00:00 GMT", 3_600),
        ] {
            assert_eq!(
                seconds(value.as_bytes()),
                Duration::from_secs(expected),
                "{value:?}"
            );
        }
    }
}

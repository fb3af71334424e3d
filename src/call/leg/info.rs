//! INFO within a leg (RFC 6086): keys that a phone tells by a message instead of within its audio.
//!
//! Three bodies are read, all older than Info Packages and outside of them, as RFC 6086 §2 lets them go on:
//! `application/dtmf-relay` (`Signal=5`, `Duration=160`), `application/dtmf` (the key alone) and Nortel's
//! `application/vnd.nortelnetworks.digits` (`d=5`). A key is its letter or its event's code. We take no package: whoever names
//! one is told so. The key is heard by the other party
//!
//! 1. as an RFC 4733 event among its audio, if its leg has agreed on events;
//! 2. else as an INFO of our own, if it allows INFO or its trunk tells keys so: one at a time, since a request that
//!    overtakes the one before is refused (RFC 3261 §12.2.2);
//! 3. else not at all. The answer is 200 even so: it says that the INFO was taken, not that anybody heard (RFC 6086
//!    §4.2.2).
//!
//! A key that comes as an event and can't go on as one, because the other leg has none, goes the second way too.
//! One that a phone tells both by a message and as an event is one key ([`Twice`]).
//!
//! **What crosses.** Which key and how long: what somebody keys is his own word to the other party, as what he says
//! is, and the same keys cross as events in audio. Nothing else of the INFO does, and keys stand in no record, trace
//! or log.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::limits::{DIGITS_WAITING_MAX, INFO_BODY_BYTES_MAX, INFO_KEYS_AHEAD, RETRY_AFTER_S};
use crate::base::time::{Instant, Now};
use crate::call::bridge;
use crate::call::guard::Scope;
use crate::call::hands::{Hands, Purpose, owner};
use crate::call::inspect;
use crate::call::keys::Whose;
use crate::call::leg::Bye;
use crate::call::leg::peer::Knows;
use crate::call::media::MediaPort;
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::{Heading, LegName};
use crate::call::refusal::Bounce;
use crate::rtp::dtmf::{Digit, Key};
use crate::rtp::twice::{Again, By, Twice};
use crate::sip::build::Body;
use crate::sip::header::{Name, decimal, trim};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::multipart::{self, Handling};

/// The bodies of an INFO that we read.
const ACCEPT: &str = "application/dtmf-relay, application/dtmf, application/vnd.nortelnetworks.digits";
const RELAY: &str = "application/dtmf-relay";
const PLAIN: &str = "application/dtmf";
const NORTEL: &str = "application/vnd.nortelnetworks.digits";

/// How long a key lasts whose message doesn't say.
const LASTS: Duration = Duration::from_millis(250);
/// What passes between two keys.
const PAUSE: Duration = Duration::from_millis(60);

/// Keys on their way to one leg's peer; absent on nearly every leg.
#[derive(Debug, Default)]
pub struct Keys {
    /// When the last of them will have been heard to its end.
    until: Instant,
    /// How many came since the last time that none was on its way.
    count: usize,
    /// Those that wait for an INFO of ours to be answered; no more than may wait in all.
    waiting: VecDeque<Digit>,
    /// Whether an INFO of ours is on its way.
    told: Told,
    /// Those that were told lately.
    twice: Twice,
}

/// Whether an INFO of ours waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Told {
    #[default]
    None,
    One,
}

impl Call {
    /// A peer sent an INFO within its leg; what it is answered with.
    pub fn informed(&mut self, hands: &mut Hands, now: Now, name: LegName, info: &Message<'_>) -> Bounce {
        self.note_message(now.at, name, Heading::In, Method::Info, None, false);
        if self.recorded != Recorded::Open {
            return Bounce::status(481);
        }
        match inspect::check_request(info).and_then(|()| key_of(info)) {
            Ok(Some(digit)) => match self.told_key(now, name, digit.key) {
                Whose::Ours => Bounce::status(200),
                Whose::Theirs => self.pass_key(hands, now, name, digit, By::Message),
            },
            Ok(None) => Bounce::status(200),
            Err(bounce) => bounce,
        }
    }

    /// A leg's peer pressed a key as an event that doesn't go on as packets.
    pub fn keyed(&mut self, hands: &mut Hands, now: Now, port: MediaPort, digit: Digit) {
        if self.recorded == Recorded::Open
            && let Some(leg) = self.bridge.leg_of(port)
        {
            // Nobody waits for an answer.
            let _ = self.pass_key(hands, now, leg, digit, By::Event);
        }
    }

    /// A key is to be heard by this leg's peer, if that can be. The answer to whoever pressed it: 200, or 500 with
    /// Retry-After if more keys come than can be pressed.
    pub(in crate::call) fn press(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        digit: Digit,
        by: By,
    ) -> Bounce {
        let has_events = self.bridge.has_events(name);
        let by_info = self.bridge.keys_by_info(name);
        let is_answered = self.record.answered_at.is_some();
        let Some(leg) = self.leg(name) else {
            return Bounce::status(200);
        };
        let takes_info = is_answered && leg.bye == Bye::No && (by_info || leg.peer.info.is_yes());
        if !has_events && !takes_info {
            return Bounce::status(200);
        }
        let keys = leg.keys.get_or_insert_default();
        // Where there are events, whoever passes them on sees both ways.
        if !has_events && keys.twice.told(now.at, digit.key, by) == Again::Yes {
            return Bounce::status(200);
        }
        if keys.until <= now.at {
            keys.count = 0;
            keys.until = now.at;
        }
        let waiting = keys.count.max(keys.waiting.len());
        if waiting >= DIGITS_WAITING_MAX || keys.until > now.at + INFO_KEYS_AHEAD {
            return Bounce::with(500, "Retry-After", RETRY_AFTER_S.to_string());
        }
        keys.count += 1;
        keys.until = keys.until + digit.lasts + PAUSE;
        if !has_events {
            keys.waiting.push_back(digit);
            self.tell_key(hands, now, name);
            return Bounce::status(200);
        }
        match self.bridge.press(hands, name, digit) {
            bridge::Keys::Told | bridge::Keys::Untold => Bounce::status(200),
        }
    }

    /// Sends the next key that waits as an INFO of ours, unless one is on its way.
    fn tell_key(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let (config, me) = (self.config.clone(), self.me);
        if self.recorded != Recorded::Open || self.bridge.has_left(name) {
            return;
        }
        let trunk = self.party_of(name);
        let Some(leg) = self.leg(name) else { return };
        let (Some(keys), Some(dialog)) = (leg.keys.as_mut(), leg.dialog.as_mut()) else {
            return;
        };
        if keys.told == Told::One {
            return;
        }
        let Some(digit) = keys.waiting.pop_front() else {
            return;
        };
        keys.told = Told::One;
        let text = format!(
            "Signal={}\r\nDuration={}\r\n",
            char::from(digit.key.letter()),
            digit.lasts.as_millis()
        );
        let body = Body {
            content_type: RELAY,
            bytes: text.as_bytes(),
        };
        let cseq = dialog.next_cseq();
        let (to, by) = hands.way(&config, dialog, trunk);
        let branch = hands.branch();
        let bytes = dialog.request(Method::Info, cseq, &branch, by.via(), None, &[], Some(body), 70);
        if !self.may_send(name, &bytes, Scope::Ours) {
            return self.guard_hit(hands, now);
        }
        self.note_message(now.at, name, Heading::Out, Method::Info, None, false);
        let sent = hands
            .layer
            .request(now.at, to, owner(me, Purpose::Info(name)), bytes);
        if sent.is_none() {
            self.key_lost(name);
        }
    }

    /// A leg's peer answered an INFO of ours.
    pub fn key_told(&mut self, hands: &mut Hands, now: Now, name: LegName, status: u16) {
        self.note_message(now.at, name, Heading::In, Method::Info, Some(status), false);
        match status {
            0..200 => return,
            200..300 => {}
            // RFC 3261 §12.2.1.2: the dialog is gone on that side.
            481 if self.bridge.has_left(name) => return,
            481 => {
                self.leg_over(name);
                return self.end(hands, now, End::cut("dialog_lost"));
            }
            // It doesn't take them after all.
            300.. => {
                if let Some(leg) = self.leg(name) {
                    leg.peer.info = Knows::No;
                }
                return self.key_lost(name);
            }
        }
        if let Some(keys) = self.leg(name).and_then(|leg| leg.keys.as_mut()) {
            keys.told = Told::None;
        }
        self.tell_key(hands, now, name);
    }

    /// An INFO of ours was never answered, or couldn't be sent: those behind it aren't sent either.
    pub fn key_lost(&mut self, name: LegName) {
        if let Some(keys) = self.leg(name).and_then(|leg| leg.keys.as_mut()) {
            keys.told = Told::None;
            keys.waiting.clear();
        }
    }
}

/// The key that an INFO tells. `None`: it tells none that anybody could press (an empty one, as some send to see
/// whether we live; a flash).
fn key_of(info: &Message<'_>) -> Result<Option<Digit>, Bounce> {
    if info.other("Info-Package").is_some() {
        // RFC 6086 §4.2.2, and §5.2.2: we take none.
        return Err(Bounce::with(469, "Recv-Info", String::new()));
    }
    let body = info.body();
    if body.is_empty() {
        return Ok(None);
    }
    let unknown = |bounce| match multipart::handling(info.get(Name::ContentDisposition)) {
        Handling::Optional => Ok(None),
        Handling::Unsaid | Handling::Required => Err(bounce),
    };
    if (info.values(Name::ContentEncoding)).any(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return unknown(Bounce::with(415, "Accept-Encoding", "identity".into()));
    }
    let kind = info.content_type();
    let is = |name| kind.as_ref().is_some_and(|kind| kind.is(name));
    if ![RELAY, PLAIN, NORTEL].into_iter().any(is) {
        return unknown(Bounce::with(415, "Accept", ACCEPT.into()));
    }
    if body.len() > INFO_BODY_BYTES_MAX {
        return Err(Bounce::status(413));
    }
    let signal = if is(RELAY) {
        relayed(body)
    } else if is(NORTEL) {
        digits(body)
    } else {
        signal(trim(body)).map(|signal| (signal, LASTS))
    };
    match signal {
        Some((Signal::Key(key), lasts)) => Ok(Some(Digit { key, lasts })),
        Some((Signal::Flash, _)) => Ok(None),
        None => Err(Bounce::status(400)),
    }
}

/// What a signal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Signal {
    /// One of the sixteen keys.
    Key(Key),
    /// The hook, for a moment: nothing that another party could hear.
    Flash,
}

fn signal(text: &[u8]) -> Option<Signal> {
    match text {
        [b'!'] => Some(Signal::Flash),
        [letter] => Key::of(*letter).map(Signal::Key),
        // The code of an event, as Asterisk and FreeSWITCH take it.
        [b'1', b'6'] => Some(Signal::Flash),
        [b'1', digit @ b'0'..=b'5'] => Key::of_code(10 + digit - b'0').map(Signal::Key),
        _ => None,
    }
}

/// Reads the key of `p=Digit-Collection`, `y=Digits`, `s=success`, `d=5`…, a line each.
fn digits(body: &[u8]) -> Option<(Signal, Duration)> {
    let mut lines = body.split(|byte| matches!(byte, b'\r' | b'\n'));
    let line = lines.find_map(|line| trim(line).strip_prefix(b"d="))?;
    Some((signal(trim(line))?, LASTS))
}

/// Reads `Signal=5`, `Duration=160`, a line each, in any order and case, with spaces or without. Other lines are
/// passed over.
fn relayed(body: &[u8]) -> Option<(Signal, Duration)> {
    let (mut pressed, mut lasts) = (None, None);
    for line in body.split(|byte| matches!(byte, b'\r' | b'\n')) {
        let Some(at) = line.iter().position(|byte| *byte == b'=') else {
            if trim(line).is_empty() {
                continue;
            }
            return None;
        };
        let (name, value) = line.split_at(at);
        let value = trim(value.get(1..).unwrap_or_default());
        let (name, twice) = (trim(name), pressed.is_some());
        if name.eq_ignore_ascii_case(b"signal") && !twice {
            pressed = Some(signal(value)?);
        } else if name.eq_ignore_ascii_case(b"duration") && lasts.is_none() {
            lasts = Some(Duration::from_millis(decimal(value, u32::MAX)?.into()));
        } else if name.eq_ignore_ascii_case(b"signal") || name.eq_ignore_ascii_case(b"duration") {
            return None;
        }
    }
    let (least, most) = crate::base::limits::DIGIT_LASTS;
    Some((pressed?, lasts.unwrap_or(LASTS).clamp(least, most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &str, body: &[u8]) -> Result<Option<(u8, u128)>, u16> {
        let head = format!(
            "INFO sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:x@h>;tag=2\r\nCall-ID: c\r\nCSeq: 2 INFO\r\n{headers}\r\n"
        );
        let text = [head.as_bytes(), body].concat();
        key_of(&Message::parse(&text).expect("readable"))
            .map(|digit| digit.map(|digit| (digit.key.letter(), digit.lasts.as_millis())))
            .map_err(|bounce| bounce.status)
    }

    #[test]
    fn every_dialect_of_a_relayed_key_is_read() {
        for (body, key, lasts) in [
            ("Signal=5\r\nDuration=160\r\n", b'5', 160),
            ("Signal=5\nDuration=160", b'5', 160),
            ("signal = *\r\n DURATION = 100 \r\n\r\n", b'*', 100),
            ("Duration=100\r\nSignal=#", b'#', 100),
            ("Signal=10\r\nDuration=100\r\n", b'*', 100),
            ("Signal=15\r\n", b'D', 250),
            ("Signal=d\r\n", b'D', 250),
            ("Signal=0\r\nDuration=1\r\nMode=rfc\r\n", b'0', 40),
            ("Signal=0\r\nDuration=4294967295\r\n", b'0', 1_000),
        ] {
            for kind in ["application/dtmf-relay", "Application/DTMF-Relay;charset=utf-8"] {
                let headers = format!("Content-Type: {kind}\r\n");
                assert_eq!(
                    read(&headers, body.as_bytes()),
                    Ok(Some((key, lasts))),
                    "{body:?}"
                );
            }
        }
    }

    #[test]
    fn a_key_alone_is_read() {
        let nortel = "c: application/vnd.nortelnetworks.digits\r\n";
        let said = read(nortel, b"p=Digit-Collection\r\ny=Digits\r\ns=success\r\nd=5\r\n");
        assert_eq!(said, Ok(Some((b'5', 250))));
        assert_eq!(read(nortel, b"p=Digit-Collection\r\ny=Digits\r\n"), Err(400));
        for (body, key) in [("7", b'7'), ("*\r\n", b'*'), (" a ", b'A'), ("11", b'#')] {
            let said = read("c: application/dtmf\r\n", body.as_bytes());
            assert_eq!(said, Ok(Some((key, 250))), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for body in [
            "Signal=\r\n",
            "Signal=17\r\n",
            "Signal=05\r\n",
            "Signal=55\r\n",
            "Signal=E\r\n",
            "Signal=5\r\nSignal=6\r\n",
            "Signal=5\r\nDuration=1\r\nDuration=2\r\n",
            "Signal=5\r\nDuration=-1\r\n",
            "Signal=5\r\nDuration=99999999999\r\n",
            "Signal=5\r\nDuration=160ms\r\n",
            "Duration=160\r\n",
            "5",
            "\0\u{1}",
        ] {
            assert_eq!(
                read("c: application/dtmf-relay\r\n", body.as_bytes()),
                Err(400),
                "{body:?}"
            );
        }
        for body in ["17", "", "\u{e9}", "Signal=5"] {
            let said = read("c: application/dtmf\r\n", body.as_bytes());
            assert_eq!(
                said,
                if body.is_empty() { Ok(None) } else { Err(400) },
                "{body:?}"
            );
        }
        assert_eq!(read("c: application/dtmf\r\n", &[b' '; 300]), Err(413));
    }

    #[test]
    fn a_flash_and_an_empty_info_are_taken_and_press_nothing() {
        assert_eq!(read("c: application/dtmf-relay\r\n", b"Signal=!\r\n"), Ok(None));
        assert_eq!(read("c: application/dtmf\r\n", b"!"), Ok(None));
        assert_eq!(read("c: application/dtmf\r\n", b"16"), Ok(None));
        assert_eq!(read("", b""), Ok(None));
        assert_eq!(read("c: application/dtmf\r\n", b""), Ok(None));
    }

    #[test]
    fn packages_and_other_bodies_are_told_what_would_be_taken() {
        assert_eq!(read("Info-Package: foo\r\n", b""), Err(469));
        assert_eq!(
            read("Info-Package: dtmf\r\nc: application/dtmf\r\n", b"5"),
            Err(469)
        );
        for headers in [
            "",
            "c: text/plain\r\n",
            "c: multipart/mixed;boundary=b\r\n",
            "c: application/dtmf\r\ne: gzip\r\n",
        ] {
            assert_eq!(read(headers, b"5"), Err(415), "{headers}");
        }
        let optional = "c: text/plain\r\nContent-Disposition: render;handling=optional\r\n";
        assert_eq!(read(optional, b"5"), Ok(None));
    }
}

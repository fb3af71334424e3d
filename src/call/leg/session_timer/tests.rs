use super::*;
use crate::sip::message::Message;
use proptest::prelude::*;

fn wish(timer: SessionTimer, interval_s: u32, min_s: u32) -> SessionWish {
    SessionWish {
        timer,
        interval_s,
        min_s,
    }
}

const ACCEPT: SessionWish = SessionWish {
    timer: SessionTimer::Accept,
    interval_s: 1_800,
    min_s: 90,
};
const OFFER: SessionWish = SessionWish {
    timer: SessionTimer::Offer,
    ..ACCEPT
};
const OFF: SessionWish = SessionWish {
    timer: SessionTimer::Off,
    ..ACCEPT
};

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

/// What an INVITE with these header lines asks for.
fn read(headers: &str) -> Result<Asked, Malformed> {
    let text = format!(
        "INVITE sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:x@h>\r\n\
         Call-ID: c\r\nCSeq: 1 INVITE\r\n{headers}\r\n"
    );
    let message = Message::parse(text.as_bytes()).expect("readable");
    Asked::read(message.head())
}

fn asked(headers: &str) -> Asked {
    read(headers).expect("well-formed")
}

/// The header lines as they will stand in a message.
fn written(lines: &Lines) -> String {
    let lines: Vec<String> = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.join(", ")
}

/// The lines of our 2xx to a request with these lines.
fn answer(wish: SessionWish, headers: &str, runs: Option<&Clock>) -> String {
    match judge(wish, &asked(headers), runs) {
        Verdict::TooShort(min) => format!("422 {min}"),
        Verdict::NotHere => "420".into(),
        Verdict::Without => written(&in_2xx(wish, None)),
        Verdict::With(granted) => written(&in_2xx(wish, Some(&granted))),
    }
}

#[test]
fn session_expires_and_min_se_are_read_in_every_form_that_the_grammar_has() {
    for (headers, interval, refresher, min) in [
        ("", None, None, None),
        ("Session-Expires: 1800\r\n", Some(1_800), None, None),
        ("x: 0090\r\n", Some(90), None, None),
        (
            "session-expires: 4000 ; Refresher = UAC\r\nMin-SE: 120;why=not\r\n",
            Some(4_000),
            Some(Side::Uac),
            Some(120),
        ),
        (
            "Session-Expires: 600;lr;a=\"b;refresher=uac\";refresher=uas\r\n",
            Some(600),
            Some(Side::Uas),
            None,
        ),
        ("Session-Expires: 99999999999999\r\n", Some(u32::MAX), None, None),
    ] {
        let asked = asked(headers);
        assert_eq!(
            (asked.interval_s, asked.refresher, asked.min_s),
            (interval, refresher, min),
            "{headers}"
        );
    }
}

#[test]
fn what_is_no_number_of_seconds_or_no_side_is_malformed() {
    for headers in [
        "Session-Expires:\r\n",
        "Session-Expires: soon\r\n",
        "Session-Expires: -1\r\n",
        "Session-Expires: 1800.5\r\n",
        "Session-Expires: 1800=3\r\n",
        "Session-Expires: 90, 180\r\n",
        "Session-Expires: ;refresher=uac\r\n",
        "Session-Expires: 1800;refresher\r\n",
        "Session-Expires: 1800;refresher=me\r\n",
        "Session-Expires: 1800;refresher=uac;refresher=uas\r\n",
        "Min-SE: \r\n",
        "Min-SE: 1e3\r\n",
        "Min-SE: 90 s\r\n",
    ] {
        assert_eq!(read(headers), Err(Malformed), "{headers}");
    }
}

#[test]
fn support_is_what_supported_or_require_says() {
    for (headers, support, required) in [
        ("", Support::No, Required::No),
        ("Supported: 100rel, timers\r\n", Support::No, Required::No),
        ("k: 100rel,Timer\r\n", Support::Yes, Required::No),
        (
            "Supported: path\r\nSupported: timer\r\n",
            Support::Yes,
            Required::No,
        ),
        ("Require: timer\r\n", Support::Yes, Required::Yes),
    ] {
        let asked = asked(headers);
        assert_eq!((asked.support, asked.required), (support, required), "{headers}");
    }
}

#[test]
fn the_answer_names_the_refresher_by_the_table_of_rfc_4028_section_9() {
    for (headers, expected) in [
        ("", "Supported: timer"),
        ("Supported: timer\r\n", "Supported: timer"),
        (
            "Session-Expires: 600\r\n",
            "Supported: timer, Session-Expires: 600;refresher=uas",
        ),
        (
            "Supported: timer\r\nSession-Expires: 600\r\n",
            "Supported: timer, Session-Expires: 600;refresher=uac, Require: timer",
        ),
        (
            "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n",
            "Supported: timer, Session-Expires: 600;refresher=uac, Require: timer",
        ),
        (
            "Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n",
            "Supported: timer, Session-Expires: 600;refresher=uas, Require: timer",
        ),
        // Who doesn't know the extension can't be made to refresh.
        (
            "Session-Expires: 600;refresher=uac\r\n",
            "Supported: timer, Session-Expires: 600;refresher=uas",
        ),
    ] {
        assert_eq!(answer(ACCEPT, headers, None), expected, "{headers}");
    }
}

#[test]
fn an_interval_below_the_minimum_is_refused_where_the_refusal_is_understood() {
    let strict = wish(SessionTimer::Accept, 1_800, 300);
    let known = "Supported: timer\r\n";
    for (wish, headers, expected) in [
        (
            ACCEPT,
            format!("{known}Session-Expires: 89\r\n"),
            "422 90".to_owned(),
        ),
        (
            strict,
            format!("{known}Session-Expires: 299\r\n"),
            "422 300".to_owned(),
        ),
        (
            strict,
            format!("{known}Session-Expires: 300\r\n"),
            "Supported: timer, Session-Expires: 300;refresher=uac, Require: timer".to_owned(),
        ),
        // A proxy put it there; its UA wouldn't know what a 422 is.
        (
            strict,
            "Session-Expires: 299\r\n".to_owned(),
            "Supported: timer, Session-Expires: 299;refresher=uas".to_owned(),
        ),
        (strict, "Session-Expires: 60\r\n".to_owned(), "422 300".to_owned()),
    ] {
        assert_eq!(answer(wish, &headers, None), expected, "{headers}");
    }
}

#[test]
fn a_trunk_that_offers_asks_for_its_own_interval_and_never_for_a_longer_one() {
    for (headers, expected) in [
        ("", "1800;refresher=uas"),
        ("Supported: timer\r\n", "1800;refresher=uac"),
        ("Supported: timer\r\nMin-SE: 3000\r\n", "3000;refresher=uac"),
        (
            "Supported: timer\r\nSession-Expires: 900\r\n",
            "900;refresher=uac",
        ),
        (
            "Supported: timer\r\nSession-Expires: 7200\r\n",
            "1800;refresher=uac",
        ),
        (
            "Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n",
            "3600;refresher=uac",
        ),
    ] {
        let said = answer(OFFER, headers, None);
        assert!(
            said.contains(&format!("Session-Expires: {expected}")),
            "{headers}: {said}"
        );
    }
}

#[test]
fn a_trunk_without_timers_says_nothing_and_refuses_only_who_insists() {
    assert_eq!(
        answer(OFF, "Supported: timer\r\nSession-Expires: 30\r\n", None),
        ""
    );
    assert_eq!(
        answer(OFF, "Require: timer\r\nSession-Expires: 600\r\n", None),
        "420"
    );
    assert_eq!(written(&in_invite(OFF, 0)), "");
    assert_eq!(written(&in_request(OFF, None)), "");
}

#[test]
fn a_refresh_without_a_word_leaves_interval_and_role_as_they_are() {
    for (refresher, headers, expected) in [
        (
            Refresher::Us,
            "Supported: timer\r\n",
            "600;refresher=uas, Require: timer",
        ),
        (
            Refresher::Them,
            "Supported: timer\r\n",
            "600;refresher=uac, Require: timer",
        ),
        // It has forgotten the extension: from now on we refresh.
        (Refresher::Them, "", "600;refresher=uas"),
        (
            Refresher::Us,
            "Supported: timer\r\nSession-Expires: 700;refresher=uac\r\n",
            "700;refresher=uac, Require: timer",
        ),
        (
            Refresher::Us,
            "Supported: timer\r\nMin-SE: 800\r\n",
            "800;refresher=uas, Require: timer",
        ),
    ] {
        let clock = Clock::start(at(0), 600, refresher);
        assert_eq!(
            answer(ACCEPT, headers, Some(&clock)),
            format!("Supported: timer, Session-Expires: {expected}"),
            "{headers}"
        );
    }
}

#[test]
fn our_invite_asks_as_the_trunk_wishes_and_as_a_422_taught_us() {
    let strict = wish(SessionTimer::Offer, 600, 120);
    for (wish, min_s, expected) in [
        (ACCEPT, 0, ""),
        (ACCEPT, 300, "Min-SE: 300"),
        (OFFER, 0, "Session-Expires: 1800"),
        (OFFER, 2_400, "Session-Expires: 2400, Min-SE: 2400"),
        (strict, 0, "Session-Expires: 600, Min-SE: 120"),
    ] {
        assert_eq!(written(&in_invite(wish, min_s)), expected);
    }
}

#[test]
fn our_refresh_keeps_the_roles_and_repeats_the_largest_min_se_that_came() {
    let session = |min_s, refresher| Session {
        min_s,
        clock: Some(Clock::start(at(0), 600, refresher)),
        wake: None,
    };
    for (session, expected) in [
        (session(0, Refresher::Us), ", Session-Expires: 600;refresher=uac"),
        (
            session(0, Refresher::Them),
            ", Session-Expires: 600;refresher=uas",
        ),
        (
            session(700, Refresher::Us),
            ", Session-Expires: 700;refresher=uac, Min-SE: 700",
        ),
        (
            Session {
                min_s: 100,
                ..Session::default()
            },
            ", Min-SE: 100",
        ),
    ] {
        assert_eq!(
            written(&in_request(ACCEPT, Some(&session))),
            format!("Supported: timer{expected}")
        );
    }
}

#[test]
fn the_answer_to_our_request_starts_a_timer_or_ends_it() {
    let told = |wish, headers: &str| {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:x@h>;tag=2\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n{headers}\r\n"
        );
        let message = Message::parse(text.as_bytes()).expect("readable");
        granted_by(wish, message.head())
    };
    assert_eq!(told(OFFER, ""), None);
    assert_eq!(told(OFFER, "Require: timer\r\n"), None);
    assert_eq!(told(OFFER, "Session-Expires: never\r\n"), None);
    assert_eq!(told(OFF, "Session-Expires: 600;refresher=uac\r\n"), None);
    for (value, expected) in [
        ("600;refresher=uac", (600, Refresher::Us)),
        ("600;refresher=uas", (600, Refresher::Them)),
        ("600", (600, Refresher::Us)),
        // Nobody may go under 90 s.
        ("5;refresher=uas", (90, Refresher::Them)),
    ] {
        assert_eq!(
            told(ACCEPT, &format!("Require: timer\r\nSession-Expires: {value}\r\n")),
            Some(expected),
            "{value}"
        );
    }
}

#[test]
fn a_refresher_refreshes_at_half_the_interval_and_ends_the_session_when_it_expires() {
    let mut clock = Clock::start(at(10), 600, Refresher::Us);
    assert_eq!(clock.due(), at(310));
    assert_eq!(clock.woken(), Act::Refresh);
    assert_eq!(clock.due(), at(610));
    assert_eq!(clock.woken(), Act::End);
}

#[test]
fn who_waits_ends_the_session_slightly_before_it_expires() {
    for (interval, due) in [(90, 60), (96, 64), (99, 67), (600, 568), (1_800, 1_768)] {
        let mut clock = Clock::start(at(0), interval, Refresher::Them);
        assert_eq!(clock.due(), at(due), "{interval}");
        assert_eq!(clock.woken(), Act::End);
    }
}

#[test]
fn who_goes_on_with_a_session_refreshes_it_when_it_was_due_or_at_once() {
    let due = |interval: u32, left: u64| {
        let left = Duration::from_secs(left);
        let mut clock = Clock::go_on(at(10), interval, Refresher::Us, left);
        let due = clock.due();
        assert_eq!(clock.woken(), Act::Refresh);
        assert_eq!(clock.woken(), Act::End);
        (due, clock.due())
    };
    assert_eq!(due(600, 601), (at(310), at(610)));
    assert_eq!(due(600, 600), (at(310), at(610)));
    assert_eq!(due(600, 400), (at(110), at(410)));
    assert_eq!(due(600, 300), (at(10), at(310)));
    assert_eq!(due(600, 100), (at(10), at(110)));
    assert_eq!(due(600, 0), (at(10), at(74)), "there is time for it");
    assert_eq!(due(90, 0), (at(10), at(70)));
}

#[test]
fn who_goes_on_with_a_session_leaves_the_peer_time_to_refresh_it() {
    let due = |interval, left| {
        let mut clock = Clock::go_on(at(10), interval, Refresher::Them, Duration::from_secs(left));
        let due = clock.due();
        assert_eq!(clock.woken(), Act::End);
        due
    };
    assert_eq!(due(600, 600), at(10 + 568));
    assert_eq!(due(600, 100), at(10 + 68));
    assert_eq!(due(600, 0), at(10 + 32));
    assert_eq!(due(90, 0), at(10 + 30));
}

#[test]
fn a_refused_refresh_is_tried_again_while_there_is_time_and_not_for_ever() {
    let mut clock = Clock::start(at(0), 90, Refresher::Us);
    assert_eq!(clock.woken(), Act::Refresh);
    clock.refused(at(46));
    assert_eq!(clock.due(), at(68));
    assert_eq!(clock.woken(), Act::Refresh);
    clock.refused(at(69));
    assert_eq!(clock.woken(), Act::Refresh);
    clock.refused(at(80));
    assert_eq!((clock.due(), clock.woken()), (at(90), Act::End));
}

/// RFC 4028 §9, Table 2: what the answer may say, by whether the UAC supports the extension and what it asked for.
const TABLE: [(Support, Option<Side>, &[Side]); 4] = [
    (Support::No, None, &[Side::Uas]),
    (Support::Yes, None, &[Side::Uas, Side::Uac]),
    (Support::Yes, Some(Side::Uac), &[Side::Uac]),
    (Support::Yes, Some(Side::Uas), &[Side::Uas]),
];

fn any_asked() -> impl Strategy<Value = Asked> {
    let seconds = || prop_oneof![0..200_u32, 1_000..2_000_u32, any::<u32>()];
    (
        prop_oneof![Just(Support::Yes), Just(Support::No)],
        any::<bool>(),
        proptest::option::of(seconds()),
        prop_oneof![Just(None), Just(Some(Side::Uac)), Just(Some(Side::Uas))],
        proptest::option::of(seconds()),
    )
        .prop_map(|(support, required, interval_s, refresher, min_s)| Asked {
            support,
            required: if required && support == Support::Yes {
                Required::Yes
            } else {
                Required::No
            },
            interval_s,
            refresher: refresher.filter(|_| support == Support::Yes && interval_s.is_some()),
            min_s,
        })
}

fn any_wish() -> impl Strategy<Value = SessionWish> {
    let timer = prop_oneof![
        Just(SessionTimer::Accept),
        Just(SessionTimer::Offer),
        Just(SessionTimer::Off)
    ];
    (timer, 90..4_000_u32, 90..4_000_u32)
        .prop_map(|(timer, min_s, more)| wish(timer, min_s.saturating_add(more), min_s))
}

fn any_clock() -> impl Strategy<Value = Option<Clock>> {
    let refresher = prop_oneof![Just(Refresher::Us), Just(Refresher::Them)];
    proptest::option::of(
        (90..u32::MAX, refresher).prop_map(|(interval, refresher)| Clock::start(at(0), interval, refresher)),
    )
}

proptest! {
    #[test]
    fn every_answer_obeys_the_rfc(asked in any_asked(), wish in any_wish(), clock in any_clock()) {
        let floor = asked.min_s.unwrap_or(0).max(SESSION_MIN_S);
        match judge(wish, &asked, clock.as_ref()) {
            Verdict::NotHere => {
                prop_assert_eq!((wish.timer, asked.required), (SessionTimer::Off, Required::Yes));
            }
            Verdict::Without => {
                let nobody_asks = asked.interval_s.is_none() && clock.is_none();
                prop_assert!(
                    wish.timer == SessionTimer::Off || wish.timer == SessionTimer::Accept && nobody_asks
                );
            }
            Verdict::TooShort(min) => {
                let interval = asked.interval_s.expect("asked for");
                prop_assert!(interval < min && min >= SESSION_MIN_S);
                // §8.1: who doesn't know the extension doesn't know 422.
                prop_assert!(asked.support == Support::Yes || interval < SESSION_MIN_S);
            }
            Verdict::With(granted) => {
                let (_, _, allowed) = TABLE
                    .iter()
                    .find(|(support, refresher, _)| {
                        (*support, *refresher) == (asked.support, asked.refresher)
                    })
                    .expect("a row of the table");
                prop_assert!(allowed.contains(&granted.refresher));
                prop_assert!(granted.interval_s >= SESSION_MIN_S);
                match asked.interval_s {
                    // §9: never longer than asked for, never shorter than Min-SE.
                    Some(interval) => {
                        prop_assert!(granted.interval_s <= interval);
                        prop_assert!(granted.interval_s >= floor.min(interval));
                    }
                    None => prop_assert!(granted.interval_s >= floor),
                }
                let lines = in_2xx(wish, Some(&granted));
                let required = lines.iter().any(|(name, _)| *name == "Require");
                prop_assert_eq!(required, asked.support == Support::Yes);
                // A peer that is told to refresh can.
                prop_assert!(granted.refresher == Side::Uas || required);
            }
        }
    }

    #[test]
    fn a_clock_always_ends_and_never_after_the_session(interval in any::<u32>(), us in any::<bool>(), late in 0..40_u64) {
        let refresher = if us { Refresher::Us } else { Refresher::Them };
        let mut clock = Clock::start(at(5), interval, refresher);
        let end = at(5) + Duration::from_secs(interval.into());
        let mut last = at(5);
        for _ in 0..200 {
            let now = clock.due();
            prop_assert!(now >= last && now <= end);
            last = now;
            if clock.woken() == Act::End {
                return Ok(());
            }
            clock.refused(now + Duration::from_secs(late));
        }
        prop_assert!(false, "it never ends");
    }
}

//! New requests that wait for the loop, and those that are refused.

use super::*;
use crate::call::emergency::{Emergency, Table};
use crate::call::trunk::DialledFrom;
use crate::sip::message::Message as Request;
use crate::sip::outline::Asked;
use crate::transport::fresh::Turned;

/// The only shard of a transport, what waits for it, and how somebody comes to it.
struct Only {
    main: EventLoop,
    fresh: Fresh,
    path: Path,
}

fn only_shard() -> Only {
    let (mut transport, _) = open_on(1, 1);
    let main = transport.loops.remove(0);
    let fresh = fresh_of(&main);
    let path = Path::udp(ListenerId(0), friend().local_addr().expect("bound"));
    Only { main, fresh, path }
}

fn a_request(method: &str) -> String {
    text(options("call-1")).replace("OPTIONS", method)
}

/// What becomes of a message that comes, if no call is known.
fn sort_one(main: &EventLoop, fresh: &mut Fresh, message: (Path, &[u8])) -> Sorted {
    sort(
        &main.homes,
        &main.doors,
        Now::default(),
        message,
        fresh,
        |_, _| false,
    )
}

/// What waits for the loop, as it would be handed on now; nothing of it is handed on at once.
fn sorted(main: &EventLoop, fresh: &mut Fresh, path: Path, messages: &[&[u8]]) {
    for message in messages {
        let sorted = sort_one(main, fresh, (path, message));
        assert_eq!(sorted, Sorted::Done);
    }
}

#[test]
fn new_calls_of_the_only_shard_wait_up_to_a_limit_and_get_503_beyond_it() {
    let Only {
        main,
        mut fresh,
        path,
    } = only_shard();
    let invite = a_request("INVITE");
    for _ in 0..=SHARD_QUEUE {
        sorted(&main, &mut fresh, path, &[invite.as_bytes()]);
    }
    let known = fresh.turn_refused_away(Now::default(), |_, _| false);
    let mut answers = fresh.take_answers();
    assert_eq!((answers.len(), known.len()), (1, 0));
    let (to, answer) = answers.remove(0);
    assert_eq!(to, path);
    let answer = text(answer);
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    let waiting = std::iter::from_fn(|| fresh.next(Instant::default()));
    assert_eq!(waiting.count(), SHARD_QUEUE);

    // The ACK of what was refused is nobody's; that of a call is handed on at once.
    let to = answer.lines().find(|line| line.starts_with("To: ")).expect("To");
    let ack = |to: &str| a_request("ACK").replace("To: <sip:x@127.0.0.1>", to);
    sorted(&main, &mut fresh, path, &[ack(to).as_bytes()]);
    let message = ack("To: <sip:x@127.0.0.1>;tag=t");
    let sorted = sort_one(&main, &mut fresh, (path, message.as_bytes()));
    assert_eq!(sorted, Sorted::Now);
    assert!(fresh.is_empty());
}

#[test]
fn a_call_that_waits_too_long_is_refused_and_an_options_is_not() {
    let Only {
        main,
        mut fresh,
        path,
    } = only_shard();
    let [probe, invite] = ["OPTIONS", "INVITE"].map(a_request);
    sorted(&main, &mut fresh, path, &[invite.as_bytes(), probe.as_bytes()]);
    let late = Instant::default() + Duration::from_secs(1);
    let next = fresh.next(late).expect("the probe");
    assert!(next.bytes.starts_with(b"OPTIONS"));
    fresh.turn_refused_away(Now::default(), |_, _| false);
    assert_eq!(fresh.take_answers().len(), 1);
    let counts = main.config.trunks[0].overload.counts();
    assert_eq!((counts.taken, counts.shed), (0, 1));

    // A repetition of one that was taken goes to whoever took it.
    sorted(&main, &mut fresh, path, &[invite.as_bytes()]);
    assert!(fresh.next(late).is_none());
    let known = fresh.turn_refused_away(Now::default(), |_, _| true);
    assert_eq!((fresh.take_answers().len(), known.len()), (0, 1));
}

#[test]
fn a_call_that_would_wait_in_vain_is_refused_as_it_comes() {
    let Only {
        main,
        mut fresh,
        path,
    } = only_shard();
    let [probe, invite] = ["OPTIONS", "INVITE"].map(a_request);
    let at = |ms| Now {
        at: Instant::default() + Duration::from_millis(ms),
        ..Now::default()
    };
    let sorted = |fresh: &mut Fresh, ms, bytes: &[u8], knows: bool| {
        sort(&main.homes, &main.doors, at(ms), (path, bytes), fresh, |_, _| {
            knows
        })
    };
    let (mut refused, mut answered) = (0, 0);
    for ms in 0..1_000 {
        match sorted(&mut fresh, ms, invite.as_bytes(), false) {
            Sorted::Done => {}
            Sorted::Refused => refused += 1,
            Sorted::Now => panic!("a new call waits"),
        }
        assert_eq!(fresh.take_answers().len(), refused - answered, "at {ms} ms");
        answered = refused;
        // One of ten can be served.
        if ms % 10 == 0 {
            assert!(fresh.next(at(ms).at).is_some());
        }
    }
    assert!(refused > 500, "{refused} of 1,000");
    let mut sorted = |bytes: &[u8], knows| sorted(&mut fresh, 1_000, bytes, knows);
    assert_eq!(sorted(invite.as_bytes(), false), Sorted::Refused);
    assert_eq!(
        sorted(invite.as_bytes(), true),
        Sorted::Now,
        "it is one that was taken"
    );
    assert_eq!(
        sorted(probe.as_bytes(), false),
        Sorted::Done,
        "a probe waits its turn"
    );
    let within = invite.replace("To: <sip:x@127.0.0.1>", "To: <sip:x@127.0.0.1>;tag=t");
    assert_eq!(sorted(within.as_bytes(), false), Sorted::Now, "it is of a call");
    let faulty = invite.replace("CSeq: 1 ", "CSeq: ");
    assert_eq!(sorted(faulty.as_bytes(), false), Sorted::Done, "it can't be read");
    assert_eq!((fresh.take_answers().len(), fresh.take_lost()), (1, 1));
}

#[test]
fn an_emergency_call_is_not_refused_for_load_however_its_trunk_writes_the_number() {
    let Only { mut main, path, .. } = only_shard();
    let mut config = (*main.config).clone();
    config.emergency = Some(Emergency {
        table: Table::of_country("CN").expect("it is in the list"),
        trunk: 0,
    });
    main.config = Arc::new(config);
    let late = Instant::default() + Duration::from_secs(1);
    let call = |user: &str| {
        let to = format!("INVITE sip:{user}@");
        text(options("call-1"))
            .replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE")
            .replace("OPTIONS sip:x@", &to)
    };
    for (user, is_taken) in [
        ("110", true),
        ("+86110", true),
        ("12395", true),
        ("911", false),
        ("17000000001", false),
    ] {
        let mut fresh = fresh_of(&main);
        sorted(&main, &mut fresh, path, &[call(user).as_bytes()]);
        assert_eq!(fresh.next(late).is_some(), is_taken, "{user}");
        // So it is where there is no room.
        let mut fresh = fresh_of(&main);
        for _ in 0..SHARD_QUEUE {
            sorted(&main, &mut fresh, path, &[call("17000000009").as_bytes()]);
        }
        sorted(&main, &mut fresh, path, &[call(user).as_bytes()]);
        let waiting = std::iter::from_fn(|| fresh.next(Instant::default()));
        let wanted = format!("sip:{user}@");
        let has_it = |packet: &Packet| text(packet.bytes.to_vec()).contains(&wanted);
        assert_eq!(waiting.filter(has_it).count() == 1, is_taken, "{user}");
        // And where calls are refused as they come.
        let call = call(user);
        let request = Request::parse(call.as_bytes()).expect("a request");
        let outline = fresh.outline(path, call.as_bytes()).expect("a plain one");
        for asked in [Asked::Whole(&request), Asked::Outline(&outline)] {
            let turned = fresh.turn_away(Now::default(), path, asked, |_, _| false);
            assert_eq!(turned == Turned::ForHelp, is_taken, "{user}");
        }
    }
}

#[test]
fn a_cancel_never_overtakes_its_invite_and_finds_room_when_new_calls_dont() {
    let Only {
        main,
        mut fresh,
        path,
    } = only_shard();
    let invite = a_request("INVITE");
    let cancel = invite.replace("INVITE", "CANCEL");
    for _ in 0..SHARD_QUEUE {
        sorted(&main, &mut fresh, path, &[invite.as_bytes()]);
    }
    sorted(&main, &mut fresh, path, &[cancel.as_bytes()]);
    let waiting: Vec<Packet> = std::iter::from_fn(|| fresh.next(Instant::default())).collect();
    assert_eq!(waiting.len(), SHARD_QUEUE + 1);
    assert!(
        waiting
            .last()
            .is_some_and(|last| last.bytes.starts_with(b"CANCEL"))
    );
}

#[test]
fn a_call_that_was_read_in_outline_is_refused_as_one_that_was_read_whole() {
    let (mut transport, _) = open_on(1, 1);
    let main = transport.loops.remove(0);
    let mut fresh = fresh_of(&main);
    let path = Path::udp(ListenerId(0), friend().local_addr().expect("bound"));
    let plain = text(options("call-1")).replace("OPTIONS", "INVITE");
    let obeys = plain.replace(";rport", ";oc;oc-algo=\"loss\"");
    for ms in [0, 700, 1_400] {
        let now = Now {
            at: Instant::default() + Duration::from_millis(ms),
            ..Now::default()
        };
        for invite in [&plain, &obeys] {
            let request = Request::parse(invite.as_bytes()).expect("a request");
            let outline = fresh.outline(path, invite.as_bytes()).expect("a plain one");
            for asked in [Asked::Whole(&request), Asked::Outline(&outline)] {
                assert_eq!(fresh.turn_away(now, path, asked, |_, _| false), Turned::Away);
            }
            let answers = fresh.take_answers();
            let [(to, whole), (too, outlined)] = answers.as_slice() else {
                panic!("{} answers", answers.len());
            };
            assert_eq!((to, text(whole.clone())), (too, text(outlined.clone())));
            let wish = b"oc-validity=";
            let is_told = whole.windows(wish.len()).any(|part| part == wish);
            assert_eq!(is_told, invite == &obeys, "at {ms} ms");
        }
    }
}

#[test]
fn where_a_number_may_stand_elsewhere_a_call_is_read_whole() {
    let (mut transport, _) = open_on(1, 1);
    let main = &mut transport.loops[0];
    let path = Path::udp(ListenerId(0), friend().local_addr().expect("bound"));
    let invite = text(options("call-1")).replace("OPTIONS", "INVITE");
    let has_outline = |main: &EventLoop| fresh_of(main).outline(path, invite.as_bytes()).is_some();
    for (place, is_told) in [
        (DialledFrom::Ruri, true),
        (DialledFrom::To, true),
        (DialledFrom::PCalledPartyId, false),
        (DialledFrom::Diversion, false),
    ] {
        let mut config = (*main.config).clone();
        config.trunks[0].dialled_from = vec![DialledFrom::Ruri, place];
        config.emergency = None;
        main.config = Arc::new(config.clone());
        assert!(has_outline(main), "nobody asks for the number");
        config.emergency = Some(Emergency {
            table: Table::of_country("CN").expect("it is in the list"),
            trunk: 0,
        });
        main.config = Arc::new(config);
        assert_eq!(has_outline(main), is_told, "{place:?}");
    }
}

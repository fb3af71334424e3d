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

impl Only {
    fn open() -> Self {
        let (mut transport, _) = open_on(1, 1);
        let main = transport.loops.remove(0);
        let fresh = fresh_of(&main);
        let path = Path::udp(ListenerId(0), friend().local_addr().expect("bound"));
        Self { main, fresh, path }
    }

    /// Another conf, under which nothing waits yet.
    fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) {
        let mut config = (*self.main.config).clone();
        change(&mut config);
        self.main.config = Arc::new(config);
        self.fresh = fresh_of(&self.main);
    }

    /// What becomes of a message that comes then; `is_known`: whoever has its call knows it.
    fn sort(&mut self, now: Now, message: &[u8], is_known: bool) -> Sorted {
        let (homes, doors) = (&self.main.homes, &self.main.doors);
        let message = (self.path, message);
        sort(homes, doors, now, message, &mut self.fresh, |_, _| is_known)
    }

    /// Messages of which nobody knows the call come at the beginning; none of them is handed on at once.
    fn keep(&mut self, messages: &[&[u8]]) {
        for message in messages {
            assert_eq!(self.sort(Now::default(), message, false), Sorted::Done);
        }
    }

    /// What waits, in the order in which it would be handed on at the beginning.
    fn waiting(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.fresh.next(Instant::default())).collect()
    }

    /// What was refused is answered. What of it is to be taken all the same.
    fn turn_away(&mut self, is_known: bool) -> (Vec<(Path, Vec<u8>)>, Vec<Packet>) {
        let known = self.fresh.turn_refused_away(Now::default(), |_, _| is_known);
        (self.fresh.take_answers(), known)
    }
}

/// So many milliseconds after the beginning.
fn at(ms: u64) -> Now {
    Now {
        at: Instant::default() + Duration::from_millis(ms),
        ..Now::default()
    }
}

/// China's emergency numbers.
fn emergency() -> Option<Emergency> {
    Some(Emergency {
        table: Table::of_country("CN").expect("it is in the list"),
        trunk: 0,
    })
}

fn a_request(method: &str) -> String {
    text(options("call-1")).replace("OPTIONS", method)
}

#[test]
fn new_calls_of_the_only_shard_wait_up_to_a_limit_and_get_503_beyond_it() {
    let mut only = Only::open();
    let invite = a_request("INVITE");
    for _ in 0..=SHARD_QUEUE {
        only.keep(&[invite.as_bytes()]);
    }
    let (mut answers, known) = only.turn_away(false);
    assert_eq!((answers.len(), known.len()), (1, 0));
    let (to, answer) = answers.remove(0);
    assert_eq!(to, only.path);
    let answer = text(answer);
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    assert_eq!(only.waiting().len(), SHARD_QUEUE);

    // The ACK of what was refused is nobody's; that of a call is handed on at once.
    let to = answer.lines().find(|line| line.starts_with("To: ")).expect("To");
    let ack = |to: &str| a_request("ACK").replace("To: <sip:x@127.0.0.1>", to);
    only.keep(&[ack(to).as_bytes()]);
    let message = ack("To: <sip:x@127.0.0.1>;tag=t");
    assert_eq!(only.sort(at(0), message.as_bytes(), false), Sorted::Now);
    assert!(only.fresh.is_empty());
}

#[test]
fn a_call_that_waits_too_long_is_refused_and_an_options_is_not() {
    let mut only = Only::open();
    let [probe, invite] = ["OPTIONS", "INVITE"].map(a_request);
    only.keep(&[invite.as_bytes(), probe.as_bytes()]);
    let late = at(1_000).at;
    let next = only.fresh.next(late).expect("the probe");
    assert!(next.bytes.starts_with(b"OPTIONS"));
    let (answers, _) = only.turn_away(false);
    assert_eq!(answers.len(), 1);
    let counts = only.main.config.trunks[0].overload.counts();
    assert_eq!((counts.taken, counts.shed), (0, 1));

    // A repetition of one that was taken goes to whoever took it.
    only.keep(&[invite.as_bytes()]);
    assert!(only.fresh.next(late).is_none());
    let (answers, known) = only.turn_away(true);
    assert_eq!((answers.len(), known.len()), (0, 1));
}

#[test]
fn a_call_that_would_wait_in_vain_is_refused_as_it_comes() {
    let mut only = Only::open();
    let [probe, invite] = ["OPTIONS", "INVITE"].map(a_request);
    let (mut refused, mut answered) = (0, 0);
    for ms in 0..1_000 {
        match only.sort(at(ms), invite.as_bytes(), false) {
            Sorted::Done => {}
            Sorted::Refused => refused += 1,
            Sorted::Now => panic!("a new call waits"),
        }
        let answers = only.fresh.take_answers();
        assert_eq!(answers.len(), refused - answered, "at {ms} ms");
        answered = refused;
        // One of ten can be served.
        if ms % 10 == 0 {
            assert!(only.fresh.next(at(ms).at).is_some());
        }
    }
    assert!(refused > 500, "{refused} of 1,000");
    let within = invite.replace("To: <sip:x@127.0.0.1>", "To: <sip:x@127.0.0.1>;tag=t");
    let faulty = invite.replace("CSeq: 1 ", "CSeq: ");
    for (message, is_known, wanted, why) in [
        (&invite, false, Sorted::Refused, "it is new"),
        (&invite, true, Sorted::Now, "it is one that was taken"),
        (&probe, false, Sorted::Done, "a probe waits its turn"),
        (&within, false, Sorted::Now, "it is of a call"),
        (&faulty, false, Sorted::Done, "it can't be read"),
    ] {
        let sorted = only.sort(at(1_000), message.as_bytes(), is_known);
        assert_eq!(sorted, wanted, "{why}");
    }
    assert_eq!((only.fresh.take_answers().len(), only.fresh.take_lost()), (1, 1));
}

#[test]
fn an_emergency_call_is_not_refused_for_load_however_its_trunk_writes_the_number() {
    let mut only = Only::open();
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
        only.reconfigure(|config| config.emergency = emergency());
        only.keep(&[call(user).as_bytes()]);
        assert_eq!(only.fresh.next(at(1_000).at).is_some(), is_taken, "{user}");
        // So it is where there is no room.
        only.reconfigure(|_| ());
        for _ in 0..SHARD_QUEUE {
            only.keep(&[call("17000000009").as_bytes()]);
        }
        only.keep(&[call(user).as_bytes()]);
        let wanted = format!("sip:{user}@");
        let has_it = |packet: &Packet| text(packet.bytes.to_vec()).contains(&wanted);
        let has_room = only.waiting().iter().filter(|packet| has_it(packet)).count() == 1;
        assert_eq!(has_room, is_taken, "{user}");
        // And where calls are refused as they come.
        let call = call(user);
        let request = Request::parse(call.as_bytes()).expect("a request");
        let outline = only
            .fresh
            .outline(only.path, call.as_bytes())
            .expect("a plain one");
        for asked in [Asked::Whole(&request), Asked::Outline(&outline)] {
            let turned = only.fresh.turn_away(at(0), only.path, asked, |_, _| false);
            assert_eq!(turned == Turned::ForHelp, is_taken, "{user}");
        }
    }
}

#[test]
fn a_cancel_never_overtakes_its_invite_and_finds_room_when_new_calls_dont() {
    let mut only = Only::open();
    let invite = a_request("INVITE");
    let cancel = invite.replace("INVITE", "CANCEL");
    for _ in 0..SHARD_QUEUE {
        only.keep(&[invite.as_bytes()]);
    }
    only.keep(&[cancel.as_bytes()]);
    let waiting = only.waiting();
    assert_eq!(waiting.len(), SHARD_QUEUE + 1);
    assert!(
        waiting
            .last()
            .is_some_and(|last| last.bytes.starts_with(b"CANCEL"))
    );
}

#[test]
fn a_call_that_was_read_in_outline_is_refused_as_one_that_was_read_whole() {
    let Only { mut fresh, path, .. } = Only::open();
    let plain = a_request("INVITE");
    let obeys = plain.replace(";rport", ";oc;oc-algo=\"loss\"");
    for ms in [0, 700, 1_400] {
        for invite in [&plain, &obeys] {
            let request = Request::parse(invite.as_bytes()).expect("a request");
            let outline = fresh.outline(path, invite.as_bytes()).expect("a plain one");
            for asked in [Asked::Whole(&request), Asked::Outline(&outline)] {
                assert_eq!(fresh.turn_away(at(ms), path, asked, |_, _| false), Turned::Away);
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
    let mut only = Only::open();
    let invite = a_request("INVITE");
    let has_outline = |only: &mut Only| only.fresh.outline(only.path, invite.as_bytes()).is_some();
    for (place, is_told) in [
        (DialledFrom::Ruri, true),
        (DialledFrom::To, true),
        (DialledFrom::PCalledPartyId, false),
        (DialledFrom::Diversion, false),
    ] {
        only.reconfigure(|config| {
            config.trunks[0].dialled_from = vec![DialledFrom::Ruri, place];
            config.emergency = None;
        });
        assert!(has_outline(&mut only), "nobody asks for the number");
        only.reconfigure(|config| config.emergency = emergency());
        assert_eq!(has_outline(&mut only), is_told, "{place:?}");
    }
}

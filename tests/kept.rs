//! The form of a call's state stays what it is: entries that were written once are understood for ever, by what is said to
//! both parties after them. Whoever changes the form raises its version, and keeps reading this one.

#[path = "../fuzz/src/kept.rs"]
mod fuzzed;

use std::path::Path;
use std::time::Duration;

use fuzzed::{after, left, switch};
use umbra::base::id::Id;
use umbra::base::limits::{PORTS_AHEAD, PORTS_TO_BEGIN};
use umbra::base::time::Instant;
use umbra::call::kept::{self, Fate, Left, Unfit};
use umbra::call::media::{InterfaceId, MediaPort, Order, Report};
use umbra::call::port::{AskId, CallEntry, Command, Input, Output};
use umbra::call::recording::{self, Recording, Why};

fn state(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/kept");
    std::fs::read(folder.join(name)).expect("an entry")
}

/// What leaves when a process goes on with this state, and then ends the call.
fn said(state: &[u8]) -> Vec<(String, String)> {
    let (mut switch, _) = switch();
    let call = left(state, Fate::GoesOn);
    let id = call.record.call_id;
    switch.restore(after(Duration::ZERO), call).expect("readable");
    switch.handle(after(Duration::from_millis(1)), Input::Timeout);
    let hangup = Input::Order(Command::Hangup(AskId(1), id));
    switch.handle(after(Duration::from_millis(2)), hangup);
    let sent = std::iter::from_fn(|| switch.poll()).filter_map(|output| match output {
        Output::Send { to, bytes } => Some((to.to_string(), String::from_utf8(bytes).expect("text"))),
        _ => None,
    });
    sent.collect()
}

/// Whether one of the messages goes there and has all of these in it.
fn assert_said(said: &[(String, String)], to: &str, words: &[&str]) {
    let has_all = |text: &String| words.iter().all(|word| text.contains(word));
    assert!(
        said.iter().any(|(way, text)| way == to && has_all(text)),
        "nothing to {to} with {words:?} in\n{said:#?}"
    );
}

#[test]
fn an_answer_without_its_ack_is_repeated_word_for_word() {
    let said = said(&state("talking_unacked"));
    let answer = [
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.1.1.1:5060;branch=z9hG4bKatfehnqzaer;received=127.1.1.1;rport=5060\r\n",
        "From: <sip:13800000001@127.1.1.1:5060>;tag=tagamkhfhgjfvn\r\n",
        "To: <sip:17000000001@127.1.0.1:5060>;tag=HwxxDNvqJMbCfrgBJgqj\r\n",
        "Call-ID: aipytemylfa@127.1.1.1\r\nCSeq: 1 INVITE\r\nContact: <sip:127.1.0.1:5060>\r\n",
        " 1 IN IP4 127.1.0.1\r\ns=-\r\nc=IN IP4 127.1.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8 101\r\n",
    ];
    assert_said(&said, "udp:127.1.1.1:5060", &answer);
    let bye = [
        "BYE sip:13900000002@127.1.2.1:5060 SIP/2.0\r\n",
        "From: <sip:17000000001@127.1.0.1:5060>;tag=jNNkdjCjvdNJkHsJrvFv\r\n",
        "To: <sip:13900000002@127.1.2.1:5060>;tag=tagbhjkbbbhkcc\r\n",
        "Call-ID: kClDvKwNNPscmmGcBBMt\r\nCSeq: 202 BYE\r\n",
    ];
    assert_said(&said, "udp:127.1.2.1:5060", &bye);
}

#[test]
fn a_recording_that_was_too_short_is_dropped_once_more_with_its_call_and_no_other_is() {
    let ordered = |recording: Recording| {
        let (mut switch, _) = switch();
        let state = state("talking_unacked");
        let mut call = left(&state, Fate::Over);
        call.record.recording = recording;
        let id = call.record.call_id;
        // It was answered so long after it came, says its state.
        let began = call.record.arrived_at.plus(Duration::from_millis(5));
        switch.restore(after(Duration::ZERO), call).expect("readable");
        let orders = std::iter::from_fn(|| switch.poll()).filter_map(|output| match output {
            Output::Record(order) => Some(order),
            _ => None,
        });
        (id, began, orders.collect::<Vec<_>>())
    };
    let (id, began, orders) = ordered(Recording::none(Why::TooShort));
    let short = recording::TooShort {
        recording: id,
        began,
        shortest: Duration::from_secs(1),
    };
    assert_eq!(orders, [recording::Order::Drop(short)]);
    let kept = Recording {
        id: Some(id),
        fate: recording::Fate::Kept,
        sealed: None,
        paused_s: 0,
    };
    for other in [Recording::none(Why::NotAsked), kept] {
        assert_eq!(ordered(other).2, []);
    }
}

#[test]
fn a_call_that_rang_is_ended_on_both_sides() {
    let said = said(&state("ringing"));
    let refusal = [
        "SIP/2.0 480 ",
        "branch=z9hG4bKatfehnqzaer",
        "To: <sip:17000000001@127.1.0.1:5060>;tag=HwxxDNvqJMbCfrgBJgqj\r\n",
        "CSeq: 1 INVITE\r\n",
    ];
    assert_said(&said, "udp:127.1.1.1:5060", &refusal);
    let cancel = [
        "CANCEL sip:13900000002@127.1.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.1.0.1:5060;branch=z9hG4bKrkPGdjqlBNbtkfvBggMF",
        "From: <sip:17000000001@127.1.0.1:5060>;tag=jNNkdjCjvdNJkHsJrvFv\r\nTo: <sip:13900000002@127.1.2.1:5060>\r\n",
        "Call-ID: kClDvKwNNPscmmGcBBMt\r\nCSeq: 1 CANCEL\r\n",
    ];
    assert_said(&said, "udp:127.1.2.1:5060", &cancel);
    assert_said(
        &self::said(&state("ringing_answered")),
        "udp:127.1.2.1:5060",
        &["BYE ", "CSeq: 202 BYE"],
    );
}

#[test]
fn routes_names_and_a_request_that_waits_are_kept() {
    let said = said(&state("talking_by_routes"));
    assert!(
        said.iter().any(|(_, text)| text.contains("\r\nRoute: ")),
        "{said:#?}"
    );
    let said = self::said(&state("talking_named"));
    assert!(
        said.iter().all(|(_, text)| text.contains("\r\nSession-ID: ")),
        "{said:#?}"
    );
    let said = self::said(&state("talking_while_asked"));
    assert_said(
        &said,
        "udp:127.1.1.1:5060",
        &["SIP/2.0 500 ", "CSeq: 2 INVITE", "Retry-After: "],
    );
    assert_said(&said, "udp:127.1.2.1:5060", &["INVITE ", "a=sendrecv"]);
}

#[test]
fn a_session_is_refreshed_when_it_was_due_and_one_of_the_first_form_after_half_an_interval() {
    let refreshed = |name: &str, since: u64| {
        let (mut switch, _) = switch();
        let state = state(name);
        let call = Left {
            acked: true,
            ..left(&state, Fate::GoesOn)
        };
        let mut time = Duration::from_secs(since);
        switch.restore(after(time), call).expect("readable");
        let is_refresh = |output| matches!(output, Output::Send { bytes, .. } if bytes.starts_with(b"INVITE ") || bytes.starts_with(b"UPDATE "));
        while !std::iter::from_fn(|| switch.poll()).any(is_refresh) {
            time = time.max(switch.timeout().expect("it is due") - Instant::default());
            switch.handle(after(time), Input::Timeout);
        }
        time.as_secs()
    };
    assert_eq!(refreshed("talking_timed", 100), 100 + 300);
    assert_eq!(refreshed("talking_timed_until", 100), 300);
    assert_eq!(refreshed("talking_timed_until", 400), 400);
}

#[test]
fn the_media_of_a_talk_is_known_before_there_is_a_switch() {
    let (_, config) = switch();
    let outline = kept::outline(&state("talking_unacked"), &config.media).expect("readable");
    assert_eq!(*outline.call_ids[0], *b"aipytemylfa@127.1.1.1");
    assert_eq!(*outline.call_ids[1], *b"kClDvKwNNPscmmGcBBMt");
    let numbers: Vec<u16> = outline.ports.iter().map(|port| port.number()).collect();
    assert_eq!(numbers, [20_000, 20_002]);
    let [Order::Resume(near, spec), Order::Resume(far, _), Order::Join(..)] = &*outline.media else {
        panic!("{:?}", outline.media);
    };
    assert_eq!((near.number(), far.number()), (20_000, 20_002));
    assert_eq!(
        spec.payloads.iter().map(|p| p.number).collect::<Vec<_>>(),
        [8, 101]
    );
    let late = kept::outline(&state("talking_without_an_answer"), &config.media).expect("readable");
    assert!(
        matches!(*late.media, [Order::Bind(_), Order::Resume(..)]),
        "{:?}",
        late.media
    );
    let rings = kept::outline(&state("ringing"), &config.media).expect("readable");
    assert!(rings.media.is_empty() && rings.ports.is_empty());
}

/// Another call like that of `talking_unacked`: with ids and ports of its own.
fn another(n: u16) -> (Vec<u8>, Id) {
    let mut state = state("talking_unacked");
    let mut put = |old: &[u8], new: &[u8]| {
        assert_eq!(old.len(), new.len());
        let mut at = 0;
        while let Some(found) = state[at..].windows(old.len()).position(|bytes| bytes == old) {
            state[at + found..][..new.len()].copy_from_slice(new);
            at += found + new.len();
        }
        assert!(at > 0, "{old:?} stands there");
    };
    put(b"aipytemylfa", format!("aipytem{n:04}").as_bytes());
    put(
        b"kClDvKwNNPscmmGcBBMt",
        format!("kClDvKwNNPscmmGc{n:04}").as_bytes(),
    );
    // A port stands behind its address, seven bits in each byte.
    let place = |port: u16| {
        let [low, middle, high] = [port & 127, port >> 7 & 127, port >> 14].map(|bits| bits as u8);
        [127, 1, 0, 1, low | 128, middle | 128, high]
    };
    put(&place(20_000), &place(20_000 + 4 * n));
    put(&place(20_002), &place(20_002 + 4 * n));
    (state, Id::from_bits(u128::from(n) + 1))
}

#[test]
fn who_goes_on_with_many_calls_has_ports_bound_for_others_before_they_come() {
    let (mut switch, _) = switch();
    let mut binding: Vec<MediaPort> = (0..2 * PORTS_AHEAD as u16)
        .map(|at| MediaPort::new(InterfaceId(0), 20_000 + 2 * at))
        .collect();
    // Most of the ports that it has begun to bind are theirs.
    for n in 0..500 {
        let (state, id) = another(n);
        let mut call = left(&state, Fate::GoesOn);
        call.record.call_id = id;
        switch.restore(after(Duration::ZERO), call).expect("readable");
        while let Some(output) = switch.poll() {
            if let Output::Media(Order::Bind(port)) = output {
                binding.push(port);
            }
        }
    }
    assert_eq!(switch.calls(), 500);
    assert!(switch.awaits_ports(), "who calls now is better kept waiting");
    for port in binding {
        let bound = Input::Media(Report::Bound(port));
        switch.handle(after(Duration::from_millis(1)), bound);
    }
    assert!(!switch.awaits_ports());
    assert!(
        switch.berths_ready() >= PORTS_TO_BEGIN,
        "{}",
        switch.berths_ready()
    );
}

#[test]
fn what_must_not_cross_is_kept_by_every_process() {
    let (mut switch, _) = switch();
    let state = state("talking_unacked");
    switch
        .restore(after(Duration::ZERO), left(&state, Fate::GoesOn))
        .expect("readable");
    let mut outputs = std::iter::from_fn(|| switch.poll());
    let anew = outputs.find_map(|output| match output {
        Output::Journal(CallEntry::Kept { state, .. }) => Some(state),
        _ => None,
    });
    let anew = anew.expect("it is kept anew");
    let count = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).filter(|part| *part == word).count();
    for word in ["aipytemylfa@127.1.1.1", "tagamkhfhgjfvn", "tagbhjkbbbhkcc"].map(str::as_bytes) {
        // Once as its dialog's, and once as what the other side must never see.
        assert!(count(&state, word) > 1);
        assert_eq!(count(&anew, word), count(&state, word));
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_a_sentence() {
    let (_, config) = switch();
    let whole = state("talking_timed_until");
    let read = |bytes: &[u8]| kept::outline(bytes, &config.media).map(|_| ());
    let mut newer = whole.clone();
    newer[0] = kept::form() + 1;
    assert_eq!(read(&newer), Err(Unfit::Newer(kept::form() + 1)));
    for length in 0..whole.len() {
        assert_eq!(
            read(&whole[..length]),
            Err(Unfit::Unreadable),
            "{length} bytes of it"
        );
    }
    assert_eq!(
        read(&[&*whole, &[0]].concat()),
        Err(Unfit::Unreadable),
        "a byte too many"
    );
    assert_eq!(read(&whole), Ok(()));
}

#[test]
fn no_harm_to_a_state_leaves_anything_behind() {
    for name in ["talking_timed_until", "ringing", "talking_while_asked"] {
        let whole = state(name);
        for at in (0..whole.len()).step_by(11) {
            for byte in [0xff, whole[at] ^ 1] {
                let mut harmed = whole.clone();
                harmed[at] = byte;
                fuzzed::run(&harmed);
            }
        }
    }
}

/// What leaves when a process finds this state of a call whose finished record, with this status, stands already.
fn said_of_one_that_is_over(state: &[u8], status: u16) -> Vec<(String, String)> {
    let (mut switch, _) = switch();
    let mut call = left(state, Fate::Over);
    call.record.sip_status = status;
    switch.restore(after(Duration::ZERO), call).expect("readable");
    let mut said = Vec::new();
    while let Some(output) = switch.poll() {
        match output {
            Output::Send { to, bytes } => {
                said.push((to.to_string(), String::from_utf8(bytes).expect("text")));
            }
            Output::Cdr(..) | Output::Journal(_) | Output::Event(_) => {
                panic!("it is recorded twice: {output:?}")
            }
            Output::Record(_) => panic!("it is recorded again: {output:?}"),
            Output::Media(_)
            | Output::Ask(..)
            | Output::Told(_)
            | Output::Answer(..)
            | Output::Note(_)
            | Output::Legs(_)
            | Output::Registration(_)
            | Output::CalleeUsed(_) => {}
        }
    }
    said
}

#[test]
fn both_sides_of_a_call_that_was_over_are_told_and_nothing_is_recorded_again() {
    let said = said_of_one_that_is_over(&state("talking_unacked"), 200);
    assert_said(
        &said,
        "udp:127.1.2.1:5060",
        &["BYE sip:13900000002@127.1.2.1:5060 SIP/2.0\r\n"],
    );
    let said = said_of_one_that_is_over(&state("ringing"), 486);
    assert_said(
        &said,
        "udp:127.1.1.1:5060",
        &["SIP/2.0 486 ", "CSeq: 1 INVITE\r\n"],
    );
    assert_said(
        &said,
        "udp:127.1.2.1:5060",
        &["CANCEL sip:13900000002@127.1.2.1:5060 SIP/2.0\r\n"],
    );
}

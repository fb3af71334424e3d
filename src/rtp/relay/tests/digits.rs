//! Keys that we press ourselves, as RFC 4733 events.

use super::*;
use crate::base::limits::DIGITS_WAITING_MAX;
use crate::rtp::dtmf::{Digit, Key, Pressed};

/// An event's packet as B's peer sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Event {
    at: Instant,
    marker: bool,
    number: u8,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    code: u8,
    is_end: bool,
    ticks: u16,
}

impl Bench {
    fn press(&mut self, letter: u8, ms: u64) -> Pressed {
        let digit = Digit {
            key: Key::of(letter).expect("a key"),
            lasts: Duration::from_millis(ms),
        };
        self.relay.digit(self.now, B, digit)
    }

    /// What was said to B so far, reports left out.
    fn said(&mut self) -> Vec<Event> {
        let now = self.now;
        std::iter::from_fn(|| self.relay.poll_out())
            .filter(|(port, ..)| *port == B)
            .map(|(_, to, bytes)| {
                assert_eq!(to, b());
                let (header, payload) = packet::read(&bytes).expect("an event is RTP");
                let [code, flags, high, low] = bytes[payload] else {
                    panic!("an event has four bytes");
                };
                assert_eq!(flags & 0x7f, 10, "RFC 4733 §2.3: reserved bit zero, -10 dBm0");
                Event {
                    at: now,
                    marker: header.marker,
                    number: header.payload_type,
                    seq: header.seq,
                    timestamp: header.timestamp,
                    ssrc: header.ssrc,
                    code,
                    is_end: flags & 0x80 != 0,
                    ticks: u16::from_be_bytes([high, low]),
                }
            })
            .collect()
    }

    /// Lets `ms` pass; what was said to B meanwhile, each packet when it was due.
    fn listen(&mut self, ms: u64) -> Vec<Event> {
        let end = self.now + Duration::from_millis(ms);
        let mut said = self.said();
        while let Some(at) = self.relay.timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.relay.tick(self.now);
            said.extend(self.said());
        }
        self.now = end;
        said
    }
}

// RFC 4733 §2.5.1
#[test]
fn a_key_is_heard_on_the_timeline_of_the_audio_and_the_audio_goes_on_behind_it() {
    let mut bench = Bench::new();
    bench.audio(1);
    let before = bench.audio(2).expect("relayed").header;
    bench.wait(20);
    let pressed_at = bench.now;
    assert_eq!(bench.press(b'5', 100), Pressed::Yes);
    let mut said = Vec::new();
    for seq in 3..9 {
        said.extend(bench.said());
        assert_eq!(bench.send(A, a(), &audio(SSRC_A, seq)), None, "{seq} is dropped");
        said.extend(bench.listen(20));
    }
    let ticks: Vec<_> = said.iter().map(|event| (event.is_end, event.ticks)).collect();
    assert_eq!(
        ticks,
        [
            (false, 160),
            (false, 320),
            (false, 480),
            (false, 640),
            (true, 800),
            (true, 800),
            (true, 800)
        ]
    );
    for (index, event) in said.iter().enumerate() {
        assert_eq!(event.at, pressed_at + Duration::from_millis(20) * index as u32);
        assert_eq!(event.seq, before.seq.wrapping_add(1 + index as u16));
        assert_eq!(event.timestamp, before.timestamp.wrapping_add(160));
        assert_eq!((event.marker, event.code), (index == 0, 5));
        assert_eq!((event.number, event.ssrc), (101, before.ssrc));
    }
    // The audio comes back where its clock has got to: 140 ms after the last packet before the key.
    bench.wait(1);
    let after = bench.send(A, a(), &audio(SSRC_A, 9)).expect("relayed").header;
    assert_eq!(after.seq, before.seq.wrapping_add(8));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(160 * 7 + 8));
    assert!(after.marker);
    let next = bench.audio(10).expect("relayed").header;
    assert_eq!(next.timestamp, after.timestamp.wrapping_add(160));
    assert!(!next.marker);
    assert_eq!(bench.counts(B).digits, 1);
}

#[test]
fn keys_are_heard_one_after_the_other_with_silence_between() {
    let mut bench = Bench::new();
    bench.audio(1);
    for letter in *b"12#" {
        assert_eq!(bench.press(letter, 40), Pressed::Yes);
    }
    let said = bench.listen(1_000);
    let codes: Vec<_> = said.iter().filter(|e| e.marker).map(|e| e.code).collect();
    assert_eq!(codes, [1, 2, 11]);
    for (event, next) in said.iter().zip(said.iter().skip(1)) {
        assert_eq!(next.seq, event.seq.wrapping_add(1));
        if next.marker {
            let apart = next.timestamp.wrapping_sub(event.timestamp);
            assert_eq!(apart, 8 * 80, "40 ms of key, 40 ms of silence");
        } else {
            assert_eq!(next.timestamp, event.timestamp);
        }
    }
    assert_eq!(bench.audio(60).map(|got| got.header.marker), Some(true));
}

#[test]
fn a_key_may_be_the_first_thing_that_is_heard() {
    let mut bench = Bench::new();
    assert_eq!(bench.press(b'*', 40), Pressed::Yes);
    let said = bench.listen(100);
    assert_eq!(said.len(), 4);
    assert!(said[0].marker);
    let audio = bench.audio(1).expect("relayed").header;
    assert_eq!(audio.ssrc, said[0].ssrc);
    assert_eq!(audio.seq, said[3].seq.wrapping_add(1));
    assert_eq!(audio.timestamp, said[0].timestamp.wrapping_add(8 * 120));
}

#[test]
fn an_event_runs_at_the_audios_clock_if_the_leg_agreed_on_one() {
    let mut to_b = spec(b());
    for payload in &mut to_b.payloads {
        if payload.is_event {
            payload.number = 100;
        }
    }
    to_b.payloads.push(Payload {
        number: 102,
        other: None,
        clock_hz: 16_000,
        coding: None,
        is_event: true,
    });
    let mut bench = Bench::with(spec(a()), to_b);
    let wide = Header {
        payload_type: 9,
        ..audio(SSRC_A, 1)
    };
    let before = bench.send(A, a(), &wide).expect("relayed").header;
    bench.wait(20);
    bench.press(b'9', 40);
    let said = bench.listen(200);
    let ticks: Vec<_> = said.iter().map(|e| (e.number, e.ticks)).collect();
    assert_eq!(ticks, [(102, 320), (102, 640), (102, 640), (102, 640)]);
    assert_eq!(said[0].timestamp, before.timestamp.wrapping_add(320));
}

#[test]
fn a_leg_without_events_or_on_hold_hears_no_key() {
    let without = |change: fn(&mut FlowSpec)| {
        let mut to_b = spec(b());
        change(&mut to_b);
        let mut bench = Bench::with(spec(a()), to_b);
        assert_eq!(bench.press(b'1', 100), Pressed::NoEvents);
        assert_eq!(bench.listen(200), []);
        let counts = bench.counts(B);
        assert_eq!((counts.digits, counts.digits_dropped), (0, 1));
    };
    without(|to_b| to_b.payloads.retain(|payload| !payload.is_event));
    without(|to_b| to_b.way = Way::Receive);
    without(|to_b| to_b.remote = None);
}

#[test]
fn a_hold_in_the_middle_of_a_key_ends_it_and_those_behind_it() {
    let mut bench = Bench::new();
    for letter in *b"12" {
        bench.press(letter, 400);
    }
    assert_eq!(bench.listen(50).len(), 3);
    let held = FlowSpec {
        way: Way::Receive,
        ..spec(b())
    };
    bench.relay.change(bench.now, B, &held);
    assert_eq!(bench.listen(1_000), []);
    bench.relay.change(bench.now, B, &spec(b()));
    assert!(bench.audio(1).is_some(), "the audio is relayed again");
    assert_eq!(bench.press(b'3', 40), Pressed::Yes);
    assert_eq!(bench.listen(200).len(), 4);
    let counts = bench.counts(B);
    assert_eq!((counts.digits, counts.digits_dropped), (2, 2));
}

#[test]
fn too_many_keys_are_not_pressed() {
    let mut bench = Bench::new();
    // The first is down already.
    for _ in 0..=DIGITS_WAITING_MAX {
        assert_eq!(bench.press(b'1', 40), Pressed::Yes);
    }
    assert_eq!(bench.press(b'1', 40), Pressed::Full);
    assert_eq!(bench.counts(B).digits_dropped, 1);
}

#[test]
fn a_flow_that_ends_takes_its_keys_along() {
    let mut bench = Bench::new();
    bench.press(b'1', 400);
    assert_eq!(bench.listen(50).len(), 3);
    bench.relay.close(bench.now, B);
    while bench.relay.poll_out().is_some() {}
    bench.relay.open(bench.now, B, &spec(b()));
    bench.relay.join(bench.now, A, B);
    assert_eq!(bench.listen(100), []);
    bench.press(b'2', 40);
    let said = bench.listen(100);
    assert_eq!(said.iter().map(|e| e.code).collect::<Vec<_>>(), [2, 2, 2, 2]);
}

//! Sounds of ours among what is relayed.

use std::f64::consts::TAU;
use std::sync::Arc;

use super::*;
use crate::rtp::clip::{Clip, Coding, Play, Repeats};
use crate::rtp::dtmf::{Digit, Key};
use crate::rtp::g711::Law;
use crate::rtp::g722::Decoder;

const FRAME_MS: u64 = 20;

fn play(frames: usize, repeats: Repeats) -> Play {
    // Each frame's code is its number, so that one sees which is heard.
    let samples: Vec<i16> = (0..frames * 160)
        .map(|at| Law::A.decode((at / 160) as u8))
        .collect();
    Play::new(Arc::new(Clip::new(&samples, repeats)), Coding::A, 8)
}

/// What leaves at a moment.
struct Said {
    at: Instant,
    port: u32,
    to: SocketAddr,
    header: Header,
    payload: Vec<u8>,
}

impl Bench {
    fn speak(&mut self) -> Vec<Said> {
        let (mut said, at) = (Vec::new(), self.now);
        self.relay.speak(at, |port, to, bytes| {
            let (header, payload) = packet::read(bytes).expect("it is RTP");
            let payload = bytes[payload].to_vec();
            said.push(Said {
                at,
                port,
                to,
                header,
                payload,
            });
        });
        said
    }

    /// Lets `ms` pass, with everything done when it is due.
    fn hear(&mut self, ms: u64) -> Vec<Said> {
        let end = self.now + Duration::from_millis(ms);
        let mut said = Vec::new();
        while let Some(at) = self.relay.timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.relay.tick(self.now);
            said.extend(self.speak());
        }
        self.now = end;
        said
    }
}

fn frame_of(said: &Said) -> u8 {
    said.payload[0]
}

#[test]
fn frames_leave_every_20_ms_on_one_timeline() {
    let mut bench = Bench::new();
    bench.wait(3);
    bench.relay.play(bench.now, A, &play(5, Repeats::Forever));
    let said = bench.hear(2_000);
    assert_eq!(said.len(), 100);
    assert!(said.iter().all(|said| (said.port, said.to) == (A, a())));
    for (n, pair) in said.windows(2).enumerate() {
        let [one, next] = pair else {
            unreachable!("windows of two")
        };
        assert_eq!(next.at - one.at, Duration::from_millis(FRAME_MS), "{n}");
        assert_eq!(next.header.seq, one.header.seq.wrapping_add(1));
        assert_eq!(next.header.timestamp, one.header.timestamp.wrapping_add(160));
        assert_eq!(next.header.ssrc, one.header.ssrc);
        assert!(!next.header.marker);
    }
    assert!(said[0].header.marker);
    let heard: Vec<u8> = said.iter().map(frame_of).collect();
    assert_eq!(heard[..7], [0, 1, 2, 3, 4, 0, 1]);
}

#[test]
fn the_stream_goes_on_from_the_peer_to_us_and_back_without_a_jump() {
    let mut bench = Bench::new();
    let relayed = bench.answer(10).expect("B is heard by A");
    bench.wait(FRAME_MS);
    bench.relay.play(bench.now, A, &play(5, Repeats::Forever));
    assert_eq!(bench.answer(11), None, "B isn't heard beside it");
    let said = bench.hear(200);
    assert_eq!(said[0].header.ssrc, relayed.header.ssrc);
    assert_eq!(said[0].header.seq, relayed.header.seq.wrapping_add(1));
    let passed = said[0].header.timestamp.wrapping_sub(relayed.header.timestamp);
    assert_eq!(passed, 160);
    bench.relay.hush(A);
    assert!(bench.hear(100).is_empty());
    let again = bench.answer(12).expect("B is heard again");
    let last = said.last().expect("there are some");
    assert_eq!(again.header.ssrc, last.header.ssrc);
    assert_eq!(again.header.seq, last.header.seq.wrapping_add(1));
    let silent = bench.now - last.at;
    assert_eq!(
        u64::from(again.header.timestamp.wrapping_sub(last.header.timestamp)),
        silent.as_millis() as u64 * 8
    );
    assert!(again.header.marker);
    assert!(bench.audio(1).is_some(), "B hears A all the time");
}

#[test]
fn a_thread_that_comes_late_says_what_is_due_and_leaves_out_what_is_too_old() {
    let mut bench = Bench::new();
    bench.relay.play(bench.now, A, &play(50, Repeats::Forever));
    let first = bench.hear(0);
    bench.wait(65);
    let late = bench.speak();
    assert_eq!(late.iter().map(frame_of).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(late.iter().all(|said| !said.header.marker));
    bench.wait(515);
    let late = bench.speak();
    // Due were 4 to 29.
    assert_eq!(
        late.iter().map(frame_of).collect::<Vec<_>>(),
        [25, 26, 27, 28, 29]
    );
    assert!(late[0].header.marker, "something was left out");
    let passed = late[0].header.timestamp.wrapping_sub(first[0].header.timestamp);
    assert_eq!(passed, 25 * 160, "and the clock went on");
    assert_eq!(late[0].header.seq, first[0].header.seq.wrapping_add(4));
    assert!(bench.relay.timeout().is_some_and(|at| at > bench.now));
}

#[test]
fn what_is_played_once_ends_by_itself() {
    let mut bench = Bench::new();
    bench.relay.play(bench.now, A, &play(3, Repeats::Once));
    assert_eq!(bench.hear(1_000).len(), 3);
    assert!(bench.answer(7).is_some(), "then B is heard");
}

#[test]
fn another_sound_goes_on_where_the_one_before_ends() {
    let mut bench = Bench::new();
    bench.relay.play(bench.now, A, &play(50, Repeats::Forever));
    let one = bench.hear(100).pop().expect("it is heard");
    bench.relay.play(bench.now, A, &play(2, Repeats::Once));
    let next = bench.hear(100);
    assert_eq!(next.iter().map(frame_of).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(next[0].header.seq, one.header.seq.wrapping_add(1));
    assert_eq!(next[0].header.timestamp, one.header.timestamp.wrapping_add(160));
    assert!(!next[0].header.marker);
}

#[test]
fn a_sound_that_follows_one_that_was_hushed_waits_for_the_end_of_its_last_frame() {
    for ms in [100, 103] {
        let mut bench = Bench::new();
        bench.relay.play(bench.now, A, &play(50, Repeats::Forever));
        let one = bench.hear(ms).pop().expect("it is heard");
        bench.relay.hush(A);
        bench.relay.play(bench.now, A, &play(2, Repeats::Once));
        let next = bench.hear(100);
        assert_eq!(next.iter().map(frame_of).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(next[0].at - one.at, Duration::from_millis(FRAME_MS));
        assert_eq!(next[0].header.timestamp, one.header.timestamp.wrapping_add(160));
        assert!(!next[0].header.marker, "nobody was silent");
    }
}

#[test]
fn a_sound_that_follows_one_that_ended_goes_on_with_its_beat_however_late_it_is_told() {
    for late_ms in [0, 3, 19, 21, 64, 1_007] {
        let mut bench = Bench::new();
        bench.relay.play(bench.now, A, &play(3, Repeats::Once));
        let last = bench.hear(2 * FRAME_MS).pop().expect("it is heard");
        assert!(bench.hear(FRAME_MS).is_empty(), "it is over");
        bench.wait(late_ms);
        bench.relay.play(bench.now, A, &play(2, Repeats::Once));
        let next = bench.hear(100);
        assert_eq!(next.iter().map(frame_of).collect::<Vec<_>>(), [0, 1]);
        let missed = late_ms / FRAME_MS;
        let passed = next[0].header.timestamp.wrapping_sub(last.header.timestamp);
        assert_eq!(u64::from(passed), (1 + missed) * 160, "{late_ms} ms");
        assert_eq!(next[0].header.marker, missed > 0, "{late_ms} ms");
    }
}

#[test]
fn nothing_is_said_to_who_holds_or_has_no_address() {
    for held in [
        FlowSpec {
            way: Way::Receive,
            ..spec(a())
        },
        FlowSpec {
            remote: None,
            ..spec(a())
        },
    ] {
        let mut bench = Bench::with(held, spec(b()));
        bench.relay.play(bench.now, A, &play(50, Repeats::Forever));
        assert!(bench.hear(100).is_empty());
        bench.relay.change(bench.now, A, &spec(a()));
        let said = bench.hear(100);
        assert_eq!(frame_of(&said[0]), 6, "the sound has gone on");
        assert!(said[0].header.marker);
    }
}

#[test]
fn a_key_is_heard_alone_and_the_sound_goes_on_after_it() {
    let mut bench = Bench::new();
    bench.relay.play(bench.now, A, &play(50, Repeats::Forever));
    bench.hear(40);
    let digit = Digit {
        key: Key::of(b'5').expect("a key"),
        lasts: Duration::from_millis(80),
    };
    bench.relay.digit(bench.now, A, digit);
    let events = bench.relay.poll_out().expect("the key's first packet");
    let (event, _) = packet::read(&events.2).expect("it is RTP");
    let mut said = bench.hear(400);
    let first = said.remove(0);
    assert!(first.header.marker && frame_of(&first) > 5);
    assert_eq!(first.header.ssrc, event.ssrc);
    assert!(first.header.timestamp.wrapping_sub(event.timestamp) >= 80 * 8);
    assert_eq!(bench.answer(1), None, "B isn't heard yet");
    bench.relay.hush(A);
    assert!(bench.answer(2).is_some());
}

#[test]
fn what_is_heard_in_each_coding_is_what_was_played() {
    // Syllables of a voice: a pitch that glides, with overtones, that swells and fades.
    let samples: Vec<i16> = (0..16_000)
        .map(|at| {
            let t = f64::from(at) / 8_000.0;
            let pitch = TAU * (120.0 * t + 20.0 * (TAU * 0.7 * t).sin());
            let voice: f64 = (1..20).map(|n| (pitch * f64::from(n)).sin() / f64::from(n)).sum();
            (4_000.0 * voice * (TAU * 2.0 * t).sin().abs()) as i16
        })
        .collect();
    let clip = Arc::new(Clip::new(&samples, Repeats::Once));
    // The filters of G.722 look five or six samples ahead: 11 at its rate.
    for (coding, late, least) in [
        (Coding::A, 0, 0.99),
        (Coding::Mu, 0, 0.99),
        (Coding::G722, 6, 0.95),
    ] {
        let mut bench = Bench::new();
        let play = Play::new(clip.clone(), coding, coding.payload());
        bench.relay.play(bench.now, A, &play);
        let said = bench.hear(2_100);
        assert_eq!(said.len(), 100, "two seconds, and no more");
        assert!(
            said.iter()
                .all(|said| said.header.payload_type == coding.payload())
        );
        let codes: Vec<u8> = said.into_iter().flat_map(|said| said.payload).collect();
        let law = |law: Law| codes.iter().map(|code| law.decode(*code)).collect::<Vec<_>>();
        let heard = match coding {
            Coding::A => law(Law::A),
            Coding::Mu => law(Law::Mu),
            Coding::G722 => {
                let mut room = vec![0; codes.len()];
                Decoder::default().low_band(&codes, &mut room).to_vec()
            }
        };
        let alike = correlation(&samples, &heard[late..]);
        assert!(alike > least, "{coding:?}: {alike}");
        let elsewhere = correlation(&samples, &heard[late + 40..]);
        assert!(elsewhere < 0.9, "{coding:?}: {elsewhere} a little later");
    }
}

/// How alike two sounds are: 1 if one is as the other, only louder.
fn correlation(one: &[i16], other: &[i16]) -> f64 {
    let pairs = one.iter().zip(other).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let (mut both, mut a2, mut b2) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        both += a * b;
        a2 += a * a;
        b2 += b * b;
    }
    both / (a2 * b2).sqrt()
}

#[test]
fn a_flow_that_ends_plays_no_more() {
    let mut bench = Bench::new();
    bench.relay.play(bench.now, A, &play(50, Repeats::Forever));
    bench.hear(40);
    let counts = bench.counts(A);
    assert_eq!(counts.packets_out, 3);
    bench.relay.close(bench.now, B);
    assert!(bench.hear(1_000).is_empty());
    assert_eq!(bench.relay.timeout(), None);
    bench.relay.play(bench.now, A, &play(50, Repeats::Forever));
    assert_eq!(bench.relay.timeout(), None, "there is no flow");
}

#[test]
fn a_sound_at_another_clock_is_another_stream() {
    let mut bench = Bench::new();
    let wide = Header {
        payload_type: 9,
        ..audio(SSRC_B, 4)
    };
    let relayed = bench.send(B, b(), &wide).expect("wide-band audio is heard");
    bench.relay.play(bench.now, A, &play(50, Repeats::Forever));
    let said = bench.hear(20);
    // RFC 7160 §4.1
    assert_ne!(said[0].header.ssrc, relayed.header.ssrc);
    assert!(said[0].header.marker);
}

#[test]
fn many_are_said_in_four_rounds() {
    let mut relay = Relay::new(Chance::from_number(7), 20_000, 23_999, WALL);
    let mut now = Instant::from_micros(1_000_000);
    let sound = play(5, Repeats::Forever);
    for n in 0..1_000 {
        relay.open(now, 20_000 + 2 * n, &spec(a()));
        relay.play(now, 20_000 + 2 * n, &sound);
        now = now + Duration::from_micros(20);
    }
    let (mut wakes, mut said) = (0, 0);
    let end = now + Duration::from_secs(1);
    while let Some(at) = relay.timeout().filter(|at| *at < end) {
        now = at;
        relay.tick(now);
        while relay.poll_out().is_some() {}
        relay.speak(now, |_, _, _| said += 1);
        wakes += 1;
    }
    assert!((50_000..=51_000).contains(&said), "{said}");
    assert!(wakes <= 210, "{wakes}");
}

#[test]
fn a_report_tells_of_what_was_played() {
    let mut bench = Bench::new();
    bench.relay.play(bench.now, A, &play(5, Repeats::Forever));
    let mut reports = Vec::new();
    let mut said = 0;
    while reports.is_empty() {
        let at = bench.relay.timeout().expect("it goes on");
        bench.now = at;
        bench.relay.tick(at);
        while let Some((port, _, bytes)) = bench.relay.poll_out() {
            if port & !1 == A {
                reports.push((bytes, at, said));
            }
        }
        said += bench.speak().len() as u32;
    }
    let (bytes, at, packets) = reports.remove(0);
    let heard = rtcp::read(&bytes, 0).expect("it is RTCP");
    assert!(heard.sent.is_some(), "a sender report");
    // RFC 3550 §6.4.1: packets and octets follow the timestamp.
    let word = |n: usize| u32::from_be_bytes(bytes[n * 4..n * 4 + 4].try_into().expect("four bytes"));
    assert_eq!((word(5), word(6)), (packets, packets * 160));
    let next = bench.hear(20).remove(0);
    let ahead = next.header.timestamp.wrapping_sub(word(4));
    assert_eq!(u64::from(ahead), (next.at - at).as_micros() as u64 * 8 / 1_000);
}

#[test]
fn who_joins_a_round_that_was_just_said_hears_every_frame() {
    let mut bench = Bench::new();
    bench.relay.play(bench.now, A, &play(5, Repeats::Once));
    let mut said = bench.speak();
    bench.relay.play(bench.now, B, &play(5, Repeats::Once));
    said.extend(bench.hear(200));
    for port in [A, B] {
        let heard: Vec<u8> = said.iter().filter(|s| s.port == port).map(frame_of).collect();
        assert_eq!(heard, [0, 1, 2, 3, 4], "port {port}");
    }
}

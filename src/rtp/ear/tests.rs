use super::*;
use crate::rtp::clip::Coding;
use crate::rtp::g722::{Encoder, SAMPLE_RATE_HZ};
use crate::rtp::resample::resampled;
use crate::rtp::tone::Tone;

const PACKET: usize = 160;

/// The key `5` for so many milliseconds, and a pause as long, so many times; silence before and behind.
fn fives(times: usize, ms: usize) -> Vec<i16> {
    let mut all = vec![0; 500];
    for _ in 0..times {
        let (row, column) = (Tone::new(770, 6_000), Tone::new(1_336, 6_000));
        let pair = [row, column].map(|mut tone| tone.samples(ms * 8));
        all.extend(pair[0].iter().zip(&pair[1]).map(|(row, column)| row + column));
        all.resize(all.len() + ms * 8, 0);
    }
    all.resize((all.len() + 800).next_multiple_of(PACKET), 0);
    all
}

fn coded(samples: &[i16], coding: Coding) -> Vec<u8> {
    let mut codes = Vec::new();
    match coding {
        Coding::A => Law::A.encode_all(samples, &mut codes),
        Coding::Mu => Law::Mu.encode_all(samples, &mut codes),
        Coding::G722 => Encoder::default().encode(&resampled(samples, 8_000, SAMPLE_RATE_HZ), &mut codes),
    }
    codes
}

/// The packets of a sound: sequence number, timestamp, codes.
fn packets(samples: &[i16], coding: Coding, size: usize) -> Vec<(u16, u32, Vec<u8>)> {
    let codes = coded(samples, coding);
    let packets = (0_u16..).zip(codes.chunks(size));
    let start = u32::MAX - 3_000;
    packets
        .map(|(n, codes)| (n, start.wrapping_add(u32::from(n) * size as u32), codes.to_vec()))
        .collect()
}

fn heard(packets: &[(u16, u32, Vec<u8>)], coding: Coding) -> (usize, usize) {
    heard_at(packets, coding, |timestamp| {
        timestamp.wrapping_sub(u32::MAX - 3_000) / 8
    })
}

/// The same of packets that come so many milliseconds after the first.
fn heard_at(packets: &[(u16, u32, Vec<u8>)], coding: Coding, ms: impl Fn(u32) -> u32) -> (usize, usize) {
    let mut ear = Ear::default();
    let payload = Payload {
        number: 97,
        other: None,
        clock_hz: 8_000,
        coding: Some(coding),
        is_event: false,
    };
    let (mut down, mut up) = (0, 0);
    for (seq, timestamp, codes) in packets {
        let header = Header {
            marker: false,
            payload_type: 97,
            seq: *seq,
            timestamp: *timestamp,
            ssrc: 1,
        };
        let now = Instant::default() + Duration::from_millis(ms(*timestamp).into());
        ear.hear(now, &header, Some(&payload), codes, |heard| {
            assert_eq!((heard.key.letter(), heard.by), (b'5', By::Tone));
            match heard.stroke {
                Stroke::Down => down += 1,
                Stroke::Up => up += 1,
            }
        });
    }
    (down, up)
}

#[test]
fn tones_are_heard_in_every_coding_and_in_packets_of_any_length() {
    for coding in [Coding::A, Coding::Mu, Coding::G722] {
        for size in [40, 80, 160, 240, 320, 1_600] {
            let packets = packets(&fives(7, 50), coding, size);
            assert_eq!(heard(&packets, coding), (7, 7), "{coding:?}, {size} bytes");
        }
    }
    // More than anybody packs is not looked at.
    let one = packets(&fives(40, 50), Coding::A, 1 << 15);
    assert_eq!(heard(&one, Coding::A).0, 2);
}

#[test]
fn a_lost_a_late_and_a_doubled_packet_make_no_key_and_break_none() {
    let whole = packets(&fives(1, 400), Coding::A, PACKET);
    let is_key = |n: &usize| (5..20).contains(n);
    for lost in (0..whole.len()).filter(is_key) {
        let mut some = whole.clone();
        some.remove(lost);
        assert_eq!(heard(&some, Coding::A), (1, 1), "without {lost}");
        some.remove(lost);
        assert_eq!(heard(&some, Coding::A), (1, 1), "without {lost} and the next");
        let mut turned = whole.clone();
        turned.swap(lost, lost + 1);
        assert_eq!(heard(&turned, Coding::A), (1, 1), "{lost} late");
        let mut doubled = whole.clone();
        doubled.insert(lost, whole[lost].clone());
        assert_eq!(heard(&doubled, Coding::A), (1, 1), "{lost} twice");
    }
}

#[test]
fn what_comes_after_a_gap_is_another_key() {
    let mut apart = packets(&fives(1, 200), Coding::A, PACKET);
    apart.truncate(8);
    let mut next = apart.clone();
    for (seq, timestamp, _) in &mut next {
        (*seq, *timestamp) = (seq.wrapping_add(8), timestamp.wrapping_add(8_000));
    }
    apart.append(&mut next);
    assert_eq!(heard(&apart, Coding::A), (2, 1));
}

#[test]
fn what_comes_faster_than_it_can_be_said_is_not_listened_to_for_long() {
    let packets = packets(&fives(100, 50), Coding::A, PACKET);
    assert_eq!(heard(&packets, Coding::A), (100, 100));
    let (down, _) = heard_at(&packets, Coding::A, |_| 0);
    assert!((9..=11).contains(&down), "a second of it: {down}");
}

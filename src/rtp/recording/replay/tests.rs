use opus_pure::{Application, OpusEncoder};

use super::*;
use crate::base::chance::Chance;
use crate::rtp::g711::Law;
use crate::rtp::tone::{Tone, share};

const CALLER: Whose = Whose {
    channel: Channel::Caller,
    ssrc: 0x0a0a_0a0a,
    payload_type: 8,
    clock_hz: 8_000,
};
const CALLEE: Whose = Whose {
    channel: Channel::Callee,
    ssrc: 0x0b0b_0b0b,
    payload_type: 111,
    clock_hz: 48_000,
};

/// A packet of a stream, heard so many milliseconds after the begin.
fn packet(whose: Whose, at_ms: u64, seq: u16, timestamp: u32, payload: &[u8]) -> (u32, Vec<u8>) {
    let mut bytes = vec![0; packet::HEADER_BYTES];
    bytes.extend_from_slice(payload);
    let header = Header {
        marker: false,
        payload_type: whose.payload_type,
        seq,
        timestamp,
        ssrc: whose.ssrc,
    };
    let range = packet::HEADER_BYTES..bytes.len();
    packet::write(&header, &mut bytes, range).expect("there is room");
    (at_ms as u32, bytes)
}

/// A tone in PCMA: 20 ms each, from then on.
fn pcma(hz: u16, from_ms: u64, packets: usize) -> Vec<(u32, Vec<u8>)> {
    let mut codes = Vec::new();
    Law::A.encode_all(&Tone::new(hz, 8_000).samples(packets * 160), &mut codes);
    let pieces = codes.chunks(160).enumerate();
    pieces
        .map(|(n, codes)| {
            packet(
                CALLER,
                from_ms + n as u64 * 20,
                n as u16,
                7 + n as u32 * 160,
                codes,
            )
        })
        .collect()
}

/// The same in Opus. Its numbers and timestamps wrap on the way.
fn opus(hz: f32, from_ms: u64, packets: usize) -> Vec<(u32, Vec<u8>)> {
    let mut encoder = OpusEncoder::new(16_000, 1, Application::Voip).expect("an encoder");
    encoder.bitrate_bps = 24_000;
    let turn = std::f32::consts::TAU * hz / 16_000.0;
    let samples: Vec<f32> = (0..packets * 320)
        .map(|n| (n as f32 * turn).sin() * 0.25)
        .collect();
    let pieces = samples.chunks(320).enumerate();
    pieces
        .map(|(n, samples)| {
            let mut payload = vec![0; 1_500];
            let bytes = encoder.encode(samples, 320, &mut payload).expect("room");
            let (seq, timestamp) = (
                65_500_u16.wrapping_add(n as u16),
                (n as u32 * 960).wrapping_sub(20_000),
            );
            packet(
                CALLEE,
                from_ms + n as u64 * 20,
                seq,
                timestamp,
                payload.get(..bytes).expect("it wrote them"),
            )
        })
        .collect()
}

/// Both channels of what these packets make.
fn played(streams: &[Whose], mut packets: Vec<(u32, Vec<u8>)>, end_ms: u64) -> ([Vec<i16>; 2], Count) {
    packets.sort_by_key(|(at_ms, _)| *at_ms);
    let mut replay = Replay::new(streams.to_vec());
    let mut channels = [Vec::new(), Vec::new()];
    let take = |replay: &mut Replay, channels: &mut [Vec<i16>; 2], at_ms| {
        while let Some(block) = replay.poll(at_ms) {
            for [left, right] in block.frames.as_chunks::<2>().0 {
                channels[0].push(*left);
                channels[1].push(*right);
            }
            replay.reuse(block.frames);
        }
    };
    for (at_ms, bytes) in &packets {
        replay.hear(*at_ms, bytes);
        take(&mut replay, &mut channels, *at_ms);
    }
    replay.end(end_ms);
    take(&mut replay, &mut channels, u32::MAX);
    let samples = end_ms * u64::from(replay.rate().hz()) / 1_000;
    assert!(
        channels.iter().all(|channel| channel.len() as u64 == samples),
        "as long as it took"
    );
    (channels, replay.count())
}

/// How much of what is heard from there on, for so long, is that tone: at 16 kHz, and `share` reads 8.
fn tone_at(samples: &[i16], from_ms: usize, ms: usize, hz: u16) -> f64 {
    share(&samples[from_ms * 16..(from_ms + ms) * 16], hz / 2)
}

fn is_silent(samples: &[i16], from_ms: usize, until_ms: usize) -> bool {
    samples[from_ms * 16..until_ms * 16]
        .iter()
        .all(|sample| *sample == 0)
}

#[test]
fn both_sides_lie_where_they_were_heard_whatever_they_spoke() {
    let packets = [pcma(400, 500, 100), opus(1_000.0, 1_000, 100)].concat();
    let ([left, right], count) = played(&[CALLER, CALLEE], packets, 4_000);
    assert!(is_silent(&left, 0, 499) && is_silent(&left, 2_502, 4_000));
    assert!(tone_at(&left, 520, 1_960, 400) > 0.95);
    assert!(is_silent(&right, 0, 999) && is_silent(&right, 3_001, 4_000));
    assert!(tone_at(&right, 1_040, 1_920, 1_000) > 0.95);
    let wanted = Count {
        audio: 200,
        broken: 0,
        unread: 0,
    };
    assert_eq!(count, wanted);
}

#[test]
fn what_didnt_come_is_silence_and_moves_nothing() {
    let mut packets = opus(1_000.0, 0, 150);
    packets.drain(50..100);
    let ([_, right], _) = played(&[CALLEE], packets, 3_000);
    assert!(tone_at(&right, 100, 890, 1_000) > 0.95);
    assert!(is_silent(&right, 1_001, 1_999));
    assert!(tone_at(&right, 2_060, 900, 1_000) > 0.95);
}

#[test]
fn opus_that_comes_out_of_order_is_read_in_order() {
    let sent = opus(700.0, 0, 100);
    let mut mixed = sent.clone();
    for pair in mixed.chunks_mut(5) {
        // A packet overtakes three, and comes twice.
        let (at, late) = (pair[4].0, pair[1].1.clone());
        pair[1] = (pair[1].0, pair[4].1.clone());
        pair[4] = (at, late);
    }
    mixed.push(mixed[30].clone());
    let ([_, wanted], _) = played(&[CALLEE], sent, 2_000);
    let ([_, right], _) = played(&[CALLEE], mixed, 2_000);
    let astray = right.iter().zip(&wanted).filter(|(a, b)| a != b).count();
    assert!(astray < right.len() / 20, "{astray} samples of {}", right.len());
    assert!(tone_at(&right, 100, 1_800, 700) > 0.95);
}

#[test]
fn events_are_not_heard_and_other_codecs_are_counted() {
    let amr = Whose {
        payload_type: 96,
        clock_hz: 8_000,
        ..CALLEE
    };
    let mut packets = pcma(400, 0, 50);
    let event = Whose {
        payload_type: 101,
        ..CALLER
    };
    packets.extend((0..5).map(|n| {
        packet(
            event,
            1_000 + n * 20,
            50 + n as u16,
            7 + 50 * 160,
            &[5, 0, 0, 160],
        )
    }));
    packets.extend((0..50).map(|n| packet(amr, n * 20, n as u16, n as u32 * 160, &[0x70; 32])));
    let mut replay = Replay::new(vec![CALLER, amr]);
    assert_eq!(replay.rate(), Rate::Narrow);
    for (at_ms, bytes) in &packets {
        replay.hear(*at_ms, bytes);
    }
    let wanted = Count {
        audio: 50,
        broken: 0,
        unread: 50,
    };
    assert_eq!(replay.count(), wanted);
    assert_eq!(
        (CALLER.codec(), amr.codec()),
        (Codec::Known(Coding::A), Codec::Unread)
    );
}

#[test]
fn a_dump_that_somebody_made_up_is_read_as_far_as_it_goes() {
    let mut chance = Chance::from_number(9);
    let mut replay = Replay::new(vec![CALLER, CALLEE]);
    let mut at_ms = 0;
    for _ in 0..4_000 {
        let whose = [CALLER, CALLEE][chance.below(2) as usize];
        let payload: Vec<u8> = (0..chance.below(200)).map(|_| chance.bits() as u8).collect();
        let (_, bytes) = packet(whose, 0, chance.bits() as u16, chance.bits() as u32, &payload);
        at_ms = match chance.below(100) {
            0 => chance.bits() as u32,
            _ => at_ms + chance.below(40),
        };
        replay.hear(
            at_ms,
            bytes
                .get(..bytes.len() - chance.below(3) as usize)
                .expect("a head"),
        );
        // As if not much time had passed: what waits is bounded all the same.
        while replay.poll(at_ms.min(60_000)).is_some() {}
        assert!(
            replay
                .opus
                .iter()
                .flatten()
                .all(|sorter| sorter.waiting.len() <= WAITING_MAX + 1)
        );
    }
}

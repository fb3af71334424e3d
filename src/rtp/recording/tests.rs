use std::time::Duration;

use super::*;
use crate::base::id::Id;
use crate::rtp::clip::Coding;
use crate::rtp::g711::Law;
use crate::rtp::g722;
use crate::rtp::resample::resampled;
use crate::rtp::tap::Tap;
use crate::rtp::tone::{Tone, share};

mod astray;
mod bursts;
mod drift;
mod hostile;
mod pauses;

/// When recordings begin here.
const BEGUN: Instant = Instant::from_micros(1_234_567_890);

/// So many milliseconds after the begin.
fn ms(ms: u64) -> Instant {
    BEGUN + Duration::from_millis(ms)
}

/// A packet, owned.
#[derive(Clone, PartialEq, Debug)]
struct Sent {
    at: Instant,
    channel: Channel,
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    payload_type: u8,
    coding: Option<Coding>,
    is_event: bool,
    payload: Vec<u8>,
}

impl Sent {
    fn audio(at: Instant, seq: u16, timestamp: u32, coding: Coding, payload: &[u8]) -> Self {
        Self {
            at,
            channel: Channel::Caller,
            ssrc: 1,
            seq,
            timestamp,
            payload_type: coding.payload(),
            coding: Some(coding),
            is_event: false,
            payload: payload.to_vec(),
        }
    }

    fn heard(&self) -> Heard<'_> {
        Heard {
            tap: Tap {
                recording: Id::from_bits(7),
                channel: self.channel,
            },
            at: self.at,
            ssrc: self.ssrc,
            seq: self.seq,
            timestamp: self.timestamp,
            clock_hz: 8_000,
            marker: false,
            payload_type: self.payload_type,
            coding: self.coding,
            is_event: self.is_event,
            is_back: false,
            payload: &self.payload,
        }
    }
}

/// A recording as whoever plays it has it.
#[derive(Clone, PartialEq, Default, Debug)]
struct Played {
    left: Vec<i16>,
    right: Vec<i16>,
    marks: Vec<Mark>,
}

impl Played {
    fn add(&mut self, block: &Block) {
        assert_eq!(block.from as usize, self.left.len(), "in order, without a hole");
        for [left, right] in block.frames.as_chunks::<2>().0 {
            self.left.push(*left);
            self.right.push(*right);
        }
        self.marks.extend(&block.marks);
    }

    fn add_all(&mut self, stereo: &mut Stereo, now: Instant) {
        while let Some(block) = stereo.poll(now) {
            self.add(&block);
            stereo.reuse(block.frames);
        }
    }

    fn whats(&self) -> Vec<What> {
        self.marks.iter().map(|mark| mark.what).collect()
    }
}

/// What packets that come in that order make, up to `end_ms`.
fn record(rate: Rate, sent: &[Sent], end_ms: u64) -> Played {
    let mut stereo = Stereo::new(rate, BEGUN);
    let mut played = Played::default();
    for packet in sent {
        stereo.hear(&packet.heard());
        played.add_all(&mut stereo, packet.at);
    }
    played.add_all(&mut stereo, ms(end_ms));
    stereo.end(ms(end_ms));
    played.add_all(&mut stereo, ms(end_ms));
    assert_eq!(
        played.left.len() as u64,
        end_ms * u64::from(rate.hz()) / 1_000,
        "as long as it took"
    );
    played
}

/// A tone in PCMA, and what it is once decoded.
fn tone(hz: u16, samples: usize) -> (Vec<u8>, Vec<i16>) {
    let tone = Tone::new(hz, 8_000).samples(samples);
    let mut codes = Vec::new();
    Law::A.encode_all(&tone, &mut codes);
    let mut decoded = Vec::new();
    Law::A.decode_all(&codes, &mut decoded);
    (codes, decoded)
}

/// Packets of so many bytes each, each when its time has come, from `from_ms` on.
fn paced(codes: &[u8], bytes: usize, from_ms: u64, coding: Coding) -> Vec<Sent> {
    let packets = codes.chunks(bytes).enumerate().map(|(index, codes)| {
        let ticks = index * bytes;
        let at = ms(from_ms) + Duration::from_micros(ticks as u64 * 125);
        Sent::audio(at, index as u16, ticks as u32, coding, codes)
    });
    packets.collect()
}

/// The samples are these; where they aren't, if not.
#[track_caller]
fn same(samples: &[i16], wanted: &[i16], what: impl std::fmt::Debug) {
    let at = samples.iter().zip(wanted).position(|(one, other)| one != other);
    assert_eq!((at, samples.len()), (None, wanted.len()), "{what:?}");
}

/// How far the samples are from a sine of `hz`, at the worst: a click stands out.
fn roughest(samples: &[i16], hz: f64, rate: Rate) -> f64 {
    let turn = 2.0 * (std::f64::consts::TAU * hz / f64::from(rate.hz())).cos();
    let rough = samples.windows(3).map(|run| {
        let [a, b, c] = [run[0], run[1], run[2]].map(f64::from);
        (a - turn * b + c).abs()
    });
    rough.fold(0.0, f64::max)
}

#[test]
fn audio_lies_where_it_was_said_and_not_where_it_came() {
    let (codes, decoded) = tone(440, 16_000);
    let mut sent = paced(&codes, 160, 100, Coding::A);
    for (index, packet) in sent.iter_mut().enumerate() {
        // Every fifth comes without delay.
        packet.at = packet.at + Duration::from_millis(index as u64 * 13 % 5 * 15);
    }
    sent.sort_by_key(|packet| packet.at);
    let played = record(Rate::Narrow, &sent, 3_000);
    same(&played.left[800..16_800], &decoded, ());
    assert!(
        played.left[..800]
            .iter()
            .chain(&played.left[16_800..])
            .all(|s| *s == 0)
    );
    assert!(played.right.iter().all(|sample| *sample == 0));
    assert_eq!(played.marks, []);
}

#[test]
fn each_voice_is_in_its_channel() {
    let mut sent = Vec::new();
    for (channel, hz) in [(Channel::Caller, 400), (Channel::Callee, 700)] {
        let packets = paced(&tone(hz, 8_000).0, 160, 0, Coding::A);
        sent.extend(packets.into_iter().map(|packet| Sent { channel, ..packet }));
    }
    sent.sort_by_key(|packet| packet.at);
    let played = record(Rate::Narrow, &sent, 1_000);
    assert!(share(&played.left, 400) > 0.99 && share(&played.right, 700) > 0.99);
}

#[test]
fn packets_out_of_order_and_twice_make_the_same_recording() {
    let (codes, _) = tone(440, 16_000);
    for coding in [Coding::A, Coding::G722] {
        let sent = paced(&codes, 160, 0, coding);
        let mut mixed: Vec<Sent> = Vec::new();
        for run in sent.chunks(4) {
            let last = run.last().expect("some").at;
            // The last of each run comes first, and the first of each comes twice.
            for packet in run.iter().rev().chain(run.first()) {
                mixed.push(Sent {
                    at: last,
                    ..packet.clone()
                });
            }
        }
        let in_order = record(Rate::Narrow, &sent, 2_500);
        let out_of_order = record(Rate::Narrow, &mixed, 2_500);
        same(&out_of_order.left, &in_order.left, coding);
        assert_eq!(out_of_order.marks, []);
    }
}

#[test]
fn a_packet_that_comes_again_and_again_takes_no_room() {
    let (codes, decoded) = tone(440, 8_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    let late = sent.remove(20);
    let again = sent[20].clone();
    sent.splice(21..21, std::iter::repeat_n(again, 100));
    sent.insert(121, late);
    let played = record(Rate::Narrow, &sent, 1_000);
    same(&played.left, &decoded, ());
}

#[test]
fn what_is_lost_is_silence_and_marked() {
    let (codes, decoded) = tone(440, 16_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    sent.drain(30..33);
    sent.remove(70);
    let played = record(Rate::Narrow, &sent, 2_000);
    let mut wanted = decoded;
    wanted[30 * 160..33 * 160].fill(0);
    wanted[73 * 160..74 * 160].fill(0);
    same(&played.left, &wanted, ());
    let lost = |at: u64, packets: u64| Mark {
        at: at * 160,
        what: What::Lost {
            channel: Channel::Caller,
            packets,
            samples: packets * 160,
        },
    };
    assert_eq!(played.marks, [lost(30, 3), lost(73, 1)]);
}

#[test]
fn a_packet_may_come_so_late_and_no_later() {
    let (codes, decoded) = tone(440, 16_000);
    for (late_ms, is_there) in [(399, true), (460, false)] {
        let mut sent = paced(&codes, 160, 0, Coding::A);
        sent[20].at = sent[20].at + Duration::from_millis(late_ms);
        sent.sort_by_key(|packet| packet.at);
        let played = record(Rate::Narrow, &sent, 2_000);
        assert_eq!(played.left == decoded, is_there, "{late_ms}");
        assert_eq!(played.marks.is_empty(), is_there, "{late_ms}");
    }
}

#[test]
fn numbers_and_timestamps_wrap() {
    let (codes, decoded) = tone(440, 16_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    for packet in &mut sent {
        packet.seq = packet.seq.wrapping_sub(50);
        packet.timestamp = packet.timestamp.wrapping_sub(8_000);
    }
    let played = record(Rate::Narrow, &sent, 2_000);
    same(&played.left, &decoded, ());
    assert_eq!(played.marks, []);
}

#[test]
fn packets_are_as_long_as_they_are() {
    let (codes, decoded) = tone(440, 16_000);
    for bytes in [80, 160, 240, 480, 1, 7, 77, 159, 1_920] {
        let played = record(Rate::Narrow, &paced(&codes, bytes, 0, Coding::A), 2_000);
        same(&played.left, &decoded, bytes);
        assert_eq!(played.marks, [], "{bytes}");
    }
}

#[test]
fn audio_that_comes_twice_under_other_numbers_is_heard_once() {
    let (codes, decoded) = tone(440, 8_000);
    // Each packet has the second half of the one before once more.
    let packets = (0..99_usize).map(|index| {
        let from = index * 80;
        let at = ms(index as u64 * 10);
        Sent::audio(at, index as u16, from as u32, Coding::A, &codes[from..from + 160])
    });
    let played = record(Rate::Narrow, &packets.collect::<Vec<_>>(), 1_000);
    same(&played.left, &decoded, ());
}

#[test]
fn who_says_nothing_for_a_while_is_silent_and_lost_nothing() {
    let (codes, decoded) = tone(440, 8_000);
    for pause_ms in [40, 900, 9_000, 70_000] {
        let mut sent = paced(&codes, 160, 0, Coding::A);
        for packet in sent.iter_mut().skip(25) {
            packet.at = packet.at + Duration::from_millis(pause_ms);
            packet.timestamp += pause_ms as u32 * 8;
        }
        let played = record(Rate::Narrow, &sent, 1_500 + pause_ms);
        let resumed = 4_000 + pause_ms as usize * 8;
        same(&played.left[..4_000], &decoded[..4_000], pause_ms);
        assert!(
            played.left[4_000..resumed].iter().all(|sample| *sample == 0),
            "{pause_ms}"
        );
        same(
            &played.left[resumed..resumed + 4_000],
            &decoded[4_000..],
            pause_ms,
        );
        assert_eq!(played.marks, [], "{pause_ms}");
    }
}

#[test]
fn comfort_noise_and_keys_are_silence_and_no_loss() {
    let (codes, decoded) = tone(440, 8_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    for packet in &mut sent[10..20] {
        packet.payload_type = 13;
        packet.coding = None;
        packet.payload = vec![60];
    }
    for packet in &mut sent[30..40] {
        packet.payload_type = 101;
        packet.coding = None;
        packet.is_event = true;
        // Where an event says that it begins is nobody's clock.
        packet.timestamp = 2_000_000_000;
        packet.payload = vec![5, 10, 0, 160];
    }
    let played = record(Rate::Narrow, &sent, 1_000);
    let mut wanted = decoded;
    wanted[1_600..3_200].fill(0);
    wanted[4_800..6_400].fill(0);
    same(&played.left, &wanted, ());
    assert_eq!(played.marks, []);
}

#[test]
fn what_is_lost_behind_comfort_noise_is_marked_where_it_would_have_been() {
    let (codes, _) = tone(440, 8_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    for packet in &mut sent[10..20] {
        packet.payload_type = 13;
        packet.coding = None;
        packet.payload = vec![60];
    }
    sent.remove(20);
    let what = What::Lost {
        channel: Channel::Caller,
        packets: 1,
        // How long the noise before it was meant to be isn't known.
        samples: 320,
    };
    assert_eq!(
        record(Rate::Narrow, &sent, 1_000).marks,
        [Mark { at: 3_040, what }]
    );
}

#[test]
fn an_outage_that_no_number_tells_of_is_marked_with_the_time_that_passed() {
    const OUTAGE_MS: u64 = 61_000;
    let (codes, decoded) = tone(440, 8_000);
    let sent = paced(&codes, 160, 0, Coding::A);
    let (mut stereo, mut played) = (Stereo::new(Rate::Narrow, BEGUN), Played::default());
    for packet in &sent[..25] {
        stereo.hear(&packet.heard());
    }
    let later = Duration::from_millis(OUTAGE_MS);
    for ms in (0..OUTAGE_MS).step_by(100) {
        played.add_all(&mut stereo, sent[25].at + Duration::from_millis(ms));
    }
    for (index, packet) in sent[25..].iter().enumerate() {
        stereo.hear(&Heard {
            at: packet.at + later,
            timestamp: packet.timestamp + 8 * OUTAGE_MS as u32,
            is_back: index == 0,
            ..packet.heard()
        });
    }
    let end = ms(1_000) + later;
    stereo.end(end);
    played.add_all(&mut stereo, end);
    same(&played.left[488_000 + 4_200..], &decoded[4_200..], ());
    let what = What::Lost {
        channel: Channel::Caller,
        packets: 3_050,
        samples: 488_000,
    };
    assert_eq!(played.marks, [Mark { at: 4_000, what }]);
}

#[test]
fn what_can_not_be_decoded_is_silence_and_said_once() {
    let (codes, _) = tone(440, 8_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    // All in one block.
    for packet in &mut sent[13..23] {
        packet.payload_type = 111;
        packet.coding = None;
    }
    let played = record(Rate::Narrow, &sent, 1_000);
    assert!(played.left[2_080..3_680].iter().all(|sample| *sample == 0));
    let unread = What::Unread {
        channel: Channel::Caller,
        payload_type: 111,
        samples: 1_600,
    };
    assert_eq!(
        played.marks,
        [Mark {
            at: 2_080,
            what: unread
        }]
    );
}

#[test]
fn a_codec_at_another_clock_than_its_own_is_not_read() {
    let (codes, _) = tone(440, 8_000);
    let mut stereo = Stereo::new(Rate::Narrow, BEGUN);
    for packet in paced(&codes, 160, 0, Coding::A) {
        stereo.hear(&Heard {
            clock_hz: 16_000,
            timestamp: packet.timestamp * 2,
            ..packet.heard()
        });
    }
    stereo.end(ms(1_000));
    let mut played = Played::default();
    played.add_all(&mut stereo, ms(1_000));
    assert!(played.left.iter().all(|sample| *sample == 0));
    let unread = What::Unread {
        channel: Channel::Caller,
        payload_type: 8,
        samples: 8_000,
    };
    assert_eq!(played.whats(), [unread]);
}

/// A tone in each coding, in packets of 20 ms, one coding after the other: 500 ms of each.
fn changing(hz: u16, order: [Coding; 3]) -> Vec<Sent> {
    let narrow = Tone::new(hz, 8_000).samples(12_000);
    let (mut a, mut mu, mut wide) = (Vec::new(), Vec::new(), Vec::new());
    Law::A.encode_all(&narrow, &mut a);
    Law::Mu.encode_all(&narrow, &mut mu);
    let mut encoder = g722::Encoder::default();
    for (half, before) in resampled(&narrow, 8_000, 16_000)
        .chunks(8_000)
        .zip([None].into_iter().chain(order.map(Some)))
    {
        // Who changes to it begins anew.
        if before != Some(Coding::G722) {
            encoder = g722::Encoder::default();
        }
        encoder.encode(half, &mut wide);
    }
    let packets = (0..75_usize).map(|index| {
        let coding = order[index / 25];
        let codes = match coding {
            Coding::A => &a,
            Coding::Mu => &mu,
            Coding::G722 => &wide,
        };
        let from = index * 160;
        Sent::audio(
            ms(index as u64 * 20),
            index as u16,
            from as u32,
            coding,
            &codes[from..from + 160],
        )
    });
    packets.collect()
}

#[test]
fn a_voice_goes_on_whatever_codecs_it_changes_between() {
    for rate in [Rate::Narrow, Rate::Wide] {
        for order in [
            [Coding::A, Coding::Mu, Coding::G722],
            [Coding::G722, Coding::A, Coding::G722],
        ] {
            let played = record(rate, &changing(1_000, order), 1_500);
            assert_eq!(played.marks, []);
            for (index, coding) in order.iter().enumerate() {
                let half = rate.hz() as usize / 2;
                // Every second sample of 16 kHz is one of 8 kHz.
                let step = rate.per_tick() as usize;
                let heard: Vec<i16> = played.left[index * half..][..half]
                    .iter()
                    .copied()
                    .step_by(step)
                    .collect();
                // But for what a codec needs to begin.
                let settled = &heard[400..4_000];
                assert!(
                    share(settled, 1_000) > 0.98,
                    "{rate:?} {coding:?}: {}",
                    share(settled, 1_000)
                );
                let loud = crate::rtp::tone::amplitude(settled, 1_000);
                assert!((loud / 8_000.0 - 1.0).abs() < 0.1, "{rate:?} {coding:?}: {loud}");
            }
        }
    }
}

#[test]
fn no_packet_has_an_edge_at_either_rate() {
    for (rate, hz) in [(Rate::Narrow, 440), (Rate::Wide, 440), (Rate::Wide, 3_000)] {
        for coding in [Coding::A, Coding::Mu, Coding::G722] {
            let sent = changing(hz, [coding; 3]);
            let played = record(rate, &sent, 1_500);
            let from = rate.hz() as usize / 10;
            let settled = &played.left[from..rate.hz() as usize * 14 / 10];
            let rough = roughest(settled, f64::from(hz), rate);
            assert!(rough < 1_200.0, "{rate:?} {coding:?} {hz}: {rough}");
        }
    }
    // It would be seen: packets that are doubled each by itself.
    let mut alone = Vec::new();
    for packet in changing(440, [Coding::A; 3]) {
        alone.extend(record(Rate::Wide, &[Sent { at: BEGUN, ..packet }], 20).left);
    }
    assert!(roughest(&alone[1_600..], 440.0, Rate::Wide) > 2_000.0);
}

#[test]
fn nothing_of_what_was_said_before_a_silence_is_heard_after_it() {
    let mut codes = [Law::A.silence(); 16_000];
    // Loud up to its last sample.
    codes[..8_000].fill(0x2a);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    for packet in sent.iter_mut().skip(50) {
        packet.at = packet.at + Duration::from_secs(1);
        packet.timestamp += 8_000;
    }
    for rate in [Rate::Narrow, Rate::Wide] {
        let played = record(rate, &sent, 3_000);
        let after = &played.left[2 * rate.hz() as usize..];
        assert!(after.iter().all(|sample| sample.unsigned_abs() <= 16), "{rate:?}");
    }
}

#[test]
fn a_recording_of_16_khz_has_what_only_g722_says() {
    let wide: Vec<i16> = (0..32_000)
        .map(|at| (6_000.0 * (std::f64::consts::TAU * 6_000.0 * f64::from(at) / 16_000.0).sin()) as i16)
        .collect();
    let mut codes = Vec::new();
    g722::Encoder::default().encode(&wide, &mut codes);
    let sent = paced(&codes, 160, 0, Coding::G722);
    let loudest = |rate: Rate| {
        let played = record(rate, &sent, 2_000);
        played.left.iter().skip(2_000).map(|s| s.unsigned_abs()).max()
    };
    assert!(loudest(Rate::Wide) > Some(5_000));
    assert!(loudest(Rate::Narrow) < Some(1_000), "and not as another tone");
}

#[test]
fn blocks_come_in_order_and_none_before_all_of_it_can_have_come() {
    let mut stereo = Stereo::new(Rate::Narrow, BEGUN);
    assert_eq!(stereo.due(), ms(750));
    assert_eq!(stereo.poll(ms(749)), None);
    let block = stereo.poll(ms(750)).expect("a quarter of a second");
    assert_eq!((block.from, block.frames.len()), (0, 4_000));
    assert_eq!(stereo.poll(ms(750)), None);
    assert_eq!(stereo.due(), ms(1_000));
    // Nobody asked for long.
    let froms: Vec<u64> = std::iter::from_fn(|| stereo.poll(ms(1_800)))
        .map(|block| block.from)
        .collect();
    assert_eq!(froms, [2_000, 4_000, 6_000, 8_000]);
    stereo.end(ms(1_600));
    let rest: Vec<(u64, usize)> = std::iter::from_fn(|| stereo.poll(ms(0)))
        .map(|block| (block.from, block.frames.len()))
        .collect();
    assert_eq!(rest, [(10_000, 4_000), (12_000, 1_600)]);
    assert_eq!(stereo.poll(ms(60_000)), None, "it is over");
}

#[test]
fn what_goes_on_after_another_process_counts_on() {
    let mut stereo = Stereo::going_on(Rate::Narrow, BEGUN, 80_123);
    stereo.pause(ms(500));
    stereo.end(ms(600));
    let blocks: Vec<Block> = std::iter::from_fn(|| stereo.poll(ms(600))).collect();
    assert_eq!(
        blocks.iter().map(|block| block.from).collect::<Vec<_>>(),
        [80_123, 82_123, 84_123]
    );
    let paused = Mark {
        at: 84_123,
        what: What::Paused,
    };
    assert_eq!(blocks[2].marks, [paused]);
}

#[test]
fn nobody_who_does_not_poll_makes_it_grow() {
    let (codes, decoded) = tone(440, 8_000);
    let mut stereo = Stereo::new(Rate::Narrow, BEGUN);
    for packet in paced(&codes.repeat(20), 160, 0, Coding::A) {
        stereo.hear(&packet.heard());
    }
    let mut played = Played::default();
    played.add_all(&mut stereo, ms(21_000));
    assert_eq!(played.left.len(), 164_000);
    let kept = crate::base::limits::RECORDING_SECONDS_MAX * 8_000;
    same(&played.left[..kept], &decoded.repeat(kept / 8_000), ());
    assert!(played.left[kept..].iter().all(|sample| *sample == 0));
    let crowded = What::Crowded {
        channel: Channel::Caller,
        samples: 96_000,
    };
    assert_eq!(
        played.marks,
        [Mark {
            at: kept as u64,
            what: crowded
        }],
        "and it is said, and not that the network lost it"
    );
}

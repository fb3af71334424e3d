//! An hour of clocks that drift and a network that jitters.

use super::*;
use crate::base::chance::Chance;

/// How long a sound lasts that is looked for, in seconds.
const CHIRP_S: f64 = 0.1;

/// What both people hear at that moment, in seconds: a chirp at the begin of each minute, and nothing else.
fn sounds(s: f64) -> f64 {
    let within = s.rem_euclid(60.0) - 1.0;
    if !(0.0..CHIRP_S).contains(&within) {
        return 0.0;
    }
    let turns = 300.0 * within + 0.5 * (1_500.0 / CHIRP_S) * within * within;
    8_000.0 * (std::f64::consts::TAU * turns).sin()
}

/// A sender whose clock is `ppm` too fast, over a network that holds each packet up for 0–60 ms and loses some.
struct Sender {
    channel: Channel,
    ppm: f64,
    /// How many of a thousand are lost.
    lost: u64,
    chance: Chance,
    /// The next packet, and when it was sent.
    seq: u64,
    /// Sent, and not yet come.
    under_way: Vec<Sent>,
}

impl Sender {
    fn new(channel: Channel, ppm: f64, lost: u64, seed: u64) -> Self {
        Self {
            channel,
            ppm,
            lost,
            chance: Chance::from_number(seed),
            seq: 0,
            under_way: Vec::new(),
        }
    }

    /// The moment, in seconds, at which a sample is taken.
    fn moment(&self, sample: u64) -> f64 {
        sample as f64 / 8_000.0 / (1.0 + self.ppm / 1e6)
    }

    /// All that comes before `until_s`.
    fn come(&mut self, until_s: f64) -> Vec<Sent> {
        loop {
            let first = self.seq * 160;
            // It is sent once its last sample was taken.
            let sent_s = self.moment(first + 160);
            if sent_s >= until_s {
                break;
            }
            let mut codes = [Law::A.silence(); 160];
            let is_heard = |s: f64| (0.9..1.3).contains(&s.rem_euclid(60.0));
            if is_heard(sent_s) {
                for (code, sample) in codes.iter_mut().zip(first..) {
                    *code = Law::A.encode(sounds(self.moment(sample)).round() as i16);
                }
            }
            let jitter_us = self.chance.bits() % 60_000;
            let at = BEGUN + Duration::from_micros((sent_s * 1e6) as u64 + jitter_us);
            let (seq, timestamp) = (self.seq as u16, (first as u32).wrapping_sub(1_000_000));
            let packet = Sent::audio(at, seq, timestamp, Coding::A, &codes);
            if self.lost == 0 || self.chance.bits() % 1_000 >= self.lost {
                self.under_way.push(Sent {
                    channel: self.channel,
                    ..packet
                });
            }
            self.seq += 1;
        }
        let until = BEGUN + Duration::from_micros((until_s * 1e6) as u64);
        let come = self.under_way.extract_if(.., |packet| packet.at < until);
        let mut come: Vec<Sent> = come.collect();
        come.sort_by_key(|packet| packet.at);
        come
    }
}

/// Where the chirp of a minute is found in a side, as a number of samples after it was to be heard.
fn found(side: &[i16], minute: usize) -> i64 {
    let chirp: Vec<f64> = (0..(CHIRP_S * 8_000.0) as usize)
        .map(|at| sounds(1.0 + at as f64 / 8_000.0))
        .collect();
    let begin = (minute * 60 + 1) * 8_000;
    let match_at = |by: i64| -> f64 {
        let from = begin.saturating_add_signed(by as isize);
        let there = side[from..from + chirp.len()].iter().zip(&chirp);
        there.map(|(sample, wanted)| f64::from(*sample) * wanted).sum()
    };
    let best = (-100..500_i64).max_by(|a, b| match_at(*a).total_cmp(&match_at(*b)));
    let best = best.expect("some");
    let loud: f64 = chirp.iter().map(|sample| sample * sample).sum();
    // Some of them are stretched by a sample or two in their midst.
    assert!(match_at(best) > 0.4 * loud, "minute {minute}: it isn't the chirp");
    best
}

#[test]
fn both_sides_are_together_after_an_hour_of_drift_jitter_and_loss() {
    const MINUTES: usize = 60;
    for (caller_ppm, callee_ppm, lost) in [(200.0, -200.0, 0), (-200.0, 200.0, 20)] {
        let mut senders = [
            Sender::new(Channel::Caller, caller_ppm, lost, 1),
            Sender::new(Channel::Callee, callee_ppm, lost, 2),
        ];
        let mut stereo = Stereo::new(Rate::Narrow, BEGUN);
        let mut played = Played::default();
        for second in 1..=MINUTES * 60 {
            // One side after the other, as two rings are emptied.
            for sender in &mut senders {
                for packet in sender.come(second as f64) {
                    stereo.hear(&packet.heard());
                }
            }
            played.add_all(&mut stereo, ms(second as u64 * 1_000));
        }
        stereo.end(ms(MINUTES as u64 * 60_000));
        played.add_all(&mut stereo, ms(0));
        let is_lost = |what: &What| matches!(what, What::Lost { .. });
        assert!(played.whats().iter().all(is_lost), "{:?}", played.marks);
        assert_eq!(played.marks.is_empty(), lost == 0);
        // 3,600 s × 400 ppm would be 1,440 ms.
        for minute in 0..MINUTES {
            let (left, right) = (found(&played.left, minute), found(&played.right, minute));
            assert!(left.abs_diff(right) < 10 * 8, "minute {minute}: {left} {right}");
            // A packet is heard when it has come: its own 20 ms later.
            for side in [left, right] {
                assert!(side.abs_diff(160) < 10 * 8, "minute {minute}: {left} {right}");
            }
        }
    }
}

#[test]
fn nobody_hears_how_the_clock_is_followed() {
    for (rate, ppm) in [
        (Rate::Narrow, 200),
        (Rate::Narrow, -200),
        (Rate::Wide, 200),
        (Rate::Wide, -200),
    ] {
        let (codes, _) = tone(1_000, 480_000);
        let mut sent = paced(&codes, 160, 0, Coding::A);
        for packet in &mut sent {
            let us = (packet.at - BEGUN).as_micros() as i64;
            packet.at = BEGUN + Duration::from_micros((us - us * ppm / 1_000_000) as u64);
        }
        let played = record(rate, &sent, 60_500);
        assert_eq!(played.marks, []);
        let end = played
            .left
            .iter()
            .rposition(|sample| *sample != 0)
            .expect("a tone");
        let drifted = (end as i64 - rate.hz() as i64 * 60) * 1_000_000 / i64::from(rate.hz());
        // 60 s × 200 ppm are 12 ms.
        assert!((drifted + ppm * 60).abs() < 5_000, "{rate:?} {ppm}: {drifted} µs");
        let rough = roughest(&played.left[1_000..end - 100], 1_000.0, rate);
        assert!(rough < 1_200.0, "{rate:?} {ppm}: {rough}");
    }
}

//! Nobody keys anything by talking, and who keys while somebody talks is heard: speech of espeak-ng's voices, in both laws.
//!
//! `UMBRA_TALK_MINUTES=600 cargo test --release --test talk_off` listens for longer (ten minutes otherwise), as the tapes of
//! talk-off tests do (Bellcore's TR-TSY-000763 plays hours): to every voice at several speeds and pitches.

use std::process::Command;
use std::time::Duration;

use umbra::base::chance::Chance;
use umbra::base::time::Instant;
use umbra::rtp::clip::Coding;
use umbra::rtp::ear::{Ear, Stroke};
use umbra::rtp::flow::Payload;
use umbra::rtp::g711::Law;
use umbra::rtp::packet::Header;
use umbra::rtp::tone::Tone;

/// Samples a second that espeak-ng speaks, and that a telephone carries.
const SPOKEN_HZ: usize = 22_050;
const HEARD_HZ: usize = 8_000;
/// Samples of a minute.
const MINUTE: usize = 60 * HEARD_HZ;
/// Samples of a packet.
const PACKET: usize = 160;

/// Who speaks what.
const VOICES: [(&str, Text); 14] = [
    ("en-us", Text::Latin),
    ("cmn", Text::Chinese),
    ("de+f2", Text::Latin),
    ("ru+f2", Text::Latin),
    ("yue+f3", Text::Chinese),
    ("en-gb+f4", Text::Latin),
    ("es+m3", Text::Latin),
    ("fr-fr", Text::Latin),
    ("cmn+f3", Text::Chinese),
    ("it+f5", Text::Latin),
    ("pt-br+m7", Text::Latin),
    ("tr+f2", Text::Latin),
    ("ja+f2", Text::Latin),
    ("hi+f1", Text::Latin),
];

#[derive(Clone, Copy)]
enum Text {
    Latin,
    Chinese,
}

impl Text {
    /// What is read aloud; the Latin one is long.
    fn read(self) -> String {
        match self {
            Self::Latin => include_str!("../README.md")
                .replace(|c: char| "`|#*[](){}<>_\\".contains(c), " "),
            Self::Chinese => "您好，您拨打的号码是虚拟号码，请输入分机号，以井号键结束。您输入的分机号有误，请重新输入。\
                快递员正在联系您，请稍候。四川人喜欢吃辣椒，上海人喜欢吃甜的。一二三四五六七八九十，百千万亿。\
                今天天气怎么样？明天可能下雨，请带好雨伞。我们的客服时间是早上九点到晚上六点。请问您需要什么帮助？\
                订单号是五八六三二一七。师傅您好，我在东门口等您，车牌号是京 A 一二三四五。麻烦您把东西放在门卫室就可以了，谢谢。"
                .repeat(8),
        }
    }
}

/// Speech at the rate of a telephone, as loud as it may be there; no more than so many samples. `None`: espeak-ng isn't
/// installed.
fn speech(voice: &str, text: Text, words_a_minute: u32, pitch: u32, most: usize) -> Option<Vec<i16>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("text");
    // About fifteen letters a second.
    let read: String = text.read().chars().take(most / HEARD_HZ * 20 + 200).collect();
    std::fs::write(&file, read).expect("a file");
    let spoken = Command::new("espeak-ng")
        .args([
            "-v",
            voice,
            "-s",
            &words_a_minute.to_string(),
            "-p",
            &pitch.to_string(),
        ])
        .arg("--stdout")
        .arg("-f")
        .arg(&file)
        .output();
    let spoken = match spoken {
        Ok(spoken) => spoken.stdout,
        Err(error) => {
            assert!(std::env::var_os("UMBRA_TEST_ALL").is_none(), "espeak-ng: {error}");
            eprintln!("left out: espeak-ng: {error}");
            return None;
        }
    };
    // A WAV of unknown length, whose head has 44 bytes.
    let rate = spoken
        .get(24..28)
        .map(|rate| u32::from_le_bytes([rate[0], rate[1], rate[2], rate[3]]));
    assert_eq!(rate, Some(SPOKEN_HZ as u32), "{voice}");
    let (samples, _) = spoken[44..].as_chunks::<2>();
    let samples: Vec<i16> = samples.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect();
    let mut heard = narrowed(&samples);
    heard.truncate(most);
    let peak = heard.iter().fold(1.0_f64, |peak, sample| peak.max(sample.abs()));
    Some(
        heard
            .iter()
            .map(|sample| (sample / peak * 23_000.0) as i16)
            .collect(),
    )
}

/// Samples at 22,050 Hz as samples at 8,000 Hz, of which there are 160 for each 441: by a windowed sinc that ends at
/// 3.6 kHz.
fn narrowed(samples: &[i16]) -> Vec<f64> {
    const STEPS: (usize, usize) = (441, 160);
    const REACH: usize = 32;
    let weight = |distance: f64| {
        let x = std::f64::consts::PI * distance * 2.0 * 3_600.0 / SPOKEN_HZ as f64;
        let window = 0.5 + 0.5 * (std::f64::consts::PI * distance / REACH as f64).cos();
        if x == 0.0 { 1.0 } else { x.sin() / x * window }
    };
    let phases: Vec<Vec<f64>> = (0..STEPS.1)
        .map(|phase| {
            let after = (phase * STEPS.0 % STEPS.1) as f64 / STEPS.1 as f64;
            (0..2 * REACH)
                .map(|n| weight(n as f64 - REACH as f64 + 1.0 - after))
                .collect()
        })
        .collect();
    let count = samples.len().saturating_sub(2 * REACH) * STEPS.1 / STEPS.0;
    (0..count)
        .map(|n| {
            let from = &samples[n * STEPS.0 / STEPS.1..];
            let weights = &phases[n % STEPS.1];
            weights
                .iter()
                .zip(from)
                .map(|(weight, sample)| weight * f64::from(*sample))
                .sum()
        })
        .collect()
}

/// The keys that are heard in this, by a law.
fn heard(samples: &[i16], law: Law) -> String {
    let payload = Payload {
        number: law.payload(),
        other: None,
        clock_hz: 8_000,
        coding: Some(Coding::from(law)),
        is_event: false,
    };
    let (mut ear, mut keys) = (Ear::default(), String::new());
    let mut codes = Vec::with_capacity(PACKET);
    for (n, samples) in samples.chunks(PACKET).enumerate() {
        codes.clear();
        law.encode_all(samples, &mut codes);
        let header = Header {
            marker: false,
            payload_type: payload.number,
            seq: n as u16,
            timestamp: (n * PACKET) as u32,
            ssrc: 1,
        };
        let now = Instant::default() + Duration::from_millis(n as u64 * 20);
        ear.hear(now, &header, Some(&payload), &codes, |heard| {
            if heard.stroke == Stroke::Down {
                keys.push(char::from(heard.key.letter()));
            }
        });
    }
    keys
}

#[test]
fn nobody_keys_anything_by_talking() {
    let minutes = std::env::var("UMBRA_TALK_MINUTES").map_or(10, |minutes| {
        minutes
            .parse()
            .expect("UMBRA_TALK_MINUTES is a number of minutes")
    });
    let (mut left, mut keys) = (minutes * MINUTE, Vec::new());
    for round in 0.. {
        for (voice, text) in VOICES {
            let (speed, pitch) = (150 + 25 * (round % 5), 50 + 15 * (round % 4) - 10 * (round % 3));
            let most = left.min(if minutes > 10 { 25 * MINUTE } else { MINUTE });
            let Some(speech) = speech(voice, text, speed, pitch, most) else {
                return;
            };
            assert!(speech.len() > most / 20, "{voice} says something");
            for law in [Law::A, Law::Mu] {
                let heard = heard(&speech, law);
                if !heard.is_empty() {
                    keys.push(format!("{voice} at {speed} and {pitch}, {law:?}: {heard}"));
                }
            }
            left = left.saturating_sub(speech.len());
            if left == 0 {
                assert!(keys.is_empty(), "in {minutes} minutes: {keys:?}");
                eprintln!("{minutes} minutes in each law, and no key");
                return;
            }
        }
    }
}

#[test]
fn a_high_and_quick_voice_whose_vowels_sound_like_a_star_keys_nothing() {
    let Some(speech) = speech("ja+f2", Text::Latin, 225, 95, 5 * MINUTE) else {
        return;
    };
    for law in [Law::A, Law::Mu] {
        assert_eq!(heard(&speech, law), "", "{law:?}");
    }
}

#[test]
fn who_keys_while_somebody_talks_is_heard() {
    for (voice, text) in [("en-us", Text::Latin), ("cmn+f3", Text::Chinese)] {
        let Some(talk) = speech(voice, text, 170, 55, MINUTE) else {
            return;
        };
        for (softer_db, least) in [(20.0, 1.0), (15.0, 0.97), (12.0, 0.9)] {
            let (with_keys, keys) = keyed_over(&talk, softer_db);
            for law in [Law::A, Law::Mu] {
                let heard = heard(&with_keys, law);
                assert!(heard.bytes().all(|key| key == b'9'), "{voice}, {law:?}: {heard}");
                let share = heard.len() as f64 / f64::from(keys);
                assert!(
                    share >= least && share <= 1.0,
                    "{voice}, {law:?}, {softer_db} dB: {share} of {keys}"
                );
            }
        }
    }
}

/// This talk, on the mean so much softer than the keys that are pressed meanwhile, and how many those are: one of 80 ms, as
/// phones press them, about twice a second.
fn keyed_over(talk: &[i16], softer_db: f64) -> (Vec<i16>, u32) {
    let loudness = 6_000.0;
    let square = |sample: &i16| f64::from(*sample).powi(2);
    let loud = (talk.iter().map(square).sum::<f64>() / talk.len() as f64).sqrt();
    let factor = loudness / loud / 10_f64.powf(softer_db / 20.0);
    let mut all: Vec<i16> = talk
        .iter()
        .map(|sample| (f64::from(*sample) * factor) as i16)
        .collect();
    let (mut chance, mut keys) = (Chance::from_number(3), 0);
    for at in (0..all.len() - 4_000).step_by(4_000) {
        let from = at + chance.below(2_000) as usize;
        let (mut row, mut column) = (Tone::new(852, loudness as u16), Tone::new(1_477, loudness as u16));
        let pair = row.samples(640).into_iter().zip(column.samples(640));
        for (sample, (row, column)) in all[from..].iter_mut().zip(pair) {
            *sample = sample.saturating_add(row + column);
        }
        keys += 1;
    }
    (all, keys)
}

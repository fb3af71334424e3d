use std::f64::consts::TAU;

use super::*;
use crate::base::chance::Chance;
use crate::rtp::g711::Law;

/// What a row of keys sounds like.
#[derive(Clone, Copy)]
struct Sound {
    /// How loud each tone is, in dBm0.
    row_db: f64,
    column_db: f64,
    /// By which share of itself each is off, this way or that.
    off: f64,
    /// For how many samples a key sounds, and a pause lasts.
    on: usize,
    pause: usize,
    /// How far under the keys the noise is, in dB.
    noise_db: Option<f64>,
}

const PLAIN: Sound = Sound {
    row_db: -10.0,
    column_db: -10.0,
    off: 0.0,
    on: 320,
    pause: 320,
    noise_db: None,
};

fn amplitude(dbm0: f64) -> f64 {
    (2.0 * f64::from(DBM0) * 10_f64.powf(dbm0 / 10.0)).sqrt()
}

/// Between -1 and 1.
fn any(chance: &mut Chance) -> f64 {
    f64::from(chance.below(2_001)) / 1_000.0 - 1.0
}

/// Appends a key.
fn press(out: &mut Vec<f64>, letter: u8, sound: &Sound, chance: &mut Chance) {
    let place = KEYS.iter().flatten().position(|on| *on == letter).expect("a key");
    let mut tone = |hz: f32, db: f64| {
        let way = if chance.below(2) == 0 { 1.0 } else { -1.0 };
        let step = f64::from(hz) * (1.0 + way * sound.off) / 8_000.0;
        let phase = any(chance);
        move |n: usize| amplitude(db) * (TAU * (phase + step * n as f64)).sin()
    };
    let row = tone(ROWS_HZ[place / 4], sound.row_db);
    let column = tone(COLUMNS_HZ[place % 4], sound.column_db);
    out.extend((0..sound.on).map(|n| row(n) + column(n)));
}

/// These keys, behind some silence of any length.
fn keyed(keys: &[u8], sound: &Sound, chance: &mut Chance) -> Vec<i16> {
    let mut all = vec![0.0; 200 + chance.below(200) as usize];
    for letter in keys {
        press(&mut all, *letter, sound, chance);
        all.resize(all.len() + sound.pause, 0.0);
    }
    all.resize(all.len() + 400, 0.0);
    if let Some(db) = sound.noise_db {
        let power = amplitude(sound.row_db).powi(2) + amplitude(sound.column_db).powi(2);
        // The sum of twelve has a power of four.
        let loud = (power / 2.0 / 10_f64.powf(db / 10.0) / 4.0).sqrt();
        for sample in &mut all {
            *sample += loud * (0..12).map(|_| any(chance)).sum::<f64>();
        }
    }
    all.iter().map(|sample| sample.round() as i16).collect()
}

/// The keys that are heard in these samples, by a law.
fn heard(samples: &[i16], law: Law) -> String {
    let (mut down, mut up) = (String::new(), String::new());
    let coded = samples.iter().map(|sample| law.decode(law.encode(*sample)));
    Tones::default().hear(coded, |stroke| match stroke {
        Stroke::Down(key) => down.push(char::from(key.letter())),
        Stroke::Up(key) => up.push(char::from(key.letter())),
    });
    assert_eq!(down, up, "each is let go");
    down
}

/// How many of a hundred and sixty keys are heard by each law, of a sound that is only like that.
fn of_160(sound: &Sound) -> [usize; 2] {
    let mut chance = Chance::from_number(7);
    [Law::A, Law::Mu].map(|law| {
        let rounds = (0..10).map(|_| {
            let keys = b"123A456B789C*0#D";
            let heard = heard(&keyed(keys, sound, &mut chance), law);
            let mut rest = keys.iter();
            // In order, and nothing besides.
            assert!(
                heard.bytes().all(|letter| rest.any(|key| *key == letter)),
                "{heard}"
            );
            heard.len()
        });
        rounds.sum()
    })
}

// ITU-T Q.24, Table A-1: AT&T. 0 to -25 dBm a tone, the column 4 dB louder to 8 dB softer, 1.5 % off, 40 ms on and off.
#[test]
fn every_key_is_heard_that_is_as_it_has_to_be() {
    for (row_db, column_db) in [
        (0.0, 0.0),
        (-10.0, -10.0),
        (-25.0, -25.0),
        (-25.0, -33.0),
        (-29.0, -25.0),
        (-3.0, -11.0),
        (-7.0, -3.0),
    ] {
        for off in [0.0, 0.015] {
            let sound = Sound {
                row_db,
                column_db,
                off,
                ..PLAIN
            };
            assert_eq!(
                of_160(&sound),
                [160; 2],
                "{row_db} and {column_db} dBm0, {off} off"
            );
        }
    }
}

#[test]
fn keys_are_heard_in_noise() {
    for (noise_db, least) in [(20.0, 160), (15.0, 160), (12.0, 158), (10.0, 155)] {
        for (row_db, column_db) in [(-10.0, -10.0), (-25.0, -25.0), (-18.0, -22.0)] {
            let sound = Sound {
                row_db,
                column_db,
                off: 0.01,
                noise_db: Some(noise_db),
                ..PLAIN
            };
            let heard = of_160(&sound);
            assert!(
                heard.iter().all(|heard| *heard >= least),
                "{noise_db} dB: {heard:?}"
            );
        }
    }
}

#[test]
fn what_is_no_key_by_its_tones_is_not_heard() {
    let with = |change: fn(&mut Sound)| {
        let mut sound = Sound { on: 480, ..PLAIN };
        change(&mut sound);
        of_160(&sound)
    };
    assert_eq!(with(|_| {}), [160; 2], "one that is a key");
    assert_eq!(with(|sound| sound.off = 0.035), [0; 2], "off by 3.5 %");
    assert_eq!(with(|sound| sound.on = 184), [0; 2], "23 ms");
    assert_eq!(
        with(|sound| sound.column_db = -22.0),
        [0; 2],
        "the row louder by 12 dB"
    );
    assert_eq!(
        with(|sound| sound.row_db = -18.0),
        [0; 2],
        "the column louder by 8 dB"
    );
    assert_eq!(with(|sound| sound.column_db = -80.0), [0; 2], "one tone");
    let soft = |sound: &mut Sound| (sound.row_db, sound.column_db) = (-40.0, -40.0);
    assert_eq!(with(soft), [0; 2], "too soft");
    assert_eq!(with(|sound| sound.noise_db = Some(3.0)), [0; 2], "drowned");
}

#[test]
fn a_key_is_one_however_long_it_sounds_and_two_are_two() {
    let mut chance = Chance::from_number(1);
    for on in [320, 800, 8_000, 80_000] {
        let sound = Sound { on, ..PLAIN };
        assert_eq!(heard(&keyed(b"55*#", &sound, &mut chance), Law::A), "55*#");
    }
    // Broken off for 10 ms, it is still the same.
    for at in 0..51 {
        let sound = Sound {
            on: 640 + at,
            pause: 80,
            ..PLAIN
        };
        assert_eq!(heard(&keyed(b"77", &sound, &mut chance), Law::Mu), "7", "{at}");
    }
    // Another one that follows without a pause is another.
    let sound = Sound { pause: 0, ..PLAIN };
    assert_eq!(heard(&keyed(b"1470", &sound, &mut chance), Law::Mu), "1470");
}

#[test]
fn a_tone_with_its_harmonics_is_a_voice_and_no_key() {
    let mut samples = Vec::new();
    for n in 0..8_000 {
        let tone = |hz: f64, db: f64| amplitude(db) * (TAU * hz * f64::from(n) / 8_000.0).sin();
        let sung = tone(852.0, -10.0) + tone(1_704.0, -18.0) + tone(1_336.0, -10.0) + tone(2_672.0, -18.0);
        samples.push(sung.round() as i16);
    }
    assert_eq!(heard(&samples, Law::A), "");
}

#[test]
fn silence_a_steady_level_and_the_tones_of_a_network_are_no_keys() {
    let of = |hz: [f64; 2]| {
        let tone = |hz: f64, n: i32| amplitude(-10.0) * (TAU * hz * f64::from(n) / 8_000.0).sin();
        (0..16_000).map(move |n| (tone(hz[0], n) + tone(hz[1], n)).round() as i16)
    };
    for law in [Law::A, Law::Mu] {
        assert_eq!(heard(&[0; 8_000], law), "");
        assert_eq!(heard(&[i16::MAX; 8_000], law), "");
        for hz in [
            [350.0, 440.0],
            [440.0, 480.0],
            [480.0, 620.0],
            [450.0, 450.0],
            [425.0, 425.0],
            [950.0, 1_400.0],
            [1_100.0, 2_100.0],
            [697.0, 770.0],
            [1_209.0, 1_477.0],
            [700.0, 1_100.0],
            [900.0, 1_300.0],
        ] {
            assert_eq!(heard(&of(hz).collect::<Vec<_>>(), law), "", "{hz:?}");
        }
        let mut one: Vec<_> = of([697.0, 1_209.0]).collect();
        one.resize(one.len() + 800, 0);
        assert_eq!(heard(&one, law), "1", "it would be heard");
    }
}

#[test]
fn the_harmonics_of_a_vowel_are_no_key_though_they_stand_where_its_tones_are() {
    // What a high voice of a speech program says of a certain vowel: its third and fourth harmonics are nearly all of it.
    let pitch = 308.0;
    let vowel = |loud: [f64; 4]| -> Vec<i16> {
        let sample = |n: usize| {
            let harmonics = loud.iter().enumerate().map(|(harmonic, db)| {
                let hz = pitch * (harmonic + 1) as f64;
                amplitude(db - 10.0) * (TAU * hz * n as f64 / 8_000.0).sin()
            });
            harmonics.sum::<f64>().round() as i16
        };
        (0..1_600).map(sample).chain([0; 400]).collect()
    };
    for law in [Law::A, Law::Mu] {
        assert_eq!(heard(&vowel([-14.0, -14.0, 0.0, -3.0]), law), "", "{law:?}");
        let bare = heard(&vowel([-60.0, -60.0, 0.0, -3.0]), law);
        assert_eq!(bare, "*", "{law:?}: without the harmonics below, it is one");
    }
}

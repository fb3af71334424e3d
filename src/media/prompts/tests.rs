//! The folder, and what ships.

use super::*;
use crate::call::prompts::{Home, PromptName};
use crate::rtp::tone::{Tone, share};
use crate::rtp::wav;

fn tone_file(rate_hz: u32, hz: u16) -> Vec<u8> {
    // A tone of 8 kHz, written as if it were of another rate, is another pitch.
    let at_8k = u32::from(hz) * 8_000 / rate_hz;
    wav::write(rate_hz, &Tone::new(at_8k as u16, 8_000).samples(rate_hz as usize))
}

fn folder() -> (tempfile::TempDir, Config) {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config {
        dir: dir.path().join("prompts"),
        language: Language::chinese(),
    };
    (dir, config)
}

fn place(owner: Owner, language: &str, name: &str) -> Place {
    Place {
        owner,
        language: language.parse().expect("a language"),
        name: name.into(),
    }
}

#[test]
fn whatever_a_caller_is_told_ships_in_both_languages_at_one_loudness_and_with_its_words() {
    let (_dir, config) = folder();
    let found = read(&config);
    assert_eq!(found.bad, []);
    assert_eq!(found.prompts.list().len(), 2 * PromptName::ALL.len());
    for language in [Language::chinese(), Language::english()] {
        for (name, prompt) in PromptName::ALL {
            let home = Home {
                language: Some(language),
                ..Home::default()
            };
            let found = found.prompts.found(home, name).expect("it ships");
            assert_eq!((found.language, &found.owner), (language, &Owner::Shipped));
            let samples = found.clip.samples();
            let sound = Sound::of(&wav::write(8_000, &samples)).expect("it has a sound");
            let level = sound.level_dbm0();
            assert!((-19.0..-14.0).contains(&level), "{language} {name}: {level} dBm0");
            let loudest = samples.iter().map(|s| s.unsigned_abs()).max();
            assert!(loudest < Some(30_000), "{language} {name}: {loudest:?}");
            let lasts = found.clip.lasts();
            assert!(
                lasts > Duration::from_secs(1) && lasts < Duration::from_secs(12),
                "{language} {name}: {lasts:?}"
            );
            assert!(text(language, prompt.name()).is_some(), "{language} {name}");
        }
    }
}

#[test]
fn what_is_put_is_heard_instead_of_what_ships_and_what_is_removed_no_more() {
    let (_dir, config) = folder();
    let sound = Sound::of(&tone_file(44_100, 441)).expect("a sound");
    assert_eq!(sound.read_as, "44.1 kHz, mono, 16-bit PCM");
    let server = place(Owner::Server, "zh", "busy");
    let pool = place(Owner::Pool("FC100000000000001".into()), "zh", "busy");
    let before = read(&config).prompts;
    for place in [&server, &pool] {
        let path = put(&config, place, &sound).expect("it is written");
        assert!(path.starts_with(&config.dir) && path.is_file());
    }
    let found = read(&config);
    assert_eq!(found.bad, []);
    assert_eq!(
        difference(&before, &found.prompts).as_deref(),
        Some("prompts (2 new or changed)")
    );
    let heard = |prompts: &Prompts, pool| {
        let home = Home {
            pool,
            ..Home::default()
        };
        prompts.found(home, "busy").map(|prompt| prompt.owner.clone())
    };
    assert_eq!(
        heard(&found.prompts, "FC100000000000001"),
        Some(pool.owner.clone())
    );
    assert_eq!(heard(&found.prompts, "FC100000000000002"), Some(Owner::Server));
    let clip = found
        .prompts
        .clip(Home::default(), PromptName::Busy)
        .expect("it is there");
    let samples = clip.samples();
    assert!(share(&samples[800..7_200], 441) > 0.99, "as it was recorded");
    assert_eq!(remove(&config, &server), Ok(true));
    assert_eq!(remove(&config, &server), Ok(false));
    let after = read(&config).prompts;
    assert_eq!(heard(&after, ""), Some(Owner::Shipped));
    assert_eq!(
        difference(&found.prompts, &after).as_deref(),
        Some("prompts (1 gone)")
    );
}

#[test]
fn a_file_that_cant_be_heard_is_named_with_the_cure_and_another_wording_is_heard() {
    let (_dir, config) = folder();
    let zh = config.dir.join("zh");
    fs::create_dir_all(&zh).expect("a folder");
    fs::create_dir_all(config.dir.join("Chinese")).expect("a folder");
    for (name, bytes) in [
        ("busy.wav", b"ID3 or so".to_vec()),
        ("wait.mp3", Vec::new()),
        ("No Such.wav", tone_file(8_000, 400)),
        ("thanks.wav", wav::write(8_000, &[0; 8_000])),
        ("goodbye.wav", wav::write(4_000, &[5; 8_000])),
        ("recorded.wav", wav::write(8_000, &vec![5; 8_000 * 301])),
        (".hidden", Vec::new()),
    ] {
        fs::write(zh.join(name), bytes).expect("it is written");
    }
    let found = read(&config);
    let told: Vec<String> = found.bad.iter().map(ToString::to_string).collect();
    for (file, why) in [
        ("Chinese", "no language"),
        ("zh/busy.wav", "no WAV file: convert it"),
        ("zh/wait.mp3", "no .wav: convert it"),
        ("zh/No Such.wav", "small letters"),
        ("zh/thanks.wav", "no sound in it"),
        (
            "zh/goodbye.wav",
            "4000 samples a second, 8000 to 192000 are read: convert it",
        ),
        ("zh/recorded.wav", "lasts 301 s, at most 300 are played: cut it"),
    ] {
        let is_told = |line: &&String| line.contains(&format!("{file}: ")) && line.contains(why);
        assert!(told.iter().any(|line| is_told(&line)), "{file}: {told:#?}");
    }
    assert_eq!(told.len(), 7);
    let heard = found.prompts.found(Home::default(), "busy");
    assert_eq!(heard.map(|prompt| &prompt.owner), Some(&Owner::Shipped));
}

#[test]
fn what_is_kept_of_a_studio_s_file_is_small_and_sounds_the_same() {
    let sound = Sound::of(&tone_file(48_000, 3_000)).expect("a sound");
    let kept = Sound::of(sound.file()).expect("it can be read again");
    assert_eq!(kept.clip(), sound.clip());
    assert_eq!(sound.file().len(), wav::HEADER_BYTES + 32_000);
    let narrow = tone_file(8_000, 400);
    assert_eq!(Sound::of(&narrow).map(|sound| sound.file().to_vec()), Ok(narrow));
}

#[test]
fn what_was_cut_to_the_longest_time_is_heard_and_a_sample_more_is_not() {
    let longest = 300 * 8_000;
    let sound = Sound::of(&wav::write(8_000, &vec![9_000; longest])).expect("it isn't too long");
    assert_eq!(sound.lasts(), Duration::from_secs(300));
    let longer = Sound::of(&wav::write(8_000, &vec![9_000; longest + 1]));
    assert_eq!(longer, Err(BadSound::Long(301)));
}

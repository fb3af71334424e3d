//! How far what is on disk is behind what was heard.

use super::*;

/// What may be missing after a kill.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Rounds of packets after which the ear listens: as often as it does on its own thread.
const EACH: u32 = 5;

/// How much of a recording is on disk, and whether the end of that holds what was said last.
fn on_disk(stage: &Stage, sounds: Sound) -> (Duration, bool) {
    let Ok(mut reader) = Reader::open(&stage.place(1), &Keys::default()) else {
        return (Duration::ZERO, true);
    };
    let rate = reader.head().rate;
    let time = Duration::from_millis(reader.samples() * 1_000 / u64::from(rate));
    let mut bytes = vec![0; reader.bytes() as usize];
    reader.read_at(0, &mut bytes).expect("it can be read");
    let is_said = match sounds {
        Sound::Narrow | Sound::Wide => {
            let ends = bytes.len().saturating_sub(80 * 4).max(wav::HEADER_BYTES);
            bytes[ends..].iter().all(|byte| *byte != 0)
        }
        Sound::Unread => {
            let heard = dump::packets(&bytes)
                .into_iter()
                .flatten()
                .map(|(at_ms, _)| at_ms);
            u128::from(heard.max().unwrap_or(0)) + 2 * ROUND.as_millis() >= time.as_millis()
        }
    };
    (time, is_said)
}

#[test]
fn whenever_a_server_is_killed_what_was_heard_up_to_the_last_second_is_on_disk() {
    for sounds in [Sound::Narrow, Sound::Wide, Sound::Unread] {
        // The ear listens at other moments each time.
        for first in 0..EACH {
            let dir = folder();
            let mut stage = Stage::at(dir.path(), 0);
            stage.order(Order::Begin(stage.begin(1, sounds)));
            stage.speaks(1);
            if sounds == Sound::Unread {
                stage
                    .speaking
                    .iter_mut()
                    .for_each(|(_, coding, _)| *coding = None);
            }
            stage.listens = (EACH, first);
            let begun = stage.now().at;
            for _ in 0..200 {
                stage.run(ROUND);
                let heard = stage.now().at - begun;
                let (written, is_said) = on_disk(&stage, sounds);
                let behind = heard.saturating_sub(written);
                assert!(behind <= BEHIND_MAX, "{sounds:?} at {heard:?}: {behind:?} behind");
                assert!(is_said, "{sounds:?} at {heard:?}");
            }
        }
    }
}

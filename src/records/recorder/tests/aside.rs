//! A call that turns to a codec that isn't read: what is said so lies beside its WAV file, exact.

use super::*;
use crate::records::recordings::aside::aside_of;
use crate::records::recordings::chain::{self, Audio, Head, Loss, Unwritten};
use crate::rtp::packet;

/// What lies beside the recording of that number.
fn beside(stage: &Stage, number: u128) -> Place {
    Place::of(&stage.shared.settings.config.dir, aside_of(id(number)), noon())
}

/// Both sides speak in a codec that isn't read from now on, or in A-law again.
fn turn(stage: &mut Stage, coding: Option<Coding>) {
    for (_, of, _) in &mut stage.speaking {
        *of = coding;
    }
}

fn opened(place: &Place, keys: &Keys) -> (Head, u64, Vec<Mark>, Vec<u8>) {
    let mut reader = Reader::open(place, keys).expect("it can be opened");
    let mut bytes = vec![0; reader.bytes() as usize];
    reader.read_at(0, &mut bytes).expect("it can be read");
    let marks = reader.marks().copied().collect();
    (reader.head().clone(), reader.samples(), marks, bytes)
}

/// When each packet of a dump was heard, its number, and whether it is exactly what was said.
fn packets(place: &Place, keys: &Keys) -> Vec<(u32, u16, bool)> {
    let (_, _, _, bytes) = opened(place, keys);
    let coded = [1_000, -2_000].map(|value| Law::A.encode(value));
    let of = |(at_ms, bytes): (u32, &[u8])| {
        let (header, payload) = packet::read(bytes).expect("RTP");
        let payload = &bytes[payload];
        let is_said = payload.len() == PACKET && coded.iter().any(|code| payload.iter().all(|c| c == code));
        (at_ms, header.seq, is_said)
    };
    dump::packets(&bytes).expect("a dump").map(of).collect()
}

/// The packets of both sides, one each 20 ms between these milliseconds; numbers go on from 1 at 0 ms.
fn said(ms: std::ops::Range<u32>) -> Vec<(u32, u16, bool)> {
    let each = ms.step_by(20);
    each.flat_map(|ms| [(ms, (ms / 20 + 1) as u16, true); 2])
        .collect()
}

/// Two seconds that are read, three that aren't, and two that are.
fn turned(stage: &mut Stage) {
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    turn(stage, None);
    stage.run(seconds(3));
    turn(stage, Some(Coding::A));
    stage.run(seconds(2));
}

/// Nobody says anything any more, and it is over.
fn over(stage: &mut Stage) {
    stage.speaking.clear();
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
}

#[test]
fn what_is_said_in_a_codec_that_is_not_read_lies_beside_on_the_same_line_of_time() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    turned(&mut stage);
    assert_eq!(stage.shared.status.counts().open, 2);
    over(&mut stage);
    let (recording, why) = (id(1), Fault::Codec);
    assert_eq!(stage.told(), [Report::Gap { recording, why }]);
    let (frames, marks) = read(&stage.place(1));
    assert_eq!(frames.len(), 56_000);
    assert!(both(&frames[..16_000]) > 15_700 && both(&frames[40_000..]) > 15_700);
    assert!(frames[16_400..39_600].iter().all(|frame| *frame == [0, 0]));
    let aside = aside_of(id(1));
    let names_it = |mark: &Mark| {
        let why = Loss::Codec(Some(aside));
        matches!(mark.what, What::Lost { why: of, .. } if of == why)
    };
    assert!(!marks.is_empty() && marks.iter().all(names_it), "{marks:?}");
    let place = beside(&stage, 1);
    let (head, length_ms, marks, _) = opened(&place, &Keys::default());
    let first = opened(&stage.place(1), &Keys::default()).0;
    assert_eq!(
        (head.recording, head.audio, head.rate),
        (aside, Audio::Rtpdump, 1_000)
    );
    let shared = |head: &Head| (head.call, head.account.clone(), head.node.clone(), head.began);
    assert_eq!(shared(&head), shared(&first));
    assert!(head.is_aside() && !first.is_aside());
    assert_eq!(length_ms, 7_000);
    assert_eq!(packets(&place, &Keys::default()), said(2_000..5_000));
    let is_stream = |mark: &Mark| matches!(mark.what, What::Stream { .. });
    assert!(marks.iter().all(is_stream), "{marks:?}");
    assert_eq!(
        (is_whole(&place), stage.shared.status.counts().open),
        (Some(0), 0)
    );
    // Its chain has a line for the time before, and not one for each second of it.
    let lines = std::fs::read_to_string(place.day.join(format!("{aside}.chain"))).expect("its chain");
    assert!(
        lines
            .lines()
            .nth(2)
            .is_some_and(|line| line.contains("\"samples\":1600,")),
        "{lines}"
    );
}

#[test]
fn a_call_that_turns_to_no_such_codec_has_nothing_beside_it() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.call(1, seconds(2));
    assert!(
        !beside(&stage, 1)
            .day
            .join(format!("{}.chain", aside_of(id(1))))
            .exists()
    );
    stage.order(Order::Begin(stage.begin(2, Sound::Unread)));
    stage.speaking.clear();
    stage.speaks(2);
    turn(&mut stage, None);
    stage.run(seconds(2));
    stage.speaking.clear();
    stage.order(Order::End(id(2), stage.now().at));
    stage.run(ROUND);
    assert_eq!(
        packets(&stage.place(2), &Keys::default()).len(),
        200,
        "its own file holds it"
    );
    assert!(
        !beside(&stage, 2)
            .day
            .join(format!("{}.chain", aside_of(id(2))))
            .exists()
    );
}

#[test]
fn what_is_said_in_a_pause_lies_nowhere() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    // It turns to it in a pause, and is paused once more in it.
    stage.order(Order::Pause(id(1), stage.now().at));
    turn(&mut stage, None);
    stage.run(seconds(1));
    stage.order(Order::Resume(id(1), stage.now().at));
    stage.run(seconds(1));
    stage.order(Order::Pause(id(1), stage.now().at));
    stage.run(seconds(1));
    stage.order(Order::Resume(id(1), stage.now().at));
    stage.run(seconds(1));
    over(&mut stage);
    let place = beside(&stage, 1);
    let wanted = [said(1_000..2_000), said(3_000..4_000)].concat();
    assert_eq!(packets(&place, &Keys::default()), wanted);
    let (_, length_ms, marks, _) = opened(&place, &Keys::default());
    let turns: Vec<(u64, What)> = marks.iter().map(|mark| (mark.at, mark.what)).collect();
    let paused = [(2_000, What::Paused), (3_000, What::Resumed)];
    assert!(paused.iter().all(|turn| turns.contains(turn)), "{turns:?}");
    assert_eq!((length_ms, is_whole(&place)), (4_000, Some(0)));
}

#[test]
fn it_goes_on_after_a_kill_and_ends_with_its_call_whether_more_comes_or_not() {
    for speaks in [true, false] {
        let dir = folder();
        let mut stage = Stage::at(dir.path(), 0);
        let begin = stage.begin(1, Sound::Narrow);
        turned(&mut stage);
        drop(stage);
        let mut stage = Stage::at(dir.path(), 9_000);
        stage.order(Order::GoOn(begin));
        stage.run(ROUND);
        assert_eq!(stage.shared.status.counts().open, 2);
        if speaks {
            stage.rounds = 451;
            stage.speaks(1);
            turn(&mut stage, None);
        }
        stage.run(seconds(2));
        // It is nobody's to end while its call goes on.
        Keeper::default().look(&stage.shared, stage.now().wall, Some(stage.now().wall));
        over(&mut stage);
        let place = beside(&stage, 1);
        let heard = packets(&place, &Keys::default());
        let (before, after) = heard.split_at(heard.iter().take_while(|(at_ms, ..)| *at_ms < 9_000).count());
        assert!(
            before.len() >= 200 && said(2_000..5_000).starts_with(before),
            "{before:?}"
        );
        assert_eq!(after.len(), if speaks { 200 } else { 0 });
        assert!(
            after
                .iter()
                .all(|(at_ms, _, is_said)| *at_ms >= 9_020 && *is_said)
        );
        let (_, length_ms, marks, _) = opened(&place, &Keys::default());
        let restarts = marks
            .iter()
            .filter(|mark| matches!(mark.what, What::Restarted { .. }));
        assert_eq!((restarts.count(), is_whole(&place)), (1, Some(1)));
        assert!((11_000..=11_040).contains(&length_ms), "{length_ms}");
        let noted = stage
            .shared
            .settings
            .audit
            .end_of(aside_of(id(1)))
            .expect("a log");
        assert!(noted.is_some(), "its end is in the audit log");
        assert_eq!(stage.shared.status.counts().open, 0);
    }
}

#[test]
fn a_call_that_goes_on_and_turns_only_then_has_it_from_then_on() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    let begin = stage.begin(1, Sound::Narrow);
    stage.order(Order::Begin(begin.clone()));
    stage.speaks(1);
    stage.run(seconds(4));
    drop(stage);
    let mut stage = Stage::at(dir.path(), 6_000);
    stage.order(Order::GoOn(begin));
    stage.rounds = 300;
    stage.speaks(1);
    turn(&mut stage, None);
    // While the files are looked for.
    stage.scribe_sleeps = true;
    stage.run(seconds(1));
    stage.scribe_sleeps = false;
    stage.run(seconds(1));
    over(&mut stage);
    let place = beside(&stage, 1);
    let heard = packets(&place, &Keys::default());
    assert_eq!(heard, said(6_000..8_000));
    assert_eq!(
        (opened(&place, &Keys::default()).1, is_whole(&place)),
        (8_000, Some(0))
    );
}

#[test]
fn of_a_call_that_is_too_short_nothing_lies_beside_either() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    let is_empty = |stage: &Stage| {
        let day = std::fs::read_dir(stage.place(1).day);
        day.map_or(0, Iterator::count) == 0
    };
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    turn(&mut stage, None);
    stage.run(Duration::from_millis(800));
    assert!(!is_empty(&stage));
    stage.order(stage.short(1));
    stage.run(ROUND);
    assert!(is_empty(&stage));
    assert_eq!(stage.shared.status.counts().open, 0);
    // A process before began it.
    stage.clock.store(0, Ordering::Relaxed);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.run(Duration::from_millis(800));
    drop(stage);
    let mut stage = Stage::at(dir.path(), 60_000);
    stage.order(stage.short(1));
    stage.run(ROUND);
    assert!(is_empty(&stage));
}

#[test]
fn it_waits_for_a_full_disk_and_its_call_is_told_once_that_all_is_written() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    fault::set_room(Some(0));
    turn(&mut stage, None);
    stage.run(seconds(5));
    let recording = id(1);
    let why = Fault::DiskFull;
    let told = stage.told();
    assert!(
        told.iter().all(|report| report.recording() == recording),
        "{told:?}"
    );
    assert!(told.contains(&Report::Waits { recording, why }), "{told:?}");
    fault::set_room(None);
    stage.run(seconds(3));
    assert_eq!(stage.told(), [Report::Written { recording }]);
    over(&mut stage);
    let place = beside(&stage, 1);
    assert_eq!(packets(&place, &Keys::default()), said(2_000..10_000));
    assert_eq!(is_whole(&place), Some(0));
}

#[test]
fn what_there_is_no_room_for_is_marked_and_a_gap_of_its_call_and_the_rest_is_kept() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    fault::set_room(Some(0));
    stage.run(seconds(2));
    stage.ear.out.waiting_max = 1;
    turn(&mut stage, None);
    stage.run(seconds(3));
    fault::set_room(None);
    stage.run(seconds(2));
    stage.ear.out.waiting_max = 64 << 20;
    stage.run(seconds(2));
    over(&mut stage);
    let place = beside(&stage, 1);
    let (_, length_ms, marks, _) = opened(&place, &Keys::default());
    let gaps: Vec<&Mark> = marks.iter().filter(|mark| mark.what.is_gap()).collect();
    let [
        Mark {
            at,
            what:
                What::NotWritten {
                    samples,
                    why: Unwritten::DiskFull,
                },
        },
    ] = gaps[..]
    else {
        panic!("{marks:?}");
    };
    // No more than a block before the first packet.
    assert!((3_500..=4_000).contains(at), "{at}");
    let from = (*at + *samples) as u32;
    assert!((6_000..9_100).contains(&from), "{from}");
    let heard = packets(&place, &Keys::default());
    assert!(
        said(4_000..11_000).ends_with(&heard) && heard[0].0 >= from,
        "{:?}",
        heard.first()
    );
    assert_eq!((length_ms, is_whole(&place)), (11_000, Some(1)));
    let (recording, why) = (id(1), Fault::DiskFull);
    assert!(stage.told().contains(&Report::Gap { recording, why }));
}

#[test]
fn it_is_sealed_as_its_call_is() {
    let (dir, keys) = (folder(), folder());
    sealing::key_file(keys.path(), "acme.aes-256-gcm", '7', 64);
    let sealing = Sealing::read(Some(keys.path()), None);
    let mut stage = Stage::with(dir.path(), 0, sealing.clone());
    turned(&mut stage);
    over(&mut stage);
    let place = beside(&stage, 1);
    let file = place.day.join(format!("{}.rtpdump.sealed", place.recording));
    let lies = std::fs::read(file).expect("it is there");
    let spoken = [Law::A.encode(1_000); PACKET];
    assert!(!lies.windows(PACKET).any(|bytes| bytes == spoken));
    assert_eq!(packets(&place, sealing.keys()), said(2_000..5_000));
    let found = verify(&place, sealing.keys(), None).expect("it can be read");
    assert!(matches!(found, Verdict::Whole { .. }), "{found:?}");
}

#[test]
fn what_lies_beside_a_recording_that_somebody_has_removed_is_ended() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    turn(&mut stage, None);
    stage.run(seconds(2));
    let first = stage.place(1);
    for end in ["wav.part", "chain.part"] {
        std::fs::remove_file(first.day.join(format!("{}.{end}", id(1)))).expect("it is there");
    }
    stage.run(seconds(3));
    let place = beside(&stage, 1);
    assert_eq!(is_whole(&place), Some(0));
    assert!(packets(&place, &Keys::default()).len() > 200);
    assert_eq!(stage.shared.status.counts().open, 0);
}

#[test]
fn chains_name_what_lies_beside_in_a_field_of_its_own() {
    let mark = Mark {
        at: 8_000,
        what: What::Lost {
            channel: chain::Channel::Caller,
            samples: 160,
            why: Loss::Codec(Some(aside_of(id(1)))),
        },
    };
    let text = serde_json::to_string(&mark).expect("JSON");
    let wanted = format!(
        "{{\"at\":8000,\"what\":\"lost\",\"channel\":\"caller\",\"samples\":160,\"why\":\"codec\",\"aside\":\"{}\"}}",
        aside_of(id(1))
    );
    assert_eq!(text, wanted);
    assert_eq!(serde_json::from_str::<Mark>(&text).expect("a mark"), mark);
}

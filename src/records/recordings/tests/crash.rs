//! What a kill or a loss of power leaves, cut at every byte.

use std::fs::File;

use super::*;

/// Takes a recording of three seconds and cuts its files there; `None` leaves one whole.
fn cut(begin: &Begin, [chain_at, audio_at]: [Option<usize>; 2]) -> (TempDir, Place) {
    let dir = folder();
    let pen = begun(dir.path(), begin, 3);
    let place = pen.place().clone();
    drop(pen);
    let sealed = begin.key.as_ref().map_or(Cipher::None, Key::cipher);
    let paths = [
        place.chain(Phase::Part),
        place.audio(Audio::Wav, sealed, Phase::Part),
    ];
    for (path, at) in paths.iter().zip([chain_at, audio_at]) {
        if let Some(at) = at {
            let bytes = fs::read(path).expect("the file");
            fs::write(path, &bytes[..at.min(bytes.len())]).expect("room");
        }
    }
    (dir, place)
}

/// Bytes of the two files of such a recording.
fn lengths(begin: &Begin) -> [usize; 2] {
    let (_dir, place) = cut(begin, [None, None]);
    let names = fs::read_dir(&place.day).expect("the folder");
    let mut files: Vec<(PathBuf, usize)> = names
        .map(|file| file.expect("a file").path())
        .map(|path| (path.clone(), fs::read(path).expect("the file").len()))
        .collect();
    files.sort();
    [files[0].1, files[1].1]
}

/// Goes on at second 5, writes one more second, and ends.
fn goes_on(dir: &Path, begin: &Begin) -> (Place, Finished, u64) {
    goes_on_at(dir, begin, 5)
}

fn goes_on_at(dir: &Path, begin: &Begin, at: u64) -> (Place, Finished, u64) {
    let gone_on = Pen::go_on(dir, begin, &keys(begin), after(at)).expect("it goes on");
    let GoneOn::Goes { mut pen, from, .. } = gone_on else {
        panic!("it wasn't at its end");
    };
    assert_eq!(from, at * SECOND);
    write(&mut pen, at).expect("there is room");
    let finished = pen.end((at + 1) * SECOND, after(at + 1)).expect("there is room");
    (pen.place().clone(), finished, from)
}

/// Cuts both files there, reads what is left, goes on, and finds all of it whole.
fn survives(begin: &Begin, at: [Option<usize>; 2], blocks: u64) {
    let (dir, place) = cut(begin, at);
    let keys = keys(begin);
    let kept: Vec<Option<u64>> = (0..blocks).map(Some).collect();
    match Reader::open(&place, &keys) {
        Ok(_) => assert_eq!(samples(&read(&place, &keys)), seconds(&kept), "{at:?}"),
        Err(Error::Absent(_)) => assert_eq!(blocks, 0, "{at:?}: not even the first line is there"),
        Err(other) => panic!("{at:?}: {other}"),
    }
    match verify(&place, &keys, None).expect("it can be read") {
        Verdict::Unfinished { blocks: found, .. } | Verdict::Torn { blocks: found } => {
            assert_eq!(found, blocks, "{at:?}");
        }
        other => panic!("{at:?}: {other}"),
    }
    let (place, finished, _) = goes_on(dir.path(), begin);
    let seals = match begin.key {
        None => Seals::None,
        Some(_) => Seals::Right,
    };
    let verdict = verify(&place, &keys, None).expect("it can be read");
    assert_eq!(verdict, whole(&finished, seals), "{at:?}");
    let all: Vec<Option<u64>> = (0..6)
        .map(|n| Some(n).filter(|n| *n < blocks || *n == 5))
        .collect();
    assert_eq!(samples(&read(&place, &keys)), seconds(&all), "{at:?}");
    let mut reader = Reader::open(&place, &keys).expect("it can be opened");
    let restarted = reader.marks().filter_map(|mark| match mark.what {
        What::Restarted { silent_ms, .. } => Some((mark.at, silent_ms)),
        _ => None,
    });
    assert_eq!(
        restarted.collect::<Vec<_>>(),
        [(blocks * SECOND, (5 - blocks) * 1_000)]
    );
    assert_eq!(reader.read_at(0, &mut [0; 8]).expect("it can be read"), 8);
}

/// Where each whole line of the chain ends.
fn line_ends(begin: &Begin) -> Vec<usize> {
    let (_dir, place) = cut(begin, [None, None]);
    let chain = fs::read(place.chain(Phase::Part)).expect("the chain");
    let ends = chain.iter().enumerate().filter(|(_, c)| **c == b'\n');
    ends.map(|(at, _)| at + 1).collect()
}

fn every_cut(begin: &Begin) {
    let [chain, audio] = lengths(begin);
    let ends = line_ends(begin);
    assert_eq!(ends.len(), 4, "the first line, and three blocks");
    for at in 0..=chain {
        let whole = ends.iter().filter(|end| **end <= at).count() as u64;
        survives(begin, [Some(at), None], whole.saturating_sub(1));
    }
    let (header, block) = match begin.key {
        None => (44, 32),
        Some(_) => (0, 48),
    };
    for at in 0..=audio {
        let whole = at.saturating_sub(header) / block;
        survives(begin, [None, Some(at)], whole as u64);
    }
}

#[test]
fn cut_at_any_byte_a_recording_gives_its_whole_blocks_and_goes_on_to_be_whole() {
    every_cut(&begin(1));
}

#[test]
fn cut_at_any_byte_a_sealed_one_does_too() {
    every_cut(&sealed::begin_sealed(1, Cipher::Aes256Gcm));
}

#[test]
fn audio_that_a_loss_of_power_left_as_zeros_is_cut_off_with_its_line() {
    let dir = folder();
    let pen = begun(dir.path(), &begin(1), 3);
    let [_, audio] = files(pen.place(), Phase::Part);
    drop(pen);
    let mut bytes = fs::read(&audio).expect("the file");
    bytes[44 + 32..].fill(0);
    fs::write(&audio, bytes).expect("room");
    let (place, finished, _) = goes_on(dir.path(), &begin(1));
    assert_eq!(found(&place), whole(&finished, Seals::None));
    let what = What::Restarted {
        silent_ms: 4_000,
        cut_blocks: 2,
        clock_ms: 0,
    };
    assert_eq!(marks(&place), [Mark { at: 8, what }]);
}

#[test]
fn a_change_in_the_middle_is_no_torn_end_and_is_left_as_it_is() {
    let dir = folder();
    let pen = begun(dir.path(), &begin(1), 70);
    let [chain, _] = files(pen.place(), Phase::Part);
    drop(pen);
    let text = fs::read_to_string(&chain).expect("text");
    fs::write(&chain, text.replace("\"n\":3,\"at\":16", "\"n\":3,\"at\":17")).expect("room");
    let refused = Pen::go_on(dir.path(), &begin(1), &Keys::default(), after(80));
    let Err(refused) = refused else {
        panic!("it is damaged");
    };
    assert!(
        refused.to_string().contains("keep both files as they are"),
        "{refused}"
    );
    assert_ne!(fs::read_to_string(&chain).expect("text"), text);
}

#[test]
fn a_recording_that_was_at_its_end_gets_its_names() {
    // Killed between the two renames, and before both.
    for audio_is_named in [true, false] {
        let dir = folder();
        let (place, finished) = recorded(dir.path(), &begin(1), 2);
        let (parts, wholes) = (files(&place, Phase::Part), files(&place, Phase::Whole));
        fs::rename(&wholes[0], &parts[0]).expect("a rename");
        if !audio_is_named {
            fs::rename(&wholes[1], &parts[1]).expect("a rename");
        }
        assert!(matches!(found(&place), Verdict::Unfinished { blocks: 2, .. }));
        let gone_on = Pen::go_on(dir.path(), &begin(1), &Keys::default(), after(5)).expect("it can be read");
        assert!(matches!(gone_on, GoneOn::Ended(ref of) if *of == finished));
        assert_eq!(found(&place), whole(&finished, Seals::None));
    }
}

#[test]
fn one_that_was_paused_is_still_paused_and_one_that_is_gone_begins_anew() {
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 1);
    let what = What::Paused;
    write_with(&mut pen, 1, &[Mark { at: 9, what }]).expect("there is room");
    drop(pen);
    let gone_on = Pen::go_on(dir.path(), &begin(1), &Keys::default(), after(2)).expect("it goes on");
    assert!(matches!(
        gone_on,
        GoneOn::Goes {
            paused: true,
            from: 16,
            ..
        }
    ));
    let gone_on = Pen::go_on(dir.path(), &begin(2), &Keys::default(), after(2)).expect("it begins");
    assert!(matches!(
        gone_on,
        GoneOn::Goes {
            paused: false,
            from: 16,
            ..
        }
    ));
}

#[test]
fn a_restart_on_a_full_disk_goes_on_when_there_is_room() {
    let dir = folder();
    drop(begun(dir.path(), &begin(1), 1));
    fault::set_room(Some(50));
    let gone_on = Pen::go_on(dir.path(), &begin(1), &Keys::default(), after(2)).expect("it goes on");
    let GoneOn::Goes { mut pen, .. } = gone_on else {
        panic!("it wasn't at its end");
    };
    assert!(write(&mut pen, 2).is_err());
    fault::set_room(None);
    write(&mut pen, 3).expect("there is room");
    let finished = pen.end(4 * SECOND, after(4)).expect("there is room");
    assert_eq!(found(pen.place()), whole(&finished, Seals::None));
    assert_eq!(
        samples(&read(pen.place(), &Keys::default())),
        seconds(&[Some(0), None, None, Some(3)])
    );
    let kinds: Vec<What> = marks(pen.place()).iter().map(|mark| mark.what).collect();
    assert!(
        matches!(
            kinds[..],
            [
                What::NotWritten { samples: 16, .. },
                What::Restarted { silent_ms: 1_000, .. }
            ]
        ),
        "{kinds:?}"
    );
}

#[test]
fn a_recording_that_nobody_goes_on_with_ends_at_its_last_block_with_a_mark() {
    let (_dir, place) = cut(&begin(1), [None, Some(44 + 2 * 32 + 5)]);
    let finished = Pen::end_left(&place, &Keys::default(), None).expect("it can be written");
    let finished = finished.expect("there is something in it");
    assert_eq!((finished.samples, finished.gaps), (16, 1));
    assert_eq!(found(&place), whole(&finished, Seals::None));
    assert_eq!(
        marks(&place),
        [Mark {
            at: 16,
            what: What::Abandoned { cut_blocks: 1 }
        }]
    );
    let (_dir, place) = cut(&begin(1), [Some(20), Some(44)]);
    assert_eq!(
        Pen::end_left(&place, &Keys::default(), None).expect("it can be removed"),
        None
    );
    assert_eq!(fs::read_dir(&place.day).expect("the folder").count(), 0);
}

#[test]
fn audio_whose_chain_is_torn_at_its_first_line_is_never_removed() {
    let (dir, place) = cut(&begin(1), [Some(20), None]);
    let [_, audio] = files(&place, Phase::Part);
    let heard = fs::read(&audio).expect("the file");
    let ended = Pen::end_left(&place, &Keys::default(), None).expect("it can be renamed");
    assert_eq!(ended, None);
    let damaged = Place::damaged_of(&audio);
    assert_eq!(fs::read(&damaged).expect("it is kept"), heard);
    // The call goes on in the same recording; what is kept from before stays so.
    goes_on(dir.path(), &begin(1));
    assert_eq!(fs::read(&damaged).expect("it is kept"), heard);
}

#[test]
fn what_a_recording_that_can_t_begin_finds_there_stays() {
    let dir = folder();
    let place = begun(dir.path(), &begin(1), 1).place().clone();
    let [chain, audio] = files(&place, Phase::Part);
    let heard = fs::read(&audio).expect("the file");
    fs::remove_file(&chain).expect("it is there");
    assert!(matches!(Pen::begin(dir.path(), &begin(1)), Err(Error::Taken(_))));
    assert_eq!(fs::read(&audio).expect("it is another one's"), heard);
    assert!(!chain.exists(), "that was this one's");
}

#[test]
fn what_was_at_its_end_gets_its_names_when_it_is_on_the_medium() {
    let dir = folder();
    let (place, _) = recorded(dir.path(), &begin(1), 2);
    let (parts, wholes) = (files(&place, Phase::Part), files(&place, Phase::Whole));
    for (part, whole) in parts.iter().zip(&wholes) {
        fs::rename(whole, part).expect("a rename");
    }
    fault::set_sick(true);
    let refused = Pen::end_left(&place, &Keys::default(), None);
    fault::set_sick(false);
    assert!(matches!(refused, Err(Error::Disk(..))), "{refused:?}");
    assert!(parts.iter().all(|part| part.exists()));
    let finished = Pen::end_left(&place, &Keys::default(), None).expect("a well disk");
    assert_eq!(
        found(&place),
        whole(&finished.expect("it has two seconds"), Seals::None)
    );
}

/// A recording of so many seconds of which the medium refuses all but the first three, and that a loss of power cuts down to
/// so many blocks of audio.
fn unsynced(seconds: u64, left: usize) -> (TempDir, Place) {
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 3);
    pen.sync().expect("a well disk");
    fault::set_sick(true);
    for n in 3..seconds {
        write(&mut pen, n).expect("there is room");
        assert!(pen.sync().is_err());
    }
    fault::set_sick(false);
    let [_, audio] = files(pen.place(), Phase::Part);
    let file = File::options().write(true).open(audio).expect("the file");
    file.set_len(44 + 32 * left as u64).expect("it gets shorter");
    (dir, pen.place().clone())
}

#[test]
fn what_the_medium_refused_for_long_is_cut_off_as_far_as_that_is_marked_and_kept() {
    let (dir, place) = unsynced(60, 5);
    let [chain, _] = files(&place, Phase::Part);
    let lines = fs::read(&chain).expect("the chain");
    let (place, finished, _) = goes_on_at(dir.path(), &begin(1), 70);
    assert_eq!(found(&place), whole(&finished, Seals::None));
    let restarted = marks(&place).into_iter().find(|mark| match mark.what {
        What::Restarted { cut_blocks, .. } => cut_blocks == 55,
        _ => false,
    });
    assert_eq!(restarted.map(|mark| mark.at), Some(5 * SECOND));
    // What was cut off can still be looked at.
    let cut = fs::read(place.cut()).expect("it is kept");
    let tail = lines
        .split_inclusive(|c| *c == b'\n')
        .skip(6)
        .collect::<Vec<_>>()
        .concat();
    let head = cut.split_inclusive(|c| *c == b'\n').next().expect("a line");
    assert_eq!(cut[head.len()..], tail);
    assert!(
        String::from_utf8_lossy(head).contains(&format!(
            "\"chain_bytes\":{},\"audio_at\":204,\"audio_bytes\":0",
            tail.len()
        )),
        "{}",
        String::from_utf8_lossy(head)
    );

    let (dir, place) = unsynced(60, 2);
    let refused = Pen::go_on(dir.path(), &begin(1), &Keys::default(), after(70)).map(drop);
    assert!(
        matches!(refused, Err(Error::Damaged(..))),
        "block 3 was on the medium"
    );
    assert!(!place.cut().exists());
}

#[test]
fn lines_that_a_refusing_medium_lost_are_cut_off_and_all_of_them_are_counted() {
    let (dir, place) = unsynced(80, 80);
    let [chain, _] = files(&place, Phase::Part);
    let text = fs::read_to_string(&chain).expect("text");
    fs::write(&chain, text.replacen("{\"n\":7,", "{\"n\":0,", 1)).expect("room");
    let (place, finished, _) = goes_on_at(dir.path(), &begin(1), 90);
    assert_eq!(found(&place), whole(&finished, Seals::None));
    let cut = marks(&place).into_iter().find_map(|mark| match mark.what {
        What::Restarted { cut_blocks, .. } => Some((mark.at, cut_blocks)),
        _ => None,
    });
    assert_eq!(cut, Some((6 * SECOND, 74)));
}

#[test]
fn who_goes_on_is_told_whether_the_audio_is_still_empty() {
    for (audio, written) in [
        (Audio::Rtpdump, false),
        (Audio::Rtpdump, true),
        (Audio::Wav, false),
        (Audio::Wav, true),
    ] {
        let dir = folder();
        let begin = Begin { audio, ..begin(1) };
        let mut pen = Pen::begin(dir.path(), &begin).expect("a new recording");
        if written {
            match audio {
                Audio::Wav => write(&mut pen, 0),
                Audio::Rtpdump => pen.write_packets(&Packets {
                    from: 0,
                    millis: 8,
                    bytes: b"#!rtpplay1.0",
                    marks: &[],
                }),
            }
            .expect("there is room");
        }
        drop(pen);
        let gone_on = Pen::go_on(dir.path(), &begin, &Keys::default(), after(2)).expect("it goes on");
        assert!(matches!(gone_on, GoneOn::Goes { is_empty, .. } if is_empty != written));
    }
}

#[test]
fn of_a_recording_that_is_discarded_nothing_stays() {
    let (dir, place) = cut(&begin(1), [None, Some(44 + 40)]);
    let gone_on = Pen::go_on(dir.path(), &begin(1), &Keys::default(), after(5)).expect("it goes on");
    let GoneOn::Goes { pen, .. } = gone_on else {
        panic!("it wasn't at its end");
    };
    assert!(place.cut().exists());
    pen.discard().expect("it can be removed");
    assert_eq!(fs::read_dir(&place.day).expect("the folder").count(), 0);
}

#[test]
fn a_loss_of_power_may_take_as_much_of_short_blocks_as_of_long_ones() {
    // A quarter of a second each.
    const SAMPLES: u64 = SECOND / 4;
    for (lost, is_believed) in [(60, true), (70, false)] {
        let dir = folder();
        let mut pen = Pen::begin(dir.path(), &begin(1)).expect("a new recording");
        for n in 0..200 {
            let frames = [7; 2 * SAMPLES as usize];
            let block = Block {
                from: n * SAMPLES,
                frames: &frames,
                marks: &[],
            };
            pen.write(&block).expect("there is room");
        }
        let [_, audio] = files(pen.place(), Phase::Part);
        drop(pen);
        let file = File::options().write(true).open(audio).expect("the file");
        file.set_len(44 + (200 - lost) * SAMPLES * 4)
            .expect("it gets shorter");
        match Pen::go_on(dir.path(), &begin(1), &Keys::default(), after(60)) {
            Ok(GoneOn::Goes { mut pen, from, .. }) => {
                assert!(is_believed, "{lost}");
                pen.end(from, after(60)).expect("there is room");
                let what = What::Restarted {
                    silent_ms: 10_000 + lost * 250,
                    cut_blocks: lost,
                    clock_ms: 0,
                };
                let at = (200 - lost) * SAMPLES;
                assert_eq!(marks(pen.place()), [Mark { at, what }]);
            }
            Err(Error::Damaged(..)) => assert!(!is_believed, "{lost}"),
            other => panic!("{:?}", other.map(drop)),
        }
    }
}

#[test]
fn however_much_is_written_at_once_a_loss_of_power_takes_no_more_than_can_be_gone_on_with() {
    for is_sick in [false, true] {
        let dir = folder();
        let mut pen = Pen::begin(dir.path(), &begin(1)).expect("a new recording");
        fault::set_sick(is_sick);
        let (mut syncs, mut synced) = (fault::syncs(), 0);
        for n in 0..40 {
            write(&mut pen, n).expect("there is room");
            let tried = fault::syncs();
            if tried > syncs && !is_sick {
                synced = n;
            }
            syncs = tried;
        }
        fault::set_sick(false);
        // All that wasn't put on the medium.
        let [_, audio] = files(pen.place(), Phase::Part);
        drop(pen);
        let file = File::options().write(true).open(audio).expect("the file");
        file.set_len(44 + 32 * synced).expect("it gets shorter");
        let (place, finished, _) = goes_on_at(dir.path(), &begin(1), 50);
        assert_eq!(found(&place), whole(&finished, Seals::None));
        let cut = marks(&place).into_iter().find_map(|mark| match mark.what {
            What::Restarted { cut_blocks, .. } => Some(cut_blocks),
            _ => None,
        });
        assert_eq!(cut, Some(40 - synced));
        assert_eq!(synced > 0, !is_sick);
    }
}

#[test]
fn a_clock_that_was_set_makes_no_silence_and_the_mark_tells() {
    const HOUR: u64 = 3_600;
    // Set forward after two seconds, and so it stays over the next restart.
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 2);
    pen.set_clock(after(HOUR));
    write(&mut pen, 2).expect("there is room");
    drop(pen);
    goes_on_after(dir.path(), HOUR + 5, 5, HOUR as i64 * 1_000, 2_000);
    goes_on_after(dir.path(), HOUR + 8, 8, HOUR as i64 * 1_000, 2_000);
    // Set back while nobody listened: for how long isn't known.
    let dir = folder();
    drop(begun(dir.path(), &begin(1), 40));
    goes_on_after(dir.path(), 5, 40, -35_000, 0);
    // Going wrong by a little is no setting.
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 2);
    pen.set_clock(noon().plus(std::time::Duration::from_millis(900)));
    write(&mut pen, 2).expect("there is room");
    drop(pen);
    goes_on_after(dir.path(), 5, 5, 0, 2_000);
}

/// Goes on when the clock shows `shown` seconds after noon: that is second `second`, after so much silence. Writes that one.
fn goes_on_after(dir: &Path, shown: u64, second: u64, clock: i64, silent: u64) {
    let gone_on = Pen::go_on(dir, &begin(1), &Keys::default(), after(shown)).expect("it goes on");
    let GoneOn::Goes { mut pen, from, .. } = gone_on else {
        panic!("it wasn't at its end");
    };
    assert_eq!(from, second * SECOND);
    write(&mut pen, second).expect("there is room");
    let place = pen.place().clone();
    drop(pen);
    let told = marks(&place).into_iter().rev().find_map(|mark| match mark.what {
        What::Restarted {
            silent_ms, clock_ms, ..
        } => Some((silent_ms, clock_ms)),
        _ => None,
    });
    assert_eq!(told, Some((silent, clock)));
}

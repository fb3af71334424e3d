use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::chain::{Audio, Channel, Cipher, Loss, Mark, Unwritten, What};
use super::disk::fault;
use super::pen::{Begin, Block, Finished, GoneOn, Packets, Pen};
use super::place::Phase;
use super::read::Reader;
use super::seal::{Key, Keys};
use super::verify::{Change, Seals, Verdict, verify};
use super::{Error, Place};
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::time::Wall;
use crate::rtp::wav;

mod crash;
mod left;
mod marks;
mod sealed;
mod shelf;
mod tamper;

/// Samples a second, so few that a second is looked at byte for byte.
const RATE: u32 = 8;
const SECOND: u64 = RATE as u64;

pub(crate) fn noon() -> Wall {
    Wall::from_millis(1_795_255_200_000)
}

pub(crate) fn after(seconds: u64) -> Wall {
    noon().plus(std::time::Duration::from_secs(seconds))
}

pub(crate) fn id(number: u64) -> Id {
    Id::mint(noon(), &mut Chance::from_number(number))
}

pub(crate) fn begin(number: u64) -> Begin {
    Begin {
        recording: id(number),
        call: id(1_000 + number),
        binding: Some(id(2_000)),
        account: "acme".into(),
        node: "one".into(),
        began: noon(),
        audio: Audio::Wav,
        rate_hz: RATE,
        key: None,
    }
}

/// The same of packets as they came.
fn begin_packets(number: u64) -> Begin {
    Begin {
        audio: Audio::Rtpdump,
        rate_hz: 1_000,
        ..begin(number)
    }
}

/// A second of which each sample is another one.
fn second(n: u64) -> Vec<i16> {
    (0..2 * SECOND).map(|i| (n * 1_000 + i + 1) as i16).collect()
}

pub(crate) fn write(pen: &mut Pen, n: u64) -> Result<(), Error> {
    write_with(pen, n, &[])
}

fn write_with(pen: &mut Pen, n: u64, marks: &[Mark]) -> Result<(), Error> {
    let frames = second(n);
    let from = n * SECOND;
    pen.write(&Block {
        from,
        frames: &frames,
        marks,
    })
}

/// A recording of so many seconds, still being written.
pub(crate) fn begun(dir: &Path, begin: &Begin, seconds: u64) -> Pen {
    let mut pen = Pen::begin(dir, begin).expect("a new recording");
    for n in 0..seconds {
        write(&mut pen, n).expect("there is room");
    }
    pen
}

pub(crate) fn recorded(dir: &Path, begin: &Begin, seconds: u64) -> (Place, Finished) {
    let mut pen = begun(dir, begin, seconds);
    let ended = begin.began.plus(std::time::Duration::from_secs(seconds));
    let finished = pen.end(seconds * SECOND, ended).expect("there is room");
    (pen.place().clone(), finished)
}

fn keys(begin: &Begin) -> Keys {
    let mut keys = Keys::default();
    begin.key.iter().cloned().for_each(|key| keys.add(key));
    keys
}

fn read(place: &Place, keys: &Keys) -> Vec<u8> {
    let mut reader = Reader::open(place, keys).expect("it can be opened");
    let mut bytes = vec![0; reader.bytes() as usize];
    assert_eq!(
        reader.read_at(0, &mut bytes).expect("it can be read"),
        bytes.len()
    );
    bytes
}

/// The samples of a WAV file with two channels, as they are interleaved.
fn samples(file: &[u8]) -> Vec<i16> {
    let wav = wav::read(file).expect("a WAV file");
    assert_eq!((wav.rate_hz, wav.channels), (RATE, 2));
    let pairs = wav.data().chunks_exact(2);
    pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn seconds(numbers: &[Option<u64>]) -> Vec<i16> {
    let silence = vec![0; 2 * SECOND as usize];
    numbers
        .iter()
        .flat_map(|n| n.map_or_else(|| silence.clone(), second))
        .collect()
}

fn found(place: &Place) -> Verdict {
    verify(place, &Keys::default(), None).expect("it can be read")
}

fn whole(finished: &Finished, seals: Seals) -> Verdict {
    Verdict::Whole {
        blocks: finished.blocks,
        samples: finished.samples,
        gaps: finished.gaps,
        sha256: finished.sha256,
        seals,
    }
}

fn marks(place: &Place) -> Vec<Mark> {
    let reader = Reader::open(place, &Keys::default()).expect("it can be opened");
    reader.marks().copied().collect()
}

/// In memory where there is such a folder: what a sync does nobody sees here.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// Both files: the chain and the audio.
fn files(place: &Place, phase: Phase) -> [PathBuf; 2] {
    [place.chain(phase), place.audio(Audio::Wav, Cipher::None, phase)]
}

#[test]
fn a_recording_is_a_wav_file_and_its_chain_that_are_named_when_they_are_whole() {
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 2);
    let place = pen.place().clone();
    assert_eq!(place.day, dir.path().join("2026/11/21"));
    let parts = files(&place, Phase::Part);
    assert!(parts.iter().all(|path| path.exists()), "{parts:?}");
    assert_eq!(
        samples(&read(&place, &Keys::default())),
        seconds(&[Some(0), Some(1)])
    );
    assert_eq!(
        found(&place),
        Verdict::Unfinished {
            blocks: 2,
            samples: 16
        }
    );

    let finished = pen.end(2 * SECOND, after(2)).expect("there is room");
    let names: Vec<_> = fs::read_dir(&place.day)
        .expect("the folder")
        .map(|file| file.expect("a file").path())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let file = fs::read(&finished.audio).expect("the file");
    assert_eq!(
        samples(&file),
        seconds(&[Some(0), Some(1)]),
        "any player opens it"
    );
    assert_eq!(read(&place, &Keys::default()), file);
    assert_eq!(found(&place), whole(&finished, Seals::None));
    assert_eq!(pen.end(2 * SECOND, after(2)).expect("it is whole"), finished);
    assert!(matches!(write(&mut pen, 2), Err(Error::Taken(_))));
    assert!(matches!(Pen::begin(dir.path(), &begin(1)), Err(Error::Taken(_))));
}

#[test]
fn a_chain_is_what_its_description_says() {
    let dir = folder();
    let lost = Mark {
        at: 3,
        what: What::Lost {
            channel: Channel::Callee,
            samples: 2,
            why: Loss::Network,
        },
    };
    let mut pen = Pen::begin(dir.path(), &begin(1)).expect("a new recording");
    write_with(&mut pen, 0, &[lost]).expect("there is room");
    pen.write(&Block {
        from: SECOND,
        frames: &[0; 16],
        marks: &[],
    })
    .expect("there is room");
    pen.end(2 * SECOND, after(2)).expect("there is room");
    let [chain, audio] = files(pen.place(), Phase::Whole);
    let text = fs::read_to_string(&chain).expect("text");
    let begun: Vec<&str> = text
        .lines()
        .map(|line| line.split(",\"sha256\":").next().expect("a text"))
        .collect();
    let (recording, call, binding) = (id(1), id(1_001), id(2_000));
    let audio_sha =
        super::chain::Sha::of(&[&second(0).iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<_>>()]);
    assert_eq!(
        begun,
        [
            format!(
                "{{\"form\":1,\"recording\":\"{recording}\",\"call\":\"{call}\",\"binding\":\"{binding}\",\
                 \"account\":\"acme\",\"node\":\"one\",\"began\":\"2026-11-21T10:00:00.000Z\",\"audio\":\"wav\",\
                 \"rate\":8,\"sealed\":\"none\",\"key\":null,\"key_print\":null"
            ),
            format!(
                "{{\"n\":1,\"at\":0,\"samples\":8,\"bytes\":32,\"marks\":[{{\"at\":3,\"what\":\"lost\",\
                 \"channel\":\"callee\",\"samples\":2,\"why\":\"network\"}}],\"audio\":\"{audio_sha}\""
            ),
            "{\"n\":2,\"at\":8,\"samples\":8,\"bytes\":32,\"marks\":[],\"audio\":\"silence\"".into(),
            "{\"whole\":true,\"blocks\":2,\"samples\":16,\"gaps\":1,\"ended\":\"2026-11-21T10:00:02.000Z\""
                .into(),
        ]
    );

    // To the last byte what programs of this form have written: later ones read it.
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/records/recordings/tests/form_1.chain");
    assert_eq!(text, fs::read_to_string(kept).expect("it is kept"));

    // What an expert runs who has nothing of ours.
    let script = dir.path().join("check.sh");
    fs::write(&script, include_str!("check.sh")).expect("room for a script");
    let check = || {
        let output = std::process::Command::new("sh")
            .args([&script, &chain, &audio])
            .output()
            .expect("there is a shell");
        String::from_utf8(output.stdout).expect("text") + &String::from_utf8_lossy(&output.stderr)
    };
    assert_eq!(check(), "");
    let mut bytes = fs::read(&audio).expect("the file");
    bytes[50] ^= 1;
    fs::write(&audio, bytes).expect("room");
    assert_eq!(check(), "the audio of line 2 isn't as it was written\n");
    fs::write(&chain, text.replace("\"n\":2,", "\"n\":3,")).expect("room");
    let said = check();
    assert!(said.contains("line 3 isn't as it was written"), "{said}");
}

#[test]
fn ranges_are_read_across_blocks_and_end_where_the_recording_does() {
    let dir = folder();
    let (place, finished) = recorded(dir.path(), &begin(1), 3);
    let file = fs::read(&finished.audio).expect("the file");
    let mut reader = Reader::open(&place, &Keys::default()).expect("it can be opened");
    assert_eq!(reader.bytes() as usize, file.len());
    for from in 0..=file.len() + 1 {
        for length in [1, 3, 31, 200] {
            let mut out = vec![0xAA; length];
            let got = reader.read_at(from as u64, &mut out).expect("it can be read");
            let wanted = file.get(from..).unwrap_or_default();
            let wanted = &wanted[..wanted.len().min(length)];
            assert_eq!(&out[..got], wanted, "{from} {length}");
        }
    }
    assert_eq!(
        reader.read_at(u64::MAX, &mut [0; 4]).expect("nothing is there"),
        0
    );
}

#[test]
fn a_full_disk_leaves_both_files_as_they_were_and_the_gap_is_silence_with_a_mark() {
    for room in [0, 1, 31, 32, 33, 100] {
        let dir = folder();
        let mut pen = begun(dir.path(), &begin(1), 1);
        let place = pen.place().clone();
        fault::set_room(Some(room));
        let paused = Mark {
            at: 9,
            what: What::Paused,
        };
        let refused = write_with(&mut pen, 1, &[paused]).expect_err("there is no room");
        assert!(matches!(refused, Error::Full(_)), "{refused}");
        assert!(refused.to_string().contains("make room there"), "{refused}");
        assert!(matches!(write(&mut pen, 2), Err(Error::Full(_))));
        assert_eq!(
            found(&place),
            Verdict::Unfinished {
                blocks: 1,
                samples: 8
            },
            "{room}"
        );
        // The end has no room either; it is asked for again later.
        assert!(matches!(pen.end(3 * SECOND, after(3)), Err(Error::Full(_))));

        fault::set_room(None);
        write(&mut pen, 3).expect("there is room again");
        let finished = pen.end(4 * SECOND, after(4)).expect("there is room");
        assert_eq!(found(&place), whole(&finished, Seals::None));
        assert_eq!(finished.gaps, 1);
        let heard = samples(&read(&place, &Keys::default()));
        assert_eq!(
            heard,
            seconds(&[Some(0), None, None, Some(3)]),
            "time stays right"
        );
        let not_written = Mark {
            at: 8,
            what: What::NotWritten {
                samples: 16,
                why: Unwritten::DiskFull,
            },
        };
        assert_eq!(marks(&place), [not_written, paused]);
    }
}

#[test]
fn a_recording_that_a_full_disk_cuts_off_ends_in_silence_up_to_its_end() {
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 1);
    fault::set_room(Some(0));
    assert!(write(&mut pen, 1).is_err());
    fault::set_room(None);
    let finished = pen.end(2 * SECOND, after(2)).expect("there is room");
    assert_eq!((finished.samples, finished.gaps), (16, 1));
    assert_eq!(found(pen.place()), whole(&finished, Seals::None));
}

#[test]
fn a_recording_that_can_t_begin_leaves_nothing_behind_and_begins_later_with_silence() {
    let dir = folder();
    for room in [0, 43, 44, 60] {
        fault::set_room(Some(room));
        assert!(matches!(Pen::begin(dir.path(), &begin(1)), Err(Error::Full(_))));
        fault::set_room(None);
        let left = fs::read_dir(dir.path().join("2026/11/21")).expect("the folder");
        assert_eq!(left.count(), 0, "{room}");
    }
    let mut pen = Pen::begin(dir.path(), &begin(1)).expect("there is room");
    write(&mut pen, 2).expect("there is room");
    let heard = samples(&read(pen.place(), &Keys::default()));
    assert_eq!(heard, seconds(&[None, None, Some(2)]));
}

#[test]
fn a_medium_that_refuses_to_sync_is_said_in_the_chain() {
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 1);
    pen.sync().expect("a well disk");
    write(&mut pen, 1).expect("there is room");
    fault::set_sick(true);
    for _ in 0..3 {
        let refused = pen.sync().expect_err("it is sick");
        assert!(refused.to_string().contains("check that disk"), "{refused}");
    }
    fault::set_sick(false);
    pen.sync().expect("it is well again");
    let finished = pen.end(2 * SECOND, after(2)).expect("a well disk");
    assert_eq!(found(pen.place()), whole(&finished, Seals::None));
    let what = What::NotSynced { from_block: 2 };
    assert_eq!(marks(pen.place()), [Mark { at: 16, what }]);
}

#[test]
fn many_recordings_are_synced_together() {
    let dir = folder();
    let mut pens: Vec<Pen> = (0..20).map(|n| begun(dir.path(), &begin(n), 1)).collect();
    fault::set_sick(true);
    assert!(Pen::sync_all(dir.path(), &mut pens).is_err());
    fault::set_sick(false);
    Pen::sync_all(dir.path(), &mut pens).expect("it is well again");
    assert!(pens.iter().all(Pen::is_synced));
    // Then few have something new.
    write(&mut pens[0], 1).expect("there is room");
    assert!(!pens[0].is_synced());
    Pen::sync_all(dir.path(), &mut pens).expect("a well disk");
    assert!(pens.iter().all(Pen::is_synced));
    let what = What::NotSynced { from_block: 1 };
    assert_eq!(marks(pens[0].place()), [Mark { at: 8, what }]);
}

#[test]
fn what_overlaps_is_written_once_and_what_is_missing_is_marked() {
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 2);
    write(&mut pen, 1).expect("it is there already");
    let frames = [second(1), second(2)].concat();
    pen.write(&Block {
        from: SECOND,
        frames: &frames,
        marks: &[],
    })
    .expect("there is room");
    write(&mut pen, 4).expect("there is room");
    let heard = samples(&read(pen.place(), &Keys::default()));
    assert_eq!(heard, seconds(&[Some(0), Some(1), Some(2), None, Some(4)]));
    let what = What::NotWritten {
        samples: 8,
        why: Unwritten::Overload,
    };
    assert_eq!(marks(pen.place()), [Mark { at: 24, what }]);
}

#[test]
fn no_block_says_more_than_a_wav_file_can_hold_and_long_silence_takes_no_room() {
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 1);
    for from in [u64::MAX, u64::from(u32::MAX) / 4] {
        let block = Block {
            from,
            frames: &[1; 16],
            marks: &[],
        };
        let refused = pen.write(&block).expect_err("it is too long");
        assert!(matches!(refused, Error::TooLong(_)), "{refused}");
    }
    // 40 MB of them.
    write(&mut pen, 1_250_000).expect("there is room");
    let finished = pen
        .end(1_250_001 * SECOND, after(1_250_001))
        .expect("there is room");
    assert_eq!(found(pen.place()), whole(&finished, Seals::None));
    use std::os::unix::fs::MetadataExt as _;
    let file = fs::metadata(&finished.audio).expect("the file");
    assert!(
        file.len() > 40_000_000 && file.blocks() * 512 < 1_000_000,
        "{file:?}"
    );
}

#[test]
fn a_long_block_is_cut_into_several_and_too_many_marks_are_added_up() {
    use crate::base::limits::{RECORDING_BLOCK_BYTES_MAX, RECORDING_MARKS_MAX};
    let dir = folder();
    let mut pen = Pen::begin(dir.path(), &begin(1)).expect("a new recording");
    let frames = vec![7; RECORDING_BLOCK_BYTES_MAX + 2];
    let lost = |at, channel| Mark {
        at,
        what: What::Lost {
            channel,
            samples: 1,
            why: Loss::Overload,
        },
    };
    let many: Vec<Mark> = (0..1_000)
        .flat_map(|at| [lost(at, Channel::Caller), lost(at, Channel::Callee)])
        .collect();
    pen.write(&Block {
        from: 0,
        frames: &frames,
        marks: &many,
    })
    .expect("there is room");
    let samples = (frames.len() / 2) as u64;
    let finished = pen.end(samples, after(1)).expect("there is room");
    assert_eq!((finished.blocks, finished.samples), (3, samples));
    assert_eq!(found(pen.place()), whole(&finished, Seals::None));
    let kept = marks(pen.place());
    assert!(kept.len() <= RECORDING_MARKS_MAX, "{}", kept.len());
    let sum: u64 = kept
        .iter()
        .map(|mark| match mark.what {
            What::Lost { samples, .. } => samples,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(sum, 2_000);
}

#[test]
fn a_dump_holds_what_it_is_given_and_its_time_goes_on_in_milliseconds() {
    let dir = folder();
    let mut pen = Pen::begin(dir.path(), &begin_packets(1)).expect("a new recording");
    let mut write = |from: u64, bytes: &[u8]| {
        pen.write_packets(&Packets {
            from,
            millis: 1_000,
            bytes,
            marks: &[],
        })
        .expect("there is room");
    };
    write(0, b"#!rtpplay1.0 0.0.0.0/0\n");
    write(1_000, b"");
    write(2_000, b"packets");
    let finished = pen.end(3_000, after(3)).expect("there is room");
    assert!(finished.audio.to_string_lossy().ends_with(".rtpdump"));
    assert_eq!((finished.blocks, finished.samples, finished.gaps), (3, 3_000, 0));
    let all = b"#!rtpplay1.0 0.0.0.0/0\npackets";
    assert_eq!(fs::read(&finished.audio).expect("the file"), all);
    assert_eq!(read(pen.place(), &Keys::default()), all);
    assert_eq!(found(pen.place()), whole(&finished, Seals::None));
}

#[test]
fn accounts_and_keys_that_are_named_by_numbers_are_hidden_and_kept_apart() {
    use super::index::{Filter, Index};
    use super::retention::{Days, Retention};
    let dir = folder();
    let names = ["shop 13800000001", "shop 13811110001"];
    let begins = [1, 2].map(|n| Begin {
        account: names[n as usize - 1].into(),
        ..begin(n)
    });
    for begin in &begins {
        let (place, _) = recorded(dir.path(), begin, 1);
        let chain = fs::read_to_string(place.chain(Phase::Whole)).expect("text");
        assert!(chain.contains("\"account\":\"#"), "{chain}");
        assert!(!chain.contains("shop"), "{chain}");
    }
    let (index, _) = Index::scan(dir.path()).expect("it can be read");
    let usual = Days { keep: 1, at_least: 0 };
    let mut retention = Retention::new(usual);
    let days = Days { keep: 9, ..usual };
    retention.set(names[0], days);
    for (name, begin, keep) in [(names[0], &begins[0], 9), (names[1], &begins[1], 1)] {
        let filter = Filter {
            account: Some(name.into()),
            ..Filter::default()
        };
        let page = index.page(&filter, None, 9);
        assert_eq!(page.len(), 1, "{name}");
        assert_eq!(page[0].recording, begin.recording);
        let until = retention.until(page[0].account(), noon());
        assert_eq!(until, after(keep * 86_400));
    }
    let digits = [b'0'; 32];
    let key = |name| Key::of_digits(name, Cipher::Sm4Gcm, &digits).expect("a key");
    let [one, other] = names.map(key);
    assert_ne!(one.name(), other.name());
    let sealed = Begin {
        key: Some(one),
        ..begin(3)
    };
    let (place, _) = recorded(dir.path(), &sealed, 1);
    let chain = fs::read_to_string(place.chain(Phase::Whole)).expect("text");
    assert!(
        !chain.contains("shop") && chain.contains("\"key\":\"#"),
        "{chain}"
    );
    assert_eq!(samples(&read(&place, &keys(&sealed))), seconds(&[Some(0)]));
}

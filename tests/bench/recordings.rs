//! Calls that are recorded beside as many that aren't: processor time by thread, room on the disk and in memory; and whether
//! every recording holds every packet.

mod files;
mod syscalls;
mod talk;
pub mod tap;

use std::time::SystemTime;

use crate::held::Line;
use crate::process::pss_bytes;
use crate::{Floor, Length, Rounds, Row, short};
use files::Written;
use talk::{Said, Talk};

/// Calls that are recorded at once.
pub const CALLS: usize = 500;
/// How much more a recorded call may cost than one that isn't.
const FLOOR: f64 = 1.5;
/// A packet that was under way for longer came late: the next one of its stream was due.
const LATE_US: u32 = 20_000;
/// How many of a thousand packets may be late, on a machine that others use too.
const LATE_PER_MILLE: f64 = 1.0;
/// How long calls talk until something is measured: what they said first has come to the disk then.
const WARM_S: f64 = 1.5;
/// So few calls talk while the media thread's system calls are counted, which makes each of them many times as long.
const COUNTED_CALLS: usize = 20;

/// The rows.
pub fn measure(length: Length) -> Vec<Row> {
    let calls = length.choose(50, CALLS);
    let rounds = length.choose(1, 15);
    let (long_s, round_s) = (length.choose(2.0, 60.0), length.choose(1.0, 3.0));
    let mut recorded = Talk::new(Line::recorded(calls as u16 + 100), calls);

    let dir = recorded.line.server.data().join("recordings");
    let (talks, room) = (SystemTime::now(), files::room(&dir));
    let long = recorded.speak(calls, 0.0, long_s);
    let (falls_silent, room) = (SystemTime::now(), files::room(&dir) - room);

    // Only now: who is silent for so long is taken for dead.
    let mut plain = Talk::new(Line::new(calls as u16 + 100), calls);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(recorded.speak(calls, WARM_S, round_s));
        theirs.push(plain.speak(calls, WARM_S, round_s));
    }
    let [kb, kb_plain] =
        [&recorded, &plain].map(|talk| pss_bytes(talk.line.server.pid()) / calls as f64 / 1_000.0);
    let seconds = length.choose(1.0, 5.0);
    let syncs = syscalls::of(&mut recorded, "rec-pen", |talk| {
        talk.speak(calls, 0.0, seconds);
    });
    let media = syscalls::of(&mut recorded, "media-0", |talk| {
        talk.speak(COUNTED_CALLS, 0.0, seconds);
    });
    recorded.end();
    plain.end();
    let written = Written::of(&recorded, (talks, falls_silent));

    let mut rows = vec![cpu(&ours, &theirs, calls)];
    rows.extend(whole(&long, &written, calls));
    rows.push(disk(
        room,
        &long,
        calls,
        syncs.map(|syncs| syncs.syncs() as f64 / seconds),
    ));
    rows.push(Row {
        ours: format!("{} kB", short(kb - kb_plain)),
        ..Row::new(
            "PSS for a recording",
            format!("{calls} recorded calls − as many that aren't ÷ calls, smaps_rollup; the ring is in it"),
        )
    });
    rows.push(Row {
        ours: media
            .as_ref()
            .map_or("-".into(), |media| format!("{} waits", media.waits())),
        floor: media
            .as_ref()
            .map(|media| Floor::at_most(0.0, "waits", media.waits() as f64)),
        ..Row::new(
            "The media thread's waits for the recorder",
            match &media {
                Some(media) => {
                    format!("{COUNTED_CALLS} recorded calls for {seconds} s; its system calls: {media}")
                }
                None => "not counted: strace isn't here, or may not look".into(),
            },
        )
    });
    rows.push(tap::measure(length));
    rows
}

/// What a call's processor time is, recorded and not.
fn cpu(ours: &[Said], theirs: &[Said], calls: usize) -> Row {
    let each = |said: &Said| said.server() * 1e6 / said.seconds / calls as f64;
    let rounds = |rounds: &[Said], of: &dyn Fn(&Said) -> f64| Rounds::of(rounds.iter().map(of).collect());
    let ratio = Rounds::of(
        ours.iter()
            .zip(theirs)
            .map(|(ours, theirs)| each(ours) / each(theirs))
            .collect(),
    );
    let of_thread = |all: &[Said], name: &str| {
        rounds(all, &|said| {
            said.threads.get(name).copied().unwrap_or(0.0) * 1e6 / said.seconds / calls as f64
        })
        .median()
    };
    let here = rounds(ours, &|said| said.here / said.seconds * 100.0).median();
    Row {
        ours: rounds(ours, &each).show("µs"),
        bare: rounds(theirs, &each).show("µs"),
        floor: Some(Floor::at_most(FLOOR, "×", ratio.median())),
        ratio: ratio.show("×"),
        profile: Some(
            "perf record -e cpu-clock -g -t (rec-ear, rec-pen), while `tests/bench/run recordings` runs",
        ),
        ..Row::new(
            "CPU for a second of a recorded call",
            format!(
                "{calls} calls, {} × {:.0} s, in turns; media {} µs ({} µs), rec-ear {} µs, rec-pen {} µs; bare: not recorded; who \
                 talks takes {here:.0} % of a processor",
                ours.len(),
                ours.first().map_or(0.0, |said| said.seconds),
                short(of_thread(ours, "media-0")),
                short(of_thread(theirs, "media-0")),
                short(of_thread(ours, "rec-ear")),
                short(of_thread(ours, "rec-pen")),
            ),
        )
    }
}

/// What is missing.
fn whole(long: &Said, written: &Written, calls: usize) -> [Row; 2] {
    let (missing, late) = (
        long.sent - long.came.min(long.sent),
        long.us.iter().filter(|us| **us > LATE_US).count(),
    );
    let late = late as f64 * 1_000.0 / long.sent as f64;
    [
        Row {
            ours: format!("{} with gaps", written.with_gaps),
            floor: Some(Floor::at_most(0.0, "with gaps", written.with_gaps as f64)),
            ..Row::new(
                &format!("{calls} calls recorded at once"),
                format!(
                    "for {:.0} s; {} recordings whole by `verify`, {} kept by their records; silent samples in them: {}",
                    long.seconds, written.whole, written.kept, written.silent
                ),
            )
        },
        Row {
            ours: format!("{missing} lost, {late:.2} ‰ late"),
            floor: Some(match missing {
                0 => Floor::at_most(LATE_PER_MILLE, "‰", late),
                _ => Floor::at_most(0.0, "lost", missing as f64),
            }),
            ..Row::new(
                "RTP of recorded calls, as it came",
                format!(
                    "{} packets; under way for {} µs (half of them), {} µs (99 %), {} µs (99.9 %), {} µs (all); late: longer \
                     than {} ms",
                    long.sent,
                    long.under_way_us(500),
                    long.under_way_us(990),
                    long.under_way_us(999),
                    long.under_way_us(1_000),
                    LATE_US / 1_000,
                ),
            )
        },
    ]
}

/// What the disk is given.
fn disk(room: u64, long: &Said, calls: usize, syncs: Option<f64>) -> Row {
    let minutes = long.seconds / 60.0 * calls as f64;
    let syncs = match syncs {
        Some(syncs) => format!("{} syncs a second", short(syncs)),
        None => "syncs weren't counted: strace isn't here, or may not look".into(),
    };
    Row {
        ours: format!("{} MB", short(room as f64 / minutes / 1e6)),
        bare: format!("{} MB", short(f64::from(8_000 * 2 * 2 * 60) / 1e6)),
        ratio: format!(
            "{} ×",
            short(room as f64 / minutes / f64::from(8_000 * 2 * 2 * 60))
        ),
        ..Row::new(
            "Disk for a minute of a recorded call",
            format!(
                "both files, as `du` counts; {} MB/s, {syncs}; bare: the samples alone",
                short(room as f64 / long.seconds / 1e6)
            ),
        )
    }
}

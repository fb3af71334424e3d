//! Whether a call costs the same however many others are held, and however many bindings there are: servers that
//! differ in nothing else make the same calls in turns. What they need meanwhile for the calls that are held is no
//! part of that: it is measured beside, while nobody calls.

use std::thread;
use std::time::Instant;

use crate::binds::Desk;
use crate::held::{Held, Line, pause};
use crate::process::cpu_seconds;
use crate::{Floor, Length, Rounds, Row};

/// How much more a call may cost.
const FLOOR: f64 = 1.15;
/// Calls that are made at once, and how often: 200 a second.
const WAVE: (usize, f64) = (20, 0.1);
/// Who makes bindings.
const WRITERS: usize = 64;

/// One of the servers.
struct Subject {
    line: Line,
    held: Vec<Held>,
}

impl Subject {
    fn new(held: usize, room: u16) -> Self {
        let mut line = Line::new(held as u16 + room);
        let held = (0..held).map(|_| line.call()).collect();
        Self { line, held }
    }

    /// Nobody calls for a while; then calls are made.
    fn round(&mut self, waves: usize, frame: u32) -> Round {
        self.line.speak(&self.held, frame);
        pause(0.3);
        let pid = self.line.server.pid();
        let idle = Share::begin(pid);
        pause(waves as f64 * WAVE.1);
        let idle = idle.end();
        let busy = Share::begin(pid);
        for _ in 0..waves {
            self.line.wave(WAVE.0);
            pause(WAVE.1);
        }
        let seconds = busy.since.elapsed().as_secs_f64();
        Round {
            call_us: (busy.end() - idle) * seconds * 1e6 / (waves * WAVE.0) as f64,
            upkeep_us: idle * 1e6,
        }
    }
}

/// What one round found.
#[derive(Clone, Copy)]
struct Round {
    /// Processor time of a call, without the upkeep of those that are held.
    call_us: f64,
    /// Processor time a second while nobody calls.
    upkeep_us: f64,
}

/// How much of a processor a process uses.
struct Share {
    pid: u32,
    since: Instant,
    used: f64,
}

impl Share {
    fn begin(pid: u32) -> Self {
        Self {
            pid,
            since: Instant::now(),
            used: cpu_seconds(pid),
        }
    }

    /// Seconds of it a second.
    fn end(&self) -> f64 {
        (cpu_seconds(self.pid) - self.used) / self.since.elapsed().as_secs_f64()
    }
}

/// The rows.
pub fn measure(length: Length) -> Vec<Row> {
    let (few, many) = length.choose((1, 20), (10, 2_000));
    let bindings = length.choose(1_000, 1_000_000);
    let (rounds, waves) = length.choose((1, 2), (7, 20));
    let mut bound = Subject::new(few, 900);
    // First: it takes longer than a silent call lasts.
    fill(&bound.line, bindings);
    let mut small = Subject::new(few, 900);
    let mut held = Subject::new(many, 900);
    // A first round warms up.
    for subject in [&mut small, &mut held, &mut bound] {
        subject.round(waves, 0);
    }
    let mut figures = [Vec::new(), Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for (subject, figures) in [&mut small, &mut held, &mut bound].into_iter().zip(&mut figures) {
            figures.push(subject.round(waves, round as u32));
        }
    }
    let upkeeps = |rounds: &[Round]| rounds.iter().map(|round| round.upkeep_us).collect::<Vec<_>>();
    let more = upkeeps(&figures[1]).into_iter().zip(upkeeps(&figures[0]));
    let upkeep = Rounds::of(
        more.map(|(many_us, few_us)| (many_us - few_us) / (many - few) as f64)
            .collect(),
    );
    let [small, held, bound] =
        figures.map(|rounds| rounds.iter().map(|round| round.call_us).collect::<Vec<_>>());
    let row = |what: String, figures: &[f64]| {
        let ratio = Rounds::of(
            figures
                .iter()
                .zip(&small)
                .map(|(more, less)| more / less)
                .collect(),
        );
        Row {
            ours: Rounds::of(figures.to_vec()).show("µs"),
            bare: Rounds::of(small.clone()).show("µs"),
            ratio: ratio.show("×"),
            floor: Some(Floor::at_most(FLOOR, "×", ratio.median())),
            profile: Some(
                "perf record -e cpu-clock -g -p PID on each of the servers, while `tests/bench/run flat` runs",
            ),
            ..Row::new(
                &what,
                format!(
                    "{rounds} × {} calls in turns, 200 a second, without what is used while nobody calls; beside it, in place of a bare loop, the server with {few} held and 1 binding",
                    waves * WAVE.0
                ),
            )
        }
    };
    vec![
        row(format!("CPU for a call, {many} held"), &held),
        row(format!("CPU for a call, {bindings} bindings"), &bound),
        Row {
            ours: upkeep.show("µs"),
            ..Row::new(
                "upkeep of a held call a second",
                format!(
                    "{rounds} × {} s without a packet, {many} held less {few}; RTCP to both sides about every 5 s",
                    waves as f64 * WAVE.1
                ),
            )
        },
    ]
}

/// Makes so many bindings.
fn fill(line: &Line, bindings: usize) {
    let control = line.server.folder().join("data/control.sock");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let control = &control;
            scope.spawn(move || {
                let mut desk = Desk::open(control);
                let share = bindings.div_ceil(WRITERS);
                // Blocks of numbers of its own, beyond the one that the calls are made on.
                desk.fill(100 + writer as u32 * 1_000, share as u32);
            });
        }
    });
}

//! A thousand prompts at once, each caller in the codec of his own: processor time for a frame beside a bare loop that sends as
//! many packets, and how evenly the packets come.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use umbra::base::language::Language;
use umbra::media::prompts;
use umbra::rtp::clip::{Coding, Play};

use crate::tones::{Bare, FLOOR, Player, TONES, ear};
use crate::{Floor, Length, Rounds, Row};

/// Callers whose packets' times are taken.
const WATCHED: usize = 8;
/// Packets are this far apart, in milliseconds.
const FRAME_MS: f64 = 20.0;

/// The row.
pub fn measure(length: Length) -> Row {
    let callers = length.choose(200, TONES);
    let (rounds, seconds) = (length.choose(1, 5), length.choose(1.0, 5.0));
    let ears: Vec<UdpSocket> = (0..callers).map(|_| ear()).collect();
    let player = Player::start(&ears, &plays());
    let bare = Bare::start(&ears);
    let (mut ours, mut theirs, mut apart) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let watch = Watch::over(&ears);
        ours.push(player.round(seconds).us_a_frame);
        apart.extend(watch.end());
        theirs.push(bare.round(seconds).us_a_frame);
    }
    let ratio = Rounds::of(ours.iter().zip(&theirs).map(|(ours, bare)| ours / bare).collect());
    apart.sort_by(f64::total_cmp);
    let part = |per_mille: usize| {
        let place = apart.len().saturating_sub(1) * per_mille / 1_000;
        apart.get(place).copied().unwrap_or(f64::NAN)
    };
    Row {
        ours: Rounds::of(ours).show("µs"),
        bare: Rounds::of(theirs).show("µs"),
        floor: Some(Floor::at_most(FLOOR, "×", ratio.median())),
        ratio: ratio.show("×"),
        profile: Some(
            "perf record -e cpu-clock -g -t (the thread media-0), while `tests/bench/run prompts` runs",
        ),
        ..Row::new(
            "CPU for a frame of a prompt",
            format!(
                "{callers} prompts at once in PCMA, PCMU and G.722, {rounds} × {seconds} s; from packet to packet 20 ms \
                 ± {:.1} ms (half of them), ± {:.1} ms (99 %), ± {:.1} ms (all)",
                part(500),
                part(990),
                part(1_000)
            ),
        )
    }
}

/// Every prompt that ships, over and over, in each codec.
fn plays() -> Vec<Play> {
    let none = prompts::Config {
        dir: PathBuf::from("/nonexistent"),
        language: Language::chinese(),
    };
    let found = prompts::read(&none);
    let codings = [Coding::A, Coding::Mu, Coding::G722];
    let all = found.prompts.list();
    all.iter()
        .zip(codings.into_iter().cycle())
        .map(|(prompt, coding)| Play::new(Arc::new(prompt.clip.forever()), coding, coding.payload()))
        .collect()
}

/// What takes the times at which packets come to some of the ears.
struct Watch {
    threads: Vec<thread::JoinHandle<Vec<f64>>>,
    ends: Arc<AtomicBool>,
}

impl Watch {
    fn over(ears: &[UdpSocket]) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let step = (ears.len() / WATCHED).max(1);
        let watched = ears.iter().step_by(step).take(WATCHED);
        let threads = watched.map(|ear| {
            let ear = ear.try_clone().expect("another handle");
            let until = Arc::clone(&ends);
            thread::spawn(move || apart(&ear, &until))
        });
        Self {
            threads: threads.collect(),
            ends,
        }
    }

    /// How far each packet was from 20 ms after the one before, in milliseconds.
    fn end(self) -> Vec<f64> {
        self.ends.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    }
}

fn apart(ear: &UdpSocket, ends: &AtomicBool) -> Vec<f64> {
    let mut buffer = [0; 256];
    // What the bare loop has sent meanwhile.
    ear.set_nonblocking(true).expect("a socket");
    while ear.recv(&mut buffer).is_ok() {}
    ear.set_nonblocking(false).expect("a socket");
    let patience = Some(Duration::from_millis(100));
    ear.set_read_timeout(patience).expect("a socket");
    let (mut apart, mut before) = (Vec::new(), None);
    while !ends.load(Ordering::Relaxed) {
        if ear.recv(&mut buffer).is_err() {
            before = None;
            continue;
        }
        let now = Instant::now();
        if let Some(before) = before.replace(now) {
            let ms = now.duration_since(before).as_secs_f64() * 1e3;
            apart.push((ms - FRAME_MS).abs());
        }
    }
    apart
}

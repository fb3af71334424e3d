//! Processor time for a frame of a sound of ours: a media thread that plays a thousand tones, and a bare loop that sends as
//! many packets at the same pace.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use umbra::base::chance::Chance;
use umbra::base::dscp::Dscp;
use umbra::base::time::Wall;
use umbra::call::media::{InterfaceId, MediaPort, Order, Ranges, Report};
use umbra::media::thread::{MediaThread, Settings};
use umbra::rtp::clip::{Coding, Play};
use umbra::rtp::signals::{Country, Signal, Signals};

use crate::pcma::spec;
use crate::process::thread_cpu_seconds;
use crate::rtp::packet;
use crate::{Floor, Length, Rounds, Row};

/// Legs that hear a tone at once.
pub const TONES: usize = 1_000;
/// How much more than the bare loop a frame may cost.
pub const FLOOR: f64 = 1.15;
/// As the server has it: four rounds within the 20 ms of a frame.
const ROUND: Duration = Duration::from_millis(5);
const ROUNDS: usize = 4;
/// The ports that are tried.
const PORTS: (u16, u16) = (40_000, 43_999);
/// The name of the bare loop's thread.
const BARE: &str = "bare-tones";

/// The row.
pub fn measure(length: Length) -> Row {
    let tones = length.choose(200, TONES);
    let (rounds, seconds) = (length.choose(1, 5), length.choose(1.0, 5.0));
    // Each is heard by a socket of its own, as by phones; nobody reads what it heard.
    let ears: Vec<UdpSocket> = (0..tones).map(|_| ear()).collect();
    let player = Player::start(&ears, &[ringback()]);
    let bare = Bare::start(&ears);
    let (mut ours, mut theirs, mut lost) = (Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..rounds {
        let played = player.round(seconds);
        lost = lost.max(1.0 - played.frames / (tones as f64 * 50.0 * seconds));
        ours.push(played.us_a_frame);
        theirs.push(bare.round(seconds).us_a_frame);
    }
    let ratio = Rounds::of(ours.iter().zip(&theirs).map(|(ours, bare)| ours / bare).collect());
    Row {
        ours: Rounds::of(ours).show("µs"),
        bare: Rounds::of(theirs).show("µs"),
        floor: Some(Floor::at_most(FLOOR, "×", ratio.median())),
        ratio: ratio.show("×"),
        profile: Some(
            "perf record -e cpu-clock -g -t (the thread media-0), while `tests/bench/run tones` runs",
        ),
        ..Row::new(
            "CPU for a frame of a tone",
            format!(
                "{tones} tones at once, {rounds} × {seconds} s, in turns; not sent {:.2} %; bare: send, every 5 ms",
                lost * 100.0
            ),
        )
    }
}

fn ringback() -> Play {
    let signals = Signals::of(Country::China);
    Play::new(Arc::clone(signals.clip(Signal::Ringback)), Coding::A, 8)
}

/// What one round found.
pub struct Round {
    /// Processor time for one frame, in microseconds.
    pub us_a_frame: f64,
    /// Frames that left.
    pub frames: f64,
}

/// A phone that hears.
pub fn ear() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}

fn at(ear: &UdpSocket) -> SocketAddr {
    ear.local_addr().expect("bound")
}

/// A media thread with a flow for each ear.
pub struct Player {
    thread: MediaThread,
    reports: std::sync::mpsc::Receiver<Report>,
    ports: Vec<MediaPort>,
    /// What the first hears, and the next, and so on around.
    plays: Vec<Play>,
}

impl Player {
    /// Opens the flows.
    pub fn start(ears: &[UdpSocket], plays: &[Play]) -> Self {
        let settings = Settings {
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            dscp: Dscp::VOICE,
            ranges: Ranges([PORTS].into_iter().collect()),
            pairs_max: ears.len(),
            started: Instant::now(),
            wall_at_start: Wall::from_millis(1_795_255_200_000),
        };
        let (sender, reports) = std::sync::mpsc::channel();
        let tell = Box::new(move |told: &[Report]| {
            for report in told {
                let _ = sender.send(*report);
            }
        });
        let thread = MediaThread::start(0, settings, Chance::from_number(7), tell, None).expect("a thread");
        let mut ports = Vec::new();
        for number in (PORTS.0..PORTS.1).step_by(2) {
            if ports.len() == ears.len() {
                break;
            }
            let port = MediaPort::new(InterfaceId(0), number);
            thread.order(Order::Bind(port)).expect("there is room");
            if reports.recv() == Ok(Report::Bound(port)) {
                ports.push(port);
            }
        }
        assert_eq!(ports.len(), ears.len(), "enough ports are free");
        for (port, ear) in ports.iter().zip(ears) {
            let open = Order::Open(*port, Box::new(spec(at(ear), None)));
            thread.order(open).expect("there is room");
        }
        Self {
            thread,
            reports,
            ports,
            plays: plays.to_vec(),
        }
    }

    fn sent(&self) -> f64 {
        let mut sent = 0;
        for port in &self.ports {
            self.thread.order(Order::Count(*port)).expect("there is room");
            if let Ok(Report::Counts(_, counts)) = self.reports.recv() {
                sent += counts.packets_out;
            }
        }
        sent as f64
    }

    /// All of them play for so long.
    pub fn round(&self, seconds: f64) -> Round {
        for (port, play) in self.ports.iter().zip(self.plays.iter().cycle()) {
            let play = Order::Play(*port, Box::new(play.clone()));
            self.thread.order(play).expect("there is room");
        }
        thread::sleep(Duration::from_millis(200));
        let (sent, used) = (self.sent(), thread_cpu_seconds("media-0"));
        thread::sleep(Duration::from_secs_f64(seconds));
        let used = thread_cpu_seconds("media-0") - used;
        let frames = self.sent() - sent;
        for port in &self.ports {
            self.thread.order(Order::Hush(*port)).expect("there is room");
        }
        Round {
            us_a_frame: used * 1e6 / frames,
            frames,
        }
    }
}

/// A thread that sends a packet to each ear every 20 ms, from a socket of its own, and does nothing else.
pub struct Bare {
    plays: Arc<AtomicBool>,
    frames: Arc<AtomicU64>,
}

impl Bare {
    /// Starts the thread; it waits.
    pub fn start(ears: &[UdpSocket]) -> Self {
        let mouths: Vec<(UdpSocket, SocketAddr)> = ears.iter().map(|to| (ear(), at(to))).collect();
        let (plays, frames) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_playing, count) = (Arc::clone(&plays), Arc::clone(&frames));
        let run = move || {
            let begun = Instant::now();
            for tick in 1.. {
                if is_playing.load(Ordering::Relaxed) {
                    let packet = packet(tick / ROUNDS as u32, 1);
                    for (mouth, to) in mouths.iter().skip(tick as usize % ROUNDS).step_by(ROUNDS) {
                        let sent = mouth.send_to(&packet, to).is_ok();
                        count.fetch_add(u64::from(sent), Ordering::Relaxed);
                    }
                }
                let next = begun + ROUND * tick;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        };
        let named = thread::Builder::new().name(BARE.into());
        named.spawn(run).expect("a thread");
        Self { plays, frames }
    }

    /// It sends for so long.
    pub fn round(&self, seconds: f64) -> Round {
        self.plays.store(true, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(200));
        let sent = || self.frames.load(Ordering::Relaxed) as f64;
        let (before, used) = (sent(), thread_cpu_seconds(BARE));
        thread::sleep(Duration::from_secs_f64(seconds));
        let (frames, used) = (sent() - before, thread_cpu_seconds(BARE) - used);
        self.plays.store(false, Ordering::Relaxed);
        Round {
            us_a_frame: used * 1e6 / frames,
            frames,
        }
    }
}

//! What becomes of calls, and of what people say meanwhile, when more come than can be taken: offered up to five times of that,
//! by a generator that plays a carrier and its phones. The server has a part of one processor, the generator the other.

mod audio;
mod picture;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::audio::{Audio, Ledger, Side};
use self::picture::picture;
use crate::held::{Held, Line, address, answer, audio_port, goodbye, invite, pause};
use crate::process::{cpu_seconds, drops};
use crate::small::{Share, pin};
use crate::{Floor, Length, Rounds, Row, short};

/// Hundredths of a processor that the server gets, so that neither the generator nor the files that a process may open are
/// what holds it.
const PERCENT: u32 = 25;
/// Calls that stay up meanwhile, with audio both ways.
const TALKS: usize = 30;
/// A packet of each comes so often.
const FRAME: Duration = Duration::from_millis(20);
/// How long a call lasts, with audio both ways.
const TALK: Duration = Duration::from_millis(200);
/// RFC 3261's T1; a request comes again after that, and after twice and four times that; then it is given up.
const T1: Duration = Duration::from_millis(500);
const TRIES: u32 = 4;
/// How long what is on its way may take to come, once a step is over.
const PATIENCE: Duration = Duration::from_millis(500);
/// The curve, in parts of about what the server can take, but for its end.
const PARTS: [f64; 8] = [0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0];
/// Its end, in times of the most that it took.
const TIMES: f64 = 5.0;
/// Calls that begin between two looks at what comes back.
const AT_ONCE: u64 = 8;
/// Messages that are read of one socket before another is looked at.
const READ_AT_ONCE: usize = 64;
/// How much of the maximum there has to be at the end.
const FLOOR: f64 = 0.9;

/// What was found at one rate.
#[derive(Clone, Default)]
struct Step {
    offered: f64,
    completed: f64,
    refused: f64,
    /// Calls that were taken and didn't end well, and those that heard nothing.
    failed: u64,
    /// From BYE to its answer, in milliseconds, shortest first.
    byes: Vec<f64>,
    audio: Audio,
    cpu: f64,
}

impl Step {
    fn bye_ms(&self, part: f64) -> f64 {
        let at = (self.byes.len() as f64 * part) as usize;
        self.byes
            .get(at.min(self.byes.len().saturating_sub(1)))
            .copied()
            .unwrap_or(f64::NAN)
    }
}

/// One point of the curve: what was found at this rate, round after round.
struct Point {
    offered: f64,
    steps: Vec<Step>,
}

impl Point {
    const fn at(offered: f64) -> Self {
        Self {
            offered,
            steps: Vec::new(),
        }
    }

    /// The round in which the middle number of calls was completed, with what failed and was lost in all of them.
    fn middle(&self) -> Step {
        let mut steps = self.steps.clone();
        steps.sort_by(|one, other| one.completed.total_cmp(&other.completed));
        let mut middle = steps.get(steps.len() / 2).cloned().unwrap_or_default();
        middle.failed = steps.iter().map(|step| step.failed).sum();
        middle.audio = steps.iter().map(|step| step.audio).sum();
        middle
    }
}

/// The most that it completed, of the middle round at each rate.
fn most_of(points: &[Point]) -> f64 {
    points
        .iter()
        .map(|point| point.middle().completed)
        .fold(1.0, f64::max)
}

/// Where on the curve it completed the most.
fn best_of(points: &[Point]) -> usize {
    let by_calls = points.iter().map(|point| point.middle().completed).enumerate();
    by_calls
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map_or(0, |(place, _)| place)
}

/// How many percent of the most it completed at the end of the curve, round by round: the machine may be faster in one than in
/// another.
fn kept(best: &Point, last: &Point) -> Rounds {
    let rounds = best.steps.iter().zip(&last.steps);
    Rounds::of(
        rounds
            .map(|(most, last)| last.completed / most.completed * 100.0)
            .collect(),
    )
}

/// The rows; the picture goes to the folder of test results.
pub fn measure(length: Length) -> Vec<Row> {
    let mut line = Line::new(4_500);
    let held: Vec<Held> = (0..TALKS).map(|_| line.call()).collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    pin(line.server.pid(), 0);
    pin(0, 1 % processors);
    let share = Share::of(line.server.pid(), PERCENT);
    let machine = match &share {
        Ok(_) => format!("{PERCENT} % of one processor"),
        Err(error) => format!("a whole processor ({error})"),
    };
    let (rounds, pairs, seconds) = length.choose((1, 0, 1.5), (5, 10, 3.0));
    let ours = [&line.carrier_media, &line.callee_media];
    let found_full = || ours.iter().map(|socket| drops(address(socket))).sum::<u64>();
    let full = found_full();
    let mut generator = Generator::new(&line, &held);
    // What it takes when far too much comes is near what it can.
    let guess = generator.step(800.0, seconds);
    let guess = guess.completed.max(guess.offered / 2.0);
    generator.calm();
    let can = generator.step(guess * 3.0, seconds).completed.max(1.0);
    generator.calm();
    let parts: &[f64] = length.choose(&[0.9, 1.5], &PARTS);
    let mut points: Vec<Point> = parts.iter().map(|part| Point::at(can * part)).collect();
    for _ in 0..rounds {
        for point in &mut points {
            point.steps.push(generator.shown_step(point.offered, seconds));
        }
        // The last is so many times the most that was found.
        if points.len() == parts.len() {
            let mut last = Point::at(most_of(&points) * TIMES);
            last.steps.push(generator.shown_step(last.offered, seconds));
            points.push(last);
        }
    }
    // What is asked for is the one part of the other: these two are looked at more often, in turns too.
    let (best, end) = (best_of(&points), points.len() - 1);
    for place in [best, end].repeat(pairs) {
        let offered = points[place].offered;
        points[place].steps.push(generator.shown_step(offered, seconds));
    }
    drop(share);
    let full = found_full() - full;
    let steps: Vec<Step> = points.iter().map(Point::middle).collect();
    let most = most_of(&points);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("overload.svg");
    fs::write(&path, picture(&steps, most, &machine)).expect("our own folder");
    println!("the curve: {}\n", path.display());
    let last = steps.last().expect("a curve has an end");
    let (kept, lost) = (
        kept(&points[best], &points[end]),
        steps.iter().map(|step| step.audio.lost).sum::<u64>(),
    );
    let late: u64 = steps.iter().map(|step| step.audio.late).sum();
    let profile =
        Some("perf record -e cpu-clock -g -p $(pgrep -n umbra), while `tests/bench/run overload` runs");
    vec![
        Row {
            ours: format!("{} /s", short(last.completed)),
            bare: format!("{} /s", short(most)),
            ratio: kept.show("%"),
            floor: Some(Floor::at_least(FLOOR * 100.0, "%", kept.median())),
            profile,
            ..Row::new(
                "calls completed at 5 × what it can take; at the right, the most",
                format!(
                    "{machine}; {} calls/s offered, {} refused at once, {} failed; {} rounds in turns, steps of {seconds} s",
                    short(last.offered),
                    short(last.refused),
                    last.failed,
                    rounds + pairs
                ),
            )
        },
        Row {
            ours: format!("{lost} lost"),
            floor: Some(Floor::at_most(0.0, "lost", lost as f64)),
            ..Row::new(
                "RTP of calls that stay up meanwhile",
                format!(
                    "{TALKS} calls, {} packets; {full} found the phones' own buffers full, {late} came after {} ms, the worst after {} ms; BYE at 5 ×: {} ms, 99 of 100 within {} ms",
                    steps.iter().map(|step| step.audio.sent).sum::<u64>(),
                    audio::LATE.as_millis(),
                    short(steps.iter().map(|step| step.audio.worst_ms).fold(0.0, f64::max)),
                    short(last.bye_ms(0.5)),
                    short(last.bye_ms(0.99)),
                ),
            )
        },
    ]
}

/// How far a call is.
enum State {
    /// Its INVITE has no answer yet.
    Calling(String),
    /// It has one that isn't final: nothing comes again.
    Proceeding(String),
    /// It was answered: its BYE.
    Talking(String),
    /// The BYE was sent, first then.
    Leaving(String, Instant),
}

/// Something that is due.
enum Due {
    /// A request comes again, if it has no answer: how often it came.
    Again(u64, u32),
    /// A call ends.
    Bye(u64),
    /// One side of a call speaks to this port of the server's; how often it has.
    Frame(Side, SocketAddr, u32),
}

/// Plays everybody who calls and is called.
struct Generator<'l> {
    line: &'l Line,
    held: &'l [Held],
    calls: HashMap<u64, State>,
    /// What is due, by how long it waits: each queue is in order.
    due: [VecDeque<(Instant, Due)>; 5],
    next: u64,
    frame: u32,
    began: Instant,
    audio: Ledger,
    step: Step,
}

impl<'l> Generator<'l> {
    fn new(line: &'l Line, held: &'l [Held]) -> Self {
        for socket in [
            &line.carrier,
            &line.callee,
            &line.carrier_media,
            &line.callee_media,
        ] {
            socket.set_nonblocking(true).expect("sockets can");
        }
        Self {
            line,
            held,
            calls: HashMap::new(),
            due: Default::default(),
            next: 0,
            frame: 0,
            began: Instant::now(),
            audio: Ledger::default(),
            step: Step::default(),
        }
    }

    /// Offers so many calls a second for a while.
    fn step(&mut self, per_s: f64, seconds: f64) -> Step {
        // Those that are taken at first may be a burst; and what was before is not counted.
        self.run(per_s, 1.0);
        self.step = Step::default();
        self.audio.begin();
        let cpu = cpu_seconds(self.line.server.pid());
        self.run(per_s, seconds);
        let mut step = std::mem::take(&mut self.step);
        step.cpu = (cpu_seconds(self.line.server.pid()) - cpu) / seconds;
        // What is on its way comes, or never does.
        self.audio.stop();
        let deadline = Instant::now() + PATIENCE;
        while self.audio.is_awaited() && Instant::now() < deadline {
            self.run(0.0, 0.01);
        }
        step.audio = self.audio.end();
        step.offered = per_s;
        step.completed /= seconds;
        step.refused /= seconds;
        step.byes.sort_by(f64::total_cmp);
        step
    }

    /// The same, said as it is found; then nobody calls until it is calm.
    fn shown_step(&mut self, per_s: f64, seconds: f64) -> Step {
        let step = self.step(per_s, seconds);
        eprintln!(
            "offered {:.0}/s: completed {:.0}/s, refused {:.0}/s, failed {}, BYE {:.1} ms ({:.1} of a hundred's slowest), audio lost {} late {} of {}, CPU {:.0} %",
            step.offered,
            step.completed,
            step.refused,
            step.failed,
            step.bye_ms(0.5),
            step.bye_ms(0.99),
            step.audio.lost,
            step.audio.late,
            step.audio.sent,
            step.cpu * 100.0,
        );
        self.calm();
        step
    }

    /// Waits until no call is left, and their ports have rested.
    fn calm(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.line.server.calls() > self.held.len() as u64 && Instant::now() < deadline {
            self.run(0.0, 0.2);
        }
        self.run(0.0, 2.2);
        self.calls.clear();
        self.due = Default::default();
    }

    fn run(&mut self, per_s: f64, seconds: f64) {
        let (began, mut sent) = (Instant::now(), 0_u64);
        loop {
            let passed = began.elapsed().as_secs_f64();
            if passed >= seconds {
                return;
            }
            let wanted = (passed * per_s) as u64;
            // So many between two looks at what comes back.
            let now = wanted.saturating_sub(sent).min(AT_ONCE);
            (0..now).for_each(|_| self.call());
            sent += now;
            self.speak();
            let read = self.carrier() + self.callee() + self.hear();
            self.serve_due();
            if read == 0 {
                pause(0.000_2);
            }
        }
    }

    fn call(&mut self) {
        let id = self.next;
        self.next += 1;
        let text = invite(
            &format!("o{id}"),
            address(&self.line.carrier),
            self.line.server.sip,
            address(&self.line.carrier_media),
        );
        self.say(&text);
        self.calls.insert(id, State::Calling(text));
        self.due[1].push_back((Instant::now() + T1, Due::Again(id, 1)));
    }

    fn say(&self, text: &str) {
        // What finds no room is lost, as on any network.
        let _ = self.line.carrier.send_to(text.as_bytes(), self.line.server.sip);
    }

    /// What the server says to who calls.
    fn carrier(&mut self) -> usize {
        let line = self.line;
        each(&line.carrier, |text, _| {
            let Some(id) = id_of(text) else { return };
            let status: u16 = text
                .get(8..11)
                .and_then(|status| status.parse().ok())
                .unwrap_or(0);
            let Some(state) = self.calls.remove(&id) else {
                return;
            };
            let is_bye = text.contains(" BYE\r\n");
            let after = match (state, status) {
                (State::Calling(invite) | State::Proceeding(invite), 100..200) => State::Proceeding(invite),
                (State::Calling(invite) | State::Proceeding(invite), 200..300) => {
                    let held = Held::of(invite, text.to_owned(), line.server.sip);
                    self.say(&held.request("ACK", 1));
                    self.due[0].push_back((Instant::now() + TALK, Due::Bye(id)));
                    let port = SocketAddr::new(line.server.sip.ip(), audio_port(text));
                    self.due[4].push_back((Instant::now() + FRAME, Due::Frame(Side::Caller, port, 0)));
                    State::Talking(held.request("BYE", 2))
                }
                (State::Calling(invite) | State::Proceeding(invite), _) => {
                    let to = text
                        .lines()
                        .find(|line| line.starts_with("To:"))
                        .unwrap_or_default();
                    let head = invite.split("\r\nTo:").next().unwrap_or_default();
                    let ack = head.replacen("INVITE", "ACK", 1);
                    self.say(&format!(
                        "{ack}\r\n{to}\r\nCall-ID: o{id}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
                    ));
                    if status == 503 {
                        self.step.refused += 1.0;
                    } else {
                        self.step.failed += 1;
                    }
                    return;
                }
                (State::Leaving(_, since), 200..300) if is_bye => {
                    self.step.completed += 1.0;
                    self.step.byes.push(since.elapsed().as_secs_f64() * 1e3);
                    return;
                }
                // Something that came twice.
                (state, _) => state,
            };
            self.calls.insert(id, after);
        })
    }

    /// What the server says to who is called.
    fn callee(&mut self) -> usize {
        let line = self.line;
        let (here, media) = (address(&line.callee), address(&line.callee_media));
        each(&line.callee, |text, from| {
            let say = |text: &str| {
                let _ = line.callee.send_to(text.as_bytes(), from);
            };
            if text.starts_with("INVITE ") {
                let ok = answer(text, here, media);
                say(&ok
                    .replacen("200 OK", "180 Ringing", 1)
                    .replacen("Content-Type: application/sdp\r\n", "", 1)
                    .split("Content-Length")
                    .next()
                    .map(|head| format!("{head}Content-Length: 0\r\n\r\n"))
                    .unwrap_or_default());
                say(&ok);
                let port = SocketAddr::new(line.server.sip.ip(), audio_port(text));
                self.due[4].push_back((Instant::now() + FRAME * 2, Due::Frame(Side::Callee, port, 0)));
            } else if text.starts_with("BYE ") {
                say(&goodbye(text));
            }
        })
    }

    fn serve_due(&mut self) {
        let now = Instant::now();
        for queue in 0..self.due.len() {
            while self.due[queue].front().is_some_and(|(due, _)| *due <= now) {
                let Some((due_at, due)) = self.due[queue].pop_front() else {
                    break;
                };
                match due {
                    Due::Bye(id) => {
                        if let Some(State::Talking(bye)) = self.calls.remove(&id) {
                            self.say(&bye);
                            self.calls.insert(id, State::Leaving(bye, now));
                            self.due[1].push_back((now + T1, Due::Again(id, 1)));
                        }
                    }
                    Due::Again(id, tries) => self.again(now, id, tries),
                    Due::Frame(side, port, frame) => {
                        let packet = audio::passing(frame, port.port());
                        let socket = match side {
                            Side::Caller => &self.line.carrier_media,
                            Side::Callee => &self.line.callee_media,
                        };
                        let _ = socket.send_to(&packet, port);
                        if FRAME * (frame + 2) < TALK {
                            let next = Due::Frame(side, port, frame + 1);
                            self.due[4].push_back((due_at + FRAME, next));
                        }
                    }
                }
            }
        }
    }

    fn again(&mut self, now: Instant, id: u64, tries: u32) {
        let text = match self.calls.get(&id) {
            Some(State::Calling(text) | State::Leaving(text, _)) => text,
            Some(State::Proceeding(_) | State::Talking(_)) | None => return,
        };
        if tries == TRIES {
            self.calls.remove(&id);
            self.step.failed += 1;
            return;
        }
        self.say(text);
        let wait = T1 * 2_u32.pow(tries);
        self.due[(tries as usize + 1).min(3)].push_back((now + wait, Due::Again(id, tries + 1)));
    }

    /// Everybody who talks says something, every 20 ms.
    fn speak(&mut self) {
        let due = FRAME * self.frame;
        if self.began.elapsed() < due {
            return;
        }
        self.frame += 1;
        let now = self.began.elapsed();
        for (stream, call) in self.held.iter().enumerate() {
            for (side, socket, port) in [
                (Side::Caller, &self.line.carrier_media, call.caller_port),
                (Side::Callee, &self.line.callee_media, call.callee_port),
            ] {
                let packet = audio::held(self.frame, stream as u16, side);
                if socket.send_to(&packet, port).is_ok() {
                    self.audio.sent(now, &packet);
                }
            }
        }
    }

    fn hear(&mut self) -> usize {
        let mut count = 0;
        for (side, socket) in [
            (Side::Caller, &self.line.carrier_media),
            (Side::Callee, &self.line.callee_media),
        ] {
            let mut buffer = [0; 512];
            while let Ok(len) = socket.recv(&mut buffer) {
                count += 1;
                self.audio.came(self.began.elapsed(), side, &buffer[..len]);
            }
        }
        count
    }
}

/// Reads what waits at a socket; how much that was.
fn each(socket: &UdpSocket, mut read: impl FnMut(&str, SocketAddr)) -> usize {
    let mut buffer = [0; 4_096];
    for count in 0..READ_AT_ONCE {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else {
            return count;
        };
        if let Ok(text) = std::str::from_utf8(&buffer[..len]) {
            read(text, from);
        }
    }
    READ_AT_ONCE
}

/// Which call of ours a message is of.
fn id_of(text: &str) -> Option<u64> {
    let rest = text.split_once("\r\nCall-ID: o")?.1;
    rest.split_once("\r\n")?.0.parse().ok()
}

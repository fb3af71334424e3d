//! What becomes of calls, and of what people say meanwhile, when more come than can be taken: offered up to five times of that,
//! by a generator that plays a carrier and its phones. The server has a part of one processor, the generator the other.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::held::{Held, Line, address, answer, audio_port, goodbye, invite, pause};
use crate::process::cpu_seconds;
use crate::small::{Share, pin};
use crate::{Floor, Length, Row, short};

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
/// A packet that needs longer is heard as a gap by a phone with a buffer of three frames.
const LATE: Duration = Duration::from_millis(60);
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

/// What became of audio.
#[derive(Clone, Copy, Default)]
struct Audio {
    sent: u64,
    came: u64,
    late: u64,
    worst_ms: f64,
}

impl Step {
    fn bye_ms(&self, part: f64) -> f64 {
        let at = (self.byes.len() as f64 * part) as usize;
        self.byes
            .get(at.min(self.byes.len().saturating_sub(1)))
            .copied()
            .unwrap_or(f64::NAN)
    }

    fn lost(&self) -> u64 {
        self.audio.sent.saturating_sub(self.audio.came)
    }
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
    let seconds = length.choose(1.5, 6.0);
    let mut generator = Generator::new(&line, &held);
    // What it takes when far too much comes is near what it can.
    let guess = generator.step(800.0, seconds / 2.0);
    let guess = guess.completed.max(guess.offered / 2.0);
    generator.calm();
    let can = generator.step(guess * 3.0, seconds).completed.max(1.0);
    generator.calm();
    let parts: &[f64] = length.choose(&[0.9, 1.5], &PARTS);
    let mut steps: Vec<Step> = Vec::new();
    for part in parts.iter().map(Some).chain([None]) {
        // The last is so many times the most that was found.
        let most = steps.iter().map(|step| step.completed).fold(0.0, f64::max);
        let per_s = part.map_or(most * TIMES, |part| can * part);
        let step = generator.step(per_s, seconds);
        eprintln!(
            "offered {:.0}/s: completed {:.0}/s, refused {:.0}/s, failed {}, BYE {:.1} ms ({:.1} of a hundred's slowest), audio lost {} late {} of {}, CPU {:.0} %",
            step.offered,
            step.completed,
            step.refused,
            step.failed,
            step.bye_ms(0.5),
            step.bye_ms(0.99),
            step.lost(),
            step.audio.late,
            step.audio.sent,
            step.cpu * 100.0,
        );
        steps.push(step);
        generator.calm();
    }
    drop(share);
    let most = steps.iter().map(|step| step.completed).fold(0.0, f64::max);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("overload.svg");
    fs::write(&path, picture(&steps, most, &machine)).expect("our own folder");
    println!("the curve: {}\n", path.display());
    let last = steps.last().expect("a curve has an end");
    let (kept, lost) = (last.completed / most, steps.iter().map(Step::lost).sum::<u64>());
    let late: u64 = steps.iter().map(|step| step.audio.late).sum();
    let profile =
        Some("perf record -e cpu-clock -g -p $(pgrep -n umbra), while `tests/bench/run overload` runs");
    vec![
        Row {
            ours: format!("{} /s", short(last.completed)),
            bare: format!("{} /s", short(most)),
            ratio: format!("{:.1} %", kept * 100.0),
            floor: Some(Floor::at_least(FLOOR * 100.0, "%", kept * 100.0)),
            profile,
            ..Row::new(
                "calls completed at 5 × what it can take; at the right, the most",
                format!(
                    "{machine}; {} calls/s offered, {} refused at once, {} failed; steps of {seconds} s",
                    short(last.offered),
                    short(last.refused),
                    last.failed
                ),
            )
        },
        Row {
            ours: format!("{lost} lost"),
            floor: Some(Floor::at_most(0.0, "lost", lost as f64)),
            ..Row::new(
                "RTP of calls that stay up meanwhile",
                format!(
                    "{TALKS} calls, {} packets; {late} came after {} ms, the worst after {} ms; BYE at 5 ×: {} ms, 99 of 100 within {} ms",
                    steps.iter().map(|step| step.audio.sent).sum::<u64>(),
                    LATE.as_millis(),
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

/// Who speaks.
#[derive(Clone, Copy)]
enum Side {
    Caller,
    Callee,
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
            step: Step::default(),
        }
    }

    /// Offers so many calls a second for a while.
    fn step(&mut self, per_s: f64, seconds: f64) -> Step {
        // Those that are taken at first may be a burst; and what was before is not counted.
        self.run(per_s, 1.0);
        self.step = Step::default();
        let cpu = cpu_seconds(self.line.server.pid());
        self.run(per_s, seconds);
        let mut step = std::mem::take(&mut self.step);
        step.cpu = (cpu_seconds(self.line.server.pid()) - cpu) / seconds;
        // What is on its way comes.
        self.run(0.0, 0.1);
        step.audio.came += self.step.audio.came.saturating_sub(self.step.audio.sent);
        step.offered = per_s;
        step.completed /= seconds;
        step.refused /= seconds;
        step.byes.sort_by(f64::total_cmp);
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
                        let packet = packet(frame, u32::from(port.port()), Duration::ZERO, Kind::Passing);
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
        for (stream, call) in self.held.iter().enumerate() {
            let packet = packet(self.frame, stream as u32, self.began.elapsed(), Kind::Held);
            for (socket, port) in [
                (&self.line.carrier_media, call.caller_port),
                (&self.line.callee_media, call.callee_port),
            ] {
                self.step.audio.sent += u64::from(socket.send_to(&packet, port).is_ok());
            }
        }
    }

    fn hear(&mut self) -> usize {
        let mut count = 0;
        for socket in [&self.line.carrier_media, &self.line.callee_media] {
            let mut buffer = [0; 512];
            while let Ok(len) = socket.recv(&mut buffer) {
                count += 1;
                let Some(sent) = sent_at(&buffer[..len]) else {
                    continue;
                };
                let took = self.began.elapsed().saturating_sub(sent);
                let audio = &mut self.step.audio;
                audio.came += 1;
                audio.late += u64::from(took > LATE);
                audio.worst_ms = audio.worst_ms.max(took.as_secs_f64() * 1e3);
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

/// Whose audio it is.
#[derive(Clone, Copy)]
enum Kind {
    /// Of a call that stays up.
    Held,
    /// Of one of those that come and go.
    Passing,
}

/// The first byte behind the time in a packet of a call that stays up.
const HELD: u8 = 0xA5;

/// Which call of ours a message is of.
fn id_of(text: &str) -> Option<u64> {
    let rest = text.split_once("\r\nCall-ID: o")?.1;
    rest.split_once("\r\n")?.0.parse().ok()
}

/// A packet of PCMA that says in its payload when it was sent.
fn packet(frame: u32, stream: u32, at: Duration, kind: Kind) -> [u8; 172] {
    let mut packet = [0xD5; 172];
    packet[..2].copy_from_slice(&[0x80, 8]);
    packet[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&frame.wrapping_mul(160).to_be_bytes());
    packet[8..12].copy_from_slice(&(stream + 1).to_be_bytes());
    packet[12..20].copy_from_slice(&(at.as_nanos() as u64).to_be_bytes());
    packet[20] = match kind {
        Kind::Held => HELD,
        Kind::Passing => 0,
    };
    packet
}

fn sent_at(packet: &[u8]) -> Option<Duration> {
    let bytes = packet.get(12..20)?;
    (packet.len() == 172 && packet[20] == HELD)
        .then(|| Duration::from_nanos(u64::from_be_bytes(bytes.try_into().unwrap_or_default())))
}

const LEFT: f64 = 80.0;
const WIDTH: f64 = 820.0;

/// The curve.
fn picture(steps: &[Step], most: f64, machine: &str) -> String {
    let widest = steps.iter().map(|step| step.offered).fold(1.0, f64::max);
    let x = |offered: f64| LEFT + offered / widest * WIDTH;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"760\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"960\" height=\"760\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"18\">Calls completed, of calls offered</text>\n\
         <text x=\"{LEFT}\" y=\"50\" fill=\"#555\">a second each; the server has {machine}; a refused call is told so (503) and not tried again</text>\n"
    );
    let (top, height) = (75.0, 380.0);
    let y = |calls: f64| top + height - calls / (most * 1.25) * height;
    let rule = |svg: &mut String, calls: f64, text: &str, colour: &str| {
        let y = y(calls);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-dasharray=\"5 4\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{text}</text>",
            LEFT + WIDTH,
            LEFT + WIDTH,
            y - 5.0
        );
    };
    rule(&mut svg, most, &format!("the most: {most:.0}"), "#555");
    rule(&mut svg, most * FLOOR, "90 %", "#c03028");
    let steepest = most * 1.25;
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#bbb\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#888\">every call offered</text>",
        x(0.0),
        y(0.0),
        x(steepest),
        y(steepest),
        x(steepest) + 6.0,
        top + 10.0
    );
    let axis = |svg: &mut String, top: f64, height: f64| {
        let bottom = top + height;
        let _ = writeln!(
            svg,
            "<path d=\"M {LEFT} {top} V {bottom} H {}\" fill=\"none\" stroke=\"#333\"/>",
            LEFT + WIDTH
        );
        for times in 0..=5 {
            let at = x(widest * f64::from(times) / 5.0);
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{:.0}</text>",
                bottom + 17.0,
                widest * f64::from(times) / 5.0
            );
        }
    };
    axis(&mut svg, top, height);
    let curve = |svg: &mut String, colour: &str, points: Vec<(f64, f64)>| {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"
            );
        }
    };
    let points = |y: &dyn Fn(&Step) -> f64| steps.iter().map(|step| (x(step.offered), y(step))).collect();
    curve(&mut svg, "#4878a8", points(&|step| y(step.completed)));
    let (low, flat) = (540.0, 150.0);
    let slowest = steps.iter().map(|step| step.bye_ms(0.99)).fold(10.0, f64::max) * 1.1;
    let ms = |value: f64| low + flat - value / slowest * flat;
    let lost: u64 = steps.iter().map(Step::lost).sum();
    let sent: u64 = steps.iter().map(|step| step.audio.sent).sum();
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\">What calls in progress feel: ms from BYE to its answer, half of them and 99 of 100; RTP lost: {lost} of {sent} packets</text>\
         <text x=\"{}\" y=\"{low}\" text-anchor=\"end\" fill=\"#555\">{slowest:.0} ms</text>",
        low - 14.0,
        LEFT - 8.0
    );
    axis(&mut svg, low, flat);
    curve(&mut svg, "#c08030", points(&|step| ms(step.bye_ms(0.99))));
    curve(&mut svg, "#4878a8", points(&|step| ms(step.bye_ms(0.5))));
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"735\" fill=\"#555\">calls offered a second: tests/bench/run overload</text>\n</svg>"
    );
    svg
}

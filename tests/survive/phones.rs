//! All the phones of the test: one socket and one thread for those that call, one for those that are called, and the
//! book in which every call stands.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::audio::Audio;
use crate::leg::{Deeds, Leg, Phase, Side};
use crate::message::Message;
use crate::server::{CALLEE, CARRIER};

/// How long a thread looks at its socket before it looks at the clock.
const LOOK: Duration = Duration::from_millis(5);
/// Messages that are taken at once.
const BATCH: usize = 64;

/// Two people and the number between them.
#[derive(Clone, Debug)]
pub struct Pair {
    pub a: String,
    pub b: String,
    pub x: String,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Answered at once; both talk and are listened to, until somebody hangs up.
    Held,
    /// The same without audio.
    Silent,
    /// Rings, is answered, and one hangs up.
    Talks {
        ring: Duration,
        talk: Duration,
        by: Side,
    },
    /// Rings until the caller gives up.
    GivesUp { ring: Duration },
    /// Rings until the called one declines.
    Declines { ring: Duration },
}

/// One call.
pub struct Call {
    pub pair: Pair,
    pub fate: Fate,
    pub caller: Leg,
    /// Once its INVITE has come.
    pub callee: Option<Leg>,
    is_timed: bool,
}

impl Call {
    /// One end of it.
    pub fn leg(&self, side: Side) -> Option<&Leg> {
        match side {
            Side::Caller => Some(&self.caller),
            Side::Callee => self.callee.as_ref(),
        }
    }

    fn leg_mut(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::Caller => Some(&mut self.caller),
            Side::Callee => self.callee.as_mut(),
        }
    }

    /// Whether both ends talk.
    pub fn talks(&self) -> bool {
        let talks = |leg: Option<&Leg>| leg.is_some_and(|leg| leg.phase == Phase::Talking);
        Side::BOTH.into_iter().all(|side| talks(self.leg(side)))
    }

    /// Whether it is over at both ends, with nothing left to be acknowledged.
    pub fn is_over(&self) -> bool {
        let is_over = |leg: &Leg| leg.phase == Phase::Ended && leg.is_quiet();
        is_over(&self.caller) && self.callee.as_ref().is_none_or(is_over)
    }
}

/// What is to be done at some moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Alarm {
    Remind(Side),
    Answer,
    Decline,
    GiveUp,
    HangUp(Side),
}

/// Every call, and the ways to change them.
pub struct Book {
    pub calls: Vec<Call>,
    /// What the server did that it must not do.
    pub faults: Vec<String>,
    /// When the server was killed last.
    pub killed: Option<Instant>,
    server: SocketAddr,
    sockets: [UdpSocket; 2],
    audio: Arc<Audio>,
    name: String,
    by_id: HashMap<String, (usize, Side)>,
    /// Who is called last for whom.
    called: HashMap<String, usize>,
    alarms: BinaryHeap<Reverse<(Instant, usize, Alarm)>>,
}

impl Book {
    /// Makes a call; returns its number.
    pub fn place(&mut self, pair: &Pair, fate: Fate) -> usize {
        self.place_with(pair, fate, "")
    }

    /// Makes a call whose INVITE has these header lines besides.
    pub fn place_with(&mut self, pair: &Pair, fate: Fate, headers: &'static str) -> usize {
        let number = self.calls.len();
        let id = format!("{}-{number}", self.name);
        let media = self.audio.address(number, Side::Caller);
        let here = self.sockets[0].local_addr().expect("bound");
        let mut caller = Leg::new(id.clone(), here, media, &pair.a, &pair.x);
        caller.headers = headers;
        self.by_id.insert(id, (number, Side::Caller));
        self.called.insert(pair.b.clone(), number);
        self.calls.push(Call {
            pair: pair.clone(),
            fate,
            caller,
            callee: None,
            is_timed: false,
        });
        let (now, server) = (Instant::now(), self.server);
        self.with(number, Side::Caller, |leg| leg.call(now, server));
        if let Fate::GivesUp { ring } = fate {
            self.wake_at(now + ring, number, Alarm::GiveUp);
        }
        number
    }

    /// Whether this pair has no call.
    pub fn is_free(&self, pair: &Pair) -> bool {
        let last = self
            .called
            .get(&pair.b)
            .and_then(|number| self.calls.get(*number));
        last.is_none_or(Call::is_over)
    }

    /// One end hangs up.
    pub fn hang_up(&mut self, number: usize, side: Side) {
        let now = Instant::now();
        self.with(number, side, |leg| leg.hang_up(now));
    }

    /// One end offers audio in that direction.
    pub fn turn(&mut self, number: usize, side: Side, direction: &'static str) {
        let now = Instant::now();
        self.with(number, side, |leg| leg.turn(now, direction));
    }

    /// Nobody expects to hear anything in this call any more.
    pub fn give_up_on(&mut self, number: usize) {
        self.calls[number].fate = Fate::Silent;
        for side in Side::BOTH {
            self.audio.end(number, side);
        }
    }

    /// Numbers of the calls that are so.
    pub fn which(&self, is_so: impl Fn(&Call) -> bool) -> Vec<usize> {
        let calls = self.calls.iter().enumerate();
        calls
            .filter(|(_, call)| is_so(call))
            .map(|(number, _)| number)
            .collect()
    }

    /// Lets one leg do something, and sends what comes of it.
    fn with(&mut self, number: usize, side: Side, act: impl FnOnce(&mut Leg) -> Deeds) {
        let call = &mut self.calls[number];
        let Some(leg) = call.leg_mut(side) else {
            return;
        };
        let deeds = act(leg);
        self.faults.extend(deeds.faults);
        let socket = match side {
            Side::Caller => &self.sockets[0],
            Side::Callee => &self.sockets[1],
        };
        for text in deeds.send {
            // The server may be dead just now.
            let _ = socket.send_to(text.as_bytes(), self.server);
        }
        let is_ended = leg.phase == Phase::Ended;
        let due = leg.due().filter(|due| leg.alarm.is_none_or(|alarm| *due < alarm));
        leg.alarm = due.or(leg.alarm);
        let (heard, speaks) = (
            leg.heard.as_ref().map(|heard| heard.media),
            matches!(leg.direction, "sendrecv" | "sendonly"),
        );
        let is_talking = leg.phase == Phase::Talking;
        if let Some(due) = due {
            self.wake_at(due, number, Alarm::Remind(side));
        }
        let call = &mut self.calls[number];
        match (call.fate, heard) {
            (Fate::Held, Some(from)) if is_talking => self.audio.tune(number, side, from, speaks),
            (Fate::Held, _) if is_ended => self.audio.end(number, side),
            (Fate::Talks { talk, by, .. }, _) if is_talking && side == Side::Caller && !call.is_timed => {
                call.is_timed = true;
                self.wake_at(Instant::now() + talk, number, Alarm::HangUp(by));
            }
            _ => {}
        }
    }

    fn wake_at(&mut self, at: Instant, number: usize, alarm: Alarm) {
        self.alarms.push(Reverse((at, number, alarm)));
    }

    fn hear(&mut self, side: Side, bytes: &[u8]) {
        let message = Message::read(bytes);
        let (now, killed) = (Instant::now(), self.killed);
        let found = self.by_id.get(message.call_id()).copied();
        if let Some((number, of)) = found {
            if of != side {
                self.faults
                    .push(format!("{} came to the other side", message.first_line()));
                return;
            }
            self.with(number, side, |leg| match message.status() {
                0 => leg.hear_request(now, &message),
                _ => leg.hear_response(now, &message),
            });
            return;
        }
        let called = self.called.get(message.dialled()).copied();
        match (message.method(), message.status(), called) {
            ("INVITE", 0, Some(number)) if side == Side::Callee => self.invite(number, &message),
            ("ACK", ..) => {}
            (method, 0, _) => {
                // The INVITE that it cancels may never have left.
                if method != "CANCEL" || killed.is_none() {
                    self.faults.push(format!(
                        "{} of a call that nobody knows ({})",
                        message.first_line(),
                        message.call_id()
                    ));
                }
                let reply = message.response("481 Call/Transaction Does Not Exist", "nobody", "", "");
                let socket = &self.sockets[usize::from(side == Side::Callee)];
                let _ = socket.send_to(reply.as_bytes(), self.server);
            }
            _ => self.faults.push(format!("{} to nothing", message.first_line())),
        }
    }

    /// The first INVITE to who is called.
    fn invite(&mut self, number: usize, message: &Message) {
        let media = self.audio.address(number, Side::Callee);
        let here = self.sockets[1].local_addr().expect("bound");
        let now = Instant::now();
        let call = &mut self.calls[number];
        if let Some(before) = &call.callee {
            self.faults.push(format!(
                "{} is called a second time for {}: {} after {}",
                call.pair.b,
                call.caller.id,
                message.call_id(),
                before.id,
            ));
            return;
        }
        let id = message.call_id().to_owned();
        self.by_id.insert(id.clone(), (number, Side::Callee));
        call.callee = Some(Leg::new(id, here, media, "", ""));
        let (fate, a, x) = (call.fate, call.pair.a.clone(), call.pair.x.clone());
        if message.header("From").contains(&a) || !message.header("From").contains(&x) {
            self.faults
                .push(format!("the called one sees {}", message.header("From")));
        }
        self.with(number, Side::Callee, |leg| leg.hear_request(now, message));
        match fate {
            Fate::Held | Fate::Silent => self.with(number, Side::Callee, |leg| leg.answer(now)),
            Fate::Talks { ring, .. } => self.wake_at(now + ring, number, Alarm::Answer),
            Fate::Declines { ring } => self.wake_at(now + ring, number, Alarm::Decline),
            Fate::GivesUp { .. } => {}
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, number, alarm))) = self.alarms.peek().copied() {
            if at > now {
                return;
            }
            self.alarms.pop();
            match alarm {
                Alarm::Remind(side) => self.with(number, side, |leg| {
                    leg.alarm = None;
                    leg.remind(now)
                }),
                Alarm::Answer => self.with(number, Side::Callee, |leg| leg.answer(now)),
                Alarm::Decline => self.with(number, Side::Callee, |leg| leg.decline(now)),
                Alarm::GiveUp => self.give_up(now, number),
                Alarm::HangUp(side) => self.with(number, side, |leg| leg.hang_up(now)),
            }
        }
    }

    fn give_up(&mut self, now: Instant, number: usize) {
        if self.calls[number].caller.phase == Phase::Calling {
            // Nothing may be cancelled before the server has said anything.
            return self.wake_at(now + LOOK * 20, number, Alarm::GiveUp);
        }
        self.with(number, Side::Caller, |leg| leg.cancel(now));
    }
}

/// The phones; dropped, they end.
pub struct Phones {
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// The phones' sockets: those of who calls, and of who is called.
pub fn sockets() -> [UdpSocket; 2] {
    [CARRIER, CALLEE].map(|ip| {
        let socket = UdpSocket::bind((ip, 0)).expect("a free port");
        let wide = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        wide.expect("a buffer as large as the system allows");
        socket.set_read_timeout(Some(LOOK)).expect("no zero");
        socket
    })
}

impl Phones {
    /// Phones on these sockets, whose Call-IDs begin with `name`.
    pub fn start(name: &str, sockets: [UdpSocket; 2], server: SocketAddr, audio: Arc<Audio>) -> Self {
        let heard = sockets
            .each_ref()
            .map(|socket| socket.try_clone().expect("a descriptor"));
        let book = Arc::new(Mutex::new(Book {
            calls: Vec::new(),
            faults: Vec::new(),
            killed: None,
            server,
            sockets,
            audio,
            name: name.to_owned(),
            by_id: HashMap::new(),
            called: HashMap::new(),
            alarms: BinaryHeap::new(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = Side::BOTH
            .into_iter()
            .zip(heard)
            .map(|(side, socket)| {
                let (book, stop) = (book.clone(), stop.clone());
                thread::spawn(move || listen(side, &socket, &book, &stop))
            })
            .collect();
        Self { book, stop, threads }
    }

    /// The calls.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no phone's thread has failed")
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What failed there has been printed.
            let _ = thread.join();
        }
    }
}

fn listen(side: Side, socket: &UdpSocket, book: &Mutex<Book>, stop: &AtomicBool) {
    let mut buffer = [0; 8_192];
    while !stop.load(Ordering::Relaxed) {
        let first = socket.recv_from(&mut buffer);
        let mut book = book.lock().expect("no phone's thread has failed");
        if let Ok((len, _)) = first {
            book.hear(side, &buffer[..len]);
            socket.set_nonblocking(true).expect("sockets can");
            for _ in 0..BATCH {
                let Ok((len, _)) = socket.recv_from(&mut buffer) else {
                    break;
                };
                book.hear(side, &buffer[..len]);
            }
            socket.set_nonblocking(false).expect("sockets can");
        }
        book.tick();
    }
}

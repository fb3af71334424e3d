//! A real server, the phones around it, and what is asked of both.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use umbra::base::chance::Chance;

use crate::audio::{self, Audio};
use crate::leg::{Log, Phase, Side};
use crate::phones::{Fate, Pair, Phones, sockets};
use crate::server::{PATIENCE, Server, Setup};
use crate::storm::ask;

/// The virtual numbers of the calls; each serves so many pairs.
const XS: u64 = 17_000_001_000;
const PAIRS_PER_X: usize = 200;
/// Bindings of one request.
const BATCH: usize = 500;
/// Calls that are begun at once before the phones look whether they are answered.
const WAVE: usize = 20;
/// How often something is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The server and the phones.
pub struct Stage {
    pub server: Server,
    pub phones: Arc<Phones>,
    pub audio: Arc<Audio>,
    /// Whose calls are held.
    pub held: Vec<Pair>,
    /// Whose calls are short.
    pub brief: Vec<Pair>,
}

impl Stage {
    /// A server with media ports for `capacity` calls, pairs bound on it, and nobody talking.
    pub fn new(name: &str, held: usize, brief: usize, capacity: u16, frame: Duration) -> Self {
        let sockets = sockets();
        let server = Server::start(&Setup {
            gateway: sockets[1].local_addr().expect("bound"),
            media_nat: "strict",
            log: "warn",
            calls: capacity,
            also: Vec::new(),
        });
        Self::around(server, sockets, name, held, brief, frame)
    }

    /// The phones around a server whose gateway is the second socket.
    pub fn around(
        server: Server,
        sockets: [UdpSocket; 2],
        name: &str,
        held: usize,
        brief: usize,
        frame: Duration,
    ) -> Self {
        let mut pairs: Vec<Pair> = (0..held + brief)
            .map(|n| Pair {
                a: format!("138{n:08}"),
                b: format!("139{n:08}"),
                x: (XS + (n / PAIRS_PER_X) as u64).to_string(),
            })
            .collect();
        let last = XS + (pairs.len().max(1) - 1) as u64 / PAIRS_PER_X as u64;
        server.done(&format!("number add --range {XS}-{last}"));
        let mut desk = UnixStream::connect(server.data().join("control.sock")).expect("a running server");
        for batch in pairs.chunks(BATCH) {
            let wanted: Vec<_> = batch
                .iter()
                .map(|pair| json!({"mode": "axb", "x": pair.x, "a": pair.a, "b": pair.b}))
                .collect();
            let body = json!({"bindings": wanted}).to_string();
            let (status, answer) =
                ask(&mut desk, "POST", "/v1/bindings:batch", &body).expect("the server answers");
            assert_eq!(status, 200, "{answer}");
            let results = answer["results"].as_array().expect("a list");
            for result in results {
                assert_eq!(result["status"], 201, "{result}");
            }
        }
        let audio = Audio::start(frame);
        let phones = Arc::new(Phones::start(name, sockets, server.sip, audio.clone()));
        let brief = pairs.split_off(held);
        Self {
            server,
            phones,
            audio,
            held: pairs,
            brief,
        }
    }

    /// These pairs talk: answered calls, with audio heard both ways if `fate` has any.
    pub fn establish(&self, pairs: &[Pair], fate: Fate) -> Vec<usize> {
        let mut all = Vec::new();
        for pairs in pairs.chunks(WAVE) {
            let numbers: Vec<usize> = {
                let mut book = self.phones.book();
                pairs.iter().map(|pair| book.place(pair, fate)).collect()
            };
            self.until("every call is answered", || {
                let book = self.phones.book();
                let calls = numbers.iter().map(|number| &book.calls[*number]);
                for call in calls.clone() {
                    let log = &call.caller.log;
                    assert!(log.status < 300, "{} got {}", call.caller.id, log.status);
                }
                calls.clone().filter(|call| !call.talks()).count() == 0
            });
            all.extend(numbers);
        }
        if fate == Fate::Held {
            self.until_heard(audio::now());
        }
        all
    }

    /// Waits until everybody who is spoken to has heard something since then.
    pub fn until_heard(&self, since: audio::Ns) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let silent = self.audio.silent(since);
            if silent.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} phones hear nothing, {:?} the first of them",
                silent.len(),
                silent[0]
            );
            thread::sleep(LOOK);
        }
    }

    /// Waits until it is so.
    pub fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        self.until_so(what, PATIENCE, is_so);
    }

    /// Waits so long until it is so.
    pub fn until_so(&self, what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + patience;
        while !is_so() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            thread::sleep(LOOK);
        }
    }

    /// Kills the server, lets `between` look at what it left, and starts another at once.
    pub fn kill_and_start(&mut self, between: impl FnOnce(&Server)) {
        self.server.kill();
        let killed = audio::now();
        between(&self.server);
        // Whatever is heard from now on comes from the next one.
        self.audio.killed(killed, audio::now());
        self.phones.book().killed = Some(Instant::now());
        self.server.launch();
    }

    /// Waits until the server takes requests on its control socket again.
    pub fn until_ready(&self) {
        let path = self.server.data().join("control.sock");
        self.until("the server is ready", || {
            let Ok(mut desk) = UnixStream::connect(&path) else {
                return false;
            };
            let asked = desk.write_all(b"GET /readyz HTTP/1.1\r\nHost: umbra\r\nConnection: close\r\n\r\n");
            let mut answer = String::new();
            asked.is_ok() && desk.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
        });
    }

    /// These calls are put on hold by `side`, and taken off it again; then everybody hears the other.
    pub fn hold_and_resume(&self, numbers: &[usize], side: Side) {
        for direction in ["inactive", "sendrecv"] {
            {
                let mut book = self.phones.book();
                for number in numbers {
                    book.turn(*number, side, direction);
                }
            }
            self.until(&format!("both sides of each call are {direction}"), || {
                let book = self.phones.book();
                let is_so = |number: &usize| {
                    let call = &book.calls[*number];
                    Side::BOTH.into_iter().all(|side| {
                        call.leg(side)
                            .is_some_and(|leg| leg.is_settled() && leg.direction == direction)
                    })
                };
                numbers.iter().all(is_so)
            });
        }
        self.until_heard(audio::now());
    }

    /// One end of each of these calls hangs up, by turns; both are told so.
    pub fn end(&self, numbers: &[usize]) {
        {
            let mut book = self.phones.book();
            for (n, number) in numbers.iter().enumerate() {
                book.hang_up(*number, Side::BOTH[n % 2]);
            }
        }
        self.until_over(numbers);
        let book = self.phones.book();
        for number in numbers {
            let call = &book.calls[*number];
            let logs = Side::BOTH.map(|side| call.leg(side).map(|leg| leg.log.clone()));
            let is_told = logs.iter().flatten().any(|log| log.hung_up)
                && logs.iter().flatten().any(|log| log.was_hung_up);
            assert!(
                is_told,
                "{} was not hung up as it must be: {logs:?}",
                call.caller.id
            );
        }
    }

    /// Waits until these calls are over at both ends.
    pub fn until_over(&self, numbers: &[usize]) {
        let deadline = Instant::now() + PATIENCE * 3;
        loop {
            let left: Vec<String> = {
                let book = self.phones.book();
                let open = numbers.iter().map(|number| &book.calls[*number]);
                open.filter(|call| !call.is_over())
                    .map(|call| {
                        let phases =
                            Side::BOTH.map(|side| call.leg(side).map(|leg| (leg.phase, leg.log.clone())));
                        format!("{} ({:?}): {phases:?}", call.caller.id, call.fate)
                    })
                    .collect()
            };
            let Some(first) = left.first() else {
                return;
            };
            assert!(
                Instant::now() < deadline,
                "{} calls never end at one of their ends: {first}",
                left.len()
            );
            thread::sleep(LOOK);
        }
    }

    /// Every call that was placed and isn't held is over at both ends.
    pub fn until_brief_are_over(&self) {
        let numbers = self.phones.book().which(|call| call.fate != Fate::Held);
        self.until_over(&numbers);
    }

    /// What both phones of a call know.
    pub fn logs(&self, number: usize) -> Vec<Log> {
        let book = self.phones.book();
        let legs = Side::BOTH
            .into_iter()
            .filter_map(|side| book.calls[number].leg(side));
        legs.map(|leg| leg.log.clone()).collect()
    }

    /// Calls that are ringing just now, as far as a caller has heard.
    pub fn ringing(&self) -> usize {
        self.phones
            .book()
            .which(|call| call.caller.phase == Phase::Early)
            .len()
    }

    /// As many calls as there are ports for are answered at the same time, once the ports have rested; and end.
    pub fn fills_every_port(&self, capacity: usize) {
        let pairs: Vec<&Pair> = self.held.iter().chain(&self.brief).take(capacity).collect();
        assert_eq!(pairs.len(), capacity, "a pair for each");
        let deadline = Instant::now() + PATIENCE * 3;
        let mut talking = Vec::new();
        let mut missing = pairs;
        while !missing.is_empty() {
            assert!(
                Instant::now() < deadline,
                "{} of {capacity} calls never get ports",
                missing.len()
            );
            let mut refused = Vec::new();
            for pairs in missing.chunks(WAVE) {
                let numbers: Vec<usize> = {
                    let mut book = self.phones.book();
                    pairs.iter().map(|pair| book.place(pair, Fate::Silent)).collect()
                };
                self.until("every call is answered or refused", || {
                    let book = self.phones.book();
                    let mut calls = numbers.iter().map(|number| &book.calls[*number]);
                    calls.all(|call| call.talks() || call.is_over())
                });
                let book = self.phones.book();
                for (number, pair) in numbers.into_iter().zip(pairs) {
                    if book.calls[number].talks() {
                        talking.push(number);
                    } else {
                        refused.push(*pair);
                    }
                }
            }
            missing = refused;
            if !missing.is_empty() {
                // Their ports still rest.
                thread::sleep(LOOK * 20);
            }
        }
        self.end(&talking);
    }

    /// The server that runs has had ports for every call, from its first moment on.
    pub fn refuses_nobody_for_ports(&self) {
        let status: Value = serde_json::from_str(&self.server.done("status --json")).expect("JSON");
        let dry = status["parts"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|part| part["name"] == "media ports");
        assert!(dry.is_none(), "{dry:?}");
    }

    /// Nothing that a phone saw or heard was wrong.
    pub fn blames_nobody(&self) {
        let mut faults = self.phones.book().faults.clone();
        faults.extend(self.audio.faults());
        assert!(
            faults.is_empty(),
            "{} faults:\n{}",
            faults.len(),
            faults[..faults.len().min(20)].join("\n")
        );
    }

    /// The same, and the records say what the phones know: one for each call.
    pub fn settles(&self) {
        self.blames_nobody();
        let made = self.phones.book().calls.len();
        self.until("no call is left in the server", || self.server.calls() == 0);
        self.until("every call has its record", || {
            self.server.records().len() >= made
        });
        assert!(
            !self.server.printed().contains('\0'),
            "a hole in what the server has printed"
        );
        let faults = crate::verdict::faults(&self.server.records(), &self.phones.book().calls, &self.audio);
        assert!(
            faults.is_empty(),
            "{} faults of the records:\n{}",
            faults.len(),
            faults[..faults.len().min(20)].join("\n")
        );
    }
}

/// Makes `rate` short calls a second until it is told to stop: two of three are answered.
pub fn churn(phones: &Phones, pairs: &[Pair], rate: u32, chance: &mut Chance, stop: &AtomicBool) {
    let mut next = Instant::now();
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        next += Duration::from_secs(1) / rate;
        let mut some =
            |from: u64, to: u64| Duration::from_millis(from + u64::from(chance.below((to - from) as u32)));
        let ring = some(50, 1_500);
        let talk = some(50, 1_500);
        let fate = match turn % 6 {
            0 | 1 => Fate::Talks {
                ring,
                talk,
                by: Side::Caller,
            },
            2 | 3 => Fate::Talks {
                ring,
                talk,
                by: Side::Callee,
            },
            4 => Fate::GivesUp { ring },
            _ => Fate::Declines { ring },
        };
        {
            let mut book = phones.book();
            let pair = &pairs[turn % pairs.len()];
            // One whose last call isn't over at both ends yet is left out.
            if book.is_free(pair) {
                book.place(pair, fate);
            }
        }
        turn += 1;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

//! What a held call takes in the switch alone, without ports and media: a process that holds a switch and nothing
//! else, and plays both parties to it. Time is handed to it, so that it need not pass.

use std::mem;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use umbra::base::chance::Chance;
use umbra::base::shard::Shard;
use umbra::base::time::{Instant, Now, Wall};
use umbra::call::config::Config;
use umbra::call::media::{Order, Report};
use umbra::call::port::{CallEntry, Input, Output};
use umbra::call::switch::Switch;
use umbra::config;
use umbra::masking::table::Table;
use umbra::rtp::flow::Counts;
use umbra::sip::path::{ListenerId, Path};
use umbra::store::writer::{Settings, Store};

use crate::held::{Held, answer, goodbye, invite};
use crate::million::wall;
use crate::process::pss_bytes;
use crate::server::{CARRIER, Server};

/// The argument by which this program becomes the switch.
pub const SWITCH: &str = "--switch-alone";
/// Past every transaction (RFC 3261 §17: 64 × T1).
const LINGER: Duration = Duration::from_secs(35);

/// Bytes of a held call. The server's conf and bindings are used; it must not run.
pub fn bytes_a_call(server: &Server, calls: usize) -> f64 {
    let program = std::env::current_exe().expect("a running program");
    let output = Command::new(program)
        .args([SWITCH, &calls.to_string()])
        .current_dir(server.folder())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or(f64::NAN)
}

/// Holds as many calls as the argument says, and prints the bytes of each.
pub fn run(arguments: &[String]) {
    let [calls] = arguments else {
        panic!("a number of calls")
    };
    let calls: usize = calls.parse().expect("a number");
    let mut alone = Alone::new();
    // What every switch has touched after its first call is no call's own.
    alone.call(0);
    alone.pass();
    let before = pss_bytes(std::process::id());
    for n in 1..=calls {
        alone.call(n);
        // They are the journal's, not the call's.
        alone.entries = Vec::new();
    }
    alone.pass();
    assert_eq!(alone.switch.calls(), calls + 1, "every call is held");
    println!("{}", (pss_bytes(std::process::id()) - before) / calls as f64);
}

/// A switch, and the time it is told.
pub struct Alone {
    switch: Switch,
    config: Arc<Config>,
    table: Arc<Table>,
    us: u64,
    /// The wall clock at the first microsecond: bindings count from when they were made.
    began: Wall,
    there: SocketAddr,
    /// What the journal was to write since this was emptied.
    entries: Vec<CallEntry>,
    /// The last call that was answered.
    held: Option<Held>,
}

impl Alone {
    /// On the conf and the bindings in the working folder, which no server uses now.
    pub fn new() -> Self {
        let conf = config::load(FilePath::new("umbra.toml")).expect("the server's own conf");
        let (store, _) =
            Store::open(&conf.store, &Settings::default(), wall).expect("the server's own store");
        Self::with(Arc::new(conf.switch), store.table().clone())
    }

    /// Another one on the same conf and bindings.
    pub fn another(&self) -> Self {
        Self::with(Arc::clone(&self.config), Arc::clone(&self.table))
    }

    /// The same, and it says nothing to the journal.
    pub fn without_journal(&self) -> Self {
        let mut other = self.another();
        other.switch.keep_nothing();
        other
    }

    fn with(config: Arc<Config>, table: Arc<Table>) -> Self {
        let there = config.listeners[0].address;
        let shard = Shard {
            index: 0,
            count: 1,
            key: [1, 2],
        };
        let mut alone = Self {
            switch: Switch::new(
                Arc::clone(&config),
                Arc::clone(&table),
                shard,
                Chance::from_number(1),
            ),
            config,
            table,
            us: 0,
            began: wall(),
            there,
            entries: Vec::new(),
            held: None,
        };
        alone.drain();
        alone
    }

    /// Makes a call and has it answered.
    fn call(&mut self, n: usize) {
        self.answered(n, |_| ());
    }

    /// Makes a call, has it answered, and ended by who called; what the journal was to write of it, message by
    /// message.
    pub fn entries_of_a_call(&mut self, n: usize) -> Vec<Vec<CallEntry>> {
        let mut batches = self.entries_until_answered(n);
        let held = self.held.take().expect("it was answered just now");
        let carrier = SocketAddr::from((CARRIER, 5_060));
        let sent = self.give(carrier, &held.request("BYE", 2));
        batches.push(mem::take(&mut self.entries));
        let (gateway, bye) = first(sent, "BYE ");
        self.give(gateway, &goodbye(&bye));
        batches.push(mem::take(&mut self.entries));
        self.pass();
        batches.retain(|batch| !batch.is_empty());
        batches
    }

    /// The same up to the answer.
    pub fn entries_until_answered(&mut self, n: usize) -> Vec<Vec<CallEntry>> {
        self.entries.clear();
        let mut batches = Vec::new();
        self.answered(n, |alone| batches.push(mem::take(&mut alone.entries)));
        batches.retain(|batch| !batch.is_empty());
        batches
    }

    fn answered(&mut self, n: usize, mut after: impl FnMut(&mut Self)) {
        let (carrier, media) = (
            SocketAddr::from((CARRIER, 5_060)),
            SocketAddr::from((CARRIER, 40_000)),
        );
        let invite = invite(&format!("alone-{n}"), carrier, self.there, media);
        let (gateway, arrived) = first(self.give(carrier, &invite), "INVITE ");
        after(self);
        let answer = answer(&arrived, gateway, media);
        let (_, answered) = first(self.give(gateway, &answer), "SIP/2.0 200");
        after(self);
        let held = Held::of(invite, answered, self.there);
        self.give(carrier, &held.request("ACK", 1));
        after(self);
        self.held = Some(held);
    }

    /// Hands a message over; what is sent then.
    fn give(&mut self, from: SocketAddr, text: &str) -> Vec<(SocketAddr, String)> {
        self.us += 1_000;
        let path = Path::udp(ListenerId(0), from);
        let bytes = text.as_bytes();
        self.switch.handle(self.now(), Input::Packet { path, bytes });
        self.drain()
    }

    /// Lets time pass until every transaction is over.
    pub fn pass(&mut self) {
        let end = self.us + LINGER.as_micros() as u64;
        while let Some(due) = self.switch.timeout().filter(|due| due.as_micros() <= end) {
            self.us = self.us.max(due.as_micros());
            self.switch.handle(self.now(), Input::Timeout);
            self.drain();
        }
        self.us = end;
    }

    fn drain(&mut self) -> Vec<(SocketAddr, String)> {
        let mut sent = Vec::new();
        while let Some(output) = self.switch.poll() {
            match output {
                Output::Send { to, bytes } => {
                    sent.push((to.remote, String::from_utf8(bytes).expect("all of it is text")));
                }
                Output::Media(Order::Bind(port)) => {
                    let now = self.now();
                    self.switch.handle(now, Input::Media(Report::Bound(port)));
                }
                Output::Media(Order::Close(port)) => {
                    let (now, counts) = (self.now(), Counts::default());
                    self.switch
                        .handle(now, Input::Media(Report::Closed(port, counts)));
                }
                Output::Journal(entry) => self.entries.push(entry),
                _ => {}
            }
        }
        sent
    }

    fn now(&self) -> Now {
        let at = Instant::from_micros(self.us);
        Now {
            at,
            wall: self.began.plus(at - Instant::default()),
        }
    }
}

/// The first of them that begins so.
fn first(sent: Vec<(SocketAddr, String)>, start: &str) -> (SocketAddr, String) {
    let found = sent.into_iter().find(|(_, text)| text.starts_with(start));
    found.expect("the switch says what it must")
}

//! Bindings a second, each acknowledged when it is on disk, beside a loop that only writes and syncs.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bare::synced_writes_a_second;
use crate::server::{Server, Setup};
use crate::{Length, Rounds, Row};

/// Pairs that one virtual number carries by default.
const PAIRS_PER_X: u32 = 200;
/// Bytes of one of our log's records, about.
const RECORD_BYTES: usize = 256;

/// A row for each number of writers.
pub fn measure(length: Length) -> Vec<Row> {
    let server = Server::start(&Setup {
        gateway: SocketAddr::from(([127, 0, 0, 3], 5060)),
        media_nat: "strict",
        log: "warn",
        calls: 50,
        also: Vec::new(),
    });
    let next = AtomicU32::new(0);
    let span = Duration::from_millis(length.choose(300, 2_000));
    let rounds = length.choose(1, 5);
    let writers: &[usize] = length.choose(&[1, 16], &[1, 16, 256]);
    let mut rows = Vec::new();
    for count in writers {
        let (mut found, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let ours = binds_a_second(&server, &next, *count, span);
            let loop_alone = synced_writes_a_second(server.folder(), RECORD_BYTES, span);
            ratios.push(ours / loop_alone);
            found.push(ours);
            bare.push(loop_alone);
        }
        let (found, bare) = (Rounds::of(found), Rounds::of(bare));
        rows.push(Row {
            ours: found.show("/s"),
            bare: bare.show("/s"),
            ratio: Rounds::of(ratios).show("×"),
            ..Row::new(
                &format!("binds a second, {count} writer{}", if *count == 1 { "" } else { "s" }),
                format!(
                    "POST /v1/bindings on the control socket, {rounds} × {} s; bare: one writer, append {RECORD_BYTES} bytes, fdatasync",
                    span.as_secs_f64()
                ),
            )
        });
    }
    rows
}

/// How many bindings `writers` make a second, each over a connection of its own.
fn binds_a_second(server: &Server, next: &AtomicU32, writers: usize, span: Duration) -> f64 {
    let control = server.folder().join("data/control.sock");
    let made = AtomicU32::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                let mut desk = Desk::open(&control);
                while begun.elapsed() < span {
                    // Each writer fills numbers of its own.
                    let block = next.fetch_add(1, Ordering::Relaxed);
                    desk.add_number(block);
                    for pair in 0..PAIRS_PER_X {
                        if begun.elapsed() >= span {
                            break;
                        }
                        desk.bind(block, pair);
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    f64::from(made.load(Ordering::Relaxed)) / begun.elapsed().as_secs_f64()
}

/// A connection to the API that stays open.
pub struct Desk {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Desk {
    /// A connection to a server's control socket.
    pub fn open(control: &Path) -> Self {
        let stream = UnixStream::connect(control).expect("the server's control socket");
        Self {
            stream,
            buffer: vec![0; 16_384],
        }
    }

    /// Makes so many bindings, on numbers from `block` on.
    pub fn fill(&mut self, block: u32, bindings: u32) {
        for n in 0..bindings {
            let (block, pair) = (block + n / PAIRS_PER_X, n % PAIRS_PER_X);
            if pair == 0 {
                self.add_number(block);
            }
            self.bind(block, pair);
        }
    }

    fn add_number(&mut self, block: u32) {
        let body = format!("{{\"x\":\"170{block:08}\"}}");
        assert_eq!(self.post("/v1/numbers", &body), 201, "a new number");
    }

    fn bind(&mut self, block: u32, pair: u32) {
        let n = block * PAIRS_PER_X + pair;
        let body =
            format!("{{\"mode\":\"axb\",\"x\":\"170{block:08}\",\"a\":\"138{n:08}\",\"b\":\"139{n:08}\"}}");
        assert_eq!(self.post("/v1/bindings", &body), 201, "a new pair");
    }

    /// Sends a body, and waits for the status of the answer.
    fn post(&mut self, path: &str, body: &str) -> u16 {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: umbra\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream
            .write_all(request.as_bytes())
            .expect("the server listens");
        let mut filled = 0;
        loop {
            let read = self
                .stream
                .read(&mut self.buffer[filled..])
                .expect("the server answers");
            assert!(read > 0, "the server hung up");
            filled += read;
            let text = String::from_utf8_lossy(&self.buffer[..filled]);
            let Some((head, rest)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")?
                    .trim()
                    .parse()
                    .ok()
            });
            if rest.len() >= length.unwrap_or(0) {
                return head
                    .split(' ')
                    .nth(1)
                    .and_then(|status| status.parse().ok())
                    .unwrap_or(0);
            }
        }
    }
}

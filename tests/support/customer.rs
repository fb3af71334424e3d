//! A customer's server (X mode): what it is to say next, and one that says so over HTTP on loopback. Written by hand, so
//! that it can also be as wrong as it likes.
#![allow(dead_code)] // each test binary uses its part

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use umbra::base::limits::ASK_ANSWER_BYTES_MAX;

/// The secret that it shares with Umbra.
pub const SECRET: &str = "what only the two of us know";

/// What it says to each question from now on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Script {
    /// This body, after this long.
    Says(String, Duration),
    /// The same, twice.
    Twice(String),
    /// It takes the question and says nothing.
    Nothing,
    /// Nobody takes a connection.
    Gone,
    /// This status, with an answer in its body that would be right.
    Status(u16),
    /// It sends Umbra to another place, where it would be answered.
    Redirect,
    /// One byte of an answer every now and then.
    Drips,
    /// An answer without an end.
    Long,
    /// Half of an answer, and the connection is closed.
    Breaks,
}

/// A right answer, where one doesn't count.
const CLOSE: &str = r#"{"action":"close"}"#;

impl Script {
    /// What a play says of it: `close`, `nothing`, `gone`, `status 500`, `redirect`, `drips`, `long`, `breaks`.
    pub fn named(words: &[&str]) -> Option<Self> {
        Some(match words {
            ["close"] => Self::Says(CLOSE.into(), Duration::ZERO),
            ["nothing"] => Self::Nothing,
            ["gone"] => Self::Gone,
            ["status", status] => Self::Status(status.parse().ok()?),
            ["redirect"] => Self::Redirect,
            ["drips"] => Self::Drips,
            ["long"] => Self::Long,
            ["breaks"] => Self::Breaks,
            _ => return None,
        })
    }
}

/// One question as the server got it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its head, line by line.
    pub head: Vec<String>,
    /// Its body.
    pub body: String,
}

impl Asked {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| {
            let (has, value) = line.split_once(':')?;
            has.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What it asks.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a question is JSON")
    }
}

/// Whatever can be read and written: a connection, in the clear or not.
pub trait Talk: Read + Write + Send {}
impl<T: Read + Write + Send> Talk for T {}

/// Puts a connection into what it is spoken by.
pub type Wrap = Arc<dyn Fn(TcpStream) -> Box<dyn Talk> + Send + Sync>;

/// A server that runs until it is dropped.
pub struct Server {
    at: SocketAddr,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    wrap: Wrap,
    door: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Server {
    /// A server at an address whose port the system chooses.
    pub fn at(ip: std::net::IpAddr) -> Self {
        Self::speaking(ip, Arc::new(|stream| Box::new(stream)))
    }

    /// The same, where connections are spoken on in another way.
    pub fn speaking(ip: std::net::IpAddr, wrap: Wrap) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let mut server = Self {
            at: listener.local_addr().expect("it has one"),
            script: Arc::new(Mutex::new(Script::Says(CLOSE.into(), Duration::ZERO))),
            asked: Arc::default(),
            connections: Arc::default(),
            wrap,
            door: None,
        };
        server.open(listener);
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// Connections that were taken so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The questions since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("no panic"))
    }

    /// What it says from now on.
    pub fn says(&mut self, script: Script) {
        let is_gone = script == Script::Gone;
        *self.script.lock().expect("no panic") = script;
        if is_gone {
            self.shut();
        } else if self.door.is_none() {
            self.open(TcpListener::bind(self.at).expect("nobody else has it"));
        }
    }

    fn open(&mut self, listener: TcpListener) {
        let wanted = Arc::new(AtomicBool::new(true));
        let (script, asked, connections, wrap, still) = (
            self.script.clone(),
            self.asked.clone(),
            self.connections.clone(),
            self.wrap.clone(),
            wanted.clone(),
        );
        let door = thread::spawn(move || {
            while still.load(Ordering::SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    continue;
                };
                if !still.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let (script, asked, wrap) = (script.clone(), asked.clone(), wrap.clone());
                thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    serve(&mut *wrap(stream), &script, &asked);
                });
            }
        });
        self.door = Some((wanted, door));
    }

    fn shut(&mut self) {
        if let Some((wanted, door)) = self.door.take() {
            wanted.store(false, Ordering::SeqCst);
            // It waits for somebody: that is us.
            let _ = TcpStream::connect(self.at);
            door.join().expect("a door doesn't panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut();
    }
}

/// Answers one question after the other, until the connection ends.
fn serve(stream: &mut dyn Talk, script: &Mutex<Script>, asked: &Mutex<Vec<Asked>>) {
    let mut held = Vec::new();
    while let Some(question) = read(stream, &mut held) {
        asked.lock().expect("no panic").push(question);
        let script = script.lock().expect("no panic").clone();
        if say(stream, &script).is_none() {
            return;
        }
    }
}

/// `None`: the connection is over.
fn say(stream: &mut dyn Talk, script: &Script) -> Option<()> {
    let whole = |status: &str, more: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let mut put = |text: &str| {
        stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.flush())
            .ok()
    };
    match script {
        Script::Says(body, after) => {
            thread::sleep(*after);
            put(&whole("200 OK", "", body))
        }
        Script::Twice(body) => put(&whole("200 OK", "", body).repeat(2)),
        Script::Nothing => {
            let mut byte = [0];
            // Until the other side has had enough.
            let _ = stream.read(&mut byte);
            None
        }
        Script::Gone => None,
        Script::Status(status) => put(&whole(&format!("{status} Some"), "", CLOSE)),
        Script::Redirect => put(&whole("307 Elsewhere", "Location: /elsewhere\r\n", CLOSE)),
        Script::Drips => {
            let body = whole("200 OK", "", CLOSE);
            for byte in body.chars() {
                put(&byte.to_string())?;
                thread::sleep(Duration::from_millis(300));
            }
            Some(())
        }
        Script::Long => {
            let length = ASK_ANSWER_BYTES_MAX * 1_000;
            put(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"))?;
            for _ in 0..1_000 {
                put(&" ".repeat(ASK_ANSWER_BYTES_MAX))?;
            }
            Some(())
        }
        Script::Breaks => {
            put("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"action\":")?;
            None
        }
    }
}

/// The next question. `held` is what came behind the last one.
fn read(stream: &mut dyn Talk, held: &mut Vec<u8>) -> Option<Asked> {
    let mut buffer = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(held).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let head: Vec<String> = head.lines().map(str::to_owned).collect();
            let asked = Asked {
                head,
                body: String::new(),
            };
            let length: usize = asked.header("Content-Length")?.parse().ok()?;
            if let Some(body) = rest.get(..length) {
                let body = body.to_owned();
                held.drain(..text.len() - rest.len() + length);
                return Some(Asked { body, ..asked });
            }
        }
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 => held.extend_from_slice(&buffer[..length]),
            Ok(_) | Err(_) => return None,
        }
    }
}

//! For tests: the API over a real socket, and a client of a few lines.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::Router;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Desk, OfAccount, Owner, Phase, Stop, Takeover, router, router_on_loopback};
use crate::api::socket;
use crate::api::switchboard::Switchboard;
use crate::base::id::Id;
use crate::base::number::Digits;
use crate::base::redact::Masked;
use crate::base::time::{Instant, Now, Wall};
use crate::call::cdr::{CallerKind, Cdr, Media, Recording, ReleasedBy, SCHEMA};
use crate::call::config::Config;
use crate::call::port::{Answer, CallView, Command, Found};
use crate::call::recording::{Controlled, Why};
use crate::call::trunk::Trunk;
use crate::customer::asker::{self, Asker};
use crate::customer::dial::Trust;
use crate::records::archive::{self, Archive};
use crate::records::audit::Audit;
use crate::records::recorder;
use crate::records::recordings::chain::Cipher;
use crate::records::recordings::seal::{Key, Keys};
use crate::store::writer::{Settings, Store};

/// An API that runs until it is dropped.
pub(crate) struct Served {
    pub(crate) desk: Arc<Desk>,
    /// What the owner of the process was asked for.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    /// The calls that the one shard has.
    pub(crate) calls: Arc<Mutex<Vec<CallView>>>,
    /// What time it is; `None`: what the system's clock says.
    pub(crate) time: Arc<Mutex<Option<Wall>>>,
    socket: PathBuf,
    _runtime: Runtime,
    dir: TempDir,
}

fn now() -> Now {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Now {
        at: Instant::from_micros(0),
        wall: Wall::from_millis(i64::try_from(ms).unwrap()),
    }
}

impl Served {
    pub(crate) fn start() -> Self {
        Self::start_with(router)
    }

    /// As on a TCP address of this machine.
    pub(crate) fn start_on_loopback() -> Self {
        Self::start_with(router_on_loopback)
    }

    /// As for those whom that account's key lets in.
    pub(crate) fn start_for(account: &str) -> Self {
        let account = OfAccount(account.into());
        Self::start_with(|desk| router(desk).layer(axum::Extension(account)))
    }

    fn start_with(router: impl FnOnce(Arc<Desk>) -> Router) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let time = Arc::new(Mutex::new(None));
        let mut desk = desk(dir.path(), &asked, &calls);
        desk.clock = Box::new({
            let time = time.clone();
            move || Now {
                wall: time.lock().unwrap().unwrap_or(now().wall),
                ..now()
            }
        });
        let desk = Arc::new(desk);
        let socket = dir.path().join("control.sock");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = socket::bind(&socket).unwrap();
        let router = router(desk.clone());
        runtime.spawn(async move {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            desk,
            asked,
            calls,
            time,
            socket,
            _runtime: runtime,
            dir,
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("POST", path, body)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.raw(method, path, &[], &body)
    }

    pub(crate) fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let (status, _, body) = self.whole(method, path, headers, body);
        (
            status,
            serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}")),
        )
    }

    /// Status, head and body of an answer.
    pub(crate) fn whole(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String, String) {
        let (status, head, body) = self.bytes(method, path, headers, body);
        (status, head, String::from_utf8(body).unwrap())
    }

    /// The same of an answer that is no text; as much of the body as came.
    pub(crate) fn bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String, Vec<u8>) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str("host: umbra\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses a body may close before it is all sent.
        drop(stream.write_all(body.as_bytes()));
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("{read:?}: {}", String::from_utf8_lossy(&answer)));
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        (head[9..12].parse().unwrap(), head, answer[end + 4..].to_vec())
    }
}

fn desk(dir: &Path, asked: &Arc<Mutex<Vec<String>>>, calls: &Arc<Mutex<Vec<CallView>>>) -> Desk {
    let mut config = Config::on("127.0.0.1:5060".parse().unwrap());
    let no_folder = crate::media::prompts::Config {
        dir: dir.join("prompts"),
        ..Default::default()
    };
    config.prompts = Arc::new(crate::media::prompts::read(&no_folder).prompts);
    config.trunks.push(carrier());
    let cdr_dir = dir.join("cdr");
    std::fs::create_dir(&cdr_dir).unwrap();
    let note = |what: &'static str| {
        let asked = asked.clone();
        move |detail: String| asked.lock().unwrap().push(format!("{what} {detail}"))
    };
    let (stop, reload, level, admit) = (note("stop"), note("reload"), note("log"), note("admit"));
    let live = calls.clone();
    Desk {
        store: Store::open(&dir.join("store"), &Settings::default(), || now().wall)
            .unwrap()
            .0,
        config: Arc::new(ArcSwap::from_pointee(config)),
        board: one_shard(calls.clone()),
        archive: Arc::new(archive(dir, cdr_dir.clone())),
        readers: Arc::new(tokio::sync::Semaphore::new(2)),
        link_readers: Arc::new(tokio::sync::Semaphore::new(2)),
        cdr_dir,
        traces: Arc::default(),
        health: Arc::new(crate::telemetry::health::Health::expecting(&["store"])),
        metrics: Arc::default(),
        started: now().wall,
        clock: Box::new(now),
        reach: Arc::default(),
        bans: Arc::default(),
        asker: Asker::start(
            asker::Settings {
                trust: Trust::of(None).unwrap(),
                per_server: 2,
            },
            Box::new(|_, _, _| {}),
        )
        .unwrap(),
        owner: Owner {
            keep_blocks: Box::new(|| Err("the disk is full".into())),
            stop: Box::new(move |how| {
                stop(match how {
                    Stop::Drain(drain) => format!("{drain:?}"),
                    Stop::HandOver => "handover".to_owned(),
                });
                Ok(())
            }),
            reload: Box::new(move || {
                reload(String::new());
                Ok(super::Reloaded {
                    bad_prompts: Vec::new(),
                    taken: vec!["log.level".into(), "trunk carrier".into()],
                    waiting: vec!["store.path".into()],
                })
            }),
            prompts: super::PromptFolder {
                upload: Arc::new(tokio::sync::Semaphore::new(1)),
                upload_time: std::time::Duration::from_secs(2),
                put: Box::new(|place, _| Ok(place.path())),
                remove: Box::new(|place| Ok(&*place.name == "busy")),
                bad: Box::new(|| vec!["data/prompts/zh/wait.wav: it is no WAV file".into()]),
            },
            conf: Box::new(|| {
                Some(super::ConfState {
                    path: "umbra.toml".into(),
                    read_at: Wall::default(),
                    by: "start",
                    waiting: vec!["store.path".into()],
                    on_disk: super::OnDisk::Faulty(vec!["umbra.toml:2: shards = 0: write 1 to 64".into()]),
                })
            }),
            admit: Box::new(move |phase| {
                admit(phase.name().into());
                Ok(())
            }),
            log_level: Box::new(move |l| level(l.name().into())),
            names: Box::new(Vec::new),
            phase: Box::new(|| Phase::Serving),
            calls: Box::new(move || live.lock().unwrap().len()),
            connections: Box::new(|| 0),
            readings: Box::new(|_| {}),
        },
        answers: Arc::default(),
        takeover: Takeover::default(),
    }
}

/// The key of recordings that are sealed.
pub(crate) fn key() -> Key {
    Key::of_digits("sealed-1", Cipher::Aes256Gcm, "5a".repeat(32).as_bytes()).unwrap()
}

/// Recordings are deleted after 30 days, and erased after ten at the earliest.
fn archive(dir: &Path, cdr_dir: PathBuf) -> Archive {
    let mut keys = Keys::default();
    keys.add(key());
    let settings = archive::Settings {
        config: recorder::Config {
            dir: dir.join("recordings"),
            keep_days: 30,
            at_least_days: 10,
            keep_free: recorder::KeepFree::default(),
            keys: None,
            key: None,
            audit_dir: dir.join("audit"),
            audit_keep_days: None,
        },
        keys,
        cdr_dir,
        link_secret: dir.join("links.key"),
        audit: Arc::new(Audit::open(&dir.join("audit"), "umbra-1").unwrap()),
    };
    Archive::new(settings)
}

/// A shard that answers at once.
fn one_shard(calls: Arc<Mutex<Vec<CallView>>>) -> Arc<Switchboard> {
    Arc::new_cyclic(|board: &std::sync::Weak<Switchboard>| {
        let board = board.clone();
        Switchboard::new(
            1,
            Arc::new(move |_, command| {
                let has = |id| calls.lock().unwrap().iter().any(|c: &CallView| c.call_id == id);
                let (ask, answer) = match command {
                    Command::Calls(ask) => (ask, Answer::Calls(calls.lock().unwrap().clone())),
                    Command::CallsOf(ask, party) => {
                        let shown = Masked(party.own.trim_start_matches('+')).to_string();
                        let calls = calls.lock().unwrap();
                        let of = calls
                            .iter()
                            .filter(|call| call.caller == shown || call.callee == shown);
                        (ask, Answer::CallsOf(of.map(|call| call.call_id).collect()))
                    }
                    Command::Hangup(ask, id) if has(id) => (ask, Answer::Hangup(Found::Here)),
                    Command::Hangup(ask, _) => (ask, Answer::Hangup(Found::Nowhere)),
                    Command::Trace(ask, id) => (ask, Answer::Trace(has(id).then(Vec::new))),
                    // The first of its calls is recorded, and the others are none of those that are.
                    Command::Recording(ask, id, _) => {
                        let first = calls.lock().unwrap().first().map(|call| call.call_id);
                        let controlled = match (has(id), first == Some(id)) {
                            (false, _) => Controlled::Nowhere,
                            (true, true) => Controlled::Done,
                            (true, false) => Controlled::NotRecorded(Why::NotAsked),
                        };
                        (ask, Answer::Recording(controlled))
                    }
                    Command::Probe(ask, _) => (ask, Answer::Probed(None)),
                    Command::Drain
                    | Command::Admit
                    | Command::EndAll
                    | Command::KeepAll
                    | Command::CutNumber(_)
                    | Command::Records(_) => return,
                };
                board.upgrade().unwrap().answer(ask, answer);
            }),
        )
    })
}

fn carrier() -> Trunk {
    Trunk {
        default: true,
        gateways: vec![crate::call::trunk::Gateway {
            place: crate::call::targets::Place::At(crate::call::targets::Target {
                transport: crate::sip::path::Transport::Udp,
                address: ([127, 0, 0, 3], 5_060).into(),
            }),
            rank: Default::default(),
        }],
        ..Trunk::bare("carrier")
    }
}

/// A call that was answered.
pub(crate) fn live_call() -> CallView {
    let at = Wall::from_millis(1_795_255_200_000);
    CallView {
        call_id: Id::from_bits(7),
        binding_id: None,
        x: Digits::from("17000000001").unwrap(),
        phase: "answered",
        caller: "138****0001".into(),
        callee: "139****0002".into(),
        arrived_at: at,
        answered_at: Some(at),
        media: Media::default(),
    }
}

/// The record of the `n`th call.
pub(crate) fn cdr(n: u64) -> Cdr {
    let at = Wall::from_millis(1_795_255_200_000).plus(Duration::from_secs(n));
    let digits = |text| Some(Digits::from(text).unwrap());
    Cdr {
        schema: SCHEMA,
        node: "umbra-1".into(),
        call_id: Id::from_bits(100 + u128::from(n)),
        binding_id: None,
        account: "default".into(),
        pool: None,
        mode: None,
        caller_kind: CallerKind::A,
        direction: None,
        a: None,
        x: digits("17000000001"),
        y: None,
        peer: None,
        extension: None,
        group_id: None,
        caller: digits("+8613800000001"),
        dialled: Digits::from("17000000001").unwrap(),
        callee: digits("+8613900000002"),
        shown: None,
        arrived_at: at,
        dialled_at: None,
        early_media_at: None,
        ringing_at: None,
        answered_at: None,
        ended_at: at,
        released_by: ReleasedBy::Caller,
        sip_status: 200,
        callee_sip_status: None,
        q850_cause: 16,
        refusal: None,
        billable_s: 12,
        attempts: Vec::new(),
        recording: Recording::none(Why::NotAsked),
        media: Media::default(),
        sip_call_id_in: "in".into(),
        sip_call_id_out: None,
        trunk_in: "carrier".into(),
        trunk_out: None,
        order_id: None,
        user_data: None,
        end_cause: None,
        charging: None,
        announcement: None,
        collected: None,
        question: None,
    }
}

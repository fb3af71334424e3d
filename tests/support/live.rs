//! The stage of the real server: a process of its own on loopback, phones on sockets, orders by the command
//! line, records from their files.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use umbra::call::recording::Control;

use crate::support::customer::{self, Script};
use crate::support::stage::{Binding, Doing, Packet, Setup, Stage};
use crate::support::text::Msg;

#[path = "live/conf.rs"]
mod conf;
#[path = "live/connections.rs"]
mod connections;
#[path = "hep.rs"]
mod hep;
#[path = "line.rs"]
mod line;
#[path = "live/recordings.rs"]
mod recordings;

use conf::write_conf;
use connections::Lines;
use hep::Capture;
use line::Terms;

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a socket looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// One listening address of a phone.
struct Ear {
    socket: UdpSocket,
    wanted: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The real server and its surroundings.
pub struct Live {
    setup: Setup,
    begun: Instant,
    process: Child,
    /// `umbra stop --drain`, while it waits.
    stopping: Option<Child>,
    dir: TempDir,
    ears: HashMap<SocketAddr, Ear>,
    /// Those that listen for connections.
    doors: HashMap<SocketAddr, (Arc<AtomicBool>, JoinHandle<()>)>,
    lines: Lines,
    /// The phones' certificates.
    terms: Option<Arc<Terms>>,
    mouth: Sender<Packet>,
    heard: Receiver<Packet>,
    /// What had come when the conf was read again, and the set-up that counts behind it.
    before: VecDeque<Packet>,
    awaited: Option<Setup>,
    /// Where copies of all messages go: no number may be in them.
    capture: Capture,
    /// What whoever wanted a recording paused was told since somebody looked.
    not_controlled: Vec<String>,
    /// The server that Umbra asks about calls, once a number has one.
    customer: Option<customer::Server>,
    /// Holds the net against other plays; marks what phones have heard so far.
    claim: UdpSocket,
}

/// The next net to try: the plays of one run don't meet, and other runs are found by their claims.
static NET: AtomicU8 = AtomicU8::new(20);

/// A net that nobody else plays on.
fn claim() -> (u8, UdpSocket) {
    for _ in 0..400 {
        let net = NET.fetch_add(1, Ordering::Relaxed);
        // 127.0 is everybody's.
        if net >= 20
            && let Ok(socket) = UdpSocket::bind((Setup::on(net).ip(0, 9), 5_059))
        {
            return (net, socket);
        }
    }
    panic!("every net is taken");
}

/// Starts the server in its folder; what it prints is added to what was printed before.
fn launch(dir: &Path) -> Child {
    let out = File::options()
        .create(true)
        .append(true)
        .open(dir.join("server.out"))
        .expect("a file for its output");
    Command::new(env!("CARGO_BIN_EXE_umbra"))
        .args(["serve", "--conf", "umbra.toml"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("the same file"))
        .stderr(out)
        .spawn()
        .expect("the server's binary runs")
}

impl Live {
    /// Starts a server and waits until it answers. The setup's net is chosen here.
    pub fn start(setup: Setup) -> Self {
        let (net, claim) = claim();
        let setup = Setup { net, ..setup };
        let dir = tempfile::tempdir().expect("a folder for the server");
        let capture = Capture::start();
        write_conf(dir.path(), &setup, &capture);
        let terms = setup.has_tls().then(|| Arc::new(Terms::made_in(dir.path())));
        let process = launch(dir.path());
        let (mouth, heard) = channel();
        let mut live = Self {
            setup,
            begun: Instant::now(),
            process,
            stopping: None,
            dir,
            ears: HashMap::new(),
            doors: HashMap::new(),
            lines: Lines::default(),
            terms,
            mouth,
            heard,
            before: VecDeque::new(),
            awaited: None,
            capture,
            not_controlled: Vec::new(),
            customer: None,
            claim,
        };
        live.await_answer();
        live.begun = Instant::now();
        live
    }

    fn await_answer(&mut self) {
        let since = Instant::now();
        while !self.umbra("status").status.success() {
            let gone = self.process.try_wait().expect("a child of ours");
            assert!(
                gone.is_none(),
                "the server ended at its start: {}",
                self.printed()
            );
            assert!(
                since.elapsed() < PATIENCE,
                "the server doesn't answer: {}",
                self.printed()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The play's folder: conf, data, and room for what else it needs.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// What is copied to the play's capture server, as it comes.
    #[allow(dead_code)] // for who looks at it afterwards
    pub fn copies(&self) -> Arc<Mutex<Vec<hep::Copy>>> {
        Arc::clone(&self.capture.copies)
    }

    /// What the server has printed.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.folder().join("server.out")).unwrap_or_default()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_umbra"));
        command
            .arg("--control")
            .arg(self.folder().join("data/control.sock"))
            .args(line.split_whitespace())
            .stdin(Stdio::null());
        command
    }

    fn umbra(&self, line: &str) -> Output {
        self.command(line)
            .output()
            .expect("the command line's binary runs")
    }

    fn done(&self, line: &str) -> String {
        let output = self.umbra(line);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "umbra {line}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// The names of a trunk and a gateway of it, which these words name.
fn named(setup: &Setup, what: &[&str]) -> String {
    match what {
        [trunk, n] => {
            let n: usize = n.parse().expect("a gateway's number");
            format!("{trunk} {}", setup.gateway_uris()[n - 1])
        }
        trunk => trunk.join(" "),
    }
}

/// What is sent to a phone's socket to see that everything before it has been heard.
const MARK: &[u8] = b"everything before this has been heard";

impl Live {
    /// Waits until the phones' sockets have given all that had left for them; what isn't a mark is kept in `before`.
    fn hear_what_has_left(&mut self) {
        for at in self.ears.keys() {
            self.claim.send_to(MARK, at).expect("a phone's socket is open");
        }
        let mut open = self.ears.len();
        while open > 0 {
            let packet = self.heard.recv_timeout(PATIENCE).expect("loopback loses no mark");
            if packet.bytes == MARK {
                open -= 1;
            } else {
                self.before.push_back(packet);
            }
        }
    }

    /// The live calls, as a listing has them.
    fn calls(&self) -> Vec<Value> {
        serde_json::from_str(&self.done("calls --json")).expect("JSON")
    }

    /// These settings as options of a command.
    fn set(&self, command: &str, settings: &[&str]) {
        let options: Vec<String> = (settings.iter())
            .map(|setting| format!("--{}", setting.replacen('=', " ", 1)))
            .collect();
        self.done(&format!("{command} {}", options.join(" ")));
    }

    fn add_pool(&self, mode: &str) {
        if !self.umbra(&format!("pool show {mode}")).status.success() {
            self.done(&format!("pool add {mode} --mode {mode}"));
        }
    }
}

impl Stage for Live {
    fn is_exact(&self) -> bool {
        false
    }

    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn open(&mut self, at: SocketAddr) {
        let socket = UdpSocket::bind(at).expect("a phone's address is free");
        socket
            .set_read_timeout(Some(LOOK))
            .expect("a time-out can be set");
        let wanted = Arc::new(AtomicBool::new(true));
        let (ear, told, still) = (
            socket.try_clone().expect("the same socket"),
            self.mouth.clone(),
            wanted.clone(),
        );
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while still.load(Ordering::Relaxed) {
                // A time-out, or a port that isn't there: neither ends the listening.
                let Ok((length, from)) = ear.recv_from(&mut buffer) else {
                    continue;
                };
                let packet = Packet {
                    from,
                    to: at,
                    bytes: buffer[..length].to_vec(),
                };
                if told.send(packet).is_err() {
                    return;
                }
            }
        });
        self.ears.insert(
            at,
            Ear {
                socket,
                wanted,
                thread,
            },
        );
        if self.setup.hears_tcp(at) {
            self.open_door(at);
        }
    }

    fn shut(&mut self, at: SocketAddr) {
        if let Some(ear) = self.ears.remove(&at) {
            ear.wanted.store(false, Ordering::Relaxed);
            drop(ear.socket);
            ear.thread.join().expect("an ear doesn't panic");
        }
        if let Some((wanted, door)) = self.doors.remove(&at) {
            wanted.store(false, Ordering::Relaxed);
            door.join().expect("a door doesn't panic");
        }
        self.reset(at);
    }

    fn reset(&mut self, at: SocketAddr) {
        let mut lines = self.lines.lock().expect("no panic");
        lines.retain(|(phone, _), line| {
            if *phone == at {
                line.reset();
            }
            *phone != at
        });
    }

    fn send(&mut self, packet: Packet) {
        self.capture.said(&packet.bytes);
        if Msg::read(&packet.bytes).is_some_and(|msg| msg.is_over_tcp()) {
            return self.say_on_a_line(packet);
        }
        if let Some(ear) = self.ears.get(&packet.from) {
            // What can't be sent is lost, as on any network.
            ear.socket.send_to(&packet.bytes, packet.to).unwrap_or(0);
        }
    }

    fn receive(&mut self, until: Duration) -> Option<Packet> {
        let wait = until.saturating_sub(self.begun.elapsed());
        let before = self.before.pop_front();
        if before.is_none()
            && let Some(setup) = self.awaited.take()
        {
            self.setup = setup;
        }
        // The other end is here too: an error is the time-out.
        let packet = before.or_else(|| self.heard.recv_timeout(wait).ok())?;
        // What an edge says isn't ours.
        if !self.setup.has_edge {
            self.capture.heard(packet.from, packet.to, &packet.bytes);
        }
        Some(packet)
    }

    fn own(&mut self, x: &str) {
        self.done(&format!("number add {x}"));
    }

    fn set_pool(&mut self, mode: &str, settings: &[&str]) {
        self.add_pool(mode);
        self.set(&format!("pool set {mode}"), settings);
    }

    fn set_account(&mut self, settings: &[&str]) {
        self.set("account set default", settings);
    }

    fn own_in(&mut self, mode: &str, x: &str) {
        self.add_pool(mode);
        if !self.umbra(&format!("number show {x}")).status.success() {
            self.done(&format!("number add {x} --pool {mode}"));
        }
    }

    fn ask(&mut self, x: &str, numbers: &str) {
        let ip = self.setup.ip(0, 9);
        let server = self.customer.get_or_insert_with(|| customer::Server::at(ip));
        let at = server.address();
        let secret = self.dir.path().join("ask.secret");
        fs::write(&secret, customer::SECRET).expect("a file of our own");
        let settings = format!(
            "--ask-url http://{at}/ask --ask-secret-file {} --ask-numbers {numbers}",
            secret.display()
        );
        if self.umbra("pool show x").status.success() {
            self.done(&format!("pool set x {settings}"));
        } else {
            self.done(&format!("pool add x --mode x {settings}"));
        }
        if !self.umbra(&format!("number show {x}")).status.success() {
            self.done(&format!("number add {x} --pool x"));
        }
    }

    fn server(&mut self, script: Script) {
        self.customer.as_mut().expect("a number asks it").says(script);
    }

    fn questions(&mut self) -> Vec<Value> {
        let server = self.customer.as_ref().expect("a number asks it");
        server.asked().iter().map(customer::Asked::json).collect()
    }

    fn callee(&mut self, x: &str, to: Option<&str>) {
        match to {
            Some(to) => self.done(&format!("callee --x {x} --to {to}")),
            None => self.done(&format!("callee --x {x} --clear")),
        };
    }

    fn bind(&mut self, binding: &Binding) {
        let Binding { x, a, y, b, e, .. } = binding;
        let mut line = match binding.mode.as_str() {
            "ax" => format!("bind ax --x {x} --a {a}"),
            "axyb" => format!("bind axyb --x {x} --a {a} --y {y} --b {b}"),
            "axe" if e.is_empty() => format!("bind axe --x {x} --a {a}"),
            "axe" => format!("bind axe --x {x} --a {a} --extension {e}"),
            "axg" | "gxb" | "gxyb" => {
                let group = format!("of-{x}");
                let mut add = format!(
                    "group add {group} --pool {} {}",
                    binding.mode,
                    binding.members.join(" ")
                );
                if !binding.default.is_empty() {
                    add += &format!(" --default {}", binding.default);
                }
                self.done(&add);
                match binding.mode.as_str() {
                    "axg" => format!("bind axg --x {x} --a {a} --group {group}"),
                    "gxb" => format!("bind gxb --x {x} --b {b} --group {group}"),
                    _ => format!("bind gxyb --x {x} --y {y} --b {b} --group {group}"),
                }
            }
            "xb" if a.is_empty() && binding.ring.is_empty() => format!("bind xb --x {x} --b {b}"),
            "xb" if a.is_empty() => format!("bind xb --x {x} --b {b} --ring {}", binding.ring.join(",")),
            "xb" => format!("bind xb --x {x} --a {a}"),
            "400" => format!("bind 400 --x {x} --base {a}"),
            "axn" | "95axn" => format!("bind {} --x {x} --a {a}", binding.mode),
            _ => format!("bind axb --x {x} --a {a} --b {b}"),
        };
        if !binding.display.is_empty() {
            line += &format!(" --display {}", binding.display);
        }
        if !binding.menu.is_empty() {
            line += &format!(" --menu {}", binding.menu);
            for (keys, to) in &binding.choices {
                line += &format!(" --choice {keys}={}", to.join(","));
            }
            if !binding.menu_default.is_empty() {
                line += &format!(" --menu-default {}", binding.menu_default);
            }
        }
        if !binding.callback.is_empty() {
            line += &format!(" --callback {}", binding.callback);
        }
        if let Some(direction) = &binding.direction {
            line += &format!(" --direction {direction}");
        }
        if let Some(ttl) = binding.ttl {
            line += &format!(" --ttl {}s", ttl.as_secs());
        }
        if let Some(max) = binding.max {
            line += &format!(" --max-duration {}s", max.as_secs());
        }
        if binding.record {
            line += " --record";
        }
        for (key, value) in &binding.cues {
            line += &format!(" --{} {value}", key.replace('_', "-"));
        }
        self.done(&line);
    }

    fn unbind(&mut self, x: &str) {
        self.done(&format!("unbind --x {x}"));
    }

    fn order(&mut self, doing: Doing, x: Option<&str>) {
        let x = x.unwrap_or_default();
        let line = match doing {
            Doing::Lock => format!("number lock {x}"),
            Doing::Unlock => format!("number unlock {x}"),
            Doing::Freeze(cause) => format!("number freeze {x} --cause {}", cause.name()),
            Doing::Thaw => format!("number unfreeze {x}"),
            Doing::Suspend => "account suspend default".to_owned(),
            Doing::Resume => "account resume default".to_owned(),
            Doing::Fax(fax) => format!("pool set default --t38 {}", fax.name()),
            Doing::Callback(mode, callback) => {
                format!("pool set {} --callback {}", mode.name(), callback.name())
            }
        };
        self.done(&line);
    }

    fn control_recordings(&mut self, control: Control) {
        for call in self.calls() {
            let refused = recordings::control(&self.folder().join("data/control.sock"), &call, control);
            self.not_controlled.extend(refused);
        }
    }

    fn recorder_says(&mut self, what: &str, why: &str) {
        panic!("nobody makes a real recorder say {what} {why}: such a ladder is only simulated");
    }

    fn recording(&mut self) -> (Vec<String>, Option<[usize; 2]>) {
        (std::mem::take(&mut self.not_controlled), None)
    }

    fn restart(&mut self, away: Duration) {
        self.process.kill().expect("a child of ours");
        self.process.wait().expect("a child of ours");
        self.capture.forget();
        thread::sleep(away);
        self.process = launch(self.dir.path());
        self.await_answer();
    }

    fn hand_over(&mut self) {
        self.done("stop --handover");
        self.process.wait().expect("a child of ours");
        self.process = launch(self.dir.path());
        self.await_answer();
    }

    fn block(&mut self, what: &[&str]) {
        self.done(&format!("trunk block {}", named(&self.setup, what)));
    }

    fn unblock(&mut self, what: &[&str]) {
        self.done(&format!("trunk unblock {}", named(&self.setup, what)));
    }

    fn drain(&mut self) {
        let mut command = self.command("stop --drain 1m");
        let out = File::create(self.folder().join("stop.out")).expect("a file for its output");
        let child = command
            .stdout(out)
            .spawn()
            .expect("the command line's binary runs");
        self.stopping = Some(child);
        // It has no answer before the end; let its order arrive.
        thread::sleep(Duration::from_millis(500));
    }

    fn set_up_anew(&mut self, setup: Setup) {
        write_conf(self.folder(), &setup, &self.capture);
        self.done("reload");
        // Each shard answers behind what it was told of the conf: from here on nothing leaves by the old one.
        self.done("calls");
        self.hear_what_has_left();
        if self.before.is_empty() {
            self.setup = setup;
        } else {
            self.awaited = Some(setup);
        }
    }

    fn cdrs(&mut self) -> Vec<Value> {
        let Ok(files) = fs::read_dir(self.folder().join("data/cdr")) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        paths.sort();
        paths
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .flat_map(|text| {
                let whole = text.rfind('\n').map_or(0, |at| at + 1);
                let lines: Vec<String> = text[..whole].lines().map(str::to_owned).collect();
                lines
            })
            .map(|line| serde_json::from_str(&line).expect("a record is one line of JSON"))
            .collect()
    }

    fn audio(&mut self) -> Vec<String> {
        self.calls()
            .iter()
            .map(|call| call["media"]["audio"].as_str().unwrap_or("").to_owned())
            .collect()
    }

    fn busy(&mut self) -> Option<String> {
        if self.stopping.is_some() {
            // Drained: it ends by itself with its last call.
            return match self.process.try_wait() {
                Ok(Some(_)) => None,
                Ok(None) | Err(_) => Some("the server isn't empty yet".into()),
            };
        }
        let status: Value = serde_json::from_str(&self.done("status --json")).expect("JSON");
        let calls = status["calls"].as_u64().expect("a count of calls");
        if calls > 0 {
            return Some(format!("{calls} calls"));
        }
        // The recorder may have its last second to write, and to rename what is whole.
        self.setup.recordings.as_ref()?;
        let cdrs = self.cdrs();
        recordings::amiss(&self.folder().join("data/recordings"), &cdrs)
    }

    fn faults(&mut self) -> Vec<String> {
        let printed = self.printed();
        let bad = |line: &&str| line.contains("panicked") || line.contains(" ERROR ");
        let printed = printed.lines().filter(bad).map(str::to_owned);
        printed.chain(self.capture.faults()).collect()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for child in self.stopping.iter_mut().chain([&mut self.process]) {
            // Gone already, if it was drained.
            let _ = child.kill();
            let _ = child.wait();
        }
        for (_, ear) in self.ears.drain() {
            ear.wanted.store(false, Ordering::Relaxed);
        }
        for (_, (wanted, _)) in self.doors.drain() {
            wanted.store(false, Ordering::Relaxed);
        }
    }
}

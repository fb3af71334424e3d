//! The stage of the real server: a process of its own on loopback, phones on sockets, orders by the command
//! line, records from their files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use umbra::sip::path::Transport;

use crate::support::secret;
use crate::support::stage::{Binding, Doing, Large, Packet, Setup, Speaks, Stage};
use crate::support::text::Msg;

#[path = "hep.rs"]
mod hep;
#[path = "line.rs"]
mod line;

use hep::Capture;
use line::{Line, Terms};

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a socket looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// The connections over TCP and TLS: each by the address that its phone goes by, and the other end.
type Lines = Arc<Mutex<HashMap<(SocketAddr, SocketAddr), Line>>>;

/// Bytes that are written to a connection at once: few, so that the server gets its messages in pieces.
const PIECE: usize = 97;

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
    /// Where copies of all messages go: no number may be in them.
    capture: Capture,
    /// Holds the net against other plays.
    _claim: UdpSocket,
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

/// Writes the server's conf as the setup has it.
fn write_conf(dir: &Path, setup: &Setup, capture: &Capture) {
    let listening = |transport| {
        let of = setup.listeners().into_iter().filter(|(t, _)| *t == transport);
        let all: Vec<String> = of.map(|(_, at)| format!("\"{at}\"")).collect();
        all.join(", ")
    };
    let interfaces: String = setup
        .interfaces()
        .iter()
        .map(|i| {
            format!(
                "[[media.interface]]\nname = \"{}\"\naddress = \"{}\"\nports = \"{}-{}\"\n",
                i.name, i.address, i.port_first, i.port_last
            )
        })
        .collect();
    let conf = format!(
        "trunks = \"trunks.toml\"\n[sip]\nudp = [{}]\ntcp = [{}]\ntls = [{}]\n{}shards = {}\nt1_ms = {}\n[media]\ntimeout_s = {}\ntones = \"{}\"\n{interfaces}[limits]\nring_timeout_s = {}\nannouncements = {}\n[api]\nlisten = \"\"\n[log]\nlevel = \"debug\"\n{}",
        listening(Transport::Udp),
        listening(Transport::Tcp),
        listening(Transport::Tls),
        if setup.has_tls() {
            "tls_cert = \"umbra.pem\"\ntls_key = \"umbra.key\"\ntls_client_ca = \"ca.pem\"\n"
        } else {
            ""
        },
        setup.shards,
        setup.t1.as_millis(),
        setup.media_timeout.as_secs(),
        setup.tones,
        setup.ring.as_secs(),
        setup.announcements,
        capture.conf(),
    );
    let emergency = setup.emergency.as_ref().map(|[country, trunk, also]| {
        let also = if also.is_empty() {
            String::new()
        } else {
            format!("{also:?}")
        };
        format!("[emergency]\ncountry = {country:?}\ntrunk = {trunk:?}\nalso = [{also}]\n")
    });
    let bans = setup.bans.map(|(after, first)| {
        let first = first.as_secs();
        format!("[bans]\nafter = {after}\nfirst = \"{first}s\"\n")
    });
    let conf = conf + bans.as_deref().unwrap_or_default() + emergency.as_deref().unwrap_or_default();
    let accepted: Vec<String> = setup
        .accepted()
        .iter()
        .map(|(ip, prefix)| format!("\"{ip}/{prefix}\""))
        .collect();
    let rest = format!(
        "{}credentials = {}\nregister = {}\nlarge_requests = \"{}\"\nmedia = \"{}\"\nfirst_response_timeout_s = {}\nprogress_timeout_s = {}\nprobe = {{ every_s = {}, timeout_s = {}, down_after = {}, up_after = {} }}\nredirects = \"{}\"\nrtcp_mux = \"{}\"\ndtmf = \"{}\"\nsession_timer = \"{}\"\nsession_expires_s = {}\nmin_se_s = {}\ncharging_vector = \"{}\"\nsession_id = \"{}\"\nreliable_provisionals = \"{}\"\n{}{}",
        auth(setup),
        credentials(setup),
        register(setup),
        if setup.large == Large::Udp { "udp" } else { "tcp" },
        setup.media.as_deref().unwrap_or(""),
        setup.silence.as_secs(),
        setup.progress.as_secs(),
        setup.probe.every.map_or(0, |every| every.as_secs()),
        setup.probe.timeout.as_secs(),
        setup.probe.down_after,
        setup.probe.up_after,
        if setup.follows { "follow" } else { "refuse" },
        setup.rtcp_mux,
        if setup.keys_by_info { "info" } else { "rtp" },
        setup.session_timer,
        setup.session_expires_s,
        setup.min_se_s,
        if setup.names_charging { "own" } else { "none" },
        if setup.names_sessions { "own" } else { "none" },
        setup.reliable,
        // The callers' own trunk stands last, if there is one.
        further_conf(setup),
        names(setup),
    );
    let quoted = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
        texts.join(", ")
    };
    let accept_from = accepted.join(", ");
    let gateways = setup.gateway_uris();
    let mut trunks = if setup.trunks.is_empty() {
        format!(
            "[[trunk]]\nname = \"carrier\"\naccept_from = [{accept_from}]\ngateways = [{}]\ndefault = true\n{rest}",
            quoted(&gateways)
        )
    } else {
        let one = |(n, gateway): (usize, &String)| {
            let name = setup.trunk_of(n);
            let (accepts, shows) = if n == 0 {
                (&*accept_from, "own")
            } else {
                ("", "any")
            };
            format!(
                "[[trunk]]\nname = \"{name}\"\naccept_from = [{accepts}]\ngateways = [\"{gateway}\"]\nmay_show = [\"{shows}\"]\ndefault = {}\n{rest}",
                n == 0
            )
        };
        gateways.iter().enumerate().map(one).collect()
    };
    if !setup.route.is_empty() {
        let named = quoted(&setup.route);
        trunks.push_str(&format!("[[route]]\ncallee = \"86139*\"\ntrunks = [{named}]\n"));
    }
    fs::write(dir.join("umbra.toml"), conf).expect("the folder can be written");
    fs::write(dir.join("trunks.toml"), trunks).expect("the folder can be written");
}

/// What the conf says of the password that callers are asked for.
fn auth(setup: &Setup) -> String {
    let Some(how) = &setup.auth else {
        return String::new();
    };
    let (status, hash) = how.split_once('-').unwrap_or((how, ""));
    let (realm, user, password) = (secret::OUR_REALM, secret::THEIR_USER, secret::THEIR_PASSWORD);
    let hash = match hash {
        "" => String::new(),
        hash => format!("auth_algorithms = [{:?}]\n", hash.to_lowercase()),
    };
    format!(
        "auth = [{{ user = {user:?}, password = {password:?} }}]\nauth_realm = {realm:?}\nauth_status = {status}\n{hash}"
    )
}

/// What the conf says of how gateways are to know us.
fn register(setup: &Setup) -> String {
    setup.register.map_or("{}".to_owned(), |expires_s| {
        let (user, domain) = (secret::USER, secret::REALM);
        format!(
            "{{ user = {user:?}, domain = {domain:?}, contact_user = \"17000000001\", expires_s = {expires_s} }}"
        )
    })
}

/// The lines of the play's own.
fn further_conf(setup: &Setup) -> String {
    let own = setup.further_conf();
    if setup.home_trunk.is_empty() {
        own
    } else {
        gateways_name(setup) + &own
    }
}

/// What the conf says of certificates: without one nobody calls where callers speak TLS.
fn names(setup: &Setup) -> String {
    let callers = match setup.home {
        Speaks::Tls => format!("client_names = [\"{}\"]\n", line::PHONES),
        Speaks::Udp | Speaks::Tcp | Speaks::Udp6 | Speaks::Tcp6 => String::new(),
    };
    callers + &gateways_name(setup)
}

/// What the conf says of the other side's certificates.
fn gateways_name(setup: &Setup) -> String {
    if setup.has_tls() {
        format!("tls_name = \"{}\"\ntls_ca = \"ca.pem\"\n", line::PHONES)
    } else {
        String::new()
    }
}

/// What the conf says of the password that gateways ask for.
fn credentials(setup: &Setup) -> String {
    if setup.has_credentials {
        let (realm, user, password) = (secret::REALM, secret::USER, secret::PASSWORD);
        format!("{{ realm = {realm:?}, user = {user:?}, password = {password:?} }}")
    } else {
        "{}".to_owned()
    }
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
            capture,
            _claim: claim,
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

    /// Connections to this address are taken, and read, from now on.
    fn open_door(&mut self, at: SocketAddr) {
        let listener = TcpListener::bind(at).expect("a phone's address is free");
        listener.set_nonblocking(true).expect("a socket");
        let wanted = Arc::new(AtomicBool::new(true));
        let (still, lines, told) = (wanted.clone(), self.lines.clone(), self.mouth.clone());
        let is_secure = self.setup.stream_at(at) == Transport::Tls;
        let terms = self.terms.clone().filter(|_| is_secure);
        let door = thread::spawn(move || {
            while still.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, from)) => {
                        stream.set_nonblocking(false).expect("a socket");
                        let line = match &terms {
                            Some(terms) => Line::called(stream, terms),
                            None => Line::open(stream),
                        };
                        read_line(&lines, &told, (at, from), line);
                    }
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        self.doors.insert(at, (wanted, door));
    }

    /// Sends over TCP: by the connection to there, or to where the server listens, or by a new one.
    fn say_on_a_line(&mut self, packet: Packet) {
        let umbra = self.setup.umbra_near(packet.from);
        let known = |to| {
            let lines = self.lines.lock().expect("no panic");
            lines.get(&(packet.from, to)).cloned()
        };
        let line = match known(packet.to).or_else(|| known(umbra)) {
            Some(line) => line,
            None => {
                let socket =
                    socket2::Socket::new(socket2::Domain::for_address(umbra), socket2::Type::STREAM, None)
                        .expect("a socket");
                let home = SocketAddr::new(packet.from.ip(), 0);
                socket.bind(&home.into()).expect("a phone's address");
                socket.connect(&umbra.into()).expect("the server listens on TCP");
                let stream = TcpStream::from(socket);
                stream.set_nodelay(true).expect("a socket");
                let is_secure = self.setup.stream_at(packet.from) == Transport::Tls;
                let line = match self.terms.as_ref().filter(|_| is_secure) {
                    Some(terms) => Line::calling(stream, terms),
                    None => Line::open(stream),
                };
                read_line(&self.lines, &self.mouth, (packet.from, umbra), line.clone());
                line
            }
        };
        for piece in packet.bytes.chunks(PIECE) {
            // What can't be sent is lost with its connection.
            if line.write(piece).is_err() {
                return;
            }
        }
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

/// Reads a connection on a thread of its own until it ends.
fn read_line(lines: &Lines, told: &Sender<Packet>, ends: (SocketAddr, SocketAddr), line: Line) {
    let (at, from) = ends;
    lines.lock().expect("no panic").insert(ends, line.clone());
    let (lines, told) = (lines.clone(), told.clone());
    thread::spawn(move || {
        let (mut held, mut buffer) = (Vec::new(), vec![0; 65_536]);
        loop {
            while let Some(length) = framed(&held) {
                let bytes: Vec<u8> = held.drain(..length).collect();
                if told.send(Packet { from, to: at, bytes }).is_err() {
                    return;
                }
            }
            match line.read(&mut buffer) {
                Ok(length) if length > 0 => held.extend_from_slice(&buffer[..length]),
                Ok(_) | Err(_) => break,
            }
        }
        let mut lines = lines.lock().expect("no panic");
        let is_this = |other: &Line| other.address() == line.address();
        if lines.get(&ends).is_some_and(is_this) {
            lines.remove(&ends);
        }
    });
}

/// The length of the first message, if all of it is here.
fn framed(bytes: &[u8]) -> Option<usize> {
    let msg = Msg::read(bytes)?;
    let head = bytes.len() - msg.body.len();
    let body: usize = msg.get("Content-Length")?.parse().ok()?;
    (body <= msg.body.len()).then_some(head + body)
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
        // The other end is here too: an error is the time-out.
        let packet = self.heard.recv_timeout(wait).ok()?;
        // What an edge says isn't ours.
        if !self.setup.has_edge {
            self.capture.heard(packet.from, packet.to, &packet.bytes);
        }
        Some(packet)
    }

    fn own(&mut self, x: &str) {
        self.done(&format!("number add {x}"));
    }

    fn own_in(&mut self, mode: &str, x: &str) {
        if !self.umbra(&format!("pool show {mode}")).status.success() {
            self.done(&format!("pool add {mode} --mode {mode}"));
        }
        if !self.umbra(&format!("number show {x}")).status.success() {
            self.done(&format!("number add {x} --pool {mode}"));
        }
    }

    fn callee(&mut self, x: &str, to: Option<&str>) {
        match to {
            Some(to) => self.done(&format!("callee --x {x} --to {to}")),
            None => self.done(&format!("callee --x {x} --clear")),
        };
    }

    fn bind(&mut self, binding: &Binding) {
        let Binding { x, a, y, b, .. } = binding;
        let mut line = match binding.mode.as_str() {
            "ax" => format!("bind ax --x {x} --a {a}"),
            "axyb" => format!("bind axyb --x {x} --a {a} --y {y} --b {b}"),
            _ => format!("bind axb --x {x} --a {a} --b {b}"),
        };
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
        };
        self.done(&line);
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
        self.setup = setup;
        self.done("reload");
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
        let calls: Vec<Value> = serde_json::from_str(&self.done("calls --json")).expect("JSON");
        calls
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
        (calls > 0).then(|| format!("{calls} calls"))
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

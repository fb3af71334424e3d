//! A real server, started as people start it: a process of its own, with its own data and ports, on
//! loopback; and the command line beside it.
#![allow(dead_code)] // each test binary uses its part

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

#[path = "certificates.rs"]
#[allow(clippy::duplicate_mod)] // a test binary may have the other stage too
pub mod certificates;

use certificates::{Authority, PHONES};

/// Where the server listens.
pub const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Where the carrier's side of the tests is.
pub const CARRIER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where the called party's side is.
pub const CALLEE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// The protected subscriber.
pub const A: &str = "13800000001";
/// The other party.
pub const B: &str = "13900000002";
/// The virtual number between them.
pub const X: &str = "17000000001";

/// How long a server may take to come up, and anything else to come about.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A disk on which there is room for the reserve of a start, with as much beside it, and little more.
pub const SMALL_DISK: &str = "150m";
/// Ports are claimed in blocks of so many.
const BLOCK: u16 = 1_000;
/// Where the blocks begin, and where the ports begin that the system gives out itself.
const PORTS: (u16, u16) = (10_000, 32_000);

/// What differs between the servers of the tests.
pub struct Setup {
    /// Where calls through the trunk go.
    pub gateway: SocketAddr,
    /// The trunk's `media_nat`.
    pub media_nat: &'static str,
    /// How much is logged.
    pub log: &'static str,
    /// For how many calls at once there are media ports; a port rests a while between two calls.
    pub calls: u16,
    /// Where it listens besides, over UDP and TCP.
    pub also: Vec<SocketAddr>,
}

/// A running server; dropped, it is killed.
pub struct Server {
    process: Child,
    dir: TempDir,
    data: PathBuf,
    /// What keeps the disk mounted that `data` is, if it is one of its own.
    disk: Option<Child>,
    /// The program that is started.
    program: PathBuf,
    /// What the dynamic linker gives it first.
    beneath: Option<PathBuf>,
    /// Who signed its certificate, if it has one.
    pub authority: Authority,
    /// Where it listens for SIP.
    pub sip: SocketAddr,
    /// The media ports are ours while these are held.
    _claims: Vec<UdpSocket>,
}

impl Server {
    /// Starts a server and waits until it answers. It speaks UDP.
    pub fn start(setup: &Setup) -> Self {
        Self::speaking("udp", setup)
    }

    /// Starts one on which A and B are bound through X; calls go to `gateway`.
    pub fn with_a_pair(gateway: SocketAddr) -> Self {
        let server = Self::start(&Setup {
            gateway,
            media_nat: "strict",
            log: "info",
            calls: 50,
            also: Vec::new(),
        });
        server.bind(X, A, B, "");
        server
    }

    /// Starts a server that listens, and speaks to its gateway, over `udp`, over `tcp` as well, or over `tls`
    /// besides: then both sides show certificates, those of [`Authority::write`] in its folder.
    pub fn speaking(transport: &str, setup: &Setup) -> Self {
        Self::with_media(HOME.into(), transport, setup)
    }

    /// Starts a server whose media have that address.
    pub fn with_media(media: IpAddr, transport: &str, setup: &Setup) -> Self {
        Self::with_trunk(media, transport, setup, "")
    }

    /// Starts a server whose trunk has these lines too.
    pub fn with_trunk(media: IpAddr, transport: &str, setup: &Setup, lines: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the server");
        let (first, last, claims) = media_ports(setup.calls);
        let sip = free_address(HOME);
        let list = |addresses: &[SocketAddr]| {
            let quoted: Vec<String> = addresses.iter().map(|at| format!("\"{at}\"")).collect();
            quoted.join(", ")
        };
        let by_tcp = match transport {
            "tcp" => [&[sip], &*setup.also].concat(),
            _ => setup.also.clone(),
        };
        let authority = Authority::new();
        let (tls, certificates) = match transport {
            "tls" => {
                authority.write(dir.path());
                let tls = format!(
                    "tls = [\"{sip}\"]\ntls_cert = \"umbra.pem\"\ntls_key = \"umbra.key\"\ntls_client_ca = \"ca.pem\"\n"
                );
                let of_gateways =
                    format!("client_names = [\"{PHONES}\"]\ntls_name = \"{PHONES}\"\ntls_ca = \"ca.pem\"\n");
                (tls, of_gateways)
            }
            _ => (String::new(), String::new()),
        };
        let (udp, tcp) = (list(&[&[sip], &*setup.also].concat()), list(&by_tcp));
        let conf = format!(
            "trunks = \"trunks.toml\"\n[sip]\nudp = [{udp}]\ntcp = [{tcp}]\n{tls}[media]\naddress = \"{media}\"\nports = \"{first}-{last}\"\n\
             [emergency]\ncountry = \"CN\"\ntrunk = \"carrier\"\n[api]\nlisten = \"\"\n[log]\nlevel = \"{}\"\n",
            setup.log,
        );
        let trunks = format!(
            "[[trunk]]\nname = \"carrier\"\naccept_from = [\"127.0.0.0/8\", \"::1/128\"]\n\
             gateways = [\"sip:{};transport={transport}\"]\nmedia_nat = \"{}\"\n{certificates}default = true\n{lines}",
            setup.gateway, setup.media_nat,
        );
        write(&dir.path().join("umbra.toml"), &conf);
        write(&dir.path().join("trunks.toml"), &trunks);
        let mut server = Self {
            process: serve(dir.path()),
            data: dir.path().join("data"),
            disk: None,
            program: env!("CARGO_BIN_EXE_umbra").into(),
            beneath: None,
            dir,
            authority,
            sip,
            _claims: claims,
        };
        server.await_answer();
        server
    }

    /// Kills the server as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill().expect("a child of ours");
        self.process.wait().expect("a child of ours");
    }

    /// Stops the server as its owner does, and waits until it is gone.
    pub fn stop(&mut self) {
        self.done("stop");
        self.process.wait().expect("a child of ours");
    }

    /// Stops it, has `change` write its conf anew, and starts it again.
    pub fn with_conf(&mut self, change: impl FnOnce(String) -> String) {
        self.stop();
        let conf = self.folder().join("umbra.toml");
        let text = fs::read_to_string(&conf).expect("its conf");
        write(&conf, &change(text));
        self.start_again();
    }

    /// Adds lines to its conf, for the next start.
    pub fn add_conf(&self, lines: &str) {
        let conf = self.dir.path().join("umbra.toml");
        let text = fs::read_to_string(&conf).expect("its conf");
        write(&conf, &format!("{text}{lines}"));
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        self.process.wait().expect("a child of ours")
    }

    /// Whether it has ended by itself already.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("a child of ours").is_some()
    }

    /// Starts it again, on the data that it left.
    pub fn start_again(&mut self) {
        self.launch();
        self.await_answer();
    }

    /// Goes on with a process that somebody else has started in its folder, and waits until it answers.
    pub fn adopt(&mut self, process: Child) {
        self.process = process;
        self.await_answer();
    }

    /// Starts it again and waits for nothing.
    pub fn launch(&mut self) {
        let dir = self.dir.path();
        let mut command = match &self.disk {
            None => Command::new(&self.program),
            Some(holder) => {
                let mut command = Command::new("nsenter");
                command
                    .args(["--user", "--mount", "--preserve-credentials", "--target"])
                    .arg(holder.id().to_string())
                    .args(["sh", "-c", "cd \"$0\" && exec \"$@\""])
                    .args([dir.as_os_str(), self.program.as_os_str()]);
                command
            }
        };
        command.args(["serve", "--conf", "umbra.toml"]);
        if let Some(library) = &self.beneath {
            command.env("LD_PRELOAD", library);
        }
        self.process = spawn(command, dir);
    }

    /// Every later start is one of this program.
    pub fn becomes(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// Starts it again as a process to which the system's dynamic linker gives that library first, and waits for
    /// nothing. So does every later start.
    pub fn launch_beneath(&mut self, library: &Path) {
        self.beneath = Some(library.to_owned());
        self.launch();
    }

    /// Starts it again as a process to which its disk seems slow (`slow.c` beside this says how slow), and waits for its first
    /// answer. So does every later start.
    pub fn launch_on_a_slow_disk(&mut self) {
        let library = self.folder().join("slow.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/slow.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .status();
        assert!(built.expect("whoever has cargo has cc").success());
        self.launch_beneath(&library);
        self.await_answer();
    }

    /// Starts it again with `data` on an empty disk of its own of that size, which is gone when this is dropped;
    /// returns whether the system lets us.
    pub fn launch_on_a_disk_of(&mut self, size: &str) -> bool {
        let Some(data) = self.launch_with_a_disk(size, "data") else {
            return false;
        };
        self.data = data;
        true
    }

    /// The same with that folder alone: where others see it. `None`: the system grants none.
    pub fn launch_with_a_disk(&mut self, size: &str, folder: &str) -> Option<PathBuf> {
        let namespace = ["--user", "--map-root-user", "--mount"];
        let tried = Command::new("unshare")
            .args(namespace)
            .args(["mount", "-t", "tmpfs", "none", "/mnt"])
            .output();
        if !tried.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let mut holder = Command::new("unshare");
        holder.args(namespace).args(["sh", "-c"]).arg(format!(
            "mount -t tmpfs -o size={size},mode=0700 none {folder} && echo mounted && exec cat >&2"
        ));
        // It reads until this process, its only writer, is gone, however that ends.
        let mut holder = holder
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was tried just now");
        let mut said = String::new();
        let mut out = BufReader::new(holder.stdout.take().expect("piped"));
        out.read_line(&mut said).expect("text");
        assert_eq!(said, "mounted\n", "a disk could be mounted just now");
        let pid = holder.id();
        let folder = self.dir.path().join(folder);
        self.disk = Some(holder);
        self.launch();
        Some(PathBuf::from(format!("/proc/{pid}/root{}", folder.display())))
    }

    /// Adds to its conf, which it reads at the next start.
    pub fn add_to_conf(&self, text: &str) {
        let conf = self.dir.path().join("umbra.toml");
        let before = fs::read_to_string(&conf).expect("its conf");
        write(&conf, &format!("{before}{text}"));
    }

    /// Its data, also if they lie on a disk of their own.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Takes whatever room is left on its disk, by a file whose path is returned.
    pub fn fill_disk(&self) -> PathBuf {
        fill(&self.data)
    }

    /// Bytes that are kept for a start on a full disk.
    pub fn reserve(&self) -> u64 {
        fs::metadata(self.data.join("reserve")).map_or(0, |file| file.len())
    }

    /// Waits until the control socket answers.
    pub fn await_answer(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.umbra(&["status"]).status.success() {
            let gone = self.process.try_wait().expect("a child of ours");
            assert!(gone.is_none(), "the server ended at its start");
            assert!(Instant::now() < deadline, "the server doesn't answer");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs the command line against this server.
    pub fn umbra(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_umbra"))
            .arg("--control")
            .arg(self.data.join("control.sock"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the command line's binary runs")
    }

    /// Runs the command line and returns what it printed; it must succeed.
    pub fn done(&self, line: &str) -> String {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let output = self.umbra(&arguments);
        assert!(
            output.status.success(),
            "umbra {line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// Adds `x` and joins `a` and `b` by it.
    pub fn bind(&self, x: &str, a: &str, b: &str, terms: &str) {
        self.done(&format!("number add {x}"));
        self.done(&format!("bind axb --x {x} --a {a} --b {b} {terms}"));
    }

    /// Adds `x`, behind which each of these has an extension of four digits.
    pub fn extensions(&self, x: &str, owners: &[(&str, &str)]) {
        self.done("pool add axe --mode axe --width 4");
        self.done(&format!("number add {x} --pool axe"));
        for (a, extension) in owners {
            self.done(&format!("bind axe --x {x} --a {a} --extension {extension}"));
        }
    }

    /// Calls in progress, as `umbra status` has them.
    pub fn calls(&self) -> u64 {
        let status: Value = serde_json::from_str(&self.done("status --json")).expect("JSON");
        status["calls"].as_u64().expect("a count of calls")
    }

    /// Every line of the record files.
    pub fn records(&self) -> Vec<Value> {
        let Ok(files) = fs::read_dir(self.data.join("cdr")) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
        paths.sort();
        let text: String = paths
            .iter()
            .map(|path| fs::read_to_string(path).expect("records are text"))
            .inspect(|text| assert!(!text.contains('\0'), "a hole in a record file"))
            // The last line may still be written.
            .map(|text| {
                text.rfind('\n')
                    .map_or(String::new(), |end| text[..=end].to_owned())
            })
            .collect();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a record is one line of JSON"))
            .collect()
    }

    /// Waits until no call is in progress, and until `count` records are written; there must be no more.
    pub fn settled(&self, count: usize) -> Vec<Value> {
        until("no call is left", || self.calls() == 0);
        until("every call has its record", || self.records().len() >= count);
        let records = self.records();
        assert_eq!(records.len(), count, "one record for each call");
        records
    }

    /// All that the server has printed, on both streams.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.out")).unwrap_or_default()
    }

    /// Its folder: conf, data, and room for what a test leaves.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The real numbers of the tests are nowhere in what the server printed.
    pub fn prints_no_number(&self) {
        assert!(!self.printed().contains("inline:"), "a key stands in the log");
        let printed = self.printed();
        for number in [A, B] {
            assert!(
                !printed.contains(number),
                "{number} stands in the log:\n{printed}"
            );
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let printed = self.printed();
            let tail: Vec<&str> = printed.lines().rev().take(40).collect();
            eprintln!("the server's last lines:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        // Gone already, if it crashed: then the test has failed anyway.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(mut holder) = self.disk.take() {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

/// Starts the binary on the conf in `dir`; what it prints is added to the file there.
fn serve(dir: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_umbra"));
    command.args(["serve", "--conf", "umbra.toml"]);
    spawn(command, dir)
}

fn spawn(mut command: Command, dir: &Path) -> Child {
    let out = File::options()
        .create(true)
        .append(true)
        .open(dir.join("server.out"))
        .expect("a file for its output");
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("the same file"))
        .stderr(out)
        .spawn()
        .expect("the server's binary runs")
}

/// Takes whatever room is left on the disk of that folder, by a file in it whose path is returned.
pub fn fill(folder: &Path) -> PathBuf {
    let path = (0..)
        .map(|n| folder.join(format!("filler-{n}")))
        .find(|path| !path.exists())
        .expect("few fillers");
    let mut file = File::create(&path).expect("a file");
    for size in [1 << 20, 4_096, 1] {
        while file.write_all(&vec![0x55; size]).is_ok() {}
    }
    path
}

/// An address on `ip` that was free a moment ago.
pub fn free_address(ip: Ipv4Addr) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).expect("a free port");
    socket.local_addr().expect("bound")
}

/// Ports for so many calls below those that the system gives out itself: the first, the last, and sockets
/// that claim them among the tests that run beside this one.
fn media_ports(calls: u16) -> (u16, u16, Vec<UdpSocket>) {
    let wanted = (calls * 4).div_ceil(BLOCK) * BLOCK;
    (PORTS.0..=PORTS.1 - wanted)
        .step_by(usize::from(BLOCK))
        .find_map(|first| {
            let blocks = (first..first + wanted).step_by(usize::from(BLOCK));
            let claims: Vec<UdpSocket> = blocks
                .map_while(|block| UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 99), block)).ok())
                .collect();
            (claims.len() == usize::from(wanted / BLOCK)).then_some((first, first + wanted - 1, claims))
        })
        .expect("fewer servers at once than ports for them")
}

/// Waits until `is_so`; fails if that takes too long.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether somebody has a UDP socket on `address`.
pub fn is_bound(address: SocketAddr) -> bool {
    // The kernel writes addresses as words of the machine's own byte order.
    let (table, octets) = match address.ip() {
        IpAddr::V4(ip) => ("/proc/net/udp", ip.octets().to_vec()),
        IpAddr::V6(ip) => ("/proc/net/udp6", ip.octets().to_vec()),
    };
    let words = octets.chunks_exact(4).map(|word| {
        let word = word.try_into().expect("four octets");
        format!("{:08X}", u32::from_ne_bytes(word))
    });
    let wanted = format!("{}:{:04X} ", words.collect::<String>(), address.port());
    fs::read_to_string(table).is_ok_and(|table| table.contains(&wanted))
}

/// Whether somebody listens there for connections.
pub fn is_listening(at: SocketAddr) -> bool {
    const LISTEN: &str = "0A";
    let port = format!(":{:04X}", at.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_port = fields.next().is_some_and(|local| local.ends_with(&port));
        is_port && fields.nth(1) == Some(LISTEN)
    })
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the server's folder can be written");
}

//! What the owner of the process does, with the real binary: reloads, drains, stops, asks for metrics, the manual
//! and completions, and lets the doctor look.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_secs(30);
const A: &str = "13800000001";
const B: &str = "13900000002";
const X: &str = "17000000001";

/// A server in a folder of its own, and its conf.
struct Server {
    process: Child,
    dir: TempDir,
    sip: SocketAddr,
    api: SocketAddr,
}

/// An address of this host for one server alone, beside those of this process's other tests and of others': its
/// ports are free without asking.
fn own_address() -> Ipv4Addr {
    static SERVERS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(
        127,
        low,
        100 + high % 100,
        SERVERS.fetch_add(1, Ordering::Relaxed),
    )
}

fn free_tcp() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}

/// Whether it comes about in time.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Server {
    fn start() -> Self {
        Self::start_under(None)
    }

    /// With a supervisor that listens on a socket, perhaps.
    fn start_under(notify: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let own = own_address();
        let (sip, api) = (SocketAddr::from((own, 5_060)), SocketAddr::from((own, 8_080)));
        let out = File::create(dir.path().join("server.out")).expect("a file");
        write_conf(dir.path(), sip, api, &[]);
        write_trunks(dir.path(), "127.0.0.0/8");
        let mut command = Command::new(env!("CARGO_BIN_EXE_umbra"));
        command
            .args(["serve", "--conf", "umbra.toml"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the same"))
            .stderr(out);
        if let Some(notify) = notify {
            command.env("NOTIFY_SOCKET", notify);
        }
        let process = command.spawn().expect("the binary runs");
        let mut server = Self {
            process,
            dir,
            sip,
            api,
        };
        until("the server answers", || {
            let gone = server.process.try_wait().expect("a child of ours");
            assert!(gone.is_none(), "it ended: {}", server.printed());
            server.umbra("status").status.success()
        });
        server
    }

    /// Writes its conf anew, with these keys (`table.key`) beside what keeps it apart from other servers.
    fn conf(&self, keys: &[(&str, &str)]) {
        write_conf(self.dir.path(), self.sip, self.api, keys);
    }

    fn umbra(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_umbra"))
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    }

    fn done(&self, line: &str) -> String {
        let output = self.umbra(line);
        assert!(output.status.success(), "umbra {line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn refused(&self, line: &str) -> String {
        let output = self.umbra(line);
        assert_eq!(
            output.status.code(),
            Some(1),
            "umbra {line}: {}",
            text(&output.stdout)
        );
        text(&output.stderr)
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.done("status --json")).expect("JSON")
    }

    fn printed(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.out")).unwrap_or_default()
    }

    /// Status and body of what the HTTP address answers.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.api).expect("the API listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.api
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, if the test stopped it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_conf(dir: &Path, sip: SocketAddr, api: SocketAddr, keys: &[(&str, &str)]) {
    let text = format!(
        "trunks = \"trunks.toml\"\n[sip]\nudp = [\"{sip}\"]\n[media]\naddress = \"{}\"\nports = \"20000-20063\"\n\
         [api]\nlisten = \"{api}\"\n",
        sip.ip()
    );
    let mut table: toml::Table = text.parse().expect("TOML");
    for (key, value) in keys {
        let (name, key) = key.split_once('.').expect("a table and a key");
        let value: toml::Table = format!("v = {value}").parse().expect("TOML");
        let inner = table
            .entry(name)
            .or_insert_with(|| toml::Table::new().into())
            .as_table_mut()
            .expect("a table");
        inner.insert(key.to_owned(), value["v"].clone());
    }
    fs::write(dir.join("umbra.toml"), table.to_string()).expect("written");
}

fn write_trunks(dir: &Path, accept_from: &str) {
    let text = format!(
        "[[trunk]]\nname = \"carrier\"\naccept_from = [\"{accept_from}\"]\ngateways = [\"sip:127.0.0.3:5060\"]\ndefault = true\n"
    );
    fs::write(dir.join("trunks.toml"), text).expect("written");
}

/// Asks the server over SIP what it can do.
fn options(server: SocketAddr, from: &UdpSocket) {
    let me = from.local_addr().expect("bound");
    let request = format!(
        "OPTIONS sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{0}\r\nMax-Forwards: 70\r\n\
         From: <sip:{1}>;tag=a\r\nTo: <sip:{server}>\r\nCall-ID: {0}@test\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        format_args!(
            "o{:x}",
            std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos()
        ),
        me.ip()
    );
    from.send_to(request.as_bytes(), server).expect("sent");
}

fn first_line(socket: &UdpSocket) -> String {
    let mut answer = [0; 2_048];
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let length = socket.recv(&mut answer).expect("an answer");
    text(&answer[..length]).lines().next().unwrap_or("").to_owned()
}

#[test]
fn what_a_reload_takes_is_seen_and_what_waits_is_named() {
    let mut server = Server::start();
    let (inside, outside) = (
        UdpSocket::bind("127.0.0.2:0").expect("a port"),
        UdpSocket::bind("127.0.0.9:0").expect("a port"),
    );
    options(server.sip, &outside);
    assert_eq!(first_line(&outside), "SIP/2.0 200 OK");

    // A trunk's networks, the name, the log, the API's address: all seen by their effects.
    write_trunks(server.dir.path(), "127.0.0.2");
    let moved = free_tcp();
    let api = format!("{:?}", moved.to_string());
    server.conf(&[
        ("node.name", "\"renamed\""),
        ("log.format", "\"json\""),
        ("log.level", "\"debug\""),
        ("api.listen", &api),
        ("sip.shards", "2"),
    ]);
    let said = server.done("reload");
    assert_eq!(
        said,
        "reloaded\ntakes effect: api.listen, log.format, log.level, node.name, trunk carrier\n\
         waits for a restart: sip.shards\n"
    );
    options(server.sip, &outside);
    assert_eq!(first_line(&outside), "SIP/2.0 403 Forbidden");
    options(server.sip, &inside);
    assert_eq!(first_line(&inside), "SIP/2.0 200 OK");
    until("the old address is shut", || {
        TcpStream::connect(server.api).is_err()
    });
    server.api = moved;
    assert_eq!(server.get("/readyz").0, 200);
    let status = server.status();
    assert_eq!(status["node"], "renamed");
    assert_eq!(status["conf"]["by"], "reload");
    assert_eq!(
        status["conf"]["waits_for_restart"],
        serde_json::json!(["sip.shards"])
    );
    assert_eq!(status["conf"]["on_disk"], "same");
    server.done(&format!("number add {X}"));
    server.done(&format!("bind axb --x {X} --a {A} --b {B}"));
    until("a line for programs is written, and one of debugging", || {
        let printed = server.printed();
        let mut lines = printed
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.any(|line| line["level"] == "DEBUG")
    });

    // Silence for strangers: who is let in and asks behind him is answered, and he isn't.
    server.conf(&[
        ("node.name", "\"renamed\""),
        ("log.format", "\"json\""),
        ("log.level", "\"debug\""),
        ("sip.strangers", "\"silence\""),
    ]);
    assert_eq!(server.done("reload"), "reloaded\ntakes effect: sip.strangers\n");
    options(server.sip, &outside);
    options(server.sip, &inside);
    assert_eq!(first_line(&inside), "SIP/2.0 200 OK");
    outside.set_nonblocking(true).expect("set");
    assert!(outside.recv(&mut [0; 16]).is_err(), "a stranger was answered");
    for number in [A, B] {
        assert!(!server.printed().contains(number), "{number} stands in the log");
    }
}

#[test]
fn a_reload_with_faults_lists_them_all_and_changes_nothing() {
    let server = Server::start();
    server.conf(&[("node.name", "\"a b\""), ("log.level", "\"loud\"")]);
    let said = server.refused("reload");
    assert!(
        said.contains("a name of 1 to 64 letters") && said.contains("\"loud\""),
        "{said}"
    );
    assert_eq!(said.matches("umbra.toml:").count(), 2, "{said}");
    let status = server.status();
    assert_eq!(
        (&status["node"], &status["conf"]["on_disk"]),
        (&"umbra-1".into(), &"faulty".into())
    );
    assert_eq!(status["conf"]["faults"].as_array().map(Vec::len), Some(2));

    // What only shows when it is tried is a fault too, and then the other keys are not taken either.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("{:?}", taken.local_addr().expect("bound").to_string());
    server.conf(&[("node.name", "\"other\""), ("api.listen", &address)]);
    let said = server.refused("reload");
    assert!(
        said.contains("umbra.toml:") && said.contains("choose another, or stop who has it"),
        "{said}"
    );
    assert_eq!(server.status()["node"], "umbra-1");
    assert_eq!(server.get("/healthz").0, 200, "the old address is served still");
}

#[test]
fn a_drained_server_is_not_ready_until_it_is_told_otherwise_and_stop_waits_for_nothing_without_calls() {
    let mut server = Server::start();
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(
        server.done("drain"),
        "draining: new calls are refused; calls in progress: 0\n"
    );
    assert_eq!(server.get("/readyz").0, 503);
    assert_eq!(server.get("/healthz").0, 200);
    assert_eq!(server.status()["phase"], "draining");
    server.done("undrain");
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.done("stop --drain 10m"), "calls in progress: 0\nstopped\n");
    assert!(server.process.wait().expect("a child of ours").success());
}

#[test]
fn a_supervisor_hears_of_readiness_reloads_and_the_end_and_sigterm_drains_as_the_conf_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).expect("a socket");
    supervisor.set_read_timeout(Some(PATIENCE)).expect("set");
    let hears = |wanted: &str| {
        let mut news = [0; 1_024];
        loop {
            let length = supervisor
                .recv(&mut news)
                .unwrap_or_else(|e| panic!("{wanted}: {e}"));
            let news = text(&news[..length]);
            if news.contains(wanted) {
                return news;
            }
        }
    };
    let mut server = Server::start_under(Some(&path));
    assert!(hears("EXTEND_TIMEOUT_USEC=").contains("STATUS=opening the data"));
    hears("READY=1");
    server.conf(&[("node.drain", "\"7s\"")]);
    server.signal("HUP");
    assert!(hears("RELOADING=1").contains("MONOTONIC_USEC="));
    hears("READY=1");
    server.signal("TERM");
    assert!(hears("STOPPING=1").contains("0 calls in progress"));
    assert!(server.process.wait().expect("a child of ours").success());
    assert!(
        server.printed().contains("seconds for them to end: 7"),
        "{}",
        server.printed()
    );
}

/// Another program's answer, if it is on this machine.
fn with(program: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    let feeding = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    feeding.join().expect("fed");
    Some(output)
}

/// What a check needs isn't on this machine: fine at a developer's desk, but not in the whole run.
fn left_out(tool: &str, package: &str) {
    assert!(
        std::env::var_os("UMBRA_TEST_ALL").is_none(),
        "{tool} is not here: install {package}"
    );
    eprintln!("left out: {tool} is not here ({package})");
}

#[test]
fn metrics_are_open_metrics_and_hold_no_number() {
    let server = Server::start();
    server.done(&format!("number add {X}"));
    server.done(&format!("bind axb --x {X} --a {A} --b {B}"));
    let (status, page) = server.get("/metrics");
    assert_eq!(status, 200);
    for number in [A, B, X, "1380000", "1390000", "1700000"] {
        assert!(!page.contains(number), "{number}: {page}");
    }
    // A gateway is named as the conf has it.
    let labels = page.split('"').skip(1).step_by(2);
    for label in labels.filter(|label| *label != "sip:127.0.0.3:5060;transport=udp") {
        let digits = label.chars().filter(char::is_ascii_digit).count();
        assert!(digits < 7, "a label that may be a number: {label}");
    }
    for wanted in [
        "\numbra_bindings 1\n",
        "\numbra_numbers 1\n",
        "\numbra_serving 1\n",
        "\numbra_store_append_seconds_count 2\n",
        "\numbra_part_state{part=\"store\"} 0\n",
        "\n# UNIT process_resident_memory_bytes bytes\n",
    ] {
        assert!(page.contains(wanted), "{wanted}{page}");
    }
    // The reference parser of the format: Debian's package is for Debian's Python, which needn't be the first.
    let reads = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
                 print(sum(len(family.samples) for family in read(sys.stdin.read())))";
    let imports = |python: &&str| {
        with(python, &["-c", "import prometheus_client"], "").is_some_and(|output| output.status.success())
    };
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(imports) else {
        return left_out("prometheus_client", "python3-prometheus-client");
    };
    let read = with(python, &["-c", reads], &page).expect("it is there");
    assert!(read.status.success(), "{}", text(&read.stderr));
}

#[test]
fn the_doctor_looks_at_a_running_server_and_at_none() {
    let mut server = Server::start();
    let gateway = UdpSocket::bind("127.0.0.3:0").expect("a port");
    let trunk = format!(
        "[[trunk]]\nname = \"carrier\"\naccept_from = [\"127.0.0.0/8\"]\ngateways = [\"sip:{}\"]\ndefault = true\n",
        gateway.local_addr().expect("bound")
    );
    fs::write(server.dir.path().join("trunks.toml"), trunk).expect("written");
    server.done("reload");
    thread::spawn(move || {
        let mut request = [0; 2_048];
        while let Ok((_, from)) = gateway.recv_from(&mut request) {
            let _ = gateway.send_to(b"SIP/2.0 405 Method Not Allowed\r\n\r\n", from);
        }
    });
    let line = "doctor --conf umbra.toml --json";
    let report: Value = serde_json::from_str(&server.done(line)).expect("JSON");
    let found = |report: &Value, what: &str, wanted: &str| {
        let findings = report["findings"].as_array().expect("a list");
        findings.iter().any(|finding| {
            finding["what"] == what
                && finding["found"]
                    .as_str()
                    .is_some_and(|found| found.contains(wanted))
        })
    };
    for (what, wanted) in [
        ("conf", "umbra.toml is right"),
        ("server", "is serving, with 0 calls"),
        ("ports", "the server has them"),
        ("trunk", "answers 405 Method Not Allowed"),
        ("disk", "a write is kept after"),
    ] {
        assert!(found(&report, what, wanted), "{what} {wanted}: {report}");
    }
    server.done("stop");
    server.process.wait().expect("a child of ours");
    let taken = UdpSocket::bind(server.sip).expect("free again");
    let output = server.umbra(line);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["grade"], "fail");
    assert!(
        found(&report, "ports", &format!("sip UDP {} can't be had", server.sip)),
        "{report}"
    );
    assert!(found(&report, "server", "none answers at"), "{report}");
    drop(taken);
}

#[test]
fn every_page_of_the_manual_renders_without_a_warning() {
    let dir = tempfile::tempdir().expect("a folder");
    let umbra = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_umbra"))
            .args(arguments)
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    umbra(&["man", "--dir", dir.path().to_str().expect("text")]);
    let pages: Vec<_> = fs::read_dir(dir.path())
        .expect("the folder")
        .map(|page| page.expect("a page").path())
        .collect();
    assert!(pages.len() > 30, "{pages:?}");
    assert!(dir.path().join("umbra-bind-axb.1").exists(), "{pages:?}");
    assert!(umbra(&["man", "bind", "axb"]).contains("umbra bind axb \\-\\-x 17000000001"));
    for page in &pages {
        let path = page.to_str().expect("text");
        let Some(read) = with("man", &["--warnings", "-E", "UTF-8", "-l", "-Tutf8", path], "") else {
            return left_out("man", "man-db");
        };
        assert!(
            read.status.success() && read.stderr.is_empty(),
            "{path}: {}",
            text(&read.stderr)
        );
        let name = page.file_stem().and_then(|name| name.to_str()).expect("text");
        assert!(text(&read.stdout).starts_with(&format!("{name}(1) ")), "{path}");
    }
}

#[test]
fn a_shell_completes_subcommands_and_options() {
    let umbra = env!("CARGO_BIN_EXE_umbra");
    for (line, wanted) in [
        ("umbra doc", "doctor"),
        ("umbra bind axb --max", "--max-duration"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let script = format!(
            "source <({umbra} completions bash) && COMP_WORDS=({line}) && COMP_CWORD={} && \
             _umbra umbra {:?} {:?} && echo \"${{COMPREPLY[@]}}\"",
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output = with("bash", &["-c", &script], "").expect("bash is here");
        assert_eq!(text(&output.stdout).trim(), wanted, "{}", text(&output.stderr));
    }
}

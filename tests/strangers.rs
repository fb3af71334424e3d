//! Strangers against the real server: what the scanners of sipvicious (`svmap`, `svwar`, `svcrack`) find out, which is
//! nothing, and how whoever goes on is kept out while trunks are served.

#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use serde_json::Value;

use server::{A, B, CALLEE, CARRIER, Server, X, free_address};
use talk::{Callee, Talk};

/// The scanners, as they are kept in Python's index: this version, of these bytes.
const SIPVICIOUS: &str =
    "sipvicious==0.3.8 --hash=sha256:9955f45bfefae6083a93347e8f55e21ce55c874699562204b837920edcaba8a1\n";
/// Where the scanners send from: this machine's own address, which no trunk is.
const SCANNER: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// How long a scanner may go on.
const SCAN: Duration = Duration::from_secs(20);
/// A number of ours without a binding.
const X_UNBOUND: &str = "17000000009";
/// The password of the trunk that asks for one.
const PASSWORD: &str = "hush7";

/// Where the scanners are installed: once, in the target folder. `None`: this system has none, and they are not asked for.
fn scanners() -> Option<PathBuf> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sipvicious-0.3.8");
    let done = home.join("done");
    if done.exists() {
        return Some(home.join("bin"));
    }
    let install = || {
        let _ = fs::remove_dir_all(&home);
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        let wanted = home.join("wanted.txt");
        fs::write(&wanted, SIPVICIOUS).map_err(|error| error.to_string())?;
        let pip = home.join("bin/pip");
        let options = [
            "install",
            "-q",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
        ];
        succeeds(Command::new(pip).args(options).arg(&wanted))?;
        fs::write(&done, "").map_err(|error| error.to_string())
    };
    match install() {
        Ok(()) => Some(home.join("bin")),
        Err(why) => {
            let is_optional = std::env::var_os("UMBRA_TEST_ALL").is_none();
            assert!(is_optional, "sipvicious can't be installed: {why}");
            println!("left out: sipvicious can't be installed: {why}");
            None
        }
    }
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A server whose one trunk is the carrier's address alone, and where A and B are bound through X.
struct Stage {
    server: Server,
    gateway: SocketAddr,
}

impl Stage {
    /// `strangers` is the setting of that name; `after` of the same name in `[bans]`.
    fn new(strangers: &str, after: u32) -> Self {
        let gateway = free_address(CALLEE);
        let stage = Self {
            server: Server::with_a_pair(gateway),
            gateway,
        };
        stage.server.done(&format!("number add {X_UNBOUND}"));
        stage.change(
            "umbra.toml",
            "[media]",
            &format!("strangers = \"{strangers}\"\n[media]"),
        );
        stage.change("umbra.toml", "[log]", &format!("[bans]\nafter = {after}\n[log]"));
        stage.trunk(&format!("accept_from = [\"{CARRIER}/32\"]"));
        stage
    }

    /// The server takes another line of its conf.
    fn change(&self, file: &str, before: &str, after: &str) {
        let path = self.server.folder().join(file);
        let text = fs::read_to_string(&path).expect("the conf is there");
        assert!(text.contains(before), "{before} is not in {text}");
        fs::write(&path, text.replacen(before, after, 1)).expect("the folder can be written");
    }

    /// Who may call on the trunk from now on.
    fn trunk(&self, who: &str) {
        let path = self.server.folder().join("trunks.toml");
        let text = fs::read_to_string(&path).expect("the conf is there");
        let lines = text.lines().map(|line| {
            if line.starts_with("accept_from") {
                who
            } else {
                line
            }
        });
        let text: Vec<&str> = lines.collect();
        fs::write(&path, text.join("\n") + "\n").expect("the folder can be written");
        self.server.done("reload");
    }

    /// What a scanner says of the server, on both its outputs.
    fn scan(&self, bin: &Path, tool: &str, options: &[&str]) -> String {
        let path = self.server.folder().join(format!("{tool}.log"));
        let log = fs::File::create(&path).expect("the folder can be written");
        let mut scanner = Command::new(bin.join(tool))
            .arg(format!("-p{}", self.server.sip.port()))
            .args(options)
            .arg(self.server.sip.ip().to_string())
            .env("HOME", self.server.folder())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .spawn()
            .expect("it is installed");
        // One that can make nothing of what it hears goes on for ever.
        let until = Instant::now() + SCAN;
        while scanner.try_wait().expect("our own child").is_none() {
            if Instant::now() > until {
                let _ = scanner.kill();
                let _ = scanner.wait();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = fs::read(&path).expect("it was written");
        let said = String::from_utf8_lossy(&said).into_owned();
        println!("== {tool} {options:?}\n{said}");
        assert!(!said.contains("Traceback"), "the scanner itself failed: {said}");
        said
    }

    /// A bound and an unbound number, and the extensions that scanners begin with: none is told from another.
    fn finds_no_extension(&self, bin: &Path) {
        let extensions = format!("-e100-105,{X},{X_UNBOUND},{A}");
        for method in ["REGISTER", "INVITE", "OPTIONS"] {
            let said = self.scan(bin, "sipvicious_svwar", &["--force", "-m", method, &extensions]);
            assert!(said.contains("found nothing"), "{method}: {said}");
            names_no_product(&said);
        }
    }

    /// A call from the carrier is served; `n` tells it from others.
    fn serves_its_trunk(&self, n: u32) {
        Talk::begin(self.server.sip, Callee::at(self.gateway), n).end();
    }

    fn bans(&self) -> Vec<Value> {
        let bans: Value = serde_json::from_str(&self.server.done("ban list --json")).expect("JSON");
        bans["bans"].as_array().expect("a list").clone()
    }
}

/// A cracker has not found the password.
fn cracks_nothing(said: &str) {
    assert!(!said.contains(PASSWORD) && !said.contains("Password"), "{said}");
}

/// Nothing that a scanner hears says whose product it is.
fn names_no_product(said: &str) {
    assert!(!said.to_lowercase().contains("umbra"), "{said}");
}

#[test]
fn scanners_hear_nothing_where_strangers_are_met_with_silence() {
    let Some(bin) = scanners() else { return };
    let stage = Stage::new("silence", 0);
    let said = stage.scan(&bin, "sipvicious_svmap", &[]);
    assert!(said.contains("found nothing"), "{said}");
    stage.finds_no_extension(&bin);
    let said = stage.scan(&bin, "sipvicious_svcrack", &["-u100", "-r1-20"]);
    assert!(
        said.contains("no server response") && said.contains("found nothing"),
        "{said}"
    );
}

#[test]
fn scanners_that_are_refused_learn_that_something_is_there_and_nothing_of_it() {
    let Some(bin) = scanners() else { return };
    let stage = Stage::new("forbid", 0);
    let said = stage.scan(&bin, "sipvicious_svmap", &[]);
    // It is a SIP device, for it refuses; of what make, nobody knows.
    assert!(said.contains("unknown"), "{said}");
    names_no_product(&said);
    stage.finds_no_extension(&bin);
    let said = stage.scan(&bin, "sipvicious_svcrack", &["-u100", "-r1-20"]);
    assert!(!said.contains("Password"), "{said}");
}

/// Whoever asks from an address of his own, one request after another.
struct Asker {
    socket: UdpSocket,
    server: SocketAddr,
    asked: u32,
}

impl Asker {
    fn at(ip: Ipv4Addr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("a port");
        Self {
            socket,
            server,
            asked: 0,
        }
    }

    /// The answer to a request for somebody; `None`: none comes.
    fn ask(&mut self, method: &str, whom: &str, patience: Duration) -> Option<String> {
        self.ask_with(method, whom, "", patience)
    }

    /// The answer to a request with this password.
    fn prove(&mut self, method: &str, whom: &str, password: &str) -> String {
        let asked = self.ask(method, whom, server::PATIENCE).expect("it is answered");
        let after = |key: &str| {
            let (_, rest) = asked.split_once(&format!("{key}=\"")).expect("a challenge");
            rest.split('"').next().expect("its end").to_owned()
        };
        let (realm, nonce, uri) = (
            after("realm"),
            after("nonce"),
            format!("sip:{whom}@{}", self.server),
        );
        // RFC 7616 §3.4.1
        let (ha1, ha2) = (
            md5(&format!("100:{realm}:{password}")),
            md5(&format!("{method}:{uri}")),
        );
        let response = md5(&format!("{ha1}:{nonce}:00000001:c:auth:{ha2}"));
        let proof = format!(
            "Authorization: Digest username=\"100\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, cnonce=\"c\", qop=auth, nc=00000001\r\n"
        );
        self.ask_with(method, whom, &proof, server::PATIENCE)
            .expect("it is answered")
    }

    fn ask_with(&mut self, method: &str, whom: &str, header: &str, patience: Duration) -> Option<String> {
        self.asked += 1;
        let (me, n, server) = (self.socket.local_addr().expect("bound"), self.asked, self.server);
        let request = format!(
            "{method} sip:{whom}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{n}\r\n\
             From: <sip:{A}@{me}>;tag=from\r\nTo: <sip:{whom}@{server}>\r\nCall-ID: call-{n}@{me}\r\n\
             CSeq: {n} {method}\r\nContact: <sip:{A}@{me}>\r\nMax-Forwards: 70\r\n{header}Content-Length: 0\r\n\r\n"
        );
        self.socket.send_to(request.as_bytes(), server).expect("sent");
        self.socket.set_read_timeout(Some(patience)).expect("not zero");
        let mut bytes = [0; 4_096];
        let count = self.socket.recv(&mut bytes).ok()?;
        let answer = String::from_utf8(bytes[..count].to_vec()).expect("text");
        assert!(
            answer.contains(&format!("CSeq: {n} ")),
            "an answer to something else: {answer}"
        );
        Some(answer)
    }
}

fn md5(text: &str) -> String {
    let digest = Md5::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An answer without what it gives back of its request, and with the length of its own tag alone.
fn face(answer: &str) -> String {
    let mut face = String::new();
    for line in answer.lines() {
        let echoes = ["Via:", "From:", "Call-ID:", "CSeq:"];
        if let Some((_, tag)) = line.split_once(";tag=").filter(|_| line.starts_with("To:")) {
            face += &format!("To: {} letters\n", tag.len());
        } else if !echoes.iter().any(|echo| line.starts_with(echo)) {
            face += line;
            face.push('\n');
        }
    }
    face
}

#[test]
fn strangers_are_refused_alike_whomever_they_ask_for_and_however() {
    let stage = Stage::new("forbid", 0);
    let mut asker = Asker::at(SCANNER, stage.server.sip);
    let mut faces = BTreeSet::new();
    for method in [
        "INVITE",
        "REGISTER",
        "OPTIONS",
        "MESSAGE",
        "SUBSCRIBE",
        "NONSENSE",
    ] {
        for whom in [X, X_UNBOUND, A, B, "100", "admin"] {
            let answer = asker.ask(method, whom, server::PATIENCE).expect("it is refused");
            names_no_product(&answer);
            for name in [
                "Server:",
                "User-Agent:",
                "Contact:",
                "Allow:",
                "Supported:",
                "Warning:",
            ] {
                assert!(!answer.contains(name), "{answer}");
            }
            faces.insert(face(&answer));
        }
    }
    assert_eq!(faces.len(), 1, "{faces:?}");
    assert!(
        faces.iter().all(|face| face.starts_with("SIP/2.0 403 ")),
        "{faces:?}"
    );
}

#[test]
fn where_a_password_is_asked_nobody_learns_who_has_one() {
    let Some(bin) = scanners() else { return };
    let stage = Stage::new("silence", 0);
    stage.trunk(&format!(
        "accept_from = [\"0.0.0.0/0\"]\nauth = [{{ user = \"100\", password = \"{PASSWORD}\" }}]\nauth_algorithms = [\"md5\"]"
    ));
    stage.finds_no_extension(&bin);
    // The right one is among the first that it tries.
    let words = stage.server.folder().join("words.txt");
    fs::write(&words, format!("1000\n1001\n{PASSWORD}\n1003\n")).expect("the folder can be written");
    let words = format!("-d{}", words.display());
    let said = stage.scan(&bin, "sipvicious_svcrack", &["-u100", &words]);
    assert!(said.contains("found nothing"), "{said}");
    names_no_product(&said);
    // Nor does anybody who asks by hand.
    let mut asker = Asker::at(SCANNER, stage.server.sip);
    let whom = ["100", X, X_UNBOUND, "nobody"];
    for method in ["REGISTER", "INVITE", "OPTIONS"] {
        let faces = whom.map(|whom| {
            let answer = asker.ask(method, whom, server::PATIENCE).expect("it is answered");
            names_no_product(&answer);
            let face = face(&answer);
            // The nonce is a new one each time.
            face.split("nonce=\"")
                .map(|part| part.split_once('"').map_or(part, |(_, rest)| rest))
                .collect::<String>()
        });
        let faces: BTreeSet<String> = faces.into_iter().collect();
        assert_eq!(faces.len(), 1, "{method}: {faces:?}");
    }
}

#[test]
fn a_scanner_is_kept_out_for_a_while_and_the_trunk_is_served_all_along() {
    let stage = Stage::new("forbid", 20);
    // Another stranger has done nothing, and is refused as before.
    let mut other = Asker::at(Ipv4Addr::new(127, 0, 0, 9), stage.server.sip);
    let mut scanner = Asker::at(SCANNER, stage.server.sip);
    for n in 0..20 {
        assert!(scanner.ask("INVITE", &n.to_string(), server::PATIENCE).is_some());
    }
    assert!(scanner.ask("INVITE", X, Duration::from_secs(2)).is_none());
    let bans = stage.bans();
    assert_eq!(bans.len(), 1, "{bans:?}");
    assert_eq!(
        (&bans[0]["address"], &bans[0]["by"]),
        (&"127.0.0.1".into(), &"itself".into())
    );
    assert!(other.ask("OPTIONS", "100", server::PATIENCE).is_some());
    stage.serves_its_trunk(1);
    let said = stage.server.printed();
    assert!(said.contains("umbra ban list): 127.0.0.1"), "{said}");
    // An admin lets him in again, and keeps the other one out; never the trunk.
    stage.server.done("ban remove 127.0.0.1");
    assert!(scanner.ask("OPTIONS", "100", server::PATIENCE).is_some());
    stage.server.done("ban add 127.0.0.9 --for 1h");
    assert!(stage.server.done("ban list").contains("127.0.0.9"));
    for (address, why) in [("127.0.0.2", "carrier"), ("127.0.0.3", "carrier")] {
        let refused = stage.server.umbra(&["ban", "add", address]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why), "{said}");
    }
    assert!(other.ask("OPTIONS", "100", Duration::from_secs(2)).is_none());
    stage.serves_its_trunk(2);
}

#[test]
fn who_guesses_passwords_is_kept_out_but_not_from_where_one_was_shown() {
    let Some(bin) = scanners() else { return };
    let stage = Stage::new("silence", 20);
    stage.trunk(&format!(
        "accept_from = [\"0.0.0.0/0\"]\nauth = [{{ user = \"100\", password = \"{PASSWORD}\" }}]\nauth_algorithms = [\"md5\"]"
    ));
    let mut guesser = Asker::at(SCANNER, stage.server.sip);
    // Without a proof nobody is banned, however often he asks: the next one may be somebody else in his name.
    for _ in 0..40 {
        assert!(guesser.ask("OPTIONS", "100", server::PATIENCE).is_some());
    }
    assert_eq!(stage.bans().len(), 0);
    let words = stage.server.folder().join("words.txt");
    let wrong: String = (1_000..1_060).map(|n| format!("{n}\n")).collect();
    fs::write(&words, wrong + PASSWORD + "\n").expect("the folder can be written");
    let words = format!("-d{}", words.display());
    cracks_nothing(&stage.scan(&bin, "sipvicious_svcrack", &["-m", "OPTIONS", "-u100", &words]));
    let bans = stage.bans();
    assert_eq!(bans.len(), 1, "{bans:?}");
    assert_eq!(bans[0]["address"], "127.0.0.1");
    assert!(guesser.ask("OPTIONS", "100", Duration::from_secs(2)).is_none());
    // Behind another address somebody shows the password: whatever else comes from there, it is heard.
    let mut neighbour = Asker::at(Ipv4Addr::new(127, 0, 0, 9), stage.server.sip);
    let proven = neighbour.prove("OPTIONS", "100", PASSWORD);
    assert!(proven.starts_with("SIP/2.0 200 "), "{proven}");
    for n in 0..40 {
        let refused = neighbour.prove("OPTIONS", "100", &n.to_string());
        assert!(refused.starts_with("SIP/2.0 40"), "{refused}");
    }
    assert_eq!(stage.bans().len(), 1);
    assert!(neighbour.ask("OPTIONS", "100", server::PATIENCE).is_some());
}

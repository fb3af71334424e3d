//! SIPp on both sides of a real server: the ladders of `scenarios/sipp`, each side checking every message
//! that it sees, and the records that the calls leave.

#[path = "support/server.rs"]
mod server;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use umbra::rtp::g711::Law;
use umbra::rtp::tone::Tone;

use server::certificates::SERVER;
use server::{
    A, B, CALLEE, CARRIER, PATIENCE, Server, Setup, X, free_address, is_bound, is_listening, until,
};

/// The number by which B is the protected one: calls of A through it come from the other party.
const X_OF_B: &str = "17000000002";
/// A number of ours without a binding.
const X_UNBOUND: &str = "17000000009";
/// How often the calling SIPp tries to get its port.
const KNOCKS: usize = 10;

/// One test at a time: SIPp's media ports are the same in each.
static TURN: Mutex<()> = Mutex::new(());

/// How both SIPps and the server speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// UDP.
    Udp,
    /// TCP, one connection for all calls.
    Tcp,
    /// TCP, a connection for each call.
    TcpEach,
    /// TLS, one connection for all calls; both sides show certificates. SIPp speaks TCP to a [`Wrapper`].
    Tls,
    /// UDP over IPv6; the media are IPv4.
    Udp6,
}

impl Way {
    /// The calling SIPp's option `-t`, and the called one's, who takes the connections that come.
    fn options(self) -> (&'static str, &'static str) {
        match self {
            Self::Udp | Self::Udp6 => ("u1", "u1"),
            Self::Tcp | Self::Tls => ("t1", "t1"),
            Self::TcpEach => ("tn", "t1"),
        }
    }

    /// As a gateway's URI has it.
    fn name(self) -> &'static str {
        match self {
            Self::Udp | Self::Udp6 => "udp",
            Self::Tcp | Self::TcpEach => "tcp",
            Self::Tls => "tls",
        }
    }

    /// An address of that side which was free a moment ago.
    fn address(self, side: Ipv4Addr) -> SocketAddr {
        match self {
            Self::Udp | Self::Tcp | Self::TcpEach | Self::Tls => free_address(side),
            Self::Udp6 => {
                let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a free port");
                socket.local_addr().expect("bound")
            }
        }
    }

    /// A scenario as this way needs it: over IPv6 everybody is on `::1`, and only numbers can be told apart. Over TLS it
    /// tells of the wrapper, which is at `public`, and not of SIPp.
    fn scenario(self, text: &str, public: SocketAddr) -> String {
        match self {
            Self::Udp | Self::Tcp | Self::TcpEach => text.to_owned(),
            Self::Tls => text
                .replace("[transport]", "TLS")
                .replace("[local_port]", &public.port().to_string()),
            Self::Udp6 => [("sip:", ":"), ("@", "")]
                .iter()
                .fold(text.to_owned(), |text, (before, after)| {
                    [r"127\.0\.0\.1", r"127\.0\.0\.3"].iter().fold(text, |text, v4| {
                        text.replace(
                            &format!("{before}{v4}{after}"),
                            &format!(r"{before}\[::1\]{after}"),
                        )
                    })
                }),
        }
    }
}

/// A server, a carrier's address and a callee's.
struct Stage {
    server: Server,
    gateway: SocketAddr,
    /// Where the carrier finds the server.
    home: SocketAddr,
    way: Way,
    _turn: MutexGuard<'static, ()>,
}

/// What calls are made.
struct Calls<'a> {
    uac: &'a str,
    uas: Option<&'a str>,
    x: &'a str,
    count: usize,
    /// INVITEs that the called side sees of each.
    legs: usize,
    rate: usize,
    talk_ms: u64,
}

impl<'a> Calls<'a> {
    fn few(uac: &'a str, uas: &'a str) -> Self {
        Self {
            uac,
            uas: Some(uas),
            x: X,
            count: 3,
            legs: 1,
            rate: 10,
            talk_ms: 200,
        }
    }
}

impl Stage {
    fn new(terms: &str) -> Self {
        Self::speaking(Way::Udp, terms)
    }

    /// A and B are joined by X.
    fn speaking(way: Way, terms: &str) -> Self {
        let stage = Self::bare(way);
        stage.server.bind(X, A, B, terms);
        stage.server.bind(X_OF_B, B, A, terms);
        stage.server.done(&format!("number add {X_UNBOUND}"));
        stage
    }

    /// No number is bound.
    fn bare(way: Way) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let gateway = way.address(CALLEE);
        let also = match way {
            Way::Udp | Way::Tcp | Way::TcpEach | Way::Tls => None,
            Way::Udp6 => Some(way.address(CALLEE)),
        };
        let setup = Setup {
            gateway,
            media_nat: "strict",
            log: "debug",
            calls: 500,
            also: also.into_iter().collect(),
        };
        let server = Server::speaking(way.name(), &setup);
        let stage = Self {
            home: also.unwrap_or(server.sip),
            server,
            gateway,
            way,
            _turn: turn,
        };
        if way == Way::Tls {
            // Nobody takes connections for a SIPp that calls.
            stage.trunk_says("signalling_nat = \"source\"\n");
        }
        stage
    }

    /// Adds lines to the trunk's conf, which the server takes.
    fn trunk_says(&self, lines: &str) {
        let path = self.server.folder().join("trunks.toml");
        let conf = fs::read_to_string(&path).expect("the server's conf");
        fs::write(&path, conf + lines).expect("the folder can be written");
        self.server.done("reload");
    }

    /// A SIPp that plays a scenario as this stage's way needs it, and what it says of its transport: `address` is where
    /// the server finds it.
    fn sipp(&self, scenario: &str, side: Side, address: SocketAddr, count: usize) -> Sipp {
        let file = format!("scenarios/sipp/{scenario}.xml");
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file));
        let text = text.unwrap_or_else(|_| panic!("{file} is there"));
        let folder = self.server.folder();
        let path = folder.join(format!("{scenario}.xml"));
        fs::write(&path, self.way.scenario(&text, address)).expect("the folder can be written");
        let is_wrapped = self.way == Way::Tls;
        let (own, wrapper) = match side {
            Side::Called if is_wrapped => {
                let own = free_address(CALLEE);
                (own, Some(Wrapper::of_called(folder, address, own)))
            }
            Side::Calling if is_wrapped => {
                let door = free_address(CARRIER);
                (address, Some(Wrapper::of_calling(folder, door, self.home)))
            }
            Side::Called | Side::Calling => (address, None),
        };
        let media = match side {
            Side::Calling => CARRIER,
            Side::Called => CALLEE,
        };
        let mut sipp = Sipp::new(folder, scenario, media, own, count);
        let (calls_by, hears_by) = self.way.options();
        match side {
            Side::Calling => {
                sipp.command.args(["-t", calls_by, "-max_socket", "1000"]);
                if let Some(wrapper) = &wrapper {
                    sipp.command.args(["-rsa", &wrapper.door.to_string()]);
                }
            }
            Side::Called => {
                sipp.command.args(["-t", hears_by]);
            }
        }
        sipp.wrapper = wrapper;
        sipp
    }

    /// Starts a called side, and waits until it listens.
    fn hears(&self, sipp: &mut Sipp) {
        sipp.start();
        let own = sipp.address;
        until("SIPp listens", || match self.way {
            Way::Udp | Way::Udp6 => is_bound(own),
            Way::Tcp | Way::TcpEach | Way::Tls => is_listening(own),
        });
    }

    /// Makes the calls; both sides must find every one of them as it should be.
    fn play(&self, calls: &Calls<'_>) {
        let uas = calls.uas.map(|scenario| {
            let count = calls.count * calls.legs;
            let mut uas = self.sipp(scenario, Side::Called, self.gateway, count);
            self.hears(&mut uas);
            uas
        });
        let calling = || {
            let at = self.way.address(CARRIER);
            let mut uac = self.sipp(calls.uac, Side::Calling, at, calls.count);
            uac.command.args(["-s", calls.x]).arg(self.home.to_string());
            uac.command
                .args(["-r", &calls.rate.to_string(), "-d", &calls.talk_ms.to_string()]);
            uac.start();
            uac.outcome()
        };
        // The system may have lent its port to somebody's connection; nothing was sent then.
        let is_kept_out = |caller: &Outcome| caller.said.contains("Unable to bind main socket");
        let caller = (1..KNOCKS)
            .map(|_| calling())
            .find(|caller| !is_kept_out(caller))
            .unwrap_or_else(calling);
        let callee = uas.map(|mut uas| uas.outcome());
        for (side, outcome) in [Some(caller), callee].into_iter().enumerate() {
            let Some(outcome) = outcome else { continue };
            assert!(
                outcome.is_well,
                "SIPp, side {side} of {} over {:?}: {}",
                calls.uac, self.way, outcome.said
            );
            let legs = [1, calls.legs][side];
            assert_eq!(
                (outcome.successful, outcome.failed),
                (calls.count * legs, 0),
                "{}",
                calls.uac
            );
        }
    }

    /// The records that the calls left: one each, alike in `fields`.
    fn left(&self, count: usize, fields: &Value) -> Vec<Value> {
        let records = self.server.settled(count);
        alike(&records, fields);
        self.server.prints_no_number();
        records
    }
}

/// Every record has an id of its own, and these fields: `"some"` is any value but null.
fn alike(records: &[Value], fields: &Value) {
    let ids = records.iter().filter_map(|record| record["call_id"].as_str());
    let ids: HashSet<&str> = ids.collect();
    assert_eq!(ids.len(), records.len(), "every call has an id of its own");
    for record in records {
        for (name, wanted) in fields.as_object().expect("fields") {
            let is = &record[name];
            let is_so = is == wanted || (wanted == "some" && !is.is_null());
            assert!(is_so, "{name} is {is}, not {wanted}, in {record:#}");
        }
    }
}

/// Which side of a call a SIPp is.
#[derive(Clone, Copy)]
enum Side {
    Calling,
    Called,
}

/// TLS for a SIPp, which has none in Debian: an stunnel between it and the server. Both sides show certificates, and it
/// believes only in the server's. Dropped, it is killed.
struct Wrapper {
    child: Child,
    /// Where it takes connections.
    door: SocketAddr,
    /// The file of what it prints.
    said: PathBuf,
}

impl Wrapper {
    /// Takes TCP at `door` and passes it on to the server at `home` over TLS.
    fn of_calling(folder: &Path, door: SocketAddr, home: SocketAddr) -> Self {
        let passes = format!(
            "client = yes\nlocal = {}\nconnect = {home}\nsni = {SERVER}\ncheckHost = {SERVER}\n",
            door.ip()
        );
        Self::start(folder, door, &passes)
    }

    /// Takes TLS at `door` from the server and passes it on to a SIPp over TCP.
    fn of_called(folder: &Path, door: SocketAddr, sipp: SocketAddr) -> Self {
        Self::start(folder, door, &format!("connect = {sipp}\ncheckHost = {SERVER}\n"))
    }

    fn start(folder: &Path, door: SocketAddr, passes: &str) -> Self {
        let conf = folder.join(format!("stunnel-{}.conf", door.port()));
        let text = format!(
            "foreground = yes\ndebug = notice\npid =\n[sipp]\naccept = {door}\n{passes}\
             cert = phones.pem\nkey = phones.key\nCAfile = ca.pem\nverifyChain = yes\nTIMEOUTclose = 0\n"
        );
        fs::write(&conf, text).expect("the folder can be written");
        let said = conf.with_extension("said");
        let out = File::create(&said).expect("the folder can be written");
        let child = Command::new("stunnel4")
            .current_dir(folder)
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the same file"))
            .stderr(out)
            .spawn()
            .expect("stunnel is installed (Debian's package stunnel4)");
        until("stunnel listens", || is_listening(door));
        Self { child, door, said }
    }
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        // It ends by itself only where it couldn't start.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One SIPp.
struct Sipp {
    command: Command,
    /// Where it listens.
    address: SocketAddr,
    wrapper: Option<Wrapper>,
    child: Option<Child>,
    statistics: PathBuf,
    errors: PathBuf,
}

/// How it went.
struct Outcome {
    is_well: bool,
    successful: usize,
    failed: usize,
    said: String,
}

impl Sipp {
    fn new(folder: &Path, scenario: &str, media: Ipv4Addr, address: SocketAddr, count: usize) -> Self {
        let ip = address.ip();
        let file = |ending: &str| folder.join(format!("{scenario}-{}.{ending}", address.port()));
        let (statistics, errors) = (file("csv"), file("errors"));
        let mut command = Command::new("sipp");
        command
            .current_dir(folder)
            .arg("-sf")
            .arg(folder.join(format!("{scenario}.xml")))
            .args(["-i", &ip.to_string(), "-p", &address.port().to_string()])
            .args(["-mi", &media.to_string(), "-m", &count.to_string()])
            .args(["-timeout", "90s", "-timeout_error", "-nostdin"])
            .args(["-trace_stat", "-fd", "1", "-stf"])
            .arg(&statistics)
            .args(["-trace_err", "-error_file"])
            .arg(&errors)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            command,
            address,
            wrapper: None,
            child: None,
            statistics,
            errors,
        }
    }

    fn start(&mut self) {
        let child = self.command.spawn();
        self.child = Some(child.expect("SIPp is installed (Debian's package sip-tester)"));
    }

    /// Waits for its end.
    fn outcome(&mut self) -> Outcome {
        let child = self.child.as_mut().expect("started");
        let deadline = Instant::now() + PATIENCE + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                break Some(status);
            }
            if Instant::now() > deadline {
                break None;
            }
            thread::sleep(Duration::from_millis(20));
        };
        let last = last_row(&self.statistics);
        let number = |name: &str| last.get(name).and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut errors = fs::read_to_string(&self.errors).unwrap_or_default();
        if let Some(wrapper) = &self.wrapper {
            errors += &fs::read_to_string(&wrapper.said).unwrap_or_default();
        }
        Outcome {
            is_well: status.is_some_and(|status| status.success()),
            successful: number("SuccessfulCall(C)"),
            failed: number("FailedCall(C)"),
            said: match status {
                Some(status) => format!("{status}\n{}", errors.chars().take(4_000).collect::<String>()),
                None => "it didn't end".to_owned(),
            },
        }
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Ended already, as a rule.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The last line of SIPp's statistics, by the names of its columns.
fn last_row(path: &Path) -> HashMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut lines = text.lines();
    let (Some(head), Some(last)) = (lines.next(), lines.next_back()) else {
        return HashMap::new();
    };
    let names = head.split(';').map(str::to_owned);
    names.zip(last.split(';').map(str::to_owned)).collect()
}

/// Two scenarios of `scenarios/sipp`, one for each side, and what their calls leave. Something else to show to
/// carriers is a row in [`PAIRS`] and its two files.
struct Pair {
    uac: &'static str,
    uas: &'static str,
    /// Terms of the binding, as the command line takes them.
    terms: &'static str,
    /// Fields of every record, in JSON: see [`alike`].
    left: &'static str,
}

impl Pair {
    const fn new(uac: &'static str, uas: &'static str, left: &'static str) -> Self {
        Self {
            uac,
            uas,
            terms: "",
            left,
        }
    }
}

/// Played over UDP, TCP, TLS and IPv6. The caller is A, dials a number of the row's own and is shown that.
const PAIRS: &[Pair] = &[
    Pair::new(
        "uac_answered",
        "uas_answer",
        r#"{"sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair::new(
        "uac_released",
        "uas_release",
        r#"{"sip_status": 200, "released_by": "callee"}"#,
    ),
    Pair::new(
        "uac_hold",
        "uas_hold",
        r#"{"sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair::new(
        "uac_refer",
        "uas_answer",
        r#"{"sip_status": 200, "released_by": "caller", "callee": "+8613900000002"}"#,
    ),
    Pair::new(
        "uac_info",
        "uas_answer",
        r#"{"sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair::new(
        "uac_early_media",
        "uas_early_media",
        r#"{"sip_status": 200, "early_media_at": "some"}"#,
    ),
    Pair::new(
        "uac_reliable",
        "uas_reliable",
        r#"{"sip_status": 200, "released_by": "caller", "early_media_at": "some"}"#,
    ),
    Pair::new(
        "uac_early_media",
        "uas_reliable",
        r#"{"sip_status": 200, "released_by": "caller", "early_media_at": "some"}"#,
    ),
    Pair::new(
        "uac_reliable",
        "uas_early_media",
        r#"{"sip_status": 200, "released_by": "caller", "early_media_at": "some"}"#,
    ),
    Pair::new(
        "uac_early_media",
        "uas_forks",
        r#"{"sip_status": 200, "callee_sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair::new(
        "uac_busy",
        "uas_busy",
        r#"{"sip_status": 486, "callee_sip_status": 486, "refusal": "busy", "q850_cause": 17}"#,
    ),
    Pair::new(
        "uac_emergency",
        "uas_emergency",
        r#"{"sip_status": 486, "mode": "emergency", "dialled": "110", "x": null, "shown": "+8613800000001"}"#,
    ),
    Pair::new(
        "uac_cancelled",
        "uas_ring",
        r#"{"sip_status": 487, "refusal": "cancelled", "released_by": "caller", "answered_at": null}"#,
    ),
    Pair::new(
        "uac_progress",
        "uas_progress",
        r#"{"sip_status": 200, "early_media_at": null, "ringing_at": "some"}"#,
    ),
    Pair::new(
        "uac_early_media_busy",
        "uas_early_media_busy",
        r#"{"sip_status": 486, "callee_sip_status": 486, "refusal": "busy", "q850_cause": 17, "answered_at": null, "early_media_at": "some"}"#,
    ),
    Pair::new(
        "uac_redirected",
        "uas_redirect",
        r#"{"sip_status": 480, "callee_sip_status": 302, "refusal": "unreachable", "answered_at": null}"#,
    ),
    Pair::new(
        "uac_update",
        "uas_update",
        r#"{"sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair::new(
        "uac_update_early",
        "uas_update_early",
        r#"{"sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair::new(
        "uac_session",
        "uas_session",
        r#"{"sip_status": 200, "callee_sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair::new(
        "uac_glare",
        "uas_glare",
        r#"{"sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair::new(
        "uac_routed",
        "uas_routed",
        r#"{"sip_status": 200, "released_by": "callee"}"#,
    ),
    Pair::new(
        "uac_answered",
        "uas_strict_router",
        r#"{"sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair::new(
        "uac_answered",
        "uas_tel_contact",
        r#"{"sip_status": 200, "released_by": "caller"}"#,
    ),
    Pair {
        uac: "uac_no_answer",
        uas: "uas_ring",
        terms: "--ring-timeout 5s",
        left: r#"{"sip_status": 480, "refusal": "no_answer", "answered_at": null, "billable_s": 0}"#,
    },
];

/// Plays every pair, or those that `UMBRA_PAIR` names by one side.
fn play_pairs(way: Way) {
    let stage = Stage::bare(way);
    let wanted = std::env::var("UMBRA_PAIR").ok();
    let pairs = PAIRS.iter().filter(|pair| {
        wanted
            .as_ref()
            .is_none_or(|name| pair.uac == name || pair.uas == name)
    });
    let mut made = 0;
    for (row, pair) in pairs.enumerate() {
        let x = format!("170000001{row:02}");
        stage.server.bind(&x, A, B, pair.terms);
        let calls = Calls::few(pair.uac, pair.uas);
        stage.play(&Calls { x: &x, ..calls });
        let records = stage.server.settled(made + calls.count);
        let fields: Value = serde_json::from_str(pair.left).expect("a row's fields are JSON");
        // What a row says itself counts before what is usual.
        let mut wanted = json!({"x": x, "shown": x, "caller": format!("+86{A}")});
        for (name, value) in fields.as_object().expect("fields") {
            wanted[name] = value.clone();
        }
        alike(&records[made..], &wanted);
        made = records.len();
    }
    assert!(made > 0, "no pair is called {wanted:?}");
    stage.server.prints_no_number();
}

#[test]
fn every_pair_over_udp() {
    play_pairs(Way::Udp);
}

#[test]
fn every_pair_over_one_tcp_connection() {
    play_pairs(Way::Tcp);
}

#[test]
fn every_pair_over_tls() {
    play_pairs(Way::Tls);
}

#[test]
fn every_pair_over_ipv6() {
    play_pairs(Way::Udp6);
}

/// The trunk asks callers for a password, and its gateway asks us.
fn play_passwords(way: Way) {
    let stage = Stage::speaking(way, "");
    let asked = "auth = [{ user = \"pbx\", password = \"hush\" }]\nauth_algorithms = [\"md5\"]\n\
                 credentials = { realm = \"carrier.example\", user = \"umbra\", password = \"sesame\" }\n";
    stage.trunk_says(asked);
    stage.play(&Calls::few("uac_password", "uas_password"));
    let records = stage.left(3, &json!({"sip_status": 200, "released_by": "caller"}));
    for record in records {
        assert_eq!(record["attempts"][0]["challenge"], "answered", "{record:#}");
    }
}

#[test]
fn numbers_from_and_codecs_are_read_and_written_as_the_trunk_says() {
    for way in [Way::Udp, Way::Tcp, Way::Tls, Way::Udp6] {
        let stage = Stage::speaking(way, "");
        stage.trunk_says(
            "strip = [\"17951\"]\nnumber_format = \"e164\"\nprefix_out = \"9\"\nuser_phone = true\n\
             show_in = \"pai\"\nfrom_user = \"pbx\"\nfrom_domain = \"sip.carrier.example\"\ncodecs = [\"PCMU\"]\n",
        );
        let dialled = format!("17951{X}");
        let calls = Calls::few("uac_busy", "uas_numbers");
        stage.play(&Calls { x: &dialled, ..calls });
        stage.left(
            3,
            &json!({"sip_status": 486, "dialled": X, "callee": format!("+86{B}")}),
        );
    }
}

#[test]
fn both_sides_prove_passwords_over_udp() {
    play_passwords(Way::Udp);
}

#[test]
fn both_sides_prove_passwords_over_tcp() {
    play_passwords(Way::Tcp);
}

#[test]
fn both_sides_prove_passwords_over_tls() {
    play_passwords(Way::Tls);
}

#[test]
fn both_sides_prove_passwords_over_ipv6() {
    play_passwords(Way::Udp6);
}

#[test]
fn a_calls_b_and_b_sees_x_alone() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_answered", "uas_answer"));
    let records = stage.left(
        3,
        &json!({
            "mode": "axb", "caller_kind": "a", "direction": "a_to_b", "x": X, "shown": X, "dialled": X,
            "caller": format!("+86{A}"), "callee": format!("+86{B}"), "sip_status": 200,
            "callee_sip_status": 200, "released_by": "caller", "refusal": null, "q850_cause": 16,
        }),
    );
    assert!(records.iter().all(|record| !record["answered_at"].is_null()));
    assert!(records.iter().all(|record| !record["ringing_at"].is_null()));
}

#[test]
fn b_calls_a_and_a_sees_x_alone() {
    let stage = Stage::new("");
    let calls = Calls::few("uac_answered", "uas_answer");
    stage.play(&Calls { x: X_OF_B, ..calls });
    stage.left(
        3,
        &json!({
            "caller_kind": "b", "direction": "b_to_a", "x": X_OF_B, "shown": X_OF_B, "sip_status": 200,
            "a": format!("+86{B}"), "peer": format!("+86{A}"),
        }),
    );
}

#[test]
fn a_redirection_is_followed_by_our_own_gateway_where_the_trunk_says_so() {
    let stage = Stage::new("");
    stage.trunk_says("redirects = \"follow\"\n");
    stage.play(&Calls {
        legs: 2,
        ..Calls::few("uac_answered", "uas_redirect")
    });
    let records = stage.left(
        3,
        &json!({"sip_status": 200, "callee_sip_status": 200, "callee": format!("+86{B}"), "shown": X}),
    );
    for record in &records {
        let tries = record["attempts"].as_array().expect("a list");
        let statuses: Vec<_> = tries.iter().map(|attempt| &attempt["status"]).collect();
        assert_eq!(statuses, [302, 200], "{record:#}");
        assert_eq!(tries[1]["callee"], "+8613700000003", "{record:#}");
    }
}

/// Every call is refused by a gateway that has more to do than it can, and goes by the next one.
fn next_gateway(way: Way) {
    let stage = Stage::speaking(way, "");
    let first = way.address(CALLEE);
    let trunks = stage.server.folder().join("trunks.toml");
    let conf = fs::read_to_string(&trunks).expect("the server's conf");
    let conf = conf.replace(
        "gateways = [",
        &format!("gateways = [\"sip:{first};transport={}\", ", way.name()),
    );
    fs::write(&trunks, conf).expect("the folder can be written");
    stage.server.done("reload");
    let mut overloaded = stage.sipp("uas_overloaded", Side::Called, first, 3);
    stage.hears(&mut overloaded);
    stage.play(&Calls::few("uac_answered", "uas_answer"));
    let outcome = overloaded.outcome();
    assert!(outcome.is_well, "the first gateway: {}", outcome.said);
    assert_eq!((outcome.successful, outcome.failed), (3, 0));
    let records = stage.left(
        3,
        &json!({"sip_status": 200, "callee_sip_status": 200, "shown": X}),
    );
    for record in &records {
        let tries = record["attempts"].as_array().expect("a list");
        let tries: Vec<_> = tries
            .iter()
            .map(|one| (&one["gateway"], &one["status"]))
            .collect();
        let wanted = [
            (json!(first.to_string()), json!(503)),
            (json!(stage.gateway.to_string()), json!(200)),
        ];
        let wanted: Vec<_> = wanted.iter().map(|(gateway, status)| (gateway, status)).collect();
        assert_eq!(tries, wanted, "{record:#}");
    }
}

#[test]
fn the_next_gateway_has_the_calls_of_an_overloaded_one_over_udp() {
    next_gateway(Way::Udp);
}

#[test]
fn the_next_gateway_has_the_calls_of_an_overloaded_one_over_tcp() {
    next_gateway(Way::Tcp);
}

#[test]
fn the_next_gateway_has_the_calls_of_an_overloaded_one_over_tls() {
    next_gateway(Way::Tls);
}

#[test]
fn who_dials_a_number_without_a_binding_reaches_nobody() {
    let stage = Stage::new("");
    let calls = Calls::few("uac_unbound", "");
    stage.play(&Calls {
        uas: None,
        x: X_UNBOUND,
        ..calls
    });
    stage.left(
        3,
        &json!({"sip_status": 404, "refusal": "no_binding", "callee": null, "attempts": [], "shown": null}),
    );
}

#[test]
fn a_number_that_isnt_ours_leaves_no_record() {
    let stage = Stage::new("");
    let calls = Calls::few("uac_unbound", "");
    stage.play(&Calls {
        uas: None,
        x: "17099999999",
        ..calls
    });
    stage.left(0, &json!({}));
}

#[test]
fn audio_goes_both_ways_and_is_counted() {
    let stage = Stage::new("");
    let mut tone = Vec::new();
    Law::A.encode_all(&Tone::new(440, 8_000).samples(8_000), &mut tone);
    fs::write(stage.server.folder().join("tone.alaw"), tone).expect("the folder can be written");
    let calls = Calls::few("uac_audio", "uas_audio");
    stage.play(&Calls {
        talk_ms: 2_000,
        ..calls
    });
    let records = stage.left(3, &json!({"sip_status": 200}));
    for record in &records {
        let media = &record["media"];
        for (side, other) in [("caller", "callee"), ("callee", "caller")] {
            let packets_in = media[side]["packets_in"].as_u64().unwrap_or(0);
            let packets_out = media[other]["packets_out"].as_u64().unwrap_or(0);
            // Two seconds are a hundred packets; a busy machine sends fewer.
            assert!(packets_in > 30, "{record:#}");
            assert!(packets_out > 30, "{record:#}");
            assert_eq!(media[side]["codec"], "PCMA", "{record:#}");
        }
    }
}

#[test]
fn two_hundred_calls_at_fifty_a_second_leave_two_hundred_records() {
    let stage = Stage::new("");
    let calls = Calls::few("uac_answered", "uas_answer");
    stage.play(&Calls {
        count: 200,
        rate: 50,
        talk_ms: 500,
        ..calls
    });
    stage.left(
        200,
        &json!({"sip_status": 200, "released_by": "caller", "refusal": null}),
    );
}

#[test]
fn two_hundred_calls_with_a_connection_each_leave_two_hundred_records() {
    let stage = Stage::speaking(Way::TcpEach, "");
    let calls = Calls::few("uac_answered", "uas_answer");
    stage.play(&Calls {
        count: 200,
        rate: 50,
        talk_ms: 500,
        ..calls
    });
    stage.left(200, &json!({"sip_status": 200, "refusal": null}));
}

#[test]
fn callers_hear_a_ringback_tone_of_ours_and_why_nobody_is_reached() {
    for way in [Way::Udp, Way::Tcp, Way::Tls] {
        let stage = Stage::speaking(way, "");
        stage.trunk_says("early_media = \"ringback\"\nrefusals = \"tone\"\n");
        // The called side sends no media, and rings without a description.
        stage.play(&Calls::few("uac_early_media", "uas_answer"));
        let answered = serde_json::json!({"sip_status": 200, "ringing_at": "some", "early_media_at": null});
        stage.left(3, &answered);
        stage.play(&Calls::few("uac_early_media_busy", "uas_busy"));
        let records = stage.server.settled(6);
        let busy = serde_json::json!({"sip_status": 486, "refusal": "busy", "announcement": "busy", "billable_s": 0});
        let refused: Vec<Value> = records
            .into_iter()
            .filter(|record| record["sip_status"] != 200)
            .collect();
        assert_eq!(refused.len(), 3);
        alike(&refused, &busy);
        for record in &refused {
            let heard = record["media"]["caller"]["packets_out"].as_u64();
            assert!(heard.is_some_and(|heard| heard > 100), "{record:#}");
        }
    }
}

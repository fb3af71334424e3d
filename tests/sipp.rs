//! SIPp on both sides of a real server: the ladders of `scenarios/sipp`, each side checking every message
//! that it sees, and the records that the calls leave.

#[path = "support/server.rs"]
mod server;

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use umbra::rtp::g711::Law;
use umbra::rtp::tone::Tone;

use server::{A, B, CALLEE, CARRIER, PATIENCE, Server, Setup, X, free_address, is_bound, until};

/// The number by which B is the protected one: calls of A through it come from the other party.
const X_OF_B: &str = "17000000002";
/// A number of ours without a binding.
const X_UNBOUND: &str = "17000000009";

/// One test at a time: SIPp's media ports are the same in each.
static TURN: Mutex<()> = Mutex::new(());

/// A server, a carrier's address and a callee's.
struct Stage {
    server: Server,
    gateway: SocketAddr,
    /// How the calling SIPp speaks: its option `-t`.
    speaks: &'static str,
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
        Self::speaking("u1", terms)
    }

    /// The calling SIPp speaks so: `u1`, `t1` (one connection) or `tn` (one a call).
    fn speaking(speaks: &'static str, terms: &str) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let gateway = free_address(CALLEE);
        let setup = Setup {
            gateway,
            media_nat: "strict",
            log: "debug",
            calls: 500,
            also: Vec::new(),
        };
        let server = Server::speaking(if speaks == "u1" { "udp" } else { "tcp" }, &setup);
        server.bind(X, A, B, terms);
        server.bind(X_OF_B, B, A, terms);
        server.done(&format!("number add {X_UNBOUND}"));
        Self {
            server,
            gateway,
            speaks,
            _turn: turn,
        }
    }

    /// Makes the calls; both sides must find every one of them as it should be.
    fn play(&self, calls: &Calls<'_>) {
        let uas = calls.uas.map(|scenario| {
            let mut uas = Sipp::new(
                self.server.folder(),
                scenario,
                self.gateway,
                calls.count * calls.legs,
            );
            // Whoever is called takes the connections that come.
            let heard = if self.speaks == "u1" { "u1" } else { "t1" };
            uas.command.args(["-t", heard]);
            uas.start();
            until("SIPp listens", || match self.speaks {
                "u1" => is_bound(self.gateway),
                _ => is_listening(self.gateway),
            });
            uas
        });
        let mut uac = Sipp::new(
            self.server.folder(),
            calls.uac,
            free_address(CARRIER),
            calls.count,
        );
        uac.command.args(["-s", calls.x]).arg(self.server.sip.to_string());
        uac.command.args(["-t", self.speaks, "-max_socket", "1000"]);
        uac.command
            .args(["-r", &calls.rate.to_string(), "-d", &calls.talk_ms.to_string()]);
        uac.start();
        let caller = uac.outcome();
        let callee = uas.map(|mut uas| uas.outcome());
        for (side, outcome) in [Some(caller), callee].into_iter().enumerate() {
            let Some(outcome) = outcome else { continue };
            assert!(
                outcome.is_well,
                "SIPp, side {side} of {}: {}",
                calls.uac, outcome.said
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
        let ids: std::collections::HashSet<&str> = records
            .iter()
            .filter_map(|record| record["call_id"].as_str())
            .collect();
        assert_eq!(ids.len(), count, "every call has an id of its own");
        for record in &records {
            for (name, wanted) in fields.as_object().expect("fields") {
                assert_eq!(&record[name], wanted, "{name} of {record:#}");
            }
        }
        self.server.prints_no_number();
        records
    }
}

/// Whether somebody listens there for connections.
fn is_listening(at: SocketAddr) -> bool {
    const LISTEN: &str = "0A";
    let port = format!(":{:04X}", at.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_port = fields.next().is_some_and(|local| local.ends_with(&port));
        is_port && fields.nth(1) == Some(LISTEN)
    })
}

/// One SIPp.
struct Sipp {
    command: Command,
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
    fn new(folder: &Path, scenario: &str, address: SocketAddr, count: usize) -> Self {
        let IpAddr::V4(ip) = address.ip() else {
            unreachable!("the tests use IPv4")
        };
        let file = |ending: &str| folder.join(format!("{scenario}-{}.{ending}", address.port()));
        let (statistics, errors) = (file("csv"), file("errors"));
        let mut command = Command::new("sipp");
        command
            .current_dir(folder)
            .arg("-sf")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/sipp/{scenario}.xml")))
            .args(["-i", &ip.to_string(), "-p", &address.port().to_string()])
            .args(["-mi", &ip.to_string(), "-m", &count.to_string()])
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
        let errors = fs::read_to_string(&self.errors).unwrap_or_default();
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
fn a_caller_who_gives_up_stops_the_ringing() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_cancelled", "uas_ring"));
    stage.left(
        3,
        &json!({"sip_status": 487, "refusal": "cancelled", "released_by": "caller", "answered_at": null}),
    );
}

#[test]
fn a_busy_party_is_busy_and_its_words_dont_cross() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_busy", "uas_busy"));
    stage.left(
        3,
        &json!({"sip_status": 486, "callee_sip_status": 486, "refusal": "busy", "q850_cause": 17}),
    );
}

#[test]
fn a_party_that_doesnt_answer_rings_as_long_as_the_binding_says() {
    let stage = Stage::new("--ring-timeout 5s");
    stage.play(&Calls::few("uac_no_answer", "uas_ring"));
    stage.left(
        3,
        &json!({"sip_status": 480, "refusal": "no_answer", "answered_at": null, "billable_s": 0}),
    );
}

#[test]
fn what_is_played_before_the_answer_crosses() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_early_media", "uas_early_media"));
    let records = stage.left(3, &json!({"sip_status": 200}));
    assert!(records.iter().all(|record| !record["early_media_at"].is_null()));
}

#[test]
fn provisional_answers_are_acknowledged_on_each_leg_by_itself() {
    for (uac, uas) in [
        ("uac_reliable", "uas_reliable"),
        ("uac_early_media", "uas_reliable"),
        ("uac_reliable", "uas_early_media"),
    ] {
        let stage = Stage::new("");
        stage.play(&Calls::few(uac, uas));
        let records = stage.left(3, &json!({"sip_status": 200, "released_by": "caller"}));
        assert!(records.iter().all(|record| !record["early_media_at"].is_null()));
    }
}

#[test]
fn of_two_phones_that_answer_the_first_wins_and_the_other_is_hung_up_on() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_early_media", "uas_forks"));
    stage.left(
        3,
        &json!({"sip_status": 200, "callee_sip_status": 200, "released_by": "caller"}),
    );
}

#[test]
fn who_hears_of_progress_and_then_of_ringing_is_answered_at_last() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_progress", "uas_progress"));
    let records = stage.left(3, &json!({"sip_status": 200, "early_media_at": null}));
    assert!(records.iter().all(|record| !record["ringing_at"].is_null()));
}

#[test]
fn a_party_that_is_busy_after_an_announcement_is_busy() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_early_media_busy", "uas_early_media_busy"));
    let records = stage.left(
        3,
        &json!({"sip_status": 486, "callee_sip_status": 486, "refusal": "busy", "q850_cause": 17, "answered_at": null}),
    );
    assert!(records.iter().all(|record| !record["early_media_at"].is_null()));
}

#[test]
fn a_redirection_is_refused_and_its_target_told_to_nobody() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_redirected", "uas_redirect"));
    stage.left(
        3,
        &json!({"sip_status": 480, "callee_sip_status": 302, "refusal": "unreachable", "answered_at": null}),
    );
}

#[test]
fn a_redirection_is_followed_by_our_own_gateway_where_the_trunk_says_so() {
    let stage = Stage::new("");
    let trunks = stage.server.folder().join("trunks.toml");
    let conf = fs::read_to_string(&trunks).expect("the server's conf");
    fs::write(&trunks, format!("{conf}redirects = \"follow\"\n")).expect("the folder can be written");
    stage.server.done("reload");
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

#[test]
fn a_held_call_is_held_on_the_other_side_and_taken_back() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_hold", "uas_hold"));
    stage.left(3, &json!({"sip_status": 200, "released_by": "caller"}));
}

#[test]
fn a_callee_who_hangs_up_ends_the_call() {
    let stage = Stage::new("");
    stage.play(&Calls::few("uac_released", "uas_release"));
    stage.left(3, &json!({"sip_status": 200, "released_by": "callee"}));
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
fn over_one_connection_each_calls_are_made_held_refused_and_given_up() {
    for (uac, uas, status) in [
        ("uac_answered", "uas_answer", 200),
        ("uac_hold", "uas_hold", 200),
        ("uac_released", "uas_release", 200),
        ("uac_busy", "uas_busy", 486),
        ("uac_cancelled", "uas_ring", 487),
    ] {
        let stage = Stage::speaking("t1", "");
        stage.play(&Calls::few(uac, uas));
        stage.left(3, &json!({"sip_status": status}));
    }
}

#[test]
fn two_hundred_calls_with_a_connection_each_leave_two_hundred_records() {
    let stage = Stage::speaking("tn", "");
    let calls = Calls::few("uac_answered", "uas_answer");
    stage.play(&Calls {
        count: 200,
        rate: 50,
        talk_ms: 500,
        ..calls
    });
    stage.left(200, &json!({"sip_status": 200, "refusal": null}));
}

//! Processor time for a call that is made, answered and ended: 14 messages, a look-up, four ports, a record.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::held::pause;
use crate::process::cpu_seconds;
use crate::rtp::BarePacket;
use crate::server::{A, B, CALLEE, CARRIER, Server, Setup, X, free_address, is_bound, until};
use crate::{Floor, Length, Rounds, Row};

/// Messages of one call that a server receives or sends.
const MESSAGES: f64 = 14.0;
/// Microseconds that a call may cost.
pub const FLOOR_US: f64 = 200.0;

/// The row. A bare loop that does nothing but receive and send the same datagrams would need half of what it needs
/// to relay a packet for each. Beside it the figure, in microseconds.
pub fn measure(length: Length) -> (Row, Option<f64>) {
    let what = "CPU for a completed call";
    if Command::new("sipp")
        .arg("-v")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        let row = Row::new(what, "not measured: it needs SIPp (Debian's package sip-tester)");
        return (row, None);
    }
    let gateway = free_address(CALLEE);
    let server = Server::start(&Setup {
        gateway,
        media_nat: "strict",
        log: "warn",
        calls: 4_000,
        also: Vec::new(),
    });
    server.bind(X, A, B, "");
    let (rate, rounds) = (length.choose(100, 500), length.choose(1, 5));
    let count = rate * length.choose(1, 6);
    // A first round warms up: every port is bound, memory is touched.
    round(&server, gateway, rate, length.choose(rate, 4_500));
    let bare_packet = BarePacket::new();
    let (mut found, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = cpu_seconds(server.pid());
        let completed = round(&server, gateway, rate, count);
        let us = (cpu_seconds(server.pid()) - before) * 1e6 / completed;
        let bare_us = MESSAGES * bare_packet.us(length.choose(0.5, 2.0)) / 2.0;
        found.push(us);
        bare.push(bare_us);
        ratios.push(us / bare_us);
    }
    let (us, records) = (Rounds::of(found), server.records());
    let median = us.median();
    let row = Row {
        ours: us.show("µs"),
        bare: Rounds::of(bare).show("µs"),
        ratio: Rounds::of(ratios).show("×"),
        floor: Some(Floor::at_most(FLOOR_US, "µs", us.median())),
        profile: Some("perf record -e cpu-clock -g -p $(pgrep -n umbra), while `tests/bench/run call` runs"),
        ..Row::new(
            what,
            format!(
                "sipp -sf tests/bench/uac.xml -r {rate} -m {count} -d 200, {rounds} rounds, {} records{}; bare: 14 × half a packet, in turns",
                records.len(),
                refusals(&records),
            ),
        )
    };
    (row, Some(median))
}

/// Makes `count` calls; how many were completed.
fn round(server: &Server, gateway: std::net::SocketAddr, rate: usize, count: usize) -> f64 {
    let sipp = |scenario: &str, at: std::net::SocketAddr| {
        let mut command = Command::new("sipp");
        command
            .current_dir(server.folder())
            .arg("-sf")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/bench/{scenario}.xml")))
            .args([
                "-i",
                &at.ip().to_string(),
                "-p",
                &at.port().to_string(),
                "-mi",
                &at.ip().to_string(),
            ])
            .args(["-m", &count.to_string(), "-timeout", "120s", "-nostdin"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let before = server.records().len();
    let mut uas = sipp("uas", gateway).spawn().expect("SIPp runs");
    until("SIPp listens", || is_bound(gateway));
    let uac = sipp("uac", free_address(CARRIER))
        .args(["-s", X, "-r", &rate.to_string(), "-d", "200", "-l", "20000"])
        .arg(server.sip.to_string())
        .status();
    let is_well = uac.expect("SIPp runs").success();
    until("no call is left", || server.calls() == 0);
    if !is_well {
        eprintln!("SIPp didn't find every call well: the figure counts those that have a record with 200");
    }
    // A call that the carrier gave up would leave it waiting for its last one.
    let _ = uas.kill();
    let _ = uas.wait();
    let records = all_records(server);
    let new = records.iter().skip(before);
    new.filter(|record| record["sip_status"] == 200).count() as f64
}

/// The records, once no more of them come.
fn all_records(server: &Server) -> Vec<serde_json::Value> {
    let mut records = server.records();
    loop {
        pause(0.5);
        let more = server.records();
        if more.len() == records.len() {
            return more;
        }
        records = more;
    }
}

/// Why calls were not completed, and how often.
fn refusals(records: &[serde_json::Value]) -> String {
    let mut counts = BTreeMap::new();
    for reason in records.iter().filter_map(|record| record["refusal"].as_str()) {
        *counts.entry(reason).or_insert(0) += 1;
    }
    counts
        .iter()
        .map(|(reason, count)| format!(", {count} × {reason}"))
        .collect()
}

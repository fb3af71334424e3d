//! The ladders of `scenarios/sipp` that are played over everything that SIP is spoken over.

use serde_json::{Value, json};

use crate::server::{A, B};
use crate::stage::{Calls, Stage, Way, alike};

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

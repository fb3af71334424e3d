//! Extensions of AXE that SIPp keys: as events of RFC 4733, by INFO and as tones. Whoever is called is the one whose
//! extension it is, although others share the number.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::json;

use crate::server::{A, B, X};
use crate::stage::{Calls, Stage, Way};

/// Somebody else behind the same number, whom every wrong key would lead to, or to nobody.
const OTHER: &str = "13700000003";
/// Where Debian's package keeps what SIPp plays.
const CAPTURES: &str = "/usr/share/sip-tester";

/// Whether SIPp may play what it sends from raw sockets: root may.
fn may_play() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    assert!(
        is_root || std::env::var_os("UMBRA_TEST_ALL").is_none(),
        "only root's SIPp plays captures and keys"
    );
    is_root
}

/// SIPp calls X, is asked, keys by this scenario, and B is called, who has this extension; then B hangs up.
fn key(uac: &str, extension: &str, other: &str) {
    let stage = Stage::bare(Way::Udp);
    stage.server.extensions(X, &[(B, extension), (OTHER, other)]);
    captures(stage.server.folder());
    stage.play(&Calls::few(uac, "uas_keyed"));
    let records = stage.left(
        3,
        &json!({
            "mode": "axe", "x": X, "dialled": X, "shown": X, "extension": extension, "sip_status": 200,
            "caller": format!("+86{A}"), "callee": format!("+86{B}"), "callee_sip_status": 200,
            "answered_at": "some", "refusal": null, "end_cause": null, "released_by": "callee",
        }),
    );
    for record in &records {
        let collected = &record["collected"];
        assert_eq!(collected["result"], "named", "{record:#}");
        assert_eq!(collected["tries"], 1, "{record:#}");
    }
}

/// What the scenarios play: SIPp's own captures of events, and one of a phone that plays tones.
fn captures(folder: &Path) {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/baresip_tones.pcap");
    let theirs = (0..10).map(|key| Path::new(CAPTURES).join(format!("dtmf_2833_{key}.pcap")));
    for file in theirs.chain([ours]) {
        let name = file.file_name().expect("a file");
        let copied = fs::copy(&file, folder.join(name));
        copied.unwrap_or_else(|error| panic!("{} (Debian's package sip-tester): {error}", file.display()));
    }
}

#[test]
fn an_extension_keyed_by_the_captured_events_that_sipp_ships_leads_to_its_owner() {
    if may_play() {
        key("uac_keys_captured", "7203", "7204");
    }
}

#[test]
fn an_extension_keyed_by_events_of_sipp_s_own_leads_to_its_owner() {
    if may_play() {
        key("uac_keys_events", "5881", "5882");
    }
}

#[test]
fn an_extension_keyed_by_messages_of_two_kinds_leads_to_its_owner() {
    key("uac_keys_info", "0012", "0013");
}

#[test]
fn an_extension_that_a_phone_played_as_tones_leads_to_its_owner() {
    if may_play() {
        key("uac_keys_tones", "8046", "8047");
    }
}

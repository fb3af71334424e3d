//! SIPp on both sides of a real server: the ladders of `scenarios/sipp`, each side checking every message
//! that it sees, and the records that the calls leave.

#[path = "support/server.rs"]
mod server;

#[path = "sipp/keyed.rs"]
mod keyed;
#[path = "sipp/pairs.rs"]
mod pairs;
#[path = "sipp/sides.rs"]
mod sides;
#[path = "sipp/stage.rs"]
mod stage;

use std::fs;

use serde_json::{Value, json};
use umbra::rtp::g711::Law;
use umbra::rtp::tone::Tone;

use server::{A, B, CALLEE, X};
use sides::Side;
use stage::{Calls, Stage, Way, X_OF_B, X_UNBOUND, alike};

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

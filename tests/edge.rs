//! Calls through a carrier's edge as it is met in the field: Debian's Kamailio stays in every dialog, speaks UDP
//! with the phones and TCP with the real server, tells it what carriers tell (P-Asserted-Identity, Diversion,
//! History-Info, …: none of it may reach a phone), and rings two phones of one line at once.

mod support;

#[path = "support/live.rs"]
mod stage_live;

#[path = "edge/kamailio.rs"]
mod kamailio;

#[path = "support/server.rs"]
mod server;

#[path = "support/softphone.rs"]
mod softphone;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use kamailio::{Kamailio, Says};
use server::{HOME, Server, free_address};
use stage_live::Live;
use support::ladder::{Ladder, ladders, ladders_in, play};
use support::plays::{assert_none_failed, play_side_by_side};
use support::stage::{Setup, Stage};

/// Plays at once: nearly all of their time is waiting.
const AT_ONCE: usize = 8;

/// T1 of these plays.
const T1: Duration = Duration::from_millis(100);

/// What the edge tells Umbra and no phone may hear: see its conf.
const CANARIES: [&str; 6] = [
    "canary",
    "63616e617279",
    "13811112222",
    "13811113333",
    "13811114444",
    "460001234",
];

/// Ladders of `scenarios` that go the same way through the edge.
const ALSO: [&str; 44] = [
    "answer_lost_after_us",
    "answer_repeated_by_b",
    "answer_waits_for_the_prack",
    "answered_and_hung_up_by_a",
    "answered_and_hung_up_by_b",
    "ax_calls_back_once",
    "axyb_each_dials_the_others_number",
    "both_hold_and_a_comes_back_first",
    "busy",
    "called_by_b",
    "caller_takes_no_description",
    "cancel_crosses_answer",
    "cancelled_after_answer",
    "cancelled_before_the_prack",
    "cancelled_while_ringing",
    "early_media_then_answer",
    "ended_early_by_bye",
    "fork_answers_after_the_end",
    "fork_with_another_codec_wins",
    "forks_ring_then_all_fail",
    "frozen_for_complaint_cuts_the_call",
    "held_and_resumed_by_a",
    "held_and_resumed_by_b",
    "held_while_the_other_hangs_up",
    "invite_repeated",
    "late_offer",
    "offer_in_prack",
    "options_within_a_call",
    "prack_by_b",
    "prack_lost",
    "redirected",
    "reinvite_refused",
    "reinvites_cross",
    "rejected",
    "reliable_on_both_legs",
    "reliable_to_a_ringing",
    "ringing_after_early_media",
    "two_forks_answer",
    "two_forks_ring_reliably",
    "update_crosses_as_update",
    "update_early_by_a",
    "update_early_by_b",
    "update_in_a_fork",
    "video_declined",
];

fn play_one(path: &Path, shards: usize) -> Result<(), String> {
    let ladder = Ladder::read(&std::fs::read_to_string(path).expect("readable"));
    let setup = ladder.set_up(Setup {
        shards,
        t1: T1,
        has_edge: true,
        canaries: CANARIES.map(str::to_owned).to_vec(),
        ..Setup::on(0)
    });
    let live = Live::start(setup);
    let setup = live.setup();
    let phones: Vec<_> = (1..=setup.gateways).map(|n| setup.gateway(n as u8)).collect();
    let (_, umbra) = setup.listeners()[0];
    let _edge = Kamailio::start(live.folder(), setup.edge(), umbra, &phones);
    play(&ladder, live).map_err(|why| format!("{}: {why}", path.display()))
}

#[test]
fn every_ladder_of_the_edge_goes_as_written() {
    let also = ladders().into_iter().filter(|path| {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| ALSO.contains(&&*name))
    });
    let also: Vec<_> = also.collect();
    if std::env::var("UMBRA_LADDER").is_err() {
        assert_eq!(also.len(), ALSO.len(), "a ladder that is named here is gone");
    }
    let plays: Vec<_> = ladders_in("edge").into_iter().chain(also).collect();
    assert_none_failed(&play_side_by_side(plays, AT_ONCE, play_one));
}

#[test]
fn two_softphones_talk_through_the_edge() {
    let edge = free_address(Ipv4Addr::new(127, 0, 0, 4));
    let (a_sip, b_sip) = (free_address(HOME), free_address(HOME));
    let setup = server::Setup {
        gateway: edge,
        media_nat: "strict",
        log: "debug",
        calls: 50,
        also: Vec::new(),
    };
    let server = Server::speaking("tcp", &setup);
    let _edge = Kamailio::start(server.folder(), edge, server.sip, &[b_sip]);
    softphone::talk(&server, softphone::Over::Udp, a_sip, b_sip, edge);
}

#[test]
fn what_is_copied_to_a_capture_server_is_read_by_kamailio() {
    let ladders = ladders();
    let path = ladders
        .iter()
        .find(|path| path.ends_with("answered_and_hung_up_by_a.ladder"));
    let ladder = Ladder::read(&std::fs::read_to_string(path.expect("it is there")).expect("readable"));
    let live = Live::start(ladder.set_up(Setup {
        t1: T1,
        ..Setup::on(0)
    }));
    let copies = live.copies();
    play(&ladder, live).expect("it goes as written");
    let packets: Vec<Vec<u8>> = copies
        .lock()
        .expect("no panic")
        .iter()
        .map(|copy| copy.packet.clone())
        .collect();
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder for it"));
    let at = [(); 2].map(|()| free_address(HOME));
    let [mut parser, mut chunks] = [0, 1].map(|i| {
        let says = [Says::Messages, Says::Chunks][i];
        Kamailio::capturing(folders[i].path(), at[i], says)
    });
    let socket = UdpSocket::bind((HOME, 0)).expect("loopback is free");
    for (to, reader, word) in [(at[0], &mut parser, "CAPTURED "), (at[1], &mut chunks, "CHUNKS ")] {
        // Until it reads: what comes before is lost.
        reader.until("it reads", |printed| {
            socket.send_to(&packets[0], to).expect("sent");
            printed.contains(word)
        });
        packets[1..].iter().for_each(|packet| {
            socket.send_to(packet, to).expect("sent");
        });
        let last = packets.len() - 1;
        reader.until("it reads all", |printed| printed.matches(word).count() > last);
    }
    let (read, found) = (parser.printed(), chunks.printed());
    let lines = |text: &str, word: &str| -> Vec<String> {
        let of = text.lines().filter_map(|line| line.split_once(word));
        of.map(|(_, line)| line.to_owned()).collect()
    };
    let messages = lines(&read, "CAPTURED ");
    for wanted in [
        "INVITE 0",
        "INVITE 180",
        "INVITE 200",
        "ACK 0",
        "BYE 0",
        "BYE 200",
    ] {
        let of = messages
            .iter()
            .filter(|line| line.contains(&format!(" {wanted} ")));
        assert!(of.count() >= 2, "{wanted} of both legs in\n{read}");
    }
    let masked = |user: &str| user.contains("****") || user == "<null>";
    for line in &messages {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(masked(words[3]) && masked(words[4]), "{line}");
    }
    let chunks = lines(&found, "CHUNKS ");
    let common: std::collections::BTreeSet<&str> = chunks
        .iter()
        .filter_map(|line| line.split(' ').next_back())
        .collect();
    assert_eq!(common.len(), 1, "both legs have one correlation id:\n{found}");
    assert!(chunks.iter().all(|line| line.starts_with("3 127.")), "{found}");
}

//! Every ladder of `scenarios/`, played in the simulator with one shard and with three; and some of them with the owner
//! meddling at each step.

use std::path::Path;

mod support;

use support::ladder::{Ladder, ladders, play};
use support::plays::assert_none_failed;
use support::stage::Setup;
use support::world::World;

fn play_all(shards: usize) {
    let mut failed = Vec::new();
    for path in ladders() {
        let ladder = Ladder::read(&std::fs::read_to_string(&path).expect("readable"));
        let setup = ladder.set_up(Setup {
            shards,
            ..Setup::on(1)
        });
        if let Err(why) = play(&ladder, World::new(setup, 7)) {
            failed.push(format!("{}: {why}", path.display()));
        }
    }
    assert_none_failed(&failed);
}

#[test]
fn every_ladder_goes_as_written_with_one_shard() {
    play_all(1);
}

#[test]
fn every_ladder_goes_as_written_with_three_shards() {
    play_all(3);
}

/// Calls of every kind: what an owner does in the middle of them must not be felt.
const CALLS: [&str; 12] = [
    "answered_and_hung_up_by_a",
    "busy",
    "cancelled_while_ringing",
    "early_media_then_answer",
    "held_and_resumed_by_b",
    "late_offer_answered_in_prack",
    "next_gateway_after_503",
    "redirection_followed",
    "reinvites_cross",
    "reliable_on_both_legs",
    "two_forks_answer",
    "update_crosses_as_update",
];

/// Plays each of those calls once for every line of it after which the called party is known, with `order` before
/// that line.
fn at_each_step(order: &str) {
    let mut failed = Vec::new();
    for name in CALLS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.ladder"));
        let text = std::fs::read_to_string(path).expect("a ladder");
        let lines: Vec<&str> = text.lines().collect();
        let known = lines.iter().position(|line| line.starts_with("B <- INVITE"));
        let known = known.unwrap_or_else(|| panic!("{name}: B is never called"));
        let meddled = (known + 1..lines.len())
            .filter(|at| !lines[*at].starts_with(['|', '#']) && !lines[*at].trim().is_empty());
        for at in meddled {
            let mut lines = lines.clone();
            lines.insert(at, order);
            let ladder = Ladder::read(&lines.join("\n"));
            let setup = ladder.set_up(Setup::on(1));
            if let Err(why) = play(&ladder, World::new(setup, 7)) {
                failed.push(format!("{name} with {order:?} before line {}: {why}", at + 1));
            }
        }
    }
    assert_none_failed(&failed);
}

#[test]
fn a_call_goes_on_as_it_was_when_its_number_is_unbound_at_any_step() {
    at_each_step("unbind X");
}

#[test]
fn a_call_goes_on_as_it_was_when_the_conf_is_read_anew_at_any_step() {
    at_each_step(
        "reload ring=7s gateways=1 silence=1s reliable=off redirects=refuse session_timer=off dtmf=info",
    );
}

/// Before which lines of which ladders that would be felt: who drains begins anew; what is to be lost is another message
/// then, because the last ACK is on its way.
const NOT_KILLED: [(&str, &str); 2] = [
    ("drained", "drain"),
    ("reinvite_answer_lost_before_a", "lose 1 to A"),
];

/// Plays each ladder once for every scene of it that begins while A and B talk, with the server killed before.
#[test]
fn a_talk_goes_on_as_it_was_when_the_server_is_killed_between_two_scenes() {
    let mut failed = Vec::new();
    let mut played = 0;
    for path in ladders() {
        let text = std::fs::read_to_string(&path).expect("a ladder");
        if ["\nrestart", "\nhandover"].iter().any(|verb| text.contains(verb)) {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        let talk = lines.iter().position(|line| line.starts_with("A -> ACK"));
        for at in talk.map_or(0..0, |talk| talk..lines.len()) {
            let is_felt = |(name, line): &(&str, &str)| {
                path.ends_with(format!("{name}.ladder")) && lines.get(at + 1) == Some(line)
            };
            if !lines[at].is_empty() || NOT_KILLED.iter().any(is_felt) {
                continue;
            }
            let mut lines = lines.clone();
            lines.insert(at, "restart");
            let ladder = Ladder::read(&lines.join("\n"));
            let setup = ladder.set_up(Setup::on(1));
            played += 1;
            if let Err(why) = play(&ladder, World::new(setup, 7)) {
                failed.push(format!("{} killed before line {}: {why}", path.display(), at + 2));
            }
        }
    }
    let is_one = std::env::var_os("UMBRA_LADDER").is_some();
    assert!(played > 200 || is_one, "{played} plays");
    assert_none_failed(&failed);
}

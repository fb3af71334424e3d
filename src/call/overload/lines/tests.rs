//! Tests of [`lines`](super).

use std::time::Duration;

use super::*;

fn at(us: u64) -> Instant {
    Instant::from_micros(us)
}

/// Who sends so many calls a second: from which trunk and address.
struct Sender {
    trunk: usize,
    source: u64,
    per_s: u64,
    taken: u64,
    shed: u64,
    /// Those of them that were refused as they came.
    at_the_door: u64,
}

fn sender(trunk: usize, source: u64, per_s: u64) -> Sender {
    Sender {
        trunk,
        source,
        per_s,
        taken: 0,
        shed: 0,
        at_the_door: 0,
    }
}

/// A shard that needs a millisecond for a call gets calls for so many seconds. Returns the longest wait of one that was
/// taken.
fn serve(senders: &mut [Sender], seconds: u64) -> Duration {
    const CALL_US: u64 = 1_000;
    // Refusing takes a hundredth of serving.
    const REFUSAL_US: u64 = CALL_US / 100;
    const DOOR_US: u64 = REFUSAL_US / 2;
    let mut lines = Lines::default();
    let end = seconds * 1_000_000;
    let mut sent = vec![0; senders.len()];
    let (mut now, mut longest) = (0, Duration::ZERO);
    while now < end {
        for (who, (sender, sent)) in senders.iter_mut().zip(&mut sent).enumerate() {
            while *sent * 1_000_000 / sender.per_s <= now {
                let came = at(*sent * 1_000_000 / sender.per_s);
                let whose = Whose::Trunk(sender.trunk, sender.source);
                *sent += 1;
                if lines.is_hopeless(came, whose) {
                    sender.shed += 1;
                    sender.at_the_door += 1;
                    now += DOOR_US;
                    continue;
                }
                let out = lines.push(came, whose, Priority::Call, (who, came));
                assert_eq!(out, Ok(()), "the wait keeps the lines short");
            }
        }
        match lines.pop(at(now)) {
            None => now += 100,
            Some(((who, came), Verdict::Taken)) => {
                longest = longest.max(at(now) - came);
                senders[who].taken += 1;
                now += CALL_US;
            }
            Some(((who, _), Verdict::Shed)) => {
                senders[who].shed += 1;
                now += REFUSAL_US;
            }
        }
    }
    longest
}

#[test]
fn at_five_times_what_a_shard_can_do_it_does_what_it_can_and_nobody_waits_long() {
    let mut senders = [sender(0, 0, 5_000)];
    let longest = serve(&mut senders, 10);
    let [flood] = senders;
    assert!(flood.taken > 9_500, "{} of 10,000 calls", flood.taken);
    assert!(flood.shed > 35_000, "the others are told: {}", flood.shed);
    let waited = flood.shed - flood.at_the_door;
    assert!(
        waited < flood.shed / 15,
        "and nearly none waits for that: {waited}"
    );
    // At first it could have been a burst.
    assert!(longest < QUEUE_STANDS + Duration::from_millis(50), "{longest:?}");
}

#[test]
fn a_polite_trunk_loses_nothing_beside_one_that_sends_ten_times_its_share() {
    let mut senders = [sender(0, 0, 5_000), sender(1, 0, 450)];
    serve(&mut senders, 10);
    let [flood, polite] = senders;
    assert_eq!(polite.shed, 0, "of {}", polite.taken);
    assert!(polite.taken > 4_450, "{}", polite.taken);
    assert!(
        flood.taken > 5_000,
        "the flood gets what is left: {}",
        flood.taken
    );
}

#[test]
fn a_polite_address_loses_nothing_beside_another_of_its_trunk() {
    let mut senders = [sender(0, 3, 5_000), sender(0, 4, 450)];
    serve(&mut senders, 5);
    let [flood, polite] = senders;
    assert_eq!(polite.shed, 0, "of {}", polite.taken);
    assert!(flood.taken > 2_500 && flood.shed > 15_000);
}

#[test]
fn a_burst_passes_whole() {
    let mut lines = Lines::default();
    for n in 0..200 {
        assert_eq!(lines.push(at(0), Whose::Trunk(0, n), Priority::Call, n), Ok(()));
    }
    for n in 1..=200 {
        let popped = lines.pop(at(n * 1_000));
        assert!(matches!(popped, Some((_, Verdict::Taken))), "{popped:?}");
    }
    assert!(lines.is_empty());
}

#[test]
fn only_calls_are_refused_and_emergency_calls_come_first() {
    let late = at(1_000_000);
    let mut lines = Lines::default();
    for (n, priority) in [
        Priority::Call,
        Priority::Served,
        Priority::Emergency,
        Priority::Call,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(lines.push(at(0), Whose::Trunk(0, 0), priority, n), Ok(()));
    }
    let popped: Vec<_> = std::iter::from_fn(|| lines.pop(late)).collect();
    let (taken, shed) = (Verdict::Taken, Verdict::Shed);
    assert_eq!(popped, [(2, taken), (0, shed), (1, taken), (3, shed)]);
}

#[test]
fn a_flood_of_what_is_never_refused_leaves_room_for_other_trunks() {
    for priority in [Priority::Served, Priority::Emergency] {
        let mut lines = Lines::default();
        for n in 0..2 * SHARD_QUEUE {
            assert_eq!(lines.push(at(0), Whose::Trunk(0, n as u64), priority, n), Ok(()));
        }
        let polite = lines.push(at(0), Whose::Trunk(1, 0), Priority::Call, 77_777);
        assert!(
            matches!(polite, Err(Out::Lost(n)) if n < 2 * SHARD_QUEUE),
            "{polite:?}"
        );
        let firsts = [lines.pop(at(0)), lines.pop(at(0))].map(|popped| popped.map(|(n, _)| n));
        assert!(firsts.contains(&Some(77_777)), "{firsts:?}");
        let left = std::iter::from_fn(|| lines.pop(at(0))).count();
        assert_eq!(left, 2 * SHARD_QUEUE - 2);
    }
}

#[test]
fn without_room_the_longest_line_gives_way_and_strangers_are_lost() {
    let mut lines = Lines::default();
    let flood = Whose::Trunk(0, 0);
    for n in 0..SHARD_QUEUE {
        assert_eq!(lines.push(at(0), flood, Priority::Call, n), Ok(()));
    }
    let newest = SHARD_QUEUE - 1;
    let polite = Whose::Trunk(1, 0);
    assert_eq!(
        lines.push(at(0), polite, Priority::Call, 77_777),
        Err(Out::Shed(newest))
    );
    assert_eq!(
        lines.push(at(0), flood, Priority::Served, 0),
        Ok(()),
        "a CANCEL has room"
    );
    let firsts = [lines.pop(at(0)), lines.pop(at(0))].map(|popped| popped.map(|(n, _)| n));
    assert_eq!(firsts, [Some(0), Some(77_777)]);
    for n in 0..STRANGERS_QUEUE {
        assert_eq!(lines.push(at(0), Whose::Stranger, Priority::Call, n), Ok(()));
    }
    let one_more = lines.push(at(0), Whose::Stranger, Priority::Call, 9);
    assert_eq!(one_more, Err(Out::Lost(9)));
}

#[test]
fn under_a_new_conf_everybody_keeps_a_place() {
    let mut lines = Lines::default();
    for n in 0..4_u64 {
        assert_eq!(
            lines.push(at(0), Whose::Trunk(n as usize, n), Priority::Call, n),
            Ok(())
        );
    }
    lines.sort_anew(at(0), |n| {
        if *n < 2 {
            Whose::Stranger
        } else {
            Whose::Trunk(0, *n)
        }
    });
    let popped: Vec<_> = std::iter::from_fn(|| lines.pop(at(0))).map(|(n, _)| n).collect();
    assert_eq!(popped, [2, 3, 0, 1]);
}

#[test]
fn the_first_line_says_how_a_request_waits() {
    for (line, priority) in [
        ("INVITE sip:17000000001@127.0.0.1 SIP/2.0", Priority::Call),
        ("INVITE sip:110@127.0.0.1 SIP/2.0", Priority::Emergency),
        ("INVITE SIP:112;phone-context=+86@x SIP/2.0", Priority::Emergency),
        ("INVITE tel:911 SIP/2.0", Priority::Emergency),
        ("INVITE urn:service:sos.fire SIP/2.0", Priority::Emergency),
        ("INVITE sip:1101@127.0.0.1 SIP/2.0", Priority::Call),
        ("INVITE sip:911.example.net SIP/2.0", Priority::Call),
        ("OPTIONS sip:110@127.0.0.1 SIP/2.0", Priority::Served),
        ("CANCEL sip:17000000001@127.0.0.1 SIP/2.0", Priority::Served),
    ] {
        assert_eq!(Priority::of(line.as_bytes()), priority, "{line}");
    }
}

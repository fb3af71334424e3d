//! Pauses: what is said in them is nobody's.

use super::*;

/// What is said in a pause, and nowhere else.
const SECRET: u8 = 0x2a;

/// Three seconds on each side; what is said from 1,000 to 2,000 ms is secret. Packets come `late_ms` after they were said.
fn call(late_ms: impl Fn(usize) -> u64) -> Vec<Sent> {
    let mut sent = Vec::new();
    for channel in [Channel::Caller, Channel::Callee] {
        let mut codes = [0x90; 24_000];
        codes[8_000..16_000].fill(SECRET);
        for (index, packet) in paced(&codes, 160, 0, Coding::A).into_iter().enumerate() {
            let at = packet.at + Duration::from_millis(late_ms(index));
            sent.push(Sent {
                at,
                channel,
                ..packet
            });
        }
    }
    sent.sort_by_key(|packet| packet.at);
    sent
}

/// The call with a pause from 1,000 to 2,000 ms, of which somebody hears `told_ms` later.
fn paused(rate: Rate, sent: &[Sent], told_ms: u64, mut watch: impl FnMut(&Stereo, Instant)) -> Played {
    let mut stereo = Stereo::new(rate, BEGUN);
    let mut played = Played::default();
    let (mut is_paused, mut is_resumed) = (false, false);
    for packet in sent {
        if !is_paused && packet.at >= ms(1_000 + told_ms) {
            stereo.pause(ms(1_000));
            is_paused = true;
        }
        if !is_resumed && packet.at >= ms(2_000 + told_ms) {
            stereo.resume(ms(2_000));
            is_resumed = true;
        }
        stereo.hear(&packet.heard());
        watch(&stereo, packet.at);
        played.add_all(&mut stereo, packet.at);
    }
    stereo.end(ms(3_100));
    played.add_all(&mut stereo, ms(3_100));
    played
}

const MARKS: [Mark; 2] = [
    Mark {
        at: 8_000,
        what: What::Paused,
    },
    Mark {
        at: 16_000,
        what: What::Resumed,
    },
];

#[test]
fn nothing_that_is_said_in_a_pause_is_recorded() {
    let secret = Law::A.decode(SECRET);
    let open = Law::A.decode(0x90);
    let jitter = |index: usize| index as u64 * 7 % 4 * 15;
    for (told_ms, sent) in [
        (0, call(|_| 0)),
        (0, call(jitter)),
        (300, call(|_| 0)),
        (300, call(jitter)),
    ] {
        let played = paused(Rate::Narrow, &sent, told_ms, |_, _| {});
        for side in [&played.left, &played.right] {
            assert!(!side.contains(&secret), "told {told_ms} ms later");
            assert!(side[8_000..16_000].iter().all(|sample| *sample == 0));
            assert!(side[..7_500].iter().all(|sample| *sample == open));
            // Whoever hears of its end late misses so much more.
            let resumed = 16_000 + told_ms as usize * 8 + 500;
            assert!(
                side[resumed..23_800].iter().all(|sample| *sample == open),
                "{told_ms}"
            );
        }
        assert_eq!(played.marks, MARKS);
    }
}

#[test]
fn what_was_said_in_a_pause_and_comes_after_it_is_not_recorded() {
    // The network holds everything up for 300 ms around the end of the pause.
    let held = |index: usize| {
        let said = index as u64 * 20;
        if (1_800..2_100).contains(&said) {
            2_100 - said
        } else {
            0
        }
    };
    for rate in [Rate::Narrow, Rate::Wide] {
        let played = paused(rate, &call(held), 0, |_, _| {});
        let resumed = 2 * rate.hz() as usize;
        for side in [&played.left, &played.right] {
            assert!(side[resumed / 2..resumed].iter().all(|sample| *sample == 0));
            // The secret is ten times as loud as all else.
            assert!(side.iter().all(|sample| sample.unsigned_abs() < 4_000));
            assert!(
                side[resumed + 200..resumed + 8_000]
                    .iter()
                    .all(|sample| *sample != 0)
            );
        }
    }
}

#[test]
fn no_buffer_holds_what_is_said_in_a_pause() {
    let mut looked = 0;
    paused(Rate::Narrow, &call(|_| 0), 0, |stereo, now| {
        if now >= ms(1_000) && now < ms(2_000) {
            looked += 1;
            for track in &stereo.tracks {
                assert!(!track.holds_code(SECRET));
            }
        }
    });
    assert_eq!(looked, 100);
}

#[test]
fn a_loss_in_a_pause_is_nobodys_and_one_behind_it_is_told() {
    let mut sent = call(|_| 0);
    sent.retain(|packet| !(60..65).contains(&packet.seq) && packet.seq != 120);
    let played = paused(Rate::Narrow, &sent, 0, |_, _| {});
    let lost = |channel| What::Lost {
        channel,
        packets: 1,
        samples: 160,
    };
    let [paused, resumed] = MARKS.map(|mark| mark.what);
    assert_eq!(
        played.whats(),
        [paused, resumed, lost(Channel::Caller), lost(Channel::Callee)]
    );
}

#[test]
fn a_pause_within_a_pause_and_an_end_without_one_change_nothing() {
    let mut stereo = Stereo::new(Rate::Narrow, BEGUN);
    stereo.resume(ms(100));
    stereo.pause(ms(200));
    stereo.pause(ms(300));
    stereo.resume(ms(400));
    stereo.resume(ms(500));
    stereo.end(ms(1_000));
    let mut played = Played::default();
    played.add_all(&mut stereo, ms(1_000));
    let wanted = [(1_600, What::Paused), (3_200, What::Resumed)].map(|(at, what)| Mark { at, what });
    assert_eq!(played.marks, wanted);
    stereo.pause(ms(1_100));
    assert_eq!(stereo.poll(ms(1_100)), None, "over is over");
}

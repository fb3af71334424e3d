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
    // Heard before the end of the pause, and told after it.
    let mut stereo = Stereo::new(Rate::Narrow, BEGUN);
    stereo.pause(ms(1_000));
    stereo.resume(ms(2_000));
    for packet in &call(|_| 0)[..200] {
        stereo.hear(&packet.heard());
        assert!(!stereo.tracks.iter().any(|track| track.holds_code(SECRET)));
    }
}

#[test]
fn no_buffer_keeps_what_was_heard_before_the_pause_was_told() {
    for rate in [Rate::Narrow, Rate::Wide] {
        let mut stereo = Stereo::new(rate, BEGUN);
        let mut sent = call(|_| 0);
        // A clock that is slow: packets are stretched.
        for packet in &mut sent {
            packet.at = packet.at + Duration::from_millis(u64::from(packet.seq) / 8);
        }
        for packet in sent.iter().filter(|packet| packet.at < ms(1_900)) {
            stereo.hear(&packet.heard());
            while let Some(block) = stereo.poll(packet.at) {
                stereo.reuse(block.frames);
            }
        }
        let is_wiped = |stereo: &Stereo| {
            let mut tracks = stereo.tracks.iter();
            (tracks.all(Track::is_wiped), stereo.sheet.timeline.is_wiped())
        };
        assert_eq!(is_wiped(&stereo), (false, false), "{rate:?}");
        stereo.pause(ms(1_000));
        assert_eq!(is_wiped(&stereo), (true, true), "{rate:?}");
    }
}

#[test]
fn a_channel_that_runs_ahead_of_its_time_is_wiped_out_from_as_much_earlier() {
    let mut stereo = Stereo::new(Rate::Narrow, BEGUN);
    let mut played = Played::default();
    let pause = ms(11_600);
    for index in 0..600_u32 {
        // The way becomes longer by 80 ms, which is believed once it was so for ten seconds.
        let late_ms = if index < 50 { 0 } else { 80 };
        let at = ms(u64::from(index) * 20 + late_ms);
        if at >= pause + Duration::from_millis(460) {
            break;
        }
        let code = if at >= pause { SECRET } else { 0x90 };
        let packet = Sent::audio(at, index as u16, index * 160, Coding::A, &[code; 160]);
        stereo.hear(&packet.heard());
        played.add_all(&mut stereo, at);
    }
    stereo.pause(pause);
    stereo.end(ms(13_000));
    played.add_all(&mut stereo, ms(13_000));
    assert!(!played.left.contains(&Law::A.decode(SECRET)));
}

#[test]
fn who_is_another_one_after_a_pause_is_said_to_be_after_it() {
    let mut sent = call(|_| 0);
    for packet in sent.iter_mut().filter(|packet| packet.seq >= 70) {
        packet.ssrc = 9;
    }
    let played = paused(Rate::Narrow, &sent, 0, |_, _| {});
    let [paused, resumed] = MARKS.map(|mark| mark.what);
    let restarted = [Channel::Caller, Channel::Callee].map(|channel| What::Restarted { channel });
    assert_eq!(played.whats(), [paused, resumed, restarted[0], restarted[1]]);
}

#[test]
fn a_pause_at_the_very_end_is_marked() {
    for end_ms in [1_000, 1_250] {
        let mut stereo = Stereo::new(Rate::Narrow, BEGUN);
        stereo.pause(ms(end_ms));
        stereo.end(ms(end_ms));
        let mut played = Played::default();
        played.add_all(&mut stereo, ms(end_ms));
        let at = end_ms * 8;
        let what = What::Paused;
        assert_eq!(
            (played.marks, played.left.len() as u64),
            (vec![Mark { at, what }], at)
        );
    }
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

//! Streams that jump, stop, or are other ones all at once.

use super::*;

/// A second of a tone, then one that begins anew as `change` says, both in packets of 20 ms.
fn changed(change: impl Fn(&mut Sent)) -> (Played, Vec<i16>) {
    let (codes, decoded) = tone(440, 16_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    sent.iter_mut().skip(50).for_each(change);
    sent.sort_by_key(|packet| packet.at);
    let end = sent
        .last()
        .map_or(0, |packet| (packet.at - BEGUN).as_millis() as u64 + 1_000);
    (record(Rate::Narrow, &sent, end / 20 * 20), decoded)
}

const RESTARTED: What = What::Restarted {
    channel: Channel::Caller,
};

#[test]
fn another_ssrc_goes_on_where_it_is_heard() {
    let (played, decoded) = changed(|packet| {
        packet.ssrc = 9;
        packet.seq = packet.seq.wrapping_add(40_000);
        packet.timestamp = packet.timestamp.wrapping_add(3_000_000_000);
    });
    same(&played.left[..16_000], &decoded, ());
    assert_eq!(
        played.marks,
        [Mark {
            at: 8_000,
            what: RESTARTED
        }]
    );
}

#[test]
fn a_clock_that_jumps_is_followed_from_the_first_packet_on() {
    for jump in [
        8_000_i32,
        1_000_000,
        i32::MAX,
        -4_000,
        -8_000,
        -1_000_000,
        i32::MIN,
    ] {
        let (played, decoded) = changed(|packet| {
            packet.timestamp = packet.timestamp.wrapping_add_signed(jump);
        });
        same(&played.left[..16_000], &decoded, jump);
        let restarted = Mark {
            at: 8_000,
            what: RESTARTED,
        };
        assert_eq!(played.marks, [restarted], "{jump}");
    }
}

#[test]
fn numbers_that_jump_are_followed_too() {
    let (played, decoded) = changed(|packet| packet.seq = packet.seq.wrapping_add(20_000));
    same(&played.left[..16_000], &decoded, ());
    assert_eq!(played.whats(), [RESTARTED]);
}

#[test]
fn a_hold_during_which_the_clock_stood_still_is_silence() {
    for hold_ms in [600, 5_000, 30_000] {
        let (played, decoded) = changed(|packet| packet.at = packet.at + Duration::from_millis(hold_ms));
        let resumed = 8_000 + hold_ms as usize * 8;
        same(&played.left[..8_000], &decoded[..8_000], hold_ms);
        assert!(
            played.left[8_000..resumed].iter().all(|sample| *sample == 0),
            "{hold_ms}"
        );
        same(&played.left[resumed..resumed + 8_000], &decoded[8_000..], hold_ms);
        assert_eq!(played.whats(), [RESTARTED], "{hold_ms}");
    }
}

#[test]
fn a_clock_that_begins_anew_after_a_long_silence_is_followed() {
    for back in [2_000, 8_000, 1_000_000] {
        let (played, decoded) = changed(|packet| {
            packet.at = packet.at + Duration::from_secs(12);
            packet.timestamp = packet.timestamp.wrapping_sub(back);
        });
        same(&played.left[104_000..112_000], &decoded[8_000..], back);
        assert_eq!(played.whats(), [RESTARTED], "{back}");
    }
}

#[test]
fn a_stray_packet_is_left_out() {
    let (codes, decoded) = tone(440, 16_000);
    for (seq, timestamp) in [
        (30_000, 4_800),
        (30, 4_000_000),
        (30, 0_u32.wrapping_sub(9_000_000)),
    ] {
        let mut sent = paced(&codes, 160, 0, Coding::A);
        let stray = Sent::audio(sent[30].at, seq, timestamp, Coding::A, &[0x2a; 160]);
        sent.insert(30, stray);
        let played = record(Rate::Narrow, &sent, 2_000);
        same(&played.left, &decoded, (seq, timestamp));
        assert_eq!(played.marks, []);
    }
}

#[test]
fn what_the_network_held_up_lies_where_it_was_said() {
    let (codes, decoded) = tone(440, 16_000);
    // Whatever was sent in the meantime comes at once.
    for held_ms in [300, 600, 740] {
        let mut sent = paced(&codes, 160, 0, Coding::A);
        let (from, until) = (ms(1_000), ms(1_000 + held_ms));
        for packet in sent
            .iter_mut()
            .filter(|packet| packet.at >= from && packet.at < until)
        {
            packet.at = until;
        }
        let played = record(Rate::Narrow, &sent, 2_000);
        same(&played.left, &decoded, held_ms);
        assert_eq!(played.marks, [], "{held_ms}: its block was open still");
    }
    // And of what is longer ago than anything waits, it is said that it is lost.
    for (from_ms, until_ms, lost) in [(400, 1_600, 3_200..8_000), (1_000, 1_900, 8_000..10_000)] {
        let mut sent = paced(&codes, 160, 0, Coding::A);
        for packet in sent
            .iter_mut()
            .filter(|packet| packet.at >= ms(from_ms) && packet.at < ms(until_ms))
        {
            packet.at = ms(until_ms);
        }
        let played = record(Rate::Narrow, &sent, 2_000);
        let mut wanted = decoded.clone();
        wanted[lost.clone()].fill(0);
        same(&played.left, &wanted, from_ms);
        let what = What::Lost {
            channel: Channel::Caller,
            packets: lost.len().div_ceil(160) as u64,
            samples: lost.len() as u64,
        };
        let at = lost.start as u64;
        assert_eq!(played.marks, [Mark { at, what }]);
    }
}

#[test]
fn a_shorter_way_is_followed_little_by_little() {
    let (codes, _) = tone(440, 160_000);
    for shorter_ms in [60, 120, 190] {
        let mut sent = paced(&codes, 160, 200, Coding::A);
        for packet in sent.iter_mut().skip(100) {
            packet.at = BEGUN + ((packet.at - BEGUN) - Duration::from_millis(shorter_ms));
        }
        sent.sort_by_key(|packet| packet.at);
        let played = record(Rate::Narrow, &sent, 20_500);
        assert_eq!(played.marks, [], "{shorter_ms}");
        let (first, last) = (
            played.left.iter().position(|sample| *sample != 0),
            played.left.iter().rposition(|sample| *sample != 0),
        );
        let (first, last) = (first.expect("a tone"), last.expect("a tone"));
        assert!(first.abs_diff(1_600) < 2, "{shorter_ms}: {first}");
        let wanted = 161_600 - shorter_ms as usize * 8;
        assert!(last.abs_diff(wanted) < 20, "{shorter_ms}: {last}");
        let rough = roughest(&played.left[first + 8..last - 8], 440.0, Rate::Narrow);
        assert!(rough < 1_200.0, "no click: {shorter_ms} {rough}");
    }
}

#[test]
fn a_channel_that_is_far_from_its_clock_is_put_there_at_once() {
    let (codes, _) = tone(440, 160_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    // Less than a jump, but for good.
    for packet in sent.iter_mut().skip(100) {
        packet.at = packet.at + Duration::from_millis(300);
    }
    let played = record(Rate::Narrow, &sent, 20_500);
    let last = played
        .left
        .iter()
        .rposition(|sample| *sample != 0)
        .expect("a tone");
    assert!(last.abs_diff(162_400) < 20, "{last}");
    assert_eq!(played.whats(), [RESTARTED]);
}

#[test]
fn who_runs_behind_says_nothing_over_what_was_said() {
    let mut sent = Vec::new();
    for index in 0..150_u8 {
        // Each packet has a sample of its own. The way becomes shorter by 60 ms, and then one is lost.
        let late_ms = if index < 100 { 60 } else { 0 };
        let at = ms(u64::from(index) * 20 + late_ms);
        let timestamp = u32::from(index) * 160;
        sent.push(Sent::audio(
            at,
            index.into(),
            timestamp,
            Coding::Mu,
            &[index; 160],
        ));
    }
    sent.remove(103);
    sent.sort_by_key(|packet| packet.at);
    let played = record(Rate::Narrow, &sent, 4_000);
    // The code 127 is silence.
    for index in (1..149_u8).filter(|index| ![103, 127].contains(index)) {
        let sample = Law::Mu.decode(index);
        let count = played.left.iter().filter(|s| **s == sample).count();
        assert!((150..=160).contains(&count), "packet {index}: {count}");
    }
}

#[test]
fn a_stream_that_jumps_is_followed_even_if_its_packets_come_twice_or_swapped() {
    let (codes, decoded) = tone(440, 16_000);
    let hold = |packet: &mut Sent| packet.at = packet.at + Duration::from_secs(5);
    let jump = |packet: &mut Sent| packet.timestamp = packet.timestamp.wrapping_add(1_000_000);
    for (change, from) in [(&hold as &dyn Fn(&mut Sent), 48_000), (&jump, 8_000)] {
        let mut sent = paced(&codes, 160, 0, Coding::A);
        sent.iter_mut().skip(50).for_each(change);
        let twice: Vec<Sent> = sent.iter().flat_map(|packet| [packet, packet]).cloned().collect();
        let mut swapped = sent.clone();
        for [one, next] in swapped.as_chunks_mut::<2>().0 {
            one.at = next.at;
            std::mem::swap(one, next);
        }
        for sent in [twice, swapped] {
            let played = record(Rate::Narrow, &sent, 8_000);
            same(&played.left[..8_000], &decoded[..8_000], from);
            same(&played.left[from..from + 8_000], &decoded[8_000..], from);
            assert_eq!(played.whats(), [RESTARTED], "{from}");
        }
    }
}

#[test]
fn a_stray_packet_that_comes_again_and_again_is_no_stream() {
    let (codes, decoded) = tone(440, 16_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    sent.drain(50..60);
    for n in 0..10 {
        let at = ms(1_000 + n * 20);
        sent.insert(50, Sent::audio(at, 30_000, 4_000_000, Coding::A, &[0x2a; 160]));
    }
    sent.sort_by_key(|packet| packet.at);
    let played = record(Rate::Narrow, &sent, 2_000);
    same(&played.left[..8_000], &decoded[..8_000], ());
    same(&played.left[9_600..], &decoded[9_600..], ());
    assert!(played.left[8_000..9_600].iter().all(|sample| *sample == 0));
}

/// A second of a tone, a hold of a second during which the clock stood still, and so many packets; what of it is
/// recorded up to `last` later, which ends it.
fn held(packets: usize, last: impl Fn(&mut Stereo, Instant)) -> (Played, Vec<i16>) {
    let (codes, decoded) = tone(440, 16_000);
    let mut stereo = Stereo::new(Rate::Narrow, BEGUN);
    let mut played = Played::default();
    let mut now = BEGUN;
    for mut packet in paced(&codes, 160, 0, Coding::A).into_iter().take(50 + packets) {
        if packet.seq >= 50 {
            packet.at = packet.at + Duration::from_secs(1);
        }
        now = packet.at;
        stereo.hear(&packet.heard());
        played.add_all(&mut stereo, now);
    }
    last(&mut stereo, now + Duration::from_millis(20));
    stereo.end(ms(4_000));
    played.add_all(&mut stereo, ms(4_000));
    (played, decoded)
}

#[test]
fn what_begins_anew_right_before_a_pause_or_the_end_is_recorded() {
    let (ended, decoded) = held(3, |stereo, now| stereo.end(now));
    let (paused, _) = held(3, |stereo, now| stereo.pause(now));
    for played in [&ended, &paused] {
        same(&played.left[16_000..16_480], &decoded[8_000..8_480], ());
        assert_eq!(
            played.marks[0],
            Mark {
                at: 16_000,
                what: RESTARTED
            }
        );
    }
    assert_eq!(ended.marks.len(), 1);
    assert_eq!(paused.whats(), [RESTARTED, What::Paused]);
}

#[test]
fn a_last_packet_that_fits_nowhere_is_lost_and_marked() {
    let (played, _) = held(1, |stereo, now| stereo.end(now));
    assert_eq!(played.left.len(), 16_160);
    assert!(played.left[8_000..].iter().all(|sample| *sample == 0));
    let what = What::Lost {
        channel: Channel::Caller,
        packets: 1,
        samples: 160,
    };
    assert_eq!(played.marks, [Mark { at: 16_000, what }]);
}

#[test]
fn what_fits_together_but_goes_nowhere_is_lost_and_marked() {
    let (codes, decoded) = tone(440, 16_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    // Four packets by one clock, and what follows by another one.
    for packet in &mut sent[50..54] {
        packet.timestamp += 1_000_000;
    }
    for packet in &mut sent[54..] {
        packet.timestamp += 3_000_000;
    }
    let played = record(Rate::Narrow, &sent, 2_000);
    same(&played.left[..8_000], &decoded[..8_000], ());
    same(&played.left[8_640..], &decoded[8_640..], ());
    let what = What::Lost {
        channel: Channel::Caller,
        packets: 4,
        samples: 640,
    };
    let marks = [(8_000, what), (8_640, RESTARTED)].map(|(at, what)| Mark { at, what });
    assert_eq!(played.marks, marks);
}

#[test]
fn what_the_network_held_up_until_the_end_lies_where_it_was_said() {
    let (codes, decoded) = tone(440, 8_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    for packet in &mut sent[20..24] {
        packet.at = ms(990);
    }
    let played = record(Rate::Narrow, &sent[..24], 1_000);
    same(&played.left[..3_840], &decoded[..3_840], ());
    assert!(played.left[3_840..].iter().all(|sample| *sample == 0));
    assert_eq!(played.marks, []);
}

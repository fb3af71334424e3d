//! Streams whose first packets come at once: they had waited where nobody took them.

use super::*;

/// Packets of a tone, of which all that were sent before `held_ms` come then, all at once.
fn held_until(held_ms: u64) -> (Vec<Sent>, Vec<i16>) {
    let (codes, decoded) = tone(440, 24_000);
    let mut sent = paced(&codes, 160, 0, Coding::A);
    for packet in &mut sent {
        packet.at = packet.at.max(ms(held_ms));
    }
    (sent, decoded)
}

/// What of these packets is in a recording that begins so late.
fn begun_at(begun_ms: u64, sent: &[Sent]) -> Played {
    let mut stereo = Stereo::new(Rate::Narrow, ms(begun_ms));
    let mut played = Played::default();
    for (packet, next) in sent.iter().zip(sent.iter().skip(1).map(Some).chain([None])) {
        stereo.hear(&packet.heard());
        // All of a moment is there before anybody asks.
        if next.is_none_or(|next| next.at > packet.at) {
            played.add_all(&mut stereo, packet.at);
        }
    }
    stereo.end(ms(3_000));
    played.add_all(&mut stereo, ms(3_000));
    played
}

#[test]
fn what_was_said_before_the_begin_is_left_out_and_what_follows_lies_at_its_time() {
    for (begun_ms, held_ms) in [
        (20, 20),
        (40, 50),
        (170, 170),
        (200, 205),
        (500, 500),
        (700, 900),
        (990, 990),
    ] {
        let (sent, decoded) = held_until(held_ms);
        let played = begun_at(begun_ms, &sent);
        // From the first sample on, and nothing was stretched.
        same(
            &played.left,
            &decoded[begun_ms as usize * 8..],
            (begun_ms, held_ms),
        );
        assert_eq!(played.marks, [], "{begun_ms} {held_ms}");
    }
}

#[test]
fn what_came_at_once_at_the_begin_of_a_stream_lies_where_it_was_said() {
    for held_ms in [30, 60, 210, 390, 600, 740, 940] {
        let (sent, decoded) = held_until(held_ms);
        let played = begun_at(0, &sent);
        same(&played.left, &decoded, held_ms);
        assert_eq!(played.marks, [], "{held_ms}");
    }
}

#[test]
fn what_is_laid_before_its_stream_is_known_lies_within_a_packet_of_where_it_was_said() {
    // The newest of the first packets was sent 10 ms before it came, and the first block closes then.
    let (sent, decoded) = held_until(950);
    let played = begun_at(0, &sent);
    same(&played.left[80..2_000], &decoded[..1_920], "10 ms late");
    same(&played.left[12_000..], &decoded[12_000..], "and then at its time");
    assert_eq!(played.marks, []);
}

#[test]
fn the_first_packets_of_a_new_source_that_come_at_once_lie_where_they_were_said() {
    for held_ms in [60, 210, 600] {
        let (mut sent, decoded) = held_until(0);
        for packet in sent.iter_mut().skip(50) {
            packet.ssrc = 9;
            packet.seq += 1_000;
            packet.timestamp += 100_000;
            packet.at = packet.at.max(ms(1_000 + held_ms));
        }
        let played = begun_at(0, &sent);
        same(&played.left, &decoded, held_ms);
    }
}

#[test]
fn the_first_packets_may_be_late_each_by_itself() {
    let (mut sent, decoded) = held_until(0);
    // A machine that has much to do at first, and less and less.
    for (index, packet) in sent.iter_mut().take(20).enumerate() {
        packet.at = packet.at + Duration::from_millis(150 - 7 * index as u64);
    }
    let played = begun_at(20, &sent);
    same(&played.left, &decoded[160..], ());
    assert_eq!(played.marks, []);
}

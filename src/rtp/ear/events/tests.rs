use super::*;

/// A packet of a key, as a script has it: `ms` when it comes, stream, sequence number, timestamp, letter, end, ticks.
type Sent = (u64, u32, u16, u32, u8, bool, u16);

/// What is heard of these packets under a number that was agreed on: letters as they are pressed, and as they are let go with
/// the milliseconds that they were down.
fn heard(packets: &[Sent]) -> (String, Vec<(char, u128)>) {
    heard_under(Number::Agreed(8_000), packets)
}

fn heard_under(number: Number, packets: &[Sent]) -> (String, Vec<(char, u128)>) {
    let mut events = Events::default();
    let (mut down, mut up) = (String::new(), Vec::new());
    for (ms, ssrc, seq, timestamp, letter, is_end, ticks) in packets.iter().copied() {
        let header = Header {
            marker: false,
            payload_type: 101,
            seq,
            timestamp,
            ssrc,
        };
        let code = Key::of(letter).expect("a key").code();
        let [high, low] = ticks.to_be_bytes();
        let payload = [code, if is_end { END | 10 } else { 10 }, high, low];
        let now = Instant::default() + Duration::from_millis(ms);
        for stroke in events.hear(now, &header, number, &payload) {
            match stroke {
                Stroke::Down(key) => down.push(char::from(key.letter())),
                Stroke::Up(digit) => up.push((char::from(digit.key.letter()), digit.lasts.as_millis())),
            }
        }
    }
    (down, up)
}

/// A key as phones send it: a packet each `step` ms while it is down for `ms`, and its end three times.
fn key(letter: u8, at: u64, ssrc: u32, seq: u16, timestamp: u32, ms: u64, step: u64) -> Vec<Sent> {
    let steps = ms / step;
    let packet = |n: u64| {
        let at = at + step * n.min(steps + 2);
        let ticks = (n.min(steps) * step * 8) as u16;
        let seq = seq.wrapping_add(n as u16 - 1);
        (at, ssrc, seq, timestamp, letter, n >= steps, ticks)
    };
    (1..=steps + 2).map(packet).collect()
}

#[test]
fn a_key_is_pressed_with_its_first_packet_and_let_go_with_its_first_end() {
    for step in [10, 20, 30] {
        let said = key(b'5', 0, 1, 1, 1_000, 120, step);
        assert_eq!(heard(&said[..1]), ("5".into(), vec![]), "{step} ms packets");
        assert_eq!(heard(&said), ("5".into(), vec![('5', 120)]), "{step} ms packets");
        // Whatever of it is lost.
        for lost in 0..said.len() {
            let (_, rest) = said.split_at(lost);
            assert_eq!(heard(rest).0, "5", "the first {lost} lost");
            let (rest, _) = said.split_at(said.len() - lost);
            assert_eq!(heard(rest).0, "5", "the last {lost} lost");
        }
    }
}

#[test]
fn keys_in_a_row_are_as_many_as_were_pressed() {
    let row = |steps: [u64; 4]| {
        let mut said = Vec::new();
        for (n, letter) in (0..).zip(*b"5507") {
            let at = 200 * n;
            let seq = 65_530_u16.wrapping_add(10 * n as u16);
            let timestamp = (u32::MAX - 2_000).wrapping_add(8 * at as u32);
            said.extend(key(letter, at, 1, seq, timestamp, 100, steps[n as usize]));
        }
        said
    };
    let plain = row([20; 4]);
    assert_eq!(heard(&plain).0, "5507");
    assert_eq!(heard(&row([20, 30, 10, 50])).0, "5507");
    // Each packet twice, at once or all of a key once more.
    let doubled: Vec<_> = plain.iter().flat_map(|packet| [*packet, *packet]).collect();
    assert_eq!(heard(&doubled).0, "5507");
    let again: Vec<_> = plain.chunks(7).flat_map(|one| [one, one].concat()).collect();
    assert_eq!(heard(&again).0, "5507");
    // Neighbours, and packets three apart, change places, within a key and from one to the next.
    for apart in [1, 2, 3] {
        for at in 0..plain.len() - apart {
            let mut turned = plain.clone();
            turned.swap(at, at + apart);
            let times: Vec<u64> = plain.iter().map(|packet| packet.0).collect();
            for (packet, at) in turned.iter_mut().zip(times) {
                packet.0 = at;
            }
            assert_eq!(heard(&turned).0, "5507", "{at} and {apart} further");
        }
    }
    // Nobody says ends.
    let endless: Vec<_> = plain.iter().filter(|packet| !packet.5).copied().collect();
    let (down, up) = heard(&endless);
    assert_eq!(down, "5507");
    assert_eq!(
        up.len(),
        3,
        "one that has no end is let go when the next is pressed"
    );
    // Only ends come.
    let ends: Vec<_> = plain.iter().filter(|packet| packet.5).copied().collect();
    assert_eq!(heard(&ends).0, "5507");
}

#[test]
fn a_stream_may_change_its_name_between_keys_and_in_the_middle_of_one() {
    let between = [
        key(b'1', 0, 7, 100, 90_000, 100, 20),
        key(b'1', 300, 8, 5, 40, 100, 20),
        key(b'2', 600, 7, 200, 95_000, 100, 20),
    ];
    assert_eq!(heard(&between.concat()).0, "112");
    // The other stream's timestamps and numbers say nothing to this one's.
    let mut amid = key(b'3', 0, 7, 100, 90_000, 160, 20);
    for (n, packet) in (0..).zip(&mut amid[4..]) {
        (packet.1, packet.2, packet.3) = (8, 60_000 + n, 5);
    }
    assert_eq!(heard(&amid), ("3".into(), vec![('3', 160)]));
    // One whose end was said is over, and so is one that pauses.
    let next = [
        key(b'3', 0, 7, 100, 90_000, 60, 20),
        key(b'3', 100, 8, 9, 5, 60, 20),
    ];
    assert_eq!(heard(&next.concat()).0, "33");
    let mut endless = next.concat();
    endless.retain(|packet| !packet.5);
    assert_eq!(heard(&endless).0, "33");
}

#[test]
fn a_key_that_is_held_is_one_however_its_packets_are_stamped() {
    // §2.5.1.3: in segments, of 8 s each.
    let mut said = Vec::new();
    for n in 0..600_u32 {
        let (segment, within) = (n / 409, n % 409);
        let ticks = if within == 408 {
            0xffff
        } else {
            (within as u16 + 1) * 160
        };
        let at = u64::from(n) * 20;
        said.push((at, 1, n as u16, 1_000 + segment * 0xffff, b'9', false, ticks));
    }
    assert_eq!(heard(&said).0, "9");
    // A timestamp for each packet, the duration growing or not.
    let growing = (0..10_u16).map(|n| {
        (
            u64::from(n) * 20,
            1,
            n,
            u32::from(n) * 160,
            b'9',
            n == 9,
            160 * (n + 1),
        )
    });
    assert_eq!(heard(&growing.collect::<Vec<_>>()).0, "9");
    let still = (0..10_u16).map(|n| (u64::from(n) * 20, 1, n, u32::from(n) * 160, b'9', n == 9, 160));
    assert_eq!(heard(&still.collect::<Vec<_>>()).0, "9");
}

#[test]
fn a_clock_that_stands_still_or_begins_anew_hides_no_key() {
    let still = [
        key(b'4', 0, 1, 100, 77, 100, 20),
        key(b'4', 200, 1, 107, 77, 100, 20),
        key(b'5', 400, 1, 114, 77, 100, 20),
    ];
    assert_eq!(heard(&still.concat()).0, "445");
    let mut endless = still.concat();
    endless.retain(|packet| !packet.5);
    assert_eq!(heard(&endless).0, "445");
    let anew = [
        key(b'4', 0, 1, 100, 1_000_000, 100, 20),
        key(b'4', 200, 1, 9_000, 5, 100, 20),
        // Older by its number, but nothing comes so late.
        key(b'6', 5_000, 1, 8_000, 90, 100, 20),
    ];
    assert_eq!(heard(&anew.concat()).0, "446");
}

#[test]
fn recordings_of_keys_that_are_played_in_any_order_all_count() {
    // One recording a key, all of one stream: whichever is played, its numbers are its own.
    let recording = |letter: u8| (1_000 + 34 * u16::from(letter - b'0'), 8_000 * u32::from(letter));
    for keys in ["1234", "8765", "7203", "9081726354"] {
        let played = keys.bytes().zip(0_u64..).flat_map(|(letter, n)| {
            let (seq, timestamp) = recording(letter);
            key(letter, n * 400, 1, seq, timestamp, 140, 20)
        });
        assert_eq!(heard(&played.collect::<Vec<_>>()).0, keys);
    }
    // What is late of a key is never a run of its packets.
    let (first, second) = (
        key(b'1', 0, 1, 1, 1_000, 120, 20),
        key(b'2', 200, 1, 9, 3_000, 120, 20),
    );
    let late = [first[0], first[1], first[3], first[2], first[5], first[4]].map(|mut packet| {
        packet.0 = 400;
        packet
    });
    assert_eq!(heard(&[second, late.to_vec()].concat()).0, "2");
}

/// These packets as they come of what the network has held up: the first of them then, and the others so far apart.
fn held_up(packets: &[Sent], ms: u64, apart: u64) -> Vec<Sent> {
    let mut packets = packets.to_vec();
    for (packet, n) in packets.iter_mut().zip(0..) {
        packet.0 = ms + n * apart;
    }
    packets
}

#[test]
fn a_key_that_was_held_up_is_not_pressed_behind_the_next() {
    let first = key(b'1', 0, 1, 1, 1_000, 120, 20);
    let second = key(b'2', 200, 1, 9, 3_000, 120, 20);
    let burst = held_up(&first, 400, 0);
    assert_eq!(
        heard(&[second.clone(), burst].concat()).0,
        "2",
        "it comes at once"
    );
    let trickle = held_up(&first, 400, 150);
    assert_eq!(heard(&[second, trickle].concat()).0, "2", "it trickles in");
    // As fast as it was pressed, but while the next is.
    let second = key(b'2', 200, 1, 9, 3_000, 300, 20);
    let among = held_up(&first, 210, 20);
    let both: Vec<Sent> = (second.chunks(2).zip(among.chunks(2)))
        .flat_map(|(live, late)| [live, late].concat())
        .collect();
    assert_eq!(heard(&both).0, "2", "it comes among the next one's packets");
    // Of a key that came long ago: all of its packets a second time.
    let keys = b"123456".iter().zip(0_u16..);
    let row: Vec<Vec<Sent>> = keys
        .map(|(letter, n)| {
            let at = u64::from(n) * 150;
            key(*letter, at, 1, 1 + 8 * n, 1_200 * u32::from(n), 100, 20)
        })
        .collect();
    let doubled = held_up(&row[0], 950, 0);
    assert_eq!(heard(&[row.concat(), doubled].concat()).0, "123456");
}

#[test]
fn a_sender_whose_numbers_begin_anew_is_heard_however_its_packets_waver() {
    let first = key(b'7', 0, 1, 900, 9_000, 120, 20);
    let second = key(b'2', 300, 1, 100, 1_000, 140, 20);
    // Two packets come together, and the next ones after a gap.
    for waver in [[0, 0, 0, 40, 0, 20, 0, 0, 0], [0, 35, 15, 0, 30, 10, 0, 0, 0]] {
        let mut second = second.clone();
        for (packet, late) in second.iter_mut().zip(waver) {
            packet.0 += late;
        }
        assert_eq!(heard(&[first.clone(), second].concat()).0, "72", "{waver:?}");
    }
    // As in some recordings, it says that it lasts twice as long as it does; a packet may be early, too.
    let second = key(b'2', 300, 1, 100, 1_000, 280, 40);
    for apart in [16, 20, 24] {
        let second = held_up(&second, 300, apart);
        assert_eq!(heard(&[first.clone(), second].concat()).0, "72", "{apart} ms");
    }
}

#[test]
fn what_has_the_shape_of_an_event_is_believed_when_it_comes_again() {
    let one = key(b'8', 0, 1, 1, 1_000, 100, 20);
    assert_eq!(heard_under(Number::Doubtful, &one[..1]).0, "");
    assert_eq!(
        heard_under(Number::Doubtful, &one),
        ("8".into(), vec![('8', 100)])
    );
    let apart: Vec<Sent> = (0..20_u16)
        .map(|n| (u64::from(n) * 20, 1, n, u32::from(n) * 960, b'8', false, 160))
        .collect();
    assert_eq!(heard_under(Number::Doubtful, &apart).0, "", "another each time");
    let one = key(b'8', 0, 1, 1, 1_000, 100, 20);
    let mixed = [&one[..1], &[(20, 2, 9, 7, b'3', false, 160)], &one[1..]].concat();
    assert_eq!(heard_under(Number::Doubtful, &mixed).0, "", "another meanwhile");
}

#[test]
fn what_is_no_key_is_not_heard() {
    let mut events = Events::default();
    let header = Header {
        marker: true,
        payload_type: 101,
        seq: 1,
        timestamp: 1,
        ssrc: 1,
    };
    let mut hear = |number, payload: &[u8]| events.hear(Instant::default(), &header, number, payload);
    let agreed = Number::Agreed(8_000);
    for payload in [
        &[][..],
        &[1],
        &[1, 10, 0],
        &[16, 10, 0, 160],
        &[255, 0x8a, 0, 160],
    ] {
        assert!(hear(agreed, payload).is_empty(), "{payload:?}");
        assert!(hear(Number::Doubtful, payload).is_empty(), "{payload:?}");
    }
    for payload in [&[1, 0x4a, 0, 160][..], &[1, 10, 0, 160, 0]] {
        assert!(hear(Number::Doubtful, payload).is_empty(), "{payload:?}");
        assert!(hear(Number::Doubtful, payload).is_empty(), "{payload:?}");
    }
    assert_eq!(hear(agreed, &[1, 10, 0, 160, 0]).len(), 1, "something behind it");
}

#[test]
fn keys_that_the_network_held_up_all_count_and_a_flood_does_not() {
    let flood = |count: u32, apart: u64| {
        let keys = (0..count).flat_map(|n| {
            let at = u64::from(n) * apart;
            let mut one = key(b'0' + (n % 10) as u8, at, 1, n as u16 * 5, n * 1_600, 60, 20);
            for packet in &mut one {
                packet.0 = at;
            }
            one
        });
        heard(&keys.collect::<Vec<_>>()).0.len()
    };
    assert_eq!(flood(12, 0), 12, "all at once");
    assert_eq!(flood(1_000, 50), 1_000, "fast fingers");
    assert!((900..=1_100).contains(&flood(4_000, 10)), "one in 40 ms");
}

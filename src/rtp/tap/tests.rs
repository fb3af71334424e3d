use std::collections::VecDeque;
use std::thread;

use proptest::prelude::*;

use super::*;

fn heard(seq: u16, payload: &[u8]) -> Heard<'_> {
    Heard {
        tap: Tap {
            recording: Id::from_bits(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
            channel: Channel::Callee,
        },
        at: Instant::from_micros(3_600_000_123),
        ssrc: 0xaabb_ccdd,
        seq,
        timestamp: u32::from(seq).wrapping_mul(160),
        clock_hz: 8_000,
        marker: false,
        payload_type: 8,
        coding: Some(Coding::A),
        is_event: false,
        is_back: false,
        payload,
    }
}

/// The sequence numbers and payloads that lie there.
fn taken(consumer: &mut Consumer) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    let count = consumer.take(|heard| all.push((heard.seq, heard.payload.to_vec())));
    assert_eq!(count, all.len());
    all
}

#[test]
fn a_packet_comes_out_as_it_went_in() {
    let (mut producer, mut consumer) = ring(10_000);
    let codings = [None, Some(Coding::A), Some(Coding::Mu), Some(Coding::G722)];
    for (seq, coding) in (65_534..=65_535).chain(0..2).zip(codings) {
        for channel in [Channel::Caller, Channel::Callee] {
            for (is_event, marker) in [(false, false), (false, true), (true, false), (true, true)] {
                let mut heard = heard(seq, &[7; 160]);
                (heard.coding, heard.tap.channel) = (coding, channel);
                (heard.is_event, heard.marker) = (is_event, marker);
                heard.clock_hz = if marker { 16_000 } else { 8_000 };
                heard.is_back = is_event != marker;
                producer.hear(&heard);
                let mut out = 0;
                consumer.take(|other| {
                    assert_eq!(*other, heard);
                    out += 1;
                });
                assert_eq!(out, 1);
            }
        }
    }
    producer.hear(&heard(1, &[]));
    assert_eq!(taken(&mut consumer), [(1, vec![])]);
    assert_eq!(taken(&mut consumer), []);
    assert_eq!(consumer.missed(), 0);
}

#[test]
fn a_full_ring_leaves_out_whole_packets_and_goes_on_when_there_is_room() {
    let (mut producer, mut consumer) = ring(2 * (HEAD_BYTES + 160));
    for seq in 0..5 {
        producer.hear(&heard(seq, &[seq as u8; 160]));
    }
    assert_eq!(consumer.missed(), 3);
    assert_eq!(
        taken(&mut consumer),
        [(0, vec![0; 160]), (1, vec![1; 160])],
        "what lay there first stays"
    );
    producer.hear(&heard(9, &[9; 160]));
    assert_eq!(taken(&mut consumer), [(9, vec![9; 160])]);
    assert_eq!(consumer.missed(), 3);
}

#[test]
fn packets_of_a_recording_come_together_and_in_their_order() {
    let (mut producer, mut consumer) = ring(10_000);
    for round in 0..3 {
        // Over the ring's end too.
        for seq in 0..12_u16 {
            let payload = [seq as u8; 160];
            let mut heard = heard(seq, &payload);
            heard.tap.recording = Id::from_bits([7, 3, 5][usize::from(seq % 3)]);
            producer.hear(&heard);
        }
        let of = |rest: u16| (0..12).filter(move |seq| seq % 3 == rest);
        let expected: Vec<_> = [1, 2, 0].into_iter().flat_map(of).collect();
        let all = taken(&mut consumer);
        assert!(all.iter().all(|(seq, payload)| *payload == [*seq as u8; 160]));
        let seqs: Vec<u16> = all.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, expected, "round {round}");
    }
}

#[test]
fn what_moves_packets_never_waits_for_who_records_even_in_the_middle_of_a_packet() {
    let (mut producer, mut consumer) = ring(10_000);
    producer.hear(&heard(0, &[7; 160]));
    let (stands, is_still) = std::sync::mpsc::channel();
    let (goes, may_go) = std::sync::mpsc::channel();
    let recorder = thread::spawn(move || {
        let mut said = Vec::new();
        consumer.take(|heard| {
            stands.send(()).expect("somebody waits for it");
            // As long as the disk, or whatever it is, likes.
            may_go.recv().expect("it is let go");
            said.push(heard.seq);
        });
        said.extend(taken(&mut consumer).iter().map(|(seq, _)| *seq));
        (said, consumer.missed())
    });
    is_still.recv().expect("it has begun");
    for seq in 1..=1_000 {
        producer.hear(&heard(seq, &[7; 160]));
    }
    goes.send(()).expect("it waits for it");
    let (said, missed) = recorder.join().expect("no panic");
    let room = 10_000 / (HEAD_BYTES + 160);
    assert_eq!(said, (0..room as u16).collect::<Vec<_>>(), "what had room");
    assert_eq!(missed, 1_001 - room as u64, "and what hadn't is counted");
}

#[test]
fn what_never_fits_is_left_out_and_counted() {
    let (mut producer, mut consumer) = ring(HEAD_BYTES + 10);
    producer.hear(&heard(0, &[0; 11]));
    producer.hear(&heard(1, &[1; 10]));
    assert_eq!(taken(&mut consumer), [(1, vec![1; 10])]);
    assert_eq!(consumer.missed(), 1);
    let (mut producer, mut consumer) = ring(10_000);
    producer.hear(&heard(0, &[0; MEDIA_DATAGRAM_BYTES_MAX + 1]));
    producer.hear(&heard(1, &[1; MEDIA_DATAGRAM_BYTES_MAX]));
    assert_eq!(
        taken(&mut consumer),
        [(1, vec![1; MEDIA_DATAGRAM_BYTES_MAX])],
        "longer than any packet"
    );
    assert_eq!(consumer.missed(), 1);
    let (mut producer, mut consumer) = ring(0);
    producer.hear(&heard(0, &[]));
    assert_eq!(taken(&mut consumer), []);
    assert_eq!(consumer.missed(), 1);
}

/// What is done with a ring.
#[derive(Clone, Debug)]
enum Act {
    /// A packet with so many bytes.
    Hear(usize),
    Take,
}

proptest! {
    #[test]
    fn whatever_its_size_a_ring_is_a_queue_of_whole_packets_with_so_many_bytes(
        bytes in 0_usize..700,
        acts in proptest::collection::vec(
            prop_oneof![4 => (0_usize..300).prop_map(Act::Hear), 1 => Just(Act::Take)],
            1..200,
        ),
    ) {
        let (mut producer, mut consumer) = ring(bytes);
        let (mut queue, mut used, mut missed) = (VecDeque::new(), 0, 0);
        for (seq, act) in (0_u16..).zip(acts) {
            match act {
                Act::Hear(length) => {
                    let payload: Vec<u8> = (0..length).map(|at| (at as u8) ^ (seq as u8)).collect();
                    producer.hear(&heard(seq, &payload));
                    if used + HEAD_BYTES + length <= bytes {
                        used += HEAD_BYTES + length;
                        queue.push_back((seq, payload));
                    } else {
                        missed += 1;
                    }
                }
                Act::Take => {
                    prop_assert_eq!(taken(&mut consumer), queue.drain(..).collect::<Vec<_>>());
                    used = 0;
                }
            }
            prop_assert_eq!(consumer.missed(), missed);
        }
        prop_assert_eq!(taken(&mut consumer), Vec::from(queue));
    }
}

#[test]
fn whose_packets_were_left_out_is_known_until_there_are_too_many() {
    let (mut producer, mut consumer) = ring(100);
    let mut miss = |recording: u128| {
        let mut heard = heard(1, &[7; 160]);
        heard.tap.recording = Id::from_bits(recording);
        producer.hear(&heard);
    };
    let mut missed_of = || {
        let mut of = Vec::new();
        let are_all = consumer.missed_of(|recording| of.push(recording.bits()));
        (of, are_all, consumer.missed())
    };
    assert_eq!(missed_of(), (vec![], true, 0));
    [3, 5, 3].into_iter().for_each(&mut miss);
    assert_eq!(missed_of(), (vec![3, 5, 3], true, 3));
    for _ in 0..=MISSED_NAMED_MAX {
        miss(7);
    }
    let (of, are_all, missed) = missed_of();
    let all = MISSED_NAMED_MAX as u64 + 4;
    assert_eq!((of.len(), are_all, missed), (MISSED_NAMED_MAX, false, all));
    assert_eq!(missed_of(), (vec![], true, all));
}

/// A payload of another length for each packet, and with other bytes.
fn payload(number: u32) -> Vec<u8> {
    let length = number.wrapping_mul(2_654_435_761) >> 24;
    (0..length).map(|at| (at ^ number ^ number >> 8) as u8).collect()
}

/// A writer on a thread of its own, which hears so many packets, each until `said` is content; and what of them comes
/// out, by their numbers. Torn is none.
fn across(packets: u32, said: impl Fn(bool) -> bool + Send + 'static) -> (Vec<u32>, u64) {
    // No multiple of anything: entries lie across its end everywhere.
    let (mut producer, mut consumer) = ring(1_009);
    let writer = thread::spawn(move || {
        let mut hear = |heard: &Heard<'_>| {
            let before = producer.missed.all.load(Ordering::Relaxed);
            producer.hear(heard);
            producer.missed.all.load(Ordering::Relaxed) == before
        };
        for number in 0..packets {
            let payload = payload(number);
            let heard = Heard {
                ssrc: number,
                ..heard(number as u16, &payload)
            };
            while !said(hear(&heard)) {
                thread::yield_now();
            }
        }
    });
    let mut numbers = Vec::new();
    loop {
        // Asked before looking: what is there after the writer's end is the rest.
        let is_over = writer.is_finished();
        consumer.take(|heard| {
            let number = heard.ssrc;
            assert_eq!(heard.seq, number as u16);
            assert_eq!(heard.payload, payload(number), "{number}");
            numbers.push(number);
        });
        if is_over {
            break;
        }
        thread::yield_now();
    }
    writer.join().expect("the writer ends well");
    (numbers, consumer.missed())
}

#[test]
fn between_two_threads_what_comes_is_whole_and_in_order_and_the_rest_is_counted() {
    let (numbers, missed) = across(100_000, |_| true);
    assert!(numbers.is_sorted_by(|one, next| one < next));
    assert_eq!(numbers.len() as u64 + missed, 100_000);
}

#[test]
fn between_two_threads_nothing_is_lost_that_had_room() {
    let (numbers, _) = across(50_000, |had_room| had_room);
    assert_eq!(numbers, (0..50_000).collect::<Vec<_>>());
}

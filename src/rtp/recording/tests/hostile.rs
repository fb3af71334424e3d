//! Whatever comes: nothing panics, nothing grows, and what is told is whole.

use proptest::prelude::*;

use super::*;
use crate::base::limits::{
    RECORDING_BLOCKS_A_SECOND, RECORDING_MARKS_MAX, RECORDING_PACKETS_MAX, RECORDING_SECONDS_MAX,
};

/// A step of somebody who writes what he likes.
#[derive(Clone, Debug)]
enum Step {
    Hear {
        wait_us: u64,
        is_callee: bool,
        ssrc: u32,
        seq: u16,
        timestamp: u32,
        clock_hz: u32,
        coding: Option<Coding>,
        payload_type: u8,
        is_event: bool,
        bytes: usize,
    },
    Pause,
    Resume,
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    let coding = prop_oneof![
        Just(None),
        Just(Some(Coding::A)),
        Just(Some(Coding::Mu)),
        Just(Some(Coding::G722))
    ];
    let hear = (
        (0..100_000_u64, any::<bool>(), 0..3_u32),
        (any::<u16>(), any::<u32>()),
        prop_oneof![Just(8_000_u32), Just(0), any::<u32>()],
        (coding, any::<u8>(), proptest::bool::weighted(0.1), 0..3_000_usize),
    );
    let hear = hear.prop_map(
        |(
            (wait_us, is_callee, ssrc),
            (seq, timestamp),
            clock_hz,
            (coding, payload_type, is_event, bytes),
        )| {
            Step::Hear {
                wait_us,
                is_callee,
                ssrc,
                seq,
                timestamp,
                clock_hz,
                coding,
                payload_type,
                is_event,
                bytes,
            }
        },
    );
    prop_oneof![20 => hear, 1 => Just(Step::Pause), 1 => Just(Step::Resume), 2 => Just(Step::Poll)]
}

/// Nothing of it is larger than its limit.
#[track_caller]
fn is_bounded(stereo: &Stereo) {
    assert!(stereo.sheet.timeline.open() <= RECORDING_SECONDS_MAX * RECORDING_BLOCKS_A_SECOND);
    // Pauses are told by us, and each is marked.
    let packets_marks = stereo
        .sheet
        .marks
        .iter()
        .filter(|mark| !matches!(mark.what, What::Paused | What::Resumed));
    assert!(packets_marks.count() <= RECORDING_MARKS_MAX + 2);
    for track in &stereo.tracks {
        assert!(track.waiting() <= 2 * RECORDING_PACKETS_MAX);
    }
}

fn play(rate: Rate, steps: impl IntoIterator<Item = Step>) -> Played {
    let mut stereo = Stereo::new(rate, BEGUN);
    let mut played = Played::default();
    let mut now = BEGUN;
    let payload = [0x5a; 3_000];
    for step in steps {
        match step {
            Step::Hear {
                wait_us,
                is_callee,
                ssrc,
                seq,
                timestamp,
                clock_hz,
                coding,
                payload_type,
                is_event,
                bytes,
            } => {
                now = now + Duration::from_micros(wait_us);
                let channel = if is_callee {
                    Channel::Callee
                } else {
                    Channel::Caller
                };
                stereo.hear(&Heard {
                    tap: Tap {
                        recording: Id::from_bits(1),
                        channel,
                    },
                    at: now,
                    ssrc,
                    seq,
                    timestamp,
                    clock_hz,
                    marker: false,
                    payload_type,
                    coding,
                    is_event,
                    is_back: seq.is_multiple_of(7),
                    payload: &payload[..bytes],
                });
            }
            Step::Pause => stereo.pause(now),
            Step::Resume => stereo.resume(now),
            Step::Poll => played.add_all(&mut stereo, now),
        }
        is_bounded(&stereo);
    }
    stereo.end(now);
    played.add_all(&mut stereo, now);
    let us = (now - BEGUN).as_micros() as usize;
    assert_eq!(played.left.len(), us * rate.hz() as usize / 1_000_000);
    played
}

/// A packet of 20 ms after 20 ms.
fn paced(seq: u16, timestamp: u32) -> Step {
    Step::Hear {
        wait_us: 20_000,
        is_callee: false,
        ssrc: 1,
        seq,
        timestamp,
        clock_hz: 8_000,
        coding: Some(Coding::A),
        payload_type: 8,
        is_event: false,
        bytes: 160,
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_recorded_in_a_bounded_place(
        is_wide in any::<bool>(),
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        play(if is_wide { Rate::Wide } else { Rate::Narrow }, steps);
    }

    /// In order by their numbers, and their times are whatever they are.
    #[test]
    fn timestamps_of_all_kinds_are_survived(
        jumps in proptest::collection::vec(
            prop_oneof![Just(160_u32), Just(1 << 31), Just(u32::MAX), Just(u32::MAX - 3_000), any::<u32>()],
            0..400,
        ),
    ) {
        let mut timestamp = 0_u32;
        let steps = jumps.iter().enumerate().map(|(seq, jump)| {
            timestamp = timestamp.wrapping_add(*jump);
            paced(seq as u16, timestamp)
        });
        play(Rate::Narrow, steps);
    }
}

#[test]
fn a_stream_that_jumps_back_and_forth_for_ever_is_survived() {
    for jump in [
        1_u32 << 31,
        0_u32.wrapping_sub(160),
        0_u32.wrapping_sub(1_600),
        4_000,
        320,
    ] {
        let steps = (0..20_000_u32).flat_map(|n| {
            let packet = paced(n as u16, n.wrapping_mul(jump));
            [Some(packet), (n % 40 == 0).then_some(Step::Poll)]
                .into_iter()
                .flatten()
        });
        play(Rate::Narrow, steps);
    }
}

#[test]
fn who_spoke_nonsense_is_heard_once_he_speaks_sense() {
    let nonsense =
        (0..500_u16).map(|n| paced(n.wrapping_mul(7_919), u32::from(n).wrapping_mul(2_654_435_761)));
    let sense = (0..500_u16).map(|n| paced(n, u32::from(n) * 160));
    let steps = nonsense.chain(sense).flat_map(|packet| [packet, Step::Poll]);
    let played = play(Rate::Narrow, steps);
    // The end isn't waited for.
    let said = &played.left[82_000..159_000];
    assert!(said.iter().all(|sample| *sample == Law::A.decode(0x5a)));
}

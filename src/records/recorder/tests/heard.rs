//! What reaches the recorder, and what doesn't.

use super::*;
use crate::records::recordings::chain::{self, Loss, Unwritten};

/// Those whose packets come to it leave no room in its ring for each other, for one round.
fn overruns(stage: &mut Stage) {
    let (producer, consumer) = ring(4 * (PACKET + 43));
    stage.ring = producer;
    stage.ear.hear_only(consumer);
    let speaking = stage.speaking.clone();
    for _ in 0..2 {
        stage.speaking.extend_from_within(..);
    }
    stage.run(ROUND);
    stage.speaking = speaking;
}

#[test]
fn a_codec_that_comes_later_and_cannot_be_read_is_a_gap_of_its_length() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    for (_, coding, _) in &mut stage.speaking {
        *coding = None;
    }
    stage.run(seconds(3));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let (recording, why) = (id(1), Fault::Codec);
    assert_eq!(stage.told(), [Report::Gap { recording, why }]);
    let (_, marks) = read(&stage.place(1));
    for channel in [chain::Channel::Caller, chain::Channel::Callee] {
        let samples: u64 = marks
            .iter()
            .filter_map(|mark| match mark.what {
                What::Lost {
                    channel: of,
                    samples,
                    why: Loss::Codec(_),
                } if of == channel => Some(samples),
                _ => None,
            })
            .sum();
        assert!((23_800..=24_200).contains(&samples), "{samples}: {marks:?}");
    }
    assert!(is_whole(&stage.place(1)) >= Some(2));
}

#[test]
fn packets_missed_before_a_silence_are_marked_in_their_recording_and_in_no_other() {
    for sounds in [Sound::Narrow, Sound::Unread] {
        let dir = folder();
        let mut stage = Stage::at(dir.path(), 0);
        stage.order(Order::Begin(stage.begin(1, sounds)));
        stage.order(Order::Begin(stage.begin(2, sounds)));
        stage.speaks(1);
        stage.run(seconds(1));
        overruns(&mut stage);
        // Nothing follows by which it could be seen.
        stage.speaking.clear();
        stage.run(seconds(1));
        let (recording, why) = (id(1), Fault::Overrun);
        assert_eq!(stage.told(), [Report::Gap { recording, why }]);
        for number in [1, 2] {
            stage.order(Order::End(id(number), stage.now().at));
        }
        stage.run(ROUND);
        let gaps = [1, 2].map(|number| is_whole(&stage.place(number)));
        assert_eq!(gaps, [Some(1), Some(0)], "{sounds:?}");
        let reader = Reader::open(&stage.place(1), &Keys::default()).expect("it can be opened");
        let what = What::NotWritten {
            samples: 0,
            why: Unwritten::Overload,
        };
        assert!(reader.marks().any(|mark| mark.what == what));
    }
}

#[test]
fn the_network_s_losses_are_not_taken_for_those_of_another_recording() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    for number in [1, 2] {
        stage.order(Order::Begin(stage.begin(number, Sound::Narrow)));
    }
    stage.speaks(1);
    stage.run(seconds(1));
    overruns(&mut stage);
    stage.told();
    stage.speaking.clear();
    stage.speaks(2);
    stage.run(seconds(1));
    stage.rounds += 5;
    stage.run(seconds(2));
    stage.order(Order::End(id(2), stage.now().at));
    stage.run(ROUND);
    assert_eq!(stage.told(), []);
    let (_, marks) = read(&stage.place(2));
    let is_network = |mark: &Mark| {
        matches!(
            mark.what,
            What::Lost {
                why: Loss::Network,
                ..
            }
        )
    };
    assert!(!marks.is_empty() && marks.iter().all(is_network), "{marks:?}");
}

#[test]
fn one_that_goes_on_where_nothing_is_left_has_the_rate_of_its_call() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::GoOn(stage.begin(1, Sound::Wide)));
    stage.run(seconds(1));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let file = stage.place(1).day.join(format!("{}.wav", id(1)));
    let bytes = std::fs::read(file).expect("it is there");
    assert_eq!(bytes[24..28], 16_000_u32.to_le_bytes(), "samples a second");
}

#[test]
fn a_machine_that_stood_still_leaves_silence_and_nothing_out() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.ear.out.waiting_max = 5 * 33_000;
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    stage.clock.fetch_add(600_000, Ordering::Relaxed);
    stage.speaking.clear();
    stage.run(seconds(1));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    assert_eq!((stage.told(), is_whole(&stage.place(1))), (vec![], Some(0)));
    assert!((603..=604).contains(&(read(&stage.place(1)).0.len() / 8_000)));
}

#[test]
fn a_dump_whose_first_seconds_found_no_room_can_be_read() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.ear.out.waiting_max = 1_000;
    stage.order(Order::Begin(stage.begin(1, Sound::Unread)));
    stage.speaks(1);
    stage.run(seconds(2));
    stage.ear.out.waiting_max = 1_000_000;
    stage.run(seconds(2));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let file = stage.place(1).day.join(format!("{}.rtpdump", id(1)));
    let bytes = std::fs::read(file).expect("it is there");
    let packets = dump::packets(&bytes).expect("a dump").count();
    assert!((200..400).contains(&packets), "{packets}");
    assert!(is_whole(&stage.place(1)) >= Some(1));
}

#[test]
fn one_that_is_to_go_on_and_finds_no_room_has_a_gap_and_is_not_lost() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.ear.out.waiting_max = 0;
    stage.order(Order::GoOn(stage.begin(1, Sound::Narrow)));
    stage.order(Order::Begin(stage.begin(2, Sound::Narrow)));
    stage.run(ROUND);
    let why = Fault::DiskSlow;
    let told = [
        Report::Gap {
            recording: id(1),
            why,
        },
        Report::Lost {
            recording: id(2),
            why,
        },
    ];
    assert_eq!(stage.told(), told);
    assert_eq!(stage.shared.status.counts().open, 0);
}

#[test]
fn an_end_that_is_ordered_while_packets_are_heard_drops_none_that_came_before_it() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    // The ear has begun with what lay there. More comes, and then the end.
    (0..25).for_each(|_| stage.say());
    let now = stage.now().at;
    stage.order(Order::End(id(1), now));
    // At a packet of nobody's recording it looks for orders.
    let tap = Tap {
        recording: id(9),
        channel: Channel::Caller,
    };
    stage
        .ear
        .hear(&heard(&(tap, Some(Coding::A), [0; PACKET]), now, 1));
    stage.ear.obey_all_late();
    stage.speaking.clear();
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), Some(0));
    let (frames, _) = read(&stage.place(1));
    assert_eq!(frames.len(), 20_000);
    assert!(both(&frames[16_000..]) > 3_800, "{}", both(&frames[16_000..]));
}

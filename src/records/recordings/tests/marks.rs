//! Marks that are too many for one line, and pieces that are written again.

use super::*;
use crate::base::limits::{RECORDING_BLOCK_BYTES_MAX, RECORDING_MARKS_MAX};
use crate::records::recordings::chain::fold;

fn lost(at: u64) -> Mark {
    Mark {
        at,
        what: What::Lost {
            channel: Channel::Caller,
            samples: 1,
            why: Loss::Network,
        },
    }
}

#[test]
fn what_is_lost_is_added_up_before_any_turn_goes() {
    let restarted = |silent_ms| What::Restarted {
        silent_ms,
        cut_blocks: 1,
    };
    let turns = [
        What::Paused,
        restarted(5),
        What::Resumed,
        What::NotSynced { from_block: 7 },
        restarted(6),
    ];
    let mut marks: Vec<Mark> = (0..200).map(lost).collect();
    marks.extend((200..).zip(turns).map(|(at, what)| Mark { at, what }));
    let kept = fold(marks);
    assert_eq!(kept.len(), RECORDING_MARKS_MAX);
    let (losses, others): (Vec<What>, Vec<What>) = kept
        .iter()
        .map(|mark| mark.what)
        .partition(|what| matches!(what, What::Lost { .. }));
    assert_eq!(others, turns);
    let sum: u64 = losses
        .iter()
        .map(|what| match what {
            What::Lost { samples, .. } => *samples,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(sum, 200);
    assert!(kept.is_sorted_by_key(|mark| mark.at));
}

#[test]
fn of_too_many_turns_the_last_ones_stay() {
    let turn = |at| Mark {
        at,
        what: match at % 2 {
            0 => What::Paused,
            _ => What::Resumed,
        },
    };
    let mut marks: Vec<Mark> = (0..1_001).map(turn).collect();
    marks.extend((0..1_000).map(lost));
    let kept = fold(marks);
    assert_eq!(kept.len(), RECORDING_MARKS_MAX);
    assert!(kept.contains(&turn(1_000)), "it is paused");
    assert!(matches!(
        kept.last().map(|mark| mark.what),
        Some(What::Lost { samples: 1_000, .. })
    ));
}

#[test]
fn packets_that_are_written_again_stand_there_once() {
    let dir = folder();
    let mut pen = Pen::begin(dir.path(), &begin_packets(1)).expect("a new recording");
    let bytes: Vec<u8> = (0..2 * RECORDING_BLOCK_BYTES_MAX + 9).map(|n| n as u8).collect();
    let mut write = |marks: &[Mark]| {
        pen.write_packets(&Packets {
            from: 0,
            millis: 1_000,
            bytes: &bytes,
            marks,
        })
    };
    let what = What::Paused;
    fault::set_room(Some(RECORDING_BLOCK_BYTES_MAX * 3 / 2));
    let refused = write(&[Mark { at: 3, what }]);
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    fault::set_room(None);
    write(&[]).expect("there is room again");
    let finished = pen.end(1_000, after(1)).expect("there is room");
    assert_eq!(fs::read(&finished.audio).expect("the file"), bytes);
    assert_eq!((finished.blocks, finished.gaps), (3, 0));
    assert_eq!(marks(pen.place()), [Mark { at: 3, what }]);
    assert_eq!(found(pen.place()), whole(&finished, Seals::None));
}

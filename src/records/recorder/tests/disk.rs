//! A disk that is full.

use super::*;
use crate::records::recordings::chain::Unwritten;
use crate::records::recordings::disk::fault;

#[test]
fn what_a_full_disk_refuses_waits_and_is_written_when_there_is_room() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    fault::set_room(Some(0));
    stage.run(seconds(5));
    let (recording, why) = (id(1), Fault::DiskFull);
    assert_eq!(stage.told(), [Report::Gap { recording, why }]);
    let said = stage.shared.status.trouble().expect("it is said");
    assert!(said.contains("the disk is full"), "{said}");
    fault::set_room(None);
    stage.run(seconds(3));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let (frames, _) = read(&stage.place(1));
    assert!(both(&frames) > 79_000, "{}", both(&frames));
    assert_eq!(is_whole(&stage.place(1)), Some(0));
    assert_eq!(stage.shared.status.trouble(), None);
}

#[test]
fn what_waits_for_a_full_disk_has_a_limit_and_what_is_left_out_is_a_gap_of_that_length() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.ear.out.waiting_max = 3 * 33_000;
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    fault::set_room(Some(0));
    stage.run(seconds(8));
    assert!(stage.shared.status.counts().waiting_bytes <= 3 * 33_000);
    fault::set_room(None);
    stage.run(seconds(4));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let why = Fault::DiskFull;
    let recording = id(1);
    assert_eq!(stage.told()[0], Report::Gap { recording, why });
    let (frames, marks) = read(&stage.place(1));
    assert_eq!(is_whole(&stage.place(1)), Some(1));
    let whats: Vec<What> = marks.iter().map(|mark| mark.what).collect();
    let [What::NotWritten { samples, why }] = whats[..] else {
        panic!("{whats:?}");
    };
    assert_eq!(why, Unwritten::Overload);
    assert!(samples > 8_000 && samples % 8_000 == 0, "{samples}");
    assert!(
        both(&frames) + samples as usize > frames.len() - 300,
        "{}",
        both(&frames)
    );
}

#[test]
fn one_that_begins_on_a_full_disk_is_kept_if_room_comes_in_time_and_nothing_is_left_of_it_otherwise() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    fault::set_room(Some(0));
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.order(Order::Begin(stage.begin(2, Sound::Narrow)));
    stage.speaks(2);
    stage.run(seconds(4));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(seconds(1));
    fault::set_room(None);
    stage.run(seconds(2));
    stage.order(Order::End(id(2), stage.now().at));
    stage.run(ROUND);
    let lost = |number| Report::Lost {
        recording: id(number),
        why: Fault::DiskFull,
    };
    let told = stage.told();
    assert!(
        [1, 2].iter().all(|number| told.contains(&lost(*number))),
        "{told:?}"
    );
    assert_eq!(told[2..], [Report::Saved { recording: id(2) }]);
    let (frames, _) = read(&stage.place(2));
    assert!(both(&frames) > 55_500, "{}", both(&frames));
    let (index, _) = Index::scan(dir.path()).expect("it can be read");
    assert!(index.get(id(1)).is_none(), "its record says that there is none");
    let counts = stage.shared.status.counts();
    assert_eq!((counts.open, counts.waiting_bytes), (0, 0));
}

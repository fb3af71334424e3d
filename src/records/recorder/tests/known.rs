//! What the archive knows of recordings, and the audit log.

use super::*;
use crate::records::audit::Who;

#[test]
fn the_archive_knows_a_recording_from_its_beginning_to_its_end_and_its_end_is_noted() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    let archive = stage.shared.settings.archive.clone();
    archive.look_through(|_, _| ()).expect("it can be read");
    let states = || -> Vec<State> {
        let wanted = archive::Wanted {
            limit: 9,
            ..Default::default()
        };
        let listed = archive.list(Who::Control, noon(), wanted).expect("it is noted");
        listed.rows.iter().map(|row| row.entry.state).collect()
    };
    for number in [1, 2] {
        stage.order(Order::Begin(stage.begin(number, Sound::Narrow)));
        stage.speaks(number);
    }
    stage.run(seconds(2));
    assert_eq!(states(), [State::Running; 2]);
    stage.order(Order::End(id(1), stage.now().at));
    stage.order(Order::Drop(TooShort {
        recording: id(2),
        began: noon(),
        shortest: seconds(3),
    }));
    stage.run(ROUND);
    assert_eq!(states(), [State::Whole]);
    let Ok(Verdict::Whole { sha256, .. }) = verify(&stage.place(1), &Keys::default(), None) else {
        panic!("it is whole");
    };
    assert_eq!(
        archive.audit().end_of(id(1)).expect("it can be read"),
        Some(sha256)
    );
    assert_eq!(archive.audit().end_of(id(2)).expect("it can be read"), None);
}

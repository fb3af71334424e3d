//! What the audit log has of recordings that somebody has erased, however it refuses meanwhile.

use super::noted::{acts, are, record};
use super::*;
use crate::records::archive::Which;
use crate::records::audit::Who;
use crate::records::recordings::retention::Erased;

/// A recording is whole and is to be erased while the log has room for so many bytes.
fn erased_with(room: usize) -> (TempDir, Result<archive::Erasing, archive::Error>, bool) {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    record(&mut stage, 1, 2);
    let archive = stage.shared.settings.archive.clone();
    archive.look_through(|_, _| ()).expect("it can be read");
    let later = stage.now().wall.plus(seconds(60));
    fault::set_room(Some(room));
    let erasing = archive.erase(Who::Control, later, Which::Recording(id(1)), None);
    fault::set_room(None);
    let chain = stage.place(1).day.join(format!("{}.chain", id(1)));
    (dir, erasing, chain.exists())
}

#[test]
fn nothing_is_erased_before_the_audit_log_has_which_recordings_go() {
    for room in [0, 300] {
        let (dir, refused, is_there) = erased_with(room);
        assert!(matches!(refused, Err(archive::Error::Unnoted(_))), "{refused:?}");
        assert!(is_there);
        are(&acts(dir.path(), 1), &[("kept", "whole")]);
    }
}

#[test]
fn who_has_something_erased_is_told_so_though_the_log_refuses_what_became_of_it() {
    let (dir, done, is_there) = erased_with(600);
    let done = done.expect("it is done");
    assert_eq!((done.erased, done.is_noted), (vec![(id(1), Erased::Gone)], false));
    assert!(!is_there);
    are(
        &acts(dir.path(), 1),
        &[("kept", "whole"), ("erase", "asked of 1"), ("erase", "goes")],
    );
}

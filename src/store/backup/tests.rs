use std::os::unix::fs::PermissionsExt;

use super::super::open::DiskFound;
use super::super::writer::{Settings, Store};
use super::*;
use crate::base::time::Wall;
use crate::masking::request::{Unbind, Write as Asked, Written};
use crate::masking::support::{A, B, C, X, axb, x};

fn opened(dir: &Path) -> (Store, DiskFound) {
    let wall = || Wall::from_millis(1_795_000_000_000);
    let (store, report) = Store::open(dir, &Settings::default(), wall).unwrap();
    (store, report.disk)
}

fn done(store: &Store, write: Asked) -> Written {
    let (tell, told) = std::sync::mpsc::channel();
    store
        .submit(write, Box::new(move |answer| tell.send(answer).unwrap()))
        .unwrap();
    told.recv().unwrap().unwrap()
}

/// A store with two bindings, of which one has ended.
fn store(dir: &Path) -> Store {
    let (store, _) = opened(dir);
    done(&store, Asked::add_number(x(X)));
    let Written::Binding(first) = done(&store, Asked::Bind(axb(X, A, B))) else {
        panic!("not bound")
    };
    done(&store, Asked::Unbind(Unbind::Id(first.id)));
    done(&store, Asked::Bind(axb(X, A, C)));
    store
}

fn back_up(store: &Store, dir: &Path) -> Result<Backup, BackupError> {
    let mut taken = store.snapshot().unwrap();
    let mut begun = begin(dir)?;
    io::copy(&mut taken.file, &mut begun).unwrap();
    begun.finish("0.1.0", "umbra-1", "2026-11-21T10:00:00Z")
}

#[test]
fn a_backup_holds_all_that_was_acknowledged_and_opens_as_a_store_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("store"));
    let seq = store.table().seq();
    let taken = back_up(&store, &dir.path().join("backup")).unwrap();
    // Later writes are not in it.
    done(&store, Asked::Bind(axb(X, "13800000007", "13900000008")));
    let backup = Backup::open(&dir.path().join("backup")).unwrap();
    assert_eq!(backup.manifest, taken.manifest);
    let holds = backup.manifest.holds;
    assert_eq!(
        (backup.manifest.seq, holds.bindings, holds.bindings_ended),
        (seq, 1, 1)
    );
    let mode = |name: &str| {
        let path = dir.path().join("backup").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("."), mode(SNAPSHOT)), (0o700, 0o600));

    let other = dir.path().join("other");
    backup.put_in_place(&other).unwrap();
    let (restored, found) = opened(&other);
    assert_eq!(found, DiskFound::Restored);
    let counts = restored.table().counts();
    assert_eq!((counts.bindings_live, counts.bindings_ended), (1, 1));
    assert_eq!(restored.table().seq(), seq);
    // It goes on from there, and a second opening is as any other.
    done(&restored, Asked::Bind(axb(X, "13800000007", "13900000008")));
    drop(restored);
    let (restored, found) = opened(&other);
    assert_eq!(
        (found, restored.table().counts().bindings_live),
        (DiskFound::Sound, 2)
    );
    let occupied = backup.put_in_place(&other).unwrap_err();
    assert!(matches!(occupied, BackupError::InUse(_)), "{occupied}");
    drop(restored);
    let occupied = backup.put_in_place(&other).unwrap_err();
    assert!(matches!(occupied, BackupError::Occupied(_)), "{occupied}");
}

#[test]
fn a_second_backup_without_a_change_is_the_same_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("store"));
    let files = |name: &str| {
        let backup = back_up(&store, &dir.path().join(name)).unwrap();
        backup.manifest.files
    };
    assert_eq!(files("one"), files("two"));
}

#[test]
fn a_folder_with_something_in_it_gets_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("store"));
    fs::create_dir(dir.path().join("backup")).unwrap();
    fs::write(dir.path().join("backup/mine"), "").unwrap();
    let refused = back_up(&store, &dir.path().join("backup")).unwrap_err();
    assert!(matches!(refused, BackupError::NotEmpty(_)), "{refused}");
}

#[test]
fn half_a_backup_and_a_damaged_one_are_refused_with_words_that_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("store"));
    let place = dir.path().join("backup");
    back_up(&store, &place).unwrap();
    let snapshot = fs::read(place.join(SNAPSHOT)).unwrap();
    let manifest = fs::read_to_string(place.join(MANIFEST)).unwrap();
    for at in 0..snapshot.len() {
        let mut bytes = snapshot.clone();
        bytes[at] ^= 0x10;
        fs::write(place.join(SNAPSHOT), bytes).unwrap();
        let said = Backup::open(&place).unwrap_err().to_string();
        assert!(
            said.contains(SNAPSHOT) && said.contains("another backup"),
            "{at}: {said}"
        );
    }
    fs::write(place.join(SNAPSHOT), &snapshot[..snapshot.len() / 2]).unwrap();
    let said = Backup::open(&place).unwrap_err().to_string();
    assert!(said.contains("bytes, and the manifest says"), "{said}");
    fs::write(place.join(SNAPSHOT), &snapshot).unwrap();
    let newer = manifest.replace("\"umbra_backup\": 1", "\"umbra_backup\": 2");
    for (text, word) in [
        ("{", "can't be read"),
        ("{}", "no manifest"),
        (&newer, "has form 2"),
    ] {
        fs::write(place.join(MANIFEST), text).unwrap();
        let said = Backup::open(&place).unwrap_err().to_string();
        assert!(said.contains(word) && said.contains(MANIFEST), "{said}");
    }
    fs::remove_file(place.join(MANIFEST)).unwrap();
    let said = Backup::open(&place).unwrap_err().to_string();
    assert!(
        said.contains("half of one") && said.contains("take another backup"),
        "{said}"
    );
}

//! With which key whose recordings are sealed.

use super::*;
use crate::records::recordings::Error;

#[test]
fn an_account_with_a_key_has_its_recordings_sealed_and_others_have_the_servers_own() {
    let (dir, keys) = (folder(), folder());
    let faults = |sealing: &Sealing| sealing.faults().map(ToString::to_string).collect::<Vec<_>>();
    let none = Sealing::read(Some(keys.path()), Some("own"));
    assert!(
        faults(&none)[0].contains("own.aes-256-gcm"),
        "{:?}",
        faults(&none)
    );
    key_file(keys.path(), "acme.aes-256-gcm", '7', 64);
    key_file(keys.path(), "own.sm4-gcm", '7', 32);
    // An account that is named by what may be a telephone number.
    key_file(keys.path(), "13800000001.aes-256-gcm", '5', 64);
    let sealing = Sealing::read(Some(keys.path()), Some("own"));
    assert_eq!(faults(&sealing), Vec::<String>::new());
    let cipher = |account: &str| {
        let key = sealing.of(account).expect("there is no fault").expect("a key");
        (key.name().to_owned(), key.cipher())
    };
    assert_eq!(cipher("acme"), ("acme".to_owned(), Cipher::Aes256Gcm));
    assert_eq!(cipher("other"), ("own".to_owned(), Cipher::Sm4Gcm));
    assert_eq!(cipher("13800000001").1, Cipher::Aes256Gcm);
    let mut stage = Stage::with(dir.path(), 0, sealing.clone());
    stage.call(1, seconds(2));
    let place = stage.place(1);
    assert!(place.day.join(format!("{}.wav.sealed", id(1))).exists());
    let found = verify(&place, sealing.keys(), None).expect("it can be read");
    assert!(matches!(found, Verdict::Whole { .. }), "{found:?}");
}

#[test]
fn what_was_sealed_with_an_earlier_key_of_the_account_is_read_as_long_as_that_key_is_kept() {
    let (dir, keys) = (folder(), folder());
    key_file(keys.path(), "acme.aes-256-gcm", '1', 64);
    let read = || Sealing::read(Some(keys.path()), None);
    Stage::with(dir.path(), 0, read()).call(1, seconds(2));
    let place = Stage::at(dir.path(), 0).place(1);
    // Replaced: the recording isn't called a forgery, it is said that its key is missing.
    key_file(keys.path(), "acme.aes-256-gcm", '2', 64);
    let opened = Reader::open(&place, read().keys()).map(drop);
    assert!(matches!(opened, Err(Error::NoKey(..))), "{opened:?}");
    let mut next = Stage::with(dir.path(), 3_000, read());
    next.call(2, seconds(2));
    key_file(keys.path(), "acme.until-2026-11-22.aes-256-gcm", '1', 64);
    for number in [1, 2] {
        let opened = Reader::open(&next.place(number), read().keys()).map(drop);
        assert!(opened.is_ok(), "{number}: {opened:?}");
    }
    assert_eq!(read().faults().count(), 0);
}

#[test]
fn an_account_whose_key_cannot_be_used_is_not_recorded_in_clear_and_the_others_go_on() {
    let (dir, keys) = (folder(), folder());
    key_file(keys.path(), "acme.aes-256-gcm", 'x', 64);
    key_file(keys.path(), "two.aes-256-gcm", '1', 64);
    key_file(keys.path(), "two.sm4-gcm", '1', 32);
    key_file(keys.path(), "odd.aes256", '1', 64);
    let sealing = Sealing::read(Some(keys.path()), None);
    let mut stage = Stage::with(dir.path(), 0, sealing.clone());
    for (number, account) in [(1, "acme"), (2, "two"), (3, "odd")] {
        assert!(sealing.of(account).is_err(), "{account}");
        let mut begin = stage.begin(number, Sound::Narrow);
        begin.account = account.into();
        stage.order(Order::Begin(begin));
    }
    let mut begin = stage.begin(4, Sound::Narrow);
    begin.account = "plain".into();
    stage.order(Order::Begin(begin));
    stage.run(seconds(1));
    let lost = |number| Report::Lost {
        recording: id(number),
        why: Fault::NoKey,
    };
    assert_eq!(stage.told(), [lost(1), lost(2), lost(3)]);
    assert_eq!(stage.shared.status.counts().open, 1);
    assert_eq!(sealing.faults().count(), 3);
}

#[test]
fn an_account_that_has_only_an_earlier_key_is_not_recorded_in_clear() {
    for (digit, usual) in [('1', None), ('x', None), ('1', Some("own"))] {
        let (dir, keys) = (folder(), folder());
        key_file(keys.path(), "own.aes-256-gcm", '2', 64);
        key_file(keys.path(), "acme.until-2026-11-22.aes-256-gcm", digit, 64);
        let sealing = Sealing::read(Some(keys.path()), usual);
        let said: Vec<String> = sealing.faults().map(ToString::to_string).collect();
        assert!(
            said.len() == 1 && said[0].contains("acme.aes-256-gcm"),
            "{said:?}"
        );
        let mut stage = Stage::with(dir.path(), 0, sealing);
        stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
        stage.run(seconds(1));
        let (recording, why) = (id(1), Fault::NoKey);
        assert_eq!(stage.told(), [Report::Lost { recording, why }]);
        assert!(!stage.place(1).has_files());
    }
}

#[test]
fn one_that_was_to_go_on_and_whose_key_can_be_used_no_more_has_a_gap_and_is_not_lost() {
    let (dir, keys) = (folder(), folder());
    let read = || Sealing::read(Some(keys.path()), None);
    key_file(keys.path(), "acme.aes-256-gcm", '1', 64);
    let mut stage = Stage::with(dir.path(), 0, read());
    let begin = stage.begin(1, Sound::Narrow);
    stage.order(Order::Begin(begin.clone()));
    stage.run(seconds(3));
    drop(stage);
    key_file(keys.path(), "acme.aes-256-gcm", 'x', 64);
    let mut stage = Stage::with(dir.path(), 6_000, read());
    stage.order(Order::GoOn(begin));
    stage.run(ROUND);
    let (recording, why) = (id(1), Fault::NoKey);
    assert_eq!(stage.told(), [Report::Gap { recording, why }]);
    assert_eq!(stage.shared.status.counts().open, 0);
}

#[test]
fn with_what_a_recording_is_sealed_is_reported_whatever_the_disk_does_and_by_its_chain_when_it_goes_on() {
    let (dir, keys) = (folder(), folder());
    key_file(keys.path(), "acme.sm4-gcm", '1', 32);
    let read = || Sealing::read(Some(keys.path()), None);
    let mut stage = Stage::with(dir.path(), 0, read());
    fault::set_room(Some(0));
    let sealed = stage.begin(1, Sound::Narrow);
    stage.order(Order::Begin(sealed.clone()));
    let mut plain = stage.begin(2, Sound::Narrow);
    plain.account = "plain".into();
    stage.order(Order::Begin(plain));
    stage.run(ROUND);
    assert_eq!(stage.seals(), [(id(1), Sealed::Sm4Gcm), (id(2), Sealed::No)]);
    fault::set_room(None);
    stage.speaks(1);
    stage.run(seconds(4));
    drop(stage);
    // The next server's key is another one, and the recording goes on with its own.
    key_file(keys.path(), "acme.until-2026-11-22.sm4-gcm", '1', 32);
    std::fs::remove_file(keys.path().join("acme.sm4-gcm")).expect("ours");
    key_file(keys.path(), "acme.aes-256-gcm", '2', 64);
    let mut stage = Stage::with(dir.path(), 6_000, read());
    stage.order(Order::GoOn(sealed));
    stage.order(Order::Begin(stage.begin(3, Sound::Narrow)));
    stage.run(seconds(2));
    assert_eq!(
        stage.seals(),
        [(id(3), Sealed::Aes256Gcm), (id(1), Sealed::Sm4Gcm)]
    );
}

pub(super) fn key_file(folder: &Path, name: &str, digit: char, digits: usize) {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join(name);
    std::fs::write(&file, digit.to_string().repeat(digits)).expect("there is room");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
}

use super::*;

fn verify(path: &Path) -> Result<String, String> {
    umbra(&["verify", text(path)])
}

/// What is said of a recording after somebody has done that to it.
fn after(change: impl FnOnce(&Written)) -> String {
    let written = written(&begin(1, Audio::Wav), &[]);
    change(&written);
    verify(written.dir.path()).expect_err("it isn't as it was written")
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("room");
}

fn copied(from: &Path, to: &Path) {
    fs::copy(from, to).expect("room");
}

#[test]
fn a_recording_that_is_as_it_was_written_is_said_to_be_by_each_of_its_names() {
    let written = written(&begin(1, Audio::Wav), &[]);
    for path in [written.dir.path(), &written.audio, &written.chain] {
        let said = verify(path).expect("it is whole");
        assert!(
            said.contains("whole: all 6 blocks are as they were written") && said.contains(&written.sha256),
            "{said}"
        );
    }
    let rows = umbra(&["verify", "--json", text(written.dir.path())]).expect("it is whole");
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    assert_eq!(rows[0]["verdict"], "whole");
    assert_eq!(rows[0]["samples"], 48_000);
    assert_eq!(rows[0]["recording"], written.place.recording.to_string());
    assert!(umbra(&["verify", text(&written.audio), "--sha256", &written.sha256]).is_ok());
}

#[test]
fn what_was_changed_is_said_with_its_block_its_time_and_what_to_do() {
    // The 44 bytes of the header, and then 32,000 a second: this is in the fourth.
    let said = after(|written| edit(&written.audio, |bytes| bytes[44 + 3 * 32_000 + 7] ^= 1));
    for part in [
        "changed at block 4: its audio was changed",
        "3.0 s after its begin (2026-11-21 ",
        "keep these files as they are, and verify the audio of a copy or backup",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let said = after(|written| {
        edit(&written.chain, |bytes| {
            let at = bytes.iter().position(|c| *c == b'\n').expect("lines") + 8;
            bytes[at] ^= 1;
        });
    });
    assert!(
        said.contains("changed at block 1: ") && said.contains("0.0 s after its begin"),
        "{said}"
    );
    let said = after(|written| edit(&written.chain, |bytes| bytes.truncate(bytes.len() / 2)));
    assert!(said.contains("verify the chain of a copy or backup"), "{said}");
    let said = after(|written| edit(&written.audio, |bytes| bytes.truncate(44 + 32_000 * 5)));
    assert!(
        said.contains("changed at block 6: its audio was cut off") && said.contains("5.0 s after"),
        "{said}"
    );
}

#[test]
fn files_that_are_anothers_or_have_another_name_are_found() {
    let said = after(|written| fs::remove_file(&written.chain).expect("it is there"));
    assert!(said.contains("there is no recording"), "{said}");
    let said = after(|written| {
        let part = written.chain.with_extension("chain.part");
        edit(&written.chain, |bytes| {
            let last = bytes[..bytes.len() - 1]
                .iter()
                .rposition(|c| *c == b'\n')
                .expect("lines");
            bytes.truncate(last + 1);
        });
        fs::rename(&written.chain, part).expect("a rename");
        edit(&written.audio, |bytes| bytes.truncate(44 + 32_000 * 5));
    });
    assert!(
        said.contains("the next one is torn, 5.0 s after its begin"),
        "{said}"
    );

    let other = written_in(
        tempfile::tempdir().expect("a folder"),
        &begin(2, Audio::Wav),
        &[],
        500,
    );
    let said = after(|written| copied(&other.audio, &written.audio));
    assert!(
        said.contains("changed at block 1: its audio was changed"),
        "{said}"
    );
    let said = after(|written| copied(&other.chain, &written.chain));
    assert!(
        said.contains("its files bear another recording's name: give both files the name back"),
        "{said}"
    );
}

#[test]
fn a_recording_that_was_made_anew_is_found_by_the_digits_of_the_first() {
    let written = written(&begin(1, Audio::Wav), &[]);
    let said = umbra(&["verify", text(&written.chain), "--sha256", &"0a".repeat(32)]).expect_err("another");
    assert!(
        said.contains("it doesn't end with the digits that it was compared with: those that were given")
            && said.contains("compare the digits"),
        "{said}"
    );
    let fault = Cli::try_parse_from(["umbra", "recording", "verify", "x.wav", "--sha256", "12"]);
    assert!(fault.unwrap_err().to_string().contains("64 hexadecimal digits"));
}

#[test]
fn seals_are_looked_at_where_the_keys_are_given() {
    let keys = tempfile::tempdir().expect("a folder");
    let sealed = Begin {
        key: Some(key(keys.path())),
        ..begin(1, Audio::Wav)
    };
    let written = written(&sealed, &[]);
    let said = verify(&written.audio).expect("as far as it can be seen");
    assert!(said.contains("their seals were not looked at"), "{said}");
    let said = umbra(&["verify", text(&written.audio), "--keys", text(keys.path())]).expect("whole");
    assert!(!said.contains("not looked at"), "{said}");
    fs::write(keys.path().join("acme.aes-256-gcm"), "ab".repeat(32)).expect("room");
    let said =
        umbra(&["verify", text(&written.audio), "--keys", text(keys.path())]).expect_err("another key");
    assert!(
        said.contains("not looked at") && said.contains("--keys") && said.contains(".until-"),
        "{said}"
    );
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let said = verify(dir.path()).expect_err("it is empty");
    assert!(said.starts_with("there is no recording in "), "{said}");
    let said = verify(&dir.path().join("notes.txt")).expect_err("no name of ours");
    assert!(said.contains("is no recording, by its name"), "{said}");
}

#[test]
fn of_many_each_is_said_and_those_that_are_wrong_are_counted() {
    let first = written(&begin(1, Audio::Wav), &[]);
    let within = tempfile::tempdir_in(first.dir.path()).expect("a folder");
    let second = written_in(within, &begin(2, Audio::Wav), &[], 500);
    edit(&second.audio, |bytes| bytes[100] ^= 1);
    let said = verify(first.dir.path()).expect_err("one of them");
    assert_eq!(
        said,
        "1 of 2 recordings aren't as they were written, or can't be read"
    );
}

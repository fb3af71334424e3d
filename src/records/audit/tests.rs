use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::verify::End;
use super::*;
use crate::base::chance::Chance;
use crate::base::limits::AUDIT_FILE_BYTES_MAX;
use crate::records::recordings::disk::fault;

const DAY: Duration = Duration::from_secs(86_400);

struct Folder {
    dir: TempDir,
    now: Wall,
    chance: Chance,
}

impl Folder {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder"),
            now: Wall::from_millis(1_795_255_200_000),
            chance: Chance::from_number(7),
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> Audit {
        loop {
            match Audit::open(self.path(), "n1") {
                // A child that another test starts just now has a copy of the lock, until it is another program.
                Err(Error::Taken(_)) => std::thread::yield_now(),
                opened => return opened.expect("a log"),
            }
        }
    }

    fn id(&mut self) -> Id {
        Id::mint(self.now, &mut self.chance)
    }

    /// The log's files, in sequence.
    fn files(&self) -> Vec<PathBuf> {
        let found = fs::read_dir(self.path()).expect("a folder");
        let found = found.map(|file| file.expect("a file").path());
        let mut files: Vec<_> = found
            .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
            .collect();
        files.sort();
        files
    }

    fn verify(&self) -> Verdict {
        Audit::verify(self.path(), None).expect("it can be read")
    }

    fn lines(&self) -> u64 {
        match self.verify() {
            Verdict::Whole {
                lines,
                end: End::Whole,
                ..
            } => lines,
            other => panic!("{other}"),
        }
    }

    /// What the shell of the documentation says of it.
    fn shell(&self) -> String {
        let script = self.path().join("check.sh");
        fs::write(&script, include_str!("check.sh")).expect("room");
        let said = Command::new("sh")
            .arg(&script)
            .arg(self.path())
            .output()
            .expect("a shell");
        assert_eq!(String::from_utf8_lossy(&said.stderr), "");
        String::from_utf8(said.stdout).expect("text")
    }
}

fn sha(of: u8) -> Sha {
    Sha([of; 32])
}

fn kept(recording: Id, end: Sha) -> Line<'static> {
    Line {
        end: Some(end),
        ..Line::of_server(Act::Kept, recording, "whole")
    }
}

fn read(recording: Id) -> Line<'static> {
    Line {
        who: Who::Account("acme"),
        range: Some([0, 1_023]),
        ..Line::of_server(Act::Read, recording, "done")
    }
}

#[test]
fn a_log_whose_folder_cannot_be_used_yet_is_taken_once_it_can() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = dir.path().join("audit");
    fs::write(&place, "in its way").expect("room");
    let audit = Audit::unopened(&place, "n1").keeping(Some(3));
    let (now, id) = (Wall::from_millis(1_795_255_200_000), Id::from_bits(1));
    let line = Line::of_server(Act::Kept, id, "whole");
    assert!(audit.note(now, &line).is_err() && audit.end_of(id).is_err());
    let said = audit.health().expect("it is said");
    assert!(said.contains("audit"), "{said}");
    fs::remove_file(&place).expect("it is there");
    audit.try_again();
    assert_eq!(audit.health(), None);
    audit.note(now, &line).expect("it can be noted");
    assert_eq!(audit.counts().lines, 1);
}

#[test]
fn what_is_noted_stands_there_in_a_chain_that_a_shell_can_check() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    log.note(folder.now, &kept(id, sha(1))).expect("noted");
    log.note(folder.now, &read(id)).expect("noted");
    let files = folder.files();
    let text = fs::read_to_string(&files[0]).expect("a file");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        files[0].ends_with("audit-20261121T100000Z-00000001.jsonl"),
        "{files:?}"
    );
    assert!(
        lines[0].starts_with(
            "{\"form\":1,\"node\":\"n1\",\"seq\":1,\"began\":\"2026-11-21T10:00:00.000Z\",\"before\":null,\"sha256\":\""
        ),
        "{}",
        lines[0]
    );
    assert!(
        lines[2].starts_with(&format!(
            "{{\"at\":\"2026-11-21T10:00:00.000Z\",\"who\":\"account acme\",\"act\":\"read\",\"recording\":\"{id}\",\
             \"range\":[0,1023],\"outcome\":\"done\",\"sha256\":\""
        )),
        "{}",
        lines[2]
    );
    assert_eq!(folder.lines(), 2);
    assert_eq!(folder.shell(), "");
    let mode = fs::metadata(&files[0]).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_digits_of_a_recording_are_found_in_whichever_file_they_are() {
    let mut folder = Folder::new();
    let mut log = folder.open();
    let mut all = Vec::new();
    for day in 0..5 {
        for of in 0..20 {
            let id = folder.id();
            all.push((id, sha(day * 20 + of)));
            log.note(folder.now, &kept(id, sha(day * 20 + of)))
                .expect("noted");
        }
        folder.now = folder.now.plus(DAY);
        if day == 2 {
            drop(log);
            log = folder.open();
        }
    }
    assert_eq!(folder.files().len(), 5);
    let stranger = folder.id();
    for tables in ["as they were written", "gone", "another file's", "of nonsense"] {
        for file in &folder.files()[..4] {
            let table = file.with_extension("ends");
            match tables {
                "gone" => fs::remove_file(&table).expect("it was there"),
                "another file's" => {
                    let other = folder.files()[0].with_extension("ends");
                    let bytes = fs::read(other).expect("a table");
                    fs::write(&table, bytes).expect("room");
                }
                "of nonsense" => fs::write(&table, b"no").expect("room"),
                _ => {}
            }
        }
        for (id, sha) in &all {
            assert_eq!(log.end_of(*id).expect("read"), Some(*sha), "tables {tables}");
        }
        assert_eq!(log.end_of(stranger).expect("read"), None);
    }
    assert_eq!(folder.shell(), "");
}

#[test]
fn a_line_that_was_changed_since_says_nothing_of_a_recording_s_end() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    log.note(folder.now, &read(id)).expect("noted");
    log.note(folder.now, &kept(id, sha(1))).expect("noted");
    let file = folder.files().remove(0);
    let text = fs::read_to_string(&file).expect("text");
    fs::write(&file, text.replace(&sha(1).to_string(), &sha(2).to_string())).expect("room");
    assert_eq!(log.end_of(id).expect("read"), None);
    fs::write(&file, text).expect("room");
    assert_eq!(log.end_of(id).expect("read"), Some(sha(1)));
}

#[test]
fn the_first_digits_that_were_noted_of_a_recording_are_its_digits() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    log.note(folder.now, &kept(id, sha(1))).expect("noted");
    log.note(folder.now, &kept(id, sha(2))).expect("noted");
    assert_eq!(log.end_of(id).expect("read"), Some(sha(1)));
    folder.now = folder.now.plus(DAY);
    log.note(folder.now, &kept(id, sha(3))).expect("noted");
    assert_eq!(log.end_of(id).expect("read"), Some(sha(1)));
}

#[test]
fn a_line_that_a_kill_tore_is_cut_off_and_the_chain_goes_on() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    log.note(folder.now, &kept(id, sha(1))).expect("noted");
    log.note(folder.now, &read(id)).expect("noted");
    drop(log);
    let whole = fs::read(&folder.files()[0]).expect("a file");
    let second = whole.iter().position(|c| *c == b'\n').expect("a line") + 1;
    let third = second + whole[second..].iter().position(|c| *c == b'\n').expect("a line") + 1;
    for cut in 0..whole.len() {
        for file in folder.files() {
            fs::remove_file(file).expect("ours");
        }
        let file = folder.path().join("audit-20261121T100000Z-00000001.jsonl");
        fs::write(&file, &whole[..cut]).expect("room");
        let log = folder.open();
        let is_known = cut >= third;
        assert_eq!(log.end_of(id).expect("read").is_some(), is_known, "cut at {cut}");
        log.note(folder.now, &read(id)).expect("noted");
        assert_eq!(folder.lines(), 1 + u64::from(is_known), "cut at {cut}");
    }
}

#[test]
fn a_line_that_was_changed_left_out_added_or_moved_shows() {
    let mut folder = Folder::new();
    let log = folder.open();
    let ids: Vec<Id> = (0..6).map(|_| folder.id()).collect();
    for (at, id) in ids.iter().enumerate() {
        if at == 3 {
            folder.now = folder.now.plus(DAY);
        }
        log.note(folder.now, &kept(*id, sha(1))).expect("noted");
    }
    drop(log);
    let files = folder.files();
    let texts: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(file).expect("a file"))
        .collect();
    let digits = |of: &str, line: usize| {
        let line = of.lines().nth(line).expect("a line");
        let digits = &line[line.len() - 66..line.len() - 2];
        serde_json::from_str::<Sha>(&format!("\"{digits}\"")).expect("digits")
    };
    let last = digits(&texts[1], 3);
    assert_eq!(
        folder.verify(),
        Verdict::Whole {
            files: 2,
            first: 1,
            lines: 6,
            last: Some(last),
            end: End::Whole
        }
    );
    type Lines = Vec<String>;
    type Tamper = fn(&mut Lines);
    let tampers: [(&str, Tamper, u64); 5] = [
        (
            "changed",
            |lines| lines[2] = lines[2].replace("server", "sErver"),
            3,
        ),
        ("left out", |lines| drop(lines.remove(2)), 3),
        ("moved", |lines| lines.swap(1, 2), 2),
        ("added", |lines| lines.insert(2, lines[1].clone()), 3),
        ("head changed", |lines| lines[0] = lines[0].replace("n1", "n2"), 1),
    ];
    for (name, tamper, at) in tampers {
        for (file, text) in files.iter().zip(&texts) {
            let mut lines: Lines = text.lines().map(str::to_owned).collect();
            tamper(&mut lines);
            fs::write(file, lines.join("\n") + "\n").expect("room");
            let Verdict::Changed {
                file: said,
                line,
                what,
            } = folder.verify()
            else {
                panic!("{name} isn't seen")
            };
            assert_eq!((said, line, what), (file.clone(), at, Change::Line), "{name}");
            assert_ne!(folder.shell(), "", "{name}");
            fs::write(file, text).expect("room");
        }
    }
    // The end of a file that is followed by another one.
    let shorter: Vec<&str> = texts[0].lines().take(3).collect();
    fs::write(&files[0], shorter.join("\n") + "\n").expect("room");
    let cut = Verdict::Changed {
        file: files[1].clone(),
        line: 1,
        what: Change::CutBefore,
    };
    assert_eq!(folder.verify(), cut);
    assert_ne!(folder.shell(), "");
    fs::write(&files[0], &texts[0]).expect("room");
    // The end of all shows to whoever kept its digits.
    let shorter: Vec<&str> = texts[1].lines().take(3).collect();
    fs::write(&files[1], shorter.join("\n") + "\n").expect("room");
    assert_eq!(folder.lines(), 5);
    let gone = Audit::verify(folder.path(), Some(last)).expect("it can be read");
    assert!(
        matches!(
            &gone,
            Verdict::Changed {
                what: Change::NotThere,
                ..
            }
        ),
        "{gone}"
    );
    let met = Audit::verify(folder.path(), Some(digits(&texts[0], 1))).expect("it can be read");
    assert!(matches!(met, Verdict::Whole { .. }), "{met}");
}

#[test]
fn a_file_that_is_missing_shows() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    for _ in 0..3 {
        log.note(folder.now, &read(id)).expect("noted");
        folder.now = folder.now.plus(DAY);
    }
    let files = folder.files();
    fs::remove_file(&files[1]).expect("ours");
    let missing = Verdict::Changed {
        file: files[2].clone(),
        line: 1,
        what: Change::Missing,
    };
    assert_eq!(folder.verify(), missing);
}

#[test]
fn a_log_in_which_a_line_was_changed_goes_on_in_another_file_and_is_left_as_it_is() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    log.note(folder.now, &kept(id, sha(1))).expect("noted");
    log.note(folder.now, &read(id)).expect("noted");
    drop(log);
    let file = folder.files()[0].clone();
    let changed = fs::read_to_string(&file).expect("a file").replace("acme", "acne");
    fs::write(&file, &changed).expect("room");
    let log = folder.open();
    log.note(folder.now, &read(id)).expect("noted");
    assert_eq!(fs::read_to_string(&file).expect("a file"), changed);
    assert_eq!(folder.files().len(), 2);
    assert_eq!(log.end_of(id).expect("read"), Some(sha(1)));
    assert!(matches!(folder.verify(), Verdict::Changed { line: 3, .. }));
}

#[test]
fn a_full_disk_refuses_and_nothing_that_was_refused_is_there_afterwards() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    let other = folder.id();
    for is_first in [true, false] {
        for room in [0, 10, 250, 400] {
            fault::set_room(Some(room));
            let refused = log.note_all(folder.now, &[kept(other, sha(9)), read(other)]);
            fault::set_room(None);
            assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
            assert!(log.health().is_some_and(|said| said.contains("the disk is full")));
            assert_eq!(log.end_of(other).expect("read"), None);
            let lines = if is_first { 0 } else { folder.lines() };
            assert_eq!(lines, if is_first { 0 } else { 1 });
        }
        fault::set_sick(true);
        let refused = log.note(folder.now, &kept(other, sha(9)));
        log.try_again();
        fault::set_sick(false);
        assert!(matches!(refused, Err(Error::Disk(..))), "{refused:?}");
        assert!(log.health().is_some());
        log.try_again();
        assert_eq!(log.health(), None);
        if is_first {
            log.note(folder.now, &kept(id, sha(1))).expect("noted");
        }
    }
    assert_eq!(
        log.counts(),
        Counts {
            lines: 1,
            refused: 12
        }
    );
    drop(log);
    let log = folder.open();
    assert_eq!(log.end_of(other).expect("read"), None);
    assert_eq!(log.end_of(id).expect("read"), Some(sha(1)));
    log.note(folder.now, &kept(other, sha(9))).expect("noted");
    assert_eq!(folder.lines(), 2);
}

#[test]
fn two_servers_never_write_one_log() {
    let folder = Folder::new();
    let log = folder.open();
    let second = Audit::open(folder.path(), "n2").err().expect("refused");
    assert!(
        second
            .to_string()
            .contains("give this one a recordings.audit_dir of its own"),
        "{second}"
    );
    drop(log);
    folder.open();
}

#[test]
fn another_file_is_begun_when_one_is_long_enough_and_old_ones_go_if_that_is_wanted() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open().keeping(Some(3)), folder.id());
    let many = vec![read(id); 10_000];
    let mut noted = 0;
    while noted < AUDIT_FILE_BYTES_MAX + 1 {
        log.note_all(folder.now, &many).expect("noted");
        noted += 200 * 10_000;
    }
    log.note(folder.now, &read(id)).expect("noted");
    assert_eq!(folder.files().len(), 2);
    for _ in 0..6 {
        folder.now = folder.now.plus(DAY);
        log.note(folder.now, &read(id)).expect("noted");
    }
    let Verdict::Whole { first, files, .. } = folder.verify() else {
        panic!("{}", folder.verify());
    };
    assert_eq!((first, files), (4, 5));
    assert_eq!(folder.shell(), "");
    let tables = fs::read_dir(folder.path()).expect("a folder");
    let ends = tables.filter(|file| {
        file.as_ref()
            .is_ok_and(|file| file.path().extension().is_some_and(|e| e == "ends"))
    });
    assert_eq!(ends.count(), 4);
}

#[test]
fn a_file_that_was_moved_away_is_missed_and_another_one_begun() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    log.note(folder.now, &read(id)).expect("noted");
    fs::remove_file(&folder.files()[0]).expect("ours");
    log.note(folder.now, &read(id)).expect("noted");
    assert_eq!(folder.files().len(), 1);
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(&folder.files()[0])
        .expect("a file");
    file.write_all(b"{\"form").expect("room");
    let Verdict::Whole {
        first: 2,
        lines: 1,
        end: End::Torn,
        ..
    } = folder.verify()
    else {
        panic!("{}", folder.verify());
    };
}

#[test]
fn nobody_is_named_by_a_number() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    let line = Line {
        who: Who::Account("13800138000"),
        outcome: "refused: 13800138000 isn't yours",
        ..read(id)
    };
    log.note(folder.now, &line).expect("noted");
    let text = fs::read_to_string(&folder.files()[0]).expect("a file");
    assert!(!text.contains("13800138000"), "{text}");
    assert!(text.contains("refused: 138****8000 isn't yours"), "{text}");
    assert!(text.contains("\"who\":\"account #"), "{text}");
}

#[test]
fn a_log_of_a_newer_program_is_refused() {
    let mut folder = Folder::new();
    let (log, id) = (folder.open(), folder.id());
    log.note(folder.now, &read(id)).expect("noted");
    drop(log);
    let file = &folder.files()[0];
    let text = fs::read_to_string(file).expect("a file");
    fs::write(file, text.replace("\"form\":1", "\"form\":2")).expect("room");
    let refused = Audit::open(folder.path(), "n1").err().expect("refused");
    assert!(
        refused
            .to_string()
            .contains("has form 2, this program reads up to form 1"),
        "{refused}"
    );
    assert!(matches!(
        Audit::verify(folder.path(), None),
        Err(Error::Newer(..))
    ));
}

/// What the first program that had a log wrote: each later one reads it.
const FORM_1: &str = include_str!("form_1.jsonl");

#[test]
fn what_form_1_wrote_is_read() {
    let folder = Folder::new();
    fs::write(
        folder.path().join("audit-20261121T100000Z-00000001.jsonl"),
        FORM_1,
    )
    .expect("room");
    let log = folder.open();
    let id = "01KAJZ0000000000000000000A".parse().expect("an id");
    assert_eq!(log.end_of(id).expect("read"), Some(sha(1)));
    assert_eq!(folder.lines(), 2);
}

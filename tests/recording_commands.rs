//! `umbra recording` against a real server: a call's recording is listed, fetched, heard, verified, linked to and erased.

#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use server::{A, B, Server, X, until};
use talk::{Callee, Talk};

/// A server that has recorded one call, and the recording's id.
struct Recorded {
    server: Server,
    id: String,
}

impl Recorded {
    fn with(conf: &str) -> Self {
        let callee = Callee::new();
        let mut server = Server::with_a_pair(callee.address());
        server.done(&format!("unbind --x {X}"));
        server.done(&format!("bind axb --x {X} --a {A} --b {B} --record"));
        server.stop();
        let file = server.folder().join("umbra.toml");
        let text = fs::read_to_string(&file).expect("its conf");
        fs::write(&file, format!("{text}[recordings]\nenabled = true\n{conf}")).expect("there is room");
        server.start_again();
        let talk = Talk::begin(server.sip, callee, 1);
        let [began, _] = talk.began();
        until("they have talked long enough", || {
            began
                .elapsed()
                .is_ok_and(|talked| talked >= Duration::from_secs(2))
        });
        talk.end();
        server.settled(1);
        let mut id = String::new();
        until("the recording is whole", || {
            let rows: Value = serde_json::from_str(&server.done("recording list --json")).expect("JSON");
            let whole = rows[0]["state"] == "whole";
            if whole {
                id = rows[0]["id"].as_str().expect("an id").to_owned();
            }
            whole
        });
        Self { server, id }
    }

    fn done(&self, line: &str) -> String {
        self.server.done(&line.replace("ID", &self.id))
    }

    /// Its sentence on standard error: it doesn't succeed.
    fn refused(&self, line: &str) -> String {
        let line = line.replace("ID", &self.id);
        let words: Vec<&str> = line.split(' ').collect();
        let output = self.server.umbra(&words);
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        String::from_utf8(output.stderr).expect("text")
    }

    fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// Its WAV file on the server's disk.
    fn on_disk(&self) -> PathBuf {
        let name = format!("{}.wav", self.id);
        let mut folder = self.server.data().join("recordings");
        for _ in 0..3 {
            let only = fs::read_dir(&folder).expect("a folder").next().expect("one");
            folder = only.expect("a folder").path();
        }
        folder.join(name)
    }

    /// `recording play` with these programs and no others.
    fn play(&self, programs: &Path) -> Output {
        Command::new(env!("CARGO_BIN_EXE_umbra"))
            .args([
                "--control",
                self.server.data().join("control.sock").to_str().expect("a path"),
            ])
            .args(["recording", "play", &self.id])
            .env("PATH", programs)
            .output()
            .expect("it runs")
    }
}

#[test]
fn a_recording_is_listed_fetched_heard_verified_and_erased() {
    let recorded = Recorded::with("");
    let wav = fs::read(recorded.on_disk()).expect("a file");
    let table = recorded.done("recording list");
    assert!(table.contains(&recorded.id) && table.contains("whole"), "{table}");
    assert!(!table.contains("13800000001"), "{table}");
    for line in [
        "recording list --call ID",
        &format!("recording list --number {A}"),
    ] {
        assert!(recorded.done(line).contains(&recorded.id), "{line}");
    }
    assert!(
        !recorded
            .done("recording list --number 13700000009")
            .contains(&recorded.id)
    );

    // All of it, and the rest of what was fetched in part.
    let file = recorded.folder().join("call.wav");
    let shown = file.to_str().expect("a path").to_owned();
    recorded.done(&format!("recording get ID -o {shown} --chain"));
    assert_eq!(fs::read(&file).expect("a file"), wav);
    assert_eq!(
        fs::metadata(&file).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    fs::rename(&file, recorded.folder().join(format!("{}.wav", recorded.id))).expect("a rename");
    let copy = recorded.folder().join(format!("{}.chain", recorded.id));
    let verdict = recorded.done(&format!("recording verify {}", copy.display()));
    let sha256 = verdict.trim().rsplit(' ').next().expect("digits").to_owned();
    let part = recorded.folder().join(format!("call.wav.{}.part", &sha256[..16]));
    let mut begun = wav[..wav.len() / 2].to_vec();
    begun[100] ^= 1;
    fs::write(&part, &begun).expect("room");
    recorded.done(&format!("recording get ID -o {shown}"));
    begun.extend_from_slice(&wav[wav.len() / 2..]);
    assert_eq!(
        fs::read(&file).expect("a file"),
        begun,
        "what was there isn't fetched again"
    );
    assert!(!part.exists());

    let programs = tempfile::tempdir().expect("a folder");
    let said = recorded.play(programs.path());
    let said = String::from_utf8(said.stderr).expect("text");
    assert!(said.contains("install paplay"), "{said}");
    let heard = programs.path().join("heard");
    let player = programs.path().join("aplay");
    fs::write(
        &player,
        format!("#!/bin/sh\n/bin/cat \"$2\" > {}\n", heard.display()),
    )
    .expect("room");
    fs::set_permissions(&player, fs::Permissions::from_mode(0o755)).expect("ours");
    let said = recorded.play(programs.path());
    assert!(said.status.success(), "{said:?}");
    assert_eq!(fs::read(&heard).expect("it was heard"), wav);

    let said = recorded.done("recording link ID --ttl 1h");
    assert!(said.contains(&recorded.id) && said.contains("  until "), "{said}");
    assert!(recorded.refused("recording link ID --ttl 5s").contains("60"));

    assert!(recorded.done("recording verify ID").contains("whole"));
    let path = recorded.on_disk();
    let mut changed = wav.clone();
    // In the third quarter of a second.
    changed[20_000] ^= 1;
    fs::write(&path, &changed).expect("room");
    let said = recorded.refused("recording verify ID");
    assert!(
        said.contains("block 3") && said.contains("audio was changed"),
        "{said}"
    );
    fs::write(&path, &wav).expect("room");

    let said = recorded.done("recording erase ID");
    assert!(
        said.ends_with("1 recordings; nothing was erased: --yes does it\n") && !said.contains("not before"),
        "{said}"
    );
    assert!(path.exists());
    assert_eq!(
        recorded.done("recording erase ID --yes"),
        format!("{}  gone\n", recorded.id)
    );
    assert!(!path.exists());
    assert!(
        recorded
            .refused("recording get ID")
            .contains("there is no recording")
    );
}

#[test]
fn what_has_to_be_kept_stays_and_it_is_said_until_when() {
    let recorded = Recorded::with("at_least_days = 7\n");
    let said = recorded.refused("recording erase ID --yes");
    assert!(said.contains("has to be kept"), "{said}");
    let said = recorded
        .server
        .umbra(&["recording", "erase", "--number", A, "--yes"]);
    assert_eq!(said.status.code(), Some(1));
    let lines = String::from_utf8(said.stdout).expect("text");
    assert!(lines.contains("not before 2"), "{lines}");
    assert!(recorded.on_disk().exists());
}

//! Which system calls a thread of the server makes, as strace counts them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use super::talk::Talk;
use crate::held::pause;
use crate::process::thread_id;

/// How long strace may take until it counts.
const ATTACHES_S: f64 = 0.5;

/// How often each was made.
pub struct Counts(BTreeMap<String, u64>);

/// Counts those of a thread while `talk` does something; `None` where there is no strace, or it may not look.
pub fn of(talk: &mut Talk, thread: &str, does: impl FnOnce(&mut Talk)) -> Option<Counts> {
    let server = &talk.line.server;
    let id = thread_id(server.pid(), thread)?;
    let path = server.folder().join("strace.out");
    let mut strace = Command::new("strace")
        .args(["-c", "-p", &id.to_string(), "-o"])
        .arg(&path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    pause(ATTACHES_S);
    does(talk);
    let pid = i32::try_from(strace.id()).ok()?;
    // SAFETY: no pointer is passed, and the child isn't waited for yet.
    unsafe { libc::kill(pid, libc::SIGINT) };
    strace.wait().ok()?;
    let counts = counts(&fs::read_to_string(&path).ok()?);
    (!counts.0.is_empty()).then_some(counts)
}

/// Reads strace's table: the calls are in the fourth column, the name in the last one.
fn counts(table: &str) -> Counts {
    let lines = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = *words.last().filter(|name| **name != "total")?;
        Some((name.to_owned(), words.get(3)?.parse().ok()?))
    });
    Counts(lines.collect())
}

impl Counts {
    fn of(&self, names: &[&str]) -> u64 {
        names.iter().filter_map(|name| self.0.get(*name)).sum()
    }

    /// Those that put files on the medium.
    pub fn syncs(&self) -> u64 {
        self.of(&["fsync", "fdatasync", "syncfs", "sync_file_range"])
    }

    /// Those by which a thread waits for another one, or makes it wait no longer.
    pub fn waits(&self) -> u64 {
        self.of(&["futex", "nanosleep", "clock_nanosleep", "sched_yield"])
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, count)) in self.0.iter().enumerate() {
            let between = if n == 0 { "" } else { ", " };
            write!(f, "{between}{count} {name}")?;
        }
        Ok(())
    }
}

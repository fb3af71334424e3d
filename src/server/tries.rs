//! How often the taking over of calls has cost a server its life. A call that kills whoever goes on with it would kill every
//! server after that one, and nobody could call any more: after so many tries nobody goes on with any of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::base::limits::TAKEOVER_TRIES;

const NAME: &str = "takeover";

/// One try: a number in the file `takeover` of the data folder, until it is known how it ended.
#[derive(Debug)]
pub(super) struct Try {
    path: PathBuf,
    /// How many before it came to a bad end.
    before: u32,
}

impl Try {
    /// Begins one. What can't be read or written doesn't count: the disk may be full.
    pub(super) fn begin(data: &Path) -> Self {
        let path = data.join(NAME);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let this = Self {
            before: text.trim().parse().unwrap_or(0),
            path,
        };
        this.say(this.before.saturating_add(1));
        this
    }

    /// Whether so many came to a bad end that this one would, too.
    pub(super) fn is_hopeless(&self) -> bool {
        self.before >= TAKEOVER_TRIES
    }

    /// The calls are taken over.
    pub(super) fn succeeded(mut self) {
        self.before = 0;
    }

    /// A thread has died of it, and the server will.
    pub(super) fn failed(mut self) {
        self.before = self.before.saturating_add(1);
    }

    fn say(&self, count: u32) {
        // No sync: it is the process that may die, not the machine.
        let _ = match count {
            0 => fs::remove_file(&self.path),
            _ => fs::write(&self.path, format!("{count}\n")),
        };
    }
}

impl Drop for Try {
    /// A start that was refused for another reason was no try.
    fn drop(&mut self) {
        if !thread::panicking() {
            self.say(self.before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_that_come_to_a_bad_end_are_counted_until_one_succeeds() {
        let data = tempfile::tempdir().unwrap();
        for before in 0..TAKEOVER_TRIES {
            let attempt = Try::begin(data.path());
            assert!(!attempt.is_hopeless(), "after {before}");
            // Refused for another reason in between.
            drop(Try::begin(data.path()));
            match before % 3 {
                0 => attempt.failed(),
                1 => drop(
                    thread::spawn(move || {
                        let _attempt = attempt;
                        panic!("it dies")
                    })
                    .join(),
                ),
                // Killed.
                _ => std::mem::forget(attempt),
            }
        }
        let last = Try::begin(data.path());
        assert!(last.is_hopeless());
        last.succeeded();
        assert!(!data.path().join(NAME).exists());
        assert!(!Try::begin(data.path()).is_hopeless());
    }
}

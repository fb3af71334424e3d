//! When something is said again, and when it is given up.

use std::time::Duration;

/// When something is said again.
#[derive(Clone, Debug)]
pub struct Repeats {
    pub(super) next: Option<Duration>,
    pub(super) interval: Duration,
    pub(super) cap: Duration,
    until: Duration,
    was_repeated: bool,
}

impl Repeats {
    pub(super) fn new(now: Duration, t1: Duration, cap: Duration) -> Self {
        Self {
            next: Some(now + t1),
            interval: t1,
            cap,
            until: now + t1 * 64,
            was_repeated: false,
        }
    }

    /// Over TCP nothing is said again; what is waited for is given up at the same time.
    pub(super) fn once(now: Duration, t1: Duration) -> Self {
        Self {
            next: Some(now + t1 * 64),
            interval: t1,
            cap: t1,
            until: now + t1 * 64,
            was_repeated: false,
        }
    }

    /// Nothing is said again.
    pub fn stop(&mut self) {
        self.next = None;
    }

    /// Whether it was said more than once.
    pub fn was_repeated(&self) -> bool {
        self.was_repeated
    }

    /// When it is said again.
    pub fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Whether it is time; sets the next.
    pub fn due(&mut self, now: Duration) -> Due {
        match self.next {
            Some(next) if next <= now => {
                if now >= self.until {
                    self.next = None;
                    return Due::GivenUp;
                }
                self.was_repeated = true;
                self.interval = (self.interval * 2).min(self.cap);
                self.next = Some((next + self.interval).min(self.until));
                Due::Again
            }
            Some(_) | None => Due::No,
        }
    }
}

/// Whether something is to be said again.
pub enum Due {
    /// Not yet.
    No,
    /// Now.
    Again,
    /// It never will: nobody answered.
    GivenUp,
}

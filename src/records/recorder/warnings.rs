//! What is said in the log of a disk that refuses: once, and not for each recording.

use std::time::Duration;

use crate::base::time::Instant;
use crate::call::recording::Fault;

/// How often the same is said.
const EACH: Duration = Duration::from_secs(60);

/// What was said of each kind of trouble.
#[derive(Default)]
pub(super) struct Warnings {
    said: Vec<Said>,
}

struct Said {
    why: Fault,
    at: Instant,
    /// How often it could have been said since.
    unsaid: u64,
}

impl Warnings {
    /// Whether that is to be said now, and how many like it were passed over since the last time.
    pub(super) fn says(&mut self, why: Fault, now: Instant) -> Option<u64> {
        let Some(said) = self.said.iter_mut().find(|said| said.why == why) else {
            let (at, unsaid) = (now, 0);
            self.said.push(Said { why, at, unsaid });
            return Some(0);
        };
        if now - said.at < EACH {
            said.unsaid += 1;
            return None;
        }
        said.at = now;
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_five_hundred_recordings_have_to_say_each_second_is_said_once_a_minute() {
        let mut warnings = Warnings::default();
        let mut said = Vec::new();
        for second in 0..=120 {
            let now = Instant::from_micros(second * 1_000_000);
            for _ in 0..500 {
                said.extend(warnings.says(Fault::DiskFull, now));
            }
            said.extend(warnings.says(Fault::DiskFails, now).filter(|_| second == 0));
        }
        assert_eq!(said, [0, 0, 29_999, 29_999]);
    }
}

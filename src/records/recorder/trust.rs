//! Whether the clock is believed by whose time recordings are deleted: one that is a month ahead deletes a month too early, and
//! nothing brings that back.

use std::time::Duration;

use crate::base::time::{Instant, Now, Wall};

/// A clock that is further ahead of what was known than this is doubted, and for so long.
const DAY: Duration = Duration::from_secs(86_400);

/// What is known of the time.
#[derive(Default)]
pub(super) struct Trust {
    /// What was believed last; or what a process before this one knew, and when this one learnt of that.
    known: Option<Now>,
    /// When the clock was first seen to be ahead of that.
    doubted: Option<Now>,
}

/// A clock that isn't believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Doubt {
    /// What it shows.
    pub(super) shown: Wall,
    /// How late it would be by what is known.
    pub(super) expected: Wall,
    /// Whether it was believed when it was last looked at.
    pub(super) is_new: bool,
}

impl Trust {
    /// Nothing is known yet.
    pub(super) const fn is_blank(&self) -> bool {
        self.known.is_none()
    }

    /// A process before this one has known this time.
    pub(super) const fn learn(&mut self, at: Instant, newest: Wall) {
        self.known = Some(Now { at, wall: newest });
    }

    /// Looks at the clock, which may be set at any time; the other one never is. Where nothing is known it is believed.
    ///
    /// # Errors
    /// It is too far ahead, and has been for less than a day.
    pub(super) fn look(&mut self, now: Now) -> Result<(), Doubt> {
        let expected = self.known.map_or(now.wall, |known| later(known, now.at));
        // One that was set again meanwhile is another one.
        let doubted = self.doubted.filter(|doubted| {
            let goes_on = later(*doubted, now.at);
            !is_ahead(now.wall, goes_on) && !is_ahead(goes_on, now.wall)
        });
        let since = doubted.unwrap_or(now);
        if is_ahead(now.wall, expected) && now.at - since.at < DAY {
            let is_new = self.doubted.is_none();
            self.doubted = Some(since);
            return Err(Doubt {
                shown: now.wall,
                expected,
                is_new,
            });
        }
        (self.known, self.doubted) = (Some(now), None);
        Ok(())
    }
}

/// What a clock that showed that shows at `at`.
fn later(then: Now, at: Instant) -> Wall {
    then.wall.plus(at - then.at)
}

fn is_ahead(wall: Wall, of: Wall) -> bool {
    wall.since(of) > DAY
}

impl Doubt {
    /// What its owner is told.
    pub(super) fn sentence(&self) -> String {
        let days = self.shown.since(self.expected).as_secs() / DAY.as_secs();
        format!(
            "the system's clock shows {}, {days} days more than have passed since recordings were last looked at: none is \
             deleted by its age until the server has been up with that clock for a day. Set the clock, if it is wrong",
            self.shown
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// So many hours after the process began, and so many after the newest time that was written before.
    fn now(up: u64, wall: u64) -> Now {
        Now {
            at: Instant::default() + HOUR * u32::try_from(up).expect("few"),
            wall: written().plus(HOUR * u32::try_from(wall).expect("few")),
        }
    }

    fn written() -> Wall {
        Wall::from_millis(1_795_255_200_000)
    }

    fn trust() -> Trust {
        let mut trust = Trust::default();
        trust.learn(Instant::default(), written());
        trust
    }

    #[test]
    fn a_clock_is_believed_that_is_less_than_a_day_ahead_or_behind() {
        for wall in [0, 1, 24] {
            assert_eq!(trust().look(now(0, wall)), Ok(()));
        }
        let mut trust = Trust::default();
        trust.learn(Instant::default(), now(0, 900).wall);
        assert_eq!(trust.look(now(0, 0)), Ok(()), "nothing is old too early by it");
        assert_eq!(Trust::default().look(now(0, 9_000)), Ok(()), "nothing is known");
    }

    #[test]
    fn a_clock_that_is_a_month_ahead_is_doubted_until_it_has_shown_so_for_a_day() {
        let mut trust = trust();
        let first = trust.look(now(0, 720)).expect_err("it is doubted");
        assert!(first.is_new);
        assert!(first.sentence().contains("30 days more"), "{}", first.sentence());
        for up in 1..24 {
            let doubt = trust.look(now(up, 720 + up)).expect_err("it still is");
            assert!(!doubt.is_new);
        }
        assert_eq!(trust.look(now(24, 744)), Ok(()));
        assert_eq!(trust.look(now(25, 745)), Ok(()));
    }

    #[test]
    fn a_clock_that_was_corrected_meanwhile_is_believed_at_once() {
        let mut trust = trust();
        assert!(trust.look(now(0, 720)).is_err());
        assert_eq!(trust.look(now(1, 2)), Ok(()));
        // And doubted anew if it goes astray again.
        assert!(trust.look(now(2, 722)).is_err_and(|doubt| doubt.is_new));
        assert!(trust.look(now(25, 745)).is_err());
    }

    #[test]
    fn a_clock_that_is_set_ahead_while_the_server_runs_is_doubted_too_and_again_from_its_next_jump_on() {
        let mut trust = trust();
        assert_eq!(trust.look(now(1, 1)), Ok(()));
        assert!(trust.look(now(2, 722)).is_err());
        assert!(trust.look(now(20, 1_460)).is_err());
        assert!(trust.look(now(26, 1_466)).is_err(), "a day after the first jump");
        assert!(trust.look(now(30, 400)).is_err(), "nearer, and still far ahead");
        assert!(trust.look(now(53, 423)).is_err(), "a day after the second one");
        assert_eq!(trust.look(now(54, 424)), Ok(()));
    }

    #[test]
    fn a_server_that_runs_for_long_is_never_in_doubt() {
        let mut trust = trust();
        for up in (0..10_000).step_by(30) {
            assert_eq!(trust.look(now(up, up)), Ok(()));
        }
    }
}

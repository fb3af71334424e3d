//! Whether the calls of a pool or an account are recorded, from when, and who is told, where their bindings don't say.

use serde::{Deserialize, Serialize};

use super::cues::Hearers;

/// From when on a call is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Since {
    /// From its answer.
    #[default]
    Answer,
    /// From when the caller hears the called side, if that is before the answer.
    EarlyMedia,
}

impl Since {
    /// Each by its name in requests, listings and the conf.
    pub const NAMES: [(&str, Self); 2] = [("answer", Self::Answer), ("early_media", Self::EarlyMedia)];

    /// The name in requests, listings and the conf.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::EarlyMedia => "early_media",
        }
    }
}

/// What is said of recordings for all calls of a pool, or of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// Whether all are recorded; else those whose binding or trunk asks for it.
    pub record: bool,
    /// From when on; the conf's word if `None`.
    pub since: Option<Since>,
    /// Who is told, before the two talk, that the call is recorded.
    pub tone: Option<Hearers>,
}

impl Wish {
    /// Both wishes: all are recorded if one says so, this one says first from when on, and whoever one of them names is told.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            record: self.record || other.record,
            since: self.since.or(other.since),
            tone: Hearers::of_both(self.tone, other.tone),
        }
    }
}

/// How long an account's recordings are kept after their end, in days; the conf's word where it says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keeping {
    /// Then they are deleted.
    pub keep_days: Option<u32>,
    /// Before that nobody may erase one; never less than the conf says.
    pub at_least_days: Option<u32>,
}

/// Changes to it: `None` leaves, `Some(None)` takes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WishChange {
    /// Whether all are recorded.
    pub record: Option<bool>,
    /// From when on.
    pub since: Option<Option<Since>>,
    /// Who is told.
    pub tone: Option<Option<Hearers>>,
}

impl WishChange {
    /// The wish after it.
    #[must_use]
    pub fn after(self, old: Wish) -> Wish {
        Wish {
            record: self.record.unwrap_or(old.record),
            since: self.since.unwrap_or(old.since),
            tone: self.tone.unwrap_or(old.tone),
        }
    }
}

/// Changes to them: `None` leaves, `Some(None)` takes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeepingChange {
    /// When they are deleted.
    pub keep_days: Option<Option<u32>>,
    /// Before when nobody may erase one.
    pub at_least_days: Option<Option<u32>>,
}

impl KeepingChange {
    /// The terms after it.
    #[must_use]
    pub fn after(self, old: Keeping) -> Keeping {
        Keeping {
            keep_days: self.keep_days.unwrap_or(old.keep_days),
            at_least_days: self.at_least_days.unwrap_or(old.at_least_days),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_says_first_from_when_on_and_its_account_may_still_want_all_recorded() {
        let pool = Wish {
            record: false,
            since: Some(Since::EarlyMedia),
            tone: Some(Hearers::Caller),
        };
        let account = Wish {
            record: true,
            since: Some(Since::Answer),
            tone: Some(Hearers::Callee),
        };
        let both = Wish {
            record: true,
            since: Some(Since::EarlyMedia),
            tone: Some(Hearers::Both),
        };
        assert_eq!(pool.or(account), both);
        assert_eq!(Wish::default().or(account), account);
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let old = Wish {
            record: true,
            since: Some(Since::EarlyMedia),
            tone: Some(Hearers::Both),
        };
        assert_eq!(WishChange::default().after(old), old);
        let change = WishChange {
            record: Some(false),
            since: Some(None),
            tone: Some(None),
        };
        assert_eq!(change.after(old), Wish::default());
    }
}

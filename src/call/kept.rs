//! What another process needs to go on with a call: its state, written small.
//!
//! [`keep`](self) writes an entry for the journal whenever something settled has changed, before whatever was said of it
//! leaves; [`Switch::restore`](super::switch::Switch::restore) reads it in the process that comes after this one, and
//! [`outline`] what has to be known of it before there is a switch. An entry is whole: with the entry of the call's
//! arrival it is all that another machine would need.
//!
//! **What is in it** stands in `form`: both legs' dialogs, sides of the bridge and session timers, what the guard
//! forbids, the record so far. A refresh of a session is written too: RFC 4028 has the peer hang up soon after two thirds
//! of its interval, and a process that didn't know when it began could let that go by. **What isn't** is what settles itself: offers under way count as refused, and whoever
//! made one asks again; keys on their way are lost with the audio of that moment.
//!
//! **What goes on counting.** No entry is written for a request that settles nothing, so our CSeq numbers jump by
//! [`CSEQ_JUMP`] in the process that goes on. The version of a description is exact: an entry with it comes before it.

mod back;
mod end;
pub(in crate::call) mod form;
pub(in crate::call) mod ink;
mod pack;
mod read;

pub use back::{Fate, Left};
pub(super) use pack::{Mark, is_calm, keep};
pub use read::{Outline, outline};

use crate::base::form::forms;

/// The form of what is written: its first byte. A program reads its own and earlier ones.
pub fn form() -> u8 {
    forms().calls
}

/// How far our CSeq numbers are ahead after a restart (RFC 3261 §12.2.1.1 wants them higher, and no more): so many
/// requests may have gone out since the entry was written, and another one is written before there are more. Four
/// restarts leave them at three digits.
pub const CSEQ_JUMP: u32 = 200;

/// Why a call can't go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unfit {
    /// A newer Umbra wrote it.
    #[error("a newer Umbra has written the call's state, in form {0}; this one reads up to form {form}", form = form())]
    Newer(u8),
    /// It isn't the whole of a state.
    #[error("the call's state can't be read")]
    Unreadable,
    /// It holds what no call of ours ever had.
    #[error("the call's state holds more than a call has, or what it never has")]
    Unsound,
}

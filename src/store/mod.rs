//! Floor 4, the disk: the one writer of bindings, and the journal of calls.
//!
//! What keeps a binding, in the order it happens: [`log`] (append, fdatasync: the moment of durability), the
//! live table, then, behind, [`disk`] (sled) and now and then a [`snapshot`]. [`writer`] joins them while the
//! server runs, [`open`] when it starts, [`follow`] is the thread behind. [`journal`] keeps the calls that are
//! open, in files of its own. [`form`] says in which form the records are, [`reserve`] keeps room for a start on a full
//! disk. [`backup`] is a folder with a snapshot that can be carried away.

pub mod backup;
pub mod disk;
mod entry;
pub(crate) mod file;
pub mod follow;
pub mod form;
pub mod journal;
pub mod log;
pub mod open;
pub mod reserve;
pub mod snapshot;
pub mod writer;

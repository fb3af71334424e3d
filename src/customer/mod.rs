//! Floor 4, customers' servers: what they are asked over HTTP about calls (X mode).
//!
//! Everything runs on one thread of its own, so that a server that hangs holds neither a call nor a thread of others. What
//! is under way is bounded, in all and for each server; a server that fails again and again is left alone for a while. Only
//! the URL that an admin has set is ever opened: no redirect is followed, and no proxy is asked.

use dial::Roots;

pub mod asker;
mod breaker;
pub mod dial;
mod exchange;
mod sign;
mod site;
pub mod stats;

/// What the conf says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Whose certificates are believed, as they were read of a PEM file; `None`: those that the system trusts.
    pub ca: Option<Roots>,
    /// Questions that one server is asked at once.
    pub per_server: usize,
}

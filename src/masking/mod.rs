//! Floor 2, the law: bindings compile to rules, and [`route`](route::route) decides who reaches whom.
//!
//! Reading: [`route`](route::route) asks the [`Table`](table::Table), which every SIP shard shares.
//! Writing: a [`Write`](request::Write) is planned into a [`Change`](change::Change) or
//! [refused](request::Refused); the store makes the change durable and only then applies it.

pub mod ask;
pub mod binding;
mod bounds;
pub mod callee;
pub mod change;
pub mod collect;
pub mod cues;
pub mod group;
pub mod inventory;
pub mod keyed;
pub mod last;
pub mod listing;
mod members;
pub mod menu;
pub mod mode;
#[cfg(test)]
mod model;
pub mod plan;
pub mod quarantine;
pub mod question;
pub mod reason;
pub mod recording;
pub mod request;
pub mod route;
pub mod rule;
pub mod seats;
pub mod shelf;
mod shelves;
#[cfg(test)]
pub(crate) mod support;
pub mod table;
pub mod turns;

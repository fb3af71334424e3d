//! The map of the house.
//!
//! Umbra is **a pure switch** (floors 0–3: no clock, no socket, no thread, no async), which is handed time,
//! chance and packets, inside **a thin shell** (floors 4–6) that owns the sockets, the disk and the threads.
//!
//! ```text
//!  6  main  cli  server  config            the owner: wires, starts, reloads, stops
//!  5  api                                  the front desk: parse, authorise, translate
//!  4  transport  media  store  records  telemetry  names  customer
//!                                          the hands: sockets, RTP threads, disk, CDR files, metrics and logs, DNS,
//!                                          customers' servers
//!  ─────────────────────── below this line: pure, deterministic, simulated ───────────────────────
//!  3  call                                 the switch: calls, legs, trunks, the bridge between two legs
//!  2  masking                              the law: bindings, rules, the live table, route()
//!  1  sip   sdp   rtp                      the languages: bytes ⇄ meaning; transactions, dialogs, relay
//!  0  base                                 the words: numbers, time, chance, ids, timers, limits
//! ```
//!
//! **Import law.** A room uses rooms on *lower* floors only; rooms of one floor don't see each other; what two
//! rooms share lives below both. The words between core and shell ([`call::port`], [`call::media`],
//! [`call::cdr`]) belong to floor 3 and are used by floor 4. `tests/house.rs` reads the sources and fails on
//! a forbidden `use`: the law is a test.
//!
//! # The ways through
//!
//! * **An INVITE**: [`transport`] → [`call::switch`] (the corridor) → [`sip::message`] reads it →
//!   [`sip::transaction`] → [`call::trunk`] (whose wire is this) → [`call::arrive`] takes what may be known into
//!   a small struct, and the message ends there → [`masking::route`] decides → [`call::failover`] picks the
//!   gateway → [`call::bridge`] writes the offer → [`call::leg::invite`] writes the callee's INVITE, the
//!   allow-list spelt as fields → [`call::guard`] reads it once more → out.
//! * **An RTP packet**: [`media`] → [`rtp::relay`]: in on one leg's flow, out on the other's with our own SSRC,
//!   sequence and time. No lock, hash, allocation or log line on that way.
//! * **A gateway's name**: [`names`] looks it up in the background and hands the switch a table whenever it changes;
//!   a call chooses in it as it begins ([`call::targets`]).
//! * **A binding**: [`api`] → [`masking::request`] → [`store::writer`], the one writer → write-ahead log, one
//!   fdatasync for all that wait → [`masking::table`] → the reply. Durable before visible, visible before
//!   acknowledged. sled follows behind.
//! * **A record**: the arrival goes to [`store::journal`] before the callee's INVITE leaves; the finished CDR goes
//!   there too when the call is over, and then to [`records`]; what those files lack is written at the next start.
//! * **A restart**: a call's state ([`call::kept`]) goes to the journal at its answer. The process that comes next reads
//!   it first; its media go on, then the store is opened, then each shard takes its calls over before its first input.
//!
//! # What keeps a number from the other side
//!
//! 1. The callee's leg is made in a room where the caller's message no longer exists.
//! 2. What shows a number takes a [`base::number::Shown`]; `Shown::Real` needs a consent. No callee's leg without a
//!    [`masking::route::Plan`], and only `route()` makes one.
//! 3. Every leg has ids of its own: Call-ID, tags, branches, SDP origin, SSRC, CNAME. SDP and RTCP are made anew.
//! 4. Answers cross as meaning, never as text.
//! 5. [`call::guard`] reads every message before it leaves. [`base::number::RealNumber`] has no `Display`.

pub mod api;
pub mod base;
pub mod call;
pub mod cli;
pub mod config;
pub mod customer;
pub mod masking;
pub mod media;
pub mod names;
pub mod records;
pub mod rtp;
pub mod sdp;
pub mod server;
pub mod sip;
pub mod store;
pub mod telemetry;
pub mod transport;

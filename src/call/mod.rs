//! Floor 3, the switch: calls, legs, trunks. Pure: [`port::Input`] goes in, [`port::Output`] comes out.

mod admit;
pub mod arrive;
pub mod audio;
pub mod bridge;
pub mod cdr;
pub mod config;
pub mod draft;
pub mod exchange;
pub mod failover;
mod gate;
pub mod guard;
pub mod hands;
pub mod inspect;
pub mod kept;
pub mod leg;
mod line;
mod listing;
pub mod media;
pub mod overload;
pub mod phase;
pub mod port;
pub mod ports;
pub mod refusal;
mod registrar;
pub mod switch;
pub mod targets;
pub mod trunk;

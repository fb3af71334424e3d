//! Floor 3, the switch: calls, legs, trunks. Pure: [`port::Input`] goes in, [`port::Output`] comes out.

pub mod cdr;
pub mod config;
pub mod media;
pub mod port;
pub mod refusal;
pub mod trunk;

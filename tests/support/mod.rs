//! What the tests stand on: phones that know nothing of the server's own code, a world of virtual time, and
//! the engine that plays ladders.

// Every test binary compiles this for itself and uses its own part.
#![allow(dead_code)]

pub mod capture;
pub mod cast;
pub mod customer;
pub mod descriptions;
pub mod drawing;
pub mod heard;
pub mod keys;
pub mod ladder;
pub mod law;
pub mod outline;
pub mod pad;
pub mod phone;
pub mod plays;
pub mod prompts;
pub mod rel;
pub mod sdp;
pub mod secret;
pub mod sequence;
pub mod session;
pub mod stage;
pub mod strict;
pub mod text;
pub mod tone;
pub mod wires;
pub mod witness;
pub mod world;

//! The map of the house (being built).
pub mod api;
pub mod base;
pub mod call;
pub mod cli;
pub mod config;
pub mod masking;
pub mod media;
pub mod records;
pub mod rtp;
pub mod sdp;
pub mod server;
pub mod sip;
pub mod store;
pub mod telemetry;
pub mod transport;

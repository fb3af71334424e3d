//! Floor 4, telemetry: logs, metrics, health and alarms, the messages of calls that ended, and copies
//! for a capture server.

pub mod alarm;
pub mod call_line;
pub mod health;
pub mod hep;
pub mod log;
pub mod metrics;
pub mod registrations;
pub mod traces;

//! Floor 4, telemetry: logs, metrics, health and alarms, and the messages of calls that ended.

pub mod alarm;
pub mod call_line;
pub mod health;
pub mod log;
pub mod metrics;
pub mod registrations;
pub mod traces;

//! Floor 4, telemetry: logs, metrics, health, and the messages of calls that ended.

pub mod health;
pub mod log;
pub mod metrics;
pub mod traces;

//! Floor 4, telemetry: logs, metrics, health.
pub mod health;
pub mod log;
pub mod metrics;

//! Copies of SIP messages for a capture server: begun, changed and ended with the conf.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;

use crate::sip::seen::Onlooker;
use crate::telemetry::hep::{Config, Exporter};
use crate::telemetry::metrics::{Kind, Page};
use crate::transport::shard::Message;

use super::joined::Joined;

/// How long the last copies may take when the server ends.
const LAST_COPIES: Duration = Duration::from_secs(1);

impl Joined {
    /// From now on messages are copied so, or not at all: whom the shards are to tell of them.
    pub(super) fn export(&self, wanted: Option<&Config>) -> anyhow::Result<Option<Arc<dyn Onlooker>>> {
        let exporter = match wanted {
            None => None,
            Some(config) => {
                let mut key = [0; 32];
                getrandom::fill(&mut key)
                    .map_err(|e| anyhow::anyhow!("the system gives no randomness: {e}"))?;
                let started = Exporter::start(config.clone(), key, self.hep_stats.clone());
                Some(Arc::new(started.with_context(|| {
                    format!("no thread or socket for the capture server {}", config.server)
                })?))
            }
        };
        self.hep.store(exporter.clone());
        Ok(exporter.map(|exporter| exporter as Arc<dyn Onlooker>))
    }

    /// The conf says otherwise than before where messages are copied to.
    pub(super) fn export_anew(&self, wanted: Option<&Config>) {
        match self.export(wanted) {
            Ok(onlooker) => {
                (0..self.doors.len()).for_each(|shard| self.say(shard, [Message::Onlooker(onlooker.clone())]))
            }
            Err(error) => tracing::error!("{error:#}: copies go where they went before"),
        }
    }

    /// The shards have ended: what they left is sent.
    pub(super) fn export_no_more(&self) {
        if let Some(exporter) = self.hep.swap(None) {
            exporter.finish(LAST_COPIES);
        }
    }

    pub(super) fn write_export(&self, page: &mut Page) {
        let stats = &self.hep_stats;
        let counts: [(&str, &AtomicU64); 4] = [
            ("sent", &stats.sent),
            ("queue_full", &stats.dropped),
            ("not_taken", &stats.failed),
            ("unreadable", &stats.unreadable),
        ];
        page.rows(
            Kind::Counter,
            "umbra_hep_messages",
            "SIP messages for the capture server, by what became of their copies.",
            counts.map(|(outcome, count)| {
                (
                    vec![("outcome", outcome.to_owned())],
                    count.load(Ordering::Relaxed),
                )
            }),
        );
    }
}

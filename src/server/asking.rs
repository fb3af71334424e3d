//! Who asks customers' servers, as the conf says.

use std::sync::Arc;

use anyhow::Context;

use super::joined::{Joined, say_to};
use crate::customer::Config;
use crate::customer::asker::{Asker, Settings};
use crate::customer::dial::Trust;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::{Kind, Page};
use crate::transport::shard::{Door, Message};

/// Starts whoever asks; what comes of it is brought to the shards.
pub(super) fn start(config: &Config, health: &Arc<Health>, doors: &Arc<[Door]>) -> anyhow::Result<Asker> {
    let (health, doors) = (health.clone(), doors.clone());
    let settings = settings(config)?;
    let bring = Box::new(move |shard: usize, id, advice| {
        if let Some(door) = doors.get(shard) {
            say_to(&health, door, [Message::Advice(id, advice)]);
        }
    });
    Asker::start(settings, bring).context("no thread for asking customers' servers")
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    let trust = Trust::of(config.ca.as_ref()).with_context(|| match &config.ca {
        Some(_) => "the certificates of ask.ca can't be used",
        None => "the certificates that this system trusts can't be used",
    })?;
    Ok(Settings {
        trust,
        per_server: config.per_server,
    })
}

impl Joined {
    /// The conf says otherwise than before how customers' servers are asked.
    pub(super) fn ask_anew(&self, config: &Config) {
        match settings(config) {
            Ok(settings) => self.asker.follow(settings),
            Err(error) => tracing::error!("{error:#}: customers' servers are asked as before"),
        }
    }

    pub(super) fn write_asking(&self, page: &mut Page) {
        let counts = self.asker.stats().counts();
        page.rows(
            Kind::Counter,
            "umbra_ask_questions",
            "Questions to customers' servers, by what came of them.",
            counts
                .outcomes
                .into_iter()
                .map(|(outcome, count)| (vec![("outcome", outcome.to_owned())], count)),
        );
        page.one(
            Kind::Counter,
            "umbra_ask_answer_seconds",
            "Seconds that the usable answers of customers' servers took, all together.",
            counts.answered_s,
        );
        page.one(
            Kind::Gauge,
            "umbra_ask_open",
            "Questions to customers' servers that are under way.",
            counts.open,
        );
        page.one(
            Kind::Gauge,
            "umbra_ask_circuits_open",
            "Customers' servers that failed again and again, and are left alone for a while.",
            counts.circuits_open,
        );
    }
}

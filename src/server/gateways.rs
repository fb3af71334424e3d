//! What the owner does about gateways: keeps over restarts what admins have blocked, and tells of what is down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::joined::Joined;
use crate::base::time::Wall;
use crate::call::reach::{Block, Outcome, Reach, Standing};
use crate::store::file;
use crate::telemetry::health::State;
use crate::telemetry::metrics::{Kind, Page};

/// The file in the store's folder that says what is blocked.
const FILE: &str = "blocked_trunks.json";

/// One block, as the file has it.
#[derive(Serialize, Deserialize)]
struct Line {
    trunk: Box<str>,
    gateway: Option<Box<str>>,
    /// In milliseconds since 1970.
    since: i64,
}

/// What admins had blocked before this start. A file that can't be read blocks nothing, and that is said.
pub(super) fn blocked(store: &Path) -> Vec<Block> {
    let path = store.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::error!("{} can't be read, nothing is blocked: {error}", path.display());
            return Vec::new();
        }
    };
    let lines: Vec<Line> = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::error!("{} is damaged, nothing is blocked: {error}", path.display());
        Vec::new()
    });
    let block = |line: Line| Block {
        trunk: line.trunk,
        gateway: line.gateway,
        since: Wall::from_millis(line.since),
    };
    lines.into_iter().map(block).collect()
}

/// Writes down what is blocked.
pub(super) struct Keeper {
    path: PathBuf,
    reach: Arc<Reach>,
    /// One writes at a time, so that the last to write has the newest to say.
    turn: Mutex<()>,
}

impl Keeper {
    pub(super) fn new(store: &Path, reach: Arc<Reach>) -> Self {
        Self {
            path: store.join(FILE),
            reach,
            turn: Mutex::default(),
        }
    }

    /// Writes it down, durably.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn keep(&self) -> Result<(), String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |block: Block| Line {
            trunk: block.trunk,
            gateway: block.gateway,
            since: block.since.as_millis(),
        };
        let lines: Vec<Line> = self.reach.blocks().into_iter().map(line).collect();
        let bytes = serde_json::to_vec(&lines).map_err(|error| error.to_string())?;
        file::keep(&self.path, &bytes).map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// What was told of gateways.
#[derive(Default)]
pub(super) struct Told {
    /// What was known then.
    version: Option<u64>,
    /// Gateways that are down, by trunk and name.
    down: BTreeSet<(Box<str>, Box<str>)>,
    /// Trunks that something was said of.
    parts: BTreeSet<String>,
}

impl Joined {
    /// Tells of gateways that went down or came up, and of trunks that are not as they should be.
    pub(super) fn tell_gateways(&self) {
        let mut told = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.reach.version();
        if told.version == Some(version) {
            return;
        }
        told.version = Some(version);
        let config = self.config.load();
        let (mut down, mut parts) = (BTreeSet::new(), BTreeMap::new());
        for trunk in &config.trunks {
            let of = self.reach.of(&trunk.name);
            let mut troubles = Vec::new();
            if let Some(since) = of.blocked {
                troubles.push(format!(
                    "blocked since {since}: umbra trunk unblock {}",
                    trunk.name
                ));
            }
            for gateway in &trunk.gateways {
                let name = gateway.name().into_boxed_str();
                let Some(known) = of.gateways.get(&name) else {
                    continue;
                };
                if let Some(since) = known.blocked {
                    troubles.push(format!("{name} is blocked since {since}"));
                }
                if let Some(since) = known.down {
                    troubles.push(format!("{name} answers no probe since {since}"));
                    down.insert((trunk.name.clone(), name));
                }
            }
            if !troubles.is_empty() {
                parts.insert(format!("trunk {}", trunk.name), troubles.join("; "));
            }
        }
        for (trunk, gateway) in down.difference(&told.down) {
            tracing::warn!("gateway {gateway} of trunk {trunk} is down: it answers no probe");
        }
        for (trunk, gateway) in told.down.difference(&down) {
            tracing::info!("gateway {gateway} of trunk {trunk} is not down any more");
        }
        for part in told.parts.iter().filter(|part| !parts.contains_key(*part)) {
            self.health.remove(part);
        }
        told.parts = parts.keys().cloned().collect();
        told.down = down;
        for (part, sentence) in parts {
            self.health.set(&part, State::Degraded, sentence);
        }
    }

    /// Writes how the gateways are.
    pub(super) fn write_gateways(&self, page: &mut Page) {
        let (config, at) = (self.config.load(), self.clock.now().at);
        let (mut states, mut probes, mut round_trips) = (Vec::new(), Vec::new(), Vec::new());
        for trunk in &config.trunks {
            let of = self.reach.of(&trunk.name);
            for (place, gateway) in trunk.gateways.iter().enumerate() {
                let name = gateway.name();
                let labels = || vec![("trunk", trunk.name.to_string()), ("gateway", name.clone())];
                let state = match self.reach.standing(trunk, place, at) {
                    Standing::Open => 0,
                    Standing::Rests(_) => 1,
                    Standing::Down => 2,
                    Standing::Blocked => 3,
                };
                states.push((labels(), state));
                let Some(known) = of.gateways.get(name.as_str()) else {
                    continue;
                };
                for (outcome, count) in [("answered", known.answered), ("failed", known.failed)] {
                    let mut labels = labels();
                    labels.push(("outcome", outcome.to_owned()));
                    probes.push((labels, count));
                }
                if let Some((Outcome::Status(_, took), _)) = known.last {
                    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                    round_trips.push((labels(), micros));
                }
            }
        }
        page.rows(
            Kind::Gauge,
            "umbra_gateway_state",
            "How a gateway is: 0 open, 1 resting (503 with Retry-After), 2 down, 3 blocked.",
            states,
        );
        page.rows(
            Kind::Counter,
            "umbra_gateway_probes",
            "OPTIONS probes of a gateway, by outcome.",
            probes,
        );
        page.rows(
            Kind::Gauge,
            "umbra_gateway_round_trip_us",
            "Microseconds that the answer to a gateway's last probe took, if it had one.",
            round_trips,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_blocked_is_found_again_and_a_damaged_file_blocks_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(blocked(dir.path()), []);
        let block = |gateway: Option<&str>| Block {
            trunk: "carrier".into(),
            gateway: gateway.map(Into::into),
            since: Wall::from_millis(1_795_255_200_000),
        };
        let all = [block(None), block(Some("sip:127.0.0.3:5060;transport=udp"))];
        let reach = Arc::new(Reach::with(all.clone()));
        Keeper::new(dir.path(), reach.clone()).keep().expect("kept");
        assert_eq!(Reach::with(blocked(dir.path())).blocks(), all);
        assert!(reach.unblock("carrier", None));
        Keeper::new(dir.path(), reach).keep().expect("kept");
        assert_eq!(blocked(dir.path()), []);
        std::fs::write(dir.path().join(FILE), "[{").expect("written");
        assert_eq!(blocked(dir.path()), []);
    }
}

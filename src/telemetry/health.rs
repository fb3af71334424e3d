//! Health: the server's parts by name, each with a state and a sentence; the worst is the server's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// How a part is. The order is from good to bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and somebody should look: a trunk is silent, the disk is slow.
    Degraded,
    /// Calls are refused or lost because of it.
    Failing,
}

impl State {
    /// The word for it: `ok`, `degraded`, `failing`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }
}

/// One part, as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Part {
    /// Its name: `store`, `cdr files`, `trunk carrier`.
    pub name: String,
    /// How it is.
    pub state: State,
    /// Why, in a sentence; empty if there is nothing to say.
    pub sentence: String,
}

/// The whole server, as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The worst of the parts.
    pub state: State,
    /// The parts, by name.
    pub parts: Vec<Part>,
}

/// The parts and how each is.
pub struct Health(Mutex<BTreeMap<String, (State, String)>>);

impl Health {
    /// A server whose `parts` have not reported yet: it is failing until all of them have.
    pub fn expecting(parts: &[&str]) -> Self {
        let starting = |name: &&str| ((*name).to_owned(), (State::Failing, "starting".to_owned()));
        Self(Mutex::new(parts.iter().map(starting).collect()))
    }

    /// A part says how it is; a change is logged. Parts that were not expected come in with their first word.
    pub fn set(&self, name: &str, state: State, sentence: impl Into<String>) {
        let sentence = sentence.into();
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = parts.insert(name.to_owned(), (state, sentence.clone()));
        drop(parts);
        if before.map(|(state, _)| state) == Some(state) {
            return;
        }
        match state {
            State::Ok if sentence.is_empty() => tracing::info!("{name} is ok"),
            State::Ok => tracing::info!("{name} is ok: {sentence}"),
            State::Degraded => tracing::warn!("{name} is degraded: {sentence}"),
            State::Failing => tracing::error!("{name} is failing: {sentence}"),
        }
    }

    /// A part is no more: a trunk that left the conf.
    pub fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The worst state of all parts.
    pub fn state(&self) -> State {
        self.report().state
    }

    /// Everything, for `umbra status`, `/healthz` and `/readyz`.
    pub fn report(&self) -> Report {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<Part> = parts
            .iter()
            .map(|(name, (state, sentence))| Part {
                name: name.clone(),
                state: *state,
                sentence: sentence.clone(),
            })
            .collect();
        Report {
            state: parts.iter().map(|p| p.state).max().unwrap_or(State::Ok),
            parts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_as_its_worst_part_and_fails_until_all_have_reported() {
        let health = Health::expecting(&["store", "sip"]);
        health.set("sip", State::Ok, "");
        assert_eq!(health.state(), State::Failing, "the store is still starting");
        health.set("store", State::Ok, "");
        assert_eq!(health.state(), State::Ok);
        health.set("trunk carrier", State::Degraded, "127.0.0.3:5060 is silent");
        assert_eq!(health.state(), State::Degraded);
        assert_eq!(
            serde_json::to_string(&health.report().parts[2]).expect("plain"),
            r#"{"name":"trunk carrier","state":"degraded","sentence":"127.0.0.3:5060 is silent"}"#
        );
        health.remove("trunk carrier");
        assert_eq!(health.state(), State::Ok);
    }
}

//! What there is to say of our certificates, and of gateways that we can't reach over TLS.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::limits::TLS_ENDS_SOON;
use crate::base::time::Wall;
use crate::telemetry::health::{Health, State};
use crate::telemetry::metrics::{Kind, Page};
use crate::transport::tls::Shown;

use super::joined::Joined;

/// A certificate that was read, in words.
pub(super) fn told(shown: &Shown) -> String {
    let whose = match &shown.trunk {
        None => "certificate".to_owned(),
        Some(trunk) => format!("certificate of trunk {trunk}"),
    };
    let names = if shown.names.is_empty() {
        String::new()
    } else {
        format!(", for {}", shown.names.join(", "))
    };
    let ends = shown
        .ends_at
        .map_or_else(String::new, |ends| format!(", ends {ends}"));
    format!("{whose} {}{names}{ends}", shown.file.display())
}

/// How a certificate is, and why.
fn state_of(shown: &Shown, now: Wall) -> (State, String) {
    let Some(ends) = shown.ends_at else {
        return (State::Ok, String::new());
    };
    let cure = "put the new one in its place, then umbra reload";
    let left = ends.since(now);
    if left == Duration::ZERO {
        (
            State::Failing,
            format!(
                "{} ended {ends}: nobody believes it any more; {cure}",
                shown.file.display()
            ),
        )
    } else if left < TLS_ENDS_SOON {
        let days = left.as_secs() / 86_400;
        (
            State::Degraded,
            format!("{} ends {ends}, in {days} days: {cure}", shown.file.display()),
        )
    } else {
        (State::Ok, String::new())
    }
}

fn part_of(shown: &Shown) -> String {
    match &shown.trunk {
        None => "certificate".to_owned(),
        Some(trunk) => format!("certificate of {trunk}"),
    }
}

impl Joined {
    /// Says how the certificates are, and which trunks can't be reached over TLS; what is gone from the conf is said no more.
    pub(super) fn look_at_tls(&self) {
        let now = self.clock.now().wall;
        let mut parts: Vec<(String, State, String)> = Vec::new();
        for shown in self.terms.load().shown() {
            let (state, sentence) = state_of(shown, now);
            parts.push((part_of(shown), state, sentence));
        }
        let config = self.config.load();
        let troubled = config.trunks.iter().filter_map(|trunk| {
            let sentence = self.sip.troubles.of(trunk.party())?;
            Some((format!("tls of {}", trunk.name), State::Degraded, sentence))
        });
        parts.extend(troubled);
        let mut said = self
            .said_of_tls
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        forget(&self.health, &said, &parts);
        said.clear();
        for (name, state, sentence) in parts {
            self.health.set(&name, state, sentence);
            said.push(name);
        }
    }

    /// Writes what TLS has to show.
    pub(super) fn write_tls(&self, page: &mut Page) {
        page.one(
            Kind::Gauge,
            "umbra_tls_handshakes_pending",
            "TLS handshakes under way.",
            self.sip.handshakes.load(Ordering::Relaxed),
        );
        for (name, help, count) in [
            (
                "umbra_tls_handshakes",
                "TLS handshakes that were done.",
                &self.sip.handshakes_done,
            ),
            (
                "umbra_tls_handshakes_failed",
                "TLS handshakes that failed: no TLS, or a certificate that was refused.",
                &self.sip.handshakes_failed,
            ),
        ] {
            page.one(Kind::Counter, name, help, count.load(Ordering::Relaxed));
        }
        let terms = self.terms.load();
        let row = |shown: &Shown| {
            let ends = u64::try_from(shown.ends_at?.as_millis() / 1_000).ok()?;
            let trunk = shown.trunk.as_deref().unwrap_or_default().to_owned();
            Some((vec![("trunk", trunk)], ends))
        };
        page.rows(
            Kind::Gauge,
            "umbra_tls_certificate_end_timestamp_seconds",
            "When our certificates end, in Unix time; no trunk's is the listeners'.",
            terms.shown().iter().filter_map(row),
        );
    }
}

/// Takes out what was said of parts that are no more.
fn forget(health: &Health, said: &[String], parts: &[(String, State, String)]) {
    for gone in said
        .iter()
        .filter(|name| parts.iter().all(|(part, ..)| part != *name))
    {
        health.remove(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_of_two_weeks_before_its_end() {
        let now = Wall::from_millis(1_795_255_200_000);
        let days = |days: u64| {
            let shown = Shown {
                trunk: None,
                file: "tls/umbra.pem".into(),
                names: vec!["sbc.example".into()],
                ends_at: Some(now.plus(Duration::from_secs(days * 86_400))),
                chain: Vec::new(),
            };
            state_of(&shown, now)
        };
        assert_eq!(days(15), (State::Ok, String::new()));
        let (state, sentence) = days(13);
        assert_eq!(state, State::Degraded);
        assert!(
            sentence.contains("in 13 days") && sentence.contains("umbra reload"),
            "{sentence}"
        );
        assert_eq!(days(0).0, State::Failing);
    }
}

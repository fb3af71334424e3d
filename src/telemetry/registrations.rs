//! How our registrations with trunks are: for health, metrics and listings.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::health::{Health, State};
use super::metrics::{Kind, Page};
use crate::base::time::Wall;
use crate::call::port::{Registered, Registration, Unregistered};

/// The last word of each trunk that wants us registered; as many as the conf has.
#[derive(Default)]
pub struct Registrations(Mutex<BTreeMap<Box<str>, Registered>>);

impl Registrations {
    /// Takes news in: into the server's health too, and the log.
    pub fn take(&self, news: &Registration, health: &Health) {
        let Registration { trunk, state } = news;
        let part = format!("registration {trunk}");
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match state {
            Registered::Never => known.remove(trunk),
            Registered::Until(_) | Registered::Failed(..) | Registered::TakenBack => {
                known.insert(trunk.clone(), *state)
            }
        };
        drop(known);
        match state {
            Registered::Failed(why, again) => {
                let sentence = format!("{}; tried again at {again}", why_text(*why));
                tracing::warn!("trunk {trunk} doesn't know us: {sentence}");
                health.set(&part, State::Degraded, sentence);
            }
            Registered::Until(until) => {
                health.remove(&part);
                if !matches!(before, Some(Registered::Until(_))) {
                    tracing::info!("trunk {trunk} knows us until {until}");
                }
            }
            Registered::TakenBack | Registered::Never => {
                health.remove(&part);
                tracing::info!("trunk {trunk} doesn't know us any more, as we asked");
            }
        }
    }

    /// A trunk's last word, if there is any.
    pub fn of(&self, trunk: &str) -> Option<Registered> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(trunk).copied()
    }

    /// Writes them at `now` on a page of metrics.
    pub fn write(&self, now: Wall, page: &mut Page) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = known.iter().map(|(trunk, state)| {
            let is_known = matches!(state, Registered::Until(until) if *until > now);
            (vec![("trunk", trunk.to_string())], u64::from(is_known))
        });
        page.rows(
            Kind::Gauge,
            "umbra_trunk_registered",
            "Whether a trunk's gateway knows us by our REGISTER.",
            rows,
        );
    }
}

/// Why a registration failed, for people.
pub fn why_text(why: Unregistered) -> String {
    match why {
        Unregistered::Silent => "the gateway says nothing, or can't be reached".to_owned(),
        Unregistered::Status(status) => format!("the gateway refuses with {status}"),
        Unregistered::Challenge(why) => format!("the gateway asked for a password: {}", why.name()),
        Unregistered::NotGranted => "the gateway agreed and keeps nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::cdr::Challenged;

    #[test]
    fn a_failed_registration_is_a_part_of_the_health_until_it_comes_about_or_is_not_wanted() {
        let (health, all) = (Health::expecting(&[]), Registrations::default());
        let news = |state| Registration {
            trunk: "carrier".into(),
            state,
        };
        let at = Wall::from_millis(60_000);
        let why = Unregistered::Challenge(Challenged::WrongPassword);
        all.take(&news(Registered::Failed(why, at)), &health);
        let parts = health.report().parts;
        assert_eq!((parts.len(), parts[0].name.as_str()), (1, "registration carrier"));
        assert_eq!(
            parts[0].sentence,
            "the gateway asked for a password: wrong_password; tried again at 1970-01-01T00:01:00.000Z"
        );
        for well in [Registered::Until(at), Registered::TakenBack, Registered::Never] {
            all.take(&news(Registered::Failed(Unregistered::Silent, at)), &health);
            all.take(&news(well), &health);
            assert_eq!(health.report().parts, []);
        }
        assert_eq!(all.of("carrier"), None);
    }
}

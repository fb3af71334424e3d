//! Alarms: what the switch notes and a person should hear of. One that comes by the thousand is one part of
//! the server's health with a count in its sentence, said in the log when it begins and when it is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::health::{Health, State};
use crate::base::time::Wall;
use crate::call::port::Note;

/// An alarm that has not come for so long is over.
const QUIET: Duration = Duration::from_secs(60);

/// The alarms that are on.
pub struct Alarms {
    health: Arc<Health>,
    raised: Mutex<BTreeMap<&'static str, Raised>>,
    hints: Mutex<BTreeMap<&'static str, Hint>>,
}

/// When a hint was given last, and how often there was cause for another since.
struct Hint {
    given: Wall,
    kept_back: u64,
}

struct Raised {
    count: u64,
    first: Wall,
    last: Wall,
}

impl Alarms {
    /// No alarm yet; they will be parts of `health`.
    pub fn new(health: Arc<Health>) -> Self {
        Self {
            health,
            raised: Mutex::default(),
            hints: Mutex::default(),
        }
    }

    /// Takes what the switch noted, if it is an alarm.
    pub fn note(&self, note: Note, now: Wall) {
        let Some((part, what, cure)) = words(note) else {
            return;
        };
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = raised.entry(part).or_insert(Raised {
            count: 0,
            first: now,
            last: now,
        });
        alarm.count += 1;
        alarm.last = now;
        let sentence = format!("{what}: {} since {}; {cure}", alarm.count, alarm.first);
        self.health.set(part, State::Degraded, sentence);
    }

    /// What is no alarm, since anybody on the net can cause it, and yet explains a carrier's missing calls: a
    /// line for the log, at most one a minute of each kind.
    pub fn hint(&self, note: Note, from: SocketAddr, now: Wall) -> Option<String> {
        let what = match note {
            Note::Stranger => "a request came from an address that no trunk accepts from",
            Note::Malformed => "a message came that can't be read",
            Note::WrongPassword => "a request came with wrong credentials",
            Note::Banned => {
                "nothing of an address is read for a while, for it keeps sending what no trunk sends (umbra ban list)"
            }
            Note::Guessing => "credentials were not looked at, after too many wrong ones of the same source",
            Note::GuardHit
            | Note::PortsDry
            | Note::PortTaken
            | Note::FilesDry
            | Note::ConnectionsFull
            | Note::Stray
            | Note::Shed
            | Note::Emergency
            | Note::SendFailed => return None,
        };
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        let kept_back = match hints.get_mut(what) {
            Some(hint) if now.since(hint.given) < QUIET => {
                hint.kept_back += 1;
                return None;
            }
            Some(hint) => hint.kept_back,
            None => 0,
        };
        hints.insert(
            what,
            Hint {
                given: now,
                kept_back: 0,
            },
        );
        Some(match kept_back {
            0 => format!("{what}: {from}"),
            n => format!("{what}: {from} (and {n} more since the last such line)"),
        })
    }

    /// Takes back the alarms that have been quiet for a minute.
    pub fn look(&self, now: Wall) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        raised.retain(|part, alarm| {
            let is_on = now.since(alarm.last) < QUIET;
            if !is_on {
                self.health.remove(part);
                let seconds = QUIET.as_secs();
                tracing::info!("{part} is ok: quiet for {seconds} s after {} alarms", alarm.count);
            }
            is_on
        });
    }
}

/// The part of the server, what is counted, and what helps.
const fn words(note: Note) -> Option<(&'static str, &'static str, &'static str)> {
    match note {
        Note::PortsDry => Some((
            "media ports",
            "calls refused for want of a media port",
            "widen media.ports",
        )),
        Note::PortTaken => Some((
            "media range",
            "ports of media.ports that can't be opened",
            "another program has them: keep the range free",
        )),
        Note::GuardHit => Some((
            "guard",
            "messages that the egress guard stopped",
            "please report this as a bug",
        )),
        Note::FilesDry => Some((
            "open files",
            "media ports that the system has no file or memory for",
            "raise the limit of open files (LimitNOFILE), or narrow media.ports",
        )),
        Note::ConnectionsFull => Some((
            "connections",
            "TCP connections with trunks that were refused for their number",
            "see who holds them (ss -tn), and ask the carrier for fewer",
        )),
        Note::Malformed
        | Note::Stray
        | Note::Stranger
        | Note::WrongPassword
        | Note::Guessing
        | Note::Shed
        | Note::Banned
        | Note::Emergency
        | Note::SendFailed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_of_one_kind_are_one_part_with_a_count_until_they_are_quiet_for_a_minute() {
        let health = Arc::new(Health::expecting(&[]));
        let alarms = Alarms::new(Arc::clone(&health));
        let at = |seconds: i64| Wall::from_millis(seconds * 1_000);
        alarms.note(Note::PortsDry, at(0));
        alarms.note(Note::Malformed, at(1));
        alarms.note(Note::PortsDry, at(2));
        let parts = health.report().parts;
        assert_eq!(parts.len(), 1);
        assert_eq!(
            (parts[0].name.as_str(), parts[0].state),
            ("media ports", State::Degraded)
        );
        assert_eq!(
            parts[0].sentence,
            "calls refused for want of a media port: 2 since 1970-01-01T00:00:00.000Z; widen media.ports"
        );
        alarms.look(at(61));
        assert_eq!(health.state(), State::Degraded);
        alarms.look(at(62));
        assert_eq!(health.report().parts, []);
    }

    #[test]
    fn who_is_no_trunks_is_hinted_at_once_a_minute_with_an_address() {
        let alarms = Alarms::new(Arc::new(Health::expecting(&[])));
        let at = |seconds: i64| Wall::from_millis(seconds * 1_000);
        let from = SocketAddr::from(([192, 0, 2, 7], 5_060));
        assert_eq!(
            alarms.hint(Note::Stranger, from, at(0)).as_deref(),
            Some("a request came from an address that no trunk accepts from: 192.0.2.7:5060")
        );
        assert_eq!(alarms.hint(Note::Stranger, from, at(30)), None);
        assert!(alarms.hint(Note::Malformed, from, at(30)).is_some());
        assert!(
            alarms
                .hint(Note::Stranger, from, at(61))
                .is_some_and(|line| line.ends_with("(and 1 more since the last such line)"))
        );
        assert_eq!(alarms.hint(Note::PortsDry, from, at(61)), None);
    }
}

//! What there is to say of the server's parts when something is wrong with them, in sentences.

use std::time::Duration;

use crate::base::limits::{OTHER_FILES, TCP_CONNECTIONS_MAX};
use crate::call::config::{Config, Listener};
use crate::call::port::Records;
use crate::names::keeper::Names;
use crate::store::follow::DiskState;
use crate::store::journal::JournalHealth;
use crate::store::writer::{Store, StoreHealth, WriteState};

/// How far our time may be ahead of the system's clock before it is said.
const AHEAD_MAX: Duration = Duration::from_secs(1);

/// Files that the server opens besides its media ports.
pub(super) fn other_files(listeners: &[Listener]) -> usize {
    let speaks_tcp = listeners.iter().any(|l| l.transport.is_reliable());
    OTHER_FILES + if speaks_tcp { TCP_CONNECTIONS_MAX } else { 0 }
}

/// Files that go with each pair of a range's ports: two sockets, and where calls are recorded half of a recording's two, for a
/// call has two pairs.
pub(super) const fn files_of_a_pair(are_recorded: bool) -> usize {
    if are_recorded { 3 } else { 2 }
}

/// What there is to say of a limit of open files beside a range of so many ports, with so many files for each pair
/// of them, and so many other files.
pub(super) fn too_few_files(files: usize, ports: usize, of_a_pair: usize, others: usize) -> Option<String> {
    let wanted = ports / 2 * of_a_pair + others;
    (files < wanted).then(|| {
        format!(
            "the system lets us open {files} files, media.ports and the rest want {wanted}: raise the limit \
             (LimitNOFILE in the unit, ulimit -n), or narrow media.ports"
        )
    })
}

/// What there is to say of a clock that is this far ahead of the system's.
pub(super) fn set_back(ahead: Duration) -> Option<String> {
    (ahead > AHEAD_MAX).then(|| {
        format!(
            "the system's clock was set back: our time goes on {} s ahead of it, so that bindings stay in order; \
             look at what sets the clock, then start the server anew",
            ahead.as_secs()
        )
    })
}

/// What is wrong with the store, in a sentence.
pub(super) fn trouble(health: StoreHealth) -> Option<String> {
    let writes = match health.writes {
        WriteState::Taken => None,
        WriteState::Refused(sentence) => Some(sentence),
        WriteState::Stopped => Some("the binding writer has ended: restart the server".to_owned()),
    };
    let disk = match health.disk {
        DiskState::Following => None,
        DiskState::Failing(sentence) | DiskState::Left(sentence) => Some(sentence),
    };
    writes.or(disk).or(health.snapshot_error)
}

/// Which names of gateways DNS says nothing about, in a sentence.
pub(super) fn unresolved(names: &Names) -> Option<String> {
    let trouble: Vec<String> = names
        .status()
        .iter()
        .filter_map(|status| {
            let error = status.error.as_ref()?;
            let counts = match status.servers.as_slice() {
                [] => "no call can go there",
                [..] => "its last answer counts",
            };
            Some(format!("{}: {counts} ({error})", status.name))
        })
        .collect();
    (!trouble.is_empty()).then(|| trouble.join("; "))
}

/// Which trunks bring more calls than can be taken, in a sentence.
pub(super) fn pressed(config: &Config) -> Option<String> {
    let trunks = config.trunks.iter();
    let pressed: Vec<String> = trunks
        .map(|trunk| (&trunk.name, trunk.overload.counts().loss_percent))
        .filter(|(_, loss)| *loss > 0)
        .map(|(name, loss)| format!("{name} by {loss} of a hundred"))
        .collect();
    let names = pressed.join(", ");
    (!pressed.is_empty())
        .then(|| format!("more calls come than are taken, and are refused with 503: {names}"))
}

/// Which pools run out of numbers, in a sentence.
pub(super) fn low_pools(store: &Store) -> Option<String> {
    let low = store.table().low_pools();
    (!low.is_empty()).then(|| format!("low on numbers: {} (see umbra pool usage)", low.join(", ")))
}

/// What is wrong with the journal, in a sentence.
pub(super) fn journal_trouble(journal: &JournalHealth) -> Option<String> {
    let waiting = journal.waiting;
    match (&journal.error, journal.records, journal.dropped) {
        (Some(error), Records::Full, _) => Some(format!(
            "{error}: {waiting} entries wait in memory, and new calls are refused"
        )),
        (Some(error), Records::Kept, _) => Some(format!("{error}: {waiting} entries wait in memory")),
        (None, Records::Full, _) => Some(format!(
            "{waiting} entries wait in memory, and new calls are refused"
        )),
        (None, Records::Kept, 0) => None,
        (None, Records::Kept, lost) => Some(format!(
            "{lost} entries of calls were lost: if the server is killed, records of calls that were up then may be \
             missing or wrong. A restart once those calls are over puts it right"
        )),
    }
}

/// Why the calls in progress can't be left to another process now, in a sentence.
pub(super) fn no_handover(journal: &JournalHealth) -> Option<String> {
    let trouble = journal_trouble(journal).filter(|_| journal.waiting > 0)?;
    Some(format!(
        "the next server would know nothing of some calls in progress, so they are not left to it: {trouble}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Instant, Now, Wall};
    use crate::call::overload::lines::Verdict;
    use crate::call::trunk::Trunk;

    #[test]
    fn a_limit_of_open_files_below_the_ports_is_said_with_both_numbers() {
        assert_eq!(too_few_files(10_512, 10_000, 2, 512), None);
        let sentence = too_few_files(1_024, 10_000, 2, 512).unwrap();
        assert!(
            sentence.contains("1024 files") && sentence.contains("10512"),
            "{sentence}"
        );
    }

    #[test]
    fn a_trunk_that_brings_more_than_is_taken_is_named() {
        let config = Config {
            trunks: vec![Trunk::bare("calm"), Trunk::bare("flood")],
            ..Config::on(([127, 0, 0, 1], 5_060).into())
        };
        assert_eq!(pressed(&config), None);
        let at = |ms| Now {
            at: Instant::default() + Duration::from_millis(ms),
            wall: Wall::default(),
        };
        for verdict in [Verdict::Taken, Verdict::Shed, Verdict::Shed, Verdict::Shed] {
            config.trunks[1].overload.count(at(0), verdict);
        }
        config.trunks[1].overload.turn(at(500));
        let sentence = pressed(&config).unwrap();
        assert!(sentence.ends_with("503: flood by 75 of a hundred"), "{sentence}");
    }

    #[test]
    fn the_journal_says_what_waits_what_is_refused_and_what_was_lost() {
        let well = JournalHealth {
            records: Records::Kept,
            live: 7,
            waiting: 0,
            dropped: 0,
            error: None,
        };
        assert_eq!(journal_trouble(&well), None);
        let full = JournalHealth {
            records: Records::Full,
            waiting: 30_000,
            error: Some("calls.log: No space left".to_owned()),
            ..well.clone()
        };
        let said = journal_trouble(&full).expect("something is wrong");
        assert_eq!(
            said,
            "calls.log: No space left: 30000 entries wait in memory, and new calls are refused"
        );
        let lossy = JournalHealth { dropped: 3, ..well };
        assert!(journal_trouble(&lossy).is_some_and(|said| said.starts_with("3 entries of calls were lost")));
    }
}

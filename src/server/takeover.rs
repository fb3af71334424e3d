//! The calls that the process before left in progress: which go on here and which end, and where each of them lives.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::id::Id;
use crate::base::limits::TAKEOVER_TRIES;
use crate::base::shard::{Moved, Shard};
use crate::base::time::Wall;
use crate::call::cdr::Cdr;
use crate::call::config::MediaConfig;
use crate::call::kept::{self, Fate};
use crate::call::media::{Lanes, MediaPort, Order};
use crate::call::recording::{self, Fault, Recording, Why};
use crate::records::recorder::sealed;
use crate::records::recordings::chain::Cipher;
use crate::records::recordings::index::{Index, State};
use crate::store::journal::LeftCall;

/// The calls that the process before left in progress.
#[derive(Default)]
pub(super) struct Left {
    /// Those that each shard has to go on with, or to end: by the shard's index.
    pub(super) calls: Vec<Vec<Kept>>,
    /// Those that don't live where their Call-ID says.
    pub(super) moved: Arc<Moved>,
    /// What the media threads are told, so that RTP flows again.
    pub(super) media: Vec<Order>,
    /// The records of those that nobody can go on with, and of those that were over.
    pub(super) records: Vec<Cdr>,
    /// How many of the records are of calls that end by this.
    pub(super) ended: usize,
    /// Those whose state is of no use, or worse: nobody is told that they are over.
    pub(super) unreadable: Vec<Id>,
}

/// A call whose state was kept.
pub(super) struct Kept {
    /// Its record, if it ends by this.
    pub(super) record: Cdr,
    pub(super) state: Box<[u8]>,
    /// The Call-IDs of its legs: the caller's, ours.
    pub(super) call_ids: [Box<[u8]>; 2],
    pub(super) acked: bool,
    pub(super) died: Wall,
    pub(super) fate: Fate,
    /// The ports whose flows the media threads go on with.
    pub(super) ports: Vec<MediaPort>,
}

/// What decides where calls live and whether they go on.
pub(super) struct Terms<'a> {
    pub(super) media: &'a MediaConfig,
    /// How long they may have been left alone.
    pub(super) within: Duration,
    /// How many shards there are.
    pub(super) shards: usize,
    /// The node's key.
    pub(super) key: [u64; 2],
    pub(super) now: Wall,
}

impl Left {
    /// Finds out what becomes of each call. The ports of those that go on are kept for their shards in `lanes`.
    pub(super) fn of(left: Vec<LeftCall>, terms: &Terms<'_>, lanes: &mut Lanes) -> Self {
        let mut all = Self {
            calls: (0..terms.shards).map(|_| Vec::new()).collect(),
            ..Self::default()
        };
        let mut moved = Moved::new();
        let shard = Shard {
            index: 0,
            count: terms.shards,
            key: terms.key,
        };
        for call in left {
            // Of one that is over both sides may still have to be told; its record is written in any case.
            let died = match call.died {
                Some(died) => died,
                None => {
                    all.records.push(call.record.clone());
                    call.record.ended_at
                }
            };
            let is_over = call.died.is_none();
            let Some(state) = call.kept else {
                if is_over {
                    continue;
                }
                all.ended += 1;
                all.records.push(call.record);
                continue;
            };
            let outline = match kept::outline(&state, terms.media) {
                Ok(outline) => outline,
                Err(_) if is_over => {
                    all.unreadable.push(call.record.call_id);
                    continue;
                }
                Err(unfit) => {
                    all.unreadable.push(call.record.call_id);
                    tracing::warn!(call = %call.record.call_id, "the call ends with the server before: {unfit}");
                    all.ended += 1;
                    all.records.push(call.record);
                    continue;
                }
            };
            let [caller, _] = &outline.call_ids;
            let home = shard.home_of(caller);
            let elsewhere = outline.call_ids.iter().filter(|id| shard.home_of(id) != home);
            moved.extend(elsewhere.map(|id| (id.clone(), home)));
            let fate = if is_over {
                Fate::Over
            } else if terms.now.since(died) < terms.within {
                Fate::GoesOn
            } else {
                Fate::Ends
            };
            let mut ports = Vec::new();
            if fate == Fate::GoesOn {
                lanes.keep(home, &outline.ports);
                all.media.extend(outline.media);
                ports.extend(outline.ports);
            }
            if let Some(calls) = all.calls.get_mut(home) {
                calls.push(Kept {
                    record: call.record,
                    state,
                    call_ids: outline.call_ids,
                    acked: call.acked,
                    died,
                    fate,
                    ports,
                });
            }
        }
        all.moved = Arc::new(moved);
        all
    }

    /// Nobody goes on with any of them: whoever tried has died of it.
    pub(super) fn given_up(left: Vec<LeftCall>) -> Self {
        let kept = left.iter().filter(|call| call.kept.is_some());
        let unreadable: Vec<Id> = kept.map(|call| call.record.call_id).collect();
        if !unreadable.is_empty() {
            tracing::error!(
                "{TAKEOVER_TRIES} servers have ended while they took over the calls of the one before: {} calls are given up, \
                 and their records written: please report this, with the log of those servers",
                unreadable.len()
            );
        }
        Self {
            ended: left.iter().filter(|call| call.died.is_some()).count(),
            records: left.into_iter().map(|call| call.record).collect(),
            unreadable,
            ..Self::default()
        }
    }

    /// Those whose records stand in the CDR files are over, too. That can only be after a loss of power, when those were
    /// on the medium before the journal was. Returns what the media threads are to be told then.
    pub(super) fn close(&mut self, recorded: &HashSet<Id>) -> Vec<Order> {
        let mut closed = Vec::new();
        for call in self.calls.iter_mut().flatten() {
            if call.fate != Fate::Over && recorded.contains(&call.record.call_id) {
                call.fate = Fate::Over;
                closed.extend(call.ports.drain(..).map(Order::Close));
                self.records.push(call.record.clone());
            }
        }
        closed
    }

    /// Says of every call what became of its recording, as far as that can be known here: of those that nobody can go on with,
    /// the journal knows what was so when they were called. `dir`: where recordings lie. Returns what the recorder is to be told
    /// of those that are over.
    pub(super) fn look_for_recordings(&mut self, dir: &Path) -> Vec<recording::Order> {
        let of_calls = self.calls.iter().flatten().map(|call| &call.record);
        let asked = self
            .records
            .iter()
            .chain(of_calls.filter(|record| is_open(record)));
        let calls = asked.map(|record| (record.call_id, [record.arrived_at, record.ended_at]));
        let (index, scanned) = Index::of_calls(dir, calls);
        let of_calls = self.calls.iter_mut().flatten().map(|call| &mut call.record);
        let all = self.records.iter_mut().chain(of_calls);
        let open = all.filter(|record| is_open(record));
        for sentence in scanned.said {
            tracing::warn!("what was recorded of a call that was left isn't known: {sentence}");
        }
        for record in open {
            let found = index.of_call(record.call_id).next();
            let found = found.map(|entry| (entry.recording, entry.known.as_ref().map(|known| known.sealed)));
            record.recording = left_of(record, found);
        }
        let over = self.records.iter();
        over.filter_map(|record| ended(record, &index)).collect()
    }
}

/// What the recorder is told of a call that is over, if its recording isn't. Of one that is too short it is told by its call.
fn ended(record: &Cdr, index: &Index) -> Option<recording::Order> {
    let is_kept = record.recording.fate != recording::Fate::None(Why::TooShort);
    let mut running = index
        .of_call(record.call_id)
        .filter(|entry| is_kept && entry.state == State::Running);
    let entry = running.next()?;
    Some(recording::Order::EndLeft(record.call_id, entry.began))
}

/// Whether a record says nothing yet of a recording that there may be.
fn is_open(record: &Cdr) -> bool {
    match record.recording.fate {
        recording::Fate::None(Why::NotAsked | Why::NotAnswered) => true,
        recording::Fate::None(Why::Class95 | Why::Off | Why::TooShort | Why::Lost(_))
        | recording::Fate::Kept
        | recording::Fate::Gaps(_) => false,
    }
}

/// What became of the recording of a call that nobody goes on with, if `found` is what there is of it: its id, and what its chain
/// says of its seal. It ends where it was left.
fn left_of(record: &Cdr, found: Option<(Id, Option<Cipher>)>) -> Recording {
    match (found, record.recording.fate, record.answered_at) {
        (Some((id, cipher)), ..) => Recording {
            id: Some(id),
            fate: recording::Fate::Gaps(Fault::Restart),
            sealed: cipher.map(sealed),
            paused_s: 0,
        },
        // It was to be recorded, and was answered.
        (None, recording::Fate::None(Why::NotAnswered), Some(_)) => {
            Recording::none(Why::Lost(Fault::Restart))
        }
        (None, ..) => record.recording,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::native::support::cdr;
    use crate::call::recording::Order;
    use crate::records::recordings::{Place, pen, tests as recordings};

    #[test]
    fn a_call_that_nobody_goes_on_with_says_what_is_there_of_its_recording() {
        let id = Id::from_bits(7);
        let record = |why, answered_at| Cdr {
            recording: Recording::none(why),
            answered_at,
            ..cdr(7)
        };
        let answered = Some(Wall::from_millis(2));
        let said = |record: &Cdr, found| {
            let recording = left_of(record, found);
            (recording.id, recording.fate.state(), recording.fate.reason())
        };
        let asked = record(Why::NotAnswered, answered);
        let id_of = Some((id, Some(Cipher::Sm4Gcm)));
        assert_eq!(said(&asked, id_of), (Some(id), "gaps", "restart"));
        assert_eq!(left_of(&asked, id_of).sealed, Some(recording::Sealed::Sm4Gcm));
        assert_eq!(said(&asked, None), (None, "none", "restart"));
        let early = record(Why::NotAnswered, None);
        assert_eq!(said(&early, id_of), (Some(id), "gaps", "restart"));
        assert_eq!(said(&early, None), (None, "none", "not answered"));
        let nobodys = record(Why::NotAsked, answered);
        assert_eq!(said(&nobodys, None), (None, "none", "not asked"));
        for why in [Why::Class95, Why::Off, Why::TooShort] {
            assert!(!is_open(&record(why, answered)), "{why:?} stands");
        }
    }

    #[test]
    fn what_a_call_that_is_over_left_unfinished_is_to_end_unless_it_is_too_short() {
        let dir = tempfile::tempdir().unwrap();
        let begin = |number| pen::Begin {
            call: Id::from_bits(number),
            recording: Id::from_bits(number),
            ..recordings::begin(0)
        };
        let pens = [7, 8].map(|number| recordings::begun(dir.path(), &begin(number), 1));
        recordings::recorded(dir.path(), &begin(9), 1);
        let over = |number, recording| Cdr {
            call_id: Id::from_bits(number),
            arrived_at: recordings::noon(),
            recording,
            ..cdr(7)
        };
        let kept = |id| Recording {
            id: Some(Id::from_bits(id)),
            fate: recording::Fate::Kept,
            sealed: Some(recording::Sealed::No),
            paused_s: 0,
        };
        let mut left = Left {
            records: vec![
                over(7, kept(7)),
                over(8, Recording::none(Why::TooShort)),
                over(9, kept(9)),
            ],
            ..Left::default()
        };
        let orders = left.look_for_recordings(dir.path());
        let [Order::EndLeft(id, began)] = orders.as_slice() else {
            panic!("{orders:?}");
        };
        // The index knows its day.
        let place = Place::of(dir.path(), *id, *began);
        assert_eq!((*id, &place), (Id::from_bits(7), pens[0].place()));
    }
}

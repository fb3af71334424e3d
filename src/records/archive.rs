//! The archive: whoever may see recordings asks it, and nothing that is asked goes by unnoted.
//!
//! It joins the index of all recordings, the accounts' keys, for how long each recording is kept, the calls' records
//! (which say in whose calls a number took part) and the audit log. Everything here may wait for the disk, but for
//! [`Archive::tell`]. Whoever asks is a [`Who`]: the owner of the process sees all recordings, an account its own, and of what it
//! doesn't see it isn't told whether it is there. An access that can't be noted is refused.

mod erase;
mod link;
mod opened;
mod shelf;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};
use std::time::Duration;

pub use erase::{Erasing, Which};
use link::Overdue;
pub use link::{NoLinks, PATH as LINK_PATH, Refused, Signer};
pub use opened::{Kind, Opened, Part};
pub use shelf::News;

use super::audit::{self, Act, Audit, Line, Who};
use super::cdr_file::Writer;
use super::cdr_scan::{self, More, Order};
use super::recorder::{self, KeepingOf};
use super::recordings;
use super::recordings::chain::{Sha, account_name};
use super::recordings::index::{Entry, Filter, Index, Scanned, State};
use super::recordings::read::{Summary, summary};
use super::recordings::retention::{Retention, ended};
use super::recordings::seal::Keys;
use super::recordings::verify::{Compared, Verdict, verify};
use crate::base::id::Id;
use crate::base::limits::{PAGE_MAX, PAGE_SCAN_MAX, RECORDING_MARKS_SHOWN_MAX};
use crate::base::time::Wall;
use crate::call::cdr::Party;
use shelf::{Shelf, Stand};

/// How far clocks may have been apart: a record isn't older than its recording by more.
const CLOCKS_APART_MS: i64 = 86_400_000;

/// Why there is nothing to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that id, or it isn't theirs who ask.
    #[error("there is no recording {0}")]
    Absent(Id),
    /// The start isn't over yet.
    #[error("the recordings are being looked through since the start: try again in a moment")]
    Starting,
    /// Another number is being looked for.
    #[error("the records are being searched for another number: try again in a moment")]
    Searching,
    /// Its files can't be read as they should.
    #[error(transparent)]
    Recording(#[from] recordings::Error),
    /// It can't be noted, and so it isn't given.
    #[error("{0}; what can't be noted there isn't given")]
    Unnoted(#[from] audit::Error),
    /// The calls' records can't be read.
    #[error("the records can't be read: {0}: check that disk")]
    Records(#[source] io::Error),
    /// There are no links.
    #[error("{0}")]
    NoLinks(String),
    /// The link opens nothing.
    #[error("this link opens nothing: {}", match .0 { Refused::Forged => "it isn't as it was given", Refused::Expired(_) => "its time is over, ask for another one" })]
    Link(Refused),
}

impl Error {
    /// As the audit log calls it.
    const fn word(&self) -> &'static str {
        match self {
            Self::Absent(_) | Self::Recording(recordings::Error::Absent(_)) => "absent",
            Self::Starting | Self::Searching => "busy",
            Self::Recording(_) => "unreadable",
            Self::Unnoted(_) => "unnoted",
            Self::Records(_) => "no records",
            Self::NoLinks(_) => "no links",
            Self::Link(Refused::Forged) => "forged",
            Self::Link(Refused::Expired(_)) => "expired",
        }
    }
}

/// What an archive is made of.
pub struct Settings {
    /// Where recordings lie, and for how long.
    pub config: recorder::Config,
    /// What sealed ones are opened with.
    pub keys: Keys,
    /// Where the calls' records are.
    pub cdr_dir: PathBuf,
    /// The file of the secret by which links are signed; made if it isn't there.
    pub link_secret: PathBuf,
    /// Where accesses are noted.
    pub audit: Arc<Audit>,
}

/// All recordings of a server. Any thread may hold it in an `Arc`.
pub struct Archive {
    shelf: Shelf,
    config: recorder::Config,
    /// What accounts want of theirs, as soon as that is known.
    terms: OnceLock<KeepingOf>,
    keys: Keys,
    cdr_dir: PathBuf,
    /// Who writes these, as soon as he does.
    writer: OnceLock<Weak<Writer>>,
    /// The file of what signs links, and that, once it was read.
    link_secret: PathBuf,
    signer: OnceLock<Signer>,
    /// Of which links it was noted lately that they are over.
    overdue: Overdue,
    audit: Arc<Audit>,
    /// Held while the records are searched for a number.
    search: Mutex<()>,
    /// What was half erased, and went when it was found; not noted yet.
    rest_erased: Mutex<Vec<Id>>,
}

/// A recording as lists have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What the index has.
    pub entry: Entry,
    /// Before when nobody may erase it; not known while it is written.
    pub not_before: Option<Wall>,
    /// Until when it is kept.
    pub kept_until: Option<Wall>,
}

/// Calls in which a number took part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfParty {
    /// The number, by which those that are over are found.
    pub party: Party,
    /// Those in progress: asked for before those that are over are looked for, so that none is missed that ends meanwhile.
    pub live: Vec<Id>,
}

/// Which recordings are wanted, and how many.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Wanted {
    /// What has to be true of them.
    pub filter: Filter,
    /// Of calls in which this number took part; `None`: of all calls.
    pub party: Option<OfParty>,
    /// Those that come behind this one, the last of the page before.
    pub after: Option<Id>,
    /// So many at the most.
    pub limit: usize,
}

/// A page of recordings.
#[derive(Debug)]
pub struct Listed {
    /// Those that are wanted, the latest first.
    pub rows: Vec<Row>,
    /// Behind which one to go on, if there may be more.
    pub next: Option<Id>,
    /// What the calls' records couldn't tell, where a number was looked for.
    pub searched: Searched,
}

/// What the calls' records couldn't tell of those who took part.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Searched {
    /// From when on there are records, if there are recordings from before.
    pub since: Option<Wall>,
    /// How many of their lines can't be read.
    pub unreadable: usize,
}

impl Searched {
    /// A sentence, if there is something.
    pub fn warning(&self) -> Option<String> {
        let since = self.since.map(|since| {
            format!(
                "the records of calls were searched from {} on, for those before aren't there: whose recordings of earlier \
                 calls are isn't known",
                since.text()
            )
        });
        let unreadable = (self.unreadable > 0).then(|| {
            format!(
                "{} lines of the records of calls can't be read: their calls' recordings may be missing here",
                self.unreadable
            )
        });
        let both: Vec<String> = since.into_iter().chain(unreadable).collect();
        (!both.is_empty()).then(|| both.join("; "))
    }
}

impl Archive {
    /// An archive in which nothing is known before [`Archive::look_through`].
    pub fn new(settings: Settings) -> Self {
        let archive = Self {
            shelf: Shelf::new(&settings.config.dir),
            config: settings.config,
            terms: OnceLock::new(),
            keys: settings.keys,
            cdr_dir: settings.cdr_dir,
            writer: OnceLock::new(),
            link_secret: settings.link_secret,
            signer: OnceLock::new(),
            overdue: Overdue::default(),
            audit: settings.audit,
            search: Mutex::default(),
            rest_erased: Mutex::default(),
        };
        if let Err(error) = archive.signer() {
            tracing::warn!("{error}");
        }
        archive
    }

    /// Something has become of a recording. Never waits for the disk, nor for whoever asks.
    pub fn tell(&self, news: News) {
        self.shelf.tell(news);
    }

    /// Looks through the folder and says what can't be read; nobody waits for it meanwhile. `work` may end and delete what it
    /// finds.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn look_through<T>(
        &self,
        work: impl FnOnce(&mut Index, &Scanned) -> T,
    ) -> Result<T, recordings::Error> {
        self.shelf.look_through(|index, scanned| {
            for sentence in &scanned.said {
                tracing::warn!("{sentence}");
            }
            self.rest_erased().extend_from_slice(&scanned.erased);
            work(index, &scanned)
        })
    }

    /// What was half erased, and went when it was found, since somebody asked before: to be noted.
    pub fn take_rest_erased(&self) -> Vec<Id> {
        std::mem::take(&mut *self.rest_erased())
    }

    fn rest_erased(&self) -> MutexGuard<'_, Vec<Id>> {
        self.rest_erased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This is what accounts want of their recordings.
    pub fn keep(&self, terms: KeepingOf) {
        // The first word counts: it asks anew each time.
        let _ = self.terms.set(terms);
    }

    /// He writes the calls' records: some wait for him that are in no file yet.
    pub fn ask_too(&self, writer: &Arc<Writer>) {
        // There is one.
        let _ = self.writer.set(Arc::downgrade(writer));
    }

    /// How long recordings are kept, each account's.
    fn retention(&self) -> Retention {
        let terms = self.terms.get().map(|terms| terms());
        self.config.retention(terms.into_iter().flatten())
    }

    /// Where accesses are noted.
    pub const fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    /// Those that are wanted.
    ///
    /// # Errors
    /// [`Error`]
    pub fn list(&self, who: Who<'_>, now: Wall, wanted: Wanted) -> Result<Listed, Error> {
        let listed = self.entries(who, now, wanted);
        let outcome = match &listed {
            Ok((entries, ..)) => format!("{} listed", entries.len()),
            Err(error) => error.word().to_owned(),
        };
        self.note(now, &line(who, Act::List, None, &outcome))?;
        let (entries, next, searched) = listed?;
        let retention = self.retention();
        let rows = entries.into_iter().map(|entry| row(entry, &retention));
        Ok(Listed {
            rows: rows.collect(),
            next,
            searched,
        })
    }

    fn entries(
        &self,
        who: Who<'_>,
        now: Wall,
        wanted: Wanted,
    ) -> Result<(Vec<Entry>, Option<Id>, Searched), Error> {
        let (mut filter, mut searched) = (wanted.filter, Searched::default());
        if let Who::Account(name) = who {
            let is_theirs = |asked: &str| account_name(asked) == account_name(name);
            if !filter.account.as_deref().is_none_or(is_theirs) {
                return Ok((Vec::new(), None, searched));
            }
            filter.account = Some(name.into());
        }
        if let Some(party) = &wanted.party {
            let found;
            (found, searched) = self.of_party(party, now)?;
            filter.among = Some(found);
        }
        let stand = self.complete()?;
        let (page, next) = stand
            .index
            .part(&filter, wanted.after, wanted.limit, PAGE_SCAN_MAX);
        Ok((page.into_iter().cloned().collect(), next, searched))
    }

    /// A recording, and what its chain says of it if it is whole.
    ///
    /// # Errors
    /// [`Error`]
    pub fn describe(&self, who: Who<'_>, now: Wall, recording: Id) -> Result<(Row, Option<Summary>), Error> {
        self.noted(who, now, Act::List, recording, |entry| {
            let said = match entry.state {
                State::Whole => summary(&entry.place(), RECORDING_MARKS_SHOWN_MAX)?,
                State::Running | State::Broken => None,
            };
            Ok(((row(entry, &self.retention()), said), "described".to_owned()))
        })
    }

    /// Opens what is to be read of a recording. [`Archive::note_read`] has to be asked before anything of it is given.
    ///
    /// # Errors
    /// [`Error`]; it is noted.
    pub fn open(&self, who: Who<'_>, now: Wall, recording: Id, part: Part) -> Result<Opened, Error> {
        let opened = self
            .entry(who, recording)
            .and_then(|entry| Ok(Opened::of(&entry, part, &self.keys)?));
        opened.or_else(|error| {
            self.note(now, &line(who, part.act(), Some(recording), error.word()))?;
            Err(error)
        })
    }

    /// Notes which bytes of it are about to be given, the first and the last.
    ///
    /// # Errors
    /// Then they are not to be given: [`Error::Unnoted`], or [`Error::Absent`] if it was erased since it was opened.
    pub fn note_read(
        &self,
        who: Who<'_>,
        now: Wall,
        opened: &Opened,
        range: Option<[u64; 2]>,
        outcome: &str,
    ) -> Result<(), Error> {
        let line = Line {
            call: opened.call,
            range,
            ..line(who, opened.part.act(), Some(opened.recording), outcome)
        };
        self.note(now, &line)?;
        // Nothing is given after the log says that it is gone, though its file is still open.
        self.entry(who, opened.recording).map(drop)
    }

    /// Compares a recording with its chain, and that with the digits that are `expected` at its end; where none are, with those
    /// that were noted when it became whole. Beside the verdict: which of them it was.
    ///
    /// # Errors
    /// [`Error`]
    pub fn verify(
        &self,
        who: Who<'_>,
        now: Wall,
        recording: Id,
        expected: Option<Sha>,
    ) -> Result<(Verdict, Compared), Error> {
        self.noted(who, now, Act::Verify, recording, |entry| {
            let (expected, compared) = match expected {
                Some(expected) => (Some(expected), Compared::Given),
                None => match self.audit.end_of(recording)? {
                    Some(noted) => (Some(noted), Compared::AuditLog),
                    None => (None, Compared::Nothing),
                },
            };
            let verdict = verify(&entry.place(), &self.keys, expected)?;
            let said = verdict.said(compared);
            Ok(((verdict, compared), said))
        })
    }

    /// A link by which a recording can be heard for so long, and when that is over.
    ///
    /// # Errors
    /// [`Error`]
    pub fn link(
        &self,
        who: Who<'_>,
        now: Wall,
        recording: Id,
        ttl: Duration,
    ) -> Result<(String, Wall), Error> {
        self.noted(who, now, Act::Link, recording, |_| {
            let signer = self.signer()?;
            // To the second that a link can say.
            let until = Wall::from_millis(now.plus(ttl).as_millis().div_euclid(1_000) * 1_000);
            let said = format!("until {}", until.text());
            Ok(((signer.link(recording, until), until), said))
        })
    }

    /// Whether a recording may be heard by a link that says these, and until when: as [`Who::Link`].
    ///
    /// # Errors
    /// [`Error::Link`], [`Error::NoLinks`]. One that was never ours isn't noted, and one that is over once an hour: anybody
    /// could fill the log so.
    pub fn may_hear(&self, now: Wall, recording: Id, expires: &str, signature: &str) -> Result<Wall, Error> {
        let refused = match self.signer()?.check(recording, expires, signature, now) {
            Ok(until) => return Ok(until),
            Err(refused) => refused,
        };
        let error = Error::Link(refused);
        match refused {
            Refused::Forged => {}
            Refused::Expired(until) => {
                if self.overdue.is_first(recording, now) {
                    let who = Who::Link(until);
                    self.note(now, &line(who, Act::Read, Some(recording), error.word()))?;
                }
            }
        }
        Err(error)
    }

    /// What signs links. Where its secret couldn't be had it is looked for again: somebody may have mended that.
    fn signer(&self) -> Result<&Signer, Error> {
        if let Some(signer) = self.signer.get() {
            return Ok(signer);
        }
        let opened = Signer::open(&self.link_secret).map_err(|error| Error::NoLinks(error.to_string()))?;
        Ok(self.signer.get_or_init(|| opened))
    }

    /// Does something with a recording, and notes that and what came of it before anybody hears of it.
    fn noted<T>(
        &self,
        who: Who<'_>,
        now: Wall,
        act: Act,
        recording: Id,
        work: impl FnOnce(Entry) -> Result<(T, String), Error>,
    ) -> Result<T, Error> {
        let entry = self.entry(who, recording);
        let call = entry.as_ref().ok().and_then(call_of);
        let done = entry.and_then(work);
        let outcome = match &done {
            Ok((_, said)) => said.as_str(),
            Err(error) => error.word(),
        };
        let line = Line {
            call,
            ..line(who, act, Some(recording), outcome)
        };
        self.note(now, &line)?;
        done.map(|(done, _)| done)
    }

    fn note(&self, now: Wall, line: &Line<'_>) -> Result<(), Error> {
        Ok(self.audit.note(now, line)?)
    }

    /// A recording, if they may see it.
    fn entry(&self, who: Who<'_>, recording: Id) -> Result<Entry, Error> {
        let stand = self.shelf.stand();
        match stand.index.get(recording) {
            Some(entry) if may_see(who, entry) => Ok(entry.clone()),
            None if !stand.is_complete => Err(Error::Starting),
            Some(_) | None => Err(Error::Absent(recording)),
        }
    }

    /// The index, when all is known that there is.
    fn complete(&self) -> Result<MutexGuard<'_, Stand>, Error> {
        let stand = self.shelf.stand();
        match stand.is_complete {
            true => Ok(stand),
            false => Err(Error::Starting),
        }
    }

    /// The recordings of calls in which that number took part: of those in progress, of those whose records wait for the disk, and
    /// by the records there; one search at once, for it reads all of these.
    fn of_party(
        &self,
        OfParty { party, live }: &OfParty,
        now: Wall,
    ) -> Result<(BTreeSet<Id>, Searched), Error> {
        let _alone = match self.search.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Error::Searching),
        };
        let (mut found, mut searched) = (BTreeSet::new(), Searched::default());
        let Some(earliest) = self.complete()?.index.earliest() else {
            return Ok((found, searched));
        };
        let since = cdr_scan::complete_since(&self.cdr_dir, now).map_err(Error::Records)?;
        searched.since = since.filter(|since| earliest < *since);
        let filter = cdr_scan::Filter {
            since: Some(Wall::from_millis(
                earliest.as_millis().saturating_sub(CLOCKS_APART_MS),
            )),
            party: Some(*party),
            ..cdr_scan::Filter::default()
        };
        // In the way that records go: one that moves on meanwhile is met once more.
        let mut calls = live.clone();
        if let Some(writer) = self.writer.get().and_then(Weak::upgrade) {
            writer.look_at_waiting(|line| calls.extend(filter.call_of(line)));
        }
        found.extend(self.recordings_of(calls));
        let mut cursor = None;
        loop {
            let page = cdr_scan::scan(&self.cdr_dir, &filter, Order::NewestFirst, cursor, PAGE_MAX)
                .map_err(Error::Records)?;
            searched.unreadable += page.unreadable;
            found.extend(self.recordings_of(page.cdrs.iter().map(|cdr| cdr.call_id)));
            // Of one whose chain can't be read the record alone tells.
            let stand = self.shelf.stand();
            let said = page.cdrs.iter().filter_map(|cdr| cdr.recording.id);
            found.extend(said.filter(|id| stand.index.get(*id).is_some()));
            cursor = match (page.more, page.next) {
                (More::Perhaps, Some(next)) => Some(next),
                (More::Perhaps, None) | (More::No, _) => return Ok((found, searched)),
            };
        }
    }

    fn recordings_of(&self, calls: impl IntoIterator<Item = Id>) -> Vec<Id> {
        let stand = self.shelf.stand();
        let entries = calls.into_iter().flat_map(|call| stand.index.of_call(call));
        entries.map(|entry| entry.recording).collect()
    }
}

fn row(entry: Entry, retention: &Retention) -> Row {
    let ended = match entry.state {
        State::Running => None,
        State::Whole | State::Broken => ended(&entry).ok(),
    };
    Row {
        not_before: ended.map(|ended| retention.not_before(entry.account(), entry.at_least_days(), ended)),
        kept_until: ended.map(|ended| retention.until(entry.account(), entry.at_least_days(), ended)),
        entry,
    }
}

/// Whether a recording may be known to them.
fn may_see(who: Who<'_>, entry: &Entry) -> bool {
    match who {
        // A link was looked at before.
        Who::Control | Who::Tcp | Who::Server | Who::Link(_) => true,
        Who::Account(name) => entry.account() == Some(&*account_name(name)),
    }
}

fn call_of(entry: &Entry) -> Option<Id> {
    entry.known.as_ref().map(|known| known.call)
}

const fn line<'a>(who: Who<'a>, act: Act, recording: Option<Id>, outcome: &'a str) -> Line<'a> {
    Line {
        who,
        act,
        recording,
        call: None,
        range: None,
        outcome,
        end: None,
    }
}

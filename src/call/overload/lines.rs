//! Where new requests wait until a shard has time for them: a line for each trunk, and in it one for each of so many parts
//! of its addresses. They are served in turn, so that whoever sends more than its share waits behind its own.
//!
//! A new call that waited longer than [`QUEUE_AGE_MAX`] is refused, if its line has stood for [`QUEUE_STANDS`]: a burst
//! passes, and what can't be served is refused while its sender still waits for a first answer. The oldest is served
//! first: with so short a wait no caller has given up, an INVITE is not repeated, and nothing overtakes.
//!
//! Where it can be foreseen that a new one would wait longer, it need not wait at all ([`Lines::is_hopeless`]): to refuse it
//! then costs least.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::limits::{QUEUE_AGE_MAX, QUEUE_STANDS, SHARD_QUEUE, STRANGERS_QUEUE};
use crate::base::time::Instant;

/// Parts into which the addresses of one trunk fall.
const SOURCES: usize = 16;

/// Over how long it is counted how many a line is served. It fits into [`QUEUE_STANDS`].
const PACE_WINDOW: Duration = Duration::from_millis(120);

/// So many may wait in any case: how fast a few are served says little.
const FEW: u64 = 4;

/// Whose a new request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The trunk's at this place in the conf, from an address of this hash.
    Trunk(usize, u64),
    /// Nobody's.
    Stranger,
}

/// What may become of a request that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Priority {
    /// An emergency call (of [`Priority::of`] what may be one: a number of three digits at the most, or RFC 5031's
    /// `urn:service:sos`): served before the others of its trunk, however long they wait. What a message says of its own
    /// priority (Resource-Priority) isn't believed.
    Emergency,
    /// It has to be served sooner or later: a CANCEL, which follows its INVITE, or an OPTIONS, whose sender would take us
    /// for dead.
    Served,
    /// A call: it is refused where it waits too long.
    Call,
}

impl Priority {
    /// Of a new request, by its first line.
    pub fn of(request: &[u8]) -> Self {
        let line = request.trim_ascii_start();
        let Some(uri) = line.strip_prefix(b"INVITE ") else {
            return Self::Served;
        };
        let uri = uri.trim_ascii_start();
        let is = |scheme: &[u8]| {
            uri.get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        let user = [b"sip:".as_slice(), b"sips:", b"tel:"]
            .into_iter()
            .find(|scheme| is(scheme))
            .and_then(|scheme| uri.get(scheme.len()..))
            .unwrap_or_default();
        let digits = user.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let ends = user
            .get(digits)
            .is_none_or(|byte| matches!(byte, b'@' | b';' | b' '));
        if is(b"urn:service:sos") || ((1..=3).contains(&digits) && ends) {
            Self::Emergency
        } else {
            Self::Call
        }
    }
}

/// What becomes of one that waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is served.
    Taken,
    /// It is refused: it waited too long, or those before it left no room.
    Shed,
}

/// Something that waits.
struct Waiting<T> {
    item: T,
    came: Instant,
    priority: Priority,
}

/// What waits of some addresses of a trunk.
struct Source<T> {
    waiting: VecDeque<Waiting<T>>,
    /// When nothing waited, last.
    calm_at: Instant,
    /// When one was refused, last: until [`QUEUE_STANDS`] later, that nothing waits doesn't mean that it is calm.
    shed_at: Option<Instant>,
    /// How fast it is served.
    pace: Pace,
}

/// How many of a line were served.
#[derive(Clone, Copy, Default)]
struct Pace {
    since: Instant,
    count: u64,
    /// The same of the whole window before, if there was one.
    before: Option<u64>,
}

impl Pace {
    fn since(now: Instant) -> Self {
        Self {
            since: now,
            ..Self::default()
        }
    }

    fn served(&mut self, now: Instant) {
        let passed = now - self.since;
        if passed >= PACE_WINDOW {
            let in_window = u128::from(self.count) * PACE_WINDOW.as_micros() / passed.as_micros();
            *self = Self {
                before: u64::try_from(in_window).ok(),
                ..Self::since(now)
            };
        }
        self.count += 1;
    }

    /// How many may wait so that all are served within the longest wait, as far as that is known: an eighth more than were
    /// served in such a time, so that it can become faster.
    fn room(&self) -> Option<u64> {
        // Asked of every new request: in 64 bits, for which the processor has a division.
        const AGE_MAX_MS: u64 = QUEUE_AGE_MAX.as_millis() as u64;
        const WINDOW_MS: u64 = PACE_WINDOW.as_millis() as u64;
        let part = self.before?.saturating_mul(AGE_MAX_MS) / WINDOW_MS;
        Some(part.saturating_add(part / 8).max(FEW))
    }
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            calm_at: Instant::default(),
            shed_at: None,
            pace: Pace::default(),
        }
    }
}

impl<T> Source<T> {
    fn pop(&mut self, now: Instant) -> Option<(T, Verdict)> {
        let stands = self.stands(now);
        let first = self.waiting.pop_front()?;
        if self.waiting.is_empty() {
            self.calm_at = now;
        }
        let is_late = stands && now - first.came > QUEUE_AGE_MAX;
        let verdict = match first.priority {
            Priority::Call if is_late => {
                self.shed_at = Some(now);
                Verdict::Shed
            }
            Priority::Emergency | Priority::Served | Priority::Call => {
                self.pace.served(now);
                Verdict::Taken
            }
        };
        Some((first.item, verdict))
    }

    /// Whether it is more than a burst.
    fn stands(&self, now: Instant) -> bool {
        let is_refusing = self.shed_at.is_some_and(|at| now - at < QUEUE_STANDS);
        is_refusing || (!self.waiting.is_empty() && now - self.calm_at > QUEUE_STANDS)
    }

    fn is_hopeless(&self, now: Instant) -> bool {
        let has_no_room = |room| self.waiting.len() as u64 >= room;
        self.pace.room().is_some_and(has_no_room) && self.stands(now)
    }
}

/// In which part of a trunk's addresses one of this hash is.
const fn part_of(hash: u64) -> usize {
    (hash % SOURCES as u64) as usize
}

/// What waits of a trunk.
struct Line<T> {
    first: VecDeque<T>,
    sources: [Source<T>; SOURCES],
    /// Whose turn it is.
    turn: usize,
    len: usize,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            first: VecDeque::new(),
            sources: std::array::from_fn(|_| Source::default()),
            turn: 0,
            len: 0,
        }
    }
}

impl<T> Line<T> {
    fn push(&mut self, now: Instant, source: u64, waiting: Waiting<T>) {
        self.len += 1;
        if waiting.priority == Priority::Emergency {
            self.first.push_back(waiting.item);
            return;
        }
        let source = &mut self.sources[part_of(source)];
        if source.waiting.is_empty() {
            source.calm_at = now;
            if !source.stands(now) {
                source.pace = Pace::since(now);
            }
        }
        source.waiting.push_back(waiting);
    }

    fn pop(&mut self, now: Instant) -> Option<(T, Verdict)> {
        if self.len == 0 {
            return None;
        }
        self.len -= 1;
        if let Some(item) = self.first.pop_front() {
            return Some((item, Verdict::Taken));
        }
        for _ in 0..SOURCES {
            let turn = self.turn;
            self.turn = (turn + 1) % SOURCES;
            if let Some(popped) = self.sources[turn].pop(now) {
                return Some(popped);
            }
        }
        None
    }

    /// Takes away the newest of all that waits, of the addresses that have most waiting.
    fn lose_newest(&mut self) -> Option<T> {
        let longest = self.sources.iter_mut().max_by_key(|source| source.waiting.len());
        let newest = longest.and_then(|source| source.waiting.pop_back());
        let newest = newest
            .map(|waiting| waiting.item)
            .or_else(|| self.first.pop_back())?;
        self.len -= 1;
        Some(newest)
    }

    /// Takes away the newest call of the addresses that have most waiting.
    fn shed_newest(&mut self) -> Option<T> {
        let longest = self
            .sources
            .iter_mut()
            .max_by_key(|source| source.waiting.len())?;
        let is_call = |waiting: &Waiting<T>| waiting.priority == Priority::Call;
        let newest = longest.waiting.iter().rposition(is_call)?;
        self.len -= 1;
        longest.waiting.remove(newest).map(|waiting| waiting.item)
    }
}

/// The lines of one shard.
pub struct Lines<T> {
    /// By the trunks' places in the conf.
    trunks: Vec<Line<T>>,
    strangers: VecDeque<T>,
    /// Whose turn it is.
    turn: usize,
    /// How many wait in `trunks`.
    len: usize,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self {
            trunks: Vec::new(),
            strangers: VecDeque::new(),
            turn: 0,
            len: 0,
        }
    }
}

/// What has to go because there is no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Out<T> {
    /// It is answered 503.
    Shed(T),
    /// It hears nothing: it is a stranger's, or something that comes again.
    Lost(T),
}

impl<T> Lines<T> {
    /// Puts one in its line, which came at `came`.
    ///
    /// # Errors
    /// What has no room: of the line in which most wait, the newest call, or the newest of all.
    pub fn push(&mut self, came: Instant, whose: Whose, priority: Priority, item: T) -> Result<(), Out<T>> {
        let Whose::Trunk(trunk, source) = whose else {
            if self.strangers.len() >= STRANGERS_QUEUE {
                return Err(Out::Lost(item));
            }
            self.strangers.push_back(item);
            return Ok(());
        };
        if self.len >= 2 * SHARD_QUEUE {
            // Whoever has most waiting has filled the room, and gives way.
            let longest = self.trunks.iter_mut().max_by_key(|line| line.len);
            let Some(lost) = longest.and_then(Line::lose_newest) else {
                return Err(Out::Lost(item));
            };
            self.len -= 1;
            // Should that shed one more, it is that one which is told.
            return self.push(came, whose, priority, item).and(Err(Out::Lost(lost)));
        }
        if trunk >= self.trunks.len() {
            self.trunks.resize_with(trunk + 1, Line::default);
        }
        let is_full = self.len >= SHARD_QUEUE && priority == Priority::Call;
        self.len += 1;
        let waiting = Waiting { item, came, priority };
        self.trunks[trunk].push(came, source, waiting);
        if !is_full {
            return Ok(());
        }
        let longest = self.trunks.iter_mut().max_by_key(|line| line.len);
        match longest.and_then(Line::shed_newest) {
            Some(item) => {
                self.len -= 1;
                Err(Out::Shed(item))
            }
            None => Ok(()),
        }
    }

    /// The next one in turn, and what becomes of it. Strangers come when nobody else waits.
    pub fn pop(&mut self, now: Instant) -> Option<(T, Verdict)> {
        if self.len == 0 {
            return Some((self.strangers.pop_front()?, Verdict::Taken));
        }
        for _ in 0..self.trunks.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % self.trunks.len();
            if let Some(popped) = self.trunks[turn].pop(now) {
                self.len -= 1;
                return Some(popped);
            }
        }
        None
    }

    /// Whether a call that comes now would be refused after it has waited: as many wait before it already as are served
    /// in that time.
    pub fn is_hopeless(&self, now: Instant, whose: Whose) -> bool {
        match whose {
            Whose::Trunk(trunk, source) => self
                .trunks
                .get(trunk)
                .is_some_and(|line| line.sources[part_of(source)].is_hopeless(now)),
            Whose::Stranger => false,
        }
    }

    /// A call that [`is_hopeless`](Self::is_hopeless) is refused: its line stays standing.
    pub fn refuses(&mut self, now: Instant, whose: Whose) {
        if let Whose::Trunk(trunk, source) = whose
            && let Some(line) = self.trunks.get_mut(trunk)
        {
            line.sources[part_of(source)].shed_at = Some(now);
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.strangers.is_empty()
    }

    /// Everybody goes to the line where `whose` puts them: the conf has changed. Whoever waited begins to wait anew.
    pub fn sort_anew(&mut self, now: Instant, whose: impl Fn(&T) -> Whose) {
        let before = std::mem::take(self);
        let lines = before.trunks.into_iter();
        let of_line = |line: Line<T>| {
            let first = line.first.into_iter().map(|item| (item, Priority::Emergency));
            let others = line.sources.into_iter().flat_map(|source| source.waiting);
            first.chain(others.map(|waiting| (waiting.item, waiting.priority)))
        };
        let strangers = before.strangers.into_iter().map(|item| (item, Priority::Call));
        for (item, priority) in lines.flat_map(of_line).chain(strangers) {
            // There was room for as many before, but for those who are strangers now, and hear nothing.
            let _ = self.push(now, whose(&item), priority, item);
        }
    }
}

#[cfg(test)]
mod tests;

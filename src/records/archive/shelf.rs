//! The index of all recordings, in memory and in step with what is written.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::base::id::Id;
use crate::records::recordings::Error;
use crate::records::recordings::chain::Head;
use crate::records::recordings::index::{Index, Scanned, State};

/// What becomes of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// It has files now.
    Begun(Box<Head>),
    /// It is whole.
    Finished(Id),
    /// Nothing is left of it.
    Gone(Id),
}

/// The index, and what it doesn't know yet. Whoever brings news never waits for those who look something up.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    stand: Mutex<Stand>,
    /// In the order in which it came; short, for everybody who looks something up takes it in first.
    news: Mutex<Vec<News>>,
    /// Held while the folder is looked through.
    looks: Mutex<()>,
}

#[derive(Debug)]
pub(super) struct Stand {
    pub(super) index: Index,
    /// Whether the folder has been looked through since the start.
    pub(super) is_complete: bool,
    /// What came since somebody began to look through the folder.
    meanwhile: Option<Vec<News>>,
}

impl Stand {
    fn take(&mut self, news: News) {
        apply(&mut self.index, &news);
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.push(news);
        }
    }
}

fn apply(index: &mut Index, news: &News) {
    match news {
        News::Begun(head) => index.add(head, State::Running),
        News::Finished(id) => index.finished(*id),
        News::Gone(id) => index.remove(*id),
    }
}

impl Shelf {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            stand: Mutex::new(Stand {
                index: Index::empty(dir),
                is_complete: false,
                meanwhile: None,
            }),
            news: Mutex::default(),
            looks: Mutex::default(),
        }
    }

    /// Something has become of a recording. Never waits for longer than it takes to note it.
    pub(super) fn tell(&self, news: News) {
        self.waiting().push(news);
        // Otherwise whoever holds it, or comes next, takes it in.
        match self.stand.try_lock() {
            Ok(mut stand) => self.take_in(&mut stand),
            Err(TryLockError::Poisoned(stand)) => self.take_in(&mut stand.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// What is known at this moment. Nothing that waits for the disk may be done while it is held.
    pub(super) fn stand(&self) -> MutexGuard<'_, Stand> {
        let mut stand = self.stand.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_in(&mut stand);
        stand
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, stand: &mut Stand) {
        let news = std::mem::take(&mut *self.waiting());
        news.into_iter().for_each(|news| stand.take(news));
    }

    /// Looks through the folder, lets `work` end and delete what has lain there too long, and knows from then on what is
    /// there. What becomes of recordings meanwhile is not lost.
    ///
    /// # Errors
    /// The folder can't be read: what was known stays.
    pub(super) fn look_through<T>(&self, work: impl FnOnce(&mut Index, Scanned) -> T) -> Result<T, Error> {
        let _alone = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        self.stand().meanwhile = Some(Vec::new());
        let scanned = Index::scan(&self.dir);
        let outcome = scanned.map(|(mut index, scanned)| {
            let done = work(&mut index, scanned);
            (index, done)
        });
        let mut stand = self.stand();
        let meanwhile = stand.meanwhile.take().unwrap_or_default();
        let (mut index, done) = outcome?;
        meanwhile.iter().for_each(|news| apply(&mut index, news));
        stand.index = index;
        stand.is_complete = true;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::recordings::tests::{begin, begun, id, recorded};

    #[test]
    fn what_begins_ends_and_goes_while_the_folder_is_looked_through_is_known_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        recorded(dir.path(), &begin(1), 1);
        recorded(dir.path(), &begin(2), 1);
        let pen = begun(dir.path(), &begin(3), 1);
        shelf
            .look_through(|index, scanned| {
                assert_eq!((index.len(), scanned.running), (3, vec![id(3)]));
                // All of it after the look at its day.
                let head = Head::clone(pen.head());
                shelf.tell(News::Begun(Box::new(Head {
                    recording: id(4),
                    ..head.clone()
                })));
                shelf.tell(News::Begun(Box::new(head)));
                shelf.tell(News::Finished(id(3)));
                shelf.tell(News::Gone(id(1)));
            })
            .unwrap();
        let stand = shelf.stand();
        let state = |number| stand.index.get(id(number)).map(|entry| entry.state);
        assert!(stand.is_complete);
        assert_eq!(
            [1, 2, 3, 4].map(state),
            [None, Some(State::Whole), Some(State::Whole), Some(State::Running)]
        );
    }

    #[test]
    fn news_that_comes_while_somebody_looks_something_up_waits_for_the_next_one_who_does() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        let pen = begun(dir.path(), &begin(1), 1);
        let stand = shelf.stand();
        shelf.tell(News::Begun(Box::new(pen.head().clone())));
        assert_eq!(stand.index.len(), 0);
        drop(stand);
        assert_eq!(shelf.stand().index.len(), 1);
    }
}

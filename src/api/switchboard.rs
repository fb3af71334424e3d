//! How the desk asks the SIP shards: a command to every shard, and their answers gathered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::call::port::{Answer, AskId, Command};

/// How long the desk waits for the shards.
const PATIENCE: Duration = Duration::from_secs(2);

/// Puts a command in the queue of one shard.
pub type Deliver = Arc<dyn Fn(usize, Command) + Send + Sync>;

/// A shard did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SIP side did not answer in time")]
pub struct Silent;

/// The questions that are open, and the way to the shards.
pub struct Switchboard {
    shards: usize,
    deliver: Deliver,
    serial: AtomicU64,
    open: Mutex<HashMap<AskId, oneshot::Sender<Answer>>>,
}

impl Switchboard {
    /// A board before `shards` shards, reached by `deliver`.
    pub fn new(shards: usize, deliver: Deliver) -> Self {
        Self {
            shards,
            deliver,
            serial: AtomicU64::new(1),
            open: Mutex::default(),
        }
    }

    /// Asks every shard and waits for all: one answer a shard, in the shards' order.
    ///
    /// # Errors
    /// [`Silent`] if one of them doesn't answer within two seconds. What the command asked for may still
    /// happen.
    pub async fn ask(&self, command: impl Fn(AskId) -> Command) -> Result<Vec<Answer>, Silent> {
        let mut waiting = Vec::with_capacity(self.shards);
        for shard in 0..self.shards {
            let id = AskId(self.serial.fetch_add(1, Ordering::Relaxed));
            let (sender, receiver) = oneshot::channel();
            self.lock().insert(id, sender);
            // From here the entry is taken out again even if the client hangs up and this future is dropped.
            waiting.push((Ask { board: self, id }, receiver));
            (self.deliver)(shard, command(id));
        }
        let gather = async {
            let mut answers = Vec::with_capacity(waiting.len());
            for (_ask, receiver) in waiting {
                answers.push(receiver.await.map_err(|_| Silent)?);
            }
            Ok(answers)
        };
        tokio::time::timeout(PATIENCE, gather)
            .await
            .unwrap_or(Err(Silent))
    }

    /// Asks the first shard, and waits so long for it.
    ///
    /// # Errors
    /// [`Silent`] if it doesn't answer within that time.
    pub async fn ask_first(
        &self,
        patience: Duration,
        command: impl FnOnce(AskId) -> Command,
    ) -> Result<Answer, Silent> {
        let id = AskId(self.serial.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(id, sender);
        let _ask = Ask { board: self, id };
        (self.deliver)(0, command(id));
        match tokio::time::timeout(patience, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Silent),
        }
    }

    /// Sends every shard a command that has no answer.
    pub fn tell(&self, command: Command) {
        for shard in 0..self.shards {
            (self.deliver)(shard, command);
        }
    }

    /// A shard answered. An answer that nobody waits for any more is dropped.
    pub fn answer(&self, id: AskId, answer: Answer) {
        let waiting = self.lock().remove(&id);
        if let Some(sender) = waiting {
            // The asker may have gone in this very moment: then nobody misses the answer.
            drop(sender.send(answer));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AskId, oneshot::Sender<Answer>>> {
        // The map is whole after every single operation on it, so a panic elsewhere leaves it usable.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open question, closed when dropped.
struct Ask<'a> {
    board: &'a Switchboard,
    id: AskId,
}

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        self.board.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::port::Found;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    type Heard = Arc<Mutex<Vec<(usize, Command)>>>;

    fn board(shards: usize) -> (Arc<Switchboard>, Heard) {
        let heard = Heard::default();
        let ear = heard.clone();
        let deliver: Deliver = Arc::new(move |shard, command| ear.lock().unwrap().push((shard, command)));
        (Arc::new(Switchboard::new(shards, deliver)), heard)
    }

    #[test]
    fn every_shard_is_asked_and_their_answers_come_in_the_shards_order() {
        runtime().block_on(async {
            let (board, heard) = board(2);
            let asking = tokio::spawn({
                let board = board.clone();
                async move { board.ask(Command::Calls).await }
            });
            while heard.lock().unwrap().len() < 2 {
                tokio::task::yield_now().await;
            }
            let ids: Vec<_> = heard.lock().unwrap().iter().map(|(_, c)| *c).collect();
            let [Command::Calls(first), Command::Calls(second)] = ids[..] else {
                panic!("{ids:?}")
            };
            board.answer(second, Answer::Hangup(Found::Here));
            board.answer(first, Answer::Calls(Vec::new()));
            let answers = asking.await.unwrap().unwrap();
            assert_eq!(answers, [Answer::Calls(Vec::new()), Answer::Hangup(Found::Here)]);
            assert!(board.lock().is_empty());
        });
    }

    #[test]
    fn a_question_whose_asker_left_is_forgotten() {
        runtime().block_on(async {
            let (board, heard) = board(1);
            let asking = tokio::spawn({
                let board = board.clone();
                async move { board.ask(Command::Calls).await }
            });
            while heard.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            assert_eq!(board.lock().len(), 1);
            asking.abort();
            assert!(asking.await.is_err());
            assert!(board.lock().is_empty());
        });
    }
}

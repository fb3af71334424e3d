//! A shard's mail: what other threads have for it, in bounded queues, and the door that they put it through.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::poller::Waker;
use super::tls::Terms;
use crate::base::limits::SHARD_QUEUE;
use crate::base::time::Instant;
use crate::call::ask::Advice;
use crate::call::config::Config;
use crate::call::media::Report;
use crate::call::port::{AskId, Command, Why};
use crate::call::recording;
use crate::call::targets::Resolved;
use crate::sip::path::Path;
use crate::sip::peek::PeekKind;
use crate::sip::seen::Onlooker;

/// Messages of calls that wait for a shard, or for the shard that has their connection. They are never answered 503: beyond this, which is four times what
/// new requests get, they are lost as on any network, and come again.
const IN_CALL_QUEUE: usize = 4 * SHARD_QUEUE;
/// Reports and commands that wait for a shard: more than its media threads can have to say of all ports.
const MESSAGES: usize = 131_072;
/// Messages of calls that a shard takes in at once.
const IN_CALL_BATCH: usize = 256;
/// New requests that a shard takes in at once, behind the messages of calls.
pub(super) const FRESH_BATCH: usize = 16;
/// Reports and commands that a shard takes in at once.
const MESSAGE_BATCH: usize = 1_024;

/// What other threads have to say to a shard.
#[derive(Debug)]
pub enum Message {
    /// From a media thread.
    Media(Report),
    /// From the recorder.
    Recorded(recording::Report),
    /// From the API or the owner of the process.
    Order(Command),
    /// From whoever asks customers' servers.
    Advice(AskId, Advice),
    /// A new conf.
    Config(Arc<Config>),
    /// What the names of gateways resolve to from now on.
    Resolved(Arc<Resolved>),
    /// New terms of TLS.
    Tls(Arc<Terms>),
    /// Who looks on from now on.
    Onlooker(Option<Arc<dyn Onlooker>>),
    /// Something sent this way, by whichever shard, could not be delivered.
    Failed(Path, Why),
    /// End the loop, behind everything that was said before.
    Stop,
}

/// A message on its way to its shard, or to the shard that has its connection.
pub(super) struct Packet {
    pub(super) path: Path,
    pub(super) bytes: Box<[u8]>,
}

impl Packet {
    pub(super) fn of(path: Path, bytes: &[u8]) -> Self {
        let bytes = bytes.into();
        Self { path, bytes }
    }
}

/// How many new requests may wait before the door before one of this kind finds no room. A CANCEL waits with them, so that
/// it doesn't overtake its INVITE, and finds room when they don't any more.
const fn fresh_room(kind: PeekKind) -> usize {
    match kind {
        PeekKind::NewRequest => SHARD_QUEUE,
        PeekKind::Cancel | PeekKind::InCall => 2 * SHARD_QUEUE,
    }
}

/// A queue was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shard has too much to do")]
pub struct Full;

/// The way into a shard, for any thread.
#[derive(Clone)]
pub struct Door(Arc<Mail>);

struct Mail {
    waiting: Mutex<Waiting>,
    waker: Waker,
}

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) messages: VecDeque<Message>,
    pub(super) in_call: VecDeque<Packet>,
    /// With the time at which each came.
    pub(super) fresh: VecDeque<(Instant, Packet)>,
    /// What other shards send over connections of this one.
    pub(super) outgoing: VecDeque<Packet>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.in_call.is_empty()
            && self.fresh.is_empty()
            && self.outgoing.is_empty()
    }
}

/// Whether mail was left for the next time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    Some,
    None,
}

impl Door {
    pub(super) fn new(waker: Waker) -> Self {
        Self(Arc::new(Mail {
            waiting: Mutex::default(),
            waker,
        }))
    }

    /// Says something to the shard, behind what was said before. Never blocks.
    ///
    /// # Errors
    /// There is no room: the shard hangs or has died. Nothing was said.
    pub fn tell(&self, message: Message) -> Result<(), Full> {
        self.tell_all([message])
    }

    /// Says several things to the shard, and wakes it once.
    ///
    /// # Errors
    /// There is no room: the shard hangs or has died. From some message on nothing was said.
    pub fn tell_all(&self, messages: impl IntoIterator<Item = Message>) -> Result<(), Full> {
        self.put(|waiting| {
            messages.into_iter().try_for_each(|message| {
                let most = match message {
                    // However much waits, the end is heard.
                    Message::Stop => usize::MAX,
                    Message::Media(_)
                    | Message::Recorded(_)
                    | Message::Order(_)
                    | Message::Advice(..)
                    | Message::Config(_)
                    | Message::Resolved(_)
                    | Message::Tls(_)
                    | Message::Onlooker(_)
                    | Message::Failed(..) => MESSAGES,
                };
                push(&mut waiting.messages, message, most)
            })
        })
    }

    /// Hands a datagram to its shard, which came at `came`.
    ///
    /// # Errors
    /// It has no room there.
    pub(super) fn hand_over(&self, packet: Packet, kind: PeekKind, came: Instant) -> Result<(), Packet> {
        let mut packet = Some(packet);
        let put = self.put(|waiting| {
            let has_room = match kind {
                PeekKind::InCall => waiting.in_call.len() < IN_CALL_QUEUE,
                PeekKind::NewRequest | PeekKind::Cancel => waiting.fresh.len() < fresh_room(kind),
            };
            let Some(packet) = packet.take_if(|_| has_room) else {
                return Err(Full);
            };
            match kind {
                PeekKind::InCall => waiting.in_call.push_back(packet),
                PeekKind::NewRequest | PeekKind::Cancel => waiting.fresh.push_back((came, packet)),
            }
            Ok(())
        });
        match (put, packet) {
            (Err(Full), Some(packet)) => Err(packet),
            (Ok(()) | Err(Full), _) => Ok(()),
        }
    }

    /// Hands a message to the shard that has its connection, to be sent there.
    pub(super) fn send_by(&self, packet: Packet) -> Result<(), Full> {
        self.put(|waiting| push(&mut waiting.outgoing, packet, IN_CALL_QUEUE))
    }

    /// Takes a batch of messages and calls' datagrams, and all new requests.
    pub(super) fn take(&self, batch: &mut Waiting) -> Left {
        fn take<T>(from: &mut VecDeque<T>, to: &mut VecDeque<T>, most: usize) {
            to.extend(from.drain(..from.len().min(most)));
        }
        let mut waiting = self.waiting();
        take(&mut waiting.messages, &mut batch.messages, MESSAGE_BATCH);
        take(&mut waiting.in_call, &mut batch.in_call, IN_CALL_BATCH);
        take(&mut waiting.outgoing, &mut batch.outgoing, usize::MAX);
        // They wait in their lines from here on.
        take(&mut waiting.fresh, &mut batch.fresh, usize::MAX);
        if waiting.is_empty() {
            Left::None
        } else {
            Left::Some
        }
    }

    /// Takes what other threads said, and no datagram.
    pub(super) fn take_messages(&self, messages: &mut VecDeque<Message>) {
        messages.append(&mut self.waiting().messages);
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.0.waker
    }

    fn put(&self, put: impl FnOnce(&mut Waiting) -> Result<(), Full>) -> Result<(), Full> {
        let mut waiting = self.waiting();
        // Whoever finds it empty wakes the shard; it goes on by itself while anything is left.
        let asleep = waiting.is_empty();
        let outcome = put(&mut waiting);
        let wakes = asleep && !waiting.is_empty();
        drop(waiting);
        if wakes {
            self.0.waker.wake();
        }
        outcome
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held, so that poison means nothing here.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) -> Result<(), Full> {
    if queue.len() >= most {
        return Err(Full);
    }
    queue.push_back(item);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::path::ListenerId;

    fn packet() -> Packet {
        Packet {
            path: Path::udp(ListenerId(0), ([127, 0, 0, 1], 5_060).into()),
            bytes: Box::default(),
        }
    }

    #[test]
    fn the_end_is_heard_though_the_mail_is_full() {
        let door = Door::new(Waker::new().expect("a waker"));
        while door.tell(Message::Order(Command::Drain)).is_ok() {}
        assert_eq!(door.tell(Message::Stop), Ok(()));
    }

    #[test]
    fn new_requests_have_their_limit_and_calls_and_messages_pass_them() {
        let door = Door::new(Waker::new().expect("a waker"));
        let hand_over = |kind| door.hand_over(packet(), kind, Instant::default());
        for _ in 0..SHARD_QUEUE {
            assert!(hand_over(PeekKind::NewRequest).is_ok(), "there is room");
        }
        assert!(hand_over(PeekKind::NewRequest).is_err());
        assert!(hand_over(PeekKind::InCall).is_ok());
        assert_eq!(door.tell(Message::Order(Command::Drain)), Ok(()));

        let mut batch = Waiting::default();
        assert_eq!(door.take(&mut batch), Left::None);
        assert_eq!((batch.messages.len(), batch.in_call.len()), (1, 1));
        assert_eq!(batch.fresh.len(), SHARD_QUEUE);
    }
}

//! What a call may do to the world: send, be woken, take ports, be found by its dialogs.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::bans::Bans;
use super::cdr::{Cdr, SharedCdr};
use super::config::{Config, Listener};
use super::draft::Draft;
use super::ivr::lockout::Lockout;
use super::media::MediaPort;
use super::port::{CallEntry, LegName, Note, Output, Trace};
use super::ports::Ports;
use super::reach::Reach;
use super::targets::Resolved;
use super::trunk::nat;
use crate::base::chance::Chance;
use crate::base::shard::Shard;
use crate::base::time::Instant;
use crate::base::timer::Timers;
use crate::sip::dialog::{Dialog, DialogId};
use crate::sip::header::Name;
use crate::sip::lexer::Head;
use crate::sip::method::Method;
use crate::sip::path::{ListenerId, Party, Path, Transport};
use crate::sip::transaction::{ClientId, Layer, Owner};

/// A tag, branch or Call-ID part that we mint: 100 random bits in letters.
pub type Token = [u8; TOKEN_BYTES];

/// How long ids of ours are.
const TOKEN_BYTES: usize = 20;

/// Whether this may be an id of ours, of whatever process.
pub fn is_ours(id: &[u8]) -> bool {
    Chance::is_token::<TOKEN_BYTES>(id)
}

/// One call of a switch; stale when the call is gone, and then harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CallRef {
    /// Its place.
    pub index: u32,
    /// Which of the calls that had the place. 24 bits count.
    pub generation: u32,
}

/// What a call can be woken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallTimer {
    /// The called party has rung long enough, or something else is due before it answers.
    Ring,
    /// The call has lasted as long as its binding allows.
    MaxDuration,
    /// A minute is left of that.
    LastMinute,
    /// What is said to a party beside the other one is over.
    Cue,
    /// No further key came of what a party began to key that may become a code of ours.
    Code(LegName),
    /// A 2xx of ours has not been ACKed yet: send it again, or give up.
    Unacked(LegName),
    /// A request of ours within a leg has got no final answer.
    Exchange(LegName),
    /// A reliable provisional response of ours has not been acknowledged yet: send it again, or give up.
    Unpracked,
    /// What waits to be said within a leg has waited long enough.
    Wanted(LegName),
    /// A cancelled INVITE of ours has got no final answer.
    Cancelled,
    /// The same of one whose gateway was left.
    Left(ClientId),
    /// A leg's session has to be refreshed, or has expired.
    Session(LegName),
    /// A leg's peer is to be asked whether it is still there.
    Probe(LegName),
    /// The media threads have not told their counts in time.
    Counts,
    /// A caller whose attempt has failed is to be told so.
    Parting,
    /// The customer's server has not answered in time.
    Asked,
    /// A caller who is asked for digits has heard a prompt, or has keyed nothing for a while.
    Collect,
    /// The same of who is asked a question at the end.
    Question,
}

/// What a transaction of a call is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The INVITE that began a leg.
    Invite(LegName),
    /// A later offer or refresh within a leg.
    Exchange(LegName),
    /// The CANCEL of the callee's INVITE.
    Cancel,
    /// The PRACK to a provisional response of the callee.
    Prack,
    /// A BYE of ours.
    Bye(LegName),
    /// An INFO of ours that tells a key.
    Info(LegName),
    /// An OPTIONS of ours that asks whether a leg's peer is still there.
    Probe(LegName),
    /// A question to a gateway, which is no call's.
    Gateway,
    /// The BYE to a fork that lost, or anything else that nobody waits for.
    Other,
}

impl Purpose {
    /// The leg whose peer answers it.
    pub const fn leg(self) -> Option<LegName> {
        match self {
            Self::Invite(leg) | Self::Exchange(leg) | Self::Bye(leg) | Self::Info(leg) | Self::Probe(leg) => {
                Some(leg)
            }
            Self::Prack => Some(LegName::Callee),
            Self::Cancel | Self::Gateway | Self::Other => None,
        }
    }
}

const PURPOSES: [Purpose; 14] = [
    Purpose::Invite(LegName::Caller),
    Purpose::Invite(LegName::Callee),
    Purpose::Exchange(LegName::Caller),
    Purpose::Exchange(LegName::Callee),
    Purpose::Cancel,
    Purpose::Prack,
    Purpose::Bye(LegName::Caller),
    Purpose::Bye(LegName::Callee),
    Purpose::Info(LegName::Caller),
    Purpose::Info(LegName::Callee),
    Purpose::Probe(LegName::Caller),
    Purpose::Probe(LegName::Callee),
    Purpose::Gateway,
    Purpose::Other,
];

/// The owner word of a call's transaction.
pub fn owner(call: CallRef, purpose: Purpose) -> Owner {
    let place = PURPOSES
        .iter()
        .position(|p| *p == purpose)
        .unwrap_or(PURPOSES.len() - 1);
    Owner((place as u64) << 56 | u64::from(call.generation & 0xFF_FFFF) << 32 | u64::from(call.index))
}

/// What an owner word stands for.
pub fn owned(owner: Owner) -> (CallRef, Purpose) {
    let purpose = PURPOSES
        .get((owner.0 >> 56) as usize)
        .copied()
        .unwrap_or(Purpose::Other);
    (
        CallRef {
            index: owner.0 as u32,
            generation: (owner.0 >> 32) as u32 & 0xFF_FFFF,
        },
        purpose,
    )
}

/// What is said to the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeping {
    /// All that the next process needs.
    Calls,
    /// Nothing: there is no next process.
    Nothing,
}

/// The means of one shard.
pub struct Hands {
    /// Every SIP transaction.
    pub layer: Layer,
    /// What comes out, in order.
    pub out: VecDeque<Output>,
    /// Every timer of every call.
    pub timers: Timers<(CallRef, CallTimer)>,
    /// Chance.
    pub chance: Chance,
    /// RTP ports.
    pub ports: Ports,
    /// Which call a dialog is a leg of.
    pub dialogs: HashMap<DialogId, (CallRef, LegName), ahash::RandomState>,
    /// Which call has an RTP port.
    pub by_port: HashMap<MediaPort, CallRef, ahash::RandomState>,
    /// Who is kept out; all shards share it.
    pub bans: Arc<Bans>,
    /// Who guesses extensions; all shards share it.
    pub lockout: Arc<Lockout>,
    /// Which gateways can be used; all shards share it.
    pub reach: Arc<Reach>,
    /// What the names of gateways resolve to at present.
    pub resolved: Arc<Resolved>,
    /// Which shard this is.
    pub shard: Shard,
    /// What is said to the journal.
    pub keeping: Keeping,
    /// How many refused callers hear why at present, and parties of calls that are over are asked how it was.
    pub announcing: usize,
    /// Room to write entries for the journal in.
    pub ink: Vec<u8>,
}

impl Hands {
    /// A new token.
    pub fn token(&mut self) -> Token {
        self.chance.token()
    }

    /// The tag for answers to a request of which nothing is kept: the same for every repetition of it, and
    /// nobody else can make it (RFC 3261 §8.2.7).
    pub fn tag_for(&self, request: &Head<'_>) -> Token {
        let [one, two] = self.shard.key;
        let state = ahash::RandomState::with_seeds(one, two, one.rotate_left(32), !two);
        let mut hasher = state.build_hasher();
        for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
            hasher.write(request.get(name).unwrap_or_default());
            hasher.write_u8(0);
        }
        Chance::from_number(hasher.finish()).token()
    }

    /// A new branch: the magic cookie of RFC 3261 §8.1.1.7 and a token.
    pub fn branch(&mut self) -> [u8; 27] {
        let mut branch = *b"z9hG4bK____________________";
        branch[7..].copy_from_slice(&self.token());
        branch
    }

    /// A new Call-ID that hashes home to this shard.
    pub fn call_id(&mut self) -> Token {
        loop {
            let id = self.token();
            if self.shard.is_home(&id) {
                return id;
            }
        }
    }

    /// Sends a message that belongs to no transaction (ACK of a 2xx, a stateless answer).
    pub fn send(&mut self, to: Path, bytes: Vec<u8>) {
        self.out.push_back(Output::Send { to, bytes });
    }

    /// Counts something.
    pub fn note(&mut self, note: Note) {
        self.out.push_back(Output::Note(note));
    }

    /// A source has sent what nobody may: it may be banned for that.
    pub fn offended(&mut self, now: Instant, source: IpAddr, config: &Config) {
        if self.bans.offended(now, source, config, &self.resolved).is_some() {
            self.note(Note::Banned);
        }
    }

    /// Says something to the journal, for which there is room to write in.
    pub fn journal(&mut self, entry: impl FnOnce(&mut Vec<u8>) -> CallEntry) {
        match self.keeping {
            Keeping::Calls => self.out.push_back(Output::Journal(entry(&mut self.ink))),
            Keeping::Nothing => {}
        }
    }

    /// An attempt is over. Its record goes to the journal first, so that it survives as it is if the process dies
    /// before the CDR files have it.
    pub fn record(&mut self, record: SharedCdr, trace: Trace) {
        self.journal_end(&record);
        let line = record.line();
        self.out.push_back(Output::Cdr(record, line, trace));
    }

    /// Says to the journal that an attempt is over, and all that it has to know of that.
    pub fn journal_end(&mut self, record: &Cdr) {
        self.journal(|ink| CallEntry::Over(Draft::over(record, ink)));
    }

    /// The way that a dialog's requests go, and which of our listeners they leave by. Where none of ours reaches, by
    /// its transport or its family, what the other side names, or where its trunk doesn't believe it, they go the way that the
    /// dialog came. `trunk` is the dialog's.
    pub fn way<'c>(&self, config: &'c Config, dialog: &Dialog, trunk: Option<Party>) -> (Path, &'c Listener) {
        let came = (trunk, dialog.path());
        let hop = nat::goes_to(&config.trunks, &self.resolved, came, dialog.next_hop());
        match listener_towards(config, Some(hop.listener), hop.transport, hop.remote) {
            Some(listener) => {
                let path = Path {
                    listener: listener.id,
                    flow: hop.flow.filter(|_| listener.id == hop.listener),
                    ..hop
                };
                (path, listener)
            }
            None => (dialog.path(), listener(config, dialog.path().listener)),
        }
    }

    /// A request within a dialog that holds nothing but these headers (ACK of a 2xx, BYE, PRACK), and its way.
    pub fn bare_request(
        &mut self,
        config: &Config,
        (dialog, trunk): (&Dialog, Option<Party>),
        method: Method,
        cseq: u32,
        headers: &[(&str, &str)],
    ) -> (Path, Vec<u8>) {
        let (to, by) = self.way(config, dialog, trunk);
        let branch = self.branch();
        let bytes = dialog.request(method, cseq, &branch, by.via(), None, headers, None, 70);
        (to, bytes)
    }

    /// Moves what the transactions want sent behind what is already waiting to go out.
    pub fn collect_sends(&mut self) {
        while let Some((to, bytes)) = self.layer.poll_send() {
            self.out.push_back(Output::Send { to, bytes });
        }
    }

    /// Orders more ports to be bound, if there are few.
    pub fn bind_ahead(&mut self, now: Instant) {
        let orders = self.ports.bind_ahead(now);
        self.out.extend(orders.into_iter().map(Output::Media));
    }

    /// Sets a timer of a call.
    pub fn wake(&mut self, call: CallRef, at: Instant, timer: CallTimer) -> crate::base::timer::TimerId {
        self.timers.set(at, (call, timer))
    }
}

/// The listener that a message of ours leaves by.
pub fn listener(config: &Config, id: ListenerId) -> &Listener {
    config
        .listeners
        .iter()
        .find(|l| l.id == id)
        .unwrap_or(&config.listeners[0])
}

/// The listener for a message to `remote` by `transport`: the wanted one, one of the same address, or the first
/// that fits. `None`: none does.
pub fn listener_towards(
    config: &Config,
    wanted: Option<ListenerId>,
    transport: Transport,
    remote: SocketAddr,
) -> Option<&Listener> {
    listener_among(&config.listeners, wanted, transport, remote)
}

/// The same among these listeners.
pub fn listener_among(
    listeners: &[Listener],
    wanted: Option<ListenerId>,
    transport: Transport,
    remote: SocketAddr,
) -> Option<&Listener> {
    let fitting = || listeners.iter().filter(|l| l.reaches(transport, remote));
    let wanted = wanted.and_then(|id| listeners.iter().find(|l| l.id == id).or(listeners.first()));
    wanted
        .and_then(|wanted| {
            let same = |l: &&Listener| l.address == wanted.address;
            fitting()
                .find(|l| l.id == wanted.id)
                .or_else(|| fitting().find(same))
        })
        .or_else(|| fitting().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_word_gives_back_its_call_and_purpose() {
        let call = CallRef {
            index: u32::MAX,
            generation: 0xAB_CDEF,
        };
        for purpose in PURPOSES {
            assert_eq!(owned(owner(call, purpose)), (call, purpose));
        }
    }
}

//! Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3, §8.2.2.2).
//!
//! A key is the compared parts themselves, each after its length, so that equal keys mean equal parts. An
//! [`Index`] finds them by a keyed hash and leaves the comparison of the bytes to its owner: a collision
//! costs a look, and confuses nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use arrayvec::ArrayVec;
use smallvec::SmallVec;

use super::slab;
use crate::sip::header::{Name, Via, is_lws};
use crate::sip::lexer::Start;
use crate::sip::message::Message;
use crate::sip::method::Method;

/// What a branch made after RFC 3261 begins with (§8.1.1.7). Older ones name no transaction.
const COOKIE: &[u8] = b"z9hG4bK";

/// The parts that are compared, in one slice, as a transaction keeps them.
pub(super) type Key = Box<[u8]>;

/// The same as read from a message, for finding: most fit on the stack.
pub(super) type Text = SmallVec<[u8; TEXT_BYTES]>;

/// Most are no longer.
const TEXT_BYTES: usize = 192;

/// Which rule of §17.2.3 found the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// Branch, sent-by, method.
    Branch,
    /// RFC 2543: the headers themselves. The To tag is left out of the key, because an ACK's is the
    /// response's.
    Headers,
}

/// Which transaction's key a request is read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sought {
    /// Its own.
    Own,
    /// The INVITE that this ACK or CANCEL belongs to.
    Invite,
}

/// The key of a server transaction (§17.2.3).
pub(super) fn server(request: &Message, sought: Sought) -> (Rule, Text) {
    let method = match sought {
        Sought::Own => token(request),
        Sought::Invite => Method::Invite.name().as_bytes(),
    };
    if let Some(key) = by_branch(&request.via(), method) {
        return (Rule::Branch, key);
    }
    let mut key = Parts::default();
    // An ACK has the INVITE's Via, but not always its folds.
    key.part_without_blanks(request.values(Name::Via).next().unwrap_or_default());
    key.part(request.request_uri());
    key.part(request.call_id());
    key.part(request.from_tag().unwrap_or_default());
    key.number(request.cseq().number);
    key.part(method);
    (Rule::Headers, key.finish(Rule::Headers))
}

/// The key of an INVITE's server transaction, by its topmost Via. `None`: its branch names none.
pub(super) fn invite(via: &Via) -> Option<Text> {
    by_branch(via, Method::Invite.name().as_bytes())
}

fn by_branch(via: &Via, method: &[u8]) -> Option<Text> {
    let branch = via.branch.filter(|branch| has_cookie(branch))?;
    let mut key = Parts::default();
    key.number(u32::from(via.port.unwrap_or(0)));
    key.part_in_any_case(via.host);
    key.part(branch);
    key.part(method);
    Some(key.finish(Rule::Branch))
}

/// The key of a client transaction (§17.1.3): our own branch is enough beside the method.
/// `None` without a branch.
pub(super) fn client(message: &Message) -> Option<Text> {
    Some(client_of(message.via().branch?, message.method()))
}

/// The same, of a request whose branch and method are known.
pub(super) fn client_of(branch: &[u8], method: Method) -> Text {
    let mut key = Parts::default();
    key.part(branch);
    key.part(method.name().as_bytes());
    key.finish(Rule::Branch)
}

/// The branch in the key of a client transaction.
pub(super) fn branch_of(key: &[u8]) -> Option<&[u8]> {
    let (length, rest) = key.split_first_chunk()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

/// What two copies of one request have in common that came by different ways (§8.2.2.2).
/// `None` for a request inside a dialog: only one way leads there.
pub(super) fn merged(request: &Message) -> Option<Text> {
    if request.to_tag().is_some() {
        return None;
    }
    let mut key = Parts::default();
    key.part(request.from_tag()?);
    key.part(request.call_id());
    key.number(request.cseq().number);
    key.part(token(request));
    Some(key.finish(Rule::Headers))
}

pub(in crate::sip) fn has_cookie(branch: &[u8]) -> bool {
    branch
        .get(..COOKIE.len())
        .is_some_and(|start| start == COOKIE || start.eq_ignore_ascii_case(COOKIE))
}

/// The method as it stands in the request: two unknown ones are not the same.
fn token<'a>(request: &Message<'a>) -> &'a [u8] {
    match *request.start() {
        Start::Request { token, .. } => token,
        Start::Response { .. } => b"",
    }
}

/// What a key is written into. A room of fixed size first: what has to ask whether it grows costs several times as much.
#[derive(Default)]
struct Parts {
    few: ArrayVec<u8, TEXT_BYTES>,
    /// All of it, once it is more; empty before.
    many: Vec<u8>,
}

impl Parts {
    fn add(&mut self, bytes: &[u8]) {
        if self.many.is_empty() {
            if self.few.try_extend_from_slice(bytes).is_ok() {
                return;
            }
            self.many.extend_from_slice(&self.few);
        }
        self.many.extend_from_slice(bytes);
    }

    fn part(&mut self, part: &[u8]) {
        self.number(u32::try_from(part.len()).unwrap_or(u32::MAX));
        self.add(part);
    }

    fn part_without_blanks(&mut self, part: &[u8]) {
        let text: Text = part.iter().copied().filter(|byte| !is_lws(*byte)).collect();
        self.part(&text);
    }

    fn part_in_any_case(&mut self, part: &[u8]) {
        let start = self.text().len();
        self.part(part);
        let text = match self.many.as_mut_slice() {
            [] => self.few.as_mut_slice(),
            many => many,
        };
        let part = text.get_mut(start..).unwrap_or_default();
        part.make_ascii_lowercase();
    }

    fn number(&mut self, number: u32) {
        self.add(&number.to_be_bytes());
    }

    fn text(&self) -> &[u8] {
        match self.many.as_slice() {
            [] => &self.few,
            many => many,
        }
    }

    fn finish(mut self, rule: Rule) -> Text {
        self.add(&[match rule {
            Rule::Branch => 0,
            Rule::Headers => 1,
        }]);
        Text::from_slice(self.text())
    }
}

/// An index never has less room again than for so many.
const ROOM_KEPT: usize = 256;

/// Finds slab keys by the hash of a [`Key`].
pub(super) struct Index {
    hasher: ahash::RandomState,
    /// The place of each hash: small, because tens of thousands are looked up in no order.
    places: HashMap<u64, slab::Key, BuildHasherDefault<AsItIs>>,
    /// Places whose hash another has already.
    more: Vec<(u64, slab::Key)>,
}

impl Index {
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self {
            places: HashMap::default(),
            more: Vec::new(),
            hasher,
        }
    }

    /// Whether nothing can be found.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.more.is_empty()
    }

    /// The place for which `is` says that its key is this one.
    pub(super) fn find(&self, key: &[u8], is: impl Fn(slab::Key) -> bool) -> Option<slab::Key> {
        let hash = self.hasher.hash_one(key);
        let first = self.places.get(&hash).copied()?;
        if is(first) {
            return Some(first);
        }
        let more = self.more.iter().filter(|(other, _)| *other == hash);
        more.map(|(_, place)| *place).find(|place| is(*place))
    }

    pub(super) fn insert(&mut self, key: &[u8], place: slab::Key) {
        let hash = self.hasher.hash_one(key);
        match self.places.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(place);
            }
            Entry::Occupied(_) => self.more.push((hash, place)),
        }
    }

    pub(super) fn remove(&mut self, key: &[u8], place: slab::Key) {
        let hash = self.hasher.hash_one(key);
        let next = self.more.iter().position(|(other, _)| *other == hash);
        if self.places.get(&hash) == Some(&place) {
            match next.map(|next| self.more.swap_remove(next)) {
                Some((_, next)) => {
                    self.places.insert(hash, next);
                }
                None => {
                    self.places.remove(&hash);
                    self.shrink();
                }
            }
        } else {
            self.more.retain(|other| *other != (hash, place));
        }
    }

    /// Gives back the room of a wave that is over: transactions are many only while calls come and go.
    fn shrink(&mut self) {
        let (len, room) = (self.places.len(), self.places.capacity());
        if room > ROOM_KEPT && len < room / 8 {
            self.places.shrink_to((len * 2).max(ROOM_KEPT));
        }
    }
}

/// Takes what is a keyed hash already for its hash.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_of_one_hash_are_told_apart_by_their_owner() {
        let mut slab = slab::Slab::new();
        let (a, b) = (slab.insert("a").unwrap(), slab.insert("b").unwrap());
        let mut index = Index::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        // One key for both is what a collision looks like.
        index.insert(b"k", a);
        index.insert(b"k", b);
        let find = |index: &Index, text| index.find(b"k", |place| slab.get(place) == Some(&text));
        assert_eq!(
            (find(&index, "a"), find(&index, "b"), find(&index, "c")),
            (Some(a), Some(b), None)
        );
        index.remove(b"k", a);
        assert_eq!((find(&index, "a"), find(&index, "b")), (None, Some(b)));
        index.remove(b"k", b);
        assert!(index.is_empty());
    }
}

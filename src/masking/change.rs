//! The change: what the log keeps, what the table applies. Whole records with their versions, written by
//! hand: a schema byte, then fixed little-endian fields and length-prefixed text.

mod cues;
mod groups;
mod menu;
mod question;
mod stock;

use std::sync::Arc;
use std::time::Duration;

use super::binding::{Binding, Direction, Ended, Home, Mode, Parties, Rare, Terms};
use super::callee::Callee;
use super::group::{Group, GroupId, Membership};
use super::inventory::{Account, Number, Pool};
use super::keyed::Extension;
use super::last::Last;
use crate::base::form::forms;
use crate::base::id::Id;
use crate::base::number::{RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;

/// The schema that this server writes, and the newest that it reads. What a schema doesn't say has its default.
pub fn schema() -> u8 {
    forms().store
}

/// What one write does to the table: applied whole, in sequence order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// The records as they are afterwards.
    pub records: Vec<Record>,
}

/// One record as it is after a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// An account.
    Account(Account),
    /// A pool.
    Pool(Pool),
    /// A number.
    Number(Number),
    /// A binding, live or ended.
    Binding(Binding),
    /// An ended binding that is kept no longer.
    Forget(Id),
    /// A binding's temporary callee.
    Callee(Callee),
    /// The binding has no temporary callee any more: used, cleared, or its time is over.
    CalleeGone(Id),
    /// A group, without its members.
    Group(Group),
    /// A removed group that is kept no longer.
    GroupGone(GroupId),
    /// A member of a group, live or former.
    Member(Membership),
    /// A former member that is kept no longer.
    MemberGone(GroupId, RealNumber),
    /// Who called last by a binding.
    Last(Last),
    /// Nobody is to be called back by the binding any more: it ended, joins others, or the time is over.
    LastGone(Id),
}

/// Bytes that are no record of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadRecord {
    /// Written by a later version of this server.
    #[error(
        "the record was written by a newer server (schema {0}; this one reads up to {newest}): start the newer umbra that wrote it",
        newest = schema()
    )]
    NewerSchema(u8),
    /// The bytes end inside a field.
    #[error("the record ends in the middle")]
    Truncated,
    /// Bytes are left after the last field.
    #[error("the record has bytes after its end")]
    Trailing,
    /// A field holds what it can't.
    #[error("the record's {0} can't be read")]
    Field(&'static str),
}

const ACCOUNT: u8 = b'a';
const POOL: u8 = b'p';
const NUMBER: u8 = b'n';
const BINDING: u8 = b'b';
const FORGET: u8 = b'f';
const CALLEE: u8 = b'c';
const CALLEE_GONE: u8 = b'g';
const GROUP: u8 = b'G';
const GROUP_GONE: u8 = b'H';
const MEMBER: u8 = b'q';
const MEMBER_GONE: u8 = b'Q';
const LAST: u8 = b'l';
const LAST_GONE: u8 = b'm';

impl Change {
    /// Writes the change to the end of `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(schema());
        put_len(out, self.records.len());
        for record in &self.records {
            record.put(out);
        }
    }

    /// Reads what [`Change::encode`] wrote.
    ///
    /// # Errors
    /// A newer schema, or bytes that are no change.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let mut from = Reader::of(bytes)?;
        let count = from.len()?;
        // No capacity from the wire: a damaged count must not allocate.
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(Record::take(&mut from)?);
        }
        from.end()?;
        Ok(Self { records })
    }
}

impl Record {
    /// What names the record in the disk store: a letter for its kind, then its id. A removal has the key of
    /// what it removes.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(17);
        match self {
            Self::Account(account) => {
                key.push(ACCOUNT);
                key.extend_from_slice(account.name.as_bytes());
            }
            Self::Pool(pool) => {
                key.push(POOL);
                key.extend_from_slice(pool.key.as_bytes());
            }
            Self::Number(number) => {
                key.push(NUMBER);
                key.extend_from_slice(&number.x.tel().bits().to_be_bytes());
            }
            Self::Binding(Binding { id, .. }) | Self::Forget(id) => {
                key.push(BINDING);
                key.extend_from_slice(&id.bits().to_be_bytes());
            }
            Self::Callee(Callee { binding: id, .. }) | Self::CalleeGone(id) => {
                key.push(CALLEE);
                key.extend_from_slice(&id.bits().to_be_bytes());
            }
            Self::Group(Group { id, .. }) | Self::GroupGone(id) => {
                key.push(GROUP);
                key.extend_from_slice(&id.bits().to_be_bytes());
            }
            Self::Member(Membership { group, number, .. }) | Self::MemberGone(group, number) => {
                key.push(MEMBER);
                key.extend_from_slice(&group.bits().to_be_bytes());
                key.extend_from_slice(&number.key().to_be_bytes());
            }
            Self::Last(Last { binding: id, .. }) | Self::LastGone(id) => {
                key.push(LAST);
                key.extend_from_slice(&id.bits().to_be_bytes());
            }
        }
        key
    }

    /// Whether the disk store removes the key rather than setting it.
    pub const fn is_removal(&self) -> bool {
        match self {
            Self::Account(_)
            | Self::Pool(_)
            | Self::Number(_)
            | Self::Binding(_)
            | Self::Callee(_)
            | Self::Group(_)
            | Self::Member(_)
            | Self::Last(_) => false,
            Self::Forget(_)
            | Self::CalleeGone(_)
            | Self::GroupGone(_)
            | Self::MemberGone(..)
            | Self::LastGone(_) => true,
        }
    }

    /// Writes the record, with its schema, to the end of `out`: a value that [`Record::decode`] reads
    /// without its key.
    pub fn encode_value(&self, out: &mut Vec<u8>) {
        out.push(schema());
        self.put(out);
    }

    /// Reads what [`Record::encode_value`] wrote.
    ///
    /// # Errors
    /// A newer schema, or bytes that are no record.
    pub fn decode(value: &[u8]) -> Result<Self, BadRecord> {
        let mut from = Reader::of(value)?;
        let record = Self::take(&mut from)?;
        from.end()?;
        Ok(record)
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Account(account) => {
                out.push(ACCOUNT);
                stock::put_account(out, account);
            }
            Self::Pool(pool) => {
                out.push(POOL);
                stock::put_pool(out, pool);
            }
            Self::Number(number) => {
                out.push(NUMBER);
                stock::put_number(out, number);
            }
            Self::Binding(binding) => {
                out.push(BINDING);
                put_binding(out, binding);
            }
            Self::Forget(id) => {
                out.push(FORGET);
                out.extend_from_slice(&id.bits().to_le_bytes());
            }
            Self::Callee(callee) => {
                out.push(CALLEE);
                out.extend_from_slice(&callee.binding.bits().to_le_bytes());
                out.extend_from_slice(&callee.to.key().to_le_bytes());
                out.extend_from_slice(&callee.nonce.to_le_bytes());
                put_wall(out, callee.set);
                put_wall(out, callee.until);
            }
            Self::CalleeGone(id) => {
                out.push(CALLEE_GONE);
                out.extend_from_slice(&id.bits().to_le_bytes());
            }
            Self::Group(group) => {
                out.push(GROUP);
                groups::put_group(out, group);
            }
            Self::GroupGone(id) => {
                out.push(GROUP_GONE);
                out.extend_from_slice(&id.bits().to_le_bytes());
            }
            Self::Member(member) => {
                out.push(MEMBER);
                groups::put_member(out, member);
            }
            Self::MemberGone(group, number) => {
                out.push(MEMBER_GONE);
                out.extend_from_slice(&group.bits().to_le_bytes());
                out.extend_from_slice(&number.key().to_le_bytes());
            }
            Self::Last(last) => {
                out.push(LAST);
                out.extend_from_slice(&last.binding.bits().to_le_bytes());
                out.extend_from_slice(&last.caller.key().to_le_bytes());
                put_wall(out, last.at);
                put_wall(out, last.until);
            }
            Self::LastGone(id) => {
                out.push(LAST_GONE);
                out.extend_from_slice(&id.bits().to_le_bytes());
            }
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, BadRecord> {
        Ok(match from.byte()? {
            ACCOUNT => Self::Account(from.account()?),
            POOL => Self::Pool(from.pool()?),
            NUMBER => Self::Number(from.number()?),
            BINDING => Self::Binding(from.binding()?),
            FORGET => Self::Forget(from.id()?),
            CALLEE => Self::Callee(Callee {
                binding: from.id()?,
                to: from.real("callee")?,
                nonce: from.u32()?,
                set: from.wall()?,
                until: from.wall()?,
            }),
            CALLEE_GONE => Self::CalleeGone(from.id()?),
            GROUP => Self::Group(from.group()?),
            GROUP_GONE => Self::GroupGone(from.group_id()?),
            MEMBER => Self::Member(from.member()?),
            MEMBER_GONE => Self::MemberGone(from.group_id()?, from.real("member")?),
            LAST => Self::Last(Last {
                binding: from.id()?,
                caller: from.real("caller")?,
                at: from.wall()?,
                until: from.wall()?,
            }),
            LAST_GONE => Self::LastGone(from.id()?),
            _ => return Err(BadRecord::Field("kind")),
        })
    }
}

fn put_binding(out: &mut Vec<u8>, binding: &Binding) {
    out.extend_from_slice(&binding.id.bits().to_le_bytes());
    out.extend_from_slice(&binding.version.to_le_bytes());
    put_mode(out, binding.mode());
    put_text(out, binding.account());
    put_text(out, binding.pool());
    out.extend_from_slice(&binding.x.tel().bits().to_le_bytes());
    let numbers = match binding.parties {
        Parties::Axb { a, b } => [Some(a.key()), None, Some(b.key())],
        Parties::Ax { a } | Parties::Axn { a } | Parties::Axn95 { a } => [Some(a.key()), None, None],
        Parties::Axyb { a, y, b } => [Some(a.key()), Some(y.tel().bits()), Some(b.key())],
        Parties::Axg { a, group } => [Some(a.key()), Some(group.bits()), None],
        Parties::Gxb { group, b } => [Some(group.bits()), None, Some(b.key())],
        Parties::Gxyb { group, y, b } => [Some(group.bits()), Some(y.tel().bits()), Some(b.key())],
        // Nobody's number is 0: a work number has no customer of its own.
        Parties::Xb { b } => [Some(0), None, Some(b.key())],
        Parties::Paired { a, b } => [Some(a.key()), None, Some(b.key())],
        Parties::Inbound { base } => [Some(base.key()), None, None],
        Parties::Axe { a, e } => [Some(a.key()), Some(e.bits().into()), None],
    };
    for number in numbers.into_iter().flatten() {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let terms = &binding.terms;
    out.push(match terms.direction {
        Direction::Both => 0,
        Direction::AToB => 1,
        Direction::BToA => 2,
    });
    // Zero is none: neither limit can be zero.
    let rare = terms.rare();
    put_duration(out, rare.max_duration);
    put_duration(out, rare.ring_timeout);
    out.push(u8::from(terms.record));
    put_text_option(out, rare.order_id.as_deref());
    put_text_option(out, rare.user_data.as_deref());
    groups::put_terms(out, rare);
    put_callback(out, rare.callback);
    put_wall(out, binding.created);
    put_wall(out, binding.since);
    put_wall(out, binding.expires);
    match binding.ended {
        None => out.push(0),
        Some((at, why)) => {
            out.push(match why {
                Ended::Unbound => 1,
                Ended::Expired => 2,
                Ended::Replaced => 3,
            });
            put_wall(out, at);
        }
    }
    cues::put(out, rare.cues.as_deref());
    menu::put(out, rare.menu.as_deref());
}

/// Zero is none: no number packs to it.
fn put_callback(out: &mut Vec<u8>, callback: Option<RealNumber>) {
    out.extend_from_slice(&callback.map_or(0, RealNumber::key).to_le_bytes());
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

/// Every text of a record is bounded far below 64 kB when it is planned.
fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_texts(out: &mut Vec<u8>, texts: &[Box<str>]) {
    put_len(out, texts.len());
    for text in texts {
        put_text(out, text);
    }
}

fn put_text_option(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_text(out, text);
    }
}

fn put_wall(out: &mut Vec<u8>, wall: Wall) {
    out.extend_from_slice(&wall.as_millis().to_le_bytes());
}

fn put_duration(out: &mut Vec<u8>, duration: Option<Duration>) {
    let ms = duration.map_or(0, |d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX));
    out.extend_from_slice(&ms.to_le_bytes());
}

fn put_mode(out: &mut Vec<u8>, mode: Mode) {
    out.push(match mode {
        Mode::Axb => 1,
        Mode::Ax => 2,
        Mode::Axyb => 3,
        Mode::X => 20,
        Mode::Axg => 10,
        Mode::Gxb => 11,
        Mode::Gxyb => 12,
        Mode::Xb => 13,
        Mode::Inbound => 14,
        Mode::Axe => 4,
        Mode::Axn => 5,
        Mode::Axn95 => 6,
    });
}

/// The bytes that are still to be read, and the schema that they were written by.
struct Reader<'a> {
    rest: &'a [u8],
    schema: u8,
}

impl<'a> Reader<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, BadRecord> {
        let (schema, rest) = bytes.split_first().ok_or(BadRecord::Truncated)?;
        match *schema {
            0 => Err(BadRecord::Field("schema")),
            newer if newer > self::schema() => Err(BadRecord::NewerSchema(newer)),
            schema => Ok(Self { rest, schema }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(BadRecord::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn end(&self) -> Result<(), BadRecord> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(BadRecord::Trailing)
        }
    }

    fn byte(&mut self) -> Result<u8, BadRecord> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, BadRecord> {
        self.array().map(u32::from_le_bytes)
    }

    fn len(&mut self) -> Result<usize, BadRecord> {
        self.u32().map(|n| n as usize)
    }

    fn wall(&mut self) -> Result<Wall, BadRecord> {
        self.array().map(|b| Wall::from_millis(i64::from_le_bytes(b)))
    }

    fn id(&mut self) -> Result<Id, BadRecord> {
        self.array().map(|b| Id::from_bits(u128::from_le_bytes(b)))
    }

    fn tel(&mut self, field: &'static str) -> Result<Tel, BadRecord> {
        Tel::from_bits(u64::from_le_bytes(self.array()?)).ok_or(BadRecord::Field(field))
    }

    fn duration(&mut self) -> Result<Option<Duration>, BadRecord> {
        Ok(match self.u32()? {
            0 => None,
            ms => Some(Duration::from_millis(u64::from(ms))),
        })
    }

    fn text(&mut self, field: &'static str) -> Result<Box<str>, BadRecord> {
        let len = self.len()?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or(BadRecord::Truncated)?;
        self.rest = rest;
        std::str::from_utf8(text)
            .map(Box::from)
            .map_err(|_| BadRecord::Field(field))
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, BadRecord> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadRecord::Field(field)),
        }
    }

    fn text_option(&mut self, field: &'static str) -> Result<Option<Box<str>>, BadRecord> {
        Ok(if self.flag(field)? {
            Some(self.text(field)?)
        } else {
            None
        })
    }

    fn texts(&mut self, field: &'static str) -> Result<Vec<Box<str>>, BadRecord> {
        let count = self.len()?;
        // No capacity from the wire here either.
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.text(field)?);
        }
        Ok(texts)
    }

    fn mode(&mut self) -> Result<Mode, BadRecord> {
        match self.byte()? {
            1 => Ok(Mode::Axb),
            2 if self.schema >= 2 => Ok(Mode::Ax),
            3 if self.schema >= 2 => Ok(Mode::Axyb),
            20 if self.schema >= 5 => Ok(Mode::X),
            10 if self.schema >= 5 => Ok(Mode::Axg),
            11 if self.schema >= 5 => Ok(Mode::Gxb),
            12 if self.schema >= 5 => Ok(Mode::Gxyb),
            13 if self.schema >= 5 => Ok(Mode::Xb),
            14 if self.schema >= 5 => Ok(Mode::Inbound),
            4 if self.schema >= 5 => Ok(Mode::Axe),
            5 if self.schema >= 5 => Ok(Mode::Axn),
            6 if self.schema >= 5 => Ok(Mode::Axn95),
            _ => Err(BadRecord::Field("mode")),
        }
    }

    fn extension(&mut self) -> Result<Extension, BadRecord> {
        let bits = u64::from_le_bytes(self.array()?);
        let bits = u16::try_from(bits).ok().and_then(Extension::from_bits);
        bits.ok_or(BadRecord::Field("extension"))
    }

    fn callback(&mut self) -> Result<Option<RealNumber>, BadRecord> {
        match u64::from_le_bytes(self.array()?) {
            0 => Ok(None),
            bits => {
                let tel = Tel::from_bits(bits).ok_or(BadRecord::Field("callback"))?;
                Ok(Some(RealNumber::new(tel)))
            }
        }
    }

    fn real(&mut self, field: &'static str) -> Result<RealNumber, BadRecord> {
        self.tel(field).map(RealNumber::new)
    }

    fn binding(&mut self) -> Result<Binding, BadRecord> {
        let (id, version, mode) = (self.id()?, self.u32()?, self.mode()?);
        let home = Home {
            account: self.text("account")?,
            pool: self.text("pool")?,
        };
        let x = VirtualNumber::new(self.tel("x")?);
        let parties = match mode {
            Mode::Axb => Parties::Axb {
                a: self.real("a")?,
                b: self.real("b")?,
            },
            Mode::Ax => Parties::Ax { a: self.real("a")? },
            Mode::Axyb => Parties::Axyb {
                a: self.real("a")?,
                y: VirtualNumber::new(self.tel("y")?),
                b: self.real("b")?,
            },
            // Nothing is ever bound in it.
            Mode::X => return Err(BadRecord::Field("mode")),
            Mode::Axg => Parties::Axg {
                a: self.real("a")?,
                group: self.group_id()?,
            },
            Mode::Gxb => Parties::Gxb {
                group: self.group_id()?,
                b: self.real("b")?,
            },
            Mode::Gxyb => Parties::Gxyb {
                group: self.group_id()?,
                y: VirtualNumber::new(self.tel("y")?),
                b: self.real("b")?,
            },
            Mode::Xb => match self.number_option("a")? {
                None => Parties::Xb { b: self.real("b")? },
                Some(a) => Parties::Paired {
                    a: RealNumber::new(a),
                    b: self.real("b")?,
                },
            },
            Mode::Inbound => Parties::Inbound {
                base: self.real("base")?,
            },
            Mode::Axe => Parties::Axe {
                a: self.real("a")?,
                e: self.extension()?,
            },
            Mode::Axn => Parties::Axn { a: self.real("a")? },
            Mode::Axn95 => Parties::Axn95 { a: self.real("a")? },
        };
        let direction = match self.byte()? {
            0 => Direction::Both,
            1 => Direction::AToB,
            2 => Direction::BToA,
            _ => return Err(BadRecord::Field("direction")),
        };
        let (max_duration, ring_timeout) = (self.duration()?, self.duration()?);
        let record = self.flag("record")?;
        let mut rare = Rare {
            max_duration,
            ring_timeout,
            order_id: self.text_option("order id")?,
            user_data: self.text_option("user data")?,
            ..Rare::default()
        };
        self.group_terms(&mut rare)?;
        if self.schema >= 5 {
            rare.callback = self.callback()?;
        }
        let (created, since, expires) = (self.wall()?, self.wall()?, self.wall()?);
        let ended = match self.byte()? {
            0 => None,
            1 => Some((self.wall()?, Ended::Unbound)),
            2 => Some((self.wall()?, Ended::Expired)),
            3 => Some((self.wall()?, Ended::Replaced)),
            _ => return Err(BadRecord::Field("end")),
        };
        if self.schema >= 5 {
            rare.cues = self.cues()?;
            rare.menu = self.menu()?.map(Arc::new);
        }
        Ok(Binding {
            id,
            version,
            home: Arc::new(home),
            x,
            parties,
            terms: Terms::new(direction, record, rare),
            created,
            since,
            expires,
            ended,
        })
    }
}

#[cfg(test)]
mod tests;

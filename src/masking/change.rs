//! The change: what the log keeps, what the table applies. Whole records with their versions, written by
//! hand: a schema byte, then fixed little-endian fields and length-prefixed text.

mod stock;

use std::sync::Arc;
use std::time::Duration;

use super::binding::{Binding, Direction, Ended, Home, Mode, Parties, Rare, Terms};
use super::callee::Callee;
use super::inventory::{Account, Number, Pool};
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
        }
        key
    }

    /// Whether the disk store removes the key rather than setting it.
    pub const fn is_removal(&self) -> bool {
        match self {
            Self::Account(_) | Self::Pool(_) | Self::Number(_) | Self::Binding(_) | Self::Callee(_) => false,
            Self::Forget(_) | Self::CalleeGone(_) => true,
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
        Parties::Ax { a } => [Some(a.key()), None, None],
        Parties::Axyb { a, y, b } => [Some(a.key()), Some(y.tel().bits()), Some(b.key())],
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
            _ => Err(BadRecord::Field("mode")),
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
        };
        let direction = match self.byte()? {
            0 => Direction::Both,
            1 => Direction::AToB,
            2 => Direction::BToA,
            _ => return Err(BadRecord::Field("direction")),
        };
        let (max_duration, ring_timeout) = (self.duration()?, self.duration()?);
        let record = self.flag("record")?;
        let rare = Rare {
            max_duration,
            ring_timeout,
            order_id: self.text_option("order id")?,
            user_data: self.text_option("user data")?,
        };
        Ok(Binding {
            id,
            version,
            home: Arc::new(home),
            x,
            parties,
            terms: Terms::new(direction, record, rare),
            created: self.wall()?,
            since: self.wall()?,
            expires: self.wall()?,
            ended: match self.byte()? {
                0 => None,
                1 => Some((self.wall()?, Ended::Unbound)),
                2 => Some((self.wall()?, Ended::Expired)),
                3 => Some((self.wall()?, Ended::Replaced)),
                _ => return Err(BadRecord::Field("end")),
            },
        })
    }
}

#[cfg(test)]
mod tests;

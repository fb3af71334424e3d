//! The change: what the log keeps, what the table applies. Whole records with their versions, written by
//! hand: a schema byte, then fixed little-endian fields and length-prefixed text.

mod stock;

use std::sync::Arc;
use std::time::Duration;

use super::binding::{Binding, Direction, Ended, Home, Mode, Parties, Rare, Terms};
use super::callee::Callee;
use super::inventory::{Account, Number, Pool};
use crate::base::id::Id;
use crate::base::number::{RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;

/// The schema that this server writes, and the newest that it reads. Schema 1 had AXB only, and less in its
/// pools, numbers and accounts: what it doesn't say has its default.
pub const SCHEMA: u8 = 2;

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
        "the record was written by a newer server (schema {0}; this one reads up to {SCHEMA}): upgrade first"
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
        out.push(SCHEMA);
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
        out.push(SCHEMA);
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
            schema @ 1..=SCHEMA => Ok(Self { rest, schema }),
            0 => Err(BadRecord::Field("schema")),
            newer => Err(BadRecord::NewerSchema(newer)),
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
mod tests {
    use proptest::prelude::*;

    use super::super::inventory::{Callback, CityRule, Freeze, NumberState, Reuse, Standing, Unidentified};
    use super::super::quarantine::{Grip, Quarantine};
    use super::*;
    use crate::base::number::Kind;

    fn tel() -> impl Strategy<Value = Tel> {
        let kind = prop_oneof![
            Just(Kind::E164),
            Just(Kind::National),
            Just(Kind::Short),
            Just(Kind::Service)
        ];
        (kind, "[0-9]{1,18}").prop_filter_map("a number", |(kind, digits)| Tel::new(kind, &digits))
    }

    fn text() -> impl Strategy<Value = Box<str>> {
        ".{0,40}".prop_map(Box::from)
    }

    fn wall() -> impl Strategy<Value = Wall> {
        prop_oneof![any::<i64>().prop_map(Wall::from_millis), Just(Wall::NEVER)]
    }

    fn duration() -> impl Strategy<Value = Option<Duration>> {
        prop::option::of((1..=86_400_000_u64).prop_map(Duration::from_millis))
    }

    fn terms() -> impl Strategy<Value = Terms> {
        let direction = prop_oneof![
            Just(Direction::Both),
            Just(Direction::AToB),
            Just(Direction::BToA)
        ];
        let option = || prop::option::of(text());
        (
            direction,
            duration(),
            duration(),
            any::<bool>(),
            option(),
            option(),
        )
            .prop_map(
                |(direction, max_duration, ring_timeout, record, order_id, user_data)| {
                    let rare = Rare {
                        max_duration,
                        ring_timeout,
                        order_id,
                        user_data,
                    };
                    Terms::new(direction, record, rare)
                },
            )
    }

    fn binding() -> impl Strategy<Value = Binding> {
        let ended = prop_oneof![
            Just(None),
            wall().prop_map(|at| Some((at, Ended::Unbound))),
            wall().prop_map(|at| Some((at, Ended::Expired))),
            wall().prop_map(|at| Some((at, Ended::Replaced)))
        ];
        let parties = (0..3_u8, tel(), tel(), tel()).prop_map(|(mode, a, y, b)| {
            let (a, b) = (RealNumber::new(a), RealNumber::new(b));
            match mode {
                0 => Parties::Axb { a, b },
                1 => Parties::Ax { a },
                _ => Parties::Axyb {
                    a,
                    y: VirtualNumber::new(y),
                    b,
                },
            }
        });
        let numbers = (tel(), parties);
        let times = (wall(), wall(), wall(), ended);
        (
            any::<u128>(),
            any::<u32>(),
            text(),
            text(),
            numbers,
            terms(),
            times,
        )
            .prop_map(
                |(id, version, account, pool, (x, parties), terms, (created, since, expires, ended))| {
                    Binding {
                        id: Id::from_bits(id),
                        version,
                        home: Arc::new(Home { account, pool }),
                        x: VirtualNumber::new(x),
                        parties,
                        terms,
                        created,
                        since,
                        expires,
                        ended,
                    }
                },
            )
    }

    fn number() -> impl Strategy<Value = Number> {
        let state = prop_oneof![
            Just(NumberState::Active),
            Just(NumberState::Locked),
            Just(NumberState::Released),
            Just(NumberState::Frozen(Freeze::Arrears)),
            Just(NumberState::Frozen(Freeze::Complaint)),
            Just(NumberState::Frozen(Freeze::Carrier)),
            Just(NumberState::Frozen(Freeze::Operator)),
            Just(NumberState::Frozen(Freeze::Regulator)),
            Just(NumberState::Inventory),
        ];
        let texts = || prop::collection::vec(text(), 0..4);
        let option = || prop::option::of(text());
        let names = (text(), text(), texts(), option(), option(), texts());
        (tel(), names, state, any::<u32>(), wall()).prop_map(
            |(x, (pool, account, trunks, city, operator, tags), state, version, added)| Number {
                x: VirtualNumber::new(x),
                pool,
                account,
                trunks,
                city,
                operator,
                tags,
                state,
                version,
                added,
            },
        )
    }

    fn seconds() -> impl Strategy<Value = Duration> {
        (0..u64::MAX).prop_map(Duration::from_secs)
    }

    fn pool() -> impl Strategy<Value = Pool> {
        let callback = prop_oneof![Just(Callback::Temporary), Just(Callback::Refused)];
        let unidentified = prop_oneof![Just(Unidentified::Refused), Just(Unidentified::Accepted)];
        let grip = prop_oneof![Just(Grip::Soft), Just(Grip::Hard)];
        let quarantine = prop::option::of((any::<u32>(), grip).prop_map(|(seconds, grip)| Quarantine {
            lasts: Duration::from_secs(u64::from(seconds)),
            grip,
        }));
        let names = (text(), text(), text());
        let mode = prop_oneof![Just(Mode::Axb), Just(Mode::Ax), Just(Mode::Axyb)];
        let choice = (
            prop_oneof![Just(CityRule::Loose), Just(CityRule::Strict)],
            prop::collection::vec(text(), 0..4),
            prop_oneof![Just(Reuse::Any), Just(Reuse::Sticky), Just(Reuse::Avoid)],
        );
        let calls = || prop::option::of(1..5_000_usize);
        let limits = (
            0..5_000_usize,
            0..5_000_usize,
            any::<u8>(),
            duration(),
            calls(),
            calls(),
        );
        let settings = (callback, unidentified, quarantine, choice, limits);
        (names, mode, any::<u32>(), wall(), settings).prop_map(
            |((key, name, account), mode, version, created, settings)| {
                let (callback, unidentified, quarantine, choice, limits) = settings;
                Pool {
                    key,
                    name,
                    mode,
                    account,
                    version,
                    created,
                    axb_pairs_per_x: limits.0,
                    relations_per_y: limits.1,
                    city_rule: choice.0,
                    fallback_cities: choice.1,
                    reuse: choice.2,
                    callback,
                    unidentified,
                    quarantine,
                    free_low_percent: limits.2,
                    ring_timeout: limits.3,
                    calls_per_x: limits.4,
                    calls_per_caller: limits.5,
                }
            },
        )
    }

    fn record() -> impl Strategy<Value = Record> {
        let standing = prop_oneof![Just(Standing::Active), Just(Standing::Suspended)];
        let limits = (0..5_000_usize, prop::option::of(seconds()));
        let account = (text(), any::<u32>(), standing, wall(), limits).prop_map(
            |(name, version, standing, created, (x_per_a, expiry_max))| {
                Record::Account(Account {
                    name,
                    version,
                    standing,
                    created,
                    x_per_a,
                    expiry_max,
                })
            },
        );
        prop_oneof![
            account,
            pool().prop_map(Record::Pool),
            number().prop_map(Record::Number),
            binding().prop_map(Record::Binding),
            any::<u128>().prop_map(|bits| Record::Forget(Id::from_bits(bits))),
            any::<u128>().prop_map(|bits| Record::CalleeGone(Id::from_bits(bits))),
            (any::<u128>(), tel(), any::<u32>(), wall(), wall()).prop_map(|(bits, to, nonce, set, until)| {
                Record::Callee(Callee {
                    binding: Id::from_bits(bits),
                    to: RealNumber::new(to),
                    nonce,
                    set,
                    until,
                })
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_change_and_its_records_read_back(records in prop::collection::vec(record(), 0..6)) {
            let change = Change { records };
            let mut bytes = Vec::new();
            change.encode(&mut bytes);
            prop_assert_eq!(Change::decode(&bytes), Ok(change.clone()));
            for record in &change.records {
                let mut value = Vec::new();
                record.encode_value(&mut value);
                prop_assert_eq!(Record::decode(&value), Ok(record.clone()));
            }
            for cut in 0..bytes.len() {
                prop_assert!(Change::decode(&bytes[..cut]).is_err(), "cut at {}", cut);
            }
        }

        #[test]
        fn bytes_that_are_no_change_are_an_error_and_no_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            damage in any::<(prop::sample::Index, u8)>(),
            record in record(),
        ) {
            let _ = Change::decode(&bytes);
            let _ = Record::decode(&bytes);
            let mut value = Vec::new();
            record.encode_value(&mut value);
            let at = damage.0.index(value.len());
            value[at] ^= damage.1;
            let _ = Record::decode(&value);
        }
    }

    #[test]
    fn a_record_of_a_newer_server_is_refused_with_a_sentence() {
        let mut value = Vec::new();
        Record::Forget(Id::from_bits(1)).encode_value(&mut value);
        value[0] = SCHEMA + 1;
        let refused = Record::decode(&value).expect_err("newer");
        assert_eq!(refused, BadRecord::NewerSchema(3));
        assert_eq!(
            refused.to_string(),
            "the record was written by a newer server (schema 3; this one reads up to 2): upgrade first"
        );
        assert_eq!(Change::decode(&value), Err(BadRecord::NewerSchema(3)));
    }

    /// What the version before wrote: a pool and a binding of schema 1, byte by byte.
    #[test]
    fn records_of_the_schema_before_are_read() {
        let mut pool = vec![1, POOL];
        for text in ["FC100000000000001", "default"] {
            put_text(&mut pool, text);
        }
        pool.push(1);
        put_text(&mut pool, "default");
        pool.extend_from_slice(&7_u32.to_le_bytes());
        put_wall(&mut pool, Wall::from_millis(5));
        put_len(&mut pool, 200);
        let Ok(Record::Pool(read)) = Record::decode(&pool) else {
            panic!("{:?}", Record::decode(&pool));
        };
        assert_eq!(
            (&*read.name, read.version, read.axb_pairs_per_x),
            ("default", 7, 200)
        );
        assert_eq!(read.callback, Callback::Temporary);

        let tel = |digits| Tel::new(Kind::E164, digits).expect("digits");
        let mut binding = vec![1, BINDING];
        binding.extend_from_slice(&9_u128.to_le_bytes());
        binding.extend_from_slice(&3_u32.to_le_bytes());
        binding.push(1);
        put_text(&mut binding, "default");
        put_text(&mut binding, "FC100000000000001");
        for digits in ["8617000000001", "8613800000001", "8613900000002"] {
            binding.extend_from_slice(&tel(digits).bits().to_le_bytes());
        }
        binding.push(2);
        put_duration(&mut binding, None);
        put_duration(&mut binding, Some(Duration::from_secs(30)));
        binding.push(1);
        put_text_option(&mut binding, Some("order"));
        put_text_option(&mut binding, None);
        for at in [1, 2, 3] {
            put_wall(&mut binding, Wall::from_millis(at));
        }
        binding.push(1);
        put_wall(&mut binding, Wall::from_millis(3));
        let rare = Rare {
            ring_timeout: Some(Duration::from_secs(30)),
            order_id: Some("order".into()),
            ..Rare::default()
        };
        let expected = Binding {
            id: Id::from_bits(9),
            version: 3,
            home: Arc::new(Home {
                account: "default".into(),
                pool: "FC100000000000001".into(),
            }),
            x: VirtualNumber::new(tel("8617000000001")),
            parties: Parties::Axb {
                a: RealNumber::new(tel("8613800000001")),
                b: RealNumber::new(tel("8613900000002")),
            },
            terms: Terms::new(Direction::BToA, true, rare),
            created: Wall::from_millis(1),
            since: Wall::from_millis(2),
            expires: Wall::from_millis(3),
            ended: Some((Wall::from_millis(3), Ended::Unbound)),
        };
        assert_eq!(Record::decode(&binding), Ok(Record::Binding(expected)));
        // A mode that schema 1 didn't have is damage there.
        binding[22] = 2;
        assert_eq!(Record::decode(&binding), Err(BadRecord::Field("mode")));
    }

    /// A record as schema 1 wrote it, with `fields` by hand.
    fn first_schema(kind: u8, fields: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut value = vec![1, kind];
        fields(&mut value);
        value
    }

    #[test]
    fn accounts_pools_and_numbers_of_the_first_schema_are_read_with_defaults_for_what_they_dont_say() {
        let at = Wall::from_millis(7);
        let account = first_schema(ACCOUNT, |out| {
            put_text(out, "shop");
            out.extend_from_slice(&3_u32.to_le_bytes());
            out.push(1);
            put_wall(out, at);
        });
        let expected = Account {
            name: "shop".into(),
            version: 3,
            standing: Standing::Suspended,
            created: at,
            ..Account::default_account()
        };
        assert_eq!(Record::decode(&account), Ok(Record::Account(expected)));
        let pool = first_schema(POOL, |out| {
            put_text(out, "FC100000000000009");
            put_text(out, "crowd");
            put_mode(out, Mode::Axb);
            put_text(out, "shop");
            out.extend_from_slice(&3_u32.to_le_bytes());
            put_wall(out, at);
            put_len(out, 17);
        });
        let expected = Pool {
            key: "FC100000000000009".into(),
            name: "crowd".into(),
            account: "shop".into(),
            version: 3,
            created: at,
            axb_pairs_per_x: 17,
            ..Pool::default_pool()
        };
        assert_eq!(Record::decode(&pool), Ok(Record::Pool(expected)));
        let x = Tel::new(Kind::E164, "8617000000001").expect("digits");
        let number = first_schema(NUMBER, |out| {
            out.extend_from_slice(&x.bits().to_le_bytes());
            put_text(out, "FC100000000000009");
            put_text(out, "shop");
            put_texts(out, &["carrier".into()]);
            out.push(4);
            out.extend_from_slice(&3_u32.to_le_bytes());
            put_wall(out, at);
        });
        let expected = Number {
            x: VirtualNumber::new(x),
            pool: "FC100000000000009".into(),
            account: "shop".into(),
            trunks: vec!["carrier".into()],
            city: None,
            operator: None,
            tags: Vec::new(),
            state: NumberState::Frozen(Freeze::Complaint),
            version: 3,
            added: at,
        };
        assert_eq!(Record::decode(&number), Ok(Record::Number(expected)));
    }

    #[test]
    fn a_forgotten_binding_has_the_key_of_its_record() {
        let id = Id::from_bits(7);
        let key = Record::Forget(id).key();
        assert_eq!((key.first(), key.len()), (Some(&b'b'), 17));
        assert!(Record::Forget(id).is_removal());
    }
}

use proptest::prelude::*;

use super::super::ask::{NumbersTold, Secret, Server};
use super::super::collect::Collecting;
use super::super::cues::{Cues, Early, Hearers};
use super::super::group::GroupId;
use super::super::inventory::{
    Callback, CityRule, Fax, Freeze, NumberState, OwnerDials, Reuse, Standing, Thawed, Unidentified,
};
use super::super::quarantine::{Grip, Quarantine};
use super::super::recording::{Keeping, Since, Wish};
use super::super::turns::{Order, Ring};
use super::menu::tests::menu;
use super::question::tests::question;
use super::*;
use crate::base::language::Language;
use crate::base::number::Kind;
use crate::base::url::HttpUrl;
use crate::masking::question::Said;

pub(super) fn tel() -> impl Strategy<Value = Tel> {
    let kind = prop_oneof![
        Just(Kind::E164),
        Just(Kind::National),
        Just(Kind::Short),
        Just(Kind::Service)
    ];
    (kind, "[0-9]{1,18}").prop_filter_map("a number", |(kind, digits)| Tel::new(kind, &digits))
}

pub(super) fn text() -> impl Strategy<Value = Box<str>> {
    ".{0,40}".prop_map(Box::from)
}

fn wall() -> impl Strategy<Value = Wall> {
    prop_oneof![any::<i64>().prop_map(Wall::from_millis), Just(Wall::NEVER)]
}

fn duration() -> impl Strategy<Value = Option<Duration>> {
    prop::option::of((1..=86_400_000_u64).prop_map(Duration::from_millis))
}

fn hearers() -> impl Strategy<Value = Option<Hearers>> {
    prop::option::of(prop::sample::select(Hearers::NAMES.map(|(_, who)| who).to_vec()))
}

fn cues() -> impl Strategy<Value = Option<Box<Cues>>> {
    let early = prop::option::of(prop::sample::select(
        Early::NAMES.map(|(_, early)| early).to_vec(),
    ));
    let option = || prop::option::of(text());
    let prompts = (option(), option(), option());
    let who = (hearers(), hearers());
    let question = prop_oneof![
        Just(Said::Nothing),
        Just(Said::Nobody),
        question().prop_map(Said::This)
    ];
    (who, early, prompts, question).prop_map(
        |((last_minute, record_tone), early_media, prompts, question)| {
            let (waiting_caller, waiting_callee, whisper) = prompts;
            Cues {
                last_minute,
                early_media,
                waiting_caller,
                waiting_callee,
                whisper,
                record_tone,
                question: question.map(Box::new),
            }
            .some()
        },
    )
}

fn ring() -> impl Strategy<Value = Ring> {
    let order = prop_oneof![Just(Order::Conditional), Just(Order::Unconditional)];
    (order, prop::collection::vec(tel(), 1..4), 5_000..20_000_u64).prop_map(|(order, list, ms)| Ring {
        order,
        list: list.into_iter().map(RealNumber::new).collect(),
        each: Duration::from_millis(ms),
    })
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
        cues(),
        prop::option::of(tel()),
        (
            prop::option::of(ring()),
            prop::option::of(tel()),
            prop::option::of(menu()),
        ),
    )
        .prop_map(
            |(
                direction,
                max_duration,
                ring_timeout,
                record,
                order_id,
                user_data,
                cues,
                callback,
                (ring, display, menu),
            )| {
                let rare = Rare {
                    max_duration,
                    ring_timeout,
                    order_id,
                    user_data,
                    cues,
                    callback: callback.map(RealNumber::new),
                    ring: ring.map(Box::new),
                    display: display.map(VirtualNumber::new),
                    menu: menu.map(Arc::new),
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
    let parties = (0..12_u8, tel(), tel(), tel(), 1..10_000_u16).prop_map(|(mode, a, y, b, e)| {
        let (a, b) = (RealNumber::new(a), RealNumber::new(b));
        match mode {
            0 => Parties::Axb { a, b },
            1 => Parties::Ax { a },
            2 => Parties::Axe {
                a,
                e: Extension::new(4, e).expect("four digits"),
            },
            3 => Parties::Axn { a },
            4 => Parties::Axn95 { a },
            5 => Parties::Axg {
                a,
                group: GroupId::FIRST,
            },
            6 => Parties::Gxb {
                group: GroupId::FIRST,
                b,
            },
            7 => Parties::Gxyb {
                group: GroupId::FIRST,
                y: VirtualNumber::new(y),
                b,
            },
            8 => Parties::Xb { b },
            9 => Parties::Paired { a, b },
            10 => Parties::Inbound { base: a },
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
            |(id, version, account, pool, (x, parties), terms, (created, since, expires, ended))| Binding {
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
            },
        )
}

fn number() -> impl Strategy<Value = Number> {
    let frozen = (
        prop::sample::select(
            Freeze::NAMES
                .map(|(_, cause)| NumberState::Frozen(cause))
                .to_vec(),
        ),
        prop::sample::select(vec![Thawed::Active, Thawed::Locked, Thawed::Inventory]),
    );
    let state = prop_oneof![
        frozen,
        prop::sample::select(vec![
            (NumberState::Active, Thawed::Active),
            (NumberState::Locked, Thawed::Active),
            (NumberState::Released, Thawed::Active),
            (NumberState::Inventory, Thawed::Active),
        ]),
    ];
    let texts = || prop::collection::vec(text(), 0..4);
    let option = || prop::option::of(text());
    let names = (text(), text(), texts(), option(), option(), texts());
    (tel(), names, state, any::<u32>(), wall()).prop_map(
        |(x, (pool, account, trunks, city, operator, tags), (state, thawed), version, added)| Number {
            x: VirtualNumber::new(x),
            pool,
            account,
            trunks,
            city,
            operator,
            tags,
            state,
            thawed,
            version,
            added,
        },
    )
}

fn seconds() -> impl Strategy<Value = Duration> {
    (0..u64::MAX).prop_map(Duration::from_secs)
}

fn server() -> impl Strategy<Value = Server> {
    let numbers = prop_oneof![
        Just(NumbersTold::None),
        Just(NumbersTold::Masked),
        Just(NumbersTold::Full)
    ];
    let url = "https?://[a-z]{1,9}(:[1-9]{1,4})?(/[a-z?=]{0,9})?";
    (url, prop::option::of(text()), numbers).prop_map(|(url, secret, numbers)| Server {
        url: HttpUrl::parse(&url).expect("a URL"),
        secret: secret.map(Secret::new),
        numbers,
    })
}

fn pool() -> impl Strategy<Value = Pool> {
    let callback = prop::sample::select(
        &[
            Callback::Temporary,
            Callback::Last,
            Callback::Preset,
            Callback::Tone,
            Callback::Refused,
        ][..],
    );
    let unidentified = prop_oneof![Just(Unidentified::Refused), Just(Unidentified::Accepted)];
    let grip = prop_oneof![Just(Grip::Soft), Just(Grip::Hard)];
    let quarantine = prop::option::of((any::<u32>(), grip).prop_map(|(seconds, grip)| Quarantine {
        lasts: Duration::from_secs(u64::from(seconds)),
        grip,
    }));
    let names = (text(), text(), text());
    let mode = prop::sample::select(&Mode::ALL[..]);
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
        prop_oneof![Just(Fax::Refuse), Just(Fax::Pass)],
        prop::option::of(server()),
    );
    let keys = (
        1..5_u8,
        1..10_000_usize,
        prop_oneof![Just(Collecting::Answer), Just(Collecting::Early)],
        prop_oneof![Just(OwnerDials::Callback), Just(OwnerDials::Ask)],
        (1..2_592_000_u64).prop_map(Duration::from_secs),
        language(),
        prop::option::of(question()),
        recording(),
    );
    let settings = (callback, unidentified, quarantine, choice, limits, keys);
    (names, mode, any::<u32>(), wall(), settings).prop_map(
        |((key, name, account), mode, version, created, settings)| {
            let (callback, unidentified, quarantine, choice, limits, keys) = settings;
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
                fax: limits.6,
                ask: limits.7.map(Arc::new),
                extension_width: keys.0,
                extensions_per_x: keys.1,
                collect: keys.2,
                owner_dials: keys.3,
                last_kept: keys.4,
                language: keys.5,
                question: keys.6.map(Arc::new),
                recording: keys.7,
            }
        },
    )
}

fn recording() -> impl Strategy<Value = Wish> {
    let since = prop_oneof![
        Just(None),
        Just(Some(Since::Answer)),
        Just(Some(Since::EarlyMedia))
    ];
    (any::<bool>(), since, hearers()).prop_map(|(record, since, tone)| Wish { record, since, tone })
}

fn language() -> impl Strategy<Value = Option<Language>> {
    prop_oneof![
        Just(None),
        Just(Some(Language::chinese())),
        Just("es-419".parse().ok())
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let standing = prop_oneof![Just(Standing::Active), Just(Standing::Suspended)];
    let limits = (
        0..5_000_usize,
        prop::option::of(seconds()),
        language(),
        recording(),
        (prop::option::of(0..36_500_u32), prop::option::of(0..36_500_u32)),
    );
    let account = (text(), any::<u32>(), standing, wall(), limits).prop_map(
        |(name, version, standing, created, (x_per_a, expiry_max, language, recording, kept))| {
            Record::Account(Account {
                name,
                version,
                standing,
                created,
                x_per_a,
                expiry_max,
                language,
                recording,
                kept: Keeping {
                    keep_days: kept.0,
                    at_least_days: kept.1,
                },
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
        any::<u128>().prop_map(|bits| Record::LastGone(Id::from_bits(bits))),
        (any::<u128>(), tel(), wall(), wall()).prop_map(|(bits, caller, at, until)| Record::Last(Last {
            binding: Id::from_bits(bits),
            caller: RealNumber::new(caller),
            at,
            until,
        })),
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
    value[0] = schema() + 1;
    let refused = Record::decode(&value).expect_err("newer");
    assert_eq!(refused, BadRecord::NewerSchema(6));
    assert_eq!(
        refused.to_string(),
        "the record was written by a newer server (schema 6; this one reads up to 5): start the newer umbra that wrote it"
    );
    assert_eq!(Change::decode(&value), Err(BadRecord::NewerSchema(6)));
}

/// Bytes of what a pool says of keys and callbacks, since schema 5.
const KEYS: usize = 1 + 4 + 1 + 1 + 4 + 1;

/// What is said of recordings.
const RECORDING: usize = 1 + 1 + 1;

#[test]
fn a_pool_of_the_schema_that_knew_no_faxes_refuses_them() {
    let pool = Pool {
        fax: Fax::Pass,
        ..Pool::default_pool()
    };
    let mut value = Vec::new();
    Record::Pool(pool).encode_value(&mut value);
    // What came later, customers' servers, the question at the end and recordings at last, and what said it.
    value.truncate(value.len() - KEYS - RECORDING - 3);
    value[0] = 2;
    assert_eq!(Record::decode(&value), Ok(Record::Pool(Pool::default_pool())));
}

#[test]
fn a_number_of_the_schema_that_forgot_it_thaws_to_be_in_service() {
    let number = |thawed| Number {
        x: VirtualNumber::new(Tel::new(Kind::E164, "8617000000001").expect("digits")),
        pool: "FC100000000000001".into(),
        account: "default".into(),
        trunks: Vec::new(),
        city: None,
        operator: None,
        tags: Vec::new(),
        state: NumberState::Frozen(Freeze::Carrier),
        thawed,
        version: 1,
        added: Wall::default(),
    };
    let mut value = Vec::new();
    Record::Number(number(Thawed::Locked)).encode_value(&mut value);
    value.pop();
    value[0] = 3;
    assert_eq!(Record::decode(&value), Ok(Record::Number(number(Thawed::Active))));
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
    assert_eq!(Record::decode(&binding), Ok(Record::Binding(expected.clone())));
    // The last one that knew nothing of sounds and menus.
    let mut fourth = Vec::new();
    Record::Binding(expected.clone()).encode_value(&mut fourth);
    // Nor of whom A calls back, of who rings in turn, and of what a 400 number shows.
    let end = fourth.len() - 2;
    fourth.truncate(end);
    let times = 3 * 8 + 1 + 8;
    fourth.drain(end - times - (8 + 1 + 8)..end - times);
    fourth[0] = 4;
    assert_eq!(Record::decode(&fourth), Ok(Record::Binding(expected)));
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
        thawed: Thawed::Active,
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

use proptest::prelude::*;

use super::*;
use crate::call::targets::{Name, Place, Scheme, Server, Target};
use crate::call::trunk::rank::Rank;
use crate::call::trunk::secret::Demand;
use crate::call::trunk::{Gateway, GatewaysCall};
use crate::sip::digest::{Algorithm, Asker};
use crate::sip::path::Transport;

const STRANGER: &str = "198.51.100.7";

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn cidr(text: &str) -> Cidr {
    let (network, prefix) = text.split_once('/').expect(text);
    Cidr {
        network: ip(network),
        prefix: prefix.parse().expect(text),
    }
}

fn at(s: u64) -> Instant {
    Instant::default() + Duration::from_secs(s)
}

fn name() -> Name {
    Name {
        scheme: Scheme::Sip,
        host: "sbc.example".into(),
        port: None,
        transport: None,
    }
}

/// A trunk that names networks and has a gateway at an address and one that is a name; one that asks for a password and
/// names everybody and a network of its own.
fn config() -> Config {
    let gateway = |place| Gateway {
        place,
        rank: Rank::default(),
    };
    let carrier = Trunk {
        accept_from: ["192.0.2.0/28", "2001:db8:1::5/128"].map(cidr).to_vec(),
        gateways_call: GatewaysCall::No,
        gateways: vec![
            gateway(Place::At(Target {
                transport: Transport::Udp,
                address: "203.0.113.9:5060".parse().unwrap(),
            })),
            gateway(Place::Named(name())),
        ],
        ..Trunk::bare("carrier")
    };
    let asking = Trunk {
        accept_from: ["0.0.0.0/0", "192.0.2.64/26"].map(cidr).to_vec(),
        auth: Some(Demand {
            realm: "r".into(),
            asker: Asker::Server,
            algorithms: vec![Algorithm::Md5],
            users: Vec::new(),
        }),
        ..Trunk::bare("asking")
    };
    Config {
        trunks: vec![carrier, asking],
        ..Config::on("192.0.2.1:5060".parse().unwrap())
    }
}

fn resolved() -> Arc<Resolved> {
    let server = Server {
        tier: 0,
        weight: 0,
        transport: Transport::Udp,
        addresses: vec!["203.0.113.20:5060".parse().unwrap()],
    };
    Arc::new(Resolved::new([(name(), vec![server])]))
}

/// Who offends so often at once; the ban that it comes to.
fn offends(bans: &Bans, s: u64, source: &str, times: u32) -> Option<Ban> {
    let (config, resolved) = (config(), resolved());
    let mut came = None;
    for _ in 0..times {
        came = bans.offended(at(s), ip(source), &config, &resolved).or(came);
    }
    came
}

#[test]
fn who_offends_often_within_a_minute_is_kept_out_for_a_while_and_longer_each_time() {
    let bans = Bans::default();
    assert_eq!(offends(&bans, 0, STRANGER, 19), None);
    assert!(!bans.keeps_out(at(1), ip(STRANGER)));
    // What is older than a minute counts no more.
    assert_eq!(offends(&bans, 60, STRANGER, 19), None);
    let first = offends(&bans, 61, STRANGER, 1).expect("it was once too often");
    assert_eq!(
        (first.until, first.times, first.by),
        (Some(at(121)), 1, By::Itself)
    );
    assert!(bans.keeps_out(at(61), ip(STRANGER)) && bans.keeps_out(at(120), ip(STRANGER)));
    assert!(!bans.keeps_out(at(61), ip("198.51.100.8")));
    assert!(!bans.keeps_out(at(121), ip(STRANGER)));
    let second = offends(&bans, 121, STRANGER, 20).expect("again");
    assert_eq!((second.until, second.times), (Some(at(241)), 2));
    let mut lasts = 120;
    let mut now = 241;
    while lasts < 86_400 {
        lasts = (lasts * 2).min(86_400);
        let ban = offends(&bans, now, STRANGER, 20).expect("again");
        assert_eq!(ban.until, Some(at(now + lasts)));
        now += lasts;
    }
    let longest = offends(&bans, now, STRANGER, 20).expect("again");
    assert_eq!(longest.until, Some(at(now + 86_400)));
    // Who then keeps quiet for as long begins anew.
    let later = now + 2 * 86_400;
    let anew = offends(&bans, later, STRANGER, 20).expect("again");
    assert_eq!((anew.until, anew.times), (Some(at(later + 60)), 1));
    let (begun, dropped) = bans.counts();
    assert!(begun > 10);
    assert_eq!(dropped, 2);
}

#[test]
fn a_trunk_is_never_kept_out_though_thousands_of_bad_messages_come_from_its_address() {
    let bans = Bans::default();
    for source in [
        "192.0.2.3",
        "::ffff:192.0.2.3",
        "192.0.2.70",
        "2001:db8:1::5",
        // Somebody beside the trunk, with whom it would be banned.
        "2001:db8:1::6",
        "203.0.113.9",
        "203.0.113.20",
    ] {
        assert_eq!(offends(&bans, 0, source, 5_000), None, "{source}");
        assert!(!bans.keeps_out(at(1), ip(source)), "{source}");
        let by_hand = bans.add(at(1), ip(source), None, &config());
        let is_known = source != "203.0.113.20";
        assert_eq!(matches!(by_hand, Err(Refused::Trunk(_))), is_known, "{source}");
    }
    // What names resolve to is known to whoever adds by hand once that is told; and then it is free.
    assert!(bans.keeps_out(at(2), ip("203.0.113.20")));
    bans.follow(&config(), &resolved());
    assert!(!bans.keeps_out(at(2), ip("203.0.113.20")));
    assert!(bans.add(at(2), ip("203.0.113.20"), None, &config()).is_err());
}

#[test]
fn behind_a_password_everybodys_network_is_no_trunks_own_until_the_password_was_shown() {
    let bans = Bans::default();
    bans.proven(at(0), ip("198.51.100.1"));
    assert_eq!(offends(&bans, 1, "198.51.100.1", 5_000), None);
    assert!(offends(&bans, 1, STRANGER, 20).is_some());
    // Who shows it behind the same address afterwards comes in too, as soon as anything of it is read again.
    bans.proven(at(61), ip(STRANGER));
    assert_eq!(offends(&bans, 62, STRANGER, 5_000), None);
    // A day later nobody is sure any more.
    assert!(offends(&bans, 86_462, STRANGER, 20).is_some());
}

#[test]
fn an_address_that_becomes_a_trunks_or_is_asked_by_us_is_free_at_once() {
    let bans = Bans::default();
    assert!(offends(&bans, 0, STRANGER, 20).is_some());
    let mut wider = config();
    wider.trunks[0].accept_from.push(cidr("198.51.100.0/24"));
    bans.follow(&wider, &resolved());
    assert!(!bans.keeps_out(at(1), ip(STRANGER)));
    assert!(offends(&bans, 1, STRANGER, 20).is_some());
    bans.asked(ip(STRANGER));
    assert!(!bans.keeps_out(at(2), ip(STRANGER)));
}

#[test]
fn ipv6_is_banned_by_the_network_of_one_customer() {
    let bans = Bans::default();
    let (one, other) = ("2001:db8:7:7::1", "2001:db8:7:7:ffff::9");
    assert_eq!(offends(&bans, 0, one, 10), None);
    let ban = offends(&bans, 0, other, 10).expect("both count together");
    assert_eq!(ban.source, ip("2001:db8:7:7::"));
    assert!(bans.keeps_out(at(1), ip("2001:db8:7:7::abcd")));
    assert!(!bans.keeps_out(at(1), ip("2001:db8:7:8::1")));
}

#[test]
fn an_admin_bans_lists_and_frees() {
    let bans = Bans::default();
    let ban = |source: &str, s| bans.add(at(0), ip(source), s, &config());
    assert!(ban(STRANGER, None).is_ok());
    let hour = Some(Duration::from_secs(3_600));
    assert_eq!(ban("198.51.100.9", hour).unwrap().until, Some(at(3_600)));
    assert!(bans.keeps_out(at(1_000_000), ip(STRANGER)));
    // What an admin wants, no message of the address undoes.
    bans.proven(at(1), ip(STRANGER));
    bans.asked(ip(STRANGER));
    let sources = |s| {
        bans.list(at(s))
            .into_iter()
            .map(|ban| ban.source)
            .collect::<Vec<_>>()
    };
    assert_eq!(sources(1), [ip(STRANGER), ip("198.51.100.9")]);
    assert_eq!(sources(3_600), [ip(STRANGER)]);
    assert!(bans.remove(at(1), ip(STRANGER)));
    assert!(!bans.remove(at(1), ip(STRANGER)));
    assert!(!bans.keeps_out(at(2), ip(STRANGER)));
    let mut more = (0..u32::MAX).map(|n| IpAddr::V4((0x0A00_0000 + n).into()));
    let full = more.find_map(|source| bans.add(at(2), source, None, &config()).err());
    assert_eq!(full, Some(Refused::TooMany));
    assert!(sources(2).len() <= BANS_BY_HAND_MAX);
}

#[test]
fn with_bans_off_nobody_is_kept_out_but_by_hand() {
    let bans = Bans::default();
    let mut config = config();
    config.bans.after = 0;
    let offended = |_| bans.offended(at(0), ip(STRANGER), &config, &resolved());
    assert!((0..1_000).all(|n| offended(n).is_none()));
    assert!(bans.add(at(0), ip(STRANGER), None, &config).is_ok());
    assert!(bans.keeps_out(at(1), ip(STRANGER)));
}

#[test]
fn a_flood_of_many_addresses_is_bounded_and_frees_nobody_who_is_banned_for_long() {
    let bans = Bans::default();
    assert!(offends(&bans, 0, STRANGER, 20).is_some());
    let (config, resolved) = (config(), resolved());
    for n in 0..3 * OFFENDERS_MAX as u32 {
        let source = IpAddr::V4((0x0A00_0000 + n).into());
        assert_eq!(bans.offended(at(1), source, &config, &resolved), None);
    }
    let state = bans.lock();
    assert_eq!(state.known.len(), OFFENDERS_MAX);
    assert_eq!(state.by_end.len(), OFFENDERS_MAX);
    drop(state);
    assert!(bans.keeps_out(at(2), ip(STRANGER)));
    for n in 0..2 * PROVEN_MAX as u32 {
        bans.proven(at(1), IpAddr::V4((0x0B00_0000 + n).into()));
    }
    assert_eq!(bans.lock().proven.len(), PROVEN_MAX);
}

#[derive(Clone, Debug)]
enum Act {
    Offends(u8, u8),
    Proven(u8),
    Asked(u8),
    Add(u8, Option<u16>),
    Remove(u8),
    Follow,
    Wait(u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (any::<u8>(), 1..40_u8).prop_map(|(source, times)| Act::Offends(source, times)),
        1 => any::<u8>().prop_map(Act::Proven),
        1 => any::<u8>().prop_map(Act::Asked),
        1 => (any::<u8>(), any::<Option<u16>>()).prop_map(|(source, s)| Act::Add(source, s)),
        1 => any::<u8>().prop_map(Act::Remove),
        1 => Just(Act::Follow),
        4 => any::<u16>().prop_map(Act::Wait),
    ]
}

/// A few sources: trunks', strangers', IPv6 of one network and of others.
fn source(n: u8) -> IpAddr {
    match n % 8 {
        0 => ip("192.0.2.3"),
        1 => ip("203.0.113.9"),
        2 => ip("2001:db8:1::77"),
        3 => ip("2001:db8:7:7::1"),
        4 => ip("2001:db8:7:7::2"),
        5 => ip("2001:db8:8::1"),
        6 => ip(STRANGER),
        _ => ip("198.51.100.8"),
    }
}

proptest! {
    #[test]
    fn whatever_happens_no_trunk_is_kept_out_and_every_ban_by_itself_ends(acts in proptest::collection::vec(act(), 0..60)) {
        let (config, resolved) = (config(), resolved());
        let bans = Bans::default();
        let mut now = at(0);
        for act in acts {
            match act {
                Act::Offends(n, times) => {
                    for _ in 0..times {
                        let was_kept_out = bans.keeps_out(now, source(n));
                        let ban = bans.offended(now, source(n), &config, &resolved);
                        prop_assert!(ban.is_none() || !was_kept_out);
                        if let Some(ban) = ban {
                            prop_assert!(bans.keeps_out(now, source(n)));
                            prop_assert!(ban.until.is_some_and(|until| until - now <= config.bans.longest));
                        }
                    }
                }
                Act::Proven(n) => {
                    bans.proven(now, source(n));
                    let by = |ban: &Ban| ban.source == network(source(n)) && ban.by == By::Itself;
                    prop_assert!(!bans.list(now).iter().any(by));
                }
                Act::Asked(n) => bans.asked(source(n)),
                Act::Add(n, s) => {
                    let lasts = s.map(|s| Duration::from_secs(u64::from(s) + 1));
                    let added = bans.add(now, source(n), lasts, &config);
                    prop_assert_eq!(added.is_ok(), bans.keeps_out(now, source(n)));
                }
                Act::Remove(n) => {
                    bans.remove(now, source(n));
                    prop_assert!(!bans.keeps_out(now, source(n)));
                }
                Act::Follow => bans.follow(&config, &resolved),
                Act::Wait(s) => now = now + Duration::from_secs(s.into()),
            }
            for n in 0..3 {
                prop_assert!(!bans.keeps_out(now, source(n)));
            }
            let listed = bans.list(now);
            for n in 3..8 {
                let is_listed = listed.iter().any(|ban| ban.source == network(source(n)));
                prop_assert_eq!(bans.keeps_out(now, source(n)), is_listed);
            }
            let state = bans.lock();
            prop_assert_eq!(state.known.len(), state.by_end.len());
            let banned = state.known.values().filter(|known| known.banned.is_some()).count();
            prop_assert_eq!(state.banned, banned);
            let any = bans.any.load(Ordering::Relaxed);
            prop_assert_eq!(any, banned > 0);
        }
        let last = bans.list(now + config.bans.longest);
        prop_assert!(last.iter().all(|ban| ban.by == By::Hand));
    }
}

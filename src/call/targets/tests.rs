//! The choice among a name's servers.

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn name() -> Name {
    Name {
        scheme: Scheme::Sip,
        host: "sbc.carrier.example".into(),
        port: None,
        transport: None,
    }
}

fn server(tier: u16, weight: u16, addresses: &[&str]) -> Server {
    Server {
        tier,
        weight,
        transport: Transport::Udp,
        addresses: addresses.iter().map(|text| address(text)).collect(),
    }
}

fn listener(id: u8, transport: Transport, at: &str) -> Listener {
    Listener {
        id: ListenerId(id),
        transport,
        address: address(at),
        advertised: address(at),
    }
}

fn choose(listeners: &[Listener], servers: Vec<Server>, chance: &mut Chance) -> Vec<String> {
    let gateway = Gateway {
        place: Place::Named(name()),
        rank: Default::default(),
    };
    let resolved = Resolved::new([(name(), servers)]);
    of_gateway(&gateway, listeners, None, &resolved, chance)
        .iter()
        .map(|target| format!("{} {}", target.transport.name(), target.address))
        .collect()
}

fn ours() -> Vec<Listener> {
    vec![listener(0, Transport::Udp, "127.0.0.1:5060")]
}

#[test]
fn a_lower_tier_is_always_tried_first() {
    let mut chance = Chance::from_number(1);
    for _ in 0..100 {
        let servers = vec![
            server(2, 60_000, &["10.0.0.3:5060"]),
            server(0, 0, &["10.0.0.1:5060"]),
            server(1, 7, &["10.0.0.2:5070"]),
        ];
        assert_eq!(
            choose(&ours(), servers, &mut chance),
            ["udp 10.0.0.1:5060", "udp 10.0.0.2:5070", "udp 10.0.0.3:5060"]
        );
    }
}

#[test]
fn weights_share_the_first_tries_out_and_every_server_of_a_tier_is_tried() {
    const DRAWS: usize = 40_000;
    let mut chance = Chance::from_number(7);
    let mut first = [0_usize; 4];
    for _ in 0..DRAWS {
        let servers = vec![
            server(0, 60, &["10.0.0.1:5060"]),
            server(0, 30, &["10.0.0.2:5060"]),
            server(0, 10, &["10.0.0.3:5060"]),
            server(0, 0, &["10.0.0.4:5060"]),
        ];
        let mut all = choose(&ours(), servers, &mut chance);
        let chosen = (1..=4).find(|n| all[0] == format!("udp 10.0.0.{n}:5060"));
        first[chosen.expect("one of them") - 1] += 1;
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4);
    }
    for (counted, of_101) in first.into_iter().zip([60, 30, 10, 1]) {
        let expected = DRAWS * of_101 / 101;
        let off = counted.abs_diff(expected);
        assert!(off * 20 < expected.max(2_000), "{first:?}");
    }
}

#[test]
fn servers_without_weights_and_addresses_of_one_server_are_tried_in_any_order() {
    let mut chance = Chance::from_number(3);
    let mut firsts = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..8_000 {
        let servers = vec![
            server(0, 0, &["10.0.0.1:5060", "10.0.0.2:5060"]),
            server(0, 0, &["10.0.0.3:5060", "10.0.0.4:5060"]),
        ];
        let all = choose(&ours(), servers, &mut chance);
        assert_eq!(all.len(), 4, "{all:?}");
        *firsts.entry(all[0].clone()).or_default() += 1;
    }
    assert_eq!(firsts.len(), 4);
    assert!(firsts.values().all(|n| n.abs_diff(2_000) < 200), "{firsts:?}");
}

#[test]
fn addresses_that_no_listener_reaches_and_our_own_are_passed_over() {
    let mut chance = Chance::from_number(1);
    let servers = || {
        vec![
            server(0, 0, &["[2001:db8::1]:5060", "127.0.0.1:5060", "10.0.0.1:5060"]),
            Server {
                transport: Transport::Tcp,
                ..server(1, 0, &["10.0.0.1:5060"])
            },
        ]
    };
    assert_eq!(
        choose(&ours(), servers(), &mut chance),
        ["udp 10.0.0.1:5060"],
        "neither IPv6 nor TCP has a listener"
    );
    let mut listeners = ours();
    listeners.push(listener(1, Transport::Udp, "[::1]:5060"));
    listeners.push(listener(2, Transport::Tcp, "127.0.0.1:5060"));
    assert_eq!(
        choose(&listeners, servers(), &mut chance),
        ["udp 10.0.0.1:5060", "udp [2001:db8::1]:5060", "tcp 10.0.0.1:5060"],
        "the family of the first listener comes first"
    );
}

#[test]
fn a_name_that_resolves_to_nothing_has_no_targets_and_one_of_many_has_four() {
    let mut chance = Chance::from_number(1);
    assert!(choose(&ours(), Vec::new(), &mut chance).is_empty());
    let many: Vec<String> = (1..=20).map(|n| format!("10.0.0.{n}:5060")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(choose(&ours(), vec![server(0, 0, &many)], &mut chance).len(), 4);
}

#[test]
fn an_address_that_two_servers_share_is_tried_once() {
    let mut chance = Chance::from_number(1);
    let servers = vec![server(0, 0, &["10.0.0.1:5060"]), server(1, 0, &["10.0.0.1:5060"])];
    assert_eq!(choose(&ours(), servers, &mut chance), ["udp 10.0.0.1:5060"]);
}

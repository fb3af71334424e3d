use super::*;
use crate::call::targets::{Place, Target};
use crate::call::trunk::Gateway;
use crate::call::trunk::probe::Probe;
use crate::call::trunk::rank::Rank;
use crate::config::Conf;
use crate::sip::path::Transport;

/// The shipped trunk with two gateways, probed.
fn config() -> Config {
    let mut config = Conf::embedded().switch;
    let trunk = &mut config.trunks[0];
    trunk.gateways = [3, 4]
        .map(|host| Gateway {
            place: Place::At(Target {
                transport: Transport::Udp,
                address: ([127, 0, 0, host], 5_060).into(),
            }),
            rank: Rank::default(),
        })
        .into();
    trunk.probe = Probe {
        every: Some(Duration::from_secs(10)),
        down_after: 2,
        up_after: 3,
        ..Probe::default()
    };
    config
}

fn at(seconds: u64) -> Now {
    Now {
        at: Instant::from_micros(seconds * 1_000_000),
        wall: Wall::from_millis(seconds as i64 * 1_000),
    }
}

const GOOD: Outcome = Outcome::Status(200, Duration::from_millis(3));

#[test]
fn a_gateway_is_down_and_up_again_only_after_as_many_probes_in_a_row_as_the_conf_says() {
    let config = config();
    let (trunk, reach) = (&config.trunks[0], Reach::default());
    let standing = || reach.standing(trunk, 0, at(99).at);
    for (outcome, wanted) in [
        (Outcome::Timeout, Standing::Open),
        (Outcome::Status(401, Duration::ZERO), Standing::Open),
        (Outcome::Undelivered, Standing::Open),
        (Outcome::Status(503, Duration::ZERO), Standing::Down),
        (GOOD, Standing::Down),
        (GOOD, Standing::Down),
        (Outcome::Status(408, Duration::ZERO), Standing::Down),
        (GOOD, Standing::Down),
        (GOOD, Standing::Down),
        (GOOD, Standing::Open),
    ] {
        reach.probed(trunk, 0, at(5), outcome);
        assert_eq!(standing(), wanted, "{outcome:?}");
    }
    assert_eq!(reach.standing(trunk, 1, at(99).at), Standing::Open);
    let known = &reach.of(&trunk.name).gateways["sip:127.0.0.3:5060;transport=udp"];
    assert_eq!((known.answered, known.failed), (6, 4));
    assert_eq!(known.last, Some((GOOD, at(5).wall)));
}

#[test]
fn a_gateway_that_is_not_probed_is_never_down() {
    let mut config = config();
    config.trunks[0].probe.every = None;
    let reach = Reach::default();
    for _ in 0..9 {
        reach.probed(&config.trunks[0], 0, at(5), Outcome::Timeout);
    }
    assert_eq!(reach.standing(&config.trunks[0], 0, at(6).at), Standing::Open);
}

#[test]
fn a_gateway_rests_as_long_as_it_asked_and_no_longer_than_one_may() {
    let config = config();
    let (trunk, reach) = (&config.trunks[0], Reach::default());
    reach.rest(trunk, 0, at(10).at, Duration::ZERO);
    assert_eq!(reach.standing(trunk, 0, at(10).at), Standing::Open);
    reach.rest(trunk, 0, at(10).at, Duration::from_secs(5));
    assert_eq!(reach.standing(trunk, 0, at(14).at), Standing::Rests(at(15).at));
    assert_eq!(reach.standing(trunk, 0, at(15).at), Standing::Open);
    assert!(!reach.is_troubled.load(Ordering::Relaxed), "it is forgotten");
    reach.rest(trunk, 0, at(20).at, Duration::from_secs(86_400));
    let most = at(20).at + GATEWAY_REST_MAX;
    assert_eq!(reach.standing(trunk, 0, at(21).at), Standing::Rests(most));
}

#[test]
fn a_server_that_asked_to_be_spared_is_by_itself_and_what_is_over_is_forgotten() {
    let config = config();
    let (trunk, reach) = (&config.trunks[0], Reach::default());
    let servers: [SocketAddr; 2] = [7, 8].map(|host| ([127, 0, 0, host], 5_060).into());
    let spared = |seconds: u64| servers.map(|server| reach.is_spared(trunk, 0, server, at(seconds).at));
    reach.spare(trunk, 0, servers[0], at(10).at, Duration::ZERO);
    assert_eq!(spared(10), [false, false]);
    reach.spare(trunk, 0, servers[0], at(10).at, Duration::from_secs(5));
    reach.follow(&config);
    assert_eq!(spared(14), [true, false]);
    assert_eq!(reach.standing(trunk, 0, at(14).at), Standing::Open);
    assert!(!reach.is_spared(trunk, 1, servers[0], at(14).at));
    // The one that nobody asks about is forgotten as well.
    reach.spare(trunk, 0, servers[1], at(14).at, Duration::from_secs(1));
    assert!(!reach.is_spared(trunk, 0, servers[1], at(15).at));
    assert!(!reach.is_troubled.load(Ordering::Relaxed), "it is forgotten");
}

#[test]
fn what_is_blocked_stays_so_whatever_else_happens_until_it_is_unblocked() {
    let config = config();
    let (trunk, reach) = (&config.trunks[0], Reach::default());
    let second = trunk.gateways[1].name();
    let block = |gateway: Option<&str>| Block {
        trunk: trunk.name.clone(),
        gateway: gateway.map(Into::into),
        since: at(1).wall,
    };
    let standings = || [0, 1].map(|gateway| reach.standing(trunk, gateway, at(9).at));
    reach.block(block(Some(&second))).expect("room");
    assert_eq!(standings(), [Standing::Open, Standing::Blocked]);
    for _ in 0..9 {
        reach.probed(trunk, 1, at(5), GOOD);
    }
    reach.follow(&config);
    assert_eq!(standings(), [Standing::Open, Standing::Blocked]);
    reach.block(block(None)).expect("room");
    assert_eq!(standings(), [Standing::Blocked; 2]);
    assert_eq!(reach.blocks(), [block(None), block(Some(&second))]);
    assert!(reach.unblock("carrier", Some(&second)));
    assert_eq!(standings(), [Standing::Blocked; 2]);
    reach.block(block(Some(&second))).expect("room");
    assert!(reach.unblock("carrier", None), "the whole of it");
    assert_eq!(standings(), [Standing::Open; 2]);
    assert!(!reach.unblock("carrier", None));
    assert!(!reach.unblock("nobody", None));
}

#[test]
fn a_reload_forgets_what_was_found_of_gateways_that_are_gone_or_not_probed_any_more() {
    let mut config = config();
    let reach = Reach::default();
    let trunk = config.trunks[0].clone();
    for gateway in [0, 1] {
        for _ in 0..2 {
            reach.probed(&trunk, gateway, at(5), Outcome::Timeout);
        }
    }
    config.trunks[0].gateways.remove(0);
    reach.follow(&config);
    let standings = || [0, 1].map(|gateway| reach.standing(&trunk, gateway, at(9).at));
    assert_eq!(standings(), [Standing::Open, Standing::Down]);
    config.trunks[0].probe.every = None;
    reach.follow(&config);
    assert_eq!(standings(), [Standing::Open; 2]);
    assert!(reach.lock().is_empty());
}

#[test]
fn blocks_have_their_limit() {
    let reach = Reach::default();
    let block = |n: usize| Block {
        trunk: format!("t{n}").into(),
        gateway: None,
        since: at(1).wall,
    };
    for n in 0..BLOCKS_MAX {
        reach.block(block(n)).expect("room");
    }
    assert_eq!(reach.block(block(BLOCKS_MAX)), Err(TooMany));
}

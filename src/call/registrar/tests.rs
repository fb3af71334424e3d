//! Pauses, refreshes, and the ways that REGISTERs go.

use std::sync::Arc;

use std::net::SocketAddr;

use super::*;
use crate::base::chance::Chance;
use crate::base::dscp::Dscp;
use crate::base::limits::{REGISTER_PAUSE, REGISTER_PAUSE_MAX, REGISTER_REFRESH_MIN};
use crate::base::number::NumberPlan;
use crate::base::shard::Shard;
use crate::base::time::Wall;
use crate::call::config::Listener;
use crate::call::config::{MediaConfig, SipTimers, Strangers};
use crate::call::port::Input;
use crate::call::switch::Switch;
use crate::call::targets::{Place, Target};
use crate::call::trunk::Gateway;
use crate::call::trunk::Trunk;
use crate::call::trunk::rank::Rank;
use crate::call::trunk::register::Register;
use crate::masking::table::Table;
use crate::rtp::signals::{Country, Signals};
use crate::sip::path::{ListenerId, Party, Path, Transport};

#[test]
fn pauses_double_up_to_the_longest_and_differ() {
    let mut chance = Chance::from_number(7);
    for failures in 1..40 {
        let whole = REGISTER_PAUSE
            .saturating_mul(1 << (failures - 1).min(10))
            .min(REGISTER_PAUSE_MAX);
        let some: Vec<Duration> = (0..20).map(|_| pause(failures, &mut chance)).collect();
        assert!(
            some.iter().all(|pause| (whole / 2..=whole).contains(pause)),
            "{failures}"
        );
        assert!(some.iter().any(|pause| *pause != some[0]), "{failures}");
    }
    assert!(pause(u32::MAX, &mut chance) <= REGISTER_PAUSE_MAX);
}

#[test]
fn a_registration_is_refreshed_while_there_is_time_to_try_again() {
    let mut chance = Chance::from_number(7);
    for granted_s in [60, 86_400] {
        let granted = Duration::from_secs(granted_s);
        for _ in 0..50 {
            let after = refresh_after(granted, &mut chance);
            assert!(
                after >= granted * 65 / 100 && after <= granted * 75 / 100,
                "{granted_s}"
            );
        }
    }
}

#[test]
fn who_grants_a_second_is_not_asked_every_second() {
    let mut chance = Chance::from_number(7);
    for granted_s in [1, 2] {
        let after = refresh_after(Duration::from_secs(granted_s), &mut chance);
        assert_eq!(after, REGISTER_REFRESH_MIN, "{granted_s} s");
    }
}

#[test]
fn a_refusal_says_when_to_come_again_in_seconds_and_nothing_else_counts() {
    for (line, wait_s) in [
        ("Retry-After: 120", 120),
        ("Retry-After: 18000;duration=3600", 3_600),
        ("Retry-After: 5 (I'm in a meeting)", 5),
        ("Retry-After: soon", 0),
        ("Retry-After: 99999999999", 0),
        ("X: 1", 0),
    ] {
        let bytes = format!("SIP/2.0 503 Busy\r\n{line}\r\n\r\n");
        let head = Head::read(bytes.as_bytes()).expect("a head");
        assert_eq!(retry_after(&head), Duration::from_secs(wait_s), "{line}");
    }
}

#[test]
fn an_owner_word_of_ours_is_no_calls_and_nobodys() {
    assert_eq!(owned(Owner(OURS << 56 | 7)), Some(7));
    assert_eq!(owned(Owner::NOBODY), None);
    assert_eq!(owned(Owner(7)), None);
}

/// A switch whose trunks want to be registered with this gateway, each for a number of its own.
fn switch(trunks: usize, gateway: Target) -> Switch {
    let address: SocketAddr = ([127, 0, 0, 1], 5061).into();
    let trunk = |n: usize| Trunk {
        gateways: vec![Gateway {
            place: Place::At(gateway),
            rank: Rank::default(),
        }],
        register: Some(Register {
            user: format!("line{n}").into(),
            domain: None,
            contact_user: format!("line{n}").into(),
            expires_s: 3_600,
        }),
        ..Trunk::bare(&format!("trunk{n}"))
    };
    let config = Config {
        node: "one".into(),
        numbers: NumberPlan::default(),
        listeners: vec![Listener {
            id: ListenerId(0),
            transport: gateway.transport,
            address,
            advertised: address,
        }],
        strangers: Strangers::Forbid,
        bans: Default::default(),
        emergency: None,
        trunks: (0..trunks).map(trunk).collect(),
        routes: Vec::new(),
        timers: SipTimers::default(),
        ring_timeout: Duration::from_secs(60),
        tells_legs: false,
        calls_max: 1,
        announcements_max: 1,
        prompts: std::sync::Arc::default(),
        recordings: None,
        media: MediaConfig {
            interfaces: Vec::new(),
            threads: 1,
            timeout: Duration::from_secs(60),
            dscp: Dscp::VOICE,
            signals: Signals::of(Country::default()),
        },
        dscp: Dscp::SIGNALLING,
    };
    let chance = Chance::from_number(7);
    Switch::new(config.into(), Arc::new(Table::new()), Shard::ALONE, chance)
}

/// The ways of what a switch sends at this moment.
fn sent(switch: &mut Switch, at: Instant) -> Vec<Path> {
    let now = Now {
        at,
        wall: Wall::default(),
    };
    switch.handle(now, Input::Timeout);
    let mut ways = Vec::new();
    while let Some(output) = switch.poll() {
        if let Output::Send { to, .. } = output {
            ways.push(to);
        }
    }
    ways
}

#[test]
fn over_tls_each_trunk_registers_on_its_own_terms_even_at_the_same_gateway() {
    let gateway = Target {
        transport: Transport::Tls,
        address: ([127, 0, 0, 2], 5061).into(),
    };
    let mut switch = switch(2, gateway);
    let ways = sent(&mut switch, Instant::from_micros(1));
    let parties: Vec<_> = ways.iter().map(|way| way.party).collect();
    assert_eq!(parties, ["trunk0", "trunk1"].map(|name| Some(Party::named(name))));
}

#[test]
fn many_registrations_that_are_due_at_once_go_out_a_few_at_a_time() {
    let gateway = Target {
        transport: Transport::Udp,
        address: ([127, 0, 0, 2], 5060).into(),
    };
    let mut switch = switch(REGISTERS_AT_ONCE * 2 + 1, gateway);
    let (mut at, mut counts) = (Instant::from_micros(1), Vec::new());
    for _ in 0..3 {
        counts.push(sent(&mut switch, at).len());
        assert!(sent(&mut switch, at).is_empty());
        at = at + REGISTERS_APART;
        assert!(
            switch
                .timeout()
                .is_some_and(|next| next >= at || counts.len() == 3)
        );
    }
    assert_eq!(counts, [REGISTERS_AT_ONCE, REGISTERS_AT_ONCE, 1]);
}

//! Two ordinary softphones call each other through a real server: each hears the other's tone, and sees X.

#[path = "support/server.rs"]
mod server;

#[path = "support/softphone.rs"]
mod softphone;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use server::{B, CALLEE, CARRIER, HOME, Server, Setup, X, free_address};
use softphone::{By, Over, key, ring, talk, talk_secured};
use umbra::rtp::tone::share;

/// A server whose trunk leads to a phone here.
fn set_up(gateway: SocketAddr) -> Setup {
    Setup {
        gateway,
        media_nat: "strict",
        log: "debug",
        calls: 50,
        also: Vec::new(),
    }
}

/// Two phones on these addresses talk through a server.
fn talk_on(media_nat: &'static str, a_ip: Ipv4Addr, b_ip: Ipv4Addr) {
    let (a_sip, b_sip) = (free_address(a_ip), free_address(b_ip));
    let server = Server::start(&Setup {
        media_nat,
        ..set_up(b_sip)
    });
    talk(&server, Over::Udp, a_sip, b_sip, server.sip);
}

#[test]
fn two_phones_hear_each_other_and_see_only_x() {
    talk_on("strict", HOME, HOME);
}

#[test]
fn phones_whose_audio_comes_from_elsewhere_than_they_say_are_learnt_where_the_trunk_allows_it() {
    // baresip sends audio from the system's own choice of address, 127.0.0.1, whatever its description says.
    talk_on("latch", CARRIER, CALLEE);
}

#[test]
fn two_phones_hear_each_other_over_ipv6() {
    let free = || -> SocketAddr {
        let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a free port");
        socket.local_addr().expect("bound")
    };
    let (a_sip, b_sip, home) = (free(), free(), free());
    let setup = Setup {
        also: vec![home],
        ..set_up(b_sip)
    };
    let server = Server::with_media(IpAddr::V6(Ipv6Addr::LOCALHOST), "udp", &setup);
    talk(&server, Over::Udp, a_sip, b_sip, home);
}

#[test]
fn two_phones_that_show_certificates_hear_each_other_over_tls() {
    talk_over_tls("", [("", None); 2]);
}

#[test]
fn two_phones_hear_each_other_where_keys_are_told_over_tls() {
    talk_over_tls("srtp = \"required\"\n", [("srtp-mand", CM); 2]);
}

fn talk_over_tls(lines: &str, phones: [(&str, Option<&str>); 2]) {
    // A phone has TLS at the port behind the one that it is told.
    let free = |ip| {
        let lower = free_address(ip);
        SocketAddr::new(lower.ip(), lower.port() + 1)
    };
    let (a_sip, b_sip) = (free(HOME), free(HOME));
    let setup = set_up(b_sip);
    let server = Server::with_trunk(HOME.into(), "tls", &setup, lines);
    talk_secured(&server, Over::Tls, [a_sip, b_sip], server.sip, phones);
}

/// Two phones talk whose trunk has these lines, each secured or not; what each says of it.
fn talk_securely(lines: &str, phones: [(&str, Option<&str>); 2]) {
    let (a_sip, b_sip) = (free_address(HOME), free_address(HOME));
    let setup = set_up(b_sip);
    // The phones speak UDP with it, on this machine.
    let lines = format!("srtp_keys_in_clear = true\n{lines}\n");
    let server = Server::with_trunk(HOME.into(), "udp", &setup, &lines);
    talk_secured(&server, Over::Udp, [a_sip, b_sip], server.sip, phones);
}

const CM: Option<&str> = Some("AES_CM_128_HMAC_SHA1_80");
const GCM: Option<&str> = Some("AEAD_AES_256_GCM");

#[test]
fn two_phones_hear_each_other_where_one_leg_is_secured() {
    let lines = "srtp = \"optional\"\nsrtp_suites = [\"AES_CM_128_HMAC_SHA1_80\"]";
    talk_securely(lines, [("srtp-mand", CM), ("", None)]);
    talk_securely(lines, [("", None), ("srtp", CM)]);
}

#[test]
fn two_phones_hear_each_other_where_both_legs_are_secured() {
    // baresip offers counter mode alone, and takes the other where it is offered first.
    let lines = "srtp = \"required\"\nsrtp_suites = [\"AEAD_AES_256_GCM\", \"AES_CM_128_HMAC_SHA1_80\"]";
    talk_securely(lines, [("srtp-mand", CM), ("srtp-mand", GCM)]);
}

#[test]
fn a_phone_hears_our_ringback_tone_while_the_other_one_rings() {
    let (a_sip, b_sip) = (free_address(HOME), free_address(HOME));
    let setup = set_up(b_sip);
    let media = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let server = Server::with_trunk(media, "udp", &setup, "early_media = \"ringback\"\n");
    let heard = ring(&server, a_sip, b_sip, server.sip, 7);
    // Pieces of 50 ms: silent, or the tone and nothing else.
    let sounds: Vec<bool> = heard
        .chunks_exact(400)
        .map(|piece| {
            let is_loud = piece.iter().any(|sample| sample.abs() > 1_000);
            assert!(
                !is_loud || share(piece, 450) > 0.5,
                "450 Hz: {}",
                share(piece, 450)
            );
            is_loud
        })
        .collect();
    let mut beats: Vec<(bool, usize)> = Vec::new();
    for sound in sounds {
        match beats.last_mut() {
            Some((last, length)) if *last == sound => *length += 1,
            Some(_) | None => beats.push((sound, 1)),
        }
    }
    // 1 s on, 4 s off, and on again; a phone's buffer may give or take some.
    let first = beats
        .iter()
        .position(|(is_on, _)| *is_on)
        .expect("a tone is heard");
    let [(_, on), (_, off), (again, _), ..] = beats[first..] else {
        panic!("{beats:?}");
    };
    assert!(
        (18..=22).contains(&on) && (76..=84).contains(&off) && again,
        "{beats:?}"
    );
    let records = server.settled(1);
    assert_eq!(records[0]["refusal"], "cancelled", "{:#}", records[0]);
    assert_eq!(records[0]["billable_s"], 0);
    server.prints_no_number();
}

/// A phone keys the extension of the one whom it means, beside others behind the same number, and they talk.
fn key_an_extension(by: By) {
    let (a_sip, b_sip) = (free_address(HOME), free_address(HOME));
    let server = Server::start(&set_up(b_sip));
    server.extensions(X, &[(B, "7703"), ("13700000003", "7704")]);
    key(&server, a_sip, b_sip, server.sip, "7703", by);
}

#[test]
fn a_phone_keys_an_extension_by_events_and_talks_with_its_owner() {
    key_an_extension(By::Events);
}

#[test]
fn a_phone_keys_an_extension_by_tones_and_talks_with_its_owner() {
    key_an_extension(By::Tones);
}

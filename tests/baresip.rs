//! Two ordinary softphones call each other through a real server: each hears the other's tone, and sees X.

#[path = "support/server.rs"]
mod server;

#[path = "support/softphone.rs"]
mod softphone;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use server::{CALLEE, CARRIER, HOME, Server, Setup, free_address};
use softphone::{Over, talk, talk_secured};

/// Two phones on these addresses talk through a server.
fn talk_on(media_nat: &'static str, a_ip: Ipv4Addr, b_ip: Ipv4Addr) {
    let (a_sip, b_sip) = (free_address(a_ip), free_address(b_ip));
    let server = Server::start(&Setup {
        gateway: b_sip,
        media_nat,
        log: "debug",
        calls: 50,
        also: Vec::new(),
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
        gateway: b_sip,
        media_nat: "strict",
        log: "debug",
        calls: 50,
        also: vec![home],
    };
    let server = Server::with_media(IpAddr::V6(Ipv6Addr::LOCALHOST), "udp", &setup);
    talk(&server, Over::Udp, a_sip, b_sip, home);
}

#[test]
fn two_phones_that_show_certificates_hear_each_other_over_tls() {
    // A phone has TLS at the port behind the one that it is told.
    let free = |ip| {
        let lower = free_address(ip);
        SocketAddr::new(lower.ip(), lower.port() + 1)
    };
    let (a_sip, b_sip) = (free(HOME), free(HOME));
    let setup = Setup {
        gateway: b_sip,
        media_nat: "strict",
        log: "debug",
        calls: 50,
        also: Vec::new(),
    };
    let server = Server::speaking("tls", &setup);
    talk(&server, Over::Tls, a_sip, b_sip, server.sip);
}

/// Two phones talk whose trunk has these lines, each secured or not; what each says of it.
fn talk_securely(lines: &str, phones: [(&str, Option<&str>); 2]) {
    let (a_sip, b_sip) = (free_address(HOME), free_address(HOME));
    let setup = Setup {
        gateway: b_sip,
        media_nat: "strict",
        log: "debug",
        calls: 50,
        also: Vec::new(),
    };
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

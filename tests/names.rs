//! Gateways by name, against a real DNS server: what RFC 3263 makes of its records, and calls through the real server
//! while they change, or while nobody answers.

#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;
#[path = "support/zone.rs"]
mod zone;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use server::{PATIENCE, Server, free_address, until};
use talk::{Callee, Talk};
use umbra::base::chance::Chance;
use umbra::call::config::Listener;
use umbra::call::targets::{Name, Resolved, Scheme, Server as Behind};
use umbra::names::keeper::Names;
use umbra::names::{Config, Reach, Wanted};
use umbra::sip::path::{ListenerId, Transport};
use zone::Zone;

/// A name as the conf has it: `sip:HOST[:PORT][;transport=…]`.
fn name(uri: &str) -> Name {
    let (scheme, rest) = uri.split_once(':').expect("a scheme");
    let (host_port, transport) = match rest.split_once(";transport=") {
        Some((host_port, transport)) => (host_port, Some(transport)),
        None => (rest, None),
    };
    let (host, port) = match host_port.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().expect("a port"))),
        None => (host_port, None),
    };
    Name {
        scheme: if scheme == "sips" {
            Scheme::Sips
        } else {
            Scheme::Sip
        },
        host: host.into(),
        port,
        transport: transport.map(|transport| match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            other => panic!("no transport is {other}"),
        }),
    }
}

/// Who listens by these transports, in both families.
fn reach(transports: &[Transport]) -> Reach {
    let listener = |(transport, at): (Transport, &str)| {
        let address: SocketAddr = at.parse().expect("an address");
        Listener {
            id: ListenerId(0),
            transport,
            address,
            advertised: address,
        }
    };
    let both = |transport: &Transport| [(*transport, "127.0.0.1:5060"), (*transport, "[::1]:5060")];
    let all: Vec<Listener> = transports.iter().flat_map(both).map(listener).collect();
    Reach::of(&all)
}

fn names() -> (Names, Receiver<Arc<Resolved>>) {
    let (tell, told) = channel();
    let tell = move |resolved| drop(tell.send(resolved));
    (
        Names::start(Chance::from_number(1), tell).expect("a thread"),
        told,
    )
}

fn wanted(dns: SocketAddr, uris: &[&str], transports: &[Transport]) -> Wanted {
    Wanted {
        names: uris.iter().map(|uri| name(uri)).collect(),
        dns: Config { servers: vec![dns] },
        reach: reach(transports),
    }
}

/// Servers as `tier/weight transport addresses`.
fn shown(servers: &[Behind]) -> Vec<String> {
    let one = |server: &Behind| {
        let addresses: Vec<String> = server.addresses.iter().map(ToString::to_string).collect();
        let (tier, weight, by) = (server.tier, server.weight, server.transport.name());
        format!("{tier}/{weight} {by} {}", addresses.join(" "))
    };
    servers.iter().map(one).collect()
}

const RECORDS: &str = "
@ NAPTR 20 10 \"s\" \"SIP+D2U\" \"\" _sip._udp
@ NAPTR 10 10 \"s\" \"SIP+D2T\" \"\" _sip._tcp
@ NAPTR 5 10 \"S\" \"sips+d2t\" \"\" _sips._tcp
@ NAPTR 1 10 \"u\" \"E2U+sip\" \"!^.*$!sip:x@elsewhere.test!\" .
_sip._udp SRV 10 60 5060 a
_sip._udp SRV 10 40 5070 b
_sip._udp SRV 20 0 5060 c
_sip._tcp SRV 0 0 5060 a
_sips._tcp SRV 0 0 5061 a
a A 127.0.1.1
a A 127.0.1.9
a AAAA ::1
b CNAME b2
b2 CNAME b3
b3 A 127.0.1.2
c AAAA 2001:db8::3
_sip._tcp.plain SRV 0 5 5080 b
plain A 127.0.2.1
plain AAAA 2001:db8::2:1
only A 127.0.3.1
_sip._udp.none SRV 0 0 0 .
none A 127.0.4.1
_sip._udp.lost SRV 0 0 5060 nobody
_sip._udp.lost SRV 1 0 5060 a
loop CNAME loop2
loop2 CNAME loop
any A 0.0.0.0
any A 224.0.0.1
text TXT \"neither\"
";

#[test]
fn a_names_servers_are_those_of_rfc_3263() {
    let Some(zone) = Zone::start(RECORDS) else { return };
    let (udp, tcp, tls) = (Transport::Udp, Transport::Tcp, Transport::Tls);
    let both = [udp, tcp];
    let cases: [(&str, &[Transport], &[&str]); 17] = [
        // NAPTR says which transport comes first, of those that we speak.
        (
            "sip:carrier.test",
            &both,
            &[
                "0/0 tcp 127.0.1.1:5060 127.0.1.9:5060 [::1]:5060",
                "1/40 udp 127.0.1.2:5070",
                "1/60 udp 127.0.1.1:5060 127.0.1.9:5060 [::1]:5060",
                "2/0 udp [2001:db8::3]:5060",
            ],
        ),
        (
            "sip:carrier.test",
            &[udp],
            &[
                "0/40 udp 127.0.1.2:5070",
                "0/60 udp 127.0.1.1:5060 127.0.1.9:5060 [::1]:5060",
                "1/0 udp [2001:db8::3]:5060",
            ],
        ),
        // sips: nothing but TLS.
        (
            "sips:carrier.test",
            &[udp, tcp, tls],
            &["0/0 tls 127.0.1.1:5061 127.0.1.9:5061 [::1]:5061"],
        ),
        (
            "sips:carrier.test;transport=tcp",
            &[udp, tcp, tls],
            &["0/0 tls 127.0.1.1:5061 127.0.1.9:5061 [::1]:5061"],
        ),
        ("sips:only.carrier.test", &[udp, tls], &["0/0 tls 127.0.3.1:5061"]),
        // A transport that is written: no NAPTR.
        (
            "sip:carrier.test;transport=tcp",
            &both,
            &["0/0 tcp 127.0.1.1:5060 127.0.1.9:5060 [::1]:5060"],
        ),
        (
            "sip:carrier.test;transport=tls",
            &[udp, tls],
            &["0/0 tls 127.0.1.1:5061 127.0.1.9:5061 [::1]:5061"],
        ),
        // A port that is written: neither NAPTR nor SRV.
        ("sip:b.carrier.test:5999", &both, &["0/0 udp 127.0.1.2:5999"]),
        (
            "sip:b.carrier.test:5999;transport=tcp",
            &both,
            &["0/0 tcp 127.0.1.2:5999"],
        ),
        // Without NAPTR: the SRV records of what we speak.
        ("sip:plain.carrier.test", &both, &["0/5 tcp 127.0.1.2:5080"]),
        // Without those: the host itself, over UDP.
        (
            "sip:plain.carrier.test",
            &[udp],
            &["0/0 udp 127.0.2.1:5060 [2001:db8::2:1]:5060"],
        ),
        (
            "sip:only.carrier.test;transport=tcp",
            &both,
            &["0/0 tcp 127.0.3.1:5060"],
        ),
        // RFC 2782: the service is decidedly not there.
        ("sip:none.carrier.test", &[udp], &[]),
        // One of the hosts isn't there.
        (
            "sip:lost.carrier.test",
            &[udp],
            &["1/0 udp 127.0.1.1:5060 127.0.1.9:5060 [::1]:5060"],
        ),
        ("sip:loop.carrier.test", &[udp], &[]),
        ("sip:any.carrier.test", &[udp], &[]),
        ("sip:text.carrier.test", &[udp], &[]),
    ];
    for (uri, transports, expected) in cases {
        let (names, told) = names();
        names.want(wanted(zone.address, &[uri], transports));
        names.wait(PATIENCE);
        let status = names.status();
        assert_eq!(
            shown(&status[0].servers),
            expected,
            "{uri} {transports:?} {status:?}"
        );
        let news = usize::from(!expected.is_empty());
        assert_eq!(told.try_iter().count(), news, "{uri}: each change is told once");
        assert_eq!(status[0].error.is_some(), expected.is_empty(), "{status:?}");
    }
}

#[test]
fn a_change_is_found_in_time_and_the_last_answer_counts_while_nobody_answers() {
    let Some(mut zone) = Zone::start("sbc A 127.0.1.1") else {
        return;
    };
    let (names, told) = names();
    let uri = "sip:sbc.carrier.test";
    let next = || {
        let table = told.recv_timeout(PATIENCE).expect("a change is told");
        shown(table.servers(&name(uri)))
    };
    names.want(wanted(zone.address, &[uri], &[Transport::Udp]));
    assert_eq!(next(), ["0/0 udp 127.0.1.1:5060"]);
    zone.change("sbc A 127.0.1.2");
    assert_eq!(next(), ["0/0 udp 127.0.1.2:5060"]);

    zone.stop();
    until("it is said that DNS fails", || names.status()[0].error.is_some());
    assert_eq!(shown(&names.status()[0].servers), ["0/0 udp 127.0.1.2:5060"]);
    let (asked, failed) = names.counts();
    assert!(failed > 0 && failed < asked, "{failed} of {asked}");
    // A reload doesn't forget it either.
    names.want(wanted(zone.address, &[uri], &[Transport::Udp]));
    names.wait(PATIENCE);
    assert_eq!(shown(&names.status()[0].servers), ["0/0 udp 127.0.1.2:5060"]);
    assert!(told.try_recv().is_err(), "nothing has changed");

    zone.change_and_begin("sbc A 127.0.1.3");
    assert_eq!(next(), ["0/0 udp 127.0.1.3:5060"]);
    // That the name is gone is an answer.
    zone.change("other A 127.0.1.3");
    assert_eq!(next(), [""; 0]);
    until("it is said that it is nowhere", || {
        names.status()[0].error.is_some()
    });
}

#[test]
fn garbage_and_silence_are_failures_and_one_name_does_not_hold_up_the_others() {
    let Some(zone) = Zone::start("sbc A 127.0.1.1") else {
        return;
    };
    // Who answers every question with noise.
    let noise = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = noise.local_addr().expect("bound");
    let answering = thread::spawn(move || {
        let mut question = [0; 1_500];
        noise
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("not zero");
        let mut turn = 0_u8;
        while let Ok((length, from)) = noise.recv_from(&mut question) {
            if &question[..length] == b"end" {
                return;
            }
            turn = turn.wrapping_add(1);
            let answer: Vec<u8> = match turn % 4 {
                // The same id, and what follows is cut off, or nonsense, or says that it failed.
                0 => question[..2].to_vec(),
                1 => question[..length].iter().copied().chain([0xC0; 40]).collect(),
                2 => (0..255).collect(),
                _ => {
                    question[2] |= 0x80;
                    question[3] = 2;
                    question[..length].to_vec()
                }
            };
            let _ = noise.send_to(&answer, from);
        }
    });
    let (names, told) = names();
    let begun = Instant::now();
    names.want(wanted(address, &["sip:sbc.carrier.test:5060"], &[Transport::Udp]));
    names.wait(Duration::from_secs(60));
    assert!(
        names.status()[0].error.is_some(),
        "{:?} after {:?}",
        names.status(),
        begun.elapsed()
    );
    assert!(names.status()[0].servers.is_empty());
    assert!(
        told.try_iter()
            .all(|table| table.servers(&name("sip:sbc.carrier.test:5060")).is_empty())
    );
    // Another server, by a reload: it is asked.
    names.want(wanted(
        zone.address,
        &["sip:sbc.carrier.test:5060"],
        &[Transport::Udp],
    ));
    until("the other server is asked", || {
        shown(&names.status()[0].servers) == ["0/0 udp 127.0.1.1:5060"]
    });
    let end = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    end.send_to(b"end", address).expect("sent");
    answering.join().expect("it ended");
}

/// The kind of record that a question asks for (RFC 1035 §4.1.2).
fn kind_asked(question: &[u8]) -> u16 {
    let mut at = 12;
    while question[at] > 0 {
        at += usize::from(question[at]) + 1;
    }
    u16::from_be_bytes([question[at + 1], question[at + 2]])
}

#[test]
fn the_host_of_a_domain_is_no_server_of_its_calls_until_dns_says_that_it_has_no_others() {
    const SRV: u16 = 33;
    let Some(zone) = Zone::start("@ A 127.0.1.1") else {
        return;
    };
    // Between us and the real one: while it is told to, questions for SRV fail.
    let between = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let (address, real) = (between.local_addr().expect("bound"), zone.address);
    let fails = Arc::new(AtomicBool::new(true));
    let is_failing = fails.clone();
    let passing = thread::spawn(move || {
        let beyond = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        for socket in [&between, &beyond] {
            socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        }
        let mut bytes = [0; 1_500];
        while let Ok((length, from)) = between.recv_from(&mut bytes) {
            if &bytes[..length] == b"end" {
                return;
            }
            let answer = if kind_asked(&bytes) == SRV && is_failing.load(Ordering::SeqCst) {
                bytes[2] |= 0x80;
                bytes[3] = 2;
                bytes[..length].to_vec()
            } else {
                beyond.send_to(&bytes[..length], real).expect("sent");
                let (length, _) = beyond.recv_from(&mut bytes).expect("answered");
                bytes[..length].to_vec()
            };
            let _ = between.send_to(&answer, from);
        }
    });
    let (names, _told) = names();
    let now = || {
        (
            shown(&names.status()[0].servers),
            names.status()[0].error.is_some(),
        )
    };
    let ask = || {
        names.want(wanted(address, &["sip:carrier.test"], &[Transport::Udp]));
        names.wait(PATIENCE);
    };
    ask();
    assert_eq!(now(), (vec![], true));
    fails.store(false, Ordering::SeqCst);
    until("there are no SRV records", || !now().1);
    assert_eq!(now().0, ["0/0 udp 127.0.1.1:5060"]);
    // Once that was said, it counts while nobody says anything else.
    fails.store(true, Ordering::SeqCst);
    until("it fails again", || now().1);
    assert_eq!(now().0, ["0/0 udp 127.0.1.1:5060"]);
    let end = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    end.send_to(b"end", address).expect("sent");
    passing.join().expect("it ended");
}

/// A server on which A and B are bound through X, whose trunk has these gateways.
fn serve(dns: SocketAddr, gateways: &[&str], accept_from: &str) -> Server {
    let server = Server::with_a_pair(free_address(Ipv4Addr::new(127, 0, 0, 3)));
    rewrite(&server, dns, gateways, accept_from);
    server.done("reload");
    server
}

fn rewrite(server: &Server, dns: SocketAddr, gateways: &[&str], accept_from: &str) {
    let path = server.folder().join("umbra.toml");
    let text = std::fs::read_to_string(&path).expect("the conf");
    let text = text.split("[dns]").next().unwrap_or_default();
    std::fs::write(&path, format!("{text}[dns]\nservers = [\"{dns}\"]\n")).expect("our own folder");
    let quoted: Vec<String> = gateways.iter().map(|uri| format!("\"{uri}\"")).collect();
    let trunks = format!(
        "[[trunk]]\nname = \"carrier\"\naccept_from = [{accept_from}]\ngateways = [{}]\n\
         first_response_timeout_s = 1\ndefault = true\n",
        quoted.join(", ")
    );
    std::fs::write(server.folder().join("trunks.toml"), trunks).expect("our own folder");
}

/// What is wrong with a trunk's first name.
fn trouble(server: &Server) -> Option<String> {
    let trunks: Value = serde_json::from_str(&server.done("trunk list --json")).expect("JSON");
    Some(trunks[0]["names"][0]["error"].as_str()?.to_owned())
}

/// Where a trunk's first name is, as `umbra trunk list` has it.
fn at(server: &Server) -> String {
    let trunks: Value = serde_json::from_str(&server.done("trunk list --json")).expect("JSON");
    trunks[0]["names"][0]["at"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn tries(record: &Value) -> Vec<(String, u64)> {
    let attempts = record["attempts"].as_array().expect("a list");
    let one = |attempt: &Value| {
        let gateway = attempt["gateway"].as_str().expect("text").to_owned();
        (gateway, attempt["status"].as_u64().expect("a status"))
    };
    attempts.iter().map(one).collect()
}

const ANYBODY: &str = "\"127.0.0.0/8\"";

#[test]
fn a_call_goes_to_the_second_priority_when_the_first_is_dead_and_moves_with_dns() {
    let (first, second) = (Callee::new(), Callee::new());
    let dead = free_address(Ipv4Addr::new(127, 0, 0, 4));
    let records = |live: SocketAddr| {
        format!(
            "@ NAPTR 10 10 \"s\" \"SIP+D2U\" \"\" _sip._udp\n_sip._udp SRV 0 0 {} dead\n_sip._udp SRV 1 0 {} live\n\
             dead A {}\nlive A {}",
            dead.port(),
            live.port(),
            dead.ip(),
            live.ip()
        )
    };
    let (one, two) = (first.address(), second.address());
    let Some(mut zone) = Zone::start(&records(one)) else {
        return;
    };
    let server = serve(zone.address, &["sip:carrier.test"], ANYBODY);
    assert_eq!(
        at(&server),
        format!("udp {dead}, then udp {one}"),
        "a reload waits for it"
    );
    let list = server.done("trunk list");
    assert!(list.contains(&format!("udp {dead}, then udp {one}")), "{list}");
    Talk::begin(server.sip, first, 1).end();
    let record = server.settled(1).remove(0);
    let expected = [(dead.to_string(), 0), (one.to_string(), 200)];
    assert_eq!(tries(&record), expected, "{record}");

    zone.change(&records(two));
    until("the change is seen", || at(&server).ends_with(&two.to_string()));
    Talk::begin(server.sip, second, 2).end();
    let record = server.settled(2).remove(1);
    assert_eq!(tries(&record)[1], (two.to_string(), 200), "{record}");

    zone.stop();
    until("it is said that DNS fails", || trouble(&server).is_some());
    let third = Callee::at(two);
    Talk::begin(server.sip, third, 3).end();
    server.settled(3);
    server.prints_no_number();
}

#[test]
fn a_name_that_is_nowhere_is_noted_and_the_next_gateway_is_tried() {
    let Some(mut zone) = Zone::start("") else { return };
    let callee = Callee::new();
    let there = format!("sip:{}", callee.address());
    let mut server = serve(zone.address, &["sip:nowhere.carrier.test:5070", &there], ANYBODY);
    let address = callee.address();
    Talk::begin(server.sip, callee, 1).end();
    let record = server.settled(1).remove(0);
    let expected = [
        ("nowhere.carrier.test:5070".to_owned(), 0),
        (address.to_string(), 200),
    ];
    assert_eq!(tries(&record), expected, "{record}");

    // Nor does a start wait long for a DNS that is dead.
    server.stop();
    zone.stop();
    server.start_again();
    Talk::begin(server.sip, Callee::at(address), 2).end();
    let record = server.settled(2).remove(1);
    assert_eq!(
        tries(&record)[0],
        ("nowhere.carrier.test:5070".to_owned(), 0),
        "{record}"
    );

    let said = server.done("route 17000000001 13800000001");
    let nowhere = "Not by sip:nowhere.carrier.test:5070 of trunk carrier: its name resolves to nothing";
    assert!(said.contains(nowhere), "{said}");
    assert!(said.contains(&format!("It leaves by sip:{address};")), "{said}");

    // Without another gateway there is no way.
    rewrite(&server, zone.address, &["sip:nowhere.carrier.test:5070"], ANYBODY);
    server.done("reload");
    let said = server.done("route 17000000001 13800000001");
    assert!(said.contains("the call fails with 500"), "{said}");
    assert_eq!(Talk::refused(server.sip, 3), 500);
    let record = server.settled(3).remove(2);
    assert_eq!(record["refusal"], "trunk_down", "{record}");
    assert_eq!(tries(&record), [("nowhere.carrier.test:5070".to_owned(), 0)]);
    server.prints_no_number();
}

#[test]
fn gateways_may_call_from_wherever_dns_says_that_they_are() {
    let callee = Callee::new();
    // The caller's side of these tests is 127.0.0.2.
    let records = |other: &str| {
        format!(
            "_sip._udp SRV 0 0 {} sbc\n_sip._udp SRV 1 0 5060 other\nsbc A 127.0.0.3\nother A {other}",
            callee.address().port()
        )
    };
    let Some(zone) = Zone::start(&records("127.0.0.9")) else {
        return;
    };
    let server = serve(zone.address, &["sip:carrier.test"], "\"gateways\"");
    assert_eq!(Talk::refused(server.sip, 1), 403, "127.0.0.2 is nobody's");
    zone.change(&records("127.0.0.2"));
    until("the change is seen", || at(&server).contains("127.0.0.2"));
    Talk::begin(server.sip, callee, 2).end();
    server.settled(1);
}

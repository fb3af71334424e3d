//! The network: our ports, and whether somebody is at the trunks' other ends.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::{Finding, Server};
use crate::base::chance::Chance;
use crate::base::dscp::Dscp;
use crate::base::limits::SIP_MESSAGE_BYTES_MAX;
use crate::call::config::{Interface, Listener};
use crate::call::targets::{Name, Place, Server as Behind, Target};
use crate::config::Conf;
use crate::media::socket::Pair;
use crate::names::Wanted;
use crate::names::keeper::{Names, Status};
use crate::sip::build::{self, Request};
use crate::sip::method::Method;
use crate::sip::path::{Party, Transport};
use crate::transport::tls::{self, Terms};

/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long their names may take to be looked up: a server that doesn't answer is asked again.
const NAMES_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked over UDP meanwhile.
const REPEAT: Duration = Duration::from_millis(500);
/// Gateways that are asked at once.
const AT_ONCE: usize = 16;

/// Whether the ports of the conf are free, or the server's.
pub(super) fn ports(conf: &Conf, server: &Server) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Server::Away = server {
        for listener in &conf.switch.listeners {
            let (name, free) = match listener.transport {
                Transport::Udp => ("UDP", UdpSocket::bind(listener.address).map(drop)),
                Transport::Tcp | Transport::Tls => ("TCP", TcpListener::bind(listener.address).map(drop)),
            };
            findings.push(port(
                &format!("sip {name} {}", listener.address),
                name,
                listener.address,
                free,
            ));
        }
        if let Some(address) = conf.api.listen {
            let free = TcpListener::bind(address).map(drop);
            findings.push(port(&format!("api.listen {address}"), "TCP", address, free));
        }
        findings.extend(conf.switch.media.interfaces.iter().map(media_ports));
    } else {
        findings.push(Finding::ok("ports", "the server has them"));
    }
    findings.extend(given_out(conf));
    findings
}

fn port(what: &str, protocol: &str, address: SocketAddr, free: io::Result<()>) -> Finding {
    match free {
        Ok(()) => Finding::ok("ports", format!("{what} is free")),
        Err(error) => {
            let flag = if protocol == "UDP" { "u" } else { "t" };
            let cure = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    format!(
                        "see who has it: ss -ln{flag}p 'sport = :{}'; stop it or choose another",
                        address.port()
                    )
                }
                io::ErrorKind::AddrNotAvailable => "write an address of this machine (ip addr)".to_owned(),
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need CAP_NET_BIND_SERVICE: see systemd/README.md".to_owned()
                }
                _ => String::new(),
            };
            Finding::fail("ports", format!("{what} can't be had ({error})"), cure)
        }
    }
}

/// How many of the media ports somebody else has.
fn media_ports(media: &Interface) -> Finding {
    let (first, last) = (media.port_first, media.port_last);
    let what = format!("media {} ports {first}-{last}", media.address);
    if let Err(error) = UdpSocket::bind((media.address, 0)) {
        let cure = "write an address of this machine in media.address (ip addr)";
        return Finding::fail(
            "ports",
            format!("{what}: the address can't be had ({error})"),
            cure,
        );
    }
    let (mut pairs, mut taken) = (0_usize, Vec::new());
    for port in (first..=last).step_by(2) {
        pairs += 1;
        if Pair::bind(media.address, port, Dscp::VOICE).is_err() {
            taken.push(port);
        }
    }
    match taken.as_slice() {
        [] => Finding::ok("ports", format!("{what} are free")),
        [one, ..] => {
            let found = format!("{what}: {} of {pairs} pairs are taken, {one} first", taken.len());
            let cure = "choose a range that nobody else uses; those that are taken are passed over";
            if taken.len() == pairs {
                Finding::fail("ports", found, cure)
            } else {
                Finding::warn("ports", found, cure)
            }
        }
    }
}

/// Whether the system gives our media ports to whoever asks for any port.
fn given_out(conf: &Conf) -> Vec<Finding> {
    let read = |name| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok();
    let Some(range) = read("ip_local_port_range") else {
        return Vec::new();
    };
    let reserved = read("ip_local_reserved_ports").unwrap_or_default();
    // Interfaces may have the same ports: what is said of them is said once.
    let interfaces = conf.switch.media.interfaces.iter();
    let ports: BTreeSet<(u16, u16)> = interfaces
        .map(|media| (media.port_first, media.port_last))
        .collect();
    ports
        .into_iter()
        .filter(|&(first, last)| overlap(&range, &reserved, first, last))
        .map(|(first, last)| {
            Finding::warn(
                "ports",
                format!(
                    "the system gives out ports of {first}-{last} itself (ip_local_port_range {})",
                    range.trim().replace('\t', "-")
                ),
                format!("sysctl net.ipv4.ip_local_reserved_ports={first}-{last}, or choose others"),
            )
        })
        .collect()
}

/// Whether a range of ours overlaps what the system gives out, and isn't reserved as a whole.
fn overlap(range: &str, reserved: &str, first: u16, last: u16) -> bool {
    let mut bounds = range.split_whitespace().filter_map(|n| n.parse::<u16>().ok());
    let (Some(low), Some(high)) = (bounds.next(), bounds.next()) else {
        return false;
    };
    let is_reserved = reserved.trim().split(',').any(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        matches!((from.parse::<u16>(), to.parse::<u16>()), (Ok(from), Ok(to)) if from <= first && last <= to)
    });
    first <= high && low <= last && !is_reserved
}

/// Asks every gateway whether it is there.
pub(super) fn trunks(conf: &Conf, terms: &Terms) -> Vec<Finding> {
    let mut asked: Vec<((&str, &Place), Target, Option<&Listener>)> = Vec::new();
    let mut findings = Vec::new();
    let names = look_up(conf);
    for trunk in &conf.switch.trunks {
        for gateway in &trunk.gateways {
            let targets = match &gateway.place {
                Place::At(target) => vec![*target],
                Place::Named(name) => {
                    let status = names.iter().find(|status| status.name == *name);
                    findings.push(of_name(&trunk.name, name, status));
                    status.map_or(Vec::new(), |status| targets(&status.servers))
                }
            };
            let listeners = &conf.switch.listeners;
            let named = trunk
                .listener
                .and_then(|id| listeners.iter().find(|l| l.id == id));
            for target in targets {
                let fits = |l: &&Listener| l.address.is_ipv4() == target.address.is_ipv4();
                asked.push((
                    (&trunk.name, &gateway.place),
                    target,
                    named.or_else(|| listeners.iter().find(fits)),
                ));
            }
        }
    }
    for group in asked.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = group
                .iter()
                .map(|((trunk, place), target, listener)| {
                    scope.spawn(|| ask((trunk, place), *target, *listener, terms))
                })
                .collect();
            findings.extend(threads.into_iter().filter_map(|thread| thread.join().ok()));
        });
    }
    findings
}

/// Looks the names of gateways up, as the server would.
fn look_up(conf: &Conf) -> Vec<Status> {
    let wanted = Wanted::of(&conf.switch, &conf.dns);
    if wanted.names.is_empty() {
        return Vec::new();
    }
    // Nothing is chosen here: chance only spreads the times of further look-ups.
    let Ok(names) = Names::start(Chance::from_number(0), drop) else {
        return Vec::new();
    };
    names.want(wanted);
    names.wait(NAMES_PATIENCE);
    names.status()
}

/// What there is to say of a gateway's name.
fn of_name(trunk: &str, name: &Name, status: Option<&Status>) -> Finding {
    let trouble = status.and_then(|status| status.error.as_deref());
    let cure = "look what DNS says (dig NAPTR NAME, dig SRV _sip._udp.NAME, dig A NAME), and name the servers to ask \
                in [dns] if they aren't those of /etc/resolv.conf";
    match (status.and_then(Status::at), trouble) {
        (Some(at), None) => Finding::ok("trunk", format!("{trunk}: {name} is {at}")),
        (Some(at), Some(trouble)) => Finding::warn(
            "trunk",
            format!("{trunk}: {name} is {at}, but not all was said ({trouble})"),
            cure,
        ),
        (None, trouble) => {
            let trouble = trouble.unwrap_or("no answer in time");
            Finding::fail("trunk", format!("{trunk}: {name} is nowhere ({trouble})"), cure)
        }
    }
}

fn targets(servers: &[Behind]) -> Vec<Target> {
    let of_server = |server: &Behind| {
        let transport = server.transport;
        let target = move |address: &SocketAddr| Target {
            transport,
            address: *address,
        };
        server.addresses.iter().map(target).collect::<Vec<_>>()
    };
    servers.iter().flat_map(of_server).collect()
}

fn ask(
    (trunk, place): (&str, &Place),
    target: Target,
    listener: Option<&Listener>,
    terms: &Terms,
) -> Finding {
    let from = listener.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |l| l.address.ip());
    let begun = Instant::now();
    let answer = match target.transport {
        Transport::Udp => by_udp(from, target.address),
        Transport::Tcp => by_tcp(target.address),
        Transport::Tls => by_tls(target.address, (Party::named(trunk), place), terms),
    };
    let name = target.transport.via_token();
    let what = format!("{trunk}: {name} {}", target.address);
    match answer {
        Ok(answer) => {
            let found = format!("{what} answers {answer} after {} ms", begun.elapsed().as_millis());
            Finding::ok("trunk", found)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            let found = format!("{what} doesn't answer OPTIONS within {} s", PATIENCE.as_secs());
            let cure = "see that the gateway is up, that a route and a firewall let us through, and that it answers \
                        OPTIONS from this address (it is asked from a port that is not the server's)";
            Finding::warn("trunk", found, cure)
        }
        Err(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => Finding::fail(
            "trunk",
            format!("{what} and we don't agree"),
            tls::trouble(&error),
        ),
        Err(error) => {
            let cure =
                "see that the gateway listens there, and that a route leads to it (ip route get ADDRESS)";
            Finding::fail("trunk", format!("{what} can't be reached ({error})"), cure)
        }
    }
}

fn by_udp(from: IpAddr, gateway: SocketAddr) -> io::Result<String> {
    let socket = UdpSocket::bind((from, 0))?;
    // Errors that come back by ICMP reach a connected socket.
    socket.connect(gateway)?;
    socket.set_read_timeout(Some(REPEAT))?;
    let request = options(Transport::Udp, socket.local_addr()?, gateway);
    let deadline = Instant::now() + PATIENCE;
    let mut answer = vec![0; SIP_MESSAGE_BYTES_MAX];
    while Instant::now() < deadline {
        socket.send(&request)?;
        match socket.recv(&mut answer) {
            Ok(length) => return Ok(first_line(&answer, length)),
            Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn by_tcp(gateway: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&gateway, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = options(Transport::Tcp, stream.local_addr()?, gateway);
    asked(&mut stream, &request)
}

/// As the server connects there, with its certificates.
fn by_tls(gateway: SocketAddr, (party, place): (Party, &Place), terms: &Terms) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&gateway, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = options(Transport::Tls, stream.local_addr()?, gateway);
    asked(&mut terms.speak(party, place, stream)?, &request)
}

fn asked(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<String> {
    stream.write_all(request)?;
    let mut answer = [0; 1_024];
    match stream.read(&mut answer)? {
        0 => Err(io::ErrorKind::ConnectionReset.into()),
        length => Ok(first_line(&answer, length)),
    }
}

/// What an answer begins with, such as `200 OK`: who answers at all is there, whatever he thinks of OPTIONS.
fn first_line(answer: &[u8], length: usize) -> String {
    let text = String::from_utf8_lossy(answer.get(..length).unwrap_or_default());
    let line = text.lines().next().unwrap_or("");
    let line: String = line.chars().filter(|c| !c.is_control()).take(60).collect();
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => status.to_owned(),
        None => format!("{line:?}, which is no SIP"),
    }
}

/// An OPTIONS that asks who is there (RFC 3261 §11).
fn options(transport: Transport, from: SocketAddr, gateway: SocketAddr) -> Vec<u8> {
    let mut random = [0; 12];
    // Without chance the ids are merely the same every time: nothing depends on them here.
    let _ = getrandom::fill(&mut random);
    // Letters only: a run of digits could be taken for a number.
    let word: String = random.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    build::request(&Request {
        method: Method::Options,
        uri: format!("sip:{gateway}").as_bytes(),
        transport,
        sent_by: from,
        branch: format!("z9hG4bK{word}").as_bytes(),
        from: format!("<sip:{}>;tag={word}", from.ip()).as_bytes(),
        to: format!("<sip:{gateway}>").as_bytes(),
        call_id: format!("{word}@umbra").as_bytes(),
        cseq: 1,
        max_forwards: 70,
        routes: &[],
        contact: Some(format!("<sip:{from}>").as_bytes()),
        headers: &[("Accept", "application/sdp")],
        body: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn a_gateway_that_answers_is_told_from_one_that_is_silent_and_one_that_is_not_there() {
        let gateway = |address| Target {
            address,
            transport: Transport::Udp,
        };
        let asked = |target| ask(("carrier", &Place::At(target)), target, None, &Terms::default());
        let there = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = there.local_addr().expect("bound");
        let answering = std::thread::spawn(move || {
            let mut request = [0; 2_048];
            let (length, from) = there.recv_from(&mut request).expect("asked");
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            there.send_to(b"SIP/2.0 200 OK\r\n\r\n", from).expect("answered");
            text
        });
        let found = asked(gateway(address));
        assert!(
            found.grade == Grade::Ok && found.found.contains("answers 200 OK after"),
            "{found}"
        );
        let request = answering.join().expect("answered");
        assert!(
            request.starts_with(&format!("OPTIONS sip:{address} SIP/2.0\r\n")),
            "{request}"
        );

        let gone = UdpSocket::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("bound");
        assert_eq!(asked(gateway(gone)).grade, Grade::Fail);

        let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let found = asked(gateway(silent.local_addr().expect("bound")));
        assert_eq!(found.grade, Grade::Warn, "{found}");
    }

    #[test]
    fn a_port_that_somebody_has_is_told_with_how_to_find_him() {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("bound");
        let free = UdpSocket::bind(address).map(drop);
        let found = port(&format!("sip UDP {address}"), "UDP", address, free);
        assert_eq!(found.grade, Grade::Fail);
        assert!(
            found
                .cure
                .contains(&format!("ss -lnup 'sport = :{}'", address.port())),
            "{found}"
        );
    }

    #[test]
    fn media_ports_that_the_system_gives_out_are_told_unless_they_are_reserved() {
        assert!(overlap("32768\t60999\n", "\n", 40_000, 49_999));
        assert!(overlap("32768\t60999\n", "40000-40009,5060\n", 40_000, 49_999));
        assert!(!overlap("32768\t60999\n", "5060,40000-49999\n", 40_000, 49_999));
        assert!(!overlap("32768\t60999\n", "\n", 20_000, 29_999));
    }
}

//! Where a name's servers are: RFC 3263 §4, with every server and address that it may come to, not only the first.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::rdata::NAPTR;
use hickory_resolver::proto::rr::{Name as DnsName, RData, RecordType};
use tokio::task::JoinSet;

use super::dns::{Answer, Dns, Memory, Notes};
use super::{Family, Reach};
use crate::base::limits::{DNS_NEGATIVE_TTL, DNS_SERVERS_MAX};
use crate::call::targets::{Name, Scheme, Server};
use crate::sip::path::Transport;

/// What a look-up found.
#[derive(Debug)]
pub(super) struct Found {
    /// Every server; none if the name resolves to nothing.
    pub(super) servers: Vec<Server>,
    /// How long that holds.
    pub(super) ttl: Duration,
    /// The last question that DNS didn't answer, and why.
    pub(super) error: Option<String>,
    pub(super) memory: Memory,
}

/// A service of a name: what SRV is asked for, or what stands for its answer.
struct Service {
    /// Which place it has among others.
    rank: (u16, u16),
    transport: Transport,
    /// The name that has its SRV records.
    srv: String,
}

/// A server before its addresses are known.
struct Line {
    /// NAPTR's order and preference, SRV's priority.
    rank: (u16, u16, u16),
    weight: u16,
    transport: Transport,
    host: String,
    port: u16,
}

/// Looks a name up.
pub(super) async fn locate(dns: Dns, name: Name, reach: Reach, memory: Memory) -> Found {
    let mut notes = Notes::new(memory, Instant::now());
    let lines = match (settled(&name), name.port) {
        // RFC 3263 §4.2: with a port that is written, the host is looked up by itself.
        (transport, Some(_)) => vec![by_itself(&name, transport, &reach)],
        (Some(transport), None) => {
            let service = Service {
                rank: (0, 0),
                transport,
                srv: srv_name(transport, &name.host),
            };
            servers(&dns, &name, vec![service], &reach, &mut notes).await
        }
        (None, None) => {
            let services = services(&dns, &name, &reach, &mut notes).await;
            servers(&dns, &name, services, &reach, &mut notes).await
        }
    };
    let servers = addresses(&dns, lines, &reach, &mut notes).await;
    let ttl = if servers.is_empty() {
        notes.absent_ttl
    } else {
        notes.ttl
    };
    Found {
        servers,
        ttl: ttl.unwrap_or(DNS_NEGATIVE_TTL),
        error: notes.error,
        memory: notes.memory,
    }
}

/// The transport, where the URI settles it (RFC 3263 §4.1).
fn settled(name: &Name) -> Option<Transport> {
    match (name.scheme, name.transport) {
        (Scheme::Sip, transport) => transport,
        // RFC 3261 §26.2.2: TLS over whatever is written.
        (Scheme::Sips, Some(_)) => Some(Transport::Tls),
        (Scheme::Sips, None) => None,
    }
}

/// RFC 3263 §4.1: what is spoken where DNS says nothing about it.
fn spoken(name: &Name, reach: &Reach) -> Transport {
    match name.scheme {
        Scheme::Sips => Transport::Tls,
        Scheme::Sip if reach.speaks(Transport::Udp) || !reach.speaks(Transport::Tcp) => Transport::Udp,
        Scheme::Sip => Transport::Tcp,
    }
}

/// The host itself, at the port that is written or usual.
fn by_itself(name: &Name, transport: Option<Transport>, reach: &Reach) -> Line {
    let transport = transport.unwrap_or_else(|| spoken(name, reach));
    Line {
        rank: (0, 0, 0),
        weight: 0,
        transport,
        host: name.host.to_string(),
        port: name.port.unwrap_or(transport.default_port()),
    }
}

fn srv_name(transport: Transport, host: &str) -> String {
    match transport {
        Transport::Udp => format!("_sip._udp.{host}"),
        Transport::Tcp => format!("_sip._tcp.{host}"),
        Transport::Tls => format!("_sips._tcp.{host}"),
    }
}

/// The services of a name: by NAPTR, else each that we speak (RFC 3263 §4.1).
async fn services(dns: &Dns, name: &Name, reach: &Reach, notes: &mut Notes) -> Vec<Service> {
    let answer = dns.ask(&name.host, RecordType::NAPTR).await;
    let records = notes
        .take(&name.host, RecordType::NAPTR, answer)
        .unwrap_or_default();
    let services: Vec<Service> = records
        .iter()
        .filter_map(|data| match data {
            RData::NAPTR(naptr) => service(naptr, name.scheme),
            _ => None,
        })
        .filter(|service| reach.speaks(service.transport))
        .collect();
    if !services.is_empty() {
        return services;
    }
    let all = match name.scheme {
        Scheme::Sip => &[Transport::Udp, Transport::Tcp][..],
        Scheme::Sips => &[Transport::Tls][..],
    };
    let spoken = all.iter().filter(|transport| reach.speaks(**transport));
    let service = |(rank, transport): (u16, &Transport)| Service {
        rank: (rank, 0),
        transport: *transport,
        srv: srv_name(*transport, &name.host),
    };
    (0..).zip(spoken).map(service).collect()
}

/// What a NAPTR record offers, if it leads to SRV and may be followed.
fn service(naptr: &NAPTR, scheme: Scheme) -> Option<Service> {
    let services = naptr.services.to_ascii_uppercase();
    let transport = match (&*services, scheme) {
        (b"SIP+D2U", Scheme::Sip) => Transport::Udp,
        (b"SIP+D2T", Scheme::Sip) => Transport::Tcp,
        (b"SIPS+D2T", Scheme::Sip | Scheme::Sips) => Transport::Tls,
        _ => return None,
    };
    let leads_to_srv = naptr.flags.eq_ignore_ascii_case(b"s") && naptr.regexp.is_empty();
    Some(Service {
        rank: (naptr.order, naptr.preference),
        transport,
        srv: host_of(&naptr.replacement).filter(|_| leads_to_srv)?,
    })
}

/// The servers of services; the host itself where DNS says that none of them has SRV records (RFC 3263 §4.2). Where it
/// doesn't say, the host may be a web server that has no business with anybody's calls.
async fn servers(
    dns: &Dns,
    name: &Name,
    services: Vec<Service>,
    reach: &Reach,
    notes: &mut Notes,
) -> Vec<Line> {
    let asked = services
        .iter()
        .map(|service| (service.srv.clone(), RecordType::SRV));
    let answers = ask_all(dns, asked.collect()).await;
    let mut lines = Vec::new();
    let (mut has_srv, mut is_unsaid) = (false, false);
    for (service, answer) in services.iter().zip(answers) {
        let said = notes.take(&service.srv, RecordType::SRV, answer);
        is_unsaid |= said.is_none();
        for data in said.unwrap_or_default() {
            let RData::SRV(srv) = data else { continue };
            has_srv = true;
            // RFC 2782: a target that is the root says that the service isn't there.
            let Some(host) = host_of(&srv.target).filter(|_| srv.port > 0) else {
                continue;
            };
            let (order, preference) = service.rank;
            lines.push(Line {
                rank: (order, preference, srv.priority),
                weight: srv.weight,
                transport: service.transport,
                host,
                port: srv.port,
            });
        }
    }
    if !has_srv && !is_unsaid {
        let settled = match services.as_slice() {
            [only] => Some(only.transport),
            _ => None,
        };
        lines.push(by_itself(name, settled, reach));
    }
    lines.sort_by_key(|line| line.rank);
    lines.truncate(DNS_SERVERS_MAX);
    lines
}

/// The servers with their addresses; without those that have none.
async fn addresses(dns: &Dns, lines: Vec<Line>, reach: &Reach, notes: &mut Notes) -> Vec<Server> {
    let mut asked: Vec<(String, RecordType)> = Vec::new();
    for line in &lines {
        for (family, kind) in [(Family::V4, RecordType::A), (Family::V6, RecordType::AAAA)] {
            let question = (line.host.clone(), kind);
            if reach.has(family) && !asked.contains(&question) {
                asked.push(question);
            }
        }
    }
    let answers = ask_all(dns, asked.clone()).await;
    let mut found: Vec<(String, IpAddr)> = Vec::new();
    for ((host, kind), answer) in asked.into_iter().zip(answers) {
        let records = notes.take(&host, kind, answer).unwrap_or_default();
        let addresses = records.iter().filter_map(RData::ip_addr);
        let can_be_called = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast();
        found.extend(addresses.filter(can_be_called).map(|ip| (host.clone(), ip)));
    }
    let mut tiers: Vec<(u16, u16, u16)> = lines.iter().map(|line| line.rank).collect();
    tiers.dedup();
    let server = |line: Line| {
        let tier = tiers.iter().position(|rank| *rank == line.rank);
        let own = found.iter().filter(|(host, _)| *host == line.host);
        let reached = own.filter(|(_, ip)| reach.reaches(line.transport, *ip));
        let mut addresses: Vec<SocketAddr> = reached.map(|(_, ip)| (*ip, line.port).into()).collect();
        // Servers of DNS give them in another order each time: that is no news.
        addresses.sort();
        addresses.dedup();
        Server {
            tier: u16::try_from(tier.unwrap_or_default()).unwrap_or(u16::MAX),
            weight: line.weight,
            transport: line.transport,
            addresses,
        }
    };
    let mut servers: Vec<Server> = lines.into_iter().map(server).collect();
    servers.retain(|server| !server.addresses.is_empty());
    servers.sort_by(|a, b| {
        let key = |s: &Server| (s.tier, s.transport.name(), s.weight);
        key(a).cmp(&key(b)).then_with(|| a.addresses.cmp(&b.addresses))
    });
    servers
}

/// Asks several questions at once; the answers in their order.
async fn ask_all(dns: &Dns, questions: Vec<(String, RecordType)>) -> Vec<Answer> {
    let mut asked = JoinSet::new();
    let mut answers: Vec<Answer> = Vec::new();
    for (at, (host, kind)) in questions.into_iter().enumerate() {
        answers.push(Answer::Failed("no answer".into()));
        let dns = dns.clone();
        asked.spawn(async move { (at, dns.ask(&host, kind).await) });
    }
    while let Some(done) = asked.join_next().await {
        if let Ok((at, answer)) = done
            && let Some(place) = answers.get_mut(at)
        {
            *place = answer;
        }
    }
    answers
}

/// A host's name as we write it; `None` for the root, and for what no host's name is.
fn host_of(name: &DnsName) -> Option<String> {
    let text = name.to_lowercase().to_ascii();
    let host = text.strip_suffix('.').unwrap_or(&text);
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    (!host.is_empty() && host.bytes().all(is_plain)).then(|| host.to_owned())
}

//! Connections under TLS: who is let in, who is believed, and what a stranger costs.

use std::path::{Path as File, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls::{SupportedProtocolVersion, version};

use super::*;
use crate::base::limits::{TLS_HANDSHAKE_MAX, TLS_STRANGERS_HANDSHAKES_MAX, TLS_STRANGERS_PER_SECOND};
use crate::call::config::Listener as Listening;
use crate::call::targets::{Name, Place, Scheme, Server, Target};
use crate::call::trunk::tls::CertificateFiles;
use crate::call::trunk::{Cidr, Gateway};
use crate::sip::path::Party;
use crate::transport::tls::Config;

const NOW: &str = "sbc.umbra.example";
const CARRIER: &str = "sbc1.carrier.example";

/// An authority, and the folder where what it signs is.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { folder, issuer }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these names.
    fn sign(&self, file: &str, names: &[SanType]) -> CertificateFiles {
        self.sign_with(file, names, |_| {})
    }

    fn sign_with(
        &self,
        file: &str,
        names: &[SanType],
        change: impl Fn(&mut CertificateParams),
    ) -> CertificateFiles {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let at = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        std::fs::write(at("pem"), certificate.pem()).expect("written");
        std::fs::write(at("key"), key.serialize_pem()).expect("written");
        CertificateFiles {
            chain: at("pem"),
            key: at("key"),
        }
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("plain"))
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("plain"))
}

fn chain_and_key(files: &CertificateFiles) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&files.chain).expect("a file");
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
    (chain.collect::<Result<_, _>>().expect("PEM"), key)
}

fn trusting(file: &File) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(file).expect("a file");
    roots.add_parsable_certificates(all.flatten());
    roots
}

fn carrier() -> Trunk {
    let mut trunk = Trunk::bare("carrier");
    trunk.tls.client_names = vec![CARRIER.into()];
    trunk
}

fn listening() -> Listening {
    Listening {
        id: ListenerId(0),
        transport: Transport::Tls,
        address: ([127, 0, 0, 1], 5061).into(),
        advertised: ([127, 0, 0, 1], 5061).into(),
    }
}

/// The terms of a server that listens with this authority's certificate, and asks for one.
fn terms(authority: &Authority, trunks: &[Trunk]) -> Arc<Terms> {
    let config = Config {
        own: Some(authority.sign("own", &[dns(NOW)])),
        client_ca: Some(authority.ca()),
    };
    Arc::new(Terms::read(&config, &[listening()], trunks).expect("they are right"))
}

fn secure(authority: &Authority, trunks: Vec<Trunk>) -> Shard {
    let mut shard = Shard::new();
    shard.transport = Transport::Tls;
    shard.connections.set_terms(terms(authority, &trunks));
    shard.trunks = trunks;
    shard
}

/// What a friend speaks with.
fn client(
    authority: &Authority,
    own: Option<&CertificateFiles>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("known")
        .with_root_certificates(trusting(&authority.ca()));
    Arc::new(match own {
        Some(files) => {
            let (chain, key) = chain_and_key(files);
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
        None => builder.with_no_client_auth(),
    })
}

/// A friend's thread: it connects, says hello and reads so many bytes. What it has read, or why it failed.
fn call(
    shard: &mut Shard,
    config: Arc<ClientConfig>,
    reads: usize,
    peer: Peer,
) -> std::thread::JoinHandle<std::io::Result<Vec<u8>>> {
    let stream = shard.connected(peer);
    std::thread::spawn(move || {
        let name = ServerName::try_from(NOW).expect("a name");
        let connection = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(HELLO)?;
        let mut bytes = vec![0; reads];
        stream.read_exact(&mut bytes)?;
        Ok(bytes)
    })
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

#[test]
fn a_certificate_s_name_is_the_trunk_in_both_versions_and_answers_go_back() {
    let authority = Authority::new();
    for version in [&version::TLS12, &version::TLS13] {
        for name in [dns(CARRIER), uri(&format!("sip:{CARRIER}"))] {
            let mut shard = secure(&authority, vec![carrier()]);
            let own = authority.sign("client", &[name]);
            let friend = call(
                &mut shard,
                client(&authority, Some(&own), &[version]),
                5,
                Peer::Stranger,
            );
            let came = shard.hear(1);
            assert_eq!(came[0].1, HELLO);
            let path = came[0].0;
            assert_eq!(
                (path.transport, path.party),
                (Transport::Tls, Some(Party::named("carrier")))
            );
            shard.send(path, b"SIP/2");
            assert_eq!(friend.join().expect("no panic").expect("answered"), b"SIP/2");
            assert_eq!(shard.stats.handshakes.load(Ordering::Relaxed), 0);
        }
    }
}

#[test]
fn who_shows_no_certificate_or_another_name_is_nobody_and_a_strange_authority_s_is_refused() {
    let authority = Authority::new();
    let mut shard = secure(&authority, vec![carrier()]);
    let other = authority.sign("other", &[dns("sbc2.carrier.example")]);
    let star = authority.sign("star", &[dns("*.carrier.example")]);
    for own in [None, Some(&other), Some(&star)] {
        let friend = call(&mut shard, client(&authority, own, BOTH), 0, Peer::Stranger);
        assert_eq!(shard.hear(1)[0].0.party, None);
        friend.join().expect("no panic").expect("let in");
    }
    let strange = Authority::new();
    let own = strange.sign("own", &[dns(CARRIER)]);
    let friend = call(
        &mut shard,
        client(&authority, Some(&own), BOTH),
        1,
        Peer::Stranger,
    );
    while shard.stats.handshakes_failed.load(Ordering::Relaxed) == 0 {
        assert_eq!(shard.round(), []);
    }
    assert!(friend.join().expect("no panic").is_err());
}

#[test]
fn another_conf_judges_the_certificates_of_open_connections_anew() {
    let authority = Authority::new();
    let mut shard = secure(&authority, vec![carrier()]);
    let own = authority.sign("client", &[dns(CARRIER)]);
    let stream = shard.connected(Peer::Stranger);
    let config = client(&authority, Some(&own), BOTH);
    let (said, heard) = std::sync::mpsc::channel::<()>();
    let friend = std::thread::spawn(move || {
        let connection =
            ClientConnection::new(config, ServerName::try_from(NOW).expect("a name")).expect("begun");
        let mut stream = StreamOwned::new(connection, stream);
        for _ in 0..2 {
            stream.write_all(HELLO).expect("sent");
            heard.recv().expect("told");
        }
    });
    assert_eq!(shard.hear(1)[0].0.party, Some(Party::named("carrier")));
    shard.trunks = vec![Trunk::bare("carrier")];
    shard
        .connections
        .set_trunks((&shard.trunks, &Resolved::default()));
    // Another certificate for those who come from now on changes nothing for this one.
    let trunks = shard.trunks.clone();
    shard.connections.set_terms(terms(&authority, &trunks));
    said.send(()).expect("it waits");
    assert_eq!(shard.hear(1)[0].0.party, None);
    said.send(()).expect("it waits");
    friend.join().expect("no panic");
}

#[test]
fn handshakes_that_are_never_ended_are_few_and_given_up_and_garbage_is_refused_at_once() {
    let authority = Authority::new();
    let mut shard = secure(&authority, vec![carrier()]);
    let mut garbage = shard.connected(Peer::Stranger);
    garbage.write_all(HELLO).expect("sent");
    while shard.open() > 0 {
        assert_eq!(shard.round(), []);
    }
    assert_eq!(shard.stats.handshakes_failed.load(Ordering::Relaxed), 1);

    // A ClientHello that never ends: a record of 512 bytes is promised.
    let mut slow = shard.connected(Peer::Stranger);
    slow.write_all(&[0x16, 3, 1, 2, 0, 1]).expect("sent");
    assert_eq!(shard.round(), []);
    assert_eq!(shard.open(), 1);
    shard.later(TLS_HANDSHAKE_MAX - Duration::from_millis(1));
    slow.write_all(&[0]).expect("sent");
    assert_eq!(shard.round(), []);
    assert_eq!(shard.open(), 1, "its time isn't over");
    shard.later(Duration::from_millis(1));
    assert!(shard.is_forgotten(), "dripping doesn't help");
    assert_eq!(shard.stats.handshakes.load(Ordering::Relaxed), 0);

    // Others hold as many handshakes as strangers may: one more is closed at once, a trunk's is not.
    shard
        .stats
        .handshakes
        .fetch_add(TLS_STRANGERS_HANDSHAKES_MAX as u64, Ordering::Relaxed);
    let mut refused = shard.connected(Peer::Stranger);
    assert_eq!(refused.read(&mut [0; 1]).expect("closed"), 0);
    let _trunks = shard.connected(Peer::Trunk);
    assert_eq!(shard.open(), 1);
}

#[test]
fn strangers_begin_so_many_handshakes_in_a_second() {
    let authority = Authority::new();
    let mut shard = secure(&authority, vec![carrier()]);
    for _ in 0..TLS_STRANGERS_PER_SECOND {
        drop(shard.connected(Peer::Stranger));
        while shard.open() > 0 {
            shard.round();
        }
    }
    let mut refused = shard.connected(Peer::Stranger);
    assert_eq!(refused.read(&mut [0; 1]).expect("closed"), 0);
    // Nobody sweeps while no connection is open.
    shard.now = shard.now + Duration::from_secs(1);
    let _taken = shard.connected(Peer::Stranger);
    assert_eq!(shard.open(), 1);
}

/// The other end, which is open as long as it is kept.
type Served = StreamOwned<ServerConnection, TcpStream>;

/// A gateway that answers one hello by another, with this certificate.
fn gateway_with(
    files: &CertificateFiles,
    asks: Option<&File>,
) -> (SocketAddr, std::thread::JoinHandle<Option<Served>>) {
    gateway_of(files, asks, BOTH)
}

fn gateway_of(
    files: &CertificateFiles,
    asks: Option<&File>,
    versions: &[&'static SupportedProtocolVersion],
) -> (SocketAddr, std::thread::JoinHandle<Option<Served>>) {
    let (listener, address) = gateway();
    let (chain, key) = chain_and_key(files);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("known");
    let builder = match asks {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(trusting(file));
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().expect("an authority"))
        }
    };
    let config = Arc::new(builder.with_single_cert(chain, key).expect("a pair"));
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut stream = StreamOwned::new(ServerConnection::new(config).expect("begun"), stream);
        let mut bytes = vec![0; HELLO.len()];
        stream.read_exact(&mut bytes).ok()?;
        stream.write_all(HELLO).ok()?;
        assert_eq!(bytes, HELLO);
        Some(stream)
    });
    (address, thread)
}

/// The trunk of a gateway, with a name for it.
fn leading(name: Option<&str>, ca: Option<PathBuf>, address: SocketAddr) -> Trunk {
    let mut trunk = Trunk::bare("carrier");
    trunk.gateways = vec![Gateway {
        place: Place::At(Target {
            address,
            transport: Transport::Tls,
        }),
        rank: Default::default(),
    }];
    trunk.tls.name = name.map(Into::into);
    trunk.tls.ca = ca;
    trunk
}

fn there(address: SocketAddr) -> Path {
    Path {
        transport: Transport::Tls,
        party: Some(Party::named("carrier")),
        ..to(address)
    }
}

#[test]
fn a_gateway_is_believed_by_its_name_its_uri_its_address_or_as_the_very_certificate() {
    let authority = Authority::new();
    let ca = || Some(authority.ca());
    let localhost = SanType::IpAddress([127, 0, 0, 1].into());
    let named = authority.sign("named", &[dns("sip.carrier.example")]);
    let by_uri = authority.sign("uri", &[dns("x.example"), uri("sip:sip.carrier.example")]);
    let by_address = authority.sign("address", &[localhost]);
    let lone = Authority::new();
    let itself = CertificateFiles {
        chain: lone.ca(),
        key: lone.folder.path().join("itself.key"),
    };
    std::fs::write(&itself.key, lone.issuer.key().serialize_pem()).expect("written");
    let name = Some("sip.carrier.example");
    for (files, name, ca) in [
        (&named, name, ca()),
        (&by_uri, name, ca()),
        (&by_address, None, ca()),
        (&itself, None, Some(lone.ca())),
    ] {
        let (address, thread) = gateway_with(files, Some(&authority.ca()));
        let mut shard = secure(&authority, vec![leading(name, ca, address)]);
        shard.send(there(address), HELLO);
        assert_eq!(shard.hear(1)[0].1, HELLO, "{}", files.chain.display());
        assert!(thread.join().expect("no panic").is_some());

        assert_eq!(shard.stats.troubles.of(Party::named("carrier")), None);
    }
}

#[test]
fn a_gateway_that_is_not_whom_we_mean_gets_nothing_and_the_cure_is_told() {
    let authority = Authority::new();
    let name = Some("sip.carrier.example");
    let right = [dns("sip.carrier.example")];
    let over = authority.sign_with("over", &right, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let other = authority.sign("other", &[dns("sip.other.example")]);
    let strange = Authority::new();
    let unknown = strange.sign("unknown", &right);
    for (files, cure) in [
        (&over, "the other side has to renew it"),
        (
            &other,
            "but for DnsName(\"sip.other.example\"): write the right name in tls_name",
        ),
        (&unknown, "name who did in tls_ca"),
    ] {
        let (address, thread) = gateway_with(files, None);
        let mut shard = secure(&authority, vec![leading(name, Some(authority.ca()), address)]);
        shard.send(there(address), HELLO);
        let failed = loop {
            assert_eq!(shard.round(), []);
            let failed = shard.failed();
            if !failed.is_empty() {
                break failed;
            }
        };
        assert_eq!(failed, [(address, Why::Unreachable)]);
        assert!(thread.join().expect("no panic").is_none());
        let said = shard.stats.troubles.of(Party::named("carrier")).expect("told");
        assert!(said.contains(cure), "{said}");
    }
}

#[test]
fn a_gateway_that_wants_a_certificate_of_ours_is_told_of_in_both_versions() {
    let authority = Authority::new();
    let strange = Authority::new();
    let named = authority.sign("named", &[dns("sip.carrier.example")]);
    for version in [&version::TLS12, &version::TLS13] {
        // It believes another authority than the one that signed ours.
        let (address, thread) = gateway_of(&named, Some(&strange.ca()), &[version]);
        let name = Some("sip.carrier.example");
        let mut shard = secure(&authority, vec![leading(name, Some(authority.ca()), address)]);
        shard.send(there(address), HELLO);
        while shard.open() > 0 {
            assert_eq!(shard.round(), []);
        }
        assert!(thread.join().expect("no panic").is_none());
        let said = shard.stats.troubles.of(Party::named("carrier")).expect("told");
        assert!(said.contains("another certificate of ours"), "{said}");
        assert_eq!(shard.stats.handshakes_failed.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn a_gateway_that_never_says_a_word_of_tls_is_told_of() {
    let authority = Authority::new();
    let (silent, address) = gateway();
    let mut shard = secure(&authority, vec![leading(None, Some(authority.ca()), address)]);
    shard.send(there(address), HELLO);
    let _open = silent.accept().expect("we come");
    while shard.stats.handshakes.load(Ordering::Relaxed) == 0 {
        assert_eq!(shard.round(), []);
    }
    shard.later(TLS_HANDSHAKE_MAX);
    assert_eq!(shard.failed(), [(address, Why::Unreachable)]);
    let said = shard.stats.troubles.of(Party::named("carrier")).expect("told");
    assert!(said.contains("says nothing"), "{said}");
    assert_eq!(shard.stats.handshakes_failed.load(Ordering::Relaxed), 1);
    assert_eq!(shard.stats.handshakes.load(Ordering::Relaxed), 0);
}

#[test]
fn a_certificate_with_the_names_of_two_trunks_is_the_one_s_from_where_it_comes() {
    let authority = Authority::new();
    let mut far = carrier();
    far.name = "far".into();
    far.accept_from = vec![Cidr {
        network: [192, 0, 2, 0].into(),
        prefix: 24,
    }];
    let mut near = carrier();
    near.name = "near".into();
    near.tls.client_names = vec!["sbc2.carrier.example".into()];
    let mut shard = secure(&authority, vec![far, near]);
    let own = authority.sign("client", &[dns(CARRIER), dns("sbc2.carrier.example")]);
    let friend = call(
        &mut shard,
        client(&authority, Some(&own), BOTH),
        0,
        Peer::Stranger,
    );
    assert_eq!(shard.hear(1)[0].0.party, Some(Party::named("near")));
    friend.join().expect("no panic").expect("let in");
}

#[test]
fn each_gateway_of_a_trunk_is_asked_for_its_own_name_unless_the_conf_has_one_for_all() {
    let authority = Authority::new();
    for (tls_name, asked) in [
        (None, "sbc2.carrier.example"),
        (Some("all.carrier.example"), "all.carrier.example"),
    ] {
        let own = authority.sign("gateway", &[dns(asked)]);
        let (address, thread) = gateway_with(&own, None);
        let named = |host: &str| Name {
            host: host.into(),
            port: None,
            transport: Some(Transport::Tls),
            scheme: Scheme::Sip,
        };
        let mut trunk = leading(tls_name, Some(authority.ca()), address);
        let gateways = ["sbc1.carrier.example", "sbc2.carrier.example"];
        trunk.gateways = gateways
            .map(|host| Gateway {
                place: Place::Named(named(host)),
                rank: Default::default(),
            })
            .into();
        let mut shard = secure(&authority, vec![trunk]);
        let server = Server {
            tier: 0,
            weight: 0,
            transport: Transport::Tls,
            addresses: vec![address],
        };
        let resolved = Resolved::new([(named("sbc2.carrier.example"), vec![server])]);
        shard.connections.set_resolved(Arc::new(resolved));
        shard.send(there(address), HELLO);
        assert_eq!(shard.hear(1)[0].1, HELLO);
        let stream = thread.join().expect("no panic").expect("it has answered");
        assert_eq!(stream.conn.server_name(), Some(asked));
    }
}

#[test]
fn a_connection_of_one_trunk_carries_nothing_of_another_s() {
    let authority = Authority::new();
    let named = authority.sign("named", &[dns("sip.carrier.example")]);
    let (address, thread) = gateway_with(&named, None);
    let one = leading(Some("sip.carrier.example"), Some(authority.ca()), address);
    let mut two = leading(Some("sip.other.example"), Some(authority.ca()), address);
    two.name = "other".into();
    let mut shard = secure(&authority, vec![one, two]);
    shard.send(there(address), HELLO);
    assert_eq!(shard.hear(1)[0].1, HELLO);
    let _open = thread.join().expect("no panic").expect("it has answered");
    let other = Path {
        party: Some(Party::named("other")),
        ..there(address)
    };
    assert_eq!(shard.open(), 1);
    shard.send(other, HELLO);
    assert_eq!(shard.open() + shard.failed().len() as u64, 2, "it is another one");
}

#[test]
fn more_than_a_buffer_reaches_a_slow_reader_whole_and_in_order() {
    let authority = Authority::new();
    let mut shard = secure(&authority, vec![carrier()]);
    let config = client(&authority, None, BOTH);
    let large: Vec<u8> = (0..900_000_u32).map(|n| (n % 251) as u8).collect();
    let friend = call(&mut shard, config, large.len(), Peer::Trunk);
    let path = shard.hear(1)[0].0;
    for part in large.chunks(9_000) {
        shard.send(path, part);
    }
    while !shard.connections.all.values().all(Connection::is_written) {
        shard.round();
    }
    assert!(friend.join().expect("no panic").expect("read") == large);
}

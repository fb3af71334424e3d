//! SIP over TLS (RFC 3261 §26.2, RFC 5922): certificates, whom they name, and the connections that they begin.
//!
//! rustls does the protocol (1.2 and 1.3) as a machine of bytes; the connections of a shard drive it by what their sockets
//! have and take ([`connections`](super::connections)). Sessions are never resumed: a connection to a trunk lasts for
//! hours, and a certificate that was taken from the conf ends with it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use crate::base::time::Wall;
use crate::call::config::Listener;
use crate::call::targets::{Place, Resolved, Target};
use crate::call::trunk::tls::CertificateFiles;
use crate::call::trunk::{Gateway, Trunk};
use crate::sip::path::{Party, Transport};

mod certificate;
mod files;
mod session;
mod verify;

pub(super) use session::{Session, Shaken};

/// What our listeners say of TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Our certificate. Without one nothing can be listened to.
    pub own: Option<CertificateFiles>,
    /// Who may have signed the certificates of those who call (a PEM file). `None`: none is asked for.
    pub client_ca: Option<PathBuf>,
}

/// What is wrong with a file that the conf names, or with its absence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The trunk whose key it is; `None`: a key of `[sip]`.
    pub trunk: Option<Box<str>>,
    /// The key.
    pub key: &'static str,
    /// What is wrong, and the cure.
    pub cure: String,
}

/// A certificate of ours, as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The trunk whose gateways it is for; `None`: our listeners'.
    pub trunk: Option<Box<str>>,
    /// Its file.
    pub file: PathBuf,
    /// The domains that it speaks for.
    pub names: Vec<String>,
    /// When it ends; `None` if it doesn't say.
    pub ends_at: Option<Wall>,
    /// The certificates themselves, ours first: a new one may say of itself what the old one said.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Everything that connections over TLS need, read from its files.
#[derive(Debug, Default)]
pub struct Terms {
    server: Option<Arc<ServerConfig>>,
    clients: HashMap<Party, Client>,
    shown: Vec<Shown>,
}

/// How one trunk's gateways are connected to.
#[derive(Debug)]
struct Client {
    config: Arc<ClientConfig>,
    /// The name that all of them are asked for.
    name: Option<ServerName<'static>>,
    /// Without it each is asked for its own.
    gateways: Vec<Gateway>,
}

impl Client {
    /// The name to ask the gateway for that `is_it`, which is at `address`.
    fn name(&self, address: IpAddr, is_it: impl Fn(&Gateway) -> bool) -> ServerName<'static> {
        let own = || {
            self.gateways
                .iter()
                .filter(|gateway| is_it(gateway))
                .find_map(name_of)
        };
        let name = self.name.clone().or_else(own);
        name.unwrap_or(ServerName::IpAddress(address.into()))
    }
}

/// What keeps us from trunks' gateways, by trunk, in a sentence each. As many as there are trunks at the most.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<BTreeMap<Party, String>>);

impl Troubles {
    /// The sentence of a trunk.
    pub fn of(&self, party: Party) -> Option<String> {
        self.all().get(&party).cloned()
    }

    /// Connecting to a trunk's gateway failed, or succeeded.
    pub(super) fn set(&self, party: Party, trouble: Option<String>) {
        match trouble {
            Some(sentence) => self.all().insert(party, sentence),
            None => self.all().remove(&party),
        };
    }

    /// Other terms are in force: what is still wrong says so again at the next try.
    pub fn forget(&self) {
        self.all().clear();
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<Party, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terms {
    /// Reads every certificate and key that the conf names. Nothing is read where nothing is said of TLS.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn read(config: &Config, listeners: &[Listener], trunks: &[Trunk]) -> Result<Self, Vec<Fault>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let listens = listeners.iter().any(|l| l.transport == Transport::Tls);
        let mut faults = Vec::new();
        let mut terms = Self::default();
        let own = config
            .own
            .as_ref()
            .and_then(|files| terms.own(None, files, &provider, &mut faults));
        let fault = |key, cure: String| Fault {
            trunk: None,
            key,
            cure,
        };
        let mut clients_known = None;
        if let Some(file) = &config.client_ca {
            match files::authorities(file) {
                Ok((roots, _)) => clients_known = Some(roots),
                Err(cure) => faults.push(fault("tls_client_ca", cure)),
            }
        }
        if listens && config.own.is_none() {
            let cure = "who listens over TLS shows a certificate: write tls_cert and tls_key";
            faults.push(fault("tls", cure.to_owned()));
        }
        if let Some(own) = &own {
            match server(own, clients_known, &provider) {
                Ok(server) => terms.server = Some(server),
                Err(cure) => faults.push(fault("tls_cert", cure)),
            }
        }
        let system = OnceCell::new();
        if listens {
            for trunk in trunks {
                if !trunk.tls.client_names.is_empty() && config.client_ca.is_none() {
                    faults.push(Fault {
                        trunk: Some(trunk.name.clone()),
                        key: "client_names",
                        cure: "nobody is asked for a certificate: write in sip.tls_client_ca who signs them"
                            .into(),
                    });
                }
                let system = || system.get_or_init(files::system_authorities).clone();
                terms.towards(trunk, (own.as_ref(), &system), &provider, &mut faults);
            }
        }
        if faults.is_empty() { Ok(terms) } else { Err(faults) }
    }

    /// Our certificates.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// A connection with somebody who connected to us.
    pub(super) fn accept(&self) -> io::Result<Session> {
        let Some(server) = &self.server else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        Session::accept(server)
    }

    /// A connection with somebody whom we connect to at this address, and who is to be this trunk's.
    pub(super) fn connect(
        &self,
        party: Option<Party>,
        address: SocketAddr,
        resolved: &Resolved,
    ) -> io::Result<Session> {
        let target = Target {
            transport: Transport::Tls,
            address,
        };
        let client = self.client(party)?;
        let name = client.name(address.ip(), |gateway| resolved.is_target(gateway, target));
        Session::connect(&client.config, name)
    }

    /// A connection that waits for its bytes, with a gateway of a trunk: for those who only ask whether it is there.
    ///
    /// # Errors
    /// There is no such trunk.
    pub fn speak(
        &self,
        party: Party,
        place: &Place,
        stream: TcpStream,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let client = self.client(Some(party))?;
        let name = client.name(stream.peer_addr()?.ip(), |gateway| gateway.place == *place);
        let connection = ClientConnection::new(Arc::clone(&client.config), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// The terms of a trunk.
    fn client(&self, party: Option<Party>) -> io::Result<&Client> {
        let client = party.and_then(|party| self.clients.get(&party));
        client.ok_or(io::ErrorKind::Unsupported.into())
    }

    fn own(
        &mut self,
        trunk: Option<&Trunk>,
        files: &CertificateFiles,
        provider: &CryptoProvider,
        faults: &mut Vec<Fault>,
    ) -> Option<files::Own> {
        let trunk = trunk.map(|trunk| trunk.name.clone());
        match files::own(files, provider) {
            Ok(own) => {
                self.shown.push(Shown {
                    trunk,
                    file: files.chain.clone(),
                    names: own.names.clone(),
                    ends_at: own.ends_at,
                    chain: own.certified.cert.clone(),
                });
                Some(own)
            }
            Err((which, cure)) => {
                let key = match which {
                    files::Which::Chain => "tls_cert",
                    files::Which::Key => "tls_key",
                };
                faults.push(Fault { trunk, key, cure });
                None
            }
        }
    }

    /// How a trunk's gateways are connected to.
    fn towards(
        &mut self,
        trunk: &Trunk,
        (listeners, system): (Option<&files::Own>, &dyn Fn() -> Option<files::Authorities>),
        provider: &Arc<CryptoProvider>,
        faults: &mut Vec<Fault>,
    ) {
        let known = match &trunk.tls.ca {
            Some(file) => files::authorities(file),
            None => system().ok_or_else(|| {
                "this system keeps no list of whom it trusts: name in tls_ca who signs the gateways' certificates"
                    .to_owned()
            }),
        };
        let leads_there = trunk
            .gateways
            .iter()
            .any(|g| g.place.wants() == Some(Transport::Tls));
        let (roots, pinned) = match known {
            Ok(known) => known,
            // Nobody is called there.
            Err(_) if trunk.tls.ca.is_none() && !leads_there => {
                (Arc::new(RootCertStore::empty()), Vec::new())
            }
            Err(cure) => {
                return faults.push(Fault {
                    trunk: Some(trunk.name.clone()),
                    key: "tls_ca",
                    cure,
                });
            }
        };
        let own = match &trunk.tls.own {
            Some(files) => self.own(Some(trunk), files, provider, faults),
            None => listeners.cloned(),
        };
        let verifier = verify::Gateways {
            roots,
            pinned,
            names: names(trunk),
            algorithms: provider.signature_verification_algorithms,
        };
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions();
        let builder = builder
            .expect("ring has ciphers for both versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match own {
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified))),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        let client = Client {
            config: Arc::new(config),
            name: trunk.tls.name.as_deref().and_then(named),
            gateways: trunk.gateways.clone(),
        };
        self.clients.insert(trunk.party(), client);
    }
}

/// Whom the certificates of a trunk's gateways may name: `tls_name`, or else the gateways as the conf writes them; and those
/// by whose names it calls us.
fn names(trunk: &Trunk) -> Vec<ServerName<'static>> {
    let own = trunk.tls.name.as_deref().and_then(named);
    let gateways = trunk.gateways.iter().filter(|_| trunk.tls.name.is_none());
    let callers = trunk.tls.client_names.iter().filter_map(|name| named(name));
    own.into_iter()
        .chain(gateways.filter_map(name_of))
        .chain(callers)
        .collect()
}

fn named(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}

/// A gateway's name: of one that has a name that, not the one of the server that DNS says it has (RFC 5922 §4).
fn name_of(gateway: &Gateway) -> Option<ServerName<'static>> {
    match &gateway.place {
        Place::At(target) => Some(ServerName::IpAddress(target.address.ip().into())),
        Place::Named(name) => named(&name.host),
    }
}

fn server(
    own: &files::Own,
    clients: Option<Arc<RootCertStore>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for both versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
                // Whoever shows none is known by its address, or is a stranger.
                .allow_unauthenticated()
                .build()
                .map_err(|error| error.to_string())?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&own.certified))));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a failed handshake with a gateway says of it.
pub fn trouble(error: &io::Error) -> String {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(inner) => verify::trouble(inner),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it hung up in the handshake: it may not speak TLS there, or not want us".to_owned()
        }
        None if error.kind() == io::ErrorKind::TimedOut => {
            "it says nothing in the handshake: look at the gateway's port and transport".to_owned()
        }
        None => format!("the connection broke in the handshake: {error}"),
    }
}

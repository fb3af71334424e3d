//! A stream between a phone and the real server, in the open or under TLS, for one thread that reads and others that write.
#![allow(dead_code, unused_imports)] // each test binary uses its part

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

#[path = "certificates.rs"]
#[allow(clippy::duplicate_mod)] // a test binary may have the other stage too
mod certificates;

use certificates::Authority;
pub use certificates::{PHONES, SERVER};

/// A stream. Clones are the same one.
#[derive(Clone)]
pub struct Line {
    stream: Arc<TcpStream>,
    session: Option<Arc<Mutex<Connection>>>,
}

impl Line {
    pub fn open(stream: TcpStream) -> Self {
        let (stream, session) = (Arc::new(stream), None);
        Self { stream, session }
    }

    /// Over TLS, begun by the phone. Both sides show certificates.
    pub fn calling(stream: TcpStream, terms: &Terms) -> Self {
        let name = ServerName::try_from(SERVER).expect("a name");
        let session = ClientConnection::new(terms.client.clone(), name).expect("begun");
        Self::secure(stream, session.into())
    }

    /// Over TLS, begun by the server.
    pub fn called(stream: TcpStream, terms: &Terms) -> Self {
        let session = ServerConnection::new(terms.server.clone()).expect("begun");
        Self::secure(stream, session.into())
    }

    fn secure(stream: TcpStream, session: Connection) -> Self {
        let line = Self {
            stream: Arc::new(stream),
            session: Some(Arc::new(Mutex::new(session))),
        };
        // The first word of whoever calls.
        let _ = line.write(&[]);
        line
    }

    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = &*self.stream;
        let Some(session) = &self.session else {
            return stream.write_all(bytes);
        };
        let mut session = session.lock().expect("no panic");
        session.writer().write_all(bytes)?;
        while session.wants_write() {
            session.write_tls(&mut stream)?;
        }
        Ok(())
    }

    /// Waits for bytes; 0 is the end.
    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut stream = &*self.stream;
        let Some(session) = &self.session else {
            return stream.read(into);
        };
        let mut wire = vec![0; 16_384];
        loop {
            match session.lock().expect("no panic").reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            let length = stream.read(&mut wire)?;
            let mut session = session.lock().expect("no panic");
            let mut came = &wire[..length];
            loop {
                session.read_tls(&mut came)?;
                session.process_new_packets().map_err(io::Error::other)?;
                if came.is_empty() {
                    break;
                }
            }
            while session.wants_write() {
                session.write_tls(&mut stream)?;
            }
        }
    }

    /// The certificate that the server has shown, once anything was read.
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        let session = self.session.as_ref()?.lock().expect("no panic");
        Some(session.peer_certificates()?.first()?.clone().into_owned())
    }

    pub fn address(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// Ends it without a word: the thread that reads it holds it too, and lets go.
    pub fn reset(&self) {
        let socket = socket2::SockRef::from(&*self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
        self.stream.shutdown(Shutdown::Read).unwrap_or(());
    }
}

/// What the phones show and believe.
pub struct Terms {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Terms {
    /// Makes an authority, and certificates for both sides, in this folder ([`Authority::write`]).
    pub fn made_in(folder: &Path) -> Self {
        Authority::new().write(folder);
        Self::read_from(folder, "phones")
    }

    /// Those who show `STEM.pem` of this folder and believe in its `ca.pem`.
    pub fn read_from(folder: &Path, stem: &str) -> Self {
        let read = |name: &str| fs::read(folder.join(name)).expect("written");
        let certificate = |name: &str| CertificateDer::from_pem_slice(&read(name)).expect("PEM");
        let pair = || {
            let key = read(&format!("{stem}.key"));
            (
                vec![certificate(&format!("{stem}.pem"))],
                PrivateKeyDer::from_pem_slice(&key).expect("PEM"),
            )
        };
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca.pem")).expect("an authority");
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (chain, key) = pair();
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("known")
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain, key)
            .expect("a pair");
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let (chain, key) = pair();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("known")
            .with_client_cert_verifier(verifier.build().expect("an authority"))
            .with_single_cert(chain, key)
            .expect("a pair");
        Self {
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }
}

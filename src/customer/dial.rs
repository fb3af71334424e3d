//! A connection to a customer's server: its name, TCP, TLS.

use std::io::{self, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hickory_resolver::TokioResolver;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::limits::ASK_CONNECT_WAIT;
use crate::base::url::{HttpUrl, Scheme};
use crate::call::ask::Silence;

/// Connections that are tried for one question: the first, and one more.
const TRIES: usize = 2;

/// The certificates of a PEM file, as it stood when it was read: one that was renewed under its name is another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Roots(Arc<[CertificateDer<'static>]>);

impl Roots {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// The file can't be read, or holds no certificate that can be believed.
    pub fn read(path: &Path) -> io::Result<Self> {
        let pem = BufReader::new(std::fs::File::open(path)?);
        let read = CertificateDer::pem_reader_iter(pem).collect::<Result<_, _>>();
        let roots = Self(read.map_err(io::Error::other)?);
        if roots.0.is_empty() {
            return Err(io::Error::other("it holds no certificate"));
        }
        roots.store().map(|_| roots)
    }

    fn store(&self) -> io::Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        for certificate in self.0.iter() {
            store.add(certificate.clone()).map_err(io::Error::other)?;
        }
        Ok(store)
    }
}

/// Whose signature makes a server the one that its name says.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// These certificates, or those that the system trusts.
    ///
    /// # Errors
    /// One of them can't be believed.
    pub fn of(roots: Option<&Roots>) -> io::Result<Self> {
        let roots = match roots {
            Some(roots) => roots.store()?,
            // A machine without any asks no server over TLS, and says so when one is asked.
            None => {
                let mut store = RootCertStore::empty();
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                store
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// A connection, in the clear or within TLS.
pub(super) enum Stream {
    /// `http`
    Plain(TcpStream),
    /// `https`
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to a server. A try that fails as a connection is followed by one more, by the server's next address if it has
/// several.
pub(super) async fn connect(
    url: &HttpUrl,
    resolver: Option<&TokioResolver>,
    trust: &Trust,
) -> Result<Stream, Silence> {
    let addresses = resolve(url, resolver).await?;
    let tries = addresses.iter().cycle().take(TRIES);
    for address in tries {
        let connecting = async {
            let stream = TcpStream::connect(address).await.map_err(|_| Silence::Connect)?;
            // A question is one small message, and somebody waits for it.
            let _ = stream.set_nodelay(true);
            secured(url, stream, trust).await
        };
        match tokio::time::timeout(ASK_CONNECT_WAIT, connecting).await {
            Ok(Ok(stream)) => return Ok(stream),
            // Another try would see the same certificate.
            Ok(Err(Silence::Tls)) => return Err(Silence::Tls),
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Err(Silence::Connect)
}

async fn resolve(url: &HttpUrl, resolver: Option<&TokioResolver>) -> Result<Vec<SocketAddr>, Silence> {
    if let Ok(address) = url.bare_host().parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, url.port())]);
    }
    // By what the system's hosts file and DNS say; a dot keeps the search list out.
    let name = format!("{}.", url.host().trim_end_matches('.'));
    let found = resolver.ok_or(Silence::Name)?.lookup_ip(name).await;
    let addresses: Vec<SocketAddr> = found
        .map_err(|_| Silence::Name)?
        .iter()
        .map(|address| SocketAddr::new(address, url.port()))
        .collect();
    if addresses.is_empty() {
        return Err(Silence::Name);
    }
    Ok(addresses)
}

async fn secured(url: &HttpUrl, stream: TcpStream, trust: &Trust) -> Result<Stream, Silence> {
    match url.scheme() {
        Scheme::Http => Ok(Stream::Plain(stream)),
        Scheme::Https => {
            let name = ServerName::try_from(url.bare_host().to_owned()).map_err(|_| Silence::Tls)?;
            let connector = TlsConnector::from(trust.0.clone());
            match connector.connect(name, stream).await {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Silence::Tls),
                Err(_) => Err(Silence::Connect),
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

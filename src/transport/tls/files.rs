//! Certificates and keys from their files, and what is wrong with those, with the cure.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate;
use crate::base::limits::PEM_BYTES_MAX;
use crate::base::time::Wall;
use crate::call::trunk::tls::CertificateFiles;

/// Where systems keep the authorities that everybody trusts: Debian, Fedora, openSUSE, Alpine.
const SYSTEMS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A certificate of ours with its key.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) names: Vec<String>,
    pub(super) ends_at: Option<Wall>,
}

/// Which of two files something is wrong with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    Chain,
    Key,
}

/// Reads a certificate of ours.
pub(super) fn own(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Own, (Which, String)> {
    let chain = certificates(&files.chain).map_err(|cure| (Which::Chain, cure))?;
    let key = pem_of(&files.key).and_then(|pem| PrivateKeyDer::from_pem_slice(&pem));
    let key = key.map_err(|error| {
        let none =
            "holds no private key: name the file that has \"-----BEGIN PRIVATE KEY-----\", not encrypted";
        (Which::Key, unreadable(&files.key, &error, none))
    })?;
    let first = chain.first();
    let (names, ends_at) = (
        first.map(certificate::names).unwrap_or_default(),
        first.and_then(certificate::ends_at),
    );
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => (
            Which::Key,
            format!(
                "this isn't the key of the certificate in {}: write the two that belong together",
                files.chain.display()
            ),
        ),
        rustls::Error::InvalidCertificate(error) => (
            Which::Chain,
            format!("its first certificate can't be read ({error}): ours stands first, then those above it"),
        ),
        error => (
            Which::Key,
            format!("the key can't be used ({error}): ECDSA P-256 or RSA 2048 will do"),
        ),
    })?;
    Ok(Own {
        certified: Arc::new(certified),
        names,
        ends_at,
    })
}

/// Authorities, and the certificates of their file: one that signs itself is known by being one of these.
pub(super) type Authorities = (Arc<RootCertStore>, Vec<CertificateDer<'static>>);

/// Reads a file of authorities.
pub(super) fn authorities(file: &Path) -> Result<Authorities, String> {
    let all = certificates(file)?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(all.iter().cloned());
    if added == 0 {
        return Err("none of its certificates can be read: name a file of PEM certificates".into());
    }
    Ok((Arc::new(roots), all))
}

/// Those whom the system trusts. `None`: it keeps no list where systems do.
pub(super) fn system_authorities() -> Option<Authorities> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = SYSTEMS.into_iter().map(PathBuf::from);
    let (roots, _) = named
        .into_iter()
        .chain(usual)
        .find_map(|file| authorities(&file).ok())?;
    Some((roots, Vec::new()))
}

/// The certificates of a file, in order; one at least.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let none = "holds no certificate: name the file that has \"-----BEGIN CERTIFICATE-----\"";
    let read = || -> Result<Vec<_>, pem::Error> { CertificateDer::pem_slice_iter(&pem_of(file)?).collect() };
    let all = read().map_err(|error| unreadable(file, &error, none))?;
    if all.is_empty() {
        return Err(format!("{} {none}", file.display()));
    }
    Ok(all)
}

/// What a file has, if it is a file and no bigger than one of certificates is.
fn pem_of(file: &Path) -> Result<Vec<u8>, pem::Error> {
    let refused = |why: String| pem::Error::Io(io::Error::new(io::ErrorKind::InvalidData, why));
    // Of a pipe nobody knows when something comes, and of a device where it ends.
    if !fs::metadata(file).map_err(pem::Error::Io)?.is_file() {
        return Err(refused("it is no file".to_owned()));
    }
    let mut bytes = Vec::new();
    let open = File::open(file).map_err(pem::Error::Io)?;
    let read = open.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes);
    if read.map_err(pem::Error::Io)? as u64 > PEM_BYTES_MAX {
        return Err(refused(format!("it has more than {PEM_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn unreadable(file: &Path, error: &pem::Error, none: &str) -> String {
    let name = file.display();
    match error {
        pem::Error::NoItemsFound => format!("{name} {none}"),
        pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no {name}: a relative path starts at the working directory")
        }
        pem::Error::Io(error) => {
            format!("{name} can't be read ({error}): the server's user must be allowed to")
        }
        error => format!("{name} is no PEM ({error}): write it anew"),
    }
}

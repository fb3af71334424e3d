//! SIP over TLS (RFC 3261 §26.2, RFC 5922).

use std::path::PathBuf;

use crate::call::trunk::tls::CertificateFiles;

/// What our listeners say of TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Our certificate. Without one nothing can be listened to.
    pub own: Option<CertificateFiles>,
    /// Who may have signed the certificates of those who call (a PEM file). `None`: none is asked for.
    pub client_ca: Option<PathBuf>,
}

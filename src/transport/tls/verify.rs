//! Whether a gateway is whom we mean (RFC 5922), and what to do about a handshake that fails.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate;

/// Judges the certificates of one trunk's gateways.
#[derive(Debug)]
pub(super) struct Gateways {
    pub(super) roots: Arc<RootCertStore>,
    /// Certificates that are right whoever signed them, and whatever their names.
    pub(super) pinned: Vec<CertificateDer<'static>>,
    /// One of these has to be in the certificate, or the one that is asked for.
    pub(super) names: Vec<ServerName<'static>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Gateways {
    fn is_named(&self, certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
        match name {
            ServerName::DnsName(name) => certificate::names(certificate)
                .iter()
                .any(|has| has.eq_ignore_ascii_case(name.as_ref())),
            _ => false,
        }
    }
}

impl ServerCertVerifier for Gateways {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pinned.iter().any(|pinned| pinned == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        let named = |name: &ServerName<'_>| {
            // The domain of a sip: URI counts as well (RFC 5922 §7.1).
            verify_server_name(&parsed, name)
                .or_else(|error| self.is_named(end_entity, name).then_some(()).ok_or(error))
        };
        let outcome = named(asked);
        if outcome.is_err() && !self.names.iter().any(|name| named(name).is_ok()) {
            outcome?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Why a handshake with a gateway failed, and what helps, in a sentence.
pub(super) fn trouble(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => format!(
            "it refused us ({alert:?}): it may want another certificate of ours (tls_cert), or name ({error})"
        ),
        Error::InvalidMessage(_) => {
            "what it says is no TLS: look at the gateway's port and transport".to_owned()
        }
        Error::PeerIncompatible(why) => {
            format!("it speaks no TLS that we do, which is 1.2 and 1.3 with present-day ciphers ({why:?})")
        }
        error => format!("the handshake failed: {error}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate is over ({error}): the other side has to renew it, if our clock is right")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet ({error}): look at our clock")
        }
        // One of the same name may have signed it.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "nobody whom we trust has signed its certificate: name who did in tls_ca, or that very certificate"
                .to_owned()
        }
        CertificateError::NotValidForName => "its certificate has another name: write it in tls_name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "its certificate is not for {}, but for {}: write the right name in tls_name",
            expected.to_str(),
            if presented.is_empty() { "nobody".to_owned() } else { presented.join(", ") }
        ),
        error if error.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate signs itself: name that very certificate in tls_ca".to_owned()
        }
        error => format!("its certificate is refused: {error}"),
    }
}

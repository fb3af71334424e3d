//! What the conf says of TLS: certificates and keys by their files, and names. The files themselves are read by
//! [`certificates`](super::certificates).

use std::path::PathBuf;

use super::reader::Section;
use crate::call::config::Listener;
use crate::call::trunk::Trunk;
use crate::call::trunk::tls::{CertificateFiles, Tls};
use crate::sip::path::Transport;
use crate::transport::tls;

/// Names of one trunk.
const NAMES_MAX: usize = 64;
/// A domain name's letters (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// Reads the keys of `[sip]`.
pub(super) fn of_listeners(sip: &Section<'_>) -> tls::Config {
    tls::Config {
        own: certificate(sip),
        client_ca: file(sip, "tls_client_ca"),
    }
}

/// Reads the keys of a trunk.
pub(super) fn of_trunk(section: &Section<'_>, listeners: &[Listener], others: &[Trunk]) -> Tls {
    let listens = listeners.iter().any(|l| l.transport == Transport::Tls);
    let mut own: Vec<Box<str>> = Vec::new();
    let client_names = section.list("client_names", Vec::new(), |text| {
        let name = name(text)?;
        if own.contains(&name) {
            return Err("the name is there twice: take one away".into());
        }
        if let Some(other) = others.iter().find(|t| t.tls.client_names.contains(&name)) {
            return Err(format!(
                "trunk {} has the same name: it must be clear whose call it is",
                other.name
            ));
        }
        if own.len() == NAMES_MAX {
            return Err(format!("at most {NAMES_MAX} names"));
        }
        own.push(name.clone());
        Ok(name)
    });
    if !client_names.is_empty() && !listens && !listeners.is_empty() {
        section.fault(
            "client_names",
            "nobody shows a certificate where we don't listen over TLS: write an address in sip.tls",
        );
    }
    Tls {
        client_names,
        name: section.parsed("tls_name", None, |text| match text {
            "" => Ok(None),
            text => name(text).map(Some),
        }),
        ca: file(section, "tls_ca"),
        own: certificate(section),
    }
}

/// `tls_cert` and `tls_key`: both or none.
fn certificate(section: &Section<'_>) -> Option<CertificateFiles> {
    match (file(section, "tls_cert"), file(section, "tls_key")) {
        (Some(chain), Some(key)) => Some(CertificateFiles { chain, key }),
        (Some(_), None) => {
            section.fault(
                "tls_cert",
                "a certificate is of no use without its key: write tls_key",
            );
            None
        }
        (None, Some(_)) => {
            section.fault(
                "tls_key",
                "a key is of no use without its certificate: write tls_cert",
            );
            None
        }
        (None, None) => None,
    }
}

fn file(section: &Section<'_>, key: &str) -> Option<PathBuf> {
    section.parsed(key, None, |text| {
        if text.contains('\0') {
            return Err("write a path; a relative one starts at the working directory".into());
        }
        Ok((!text.is_empty()).then(|| text.into()))
    })
}

/// A domain as certificates name it: `sbc1.carrier.example`, or as a URI `sip:carrier.example` (RFC 5922 §7.1).
fn name(text: &str) -> Result<Box<str>, String> {
    let form = || "write a domain name, as the certificate has it: \"sbc1.carrier.example\"".to_owned();
    let plain = text.strip_prefix("sip:").unwrap_or(text).trim_end_matches('.');
    if plain.contains('*') {
        return Err("a star stands for nobody (RFC 5922 §7.2): write the whole name".into());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    };
    if plain.len() > NAME_BYTES_MAX || !plain.split('.').all(is_label) {
        return Err(form());
    }
    Ok(plain.to_ascii_lowercase().into())
}

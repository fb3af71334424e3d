//! Certificates for the server and for phones, by an authority of the test's own.
#![allow(dead_code)] // each test binary uses its part

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

/// The domain of the server's certificate.
pub const SERVER: &str = "umbra.example";
/// The domain of the phones' and gateways' certificates.
pub const PHONES: &str = "sbc1.carrier.example";

/// Who signs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Writes its own certificate, and one for each side: `ca.pem`, `umbra.pem`, `umbra.key`, `phones.pem` and
    /// `phones.key`. The server's is for its loopback address too, which is what a softphone dials.
    pub fn write(&self, folder: &Path) {
        fs::write(folder.join("ca.pem"), self.0.pem()).expect("the folder can be written");
        self.sign(folder, "umbra", &[SERVER, "127.0.0.1"]);
        self.sign(folder, "phones", &[PHONES]);
    }

    /// Signs a new certificate for these names and addresses; writes it and its key, as `STEM.pem` and `STEM.key`.
    pub fn sign(&self, folder: &Path, stem: &str, names: &[&str]) {
        self.sign_for(folder, stem, names, &[]);
    }

    /// The same for these uses alone (RFC 5280 §4.2.1.12); without any, for all.
    pub fn sign_for(&self, folder: &Path, stem: &str, names: &[&str], uses: &[ExtendedKeyUsagePurpose]) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        // Without a name of its own it would look as if it had signed itself.
        params.distinguished_name.push(DnType::CommonName, stem);
        params.extended_key_usages = uses.to_vec();
        let chain = params.signed_by(&key, &self.0).expect("signed").pem();
        fs::write(folder.join(format!("{stem}.pem")), chain).expect("the folder can be written");
        fs::write(folder.join(format!("{stem}.key")), key.serialize_pem())
            .expect("the folder can be written");
    }
}

//! Passwords of trunks, theirs and ours. Only the hashes that digest authentication needs are kept of them, and nothing
//! shows those.

use crate::sip::digest::{Algorithm, Ha1};

/// What is known of one user's password in one realm: the hash of each algorithm that it can be answered by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Secret {
    md5: Option<Ha1>,
    sha256: Option<Ha1>,
    sha512_256: Option<Ha1>,
}

impl Secret {
    /// Of a password: every algorithm's.
    pub fn of_password(user: &str, realm: &str, password: &str) -> Self {
        let ha1 = |algorithm| Ha1::of(algorithm, user.as_bytes(), realm.as_bytes(), password.as_bytes());
        Algorithm::ALL
            .into_iter()
            .fold(Self::default(), |secret, algorithm| {
                secret.with(algorithm, ha1(algorithm))
            })
    }

    /// The same with this algorithm's hash.
    #[must_use]
    pub const fn with(mut self, algorithm: Algorithm, ha1: Ha1) -> Self {
        match algorithm {
            Algorithm::Md5 => self.md5 = Some(ha1),
            Algorithm::Sha256 => self.sha256 = Some(ha1),
            Algorithm::Sha512_256 => self.sha512_256 = Some(ha1),
        }
        self
    }

    /// The hash of this algorithm, if it is known.
    pub const fn ha1(&self, algorithm: Algorithm) -> Option<&Ha1> {
        match algorithm {
            Algorithm::Md5 => self.md5.as_ref(),
            Algorithm::Sha256 => self.sha256.as_ref(),
            Algorithm::Sha512_256 => self.sha512_256.as_ref(),
        }
    }
}

/// What a trunk's gateways know us by. It answers challenges of this realm only, to INVITEs that begin a call, REGISTER
/// and OPTIONS of ours, and goes to nobody but the gateway that was asked (CVE-2021-41158).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The realm that the carrier has told us.
    pub realm: Box<str>,
    /// Who we are there.
    pub user: Box<str>,
    /// Our password there.
    pub secret: Secret,
}

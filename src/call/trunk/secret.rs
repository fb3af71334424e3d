//! Passwords of trunks, theirs and ours. Only the hashes that digest authentication needs are kept of them, and nothing
//! shows those.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::sip::digest::{Algorithm, Asker, Credentials as Given, Ha1, Protection};
use crate::sip::method::Method;

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

/// What a trunk's gateways know us by. It answers challenges of this realm only, to INVITEs that begin a call and
/// REGISTERs of ours, and goes to nobody but the gateway that was asked (CVE-2021-41158).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The realm that the carrier has told us.
    pub realm: Box<str>,
    /// Who we are there.
    pub user: Box<str>,
    /// Our password there.
    pub secret: Secret,
}

/// What a trunk's callers have to prove before anything else: the server's side of RFC 3261 §22.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demand {
    /// In which realm.
    pub realm: Box<str>,
    /// Whether we ask as server (401) or as proxy (407).
    pub asker: Asker,
    /// By which hashes, in the order of our challenges. Never empty.
    pub algorithms: Vec<Algorithm>,
    /// Who may; never empty, and each has a hash of every algorithm.
    pub users: Vec<User>,
}

/// Who may call on a trunk that asks for a password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Under which name.
    pub name: Box<str>,
    /// With which password.
    pub secret: Secret,
}

impl Demand {
    /// Whether the credentials are those of one of the users, for a request of this method. Looks at every user, and takes
    /// the same time for one who isn't there as for a wrong password.
    pub fn is_met_by(&self, given: &Given<'_>, method: Method) -> bool {
        let name = given.user.plain();
        let (mut place, mut is_known) = (0, Choice::from(0));
        for (at, user) in (0_u32..).zip(&self.users) {
            let is_this = user.name.as_bytes().ct_eq(&name);
            place.conditional_assign(&at, is_this);
            is_known |= is_this;
        }
        let algorithm = given
            .algorithm
            .filter(|algorithm| self.algorithms.contains(algorithm));
        // RFC 3261 §22.4: whoever is offered a qop has to use it; without, nothing would be counted.
        let is_counted = matches!(given.protection, Some(Protection::Auth { .. }));
        let user = self.users.get(place as usize).or(self.users.first());
        let ha1 = user.and_then(|user| user.secret.ha1(algorithm.unwrap_or(self.weakest())));
        let Some(ha1) = ha1 else { return false };
        let is_right = given.are_of(ha1, method.name().as_bytes());
        let is_asked_for = Choice::from(u8::from(algorithm.is_some() && is_counted));
        (is_right & is_known & is_asked_for).into()
    }

    fn weakest(&self) -> Algorithm {
        self.algorithms.iter().min().copied().unwrap_or(Algorithm::Md5)
    }
}

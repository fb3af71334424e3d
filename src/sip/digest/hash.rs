//! The sums of digest authentication (RFC 7616 §3.4, RFC 8760).

use std::fmt;

use arrayvec::ArrayString;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

/// A hash as lower-case hexadecimal digits: 32 of MD5, 64 of the others.
pub type HashText = ArrayString<64>;

/// The hash of a challenge, the weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// RFC 1321. What a challenge means that names none.
    Md5,
    /// FIPS 180-4, as RFC 7616 and RFC 8760 have it.
    Sha256,
    /// FIPS 180-4, as RFC 7616 and RFC 8760 have it: SHA-512 cut to 256 bits with a start value of its own.
    Sha512_256,
}

impl Algorithm {
    /// All that we know, the weakest first.
    pub const ALL: [Self; 3] = [Self::Md5, Self::Sha256, Self::Sha512_256];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// The one of that name, in any case.
    pub fn of(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// How many digits its hash has.
    pub const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512_256 => 64,
        }
    }

    /// The hash of the parts with colons between them.
    fn hash(self, parts: &[&[u8]]) -> HashText {
        fn of<D: Digest>(parts: &[&[u8]]) -> HashText {
            let mut digest = D::new();
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    digest.update(b":");
                }
                digest.update(part);
            }
            let mut text = HashText::new();
            for byte in digest.finalize().as_slice() {
                for half in [byte >> 4, byte & 0xF] {
                    // A hash is 32 bytes at the most, so there is room.
                    let _ = text.try_push(char::from_digit(half.into(), 16).unwrap_or('0'));
                }
            }
            text
        }
        match self {
            Self::Md5 => of::<Md5>(parts),
            Self::Sha256 => of::<Sha256>(parts),
            Self::Sha512_256 => of::<Sha512_256>(parts),
        }
    }
}

/// The hash of user, realm and password (RFC 7616 §3.4.2, A1): as good as the password for its realm, and as secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1(HashText);

impl Ha1 {
    /// Of a password.
    pub fn of(algorithm: Algorithm, user: &[u8], realm: &[u8], password: &[u8]) -> Self {
        Self(algorithm.hash(&[user, realm, password]))
    }

    /// As written down beforehand, in hexadecimal digits. `None`: not as many as the algorithm's hash has.
    pub fn from_hex(algorithm: Algorithm, digits: &str) -> Option<Self> {
        let is_hash = digits.len() == algorithm.digits() && digits.bytes().all(|c| c.is_ascii_hexdigit());
        let mut text = HashText::from(digits).ok().filter(|_| is_hash)?;
        text.make_ascii_lowercase();
        Some(Self(text))
    }
}

impl fmt::Debug for Ha1 {
    /// Says nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(…)")
    }
}

/// What a response protects beside the password (RFC 7616 §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection<'a> {
    /// No qop: only the nonce (RFC 2069).
    Bare,
    /// `qop=auth`: with a count and a nonce of the client's.
    Auth {
        /// How many requests have used the nonce, this one included.
        count: u32,
        /// The client's nonce.
        cnonce: &'a [u8],
    },
}

/// The response (RFC 7616 §3.4.1) of whoever knows `ha1` to this `nonce`, for a request of this method to this URI.
pub fn response(
    algorithm: Algorithm,
    ha1: &Ha1,
    nonce: &[u8],
    protection: Protection<'_>,
    method: &[u8],
    uri: &[u8],
) -> HashText {
    let ha2 = algorithm.hash(&[method, uri]);
    let (ha1, ha2) = (ha1.0.as_bytes(), ha2.as_bytes());
    match protection {
        Protection::Bare => algorithm.hash(&[ha1, nonce, ha2]),
        Protection::Auth { count, cnonce } => {
            let count = format!("{count:08x}");
            algorithm.hash(&[ha1, nonce, count.as_bytes(), cnonce, b"auth", ha2])
        }
    }
}

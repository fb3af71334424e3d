//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760): challenges and credentials, read and written, and the
//! arithmetic between them. Pure words and sums; who is asked and who may answer is decided in [`call`](crate::call).
//!
//! Known are MD5, SHA-256 and SHA-512-256, with `qop=auth`, and without a qop where an old gateway offers none
//! (RFC 2069, RFC 3261 §22.4). `-sess`, `auth-int` and `userhash` are not: a challenge that insists on one of them can't
//! be answered.

mod hash;
mod params;

use std::borrow::Cow;

use subtle::{Choice, ConstantTimeEq};

use super::header::{Name, trim};
use super::lexer::Head;
use crate::base::limits::CHALLENGE_BYTES_MAX;

pub use hash::{Algorithm, Ha1, HashText, Protection, response};
pub use params::Text;
use params::{Fields, Sets, quote};

/// Who asks, and in which headers (RFC 3261 §22.2, §22.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// The one whom the request is for: 401.
    Server,
    /// One on its way: 407.
    Proxy,
}

impl Asker {
    /// Whoever answers with this status. `None`: it is no challenge.
    pub const fn of_status(status: u16) -> Option<Self> {
        match status {
            401 => Some(Self::Server),
            407 => Some(Self::Proxy),
            _ => None,
        }
    }

    /// The status that it answers with.
    pub const fn status(self) -> u16 {
        match self {
            Self::Server => 401,
            Self::Proxy => 407,
        }
    }

    /// The header of its challenge.
    pub const fn challenge(self) -> Name {
        match self {
            Self::Server => Name::WwwAuthenticate,
            Self::Proxy => Name::ProxyAuthenticate,
        }
    }

    /// The header of the answer to it.
    pub const fn credentials(self) -> Name {
        match self {
            Self::Server => Name::Authorization,
            Self::Proxy => Name::ProxyAuthorization,
        }
    }
}

/// Whether a challenge says that only its nonce was too old (RFC 7616 §3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Freshness {
    /// It doesn't: there were no credentials, or they were wrong.
    #[default]
    First,
    /// `stale=true`: the same password answers it.
    Stale,
}

/// A challenge that can be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Challenge<'a> {
    /// Whose passwords are asked for.
    pub realm: Text<'a>,
    /// What the response is made with.
    pub nonce: Text<'a>,
    /// To be given back.
    pub opaque: Option<Text<'a>>,
    /// Its hash.
    pub algorithm: Algorithm,
    /// Whether only the nonce was too old.
    pub freshness: Freshness,
    /// Whether it offers `qop=auth`; without any qop it is answered as RFC 2069 has it.
    pub qop: Qop,
}

/// What a challenge offers of qop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Qop {
    /// Nothing: RFC 2069.
    Absent,
    /// `auth`, perhaps among others.
    Auth,
}

impl<'a> Challenge<'a> {
    /// Of the challenges in a response that can be answered and are wanted, the one with the strongest hash; of equal
    /// ones the first. Those of another scheme, hash or qop, and those without realm or nonce, count for nothing.
    pub fn strongest(
        response: &Head<'a>,
        asker: Asker,
        mut is_wanted: impl FnMut(&Self) -> bool,
    ) -> Option<Self> {
        let mut best: Option<Self> = None;
        for line in response.lines(asker.challenge()) {
            for fields in Sets::of(line) {
                let better =
                    Self::of(&fields).filter(|new| best.is_none_or(|old| new.algorithm > old.algorithm));
                best = better.filter(&mut is_wanted).or(best);
            }
        }
        best
    }

    fn of(fields: &Fields<'a>) -> Option<Self> {
        let algorithm = match fields.algorithm {
            None => Algorithm::Md5,
            Some(name) => Algorithm::of(name.raw())?,
        };
        let qop = match fields.qop {
            None => Qop::Absent,
            Some(list) => list
                .raw()
                .split(|byte| *byte == b',')
                .any(|word| trim(word).eq_ignore_ascii_case(b"auth"))
                .then_some(Qop::Auth)?,
        };
        let is_stale = fields
            .stale
            .is_some_and(|word| word.raw().eq_ignore_ascii_case(b"true"));
        Some(Self {
            realm: fields.realm?,
            nonce: fields.nonce?,
            opaque: fields.opaque,
            algorithm,
            freshness: if is_stale {
                Freshness::Stale
            } else {
                Freshness::First
            },
            qop,
        })
    }
}

/// A challenge that is kept, for requests that follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Realm, nonce and opaque as written, one after the other.
    text: Box<[u8]>,
    /// Where realm and nonce end.
    ends: [usize; 2],
    has_opaque: bool,
    algorithm: Algorithm,
    freshness: Freshness,
    qop: Qop,
}

impl Kept {
    /// Keeps it. `None`: it is too long ([`CHALLENGE_BYTES_MAX`]).
    pub fn of(challenge: &Challenge<'_>) -> Option<Self> {
        let (realm, nonce) = (challenge.realm.0, challenge.nonce.0);
        let opaque = challenge.opaque.unwrap_or_default().0;
        let text = [realm, nonce, opaque].concat();
        (text.len() <= CHALLENGE_BYTES_MAX).then(|| Self {
            ends: [realm.len(), realm.len() + nonce.len()],
            has_opaque: challenge.opaque.is_some(),
            algorithm: challenge.algorithm,
            freshness: challenge.freshness,
            qop: challenge.qop,
            text: text.into_boxed_slice(),
        })
    }

    /// The challenge.
    pub fn challenge(&self) -> Challenge<'_> {
        let [realm, nonce] = self.ends;
        let part = |from: usize, to: usize| Text(self.text.get(from..to).unwrap_or_default());
        Challenge {
            realm: part(0, realm),
            nonce: part(realm, nonce),
            opaque: self.has_opaque.then(|| part(nonce, self.text.len())),
            algorithm: self.algorithm,
            freshness: self.freshness,
            qop: self.qop,
        }
    }
}

/// A challenge of ours, to be written.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whose passwords are asked for.
    pub realm: &'a str,
    /// Made for this challenge; letters, digits and signs that need no escape.
    pub nonce: &'a str,
    /// Its hash.
    pub algorithm: Algorithm,
    /// Whether only the nonce was too old.
    pub freshness: Freshness,
}

impl Ask<'_> {
    /// The header's value.
    pub fn write(&self) -> String {
        let mut out = String::with_capacity(160);
        out.push_str("Digest realm=");
        quote(&mut out, self.realm);
        out.push_str(", nonce=");
        quote(&mut out, self.nonce);
        out.push_str(", algorithm=");
        out.push_str(self.algorithm.name());
        out.push_str(", qop=\"auth\"");
        match self.freshness {
            Freshness::First => {}
            Freshness::Stale => out.push_str(", stale=true"),
        }
        out
    }
}

/// Credentials in a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials<'a> {
    /// Who it is.
    pub user: Text<'a>,
    /// Whose password it has.
    pub realm: Text<'a>,
    /// What the response was made with.
    pub nonce: Text<'a>,
    /// The URI that it was made for.
    pub uri: Text<'a>,
    /// The response.
    pub response: Text<'a>,
    /// Its hash; `None` for one that we don't know.
    pub algorithm: Option<Algorithm>,
    /// What it protects; `None` for a qop that we don't know, or one that lacks its parts.
    pub protection: Option<Protection<'a>>,
}

impl<'a> Credentials<'a> {
    /// Those in a request for this asker: one set for each realm (RFC 3261 §22.3).
    pub fn of_request(request: &Head<'a>, asker: Asker, realm: &str) -> Option<Self> {
        request
            .lines(asker.credentials())
            .flat_map(Sets::of)
            .filter_map(|fields| Self::of(&fields))
            .find(|found| *found.realm.plain() == *realm.as_bytes())
    }

    fn of(fields: &Fields<'a>) -> Option<Self> {
        let algorithm = match fields.algorithm {
            None => Some(Algorithm::Md5),
            Some(name) => Algorithm::of(name.raw()),
        };
        let protection = match fields.qop {
            None => Some(Protection::Bare),
            Some(word) if word.raw().eq_ignore_ascii_case(b"auth") => fields
                .nc
                .and_then(|count| hex_count(count.raw()))
                .zip(fields.cnonce)
                .map(|(count, cnonce)| Protection::Auth {
                    count,
                    cnonce: cnonce.raw(),
                }),
            Some(_) => None,
        };
        Some(Self {
            user: fields.username?,
            realm: fields.realm?,
            nonce: fields.nonce?,
            uri: fields.uri?,
            response: fields.response?,
            algorithm,
            protection,
        })
    }

    /// Whether the response is that of whoever knows `ha1`. Takes the same time, whatever is wrong with it.
    pub fn are_of(&self, ha1: &Ha1, method: &[u8]) -> Choice {
        let algorithm = self.algorithm.unwrap_or(Algorithm::Md5);
        let protection = self.protection.unwrap_or(Protection::Bare);
        // What the client's nonce means is hashed, as the others are.
        let cnonce = match protection {
            Protection::Bare => Cow::Borrowed(&[][..]),
            Protection::Auth { cnonce, .. } => Text(cnonce).plain(),
        };
        let protection = match protection {
            Protection::Bare => Protection::Bare,
            Protection::Auth { count, .. } => Protection::Auth {
                count,
                cnonce: &cnonce,
            },
        };
        let (nonce, uri) = (self.nonce.plain(), self.uri.plain());
        let right = response(algorithm, ha1, &nonce, protection, method, &uri);
        let given = self.response.raw().to_ascii_lowercase();
        let is_known = Choice::from(u8::from(self.algorithm.is_some() && self.protection.is_some()));
        right.as_bytes().ct_eq(&given) & is_known
    }
}

/// The count of a nonce's uses: eight hexadecimal digits (RFC 7616 §3.4), and not none.
fn hex_count(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 8)?;
    let is_hex = text.bytes().all(|c| c.is_ascii_hexdigit());
    u32::from_str_radix(text, 16)
        .ok()
        .filter(|count| is_hex && *count > 0)
}

/// Credentials of ours, to be written.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Who we are.
    pub user: &'a str,
    /// What is answered.
    pub challenge: &'a Challenge<'a>,
    /// How many requests have used its nonce, this one included.
    pub count: u32,
    /// A nonce of ours: letters.
    pub cnonce: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The request's URI.
    pub uri: &'a str,
}

impl Reply<'_> {
    /// The header's value. `None` if the challenge holds what is no UTF-8.
    pub fn write(&self, ha1: &Ha1) -> Option<String> {
        let text = |text: Text<'_>| String::from_utf8(text.plain().into_owned()).ok();
        let challenge = self.challenge;
        let (realm, nonce) = (text(challenge.realm)?, text(challenge.nonce)?);
        let protection = match challenge.qop {
            Qop::Absent => Protection::Bare,
            Qop::Auth => Protection::Auth {
                count: self.count,
                cnonce: self.cnonce.as_bytes(),
            },
        };
        let (method, uri) = (self.method.as_bytes(), self.uri.as_bytes());
        let response = response(
            challenge.algorithm,
            ha1,
            nonce.as_bytes(),
            protection,
            method,
            uri,
        );
        let mut out = String::with_capacity(320);
        out.push_str("Digest username=");
        quote(&mut out, self.user);
        for (name, value) in [(", realm=", &*realm), (", nonce=", &*nonce), (", uri=", self.uri)] {
            out.push_str(name);
            quote(&mut out, value);
        }
        out.push_str(", response=\"");
        out.push_str(&response);
        out.push_str("\", algorithm=");
        out.push_str(challenge.algorithm.name());
        if let Protection::Auth { count, .. } = protection {
            out.push_str(", cnonce=");
            quote(&mut out, self.cnonce);
            // RFC 7616 §3.4: qop and nc stand without quotes.
            out.push_str(&format!(", qop=auth, nc={count:08x}"));
        }
        if let Some(opaque) = challenge.opaque {
            out.push_str(", opaque=");
            quote(&mut out, &text(opaque)?);
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests;

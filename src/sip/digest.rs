//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760): challenges and credentials, read and written, and the
//! arithmetic between them. Pure words and sums; who is asked and who may answer is decided in [`call`](crate::call).
//!
//! Known are MD5, SHA-256 and SHA-512-256, with `qop=auth`, and without a qop where an old gateway offers none
//! (RFC 2069, RFC 3261 §22.4). `-sess`, `auth-int` and `userhash` are not: a challenge that insists on one of them can't
//! be answered.

use std::borrow::Cow;
use std::fmt;

use arrayvec::ArrayString;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use subtle::{Choice, ConstantTimeEq};

use super::header::{Name, is_token, trim};
use super::lexer::Head;
use crate::base::limits::CHALLENGE_BYTES_MAX;

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

/// A parameter's text as it stood, without the quotes around it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// As written, with its escapes: what is given back.
    pub const fn raw(self) -> &'a [u8] {
        self.0
    }

    /// What it means: a `\` says that the next byte stands for itself (RFC 3261 §25.1).
    pub fn plain(self) -> Cow<'a, [u8]> {
        if !self.0.contains(&b'\\') {
            return Cow::Borrowed(self.0);
        }
        let mut plain = Vec::with_capacity(self.0.len());
        let mut is_escaped = false;
        for byte in self.0 {
            is_escaped = !is_escaped && *byte == b'\\';
            if !is_escaped {
                plain.push(*byte);
            }
        }
        Cow::Owned(plain)
    }
}

impl fmt::Debug for Text<'_> {
    /// Says nothing: a user's name may be a phone number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(…)")
    }
}

/// Writes a text between quotes. What can't stand there, controls and with them a line's end, is left out.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

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

/// The parameters of one challenge or one set of credentials, as far as we know them. One that stands twice makes the
/// whole set unreadable: who reads the first and who the last would differ.
#[derive(Clone, Copy, Default)]
struct Fields<'a> {
    realm: Option<Text<'a>>,
    nonce: Option<Text<'a>>,
    opaque: Option<Text<'a>>,
    algorithm: Option<Text<'a>>,
    qop: Option<Text<'a>>,
    stale: Option<Text<'a>>,
    username: Option<Text<'a>>,
    uri: Option<Text<'a>>,
    response: Option<Text<'a>>,
    cnonce: Option<Text<'a>>,
    nc: Option<Text<'a>>,
}

impl<'a> Fields<'a> {
    /// Takes one parameter in. `None`: it is there already.
    fn take(&mut self, name: &[u8], value: Text<'a>) -> Option<()> {
        let places: [(&[u8], &mut Option<Text<'a>>); 11] = [
            (b"realm", &mut self.realm),
            (b"nonce", &mut self.nonce),
            (b"opaque", &mut self.opaque),
            (b"algorithm", &mut self.algorithm),
            (b"qop", &mut self.qop),
            (b"stale", &mut self.stale),
            (b"username", &mut self.username),
            (b"uri", &mut self.uri),
            (b"response", &mut self.response),
            (b"cnonce", &mut self.cnonce),
            (b"nc", &mut self.nc),
        ];
        let place = places
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        match place {
            // RFC 7616 §3.3: what we don't know is ignored.
            None => Some(()),
            Some((_, place)) if place.is_none() => {
                *place = Some(value);
                Some(())
            }
            Some(_) => None,
        }
    }
}

/// The sets of Digest parameters in one header line. Several challenges may share one (RFC 9110 §11.6.1), though RFC
/// 3261 §7.3.1 gives each a line of its own. What isn't understood ends the line: nothing after it is believed.
struct Sets<'a> {
    rest: &'a [u8],
}

impl<'a> Sets<'a> {
    const fn of(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    /// One set, from its scheme up to the next one's. `None`: what comes is no set, or the line is over.
    fn set(&mut self) -> Option<(bool, Fields<'a>)> {
        let (scheme, rest) = token(self.rest)?;
        let is_digest = scheme.eq_ignore_ascii_case(b"Digest");
        self.rest = rest;
        let mut fields = Fields::default();
        loop {
            let (name, rest) = token(self.rest)?;
            let Some(rest) = trim(rest).strip_prefix(b"=") else {
                // No parameter: the next scheme begins.
                return Some((is_digest, fields));
            };
            let (value, rest) = value(rest)?;
            if is_digest {
                fields.take(name, value)?;
            }
            let rest = trim(rest);
            self.rest = rest.strip_prefix(b",").unwrap_or(rest);
            if rest.is_empty() {
                return Some((is_digest, fields));
            }
            if self.rest.len() == rest.len() {
                return None;
            }
        }
    }
}

impl<'a> Iterator for Sets<'a> {
    type Item = Fields<'a>;

    fn next(&mut self) -> Option<Fields<'a>> {
        loop {
            let Some((is_digest, fields)) = self.set() else {
                self.rest = &[];
                return None;
            };
            if is_digest {
                return Some(fields);
            }
        }
    }
}

/// A token, and what follows it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = trim(text);
    let end = text
        .iter()
        .position(|byte| !is_token(&[*byte]))
        .unwrap_or(text.len());
    text.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// A parameter's value, quoted or not, and what follows it.
fn value(text: &[u8]) -> Option<(Text<'_>, &[u8])> {
    let text = trim(text);
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let ends = |byte: &u8| matches!(byte, b',' | b'"' | b' ' | b'\t' | b'\r' | b'\n');
        let end = text.iter().position(ends).unwrap_or(text.len());
        let (value, rest) = text
            .split_at_checked(end)
            .filter(|(value, _)| !value.is_empty())?;
        return Some((Text(value), rest));
    };
    let mut is_escaped = false;
    let end = quoted.iter().position(|byte| {
        let is_end = !is_escaped && *byte == b'"';
        is_escaped = !is_escaped && *byte == b'\\';
        is_end
    })?;
    let (value, rest) = quoted.split_at_checked(end)?;
    Some((Text(value), rest.get(1..)?))
}

#[cfg(test)]
mod tests;

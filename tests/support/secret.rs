//! Digest authentication as a phone sees it: what Umbra proves to it, and what it proves to Umbra. By a few lines of our
//! own: the server's reader and sums are not used here.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use super::text::Msg;

/// What the trunk's conf says of us, where a play's setup has `credentials=own`.
pub const REALM: &str = "carrier.example";
/// Who we are there.
pub const USER: &str = "umbra";
/// Our password.
pub const PASSWORD: &str = "open \"sesame\"";

/// The realm in which Umbra asks callers for a password, where a play's setup has `auth=…`.
pub const OUR_REALM: &str = "umbra.example";
/// Who may call there.
pub const THEIR_USER: &str = "pbx";
/// With this password.
pub const THEIR_PASSWORD: &str = "hush hush";

fn hash(algorithm: &str, text: &str) -> String {
    let bytes = match algorithm {
        "MD5" => Md5::digest(text).to_vec(),
        "SHA-256" => Sha256::digest(text).to_vec(),
        "SHA-512-256" => Sha512_256::digest(text).to_vec(),
        other => panic!("no hash is called {other}"),
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A parameter's value, without quotes and escapes.
fn param(header: &str, name: &str) -> Option<String> {
    let mut rest = header.strip_prefix("Digest ")?;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut chars = quoted.char_indices();
                let end = loop {
                    match chars.next()? {
                        (_, '\\') => value.push(chars.next()?.1),
                        (at, '"') => break at,
                        (_, c) => value.push(c),
                    }
                };
                (value, &quoted[end + 1..])
            }
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after.trim_start().strip_prefix(',')?;
    }
}

/// The response of RFC 7616 §3.4.1.
fn response(
    algorithm: &str,
    who: [&str; 3],
    nonce: &str,
    auth: Option<[&str; 2]>,
    what: [&str; 2],
) -> String {
    let a1 = hash(algorithm, &who.join(":"));
    let a2 = hash(algorithm, &what.join(":"));
    match auth {
        Some([nc, cnonce]) => hash(algorithm, &[&a1, nonce, nc, cnonce, "auth", &a2].join(":")),
        None => hash(algorithm, &[&a1, nonce, &a2].join(":")),
    }
}

/// The credentials of a request.
fn given(msg: &Msg) -> Vec<&str> {
    ["Authorization", "Proxy-Authorization"]
        .into_iter()
        .flat_map(|name| msg.all(name))
        .collect()
}

/// Holds the credentials of an ACK against those of the INVITE that came here (RFC 3261 §13.2.2.4).
///
/// # Errors
/// Credentials that this phone hasn't had.
pub fn check_ack(ack: &Msg, invite: Option<&Msg>) -> Result<(), String> {
    let (theirs, before) = (given(ack), invite.map(given).unwrap_or_default());
    if theirs.is_empty() || theirs == before {
        Ok(())
    } else {
        Err(format!("an ACK with {theirs:?} for an INVITE with {before:?}"))
    }
}

/// Holds what a request of Umbra's proves against what it may prove to whom.
///
/// # Errors
/// Credentials where none belong, or that are wrong.
pub fn check(msg: &Msg) -> Result<(), String> {
    let all = given(msg);
    let [given] = all[..] else {
        return match all.len() {
            0 => Ok(()),
            many => Err(format!("{many} sets of credentials")),
        };
    };
    let begins = matches!(msg.method(), "INVITE" | "REGISTER" | "OPTIONS") && msg.tag("To").is_none();
    if !begins {
        return Err(format!(
            "credentials in a {} within a call (CVE-2021-41158)",
            msg.method()
        ));
    }
    let part = |name| param(given, name).ok_or_else(|| format!("credentials without {name}: {given}"));
    if (part("realm")?.as_str(), part("username")?.as_str()) != (REALM, USER) {
        return Err(format!("credentials of somebody else: {given}"));
    }
    if part("uri")? != msg.uri() {
        return Err(format!("credentials for another URI than {}: {given}", msg.uri()));
    }
    let algorithm = param(given, "algorithm").unwrap_or("MD5".into());
    let (nc, cnonce) = (param(given, "nc"), param(given, "cnonce"));
    let auth = match (param(given, "qop").as_deref(), &nc, &cnonce) {
        (None, None, None) => None,
        (Some("auth"), Some(nc), Some(cnonce)) if nc.len() == 8 => Some([nc.as_str(), cnonce.as_str()]),
        _ => return Err(format!("qop, nc and cnonce don't go together: {given}")),
    };
    let right = response(
        &algorithm,
        [USER, REALM, PASSWORD],
        &part("nonce")?,
        auth,
        [msg.method(), msg.uri()],
    );
    if part("response")? == right {
        Ok(())
    } else {
        Err(format!("the response is not {right}: {given}"))
    }
}

/// What a phone proves: the header line for a request to `uri`, in answer to the strongest that it knows of `challenged`'s
/// challenges.
pub fn prove(
    challenged: &Msg,
    method: &str,
    uri: &str,
    user: &str,
    password: &str,
    nc: u32,
) -> Option<String> {
    let (asks, gives) = match challenged.status()? {
        401 => ("WWW-Authenticate", "Authorization"),
        407 => ("Proxy-Authenticate", "Proxy-Authorization"),
        _ => return None,
    };
    let known = ["SHA-512-256", "SHA-256", "MD5"];
    let of = |challenge: &str| param(challenge, "algorithm").unwrap_or("MD5".into());
    let challenge = known
        .iter()
        .find_map(|known| challenged.all(asks).find(|challenge| of(challenge) == *known))?;
    let (realm, nonce, algorithm) = (
        param(challenge, "realm")?,
        param(challenge, "nonce")?,
        of(challenge),
    );
    let nc = format!("{nc:08x}");
    let response = response(
        &algorithm,
        [user, &realm, password],
        &nonce,
        Some([&nc, "xyz"]),
        [method, uri],
    );
    Some(format!(
        "{gives}: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", algorithm={algorithm}, qop=auth, nc={nc}, cnonce=\"xyz\""
    ))
}

//! Passwords in trunk files: written there, in a file of their own, or in the environment. Nothing of them is shown by a
//! fault, and only their hashes are kept.

use std::path::Path;

use super::reader::{Section, one_of, word};
use super::reading::small_file;
use crate::base::limits::{SECRET_BYTES_MAX, TRUNK_USERS_MAX};
use crate::call::trunk::secret::{Credentials, Demand, Secret, User};
use crate::sip::digest::{Algorithm, Asker, Ha1};

/// Where a user's password stands: exactly one of them, or the hashes.
const PASSWORDS: [&str; 3] = ["password", "password_file", "password_env"];
/// The hashes in place of a password.
const HASHES: [(&str, Algorithm); 3] = [
    ("ha1_md5", Algorithm::Md5),
    ("ha1_sha256", Algorithm::Sha256),
    ("ha1_sha512_256", Algorithm::Sha512_256),
];
const CREDENTIALS: [&str; 8] = [
    "realm",
    "user",
    PASSWORDS[0],
    PASSWORDS[1],
    PASSWORDS[2],
    HASHES[0].0,
    HASHES[1].0,
    HASHES[2].0,
];

/// `credentials = {…}`: what a trunk's gateways know us by. An empty table is none.
pub(super) fn credentials(trunk: &Section<'_>) -> Option<Credentials> {
    trunk.hide("credentials");
    let section = trunk.section("credentials", "credentials", &CREDENTIALS);
    if section.is_empty() {
        return None;
    }
    let realm = named(
        &section,
        "realm",
        "as its 401 or 407 names it: realm = \"carrier.example\"",
    );
    let user = named(
        &section,
        "user",
        "under which the carrier knows us: user = \"umbra\"",
    );
    let secret = secret(&section, user.as_deref(), realm.as_deref());
    Some(Credentials {
        realm: realm?,
        user: user?,
        secret: secret?,
    })
}

/// A text that has to be there.
fn named(section: &Section<'_>, key: &str, cure: &str) -> Option<Box<str>> {
    let text = section.text(key).map(|at| at.value).unwrap_or_default();
    if text.is_empty() || text.chars().any(char::is_control) || text.len() > SECRET_BYTES_MAX {
        section.fault(key, format!("write the {key}, {cure}"));
        return None;
    }
    Some(text.into())
}

/// A user's password in a realm. Without one of these, whose fault stands already, nothing is hashed.
pub(super) fn secret(section: &Section<'_>, user: Option<&str>, realm: Option<&str>) -> Option<Secret> {
    let ways = PASSWORDS.iter().filter(|key| section.has(key)).count();
    let hashes = HASHES.iter().filter(|(key, _)| section.has(key)).count();
    if ways + usize::from(hashes > 0) != 1 {
        section.fault(
            PASSWORDS[0],
            "write one of password, password_file and password_env, or hashes of it (ha1_md5, ha1_sha256, ha1_sha512_256)",
        );
        return None;
    }
    if hashes > 0 {
        return HASHES.iter().filter(|(key, _)| section.has(key)).try_fold(
            Secret::default(),
            |secret, (key, algorithm)| {
                let ha1 = section
                    .text(key)
                    .and_then(|at| Ha1::from_hex(*algorithm, at.value));
                if ha1.is_none() {
                    section.fault(
                        key,
                        format!(
                            "write the {} hash of user:realm:password, in {} hexadecimal digits",
                            algorithm.name(),
                            algorithm.digits()
                        ),
                    );
                }
                Some(secret.with(*algorithm, ha1?))
            },
        );
    }
    let password = PASSWORDS.iter().find_map(|key| password(section, key))?;
    Some(Secret::of_password(user?, realm?, &password))
}

/// A password that needn't be there: what one of `password`, `password_file` and `password_env` says; "" is none.
pub(super) fn optional(section: &Section<'_>) -> Option<String> {
    let is_said = |key: &&str| section.text(key).is_some_and(|at| !at.value.is_empty());
    let mut said = PASSWORDS.iter().filter(|key| is_said(key));
    let key = said.next()?;
    if let Some(another) = said.next() {
        section.fault(another, format!("write {key} or {another}, not both"));
    }
    password(section, key)
}

/// The password that one of the keys names; whatever is wrong with it is said without it.
fn password(section: &Section<'_>, key: &str) -> Option<String> {
    let at = section.text(key)?;
    let found = match key {
        // With the end of its line.
        "password_file" => small_file(Path::new(at.value), SECRET_BYTES_MAX as u64 + 2)
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| format!("the file can't be read: {error}")),
        "password_env" => std::env::var(at.value)
            .map_err(|_| "the environment has no variable of this name, or no text in it".to_owned()),
        _ => Ok(at.value.to_owned()),
    };
    let fitting = found.and_then(|text| {
        if text.is_empty() || text.len() > SECRET_BYTES_MAX {
            Err(format!("the password is empty, or over {SECRET_BYTES_MAX} bytes"))
        } else {
            Ok(text)
        }
    });
    match fitting {
        Ok(text) => Some(text),
        Err(cure) => {
            section.fault(key, cure);
            None
        }
    }
}

/// Keys of one user in `auth`.
const USER: [&str; 7] = [
    "user",
    PASSWORDS[0],
    PASSWORDS[1],
    PASSWORDS[2],
    HASHES[0].0,
    HASHES[1].0,
    HASHES[2].0,
];
const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("md5", Algorithm::Md5),
    ("sha-256", Algorithm::Sha256),
    ("sha-512-256", Algorithm::Sha512_256),
];

/// `auth = [{…}]` and the keys beside it: what callers on a trunk have to prove. An empty list is nothing.
pub(super) fn demand(trunk: &Section<'_>) -> Option<Demand> {
    trunk.hide("auth");
    let realm = trunk.parsed("auth_realm", "sip".to_owned(), |text| {
        let is_plain =
            !text.is_empty() && text.len() <= SECRET_BYTES_MAX && !text.chars().any(char::is_control);
        is_plain
            .then(|| text.to_owned())
            .ok_or_else(|| "write the name of the realm: \"umbra.example\"".to_owned())
    });
    let asker = match trunk.integer("auth_status", 401..=407, 401) {
        401 => Asker::Server,
        407 => Asker::Proxy,
        _ => {
            trunk.fault("auth_status", "write 401 or 407");
            Asker::Server
        }
    };
    let users = users(trunk, &realm);
    let has_hash = |algorithm: &Algorithm| users.iter().all(|user| user.secret.ha1(*algorithm).is_some());
    let named = algorithms(trunk);
    if users.is_empty() {
        return None;
    }
    let algorithms = match named {
        Some(named) => {
            if let Some(lacking) = named.iter().find(|algorithm| !has_hash(algorithm)) {
                trunk.fault(
                    "auth_algorithms",
                    format!(
                        "a user of auth has no {} hash: write it, or leave it out here",
                        lacking.name()
                    ),
                );
            }
            named
        }
        None => {
            let usual = [Algorithm::Sha256, Algorithm::Md5, Algorithm::Sha512_256];
            usual.into_iter().filter(has_hash).take(2).collect()
        }
    };
    if algorithms.is_empty() {
        trunk.fault(
            "auth",
            "its users have no kind of hash in common: write their passwords, or the same kind for all",
        );
        return None;
    }
    Some(Demand {
        realm: realm.into(),
        asker,
        algorithms,
        users,
    })
}

fn users(trunk: &Section<'_>, realm: &str) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for section in trunk.sections("auth", &USER) {
        let name = named(&section, "user", "under which calls come in: user = \"pbx\"");
        let secret = secret(&section, name.as_deref(), Some(realm));
        if users.iter().any(|user| Some(&user.name) == name.as_ref()) {
            section.fault("user", "another user of the trunk has this name");
        }
        if users.len() == TRUNK_USERS_MAX {
            trunk.fault("auth", format!("too many users: at most {TRUNK_USERS_MAX}"));
            break;
        }
        if let (Some(name), Some(secret)) = (name, secret) {
            users.push(User { name, secret });
        }
    }
    users
}

/// The hashes that are asked for, in order, if the conf names them.
fn algorithms(trunk: &Section<'_>) -> Option<Vec<Algorithm>> {
    trunk.texts("auth_algorithms")?;
    let mut seen = Vec::new();
    let read = trunk.list("auth_algorithms", Vec::new(), |text| {
        let algorithm = word(text, &ALGORITHMS).ok_or_else(|| format!("write {}", one_of(&ALGORITHMS)))?;
        if seen.contains(&algorithm) {
            return Err("named twice: take one away".into());
        }
        seen.push(algorithm);
        Ok(algorithm)
    });
    (!read.is_empty()).then_some(read)
}

//! Passwords in trunk files: written there, in a file of their own, or in the environment. Nothing of them is shown by a
//! fault, and only their hashes are kept.

use super::reader::Section;
use crate::base::limits::SECRET_BYTES_MAX;
use crate::call::trunk::secret::{Credentials, Secret};
use crate::sip::digest::{Algorithm, Ha1};

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

/// The password that one of the keys names; whatever is wrong with it is said without it.
fn password(section: &Section<'_>, key: &str) -> Option<String> {
    let at = section.text(key)?;
    let found = match key {
        "password_file" => std::fs::read_to_string(at.value)
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

//! `register = {…}` of a trunk: under what address its gateway is to know us.

use super::reader::Section;
use crate::base::limits::{NAME_BYTES_MAX, REGISTER_EXPIRES, REGISTER_EXPIRES_S};
use crate::call::trunk::Trunk;
use crate::call::trunk::register::Register;

/// Reads it. An empty table is none.
pub(super) fn read(section: &Section<'_>, trunk: &Trunk) -> Option<Register> {
    let keys = ["user", "domain", "contact_user", "expires_s"];
    let register = section.section("register", "register", &keys);
    if register.is_empty() {
        return None;
    }
    if trunk.gateways.is_empty() {
        section.fault(
            "register",
            "the trunk has no gateways: the first one is whom we register with",
        );
    }
    let known = trunk.credentials.as_ref().map(|credentials| &*credentials.user);
    let user = register.parsed("user", None, |text| user_part(text).map(Some));
    let user = user.or_else(|| known.filter(|user| user_part(user).is_ok()).map(Into::into));
    if user.is_none() {
        section.fault("register", "write whom we register: user = \"umbra\"");
    }
    let domain = register.parsed("domain", None, |text| host(text).map(Some));
    let contact_user = register.parsed("contact_user", None, |text| user_part(text).map(Some));
    let expires_s = register.integer("expires_s", REGISTER_EXPIRES, REGISTER_EXPIRES_S);
    let user: Box<str> = user?;
    Some(Register {
        contact_user: contact_user.unwrap_or_else(|| user.clone()),
        user,
        domain,
        expires_s,
    })
}

/// What stands before the @ of a SIP URI without escapes (RFC 3261 §25.1).
fn user_part(text: &str) -> Result<Box<str>, String> {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,?/".contains(&c);
    if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.into())
    } else {
        Err("write what stands before the @: letters, digits and signs like - _ . +".into())
    }
}

/// A domain, or an address and perhaps a port.
fn host(text: &str) -> Result<Box<str>, String> {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-.:[]".contains(&c);
    if (1..=255).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.into())
    } else {
        Err("write what stands behind the @: \"carrier.example\"".into())
    }
}

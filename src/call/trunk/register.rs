//! How a trunk wants us registered with its gateway.

/// What `register = {…}` says (RFC 3261 §10.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// The user of the address that is registered.
    pub user: Box<str>,
    /// Its domain; `None`: the gateway's address.
    pub domain: Option<Box<str>>,
    /// The user of the Contact, which calls to us then have in their Request-URI.
    pub contact_user: Box<str>,
    /// How long a registration is asked for, in seconds.
    pub expires_s: u32,
}

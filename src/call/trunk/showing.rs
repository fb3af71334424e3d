//! How the number that a called party sees is written towards a trunk (RFC 3261 §8.1.1.3, RFC 3323, RFC 3325).

/// Where the shown number stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ShowIn {
    /// In From and in P-Asserted-Identity.
    #[default]
    Both,
    /// In From alone; there is no P-Asserted-Identity.
    From,
    /// In P-Asserted-Identity alone; From names the trunk's account, or our host.
    Pai,
}

/// Whether URIs that name a number say so (RFC 3261 §19.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UserParam {
    /// They don't.
    #[default]
    None,
    /// By `;user=phone`.
    Phone,
}

/// How the shown number is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Showing {
    /// Where.
    pub show_in: ShowIn,
    /// What From's user is where the number stands in P-Asserted-Identity alone; empty: there is none.
    pub from_user: Box<str>,
    /// The host of From and of P-Asserted-Identity; empty: our address.
    pub domain: Box<str>,
    /// Whether URIs say that they name a number.
    pub user: UserParam,
    /// Privacy's value where no number is shown (RFC 3323 §4.2); empty: there is no such header.
    pub privacy: Box<str>,
}

impl Default for Showing {
    fn default() -> Self {
        Self {
            show_in: ShowIn::default(),
            from_user: "".into(),
            domain: "".into(),
            user: UserParam::default(),
            privacy: "id".into(),
        }
    }
}

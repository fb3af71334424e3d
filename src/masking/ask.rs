//! X mode: nobody is bound; the customer's server is asked whom a caller reaches, each time.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::binding::Terms;
use super::inventory::Number;
use crate::base::number::{RealNumber, Tel};
use crate::base::time::Wall;
use crate::base::url::HttpUrl;

/// A customer's server, as its pool names it.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it is asked.
    pub url: HttpUrl,
    /// What signs the questions. Until there is one, nobody is asked: an export doesn't hold it, so that an import comes
    /// without.
    pub secret: Option<Secret>,
    /// How it is told real numbers.
    pub numbers: NumbersTold,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url)
            .field("numbers", &self.numbers)
            .finish_non_exhaustive()
    }
}

/// A secret that we share with a customer. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// This text as a secret.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for signing and for the store.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How real numbers are written in what a customer's server is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumbersTold {
    /// Not at all.
    None,
    /// `138****0001`.
    Masked,
    /// In full: most servers can't say whom a caller reaches without knowing who calls.
    #[default]
    Full,
}

impl NumbersTold {
    /// Every way, by its name in requests and listings.
    pub const NAMES: [(&str, Self); 3] = [
        ("none", Self::None),
        ("masked", Self::Masked),
        ("full", Self::Full),
    ];

    /// The name in requests and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Masked => "masked",
            Self::Full => "full",
        }
    }
}

/// Whom does this caller reach? Only [`route`](super::route::route) asks it; its answer is judged by
/// [`advised`](super::route::advised), as of the attempt's arrival.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub(super) server: Arc<Server>,
    pub(super) number: Arc<Number>,
    pub(super) calling: Option<RealNumber>,
    pub(super) arrived: Wall,
}

impl Question {
    /// Who is asked.
    pub const fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The number that was dialled.
    pub const fn number(&self) -> &Arc<Number> {
        &self.number
    }

    /// Who calls, if he has an identity.
    pub const fn calling(&self) -> Option<RealNumber> {
        self.calling
    }

    /// When he called.
    pub const fn arrived(&self) -> Wall {
        self.arrived
    }
}

/// Whom the customer's server names, and what it asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// Whom to call.
    pub to: Tel,
    /// The terms of the call.
    pub terms: Terms,
}

/// Why a named party isn't called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadName {
    /// It is a number of ours: the call would come back.
    OwnNumber,
    /// It is the caller himself.
    SelfCall,
    /// It is an emergency number, which nobody is connected to by somebody else's wish.
    Emergency,
    /// The terms are out of their bounds.
    Terms,
}

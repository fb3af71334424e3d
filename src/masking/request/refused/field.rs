//! The fields of a request, as a refusal names them, and what each may hold.

use crate::masking::binding::Party;

/// A field of a request, as API and CLI name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// `x`
    X,
    /// `y`
    Y,
    /// `a`
    A,
    /// `b`
    B,
    /// `to`
    To,
    /// `ttl_s`
    Ttl,
    /// `pool`
    Pool,
    /// `account`
    Account,
    /// `name`
    Name,
    /// `mode`
    Mode,
    /// `trunks`
    Trunks,
    /// `id`
    Id,
    /// `created_at`
    CreatedAt,
    /// `expires_at`
    ExpiresAt,
    /// `max_duration_s`
    MaxDuration,
    /// `ring_timeout_s`
    RingTimeout,
    /// `order_id`
    OrderId,
    /// `user_data`
    UserData,
    /// `waiting_caller`
    WaitingCaller,
    /// `waiting_callee`
    WaitingCallee,
    /// `whisper`
    Whisper,
    /// `question`
    Question,
    /// `question_loops`
    QuestionLoops,
    /// `axb_pairs_per_x`
    PairsPerX,
    /// `relations_per_y`
    RelationsPerY,
    /// `calls_per_x`
    CallsPerX,
    /// `calls_per_caller`
    CallsPerCaller,
    /// `city`, `fallback_cities`
    City,
    /// `operator`
    Operator,
    /// `tags`
    Tags,
    /// `quarantine`
    Quarantine,
    /// `free_low_percent`
    FreeLow,
    /// `x_per_a`
    XPerA,
    /// `expiry_max_s`
    ExpiryMax,
    /// `ask_url`
    AskUrl,
    /// `ask_secret`
    AskSecret,
    /// `group`
    Group,
    /// `groups`
    Groups,
    /// `numbers`
    Numbers,
    /// `default`
    Default,
    /// `ring`
    Ring,
    /// `display`
    Display,
    /// `menu`
    Menu,
    /// `extension`
    Extension,
    /// `callback`
    Callback,
    /// `extension_width`
    ExtensionWidth,
    /// `extensions_per_x`
    ExtensionsPerX,
    /// `last_kept_s`
    LastKept,
}

impl Field {
    /// The name in requests and errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X => "x",
            Self::Y => "y",
            Self::A => "a",
            Self::B => "b",
            Self::To => "to",
            Self::Ttl => "ttl_s",
            Self::Pool => "pool",
            Self::Account => "account",
            Self::Name => "name",
            Self::Mode => "mode",
            Self::Trunks => "trunks",
            Self::Id => "id",
            Self::CreatedAt => "created_at",
            Self::ExpiresAt => "expires_at",
            Self::MaxDuration => "max_duration_s",
            Self::RingTimeout => "ring_timeout_s",
            Self::OrderId => "order_id",
            Self::UserData => "user_data",
            Self::WaitingCaller => "waiting_caller",
            Self::WaitingCallee => "waiting_callee",
            Self::Whisper => "whisper",
            Self::Question => "question",
            Self::QuestionLoops => "question_loops",
            Self::PairsPerX => "axb_pairs_per_x",
            Self::RelationsPerY => "relations_per_y",
            Self::CallsPerX => "calls_per_x",
            Self::CallsPerCaller => "calls_per_caller",
            Self::City => "city",
            Self::Operator => "operator",
            Self::Tags => "tags",
            Self::Quarantine => "quarantine",
            Self::FreeLow => "free_low_percent",
            Self::XPerA => "x_per_a",
            Self::ExpiryMax => "expiry_max_s",
            Self::AskUrl => "ask_url",
            Self::AskSecret => "ask_secret",
            Self::Group => "group",
            Self::Groups => "groups",
            Self::Numbers => "numbers",
            Self::Default => "default",
            Self::Ring => "ring",
            Self::Display => "display",
            Self::Menu => "menu",
            Self::Extension => "extension",
            Self::Callback => "callback",
            Self::ExtensionWidth => "extension_width",
            Self::ExtensionsPerX => "extensions_per_x",
            Self::LastKept => "last_kept_s",
        }
    }

    /// What the field may hold.
    pub(super) const fn range(self) -> &'static str {
        match self {
            Self::X | Self::Y | Self::A | Self::B | Self::To => "a number",
            Self::Callback => "a number that is neither a's nor one of this server",
            Self::Ttl => "1 second to 1 hour",
            Self::Pool | Self::Account | Self::Mode => "a name that exists",
            Self::Name => "1 to 64 bytes without control characters, and for a pool no FC and 15 digits",
            Self::Trunks => "at most 16 names of 1 to 64 bytes",
            Self::Id => "an id that no other binding has",
            Self::CreatedAt => "a time that has been",
            Self::ExpiresAt => "at least one minute ahead",
            Self::MaxDuration => "1 minute to 24 hours",
            Self::RingTimeout => "5 to 180 seconds",
            Self::OrderId => "at most 64 bytes",
            Self::UserData => "at most 256 bytes",
            Self::QuestionLoops => "1 to 5",
            Self::WaitingCaller | Self::WaitingCallee | Self::Whisper | Self::Question => {
                "a prompt's name: 1 to 64 bytes without control characters"
            }
            Self::PairsPerX | Self::RelationsPerY => "1 to 5000",
            Self::CallsPerX | Self::CallsPerCaller => "1 to 100000, or null for any",
            Self::City => "1 to 64 bytes without control characters, and at most 16 to fall back on",
            Self::Operator => "1 to 64 bytes without control characters",
            Self::Tags => "at most 16 of 1 to 64 bytes without control characters",
            Self::Quarantine => "soft or hard, for at most 365 days",
            Self::FreeLow => "0 to 100",
            Self::XPerA => "1 to 1000",
            Self::ExpiryMax => "at least one minute",
            Self::AskUrl => {
                "the http or https URL of a customer's server, of a pool of mode x; null takes it away"
            }
            Self::AskSecret => "16 to 256 bytes",
            Self::Group => "the id of a group",
            Self::Groups => "records of groups",
            Self::Numbers => "1 to 200 numbers",
            Self::Default => "a member of the group",
            Self::Ring => "1 to 10 other numbers, no emergency ones, that ring 5 to 20 seconds each",
            Self::Display => "a number",
            Self::Menu => "a prompt and 1 to 20 answers, with the numbers that each leads to",
            Self::Extension => "as many digits as its pool says, not all of them zero",
            Self::ExtensionWidth => "1 to 4",
            Self::ExtensionsPerX => "1 to 9999",
            Self::LastKept => "1 second to 30 days",
        }
    }
}

impl From<Party> for Field {
    fn from(party: Party) -> Self {
        match party {
            Party::A => Self::A,
            Party::B => Self::B,
            Party::N => Self::X,
            Party::Member => Self::Group,
        }
    }
}

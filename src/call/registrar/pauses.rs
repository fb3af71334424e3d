//! When the next REGISTER goes out.

use std::time::Duration;

use crate::base::chance::Chance;
use crate::base::limits::{
    REGISTER_PAUSE, REGISTER_PAUSE_MAX, REGISTER_REFRESH_MIN, REGISTER_RETRY_AFTER_MAX,
};
use crate::sip::header::{Name, decimal};
use crate::sip::lexer::Head;

/// When a registration is refreshed: between 65 and 75 hundredths of its time, so that there is time to try again, and
/// many servers don't come at once. Who grants less than a few seconds isn't asked any oftener for that.
pub(super) fn refresh_after(granted: Duration, chance: &mut Chance) -> Duration {
    (granted * (650 + chance.below(101)) / 1_000).max(REGISTER_REFRESH_MIN)
}

/// The pause after so many failures: doubling, and between half and all of it, so that many don't come at once
/// (as RFC 5626 §4.5 has it for flows).
pub(super) fn pause(failures: u32, chance: &mut Chance) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let whole = REGISTER_PAUSE.saturating_mul(doubled).min(REGISTER_PAUSE_MAX);
    whole * (500 + chance.below(501)) / 1_000
}

/// What a refusal says of when to come again (RFC 3261 §20.33).
pub(super) fn retry_after(response: &Head<'_>) -> Duration {
    let value = response.get(Name::RetryAfter).unwrap_or_default();
    let end = value.iter().position(|byte| !byte.is_ascii_digit());
    let digits = value.get(..end.unwrap_or(value.len())).unwrap_or_default();
    let seconds = decimal(digits, u32::MAX).unwrap_or(0);
    Duration::from_secs(seconds.into()).min(REGISTER_RETRY_AFTER_MAX)
}

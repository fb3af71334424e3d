//! Our certificates: how long they last. Whether a gateway takes them, and shows a right one, its OPTIONS tell.

use std::time::{Duration, SystemTime};

use super::Finding;
use crate::base::limits::TLS_ENDS_SOON;
use crate::base::time::Wall;
use crate::transport::tls::{Shown, Terms};

const CURE: &str = "put the new one in its place, then `umbra reload`: calls go on";

/// How our certificates are.
pub(super) fn certificates(terms: &Terms) -> Vec<Finding> {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let now = Wall::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    terms.shown().iter().map(|shown| one(shown, now)).collect()
}

fn one(shown: &Shown, now: Wall) -> Finding {
    let file = shown.file.display();
    let Some(ends) = shown.ends_at else {
        return Finding::warn("tls", format!("{file} doesn't say when it ends"), CURE);
    };
    let names = match shown.names.as_slice() {
        [] => "no name: gateways that look at names refuse it".to_owned(),
        names => names.join(", "),
    };
    let left = ends.since(now);
    let days = left.as_secs() / 86_400;
    if left == Duration::ZERO {
        Finding::fail("tls", format!("{file} ended {ends}"), CURE)
    } else if left < TLS_ENDS_SOON {
        Finding::warn("tls", format!("{file} ends in {days} days, {ends}"), CURE)
    } else {
        Finding::ok("tls", format!("{file} ends in {days} days; it is for {names}"))
    }
}

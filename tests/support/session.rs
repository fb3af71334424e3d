//! What RFC 4028 says of session timers, held against every message that a phone gets.

use std::collections::HashMap;

use super::text::{Msg, param};

/// The shortest interval of all (§4, §5).
const FLOOR_S: u64 = 90;

/// Who listens.
#[derive(Debug, Default)]
pub struct Sessions {
    /// What phones asked for, by Call-ID, CSeq and method.
    asked: HashMap<(String, u32, String), Asked>,
    /// What phones have let know of themselves, by Call-ID.
    known: HashMap<String, Known>,
}

#[derive(Clone, Debug, Default)]
struct Asked {
    supports: bool,
    interval: Option<u64>,
    refresher: Option<String>,
    min: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    supports: bool,
    /// The largest Min-SE that it asked with.
    min: u64,
}

fn lists_timer(msg: &Msg, header: &str) -> bool {
    msg.all(header)
        .flat_map(|line| line.split(','))
        .any(|tag| tag.trim().eq_ignore_ascii_case("timer"))
}

/// The one value of a header, in seconds; `Err` if it can't be that.
fn seconds(msg: &Msg, header: &str) -> Result<Option<u64>, String> {
    let mut lines = msg.all(header);
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(format!("{header} stands there twice"));
    }
    let number = line.split(';').next().unwrap_or("").trim();
    number.parse().map(Some).map_err(|_| format!("{header}: {line}"))
}

fn refresher(msg: &Msg) -> Option<&str> {
    param(msg.get("Session-Expires")?, "refresher")
}

impl Sessions {
    /// A phone says this.
    pub fn said(&mut self, msg: &Msg) {
        let supports = lists_timer(msg, "Supported") || lists_timer(msg, "Require");
        let min = seconds(msg, "Min-SE").unwrap_or(None);
        let known = self.known.entry(msg.call_id().to_owned()).or_default();
        known.supports |= supports;
        if msg.status().is_none() {
            known.min = known.min.max(min.unwrap_or(0));
            let key = (msg.call_id().to_owned(), msg.cseq(), msg.method().to_owned());
            self.asked.insert(
                key,
                Asked {
                    supports,
                    interval: seconds(msg, "Session-Expires").unwrap_or(None),
                    refresher: refresher(msg).map(str::to_owned),
                    min,
                },
            );
        }
    }

    /// What is wrong with a message of Umbra's.
    pub fn heard(&self, msg: &Msg) -> Option<String> {
        self.check(msg).err()
    }

    fn check(&self, msg: &Msg) -> Result<(), String> {
        let interval = seconds(msg, "Session-Expires")?;
        let min = seconds(msg, "Min-SE")?;
        let is_refresh = matches!(msg.method(), "INVITE" | "UPDATE");
        let place = match msg.status() {
            None => is_refresh,
            Some(status) => is_refresh && (200..300).contains(&status),
        };
        rule(
            interval.is_none() || place,
            "Session-Expires may not be in it (§4)",
        )?;
        let place = match msg.status() {
            None => is_refresh,
            Some(status) => status == 422,
        };
        rule(min.is_none() || place, "Min-SE may not be in it (§5)")?;
        rule(min.is_none_or(|min| min >= FLOOR_S), "Min-SE is below 90 (§5)")?;
        rule(
            interval.is_none_or(|interval| interval >= FLOOR_S),
            "Session-Expires is below 90 (§4)",
        )?;
        match msg.status() {
            None => self.request(msg, interval, min),
            Some(status) => self.response(msg, status, interval, min),
        }
    }

    fn request(&self, msg: &Msg, interval: Option<u64>, min: Option<u64>) -> Result<(), String> {
        let supports = lists_timer(msg, "Supported");
        rule(
            interval.is_none() || supports,
            "it asks for a timer and doesn't support any (§7.1)",
        )?;
        rule(
            !lists_timer(msg, "Require"),
            "it requires what nobody should (§7.1)",
        )?;
        let floor = min.unwrap_or(FLOOR_S);
        rule(
            interval.is_none_or(|interval| interval >= floor),
            "its Session-Expires is below its Min-SE (§7.4)",
        )?;
        let known = self.known.get(msg.call_id()).cloned().unwrap_or_default();
        match refresher(msg) {
            None | Some("uac") => {}
            Some("uas") => rule(known.supports, "it asks to refresh who can't (§7.1)")?,
            Some(other) => return Err(format!("nobody is a refresher={other}")),
        }
        let is_refresh = matches!(msg.method(), "INVITE" | "UPDATE");
        rule(
            !is_refresh || !supports || msg.tag("To").is_none() || min.unwrap_or(0) >= known.min,
            "it has forgotten the Min-SE of its dialog (§7.4)",
        )
    }

    fn response(
        &self,
        msg: &Msg,
        status: u16,
        interval: Option<u64>,
        min: Option<u64>,
    ) -> Result<(), String> {
        let key = (msg.call_id().to_owned(), msg.cseq(), msg.method().to_owned());
        let asked = self.asked.get(&key).cloned().unwrap_or_default();
        if status == 422 {
            let min = min.ok_or("a 422 without Min-SE (§6)")?;
            return rule(
                asked.interval.is_some_and(|interval| interval < min),
                "a 422 for an interval that is long enough (§6)",
            );
        }
        let requires = lists_timer(msg, "Require");
        let Some(interval) = interval else {
            return rule(!requires, "it requires a timer that it hasn't (§9)");
        };
        rule(
            asked.interval.is_none_or(|asked| interval <= asked),
            "it is longer than asked for (§9)",
        )?;
        let floor = asked.min.unwrap_or(0).max(FLOOR_S);
        rule(
            interval >= floor.min(asked.interval.unwrap_or(u64::MAX)),
            "it is shorter than Min-SE (§9)",
        )?;
        let told = refresher(msg).ok_or("no refresher in a 2xx (§9)")?;
        let right = match (asked.supports, asked.refresher.as_deref()) {
            (false, _) => told == "uas",
            (true, None) => matches!(told, "uas" | "uac"),
            (true, Some(wanted)) => told == wanted,
        };
        rule(right, "the refresher isn't in the table (§9)")?;
        rule(
            requires == asked.supports,
            "Require: timer goes with a UAC that has timers (§9)",
        )
    }
}

fn rule(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

//! The lines of a ladder by which somebody hears something: it is waited for, and compared.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::cast::Cue;
use super::super::phone::Extra;
use super::super::text::{Msg, uri_in, user_of};
use super::super::{sdp, witness};
use super::{Play, Stage, duration};

/// Something heard that the play has not got to yet.
pub(super) struct Heard {
    call: usize,
    /// Where it arrived.
    to: SocketAddr,
    pub(super) msg: Msg,
    at: Duration,
    /// The last description before it in the same call.
    before: Option<Vec<u8>>,
}

impl<S: Stage> Play<S> {
    /// Takes note of what happened.
    pub(super) fn note(&mut self, cue: Cue) {
        match cue {
            Cue::Heard {
                phone,
                call,
                msg,
                again,
                to,
            } => {
                let is_direct = !self.cast.stage.setup().has_edge;
                if let Err(why) = self.cast.phones[phone].check(call, &msg, is_direct) {
                    let name = &self.cast.phones[phone].name;
                    self.cast.faults.push(format!("{name}'s {msg:?}: {why}"));
                }
                // A 100 is the edge's own, where there is one.
                if msg.status() == Some(100) && self.cast.stage.setup().has_edge {
                    return;
                }
                let key = (phone, call);
                let before = self.descriptions.get(&key).cloned();
                if !msg.body.is_empty() {
                    self.descriptions.insert(key, msg.body.clone());
                }
                // Another process doesn't know whether the one before heard how it ended, and asks who is left.
                let asked = &self.cast.phones[phone];
                let status = match msg.method() {
                    "BYE" | "CANCEL" if asked.has_left(call, &msg) => Some(481),
                    "OPTIONS" if asked.has_left(call, &msg) || asked.has_hung_up(call, &msg) => Some(481),
                    "OPTIONS" => Some(200),
                    _ => None,
                };
                let status = status.filter(|_| self.restarts > 0 && !again && msg.status().is_none());
                if status.is_some() && msg.method() == "OPTIONS" {
                    self.check_question(key);
                }
                if let Some(status) = status {
                    let now = self.cast.stage.now();
                    let (method, none) = (msg.method(), Extra::default());
                    let answered = self.cast.phones[phone].respond(now, call, status, Some(method), &none);
                    return answered.unwrap_or_default();
                }
                let list = if again { &mut self.again } else { &mut self.new };
                list.entry(phone).or_default().push_back(Heard {
                    call,
                    to,
                    msg,
                    at: self.cast.stage.now(),
                    before,
                });
            }
            Cue::Lost { .. } | Cue::Rtp { .. } => {}
        }
    }

    /// Another process asks only about a call that is silent because it is held, and once.
    fn check_question(&mut self, key: (usize, usize)) {
        let is_held = |body: &Vec<u8>| sdp::read(body).is_some_and(|heard| heard.way != "sendrecv");
        let name = self.cast.phones[key.0].name.clone();
        if !self.descriptions.values().any(is_held) {
            self.cast.faults.push(format!(
                "{name} is asked whether it is there, in a call that isn't held"
            ));
        }
        if self.asked.insert(key, self.restarts) == Some(self.restarts) {
            self.cast
                .faults
                .push(format!("{name} is asked twice whether it is there"));
        }
    }

    pub(super) fn hear(
        &mut self,
        who: &str,
        what: &str,
        options: &[&str],
        more: &[String],
    ) -> Result<(), String> {
        let (phone, call) = self.phone(who)?;
        let (t1, has_edge) = (self.cast.stage.setup().t1, self.cast.stage.setup().has_edge);
        if what == "100" && has_edge {
            return Ok(());
        }
        let again = options.contains(&"again");
        let option = |name: &str| {
            options
                .iter()
                .find_map(|o| o.strip_prefix(name).and_then(|o| o.strip_prefix('=')))
        };
        let within = option("within").and_then(|d| duration(d, t1));
        let deadline = self.since + within.unwrap_or((t1 * 8).max(Duration::from_secs(4)));
        let heard = loop {
            let list = if again { &mut self.again } else { &mut self.new };
            let list = list.entry(phone).or_default();
            // An edge answers a CANCEL by itself, and a final answer to the INVITE may overtake that (RFC 3261 §16.10).
            let is_the_edges = what == "200" && options.contains(&"CANCEL") && has_edge;
            let found = list.iter().position(|h| {
                call.is_none_or(|call| h.call == call) && (!is_the_edges || h.msg.method() == "CANCEL")
            });
            if let Some(heard) = found.and_then(|at| list.remove(at)) {
                break heard;
            }
            match self.cast.step(deadline) {
                Some(cue) => self.note(cue),
                None => return Err(format!("{who} heard nothing until {deadline:?}")),
            }
        };
        self.current.insert(phone, heard.call);
        let whole = format!(
            "{}\n{:?}\n{}",
            heard.msg.start,
            heard.msg.headers,
            String::from_utf8_lossy(&heard.msg.body)
        );
        self.compare(phone, &heard, what, options, more)
            .map_err(|why| format!("{why}\n  heard: {whole}"))
    }

    fn compare(
        &mut self,
        phone: usize,
        heard: &Heard,
        what: &str,
        options: &[&str],
        more: &[String],
    ) -> Result<(), String> {
        let msg = &heard.msg;
        let t1 = self.cast.stage.setup().t1;
        let is = match msg.status() {
            Some(status) => status.to_string(),
            None => msg.method().to_owned(),
        };
        if is != what {
            return Err(format!("heard {} instead", msg.name()));
        }
        let same = |what: &str, is: &str, wanted: &str| {
            if is == wanted {
                Ok(())
            } else {
                Err(format!("{what} is {is}, not {wanted}"))
            }
        };
        let described = sdp::read(&msg.body);
        for option in options {
            let Some((key, value)) = option.split_once('=') else {
                match *option {
                    "again" => {}
                    method => same("it answers", msg.method(), method)?,
                }
                continue;
            };
            let time = || duration(value, t1).ok_or_else(|| format!("no time: {value}"));
            match key {
                "within" => {}
                // Since the line before, or since this phone called.
                "after" | "waited" => {
                    let called = self.asked_at.get(&phone).copied().unwrap_or_default();
                    let since = if key == "after" { self.since } else { called };
                    let passed = heard.at.saturating_sub(since);
                    if passed < time()? {
                        return Err(format!("it came after {passed:?} already"));
                    }
                }
                "from" => {
                    let from = user_of(uri_in(msg.get("From").unwrap_or("")));
                    same("the caller shown", from, &self.name(value))?;
                    if let Some(pai) = msg.get("P-Asserted-Identity") {
                        same("the asserted caller", user_of(uri_in(pai)), &self.name(value))?;
                    }
                }
                "to" => {
                    same("the number called", user_of(msg.uri()), &self.name(value))?;
                    same(
                        "To",
                        user_of(uri_in(msg.get("To").unwrap_or(""))),
                        &self.name(value),
                    )?;
                }
                "at" => same("it came to", &heard.to.to_string(), &self.placed(phone, value))?,
                "uri" => same("its Request-URI", msg.uri(), &self.placed(phone, value))?,
                "gateway" => {
                    let n = value.parse().map_err(|_| "which gateway?")?;
                    let at = self.cast.stage.setup().gateway(n);
                    same(
                        "it came to",
                        &self.cast.phones[phone].calls[heard.call].local.to_string(),
                        &at.to_string(),
                    )?;
                }
                "sdp" => match (value, &described) {
                    ("none", None) => {}
                    ("none", Some(_)) => return Err("it carries a description".into()),
                    (_, None) => return Err("it carries no description".into()),
                    ("same", Some(_)) => {
                        if heard.before.as_ref() != Some(&msg.body) {
                            return Err("its description isn't the one before".into());
                        }
                    }
                    (codecs, Some(sdp)) => same("the codecs", &sdp.codecs.join(","), codecs)?,
                },
                "way" => same(
                    "the direction",
                    described.as_ref().map_or("none", |s| &s.way),
                    value,
                )?,
                "srtp" => {
                    let words = described.as_ref().map_or(String::new(), |s| s.secure.words());
                    let wanted = if value == "none" { "avp:" } else { value };
                    same("its security", &words, wanted)?;
                }
                "lines" => same(
                    "the media lines",
                    &described.as_ref().map_or(String::new(), |s| s.lines.join(",")),
                    value,
                )?,
                "other" => {
                    let others = described.as_ref().map_or(&[][..], |s| &s.others);
                    let text: Vec<String> = others
                        .iter()
                        .map(|(kind, port)| format!("{kind}:{port}"))
                        .collect();
                    same("the other media", &text.join(","), value)?;
                }
                "tag" => {
                    let tag = msg.tag("To").unwrap_or("");
                    if !tag.ends_with(value) {
                        return Err(format!("it is for the fork {tag}"));
                    }
                }
                "face" => {
                    let after = heard.at - self.asked_at.get(&phone).copied().unwrap_or_default();
                    let face = (witness::face(msg), after);
                    let first = self.faces.entry(value.into()).or_insert_with(|| face.clone());
                    same("its face", &face.0, &first.0)?;
                    // Real time isn't exact, virtual time is.
                    if self.cast.stage.is_exact() && face.1 != first.1 {
                        return Err(format!(
                            "it came after {after:?}, the first one after {:?}",
                            first.1
                        ));
                    }
                }
                _ => return Err(format!("nothing is heard with {option}")),
            }
        }
        let body = String::from_utf8_lossy(&msg.body);
        for wanted in more {
            let (line, is_there) = match wanted.strip_prefix('!') {
                Some(line) => (line, false),
                None => (wanted.as_str(), true),
            };
            if let Some(line) = line.strip_prefix("sdp ") {
                if body.lines().any(|l| l == line) != is_there {
                    return Err(format!("its description has {line}, or lacks it"));
                }
                continue;
            }
            if let Some(name) = wanted.strip_prefix('!') {
                if let Some(value) = msg.get(name.trim()) {
                    return Err(format!("it has {name}: {value}"));
                }
            } else if let Some((name, value)) = wanted.split_once(':') {
                let lines: Vec<&str> = msg.all(name.trim()).collect();
                let is = match &*lines {
                    [] => "missing".to_owned(),
                    lines => lines.join(", "),
                };
                let value = self.placed(phone, value.trim());
                match value.strip_suffix('…') {
                    Some(start) if is.starts_with(start) => {}
                    None if value.strip_prefix('…').is_some_and(|end| is.ends_with(end)) => {}
                    Some(_) | None => same(name, &is, &value)?,
                }
            } else if msg.get(wanted).is_none() {
                return Err(format!("it has no {wanted}"));
            }
        }
        Ok(())
    }
}

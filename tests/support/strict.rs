//! What RFC 3261 says every message of a server must have, held against what the phone itself said: who it is
//! for, the way it goes, and what an answer repeats of its request.

use std::collections::HashMap;

use super::text::{Msg, listed, param, uri_in};

/// What a call of a phone said that later messages must go by.
#[derive(Clone, Default, Debug)]
pub struct Said {
    /// Every URI that a Contact of ours held, without headers.
    contacts: Vec<String>,
    /// The Request-URI of the INVITE that rang here.
    called: Option<String>,
    /// The route set that the other side has by each tag of ours, as it must write it.
    routes: HashMap<String, Vec<String>>,
    /// Tags whose route set is settled by a 2xx, or by an INVITE of ours.
    settled: Vec<String>,
}

impl Said {
    /// Takes note of a message of ours; an answer comes with its request.
    pub fn note(&mut self, msg: &Msg, request: Option<&Msg>) {
        if let Some(contact) = msg.get("Contact") {
            let first = listed(contact).swap_remove(0);
            let uri = uri_in(&first);
            self.contacts
                .push(uri.split('?').next().unwrap_or(uri).to_owned());
        }
        let bracketed = |route: String| match route.contains('<') {
            true => route,
            false => format!("<{route}>"),
        };
        let routes = msg.all("Record-Route").flat_map(listed);
        let mut routes: Vec<String> = routes.map(bracketed).collect();
        match (msg.status(), request) {
            (None, _) if msg.method() == "INVITE" && msg.tag("To").is_none() => {
                // RFC 3261 §12.1.1: in order, first to last.
                let tag = msg.tag("From").unwrap_or("").to_owned();
                self.settled.push(tag.clone());
                self.routes.insert(tag, routes);
            }
            (Some(status @ 101..300), Some(request))
                if request.method() == "INVITE" && request.tag("To").is_none() =>
            {
                // §12.1.2: backwards; §13.2.2.4: the 2xx's count.
                let tag = msg.tag("To").unwrap_or("").to_owned();
                self.called = Some(request.uri().to_owned());
                routes.reverse();
                if status >= 200 || !self.routes.contains_key(&tag) {
                    if !self.settled.contains(&tag) {
                        self.routes.insert(tag.clone(), routes);
                    }
                    if status >= 200 {
                        self.settled.push(tag);
                    }
                }
            }
            _ => {}
        }
    }

    /// Holds a request within a dialog against what we said.
    ///
    /// # Errors
    /// Where it is meant for somebody else, or goes another way.
    pub fn check_request(&self, msg: &Msg) -> Result<(), String> {
        for name in ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Via"] {
            if msg.all(name).count() != 1 {
                return Err(format!("{} {name}", msg.all(name).count()));
            }
        }
        if !msg.branch().starts_with("z9hG4bK") {
            return Err("a branch without the cookie (§8.1.1.7)".into());
        }
        let wants_contact = matches!(msg.method(), "INVITE" | "UPDATE" | "REFER" | "SUBSCRIBE");
        if wants_contact && msg.all("Contact").flat_map(listed).count() != 1 {
            return Err("a request that refreshes a target without exactly one Contact (§8.1.1.8)".into());
        }
        let Some(set) = msg.tag("To").and_then(|tag| self.routes.get(tag)) else {
            return Ok(());
        };
        if !set.iter().all(|route| route.contains("sip:")) {
            // The play is about what can't be read.
            return Ok(());
        }
        let mut routes: Vec<String> = msg.all("Route").flat_map(listed).collect();
        let is_strict = set.first().is_some_and(|first| !first.contains(";lr"));
        let (target, wanted) = if let (true, [first, rest @ ..]) = (is_strict, &**set) {
            // §12.2.1.1: the strict router stands in the Request-URI, the target is the last route.
            if uri_in(first).split('?').next() != Some(msg.uri()) {
                return Err(format!("its Request-URI is no strict router's ({first})"));
            }
            let target = routes.pop().unwrap_or_default();
            (uri_in(&target).to_owned(), rest)
        } else {
            (msg.uri().to_owned(), &**set)
        };
        if routes != wanted {
            return Err(format!("Route {routes:?}, not {wanted:?}"));
        }
        let is_ours = self.contacts.contains(&target) || self.called.as_ref() == Some(&target);
        if is_ours || self.contacts.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "it is for {target}, and our Contacts were {:?}",
                self.contacts
            ))
        }
    }
}

/// Holds an answer against its request (RFC 3261 §8.2.6.2, §12.1.1). `is_direct`: no proxy stood between.
///
/// # Errors
/// What it should have repeated.
pub fn check_answer(request: &Msg, answer: &Msg, is_direct: bool) -> Result<(), String> {
    let list = |msg: &Msg, name: &str| -> Vec<String> { msg.all(name).flat_map(listed).collect() };
    let status = answer.status().unwrap_or(0);
    let (asked, told) = (list(request, "Via"), list(answer, "Via"));
    let (Some((first, rest)), Some((told_first, told_rest))) = (asked.split_first(), told.split_first())
    else {
        return Err("no Via".into());
    };
    let place = |via: &str| via.split(';').next().unwrap_or("").trim().to_owned();
    if rest != told_rest || place(first) != place(told_first) {
        return Err(format!("Via {told:?} in answer to {asked:?}"));
    }
    for name in ["From", "Call-ID", "CSeq"] {
        if list(request, name) != list(answer, name) {
            return Err(format!("another {name} than its request's"));
        }
    }
    let to = |msg: &Msg| {
        let to = msg.get("To").unwrap_or("");
        to.split(";tag=").next().unwrap_or("").to_owned()
    };
    if to(request) != to(answer) {
        return Err("another To than its request's".into());
    }
    if status > 100 && answer.get("To").and_then(|to| param(to, "tag")).is_none() {
        return Err("no To tag".into());
    }
    if request.method() == "UPDATE" && (200..300).contains(&status) && list(answer, "Contact").len() != 1 {
        return Err("an UPDATE's answer without exactly one Contact (RFC 3311 §5.2)".into());
    }
    if request.method() == "INVITE" && (101..300).contains(&status) {
        if list(answer, "Contact").len() != 1 {
            return Err("a dialog's answer without exactly one Contact (§12.1.1)".into());
        }
        if is_direct && list(request, "Record-Route") != list(answer, "Record-Route") {
            return Err("another Record-Route than its request's (§12.1.1)".into());
        }
    }
    Ok(())
}

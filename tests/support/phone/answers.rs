//! The answers that a phone gives.

use std::time::Duration;

use super::super::stage::Packet;
use super::super::text::{Msg, param};
use super::{Asked, Extra, Final, Phone, Repeats, Told};

impl Phone {
    /// Sends the last answer to a request of this method again, byte by byte.
    pub fn repeat_answer(&mut self, at: usize, method: Option<&str>) {
        let call = &self.calls[at];
        let told = call
            .told
            .iter()
            .rev()
            .find(|t| method.is_none_or(|m| t.request.method() == m));
        if let Some((told, last)) = told.and_then(|t| Some((t, t.last.as_ref()?))) {
            self.out.push_back(Packet {
                from: call.local,
                to: told.source,
                bytes: last.clone(),
            });
        }
    }

    /// Whether a request of theirs waits for a final answer.
    pub fn owes(&self, at: usize, method: Option<&str>) -> bool {
        self.calls[at].owed(method, false).is_some()
    }

    /// Whether a response answers a request that this phone has said more than once: it may be as old as the first copy.
    pub fn may_be_old(&self, response: &Msg) -> bool {
        let mut asked = self.calls.iter().flat_map(|call| &call.asked);
        response.status().is_some()
            && asked.any(|asked| asked.branch == response.branch() && asked.repeats.was_repeated())
    }

    /// Whether this phone has hung up, heard or not.
    pub fn has_hung_up(&self, at: usize, request: &Msg) -> bool {
        let tag = request.tag("To");
        let hung_up = |asked: &Asked| asked.method == "BYE" && param(&asked.from, "tag") == tag;
        self.calls[at].asked.iter().any(hung_up)
    }

    /// Whether what this request ends is over as far as this phone knows: either side has hung up and the other has said
    /// so, the phone has refused the INVITE, or said that there is no such dialog.
    pub fn has_left(&self, at: usize, request: &Msg) -> bool {
        let call = &self.calls[at];
        let tag = request.tag("To");
        let hung_up = |asked: &Asked| {
            asked.method == "BYE" && !asked.finals.is_empty() && param(&asked.from, "tag") == tag
        };
        let is_end = |told: &Told| {
            let said = told
                .last
                .as_deref()
                .and_then(Msg::read)
                .and_then(|last| last.status());
            match told.request.method() {
                "INVITE" if told.request.tag("To").is_none() => said >= Some(300),
                _ if told.request.tag("To") != tag => false,
                "BYE" => said.is_some(),
                _ => said == Some(481),
            }
        };
        call.asked.iter().any(hung_up) || call.told.iter().any(is_end)
    }

    /// Answers a request of theirs: the last one of `method` that has no final answer.
    ///
    /// # Errors
    /// There is none.
    pub fn respond(
        &mut self,
        now: Duration,
        at: usize,
        status: u16,
        method: Option<&str>,
        extra: &Extra,
    ) -> Result<(), String> {
        let t1 = self.t1;
        let call = &mut self.calls[at];
        let Some(index) = call.owed(method, extra.tag.is_some()) else {
            return Err(format!("{} has no request to answer with {status}", self.name));
        };
        let is_tagged = extra.tag.as_deref() != Some("");
        let tag = match &extra.tag {
            _ if extra.to_tag.is_some() => extra.to_tag.clone().unwrap_or_default(),
            Some(fork) if is_tagged => format!("{}{fork}", call.local_tag),
            Some(_) => String::new(),
            None => call.local_tag.clone(),
        };
        if extra.tag.is_some() && is_tagged && !self.minted.contains(&tag) {
            self.minted.push(tag.clone());
        }
        let told = &call.told[index];
        let request = &told.request;
        let is_invite = request.method() == "INVITE";
        let over_tcp = request.is_over_tcp();
        let mut lines: Vec<String> = request.all("Via").map(|via| format!("Via: {via}")).collect();
        if let (Some(wish), Some(via)) = (&extra.oc, lines.first_mut()) {
            *via = via.replace(";oc;oc-algo=\"loss\"", wish);
        }
        if is_invite && (101..300).contains(&status) {
            lines.extend(request.all("Record-Route").map(|r| format!("Record-Route: {r}")));
        }
        lines.push(format!("From: {}", request.get("From").unwrap_or("")));
        let to = request.get("To").unwrap_or("");
        let to = match &extra.to_tag {
            Some(_) => to.split(";tag=").next().unwrap_or(to),
            None => to,
        };
        lines.push(if is_tagged && status > 100 && param(to, "tag").is_none() {
            format!("To: {to};tag={tag}")
        } else {
            format!("To: {to}")
        });
        lines.push(format!("Call-ID: {}", request.call_id()));
        lines.push(format!("CSeq: {}", request.get("CSeq").unwrap_or("")));
        let agrees = matches!(request.method(), "UPDATE") && (200..300).contains(&status);
        if (is_invite && (101..300).contains(&status)) || agrees {
            lines.push(call.contact());
        }
        let invite = request.cseq();
        let rseq = extra.reliable.map(|skip| call.rel.next(&tag, skip));
        if let Some(rseq) = rseq {
            lines.push("Require: 100rel".to_owned());
            lines.push(format!("RSeq: {rseq}"));
        }
        let (source, reason) = (told.source, extra.reason.as_deref().unwrap_or("So"));
        let bytes = call.compose(&format!("SIP/2.0 {status} {reason}"), lines, extra);
        if let Some(rseq) = rseq {
            // Doubling without an end (RFC 3262 §3).
            let repeats = Repeats::new(now, t1, t1 * 64);
            call.rel.say(&tag, (rseq, invite), &bytes, source, repeats);
        }
        if is_invite && status >= 200 {
            call.rel.stop();
        }
        let told = &mut call.told[index];
        if let Some(said) = Msg::read(&bytes) {
            call.routing.note(&said, Some(&told.request));
        }
        told.last = Some(bytes.clone());
        if status >= 300
            && let Some(heard) = told.heard_before.take()
        {
            call.heard = Some(heard);
        }
        if status >= 200 {
            // A 2xx is repeated over TCP too (RFC 3261 §13.3.1.4), a failure isn't (§17.2.1).
            let mut repeats = if over_tcp && status >= 300 {
                Repeats::once(now, t1)
            } else {
                Repeats::new(now, t1, t1 * 8)
            };
            if !is_invite {
                repeats.stop();
            }
            told.finals.push(Final {
                tag,
                status,
                bytes: bytes.clone(),
                repeats,
                acked: !is_invite,
            });
        }
        let from = extra.at.unwrap_or(call.local);
        self.minted
            .extend(call.secure.keys.iter().map(|(.., key)| key.clone()));
        self.out.push_back(Packet {
            from,
            to: source,
            bytes,
        });
        Ok(())
    }
}

//! What a phone makes of the messages that come.

use std::net::SocketAddr;

use super::super::sdp;
use super::super::secret;
use super::super::stage::Packet;
use super::super::strict::check_answer;
use super::super::text::{Msg, listed, uri_in};
use super::{Call, Final, Outcome, Phone, Told};

impl Phone {
    /// Holds a message of this call against what was said before: `is_direct`, if no proxy stands between.
    ///
    /// # Errors
    /// What RFC 3261 wants otherwise.
    pub fn check(&self, at: usize, msg: &Msg, is_direct: bool) -> Result<(), String> {
        let call = &self.calls[at];
        if msg.status().is_none() {
            if msg.method() == "ACK" {
                let is_its = |told: &&Told| {
                    let invite = &told.request;
                    invite.method() == "INVITE" && invite.cseq() == msg.cseq()
                };
                let invite = call.told.iter().find(is_its);
                secret::check_ack(msg, invite.map(|told| &told.request))?;
            } else {
                secret::check(msg)?;
            }
            return if is_direct {
                call.routing.check_request(msg)
            } else {
                Ok(())
            };
        }
        let asked = call.asked.iter().find(|asked| asked.branch == msg.branch());
        let request = asked.filter(|asked| asked.method == msg.method());
        match request.and_then(|asked| Msg::read(&asked.bytes)) {
            Some(request) => check_answer(&request, msg, is_direct),
            None => Ok(()),
        }
    }

    /// Takes a datagram that came to `local`.
    pub fn receive(&mut self, local: SocketAddr, from: SocketAddr, bytes: &[u8]) -> Outcome {
        let Some(msg) = Msg::read(bytes) else {
            return Outcome::Nothing;
        };
        if msg.status().is_some() {
            self.response(msg, bytes)
        } else {
            self.requested(local, from, msg)
        }
    }

    fn response(&mut self, msg: Msg, bytes: &[u8]) -> Outcome {
        let Some(at) = self.calls.iter().position(|c| c.id == msg.call_id()) else {
            return Outcome::Nothing;
        };
        let status = msg.status().unwrap_or(0);
        if matches!(status, 401 | 407) {
            self.challenge = Some((msg.clone(), 0));
        }
        let call = &mut self.calls[at];
        let tag = msg.tag("To").unwrap_or("").to_owned();
        let known = call
            .asked
            .iter_mut()
            .find(|a| a.method == msg.method() && a.cseq == msg.cseq() && a.branch == msg.branch());
        let Some(asked) = known else {
            return Outcome::Nothing;
        };
        let is_invite = asked.method == "INVITE";
        if status < 200 {
            if is_invite {
                asked.repeats.stop();
            } else {
                asked.repeats.interval = asked.repeats.cap;
            }
            let new = !asked.provisional.iter().any(|p| p == bytes);
            if new && is_invite {
                let fault = call.rel.heard(&asked.bytes, &msg);
                self.faults.extend(fault.map(str::to_owned));
            }
            asked.provisional.push(bytes.to_vec());
            if new && is_invite && status > 100 && !tag.is_empty() {
                call.learn(&msg);
            }
            return if new {
                Outcome::New(at, msg)
            } else {
                Outcome::Again(at, msg)
            };
        }
        asked.repeats.stop();
        if asked.finals.iter().any(|(t, _)| *t == tag) {
            let ack = asked.acks.iter().find(|(t, _)| *t == tag || status >= 300);
            if let Some((_, ack)) = ack {
                let packet = Packet {
                    from: call.local,
                    to: asked.peer,
                    bytes: ack.clone(),
                };
                self.out.push_back(packet);
            }
            return Outcome::Again(at, msg);
        }
        asked.finals.push((tag.clone(), status));
        if let Some(before) = asked.said_before.take_if(|_| status >= 300) {
            (call.said, call.secure) = before;
        }
        if !is_invite {
            if let Some(heard) = sdp::read(&msg.body) {
                call.heard = Some(heard);
            }
            return Outcome::New(at, msg);
        }
        let fault = call.rel.heard(&asked.bytes, &msg);
        self.faults.extend(fault.map(str::to_owned));
        if status >= 300 {
            // RFC 3261 §17.1.1.3
            let routes: String = asked.routes.iter().map(|r| format!("{r}\r\n")).collect();
            let ack = format!(
                "ACK {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\n{routes}From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
                asked.uri,
                asked.via,
                asked.from,
                msg.get("To").unwrap_or(""),
                call.id,
                asked.cseq
            );
            let peer = asked.peer;
            asked.acks.push((tag, ack.clone().into_bytes()));
            self.out.push_back(Packet {
                from: call.local,
                to: peer,
                bytes: ack.into_bytes(),
            });
        } else {
            call.learn(&msg);
        }
        Outcome::New(at, msg)
    }

    fn requested(&mut self, local: SocketAddr, from: SocketAddr, msg: Msg) -> Outcome {
        let at = match self.calls.iter().position(|c| c.id == msg.call_id()) {
            Some(at) => at,
            None if matches!(msg.method(), "INVITE" | "REGISTER") && msg.tag("To").is_none() => {
                let local_tag = self.mint("tag");
                let media = self.media_at(local);
                self.calls.push(Call {
                    ours: msg.get("To").unwrap_or("").to_owned(),
                    ..Call::new(msg.call_id().to_owned(), local, local_tag, media, from)
                });
                self.calls.len() - 1
            }
            None => return Outcome::Nothing,
        };
        let call = &mut self.calls[at];
        if msg.method() == "ACK" {
            let tag = msg.tag("To").unwrap_or("").to_owned();
            for told in call.told.iter_mut().filter(|t| t.request.method() == "INVITE") {
                if told.request.cseq() != msg.cseq() {
                    continue;
                }
                let meant = |f: &&mut Final| f.tag == tag || f.status >= 300;
                if let Some(answer) = told.finals.iter_mut().find(meant) {
                    let first = !answer.acked;
                    answer.acked = true;
                    answer.repeats.stop();
                    if answer.status >= 300 {
                        return Outcome::Nothing;
                    }
                    if let Some(heard) = sdp::read(&msg.body) {
                        call.heard = Some(heard);
                    }
                    return if first {
                        Outcome::New(at, msg)
                    } else {
                        Outcome::Again(at, msg)
                    };
                }
            }
            return Outcome::Nothing;
        }
        let known = call
            .told
            .iter()
            .find(|t| t.request.branch() == msg.branch() && t.request.method() == msg.method());
        if let Some(told) = known {
            if let Some(last) = &told.last {
                self.out.push_back(Packet {
                    from: call.local,
                    to: told.source,
                    bytes: last.clone(),
                });
            }
            return Outcome::Again(at, msg);
        }
        let heard_before = call.heard.clone();
        if msg.method() != "CANCEL" {
            let fault = call.rel.asked(&msg);
            self.faults
                .extend(fault.map(|why| format!("{} got a {}: {why}", self.name, msg.method())));
        }
        if matches!(msg.method(), "INVITE" | "UPDATE") {
            call.learn(&msg);
        } else if let Some(heard) = sdp::read(&msg.body) {
            call.heard = Some(heard);
        }
        call.told.push(Told {
            request: msg.clone(),
            heard_before,
            source: from,
            last: None,
            finals: Vec::new(),
        });
        Outcome::New(at, msg)
    }
}

impl Call {
    /// Takes over what an INVITE or an answer to one says of the other side.
    fn learn(&mut self, msg: &Msg) {
        let is_request = msg.status().is_none();
        let side = if is_request { "From" } else { "To" };
        if let Some(tag) = msg.tag(side) {
            self.remote_tag = Some(tag.to_owned());
        }
        if let Some(contact) = msg.get("Contact") {
            uri_in(contact).clone_into(&mut self.target);
        }
        if is_request && self.theirs.is_empty() {
            let from = msg.get("From").unwrap_or("");
            self.theirs = from.split(";tag=").next().unwrap_or(from).to_owned();
        }
        let mut routes: Vec<String> = msg.all("Record-Route").flat_map(listed).collect();
        if !is_request {
            routes.reverse();
        }
        // Proxies that this phone stands for have taken their part of a route set off.
        let stands_for_proxies = (self.asked.first())
            .and_then(|invite| Msg::read(&invite.bytes))
            .is_some_and(|invite| invite.get("Record-Route").is_some());
        if self.routes.is_empty() && !stands_for_proxies {
            self.routes = routes;
        }
        if let Some(heard) = sdp::read(&msg.body) {
            self.heard = Some(heard);
        }
    }
}

//! The requests that a phone makes.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::secret;
use super::super::stage::Packet;
use super::super::text::{Msg, host_of, listed};
use super::{Asked, Call, Extra, Phone, Repeats};
use umbra::sip::path::Transport;

impl Phone {
    /// Sends a request to `dialled` outside any dialog, from `local`, through `peer`: an INVITE begins a call.
    pub fn ask(
        &mut self,
        now: Duration,
        local: SocketAddr,
        peer: SocketAddr,
        method: &str,
        dialled: &str,
        extra: &Extra,
    ) -> usize {
        let id = self.mint("");
        let local_tag = self.mint("tag");
        let media = self.media_at(local);
        let by = match self.speaks {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        let id = format!("{id}@{}", local.ip());
        self.calls.push(Call {
            ours: format!("<sip:{}@{local}>", self.number),
            theirs: format!("<sip:{dialled}@{peer}>"),
            target: format!("sip:{dialled}@{peer}{by}"),
            ..Call::new(id, local, local_tag, media, peer)
        });
        let call = self.calls.len() - 1;
        self.request(now, call, method, extra);
        call
    }

    /// Sends a request within a call. ACK and CANCEL belong to its last INVITE.
    pub fn request(&mut self, now: Duration, at: usize, method: &str, extra: &Extra) {
        let fresh = self.mint("z9hG4bK");
        let call = &mut self.calls[at];
        let is_unacked =
            |a: &Asked| a.acks.is_empty() && a.finals.iter().any(|(_, s)| (200..300).contains(s));
        let invites = |a: &Asked| a.method == "INVITE";
        let unacked = call.asked.iter().rposition(|a| invites(a) && is_unacked(a));
        let last = unacked
            .filter(|_| method == "ACK")
            .or_else(|| call.asked.iter().rposition(invites));
        let last_invite = last.map(|i| &call.asked[i]);
        let cseq = match (method, last_invite) {
            ("ACK" | "CANCEL", Some(invite)) => invite.cseq,
            _ => {
                call.cseq += 1;
                call.cseq
            }
        };
        let (branch, uri) = match (method, last_invite) {
            ("CANCEL", Some(invite)) => (invite.branch.clone(), invite.uri.clone()),
            _ => (fresh, extra.uri.clone().unwrap_or_else(|| call.target.clone())),
        };
        let cseq = if extra.merged { cseq - 1 } else { cseq };
        if extra.merged {
            call.cseq -= 1;
        }
        let leaves = extra.at.unwrap_or(call.local);
        let mut extra = extra.clone();
        for line in &mut extra.headers {
            *line = line.replace("BRANCH", &branch);
        }
        if let Some((user, password, nc)) = &extra.proof {
            let (challenge, uses) = self.challenge.as_mut().expect("a challenge that was heard");
            *uses = nc.unwrap_or(*uses + 1);
            let line = secret::prove(challenge, method, &uri, user, password, *uses);
            extra.headers.extend(line);
        }
        let own_via = Msg::read(format!("\r\n{}\r\n\r\n", extra.headers.join("\r\n")).as_bytes())
            .and_then(|lines| lines.all("Via").flat_map(listed).next());
        let via = match (method, last_invite, own_via) {
            ("CANCEL", Some(invite), _) => invite.via.clone(),
            (_, _, Some(via)) => {
                extra.omit.push("Via".into());
                via
            }
            (_, _, None) => format!("SIP/2.0/{} {leaves};rport;branch={branch}", call.transport()),
        };
        let (from, to) = match (method, last_invite) {
            ("CANCEL", Some(invite)) => (invite.from.clone(), invite.to.clone()),
            _ => {
                let ours = extra.from.as_ref().unwrap_or(&call.ours);
                let to_tag = extra.to_tag.as_ref().or(call.remote_tag.as_ref());
                let to = match to_tag {
                    Some(tag) => format!("{};tag={tag}", call.theirs),
                    None => call.theirs.clone(),
                };
                let fork = extra.tag.as_deref().unwrap_or("");
                (format!("{ours};tag={}{fork}", call.local_tag), to)
            }
        };
        let version = extra.version.as_deref().unwrap_or("SIP/2.0");
        let max_forwards = extra.max_forwards.as_deref().unwrap_or("70");
        let mut lines = vec![
            format!("Via: {via}"),
            format!("Max-Forwards: {max_forwards}"),
            format!("From: {from}"),
            format!("To: {to}"),
            format!("Call-ID: {}", call.id),
            format!("CSeq: {cseq} {method}"),
        ];
        if matches!(method, "INVITE" | "UPDATE") {
            lines.push(call.contact());
        }
        if method == "PRACK" && !extra.headers.iter().any(|line| line.starts_with("RAck")) {
            lines.extend(call.rel.rack());
        }
        // A CANCEL goes the way of its INVITE (RFC 3261 §9.1).
        let (routes, peer) = match (method, last_invite) {
            ("CANCEL", Some(invite)) => (invite.routes.clone(), invite.peer),
            _ => (
                call.routes.iter().map(|r| format!("Route: {r}")).collect(),
                host_of(call.next_hop()).parse().unwrap_or(call.peer),
            ),
        };
        let said_before = extra
            .codecs
            .is_some()
            .then(|| (call.said.clone(), call.secure.clone()));
        lines.extend(routes.iter().cloned());
        let bytes = call.compose(&format!("{method} {uri} {version}"), lines, &extra);
        if let Some(said) = Msg::read(&bytes) {
            call.routing.note(&said, None);
        }
        let keys = call.secure.keys.iter().map(|(.., key)| key);
        self.minted.extend(keys.cloned());
        let packet = Packet {
            from: leaves,
            to: peer,
            bytes: bytes.clone(),
        };
        self.out.push_back(packet);
        if method == "ACK" {
            let tag = call.remote_tag.clone().unwrap_or_default();
            if let Some(invite) = last {
                call.asked[invite].acks.push((tag, bytes));
            }
            return;
        }
        let cap = if method == "INVITE" {
            self.t1 * 64
        } else {
            self.t1 * 8
        };
        let via_tcp = !via.starts_with("SIP/2.0/UDP");
        call.asked.push(Asked {
            method: method.into(),
            branch,
            cseq,
            uri,
            via,
            from,
            to,
            routes,
            peer,
            bytes,
            repeats: if via_tcp {
                Repeats::once(now, self.t1)
            } else {
                Repeats::new(now, self.t1, cap)
            },
            finals: Vec::new(),
            said_before,
            provisional: Vec::new(),
            acks: Vec::new(),
        });
    }

    /// Sends the last request of this method again, byte by byte.
    pub fn repeat(&mut self, at: usize, method: &str) {
        let call = &self.calls[at];
        if let Some(asked) = call.asked.iter().rev().find(|a| a.method == method) {
            self.out.push_back(Packet {
                from: call.local,
                to: asked.peer,
                bytes: asked.bytes.clone(),
            });
        }
    }
}

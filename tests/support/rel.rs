//! Reliable provisional responses as a phone knows them (RFC 3262): strict in what it hears.

use std::net::SocketAddr;
use std::time::Duration;

use super::phone::{Due, Repeats};
use super::text::Msg;

/// A call's reliable responses, both ways.
#[derive(Debug, Default)]
pub struct Rel {
    heard: Vec<Heard>,
    said: Vec<Said>,
    /// The CSeq number of the last request heard by each of our tags.
    cseqs: Vec<(String, u32)>,
}

/// One of theirs.
#[derive(Debug)]
struct Heard {
    invite: u32,
    rseq: u32,
    describes: bool,
    pracked: bool,
}

/// One of ours.
#[derive(Debug)]
struct Said {
    tag: String,
    rseq: u32,
    rack: String,
    bytes: Vec<u8>,
    to: SocketAddr,
    repeats: Repeats,
    pracked: bool,
}

fn asks_for(msg: &Msg, header: &str) -> bool {
    msg.all(header)
        .flat_map(|list| list.split(','))
        .any(|tag| tag.trim().eq_ignore_ascii_case("100rel"))
}

impl Rel {
    /// A response to an INVITE of ours that had not come before. What is wrong with it.
    pub fn heard(&mut self, invite: &[u8], msg: &Msg) -> Option<&'static str> {
        let invite = Msg::read(invite)?;
        let cseq = msg.cseq();
        let known: Vec<&Heard> = self.heard.iter().filter(|h| h.invite == cseq).collect();
        let status = msg.status().unwrap_or(0);
        let reliable = asks_for(msg, "Require");
        if (200..300).contains(&status) && known.iter().any(|h| h.describes && !h.pracked) {
            return Some("the answer comes before the PRACK of a description (RFC 3262 §3)");
        }
        if !reliable {
            let insists = asks_for(&invite, "Require") && (101..200).contains(&status);
            return (insists.then_some("a response isn't reliable that has to be (RFC 3262 §3)"))
                .or(msg.get("RSeq").map(|_| "an RSeq without Require: 100rel"));
        }
        if !(101..200).contains(&status) {
            return Some("only 101–199 are sent reliably (RFC 3262 §3)");
        }
        if !asks_for(&invite, "Require") && !asks_for(&invite, "Supported") {
            return Some("a reliable response to whom can't have said that it can (RFC 3262 §3)");
        }
        if msg.get("Contact").is_none() || msg.tag("To").is_none() {
            return Some("a reliable response that makes no dialog");
        }
        let Some(rseq) = msg.get("RSeq").and_then(|rseq| rseq.parse::<u32>().ok()) else {
            return Some("a reliable response without an RSeq");
        };
        let fault = match known.last() {
            None if rseq == 0 || rseq >= 1 << 31 => Some("RSeq begins between 1 and 2^31 - 1 (RFC 3262 §3)"),
            Some(last) if last.rseq.checked_add(1) != Some(rseq) => Some("RSeq isn't the last one's next"),
            Some(last) if !last.pracked => Some("a second reliable response before the first one's PRACK"),
            None | Some(_) => None,
        };
        self.heard.push(Heard {
            invite: cseq,
            rseq,
            describes: !msg.body.is_empty(),
            pracked: false,
        });
        fault
    }

    /// The RAck of a PRACK for the last reliable response that has none.
    pub fn rack(&mut self) -> Option<String> {
        let last = self.heard.iter_mut().rfind(|h| !h.pracked)?;
        last.pracked = true;
        Some(format!("RAck: {} {} INVITE", last.rseq, last.invite))
    }

    /// The RSeq of our next reliable response of a fork; `skip` leaves so many out.
    pub fn next(&self, tag: &str, skip: u32) -> u32 {
        let last = self.said.iter().rev().find(|s| s.tag == tag);
        last.map_or(4_711, |last| last.rseq + 1) + skip
    }

    /// A reliable response of ours goes out, to an INVITE with this CSeq number.
    pub fn say(
        &mut self,
        tag: &str,
        (rseq, invite): (u32, u32),
        bytes: &[u8],
        to: SocketAddr,
        repeats: Repeats,
    ) {
        self.said.push(Said {
            tag: tag.to_owned(),
            rseq,
            rack: format!("{rseq} {invite} INVITE"),
            bytes: bytes.to_vec(),
            to,
            repeats,
            pracked: false,
        });
    }

    /// The INVITE has its final answer: nothing that went before is repeated.
    pub fn stop(&mut self) {
        for said in &mut self.said {
            said.repeats.stop();
        }
    }

    /// A request of theirs that had not come before, neither ACK nor CANCEL. What is wrong with it.
    pub fn asked(&mut self, msg: &Msg) -> Option<&'static str> {
        let cseq = msg.cseq();
        let tag = msg.tag("To").unwrap_or("").to_owned();
        let last = self.cseqs.iter_mut().find(|(known, _)| *known == tag);
        let before = match last {
            Some((_, last)) => Some(std::mem::replace(last, cseq)),
            None => {
                self.cseqs.push((tag.clone(), cseq));
                None
            }
        };
        if before.is_some_and(|before| cseq <= before) {
            return Some("its CSeq isn't above the last one's in that dialog (RFC 3261 §12.2.1.1)");
        }
        if msg.method() != "PRACK" {
            return None;
        }
        let rack = msg.get("RAck").unwrap_or("");
        let Some(said) = self.said.iter_mut().find(|s| s.tag == tag && s.rack == rack) else {
            return Some("a PRACK that acknowledges nothing of that dialog (RFC 3262 §4)");
        };
        said.repeats.stop();
        if std::mem::replace(&mut said.pracked, true) {
            return Some("a second PRACK for one response (RFC 3262 §4)");
        }
        None
    }

    /// Whether a response of ours waits for its PRACK.
    pub fn waits(&self) -> bool {
        self.said.iter().any(|s| !s.pracked && s.repeats.next().is_some())
    }

    /// When something is said again.
    pub fn timeout(&self) -> Option<Duration> {
        self.said.iter().filter_map(|s| s.repeats.next()).min()
    }

    /// What is due to be said again; whether one was given up.
    pub fn tick(&mut self, now: Duration) -> (Vec<(SocketAddr, Vec<u8>)>, bool) {
        let (mut due, mut lost) = (Vec::new(), false);
        for said in &mut self.said {
            match said.repeats.due(now) {
                Due::No => {}
                Due::Again => due.push((said.to, said.bytes.clone())),
                Due::GivenUp => lost = true,
            }
        }
        (due, lost)
    }
}

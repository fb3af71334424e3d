//! What Umbra's messages must keep to in the order in which they leave, whatever the network makes of it: CSeq numbers
//! (RFC 3261 §12.2.1.1) and versions of descriptions (RFC 3264 §8). Phones look at that too, but may hear one message
//! before another that left first.

use std::collections::{HashMap, HashSet};

use super::descriptions::Descriptions;
use super::text::Msg;

/// What has left so far.
#[derive(Debug, Default)]
pub struct Sequence {
    /// The CSeq number of each INVITE that began something, by Call-ID and our tag.
    began: HashMap<(String, String), u32>,
    /// The last one of each dialog, by Call-ID, our tag and theirs, which may be empty.
    cseqs: HashMap<(String, String, String), u32>,
    /// The branches of requests, which repetitions have too.
    branches: HashSet<(String, String)>,
    descriptions: Descriptions,
}

impl Sequence {
    /// A message leaves. What is wrong with it, if anything.
    pub fn leaves(&mut self, msg: &Msg) -> Option<String> {
        let described = self.descriptions.look(msg);
        described.or_else(|| self.counts(msg)).map(|why| {
            let what = msg.status().map_or(String::new(), |status| format!("{status} "));
            format!("Umbra sends {what}{}: {why}", msg.method())
        })
    }

    fn counts(&mut self, msg: &Msg) -> Option<String> {
        let (method, cseq) = (msg.method(), msg.cseq());
        if msg.status().is_some() || matches!(method, "ACK" | "CANCEL") {
            return None;
        }
        if !self.branches.insert((msg.branch().to_owned(), method.to_owned())) {
            return None;
        }
        let tag = |header| msg.tag(header).unwrap_or("").to_owned();
        let leg = (msg.call_id().to_owned(), tag("From"));
        let last = if method == "INVITE" && msg.tag("To").is_none() {
            self.began.insert(leg, cseq)?
        } else {
            let began = self.began.get(&leg).copied();
            let (id, ours) = leg;
            self.cseqs.insert((id, ours, tag("To")), cseq).max(began)?
        };
        (cseq <= last).then(|| format!("CSeq {cseq} comes after {last} (RFC 3261 §12.2.1.1)"))
    }
}

//! What a phone sends again until it is answered (RFC 3261 §17.1, §13.3.1.4).

use std::time::{Duration, Instant};

/// RFC 3261's T1 and T2, and how long anything is tried.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const GIVE_UP: Duration = Duration::from_secs(32);
/// How long somebody may ring.
const RINGING: Duration = Duration::from_secs(128);

/// A request of ours, until its final response.
pub struct Asked {
    pub method: &'static str,
    pub cseq: u32,
    text: String,
    since: Instant,
    /// When it is sent again; `None` once a provisional response to an INVITE has come.
    again: Option<Instant>,
    interval: Duration,
}

impl Asked {
    fn patience(&self) -> Duration {
        if self.again.is_some() { GIVE_UP } else { RINGING }
    }
}

/// A response of ours to an INVITE, until its ACK.
struct Answered {
    cseq: u32,
    text: String,
    since: Instant,
    again: Instant,
    interval: Duration,
}

/// All that one end of a call waits for.
#[derive(Default)]
pub struct Pending {
    asked: Vec<Asked>,
    answered: Option<Answered>,
}

impl Pending {
    /// Whether nothing is waited for.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.answered.is_none()
    }

    /// A request has left.
    pub fn ask(&mut self, now: Instant, method: &'static str, cseq: u32, text: String) {
        self.asked.push(Asked {
            method,
            cseq,
            text,
            since: now,
            again: Some(now + T1),
            interval: T1,
        });
    }

    /// A final response to an INVITE has left.
    pub fn answer(&mut self, now: Instant, cseq: u32, text: String) {
        self.answered = Some(Answered {
            cseq,
            text,
            since: now,
            again: now + T1,
            interval: T1,
        });
    }

    /// The request that this method and number name.
    pub fn asked(&self, method: &str, cseq: u32) -> Option<&Asked> {
        let mut asked = self.asked.iter();
        asked.find(|asked| asked.cseq == cseq && asked.method == method)
    }

    /// It has its final response; since when that was waited for, if it was.
    pub fn settle(&mut self, method: &str, cseq: u32) -> Option<Instant> {
        let is_it = |asked: &Asked| asked.cseq == cseq && asked.method == method;
        let at = self.asked.iter().position(is_it)?;
        Some(self.asked.remove(at).since)
    }

    /// Our INVITE was heard of.
    pub fn rings(&mut self, cseq: u32) {
        let invites = |asked: &&mut Asked| asked.cseq == cseq && asked.method == "INVITE";
        if let Some(asked) = self.asked.iter_mut().find(invites) {
            asked.again = None;
        }
    }

    /// Our response was acknowledged.
    pub fn is_acknowledged(&mut self, cseq: u32) {
        self.answered = self.answered.take().filter(|answered| answered.cseq != cseq);
    }

    /// Whether it was acknowledged or not, it isn't waited for any more.
    pub fn forget_answer(&mut self) {
        self.answered = None;
    }

    /// When [`Pending::remind`] is due.
    pub fn due(&self) -> Option<Instant> {
        let asked = self
            .asked
            .iter()
            .map(|asked| asked.again.unwrap_or(asked.since + RINGING));
        asked
            .chain(self.answered.as_ref().map(|answered| answered.again))
            .min()
    }

    /// What is to be sent again now, and what nobody will ever answer.
    pub fn remind(&mut self, now: Instant) -> (Vec<String>, Vec<String>) {
        let (mut send, mut given_up) = (Vec::new(), Vec::new());
        self.asked.retain_mut(|asked| {
            if now >= asked.since + asked.patience() {
                given_up.push(format!("nobody answers our {} {}", asked.cseq, asked.method));
                return false;
            }
            if asked.again.is_some_and(|again| again <= now) {
                send.push(asked.text.clone());
                let longest = if asked.method == "INVITE" { GIVE_UP } else { T2 };
                asked.interval = (asked.interval * 2).min(longest);
                asked.again = Some(now + asked.interval);
            }
            true
        });
        self.answered = self.answered.take().and_then(|mut answered| {
            if now >= answered.since + GIVE_UP {
                given_up.push(format!(
                    "nobody acknowledges our answer to {} INVITE",
                    answered.cseq
                ));
                return None;
            }
            if answered.again <= now {
                send.push(answered.text.clone());
                answered.interval = (answered.interval * 2).min(T2);
                answered.again = now + answered.interval;
            }
            Some(answered)
        });
        (send, given_up)
    }
}

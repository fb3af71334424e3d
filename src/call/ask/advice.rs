//! What a customer's server answers: one of two JSON objects, read strictly. Everything else is no answer.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::base::limits::ASK_ANSWER_BYTES_MAX;

/// What came of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Advice {
    /// The caller is connected.
    Connect(Box<Connect>),
    /// The caller is not.
    Close(Close),
    /// No usable answer.
    None(Silence),
}

/// `{"action":"connect","to":"+8613…", …}`: whom the caller reaches, and on what terms.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// Whom to call, in any form of a number.
    pub to: Box<str>,
    /// What the called party sees. It is always the number that was dialled: another one is no usable answer.
    #[serde(default)]
    pub shown: Option<Box<str>>,
    /// Whether the call is to be recorded.
    #[serde(default)]
    pub record: bool,
    /// The longest that the conversation may last, in seconds.
    #[serde(default)]
    pub max_duration_s: Option<u64>,
    /// How long the called party rings, in seconds.
    #[serde(default)]
    pub ring_timeout_s: Option<u64>,
    /// The prompt that the called side hears when it has answered, before the two talk.
    #[serde(default)]
    pub whisper: Option<Box<str>>,
    /// The customer's order.
    #[serde(default)]
    pub order_id: Option<Box<str>>,
    /// The customer's own words.
    #[serde(default)]
    pub user_data: Option<Box<str>>,
}

impl Connect {
    /// The longest that the conversation may last.
    pub fn max_duration(&self) -> Option<Duration> {
        self.max_duration_s.map(Duration::from_secs)
    }

    /// How long the called party rings.
    pub fn ring_timeout(&self) -> Option<Duration> {
        self.ring_timeout_s.map(Duration::from_secs)
    }
}

impl fmt::Debug for Connect {
    /// Whom it names is a real number, and the customer's words may hold one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").finish_non_exhaustive()
    }
}

/// `{"action":"close","prompt":"…"}`: the caller reaches nobody.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// The prompt that the caller hears, where its trunk's refusals are told by a sound; a tone if there is none of that
    /// name.
    #[serde(default)]
    pub prompt: Option<Box<str>>,
}

/// Why there is no usable answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Silence {
    /// The pool has no server.
    NotSet,
    /// More is being asked than may be at once.
    Busy,
    /// The server failed too often of late: it is left alone for a while.
    CircuitOpen,
    /// Its name resolves to nothing.
    Name,
    /// Nobody listens there, or no connection came about.
    Connect,
    /// It shows no certificate that we trust, or speaks no TLS.
    Tls,
    /// It didn't answer in time.
    Timeout,
    /// The connection broke before the answer was whole.
    Broken,
    /// It sent us elsewhere, where nobody of ours has said that we may go.
    Redirect,
    /// It answered with another status than 200.
    Status,
    /// Its answer has more bytes than one may have.
    TooLong,
    /// Its answer is not one of the two objects.
    Answer,
    /// Whom it names is no number.
    Number,
    /// Whom it names is a number of ours.
    OwnNumber,
    /// Whom it names is the caller.
    SelfCall,
    /// Whom it names is an emergency number.
    Emergency,
    /// It wants another number shown than the one that was dialled.
    Shown,
    /// Its terms are out of their bounds.
    Terms,
}

impl Silence {
    /// Every one.
    pub const ALL: [Self; 18] = [
        Self::NotSet,
        Self::Busy,
        Self::CircuitOpen,
        Self::Name,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Broken,
        Self::Redirect,
        Self::Status,
        Self::TooLong,
        Self::Answer,
        Self::Number,
        Self::OwnNumber,
        Self::SelfCall,
        Self::Emergency,
        Self::Shown,
        Self::Terms,
    ];

    /// The name in records (`end_cause`), metrics and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSet => "ask_not_set",
            Self::Busy => "ask_busy",
            Self::CircuitOpen => "ask_circuit_open",
            Self::Name => "ask_name",
            Self::Connect => "ask_connect",
            Self::Tls => "ask_tls",
            Self::Timeout => "ask_timeout",
            Self::Broken => "ask_broken",
            Self::Redirect => "ask_redirect",
            Self::Status => "ask_status",
            Self::TooLong => "ask_too_long",
            Self::Answer => "ask_answer",
            Self::Number => "ask_number",
            Self::OwnNumber => "ask_own_number",
            Self::SelfCall => "ask_self_call",
            Self::Emergency => "ask_emergency",
            Self::Shown => "ask_shown",
            Self::Terms => "ask_terms",
        }
    }

    /// What happened, for a person: the end of a sentence about the customer's server.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotSet => "isn't set",
            Self::Busy => "is being asked as much as it may be at once",
            Self::CircuitOpen => "failed too often of late and is left alone for a while",
            Self::Name => "has a name that resolves to nothing",
            Self::Connect => "can't be reached: nobody takes a connection there",
            Self::Tls => "shows no certificate that is trusted here, or speaks no TLS",
            Self::Timeout => "didn't answer within 2 seconds",
            Self::Broken => "broke the connection before its answer was whole",
            Self::Redirect => "sent us elsewhere, which is never followed: set the URL that answers",
            Self::Status => "answered with another status than 200",
            Self::TooLong => "answered with more than 16 kB",
            Self::Answer => {
                "answered with something else than {\"action\":\"connect\",\"to\":…} or {\"action\":\"close\"}"
            }
            Self::Number => "named what is no number",
            Self::OwnNumber => "named a number of this server",
            Self::SelfCall => "named the caller himself",
            Self::Emergency => "named an emergency number",
            Self::Shown => "wanted another number shown than the one that was dialled",
            Self::Terms => "asked for terms that are out of their bounds",
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Answer {
    Connect(Box<Connect>),
    Close(Close),
}

impl Advice {
    /// Reads the body of a customer's server's answer.
    pub fn read(body: &[u8]) -> Self {
        if body.len() > ASK_ANSWER_BYTES_MAX {
            return Self::None(Silence::TooLong);
        }
        match serde_json::from_slice(body) {
            Ok(Answer::Connect(connect)) => Self::Connect(connect),
            Ok(Answer::Close(close)) => Self::Close(close),
            Err(_) => Self::None(Silence::Answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(to: &str) -> Connect {
        Connect {
            to: to.into(),
            shown: None,
            record: false,
            max_duration_s: None,
            ring_timeout_s: None,
            whisper: None,
            order_id: None,
            user_data: None,
        }
    }

    #[test]
    fn the_two_answers_are_read() {
        let read = |body: &str| Advice::read(body.as_bytes());
        let plain = connect("+8613900000002");
        assert_eq!(
            read(r#"{"action":"connect","to":"+8613900000002"}"#),
            Advice::Connect(Box::new(plain.clone()))
        );
        let full = Connect {
            shown: Some("17000000001".into()),
            record: true,
            max_duration_s: Some(600),
            ring_timeout_s: Some(30),
            whisper: Some("courier".into()),
            order_id: Some("S1".into()),
            user_data: Some("blue".into()),
            ..plain
        };
        let body = r#" {"to":"+8613900000002","user_data":"blue","order_id":"S1","ring_timeout_s":30,"whisper":"courier",
            "max_duration_s":600,"record":true,"shown":"17000000001","action":"connect"} "#;
        assert_eq!(read(body), Advice::Connect(Box::new(full)));
        assert_eq!(
            read(r#"{"action":"close"}"#),
            Advice::Close(Close { prompt: None })
        );
        let prompt = Some("gone".into());
        assert_eq!(
            read(r#"{"action":"close","prompt":"gone"}"#),
            Advice::Close(Close { prompt })
        );
    }

    #[test]
    fn whatever_else_a_server_says_is_no_answer() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "ok",
            r#"{"action":"connect"}"#,
            r#"{"action":"Connect","to":"1"}"#,
            r#"{"action":"connect","to":8613900000002}"#,
            r#"{"action":"connect","to":null}"#,
            r#"{"action":"connect","to":"1","extra":1}"#,
            r#"{"action":"connect","to":"1","record":"yes"}"#,
            r#"{"action":"connect","to":"1","max_duration_s":-1}"#,
            r#"{"action":"connect","to":"1","to":"2"}"#,
            r#"{"action":"connect","action":"close","to":"1"}"#,
            r#"{"action":"close","to":"1"}"#,
            r#"{"action":"close"} {"action":"close"}"#,
            r#"{"action":"ring"}"#,
            "{\"action\":\"close\"",
            "<html>",
        ] {
            assert_eq!(
                Advice::read(body.as_bytes()),
                Advice::None(Silence::Answer),
                "{body}"
            );
        }
        assert_eq!(Advice::read(&[0xff, 0xfe]), Advice::None(Silence::Answer));
        let deep = "[".repeat(ASK_ANSWER_BYTES_MAX);
        assert_eq!(Advice::read(deep.as_bytes()), Advice::None(Silence::Answer));
        let long = format!("{{\"action\":\"close\"}}{}", " ".repeat(ASK_ANSWER_BYTES_MAX));
        assert_eq!(Advice::read(long.as_bytes()), Advice::None(Silence::TooLong));
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Silence::ALL.iter().map(|why| why.name()).collect();
        assert_eq!(names.len(), Silence::ALL.len());
    }
}

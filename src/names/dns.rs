//! Questions to DNS, and what is remembered of its answers for the time when it gives none (RFC 8767).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::Config;
use crate::base::limits::{DNS_ANSWER_WAIT, DNS_NEGATIVE_TTL, DNS_RECORDS_MAX, DNS_STALE_MAX};

/// Tries of a question to one server.
const TRIES: usize = 2;
/// How long one of them waits for an answer.
const TRY_WAIT: Duration = Duration::from_millis(1_500);
/// Bytes of an error that are told.
const ERROR_BYTES_MAX: usize = 160;

/// What was asked of DNS so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Questions.
    pub asked: AtomicU64,
    /// Those that got no answer, or one that can't be used: that there is no such record is an answer.
    pub failed: AtomicU64,
}

/// One who can be asked.
#[derive(Clone)]
pub(super) struct Dns {
    resolver: TokioResolver,
    counts: Arc<Counts>,
}

/// What DNS says to one question.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// These records, and how long they hold.
    Records(Vec<RData>, Duration),
    /// There is no such record, or no such name; and how long that holds.
    Absent(Duration),
    /// Nothing that can be used: why.
    Failed(String),
}

impl Dns {
    /// Whoever the conf names, or the system's servers.
    ///
    /// # Errors
    /// Why nobody can be asked.
    pub(super) fn new(config: &Config, counts: &Arc<Counts>) -> Result<Self, String> {
        let (servers, mut options) = if config.servers.is_empty() {
            read_system_conf().map_err(|error| format!("/etc/resolv.conf can't be read: {error}"))?
        } else {
            (of_servers(&config.servers), ResolverOpts::default())
        };
        if servers.name_servers().is_empty() {
            return Err("/etc/resolv.conf names no server".into());
        }
        options.timeout = TRY_WAIT;
        options.attempts = TRIES;
        // What is remembered, and for how long, is our own affair.
        options.cache_size = 0;
        options.try_tcp_on_error = true;
        options.preserve_intermediates = true;
        let resolver = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(|error| short(&error.to_string()))?;
        Ok(Self {
            resolver,
            counts: counts.clone(),
        })
    }

    /// Asks for the records of a name, which is taken as it is: no search list applies.
    pub(super) async fn ask(&self, host: &str, kind: RecordType) -> Answer {
        let Ok(name) = Name::from_ascii(format!("{host}.")) else {
            return Answer::Absent(DNS_NEGATIVE_TTL);
        };
        self.resolver.clear_cache();
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
        let answer = match tokio::time::timeout(DNS_ANSWER_WAIT, self.resolver.lookup(name, kind)).await {
            Ok(Ok(lookup)) => {
                let ttl = lookup.answers().iter().map(|record| record.ttl).min();
                let records = lookup.answers().iter().map(|record| &record.data);
                let of_kind = records.filter(|data| data.record_type() == kind);
                let records: Vec<RData> = of_kind.take(DNS_RECORDS_MAX).cloned().collect();
                let ttl = Duration::from_secs(ttl.unwrap_or_default().into());
                if records.is_empty() {
                    Answer::Absent(ttl)
                } else {
                    Answer::Records(records, ttl)
                }
            }
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(absent)))) => {
                let ttl = absent.negative_ttl.map(|s| Duration::from_secs(s.into()));
                Answer::Absent(ttl.unwrap_or(DNS_NEGATIVE_TTL))
            }
            Ok(Err(error)) => Answer::Failed(short(&error.to_string())),
            Err(_) => Answer::Failed("no answer in time".into()),
        };
        if let Answer::Failed(_) = answer {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

fn of_servers(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.to_vec())
    };
    ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect())
}

/// An error's text as it may be told: of one line, and not longer than anybody reads.
fn short(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let end = line
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= ERROR_BYTES_MAX)
        .last();
    line.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

/// What DNS answered to the questions of one name, for the time when it doesn't.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(HashMap<(String, RecordType), (Vec<RData>, Instant)>);

/// The answers to the questions of one look-up, each completed by what is remembered.
pub(super) struct Notes {
    before: Memory,
    /// What is remembered from now on: only what this look-up asked for.
    pub(super) memory: Memory,
    /// How long all of it holds.
    pub(super) ttl: Option<Duration>,
    /// How long it holds that something isn't there.
    pub(super) absent_ttl: Option<Duration>,
    /// The last question that failed, and why.
    pub(super) error: Option<String>,
    now: Instant,
}

impl Notes {
    pub(super) fn new(before: Memory, now: Instant) -> Self {
        Self {
            before,
            memory: Memory::default(),
            ttl: None,
            absent_ttl: None,
            error: None,
            now,
        }
    }

    /// Takes an answer down. What counts now: no records where there are none, `None` where nobody ever said.
    pub(super) fn take(&mut self, host: &str, kind: RecordType, answer: Answer) -> Option<Vec<RData>> {
        let least = |all: Option<Duration>, one: Duration| Some(all.map_or(one, |all| all.min(one)));
        let key = (host.to_owned(), kind);
        match answer {
            Answer::Records(records, ttl) => {
                self.ttl = least(self.ttl, ttl);
                self.memory.0.insert(key, (records.clone(), self.now));
                Some(records)
            }
            // RFC 8767 §4: that is an answer, and what was known is over.
            Answer::Absent(ttl) => {
                self.absent_ttl = least(self.absent_ttl, ttl);
                self.memory.0.insert(key, (Vec::new(), self.now));
                Some(Vec::new())
            }
            Answer::Failed(why) => {
                self.error = Some(format!("{kind} {host}: {why}"));
                match self.before.0.remove(&key) {
                    Some((records, at)) if self.now.duration_since(at) < DNS_STALE_MAX => {
                        self.memory.0.insert(key, (records.clone(), at));
                        Some(records)
                    }
                    Some(_) | None => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::rdata::A;

    fn records() -> Vec<RData> {
        vec![RData::A(A::new(10, 0, 0, 1))]
    }

    fn failed() -> Answer {
        Answer::Failed("no answer in time".into())
    }

    #[test]
    fn what_dns_said_counts_while_it_is_silent_and_not_for_ever() {
        let begin = Instant::now();
        let day = Duration::from_secs(60);
        let mut notes = Notes::new(Memory::default(), begin);
        let answer = Answer::Records(records(), day);
        assert_eq!(notes.take("a.example", RecordType::A, answer), Some(records()));
        assert_eq!((notes.ttl, notes.error.as_ref()), (Some(day), None));

        let soon = begin + DNS_STALE_MAX - Duration::from_secs(1);
        let mut notes = Notes::new(notes.memory, soon);
        assert_eq!(notes.take("a.example", RecordType::A, failed()), Some(records()));
        assert!(notes.error.is_some());
        // It is as old as it is, however often it was used.
        let mut notes = Notes::new(notes.memory, begin + DNS_STALE_MAX);
        assert_eq!(notes.take("a.example", RecordType::A, failed()), None);
    }

    #[test]
    fn that_a_record_is_gone_is_an_answer() {
        let begin = Instant::now();
        let mut notes = Notes::new(Memory::default(), begin);
        notes.take(
            "a.example",
            RecordType::A,
            Answer::Records(records(), DNS_STALE_MAX),
        );
        let mut notes = Notes::new(notes.memory, begin);
        let gone = Answer::Absent(Duration::from_secs(3));
        assert_eq!(notes.take("a.example", RecordType::A, gone), Some(Vec::new()));
        assert_eq!(notes.absent_ttl, Some(Duration::from_secs(3)));
        // It counts like any other while nobody answers.
        let mut notes = Notes::new(notes.memory, begin);
        assert_eq!(notes.take("a.example", RecordType::A, failed()), Some(Vec::new()));
        assert_eq!(notes.take("b.example", RecordType::A, failed()), None);
    }

    #[test]
    fn an_error_is_one_short_line() {
        assert_eq!(short("a\nb"), "a b");
        assert_eq!(short(&"ä".repeat(500)).len(), ERROR_BYTES_MAX);
    }
}

//! The log: text or JSON on standard error, its level changeable while running, no number readable in it.
//!
//! Every line passes [`scrub`] on its way out, whatever wrote it and at whatever level; so does a panic's
//! message. A line is one line: what others put into it can't begin another.

use std::borrow::Cow;
use std::io::{self, Write};
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::base::redact::scrub;

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Level {
    /// What a person has to look at.
    Error,
    /// And what may become that.
    Warn,
    /// And what an operator wants to know.
    #[default]
    Info,
    /// And what the server does.
    Debug,
    /// And every message.
    Trace,
}

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// What the conf says of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// How much.
    pub level: Level,
    /// In what form.
    pub format: Format,
}

impl Level {
    /// The level of that name (`error`, `warn`, `info`, `debug`, `trace`).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|l| l.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }

    /// Our own rooms at this level, the libraries at `warn` at most: what they say below is theirs, and long.
    fn targets(self) -> Targets {
        Targets::new()
            .with_default(self.min(Self::Warn).filter())
            .with_target("umbra", self.filter())
    }
}

/// The running log.
#[derive(Clone)]
pub struct Log(reload::Handle<Targets, Registry>);

impl Log {
    /// Changes the level, from now on.
    pub fn set_level(&self, level: Level) {
        // Fails only when the log itself is gone, and then nobody would read of it.
        let _ = self.0.reload(level.targets());
    }
}

/// A log is running already: a process has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log was started twice")]
pub struct Started;

/// Starts the process's log, on standard error, and takes over the panic hook.
///
/// # Errors
/// The process has one already.
pub fn start(config: Config) -> Result<Log, Started> {
    let (subscriber, log) = subscriber(config, io::stderr);
    subscriber.try_init().map_err(|_| Started)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(log)
}

/// The log's subscriber, writing to what `out` makes.
fn subscriber<W>(config: Config, out: W) -> (impl tracing::Subscriber + Send + Sync, Log)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(config.level.targets());
    let scrubbed = Scrubbed {
        out,
        format: config.format,
    };
    let layer = fmt::layer().with_ansi(false).with_writer(scrubbed);
    let layer = match config.format {
        Format::Text => layer.boxed(),
        Format::Json => layer.json().boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    (subscriber, Log(handle))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let message = match payload.downcast_ref::<String>() {
        Some(text) => text.as_str(),
        None => payload.downcast_ref::<&str>().copied().unwrap_or("no message"),
    };
    let at = panic
        .location()
        .map_or_else(String::new, |l| format!("{}:{}", l.file(), l.line()));
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    tracing::error!("a fault of ours (panic) in thread {thread} at {at}: {message}");
}

/// Makes writers that scrub.
struct Scrubbed<W> {
    out: W,
    format: Format,
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Scrubbed<W> {
    type Writer = Line<W::Writer>;
    fn make_writer(&'w self) -> Self::Writer {
        Line {
            out: self.out.make_writer(),
            format: self.format,
        }
    }
}

/// Takes one whole line at a time, as the formatters write it.
struct Line<W> {
    out: W,
    format: Format,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        let mut clean = match self.format {
            Format::Text => one_line(&scrub(body)).into_owned(),
            Format::Json => scrub_json(body),
        };
        clean.push('\n');
        self.out.write_all(clean.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The text with control characters escaped.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A JSON line with its texts scrubbed. A bare number that may be somebody's becomes a text, so that the line
/// stays JSON.
fn scrub_json(line: &str) -> String {
    fn walk(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => {
                if let Cow::Owned(clean) = scrub(text) {
                    *text = clean;
                }
            }
            serde_json::Value::Number(number) => {
                let text = number.to_string();
                if let Cow::Owned(clean) = scrub(&text) {
                    *value = serde_json::Value::String(clean);
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(walk),
            serde_json::Value::Object(fields) => {
                // A name is written in the code, never by a caller.
                fields.values_mut().for_each(walk);
            }
            serde_json::Value::Null | serde_json::Value::Bool(_) => {}
        }
    }
    match serde_json::from_str(line) {
        Ok(mut value) => {
            walk(&mut value);
            value.to_string()
        }
        Err(_) => one_line(&scrub(line)).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Logs with `write`, and gives what came out.
    fn logged(config: Config, write: impl FnOnce(&Log)) -> String {
        #[derive(Clone, Default)]
        struct Out(Arc<Mutex<Vec<u8>>>);
        impl Write for Out {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("no panic").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let out = Out::default();
        let made = out.clone();
        let (subscriber, log) = subscriber(config, move || made.clone());
        tracing::subscriber::with_default(subscriber, || write(&log));
        let bytes = out.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn no_number_gets_out_by_mistake_and_ids_times_and_addresses_do() {
        let text = logged(Config::default(), |_| {
            tracing::info!(
                number = "+8613800000001",
                digits = 13_800_000_001_u64,
                "call 01KAJ12345678901234567890X from 13900000002 at 192.168.100.200:5060"
            );
        });
        assert!(
            text.contains("call 01KAJ12345678901234567890X from 139****0002 at 192.168.100.200:5060"),
            "{text}"
        );
        assert!(
            text.contains("number=\"+138****0001\" digits=138****0001"),
            "{text}"
        );
        let year = text.split('-').next().unwrap_or("");
        assert!(
            year.len() == 4 && year.bytes().all(|c| c.is_ascii_digit()),
            "the time is readable: {text}"
        );
    }

    #[test]
    fn a_json_line_stays_json_and_holds_no_number() {
        let config = Config {
            format: Format::Json,
            ..Config::default()
        };
        let text = logged(config, |_| {
            tracing::info!(
                digits = 13_800_000_001_u64,
                small = 5_060,
                "from 13900000002\nnext"
            );
        });
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["fields"]["digits"], "138****0001");
        assert_eq!(line["fields"]["small"], 5_060);
        assert_eq!(line["fields"]["message"], "from 139****0002\nnext");
        assert!(line["timestamp"].as_str().is_some_and(|t| !t.contains('*')));
    }

    #[test]
    fn what_others_say_cannot_begin_a_line() {
        let text = logged(Config::default(), |_| {
            tracing::info!(
                "reason {}",
                "x\n2026-11-21T10:00:00Z ERROR umbra: forged\u{1b}[31m"
            );
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn the_level_changes_while_running_and_libraries_stay_at_warn() {
        let text = logged(Config::default(), |log| {
            tracing::debug!("first");
            log.set_level(Level::Trace);
            tracing::debug!("second");
            tracing::info!(target: "hyper", "third");
            tracing::warn!(target: "hyper", "fourth");
            log.set_level(Level::Error);
            tracing::warn!("fifth");
        });
        let seen: Vec<_> = ["first", "second", "third", "fourth", "fifth"]
            .into_iter()
            .filter(|word| text.contains(word))
            .collect();
        assert_eq!(seen, ["second", "fourth"]);
        assert_eq!(Level::from_name("debug"), Some(Level::Debug));
        assert_eq!(Level::from_name("loud"), None);
    }

    #[test]
    fn a_panic_is_logged_in_one_scrubbed_line() {
        let text = logged(Config::default(), |_| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(log_panic));
            let outcome = std::panic::catch_unwind(|| panic!("unexpected\n{}", "13800000001"));
            std::panic::set_hook(before);
            assert!(outcome.is_err());
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("panic") && text.contains("138****0001"), "{text}");
    }
}

//! The log: text or JSON on standard error, its level changeable while running, no number readable in it.
//!
//! Lines are written by a thread of their own: whoever has something to say puts it into a bounded queue and goes on,
//! because a journal that stalls must not stop a call. What the queue has no room for is counted, and the count is
//! written. Every line passes [`scrub`] on its way out, whatever wrote it and at whatever level; so does a panic's
//! message. A line is one line: what others put into it can't begin another.

use std::borrow::Cow;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{self, FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::base::redact::scrub;

/// Lines that wait to be written.
const WAITING_MAX: usize = 8_192;
/// Places of those that are kept for errors and warnings.
const RESERVED: usize = 1_024;
/// How long the last words of a process may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
pub struct Log {
    level: reload::Handle<Targets, Registry>,
    shape: Shape,
    queue: Queue,
}

impl Log {
    /// Changes the level, from now on.
    pub fn set_level(&self, level: Level) {
        // Fails only when the log itself is gone, and then nobody would read of it.
        let _ = self.level.reload(level.targets());
    }

    /// Changes level and form, from now on.
    pub fn set(&self, config: Config) {
        self.shape.set(config.format);
        self.set_level(config.level);
    }

    /// How many lines were left out, because whoever reads the log is too slow.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }
}

/// The process's log, for its last words.
static RUNNING: OnceLock<Queue> = OnceLock::new();

/// A log is running already: a process has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log was started twice")]
pub struct Started;

/// Starts the process's log, on standard error, and takes over the panic hook.
///
/// # Errors
/// The process has one already.
pub fn start(config: Config) -> Result<Log, Started> {
    let (queue, said) = Queue::new();
    let (subscriber, log) = subscriber(config, queue);
    subscriber.try_init().map_err(|_| Started)?;
    let dropped = Arc::clone(&log.queue.dropped);
    let line = Line {
        out: io::stderr(),
        shape: log.shape.clone(),
    };
    let thread = std::thread::Builder::new().name("log".into());
    // Without the thread nothing is written; but then the system has no threads for the server either.
    let _ = thread.spawn(move || write_all(&said, line, &dropped));
    let _ = RUNNING.set(log.queue.clone());
    std::panic::set_hook(Box::new(|panic| {
        log_panic(panic);
        flush();
    }));
    Ok(log)
}

/// Waits until everything that was said so far is written; a second or two at most. For the end of the process.
pub fn flush() {
    if let Some(queue) = RUNNING.get() {
        queue.flush();
    }
}

/// The log's subscriber, whose lines go into `queue`.
fn subscriber(config: Config, queue: Queue) -> (impl tracing::Subscriber + Send + Sync, Log) {
    let (filter, level) = reload::Layer::new(config.level.targets());
    let shape = Shape::default();
    shape.set(config.format);
    let log = Log {
        level,
        shape: shape.clone(),
        queue: queue.clone(),
    };
    let layer = fmt::layer()
        .event_format(shape)
        .with_ansi(false)
        .with_writer(queue);
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    (subscriber, log)
}

/// The form of the lines, which may change between two of them. Whoever holds a clone sees the change.
#[derive(Clone, Default)]
struct Shape(Arc<AtomicBool>);

impl Shape {
    fn set(&self, format: Format) {
        self.0.store(format == Format::Json, Ordering::Relaxed);
    }

    fn format(&self) -> Format {
        match self.0.load(Ordering::Relaxed) {
            true => Format::Json,
            false => Format::Text,
        }
    }
}

// The house has no spans, whose fields would be kept in the form that they were first written in.
impl<S, N> FormatEvent<S, N> for Shape
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        match self.format() {
            Format::Text => fmt::format()
                .with_ansi(false)
                .format_event(context, writer, event),
            Format::Json => fmt::format().json().format_event(context, writer, event),
        }
    }
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

/// What is put into the queue.
enum Said {
    /// A whole line, as the formatters write it.
    Line(Box<[u8]>),
    /// Everything before it is to be written; then its sender goes.
    Flush(Sender<()>),
}

/// The way to the thread that writes.
#[derive(Clone)]
struct Queue {
    said: Sender<Said>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    fn new() -> (Self, Receiver<Said>) {
        let (said, written) = crossbeam_channel::bounded(WAITING_MAX);
        let dropped = Arc::default();
        (Self { said, dropped }, written)
    }

    fn flush(&self) {
        let (done, wait) = crossbeam_channel::bounded(0);
        if self.said.send_timeout(Said::Flush(done), LAST_WORDS).is_ok() {
            // Nothing is ever sent: the end of the sender is the news.
            let _ = wait.recv_timeout(LAST_WORDS);
        }
    }
}

impl MakeWriter<'_> for Queue {
    type Writer = Put;

    fn make_writer(&self) -> Put {
        self.for_level(&tracing::Level::INFO)
    }

    fn make_writer_for(&self, meta: &tracing::Metadata<'_>) -> Put {
        self.for_level(meta.level())
    }
}

impl Queue {
    fn for_level(&self, level: &tracing::Level) -> Put {
        Put {
            queue: self.clone(),
            most: if *level <= tracing::Level::WARN {
                WAITING_MAX
            } else {
                WAITING_MAX - RESERVED
            },
        }
    }
}

/// Puts lines into the queue while fewer than `most` wait there.
struct Put {
    queue: Queue,
    most: usize,
}

impl Write for Put {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Queue { said, dropped } = &self.queue;
        if said.len() >= self.most || said.try_send(Said::Line(line.into())).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the log's thread does.
fn write_all(said: &Receiver<Said>, mut line: Line<impl Write>, dropped: &AtomicU64) {
    let mut told = 0;
    for said in said {
        match said {
            // Standard error may be gone; there is nobody else to tell.
            Said::Line(text) => {
                let _ = line.write(&text);
            }
            Said::Flush(done) => {
                let _ = line.flush();
                drop(done);
            }
        }
        let now = dropped.load(Ordering::Relaxed);
        if now > told {
            let news = format!(
                "{} lines of the log were left out: whoever reads it is too slow",
                now - told
            );
            let news = match line.shape.format() {
                Format::Text => news,
                Format::Json => serde_json::json!({"level": "WARN", "fields": {"message": news}}).to_string(),
            };
            let _ = line.write(news.as_bytes());
            told = now;
        }
    }
}

/// Takes one whole line at a time, as the formatters write it.
struct Line<W> {
    out: W,
    shape: Shape,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        // It was written before the form may have changed; one for people begins with the time.
        let mut clean = match body.starts_with('{') {
            false => one_line(&scrub(body)).into_owned(),
            true => scrub_json(body),
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
mod tests;

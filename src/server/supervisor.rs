//! What systemd is told, and asked for: readiness, reloads, stopping, more time, and that we are alive.
//!
//! Without systemd there is nobody to tell, and every function does nothing.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// How often more time is asked for while something takes long; each time twice that.
const EXTEND_EVERY: Duration = Duration::from_secs(10);

/// How long the end may take once no call is left; twice that is asked for.
const CLOSE: Duration = Duration::from_secs(60);

/// The server serves, and new calls are welcome.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// Leaves a socket with systemd (`FileDescriptorStoreMax=`), for the process that comes after this one: what is sent
/// to it meanwhile waits in it, and nobody else gets its port.
pub(super) fn keep(name: &str, socket: BorrowedFd<'_>) {
    let news = [
        NotifyState::FdStore,
        NotifyState::FdName(name),
        // One that has an error of the network to tell is as good as any.
        NotifyState::Custom("FDPOLL=0"),
    ];
    // Without a store there is nobody to keep it: the next process binds its own.
    let _ = sd_notify::notify_with_fds(false, &news, &[socket]);
}

/// A socket that systemd keeps is not wanted any more.
pub(super) fn keep_no_more(name: &str) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

/// The server ends at once, and the calls in progress go on in the process that comes next.
pub(super) fn handing_over(calls: usize) {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status(&format!("handing over: {calls} calls in progress")),
        more(EXTEND_EVERY),
    ]);
}

/// The conf is being read again; [`ready`] ends that. systemd 253 and later wants to know since when.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The server takes no new call and ends when these are over.
pub(super) fn stopping(calls: usize) {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status(&format!("stopping: {calls} calls in progress")),
        more(EXTEND_EVERY),
    ]);
}

/// No call is left: files are closed and threads end, which takes as long as the disk does.
pub(super) fn closing() {
    tell(&[NotifyState::Status("closing the data"), more(CLOSE)]);
}

/// The server goes on and takes no new call.
pub(super) fn draining() {
    tell(&[NotifyState::Status("draining: new calls are refused")]);
}

/// Asks for more time until it is dropped: opening the data may take long, and is no fault.
pub(super) struct Patience(Arc<AtomicBool>);

impl Patience {
    /// From now on.
    pub(super) fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        if std::env::var_os("NOTIFY_SOCKET").is_some() {
            let over = over.clone();
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    tell(&[NotifyState::Status("opening the data"), more(EXTEND_EVERY)]);
                    thread::park_timeout(EXTEND_EVERY);
                }
            });
        }
        Self(over)
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The dog that systemd starts us anew for: fed while every SIP shard comes to its mail.
pub(super) struct Watchdog {
    /// How often it is fed; `None` if there is none.
    every: Option<Duration>,
    fed: Instant,
    /// How often each shard had come to its mail when the dog was fed last.
    beats: Vec<u64>,
}

impl Watchdog {
    /// The dog of this process, if systemd keeps one (`WatchdogSec=`).
    pub(super) fn of_this_process() -> Self {
        let mut usec = 0;
        let every = sd_notify::watchdog_enabled(false, &mut usec).then(|| Duration::from_micros(usec / 4));
        Self {
            every,
            fed: Instant::now(),
            beats: Vec::new(),
        }
    }

    /// Whether it is time to look after it.
    pub(super) fn is_due(&self) -> bool {
        self.every.is_some_and(|every| self.fed.elapsed() >= every)
    }

    /// Feeds it, if every shard has come to its mail since the last time. Whoever calls this then gives each
    /// shard something to come for.
    pub(super) fn feed(&mut self, beats: Vec<u64>) {
        if alive(&self.beats, &beats) {
            tell(&[NotifyState::Watchdog]);
        }
        self.fed = Instant::now();
        self.beats = beats;
    }
}

/// Whether every count has grown. Nothing is known of the first time.
fn alive(before: &[u64], now: &[u64]) -> bool {
    before.is_empty()
        || (before.len() == now.len() && before.iter().zip(now).all(|(before, now)| before != now))
}

fn more(time: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from((time * 2).as_micros()).unwrap_or(u32::MAX))
}

fn tell(news: &[NotifyState<'_>]) {
    // Nobody there, or nobody who listens: calls go on all the same.
    let _ = sd_notify::notify(false, news);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_does_not_come_to_its_mail_starves_the_watchdog() {
        assert!(alive(&[], &[0, 0]), "nothing is known yet");
        assert!(alive(&[1, 7], &[2, 9]));
        assert!(!alive(&[1, 7], &[2, 7]));
    }
}

//! The machine: open files, buffers, disk, clock.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::super::when;
use super::super::zone;
use super::{Finding, Server};
use crate::base::limits::OTHER_FILES;
use crate::base::time::Wall;
use crate::config::Conf;

/// Bytes that a disk has left at the least, and those from which on nobody has to look.
const FREE_MIN: u64 = 256 << 20;
const FREE_ENOUGH: u64 = 2 << 30;
/// What SIP sockets ask for; the system gives no more than `net.core.rmem_max`.
const BUFFER: u64 = 4 << 20;
/// Syncs that are measured, and what one of them may take before it is said.
const SYNCS: usize = 9;
const SYNC_SLOW: Duration = Duration::from_millis(20);
const SYNC_BAD: Duration = Duration::from_millis(500);
/// How long both clocks are watched, and how far they may come apart meanwhile.
const CLOCK_WATCH: Duration = Duration::from_millis(200);
const CLOCK_APART: Duration = Duration::from_millis(20);

/// The limit of open files beside what the conf asks for.
pub(super) fn files(conf: &Conf, server: &Server) -> Vec<Finding> {
    let process = match server {
        Server::Runs { pid } => pid.to_string(),
        Server::Away => "self".to_owned(),
    };
    let text = fs::read_to_string(format!("/proc/{process}/limits")).unwrap_or_default();
    // The server raises its soft limit to the hard one.
    let hard = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().nth(1));
    match hard {
        Some("unlimited") => vec![Finding::ok("files", "as many as it takes")],
        Some(hard) => hard
            .parse()
            .map_or_else(|_| Vec::new(), |hard| vec![enough_files(hard, conf)]),
        None => Vec::new(),
    }
}

fn enough_files(hard: usize, conf: &Conf) -> Finding {
    let ports = conf.switch.media.ports();
    let calls = conf.switch.calls_max.saturating_mul(conf.shards);
    // A call has two RTP ports and their RTCP ports, each an open file.
    let wanted = ports.min(calls.saturating_mul(4)) + OTHER_FILES;
    let possible = hard.saturating_sub(OTHER_FILES) / 4;
    if hard >= wanted {
        return Finding::ok(
            "files",
            format!("{hard} may be open, at most {wanted} are wanted"),
        );
    }
    let found = format!("{hard} files may be open, media.ports and limits.calls want {wanted}");
    let cure = format!("LimitNOFILE={wanted} in the unit, or ulimit -n {wanted}; or narrow media.ports");
    if possible < 100 {
        Finding::fail("files", format!("{found}: {possible} calls at once"), cure)
    } else {
        Finding::warn("files", format!("{found}: {possible} calls at once"), cure)
    }
}

/// What the system lets a socket's buffer hold.
pub(super) fn buffers() -> Vec<Finding> {
    let small: Vec<(&str, u64)> = ["rmem_max", "wmem_max"]
        .into_iter()
        .filter_map(|name| {
            let text = fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?;
            Some((name, text.trim().parse().ok()?))
        })
        .filter(|(_, bytes)| *bytes < BUFFER)
        .collect();
    if small.is_empty() {
        return vec![Finding::ok("buffers", "SIP sockets get what they ask for")];
    }
    let (mut found, mut cure) = (Vec::new(), "sysctl".to_owned());
    for (name, bytes) in small {
        found.push(format!("net.core.{name} is {bytes}"));
        cure.push_str(&format!(" net.core.{name}={BUFFER}"));
    }
    let found = format!("{}: a burst of signalling may be lost", found.join(", "));
    vec![Finding::warn("buffers", found, cure)]
}

/// The folders of bindings and records.
pub(super) fn disk(conf: &Conf, server: &Server) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, dir) in [
        ("store.path", &conf.store),
        ("records.cdr_dir", &conf.records.dir),
    ] {
        let there = existing(dir);
        findings.push(folder(key, dir, &there, server));
        findings.extend(space(&there));
        if key == "store.path" {
            findings.extend(kind(&there));
            findings.extend(syncs(&there));
        }
    }
    findings
}

/// The folder, or the nearest one above it that is there.
fn existing(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let there = dir.ancestors().find(|dir| dir.is_dir());
    there.unwrap_or(Path::new("/")).to_owned()
}

/// Whether it can be written, and by whom it is used.
fn folder(key: &str, dir: &Path, there: &Path, server: &Server) -> Finding {
    let shown = dir.display();
    if let Err(error) = probe(there).map(drop) {
        let cure =
            "run this as the user that runs the server; if that is you: chown the folder, or choose another";
        return Finding::fail(
            "disk",
            format!("{key}: {} can't be written ({error})", there.display()),
            cure,
        );
    }
    if there != std::path::absolute(dir).unwrap_or_default() {
        return Finding::ok("disk", format!("{key}: {shown} is made at the first start"));
    }
    if let Server::Away = server
        && is_locked(dir)
    {
        let found = format!("{key}: another process has {shown}, and no server answers");
        let cure =
            "find it (fuser -v on the file `lock` there) and stop it; or name its socket with --control";
        return Finding::fail("disk", found, cure);
    }
    match fs::metadata(dir) {
        Ok(meta) if meta.mode() & 0o007 != 0 => {
            let found = format!("{key}: {shown} is open to everybody on this machine");
            Finding::warn("disk", found, format!("chmod o-rwx {shown}"))
        }
        Ok(_) | Err(_) => Finding::ok("disk", format!("{key}: {shown} can be written")),
    }
}

/// Whether a server holds the folder's lock.
fn is_locked(dir: &Path) -> bool {
    // Opened for reading, and never made: a doctor leaves nothing behind.
    File::open(dir.join("lock"))
        .is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

fn space(dir: &Path) -> Option<Finding> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let found = format!("{} has {} MiB left", dir.display(), free >> 20);
    let cure =
        "make room, or move store.path and records.cdr_dir; records.keep_days deletes old records sooner";
    Some(match free {
        ..FREE_MIN => Finding::fail("disk", found, cure),
        FREE_MIN..FREE_ENOUGH => Finding::warn("disk", found, cure),
        _ if stat.f_files > 0 && stat.f_favail < 10_000 => {
            let found = format!("{} has room for {} files more", dir.display(), stat.f_favail);
            Finding::warn("disk", found, "delete what isn't needed there")
        }
        _ => Finding::ok("disk", found),
    })
}

/// What kind of filesystem it is: some forget what they were told to keep.
fn kind(dir: &Path) -> Option<Finding> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = kind_in(&mounts, dir)?;
    let found = format!("{} is on {kind}", dir.display());
    Some(match kind {
        "tmpfs" | "ramfs" => Finding::warn(
            "disk",
            format!("{found}: bindings are gone after a restart of the machine"),
            "choose a store.path on a disk",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" => Finding::warn(
            "disk",
            format!("{found}: locks and syncs across a network are not to be relied on"),
            "choose a store.path on a local disk",
        ),
        kind if kind.starts_with("fuse") => Finding::warn(
            "disk",
            format!("{found}: whether its syncs are durable is its own affair"),
            "choose a store.path on a local disk",
        ),
        _ => Finding::ok("disk", found),
    })
}

/// The kind of the filesystem that holds `dir`, by proc_pid_mountinfo(5): the longest mount point wins, the last of
/// several.
fn kind_in<'m>(mounts: &'m str, dir: &Path) -> Option<&'m str> {
    mounts
        .lines()
        .filter_map(|line| {
            let (mount, rest) = line.split_once(" - ")?;
            let point = Path::new(mount.split(' ').nth(4)?);
            dir.starts_with(point)
                .then_some((point.components().count(), rest.split(' ').next()?))
        })
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, kind)| kind)
}

/// How long the disk takes to keep something.
fn syncs(dir: &Path) -> Option<Finding> {
    let mut probe = probe(dir).ok()?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        if let Err(error) = probe
            .file
            .write_all(&[0; 256])
            .and_then(|()| probe.file.sync_data())
        {
            let cure = "look at the disk (dmesg): nothing can be bound there";
            return Some(Finding::fail(
                "disk",
                format!("a write was not kept ({error})"),
                cure,
            ));
        }
        times.push(begun.elapsed());
    }
    times.sort();
    let median = times.get(SYNCS / 2).copied().unwrap_or_default();
    let found = format!(
        "a write is kept after {:.1} ms (median of {SYNCS})",
        median.as_secs_f64() * 1e3
    );
    Some(match median {
        slow if slow >= SYNC_BAD => Finding::fail("disk", found, "use a faster disk: each bind waits for it"),
        slow if slow >= SYNC_SLOW => {
            Finding::warn("disk", found, "use a faster disk: each bind waits for it")
        }
        _ => Finding::ok("disk", found),
    })
}

/// A file to try the disk with; it is deleted in the end.
struct Probe {
    file: File,
    path: PathBuf,
}

fn probe(dir: &Path) -> std::io::Result<Probe> {
    let path = dir.join(format!(".umbra-doctor.{}", std::process::id()));
    let file = File::options().write(true).create_new(true).open(&path)?;
    Ok(Probe { file, path })
}

impl Drop for Probe {
    fn drop(&mut self) {
        // It was ours a moment ago; if somebody took it away, all the better.
        let _ = fs::remove_file(&self.path);
    }
}

/// The clock: whether something keeps it, whether it runs evenly, and where we are.
pub(super) fn clock() -> Vec<Finding> {
    let (begun, wall) = (Instant::now(), SystemTime::now());
    std::thread::sleep(CLOCK_WATCH);
    let (steady, passed) = (begun.elapsed(), wall.elapsed());
    let apart = match passed {
        Ok(passed) => passed.abs_diff(steady),
        Err(back) => back.duration() + steady,
    };
    let mut findings = Vec::new();
    if apart > CLOCK_APART {
        let found = format!("it jumped by {} ms while it was watched", apart.as_millis());
        let cure = "let one program set the clock (chrony or systemd-timesyncd), and let it slew";
        findings.push(Finding::warn("clock", found, cure));
    }
    findings.push(match zone::synchronised() {
        Some(true) => Finding::ok("clock", "it is kept by a time server"),
        Some(false) => Finding::warn(
            "clock",
            "nothing keeps it: records and expiries drift",
            "install chrony, or timedatectl set-ntp true",
        ),
        None => Finding::warn(
            "clock",
            "the system doesn't say whether a time server keeps it",
            "",
        ),
    });
    let unix = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let local = when::show_time(Wall::from_millis(unix.saturating_mul(1_000)));
    findings.push(Finding::ok(
        "zone",
        format!("it is {local} here; records are in UTC"),
    ));
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn files_are_counted_by_what_calls_and_ports_can_want() {
        let mut conf = Conf::embedded();
        assert_eq!(enough_files(10_512, &conf).grade, Grade::Ok);
        let narrow = enough_files(4_096, &conf);
        assert_eq!(narrow.grade, Grade::Warn);
        assert!(
            narrow.found.ends_with("want 10512: 896 calls at once"),
            "{narrow}"
        );
        assert!(narrow.cure.contains("LimitNOFILE=10512"), "{narrow}");
        assert_eq!(enough_files(600, &conf).grade, Grade::Fail);
        conf.switch.calls_max = 20;
        assert_eq!(
            enough_files(600, &conf).grade,
            Grade::Ok,
            "20 calls never need more"
        );
    }

    #[test]
    fn the_filesystem_is_that_of_the_longest_mount_point() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      30 22 0:25 / /var/lib/umbra rw - nfs4 host:/x rw\n\
                      31 22 0:26 / /var/lib/umbra/ram rw - tmpfs tmpfs rw\n";
        for (dir, wanted) in [
            ("/var/lib/umbra/data", "nfs4"),
            ("/var/lib/umbra/ram/x", "tmpfs"),
            ("/var/lib/umbraX", "ext4"),
        ] {
            assert_eq!(kind_in(mounts, Path::new(dir)), Some(wanted), "{dir}");
        }
    }

    #[test]
    fn a_folder_that_another_process_has_is_told_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().expect("a folder");
        let conf = Conf {
            store: dir.path().join("store"),
            ..Conf::embedded()
        };
        let about = |conf: &Conf| folder("store.path", &conf.store, &existing(&conf.store), &Server::Away);
        assert!(about(&conf).found.ends_with("is made at the first start"));
        fs::create_dir(&conf.store).expect("made");
        fs::set_permissions(&conf.store, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("open");
        assert_eq!(about(&conf).grade, Grade::Warn, "real numbers lie there");
        fs::set_permissions(&conf.store, std::os::unix::fs::PermissionsExt::from_mode(0o750)).expect("shut");
        assert_eq!(about(&conf).grade, Grade::Ok);
        let held = File::create(conf.store.join("lock")).expect("made");
        held.lock().expect("locked");
        let found = about(&conf);
        assert!(
            found.grade == Grade::Fail && found.found.contains("another process has"),
            "{found}"
        );
        drop(held);
        assert_eq!(about(&conf).grade, Grade::Ok);
        assert!(syncs(&conf.store).is_some());
        assert_eq!(
            fs::read_dir(&conf.store).expect("readable").count(),
            1,
            "only the lock"
        );
    }
}

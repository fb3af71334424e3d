//! A small machine: a process that gets a part of one processor, and nothing of the others.

use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};

/// The kernel hands the part out so often.
const PERIOD_US: u32 = 5_000;

/// A share of a processor; dropped, it is given back.
pub struct Share {
    folder: PathBuf,
    /// Where the kernel's first kind of groups is, whoever is left goes back there.
    home: PathBuf,
}

impl Share {
    /// Gives a process and its threads so many hundredths of a processor.
    ///
    /// # Errors
    /// The system lets us make no group (it takes root).
    pub fn of(pid: u32, percent: u32) -> io::Result<Self> {
        let first_kind = Path::new("/sys/fs/cgroup/cpu");
        let home = if first_kind.is_dir() {
            first_kind.to_owned()
        } else {
            PathBuf::from("/sys/fs/cgroup")
        };
        let share = Self {
            folder: home.join(format!("umbra-bench-{pid}")),
            home,
        };
        fs::create_dir(&share.folder)?;
        let quota = PERIOD_US * percent / 100;
        let set = |file: &str, text: String| fs::write(share.folder.join(file), text);
        if first_kind.is_dir() {
            set("cpu.cfs_period_us", PERIOD_US.to_string())?;
            set("cpu.cfs_quota_us", quota.to_string())?;
        } else {
            set("cpu.max", format!("{quota} {PERIOD_US}"))?;
        }
        set("cgroup.procs", pid.to_string())?;
        Ok(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let left = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in left.lines() {
            // It may be gone by now.
            let _ = fs::write(self.home.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Keeps all threads of a process (0: this thread) on one processor.
pub fn pin(pid: u32, processor: usize) {
    let threads: Vec<i32> = if pid == 0 {
        vec![0]
    } else {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
        let names = tasks.flatten().map(|task| task.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect()
    };
    // SAFETY: a set of processors is plain integers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the set is ours, and the processor's number is below its size.
    unsafe { libc::CPU_SET(processor, &mut set) };
    for thread in threads {
        // SAFETY: the set lives during the call, and its size is given.
        let outcome = unsafe { libc::sched_setaffinity(thread, mem::size_of_val(&set), &raw const set) };
        assert_eq!(outcome, 0, "a thread of ours can be pinned");
    }
}

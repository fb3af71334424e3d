//! What the kernel says about a process.

use std::fs;

/// `/proc/PID/stat` counts in hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;

/// Seconds of processor time that a process has used so far, in user mode and in the kernel.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    // The name, in parentheses, may hold anything; the fields after it begin with the third.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let ticks = |field: usize| {
        fields
            .get(field - 3)
            .and_then(|t| t.parse::<f64>().ok())
            .unwrap_or(f64::NAN)
    };
    (ticks(14) + ticks(15)) / TICKS_A_SECOND
}

/// Bytes of memory that a process holds, shared pages counted in part.
pub fn pss_bytes(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a running process");
    let kib = rollup.lines().find_map(|line| {
        line.strip_prefix("Pss:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<f64>()
            .ok()
    });
    kib.unwrap_or(f64::NAN) * 1024.0
}

/// How many descriptors a process has open.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

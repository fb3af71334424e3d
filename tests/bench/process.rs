//! What the kernel says about a process.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Seconds of processor time that a process has used so far, in user mode and in the kernel: what `utime` and `stime`
/// of `/proc/PID/stat` add up to, to the nanosecond instead of the hundredth of a second. No thread of the server ends
/// before it does.
pub fn cpu_seconds(pid: u32) -> f64 {
    cpu_seconds_by_thread(pid).values().sum()
}

/// The same of each thread by its name; of those of one name together.
pub fn cpu_seconds_by_thread(pid: u32) -> BTreeMap<String, f64> {
    let mut threads = BTreeMap::new();
    for (name, path) in threads_of(pid) {
        // It may have ended meanwhile.
        let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let run_ns = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
        *threads.entry(name).or_default() += run_ns.unwrap_or(0.0) / 1e9;
    }
    threads
}

/// The same of a thread of this process, by its name.
pub fn thread_cpu_seconds(name: &str) -> f64 {
    let threads = cpu_seconds_by_thread(std::process::id());
    threads.get(name).copied().unwrap_or(0.0)
}

/// What the system calls a process's first thread of that name.
pub fn thread_id(pid: u32, name: &str) -> Option<u32> {
    let (_, path) = threads_of(pid).find(|(thread, _)| thread == name)?;
    path.file_name()?.to_str()?.parse().ok()
}

/// The threads of a process: their names, and where the kernel tells of them.
fn threads_of(pid: u32) -> impl Iterator<Item = (String, PathBuf)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    threads.flatten().filter_map(|thread| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        Some((name.trim().to_owned(), thread.path()))
    })
}

/// Packets that came to the UDP socket on this IPv4 address and found its buffer full.
pub fn drops(at: SocketAddr) -> u64 {
    let IpAddr::V4(ip) = at.ip() else {
        panic!("an IPv4 address");
    };
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), at.port());
    let table = fs::read_to_string("/proc/net/udp").expect("the kernel tells");
    let mut sockets = table.lines().map(|line| line.split_whitespace());
    sockets
        .find_map(|mut words| (words.nth(1)? == local).then(|| words.last()?.parse().ok())?)
        .expect("a socket of ours")
}

/// Bytes of the kernel's own memory that it can't give back: sockets, among all else on this machine.
pub fn slab_bytes() -> f64 {
    kib("/proc/meminfo", "SUnreclaim:")
}

fn kib(path: &str, name: &str) -> f64 {
    let text = fs::read_to_string(path).expect("the kernel tells");
    let value = text.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.trim().strip_suffix("kB")?;
        value.trim().parse::<f64>().ok()
    });
    value.unwrap_or(f64::NAN) * 1024.0
}

/// Bytes of memory that a process holds, shared pages counted in part.
pub fn pss_bytes(pid: u32) -> f64 {
    kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// How many descriptors a process has open.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

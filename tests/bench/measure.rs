//! What a call, a packet, a held call and a binding cost, each beside the least that it could cost on this
//! machine: `bash tests/bench/run`. A figure is the median of its rounds; only the ratios of one run mean
//! something.

mod bare;
mod binds;
mod calls;
mod choose;
mod held;
mod memory;
mod million;
mod open;
mod process;
mod rtp;
#[path = "../support/server.rs"]
mod server;
mod writer;

use std::fmt::Write;

/// How long and how often is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Once and briefly, to see that it works.
    Smoke,
    /// As long as a figure needs.
    Full,
}

impl Length {
    /// One of two values.
    pub fn choose<T>(self, smoke: T, full: T) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Full => full,
        }
    }
}

/// One line of the table.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The server's figure.
    pub ours: String,
    /// The bare loop's.
    pub bare: String,
    /// How they compare.
    pub ratio: String,
    /// How it was measured.
    pub how: String,
}

/// Several measurements of one thing.
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// Measures `count` times.
    pub fn of(values: Vec<f64>) -> Self {
        let mut values = values;
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The middle one and how far the others are from it.
    pub fn show(&self, unit: &str) -> String {
        let (low, high) = (self.0.first(), self.0.last());
        match (low, high) {
            (Some(low), Some(high)) if self.0.len() > 1 => {
                format!(
                    "{} ({}–{}) {unit}",
                    short(self.median()),
                    short(*low),
                    short(*high)
                )
            }
            _ => format!("{} {unit}", short(self.median())),
        }
    }
}

/// Three digits, as far as they mean anything.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if arguments.first().is_some_and(|a| a == bare::RELAY) {
        return bare::relay(&arguments[1..]);
    }
    if arguments.first().is_some_and(|a| a == million::FILL) {
        return million::fill(&arguments[1..]);
    }
    let length = if arguments.iter().any(|a| a == "--smoke") {
        Length::Smoke
    } else {
        Length::Full
    };
    let named: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|a| *a != "--smoke")
        .collect();
    let known = ["calls", "rtp", "memory", "binds", "writer", "open", "choose"];
    if let Some(strange) = named.iter().find(|name| !known.contains(name)) {
        eprintln!(
            "there is nothing to measure named {strange}: {}",
            known.join(", ")
        );
        std::process::exit(2);
    }
    let is_wanted = |name: &str| named.is_empty() || named.contains(&name);

    let mut rows = Vec::new();
    // Calls are compared with bare packets, so these come first.
    let packet = (is_wanted("rtp") || is_wanted("calls")).then(|| rtp::measure(length));
    if is_wanted("calls") {
        let bare_packet_us = packet.as_ref().map_or(f64::NAN, |(_, bare_us)| *bare_us);
        rows.push(calls::measure(length, bare_packet_us));
    }
    if let Some((row, _)) = packet.filter(|_| is_wanted("rtp")) {
        rows.push(row);
    }
    if is_wanted("memory") {
        rows.extend(memory::measure(length));
    }
    if is_wanted("binds") {
        rows.extend(binds::measure(length));
    }
    if is_wanted("writer") {
        rows.extend(writer::measure(length));
    }
    if is_wanted("open") {
        rows.extend(open::measure(length));
    }
    if is_wanted("choose") {
        rows.extend(choose::measure(length));
    }
    print!("{}", table(&rows));
}

fn table(rows: &[Row]) -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut out = format!("{cpus} processors, Linux {}", kernel.trim());
    out.push_str("; the median of the rounds (lowest–highest); traffic on loopback\n\n");
    let width = |of: fn(&Row) -> &str, head: &str| {
        let widest = rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        widest.max(head.len())
    };
    let widths = [
        width(|row| &row.what, "WHAT"),
        width(|row| &row.ours, "OURS"),
        width(|row| &row.bare, "BARE LOOP"),
        width(|row| &row.ratio, "RATIO"),
    ];
    let heads = ["WHAT", "OURS", "BARE LOOP", "RATIO", "HOW"];
    let cells = rows
        .iter()
        .map(|row| [&*row.what, &row.ours, &row.bare, &row.ratio, &row.how]);
    for line in std::iter::once(heads).chain(cells) {
        for (cell, width) in line.iter().zip(widths) {
            // Padding by characters, not bytes: µ and – are one column.
            let _ = write!(
                out,
                "{cell}{:pad$}",
                "",
                pad = width + 2 - cell.chars().count().min(width)
            );
        }
        let _ = writeln!(out, "{}", line[4]);
    }
    out
}

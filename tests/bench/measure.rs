//! What a call, a packet, a held call and a binding cost, each beside the least that it could cost on this
//! machine and the floor that it has to keep: `bash tests/bench/run`. A figure is the median of its rounds; what a
//! busy machine adds to it, it adds to the bare loop's too.

mod alone;
mod bare;
#[path = "../support/batch.rs"]
mod batch;
mod binds;
mod calls;
mod choose;
mod flat;
mod held;
mod journal;
mod listen;
mod memory;
mod million;
mod open;
mod overload;
#[path = "../support/pcma.rs"]
mod pcma;
mod process;
mod prompts;
mod recordings;
mod rtp;
#[path = "../support/server.rs"]
mod server;
mod small;
mod srtp;
mod start;
mod strangers;
mod tones;
mod writer;

use std::fmt::Write;

/// The server's own: what is measured in this process is measured as it is there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// What it has to come up to, if anything.
    pub floor: Option<Floor>,
    /// How it was measured.
    pub how: String,
    /// What shows where it goes, for one that falls short.
    pub profile: Option<&'static str>,
}

impl Row {
    /// A row without figures.
    pub fn new(what: &str, how: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            ours: "-".into(),
            bare: "-".into(),
            ratio: "-".into(),
            floor: None,
            how: how.into(),
            profile: None,
        }
    }
}

/// What a figure has to come up to.
pub struct Floor {
    text: String,
    verdict: Verdict,
}

/// Whether it does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Short,
}

impl Floor {
    /// The figure has to be this at the most.
    pub fn at_most(limit: f64, unit: &str, figure: f64) -> Self {
        Self {
            text: format!("≤ {limit} {unit}"),
            verdict: if figure <= limit {
                Verdict::Pass
            } else {
                Verdict::Short
            },
        }
    }

    /// The figure has to be this at least.
    pub fn at_least(limit: f64, unit: &str, figure: f64) -> Self {
        Self {
            text: format!("≥ {limit} {unit}"),
            verdict: if figure >= limit {
                Verdict::Pass
            } else {
                Verdict::Short
            },
        }
    }
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
    match arguments.split_first() {
        Some((first, rest)) if first == bare::RELAY => return bare::relay(rest),
        Some((first, rest)) if first == alone::SWITCH => return alone::run(rest),
        Some((first, rest)) if first == journal::JOURNAL => return journal::run(rest),
        Some((first, rest)) if first == million::FILL => return million::fill(rest),
        Some((first, rest)) if first == recordings::tap::TAP => return recordings::tap::run(rest),
        Some(_) | None => {}
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
    let known = [
        "call",
        "journal",
        "rtp",
        "srtp",
        "recordings",
        "tones",
        "listen",
        "prompts",
        "held",
        "flat",
        "binds",
        "writer",
        "open",
        "start",
        "choose",
        "overload",
        "strangers",
    ];
    if let Some(strange) = named.iter().find(|name| !known.contains(name)) {
        eprintln!(
            "there is nothing to measure named {strange}: {}",
            known.join(", ")
        );
        std::process::exit(2);
    }
    let is_wanted = |name: &str| named.is_empty() || named.contains(&name);

    let mut rows = Vec::new();
    let mut call_us = None;
    if is_wanted("call") {
        let (row, us) = calls::measure(length);
        rows.push(row);
        call_us = us;
    }
    let mut packet_us = None;
    if is_wanted("rtp") {
        let (row, us) = rtp::measure(length);
        rows.push(row);
        packet_us = Some(us);
    }
    if is_wanted("srtp") {
        rows.extend(srtp::measure(length));
    }
    if is_wanted("recordings") {
        rows.extend(recordings::measure(length));
    }
    if is_wanted("tones") {
        rows.push(tones::measure(length));
    }
    if is_wanted("listen") {
        rows.extend(listen::measure(length));
    }
    if is_wanted("prompts") {
        rows.push(prompts::measure(length));
    }
    if is_wanted("journal") {
        rows.extend(journal::measure(length, call_us, packet_us));
    }
    if is_wanted("held") {
        rows.extend(memory::measure(length));
    }
    if is_wanted("flat") {
        rows.extend(flat::measure(length));
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
    if is_wanted("start") {
        rows.extend(start::measure(length));
    }
    if is_wanted("choose") {
        rows.extend(choose::measure(length));
    }
    if is_wanted("overload") {
        rows.extend(overload::measure(length));
    }
    if is_wanted("strangers") {
        rows.extend(strangers::measure(length));
    }
    print!("{}", table(&rows));
    for row in &rows {
        if let (Some(Verdict::Short), Some(profile)) =
            (row.floor.as_ref().map(|floor| floor.verdict), row.profile)
        {
            println!("\n{} falls short. Where it goes: {profile}", row.what);
        }
    }
}

fn table(rows: &[Row]) -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut out = format!("{cpus} processors, Linux {}", kernel.trim());
    out.push_str("; the median of the rounds (lowest–highest); traffic on loopback\n\n");
    let heads = ["WHAT", "OURS", "BARE LOOP", "RATIO", "FLOOR", "VERDICT", "HOW"];
    let cells = rows.iter().map(|row| {
        let (floor, verdict) = match &row.floor {
            None => ("-", "-"),
            Some(floor) => match floor.verdict {
                Verdict::Pass => (&*floor.text, "pass"),
                Verdict::Short => (&*floor.text, "short"),
            },
        };
        [
            &*row.what, &row.ours, &row.bare, &row.ratio, floor, verdict, &row.how,
        ]
    });
    let lines: Vec<[&str; 7]> = std::iter::once(heads).chain(cells).collect();
    // Padding by characters, not bytes: µ and – are one column.
    let length = |cell: &str| cell.chars().count();
    for line in &lines {
        for (column, cell) in line[..6].iter().enumerate() {
            let width = lines.iter().map(|line| length(line[column])).max().unwrap_or(0);
            let _ = write!(out, "{cell}{:pad$}", "", pad = width + 2 - length(cell));
        }
        let _ = writeln!(out, "{}", line[6]);
    }
    out
}

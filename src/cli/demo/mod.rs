//! `umbra demo`: a server on built-in defaults, two built-in phones, one masked call, and the proof.

mod phone;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use phone::{Phone, Seen, Way};

use super::client::Control;
use crate::base::chance::Chance;
use crate::call::targets::{Place, Target};
use crate::config::Conf;
use crate::rtp::tone;
use crate::server;
use crate::sip::path::Transport;

/// The virtual number of the demo.
const X: &str = "17000000001";
/// The protected subscriber.
const A: &str = "13800000001";
/// The other party.
const B: &str = "13900000002";
/// What A hums, in hertz.
const A_HZ: u16 = 440;
/// What B hums.
const B_HZ: u16 = 880;
/// How long the phones' words are gathered, so that they are printed in their order.
const MOMENT: Duration = Duration::from_millis(30);
/// How much of what is heard has to be the other's tone.
const CLEAR: f64 = 0.9;

/// What `demo` takes.
#[derive(Args, Debug)]
pub struct Demo {
    /// End after the call instead of staying up for calls of your own
    #[arg(long)]
    once: bool,
}

impl Demo {
    /// Runs the demo.
    ///
    /// # Errors
    /// The server can't start, or the call did not go as it should.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let folder = Folder::new()?;
        let phone_b = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 3), 0)).context("phone B finds no port")?;
        let conf = conf(&folder, phone_b.local_addr()?)?;
        let server = conf.switch.listeners[0].address;
        let control = conf.api.control.clone();
        writeln!(
            out,
            "Umbra listens on {server} and keeps its data in {}.",
            folder.0.display()
        )?;
        let running = server::start(conf, None)?;
        let control = Control::new(&control)?;
        let told = |line: &str, answer: &serde_json::Value| {
            format!("  umbra {line:<58} → {}", answer.as_str().unwrap_or_default())
        };
        let number = serde_json::json!({ "x": X });
        let added = control.send(hyper::Method::POST, "/v1/numbers", Some(&number))?;
        writeln!(out, "{}", told(&format!("number add {X}"), &added["x"]))?;
        let binding = serde_json::json!({ "mode": "axb", "x": X, "a": A, "b": B });
        let bound = control.send(hyper::Method::POST, "/v1/bindings", Some(&binding))?;
        writeln!(
            out,
            "{}",
            told(&format!("bind axb --x {X} --a {A} --b {B}"), &bound["id"])
        )?;

        let (tell, ladder) = mpsc::channel();
        let phone_a = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).context("phone A finds no port")?;
        let mut a = Phone::new("A", A, phone_a, A_HZ, tell.clone(), chance()?)?;
        let mut b = Phone::new("B", B, phone_b, B_HZ, tell, chance()?)?;
        writeln!(out, "\nA ({A}) calls {X}. B is {B}.\n")?;
        writeln!(out, "  seconds  A{0}Umbra{0}B", " ".repeat(22))?;
        let stop = Arc::new(AtomicBool::new(false));
        let begun = Instant::now();
        let answering = thread::spawn({
            let stop = stop.clone();
            move || (b.answer(Duration::from_millis(700), &stop), b)
        });
        let calling = thread::spawn(move || (a.call(server, X, Duration::from_secs(2)), a));
        let mut seen = Vec::new();
        while !calling.is_finished() || !answering.is_finished() {
            print_rungs(out, &ladder, begun, &mut seen)?;
            if calling.is_finished() && !answered_by_now(&seen) {
                stop.store(true, Ordering::Relaxed);
            }
        }
        print_rungs(out, &ladder, begun, &mut seen)?;
        let (outcome, a) = calling.join().map_err(|_| anyhow::anyhow!("phone A broke"))?;
        let (answered, mut b) = answering.join().map_err(|_| anyhow::anyhow!("phone B broke"))?;
        outcome.map_err(anyhow::Error::msg)?;
        answered.map_err(anyhow::Error::msg)?;
        writeln!(out)?;
        let masked = [unseen(out, &seen, "A", B)?, unseen(out, &seen, "B", A)?];
        let heard = [
            heard(out, "A", &a.heard(), B_HZ, A_HZ)?,
            heard(out, "B", &b.heard(), A_HZ, B_HZ)?,
        ];
        let record = record(&control)?;
        writeln!(
            out,
            "\nThe call's record:\n{}",
            serde_json::to_string_pretty(&record)?
        )?;
        if masked.contains(&Proof::Missing) || heard.contains(&Proof::Missing) {
            bail!("the call did not go as it should: see above");
        }
        if self.once {
            return running.stop(Duration::from_secs(5)).map(drop);
        }
        stay(out, server, control.path(), X)?;
        thread::spawn(move || {
            loop {
                // Phone B answers whoever calls next.
                if b.answer(Duration::from_millis(700), &AtomicBool::new(false))
                    .is_err()
                {
                    thread::sleep(Duration::from_millis(200));
                }
                b.heard();
            }
        });
        drop(ladder);
        running.wait().map(drop)
    }
}

/// Whether something was shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Given,
    Missing,
}

/// The demo's own data folder; gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("umbra-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("{} can't be made", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The built-in conf, in a folder of its own, with phone B where the trunk's gateway is; on another port
/// if somebody has the usual one.
fn conf(folder: &Folder, phone_b: SocketAddr) -> anyhow::Result<Conf> {
    let mut conf = Conf::embedded();
    let data = &folder.0;
    conf.store = data.clone();
    conf.records.dir = data.join("cdr");
    conf.api.control = data.join("control.sock");
    conf.api.listen = None;
    let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let usual = conf.switch.listeners[0].address;
    let free = UdpSocket::bind(usual)
        .or_else(|_| UdpSocket::bind((home, 0)))
        .context("no port for SIP is free")?;
    for listener in &mut conf.switch.listeners {
        listener.address = free.local_addr()?;
        listener.advertised = listener.address;
    }
    conf.switch.listeners.truncate(1);
    for gateway in conf
        .switch
        .trunks
        .iter_mut()
        .flat_map(|trunk| &mut trunk.gateways)
    {
        gateway.place = Place::At(Target {
            transport: Transport::Udp,
            address: phone_b,
        });
    }
    conf.log.level = crate::telemetry::log::Level::Warn;
    Ok(conf)
}

fn chance() -> anyhow::Result<Chance> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("the system gives no randomness: {e}"))?;
    Ok(Chance::from_seed(seed))
}

/// Prints what the phones have told within a moment, in the order in which it happened.
fn print_rungs(
    out: &mut dyn Write,
    ladder: &mpsc::Receiver<Seen>,
    begun: Instant,
    seen: &mut Vec<Seen>,
) -> std::io::Result<()> {
    let mut batch: Vec<Seen> = ladder.recv_timeout(MOMENT).into_iter().collect();
    if !batch.is_empty() {
        // The other phone's half of the same exchange is on its way.
        thread::sleep(MOMENT);
        batch.extend(ladder.try_iter());
    }
    batch.sort_by_key(|message| message.at);
    for message in batch {
        writeln!(out, "{}", rung(&message, begun))?;
        seen.push(message);
    }
    Ok(())
}

/// Whether the called phone has answered: if the caller is done before, nobody will hang up on it.
fn answered_by_now(seen: &[Seen]) -> bool {
    seen.iter()
        .any(|s| s.phone == "B" && s.way == Way::Sent && s.what == "200")
}

fn rung(seen: &Seen, begun: Instant) -> String {
    let at = seen.at.saturating_duration_since(begun).as_secs_f64();
    let to_the_right = matches!((seen.phone, seen.way), ("A", Way::Sent) | ("B", Way::Got));
    let what = format!(" {} ", seen.what);
    let arrow = if to_the_right {
        format!("{what:─^23}▶")
    } else {
        format!("◀{what:─^23}")
    };
    let gap = " ".repeat(24);
    let (left, right) = if seen.phone == "A" {
        (arrow, gap)
    } else {
        (gap, arrow)
    };
    format!("{at:>9.3}  │{left}│{right}│  {}", seen.shows)
}

/// Says what a phone was sent, and that the other's number is nowhere in it.
fn unseen(out: &mut dyn Write, seen: &[Seen], phone: &str, number: &str) -> std::io::Result<Proof> {
    let got: Vec<&Seen> = seen
        .iter()
        .filter(|s| s.phone == phone && s.way == Way::Got)
        .collect();
    let bytes: usize = got.iter().map(|s| s.bytes.len()).sum();
    let shown = got.iter().any(|s| {
        let digits: String = String::from_utf8_lossy(&s.bytes)
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        digits.contains(number)
    });
    let (mark, verdict) = if shown {
        ("✗", "IS in")
    } else {
        ("✓", "is nowhere in")
    };
    writeln!(
        out,
        "{mark} {number} {verdict} the {} messages ({bytes} bytes) that {phone} was sent.",
        got.len()
    )?;
    Ok(if shown || got.is_empty() {
        Proof::Missing
    } else {
        Proof::Given
    })
}

/// Says what a phone heard.
fn heard(out: &mut dyn Write, phone: &str, samples: &[i16], theirs: u16, own: u16) -> std::io::Result<Proof> {
    let share = |hz| tone::share(samples, hz);
    let clear = share(theirs) > CLEAR && share(own) < 1.0 - CLEAR;
    let mark = if clear { "✓" } else { "✗" };
    writeln!(
        out,
        "{mark} {phone} heard {:.2} s of audio: {:.1} % of its power is the other's {theirs} Hz, {:.1} % its own {own} Hz.",
        samples.len() as f64 / f64::from(tone::SAMPLE_RATE_HZ),
        share(theirs) * 100.0,
        share(own) * 100.0,
    )?;
    Ok(if clear { Proof::Given } else { Proof::Missing })
}

/// The record of the call, as soon as it is written.
fn record(control: &Control) -> anyhow::Result<serde_json::Value> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let page = control.get("/v1/cdrs", &[])?;
        let rows = page["cdrs"].as_array().or_else(|| page["items"].as_array());
        if let Some(record) = rows.and_then(|rows| rows.first()) {
            return Ok(record.clone());
        }
        if Instant::now() > deadline {
            bail!("no record of the call was written");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn stay(out: &mut dyn Write, server: SocketAddr, control: &std::path::Path, x: &str) -> std::io::Result<()> {
    writeln!(
        out,
        "\nThe server stays up until Ctrl-C, and phone B answers every call. Yours:\n\
         \n  with SIPp      sipp -sf scenarios/sipp/uac_answered.xml -s {x} -i 127.0.0.2 -m 1 {server}\
         \n  with a phone   call sip:{x}@{server} from 127.0.0.1 as {A} (user part of its address)\
         \n  look           {umbra} --control {c} calls\
         \n                 {umbra} --control {c} route {x} {A}\
         \n                 {umbra} --control {c} cdr\n",
        // As it was started: it need not be on the PATH.
        umbra = std::env::args().next().unwrap_or_else(|| "umbra".into()),
        c = control.display(),
    )
}

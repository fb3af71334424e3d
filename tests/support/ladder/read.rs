//! Ladders as they stand in their files, and the setup that they want.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::prompts::Words;
use super::super::stage::{Large, Setup, Speaks};

/// A ladder as read from its file.
#[derive(Debug)]
pub struct Ladder {
    /// What `setup` lines ask for.
    pub setup: Vec<(String, String)>,
    /// Lines of conf for the trunk, and for one of the callers' own.
    pub trunk: Vec<String>,
    pub home: Vec<String>,
    /// Why it is only for the simulator, if it is.
    pub simulated_only: Option<String>,
    pub(super) lines: Vec<Line>,
}

/// One line of it.
#[derive(Debug)]
pub(super) struct Line {
    pub number: usize,
    pub words: Vec<String>,
    /// The lines below it that start with `|`.
    pub more: Vec<String>,
}

impl Ladder {
    /// Whether it measures sound.
    #[allow(dead_code)] // for who plays in real time
    pub fn is_sound(&self) -> bool {
        let mut begin = self.lines.iter().filter_map(|line| line.words.first());
        begin.any(|word| matches!(word.as_str(), "tone" | "prompt"))
    }

    /// Reads one.
    pub fn read(text: &str) -> Self {
        let mut ladder = Self {
            setup: Vec::new(),
            trunk: Vec::new(),
            home: Vec::new(),
            simulated_only: None,
            lines: Vec::new(),
        };
        for (index, raw) in text.lines().enumerate() {
            let line = raw.split(" #").next().unwrap_or(raw).trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(more) = line.strip_prefix('|') {
                if let Some(last) = ladder.lines.last_mut() {
                    last.more.push(more.trim().to_owned());
                }
                continue;
            }
            if let Some(why) = line.strip_prefix("only simulated:") {
                ladder.simulated_only = Some(why.trim().to_owned());
                continue;
            }
            if let Some(conf) = line.strip_prefix("trunk ") {
                ladder.trunk.push(conf.to_owned());
                continue;
            }
            if let Some(conf) = line.strip_prefix("home ") {
                ladder.home.push(conf.to_owned());
                continue;
            }
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            if words[0] == "setup" {
                ladder.setup.extend(words[1..].iter().filter_map(|w| {
                    let (key, value) = w.split_once('=')?;
                    Some((key.to_owned(), value.to_owned()))
                }));
                continue;
            }
            ladder.lines.push(Line {
                number: index + 1,
                words,
                more: Vec::new(),
            });
        }
        ladder
    }

    /// The setup that it wants, on this net.
    pub fn set_up(&self, mut setup: Setup) -> Setup {
        setup.trunk.clone_from(&self.trunk);
        setup.home_trunk.clone_from(&self.home);
        for (key, value) in &self.setup {
            match key.as_str() {
                "home" => setup.home = Speaks::named(value),
                "gateway" => setup.gateway = Speaks::named(value),
                "large" if value == "tcp" => setup.large = Large::Heard,
                "large" if value == "refused" => setup.large = Large::Refused,
                "prompts" if value == "shipped" => setup.words = Words::Shipped,
                "alarm" => setup.alarms.push(value.clone()),
                "shards" => setup.shards = value.parse().expect(value),
                "calls" => setup.berths = value.parse().expect(value),
                "media" => setup.media_on = value.split(',').map(str::to_owned).collect(),
                "rtcp_mux" => setup.rtcp_mux.clone_from(value),
                "session_expires" => setup.session_expires_s = value.parse().expect(value),
                "min_se" => setup.min_se_s = value.parse().expect(value),
                "charging_vector" => setup.names_charging = value == "own",
                "session_id" => setup.names_sessions = value == "own",
                "beside" => setup.beside = Some(value.parse().expect(value)),
                "trunks" => setup.trunks = value.split(',').map(str::to_owned).collect(),
                "others_relay" => setup.others_relay = value == "yes",
                "route" => setup.route = value.split(',').map(str::to_owned).collect(),
                "auth" => setup.auth = Some(value.clone()),
                "trunk_media" => setup.media = Some(value.clone()),
                key => setup.set(key, value),
            }
        }
        setup
    }
}

impl Setup {
    /// Changes what a running server can change too.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        match key {
            "gateways" => self.gateways = value.parse().expect(value),
            "bans" => {
                let (after, first) = value.split_once(':').expect(value);
                let first = duration(first, self.t1).expect(value);
                self.bans = Some((after.parse().expect(value), first));
            }
            "emergency" => {
                let mut words = value.split(':').map(str::to_owned);
                let country = words.next().expect("a country");
                let trunk = words.next().filter(|trunk| !trunk.is_empty());
                let trunk = trunk.unwrap_or_else(|| "carrier".to_owned());
                self.emergency = Some([country, trunk, words.next().unwrap_or_default()]);
            }
            "names" => self.names = Some(value.to_owned()),
            "ring" => self.ring = duration(value, self.t1).expect(value),
            "silence" => self.silence = duration(value, self.t1).expect(value),
            "progress" => self.progress = duration(value, self.t1).expect(value),
            "probe" => self.probe.every = duration(value, self.t1),
            "probe_timeout" => self.probe.timeout = duration(value, self.t1).expect(value),
            "down_after" => self.probe.down_after = value.parse().expect(value),
            "up_after" => self.probe.up_after = value.parse().expect(value),
            "register" => self.register = value.parse().ok(),
            "credentials" => self.has_credentials = value == "own",
            "reliable" => value.clone_into(&mut self.reliable),
            "session_timer" => value.clone_into(&mut self.session_timer),
            "dtmf" => self.keys_by_info = value == "info",
            "redirects" => self.follows = value == "follow",
            "codecs" => {
                let names: Vec<_> = value.split(',').map(|name| format!("{name:?}")).collect();
                self.trunk.push(format!("codecs = [{}]", names.join(", ")));
            }
            "recordings" => self.recordings = Some(value.to_owned()),
            "pause" => {
                let (code, by) = value.split_once(':').unwrap_or((value, "both"));
                self.pausing = Some((code.to_owned(), by.to_owned()));
            }
            "announcements" => self.announcements = value.parse().expect(value),
            "tones" => value.clone_into(&mut self.tones),
            "media_timeout" => self.media_timeout = duration(value, self.t1).expect(value),
            other => panic!("no setup is called {other}"),
        }
    }
}

/// `3s`, `20ms`, `64T1`.
pub(super) fn duration(text: &str, t1: Duration) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let one = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "min" => Duration::from_secs(60),
        "T1" => t1,
        _ => return None,
    };
    Some(one.mul_f64(number))
}

/// Every ladder that is played everywhere, or the one that `UMBRA_LADDER` names.
pub fn ladders() -> Vec<PathBuf> {
    ladders_in("")
}

/// The ladders of a folder within `scenarios`, or the one that `UMBRA_LADDER` names.
pub fn ladders_in(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(folder);
    let wanted = |path: &PathBuf| match std::env::var("UMBRA_LADDER") {
        Ok(name) => path.file_stem().is_some_and(|stem| *stem == *name),
        Err(_) => path.extension().is_some_and(|e| e == "ladder"),
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("scenarios/ is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(wanted)
        .collect();
    files.sort();
    files
}

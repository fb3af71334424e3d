//! Ladders: plays written as text, one message a line. `scenarios/README.md` says how they read.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

mod asks;
mod hears;
mod media;
mod records;
mod says;

use hears::Heard;

use umbra::masking::binding::Mode;
use umbra::masking::inventory::{Callback, Fax, Freeze};

use super::cast::Cast;
use super::stage::{Binding, Doing, Large, Setup, Speaks, Stage};

/// What `bind` says of sounds.
const CUES: [&str; 10] = [
    "last_minute",
    "early_media",
    "waiting_caller",
    "waiting_callee",
    "whisper",
    "record_tone",
    "question",
    "question_to",
    "question_keys",
    "question_loops",
];

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
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    number: usize,
    words: Vec<String>,
    /// The lines below it that start with `|`.
    more: Vec<String>,
}

impl Ladder {
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
                "route" => setup.route = value.split(',').map(str::to_owned).collect(),
                "auth" => setup.auth = Some(value.clone()),
                "trunk_media" => setup.media = Some(value.clone()),
                key => setup.set(key, value),
            }
        }
        setup
    }
}

/// `3s`, `20ms`, `64T1`.
impl Setup {
    /// Changes what a running server can change too.
    fn set(&mut self, key: &str, value: &str) {
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
            "announcements" => self.announcements = value.parse().expect(value),
            "tones" => value.clone_into(&mut self.tones),
            "media_timeout" => self.media_timeout = duration(value, self.t1).expect(value),
            other => panic!("no setup is called {other}"),
        }
    }
}

fn duration(text: &str, t1: Duration) -> Option<Duration> {
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

/// A play of one ladder.
pub struct Play<S> {
    /// Who plays.
    pub cast: Cast<S>,
    names: HashMap<String, String>,
    new: HashMap<usize, VecDeque<Heard>>,
    again: HashMap<usize, VecDeque<Heard>>,
    /// The call that unlabelled lines mean.
    current: HashMap<usize, usize>,
    descriptions: HashMap<(usize, usize), Vec<u8>>,
    /// After which restart each was asked last whether it is there.
    asked: HashMap<(usize, usize), usize>,
    faces: HashMap<String, (String, Duration)>,
    asked_at: HashMap<usize, Duration>,
    since: Duration,
    cdrs_seen: usize,
    /// How often another process has come.
    restarts: usize,
}

/// Plays a ladder to its end.
///
/// # Errors
/// What went otherwise, with the messages so far.
pub fn play<S: Stage>(ladder: &Ladder, stage: S) -> Result<(), String> {
    let mut play = Play {
        cast: Cast::on(stage),
        names: HashMap::new(),
        new: HashMap::new(),
        again: HashMap::new(),
        current: HashMap::new(),
        descriptions: HashMap::new(),
        asked: HashMap::new(),
        faces: HashMap::new(),
        asked_at: HashMap::new(),
        since: Duration::ZERO,
        cdrs_seen: 0,
        restarts: 0,
    };
    for line in &ladder.lines {
        let outcome = play.line(line).and_then(|()| play.unharmed());
        if let Err(why) = outcome {
            let transcript = play.cast.transcript.join("\n");
            return Err(format!(
                "line {}: {}\n  {why}\n{transcript}",
                line.number,
                line.words.join(" ")
            ));
        }
        play.since = play.cast.stage.now();
    }
    Ok(())
}

impl<S: Stage> Play<S> {
    fn unharmed(&mut self) -> Result<(), String> {
        let mut faults = std::mem::take(&mut self.cast.faults);
        faults.extend(self.cast.stage.faults());
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("\n  "))
        }
    }

    /// Another process goes on.
    fn another_process(&mut self) {
        self.restarts += 1;
        for call in self.cast.phones.iter_mut().flat_map(|phone| &mut phone.calls) {
            call.crypt.restarts = self.restarts;
            (call.tones_read, call.tones_before) = (call.rtp.len(), call.rtp.len());
        }
    }

    fn line(&mut self, line: &Line) -> Result<(), String> {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["bind", mode, options @ ..] if Mode::ALL.iter().any(|known| known.name() == *mode) => {
                self.bind(mode, options)
            }
            ["pool", mode, settings @ ..] => {
                self.cast.stage.set_pool(mode, settings);
                Ok(())
            }
            ["asks", name, digits, options @ ..] => self.asks(name, digits, options),
            ["server", words @ ..] => self.server(words),
            ["asked", words @ ..] => self.asked_for(words),
            ["callee", x, "nobody"] => {
                let x = self.name(x);
                self.cast.stage.callee(&x, None);
                Ok(())
            }
            ["callee", x, to] => {
                let (x, to) = (self.name(x), self.name(to));
                self.cast.stage.callee(&x, Some(&to));
                Ok(())
            }
            ["number", name, digits] => {
                self.names.insert((*name).into(), (*digits).into());
                self.cast.stage.own(digits);
                Ok(())
            }
            ["nobody", name, digits] => {
                self.names.insert((*name).into(), (*digits).into());
                Ok(())
            }
            ["help", name, digits] => {
                self.names.insert((*name).into(), (*digits).into());
                let helper = self.cast.join(name, digits, false);
                self.cast.helpers.insert(helper);
                Ok(())
            }
            ["person", name, digits] => self.person(name, digits, false),
            ["stranger", name, digits] => self.person(name, digits, true),
            [who, "->", what, options @ ..] => self.say(who, what, options, &line.more),
            [who, "<-", what, options @ ..] => self.hear(who, what, options, &line.more),
            ["phone", name, "with", person, "at", gateway] => {
                let number = self.name(person);
                let gateway = gateway.parse().map_err(|_| "which gateway?")?;
                self.names.insert((*name).into(), number.clone());
                self.cast.join_at_gateway(name, &number, gateway);
                Ok(())
            }
            ["media", from, way, to, options @ ..] => self.media(from, way, to, options),
            ["wait", time] => self.wait(time),
            ["quiet", time] => {
                self.wait(time)?;
                self.nothing_left()
            }
            ["lose", count, "to", who] => {
                self.mishap(who, |c, p| &mut c.to.entry(p).or_default().lose, count)
            }
            ["lose", count, "from", who] => {
                self.mishap(who, |c, p| &mut c.from.entry(p).or_default().lose, count)
            }
            ["double", count, "to", who] => {
                self.mishap(who, |c, p| &mut c.to.entry(p).or_default().double, count)
            }
            ["double", count, "from", who] => {
                self.mishap(who, |c, p| &mut c.from.entry(p).or_default().double, count)
            }
            ["ipv6", who] => {
                let (phone, _) = self.phone(who)?;
                let first = self.cast.stage.setup().first_port_v6_of(phone);
                self.cast.phones[phone].media_v6 = Some(first);
                Ok(())
            }
            ["reset", who] => {
                // Both addresses: a caller has its home, a called party its gateway.
                let (phone, call) = self.phone(who)?;
                let call = call.or(self.current.get(&phone).copied());
                let at = call.map_or(self.cast.home(phone), |call| {
                    self.cast.phones[phone].calls[call].local
                });
                self.cast.stage.reset(at);
                Ok(())
            }
            ["unbind", x] => {
                let x = self.name(x);
                self.cast.stage.unbind(&x);
                Ok(())
            }
            ["faxes", "pass"] => self.order(Doing::Fax(Fax::Pass), None),
            ["faxes", "refuse"] => self.order(Doing::Fax(Fax::Refuse), None),
            ["callback", mode, how] => {
                let mode = Mode::ALL.into_iter().find(|known| known.name() == *mode);
                let known = [
                    Callback::Temporary,
                    Callback::Last,
                    Callback::Preset,
                    Callback::Tone,
                    Callback::Refused,
                ];
                let callback = known.into_iter().find(|known| known.name() == *how);
                let doing = mode.zip(callback).map(|(mode, how)| Doing::Callback(mode, how));
                self.order(doing.ok_or("a mode, and its pool's callback")?, None)
            }
            ["suspend"] => self.order(Doing::Suspend, None),
            ["resume"] => self.order(Doing::Resume, None),
            ["lock", x] => self.order(Doing::Lock, Some(x)),
            ["unlock", x] => self.order(Doing::Unlock, Some(x)),
            ["freeze", x, cause] => {
                let cause = Freeze::NAMES.iter().find(|(name, _)| name == cause);
                let (_, cause) = cause.ok_or("no freeze has that cause")?;
                self.order(Doing::Freeze(*cause), Some(x))
            }
            ["thaw", x] => self.order(Doing::Thaw, Some(x)),
            ["restart"] => {
                self.another_process();
                self.cast.stage.restart(Duration::ZERO);
                Ok(())
            }
            ["handover"] => {
                self.another_process();
                self.cast.stage.hand_over();
                Ok(())
            }
            ["restart", away] => {
                let t1 = self.cast.stage.setup().t1;
                let away = duration(away, t1).ok_or("how long away?")?;
                self.another_process();
                self.cast.stage.restart(away);
                Ok(())
            }
            ["drain"] => {
                self.cast.stage.drain();
                Ok(())
            }
            ["block", what @ ..] => {
                self.cast.stage.block(what);
                Ok(())
            }
            ["unblock", what @ ..] => {
                self.cast.stage.unblock(what);
                Ok(())
            }
            ["reload", settings @ ..] => {
                let pairs: Option<Vec<_>> = settings.iter().map(|word| word.split_once('=')).collect();
                let mut setup = self.cast.stage.setup().clone();
                for (key, value) in pairs.ok_or("write KEY=VALUE")? {
                    setup.set(key, value);
                }
                self.cast.stage.set_up_anew(setup);
                Ok(())
            }
            ["gateway", n, "down"] => {
                let n = n.parse().map_err(|_| "which gateway?")?;
                let at = self.cast.stage.setup().gateway(n);
                self.cast.shut(at);
                Ok(())
            }
            ["gateway", n, "says", said] => {
                let n = n.parse().map_err(|_| "which gateway?")?;
                let at = self.cast.stage.setup().gateway(n);
                let said = match *said {
                    "nothing" => None,
                    status => Some(status.parse().map_err(|_| "a status, or nothing")?),
                };
                self.cast.alive.insert(at, said);
                Ok(())
            }
            ["gateway", n, "up"] => {
                let n = n.parse().map_err(|_| "which gateway?")?;
                let at = self.cast.stage.setup().gateway(n);
                self.cast.stage.open(at);
                Ok(())
            }
            ["cdr", "none"] => self.no_cdr(),
            ["cdr", fields @ ..] => self.cdr(fields, &line.more),
            ["calls"] => self.calls(&line.more),
            ["report", who, options @ ..] => self.report(who, options),
            ["reported", who, lost] => self.reported(who, lost),
            ["skip", count, "from", who] => self.skip(count, who),
            ["hum", who] => self.hum(who),
            ["press", who, keys, options @ ..] => self.press(who, keys, options),
            ["keys", who, keys, options @ ..] => self.keys(who, keys, options),
            ["fax", from, "->", to, options @ ..] => self.fax(from, to, options),
            ["tone", who, "none"] => self.no_tone(who),
            ["tone", who, hz, cadence, time] => self.tone(who, hz, cadence, time, None),
            ["tone", who, hz, cadence, time, "against", other] => {
                self.tone(who, hz, cadence, time, Some(other))
            }
            ["idle"] => self.idle(),
            _ => Err("no line of a ladder reads so".into()),
        }
    }

    fn name(&self, name: &str) -> String {
        self.names.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    fn phone(&self, who: &str) -> Result<(usize, Option<usize>), String> {
        let (name, call) = match who.split_once('.') {
            Some((name, call)) => (name, call.parse::<usize>().ok()),
            None => (who, None),
        };
        let phone = self.cast.phones.iter().position(|p| p.name == name);
        let phone = phone.ok_or_else(|| format!("nobody is called {name}"))?;
        Ok((phone, call.map(|c| c - 1)))
    }

    fn person(&mut self, name: &str, digits: &str, stranger: bool) -> Result<(), String> {
        if !self.names.contains_key(name) {
            self.names.insert(name.into(), digits.into());
            self.cast.join(name, digits, stranger);
        }
        Ok(())
    }

    fn bind(&mut self, mode: &str, options: &[&str]) -> Result<(), String> {
        let t1 = self.cast.stage.setup().t1;
        let mut binding = Binding {
            mode: mode.into(),
            ..Binding::default()
        };
        for option in options {
            let (key, value) = option.split_once('=').ok_or("a bind option is key=value")?;
            let time = || duration(value, t1).ok_or_else(|| format!("no time: {value}"));
            match key {
                "ttl" => binding.ttl = Some(time()?),
                "max" => binding.max = Some(time()?),
                "direction" => binding.direction = Some(value.into()),
                "record" => binding.record = value == "yes",
                "e" => binding.e = value.into(),
                "callback" => binding.callback = self.name(value),
                cue if CUES.contains(&cue) => binding.cues.push((key.into(), value.into())),
                "default" => binding.default = self.name(value),
                "order" => binding.order = value.into(),
                "menu" => binding.menu = value.into(),
                "display" => binding.display = self.name(value),
                "nothing" => binding.menu_default = value.into(),
                "choices" => {
                    for choice in value.split(',') {
                        let (keys, to) = choice.split_once(':').ok_or("a choice is KEYS:WHO+WHO")?;
                        let to = to.split('+').map(|one| self.name(one)).collect();
                        binding.choices.push((keys.into(), to));
                    }
                }
                "members" => binding.members = value.split(',').map(|one| self.name(one)).collect(),
                "ring" => binding.ring = value.split(',').map(|one| self.name(one)).collect(),
                _ => {
                    let digits = self.name(value);
                    match key.chars().next() {
                        Some(letter @ ('X' | 'Y' | 'Z')) => {
                            self.names.insert(key.into(), digits.clone());
                            match mode {
                                "axb" => self.cast.stage.own(&digits),
                                mode => self.cast.stage.own_in(mode, &digits),
                            }
                            let number = if letter == 'Y' {
                                &mut binding.y
                            } else {
                                &mut binding.x
                            };
                            *number = digits;
                        }
                        // Where there is a group, or an employee alone, B is all there is.
                        Some(_) if matches!(mode, "gxb" | "gxyb") || (mode == "xb" && key == "B") => {
                            self.person(key, &digits, false)?;
                            binding.b = digits;
                        }
                        Some(_) if binding.a.is_empty() => {
                            self.person(key, &digits, false)?;
                            binding.a = digits;
                        }
                        Some(_) | None => {
                            self.person(key, &digits, false)?;
                            binding.b = digits;
                        }
                    }
                }
            }
        }
        self.cast.stage.bind(&binding);
        Ok(())
    }

    fn order(&mut self, doing: Doing, x: Option<&str>) -> Result<(), String> {
        let x = x.map(|x| self.name(x));
        self.cast.stage.order(doing, x.as_deref());
        Ok(())
    }

    fn mishap(
        &mut self,
        who: &str,
        place: impl FnOnce(&mut Cast<S>, usize) -> &mut u32,
        count: &str,
    ) -> Result<(), String> {
        let (phone, _) = self.phone(who)?;
        *place(&mut self.cast, phone) = count.parse().map_err(|_| "how many?")?;
        Ok(())
    }

    fn wait(&mut self, time: &str) -> Result<(), String> {
        let t1 = self.cast.stage.setup().t1;
        let until = self.cast.stage.now() + duration(time, t1).ok_or("how long?")?;
        while let Some(cue) = self.cast.step(until) {
            self.note(cue);
        }
        Ok(())
    }

    fn nothing_left(&self) -> Result<(), String> {
        let left = self.new.iter().find_map(|(phone, list)| {
            let heard = list.front()?;
            Some(format!(
                "{} heard {:?} too",
                self.cast.phones[*phone].name, heard.msg
            ))
        });
        left.map_or(Ok(()), Err)
    }

    /// no record is left over.
    fn idle(&mut self) -> Result<(), String> {
        let t1 = self.cast.stage.setup().t1;
        let deadline = self.cast.stage.now() + t1 * 140;
        loop {
            let busy = (self.cast.busy())
                .or_else(|| self.cast.owed())
                .or_else(|| self.cast.stage.busy());
            let Some(busy) = busy else { break };
            let now = self.cast.stage.now();
            if now >= deadline {
                return Err(format!("it never ends: {busy}"));
            }
            if let Some(cue) = self.cast.step(now + t1) {
                self.note(cue);
            }
        }
        self.nothing_left()?;
        self.no_cdr()
    }
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

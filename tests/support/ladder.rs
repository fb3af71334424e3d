//! Ladders: plays written as text, one message a line. `scenarios/README.md` says how they read.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod media;

use serde_json::Value;
use umbra::masking::inventory::{Fax, Freeze};

use super::cast::{Cast, Cue};
use super::phone::Extra;
use super::stage::{Binding, Doing, Large, Setup, Speaks, Stage};
use super::text::{Msg, uri_in, user_of};
use super::{sdp, witness};

/// A ladder as read from its file.
#[derive(Debug)]
pub struct Ladder {
    /// What `setup` lines ask for.
    pub setup: Vec<(String, String)>,
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
        for (key, value) in &self.setup {
            match key.as_str() {
                "home" => setup.home = Speaks::named(value),
                "gateway" => setup.gateway = Speaks::named(value),
                "large" if value == "tcp" => setup.large = Large::Heard,
                "large" if value == "refused" => setup.large = Large::Refused,
                "alarm" => setup.alarms.push(value.clone()),
                "calls" => setup.berths = value.parse().expect(value),
                "media" => setup.media_on = value.split(',').map(str::to_owned).collect(),
                "rtcp_mux" => setup.offers_mux = value == "offer",
                "session_expires" => setup.session_expires_s = value.parse().expect(value),
                "min_se" => setup.min_se_s = value.parse().expect(value),
                "charging_vector" => setup.names_charging = value == "own",
                "session_id" => setup.names_sessions = value == "own",
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
            "ring" => self.ring = duration(value, self.t1).expect(value),
            "silence" => self.silence = duration(value, self.t1).expect(value),
            "reliable" => value.clone_into(&mut self.reliable),
            "session_timer" => value.clone_into(&mut self.session_timer),
            "dtmf" => self.keys_by_info = value == "info",
            "redirects" => self.follows = value == "follow",
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

/// Something heard that the play has not got to yet.
struct Heard {
    call: usize,
    /// Where it arrived.
    to: SocketAddr,
    msg: Msg,
    at: Duration,
    /// The last description before it in the same call.
    before: Option<Vec<u8>>,
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
    faces: HashMap<String, (String, Duration)>,
    asked_at: HashMap<usize, Duration>,
    since: Duration,
    cdrs_seen: usize,
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
        faces: HashMap::new(),
        asked_at: HashMap::new(),
        since: Duration::ZERO,
        cdrs_seen: 0,
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

    fn line(&mut self, line: &Line) -> Result<(), String> {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["bind", mode @ ("axb" | "ax" | "axyb"), options @ ..] => self.bind(mode, options),
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
                self.cast.stage.restart(Duration::ZERO);
                Ok(())
            }
            ["handover"] => {
                self.cast.stage.hand_over();
                Ok(())
            }
            ["restart", away] => {
                let t1 = self.cast.stage.setup().t1;
                let away = duration(away, t1).ok_or("how long away?")?;
                self.cast.stage.restart(away);
                Ok(())
            }
            ["drain"] => {
                self.cast.stage.drain();
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
            ["cdr", "none"] => self.no_cdr(),
            ["cdr", fields @ ..] => self.cdr(fields, &line.more),
            ["calls"] => self.calls(&line.more),
            ["report", who, options @ ..] => self.report(who, options),
            ["reported", who, lost] => self.reported(who, lost),
            ["skip", count, "from", who] => self.skip(count, who),
            ["press", who, keys, options @ ..] => self.press(who, keys, options),
            ["keys", who, keys, options @ ..] => self.keys(who, keys, options),
            ["fax", from, "->", to, options @ ..] => self.fax(from, to, options),
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

    /// Words with addresses in them that differ from play to play.
    fn placed(&self, phone: usize, text: &str) -> String {
        let setup = self.cast.stage.setup();
        let text = text
            .replace("UMBRA", &setup.umbra().to_string())
            .replace("HOME_IP", &self.cast.home(phone).ip().to_string())
            .replace("HOME", &self.cast.home(phone).to_string())
            .replace("FOLD", "\r\n ")
            .replace("GATEWAY2", &setup.gateway(2).to_string())
            .replace("GATEWAY_IP", &setup.gateway(1).ip().to_string())
            .replace("GATEWAY", &setup.gateway(1).to_string());
        let names = self.cast.phones.iter().enumerate();
        let text = names.fold(text, |text, (index, phone)| {
            text.replace(
                &format!("{}'S_PLACE", phone.name),
                &self.cast.home(index).to_string(),
            )
        });
        self.cast.phones.iter().fold(text, |text, phone| {
            let dialog = phone.calls.iter().find_map(|call| {
                let remote_tag = call.remote_tag.as_deref()?;
                Some(format!(
                    "{};to-tag={remote_tag};from-tag={}",
                    call.id, call.local_tag
                ))
            });
            match dialog {
                Some(dialog) => text.replace(&format!("{}'S CALL", phone.name), &dialog),
                None => text,
            }
        })
    }

    fn say(&mut self, who: &str, what: &str, options: &[&str], more: &[String]) -> Result<(), String> {
        let (phone, call) = self.phone(who)?;
        let now = self.cast.stage.now();
        let (umbra, home) = (self.cast.stage.setup().umbra(), self.cast.home(phone));
        let more: Vec<String> = more.iter().map(|line| self.placed(phone, line)).collect();
        let is_header = |l: &&String| !l.starts_with("sdp ") && !l.starts_with("body ");
        let body: Vec<&str> = more.iter().filter_map(|l| l.strip_prefix("body ")).collect();
        let mut extra = Extra {
            headers: more.iter().filter(is_header).cloned().collect(),
            sdp_lines: more
                .iter()
                .filter_map(|l| l.strip_prefix("sdp ").map(str::to_owned))
                .collect(),
            ..Extra::default()
        };
        let (mut target, mut method, mut again) = (None, None, false);
        for option in options {
            match option.split_once('=') {
                Some(("sdp", codecs)) => {
                    extra.codecs = Some(codecs.split(',').map(str::to_owned).collect());
                }
                Some(("way", way)) => extra.way = way.into(),
                Some(("session", way)) => extra.session_way = Some(way.into()),
                Some(("c", place)) => extra.place = Some(place.replace('/', " ")),
                Some(("ptime", ms)) => extra.ptime = ms.parse().ok(),
                Some(("port", port)) => extra.media_port = port.parse().ok(),
                Some(("among", kind)) => extra.among = Some(kind.into()),
                Some(("body", kind)) if body.is_empty() => {
                    extra.body = Some((kind.into(), "some words".into()));
                }
                Some(("body", kind)) => extra.body = Some((kind.into(), body.join("\r\n"))),
                Some(("tag", tag)) => extra.tag = Some(tag.into()),
                Some(("totag", tag)) => extra.to_tag = Some(tag.into()),
                Some(("reason", reason)) => extra.reason = Some(reason.into()),
                Some(("uri", uri)) => extra.uri = Some(self.placed(phone, uri)),
                Some(("at", at)) => {
                    let at = self.placed(phone, at);
                    extra.at = Some(at.parse().map_err(|_| format!("no address: {at}"))?);
                }
                Some(("from", from)) => extra.from = Some(format!("<{from}>")),
                Some(("hops", hops)) => extra.max_forwards = Some(hops.into()),
                Some(("version", version)) => extra.version = Some(version.into()),
                Some(("omit", name)) => extra.omit.push(name.into()),
                Some(("rel", skipped)) => extra.reliable = skipped.parse().ok(),
                Some(_) => return Err(format!("nothing is said with {option}")),
                None if *option == "rel" => extra.reliable = Some(0),
                None if *option == "again" => again = true,
                None if *option == "merged" => extra.merged = true,
                None if what.parse::<u16>().is_ok() => method = Some(*option),
                None => target = Some(self.name(option)),
            }
        }
        let current = call.or(self.current.get(&phone).copied());
        if let Ok(status) = what.parse::<u16>() {
            let call = current.ok_or("no call to answer in")?;
            if again {
                self.cast.phones[phone].repeat_answer(call, method);
                self.cast.flush();
                return Ok(());
            }
            self.cast.phones[phone].respond(now, call, status, method, &extra)?;
        } else if let Some(target) = target {
            let call = self.cast.phones[phone].ask(now, home, umbra, what, &target, &extra);
            self.current.insert(phone, call);
            self.asked_at.insert(phone, now);
        } else {
            let call = current.ok_or("no call to say it in")?;
            if again {
                self.cast.phones[phone].repeat(call, what);
            } else {
                self.cast.phones[phone].request(now, call, what, &extra);
            }
        }
        self.cast.flush();
        Ok(())
    }

    /// Takes note of what happened.
    fn note(&mut self, cue: Cue) {
        match cue {
            Cue::Heard {
                phone,
                call,
                msg,
                again,
                to,
            } => {
                let is_direct = !self.cast.stage.setup().has_edge;
                if let Err(why) = self.cast.phones[phone].check(call, &msg, is_direct) {
                    let name = &self.cast.phones[phone].name;
                    self.cast.faults.push(format!("{name}'s {msg:?}: {why}"));
                }
                // A 100 is the edge's own, where there is one.
                if msg.status() == Some(100) && self.cast.stage.setup().has_edge {
                    return;
                }
                let key = (phone, call);
                let before = self.descriptions.get(&key).cloned();
                if !msg.body.is_empty() {
                    self.descriptions.insert(key, msg.body.clone());
                }
                let list = if again { &mut self.again } else { &mut self.new };
                list.entry(phone).or_default().push_back(Heard {
                    call,
                    to,
                    msg,
                    at: self.cast.stage.now(),
                    before,
                });
            }
            Cue::Lost { .. } | Cue::Rtp { .. } => {}
        }
    }

    fn hear(&mut self, who: &str, what: &str, options: &[&str], more: &[String]) -> Result<(), String> {
        let (phone, call) = self.phone(who)?;
        let t1 = self.cast.stage.setup().t1;
        if what == "100" && self.cast.stage.setup().has_edge {
            return Ok(());
        }
        let again = options.contains(&"again");
        let option = |name: &str| {
            options
                .iter()
                .find_map(|o| o.strip_prefix(name).and_then(|o| o.strip_prefix('=')))
        };
        let within = option("within").and_then(|d| duration(d, t1));
        let deadline = self.since + within.unwrap_or((t1 * 8).max(Duration::from_secs(4)));
        let heard = loop {
            let list = if again { &mut self.again } else { &mut self.new };
            let list = list.entry(phone).or_default();
            let found = match call {
                Some(call) => list.iter().position(|h| h.call == call),
                None => (!list.is_empty()).then_some(0),
            };
            if let Some(heard) = found.and_then(|at| list.remove(at)) {
                break heard;
            }
            match self.cast.step(deadline) {
                Some(cue) => self.note(cue),
                None => return Err(format!("{who} heard nothing until {deadline:?}")),
            }
        };
        self.current.insert(phone, heard.call);
        let whole = format!(
            "{}\n{:?}\n{}",
            heard.msg.start,
            heard.msg.headers,
            String::from_utf8_lossy(&heard.msg.body)
        );
        self.compare(phone, &heard, what, options, more)
            .map_err(|why| format!("{why}\n  heard: {whole}"))
    }

    fn compare(
        &mut self,
        phone: usize,
        heard: &Heard,
        what: &str,
        options: &[&str],
        more: &[String],
    ) -> Result<(), String> {
        let msg = &heard.msg;
        let t1 = self.cast.stage.setup().t1;
        let is = match msg.status() {
            Some(status) => status.to_string(),
            None => msg.method().to_owned(),
        };
        if is != what {
            return Err(format!("heard {} instead", msg.name()));
        }
        let same = |what: &str, is: &str, wanted: &str| {
            if is == wanted {
                Ok(())
            } else {
                Err(format!("{what} is {is}, not {wanted}"))
            }
        };
        let described = sdp::read(&msg.body);
        for option in options {
            let Some((key, value)) = option.split_once('=') else {
                match *option {
                    "again" => {}
                    method => same("it answers", msg.method(), method)?,
                }
                continue;
            };
            let time = || duration(value, t1).ok_or_else(|| format!("no time: {value}"));
            match key {
                "within" => {}
                "after" => {
                    let passed = heard.at.saturating_sub(self.since);
                    if passed < time()? {
                        return Err(format!("it came after {passed:?} already"));
                    }
                }
                "from" => {
                    let from = user_of(uri_in(msg.get("From").unwrap_or("")));
                    same("the caller shown", from, &self.name(value))?;
                    if let Some(pai) = msg.get("P-Asserted-Identity") {
                        same("the asserted caller", user_of(uri_in(pai)), &self.name(value))?;
                    }
                }
                "to" => {
                    same("the number called", user_of(msg.uri()), &self.name(value))?;
                    same(
                        "To",
                        user_of(uri_in(msg.get("To").unwrap_or(""))),
                        &self.name(value),
                    )?;
                }
                "at" => same("it came to", &heard.to.to_string(), &self.placed(phone, value))?,
                "uri" => same("its Request-URI", msg.uri(), &self.placed(phone, value))?,
                "gateway" => {
                    let n = value.parse().map_err(|_| "which gateway?")?;
                    let at = self.cast.stage.setup().gateway(n);
                    same(
                        "it came to",
                        &self.cast.phones[phone].calls[heard.call].local.to_string(),
                        &at.to_string(),
                    )?;
                }
                "sdp" => match (value, &described) {
                    ("none", None) => {}
                    ("none", Some(_)) => return Err("it carries a description".into()),
                    (_, None) => return Err("it carries no description".into()),
                    ("same", Some(_)) => {
                        if heard.before.as_ref() != Some(&msg.body) {
                            return Err("its description isn't the one before".into());
                        }
                    }
                    (codecs, Some(sdp)) => same("the codecs", &sdp.codecs.join(","), codecs)?,
                },
                "way" => same(
                    "the direction",
                    described.as_ref().map_or("none", |s| &s.way),
                    value,
                )?,
                "lines" => same(
                    "the media lines",
                    &described.as_ref().map_or(String::new(), |s| s.lines.join(",")),
                    value,
                )?,
                "other" => {
                    let others = described.as_ref().map_or(&[][..], |s| &s.others);
                    let text: Vec<String> = others
                        .iter()
                        .map(|(kind, port)| format!("{kind}:{port}"))
                        .collect();
                    same("the other media", &text.join(","), value)?;
                }
                "tag" => {
                    let tag = msg.tag("To").unwrap_or("");
                    if !tag.ends_with(value) {
                        return Err(format!("it is for the fork {tag}"));
                    }
                }
                "face" => {
                    let after = heard.at - self.asked_at.get(&phone).copied().unwrap_or_default();
                    let face = (witness::face(msg), after);
                    let first = self.faces.entry(value.into()).or_insert_with(|| face.clone());
                    same("its face", &face.0, &first.0)?;
                    // Real time isn't exact, virtual time is.
                    if self.cast.stage.is_exact() && face.1 != first.1 {
                        return Err(format!(
                            "it came after {after:?}, the first one after {:?}",
                            first.1
                        ));
                    }
                }
                _ => return Err(format!("nothing is heard with {option}")),
            }
        }
        let body = String::from_utf8_lossy(&msg.body);
        for wanted in more {
            let (line, is_there) = match wanted.strip_prefix('!') {
                Some(line) => (line, false),
                None => (wanted.as_str(), true),
            };
            if let Some(line) = line.strip_prefix("sdp ") {
                if body.lines().any(|l| l == line) != is_there {
                    return Err(format!("its description has {line}, or lacks it"));
                }
                continue;
            }
            if let Some(name) = wanted.strip_prefix('!') {
                if let Some(value) = msg.get(name.trim()) {
                    return Err(format!("it has {name}: {value}"));
                }
            } else if let Some((name, value)) = wanted.split_once(':') {
                let lines: Vec<&str> = msg.all(name.trim()).collect();
                let is = match &*lines {
                    [] => "missing".to_owned(),
                    lines => lines.join(", "),
                };
                let value = self.placed(phone, value.trim());
                match value.strip_suffix('…') {
                    Some(start) if is.starts_with(start) => {}
                    None if value.strip_prefix('…').is_some_and(|end| is.ends_with(end)) => {}
                    Some(_) | None => same(name, &is, &value)?,
                }
            } else if msg.get(wanted).is_none() {
                return Err(format!("it has no {wanted}"));
            }
        }
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

    fn wait_for_cdrs(&mut self, count: usize) -> Vec<Value> {
        let deadline = self.cast.stage.now() + Duration::from_secs(5);
        loop {
            let cdrs = self.cast.stage.cdrs();
            let now = self.cast.stage.now();
            if cdrs.len() >= count || now >= deadline {
                return cdrs;
            }
            if let Some(cue) = self.cast.step(now + Duration::from_millis(50)) {
                self.note(cue);
            }
        }
    }

    /// Words with the media addresses of phones in them: `A'S MEDIA`.
    fn with_addresses(&self, words: &str) -> String {
        self.cast.phones.iter().fold(words.to_owned(), |words, phone| {
            let media = phone
                .calls
                .last()
                .map_or(String::new(), |call| call.media.to_string());
            words.replace(&format!("{}'S MEDIA", phone.name), &media)
        })
    }

    /// What a listing says of the live calls' audio, one line a call.
    fn calls(&mut self, more: &[String]) -> Result<(), String> {
        let said = self.cast.stage.audio();
        let wanted: Vec<String> = more.iter().map(|words| self.with_addresses(words)).collect();
        if said == wanted {
            Ok(())
        } else {
            Err(format!("the listing says {said:?}"))
        }
    }

    fn cdr(&mut self, fields: &[&str], more: &[String]) -> Result<(), String> {
        let cdrs = self.wait_for_cdrs(self.cdrs_seen + 1);
        let Some(cdr) = cdrs.get(self.cdrs_seen) else {
            return Err("there is no further record".into());
        };
        self.cdrs_seen += 1;
        for field in fields {
            let at_least = field.split_once('≥');
            let (key, wanted) = at_least
                .or_else(|| field.split_once('='))
                .ok_or("a field is key=value or key≥number")?;
            let key = match key {
                "status" => "sip_status",
                key => key,
            };
            let value = key
                .split('.')
                .fold(cdr, |value, part| match part.parse::<usize>() {
                    Ok(index) => &value[index],
                    Err(_) => &value[part],
                });
            let is = match value {
                Value::Null => "none".to_owned(),
                Value::String(text) => text.clone(),
                Value::Array(list) => list.len().to_string(),
                other => other.to_string(),
            };
            let wanted = self.name(wanted);
            let number = |text: &str| text.parse::<u64>().ok();
            let ok = at_least.is_some() && number(&is) >= number(&wanted)
                || is == wanted
                || (wanted == "some" && is != "none");
            if !ok {
                return Err(format!("{key} is {is}, not {wanted}\n  {cdr}"));
            }
        }
        for words in more {
            let wanted = self.with_addresses(words);
            if cdr["media"]["audio"] != wanted.as_str() {
                return Err(format!(
                    "it says of the audio: {}\n  not {wanted}",
                    cdr["media"]["audio"]
                ));
            }
        }
        Ok(())
    }

    fn no_cdr(&mut self) -> Result<(), String> {
        self.wait("100ms")?;
        match self.cast.stage.cdrs().get(self.cdrs_seen) {
            Some(cdr) => Err(format!("there is a record: {cdr}")),
            None => Ok(()),
        }
    }

    /// Lets everything run out: nobody waits for anything, nothing was heard that the ladder doesn't have,
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

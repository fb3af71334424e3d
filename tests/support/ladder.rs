//! Ladders: plays written as text, one message a line. `scenarios/README.md` says how they read.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

mod asks;
mod hears;
mod media;
mod read;
mod records;
mod says;
mod sounds;

use hears::Heard;
#[allow(unused_imports)] // each test binary uses its part
pub use read::{Ladder, ladders, ladders_in};
use read::{Line, duration};

use umbra::call::recording::Control;
use umbra::masking::binding::Mode;
use umbra::masking::inventory::{Callback, Fax, Freeze};

use super::cast::Cast;
use super::drawing::Sound;
use super::stage::{Binding, Doing, Stage};

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
    /// What was found of what Umbra was to play.
    pub played: Vec<Sound>,
}

/// Plays a ladder to its end.
///
/// # Errors
/// What went otherwise, with the messages so far.
pub fn play<S: Stage>(ladder: &Ladder, stage: S) -> Result<(), String> {
    played(ladder, stage).map(drop)
}

/// The same, for who looks at what was said and heard.
///
/// # Errors
/// What went otherwise, with the messages so far.
pub fn played<S: Stage>(ladder: &Ladder, stage: S) -> Result<Play<S>, String> {
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
        played: Vec::new(),
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
    Ok(play)
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
            ["account", settings @ ..] => {
                self.cast.stage.set_account(settings);
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
            ["pause", "recording"] => self.control(Control::Pause),
            ["resume", "recording"] => self.control(Control::Resume),
            [
                "recorder",
                what @ ("gap" | "lost" | "waits" | "written" | "sealed"),
                why,
            ] => {
                self.cast.stage.recorder_says(what, why);
                Ok(())
            }
            ["recording", told @ ..] => self.recording(told),
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
            ["replay", who, file, from, to] => self.replay(who, file, (from, to)),
            ["keys", who, keys, options @ ..] => self.keys(who, keys, options),
            ["fax", from, "->", to, options @ ..] => self.fax(from, to, options),
            ["prompt", who, name] => self.prompt(who, name, None),
            ["prompt", who, name, time] => self.prompt(who, name, Some(time)),
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
        self.wait_until(until);
        Ok(())
    }

    fn wait_until(&mut self, until: Duration) {
        while let Some(cue) = self.cast.step(until) {
            self.note(cue);
        }
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

//! The lines of a ladder by which somebody says something.

use super::super::phone::Extra;
use super::super::secret;
use super::{Play, Stage};

impl<S: Stage> Play<S> {
    /// Words with addresses in them that differ from play to play.
    pub(super) fn placed(&self, phone: usize, text: &str) -> String {
        let setup = self.cast.stage.setup();
        let text = text
            .replace("UMBRA", &setup.umbra().to_string())
            .replace("HOME_IP", &self.cast.home(phone).ip().to_string())
            .replace("HOME", &self.cast.home(phone).to_string())
            .replace("FOLD", "\r\n ")
            .replace("GATEWAY3", &setup.gateway(3).to_string())
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

    pub(super) fn say(
        &mut self,
        who: &str,
        what: &str,
        options: &[&str],
        more: &[String],
    ) -> Result<(), String> {
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
                Some(("srtp", words)) => extra.srtp = Some(words.into()),
                Some(("key", number)) => extra.key = number.parse().ok(),
                Some(("ptime", ms)) => extra.ptime = ms.parse().ok(),
                Some(("port", port)) => extra.media_port = port.parse().ok(),
                Some(("among", kind)) => extra.among = Some(kind.into()),
                Some(("body", kind)) if body.is_empty() => {
                    extra.body = Some((kind.into(), "some words".into()));
                }
                Some(("body", kind)) => extra.body = Some((kind.into(), body.join("\r\n"))),
                Some(("tag", tag)) => extra.tag = Some(tag.into()),
                Some(("totag", tag)) => extra.to_tag = Some(tag.into()),
                Some(("oc", wish)) => {
                    let mut parts = wish.split(':');
                    let mut part = || parts.next().unwrap_or_default();
                    extra.oc = Some(format!(
                        ";oc={};oc-algo=\"loss\";oc-validity={};oc-seq={}",
                        part(),
                        part(),
                        part()
                    ));
                }
                Some(("reason", reason)) => extra.reason = Some(reason.into()),
                Some(("uri", uri)) => extra.uri = Some(self.placed(phone, uri)),
                Some(("at", at)) => {
                    let at = self.placed(phone, at);
                    extra.at = Some(at.parse().map_err(|_| format!("no address: {at}"))?);
                }
                Some(("proof", proof)) => {
                    let mut words = proof.split(':').map(str::to_owned);
                    let user = words.next().unwrap_or_default();
                    let password = match words.next().as_deref() {
                        None | Some("right") => secret::THEIR_PASSWORD.to_owned(),
                        Some(other) => other.to_owned(),
                    };
                    extra.proof = Some((user, password, words.next().and_then(|nc| nc.parse().ok())));
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
}

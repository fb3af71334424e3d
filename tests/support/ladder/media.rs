//! The words of a ladder that are about media: what the phones send, and that they hear what was sent.

use std::time::Duration;

use super::super::phone::media::ticks_a_ms;
use super::{Play, Stage, duration};

/// Packets of one line.
const PACKETS: usize = 10;

/// A phone's call.
pub(super) type Place = (usize, usize);

impl<S: Stage> Play<S> {
    pub(super) fn place(&self, who: &str) -> Result<Place, String> {
        let (phone, call) = self.phone(who)?;
        let call = call.or(self.current.get(&phone).copied());
        Ok((phone, call.ok_or("no call to talk in")?))
    }

    fn name_of(&self, (phone, _): Place) -> String {
        self.cast.phones[phone].name.clone()
    }

    fn heard_by(&self, (phone, call): Place) -> usize {
        self.cast.phones[phone].calls[call].rtp.len()
    }

    /// Until what was sent has arrived.
    pub(super) fn patience(&mut self) -> Result<(), String> {
        self.wait(if self.cast.stage.is_exact() {
            "100ms"
        } else {
            "400ms"
        })
    }

    /// Ten packets each way arrive, each under a number of the hearer's own for the codec that was spoken; or none
    /// does.
    pub(super) fn media(&mut self, from: &str, way: &str, to: &str, options: &[&str]) -> Result<(), String> {
        let (a, b) = (self.place(from)?, self.place(to)?);
        let is_blocked = options.contains(&"blocked");
        let codec = options.iter().find_map(|option| option.strip_prefix("codec="));
        let ways: &[(Place, Place)] = match way {
            "<->" => &[(a, b), (b, a)],
            "->" => &[(a, b)],
            _ => return Err("media goes -> or <->".into()),
        };
        if !self.cast.stage.is_exact() {
            self.warm_up(ways, codec, is_blocked)?;
        }
        let before: Vec<usize> = ways.iter().map(|(_, to)| self.heard_by(*to)).collect();
        let mut spoken = vec![String::new(); ways.len()];
        for _ in 0..PACKETS {
            for ((from, _), spoken) in ways.iter().zip(&mut spoken) {
                let said = self.cast.phones[from.0].speak_on(from.1, codec);
                *spoken =
                    said.ok_or_else(|| format!("{} knows of no media to send to", self.name_of(*from)))?;
            }
            self.wait("20ms")?;
        }
        self.patience()?;
        for (((_, to), before), spoken) in ways.iter().zip(before).zip(spoken) {
            let heard = self.heard_by(*to) - before;
            let wanted = if is_blocked { 0 } else { PACKETS };
            let name = self.name_of(*to);
            if heard != wanted {
                return Err(format!("{name} heard {heard} packets of {PACKETS}"));
            }
            self.cast.phones[to.0].calls[to.1]
                .check_heard(before, &spoken)
                .map_err(|why| format!("{name}: {why}"))?;
            let call = &mut self.cast.phones[to.0].calls[to.1];
            call.tones_read = call.rtp.len();
        }
        Ok(())
    }

    /// On a busy machine the media threads may have their orders a moment after the ACK has left: packets
    /// go until one arrives, or, where they are to be blocked, until five in a row don't.
    fn warm_up(
        &mut self,
        ways: &[(Place, Place)],
        codec: Option<&str>,
        is_blocked: bool,
    ) -> Result<(), String> {
        for (from, to) in ways {
            let mut in_vain = 0;
            for _ in 0..100 {
                let before = self.heard_by(*to);
                self.cast.phones[from.0].speak_on(from.1, codec);
                self.wait("20ms")?;
                let arrived = self.heard_by(*to) > before;
                in_vain = if arrived { 0 } else { in_vain + 1 };
                if arrived != is_blocked && (arrived || in_vain == 5) {
                    break;
                }
            }
        }
        // Those that are still on their way belong to the warming up.
        self.wait("100ms")
    }

    pub(super) fn skip(&mut self, count: &str, who: &str) -> Result<(), String> {
        let (phone, call) = self.place(who)?;
        let count: u16 = count.parse().map_err(|_| "how many?")?;
        let seq = &mut self.cast.phones[phone].calls[call].seq;
        *seq = seq.wrapping_add(count);
        Ok(())
    }

    /// Ten packets go out, whoever hears them.
    pub(super) fn hum(&mut self, who: &str) -> Result<(), String> {
        let (phone, call) = self.place(who)?;
        for _ in 0..PACKETS {
            let said = self.cast.phones[phone].speak_on(call, None);
            said.ok_or_else(|| format!("{who} knows of no media to send to"))?;
            self.wait("20ms")?;
        }
        self.patience()
    }

    /// Keys pressed by hand: RFC 4733 events under the number that the other side wants, or messages, or tones.
    pub(super) fn press(&mut self, who: &str, keys: &str, options: &[&str]) -> Result<(), String> {
        let (phone, call) = self.place(who)?;
        if options.contains(&"by=info") {
            return self.press_by_info(who, keys);
        }
        if options.contains(&"by=tone") {
            return self.press_by_tone((phone, call), keys);
        }
        let codec = options
            .iter()
            .find_map(|option| option.strip_prefix("as="))
            .unwrap_or("te");
        for key in keys.bytes() {
            for packet in self.cast.phones[phone].press(call, codec, key) {
                self.cast.send_media(packet);
                self.wait("20ms")?;
            }
            self.wait("40ms")?;
        }
        Ok(())
    }

    /// A message a key.
    fn press_by_info(&mut self, who: &str, keys: &str) -> Result<(), String> {
        for key in keys.chars() {
            let body = [format!("body Signal={key}"), "body Duration=160".to_owned()];
            self.say(who, "INFO", &["body=application/dtmf-relay"], &body)?;
            self.hear(who, "200", &["INFO"], &[])?;
        }
        Ok(())
    }

    /// 100 ms of both tones of a key among the audio (ITU-T Q.23), and as long a silence.
    fn press_by_tone(&mut self, (phone, call): Place, keys: &str) -> Result<(), String> {
        for key in keys.bytes() {
            for packet in self.cast.phones[phone].dial(call, key)? {
                self.cast.send_media(packet);
                self.wait("20ms")?;
            }
        }
        Ok(())
    }

    /// What a phone has heard pressed since the last such line, as events of RFC 4733: these keys and no others, each
    /// so long.
    pub(super) fn keys(&mut self, who: &str, wanted: &str, options: &[&str]) -> Result<(), String> {
        let t1 = self.cast.stage.setup().t1;
        let codec = options
            .iter()
            .find_map(|option| option.strip_prefix("as="))
            .unwrap_or("te");
        let length = options.iter().find_map(|option| duration(option, t1));
        let length = length.unwrap_or(Duration::from_millis(80));
        let wanted = if wanted == "none" { "" } else { wanted };
        let (phone, call) = self.place(who)?;
        let patience = (length + Duration::from_millis(100)) * (wanted.len() as u32 + 1);
        let deadline = self.cast.stage.now() + patience + Duration::from_secs(2);
        let mut heard = Vec::new();
        while heard.len() < wanted.len() && self.cast.stage.now() < deadline {
            self.wait("50ms")?;
            heard = self.cast.phones[phone].calls[call].keys(codec, self.restarts)?;
        }
        // The last one's end is said three times, and nothing else follows.
        self.wait("100ms")?;
        let call = &mut self.cast.phones[phone].calls[call];
        let heard = call.keys(codec, self.restarts)?;
        call.keys_read = call.rtp.len();
        let letters: String = heard.iter().map(|pressed| pressed.key).collect();
        let ticks = length.as_millis() as u16 * ticks_a_ms(codec);
        match heard.iter().find(|pressed| pressed.ticks != ticks) {
            _ if letters != wanted => Err(format!("{who} heard the keys {letters:?}")),
            Some(pressed) => Err(format!("{who} heard {pressed:?}, not {ticks} ticks")),
            None => Ok(()),
        }
    }

    /// Ten datagrams of a fax arrive as they were sent; or none does.
    pub(super) fn fax(&mut self, from: &str, to: &str, options: &[&str]) -> Result<(), String> {
        let (a, b) = (self.place(from)?, self.place(to)?);
        let is_blocked = options.contains(&"blocked");
        if !self.cast.stage.is_exact() && !is_blocked {
            let before = self.heard_by(b);
            for _ in 0..100 {
                if self.heard_by(b) > before {
                    break;
                }
                self.cast.phones[a.0].fax(a.1, &datagram(0));
                self.wait("20ms")?;
            }
            self.wait("100ms")?;
        }
        let before = self.heard_by(b);
        let sent: Vec<Vec<u8>> = (1..=PACKETS as u16).map(datagram).collect();
        for bytes in &sent {
            if !self.cast.phones[a.0].fax(a.1, bytes) {
                return Err(format!("{from} knows of no media to send to"));
            }
            self.wait("20ms")?;
        }
        self.patience()?;
        let calls = &self.cast.phones[b.0].calls[b.1];
        let heard: Vec<&Vec<u8>> = calls.rtp.iter().skip(before).map(|(_, bytes)| bytes).collect();
        match (is_blocked, heard.is_empty()) {
            (true, true) => Ok(()),
            (false, _) if heard.iter().copied().eq(&sent) => Ok(()),
            (true, false) | (false, _) => Err(format!("{to} heard {} datagrams: {heard:?}", heard.len())),
        }
    }

    /// A phone sends an RTCP report.
    pub(super) fn report(&mut self, who: &str, options: &[&str]) -> Result<(), String> {
        let (phone, call) = self.phone(who)?;
        let call = call
            .or(self.current.get(&phone).copied())
            .ok_or("no call to report in")?;
        let lost = options.iter().find_map(|o| o.strip_prefix("lost=")?.parse().ok());
        let now = self.cast.stage.now();
        if !self.cast.phones[phone].report(now, call, lost.unwrap_or(0)) {
            return Err("there is nothing to report on".into());
        }
        self.wait("100ms")
    }

    /// What Umbra last reported of a phone's stream.
    pub(super) fn reported(&mut self, who: &str, lost: &str) -> Result<(), String> {
        let wanted: u32 = lost
            .strip_prefix("lost=")
            .and_then(|lost| lost.parse().ok())
            .ok_or("how many?")?;
        let (phone, call) = self.phone(who)?;
        let call = call
            .or(self.current.get(&phone).copied())
            .ok_or("no call was reported on")?;
        let block = |bytes: &Vec<u8>| {
            // A block stands behind the head of an RR, or that of an SR (RFC 3550 §6.4).
            let at = if bytes.get(1) == Some(&200) { 28 } else { 8 };
            (bytes.first()? & 0x1f > 0).then(|| bytes.get(at..at + 24).map(<[u8]>::to_vec))?
        };
        let reports = &self.cast.phones[phone].calls[call].rtcp;
        let block = reports.iter().rev().find_map(|(_, bytes)| block(bytes));
        let block = block.ok_or("no report speaks of its stream")?;
        let ssrc = 0x5500_0000 + call as u32;
        if block[..4] != ssrc.to_be_bytes() {
            return Err(format!("the report is of another stream: {block:?}"));
        }
        let lost = u32::from_be_bytes([0, block[5], block[6], block[7]]);
        if lost == wanted {
            Ok(())
        } else {
            Err(format!("Umbra reports {lost} lost"))
        }
    }
}

/// A datagram of a fax: its number, a primary packet, no repetition (ITU-T T.38 §9.1).
fn datagram(number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    vec![high, low, 6, 0xc0, 1, 0x80, 0, 0, 0xff, 0, 0]
}

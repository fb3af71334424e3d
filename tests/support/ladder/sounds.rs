//! The words of a ladder that are about what phones hear of Umbra itself: tones, prompts; and about recordings that they play.

use std::time::Duration;

use super::super::capture;
use super::super::drawing::Sound;
use super::super::stage::Packet;
use super::super::tone::{self, Cadence, Heard};
use super::super::{heard, prompts};
use super::media::Place;
use super::{Play, Stage, duration};

/// So many samples may be lacking at either end of a sound: eight packets.
const LACKING: usize = 8 * 160;
/// How often what is cut short may have been heard before.
const ROUNDS: usize = 8;

impl<S: Stage> Play<S> {
    /// A phone hears a tone, on the stream that it has heard before if it has: this cadence, for so long, wherever it begins
    /// in what was heard since the last such line. Meanwhile another phone speaks, who isn't heard.
    pub(super) fn tone(
        &mut self,
        who: &str,
        hz: &str,
        cadence: &str,
        time: &str,
        other: Option<&str>,
    ) -> Result<(), String> {
        let t1 = self.cast.stage.setup().t1;
        let ms = |text: &str| duration(text, t1).map(|time| time.as_millis() as u32);
        let at_once = |hz: &str| hz.split('+').map(|hz| hz.parse().ok()).collect();
        let hz: Option<Vec<Vec<u16>>> = hz.split(',').map(at_once).collect();
        let beats: Option<Vec<u32>> = cadence.split('/').map(ms).collect();
        let (Some(hz), Some(beats), Some(ms)) = (hz, beats, ms(time)) else {
            return Err("which tone, and how long?".into());
        };
        let cadence = Cadence { hz, beats };
        let other = other.map(|other| self.place(other)).transpose()?;
        let (phone, call) = self.place(who)?;
        let deadline = self.cast.stage.now() + Duration::from_millis(ms.into()) + Duration::from_secs(5);
        loop {
            let heard = self.heard_since((phone, call));
            match heard.and_then(|heard| tone::find(&heard.samples, &cadence, ms)) {
                Ok(()) => break,
                Err(_) if self.cast.stage.now() < deadline => {
                    if let Some((other, call)) = other {
                        self.cast.phones[other].speak_on(call, None);
                    }
                    self.wait("100ms")?;
                }
                Err(why) => return Err(format!("{who} heard {why}")),
            }
        }
        let call = &mut self.cast.phones[phone].calls[call];
        call.tones_read = call.rtp.len();
        Ok(())
    }

    /// What a phone has heard since the last line about sounds.
    fn heard_since(&self, (phone, call): Place) -> Result<Heard, String> {
        let may_lack = !self.cast.stage.is_exact();
        let call = &self.cast.phones[phone].calls[call];
        let read = call.tones_read;
        let last = read.checked_sub(1).filter(|last| *last >= call.tones_before);
        let last = last.and_then(|last| call.rtp.get(last));
        let packets = call.rtp.iter().skip(read).map(|(_, bytes)| &bytes[..]);
        tone::decoded(packets, last.map(|(_, bytes)| &bytes[..]), may_lack)
    }

    /// A phone has heard what Umbra was to play, sample for sample and to its end; or so much of it, over and over if it is
    /// shorter; or `cut` short by silence. Since the last line about sounds there was silence before it.
    pub(super) fn prompt(&mut self, who: &str, name: &str, time: Option<&str>) -> Result<(), String> {
        let setup = self.cast.stage.setup();
        let played = prompts::sound(setup.words, name).ok_or("there is no such sound")?;
        let (is_cut, once) = (time == Some("cut"), played.len());
        let played: Vec<i16> = match time.filter(|_| !is_cut) {
            None if is_cut => played.repeat(ROUNDS),
            None => played,
            Some(time) => {
                let time = duration(time, setup.t1).ok_or("how long?")?;
                let samples = time.as_millis() as usize * 8;
                played.iter().copied().cycle().take(samples).collect()
            }
        };
        let place = self.place(who)?;
        let lasts = Duration::from_millis(played.len() as u64 / 8);
        let deadline = self.cast.stage.now() + lasts + Duration::from_secs(5);
        loop {
            self.wait("100ms")?;
            let is_over = self.cast.stage.now() >= deadline;
            // A busy machine leaves some out at either end, too.
            let lacking = if is_over && !self.cast.stage.is_exact() {
                LACKING
            } else {
                0
            };
            let found = self.heard_since(place).and_then(|heard| {
                let samples = heard::padded(&heard.samples, lacking);
                let length = match is_cut {
                    true => heard::cut(&samples, &played, once)?,
                    false => played.len(),
                };
                let found = heard::find(&samples, &played[..length])?;
                let packet = |at: usize| {
                    let at = at.saturating_sub(lacking);
                    heard.starts.partition_point(|start| *start < at)
                };
                Ok((found, length, packet(found.at), packet(found.at + length)))
            });
            match found {
                Ok((found, length, first, end)) => {
                    let call = &mut self.cast.phones[place.0].calls[place.1];
                    let read = call.tones_read;
                    call.tones_read += end;
                    self.played.push(Sound {
                        name: name.to_owned(),
                        place,
                        begins: call.rtp_at[read + first],
                        samples: played[..length].to_vec(),
                        alike: found.alike,
                    });
                    return Ok(());
                }
                Err(why) if is_over => return Err(format!("{who} heard {why}")),
                Err(_) => {}
            }
        }
    }

    /// A phone has heard nothing since the last line about tones, nor does it now.
    pub(super) fn no_tone(&mut self, who: &str) -> Result<(), String> {
        self.patience()?;
        let (phone, call) = self.place(who)?;
        let call = &self.cast.phones[phone].calls[call];
        match call.rtp.len() - call.tones_read {
            0 => Ok(()),
            heard => Err(format!("{who} heard {heard} packets")),
        }
    }

    /// A phone sends what another one sent, packet by packet and as far apart: a part of a capture of `tests/data`.
    pub(super) fn replay(&mut self, who: &str, file: &str, (from, to): (&str, &str)) -> Result<(), String> {
        let t1 = self.cast.stage.setup().t1;
        let (Some(from), Some(to)) = (duration(from, t1), duration(to, t1)) else {
            return Err("from when to when?".into());
        };
        let begun = self.cast.stage.now();
        let (phone, call) = self.place(who)?;
        for (came, bytes) in capture::read(file) {
            if !(from..to).contains(&came) {
                continue;
            }
            self.wait_until(begun + came - from);
            let call = &self.cast.phones[phone].calls[call];
            let at = call.heard.as_ref().and_then(|heard| heard.at);
            let to = at.ok_or_else(|| format!("{who} knows of no media to send to"))?;
            let from = call.media;
            self.cast.send_media(Packet { from, to, bytes });
        }
        Ok(())
    }
}

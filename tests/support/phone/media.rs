//! What a phone says and hears in its calls' media: RTP, RFC 4733 events, RTCP, fax.

use std::net::SocketAddr;
use std::time::Duration;

use umbra::rtp::g711::Law;

use super::super::stage::Packet;
use super::super::{keys, pad, sdp};
use super::{Call, Phone};

/// The keys in the order of their codes (RFC 4733 §3.2).
const KEYS: &[u8] = b"0123456789*#ABCD";
/// How long a key is down by its packets, in milliseconds: one each 20 ms, and the end twice again.
const KEY_MS: [u16; 6] = [20, 40, 60, 80, 80, 80];

/// What phones say: silence in A-law.
const SOUND: [u8; 160] = [0xD5; 160];

/// Ticks in a millisecond of a codec's clock.
pub fn ticks_a_ms(codec: &str) -> u16 {
    match codec {
        "te16" => 16,
        "te48" => 48,
        _ => 8,
    }
}

/// What a packet of RTP says, as far as a phone looks.
#[derive(Clone, Debug)]
pub struct Rtp {
    /// Whether the marker is set.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Source.
    pub ssrc: u32,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Rtp {
    /// Reads one with a plain header: Umbra writes no other.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (head, payload) = bytes.split_at_checked(12)?;
        (head[0] == 0x80).then(|| Self {
            marker: head[1] & 0x80 != 0,
            payload_type: head[1] & 0x7f,
            seq: u16::from_be_bytes([head[2], head[3]]),
            timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
            payload: payload.to_vec(),
        })
    }
}

impl Call {
    /// The payload type by which the other side wants a codec, and the codec's ladder name; without a name, the
    /// audio that it likes best.
    fn number_of(&self, codec: Option<&str>) -> Option<(u8, String)> {
        let heard = self.heard.as_ref()?;
        let meant = |name: &str| match codec {
            Some(codec) => name == codec,
            None => !name.starts_with("te") && name != "cn",
        };
        let at = heard.codecs.iter().position(|name| meant(name))?;
        Some((*heard.payloads.get(at)?, heard.codecs[at].clone()))
    }

    /// What this phone called a payload type in its last description.
    fn said_of(&self, payload: u8) -> Option<&str> {
        let codecs = self.said.iter().filter_map(|word| sdp::codec(word));
        codecs
            .filter(|(_, number, _)| *number == payload)
            .map(|(name, ..)| name)
            .next()
    }

    /// The packets that came from the `from`th on, held against what this phone described: each under a payload type
    /// of its own, of `codec`, on one timeline without a gap.
    pub fn check_heard(&self, from: usize, codec: &str) -> Result<(), String> {
        let mut last: Option<Rtp> = None;
        for (_, bytes) in self.rtp.iter().skip(from) {
            let rtp = Rtp::read(bytes).ok_or("it is no RTP")?;
            let name = self.said_of(rtp.payload_type);
            if name != Some(codec) {
                let is = name.unwrap_or("nothing of its own");
                return Err(format!("{codec} came as {}, which is {is}", rtp.payload_type));
            }
            if rtp.payload != SOUND {
                return Err(format!("{rtp:?} isn't what was spoken"));
            }
            if let Some(last) = &last
                && (rtp.ssrc, rtp.seq, rtp.timestamp)
                    != (
                        last.ssrc,
                        last.seq.wrapping_add(1),
                        last.timestamp.wrapping_add(160),
                    )
            {
                return Err(format!("{rtp:?} came after {last:?}"));
            }
            last = Some(rtp);
        }
        Ok(())
    }

    /// The keys that came as events since this was last taken note of, under this phone's number for `codec` (`te`,
    /// `te16`), each as RFC 4733 §2.5 wants it. Umbra was started again so often.
    pub fn keys(&self, codec: &str, restarts: usize) -> Result<Vec<keys::Pressed>, String> {
        let packets = self
            .rtp
            .iter()
            .skip(self.keys_read)
            .map(|(_, bytes)| bytes.as_slice());
        // A phone without events hears none by the usual number either.
        let number = sdp::payload(&self.said, codec).unwrap_or(101);
        keys::pressed(packets, number, restarts)
    }
}

impl Phone {
    /// An RTP packet from this call's media port towards what the other side described, of the codec that it likes
    /// best.
    pub fn speak(&mut self, at: usize, seq: u16) -> bool {
        let timestamp = u32::from(seq) * 160;
        self.say_rtp(at, None, seq, timestamp, false, &SOUND).is_some()
    }

    /// Sends the next RTP packet of a call, of this codec. The codec; `None` if it knows nowhere to send it to.
    pub fn speak_on(&mut self, at: usize, codec: Option<&str>) -> Option<String> {
        let seq = self.next_seq(at);
        self.say_rtp(at, codec, seq, u32::from(seq) * 160, false, &SOUND)
    }

    /// The packets of a key pressed by hand, to be sent one each 20 ms: an event of 80 ms, under the number of
    /// `codec` (`te`, `te16`).
    pub fn press(&mut self, at: usize, codec: &str, key: u8) -> Vec<Packet> {
        let Some(code) = KEYS.iter().position(|known| *known == key) else {
            panic!("no key is called {}", char::from(key));
        };
        let began = u32::from(self.calls[at].seq.wrapping_add(1)) * 160;
        let already = self.out.len();
        for (index, ms) in KEY_MS.into_iter().enumerate() {
            let end = if index >= 3 { 0x80 } else { 0 };
            let [high, low] = (ms * ticks_a_ms(codec)).to_be_bytes();
            let seq = self.next_seq(at);
            let payload = [code as u8, end | 10, high, low];
            self.say_rtp(at, Some(codec), seq, began, index == 0, &payload);
        }
        self.out.split_off(already).into()
    }

    /// The packets of a key dialled by tones, to be sent one each 20 ms: both tones for 100 ms, and silence for as long.
    ///
    /// # Errors
    /// No such key, or a codec that isn't G.711.
    pub fn dial(&mut self, at: usize, key: u8) -> Result<Vec<Packet>, String> {
        let sound = pad::pressed(key);
        let sound = sound.ok_or_else(|| format!("no key is called {}", char::from(key)))?;
        let (_, name) = self.calls[at].number_of(None).ok_or("no codec")?;
        let law = match name.as_str() {
            "pcma" => Law::A,
            "pcmu" => Law::Mu,
            other => return Err(format!("no tones in {other}")),
        };
        let already = self.out.len();
        for frame in sound.chunks(160) {
            let mut coded = Vec::new();
            law.encode_all(frame, &mut coded);
            let seq = self.next_seq(at);
            self.say_rtp(at, None, seq, u32::from(seq) * 160, false, &coded);
        }
        Ok(self.out.split_off(already).into())
    }

    /// Sends a datagram of a fax (ITU-T T.38 §9.1) to where the other side wants it, or else where its audio goes.
    pub fn fax(&mut self, at: usize, bytes: &[u8]) -> bool {
        let call = &self.calls[at];
        let Some(to) = call.heard.as_ref().and_then(|heard| heard.fax.or(heard.at)) else {
            return false;
        };
        self.out.push_back(Packet {
            from: call.media,
            to,
            bytes: bytes.to_vec(),
        });
        true
    }

    fn next_seq(&mut self, at: usize) -> u16 {
        let seq = &mut self.calls[at].seq;
        *seq = seq.wrapping_add(1);
        *seq
    }

    fn say_rtp(
        &mut self,
        at: usize,
        codec: Option<&str>,
        seq: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Option<String> {
        let call = &self.calls[at];
        let (number, name) = call.number_of(codec)?;
        let to = call.heard.as_ref()?.at?;
        let mut bytes = vec![0x80, number | (u8::from(marker) << 7)];
        bytes.extend_from_slice(&seq.to_be_bytes());
        bytes.extend_from_slice(&timestamp.to_be_bytes());
        bytes.extend_from_slice(&(0x5500_0000 + at as u32).to_be_bytes());
        bytes.extend_from_slice(payload);
        let call = &mut self.calls[at];
        self.out.push_back(Packet {
            from: call.media,
            to,
            bytes: call.sealed(bytes),
        });
        Some(name)
    }

    /// Sends an RTCP report in a call: so many of Umbra's packets were lost, its last report came then. Its CNAME
    /// is nobody else's business. Whether there was anything to report on.
    pub fn report(&mut self, now: Duration, at: usize, lost: u32) -> bool {
        let cname = self.mint("cname");
        let call = &self.calls[at];
        let Some(to) = call.heard.as_ref().and_then(|h| h.at) else {
            return false;
        };
        let Some((_, rtp)) = call.rtp.last() else {
            return false;
        };
        let last_sr = call.rtcp.iter().rfind(|(_, bytes)| bytes.get(1) == Some(&200));
        let (middle, delay) = last_sr.map_or((vec![0; 4], 0), |(came, bytes)| {
            let since = now.saturating_sub(*came).as_micros();
            (bytes[10..14].to_vec(), ((since << 16) / 1_000_000) as u32)
        });
        let ssrc = (0x5500_0000 + at as u32).to_be_bytes();
        let mut bytes = vec![0x81, 200, 0, 12];
        bytes.extend_from_slice(&ssrc);
        bytes.extend_from_slice(&[0; 20]);
        bytes.extend_from_slice(&rtp[8..12]);
        bytes.extend_from_slice(&lost.to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&middle);
        bytes.extend_from_slice(&delay.to_be_bytes());
        let mut chunk = ssrc.to_vec();
        chunk.extend_from_slice(&[1, cname.len() as u8]);
        chunk.extend_from_slice(cname.as_bytes());
        chunk.push(0);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(&[0x81, 202, 0, (chunk.len() / 4) as u8]);
        bytes.extend_from_slice(&chunk);
        let call = &mut self.calls[at];
        let bytes = call.sealed(bytes);
        self.out.push_back(Packet {
            from: SocketAddr::new(call.media.ip(), call.media.port() + 1),
            to: SocketAddr::new(to.ip(), to.port() + 1),
            bytes,
        });
        true
    }
}

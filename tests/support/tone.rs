//! Tones as a phone hears them: RTP packets of G.711 or G.722 that follow one another without a jump, decoded, and held against a
//! cadence.

use umbra::rtp::g711::Law;
use umbra::rtp::g722::{self, Decoder};
use umbra::rtp::tone::share;

/// Samples of a packet.
const FRAME: usize = 160;
/// Whether something sounds is looked at in pieces of so many samples: 5 ms.
const PIECE: usize = 40;
/// How loud a piece is that isn't silence: the mean of its samples without their sign.
pub const LOUD: i64 = 1_000;
/// Where the tone begins is looked for among so many packets: something else may have been heard before.
const AHEAD: usize = 400;

/// A cadence, such as `450 1s/4s`, `440+480 400ms/200ms/400ms/2s` or `950,1400,1800 330ms/0s/330ms/0s/330ms/1s`.
#[derive(Clone, Debug)]
pub struct Cadence {
    /// The frequencies that sound at once, of one beat after the other.
    pub hz: Vec<Vec<u16>>,
    /// On, off, on, off…, in milliseconds.
    pub beats: Vec<u32>,
}

/// Samples by which the lower band of G.722 is late: the speaker's filter looks 11 ahead, at 16 kHz.
const G722_LATE: usize = 6;

/// What was heard: samples; `None` where a packet was left out.
pub type Samples = Vec<Option<i16>>;

/// What was heard, which is one timeline.
#[derive(Default)]
pub struct Heard {
    /// It.
    pub samples: Samples,
    /// Where each packet of it begins.
    pub starts: Vec<usize>,
}

/// Decodes what was heard. `last` is the packet before the first: all are of its stream.
///
/// # Errors
/// Where it isn't one timeline of packets of 20 ms. If it `may_lack` some, a server that shares a busy machine leaves packets
/// out, after which there is a marker, and a phone that moves misses one.
pub fn decoded<'p>(
    packets: impl Iterator<Item = &'p [u8]>,
    last: Option<&[u8]>,
    may_lack: bool,
) -> Result<Heard, String> {
    let mut all = Samples::new();
    let mut starts = Vec::new();
    let mut before = last.and_then(head);
    let mut wide = Decoder::default();
    let mut is_wide = false;
    for packet in packets {
        let now = head(packet).ok_or("a packet without a head")?;
        let audio = packet.get(12..).unwrap_or_default();
        if audio.len() != FRAME || packet[0] != 0x80 {
            return Err(format!("{} bytes of audio", audio.len()));
        }
        if let Some(before) = before {
            if now.ssrc != before.ssrc {
                return Err("another SSRC".into());
            }
            let further = usize::from(now.seq.wrapping_sub(before.seq));
            if further != 1 && !(may_lack && (2..50).contains(&further)) {
                return Err(format!("packet {} follows {}", now.seq, before.seq));
            }
            let ahead = now.timestamp.wrapping_sub(before.timestamp) as usize;
            if !all.is_empty() {
                let is_whole = ahead.is_multiple_of(FRAME) && ahead < 400 * FRAME;
                match (ahead == FRAME, now.marker) {
                    (true, false) => {}
                    // It was lost where the phone moved.
                    (false, false) if further > 1 && ahead == further * FRAME => {
                        all.resize(all.len() + ahead - FRAME, None);
                    }
                    (false, true) if may_lack && is_whole => all.resize(all.len() + ahead - FRAME, None),
                    (_, marker) => return Err(format!("{ahead} ticks after the last, marker: {marker}")),
                }
            } else if ahead == 0 || ahead > 1 << 30 {
                return Err(format!("time goes by {ahead} ticks"));
            }
        }
        let number = now.number;
        before = Some(now);
        starts.push(all.len());
        match Law::of_payload(number) {
            Some(law) => all.extend(audio.iter().map(|code| Some(law.decode(*code)))),
            None if now.number == g722::PAYLOAD => {
                let mut room = [0; FRAME];
                all.extend(wide.low_band(audio, &mut room).iter().copied().map(Some));
                is_wide = true;
            }
            None => return Err(format!("payload type {}", now.number)),
        }
    }
    if is_wide && last.is_none() {
        all.drain(..G722_LATE.min(all.len()));
    }
    Ok(Heard { samples: all, starts })
}

/// Whether the cadence is in what was heard, from its beginning on and for so many milliseconds, with nothing between.
///
/// # Errors
/// What else was heard.
pub fn find(heard: &[Option<i16>], cadence: &Cadence, ms: u32) -> Result<(), String> {
    let wanted = ms as usize * 8;
    let mut why = "nothing".to_owned();
    for start in (0..AHEAD).map(|n| n * FRAME) {
        let Some(part) = heard.get(start..start + wanted) else {
            break;
        };
        match held(part, cadence) {
            Ok(()) => return Ok(()),
            Err(other) if start == 0 => why = other,
            Err(_) => {}
        }
    }
    Err(format!("in {} ms of sound, {why}", heard.len() / 8))
}

fn held(part: &[Option<i16>], cadence: &Cadence) -> Result<(), String> {
    let mut at = 0;
    for (n, ms) in cadence.beats.iter().enumerate().cycle() {
        if at >= part.len() {
            return Ok(());
        }
        let end = (at + *ms as usize * 8).min(part.len());
        let is_on = n % 2 == 0;
        let beat = &part[at..end];
        for (k, piece) in beat.chunks(PIECE).enumerate() {
            let known: Vec<i64> = piece.iter().flatten().map(|s| i64::from(s.abs())).collect();
            let mean = known.iter().sum::<i64>() / known.len().max(1) as i64;
            if !known.is_empty() && piece.len() == PIECE && (mean > LOUD) != is_on {
                let here = (at / 8) + k * PIECE / 8;
                return Err(format!("at {here} ms it is {} loud", mean));
            }
        }
        if is_on && beat.len() >= 400 && beat.iter().all(Option::is_some) {
            let samples: Vec<i16> = beat.iter().flatten().copied().collect();
            let hz = &cadence.hz[n / 2 % cadence.hz.len()];
            let sum: f64 = hz.iter().map(|hz| share(&samples, *hz)).sum();
            if sum < 0.9 {
                return Err(format!("at {} ms a share of {sum:.2} is the tone", at / 8));
            }
        }
        at = end;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Head {
    marker: bool,
    number: u8,
    seq: u16,
    timestamp: u32,
    ssrc: [u8; 4],
}

fn head(packet: &[u8]) -> Option<Head> {
    let [_, second, a, b, t0, t1, t2, t3, s0, s1, s2, s3, ..] = packet else {
        return None;
    };
    Some(Head {
        marker: second & 0x80 != 0,
        number: second & 0x7f,
        seq: u16::from_be_bytes([*a, *b]),
        timestamp: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
        ssrc: [*s0, *s1, *s2, *s3],
    })
}

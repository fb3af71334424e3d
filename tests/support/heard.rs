//! What was played, found in what a phone heard: sample for sample, as far as the law that it was coded by lets them be alike.
#![allow(dead_code)] // each test binary uses its part

use super::tone::{LOUD, Samples};

/// How alike what was played and what was heard have to be: their normalised correlation.
pub const ALIKE: f64 = 0.99;
/// Samples of a packet.
const FRAME: usize = 160;
/// So much of it is looked at first: a tenth of a second.
const LOOK: usize = 800;
/// One packet of so many may be lacking, where a busy machine leaves some out.
const LACKING: usize = 20;

/// Where it was found, and how alike.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Samples before it.
    pub at: usize,
    /// The normalised correlation.
    pub alike: f64,
}

/// The normalised correlation of two sounds where both are known; 0 if either is silent, or too much of it is lacking.
pub fn correlation(heard: &[Option<i16>], played: &[i16]) -> f64 {
    let (mut both, mut one, mut other, mut known) = (0.0, 0.0, 0.0, 0);
    for (heard, played) in heard.iter().zip(played) {
        let Some(heard) = heard else { continue };
        let (heard, played) = (f64::from(*heard), f64::from(*played));
        both += heard * played;
        one += heard * heard;
        other += played * played;
        known += 1;
    }
    let is_whole = heard.len() == played.len() && known * LACKING >= played.len() * (LACKING - 1);
    if is_whole && one > 0.0 && other > 0.0 {
        both / (one * other).sqrt()
    } else {
        0.0
    }
}

/// The same, with so many samples before it and behind that nobody knows.
pub fn padded(heard: &Samples, samples: usize) -> Samples {
    let unknown = vec![None; samples];
    [&unknown, &heard[..], &unknown].concat()
}

/// Finds all of what was played; before it there was nothing but silence.
///
/// # Errors
/// What was heard instead.
pub fn find(heard: &Samples, played: &[i16]) -> Result<Found, String> {
    // Some begin with a moment of silence.
    let begins = played.iter().position(|sample| *sample != 0).unwrap_or(0) / FRAME * FRAME;
    let first = begins..(begins + LOOK).min(played.len());
    let mut best: f64 = 0.0;
    for at in (0..heard.len()).step_by(FRAME) {
        let Some(part) = heard.get(at..at + played.len()) else {
            break;
        };
        if correlation(&part[first.clone()], &played[first.clone()]) <= 0.8 {
            continue;
        }
        let alike = correlation(part, played);
        best = best.max(alike);
        if alike >= ALIKE {
            if let Some(loud) = heard[..at].chunks(FRAME).position(|piece| !is_quiet(piece)) {
                return Err(format!("something else {} ms before it", (at - loud * FRAME) / 8));
            }
            return Ok(Found { at, alike });
        }
    }
    let ms = heard.len() / 8;
    Err(format!("nothing like it ({best:.3}) in {ms} ms of sound"))
}

/// Samples of what was played that were heard before silence came in the middle of it; it may be something of so many samples
/// over and over.
///
/// # Errors
/// It wasn't heard, or not cut short, or by something else.
pub fn cut(heard: &Samples, played: &[i16], once: usize) -> Result<usize, String> {
    let at = find(heard, &played[..LOOK.min(played.len())])?.at;
    let frames = heard[at..].chunks(FRAME).zip(played.chunks(FRAME));
    let is_alike = |(heard, played): &(&[Option<i16>], &[i16])| {
        let is_silent = is_quiet(heard) && played.iter().all(|sample| i64::from(sample.abs()) <= LOUD);
        is_silent || heard.contains(&None) || correlation(heard, played) >= ALIKE
    };
    let length = frames.take_while(is_alike).count() * FRAME;
    match heard.get(at + length..at + length + FRAME) {
        _ if length > 0 && length.is_multiple_of(once) => Err("all of it".to_owned()),
        Some(next) if is_quiet(next) => Ok(length),
        Some(_) => Err(format!("something else {} ms into it", length / 8)),
        None => Err("it still".to_owned()),
    }
}

fn is_quiet(piece: &[Option<i16>]) -> bool {
    let sum: i64 = piece.iter().flatten().map(|s| i64::from(s.abs())).sum();
    sum <= LOUD * piece.len() as i64
}

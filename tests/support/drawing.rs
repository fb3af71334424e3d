//! A drawing of a call's sounds: for each phone what it said, what Umbra was to play to it, and what it heard, over time.
#![allow(dead_code)] // each test binary uses its part

use std::fmt::Write;
use std::time::Duration;

use umbra::rtp::g711::Law;

use super::cast::Cast;
use super::stage::Stage;

/// A sound that was found in what a phone heard.
pub struct Sound {
    /// Its name.
    pub name: String,
    /// Whose call.
    pub place: (usize, usize),
    /// When its first packet came.
    pub begins: Duration,
    /// It.
    pub samples: Vec<i16>,
    /// The normalised correlation of both.
    pub alike: f64,
}

/// The height of a lane and the width of the drawing, in pixels; what stands beside them.
const LANE: f64 = 80.0;
const WIDE: usize = 1_600;
const LEFT: usize = 120;

/// A sound, and when it began.
type Piece = (Duration, Vec<i16>);

/// Draws a play as SVG.
pub fn svg<S: Stage>(title: &str, cast: &Cast<S>, played: &[Sound]) -> String {
    let mut places: Vec<(usize, usize)> = played.iter().map(|sound| sound.place).collect();
    places.sort_unstable();
    places.dedup();
    let of = |place: &(usize, usize)| {
        let call = &cast.phones[place.0].calls[place.1];
        let said = cast.spoken.iter().filter(|(_, from, _)| *from == call.media);
        let said: Vec<Piece> = said.filter_map(|(at, _, bytes)| piece(*at, bytes)).collect();
        let heard = call.rtp_at.iter().zip(&call.rtp);
        let heard = heard.filter_map(|(at, (_, bytes))| piece(*at, bytes)).collect();
        let own = played.iter().filter(|sound| sound.place == *place);
        let own: Vec<Piece> = own.map(|sound| (sound.begins, sound.samples.clone())).collect();
        [said, own, heard]
    };
    let lanes: Vec<[Vec<Piece>; 3]> = places.iter().map(of).collect();
    let heard = lanes.iter().flat_map(|[_, _, heard]| heard);
    let begins = heard.clone().map(|(at, _)| *at).min().unwrap_or_default();
    let ends = heard.map(|(at, _)| *at).max().unwrap_or_default() + Duration::from_millis(200);
    let scale = WIDE as f64 / (ends - begins).as_secs_f64();
    let x = |at: Duration| LEFT as f64 + at.saturating_sub(begins).as_secs_f64() * scale;
    let high = 40.0 + places.len() as f64 * (3.0 * LANE + 40.0) + 20.0;
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{}' height='{high}' font-family='sans-serif' font-size='12'>\
         <rect width='100%' height='100%' fill='white'/><text x='8' y='20' font-size='15'>{title}</text>\n",
        LEFT + WIDE + 20
    );
    let mut top = 40.0;
    for (place, lanes) in places.iter().zip(&lanes) {
        let name = &cast.phones[place.0].name;
        let _ = writeln!(
            out,
            "<text x='8' y='{}'>{name}, call {}</text>",
            top + 14.0,
            place.1 + 1
        );
        top += 20.0;
        for (label, colour, pieces) in [
            ("said", "#777", &lanes[0]),
            ("was to hear", "#06c", &lanes[1]),
            ("heard", "#080", &lanes[2]),
        ] {
            let middle = top + LANE / 2.0;
            let _ = writeln!(
                out,
                "<text x='8' y='{middle}'>{label}</text><path d='M{LEFT} {middle}h{WIDE}' stroke='#ddd'/>"
            );
            let _ = writeln!(out, "<path stroke='{colour}' d='{}'/>", wave(pieces, middle, &x));
            top += LANE;
        }
        let own = played.iter().filter(|sound| sound.place == *place);
        for (n, sound) in own.enumerate() {
            let at = x(sound.begins);
            let under = top - 2.0 * LANE - 8.0;
            // One above the other, where they follow one another soon.
            let above = under - 14.0 * (n % 2) as f64;
            let _ = writeln!(
                out,
                "<path d='M{at} {under}v{}' stroke='#c00' stroke-dasharray='3'/>\
                 <text x='{}' y='{above}' fill='#c00'>{} ({:.4})</text>",
                2.0 * LANE,
                at + 3.0,
                sound.name,
                sound.alike
            );
        }
        top += 20.0;
    }
    let seconds = (ends - begins).as_secs();
    for second in 0..=seconds {
        let at = x(begins + Duration::from_secs(second));
        let _ = writeln!(
            out,
            "<text x='{at}' y='{}' fill='#555'>{second} s</text>",
            high - 6.0
        );
    }
    out + "</svg>\n"
}

/// The sound of a packet of G.711.
fn piece(at: Duration, bytes: &[u8]) -> Option<Piece> {
    let law = Law::of_payload(*bytes.get(1)? & 0x7f)?;
    let samples = bytes.get(12..)?.iter().map(|code| law.decode(*code));
    Some((at, samples.collect()))
}

/// From the lowest to the highest sample of each millisecond.
fn wave(pieces: &[Piece], middle: f64, x: &dyn Fn(Duration) -> f64) -> String {
    let mut path = String::new();
    for (begins, samples) in pieces {
        for (ms, part) in samples.chunks(8).enumerate() {
            let low = part.iter().min().map_or(0, |sample| i32::from(*sample));
            let high = part.iter().max().map_or(0, |sample| i32::from(*sample));
            if high - low > 32 {
                let y = |sample: i32| middle - f64::from(sample) / 32_768.0 * LANE;
                let at = x(*begins + Duration::from_millis(ms as u64));
                let _ = write!(path, "M{at:.1} {:.1}V{:.1}", y(high), y(low));
            }
        }
    }
    path
}

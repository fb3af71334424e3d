//! A recording as a picture: two waveforms over one axis of time.

use std::fmt::Write;

use super::shades::{Shade, Why, length};
use crate::records::recordings::chain::Channel;

/// Columns of a waveform: each is the lowest and the highest sample of its time.
pub(super) const COLUMNS: usize = 1_080;
const LEFT: f64 = 84.0;
const WIDTH: f64 = COLUMNS as f64;
const RIGHT: f64 = LEFT + WIDTH;
/// The rows of labels above the waveforms.
const LABELS: f64 = 80.0;
const LABEL_ROWS: usize = 3;
const ROW: f64 = 15.0;
/// The waveforms.
const TOPS: [f64; 2] = [124.0, 294.0];
const HEIGHT: f64 = 160.0;
const BOTTOM: f64 = TOPS[1] + HEIGHT;
/// About how wide a letter is, at the labels' size.
const LETTER: f64 = 6.0;
/// Of more shades than this only those are named that are this wide.
const NAMED_ALL: usize = 24;
const NAMED_FROM: f64 = 4.0;
/// The narrowest that a shade is drawn, so that it is seen.
const NARROWEST: f64 = 1.5;
/// Marks on the axis, at the most.
const TICKS_MAX: f64 = 12.0;
/// Seconds between them, and so many are shown as minutes and seconds.
const STEPS_S: [f64; 18] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0,
    7_200.0, 14_400.0,
];
const CLOCK_FROM_S: f64 = 120.0;
/// The quietest that fills the height: what is softer isn't drawn larger.
const QUIETEST: i32 = 328;

/// The lowest and the highest sample of each column, left and right.
pub(super) struct Peaks {
    samples: u64,
    at: u64,
    columns: Vec<[(i16, i16); 2]>,
}

impl Peaks {
    /// Of so many samples of each channel.
    pub(super) fn new(samples: u64) -> Self {
        Self {
            samples: samples.max(1),
            at: 0,
            columns: vec![[(0, 0); 2]; COLUMNS],
        }
    }

    /// Takes the samples that follow, left and right in turn.
    pub(super) fn add(&mut self, frames: &[i16]) {
        for frame in frames.as_chunks::<2>().0 {
            let column = self.at.saturating_mul(COLUMNS as u64) / self.samples;
            self.at += 1;
            let column = usize::try_from(column)
                .ok()
                .and_then(|column| self.columns.get_mut(column));
            for ((low, high), sample) in column.into_iter().flatten().zip(frame) {
                (*low, *high) = ((*low).min(*sample), (*high).max(*sample));
            }
        }
    }

    /// The largest of a channel.
    fn most(&self, channel: usize) -> i32 {
        let of_channel = self.columns.iter().filter_map(|column| column.get(channel));
        of_channel
            .map(|(low, high)| i32::from(*high).max(-i32::from(*low)))
            .max()
            .unwrap_or(0)
    }
}

/// Draws it; `about` stands under its title.
pub(super) fn draw(title: &str, about: &str, length_s: f64, peaks: &Peaks, shades: &[Shade]) -> String {
    let length_s = length_s.max(0.001);
    let x = |at_s: f64| LEFT + (at_s / length_s).clamp(0.0, 1.0) * WIDTH;
    let (width, height) = (RIGHT + 36.0, BOTTOM + 84.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"18\">Recording {title}</text>\n\
         <text x=\"{LEFT}\" y=\"50\" fill=\"#555\">{about}</text>\n"
    );
    for shade in shades {
        shaded(&mut svg, shade, &x);
    }
    let scale = peaks.most(0).max(peaks.most(1)).max(QUIETEST);
    waveform(&mut svg, 0, ("caller", "left", "#4878a8"), peaks, scale);
    waveform(&mut svg, 1, ("callee", "right", "#b06a1c"), peaks, scale);
    let hidden = labelled(&mut svg, shades, &x);
    axis(&mut svg, length_s, &x);
    legend(&mut svg, shades, hidden);
    svg.push_str("</svg>\n");
    svg
}

/// A shade's colours: its area, and its name.
const fn colours(why: Why) -> (&'static str, &'static str) {
    match why {
        Why::Paused => ("#d9d9d9", "#666"),
        Why::Restarted => ("#f3d9a0", "#8a5a00"),
        Why::Lost => ("#f2b8b0", "#a02818"),
        Why::NotWritten => ("#d7b9e8", "#6a2a90"),
    }
}

/// Where a shade stands: its top and its height.
const fn stands(channel: Option<Channel>) -> (f64, f64) {
    match channel {
        None => (TOPS[0], BOTTOM - TOPS[0]),
        Some(Channel::Caller) => (TOPS[0], HEIGHT),
        Some(Channel::Callee) => (TOPS[1], HEIGHT),
    }
}

fn shaded(svg: &mut String, shade: &Shade, x: &dyn Fn(f64) -> f64) {
    let (top, height) = stands(shade.channel);
    let (from, until) = (x(shade.from_s), x(shade.until_s));
    let wide = (until - from).max(NARROWEST);
    let from = from.min(RIGHT - wide);
    let (area, _) = colours(shade.why);
    let _ = writeln!(
        svg,
        "<rect x=\"{from:.1}\" y=\"{top}\" width=\"{wide:.1}\" height=\"{height}\" fill=\"{area}\"/>"
    );
}

fn waveform(
    svg: &mut String,
    channel: usize,
    (name, side, colour): (&str, &str, &str),
    peaks: &Peaks,
    scale: i32,
) {
    let top = TOPS.get(channel).copied().unwrap_or_default();
    let middle = top + HEIGHT / 2.0;
    let y = |sample: i16| middle - f64::from(sample) / f64::from(scale) * (HEIGHT / 2.0 - 4.0);
    let of_channel = || {
        let columns = peaks.columns.iter().enumerate();
        columns.filter_map(|(at, column)| Some((LEFT + at as f64 + 0.5, *column.get(channel)?)))
    };
    let highs = of_channel().map(|(x, (_, high))| format!("{x:.1},{:.1}", y(high)));
    let lows = of_channel().map(|(x, (low, _))| format!("{x:.1},{:.1}", y(low)));
    let points: Vec<String> = highs.chain(lows.collect::<Vec<_>>().into_iter().rev()).collect();
    let peak = match peaks.most(channel) {
        0 => "silent".to_owned(),
        most => format!("{:.1} dBFS", 20.0 * (f64::from(most) / 32_768.0).log10()),
    };
    let _ = writeln!(
        svg,
        "<polygon points=\"{0}\" fill=\"{colour}\" stroke=\"{colour}\" stroke-width=\"0.8\"/>\n\
         <rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999\"/>\n\
         <text x=\"{1}\" y=\"{2}\" text-anchor=\"end\" font-weight=\"bold\" fill=\"{colour}\">{name}</text>\n\
         <text x=\"{1}\" y=\"{3}\" text-anchor=\"end\" font-size=\"11\" fill=\"#555\">{side}</text>\n\
         <text x=\"{1}\" y=\"{4}\" text-anchor=\"end\" font-size=\"11\" fill=\"#555\">{peak}</text>",
        points.join(" "),
        LEFT - 8.0,
        middle - 8.0,
        middle + 8.0,
        middle + 24.0,
    );
}

/// Names shades as far as there is room, those of the longest first; how many have no name then.
fn labelled(svg: &mut String, shades: &[Shade], x: &dyn Fn(f64) -> f64) -> usize {
    let mut order: Vec<&Shade> = shades.iter().collect();
    order.sort_by(|a, b| (b.until_s - b.from_s).total_cmp(&(a.until_s - a.from_s)));
    // What is written above both, and in each channel.
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    let mut hidden = 0;
    for shade in order {
        let wide = shade.label.chars().count() as f64 * LETTER;
        let (from, until) = (x(shade.from_s), x(shade.until_s));
        let middle = f64::midpoint(from, until).clamp(LEFT + wide / 2.0, RIGHT - wide / 2.0);
        let (left, right) = (middle - wide / 2.0 - 4.0, middle + wide / 2.0 + 4.0);
        let rows: Vec<f64> = match shade.channel {
            None => (0..LABEL_ROWS)
                .rev()
                .map(|row| LABELS + row as f64 * ROW)
                .collect(),
            Some(_) => (1..=2)
                .map(|row| stands(shade.channel).0 + row as f64 * ROW - 2.0)
                .collect(),
        };
        let is_free = |row: &f64| {
            !taken
                .iter()
                .any(|(y, from, until)| y == row && left < *until && right > *from)
        };
        let is_named = shades.len() <= NAMED_ALL || until - from >= NAMED_FROM;
        let Some(row) = rows.into_iter().find(is_free).filter(|_| is_named) else {
            hidden += 1;
            continue;
        };
        taken.push((row, left, right));
        let (_, ink) = colours(shade.why);
        if shade.channel.is_none() {
            let at = f64::midpoint(from, until);
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{}\" stroke=\"{ink}\" stroke-width=\"0.7\"/>",
                row + 3.0,
                TOPS[0]
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{middle:.1}\" y=\"{row}\" text-anchor=\"middle\" font-size=\"11\" fill=\"{ink}\" stroke=\"white\" \
             stroke-width=\"3\" paint-order=\"stroke\">{}</text>",
            shade.label
        );
    }
    hidden
}

fn axis(svg: &mut String, length_s: f64, x: &dyn Fn(f64) -> f64) {
    let step = STEPS_S.iter().find(|step| length_s / **step <= TICKS_MAX);
    let step = step.copied().unwrap_or(length_s / TICKS_MAX);
    let ticks = (length_s / step + 0.001) as usize;
    for tick in 0..=ticks {
        let at_s = tick as f64 * step;
        let (at, text) = (x(at_s), clock(at_s, step, length_s));
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{BOTTOM}\" y2=\"{}\" stroke=\"#333\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{text}</text>",
            BOTTOM + 5.0,
            BOTTOM + 20.0
        );
    }
    let unit = match length_s < CLOCK_FROM_S {
        true => "seconds after the begin",
        false => "minutes:seconds after the begin",
    };
    let _ = writeln!(
        svg,
        "<text x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\" fill=\"#555\">{unit}</text>",
        BOTTOM + 40.0
    );
}

/// A time on the axis.
fn clock(at_s: f64, step: f64, length_s: f64) -> String {
    let whole = at_s.round() as u64;
    match length_s < CLOCK_FROM_S {
        true if step < 1.0 => format!("{at_s:.1}"),
        true => whole.to_string(),
        false if length_s < 3_600.0 => format!("{}:{:02}", whole / 60, whole % 60),
        false => format!("{}:{:02}:{:02}", whole / 3_600, whole / 60 % 60, whole % 60),
    }
}

/// What the colours mean, and how much there is of each.
fn legend(svg: &mut String, shades: &[Shade], hidden: usize) {
    let mut at = LEFT;
    let y = BOTTOM + 64.0;
    for why in Why::ALL {
        let of_kind: Vec<&Shade> = shades.iter().filter(|shade| shade.why == why).collect();
        if of_kind.is_empty() {
            continue;
        }
        let total: f64 = of_kind.iter().map(|shade| shade.until_s - shade.from_s).sum();
        let text = format!("{} ({} \u{d7}, {})", why.name(), of_kind.len(), length(total));
        let (area, ink) = colours(why);
        let _ = writeln!(
            svg,
            "<rect x=\"{at:.1}\" y=\"{}\" width=\"14\" height=\"12\" fill=\"{area}\" stroke=\"{ink}\" stroke-width=\"0.5\"/>\
             <text x=\"{:.1}\" y=\"{y}\" fill=\"#333\">{text}</text>",
            y - 11.0,
            at + 20.0
        );
        at += 20.0 + text.chars().count() as f64 * 7.2 + 24.0;
    }
    let rest = match (shades.is_empty(), hidden) {
        (true, _) => "nothing was paused, and nothing is missing".to_owned(),
        (false, 0) => return,
        (false, hidden) => format!("{hidden} of them have no room for their names"),
    };
    let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{y}\" fill=\"#555\">{rest}</text>");
}

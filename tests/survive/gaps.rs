//! What the kills sounded like: the pauses' distribution as text and as a picture.

use std::fmt::Write;

use crate::audio::{Gap, Kill};

/// What may be promised: audio again so long after the start of the new process, in milliseconds.
const PROMISE_MS: f64 = 2_000.0;

/// Sorted milliseconds.
pub struct Times(Vec<f64>);

impl Times {
    /// Of these, in any order.
    pub fn of(ms: impl IntoIterator<Item = f64>) -> Self {
        let mut ms: Vec<f64> = ms.into_iter().collect();
        ms.sort_by(f64::total_cmp);
        Self(ms)
    }

    /// The value that this part of them doesn't exceed: 0.5 is the median.
    pub fn part(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.0.get(at).copied().unwrap_or(f64::NAN)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One line.
    pub fn line(&self) -> String {
        let [min, median, p95, p99, max] = [0.0, 0.5, 0.95, 0.99, 1.0].map(|part| self.part(part));
        format!("min {min:.0}  median {median:.0}  p95 {p95:.0}  p99 {p99:.0}  max {max:.0} ms")
    }
}

/// The pauses of a campaign.
pub struct Pauses {
    /// As heard, those that one kill made.
    pub heard: Times,
    /// From the start of the new process to the first packet heard of each direction.
    pub since_start: Times,
    /// From the start of the new process to the first packet of all, a round.
    pub first: Times,
    by_round: Vec<(usize, Times)>,
    twice: Times,
}

impl Pauses {
    /// Sorts out what was heard.
    pub fn of(gaps: &[Gap], kills: &[Kill]) -> Self {
        let ms = |ns: u64| ns as f64 / 1e6;
        let since = |gap: &Gap| ms(gap.until.saturating_sub(kills[gap.round].started));
        let once = || gaps.iter().filter(|gap| gap.kills == 1);
        let of_round = |round: usize| gaps.iter().filter(move |gap| gap.round == round);
        let rounds = (0..kills.len()).filter(|round| of_round(*round).next().is_some());
        Self {
            heard: Times::of(once().map(|gap| ms(gap.ns))),
            since_start: Times::of(gaps.iter().map(since)),
            first: Times::of(
                rounds
                    .clone()
                    .map(|round| Times::of(of_round(round).map(since)).part(0.0)),
            ),
            by_round: rounds
                .map(|round| (round, Times::of(of_round(round).map(|gap| ms(gap.ns)))))
                .collect(),
            twice: Times::of(gaps.iter().filter(|gap| gap.kills > 1).map(|gap| ms(gap.ns))),
        }
    }

    /// The numbers.
    pub fn text(&self) -> String {
        let mut out = format!(
            "audio gap a direction a kill, as heard ({}):  {}\nprocess start to audio, each direction:  {}\n\
             process start to the first packet, a round:  {}\n",
            self.heard.len(),
            self.heard.line(),
            self.since_start.line(),
            self.first.line(),
        );
        if self.twice.len() > 0 {
            let _ = writeln!(
                out,
                "gaps over two kills, the second before any audio ({}):  {}",
                self.twice.len(),
                self.twice.line()
            );
        }
        for (round, times) in &self.by_round {
            let _ = writeln!(
                out,
                "  kill {:>2}: {:>5} directions  {}",
                round + 1,
                times.len(),
                times.line()
            );
        }
        let worst = self.since_start.part(1.0);
        let verdict = if worst <= PROMISE_MS { "kept" } else { "NOT KEPT" };
        let _ = writeln!(
            out,
            "audio within {PROMISE_MS:.0} ms of the start: {verdict} (worst {worst:.0} ms)"
        );
        out
    }

    /// The picture: how many of the pauses were how long, and each kill's.
    pub fn picture(&self, title: &str) -> String {
        let plot = Plot::new(self);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"760\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"960\" height=\"760\" fill=\"white\"/>\n\
             <text x=\"70\" y=\"28\" font-size=\"18\">Audio gap at kill -9, as heard by the phones</text>\n\
             <text x=\"70\" y=\"48\" fill=\"#555\">{title}; {}</text>\n",
            self.heard.line()
        );
        plot.bars(&mut svg);
        plot.rounds(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }
}

/// Where the picture's two parts lie, and its one scale of time.
struct Plot<'p> {
    pauses: &'p Pauses,
    max_ms: f64,
    step_ms: f64,
}

const LEFT: f64 = 70.0;
const WIDTH: f64 = 850.0;
const TOP: f64 = 90.0;
const HEIGHT: f64 = 250.0;
const BARS: usize = 85;
const ROUNDS_TOP: f64 = 430.0;
const ROUNDS_HEIGHT: f64 = 270.0;

impl<'p> Plot<'p> {
    fn new(pauses: &'p Pauses) -> Self {
        let longest = pauses
            .by_round
            .iter()
            .map(|(_, times)| times.part(1.0))
            .fold(100.0, f64::max);
        let steps = [20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0];
        let step_ms = steps
            .into_iter()
            .find(|step| longest / step <= 12.0)
            .unwrap_or(10_000.0);
        Self {
            pauses,
            max_ms: (longest / step_ms).ceil() * step_ms,
            step_ms,
        }
    }

    fn x(&self, ms: f64) -> f64 {
        LEFT + ms / self.max_ms * WIDTH
    }

    /// Lines of time behind both parts.
    fn grid(&self, svg: &mut String, top: f64, height: f64) {
        let mut ms = 0.0;
        while ms <= self.max_ms + 0.5 {
            let (x, bottom) = (self.x(ms), top + height);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{ms:.0}</text>",
                bottom + 17.0
            );
            ms += self.step_ms;
        }
    }

    /// How many gaps were so long, and the marks.
    fn bars(&self, svg: &mut String) {
        self.grid(svg, TOP, HEIGHT);
        let heard = &self.pauses.heard;
        let mut counts = [0_usize; BARS];
        for ms in &heard.0 {
            counts[((ms / self.max_ms * BARS as f64) as usize).min(BARS - 1)] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let (width, bottom) = (WIDTH / BARS as f64, TOP + HEIGHT);
        for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let height = (*count as f64 / most * (HEIGHT - 12.0)).max(1.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"#4878a8\"/>",
                LEFT + index as f64 * width,
                bottom - height,
                width - 1.0
            );
        }
        for (index, (name, part)) in [("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)]
            .into_iter()
            .enumerate()
        {
            let (x, y) = (self.x(heard.part(part)), TOP - 6.0 - 13.0 * (index % 2) as f64);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y:.1}\" y2=\"{bottom}\" stroke=\"#c03028\" stroke-dasharray=\"4 3\"/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\" fill=\"#c03028\">{name}</text>",
                x + 3.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\">gap in ms: {} directions; the highest bar is {most:.0} of them</text>",
            bottom + 38.0,
            heard.len()
        );
    }

    /// For each kill: from the shortest to the longest, the middle half, the median.
    fn rounds(&self, svg: &mut String) {
        self.grid(svg, ROUNDS_TOP, ROUNDS_HEIGHT);
        let count = self.pauses.by_round.len().max(1) as f64;
        let row = ROUNDS_HEIGHT / count;
        for (index, (round, times)) in self.pauses.by_round.iter().enumerate() {
            let y = ROUNDS_TOP + (index as f64 + 0.5) * row;
            let [min, low, middle, high, max] =
                [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| self.x(times.part(part)));
            let half = (row * 0.32).min(9.0);
            let _ = writeln!(
                svg,
                "<line x1=\"{min:.1}\" x2=\"{max:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#4878a8\" stroke-width=\"1.5\"/>\
                 <rect x=\"{low:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#4878a8\"/>\
                 <line x1=\"{middle:.1}\" x2=\"{middle:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"white\" stroke-width=\"2\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\" font-size=\"11\">{}</text>",
                y - half,
                (high - low).max(2.0),
                half * 2.0,
                y - half,
                y + half,
                LEFT - 8.0,
                y + 4.0,
                round + 1,
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\">each kill: shortest to longest gap in ms, the middle half, the median</text>",
            ROUNDS_TOP + ROUNDS_HEIGHT + 38.0
        );
    }
}

//! `umbra recording plot`

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::convert;
use super::files::{self, KeyFolder};
use super::picture::{self, COLUMNS, Peaks};
use super::shades;
use super::sound::Sound;
use crate::cli::when;
use crate::rtp::recording::dump::Whose;

const ABOUT: &str = "\
Draw a recording: both channels over time, with what was paused, lost, not written or passed while a server was down shaded and \
named. The picture is an SVG file, which every browser shows; a dump is drawn too, as far as its codecs are decoded.";

/// What `recording plot` takes.
#[derive(Args, Debug)]
#[command(long_about = ABOUT)]
pub struct Plot {
    /// The recording: its audio or .chain file; both must be there. It may still be written to
    path: PathBuf,
    /// The picture to write
    #[arg(long, short, value_name = "FILE.svg")]
    output: PathBuf,
    #[command(flatten)]
    keys: KeyFolder,
}

impl Plot {
    /// Draws it.
    ///
    /// # Errors
    /// The recording can't be read, or the picture can't be written.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let output = self.output.display();
        if self
            .output
            .extension()
            .is_none_or(|end| !end.eq_ignore_ascii_case("svg"))
        {
            bail!(
                "{output}: pictures are written as SVG: name a file that ends in .svg, and for a PNG convert that \
                 (rsvg-convert -o FILE.png FILE.svg)"
            );
        }
        let place = files::one(&self.path)?;
        let mut reader = files::open(&place, &self.keys)?;
        let shades = shades::of(&reader);
        let sound = Sound::of(&reader);
        let mut peaks = Peaks::new(sound.samples);
        let unread = convert::read_some(&sound, &self.path)?;
        let rate_hz = sound.rate_hz;
        let length_s = sound.samples as f64 / f64::from(rate_hz.max(1));
        sound.read(&mut reader, &mut |frames| {
            peaks.add(frames);
            Ok(())
        })?;
        let head = reader.head();
        let state = match reader.end() {
            Some(end) => match end.gaps {
                0 => "whole, no gaps".to_owned(),
                1 => "whole, 1 gap".to_owned(),
                gaps => format!("whole, {gaps} gaps"),
            },
            None => "not finished".to_owned(),
        };
        let mut about = format!(
            "began {} ({}), {length_s:.1} s, {rate_hz} Hz, {state}",
            head.began,
            when::show_time(head.began)
        );
        let not_drawn: Vec<String> = unread.iter().map(not_drawn).collect();
        for stream in &not_drawn {
            about += "; ";
            about += stream;
        }
        let svg = picture::draw(&head.recording.to_string(), &about, length_s, &peaks, &shades);
        files::create(&self.output)?
            .write_all(svg.as_bytes())
            .with_context(|| format!("{output} can't be written"))?;
        writeln!(
            out,
            "{output}: {length_s:.1} s in {COLUMNS} columns, {} parts shaded",
            shades.len()
        )?;
        for stream in &not_drawn {
            writeln!(out, "{stream}")?;
        }
        Ok(())
    }
}

/// What is to be said of a stream that isn't in the picture.
fn not_drawn(whose: &Whose) -> String {
    format!(
        "not drawn: payload type {} ({} Hz) of the {}, which isn't decoded here",
        whose.payload_type,
        whose.clock_hz,
        convert::who(whose.channel)
    )
}

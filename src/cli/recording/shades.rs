//! What of a recording isn't what was said: pauses, gaps and restarts, with where they lie and what they are called.

use crate::records::recordings::chain::{Channel, Faxed, Loss, Unwritten, What};
use crate::records::recordings::read::Reader;

/// Why a part is shaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// Somebody asked that nothing be recorded.
    Paused,
    /// No server was there.
    Restarted,
    /// Packets didn't come, or couldn't be read.
    Lost,
    /// The disk didn't take it, or the recorder didn't keep up.
    NotWritten,
}

impl Why {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Paused, Self::Restarted, Self::Lost, Self::NotWritten];

    /// What a legend calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Restarted => "server down",
            Self::Lost => "lost",
            Self::NotWritten => "not written",
        }
    }
}

/// A part of a recording.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Shade {
    pub(super) why: Why,
    /// One channel's, or both.
    pub(super) channel: Option<Channel>,
    /// Where it begins and ends, in seconds.
    pub(super) from_s: f64,
    pub(super) until_s: f64,
    pub(super) label: String,
}

/// The parts of a recording, as its marks say them.
pub(super) fn of(reader: &Reader) -> Vec<Shade> {
    let rate = f64::from(reader.head().rate.max(1));
    let seconds = |samples: u64| samples as f64 / rate;
    let end_s = seconds(reader.samples());
    let mut paused_at = None;
    // Faxes whose end isn't known.
    let mut faxed = Vec::new();
    let mut shades = Vec::new();
    let mut shade = |why, channel, from_s: f64, length_s: f64, label: String| {
        shades.push(Shade {
            why,
            channel,
            from_s: from_s.min(end_s),
            until_s: (from_s + length_s).min(end_s),
            label,
        });
    };
    let paused =
        |from_s: f64, until_s: f64| (until_s - from_s, format!("paused {}", length(until_s - from_s)));
    for mark in reader.marks() {
        let at_s = seconds(mark.at);
        match mark.what {
            What::Paused => paused_at = paused_at.or(Some(at_s)),
            What::Resumed => {
                if let Some(from_s) = paused_at.take() {
                    let (length_s, label) = paused(from_s, at_s);
                    shade(Why::Paused, None, from_s, length_s, label);
                }
            }
            What::Lost {
                channel,
                why: Loss::Fax(Faxed::Begins),
                ..
            } => faxed.push((channel, at_s)),
            What::Lost {
                channel,
                samples,
                why,
            } => {
                if why == Loss::Fax(Faxed::Lasted) {
                    // It says where that began, too.
                    faxed.retain(|(of, _)| *of != channel);
                }
                let (length_s, why) = (seconds(samples), said(why));
                shade(
                    Why::Lost,
                    Some(channel),
                    at_s,
                    length_s,
                    format!("{} {why}", length(length_s)),
                );
            }
            What::Restarted { silent_ms, .. } => {
                let length_s = silent_ms as f64 / 1_000.0;
                shade(
                    Why::Restarted,
                    None,
                    at_s,
                    length_s,
                    format!("server down {}", length(length_s)),
                );
            }
            What::Abandoned { .. } => shade(
                Why::Restarted,
                None,
                at_s,
                0.0,
                "server stopped, nobody went on".into(),
            ),
            What::NotWritten { samples, why } => {
                let (length_s, why) = (seconds(samples), unwritten(why));
                let label = format!("not written {}: {why}", length(length_s));
                shade(Why::NotWritten, None, at_s, length_s, label);
            }
            // They say where something may be missing, and whose packets are.
            What::NotSynced { .. } | What::Stream { .. } => {}
        }
    }
    if let Some(from_s) = paused_at {
        let (length_s, label) = paused(from_s, end_s);
        shade(Why::Paused, None, from_s, length_s, label);
    }
    for (channel, from_s) in faxed {
        let length_s = end_s - from_s;
        let label = format!("{} faxed", length(length_s));
        shade(Why::Lost, Some(channel), from_s, length_s, label);
    }
    shades
}

const fn said(why: Loss) -> &'static str {
    match why {
        Loss::Network => "lost",
        Loss::Overload => "missed (overload)",
        Loss::Codec(None) => "not decoded",
        Loss::Codec(Some(_)) => "in the dump beside",
        Loss::Fax(_) => "faxed",
    }
}

const fn unwritten(why: Unwritten) -> &'static str {
    match why {
        Unwritten::DiskFull => "disk full",
        Unwritten::DiskError => "disk error",
        Unwritten::Overload => "overload",
    }
}

/// `40 ms`, `3.2 s`
pub(super) fn length(seconds: f64) -> String {
    match seconds < 1.0 {
        true => format!("{:.0} ms", seconds * 1_000.0),
        false => format!("{seconds:.1} s"),
    }
}

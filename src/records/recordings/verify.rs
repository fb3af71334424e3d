//! Whether a recording is as it was written, and if it isn't, what was changed and where.

use std::fmt;
use std::fs::File;
use std::io;
use std::time::Duration;

use super::chain::{Cipher, Sha, form};
use super::lines::{Chain, Doubt, Found, NoHead};
use super::place::Phase;
use super::read::{has_header, is_sealed, load};
use super::seal::{Keys, Seal};
use super::{Error, Place};
use crate::base::time::Wall;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every byte of both files is as it was written.
    Whole {
        /// How many blocks it has.
        blocks: u64,
        /// How many samples of each channel.
        samples: u64,
        /// How many marks say that something is missing.
        gaps: u64,
        /// The digits of its last line: those in the audit log are to be the same.
        sha256: Sha,
        /// Whether its seals were looked at.
        seals: Seals,
    },
    /// It is being written, or its server was killed; all that is there is as it was written.
    Unfinished {
        /// How many blocks it has.
        blocks: u64,
        /// How many samples of each channel.
        samples: u64,
    },
    /// As `Unfinished`, and the last block that was being written isn't whole.
    Torn {
        /// How many whole blocks come before it.
        blocks: u64,
    },
    /// Somebody or something has changed it.
    Changed {
        /// The block; 0 is what comes before the first one.
        block: u64,
        /// What isn't as it was written.
        what: Change,
    },
}

/// Whether the seals of a recording were looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seals {
    /// It isn't sealed.
    None,
    /// All of them are right.
    Right,
    /// They weren't: its key isn't here.
    Unchecked,
}

/// What of a recording isn't as it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The chain's first line.
    Head,
    /// The names of the files: they are another recording's.
    Name,
    /// The audio file isn't there.
    NoAudio,
    /// The header of the WAV file.
    Header,
    /// The block's audio.
    Audio,
    /// The block's audio, or a part of it, isn't there.
    AudioCut,
    /// There is more audio than the chain tells of.
    AudioAdded,
    /// The block's line in the chain.
    Line,
    /// The block's line isn't there.
    LineRemoved,
    /// The block's line is in another place.
    LineMoved,
    /// There is something behind the chain's last line.
    LinesAdded,
    /// The chain's last line isn't there: what followed this block was cut off.
    EndRemoved,
    /// The chain's last line.
    End,
    /// It isn't the one whose end is known: its chain was made anew, or what was whole isn't any more.
    Replaced,
    /// The block isn't what was sealed: who changed it has made the chain anew, without the key.
    Seal,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the first line of its chain was changed",
            Self::Name => "its files bear another recording's name",
            Self::NoAudio => "its audio file isn't there",
            Self::Header => "the header of its WAV file was changed",
            Self::Audio => "its audio was changed",
            Self::AudioCut => "its audio was cut off",
            Self::AudioAdded => "audio was added that its chain doesn't tell of",
            Self::Line => "its line in the chain was changed",
            Self::LineRemoved => "its line was taken out of the chain",
            Self::LineMoved => "its line was moved to another place in the chain",
            Self::LinesAdded => "something was added behind the chain's last line",
            Self::EndRemoved => "the chain was cut off behind it",
            Self::End => "the last line of the chain was changed",
            Self::Replaced => "it doesn't end with the digits that it was compared with",
            Self::Seal => "it isn't what was sealed with the account's key",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole {
                blocks, gaps, seals, ..
            } => {
                match blocks {
                    0 => f.write_str("whole: there is nothing in it")?,
                    1 => f.write_str("whole: its one block is as it was written")?,
                    blocks => write!(f, "whole: all {blocks} blocks are as they were written")?,
                }
                match gaps {
                    0 => {}
                    1 => f.write_str(", one gap is marked")?,
                    gaps => write!(f, ", {gaps} gaps are marked")?,
                }
                match seals {
                    Seals::None | Seals::Right => Ok(()),
                    Seals::Unchecked => f.write_str("; their seals were not looked at, the key isn't here"),
                }
            }
            Self::Unfinished { blocks: 0, .. } => f.write_str("not finished: there is nothing in it so far"),
            Self::Unfinished { blocks: 1, .. } => {
                f.write_str("not finished: its one block so far is as it was written")
            }
            Self::Unfinished { blocks, .. } => write!(
                f,
                "not finished: its {blocks} blocks so far are as they were written"
            ),
            Self::Torn { blocks: 0 } => f.write_str("not finished: its first block is torn"),
            Self::Torn { blocks: 1 } => {
                f.write_str("not finished: its first block is as it was written, the next one is torn")
            }
            Self::Torn { blocks } => write!(
                f,
                "not finished: its first {blocks} blocks are as they were written, the next one is torn"
            ),
            Self::Changed { block: 0, what } => write!(f, "changed: {what}"),
            Self::Changed { block, what } => write!(f, "changed at block {block}: {what}"),
        }
    }
}

/// What a recording's end was compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compared {
    /// With the digits that whoever asked has given.
    Given,
    /// With those that the audit log has of it.
    AuditLog,
    /// With nothing: what was made in its place together with its chain can't be told from it.
    Nothing,
}

impl Compared {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::AuditLog => "audit log",
            Self::Nothing => "nothing",
        }
    }
}

impl Verdict {
    /// In words, with what its end was compared with.
    pub fn said(&self, compared: Compared) -> String {
        let is_replaced = match self {
            Self::Changed { what, .. } => *what == Change::Replaced,
            Self::Whole { .. } | Self::Unfinished { .. } | Self::Torn { .. } => false,
        };
        let is_whole = matches!(self, Self::Whole { .. });
        let with = match compared {
            Compared::Given if is_replaced => ": those that were given",
            Compared::AuditLog if is_replaced => ": those in the audit log",
            Compared::Given if is_whole => "; it ends with the digits that were given",
            Compared::AuditLog if is_whole => "; it ends as the audit log says",
            Compared::Nothing if is_whole => "; there was nothing to compare its end with",
            // What is wrong with it is so whatever its end is, and what runs has none.
            Compared::Given | Compared::AuditLog | Compared::Nothing => "",
        };
        format!("{self}{with}")
    }
}

/// Reads all of a recording and compares it with what its chain says. Without its key a sealed one is checked too, but for
/// the seals themselves. `expected` are the digits of its last line as the audit log has them: without them nobody can
/// tell a recording from one that was made in its place.
///
/// # Errors
/// There is none, a newer program wrote it, or the disk can't be read.
pub fn verify(place: &Place, keys: &Keys, expected: Option<Sha>) -> Result<Verdict, Error> {
    let found = Found::at(place)?;
    let (verdict, sha) = compare(found, place, keys)?;
    let is_right = match verdict {
        Verdict::Changed { .. } => true,
        Verdict::Whole { .. } | Verdict::Unfinished { .. } | Verdict::Torn { .. } => {
            expected.is_none_or(|expected| sha == Some(expected))
        }
    };
    Ok(match is_right {
        true => verdict,
        false => at(0, Change::Replaced),
    })
}

/// When something of a recording was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// How long after its begin.
    pub after: Duration,
    /// At what time.
    pub at: Wall,
}

/// When that block begins. Of one whose line isn't believed that is where the one before it ends; `None` if none before it is
/// believed either, or the chain can't be read.
pub fn moment(place: &Place, block: u64) -> Option<Moment> {
    let chain = Chain::read(&Found::at(place).ok()?.bytes).ok()?;
    let before = usize::try_from(block.checked_sub(1)?).ok()?;
    if before > chain.blocks.len() {
        return None;
    }
    let rate = u64::from(chain.head.rate.max(1));
    let after = Duration::from_millis(chain.samples(before).saturating_mul(1_000) / rate);
    Some(Moment {
        after,
        at: chain.head.began.plus(after),
    })
}

/// What is to be said of a recording by itself, and the digits of its last line.
fn compare(found: Found, place: &Place, keys: &Keys) -> Result<(Verdict, Option<Sha>), Error> {
    let chain = match Chain::read(&found.bytes) {
        Ok(chain) => chain,
        Err(NoHead::Newer(newer)) => return Err(Error::Newer(found.chain, newer, form())),
        Err(NoHead::Torn) if found.phase == Phase::Part => return Ok((Verdict::Torn { blocks: 0 }, None)),
        Err(NoHead::Torn | NoHead::Changed) => return Ok((at(0, Change::Head), None)),
    };
    let sha = chain.end.as_ref().map(|ending| ending.sha);
    Ok((compare_with(&found, &chain, place, keys)?, sha))
}

fn compare_with(found: &Found, chain: &Chain, place: &Place, keys: &Keys) -> Result<Verdict, Error> {
    if chain.head.recording != place.recording {
        return Ok(at(0, Change::Name));
    }
    let (audio, length, _) = match found.audio(&chain.head) {
        Ok(audio) => audio,
        Err(Error::Absent(_)) => return Ok(at(0, Change::NoAudio)),
        Err(error) => return Err(error),
    };
    let io = |error: io::Error| Error::of(&found.chain, error);
    let seal = keys.of(&chain.head).map(|key| key.seal(chain.head.recording));
    let header = header(found, chain, &audio).map_err(io)?;
    if let (Some(verdict), Phase::Part) = (&header, found.phase) {
        return Ok(verdict.clone());
    }
    for block in &chain.blocks {
        let n = block.line.n;
        let as_sealed = load(&audio, block)
            .map(|bytes| bytes.map(|mut bytes| is_sealed(block, &mut bytes, seal.as_ref())));
        match as_sealed {
            Ok(Some(true)) => {}
            Ok(Some(false)) => return Ok(at(n, Change::Seal)),
            Ok(None) => return Ok(at(n, Change::Audio)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(match found.phase {
                    Phase::Part => Verdict::Torn { blocks: n - 1 },
                    Phase::Whole => at(n, Change::AudioCut),
                });
            }
            Err(error) => return Err(io(error)),
        }
    }
    Ok(match ending(found, chain, length, seal.as_ref()) {
        // How many samples its header should say is known of a chain that is whole.
        verdict @ Verdict::Whole { .. } => header.unwrap_or(verdict),
        verdict @ (Verdict::Unfinished { .. } | Verdict::Torn { .. } | Verdict::Changed { .. }) => verdict,
    })
}

const fn at(block: u64, what: Change) -> Verdict {
    Verdict::Changed { block, what }
}

/// What is wrong with the WAV file's header.
fn header(found: &Found, chain: &Chain, audio: &File) -> io::Result<Option<Verdict>> {
    let samples = u32::try_from(chain.samples(chain.blocks.len())).unwrap_or(u32::MAX);
    // Until a recording is whole its header says the most that there can be.
    let outcome = match (has_header(audio, &chain.head, samples), found.phase) {
        (Ok(false), Phase::Part) => has_header(audio, &chain.head, u32::MAX),
        (outcome, _) => outcome,
    };
    match outcome {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(at(0, Change::Header))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(match found.phase {
            Phase::Part => Verdict::Torn { blocks: 0 },
            Phase::Whole => at(0, Change::Header),
        })),
        Err(error) => Err(error),
    }
}

/// What is to be said of a recording whose blocks are all as they were written, as far as their lines are believed.
fn ending(found: &Found, chain: &Chain, length: u64, seal: Option<&Seal>) -> Verdict {
    let blocks = chain.blocks.len() as u64;
    let (samples, gaps) = (chain.samples(chain.blocks.len()), chain.gaps(chain.blocks.len()));
    match (chain.doubt, found.phase) {
        (None, _) => {}
        (Some((Doubt::Torn, _)), Phase::Part) => return Verdict::Torn { blocks },
        (Some((Doubt::Torn | Doubt::Changed, _)), Phase::Whole)
        | (Some((Doubt::Changed, _)), Phase::Part) => {
            return match chain.end {
                // A line more than there were.
                Some(_) => at(blocks, Change::LinesAdded),
                None if is_at_end(found, chain) => at(blocks, Change::End),
                None => at(blocks + 1, Change::Line),
            };
        }
        (Some((Doubt::Missing, _)), _) => return at(blocks + 1, Change::LineRemoved),
        (Some((Doubt::Moved, _)), _) => return at(blocks + 1, Change::LineMoved),
        (Some((Doubt::Beyond, _)), _) => return at(blocks, Change::LinesAdded),
    }
    let audio_bytes = chain.audio_bytes(chain.blocks.len());
    let Some(ending) = &chain.end else {
        return match found.phase {
            Phase::Whole => at(blocks, Change::EndRemoved),
            Phase::Part if length > audio_bytes => Verdict::Torn { blocks },
            Phase::Part => Verdict::Unfinished { blocks, samples },
        };
    };
    let said = &ending.end;
    if !said.whole || (said.blocks, said.samples, said.gaps) != (blocks, samples, gaps) {
        return at(blocks, Change::End);
    }
    let is_sealed = match seal {
        None => true,
        Some(seal) => ending
            .seal
            .is_some_and(|mac| mac.is_over(seal, ending.before, &ending.front)),
    };
    if !is_sealed {
        return at(blocks, Change::Seal);
    }
    if length > audio_bytes {
        return at(blocks, Change::AudioAdded);
    }
    if found.phase == Phase::Part {
        return Verdict::Unfinished { blocks, samples };
    }
    let seals = match (chain.head.sealed, seal) {
        (Cipher::None, _) => Seals::None,
        (Cipher::Aes256Gcm | Cipher::Sm4Gcm, Some(_)) => Seals::Right,
        (Cipher::Aes256Gcm | Cipher::Sm4Gcm, None) => Seals::Unchecked,
    };
    Verdict::Whole {
        blocks,
        samples,
        gaps,
        sha256: ending.sha,
        seals,
    }
}

/// Whether the line that isn't believed is the last one of the chain.
fn is_at_end(found: &Found, chain: &Chain) -> bool {
    let from = usize::try_from(chain.chain_bytes(chain.blocks.len())).unwrap_or(usize::MAX);
    let rest = found.bytes.get(from..).unwrap_or_default();
    let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
    !rest.contains(&b'\n')
}

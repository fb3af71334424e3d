//! `umbra recording`: what calls left on the server's disk, and what can be done with a copy of it.

mod convert;
mod erase;
mod fetch;
mod files;
mod link;
mod list;
mod picture;
mod player;
mod plot;
mod shades;
mod sound;
mod verify;
mod whose;

use std::io::Write;

use clap::Subcommand;

use super::client::Control;

/// What can be done about recordings.
#[derive(Subcommand, Debug)]
pub enum Recording {
    /// List recordings
    List(list::List),
    /// Fetch a recording's audio; after a break it goes on where that ended
    Get(fetch::Get),
    /// Hear a recording on this machine
    Play(fetch::Play),
    /// Say whether recordings are as they were written: files and folders, without a server, or IDs
    Verify(verify::Verify),
    /// Draw both channels over time, with what is missing: files, without a server
    Plot(plot::Plot),
    /// Make a WAV file of a dump whose codec the server doesn't decode: files, without a server
    Convert(convert::Convert),
    /// Make a link by which a recording is heard without a key, until it ends
    Link(link::Link),
    /// Erase recordings, if they need not be kept any longer
    Erase(erase::Erase),
}

impl Recording {
    /// Does it; a server is asked only where it has to be.
    ///
    /// # Errors
    /// What the server says, or the files.
    pub fn run(
        self,
        control: impl FnOnce() -> anyhow::Result<Control>,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(&control()?, out),
            Self::Get(get) => get.run(&control()?, out),
            Self::Play(play) => play.run(&control()?),
            Self::Verify(verify) => verify.run(control, out),
            Self::Plot(plot) => plot.run(out),
            Self::Convert(convert) => convert.run(out),
            Self::Link(link) => link.run(&control()?, out),
            Self::Erase(erase) => erase.run(&control()?, out),
        }
    }
}

#[cfg(test)]
mod tests;

//! The room that recordings leave on their disk for all that stands there too: the calls' records, the store, the log.

use std::path::Path;

use crate::base::limits::RECORDINGS_KEEP_FREE;
use crate::records::recordings::Error;
use crate::records::recordings::disk::{Space, space};

/// Of a floor that was reached so much more has to be free, in parts of it, until recordings are written again.
const AGAIN: u64 = 8;

/// How much of their disk recordings leave free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeepFree {
    /// [`RECORDINGS_KEEP_FREE`], or a twentieth of the disk where that is less.
    #[default]
    Usual,
    /// So many bytes; none: they may fill it.
    Bytes(u64),
}

impl KeepFree {
    fn of(self, disk: Space) -> u64 {
        match self {
            Self::Usual => RECORDINGS_KEEP_FREE.min(disk.bytes / 20),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Whether there is room for recordings.
#[derive(Default)]
pub(super) struct Room {
    /// While there is too little: what is free, the floor, and what is to be free until they are written again.
    short: Option<[u64; 3]>,
}

impl Room {
    /// Looks at the disk. One that doesn't say what it has refuses by itself, or doesn't.
    pub(super) fn look(&mut self, dir: &Path, keep: KeepFree) {
        if let Ok(disk) = space(dir) {
            self.see(disk, keep);
        }
    }

    fn see(&mut self, disk: Space, keep: KeepFree) {
        let floor = keep.of(disk);
        // What waited is written at once then, and mustn't reach the floor again with that.
        let again = floor.saturating_add(floor / AGAIN);
        let wanted = match self.short {
            None => floor,
            Some(_) => again,
        };
        self.short = (disk.free < wanted).then_some([disk.free, floor, again]);
    }

    pub(super) const fn is_short(&self) -> bool {
        self.short.is_some()
    }

    /// Whether something may be written.
    ///
    /// # Errors
    /// There is too little room.
    pub(super) fn check(&self, dir: &Path) -> Result<(), Error> {
        match self.short {
            None => Ok(()),
            Some([free, floor, again]) => {
                let up = |bytes: u64| bytes.div_ceil(1 << 20);
                Err(Error::Short(dir.to_owned(), free >> 20, up(floor), up(again)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn disk(free: u64) -> Space {
        Space {
            free,
            bytes: 100 * MIB,
        }
    }

    #[test]
    fn the_usual_floor_is_a_gibibyte_or_a_twentieth_of_a_small_disk() {
        let of = |bytes| KeepFree::Usual.of(Space { free: 0, bytes });
        assert_eq!(of(100 * MIB), 5 * MIB);
        assert_eq!(of(20 << 30), 1 << 30);
        assert_eq!(of(1 << 50), 1 << 30);
        assert_eq!(KeepFree::Bytes(7).of(disk(0)), 7);
    }

    #[test]
    fn recordings_stop_at_the_floor_and_go_on_when_there_is_some_more() {
        let mut room = Room::default();
        let keep = KeepFree::Bytes(16 * MIB);
        let shown = |free: u64, room: &mut Room| {
            room.see(disk(free), keep);
            room.is_short()
        };
        assert!(!shown(16 * MIB, &mut room));
        assert!(shown(16 * MIB - 1, &mut room));
        assert!(shown(16 * MIB, &mut room), "it would be reached again at once");
        assert!(shown(18 * MIB - 1, &mut room));
        let said = room.check(Path::new("/here")).map_err(|error| error.to_string());
        let said = said.expect_err("too little");
        for part in [
            "/here has 17 MiB left",
            "16 MiB are to be free",
            "with 18 MiB they go on",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!shown(18 * MIB, &mut room));
        assert!(!shown(17 * MIB, &mut room));
        assert!(room.check(Path::new("/here")).is_ok());
    }

    #[test]
    fn without_a_floor_the_disk_may_be_filled() {
        let mut room = Room::default();
        room.see(disk(0), KeepFree::Bytes(0));
        assert!(!room.is_short());
    }
}

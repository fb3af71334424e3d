//! The forms of what one program leaves for another: an upgrade reads what the program before has written, and a
//! downgrade is refused where it couldn't. All of them stand here, and once in the binary, so that what another program
//! would write can be tried with a copy of this one in which a number is another: see `tests/upgrade.rs`.

use std::hint::black_box;

/// The forms that this program writes. It reads each of them, and all earlier ones back to 1.
#[derive(Debug)]
#[repr(C)]
pub struct Forms {
    /// By which the numbers are found in the binary.
    mark: [u8; 21],
    /// Of the records of the store (accounts, pools, numbers, bindings): in its log, in sled, in snapshots and backups.
    pub store: u8,
    /// Of the files of the journal of calls.
    pub journal: u8,
    /// Of the state of a call in progress, in the journal.
    pub calls: u8,
    /// Of the chains beside recordings.
    pub recordings: u8,
    /// Of the audit log.
    pub audit: u8,
}

/// Who raises one keeps reading those before it.
static FORMS: Forms = Forms {
    mark: *b"umbra writes forms:\0\0",
    // 1 had AXB only, and less in its pools, numbers and accounts; 2 said nothing of faxes; 3 not what a frozen number
    // thaws to; 4 nothing of sounds, extensions, groups, work numbers, 400 numbers, customers' servers, and which calls are
    // recorded.
    store: 5,
    // 1 had no sequences, and no states; 2 had records as text; 3 said nothing of announcements; 4 not of digits that
    // callers were asked for, nor of questions at the end of a call, nor what became of recordings; 5 not with what those are sealed.
    journal: 6,
    // 1 didn't say when sessions expire; 2 not what secures the audio; 3 knew no caller who is answered before anybody is
    // called, and not what has still to be said to the parties, nor that they are recorded; 4 not with what that is sealed.
    calls: 5,
    // 1 didn't say for how long the law has a recording kept, nor of what lies beside one, nor of faxes.
    recordings: 2,
    audit: 1,
};

/// The forms of this program.
pub fn forms() -> &'static Forms {
    // Looked up where it stands: copied to where it is used, it would be in the binary many times.
    black_box(&FORMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_stand_behind_their_mark() {
        assert_eq!(size_of::<Forms>(), forms().mark.len() + 5);
        assert!(forms().mark.starts_with(b"umbra writes forms:"));
    }
}

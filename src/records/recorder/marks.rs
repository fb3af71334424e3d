//! What a recording in the making says of itself, as chains say it.

use crate::base::id::Id;
use crate::call::recording::Fault;
use crate::records::recordings::chain::{Channel, Loss, Mark, Unwritten, What};
use crate::rtp::recording::{self, dump};
use crate::rtp::tap;

const fn channel(channel: tap::Channel) -> Channel {
    match channel {
        tap::Channel::Caller => Channel::Caller,
        tap::Channel::Callee => Channel::Callee,
    }
}

/// Of audio. `lost` is why packets are missing, `aside` where those are that can't be read. `None`: nobody misses anything.
pub(super) fn of_audio(mark: &recording::Mark, lost: Loss, aside: Option<Id>) -> Option<Mark> {
    let what = match mark.what {
        recording::What::Paused => What::Paused,
        recording::What::Resumed => What::Resumed,
        // Keys and comfort noise.
        recording::What::Lost { samples: 0, .. } => return None,
        recording::What::Lost {
            channel: of, samples, ..
        } => What::Lost {
            channel: channel(of),
            samples,
            why: lost,
        },
        // All of it is there, from where it came.
        recording::What::Restarted { .. } => return None,
        recording::What::Unread {
            channel: of, samples, ..
        } => What::Lost {
            channel: channel(of),
            samples,
            why: Loss::Codec(aside),
        },
        recording::What::Crowded {
            channel: of, samples, ..
        } => What::Lost {
            channel: channel(of),
            samples,
            why: Loss::Overload,
        },
    };
    Some(Mark { at: mark.at, what })
}

/// Of a dump.
pub(super) fn of_dump(mark: &dump::Mark) -> Mark {
    let what = match mark.what {
        dump::What::Paused => What::Paused,
        dump::What::Resumed => What::Resumed,
        dump::What::Stream(whose) => What::Stream {
            channel: channel(whose.channel),
            ssrc: whose.ssrc,
            payload_type: whose.payload_type,
            clock_hz: whose.clock_hz,
        },
        // Of some packets within a block.
        dump::What::Lost { .. } => What::NotWritten {
            samples: 0,
            why: Unwritten::Overload,
        },
    };
    Mark { at: mark.at_ms, what }
}

/// What a mark says that is missing, as records name it; `None`: nothing is that one could have kept.
pub(super) const fn fault_of(mark: &Mark) -> Option<Fault> {
    match mark.what {
        What::Lost {
            why: Loss::Overload, ..
        }
        | What::NotWritten { .. } => Some(Fault::Overrun),
        What::Lost {
            why: Loss::Codec(_) | Loss::Fax(_),
            ..
        } => Some(Fault::Codec),
        What::Lost {
            why: Loss::Network, ..
        }
        | What::Paused
        | What::Resumed
        | What::Restarted { .. }
        | What::Abandoned { .. }
        | What::Stream { .. }
        | What::NotSynced { .. } => None,
    }
}

/// Why what was left out isn't in the file, as chains name it.
pub(super) const fn unwritten(why: Fault) -> Unwritten {
    match why {
        Fault::DiskFull => Unwritten::DiskFull,
        Fault::DiskFails => Unwritten::DiskError,
        Fault::DiskSlow | Fault::NoKey | Fault::Overrun | Fault::Codec | Fault::Recorder | Fault::Restart => {
            Unwritten::Overload
        }
    }
}

//! Reading a call's state.

use arrayvec::ArrayVec;

use super::Unfit;
use super::form::{self, Moving, Near, Stage, Talking};
use crate::call::bridge::Bridge;
use crate::call::config::MediaConfig;
use crate::call::hands::CallRef;
use crate::call::media::{MediaPort, Order};
use crate::call::recording::{Kept, Why};

/// The first form that says what becomes of a call's recording.
const FIRST_WITH_RECORDINGS: u8 = 4;
/// The first that says with what it is sealed.
const FIRST_WITH_SEALS: u8 = 5;

/// What has to be known of a kept call before there is a switch that goes on with it.
#[derive(Clone, PartialEq, Debug)]
pub struct Outline {
    /// The Call-IDs of its dialogs: the caller's, ours.
    pub call_ids: [Box<[u8]>; 2],
    /// Its media ports; none if they aren't ours any more.
    pub ports: ArrayVec<MediaPort, 2>,
    /// The orders by which the media threads go on with it, in order.
    pub media: Vec<Order>,
}

/// Reads of an entry what has to be known first: its media can go on before anything else does. `media` is the present
/// configuration, in which the ports are looked for by the addresses that they were bound on.
///
/// # Errors
/// [`Unfit`]: it isn't the state of a call, or not one that we can read.
pub fn outline(state: &[u8], media: &MediaConfig) -> Result<Outline, Unfit> {
    let talking = match read(state)? {
        (Stage::Talking(talking), _) => talking,
        (Stage::Ringing(ringing), _) => {
            return Ok(Outline {
                call_ids: [ringing.call_id, ringing.callee.call_id].map(|id| Box::from(id.0)),
                ports: ArrayVec::new(),
                media: Vec::new(),
            });
        }
        (Stage::Alone(alone), _) => {
            let near = match &alone.caller {
                Near::Asked(call_id, ..) => *call_id,
                Near::Answered(dialog, ..) => dialog.call_id,
            };
            let far = alone.callee.as_ref().map_or(near, |callee| callee.call_id);
            return Ok(Outline {
                call_ids: [near, far].map(|id| Box::from(id.0)),
                ports: ArrayVec::new(),
                media: Vec::new(),
            });
        }
    };
    let Talking {
        caller, callee, fax, ..
    } = *talking;
    let call_ids = [&caller, &callee].map(|leg| Box::from(leg.dialog.call_id.0));
    let nobody = CallRef {
        index: u32::MAX,
        generation: 0,
    };
    let bridge = Bridge::of_kept(nobody, media, fax, [caller.side, callee.side])?;
    Ok(Outline {
        call_ids,
        ports: bridge.as_ref().map(Bridge::ports).unwrap_or_default(),
        media: bridge.as_ref().map(Bridge::resumes).unwrap_or_default(),
    })
}

pub(super) fn read(state: &[u8]) -> Result<(Stage<'_>, Option<Moving<'_>>), Unfit> {
    let (version, rest) = state.split_first().ok_or(Unfit::Unreadable)?;
    match *version {
        0 => return Err(Unfit::Unreadable),
        newer if newer > super::form() => return Err(Unfit::Newer(newer)),
        1.. => {}
    }
    let (mut stage, rest) = postcard::take_from_bytes(rest).map_err(|_| Unfit::Unreadable)?;
    let (moving, rest) = match &mut stage {
        Stage::Talking(talking) => {
            let (secrets, rest) = match *version {
                1 | 2 => ([None, None], rest),
                _ => postcard::take_from_bytes(rest).map_err(|_| Unfit::Unreadable)?,
            };
            [talking.caller.side.secret, talking.callee.side.secret] = secrets;
            let (said, rest) = match *version {
                1..=3 => (None, rest),
                _ => postcard::take_from_bytes(rest).map_err(|_| Unfit::Unreadable)?,
            };
            talking.left = said;
            let rest = recorded(*version, &mut talking.recorded, rest)?;
            let (moving, rest) = postcard::take_from_bytes(rest).map_err(|_| Unfit::Unreadable)?;
            let (expire, rest) = match *version {
                1 => ([None; 2], rest),
                _ => postcard::take_from_bytes(rest).map_err(|_| Unfit::Unreadable)?,
            };
            (Some(Moving { expire, ..moving }), rest)
        }
        Stage::Ringing(ringing) => (None, recorded(*version, &mut ringing.recorded, rest)?),
        Stage::Alone(alone) => (None, recorded(*version, &mut alone.recorded, rest)?),
    };
    if rest.is_empty() {
        Ok((stage, moving))
    } else {
        Err(Unfit::Unreadable)
    }
}

/// Reads what is said of the call's recording, where the form has it. Returns the bytes behind it.
fn recorded<'a>(version: u8, said: &mut form::Recorded, rest: &'a [u8]) -> Result<&'a [u8], Unfit> {
    if version < FIRST_WITH_RECORDINGS {
        return Ok(rest);
    }
    let (mut recorded, mut rest) =
        postcard::take_from_bytes::<Result<Kept, Why>>(rest).map_err(|_| Unfit::Unreadable)?;
    if version >= FIRST_WITH_SEALS {
        let (sealed, behind) = postcard::take_from_bytes(rest).map_err(|_| Unfit::Unreadable)?;
        rest = behind;
        if let Ok(kept) = &mut recorded {
            kept.sealed = sealed;
        }
    }
    *said = Some(recorded);
    Ok(rest)
}

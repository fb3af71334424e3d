//! A record as the journal has it: fields one after the other without names (postcard), a quarter of the bytes and a
//! fifth of the work of its text. An attempt's [`Draft::whole`] is written when it comes, and how it ended as a
//! [`Draft::end`], which says only what can have changed since. Both together are the record, to the last letter. Of an
//! attempt that was short the end is all of it once more: power may fail before what came first is on the medium.
//!
//! Whatever changes here changes the journal's [form](crate::base::form::Forms::journal), which is a draft's first byte.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::cdr::{
    self, Answer, CallerKind, Cdr, Challenged, Charging, Collected, Media, Outcome, Questioned, Recording,
    ReleasedBy, Side,
};
use super::kept::form::Attempt;
use super::kept::ink::write;
use super::recording::Fate;
use crate::base::form::forms;
use crate::base::id::Id;
use crate::base::limits::JOURNAL_KNOWS_AFTER;
use crate::base::number::Digits;
use crate::base::time::Wall;
use crate::masking::group::GroupId;
use crate::masking::reason::Reason;

/// The first form of the journal that has drafts; before it records were text there.
const FIRST_FORM: u8 = 3;
/// The last one in which they say nothing of announcements.
const FORM_WITHOUT_ANNOUNCEMENTS: u8 = 3;

/// The last one in which they say nothing of digits that a caller was asked for, nor of questions at the end; and of a
/// recording only why there is none, in words.
const FORM_WITHOUT_DIGITS: u8 = 4;

/// The last one in which they say of a recording not with what it is sealed.
const FORM_WITHOUT_SEALS: u8 = 5;

/// When the caller was answered for being asked, how often he tried, what came of it, and what he chose.
type Asked<'a> = (Option<i64>, u8, Outcome, Option<&'a str>);

/// Who was asked at the end, how often, which key answered, and what came of it.
type AskedAfter = (Side, u8, Option<char>, Answer);

fn question_of(record: &Cdr) -> Option<AskedAfter> {
    let question = record.question.as_ref()?;
    Some((question.of, question.asked, question.key, question.result))
}

/// The recording's id, what became of it, and how long it was paused.
type Recorded = (Option<[u8; 16]>, Fate, u32);

fn recording_of(record: &Cdr) -> Recorded {
    let Recording {
        id,
        fate,
        // Behind.
        sealed: _,
        paused_s,
    } = record.recording;
    (id.map(bytes_of), fate, paused_s)
}

fn collected_of(record: &Cdr) -> Option<Asked<'_>> {
    let collected = record.collected.as_ref()?;
    let answered_at = collected.answered_at.map(Wall::as_millis);
    let choice = collected.choice.as_deref();
    Some((answered_at, collected.tries, collected.result, choice))
}

/// A record, or how one ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    /// The attempt's id.
    pub call_id: Id,
    /// What is said of it.
    pub bytes: Box<[u8]>,
}

// It holds real numbers, and a debug print ends in a log.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({}, {} bytes)", self.call_id, self.bytes.len())
    }
}

/// It isn't a draft, or one of a newer program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("what the journal has of the record can't be read")]
pub struct Unread;

impl Draft {
    /// All of a record. `ink` is room to write in.
    pub fn whole(record: &Cdr, ink: &mut Vec<u8>) -> Self {
        Self::of(record, &Said::Whole(Box::new(whole(record))), ink)
    }

    /// What is written of an attempt that is over: [how it ended](Draft::end) where the medium has had time to take what
    /// was said when it came, else [all of it](Draft::whole). `ink` is room to write in.
    pub fn over(record: &Cdr, ink: &mut Vec<u8>) -> Self {
        // An attempt's arrival is said when the first gateway is tried.
        let has_arrived = !record.attempts.is_empty();
        let lasted = record.ended_at.since(record.arrived_at);
        if has_arrived && lasted >= JOURNAL_KNOWS_AFTER {
            Self::end(record, ink)
        } else {
            Self::whole(record, ink)
        }
    }

    /// What a record says that can be another than when the attempt came. `ink` is room to write in.
    pub fn end(record: &Cdr, ink: &mut Vec<u8>) -> Self {
        Self::of(record, &Said::End(Box::new(course(record))), ink)
    }

    fn of(record: &Cdr, said: &Said<'_>, ink: &mut Vec<u8>) -> Self {
        ink.clear();
        ink.push(forms().journal);
        write(ink, said);
        // Behind all else, so that what stood there before is read as it was.
        write(ink, &record.announcement.as_deref());
        write(ink, &collected_of(record));
        write(ink, &question_of(record));
        write(ink, &recording_of(record));
        write(ink, &record.recording.sealed);
        Self {
            call_id: record.call_id,
            bytes: ink.as_slice().into(),
        }
    }
}

/// The record that is written in `bytes`; `arrival` is what is known of the attempt from before, on which an
/// [end](Draft::end) is told.
///
/// # Errors
/// [`Unread`]; an end without an arrival can't be either.
pub fn record(call_id: Id, bytes: &[u8], arrival: Option<Cdr>) -> Result<Cdr, Unread> {
    let (form, rest) = bytes.split_first().ok_or(Unread)?;
    if !(FIRST_FORM..=forms().journal).contains(form) {
        return Err(Unread);
    }
    let (said, rest) = postcard::take_from_bytes(rest).map_err(|_| Unread)?;
    let record = match said {
        Said::Whole(whole) => whole.record(call_id)?,
        Said::End(course) => course.of(arrival.ok_or(Unread)?)?,
    };
    let (announcement, rest) = match *form {
        ..=FORM_WITHOUT_ANNOUNCEMENTS => (None, rest),
        _ => postcard::take_from_bytes(rest).map_err(|_| Unread)?,
    };
    type Last<'a> = (Option<Asked<'a>>, Option<AskedAfter>, Recorded);
    let (collected, question, recording) = match *form {
        ..=FORM_WITHOUT_DIGITS => (None, None, record.recording),
        _ => {
            let (last, rest) = postcard::take_from_bytes::<Last<'_>>(rest).map_err(|_| Unread)?;
            let (collected, question, (id, fate, paused_s)) = last;
            let sealed = match *form {
                ..=FORM_WITHOUT_SEALS => None,
                _ => postcard::from_bytes(rest).map_err(|_| Unread)?,
            };
            let recording = Recording {
                id: id.map(u128::from_le_bytes).map(Id::from_bits),
                fate,
                sealed,
                paused_s,
            };
            (collected, question, recording)
        }
    };
    Ok(Cdr {
        recording,
        announcement,
        collected: collected.map(|(at, tries, result, choice)| {
            Box::new(Collected {
                answered_at: at.map(Wall::from_millis),
                tries,
                result,
                choice: choice.map(Into::into),
            })
        }),
        question: question.map(|(of, asked, key, result)| {
            Box::new(Questioned {
                of,
                asked,
                key,
                result,
            })
        }),
        ..record
    })
}

#[derive(Serialize, Deserialize)]
enum Said<'a> {
    #[serde(borrow)]
    Whole(Box<Whole<'a>>),
    #[serde(borrow)]
    End(Box<Course<'a>>),
}

/// What stays as it was when the attempt came, and the rest.
#[derive(Serialize, Deserialize)]
struct Whole<'a> {
    schema: u32,
    node: &'a str,
    binding: Option<[u8; 16]>,
    account: &'a str,
    pool: Option<&'a str>,
    mode: Option<&'a str>,
    caller_kind: CallerKind,
    direction: Option<&'a str>,
    a: Option<&'a str>,
    x: Option<&'a str>,
    y: Option<&'a str>,
    peer: Option<&'a str>,
    extension: Option<&'a str>,
    group: Option<[u8; 16]>,
    caller: Option<&'a str>,
    dialled: &'a str,
    shown: Option<&'a str>,
    arrived_at: i64,
    /// What was said of a recording up to [`FORM_WITHOUT_DIGITS`]; nothing since.
    recording: Option<[u8; 16]>,
    recording_state: &'a str,
    recording_reason: &'a str,
    sip_call_id_in: &'a str,
    trunk_in: &'a str,
    order_id: Option<&'a str>,
    user_data: Option<&'a str>,
    #[serde(borrow)]
    course: Course<'a>,
}

/// What becomes of an attempt.
#[derive(Serialize, Deserialize)]
struct Course<'a> {
    callee: Option<&'a str>,
    dialled_at: Option<i64>,
    early_media_at: Option<i64>,
    ringing_at: Option<i64>,
    answered_at: Option<i64>,
    ended_at: i64,
    released_by: ReleasedBy,
    sip_status: u16,
    callee_sip_status: Option<u16>,
    q850_cause: u8,
    /// The word by which records name it: there are more of them as time goes on.
    #[serde(borrow)]
    refusal: Option<Cow<'a, str>>,
    billable_s: u64,
    #[serde(borrow)]
    attempts: Vec<Try<'a>>,
    #[serde(borrow)]
    calling: LegMedia<'a>,
    #[serde(borrow)]
    called: LegMedia<'a>,
    audio: Option<&'a str>,
    sip_call_id_out: Option<&'a str>,
    trunk_out: Option<&'a str>,
    end_cause: Option<&'a str>,
    charging: Option<(Option<&'a str>, Option<&'a str>)>,
}

#[derive(Serialize, Deserialize)]
struct Try<'a> {
    #[serde(borrow)]
    attempt: Attempt<'a>,
    challenge: Option<Challenged>,
}

impl<'a> Try<'a> {
    fn of(attempt: &'a cdr::Attempt) -> Self {
        Self {
            attempt: Attempt::of(attempt),
            challenge: attempt.challenge,
        }
    }

    fn read(&self) -> Option<cdr::Attempt> {
        Some(cdr::Attempt {
            challenge: self.challenge,
            ..self.attempt.read()?
        })
    }
}

#[derive(Serialize, Deserialize)]
struct LegMedia<'a> {
    codec: Option<&'a str>,
    packets_in: u64,
    packets_out: u64,
    lost: u64,
    jitter_ms_max: f64,
    dropped: u64,
    remote_lost: Option<u64>,
    remote_jitter_ms_max: Option<f64>,
    round_trip_ms: Option<f64>,
}

/// The parts are taken apart by name, so that a field that nobody writes doesn't compile.
fn whole(record: &Cdr) -> Whole<'_> {
    let Cdr {
        schema,
        node,
        call_id: _,
        binding_id,
        account,
        pool,
        mode,
        caller_kind,
        direction,
        a,
        x,
        y,
        peer,
        extension,
        group_id,
        caller,
        dialled,
        callee: _,
        shown,
        arrived_at,
        dialled_at: _,
        early_media_at: _,
        ringing_at: _,
        answered_at: _,
        ended_at: _,
        released_by: _,
        sip_status: _,
        callee_sip_status: _,
        q850_cause: _,
        refusal: _,
        billable_s: _,
        attempts: _,
        // It changes until the end.
        recording: _,
        media: _,
        sip_call_id_in,
        sip_call_id_out: _,
        trunk_in,
        trunk_out: _,
        order_id,
        user_data,
        end_cause: _,
        charging: _,
        announcement: _,
        collected: _,
        question: _,
    } = record;
    Whole {
        schema: *schema,
        node,
        binding: binding_id.map(bytes_of),
        account,
        pool: pool.as_deref(),
        mode: mode.as_deref(),
        caller_kind: *caller_kind,
        direction: direction.as_deref(),
        a: a.as_deref(),
        x: x.as_deref(),
        y: y.as_deref(),
        peer: peer.as_deref(),
        extension: extension.as_deref(),
        group: group_id.map(|id| u128::from(id.bits()).to_le_bytes()),
        caller: caller.as_deref(),
        dialled,
        shown: shown.as_deref(),
        arrived_at: arrived_at.as_millis(),
        recording: None,
        recording_state: "none",
        recording_reason: "",
        sip_call_id_in,
        trunk_in,
        order_id: order_id.as_deref(),
        user_data: user_data.as_deref(),
        course: course(record),
    }
}

fn course(record: &Cdr) -> Course<'_> {
    let millis = |at: Option<Wall>| at.map(Wall::as_millis);
    let Media {
        caller,
        callee,
        audio,
    } = &record.media;
    Course {
        callee: record.callee.as_deref(),
        dialled_at: millis(record.dialled_at),
        early_media_at: millis(record.early_media_at),
        ringing_at: millis(record.ringing_at),
        answered_at: millis(record.answered_at),
        ended_at: record.ended_at.as_millis(),
        released_by: record.released_by,
        sip_status: record.sip_status,
        callee_sip_status: record.callee_sip_status,
        q850_cause: record.q850_cause,
        refusal: record.refusal.and_then(word).map(Cow::Owned),
        billable_s: record.billable_s,
        attempts: record.attempts.iter().map(Try::of).collect(),
        calling: leg(caller),
        called: leg(callee),
        audio: audio.as_deref(),
        sip_call_id_out: record.sip_call_id_out.as_deref(),
        trunk_out: record.trunk_out.as_deref(),
        end_cause: record.end_cause.as_deref(),
        charging: record.charging.as_deref().map(|charging| {
            let Charging { icid_in, icid_out } = charging;
            (icid_in.as_deref(), icid_out.as_deref())
        }),
    }
}

fn leg(media: &cdr::LegMedia) -> LegMedia<'_> {
    let cdr::LegMedia {
        codec,
        packets_in,
        packets_out,
        lost,
        jitter_ms_max,
        dropped,
        remote_lost,
        remote_jitter_ms_max,
        round_trip_ms,
    } = media;
    LegMedia {
        codec: codec.as_deref(),
        packets_in: *packets_in,
        packets_out: *packets_out,
        lost: *lost,
        jitter_ms_max: *jitter_ms_max,
        dropped: *dropped,
        remote_lost: *remote_lost,
        remote_jitter_ms_max: *remote_jitter_ms_max,
        round_trip_ms: *round_trip_ms,
    }
}

fn bytes_of(id: Id) -> [u8; 16] {
    id.bits().to_le_bytes()
}

/// As records have it: a word of JSON.
fn word(reason: Reason) -> Option<String> {
    serde_json::to_string(&reason).ok()
}

fn text(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn digits(text: &str) -> Result<Digits, Unread> {
    Digits::from(text).map_err(|_| Unread)
}

fn some_digits(text: Option<&str>) -> Result<Option<Digits>, Unread> {
    text.map(digits).transpose()
}

impl Whole<'_> {
    fn record(self, call_id: Id) -> Result<Cdr, Unread> {
        let id = |bytes: Option<[u8; 16]>| bytes.map(u128::from_le_bytes).map(Id::from_bits);
        let arrived_at = Wall::from_millis(self.arrived_at);
        let record = Cdr {
            schema: self.schema,
            node: self.node.to_owned(),
            call_id,
            binding_id: id(self.binding),
            account: self.account.to_owned(),
            pool: text(self.pool),
            mode: text(self.mode),
            caller_kind: self.caller_kind,
            direction: text(self.direction),
            a: some_digits(self.a)?,
            x: some_digits(self.x)?,
            y: some_digits(self.y)?,
            peer: some_digits(self.peer)?,
            extension: text(self.extension),
            group_id: self.group.and_then(|group| {
                let bits = u64::try_from(u128::from_le_bytes(group)).ok()?;
                GroupId::from_bits(bits)
            }),
            caller: some_digits(self.caller)?,
            dialled: digits(self.dialled)?,
            callee: None,
            shown: some_digits(self.shown)?,
            arrived_at,
            dialled_at: None,
            early_media_at: None,
            ringing_at: None,
            answered_at: None,
            ended_at: arrived_at,
            released_by: ReleasedBy::Server,
            sip_status: 0,
            callee_sip_status: None,
            q850_cause: 0,
            refusal: None,
            billable_s: 0,
            attempts: Vec::new(),
            recording: Recording::of_words(id(self.recording), self.recording_state, self.recording_reason)
                .ok_or(Unread)?,
            media: Media::default(),
            sip_call_id_in: self.sip_call_id_in.to_owned(),
            sip_call_id_out: None,
            trunk_in: self.trunk_in.to_owned(),
            trunk_out: None,
            order_id: text(self.order_id),
            user_data: text(self.user_data),
            end_cause: None,
            charging: None,
            announcement: None,
            collected: None,
            question: None,
        };
        self.course.of(record)
    }
}

impl Course<'_> {
    /// The record with this course.
    fn of(self, record: Cdr) -> Result<Cdr, Unread> {
        let wall = |at: Option<i64>| at.map(Wall::from_millis);
        let reason = |word: Cow<'_, str>| serde_json::from_str(&word).map_err(|_| Unread);
        Ok(Cdr {
            callee: some_digits(self.callee)?,
            dialled_at: wall(self.dialled_at),
            early_media_at: wall(self.early_media_at),
            ringing_at: wall(self.ringing_at),
            answered_at: wall(self.answered_at),
            ended_at: Wall::from_millis(self.ended_at),
            released_by: self.released_by,
            sip_status: self.sip_status,
            callee_sip_status: self.callee_sip_status,
            q850_cause: self.q850_cause,
            refusal: self.refusal.map(reason).transpose()?,
            billable_s: self.billable_s,
            attempts: self
                .attempts
                .iter()
                .map(Try::read)
                .collect::<Option<_>>()
                .ok_or(Unread)?,
            media: Media {
                caller: self.calling.counted(),
                callee: self.called.counted(),
                audio: text(self.audio),
            },
            sip_call_id_out: text(self.sip_call_id_out),
            trunk_out: text(self.trunk_out),
            end_cause: text(self.end_cause),
            charging: self.charging.map(|(icid_in, icid_out)| {
                Box::new(Charging {
                    icid_in: text(icid_in),
                    icid_out: text(icid_out),
                })
            }),
            ..record
        })
    }
}

impl LegMedia<'_> {
    fn counted(self) -> cdr::LegMedia {
        cdr::LegMedia {
            codec: text(self.codec),
            packets_in: self.packets_in,
            packets_out: self.packets_out,
            lost: self.lost,
            jitter_ms_max: self.jitter_ms_max,
            dropped: self.dropped,
            remote_lost: self.remote_lost,
            remote_jitter_ms_max: self.remote_jitter_ms_max,
            round_trip_ms: self.round_trip_ms,
        }
    }
}

#[cfg(test)]
mod tests;

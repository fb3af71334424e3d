//! A record as JSON, written by hand: the same text that serde makes of it, for a fraction of the work.

use serde::Serialize;

use super::cdr::{
    Attempt, CallerKind, Cdr, Charging, Collected, LegMedia, Media, Questioned, Recording, ReleasedBy,
};
use crate::base::id::Id;
use crate::base::number::Digits;
use crate::base::text;
use crate::base::time::Wall;

/// Adds the record to `out`. The parts are taken apart by name, so that a field that nobody writes doesn't compile.
pub(super) fn record(out: &mut Vec<u8>, cdr: &Cdr) {
    let Cdr {
        schema,
        node,
        call_id,
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
        callee,
        shown,
        arrived_at,
        dialled_at,
        early_media_at,
        ringing_at,
        answered_at,
        ended_at,
        released_by,
        sip_status,
        callee_sip_status,
        q850_cause,
        refusal,
        billable_s,
        attempts,
        recording,
        media,
        sip_call_id_in,
        sip_call_id_out,
        trunk_in,
        trunk_out,
        order_id,
        user_data,
        end_cause,
        charging,
        announcement,
        collected,
        question,
    } = cdr;
    member(out, b"{\"schema\":", &u64::from(*schema), number);
    member(out, b",\"node\":", node, string);
    member(out, b",\"call_id\":", call_id, id);
    option(out, b",\"binding_id\":", binding_id, id);
    member(out, b",\"account\":", account, string);
    option(out, b",\"pool\":", pool, string);
    option(out, b",\"mode\":", mode, string);
    member(out, b",\"caller_kind\":", caller_kind, kind);
    option(out, b",\"direction\":", direction, string);
    option(out, b",\"a\":", a, digits);
    option(out, b",\"x\":", x, digits);
    option(out, b",\"y\":", y, digits);
    option(out, b",\"peer\":", peer, digits);
    option(out, b",\"extension\":", extension, string);
    option(out, b",\"group_id\":", group_id, by_serde);
    option(out, b",\"caller\":", caller, digits);
    member(out, b",\"dialled\":", dialled, digits);
    option(out, b",\"callee\":", callee, digits);
    option(out, b",\"shown\":", shown, digits);
    member(out, b",\"arrived_at\":", arrived_at, wall);
    option(out, b",\"dialled_at\":", dialled_at, wall);
    option(out, b",\"early_media_at\":", early_media_at, wall);
    option(out, b",\"ringing_at\":", ringing_at, wall);
    option(out, b",\"answered_at\":", answered_at, wall);
    member(out, b",\"ended_at\":", ended_at, wall);
    member(out, b",\"released_by\":", released_by, releaser);
    member(out, b",\"sip_status\":", &u64::from(*sip_status), number);
    option(
        out,
        b",\"callee_sip_status\":",
        &callee_sip_status.map(u64::from),
        number,
    );
    member(out, b",\"q850_cause\":", &u64::from(*q850_cause), number);
    option(out, b",\"refusal\":", refusal, by_serde);
    member(out, b",\"billable_s\":", billable_s, number);
    out.extend_from_slice(b",\"attempts\":[");
    for (place, one) in attempts.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        attempt(out, one);
    }
    out.push(b']');
    member(out, b",\"recording\":", recording, of_recording);
    member(out, b",\"media\":", media, of_media);
    member(out, b",\"sip_call_id_in\":", sip_call_id_in, string);
    option(out, b",\"sip_call_id_out\":", sip_call_id_out, string);
    member(out, b",\"trunk_in\":", trunk_in, string);
    option(out, b",\"trunk_out\":", trunk_out, string);
    option(out, b",\"order_id\":", order_id, string);
    option(out, b",\"user_data\":", user_data, string);
    if end_cause.is_some() {
        option(out, b",\"end_cause\":", end_cause, string);
    }
    if let Some(charging) = charging {
        let Charging { icid_in, icid_out } = &**charging;
        option(out, b",\"charging\":{\"icid_in\":", icid_in, string);
        option(out, b",\"icid_out\":", icid_out, string);
        out.push(b'}');
    }
    if announcement.is_some() {
        option(out, b",\"announcement\":", announcement, string);
    }
    if let Some(collected) = collected {
        let Collected {
            answered_at,
            tries,
            result,
            choice,
        } = &**collected;
        option(out, b",\"collected\":{\"answered_at\":", answered_at, wall);
        member(out, b",\"tries\":", &u64::from(*tries), number);
        member(out, b",\"result\":", result, by_serde);
        if let Some(choice) = choice {
            member(out, b",\"choice\":", choice, |out, choice| string_of(out, choice));
        }
        out.push(b'}');
    }
    if let Some(question) = question {
        let Questioned {
            of,
            asked,
            key,
            result,
        } = &**question;
        member(out, b",\"question\":{\"of\":", of, by_serde);
        member(out, b",\"asked\":", &u64::from(*asked), number);
        option(out, b",\"key\":", key, by_serde);
        member(out, b",\"result\":", result, by_serde);
        out.push(b'}');
    }
    out.push(b'}');
}

fn attempt(out: &mut Vec<u8>, attempt: &Attempt) {
    let Attempt {
        trunk,
        gateway,
        callee,
        status,
        challenge,
    } = attempt;
    member(out, b"{\"trunk\":", trunk, string);
    member(out, b",\"gateway\":", gateway, string);
    member(out, b",\"callee\":", callee, digits);
    member(out, b",\"status\":", &u64::from(*status), number);
    if let Some(challenge) = challenge {
        member(out, b",\"challenge\":", challenge, |out, challenge| {
            string_of(out, challenge.name());
        });
    }
    out.push(b'}');
}

fn of_recording(out: &mut Vec<u8>, recording: &Recording) {
    let Recording {
        id: own,
        fate,
        sealed,
        paused_s,
    } = recording;
    option(out, b"{\"id\":", own, id);
    member(out, b",\"state\":", fate, |out, fate| {
        string_of(out, fate.state())
    });
    member(out, b",\"reason\":", fate, |out, fate| {
        string_of(out, fate.reason())
    });
    if let Some(sealed) = sealed {
        member(out, b",\"sealed\":", sealed, |out, sealed| {
            string_of(out, sealed.name());
        });
    }
    if *paused_s > 0 {
        member(out, b",\"paused_s\":", &u64::from(*paused_s), number);
    }
    out.push(b'}');
}

fn of_media(out: &mut Vec<u8>, media: &Media) {
    let Media {
        caller,
        callee,
        audio,
    } = media;
    member(out, b"{\"caller\":", caller, leg);
    member(out, b",\"callee\":", callee, leg);
    option(out, b",\"audio\":", audio, string);
    out.push(b'}');
}

fn leg(out: &mut Vec<u8>, leg: &LegMedia) {
    let LegMedia {
        codec,
        packets_in,
        packets_out,
        lost,
        jitter_ms_max,
        dropped,
        remote_lost,
        remote_jitter_ms_max,
        round_trip_ms,
    } = leg;
    option(out, b"{\"codec\":", codec, string);
    member(out, b",\"packets_in\":", packets_in, number);
    member(out, b",\"packets_out\":", packets_out, number);
    member(out, b",\"lost\":", lost, number);
    member(out, b",\"jitter_ms_max\":", jitter_ms_max, by_serde);
    member(out, b",\"dropped\":", dropped, number);
    option(out, b",\"remote_lost\":", remote_lost, number);
    option(out, b",\"remote_jitter_ms_max\":", remote_jitter_ms_max, by_serde);
    option(out, b",\"round_trip_ms\":", round_trip_ms, by_serde);
    out.push(b'}');
}

/// A name with what stands before it, and its value.
#[inline]
fn member<T>(out: &mut Vec<u8>, name: &[u8], value: &T, write: impl FnOnce(&mut Vec<u8>, &T)) {
    out.extend_from_slice(name);
    write(out, value);
}

#[inline]
fn option<T>(out: &mut Vec<u8>, name: &[u8], value: &Option<T>, write: impl FnOnce(&mut Vec<u8>, &T)) {
    out.extend_from_slice(name);
    match value {
        Some(value) => write(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn number(out: &mut Vec<u8>, number: &u64) {
    text::number(out, *number);
}

fn id(out: &mut Vec<u8>, id: &Id) {
    quoted(out, &id.letters());
}

fn wall(out: &mut Vec<u8>, wall: &Wall) {
    out.push(b'"');
    wall.write(out);
    out.push(b'"');
}

fn digits(out: &mut Vec<u8>, digits: &Digits) {
    string_of(out, digits);
}

#[allow(clippy::ptr_arg)] // one of the writers that `member` takes
fn string(out: &mut Vec<u8>, text: &String) {
    string_of(out, text);
}

/// Which bytes JSON takes as they are.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        plain[byte] = c >= b' ' && c != b'"' && c != b'\\';
        byte += 1;
    }
    plain
};

/// What JSON wants escaped is rare in a record (RFC 8259 §7).
fn string_of(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|c| PLAIN[usize::from(c)]) {
        quoted(out, text.as_bytes());
    } else {
        by_serde(out, &text);
    }
}

/// Text that needs no escapes.
fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

fn kind(out: &mut Vec<u8>, kind: &CallerKind) {
    out.extend_from_slice(match kind {
        CallerKind::A => b"\"a\"",
        CallerKind::B => b"\"b\"",
        CallerKind::N => b"\"n\"",
        CallerKind::Member => b"\"member\"",
        CallerKind::Stranger => b"\"stranger\"",
    });
}

fn releaser(out: &mut Vec<u8>, releaser: &ReleasedBy) {
    out.extend_from_slice(match releaser {
        ReleasedBy::Caller => b"\"caller\"",
        ReleasedBy::Callee => b"\"callee\"",
        ReleasedBy::Server => b"\"server\"",
    });
}

fn by_serde<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a text, a number or a word, and a Vec takes any write");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::chance::Chance;
    use crate::call::cdr::{Answer, Challenged, Outcome, SCHEMA, Side};
    use crate::call::recording::{Fate, Fault, Sealed, Why};
    use crate::masking::reason::Reason;

    /// A record in which every option has what `some` makes of it.
    pub(in crate::call) fn record_with(words: Option<&str>, figure: f64) -> Cdr {
        let at = Wall::from_millis(1_790_000_000_123);
        let text = || words.map(str::to_owned);
        let number = || words.map(|_| Digits::from("+8613800000001").expect("short"));
        let own = Id::mint(at, &mut Chance::from_number(7));
        let some_id = || words.map(|_| own);
        let time = || words.map(|_| at);
        let plain = words.unwrap_or_default().to_owned();
        let leg = || LegMedia {
            codec: text(),
            packets_in: 12,
            packets_out: u64::MAX,
            lost: 0,
            jitter_ms_max: figure,
            dropped: 3,
            remote_lost: words.map(|_| 4),
            remote_jitter_ms_max: words.map(|_| figure),
            round_trip_ms: words.map(|_| figure),
        };
        let attempt = || Attempt {
            trunk: plain.clone(),
            gateway: "127.0.0.3:5060".into(),
            callee: Digits::from("+8613900000002").expect("short"),
            status: 200,
            challenge: words.map(|_| Challenged::OtherRealm),
        };
        Cdr {
            schema: SCHEMA,
            node: plain.clone(),
            call_id: own,
            binding_id: some_id(),
            account: plain.clone(),
            pool: text(),
            mode: text(),
            caller_kind: CallerKind::Stranger,
            direction: text(),
            a: number(),
            x: number(),
            y: number(),
            peer: number(),
            extension: text(),
            group_id: some_id().and_then(|id| crate::masking::group::GroupId::from_bits(id.lot())),
            caller: number(),
            dialled: Digits::from("17000000001").expect("short"),
            callee: number(),
            shown: number(),
            arrived_at: at,
            dialled_at: time(),
            early_media_at: time(),
            ringing_at: time(),
            answered_at: time(),
            ended_at: at,
            released_by: ReleasedBy::Server,
            sip_status: 486,
            callee_sip_status: words.map(|_| 486),
            q850_cause: 17,
            refusal: words.map(|_| Reason::TrunkMayNotShow),
            billable_s: 77,
            attempts: words.map(|_| vec![attempt(), attempt()]).unwrap_or_default(),
            recording: Recording {
                id: some_id(),
                fate: match words {
                    None => Fate::None(Why::NotAsked),
                    Some(_) => Fate::Gaps(Fault::DiskFull),
                },
                sealed: words.map(|_| Sealed::Sm4Gcm),
                paused_s: words.map_or(0, |_| 12),
            },
            media: Media {
                caller: leg(),
                callee: leg(),
                audio: text(),
            },
            sip_call_id_in: plain.clone(),
            sip_call_id_out: text(),
            trunk_in: plain.clone(),
            trunk_out: text(),
            order_id: text(),
            user_data: text(),
            end_cause: text(),
            charging: words.map(|_| {
                Box::new(Charging {
                    icid_in: text(),
                    icid_out: None,
                })
            }),
            announcement: text(),
            collected: words.map(|_| {
                Box::new(Collected {
                    answered_at: time(),
                    tries: 3,
                    result: Outcome::LockedOut,
                    choice: words.map(Into::into),
                })
            }),
            question: words.map(|_| {
                Box::new(Questioned {
                    of: Side::Callee,
                    asked: 2,
                    key: Some('#'),
                    result: Answer::HungUp,
                })
            }),
        }
    }

    fn assert_as_serde(cdr: &Cdr) {
        let by_serde = serde_json::to_string(cdr).expect("a record is JSON");
        let by_hand = String::from_utf8(cdr.line().json).expect("JSON is UTF-8");
        assert_eq!(by_hand, by_serde);
    }

    #[test]
    fn a_record_is_the_text_that_serde_makes_of_it() {
        for words in [None, Some(""), Some("carrier"), Some("李雷 \u{1f600} \u{7f}")] {
            for figure in [0.0, 0.1, 20.0, 1e30, f64::NAN] {
                assert_as_serde(&record_with(words, figure));
            }
        }
        for caller_kind in [
            CallerKind::A,
            CallerKind::B,
            CallerKind::N,
            CallerKind::Member,
            CallerKind::Stranger,
        ] {
            assert_as_serde(&Cdr {
                caller_kind,
                ..record_with(None, 0.0)
            });
        }
        for released_by in [ReleasedBy::Caller, ReleasedBy::Callee, ReleasedBy::Server] {
            assert_as_serde(&Cdr {
                released_by,
                ..record_with(None, 0.0)
            });
        }
    }

    #[test]
    fn what_json_wants_escaped_is_escaped() {
        for c in (0..=0x80).filter_map(char::from_u32) {
            assert_as_serde(&record_with(Some(&format!("a{c}b")), 0.5));
        }
    }
}

//! Tests of [`draft`](super).

use std::time::Duration;

use super::*;
use crate::call::line::tests::record_with;

const FIGURES: [f64; 3] = [0.0, 20.1, 1e30];

/// What the journal has said of a record, and what is read of it.
fn read(arrived: &Cdr, ended: &Cdr) -> Cdr {
    let ink = &mut vec![0x55; 9];
    let (arrival, end) = (Draft::whole(arrived, ink), Draft::end(ended, ink));
    let arrival = record(arrived.call_id, &arrival.bytes, None).expect("readable");
    assert_eq!(arrival, *arrived);
    record(ended.call_id, &end.bytes, Some(arrival)).expect("readable")
}

#[test]
fn an_arrival_and_its_end_are_the_whole_record() {
    let words = [None, Some(""), Some("carrier"), Some("李雷 \u{1f600}\n")];
    for (came, figure) in words.into_iter().zip([0.0].into_iter().cycle()) {
        for (went, then) in words.into_iter().zip(FIGURES.into_iter().cycle()) {
            let (arrived, other) = (record_with(came, figure), record_with(went, then));
            let ended = Cdr {
                callee: other.callee,
                dialled_at: other.dialled_at,
                early_media_at: other.early_media_at,
                ringing_at: other.ringing_at,
                answered_at: other.answered_at,
                ended_at: Wall::from_millis(1_790_000_000_999),
                released_by: ReleasedBy::Callee,
                sip_status: 200,
                callee_sip_status: other.callee_sip_status,
                q850_cause: 16,
                refusal: other.refusal,
                billable_s: 78,
                attempts: other.attempts,
                media: other.media,
                sip_call_id_out: other.sip_call_id_out,
                trunk_out: other.trunk_out,
                end_cause: other.end_cause,
                charging: other.charging,
                announcement: other.announcement,
                ..arrived.clone()
            };
            assert_eq!(read(&arrived, &ended), ended);
        }
    }
}

#[test]
fn an_end_is_small_and_tells_nothing_without_its_arrival() {
    let record_of = record_with(Some("carrier"), 1.0);
    let ink = &mut Vec::new();
    let (whole, end) = (Draft::whole(&record_of, ink), Draft::end(&record_of, ink));
    let text = record_of.line().json;
    assert!(whole.bytes.len() * 2 < text.len() && end.bytes.len() < whole.bytes.len());
    assert_eq!(record(end.call_id, &end.bytes, None), Err(Unread));
    // Nobody's: cut short at any byte, of an earlier form or of a later one.
    for cut in 0..whole.bytes.len() {
        assert_eq!(record(whole.call_id, &whole.bytes[..cut], None), Err(Unread));
    }
    for form in [0, FIRST_FORM - 1, forms().journal + 1] {
        let other = [&[form], &whole.bytes[1..]].concat();
        assert_eq!(record(whole.call_id, &other, None), Err(Unread));
    }
}

/// As a program once wrote them.
const WHOLE: &str = concat!(
    "03000100000000000400000000000000000b313730303030303030303100f6b183c5986800046e6f6e650000000000000000",
    "0000f6b183c5986802e6030011004d00000cffffffffffffffffff0100000000000000000003000000000cffffffffffffff",
    "ffff01000000000000000000030000000000000000",
);
const END: &str = concat!(
    "03010000000001f6b183c59868f6b183c5986802e60300110114227472756e6b5f6d61795f6e6f745f73686f77224d020763",
    "6172726965720e3132372e302e302e333a353036300e2b38363133393030303030303032c801010307636172726965720e31",
    "32372e302e302e333a353036300e2b38363133393030303030303032c80101030107636172726965720cffffffffffffffff",
    "ff010000000000008034400301040100000000008034400100000000008034400107636172726965720cffffffffffffffff",
    "ff01000000000000803440030104010000000000803440010000000000803440010763617272696572000000010107636172",
    "7269657200",
);

/// Written once, understood for ever: whoever changes the form raises it, and keeps reading this one.
#[test]
fn a_draft_of_the_third_form_is_read() {
    let bytes = |hex: &str| -> Vec<u8> {
        let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
        (0..hex.len()).step_by(2).map(pair).collect()
    };
    let [came, went] = [record_with(None, 0.0), record_with(Some("carrier"), 20.5)];
    let ended = Cdr {
        answered_at: went.answered_at,
        attempts: went.attempts,
        media: went.media,
        refusal: went.refusal,
        charging: went.charging,
        ..came.clone()
    };
    let arrival = record(came.call_id, &bytes(WHOLE), None).expect("readable");
    assert_eq!(arrival, came);
    assert_eq!(record(came.call_id, &bytes(END), Some(arrival)), Ok(ended));
}

#[test]
fn a_draft_that_says_nothing_of_seals_is_read() {
    let mut went = record_with(Some("carrier"), 20.5);
    went.recording.sealed = None;
    let bytes = Draft::whole(&went, &mut Vec::new()).bytes;
    let (last, before) = bytes.split_last().expect("some");
    assert_eq!(*last, 0, "nothing is said");
    let earlier = [&[FORM_WITHOUT_SEALS], &before[1..]].concat();
    assert_eq!(record(went.call_id, &earlier, None), Ok(went));
}

#[test]
fn a_short_attempt_s_end_stands_alone_and_a_long_one_s_is_told_behind_its_arrival() {
    let ink = &mut Vec::new();
    let mut record = record_with(Some("carrier"), 1.5);
    for (lasted_ms, is_alone) in [(0, true), (1_999, true), (2_000, false), (60_000, false)] {
        record.ended_at = record.arrived_at.plus(Duration::from_millis(lasted_ms));
        let over = Draft::over(&record, ink);
        let alone = super::record(over.call_id, &over.bytes, None);
        assert_eq!(alone.ok(), is_alone.then(|| record.clone()), "{lasted_ms} ms");
    }
    record.attempts.clear();
    let over = Draft::over(&record, ink);
    let alone = super::record(over.call_id, &over.bytes, None);
    assert_eq!(
        alone.ok(),
        Some(record),
        "no gateway was tried, so nothing was said before"
    );
}

//! Recordings.

use serde_json::{Value, json};

use super::time;
use crate::records::archive::Row;
use crate::records::recordings::index::State;
use crate::records::recordings::read::Summary;
use crate::records::recordings::verify::{Compared, Seals, Verdict};

/// A recording as lists have it. What its chain doesn't say, because that can't be read, is `null`.
pub(in crate::api::native) fn recording(row: &Row) -> Value {
    let (entry, known) = (&row.entry, row.entry.known.as_ref());
    json!({
        "id": entry.recording,
        "call_id": known.map(|known| known.call),
        "binding_id": known.and_then(|known| known.binding),
        "account": entry.account(),
        "began": time(entry.began),
        "state": match entry.state {
            State::Whole => "whole",
            State::Running => "running",
            State::Broken => "broken",
        },
        "audio": known.map(|known| known.audio),
        "sealed": known.map(|known| known.sealed),
        "not_before": row.not_before.and_then(time),
        "kept_until": row.kept_until.and_then(time),
    })
}

/// One recording, with what its chain says if it is whole.
pub(in crate::api::native) fn described(row: &Row, summary: Option<&Summary>) -> Value {
    let mut view = recording(row);
    if let Some(summary) = summary {
        // A file has fewer samples than 2⁵³.
        let seconds = summary.end.samples as f64 / f64::from(summary.head.rate);
        view["ended"] = json!(time(summary.end.ended));
        view["seconds"] = json!((seconds * 1_000.0).round() / 1_000.0);
        view["rate_hz"] = json!(summary.head.rate);
        view["bytes"] = json!(summary.bytes);
        view["gaps"] = json!(summary.end.gaps);
        view["sha256"] = json!(summary.sha256);
        view["marks"] = json!(summary.marks);
        view["more_marks"] = json!(summary.more_marks);
    }
    view
}

/// Whether a recording is as it was written, and what its end was compared with.
pub(crate) fn verdict(verdict: &Verdict, compared: Compared) -> Value {
    let mut view = match verdict {
        Verdict::Whole {
            blocks,
            samples,
            gaps,
            sha256,
            seals,
        } => json!({
            "verdict": "whole",
            "blocks": blocks,
            "samples": samples,
            "gaps": gaps,
            "sha256": sha256,
            "seals": match seals {
                Seals::None => "none",
                Seals::Right => "right",
                Seals::Unchecked => "unchecked",
            },
        }),
        Verdict::Unfinished { blocks, samples } => {
            json!({"verdict": "unfinished", "blocks": blocks, "samples": samples})
        }
        Verdict::Torn { blocks } => json!({"verdict": "torn", "blocks": blocks}),
        Verdict::Changed { block, what } => {
            json!({"verdict": "changed", "block": block, "what": what.to_string()})
        }
    };
    view["compared"] = json!(compared.name());
    view["sentence"] = json!(verdict.said(compared));
    view
}

//! rsip reads the same messages: the torture messages, what the ladders' phones and Umbra say to one another, a
//! handful of variations of each point of the grammar, and the fuzzers' corpus. Where it reads something else, or
//! nothing, a row of [`rows`] says why; a row that no message needs any more has to go.

mod support;

#[path = "oracle/corpus.rs"]
mod corpus;
#[path = "torture/rfc5118.rs"]
#[allow(dead_code)] // its verdicts are another test's
mod rfc5118;
#[path = "oracle/rows.rs"]
mod rows;
#[path = "torture/verdicts.rs"]
#[allow(dead_code)] // its verdicts are another test's
mod verdicts;
#[path = "oracle/views.rs"]
mod views;

use rows::{Difference, ONLY_RSIP, ONLY_UMBRA};
use views::{FIELDS, ours, theirs};

fn differences<'a>(bytes: &'a [u8], alike: &mut usize) -> Vec<Difference<'a>> {
    let difference = |field, ours, theirs| Difference {
        bytes,
        field,
        ours,
        theirs,
    };
    match (ours(bytes), theirs(bytes)) {
        (Err(_), Err(_)) => Vec::new(),
        (Err(why), Ok(_)) => vec![difference(ONLY_RSIP, Some(why), None)],
        (Ok(_), Err(why)) => vec![difference(ONLY_UMBRA, None, Some(why))],
        (Ok(ours), Ok(theirs)) => {
            let (same, different): (Vec<&str>, Vec<&str>) = FIELDS
                .iter()
                .partition(|field| ours.get(field) == theirs.get(field));
            *alike += same.len();
            let owned = |text: Option<&str>| text.map(str::to_owned);
            different
                .into_iter()
                .map(|field| difference(field, owned(ours.get(field)), owned(theirs.get(field))))
                .collect()
        }
    }
}

#[test]
fn a_second_parser_reads_every_message_alike_or_a_row_says_why_not() {
    let corpus = corpus::all();
    assert!(corpus.len() > 300, "a corpus of {}", corpus.len());
    let rows: Vec<_> = rows::rows().collect();
    let mut needed = vec![false; rows.len()];
    let mut faults = Vec::new();
    let mut alike = 0;
    for (name, bytes) in &corpus {
        for difference in differences(bytes, &mut alike) {
            match rows.iter().position(|row| row.explains(&difference)) {
                Some(row) => needed[row] = true,
                None => faults.push(format!(
                    "{name}: {}: {:?}, rsip {:?}",
                    difference.field, difference.ours, difference.theirs
                )),
            }
        }
    }
    for (row, _) in rows.iter().zip(needed).filter(|(_, needed)| !needed) {
        faults.push(format!(
            "no message needs the row any more: {:?}: {}",
            row.fields, row.why
        ));
    }
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(
        alike > corpus.len() * 8,
        "only {alike} fields of {} messages are read alike",
        corpus.len()
    );
}

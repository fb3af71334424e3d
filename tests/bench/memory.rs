//! Memory that a held call takes, and what is left when all have ended.

use crate::held::{Held, Line, pause};
use crate::process::{open_files, pss_bytes};
use crate::{Length, Row, short};

/// Transactions stay for 64 × T1 (RFC 3261 §17): only then has a call ended altogether.
const LINGER_S: f64 = 35.0;

/// The rows.
pub fn measure(length: Length) -> Vec<Row> {
    let steps: &[usize] = length.choose(&[20, 100], &[200, 2_000]);
    let most = steps.iter().copied().max().unwrap_or(0);
    let mut line = Line::new(most as u16 + 200);
    let pid = line.server.pid();
    // One call first: what every server has touched after it is no call's own.
    let first = line.call();
    line.end(&first);
    let (before, files) = (pss_bytes(pid), open_files(pid));
    let mut held: Vec<Held> = Vec::new();
    let mut rows = Vec::new();
    for step in steps {
        while held.len() < *step {
            held.push(line.call());
        }
        pause(0.5);
        let each = (pss_bytes(pid) - before) / *step as f64;
        let sockets = (open_files(pid) as f64 - files as f64) / *step as f64;
        rows.push(Row {
            what: format!("PSS for a call, {step} held"),
            ours: format!("{} KiB", short(each / 1024.0)),
            bare: "-".into(),
            ratio: "-".into(),
            how: format!(
                "smaps_rollup, after − before ÷ calls, just answered; {} sockets a call",
                short(sockets)
            ),
        });
    }
    hang_up(&line, &mut held);
    pause(length.choose(0.5, LINGER_S));
    rows.push(Row {
        what: format!("PSS left when {most} have ended"),
        ours: format!(
            "{} KiB a call",
            short((pss_bytes(pid) - before) / most as f64 / 1024.0)
        ),
        bare: "-".into(),
        ratio: "-".into(),
        how: format!(
            "{} s after the last BYE; before any call: {:.1} MiB",
            length.choose(0.5, LINGER_S),
            before / 1_048_576.0
        ),
    });
    // What an allocator keeps for the next calls is no leak: as many again take no more.
    while held.len() < most {
        held.push(line.call());
    }
    pause(0.5);
    rows.push(Row {
        what: format!("PSS for a call, {most} held again"),
        ours: format!("{} KiB", short((pss_bytes(pid) - before) / most as f64 / 1024.0)),
        bare: "-".into(),
        ratio: "-".into(),
        how: "a second wave, counted from before the first".into(),
    });
    hang_up(&line, &mut held);
    rows
}

fn hang_up(line: &Line, held: &mut Vec<Held>) {
    for call in held.drain(..) {
        line.end(&call);
    }
}

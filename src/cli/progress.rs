//! A bar on the terminal for what takes long; nothing where there is none.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it is drawn at most.
const HERTZ: u8 = 8;
/// It is drawn anew at least this often, so that a pause is seen to be one.
const TICK: Duration = Duration::from_millis(500);

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Rows of a table.
    Rows,
    /// Bytes of a file.
    Bytes,
}

/// A bar on standard error, if that is a terminal. Without a total it only counts.
pub fn bar(what: impl Into<Cow<'static, str>>, unit: Unit, total: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = match (unit, total) {
        (Unit::Rows, Some(_)) => "{msg} {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta} left",
        (Unit::Rows, None) => "{msg} {spinner} {human_pos}  {per_sec}",
        (Unit::Bytes, Some(_)) => "{msg} {wide_bar} {bytes}/{total_bytes}  {eta} left",
        (Unit::Bytes, None) => "{msg} {spinner} {bytes}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(HERTZ))
        .with_style(style)
        .with_message(what);
    bar.enable_steady_tick(TICK);
    bar
}

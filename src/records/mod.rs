//! Floor 4, records: the files that call detail records are written to, and read from; [`recordings`], which a [`recorder`]
//! writes and whoever may asks the [`archive`] for; and the [`audit`] log, in which each access stands.
//!
//! A folder holds `cdr-START-SEQ.jsonl` files, one JSON object a line, in the order the calls ended. The one
//! being written ends in `.open`. `SEQ` has no gaps, so a reader knows when a file is missing.

pub mod archive;
pub mod audit;
pub mod cdr_file;
pub mod cdr_scan;
mod folder;
pub mod recorder;
pub mod recordings;

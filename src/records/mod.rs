//! Floor 4, records: CDR files.
pub mod cdr_file;

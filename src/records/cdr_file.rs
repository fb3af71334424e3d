//! cdr_file

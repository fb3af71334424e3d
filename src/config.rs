//! The conf files, read and checked.

//! Floor 1, the language of session descriptions (RFC 8866) and of offer and answer (RFC 3264).
pub mod answer;
pub mod build;
pub mod media;
pub mod parse;

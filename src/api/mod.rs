//! Floor 5, the front desk: parse, authorise, translate.
pub mod native;

//! Bytes in what serde writes: one piece, and not a list of numbers.

use serde::{Deserialize, Deserializer, Serializer};

/// Writes them at once.
pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_bytes(bytes)
}

/// Reads them from what lends them.
pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Box<[u8]>, D::Error> {
    <&[u8]>::deserialize(d).map(Box::from)
}

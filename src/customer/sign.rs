//! The signature of what a customer's server is sent: `t=SECONDS,v1=HEX`, an HMAC-SHA256 over the time, a dot and the
//! body. The time is signed too, so that a question that somebody has overheard can be told from a new one.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What the header `Umbra-Signature` says of this body, at this Unix time in seconds.
pub(super) fn signature(secret: &str, at_s: u64, body: &[u8]) -> String {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("a key of any length does");
    mac.update(at_s.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut text = format!("t={at_s},v1=");
    for byte in mac.finalize().into_bytes() {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_openssl_makes_of_time_dot_body() {
        // printf '1790000000.{"id":"1"}' | openssl dgst -sha256 -hmac 'a secret of 16 b'
        assert_eq!(
            signature("a secret of 16 b", 1_790_000_000, br#"{"id":"1"}"#),
            "t=1790000000,v1=5f453b0dacfc1d4e660e0153618afb0bd040558fad65122af1e327e3df0a6b66"
        );
    }
}

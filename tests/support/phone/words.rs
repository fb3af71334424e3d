//! A message as it is written down.

use super::super::sdp;
use super::secure::{SUITES, Secure, own_key};
use super::{Call, Extra};
use umbra::base::keying::Suite;

impl Call {
    pub(super) fn compose(&mut self, start: &str, lines: Vec<String>, extra: &Extra) -> Vec<u8> {
        if let Some(port) = extra.media_port {
            self.media_before.push(self.media);
            self.media.set_port(port);
        }
        let body = match (&extra.codecs, &extra.body) {
            (Some(codecs), _) => {
                self.said_version += 1;
                self.said.clone_from(codecs);
                self.secure = self.security(start.starts_with("SIP/2.0"), extra);
                let bytes = sdp::write(&sdp::Say {
                    codecs,
                    at: self.media,
                    way: if extra.way.is_empty() {
                        "sendrecv"
                    } else {
                        &extra.way
                    },
                    session_way: extra.session_way.as_deref(),
                    place: extra.place.as_deref(),
                    ptime: Some(extra.ptime.unwrap_or(20)).filter(|ms| *ms > 0),
                    version: self.said_version,
                    secure: &self.secure,
                    more: &extra.sdp_lines,
                });
                Some(match &extra.among {
                    Some(other) => among(other, &bytes),
                    None => ("application/sdp".to_owned(), bytes),
                })
            }
            (None, Some((kind, text))) => Some((kind.clone(), text.clone().into_bytes())),
            (None, None) => None,
        };
        let mut text = format!("{start}\r\n");
        let left_out = |line: &String| {
            let name = line.split(':').next().unwrap_or("");
            extra.omit.iter().any(|o| o.eq_ignore_ascii_case(name))
        };
        for line in lines.iter().filter(|l| !left_out(l)).chain(&extra.headers) {
            text += line;
            text += "\r\n";
        }
        if let Some((kind, bytes)) = &body {
            text += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n", bytes.len());
            let mut whole = text.into_bytes();
            whole.extend_from_slice(bytes);
            return whole;
        }
        text += "Content-Length: 0\r\n\r\n";
        text.into_bytes()
    }
}

impl Call {
    /// What a description says of security, by keys of this call's own.
    fn security(&self, is_answer: bool, extra: &Extra) -> Secure {
        let Some((profile, suites)) = extra.srtp.as_deref().and_then(|words| words.split_once(':')) else {
            return Secure::default();
        };
        let theirs = self.heard.iter().flat_map(|heard| &heard.secure.keys);
        let tag_of = |suite: Suite, place: u32| {
            let mut theirs = theirs.clone().filter(|(_, known, _)| *known == suite);
            theirs
                .next()
                .filter(|_| is_answer)
                .map_or(place, |(tag, ..)| *tag)
        };
        let named = |word: &str| {
            SUITES
                .iter()
                .find(|(name, _)| *name == word)
                .map(|(_, suite)| *suite)
        };
        let suites = suites
            .split(',')
            .map(|word| named(word).expect("a suite of the ladder's"));
        let key = |(suite, place)| {
            let key = own_key(
                &format!("{}{}", self.id, self.local_tag),
                suite,
                extra.key.unwrap_or(1),
            );
            (tag_of(suite, place), suite, key)
        };
        Secure {
            savp: profile == "savp",
            keys: suites.zip(1..).map(key).collect(),
        }
    }
}

/// A body of two parts: first one that means nothing here, then the description.
fn among(other: &str, description: &[u8]) -> (String, Vec<u8>) {
    let head = format!(
        "--cut\r\nContent-Type: {other}\r\n\r\n\0\u{1}--cut\r\n--cut\r\nContent-Type: application/sdp\r\n\r\n"
    );
    let whole = [head.as_bytes(), description, b"\r\n--cut--\r\n"].concat();
    ("multipart/mixed;boundary=cut".to_owned(), whole)
}

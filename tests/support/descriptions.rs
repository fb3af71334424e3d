//! What Umbra's session descriptions must keep to within a dialog (RFC 3264 §8), whoever hears them.

use std::collections::HashMap;

use super::sdp;
use super::text::Msg;

/// The descriptions of one dialog that Umbra sent; of those that an INVITE may lead to, one until they are answered.
#[derive(Debug, Default)]
struct Told {
    bodies: Vec<Vec<u8>>,
    id: String,
    version: u64,
    lines: Vec<String>,
}

/// The descriptions that Umbra sent, by Call-ID and its own tag: two calls may come with one Call-ID.
#[derive(Debug, Default)]
pub struct Descriptions(HashMap<(String, String), Told>);

impl Descriptions {
    /// Looks at a message of Umbra's that came. What is wrong with its description, if anything.
    pub fn look(&mut self, msg: &Msg) -> Option<String> {
        let body = msg.body.as_slice();
        let heard = sdp::read(body)?;
        let ours = if msg.status().is_some() { "To" } else { "From" };
        let tag = msg.tag(ours).unwrap_or("").to_owned();
        let told = self.0.entry((msg.call_id().to_owned(), tag)).or_default();
        // A repetition of an older message.
        if told.bodies.iter().any(|known| known == body) {
            return None;
        }
        let mut words = heard.origin.split(' ').skip(1);
        let id = words.next().unwrap_or("").to_owned();
        let version = words.next().and_then(|version| version.parse().ok()).unwrap_or(0);
        let is_first = told.bodies.is_empty();
        let kind = |line: &str| line.split(':').next().unwrap_or("").to_owned();
        let fault = if is_first {
            None
        } else if id != told.id || version <= told.version {
            // One between may have got lost on its way.
            Some(format!(
                "o= was {} {} and is {id} {version}",
                told.id, told.version
            ))
        } else if heard.lines.len() < told.lines.len() {
            Some(format!(
                "the lines were {:?} and are {:?}",
                told.lines, heard.lines
            ))
        } else {
            // A line that was refused may be used anew (RFC 3264 §8.1), and audio may become a fax (§8.3.3).
            let may_turn = |was: &str, is: &str| matches!((was, is), ("audio", "image") | ("image", "audio"));
            let mut moved = told.lines.iter().zip(&heard.lines);
            let moved = moved.any(|(was, is)| {
                let (was_kind, is_kind) = (kind(was), kind(is));
                !was.ends_with(":0") && was_kind != is_kind && !may_turn(&was_kind, &is_kind)
            });
            moved.then(|| format!("the lines were {:?} and are {:?}", told.lines, heard.lines))
        };
        told.bodies.push(body.to_vec());
        (told.id, told.version, told.lines) = (id, version, heard.lines);
        fault.map(|fault| format!("RFC 3264 §8: {fault}"))
    }
}

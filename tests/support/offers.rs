//! What a phone holds against the descriptions that it hears within one call.

use super::text::Msg;

/// The descriptions of one call, by their versions.
#[derive(Debug, Default)]
pub struct Offers {
    heard: Vec<(u64, Vec<u8>)>,
}

impl Offers {
    /// A message that had not come before. What is wrong with it.
    pub fn heard(&mut self, msg: &Msg) -> Option<String> {
        let agrees = msg.status().is_some_and(|status| (200..300).contains(&status));
        let makes = msg.status().is_none() || agrees;
        if msg.method() == "UPDATE" && makes && msg.get("Contact").is_none() {
            return Some(format!("{} has no Contact (RFC 3311 §5.1)", msg.name()));
        }
        let version = version(&msg.body)?;
        if let Some((_, body)) = self.heard.iter().find(|(known, _)| *known == version) {
            let same = *body == msg.body;
            return (!same).then(|| format!("two descriptions have version {version} (RFC 3264 §8)"));
        }
        let last = self.heard.iter().map(|(known, _)| *known).max();
        self.heard.push((version, msg.body.clone()));
        match last {
            Some(last) if version != last + 1 => {
                Some(format!("version {version} comes after {last} (RFC 3264 §8)"))
            }
            Some(_) | None => None,
        }
    }
}

/// The version in a description's `o=` line.
fn version(body: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(body);
    let origin = text.lines().find_map(|line| line.strip_prefix("o="))?;
    origin.split(' ').nth(2)?.parse().ok()
}

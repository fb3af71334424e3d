//! The question at the end of a call, as bytes: a binding's, or its pool's.

use super::{BadRecord, Reader, put_text};
use crate::masking::cues::Hearers;
use crate::masking::question::EndQuestion;

/// Who hears something; nobody is 0.
pub(super) fn put_hearers(out: &mut Vec<u8>, hearers: Option<Hearers>) {
    out.push(match hearers {
        None => 0,
        Some(Hearers::Caller) => 1,
        Some(Hearers::Callee) => 2,
        Some(Hearers::Both) => 3,
    });
}

pub(super) fn put(out: &mut Vec<u8>, question: Option<&EndQuestion>) {
    put_hearers(out, question.map(|question| question.to));
    if let Some(EndQuestion {
        prompt,
        to: _,
        keys,
        loops,
    }) = question
    {
        put_text(out, prompt);
        put_text(out, &keys.to_string());
        out.push(*loops);
    }
}

impl Reader<'_> {
    pub(super) fn hearers(&mut self) -> Result<Option<Hearers>, BadRecord> {
        Ok(match self.byte()? {
            0 => None,
            1 => Some(Hearers::Caller),
            2 => Some(Hearers::Callee),
            3 => Some(Hearers::Both),
            _ => return Err(BadRecord::Field("who hears")),
        })
    }

    pub(super) fn question(&mut self) -> Result<Option<EndQuestion>, BadRecord> {
        let Some(to) = self.hearers()? else {
            return Ok(None);
        };
        let (prompt, keys) = (self.text("prompt")?, self.text("keys")?);
        Ok(Some(EndQuestion {
            prompt,
            to,
            keys: keys.parse().map_err(|_| BadRecord::Field("keys"))?,
            loops: self.byte()?,
        }))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::masking::change::tests::text;

    pub(in crate::masking::change) fn question() -> impl Strategy<Value = EndQuestion> {
        let to = prop::sample::select(Hearers::NAMES.map(|(_, who)| who).to_vec());
        let keys = prop::sample::select(vec!["1", "123", "0123456789*#", "*", "90#"]);
        (text(), to, keys, any::<u8>()).prop_map(|(prompt, to, keys, loops)| EndQuestion {
            prompt,
            to,
            keys: keys.parse().expect("keys"),
            loops,
        })
    }
}

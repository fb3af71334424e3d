//! The question at the end of a call, as bytes: a binding's, or its pool's.

use super::{BadRecord, Reader, put_text};
use crate::masking::cues::Hearers;
use crate::masking::question::{EndQuestion, Said};

/// In place of who is asked: nobody, though the pool asks.
const NOBODY: u8 = 4;

/// Who hears something; nobody is 0.
pub(super) fn put_hearers(out: &mut Vec<u8>, hearers: Option<Hearers>) {
    out.push(match hearers {
        None => 0,
        Some(Hearers::Caller) => 1,
        Some(Hearers::Callee) => 2,
        Some(Hearers::Both) => 3,
    });
}

pub(super) fn put(out: &mut Vec<u8>, question: Said<&EndQuestion>) {
    let EndQuestion {
        prompt,
        to,
        keys,
        loops,
    } = match question {
        Said::Nothing => return put_hearers(out, None),
        Said::Nobody => return out.push(NOBODY),
        Said::This(question) => question,
    };
    put_hearers(out, Some(*to));
    put_text(out, prompt);
    put_text(out, &keys.to_string());
    out.push(*loops);
}

fn hearers(code: u8) -> Result<Option<Hearers>, BadRecord> {
    Ok(match code {
        0 => None,
        1 => Some(Hearers::Caller),
        2 => Some(Hearers::Callee),
        3 => Some(Hearers::Both),
        _ => return Err(BadRecord::Field("who hears")),
    })
}

impl Reader<'_> {
    pub(super) fn hearers(&mut self) -> Result<Option<Hearers>, BadRecord> {
        hearers(self.byte()?)
    }

    pub(super) fn question(&mut self) -> Result<Said<EndQuestion>, BadRecord> {
        let to = match self.byte()? {
            NOBODY => return Ok(Said::Nobody),
            code => hearers(code)?,
        };
        let Some(to) = to else {
            return Ok(Said::Nothing);
        };
        let (prompt, keys) = (self.text("prompt")?, self.text("keys")?);
        Ok(Said::This(EndQuestion {
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

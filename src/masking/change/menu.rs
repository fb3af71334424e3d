//! The menu of a 400 number, as bytes.

use super::{BadRecord, Reader, put_len, put_text, put_text_option};
use crate::masking::keyed::Keyed;
use crate::masking::menu::{Choice, Menu};

pub(super) fn put(out: &mut Vec<u8>, menu: Option<&Menu>) {
    out.push(u8::from(menu.is_some()));
    let Some(menu) = menu else { return };
    let Menu {
        prompt,
        choices,
        default,
    } = menu;
    put_text(out, prompt);
    put_len(out, choices.len());
    for Choice { keys, to } in choices {
        put_text(out, &keys.to_string());
        put_len(out, to.len());
        for number in to {
            out.extend_from_slice(&number.key().to_le_bytes());
        }
    }
    put_text_option(out, default.map(|keys| keys.to_string()).as_deref());
}

impl Reader<'_> {
    pub(super) fn menu(&mut self) -> Result<Option<Menu>, BadRecord> {
        if !self.flag("menu")? {
            return Ok(None);
        }
        let prompt = self.text("prompt")?;
        let count = self.len()?;
        // No capacity from the wire.
        let mut choices = Vec::new();
        for _ in 0..count {
            let keys = keys(&self.text("keys")?)?;
            let numbers = self.len()?;
            let mut to = Vec::new();
            for _ in 0..numbers {
                to.push(self.real("choice")?);
            }
            choices.push(Choice { keys, to });
        }
        let default = self.text_option("keys")?;
        Ok(Some(Menu {
            prompt,
            choices,
            default: default.as_deref().map(keys).transpose()?,
        }))
    }
}

/// Written as it is keyed, and in no other way.
fn keys(text: &str) -> Result<Keyed, BadRecord> {
    let read: Keyed = text.parse().map_err(|_| BadRecord::Field("keys"))?;
    Some(read)
        .filter(|read| read.to_string() == text)
        .ok_or(BadRecord::Field("keys"))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::number::RealNumber;
    use crate::masking::change::tests::{tel, text};

    pub(in crate::masking::change) fn menu() -> impl Strategy<Value = Menu> {
        let keys = || "[*#]|[0-9]{1,8}".prop_map(|text| text.parse::<Keyed>().expect("keys"));
        let choice = (keys(), prop::collection::vec(tel(), 0..3)).prop_map(|(keys, to)| Choice {
            keys,
            to: to.into_iter().map(RealNumber::new).collect(),
        });
        let choices = prop::collection::vec(choice, 0..4);
        (text(), choices, prop::option::of(keys())).prop_map(|(prompt, choices, default)| Menu {
            prompt,
            choices,
            default,
        })
    }
}

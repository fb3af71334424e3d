//! Whose recordings are meant: by a call, a binding or a number.

use clap::Args;

use crate::base::id::Id;

/// Whose recordings; what isn't said doesn't matter.
#[derive(Args, Debug)]
pub(super) struct Whose {
    /// Only those of this call
    #[arg(long, value_name = "ID")]
    call: Option<Id>,
    /// Only those of this binding's calls
    #[arg(long, value_name = "ID")]
    binding: Option<Id>,
    /// Only those of calls in which this number took part, a party's or a virtual one
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
}

impl Whose {
    /// As the server is asked for them.
    pub(super) fn into_query(self) -> Vec<(&'static str, String)> {
        said([
            ("call_id", self.call.map(|id| id.to_string())),
            ("binding_id", self.binding.map(|id| id.to_string())),
            ("number", self.number),
        ])
    }
}

/// Those of these that were said.
pub(super) fn said(
    asked: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> Vec<(&'static str, String)> {
    let said = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
    said.collect()
}

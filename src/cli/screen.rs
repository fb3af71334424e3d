//! What every listing shares: pages fetched one after another, `--json`, masked numbers, cells of a row.

use std::io::Write;

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::client::{Control, Trouble, target};
use crate::base::redact::Masked;

/// Rows of a table, unless `--limit` says otherwise.
const ROWS: usize = 1_000;
/// Rows of one page, the most that the server gives.
const PAGE: usize = crate::base::limits::PAGE_MAX;

/// `--json`, alone.
#[derive(Args, Debug, Clone, Copy)]
pub struct Form {
    /// JSON for programs instead of a table
    #[arg(long)]
    pub json: bool,
}

/// How a listing with real numbers is shown.
#[derive(Args, Debug, Clone, Copy)]
pub struct Listing {
    /// JSON for programs instead of a table (numbers in full)
    #[arg(long)]
    pub json: bool,
    /// Show real numbers in full
    #[arg(long)]
    pub full: bool,
    /// Rows at most [default: 1000 in a table, all with --json]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

impl Listing {
    /// A real number of a row, masked unless `--full`.
    pub fn real(self, row: &Value, name: &str) -> String {
        let number = text(row, name);
        if self.full { number } else { masked(&number) }
    }

    fn rows_max(self) -> usize {
        self.limit.unwrap_or(if self.json { usize::MAX } else { ROWS })
    }
}

/// A number with its middle hidden; nothing stays nothing.
pub fn masked(number: &str) -> String {
    Masked(number.trim_start_matches('+')).to_string()
}

/// The rows of a listing, from as many pages as it takes. `name` is the field of the answer that holds
/// them.
///
/// # Errors
/// What the server says.
pub fn rows(
    control: &Control,
    path: &str,
    query: &[(&str, String)],
    name: &str,
    listing: Listing,
) -> Result<Rows, Trouble> {
    rows_by(control, path, query, name, listing, ["cursor", "cursor"])
}

/// [`rows`] of a listing that names the next page otherwise: in the field `from` of its answer, and `to` of what is asked.
///
/// # Errors
/// As there.
pub fn rows_by(
    control: &Control,
    path: &str,
    query: &[(&str, String)],
    name: &str,
    listing: Listing,
    [from, to]: [&str; 2],
) -> Result<Rows, Trouble> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    // Records are read for it, perhaps all that there are.
    let is_search = query.iter().any(|(name, _)| *name == "number");
    loop {
        let left = listing.rows_max().saturating_sub(rows.len());
        let mut asked = query.to_vec();
        asked.push(("limit", left.clamp(1, PAGE).to_string()));
        asked.extend(cursor.map(|c| (to, c)));
        let mut page = if is_search {
            control.send_patiently(Method::GET, &target(path, &asked), None)?
        } else {
            control.get(path, &asked)?
        };
        say_warning(&page);
        if let Some(Value::Array(more)) = page.get_mut(name).map(Value::take) {
            rows.extend(more.into_iter().take(left));
        }
        cursor = page.get(from).and_then(Value::as_str).map(str::to_owned);
        let is_full = rows.len() >= listing.rows_max();
        if cursor.is_none() || is_full {
            return Ok(Rows {
                rows,
                cut: is_full && cursor.is_some(),
            });
        }
    }
}

/// Says on standard error what the server warns of beside its answer.
pub fn say_warning(page: &Value) {
    if let Some(warning) = page.get("warning").and_then(Value::as_str) {
        // Beside the answer: if nobody hears it, the answer is the same.
        drop(writeln!(std::io::stderr(), "umbra: {warning}"));
    }
}

/// Rows of a listing.
pub struct Rows {
    /// The rows.
    pub rows: Vec<Value>,
    /// Whether there are more than were asked for.
    pub cut: bool,
}

impl Rows {
    /// Says on standard error that there are more, if there are.
    pub fn say_cut(&self) {
        if self.cut {
            // Advice, not an answer: if nobody hears it, nothing is lost.
            drop(writeln!(
                std::io::stderr(),
                "umbra: there are more; --limit N shows more rows"
            ));
        }
    }
}

/// Writes rows as a JSON array, one row a line.
///
/// # Errors
/// The writer's.
pub fn write_json_rows(out: &mut dyn Write, rows: &[Value]) -> std::io::Result<()> {
    write!(out, "[")?;
    for (i, row) in rows.iter().enumerate() {
        write!(out, "{}\n{row}", if i == 0 { "" } else { "," })?;
    }
    writeln!(out, "{}]", if rows.is_empty() { "" } else { "\n" })
}

/// Writes an object as JSON for programs (and people who asked for it), indented.
///
/// # Errors
/// The writer's.
pub fn write_json(out: &mut dyn Write, value: &Value) -> std::io::Result<()> {
    writeln!(out, "{value:#}")
}

/// A field of a row as a cell: text as it is, numbers in digits, nothing for `null`.
pub fn text(row: &Value, name: &str) -> String {
    match row.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".into(),
        Some(Value::Bool(false)) => "no".into(),
        Some(other @ (Value::Number(_) | Value::Array(_) | Value::Object(_))) => other.to_string(),
    }
}

/// A time of a row, on local clocks.
pub fn time(row: &Value, name: &str) -> String {
    super::when::show_api_time(&text(row, name))
}

/// The texts of a list in a row, with `, ` between.
pub fn list(row: &Value, name: &str) -> String {
    let items = row.get(name).and_then(Value::as_array);
    let texts: Vec<&str> = items.into_iter().flatten().filter_map(Value::as_str).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_rows_are_one_array_with_one_row_a_line() {
        let write = |rows: &[Value]| {
            let mut out = Vec::new();
            write_json_rows(&mut out, rows).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(&[]), "[]\n");
        assert_eq!(
            write(&[json!({"a": 1}), json!({"a": 2})]),
            "[\n{\"a\":1},\n{\"a\":2}\n]\n"
        );
    }

    #[test]
    fn a_real_number_is_masked_unless_it_is_asked_for_in_full() {
        let row = json!({"a": "+8613800000001", "b": null});
        let listing = |full| Listing {
            json: false,
            full,
            limit: None,
        };
        assert_eq!(listing(false).real(&row, "a"), "138****0001");
        assert_eq!(listing(true).real(&row, "a"), "+8613800000001");
        assert_eq!(listing(false).real(&row, "b"), "");
    }
}

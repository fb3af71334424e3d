//! The file of `import` and `export`: CSV with a header row. `kind` says what a row is; without that column every
//! row is a binding. The other columns are fields of the API by name, and an empty cell is no field:
//!
//! | kind | columns |
//! |---|---|
//! | `pool` | what `POST` and `PATCH /v1/pools` take |
//! | `number` | what `POST /v1/numbers` takes; trunks with `;` between |
//! | `binding` | what `POST /v1/bindings:import` takes: what binds, and `id` and `created_at` |
//! | `state` | `x`, `state` (`locked`, `frozen`), `cause`: after the bindings, which such a number doesn't take |

use serde_json::{Map, Value};

/// The column that says what a row is.
pub const KIND: &str = "kind";
/// The column of a file of rejected rows that says why: an import passes it over.
pub const REJECTED: &str = "rejected";
/// Columns that hold a list, with [`BETWEEN`] between.
const LISTS: [&str; 1] = ["trunks"];
const BETWEEN: char = ';';

/// What a row is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A pool and its settings.
    Pool,
    /// A number.
    Number,
    /// A binding.
    Binding,
    /// Where a number stands that is not in service.
    State,
}

impl Kind {
    /// Every kind, in the order of an export.
    pub const ALL: [Self; 4] = [Self::Pool, Self::Number, Self::Binding, Self::State];

    /// The word in the column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Number => "number",
            Self::Binding => "binding",
            Self::State => "state",
        }
    }

    /// The columns of such a row.
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Pool => &["name", "mode", "account", "axb_pairs_per_x"],
            Self::Number => &["x", "pool", "trunks"],
            Self::Binding => &[
                "id",
                "mode",
                "x",
                "a",
                "b",
                "direction",
                "created_at",
                "expires_at",
                "max_duration_s",
                "ring_timeout_s",
                "record",
                "order_id",
                "user_data",
            ],
            Self::State => &["x", "state", "cause"],
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Every column that a file may have, in the order of an export.
pub fn columns() -> Vec<&'static str> {
    let mut all = vec![KIND];
    // Bindings are most of a file: theirs come first.
    for kind in [Kind::Binding, Kind::Pool, Kind::Number, Kind::State] {
        for name in kind.columns() {
            if !all.contains(name) {
                all.push(name);
            }
        }
    }
    all
}

/// A field of the API as a cell.
pub fn cell(view: &Value, name: &str) -> String {
    match view.get(name) {
        // What is not asked for is no field.
        None | Some(Value::Null | Value::Bool(false)) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            texts.join(&BETWEEN.to_string())
        }
        Some(other @ (Value::Bool(true) | Value::Number(_) | Value::Object(_))) => other.to_string(),
    }
}

/// The fields of a row: its cells that are not empty.
pub fn fields<'a>(cells: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    cells
        .filter(|(name, text)| !text.is_empty() && *name != KIND && *name != REJECTED)
        .map(|(name, text)| {
            let value = if LISTS.contains(&name) {
                text.split(BETWEEN).map(Value::from).collect()
            } else {
                Value::from(text)
            };
            (name.to_owned(), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_and_a_field_are_one() {
        let view =
            json!({"x": "1", "trunks": ["a", "b"], "axb_pairs_per_x": 200, "cause": null, "record": true});
        let cells: Vec<(&str, String)> = ["x", "trunks", "axb_pairs_per_x", "cause", "record"]
            .map(|name| (name, cell(&view, name)))
            .to_vec();
        let read = fields(cells.iter().map(|(name, text)| (*name, text.as_str())));
        let expected = json!({"x": "1", "trunks": ["a", "b"], "axb_pairs_per_x": "200", "record": "true"});
        assert_eq!(Value::Object(read), expected);
    }

    #[test]
    fn a_column_stands_once_whatever_rows_have_it() {
        let all = columns();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
        assert_eq!(all.first(), Some(&KIND));
    }
}

//! The file of `import` and `export`: CSV with a header row. `kind` says what a row is; without that column every
//! row is a binding. The other columns are fields of the API by name, and an empty cell is no field:
//!
//! | kind | columns |
//! |---|---|
//! | `account` | what `POST` and `PATCH /v1/accounts` take |
//! | `pool` | what `POST /v1/pools` takes |
//! | `group` | `name`, `pool`, `numbers` (200 of its members at the most: more in further rows), and `default` |
//! | `number` | what `POST /v1/numbers` takes |
//! | `binding` | what `POST /v1/bindings:import` takes: what binds, and `id` and `created_at` |
//! | `state` | a number's `x`, `state` (`locked`, `frozen`) and `cause`, or an account's `name` and `state` (`suspended`): after the bindings, which these don't take |
//!
//! A list is written with `;` between; one with such a text in it that this doesn't bring back, as JSON, and so is a menu.

use serde_json::{Map, Value};

/// The column that says what a row is.
pub const KIND: &str = "kind";
/// The column of a file of rejected rows that says why: an import passes it over.
pub const REJECTED: &str = "rejected";
/// Columns that hold a list.
const LISTS: [&str; 5] = ["trunks", "tags", "fallback_cities", "numbers", "ring"];
const BETWEEN: char = ';';
/// The customer's own words: spaces around them are theirs.
const VERBATIM: [&str; 2] = ["order_id", "user_data"];
/// A number that is not in service yet: in a listing that is its state.
const INVENTORY: &str = "inventory";

/// What a row is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An account and its limits.
    Account,
    /// A pool and its settings.
    Pool,
    /// A number.
    Number,
    /// Members of a group.
    Group,
    /// A binding.
    Binding,
    /// Where a number or an account stands that is not in service.
    State,
}

impl Kind {
    /// Every kind, in the order of an export.
    pub const ALL: [Self; 6] = [
        Self::Account,
        Self::Pool,
        Self::Number,
        Self::Group,
        Self::Binding,
        Self::State,
    ];

    /// The word in the column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Pool => "pool",
            Self::Number => "number",
            Self::Group => "group",
            Self::Binding => "binding",
            Self::State => "state",
        }
    }

    /// The columns of such a row.
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Account => &[
                "name",
                "x_per_a",
                "expiry_max_s",
                "language",
                "record",
                "record_from",
                "record_tone",
                "recordings_keep_days",
                "recordings_at_least_days",
            ],
            Self::Pool => &[
                "name",
                "mode",
                "account",
                "axb_pairs_per_x",
                "relations_per_y",
                "city_rule",
                "fallback_cities",
                "reuse",
                "callback",
                "accept_unidentified",
                "quarantine",
                "free_low_percent",
                "ring_timeout_s",
                "calls_per_x",
                "calls_per_caller",
                "t38",
                "language",
                "record",
                "record_from",
                "record_tone",
                "extension_width",
                "extensions_per_x",
                "collect",
                "owner_dials",
                "last_kept_s",
                "ask_url",
                "ask_numbers",
                "question",
                "question_to",
                "question_keys",
                "question_loops",
            ],
            Self::Number => &["x", "pool", "trunks", "city", "operator", "tags", INVENTORY],
            Self::Group => &["name", "pool", "numbers", "default"],
            Self::Binding => &[
                "id",
                "mode",
                "x",
                "y",
                "a",
                "b",
                "group",
                "ring",
                "ring_order",
                "ring_each_s",
                "display",
                "menu",
                "extension",
                "direction",
                "created_at",
                "expires_at",
                "max_duration_s",
                "ring_timeout_s",
                "record",
                "order_id",
                "user_data",
                "callback",
                "last_minute",
                "early_media",
                "waiting_caller",
                "waiting_callee",
                "whisper",
                "record_tone",
                "question",
                "question_to",
                "question_keys",
                "question_loops",
            ],
            Self::State => &["x", "name", "state", "cause"],
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
    for kind in [
        Kind::Binding,
        Kind::Pool,
        Kind::Number,
        Kind::Group,
        Kind::State,
        Kind::Account,
    ] {
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
        None if name == INVENTORY => {
            let is_there = view.get("state").and_then(Value::as_str) == Some(INVENTORY);
            String::from(if is_there { "true" } else { "" })
        }
        // What is not asked for is no field.
        None | Some(Value::Null | Value::Bool(false)) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            let joined = texts.join(&BETWEEN.to_string());
            let is_brought_back = texts.is_empty()
                || (!joined.is_empty() && joined.trim() == joined && list_of(&joined).as_ref() == Some(list));
            if is_brought_back {
                joined
            } else {
                Value::from(list.as_slice()).to_string()
            }
        }
        Some(other @ (Value::Bool(true) | Value::Number(_) | Value::Object(_))) => other.to_string(),
    }
}

/// The texts of a list's cell; `None` if it is JSON, and no list.
fn list_of(cell: &str) -> Option<Vec<Value>> {
    if cell.starts_with('[') {
        return serde_json::from_str(cell).ok();
    }
    Some(cell.split(BETWEEN).map(Value::from).collect())
}

/// The fields of a row: its cells that are not empty.
pub fn fields<'a>(cells: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    cells
        .map(|(name, text)| {
            let is_verbatim = VERBATIM.contains(&name);
            (name, if is_verbatim { text } else { text.trim() })
        })
        .filter(|(name, text)| !text.is_empty() && *name != KIND && *name != REJECTED)
        .map(|(name, text)| {
            let list = LISTS.contains(&name).then(|| list_of(text)).flatten();
            // What should be a list and is none, the server refuses.
            (
                name.to_owned(),
                list.map_or_else(|| Value::from(text), Value::Array),
            )
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
    fn a_list_comes_back_whatever_is_in_its_texts() {
        for list in [
            json!([]),
            json!(["a"]),
            json!(["a", "b c", "订单"]),
            json!(["a;b", "c"]),
            json!(["[a]"]),
            json!([" a", "b"]),
            json!(["a", "b "]),
            json!([""]),
            json!(["\"a\"", "b,c"]),
        ] {
            let view = json!({"tags": list});
            let text = cell(&view, "tags");
            let read = fields([("tags", text.as_str())].into_iter());
            let wanted = if text.is_empty() { json!({}) } else { view };
            assert_eq!(Value::Object(read), wanted, "{text}");
            assert_eq!(text.is_empty(), list == json!([]), "{text}");
        }
    }

    #[test]
    fn a_customers_own_words_keep_their_spaces_and_other_cells_lose_them() {
        let read = fields([("user_data", " a "), ("x", " 1 "), ("order_id", " "), ("y", " ")].into_iter());
        assert_eq!(
            Value::Object(read),
            json!({"user_data": " a ", "x": "1", "order_id": " "})
        );
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

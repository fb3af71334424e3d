//! Tables for people: aligned columns, two spaces between, no box art.

/// Where a column's text stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// At its left edge: text.
    Left,
    /// At its right edge: numbers.
    Right,
}

/// Rows of text under column heads.
#[derive(Debug)]
pub struct Table {
    heads: Vec<(&'static str, Align)>,
    widths_min: Vec<usize>,
    spare: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns, all of text.
    pub fn new(heads: &[&'static str]) -> Self {
        Self {
            heads: heads.iter().map(|head| (*head, Align::Left)).collect(),
            widths_min: vec![0; heads.len()],
            spare: &[],
            rows: Vec::new(),
        }
    }

    /// The same table with the column of that head aligned so.
    pub fn align(mut self, head: &str, align: Align) -> Self {
        for column in self.heads.iter_mut().filter(|(name, _)| *name == head) {
            column.1 = align;
        }
        self
    }

    /// The same table without those of these columns that no row has anything in.
    pub fn spare(mut self, heads: &'static [&'static str]) -> Self {
        self.spare = heads;
        self
    }

    /// The same table with the column of that head at least so wide: for rows that come later, in a table of
    /// their own.
    pub fn wide(mut self, head: &str, width: usize) -> Self {
        for ((name, _), min) in self.heads.iter().zip(&mut self.widths_min) {
            if *name == head {
                *min = width;
            }
        }
        self
    }

    /// Adds a row. An empty cell is shown as `-`; control characters, which could drive the terminal, as `?`.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.heads.len(), "one cell for every column");
        self.rows
            .push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths: Vec<usize> = self
            .heads
            .iter()
            .enumerate()
            .map(|(i, (head, _))| {
                let cells = self
                    .rows
                    .iter()
                    .filter_map(|row| row.get(i))
                    .map(|cell| width(cell));
                let min = self.widths_min.get(i).copied().unwrap_or(0);
                cells.max().unwrap_or(0).max(width(head)).max(min)
            })
            .collect();
        let is_left_out = |i: usize, head: &str| {
            let is_nothing = |row: &Vec<String>| row.get(i).is_none_or(|cell| cell == NOTHING);
            self.spare.contains(&head) && self.rows.iter().all(is_nothing)
        };
        let mut widths = widths;
        for (i, ((head, _), width)) in self.heads.iter().zip(&mut widths).enumerate() {
            if is_left_out(i, head) {
                *width = 0;
            }
        }
        let heads: Vec<&str> = self.heads.iter().map(|(head, _)| *head).collect();
        self.line(f, &heads, &widths)?;
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            self.line(f, &cells, &widths)?;
        }
        Ok(())
    }
}

impl Table {
    fn line(&self, f: &mut std::fmt::Formatter<'_>, cells: &[&str], widths: &[usize]) -> std::fmt::Result {
        let mut line = String::new();
        for ((cell, wide), (_, align)) in cells.iter().zip(widths).zip(&self.heads) {
            if *wide == 0 {
                continue;
            }
            let gap = " ".repeat(wide.saturating_sub(width(cell)));
            if !line.is_empty() {
                line.push_str("  ");
            }
            match align {
                Align::Left => line.extend([*cell, &gap]),
                Align::Right => line.extend([gap.as_str(), *cell]),
            }
        }
        writeln!(f, "{}", line.trim_end())
    }
}

/// How an empty cell is shown.
const NOTHING: &str = "-";

fn clean(cell: &str) -> String {
    if cell.is_empty() {
        return NOTHING.into();
    }
    cell.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Columns of a terminal that the text takes: two for the wide scripts of East Asia.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x1100..=0x115F
            | 0x2E80..=0xA4CF
            | 0xAC00..=0xD7A3
            | 0xF900..=0xFAFF
            | 0xFE30..=0xFE6F
            | 0xFF00..=0xFF60
            | 0xFFE0..=0xFFE6
            | 0x1F300..=0x1FAFF
            | 0x20000..=0x3FFFD => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script_and_lines_end_without_blanks() {
        let mut table = Table::new(&["X", "NOTE", "SECONDS"]).align("SECONDS", Align::Right);
        table.row(["17000000001".into(), "订单".into(), "5".into()]);
        table.row(["1".into(), String::new(), "1200".into()]);
        let expected = "\
X            NOTE  SECONDS
17000000001  订单        5
1            -        1200
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_spare_column_stands_only_where_a_row_has_something_in_it() {
        let mut table = Table::new(&["X", "CITY", "TAGS", "NOTE"]).spare(&["CITY", "TAGS"]);
        table.row(["1".into(), String::new(), String::new(), String::new()]);
        assert_eq!(table.to_string(), "X  NOTE\n1  -\n");
        table.row(["2".into(), "Jinan".into(), String::new(), String::new()]);
        assert_eq!(table.to_string(), "X  CITY   NOTE\n1  -      -\n2  Jinan  -\n");
    }

    #[test]
    fn a_cell_cannot_drive_the_terminal() {
        let mut table = Table::new(&["NOTE"]);
        table.row(["\u{1b}[2Jgone\n".into()]);
        assert_eq!(table.to_string(), "NOTE\n?[2Jgone?\n");
    }

    #[test]
    fn a_column_can_be_kept_wide_for_rows_of_later_tables() {
        let draw = |cell: &str| {
            let mut table = Table::new(&["CALLEE", "STATUS"]).wide("CALLEE", 11);
            table.row([cell.into(), "200".into()]);
            table.to_string().lines().nth(1).map(str::to_owned)
        };
        assert_eq!(draw("139****0002").as_deref(), Some("139****0002  200"));
        assert_eq!(draw("").as_deref(), Some("-            200"));
    }
}

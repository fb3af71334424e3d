//! Reading of TOML that remembers where everything stood, and goes on after a fault, so that all are listed.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::fault::Fault;
use crate::base::dscp::Dscp;

/// Bytes of offending text that a fault shows.
const SHOWN_BYTES_MAX: usize = 80;

/// A line with one of these in it, in any case, may hold a password, even where it is no TOML or a key is misspelt.
const SECRET_WORDS: [&str; 6] = ["pas", "pwd", "ha1", "auth", "cred", "secret"];

/// One conf file's text, and the faults found in it.
pub(super) struct Source<'t> {
    name: String,
    text: &'t str,
    found: RefCell<Found>,
    /// Where passwords stand, or should.
    hidden: RefCell<Vec<Range<usize>>>,
}

/// What was found in a file: what is wrong, and what is allowed and probably not meant.
#[derive(Default)]
pub(super) struct Found {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
}

impl Found {
    /// What was found in the next file.
    pub(super) fn extend(&mut self, next: Self) {
        self.faults.extend(next.faults);
        self.warnings.extend(next.warnings);
    }
}

impl<'t> Source<'t> {
    pub(super) fn new(name: &str, text: &'t str) -> Self {
        Self {
            name: name.to_owned(),
            text,
            found: RefCell::default(),
            hidden: RefCell::default(),
        }
    }

    /// The file as a table; what is no TOML is a fault, and the rest is read all the same.
    pub(super) fn parse(&self) -> Spanned<DeTable<'t>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let (start, end) = (self.line_start(span.start), self.line_end(span.start));
            // A line without a key may go on with the value of the one before, and that be a password.
            let before = self.raw(&(0..start)).lines().rfind(|line| line.contains('='));
            if !self.raw(&(start..end)).contains('=') && before.is_some_and(may_be_secret) {
                self.hidden.borrow_mut().push(start..end);
            }
            self.fault(&(start..end), format!("not TOML: {}", error.message().trim()));
        }
        table
    }

    /// Notes a fault of the text at `span`; an empty span is the whole file.
    pub(super) fn fault(&self, span: &Range<usize>, cure: impl Into<String>) {
        let fault = self.at(span, cure);
        self.found.borrow_mut().faults.push(fault);
    }

    /// Notes a warning of the text at `span`; an empty span is the whole file.
    pub(super) fn warn(&self, span: &Range<usize>, cure: impl Into<String>) {
        let warning = self.at(span, cure);
        self.found.borrow_mut().warnings.push(warning);
    }

    /// A fault of the key of this whole name, where it stands; of the whole file if it doesn't.
    pub(super) fn fault_of(&self, key: &str, cure: impl Into<String>) -> Fault {
        let (root, _) = DeTable::parse_recoverable(self.text);
        let mut table = root.get_ref();
        let mut span = 0..0;
        for name in key.split('.') {
            let Some((key, value)) = table.get_key_value(name) else {
                break;
            };
            span = entry_span(key, value);
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        self.at(&span, cure)
    }

    /// A fault of a trunk's key, where it stands, or of the whole trunk if it doesn't. `None`: the trunk isn't in this file.
    pub(super) fn fault_of_trunk(&self, name: &str, key: &str, cure: &str) -> Option<Fault> {
        let (root, _) = DeTable::parse_recoverable(self.text);
        let DeValue::Array(trunks) = root.get_ref().get("trunk")?.get_ref() else {
            return None;
        };
        let is_it = |table: &&Spanned<DeValue<'_>>| {
            let table = table.get_ref().as_table();
            let named = table.and_then(|table| table.get("name")?.get_ref().as_str());
            named == Some(name)
        };
        let trunk = trunks.iter().find(is_it)?;
        let entry = trunk.get_ref().as_table()?.get_key_value(key);
        let span = entry.map_or(trunk.span(), |(key, value)| entry_span(key, value));
        Some(self.at(&span, cure))
    }

    fn at(&self, span: &Range<usize>, cure: impl Into<String>) -> Fault {
        let line = (!span.is_empty()).then(|| self.line(span));
        Fault {
            file: self.name.clone(),
            line,
            text: shorten(self.shown(span)),
            cure: cure.into(),
        }
    }

    /// Where a span stands: `trunks.toml:12`.
    pub(super) fn place(&self, span: &Range<usize>) -> String {
        format!("{}:{}", self.name, self.line(span))
    }

    /// The line of a span, from 1.
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or("");
        before.bytes().filter(|c| *c == b'\n').count() + 1
    }

    /// The text at a span, as a fault may show it: where passwords stand, only the key before the first value.
    fn shown(&self, span: &Range<usize>) -> &'t str {
        let raw = self.raw(span);
        let overlaps = |hidden: &Range<usize>| hidden.start < span.end && span.start < hidden.end;
        if !may_be_secret(raw) && !self.hidden.borrow().iter().any(overlaps) {
            return raw;
        }
        let is_of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
        let (key, _) = raw.split_once('=').unwrap_or_default();
        if key.chars().all(is_of_key) {
            key.trim()
        } else {
            ""
        }
    }

    /// What was found, in the order of its lines.
    pub(super) fn into_findings(self) -> Found {
        let Found {
            mut faults,
            mut warnings,
        } = self.found.into_inner();
        for list in [&mut faults, &mut warnings] {
            // A key that is read twice is wrong once.
            let mut seen: Vec<Fault> = Vec::with_capacity(list.len());
            list.retain(|fault| {
                let is_new = !seen.contains(fault);
                if is_new {
                    seen.push(fault.clone());
                }
                is_new
            });
            list.sort_by_key(|f| f.line);
        }
        Found { faults, warnings }
    }

    pub(super) fn raw(&self, span: &Range<usize>) -> &'t str {
        self.text.get(span.clone()).unwrap_or("")
    }

    fn line_start(&self, at: usize) -> usize {
        self.text
            .get(..at)
            .and_then(|t| t.rfind('\n'))
            .map_or(0, |i| i + 1)
    }

    fn line_end(&self, at: usize) -> usize {
        self.text
            .get(at..)
            .and_then(|t| t.find('\n'))
            .map_or(self.text.len(), |i| at + i)
    }
}

/// Whether a password may stand in the text.
fn may_be_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| lower.contains(word))
}

/// The first line of a text, cut to what a fault shows.
fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or("").trim();
    if line.len() <= SHOWN_BYTES_MAX {
        return line.to_owned();
    }
    let end = (0..=SHOWN_BYTES_MAX)
        .rev()
        .find(|i| line.is_char_boundary(*i))
        .unwrap_or(0);
    format!("{}…", &line[..end])
}

/// A value and where it stood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// One table of a file. Its getters give the default, and note a fault, for a value that won't do.
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    table: Option<&'a DeTable<'a>>,
    /// Where the table stands.
    pub(super) span: Range<usize>,
}

impl<'a> Section<'a> {
    /// The table of that `name`, which may hold `known` keys only; any other is a fault.
    pub(super) fn new(
        source: &'a Source<'a>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        name: &str,
        known: &[&str],
    ) -> Self {
        for (key, value) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                source.fault(&entry_span(key, value), unknown(key.get_ref(), name, known));
            }
        }
        Self {
            source,
            table: Some(table),
            span,
        }
    }

    /// The sub-table `key`, empty if there is none.
    pub(super) fn section(&self, key: &str, name: &str, known: &[&str]) -> Section<'a> {
        match self.entry(key) {
            Some((span, DeValue::Table(table))) => Section::new(self.source, table, span, name, known),
            Some((span, _)) => {
                self.source.fault(
                    &span,
                    format!("write a table: a line {name}, then its keys, one a line"),
                );
                self.nothing()
            }
            None => self.nothing(),
        }
    }

    /// The tables of `[[key]]`.
    pub(super) fn sections(&self, key: &str, known: &[&str]) -> Vec<Section<'a>> {
        let name = format!("[[{key}]]");
        let each = format!("write tables, each under a line {name}");
        let whole = format!("write the line {name}, with two brackets on each side");
        self.tables(key, &name, known, (&each, &whole))
    }

    /// The tables in the list `key`, known to the reader of a fault by `name`; the cures are said of an item that is no
    /// table, and of what is no list.
    pub(super) fn tables(
        &self,
        key: &str,
        name: &str,
        known: &[&str],
        (each, whole): (&str, &str),
    ) -> Vec<Section<'a>> {
        match self.entry(key) {
            None => Vec::new(),
            Some((_, DeValue::Array(array))) => array
                .iter()
                .filter_map(|item| match item.get_ref() {
                    DeValue::Table(table) => Some(Section::new(self.source, table, item.span(), name, known)),
                    _ => {
                        self.source.fault(&item.span(), each);
                        None
                    }
                })
                .collect(),
            Some((span, _)) => {
                self.source.fault(&span, whole);
                Vec::new()
            }
        }
    }

    /// Notes a fault of the whole entry `key`, or of the table if the entry isn't there.
    pub(super) fn fault(&self, key: &str, cure: impl Into<String>) {
        let span = self.entry(key).map_or(self.span.clone(), |(span, _)| span);
        self.source.fault(&span, cure);
    }

    /// Notes a warning of the whole entry `key`, or of the table if the entry isn't there.
    pub(super) fn warn(&self, key: &str, sentence: impl Into<String>) {
        let span = self.entry(key).map_or(self.span.clone(), |(span, _)| span);
        self.source.warn(&span, sentence);
    }

    /// A string.
    pub(super) fn text(&self, key: &str) -> Option<At<&'a str>> {
        let (span, value) = self.entry(key)?;
        match value {
            DeValue::String(text) => Some(At {
                value: text.as_ref(),
                span,
            }),
            _ => {
                self.source
                    .fault(&span, format!("write a text in quotes: {key} = \"…\""));
                None
            }
        }
    }

    /// A string, read by `parse`, whose error is the cure; `default` if there is none.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        match self.text(key) {
            None => default,
            Some(at) => parse(at.value).unwrap_or_else(|cure| {
                self.source.fault(&at.span, cure);
                default
            }),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> T {
        self.parsed(key, default, |text| {
            word(text, words).ok_or_else(|| format!("write {}", one_of(words)))
        })
    }

    /// The key `dscp`.
    pub(super) fn dscp(&self, default: Dscp) -> Dscp {
        let number = self.integer("dscp", 0..=u32::from(Dscp::MAX), default.byte() >> 2);
        u8::try_from(number).map_or(default, Dscp::of)
    }

    /// A whole number within `range`.
    pub(super) fn integer(&self, key: &str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let Some((span, value)) = self.entry(key) else {
            return default;
        };
        let read = match value {
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => {
                self.source.fault(
                    &span,
                    format!("write a whole number without quotes: {key} = {default}"),
                );
                return default;
            }
        };
        read.and_then(|n| u32::try_from(n).ok())
            .filter(|n| range.contains(n))
            .unwrap_or_else(|| {
                self.source
                    .fault(&span, format!("write {} to {}", range.start(), range.end()));
                default
            })
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str) -> bool {
        match self.entry(key) {
            None => false,
            Some((_, DeValue::Boolean(flag))) => *flag,
            Some((span, _)) => {
                self.source
                    .fault(&span, "write true or false, without quotes".to_owned());
                false
            }
        }
    }

    /// A list of texts; `None` if the key isn't there or holds something else.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<At<&'a str>>> {
        let (span, value) = self.entry(key)?;
        let DeValue::Array(array) = value else {
            self.source.fault(
                &span,
                format!(
                    "write a list, in brackets: {key} = [{}]",
                    self.source.raw_value(value, &span)
                ),
            );
            return None;
        };
        let items = array.iter().filter_map(|item| match item.get_ref() {
            DeValue::String(text) => Some(At {
                value: text.as_ref(),
                span: item.span(),
            }),
            _ => {
                self.source
                    .fault(&item.span(), "write texts in quotes".to_owned());
                None
            }
        });
        Some(items.collect())
    }

    /// A list of texts, each read by `parse`, whose error is the cure.
    pub(super) fn list<T>(
        &self,
        key: &str,
        default: Vec<T>,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(texts) = self.texts(key) else {
            return default;
        };
        texts
            .into_iter()
            .filter_map(|at| match parse(at.value) {
                Ok(value) => Some(value),
                Err(cure) => {
                    self.source.fault(&at.span, cure);
                    None
                }
            })
            .collect()
    }

    /// A list of texts, or of tables with such a text under `main` and more under the `known` keys: each item's text, and
    /// its table, which is empty where there is none.
    pub(super) fn items(&self, key: &str, main: &str, known: &[&str]) -> Vec<(At<&'a str>, Section<'a>)> {
        let Some((span, value)) = self.entry(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value else {
            let written = self.source.raw_value(value, &span);
            self.source
                .fault(&span, format!("write a list, in brackets: {key} = [{written}]"));
            return Vec::new();
        };
        let item = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::String(text) => {
                let at = At {
                    value: text.as_ref(),
                    span: item.span(),
                };
                Some((at, self.nothing()))
            }
            DeValue::Table(table) => {
                let own = Section::new(
                    self.source,
                    table,
                    item.span(),
                    &format!("{key} = [{{ … }}]"),
                    known,
                );
                let text = own.text(main);
                if text.is_none() && !own.has(main) {
                    self.source.fault(
                        &item.span(),
                        format!("it has no {main}: write {{ {main} = \"…\" }}"),
                    );
                }
                Some((text?, own))
            }
            _ => {
                let cure = format!("write texts in quotes, or tables: {{ {main} = \"…\", weight = 2 }}");
                self.source.fault(&item.span(), cure);
                None
            }
        };
        array.iter().filter_map(item).collect()
    }

    /// A key whose feature this version hasn't: only its neutral value (as TOML) is taken.
    pub(super) fn neutral(&self, key: &str, neutral: &str, feature: &str) {
        let Some(table) = self.table else { return };
        let Some((name, value)) = table.get_key_value(key) else {
            return;
        };
        let written: String = self
            .source
            .raw(&value.span())
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        if written != neutral {
            self.source.fault(
                &entry_span(name, value),
                format!(
                    "{feature} not available in this version; leave the key out, or write {key} = {neutral}"
                ),
            );
        }
    }

    /// No fault shows what stands there: it may be a password.
    pub(super) fn hide(&self, key: &str) {
        if let Some((span, value)) = self.entry(key) {
            let mut hidden = self.source.hidden.borrow_mut();
            // Of an array under headers the span is the first header's: each of its tables is hidden.
            if let DeValue::Array(items) = value {
                hidden.extend(items.iter().map(Spanned::span));
            }
            hidden.push(span);
        }
    }

    /// Whether no key is there.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_none_or(|table| table.is_empty())
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(key))
    }

    /// Notes a fault at a span of this file.
    pub(super) fn fault_at(&self, span: &Range<usize>, cure: impl Into<String>) {
        self.source.fault(span, cure);
    }

    fn nothing(&self) -> Section<'a> {
        Section {
            source: self.source,
            table: None,
            span: self.span.clone(),
        }
    }

    /// The value of `key`, with the span of the whole entry.
    fn entry(&self, key: &str) -> Option<(Range<usize>, &'a DeValue<'a>)> {
        let (name, value) = self.table?.get_key_value(key)?;
        Some((entry_span(name, value), value.get_ref()))
    }
}

impl<'t> Source<'t> {
    /// What the user wrote as the value of an entry, for a cure that shows it in its right form.
    fn raw_value(&self, value: &DeValue<'_>, entry: &Range<usize>) -> String {
        match value {
            DeValue::String(text) => format!("{text:?}"),
            _ => shorten(self.raw(entry).split_once('=').map_or("", |(_, v)| v)),
        }
    }
}

/// Where an entry stands: key and value, or the header line of a table or of the first of an array of tables.
fn entry_span(key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) -> Range<usize> {
    let (start, end) = (key.span().start, key.span().end.max(value.span().end));
    match value.get_ref() {
        // A table written inline begins behind its key, one under a header before it.
        DeValue::Table(_) if value.span().start <= start => value.span(),
        DeValue::Array(array) => match array.first() {
            Some(first) if first.span().start <= start => first.span(),
            _ => start..end,
        },
        _ => start..end,
    }
}

/// The word's meaning.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(w, _)| *w == text).map(|(_, value)| *value)
}

/// The words, as a person lists them.
pub(super) fn one_of<T>(words: &[(&str, T)]) -> String {
    let mut text = String::new();
    for (i, (word, _)) in words.iter().enumerate() {
        let join = match i {
            0 => "",
            _ if i + 1 == words.len() => " or ",
            _ => ", ",
        };
        text.push_str(join);
        text.push_str(&format!("{word:?}"));
    }
    text
}

/// The cure of an unknown key: the nearest known one, or all of them.
fn unknown(key: &str, table: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|k| (distance(key, k), *k))
        .min()
        .filter(|(d, k)| *d <= 1 + k.len() / 4);
    match nearest {
        Some((_, near)) => format!("no such key in {table}; did you mean {near}?"),
        None => format!("no such key in {table}; it has {}", known.join(", ")),
    }
}

/// How many letters have to be put in, taken out or changed (Levenshtein), or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

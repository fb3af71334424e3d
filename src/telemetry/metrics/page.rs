//! The writing of metrics: OpenMetrics text, one family after another.
//!
//! No label holds a party's number: what others have named (trunks, pools) passes [`scrub`] like a line of the log.

use std::fmt::{Display, Write};

use crate::base::histogram::{BOUNDS_US, Histogram};
use crate::base::number::Digits;
use crate::base::redact::scrub;

/// How a family's values are to be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows, since the start. Its samples are called `…_total`.
    Counter,
}

/// OpenMetrics text that is being written.
#[derive(Debug)]
pub struct Page(String);

impl Default for Page {
    fn default() -> Self {
        Self(String::with_capacity(16_384))
    }
}

/// A row of a family with labels: their names and values, and the sample.
pub type Row<'a> = (Vec<(&'a str, String)>, u64);

impl Page {
    /// A family of one sample.
    pub fn one(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.family(kind, name, help);
        let end = end_of(kind);
        self.put(format_args!("{name}{end} {value}\n"));
    }

    /// A family of one sample for each row.
    pub fn rows<'a>(&mut self, kind: Kind, name: &str, help: &str, rows: impl IntoIterator<Item = Row<'a>>) {
        self.family(kind, name, help);
        let end = end_of(kind);
        for (labels, value) in rows {
            let labels = labels_of(&labels);
            self.put(format_args!("{name}{end}{{{labels}}} {value}\n"));
        }
    }

    /// A family of one sample for each virtual number: the only label that holds one.
    pub(super) fn of_numbers<'a>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (&'a Digits, u64)>,
    ) {
        self.family(kind, name, help);
        let end = end_of(kind);
        for (number, value) in rows {
            self.put(format_args!("{name}{end}{{number=\"{number}\"}} {value}\n"));
        }
    }

    /// The server's version, and the like: labels whose value is always 1.
    pub fn info(&mut self, name: &str, help: &str, labels: &[(&str, String)]) {
        self.head(name, "info", help);
        let labels = labels_of(labels);
        self.put(format_args!("{name}_info{{{labels}}} 1\n"));
    }

    /// Times; the name ends in `_seconds`.
    pub fn histogram(&mut self, name: &str, help: &str, times: &Histogram) {
        self.head(name, "histogram", help);
        let read = times.read();
        for (bound, count) in BOUNDS_US.iter().zip(read.counts) {
            let le = seconds(*bound);
            self.put(format_args!("{name}_bucket{{le=\"{le}\"}} {count}\n"));
        }
        let (all, sum) = (read.count, read.sum.as_secs_f64());
        self.put(format_args!(
            "{name}_bucket{{le=\"+Inf\"}} {all}\n{name}_sum {sum}\n{name}_count {all}\n"
        ));
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        self.0.push_str("# EOF\n");
        self.0
    }

    fn family(&mut self, kind: Kind, name: &str, help: &str) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        self.head(name, kind, help);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.put(format_args!("# TYPE {name} {kind}\n"));
        for unit in ["seconds", "bytes"] {
            if name.ends_with(unit) {
                self.put(format_args!("# UNIT {name} {unit}\n"));
            }
        }
        self.put(format_args!("# HELP {name} {help}\n"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String can't fail.
        let _ = self.0.write_fmt(text);
    }
}

const fn end_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "",
        Kind::Counter => "_total",
    }
}

fn labels_of(labels: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for c in scrub(value).chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

/// A bound as OpenMetrics asks for it: with a point or an exponent.
fn seconds(us: u64) -> String {
    let text = format!("{}", us as f64 / 1e6);
    if text.contains('.') { text } else { text + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_page_is_written_as_open_metrics_asks() {
        let times = Histogram::default();
        times.add(Duration::from_millis(2));
        let mut page = Page::default();
        page.one(Kind::Gauge, "umbra_calls", "Live calls.", 7);
        page.rows(
            Kind::Counter,
            "umbra_trunk_calls",
            "By trunk.",
            [(
                vec![("trunk", "a\"b\\c\n".to_owned()), ("way", "in".to_owned())],
                3,
            )],
        );
        page.histogram("umbra_x_seconds", "A time.", &times);
        let text = page.finish();
        for wanted in [
            "# TYPE umbra_calls gauge\n# HELP umbra_calls Live calls.\numbra_calls 7\n",
            "# TYPE umbra_trunk_calls counter\n# HELP umbra_trunk_calls By trunk.\n\
             umbra_trunk_calls_total{trunk=\"a\\\"b\\\\c\\n\",way=\"in\"} 3\n",
            "# TYPE umbra_x_seconds histogram\n# UNIT umbra_x_seconds seconds\n# HELP umbra_x_seconds A time.\n",
            "umbra_x_seconds_bucket{le=\"0.0001\"} 0\n",
            "umbra_x_seconds_bucket{le=\"0.0025\"} 1\n",
            "umbra_x_seconds_bucket{le=\"1.0\"} 1\n",
            "umbra_x_seconds_bucket{le=\"+Inf\"} 1\numbra_x_seconds_sum 0.002\numbra_x_seconds_count 1\n# EOF\n",
        ] {
            assert!(text.contains(wanted), "{wanted}\n---\n{text}");
        }
    }

    #[test]
    fn a_name_that_is_a_number_is_masked_in_a_label() {
        let mut page = Page::default();
        let name = "13800000001".to_owned();
        page.rows(
            Kind::Gauge,
            "umbra_trunk_calls",
            "By trunk.",
            [(vec![("trunk", name)], 1)],
        );
        let text = page.finish();
        assert!(
            !text.contains("13800000001") && text.contains("138****"),
            "{text}"
        );
    }
}

//! A call's messages as a ladder: caller, umbra, callee; one message a rung.

use std::fmt::Write;

use serde_json::Value;

/// Columns between two of the three lifelines.
const SPAN: usize = 26;

/// Draws the lines of a trace as the API gives them (`at_ms`, `leg`, `heading`, `method`, `status`, `sdp`).
pub fn draw(lines: &[Value]) -> String {
    let mut text = format!("{:>9}  {:<SPAN$} {:<SPAN$} callee\n", "ms", "caller", "umbra");
    let blank = " ".repeat(SPAN);
    for line in lines {
        let word = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or("?");
        let mut label = match line.get("status").and_then(Value::as_u64) {
            Some(status) => format!("{status} {}", word("method")),
            None => word("method").to_owned(),
        };
        if line.get("sdp").and_then(Value::as_bool) == Some(true) {
            label.push_str(" SDP");
        }
        let at_ms = line.get("at_ms").and_then(Value::as_f64).unwrap_or(0.0);
        // The caller's leg is the left half, the callee's the right: out of us points away from the middle.
        let (left, right) = match (word("leg"), word("heading")) {
            ("caller", "in") => (arrow(&label, Points::Right), blank.clone()),
            ("caller", _) => (arrow(&label, Points::Left), blank.clone()),
            (_, "out") => (blank.clone(), arrow(&label, Points::Right)),
            (_, _) => (blank.clone(), arrow(&label, Points::Left)),
        };
        writeln!(text, "{at_ms:>9.1}  |{left}|{right}|").expect("writing to a String can't fail");
    }
    text
}

enum Points {
    Left,
    Right,
}

fn arrow(label: &str, points: Points) -> String {
    let shaft = "-".repeat(SPAN.saturating_sub(label.len() + 5));
    match points {
        Points::Right => format!("- {label} -{shaft}>"),
        Points::Left => format!("<{shaft}- {label} -"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_point_the_way_they_went() {
        let line = |at_ms: f64, leg, heading, method, status: Option<u16>, sdp: bool| json!({"at_ms": at_ms, "leg": leg, "heading": heading, "method": method, "status": status, "sdp": sdp});
        let drawn = draw(&[
            line(0.0, "caller", "in", "INVITE", None, true),
            line(0.4, "caller", "out", "INVITE", Some(100), false),
            line(0.9, "callee", "out", "INVITE", None, true),
            line(1234.5, "callee", "in", "INVITE", Some(200), true),
        ]);
        let expected = "       ms  caller                     umbra                      callee
      0.0  |- INVITE SDP ------------>|                          |
      0.4  |<------------ 100 INVITE -|                          |
      0.9  |                          |- INVITE SDP ------------>|
   1234.5  |                          |<-------- 200 INVITE SDP -|
";
        assert_eq!(drawn, expected, "\n{drawn}");
    }
}

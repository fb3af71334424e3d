//! The interop sheet keeps its word: every test that INTEROP.md names exists.

use std::fs;
use std::path::Path;

/// What a line of the sheet says of an RFC's sentence.
const VERDICTS: [&str; 4] = ["done", "refused", "ignored", "not done"];

/// Where ladders are.
const LADDERS: [&str; 2] = ["scenarios", "scenarios/edge"];

/// One row of a table of the sheet.
struct Row {
    line: usize,
    verdict: String,
    tests: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows: `| section | what | verdict, and why | tests |`. A heading and the line under it are none.
fn rows(sheet: &str) -> Vec<Row> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut rows = Vec::new();
    for (index, line) in sheet.lines().enumerate() {
        if !line.starts_with('|') || line.starts_with("|--") || line.starts_with("| § |") {
            continue;
        }
        let cells = cells(line);
        assert_eq!(cells.len(), 4, "INTEROP.md:{}: four columns", index + 1);
        let tests = cells[3].split('`').skip(1).step_by(2).map(str::to_owned);
        rows.push(Row {
            line: index + 1,
            verdict: cells[2].clone(),
            tests: tests.collect(),
        });
    }
    rows
}

/// Whether `name` is a ladder, a SIPp scenario, a test function, or a test of its own.
fn exists(name: &str, sources: &[String]) -> bool {
    let is_ladder = LADDERS
        .iter()
        .any(|folder| root().join(folder).join(format!("{name}.ladder")).is_file());
    let sipp = root().join("scenarios/sipp").join(format!("{name}.xml"));
    let suite = root().join("tests").join(format!("{name}.rs"));
    let function = format!("fn {name}(");
    is_ladder || sipp.is_file() || suite.is_file() || sources.iter().any(|source| source.contains(&function))
}

fn sources(folder: &Path, out: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder of ours").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|end| end == "rs") {
            out.push(fs::read_to_string(&path).expect("a source of ours"));
        }
    }
}

#[test]
fn every_test_that_the_interop_sheet_names_exists() {
    let sheet = fs::read_to_string(root().join("INTEROP.md")).expect("the sheet");
    let mut code = Vec::new();
    sources(&root().join("src"), &mut code);
    sources(&root().join("tests"), &mut code);
    let rows = rows(&sheet);
    assert!(rows.len() > 20, "the sheet was not read");
    let mut faults = Vec::new();
    for row in &rows {
        let verdict = VERDICTS.iter().find(|word| row.verdict.starts_with(**word));
        match verdict {
            None => faults.push(format!("INTEROP.md:{}: says none of {VERDICTS:?}", row.line)),
            Some(&"not done") => {}
            Some(_) if row.tests.is_empty() => {
                faults.push(format!("INTEROP.md:{}: names no test", row.line));
            }
            Some(_) => {}
        }
        for name in row.tests.iter().filter(|name| !exists(name, &code)) {
            faults.push(format!("INTEROP.md:{}: there is no test `{name}`", row.line));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Every ladder is on the sheet: what is tested for a carrier can be looked up by one.
#[test]
fn every_ladder_stands_on_the_interop_sheet() {
    let sheet = fs::read_to_string(root().join("INTEROP.md")).expect("the sheet");
    let named: Vec<String> = rows(&sheet).into_iter().flat_map(|row| row.tests).collect();
    let ladders = LADDERS
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("ladders").flatten());
    let mut missing: Vec<String> = ladders
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let name = name.strip_suffix(".ladder")?;
            (!named.iter().any(|known| known == name)).then(|| name.to_owned())
        })
        .collect();
    missing.sort();
    assert!(missing.is_empty(), "not in INTEROP.md: {}", missing.join(", "));
}

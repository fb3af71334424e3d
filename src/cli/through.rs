//! Tests of whole commands, through the API to a real store and back.

use std::fs;
use std::io::{self, Write};

use clap::Parser;
use serde_json::Value;

use super::{Cli, run};
use crate::api::native::support::{Served, cdr, live_call};
use crate::base::id::Id;

mod files;
mod groups;

/// What the command prints, or its sentence of refusal.
fn umbra(served: &Served, line: &str) -> Result<String, String> {
    let control = served.socket().to_str().unwrap();
    let words = ["umbra", "--control", control]
        .into_iter()
        .chain(line.split_whitespace());
    let cli = Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
    let mut out = Vec::new();
    match run(cli, &mut out) {
        Ok(()) => Ok(String::from_utf8(out).unwrap()),
        Err(fault) => Err(format!("{fault:#}")),
    }
}

fn done(served: &Served, line: &str) -> String {
    umbra(served, line).unwrap_or_else(|fault| panic!("{line}: {fault}"))
}

#[test]
fn the_first_binding_needs_a_number_and_a_bind() {
    let served = Served::start();
    assert_eq!(
        done(&served, "number add 17000000001"),
        "17000000001  pool default  idle\n"
    );
    let line = done(
        &served,
        "bind axb --x 17000000001 --a 13800000001 --b 13900000002 --ttl 1h",
    );
    let id: Id = line.split(' ').next().unwrap().parse().unwrap();
    assert!(
        line.contains("138****0001") && !line.contains("13800000001"),
        "{line}"
    );

    let table = done(&served, "bindings --x 17000000001");
    assert!(
        table.lines().nth(1).unwrap().starts_with(&id.to_string()),
        "{table}"
    );
    assert!(table.contains("139****0002"), "{table}");
    assert!(done(&served, "bindings --full").contains("+8613900000002"));
    let rows: Value = serde_json::from_str(&done(&served, "bindings --json")).unwrap();
    assert_eq!(rows[0]["b"], "+8613900000002");

    let fault = umbra(
        &served,
        "bind axb --x 17000000001 --a 13800000001 --b 13900000009",
    )
    .unwrap_err();
    assert_eq!(
        fault,
        format!("17000000001 already serves 138****0001 (binding {id})")
    );

    let line = done(&served, &format!("update {id} --b 13900000003 --never"));
    assert!(
        line.contains("139****0003") && line.contains("never ends by itself"),
        "{line}"
    );
    assert!(done(&served, "route 17000000001 13900000003").contains("+8613800000001"));
    assert!(
        done(&served, "route 17000000001 13900000009")
            .ends_with("Nobody is reached: no_binding, and the caller gets 404.\n")
    );

    assert_eq!(
        done(&served, "unbind --x 17000000001"),
        format!("{id}  unbound\n")
    );
    assert_eq!(
        umbra(&served, "unbind --x 17000000001").unwrap_err(),
        "nothing is bound to 17000000001"
    );
    assert!(umbra(&served, &format!("unbind {id}")).is_err());
    assert!(done(&served, "bindings --ended").contains("unbound"));
}

#[test]
fn a_pools_key_is_printed_and_serves_as_its_name() {
    let served = Served::start();
    let key = done(&served, "pool add crowd");
    let key = key.trim();
    assert!(key.starts_with("FC") && key.len() == 17, "{key}");
    done(
        &served,
        &format!("number add 17000000001 --pool {key} --trunk carrier"),
    );
    assert!(done(&served, "number list --pool crowd").contains("17000000001  crowd"));
    assert!(done(&served, "pool list").contains(key));
    assert!(
        done(&served, "bind axb --pool crowd --a 13800000001 --b 13900000002").contains(" x 17000000001 ")
    );
    let fault = umbra(&served, "bind axb --pool none --a 13800000001 --b 13900000002").unwrap_err();
    assert_eq!(fault, "there is no pool none");
}

#[test]
fn a_prompt_is_listed_heard_put_and_removed() {
    let served = Served::start();
    done(&served, "pool add crowd");
    let list = done(&served, "prompt list --language en");
    let busy = list.lines().find(|line| line.starts_with("busy ")).unwrap();
    assert!(
        busy.contains(" shipped ") && busy.contains("The person you have called is busy."),
        "{busy}"
    );
    assert!(list.ends_with("not heard: data/prompts/zh/wait.wav: it is no WAV file\n"));
    assert_eq!(done(&served, "prompt list --pool crowd").lines().count(), 2);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("busy.wav");
    let shown = file.display();
    done(
        &served,
        &format!("prompt play busy --language en --output {shown}"),
    );
    let bytes = std::fs::read(&file).unwrap();
    let wav = crate::rtp::wav::read(&bytes).unwrap();
    assert!(wav.rate_hz == 8_000 && wav.samples().len() > 8_000);

    let line = done(
        &served,
        &format!("prompt add busy {shown} --language en --pool crowd"),
    );
    assert!(
        line.starts_with("busy en (pool crowd): ") && line.contains("read as 8 kHz, mono, 16-bit PCM"),
        "{line}"
    );
    assert_eq!(done(&served, "prompt remove busy"), "busy is removed\n");
    assert!(umbra(&served, "prompt remove wait").is_err());
    for (line, said) in [
        (
            format!("prompt add busy {shown} --pool none"),
            "there is no pool none",
        ),
        (
            format!("prompt add busy {shown} --account none"),
            "there is no account none",
        ),
        (format!("prompt add No/Name {shown}"), "small letters"),
        ("prompt play no_such".to_owned(), "there is no such prompt"),
        (
            "prompt add busy Cargo.toml".to_owned(),
            "it is no WAV file: convert it (sox FILE -r 16000 -c 1 NAME.wav)",
        ),
    ] {
        let fault = umbra(&served, &line).unwrap_err();
        assert!(fault.contains(said), "{line}: {fault}");
    }
}

#[test]
fn more_rows_than_a_page_come_all() {
    let served = Served::start();
    for n in 0..1_003 {
        let body = serde_json::json!({"x": format!("1700000{n:04}")});
        assert_eq!(served.post("/v1/numbers", &body).0, 201);
    }
    let rows: Vec<Value> = serde_json::from_str(&done(&served, "number list --json")).unwrap();
    assert_eq!(rows.len(), 1_003);
    assert_eq!(done(&served, "number list").lines().count(), 1_001);
    assert_eq!(done(&served, "number list --limit 2").lines().count(), 3);
}

#[test]
fn records_are_shown_in_the_order_of_time_and_limits_keep_the_last() {
    let served = Served::start();
    let lines: Vec<String> = (0..5).map(|n| serde_json::to_string(&cdr(n)).unwrap()).collect();
    fs::write(
        served.dir().join("cdr/cdr-20261121T100000Z-00000001.jsonl"),
        lines.join("\n") + "\n",
    )
    .unwrap();
    let table = done(&served, "cdr");
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 6, "{table}");
    assert!(rows[1].contains(&cdr(0).call_id.to_string()) && rows[5].contains(&cdr(4).call_id.to_string()));
    assert!(
        table.contains("138****0001") && !table.contains("13800000001"),
        "{table}"
    );
    assert!(done(&served, "cdr --full").contains("+8613800000001"));
    let last = done(&served, "cdr --limit 2 --json");
    let ids: Vec<Value> = last
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["call_id"].clone())
        .collect();
    assert_eq!(ids, [cdr(3).call_id.to_string(), cdr(4).call_id.to_string()]);
    assert_eq!(done(&served, "cdr --json").lines().count(), 5);
    assert_eq!(done(&served, "cdr --x 17000000009").lines().count(), 1);
    let (status, one) = served.get(&format!("/v1/cdrs/{}", cdr(2).call_id));
    assert_eq!(
        (status, &one["call_id"]),
        (200, &Value::from(cdr(2).call_id.to_string()))
    );
}

#[test]
fn a_call_is_listed_and_hung_up_and_its_trace_is_drawn() {
    let served = Served::start();
    assert_eq!(done(&served, "calls").lines().count(), 1);
    let call = live_call();
    served.calls.lock().unwrap().push(call.clone());
    assert!(done(&served, "calls").contains("answered"));
    assert_eq!(
        done(&served, &format!("hangup {}", call.call_id)),
        format!("{}  is being ended\n", call.call_id)
    );
    assert!(done(&served, &format!("trace {}", call.call_id)).contains("umbra"));
    let nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let fault = umbra(&served, &format!("hangup {nobody}")).unwrap_err();
    assert_eq!(fault, format!("there is no call {nobody} in progress"));
}

#[test]
fn the_server_is_asked_for_its_state_its_log_level_and_a_reload() {
    let served = Served::start();
    let status = done(&served, "status");
    assert!(
        status.contains("umbra-1") && status.contains("starting"),
        "{status}"
    );
    for wanted in [
        "umbra.toml, read at the start, ",
        "waits for a restart: store.path",
        "the files have faults now: a restart would fail\n",
        "umbra.toml:2: shards = 0: write 1 to 64",
    ] {
        assert!(status.contains(wanted), "{wanted}: {status}");
    }
    assert_eq!(
        done(&served, "drain"),
        "draining: new calls are refused; calls in progress: 0\n"
    );
    assert_eq!(done(&served, "undrain"), "new calls are taken again\n");
    assert_eq!(
        served.asked.lock().unwrap().drain(..).collect::<Vec<_>>(),
        ["admit draining", "admit serving"]
    );
    assert_eq!(done(&served, "log level debug"), "log level debug\n");
    assert_eq!(
        done(&served, "reload"),
        "reloaded\ntakes effect: log.level, trunk carrier\nwaits for a restart: store.path\n"
    );
    assert!(done(&served, "trunk list").contains("carrier"));
    let tried = done(&served, "trunk try carrier 008613800000001");
    assert!(
        tried.contains("in, dialled: 008613800000001\n  = +8613800000001\n"),
        "{tried}"
    );
    assert!(
        tried.ends_with("number_format national 13800000001\n  = 13800000001\n"),
        "{tried}"
    );
    assert_eq!(served.asked.lock().unwrap()[..], ["log debug", "reload "]);
    let (status, _) = served.post("/v1/stop", &serde_json::json!({"drain_s": 600}));
    assert_eq!(
        (status, served.asked.lock().unwrap().last().unwrap().as_str()),
        (202, "stop 600s")
    );
}

/// Output that a reader closes once it has seen enough lines; at each line the next record is written.
struct Reader<'a> {
    served: &'a Served,
    text: String,
    records: u64,
}

impl Write for Reader<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.text.lines().count() as u64 >= 3 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        write_records(self.served, self.records..self.records + 1);
        self.records += 1;
        Ok(())
    }
}

fn write_records(served: &Served, which: std::ops::Range<u64>) {
    let path = served.dir().join("cdr/cdr-20261121T100000Z-00000001.jsonl.open");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    for n in which {
        writeln!(file, "{}", serde_json::to_string(&cdr(n)).unwrap()).unwrap();
    }
}

#[test]
fn followed_records_come_once_each_as_they_are_written() {
    let served = Served::start();
    write_records(&served, 0..1);
    let mut reader = Reader {
        served: &served,
        text: String::new(),
        records: 1,
    };
    let control = served.socket().to_str().unwrap();
    let words = [
        "umbra",
        "--control",
        control,
        "cdr",
        "--follow",
        "--json",
        "--since",
        "2026-11-21T00:00:00Z",
    ];
    let fault = run(Cli::try_parse_from(words).unwrap(), &mut reader).unwrap_err();
    assert!(super::is_closed_pipe(&fault), "{fault:#}");
    let ids: Vec<Value> = reader
        .text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["call_id"].clone())
        .collect();
    assert_eq!(ids, [0, 1, 2].map(|n| cdr(n).call_id.to_string()));
}

//! Files that take a whole server with them: exports, imports and backups.

use super::*;

fn made(served: &Served, path: &str, body: Value) {
    let (status, answer) = served.post(path, &body);
    assert_eq!(status, 201, "{path}: {answer}");
}

/// Accounts, pools, numbers and bindings of every mode, with every setting that they can have somewhere.
fn furnish(served: &Served) {
    use serde_json::json;
    done(served, "account add acme");
    done(
        served,
        "account set acme --x-per-a 7 --expiry-max 30d --language en --record yes --record-from answer --record-tone caller \
         --recordings-keep-days 90 --recordings-at-least-days 60",
    );
    done(served, "account add idle");
    done(served, "pool add crowd");
    made(
        served,
        "/v1/pools",
        json!({
            "name": "others", "mode": "ax", "account": "acme", "city_rule": "strict", "reuse": "sticky",
            "fallback_cities": ["北京", "a;b"], "callback": "refused", "accept_unidentified": true,
            "quarantine": "24h soft", "free_low_percent": 35, "ring_timeout_s": 45, "language": "zh-hk",
            "record": true, "record_from": "early_media", "record_tone": "both",
        }),
    );
    made(
        served,
        "/v1/pools",
        json!({"name": "pairs", "mode": "axyb", "account": "acme", "relations_per_y": 12, "reuse": "avoid"}),
    );
    made(served, "/v1/pools", json!({"name": "few", "axb_pairs_per_x": 3}));
    for number in [
        json!({"x": "17000000001", "pool": "crowd", "trunks": ["carrier"]}),
        json!({"x": "17000000002", "city": "上海", "operator": "one, two", "tags": ["gold", "a;b", " c"]}),
        json!({"x": "17000000003", "pool": "others", "city": "北京"}),
        json!({"x": "17000000004", "pool": "pairs", "tags": ["y"]}),
        json!({"x": "17000000005", "pool": "pairs"}),
        json!({"x": "17000000006", "pool": "few", "inventory": true}),
        json!({"x": "17000000007", "pool": "few"}),
    ] {
        made(served, "/v1/numbers", number);
    }
    for binding in [
        json!({"mode": "ax", "x": "17000000003", "a": "13800009999", "ttl_s": 864_000, "user_data": " a "}),
        json!({"mode": "axyb", "x": "17000000004", "y": "17000000005", "a": "13800009998", "b": "13900009998",
            "ttl_s": 864_000}),
    ] {
        made(served, "/v1/bindings", binding);
    }
}

#[test]
fn an_export_into_an_empty_server_and_out_again_is_the_same_file() {
    let one = Served::start();
    furnish(&one);
    for n in 0..1_203 {
        let (terms, x) = match n % 4 {
            0 => (r#","order_id":"a, \"b\"","user_data":"订单;1""#, 1 + n / 800),
            1 => (
                r#","direction":"a-to-b","record":true,"max_duration_s":600"#,
                1 + n / 800,
            ),
            2 => (r#","ttl_s":86400,"ring_timeout_s":20"#, 1 + n / 800),
            3 if n % 8 == 3 => (
                r#","last_minute":"both","early_media":"keep","waiting_caller":"wait","waiting_callee":"soon",
                "whisper":"your courier","record":true,"record_tone":"callee""#,
                1 + n / 800,
            ),
            _ => ("", 1 + n / 800),
        };
        let body = format!(r#"{{"mode":"axb","x":"1700000000{x}","a":"138{n:08}","b":"139{n:08}"{terms}}}"#);
        let body: Value = serde_json::from_str(&body).unwrap();
        let (status, answer) = one.post("/v1/bindings", &body);
        assert!(status == 201 || answer["code"] == "pairs_full", "{answer}");
    }
    done(&one, "number lock 17000000001");
    done(&one, "number freeze 17000000002 --cause complaint");
    done(&one, "number lock 17000000003");
    done(&one, "number freeze 17000000003 --cause carrier");
    done(&one, "account suspend acme");
    let first = done(&one, "export");
    assert!(first.lines().count() > 400, "{}", first.lines().count());

    let two = Served::start();
    let file = two.dir().join("bindings.csv");
    fs::write(&file, &first).unwrap();
    let import = format!("import {}", file.display());
    let said = done(&two, &import);
    // The default account and the default pool are always there.
    assert!(said.contains(" made, 2 there already, 0 rejected"), "{said}");
    assert_eq!(done(&two, "export"), first);
    let standing = |served: &Served, path: &str| served.get(path).1["state"].clone();
    for (path, state) in [
        ("/v1/accounts/acme", "suspended"),
        ("/v1/numbers/17000000001", "locked"),
        ("/v1/numbers/17000000002", "frozen"),
        ("/v1/numbers/17000000003", "frozen"),
        ("/v1/numbers/17000000006", "inventory"),
        ("/v1/numbers/17000000007", "idle"),
    ] {
        assert_eq!(standing(&two, path), state, "{path}");
    }
    // Again: nothing changes.
    let seq = two.desk.store.table().seq();
    let said = done(&two, &import);
    assert!(
        said.contains(": 0 made, ") && said.contains(", 0 rejected"),
        "{said}"
    );
    assert_eq!(two.desk.store.table().seq(), seq);
    // Frozen while it was locked, it is locked again.
    assert_eq!(two.get("/v1/numbers/17000000003").1["thaws_to"], "locked");

    let place = two.dir().join("out.csv");
    let said = done(&two, &format!("export {}", place.display()));
    assert!(said.contains("holds real numbers"), "{said}");
    assert_eq!(fs::read_to_string(&place).unwrap(), first);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&place).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn bad_rows_are_named_with_line_and_cure_and_can_be_put_right_in_a_file_of_their_own() {
    let served = Served::start();
    done(&served, "number add 17000000001");
    let file = served.dir().join("mine.csv");
    fs::write(
        &file,
        "mode,x,a,b,user_data\n\
         axb,17000000001,13800000001,13900000002,one\n\
         axb,17000000009,13800000003,13900000004,no such number\n\
         axb,17000000001,13800000001,13900000005,taken\n\
         axb,17000000001,13800000006\n\
         axb,17000000001,thirteen,13900000008,\"no, number\"\n\
         axb,17000000001,13800000009,13900000010,two\n",
    )
    .unwrap();
    let fault = umbra(&served, &format!("import {}", file.display())).unwrap_err();
    let rejected = served.dir().join("mine.rejected.csv");
    assert!(
        fault.starts_with("4 rows were rejected: they are in ") && fault.contains("mine.rejected.csv"),
        "{fault}"
    );
    let text = fs::read_to_string(&rejected).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "mode,x,a,b,user_data,rejected");
    for (line, number, words) in [
        (1, 5, "it has 3 cells, and the header has 5"),
        (2, 6, "correct that cell"),
        (
            3,
            3,
            "17000000009 is not a number of this server: add the number first",
        ),
        (4, 4, "already serves 138****0001"),
    ] {
        let all = text
            .lines()
            .find(|l| l.contains(&format!("mine.csv:{number}: ")))
            .unwrap_or_else(|| panic!("{line}: {text}"));
        assert!(all.contains(words), "{all}");
        assert!(
            !all.split("mine.csv:").nth(1).unwrap().contains("13800000001"),
            "{all}"
        );
    }
    assert_eq!(done(&served, "bindings").lines().count(), 1 + 2);
    // Put right, the file of the rejected goes in, and the whole one changes nothing.
    let right = text
        .replace("17000000009", "17000000001")
        .replace(
            "axb,17000000001,13800000006,",
            "axb,17000000001,13800000006,13900000007,,",
        )
        .replace("thirteen", "13800000007")
        .replace("13800000001,13900000005", "13800000011,13900000012");
    fs::write(&rejected, right).unwrap();
    let said = done(&served, &format!("import {}", rejected.display()));
    assert!(said.contains("4 made, 0 there already, 0 rejected"), "{said}");
    let unknown = served.dir().join("unknown.csv");
    fs::write(&unknown, "mode,x,a,b,colour\n").unwrap();
    let fault = umbra(&served, &format!("import {}", unknown.display())).unwrap_err();
    assert!(
        fault.contains("unknown.csv:1: there is no column colour: the columns are kind, id, "),
        "{fault}"
    );
}

#[test]
fn a_backup_is_restored_while_the_server_runs_and_it_is_said_first_what_would_be_done() {
    let served = Served::start();
    done(&served, "number add 17000000001");
    let bind = |a: &str, b: &str| {
        let line = done(&served, &format!("bind axb --x 17000000001 --a {a} --b {b}"));
        line.split(' ').next().unwrap().to_owned()
    };
    let kept = bind("13800000001", "13900000001");
    let parted = bind("13800000002", "13900000002");
    let changed = bind("13800000003", "13900000003");
    let place = served.dir().join("backup");
    let said = done(&served, &format!("backup {}", place.display()));
    assert!(said.contains("3 live bindings, 0 ended, 1 number, "), "{said}");

    done(&served, &format!("unbind {parted}"));
    done(&served, &format!("update {changed} --b 13900000009"));
    let new = bind("13800000004", "13900000002");
    let before = done(&served, "bindings --json");

    let restore = format!("restore {}", place.display());
    let said = done(&served, &restore);
    let count = |what: &str| -> u64 {
        let line = said
            .lines()
            .find(|line| line.starts_with(what))
            .unwrap_or_else(|| panic!("{what}: {said}"));
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    assert_eq!(count("bindings that stay"), 1);
    assert_eq!(count("unbound or expired since"), 1);
    assert_eq!(count("changed since"), 1);
    assert_eq!(count("made since"), 1);
    assert!(said.ends_with("nothing was changed: --yes does it\n"), "{said}");
    assert_eq!(done(&served, "bindings --json"), before);

    let said = done(&served, &format!("{restore} --yes"));
    assert!(said.contains("3 bindings changed, 0 refused"), "{said}");
    let rows: Vec<Value> = serde_json::from_str(&done(&served, "bindings --json")).unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let mut expected = vec![kept.as_str(), &parted, &changed];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let of = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap()["b"].clone();
    assert_eq!(
        (of(&parted), of(&changed)),
        ("+8613900000002".into(), "+8613900000003".into())
    );
    assert!(done(&served, "bindings --ended").contains(&new));
    let said = done(&served, &format!("{restore} --yes"));
    assert!(said.contains("0 bindings changed, 0 refused"), "{said}");
    assert!(done(&served, "route 17000000001 13900000003").contains("+8613800000003"));

    fs::remove_file(place.join("manifest.json")).unwrap();
    let fault = umbra(&served, &format!("{restore} --yes")).unwrap_err();
    assert!(fault.contains("half of one"), "{fault}");
}

#[test]
fn a_backup_brings_back_every_setting_of_every_mode_even_of_an_account_that_is_suspended() {
    use crate::masking::change::Record;
    let one = Served::start();
    furnish(&one);
    done(&one, "number lock 17000000003");
    done(&one, "number freeze 17000000005 --cause complaint");
    done(&one, "account suspend acme");
    let place = one.dir().join("backup");
    done(&one, &format!("backup {}", place.display()));
    let two = Served::start();
    let said = done(&two, &format!("restore {} --yes", place.display()));
    assert!(said.contains("2 bindings changed, 0 refused"), "{said}");
    let stock = |served: &Served| -> Vec<Record> {
        let records = served.desk.store.table().records();
        records
            .filter(|record| matches!(record, Record::Account(_) | Record::Pool(_) | Record::Number(_)))
            .collect()
    };
    assert_eq!(stock(&two), stock(&one));
    assert_eq!(done(&two, "export"), done(&one, "export"));
}

#[test]
fn a_state_row_takes_out_of_service_and_never_puts_back() {
    let served = Served::start();
    done(&served, "account add acme");
    done(&served, "account add other");
    done(&served, "account suspend other");
    for x in ["17000000001", "17000000002", "17000000003"] {
        done(&served, &format!("number add {x}"));
    }
    done(&served, "number lock 17000000002");
    let file = served.dir().join("states.csv");
    fs::write(
        &file,
        "kind,x,name,state,cause\n\
         state,17000000001,,frozen,complaint\n\
         state,17000000002,,locked,\n\
         state,,acme,suspended,\n\
         state,,other,suspended,\n\
         state,17000000001,,locked,\n\
         state,17000000003,,suspended,\n\
         state,,acme,frozen,\n\
         state,,other,active,\n\
         state,17000000003,acme,locked,\n\
         state,,,locked,\n",
    )
    .unwrap();
    let fault = umbra(&served, &format!("import {}", file.display())).unwrap_err();
    assert!(fault.starts_with("6 rows were rejected"), "{fault}");
    let rejected = fs::read_to_string(served.dir().join("states.rejected.csv")).unwrap();
    for (line, words) in [
        (6, "there already, with another state"),
        (7, "its state is none"),
        (8, "its state is none"),
        (9, "its state is none"),
        (10, "it has an x and a name"),
        (
            11,
            "it names neither an x nor the name of an account: fill that cell",
        ),
    ] {
        let found = rejected
            .lines()
            .find(|row| row.contains(&format!("states.csv:{line}: ")));
        assert!(found.is_some_and(|row| row.contains(words)), "{line}: {rejected}");
    }
    assert_eq!(served.get("/v1/accounts/acme").1["state"], "suspended");
    assert_eq!(served.get("/v1/numbers/17000000001").1["cause"], "complaint");
    assert_eq!(served.get("/v1/numbers/17000000003").1["state"], "idle");
}

/// Whoever gives accounts, pools, numbers or bindings a field decides here whether it belongs into the CSV file
/// (`csv_file::Kind::columns`, and then the way back) or follows from others.
#[test]
fn every_field_of_a_listing_is_a_column_of_the_export_or_follows_from_others() {
    use crate::cli::csv_file::Kind;
    let served = Served::start();
    done(&served, "number add 17000000001");
    done(
        &served,
        "bind axb --x 17000000001 --a 13800000001 --b 13900000002",
    );
    for (path, name, kinds, follow) in [
        (
            "/v1/accounts",
            "accounts",
            &[Kind::Account, Kind::State][..],
            &["created_at"][..],
        ),
        (
            "/v1/pools",
            "pools",
            &[Kind::Pool][..],
            &["key", "created_at", "ask_secret_set"][..],
        ),
        (
            "/v1/numbers",
            "numbers",
            &[Kind::Number, Kind::State],
            &["pool_key", "account", "class", "bindings", "added_at", "thaws_to"],
        ),
        (
            "/v1/bindings",
            "bindings",
            &[Kind::Binding],
            &[
                "version",
                "state",
                "account",
                "pool",
                "pool_key",
                "group_name",
                "updated_at",
                "ended_at",
            ],
        ),
    ] {
        let (_, page) = served.get(path);
        for field in page[name][0].as_object().unwrap().keys().map(String::as_str) {
            let is_column = kinds.iter().any(|kind| kind.columns().contains(&field));
            assert!(is_column || follow.contains(&field), "{path}: {field}");
        }
    }
}

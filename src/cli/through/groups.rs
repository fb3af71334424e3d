//! Groups, work numbers and 400 numbers, from their making to an export and a backup.

use super::*;
use crate::base::number::{NumberPlan, RealNumber};
use crate::base::time::Wall;
use crate::masking::change::Record;
use crate::masking::group::{Group, GroupId, Membership};

#[test]
fn a_group_is_made_bound_and_changed_while_it_is_bound() {
    let served = Served::start();
    done(&served, "pool add couriers --mode axg");
    done(&served, "number add 17000000001 --pool couriers");
    let made = done(&served, "group add east --pool couriers 13900000002 13700000003");
    assert_eq!(made, "10000001  east  pool couriers  2 members\n");
    let bound = done(&served, "bind axg --x 17000000001 --a 13800000001 --group east");
    assert!(bound.trim_end().ends_with("group 10000001"), "{bound}");
    let route = |caller: &str| done(&served, &format!("route 17000000001 {caller}"));
    assert!(
        route("13600000004").contains("not bound"),
        "{}",
        route("13600000004")
    );
    done(&served, "group join east 13600000004");
    assert!(
        route("13600000004").contains("is a member of the group of axg binding"),
        "{}",
        route("13600000004")
    );
    done(&served, "group leave east 13900000002");
    let members = done(&served, "group members east");
    assert!(
        members.contains("137****0003") && !members.contains("139****0002"),
        "{members}"
    );
    let fault = umbra(&served, "group remove east").unwrap_err();
    assert!(fault.contains("still has bindings"), "{fault}");
    let fault = umbra(&served, "group join east 13800000001").unwrap_err();
    assert!(
        fault.contains("138****0001") && fault.contains("can't be a member"),
        "{fault}"
    );
    let fault = umbra(&served, "group show west").unwrap_err();
    assert!(fault.contains("there is no group west"), "{fault}");
}

#[test]
fn groups_and_what_is_bound_to_them_come_back_from_a_file_and_from_a_backup() {
    let one = Served::start();
    for line in [
        "pool add couriers --mode gxb",
        "pool add staff --mode xb",
        "pool add service --mode 400",
        "number add 17000000001 --pool couriers",
        "number add 17000000002 --pool staff",
        "number add 4001234567 --pool service",
        "group add east --pool couriers 13900000002 13700000003 --default 13700000003",
        "bind gxb --x 17000000001 --group east --b 13800000001",
        "bind xb --x 17000000002 --b 13800000001 --ring 13600000004,13500000005 --ring-each 10s",
        "bind xb --x 17000000002 --a 13400000006",
        "bind 400 --x 4001234567 --base 13800000001 --menu welcome --choice 2=13800000001 \
         --choice 10=13900000002,13700000003 --choice *=13600000004 --menu-default 2",
        "pool set staff --question rate --question-to both",
        "bind xb --x 17000000002 --a 13400000007 --question thanks --question-keys 1#",
        "bind xb --x 17000000002 --a 13400000008 --question=",
    ] {
        done(&one, line);
    }
    let file = one.dir().join("all.csv");
    done(&one, &format!("export {}", file.display()));
    let two = Served::start();
    let import = format!("import {}", file.display());
    let said = done(&two, &import);
    assert!(
        !said.contains("rejected") || said.contains("0 rejected"),
        "{said}"
    );
    assert_eq!(done(&two, "export"), done(&one, "export"));
    done(&two, &import);
    assert_eq!(done(&two, "export"), done(&one, "export"));

    let place = one.dir().join("backup");
    done(&one, &format!("backup {}", place.display()));
    let three = Served::start();
    done(&three, &format!("restore {} --yes", place.display()));
    assert_eq!(done(&three, "export"), done(&one, "export"));
    let route = done(&three, "route 4001234567 13500000005 --digits 10");
    assert!(route.contains("then it goes on to: +8613700000003"), "{route}");
    let shown = done(&three, "group show east");
    assert!(shown.contains("2 members  default 137****0003"), "{shown}");
}

#[test]
fn a_menu_is_bound_shown_tried_and_taken_away() {
    let served = Served::start();
    done(&served, "pool add service --mode 400");
    done(&served, "number add 4001234567 --pool service");
    let bind = "bind 400 --x 4001234567 --base 13800000001 --menu welcome";
    let fault = umbra(
        &served,
        &format!("{bind} --choice 1=13900000002 --choice 12=13700000003"),
    )
    .unwrap_err();
    assert!(fault.contains("12 begins with 1"), "{fault}");
    let fault = umbra(
        &served,
        &format!("{bind} --choice 1=13900000002 --choice 1=13700000003"),
    )
    .unwrap_err();
    assert!(fault.contains("--choice 1 is named twice"), "{fault}");
    let fault = umbra(&served, &format!("{bind} --choice 1=4001234567")).unwrap_err();
    assert!(fault.contains("a number of this server"), "{fault}");
    let made = done(
        &served,
        &format!("{bind} --choice 1=13900000002 --choice 2=13700000003"),
    );
    let id = made.split_whitespace().next().expect("its id").to_owned();
    let route = |digits: &str| done(&served, &format!("route 4001234567 13600000004{digits}"));
    assert!(
        route("").contains("1 for +8613900000002; 2 for +8613700000003"),
        "{}",
        route("")
    );
    assert!(
        route(" --digits 2").contains("goes to +8613700000003"),
        "{}",
        route(" --digits 2")
    );
    done(
        &served,
        &format!("update {id} --menu other --choice 3=13700000003 --menu-default 3"),
    );
    assert!(route("").contains("as good as 3"), "{}", route(""));
    done(&served, &format!("update {id} --no-menu"));
    assert!(route("").contains("goes to +8613800000001"), "{}", route(""));
}

#[test]
fn a_question_at_the_end_is_the_bindings_own_or_its_pools() {
    let served = Served::start();
    done(&served, "number add 17000000001");
    done(
        &served,
        "pool set default --question-keys 12345 --question-to both",
    );
    let shown = done(&served, "pool show default --json");
    assert!(
        shown.contains(r#""question": "question""#) && shown.contains(r#""question_keys": "12345""#),
        "{shown}"
    );
    let bind = "bind axb --x 17000000001 --a 13800000001 --b 13900000002 --json";
    let made: serde_json::Value = serde_json::from_str(&done(&served, bind)).expect("JSON");
    let said = |of: &serde_json::Value| {
        ["question", "question_to", "question_keys", "question_loops"].map(|name| of[name].to_string())
    };
    assert_eq!(said(&made), ["null"; 4], "its pool's");
    let id = made["id"].as_str().expect("an id");
    let update = |options: &str| {
        let text = done(&served, &format!("update {id} {options} --json"));
        said(&serde_json::from_str(&text).expect("JSON"))
    };
    assert_eq!(
        update("--question rate --question-loops 5"),
        ["\"rate\"", "\"caller\"", "\"123\"", "5"]
    );
    let nobody = ["null", "\"nobody\"", "null", "null"];
    assert_eq!(update("--question="), nobody);
    assert_eq!(update("--question-to pool"), ["null"; 4]);
    assert_eq!(update("--question-to nobody"), nobody);

    let fault = umbra(
        &served,
        &format!("update {id} --question-to nobody --question rate"),
    )
    .unwrap_err();
    assert!(fault.contains("question_to"), "{fault}");
}

#[test]
fn groups_of_one_name_and_of_none_come_back_each_in_its_pool() {
    let one = Served::start();
    for line in [
        "pool add first --mode axg",
        "pool add second --mode axg",
        "number add 17000000001 --pool first",
        "number add 17000000002 --pool second",
        "number add 17000000003 --pool second",
        "group add gone --pool first 13100000001",
        "group remove gone",
        "group add east --pool first 13900000002",
        "group add east --pool second 13700000003",
        "bind axg --x 17000000001 --a 13800000001 --group first/east",
        "bind axg --x 17000000002 --a 13800000001 --group second/east",
    ] {
        done(&one, line);
    }
    let body = serde_json::json!({"pool": "second", "numbers": ["13600000004"]});
    let (status, made) = one.post("/v1/groups", &body);
    assert_eq!((status, &made["name"]), (201, &"g10000004".into()), "{made}");
    let bind =
        serde_json::json!({"mode": "axg", "x": "17000000003", "a": "13800000001", "group": made["id"]});
    let (status, made) = one.post("/v1/bindings", &bind);
    assert_eq!(status, 201, "{made}");
    let several = umbra(&one, "group show east").unwrap_err();
    assert!(several.contains("POOL/NAME"), "{several}");
    let like_an_id = umbra(&one, "group add 10000009 --pool first 13100000001").unwrap_err();
    assert!(like_an_id.contains("name"), "{like_an_id}");

    let file = one.dir().join("all.csv");
    done(&one, &format!("export {}", file.display()));
    let two = Served::start();
    done(&two, &format!("import {}", file.display()));
    assert_eq!(done(&two, "export"), done(&one, "export"));
    let reached = |x: &str, caller: &str| !done(&two, &format!("route {x} {caller}")).contains("not bound");
    assert!(reached("17000000001", "13900000002") && !reached("17000000001", "13700000003"));
    assert!(reached("17000000002", "13700000003") && !reached("17000000002", "13900000002"));
    assert!(reached("17000000003", "13600000004"));
}

#[test]
fn a_backup_restored_onto_another_server_never_joins_a_group_there_that_has_the_same_id() {
    let lines = |member: &str, x: &str| {
        [
            "pool add couriers --mode axg".to_owned(),
            format!("number add {x} --pool couriers"),
            format!("group add east --pool couriers {member}"),
            format!("bind axg --x {x} --a 13800000001 --group east"),
        ]
    };
    let (here, there) = (Served::start(), Served::start());
    // Theirs is the older one, so that no time tells.
    for line in lines("13700000003", "17000000001") {
        done(&here, &line);
    }
    for line in lines("13900000002", "17000000001") {
        done(&there, &line);
    }
    let members = done(&here, "group members east");
    for server in [&here, &there] {
        assert!(done(server, "group show east").starts_with("10000001 "));
    }
    let place = there.dir().join("backup");
    done(&there, &format!("backup {}", place.display()));
    // What is bound here goes by it, so that X is free for what comes back.
    let fault = umbra(&here, &format!("restore {} --yes", place.display())).unwrap_err();
    assert!(fault.contains("records of the backup were refused"), "{fault}");
    assert_eq!(done(&here, "group members east"), members);
    for caller in ["13700000003", "13900000002"] {
        let routed = done(&here, &format!("route 17000000001 {caller}"));
        assert!(!routed.contains("The call goes to"), "{routed}");
    }
    let (status, said) = here.post(
        "/v1/bindings:restore",
        &serde_json::json!({"records": [], "groups": ["zz"]}),
    );
    assert_eq!((status, &said["field"]), (400, &"groups".into()), "{said}");
}

#[test]
fn records_of_a_backup_that_come_without_their_group_are_told_so() {
    let group = Group {
        id: GroupId::FIRST,
        version: 1,
        name: "east".into(),
        pool: "couriers".into(),
        account: "default".into(),
        created: Wall::from_millis(1_795_000_000_000),
        members: 1,
        default: None,
        ended: None,
    };
    let member = Membership {
        group: group.id,
        number: RealNumber::new(NumberPlan::default().normalise("13900000002").expect("a number")),
        version: 1,
        since: group.created,
        until: Wall::NEVER,
    };
    let hex = |record: &Record| {
        let mut bytes = Vec::new();
        record.encode_value(&mut bytes);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        digits
    };
    let member = hex(&Record::Member(member));
    let served = Served::start();
    for line in [
        "pool add couriers --mode axg",
        "group add east --pool couriers 13700000003",
    ] {
        done(&served, line);
    }
    let restore = |body: serde_json::Value| served.post("/v1/bindings:restore", &body);
    let (_, said) = restore(serde_json::json!({"records": [member]}));
    let error = &said["refused"][0]["error"];
    assert_eq!(
        (&error["code"], &error["field"]),
        (&"missing_field".into(), &"groups".into()),
        "{said}"
    );
    let of = hex(&Record::Group(group));
    let (_, said) = restore(serde_json::json!({"records": [member], "groups": [of]}));
    assert_eq!(said["refused"][0]["error"]["code"], "id_taken", "{said}");
    // What is no group is not passed over.
    let (status, said) = restore(serde_json::json!({"records": [member], "groups": [of, member]}));
    assert_eq!(
        (status, &said["code"], &said["field"]),
        (400, &"bad_field".into(), &"groups".into()),
        "{said}"
    );
}

//! Whose recordings are meant: by a call, a binding, or a number that took part; and their end.

use super::*;
use crate::api::native::support::live_call;
use crate::call::port::CallView;
use crate::records::cdr_file::{self, Writer};

impl Served {
    /// The recordings of that number's calls.
    fn of(&self, number: &str) -> Vec<String> {
        ids(&self.get(&format!("/v1/recordings?number={number}")).1)
    }

    /// What became of those that are erased.
    fn erase(&self, body: &Value) -> Vec<(String, String)> {
        let (_, outcome) = self.post("/v1/recordings/erase", body);
        let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
        let erased = outcome["erased"].as_array().unwrap().iter();
        erased.map(|one| (text(one, "id"), text(one, "became"))).collect()
    }
}

#[test]
fn a_recording_is_erased_when_it_may_be_and_not_before() {
    let served = Served::start();
    recorded(&served.recordings(), &begin(1), 3);
    let pen = begun(&served.recordings(), &begin(2), 1);
    let served = served.looked();
    let path = format!("/v1/recordings/{}", id(1));
    let (status, fault) = served.ask("DELETE", &path, &Value::Null);
    assert_eq!((status, &fault["code"]), (409, &json!("not_before")));
    assert_eq!(fault["not_before"], json!("2026-12-01T10:00:03.000Z"), "{fault}");
    assert_eq!(served.get(&path).0, 200);
    let (status, fault) = served.ask("DELETE", &format!("/v1/recordings/{}", id(2)), &Value::Null);
    assert_eq!((status, &fault["code"]), (409, &json!("running")));
    served.at(after(3).plus(DAY * 10));
    let (status, gone) = served.ask("DELETE", &path, &Value::Null);
    assert_eq!((status, gone), (200, json!({"id": id(1), "became": "gone"})));
    assert_eq!(served.get(&path).0, 404);
    assert_eq!(served.ask("DELETE", &path, &Value::Null).0, 404);
    assert_eq!(ids(&served.get("/v1/recordings").1), latest_first(&[2]));
    let noted = served.noted();
    let of = |outcome: &str| format!("control erase {}: {outcome}", id(1));
    for outcome in ["asked of 1", "not before", "gone", "absent"] {
        assert!(noted.contains(&of(outcome)), "{outcome}: {noted:?}");
    }
    drop(pen);
}

#[test]
fn the_recordings_of_a_call_a_binding_or_whoever_took_part_are_erased_together() {
    let served = Served::start();
    // Of the calls 101 to 103 the first two were with A.
    let begins = [1, 2, 3].map(|number| Begin {
        call: cdr(number).call_id,
        ..begin(number)
    });
    let mut records: Vec<_> = [1, 2, 3].map(cdr).into();
    records[2].caller = records[0].x;
    let lines: String = records
        .iter()
        .map(|record| format!("{}\n", serde_json::to_string(record).unwrap()))
        .collect();
    fs::write(
        served.dir().join("cdr/cdr-20261121T100000Z-00000001.jsonl"),
        lines,
    )
    .unwrap();
    for begin in &begins {
        recorded(&served.recordings(), begin, 3);
    }
    let served = served.looked();
    assert_eq!(served.of("13800000001"), latest_first(&[1, 2]));
    assert_eq!(
        served.of("%2B8613900000002"),
        latest_first(&[1, 2, 3]),
        "the called one took part"
    );
    assert_eq!(
        served.of("17000000001"),
        latest_first(&[1, 2, 3]),
        "a virtual number too"
    );
    assert_eq!(served.of("13800000009"), latest_first(&[]));

    let erase = |body: Value| served.post("/v1/recordings/erase", &body);
    let (_, early) = erase(json!({"number": "13800000001"}));
    let early = early["erased"].as_array().unwrap().clone();
    assert_eq!(early.len(), 2);
    assert!(
        early
            .iter()
            .all(|one| one["became"] == "not_before" && one["not_before"] == "2026-12-01T10:00:03.000Z")
    );
    served.at(after(3).plus(DAY * 10));
    let (_, gone) = erase(json!({"number": "13800000001"}));
    assert_eq!(
        gone["erased"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["became"] == "gone")
            .count(),
        2
    );
    assert_eq!(ids(&served.get("/v1/recordings").1), latest_first(&[3]));
    let (_, gone) = erase(json!({"call_id": begins[2].call}));
    assert_eq!(gone["erased"], json!([{"id": id(3), "became": "gone"}]));
    assert_eq!(erase(json!({"binding_id": id(2_000)})).1["erased"], json!([]));
    assert_eq!(erase(json!({})).0, 400);
    assert_eq!(erase(json!({"call_id": id(1), "binding_id": id(1)})).0, 400);
    assert!(
        !served.noted().iter().any(|line| line.contains("138")),
        "no number is in the log"
    );
}

#[test]
fn a_number_finds_the_calls_in_progress_and_those_whose_records_wait_for_the_disk() {
    let served = Served::start();
    let begins = [1, 2, 3].map(|number| Begin {
        call: cdr(number).call_id,
        ..begin(number)
    });
    let pens = [1, 2].map(|n| begun(&served.recordings(), &begins[n], 1));
    recorded(&served.recordings(), &begins[0], 3);
    let served = served.looked();
    assert_eq!(
        served.of("13800000001"),
        latest_first(&[]),
        "nothing is known of them"
    );

    // The first call is over, and the disk takes no records.
    let folder = served.dir().join("waiting");
    let config = cdr_file::Config {
        dir: folder.clone(),
        rotate: DAY,
        keep_days: 1,
    };
    let writer = Arc::new(Writer::start(config, || None, |_| ()).unwrap().0);
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in its place").unwrap();
    served.desk.archive.ask_too(&writer);
    writer.write(cdr(1).line());
    assert_eq!(served.of("13800000001"), latest_first(&[1]));

    // The second goes on, and so does the third, which is somebody else's.
    let live = [(1, "138****0001"), (2, "137****0005")].map(|(n, caller)| CallView {
        call_id: begins[n].call,
        caller: caller.into(),
        ..live_call()
    });
    served.calls.lock().unwrap().extend(live);
    assert_eq!(served.of("13800000001"), latest_first(&[1, 2]));
    let became = served.erase(&json!({"number": "13800000001"}));
    let [first, second] = [1, 2].map(|number| id(number).to_string());
    assert_eq!(
        became,
        [(first, "not_before".into()), (second.clone(), "running".into())]
    );
    assert_eq!(
        served.erase(&json!({"number": "13700000005"})),
        [(id(3).to_string(), "running".into())]
    );
    let account = served.noted();
    assert!(account.contains(&format!("control erase {second}: running")));
    assert!(
        !account
            .iter()
            .any(|line| line.contains("138") || line.contains("137"))
    );
    drop(pens);
}

#[test]
fn what_lies_beside_a_recording_goes_with_it_and_is_kept_as_long() {
    let aside = aside_of(id(1));
    let beside = Begin {
        recording: aside,
        ..begin(1)
    };
    let served = Served::with(&[begin(1), beside, begin(2)]);
    let path = format!("/v1/recordings/{}", id(1));
    let of_call = format!("/v1/recordings?call_id={}", id(1_001));
    assert_eq!(ids(&served.get(&of_call).1).len(), 2);
    let (status, fault) = served.ask("DELETE", &path, &Value::Null);
    assert_eq!((status, &fault["code"]), (409, &json!("not_before")));
    assert_eq!(ids(&served.get(&of_call).1).len(), 2);
    served.at(after(3).plus(DAY * 10));
    let (status, gone) = served.ask("DELETE", &path, &Value::Null);
    assert_eq!((status, gone), (200, json!({"id": id(1), "became": "gone"})));
    assert_eq!(ids(&served.get("/v1/recordings").1), latest_first(&[2]));
    let noted = served.noted();
    for recording in [id(1), aside] {
        assert!(
            noted.contains(&format!("control erase {recording}: gone")),
            "{noted:?}"
        );
    }
}

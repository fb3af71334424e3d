//! What becomes of recordings that somebody wants erased, and whose they are.

use super::*;
use crate::records::archive::News;
use crate::records::recordings::chain::Head;

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
    for outcome in ["asked of 1", "not before", "goes", "gone", "absent"] {
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
    served.records("cdr-20261121T100000Z-00000001.jsonl", &records);
    for begin in &begins {
        recorded(&served.recordings(), begin, 3);
    }
    let served = served.looked();
    let of = |number: &str| ids(&served.get(&format!("/v1/recordings?number={number}")).1);
    assert_eq!(of("13800000001"), latest_first(&[1, 2]));
    assert_eq!(
        of("%2B8613900000002"),
        latest_first(&[1, 2, 3]),
        "the called one took part"
    );
    assert_eq!(
        of("17000000001"),
        latest_first(&[1, 2, 3]),
        "a virtual number too"
    );
    assert_eq!(of("13800000009"), latest_first(&[]));

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
fn a_recording_whose_chain_can_t_be_read_is_found_by_the_record_that_names_it() {
    let served = Served::start();
    let (place, _) = recorded(&served.recordings(), &begin(1), 3);
    let mut record = cdr(1);
    record.recording.id = Some(id(1));
    served.records("cdr-20261121T100000Z-00000001.jsonl", &[record]);
    fs::write(place.day.join(format!("{}.chain", id(1))), "torn").unwrap();
    let served = served.looked();
    let of = |number: &str| ids(&served.get(&format!("/v1/recordings?number={number}")).1);
    assert_eq!(of("13800000001"), latest_first(&[1]));
    assert_eq!(of("13800000009"), latest_first(&[]));
    let of_its_id = served.get(&format!("/v1/recordings?call_id={}", id(1))).1;
    assert_eq!(ids(&of_its_id), latest_first(&[1]));
}

#[test]
fn where_the_records_don_t_reach_back_or_can_t_be_read_the_answer_says_so() {
    let served = Served::start();
    recorded(&served.recordings(), &begin(1), 3);
    let served = served.looked();
    let ask = |path: &str| {
        let list = served.get("/v1/recordings?number=13800000001").1;
        let erase = served.post(path, &json!({"number": "13800000001"})).1;
        let of =
            |answer: &Value| [&answer["searched_since"], &answer["unreadable_records"]].map(Value::clone);
        assert_eq!(of(&list), of(&erase));
        let [since, unreadable] = of(&erase);
        let warning = erase["warning"].as_str().unwrap_or_default().to_owned();
        (since, unreadable, warning)
    };
    let ask = || ask("/v1/recordings/erase");
    // Nobody has them any more.
    let (since, _, warning) = ask();
    assert_eq!(since, json!("2026-11-21T10:01:00.000Z"));
    assert!(
        warning.contains("searched from 2026-11-21T10:01:00.000Z on"),
        "{warning}"
    );
    // From the first one on.
    served.records("cdr-20261121T100100Z-00000001.jsonl", &[cdr(1)]);
    assert_eq!(ask(), (Value::Null, Value::Null, String::new()));
    served.records("cdr-20261121T110000Z-00000003.jsonl", &[cdr(2)]);
    assert_eq!(ask().0, json!("2026-11-21T11:00:00.000Z"));
    served.records("cdr-20261121T101500Z-00000002.jsonl", &[]);
    let torn = served.dir().join("cdr/cdr-20261121T101500Z-00000002.jsonl");
    fs::write(torn, "\0\0\0\0\n{\"caller\":\"138").unwrap();
    let (since, unreadable, warning) = ask();
    assert_eq!((since, unreadable), (Value::Null, json!(1)));
    assert!(
        warning.contains("1 lines of the records of calls can't be read"),
        "{warning}"
    );
}

#[test]
fn of_many_a_thousand_are_looked_at_and_the_rest_behind_them() {
    let served = Served::start();
    let pen = begun(&served.recordings(), &begin(1), 1);
    let served = served.looked();
    for number in 2..=1_001 {
        let head = Head {
            recording: id(number),
            ..pen.head().clone()
        };
        served.desk.archive.tell(News::Begun(Box::new(head)));
    }
    let ask = |after: Option<&Value>| {
        let mut body = json!({"binding_id": id(2_000)});
        if let Some(after) = after {
            body["after"] = after.clone();
        }
        let (status, answer) = served.post("/v1/recordings/erase", &body);
        assert_eq!(status, 200, "{answer}");
        let count = answer["erased"].as_array().unwrap().len();
        (count, answer["more"].clone(), answer.get("next").cloned())
    };
    let (count, more, next) = ask(None);
    assert_eq!((count, more), (1_000, json!(true)));
    assert_eq!(ask(next.as_ref()), (1, json!(false), None));
    let asked = served
        .noted()
        .iter()
        .filter(|line| line.contains("asked of 1"))
        .count();
    assert_eq!(asked, 2);
}

#[test]
fn what_was_opened_before_it_was_erased_isn_t_given_after() {
    let served = Served::with(&[begin(1)]);
    let (archive, now) = (&served.desk.archive, after(3).plus(DAY * 10));
    let opened = archive
        .open(Who::Control, now, id(1), archive::Part::Audio)
        .unwrap();
    archive
        .note_read(Who::Control, now, &opened, None, "all")
        .unwrap();
    let erasing = archive
        .erase(Who::Control, now, Which::Recording(id(1)), None)
        .unwrap();
    assert_eq!(erasing.erased, [(id(1), Erased::Gone)]);
    let refused = archive.note_read(Who::Control, now, &opened, None, "all");
    assert!(matches!(refused, Err(archive::Error::Absent(_))), "{refused:?}");
}

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::api::native::support::{Served, cdr, key};
use crate::call::cdr::Cdr;
use crate::records::recordings::aside::aside_of;
use crate::records::recordings::pen::Begin;
use crate::records::recordings::tests::{after, begin, begun, id, noon, recorded};

mod erased;
mod whose;

const DAY: Duration = Duration::from_secs(86_400);

impl Served {
    fn recordings(&self) -> PathBuf {
        self.dir().join("recordings")
    }

    /// It is that time from now on.
    fn at(&self, time: Wall) {
        *self.time.lock().unwrap() = Some(time);
    }

    /// What lies in the folder is known.
    fn looked(self) -> Self {
        self.at(after(60));
        self.desk.archive.look_through(|_, _| ()).unwrap();
        self
    }

    /// An API with these recordings of three seconds each, a minute after noon.
    fn with(begins: &[Begin]) -> Self {
        let served = Self::start();
        for begin in begins {
            recorded(&served.recordings(), begin, 3);
        }
        served.looked()
    }

    /// These calls are over: their records.
    fn records(&self, file: &str, records: &[Cdr]) {
        let lines = records
            .iter()
            .map(|record| serde_json::to_string(record).unwrap());
        let text: String = lines.map(|line| line + "\n").collect();
        fs::write(self.dir().join("cdr").join(file), text).unwrap();
    }

    /// What the audit log has: who, what, of which recording, and what came of it.
    fn noted(&self) -> Vec<String> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.dir().join("audit"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
            .collect();
        files.sort();
        let text: String = files
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line.get("act").is_some())
            .map(|line| {
                let of = |name: &str| line.get(name).map_or(String::new(), |value| format!(" {value}"));
                let (who, act, outcome) = (&line["who"], &line["act"], &line["outcome"]);
                format!("{who} {act}{}{}: {outcome}", of("recording"), of("range")).replace('"', "")
            })
            .collect()
    }
}

fn of_account(number: u64, account: &str) -> Begin {
    Begin {
        account: account.into(),
        ..begin(number)
    }
}

fn ids(page: &Value) -> Vec<String> {
    let rows = page["recordings"].as_array().unwrap_or_else(|| panic!("{page}"));
    rows.iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

/// These recordings, the latest first.
fn latest_first(numbers: &[u64]) -> Vec<String> {
    let mut ids: Vec<String> = numbers.iter().map(|number| id(*number).to_string()).collect();
    ids.sort();
    ids.reverse();
    ids
}

fn audio(number: u64) -> String {
    format!("/v1/recordings/{}/audio", id(number))
}

#[test]
fn recordings_are_listed_by_account_call_binding_and_time_a_page_after_the_other() {
    let begins = [1, 2, 3, 4].map(|number| of_account(number, if number == 4 { "other" } else { "acme" }));
    let served = Served::with(&begins);
    let (status, page) = served.get("/v1/recordings");
    assert_eq!((status, ids(&page)), (200, latest_first(&[1, 2, 3, 4])), "{page}");
    assert_eq!(page["next"], Value::Null);
    let row = &page["recordings"][0];
    assert_eq!(
        (&row["state"], &row["audio"], &row["sealed"], &row["began"]),
        (
            &json!("whole"),
            &json!("wav"),
            &json!("none"),
            &json!("2026-11-21T10:00:00.000Z")
        )
    );
    assert_eq!(
        (&row["not_before"], &row["kept_until"]),
        (
            &json!("2026-12-01T10:00:03.000Z"),
            &json!("2026-12-21T10:00:03.000Z")
        )
    );
    let of = |query: &str| ids(&served.get(&format!("/v1/recordings?{query}")).1);
    assert_eq!(of("account=acme"), latest_first(&[1, 2, 3]));
    assert_eq!(of(&format!("call_id={}", id(1_003))), latest_first(&[3]));
    assert_eq!(
        of(&format!("binding_id={}&account=other", id(2_000))),
        latest_first(&[4])
    );
    assert_eq!(of(&format!("binding_id={}", id(2_001))), latest_first(&[]));
    assert_eq!(of("since=2026-11-21T10:00:00Z").len(), 4);
    assert_eq!(of("until=2026-11-21T10:00:00Z").len(), 0);

    let mut walked = Vec::new();
    let mut path = "/v1/recordings?account=acme&limit=2".to_owned();
    loop {
        let (_, page) = served.get(&path);
        walked.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/recordings?account=acme&limit=2&after={next}");
    }
    assert_eq!(walked, latest_first(&[1, 2, 3]));
    assert_eq!(served.get("/v1/recordings?colour=red").0, 400);
    assert_eq!(served.noted()[0], "control list: 4 listed");
}

#[test]
fn a_recording_says_what_its_chain_says() {
    let served = Served::start();
    let (_, finished) = recorded(&served.recordings(), &begin(1), 3);
    let pen = begun(&served.recordings(), &begin(2), 1);
    let served = served.looked();
    let (_, whole) = served.get(&format!("/v1/recordings/{}", id(1)));
    assert_eq!(
        [
            &whole["seconds"],
            &whole["bytes"],
            &whole["gaps"],
            &whole["marks"],
            &whole["sha256"]
        ],
        [
            &json!(3.0),
            &json!(44 + 3 * 32),
            &json!(0),
            &json!([]),
            &json!(finished.sha256)
        ],
        "{whole}"
    );
    assert_eq!(whole["ended"], json!("2026-11-21T10:00:03.000Z"));
    let (_, running) = served.get(&format!("/v1/recordings/{}", id(2)));
    assert_eq!(
        (&running["state"], running.get("sha256")),
        (&json!("running"), None)
    );
    assert_eq!(running["not_before"], Value::Null);
    assert_eq!(served.get(&format!("/v1/recordings/{}", id(3))).0, 404);
    assert_eq!(served.get("/v1/recordings/none").0, 400);
    drop(pen);
}

#[test]
fn nothing_is_said_before_the_folder_was_looked_through() {
    let served = Served::start();
    recorded(&served.recordings(), &begin(1), 3);
    let (status, fault) = served.get("/v1/recordings");
    assert_eq!((status, &fault["code"]), (503, &json!("busy")));
    assert_eq!(served.get(&format!("/v1/recordings/{}", id(1))).0, 503);
    assert_eq!(served.looked().get("/v1/recordings").0, 200);
}

#[test]
fn audio_is_given_from_any_byte_on_plain_or_sealed() {
    let sealed = Begin {
        key: Some(key()),
        ..begin(2)
    };
    let served = Served::start();
    let (_, finished) = recorded(&served.recordings(), &begin(1), 3);
    recorded(&served.recordings(), &sealed, 3);
    let served = served.looked();
    // The same is said in both.
    let file = fs::read(finished.audio).unwrap();
    assert_eq!(file.len(), 140);
    for number in [1, 2] {
        let ask = |range: &str| {
            let headers: &[(&str, &str)] = match range {
                "" => &[],
                range => &[("range", range)],
            };
            served.bytes("GET", &audio(number), headers, "")
        };
        let (status, head, body) = ask("");
        assert_eq!((status, &body), (200, &file));
        for line in [
            "content-type: audio/wav",
            "accept-ranges: bytes",
            "content-length: 140",
            "cache-control: private, no-store",
        ] {
            assert!(head.contains(line), "{line}: {head}");
        }
        for (range, bytes, said) in [
            ("bytes=0-0", &file[..1], "bytes 0-0/140"),
            ("bytes=40-79", &file[40..80], "bytes 40-79/140"),
            ("bytes=139-", &file[139..], "bytes 139-139/140"),
            ("bytes=-20", &file[120..], "bytes 120-139/140"),
            ("bytes=100-999", &file[100..], "bytes 100-139/140"),
        ] {
            let (status, head, body) = ask(range);
            assert_eq!((status, &body[..]), (206, bytes), "{range}");
            assert!(head.contains(&format!("content-range: {said}")), "{head}");
        }
        let (status, head, _) = ask("bytes=140-");
        assert_eq!(status, 416);
        assert!(head.contains("content-range: bytes */140"), "{head}");
        let (status, head, body) = served.bytes("HEAD", &audio(number), &[], "");
        assert_eq!((status, body.len()), (200, 0));
        assert!(head.contains("content-length: 140"), "{head}");
    }
    let mine = |line: &&String| line.contains(&id(1).to_string());
    let noted = served.noted();
    let noted: Vec<&String> = noted.iter().filter(mine).collect();
    assert_eq!(noted.len(), 8, "one for each: {noted:?}");
    assert!(noted[0].ends_with("[0,139]: all"), "{noted:?}");
    assert!(noted[2].ends_with("[40,79]: part"), "{noted:?}");
    assert!(noted[6].ends_with(": beyond its end"), "{noted:?}");
    assert!(noted[7].ends_with(": head"), "{noted:?}");
}

#[test]
fn a_part_of_what_has_changed_meanwhile_is_all_of_it() {
    let served = Served::start();
    let mut pen = begun(&served.recordings(), &begin(1), 1);
    let served = served.looked();
    let etag = |head: &str| -> String {
        let line = head.lines().find_map(|line| line.strip_prefix("etag: "));
        line.unwrap().to_owned()
    };
    let (status, head, body) = served.bytes("GET", &audio(1), &[], "");
    assert_eq!((status, body.len()), (200, 44 + 32), "what there is so far");
    let before = etag(&head);
    let part = |etag: &str| {
        let headers = [("range", "bytes=-4"), ("if-range", etag)];
        served.bytes("GET", &audio(1), &headers, "").0
    };
    assert_eq!(part(&before), 206);
    crate::records::recordings::tests::write(&mut pen, 1).unwrap();
    assert_eq!(part(&before), 200);
    assert_eq!(part(&etag(&served.bytes("HEAD", &audio(1), &[], "").1)), 206);
}

#[test]
fn audio_that_was_changed_is_given_no_further_than_it_is_right() {
    let served = Served::start();
    let (_, finished) = recorded(&served.recordings(), &begin(1), 3);
    let mut file = fs::read(&finished.audio).unwrap();
    file[44 + 40] ^= 1;
    fs::write(&finished.audio, &file).unwrap();
    let served = served.looked();
    let (status, _, body) = served.bytes("GET", &audio(1), &[("range", "bytes=0-75")], "");
    assert_eq!(
        (status, &body[..]),
        (206, &file[..76]),
        "the first block is right"
    );
    let (_, head, body) = served.bytes("GET", &audio(1), &[], "");
    assert!(
        head.contains("content-length: 140") && body.is_empty(),
        "{head}, {}",
        body.len()
    );
    let (_, verdict) = served.post(&format!("/v1/recordings/{}/verify", id(1)), &json!({}));
    assert_eq!(
        (&verdict["verdict"], &verdict["block"]),
        (&json!("changed"), &json!(2))
    );
}

#[test]
fn no_more_are_read_at_once_than_there_are_places() {
    let served = Served::with(&[begin(1)]);
    let places: Vec<_> = [(); 2]
        .map(|()| served.desk.readers.clone().try_acquire_owned().unwrap())
        .into();
    let (status, head, _) = served.bytes("GET", &audio(1), &[], "");
    assert_eq!(status, 429);
    assert!(head.contains("retry-after"), "{head}");
    drop(places);
    for _ in 0..5 {
        assert_eq!(served.bytes("GET", &audio(1), &[], "").0, 200);
    }
}

#[test]
fn a_recording_is_compared_with_the_digits_that_somebody_kept() {
    let served = Served::start();
    let (_, finished) = recorded(&served.recordings(), &begin(1), 3);
    let served = served.looked();
    let path = format!("/v1/recordings/{}/verify", id(1));
    let ask = |digits: &str| served.post(&path, &json!({"sha256": digits}));
    let (status, verdict) = ask(&finished.sha256.to_string());
    assert_eq!((status, &verdict["verdict"]), (200, &json!("whole")), "{verdict}");
    assert_eq!(ask(&"0".repeat(64)).1["verdict"], json!("changed"));
    assert_eq!(ask("0").0, 400);
    let (_, chain) = (
        0,
        served
            .whole("GET", &format!("/v1/recordings/{}/chain", id(1)), &[], "")
            .2,
    );
    assert_eq!(chain.lines().count(), 5);
    assert!(chain.contains(&finished.sha256.to_string()));
}

#[test]
fn who_becomes_another_is_found_by_the_digits_that_the_audit_log_has() {
    use crate::records::audit::{Act, Line};
    let served = Served::start();
    let (_, finished) = recorded(&served.recordings(), &begin(1), 3);
    let served = served.looked();
    let kept = Line {
        end: Some(finished.sha256),
        ..Line::of_server(Act::Kept, id(1), "whole")
    };
    served.desk.archive.audit().note(noon(), &kept).unwrap();
    let path = format!("/v1/recordings/{}/verify", id(1));
    assert_eq!(served.post(&path, &json!({})).1["verdict"], json!("whole"));
    // Made anew in its place, with a chain that is right by itself.
    let day = finished.audio.parent().unwrap();
    fs::remove_dir_all(day).unwrap();
    recorded(&served.recordings(), &begin(1), 2);
    assert_eq!(served.post(&path, &json!({})).1["verdict"], json!("changed"));
}

#[test]
fn a_link_is_heard_without_more_until_its_time_is_over_and_opens_nothing_else() {
    let served = Served::start_on_loopback();
    for number in [1, 2] {
        recorded(&served.recordings(), &begin(number), 3);
    }
    let served = served.looked();
    let own = [("host", "127.0.0.1:8080")];
    let path = format!("/v1/recordings/{}/link", id(1));
    let (status, link) = served.raw("POST", &path, &own, r#"{"ttl_s": 60}"#);
    assert_eq!(
        (status, &link["expires_at"]),
        (200, &json!("2026-11-21T10:02:00.000Z")),
        "{link}"
    );
    let url = link["url"].as_str().unwrap();
    // From whatever page, under whatever name.
    let by = |method: &str, url: &str| {
        let headers = [
            ("host", "pbx.example"),
            ("origin", "https://crm.example"),
            ("range", "bytes=0-3"),
        ];
        let (status, _, body) = served.bytes(method, url, &headers, "");
        (status, body)
    };
    assert_eq!(by("GET", url), (206, b"RIFF".to_vec()));
    assert_eq!(by("HEAD", url), (200, Vec::new()), "a range is for GET alone");
    for method in ["POST", "DELETE", "PUT"] {
        assert_eq!(by(method, url).0, 405, "{method}");
    }
    let (_, query) = url.split_once('?').unwrap();
    assert_eq!(by("GET", &format!("/recordings/{}?{query}", id(2))).0, 403);
    assert_eq!(by("GET", &url.replace("expires=1", "expires=2")).0, 403);
    assert_eq!(by("GET", &url[..url.len() - 1]).0, 403);
    assert_eq!(by("GET", &format!("/recordings/{}", id(1))).0, 400);
    for path in [
        format!("/v1/recordings/{}?{query}", id(1)),
        format!("/v1/recordings/{}/audio?{query}", id(1)),
        format!("/v1/recordings?{query}"),
    ] {
        assert_eq!(by("GET", &path).0, 403, "{path}");
    }
    served.at(after(119));
    assert_eq!(by("GET", url).0, 206);
    served.at(after(120));
    let (status, body) = by("GET", url);
    let fault: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &fault["code"]), (410, &json!("link_expired")));
    assert_eq!(by("GET", url).0, 410, "and that is noted once an hour");
    let noted = served.noted();
    assert!(
        noted[0].starts_with("tcp link") && noted[0].ends_with("until 2026-11-21T10:02:00.000Z"),
        "{noted:?}"
    );
    let of_link = "link until 2026-11-21T10:02:00.000Z ";
    let by_link: Vec<&String> = noted.iter().filter(|line| line.starts_with(of_link)).collect();
    let outcomes: Vec<&str> = by_link
        .iter()
        .map(|line| line.rsplit(": ").next().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["part", "head", "part", "expired"],
        "forged ones can't fill the log"
    );
    for ttl in [59, 604_801] {
        assert_eq!(
            served
                .raw("POST", &path, &own, &format!("{{\"ttl_s\": {ttl}}}"))
                .0,
            400
        );
    }
}

#[test]
fn an_account_sees_hears_and_erases_its_own_and_is_not_told_of_others() {
    let served = Served::start_for("acme");
    for begin in [of_account(1, "acme"), of_account(2, "other")] {
        recorded(&served.recordings(), &begin, 3);
    }
    let served = served.looked();
    let of = |query: &str| ids(&served.get(&format!("/v1/recordings{query}")).1);
    assert_eq!(of(""), latest_first(&[1]));
    assert_eq!(of("?account=other"), latest_first(&[]));
    assert_eq!(of(&format!("?binding_id={}", id(2_000))), latest_first(&[1]));
    served.at(after(0).plus(DAY * 20));
    for (method, end, body) in [
        ("GET", "", "{}"),
        ("GET", "/audio", ""),
        ("GET", "/chain", ""),
        ("POST", "/verify", "{}"),
        ("POST", "/link", r#"{"ttl_s": 60}"#),
        ("DELETE", "", ""),
    ] {
        let ask = |number| {
            let path = format!("/v1/recordings/{}{end}", id(number));
            let (status, _, answer) = served.bytes(method, &path, &[], body);
            (status, String::from_utf8_lossy(&answer).into_owned())
        };
        let theirs = ask(2);
        assert_eq!(theirs.0, 404, "{method} {end}");
        assert_eq!(
            theirs.1.replace(&id(2).to_string(), ""),
            ask(3).1.replace(&id(3).to_string(), "")
        );
        assert_eq!(ask(1).0, 200, "{method} {end}");
    }
    let (_, erased) = served.post("/v1/recordings/erase", &json!({"binding_id": id(2_000)}));
    assert_eq!(erased, json!({"erased": [], "failed": [], "more": false}));
    assert!(
        served
            .noted()
            .iter()
            .all(|line| line.starts_with("account acme ")),
        "{:?}",
        served.noted()
    );
    assert!(
        served
            .noted()
            .iter()
            .any(|line| line.ends_with(&format!("read {}: absent", id(2))))
    );
}

#[test]
fn what_can_not_be_noted_is_not_given() {
    let served = Served::with(&[begin(1)]);
    served.at(after(3).plus(DAY * 10));
    let audit = served.dir().join("audit");
    fs::remove_dir_all(&audit).unwrap();
    fs::write(&audit, "in its place").unwrap();
    let one = format!("/v1/recordings/{}", id(1));
    for (method, path, body) in [
        ("GET", "/v1/recordings".to_owned(), ""),
        ("GET", one.clone(), ""),
        ("GET", format!("{one}/audio"), ""),
        ("GET", format!("{one}/chain"), ""),
        ("POST", format!("{one}/verify"), "{}"),
        ("POST", format!("{one}/link"), r#"{"ttl_s": 60}"#),
        ("DELETE", one.clone(), ""),
    ] {
        let (status, fault) = served.raw(method, &path, &[], body);
        assert_eq!(
            (status, &fault["code"]),
            (503, &json!("not_noted")),
            "{method} {path}: {fault}"
        );
        assert!(
            fault["message"].as_str().unwrap().contains("audit log"),
            "{fault}"
        );
    }
    let stays = fs::read_dir(served.recordings().join("2026/11/21"))
        .unwrap()
        .count();
    assert_eq!(stays, 2, "nothing was erased");
}

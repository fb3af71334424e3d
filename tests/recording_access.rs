//! Recordings of a real server, as those meet them who may hear them: listed, read from any byte on though they are sealed,
//! checked, lent by a link, erased when they may be; and each access is in the audit log.

#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};
use umbra::base::id::Id;
use umbra::base::time::Wall;
use umbra::records::archive::Signer;
use umbra::rtp::wav;

use server::{A, B, PATIENCE, Server, X, until};
use talk::{Callee, Talk};

/// Recordings are sealed, and can't be erased on the day on which they were made.
const CONF: &str = "[recordings]\nenabled = true\nkeys = \"keys\"\nkey = \"own\"\nat_least_days = 1\n";

/// A server whose calls through X are recorded.
fn recording(callee: &Callee) -> Server {
    let mut server = Server::with_a_pair(callee.address());
    server.done(&format!("unbind --x {X}"));
    server.done(&format!("bind axb --x {X} --a {A} --b {B} --record"));
    let keys = server.folder().join("keys");
    fs::create_dir(&keys).expect("there is room");
    let key = keys.join("own.aes-256-gcm");
    fs::write(&key, "1f".repeat(32)).expect("there is room");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");
    server.with_conf(|text| format!("{text}{CONF}"));
    server
}

/// An answer of the API: its status, its head, and its body.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }
}

fn ask(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = UnixStream::connect(server.data().join("control.sock")).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: umbra\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("text");
    Answer {
        status: head[9..12].parse().expect("a status"),
        body: answer[end + 4..].to_vec(),
        head,
    }
}

fn get(server: &Server, path: &str) -> Answer {
    ask(server, "GET", path, "", "")
}

/// The list that is asked for by this.
fn listed(server: &Server, query: &str) -> Vec<Value> {
    let answer = get(server, &format!("/v1/recordings{query}"));
    let page = answer.json();
    page["recordings"]
        .as_array()
        .unwrap_or_else(|| panic!("{page}"))
        .clone()
}

/// The one recording that there is, once it is whole.
fn whole(server: &Server) -> Id {
    until("the recording is whole", || {
        listed(server, "").iter().any(|one| one["state"] == "whole")
    });
    let list = listed(server, "");
    assert_eq!(list.len(), 1);
    list[0]["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("an id")
}

/// The lines of the audit log that say this of what was done.
fn noted(server: &Server, act: &str) -> Vec<Value> {
    let files = fs::read_dir(server.data().join("audit")).expect("a log");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    let text: String = files
        .iter()
        .map(|path| fs::read_to_string(path).expect("text"))
        .collect();
    for number in [A, B] {
        assert!(!text.contains(number), "{number} stands in the audit log");
    }
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .filter(|line: &Value| line["act"] == act)
        .collect()
}

/// Ends a talk when it has lasted long enough to be kept; its recording, the only one.
fn one_that_is_whole(server: &Server, talk: Talk) -> Id {
    until("a second of it is written", || {
        let list = listed(server, "");
        let id = list.first().and_then(|one| one["id"].as_str());
        id.is_some_and(|id| get(server, &format!("/v1/recordings/{id}/audio")).body.len() > 40_000)
    });
    talk.end();
    server.settled(1);
    whole(server)
}

/// Whether anything of a recording lies there.
fn is_on_disk(folder: &Path, recording: Id) -> bool {
    let Ok(files) = fs::read_dir(folder) else {
        return false;
    };
    files.map(|file| file.expect("a file").path()).any(|path| {
        let name = path
            .file_name()
            .expect("it has one")
            .to_string_lossy()
            .into_owned();
        name.starts_with(&recording.to_string()) || path.is_dir() && is_on_disk(&path, recording)
    })
}

#[test]
fn a_recording_is_listed_heard_checked_and_lent_and_each_access_is_noted() {
    let callee = Callee::new();
    let server = recording(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    until("two seconds of it are written", || {
        let list = listed(&server, "");
        let running = list.first().filter(|one| one["state"] == "running");
        running.is_some_and(|one| {
            let path = format!("/v1/recordings/{}/audio", one["id"].as_str().expect("an id"));
            let so_far = get(&server, &path);
            so_far.status == 200 && so_far.body.starts_with(b"RIFF") && so_far.body.len() > 2 * 32_000
        })
    });
    // Whoever takes part in it is found while it goes on.
    for number in [A, B, X] {
        let found = listed(&server, &format!("?number={number}"));
        assert!(found.len() == 1 && found[0]["state"] == "running", "{found:?}");
        let body = json!({"number": number}).to_string();
        let erased = ask(&server, "POST", "/v1/recordings/erase", "", &body).json();
        assert_eq!(erased["erased"][0]["became"], "running", "{erased}");
    }
    assert_eq!(listed(&server, "?number=13700000009"), [] as [Value; 0]);
    talk.end();
    let record = server.settled(1).remove(0);
    let id = whole(&server);
    let of = |end: &str| format!("/v1/recordings/{id}{end}");
    let about = get(&server, &of("")).json();
    assert_eq!(about["call_id"], record["call_id"]);
    assert_eq!(
        (&about["sealed"], &about["audio"]),
        (&json!("aes-256-gcm"), &json!("wav"))
    );
    assert_eq!(record["recording"]["sealed"], about["sealed"], "{record}");
    assert!(
        about["seconds"].as_f64().is_some_and(|seconds| seconds >= 2.0),
        "{about}"
    );

    let all = get(&server, &of("/audio"));
    assert_eq!(all.body.len() as u64, about["bytes"].as_u64().expect("a count"));
    let heard = wav::read(&all.body).expect("a WAV file");
    assert_eq!((heard.rate_hz, heard.channels), (8_000, 2));
    let length = all.body.len();
    let part = |range: &str| {
        ask(
            &server,
            "GET",
            &of("/audio"),
            &format!("range: bytes={range}\r\n"),
            "",
        )
    };
    for (range, from, until) in [
        ("0-0".to_owned(), 0, 1),
        (
            format!("{}-{}", 31_000, 99_999.min(length - 1)),
            31_000,
            100_000.min(length),
        ),
        (format!("{}-", length - 1), length - 1, length),
        ("-1000".to_owned(), length - 1_000, length),
    ] {
        let part = part(&range);
        assert_eq!(
            (part.status, &part.body[..]),
            (206, &all.body[from..until]),
            "{range}"
        );
        let said = format!("content-range: bytes {from}-{}/{length}", until - 1);
        assert!(part.head.contains(&said), "{said}: {}", part.head);
    }
    let beyond = part(&format!("{length}-"));
    assert_eq!(beyond.status, 416);
    assert!(beyond.head.contains(&format!("content-range: bytes */{length}")));

    // How it ended was noted when it did.
    until("its end is noted", || !noted(&server, "kept").is_empty());
    assert_eq!(noted(&server, "kept")[0]["end"], about["sha256"]);
    let verdict = ask(&server, "POST", &of("/verify"), "", "{}").json();
    assert_eq!(
        (&verdict["verdict"], &verdict["seals"], &verdict["compared"]),
        (&json!("whole"), &json!("right"), &json!("audit log")),
        "{verdict}"
    );

    let link = ask(&server, "POST", &of("/link"), "", r#"{"ttl_s": 600}"#).json();
    let url = link["url"].as_str().expect("a link");
    assert_eq!(get(&server, url).body, all.body);
    let last = url.chars().last().expect("it isn't empty");
    let forged = format!("{}{}", &url[..url.len() - 1], if last == '0' { '1' } else { '0' });
    assert_eq!(get(&server, &forged).status, 403);
    // One that was given on the day before.
    let secret = Signer::open(&server.data().join("recording-links.key")).expect("the server made it");
    let day = 86_400_000;
    let over = secret.link(id, Wall::from_millis(id.minted().as_millis() - day));
    assert_eq!(get(&server, &over).status, 410);

    let read = noted(&server, "read");
    let by_link: Vec<&Value> = read
        .iter()
        .filter(|line| {
            line["who"]
                .as_str()
                .is_some_and(|who| who.starts_with("link until "))
        })
        .collect();
    assert_eq!(
        by_link.iter().map(|line| &line["outcome"]).collect::<Vec<_>>(),
        [&json!("all"), &json!("expired")]
    );
    assert!(
        read.iter()
            .any(|line| line["who"] == "control" && line["range"] == json!([0, 0]))
    );
    for act in ["list", "verify", "link"] {
        assert!(!noted(&server, act).is_empty(), "{act}");
    }
    server.prints_no_number();
}

#[test]
fn whose_number_it_is_has_recordings_erased_when_the_law_allows_it() {
    let callee = Callee::new();
    let mut server = recording(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    let id = one_that_is_whole(&server, talk);
    let folder = server.data().join("recordings");
    for number in [A, B, X] {
        assert_eq!(listed(&server, &format!("?number={number}")).len(), 1, "{number}");
    }
    assert!(listed(&server, "?number=13700000009").is_empty());

    let erase = |server: &Server| {
        let body = json!({"number": B}).to_string();
        ask(server, "POST", "/v1/recordings/erase", "", &body).json()
    };
    let early = erase(&server);
    assert_eq!(early["erased"][0]["became"], "not_before", "{early}");
    let one = ask(&server, "DELETE", &format!("/v1/recordings/{id}"), "", "");
    assert_eq!(
        (one.status, &one.json()["not_before"]),
        (409, &early["erased"][0]["not_before"])
    );
    assert!(is_on_disk(&folder, id));

    server.with_conf(|text| text.replace("at_least_days = 1", "at_least_days = 0"));
    assert_eq!(whole(&server), id, "the next start finds it again");
    let gone = erase(&server);
    assert_eq!(gone["erased"], json!([{"id": id, "became": "gone"}]), "{gone}");
    assert!(listed(&server, "").is_empty() && !is_on_disk(&folder, id));
    assert_eq!(get(&server, &format!("/v1/recordings/{id}")).status, 404);
    let outcomes: Vec<Value> = noted(&server, "erase")
        .iter()
        .filter(|line| line["recording"] == json!(id))
        .map(|line| line["outcome"].clone())
        .collect();
    assert_eq!(
        outcomes,
        ["not before", "asked of 1", "not before", "goes", "gone"]
    );
}

#[test]
fn what_is_recorded_through_a_700_number_is_kept_for_184_days_whatever_the_conf_says() {
    const OF_700: &str = "700123456789012";
    let callee = Callee::new();
    let mut server = recording(&callee);
    server.done(&format!("number add {OF_700}"));
    server.done(&format!(
        "bind axb --x {OF_700} --a {A} --b {B} --record --order-id O-1"
    ));
    server.with_conf(|text| {
        let text = text.replace("at_least_days = 1", "at_least_days = 0\nkeep_days = 1");
        format!("{text}[records]\nkeep_days = 30\n")
    });
    until("the conf's days are found too few", || {
        server.printed().contains("write records.keep_days = 184 or more")
    });
    let silence = [0xD5; 160];
    let talk = Talk::saying(server.sip, callee, 1, OF_700, [silence; 2].map(Into::into));
    let id = one_that_is_whole(&server, talk);
    let about = get(&server, &format!("/v1/recordings/{id}")).json();
    assert_eq!(about["kept_until"], about["not_before"], "{about}");
    let one = ask(&server, "DELETE", &format!("/v1/recordings/{id}"), "", "");
    assert_eq!(one.status, 409);
    let day = |at: &Value| {
        at.as_str()
            .and_then(Wall::parse_rfc3339)
            .expect("a time")
            .as_millis()
            / 86_400_000
    };
    assert_eq!(
        day(&one.json()["not_before"]) - id.minted().as_millis() / 86_400_000,
        184
    );
}

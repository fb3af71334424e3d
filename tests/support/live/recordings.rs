//! What a real server's recordings are like, beside what its records say of them; and what it says to whoever wants one
//! paused.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;
use umbra::call::recording::Control;
use umbra::records::recordings::index::Index;
use umbra::records::recordings::seal::Keys;
use umbra::records::recordings::verify::{Verdict, verify};

#[path = "../desk.rs"]
#[allow(clippy::duplicate_mod)] // a test binary may have a storm too
mod desk;

/// Pauses the recording of a call, or goes on with it. The word for it if that can't be.
pub fn control(socket: &Path, call: &Value, control: Control) -> Option<String> {
    let id = call["call_id"].as_str().expect("a call has an id");
    let what = match control {
        Control::Pause => "pause",
        Control::Resume => "resume",
    };
    let mut desk = UnixStream::connect(socket).expect("a running server");
    let path = format!("/v1/calls/{id}/recording/{what}");
    let (status, answer) = desk::ask(&mut desk, "POST", &path, "{}").expect("an answer");
    if status == 200 {
        return None;
    }
    let said = answer.to_string();
    assert_eq!(status, 409, "{said}");
    let why = said.split_once("isn't recorded: ").map(|(_, why)| why);
    let why = why.and_then(|why| why.split_once('"'));
    Some(why.map_or("over".to_owned(), |(why, _)| {
        format!("not:{}", why.replace(' ', "_"))
    }))
}

/// What is wrong with the recordings of a server whose calls are over, by their records: there is one, whole and as it was
/// written, for each record that names one, and none for any other; and gaps are marked where a record tells of them.
pub fn amiss(dir: &Path, cdrs: &[Value]) -> Option<String> {
    let mut found: BTreeMap<String, Verdict> = BTreeMap::new();
    let (index, _) = Index::scan(dir).expect("the folder can be read");
    for entry in index.page(&Default::default(), None, 1_000) {
        match verify(&entry.place(), &Keys::default(), None) {
            Ok(verdict) => drop(found.insert(entry.recording.to_string(), verdict)),
            // It was renamed meanwhile, or dropped.
            Err(fault) => return Some(format!("recording {}: {fault}", entry.recording)),
        }
    }
    for cdr in cdrs {
        let said = &cdr["recording"];
        let verdict = said["id"].as_str().and_then(|id| found.remove(id));
        let fits = match (said["state"].as_str(), &verdict) {
            (Some("none"), None) | (Some("kept"), Some(Verdict::Whole { .. })) => true,
            (Some("gaps"), Some(Verdict::Whole { gaps, .. })) => *gaps > 0,
            (_, _) => false,
        };
        if !fits {
            return Some(format!("a record says {said} of a recording that is {verdict:?}"));
        }
    }
    let nobodys = found.into_iter().next();
    nobodys.map(|(id, verdict)| format!("no record names the recording {id}: {verdict:?}"))
}

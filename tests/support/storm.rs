//! A storm of binds, updates and unbinds, and the story of each binding as its writer knows it: what the server must
//! still know after a `kill -9`. Whoever uses this has `server` too.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

#[path = "desk.rs"]
#[allow(clippy::duplicate_mod)] // a test binary may have the live stage too
mod desk;

pub use desk::ask;

use crate::server::Server;

/// Who writes at once.
pub const WRITERS: u64 = 4;
/// The virtual numbers of the storm, one for each writer: each pair on it is another one.
pub const XS_OF_STORM: u64 = 17_000_000_100;

/// What one binding's story is, as far as its writer knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Story {
    /// The bind, or an update, was acknowledged: its user data are these.
    Bound(String),
    /// An update was asked for, and not acknowledged: it has the first user data or the second.
    Updating(String, String),
    /// An unbind was asked for, and not acknowledged: it may have happened or not.
    Unbinding,
    /// The unbind was acknowledged.
    Unbound,
}

/// The user data of a binding that was never updated.
pub const NEW: &str = "new";

pub type Stories = Mutex<BTreeMap<String, Story>>;

/// Every acknowledged binding is there as it was acknowledged last, none that was unbound is, and nothing else
/// is. What nobody was told stays as it was found: it must not change any more.
pub fn compare(server: &Server, stories: &mut BTreeMap<String, Story>) {
    let mut live: BTreeMap<String, String> = BTreeMap::new();
    for writer in 0..WRITERS {
        let x = XS_OF_STORM + writer;
        let listed: Vec<Value> =
            serde_json::from_str(&server.done(&format!("bindings --x {x} --limit 1000000 --json")))
                .expect("JSON");
        let text = |binding: &Value, name: &str| binding[name].as_str().expect("text").to_owned();
        live.extend(
            listed
                .iter()
                .map(|binding| (text(binding, "id"), text(binding, "user_data"))),
        );
    }
    for (id, story) in stories.iter_mut() {
        let found = live.remove(id);
        *story = match (&*story, found) {
            (Story::Bound(data), Some(found)) if *data == found => Story::Bound(found),
            (Story::Bound(_), None) => panic!("{id} was acknowledged and is lost"),
            (Story::Bound(data), Some(found)) => panic!("{id} was acknowledged with {data} and has {found}"),
            (Story::Updating(old, new), Some(found)) if found == *old || found == *new => Story::Bound(found),
            (Story::Updating(..), found) => panic!("{id} was being updated, and is {found:?}"),
            (Story::Unbinding, Some(found)) => Story::Bound(found),
            (Story::Unbinding | Story::Unbound, None) => Story::Unbound,
            (Story::Unbound, Some(_)) => panic!("{id} was unbound and is back"),
        };
    }
    // The bind that each writer had asked for last may have been done and not answered.
    assert!(live.len() <= WRITERS as usize, "nobody asked for {live:?}");
    stories.extend(live.into_iter().map(|(id, data)| (id, Story::Bound(data))));
}

/// Binds, updates and unbinds pairs of its own until the server hangs up.
pub fn write_bindings(round: u64, writer: u64, control: &Path, stories: &Stories, stop: &AtomicBool) {
    let Ok(mut desk) = UnixStream::connect(control) else {
        return;
    };
    let x = (XS_OF_STORM + writer).to_string();
    let tell = |id: &str, story| drop(stories.lock().expect("whole").insert(id.to_owned(), story));
    let mut last: Option<String> = None;
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // After 2,500 rounds they come again.
        let pair = ((round * WRITERS + writer) * 10_000 + n) % 100_000_000;
        let (a, b) = (format!("131{pair:08}"), format!("132{pair:08}"));
        let body = json!({"mode": "axb", "x": x, "a": a, "b": b, "user_data": NEW}).to_string();
        let Some((status, answer)) = ask(&mut desk, "POST", "/v1/bindings", &body) else {
            return;
        };
        if status == 409 {
            // As many pairs as one X takes: some go.
            let Some(id) = last.take().or_else(|| any_of(&mut desk, &x)) else {
                return;
            };
            if unbind(&mut desk, &id, &tell).is_none() {
                return;
            }
            continue;
        }
        assert_eq!(status, 201, "{answer}");
        let id = answer["id"].as_str().expect("an id").to_owned();
        tell(&id, Story::Bound(NEW.into()));
        let mut data = NEW.to_owned();
        for change in 0..n % 3 {
            let next = format!("change {change} of {n}");
            tell(&id, Story::Updating(data, next.clone()));
            let body = json!({"user_data": next}).to_string();
            let Some((status, answer)) = ask(&mut desk, "PATCH", &format!("/v1/bindings/{id}"), &body) else {
                return;
            };
            assert_eq!(status, 200, "{answer}");
            tell(&id, Story::Bound(next.clone()));
            data = next;
        }
        if n % 5 > 1 && unbind(&mut desk, &id, &tell).is_none() {
            return;
        }
        last = Some(id);
    }
}

/// A binding on `x` that is live.
fn any_of(desk: &mut UnixStream, x: &str) -> Option<String> {
    let (_, answer) = ask(desk, "GET", &format!("/v1/bindings?x={x}&limit=1"), "")?;
    answer["bindings"][0]["id"].as_str().map(str::to_owned)
}

fn unbind(desk: &mut UnixStream, id: &str, tell: &impl Fn(&str, Story)) -> Option<()> {
    tell(id, Story::Unbinding);
    let (status, answer) = ask(desk, "DELETE", &format!("/v1/bindings/{id}"), "")?;
    assert!(matches!(status, 200 | 204 | 404 | 409), "{status} {answer}");
    tell(id, Story::Unbound);
    Some(())
}

/// A thread that ends when this is dropped.
pub struct Stoppable {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Stoppable {
    /// Starts it.
    pub fn start(work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let heard = stop.clone();
        Self {
            stop,
            thread: Some(thread::spawn(move || work(&heard))),
        }
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("a thread of the test failed: see above");
        }
    }
}

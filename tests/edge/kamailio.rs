//! Debian's Kamailio, started as a carrier's edge with a conf of our own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where Debian keeps the modules, by architecture.
const MODULES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/kamailio/modules",
    "/usr/lib/aarch64-linux-gnu/kamailio/modules",
    "/usr/lib/kamailio/modules",
];
/// The conf, with its blanks.
const CONF: &str = include_str!("kamailio.cfg");
/// The conf of one that only reads copies, with its blanks.
const CAPTURE: &str = include_str!("capture.cfg");

/// What one that reads copies says of them.
#[derive(Clone, Copy)]
pub enum Says {
    /// What it understood of their messages.
    Messages,
    /// What stands in their chunks.
    Chunks,
}

/// A running edge; dropped, it is ended.
pub struct Kamailio {
    child: Child,
    /// The file of what it prints.
    out: PathBuf,
}

impl Kamailio {
    /// Starts it at `edge`, between the Umbra at `umbra` and the phones of whatever number is called; waits until
    /// it listens. `folder` is for its conf and what it prints.
    pub fn start(folder: &Path, edge: SocketAddr, umbra: SocketAddr, phones: &[SocketAddr]) -> Self {
        let (first, others) = phones.split_first().expect("somebody is called");
        let forks: Vec<String> = others
            .iter()
            .map(|at| format!("append_branch(\"sip:$var(user)@{at}\");"))
            .collect();
        let blanks = [
            ("EDGE_IP", edge.ip().to_string()),
            ("EDGE", edge.to_string()),
            ("UMBRA", umbra.to_string()),
            ("PHONE", first.to_string()),
            ("FORKS", forks.join(" ")),
        ];
        let mut edge_process = Self::run(folder, CONF, &blanks);
        edge_process.until("the edge listens", |_| std::net::TcpStream::connect(edge).is_ok());
        edge_process
    }

    /// Starts one at `at` that reads copies of messages (HEP), and prints what it found. `folder` is for its conf.
    pub fn capturing(folder: &Path, at: SocketAddr, says: Says) -> Self {
        let hook = match says {
            Says::Messages => "0",
            Says::Chunks => "1",
        };
        let blanks = [
            ("AT", at.to_string()),
            ("FOLDER", folder.display().to_string()),
            ("HOOK", hook.to_owned()),
        ];
        Self::run(folder, CAPTURE, &blanks)
    }

    /// Waits until this is so of what it has printed.
    pub fn until(&mut self, what: &str, so: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !so(&self.printed()) {
            let gone = self.child.try_wait().expect("a child of ours");
            assert!(gone.is_none(), "Kamailio ended: {}", self.printed());
            assert!(begun.elapsed() < PATIENCE, "{what}: not so: {}", self.printed());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has printed.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap_or_default()).into_owned()
    }

    fn run(folder: &Path, conf: &str, blanks: &[(&str, String)]) -> Self {
        let modules = MODULES.iter().find(|path| Path::new(path).is_dir());
        let modules = modules.expect("Kamailio is installed (Debian's package kamailio)");
        let modules = [("MODULES", (*modules).to_owned())];
        let blanks = blanks.iter().chain(&modules);
        let conf = conf.lines().filter(|line| !line.starts_with("# "));
        let conf = blanks.fold(conf.collect::<Vec<_>>().join("\n"), |conf, (blank, text)| {
            conf.replace(blank, text)
        });
        let path = folder.join("kamailio.cfg");
        fs::write(&path, conf).expect("the folder can be written");
        let printed = folder.join("kamailio.out");
        let out = File::create(&printed).expect("a file for its output");
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "16", "-M", "4", "-f"])
            .arg(&path)
            .arg("-Y")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the same file"))
            .stderr(out)
            .spawn()
            .expect("Kamailio is installed (Debian's package kamailio)");
        Self { child, out: printed }
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its main process ends the others, so it must be asked, not killed.
        let told = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        if !told.is_ok_and(|status| status.success()) {
            // Gone already.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

//! Debian's Kamailio, started as a carrier's edge with a conf of our own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
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

/// A running edge; dropped, it is ended.
pub struct Kamailio {
    child: Child,
}

impl Kamailio {
    /// Starts it at `edge`, between the Umbra at `umbra` and the phones of whatever number is called; waits until
    /// it listens. `folder` is for its conf and what it prints.
    pub fn start(folder: &Path, edge: SocketAddr, umbra: SocketAddr, phones: &[SocketAddr]) -> Self {
        let modules = MODULES.iter().find(|path| Path::new(path).is_dir());
        let modules = modules.expect("Kamailio is installed (Debian's package kamailio)");
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
            ("MODULES", (*modules).to_owned()),
        ];
        let conf = CONF.lines().filter(|line| !line.starts_with("# "));
        let conf = blanks
            .iter()
            .fold(conf.collect::<Vec<_>>().join("\n"), |conf, (blank, text)| {
                conf.replace(blank, text)
            });
        let path = folder.join("kamailio.cfg");
        fs::write(&path, conf).expect("the folder can be written");
        let out = File::create(folder.join("kamailio.out")).expect("a file for its output");
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
        let mut edge_process = Self { child };
        let begun = Instant::now();
        while std::net::TcpStream::connect(edge).is_err() {
            let printed = || fs::read_to_string(folder.join("kamailio.out")).unwrap_or_default();
            let gone = edge_process.child.try_wait().expect("a child of ours");
            assert!(gone.is_none(), "the edge ended at its start: {}", printed());
            assert!(
                begun.elapsed() < PATIENCE,
                "the edge doesn't listen: {}",
                printed()
            );
            thread::sleep(Duration::from_millis(20));
        }
        edge_process
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

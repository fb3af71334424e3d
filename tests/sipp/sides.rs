//! One SIPp and, where it has to speak TLS, what wraps it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::certificates::SERVER;
use crate::server::{PATIENCE, is_listening, until};

/// Which side of a call a SIPp is.
#[derive(Clone, Copy)]
pub enum Side {
    Calling,
    Called,
}

/// TLS for a SIPp, which has none in Debian: an stunnel between it and the server. Both sides show certificates, and it
/// believes only in the server's. Dropped, it is killed.
pub struct Wrapper {
    pub child: Child,
    /// Where it takes connections.
    pub door: SocketAddr,
    /// The file of what it prints.
    pub said: PathBuf,
}

impl Wrapper {
    /// Takes TCP at `door` and passes it on to the server at `home` over TLS.
    pub fn of_calling(folder: &Path, door: SocketAddr, home: SocketAddr) -> Self {
        let passes = format!(
            "client = yes\nlocal = {}\nconnect = {home}\nsni = {SERVER}\ncheckHost = {SERVER}\n",
            door.ip()
        );
        Self::start(folder, door, &passes)
    }

    /// Takes TLS at `door` from the server and passes it on to a SIPp over TCP.
    pub fn of_called(folder: &Path, door: SocketAddr, sipp: SocketAddr) -> Self {
        Self::start(folder, door, &format!("connect = {sipp}\ncheckHost = {SERVER}\n"))
    }

    pub fn start(folder: &Path, door: SocketAddr, passes: &str) -> Self {
        let conf = folder.join(format!("stunnel-{}.conf", door.port()));
        let text = format!(
            "foreground = yes\ndebug = notice\npid =\n[sipp]\naccept = {door}\n{passes}\
             cert = phones.pem\nkey = phones.key\nCAfile = ca.pem\nverifyChain = yes\nTIMEOUTclose = 0\n"
        );
        fs::write(&conf, text).expect("the folder can be written");
        let said = conf.with_extension("said");
        let out = File::create(&said).expect("the folder can be written");
        let child = Command::new("stunnel4")
            .current_dir(folder)
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the same file"))
            .stderr(out)
            .spawn()
            .expect("stunnel is installed (Debian's package stunnel4)");
        until("stunnel listens", || is_listening(door));
        Self { child, door, said }
    }
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        // It ends by itself only where it couldn't start.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One SIPp.
pub struct Sipp {
    pub command: Command,
    /// Where it listens.
    pub address: SocketAddr,
    pub wrapper: Option<Wrapper>,
    pub child: Option<Child>,
    pub statistics: PathBuf,
    pub errors: PathBuf,
}

/// How it went.
pub struct Outcome {
    pub is_well: bool,
    pub successful: usize,
    pub failed: usize,
    pub said: String,
}

impl Sipp {
    pub fn new(folder: &Path, scenario: &str, media: Ipv4Addr, address: SocketAddr, count: usize) -> Self {
        let ip = address.ip();
        let file = |ending: &str| folder.join(format!("{scenario}-{}.{ending}", address.port()));
        let (statistics, errors) = (file("csv"), file("errors"));
        let mut command = Command::new("sipp");
        command
            .current_dir(folder)
            .arg("-sf")
            .arg(folder.join(format!("{scenario}.xml")))
            .args(["-i", &ip.to_string(), "-p", &address.port().to_string()])
            .args(["-mi", &media.to_string(), "-m", &count.to_string()])
            .args(["-timeout", "90s", "-timeout_error", "-nostdin"])
            .args(["-trace_stat", "-fd", "1", "-stf"])
            .arg(&statistics)
            .args(["-trace_err", "-error_file"])
            .arg(&errors)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            command,
            address,
            wrapper: None,
            child: None,
            statistics,
            errors,
        }
    }

    pub fn start(&mut self) {
        let child = self.command.spawn();
        self.child = Some(child.expect("SIPp is installed (Debian's package sip-tester)"));
    }

    /// Waits for its end.
    pub fn outcome(&mut self) -> Outcome {
        let child = self.child.as_mut().expect("started");
        let deadline = Instant::now() + PATIENCE + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                break Some(status);
            }
            if Instant::now() > deadline {
                break None;
            }
            thread::sleep(Duration::from_millis(20));
        };
        let last = last_row(&self.statistics);
        let number = |name: &str| last.get(name).and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut errors = fs::read_to_string(&self.errors).unwrap_or_default();
        if let Some(wrapper) = &self.wrapper {
            errors += &fs::read_to_string(&wrapper.said).unwrap_or_default();
        }
        Outcome {
            is_well: status.is_some_and(|status| status.success()),
            successful: number("SuccessfulCall(C)"),
            failed: number("FailedCall(C)"),
            said: match status {
                Some(status) => format!("{status}\n{}", errors.chars().take(4_000).collect::<String>()),
                None => "it didn't end".to_owned(),
            },
        }
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Ended already, as a rule.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The last line of SIPp's statistics, by the names of its columns.
pub fn last_row(path: &Path) -> HashMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut lines = text.lines();
    let (Some(head), Some(last)) = (lines.next(), lines.next_back()) else {
        return HashMap::new();
    };
    let names = head.split(';').map(str::to_owned);
    names.zip(last.split(';').map(str::to_owned)).collect()
}

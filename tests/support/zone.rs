//! A real DNS server (NSD) on a port of its own on loopback, with one zone that a test writes: `carrier.test`.
#![allow(dead_code)] // each test binary uses its part

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running DNS server; dropped, it is stopped.
pub struct Zone {
    process: Option<Child>,
    dir: TempDir,
    /// Where it is asked.
    pub address: SocketAddr,
}

impl Zone {
    /// Starts one that has these records, each with a TTL of a second if it says none. `None`: there is no NSD here.
    pub fn start(records: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder");
        let address = free();
        let folder = dir.path().display();
        let conf = format!(
            "server:\n  ip-address: 127.0.0.1@{}\n  username: \"\"\n  zonesdir: \"{folder}\"\n  database: \"\"\n  \
             pidfile: \"{folder}/pid\"\n  xfrdfile: \"\"\n  zonelistfile: \"{folder}/zones\"\n  xfrdir: \"{folder}\"\n  \
             server-count: 1\n  verbosity: 2\nremote-control:\n  control-enable: no\nzone:\n  name: carrier.test\n  \
             zonefile: zone\n",
            address.port()
        );
        fs::write(dir.path().join("conf"), conf).expect("our own folder");
        let mut zone = Self {
            process: None,
            dir,
            address,
        };
        zone.write(records);
        zone.begin().then_some(zone)
    }

    fn begin(&mut self) -> bool {
        let log = File::create(self.dir.path().join("log")).expect("our own folder");
        // Not in the path of every user.
        let usual = Path::new("/usr/sbin/nsd");
        let program = if usual.exists() { usual } else { Path::new("nsd") };
        let spawned = Command::new(program)
            .args(["-d", "-c"])
            .arg(self.dir.path().join("conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .spawn();
        let Ok(process) = spawned else {
            assert!(std::env::var_os("UMBRA_TEST_ALL").is_none(), "nsd is missing");
            println!("left out: there is no nsd here");
            return false;
        };
        self.process = Some(process);
        self.await_line("nsd started", 1);
        true
    }

    /// It has these records from now on.
    pub fn change(&self, records: &str) {
        let before = self.count("read with success");
        self.write(records);
        let pid = self.process.as_ref().expect("it runs").id();
        let told = Command::new("kill").args(["-HUP", &pid.to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()));
        self.await_line("read with success", before + 1);
    }

    /// Starts it again after [`Zone::stop`], with these records.
    pub fn change_and_begin(&mut self, records: &str) {
        self.write(records);
        assert!(self.begin(), "it was there before");
    }

    /// Stops it: nobody answers there any more.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        // It has children, which it stops itself.
        let _ = Command::new("kill").arg(process.id().to_string()).status();
        let _ = process.wait();
    }

    fn write(&self, records: &str) {
        let zone = format!(
            "$ORIGIN carrier.test.\n$TTL 1\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n{records}\n"
        );
        fs::write(self.dir.path().join("zone"), zone).expect("our own folder");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn count(&self, what: &str) -> usize {
        self.log().matches(what).count()
    }

    fn await_line(&self, what: &str, count: usize) {
        let since = Instant::now();
        while self.count(what) < count {
            assert!(since.elapsed() < PATIENCE, "NSD doesn't come: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that was free a moment ago, for UDP and TCP.
fn free() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = udp.local_addr().expect("bound");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

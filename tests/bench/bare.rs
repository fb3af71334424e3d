//! The least that a relay and a log could do: what the server is compared with.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The argument by which this program becomes the bare relay.
pub const RELAY: &str = "--bare-relay";
/// Bytes of one datagram.
const DATAGRAM: usize = 2_048;
/// Sockets that one wait may find ready.
const READY: usize = 256;

/// A bare relay in a process of its own; dropped, it is killed.
pub struct Relay {
    process: Child,
    /// Its ports towards the carrier and, pair by pair, towards the callee.
    pub ports: Vec<(SocketAddr, SocketAddr)>,
}

impl Relay {
    /// A relay for so many calls between two addresses.
    pub fn start(calls: usize, carrier: SocketAddr, callee: SocketAddr) -> Self {
        let program = std::env::current_exe().expect("a running program");
        let mut process = Command::new(program)
            .args([
                RELAY,
                &calls.to_string(),
                &carrier.to_string(),
                &callee.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut port = || -> SocketAddr {
            let line = lines.next().expect("a port a line").expect("text");
            line.parse().expect("an address")
        };
        let ports = (0..calls).map(|_| (port(), port())).collect();
        Self { process, ports }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It runs until it is killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One epoll, a socket for each leg, one `recv` and one `send` for a packet, and nothing else.
pub fn relay(arguments: &[String]) {
    let [calls, carrier, callee] = arguments else {
        panic!("calls, the carrier's address and the callee's")
    };
    let calls: usize = calls.parse().expect("a count");
    let ends: [SocketAddr; 2] = [carrier, callee].map(|end| end.parse().expect("an address"));
    let legs: Vec<UdpSocket> = (0..calls * 2)
        .map(|_| UdpSocket::bind(("127.0.0.1", 0)).expect("a free port"))
        .collect();
    // SAFETY: no memory is handed over.
    let epoll = unsafe { libc::epoll_create1(0) };
    assert!(epoll >= 0, "an epoll");
    for (index, leg) in legs.iter().enumerate() {
        leg.set_nonblocking(true).expect("sockets can");
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: index as u64,
        };
        // SAFETY: `event` lives through the call, and both descriptors are open.
        let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, leg.as_raw_fd(), &mut event) };
        assert_eq!(added, 0, "a socket can be waited for");
    }
    let mut out = std::io::stdout().lock();
    for leg in &legs {
        writeln!(out, "{}", leg.local_addr().expect("bound")).expect("somebody reads this");
    }
    out.flush().expect("somebody reads this");

    let mut events = [libc::epoll_event { events: 0, u64: 0 }; READY];
    let mut buffer = [0; DATAGRAM];
    loop {
        // SAFETY: `events` has room for the number that is given.
        let ready = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), READY as i32, -1) };
        for event in events.iter().take(usize::try_from(ready).unwrap_or(0)) {
            let index = event.u64 as usize;
            if let Ok((len, _)) = legs[index].recv_from(&mut buffer) {
                // The even legs face the carrier: what comes in there leaves by the next one, to the callee.
                let _ = legs[index ^ 1].send_to(&buffer[..len], ends[1 - index % 2]);
            }
        }
    }
}

/// Appends of `bytes` with an `fdatasync` each, a second, in `folder`.
pub fn synced_writes_a_second(folder: &std::path::Path, bytes: usize, length: Duration) -> f64 {
    let path = folder.join("bare.log");
    let mut file = File::create(&path).expect("the folder can be written");
    let record = vec![0x55; bytes];
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < length {
        file.write_all(&record).expect("the disk has room");
        file.sync_data().expect("the disk obeys");
        count += 1;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path).expect("our own file");
    rate
}

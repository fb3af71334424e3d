//! A capture server for a play: takes what the server under test copies to it (HEP v3), and reads it by itself.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::text::Msg;
use crate::support::witness::{holds_number, numbers_in};

/// How long a copy may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether the play is over.
const LOOK: Duration = Duration::from_millis(50);

/// One copy.
pub struct Copy {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub message: Vec<u8>,
    /// All of the packet.
    pub packet: Vec<u8>,
}

/// The capture server of one play; dropped, it is gone.
pub struct Capture {
    pub address: SocketAddr,
    pub copies: Arc<Mutex<Vec<Copy>>>,
    wanted: Arc<AtomicBool>,
    /// Numbers that stood in what the phones sent and heard.
    numbers: BTreeSet<String>,
    /// What the phones have heard.
    heard: Vec<(SocketAddr, SocketAddr, String)>,
}

impl Capture {
    /// Listens on loopback.
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is free");
        socket
            .set_read_timeout(Some(LOOK))
            .expect("a time-out can be set");
        // Less room is no reason not to play.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        let address = socket.local_addr().expect("bound");
        let (copies, wanted) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(true)));
        let (into, still): (Arc<Mutex<Vec<Copy>>>, _) = (Arc::clone(&copies), Arc::clone(&wanted));
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while still.load(Ordering::Relaxed) {
                let Ok(length) = socket.recv(&mut buffer) else {
                    continue;
                };
                let copy = read(&buffer[..length]).expect("a packet of HEP v3 with a message in it");
                into.lock().expect("no panic").push(copy);
            }
        });
        Self {
            address,
            copies,
            wanted,
            numbers: BTreeSet::new(),
            heard: Vec::new(),
        }
    }

    /// The conf of a server whose messages come here.
    pub fn conf(&self) -> String {
        format!("[hep]\nserver = \"{}\"\n", self.address)
    }

    /// A phone has sent this.
    pub fn said(&mut self, message: &[u8]) {
        self.numbers.extend(numbers_in(message));
    }

    /// A phone has heard this.
    pub fn heard(&mut self, from: SocketAddr, to: SocketAddr, message: &[u8]) {
        self.said(message);
        if let Some(msg) = Msg::read(message) {
            self.heard.push((from, to, face(&msg)));
        }
    }

    /// The copies of what was heard before a server was killed may have died with it.
    pub fn forget(&mut self) {
        self.heard.clear();
    }

    /// What is wrong: a number that can be read, or a message that no copy came of.
    pub fn faults(&mut self) -> Vec<String> {
        let since = Instant::now();
        let mut faults = Vec::new();
        for (from, to, face) in std::mem::take(&mut self.heard) {
            let is_it = |copy: &Copy| {
                let same = if Msg::read(&copy.message).is_some_and(|msg| msg.is_over_tcp()) {
                    // The phone's own port is that of the connection.
                    copy.from.ip() == from.ip() && copy.to.ip() == to.ip()
                } else {
                    copy.from == from && copy.to == to
                };
                same && Msg::read(&copy.message).is_some_and(|msg| self::face(&msg) == face)
            };
            while !self.copies.lock().expect("no panic").iter().any(is_it) {
                if since.elapsed() > PATIENCE {
                    faults.push(format!("no copy of {face} from {from} to {to}"));
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        for copy in self.copies.lock().expect("no panic").iter() {
            for number in &self.numbers {
                if holds_number(&copy.packet, number) {
                    let text = String::from_utf8_lossy(&copy.message).into_owned();
                    faults.push(format!("the capture server was shown {number}:\n{text}"));
                }
            }
        }
        faults
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
    }
}

/// What two writings of one message share.
fn face(msg: &Msg) -> String {
    let cseq = msg.get("CSeq").unwrap_or_default();
    let method = cseq.split_whitespace().last().unwrap_or_default();
    let first = msg.start.split(' ').next().unwrap_or_default();
    let kind = match first {
        "SIP/2.0" => msg.start.split(' ').nth(1).unwrap_or_default(),
        method => method,
    };
    format!("{kind} {method}")
}

/// Takes a packet apart by its own reading of the specification.
fn read(packet: &[u8]) -> Option<Copy> {
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let rest = packet.strip_prefix(b"HEP3")?;
    let (length, mut rest) = rest.split_at_checked(2)?;
    if number(length) as usize != packet.len() {
        return None;
    }
    let (mut ips, mut ports, mut message) = ([None; 2], [None; 2], None);
    let (mut stamped, mut is_sip, mut named) = (0, false, false);
    while !rest.is_empty() {
        let (vendor, after) = rest.split_at_checked(2)?;
        let (kind, after) = after.split_at_checked(2)?;
        let (length, after) = after.split_at_checked(2)?;
        let (value, after) = after.split_at_checked((number(length) as usize).checked_sub(6)?)?;
        rest = after;
        if number(vendor) != 0 {
            return None;
        }
        let v4 = || {
            <[u8; 4]>::try_from(value)
                .ok()
                .map(|ip| IpAddr::V4(Ipv4Addr::from(ip)))
        };
        let v6 = || {
            <[u8; 16]>::try_from(value)
                .ok()
                .map(|ip| IpAddr::V6(Ipv6Addr::from(ip)))
        };
        match number(kind) {
            3 => ips[0] = v4(),
            4 => ips[1] = v4(),
            5 => ips[0] = v6(),
            6 => ips[1] = v6(),
            7 => ports[0] = Some(number(value) as u16),
            8 => ports[1] = Some(number(value) as u16),
            9 => stamped = number(value),
            11 => is_sip = value == [1],
            15 => message = Some(value.to_vec()),
            17 => named = !value.is_empty(),
            _ => {}
        }
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?
        .as_secs();
    if !is_sip || !named || now.abs_diff(stamped) > 600 {
        return None;
    }
    Some(Copy {
        from: SocketAddr::new(ips[0]?, ports[0]?),
        to: SocketAddr::new(ips[1]?, ports[1]?),
        message: message?,
        packet: packet.to_vec(),
    })
}

//! The phones' audio: every call's packets from one thread, 20 ms apart, each with the call, the speaker, a number and
//! the time in it, so that whoever hears one knows exactly what it is. The kernel says when a packet came.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::batch::{Inbox, Outbox, PACKET_BYTES};
pub use crate::batch::{Ns, now};
use crate::leg::Side;
use crate::server::{CALLEE, CARRIER};

/// Sockets of each side: a call's audio comes to one of them.
const SOCKETS: usize = 8;
/// How often the speaker wakes.
const SLOT: Duration = Duration::from_millis(1);
/// What every packet of ours has in it.
const MAGIC: &[u8; 4] = b"SURV";
/// No call has this port.
const NOBODY: u32 = u32::MAX;

/// What one phone says and hears.
#[derive(Clone, Default)]
struct Ear {
    /// The server's port for it; none if it isn't in a call.
    from: Option<SocketAddr>,
    speaks: bool,
    said: u32,
    /// How many of them before the last kill of its call.
    said_before: u32,
    /// When it heard the last packet; 0 if it has heard none since it began to listen.
    last_at: Ns,
    packets: u64,
    last_heard: u32,
    lost: u64,
    ssrc: u32,
    /// The round of the last packet.
    round: usize,
}

/// A pause that a kill made.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Which kill ended it: the first one that it lasted over is one to `kills` before.
    pub round: usize,
    /// How many kills it lasted over.
    pub kills: usize,
    pub call: usize,
    pub side: Side,
    /// From the last packet before to the first after.
    pub ns: Ns,
    /// When the first packet after came.
    pub until: Ns,
}

/// When a process was killed, and the next one started.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    pub killed: Ns,
    pub started: Ns,
}

/// What was heard.
#[derive(Default)]
struct Heard {
    ears: Vec<[Ear; 2]>,
    /// By the server's port: call × 2 + side.
    by_port: Vec<u32>,
    kills: Vec<Kill>,
    gaps: Vec<Gap>,
    faults: Vec<String>,
    late_ns: Ns,
}

/// The audio of all calls; dropped, it ends.
pub struct Audio {
    heard: Arc<Mutex<Heard>>,
    addresses: [Vec<SocketAddr>; 2],
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Where reports (RTCP) come, which nobody reads.
    _reports: Vec<UdpSocket>,
}

/// How many packets a phone has sent in a call.
#[derive(Clone, Copy, Default, Debug)]
pub struct Said {
    /// In all.
    pub all: u64,
    /// Since the last kill that the call lived over, or since its beginning.
    pub since_kill: u64,
}

/// What was heard and said in all.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sum {
    /// Packets that were heard.
    pub packets: u64,
    /// Packets that were said and not heard, but for those in gaps.
    pub lost: u64,
    /// How late the speaker was at the most, in nanoseconds.
    pub late_ns: Ns,
}

impl Audio {
    /// Ready for calls, each of whose phones sends a packet every `frame`.
    pub fn start(frame: Duration) -> Arc<Self> {
        let pairs = [CARRIER, CALLEE].map(|ip| (0..SOCKETS).map(|_| pair(ip)).collect::<Vec<_>>());
        let addresses = pairs.each_ref().map(|pairs| {
            let addresses = pairs
                .iter()
                .map(|(socket, _)| socket.local_addr().expect("bound"));
            addresses.collect()
        });
        let mut sockets = Vec::new();
        let mut reports = Vec::new();
        for (socket, report) in pairs.into_iter().flatten() {
            sockets.push(socket);
            reports.push(report);
        }
        let heard = Arc::new(Mutex::new(Heard {
            by_port: vec![NOBODY; 1 << 16],
            ..Heard::default()
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (heard, stop) = (heard.clone(), stop.clone());
            move || run(&sockets, frame, &heard, &stop)
        });
        Arc::new(Self {
            heard,
            addresses,
            stop,
            thread: Some(thread),
            _reports: reports,
        })
    }

    /// Where this call's phone wants its audio.
    pub fn address(&self, call: usize, side: Side) -> SocketAddr {
        self.addresses[side as usize][call % SOCKETS]
    }

    /// This call's phone listens to that port of the server, and speaks to it or is silent.
    pub fn tune(&self, call: usize, side: Side, from: SocketAddr, speaks: bool) {
        let mut heard = self.heard();
        if heard.ears.len() <= call {
            heard
                .ears
                .resize(call + 1, [const { None }; 2].map(|_: Option<()>| Ear::default()));
        }
        heard.by_port[usize::from(from.port())] = (call * 2 + side as usize) as u32;
        let round = heard.kills.len();
        let other = &mut heard.ears[call][side.other() as usize];
        if !speaks {
            other.last_at = 0;
        }
        let ear = &mut heard.ears[call][side as usize];
        if ear.from != Some(from) {
            ear.round = round;
        }
        ear.from = Some(from);
        ear.speaks = speaks;
    }

    /// This call is over for that phone.
    pub fn end(&self, call: usize, side: Side) {
        let mut heard = self.heard();
        let Some(ear) = heard.ears.get_mut(call).map(|ears| &mut ears[side as usize]) else {
            return;
        };
        ear.speaks = false;
        if let Some(from) = ear.from.take() {
            let port = usize::from(from.port());
            if heard.by_port[port] == (call * 2 + side as usize) as u32 {
                heard.by_port[port] = NOBODY;
            }
        }
    }

    /// The server was killed then, and another process started.
    pub fn killed(&self, killed: Ns, started: Ns) {
        let mut heard = self.heard();
        for ear in heard.ears.iter_mut().flatten().filter(|ear| ear.from.is_some()) {
            ear.said_before = ear.said;
        }
        heard.kills.push(Kill { killed, started });
    }

    /// Every kill so far.
    pub fn kills(&self) -> Vec<Kill> {
        self.heard().kills.clone()
    }

    /// Those whose other side speaks and who have heard nothing of it since `since`.
    pub fn silent(&self, since: Ns) -> Vec<(usize, Side)> {
        let heard = self.heard();
        let ears = heard.ears.iter().enumerate();
        ears.flat_map(|(call, ears)| {
            Side::BOTH.into_iter().filter_map(move |side| {
                let (ear, other) = (&ears[side as usize], &ears[side.other() as usize]);
                let is_due = ear.from.is_some() && other.from.is_some() && other.speaks;
                (is_due && ear.last_at <= since).then_some((call, side))
            })
        })
        .collect()
    }

    /// How many packets each phone of a call has sent.
    pub fn said_by(&self, call: usize) -> [Said; 2] {
        let heard = self.heard();
        let said = |ear: &Ear| Said {
            all: u64::from(ear.said),
            since_kill: u64::from(ear.said - ear.said_before),
        };
        let ears = heard.ears.get(call);
        ears.map_or([Said::default(); 2], |ears| ears.each_ref().map(said))
    }

    /// The pauses that the kills made.
    pub fn gaps(&self) -> Vec<Gap> {
        self.heard().gaps.clone()
    }

    /// What was heard and must not be.
    pub fn faults(&self) -> Vec<String> {
        self.heard().faults.clone()
    }

    /// What was heard in all.
    pub fn sum(&self) -> Sum {
        let heard = self.heard();
        let ears = || heard.ears.iter().flatten();
        Sum {
            packets: ears().map(|ear| ear.packets).sum(),
            lost: ears().map(|ear| ear.lost).sum(),
            late_ns: heard.late_ns,
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("the audio's thread has not failed")
    }
}

impl Drop for Audio {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What failed there has been printed.
            let _ = thread.join();
        }
    }
}

/// A socket on an even port, and the one on the port after it.
fn pair(ip: Ipv4Addr) -> (UdpSocket, UdpSocket) {
    loop {
        let socket = UdpSocket::bind((ip, 0)).expect("a free port");
        let port = socket.local_addr().expect("bound").port();
        if !port.is_multiple_of(2) {
            continue;
        }
        let Ok(next) = UdpSocket::bind((ip, port + 1)) else {
            continue;
        };
        let wide = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        wide.expect("a buffer as large as the system allows");
        return (socket, next);
    }
}

fn run(sockets: &[UdpSocket], frame: Duration, heard: &Mutex<Heard>, stop: &AtomicBool) {
    let slots = (frame.as_millis() as u64).max(1);
    let slot_ns = SLOT.as_nanos() as Ns;
    let mut inboxes: Vec<Inbox> = sockets
        .iter()
        .map(|socket| Inbox::new(socket.as_raw_fd()))
        .collect();
    let mut outboxes: Vec<Outbox> = sockets
        .iter()
        .map(|socket| Outbox::new(socket.as_raw_fd()))
        .collect();
    let began = now();
    let mut tick = 0;
    while !stop.load(Ordering::Relaxed) {
        {
            let mut heard = heard.lock().expect("nobody who holds it fails");
            let late = now().saturating_sub(began + tick * slot_ns);
            heard.late_ns = heard.late_ns.max(late);
            while began + tick * slot_ns <= now() {
                heard.speak(tick % slots, slots, &mut outboxes);
                tick += 1;
            }
            for (index, inbox) in inboxes.iter_mut().enumerate() {
                inbox.read(|at, from, bytes| heard.hear(index, at, from, bytes));
            }
        }
        let wait = (began + tick * slot_ns).saturating_sub(now());
        thread::sleep(Duration::from_nanos(wait));
    }
}

impl Heard {
    /// Everybody whose turn it is says his packet.
    fn speak(&mut self, slot: u64, slots: u64, outboxes: &mut [Outbox]) {
        let at = now();
        let calls = self.ears.iter_mut().enumerate();
        for (call, ears) in calls.skip(slot as usize).step_by(slots as usize) {
            for side in Side::BOTH {
                let ear = &mut ears[side as usize];
                let (Some(to), true) = (ear.from, ear.speaks) else {
                    continue;
                };
                ear.said += 1;
                let packet = packet(call, side, ear.said, at, slots);
                outboxes[side as usize * SOCKETS + call % SOCKETS].put(to, &packet);
            }
        }
        outboxes.iter_mut().for_each(Outbox::flush);
    }

    fn hear(&mut self, socket: usize, at: Ns, from: SocketAddr, bytes: &[u8]) {
        let whose = self.by_port[usize::from(from.port())];
        if whose == NOBODY {
            // The last packets of a call that is over.
            return;
        }
        let (call, side) = (whose as usize / 2, Side::BOTH[whose as usize % 2]);
        let Some((speaker, of_call, number)) = read(bytes) else {
            self.faults.push(format!(
                "call {call} {side:?} hears {} strange bytes",
                bytes.len()
            ));
            return;
        };
        if (of_call, speaker) != (call, side.other()) || socket != side as usize * SOCKETS + call % SOCKETS {
            self.faults.push(format!(
                "call {call} {side:?} hears the {speaker:?} of call {of_call}, at socket {socket}"
            ));
            return;
        }
        let ssrc = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        let is_marked = bytes[1] & 0x80 != 0;
        let round = self.kills.len();
        let ear = &mut self.ears[call][side as usize];
        let is_after = self.kills.last().is_some_and(|kill| at > kill.killed);
        if is_after && ear.round < round {
            if ear.last_at != 0 {
                self.gaps.push(Gap {
                    round: round - 1,
                    kills: round - ear.round,
                    call,
                    side,
                    ns: at - ear.last_at,
                    until: at,
                });
                if ear.ssrc == ssrc || !is_marked {
                    self.faults.push(format!(
                        "call {call} {side:?} hears a stream that goes on: SSRC {:08x} then {ssrc:08x}, marker {is_marked}",
                        ear.ssrc
                    ));
                }
            }
            ear.round = round;
        } else if ear.last_at != 0 {
            match number.checked_sub(ear.last_heard) {
                Some(1..) => ear.lost += u64::from(number - ear.last_heard - 1),
                Some(0) | None => self.faults.push(format!(
                    "call {call} {side:?} hears packet {number} after {}",
                    ear.last_heard
                )),
            }
            if ear.ssrc != ssrc {
                self.faults
                    .push(format!("call {call} {side:?} hears another SSRC within a round"));
            }
        }
        ear.ssrc = ssrc;
        ear.last_heard = number;
        ear.last_at = at;
        ear.packets += 1;
    }
}

/// A frame of PCMU whose samples say whose it is.
fn packet(call: usize, side: Side, number: u32, at: Ns, frame_ms: u64) -> [u8; PACKET_BYTES] {
    let mut packet = [0xFF; PACKET_BYTES];
    packet[0] = 0x80;
    packet[1] = 0;
    packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&number.wrapping_mul(8 * frame_ms as u32).to_be_bytes());
    packet[8..12].copy_from_slice(&(0x5000_0000 + (call * 2 + side as usize) as u32).to_be_bytes());
    packet[12..16].copy_from_slice(MAGIC);
    packet[16..20].copy_from_slice(&(call as u32).to_be_bytes());
    packet[20] = side as u8;
    packet[21..25].copy_from_slice(&number.to_be_bytes());
    packet[25..33].copy_from_slice(&at.to_be_bytes());
    packet
}

/// Who says it, in which call, and the packet's number.
fn read(bytes: &[u8]) -> Option<(Side, usize, u32)> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let is_ours = bytes.len() == PACKET_BYTES && bytes.get(12..16)? == MAGIC && bytes[1] & 0x7F == 0;
    let side = Side::BOTH
        .into_iter()
        .find(|side| bytes.get(20) == Some(&(*side as u8)))?;
    is_ours.then_some((side, word(16)? as usize, word(21)?))
}

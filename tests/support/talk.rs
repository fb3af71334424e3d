//! Two plain phones that talk through a real server: SIP over UDP, PCMA both ways every 20 ms, and when each packet
//! was heard.
#![allow(dead_code)] // each test binary uses its part

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use umbra::rtp::g711::Law;

use super::server::{A, B, CALLEE, CARRIER, PATIENCE, X};

const PACE: Duration = Duration::from_millis(20);
/// Bytes of a packet's audio.
const FRAME: usize = 160;

/// What a side says over and over, in A-law: whole packets.
pub type Words = Arc<[u8]>;

/// How a side says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    /// By one of G.711's laws.
    G711(Law),
    /// In packets that are called Opus: the server passes them on unread.
    Opus,
}

impl Codec {
    const fn payload(self) -> u8 {
        match self {
            Self::G711(law) => law.payload(),
            Self::Opus => 111,
        }
    }
}

/// Nothing.
fn silence() -> Words {
    [0xD5; FRAME].into()
}

/// The called party's phone before anybody calls: where the trunk's gateway is.
pub struct Callee {
    sip: UdpSocket,
}

impl Callee {
    /// A phone that waits.
    pub fn new() -> Self {
        let sip = UdpSocket::bind((CALLEE, 0)).expect("a port");
        sip.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self { sip }
    }

    /// The same at this address, where no other is any more.
    pub fn at(address: SocketAddr) -> Self {
        let sip = UdpSocket::bind(address).expect("it is free");
        sip.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self { sip }
    }

    /// Another phone at the same place.
    pub fn another(&self) -> Self {
        let sip = self.sip.try_clone().expect("the same");
        Self { sip }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.sip.local_addr().expect("bound")
    }
}

/// A call that is up, both sides talking.
pub struct Talk {
    server: SocketAddr,
    /// The number that A calls.
    x: &'static str,
    sip: UdpSocket,
    callee: Callee,
    id: String,
    to_tag: String,
    /// What the callee's phone heard of the server's INVITE: its way back, and the dialog's headers.
    invite: String,
    /// Where the server is to the callee's phone.
    from: SocketAddr,
    /// Where both speak, and listen.
    rtp: Option<[SocketAddr; 2]>,
    /// Of A's last request that isn't an ACK.
    cseq: AtomicU32,
    a: Voice,
    b: Voice,
}

/// How a side sends what it says.
#[derive(Clone, Copy)]
struct Manner {
    ssrc: u32,
    codec: Codec,
    /// What its sequence numbers and timestamps begin with.
    first: (u16, u32),
}

/// One side's RTP.
struct Voice {
    manner: Arc<Mutex<Manner>>,
    heard: Arc<Heard>,
    sent: Arc<AtomicU64>,
    /// When it began to speak.
    began: Option<SystemTime>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    packets: AtomicU64,
    last: Mutex<Option<Instant>>,
    /// The longest time between two packets.
    gap: Mutex<Duration>,
    ssrcs: Mutex<Vec<u32>>,
    /// The SSRC and the sequence number of the last one.
    newest: Mutex<Option<(u32, u16)>>,
    /// Packets that lacked between two of a stream.
    lacking: AtomicU64,
    /// Those of Opus, as they came.
    opus: Mutex<Vec<Vec<u8>>>,
}

impl Talk {
    fn of(server: SocketAddr, callee: Callee, n: u32) -> Self {
        let sip = UdpSocket::bind((CARRIER, 0)).expect("a port");
        sip.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self {
            server,
            x: X,
            sip,
            callee,
            id: format!("talk{n}"),
            to_tag: String::new(),
            invite: String::new(),
            from: server,
            rtp: None,
            cseq: AtomicU32::new(1),
            a: Voice::silent(),
            b: Voice::silent(),
        }
    }

    /// A calls B through X; when this returns, both have heard each other. `n` tells calls apart.
    pub fn begin(server: SocketAddr, callee: Callee, n: u32) -> Self {
        Self::saying(server, callee, n, X, [silence(), silence()])
    }

    /// The same through another number, and each side says something.
    pub fn saying(server: SocketAddr, callee: Callee, n: u32, x: &'static str, words: [Words; 2]) -> Self {
        let mut talk = Self::of(server, callee, n);
        talk.x = x;
        let rtp = [CARRIER, CALLEE].map(|ip| UdpSocket::bind((ip, 0)).expect("a port"));
        let [a_rtp, b_rtp] = rtp.each_ref().map(|rtp| rtp.local_addr().expect("bound"));
        talk.request("INVITE", 1, &sdp(a_rtp, 1, Codec::G711(Law::A)));
        let (invite, from) = hear(&talk.callee.sip, "INVITE ");
        (talk.invite, talk.from) = (invite, from);
        talk.answer(&talk.invite, "200 OK", &sdp(b_rtp, 1, Codec::G711(Law::A)));
        let (answer, _) = hear(&talk.sip, "SIP/2.0 200");
        talk.to_tag = tag(&answer, "To:");
        talk.request("ACK", 1, "");
        hear(&talk.callee.sip, "ACK ");
        let [a_socket, b_socket] = rtp;
        let [a_words, b_words] = words;
        talk.rtp = Some([a_rtp, b_rtp]);
        talk.a = Voice::start(a_socket, media_of(&answer), 1 + 2 * n, a_words);
        talk.b = Voice::start(b_socket, media_of(&talk.invite), 2 + 2 * n, b_words);
        talk.both_hear();
        talk
    }

    /// A calls B through X, and B's phone rings.
    pub fn ringing(server: SocketAddr, callee: Callee, n: u32) -> Self {
        let mut talk = Self::of(server, callee, n);
        let ear = UdpSocket::bind((CARRIER, 0)).expect("a port");
        talk.request(
            "INVITE",
            1,
            &sdp(ear.local_addr().expect("bound"), 1, Codec::G711(Law::A)),
        );
        (talk.invite, talk.from) = hear(&talk.callee.sip, "INVITE ");
        talk.answer(&talk.invite, "180 Ringing", "");
        hear(&talk.sip, "SIP/2.0 180");
        talk
    }

    /// A calls and is refused: the status.
    pub fn refused(server: SocketAddr, n: u32) -> u16 {
        let talk = Self::of(server, Callee::new(), n);
        let ear = UdpSocket::bind((CARRIER, 0)).expect("a port");
        talk.request(
            "INVITE",
            1,
            &sdp(ear.local_addr().expect("bound"), 1, Codec::G711(Law::A)),
        );
        talk.final_status()
    }

    /// Both sides of a call that rang hear that it is over: B a CANCEL, A a final answer, whose status this returns.
    pub fn is_given_up(&self) -> u16 {
        let (cancel, _) = hear(&self.callee.sip, "CANCEL ");
        self.answer(&cancel, "200 OK", "");
        self.answer(&self.invite, "487 Request Terminated", "");
        hear(&self.callee.sip, "ACK ");
        self.final_status()
    }

    /// What A is told at last that isn't an answer.
    fn final_status(&self) -> u16 {
        loop {
            let (answer, _) = hear(&self.sip, "SIP/2.0 ");
            let status = answer.get(8..11).and_then(|digits| digits.parse().ok());
            if let Some(status @ 300..) = status {
                return status;
            }
        }
    }

    /// Waits until each side has heard some more of the other.
    pub fn both_hear(&self) {
        for voice in [&self.a, &self.b] {
            let heard = || voice.heard.packets.load(Ordering::Relaxed);
            let (before, deadline) = (heard(), Instant::now() + PATIENCE);
            while heard() < before + 5 {
                assert!(Instant::now() < deadline, "one side hears nothing");
                thread::sleep(PACE);
            }
        }
    }

    /// The longest time that either side heard nothing, and forgets it.
    pub fn gap(&self) -> Duration {
        let of = |voice: &Voice| std::mem::take(&mut *voice.heard.gap.lock().expect("whole"));
        of(&self.a).max(of(&self.b))
    }

    /// How many streams each side has heard.
    pub fn streams(&self) -> [usize; 2] {
        [&self.a, &self.b].map(|voice| voice.heard.ssrcs.lock().expect("whole").len())
    }

    /// How many packets neither side has heard that lay between two that it heard.
    pub fn lacking(&self) -> u64 {
        [&self.a, &self.b]
            .map(|voice| voice.heard.lacking.load(Ordering::Relaxed))
            .iter()
            .sum()
    }

    /// Both sides go on as other sources, with numbers and times of their own.
    pub fn are_others(&self) {
        for voice in [&self.a, &self.b] {
            let mut manner = voice.manner.lock().expect("whole");
            let (seq, timestamp) = manner.first;
            manner.ssrc = manner.ssrc.wrapping_add(0x5000_0000);
            manner.first = (seq.wrapping_add(31_000), timestamp.wrapping_add(3_000_000_000));
        }
    }

    /// A wants another codec by a re-INVITE, the server asks B, and both speak by it.
    pub fn changes_to(&self, codec: Codec) {
        let [a, b] = self.rtp.expect("they talk");
        let cseq = self.next();
        self.request("INVITE", cseq, &sdp(a, cseq, codec));
        let (invite, _) = hear(&self.callee.sip, "INVITE ");
        self.answer(&invite, "200 OK", &sdp(b, cseq, codec));
        hear(&self.callee.sip, "ACK ");
        self.b.manner.lock().expect("whole").codec = codec;
        hear(&self.sip, "SIP/2.0 200");
        self.request("ACK", cseq, "");
        self.a.manner.lock().expect("whole").codec = codec;
    }

    /// The packets of Opus that A's phone has heard, and B's.
    pub fn opus(&self) -> [Vec<Vec<u8>>; 2] {
        [&self.a, &self.b].map(|voice| voice.heard.opus.lock().expect("whole").clone())
    }

    fn next(&self) -> u32 {
        self.cseq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// When each side began to speak.
    pub fn began(&self) -> [SystemTime; 2] {
        [&self.a, &self.b].map(|voice| voice.began.expect("it speaks"))
    }

    /// How many packets the more talkative side has sent.
    pub fn sent(&self) -> u64 {
        let of = |voice: &Voice| voice.sent.load(Ordering::Relaxed);
        of(&self.a).max(of(&self.b))
    }

    /// A hangs up: its BYE is answered, and B hears one and answers it.
    pub fn end(self) {
        self.hang_up();
        self.hangs_up();
    }

    /// A says BYE, and waits for nothing.
    pub fn hang_up(&self) {
        self.request("BYE", self.next(), "");
    }

    /// The rest of [`Talk::end`].
    pub fn hangs_up(self) {
        let (bye, _) = hear(&self.callee.sip, "BYE ");
        self.answer(&bye, "200 OK", "");
        hear(&self.sip, "SIP/2.0 200");
    }

    /// Both sides hear from the server that the call is over.
    pub fn ended(self) {
        let (bye, _) = hear(&self.callee.sip, "BYE ");
        self.answer(&bye, "200 OK", "");
        let (bye, from) = hear(&self.sip, "BYE ");
        let answer = reply(&bye, self.sip.local_addr().expect("bound"), "200 OK", "");
        self.sip.send_to(answer.as_bytes(), from).expect("sent");
    }

    fn request(&self, method: &str, cseq: u32, body: &str) {
        let here = self.sip.local_addr().expect("bound");
        let (server, id, to, x) = (self.server, &self.id, &self.to_tag, self.x);
        let to = if to.is_empty() {
            String::new()
        } else {
            format!(";tag={to}")
        };
        let text = format!(
            "{method} sip:{x}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{id}{method}{cseq};rport\r\n\
             From: <sip:{A}@{here}>;tag=a{id}\r\nTo: <sip:{x}@{server}>{to}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{A}@{here}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.sip.send_to(text.as_bytes(), server).expect("sent");
    }

    /// The callee's phone answers a request.
    fn answer(&self, request: &str, status: &str, body: &str) {
        let text = reply(request, self.callee.address(), status, body);
        self.callee.sip.send_to(text.as_bytes(), self.from).expect("sent");
    }
}

impl Voice {
    fn silent() -> Self {
        let manner = Manner {
            ssrc: 0,
            codec: Codec::G711(Law::A),
            first: (0, 0),
        };
        Self {
            manner: Arc::new(Mutex::new(manner)),
            heard: Arc::default(),
            sent: Arc::default(),
            began: None,
            stop: Arc::default(),
            threads: Vec::new(),
        }
    }

    /// Says that to `there`, and listens.
    fn start(socket: UdpSocket, there: SocketAddr, ssrc: u32, words: Words) -> Self {
        socket.set_read_timeout(Some(PACE)).expect("not zero");
        let mut voice = Self::silent();
        voice.manner.lock().expect("whole").ssrc = ssrc;
        let manner = voice.manner.clone();
        let (mouth, stop) = (socket.try_clone().expect("the same"), voice.stop.clone());
        let sent = voice.sent.clone();
        voice.began = Some(SystemTime::now());
        let began = Instant::now();
        voice.threads.push(thread::spawn(move || {
            let mut packet = [0; 12 + FRAME];
            for n in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // By one clock: whoever is late once isn't late for ever.
                thread::sleep((PACE * n).saturating_sub(began.elapsed()));
                let frame = words
                    .chunks_exact(FRAME)
                    .cycle()
                    .nth(n as usize % (words.len() / FRAME));
                let Manner { ssrc, codec, first } = *manner.lock().expect("whole");
                packet[..2].copy_from_slice(&[0x80, codec.payload()]);
                packet[2..4].copy_from_slice(&(n as u16).wrapping_add(first.0).to_be_bytes());
                let ticks = match codec {
                    Codec::G711(_) => 160,
                    Codec::Opus => 960,
                };
                packet[4..8].copy_from_slice(&n.wrapping_mul(ticks).wrapping_add(first.1).to_be_bytes());
                packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
                packet[12..].copy_from_slice(frame.expect("they say something"));
                if let Codec::G711(law) = codec
                    && law != Law::A
                {
                    for code in &mut packet[12..] {
                        *code = law.encode(Law::A.decode(*code));
                    }
                }
                // Nobody may be there just now.
                let _ = mouth.send_to(&packet, there);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let (heard, stop) = (voice.heard.clone(), voice.stop.clone());
        voice.threads.push(thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !stop.load(Ordering::Relaxed) {
                let Ok((len @ 12.., _)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if len == 172 {
                    heard.hear(&buffer[..len]);
                }
            }
        }));
        voice
    }
}

impl Heard {
    fn hear(&self, packet: &[u8]) {
        if packet[1] & 0x7f == Codec::Opus.payload() {
            self.opus.lock().expect("whole").push(packet.to_vec());
        }
        let now = Instant::now();
        let before = self.last.lock().expect("whole").replace(now);
        if let Some(before) = before {
            let mut gap = self.gap.lock().expect("whole");
            *gap = (*gap).max(now - before);
        }
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let mut ssrcs = self.ssrcs.lock().expect("whole");
        if !ssrcs.contains(&ssrc) {
            ssrcs.push(ssrc);
        }
        let seq = u16::from_be_bytes([packet[2], packet[3]]);
        let newest = self.newest.lock().expect("whole").replace((ssrc, seq));
        let further = newest
            .filter(|(of, _)| *of == ssrc)
            .map_or(1, |(_, newest)| seq.wrapping_sub(newest));
        self.lacking
            .fetch_add(u64::from(further.saturating_sub(1)), Ordering::Relaxed);
        self.packets.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A party's description, of that version.
fn sdp(rtp: SocketAddr, version: u32, codec: Codec) -> String {
    let (ip, port, number) = (rtp.ip(), rtp.port(), codec.payload());
    let map = match codec {
        Codec::G711(_) => "",
        Codec::Opus => "a=rtpmap:111 opus/48000/2\r\n",
    };
    format!(
        "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {number}\r\n{map}"
    )
}

/// Where a message's description wants the audio.
fn media_of(message: &str) -> SocketAddr {
    let line = |start: &str| message.lines().find_map(|line| line.strip_prefix(start));
    let ip = line("c=IN IP4 ").expect("an address").trim();
    let port = line("m=audio ")
        .and_then(|rest| rest.split(' ').next())
        .expect("a port");
    format!("{ip}:{port}").parse().expect("an address")
}

fn tag(message: &str, header: &str) -> String {
    let line = message
        .lines()
        .find(|line| line.starts_with(header))
        .expect("it is there");
    let (_, tag) = line.split_once(";tag=").expect("it has a tag");
    tag.split(';').next().unwrap_or_default().trim().to_owned()
}

/// The next message that begins so; others are let go.
fn hear(socket: &UdpSocket, start: &str) -> (String, SocketAddr) {
    let mut buffer = [0; 8_192];
    loop {
        let (len, from) = socket
            .recv_from(&mut buffer)
            .unwrap_or_else(|error| panic!("waited for {start}: {error}"));
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        if text.starts_with(start) {
            return (text, from);
        }
    }
}

fn reply(request: &str, here: SocketAddr, status: &str, body: &str) -> String {
    let lines = |names: &[&str]| -> String {
        let named = |line: &&str| names.iter().any(|name| line.starts_with(name));
        let lines = request.lines().filter(named);
        lines.map(|line| format!("{line}\r\n")).collect()
    };
    let to = lines(&["To:"]).trim_end().to_owned();
    let to_tag = if to.contains(";tag=") { "" } else { ";tag=b" };
    format!(
        "SIP/2.0 {status}\r\n{}{to}{to_tag}\r\nContact: <sip:{B}@{here}>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        lines(&["Via:", "From:", "Call-ID:", "CSeq:", "Record-Route:"]),
        body.len()
    )
}

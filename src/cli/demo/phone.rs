//! A small telephone for the demo: real SIP and real audio over real sockets. It tells everything that it
//! sends and sees, and keeps what it heard.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::chance::Chance;
use crate::rtp::g711::Law;
use crate::rtp::packet::{self, HEADER_BYTES, Header};
use crate::rtp::tone::{SAMPLE_RATE_HZ, Tone};
use crate::sip::build::{self, Body, Request, Response};
use crate::sip::header::Name;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::path::Transport;

/// Samples of one packet: 20 ms.
const FRAME: usize = SAMPLE_RATE_HZ as usize / 50;
/// How long a phone waits for an answer before it gives the call up.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a phone keeps of a conversation: a minute.
const HEARD_MAX: usize = SAMPLE_RATE_HZ as usize * 60;

/// One message at a phone.
pub struct Seen {
    /// Which phone.
    pub phone: &'static str,
    /// Whether the phone sent it.
    pub way: Way,
    /// When.
    pub at: Instant,
    /// `INVITE`, `180`, …
    pub what: String,
    /// What it says about the other party.
    pub shows: String,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// Which way a message went, seen from the phone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The phone sent it.
    Sent,
    /// The phone got it.
    Got,
}

/// A telephone.
pub struct Phone {
    name: &'static str,
    number: String,
    sip: UdpSocket,
    rtp: UdpSocket,
    tone_hz: u16,
    tell: Sender<Seen>,
    heard: Arc<Mutex<Vec<i16>>>,
    chance: Chance,
}

impl Phone {
    /// A phone on `sip`, with a port of its own for audio at the same address; it hums `tone_hz`.
    ///
    /// # Errors
    /// No port could be had.
    pub fn new(
        name: &'static str,
        number: &str,
        sip: UdpSocket,
        tone_hz: u16,
        tell: Sender<Seen>,
        chance: Chance,
    ) -> io::Result<Self> {
        let rtp = UdpSocket::bind(SocketAddr::new(sip.local_addr()?.ip(), 0))?;
        rtp.set_read_timeout(Some(Duration::from_millis(20)))?;
        Ok(Self {
            name,
            number: number.into(),
            sip,
            rtp,
            tone_hz,
            tell,
            heard: Arc::default(),
            chance,
        })
    }

    /// What the phone has heard since it was last asked, 8,000 samples a second.
    pub fn heard(&self) -> Vec<i16> {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls `x` through the server, talks for `talk`, and hangs up.
    ///
    /// # Errors
    /// A sentence that says how far it came.
    pub fn call(&mut self, server: SocketAddr, x: &str, talk: Duration) -> Result<(), String> {
        let here = self.sip.local_addr().map_err(|e| e.to_string())?;
        let tag = text(self.chance.token::<12>());
        let call_id = text(self.chance.token::<20>());
        let uri = format!("sip:{x}@{server}");
        let from = format!("<sip:{}@{here}>;tag={tag}", self.number);
        let contact = format!("<sip:{}@{here}>", self.number);
        let sdp = self.sdp();
        let request = |method, cseq, to: &str, uri: &str, branch: &str, body| {
            build::request(&Request {
                method,
                uri: uri.as_bytes(),
                transport: Transport::Udp,
                sent_by: here,
                branch: branch.as_bytes(),
                from: from.as_bytes(),
                to: to.as_bytes(),
                call_id: call_id.as_bytes(),
                cseq,
                max_forwards: 70,
                routes: &[],
                contact: Some(contact.as_bytes()),
                headers: &[],
                body,
            })
        };
        let mut branch = || format!("z9hG4bK{}", text(self.chance.token::<16>()));
        let (first, second, third) = (branch(), branch(), branch());
        let to = format!("<{uri}>");
        let body = Body {
            content_type: "application/sdp",
            bytes: sdp.as_bytes(),
        };
        let invite = request(Method::Invite, 1, &to, &uri, &first, Some(body));
        self.send(server, invite);
        let answer =
            self.await_message(|m| m.status().is_some_and(|s| s >= 200) && m.method() == Method::Invite)?;
        let answer = Message::parse(&answer.0).map_err(|e| e.why.to_owned())?;
        let status = answer.status().unwrap_or(0);
        if status >= 300 {
            return Err(format!("the call was refused with {status}"));
        }
        let to = String::from_utf8_lossy(answer.get(Name::To).unwrap_or_default()).into_owned();
        let target = answer
            .contact()
            .map(|c| String::from_utf8_lossy(c.uri).into_owned())
            .unwrap_or(uri);
        let far = media_address(answer.body()).ok_or("the answer names no address for audio")?;
        self.send(server, request(Method::Ack, 1, &to, &target, &second, None));
        let humming = self.hum(far);
        thread::sleep(talk);
        drop(humming);
        self.send(server, request(Method::Bye, 2, &to, &target, &third, None));
        self.await_message(|m| m.status().is_some() && m.method() == Method::Bye)?;
        Ok(())
    }

    /// Answers one call after `ring`, hums until the other side hangs up.
    ///
    /// # Errors
    /// A sentence that says how far it came. `stop` ends the wait for a call.
    pub fn answer(&mut self, ring: Duration, stop: &AtomicBool) -> Result<(), String> {
        let here = self.sip.local_addr().map_err(|e| e.to_string())?;
        let (bytes, from) = loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if let Some((bytes, from)) = self.receive(Duration::from_millis(200))
                && Message::parse(&bytes).is_ok_and(|m| m.status().is_none() && m.method() == Method::Invite)
            {
                break (bytes, from);
            }
        };
        let invite = Message::parse(&bytes).map_err(|e| e.why.to_owned())?;
        let far = media_address(invite.body()).ok_or("the INVITE names no address for audio")?;
        let tag = self.chance.token::<12>();
        let contact = format!("<sip:{}@{here}>", self.number);
        let sdp = self.sdp();
        let respond = |request: &Message<'_>, status, body| {
            build::response(
                request.head(),
                from,
                &Response {
                    status,
                    to_tag: Some(&tag),
                    contact: Some(contact.as_bytes()),
                    headers: &[],
                    body,
                },
            )
        };
        self.send(from, respond(&invite, 180, None));
        thread::sleep(ring);
        let body = Body {
            content_type: "application/sdp",
            bytes: sdp.as_bytes(),
        };
        self.send(from, respond(&invite, 200, Some(body)));
        let humming = self.hum(far);
        let deadline = Instant::now() + Duration::from_secs(3_600);
        while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
            let Some((bytes, from)) = self.receive(Duration::from_millis(200)) else {
                continue;
            };
            let Ok(request) = Message::parse(&bytes) else {
                continue;
            };
            if request.status().is_none() && request.method() == Method::Bye {
                drop(humming);
                self.send(from, respond(&request, 200, None));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hums and listens until what is returned is dropped.
    fn hum(&self, far: SocketAddr) -> Humming {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = match (self.rtp.try_clone(), self.rtp.try_clone()) {
            (Ok(mouth), Ok(ear)) => {
                let (hz, ssrc) = (self.tone_hz, u32::from(self.tone_hz) << 16 | 0x5EED);
                let (quiet, deaf) = (stop.clone(), stop.clone());
                let heard = self.heard.clone();
                vec![
                    thread::spawn(move || speak(&mouth, far, hz, ssrc, &quiet)),
                    thread::spawn(move || listen(&ear, &heard, &deaf)),
                ]
            }
            _ => Vec::new(),
        };
        Humming { stop, threads }
    }

    fn sdp(&self) -> String {
        let Ok(here) = self.rtp.local_addr() else {
            return String::new();
        };
        format!(
            "v=0\r\no=phone-{} 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n",
            self.number,
            here.port(),
            ip = here.ip(),
        )
    }

    fn send(&self, to: SocketAddr, bytes: Vec<u8>) {
        let at = Instant::now();
        // A lost datagram shows as an answer that doesn't come.
        let _ = self.sip.send_to(&bytes, to);
        self.say(Way::Sent, at, bytes);
    }

    fn receive(&self, patience: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = vec![0; 65_535];
        self.sip.set_read_timeout(Some(patience)).ok()?;
        let (len, from) = self.sip.recv_from(&mut buffer).ok()?;
        buffer.truncate(len);
        self.say(Way::Got, Instant::now(), buffer.clone());
        Some((buffer, from))
    }

    fn await_message(&self, wanted: impl Fn(&Message<'_>) -> bool) -> Result<(Vec<u8>, SocketAddr), String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some((bytes, from)) = self.receive(Duration::from_millis(200))
                && Message::parse(&bytes).is_ok_and(|m| wanted(&m))
            {
                return Ok((bytes, from));
            }
        }
        Err(format!(
            "phone {} heard nothing for {} s",
            self.name,
            PATIENCE.as_secs()
        ))
    }

    fn say(&self, way: Way, at: Instant, bytes: Vec<u8>) {
        let Ok(message) = Message::parse(&bytes) else {
            return;
        };
        let what = match message.status() {
            Some(status) => format!("{status}"),
            None => message.method().name().to_owned(),
        };
        let user = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let shows = match (way, message.status(), message.method()) {
            (Way::Sent, None, Method::Invite) => format!("dials {}", user(message.to().uri)),
            (Way::Got, None, Method::Invite) => format!("shown {}", user(message.from().uri)),
            _ if !message.body().is_empty() => "with SDP".to_owned(),
            _ => String::new(),
        };
        // The demo may have stopped listening: then nobody misses it.
        let _ = self.tell.send(Seen {
            phone: self.name,
            way,
            at,
            what,
            shows,
            bytes: bytes.clone(),
        });
    }
}

/// Two threads that speak and listen; dropped, they end.
struct Humming {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Drop for Humming {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn speak(socket: &UdpSocket, far: SocketAddr, hz: u16, ssrc: u32, stop: &AtomicBool) {
    let mut tone = Tone::new(hz, 8_000);
    let mut samples = [0; FRAME];
    let (mut seq, mut timestamp) = (1_u16, 0_u32);
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        tone.fill(&mut samples);
        let mut payload = Vec::with_capacity(FRAME);
        Law::A.encode_all(&samples, &mut payload);
        let mut bytes = [vec![0; HEADER_BYTES], payload].concat();
        let header = Header {
            marker: seq == 1,
            payload_type: 8,
            seq,
            timestamp,
            ssrc,
        };
        let whole = HEADER_BYTES..bytes.len();
        if packet::write(&header, &mut bytes, whole).is_some() {
            let _ = socket.send_to(&bytes, far);
        }
        seq = seq.wrapping_add(1);
        timestamp = timestamp.wrapping_add(FRAME as u32);
        next += Duration::from_millis(20);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn listen(socket: &UdpSocket, heard: &Mutex<Vec<i16>>, stop: &AtomicBool) {
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, _)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if let Some((header, payload)) = packet::read(&buffer[..len])
            && let Some(law) = Law::of_payload(header.payload_type)
        {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() < HEARD_MAX {
                law.decode_all(&buffer[payload], &mut heard);
            }
        }
    }
}

/// Where a description wants its audio.
fn media_address(sdp: &[u8]) -> Option<SocketAddr> {
    crate::sdp::parse::parse(sdp)
        .ok()?
        .media
        .iter()
        .find_map(|media| media.rtp_address())
}

fn text<const N: usize>(token: [u8; N]) -> String {
    token.iter().map(|letter| char::from(*letter)).collect()
}

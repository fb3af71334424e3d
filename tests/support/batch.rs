//! Datagrams by the dozen: what a phone for a thousand calls sends and reads with one system call.

use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970.
pub type Ns = u64;

/// Now, by the clock that the kernel stamps packets with.
pub fn now() -> Ns {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_nanos() as Ns
}

/// 20 ms of G.711 and its header.
pub const PACKET_BYTES: usize = 172;
/// Datagrams that one system call moves.
const BATCH: usize = 64;
/// Room for what is read.
const ROOM: usize = 256;
/// Room for the kernel's stamp.
const CONTROL: usize = 64;

/// What is about to be sent by one socket.
pub struct Outbox {
    socket: RawFd,
    waiting: Vec<(libc::sockaddr_in, [u8; PACKET_BYTES])>,
}

impl Outbox {
    /// For a socket that stays open.
    pub fn new(socket: RawFd) -> Self {
        Self {
            socket,
            waiting: Vec::with_capacity(BATCH),
        }
    }

    /// Takes a packet.
    pub fn put(&mut self, to: SocketAddr, packet: &[u8; PACKET_BYTES]) {
        let SocketAddr::V4(to) = to else {
            return;
        };
        // SAFETY: all zeroes are an address.
        let mut name: libc::sockaddr_in = unsafe { mem::zeroed() };
        name.sin_family = libc::AF_INET as libc::sa_family_t;
        name.sin_port = to.port().to_be();
        name.sin_addr.s_addr = u32::from_ne_bytes(to.ip().octets());
        self.waiting.push((name, *packet));
    }

    /// Sends them. Nobody may listen just now.
    pub fn flush(&mut self) {
        for chunk in self.waiting.chunks_mut(BATCH) {
            let mut parts: Vec<libc::iovec> = chunk
                .iter_mut()
                .map(|(_, packet)| libc::iovec {
                    iov_base: packet.as_mut_ptr().cast(),
                    iov_len: PACKET_BYTES,
                })
                .collect();
            let mut headers: Vec<libc::mmsghdr> = chunk
                .iter_mut()
                .zip(&mut parts)
                .map(|((name, _), part)| {
                    // SAFETY: all zeroes are a header without anything.
                    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                    header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                    header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as u32;
                    header.msg_hdr.msg_iov = part;
                    header.msg_hdr.msg_iovlen = 1;
                    header
                })
                .collect();
            let mut sent = 0;
            while sent < headers.len() {
                let rest = &mut headers[sent..];
                // SAFETY: the headers, and what they point to, live through the call, and their number is right.
                let done = unsafe { libc::sendmmsg(self.socket, rest.as_mut_ptr(), rest.len() as u32, 0) };
                // One that is refused is left out.
                sent += usize::try_from(done).unwrap_or(0).max(1);
            }
        }
        self.waiting.clear();
    }
}

/// What came to one socket.
pub struct Inbox {
    socket: RawFd,
    rooms: Vec<[u8; ROOM]>,
    names: Vec<libc::sockaddr_in>,
    controls: Vec<[u64; CONTROL / 8]>,
}

impl Inbox {
    /// For a socket that stays open: from now on the kernel stamps what comes.
    pub fn new(socket: RawFd) -> Self {
        let on: libc::c_int = 1;
        // SAFETY: `on` lives through the call, and its size is right.
        let done = unsafe {
            libc::setsockopt(
                socket,
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPNS,
                ptr::from_ref(&on).cast(),
                mem::size_of::<libc::c_int>() as u32,
            )
        };
        assert_eq!(done, 0, "the kernel stamps packets");
        Self {
            socket,
            rooms: vec![[0; ROOM]; BATCH],
            // SAFETY: all zeroes are an address.
            names: vec![unsafe { mem::zeroed() }; BATCH],
            controls: vec![[0; CONTROL / 8]; BATCH],
        }
    }

    /// Takes all that is there: when it came, from where, and what it is.
    pub fn read(&mut self, mut take: impl FnMut(Ns, SocketAddr, &[u8])) {
        loop {
            let mut parts: Vec<libc::iovec> = self
                .rooms
                .iter_mut()
                .map(|room| libc::iovec {
                    iov_base: room.as_mut_ptr().cast(),
                    iov_len: ROOM,
                })
                .collect();
            let mut headers: Vec<libc::mmsghdr> = parts
                .iter_mut()
                .zip(&mut self.names)
                .zip(&mut self.controls)
                .map(|((part, name), control)| {
                    // SAFETY: all zeroes are a header without anything.
                    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                    header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                    header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as u32;
                    header.msg_hdr.msg_iov = part;
                    header.msg_hdr.msg_iovlen = 1;
                    header.msg_hdr.msg_control = control.as_mut_ptr().cast();
                    header.msg_hdr.msg_controllen = CONTROL;
                    header
                })
                .collect();
            // SAFETY: the headers, and the room that they point to, live through the call, and their number is right.
            let came = unsafe {
                libc::recvmmsg(
                    self.socket,
                    headers.as_mut_ptr(),
                    BATCH as u32,
                    libc::MSG_DONTWAIT,
                    ptr::null_mut(),
                )
            };
            let came = usize::try_from(came).unwrap_or(0);
            for (index, header) in headers.iter().enumerate().take(came) {
                let name = &self.names[index];
                let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
                let from = SocketAddr::from((ip, u16::from_be(name.sin_port)));
                let bytes = &self.rooms[index][..(header.msg_len as usize).min(ROOM)];
                take(stamp(&header.msg_hdr), from, bytes);
            }
            if came < BATCH {
                return;
            }
        }
    }
}

/// When the kernel had it.
fn stamp(header: &libc::msghdr) -> Ns {
    // SAFETY: the kernel has filled in the header, whose control bytes are still there.
    let first = unsafe { libc::CMSG_FIRSTHDR(header) };
    assert!(!first.is_null(), "the kernel stamps packets");
    // SAFETY: the only thing that was asked for is the stamp, and it fits: a `timespec`, perhaps not aligned.
    let time: libc::timespec = unsafe { ptr::read_unaligned(libc::CMSG_DATA(first).cast()) };
    time.tv_sec as Ns * 1_000_000_000 + time.tv_nsec as Ns
}

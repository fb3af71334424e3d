//! The datagram sockets of signalling, of IPv4 and IPv6.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::limits::SIP_MESSAGE_BYTES_MAX;
use crate::call::port::Why;
use crate::sip::path::Path;

/// Datagrams that one system call moves: more than come in the while that a loop gathers them, up to 8,000 a second.
pub const BATCH: usize = 64;
/// What a socket's buffers are asked to hold; the system may give less (`net.core.rmem_max`).
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// The room of a datagram and what keeps it from the next one's. Where many begin at places that are a power of two apart, the
/// processor's caches have room for few of them.
const SLOT_BYTES: usize = SIP_MESSAGE_BYTES_MAX + 1 + 4_096 + 1_088;

/// How long a sender waits for room in the socket's buffer. What doesn't fit then is lost, as on any network.
const SEND_PATIENCE_MS: i32 = 20;
/// Errors in a row that a send may meet without being at fault.
const ERRORS_OF_OTHERS_MAX: usize = 4;

/// Bytes of a datagram that may leave together with others: all of them fit into one packet of any network.
const TOGETHER_BYTES_MAX: usize = 1_200;
/// Bytes that leave together at the most (an IP packet's, and some room for headers).
const TOGETHER_ALL_BYTES_MAX: usize = 60_000;

/// One listening socket, and whether the system takes several datagrams as one (UDP_SEGMENT): they have one destination and one
/// length, as answers have by which a flood is refused, and go through its stack once.
#[derive(Debug)]
pub struct Socket(UdpSocket, AtomicBool);

/// What happened to something that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Undelivered {
    /// Where it was to go.
    pub remote: SocketAddr,
    /// Why it didn't.
    pub why: Why,
}

impl Socket {
    /// Binds; never blocking in use. An address of IPv6 is for IPv6 only. Errors that come back by ICMP are kept
    /// for [`Socket::undelivered`].
    ///
    /// # Errors
    /// What the system says: mostly that somebody has the address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        Self::of(UdpSocket::from(socket), address)
    }

    /// Takes a socket that is bound to `address` already.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(socket: UdpSocket, address: SocketAddr) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let options = socket2::SockRef::from(&socket);
        // Less room is no reason not to start.
        let _ = options.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = options.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        let (level, option) = match address {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
        };
        let on: libc::c_int = 1;
        // SAFETY: the option's value is one int, which lives during the call, and its size is given.
        let outcome = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                option,
                (&raw const on).cast(),
                mem::size_of_val(&on) as libc::socklen_t,
            )
        };
        if outcome == 0 {
            Ok(Self(socket, AtomicBool::new(true)))
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Reads what waits, at most [`BATCH`] datagrams, into `inbox`. An empty inbox: nothing waits, or an error
    /// of something sent before came first ([`Socket::undelivered`] has it, and the socket stays readable).
    pub fn receive(&self, inbox: &mut Inbox) {
        inbox.count = 0;
        let mut names = [EMPTY_NAME; BATCH];
        let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|_| libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        });
        let slots = inbox.bytes.chunks_exact_mut(SLOT_BYTES);
        for (part, slot) in parts.iter_mut().zip(slots) {
            part.iov_base = slot.as_mut_ptr().cast();
            part.iov_len = SIP_MESSAGE_BYTES_MAX;
        }
        let mut headers: [libc::mmsghdr; BATCH] =
            std::array::from_fn(|i| header(&mut names[i], &mut parts[i]));
        // SAFETY: each header points to a name and a part of its own, each part to a slot of `inbox.bytes` of its
        // own and of the length given; all of them live, and nothing else touches them, during the call.
        let read = unsafe {
            libc::recvmmsg(
                self.0.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        // Below zero: nothing waits, or an error is pending.
        inbox.count = usize::try_from(read).unwrap_or(0).min(BATCH);
        for (read, (header, name)) in inbox.read.iter_mut().zip(headers.iter().zip(&names)) {
            // One that was cut short is no message any more.
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            *read = address_of(name)
                .filter(|_| whole)
                .map(|from| (header.msg_len as usize, from));
        }
    }

    /// What could not be delivered of all that was sent by this socket, as ICMP told it. At most [`BATCH`] are
    /// taken; the socket stays readable while there are more.
    pub fn undelivered(&self) -> Vec<Undelivered> {
        let mut found = Vec::new();
        for _ in 0..BATCH {
            match self.next_error() {
                None => break,
                Some(Some(undelivered)) if !found.contains(&undelivered) => found.push(undelivered),
                Some(_) => {}
            }
        }
        found
    }

    /// One entry of the error queue; `Some(None)` is one that tells of no loss.
    fn next_error(&self) -> Option<Option<Undelivered>> {
        let mut name = EMPTY_NAME;
        let mut part = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        // cmsghdrs want the alignment of a word: 512 bytes hold the one that IP_RECVERR or IPV6_RECVERR sends.
        let mut control = [0_u64; 64];
        let mut message = header(&mut name, &mut part).msg_hdr;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = mem::size_of_val(&control) as _;
        // SAFETY: name, part and control live during the call and have the lengths given; the part is empty.
        let outcome = unsafe {
            libc::recvmsg(
                self.0.as_raw_fd(),
                &raw mut message,
                libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
            )
        };
        if outcome < 0 {
            return None;
        }
        // SAFETY: the kernel filled `control` as far as msg_controllen now says, and `message` still points to it.
        let mut item = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        while !item.is_null() {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within `control`.
            let (level, kind, len) = unsafe { ((*item).cmsg_level, (*item).cmsg_type, (*item).cmsg_len) };
            if matches!(
                (level, kind),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            ) && len >= mem::size_of::<libc::cmsghdr>() + mem::size_of::<libc::sock_extended_err>()
            {
                // SAFETY: the data behind this header is a sock_extended_err (ip(7)), and its length was checked;
                // it is read as bytes, whatever its alignment.
                let error: libc::sock_extended_err =
                    unsafe { ptr::read_unaligned(libc::CMSG_DATA(item).cast()) };
                let why = i32::try_from(error.ee_errno).ok().and_then(why);
                return Some(match (address_of(&name), why) {
                    (Some(remote), Some(why)) => Some(Undelivered { remote, why }),
                    _ => None,
                });
            }
            // SAFETY: as above; `item` is a header within `control`.
            item = unsafe { libc::CMSG_NXTHDR(&raw const message, item) };
        }
        Some(None)
    }

    /// Sends datagrams in their order, and says what became of each that could not be sent. `pending` is called
    /// when the system reports an error of something sent before: [`Socket::undelivered`] has it then.
    pub fn send(&self, datagrams: &[impl Datagram], mut pending: impl FnMut()) -> Sent {
        let mut sent = Sent::default();
        let mut next = 0;
        let mut tries = 0;
        while next < datagrams.len() {
            match self.send_some(&datagrams[next..]) {
                Ok(count) => {
                    sent.count += count;
                    next += count;
                    tries = 0;
                }
                Err(error) => {
                    tries += 1;
                    let again = match error.kind() {
                        io::ErrorKind::Interrupted => true,
                        io::ErrorKind::WouldBlock => tries <= 1 && self.wait_for_room(),
                        // The error may be an old one of another datagram's, and another may follow it; one
                        // that stays is this datagram's own.
                        _ => {
                            pending();
                            tries <= ERRORS_OF_OTHERS_MAX
                        }
                    };
                    if !again {
                        sent.lost.push((next, error.raw_os_error().and_then(why)));
                        next += 1;
                        tries = 0;
                    }
                }
            }
        }
        sent
    }

    /// Sends as many of the datagrams as one call takes; at least one, or an error.
    fn send_some(&self, datagrams: &[impl Datagram]) -> io::Result<usize> {
        let datagrams = datagrams.get(..BATCH).unwrap_or(datagrams);
        let mut names = [EMPTY_NAME; BATCH];
        let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|_| libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        });
        // Each holds one cmsghdr with one u16, aligned to a word.
        let mut controls = [[0_u64; CONTROL_WORDS]; BATCH];
        // How many datagrams each header holds.
        let mut counts = [0; BATCH];
        let joins = self.1.load(Ordering::Relaxed);
        let (mut used, mut last) = (0, None);
        for (i, datagram) in datagrams.iter().enumerate() {
            let (to, bytes) = datagram.parts();
            // sendmmsg only reads what iov_base points to.
            parts[i].iov_base = bytes.as_ptr().cast_mut().cast();
            parts[i].iov_len = bytes.len();
            let fits = |count: usize| {
                let len = bytes.len();
                (1..=TOGETHER_BYTES_MAX).contains(&len) && len * (count + 1) <= TOGETHER_ALL_BYTES_MAX
            };
            if joins && used > 0 && last == Some((to, bytes.len())) && fits(counts[used - 1]) {
                counts[used - 1] += 1;
                continue;
            }
            last = Some((to, bytes.len()));
            names[used] = name_of(to);
            counts[used] = 1;
            used += 1;
        }
        let mut first = 0;
        let mut headers: [libc::mmsghdr; BATCH] = std::array::from_fn(|i| {
            let place = first.min(BATCH - 1);
            let mut made = header(&mut names[i], &mut parts[place]);
            if counts[i] > 1 {
                made.msg_hdr.msg_iovlen = counts[i] as _;
                together(&mut made.msg_hdr, &mut controls[i], parts[place].iov_len);
            }
            first += counts[i];
            made
        });
        // SAFETY: the first `used` headers point to names, controls and parts that were filled above and live during the
        // call, each to parts of its own and to as many as it says; the parts point to the caller's slices with their
        // lengths, and are only read.
        let outcome = unsafe {
            libc::sendmmsg(
                self.0.as_raw_fd(),
                headers.as_mut_ptr(),
                used as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        let Ok(sent) = usize::try_from(outcome) else {
            let error = io::Error::last_os_error();
            let is_refused = matches!(
                error.raw_os_error(),
                Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP)
            );
            if counts[0] > 1 && is_refused {
                // This system, or this network, takes them only one by one.
                self.1.store(false, Ordering::Relaxed);
                return self.send_some(datagrams);
            }
            return Err(error);
        };
        Ok(counts.iter().take(sent).sum())
    }

    /// Waits a little until the socket's buffer has room.
    fn wait_for_room(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: one pollfd, which lives during the call.
        unsafe { libc::poll(&raw mut poll, 1, SEND_PATIENCE_MS) > 0 }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What can be sent.
pub trait Datagram {
    /// Where it goes, and its bytes.
    fn parts(&self) -> (SocketAddr, &[u8]);
}

impl Datagram for (SocketAddr, &[u8]) {
    fn parts(&self) -> (SocketAddr, &[u8]) {
        *self
    }
}

impl Datagram for (Path, Vec<u8>) {
    fn parts(&self) -> (SocketAddr, &[u8]) {
        (self.0.remote, &self.1)
    }
}

/// What became of datagrams.
#[derive(Debug, Default)]
pub struct Sent {
    /// How many the system took.
    pub count: usize,
    /// Those it didn't take: their place, and why, where the way is to blame.
    pub lost: Vec<(usize, Option<Why>)>,
}

/// Room for one batch of datagrams.
pub struct Inbox {
    /// [`BATCH`] slots, one a datagram, [`SLOT_BYTES`] apart.
    bytes: Box<[u8]>,
    /// Each slot's length and source; `None` for one that was cut short.
    read: [Option<(usize, SocketAddr)>; BATCH],
    count: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            bytes: vec![0; BATCH * SLOT_BYTES].into_boxed_slice(),
            read: [None; BATCH],
            count: 0,
        }
    }
}

impl Inbox {
    /// The datagrams that were read last, in order, with their sources.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let slots = self.bytes.chunks_exact(SLOT_BYTES);
        self.read
            .iter()
            .zip(slots)
            .take(self.count)
            .filter_map(|(read, slot)| {
                let (len, from) = (*read)?;
                Some((from, slot.get(..len)?))
            })
    }

    /// How many datagrams were read, those that were cut short too.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether none was read.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Room for an address of either family, as the system calls want it.
///
/// It is a `sockaddr_in6`, and holds a `sockaddr_in` too, which is shorter: the family and the port stand at the
/// same places in both, and where the one has its flow label the other has its address.
type Name = libc::sockaddr_in6;

const EMPTY_NAME: Name = libc::sockaddr_in6 {
    sin6_family: 0,
    sin6_port: 0,
    sin6_flowinfo: 0,
    sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
    sin6_scope_id: 0,
};

// What the doc of `Name` says.
const _: () = {
    assert!(mem::size_of::<libc::sockaddr_in>() <= mem::size_of::<Name>());
    assert!(mem::offset_of!(libc::sockaddr_in, sin_family) == mem::offset_of!(Name, sin6_family));
    assert!(mem::offset_of!(libc::sockaddr_in, sin_port) == mem::offset_of!(Name, sin6_port));
    assert!(mem::offset_of!(libc::sockaddr_in, sin_addr) == mem::offset_of!(Name, sin6_flowinfo));
};

/// A header that points to a name and a part, and nothing else.
fn header(name: &mut Name, part: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: msghdr is plain integers and pointers, for which zero is a value (some have private padding, so
    // that it can't be written out).
    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
    // For a sockaddr_in, which is shorter, that is only more than is needed.
    header.msg_hdr.msg_namelen = mem::size_of::<Name>() as libc::socklen_t;
    header.msg_hdr.msg_name = ptr::from_mut(name).cast();
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// Room for one cmsghdr with one u16.
const CONTROL_WORDS: usize = 3;

// SAFETY: it only computes.
const _: () = assert!(unsafe { libc::CMSG_SPACE(2) } as usize <= CONTROL_WORDS * mem::size_of::<u64>());

/// Says that the parts of a message are datagrams of this length each.
fn together(message: &mut libc::msghdr, control: &mut [u64; CONTROL_WORDS], len: usize) {
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of_val(control) as _;
    // SAFETY: the control holds one whole header and its data, as is asserted above, and is aligned to a word; the length
    // that is left to the message is that of what was written.
    unsafe {
        let item = libc::CMSG_FIRSTHDR(message);
        if item.is_null() {
            return;
        }
        (*item).cmsg_level = libc::SOL_UDP;
        (*item).cmsg_type = libc::UDP_SEGMENT;
        (*item).cmsg_len = libc::CMSG_LEN(2) as _;
        ptr::write_unaligned(libc::CMSG_DATA(item).cast::<u16>(), len as u16);
        message.msg_controllen = libc::CMSG_SPACE(2) as _;
    }
}

fn address_of(name: &Name) -> Option<SocketAddr> {
    let port = u16::from_be(name.sin6_port);
    match libc::c_int::from(name.sin6_family) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(name.sin6_flowinfo.to_ne_bytes());
            Some(SocketAddr::from((ip, port)))
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            // The flow label is no part of an address: the same sender may change it.
            Some(SocketAddrV6::new(ip, port, 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn name_of(address: SocketAddr) -> Name {
    match address {
        SocketAddr::V4(v4) => Name {
            sin6_family: libc::AF_INET as libc::sa_family_t,
            sin6_port: v4.port().to_be(),
            sin6_flowinfo: u32::from_ne_bytes(v4.ip().octets()),
            ..EMPTY_NAME
        },
        SocketAddr::V6(v6) => Name {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: v6.port().to_be(),
            sin6_addr: libc::in6_addr {
                s6_addr: v6.ip().octets(),
            },
            sin6_scope_id: v6.scope_id(),
            ..EMPTY_NAME
        },
    }
}

/// What an error says of the way; `None` if it says nothing of it (a message that is too long, say).
fn why(errno: i32) -> Option<Why> {
    match errno {
        libc::ECONNREFUSED => Some(Why::Refused),
        libc::EHOSTUNREACH
        | libc::ENETUNREACH
        | libc::EHOSTDOWN
        | libc::ENETDOWN
        | libc::EACCES
        | libc::EPERM
        | libc::EINVAL
        | libc::EAFNOSUPPORT
        | libc::EADDRNOTAVAIL => Some(Why::Unreachable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transport::poller::{Interest, Poller, Source, Waker};

    fn loopback() -> (Socket, SocketAddr) {
        bound("127.0.0.1")
    }

    fn bound(ip: &str) -> (Socket, SocketAddr) {
        let ip = ip.parse().expect("an address");
        let socket = Socket::bind(SocketAddr::new(ip, 0)).expect("loopback is free");
        let address = socket.address().expect("bound");
        (socket, address)
    }

    /// Waits until the socket has something to read, an error of an earlier datagram too.
    fn wait_for(socket: &Socket) {
        let waker = Waker::new().expect("a waker");
        let mut poller = Poller::new(&waker).expect("a poller");
        poller
            .add(socket, Source::Listener(3), Interest::Read)
            .expect("added");
        let mut ready = Vec::new();
        while ready.is_empty() {
            poller
                .wait(Some(Duration::from_secs(20)), &mut ready)
                .expect("no fault");
        }
        assert_eq!(
            ready.iter().map(|r| r.source).collect::<Vec<_>>(),
            [Source::Listener(3)]
        );
    }

    #[test]
    fn datagrams_that_leave_together_come_one_by_one_and_in_order() {
        for ip in ["127.0.0.1", "::1"] {
            let (sender, _) = bound(ip);
            let ((there, address), (other, another)) = (bound(ip), bound(ip));
            // Equal ones, some that differ in length or place, and more than one packet holds.
            let all: Vec<(SocketAddr, Vec<u8>)> = (0..150_u8)
                .map(|n| match n {
                    40..43 => (address, vec![n; 50]),
                    43 => (another, vec![n; 50]),
                    44 => (address, Vec::new()),
                    45 => (address, vec![n; 1_201]),
                    46 => (address, vec![n; 1_201]),
                    _ => (address, vec![n; 1_000]),
                })
                .collect();
            let datagrams: Vec<(SocketAddr, &[u8])> = all.iter().map(|(to, bytes)| (*to, &**bytes)).collect();
            let (mut sent, mut got) = (0, Vec::new());
            // In parts that the smallest of systems' buffers holds.
            for part in datagrams.chunks(75) {
                sent += sender.send(part, || {}).count;
                let mut inbox = Inbox::default();
                let wanted = part.iter().filter(|(to, _)| *to == address).count();
                let before = got.len();
                while got.len() - before < wanted {
                    wait_for(&there);
                    there.receive(&mut inbox);
                    got.extend(inbox.iter().map(|(_, bytes)| bytes.to_vec()));
                }
            }
            assert_eq!(sent, all.len());
            let wanted = all.iter().filter(|(to, _)| *to == address);
            assert!(got.iter().eq(wanted.map(|(_, bytes)| bytes)));
            wait_for(&other);
            assert!(sender.1.load(Ordering::Relaxed), "loopback takes several as one");
        }
    }

    #[test]
    fn an_error_of_one_datagram_costs_no_other_and_names_its_own_destination() {
        for ip in ["127.0.0.1", "::1"] {
            an_error_is_told_on(ip);
        }
    }

    fn an_error_is_told_on(ip: &str) {
        let (sender, _) = bound(ip);
        let (there, address) = bound(ip);
        let (gone, nobody) = bound(ip);
        drop(gone);
        assert_eq!(
            sender.send(&[(nobody, b"lost".as_slice())], || {}).count,
            1,
            "the system took it"
        );
        wait_for(&sender);
        let mut undelivered = Vec::new();
        let sent = sender.send(&[(address, b"found".as_slice())], || {
            undelivered.extend(sender.undelivered())
        });
        assert_eq!((sent.count, sent.lost), (1, Vec::new()));
        let refused = Undelivered {
            remote: nobody,
            why: Why::Refused,
        };
        assert_eq!(undelivered, [refused]);
        wait_for(&there);
        let mut inbox = Inbox::default();
        there.receive(&mut inbox);
        assert_eq!(
            inbox.iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(),
            [b"found"]
        );
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_is_named_and_those_around_it_leave() {
        let (sender, from) = loopback();
        let (there, address) = loopback();
        let long = vec![0; 70_000];
        let nowhere = ([127, 0, 0, 1], 0).into();
        let sent = sender.send(
            &[
                (address, b"1".as_slice()),
                (address, &long),
                (nowhere, b"2"),
                (address, b"3"),
            ],
            || {},
        );
        assert_eq!(sent.count, 2);
        assert_eq!(sent.lost, [(1, None), (2, Some(Why::Unreachable))]);
        let mut inbox = Inbox::default();
        let mut came = Vec::new();
        while came.len() < 2 {
            wait_for(&there);
            there.receive(&mut inbox);
            came.extend(inbox.iter().map(|(source, bytes)| (source, bytes.to_vec())));
        }
        assert_eq!(came, [(from, b"1".to_vec()), (from, b"3".to_vec())]);
    }

    #[test]
    fn a_batch_is_read_in_order_and_an_empty_socket_gives_nothing() {
        for ip in ["127.0.0.1", "::1"] {
            a_batch_is_read_on(ip);
        }
    }

    fn a_batch_is_read_on(ip: &str) {
        let (sender, from) = bound(ip);
        let (there, address) = bound(ip);
        let datagrams: Vec<Vec<u8>> = (0..100_u8).map(|n| vec![n; usize::from(n) + 1]).collect();
        let list: Vec<(SocketAddr, &[u8])> = datagrams.iter().map(|d| (address, d.as_slice())).collect();
        assert_eq!(sender.send(&list, || {}).count, 100);
        let mut inbox = Inbox::default();
        let mut came = Vec::new();
        while came.len() < 100 {
            wait_for(&there);
            there.receive(&mut inbox);
            assert!(inbox.len() <= BATCH && !inbox.is_empty());
            came.extend(inbox.iter().map(|(source, bytes)| {
                assert_eq!(source, from);
                bytes.to_vec()
            }));
        }
        assert_eq!(came, datagrams);
        there.receive(&mut inbox);
        assert!(inbox.is_empty());
        assert_eq!(there.undelivered(), []);
    }
}

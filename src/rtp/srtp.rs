//! SRTP and SRTCP (RFC 3711, RFC 7714): one key each way, sealed and opened in the buffer that the packet is in.
//!
//! **No keystream twice.** [`Seal`] seals no index of an SSRC a second time, and none that is older than its window: a
//! packet that comes twice from the other leg with other words in it would otherwise give both away. What comes back
//! to a key after a restart comes under an SSRC that the key hasn't seen, which is whoever made the flow's care.
//!
//! **Nothing moves before the tag is right.** [`Open`] keeps, of each SSRC, how far its packets have come and which of
//! the last ones were there; a packet that doesn't authenticate changes nothing of it, and one that came before isn't
//! looked at again. Tags are compared in constant time.
//!
//! The primitives are used by themselves: crates that do the whole of it bring an asynchronous runtime along, or
//! allocate for each packet.

use std::ops::Range;

use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128Enc, Aes256Enc};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut;
use arrayvec::ArrayVec;
use ctr::{CtrCore, flavors};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::packet::HEADER_BYTES;
use crate::base::keying::{Keying, Suite};

/// Bytes that sealing adds to an RTP packet at the most.
pub const RTP_GROWTH_MAX: usize = GCM_TAG_BYTES;
/// Bytes of HMAC-SHA1 that are sent (RFC 3711 §4.2.1).
const SHA1_TAG_BYTES: usize = 10;
/// Bytes of a GCM tag (RFC 7714 §13).
const GCM_TAG_BYTES: usize = 16;
/// The part of an RTCP packet that stays readable (RFC 3711 §3.4).
const RTCP_HEADER_BYTES: usize = 8;
/// E flag and index behind an RTCP packet.
const RTCP_INDEX_BYTES: usize = 4;
/// Says that an RTCP packet is encrypted.
const E_FLAG: u32 = 1 << 31;
/// Streams of one peer that are told apart at a time: one that began before as many others is forgotten.
const STREAMS_MAX: usize = 4;
/// Rollovers of a stream that begins, or that somebody sent before us, which are tried one after the other.
const GUESSES_MAX: usize = 4;

/// What a key is used for: the label of RFC 3711 §4.3.1.
#[derive(Clone, Copy)]
enum Label {
    RtpCipher = 0,
    RtpAuth = 1,
    RtpSalt = 2,
    RtcpCipher = 3,
    RtcpAuth = 4,
    RtcpSalt = 5,
}

/// A packet's numbers, from which its keystream begins.
#[derive(Clone, Copy)]
struct Moment {
    ssrc: u32,
    /// SRTP: rollovers and sequence number, 48 bits. SRTCP: its index, 31 bits.
    index: u64,
}

/// The keys of one session, RTP's or RTCP's.
// The larger one is the rarer one; a box would cost every packet a look.
#[allow(clippy::large_enum_variant)]
enum Transform {
    Cm {
        cipher: Aes128Enc,
        salt: [u8; 14],
        mac: Hmac<Sha1>,
    },
    Gcm {
        cipher: Aes256Gcm,
        salt: [u8; 12],
    },
}

impl Transform {
    fn of(keying: &Keying, [cipher, auth, salt]: [Label; 3]) -> Option<Self> {
        match keying.suite() {
            Suite::AesCm128HmacSha1_80 => {
                let (mut key, mut tag_key, mut own) = ([0; 16], [0; 20], [0; 14]);
                derive(keying, cipher, &mut key)?;
                derive(keying, auth, &mut tag_key)?;
                derive(keying, salt, &mut own)?;
                Some(Self::Cm {
                    cipher: Aes128Enc::new(&key.into()),
                    salt: own,
                    mac: <Hmac<Sha1> as KeyInit>::new_from_slice(&tag_key).ok()?,
                })
            }
            Suite::AeadAes256Gcm => {
                let (mut key, mut own) = ([0; 32], [0; 12]);
                derive(keying, cipher, &mut key)?;
                derive(keying, salt, &mut own)?;
                Some(Self::Gcm {
                    cipher: Aes256Gcm::new(&key.into()),
                    salt: own,
                })
            }
        }
    }

    fn rtp(keying: &Keying) -> Option<Self> {
        Self::of(keying, [Label::RtpCipher, Label::RtpAuth, Label::RtpSalt])
    }

    fn rtcp(keying: &Keying) -> Option<Self> {
        Self::of(keying, [Label::RtcpCipher, Label::RtcpAuth, Label::RtcpSalt])
    }

    const fn tag_bytes(&self) -> usize {
        match self {
            Self::Cm { .. } => SHA1_TAG_BYTES,
            Self::Gcm { .. } => GCM_TAG_BYTES,
        }
    }

    /// Encrypts `body` behind `head`. The tag covers both and `tail`, which is sent elsewhere or not at all.
    fn seal(
        &self,
        at: Moment,
        head: &[u8],
        body: &mut [u8],
        tail: &[u8],
    ) -> Option<ArrayVec<u8, GCM_TAG_BYTES>> {
        match self {
            Self::Cm { cipher, salt, mac } => {
                count(cipher, salt, at, body);
                let tag = signed(mac, [head, body, tail]);
                Some(tag.into_iter().take(SHA1_TAG_BYTES).collect())
            }
            Self::Gcm { cipher, salt } => {
                let aad = aad(head, tail)?;
                let tag = cipher
                    .encrypt_inout_detached(&nonce(salt, at).into(), &aad, body.into())
                    .ok()?;
                Some(tag.into_iter().collect())
            }
        }
    }

    /// Decrypts `body` if the tag is right; else it may be anything, and is to be thrown away. Of counter mode it is
    /// as it was.
    fn open(&self, at: Moment, head: &[u8], body: &mut [u8], tail: &[u8], tag: &[u8]) -> Option<()> {
        match self {
            Self::Cm { cipher, salt, mac } => {
                let own = signed(mac, [head, body, tail]);
                let is_right: bool = own.get(..SHA1_TAG_BYTES)?.ct_eq(tag).into();
                is_right.then(|| count(cipher, salt, at, body))
            }
            Self::Gcm { cipher, salt } => {
                let tag: [u8; GCM_TAG_BYTES] = tag.try_into().ok()?;
                let aad = aad(head, tail)?;
                cipher
                    .decrypt_inout_detached(&nonce(salt, at).into(), &aad, body.into(), &tag.into())
                    .ok()
            }
        }
    }

    /// What the tag covers besides an RTP packet: its rollovers, where they aren't in the nonce (RFC 3711 §4.2).
    fn rollovers<'r>(&self, bytes: &'r [u8; 4]) -> &'r [u8] {
        match self {
            Self::Cm { .. } => bytes,
            Self::Gcm { .. } => &[],
        }
    }
}

/// Derives a session key (RFC 3711 §4.3, RFC 7714 §11); the rate of derivation is 0: once.
fn derive(keying: &Keying, label: Label, out: &mut [u8]) -> Option<()> {
    // A salt of 96 bits has zeros behind it.
    let mut iv = [0; 16];
    iv.get_mut(..keying.salt().len())?.copy_from_slice(keying.salt());
    iv[7] ^= label as u8;
    out.fill(0);
    match keying.suite() {
        Suite::AesCm128HmacSha1_80 => {
            let cipher = Aes128Enc::new_from_slice(keying.key()).ok()?;
            let core = CtrCore::<_, flavors::Ctr128BE>::inner_iv_init(&cipher, &iv.into());
            StreamCipherCoreWrapper::from_core(core).apply_keystream(out);
        }
        Suite::AeadAes256Gcm => {
            let cipher = Aes256Enc::new_from_slice(keying.key()).ok()?;
            let core = CtrCore::<_, flavors::Ctr128BE>::inner_iv_init(&cipher, &iv.into());
            StreamCipherCoreWrapper::from_core(core).apply_keystream(out);
        }
    }
    Some(())
}

/// AES in counter mode (RFC 3711 §4.1.1), there and back.
fn count(cipher: &Aes128Enc, salt: &[u8; 14], at: Moment, body: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    mix(&mut iv[4..8], &at.ssrc.to_be_bytes());
    mix(&mut iv[8..14], &at.index.to_be_bytes()[2..]);
    let core = CtrCore::<_, flavors::Ctr128BE>::inner_iv_init(cipher, &iv.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(body);
}

/// The nonce of AES-GCM (RFC 7714 §8.1, §9.1): SRTCP's index has 31 bits, so both are one form.
fn nonce(salt: &[u8; 12], at: Moment) -> [u8; 12] {
    let mut nonce = *salt;
    mix(&mut nonce[2..6], &at.ssrc.to_be_bytes());
    mix(&mut nonce[6..12], &at.index.to_be_bytes()[2..]);
    nonce
}

fn mix(bytes: &mut [u8], with: &[u8]) {
    for (byte, with) in bytes.iter_mut().zip(with) {
        *byte ^= with;
    }
}

fn signed(mac: &Hmac<Sha1>, parts: [&[u8]; 3]) -> [u8; 20] {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// What GCM authenticates without encrypting it. An RTP header is at most 12 bytes, 15 CSRCs and an extension; one that
/// is longer than any phone's is not taken.
fn aad(head: &[u8], tail: &[u8]) -> Option<ArrayVec<u8, 256>> {
    let mut aad = ArrayVec::new();
    aad.try_extend_from_slice(head).ok()?;
    aad.try_extend_from_slice(tail).ok()?;
    Some(aad)
}

/// How many bytes of an RTP packet stay readable: header, CSRCs and extension (RFC 3711 §3.1).
fn readable(packet: &[u8]) -> Option<usize> {
    let flags = *packet.first()?;
    if flags >> 6 != 2 {
        return None;
    }
    let mut bytes = HEADER_BYTES + 4 * usize::from(flags & 0x0f);
    if flags & 0x10 != 0 {
        let length = packet.get(bytes + 2..bytes + 4)?;
        bytes += 4 + 4 * usize::from(u16::from_be_bytes(length.try_into().ok()?));
    }
    (bytes <= packet.len()).then_some(bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*word))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let half = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*half))
}

/// How far a stream has come, and which of its last packets were there (RFC 3711 §3.3.2).
#[derive(Clone, Copy)]
struct Window {
    highest: u64,
    /// Bit n: `highest - n` was there.
    seen: u128,
}

impl Window {
    const fn new(first: u64) -> Self {
        Self {
            highest: first,
            seen: 1,
        }
    }

    /// Whether the packet of this index is neither too old nor here already.
    fn admits(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < 128 && self.seen & (1 << behind) == 0,
        }
    }

    fn note(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            Some(ahead @ 1..) => {
                let shifted = u32::try_from(ahead)
                    .ok()
                    .and_then(|ahead| self.seen.checked_shl(ahead));
                self.seen = shifted.unwrap_or(0) | 1;
                self.highest = index;
            }
            Some(0) | None => {
                let behind = self.highest.saturating_sub(index);
                self.seen |= u32::try_from(behind)
                    .ok()
                    .and_then(|n| 1_u128.checked_shl(n))
                    .unwrap_or(0);
            }
        }
    }

    /// The index that a sequence number stands for (RFC 3711 §3.3.1, appendix A). `None`: one before the first.
    fn guess(&self, seq: u16) -> Option<u64> {
        let (rollovers, last) = (self.highest >> 16, self.highest as u16);
        let rollovers = if last < 0x8000 {
            if seq.saturating_sub(last) > 0x8000 {
                rollovers.checked_sub(1)?
            } else {
                rollovers
            }
        } else if last - 0x8000 > seq {
            rollovers + 1
        } else {
            rollovers
        };
        Some(index(rollovers, seq)).filter(|_| rollovers <= u64::from(u32::MAX))
    }
}

const fn index(rollovers: u64, seq: u16) -> u64 {
    rollovers << 16 | seq as u64
}

/// What seals the packets that go to a peer, by a key of ours.
pub struct Seal {
    rtp: Transform,
    rtcp: Transform,
    /// The SSRC in use, and what was sealed of it.
    stream: Option<(u32, Window)>,
    /// The index of the next SRTCP packet, whatever its SSRC.
    next_rtcp: u32,
}

impl Seal {
    /// What seals by this key. `None`: its length isn't its suite's.
    pub fn new(keying: &Keying) -> Option<Self> {
        Some(Self {
            rtp: Transform::rtp(keying)?,
            rtcp: Transform::rtcp(keying)?,
            stream: None,
            next_rtcp: 1,
        })
    }

    /// Seals an RTP packet that lies in `buffer`; where it lies then. `None`, and it is not to be sent: the buffer has
    /// no room for the tag, or a packet with this sequence number went out, or one far later.
    pub fn rtp(&mut self, buffer: &mut [u8], packet: Range<usize>) -> Option<Range<usize>> {
        let bytes = buffer.get(packet.clone())?;
        let (ssrc, head, known, at) = self.place(bytes)?;
        let end = packet.end.checked_add(self.rtp.tag_bytes())?;
        let (bytes, room) = buffer
            .get_mut(packet.start..end)?
            .split_at_mut_checked(packet.len())?;
        let (head, body) = bytes.split_at_mut_checked(head)?;
        let rollovers = ((at >> 16) as u32).to_be_bytes();
        let tail = self.rtp.rollovers(&rollovers);
        let tag = self.rtp.seal(Moment { ssrc, index: at }, head, body, tail)?;
        room.copy_from_slice(&tag);
        let mut window = known.unwrap_or(Window::new(at));
        window.note(at);
        self.stream = Some((ssrc, window));
        Some(packet.start..end)
    }

    /// Whether this packet would be sealed, if there is room.
    pub fn admits(&self, packet: &[u8]) -> bool {
        self.place(packet).is_some()
    }

    /// A packet's SSRC, how many bytes of it stay readable, what was sealed of that SSRC, and the packet's index. `None`:
    /// it is none, or it may not be sealed.
    fn place(&self, packet: &[u8]) -> Option<(u32, usize, Option<Window>, u64)> {
        let (seq, ssrc, head) = (half(packet, 2)?, word(packet, 8)?, readable(packet)?);
        let known = self.stream.filter(|(known, _)| *known == ssrc);
        let known = known.map(|(_, window)| window);
        let at = match known {
            Some(window) => window.guess(seq).filter(|index| window.admits(*index))?,
            None => u64::from(seq),
        };
        Some((ssrc, head, known, at))
    }

    /// Seals an RTCP packet. `None`, and it is not to be sent: it has no header, or the key has sealed 2^31 of them.
    pub fn rtcp(&mut self, packet: &mut Vec<u8>) -> Option<()> {
        let index = self.next_rtcp;
        if index & E_FLAG != 0 {
            return None;
        }
        let ssrc = word(packet, 4)?;
        let tail = (E_FLAG | index).to_be_bytes();
        let (head, body) = packet.split_at_mut_checked(RTCP_HEADER_BYTES)?;
        let at = Moment {
            ssrc,
            index: index.into(),
        };
        let tag = self.rtcp.seal(at, head, body, &tail)?;
        self.next_rtcp = index.wrapping_add(1);
        // RFC 3711 §3.4 has the index before the tag, RFC 7714 §9.3 behind it.
        match self.rtcp {
            Transform::Cm { .. } => {
                packet.extend_from_slice(&tail);
                packet.extend_from_slice(&tag);
            }
            Transform::Gcm { .. } => {
                packet.extend_from_slice(&tag);
                packet.extend_from_slice(&tail);
            }
        }
        Some(())
    }
}

/// What opens the packets of a peer, by its key.
pub struct Open {
    rtp: Transform,
    rtcp: Transform,
    streams: ArrayVec<(u32, Window), STREAMS_MAX>,
    reports: ArrayVec<(u32, Window), STREAMS_MAX>,
    /// How often the peer's sequence numbers had rolled over when another process told of it.
    before: u32,
}

impl Open {
    /// What opens by this key. `rollovers`: as often the sequence number of its present stream had rolled over, as far
    /// as is known; zero for one that begins. `None`: its length isn't its suite's.
    pub fn new(keying: &Keying, rollovers: u32) -> Option<Self> {
        Some(Self {
            rtp: Transform::rtp(keying)?,
            rtcp: Transform::rtcp(keying)?,
            streams: ArrayVec::new(),
            reports: ArrayVec::new(),
            before: rollovers,
        })
    }

    /// How often the sequence number of the stream that began last has rolled over.
    pub fn rollovers(&self) -> u32 {
        self.streams
            .last()
            .map_or(self.before, |(_, window)| (window.highest >> 16) as u32)
    }

    /// Opens an RTP packet; how long it is then. `None`, and nothing has changed but perhaps its bytes: it isn't the
    /// peer's, it came before, or it is too old.
    pub fn rtp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let (seq, ssrc) = (half(packet, 2)?, word(packet, 8)?);
        let end = packet.len().checked_sub(self.rtp.tag_bytes())?;
        let (bytes, tag) = packet.split_at_mut_checked(end)?;
        let head = readable(bytes)?;
        let (head, body) = bytes.split_at_mut_checked(head)?;
        let place = self.streams.iter().position(|(known, _)| *known == ssrc);
        let known = place.and_then(|place| self.streams.get_mut(place));
        let opens = |body: &mut [u8], at: u64| {
            let rollovers = ((at >> 16) as u32).to_be_bytes();
            let tail = self.rtp.rollovers(&rollovers);
            self.rtp.open(Moment { ssrc, index: at }, head, body, tail, tag)
        };
        if let Some((_, window)) = known {
            let at = window.guess(seq).filter(|index| window.admits(*index))?;
            opens(body, at)?;
            window.note(at);
            return Some(end);
        }
        // Its first packets may have been lost, and another process may have heard its beginning: the tag tells.
        let mut guesses: ArrayVec<u32, GUESSES_MAX> = ArrayVec::new();
        for guess in [self.before, self.before.saturating_add(1), 0, 1] {
            if !guesses.contains(&guess) {
                guesses.push(guess);
            }
        }
        let at = guesses.into_iter().find_map(|guess| {
            let at = index(guess.into(), seq);
            opens(body, at).map(|()| at)
        })?;
        if self.streams.is_full() {
            self.streams.remove(0);
        }
        self.streams.push((ssrc, Window::new(at)));
        Some(end)
    }

    /// Opens an RTCP packet; how long it is then. `None` as with RTP.
    pub fn rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let ssrc = word(packet, 4)?;
        let tag_bytes = self.rtcp.tag_bytes();
        let end = packet.len().checked_sub(tag_bytes + RTCP_INDEX_BYTES)?;
        let (bytes, behind) = packet.split_at_mut_checked(end)?;
        let (tail, tag) = match self.rtcp {
            Transform::Cm { .. } => behind.split_at_checked(RTCP_INDEX_BYTES)?,
            Transform::Gcm { .. } => behind
                .split_at_checked(tag_bytes)
                .map(|(tag, tail)| (tail, tag))?,
        };
        let flagged = word(tail, 0)?;
        // It was agreed that they are encrypted.
        let index = u64::from(flagged.checked_sub(E_FLAG)?);
        let (head, body) = bytes.split_at_mut_checked(RTCP_HEADER_BYTES)?;
        let place = self.reports.iter().position(|(known, _)| *known == ssrc);
        let known = place.and_then(|place| self.reports.get_mut(place));
        if known.as_ref().is_some_and(|(_, window)| !window.admits(index)) {
            return None;
        }
        self.rtcp.open(Moment { ssrc, index }, head, body, tail, tag)?;
        match known {
            Some((_, window)) => window.note(index),
            None => {
                if self.reports.is_full() {
                    self.reports.remove(0);
                }
                self.reports.push((ssrc, Window::new(index)));
            }
        }
        Some(end)
    }
}

#[cfg(test)]
mod tests;

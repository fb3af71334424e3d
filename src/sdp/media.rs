//! The words of a session description: what is kept of one, and nothing else.
//!
//! Whatever isn't spelt here as a field (names, titles, host names, attributes that we don't know) does
//! not survive reading, so it can't reach the other party.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};

use super::crypto::Crypto;
use super::fax::Fax;
use super::fmtp::Fmtp;

/// A codec that we know. Others leave the description when it is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum CodecName {
    /// G.711 A-law, static payload type 8.
    Pcma,
    /// G.711 µ-law, static payload type 0.
    Pcmu,
    /// G.722, static payload type 9.
    G722,
    /// G.729, static payload type 18.
    G729,
    /// Opus (RFC 7587).
    Opus,
    /// AMR narrow band (RFC 4867).
    Amr,
    /// AMR wide band (RFC 4867).
    AmrWb,
    /// Events among the audio: keys (RFC 4733).
    TelephoneEvent,
    /// What silence sounds like, instead of the audio (RFC 3389), static payload type 13.
    ComfortNoise,
}

impl CodecName {
    /// Every codec that we know.
    pub const ALL: [Self; 9] = [
        Self::Pcma,
        Self::Pcmu,
        Self::G722,
        Self::G729,
        Self::Opus,
        Self::Amr,
        Self::AmrWb,
        Self::TelephoneEvent,
        Self::ComfortNoise,
    ];

    /// What an offer of ours lists when there is no other's to go by (an INVITE without a description).
    pub const DEFAULT: [Self; 5] = [
        Self::Pcma,
        Self::Pcmu,
        Self::G722,
        Self::G729,
        Self::TelephoneEvent,
    ];

    /// The name in `a=rtpmap` and in records (`PCMA`, `telephone-event`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
            Self::G722 => "G722",
            Self::G729 => "G729",
            Self::Opus => "opus",
            Self::Amr => "AMR",
            Self::AmrWb => "AMR-WB",
            Self::TelephoneEvent => "telephone-event",
            Self::ComfortNoise => "CN",
        }
    }

    /// The codec of an encoding name, in any case (RFC 8866 §6.6).
    pub fn of(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The codec of a static payload type (RFC 3551 §6), where no `a=rtpmap` is needed.
    pub const fn of_static(payload: u8) -> Option<Self> {
        match payload {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            9 => Some(Self::G722),
            13 => Some(Self::ComfortNoise),
            18 => Some(Self::G729),
            _ => None,
        }
    }

    /// The payload type that an offer of ours gives it.
    pub const fn payload(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
            Self::G722 => 9,
            Self::G729 => 18,
            Self::Opus => 111,
            Self::Amr => 96,
            Self::AmrWb => 97,
            Self::TelephoneEvent => 101,
            Self::ComfortNoise => 13,
        }
    }

    /// Whether it is events among the audio, not the audio.
    pub const fn is_event(self) -> bool {
        match self {
            Self::TelephoneEvent => true,
            Self::Pcma
            | Self::Pcmu
            | Self::G722
            | Self::G729
            | Self::Opus
            | Self::Amr
            | Self::AmrWb
            | Self::ComfortNoise => false,
        }
    }

    /// Whether two can talk by it: it is neither events nor the sound of silence.
    pub const fn is_audio(self) -> bool {
        match self {
            Self::TelephoneEvent | Self::ComfortNoise => false,
            Self::Pcma | Self::Pcmu | Self::G722 | Self::G729 | Self::Opus | Self::Amr | Self::AmrWb => true,
        }
    }

    /// RTP clock in hertz (events: the clock of the audio that they usually go with).
    pub const fn clock_hz(self) -> u32 {
        match self {
            // RFC 3551 §4.5.2: G.722's clock is written as 8,000, by an old mistake.
            Self::Pcma
            | Self::Pcmu
            | Self::G722
            | Self::G729
            | Self::Amr
            | Self::TelephoneEvent
            | Self::ComfortNoise => 8_000,
            Self::AmrWb => 16_000,
            Self::Opus => 48_000,
        }
    }

    /// Channels as `a=rtpmap` says them.
    pub const fn channels(self) -> u8 {
        match self {
            // RFC 7587 §7: always written as 2.
            Self::Opus => 2,
            Self::Pcma
            | Self::Pcmu
            | Self::G722
            | Self::G729
            | Self::Amr
            | Self::AmrWb
            | Self::TelephoneEvent
            | Self::ComfortNoise => 1,
        }
    }

    /// Whether the codec exists at this clock. A closed list: a clock rate is a number that is copied.
    pub(super) const fn runs_at(self, clock_hz: u32) -> bool {
        match self {
            Self::TelephoneEvent => matches!(clock_hz, 8_000 | 16_000 | 24_000 | 32_000 | 48_000),
            Self::Pcma
            | Self::Pcmu
            | Self::G722
            | Self::G729
            | Self::Opus
            | Self::Amr
            | Self::AmrWb
            | Self::ComfortNoise => clock_hz == self.clock_hz(),
        }
    }
}

/// One codec of an audio line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Codec {
    /// Its RTP payload type on that leg, 0–127.
    pub payload: u8,
    /// What it is.
    pub name: CodecName,
    /// RTP clock in hertz.
    pub clock_hz: u32,
    /// Channels; 1 unless it is Opus.
    pub channels: u8,
    /// Its parameters, rebuilt from those we know.
    pub fmtp: Option<Fmtp>,
}

impl Codec {
    /// The codec as an offer of ours lists it.
    pub fn ours(name: CodecName) -> Self {
        Self {
            payload: name.payload(),
            name,
            clock_hz: name.clock_hz(),
            channels: name.channels(),
            fmtp: Fmtp::ours(name),
        }
    }

    /// Whether both are one codec: name, clock and channels, whatever their numbers.
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name && self.clock_hz == other.clock_hz && self.channels == other.channels
    }

    /// Whether a packet of one can be understood as the other: AMR has two ways of packing its bits
    /// (RFC 4867 §4.3, §4.4), and an offer may list both.
    pub fn packs_like(&self, other: &Self) -> bool {
        let octets = |codec: &Self| codec.fmtp.as_ref().is_some_and(Fmtp::is_octet_aligned);
        self.is(other) && octets(self) == octets(other)
    }
}

/// Which way media runs, seen from whoever wrote the description (RFC 8866 §6.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum SdpWay {
    /// Both ways.
    #[default]
    SendRecv,
    /// The writer only sends: hold, with music.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl SdpWay {
    const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        match self {
            Self::SendRecv | Self::SendOnly => true,
            Self::RecvOnly | Self::Inactive => false,
        }
    }

    /// Whether the writer receives.
    pub const fn receives(self) -> bool {
        match self {
            Self::SendRecv | Self::RecvOnly => true,
            Self::SendOnly | Self::Inactive => false,
        }
    }

    /// The same, seen from the other side: the most that an answer may say (RFC 3264 §6.1).
    pub const fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Self) -> Self {
        Self::of(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// What either allows.
    pub const fn or(self, other: Self) -> Self {
        Self::of(self.sends() || other.sends(), self.receives() || other.receives())
    }

    /// What this doesn't allow.
    pub const fn complement(self) -> Self {
        Self::of(!self.sends(), !self.receives())
    }

    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// Which port RTCP uses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum RtcpPort {
    /// One of its own: the next one, or what `a=rtcp` says (RFC 3605).
    #[default]
    Own,
    /// RTP's: `a=rtcp-mux` (RFC 5761).
    Shared,
}

/// A short token of a media line, kept only to refuse that line to its own writer (RFC 3264 §6).
pub type Token = ArrayString<24>;

/// What a media line is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MediaKind {
    /// Audio: what we carry.
    Audio,
    /// Anything else (`video`, `image`, `message`): refused in place.
    Other(Token),
}

impl MediaKind {
    /// The word in the media line.
    pub fn name(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Other(token) => token,
        }
    }
}

/// How a media line's packets travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Proto {
    /// RTP (RFC 3551): what we carry.
    RtpAvp,
    /// Anything else (`RTP/SAVPF`, `udptl`): refused in place.
    Other(Token),
    /// Secured RTP (RFC 3711): what we carry where the leg's trunk says so.
    RtpSavp,
}

impl Proto {
    /// The word in the media line.
    pub fn name(&self) -> &str {
        match self {
            Self::RtpAvp => "RTP/AVP",
            Self::Other(token) => token,
            Self::RtpSavp => "RTP/SAVP",
        }
    }
}

/// `o=`: which session, and which version of its description (RFC 8866 §5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The session's id.
    pub id: u64,
    /// Goes up by one with each new description.
    pub version: u64,
}

/// One media line with its attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Media {
    /// What it is about.
    pub kind: MediaKind,
    /// Where its writer wants packets; 0 refuses the line or takes it away.
    pub port: u16,
    /// How packets travel.
    pub proto: Proto,
    /// The first format of the line, for refusing it in place.
    pub fmt: Token,
    /// The line's own `c=` or the session's. `None`: a host name, nothing, or the old way of holding a
    /// call, `0.0.0.0` (RFC 3264 §8.4); [`Media::way`] then no longer receives.
    pub address: Option<IpAddr>,
    /// `a=rtcp` (RFC 3605), if it was there.
    pub rtcp: Option<SocketAddr>,
    /// `a=rtcp-mux`, if it was there and no codec's number looks like RTCP's (RFC 5761 §4).
    pub rtcp_port: RtcpPort,
    /// The codecs we know, in the writer's order: the first is the one it likes best. Only of audio lines;
    /// at most [`SDP_CODECS_MAX`](crate::base::limits::SDP_CODECS_MAX).
    pub codecs: Vec<Codec>,
    /// Which way, seen from the writer.
    pub way: SdpWay,
    /// How long packets are to be that the writer receives.
    pub packing: Packing,
    /// What a fax line over UDPTL says; only such a line has it.
    pub fax: Option<Fax>,
    /// The keys that it names, as far as we could use them, in its writer's order. Only of audio lines; at most
    /// [`SDP_CRYPTO_MAX`](crate::base::limits::SDP_CRYPTO_MAX).
    pub cryptos: Vec<Crypto>,
}

/// How long the packets are to be that the writer of a description receives (RFC 8866 §6.4), each 1–200 ms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Packing {
    /// `a=ptime`, in milliseconds.
    pub ptime_ms: Option<u16>,
    /// `a=maxptime`, in milliseconds.
    pub maxptime_ms: Option<u16>,
}

impl Packing {
    /// Whether it asks for something that wasn't asked for `before`. Silence asks for nothing.
    pub fn asks_more_than(self, before: Self) -> bool {
        let differs = |now: Option<u16>, then: Option<u16>| now.is_some() && now != then;
        differs(self.ptime_ms, before.ptime_ms) || differs(self.maxptime_ms, before.maxptime_ms)
    }
}

impl Media {
    /// What a live fax line says.
    pub fn live_fax(&self) -> Option<Fax> {
        self.fax.filter(|_| self.port != 0)
    }

    /// Where its writer wants RTP (or a fax's UDPTL); `None` while it isn't known or wanted.
    pub fn rtp_address(&self) -> Option<SocketAddr> {
        let address = self.address.filter(|_| self.port != 0)?;
        Some(SocketAddr::new(address, self.port))
    }

    /// Where its writer wants RTCP: `a=rtcp`, else the next port (RFC 3550 §11).
    pub fn rtcp_address(&self) -> Option<SocketAddr> {
        let rtp = self.rtp_address()?;
        match self.rtcp {
            Some(rtcp) => Some(rtcp),
            None => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_sees_the_offers_direction_from_the_other_side() {
        assert_eq!(SdpWay::SendOnly.reversed(), SdpWay::RecvOnly);
        assert_eq!(SdpWay::RecvOnly.reversed(), SdpWay::SendOnly);
        assert_eq!(SdpWay::SendRecv.reversed(), SdpWay::SendRecv);
        assert_eq!(SdpWay::Inactive.reversed(), SdpWay::Inactive);
        assert_eq!(SdpWay::SendOnly.and(SdpWay::RecvOnly), SdpWay::Inactive);
        assert_eq!(SdpWay::SendOnly.or(SdpWay::RecvOnly), SdpWay::SendRecv);
    }

    #[test]
    fn every_codec_is_found_by_its_own_name_in_any_case() {
        for codec in CodecName::ALL {
            assert_eq!(CodecName::of(codec.name().to_lowercase().as_bytes()), Some(codec));
            assert!(codec.runs_at(codec.clock_hz()));
        }
        assert_eq!(CodecName::of(b"PCMA8"), None);
    }
}

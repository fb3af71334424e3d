//! The only writer of session descriptions (RFC 8866). Every word is ours: names, titles and addresses of
//! the other party have no field here.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::answer::{Lines, Terms};
use super::media::{Origin, RtcpPort};

/// Writes a description: our audio at `here` under `audio`'s terms in the dialog's `lines`, every other
/// line refused in place (RFC 3264 §6). `here.port()` is our RTP port; RTCP is the next one, as everybody
/// expects, or the same. `origin.id` stays for a dialog's life; `origin.version` goes up when the rest changes.
pub fn write(origin: Origin, here: SocketAddr, lines: &Lines, audio: &Terms) -> Vec<u8> {
    let mut out = String::with_capacity(512);
    // Writing to a String can't fail.
    let _ = write_all(&mut out, origin, here, lines, audio);
    out.into_bytes()
}

fn write_all(
    out: &mut String,
    origin: Origin,
    here: SocketAddr,
    lines: &Lines,
    audio: &Terms,
) -> std::fmt::Result {
    let net = match here.ip() {
        IpAddr::V4(ip) => format!("IN IP4 {ip}"),
        IpAddr::V6(ip) => format!("IN IP6 {ip}"),
    };
    write!(out, "v=0\r\no=- {} {} {net}\r\n", origin.id, origin.version)?;
    write!(out, "s=-\r\nc={net}\r\nt=0 0\r\n")?;
    for (index, shape) in lines.shapes().iter().enumerate() {
        if index == lines.audio() {
            write_audio(out, here.port(), audio)?;
        } else {
            let (kind, proto) = (shape.kind.name(), shape.proto.name());
            write!(out, "m={kind} 0 {proto} {}\r\n", shape.fmt)?;
        }
    }
    Ok(())
}

fn write_audio(out: &mut String, port: u16, audio: &Terms) -> std::fmt::Result {
    write!(out, "m=audio {port} RTP/AVP")?;
    for codec in &audio.codecs {
        write!(out, " {}", codec.payload)?;
    }
    out.push_str("\r\n");
    for codec in &audio.codecs {
        let (payload, name, clock_hz) = (codec.payload, codec.name.name(), codec.clock_hz);
        write!(out, "a=rtpmap:{payload} {name}/{clock_hz}")?;
        if codec.channels > 1 {
            write!(out, "/{}", codec.channels)?;
        }
        out.push_str("\r\n");
        if let Some(fmtp) = &codec.fmtp {
            write!(out, "a=fmtp:{payload} {}\r\n", fmtp.as_str())?;
        }
    }
    if let Some(ms) = audio.ptime_ms {
        write!(out, "a=ptime:{ms}\r\n")?;
    }
    match audio.rtcp_port {
        RtcpPort::Own => {}
        RtcpPort::Shared => out.push_str("a=rtcp-mux\r\n"),
    }
    write!(out, "a={}\r\n", audio.way.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::answer::Offer;
    use crate::sdp::media::CodecName;
    use crate::sdp::parse::parse;

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("the test's own address")
    }

    #[test]
    fn an_offer_of_ours_is_written_in_full() {
        let origin = Origin { id: 42, version: 3 };
        let terms = Terms::list(&[CodecName::Pcma, CodecName::Opus, CodecName::TelephoneEvent]);
        let text = write(origin, at("192.0.2.1:20000"), &Lines::one(), &terms);
        assert_eq!(
            String::from_utf8_lossy(&text),
            "v=0\r\no=- 42 3 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 20000 RTP/AVP 8 111 101\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"
        );
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let origin = Origin { id: 42, version: 3 };
        let mut terms = Terms::list(&CodecName::ALL);
        terms.ptime_ms = Some(20);
        for here in ["192.0.2.1:20000", "[2001:db8::9]:20002"] {
            let session = parse(&write(origin, at(here), &Lines::one(), &terms)).expect("our own writing");
            assert_eq!(session.origin, origin);
            let offer = Offer::read(&session, &CodecName::ALL, None).expect("usable");
            assert_eq!(offer.terms, terms);
            assert_eq!(offer.rtp, Some(at(here)));
        }
    }
}

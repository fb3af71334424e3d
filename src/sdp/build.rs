//! The only writer of session descriptions (RFC 8866). Every word is ours: names, titles and addresses of
//! the other party have no field here.

use std::net::SocketAddr;

use super::answer::{Lines, Terms};
use super::crypto::{self, Line, Profile};
use super::fax::{Correction, Fax, RateManagement};
use super::media::{Origin, RtcpPort, SdpWay};
use crate::base::text;

/// Writes a description: our audio at `here` under `audio`'s terms in the dialog's `lines`, every other
/// line refused in place (RFC 3264 §6). `line` is how that audio is secured. `here.port()` is our RTP port; RTCP is the next one, as everybody
/// expects, or the same. `origin.id` stays for a dialog's life; `origin.version` goes up when the rest changes.
pub fn write(origin: Origin, here: SocketAddr, lines: &Lines, audio: &Terms, line: &Line) -> Vec<u8> {
    let mut net = Vec::with_capacity(48);
    net.extend_from_slice(if here.is_ipv4() { b"IN IP4 " } else { b"IN IP6 " });
    text::ip(&mut net, here.ip());
    let mut out = Writer(Vec::with_capacity(512));
    out.text("v=0\r\no=- ")
        .number(origin.id)
        .text(" ")
        .number(origin.version);
    out.text(" ")
        .bytes(&net)
        .text("\r\ns=-\r\nc=")
        .bytes(&net)
        .text("\r\nt=0 0\r\n");
    for (index, shape) in lines.shapes().iter().enumerate() {
        if index == lines.audio() {
            match &audio.fax {
                Some(fax) => out.fax(here.port(), fax, audio.way),
                None => out.audio(here.port(), audio, line),
            }
        } else {
            out.text("m=")
                .text(shape.kind.name())
                .text(" 0 ")
                .text(shape.proto.name());
            out.text(" ").text(&shape.fmt).text("\r\n");
        }
    }
    out.0
}

/// Text that grows.
struct Writer(Vec<u8>);

impl Writer {
    fn audio(&mut self, port: u16, audio: &Terms, line: &Line) {
        self.text("m=audio ").number(port).text(match line.profile {
            Profile::Avp => " RTP/AVP",
            Profile::Savp => " RTP/SAVP",
        });
        for codec in &audio.codecs {
            self.text(" ").number(codec.payload);
        }
        self.text("\r\n");
        for codec in &audio.codecs {
            self.text("a=rtpmap:")
                .number(codec.payload)
                .text(" ")
                .text(codec.name.name());
            self.text("/").number(codec.clock_hz);
            if codec.channels > 1 {
                self.text("/").number(codec.channels);
            }
            self.text("\r\n");
            if let Some(fmtp) = &codec.fmtp {
                self.text("a=fmtp:")
                    .number(codec.payload)
                    .text(" ")
                    .text(fmtp.as_str())
                    .text("\r\n");
            }
        }
        for (name, ms) in [
            ("a=ptime:", audio.packing.ptime_ms),
            ("a=maxptime:", audio.packing.maxptime_ms),
        ] {
            if let Some(ms) = ms {
                self.text(name).number(ms).text("\r\n");
            }
        }
        for one in &line.cryptos {
            self.text("a=crypto:");
            crypto::write(&mut self.0, one);
            self.text("\r\n");
        }
        match audio.rtcp_port {
            RtcpPort::Own => {}
            RtcpPort::Shared => {
                self.text("a=rtcp-mux\r\n");
            }
        }
        self.text("a=").text(audio.way.name()).text("\r\n");
    }

    fn fax(&mut self, port: u16, fax: &Fax, way: SdpWay) {
        self.text("m=image ").number(port).text(" udptl t38\r\n");
        for (name, number) in [
            ("a=T38FaxVersion:", fax.version.map(u64::from)),
            ("a=T38MaxBitRate:", fax.bit_rate_max.map(u64::from)),
            ("a=T38FaxMaxBuffer:", fax.buffer_max.map(u64::from)),
            ("a=T38FaxMaxDatagram:", fax.datagram_max.map(u64::from)),
        ] {
            if let Some(number) = number {
                self.text(name).number(number).text("\r\n");
            }
        }
        for (name, word) in [
            ("a=T38FaxRateManagement:", fax.rate.map(RateManagement::name)),
            ("a=T38FaxUdpEC:", fax.correction.map(Correction::name)),
        ] {
            if let Some(word) = word {
                self.text(name).text(word).text("\r\n");
            }
        }
        self.text("a=").text(way.name()).text("\r\n");
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        text::number(&mut self.0, number.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::answer::Offer;
    use crate::sdp::crypto::Protection;
    use crate::sdp::media::CodecName;
    use crate::sdp::parse::parse;

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("the test's own address")
    }

    #[test]
    fn an_offer_of_ours_is_written_in_full() {
        let origin = Origin { id: 42, version: 3 };
        let terms = Terms::list(&[CodecName::Pcma, CodecName::Opus, CodecName::TelephoneEvent]);
        let text = write(origin, at("192.0.2.1:20000"), &Lines::one(), &terms, &Line::PLAIN);
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
        terms.packing.ptime_ms = Some(20);
        terms.packing.maxptime_ms = Some(60);
        for here in ["192.0.2.1:20000", "[2001:db8::9]:20002"] {
            let session = parse(&write(origin, at(here), &Lines::one(), &terms, &Line::PLAIN));
            let session = session.expect("our own writing");
            assert_eq!(session.origin, origin);
            let offer = Offer::read(&session, &CodecName::ALL, &Protection::OFF, None).expect("usable");
            assert_eq!(offer.terms, terms);
            assert_eq!(offer.rtp, Some(at(here)));
        }
    }
}

//! SRTP and SRTCP from anybody, and what is sealed of any packet: only what the peer sealed opens, once, as it was.

use umbra::base::chance::Chance;
use umbra::base::keying::{Keying, Suite};
use umbra::rtp::srtp::{Open, RTP_GROWTH_MAX, Seal};

/// The input is a script: an order, a length, so many bytes; again and again.
pub fn run(bytes: &[u8]) {
    for suite in Suite::ALL {
        let keying = Keying::draw(suite, &mut Chance::from_number(1));
        let mut seal = Seal::new(&keying).expect("its own length");
        let mut open = Open::new(&keying, 0).expect("its own length");
        let mut rest = bytes;
        while let [order, length, after @ ..] = rest {
            let (packet, after) = after.split_at(usize::from(*length).min(after.len()));
            rest = after;
            match order & 3 {
                0 => assert!(open.rtp(&mut packet.to_vec()).is_none(), "nobody sealed it"),
                1 => assert!(open.rtcp(&mut packet.to_vec()).is_none(), "nobody sealed it"),
                2 => rtp(&mut seal, &mut open, packet),
                _ => rtcp(&mut seal, &mut open, packet),
            }
        }
    }
}

fn rtp(seal: &mut Seal, open: &mut Open, packet: &[u8]) {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + RTP_GROWTH_MAX, 0);
    let Some(place) = seal.rtp(&mut buffer, 0..packet.len()) else {
        return;
    };
    let mut sealed = buffer[place].to_vec();
    let mut again = sealed.clone();
    // Several rollovers ahead, or of too many streams, the peer may not follow.
    if let Some(length) = open.rtp(&mut sealed) {
        assert_eq!(&sealed[..length], packet);
        assert!(open.rtp(&mut again).is_none(), "once");
    }
}

fn rtcp(seal: &mut Seal, open: &mut Open, packet: &[u8]) {
    let mut sealed = packet.to_vec();
    if seal.rtcp(&mut sealed).is_none() {
        return;
    }
    let mut again = sealed.clone();
    let length = open.rtcp(&mut sealed).expect("it was sealed just now");
    assert_eq!(&sealed[..length], packet);
    assert!(open.rtcp(&mut again).is_none(), "once");
}

//! What anybody keys, or seems to: events and audio of a leg that is listened to. No key is let go that wasn't pressed, and
//! no more are pressed than can be.

use std::time::Duration;

use umbra::base::limits::{DIGIT_LASTS, KEYS_AT_ONCE_MAX};
use umbra::base::time::Instant;
use umbra::rtp::clip::Coding;
use umbra::rtp::ear::{Ear, Heard, Stroke};
use umbra::rtp::flow::Payload;
use umbra::rtp::packet::Header;
use umbra::rtp::twice::{By, Twice};

/// The input is a script of packets: what (coding or event, and how long ago the last one was), stream, sequence number,
/// timestamp, length, payload; again and again.
pub fn run(bytes: &[u8]) {
    let (mut ear, mut twice) = (Ear::default(), Twice::default());
    let mut at = 0_u64;
    let (mut events, mut down) = (0_u64, [0_i64; 2]);
    let mut rest = bytes;
    while let [what, ssrc, seq, timestamp, length, after @ ..] = rest {
        let (body, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        at += u64::from(what >> 4) * 10_000;
        let now = Instant::from_micros(at);
        let coding = [Some(Coding::A), Some(Coding::Mu), Some(Coding::G722), None]
            .into_iter()
            .nth(usize::from(what & 3))
            .flatten();
        let payload = Payload {
            number: 96 + (what & 3),
            other: None,
            clock_hz: if what & 8 == 0 { 8_000 } else { 48_000 },
            coding,
            is_event: coding.is_none(),
        };
        let header = Header {
            marker: false,
            payload_type: payload.number,
            seq: u16::from_be_bytes([ssrc & 1, *seq]),
            timestamp: u32::from(*timestamp) * 80,
            ssrc: u32::from(ssrc >> 1 & 1),
        };
        let agreed = (what & 4 == 0).then_some(&payload);
        ear.hear(now, &header, agreed, body, |Heard { key, stroke, by }| {
            let place = match by {
                By::Event => 0,
                By::Tone => 1,
                By::Message => panic!("nobody sent one"),
            };
            match stroke {
                Stroke::Down => {
                    down[place] += 1;
                    events += u64::from(by == By::Event);
                    twice.down(now, key, by);
                }
                Stroke::Up => {
                    down[place] -= 1;
                    twice.up(now, key, by);
                }
            }
            assert!((0..=1).contains(&down[place]), "one at a time");
        });
    }
    let fastest = Duration::from_micros(at).as_millis() / DIGIT_LASTS.0.as_millis();
    assert!(u128::from(events) <= fastest + u128::from(KEYS_AT_ONCE_MAX) + 1);
}

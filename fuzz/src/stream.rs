//! A stream of SIP messages: however it is split, the same frames come out, and each can be given to the reader.

use super::support::outline;
use umbra::sip::framer::{Frame, Framer};
use umbra::sip::message::Message;
use umbra::sip::peek::peek;

/// A frame, owned.
#[derive(PartialEq, Eq, Debug)]
enum Cut {
    Message(Vec<u8>),
    Ping,
    Broken(Vec<u8>),
}

/// The first byte says how the rest is split.
pub fn run(bytes: &[u8]) {
    let Some((seed, stream)) = bytes.split_first() else {
        return;
    };
    let whole = frames(stream, stream.len().max(1), 1);
    let split = frames(stream, usize::from(seed % 64) + 1, usize::from(seed / 64) * 7 + 1);
    assert_eq!(whole, split);
    let mut framed = 0;
    for cut in &whole {
        match cut {
            Cut::Message(bytes) => {
                framed += bytes.len();
                outline::agrees(bytes);
                if let Ok(message) = Message::parse(bytes) {
                    assert_eq!(peek(bytes).map(|seen| seen.call_id), Some(message.call_id()));
                    assert!(bytes.ends_with(message.body()), "a frame ends with its message");
                }
            }
            Cut::Ping => framed += 4,
            Cut::Broken(head) => {
                framed += head.len();
                assert!(std::ptr::eq(cut, whole.last().expect("one")), "the last frame");
                // What answers it reads what it can.
                drop(Message::parse(head).map(|_| ()));
            }
        }
    }
    assert!(framed <= stream.len());
}

/// The frames of the stream in pieces that grow from `first` by `step` and begin again.
fn frames(stream: &[u8], first: usize, step: usize) -> Vec<Cut> {
    let mut framer = Framer::default();
    let (mut cuts, mut rest, mut length) = (Vec::new(), stream, first);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        framer.push(piece);
        while let Some(frame) = framer.next() {
            cuts.push(match frame {
                Frame::Message(bytes) => Cut::Message(bytes.to_vec()),
                Frame::Ping | Frame::Pong => Cut::Ping,
                Frame::Broken(head) => Cut::Broken(head.to_vec()),
            });
        }
        rest = after;
        length = if length > 500 { first } else { length + step };
    }
    cuts
}

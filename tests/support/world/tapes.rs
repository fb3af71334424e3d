//! What the taps of the simulated relay hear: all of it is kept, and it is what leaves from the ports that have them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use umbra::base::chance::Chance;
use umbra::base::time::{Instant, Wall};
use umbra::call::config::Config;
use umbra::call::media::MediaPort;
use umbra::rtp::clip::Coding;
use umbra::rtp::flow::Stream;
use umbra::rtp::packet::{self, Header};
use umbra::rtp::relay::Relay;
use umbra::rtp::tap::{Heard, Tap, Taps};

use super::BEGINNING;

/// A packet that was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taped {
    /// Where.
    pub tap: Tap,
    /// When it left.
    pub at: Instant,
    /// Its header.
    pub header: Header,
    /// The audio's clock.
    pub clock_hz: u32,
    /// How it is coded.
    pub coding: Option<Coding>,
    /// A key, and no audio.
    pub is_event: bool,
    /// What it says, in clear.
    pub payload: Vec<u8>,
}

/// Takes what taps hear.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<Taped>>>);

impl Taps for Tape {
    fn hear(&mut self, heard: &Heard<'_>) {
        let header = Header {
            marker: heard.marker,
            payload_type: heard.payload_type,
            seq: heard.seq,
            timestamp: heard.timestamp,
            ssrc: heard.ssrc,
        };
        self.0.lock().expect("nobody panicked").push(Taped {
            tap: heard.tap,
            at: heard.at,
            header,
            clock_hz: heard.clock_hz,
            coding: heard.coding,
            is_event: heard.is_event,
            payload: heard.payload.to_vec(),
        });
    }
}

/// The taps of the relay, and what they heard.
#[derive(Default)]
pub struct Tapes {
    tape: Tape,
    /// By the port whose peer is recorded.
    taps: HashMap<u32, Tap>,
    /// Those that send a fax: its datagrams are passed on as they are, and nobody hears them.
    faxes: HashSet<u32>,
    /// What left from them since the last look.
    left: Vec<(Tap, Header)>,
    /// All that was recorded, in order.
    pub taped: Vec<Taped>,
}

impl Tapes {
    /// A relay that these taps are for; those of another are no more.
    pub fn relay(&mut self, config: &Config, chance: &mut Chance) -> Relay {
        self.taps.clear();
        self.faxes.clear();
        let (MediaPort(first), MediaPort(last)) = config.media.ranges().span();
        Relay::new(chance.fork(), first, last, Wall::from_millis(BEGINNING))
            .tapped_by(Box::new(self.tape.clone()))
    }

    /// What the peer of this port hears is recorded there from now on, or no more.
    pub fn tap(&mut self, MediaPort(port): MediaPort, tap: Option<Tap>) {
        match tap {
            Some(tap) => self.taps.insert(port, tap),
            None => self.taps.remove(&port),
        };
    }

    /// What this port sends from now on.
    pub fn sends(&mut self, MediaPort(port): MediaPort, stream: Stream) {
        match stream {
            Stream::Udptl => self.faxes.insert(port),
            Stream::Rtp => self.faxes.remove(&port),
        };
    }

    /// Something leaves from a port: heard, if it is RTP.
    pub fn leaves(&mut self, port: u32, bytes: &[u8]) {
        if !self.faxes.contains(&port)
            && let Some(tap) = self.taps.get(&port)
            && let Some((header, _)) = packet::read(bytes)
        {
            self.left.push((*tap, header));
        }
    }

    /// What was heard and didn't leave, or the other way round, since the last look.
    pub fn look(&mut self) -> Option<String> {
        let heard = std::mem::take(&mut *self.tape.0.lock().expect("nobody panicked"));
        let mut left = std::mem::take(&mut self.left);
        let mut only_heard = Vec::new();
        for taped in &heard {
            let said = (taped.tap, taped.header.clone());
            match left.iter().position(|left| *left == said) {
                Some(at) => {
                    left.remove(at);
                }
                None => only_heard.push(said),
            }
        }
        self.taped.extend(heard);
        let is_right = only_heard.is_empty() && left.is_empty();
        (!is_right).then(|| format!("recorded and not sent: {only_heard:?}; sent and not recorded: {left:?}"))
    }
}

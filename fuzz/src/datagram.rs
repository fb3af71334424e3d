//! The whole switch in a world of one trunk and one binding: whatever datagrams come from the caller's and the
//! called side, nobody's number crosses, and in the end nothing is left.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::support::outline;
use super::support::stage::{Binding, Packet, Setup, Stage};
use super::support::world::World;
use umbra::call::port::Command;
use umbra::sip::digest::{Asker, Challenge};
use umbra::sip::header::Name;
use umbra::sip::message::Message;
use umbra::sip::method::Method;

const X: &str = "17000000001";
const NUMBERS: [&str; 2] = ["13800000001", "13900000002"];

/// Datagrams of one input.
const PIECES_MAX: usize = 12;
/// Between two datagrams.
const PAUSE: Duration = Duration::from_millis(30);
/// Longer than any transaction lives, and any ringing.
const LONG: Duration = Duration::from_secs(200);

/// Every piece is a datagram of the caller's side; one that begins with `@` is of the called side. `$V`, `$F`, `$T`,
/// `$I` and `$C` in it stand for Via, From, To, Call-ID and CSeq number of the last request that this side got, `$t`
/// for the To tag of the last response, and `$N` for its nonce. Whoever calls is asked for a password if the input begins with
/// `?`; the called side is given ours if it asks.
pub fn run(bytes: &[u8]) {
    let (auth, bytes) = match bytes.strip_prefix(b"?") {
        Some(rest) => (Some("401".to_owned()), rest),
        None => (None, bytes),
    };
    let setup = Setup {
        auth,
        has_credentials: true,
        ring: Duration::from_secs(20),
        alarms: vec!["PortsDry".into()],
        ..Setup::on(1)
    };
    let umbra = setup.umbra();
    let mut sides = [
        Side::at(SocketAddr::new(setup.ip(1, 1), 5060)),
        Side::at(setup.gateway(1)),
    ];
    let mut world = World::new(setup, 1).without_journal();
    world.own(X);
    world.bind(&Binding {
        x: X.into(),
        a: NUMBERS[0].into(),
        b: NUMBERS[1].into(),
        ..Binding::default()
    });
    for side in &sides {
        world.open(side.at);
    }
    for piece in super::pieces(bytes).into_iter().take(PIECES_MAX) {
        let (side, text) = match piece.strip_prefix(b"@") {
            Some(text) => (1, text),
            None => (0, piece),
        };
        let bytes = sides[side].fill_in(text);
        outline::agrees(&bytes);
        sides[side]
            .said
            .extend(NUMBERS.into_iter().filter(|number| holds(&bytes, number)));
        if leads_to(&bytes, sides[1 - side].at.ip()) {
            // Who has what is for him sent to the other side shows himself there.
            sides[1 - side].said.insert(NUMBERS[side]);
        }
        world.send(Packet {
            from: sides[side].at,
            to: umbra,
            bytes,
        });
        let until = world.now() + PAUSE;
        hear(&mut world, &mut sides, until);
    }
    let until = world.now() + LONG;
    hear(&mut world, &mut sides, until);
    world.command(Command::EndAll);
    let until = world.now() + LONG;
    hear(&mut world, &mut sides, until);
    let faults = world.faults();
    assert!(faults.is_empty(), "{faults:?}");
    if let Some(left) = world.busy() {
        panic!("something is left: {left}");
    }
}

/// One side of the trunk.
struct Side {
    at: SocketAddr,
    /// The numbers that it has said itself, so that hearing them again tells nothing.
    said: BTreeSet<&'static str>,
    via: Vec<u8>,
    from: Vec<u8>,
    to: Vec<u8>,
    call_id: Vec<u8>,
    cseq: Vec<u8>,
    tag: Vec<u8>,
    nonce: Vec<u8>,
}

impl Side {
    fn at(at: SocketAddr) -> Self {
        Self {
            at,
            said: BTreeSet::new(),
            via: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            call_id: Vec::new(),
            cseq: Vec::new(),
            tag: Vec::new(),
            nonce: Vec::new(),
        }
    }

    fn fill_in(&self, text: &[u8]) -> Vec<u8> {
        let (mut filled, mut rest) = (Vec::with_capacity(text.len()), text);
        while let [first, after @ ..] = rest {
            let known = match (first, after.first()) {
                (b'$', Some(b'V')) => Some(&self.via),
                (b'$', Some(b'F')) => Some(&self.from),
                (b'$', Some(b'T')) => Some(&self.to),
                (b'$', Some(b'I')) => Some(&self.call_id),
                (b'$', Some(b'C')) => Some(&self.cseq),
                (b'$', Some(b't')) => Some(&self.tag),
                (b'$', Some(b'N')) => Some(&self.nonce),
                _ => None,
            };
            match known {
                Some(value) => {
                    filled.extend_from_slice(value);
                    rest = &after[1..];
                }
                None => {
                    filled.push(*first);
                    rest = after;
                }
            }
        }
        // What no datagram holds.
        filled.truncate(65_507);
        filled
    }

    /// Nobody is called on the first side, so nobody's number comes there; one at a time is called on the other.
    fn hears(&mut self, may_learn: usize, bytes: &[u8]) {
        let learnt = NUMBERS
            .iter()
            .filter(|number| !self.said.contains(*number) && holds(bytes, number));
        assert!(
            learnt.count() <= may_learn,
            "{} learns a number: {}",
            self.at,
            bytes.escape_ascii()
        );
        // An answer to what can't be read is no whole message.
        let Ok(message) = Message::parse(bytes) else {
            assert!(bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 5"));
            return;
        };
        let value = |name| message.get(name).unwrap_or_default().to_vec();
        match message.status() {
            Some(_) => {
                if let Some(tag) = message.to().tag() {
                    self.tag = tag.to_vec();
                }
                if let Some(asked) = Challenge::strongest(message.head(), Asker::Server, |_| true) {
                    self.nonce = asked.nonce.raw().to_vec();
                }
            }
            None if message.method() == Method::Ack => {}
            None => {
                self.via = value(Name::Via);
                self.from = value(Name::From);
                self.to = value(Name::To);
                self.call_id = value(Name::CallId);
                self.cseq = message.cseq().number.to_string().into_bytes();
            }
        }
    }
}

fn hear(world: &mut World, sides: &mut [Side; 2], until: Duration) {
    while let Some(packet) = world.receive(until) {
        for (may_learn, side) in sides.iter_mut().enumerate() {
            if side.at == packet.to {
                side.hears(may_learn, &packet.bytes);
            }
        }
    }
}

/// Whether a message wants those that follow it in its dialog to go to that address (RFC 3261 §12.1).
fn leads_to(bytes: &[u8], address: IpAddr) -> bool {
    let Ok(message) = Message::parse(bytes) else {
        return false;
    };
    let (address, routes) = (address.to_string(), message.values(Name::RecordRoute));
    let mut targets = message.values(Name::Contact).chain(routes);
    targets.any(|target| holds(target, &address))
}

fn holds(bytes: &[u8], number: &str) -> bool {
    bytes.windows(number.len()).any(|part| part == number.as_bytes())
}

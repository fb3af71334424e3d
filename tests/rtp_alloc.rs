//! Relaying a packet allocates nothing, plain or secured.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use umbra::base::chance::Chance;
use umbra::base::keying::{Keying, Suite};
use umbra::base::time::{Instant, Wall};
use umbra::rtp::flow::{FlowSpec, MediaNat, Payload, RtcpPort, Security, Stream, Way};
use umbra::rtp::packet::{self, Header};
use umbra::rtp::relay::Relay;
use umbra::rtp::srtp::{RTP_GROWTH_MAX, Seal};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory that it handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc`, so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const PORTS: [u32; 2] = [20_000, 20_002];
const BYTES: usize = packet::HEADER_BYTES + 160;

fn audio(seq: u16, ssrc: u32) -> [u8; 2_048] {
    let mut bytes = [0xd5; 2_048];
    let header = Header {
        marker: false,
        payload_type: 8,
        seq,
        timestamp: u32::from(seq) * 160,
        ssrc,
    };
    packet::write(&header, &mut bytes, packet::HEADER_BYTES..BYTES).expect("room for a header");
    bytes
}

fn spec(remote: SocketAddr, security: Option<Security>) -> FlowSpec {
    let pcma = Payload {
        number: 8,
        other: Some(8),
        clock_hz: 8_000,
        is_event: false,
    };
    FlowSpec {
        remote: Some(remote),
        remote_rtcp: None,
        rtcp_port: RtcpPort::Own,
        stream: Stream::Rtp,
        payloads: [pcma].into_iter().collect(),
        way: Way::Both,
        nat: MediaNat::Strict,
        media_from: Default::default(),
        timeout: None,
        security: security.map(Box::new),
    }
}

/// Two hundred packets each way between a leg that is secured so and a plain one.
fn relays(suite: Option<Suite>) {
    let peers: [SocketAddr; 2] =
        ["192.0.2.1:4000", "192.0.2.2:4000"].map(|at| at.parse().expect("an address"));
    let mut chance = Chance::from_number(1);
    let keys = suite.map(|suite| [(); 2].map(|()| Keying::draw(suite, &mut chance)));
    let security = keys.as_ref().map(|[ours, theirs]| Security {
        ours: ours.clone(),
        theirs: theirs.clone(),
        ssrc: Some(1),
        rollovers: 0,
    });
    let mut seal = keys.map(|[_, theirs]| Seal::new(&theirs).expect("its own length"));
    let mut relay = Relay::new(chance, PORTS[0], PORTS[1] + 1, Wall::from_millis(0));
    let start = Instant::from_micros(1_000_000);
    relay.open(start, PORTS[0], &spec(peers[0], security));
    relay.open(start, PORTS[1], &spec(peers[1], None));
    relay.join(start, PORTS[0], PORTS[1]);
    for seq in 0..200 {
        let now = start + Duration::from_millis(u64::from(seq) * 20);
        let (mut caller, mut callee) = (audio(seq, 7), audio(seq, 9));
        let before = ALLOCATIONS.get();
        let length = match &mut seal {
            Some(seal) => seal.rtp(&mut caller, 0..BYTES).expect("each once").end,
            None => BYTES,
        };
        assert!(length <= BYTES + RTP_GROWTH_MAX);
        assert!(relay.rtp(now, PORTS[0], peers[0], &mut caller, length).is_some());
        assert!(relay.rtp(now, PORTS[1], peers[1], &mut callee, BYTES).is_some());
        // What came before is refused.
        if seal.is_some() {
            assert!(
                relay
                    .rtp(now, PORTS[0], peers[0], &mut audio(seq, 7), BYTES)
                    .is_none()
            );
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{suite:?}, packet {seq}");
    }
}

#[test]
fn a_relayed_packet_allocates_nothing() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert!(ALLOCATIONS.get() > before, "it would be seen");
    relays(None);
    for suite in Suite::ALL {
        relays(Some(suite));
    }
}

//! Whatever comes.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_go_nowhere_but_to_the_believed_address(
        packets in prop::collection::vec(
            (0..3_usize, prop::bool::ANY, 0..4_u8, prop::collection::vec(any::<u8>(), 0..80), 0..3_000_u64),
            0..60,
        ),
        latch in prop::bool::ANY,
    ) {
        let mut from = spec(a());
        if latch {
            from.nat = MediaNat::Latch;
        }
        let mut bench = Bench::with(from, spec(b()));
        let senders = [a(), b(), stranger()];
        for (who, is_a, shape, mut bytes, ms) in packets {
            bench.wait(ms);
            // Most bytes are no RTP at all; make some look like it.
            if let Some(first) = bytes.first_mut().filter(|_| shape > 0) {
                *first = 0x80 | (*first & 0x3f);
            }
            if let Some(kind) = bytes.get_mut(1).filter(|_| shape > 1) {
                *kind = if shape == 2 { 8 } else { 200 + (*kind & 1) };
            }
            let (port, from) = (if is_a { A } else { B }, senders[who]);
            let allowed = if is_a { vec![b()] } else if latch { vec![a(), b(), stranger()] } else { vec![a()] };
            let got = bench.raw(port, from, &bytes);
            if let Some(got) = got {
                prop_assert!(allowed.contains(&got.to));
                let sdp = if is_a { a() } else { b() };
                prop_assert!(latch || from == sdp);
                prop_assert!(got.bytes.len() <= bytes.len());
            }
            bench.relay.rtcp(bench.now, port, from, &mut bytes.clone());
            for (port, to, _) in bench.run(0) {
                let host = if port == A { a().ip() } else { b().ip() };
                prop_assert!(latch || to.ip() == host);
            }
        }
    }
}

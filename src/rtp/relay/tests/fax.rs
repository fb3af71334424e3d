//! A fax: datagrams that pass whole (ITU-T T.38 §9.1).

use super::*;

fn fax(remote: SocketAddr) -> FlowSpec {
    FlowSpec {
        stream: Stream::Udptl,
        payloads: Payloads::new(),
        remote_rtcp: None,
        ..spec(remote)
    }
}

/// A datagram whose number would be a version in RTP.
const DATAGRAM: [u8; 9] = [0x80, 0x08, 6, 0xc0, 1, 0x80, 0, 0, 0xff];

impl Bench {
    fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) -> Option<(u32, SocketAddr, Vec<u8>)> {
        let mut buffer = bytes.to_vec();
        let out = self.relay.rtp(self.now, A, from, &mut buffer, bytes.len())?;
        Some((out.port, out.to, buffer[out.bytes].to_vec()))
    }
}

#[test]
fn datagrams_pass_whole_between_two_faxes_and_are_counted() {
    let mut bench = Bench::with(fax(a()), fax(b()));
    assert_eq!(bench.datagram(a(), &DATAGRAM), Some((B, b(), DATAGRAM.to_vec())));
    assert_eq!(bench.run(20_000), [], "a fax has no RTCP");
    let (sent, got) = (bench.counts(A), bench.counts(B));
    assert_eq!((sent.packets_in, got.packets_out), (1, 1));
    assert_eq!(bench.relay.poll_out(), None);
}

#[test]
fn a_strangers_datagram_and_a_huge_one_go_nowhere() {
    let mut bench = Bench::with(fax(a()), fax(b()));
    assert_eq!(bench.datagram(stranger(), &DATAGRAM), None);
    assert_eq!(bench.datagram(a(), &[0; UDPTL_BYTES_MAX + 1]), None);
    assert!(bench.datagram(a(), &[0; UDPTL_BYTES_MAX]).is_some());
    let counts = bench.counts(A);
    assert_eq!((counts.packets_in, counts.dropped, counts.strangers), (1, 2, 1));
}

#[test]
fn nothing_passes_between_a_fax_and_a_voice() {
    let mut bench = Bench::with(fax(a()), spec(b()));
    assert_eq!(bench.datagram(a(), &DATAGRAM), None);
    let mut bench = Bench::with(spec(a()), fax(b()));
    assert_eq!(bench.datagram(a(), &DATAGRAM), None);
}

#[test]
fn voice_comes_back_on_a_timeline_that_has_gone_on() {
    let mut bench = Bench::new();
    let before = bench.audio(1).expect("relayed").header;
    for (port, spec) in [(A, fax(a())), (B, fax(b()))] {
        bench.relay.change(bench.now, port, &spec);
    }
    bench.wait(1_000);
    assert!(bench.datagram(a(), &DATAGRAM).is_some());
    for (port, spec) in [(A, spec(a())), (B, spec(b()))] {
        bench.relay.change(bench.now, port, &spec);
    }
    let after = bench.audio(2_000).expect("relayed").header;
    assert_eq!((after.ssrc, after.seq), (before.ssrc, before.seq.wrapping_add(1)));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(1_020 * 8));
    assert!(after.marker);
}

use super::*;
use crate::base::chance::Chance;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("two hex digits")
    };
    digits.chunks(2).map(byte).collect()
}

fn keying(suite: Suite, number: u64) -> Keying {
    Keying::draw(suite, &mut Chance::from_number(number))
}

fn pair(suite: Suite) -> (Seal, Open) {
    let keying = keying(suite, 7);
    let open = Open::new(&keying, 0).expect("its own length");
    (Seal::new(&keying).expect("its own length"), open)
}

fn packet(ssrc: u32, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 1, 0]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// Seals a packet as the relay does: in a buffer with room behind it.
fn sealed(seal: &mut Seal, packet: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + RTP_GROWTH_MAX, 0);
    let place = seal.rtp(&mut buffer, 0..packet.len())?;
    Some(buffer[place].to_vec())
}

fn opened(open: &mut Open, packet: &[u8]) -> Option<Vec<u8>> {
    let mut packet = packet.to_vec();
    let length = open.rtp(&mut packet)?;
    packet.truncate(length);
    Some(packet)
}

fn opened_report(open: &mut Open, packet: &[u8]) -> Option<Vec<u8>> {
    let mut packet = packet.to_vec();
    let length = open.rtcp(&mut packet)?;
    packet.truncate(length);
    Some(packet)
}

#[test]
fn counter_mode_is_that_of_rfc_3711_appendix_b_2() {
    let cipher = Aes128Enc::new_from_slice(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).expect("16 bytes");
    let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().expect("14 bytes");
    let mut stream = vec![0; 16 * 0xff02];
    count(&cipher, &salt, Moment { ssrc: 0, index: 0 }, &mut stream);
    let block = |number: usize| &stream[number * 16..number * 16 + 16];
    assert_eq!(block(0), hex("E03EAD0935C95E80E166B16DD92B4EB4"));
    assert_eq!(block(1), hex("D23513162B02D0F72A43A2FE4A5F97AB"));
    assert_eq!(block(2), hex("41E95B3BB0A2E8DD477901E4FCA894C0"));
    assert_eq!(block(0xfeff), hex("EC8CDF7398607CB0F2D21675EA9EA1E4"));
    assert_eq!(block(0xff00), hex("362B7C3C6773516318A077D7FC5073AE"));
    assert_eq!(block(0xff01), hex("6A2CC3787889374FBEB4C81B17BA6C44"));
}

#[test]
fn keys_are_derived_as_in_rfc_3711_appendix_b_3() {
    let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let keying = Keying::new(Suite::AesCm128HmacSha1_80, &master).expect("30 bytes");
    let derived = |label, bytes| {
        let mut out = vec![0; bytes];
        derive(&keying, label, &mut out).expect("a sound key");
        out
    };
    assert_eq!(
        derived(Label::RtpCipher, 16),
        hex("C61E7A93744F39EE10734AFE3FF7A087")
    );
    assert_eq!(derived(Label::RtpSalt, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    let auth = "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE \
                E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25 \
                6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2";
    assert_eq!(derived(Label::RtpAuth, 94), hex(auth));
}

/// What RFC 7714's examples know: session keys, not master keys.
fn by_session_key() -> Transform {
    let key = hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    Transform::Gcm {
        cipher: Aes256Gcm::new_from_slice(&key).expect("32 bytes"),
        salt: hex("517569642070726f2071756f").try_into().expect("12 bytes"),
    }
}

#[test]
fn gcm_is_that_of_rfc_7714_section_16_2() {
    let plain = hex(
        "8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573",
    );
    let secure = hex(
        "8040f17b8041f8d35501a0b2 32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f\
         1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
    );
    let mut seal = Seal::new(&keying(Suite::AeadAes256Gcm, 1)).expect("its own length");
    seal.rtp = by_session_key();
    assert_eq!(sealed(&mut seal, &plain), Some(secure.clone()));
    let mut open = Open::new(&keying(Suite::AeadAes256Gcm, 1), 0).expect("its own length");
    open.rtp = by_session_key();
    assert_eq!(opened(&mut open, &secure), Some(plain));
}

#[test]
fn gcm_of_reports_is_that_of_rfc_7714_section_17_2() {
    let plain = hex(
        "81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    );
    let secure = hex(
        "81c8000d4d617273 d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad\
         1d1eb30c4446839f57ff6f6cb26ac3be 800005d4",
    );
    let mut seal = Seal::new(&keying(Suite::AeadAes256Gcm, 1)).expect("its own length");
    (seal.rtcp, seal.next_rtcp) = (by_session_key(), 0x5d4);
    let mut report = plain.clone();
    seal.rtcp(&mut report).expect("a report");
    assert_eq!(report, secure);
    let mut open = Open::new(&keying(Suite::AeadAes256Gcm, 1), 0).expect("its own length");
    open.rtcp = by_session_key();
    assert_eq!(opened_report(&mut open, &secure), Some(plain));
}

#[test]
fn what_is_sealed_opens_and_nothing_else_does() {
    for suite in Suite::ALL {
        let (mut seal, mut open) = pair(suite);
        let plain = packet(9, 100, b"twenty milliseconds");
        let secure = sealed(&mut seal, &plain).expect("sealed");
        assert_ne!(secure[12..12 + 19], plain[12..], "{suite:?}: encrypted");
        for bit in 0..secure.len() * 8 {
            let mut damaged = secure.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&mut open, &damaged), None, "{suite:?}: bit {bit}");
        }
        for cut in 0..secure.len() {
            assert_eq!(opened(&mut open, &secure[..cut]), None, "{suite:?}: cut at {cut}");
        }
        assert!(open.streams.is_empty(), "{suite:?}: nothing has moved");
        assert_eq!(opened(&mut open, &secure), Some(plain), "{suite:?}");
    }
}

#[test]
fn a_packet_that_came_is_not_opened_again() {
    for suite in Suite::ALL {
        let (mut seal, mut open) = pair(suite);
        let all: Vec<_> = (0..200)
            .map(|seq| sealed(&mut seal, &packet(9, seq, b"audio")).expect("sealed"))
            .collect();
        let late: Vec<usize> = (72..200).step_by(3).collect();
        for (at, secure) in all.iter().enumerate().filter(|(at, _)| !late.contains(at)) {
            assert!(opened(&mut open, secure).is_some(), "{suite:?}: {at}");
        }
        for (at, secure) in all.iter().enumerate() {
            let opens = opened(&mut open, secure).is_some();
            assert_eq!(opens, late.contains(&at), "{suite:?}: {at}");
        }
        assert!(
            all.iter().all(|secure| opened(&mut open, secure).is_none()),
            "{suite:?}"
        );
    }
}

#[test]
fn no_index_is_sealed_twice() {
    for suite in Suite::ALL {
        let (mut seal, _) = pair(suite);
        for seq in (0..2_000).step_by(2) {
            assert!(sealed(&mut seal, &packet(9, seq, b"one")).is_some());
        }
        assert!(
            sealed(&mut seal, &packet(9, 1_998, b"two")).is_none(),
            "the last once more"
        );
        assert!(
            sealed(&mut seal, &packet(9, 1_900, b"two")).is_none(),
            "an earlier one"
        );
        assert!(
            sealed(&mut seal, &packet(9, 1_901, b"two")).is_some(),
            "one that was late"
        );
        assert!(
            sealed(&mut seal, &packet(9, 1_901, b"two")).is_none(),
            "and again"
        );
        assert!(
            sealed(&mut seal, &packet(9, 1, b"two")).is_none(),
            "nobody knows any more"
        );
    }
}

#[test]
fn sequence_numbers_roll_over_on_both_sides_whatever_is_lost_or_late() {
    for suite in Suite::ALL {
        let (mut seal, mut open) = pair(suite);
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for at in 0..200_000_u32 {
            if at % 7 == 3 {
                continue;
            }
            let plain = packet(9, (at as u16).wrapping_add(30_000), &at.to_be_bytes());
            sent.push(sealed(&mut seal, &plain).expect("sealed"));
            if sent.len() == 5 {
                // They come in another order.
                for at in [1, 0, 4, 2, 3] {
                    assert!(opened(&mut open, &sent[at]).is_some(), "{suite:?}");
                }
                sent.clear();
            }
        }
        assert_eq!(open.rollovers(), 3, "{suite:?}");
    }
}

#[test]
fn a_stream_of_which_the_beginning_was_lost_is_opened() {
    for suite in Suite::ALL {
        let (mut seal, mut open) = pair(suite);
        for seq in [65_530, 65_535, 0] {
            sealed(&mut seal, &packet(9, seq, b"lost")).expect("sealed");
        }
        let secure = sealed(&mut seal, &packet(9, 4, b"heard")).expect("sealed");
        assert!(opened(&mut open, &secure).is_some(), "{suite:?}");
    }
}

#[test]
fn who_goes_on_after_another_process_knows_the_rollovers_by_the_tag() {
    for suite in Suite::ALL {
        for (kept, opens) in [(4, false), (5, true), (6, true), (7, false)] {
            let (mut seal, _) = pair(suite);
            for at in 0..6 * 0x1_0000 / 0x4000 + 1_u32 {
                sealed(&mut seal, &packet(9, (at * 0x4000) as u16, b"before")).expect("sealed");
            }
            let secure = sealed(&mut seal, &packet(9, 100, b"after")).expect("sealed");
            let mut open = Open::new(&keying(suite, 7), kept).expect("its own length");
            assert_eq!(opened(&mut open, &secure).is_some(), opens, "{suite:?} {kept}");
            assert_eq!(open.rollovers(), if opens { 6 } else { kept }, "{suite:?} {kept}");
        }
    }
}

#[test]
fn another_ssrc_is_another_stream_and_only_so_many_are_remembered() {
    let (mut seal, mut open) = pair(Suite::AesCm128HmacSha1_80);
    for ssrc in 0..10 {
        let secure = sealed(&mut seal, &packet(ssrc, 5, b"audio")).expect("sealed");
        assert!(opened(&mut open, &secure).is_some());
        assert!(opened(&mut open, &secure).is_none(), "came before");
    }
    assert_eq!(open.streams.len(), STREAMS_MAX);
}

#[test]
fn reports_open_once_and_only_encrypted() {
    for suite in Suite::ALL {
        let (mut seal, mut open) = pair(suite);
        let plain = [&[0x80, 201, 0, 1, 0, 0, 0, 9], b"names of ours".as_slice()].concat();
        let mut secure = Vec::new();
        for _ in 0..3 {
            secure.push(plain.clone());
            seal.rtcp(secure.last_mut().expect("pushed")).expect("sealed");
        }
        assert_ne!(secure[0], secure[1], "{suite:?}: under another index");
        for bit in 0..secure[0].len() * 8 {
            let mut damaged = secure[0].clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened_report(&mut open, &damaged), None, "{suite:?}: bit {bit}");
        }
        for report in [&secure[0], &secure[2], &secure[1]] {
            assert_eq!(opened_report(&mut open, report), Some(plain.clone()), "{suite:?}");
            assert_eq!(opened_report(&mut open, report), None, "{suite:?}: twice");
        }
        for cut in 0..secure[0].len() {
            assert_eq!(opened_report(&mut open, &secure[0][..cut]), None);
        }
    }
}

#[test]
fn a_packet_without_room_for_its_tag_is_not_sent_and_its_index_is_free() {
    let (mut seal, mut open) = pair(Suite::AeadAes256Gcm);
    let plain = packet(9, 5, b"audio");
    let mut tight = plain.clone();
    tight.resize(plain.len() + RTP_GROWTH_MAX - 1, 0);
    assert_eq!(seal.rtp(&mut tight, 0..plain.len()), None);
    let secure = sealed(&mut seal, &plain).expect("sealed");
    assert_eq!(opened(&mut open, &secure), Some(plain));
}

#[test]
fn csrcs_and_extensions_stay_readable_and_authenticated() {
    for suite in Suite::ALL {
        let (mut seal, mut open) = pair(suite);
        let mut plain = packet(9, 5, b"");
        plain[0] = 0x92;
        plain.extend([1; 8]);
        plain.extend([0xbe, 0xde, 0, 1, 2, 2, 2, 2]);
        plain.extend(b"audio");
        let secure = sealed(&mut seal, &plain).expect("sealed");
        assert_eq!(secure[..28], plain[..28], "{suite:?}");
        assert_ne!(secure[28..33], plain[28..], "{suite:?}");
        assert_eq!(opened(&mut open, &secure), Some(plain), "{suite:?}");
    }
}

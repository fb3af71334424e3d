use proptest::prelude::*;

use super::*;
use crate::base::chance::Chance;
use crate::sdp::answer::{Agreed, Lines, Mismatch, Offer, Terms};
use crate::sdp::build;
use crate::sdp::media::{CodecName, Origin};
use crate::sdp::parse::{Session, parse};

/// RFC 4568 §9's own key: 30 bytes, without padding.
const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
/// 44 bytes, with it.
const LONG: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKis=";
const CM: &str = "AES_CM_128_HMAC_SHA1_80";
const GCM: &str = "AEAD_AES_256_GCM";

fn bring(mode: Mode) -> Protection {
    let mut chance = Chance::from_number(1);
    Protection {
        mode,
        ours: Suite::ALL.map(|suite| Keying::draw(suite, &mut chance)).into(),
    }
}

fn session(lines: &str) -> Session {
    let text = format!("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n{lines}");
    parse(text.as_bytes()).expect("readable")
}

fn offer(lines: &str, ours: &Protection) -> Result<Offer, Mismatch> {
    Offer::read(&session(lines), &CodecName::ALL, ours, None)
}

fn written(line: &Line) -> String {
    let here = "198.51.100.9:20000".parse().expect("an address");
    let terms = Terms::list(&[CodecName::Pcma]);
    let bytes = build::write(Origin { id: 7, version: 1 }, here, &Lines::one(), &terms, line);
    String::from_utf8(bytes).expect("UTF-8")
}

fn line(profile: &str, cryptos: &[&str]) -> String {
    let cryptos: String = cryptos
        .iter()
        .map(|crypto| format!("a=crypto:{crypto}\n"))
        .collect();
    format!("m=audio 4000 {profile} 8\n{cryptos}")
}

#[test]
fn a_key_is_read_with_whatever_may_stand_beside_it() {
    for (text, tag) in [
        (format!("1 {CM} inline:{KEY}"), 1),
        (format!("5 aes_cm_128_hmac_sha1_80 INLINE:{KEY}|2^20"), 5),
        (format!("2 {GCM}  inline:{LONG}|1048576 "), 2),
        (format!("3 {GCM} inline:{}", LONG.trim_end_matches('=')), 3),
        (
            format!("999999999 {CM} inline:{KEY}|2^48 WSH=1024 -NEWER=1"),
            999_999_999,
        ),
    ] {
        let crypto = read(text.as_bytes()).expect(&text);
        assert_eq!(crypto.tag, tag);
        let mut again = Vec::new();
        write(&mut again, &crypto);
        assert_eq!(read(&again), Some(crypto), "{text}");
    }
}

#[test]
fn a_key_that_could_not_be_used_is_none() {
    for text in [
        format!("{CM} inline:{KEY}"),
        format!("1234567890 {CM} inline:{KEY}"),
        format!("-1 {CM} inline:{KEY}"),
        format!("1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"),
        format!("1 {CM} {KEY}"),
        format!("1 {CM} uri:{KEY}"),
        format!("1 {CM} inline:"),
        format!("1 {CM} inline:{}", &KEY[..36]),
        format!("1 {CM} inline:{KEY}AAAA"),
        format!("1 {CM} inline:{LONG}"),
        format!("1 {GCM} inline:{KEY}"),
        format!("1 {GCM} inline:{}AAAAAAAA", LONG.trim_end_matches('=')),
        format!("1 {CM} inline:{}!", &KEY[..39]),
        // A key identifier, and a second key (RFC 4568 §6.1).
        format!("1 {CM} inline:{KEY}|2^20|1:4"),
        format!("1 {CM} inline:{KEY}|1:4"),
        format!("1 {CM} inline:{KEY};inline:{KEY}"),
        // Lifetimes of nothing, and of more than there is.
        format!("1 {CM} inline:{KEY}|0"),
        format!("1 {CM} inline:{KEY}|2^49"),
        format!("1 {CM} inline:{KEY}|2^64"),
        // What would change how packets are secured.
        format!("1 {CM} inline:{KEY} UNENCRYPTED_SRTP"),
        format!("1 {CM} inline:{KEY} UNENCRYPTED_SRTCP"),
        format!("1 {CM} inline:{KEY} UNAUTHENTICATED_SRTP"),
        format!("1 {CM} inline:{KEY} KDR=1"),
        format!("1 {CM} inline:{KEY} FEC_ORDER=FEC_SRTP"),
        format!("1 {CM} inline:{KEY} NEWER"),
        format!("1 {CM} inline:{KEY} WSH=many"),
        String::new(),
    ] {
        assert_eq!(read(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn what_a_leg_takes_is_what_its_trunk_says() {
    let (plain, keyed) = (
        line("RTP/AVP", &[]),
        line("RTP/AVP", &[&format!("1 {CM} inline:{KEY}")]),
    );
    let (bare, secure) = (
        line("RTP/SAVP", &[]),
        line("RTP/SAVP", &[&format!("1 {CM} inline:{KEY}")]),
    );
    let taken = |text: &str, mode| {
        let offer = offer(text, &bring(mode)).ok()?;
        Some(offer.secured.map(|secured| secured.profile))
    };
    for (mode, expected) in [
        (Mode::Off, [Some(None), Some(None), None, None]),
        (
            Mode::Optional,
            [
                Some(None),
                Some(Some(Profile::Avp)),
                None,
                Some(Some(Profile::Savp)),
            ],
        ),
        (
            Mode::Required,
            [None, Some(Some(Profile::Avp)), None, Some(Some(Profile::Savp))],
        ),
    ] {
        let all = [&plain, &keyed, &bare, &secure].map(|text| taken(text, mode));
        assert_eq!(all, expected, "{mode:?}");
    }
    for other in ["RTP/SAVPF", "UDP/TLS/RTP/SAVP"] {
        let text = line(other, &[&format!("1 {CM} inline:{KEY}")]);
        assert_eq!(taken(&text, Mode::Required), None, "{other}");
    }
}

#[test]
fn the_answer_has_the_first_of_the_offered_keys_that_can_be_used_by_its_tag_and_our_own() {
    let text = line(
        "RTP/SAVP",
        &[
            &format!("4 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"),
            &format!("7 {GCM} inline:{LONG}|2^31|1:1"),
            &format!("8 {GCM} inline:{LONG}"),
            &format!("8 {CM} inline:{KEY}"),
            &format!("9 {CM} inline:{KEY}"),
        ],
    );
    let ours = bring(Mode::Optional);
    let secured = offer(&text, &ours).expect("usable").secured.expect("secured");
    assert_eq!((secured.tag, secured.theirs.suite()), (8, Suite::AeadAes256Gcm));
    let answer = written(&Line::answer(Some(&secured)));
    assert!(answer.contains("m=audio 20000 RTP/SAVP 8\r\n"), "{answer}");
    assert_eq!(answer.matches("a=crypto:").count(), 1);
    assert!(answer.contains("a=crypto:8 AEAD_AES_256_GCM inline:"), "{answer}");
    assert!(!answer.contains(LONG.trim_end_matches('=')), "theirs isn't ours");
    let only_cm = Protection {
        ours: ours
            .ours
            .into_iter()
            .filter(|key| key.suite() == Suite::AesCm128HmacSha1_80)
            .collect(),
        ..ours
    };
    let secured = offer(&text, &only_cm).expect("usable").secured.expect("secured");
    assert_eq!(secured.tag, 9);
}

#[test]
fn an_offer_of_ours_names_a_key_a_suite_and_takes_one_of_them_back() {
    for (mode, profile) in [(Mode::Optional, "RTP/AVP"), (Mode::Required, "RTP/SAVP")] {
        let ours = bring(mode);
        let said = ours.offer();
        let text = written(&said);
        assert!(text.contains(&format!("m=audio 20000 {profile} 8\r\n")), "{text}");
        assert!(
            text.contains(&format!("a=crypto:1 {CM} inline:"))
                && text.contains(&format!("a=crypto:2 {GCM} inline:"))
        );
        let check = |answer: &str| -> Result<Option<Box<Secured>>, Mismatch> {
            let terms = Terms::list(&[CodecName::Pcma]);
            let agreed: Agreed = terms.check(&Lines::one(), &said, mode, &session(answer))?;
            Ok(agreed.secured)
        };
        let secured = check(&line(profile, &[&format!("2 {GCM} inline:{LONG}")]))
            .expect("agreed")
            .expect("secured");
        assert_eq!((&secured.ours, secured.tag), (&ours.ours[1], 2));
        let plain = check(&line("RTP/AVP", &[]));
        let wrong_tag = check(&line("RTP/AVP", &[&format!("3 {CM} inline:{KEY}")]));
        let other_suite = check(&line("RTP/AVP", &[&format!("2 {CM} inline:{KEY}")]));
        for answer in [plain, wrong_tag, other_suite] {
            match mode {
                Mode::Required => assert_eq!(answer, Err(Mismatch::NoAudio)),
                Mode::Optional | Mode::Off => assert_eq!(answer, Ok(None)),
            }
        }
        assert_eq!(check(&line("RTP/SAVP", &[])), Err(Mismatch::NoAudio));
    }
}

#[test]
fn no_key_crosses_to_the_other_leg() {
    let text = line("RTP/SAVP", &[&format!("1 {CM} inline:{KEY}")]);
    let offer = offer(&text, &bring(Mode::Required)).expect("usable");
    let onward = offer.onward(None);
    let here = "198.51.100.9:20000".parse().expect("an address");
    let origin = Origin { id: 7, version: 1 };
    let text = build::write(origin, here, &Lines::one(), &onward, &Line::PLAIN);
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(
        text.contains("m=audio 20000 RTP/AVP 8\r\n") && !text.contains("crypto"),
        "{text}"
    );
    assert!(!format!("{offer:?}").contains("WVNf"), "nor is it shown");
}

proptest! {
    #[test]
    fn any_bytes_are_a_key_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = read(&[b"1 AES_CM_128_HMAC_SHA1_80 inline:".as_slice(), &bytes].concat());
        let _ = read(&[b"1 AEAD_AES_256_GCM inline:".as_slice(), LONG.as_bytes(), &bytes].concat());
    }
}

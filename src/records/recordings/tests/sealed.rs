//! Recordings that are encrypted.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::records::recordings::Error;
use crate::records::recordings::chain::{Nonce, Sha};
use crate::records::recordings::seal::BadKey;

const DIGITS: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn key(cipher: Cipher) -> Key {
    let digits = match cipher {
        Cipher::Aes256Gcm => DIGITS,
        Cipher::Sm4Gcm | Cipher::None => &DIGITS[..32],
    };
    Key::of_digits("acme-1", cipher, digits.as_bytes()).expect("a key")
}

pub(super) fn begin_sealed(number: u64, cipher: Cipher) -> Begin {
    Begin {
        key: Some(key(cipher)),
        ..begin(number)
    }
}

#[test]
fn sealed_audio_is_heard_with_the_key_and_only_with_it() {
    for cipher in [Cipher::Aes256Gcm, Cipher::Sm4Gcm] {
        let dir = folder();
        let begin = begin_sealed(1, cipher);
        let mut pen = begun(dir.path(), &begin, 2);
        write(&mut pen, 3).expect("there is room");
        let keys = keys(&begin);
        let heard = seconds(&[Some(0), Some(1), None, Some(3)]);
        assert_eq!(samples(&read(pen.place(), &keys)), heard, "while it is written");
        let finished = pen.end(4 * SECOND, after(4)).expect("there is room");
        assert_eq!(samples(&read(pen.place(), &keys)), heard);
        let verdict = verify(pen.place(), &keys, None).expect("it can be read");
        assert_eq!(verdict, whole(&finished, Seals::Right));
        assert_eq!(found(pen.place()), whole(&finished, Seals::Unchecked));
        let refused = Reader::open(pen.place(), &Keys::default()).map(drop);
        assert!(matches!(refused, Err(Error::NoKey(_, name)) if &*name == "acme-1"));

        // Nothing of the audio is in the file.
        assert!(finished.audio.to_string_lossy().ends_with(".wav.sealed"));
        let file = fs::read(&finished.audio).expect("the file");
        assert_eq!(file.len(), 3 * (32 + 16));
        let plain: Vec<u8> = second(0).iter().flat_map(|s| s.to_le_bytes()).collect();
        assert!(!file.windows(4).any(|four| plain.windows(4).any(|p| p == four)));
    }
}

#[test]
fn ranges_of_a_sealed_recording_are_those_of_the_wav_file_that_it_stands_for() {
    let dir = folder();
    let begin = begin_sealed(1, Cipher::Aes256Gcm);
    let (sealed, _) = recorded(dir.path(), &begin, 3);
    let (_, plain) = recorded(dir.path(), &super::begin(2), 3);
    let plain = fs::read(plain.audio).expect("the file");
    let mut reader = Reader::open(&sealed, &keys(&begin)).expect("it can be opened");
    for from in 0..plain.len() {
        let mut out = [0; 40];
        let got = reader.read_at(from as u64, &mut out).expect("it can be read");
        assert_eq!(out[..got], plain[from..plain.len().min(from + 40)], "{from}");
    }
}

#[test]
fn who_makes_a_chain_anew_without_the_key_is_found_out() {
    let dir = folder();
    let begin = begin_sealed(1, Cipher::Aes256Gcm);
    let (place, _) = recorded(dir.path(), &begin, 3);
    let path = place.chain(Phase::Whole);
    let text = fs::read_to_string(&path).expect("text");
    let mut before = None;
    // Says that the account is another one, with all digits right.
    let remade: String = text
        .lines()
        .map(|line| {
            let text = line
                .split(",\"sha256\":")
                .next()
                .expect("a text")
                .replace("acme\"", "them\"");
            let (line, sha) = crate::records::recordings::lines::next_line(before, &text);
            before = Some(sha);
            line
        })
        .collect();
    fs::write(&path, remade).expect("room");
    assert!(matches!(
        found(&place),
        Verdict::Whole {
            seals: Seals::Unchecked,
            ..
        }
    ));
    let verdict = verify(&place, &keys(&begin), None).expect("it can be read");
    let what = Change::Seal;
    assert_eq!(verdict, Verdict::Changed { block: 1, what });
}

#[test]
fn another_key_of_that_name_opens_nothing() {
    let dir = folder();
    let (place, _) = recorded(dir.path(), &begin_sealed(1, Cipher::Aes256Gcm), 1);
    let mut keys = Keys::default();
    let other = DIGITS.replace('0', "f");
    keys.add(Key::of_digits("acme-1", Cipher::Aes256Gcm, other.as_bytes()).expect("a key"));
    let opened = Reader::open(&place, &keys).map(drop);
    assert!(matches!(opened, Err(Error::NoKey(_, name)) if &*name == "acme-1"));
    // It isn't the recording that is wrong.
    assert_eq!(
        verify(&place, &keys, None).ok(),
        verify(&place, &Keys::default(), None).ok()
    );
}

#[test]
fn each_recording_has_a_key_of_its_own_and_each_writing_of_a_block_a_nonce() {
    let key = key(Cipher::Aes256Gcm);
    let sealed = |recording, nonce| {
        let mut bytes = b"the same audio".to_vec();
        let before = Sha::of(&[b""]);
        key.seal(recording)
            .close(nonce, before, "", &mut bytes)
            .expect("it is short");
        bytes
    };
    assert_ne!(sealed(id(1), Nonce([0; 12])), sealed(id(2), Nonce([0; 12])));
    let nonces = [1, 1, 2].map(|block| crate::records::recordings::seal::nonce(block).expect("chance"));
    assert_ne!(nonces[0], nonces[1]);
    assert_eq!(nonces[2].0[..4], [0, 0, 0, 2]);
}

#[test]
fn a_key_file_is_read_and_a_bad_one_is_refused_without_a_word_of_it() {
    let dir = folder();
    let path = dir.path().join("key");
    let key = |text: &str, mode: u32, cipher| {
        fs::write(&path, text).expect("room");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        Key::read("acme-1", cipher, &path)
    };
    let read = key(&format!("{}\n", DIGITS.to_uppercase()), 0o600, Cipher::Aes256Gcm).expect("a key");
    assert_eq!(format!("{read:?}"), "Key(acme-1, …)");
    assert!(key(&DIGITS[..32], 0o640, Cipher::Sm4Gcm).is_ok());
    let refused = key(DIGITS, 0o644, Cipher::Aes256Gcm).expect_err("all can read it");
    assert!(matches!(refused, BadKey::Open), "{refused}");
    for (text, cipher) in [
        (&DIGITS[..62], Cipher::Aes256Gcm),
        (DIGITS, Cipher::Sm4Gcm),
        ("secret", Cipher::Sm4Gcm),
    ] {
        let refused = key(text, 0o600, cipher).expect_err("no key");
        assert!(matches!(refused, BadKey::Digits(_)), "{refused}");
        assert!(!refused.to_string().contains(text), "{refused}");
        assert!(refused.to_string().contains("openssl rand -hex"), "{refused}");
    }
    assert!(matches!(key(DIGITS, 0o600, Cipher::None), Err(BadKey::NoCipher)));
    fs::remove_file(&path).expect("it is there");
    let refused = Key::read("acme-1", Cipher::Aes256Gcm, &path).expect_err("it isn't there");
    assert!(matches!(refused, BadKey::Unreadable(_)), "{refused}");
}

#[test]
fn sm4_gcm_is_that_of_rfc_8998() {
    use aes_gcm::KeyInit as _;
    use aes_gcm::aead::AeadInOut as _;
    // RFC 8998 §A.1.
    let hex = |text: &str| {
        let pairs = text.as_bytes().chunks_exact(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("digits"))
            .collect::<Vec<u8>>()
    };
    let key: [u8; 16] = hex("0123456789ABCDEFFEDCBA9876543210").try_into().expect("16");
    let nonce: [u8; 12] = hex("00001234567800000000ABCD").try_into().expect("12");
    let aad = hex("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2");
    let mut text = hex("AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCCDDDDDDDDDDDDDDDD\
         EEEEEEEEEEEEEEEEFFFFFFFFFFFFFFFFEEEEEEEEEEEEEEEEAAAAAAAAAAAAAAAA");
    let gcm = crate::records::recordings::seal::Sm4Gcm::new(&key.into());
    let tag = gcm
        .encrypt_inout_detached(&nonce.into(), &aad, text.as_mut_slice().into())
        .expect("it is short");
    assert_eq!(
        text,
        hex("17F399F08C67D5EE19D0DC9969C4BB7D5FD46FD3756489069157B282BB200735\
             D82710CA5C22F0CCFA7CBF93D496AC15A56834CBCF98C397B4024A2691233B8D")
    );
    assert_eq!(tag.to_vec(), hex("83DE3541E4C2B58177E065A9BF7B62EC"));
}

//! The RFCs' own examples, and what hostile peers write.

use proptest::prelude::*;

use super::*;

/// A response with these challenges, one a line.
fn challenged(lines: &[&str]) -> Vec<u8> {
    let mut text = b"SIP/2.0 401 Unauthorized\r\n".to_vec();
    for line in lines {
        text.extend_from_slice(b"WWW-Authenticate: ");
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

fn request(authorization: &[u8]) -> Vec<u8> {
    [
        b"INVITE sip:b@c SIP/2.0\r\nAuthorization: ",
        authorization,
        b"\r\n\r\n",
    ]
    .concat()
}

fn plain(text: Text<'_>) -> String {
    String::from_utf8(text.plain().into_owned()).expect("UTF-8")
}

#[test]
fn the_examples_of_rfc_7616_come_out() {
    // §3.9.1
    let nonce = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let auth = Protection::Auth {
        count: 1,
        cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    };
    for (algorithm, right) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (
            Algorithm::Sha256,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let ha1 = Ha1::of(algorithm, b"Mufasa", b"http-auth@example.org", b"Circle of Life");
        let response = response(algorithm, &ha1, nonce, auth, b"GET", b"/dir/index.html");
        assert_eq!(&*response, right, "{algorithm:?}");
    }
}

#[test]
fn sha_512_256_gives_what_openssl_gives() {
    // The question of RFC 7616 §3.9.2 with the user's name itself. The RFC's own answer is no SHA-512-256 (erratum 4897),
    // so this one is OpenSSL's.
    let algorithm = Algorithm::Sha512_256;
    let user = "J\u{e4}s\u{f8}n Doe".as_bytes();
    let ha1 = Ha1::of(algorithm, user, b"api@example.org", b"Secret, or not?");
    let auth = Protection::Auth {
        count: 1,
        cnonce: b"NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
    };
    let nonce = b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK";
    let response = response(algorithm, &ha1, nonce, auth, b"GET", b"/doe.json");
    assert_eq!(
        &*response,
        "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c"
    );
}

#[test]
fn the_examples_of_rfc_2617_and_rfc_2069_come_out() {
    let ha1 = Ha1::of(
        Algorithm::Md5,
        b"Mufasa",
        b"testrealm@host.com",
        b"Circle Of Life",
    );
    let nonce = b"dcd98b7102dd2f0e8b11d0f600bfb0c093";
    let auth = Protection::Auth {
        count: 1,
        cnonce: b"0a4f113b",
    };
    let of = |protection| {
        response(
            Algorithm::Md5,
            &ha1,
            nonce,
            protection,
            b"GET",
            b"/dir/index.html",
        )
    };
    // RFC 2617 §3.5
    assert_eq!(&*of(auth), "6629fae49393a05397450978507c4ef1");
    // The same without a qop: RFC 2069 §2.1.2's sum.
    assert_eq!(&*of(Protection::Bare), "670fd8c2df070c60b045671b8b24ff02");
}

#[test]
fn of_several_challenges_the_strongest_that_we_know_is_answered() {
    let bytes = challenged(&[
        "Digest realm=\"a\", nonce=\"1\", algorithm=MD5, qop=\"auth\"",
        "Digest realm=\"a\", nonce=\"2\", algorithm=SHA-256, qop=\"auth-int,auth\", opaque=\"o\\\"p\", stale=TRUE",
        "Digest realm=\"a\", nonce=\"3\", algorithm=SHA-512-256-sess, qop=\"auth\"",
        "Digest realm=\"a\", nonce=\"4\", algorithm=SHA-512-256, qop=\"auth-int\"",
        "Bearer realm=\"a\", nonce=\"5\", algorithm=SHA-512-256",
    ]);
    let head = Head::read(&bytes).expect("a head");
    let best = Challenge::strongest(&head, Asker::Server, |_| true).expect("one can be answered");
    assert_eq!(
        (plain(best.nonce), best.algorithm),
        ("2".into(), Algorithm::Sha256)
    );
    assert_eq!((best.freshness, best.qop), (Freshness::Stale, Qop::Auth));
    assert_eq!(best.opaque.map(plain).as_deref(), Some("o\"p"));
    let weak = Challenge::strongest(&head, Asker::Server, |one| one.algorithm == Algorithm::Md5);
    assert_eq!(weak.map(|one| plain(one.nonce)).as_deref(), Some("1"));
    assert_eq!(Challenge::strongest(&head, Asker::Proxy, |_| true), None);
}

#[test]
fn several_challenges_may_share_a_line_and_old_ones_name_neither_hash_nor_qop() {
    let bytes = challenged(&[
        "Basic realm=\"x\", Digest realm = \"a, b=c\" , nonce=\"1\",Digest nonce=\"2\", algorithm=sha-256, realm=a",
    ]);
    let head = Head::read(&bytes).expect("a head");
    let mut seen = Vec::new();
    let best = Challenge::strongest(&head, Asker::Server, |one| {
        seen.push((plain(one.realm), plain(one.nonce), one.algorithm, one.qop));
        true
    });
    let expected = [
        ("a, b=c".into(), "1".into(), Algorithm::Md5, Qop::Absent),
        ("a".into(), "2".into(), Algorithm::Sha256, Qop::Absent),
    ];
    assert_eq!(seen, expected);
    assert_eq!(best.map(|one| plain(one.nonce)).as_deref(), Some("2"));
}

#[test]
fn what_is_no_challenge_is_never_answered() {
    for line in [
        "",
        "Digest",
        "Digest realm=\"a\"",
        "Digest nonce=\"1\"",
        "Digest realm=\"a\", nonce=\"1",
        "Digest realm=\"a\" nonce=\"1\"",
        "Digest realm=\"a\", nonce=\"1\", nonce=\"2\"",
        "Digest realm=\"a\", nonce=\"1\", algorithm=SHA-1",
        "Digest realm=\"a\", nonce=\"1\", qop=\"\"",
        "Digest =\"a\", nonce=\"1\"",
        "Digest realm=, nonce=\"1\"",
        "realm=\"a\", nonce=\"1\"",
        "Basic realm=\"a\", nonce=\"1\"",
    ] {
        let bytes = challenged(&[line]);
        let head = Head::read(&bytes).expect("a head");
        assert_eq!(
            Challenge::strongest(&head, Asker::Server, |_| true),
            None,
            "{line}"
        );
    }
}

#[test]
fn credentials_that_we_write_are_read_and_are_right_and_say_nothing_in_debug() {
    let bytes =
        challenged(&["Digest realm=\"we \\\"and\\\" they\", nonce=\"n\\\\1\", qop=\"auth\", opaque=\"o\""]);
    let head = Head::read(&bytes).expect("a head");
    let challenge = Challenge::strongest(&head, Asker::Server, |_| true).expect("one");
    let realm = "we \"and\" they";
    let ha1 = Ha1::of(challenge.algorithm, b"u", realm.as_bytes(), b"secret");
    let reply = Reply {
        user: "u",
        challenge: &challenge,
        count: 0x1f,
        cnonce: "abc",
        method: "INVITE",
        uri: "sip:b@c",
    };
    let written = reply.write(&ha1).expect("UTF-8");
    assert!(
        written.contains("qop=auth, nc=0000001f") && written.contains("nonce=\"n\\\\1\""),
        "{written}"
    );
    let bytes = request(written.as_bytes());
    let head = Head::read(&bytes).expect("a head");
    let read = Credentials::of_request(&head, Asker::Server, realm).expect("ours");
    assert_eq!(Credentials::of_request(&head, Asker::Server, "another"), None);
    assert_eq!(Credentials::of_request(&head, Asker::Proxy, realm), None);
    assert!(bool::from(read.are_of(&ha1, b"INVITE")));
    assert!(!bool::from(read.are_of(&ha1, b"BYE")));
    let wrong = Ha1::of(challenge.algorithm, b"u", realm.as_bytes(), b"Secret");
    assert!(!bool::from(read.are_of(&wrong, b"INVITE")));
    assert_eq!(format!("{ha1:?} {:?}", read.user), "Ha1(…) Text(…)");
}

#[test]
fn credentials_with_a_part_missing_or_made_up_are_never_right() {
    let ha1 = Ha1::of(Algorithm::Md5, b"u", b"r", b"p");
    let auth = Protection::Auth {
        count: 1,
        cnonce: b"c",
    };
    let right = response(Algorithm::Md5, &ha1, b"n", auth, b"INVITE", b"sip:b@c");
    let with = |rest: &str| {
        let line = format!(
            "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"sip:b@c\", response=\"{right}\"{rest}"
        );
        let bytes = request(line.as_bytes());
        let head = Head::read(&bytes).expect("a head");
        Credentials::of_request(&head, Asker::Server, "r").is_some_and(|c| c.are_of(&ha1, b"INVITE").into())
    };
    assert!(with(", qop=auth, nc=00000001, cnonce=\"c\""));
    assert!(with(", qop=\"auth\", nc=00000001, cnonce=\"c\", algorithm=md5"));
    for rest in [
        "",
        ", qop=auth, nc=00000001",
        ", qop=auth, cnonce=\"c\"",
        ", qop=auth, nc=1, cnonce=\"c\"",
        ", qop=auth, nc=00000002, cnonce=\"c\"",
        ", qop=auth, nc=+0000001, cnonce=\"c\"",
        ", qop=auth-int, nc=00000001, cnonce=\"c\"",
        ", qop=auth, nc=00000001, cnonce=\"c\", algorithm=SHA-256",
        ", qop=auth, nc=00000001, cnonce=\"c\", algorithm=MD5-sess",
        ", qop=auth, nc=00000001, cnonce=\"c\", username=\"u\"",
        ", qop=auth, nc=00000001, cnonce=\"c",
    ] {
        assert!(!with(rest), "{rest}");
    }
}

#[test]
fn a_hash_written_down_beforehand_is_taken_in_either_case_and_in_its_own_length() {
    let ha1 = Ha1::of(
        Algorithm::Md5,
        b"Mufasa",
        b"testrealm@host.com",
        b"Circle Of Life",
    );
    let digits = "939e7578ed9e3c518a452acee763bce9";
    assert!(Ha1::from_hex(Algorithm::Md5, &digits.to_ascii_uppercase()) == Some(ha1));
    assert!(Ha1::from_hex(Algorithm::Sha256, digits).is_none());
    assert!(Ha1::from_hex(Algorithm::Md5, &digits.replace('9', "x")).is_none());
}

#[test]
fn a_challenge_of_ours_says_what_the_rfc_wants_and_no_more() {
    let ask = Ask {
        realm: "we",
        nonce: "n",
        algorithm: Algorithm::Sha256,
        freshness: Freshness::Stale,
    };
    assert_eq!(
        ask.write(),
        "Digest realm=\"we\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\", stale=true"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        for line in [line.clone(), [b"Digest ", &*line].concat()] {
            let _ = Sets::of(&line).filter_map(|fields| Challenge::of(&fields)).count();
            for fields in Sets::of(&line) {
                if let Some(found) = Credentials::of(&fields) {
                    let ha1 = Ha1::of(Algorithm::Md5, b"u", b"r", b"p");
                    prop_assert!(!bool::from(found.are_of(&ha1, b"INVITE")));
                }
            }
        }
    }

    #[test]
    fn words_that_look_like_parameters_make_the_readers_no_trouble(
        words in proptest::collection::vec(
            prop_oneof![
                Just("Digest "), Just("realm"), Just("nonce"), Just("="), Just("\""), Just("\\"), Just(","),
                Just(" "), Just("auth"), Just("qop"), Just("nc"), Just("00000001"), Just("a"), Just("\r\n "),
            ],
            0..60,
        ),
    ) {
        let line = words.concat();
        let _ = Sets::of(line.as_bytes()).filter_map(|fields| Challenge::of(&fields)).count();
        let _ = Sets::of(line.as_bytes()).filter_map(|fields| Credentials::of(&fields)).count();
    }

    #[test]
    fn whatever_is_written_is_read_back(
        user in "[ -~äß]{0,20}", realm in "[ -~äß]{1,20}", nonce in "[ -~]{1,40}", uri in "sip:[!-~]{1,20}",
    ) {
        let mut line = String::from("Digest realm=");
        quote(&mut line, &realm);
        line.push_str(", nonce=");
        quote(&mut line, &nonce);
        line.push_str(", qop=\"auth\"");
        let fields = Sets::of(line.as_bytes()).next().expect("a set");
        let challenge = Challenge::of(&fields).expect("a challenge");
        for algorithm in Algorithm::ALL {
            let challenge = Challenge { algorithm, ..challenge };
            let ha1 = Ha1::of(algorithm, user.as_bytes(), realm.as_bytes(), b"p");
            let reply = Reply {
                user: &user, challenge: &challenge, count: 3, cnonce: "c", method: "INVITE", uri: &uri,
            };
            let written = reply.write(&ha1).expect("UTF-8");
            let fields = Sets::of(written.as_bytes()).next().expect("a set");
            let read = Credentials::of(&fields).expect("credentials");
            prop_assert_eq!(plain(read.user), user.clone());
            prop_assert_eq!(plain(read.realm), realm.clone());
            prop_assert_eq!(plain(read.nonce), nonce.clone());
            prop_assert_eq!(plain(read.uri), uri.clone());
            prop_assert!(bool::from(read.are_of(&ha1, b"INVITE")));
        }
    }
}

#[test]
fn a_challenge_that_is_kept_is_the_same_and_none_is_kept_that_is_too_long() {
    let long = "x".repeat(CHALLENGE_BYTES_MAX);
    for (line, is_kept) in [
        ("Digest realm=\"a\", nonce=\"1\"".to_owned(), true),
        (
            "Digest realm=\"a\", nonce=\"1\", opaque=\"\", stale=true, qop=\"auth\"".to_owned(),
            true,
        ),
        (format!("Digest realm=\"a\", nonce=\"{long}\""), false),
    ] {
        let bytes = challenged(&[&line]);
        let head = Head::read(&bytes).expect("a head");
        let challenge = Challenge::strongest(&head, Asker::Server, |_| true).expect("one");
        let kept = Kept::of(&challenge);
        assert_eq!(kept.is_some(), is_kept);
        assert!(kept.is_none_or(|kept| kept.challenge() == challenge));
    }
}

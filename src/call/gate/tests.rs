//! Nonces, their uses, and guesses.

use super::*;
use crate::call::trunk::secret::{Secret, User};
use crate::sip::digest::{Algorithm, Asker, Ha1, HashText, Protection, response};

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 1, 1, 1));
const URI: &str = "sip:1@127.0.0.1";

fn demand() -> Demand {
    let user = |name: &str| User {
        name: name.into(),
        secret: Secret::of_password(name, "here", "secret"),
    };
    Demand {
        realm: "here".into(),
        asker: Asker::Server,
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        users: vec![user("one"), user("two")],
    }
}

struct Stand {
    gate: Gate,
    chance: Chance,
    demand: Demand,
    now: Instant,
}

impl Stand {
    fn new() -> Self {
        let mut chance = Chance::from_number(7);
        Self {
            gate: Gate::new(&mut chance),
            chance,
            demand: demand(),
            now: Instant::from_micros(5_000_000),
        }
    }

    /// A nonce for that source.
    fn nonce(&mut self, source: IpAddr) -> String {
        let headers = self
            .gate
            .challenge(self.now, source, &self.demand, Freshness::First, &mut self.chance);
        assert_eq!(headers.len(), 2);
        let (name, value) = &headers[0];
        assert_eq!(*name, "WWW-Authenticate");
        let (_, rest) = value.split_once("nonce=\"").expect("a nonce");
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// What becomes of a request with these credentials.
    fn try_with(&mut self, source: IpAddr, user: &str, password: &str, nonce: &str, count: u32) -> Judged {
        let ha1 = Ha1::of(Algorithm::Md5, user.as_bytes(), b"here", password.as_bytes());
        let auth = Protection::Auth { count, cnonce: b"c" };
        let right: HashText = response(
            Algorithm::Md5,
            &ha1,
            nonce.as_bytes(),
            auth,
            b"INVITE",
            URI.as_bytes(),
        );
        self.judge(
            source,
            &format!(
                "Authorization: Digest username=\"{user}\", realm=\"here\", nonce=\"{nonce}\", uri=\"{URI}\", response=\"{right}\", qop=auth, nc={count:08x}, cnonce=\"c\"\r\n"
            ),
        )
    }

    fn judge(&mut self, source: IpAddr, line: &str) -> Judged {
        let bytes = format!(
            "INVITE {URI} SIP/2.0\r\nVia: SIP/2.0/UDP 127.1.1.1;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\nTo: <{URI}>\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n{line}\r\n"
        );
        let message = Message::parse(bytes.as_bytes()).unwrap_or_else(|why| panic!("{}", why.why));
        self.gate.judge(self.now, source, &self.demand, &message)
    }
}

const STALE: Judged = Judged::Asked(Freshness::Stale);

#[test]
fn whoever_knows_the_password_comes_in_once_for_each_count() {
    let mut stand = Stand::new();
    assert_eq!(stand.judge(HOME, ""), Judged::Asked(Freshness::First));
    let nonce = stand.nonce(HOME);
    for (count, judged) in [
        (1, Judged::Passed),
        (1, STALE),
        (2, Judged::Passed),
        (5, Judged::Passed),
        (4, Judged::Passed),
        (4, STALE),
        (2, STALE),
        (3, Judged::Passed),
        (69, Judged::Passed),
        (6, Judged::Passed),
        (5, STALE),
        (200, Judged::Passed),
        (100, STALE),
        (u32::MAX, Judged::Passed),
        (u32::MAX, STALE),
    ] {
        assert_eq!(
            stand.try_with(HOME, "two", "secret", &nonce, count),
            judged,
            "{count}"
        );
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_answered_alike_and_learn_nothing_of_nonces() {
    let mut stand = Stand::new();
    let nonce = stand.nonce(HOME);
    for (nonce, judged) in [(&*nonce, Judged::Wrong), ("no nonce of ours", STALE)] {
        assert_eq!(stand.try_with(HOME, "two", "wrong", nonce, 1), judged);
        assert_eq!(stand.try_with(HOME, "nobody", "secret", nonce, 1), judged);
    }
    // Nor does an old one tell a right password from a wrong one.
    stand.now = stand.now + NONCE_LIFE + std::time::Duration::from_micros(1);
    for password in ["secret", "wrong"] {
        assert_eq!(stand.try_with(HOME, "two", password, &nonce, 1), STALE);
    }
}

#[test]
fn nobody_is_shut_out_by_guesses_that_others_send_in_his_name() {
    let mut stand = Stand::new();
    // Who only writes the address of another never sees our question to it.
    for _ in 0..=GUESSES_MAX {
        assert_eq!(stand.try_with(HOME, "one", "guess", "no nonce of ours", 1), STALE);
    }
    let nonce = stand.nonce(HOME);
    assert_eq!(stand.try_with(HOME, "one", "secret", &nonce, 1), Judged::Passed);
}

#[test]
fn a_nonce_is_too_old_after_its_life_elsewhere_in_another_realm_and_in_another_process() {
    let mut stand = Stand::new();
    let elsewhere: IpAddr = [127, 1, 1, 2].into();
    let nonce = stand.nonce(HOME);
    assert_eq!(stand.try_with(elsewhere, "one", "secret", &nonce, 1), STALE);
    assert_eq!(stand.try_with(HOME, "one", "secret", "00ff", 1), STALE);
    assert_eq!(
        stand.try_with(HOME, "one", "secret", &nonce.to_uppercase(), 1),
        STALE
    );
    let mut other = Stand::new();
    other.gate = Gate::new(&mut Chance::from_number(8));
    assert_eq!(other.try_with(HOME, "one", "secret", &nonce, 1), STALE);
    stand.now = stand.now + NONCE_LIFE;
    assert_eq!(stand.try_with(HOME, "one", "secret", &nonce, 1), Judged::Passed);
    stand.now = stand.now + std::time::Duration::from_micros(1);
    assert_eq!(stand.try_with(HOME, "one", "secret", &nonce, 2), STALE);
    let sealed = stand.gate.seal(
        Made {
            at: stand.now,
            salt: 1,
        },
        HOME,
        &stand.demand,
    );
    stand.demand.realm = "there".into();
    assert_ne!(
        stand.gate.seal(
            Made {
                at: stand.now,
                salt: 1
            },
            HOME,
            &stand.demand
        ),
        sealed
    );
}

#[test]
fn uses_are_counted_of_so_many_nonces_and_forgotten_ones_are_too_old() {
    let mut stand = Stand::new();
    let first = stand.nonce(HOME);
    assert_eq!(stand.try_with(HOME, "one", "secret", &first, 1), Judged::Passed);
    let idle = stand.nonce(HOME);
    for _ in 0..NONCES_MAX {
        stand.now = stand.now + std::time::Duration::from_micros(1);
        let nonce = stand.nonce(HOME);
        assert_eq!(stand.try_with(HOME, "one", "secret", &nonce, 1), Judged::Passed);
    }
    assert_eq!(stand.gate.used.len(), NONCES_MAX);
    assert_eq!(stand.try_with(HOME, "one", "secret", &first, 2), STALE);
    // Never used, and older than one that had to go: or not; it is never let in twice.
    let again = stand.try_with(HOME, "one", "secret", &idle, 1);
    assert!(again == STALE || stand.try_with(HOME, "one", "secret", &idle, 1) == STALE);
}

#[test]
fn whoever_guesses_too_often_is_not_listened_to_for_a_while_and_others_are() {
    let mut stand = Stand::new();
    let (nonce, elsewhere) = (stand.nonce(HOME), IpAddr::from([127, 1, 1, 2]));
    for _ in 0..GUESSES_MAX {
        assert_eq!(stand.try_with(HOME, "one", "guess", &nonce, 1), Judged::Wrong);
    }
    assert_eq!(stand.try_with(HOME, "one", "secret", &nonce, 1), Judged::Shut);
    assert_eq!(stand.judge(HOME, ""), Judged::Asked(Freshness::First));
    let other = stand.nonce(elsewhere);
    assert_eq!(
        stand.try_with(elsewhere, "one", "secret", &other, 1),
        Judged::Passed
    );
    stand.now = stand.now + GUESSES_WITHIN;
    assert_eq!(stand.try_with(HOME, "one", "secret", &nonce, 1), Judged::Passed);
}

#[test]
fn guessers_without_number_share_one_count() {
    let mut stand = Stand::new();
    for n in 0..GUESSERS_MAX as u32 + GUESSES_MAX {
        let source = IpAddr::V4((0x0a00_0000 + n).into());
        let nonce = stand.nonce(source);
        assert_eq!(
            stand.try_with(source, "one", "guess", &nonce, 1),
            Judged::Wrong,
            "{n}"
        );
    }
    assert_eq!(stand.gate.guesses.by.len(), GUESSERS_MAX);
    let nonce = stand.nonce(HOME);
    assert_eq!(stand.try_with(HOME, "one", "secret", &nonce, 1), Judged::Shut);
    // One network of IPv6 is one source.
    let (one, two) = (
        "2001:db8::1".parse().expect("v6"),
        "2001:db8::2:1".parse().expect("v6"),
    );
    assert_eq!(network(one), network(two));
    assert_eq!(network("::ffff:127.1.1.1".parse().expect("mapped")), HOME);
}

#[test]
fn what_is_not_counted_or_not_asked_for_is_wrong() {
    let mut stand = Stand::new();
    let nonce = stand.nonce(HOME);
    let bare = |algorithm| {
        let ha1 = Ha1::of(algorithm, b"one", b"here", b"secret");
        let right = response(
            algorithm,
            &ha1,
            nonce.as_bytes(),
            Protection::Bare,
            b"INVITE",
            URI.as_bytes(),
        );
        format!(
            "Authorization: Digest username=\"one\", realm=\"here\", nonce=\"{nonce}\", uri=\"{URI}\", response=\"{right}\", algorithm={}\r\n",
            algorithm.name()
        )
    };
    assert_eq!(stand.judge(HOME, &bare(Algorithm::Md5)), Judged::Wrong);
    assert_eq!(stand.judge(HOME, &bare(Algorithm::Sha512_256)), Judged::Wrong);
    let proxys = bare(Algorithm::Md5).replace("Authorization", "Proxy-Authorization");
    assert_eq!(stand.judge(HOME, &proxys), Judged::Asked(Freshness::First));
    let elsewhere = bare(Algorithm::Md5).replace("realm=\"here\"", "realm=\"there\"");
    assert_eq!(stand.judge(HOME, &elsewhere), Judged::Asked(Freshness::First));
}

//! Customers' servers are asked over real connections: in the clear and over TLS, living, dead and in between.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/customer.rs"]
mod customer;

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use certificates::Authority;
use customer::{Asked, SECRET, Script, Server};
use hmac::{Hmac, KeyInit, Mac};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sha2::Sha256;
use umbra::base::chance::Chance;
use umbra::base::id::Id;
use umbra::base::limits::{ASK_FAILURES_MAX, ASKS_MAX};
use umbra::base::time::Wall;
use umbra::base::url::HttpUrl;
use umbra::call::ask::{Advice, Close, Inquiry, Silence};
use umbra::call::port::AskId;
use umbra::customer::asker::{Asker, Settings};
use umbra::customer::dial::{Roots, Trust};
use umbra::masking::ask::{NumbersTold, Secret};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longer than any answer takes, or its absence.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever asks, and what is brought back.
struct Asking {
    asker: Asker,
    brought: Receiver<(AskId, Advice)>,
    asked: u64,
}

impl Asking {
    fn start(ca: Option<&Path>) -> Self {
        let (sender, brought) = channel();
        let roots = ca.map(|file| Roots::read(file).expect("a file of certificates"));
        let settings = Settings {
            trust: Trust::of(roots.as_ref()).expect("certificates"),
            per_server: 8,
        };
        let bring = Box::new(move |shard: usize, id, advice| {
            assert_eq!(shard, 3);
            let _ = sender.send((id, advice));
        });
        Self {
            asker: Asker::start(settings, bring).expect("a thread"),
            brought,
            asked: 0,
        }
    }

    fn put(&mut self, url: &str) -> AskId {
        self.asked += 1;
        let id = AskId(self.asked);
        self.asker.ask(3, id, Box::new(inquiry(url, self.asked)));
        id
    }

    fn hear(&self) -> (AskId, Advice) {
        self.brought
            .recv_timeout(PATIENCE)
            .expect("an answer in any case")
    }

    fn ask(&mut self, url: &str) -> Advice {
        let id = self.put(url);
        let (of, advice) = self.hear();
        assert_eq!(of, id);
        advice
    }

    fn count(&self, outcome: &str) -> u64 {
        let counts = self.asker.stats().counts().outcomes;
        let of = counts.iter().find(|(name, _)| *name == outcome);
        of.expect("an outcome of that name").1
    }
}

fn inquiry(url: &str, number: u64) -> Inquiry {
    let id = Id::mint(Wall::from_millis(0), &mut Chance::from_number(number));
    Inquiry {
        server: Arc::new(umbra::masking::ask::Server {
            url: HttpUrl::parse(url).expect("a URL"),
            secret: Some(Secret::new(SECRET)),
            numbers: NumbersTold::Full,
        }),
        id,
        call_id: id,
        body: format!("{{\"id\":\"{id}\"}}").into_bytes(),
    }
}

fn url_of(server: &Server) -> String {
    format!("http://{}/ask?pool=x", server.address())
}

fn closes() -> Script {
    Script::Says(r#"{"action":"close"}"#.into(), Duration::ZERO)
}

fn closed() -> Advice {
    Advice::Close(Close { prompt: None })
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

#[test]
fn a_question_is_signed_and_names_itself() {
    let server = Server::at(HERE);
    let mut asking = Asking::start(None);
    assert_eq!(asking.ask(&url_of(&server)), closed());
    let asked: Vec<Asked> = server.asked();
    let [asked] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(asked.head[0], "POST /ask?pool=x HTTP/1.1");
    assert_eq!(asked.header("Host"), Some(&*server.address().to_string()));
    assert_eq!(asked.header("Content-Type"), Some("application/json"));
    assert_eq!(asked.header("Umbra-Id"), asked.json()["id"].as_str());
    let signature = asked.header("Umbra-Signature").expect("signed");
    let (at, sum) = signature.split_once(',').expect("two parts");
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(format!("{}.{}", at.strip_prefix("t=").expect("a time"), asked.body).as_bytes());
    let mut wanted = "v1=".to_owned();
    for byte in mac.finalize().into_bytes() {
        write!(wanted, "{byte:02x}").expect("text");
    }
    assert_eq!(sum, wanted);
}

#[test]
fn questions_one_after_the_other_go_by_one_connection() {
    let mut server = Server::at(HERE);
    let mut asking = Asking::start(None);
    for _ in 0..20 {
        assert_eq!(asking.ask(&url_of(&server)), closed());
    }
    assert_eq!((server.connections(), server.asked().len()), (1, 20));
    // Whoever didn't answer as he should is connected to anew.
    server.says(Script::Status(404));
    assert_eq!(asking.ask(&url_of(&server)), Advice::None(Silence::Status));
    server.says(closes());
    assert_eq!(asking.ask(&url_of(&server)), closed());
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_redirect_is_never_followed() {
    let mut server = Server::at(HERE);
    server.says(Script::Redirect);
    let mut asking = Asking::start(None);
    assert_eq!(asking.ask(&url_of(&server)), Advice::None(Silence::Redirect));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_server_that_failed_again_and_again_is_left_alone_until_a_trial_succeeds() {
    let mut server = Server::at(HERE);
    let url = url_of(&server);
    server.says(Script::Status(500));
    let mut asking = Asking::start(None);
    for _ in 0..ASK_FAILURES_MAX {
        assert_eq!(asking.ask(&url), Advice::None(Silence::Status));
    }
    server.asked();
    for _ in 0..100 {
        assert_eq!(asking.ask(&url), Advice::None(Silence::CircuitOpen));
    }
    assert_eq!(server.asked().len(), 0);
    assert_eq!(asking.asker.stats().counts().circuits_open, 1);
    // Others are asked all the same.
    let other = Server::at(HERE);
    assert_eq!(asking.ask(&url_of(&other)), closed());
    server.says(closes());
    let until = Instant::now() + PATIENCE;
    while asking.ask(&url) != closed() {
        assert!(Instant::now() < until, "it is never tried again");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(asking.ask(&url), closed());
}

#[test]
fn a_flood_of_calls_at_a_server_that_hangs_is_answered_whole_and_holds_no_thread() {
    let mut server = Server::at(HERE);
    server.says(Script::Nothing);
    let (hangs, lives) = (url_of(&server), Server::at(HERE));
    let mut asking = Asking::start(None);
    assert_eq!(asking.ask(&url_of(&lives)), closed());
    let before = threads();
    let many = 3 * ASKS_MAX;
    for _ in 0..many {
        asking.put(&hangs);
    }
    // Other tests begin and end meanwhile; a thread for each question would be thousands.
    assert!(threads() < before + 200, "{} threads", threads() - before);
    for _ in 0..many {
        let (_, advice) = asking.hear();
        let Advice::None(why) = advice else {
            panic!("{advice:?}")
        };
        let is_named = matches!(why, Silence::Timeout | Silence::Busy | Silence::CircuitOpen);
        assert!(is_named, "{why:?}");
    }
    // No more were asked than may be at once.
    assert!(server.connections() <= 8, "{}", server.connections());
    assert_eq!(asking.asker.stats().counts().open, 0);
    assert!(asking.count("ask_timeout") >= u64::from(ASK_FAILURES_MAX));
    assert_eq!(asking.ask(&url_of(&lives)), closed());
}

#[test]
fn who_waits_for_others_in_our_own_line_is_no_failure_of_the_server() {
    let mut server = Server::at(HERE);
    let slow = Script::Says(r#"{"action":"close"}"#.into(), Duration::from_millis(700));
    server.says(slow);
    let url = url_of(&server);
    let mut asking = Asking::start(None);
    let many = 64;
    for _ in 0..many {
        asking.put(&url);
    }
    for _ in 0..many {
        let (_, advice) = asking.hear();
        let is_due = advice == closed() || advice == Advice::None(Silence::Busy);
        assert!(is_due, "{advice:?}");
    }
    assert_eq!(asking.asker.stats().counts().circuits_open, 0);
    assert_eq!(asking.ask(&url), closed());
}

#[test]
fn over_tls_a_server_is_believed_by_its_certificate_alone() {
    let folders = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let [ours, others] = [&folders[0], &folders[1]].map(|folder| folder.path());
    Authority::new().write(others);
    let authority = Authority::new();
    authority.write(ours);
    let speaking = |name: &str| {
        authority.sign(ours, "server", &[name]);
        let kept = |end: &str| ours.join(format!("server.{end}"));
        let chain = CertificateDer::pem_file_iter(kept("pem")).expect("a file");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(
                chain.collect::<Result<_, _>>().expect("a certificate"),
                PrivateKeyDer::from_pem_file(kept("key")).expect("its key"),
            )
            .expect("a certificate and its key");
        let config = Arc::new(config);
        Server::speaking(
            HERE,
            Arc::new(move |stream| {
                let session = ServerConnection::new(config.clone()).expect("a session");
                Box::new(StreamOwned::new(session, stream))
            }),
        )
    };
    let url = |server: &Server| format!("https://{}/ask", server.address());
    let right = speaking("127.0.0.1");
    let mut asking = Asking::start(Some(&ours.join("ca.pem")));
    for _ in 0..3 {
        assert_eq!(asking.ask(&url(&right)), closed());
    }
    assert_eq!(right.connections(), 1);
    let misnamed = speaking("127.0.0.2");
    assert_eq!(asking.ask(&url(&misnamed)), Advice::None(Silence::Tls));
    let mut strangers = Asking::start(Some(&others.join("ca.pem")));
    assert_eq!(strangers.ask(&url(&right)), Advice::None(Silence::Tls));
    assert_eq!((misnamed.asked().len(), right.asked().len()), (0, 3));
}

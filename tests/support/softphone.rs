//! An ordinary softphone, baresip: it hums a tone, records what it hears and prints its messages. Whoever uses this
//! has `server` too.
#![allow(dead_code)] // each test binary uses its part

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use umbra::rtp::tone::{self, SAMPLE_RATE_HZ, Tone};
use umbra::rtp::wav;

use crate::server::{A, B, Server, X, is_bound, is_listening, until};

#[path = "pad.rs"]
#[allow(clippy::duplicate_mod)] // a test binary may have the other phones too
mod pad;

/// The parameter of an account whose phone answers at once.
const ANSWERS: &str = ";answermode=auto";
/// What A hums.
const A_HZ: u16 = 440;
/// What B hums.
const B_HZ: u16 = 880;
/// How much of what is heard must be the other's tone: the beginning is silent, and the rest passed A-law.
const CLEAR: f64 = 0.8;
/// Samples of a recording's end that are of the talk, where something else was heard before it.
const LAST: usize = 3 * SAMPLE_RATE_HZ as usize / 2;
/// How long after one key a hand types the next.
const TYPING: Duration = Duration::from_millis(300);
/// Samples that a phone plays before keys that are tones: two seconds of silence.
const BEFORE_KEYS: usize = 2 * SAMPLE_RATE_HZ as usize;
/// Bytes of a recording when its phone has heard enough: two seconds.
const ENOUGH_BYTES: u64 = 2 * 2 * SAMPLE_RATE_HZ as u64;
/// Where Debian's package keeps the modules, by architecture or not.
const MODULES: [&str; 3] = [
    "/usr/lib/baresip/modules",
    "/usr/lib/x86_64-linux-gnu/baresip/modules",
    "/usr/lib/aarch64-linux-gnu/baresip/modules",
];

/// One call at a time: the phones' audio ports are the same in each.
static TURN: Mutex<()> = Mutex::new(());

/// What the phones speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// UDP.
    Udp,
    /// TLS: they show the certificate `phones.pem` of the server's folder. They believe whatever the server shows.
    Tls,
}

/// What one phone is.
struct Softphone<'a> {
    /// Its folder's name.
    name: &'a str,
    /// Its number.
    number: &'a str,
    /// Where it listens.
    sip: SocketAddr,
    /// What it speaks.
    over: Over,
    /// What it plays before it hums: keys, as tones.
    plays: &'a str,
    /// What it hums.
    hz: u16,
    /// From where it sends audio.
    rtp_ports: &'a str,
    /// Parameters of its account.
    account: &'a str,
    /// How its audio is secured, as baresip's accounts say it: `srtp-mand`; nothing: it isn't.
    secure: &'a str,
    /// Command line.
    arguments: &'a [&'a str],
}

impl<'a> Softphone<'a> {
    /// A's phone, which dials.
    fn of_a(sip: SocketAddr, over: Over, arguments: &'a [&'a str]) -> Self {
        Self {
            name: "a",
            number: A,
            sip,
            over,
            plays: "",
            hz: A_HZ,
            rtp_ports: "31000-31198",
            account: "",
            secure: "",
            arguments,
        }
    }

    /// B's phone, with these parameters of its account.
    fn of_b(sip: SocketAddr, over: Over, account: &'a str) -> Self {
        Self {
            name: "b",
            number: B,
            sip,
            over,
            plays: "",
            hz: B_HZ,
            rtp_ports: "31200-31398",
            account,
            secure: "",
            arguments: &[],
        }
    }
}

/// A phone that runs; dropped, it is killed.
struct Ringing {
    child: Child,
    folder: PathBuf,
    /// Where it listens.
    sip: SocketAddr,
}

impl Softphone<'_> {
    /// Starts it, with a folder of its own in the server's.
    fn start(&self, server: &Server) -> Ringing {
        let folder = server.folder().join(self.name);
        let recordings = folder.join("heard");
        fs::create_dir_all(&recordings).expect("the server's folder can be written");
        let write = |name: &str, bytes: &[u8]| {
            fs::write(folder.join(name), bytes).expect("the phone's folder can be written");
        };
        let mut sound = match self.plays {
            "" => Vec::new(),
            keys => {
                let keys = keys.bytes().map(|key| pad::pressed(key).expect("a key"));
                [vec![vec![0; BEFORE_KEYS]], keys.collect()].concat().concat()
            }
        };
        sound.extend(Tone::new(self.hz, 10_000).samples(SAMPLE_RATE_HZ as usize * 30));
        write("hum.wav", &wav::write(SAMPLE_RATE_HZ, &sound));
        let modules = MODULES.iter().find(|path| Path::new(path).is_dir());
        let (sip, ip) = (self.sip, self.sip.ip());
        let (listen, certificate, transport) = match self.over {
            Over::Udp => (sip, String::new(), ""),
            Over::Tls => {
                let read = |name: &str| fs::read(server.folder().join(name)).expect("certificates are there");
                write("pair.pem", &[read("phones.pem"), read("phones.key")].concat());
                let line = format!("sip_certificate {}\n", folder.join("pair.pem").display());
                // It has TLS at the next port.
                (SocketAddr::new(ip, sip.port() - 1), line, ";transport=tls")
            }
        };
        let (hum, heard) = (folder.join("hum.wav"), recordings.display());
        let config = format!(
            "sip_listen {listen}\n{certificate}net_interface {ip}\nrtp_ports {ports}\nrtcp_mux no\ncall_max_calls 4\n\
             audio_source aufile,{hum}\naudio_player aubridge,nil\naudio_alert aubridge,nil\n\
             ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
             audio_buffer 20-160\njitter_buffer_delay 5-10\nsnd_path {heard}\nmodule_path {modules}\n\
             module g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\nmodule srtp.so\n\
             module stdio.so\nmodule_tmp account.so\nmodule_app menu.so\n",
            ports = self.rtp_ports,
            hum = hum.display(),
            modules = modules.expect("baresip is installed (Debian's package baresip-core)"),
        );
        write("config", config.as_bytes());
        let secure = match self.secure {
            "" => String::new(),
            how => format!(";mediaenc={how}"),
        };
        let account = format!(
            "<sip:{}@{sip}{transport}>;regint=0;audio_codecs=pcma{}{secure}\n",
            self.number, self.account
        );
        write("accounts", account.as_bytes());
        write("contacts", b"");
        let out = fs::File::create(folder.join("out")).expect("a file for its output");
        let child = Command::new("baresip")
            .args([if ip.is_ipv6() { "-6" } else { "-4" }, "-v", "-s", "-f"])
            .arg(&folder)
            .args(self.arguments)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("the same file"))
            .stderr(out)
            .spawn()
            .expect("baresip is installed (Debian's package baresip-core)");
        Ringing { child, folder, sip }
    }
}

impl Ringing {
    /// The recordings of what it heard.
    fn recordings(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.join("heard")).expect("its recordings");
        files
            .map(|file| file.expect("a file").path())
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect()
    }

    /// Whether it has heard two seconds.
    fn has_heard_enough(&self) -> bool {
        let sizes = self.recordings().into_iter().map(fs::metadata);
        sizes.flatten().any(|file| file.len() > ENOUGH_BYTES)
    }

    /// Types at its console, at the pace of a hand.
    fn types(&mut self, keys: &str) {
        let mut console = self.child.stdin.as_ref().expect("piped");
        for key in keys.bytes() {
            console.write_all(&[key]).expect("it reads");
            thread::sleep(TYPING);
        }
    }

    /// Ends the phone as it would be ended by hand: it hangs up first.
    fn quit(&mut self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.is_ok_and(|status| status.success()), "a child of ours");
        until("the phone has hung up and gone", || self.is_gone());
    }

    /// What it heard, after the end of its call.
    fn heard(&self) -> Vec<i16> {
        let paths = self.recordings();
        assert_eq!(paths.len(), 1, "one call, one recording:\n{}", self.said());
        let bytes = fs::read(&paths[0]).expect("a recording");
        let wav = wav::read(&bytes).expect("a WAV file");
        assert_eq!(wav.rate_hz, SAMPLE_RATE_HZ);
        wav.samples().collect()
    }

    /// Everything it printed, its SIP messages among it.
    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("out")).unwrap_or_default()).into_owned()
    }

    /// Whether it has ended.
    fn is_gone(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }
}

impl Drop for Ringing {
    fn drop(&mut self) {
        // Gone already, if it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A calls X, dialling it at `home`, they hum at each other, A hangs up: each has heard the other, and neither was told
/// more than X. The server's calls reach `b_sip`.
pub fn talk(server: &Server, over: Over, a_sip: SocketAddr, b_sip: SocketAddr, home: SocketAddr) {
    talk_secured(server, over, [a_sip, b_sip], home, [("", None); 2]);
}

/// The same, where A's and B's phones have their audio secured as baresip's accounts say it, and each says of itself that
/// it is, by this suite, or that it isn't.
pub fn talk_secured(
    server: &Server,
    over: Over,
    [a_sip, b_sip]: [SocketAddr; 2],
    home: SocketAddr,
    [(a_secure, a_suite), (b_secure, b_suite)]: [(&str, Option<&str>); 2],
) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    server.bind(X, A, B, "");
    let mut b = Softphone {
        secure: b_secure,
        ..Softphone::of_b(b_sip, over, ANSWERS)
    }
    .start(server);
    let (transport, listens): (_, fn(SocketAddr) -> bool) = match over {
        Over::Udp => ("", is_bound),
        Over::Tls => (";transport=tls", is_listening),
    };
    until("phone B listens", || listens(b_sip));
    let dial = format!("d sip:{X}@{home}{transport}");
    let mut a = Softphone {
        secure: a_secure,
        ..Softphone::of_a(a_sip, over, &["-e", &dial])
    }
    .start(server);
    until("both phones have heard enough", || {
        a.has_heard_enough() && b.has_heard_enough()
    });
    a.quit();
    let records = server.settled(1);
    let record = &records[0];
    assert_eq!(record["sip_status"], 200, "{}", a.said());
    assert_eq!(record["refusal"], serde_json::Value::Null, "{record:#}");
    until("phone B has closed its recording", || {
        b.said().contains("terminated (duration")
    });

    hear_each_other(&a, &b, usize::MAX);
    see_only_x(&a, &b);
    let (a_said, b_said) = (a.said(), b.said());
    for (said, other, suite) in [(&a_said, &b_said, a_suite), (&b_said, &a_said, b_suite)] {
        let enabled = "SRTP is Enabled (cryptosuite=";
        let by = said.split(enabled).nth(1).and_then(|rest| rest.split(')').next());
        assert_eq!(by, suite, "{said}");
        assert!(!said.contains("failed to decrypt"), "{said}");
        for key in said.split("inline:").skip(1) {
            let key = key.split_whitespace().next().unwrap_or_default();
            assert!(!other.contains(key), "a key has crossed:\n{other}");
        }
    }
    server.prints_no_number();
    assert!(!b.is_gone(), "phone B is there for the next call");
}

/// Each heard what the other hums, and not itself, in the last so many samples of its recording.
fn hear_each_other(a: &Ringing, b: &Ringing, last: usize) {
    for (phone, theirs, own) in [(a, B_HZ, A_HZ), (b, A_HZ, B_HZ)] {
        let heard = phone.heard();
        let heard = &heard[heard.len().saturating_sub(last)..];
        let share = |hz| tone::share(heard, hz);
        let seconds = heard.len() as f64 / f64::from(SAMPLE_RATE_HZ);
        assert!(seconds > 1.0, "{seconds} s heard\n{}", phone.said());
        assert!(
            share(theirs) > CLEAR,
            "{theirs} Hz: {}\n{}",
            share(theirs),
            phone.said()
        );
        assert!(share(own) < 0.01, "its own {own} Hz: {}", share(own));
    }
}

/// B was shown X, and neither was told more of the other.
fn see_only_x(a: &Ringing, b: &Ringing) {
    let (a_said, b_said) = (a.said(), b.said());
    assert!(b_said.contains(X), "B was shown X");
    for (said, number, address) in [(&a_said, B, b.sip), (&b_said, A, a.sip)] {
        assert!(!said.contains(number), "{number} in\n{said}");
        assert!(!said.contains(&address.to_string()), "{address} in\n{said}");
    }
}

/// How A's phone tells a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// As events of RFC 4733, typed at its console.
    Events,
    /// As tones among its audio.
    Tones,
}

/// A calls X, an X of extensions, is asked, and keys that of B's, who answers; then they hum at each other, and A hangs up.
pub fn key(server: &Server, a_sip: SocketAddr, b_sip: SocketAddr, home: SocketAddr, extension: &str, by: By) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let b = Softphone::of_b(b_sip, Over::Udp, ANSWERS).start(server);
    until("phone B listens", || is_bound(b_sip));
    let dial = format!("d sip:{X}@{home}");
    let mut a = Softphone {
        plays: if by == By::Tones { extension } else { "" },
        ..Softphone::of_a(a_sip, Over::Udp, &["-e", &dial])
    }
    .start(server);
    until("phone A is answered", || a.said().contains("Call established"));
    assert!(!b.said().contains("INVITE sip:"), "nobody is called yet");
    if by == By::Events {
        a.types(extension);
    }
    until("phone B has heard enough", || b.has_heard_enough());
    a.quit();
    let records = server.settled(1);
    until("phone B has closed its recording", || {
        b.said().contains("terminated (duration")
    });
    let record = &records[0];
    assert_eq!(record["extension"], extension, "{record:#}\n{}", a.said());
    assert_eq!(record["callee"], format!("+86{B}"), "{record:#}");
    assert_eq!(record["refusal"], serde_json::Value::Null, "{record:#}");
    assert_eq!(record["collected"]["tries"], 1, "{record:#}");
    hear_each_other(&a, &b, LAST);
    see_only_x(&a, &b);
    server.prints_no_number();
}

/// A calls X, dialling it at `home`, and gives up after a while; B's phone rings all the time. What A has heard meanwhile, at
/// 8 kHz, for `seconds` at least.
pub fn ring(
    server: &Server,
    a_sip: SocketAddr,
    b_sip: SocketAddr,
    home: SocketAddr,
    seconds: u64,
) -> Vec<i16> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    server.bind(X, A, B, "");
    let b = Softphone::of_b(b_sip, Over::Udp, "").start(server);
    until("phone B listens", || is_bound(b_sip));
    let dial = format!("d sip:{X}@{home}");
    let mut a = Softphone::of_a(a_sip, Over::Udp, &["-e", &dial]).start(server);
    let enough = seconds * 2 * u64::from(SAMPLE_RATE_HZ);
    until("phone A has heard enough", || {
        let sizes = a.recordings().into_iter().map(fs::metadata);
        sizes.flatten().any(|file| file.len() > enough)
    });
    a.quit();
    assert!(b.said().contains("180 Ringing"), "{}", b.said());
    assert!(!a.said().contains("180 Ringing"), "{}", a.said());
    a.heard()
}

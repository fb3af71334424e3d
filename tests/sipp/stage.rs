//! A server between two SIPps, how they speak with it, and the calls that they make.

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::server::{A, B, CALLEE, CARRIER, Server, Setup, X, free_address, is_bound, is_listening, until};
use crate::sides::{Outcome, Side, Sipp, Wrapper};

/// The number by which B is the protected one: calls of A through it come from the other party.
pub const X_OF_B: &str = "17000000002";
/// A number of ours without a binding.
pub const X_UNBOUND: &str = "17000000009";
/// How often the calling SIPp tries to get its port.
pub const KNOCKS: usize = 10;

/// One test at a time: SIPp's media ports are the same in each.
pub static TURN: Mutex<()> = Mutex::new(());

/// How both SIPps and the server speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// UDP.
    Udp,
    /// TCP, one connection for all calls.
    Tcp,
    /// TCP, a connection for each call.
    TcpEach,
    /// TLS, one connection for all calls; both sides show certificates. SIPp speaks TCP to a [`Wrapper`].
    Tls,
    /// UDP over IPv6; the media are IPv4.
    Udp6,
}

impl Way {
    /// The calling SIPp's option `-t`, and the called one's, who takes the connections that come.
    pub fn options(self) -> (&'static str, &'static str) {
        match self {
            Self::Udp | Self::Udp6 => ("u1", "u1"),
            Self::Tcp | Self::Tls => ("t1", "t1"),
            Self::TcpEach => ("tn", "t1"),
        }
    }

    /// As a gateway's URI has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp | Self::Udp6 => "udp",
            Self::Tcp | Self::TcpEach => "tcp",
            Self::Tls => "tls",
        }
    }

    /// An address of that side which was free a moment ago.
    pub fn address(self, side: Ipv4Addr) -> SocketAddr {
        match self {
            Self::Udp | Self::Tcp | Self::TcpEach | Self::Tls => free_address(side),
            Self::Udp6 => {
                let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a free port");
                socket.local_addr().expect("bound")
            }
        }
    }

    /// A scenario as this way needs it: over IPv6 everybody is on `::1`, and only numbers can be told apart. Over TLS it
    /// tells of the wrapper, which is at `public`, and not of SIPp.
    pub fn scenario(self, text: &str, public: SocketAddr) -> String {
        match self {
            Self::Udp | Self::Tcp | Self::TcpEach => text.to_owned(),
            Self::Tls => text
                .replace("[transport]", "TLS")
                .replace("[local_port]", &public.port().to_string()),
            Self::Udp6 => [("sip:", ":"), ("@", "")]
                .iter()
                .fold(text.to_owned(), |text, (before, after)| {
                    [r"127\.0\.0\.1", r"127\.0\.0\.3"].iter().fold(text, |text, v4| {
                        text.replace(
                            &format!("{before}{v4}{after}"),
                            &format!(r"{before}\[::1\]{after}"),
                        )
                    })
                }),
        }
    }
}

/// A server, a carrier's address and a callee's.
pub struct Stage {
    pub server: Server,
    pub gateway: SocketAddr,
    /// Where the carrier finds the server.
    pub home: SocketAddr,
    pub way: Way,
    pub _turn: MutexGuard<'static, ()>,
}

/// What calls are made.
pub struct Calls<'a> {
    pub uac: &'a str,
    pub uas: Option<&'a str>,
    pub x: &'a str,
    pub count: usize,
    /// INVITEs that the called side sees of each.
    pub legs: usize,
    pub rate: usize,
    pub talk_ms: u64,
}

impl<'a> Calls<'a> {
    pub fn few(uac: &'a str, uas: &'a str) -> Self {
        Self {
            uac,
            uas: Some(uas),
            x: X,
            count: 3,
            legs: 1,
            rate: 10,
            talk_ms: 200,
        }
    }
}

impl Stage {
    pub fn new(terms: &str) -> Self {
        Self::speaking(Way::Udp, terms)
    }

    /// A and B are joined by X.
    pub fn speaking(way: Way, terms: &str) -> Self {
        let stage = Self::bare(way);
        stage.server.bind(X, A, B, terms);
        stage.server.bind(X_OF_B, B, A, terms);
        stage.server.done(&format!("number add {X_UNBOUND}"));
        stage
    }

    /// No number is bound.
    pub fn bare(way: Way) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let gateway = way.address(CALLEE);
        let also = match way {
            Way::Udp | Way::Tcp | Way::TcpEach | Way::Tls => None,
            Way::Udp6 => Some(way.address(CALLEE)),
        };
        let setup = Setup {
            gateway,
            media_nat: "strict",
            log: "debug",
            calls: 500,
            also: also.into_iter().collect(),
        };
        let server = Server::speaking(way.name(), &setup);
        let stage = Self {
            home: also.unwrap_or(server.sip),
            server,
            gateway,
            way,
            _turn: turn,
        };
        if way == Way::Tls {
            // Nobody takes connections for a SIPp that calls.
            stage.trunk_says("signalling_nat = \"source\"\n");
        }
        stage
    }

    /// Adds lines to the trunk's conf, which the server takes.
    pub fn trunk_says(&self, lines: &str) {
        let path = self.server.folder().join("trunks.toml");
        let conf = fs::read_to_string(&path).expect("the server's conf");
        fs::write(&path, conf + lines).expect("the folder can be written");
        self.server.done("reload");
    }

    /// A SIPp that plays a scenario as this stage's way needs it, and what it says of its transport: `address` is where
    /// the server finds it.
    pub fn sipp(&self, scenario: &str, side: Side, address: SocketAddr, count: usize) -> Sipp {
        let file = format!("scenarios/sipp/{scenario}.xml");
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file));
        let text = text.unwrap_or_else(|_| panic!("{file} is there"));
        let folder = self.server.folder();
        let path = folder.join(format!("{scenario}.xml"));
        fs::write(&path, self.way.scenario(&text, address)).expect("the folder can be written");
        let is_wrapped = self.way == Way::Tls;
        let (own, wrapper) = match side {
            Side::Called if is_wrapped => {
                let own = free_address(CALLEE);
                (own, Some(Wrapper::of_called(folder, address, own)))
            }
            Side::Calling if is_wrapped => {
                let door = free_address(CARRIER);
                (address, Some(Wrapper::of_calling(folder, door, self.home)))
            }
            Side::Called | Side::Calling => (address, None),
        };
        let media = match side {
            Side::Calling => CARRIER,
            Side::Called => CALLEE,
        };
        let mut sipp = Sipp::new(folder, scenario, media, own, count);
        let (calls_by, hears_by) = self.way.options();
        match side {
            Side::Calling => {
                sipp.command.args(["-t", calls_by, "-max_socket", "1000"]);
                if let Some(wrapper) = &wrapper {
                    sipp.command.args(["-rsa", &wrapper.door.to_string()]);
                }
            }
            Side::Called => {
                sipp.command.args(["-t", hears_by]);
            }
        }
        sipp.wrapper = wrapper;
        sipp
    }

    /// Starts a called side, and waits until it listens.
    pub fn hears(&self, sipp: &mut Sipp) {
        sipp.start();
        let own = sipp.address;
        until("SIPp listens", || match self.way {
            Way::Udp | Way::Udp6 => is_bound(own),
            Way::Tcp | Way::TcpEach | Way::Tls => is_listening(own),
        });
    }

    /// Makes the calls; both sides must find every one of them as it should be.
    pub fn play(&self, calls: &Calls<'_>) {
        let uas = calls.uas.map(|scenario| {
            let count = calls.count * calls.legs;
            let mut uas = self.sipp(scenario, Side::Called, self.gateway, count);
            self.hears(&mut uas);
            uas
        });
        let calling = || {
            let at = self.way.address(CARRIER);
            let mut uac = self.sipp(calls.uac, Side::Calling, at, calls.count);
            uac.command.args(["-s", calls.x]).arg(self.home.to_string());
            uac.command
                .args(["-r", &calls.rate.to_string(), "-d", &calls.talk_ms.to_string()]);
            uac.start();
            uac.outcome()
        };
        // The system may have lent its port to somebody's connection; nothing was sent then.
        let is_kept_out = |caller: &Outcome| caller.said.contains("Unable to bind main socket");
        let caller = (1..KNOCKS)
            .map(|_| calling())
            .find(|caller| !is_kept_out(caller))
            .unwrap_or_else(calling);
        let callee = uas.map(|mut uas| uas.outcome());
        for (side, outcome) in [Some(caller), callee].into_iter().enumerate() {
            let Some(outcome) = outcome else { continue };
            assert!(
                outcome.is_well,
                "SIPp, side {side} of {} over {:?}: {}",
                calls.uac, self.way, outcome.said
            );
            let legs = [1, calls.legs][side];
            assert_eq!(
                (outcome.successful, outcome.failed),
                (calls.count * legs, 0),
                "{}",
                calls.uac
            );
        }
    }

    /// The records that the calls left: one each, alike in `fields`.
    pub fn left(&self, count: usize, fields: &Value) -> Vec<Value> {
        let records = self.server.settled(count);
        alike(&records, fields);
        self.server.prints_no_number();
        records
    }
}

/// Every record has an id of its own, and these fields: `"some"` is any value but null.
pub fn alike(records: &[Value], fields: &Value) {
    let ids = records.iter().filter_map(|record| record["call_id"].as_str());
    let ids: HashSet<&str> = ids.collect();
    assert_eq!(ids.len(), records.len(), "every call has an id of its own");
    for record in records {
        for (name, wanted) in fields.as_object().expect("fields") {
            let is = &record[name];
            let is_so = is == wanted || (wanted == "some" && !is.is_null());
            assert!(is_so, "{name} is {is}, not {wanted}, in {record:#}");
        }
    }
}

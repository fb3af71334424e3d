//! Where a play is given: the simulator, or loopback and the real binary. Phones and ladders don't know which.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use super::customer::Script;
use super::prompts::Words;
use umbra::call::config::Interface;
use umbra::call::media::{InterfaceId, MediaPort};
use umbra::call::recording::Control;
use umbra::call::trunk::probe::Probe;
use umbra::masking::binding::Mode;
use umbra::masking::inventory::{Callback, Fax, Freeze};
use umbra::sip::path::Transport;

/// One datagram.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Whose.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// How a side speaks SIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaks {
    /// UDP over IPv4.
    Udp,
    /// TCP over IPv4.
    Tcp,
    /// TLS over IPv4.
    Tls,
    /// UDP over IPv6.
    Udp6,
    /// TCP over IPv6.
    Tcp6,
}

impl Speaks {
    /// `udp`, `tcp`, `tls`, `udp6`, `tcp6`.
    pub fn named(name: &str) -> Self {
        match name {
            "udp" => Self::Udp,
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "udp6" => Self::Udp6,
            "tcp6" => Self::Tcp6,
            other => panic!("nobody speaks {other}"),
        }
    }

    /// Its transport.
    pub fn transport(self) -> Transport {
        match self {
            Self::Udp | Self::Udp6 => Transport::Udp,
            Self::Tcp | Self::Tcp6 => Transport::Tcp,
            Self::Tls => Transport::Tls,
        }
    }

    /// Whether it is over IPv6.
    pub fn is_v6(self) -> bool {
        match self {
            Self::Udp | Self::Tcp | Self::Tls => false,
            Self::Udp6 | Self::Tcp6 => true,
        }
    }
}

/// What becomes of requests that are too large for UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Large {
    /// They go over UDP.
    Udp,
    /// They go over TCP, and the gateways listen on it too.
    Heard,
    /// They would go over TCP, but no gateway listens on it.
    Refused,
}

/// Everything that a play may want different from the usual.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The second octet of every address (127.NET.…): one play never meets another.
    pub net: u8,
    /// SIP shards.
    pub shards: usize,
    /// RFC 3261's T1.
    pub t1: Duration,
    /// Gateways of the one trunk.
    pub gateways: usize,
    /// The trunk's only gateway is a name: its servers, as places of gateways in the order in which they are tried
    /// (`2,1`); `nowhere`: it resolves to nothing.
    pub names: Option<String>,
    /// The gateway that the trunk has by its address, behind the one that is a name.
    pub beside: Option<u8>,
    /// What those who call speak.
    pub home: Speaks,
    /// What the gateways speak.
    pub gateway: Speaks,
    /// How large requests go to them.
    pub large: Large,
    /// How long a gateway may say nothing.
    pub silence: Duration,
    /// How long one may say no more than 100.
    pub progress: Duration,
    /// How gateways are probed.
    pub probe: Probe,
    /// Whose the gateways are, in order, if each is a trunk's of its own: the first one's numbers are dialled, and the
    /// others may show them.
    pub trunks: Vec<String>,
    /// Whether the trunks behind the first one let early media through, whatever that one does.
    pub others_relay: bool,
    /// After how many bad messages their source is banned, and for how long first.
    pub bans: Option<(u32, Duration)>,
    /// Whose emergency numbers are known, the trunk that their calls leave by, and further ones.
    pub emergency: Option<[String; 3]>,
    /// The trunks that the one route names.
    pub route: Vec<String>,
    /// Whether redirections are followed.
    pub follows: bool,
    /// Ring time-out.
    pub ring: Duration,
    /// Media time-out.
    pub media_timeout: Duration,
    /// Whose tones are heard.
    pub tones: String,
    /// Whose words are heard.
    pub words: Words,
    /// How many refused callers may hear one at once.
    pub announcements: usize,
    /// From when on calls are recorded that are to be; `None`: none is.
    pub recordings: Option<String>,
    /// The keys by which a party pauses its call's recording, and who may.
    pub pausing: Option<(String, String)>,
    /// Calls that the media ports suffice for.
    pub berths: u16,
    /// Whether the trunk lets media addresses be latched on.
    pub latch: bool,
    /// Umbra's media addresses, in order: `v4`, `v6`, and a further `four` or `six`.
    pub media_on: Vec<String>,
    /// The one that the trunk names.
    pub media: Option<String>,
    /// The trunk's `rtcp_mux`: `answer`, `offer` or `off`.
    pub rtcp_mux: String,
    /// Whether the trunk's peers tell keys by INFO.
    pub keys_by_info: bool,
    /// The trunk's `session_timer`: `accept`, `offer` or `off`.
    pub session_timer: String,
    /// The trunk's `session_expires_s`.
    pub session_expires_s: u32,
    /// The trunk's `min_se_s`.
    pub min_se_s: u32,
    /// The trunk's `reliable_provisionals`.
    pub reliable: String,
    /// Whether the trunk wants P-Charging-Vector in our INVITEs.
    pub names_charging: bool,
    /// Whether the trunk wants Session-ID in our messages.
    pub names_sessions: bool,
    /// Whether the trunk has credentials for its gateways (`support/secret.rs`).
    pub has_credentials: bool,
    /// Further lines of the trunk's conf.
    pub trunk: Vec<String>,
    /// The conf of a second trunk, by which those who call come in; none: all are the one trunk's.
    pub home_trunk: Vec<String>,
    /// How the trunk asks callers for a password (`support/secret.rs`): `401` or `407`, and by `-` the only hash.
    pub auth: Option<String>,
    /// For how long Umbra asks its first gateway to be registered, in seconds, as its first X.
    pub register: Option<u32>,
    /// Alarms that belong to the play.
    pub alarms: Vec<String>,
    /// Whether a carrier's edge proxy stands between the phones and Umbra: it speaks TCP with Umbra, which knows
    /// nobody else.
    pub has_edge: bool,
    /// Words that are told to Umbra on the way in and may reach no phone.
    pub canaries: Vec<String>,
}

impl Setup {
    /// The usual.
    pub fn on(net: u8) -> Self {
        Self {
            net,
            shards: 1,
            t1: Duration::from_millis(500),
            gateways: 1,
            names: None,
            beside: None,
            home: Speaks::Udp,
            gateway: Speaks::Udp,
            large: Large::Udp,
            silence: Duration::from_secs(5),
            progress: Duration::from_secs(180),
            probe: Probe::default(),
            trunks: Vec::new(),
            others_relay: false,
            bans: None,
            emergency: None,
            route: Vec::new(),
            follows: false,
            ring: Duration::from_secs(60),
            media_timeout: Duration::from_secs(60),
            tones: "CN".into(),
            words: Words::Tones,
            announcements: 500,
            recordings: None,
            pausing: None,
            berths: 100,
            latch: false,
            media_on: vec!["v4".into()],
            media: None,
            rtcp_mux: "answer".to_owned(),
            keys_by_info: false,
            session_timer: "accept".into(),
            session_expires_s: 1_800,
            min_se_s: 90,
            reliable: "offer".into(),
            names_charging: false,
            names_sessions: false,
            has_credentials: false,
            trunk: Vec::new(),
            home_trunk: Vec::new(),
            auth: None,
            register: None,
            alarms: Vec::new(),
            has_edge: false,
            canaries: Vec::new(),
        }
    }

    /// 127.NET.c.d
    pub fn ip(&self, c: u8, d: u8) -> IpAddr {
        Ipv4Addr::new(127, self.net, c, d).into()
    }

    /// Where those who call send to: where Umbra listens, or the edge before it.
    pub fn umbra(&self) -> SocketAddr {
        if self.has_edge {
            self.edge()
        } else {
            self.umbra_for(self.home)
        }
    }

    /// Where the edge listens, over UDP and TCP.
    pub fn edge(&self) -> SocketAddr {
        SocketAddr::new(self.ip(3, 1), 5060)
    }

    /// The name of the trunk whose gateway number `n`, from 0, is.
    pub fn trunk_of(&self, n: usize) -> &str {
        self.trunks.get(n).map_or("carrier", String::as_str)
    }

    /// Where calls through the trunks go, as their conf writes them.
    pub fn gateway_uris(&self) -> Vec<String> {
        if self.has_edge {
            return vec![format!("sip:{};transport=tcp", self.edge())];
        }
        let transport = self.gateway.transport().name();
        (1..=self.gateways)
            .map(|n| format!("sip:{};transport={transport}", self.gateway(n as u8)))
            .collect()
    }

    fn umbra_for(&self, speaks: Speaks) -> SocketAddr {
        if speaks.is_v6() {
            self.on_v6(0)
        } else {
            SocketAddr::new(self.ip(0, 1), 5060)
        }
    }

    /// Where the gateway number `n`, from 1, listens: called parties are behind it.
    pub fn gateway(&self, n: u8) -> SocketAddr {
        if self.gateway.is_v6() {
            self.on_v6(u16::from(n))
        } else {
            SocketAddr::new(self.ip(2, n), 5060)
        }
    }

    /// Where a caller listens, by its place in the cast; a stranger's address is no trunk's.
    pub fn home(&self, phone: usize, stranger: bool) -> SocketAddr {
        if self.home.is_v6() && !stranger {
            self.on_v6(phone as u16 + 3)
        } else {
            SocketAddr::new(self.ip(if stranger { 9 } else { 1 }, phone as u8 + 1), 5060)
        }
    }

    /// The play behind whose ports on `::1` nobody else's come: it may have as many as it likes.
    pub const LAST: u8 = 255;

    /// A SIP port of this play's on `::1`: Umbra, two gateways and three callers have one.
    fn on_v6(&self, place: u16) -> SocketAddr {
        assert!(
            place < 6 || self.net == Self::LAST,
            "six ports on ::1 are for SIP"
        );
        SocketAddr::new(
            Ipv6Addr::LOCALHOST.into(),
            31_000 + u16::from(self.net) * 6 + place,
        )
    }

    /// Where Umbra listens, in the order of its conf: UDP first.
    pub fn listeners(&self) -> Vec<(Transport, SocketAddr)> {
        let mut all = vec![(Transport::Udp, self.umbra_for(Speaks::Udp))];
        let sides = [Speaks::Udp6, Speaks::Tcp, Speaks::Tcp6, Speaks::Tls];
        let wanted = |speaks: &Speaks| {
            let by_tcp = *speaks == Speaks::Tcp && (self.large != Large::Udp || self.has_edge);
            [self.home, self.gateway].contains(speaks) || by_tcp
        };
        let more = sides.iter().filter(|speaks| wanted(speaks));
        all.extend(more.map(|speaks| (speaks.transport(), self.umbra_for(*speaks))));
        all
    }

    /// The listener of Umbra's at this address.
    pub fn listener(&self, transport: Transport, at: SocketAddr) -> Option<usize> {
        self.listeners().iter().position(|l| *l == (transport, at))
    }

    /// Where a phone at this address finds Umbra.
    pub fn umbra_near(&self, phone: SocketAddr) -> SocketAddr {
        self.umbra_for(if phone.is_ipv6() {
            Speaks::Udp6
        } else {
            Speaks::Udp
        })
    }

    /// Whether anybody speaks TLS.
    pub fn has_tls(&self) -> bool {
        [self.home, self.gateway].contains(&Speaks::Tls)
    }

    /// What the connections of whoever listens at this SIP address are.
    pub fn stream_at(&self, at: SocketAddr) -> Transport {
        let is_gateway = (1..=self.gateways).any(|n| self.gateway(n as u8) == at);
        match if is_gateway { self.gateway } else { self.home } {
            Speaks::Tls => Transport::Tls,
            Speaks::Udp | Speaks::Tcp | Speaks::Udp6 | Speaks::Tcp6 => Transport::Tcp,
        }
    }

    /// Whether whoever listens at this SIP address listens on TCP, or TLS, as well.
    pub fn hears_tcp(&self, at: SocketAddr) -> bool {
        let is_gateway = (1..=self.gateways).any(|n| self.gateway(n as u8) == at);
        let is_home = at.port() == 5060 || at.is_ipv6();
        match (is_gateway, is_home) {
            (true, _) => self.gateway.transport().is_reliable() || self.large == Large::Heard,
            (false, true) => self.home.transport().is_reliable() && at.port() != 5_059,
            (false, false) => false,
        }
    }

    /// The networks that the one trunk accepts from: address and prefix.
    pub fn accepted(&self) -> Vec<(IpAddr, u8)> {
        if self.has_edge {
            return vec![(self.edge().ip(), 32)];
        }
        let mut all = vec![(self.ip(2, 0), 24)];
        if self.home_trunk.is_empty() {
            all.push((self.ip(1, 0), 24));
        }
        if self.home.is_v6() || self.gateway.is_v6() {
            all.push((Ipv6Addr::LOCALHOST.into(), 128));
        }
        all
    }

    /// The rest of the trunk file: what a play says of the trunk in the conf's own words, and the callers' own trunk.
    pub fn further_conf(&self) -> String {
        let mut conf = self.trunk.join("\n");
        if !self.home_trunk.is_empty() {
            let (network, own) = (self.ip(1, 0), self.home_trunk.join("\n"));
            conf += &format!("\n[[trunk]]\nname = \"home\"\naccept_from = [\"{network}/24\"]\n{own}");
        }
        conf + "\n"
    }

    /// Umbra's media addresses. Each play has ports of its own on `::1`, which all of them share.
    pub fn interfaces(&self) -> Vec<Interface> {
        let one = |name: &String| {
            let (address, first) = match name.as_str() {
                "v4" => (self.ip(0, 1), Self::FIRST_PORT),
                "four" => (self.ip(0, 2), Self::FIRST_PORT),
                "v6" => (Ipv6Addr::LOCALHOST.into(), self.first_port_v6()),
                other => panic!("no media address is called {other}"),
            };
            Interface {
                name: name.as_str().into(),
                address,
                advertised: address,
                port_first: first,
                port_last: first + 4 * self.berths_on(name) - 1,
            }
        };
        self.media_on.iter().map(one).collect()
    }

    /// `::1` is one address for all: a play has a few ports of it, below those that the system gives out.
    fn first_port_v6(&self) -> u16 {
        10_000 + u16::from(self.net) * 80
    }

    fn berths_on(&self, name: &str) -> u16 {
        if name == "v6" {
            self.berths.min(10)
        } else {
            self.berths
        }
    }

    /// Where the IPv6 media ports of a phone begin, by its place in the cast: above Umbra's.
    pub fn first_port_v6_of(&self, phone: usize) -> u16 {
        if self.net == Self::LAST {
            return 33_000 + 400 * phone as u16;
        }
        assert!(phone < 5, "five phones have ports on ::1");
        self.first_port_v6() + 40 + 8 * phone as u16
    }

    /// A media port of Umbra's as the network sees it.
    pub fn media_address(&self, port: MediaPort) -> SocketAddr {
        let interfaces = self.interfaces();
        SocketAddr::new(interfaces[usize::from(port.interface().0)].address, port.number())
    }

    /// Whether Umbra has a media port there: the RTP port that it is, or that it belongs to.
    pub fn media_port(&self, at: SocketAddr) -> Option<MediaPort> {
        let interfaces = self.interfaces();
        let place = interfaces
            .iter()
            .position(|i| i.address == at.ip() && (i.port_first..=i.port_last).contains(&at.port()))?;
        Some(MediaPort::new(InterfaceId(place as u8), at.port() & !1))
    }

    /// The first RTP port of Umbra's.
    pub const FIRST_PORT: u16 = 20_000;
}

/// A binding to make. Numbers as people write them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Binding {
    /// `axb`, `ax`, `axyb`, `axe`, `axn`, `95axn`; empty: `axb`.
    pub mode: String,
    /// The virtual number.
    pub x: String,
    /// One party.
    pub a: String,
    /// The number that stands for the other, in `axyb`.
    pub y: String,
    /// The other, in `axb` and `axyb`.
    pub b: String,
    /// The extension, in `axe`; empty: the server chooses.
    pub e: String,
    /// The members of its group, in `axg`, `gxb` and `gxyb`.
    pub members: Vec<String>,
    /// The one of them whom B reaches.
    pub default: String,
    /// Who rings with the employee, in `xb`, and whether he does himself (`conditional`).
    pub ring: Vec<String>,
    /// The order in which they do: `conditional`, `unconditional`.
    pub order: String,
    /// What callers of a 400 number are asked, each answer with who rings then, and what counts as nobody's.
    pub menu: String,
    pub choices: Vec<(String, Vec<String>)>,
    pub menu_default: String,
    /// What is shown in place of a 400 number; its base number if empty.
    pub display: String,
    /// Whom A reaches by X where the pool says `preset`.
    pub callback: String,
    /// `both`, `a-to-b`, `b-to-a`.
    pub direction: Option<String>,
    /// Its life.
    pub ttl: Option<Duration>,
    /// The longest call.
    pub max: Option<Duration>,
    /// Whether recordings are asked for.
    pub record: bool,
    /// What is heard beside the parties, as the API names it.
    pub cues: Vec<(String, String)>,
}

/// What the owner does to a number, or to the default account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    Lock,
    Unlock,
    Freeze(Freeze),
    Thaw,
    Suspend,
    Resume,
    Fax(Fax),
    /// Whom A reaches by dialling his own number, in the pool of a mode.
    Callback(Mode, Callback),
}

/// A stage. Times are since its beginning.
pub trait Stage {
    /// Whether its time is exact: only virtual time is.
    fn is_exact(&self) -> bool;
    /// What it was set up with.
    fn setup(&self) -> &Setup;
    /// The time.
    fn now(&self) -> Duration;
    /// Somebody listens there from now on.
    fn open(&mut self, at: SocketAddr);
    /// Nobody listens there any more.
    fn shut(&mut self, at: SocketAddr);
    /// A message leaves a phone: SIP by the transport that its topmost Via names. A response goes by the connection
    /// that its request came by; if that is gone, to where Umbra listens.
    fn send(&mut self, packet: Packet);
    /// Every TCP connection of this address is reset.
    fn reset(&mut self, at: SocketAddr);
    /// The next datagram that reaches a phone; `None`: the time is `until`.
    fn receive(&mut self, until: Duration) -> Option<Packet>;
    /// Makes a number ours.
    fn own(&mut self, x: &str);
    /// Makes a number ours, in a pool of this mode.
    fn own_in(&mut self, mode: &str, x: &str);
    /// Settings of the pool of this mode, `NAME=VALUE` as the CLI's options have them.
    fn set_pool(&mut self, mode: &str, settings: &[&str]);
    /// Settings of the default account.
    fn set_account(&mut self, settings: &[&str]);
    /// Makes a number ours, in an X pool, whose customer's server is told numbers so.
    fn ask(&mut self, x: &str, numbers: &str);
    /// What that server says from now on.
    fn server(&mut self, script: Script);
    /// What it was asked since the last time.
    fn questions(&mut self) -> Vec<Value>;
    /// Names whom A reaches by his X next, or nobody.
    fn callee(&mut self, x: &str, to: Option<&str>);
    /// Makes a binding; the number is ours already.
    fn bind(&mut self, binding: &Binding);
    /// Ends every binding on a number.
    fn unbind(&mut self, x: &str);
    /// The owner does something to a number, or to the default account.
    fn order(&mut self, doing: Doing, x: Option<&str>);
    /// The recordings of all calls are paused, or go on.
    fn control_recordings(&mut self, control: Control);
    /// The recorder says something (`gap`, `lost`) of the recording that began last, and why.
    fn recorder_says(&mut self, what: &str, why: &str);
    /// What the recorder was told since the last time, and who wanted a recording paused that could not be; and how many
    /// packets of the caller and of the callee it heard. `None`: of all that, only the answers are seen here.
    fn recording(&mut self) -> (Vec<String>, Option<[usize; 2]>);
    /// The server is killed, and another process is there after so long.
    fn restart(&mut self, away: Duration);
    /// The server hands its calls over to another process, which is there at once.
    fn hand_over(&mut self);
    /// No new calls from now on.
    fn drain(&mut self);
    /// Lets no new call leave by what these words name: a trunk, and perhaps a gateway's number behind it.
    fn block(&mut self, what: &[&str]);
    /// Lets calls leave by it again.
    fn unblock(&mut self, what: &[&str]);
    /// Another conf from now on; calls in progress keep theirs. Only what a running server takes may differ.
    fn set_up_anew(&mut self, setup: Setup);
    /// Every call's record so far, in order.
    fn cdrs(&mut self) -> Vec<Value>;
    /// What a listing of the live calls says of their audio.
    fn audio(&mut self) -> Vec<String>;
    /// What is still going on, in a sentence; `None`: nothing.
    fn busy(&mut self) -> Option<String>;
    /// What the stage itself saw go wrong.
    fn faults(&mut self) -> Vec<String>;
}

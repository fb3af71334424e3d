//! The configuration of the simulated server, as a play or a history sets it up.

use std::net::SocketAddr;

use umbra::base::number::Format;
use umbra::call::config::{Config, Listener, SipTimers};
use umbra::call::media;
use umbra::call::targets::{Name, Place, Resolved, Scheme, Server, Target};
use umbra::call::trunk::secret::{Credentials, Secret};
use umbra::call::trunk::{
    CallerFrom, Cidr, DialledFrom, Dtmf, Gateway, GatewaysCall, LargeRequests, MayShow, Naming, Redirects,
    Reliability, RtcpMux, SessionTimer, SessionWish, Trunk,
};
use umbra::masking::binding::Mode;
use umbra::rtp::flow::MediaNat;
use umbra::sip::path::{ListenerId, Transport};

use super::super::secret;
use super::super::stage::{Large, Setup};

pub(super) fn mode_of(name: &str) -> Mode {
    Mode::ALL
        .into_iter()
        .find(|mode| mode.name() == name)
        .unwrap_or(Mode::Axb)
}

pub(super) fn config_of(setup: &Setup) -> Config {
    let mut config = Config::on(setup.umbra());
    let listener = |(at, (transport, address)): (usize, (Transport, SocketAddr))| Listener {
        id: ListenerId(at as u8),
        transport,
        address,
        advertised: address,
    };
    config.listeners = setup.listeners().into_iter().enumerate().map(listener).collect();
    let net = |(network, prefix)| Cidr { network, prefix };
    config.timers = SipTimers::around(setup.t1);
    config.ring_timeout = setup.ring;
    config.media.interfaces = setup.interfaces();
    let named = |name: &Option<String>| {
        let name = name.as_ref()?;
        let at = config.media.interfaces.iter().position(|i| *i.name == **name);
        Some(media::InterfaceId(at.expect("an interface of the play") as u8))
    };
    let trunk_media = named(&setup.media);
    config.media.timeout = setup.media_timeout;
    config.trunks = vec![Trunk {
        name: "carrier".into(),
        accept_from: setup.accepted().into_iter().map(net).collect(),
        gateways_call: GatewaysCall::No,
        gateways: gateways(setup),
        credentials: setup.has_credentials.then(|| Credentials {
            realm: secret::REALM.into(),
            user: secret::USER.into(),
            secret: Secret::of_password(secret::USER, secret::REALM, secret::PASSWORD),
        }),
        large_requests: match setup.large {
            Large::Udp => LargeRequests::Udp,
            Large::Heard | Large::Refused => LargeRequests::Tcp,
        },
        listener: None,
        dialled_from: vec![DialledFrom::Ruri],
        caller_id: vec![CallerFrom::Pai, CallerFrom::From],
        strip: Vec::new(),
        number_format: Format::National,
        may_show: vec![MayShow::Own],
        default: true,
        media_nat: if setup.latch {
            MediaNat::Latch
        } else {
            MediaNat::Strict
        },
        media: trunk_media,
        first_response: setup.silence,
        redirects: if setup.follows {
            Redirects::Follow
        } else {
            Redirects::Refuse
        },
        rtcp_mux: if setup.offers_mux {
            RtcpMux::Offer
        } else {
            RtcpMux::Answer
        },
        dtmf: if setup.keys_by_info { Dtmf::Info } else { Dtmf::Rtp },
        reliable_provisionals: match setup.reliable.as_str() {
            "off" => Reliability::Off,
            "require" => Reliability::Require,
            _ => Reliability::Offer,
        },
        charging_vector: naming(setup.names_charging),
        session_id: naming(setup.names_sessions),
        tls: Default::default(),
        media_from: Vec::new(),
        session: SessionWish {
            timer: match setup.session_timer.as_str() {
                "accept" => SessionTimer::Accept,
                "offer" => SessionTimer::Offer,
                "off" => SessionTimer::Off,
                other => panic!("no session timer is {other}"),
            },
            interval_s: setup.session_expires_s,
            min_s: setup.min_se_s,
        },
    }];
    config
}

fn gateways(setup: &Setup) -> Vec<Gateway> {
    if setup.names.is_some() {
        let place = Place::Named(name());
        return vec![Gateway { place }];
    }
    let at = |n| Gateway {
        place: Place::At(Target {
            address: setup.gateway(n as u8),
            transport: setup.gateway.transport(),
        }),
    };
    (1..=setup.gateways).map(at).collect()
}

/// The name of the trunk's only gateway, where it has one.
fn name() -> Name {
    Name {
        scheme: Scheme::Sip,
        host: "sbc.carrier.example".into(),
        port: None,
        transport: None,
    }
}

/// What that name resolves to.
pub(super) fn resolved_of(setup: &Setup) -> Resolved {
    let places = setup.names.as_deref().filter(|places| *places != "nowhere");
    let places = places.into_iter().flat_map(|places| places.split(','));
    let server = |(tier, place): (u16, &str)| Server {
        tier,
        weight: 0,
        transport: setup.gateway.transport(),
        addresses: vec![setup.gateway(place.parse().expect("a gateway's place"))],
    };
    Resolved::new([(name(), (0..).zip(places).map(server).collect())])
}

fn naming(is_own: bool) -> Naming {
    if is_own { Naming::Own } else { Naming::None }
}

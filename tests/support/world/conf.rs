//! The configuration of the simulated server, as a play or a history sets it up.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use umbra::call::bans::Terms;
use umbra::call::config::{Config, Listener, SipTimers};
use umbra::call::emergency::{Emergency, Number, Table};
use umbra::call::media;
use umbra::call::prompts::{Owner, Prompt, PromptName, Prompts};
use umbra::call::recording::{Code, Pausing, Recordings};
use umbra::call::routes::{Match, Pattern, Route};
use umbra::call::targets::{Name, Place, Resolved, Scheme, Server, Target};
use umbra::call::trunk::rank::Rank;
use umbra::call::trunk::register::Register;
use umbra::call::trunk::secret::{Credentials, Demand, Secret, User};
use umbra::call::trunk::{
    Cidr, Dtmf, EarlyMedia, Gateway, GatewaysCall, LargeRequests, MayShow, Naming, Redirects, Reliability,
    RtcpMux, SessionTimer, SessionWish, Trunk,
};
use umbra::config::{Conf, Reading};
use umbra::masking::binding::Mode;
use umbra::masking::cues::Hearers;
use umbra::masking::recording::Since;
use umbra::rtp::clip::{Clip, Repeats};
use umbra::rtp::flow::MediaNat;
use umbra::rtp::signals::{Country, Signals};
use umbra::sip::digest::{Algorithm, Asker};
use umbra::sip::path::{ListenerId, Transport};

use super::super::prompts::{self, Words};
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
    let further = further_trunks(setup);
    let mut further = further.into_iter();
    let read = further.next().expect("the trunk itself");
    let trunk_media = named(&setup.media);
    config.media.timeout = setup.media_timeout;
    config.announcements_max = setup.announcements;
    config.recordings = setup.recordings.as_ref().map(|since| {
        let since = Since::NAMES.iter().find(|(name, _)| name == since);
        Recordings {
            since: since.expect("answer, or early_media").1,
            pausing: setup.pausing.as_ref().map(|(code, by)| Pausing {
                code: Code::of(code).expect("two to six keys behind * or #"),
                by: (Hearers::NAMES.iter().find(|(name, _)| name == by))
                    .expect("caller, callee or both")
                    .1,
            }),
            ..Recordings::default()
        }
    });
    let country = Country::ALL.iter().find(|(name, _)| *name == setup.tones);
    config.media.signals = Signals::of(country.expect("a country with tones").1);
    config.prompts = prompts(setup.words);
    let carrier = Trunk {
        name: "carrier".into(),
        accept_from: setup.accepted().into_iter().map(net).collect(),
        gateways_call: GatewaysCall::No,
        gateways: gateways(setup),
        auth: setup.auth.as_ref().map(|how| Demand {
            realm: secret::OUR_REALM.into(),
            asker: match how.split('-').next() {
                Some("407") => Asker::Proxy,
                _ => Asker::Server,
            },
            algorithms: match how.split_once('-') {
                Some((_, name)) => vec![Algorithm::of(name.as_bytes()).expect(how)],
                None => vec![Algorithm::Sha256, Algorithm::Md5],
            },
            users: vec![User {
                name: secret::THEIR_USER.into(),
                secret: Secret::of_password(secret::THEIR_USER, secret::OUR_REALM, secret::THEIR_PASSWORD),
            }],
        }),
        register: setup.register.map(|expires_s| Register {
            user: secret::USER.into(),
            domain: Some(secret::REALM.into()),
            contact_user: "17000000001".into(),
            expires_s,
        }),
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
        default: true,
        media_nat: if setup.latch {
            MediaNat::Latch
        } else {
            MediaNat::Strict
        },
        media: trunk_media,
        first_response: setup.silence,
        progress: setup.progress,
        probe: setup.probe,
        redirects: if setup.follows {
            Redirects::Follow
        } else {
            Redirects::Refuse
        },
        rtcp_mux: match setup.rtcp_mux.as_str() {
            "offer" => RtcpMux::Offer,
            "off" => RtcpMux::Off,
            _ => RtcpMux::Answer,
        },
        dtmf: if setup.keys_by_info { Dtmf::Info } else { Dtmf::Rtp },
        reliable_provisionals: match setup.reliable.as_str() {
            "off" => Reliability::Off,
            "require" => Reliability::Require,
            _ => Reliability::Offer,
        },
        charging_vector: naming(setup.names_charging),
        session_id: naming(setup.names_sessions),
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
        ..read
    };
    config.trunks = vec![carrier];
    own_trunks(&mut config, setup);
    config.trunks.extend(further);
    if let Some((after, first)) = setup.bans {
        config.bans = Terms {
            after,
            first,
            ..Terms::default()
        };
    }
    config.emergency = setup.emergency.as_ref().map(|[country, trunk, also]| {
        let mut table = Table::of_country(country).expect("a country");
        Number::named(also)
            .into_iter()
            .for_each(|also| assert!(table.add(also)));
        let trunk = config.trunks.iter().position(|known| *known.name == **trunk);
        let trunk = trunk.expect("a trunk of the play");
        Emergency { table, trunk }
    });
    config
}

/// Gives each gateway a trunk of its own, if the setup says so, and the route.
fn own_trunks(config: &mut Config, setup: &Setup) {
    if setup.trunks.is_empty() {
        return;
    }
    let carrier = config.trunks.remove(0);
    let trunks = setup.trunks.iter().zip(&carrier.gateways).enumerate();
    config.trunks = trunks
        .map(|(n, (name, gateway))| Trunk {
            name: name.as_str().into(),
            gateways: vec![gateway.clone()],
            accept_from: if n == 0 {
                carrier.accept_from.clone()
            } else {
                Vec::new()
            },
            may_show: vec![if n == 0 { MayShow::Own } else { MayShow::Any }],
            default: n == 0,
            early_media: if n > 0 && setup.others_relay {
                EarlyMedia::Relay
            } else {
                carrier.early_media
            },
            ..carrier.clone()
        })
        .collect();
    if setup.route.is_empty() {
        return;
    }
    let place = |name: &String| setup.trunks.iter().position(|trunk| trunk == name);
    let ranked = setup.route.iter().zip(1..).map(|(name, priority)| {
        let rank = Rank { priority, weight: 1 };
        (rank, place(name).expect("a trunk of the play"))
    });
    config.routes = vec![Route {
        of: Match {
            callee: Some(Pattern::Prefix("86139".into())),
            ..Match::default()
        },
        trunks: ranked.collect(),
    }];
}

fn gateways(setup: &Setup) -> Vec<Gateway> {
    let at = |n: u8| Gateway {
        place: Place::At(Target {
            address: setup.gateway(n),
            transport: setup.gateway.transport(),
        }),
        rank: Rank {
            priority: n.into(),
            weight: 1,
        },
    };
    if setup.names.is_some() {
        let named = Gateway {
            place: Place::Named(name()),
            rank: Rank::default(),
        };
        return [named].into_iter().chain(setup.beside.map(at)).collect();
    }
    (1..=setup.gateways as u8).map(at).collect()
}

/// The name of the trunk's first gateway, where it has one.
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

/// The trunks as the conf reads them: the first has a play's own lines, and else what is usual.
fn further_trunks(setup: &Setup) -> Vec<Trunk> {
    static USUAL: OnceLock<Vec<Trunk>> = OnceLock::new();
    if setup.trunk.is_empty() && setup.home_trunk.is_empty() {
        return USUAL.get_or_init(|| Conf::embedded().switch.trunks).clone();
    }
    let (gateway, further) = (setup.gateway(1), setup.further_conf());
    let by = setup.gateway.transport().name();
    let text =
        format!("[[trunk]]\nname = \"carrier\"\ngateways = [\"sip:{gateway};transport={by}\"]\n{further}");
    let main = "[sip]\nudp = [\"127.0.0.1:5060\", \"[::1]:5060\"]\ntcp = [\"127.0.0.1:5060\", \"[::1]:5060\"]\n\
                tls = [\"127.0.0.1:5061\"]\ntls_cert = \"umbra.pem\"\ntls_key = \"umbra.key\"\n";
    let reading = Reading::of_texts("umbra.toml", main, "trunks.toml", &text);
    reading.conf().expect("a right conf").switch.trunks
}

fn naming(is_own: bool) -> Naming {
    if is_own { Naming::Own } else { Naming::None }
}

fn prompts(words: Words) -> Arc<Prompts> {
    let mut all = Prompts::default();
    let clips: Vec<(&str, Clip)> = match words {
        Words::Tones => {
            let of = |(name, samples): (_, Vec<i16>)| (name, Clip::new(&samples, Repeats::Once));
            prompts::everywhere().map(of).collect()
        }
        Words::Shipped => {
            let names = PromptName::ALL.map(|(name, _)| (name, name));
            let of = |(name, words)| (name, Clip::of_a_law(&prompts::codes(words), Repeats::Once));
            names.into_iter().chain(prompts::BESIDE).map(of).collect()
        }
    };
    for (name, clip) in clips {
        all.add(Prompt {
            clip: Arc::new(clip),
            owner: Owner::Server,
            language: all.language(),
            name: name.into(),
        });
    }
    Arc::new(all)
}

//! The real server's conf, as a play's setup has it.

use std::fs;
use std::path::Path;

use umbra::rtp::tone::SAMPLE_RATE_HZ;
use umbra::rtp::wav;
use umbra::sip::path::Transport;

use super::hep::Capture;
use super::line;
use crate::support::prompts::Words;
use crate::support::stage::{Large, Setup, Speaks};
use crate::support::{prompts, secret};

/// Writes the prompts of the plays, in place of those that ship or beside them.
fn write_prompts(dir: &Path, words: Words) {
    let folder = dir.join("prompts/zh");
    fs::create_dir_all(&folder).expect("our own folder");
    let write = |name: &str, file: Vec<u8>| {
        fs::write(folder.join(format!("{name}.wav")), file).expect("our own folder");
    };
    match words {
        Words::Tones => {
            let short = prompts::ASKING.map(|(name, hz)| (name, prompts::samples(hz)[..4_000].to_vec()));
            for (name, samples) in prompts::everywhere().chain(short) {
                write(name, wav::write(SAMPLE_RATE_HZ, &samples));
            }
        }
        Words::Shipped => {
            for (name, words) in prompts::BESIDE {
                write(name, prompts::file(words));
            }
        }
    }
}

/// Writes the server's conf as the setup has it.
pub fn write_conf(dir: &Path, setup: &Setup, capture: &Capture) {
    write_prompts(dir, setup.words);
    let listening = |transport| {
        let of = setup.listeners().into_iter().filter(|(t, _)| *t == transport);
        let all: Vec<String> = of.map(|(_, at)| format!("\"{at}\"")).collect();
        all.join(", ")
    };
    let interfaces: String = setup
        .interfaces()
        .iter()
        .map(|i| {
            format!(
                "[[media.interface]]\nname = \"{}\"\naddress = \"{}\"\nports = \"{}-{}\"\n",
                i.name, i.address, i.port_first, i.port_last
            )
        })
        .collect();
    let conf = format!(
        "trunks = \"trunks.toml\"\n[sip]\nudp = [{}]\ntcp = [{}]\ntls = [{}]\n{}shards = {}\nt1_ms = {}\n[media]\ntimeout_s = {}\ntones = \"{}\"\n{interfaces}[limits]\nring_timeout_s = {}\nannouncements = {}\n[prompts]\ndir = \"prompts\"\n[api]\nlisten = \"\"\n[log]\nlevel = \"debug\"\n{}",
        listening(Transport::Udp),
        listening(Transport::Tcp),
        listening(Transport::Tls),
        if setup.has_tls() {
            "tls_cert = \"umbra.pem\"\ntls_key = \"umbra.key\"\ntls_client_ca = \"ca.pem\"\n"
        } else {
            ""
        },
        setup.shards,
        setup.t1.as_millis(),
        setup.media_timeout.as_secs(),
        setup.tones,
        setup.ring.as_secs(),
        setup.announcements,
        capture.conf(),
    );
    let emergency = setup.emergency.as_ref().map(|[country, trunk, also]| {
        let also = if also.is_empty() {
            String::new()
        } else {
            format!("{also:?}")
        };
        format!("[emergency]\ncountry = {country:?}\ntrunk = {trunk:?}\nalso = [{also}]\n")
    });
    let bans = setup.bans.map(|(after, first)| {
        let first = first.as_secs();
        format!("[bans]\nafter = {after}\nfirst = \"{first}s\"\n")
    });
    let recordings = setup.recordings.as_ref().map(|from| {
        let pausing = setup
            .pausing
            .as_ref()
            .map(|(code, by)| format!("pause_code = \"{code}\"\npause_by = \"{by}\"\n"));
        format!(
            "[recordings]\nenabled = true\nfrom = \"{from}\"\n{}",
            pausing.unwrap_or_default()
        )
    });
    let conf = conf + recordings.as_deref().unwrap_or_default();
    let conf = conf + bans.as_deref().unwrap_or_default() + emergency.as_deref().unwrap_or_default();
    let accepted: Vec<String> = setup
        .accepted()
        .iter()
        .map(|(ip, prefix)| format!("\"{ip}/{prefix}\""))
        .collect();
    let rest = format!(
        "{}credentials = {}\nregister = {}\nlarge_requests = \"{}\"\nmedia = \"{}\"\nfirst_response_timeout_s = {}\nprogress_timeout_s = {}\nprobe = {{ every_s = {}, timeout_s = {}, down_after = {}, up_after = {} }}\nredirects = \"{}\"\nrtcp_mux = \"{}\"\ndtmf = \"{}\"\nsession_timer = \"{}\"\nsession_expires_s = {}\nmin_se_s = {}\ncharging_vector = \"{}\"\nsession_id = \"{}\"\nreliable_provisionals = \"{}\"\n{}{}",
        auth(setup),
        credentials(setup),
        register(setup),
        if setup.large == Large::Udp { "udp" } else { "tcp" },
        setup.media.as_deref().unwrap_or(""),
        setup.silence.as_secs(),
        setup.progress.as_secs(),
        setup.probe.every.map_or(0, |every| every.as_secs()),
        setup.probe.timeout.as_secs(),
        setup.probe.down_after,
        setup.probe.up_after,
        if setup.follows { "follow" } else { "refuse" },
        setup.rtcp_mux,
        if setup.keys_by_info { "info" } else { "rtp" },
        setup.session_timer,
        setup.session_expires_s,
        setup.min_se_s,
        if setup.names_charging { "own" } else { "none" },
        if setup.names_sessions { "own" } else { "none" },
        setup.reliable,
        // The callers' own trunk stands last, if there is one.
        further_conf(setup),
        names(setup),
    );
    let quoted = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
        texts.join(", ")
    };
    let accept_from = accepted.join(", ");
    let gateways = setup.gateway_uris();
    let mut trunks = if setup.trunks.is_empty() {
        format!(
            "[[trunk]]\nname = \"carrier\"\naccept_from = [{accept_from}]\ngateways = [{}]\ndefault = true\n{rest}",
            quoted(&gateways)
        )
    } else {
        let one = |(n, gateway): (usize, &String)| {
            let name = setup.trunk_of(n);
            let (accepts, shows) = if n == 0 {
                (&*accept_from, "own")
            } else {
                ("", "any")
            };
            format!(
                "[[trunk]]\nname = \"{name}\"\naccept_from = [{accepts}]\ngateways = [\"{gateway}\"]\nmay_show = [\"{shows}\"]\ndefault = {}\n{rest}",
                n == 0
            )
        };
        gateways.iter().enumerate().map(one).collect()
    };
    if !setup.route.is_empty() {
        let named = quoted(&setup.route);
        trunks.push_str(&format!("[[route]]\ncallee = \"86139*\"\ntrunks = [{named}]\n"));
    }
    fs::write(dir.join("umbra.toml"), conf).expect("the folder can be written");
    fs::write(dir.join("trunks.toml"), trunks).expect("the folder can be written");
}

/// What the conf says of the password that callers are asked for.
fn auth(setup: &Setup) -> String {
    let Some(how) = &setup.auth else {
        return String::new();
    };
    let (status, hash) = how.split_once('-').unwrap_or((how, ""));
    let (realm, user, password) = (secret::OUR_REALM, secret::THEIR_USER, secret::THEIR_PASSWORD);
    let hash = match hash {
        "" => String::new(),
        hash => format!("auth_algorithms = [{:?}]\n", hash.to_lowercase()),
    };
    format!(
        "auth = [{{ user = {user:?}, password = {password:?} }}]\nauth_realm = {realm:?}\nauth_status = {status}\n{hash}"
    )
}

/// What the conf says of how gateways are to know us.
fn register(setup: &Setup) -> String {
    setup.register.map_or("{}".to_owned(), |expires_s| {
        let (user, domain) = (secret::USER, secret::REALM);
        format!(
            "{{ user = {user:?}, domain = {domain:?}, contact_user = \"17000000001\", expires_s = {expires_s} }}"
        )
    })
}

/// The lines of the play's own.
fn further_conf(setup: &Setup) -> String {
    let own = setup.further_conf();
    if setup.home_trunk.is_empty() {
        own
    } else {
        gateways_name(setup) + &own
    }
}

/// What the conf says of certificates: without one nobody calls where callers speak TLS.
fn names(setup: &Setup) -> String {
    let callers = match setup.home {
        Speaks::Tls => format!("client_names = [\"{}\"]\n", line::PHONES),
        Speaks::Udp | Speaks::Tcp | Speaks::Udp6 | Speaks::Tcp6 => String::new(),
    };
    callers + &gateways_name(setup)
}

/// What the conf says of the other side's certificates.
fn gateways_name(setup: &Setup) -> String {
    if setup.has_tls() {
        format!("tls_name = \"{}\"\ntls_ca = \"ca.pem\"\n", line::PHONES)
    } else {
        String::new()
    }
}

/// What the conf says of the password that gateways ask for.
fn credentials(setup: &Setup) -> String {
    if setup.has_credentials {
        let (realm, user, password) = (secret::REALM, secret::USER, secret::PASSWORD);
        format!("{{ realm = {realm:?}, user = {user:?}, password = {password:?} }}")
    } else {
        "{}".to_owned()
    }
}

//! The main conf file: its tables and keys, their defaults and ranges, and what must hold between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::reader::{Section, Source};
use super::{Api, Conf, media, plain_name, value};
use crate::base::dscp::Dscp;
use crate::base::language::{Language, NoLanguage};
use crate::base::limits;
use crate::base::number::NumberPlan;
use crate::call::bans::Terms;
use crate::call::config::{Config, SipTimers, Strangers};
use crate::call::recording::{Code, Pausing, Recordings};
use crate::masking::cues::Hearers;
use crate::masking::quarantine;
use crate::masking::recording::Since;
use crate::media::prompts;
use crate::names;
use crate::records::{cdr_file, recorder};
use crate::telemetry::log;

/// Threads of one kind.
pub(super) const THREADS_MAX: u32 = 64;
/// Where DNS is asked if no port is written (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;
/// Bytes of a socket's path (`sun_path` in unix(7), less its end).
const SOCKET_PATH_BYTES_MAX: usize = 107;

const STRANGERS: [(&str, Strangers); 2] = [("forbid", Strangers::Forbid), ("silence", Strangers::Silence)];
const LEVELS: [(&str, log::Level); 5] = [
    ("error", log::Level::Error),
    ("warn", log::Level::Warn),
    ("info", log::Level::Info),
    ("debug", log::Level::Debug),
    ("trace", log::Level::Trace),
];
const FORMATS: [(&str, log::Format); 2] = [("text", log::Format::Text), ("json", log::Format::Json)];

/// Reads the main file. The conf has no trunks yet; their file's name, as written, comes beside it.
pub(super) fn read(source: &Source<'_>) -> (Conf, String) {
    let table = source.parse();
    let root = Section::new(
        source,
        table.get_ref(),
        0..0,
        "the file's top",
        &[
            "trunks",
            "node",
            "sip",
            "media",
            "prompts",
            "dns",
            "numbers",
            "emergency",
            "store",
            "records",
            "recordings",
            "quarantine",
            "bans",
            "limits",
            "api",
            "metrics",
            "ask",
            "hep",
            "log",
        ],
    );
    let trunks = root.parsed("trunks", "trunks.toml".to_owned(), |text| {
        non_empty(text, "write the trunk file's name, or a folder of them")
    });
    let node = root.section("node", "[node]", &["name", "drain", "restore_within_s"]);
    let name = node.parsed("name", "umbra-1".to_owned(), |text| {
        plain_name(text).map(|()| text.to_owned())
    });
    let drain = node.parsed("drain", Duration::from_secs(600), |text| {
        value::duration(text)
            .filter(|d| d.as_secs() <= 86_400)
            .ok_or_else(|| "write a time from \"0s\" to \"1d\"".into())
    });
    let restore_within = node.integer("restore_within_s", 0..=3_600, 120);
    let sip = root.section(
        "sip",
        "[sip]",
        &[
            "udp",
            "tcp",
            "tls",
            "tls_cert",
            "tls_key",
            "tls_client_ca",
            "advertise",
            "dscp",
            "shards",
            "t1_ms",
            "strangers",
        ],
    );
    let listeners = super::listeners::read(&sip);
    let shards = sip.integer("shards", 1..=THREADS_MAX, 1);
    let t1 = sip.integer("t1_ms", 100..=2_000, 500);

    let media = media::read(&root, &listeners, shards);
    let limits = root.section(
        "limits",
        "[limits]",
        &["calls", "ring_timeout_s", "announcements"],
    );
    let hep = super::hep::read(&root);
    let default_calls = u32::try_from(limits::CALLS_MAX).unwrap_or(u32::MAX);
    let records = records(&root);
    let (recorded, recordings) = recordings(&root, &records);
    let conf = Conf {
        switch: Config {
            node: name,
            numbers: root.section("numbers", "[numbers]", &["country"]).parsed(
                "country",
                NumberPlan::default(),
                |text| {
                    NumberPlan::new(text)
                        .ok_or_else(|| "write a country code of 1 to 3 digits, without +: \"86\"".into())
                },
            ),
            dscp: sip.dscp(Dscp::SIGNALLING),
            strangers: sip.choice("strangers", &STRANGERS, Strangers::Forbid),
            trunks: Vec::new(),
            bans: bans(&root),
            // It names one of them.
            emergency: None,
            routes: Vec::new(),
            timers: SipTimers::around(Duration::from_millis(u64::from(t1))),
            ring_timeout: Duration::from_secs(u64::from(limits.integer(
                "ring_timeout_s",
                seconds(limits::RING_TIMEOUT_MIN)..=seconds(limits::RING_TIMEOUT_MAX),
                seconds(limits::RING_TIMEOUT),
            ))),
            tells_legs: hep.is_some(),
            calls_max: limits.integer("calls", 1..=default_calls, default_calls) as usize,
            announcements_max: announcements(&limits),
            // They are read behind the conf.
            prompts: Arc::default(),
            recordings: recorded,
            listeners,
            media,
        },
        drain,
        restore_within: Duration::from_secs(restore_within.into()),
        shards: shards as usize,
        store: path(&root.section("store", "[store]", &["path"]), "path", "data"),
        dns: dns(&root),
        records,
        recordings,
        prompts: prompts(&root),
        tls: super::tls::of_listeners(&sip),
        api: api(&root),
        metrics_numbers: root.section("metrics", "[metrics]", &["numbers"]).integer(
            "numbers",
            0..=100_000,
            0,
        ),
        ask: super::ask::read(&root),
        hep,
        log: log(&root),
        quarantine: quarantine(&root),
    };
    if conf.switch.calls_max < limits::CALLS_MAX {
        too_few_ports(&limits, &conf);
    }
    (conf, trunks)
}

/// Where prompts come from.
fn prompts(root: &Section<'_>) -> prompts::Config {
    let section = root.section("prompts", "[prompts]", &["dir", "language"]);
    prompts::Config {
        dir: path(&section, "dir", "data/prompts"),
        language: section.parsed("language", Language::default(), |text| {
            text.parse().map_err(|no: NoLanguage| no.to_string())
        }),
    }
}

/// How many refused callers hear a tone at once.
fn announcements(limits: &Section<'_>) -> usize {
    let default = u32::try_from(limits::ANNOUNCEMENTS).unwrap_or(u32::MAX);
    limits.integer("announcements", 0..=limits::ANNOUNCEMENTS_MAX, default) as usize
}

/// Warns of a number of calls that somebody chose and that there are no media ports for.
fn too_few_ports(limits: &Section<'_>, conf: &Conf) {
    let ports = conf.switch.media.ports();
    let (calls, shards) = (conf.switch.calls_max, conf.shards);
    let wanted = calls.saturating_mul(shards).saturating_mul(4);
    if ports < wanted {
        limits.warn(
            "calls",
            format!(
                "{calls} calls on each of {shards} shards want {wanted} media ports, media.ports has {ports}: \
                 calls beyond {} are refused for want of ports",
                ports / 4
            ),
        );
    }
}

fn dns(root: &Section<'_>) -> names::Config {
    let section = root.section("dns", "[dns]", &["servers"]);
    let form =
        "write the address of a DNS server: \"192.0.2.53\", \"192.0.2.53:53\" or \"[2001:db8::53]:53\"";
    let mut servers: Vec<SocketAddr> = Vec::new();
    section.list("servers", Vec::new(), |text| {
        let by_ip = || text.parse().map(|ip: IpAddr| SocketAddr::new(ip, DNS_PORT));
        let server: SocketAddr = text.parse().or_else(|_| by_ip()).map_err(|_| form.to_owned())?;
        if server.port() == 0 || server.ip().is_unspecified() || server.ip().is_multicast() {
            return Err(form.to_owned());
        }
        if servers.contains(&server) {
            return Err("the server is named twice: take one away".into());
        }
        if servers.len() == limits::DNS_ASKED_MAX {
            return Err(format!(
                "at most {} servers: take some away",
                limits::DNS_ASKED_MAX
            ));
        }
        servers.push(server);
        Ok(())
    });
    names::Config { servers }
}

fn records(root: &Section<'_>) -> cdr_file::Config {
    let section = root.section("records", "[records]", &["cdr_dir", "rotate", "keep_days"]);
    let rotate = section.parsed("rotate", Duration::from_secs(3_600), |text| {
        value::duration(text)
            .filter(|d| (60..=86_400).contains(&d.as_secs()))
            .ok_or_else(|| "write a time from \"1m\" to \"1d\"".into())
    });
    cdr_file::Config {
        dir: path(&section, "cdr_dir", "data/cdr"),
        rotate,
        keep_days: section.integer("keep_days", 1..=3_650, 200),
    }
}

fn api(root: &Section<'_>) -> Api {
    let api = root.section("api", "[api]", &["control", "listen", "aliyun", "huawei"]);
    for (key, name) in [("aliyun", "[api.aliyun]"), ("huawei", "[api.huawei]")] {
        api.section(key, name, &["listen"])
            .neutral("listen", "\"\"", "this dialect is");
    }
    let control = path(&api, "control", "data/control.sock");
    if control.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        api.fault(
            "control",
            format!("a socket's path has at most {SOCKET_PATH_BYTES_MAX} bytes: choose a shorter one"),
        );
    }
    let listen = api.parsed(
        "listen",
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8_080))),
        |text| match text {
            "" => Ok(None),
            text => value::listening(text, "127.0.0.1:8080").and_then(|address| {
                if address.ip().is_loopback() {
                    Ok(Some(address))
                } else {
                    Err("the API asks nobody who they are: write a loopback address \
                         (\"127.0.0.1:8080\"), and put a proxy that authorises before it"
                        .into())
                }
            }),
        },
    );
    Api { control, listen }
}

fn log(root: &Section<'_>) -> log::Config {
    let section = root.section("log", "[log]", &["level", "format"]);
    log::Config {
        level: section.choice("level", &LEVELS, log::Level::Info),
        format: section.choice("format", &FORMATS, log::Format::Text),
    }
}

/// How calls are recorded, if they are, and where recordings lie. `records`: where the calls' records lie, and for how long.
fn recordings(root: &Section<'_>, records: &cdr_file::Config) -> (Option<Recordings>, recorder::Config) {
    let keys = [
        "enabled",
        "dir",
        "keep_days",
        "at_least_days",
        "keys",
        "key",
        "from",
        "shortest_ms",
        "pause_code",
        "pause_by",
        "audit_dir",
        "audit_keep_days",
        "keep_free",
    ];
    let section = root.section("recordings", "[recordings]", &keys);
    let shortest = limits::RECORDING_SHORTEST.as_millis() as u32;
    let code = |text: &str| match text {
        "" => Ok(None),
        text => Code::of(text)
            .map(Some)
            .ok_or_else(|| "write two to six keys of which the first is * or #, as \"*7\"".into()),
    };
    let by = section.choice("pause_by", &Hearers::NAMES, Hearers::Both);
    let recordings = Recordings {
        since: section.choice("from", &Since::NAMES, Since::default()),
        shortest: Duration::from_millis(section.integer("shortest_ms", 0..=60_000, shortest).into()),
        pausing: section
            .parsed("pause_code", None, code)
            .map(|code| Pausing { code, by }),
    };
    let folder = |text: &str| Ok((!text.is_empty()).then(|| PathBuf::from(text)));
    let kept_free = |text: &str| match text {
        "" => Ok(recorder::KeepFree::Usual),
        text => value::size(text)
            .map(recorder::KeepFree::Bytes)
            .ok_or_else(|| "write a size as \"500MiB\" or \"2GiB\", or 0 for none".into()),
    };
    let name = |text: &str| match text {
        "" => Ok(None),
        name => plain_name(name).map(|()| Some(name.into())),
    };
    let config = recorder::Config {
        dir: path(&section, "dir", "data/recordings"),
        keep_days: section.integer("keep_days", 1..=limits::RECORDINGS_KEEP_DAYS_MAX, 30),
        at_least_days: section.integer("at_least_days", 0..=limits::RECORDINGS_KEEP_DAYS_MAX, 0),
        keep_free: section.parsed("keep_free", recorder::KeepFree::Usual, kept_free),
        keys: section.parsed("keys", None, folder),
        key: section.parsed("key", None, name),
        audit_dir: path(&section, "audit_dir", "data/audit"),
        audit_keep_days: Some(section.integer("audit_keep_days", 0..=36_500, 0)).filter(|days| *days > 0),
    };
    if config.audit_keep_days.is_some_and(|days| days < config.keep_days) {
        section.fault(
            "audit_keep_days",
            "the audit log has how each recording ended: keep it as long as recordings.keep_days, or write 0",
        );
    }
    if config.audit_dir == records.dir {
        section.fault(
            "audit_dir",
            "records.cdr_dir is the same folder, and each of them wants one for itself: name another one",
        );
    }
    if config.key.is_some() && config.keys.is_none() {
        section.fault(
            "key",
            "the key lies in a folder of keys: set recordings.keys to that",
        );
    }
    if config.at_least_days > config.keep_days {
        section.fault(
            "at_least_days",
            "recordings are deleted after recordings.keep_days: write fewer days, or keep them longer",
        );
    }
    let is_enabled = section.flag("enabled");
    // A recording begins before its call's record is written.
    if is_enabled && records.keep_days <= config.keep_days {
        section.fault(
            "keep_days",
            "whose a recording is the calls' records say: keep these for longer, by records.keep_days",
        );
    }
    (is_enabled.then_some(recordings), config)
}

fn bans(root: &Section<'_>) -> Terms {
    let section = root.section("bans", "[bans]", &["after", "first", "longest"]);
    let default = Terms::default();
    let time = |key, default| {
        section.parsed(key, default, |text| {
            value::duration(text)
                .filter(|d| (Duration::from_secs(1)..=limits::BAN_MAX).contains(d))
                .ok_or_else(|| "write a time from \"1s\" to \"7d\"".into())
        })
    };
    let terms = Terms {
        after: section.integer("after", 0..=10_000, default.after),
        first: time("first", default.first),
        longest: time("longest", default.longest),
    };
    if terms.first > terms.longest {
        section.fault(
            "first",
            "no ban lasts longer than bans.longest: write a shorter time",
        );
    }
    terms
}

fn quarantine(root: &Section<'_>) -> quarantine::Config {
    let section = root.section(
        "quarantine",
        "[quarantine]",
        &["axb", "number", "extension", "limit"],
    );
    let default = quarantine::Config::default();
    let read = |key, default| {
        section.parsed(key, default, |text| {
            let cure = "write a time of at most 365d, and soft or hard: \"24h soft\"";
            text.parse().map_err(|_| cure.to_owned())
        })
    };
    quarantine::Config {
        axb: read("axb", default.axb),
        number: read("number", default.number),
        extension: read("extension", default.extension),
        limit: section.integer(
            "limit",
            0..=limits::QUARANTINE_LIMIT_MAX,
            limits::QUARANTINE_LIMIT as u32,
        ) as usize,
    }
}

fn path(section: &Section<'_>, key: &str, default: &str) -> PathBuf {
    section
        .parsed(key, default.to_owned(), |text| {
            non_empty(
                text,
                "write a path; a relative one starts at the working directory",
            )
        })
        .into()
}

fn non_empty(text: &str, cure: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.contains('\0') {
        Err(cure.into())
    } else {
        Ok(text.into())
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

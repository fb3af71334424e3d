//! Every key by its name: what the shipped files say of it, and what a reload makes of it.

use super::*;
use crate::call::recording::Code;
use crate::masking::cues::Hearers;

/// Every key of a shipped file by its whole name.
fn keys_of(text: &str) -> Vec<String> {
    fn walk(table: &toml::Table, prefix: &str, keys: &mut Vec<String>) {
        for (key, value) in table {
            match value {
                toml::Value::Table(inner) => walk(inner, &format!("{prefix}{key}."), keys),
                _ => keys.push(format!("{prefix}{key}")),
            }
        }
    }
    let mut keys = Vec::new();
    walk(&text.parse().expect("TOML"), "", &mut keys);
    keys
}

/// The comments of the shipped file, by whole names: `[reload]`, `[restart]` or that the key is for later.
fn comments() -> Vec<(String, String)> {
    let mut table = String::new();
    let mut comments = Vec::new();
    for line in SHIPPED.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            table = format!("{name}.");
        } else if let Some((key, rest)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            let comment = rest.split_once("# ").map_or("", |(_, comment)| comment);
            comments.push((format!("{table}{key}"), comment.to_owned()));
        }
    }
    comments
}

#[test]
fn the_one_list_of_keys_has_every_key_of_the_shipped_file_and_its_comment_says_the_same() {
    // Kept out of the shipped file: short forms and later features have a line of their own there.
    let unshipped = |key: &str| key == "media.interface";
    let comments = comments();
    for key in keys_of(SHIPPED) {
        let takes = KEYS.iter().find(|(name, _)| *name == key);
        let (_, takes) = takes.unwrap_or_else(|| panic!("{key} is not in config/keys.rs"));
        let (_, comment) = comments
            .iter()
            .find(|(name, _)| *name == key)
            .expect("it has a line");
        let tag = match takes {
            Takes::Reload => "[reload] ",
            Takes::Restart => "[restart] ",
        };
        assert!(
            comment.starts_with(tag) || comment.starts_with("not available in this version"),
            "{key} is {tag}in config/keys.rs, and its comment is: {comment}"
        );
    }
    let shipped = keys_of(SHIPPED);
    for (key, _) in KEYS {
        assert!(
            unshipped(key) || shipped.iter().any(|s| s == key),
            "{key} is in config/keys.rs and not in conf/umbra.toml"
        );
    }
}

/// Another right value of a key of the main file; `None` for one that has only its default in this version.
fn another(key: &str) -> Option<&'static str> {
    match key {
        "trunks" => Some("\"others.toml\""),
        "node.name" => Some("\"umbra-2\""),
        "node.drain" => Some("\"1m\""),
        "node.restore_within_s" => Some("30"),
        "sip.udp" => Some("[\"127.0.0.1:5070\"]"),
        "sip.dscp" | "media.dscp" => Some("0"),
        "sip.advertise" => Some("\"203.0.113.5\""),
        "sip.shards" | "media.threads" => Some("2"),
        "sip.t1_ms" => Some("400"),
        "sip.strangers" => Some("\"silence\""),
        "media.address" => Some("\"127.0.0.2\""),
        "media.advertise" => Some("\"203.0.113.6\""),
        "media.ports" => Some("\"20000-20999\""),
        "media.timeout_s" => Some("30"),
        "media.tones" => Some("\"US\""),
        "prompts.dir" => Some("\"elsewhere/prompts\""),
        "prompts.language" => Some("\"en\""),
        "dns.servers" => Some("[\"127.0.0.1:5353\"]"),
        "numbers.country" => Some("\"49\""),
        "store.path" => Some("\"elsewhere\""),
        "records.cdr_dir" => Some("\"elsewhere/cdr\""),
        "records.rotate" => Some("\"2h\""),
        "records.keep_days" => Some("100"),
        "recordings.enabled" => Some("true"),
        "recordings.dir" => Some("\"elsewhere/recordings\""),
        "recordings.keep_days" => Some("90"),
        "recordings.at_least_days" => Some("10"),
        "recordings.audit_dir" => Some("\"elsewhere/audit\""),
        "recordings.audit_keep_days" => Some("365"),
        "recordings.keep_free" => Some("\"2GiB\""),
        "recordings.keys" => Some("\"elsewhere/keys\""),
        // It is nothing without a folder; the others are nothing while nothing is recorded. A test of their own has both.
        "recordings.key"
        | "recordings.from"
        | "recordings.shortest_ms"
        | "recordings.pause_code"
        | "recordings.pause_by" => None,
        "bans.after" => Some("0"),
        "bans.first" => Some("\"30s\""),
        "bans.longest" => Some("\"1h\""),
        "limits.calls" => Some("2000"),
        "quarantine.axb" => Some("\"1h hard\""),
        "quarantine.number" => Some("\"1h soft\""),
        "quarantine.extension" => Some("\"1h soft\""),
        "quarantine.limit" => Some("10"),
        // It needs a file: a test of its own has one.
        "ask.ca" => None,
        "ask.per_server" => Some("8"),
        "limits.ring_timeout_s" => Some("30"),
        "limits.announcements" => Some("0"),
        "api.control" => Some("\"elsewhere/control.sock\""),
        "api.listen" => Some("\"127.0.0.1:8081\""),
        "metrics.numbers" => Some("1000"),
        "hep.server" => Some("\"127.0.0.1:9060\""),
        // Without a server they change nothing: a test of their own has one.
        "hep.transport" | "hep.capture_id" | "hep.password" | "hep.password_file" | "hep.password_env"
        | "hep.numbers" => None,
        "log.level" => Some("\"debug\""),
        "log.format" => Some("\"json\""),
        "sip.tcp" => Some("[\"127.0.0.1:5060\"]"),
        "sip.tls" => Some("[\"127.0.0.1:5061\"]"),
        "sip.tls_client_ca" => Some("\"ca.pem\""),
        // One is nothing without the other: a test of their own changes both.
        "sip.tls_cert" | "sip.tls_key" => None,
        // One is nothing without the other: likewise.
        "emergency.country" | "emergency.trunk" | "emergency.also" => None,
        "api.aliyun.listen" | "api.huawei.listen" => None,
        unknown => panic!("{unknown}: give it another right value here"),
    }
}

/// The shipped file with one key changed.
fn with(key: &str, value: &str) -> String {
    let mut table: toml::Table = SHIPPED.parse().expect("TOML");
    let mut inner = &mut table;
    let mut names: Vec<&str> = key.split('.').collect();
    let last = names.pop().expect("a name");
    for name in names {
        inner = inner[name].as_table_mut().expect("a table");
    }
    let value: toml::Table = format!("v = {value}").parse().expect("TOML");
    inner.insert(last.to_owned(), value["v"].clone());
    table.to_string()
}

#[test]
fn every_key_of_the_main_file_is_taken_by_a_reload_or_named_as_waiting_for_a_restart() {
    let old = Reading::shipped();
    for key in keys_of(SHIPPED) {
        let Some(value) = another(&key) else { continue };
        if key == "trunks" {
            continue; // a name of files: the test of folders changes it
        }
        let new = Reading::of_texts(
            "conf/umbra.toml",
            &with(&key, value),
            "conf/trunks.toml",
            SHIPPED_TRUNKS,
        );
        let wanted = new.conf().unwrap_or_else(|faults| panic!("{key}: {faults}"));
        assert_ne!(wanted, Conf::embedded(), "{key} changes nothing");
        let reload = old.reload(&new).expect("it is right");
        match keys::takes(&key) {
            Takes::Reload => {
                assert_eq!((reload.taken, reload.waiting), (vec![key.clone()], vec![]));
                assert_eq!(reload.conf, wanted, "{key}");
            }
            Takes::Restart => {
                assert_eq!((reload.taken, reload.waiting), (vec![], vec![key.clone()]));
                assert_eq!(reload.conf, Conf::embedded(), "{key}");
                // It waits still when the same file is read once more, and is forgotten when it is changed back.
                let again = reload.in_force.reload(&new).expect("it is right");
                assert_eq!(again.waiting, std::slice::from_ref(&key));
                assert_eq!(
                    reload.in_force.reload(&old).expect("right").waiting,
                    [] as [&str; 0]
                );
            }
        }
    }
}

#[test]
fn every_key_of_a_trunk_is_taken_by_a_reload() {
    // Some of them need an address of TCP or TLS.
    let main = with("sip.tcp", "[\"127.0.0.1:5060\"]").replace("tls = []", "tls = [\"127.0.0.1:5061\"]");
    let old = Reading::of_texts("conf/umbra.toml", &main, "conf/trunks.toml", SHIPPED_TRUNKS);
    let shipped: toml::Table = SHIPPED_TRUNKS.parse().expect("TOML");
    let trunk = shipped["trunk"][0].as_table().expect("a trunk");
    for key in trunk.keys() {
        let value = match key.as_str() {
            "name" => "\"another\"",
            "accept_from" => "[\"127.0.0.0/24\"]",
            "gateways" => "[\"sip:127.0.0.4:5060\"]",
            "auth" => "[{ user = \"u\", password = \"p\" }]",
            "auth_realm" | "auth_status" | "auth_algorithms" => continue, // they say how `auth` asks
            "register" => "{ user = \"umbra\" }",
            "credentials" => "{ realm = \"r\", user = \"u\", password = \"p\" }",
            "listen" => "\"127.0.0.1:5060\"",
            "dialled_from" => "[\"to\"]",
            "caller_id" => "[\"from\"]",
            "strip" => "[\"17951\"]",
            "rules_in" => "[{ match = \"^9\", replace = \"\", of = \"dialled\" }]",
            "number_format_in" => "\"e164\"",
            "prefix_out" => "\"9\"",
            "rules_out" => "[{ match = \"^0\", replace = \"+86\" }]",
            "number_format" => "\"e164\"",
            "may_show" => "[\"any\"]",
            "default" => "false",
            "media_nat" => "\"latch\"",
            "media_from" => "[\"127.0.0.0/8\"]",
            "media" => "\"default\"",
            "large_requests" => "\"tcp\"",
            "rtcp_mux" => "\"offer\"",
            // The one needs the other: `from_user` is changed in the test of faults.
            "from_user" => continue,
            "show_in" => "\"from\"",
            "from_domain" => "\"sip.example.net\"",
            "user_phone" | "record" => "true",
            "record_tone" => "\"both\"",
            "privacy" => "[\"user\", \"id\"]",
            "calls_per_s" | "calls_at_once" => "{ in = 5, out = 0 }",
            "overload_control" => "true",
            "early_media" => "\"ringback\"",
            "refusals" => "\"tone\"",
            "signalling_nat" => "\"private\"",
            "codecs" => "[\"PCMA\"]",
            "dtmf" => "\"info\"",
            "srtp" => "\"required\"",
            "srtp_suites" => "[\"AEAD_AES_256_GCM\"]",
            "srtp_keys_in_clear" => "true",
            "reliable_provisionals" => "\"off\"",
            "charging_vector" | "session_id" => "\"own\"",
            "first_response_timeout_s" => "8",
            "progress_timeout_s" => "20",
            "ring_timeout_s" => "20",
            "keepalive_s" => "30",
            "probe" => "{ every_s = 30 }",
            "redirects" => "\"follow\"",
            "session_timer" => "\"offer\"",
            "session_expires_s" => "900",
            "min_se_s" => "120",
            "client_names" => "[\"sbc1.carrier.example\"]",
            "tls_name" => "\"sip.carrier.example\"",
            "tls_ca" | "tls_cert" | "tls_key" => "\"tls/carrier.pem\"",
            unknown => panic!("{unknown}: give it another right value here"),
        };
        let mut trunk = trunk.clone();
        let value: toml::Table = format!("v = {value}").parse().expect("TOML");
        trunk.insert(key.clone(), value["v"].clone());
        if let "tls_cert" | "tls_key" = key.as_str() {
            // One is nothing without the other.
            let other = if key == "tls_key" { "tls_cert" } else { "tls_key" };
            trunk.insert(other.to_owned(), value["v"].clone());
        }
        if key == "srtp" {
            // Its gateway is spoken to over UDP.
            trunk.insert("srtp_keys_in_clear".to_owned(), true.into());
        }
        let file = toml::Table::from_iter([("trunk".to_owned(), toml::Value::Array(vec![trunk.into()]))]);
        let new = Reading::of_texts("conf/umbra.toml", &main, "conf/trunks.toml", &file.to_string());
        let wanted = new.conf().unwrap_or_else(|faults| panic!("{key}: {faults}"));
        assert_ne!(
            wanted.switch.trunks,
            Conf::embedded().switch.trunks,
            "{key} changes nothing"
        );
        let reload = old.reload(&new).expect("it is right");
        assert_eq!(reload.conf, wanted, "{key}");
        assert_eq!(reload.waiting, [] as [&str; 0], "{key}");
        let said: &[&str] = match key.as_str() {
            "name" => &["trunk another (new)", "trunk carrier (gone)"],
            _ => &["trunk carrier"],
        };
        assert_eq!(reload.taken, said, "{key}");
    }
}

#[test]
fn a_server_that_records_takes_by_a_reload_from_when_on_and_never_where_or_with_which_key() {
    let reading = |text: &str| Reading::of_texts("conf/umbra.toml", text, "conf/trunks.toml", SHIPPED_TRUNKS);
    let text = with("recordings.enabled", "true");
    let old = reading(&text);
    let new = text
        .replace("from = \"answer\"", "from = \"early_media\"")
        .replace("shortest_ms = 1000", "shortest_ms = 0")
        .replace("pause_code = \"\"", "pause_code = \"*7\"")
        .replace("pause_by = \"both\"", "pause_by = \"callee\"")
        .replace("keys = \"\"", "keys = \"k\"")
        .replace("\nkey = \"\"", "\nkey = \"own\"");
    let reload = old.reload(&reading(&new)).expect("it is right");
    let taken = ["from", "pause_by", "pause_code", "shortest_ms"].map(|key| format!("recordings.{key}"));
    assert_eq!(reload.taken, taken);
    assert_eq!(reload.waiting, ["recordings.key", "recordings.keys"]);
    let recordings = reload.conf.switch.recordings.expect("it records");
    assert_eq!(
        (recordings.shortest, reload.conf.recordings.key),
        (Duration::ZERO, None)
    );
    let pausing = recordings.pausing.expect("there is a code");
    assert_eq!(
        (Some(pausing.code), pausing.by),
        (Code::of("*7"), Hearers::Callee)
    );
}

#[test]
fn a_reload_takes_another_certificate_with_its_key() {
    let text = SHIPPED
        .replace("tls_cert = \"\"", "tls_cert = \"a.pem\"")
        .replace("tls_key = \"\"", "tls_key = \"a.key\"");
    let new = Reading::of_texts("conf/umbra.toml", &text, "conf/trunks.toml", SHIPPED_TRUNKS);
    let reload = Reading::shipped().reload(&new).expect("it is right");
    assert_eq!(reload.taken, ["sip.tls_cert", "sip.tls_key"]);
    assert_eq!(reload.conf, new.conf().expect("it is right"));
}

#[test]
fn a_reload_takes_emergency_numbers_with_their_trunk() {
    let text = SHIPPED
        .replace("country = \"\"", "country = \"CN\"")
        .replace("trunk = \"\"", "trunk = \"carrier\"")
        .replace("also = []", "also = [\"999\"]");
    let new = Reading::of_texts("conf/umbra.toml", &text, "conf/trunks.toml", SHIPPED_TRUNKS);
    let reload = Reading::shipped().reload(&new).expect("it is right");
    assert_eq!(
        reload.taken,
        ["emergency.also", "emergency.country", "emergency.trunk"]
    );
    assert_eq!(reload.conf, new.conf().expect("it is right"));
    let emergency = reload.conf.switch.emergency.expect("it is on");
    assert_eq!((emergency.table.country, emergency.trunk), ("CN", 0));
    assert!(emergency.table.is("110").is_some() && emergency.table.is("999").is_some());
}

#[test]
fn emergency_calls_without_a_way_out_are_faults_with_a_cure() {
    let faults = |lines: &str| {
        let text = format!("[emergency]\n{lines}");
        let faults = Reading::of_texts("u.toml", &text, "t.toml", SHIPPED_TRUNKS).conf();
        let faults = faults.expect_err(lines).0.into_iter();
        faults
            .map(|fault| (fault.line.unwrap_or(0), fault.cure))
            .collect::<Vec<_>>()
    };
    for (lines, line, cure) in [
        (
            "country = \"XX\"\ntrunk = \"carrier\"\n",
            2,
            "two capital letters: AE, AR",
        ),
        ("country = \"CN\"\n", 2, "a way out"),
        (
            "country = \"CN\"\ntrunk = \"nobody\"\n",
            3,
            "no trunk has this name",
        ),
        ("trunk = \"carrier\"\n", 2, "nothing without a country"),
        ("also = [\"999\"]\n", 2, "nothing without a country"),
        (
            "country = \"CN\"\ntrunk = \"carrier\"\nalso = [\"1\"]\n",
            4,
            "2 to 6 digits",
        ),
        ("county = \"CN\"\n", 2, "country"),
    ] {
        let found = faults(lines);
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        assert!(
            found[0].0 == line && found[0].1.contains(cure),
            "{lines}: {found:?}"
        );
    }
}

#[test]
fn a_reload_takes_some_keys_while_others_wait_and_another_spelling_is_no_change() {
    let old = Reading::shipped();
    let main =
        "[sip]\nudp = [\"127.0.0.1:5060\"]\nshards = 3\n[log]\nlevel = \"warn\"\n[store]\npath = 'data'\n";
    let reload = old
        .reload(&Reading::of_texts(
            "conf/umbra.toml",
            main,
            "conf/trunks.toml",
            SHIPPED_TRUNKS,
        ))
        .expect("it is right");
    assert_eq!(reload.waiting, ["sip.shards"]);
    assert_eq!((reload.conf.shards, reload.conf.log.level), (1, log::Level::Warn));
}

#[test]
fn a_file_of_certificates_that_was_renewed_under_its_name_is_another_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).expect("a certificate");
        std::fs::write(&file, made.cert.pem()).expect("it is written");
    };
    let main = format!("[ask]\nca = {:?}\n", file.display().to_string());
    let new = Reading::of_texts("u.toml", &main, "conf/trunks.toml", SHIPPED_TRUNKS);
    renew();
    let reload = Reading::shipped().reload(&new).expect("it is right");
    assert_eq!(
        (&reload.taken[..], reload.waiting.len()),
        (&["ask.ca".to_owned()][..], 0)
    );
    let asked = || new.conf().expect("it is right").ask;
    let before = asked();
    assert_eq!(before, asked());
    renew();
    assert_ne!(before, asked());
}

#[test]
fn trunks_that_need_an_address_that_waits_wait_too() {
    let main = "[sip]\nudp = [\"127.0.0.1:5060\", \"127.0.0.1:5070\"]\n[log]\nlevel = \"warn\"\n";
    let trunks = "[[trunk]]\nname = \"b\"\ngateways = [\"sip:127.0.0.3\"]\nlisten = \"127.0.0.1:5070\"\n";
    let reload = Reading::shipped()
        .reload(&Reading::of_texts("u.toml", main, "t.toml", trunks))
        .expect("it is right");
    assert_eq!(reload.waiting, ["sip.udp", "trunks"]);
    assert_eq!(reload.conf.switch, Conf::embedded().switch);
    assert_eq!(reload.conf.log.level, log::Level::Warn);
}

#[test]
fn a_reload_of_a_conf_with_faults_lists_them_all_and_takes_nothing() {
    let main = "[sip]\nshards = 0\n[log]\nlevel = \"loud\"\n";
    let faults = Reading::shipped()
        .reload(&Reading::of_texts(
            "u.toml",
            main,
            "t.toml",
            "[[trunk]]\nname = \"b c\"\n",
        ))
        .expect_err("it is wrong");
    let lines: Vec<_> = faults.0.iter().map(|f| (f.file.as_str(), f.line)).collect();
    assert_eq!(lines[..2], [("u.toml", Some(2)), ("u.toml", Some(4))], "{faults}");
    assert_eq!(lines[2].0, "t.toml");
}

use super::*;
use crate::telemetry::log;

mod hep;
mod reload;
mod secrets;
mod trunks;

/// The conf that these texts are.
fn from_texts(name: &str, text: &str, trunks_name: &str, trunks_text: &str) -> Result<Conf, Faults> {
    Reading::of_texts(name, text, trunks_name, trunks_text).conf()
}

/// The warnings of a main file and a trunk file, as printed.
fn warnings(text: &str, trunks_text: &str) -> String {
    Reading::of_texts("u.toml", text, "t.toml", trunks_text)
        .check()
        .warnings
        .to_string()
}

/// The faults of a main file beside the shipped trunks, as printed.
fn faults(text: &str) -> String {
    match from_texts("u.toml", text, "t.toml", SHIPPED_TRUNKS) {
        Ok(_) => String::new(),
        Err(faults) => faults.to_string(),
    }
}

/// The faults of a trunk file beside the shipped main file, as printed.
fn trunk_faults(text: &str) -> String {
    match from_texts("u.toml", SHIPPED, "t.toml", text) {
        Ok(_) => String::new(),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn the_shipped_file_says_what_an_empty_one_means() {
    let empty = from_texts("u.toml", "", "t.toml", SHIPPED_TRUNKS).expect("an empty file is right");
    assert_eq!(Conf::embedded(), empty);
    let bare = "[[trunk]]\nname = \"carrier\"\naccept_from = [\"127.0.0.0/8\"]\ngateways = [\"sip:127.0.0.3\"]\ndefault = true\n";
    let bare = from_texts("u.toml", "", "t.toml", bare).expect("the other keys have defaults");
    assert_eq!(Conf::embedded(), bare);
    assert_eq!(Reading::shipped().check().warnings, Faults::default());
}

#[test]
fn the_examples_of_carriers_are_right() {
    let main = "[sip]\nudp = [\"127.0.0.1:5060\"]\ntls = [\"127.0.0.1:5061\"]\ntls_cert = \"a.pem\"\n\
                tls_key = \"a.key\"\ntls_client_ca = \"ca.pem\"\n";
    // No environment has the password here.
    let carriers = include_str!("../../conf/examples/carriers.toml").replace("password_env", "password");
    let conf = from_texts("u.toml", main, "carriers.toml", &carriers).expect("they are right");
    let names: Vec<&str> = conf.switch.trunks.iter().map(|trunk| &*trunk.name).collect();
    assert_eq!(names, ["sbc", "account", "secure"]);
}

#[test]
fn the_shipped_files_name_every_key() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/umbra.toml");
    assert_eq!(load(&dir), Ok(Conf::embedded()));
    for key in [
        "strip",
        "rules_in",
        "number_format_in",
        "prefix_out",
        "rules_out",
        "media",
        "rtcp_mux",
        "calls_per_s",
        "calls_at_once",
        "codecs",
        "signalling_nat",
        "early_media",
        "refusals",
        "show_in",
        "from_user",
        "from_domain",
        "user_phone",
        "privacy",
        "dtmf",
        "reliable_provisionals",
        "charging_vector",
        "session_id",
        "redirects",
        "first_response_timeout_s",
        "progress_timeout_s",
        "probe",
        "media_nat",
        "media_from",
        "may_show",
        "listen",
    ] {
        assert!(SHIPPED_TRUNKS.contains(&format!("\n{key} = ")), "{key}");
    }
    for key in [
        "strangers",
        "t1_ms",
        "ring_timeout_s",
        "calls",
        "keep_days",
        "rotate",
        "control",
    ] {
        assert!(SHIPPED.contains(&format!("\n{key} = ")), "{key}");
    }
}

#[test]
fn every_fault_of_the_main_file_names_line_text_and_cure() {
    for (text, wanted) in [
        (
            "[sip]\nudpp = []",
            "u.toml:2: udpp = []: no such key in [sip]; did you mean udp?",
        ),
        (
            "[sip]\nzzz = 1",
            "u.toml:2: zzz = 1: no such key in [sip]; it has udp, tcp, tls, tls_cert, tls_key, tls_client_ca, advertise, dscp, shards, t1_ms, strangers",
        ),
        (
            "[limit]\ncalls = 1",
            "u.toml:1: [limit]: no such key in the file's top; did you mean limits?",
        ),
        (
            "[sip]\nudp = \"127.0.0.1:5060\"",
            "u.toml:2: udp = \"127.0.0.1:5060\": write a list, in brackets: udp = [\"127.0.0.1:5060\"]",
        ),
        (
            "[sip]\nudp = [\"localhost:5060\"]",
            "u.toml:2: \"localhost:5060\": write an IP address and a port: \"127.0.0.1:5060\"",
        ),
        (
            "[sip]\nudp = [\n \"127.0.0.1:5060\",\n \"0.0.0.0:5060\"]\nadvertise = \"127.0.0.1\"",
            "u.toml:4: \"0.0.0.0:5060\": another address of the list takes this one already: take one away",
        ),
        (
            "[sip]\nudp = [\"0.0.0.0:5060\"]",
            "u.toml:2: udp = [\"0.0.0.0:5060\"]: 0.0.0.0 can't be told to the other side: set advertise to the address that it can reach",
        ),
        (
            "[sip]\nudp = []",
            "u.toml:2: udp = []: the server would hear nobody: write one address at least",
        ),
        (
            "[sip]\ntcp = [\"127.0.0.1:5061\"]\ntls = [\"127.0.0.1:5061\"]",
            "u.toml:3: tls = [\"127.0.0.1:5061\"]: sip.tcp has 127.0.0.1:5061 already: write another port, 5061 mostly",
        ),
        (
            "[sip]\ntls_cert = \"a.pem\"",
            "u.toml:2: tls_cert = \"a.pem\": a certificate is of no use without its key: write tls_key",
        ),
        (
            "[sip]\ntls_key = \"a.key\"",
            "u.toml:2: tls_key = \"a.key\": a key is of no use without its certificate: write tls_cert",
        ),
        (
            "[sip]\ntcp = [\"[::]:5060\"]",
            "u.toml:2: tcp = [\"[::]:5060\"]: :: can't be told to the other side: set advertise to the address that it can reach",
        ),
        (
            "[sip]\nudp = [\"0.0.0.0:5060\"]\ntcp = [\"[::]:5060\"]\nadvertise = \"203.0.113.5\"",
            "u.toml:3: tcp = [\"[::]:5060\"]: :: can't be told to the other side: set advertise to the address that it can reach",
        ),
        (
            "[sip]\nudp = [\"0.0.0.0:5060\"]\nadvertise = \"203.0.113.5, 2001:db8::5\"",
            "u.toml:3: advertise = \"203.0.113.5, 2001:db8::5\": we listen on no address of this family: take it away, or listen on one",
        ),
        (
            "[sip]\nudp = [\"0.0.0.0:5060\"]\ntcp = [\"0.0.0.0:5070\"]\nadvertise = \"203.0.113.5:5060\"",
            "u.toml:4: advertise = \"203.0.113.5:5060\": our addresses have several ports: leave the port out, each keeps its own",
        ),
        (
            "[sip]\nudp = [\"[fe80::1%2]:5060\"]",
            "u.toml:2: \"[fe80::1%2]:5060\": an address with a zone is known to this machine only: write a global one",
        ),
        ("[sip]\nshards = 0", "u.toml:2: shards = 0: write 1 to 64"),
        (
            "[sip]\nshards = \"2\"",
            "u.toml:2: shards = \"2\": write a whole number without quotes: shards = 1",
        ),
        (
            "[sip]\nshards = 1.5",
            "u.toml:2: shards = 1.5: write a whole number without quotes: shards = 1",
        ),
        (
            "[sip]\nstrangers = \"ban\"",
            "u.toml:2: strangers = \"ban\": write \"forbid\" or \"silence\"",
        ),
        (
            "sip = 3",
            "u.toml:1: sip = 3: write a table: a line [sip], then its keys, one a line",
        ),
        (
            "[media]\nports = \"20001-29999\"",
            "u.toml:2: ports = \"20001-29999\": RTP and RTCP take pairs of ports: begin even and end odd: \"20002-29999\"",
        ),
        (
            "[media]\nports = \"20001-20002\"",
            "u.toml:2: ports = \"20001-20002\": RTP and RTCP take pairs of ports: begin even and end odd: \"20000-20003\"",
        ),
        (
            "[sip]\nudp = [\"127.0.0.1:5060\", 7, \"localhost:5060\"]",
            "u.toml:2: 7: write texts in quotes\nu.toml:2: \"localhost:5060\": write an IP address and a port: \"127.0.0.1:5060\"",
        ),
        (
            "[api]\nlisten = \"8080\"",
            "u.toml:2: listen = \"8080\": write an IP address and a port: \"127.0.0.1:8080\"",
        ),
        (
            "[api]\nlisten = \"0.0.0.0:8080\"",
            "u.toml:2: listen = \"0.0.0.0:8080\": the API asks nobody who they are: write a loopback address (\"127.0.0.1:8080\"), and put a proxy that authorises before it",
        ),
        (
            "[media]\nports = \"30000-29999\"",
            "u.toml:2: ports = \"30000-29999\": the range is empty: write the lower port first",
        ),
        (
            "[media]\nports = \"5000-5999\"",
            "u.toml:2: ports = \"5000-5999\": the range holds the SIP port 5060: choose ports beside it",
        ),
        (
            "[media]\nports = \"all\"",
            "u.toml:2: ports = \"all\": write two ports: \"20000-29999\"",
        ),
        (
            "[sip]\nshards = 2\n[media]\nports = \"20000-20005\"",
            "u.toml:4: ports = \"20000-20005\": 2 shards need 8 ports at least",
        ),
        (
            "[media]\naddress = \"0.0.0.0\"",
            "u.toml:2: address = \"0.0.0.0\": 0.0.0.0 can't be told to the other side: set advertise to the address that it can reach",
        ),
        (
            "[[media.interface]]\nname = \"outside\"",
            "u.toml:1: [[media.interface]]: it has no address: write address = \"203.0.113.5\"",
        ),
        (
            "[[media.interface]]\naddress = \"127.0.0.1\"",
            "u.toml:1: [[media.interface]]: the interface has no name: write name = \"outside\"",
        ),
        (
            "[media]\nports = \"30000-39999\"\n[[media.interface]]\nname = \"in\"\naddress = \"10.0.0.1\"",
            "u.toml:2: ports = \"30000-39999\": [[media.interface]] says this for each address: move it there",
        ),
        (
            "[[media.interface]]\nname = \"in\"\naddress = \"10.0.0.1\"\n[[media.interface]]\nname = \"in\"\naddress = \"::1\"",
            "u.toml:5: name = \"in\": another interface has this name: choose a new one",
        ),
        (
            "[[media.interface]]\nname = \"a\"\naddress = \"::1\"\n[[media.interface]]\nname = \"b\"\naddress = \"::1\"\nports = \"29000-30999\"",
            "u.toml:7: ports = \"29000-30999\": interface a has ports of this range on the same address: choose others",
        ),
        (
            "[media]\naddress = \"::1\"\nadvertise = \"192.0.2.1\"",
            "u.toml:3: advertise = \"192.0.2.1\": it is of another family than address: write an interface for each family",
        ),
        (
            "[media]\naddress = \"::\"",
            "u.toml:2: address = \"::\": :: can't be told to the other side: set advertise to the address that it can reach",
        ),
        (
            "[numbers]\ncountry = \"+86\"",
            "u.toml:2: country = \"+86\": write a country code of 1 to 3 digits, without +: \"86\"",
        ),
        (
            "[records]\nrotate = \"1w\"",
            "u.toml:2: rotate = \"1w\": write a time from \"1m\" to \"1d\"",
        ),
        (
            "[recordings]\nkey = \"own\"",
            "u.toml:2: key = \"own\": the key lies in a folder of keys: set recordings.keys to that",
        ),
        (
            "[recordings]\nat_least_days = 31",
            "u.toml:2: at_least_days = 31: recordings are deleted after recordings.keep_days: write fewer days, or keep them longer",
        ),
        (
            "[recordings]\nkeep_free = \"2 TB\"",
            "u.toml:2: keep_free = \"2 TB\": write a size as \"500MiB\" or \"2GiB\", or 0 for none",
        ),
        (
            "[recordings]\naudit_dir = \"data/cdr\"",
            "u.toml:2: audit_dir = \"data/cdr\": records.cdr_dir is the same folder, and each of them wants one for itself: name another one",
        ),
        (
            "[recordings]\nkeep_days = 200\nenabled = true",
            "u.toml:2: keep_days = 200: whose a recording is the calls' records say: keep these for longer, by records.keep_days",
        ),
        (
            "[recordings]\npause_code = \"77\"",
            "u.toml:2: pause_code = \"77\": write two to six keys of which the first is * or #, as \"*7\"",
        ),
        (
            "[recordings]\naudit_keep_days = 29",
            "u.toml:2: audit_keep_days = 29: the audit log has how each recording ended: keep it as long as recordings.keep_days, or write 0",
        ),
        (
            "[api.aliyun]\nlisten = \"127.0.0.1:8090\"",
            "u.toml:2: listen = \"127.0.0.1:8090\": this dialect is not available in this version; leave the key out, or write listen = \"\"",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "u.toml:2: level = \"loud\": write \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        ),
        (
            "[node]\nname = \"a b\"",
            "u.toml:2: name = \"a b\": write a name of 1 to 64 letters, digits, - _ or .",
        ),
        (
            "[store]\npath = \"\"",
            "u.toml:2: path = \"\": write a path; a relative one starts at the working directory",
        ),
    ] {
        assert_eq!(faults(text), wanted, "{text}");
    }
}

#[test]
fn all_faults_of_both_files_are_listed_at_once_in_order() {
    let main = "[sip]\nshards = 0\nudpp = 1\n[log]\nlevel = 3\nbroken here\n";
    let trunk = "[[trunk]]\nname = \"\"\ngateways = [\"x\"]\nnumber_format = \"e.164\"\n";
    let faults = from_texts("u.toml", main, "t.toml", trunk).expect_err("both are wrong");
    let places: Vec<_> = faults.0.iter().map(|f| (f.file.as_str(), f.line)).collect();
    let at = |line| Some(line);
    assert_eq!(
        places,
        [
            ("u.toml", at(2)),
            ("u.toml", at(3)),
            ("u.toml", at(5)),
            ("u.toml", at(6)),
            ("t.toml", at(2)),
            ("t.toml", at(2)),
            ("t.toml", at(3)),
            ("t.toml", at(4)),
        ],
        "{faults}"
    );
    assert!(
        faults.to_string().contains("u.toml:6: broken here: not TOML"),
        "{faults}"
    );
}

#[test]
fn a_folder_of_trunk_files_is_read_in_the_order_of_names_and_a_missing_one_is_a_fault() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect(name);
    write("umbra.toml", "trunks = \"trunks.d\"\n");
    let missing = load(&dir.path().join("umbra.toml"))
        .expect_err("there is no trunk file")
        .to_string();
    assert!(
        missing.contains("umbra.toml:1: trunks = \"trunks.d\": there is no ")
            && missing.contains("trunks.d: name the trunk file"),
        "{missing}"
    );
    std::fs::create_dir(dir.path().join("trunks.d")).expect("a folder");
    write(
        "trunks.d/20-b.toml",
        "[[trunk]]\nname = \"b\"\naccept_from = [\"10.0.0.2\"]\n",
    );
    write(
        "trunks.d/10-a.toml",
        "[[trunk]]\nname = \"a\"\naccept_from = [\"10.0.0.1\"]\n",
    );
    write("trunks.d/notes.txt", "not read");
    let conf = load(&dir.path().join("umbra.toml")).expect("both are right");
    let names: Vec<_> = conf.switch.trunks.iter().map(|t| &*t.name).collect();
    assert_eq!(names, ["a", "b"]);
    // Another folder of trunks is taken by a reload.
    let before = Reading::of(&dir.path().join("umbra.toml")).expect("it can be read");
    std::fs::rename(dir.path().join("trunks.d"), dir.path().join("others.d")).expect("moved");
    std::fs::remove_file(dir.path().join("others.d/10-a.toml")).expect("removed");
    write("umbra.toml", "trunks = \"others.d\"\n");
    let after = Reading::of(&dir.path().join("umbra.toml")).expect("it can be read");
    let reload = before.reload(&after).expect("it is right");
    assert_eq!(
        (reload.taken, reload.waiting),
        (vec!["trunk a (gone)".to_owned()], vec![])
    );
    assert!(load(&dir.path().join("none.toml")).is_err());
}

#[test]
fn what_is_allowed_and_probably_not_meant_is_said_with_its_line() {
    let one = |rest: &str| {
        format!(
            "[[trunk]]\nname = \"a\"\naccept_from = [\"10.0.0.1\"]\ngateways = [\"sip:127.0.0.3\"]\n{rest}\n"
        )
    };
    let fine = one("default = true");
    assert_eq!(warnings("", &fine), "");
    for (main, trunks, wanted) in [
        (
            "",
            one(""),
            "t.toml: no trunk is the default: a number that is added without a trunk can't be shown",
        ),
        (
            "",
            "[[trunk]]\nname = \"a\"\ndefault = true\naccept_from = [\"0.0.0.0/0\"]".to_owned(),
            "t.toml:1: [[trunk]]: trunk a has no gateways: no call leaves on it\n\
             t.toml:4: accept_from = [\"0.0.0.0/0\"]: trunk a accepts calls from the whole world: name the carrier's networks, or ask for a password (auth)",
        ),
        (
            "",
            one("default = true\nmay_show = []"),
            "t.toml:6: may_show = []: trunk a lets us show no number: every call through it is refused",
        ),
        (
            "",
            one("default = true\nmay_show = [\"any\", \"86170\", \"8617\", \"0571\"]"),
            "t.toml:6: may_show = [\"any\", \"86170\", \"8617\", \"0571\"]: \"any\" holds the others: leave them out\n\
             t.toml:6: may_show = [\"any\", \"86170\", \"8617\", \"0571\"]: \"8617\" holds \"86170\" already: leave it out\n\
             t.toml:6: may_show = [\"any\", \"86170\", \"8617\", \"0571\"]: no number in E.164 begins with 0: \"0571\" lets us show nothing",
        ),
        (
            "[limits]\ncalls = 100\n[media]\nports = \"20000-20099\"\n[sip]\nshards = 2",
            fine.clone(),
            "u.toml:2: calls = 100: 100 calls on each of 2 shards want 800 media ports, media.ports has 100: calls \
             beyond 25 are refused for want of ports",
        ),
    ] {
        assert_eq!(warnings(main, &trunks), wanted, "{main}{trunks}");
    }
}

#[test]
fn several_media_addresses_are_read_and_trunks_name_them() {
    let main = "[[media.interface]]\nname = \"outside\"\naddress = \"127.0.0.1\"\n\
                [[media.interface]]\nname = \"six\"\naddress = \"::1\"\nadvertise = \"2001:db8::5\"\nports = \"30000-30999\"\n";
    let trunk = "[[trunk]]\nname = \"a\"\naccept_from = [\"127.0.0.0/8\"]\ngateways = [\"sip:127.0.0.3\"]\nmedia = \"six\"\n";
    let conf = from_texts("u.toml", main, "t.toml", trunk).expect("both are right");
    let media = &conf.switch.media;
    let six = &media.interfaces[1];
    assert_eq!((six.port_first, six.port_last), (30_000, 30_999));
    assert_eq!(media.interfaces[0].port_first, 20_000);
    let wanted = conf.switch.trunks[0].media;
    let peer = |text: &str| text.parse().expect("an address");
    let advertised = |id| media.advertised(id).map(|ip| ip.to_string());
    assert_eq!(wanted.and_then(advertised).as_deref(), Some("2001:db8::5"));
    assert_eq!(media.towards(wanted, peer("192.0.2.1")), wanted, "named is named");
    let first_that_fits = media.towards(None, peer("2001:db8::9")).and_then(advertised);
    assert_eq!(first_that_fits.as_deref(), Some("2001:db8::5"));
}

#[test]
fn a_trunk_whose_family_has_no_media_address_is_told_of() {
    let trunk = "[[trunk]]\nname = \"a\"\naccept_from = [\"2001:db8::/32\"]\ngateways = [\"sip:127.0.0.3\"]\ndefault = true\n";
    let warnings = warnings("", trunk);
    assert!(
        warnings.contains("t.toml:2: name = \"a\": trunk a speaks with 2001:db8::, but no media address"),
        "{warnings}"
    );
    assert!(warnings.contains("t.toml:3: accept_from"), "{warnings}");
}

#[test]
fn several_media_addresses_wait_for_a_restart_with_the_trunks_that_name_them() {
    let main = "[[media.interface]]\nname = \"a\"\naddress = \"127.0.0.1\"\n\
                [[media.interface]]\nname = \"b\"\naddress = \"127.0.0.2\"\n[limits]\nring_timeout_s = 30\n";
    let trunks = |media: &str| SHIPPED_TRUNKS.replace("media = \"\"", &format!("media = \"{media}\""));
    let new = |media: &str| Reading::of_texts("conf/umbra.toml", main, "conf/trunks.toml", &trunks(media));
    let old = Reading::shipped();
    let reload = old.reload(&new("b")).expect("it is right");
    // The tables take the place of three keys, which went with this change.
    let media = [
        "media.address",
        "media.advertise",
        "media.interface",
        "media.ports",
    ];
    assert_eq!(reload.waiting[..4], media);
    assert_eq!(reload.waiting[4..], ["trunks"]);
    assert_eq!(reload.taken, ["limits.ring_timeout_s"]);
    assert_eq!(reload.conf.switch.media, Conf::embedded().switch.media);
    assert_eq!(old.reload(&new("")).expect("right").waiting, media);
}

use super::*;
use crate::telemetry::log;

mod reload;
mod secrets;

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
            "[recordings]\ndir = \"/r\"",
            "u.toml:2: dir = \"/r\": recording is not available in this version; leave the key out, or write dir = \"data/recordings\"",
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
fn every_fault_of_a_trunk_file_names_line_text_and_cure() {
    let trunk = |name: &str, rest: &str| {
        format!("[[trunk]]\nname = \"{name}\"\ngateways = [\"sip:127.0.0.3\"]\n{rest}\n")
    };
    for (text, wanted) in [
        (String::new(), "t.toml: no trunk: no call could come or go; write one under a line [[trunk]]"),
        (
            "[trunk]\nname = \"a\"".into(),
            "t.toml:1: [trunk]: write the line [[trunk]], with two brackets on each side",
        ),
        (
            "[[trunk]]\nname = \"a\"".into(),
            "t.toml:2: name = \"a\": the trunk neither takes calls nor makes any: give it accept_from, client_names or gateways",
        ),
        (
            "[[trunk]]\ngateways = [\"sip:127.0.0.3\"]".into(),
            "t.toml:1: [[trunk]]: the trunk has no name: write name = \"carrier\"",
        ),
        (
            trunk("a", "") + &trunk("a", ""),
            "t.toml:6: name = \"a\": another trunk has this name: choose a new one",
        ),
        (
            trunk("a", "default = true") + &trunk("b", "default = true"),
            "t.toml:8: default = true: another trunk is the default already: only one can be",
        ),
        (
            trunk("a", "accept_from = [\"10.0.0.0/8\"]") + &trunk("b", "accept_from = [\"10.0.0.0/8\"]"),
            "t.toml:8: \"10.0.0.0/8\": trunk a accepts the same network: make one prefix longer, so that it is clear whose call it is",
        ),
        (
            trunk("a", "accept_from = [\"10.0.0.1/8\"]"),
            "t.toml:4: \"10.0.0.1/8\": the address has bits beyond the prefix: write \"10.0.0.0/8\" or \"10.0.0.1\"",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:10.0.0.300\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: \"sip:10.0.0.300\": this is no address, and no name ends in a number: write \"sip:127.0.0.3:5060;transport=udp\" or \"sip:sbc.carrier.example\"",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:sbc.example.com;transport=tcp\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: gateways = [\"sip:sbc.example.com;transport=tcp\"]: no address of ours is spoken from as sip:sbc.example.com;transport=tcp wants it: add one to sip.tcp, or change the gateways",
        ),
        (
            "[[trunk]]\nname = \"a\"\naccept_from = [\"gateways\", \"10.0.0.1\"]".into(),
            "t.toml:3: accept_from = [\"gateways\", \"10.0.0.1\"]: the trunk has no gateways that could call: name them, or take \"gateways\" away",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:127.0.0.3:99999\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: \"sip:127.0.0.3:99999\": the port is 1 to 65535: write \"sip:127.0.0.3:5060;transport=udp\" or \"sip:sbc.carrier.example\"",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:10.0.0.1;transport=tls\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: gateways = [\"sip:10.0.0.1;transport=tls\"]: no address of sip.tls reaches 10.0.0.1:5061, which is IPv4: add one, or change the gateways",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sips:10.0.0.1:5063;transport=tcp\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: gateways = [\"sips:10.0.0.1:5063;transport=tcp\"]: no address of sip.tls reaches 10.0.0.1:5063, which is IPv4: add one, or change the gateways",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sips:10.0.0.1;transport=udp\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: \"sips:10.0.0.1;transport=udp\": sips: is spoken over TLS, never over UDP: write \"sip:127.0.0.3:5061;transport=tls\"",
        ),
        (
            trunk("a", "client_names = [\"sbc.example\"]"),
            "t.toml:4: client_names = [\"sbc.example\"]: nobody shows a certificate where we don't listen over TLS: write an address in sip.tls",
        ),
        (
            trunk("a", "tls_name = \"*.example\""),
            "t.toml:4: tls_name = \"*.example\": a star stands for nobody (RFC 5922 §7.2): write the whole name",
        ),
        (
            trunk("a", "tls_cert = \"a.pem\""),
            "t.toml:4: tls_cert = \"a.pem\": a certificate is of no use without its key: write tls_key",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:10.0.0.1;transport=tcp\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: gateways = [\"sip:10.0.0.1;transport=tcp\"]: no address of sip.tcp reaches 10.0.0.1:5060, which is IPv4: add one, or change the gateways",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:2001:db8::3\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: \"sip:2001:db8::3\": write an IPv6 address in brackets: \"sip:[2001:db8::3]:5060\"",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:127.0.0.1:5060\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: \"sip:127.0.0.1:5060\": this is our own address (sip.udp): calls would come back to us",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:[::1]:5070\"]".into(),
            "t.toml:3: gateways = [\"sip:[::1]:5070\"]: no address of sip.udp reaches [::1]:5070, which is IPv6: add one, or change the gateways",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:[::1]:5070\"]\nlisten = \"127.0.0.1:5060\"".into(),
            "t.toml:4: listen = \"127.0.0.1:5060\": this address can't reach sip:[::1]:5070;transport=udp: its family or its transport is another",
        ),
        (
            trunk("a", "listen = \"127.0.0.9:5060\""),
            "t.toml:4: listen = \"127.0.0.9:5060\": write one of our addresses, as sip.udp, sip.tcp or sip.tls has it (\"127.0.0.1:5060\"), or nothing",
        ),
        (
            trunk("a", "media = \"outside\""),
            "t.toml:4: media = \"outside\": write the name of one of our media addresses (\"default\"), or nothing",
        ),
        (trunk("a", "caller_id = [\"paii\"]"), "t.toml:4: \"paii\": write \"pai\" or \"from\""),
        (
            trunk("a", "dialled_from = []"),
            "t.toml:4: dialled_from = []: the list is empty: write \"ruri\", \"to\", \"p-called-party-id\" or \"diversion\"",
        ),
        (
            trunk("a", "may_show = [\"+86170\"]"),
            "t.toml:4: \"+86170\": write \"own\", \"any\", or the first digits in E.164 without sign (\"86170\")",
        ),
        (
            trunk("a", "rules_in = [{ match = '^(0', replace = '' }]\nrules_out = [{ match = '^(0)', replace = '$2' }]"),
            "t.toml:4: match = '^(0': no regular expression: unclosed group\n\
             t.toml:5: replace = '$2': the expression has no group 2: count its brackets, or write ${1} where a digit or letter follows",
        ),
        (
            trunk("a", "rules_in = [\"^0\"]\nrules_out = \"^0\""),
            "t.toml:4: \"^0\": write rules as { match = '^00(\\d+)$', replace = '+$1' }\n\
             t.toml:5: rules_out = \"^0\": write a list of rules, in brackets: rules_out = [{ match = '…', replace = '…' }]",
        ),
        (
            trunk("a", "rules_in = [{ match = '^0', of = \"called\" }]"),
            "t.toml:4: of = \"called\": write \"both\", \"dialled\" or \"caller\"\n\
             t.toml:4: { match = '^0', of = \"called\" }: a rule has match and replace, and may say of = \"both\", \"dialled\" or \"caller\"",
        ),
        (
            trunk("a", "codecs = [\"pcma\", \"PCMA\", \"telephone-event\"]"),
            "t.toml:4: \"PCMA\": named twice: take one away\n\
             t.toml:4: \"telephone-event\": write PCMA, PCMU, G722, G729, opus, AMR, AMR-WB; telephone-event and comfort noise pass in any case",
        ),
        (
            trunk("a", "from_user = \"alice\"\nfrom_domain = \"sip:x\"\nprivacy = [\"none\"]"),
            "t.toml:4: from_user = \"alice\": From holds the shown number: write show_in = \"pai\", or leave this out\n\
             t.toml:5: from_domain = \"sip:x\": write a host as the carrier wants to see it: \"sip.example.net\", or nothing\n\
             t.toml:6: \"none\": write \"id\", \"user\", \"header\", \"session\", \"critical\"",
        ),
        (trunk("a", "prefix_out = \"+9\""), "t.toml:4: prefix_out = \"+9\": write 1 to 8 digits (\"9\"), or nothing"),
        (trunk("a", "default = \"yes\""), "t.toml:4: default = \"yes\": write true or false, without quotes"),
        (
            trunk("a", "media_from = [\"1.0.0.0/8\", \"2.0.0.0/8\", \"3.0.0.0/8\", \"4.0.0.0/8\", \"5.0.0.0/8\"]"),
            "t.toml:4: media_from = [\"1.0.0.0/8\", \"2.0.0.0/8\", \"3.0.0.0/8\", \"4.0.0.0/8\", \"5.0.0.0/8\"]: at most 4 networks: join some",
        ),
    ] {
        assert_eq!(trunk_faults(&text), wanted, "{text}");
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

#[test]
fn gateways_and_routes_are_read_in_order_and_weight() {
    let trunks = "[[route]]\ncallee = \"852*\"\ntrunks = [{ name = \"b\", weight = 3 }, { name = \"a\", priority = 1 }]\n\
        [[trunk]]\nname = \"a\"\ndefault = true\ngateways = [\"sip:127.0.0.3\", { uri = \"sip:127.0.0.4\", weight = 5 }, \
        { uri = \"sip:127.0.0.5\", priority = 2 }, \"sip:127.0.0.6\"]\nprobe = {}\n\
        [[trunk]]\nname = \"b\"\ngateways = [\"sip:127.0.0.7\"]\n\
        [[route]]\nshown = \"17000000001\"\naccount = \"gold\"\ntrunks = [\"a\", \"b\"]\n";
    let conf = from_texts("u.toml", "", "t.toml", trunks).unwrap_or_else(|faults| panic!("{faults}"));
    let ranks = |trunk: usize| -> Vec<(u16, u16)> {
        let gateways = conf.switch.trunks[trunk].gateways.iter();
        gateways.map(|g| (g.rank.priority, g.rank.weight)).collect()
    };
    assert_eq!(ranks(0), [(1, 1), (2, 5), (2, 1), (3, 1)]);
    assert_eq!(conf.switch.trunks[0].probe.every, Some(Duration::from_secs(30)));
    assert_eq!(conf.switch.trunks[1].probe.every, None);
    let routes: Vec<Vec<(u16, u16, usize)>> = conf
        .switch
        .routes
        .iter()
        .map(|route| {
            let trunks = route.trunks.iter();
            trunks
                .map(|(rank, at)| (rank.priority, rank.weight, *at))
                .collect()
        })
        .collect();
    assert_eq!(routes, [vec![(1, 3, 1), (1, 1, 0)], vec![(1, 1, 0), (2, 1, 1)]]);
}

#[test]
fn faults_of_routes_and_ranks_name_their_lines() {
    let start = "[[trunk]]\nname = \"a\"\ndefault = true\ngateways = [\"sip:127.0.0.3\"]\n\
        [[trunk]]\nname = \"in\"\naccept_from = [\"127.0.0.0/8\"]\n";
    for (text, wanted) in [
        (
            "[[route]]\ncallee = \"852*\"\ntrunks = [\"a\"]\n[[route]]\ncallee = \"+852*\"\ntrunks = [\"a\"]\n",
            "t.toml:11: [[route]]: the route at t.toml:8 is for the same calls: join their trunks in one of them",
        ),
        (
            "[[route]]\ncallee = \"852\"\n",
            "t.toml:8: [[route]]: the route leads nowhere: write trunks = [\"carrier\"]",
        ),
        (
            "[[route]]\ntrunks = [\"c\"]\n",
            "t.toml:9: \"c\": no trunk has this name",
        ),
        (
            "[[route]]\ntrunks = [\"in\"]\n",
            "t.toml:9: \"in\": this trunk has no gateways: no call leaves on it",
        ),
        (
            "[[route]]\ntrunks = [\"a\", \"a\"]\n",
            "t.toml:9: \"a\": the trunk is named twice: take one away",
        ),
        (
            "[[route]]\ncallee = \"0139*\"\ntrunks = [\"a\"]\n",
            "t.toml:9: callee = \"0139*\": no number in E.164 begins with 0: write the country's code first (\"86170*\")",
        ),
        (
            "[[route]]\ntrunk = [\"a\"]\ntrunks = [\"a\"]\n",
            "t.toml:9: trunk = [\"a\"]: no such key in [[route]]; did you mean trunks?",
        ),
        (
            "[[trunk]]\nname = \"b\"\ngateways = [{ uri = \"sip:127.0.0.4\", priority = 2 }, { uri = \"sip:127.0.0.5\", priority = 1 }]\n",
            "t.toml:10: priority = 1: write them in the order of their priorities: 2 stands before it",
        ),
        (
            "[[trunk]]\nname = \"b\"\ngateways = [{ weight = 2 }]\n",
            "t.toml:10: { weight = 2 }: it has no uri: write { uri = \"…\" }",
        ),
        (
            "[[trunk]]\nname = \"b\"\ngateways = [\"sip:127.0.0.4\"]\nprobe = { every_s = 2, timeout_s = 3 }\n",
            "t.toml:11: every_s = 2: one probe would begin before the last one is over: write 3 or more",
        ),
    ] {
        let faults = from_texts("u.toml", "", "t.toml", &format!("{start}{text}")).expect_err(text);
        let lines: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        assert!(lines.contains(&wanted.to_owned()), "{lines:#?}");
    }
}

#[test]
fn an_address_of_a_gateway_is_its_trunks_unless_another_names_it() {
    use crate::call::targets::{Place, Resolved, Server};
    use crate::call::trunk::of_source;
    use crate::sip::path::Transport;

    let gateways = "gateways = [\"sip:sbc.example.com\", \"sip:10.0.0.9\"]";
    let trunks = format!(
        "[[trunk]]\nname = \"wide\"\naccept_from = [\"10.0.0.0/8\"]\n\
         [[trunk]]\nname = \"named\"\naccept_from = [\"gateways\"]\n{gateways}\n\
         [[trunk]]\nname = \"same\"\naccept_from = [\"10.0.0.3\", \"gateways\"]\n{gateways}\n\
         [[trunk]]\nname = \"deaf\"\n{gateways}\n"
    );
    let trunks = from_texts("u.toml", SHIPPED, "t.toml", &trunks)
        .expect("it is right")
        .switch
        .trunks;
    let Place::Named(name) = &trunks[1].gateways[0].place else {
        panic!("it is a name");
    };
    let server = Server {
        tier: 0,
        weight: 0,
        transport: Transport::Udp,
        addresses: vec![([10, 0, 0, 2], 5_070).into(), ([10, 0, 0, 3], 5_060).into()],
    };
    let resolved = Resolved::new([(name.clone(), vec![server])]);
    let of = |resolved: &Resolved, source: [u8; 4]| {
        of_source(&trunks, resolved, source.into()).map(|trunk| trunk.name.to_string())
    };
    assert_eq!(of(&resolved, [10, 0, 0, 1]).as_deref(), Some("wide"));
    assert_eq!(
        of(&resolved, [10, 0, 0, 2]).as_deref(),
        Some("named"),
        "the first of two"
    );
    assert_eq!(
        of(&resolved, [10, 0, 0, 3]).as_deref(),
        Some("same"),
        "it says so itself"
    );
    assert_eq!(of(&resolved, [10, 0, 0, 9]).as_deref(), Some("named"));
    assert_eq!(of(&Resolved::default(), [10, 0, 0, 2]).as_deref(), Some("wide"));
    assert_eq!(of(&resolved, [192, 0, 2, 1]), None);
}

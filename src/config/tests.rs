use super::*;

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
    assert_eq!(Conf::embedded().check(), Vec::<String>::new());
}

#[test]
fn the_shipped_files_name_every_key() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/umbra.toml");
    assert_eq!(load(&dir), Ok(Conf::embedded()));
    for key in ["strip", "media", "media_nat", "media_from", "may_show", "listen"] {
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
            "u.toml:2: zzz = 1: no such key in [sip]; it has udp, tcp, tls, advertise, shards, t1_ms, strangers",
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
            "[sip]\ntcp = [\"127.0.0.1:5060\"]",
            "u.toml:2: tcp = [\"127.0.0.1:5060\"]: SIP over TCP is not available in this version; leave the key out, or write tcp = []",
        ),
        (
            "[sip]\nudp = [\"[::1]:5060\"]",
            "u.toml:2: \"[::1]:5060\": IPv6 is not available in this version; write an IPv4 address",
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
            "t.toml:2: name = \"a\": the trunk neither takes calls nor makes any: give it accept_from, gateways or both",
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
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:sbc.example.com\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: \"sip:sbc.example.com\": names are looked up in a later version; here a gateway is an IP address: write \"sip:127.0.0.3:5060;transport=udp\"",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:127.0.0.3:99999\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: \"sip:127.0.0.3:99999\": the port is 1 to 65535: write \"sip:127.0.0.3:5060;transport=udp\"",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:10.0.0.1;transport=tcp\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: \"sip:10.0.0.1;transport=tcp\": SIP over TCP and TLS is not available in this version; write transport=udp",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:127.0.0.1:5060\"]\naccept_from = [\"10.0.0.1\"]".into(),
            "t.toml:3: \"sip:127.0.0.1:5060\": this is our own address (sip.udp): calls would come back to us",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:[::1]:5070\"]".into(),
            "t.toml:3: gateways = [\"sip:[::1]:5070\"]: no address of sip.udp is of the gateways' family: add one, or change the gateways",
        ),
        (
            "[[trunk]]\nname = \"a\"\ngateways = [\"sip:[::1]:5070\"]\nlisten = \"127.0.0.1:5060\"".into(),
            "t.toml:4: listen = \"127.0.0.1:5060\": this address can't reach all the gateways: one is IPv4 and the other IPv6",
        ),
        (
            trunk("a", "listen = \"127.0.0.9:5060\""),
            "t.toml:4: listen = \"127.0.0.9:5060\": write one of our addresses, as sip.udp has it (\"127.0.0.1:5060\"), or nothing",
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
        missing.contains("umbra.toml: there is no ") && missing.contains("trunks.d: `trunks` names"),
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
    assert_eq!(conf.check().len(), 3, "{:?}", conf.check());
    assert!(load(&dir.path().join("none.toml")).is_err());
}

#[test]
fn a_reload_takes_what_it_may_and_names_what_waits() {
    let old = Conf::embedded();
    let mut new = old.clone();
    new.switch.calls_max = 7;
    new.log.level = log::Level::Debug;
    new.switch.trunks[0].name = "other".into();
    assert_eq!(old.reload(new.clone()), (new.clone(), vec![]));

    let wanted = new.clone();
    new.shards = 3;
    new.store = "elsewhere".into();
    assert_eq!(
        old.reload(new.clone()),
        (wanted, vec!["sip.shards", "store.path"])
    );

    new.switch.listeners[0].address.set_port(5_070);
    let (taken, waiting) = old.reload(new);
    assert_eq!(
        taken.switch.trunks, old.switch.trunks,
        "trunks are joined to listeners"
    );
    assert_eq!(
        waiting,
        ["sip.shards", "store.path", "sip.udp or advertise", "trunks"]
    );
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
    let conf = from_texts("u.toml", "", "t.toml", trunk).expect("allowed");
    let warnings = conf.check();
    assert!(
        warnings
            .iter()
            .any(|w| w.contains("2001:db8:: ") || w.contains("2001:db8::, but no media")),
        "{warnings:?}"
    );
}

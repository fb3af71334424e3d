//! Trunk files: their faults, gateways and routes.

use super::*;

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
            trunk("a", "srtp = \"required\""),
            "t.toml:4: srtp = \"required\": SRTP's keys stand in SDP, which everybody on the way to sip:127.0.0.3:5060;transport=udp could read: speak TLS with it (;transport=tls), or, if something else keeps that way secret (a VPN, IPsec), write srtp_keys_in_clear = true",
        ),
        (
            "[[trunk]]\nname = \"a\"\naccept_from = [\"10.0.0.1\"]\nsrtp = \"optional\"".into(),
            "t.toml:4: srtp = \"optional\": SRTP's keys stand in SDP, which everybody on its way could read, and no call can come to us over TLS: give sip.tls an address, or, if something else keeps that way secret (a VPN, IPsec), write srtp_keys_in_clear = true",
        ),
        (
            trunk("a", "srtp_suites = [\"AES_CM_128_HMAC_SHA1_32\"]"),
            "t.toml:4: write AES_CM_128_HMAC_SHA1_80 or AEAD_AES_256_GCM",
        ),
        (
            trunk("a", "srtp_suites = []"),
            "t.toml:4: srtp_suites = []: the list is empty: name one, or write srtp = \"off\"",
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
        (
            trunk("a", "number_format = \"plus\"\nprefix_out = \"9\""),
            "t.toml:5: prefix_out = \"9\": nothing can stand before the sign of number_format = \"plus\": write number_format = \"e164\", or take the prefix away",
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

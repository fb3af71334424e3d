use super::*;
use crate::sip::header::Name;
use crate::sip::path::{FlowHint, ListenerId, Party, Transport};

fn came() -> Path {
    Path {
        flow: Some(FlowHint(1)),
        party: None,
        ..Path::udp(ListenerId(3), "192.0.2.7:5062".parse().unwrap())
    }
}

fn invite(contact: &str, record_routes: &str) -> String {
    format!(
        "INVITE sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa\r\n{record_routes}\
         From: \"A; <1>\" <sip:a@h;x=1>;isup-oli=0;tag=theirs\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: cid\r\n\
         CSeq: 40 INVITE\r\n{contact}Content-Length: 0\r\n\r\n"
    )
}

const CONTACT: &str = "Contact: <sip:a@192.0.2.9:5070?Subject=x>;expires=5\r\n";
const ROUTES: &str =
    "Record-Route: <sip:10.0.0.1;lr>, <sip:10.0.0.2;lr>\r\nRecord-Route: <sip:p3.example;lr>;x=y\r\n";

fn callee(text: &str) -> Option<Dialog> {
    Dialog::uas(&Message::parse(text.as_bytes()).unwrap(), b"ours", came()).ok()
}

fn answer(status: u16, to_tag: &str, rest: &str) -> String {
    format!(
        "SIP/2.0 {status} x\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:x@192.0.2.1>;tag=ours\r\n\
         To: <sip:b@h>{to_tag}\r\nCall-ID: cid\r\nCSeq: 8 INVITE\r\n{rest}Content-Length: 0\r\n\r\n"
    )
}

fn caller(text: &str) -> Option<Dialog> {
    let local = LocalParty {
        call_id: b"cid",
        local_tag: b"ours",
        local: b"<sip:x@192.0.2.1>",
        remote: b"<sip:b@h>",
        cseq: 8,
        request_uri: b"sip:b@gw.example",
    };
    Dialog::uac(&local, &Message::parse(text.as_bytes()).unwrap(), came())
}

/// The start line and the Route values of a BYE in the dialog.
fn bye(dialog: &Dialog) -> (String, Vec<String>) {
    let bytes = dialog.request(
        Method::Bye,
        41,
        b"z9hG4bKbye",
        (Transport::Udp, "192.0.2.1:5060".parse().unwrap()),
        None,
        &[],
        None,
        70,
    );
    let read = Message::parse(&bytes).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        text(read.request_uri()),
        read.values(Name::Route).map(text).collect(),
    )
}

fn remote(dialog: &Dialog) -> String {
    dialog.next_hop().remote.to_string()
}

#[test]
fn a_callee_s_request_goes_to_the_contact_by_the_record_route_in_order() {
    let mut dialog = callee(&invite(CONTACT, ROUTES)).unwrap();
    let cseq = dialog.next_cseq();
    let bytes = dialog.request(
        Method::Bye,
        cseq,
        b"z9hG4bKbye",
        (Transport::Udp, "192.0.2.1:5060".parse().unwrap()),
        Some(b"<sip:192.0.2.1>"),
        &[("Reason", "Q.850;cause=16")],
        None,
        70,
    );
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "BYE sip:a@192.0.2.9:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKbye;rport\r\n\
         Max-Forwards: 70\r\nRoute: <sip:10.0.0.1;lr>\r\nRoute: <sip:10.0.0.2;lr>\r\n\
         Route: <sip:p3.example;lr>;x=y\r\nFrom: <sip:x@192.0.2.1>;tag=ours\r\n\
         To: \"A; <1>\" <sip:a@h;x=1>;tag=theirs\r\nCall-ID: cid\r\nCSeq: 1 BYE\r\nContact: <sip:192.0.2.1>\r\n\
         Reason: Q.850;cause=16\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(remote(&dialog), "10.0.0.1:5060");
    assert_eq!(dialog.next_cseq(), 2);
}

#[test]
fn a_caller_s_request_goes_by_the_record_route_backwards_and_counts_from_the_invite() {
    let mut dialog = caller(&answer(180, ";tag=theirs", &format!("{CONTACT}{ROUTES}"))).unwrap();
    let (uri, routes) = bye(&dialog);
    assert_eq!(uri, "sip:a@192.0.2.9:5070");
    assert_eq!(
        routes,
        [
            "<sip:p3.example;lr>;x=y",
            "<sip:10.0.0.2;lr>",
            "<sip:10.0.0.1;lr>"
        ]
    );
    // A host name is not looked up.
    assert_eq!(dialog.next_hop(), came());
    assert_eq!(dialog.next_cseq(), 9);
}

#[test]
fn more_than_can_be_kept_makes_no_dialog() {
    let long = format!(
        "{CONTACT}Record-Route: <sip:h;lr;x={}>\r\n",
        "a".repeat(SIP_ROUTE_BYTES_MAX)
    );
    assert!(caller(&answer(200, ";tag=theirs", &long)).is_none());
    let many = format!(
        "{CONTACT}{}",
        "Record-Route: <sip:h;lr>\r\n".repeat(SIP_ROUTES_MAX + 1)
    );
    assert!(caller(&answer(200, ";tag=theirs", &many)).is_none());
}

#[test]
fn an_unwanted_answer_gives_enough_to_hang_up_on_it() {
    let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nFrom: <sip:x@h>;tag=ours\r\n\
                To: <sip:b@h>;tag=theirs\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:b@127.0.0.9:5070>\r\n\
                Record-Route: nonsense\r\nContent-Length: 0\r\n\r\n";
    let response = Message::parse(text.as_bytes()).expect("readable");
    let path = Path::udp(
        crate::sip::path::ListenerId(0),
        "127.0.0.3:5060".parse().expect("an address"),
    );
    let mut dialog = Dialog::unwanted(&response, path, response.cseq().number).expect("a dialog");
    assert_eq!(
        (dialog.local_tag(), dialog.remote_tag()),
        (&b"ours"[..], &b"theirs"[..])
    );
    assert_eq!(dialog.next_cseq(), 2);
}

#[test]
fn an_unwanted_answer_is_ended_by_the_routes_that_can_be_read() {
    let routes = "Record-Route: <sip:10.0.0.2;lr>\r\nRecord-Route: nonsense, <sip:10.0.0.1;lr>\r\n";
    let text = answer(200, ";tag=theirs", &format!("{CONTACT}{routes}"));
    let dialog = Dialog::unwanted(&Message::parse(text.as_bytes()).unwrap(), came(), 1).unwrap();
    assert_eq!(bye(&dialog).1, ["<sip:10.0.0.1;lr>", "<sip:10.0.0.2;lr>"]);
}

#[test]
fn a_strict_router_gets_the_request_uri_and_the_target_goes_last() {
    let routes = "Record-Route: <sip:10.0.0.1:5071?x=y>, <sip:10.0.0.2;lr>\r\n";
    let dialog = callee(&invite(CONTACT, routes)).unwrap();
    let (uri, routes) = bye(&dialog);
    assert_eq!(uri, "sip:10.0.0.1:5071");
    assert_eq!(routes, ["<sip:10.0.0.2;lr>", "<sip:a@192.0.2.9:5070>"]);
    assert_eq!(remote(&dialog), "10.0.0.1:5071");
}

#[test]
fn a_contact_is_a_sip_uri_of_bounded_length_with_or_without_a_user() {
    let bare = callee(&invite("Contact: sip:192.0.2.9\r\n", "")).unwrap();
    assert_eq!(
        (bare.target(), remote(&bare)),
        (&b"sip:192.0.2.9"[..], "192.0.2.9:5060".into())
    );
    let long = format!("Contact: <sip:{}@h>\r\n", "a".repeat(SIP_ROUTE_BYTES_MAX));
    let routes = |length| format!("Record-Route: <sip:h;lr;x={}>\r\n", "a".repeat(length));
    assert!(callee(&invite(CONTACT, &routes(SIP_ROUTE_BYTES_MAX - 200))).is_some());
    let routes = routes(SIP_ROUTE_BYTES_MAX - 50);
    for (contact, routes) in [
        ("", ""),
        ("Contact: *\r\n", ""),
        ("Contact: <im:a@h>\r\n", ""),
        ("Contact: <sip:a@[::1>\r\n", ""),
        ("Contact: <sip:a@h:0?x=y>\r\n", ""),
        (&*long, ""),
        (CONTACT, &*routes),
        (CONTACT, "Record-Route: nonsense\r\n"),
    ] {
        let text = invite(contact, routes);
        assert!(callee(&text).is_none(), "{:.200}", text);
    }
    // A callee that tells no usable Contact is found where it was called.
    for contact in ["", "Contact: *\r\n"] {
        let dialog = caller(&answer(200, ";tag=theirs", contact)).unwrap();
        assert_eq!(
            (dialog.target(), dialog.next_hop()),
            (&b"sip:b@gw.example"[..], came())
        );
    }
}

#[test]
fn only_an_answer_with_a_tag_or_a_2xx_makes_a_dialog() {
    for (status, tag, made) in [
        (100, ";tag=t", false),
        (180, "", false),
        (183, ";tag=t", true),
        (200, "", true),
        (486, ";tag=t", false),
    ] {
        assert_eq!(
            caller(&answer(status, tag, CONTACT)).is_some(),
            made,
            "{status}{tag}"
        );
    }
    let old = caller(&answer(200, "", CONTACT)).unwrap();
    assert_eq!(old.remote_tag(), b"");
}

#[test]
fn a_request_and_an_answer_find_their_dialog() {
    let dialog = callee(&invite(CONTACT, "")).unwrap();
    let in_dialog = invite("", "").replace("To: <sip:x@192.0.2.1>", "To: <sip:x@192.0.2.1>;tag=ours");
    let id = |text: &str| Dialog::id_of(&Message::parse(text.as_bytes()).unwrap());
    assert_eq!(id(&in_dialog), Some(dialog.id()));
    assert_eq!(id(&invite("", "")), None);
    for (old, new) in [
        ("tag=ours", "tag=ourst"),
        ("tag=theirs", "tag=heirs"),
        (": cid", ": cid2"),
    ] {
        assert_ne!(id(&in_dialog.replace(old, new)), Some(dialog.id()));
    }
    // The parts are told apart even if they make one text.
    let shifted = in_dialog
        .replace("tag=ours", "tag=our")
        .replace("tag=theirs", "tag=stheirs");
    assert_ne!(id(&shifted), Some(dialog.id()));
    let ours = caller(&answer(200, ";tag=theirs", CONTACT)).unwrap();
    assert_eq!(id(&answer(200, ";tag=theirs", "")), Some(ours.id()));
    let name = ours.id();
    assert_eq!(
        (name.call_id(), name.local_tag(), name.remote_tag()),
        (&b"cid"[..], &b"ours"[..], &b"theirs"[..])
    );
}

#[test]
fn a_lower_cseq_is_stale() {
    let mut dialog = callee(&invite(CONTACT, "")).unwrap();
    let judged = [39, 40, 45, 44, 45, 46].map(|cseq| dialog.accept(cseq));
    use Sequence::{InOrder, Stale};
    assert_eq!(judged, [Stale, InOrder, InOrder, Stale, InOrder, InOrder]);
    let mut first = caller(&answer(200, ";tag=t", CONTACT)).unwrap();
    assert_eq!([0, 7].map(|cseq| first.accept(cseq)), [InOrder, InOrder]);
}

#[test]
fn the_target_follows_the_contact_and_the_route_set_stays() {
    let mut dialog = callee(&invite(CONTACT, ROUTES)).unwrap();
    let (_, routes) = bye(&dialog);
    let refresh = |dialog: &mut Dialog, contact: &str| {
        let text = invite(contact, "Record-Route: <sip:10.9.9.9;lr>\r\n");
        dialog.refresh_target(&Message::parse(text.as_bytes()).unwrap());
    };
    refresh(&mut dialog, "Contact: <sip:192.0.2.44>\r\n");
    assert_eq!(bye(&dialog), ("sip:192.0.2.44".into(), routes.clone()));
    let long = format!("Contact: <sip:{}@h>\r\n", "a".repeat(SIP_ROUTE_BYTES_MAX - 20));
    for unusable in ["", "Contact: <mailto:a@h>\r\n", &long] {
        refresh(&mut dialog, unusable);
        assert_eq!(bye(&dialog), ("sip:192.0.2.44".into(), routes.clone()));
    }
}

#[test]
fn the_next_hop_is_the_address_that_the_uri_names_by_its_transport_or_the_dialog_s() {
    let hop = |uri: &str| {
        callee(&invite(&format!("Contact: <{uri}>\r\n"), ""))
            .unwrap()
            .next_hop()
    };
    let to = |transport, remote: &str| Path {
        listener: ListenerId(3),
        transport,
        remote: remote.parse().unwrap(),
        flow: None,
        party: None,
    };
    assert_eq!(hop("sip:a@192.0.2.9"), to(Transport::Udp, "192.0.2.9:5060"));
    assert_eq!(
        hop("sip:a@[2001:db8::9]:5080"),
        to(Transport::Udp, "[2001:db8::9]:5080")
    );
    assert_eq!(
        hop("sip:a@192.0.2.9;transport=tcp"),
        to(Transport::Tcp, "192.0.2.9:5060")
    );
    assert_eq!(
        hop("sip:a@pbx.example:5080;maddr=192.0.2.8"),
        to(Transport::Udp, "192.0.2.8:5080")
    );
    // The way it came keeps its flow.
    assert_eq!(hop("sip:a@192.0.2.7:5062"), came());
    for nowhere in [
        "sip:a@pbx.example:5090",
        "sip:a@192.0.2.9;maddr=pbx.example",
        "sip:a@192.0.2.9:0",
        "sip:a@192.0.2.9;transport=sctp",
        "tel:+8613800000001",
    ] {
        assert_eq!(hop(nowhere), came(), "{nowhere}");
    }
    for secure in ["sip:a@192.0.2.9:5061;transport=tls", "sips:a@192.0.2.9"] {
        assert_eq!(hop(secure), to(Transport::Tls, "192.0.2.9:5061"), "{secure}");
    }
}

#[test]
fn a_dialog_over_tls_never_leaves_it() {
    let came = Path {
        transport: Transport::Tls,
        party: Some(Party::named("carrier")),
        ..came()
    };
    let hop = |uri: &str| {
        let text = invite(&format!("Contact: <{uri}>\r\n"), "");
        let message = Message::parse(text.as_bytes()).unwrap();
        Dialog::uas(&message, b"ours", came).unwrap().next_hop()
    };
    for open in ["sip:a@192.0.2.9;transport=udp", "sip:a@192.0.2.9;transport=tcp"] {
        assert_eq!(hop(open), came, "{open}");
    }
    for same in [
        "sip:a@192.0.2.9",
        "sip:a@192.0.2.9;transport=tls",
        "sips:a@192.0.2.9",
    ] {
        let there = Path {
            remote: "192.0.2.9:5061".parse().unwrap(),
            flow: None,
            ..came
        };
        assert_eq!(hop(same), there, "{same}");
    }
}

#[test]
fn a_2xx_confirms_an_early_dialog_with_its_own_contact_and_routes() {
    let routed = |contact: &str, routes: &str| answer(200, ";tag=theirs", &format!("{contact}{routes}"));
    let swapped =
        "Record-Route: <sip:10.0.0.2;lr>, <sip:10.0.0.1;lr>\r\nRecord-Route: <sip:p3.example;lr>;x=y\r\n";
    let (here, moved) = (
        "Contact: <sip:a@192.0.2.9:5070>\r\n",
        "Contact: <sip:a@192.0.2.10>\r\n",
    );
    let early = caller(&answer(180, ";tag=theirs", &format!("{CONTACT}{ROUTES}"))).unwrap();
    let confirmed = |text: &str| {
        let mut dialog = early.clone();
        dialog.confirm(&Message::parse(text.as_bytes()).unwrap()).unwrap();
        bye(&dialog)
    };
    let (target, routes) = bye(&early);

    for same in [
        routed(CONTACT, ROUTES),
        routed(here, ROUTES),
        routed("", ROUTES),
        routed("Contact: <mailto:a@h>\r\n", ROUTES),
    ] {
        assert_eq!(confirmed(&same), (target.clone(), routes.clone()), "{same}");
    }
    assert_eq!(
        confirmed(&routed(moved, ROUTES)),
        ("sip:a@192.0.2.10".to_owned(), routes.clone())
    );
    assert_eq!(
        confirmed(&routed(here, swapped)),
        (
            target.clone(),
            [
                "<sip:p3.example;lr>;x=y",
                "<sip:10.0.0.1;lr>",
                "<sip:10.0.0.2;lr>"
            ]
            .map(String::from)
            .to_vec()
        )
    );
    assert_eq!(confirmed(&routed(here, "")), (target, vec![]));

    let mut dialog = early.clone();
    let broken = routed(here, "Record-Route: nonsense\r\n");
    assert!(
        dialog
            .confirm(&Message::parse(broken.as_bytes()).unwrap())
            .is_none()
    );
    assert_eq!(bye(&dialog), bye(&early));
}

#[test]
fn a_record_route_without_brackets_is_a_route_with_them() {
    let dialog = callee(&invite(
        CONTACT,
        "Record-Route: sip:10.0.0.1;lr , sip:10.0.0.2\r\n",
    ))
    .unwrap();
    let (uri, routes) = bye(&dialog);
    assert_eq!(uri, "sip:a@192.0.2.9:5070");
    assert_eq!(routes, ["<sip:10.0.0.1;lr>", "<sip:10.0.0.2>"]);
}

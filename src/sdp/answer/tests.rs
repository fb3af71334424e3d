use super::*;
use crate::sdp::build;
use crate::sdp::media::Origin;
use crate::sdp::parse::parse;

fn session(lines: &[&str]) -> Session {
    let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
    let text = format!("{head}{}\r\n", lines.join("\r\n"));
    parse(text.as_bytes()).expect("the test's own text")
}

fn offer(lines: &[&str]) -> Offer {
    Offer::read(&session(lines), &CodecName::ALL, &Protection::OFF, None).expect("a usable offer")
}

fn written(lines: &Lines, terms: &Terms) -> String {
    let here = "198.51.100.9:20000".parse().expect("an address");
    String::from_utf8(build::write(
        Origin { id: 7, version: 1 },
        here,
        lines,
        terms,
        &Line::PLAIN,
    ))
    .expect("UTF-8")
}

fn body(text: &str) -> Vec<&str> {
    text.split("\r\n")
        .skip_while(|line| !line.starts_with("m="))
        .filter(|line| !line.is_empty())
        .collect()
}

fn numbers(codecs: &[Codec]) -> Vec<u8> {
    codecs.iter().map(|codec| codec.payload).collect()
}

const A: [&str; 5] = [
    "m=audio 4000 RTP/AVP 8 0 96 101",
    "a=rtpmap:96 opus/48000/2",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=ptime:20",
];

/// A's offer and B's answer, settled on both legs.
fn settled(a: &[&str], b: &[&str]) -> (Agreed, Agreed) {
    let offer = offer(a);
    let far = offer
        .onward(None)
        .check(&Lines::one(), &Line::PLAIN, Mode::Off, &session(b))
        .expect("an answer");
    let (_, near) = offer.answer(&far, None).expect("codecs in common");
    (near, far)
}

#[test]
fn the_answer_to_the_caller_is_what_the_callee_agreed_to_in_the_callers_numbers() {
    let offer = offer(&A);
    let terms = offer.onward(None);
    assert_eq!(numbers(&terms.codecs), [8, 0, 96, 101]);
    let answer = session(&[
        "m=audio 5000 RTP/AVP 0 99",
        "a=rtpmap:99 telephone-event/8000",
        "a=fmtp:99 0-11",
        "a=ptime:30",
    ]);
    let far = terms
        .check(&Lines::one(), &Line::PLAIN, Mode::Off, &answer)
        .expect("codecs in common");
    let (answer, near) = offer.answer(&far, None).expect("codecs in common");
    assert_eq!(
        body(&written(&offer.lines, &answer)),
        [
            "m=audio 20000 RTP/AVP 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-11",
            "a=ptime:30",
            "a=sendrecv"
        ]
    );
    let map = |rows: Vec<Row>| -> Vec<(u8, Option<u8>)> {
        rows.iter().map(|row| (row.number, row.other)).collect()
    };
    assert_eq!(map(rows(&near, Some(&far))), [(0, Some(0)), (101, Some(99))]);
    // B may send events by our number or by its own.
    assert_eq!(
        map(rows(&far, Some(&near))),
        [(0, Some(0)), (99, Some(101)), (101, Some(101))]
    );
    assert_eq!(far.audio(), Some(CodecName::Pcmu));
}

#[test]
fn lines_that_we_do_not_carry_are_refused_in_place() {
    let offer = offer(&[
        "m=video 6000 RTP/AVP 31",
        "m=audio 4002 RTP/SAVP 8",
        "m=audio 4000 RTP/AVP 8",
        "m=audio 4004 RTP/AVP 0",
        "m=image 6002 udptl t38",
    ]);
    let far = Terms::list(&CodecName::DEFAULT)
        .check(
            &Lines::one(),
            &Line::PLAIN,
            Mode::Off,
            &session(&["m=audio 5000 RTP/AVP 8"]),
        )
        .expect("an answer");
    let (answer, _) = offer.answer(&far, None).expect("codecs in common");
    assert_eq!(
        body(&written(&offer.lines, &answer)),
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 0 RTP/SAVP 8",
            "m=audio 20000 RTP/AVP 8",
            "a=rtpmap:8 PCMA/8000",
            "a=sendrecv",
            "m=audio 0 RTP/AVP 0",
            "m=image 0 udptl t38"
        ]
    );
}

#[test]
fn an_answer_that_agrees_to_nothing_offered_is_a_mismatch() {
    let terms = offer(&A).onward(None);
    let check = |lines: &[&str]| {
        terms
            .check(&Lines::one(), &Line::PLAIN, Mode::Off, &session(lines))
            .map(|_| ())
    };
    assert_eq!(check(&["m=audio 5000 RTP/AVP 18"]), Err(Mismatch::NoCodec));
    assert_eq!(
        check(&["m=audio 5000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"]),
        Err(Mismatch::NoCodec)
    );
    assert_eq!(check(&["m=audio 0 RTP/AVP 8"]), Err(Mismatch::NoAudio));
    assert_eq!(check(&["m=audio 5000 RTP/SAVP 8"]), Err(Mismatch::NoAudio));
    assert_eq!(check(&[]), Err(Mismatch::Lines));
    assert_eq!(check(&["m=audio 5000 RTP/AVP 18 8"]), Ok(()));
}

#[test]
fn an_offer_without_plain_audio_or_without_a_known_codec_is_a_mismatch() {
    let read =
        |lines: &[&str]| Offer::read(&session(lines), &CodecName::ALL, &Protection::OFF, None).map(|_| ());
    assert_eq!(read(&["m=video 6000 RTP/AVP 31"]), Err(Mismatch::NoAudio));
    assert_eq!(read(&["m=audio 0 RTP/AVP 8"]), Err(Mismatch::NoAudio));
    assert_eq!(read(&[]), Err(Mismatch::NoAudio));
    assert_eq!(
        read(&["m=audio 4000 RTP/AVP 3 101", "a=rtpmap:101 telephone-event/8000"]),
        Err(Mismatch::NoCodec)
    );
    let only_pcmu = Offer::read(
        &session(&["m=audio 4000 RTP/AVP 8"]),
        &[CodecName::Pcmu],
        &Protection::OFF,
        None,
    );
    assert_eq!(only_pcmu, Err(Mismatch::NoCodec));
}

#[test]
fn a_dialog_never_loses_a_media_line() {
    let before = offer(&["m=audio 4000 RTP/AVP 8", "m=video 6000 RTP/AVP 31"]).lines;
    let again =
        |lines: &[&str]| Offer::read(&session(lines), &CodecName::ALL, &Protection::OFF, Some(&before));
    assert_eq!(again(&["m=audio 4000 RTP/AVP 8"]), Err(Mismatch::Lines));
    assert!(
        again(&[
            "m=audio 4000 RTP/AVP 8",
            "m=video 0 RTP/AVP 31",
            "m=text 0 RTP/AVP 98"
        ])
        .is_ok()
    );
}

#[test]
fn the_audio_stays_on_its_line_while_that_lives() {
    let before = offer(&["m=audio 0 RTP/AVP 8", "m=audio 4000 RTP/AVP 8"]).lines;
    let again = |lines: &[&str]| {
        Offer::read(&session(lines), &CodecName::ALL, &Protection::OFF, Some(&before))
            .map(|offer| offer.lines.audio())
    };
    assert_eq!(
        again(&["m=audio 4002 RTP/AVP 8", "m=audio 4000 RTP/AVP 8"]),
        Ok(1)
    );
    assert_eq!(again(&["m=audio 4002 RTP/AVP 8", "m=audio 0 RTP/AVP 8"]), Ok(0));
}

#[test]
fn a_refresh_or_a_moved_address_stays_on_its_leg() {
    let (near, far) = settled(&A, &["m=audio 5000 RTP/AVP 8"]);
    assert_eq!(offer(&A).changes(&near, &far), Changes::default());
    let moved = offer(&["m=audio 4010 RTP/AVP 8 0"]).changes(&near, &far);
    assert!(moved.address && !moved.crosses());
    let renumbered = ["m=audio 4000 RTP/AVP 100", "a=rtpmap:100 PCMA/8000"];
    let moved = offer(&renumbered).changes(&near, &far);
    assert!(moved.address && !moved.crosses());
    // B, who answered with one codec, refreshes with all that it knows.
    let wide = offer(&["m=audio 5000 RTP/AVP 18 8 0"]).changes(&far, &near);
    assert_eq!(wide, Changes::default());
}

#[test]
fn a_lost_codec_crosses() {
    let (near, far) = settled(&A, &["m=audio 5000 RTP/AVP 8 0"]);
    let lost = offer(&["m=audio 4000 RTP/AVP 0"]).changes(&near, &far);
    assert!(lost.codecs && lost.crosses() && !lost.direction);
}

#[test]
fn hold_crosses_and_so_does_coming_back() {
    let hold = ["m=audio 4000 RTP/AVP 8", "a=sendonly"];
    let (near, far) = settled(&A, &["m=audio 5000 RTP/AVP 8"]);
    let held = offer(&hold);
    assert!(held.changes(&near, &far).direction);
    let terms = held.onward(Some(&far));
    assert_eq!(terms.way, SdpWay::SendOnly);
    let far = terms
        .check(
            &Lines::one(),
            &Line::PLAIN,
            Mode::Off,
            &session(&["m=audio 5000 RTP/AVP 8", "a=recvonly"]),
        )
        .expect("an answer");
    assert_eq!((far.way, far.wish), (SdpWay::SendOnly, SdpWay::SendRecv));
    let (answer, near) = held.answer(&far, None).expect("codecs in common");
    assert_eq!((answer.way, near.way), (SdpWay::RecvOnly, SdpWay::RecvOnly));
    assert!(!offer(&hold).changes(&near, &far).crosses());
    let back = offer(&A);
    assert!(back.changes(&near, &far).direction);
    let far = back
        .onward(Some(&far))
        .check(
            &Lines::one(),
            &Line::PLAIN,
            Mode::Off,
            &session(&["m=audio 5000 RTP/AVP 8"]),
        )
        .expect("an answer");
    assert_eq!(
        back.answer(&far, None).expect("codecs in common").1.way,
        SdpWay::SendRecv
    );
}

#[test]
fn a_held_party_may_refresh_in_either_writing_without_asking_the_other() {
    // B holds: to A we offer what B wishes.
    let hold = offer(&["m=audio 5000 RTP/AVP 8", "a=sendonly"]);
    let near = hold
        .onward(None)
        .check(
            &Lines::one(),
            &Line::PLAIN,
            Mode::Off,
            &session(&["m=audio 4000 RTP/AVP 8", "a=recvonly"]),
        )
        .expect("an answer");
    let (_, far) = hold.answer(&near, None).expect("codecs in common");
    for way in ["a=sendrecv", "a=recvonly"] {
        let refresh = offer(&["m=audio 4000 RTP/AVP 8", way]);
        assert!(!refresh.changes(&near, &far).crosses(), "{way}");
        let (answer, again) = refresh.answer(&far, Some(&near)).expect("codecs");
        assert_eq!(
            (answer.way, again.wish),
            (SdpWay::SendOnly, SdpWay::SendRecv),
            "{way}"
        );
    }
    let both_hold = offer(&["m=audio 4000 RTP/AVP 8", "a=sendonly"]);
    assert!(both_hold.changes(&near, &far).crosses());
}

#[test]
fn a_late_offer_is_narrowed_to_what_the_callee_took() {
    let terms = Terms::list(&CodecName::DEFAULT);
    assert_eq!(numbers(&terms.codecs), [8, 0, 9, 18, 101]);
    let far = terms
        .check(
            &Lines::one(),
            &Line::PLAIN,
            Mode::Off,
            &session(&[
                "m=audio 5000 RTP/AVP 0 101",
                "a=rtpmap:101 telephone-event/8000",
                "a=sendonly",
            ]),
        )
        .expect("an answer");
    let onward = far.onward(None);
    assert_eq!(
        (numbers(&onward.codecs), onward.way),
        (vec![0, 101], SdpWay::SendOnly)
    );
}

#[test]
fn a_number_keeps_its_meaning_within_a_dialog() {
    let (near, _) = settled(
        &[
            "m=audio 4000 RTP/AVP 96 97",
            "a=rtpmap:96 AMR/8000",
            "a=rtpmap:97 telephone-event/8000",
        ],
        &[
            "m=audio 5000 RTP/AVP 96 97",
            "a=rtpmap:96 AMR/8000",
            "a=rtpmap:97 telephone-event/8000",
        ],
    );
    // B offers anew and calls opus 96; on A's leg that is AMR.
    let onward = offer(&[
        "m=audio 5000 RTP/AVP 96 98 8 99",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:98 AMR/8000",
        "a=rtpmap:99 telephone-event/8000",
    ])
    .onward(Some(&near));
    let listed: Vec<(u8, CodecName)> = onward.codecs.iter().map(|c| (c.payload, c.name)).collect();
    assert_eq!(
        listed,
        [
            (98, CodecName::Opus),
            (96, CodecName::Amr),
            (8, CodecName::Pcma),
            (97, CodecName::TelephoneEvent)
        ]
    );
}

#[test]
fn amr_is_matched_by_the_way_it_packs() {
    let both = [
        "m=audio 4000 RTP/AVP 96 97",
        "a=rtpmap:96 AMR/8000",
        "a=rtpmap:97 AMR/8000",
        "a=fmtp:97 octet-align=1",
    ];
    let aligned = [
        "m=audio 5000 RTP/AVP 98",
        "a=rtpmap:98 AMR/8000",
        "a=fmtp:98 octet-align=1",
    ];
    let (near, far) = settled(&both, &aligned);
    assert_eq!(near.codecs[0].ours, 97);
    assert_eq!(rows(&near, Some(&far))[0].other, Some(98));
    // One that forgets to say so is believed by its number.
    let (near, far) = settled(&both[..], &["m=audio 5000 RTP/AVP 97", "a=rtpmap:97 AMR/8000"]);
    assert_eq!(near.codecs[0].ours, 96, "same packing counts before same number");
    assert_eq!(rows(&near, Some(&far))[0].other, Some(97));
    let (near, far) = settled(
        &[
            "m=audio 4000 RTP/AVP 97",
            "a=rtpmap:97 AMR/8000",
            "a=fmtp:97 octet-align=1",
        ],
        &["m=audio 5000 RTP/AVP 97", "a=rtpmap:97 AMR/8000"],
    );
    assert_eq!(rows(&near, Some(&far))[0].other, Some(97));
}

#[test]
fn rtcp_shares_the_port_of_rtp_only_where_both_sides_of_a_leg_say_so() {
    let mux = ["m=audio 4000 RTP/AVP 8", "a=rtcp:4010", "a=rtcp-mux"];
    let plain = ["m=audio 5000 RTP/AVP 8"];
    let rtcp = |leg: &Agreed| (leg.rtcp_port, leg.rtcp.map(|at| at.port()));
    // A offers it; B isn't asked.
    let (near, far) = settled(&mux, &plain);
    assert_eq!(rtcp(&near), (RtcpPort::Shared, Some(4000)));
    assert_eq!(rtcp(&far), (RtcpPort::Own, Some(5001)));
    let (answer, _) = offer(&mux).answer(&far, None).expect("codecs in common");
    assert!(written(&Lines::one(), &answer).contains("a=rtcp-mux\r\n"));
    // B says it unasked: that is no agreement.
    let (_, far) = settled(&plain, &mux);
    assert_eq!(rtcp(&far), (RtcpPort::Own, Some(4010)));
    // We offer it.
    let terms = Terms {
        rtcp_port: RtcpPort::Shared,
        ..Terms::list(&[CodecName::Pcma])
    };
    let check = |lines: &[&str]| {
        terms
            .check(&Lines::one(), &Line::PLAIN, Mode::Off, &session(lines))
            .expect("an answer")
    };
    assert_eq!(rtcp(&check(&mux)), (RtcpPort::Shared, Some(4000)));
    assert_eq!(rtcp(&check(&plain)), (RtcpPort::Own, Some(5001)));
}

#[test]
fn a_payload_type_that_looks_like_rtcp_keeps_the_ports_apart() {
    let offer = offer(&["m=audio 4000 RTP/AVP 8 72", "a=rtcp-mux"]);
    assert_eq!(offer.terms.rtcp_port, RtcpPort::Own);
}

#[test]
fn another_packet_length_crosses_and_none_at_all_asks_for_nothing() {
    let with = |lines: &[&str]| offer(&[&["m=audio 4000 RTP/AVP 8"], lines].concat());
    let near = {
        let first = with(&["a=ptime:20"]);
        let far = first
            .onward(None)
            .check(
                &Lines::one(),
                &Line::PLAIN,
                Mode::Off,
                &session(&["m=audio 5000 RTP/AVP 8"]),
            )
            .expect("an answer");
        first.answer(&far, None).expect("codecs").1
    };
    let crosses = |lines: &[&str]| with(lines).changes(&near, &near).crosses();
    assert!(!crosses(&[]) && !crosses(&["a=ptime:20"]));
    assert!(crosses(&["a=ptime:30"]) && crosses(&["a=ptime:20", "a=maxptime:40"]));
    let onward = with(&["a=ptime:30", "a=maxptime:60"]).onward(Some(&near));
    let told = (onward.packing.ptime_ms, onward.packing.maxptime_ms);
    assert_eq!(told, (Some(30), Some(60)));
}

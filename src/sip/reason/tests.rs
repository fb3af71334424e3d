use proptest::prelude::*;

use super::*;

fn of(lines: &str) -> Reasons {
    let message = format!("BYE sip:a@h SIP/2.0\r\n{lines}\r\n\r\n");
    read(&Head::read(message.as_bytes()).expect("readable"))
}

#[test]
fn a_cause_is_read_whatever_text_stands_beside_it() {
    for (lines, q850, sip) in [
        ("Reason: Q.850;cause=17", Some(17), None),
        (
            "Reason: q.850 ; CAUSE = 16 ;text=\"a;cause=1, SIP;cause=480\"",
            Some(16),
            None,
        ),
        ("Reason: Q.850;text=\"cause=3\";cause=34", Some(34), None),
        (
            "Reason: SIP;cause=200;text=\"Call completed elsewhere\"",
            None,
            Some(200),
        ),
        ("Reason: SIP;cause=486, Q.850;cause=17", Some(17), Some(486)),
        (
            "Reason: SIP;cause=580\r\nReason: Q.850;cause=127",
            Some(127),
            Some(580),
        ),
        ("Reason: Q.850;cause=19, Q.850;cause=17", Some(19), None),
        ("Reason: preemption;cause=1;text=\"UA\"", None, None),
    ] {
        assert_eq!(of(lines), Reasons { q850, sip }, "{lines}");
    }
}

#[test]
fn what_is_malformed_says_nothing() {
    for lines in [
        "Reason: Q.850",
        "Reason: ",
        "Reason: ;cause=17",
        "Reason: Q.850;cause",
        "Reason: Q.850;cause=",
        "Reason: Q.850;cause=0",
        "Reason: Q.850;cause=128",
        "Reason: Q.850;cause=-1",
        "Reason: Q.850;cause=17x",
        "Reason: Q.850;cause=99999999999999999999",
        "Reason: Q850;cause=17",
        "Reason: SIP;cause=100",
        "Reason: SIP;cause=700",
        "Subject: Q.850;cause=17",
    ] {
        assert_eq!(of(lines), Reasons::default(), "{lines}");
    }
}

proptest! {
    #[test]
    fn what_we_write_is_read_back(cause in 1..=127_u8) {
        let read = of(&format!("Reason: {}", q850(cause)));
        prop_assert_eq!(read, Reasons { q850: Some(cause), sip: None });
    }

    #[test]
    fn any_text_is_taken(value in "[ -~]{0,80}") {
        let reasons = of(&format!("Reason: {value}"));
        prop_assert!(reasons.q850.is_none_or(|cause| (1..=127).contains(&cause)));
        prop_assert!(reasons.sip.is_none_or(|status| (200..=699).contains(&status)));
    }
}

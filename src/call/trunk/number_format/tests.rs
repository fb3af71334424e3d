use super::*;

fn rule(expression: &str, replace: &str) -> Rule {
    Rule::new(expression, replace, None).unwrap()
}

fn of(which: Which, expression: &str, replace: &str) -> Rule {
    Rule::new(expression, replace, Some(which)).unwrap()
}

fn read(format: &NumberFormat, which: Which, text: &str) -> Result<String, Unfit> {
    let plan = NumberPlan::default();
    let read = format.read(which, text, &plan, &mut |_, _| ());
    read.map(|tel| plan.record(tel).to_string())
}

fn written(format: &NumberFormat, which: Which, number: &str) -> Result<String, Unfit> {
    let plan = NumberPlan::default();
    let tel = plan.normalise(number).unwrap();
    let written = format.write(which, tel, &plan, &mut |_, _| ());
    written.map(|wire| wire.to_string())
}

#[test]
fn the_first_rule_that_matches_counts_and_no_other() {
    let format = NumberFormat {
        rules_in: vec![rule("^9(1[0-9]{10})$", "$1"), rule("^1", "+852"), rule("^9", "")],
        ..Default::default()
    };
    // After the first rule the number begins with 1, and is not changed again.
    assert_eq!(
        read(&format, Which::Called, "913800000001").unwrap(),
        "+8613800000001"
    );
    assert_eq!(
        read(&format, Which::Calling, "151234567").unwrap(),
        "+85251234567"
    );
}

#[test]
fn a_rule_of_one_kind_of_number_leaves_the_other_alone() {
    let format = NumberFormat {
        rules_in: vec![of(Which::Called, "^7(.*)", "$1")],
        rules_out: vec![of(Which::Calling, "^", "+86")],
        ..Default::default()
    };
    assert_eq!(
        read(&format, Which::Called, "713800000001").unwrap(),
        "+8613800000001"
    );
    assert!(read(&format, Which::Calling, "713800000001").is_err());
    assert_eq!(
        written(&format, Which::Called, "13800000001").unwrap(),
        "13800000001"
    );
    assert_eq!(
        written(&format, Which::Calling, "13800000001").unwrap(),
        "+8613800000001"
    );
}

#[test]
fn only_a_called_number_loses_dial_prefixes_and_gets_one() {
    let format = NumberFormat {
        strip: vec!["17951".into()],
        format: Format::E164,
        prefix: "99".into(),
        ..Default::default()
    };
    assert_eq!(
        read(&format, Which::Called, "1795113800000001").unwrap(),
        "+8613800000001"
    );
    assert!(read(&format, Which::Calling, "1795113800000001").is_err());
    assert_eq!(
        written(&format, Which::Called, "13800000001").unwrap(),
        "998613800000001"
    );
    assert_eq!(
        written(&format, Which::Calling, "13800000001").unwrap(),
        "8613800000001"
    );
}

#[test]
fn a_trunk_that_writes_e164_without_a_sign_is_read_so() {
    let format = NumberFormat {
        read_as: ReadAs::E164,
        ..Default::default()
    };
    for (text, number) in [
        ("85291234567", "+85291234567"),
        ("8613800000001", "+8613800000001"),
        ("14155550100", "+14155550100"),
        ("+85291234567", "+85291234567"),
        // What exists only in the country has no other writing.
        ("10086", "10086"),
        ("95588", "95588"),
        ("4001234567", "4001234567"),
        // An own country, or a dialled prefix, says how it is to be read.
        ("13800000001;phone-context=+86", "+8613800000001"),
        ("013800000001", "+8613800000001"),
    ] {
        assert_eq!(
            read(&format, Which::Called, text).as_deref(),
            Ok(number),
            "{text}"
        );
    }
    assert!(read(&NumberFormat::default(), Which::Called, "85291234567").is_err());
}

#[test]
fn what_rules_make_of_a_number_is_a_number_or_nothing() {
    let wild = |replace| NumberFormat {
        rules_out: vec![Rule::new("^(.*)$", replace, None).unwrap()],
        ..Default::default()
    };
    for replace in ["", "+", "$1+", "+$1+1", "$1$1$1", "++$1"] {
        assert_eq!(
            written(&wild(replace), Which::Called, "13800000001"),
            Err(Unfit::Unwritten),
            "{replace}"
        );
    }
    assert_eq!(
        written(&wild("+86$1"), Which::Called, "13800000001").unwrap(),
        "+8613800000001"
    );
    let gone = NumberFormat {
        rules_in: vec![rule("^.*$", "")],
        ..Default::default()
    };
    assert_eq!(
        read(&gone, Which::Calling, "13800000001"),
        Err(Unfit::Unread(NumberError::Empty))
    );
    let long = "1".repeat(200);
    assert!(read(&gone, Which::Called, &long).is_err());
    let longer = NumberFormat {
        rules_in: vec![rule("^(.*)$", "$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1")],
        ..Default::default()
    };
    assert_eq!(
        read(&longer, Which::Calling, "13800000001"),
        Err(Unfit::Unread(NumberError::TooLong))
    );
}

#[test]
fn a_rule_that_can_make_no_number_is_none() {
    let fault = |expression, replace| Rule::new(expression, replace, None).unwrap_err();
    assert!(matches!(fault("(", "1"), RuleError::Expression(_)));
    assert!(matches!(
        fault("(\\d{1000}){1000}", "1"),
        RuleError::Expression(_)
    ));
    assert_eq!(fault("^(1)", "$2"), RuleError::Group("2".into()));
    // `$1x` and `$10` are names of their own.
    assert_eq!(fault("^(1)", "$10"), RuleError::Group("10".into()));
    assert_eq!(fault("^(?<a>1)", "$ab"), RuleError::Group("ab".into()));
    assert_eq!(fault("^1", "5$"), RuleError::Dollar);
    assert_eq!(fault("^1", "${1"), RuleError::Dollar);
    for replace in ["sip:1", "1;x=y", "1@h", "*1", "é"] {
        assert_eq!(fault("^1", replace), RuleError::Characters, "{replace}");
    }
    assert_eq!(fault(&"1".repeat(129), "1"), RuleError::TooLong(128));
    assert!(Rule::new("^(?<rest>\\d+)$", "+${rest}0$0", None).is_ok());
}

#[test]
fn every_step_that_changed_a_number_is_told() {
    let format = NumberFormat {
        strip: vec!["17951".into()],
        rules_in: vec![rule("^x", ""), rule("^00", "+")],
        format: Format::Plus,
        prefix: "9".into(),
        rules_out: vec![rule("^9\\+", "9")],
        ..Default::default()
    };
    let plan = NumberPlan::default();
    let mut told = Vec::new();
    let mut note = |step: Step<'_>, left: &str| told.push(format!("{step:?} {left}"));
    let tel = format
        .read(Which::Called, "179510085291234567", &plan, &mut note)
        .unwrap();
    format.write(Which::Called, tel, &plan, &mut note).unwrap();
    assert_eq!(
        told,
        [
            "Stripped(\"17951\") 0085291234567",
            "RuleIn(2) +85291234567",
            "Written(Plus) +85291234567",
            "Prefixed(\"9\") 9+85291234567",
            "RuleOut(1) 985291234567",
        ]
    );
}

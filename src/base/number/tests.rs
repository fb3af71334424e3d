use super::*;

fn plan() -> NumberPlan {
    NumberPlan::default()
}

/// One row a subscriber: how a record writes it, its kind, how it is dialled, and its other writings.
const SAME: &[(&str, Kind, &str, &[&str])] = &[
    (
        "+8613800000001",
        Kind::E164,
        "13800000001",
        &[
            "+8613800000001",
            "008613800000001",
            "8613800000001",
            "013800000001",
            "13800000001",
            "138-0000-0001",
            "+86 138 0000 0001",
            "%2B8613800000001",
            "+86(138)0000.0001",
            "13800000001;phone-context=+86",
            "13800000001;phone-context=%2B86",
            "+8613800000001;npdi;rn=1",
            "013800000001;phone-context=+86",
            " 13800000001 ",
        ],
    ),
    (
        "+8657187654321",
        Kind::E164,
        "057187654321",
        &[
            "+8657187654321",
            "057187654321",
            "0571-87654321",
            "008657187654321",
            "8657187654321",
        ],
    ),
    (
        "+861087654321",
        Kind::E164,
        "01087654321",
        &["+861087654321", "010-87654321", "00861087654321"],
    ),
    (
        "+85291234567",
        Kind::E164,
        "0085291234567",
        &["+85291234567", "0085291234567", "+852 9123 4567"],
    ),
    (
        "+8617000000001",
        Kind::E164,
        "17000000001",
        &["17000000001", "+8617000000001"],
    ),
    ("10086", Kind::Short, "10086", &["10086", "+8610086"]),
    ("110", Kind::Short, "110", &["110"]),
    ("95588", Kind::Short, "95588", &["95588", "+8695588"]),
    (
        "9501312345678",
        Kind::Service,
        "9501312345678",
        &["9501312345678"],
    ),
    (
        "4001234567",
        Kind::Service,
        "4001234567",
        &["4001234567", "400-123-4567", "+864001234567"],
    ),
    (
        "700171234567890",
        Kind::Service,
        "700171234567890",
        &["700171234567890", "+86700171234567890"],
    ),
];

#[test]
fn every_writing_of_a_subscriber_is_one_number() {
    for (record, kind, dialled, writings) in SAME {
        for text in *writings {
            let tel = plan().normalise(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(plan().record(tel).as_str(), *record, "{text}");
            assert_eq!(tel.kind(), *kind, "{text}");
            assert_eq!(plan().write(tel, Format::National).as_str(), *dialled, "{text}");
        }
    }
}

#[test]
fn what_a_trunk_is_sent_is_read_back_as_the_same_number() {
    for (record, ..) in SAME {
        let tel = plan().normalise(record).expect(record);
        for format in [Format::National, Format::Plus] {
            let written = plan().write(tel, format);
            assert_eq!(
                plan().normalise(&written),
                Ok(tel),
                "{record} written as {written}"
            );
        }
        assert_eq!(Tel::from_bits(tel.bits()), Some(tel));
    }
}

#[test]
fn what_is_no_number_is_refused_with_a_sentence() {
    for (text, why) in [
        ("", NumberError::Empty),
        ("+", NumberError::Empty),
        ("anonymous", NumberError::NotANumber),
        ("13800000001x", NumberError::NotANumber),
        ("+8613800000001138000000011380", NumberError::TooLong),
        ("87654321", NumberError::Unplaced(86)),
        ("+0138", NumberError::Unplaced(86)),
    ] {
        assert_eq!(plan().normalise(text), Err(why), "{text}");
    }
}

#[test]
fn other_countries_dial_in_their_own_way() {
    for (country, text, record) in [
        ("1", "2125550123", "+12125550123"),
        ("1", "12125550123", "+12125550123"),
        ("44", "02079460000", "+442079460000"),
        ("852", "91234567", "+85291234567"),
        ("65", "91234567", "+6591234567"),
    ] {
        let plan = NumberPlan::new(country).expect(country);
        let tel = plan
            .normalise(text)
            .unwrap_or_else(|e| panic!("{country} {text}: {e}"));
        assert_eq!(plan.record(tel).as_str(), record);
    }
    assert_eq!(NumberPlan::new("0"), None);
    assert_eq!(NumberPlan::new("+86"), None);
}

#[test]
fn eighteen_digits_and_leading_zeros_survive_the_packing() {
    for digits in ["0", "000", "999999999999999999", "000000000000000001"] {
        let tel = Tel::new(Kind::National, digits).expect(digits);
        assert_eq!(tel.digits().as_str(), digits);
        assert_eq!(Tel::from_bits(tel.bits()), Some(tel));
    }
    assert_eq!(Tel::new(Kind::National, "1234567890123456789"), None);
    assert_eq!(Tel::from_bits(0), None);
    assert_eq!(Tel::from_bits(5), None);
}

#[test]
fn a_real_number_prints_masked() {
    let tel = plan().normalise("13800000001").expect("a mobile");
    assert_eq!(format!("{:?}", RealNumber::new(tel)), "138****0001");
    assert_eq!(format!("{tel:?}"), "138****0001");
}

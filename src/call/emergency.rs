//! Emergency numbers: which ones there are, and whether somebody dialled one.
//!
//! Such a call is no masked one. It needs no binding and no room, goes to the trunk that the conf names, and shows the
//! caller's own number: whoever answers must be able to call back, also where the caller hides his number.

use arrayvec::ArrayString;

use super::config::Config;
use crate::base::limits::{EMERGENCY_DIGITS_MAX, EMERGENCY_NUMBERS_MAX};
use crate::base::number::{Kind, RealNumber, Tel};

/// What is behind [`Table::of_country`].
const COUNTRIES: &str = include_str!("emergency/countries.txt");

/// The top of the services that RFC 5031 §4.2 calls emergency ones.
const SOS: &str = "urn:service:sos";

/// A number's digits as they are dialled.
pub type Digits = ArrayString<EMERGENCY_DIGITS_MAX>;

/// An emergency number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Number {
    /// As it is dialled.
    pub digits: Digits,
    /// The services that it is for (RFC 5031: `police`, `fire`); none: all that no other number is for.
    pub services: Vec<&'static str>,
}

impl Number {
    /// A number that the conf names beside its country's. `None`: no 2 to 6 digits.
    pub fn named(digits: &str) -> Option<Self> {
        let is_plain = digits.len() >= 2 && digits.bytes().all(|c| c.is_ascii_digit());
        let digits = Digits::from(digits).ok().filter(|_| is_plain)?;
        Some(Self {
            digits,
            services: Vec::new(),
        })
    }

    /// As a number that is called: national, and written as it is dialled.
    pub fn tel(&self) -> Option<Tel> {
        Tel::new(Kind::Short, &self.digits)
    }
}

/// The emergency numbers of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The country, as the conf names it (`CN`).
    pub country: &'static str,
    /// Its code; none of several countries.
    code: Option<&'static str>,
    /// The numbers, the general one first.
    numbers: Vec<Number>,
}

impl Table {
    /// The numbers of a country, by its ISO code in capital letters. `None`: it isn't in the list.
    pub fn of_country(country: &str) -> Option<Self> {
        let mut lines = COUNTRIES.lines().filter(|line| !line.starts_with('#'));
        let line = lines.find(|line| line.split(' ').next() == Some(country))?;
        let mut words = line.split_ascii_whitespace();
        let (country, code) = (words.next()?, words.next()?);
        let number = |word: &'static str| {
            let (digits, services) = word.split_once('/').unwrap_or((word, ""));
            Some(Number {
                services: services.split(',').filter(|s| !s.is_empty()).collect(),
                ..Number::named(digits)?
            })
        };
        Some(Self {
            country,
            code: Some(code).filter(|code| *code != "-"),
            numbers: words.filter_map(number).collect(),
        })
    }

    /// The countries that there are, in the order of the alphabet.
    pub fn countries() -> impl Iterator<Item = &'static str> {
        let lines = COUNTRIES.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.split(' ').next())
    }

    /// Adds a number. `false`: there are too many.
    pub fn add(&mut self, number: Number) -> bool {
        let is_known = self.numbers.iter().any(|known| known.digits == number.digits);
        if !is_known && self.numbers.len() >= EMERGENCY_NUMBERS_MAX {
            return false;
        }
        if !is_known {
            self.numbers.push(number);
        }
        true
    }

    /// The numbers, the general one first.
    pub fn numbers(&self) -> &[Number] {
        &self.numbers
    }

    /// The emergency number that somebody dialled, if it is one: the user part of a URI, unescaped, with a
    /// `;phone-context=` behind it or none. Only its short form counts, bare or behind the country's own code with a
    /// sign, and never as the beginning of another number.
    pub fn is(&self, dialled: &str) -> Option<&Number> {
        let (number, context) = dialled.split_once(";phone-context=").unwrap_or((dialled, ""));
        // 3GPP TS 22.030 §6.5: who hides or shows his number for this one call.
        let number = number.strip_prefix("#31#").unwrap_or(number);
        let number = number.strip_prefix("*31#").unwrap_or(number);
        let context = context
            .strip_prefix('+')
            .or_else(|| context.strip_prefix("%2B"))
            .or_else(|| context.strip_prefix("%2b"));
        let local = match (number.strip_prefix('+'), context) {
            (Some(global), _) => global.strip_prefix(self.code?)?,
            // RFC 3966 §5.1.5: a number of another country is none of ours.
            (None, Some(country)) if Some(country) != self.code => return None,
            (None, _) => number,
        };
        let mut digits = Digits::new();
        for c in local
            .chars()
            .filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' '))
        {
            digits.try_push(c).ok()?;
        }
        self.numbers.iter().find(|number| number.digits == digits)
    }

    /// Whether a number, as it stands in a URI without its parameters, may end in an emergency number: one that doesn't is
    /// none, whatever is taken off its beginning. Nearly every call is told so by a glance.
    pub fn may_end(&self, written: &[u8]) -> bool {
        let ends_in = |number: &Number| {
            let mut digits = written.iter().rev().filter(|byte| byte.is_ascii_digit());
            let mut wanted = number.digits.bytes().rev();
            wanted.all(|digit| digits.next() == Some(&digit))
        };
        written.contains(&b'%') || self.numbers.iter().any(ends_in)
    }

    /// The emergency number that a number is, if it is one.
    pub fn number_of(&self, called: RealNumber) -> Option<&Number> {
        let is_it = |number: &&Number| number.tel().is_some_and(|tel| called.is(tel));
        self.numbers.iter().find(is_it)
    }

    /// The number of a service that a URI names (RFC 5031): of the service itself, of the one that it is a kind of, else
    /// the general one. `None`: the URI names no emergency service.
    pub fn of_service(&self, uri: &str) -> Option<&Number> {
        let (head, rest) = uri.split_at_checked(SOS.len())?;
        let service = match rest.strip_prefix('.') {
            _ if !head.eq_ignore_ascii_case(SOS) => return None,
            Some(service) => service,
            None if rest.is_empty() => "",
            None => return None,
        };
        let kind = service.split('.').next().unwrap_or_default();
        let is_for = |number: &&Number| number.services.iter().any(|s| s.eq_ignore_ascii_case(kind));
        self.numbers.iter().find(is_for).or(self.numbers.first())
    }
}

/// What the conf says of emergency calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Emergency {
    /// Which numbers they are.
    pub table: Table,
    /// The trunk that they leave by: its place in the conf.
    pub trunk: usize,
}

/// Whether somebody was bound to an emergency number: nobody gets there in another's name.
pub fn is_for_help(config: &Config, called: RealNumber) -> bool {
    let emergency = config.emergency.as_ref();
    emergency.is_some_and(|of| of.table.number_of(called).is_some())
}

/// What is done with emergency calls, in a sentence for whoever runs the server.
pub fn told(config: &Config) -> String {
    let Some(of) = &config.emergency else {
        return "no emergency numbers are known: whoever dials one is refused ([emergency] in the conf)"
            .to_owned();
    };
    let numbers: Vec<&str> = of.table.numbers().iter().map(|number| &*number.digits).collect();
    let trunk = config.trunks.get(of.trunk).map_or("", |trunk| &*trunk.name);
    format!(
        "emergency calls ({}) leave by trunk {trunk}, with the caller's own number",
        numbers.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(country: &str) -> Table {
        Table::of_country(country).unwrap_or_else(|| panic!("no {country}"))
    }

    fn dialled(country: &str, text: &str) -> Option<String> {
        Some(table(country).is(text)?.digits.to_string())
    }

    #[test]
    fn every_line_of_the_list_is_read_whole_and_no_country_stands_in_it_twice() {
        let lines = COUNTRIES.lines().filter(|line| !line.starts_with('#'));
        let mut before = "";
        for line in lines {
            let mut words = line.split_ascii_whitespace();
            let (country, code) = (words.next().expect(line), words.next().expect(line));
            assert!(before < country, "{before} {country}");
            before = country;
            assert!(country.len() == 2 && country.bytes().all(|c| c.is_ascii_uppercase()));
            let is_code = (1..=3).contains(&code.len()) && code.bytes().all(|c| c.is_ascii_digit());
            assert!(is_code || code == "-", "{line}");
            let table = table(country);
            assert_eq!(table.numbers.len(), words.clone().count(), "{line}");
            assert!(!table.numbers.is_empty(), "{line}");
            for (at, number) in table.numbers.iter().enumerate() {
                assert!(number.tel().is_some(), "{line}");
                assert_eq!(
                    table.is(&number.digits),
                    table.numbers.get(at),
                    "{line}: {number:?}"
                );
                for service in &number.services {
                    let known = ["police", "fire", "ambulance", "marine", "mountain"];
                    assert!(known.contains(service), "{line}");
                }
            }
        }
        assert_eq!(Table::countries().last(), Some("ZA"));
        assert_eq!(Table::of_country("XX"), None);
        assert_eq!(Table::of_country("cn"), None);
    }

    #[test]
    fn an_emergency_number_is_known_in_every_form_in_which_it_is_dialled_and_no_other_number_is_one() {
        for (country, text, number) in [
            ("CN", "110", "110"),
            ("CN", "+86110", "110"),
            ("CN", "+86-110", "110"),
            ("CN", "1-2-0", "120"),
            ("CN", "119;phone-context=+86", "119"),
            ("CN", "119;phone-context=%2B86", "119"),
            ("CN", "119;phone-context=ims.example.cn", "119"),
            ("CN", "#31#110", "110"),
            ("CN", "*31#110", "110"),
            ("CN", "12395", "12395"),
            ("AU", "000", "000"),
            ("FR", "15", "15"),
            ("ES", "091", "091"),
            ("US", "911", "911"),
            ("US", "+1911", "911"),
            ("EU", "112", "112"),
        ] {
            assert_eq!(
                dialled(country, text).as_deref(),
                Some(number),
                "{country} {text}"
            );
        }
        for (country, text) in [
            ("CN", ""),
            ("CN", "+"),
            ("CN", "11"),
            ("CN", "1100"),
            ("CN", "0110"),
            ("CN", "11013800000001"),
            ("CN", "86110"),
            ("CN", "+852110"),
            ("CN", "110;phone-context=+852"),
            ("CN", "911"),
            ("CN", "112"),
            ("CN", "#110"),
            ("CN", "1l0"),
            ("US", "9110000"),
            ("US", "988"),
            ("EU", "+49112"),
        ] {
            assert_eq!(dialled(country, text), None, "{country} {text}");
        }
    }

    #[test]
    fn a_service_is_called_by_its_own_number_and_by_the_general_one_where_it_has_none() {
        for (country, uri, number) in [
            ("CN", "urn:service:sos", Some("110")),
            ("CN", "URN:Service:SOS", Some("110")),
            ("CN", "urn:service:sos.fire", Some("119")),
            ("CN", "urn:service:sos.Marine", Some("12395")),
            ("CN", "urn:service:sos.mountain", Some("110")),
            ("DE", "urn:service:sos.police", Some("110")),
            ("DE", "urn:service:sos.ambulance", Some("112")),
            ("GB", "urn:service:sos.ecall.automatic", Some("999")),
            ("GB", "urn:service:sos.", Some("999")),
            ("CN", "urn:service:sosig", None),
            ("CN", "urn:service:counseling.children", None),
            ("CN", "sip:110@h", None),
            ("CN", "", None),
        ] {
            let found = table(country);
            let found = found.of_service(uri).map(|number| number.digits.as_str());
            assert_eq!(found, number, "{country} {uri}");
        }
    }

    #[test]
    fn the_conf_adds_numbers_once_and_not_without_end() {
        let mut table = table("CN");
        let before = table.numbers().len();
        assert!(table.add(Number::named("999").unwrap()));
        assert!(table.add(Number::named("110").unwrap()));
        assert_eq!(table.numbers().len(), before + 1);
        assert_eq!(table.is("999").unwrap().digits.as_str(), "999");
        let mut others = (100..).filter_map(|n: u32| Number::named(&n.to_string()));
        assert!(others.any(|number| !table.add(number)));
        assert_eq!(table.numbers().len(), EMERGENCY_NUMBERS_MAX);
        for wrong in ["", "1", "1234567", "11a", "+11"] {
            assert_eq!(Number::named(wrong), None, "{wrong}");
        }
    }
}

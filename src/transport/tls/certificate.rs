//! What is read of a certificate besides what rustls checks of it: the names that it has, and when it ends.

use rustls::pki_types::CertificateDer;

use crate::base::time::Wall;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERAL_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// dNSName and uniformResourceIdentifier (RFC 5280 §4.2.1.6).
const DNS_NAME: u8 = 0x82;
const URI_NAME: u8 = 0x86;
/// subjectAltName: 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// When a certificate ends (notAfter, RFC 5280 §4.1.2.5). `None`: it can't be read.
pub fn ends_at(certificate: &CertificateDer<'_>) -> Option<Wall> {
    let mut fields = fields(certificate)?;
    let mut validity = fields.nth(3).filter(|field| field.tag == SEQUENCE)?.inside();
    let ends = validity.nth(1)?;
    time(ends)
}

/// The domains that a certificate speaks for (RFC 5922 §7.1): those of its `sip:` URIs, or, if it has none, its DNS names.
/// As they are written: one with a star in it is nobody's.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Some(alternatives) = alternative_names(certificate) else {
        return Vec::new();
    };
    let text = |field: &Field<'_>| String::from_utf8(field.value.to_vec()).ok();
    let of = |tag: u8| {
        alternatives
            .iter()
            .filter(move |field| field.tag == tag)
            .filter_map(text)
    };
    let domains: Vec<String> = of(URI_NAME)
        .filter_map(|uri| domain(&uri).map(str::to_owned))
        .collect();
    if domains.is_empty() {
        of(DNS_NAME).collect()
    } else {
        domains
    }
}

/// The domain of a `sip:` URI that names nobody there: one with a user isn't a domain's (RFC 5922 §7.1).
fn domain(uri: &str) -> Option<&str> {
    let (scheme, domain) = uri.split_once(':')?;
    (scheme.eq_ignore_ascii_case("sip") && !domain.is_empty() && !domain.contains(['@', ';', '?', ':']))
        .then_some(domain)
}

fn alternative_names<'c>(certificate: &'c CertificateDer<'_>) -> Option<Vec<Field<'c>>> {
    let extensions = fields(certificate)?.find(|field| field.tag == EXTENSIONS)?;
    let list = extensions.inside().next().filter(|field| field.tag == SEQUENCE)?;
    for extension in list.inside() {
        let mut parts = extension.inside();
        let name = parts.next().filter(|part| part.tag == OBJECT)?;
        if name.value != ALTERNATIVE_NAMES {
            continue;
        }
        let value = parts
            .find(|part| part.tag != BOOLEAN)
            .filter(|part| part.tag == OCTETS)?;
        let names = value.inside().next().filter(|part| part.tag == SEQUENCE)?;
        return Some(names.inside().collect());
    }
    None
}

/// The fields of a TBSCertificate behind its version: serial number, signature, issuer, validity, …
fn fields<'c>(certificate: &'c CertificateDer<'_>) -> Option<impl Iterator<Item = Field<'c>>> {
    let whole = Fields(certificate.as_ref())
        .next()
        .filter(|field| field.tag == SEQUENCE)?;
    let signed = whole.inside().next().filter(|field| field.tag == SEQUENCE)?;
    let fields = signed.inside().skip_while(|field| field.tag == VERSION);
    let mut fields = fields.peekable();
    fields.peek().filter(|first| first.tag == INTEGER)?;
    Some(fields)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(field: Field<'_>) -> Option<Wall> {
    let text = std::str::from_utf8(field.value).ok()?;
    let (century, rest) = match field.tag {
        // RFC 5280 §4.1.2.5.1
        UTC_TIME if text.get(..1)? < "5" => ("20", text),
        UTC_TIME => ("19", text),
        GENERAL_TIME => (text.get(..2)?, text.get(2..)?),
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2);
    let date = format!("{century}{}-{}-{}", two(0)?, two(2)?, two(4)?);
    let time = format!("{}:{}:{}", two(6)?, two(8)?, two(10)?);
    (rest.get(12..)? == "Z").then(|| Wall::parse_rfc3339(&format!("{date}T{time}Z")))?
}

/// One value of DER.
#[derive(Clone, Copy)]
struct Field<'c> {
    tag: u8,
    value: &'c [u8],
}

impl<'c> Field<'c> {
    fn inside(self) -> Fields<'c> {
        Fields(self.value)
    }
}

/// Values of DER one behind the other; they end where one isn't whole.
struct Fields<'c>(&'c [u8]);

impl<'c> Iterator for Fields<'c> {
    type Item = Field<'c>;

    fn next(&mut self) -> Option<Field<'c>> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match usize::from(first) {
            short @ 0..0x80 => (short, rest),
            long => {
                let count = long - 0x80;
                if count > 3 {
                    return None;
                }
                let (bytes, rest) = rest.split_at_checked(count)?;
                (
                    bytes
                        .iter()
                        .fold(0, |length, byte| length << 8 | usize::from(*byte)),
                    rest,
                )
            }
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Field { tag, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn signed(params: CertificateParams) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").into()
    }

    #[test]
    fn a_certificate_is_read_for_its_end() {
        for (year, month, day, days) in [
            (2030, 2, 28, 21_973_i64),
            (2049, 12, 31, 29_219),
            (2100, 3, 1, 47_541),
        ] {
            let mut params = CertificateParams::new(vec!["a.example".into()]).expect("a name");
            params.not_after = rcgen::date_time_ymd(year, month, day);
            let ends = ends_at(&signed(params)).expect("it ends");
            assert_eq!(ends.as_millis(), days * 86_400_000, "{year}");
        }
        assert_eq!(ends_at(&CertificateDer::from(vec![0x30, 0x82])), None);
        assert_eq!(ends_at(&CertificateDer::from(vec![0x30, 0x02, 0x30, 0x00])), None);
    }

    #[test]
    fn sip_uris_count_before_dns_names_and_one_with_a_user_is_no_domain() {
        let of = |names: &[SanType]| {
            let mut params = CertificateParams::default();
            params.subject_alt_names = names.to_vec();
            names_of(params)
        };
        fn names_of(params: CertificateParams) -> Vec<String> {
            names(&signed(params))
        }
        let text = |text: &str| text.try_into().expect("plain");
        let (dns, other) = (
            SanType::DnsName(text("sbc.example")),
            SanType::DnsName(text("b.example")),
        );
        let uri = SanType::URI(text("sip:carrier.example"));
        let user = SanType::URI(text("sip:alice@carrier.example"));
        let web = SanType::URI(text("https://carrier.example"));
        assert_eq!(of(&[dns.clone(), other]), ["sbc.example", "b.example"]);
        assert_eq!(of(&[dns.clone(), uri]), ["carrier.example"]);
        assert_eq!(of(&[dns.clone(), user, web]), ["sbc.example"]);
        assert_eq!(of(&[]), [""; 0]);
    }
}

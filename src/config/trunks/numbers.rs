//! How numbers are written on a trunk's wire: formats, prefixes and rules.

use crate::base::limits::NUMBER_RULES_MAX;
use crate::base::number::Format;
use crate::call::trunk::number_format::{NumberFormat, ReadAs, Rule, RuleError, Which};
use crate::call::trunk::showing::{ShowIn, Showing, UserParam};
use crate::config::reader::{Section, one_of};

const FORMAT: [(&str, Format); 3] = [
    ("national", Format::National),
    ("e164", Format::E164),
    ("plus", Format::Plus),
];
const READ_AS: [(&str, ReadAs); 2] = [("dialled", ReadAs::Dialled), ("e164", ReadAs::E164)];
const OF_IN: [(&str, Option<Which>); 3] = [
    ("both", None),
    ("dialled", Some(Which::Called)),
    ("caller", Some(Which::Calling)),
];
const OF_OUT: [(&str, Option<Which>); 3] = [
    ("both", None),
    ("called", Some(Which::Called)),
    ("shown", Some(Which::Calling)),
];

const SHOW_IN: [(&str, ShowIn); 3] = [
    ("both", ShowIn::Both),
    ("from", ShowIn::From),
    ("pai", ShowIn::Pai),
];

/// Bytes of From's user, or host.
const FROM_BYTES_MAX: usize = 64;
/// Digits before a called number.
const PREFIX_MAX: usize = 8;

/// Reads what a trunk says of numbers.
pub(super) fn read(section: &Section<'_>) -> NumberFormat {
    let format = NumberFormat {
        strip: strip(section),
        rules_in: rules(section, "rules_in", &OF_IN),
        read_as: section.choice("number_format_in", &READ_AS, ReadAs::Dialled),
        format: section.choice("number_format", &FORMAT, Format::National),
        prefix: section.parsed("prefix_out", "".into(), |text| {
            if text.len() > PREFIX_MAX || !text.bytes().all(|c| c.is_ascii_digit()) {
                return Err(format!("write 1 to {PREFIX_MAX} digits (\"9\"), or nothing"));
            }
            Ok(text.into())
        }),
        rules_out: rules(section, "rules_out", &OF_OUT),
    };
    // Rules may take it away again.
    if format.format == Format::Plus && !format.prefix.is_empty() && format.rules_out.is_empty() {
        section.fault(
            "prefix_out",
            "nothing can stand before the sign of number_format = \"plus\": write number_format = \"e164\", or take the prefix away",
        );
    }
    format
}

fn strip(section: &Section<'_>) -> Vec<Box<str>> {
    let mut prefixes = section.list("strip", Vec::new(), |text| {
        let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'#' || c == b'*');
        if text.is_empty() || text.len() > 8 || !plain {
            return Err("write a dial prefix of 1 to 8 digits, # or *: \"17951\"".into());
        }
        Ok(Box::<str>::from(text))
    });
    prefixes.sort_by_key(|p| std::cmp::Reverse(p.len()));
    prefixes
}

/// Reads what a trunk says of the number that we show.
pub(super) fn showing(section: &Section<'_>) -> Showing {
    let showing = Showing {
        show_in: section.choice("show_in", &SHOW_IN, ShowIn::Both),
        from_user: section.parsed("from_user", "".into(), |text| {
            let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.+".contains(&c);
            if text.len() > FROM_BYTES_MAX || !text.bytes().all(plain) {
                return Err(format!(
                    "write the user of a SIP URI: at most {FROM_BYTES_MAX} letters, digits, - _ . or +"
                ));
            }
            Ok(text.into())
        }),
        domain: section.parsed("from_domain", "".into(), |text| {
            let plain = |c: u8| c.is_ascii_alphanumeric() || b"-.".contains(&c);
            if text.len() > FROM_BYTES_MAX || !text.bytes().all(plain) {
                return Err(
                    "write a host as the carrier wants to see it: \"sip.example.net\", or nothing".into(),
                );
            }
            Ok(text.into())
        }),
        user: if section.flag("user_phone") {
            UserParam::Phone
        } else {
            UserParam::None
        },
        privacy: privacy(section),
    };
    if !showing.from_user.is_empty() && showing.show_in != ShowIn::Pai {
        section.fault(
            "from_user",
            "From holds the shown number: write show_in = \"pai\", or leave this out",
        );
    }
    showing
}

/// The words of Privacy where no number is shown (RFC 3323 §4.2, RFC 3325 §9.3).
fn privacy(section: &Section<'_>) -> Box<str> {
    let mut words: Vec<&str> = Vec::new();
    let known = ["id", "user", "header", "session", "critical"];
    let read = section.list("privacy", vec!["id"], |text| {
        let word = known.into_iter().find(|word| *word == text);
        let word =
            word.ok_or_else(|| format!("write {}", known.map(|word| format!("{word:?}")).join(", ")))?;
        if words.contains(&word) {
            return Err("named twice: take one away".into());
        }
        words.push(word);
        Ok(word)
    });
    read.join(";").into()
}

/// The rules of one direction, in order.
fn rules(section: &Section<'_>, key: &str, words: &[(&str, Option<Which>); 3]) -> Vec<Rule> {
    let each = "write rules as { match = '^00(\\d+)$', replace = '+$1' }";
    let whole = format!("write a list of rules, in brackets: {key} = [{{ match = '…', replace = '…' }}]");
    let tables = section.tables(
        key,
        &format!("a rule of {key}"),
        &["match", "replace", "of"],
        (each, &whole),
    );
    if tables.len() > NUMBER_RULES_MAX {
        section.fault(key, format!("at most {NUMBER_RULES_MAX} rules: join some"));
        return Vec::new();
    }
    let read = tables.iter().filter_map(|table| {
        let of = table.choice("of", words, None);
        let (Some(expression), Some(replace)) = (table.text("match"), table.text("replace")) else {
            if !table.has("match") || !table.has("replace") {
                let of = one_of(words);
                table.fault_at(
                    &table.span,
                    format!("a rule has match and replace, and may say of = {of}"),
                );
            }
            return None;
        };
        match Rule::new(expression.value, replace.value, of) {
            Ok(rule) => Some(rule),
            Err(fault) => {
                let at = match fault {
                    RuleError::Expression(_) => &expression.span,
                    RuleError::Group(_)
                    | RuleError::Dollar
                    | RuleError::Characters
                    | RuleError::TooLong(_) => &replace.span,
                };
                table.fault_at(at, fault.to_string());
                None
            }
        }
    });
    read.collect()
}

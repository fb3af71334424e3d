//! How numbers are written on one trunk's wire: what is done to one that comes in before it is read, and to one of ours
//! before it goes out. Whatever the conf's rules make of a number must be a number again, or nothing is called.

use arrayvec::ArrayString;
use regex::bytes::{Regex, RegexBuilder};

use crate::base::limits::{
    NUMBER_RULE_BYTES_MAX, NUMBER_RULE_MATCH_BYTES_MAX, NUMBER_RULE_TEXT_BYTES_MAX, WRITTEN_NUMBER_BYTES_MAX,
};
use crate::base::number::{Format, Kind, NumberError, NumberPlan, Tel};

/// A number as it stands on a trunk's wire: digits, behind a `+` or none.
pub type Wire = ArrayString<WRITTEN_NUMBER_BYTES_MAX>;

/// A number on its way in, with the country that it is to be read in behind it (RFC 3966 §5.1.5).
type Text = ArrayString<NUMBER_RULE_TEXT_BYTES_MAX>;

/// What a number without a sign means that comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReadAs {
    /// What whoever dials it in the country would mean by it.
    #[default]
    Dialled,
    /// Country code and number, unless it is one that exists only inside the country.
    E164,
}

/// Which number of a call is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The one that is called: the dialled number on its way in, the called party's on its way out.
    Called,
    /// The one that calls: the caller's on its way in, the shown one on its way out.
    Calling,
}

/// How numbers are written on a trunk's wire, both ways.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NumberFormat {
    /// Dial prefixes to take off a dialled number (`17951`, `#31#`), longest first.
    pub strip: Vec<Box<str>>,
    /// What is changed in numbers that come in, before they are read.
    pub rules_in: Vec<Rule>,
    /// How those without a sign are read.
    pub read_as: ReadAs,
    /// How numbers are written that go out.
    pub format: Format,
    /// Digits to put before a called number.
    pub prefix: Box<str>,
    /// What is changed in numbers that go out, last of all.
    pub rules_out: Vec<Rule>,
}

/// One rule: what it matches of a number is replaced. Of several, the first that matches a number counts.
#[derive(Clone, Debug)]
pub struct Rule {
    expression: Regex,
    replace: Box<str>,
    of: Option<Which>,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        (self.expression.as_str(), &self.replace, self.of)
            == (other.expression.as_str(), &other.replace, other.of)
    }
}

impl Eq for Rule {}

/// A rule of the conf that can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The expression is none, or too large.
    #[error("no regular expression: {0}")]
    Expression(String),
    /// The replacement names a group that the expression doesn't have.
    #[error(
        "the expression has no group {0}: count its brackets, or write ${{1}} where a digit or letter follows"
    )]
    Group(String),
    /// A `$` that names nothing.
    #[error("write $1 for what the first brackets matched, ${{1}} where a digit or letter follows")]
    Dollar,
    /// The replacement could never be part of a number.
    #[error(
        "a number holds digits and a leading + only: write those, and $1, $2 … for what brackets matched"
    )]
    Characters,
    /// Too long.
    #[error("at most {0} bytes")]
    TooLong(usize),
}

/// Why a number can't be read, or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// What came in, as the rules left it, is no number.
    #[error("it is no number that can be read: {0}")]
    Unread(#[from] NumberError),
    /// What would go out is none.
    #[error("it is no number that may be sent: 1 to {WRITTEN_NUMBER_BYTES_MAX} digits, behind a + or none")]
    Unwritten,
}

/// A step that a number was changed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// A dial prefix was taken off.
    Stripped(&'a str),
    /// The rule at this place matched, counted from 1.
    RuleIn(usize),
    /// It was read as country code and number.
    AsE164,
    /// It was written in the trunk's format.
    Written(Format),
    /// Digits were put before it.
    Prefixed(&'a str),
    /// The rule at this place matched, counted from 1.
    RuleOut(usize),
}

impl Rule {
    /// A rule that replaces what `expression` first matches by `replace`, in which `$1` is what the first
    /// brackets matched; of numbers of all kinds unless `of` names one.
    ///
    /// # Errors
    /// [`RuleError`]
    pub fn new(expression: &str, replace: &str, of: Option<Which>) -> Result<Self, RuleError> {
        if expression.len().max(replace.len()) > NUMBER_RULE_MATCH_BYTES_MAX {
            return Err(RuleError::TooLong(NUMBER_RULE_MATCH_BYTES_MAX));
        }
        let expression = RegexBuilder::new(expression)
            .size_limit(NUMBER_RULE_BYTES_MAX)
            .dfa_size_limit(NUMBER_RULE_BYTES_MAX)
            .nest_limit(16)
            // Digits are ASCII's: no other script's match `\d`.
            .unicode(false)
            .build()
            .map_err(|error| {
                // The last line says what is wrong; those before draw where.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                RuleError::Expression(last.trim_start_matches("error: ").to_owned())
            })?;
        check_replacement(&expression, replace)?;
        Ok(Self {
            expression,
            replace: replace.into(),
            of,
        })
    }

    /// What becomes of `number`, if the rule matches it.
    fn apply(&self, which: Which, number: &str) -> Option<String> {
        let number = number.as_bytes();
        if self.of.is_some_and(|of| of != which) || !self.expression.is_match(number) {
            return None;
        }
        let changed = self.expression.replace(number, self.replace.as_bytes());
        Some(String::from_utf8_lossy(&changed).into_owned())
    }
}

/// Whether a replacement names only groups that are there, and holds nothing else that no number has.
fn check_replacement(expression: &Regex, replace: &str) -> Result<(), RuleError> {
    let mut rest = replace;
    while let Some(c) = rest.chars().next() {
        if c != '$' {
            if !c.is_ascii_digit() && c != '+' {
                return Err(RuleError::Characters);
            }
            rest = rest.strip_prefix(c).unwrap_or_default();
            continue;
        }
        let after = rest.strip_prefix('$').unwrap_or_default();
        let (name, next) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').ok_or(RuleError::Dollar)?,
            // The longest name, as the crate reads it: `$12` is the twelfth.
            None => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                after.split_at_checked(end).ok_or(RuleError::Dollar)?
            }
        };
        let is_there = match name.parse::<usize>() {
            Ok(number) => number < expression.captures_len(),
            Err(_) => expression.capture_names().flatten().any(|known| known == name),
        };
        if name.is_empty() {
            return Err(RuleError::Dollar);
        }
        if !is_there {
            return Err(RuleError::Group(name.to_owned()));
        }
        rest = next;
    }
    Ok(())
}

impl NumberFormat {
    /// Reads a number that came in: its text as a URI has it, unescaped, with a `;phone-context=` behind it or none.
    /// Each step that changed it is told to `each`, with what it left.
    ///
    /// # Errors
    /// [`Unfit`]: what the rules left is no number of this country's.
    pub fn read(
        &self,
        which: Which,
        text: &str,
        plan: &NumberPlan,
        each: &mut dyn FnMut(Step<'_>, &str),
    ) -> Result<Tel, Unfit> {
        let (number, context) = match text.find(';') {
            Some(at) => text.split_at_checked(at).unwrap_or((text, "")),
            None => (text, ""),
        };
        let mut number = number;
        if which == Which::Called {
            for prefix in &self.strip {
                if let Some(rest) = number.strip_prefix(&**prefix) {
                    number = rest;
                    each(Step::Stripped(prefix), number);
                    break;
                }
            }
        }
        let changed = first(&self.rules_in, which, number);
        if let Some((place, changed)) = &changed {
            number = changed;
            each(Step::RuleIn(*place), number);
        }
        let tel = match self.read_as {
            ReadAs::Dialled => None,
            ReadAs::E164 => e164(number, context, plan),
        };
        if let Some(tel) = tel {
            each(Step::AsE164, &plan.record(tel));
            return Ok(tel);
        }
        let mut whole = Text::new();
        whole.try_push_str(number).map_err(|_| NumberError::TooLong)?;
        whole.try_push_str(context).map_err(|_| NumberError::TooLong)?;
        Ok(plan.normalise(&whole)?)
    }

    /// Writes a number that goes out. Each step that changed it is told to `each`, with what it left.
    ///
    /// # Errors
    /// [`Unfit::Unwritten`]: what the rules left is no number.
    pub fn write(
        &self,
        which: Which,
        tel: Tel,
        plan: &NumberPlan,
        each: &mut dyn FnMut(Step<'_>, &str),
    ) -> Result<Wire, Unfit> {
        let written = plan.write(tel, self.format);
        each(Step::Written(self.format), &written);
        let mut wire = Wire::new();
        if which == Which::Called && !self.prefix.is_empty() {
            wire.try_push_str(&self.prefix).map_err(|_| Unfit::Unwritten)?;
        }
        wire.try_push_str(&written).map_err(|_| Unfit::Unwritten)?;
        if wire.len() > written.len() {
            each(Step::Prefixed(&self.prefix), &wire);
        }
        if let Some((place, changed)) = first(&self.rules_out, which, &wire) {
            each(Step::RuleOut(place), &changed);
            wire = Wire::from(&changed).map_err(|_| Unfit::Unwritten)?;
        }
        let digits = wire.strip_prefix('+').unwrap_or(&wire);
        if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(Unfit::Unwritten);
        }
        Ok(wire)
    }
}

/// What the first rule that matches makes of a number, and its place, counted from 1.
fn first(rules: &[Rule], which: Which, number: &str) -> Option<(usize, String)> {
    let mut matched = rules.iter().zip(1..);
    matched.find_map(|(rule, place)| Some((place, rule.apply(which, number)?)))
}

/// A number without a sign, read as country code and number. `None`: it has a sign or a country of its own, exists only
/// inside the country, or is none so.
fn e164(number: &str, context: &str, plan: &NumberPlan) -> Option<Tel> {
    if !context.is_empty() || !number.starts_with(|c: char| c.is_ascii_digit()) || number.starts_with('0') {
        return None;
    }
    let is_national = |tel: Tel| match tel.kind() {
        Kind::National | Kind::Short | Kind::Service => true,
        Kind::E164 => false,
    };
    if plan.normalise(number).is_ok_and(is_national) {
        return None;
    }
    let mut signed = Text::from("+").ok()?;
    signed.try_push_str(number).ok()?;
    plan.normalise(&signed).ok()
}

#[cfg(test)]
mod tests;

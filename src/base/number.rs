//! Phone numbers: read once, at the door, into one packed word; written out again as each reader needs.
//!
//! A [`Tel`] is any subscriber's number. It enters the product in one of two roles, and the roles are
//! types: a [`RealNumber`] belongs to a person and is shown to nobody but its owner's side; a
//! [`VirtualNumber`] is one of ours. What a called party may see is a [`Shown`].

use std::fmt;
use std::num::NonZeroU64;

use arrayvec::ArrayString;

use super::limits::NUMBER_DIGITS_MAX;
use super::redact::Masked;

/// What a number's digits mean.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Country code and national number (E.164).
    E164,
    /// A number that exists only inside the country and is dialled as it is.
    National,
    /// A short code: 3–6 digits (`110`, `10086`, `95588`).
    Short,
    /// A service number: `400…`, `800…`, long `95…`, the 15-digit `700…`.
    Service,
}

/// A subscriber's number: a kind and up to 18 digits, packed in one word. `Copy`, no heap; leading zeros
/// and length survive. Has no `Display`: whoever writes a number says for whom ([`NumberPlan::write`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tel(NonZeroU64);

const KIND_SHIFT: u32 = 61;
const DIGITS_MASK: u64 = (1 << KIND_SHIFT) - 1;

/// A number's digits as ASCII text, on the stack.
pub type Digits = ArrayString<DIGITS_ROOM>;

const DIGITS_ROOM: usize = 24;

impl Tel {
    /// Packs `digits` (1–18 ASCII digits). `None` for anything else.
    pub fn new(kind: Kind, digits: &str) -> Option<Self> {
        if digits.is_empty() || digits.len() > NUMBER_DIGITS_MAX {
            return None;
        }
        // The leading 1 is a sentinel: it keeps leading zeros and the length.
        let packed = digits.bytes().try_fold(1_u64, |n, c| {
            c.is_ascii_digit().then(|| n * 10 + u64::from(c - b'0'))
        })?;
        let kind = match kind {
            Kind::E164 => 0,
            Kind::National => 1,
            Kind::Short => 2,
            Kind::Service => 3,
        };
        NonZeroU64::new(kind << KIND_SHIFT | packed).map(Self)
    }

    /// Whether it may be an emergency number: 110, 112, 911 and their like have three digits wherever they are.
    pub fn may_be_emergency(self) -> bool {
        self.kind() == Kind::Short && self.digits().len() <= 3
    }

    /// The kind of number this is.
    pub fn kind(self) -> Kind {
        match self.0.get() >> KIND_SHIFT {
            0 => Kind::E164,
            1 => Kind::National,
            2 => Kind::Short,
            _ => Kind::Service,
        }
    }

    /// The digits, without `+` or prefix.
    pub fn digits(self) -> Digits {
        let mut text = [b'0'; 20];
        let (mut rest, mut start) = (self.0.get() & DIGITS_MASK, text.len());
        while rest > 1 {
            start -= 1;
            text[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        // ASCII, and shorter than 24 bytes.
        std::str::from_utf8(&text[start..])
            .ok()
            .and_then(|text| Digits::from(text).ok())
            .unwrap_or_default()
    }

    /// The packed word, for keys and records on disk.
    pub fn bits(self) -> u64 {
        self.0.get()
    }

    /// The number packed in `bits`, as [`Tel::bits`] gave them; `None` for any other word.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let packed = bits & DIGITS_MASK;
        let mut sentinel = packed;
        let mut digits = 0;
        while sentinel >= 10 {
            sentinel /= 10;
            digits += 1;
        }
        let whole = sentinel == 1 && (1..=NUMBER_DIGITS_MAX).contains(&digits) && bits >> KIND_SHIFT <= 3;
        if whole {
            NonZeroU64::new(bits).map(Self)
        } else {
            None
        }
    }
}

impl fmt::Debug for Tel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Masked(&self.digits()), f)
    }
}

/// A person's own number. No `Display`, no `Serialize`; `Debug` prints `138****0001`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealNumber(Tel);

impl RealNumber {
    /// `tel` as the number of a person.
    pub const fn new(tel: Tel) -> Self {
        Self(tel)
    }

    /// The number itself. Its callers are a closed list, kept by `tests/house.rs`: each is a place where
    /// a real number has to leave the program's memory.
    pub const fn reveal(self) -> Tel {
        self.0
    }

    /// Whether it may be an emergency number, wherever it is dialled.
    pub fn may_be_emergency(self) -> bool {
        self.0.may_be_emergency()
    }

    /// The packed word, for keys in memory and records on our own disk.
    pub fn key(self) -> u64 {
        self.0.bits()
    }

    /// Whether both are the same subscriber.
    pub fn is(self, tel: Tel) -> bool {
        self.0 == tel
    }

    /// Whether it begins with these digits: in E.164, a national one as it is dialled nationally.
    pub fn starts_with(self, digits: &str) -> bool {
        self.0.digits().starts_with(digits)
    }
}

impl fmt::Debug for RealNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// One of our own numbers, which stands for a person towards another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualNumber(Tel);

impl VirtualNumber {
    /// `tel` as a number of ours.
    pub const fn new(tel: Tel) -> Self {
        Self(tel)
    }

    /// The number itself: a virtual number is no secret.
    pub const fn tel(self) -> Tel {
        self.0
    }
}

impl fmt::Debug for VirtualNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.digits())
    }
}

/// Proof that a binding's terms allow one party's real number to be shown to the other. Minted by
/// [`Consent::recorded`] and [`Consent::of_emergency`] alone, whose callers `tests/house.rs` keeps to the binding's terms
/// and to emergency calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Consent(());

impl Consent {
    /// The consent that a binding's audited terms carry for one direction.
    pub const fn recorded() -> Self {
        Self(())
    }

    /// What the law puts in a consent's place where somebody calls for help: those who answer must know who calls.
    pub const fn of_emergency() -> Self {
        Self(())
    }
}

/// The caller identity that a called party sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// A number of ours.
    Virtual(VirtualNumber),
    /// The caller's own number, by consent, or to an emergency service.
    Real(RealNumber, Consent),
    /// No number at all (RFC 3323 anonymous).
    Withheld,
}

/// How numbers are written towards a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// As dialled inside the country (`13800000001`, `057187654321`, `0085291234567`).
    #[default]
    National,
    /// Country code and number without a sign (`8613800000001`).
    E164,
    /// E.164 with `+` (`+8613800000001`).
    Plus,
}

/// The text isn't a number that can be kept and written back unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Nothing there.
    #[error("the number is empty")]
    Empty,
    /// More than 18 digits.
    #[error("a number has at most 18 digits")]
    TooLong,
    /// Characters that no number has.
    #[error("a number holds digits, separators and a leading + only")]
    NotANumber,
    /// Digits that fit none of the country's forms, so two writings of it could not be told to be one.
    #[error("the digits fit no number of country {0}: write it in full, with + and the country code")]
    Unplaced(u16),
}

/// How one country dials: the settings by which every writing of a number is read as one subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumberPlan {
    country: u16,
    /// The country code as text.
    code: ArrayString<4>,
    /// Dialled before a number of another country.
    international: &'static str,
    /// Dialled before an area code inside the country.
    trunk: &'static str,
}

impl Default for NumberPlan {
    fn default() -> Self {
        Self {
            country: 86,
            code: country_text(86),
            international: "00",
            trunk: "0",
        }
    }
}

impl NumberPlan {
    /// The plan of a country code (`86`). `None` if that isn't one to three digits.
    pub fn new(country: &str) -> Option<Self> {
        let code: u16 = country
            .parse()
            .ok()
            .filter(|c| (1..=999).contains(c) && !country.starts_with('+'))?;
        let (international, trunk) = match code {
            1 => ("011", "1"),
            7 => ("810", "8"),
            852 | 853 | 65 | 34 | 45 | 47 | 351 | 30 | 420 | 48 => ("00", ""),
            _ => ("00", "0"),
        };
        Some(Self {
            country: code,
            code: country_text(code),
            international,
            trunk,
        })
    }

    /// The country code, without sign.
    pub fn country(&self) -> u16 {
        self.country
    }

    /// Reads a number as it stands in a URI's user part, a `tel:` URI's subscriber, a conf file or an API
    /// field: `+`, `00`, trunk prefix, bare country code, separators, `%2B`, and the parameters of
    /// RFC 3966 (`;phone-context=`, `;npdi`) are understood.
    ///
    /// # Errors
    /// What cannot be placed, or would not be written back as the same number, is refused.
    pub fn normalise(&self, text: &str) -> Result<Tel, NumberError> {
        let mut parts = text.trim().split(';');
        let number = parts.next().unwrap_or_default();
        let context = parts
            .find_map(|p| p.strip_prefix("phone-context="))
            .map(|c| c.trim_start_matches("%2B").trim_start_matches('+'));
        let (plus, digits) = fold(number)?;
        let tel = if plus {
            self.international_number(&digits)
        } else if let Some(country) =
            context.filter(|c| !c.is_empty() && c.bytes().all(|b| b.is_ascii_digit()))
        {
            let mut whole = Digits::new();
            whole.try_push_str(country).map_err(|_| NumberError::TooLong)?;
            let subscriber = if self.trunk == "0" {
                digits.trim_start_matches('0')
            } else {
                &digits
            };
            whole.try_push_str(subscriber).map_err(|_| NumberError::TooLong)?;
            self.international_number(&whole)
        } else {
            self.dialled_number(&digits)
        }?;
        if self.reads_its_own(tel) {
            Ok(tel)
        } else {
            Err(NumberError::Unplaced(self.country))
        }
    }

    /// Whether a number, written as it is dialled here and with `+`, is read as itself. What we write is digits, behind
    /// a plus or none: nothing to fold.
    fn reads_its_own(&self, tel: Tel) -> bool {
        let digits = tel.digits();
        let national = match tel.kind() {
            // One writing, whatever the format.
            Kind::National | Kind::Short | Kind::Service => return self.dialled_number(&digits) == Ok(tel),
            Kind::E164 => self.national_part(&digits),
        };
        let is_dialled_so = match national {
            Some(national) if self.dialled_bare(national) => self.dialled_number(national) == Ok(tel),
            Some(_) | None => self.dialled_number(&self.write(tel, Format::National)) == Ok(tel),
        };
        is_dialled_so && self.international_number(&digits) == Ok(tel)
    }

    /// Writes a number. Numbers that exist only nationally are written as they are dialled, whatever the
    /// format.
    pub fn write(&self, tel: Tel, format: Format) -> Digits {
        self.written(tel.kind(), tel.digits(), format)
    }

    /// The writings of a number without a sign: [`Format::National`] and [`Format::E164`].
    pub fn unsigned(&self, tel: Tel) -> [Digits; 2] {
        let digits = tel.digits();
        [self.written(tel.kind(), digits, Format::National), digits]
    }

    fn written(&self, kind: Kind, digits: Digits, format: Format) -> Digits {
        let mut out = Digits::new();
        match (kind, format) {
            (Kind::National | Kind::Short | Kind::Service, _) | (Kind::E164, Format::E164) => return digits,
            (Kind::E164, Format::Plus) => out.push('+'),
            (Kind::E164, Format::National) => match self.national_part(&digits) {
                None => out.push_str(self.international),
                Some(national) => {
                    if !self.dialled_bare(national) {
                        out.push_str(self.trunk);
                    }
                    out.push_str(national);
                    return out;
                }
            },
        }
        out.push_str(&digits);
        out
    }

    /// A number as records, the API and events write it: E.164 with `+`, or as dialled nationally.
    pub fn record(&self, tel: Tel) -> Digits {
        self.write(tel, Format::Plus)
    }

    /// A virtual number as records, the API and people write it: as it is dialled nationally.
    pub fn virtual_text(&self, x: VirtualNumber) -> Digits {
        self.write(x.tel(), Format::National)
    }

    fn international_number(&self, digits: &str) -> Result<Tel, NumberError> {
        if digits.starts_with('0') {
            return Err(NumberError::Unplaced(self.country));
        }
        let e164 = || {
            // E.164 itself ends at 15 digits; longer ones exist (700… and private plans) and are kept.
            if digits.len() < 5 {
                None
            } else {
                Tel::new(Kind::E164, digits)
            }
        };
        match self.national_part(digits) {
            Some(national) => match self.national_only(national) {
                Some(kind) => Tel::new(kind, national),
                None => e164(),
            },
            None => e164(),
        }
        .ok_or(NumberError::Unplaced(self.country))
    }

    fn dialled_number(&self, digits: &str) -> Result<Tel, NumberError> {
        if let Some(rest) = digits.strip_prefix(self.international).filter(|r| r.len() >= 5) {
            return self.international_number(rest);
        }
        if let Some(kind) = self.national_only(digits) {
            return Tel::new(kind, digits).ok_or(NumberError::TooLong);
        }
        if let Some(rest) = digits.strip_prefix(self.trunk).filter(|_| !self.trunk.is_empty()) {
            let bare_mobile = self.trunk == "1" || !rest.starts_with('0');
            if bare_mobile && (7..=12).contains(&rest.len()) {
                return self.home(rest);
            }
        }
        if self.dialled_bare(digits) {
            return self.home(digits);
        }
        // A bare country code: 8613800000001.
        if self.national_part(digits).is_some_and(|n| n.len() >= 8) {
            return self.international_number(digits);
        }
        Err(NumberError::Unplaced(self.country))
    }

    fn home(&self, national: &str) -> Result<Tel, NumberError> {
        let mut whole = Digits::new();
        whole.push_str(&self.code);
        whole.try_push_str(national).map_err(|_| NumberError::TooLong)?;
        Tel::new(Kind::E164, &whole).ok_or(NumberError::TooLong)
    }

    fn national_part<'a>(&self, digits: &'a str) -> Option<&'a str> {
        digits.strip_prefix(self.code.as_str())
    }

    /// The kind of a number that has no E.164 form, if `national` is one.
    fn national_only(&self, national: &str) -> Option<Kind> {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|p| national.starts_with(p));
        if self.country == 86 {
            match national.len() {
                3..=6 if starts(&["1", "95", "96"]) => return Some(Kind::Short),
                7..=18 if starts(&["95"]) && national.len() != 10 => return Some(Kind::Service),
                10 if starts(&["400", "800", "95"]) => return Some(Kind::Service),
                15 if starts(&["700"]) => return Some(Kind::Service),
                _ => {}
            }
        }
        ((3..=6).contains(&national.len()) && !national.starts_with('0') && self.country != 86)
            .then_some(Kind::Short)
    }

    /// Whether a national number is dialled without the trunk prefix (mobiles in China; everything where
    /// there is no such prefix).
    fn dialled_bare(&self, national: &str) -> bool {
        match self.country {
            86 => national.len() == 11 && national.starts_with('1') && !national.starts_with("10"),
            1 => national.len() == 10,
            _ => self.trunk.is_empty() && (7..=12).contains(&national.len()),
        }
    }
}

/// A country code of at most three digits as text.
fn country_text(code: u16) -> ArrayString<4> {
    let mut text = ArrayString::new();
    for weight in [100, 10, 1] {
        if code >= weight {
            text.push(char::from(b'0' + (code / weight % 10) as u8));
        }
    }
    text
}

/// The leading `+` and the digits of a number as people write it.
fn fold(text: &str) -> Result<(bool, Digits), NumberError> {
    let unescaped;
    let text = if text.contains('%') {
        unescaped = text
            .replace("%2B", "+")
            .replace("%2b", "+")
            .replace("%20", " ")
            .replace("%23", "#");
        &unescaped
    } else {
        text
    };
    let (plus, rest) = match text.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // One prefix may precede the 18 digits.
    let mut digits = arrayvec::ArrayVec::<u8, DIGITS_ROOM>::new();
    for c in rest.bytes() {
        match c {
            b'0'..=b'9' => digits.try_push(c).map_err(|_| NumberError::TooLong)?,
            b'-' | b'.' | b'(' | b')' | b' ' => {}
            _ => return Err(NumberError::NotANumber),
        }
    }
    match std::str::from_utf8(&digits).map(Digits::from) {
        Ok(Ok(digits)) if !digits.is_empty() => Ok((plus, digits)),
        _ => Err(NumberError::Empty),
    }
}

#[cfg(test)]
mod tests;

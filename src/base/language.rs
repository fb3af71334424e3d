//! A language that prompts are spoken in, by its short name.

use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};

/// Letters of the longest name: `zh-hant-hk`, say, with room.
const LETTERS_MAX: usize = 12;

/// A language by its tag of RFC 5646 in small letters: `zh`, `en`, `zh-hk`. It is a folder's name too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(ArrayString<LETTERS_MAX>);

/// What is no language's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("write a language as zh, en or zh-hk: small letters, digits and -, 2 to 12 of them, a letter first")]
pub struct NoLanguage;

impl Language {
    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Chinese.
    pub fn chinese() -> Self {
        Self::from_str("zh").expect("it is a name")
    }

    /// English.
    pub fn english() -> Self {
        Self::from_str("en").expect("it is a name")
    }
}

impl Default for Language {
    fn default() -> Self {
        Self::chinese()
    }
}

impl FromStr for Language {
    type Err = NoLanguage;

    fn from_str(text: &str) -> Result<Self, NoLanguage> {
        let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let starts = text.bytes().next().is_some_and(|c| c.is_ascii_lowercase());
        if text.len() < 2 || !starts || text.ends_with('-') || !text.bytes().all(is_plain) {
            return Err(NoLanguage);
        }
        ArrayString::from(text).map(Self).map_err(|_| NoLanguage)
    }
}

impl TryFrom<String> for Language {
    type Error = NoLanguage;

    fn try_from(text: String) -> Result<Self, NoLanguage> {
        text.parse()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.name().to_owned()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_a_tag_that_can_be_a_folder() {
        for name in ["zh", "en", "zh-hk", "yue", "es-419"] {
            assert_eq!(
                name.parse::<Language>().map(|l| l.to_string()),
                Ok(name.to_owned())
            );
        }
        for other in [
            "",
            "z",
            "ZH",
            "../x",
            "zh/",
            "zh_CN",
            "-zh",
            "zh-",
            "4x",
            "abcdefghijklm",
        ] {
            assert_eq!(other.parse::<Language>(), Err(NoLanguage), "{other}");
        }
    }
}

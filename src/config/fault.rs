//! What is wrong with a conf file: where, the offending text, and what to do instead.

use std::fmt;

use crate::media::prompts::BadFile;

/// One fault of a conf file. Prints as `conf/trunks.toml:12: the offending text: what to do instead`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; `None` where the whole file is meant.
    pub line: Option<usize>,
    /// The offending text, one line of it; may be empty.
    pub text: String,
    /// What is wrong, and the cure.
    pub cure: String,
}

impl Fault {
    /// A prompt's file that can't be heard.
    pub(super) fn of_prompt(bad: BadFile) -> Self {
        Self {
            file: bad.path.display().to_string(),
            line: None,
            text: String::new(),
            cure: bad.why,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        write!(f, ": {}", self.cure)
    }
}

/// Everything that is wrong, in the order of the files and lines. Prints one line each. Never empty as an error.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

//! The menu of a 400 number: what its callers hear, and whom each answer leads to.
//!
//! An answer is `*`, `#`, or one to four digits. No answer begins with another one, so that it is whole with its last
//! key, without a pause behind it.

use super::cues::is_name;
use super::keyed::Keyed;
use super::request::MenuRefused;
use crate::base::limits::{MENU_CHOICES_MAX, MENU_DIGITS_MAX, RING_LIST_MAX};
use crate::base::number::RealNumber;

/// A menu.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Menu {
    /// The prompt that says what there is to choose, as the prompt store names it.
    pub prompt: Box<str>,
    /// The answers, in the order in which they were named.
    pub choices: Vec<Choice>,
    /// The answer that counts for whoever keys nothing; he is asked again if `None`.
    pub default: Option<Keyed>,
}

/// An answer of a menu.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Choice {
    /// What is keyed.
    pub keys: Keyed,
    /// Who rings: one, or several of them one after the other.
    pub to: Vec<RealNumber>,
}

impl Menu {
    /// The answer that this is.
    pub fn choice(&self, keyed: Keyed) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.keys == keyed)
    }

    /// Whether a longer answer begins with these digits.
    pub fn goes_on_after(&self, digits: &str) -> bool {
        let mut answers = self.choices.iter().map(|choice| choice.keys.to_string());
        answers.any(|answer| answer.len() > digits.len() && answer.starts_with(digits))
    }

    /// Everything within its bounds.
    ///
    /// # Errors
    /// The place that isn't, and what it may be.
    pub(super) fn check(&self) -> Result<(), MenuRefused> {
        if !is_name(&self.prompt) {
            return Err(MenuRefused::Prompt);
        }
        if !(1..=MENU_CHOICES_MAX).contains(&self.choices.len()) {
            return Err(MenuRefused::Choices);
        }
        for (place, Choice { keys, to }) in self.choices.iter().enumerate() {
            let keys = *keys;
            let text = keys.to_string();
            if !(1..=MENU_DIGITS_MAX).contains(&text.len()) {
                return Err(MenuRefused::Keys);
            }
            let (before, behind) = (
                self.choices.iter().take(place),
                self.choices.iter().skip(place + 1),
            );
            let mut others = before.chain(behind).map(|other| other.keys);
            if let Some(other) = others.find(|other| other.to_string().starts_with(&text)) {
                return Err(MenuRefused::Begins { keys, other });
            }
            let once = |number| to.iter().filter(|other| *other == number).count() == 1;
            if to.is_empty() || to.len() > RING_LIST_MAX || !to.iter().all(once) {
                return Err(MenuRefused::Numbers { keys });
            }
        }
        match self.default {
            Some(keys) if self.choice(keys).is_none() => Err(MenuRefused::Default),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::{A, B, real};
    use super::*;

    fn menu(keys: &[&str]) -> Menu {
        Menu {
            prompt: "welcome".into(),
            choices: keys
                .iter()
                .map(|keys| Choice {
                    keys: keys.parse().expect("keys"),
                    to: vec![real(A), real(B)],
                })
                .collect(),
            default: None,
        }
    }

    #[test]
    fn a_menu_is_one_to_twenty_answers_of_which_none_begins_with_another() {
        assert_eq!(menu(&["1", "2", "31", "32", "*", "#", "0"]).check(), Ok(()));
        assert_eq!(menu(&[]).check(), Err(MenuRefused::Choices));
        let many: Vec<String> = (10..31).map(|n: u8| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(menu(&many).check(), Err(MenuRefused::Choices));
        assert_eq!(menu(&["12345"]).check(), Err(MenuRefused::Keys));
        for (one, other) in [("3", "31"), ("1", "1")] {
            let refused = menu(&[one, "2", other]).check();
            let keys = |text: &str| text.parse().expect("keys");
            let (keys, other) = (keys(one), keys(other));
            assert_eq!(refused, Err(MenuRefused::Begins { keys, other }));
        }
        let nothing = Menu {
            choices: vec![Choice {
                keys: Keyed::Nothing,
                to: vec![real(A)],
            }],
            ..menu(&["1"])
        };
        assert_eq!(nothing.check(), Err(MenuRefused::Keys));
    }

    #[test]
    fn its_prompt_its_numbers_and_what_counts_for_nobodys_answer_are_held_against_their_bounds() {
        let one: Keyed = "1".parse().expect("keys");
        let with = |change: fn(&mut Menu)| {
            let mut menu = menu(&["1", "2"]);
            change(&mut menu);
            menu.check()
        };
        assert_eq!(with(|m| m.prompt = "".into()), Err(MenuRefused::Prompt));
        let numbers = Err(MenuRefused::Numbers { keys: one });
        assert_eq!(with(|m| m.choices[0].to.clear()), numbers);
        assert_eq!(with(|m| m.choices[0].to = vec![real(A), real(A)]), numbers);
        assert_eq!(with(|m| m.default = "3".parse().ok()), Err(MenuRefused::Default));
        assert_eq!(with(|m| m.default = "2".parse().ok()), Ok(()));
    }

    #[test]
    fn it_knows_whether_more_keys_can_follow() {
        let menu = menu(&["1", "31", "32"]);
        let goes_on = ["", "1", "3", "31", "4"].map(|digits| menu.goes_on_after(digits));
        assert_eq!(goes_on, [true, false, true, false, false]);
    }
}

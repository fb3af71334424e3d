//! What callers are told in words: which prompt, in which language, and whose.
//!
//! A prompt is found by its name. A pool may have its own wording, else its account, else the server's folder, else there is
//! the one that ships. The language comes first: whoever hears English is told everything in English, as far as there is.

use std::collections::HashMap;
use std::sync::Arc;

use super::phase::Call;
use crate::base::language::Language;
use crate::masking::reason::Reason;
use crate::rtp::clip::Clip;

/// A prompt that the server itself has a use for. There may be others, by names of their own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PromptName {
    /// The number isn't in service: one face for whoever is no live party.
    Unknown,
    /// The number, or its owner's account, is out of service for now.
    Suspended,
    /// Callers have to show their number.
    Unidentified,
    /// The call isn't allowed.
    Barred,
    /// Nobody was named whom A reaches by his own number.
    NoCallee,
    /// The called party is busy.
    Busy,
    /// The called party doesn't answer.
    NoAnswer,
    /// The called party doesn't take the call.
    Rejected,
    /// The called party can't be reached.
    Unreachable,
    /// The way there is busy.
    Congestion,
    /// Key in the extension.
    EnterExtension,
    /// Key in the extension, or `#` for who called last.
    ExtensionOrCallback,
    /// There is no such extension: once more.
    WrongExtension,
    /// Nothing was keyed: once more.
    NoDigits,
    /// Too many tries: the call ends.
    TooManyTries,
    /// A choice of a menu that there isn't.
    WrongChoice,
    /// The call ends.
    Goodbye,
    /// Somebody is being called.
    Connecting,
    /// Wait, please.
    Wait,
    /// The call is recorded.
    Recorded,
    /// A minute is left.
    LastMinute,
    /// How was it? Key a number.
    Question,
    /// Thanks for the answer.
    Thanks,
    /// To the called party, before it talks: a call by the masked number.
    Whisper,
}

impl PromptName {
    /// Each with the name of its file.
    pub const ALL: [(&str, Self); 24] = [
        ("unknown", Self::Unknown),
        ("suspended", Self::Suspended),
        ("unidentified", Self::Unidentified),
        ("barred", Self::Barred),
        ("no_callee", Self::NoCallee),
        ("busy", Self::Busy),
        ("no_answer", Self::NoAnswer),
        ("rejected", Self::Rejected),
        ("unreachable", Self::Unreachable),
        ("congestion", Self::Congestion),
        ("enter_extension", Self::EnterExtension),
        ("extension_or_callback", Self::ExtensionOrCallback),
        ("wrong_extension", Self::WrongExtension),
        ("no_digits", Self::NoDigits),
        ("too_many_tries", Self::TooManyTries),
        ("wrong_choice", Self::WrongChoice),
        ("goodbye", Self::Goodbye),
        ("connecting", Self::Connecting),
        ("wait", Self::Wait),
        ("recorded", Self::Recorded),
        ("last_minute", Self::LastMinute),
        ("question", Self::Question),
        ("thanks", Self::Thanks),
        ("whisper", Self::Whisper),
    ];

    /// The name of its file, without `.wav`; records and requests name it so too.
    pub fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, prompt)| *prompt == self);
        named.map_or("", |(name, _)| name)
    }

    /// What a caller is told for this reason; `None`: nothing, because there is no time or no way for it. Whoever must not
    /// be able to tell reasons apart hears one prompt for all of them.
    pub const fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::NotOurs | Reason::Expired | Reason::NoBinding | Reason::Unallocated => {
                Some(Self::Unknown)
            }
            Reason::AccountSuspended | Reason::NumberFrozen => Some(Self::Suspended),
            Reason::Unidentified => Some(Self::Unidentified),
            Reason::Blocked
            | Reason::Frequency
            | Reason::Direction
            | Reason::SelfCall
            | Reason::TrunkMayNotShow => Some(Self::Barred),
            Reason::NoCallee | Reason::CallbackTone => Some(Self::NoCallee),
            Reason::Busy => Some(Self::Busy),
            Reason::NoAnswer => Some(Self::NoAnswer),
            Reason::Rejected => Some(Self::Rejected),
            Reason::Unreachable => Some(Self::Unreachable),
            Reason::Quota | Reason::TrunkDown | Reason::CustomerServer | Reason::Internal => {
                Some(Self::Congestion)
            }
            Reason::Overload
            | Reason::Loop
            | Reason::Media
            | Reason::Cut
            | Reason::Cancelled
            | Reason::Protocol
            | Reason::Restart => None,
        }
    }
}

/// Whose wording a prompt has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// The one that ships with the server.
    Shipped,
    /// The server's own.
    Server,
    /// An account's, by its name.
    Account(Box<str>),
    /// A pool's, by its key.
    Pool(Box<str>),
}

/// On whose behalf somebody is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Home<'a> {
    /// The account; empty: none is known.
    pub account: &'a str,
    /// The pool, by its key; empty: none is known.
    pub pool: &'a str,
    /// What the pool speaks, or else the account; `None`: what the server does.
    pub language: Option<Language>,
}

impl Call {
    /// On whose behalf its parties are spoken to.
    pub fn home(&self) -> Home<'_> {
        Home {
            account: &self.record.account,
            pool: self.record.pool.as_deref().unwrap_or_default(),
            language: self.speaks,
        }
    }
}

/// One prompt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prompt {
    /// The sound.
    pub clip: Arc<Clip>,
    /// Whose it is.
    pub owner: Owner,
    /// The language.
    pub language: Language,
    /// The name.
    pub name: Box<str>,
}

/// Every prompt that there is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Prompts {
    language: Language,
    /// By name; those of one by language and then owner: whoever has it for himself comes after who lends it.
    all: HashMap<Box<str>, Vec<Prompt>>,
}

impl Prompts {
    /// None yet; they speak `language` where nobody says.
    pub fn speaking(language: Language) -> Self {
        Self {
            language,
            all: HashMap::new(),
        }
    }

    /// The language where nobody says.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// Adds a prompt, in place of the one of the same owner, language and name. One that sounds like another is in memory
    /// once.
    pub fn add(&mut self, mut prompt: Prompt) {
        let mut others = self.all.values().flatten();
        if let Some(same) = others.find(|other| other.clip == prompt.clip) {
            prompt.clip = same.clip.clone();
        }
        let variants = self.all.entry(prompt.name.clone()).or_default();
        let key = (prompt.language, &prompt.owner);
        match variants.binary_search_by(|other| (other.language, &other.owner).cmp(&key)) {
            Ok(place) => {
                if let Some(old) = variants.get_mut(place) {
                    *old = prompt;
                }
            }
            Err(place) => variants.insert(place, prompt),
        }
    }

    /// Takes a prompt away: this owner's, in this language, by this name.
    pub fn remove(&mut self, owner: &Owner, language: Language, name: &str) {
        if let Some(variants) = self.all.get_mut(name) {
            variants.retain(|prompt| prompt.language != language || prompt.owner != *owner);
            // Names come and go for as long as the server runs.
            if variants.is_empty() {
                self.all.remove(name);
            }
        }
    }

    /// Takes the sound of each prompt that is the same in these: calls that began before hold theirs anyway, and two of one
    /// would be twice the memory.
    pub fn share(&mut self, before: &Self) {
        for (name, variants) in &mut self.all {
            let old = before.all.get(name).map_or(&[][..], Vec::as_slice);
            for prompt in variants {
                if let Some(same) = old.iter().find(|old| **old == *prompt) {
                    prompt.clip = same.clip.clone();
                }
            }
        }
    }

    /// All of them, by language, name and owner.
    pub fn list(&self) -> Vec<&Prompt> {
        let mut all: Vec<&Prompt> = self.all.values().flatten().collect();
        all.sort_by(|one, other| {
            (one.language, &one.name, &one.owner).cmp(&(other.language, &other.name, &other.owner))
        });
        all
    }

    /// What is heard on behalf of `home` by a name of the server's own.
    pub fn clip(&self, home: Home<'_>, name: PromptName) -> Option<Arc<Clip>> {
        self.named(home, name.name())
    }

    /// What is heard on behalf of `home` by this name; `None` if there is no such prompt. What isn't there in its language
    /// is spoken in the server's, else in English.
    pub fn named(&self, home: Home<'_>, name: &str) -> Option<Arc<Clip>> {
        self.found(home, name).map(|prompt| prompt.clip.clone())
    }

    /// The same, with whose it is.
    pub fn found(&self, home: Home<'_>, name: &str) -> Option<&Prompt> {
        let languages = [
            home.language.unwrap_or(self.language),
            self.language,
            Language::english(),
        ];
        let variants = self.all.get(name)?;
        languages.into_iter().find_map(|language| {
            let is_for = |prompt: &&Prompt| match &prompt.owner {
                Owner::Shipped | Owner::Server => true,
                Owner::Account(account) => **account == *home.account,
                Owner::Pool(pool) => **pool == *home.pool,
            };
            let mut spoken = variants.iter().rev().filter(|prompt| prompt.language == language);
            spoken.find(is_for)
        })
    }

    /// Makes what isn't made yet of those that don't ship, which may be long, so that no call waits for that. It may take
    /// seconds.
    pub fn prepare(&self) {
        let own = self.all.values().flatten();
        own.filter(|prompt| prompt.owner != Owner::Shipped)
            .for_each(|prompt| prompt.clip.prepare());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::refusal;
    use crate::rtp::clip::Repeats;

    fn prompt(owner: Owner, language: Language, name: &str, level: i16) -> Prompt {
        Prompt {
            clip: Arc::new(Clip::new(&[level; 160], Repeats::Once)),
            owner,
            language,
            name: name.into(),
        }
    }

    #[test]
    fn the_nearest_owner_speaks_and_the_language_comes_first() {
        let (zh, en) = (Language::chinese(), Language::english());
        let mut prompts = Prompts::speaking(zh);
        let home = Home {
            account: "shop",
            pool: "north",
            language: None,
        };
        assert_eq!(prompts.clip(home, PromptName::Busy), None);
        for (level, (owner, language)) in [
            (Owner::Pool("north".into()), zh),
            (Owner::Account("shop".into()), zh),
            (Owner::Server, zh),
            (Owner::Shipped, zh),
            (Owner::Shipped, en),
            (Owner::Account("shop".into()), en),
        ]
        .into_iter()
        .enumerate()
        {
            prompts.add(prompt(owner, language, "busy", (level as i16 + 1) * 1_000));
        }
        let heard = |account, pool, language| {
            let home = Home {
                account,
                pool,
                language,
            };
            prompts.found(home, "busy").map(|p| (p.owner.clone(), p.language))
        };
        assert_eq!(
            heard("shop", "north", None),
            Some((Owner::Pool("north".into()), zh))
        );
        assert_eq!(
            heard("shop", "south", None),
            Some((Owner::Account("shop".into()), zh))
        );
        assert_eq!(heard("other", "south", None), Some((Owner::Server, zh)));
        assert_eq!(heard("other", "", Some(en)), Some((Owner::Shipped, en)));
        assert_eq!(
            heard("shop", "north", Some(en)),
            Some((Owner::Account("shop".into()), en))
        );
        let french = "fr".parse().ok();
        assert_eq!(
            heard("shop", "north", french),
            Some((Owner::Pool("north".into()), zh)),
            "nobody speaks it: what the server speaks"
        );
        assert_eq!(prompts.list().len(), 6);
        assert_eq!(prompts.named(home, "no_such"), None);
    }

    #[test]
    fn a_prompt_takes_the_place_of_the_one_before() {
        let zh = Language::chinese();
        let mut prompts = Prompts::speaking(zh);
        prompts.add(prompt(Owner::Server, zh, "busy", 1));
        prompts.add(prompt(Owner::Server, zh, "busy", 9_000));
        let clip = prompts
            .clip(Home::default(), PromptName::Busy)
            .expect("it is there");
        assert_eq!(*clip, Clip::new(&[9_000; 160], Repeats::Once));
        assert_eq!(prompts.list().len(), 1);
    }

    #[test]
    fn prompts_that_sound_alike_are_in_memory_once_and_one_that_goes_leaves_the_others() {
        let zh = Language::chinese();
        let pool = Owner::Pool("couriers".into());
        let mut prompts = Prompts::speaking(zh);
        prompts.add(prompt(Owner::Server, zh, "busy", 9_000));
        prompts.add(prompt(pool.clone(), zh, "wait", 9_000));
        prompts.add(prompt(Owner::Server, zh, "wait", 1_000));
        let home = Home {
            pool: "couriers",
            ..Home::default()
        };
        let clip = |prompts: &Prompts, home, name: &str| prompts.named(home, name).expect("it is there");
        assert!(Arc::ptr_eq(
            &clip(&prompts, home, "busy"),
            &clip(&prompts, home, "wait")
        ));
        assert!(!Arc::ptr_eq(
            &clip(&prompts, home, "busy"),
            &clip(&prompts, Home::default(), "wait")
        ));
        prompts.remove(&Owner::Server, zh, "busy");
        assert!(prompts.named(home, "busy").is_none());
        assert_eq!(
            *clip(&prompts, home, "wait"),
            Clip::new(&[9_000; 160], Repeats::Once)
        );
    }

    #[test]
    fn nothing_is_left_of_a_name_whose_last_prompt_is_removed() {
        let zh = Language::chinese();
        let mut prompts = Prompts::speaking(zh);
        prompts.add(prompt(Owner::Server, zh, "special", 1));
        prompts.remove(&Owner::Server, zh, "special");
        assert_eq!(prompts, Prompts::speaking(zh));
    }

    #[test]
    fn what_was_read_again_and_is_the_same_is_in_memory_once() {
        let zh = Language::chinese();
        let read = |levels: [i16; 2]| {
            let mut prompts = Prompts::speaking(zh);
            prompts.add(prompt(Owner::Server, zh, "busy", levels[0]));
            prompts.add(prompt(Owner::Server, zh, "wait", levels[1]));
            prompts
        };
        let (before, mut after) = (read([1_000, 2_000]), read([1_000, 9_000]));
        after.share(&before);
        assert_eq!(after, read([1_000, 9_000]));
        let are_one = |name: &str| {
            let [old, new] = [&before, &after].map(|prompts| prompts.named(Home::default(), name));
            Arc::ptr_eq(&old.expect("it is there"), &new.expect("it is there"))
        };
        assert_eq!((are_one("busy"), are_one("wait")), (true, false));
    }

    #[test]
    fn whoever_must_not_tell_reasons_apart_hears_one_prompt() {
        for reason in [Reason::NotOurs, Reason::Expired, Reason::NoBinding] {
            assert!(refusal::is_one_face(reason));
            assert_eq!(PromptName::of(reason), Some(PromptName::Unknown));
        }
    }

    #[test]
    fn every_prompt_has_a_name_of_its_own() {
        for (name, prompt) in PromptName::ALL {
            assert_eq!(prompt.name(), name);
            assert_eq!(
                PromptName::ALL.iter().filter(|(other, _)| *other == name).count(),
                1
            );
        }
    }
}

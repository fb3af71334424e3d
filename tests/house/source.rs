//! Reading Rust as text: what is code, its words, its items, its paths.

/// A word or a sign of the source; `::` is one sign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    pub line: usize,
    pub text: String,
}

/// Where a path begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Root {
    /// At the crate: by `crate::`, or by enough `super::`.
    Crate,
    /// In scope, in another crate, or in the own room.
    Elsewhere,
}

/// One whole path, out of an expression or unfolded from a `use` tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathName {
    pub line: usize,
    pub root: Root,
    pub names: Vec<String>,
}

/// The source with comments and the insides of literals blanked; lines stay where they were.
pub fn bare(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut out = String::with_capacity(source.len());
    let blank = |out: &mut String, from: usize, to: usize| {
        for index in from..to.min(chars.len()) {
            out.push(if at(index) == '\n' { '\n' } else { ' ' });
        }
    };
    let mut index = 0;
    while index < chars.len() {
        let in_word = index > 0 && is_word(at(index - 1));
        let end = match at(index) {
            '/' if at(index + 1) == '/' => (index..chars.len()).find(|i| at(*i) == '\n'),
            '/' if at(index + 1) == '*' => {
                let (mut depth, mut i) = (1, index + 2);
                while depth > 0 && i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                }
                Some(i)
            }
            '"' => Some(end_of_quoted(&chars, index, '"')),
            // A quote begins a character if it ends right after one, or after an escape; else a lifetime.
            '\'' if at(index + 1) == '\\' || at(index + 2) == '\'' => {
                Some(end_of_quoted(&chars, index, '\''))
            }
            'r' if !in_word || matches!(at(index - 1), 'b' | 'c') => {
                let hashes = (index + 1..chars.len()).take_while(|i| at(*i) == '#').count();
                let open = index + 1 + hashes;
                if at(open) == '"' {
                    let closes = |i: &usize| at(*i) == '"' && (1..=hashes).all(|n| at(i + n) == '#');
                    let close = (open + 1..chars.len()).find(closes);
                    Some(close.map_or(chars.len(), |close| close + 1 + hashes))
                } else {
                    Some(index)
                }
            }
            _ => Some(index),
        };
        let end = end.unwrap_or(chars.len());
        if end == index {
            out.push(at(index));
            index += 1;
        } else {
            blank(&mut out, index, end);
            index = end;
        }
    }
    out
}

fn end_of_quoted(chars: &[char], open: usize, quote: char) -> usize {
    let mut index = open + 1;
    while let Some(c) = chars.get(index) {
        match c {
            '\\' => index += 2,
            c if *c == quote => return index + 1,
            _ => index += 1,
        }
    }
    chars.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub fn words(bare: &str) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::new();
    for (line, text) in bare.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (word, after) = rest.split_at(length);
            out.push(Word {
                line: line + 1,
                text: word.into(),
            });
            rest = after.trim_start();
        }
    }
    // `r#type` is `type`.
    let raw = |run: &[Word]| run[0].text == "r" && run[1].text == "#";
    while let Some(at) = out.windows(2).position(raw) {
        out.drain(at..at + 2);
    }
    out
}

pub fn is_cfg_test(words: &[Word]) -> bool {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    words.len() >= attribute.len() && words.iter().zip(attribute).all(|(word, text)| word.text == text)
}

/// The words without the items that only tests see.
pub fn without_tests(words: Vec<Word>) -> Vec<Word> {
    let mut out = Vec::with_capacity(words.len());
    let mut index = 0;
    while index < words.len() {
        match words.get(index..).filter(|rest| is_cfg_test(rest)).and_then(item) {
            Some(length) => index += length,
            None => {
                out.push(words[index].clone());
                index += 1;
            }
        }
    }
    out
}

/// How many words the item behind these attributes has, attributes included. Only whole items: a field or a
/// statement has no end that could be told from its words, so it isn't left out.
fn item(words: &[Word]) -> Option<usize> {
    const ITEMS: [&str; 14] = [
        "mod",
        "fn",
        "use",
        "impl",
        "struct",
        "enum",
        "const",
        "static",
        "type",
        "trait",
        "unsafe",
        "async",
        "extern",
        "macro_rules",
    ];
    let text = |index: usize| words.get(index).map_or("", |word| word.text.as_str());
    let closing = |open: usize, signs: (&str, &str)| {
        let mut depth = 0;
        (open..words.len()).find(|index| {
            depth += i32::from(text(*index) == signs.0) - i32::from(text(*index) == signs.1);
            depth == 0
        })
    };
    let mut index = 0;
    while text(index) == "#" {
        index = closing(index + 1, ("[", "]"))? + 1;
    }
    if text(index) == "pub" {
        index += 1;
        if text(index) == "(" {
            index = closing(index, ("(", ")"))? + 1;
        }
    }
    if !ITEMS.contains(&text(index)) {
        return None;
    }
    let mut depth = 0;
    let end = (index..words.len()).find(|index| {
        depth += i32::from(matches!(text(*index), "(" | "[")) - i32::from(matches!(text(*index), ")" | "]"));
        depth == 0 && matches!(text(*index), "{" | ";")
    })?;
    let last = if text(end) == ";" {
        end
    } else {
        closing(end, ("{", "}"))?
    };
    Some(last + 1)
}

/// Words after which `::` begins a path instead of going on with one.
const KEYWORDS: [&str; 18] = [
    "as", "break", "const", "dyn", "else", "for", "if", "impl", "in", "let", "match", "move", "mut", "ref",
    "return", "unsafe", "use", "while",
];

/// Every path in the words, `use` trees unfolded. `depth` is how deep the file's module lies in the crate.
pub fn paths(words: &[Word], depth: usize) -> Vec<PathName> {
    let mut out = Vec::new();
    // The braces at which inline modules began: within them `super` is one step shorter.
    let mut braces = 0_usize;
    let mut modules: Vec<usize> = Vec::new();
    let mut index = 0;
    while let Some(word) = words.get(index) {
        let before = |back: usize| {
            index
                .checked_sub(back)
                .and_then(|i| words.get(i))
                .map(|w| w.text.as_str())
        };
        match word.text.as_str() {
            "{" => {
                braces += 1;
                if before(2) == Some("mod") {
                    modules.push(braces);
                }
            }
            "}" => {
                modules.retain(|began| *began != braces);
                braces = braces.saturating_sub(1);
            }
            _ => {}
        }
        let goes_on = |word: &str| word == ">" || (word.chars().all(is_word) && !KEYWORDS.contains(&word));
        let begins = word.text.chars().all(is_word)
            && !KEYWORDS.contains(&word.text.as_str())
            && before(1) != Some(".")
            && !(before(1) == Some("::") && before(2).is_some_and(goes_on));
        if !begins {
            index += 1;
            continue;
        }
        let mut found = Vec::new();
        index = unfold(words, index, &mut Vec::new(), &mut found);
        let here = depth + modules.len();
        out.extend(found.into_iter().map(|(line, names)| rooted(line, names, here)));
    }
    out
}

/// Reads one tree of names from `index` on, after `prefix`; gives where it ends.
fn unfold(
    words: &[Word],
    mut index: usize,
    prefix: &mut Vec<String>,
    out: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let text = |index: usize| words.get(index).map_or("", |word| word.text.as_str());
    let line = words.get(index).map_or(0, |word| word.line);
    let held = prefix.len();
    loop {
        match text(index) {
            "{" => {
                index += 1;
                while !matches!(text(index), "}" | "") {
                    index = match text(index) {
                        "," => index + 1,
                        "as" => index + 2,
                        _ => unfold(words, index, prefix, out),
                    };
                }
                index += 1;
                break;
            }
            name => {
                prefix.push(name.into());
                index += 1;
            }
        }
        let goes_on = text(index + 1).chars().all(is_word) || matches!(text(index + 1), "{" | "*");
        if text(index) == "::" && goes_on && index + 1 < words.len() {
            index += 1;
        } else {
            out.push((line, prefix.clone()));
            break;
        }
    }
    prefix.truncate(held);
    index
}

/// Finds out whether a path begins at the crate, seen from a module `depth` steps below it.
fn rooted(line: usize, names: Vec<String>, depth: usize) -> PathName {
    let steps = names
        .iter()
        .take_while(|name| *name == "self" || *name == "super")
        .count();
    let up = names.iter().take(steps).filter(|name| *name == "super").count();
    let (root, skip) = match names.first().map(String::as_str) {
        // `pub(crate)` names no room; `use crate as house` would hide them all.
        Some("crate") if names.len() == 1 => (Root::Elsewhere, 1),
        Some("crate") => (Root::Crate, 1),
        _ if up > 0 && up >= depth => (Root::Crate, steps),
        _ => (Root::Elsewhere, 0),
    };
    PathName {
        line,
        root,
        names: names.into_iter().skip(skip).collect(),
    }
}

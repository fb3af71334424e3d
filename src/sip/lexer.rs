//! Offsets of one message's parts: one pass over the bytes, and no allocation for a message of usual size.
//!
//! A line ends in CRLF and in nothing else. A lone CR or LF is a fault, not a line end: if an edge proxy in front
//! of us and we disagreed on where a header begins, a forged identity could pass it inside another header's value.

use std::fmt;
use std::ops::Range;

use memchr::{memchr, memchr2};
use smallvec::SmallVec;

use super::header::{self, Name, is_lws, is_token, trim};
use super::method::Method;
use super::scan::{find, find_either};
use crate::base::limits::{SIP_HEADERS_MAX, SIP_MESSAGE_BYTES_MAX};

// Offsets are 16 bits wide.
const _: () = assert!(SIP_MESSAGE_BYTES_MAX <= u16::MAX as usize);

/// The first line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// `INVITE sip:… SIP/2.0`
    Request {
        /// The method.
        method: Method,
        /// Its token, which tells two unknown methods apart.
        token: &'a [u8],
        /// The Request-URI as written.
        uri: &'a [u8],
    },
    /// `SIP/2.0 200 OK`
    Response {
        /// 100–699.
        status: u16,
        /// The reason phrase: any bytes but CR and LF, often empty.
        reason: &'a [u8],
    },
}

/// What is wrong with a message, and how a request with that fault would be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) status: u16,
    pub(super) why: &'static str,
}

impl Fault {
    /// 400.
    pub(super) const fn bad(why: &'static str) -> Self {
        Self { status: 400, why }
    }
}

/// Lines that a head has room for by itself: few messages have more. One that has finds room elsewhere, so that the
/// others, which are handed on by value, stay small.
const LINES_USUAL: usize = 32;

/// Start line, header lines, and where the body begins.
pub struct Head<'a> {
    /// The message from its start line on.
    bytes: &'a [u8],
    start: Start<'a>,
    lines: SmallVec<[Line; LINES_USUAL]>,
    /// The names that stand more than once.
    doubled: Names,
    body_at: usize,
}

/// A set of names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Names(u128);

// A name is one bit.
const _: () = assert!((Name::Other as u32) < u128::BITS);

impl Names {
    /// The names listed.
    pub(super) const fn of(list: &[Name]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < list.len() {
            bits |= Self::bit(list[at]);
            at += 1;
        }
        Self(bits)
    }

    const fn bit(name: Name) -> u128 {
        1 << name as u32
    }

    const fn has(self, name: Name) -> bool {
        self.0 & Self::bit(name) != 0
    }

    /// Whether a name stands in both.
    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Puts the name in; says whether it was there before.
    const fn add(&mut self, name: Name) -> bool {
        let before = self.has(name);
        self.0 |= Self::bit(name);
        before
    }
}

/// What every answer repeats (RFC 3261 §8.2.6.2): a request with too many header fields is answered from these.
const REPEATED: Names = Names::of(&[Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq]);

/// One header line; folded ones are one line.
#[derive(Clone, Copy)]
struct Line {
    name: Name,
    token: Span,
    value: Span,
}

#[derive(Clone, Copy)]
struct Span {
    from: u16,
    to: u16,
}

impl Span {
    /// The range is one of a message, whose length fits.
    fn of(range: &Range<usize>) -> Self {
        let narrow = |at| u16::try_from(at).unwrap_or(u16::MAX);
        Self {
            from: narrow(range.start),
            to: narrow(range.end),
        }
    }

    fn read(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(usize::from(self.from)..usize::from(self.to))
            .unwrap_or_default()
    }
}

impl<'a> Head<'a> {
    /// Cuts bytes that a message was read from before, without asking again whether its values are sound. `None` if
    /// they aren't one.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        match lex(bytes) {
            Ok((head, None)) => Some(head),
            Ok((_, Some(_))) | Err(_) => None,
        }
    }

    /// The first line.
    pub const fn start(&self) -> &Start<'a> {
        &self.start
    }

    /// The first such line's value, trimmed. It may hold folds (CRLF and white space).
    pub fn get(&self, name: Name) -> Option<&'a [u8]> {
        self.lines(name).next()
    }

    /// Every such line's value, trimmed, in order.
    pub fn lines(&self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        self.lines
            .iter()
            .filter(move |line| line.name == name)
            .map(|line| line.value.read(self.bytes))
    }

    /// Every value of all such lines: comma lists split outside quotes, `<>` and comments, trimmed, empty ones
    /// left out. Only for headers that are lists (RFC 3261 §7.3.1).
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        self.lines(name).flat_map(header::split)
    }

    /// The first value of a header by its full name, in any case, listed in [`Name`] or not.
    pub fn other(&self, name: &str) -> Option<&'a [u8]> {
        match Name::of(name.as_bytes()) {
            Name::Other => self
                .lines
                .iter()
                .find(|line| line.token.read(self.bytes).eq_ignore_ascii_case(name.as_bytes()))
                .map(|line| line.value.read(self.bytes)),
            listed => self.get(listed),
        }
    }

    /// All that follows the empty line; Content-Length is not applied.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }

    /// The value of a header that has to be there exactly once.
    pub(super) fn only(&self, name: Name, why: &'static str) -> Result<&'a [u8], Fault> {
        self.optional(name, why)?.ok_or(Fault::bad(why))
    }

    /// The value of a header that may be there once, and not twice.
    pub(super) fn optional(&self, name: Name, why: &'static str) -> Result<Option<&'a [u8]>, Fault> {
        if self.doubled.has(name) {
            Err(Fault::bad(why))
        } else {
            Ok(self.get(name))
        }
    }

    /// The names that stand more than once.
    pub(super) const fn doubled(&self) -> Names {
        self.doubled
    }

    /// Takes a line in. A full head gives up its last line that no answer needs for one that answers do need, and
    /// says that it is full.
    fn push(&mut self, line: Line, seen: &mut Names) -> Option<Fault> {
        if seen.add(line.name) {
            self.doubled.add(line.name);
        }
        if self.lines.len() < SIP_HEADERS_MAX {
            self.lines.push(line);
            return None;
        }
        let idle = self.lines.iter_mut().rev().find(|line| !REPEATED.has(line.name));
        if let Some(idle) = idle.filter(|_| REPEATED.has(line.name)) {
            *idle = line;
        }
        Some(Fault {
            status: 513,
            why: "too many header fields",
        })
    }
}

impl fmt::Debug for Head<'_> {
    /// Kind and number of lines; nothing of the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({:?}, {} lines)", self.start, self.lines.len())
    }
}

impl fmt::Debug for Start<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { method, .. } => write!(f, "{method}"),
            Self::Response { status, .. } => write!(f, "{status}"),
        }
    }
}

/// Cuts the bytes. Faulty lines are left out and the first fault is told beside the head, because a faulty request
/// is answered from what is left. The error: nothing that could be answered at all.
pub(super) fn lex(bytes: &[u8]) -> Result<(Head<'_>, Option<Fault>), &'static str> {
    let Opened {
        bytes,
        start,
        mut fault,
        mut walk,
    } = open(bytes)?;
    let mut head = Head {
        bytes,
        start,
        lines: SmallVec::new(),
        doubled: Names::of(&[]),
        body_at: bytes.len(),
    };
    let mut seen = Names::of(&[]);
    loop {
        match walk.step() {
            Step::Line { name, token, value } => {
                let line = Line {
                    name,
                    token: Span::of(&token),
                    value: Span::of(&value),
                };
                let full = head.push(line, &mut seen);
                fault = fault.or(full);
            }
            Step::Faulty(why) => fault = fault.or(Some(Fault::bad(why))),
            Step::Body(at) => {
                head.body_at = at;
                return Ok((head, fault));
            }
            Step::Cut => {
                let cut = Fault::bad("the header section has no end");
                return Ok((head, fault.or(Some(cut))));
            }
        }
    }
}

/// The header lines behind a start line, whatever that says. `None`: the first line has no end.
pub(super) fn headers(bytes: &[u8]) -> Option<Walk<'_>> {
    let at = first_line_end(bytes)?.saturating_add(2);
    Some(Walk { bytes, at })
}

/// A message whose start line has been read.
pub(super) struct Opened<'a> {
    /// The bytes, from the start line on.
    pub(super) bytes: &'a [u8],
    pub(super) start: Start<'a>,
    pub(super) fault: Option<Fault>,
    /// Stands behind the start line.
    pub(super) walk: Walk<'a>,
}

/// Reads the start line. The error: nothing that could be answered.
pub(super) fn open(bytes: &[u8]) -> Result<Opened<'_>, &'static str> {
    // RFC 3261 §7.5: empty lines before the start line are skipped.
    let mut bytes = bytes;
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    if bytes.is_empty() {
        return Err("keep-alive");
    }
    if bytes.len() > SIP_MESSAGE_BYTES_MAX {
        return Err("too long");
    }
    let end = first_line_end(bytes).ok_or("no line")?;
    let (start, fault) = read_start(bytes.get(..end).unwrap_or_default())?;
    let walk = Walk {
        bytes,
        at: end.saturating_add(2),
    };
    Ok(Opened {
        bytes,
        start,
        fault,
        walk,
    })
}

/// Where the first CRLF stands.
fn first_line_end(bytes: &[u8]) -> Option<usize> {
    let mut from: usize = 0;
    loop {
        let at = from.saturating_add(find(bytes.get(from..)?, b'\r')?);
        from = at.saturating_add(1);
        if bytes.get(from) == Some(&b'\n') {
            return Some(at);
        }
    }
}

fn read_start(line: &[u8]) -> Result<(Start<'_>, Option<Fault>), &'static str> {
    const NOT_SIP: &str = "not SIP";
    if line
        .get(..4)
        .is_some_and(|four| four.eq_ignore_ascii_case(b"SIP/"))
    {
        return read_status_line(line).map(|start| (start, None));
    }
    // The URI is all between the first and the last gap, so that a faulty line still shows method and version.
    let trimmed = trim(line);
    let first = find(trimmed, b' ').ok_or(NOT_SIP)?;
    let last = trimmed.iter().rposition(|byte| *byte == b' ').ok_or(NOT_SIP)?;
    let token = trimmed.get(..first).unwrap_or_default();
    let uri = trimmed.get(first.saturating_add(1)..last).unwrap_or_default();
    let version = trimmed.get(last..).unwrap_or_default();
    if !is_token(token) {
        return Err(NOT_SIP);
    }
    let fault = match read_version(trim(version)).ok_or(NOT_SIP)? {
        Version::Other => Some(Fault {
            status: 505,
            why: "version is not SIP/2.0",
        }),
        Version::Two if trimmed.len() != line.len() || !is_request_uri(uri) => {
            Some(Fault::bad("malformed request line"))
        }
        Version::Two => None,
    };
    let start = Start::Request {
        method: Method::from_token(token),
        token,
        uri,
    };
    Ok((start, fault))
}

fn read_status_line(line: &[u8]) -> Result<Start<'_>, &'static str> {
    const BAD: &str = "malformed status line";
    let (version, rest) = line.split_at_checked(7).ok_or(BAD)?;
    match read_version(version).ok_or(BAD)? {
        Version::Two => {}
        Version::Other => return Err("version is not SIP/2.0"),
    }
    let (digits, reason) = rest
        .strip_prefix(b" ")
        .and_then(|rest| rest.split_at_checked(3))
        .ok_or(BAD)?;
    // The space before an empty phrase is sometimes left out.
    if !reason.is_empty() && !reason.starts_with(b" ")
        || reason.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
    {
        return Err(BAD);
    }
    let status = header::decimal(digits, 699)
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| *status >= 100)
        .ok_or(BAD)?;
    Ok(Start::Response {
        status,
        reason: trim(reason),
    })
}

enum Version {
    Two,
    Other,
}

/// `SIP/` and two numbers, in any case (RFC 3261 §7.1).
fn read_version(text: &[u8]) -> Option<Version> {
    if text == b"SIP/2.0" {
        return Some(Version::Two);
    }
    let (name, number) = text.split_at_checked(4)?;
    let digits = number.iter().filter(|byte| byte.is_ascii_digit()).count();
    let dots = number.iter().filter(|byte| **byte == b'.').count();
    if !name.eq_ignore_ascii_case(b"SIP/") || dots != 1 || digits < 2 || digits + 1 != number.len() {
        return None;
    }
    Some(if number == b"2.0" {
        Version::Two
    } else {
        Version::Other
    })
}

/// Free of white space, brackets and quotes (RFC 3261 §7.1). What it means is read elsewhere.
fn is_request_uri(uri: &[u8]) -> bool {
    !uri.is_empty()
        && uri
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"'))
}

/// Names that are longer are looked for with more care: a line without a colon must not cost the whole message.
const PLAIN_NAME_BYTES: usize = 32;

/// Steps from header line to header line.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What a walk meets.
pub(super) enum Step {
    /// A header line: its name, where that stands, and the trimmed value's place.
    Line {
        name: Name,
        token: Range<usize>,
        value: Range<usize>,
    },
    /// A line that is none.
    Faulty(&'static str),
    /// The empty line; the body begins there.
    Body(usize),
    /// The bytes end before the header section does.
    Cut,
}

impl<'a> Walk<'a> {
    /// Stands at the first header line: a part of a multipart body has nothing before it.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next line. After [`Step::Body`] or [`Step::Cut`] there is none.
    #[inline]
    pub(super) fn step(&mut self) -> Step {
        match self.plain_line() {
            Some(line) => line,
            None => self.any_line(),
        }
    }

    /// The next line, if it is one as nearly everybody writes them: a name, a colon, a value and CRLF, without a
    /// fold. If it isn't, nothing has happened.
    #[inline]
    fn plain_line(&mut self) -> Option<Step> {
        let rest = self.bytes.get(self.at..)?;
        // What is sought stands near, and much follows: then `memchr` looks at it all at once.
        let near = rest.get(..PLAIN_NAME_BYTES).unwrap_or(rest);
        let (token, value) = rest.split_at_checked(memchr(b':', near)?)?;
        let name = Name::of(token);
        // Those that we know are tokens.
        if name == Name::Other && !is_token(token) {
            return None;
        }
        let value = value.get(1..)?;
        let (value, behind) = value.split_at_checked(memchr2(b'\r', b'\n', value)?)?;
        match behind {
            [b'\r', b'\n', b' ' | b'\t', ..] => return None,
            [b'\r', b'\n', ..] => {}
            _ => return None,
        }
        let lead = match value {
            [b' ', next, ..] if !is_lws(*next) => 1,
            _ => value.iter().take_while(|byte| is_lws(**byte)).count(),
        };
        let token = self.at..self.at + token.len();
        let from = token.end + 1 + lead;
        self.at = token.end + 1 + value.len() + 2;
        Some(Step::Line {
            name,
            token,
            value: from..from + trim(value).len(),
        })
    }

    /// The next line, whatever it is.
    #[cold]
    fn any_line(&mut self) -> Step {
        let from = self.at;
        let Some(end) = self.line_end() else {
            self.at = self.bytes.len();
            return Step::Cut;
        };
        if end.at == from {
            return Step::Body(self.at);
        }
        if end.stray {
            return Step::Faulty("a line break that is not CRLF");
        }
        let line = self.bytes.get(from..end.at).unwrap_or_default();
        let Some(colon) = find(line, b':') else {
            return Step::Faulty("a header line without a colon");
        };
        // HCOLON: blanks may stand before the colon, a fold may not.
        let mut token = line.get(..colon).unwrap_or_default();
        while let [name @ .., b' ' | b'\t'] = token {
            token = name;
        }
        if !is_token(token) {
            return Step::Faulty("a header name that is no token");
        }
        let value = line.get(colon.saturating_add(1)..).unwrap_or_default();
        let lead = value.iter().take_while(|byte| is_lws(**byte)).count();
        let value_from = from.saturating_add(colon).saturating_add(1).saturating_add(lead);
        Step::Line {
            name: Name::of(token),
            token: from..from.saturating_add(token.len()),
            value: value_from..value_from.saturating_add(trim(value).len()),
        }
    }

    /// Finds the CRLF that no white space follows, and moves behind it.
    fn line_end(&mut self) -> Option<LineEnd> {
        let mut stray = false;
        let mut from = self.at;
        loop {
            let rest = self.bytes.get(from..)?;
            let step = find_either(rest, b'\r', b'\n')?;
            let at = from.saturating_add(step);
            match rest.get(step..)? {
                // After an empty line comes the body, whatever it begins with.
                [b'\r', b'\n', b' ' | b'\t', ..] if at != self.at => from = at.saturating_add(3),
                [b'\r', b'\n', ..] => {
                    self.at = at.saturating_add(2);
                    return Some(LineEnd { at, stray });
                }
                _ => {
                    stray = true;
                    from = at.saturating_add(1);
                }
            }
        }
    }
}

struct LineEnd {
    at: usize,
    /// A lone CR or LF stands in the line.
    stray: bool,
}

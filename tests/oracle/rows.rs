//! Where rsip reads otherwise, and why.

use umbra::sip::header::Name;
use umbra::sip::message::Message;

/// One field of one message that the two read differently.
pub struct Difference<'a> {
    /// The message.
    pub bytes: &'a [u8],
    /// The field; of a message that only one of the two reads, [`ONLY_RSIP`] or [`ONLY_UMBRA`].
    pub field: &'static str,
    /// What we read; for [`ONLY_RSIP`] our words for why we don't.
    pub ours: Option<String>,
    /// What rsip reads; for [`ONLY_UMBRA`] its words for why it doesn't.
    pub theirs: Option<String>,
}

/// We refuse what rsip reads.
pub const ONLY_RSIP: &str = "refused";
/// rsip refuses what we read.
pub const ONLY_UMBRA: &str = "refused by rsip";

/// One reason to disagree.
pub struct Row {
    /// The fields' beginnings.
    pub fields: &'static [&'static str],
    /// Why.
    pub why: &'static str,
    /// Whether that is it.
    pub holds: fn(&Difference<'_>) -> bool,
}

impl Row {
    pub fn explains(&self, difference: &Difference<'_>) -> bool {
        self.fields
            .iter()
            .any(|start| difference.field.starts_with(start))
            && (self.holds)(difference)
    }
}

impl Difference<'_> {
    fn first_line(&self) -> String {
        let line = self.bytes.split(|byte| *byte == b'\r').next();
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    }

    /// The line that the field is read from, as it was written.
    fn line(&self) -> String {
        let Ok(message) = Message::parse(self.bytes) else {
            return String::new();
        };
        let name = match self.field.split(' ').next() {
            Some("from") => Name::From,
            Some("to") => Name::To,
            Some("via") => Name::Via,
            Some("contact") => Name::Contact,
            Some("cseq") => Name::CSeq,
            Some("call-id") => Name::CallId,
            Some("length") => Name::ContentLength,
            Some(_) | None => return self.first_line(),
        };
        String::from_utf8_lossy(message.get(name).unwrap_or_default()).into_owned()
    }

    /// The name of that line, as it was written.
    fn is_compact(&self) -> bool {
        let letter = match self.field.split(' ').next() {
            Some("from") => "f",
            Some("to") => "t",
            Some("via") => "v",
            Some("contact") => "m",
            Some("call-id") => "i",
            Some("length") => "l",
            Some(_) | None => return false,
        };
        let head = String::from_utf8_lossy(self.bytes).into_owned();
        head.split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .any(|(name, _)| name.trim().eq_ignore_ascii_case(letter))
    }

    fn rsip_says(&self, words: &str) -> bool {
        self.theirs.as_ref().is_some_and(|said| said.contains(words))
    }

    fn we_say(&self, words: &str) -> bool {
        self.ours.as_deref() == Some(words)
    }
}

/// rsip reads a message without looking into its headers: what is wrong with them shows when they are asked for.
macro_rules! unseen_faults {
    ($($words:literal: $why:literal,)*) => {
        [$(Row {
            fields: &[ONLY_RSIP],
            why: $why,
            holds: |it| it.we_say($words),
        }),*]
    };
}

pub const UNSEEN: [Row; 18] = unseen_faults! {
    "malformed request line": "the start line is split at any blanks, brackets are taken for a part of the URI",
    "malformed status line": "a status of 700 is a number like others",
    "malformed Request-URI": "a port 0 is a port",
    "headers in the Request-URI": "headers of a URI are read and nobody is warned",
    "headers in the URI of From or To": "headers of a URI are not looked for",
    "malformed Via": "Via isn't read",
    "malformed From": "From isn't read",
    "malformed To": "To isn't read",
    "malformed Contact": "Contact isn't read",
    "malformed Call-ID": "Call-ID is any text",
    "malformed CSeq": "CSeq isn't read",
    "malformed Max-Forwards": "Max-Forwards isn't read",
    "malformed Content-Length": "Content-Length isn't read",
    "CSeq names another method": "CSeq isn't compared with the start line",
    "Content-Length is beyond the end": "the body is whatever follows",
    "From is missing or doubled": "the first of two counts, and none is missed",
    "the header section has no end": "the end of the datagram is the end of the headers",
    "a line break that is not CRLF": "a lone LF belongs to the value",
};

const DOUBLED: [Row; 4] = unseen_faults! {
    "Call-ID is missing or doubled": "the first of two counts, and none is missed",
    "Content-Length is doubled": "the first of two counts",
    "Max-Forwards is doubled": "the first of two counts",
    "a header that may stand once is doubled": "the first of two counts",
};

/// Every row, in the order in which they are tried.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    UNSEEN.iter().chain(&DOUBLED).chain(REFUSED).chain(FIELDS)
}

/// What rsip refuses to read at all.
const REFUSED: &[Row] = &[
    Row {
        fields: &[ONLY_UMBRA],
        why: "it takes no empty lines before a message",
        holds: |it| it.bytes.starts_with(b"\r\n"),
    },
    Row {
        fields: &[ONLY_UMBRA],
        why: "it takes no folded lines",
        holds: |it| {
            it.bytes
                .windows(3)
                .any(|part| matches!(part, [b'\r', b'\n', b' ' | b'\t']))
        },
    },
    Row {
        fields: &[ONLY_UMBRA],
        why: "it takes no bytes that are no UTF-8",
        holds: |it| it.rsip_says("invalid utf8"),
    },
    Row {
        fields: &[ONLY_UMBRA],
        why: "it has no place for a method that it doesn't know",
        holds: |it| {
            let line = it.first_line();
            let odd = |byte: u8| !byte.is_ascii_uppercase();
            it.rsip_says("invalid method")
                || !line.starts_with("SIP/")
                    && line
                        .split(' ')
                        .next()
                        .is_some_and(|method| method.bytes().any(odd))
        },
    },
    Row {
        fields: &[ONLY_UMBRA],
        why: "it takes an IPv6 address for a host and a port",
        holds: |it| it.first_line().contains('['),
    },
    Row {
        fields: &[ONLY_UMBRA],
        why: "it takes what follows another scheme for a port",
        holds: |it| it.rsip_says("could not parse part") && !it.first_line().contains(" sip"),
    },
    Row {
        fields: &[ONLY_UMBRA],
        why: "it takes a colon in a parameter's value for the end of the URI",
        holds: |it| it.first_line().contains(";gr=urn:"),
    },
    Row {
        fields: &[ONLY_UMBRA],
        why: "it wants SIP/2.0 in capitals",
        holds: |it| it.first_line().contains("sip/2.0"),
    },
    Row {
        fields: &[ONLY_UMBRA],
        why: "it wants a blank before an empty reason phrase",
        holds: |it| it.rsip_says("failed to tokenize status"),
    },
    Row {
        fields: &[ONLY_UMBRA],
        why: "it takes no blank before a colon",
        holds: |it| String::from_utf8_lossy(it.bytes).contains("Via :"),
    },
];

/// What rsip reads otherwise.
const FIELDS: &[Row] = &[
    Row {
        fields: &["from", "to", "via", "contact", "call-id", "length"],
        why: "it knows no compact forms",
        holds: |it| it.theirs.is_none() && it.is_compact(),
    },
    Row {
        fields: &["from", "to", "contact", "request"],
        why: "it takes a tel: URI for a host and a port",
        holds: |it| it.line().contains("tel:"),
    },
    Row {
        fields: &["request", "from", "to", "contact"],
        why: "it reads a host in a URI of any scheme; to us another scheme is opaque",
        holds: |it| it.ours.is_none() && it.line().contains(':') && !it.line().contains("sip:"),
    },
    Row {
        fields: &["from", "to", "contact", "via"],
        why: "it takes no IPv6 address",
        holds: |it| it.theirs.is_none() && it.line().contains('['),
    },
    Row {
        fields: &["from", "to", "contact"],
        why: "it takes a user with a dot for a part of the host",
        holds: |it| {
            let has_dot = |line: &str| {
                line.split_once('@')
                    .and_then(|(user, _)| user.rsplit_once(':').map(|(_, user)| user.contains('.')))
            };
            has_dot(&it.line()) == Some(true)
        },
    },
    Row {
        fields: &["from", "to"],
        why: "it doesn't repair a blank within the angle brackets",
        holds: |it| it.line().contains("< "),
    },
    Row {
        fields: &["from", "to", "via", "contact"],
        why: "it takes no blanks around separators",
        holds: |it| it.theirs.is_none() && [" ;", " / "].iter().any(|blank| it.line().contains(blank)),
    },
    Row {
        fields: &["from", "to", "contact"],
        why: "a quoted quote ends a display name",
        holds: |it| it.theirs.is_none() && it.line().contains("\\\""),
    },
    Row {
        fields: &["from", "to", "contact"],
        why: "it reads no headers of a URI",
        holds: |it| it.line().contains('?'),
    },
    Row {
        fields: &["from", "to", "contact"],
        why: "a bracket within quotes ends a display name",
        holds: |it| {
            it.theirs.is_none()
                && it
                    .line()
                    .split('"')
                    .nth(1)
                    .is_some_and(|name| name.contains(['<', '>']))
        },
    },
    Row {
        fields: &["request"],
        why: "it takes an equals sign in a user part for the host",
        holds: |it| it.line().split('@').next().is_some_and(|user| user.contains('=')),
    },
    Row {
        fields: &["contact"],
        why: "it reads no list of Contacts",
        holds: |it| it.theirs.is_none() && it.line().contains(", <"),
    },
    Row {
        fields: &["contact"],
        why: "it takes a * for a host",
        holds: |it| it.line() == "*",
    },
    Row {
        fields: &["from tag", "to tag"],
        why: "to us an empty tag is none",
        holds: |it| it.ours.is_none() && it.theirs.as_deref() == Some(""),
    },
    Row {
        fields: &["via"],
        why: "it has no place for a transport that it doesn't know",
        holds: |it| it.theirs.is_none() && it.line().contains("/XYZ "),
    },
    Row {
        fields: &["via branch"],
        why: "it takes the quotes of a value for its end",
        holds: |it| it.line().contains("branch=\""),
    },
    Row {
        fields: &["call-id"],
        why: "it keeps the blanks at a line's end",
        holds: |it| it.theirs.as_deref().map(str::trim) == it.ours.as_deref(),
    },
    Row {
        fields: &["cseq"],
        why: "between number and method it takes a blank, not a tab",
        holds: |it| it.theirs.is_none() && it.line().contains('\t'),
    },
    Row {
        fields: &["cseq"],
        why: "it has no place for a method that it doesn't know",
        holds: |it| it.theirs.is_none() && it.line().ends_with("FROBNICATE"),
    },
    Row {
        fields: &["cseq", "start"],
        why: "to it a method in small letters is the same method",
        holds: |it| {
            let small = |text: &Option<String>| text.as_deref().map(str::to_ascii_uppercase);
            small(&it.ours) == small(&it.theirs)
        },
    },
    Row {
        fields: &["body"],
        why: "it takes all that follows for the body, whatever Content-Length says",
        holds: |it| match (&it.ours, &it.theirs) {
            (Some(ours), Some(theirs)) => theirs.len() > ours.len() && theirs.starts_with(ours.as_str()),
            _ => false,
        },
    },
];

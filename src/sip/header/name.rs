//! The names that we know, and their compact forms (RFC 3261 §7.3.3 and the registry of header fields).

macro_rules! names {
    ($($text:literal $(/ $compact:literal)? $name:ident,)*) => {
        /// A header field's name; the full and the compact form are the same name.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $name,)*
            /// A name that isn't listed here; see [`Head::other`](crate::sip::lexer::Head::other).
            Other,
        }

        /// The full forms, sorted by length and first letter.
        const FULL: &[(&str, Name)] = &[$(($text, Name::$name),)*];

        impl Name {
            /// The name of a one-letter compact form, in lower case.
            fn of_compact(letter: u8) -> Self {
                match letter {
                    $($($compact => Self::$name,)?)*
                    _ => Self::Other,
                }
            }

            /// The name as we write it; empty for [`Name::Other`].
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other => "",
                }
            }
        }
    };
}

names! {
    "To" / b't' To,
    "Via" / b'v' Via,
    "CSeq" CSeq,
    "Date" Date,
    "From" / b'f' From,
    "Join" Join,
    "Path" Path,
    "RAck" RAck,
    "RSeq" RSeq,
    "Allow" Allow,
    "Event" / b'o' Event,
    "Route" Route,
    "Accept" Accept,
    "Min-SE" MinSe,
    "Reason" Reason,
    "Server" Server,
    "Call-ID" / b'i' CallId,
    "Contact" / b'm' Contact,
    "Expires" Expires,
    "Privacy" Privacy,
    "Require" Require,
    "Subject" / b's' Subject,
    "Warning" Warning,
    "Identity" / b'y' Identity,
    "Priority" Priority,
    "Refer-To" / b'r' ReferTo,
    "Replaces" Replaces,
    "Reply-To" ReplyTo,
    "Call-Info" CallInfo,
    "Diversion" Diversion,
    "Supported" / b'k' Supported,
    "Timestamp" Timestamp,
    "Alert-Info" AlertInfo,
    "Session-ID" SessionId,
    "User-Agent" UserAgent,
    "Referred-By" / b'b' ReferredBy,
    "Retry-After" RetryAfter,
    "Unsupported" Unsupported,
    "Allow-Events" / b'u' AllowEvents,
    "Content-Type" / b'c' ContentType,
    "History-Info" HistoryInfo,
    "Max-Forwards" MaxForwards,
    "MIME-Version" MimeVersion,
    "Record-Route" RecordRoute,
    "User-to-User" UserToUser,
    "Authorization" Authorization,
    "Identity-Info" / b'n' IdentityInfo,
    "P-Early-Media" PEarlyMedia,
    "Proxy-Require" ProxyRequire,
    "Accept-Contact" / b'a' AcceptContact,
    "Content-Length" / b'l' ContentLength,
    "Reject-Contact" / b'j' RejectContact,
    "Remote-Party-ID" RemotePartyId,
    "Session-Expires" / b'x' SessionExpires,
    "Content-Encoding" / b'e' ContentEncoding,
    "WWW-Authenticate" WwwAuthenticate,
    "P-Called-Party-ID" PCalledPartyId,
    "P-Charging-Vector" PChargingVector,
    "Proxy-Authenticate" ProxyAuthenticate,
    "Subscription-State" SubscriptionState,
    "Content-Disposition" ContentDisposition,
    "P-Asserted-Identity" PAssertedIdentity,
    "Proxy-Authorization" ProxyAuthorization,
    "Request-Disposition" / b'd' RequestDisposition,
    "P-Preferred-Identity" PPreferredIdentity,
    "P-Access-Network-Info" PAccessNetworkInfo,
}

const LENGTH_MAX: usize = 21;

/// Where in [`FULL`] the names of each length and first letter begin: they stand together, so that a look-up
/// compares one or two. Beside them the row of names that are too short or too long.
const FIRST: [[u8; LETTERS]; LENGTH_MAX + 1] = {
    let mut first = [[NONE; LETTERS]; LENGTH_MAX + 1];
    let mut at = FULL.len();
    while at > 0 {
        at -= 1;
        let text = FULL[at].0.as_bytes();
        first[text.len()][letter(text[0])] = at as u8;
    }
    first
};

/// The letters, in either case; beyond them is whatever is no letter.
const LETTERS: usize = 32;
/// No name is so long and begins so.
const NONE: u8 = u8::MAX;

const _: () = assert!(FULL.len() < NONE as usize);

/// The place of a letter in the alphabet, whatever its case. What is none may get a letter's place: the names
/// themselves are compared.
const fn letter(byte: u8) -> usize {
    (byte & 0x1f) as usize
}

impl Name {
    /// The name that the token means, full or compact, in any case (RFC 3261 §7.3.1, §7.3.3).
    pub fn of(token: &[u8]) -> Self {
        let first = match token {
            [] => return Self::Other,
            [letter] => return Self::of_compact(letter.to_ascii_lowercase()),
            [first, ..] => letter(*first),
        };
        let place = FIRST.get(token.len()).and_then(|row| row.get(first)).copied();
        let candidates = FULL.get(usize::from(place.unwrap_or(NONE))..).unwrap_or_default();
        if let [(text, name), ..] = candidates
            && text.as_bytes() == token
        {
            return *name;
        }
        candidates
            .iter()
            .map_while(|(text, name)| {
                let text = text.as_bytes();
                let is_like = text.len() == token.len() && text.first().copied().map(letter) == Some(first);
                is_like.then_some((text, name))
            })
            .find(|(text, _)| *text == token || text.eq_ignore_ascii_case(token))
            .map_or(Self::Other, |(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_compact() {
        for (text, name) in FULL {
            assert_eq!(Name::of(text.as_bytes()), *name, "{text}");
            assert_eq!(Name::of(text.to_ascii_uppercase().as_bytes()), *name, "{text}");
            assert_eq!(name.text(), *text);
        }
        assert!(FULL.is_sorted_by_key(|(text, _)| (text.len(), text.to_ascii_lowercase().as_bytes()[0])));
        assert_eq!(FULL.last().map(|(text, _)| text.len()), Some(LENGTH_MAX));
        let compact = [
            (b'v', Name::Via),
            (b'F', Name::From),
            (b't', Name::To),
            (b'I', Name::CallId),
            (b'm', Name::Contact),
            (b'c', Name::ContentType),
            (b'l', Name::ContentLength),
            (b'k', Name::Supported),
            (b's', Name::Subject),
            (b'e', Name::ContentEncoding),
            (b'o', Name::Event),
            (b'r', Name::ReferTo),
            (b'x', Name::SessionExpires),
            (b'z', Name::Other),
        ];
        for (letter, name) in compact {
            assert_eq!(Name::of(&[letter]), name);
        }
        for unknown in [&b""[..], b"Vi", b"Viaa", b"X-Order", &[b'a'; 22], &[b'a'; 300]] {
            assert_eq!(Name::of(unknown), Name::Other);
        }
    }
}

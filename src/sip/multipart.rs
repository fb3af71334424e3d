//! Multipart bodies (RFC 2046 §5.1, RFC 5621): the one part that we understand is found, the others stay unread.

use super::header::{MediaType, Name, trim};
use super::lexer::{Step, Walk};
use crate::base::limits::{SIP_BODY_DEPTH_MAX, SIP_BODY_PARTS_MAX};

/// The longest boundary (RFC 2046 §5.1.1). One as long as half a body, in a body that nearly repeats it everywhere,
/// would be searched for in quadratic time.
const BOUNDARY_BYTES_MAX: usize = 70;

/// Why nothing can be taken out of a body. Holds nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadBody {
    /// No boundary is named, or one longer than RFC 2046 allows, or the body isn't cut by it: 400.
    #[error("a multipart body without its boundary")]
    Boundary,
    /// More than [`SIP_BODY_PARTS_MAX`] parts, or deeper than [`SIP_BODY_DEPTH_MAX`]: 513.
    #[error("too many parts")]
    TooMany,
    /// A part that we don't read says `handling=required`, or it is of the right kind and encoded: 415.
    #[error("a part that has to be understood")]
    Required,
}

/// The body of the part whose type is `wanted` (`application/sdp`), in a body whose type is `kind`, a
/// `multipart/…`: the first such part, in `multipart/alternative` the last (RFC 2046 §5.1.4). Parts within parts
/// are looked through too. `None`: there is none.
///
/// The other parts are passed over without a word, unless they say themselves that they have to be understood:
/// their default would be that (RFC 3261 §20.11), but what carriers add for one another has no say here.
///
/// # Errors
/// [`BadBody`].
pub fn find<'a>(kind: &MediaType<'a>, body: &'a [u8], wanted: &str) -> Result<Option<&'a [u8]>, BadBody> {
    let mut search = Search { wanted, parts: 0 };
    search.within(kind, body, 1)
}

/// Whether the value of Content-Disposition, if there is one, leaves a body of the type wanted what it is by
/// default (RFC 3261 §20.11: a description is of the session).
pub fn is_session(disposition: Option<&[u8]>) -> bool {
    disposition.is_none_or(|value| first_token(value).eq_ignore_ascii_case(b"session"))
}

/// The `handling` parameter of a Content-Disposition (RFC 3204 §6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handling {
    /// It isn't said.
    Unsaid,
    /// Whoever doesn't understand the body may pass over it.
    Optional,
    /// Whoever doesn't understand the body has to refuse the request.
    Required,
}

/// What the value of Content-Disposition, if there is one, says of who doesn't understand the body.
pub fn handling(disposition: Option<&[u8]>) -> Handling {
    let params = disposition.and_then(|value| {
        let at = value.iter().position(|byte| *byte == b';')?;
        value.get(at.saturating_add(1)..)
    });
    match params.and_then(|params| super::header::param(params, "handling")) {
        Some(value) if value.eq_ignore_ascii_case(b"optional") => Handling::Optional,
        Some(value) if value.eq_ignore_ascii_case(b"required") => Handling::Required,
        Some(_) | None => Handling::Unsaid,
    }
}

fn first_token(value: &[u8]) -> &[u8] {
    trim(value.split(|byte| *byte == b';').next().unwrap_or_default())
}

struct Search<'w> {
    wanted: &'w str,
    parts: usize,
}

impl Search<'_> {
    fn within<'a>(
        &mut self,
        kind: &MediaType<'a>,
        body: &'a [u8],
        depth: usize,
    ) -> Result<Option<&'a [u8]>, BadBody> {
        if depth > SIP_BODY_DEPTH_MAX {
            return Err(BadBody::TooMany);
        }
        let boundary = kind
            .param("boundary")
            .filter(|boundary| (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()))
            .ok_or(BadBody::Boundary)?;
        let takes_last = kind.is("multipart/alternative");
        let mut found = None;
        // What stands before the first delimiter is for readers without MIME.
        let mut delimiter = next_delimiter(body, boundary, 0).ok_or(BadBody::Boundary)?;
        while !delimiter.closes {
            let next = next_delimiter(body, boundary, delimiter.end).ok_or(BadBody::Boundary)?;
            self.parts = self.parts.saturating_add(1);
            if self.parts > SIP_BODY_PARTS_MAX {
                return Err(BadBody::TooMany);
            }
            let part = Part::read(body.get(delimiter.end..next.start).unwrap_or_default());
            let here = self.part(&part, depth)?;
            if takes_last || found.is_none() {
                found = here.or(found);
            }
            delimiter = next;
        }
        Ok(found)
    }

    fn part<'a>(&mut self, part: &Part<'a>, depth: usize) -> Result<Option<&'a [u8]>, BadBody> {
        let kind = part.kind.and_then(MediaType::parse);
        if let Some(kind) = kind.filter(|kind| kind.kind.eq_ignore_ascii_case(b"multipart")) {
            return self.within(&kind, part.body, depth.saturating_add(1));
        }
        let is_wanted = kind.is_some_and(|kind| kind.is(self.wanted)) && is_session(part.disposition);
        match handling(part.disposition) {
            _ if is_wanted && part.is_plain => Ok(Some(part.body)),
            Handling::Required => Err(BadBody::Required),
            Handling::Unsaid if is_wanted => Err(BadBody::Required),
            Handling::Unsaid | Handling::Optional => Ok(None),
        }
    }
}

/// One part: what its few headers say, and its body.
struct Part<'a> {
    kind: Option<&'a [u8]>,
    disposition: Option<&'a [u8]>,
    /// Neither a content nor a transfer encoding hides the bytes.
    is_plain: bool,
    body: &'a [u8],
}

impl<'a> Part<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut part = Self {
            kind: None,
            disposition: None,
            is_plain: true,
            body: &[],
        };
        let mut walk = Walk::new(bytes);
        loop {
            match walk.step() {
                Step::Line { name, token, value } => {
                    let (token, value) = (bytes.get(token).unwrap_or_default(), bytes.get(value));
                    let value = value.unwrap_or_default();
                    if name == Name::ContentType {
                        part.kind = part.kind.or(Some(value));
                    } else if name == Name::ContentDisposition {
                        part.disposition = part.disposition.or(Some(value));
                    } else if name == Name::ContentEncoding {
                        part.is_plain &= value.eq_ignore_ascii_case(b"identity");
                    } else if token.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
                        let plain: [&[u8]; 3] = [b"binary", b"8bit", b"7bit"];
                        part.is_plain &= plain.iter().any(|name| name.eq_ignore_ascii_case(value));
                    }
                }
                Step::Faulty(_) => {}
                Step::Body(at) => {
                    part.body = bytes.get(at..).unwrap_or_default();
                    return part;
                }
                // Without an empty line there is no body (RFC 2046 §5.1.1).
                Step::Cut => return part,
            }
        }
    }
}

/// A line `--boundary` or `--boundary--`.
struct Delimiter {
    /// Where it begins; the line break before it belongs to it.
    start: usize,
    /// Where what follows it begins.
    end: usize,
    closes: bool,
}

fn next_delimiter(body: &[u8], boundary: &[u8], from: usize) -> Option<Delimiter> {
    let mut from = from;
    loop {
        let at = from.checked_add(memchr::memmem::find(body.get(from..)?, boundary)?)?;
        from = at.checked_add(1)?;
        let Some(before) = body.get(..at)?.strip_suffix(b"--") else {
            continue;
        };
        let start = match before {
            [] => 0,
            [.., b'\r', b'\n'] => before.len().saturating_sub(2),
            // The line break may already have been taken as the end of the delimiter before.
            _ => continue,
        };
        let after = body.get(at.checked_add(boundary.len())?..)?;
        let (closes, after) = match after.strip_prefix(b"--") {
            Some(after) => (true, after),
            None => (false, after),
        };
        let blanks = after
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let rest = after.get(blanks..)?;
        let rest = match rest.strip_prefix(b"\r\n") {
            Some(rest) => rest,
            // A body often ends with its last delimiter.
            None if closes && rest.is_empty() => rest,
            None => continue,
        };
        return Some(Delimiter {
            start,
            end: body.len().saturating_sub(rest.len()),
            closes,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 h\r\n";

    fn found(kind: &str, body: &str) -> Result<Option<String>, BadBody> {
        let kind = MediaType::parse(kind.as_bytes()).expect("a type");
        find(&kind, body.as_bytes(), "application/sdp")
            .map(|part| part.map(|part| String::from_utf8(part.to_vec()).expect("text")))
    }

    fn part(headers: &str, body: &str) -> String {
        format!("--b\r\n{headers}\r\n\r\n{body}\r\n")
    }

    const MIXED: &str = "multipart/mixed;boundary=b";

    #[test]
    fn the_description_is_found_among_other_parts_and_they_are_passed_over() {
        let isup = part(
            "Content-Type: application/isup;version=itu-t92+\r\nContent-Disposition: signal;handling=optional",
            "\u{1}\0--b",
        );
        let sdp = part("c : application/SDP\r\nContent-Disposition:\r\n session", SDP);
        for body in [
            format!("{isup}{sdp}--b--\r\n"),
            format!("{sdp}{isup}--b--"),
            format!("preamble\r\n{sdp}--b-- \t\r\nepilogue\r\n--b\r\n"),
            format!("{}{sdp}--b--\r\n", part("X: y", "of no type")),
            format!(
                "{sdp}{}--b--\r\n",
                part("Content-Type: application/sdp", "a second one")
            ),
        ] {
            assert_eq!(found(MIXED, &body), Ok(Some(SDP.into())), "{body}");
        }
        assert_eq!(
            found("multipart/mixed; boundary=\"b\"", &format!("{sdp}--b--")),
            Ok(Some(SDP.into()))
        );
    }

    #[test]
    fn the_last_alternative_counts() {
        let first = part("Content-Type: application/sdp", "v=1");
        let last = part("Content-Type: application/sdp", SDP);
        let body = format!("{first}{last}{}--b--", part("Content-Type: text/plain", "x"));
        assert_eq!(
            found("multipart/alternative;boundary=b", &body),
            Ok(Some(SDP.into()))
        );
    }

    #[test]
    fn parts_within_parts_are_looked_through_down_to_a_limit() {
        let nest = |depth: usize| {
            let mut body =
                format!("--b{depth}\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b{depth}--\r\n");
            for level in (1..depth).rev() {
                body = format!(
                    "--b{level}\r\nContent-Type: multipart/mixed;boundary=b{}\r\n\r\n{body}--b{level}--\r\n",
                    level + 1
                );
            }
            found("multipart/mixed;boundary=b1", &body)
        };
        for depth in 1..=SIP_BODY_DEPTH_MAX {
            assert_eq!(nest(depth), Ok(Some(SDP.into())), "{depth}");
        }
        assert_eq!(nest(SIP_BODY_DEPTH_MAX + 1), Err(BadBody::TooMany));
        let many = |count| format!("{}--b--", part("Content-Type: text/plain", "x").repeat(count));
        assert_eq!(found(MIXED, &many(SIP_BODY_PARTS_MAX)), Ok(None));
        assert_eq!(found(MIXED, &many(SIP_BODY_PARTS_MAX + 1)), Err(BadBody::TooMany));
    }

    #[test]
    fn a_body_that_its_boundary_does_not_cut_is_refused() {
        let sdp = part("Content-Type: application/sdp", SDP);
        for (kind, body) in [
            ("multipart/mixed", sdp.clone() + "--b--"),
            ("multipart/mixed;boundary=", sdp.clone() + "--b--"),
            ("multipart/mixed;boundary=\"\"", sdp.clone() + "--b--"),
            ("multipart/mixed;boundary=c", sdp.clone() + "--b--"),
            (MIXED, String::new()),
            (MIXED, "--b".into()),
            (MIXED, "x--b\r\n--b--x".into()),
            (MIXED, sdp.clone()),
            (MIXED, sdp + "--b-"),
        ] {
            assert_eq!(found(kind, &body), Err(BadBody::Boundary), "{kind} {body}");
        }
        assert_eq!(found(MIXED, "--b--"), Ok(None));
        let long = |length: usize| {
            let boundary = "b".repeat(length);
            let kind = format!("multipart/mixed;boundary={boundary}");
            found(&kind, &format!("--{boundary}--"))
        };
        assert_eq!(long(BOUNDARY_BYTES_MAX), Ok(None));
        assert_eq!(long(BOUNDARY_BYTES_MAX + 1), Err(BadBody::Boundary));
    }

    #[test]
    fn what_says_that_it_has_to_be_understood_is_refused() {
        let sdp = part("Content-Type: application/sdp", SDP);
        let with = |headers: &str| found(MIXED, &format!("{sdp}{}--b--", part(headers, "x")));
        assert_eq!(
            with("Content-Type: application/isup\r\nContent-Disposition: signal ; Handling = REQUIRED"),
            Err(BadBody::Required)
        );
        assert_eq!(with("Content-Type: application/isup"), Ok(Some(SDP.into())));
        let alone = |headers: &str| found(MIXED, &format!("{}--b--", part(headers, "x")));
        for encoded in [
            "Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64",
            "Content-Type: application/sdp\r\nContent-Encoding: gzip",
        ] {
            assert_eq!(alone(encoded), Err(BadBody::Required), "{encoded}");
        }
        assert_eq!(
            alone("Content-Type: application/sdp\r\nContent-Transfer-Encoding: Binary"),
            Ok(Some("x".into()))
        );
        assert_eq!(
            alone("Content-Type: application/sdp\r\nContent-Disposition: early-session;handling=optional"),
            Ok(None)
        );
    }
}

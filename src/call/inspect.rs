//! What RFC 3261 §8.2 has any request looked at for before somebody acts on it, and the description in a body.

use super::leg::{reliable, session_timer};
use super::refusal::Bounce;
use crate::sdp::parse::{self, Session};
use crate::sip::header::{MediaType, Name};
use crate::sip::message::Message;
use crate::sip::multipart::{self, BadBody, Handling};
use crate::sip::uri::{Scheme, Uri};

/// The bodies that we read.
pub const ACCEPT: &str = "application/sdp, multipart/mixed, multipart/alternative, multipart/related";

/// The one type of description.
const SDP: &str = "application/sdp";

/// Option tags that we honour in Require. Whether a trunk has session timers is looked at beside them.
const HONOURED: [&str; 2] = [reliable::TAG, session_timer::TIMER];

/// Option tags that we honour in Proxy-Require: what RFC 3323 asks of a proxy is less than masking does anyway.
const HONOURED_AS_PROXY: [&str; 1] = ["privacy"];

/// Option tags that are named to the sender, and characters of one.
const TAGS_MAX: usize = 8;
const TAG_CHARS_MAX: usize = 64;

/// What any request but ACK and CANCEL must be before it is looked at (RFC 3261 §8.2.2).
///
/// Proxy-Require is judged too (§20.29): a caller's proxies end here, and what it wants of them nobody after us
/// will do.
///
/// # Errors
/// 416 for a scheme that isn't ours, 420 for extensions that we don't know.
pub fn check_request(request: &Message<'_>) -> Result<(), Bounce> {
    match Uri::parse(request.request_uri()).map(|uri| uri.scheme) {
        Ok(Scheme::Sip | Scheme::Sips | Scheme::Tel) => {}
        Ok(Scheme::Other) => return Err(Bounce::status(416)),
        Err(_) => return Err(Bounce::status(400)),
    }
    check_extensions(request)
}

/// The same but for the scheme: whom it names has been found already.
///
/// # Errors
/// 420 for extensions that we don't know.
pub fn check_extensions(request: &Message<'_>) -> Result<(), Bounce> {
    let unknown = |name, honoured: &'static [&str]| {
        request.values(name).filter(move |tag| {
            !honoured
                .iter()
                .any(|known| known.as_bytes().eq_ignore_ascii_case(tag))
        })
    };
    let tags: Vec<String> = unknown(Name::Require, &HONOURED)
        .chain(unknown(Name::ProxyRequire, &HONOURED_AS_PROXY))
        .map(|tag| {
            String::from_utf8_lossy(tag)
                .chars()
                .filter(|c| c.is_ascii_graphic())
                .take(TAG_CHARS_MAX)
                .collect()
        })
        .take(TAGS_MAX)
        .collect();
    if tags.is_empty() {
        Ok(())
    } else {
        Err(Bounce::with(420, "Unsupported", tags.join(", ")))
    }
}

/// Whether the sender of an INVITE can take the description that our answer will carry (RFC 3261 §20.1).
///
/// # Errors
/// 406 if it names what it takes, and `application/sdp` isn't among it.
pub fn check_accept(invite: &Message<'_>) -> Result<(), Bounce> {
    if invite.get(Name::Accept).is_none() {
        // §20.1: without the header, application/sdp is meant.
        return Ok(());
    }
    let takes_sdp = invite
        .values(Name::Accept)
        .filter_map(MediaType::parse)
        .any(|range| {
            let is_sdp = range.is(SDP) || range.is("application/*") || range.is("*/*");
            is_sdp && !range.param("q").is_some_and(is_zero)
        });
    if takes_sdp {
        Ok(())
    } else {
        Err(Bounce::status(406))
    }
}

/// Whether an INVITE wants another call's place, or a place in it (RFC 3891, RFC 3911).
///
/// No call of ours is ever given away: whoever holds a Call-ID and two tags would talk to a party that expects
/// somebody else. The answer is the one for a dialog that isn't there (RFC 3891 §3, RFC 3911 §4), whether there is
/// one or not: so nobody learns by asking which calls there are.
///
/// # Errors
/// 481; 400 for both at once.
pub fn check_takeover(invite: &Message<'_>) -> Result<(), Bounce> {
    match (invite.get(Name::Replaces), invite.get(Name::Join)) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) => Err(Bounce::status(400)),
        (Some(_), None) | (None, Some(_)) => Err(Bounce::status(481)),
    }
}

/// A quality of nothing: `0`, `0.0`, `0.000`.
fn is_zero(quality: &[u8]) -> bool {
    quality.first() == Some(&b'0') && quality.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// The session description in a message's body, if there is one: the body itself, or a part of it. What else a
/// body holds is dropped.
///
/// # Errors
/// 415 for another kind of body, an encoded one, or a part that has to be understood (RFC 3261 §8.2.3); 400 for one
/// that can't be read; 513 for too many parts.
pub fn offer(message: &Message<'_>) -> Result<Option<Session>, Bounce> {
    if message.body().is_empty() {
        return Ok(None);
    }
    let disposition = message.get(Name::ContentDisposition);
    let handling = multipart::handling(disposition);
    // RFC 3261 §20.11: what may be passed over is passed over.
    let unknown = |bounce| match handling {
        Handling::Optional => Ok(None),
        Handling::Unsaid | Handling::Required => Err(bounce),
    };
    if message
        .values(Name::ContentEncoding)
        .any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"))
    {
        return unknown(Bounce::with(415, "Accept-Encoding", "identity".into()));
    }
    let other = || Bounce::with(415, "Accept", ACCEPT.into());
    let Some(kind) = message.content_type() else {
        return unknown(other());
    };
    if kind.kind.eq_ignore_ascii_case(b"multipart") {
        return match multipart::find(&kind, message.body(), SDP) {
            Ok(Some(part)) => session(part),
            Ok(None) => unknown(other()),
            Err(BadBody::Boundary) => Err(Bounce::status(400)),
            Err(BadBody::TooMany) => Err(Bounce::status(513)),
            Err(BadBody::Required) => Err(other()),
        };
    }
    if kind.is(SDP) && multipart::is_session(disposition) {
        session(message.body())
    } else {
        unknown(other())
    }
}

fn session(description: &[u8]) -> Result<Option<Session>, Bounce> {
    parse::parse(description)
        .map(Some)
        .map_err(|_| Bounce::status(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP_TEXT: &str =
        "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

    fn invite(uri: &str, headers: &str, body: &str) -> String {
        format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:x@h>\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n{headers}\r\n{body}"
        )
    }

    fn read<T>(text: &str, by: impl Fn(&Message<'_>) -> Result<T, Bounce>) -> Result<T, Bounce> {
        by(&Message::parse(text.as_bytes()).expect("readable"))
    }

    /// How many media lines the description has; `None`: there is no description.
    fn offered(headers: &str, body: &str) -> Result<Option<usize>, Bounce> {
        read(&invite("sip:x@h", headers, body), offer).map(|session| session.map(|it| it.media.len()))
    }

    fn status<T>(result: Result<T, Bounce>) -> Option<u16> {
        result.err().map(|bounce| bounce.status)
    }

    #[test]
    fn a_scheme_that_is_not_ours_is_416_and_what_we_do_not_know_is_named_in_a_420() {
        let check = |uri: &str, headers: &str| read(&invite(uri, headers, ""), check_request);
        for uri in ["sip:x@h", "sips:x@h", "tel:+86138", "TEL:10086"] {
            assert_eq!(check(uri, ""), Ok(()), "{uri}");
        }
        assert_eq!(status(check("soap.beep://h:3002", "")), Some(416));
        assert_eq!(
            check(
                "sip:x@h",
                "Require: 100rel, foo\r\nProxy-Require: privacy\r\nRequire: bar\r\n"
            ),
            Err(Bounce::with(420, "Unsupported", "foo, bar".into()))
        );
        assert_eq!(check("sip:x@h", "Proxy-Require: Privacy\r\n"), Ok(()));
        assert_eq!(
            check("sip:x@h", "Proxy-Require: a\u{e9}b\r\n"),
            Err(Bounce::with(420, "Unsupported", "ab".into()))
        );
    }

    #[test]
    fn a_caller_that_takes_no_description_is_told_406() {
        let check = |headers: &str| status(read(&invite("sip:x@h", headers, ""), check_accept));
        for fine in [
            "",
            "Accept: application/sdp\r\n",
            "Accept: text/plain, APPLICATION/SDP;level=1\r\n",
            "Accept: text/plain\r\nAccept: */*;q=0.1\r\n",
            "Accept: application/*\r\n",
        ] {
            assert_eq!(check(fine), None, "{fine}");
        }
        for none in [
            "Accept:\r\n",
            "Accept: text/nobodyKnowsThis\r\n",
            "Accept: application/sdp;q=0.0\r\n",
            "Accept: nonsense\r\n",
        ] {
            assert_eq!(check(none), Some(406), "{none}");
        }
    }

    #[test]
    fn no_call_is_given_away() {
        let check = |headers: &str| status(read(&invite("sip:x@h", headers, ""), check_takeover));
        let (replaces, join) = (
            "Replaces: c@h;to-tag=1;from-tag=2;early-only\r\n",
            "Join: c@h;to-tag=1;from-tag=2\r\n",
        );
        assert_eq!(check("Supported: replaces, join\r\n"), None);
        assert_eq!(check(replaces), Some(481));
        assert_eq!(check(join), Some(481));
        assert_eq!(check(&format!("{join}{replaces}")), Some(400));
    }

    #[test]
    fn a_description_is_taken_from_the_body_or_from_a_part_of_it() {
        assert_eq!(offered("Content-Type: application/sdp\r\n", ""), Ok(None));
        for (headers, body) in [
            ("c: Application/SDP;charset=utf-8\r\n", SDP_TEXT.to_owned()),
            (
                "c: application/sdp\r\ne: identity, IDENTITY\r\nContent-Disposition: session;handling=required\r\n",
                SDP_TEXT.to_owned(),
            ),
            (
                "c: multipart/mixed;boundary=b\r\n",
                format!(
                    "--b\r\nc: application/isup\r\n\r\n\0\u{1}\r\n--b\r\nc: application/sdp\r\n\r\n{SDP_TEXT}\r\n--b--"
                ),
            ),
        ] {
            assert_eq!(offered(headers, &body), Ok(Some(1)), "{headers}");
        }
    }

    #[test]
    fn each_other_body_has_its_status() {
        for (headers, body, expected) in [
            ("", SDP_TEXT, 415),
            ("c: nonsense\r\n", SDP_TEXT, 415),
            ("c: text/plain\r\n", "x", 415),
            ("c: application/sdp\r\ne: gzip\r\n", SDP_TEXT, 415),
            (
                "c: application/sdp\r\nContent-Disposition: render\r\n",
                SDP_TEXT,
                415,
            ),
            ("c: application/sdp\r\n", "v=1\r\n", 400),
            ("c: application/sdp\r\n", "\0\u{1}", 400),
            ("c: multipart/mixed\r\n", SDP_TEXT, 400),
            ("c: multipart/mixed;boundary=b\r\n", SDP_TEXT, 400),
            (
                "c: multipart/mixed;boundary=b\r\n",
                "--b\r\nc: text/plain\r\n\r\nx\r\n--b--",
                415,
            ),
            (
                "c: multipart/mixed;boundary=b\r\n",
                "--b\r\nc: application/sdp\r\n\r\nv=1\r\n--b--",
                400,
            ),
        ] {
            let answer = offered(headers, body).expect_err("refused");
            assert_eq!(answer.status, expected, "{headers} {body:?}");
            let says = match expected {
                415 => Some(if headers.contains("gzip") {
                    "Accept-Encoding"
                } else {
                    "Accept"
                }),
                _ => None,
            };
            assert_eq!(answer.header.map(|(name, _)| name), says, "{headers}");
        }
        let many = format!("{}--b--", "--b\r\n\r\nx\r\n".repeat(40));
        assert_eq!(
            status(offered("c: multipart/mixed;boundary=b\r\n", &many)),
            Some(513)
        );
    }

    #[test]
    fn a_body_that_may_be_passed_over_is() {
        for kind in ["text/plain", "application/sdp", "multipart/mixed;boundary=b"] {
            let headers = format!("c: {kind}\r\nContent-Disposition: icon ; handling=optional\r\n");
            let body = "--b\r\nc: text/plain\r\n\r\nx\r\n--b--";
            assert_eq!(offered(&headers, body), Ok(None), "{kind}");
        }
    }
}

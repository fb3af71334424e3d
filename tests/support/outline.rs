//! What an INVITE's outline says is what is read of it whole.

use std::net::SocketAddr;

use umbra::base::time::Instant;
use umbra::sip::build::{self, Response};
use umbra::sip::header::Name;
use umbra::sip::lexer::Head;
use umbra::sip::message::Message;
use umbra::sip::method::Method;
use umbra::sip::outline::{Asked, Outline};
use umbra::sip::overload;
use umbra::sip::path::{ListenerId, Path};
use umbra::sip::peek::peek;
use umbra::sip::transaction::{BaseTimers, Layer};

const TAG: &[u8] = b"shed-x";

/// Reads any bytes both ways, and panics where they differ. Says whether there is an outline.
pub fn agrees(bytes: &[u8]) -> bool {
    let Some(outline) = Outline::read(bytes) else {
        return false;
    };
    // That of the fuzzers' caller, and another.
    for source in ["192.0.2.7:5060", "[2001:db8::1]:40000"] {
        let source: SocketAddr = source.parse().expect("an address");
        for told in [Some(3), None] {
            let room = b"what another had".to_vec();
            let (text, tag_ends) = build::refusal(&outline, source, TAG, told, room);
            is_sound(&text, tag_ends);
            if let Ok(request) = Message::parse(bytes) {
                let told = told.map(|seconds: u32| seconds.to_string());
                let header = told.as_ref().map(|seconds| ("Retry-After", seconds.as_str()));
                let response = Response {
                    status: 503,
                    to_tag: Some(TAG),
                    contact: None,
                    headers: header.as_slice(),
                    body: None,
                };
                let whole = build::response_of(&request, source, &response, Vec::new());
                assert_eq!((text, tag_ends), whole, "{}", bytes.escape_ascii());
            }
        }
    }
    let Ok(request) = Message::parse(bytes) else {
        return true;
    };
    assert_eq!(request.method(), Method::Invite);
    assert_eq!(request.to_tag(), None);
    assert_eq!(outline.request_uri(), request.request_uri());
    assert!(outline.via() == request.via());
    assert_eq!(Some(outline.topmost()), request.get(Name::Via));
    assert_eq!(outline.call_id(), request.call_id());
    assert_eq!(
        overload::of_via(outline.topmost()),
        overload::read(request.head())
    );
    assert!(peek(bytes) == Some(outline.peeked()));
    is_known_alike(&outline, &request);
    true
}

/// A refusal breaks no line, and its To has our tag.
fn is_sound(text: &[u8], tag_ends: usize) {
    let shown = text.escape_ascii();
    let head = Head::read(text).unwrap_or_else(|| panic!("no message: {shown}"));
    assert_eq!(head.rest(), b"", "{shown}");
    for name in [
        Name::From,
        Name::To,
        Name::CallId,
        Name::CSeq,
        Name::ContentLength,
    ] {
        assert_eq!(head.lines(name).count(), 1, "{shown}");
    }
    assert!(text[..tag_ends].ends_with(TAG), "{shown}");
    assert!(text[tag_ends..].starts_with(b"\r\nCall-ID: "), "{shown}");
    // DEL is no line's end to anybody.
    let breaks = text.iter().filter(|byte| **byte < b' ').count();
    let lines = text.windows(2).filter(|pair| pair == b"\r\n").count();
    assert_eq!(breaks, 2 * lines, "{shown}");
}

/// Both are known by the transaction layer, or neither.
fn is_known_alike(outline: &Outline<'_>, request: &Message<'_>) {
    let mut layer = Layer::new(BaseTimers::default());
    let path = Path::udp(ListenerId(0), ([192, 0, 2, 7], 5060).into());
    for is_known in [false, true] {
        assert_eq!(layer.knows(path, Asked::Whole(request)), is_known);
        assert_eq!(layer.knows(path, Asked::Outline(outline)), is_known);
        layer.receive_request(Instant::default(), path, request);
    }
}

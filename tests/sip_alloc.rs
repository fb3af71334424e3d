//! Reading a message allocates nothing: a flood of packets costs no heap.

#[path = "support/counting.rs"]
mod counting;

use counting::allocations;
use umbra::sip::header::{MediaType, Name, NameAddr};
use umbra::sip::message::Message;
use umbra::sip::multipart;
use umbra::sip::peek::peek;
use umbra::sip::uri::{Uri, unescape};

fn allocations_of(work: impl FnOnce()) -> usize {
    let before = allocations();
    work();
    allocations() - before
}

const INVITE: &[u8] = b"INVITE sip:%2B8613900000002@192.0.2.1;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK-1;rport, SIP/2.0/UDP h;branch=z9hG4bK-0\r\n\
    Max-Forwards: 70\r\n\
    f: \"Li, \\\"Lei\\\"\" <sip:13800000001@198.51.100.7>\r\n ;tag=a73kszlfl\r\n\
    t: <sip:13900000002@192.0.2.1>\r\n\
    i: 3848276298220188511@198.51.100.7\r\n\
    CSeq: 101 INVITE\r\n\
    m: <sip:13800000001@[2001:db8::1]:5062>\r\n\
    P-Asserted-Identity: \"A, B\" <sip:13800000001@h>, <tel:+8613800000001>\r\n\
    c: application/sdp\r\n\
    l: 5\r\n\
    \r\n\
    v=0\r\n";

const PARTS: &[u8] = b"--b\r\nc: text/plain\r\n\r\nx\r\n--b\r\nc: application/sdp\r\n\r\nv=0\r\n--b--\r\n";

#[test]
fn reading_a_message_and_its_parts_allocates_nothing() {
    assert!(
        allocations_of(|| drop(std::hint::black_box(Box::new(1)))) > 0,
        "the count works"
    );
    let mut seen = 0;
    let count = allocations_of(|| {
        let Ok(message) = Message::parse(INVITE) else {
            return;
        };
        seen += usize::from(message.via().branch.is_some());
        seen += usize::from(message.from().tag().is_some());
        seen += usize::from(message.to().tag().is_none());
        seen += usize::from(message.cseq().number == 101);
        seen += usize::from(message.contact().is_some_and(|it| Uri::parse(it.uri).is_ok()));
        seen += message
            .values(Name::PAssertedIdentity)
            .filter_map(NameAddr::parse)
            .count();
        seen += message.values(Name::Via).count();
        seen += usize::from(
            message
                .content_type()
                .is_some_and(|kind| kind.is("application/sdp")),
        );
        let user = Uri::parse(message.request_uri()).ok().and_then(|uri| uri.user);
        seen += usize::from(user.and_then(unescape).is_some_and(|user| user.starts_with('+')));
        seen += usize::from(message.other("X-Not-There").is_none());
        seen += usize::from(peek(INVITE).is_some());
        seen += usize::from(
            MediaType::parse(b"multipart/mixed;boundary=b")
                .is_some_and(|kind| multipart::find(&kind, PARTS, "application/sdp") == Ok(Some(b"v=0"))),
        );
        seen += usize::from(Message::parse(&INVITE[..INVITE.len() - 1]).is_err());
    });
    assert_eq!(seen, 15, "all was read");
    assert_eq!(count, 0);
}

//! A session description: read, offered onward, answered; what we write of it is read back as it was meant.

use umbra::sdp::answer::{Lines, Offer, Terms};
use umbra::sdp::build;
use umbra::sdp::media::{CodecName, Origin};
use umbra::sdp::parse::parse;

/// Two descriptions, the caller's and the called one's.
pub fn run(bytes: &[u8]) {
    let pieces = super::pieces(bytes);
    let (near, far) = (pieces[0], pieces.get(1).copied().unwrap_or(pieces[0]));
    let here = "192.0.2.1:20000".parse().expect("an address");
    let origin = Origin { id: 1, version: 1 };
    let Ok(caller) = parse(near) else { return };
    let Ok(offer) = Offer::read(&caller, &CodecName::DEFAULT, None) else {
        return;
    };
    let terms = offer.onward(None);
    let lines = Lines::one();
    let onward = build::write(origin, here, &lines, &terms);
    is_ours(near, &onward);
    let ours = parse(&onward).expect("what we write can be read");
    let back = Offer::read(&ours, &CodecName::DEFAULT, None).expect("what we offer can be taken");
    let names = |terms: &Terms| -> Vec<CodecName> { terms.codecs.iter().map(|codec| codec.name).collect() };
    assert_eq!(names(&back.onward(None)), names(&terms), "the same codecs");
    let Ok(callee) = parse(far) else { return };
    let Ok(agreed) = terms.check(&lines, &callee) else {
        return;
    };
    let Ok((answer, near_agreed)) = offer.answer(&agreed, None) else {
        return;
    };
    let answered = build::write(origin, here, &offer.lines, &answer);
    is_ours(far, &answered);
    let ours = parse(&answered).expect("what we write can be read");
    assert_eq!(
        ours.media.len(),
        caller.media.len(),
        "an answer mirrors the lines"
    );
    drop(umbra::sdp::answer::rows(&near_agreed, &agreed));
    drop(umbra::sdp::answer::rows(&agreed, &near_agreed));
    if let Ok(again) = Offer::read(&callee, &CodecName::DEFAULT, Some(&lines)) {
        let changes = again.changes(&agreed, &near_agreed);
        drop((changes.crosses(), again.onward(Some(&near_agreed))));
    }
}

/// No name or address of the other party is in what we write.
fn is_ours(theirs: &[u8], ours: &[u8]) {
    let text = String::from_utf8_lossy(ours);
    for line in text.lines() {
        let is_known = [
            "v=0",
            "o=- 1 1 IN IP4 192.0.2.1",
            "s=-",
            "c=IN IP4 192.0.2.1",
            "t=0 0",
        ]
        .contains(&line)
            || line.starts_with("m=")
            || line.starts_with("a=");
        assert!(is_known, "{line:?} of {}", theirs.escape_ascii());
    }
}

//! A session description: read, offered onward, answered; what we write of it is read back as it was meant.

use umbra::base::chance::Chance;
use umbra::base::keying::{Keying, Suite};
use umbra::sdp::answer::{Lines, Offer, Terms};
use umbra::sdp::build;
use umbra::sdp::crypto::{Line, Mode, Protection};
use umbra::sdp::media::{CodecName, Origin};
use umbra::sdp::parse::parse;

/// Two descriptions, the caller's and the called one's.
pub fn run(bytes: &[u8]) {
    let pieces = super::pieces(bytes);
    let (near, far) = (pieces[0], pieces.get(1).copied().unwrap_or(pieces[0]));
    for mode in [Mode::Off, Mode::Optional, Mode::Required] {
        by_mode(near, far, mode);
    }
}

/// Both legs are secured by this.
fn by_mode(near: &[u8], far: &[u8], mode: Mode) {
    let here = "192.0.2.1:20000".parse().expect("an address");
    let origin = Origin { id: 1, version: 1 };
    let mut chance = Chance::from_number(1);
    let mut protection = || Protection {
        mode,
        ours: match mode {
            Mode::Off => Default::default(),
            Mode::Optional | Mode::Required => {
                Suite::ALL.map(|suite| Keying::draw(suite, &mut chance)).into()
            }
        },
    };
    let (to_caller, to_callee) = (protection(), protection());
    let Ok(caller) = parse(near) else { return };
    let Ok(offer) = Offer::read(&caller, &CodecName::DEFAULT, &to_caller, None) else {
        return;
    };
    let is_secured = |secured: bool| match mode {
        Mode::Off => assert!(!secured),
        Mode::Optional => {}
        Mode::Required => assert!(secured),
    };
    is_secured(offer.secured.is_some());
    let terms = offer.onward(None);
    let (lines, line) = (Lines::one(), to_callee.offer());
    let onward = build::write(origin, here, &lines, &terms, &line);
    is_ours(near, &onward);
    let ours = parse(&onward).expect("what we write can be read");
    let back = Offer::read(&ours, &CodecName::DEFAULT, &to_callee, None);
    let back = back.expect("what we offer can be taken");
    let names = |terms: &Terms| -> Vec<CodecName> { terms.codecs.iter().map(|codec| codec.name).collect() };
    assert_eq!(names(&back.onward(None)), names(&terms), "the same codecs");
    if let Some(secured) = &back.secured {
        assert_eq!(secured.theirs, to_callee.ours[0], "the same key");
    }
    let Ok(callee) = parse(far) else { return };
    let Ok(agreed) = terms.check(&lines, &line, mode, &callee) else {
        return;
    };
    is_secured(agreed.secured.is_some());
    if let Some(secured) = &agreed.secured {
        assert!(secured.is_sound() && to_callee.ours.contains(&secured.ours));
    }
    let Ok((answer, near_agreed)) = offer.answer(&agreed, None) else {
        return;
    };
    let said = Line::answer(near_agreed.secured.as_deref());
    let answered = build::write(origin, here, &offer.lines, &answer, &said);
    is_ours(far, &answered);
    let ours = parse(&answered).expect("what we write can be read");
    assert_eq!(
        ours.media.len(),
        caller.media.len(),
        "an answer mirrors the lines"
    );
    drop(umbra::sdp::answer::rows(&near_agreed, Some(&agreed)));
    drop(umbra::sdp::answer::rows(&agreed, Some(&near_agreed)));
    if let Ok(again) = Offer::read(&callee, &CodecName::DEFAULT, &to_callee, Some(&lines)) {
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

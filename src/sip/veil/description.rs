//! What is shown of a session description (RFC 4566).

use super::Numbers;
use super::pen::{LONG, Pen};

/// Attributes that hold keys, or passwords.
const SECRET: [&[u8]; 4] = [b"crypto", b"key-mgmt", b"ice-pwd", b"acap"];

/// The description without its keys, and without what it says of people; line by line, what is no line is left out.
pub(super) fn shown(body: &[u8], numbers: Numbers) -> Vec<u8> {
    let mut pen = Pen::new(numbers, body.len());
    for line in body.split(|c| *c == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let [kind, b'=', value @ ..] = line {
            write(&mut pen, *kind, value, numbers);
        }
    }
    pen.done()
}

fn write(pen: &mut Pen, kind: u8, value: &[u8], numbers: Numbers) {
    let is_shown = match (kind, numbers) {
        (b'k', _) => false,
        // Words of people, and where to reach them.
        (b'i' | b'u' | b'e' | b'p', numbers) => numbers == Numbers::Clear,
        (b'a', _) => {
            let name = value
                .split(|c| *c == b':')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            !SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(name))
        }
        (other, _) => other.is_ascii_alphabetic(),
    };
    if !is_shown {
        return;
    }
    pen.plain(&[kind, b'=']);
    match kind {
        b'o' => {
            let user = value.split(|c| *c == b' ').next().unwrap_or_default();
            pen.digits(user, 1);
            pen.counts(value.get(user.len()..).unwrap_or_default());
        }
        b's' => pen.line(value, 3),
        b't' | b'r' => pen.counts(value),
        b'm' if is_media(value) => pen.plain(value),
        b'a' if is_map(value) => pen.plain(value),
        _ => pen.line(value, LONG),
    }
    pen.plain(b"\r\n");
}

/// Whether it is a media line, in which no number has room: `audio 4000 RTP/AVP 8 0 101`.
fn is_media(value: &[u8]) -> bool {
    let few_digits = |word: &[u8], most| word.iter().filter(|c| c.is_ascii_digit()).count() <= most;
    let mut words = value.split(|c| *c == b' ');
    let is_word = |word: &[u8]| word.iter().all(u8::is_ascii_alphabetic);
    words.next().is_some_and(is_word)
        && words.next().is_some_and(|port| few_digits(port, 5))
        && words.next().is_some_and(|proto| few_digits(proto, 2))
        && words.all(|format| few_digits(format, 3) && format.len() <= 16)
}

/// Whether it says what a payload type is: `rtpmap:9 G722/8000/1`.
fn is_map(value: &[u8]) -> bool {
    let parts = || {
        let rest = value.strip_prefix(b"rtpmap:")?;
        let space = rest.iter().position(|c| *c == b' ')?;
        let (kind, rest) = rest.split_at(space);
        let mut parts = rest.trim_ascii().split(|c| *c == b'/');
        let name = parts.next()?;
        let few = |text: &[u8], most| text.len() <= most && text.iter().all(u8::is_ascii_digit);
        let digits = name.iter().filter(|c| c.is_ascii_digit()).count();
        let fits = few(kind, 3) && digits <= 4 && few(parts.next()?, 6) && parts.all(|more| few(more, 2));
        Some(fits)
    };
    parts().unwrap_or(false)
}

//! Finding a byte in short texts: what reading a message does a few hundred times. `memchr` is made for long ones,
//! and costs more to call than most header values take to read.

/// The place of the first byte that is one of the two.
#[inline]
pub(super) fn find_either(text: &[u8], one: u8, other: u8) -> Option<usize> {
    let (chunks, rest) = text.as_chunks::<WIDTH>();
    for (number, chunk) in chunks.iter().enumerate() {
        if let Some(at) = first_hit(*chunk, one, other) {
            return Some(number * WIDTH + at);
        }
    }
    let at = rest.iter().position(|byte| *byte == one || *byte == other)?;
    Some(chunks.len() * WIDTH + at)
}

/// The place of the first such byte.
#[inline]
pub(super) fn find(text: &[u8], wanted: u8) -> Option<usize> {
    find_either(text, wanted, wanted)
}

/// The place of the first control character of ASCII but DEL: what ends a line, and what seldom stands within one.
#[inline]
pub(super) fn find_control(text: &[u8]) -> Option<usize> {
    let (chunks, rest) = text.as_chunks::<{ 2 * WIDTH }>();
    for (number, chunk) in chunks.iter().enumerate() {
        let both = u128::from_le_bytes(*chunk);
        let hits = [both as u64, (both >> 64) as u64].map(controls);
        if hits != [0, 0] {
            let at = match hits {
                [0, hits] => WIDTH + hits.trailing_zeros() as usize / 8,
                [hits, _] => hits.trailing_zeros() as usize / 8,
            };
            return Some(number * 2 * WIDTH + at);
        }
    }
    let at = rest.iter().position(|byte| *byte < FIRST_PRINTED)?;
    Some(chunks.len() * 2 * WIDTH + at)
}

/// The first character that is none of control.
const FIRST_PRINTED: u8 = b' ';

/// The high bits of the bytes that are control characters, as [`first_hit`] finds zeros.
#[inline]
const fn controls(word: u64) -> u64 {
    word.wrapping_sub(u64::from_le_bytes([FIRST_PRINTED; WIDTH])) & !word & HIGH_BITS
}

/// Bytes that are looked at together.
const WIDTH: usize = 8;
const LOW_BITS: u64 = u64::from_le_bytes([0x01; WIDTH]);
const HIGH_BITS: u64 = u64::from_le_bytes([0x80; WIDTH]);

/// The place of the first byte that is one of the two.
#[inline]
fn first_hit(chunk: [u8; WIDTH], one: u8, other: u8) -> Option<usize> {
    let word = u64::from_le_bytes(chunk);
    // A byte's high bit, if the byte is zero. A borrow can set one behind it by mistake, never before it.
    let zeros = |word: u64| word.wrapping_sub(LOW_BITS) & !word & HIGH_BITS;
    let all = |byte: u8| u64::from_le_bytes([byte; WIDTH]);
    let hits = zeros(word ^ all(one)) | zeros(word ^ all(other));
    (hits != 0).then(|| hits.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_control_character_is_found_wherever_it_stands() {
        for len in 0..70 {
            let mut text = vec![b' '; len];
            assert_eq!(find_control(&text), None);
            for at in (0..len).rev() {
                text[at] = [b'\r', b'\n', 0, 0x1f][at % 4];
                assert_eq!(find_control(&text), Some(at), "{at} of {len}");
            }
        }
        for printed in (b' '..=u8::MAX).map(|byte| [byte; 40]) {
            assert_eq!(find_control(&printed), None);
        }
    }

    #[test]
    fn the_first_of_either_is_found_wherever_it_stands() {
        for len in 0..70 {
            let mut text = vec![b'x'; len];
            assert_eq!(find_either(&text, b'\r', b'\n'), None);
            for at in (0..len).rev() {
                text[at] = if at % 2 == 0 { b'\r' } else { b'\n' };
                assert_eq!(find_either(&text, b'\r', b'\n'), Some(at), "{at} of {len}");
            }
            if len > 1 {
                assert_eq!(find(&text, b'\n'), Some(1));
            }
        }
        assert_eq!(find(&[0xff; 20], 0x7f), None);
        // What differs by one from what is sought, before and behind it.
        assert_eq!(find(b"\x0c\x0e\x0c\x0d\x0c\x0e\x0c\x0c", 0x0d), Some(3));
        assert_eq!(find(b"\x0c\x0c\x0c\x0c\x0c\x0c\x0c\x0c", 0x0d), None);
        assert_eq!(find(&[0xff; 20], 0xff), Some(0));
    }
}

//! Keys as a phone hears them: RFC 4733 events among RTP packets, each held against the RFC.

/// A key that was pressed to its end, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pressed {
    /// What is on the key.
    pub key: char,
    /// In ticks of the event's clock.
    pub ticks: u16,
}

/// An event as far as it has come.
struct Event {
    timestamp: [u8; 4],
    code: u8,
    ticks: u16,
    ends: usize,
}

/// The keys that were pressed in these packets, whole events only. As often as another process may have gone on with the
/// call, a stream of its own may go on with another number (RFC 3550 §8).
///
/// # Errors
/// What of it is against RFC 4733.
pub fn pressed<'p>(
    packets: impl Iterator<Item = &'p [u8]>,
    payload: u8,
    mut restarts: usize,
) -> Result<Vec<Pressed>, String> {
    let mut all = Vec::new();
    let mut event: Option<Event> = None;
    let mut last_seq: Option<u16> = None;
    let mut last_ssrc = None;
    for packet in packets {
        let [first, second, a, b, t0, t1, t2, t3, s0, s1, s2, s3, rest @ ..] = packet else {
            return Err("a packet without a head".into());
        };
        let seq = u16::from_be_bytes([*a, *b]);
        let ssrc = [*s0, *s1, *s2, *s3];
        if last_ssrc.replace(ssrc).is_some_and(|last| last != ssrc) && restarts > 0 {
            restarts -= 1;
            (last_seq, event) = (None, None);
        }
        if let Some(last) = last_seq.filter(|last| last.wrapping_add(1) != seq) {
            return Err(format!("packet {seq} follows {last}"));
        }
        last_seq = Some(seq);
        let (marker, number) = (second & 0x80 != 0, second & 0x7f);
        if number != payload {
            if event.as_ref().is_some_and(|event| event.ends < 3) {
                return Err("audio while a key is down".into());
            }
            event = None;
            continue;
        }
        if *first != 0x80 {
            return Err("an event with more in its head than it needs".into());
        }
        let timestamp = [*t0, *t1, *t2, *t3];
        let [code, flags, high, low] = rest else {
            return Err(format!("an event of {} bytes", rest.len()));
        };
        let ticks = u16::from_be_bytes([*high, *low]);
        let is_end = flags & 0x80 != 0;
        let is_same = event.as_ref().is_some_and(|event| event.timestamp == timestamp);
        if !is_same {
            // §2.5.1.3: the marker says where an event begins; the one before was ended three times (§2.5.1.4).
            if !marker {
                return Err("an event begins without the marker".into());
            }
            if event.as_ref().is_some_and(|event| event.ends != 3) {
                return Err("an event begins before the last one has ended".into());
            }
            event = Some(Event {
                timestamp,
                code: *code,
                ticks: 0,
                ends: 0,
            });
        } else if marker {
            return Err("the marker stands within an event".into());
        }
        let Some(event) = &mut event else { continue };
        if event.code != *code {
            return Err("a key changes while it is down".into());
        }
        let grows = ticks > event.ticks || (event.ends > 0 && ticks == event.ticks);
        if !grows || (event.ends > 0 && !is_end) {
            return Err(format!("an event of {} ticks goes on with {ticks}", event.ticks));
        }
        event.ticks = ticks;
        event.ends += usize::from(is_end);
        if event.ends == 1 {
            let key = b"0123456789*#ABCD".get(usize::from(*code));
            all.push(Pressed {
                key: char::from(*key.ok_or("no key has that code")?),
                ticks,
            });
        }
        if event.ends > 3 {
            return Err("an event ends more than three times".into());
        }
    }
    Ok(all)
}

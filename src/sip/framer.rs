//! A stream's bytes, cut into messages (RFC 3261 §18.3) and keep-alives (RFC 5626 §4.4.1).
//!
//! However the bytes arrive, one by one or many messages at once, the same frames come out. Nothing is looked at
//! twice, and what is kept is one unfinished message at the most.
//!
//! Whoever can't be followed is not followed: where a message ends must be beyond doubt, because a proxy that
//! reads it otherwise would carry a forged message inside another one's body. So a header line that is none, a
//! missing, doubled or unreadable Content-Length, and a message that is too long end the stream.

use memchr::memmem;

use super::header::{self, Name};
use super::lexer::{self, Step};
use crate::base::limits::SIP_MESSAGE_BYTES_MAX;

/// What ends the header section.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// What is kept of a buffer between two messages, in bytes.
const KEPT: usize = 4_096;

/// The next piece of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message: start line, headers, and a body as long as its one Content-Length says. Whether it can be
    /// read is another matter.
    Message(&'a [u8]),
    /// A double CRLF between messages: answer it with [`PONG`].
    Ping,
    /// The answer to a ping of ours: a single CRLF, where one is [awaited](Framer::await_pong).
    Pong,
    /// The stream can't be followed beyond this point. The bytes are the header section, or as much of it as
    /// came: enough to answer a request 400. No frame comes after it.
    Broken(&'a [u8]),
}

/// The answer to a [`Frame::Ping`].
pub const PONG: &[u8] = b"\r\n";

/// One direction of one stream.
#[derive(Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Where the next frame begins.
    from: usize,
    progress: Progress,
    pong: Pong,
}

/// Whether a single CRLF is the answer to a ping of ours, or the half of one of theirs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Pong {
    #[default]
    NotAwaited,
    Awaited,
}

/// How far the frame at `from` has been read.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Progress {
    /// Nothing of it.
    #[default]
    Between,
    /// One CRLF, which may be the first half of a ping; it is taken off already.
    AfterCrlf,
    /// The header section has no end within this many bytes.
    Head(usize),
    /// Its length is known.
    Whole(usize),
    /// The stream is over.
    Broken,
}

/// What a look at the bytes says.
enum Look {
    More,
    Ping,
    Pong,
    Message(usize),
    Broken(usize),
}

impl Framer {
    /// Takes what was read of the stream. Call [`Framer::next`] until it says `None` before the next time, so
    /// that no more than one message and `bytes` is ever kept.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.progress == Progress::Broken {
            return;
        }
        if self.from > 0 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame; `None` when more bytes are needed.
    #[expect(
        clippy::should_implement_trait,
        reason = "a frame borrows the framer, an iterator's item can't"
    )]
    pub fn next(&mut self) -> Option<Frame<'_>> {
        match self.look() {
            Look::More => {
                self.shrink();
                None
            }
            Look::Ping => Some(Frame::Ping),
            Look::Pong => Some(Frame::Pong),
            Look::Message(length) => {
                let from = self.skip(length);
                self.bytes.get(from..self.from).map(Frame::Message)
            }
            Look::Broken(length) => {
                self.progress = Progress::Broken;
                let from = self.skip(length);
                self.bytes.get(from..self.from).map(Frame::Broken)
            }
        }
    }

    /// We have sent a ping: the next single CRLF between messages answers it.
    pub fn await_pong(&mut self) {
        self.pong = Pong::Awaited;
    }

    /// No answer is awaited any more.
    pub fn await_no_pong(&mut self) {
        self.pong = Pong::NotAwaited;
    }

    /// Whether a message has begun and not ended.
    pub fn is_within_message(&self) -> bool {
        match self.progress {
            Progress::Between | Progress::AfterCrlf | Progress::Broken => self.from < self.bytes.len(),
            Progress::Head(_) | Progress::Whole(_) => true,
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }

    /// Moves past so many bytes; where they begin.
    fn skip(&mut self, length: usize) -> usize {
        let from = self.from;
        self.from = from.saturating_add(length).min(self.bytes.len());
        from
    }

    fn look(&mut self) -> Look {
        loop {
            match self.progress {
                Progress::Between | Progress::AfterCrlf => match self.rest() {
                    [] | [b'\r'] => return Look::More,
                    // A ping of theirs comes whole, as a rule.
                    [b'\r', b'\n', after @ ..]
                        if self.progress == Progress::Between
                            && self.pong == Pong::Awaited
                            && !after.starts_with(b"\r") =>
                    {
                        self.skip(2);
                        self.pong = Pong::NotAwaited;
                        return Look::Pong;
                    }
                    [b'\r', b'\n', ..] => {
                        self.skip(2);
                        if self.progress == Progress::AfterCrlf {
                            self.progress = Progress::Between;
                            return Look::Ping;
                        }
                        self.progress = Progress::AfterCrlf;
                    }
                    // What no message begins with needs no patience.
                    [first, ..] if !header::is_token(&[*first]) => return Look::Broken(0),
                    [_, ..] => self.progress = Progress::Head(0),
                },
                Progress::Head(looked) => {
                    let rest = self.rest();
                    // The end may have begun in what was looked at.
                    let from = looked.saturating_sub(HEAD_END.len() - 1);
                    let found = rest.get(from..).and_then(|rest| memmem::find(rest, HEAD_END));
                    let Some(at) = found else {
                        if rest.len() > SIP_MESSAGE_BYTES_MAX {
                            return Look::Broken(SIP_MESSAGE_BYTES_MAX);
                        }
                        self.progress = Progress::Head(rest.len());
                        return Look::More;
                    };
                    let head = from.saturating_add(at).saturating_add(HEAD_END.len());
                    let length = rest.get(..head).and_then(content_length);
                    match length.and_then(|length| head.checked_add(length)) {
                        Some(whole) if whole <= SIP_MESSAGE_BYTES_MAX => {
                            self.progress = Progress::Whole(whole);
                        }
                        Some(_) | None => return Look::Broken(head.min(SIP_MESSAGE_BYTES_MAX)),
                    }
                }
                Progress::Whole(length) if self.rest().len() < length => return Look::More,
                Progress::Whole(length) => {
                    self.progress = Progress::Between;
                    return Look::Message(length);
                }
                Progress::Broken => return Look::More,
            }
        }
    }

    /// Lets a large buffer go that nothing is in.
    fn shrink(&mut self) {
        if self.from == self.bytes.len() {
            self.bytes.clear();
            self.from = 0;
            self.bytes.shrink_to(KEPT);
        }
    }
}

impl std::fmt::Debug for Framer {
    /// How much it holds; never what.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Framer({} bytes)", self.rest().len())
    }
}

/// The one Content-Length of a header section in which every line is one.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut walk = lexer::headers(head)?;
    let mut found = None;
    loop {
        match walk.step() {
            Step::Line { name, value, .. } => {
                if name != Name::ContentLength {
                    continue;
                }
                if found.is_some() {
                    return None;
                }
                found = Some(header::decimal(head.get(value)?, u32::MAX)?);
            }
            Step::Faulty(_) | Step::Cut => return None,
            Step::Body(_) => return found.and_then(|length| usize::try_from(length).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYE: &str = "BYE sip:a@h SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n";
    const BODY: &str = "INVITE sip:a@h SIP/2.0\r\nl : 12\r\nSubject: a\r\n b\r\n\r\nline\r\n\r\nmore";

    /// A frame, owned.
    #[derive(PartialEq, Eq, Debug)]
    enum Cut {
        Message(String),
        Ping,
        Pong,
        Broken(String),
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn drain(framer: &mut Framer, to: &mut Vec<Cut>) {
        while let Some(frame) = framer.next() {
            to.push(match frame {
                Frame::Message(bytes) => Cut::Message(text(bytes)),
                Frame::Ping => Cut::Ping,
                Frame::Pong => Cut::Pong,
                Frame::Broken(bytes) => Cut::Broken(text(bytes)),
            });
        }
    }

    #[test]
    fn a_single_crlf_is_a_pong_once_where_one_is_awaited() {
        let hello = "OPTIONS sip:x@h SIP/2.0\r\nl: 0\r\n\r\n";
        let message = || Cut::Message(hello.to_owned());
        let cut = |pieces: &[&str]| {
            let (mut framer, mut found) = (Framer::default(), Vec::new());
            framer.await_pong();
            for piece in pieces {
                framer.push(piece.as_bytes());
                drain(&mut framer, &mut found);
            }
            found
        };
        let (pong, ping) = ("\r\n", "\r\n\r\n");
        assert_eq!(cut(&[pong]), [Cut::Pong]);
        assert_eq!(cut(&["\r", "\n"]), [Cut::Pong]);
        assert_eq!(cut(&[pong, hello]), [Cut::Pong, message()]);
        assert_eq!(cut(&[&[pong, hello].concat()]), [Cut::Pong, message()]);
        assert_eq!(cut(&[hello, pong, ping]), [message(), Cut::Pong, Cut::Ping]);
        assert_eq!(
            cut(&[ping, pong]),
            [Cut::Ping, Cut::Pong],
            "a ping of theirs is no answer"
        );
        assert_eq!(cut(&[pong, pong, hello]), [Cut::Pong, message()]);
    }

    /// The frames of a stream that comes in pieces of such lengths, and then all at once.
    fn frames(stream: &[u8], lengths: impl IntoIterator<Item = usize>) -> Vec<Cut> {
        let mut framer = Framer::default();
        let (mut found, mut rest) = (Vec::new(), stream);
        for length in lengths {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            framer.push(piece);
            drain(&mut framer, &mut found);
            rest = after;
        }
        framer.push(rest);
        drain(&mut framer, &mut found);
        found
    }

    fn at_once(stream: &str) -> Vec<Cut> {
        frames(stream.as_bytes(), [])
    }

    fn message(text: &str) -> Cut {
        Cut::Message(text.into())
    }

    #[test]
    fn pipelined_messages_come_out_one_by_one_with_the_bodies_that_they_say() {
        let stream = [BYE, BODY, BODY, BYE].concat();
        assert_eq!(
            at_once(&stream),
            [message(BYE), message(BODY), message(BODY), message(BYE)]
        );
    }

    #[test]
    fn however_a_stream_is_split_the_same_frames_come_out() {
        let stream = [
            "\r\n\r\n",
            BYE,
            "\r\n",
            BODY,
            "\r\n\r\n\r\n\r\n",
            BYE,
            "\r\n",
            BODY,
        ]
        .concat();
        let whole = at_once(&stream);
        assert_eq!(whole.len(), 7);
        let one_by_one = frames(stream.as_bytes(), (0..stream.len()).map(|_| 1));
        assert_eq!(one_by_one, whole);
        for at in 0..stream.len() {
            assert_eq!(frames(stream.as_bytes(), [at]), whole, "split at {at}");
        }
    }

    #[test]
    fn a_double_line_end_between_messages_is_a_ping_and_a_single_one_is_nothing() {
        assert_eq!(at_once("\r\n\r\n"), [Cut::Ping]);
        assert_eq!(at_once(&["\r\n", BYE].concat()), [message(BYE)]);
        assert_eq!(
            at_once(&["\r\n\r\n\r\n", BYE].concat()),
            [Cut::Ping, message(BYE)]
        );
        assert_eq!(
            at_once(&[BODY, "\r\n\r\n", BYE].concat()),
            [message(BODY), Cut::Ping, message(BYE)]
        );
    }

    #[test]
    fn a_message_whose_end_is_in_doubt_ends_the_stream_with_its_head() {
        for line in [
            "Subject: none",
            "Content-Length: 0\r\nl: 0",
            "Content-Length: -1",
            "Content-Length: 1 2",
            "Content-Length:",
            "Content-Length: 65535",
            "Content-Length: 4294967295",
            "Content-Length: 99999999999999999999",
            "X: a\nContent-Length: 3\r\nContent-Length: 0",
            "no header\r\nContent-Length: 0",
        ] {
            let head = format!("BYE sip:a@h SIP/2.0\r\n{line}\r\n\r\n");
            let stream = [&head, BYE].concat();
            assert_eq!(at_once(&stream), [Cut::Broken(head)], "{line}");
        }
    }

    #[test]
    fn what_no_message_begins_with_ends_the_stream_at_once() {
        // The first byte of a TLS handshake, a lone line feed, a carriage return without one, a blank.
        for start in ["\x16\x03\x01", "\nBYE", "\rBYE", " BYE"] {
            assert_eq!(at_once(start), [Cut::Broken(String::new())], "{start:?}");
        }
        assert_eq!(at_once("\r"), []);
    }

    #[test]
    fn the_longest_message_passes_and_one_byte_more_does_not() {
        let build = |extra: usize| {
            let head = "MESSAGE sip:a@h SIP/2.0\r\nContent-Length: 00000\r\n\r\n";
            let body = SIP_MESSAGE_BYTES_MAX - head.len() + extra;
            let head = head.replace("00000", &body.to_string());
            (head.clone(), head + &"x".repeat(body))
        };
        let (_, longest) = build(0);
        assert_eq!(longest.len(), SIP_MESSAGE_BYTES_MAX);
        assert_eq!(at_once(&longest), [message(&longest)]);
        let (head, too_long) = build(1);
        assert_eq!(at_once(&too_long), [Cut::Broken(head)]);
    }

    #[test]
    fn a_header_section_without_end_is_cut_where_the_longest_message_would_end() {
        let endless = ["BYE sip:a@h SIP/2.0\r\n", &"X: y\r\n".repeat(20_000)].concat();
        let found = frames(endless.as_bytes(), std::iter::repeat_n(1_000, 100));
        let kept = endless.get(..SIP_MESSAGE_BYTES_MAX).unwrap().to_owned();
        assert_eq!(found, [Cut::Broken(kept)]);
    }

    #[test]
    fn a_framer_knows_whether_it_is_within_a_message_and_keeps_no_large_buffer() {
        let mut framer = Framer::default();
        assert!(!framer.is_within_message());
        let body = "x".repeat(60_000);
        let long = format!("MESSAGE sip:a@h SIP/2.0\r\nl: {}\r\n\r\n{body}", body.len());
        let (first, rest) = long.as_bytes().split_at(50_000);
        framer.push(first);
        assert!(framer.next().is_none() && framer.is_within_message());
        framer.push(rest);
        assert!(matches!(framer.next(), Some(Frame::Message(_))));
        assert!(framer.next().is_none() && !framer.is_within_message());
        assert!(framer.bytes.capacity() <= KEPT);
        framer.push(b"B");
        assert!(framer.next().is_none() && framer.is_within_message());
    }

    /// Looking again from the start at every piece would take minutes here.
    #[test]
    fn a_message_that_comes_byte_by_byte_is_looked_at_once() {
        let head = "X: y\r\n".repeat(10_000);
        let long = format!(
            "MESSAGE sip:a@h SIP/2.0\r\n{head}l: 5000\r\n\r\n{}",
            "x".repeat(5_000)
        );
        let mut framer = Framer::default();
        let mut looked = 0;
        for byte in long.as_bytes() {
            framer.push(&[*byte]);
            let before = framer.progress;
            looked += usize::from(framer.next().is_some());
            // Each look begins where the last one ended.
            if let (Progress::Head(before), Progress::Head(after)) = (before, framer.progress) {
                assert!(after <= before + 1);
            }
        }
        assert_eq!(looked, 1);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_make_the_same_frames_and_are_kept_within_the_limit(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just(BYE.to_owned()), Just(BODY.to_owned()), Just("\r\n".to_owned()), Just("\r".to_owned()),
                    Just("BYE sip:a@h SIP/2.0\r\nX: 1\r\n\r\n".to_owned()), "[ -~\\r\\n]{0,20}",
                ], 0..8),
            lengths in proptest::collection::vec(0_usize..40, 0..40),
        ) {
            let stream = pieces.concat();
            let whole = at_once(&stream);
            prop_assert_eq!(frames(stream.as_bytes(), lengths), whole);
        }
    }
}

//! What becomes of each message of RFC 4475: at the reader, over UDP and over TCP.
//!
//! The RFC speaks of proxies, registrars and phones; Umbra is a back-to-back user agent that owns no `example.com`.
//! So what a proxy would forward and a phone would ring for is told 404 (nobody has that number), a registration
//! is told 405 (there is no registrar), and an OPTIONS is answered for ourselves, whomever it names.

/// What a message comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// This final answer, and nothing else.
    Answer(u16),
    /// One answer after the other, each to a message of its own.
    Answers(u16, u16),
    /// This answer, and the connection is closed: nobody knows where the next message begins.
    AnswerAndClose(u16),
    /// Nothing: it is no request, or not all of it has come.
    Silence,
}

/// How the reader takes a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// It is well formed.
    Read,
    /// It isn't; the sender is due this status, or none.
    Refused(Option<u16>, &'static str),
}

/// One message.
pub struct Case {
    pub name: &'static str,
    pub bytes: &'static [u8],
    pub reading: Reading,
    pub udp: Verdict,
    /// Sent alone on a connection of its own.
    pub tcp: Verdict,
    /// Why this is what the RFC asks for, where it isn't plain.
    pub why: &'static str,
}

use Reading::{Read, Refused};
use Verdict::{Answer, AnswerAndClose, Answers, Silence};

macro_rules! cases {
    ($($name:ident $reading:expr, $udp:expr, $tcp:expr, $why:literal;)*) => {
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            bytes: include_bytes!(concat!(stringify!($name), ".dat")),
            reading: $reading,
            udp: $udp,
            tcp: $tcp,
            why: $why,
        }),*];
    };
}

const fn bad(why: &'static str) -> Reading {
    Refused(Some(400), why)
}

cases! {
    // §3.1.1: well formed
    wsinv Read, Answer(481), Answer(481), "its To has a tag: it is for a dialog that doesn't exist";
    intmeth Read, Answer(501), Answer(501), "";
    esc01 Read, Answer(404), Answer(404), "nobody has that number";
    escnull Read, Answer(405), Answer(405), "no registrar";
    esc02 Read, Answer(501), Answer(501), "an escape in a method is none: it is no REGISTER";
    lwsdisp Read, Answer(200), Answer(200), "";
    longreq Read, Answer(404), Answer(404), "nobody has that number";
    dblreq Read, Answer(405), Answers(405, 404), "a datagram's rest is dropped; on a stream it is the next message";
    semiuri Read, Answer(200), Answer(200), "";
    transports Read, Answer(200), Answer(200), "";
    mpart01 Read, Answer(405), Answer(405), "no texts";
    unreason Read, Silence, Silence, "an answer to nothing that we asked";
    noreason Read, Silence, Silence, "an answer to nothing that we asked";
    // §3.1.2: not well formed
    badinv01 bad("malformed Via"), Answer(400), Answer(400), "";
    clerr bad("Content-Length is beyond the end"), Answer(400), Silence, "on a stream the rest may still come";
    ncl bad("malformed Content-Length"), Answer(400), AnswerAndClose(400), "";
    scalar02 bad("malformed CSeq"), Answer(400), Answer(400), "";
    scalarlg Refused(None, "malformed CSeq"), Silence, Silence, "";
    quotbal bad("malformed To"), Answer(400), Answer(400), "";
    ltgtruri bad("malformed request line"), Answer(400), Answer(400), "";
    lwsruri bad("malformed request line"), Answer(400), Answer(400), "";
    lwsstart bad("malformed request line"), Answer(400), Answer(400), "";
    trws bad("malformed request line"), Answer(400), Answer(400), "";
    escruri bad("headers in the Request-URI"), Answer(400), Answer(400), "";
    baddate Read, Answer(404), Answer(404), "nobody acts on a Date; nobody has that number";
    regbadct bad("malformed Contact"), Answer(400), Answer(400), "";
    badaspec Read, Answer(200), Answer(200), "the spaces within the brackets are repaired";
    baddn bad("the header section has no end"), Answer(400), Silence, "the archive's copy lacks its last line end";
    badvers Refused(Some(505), "version is not SIP/2.0"), Answer(505), Answer(505), "";
    mismatch01 bad("CSeq names another method"), Answer(400), Answer(400), "";
    mismatch02 bad("CSeq names another method"), Answer(400), Answer(400), "";
    bigcode Refused(None, "malformed status line"), Silence, Silence, "";
    // §3.2: transactions
    badbranch Read, Answer(200), Answer(200), "a branch that says nothing is an old sender's";
    // §3.3: what stands above
    insuf bad("From is missing or doubled"), Answer(400), Answer(400), "";
    unkscm Read, Answer(416), Answer(416), "";
    novelsc Read, Answer(416), Answer(416), "";
    unksm2 Read, Answer(405), Answer(405), "no registrar";
    bext01 Read, Answer(420), Answer(420), "";
    invut Read, Answer(415), Answer(415), "";
    regaut01 Read, Answer(405), Answer(405), "no registrar, so no challenge either";
    multi01 bad("From is missing or doubled"), Answer(400), Answer(400), "";
    mcl01 bad("Content-Length is doubled"), Answer(400), AnswerAndClose(400), "";
    bcast Read, Silence, Silence, "answers are not forwarded, to broadcast addresses or others";
    zeromf Read, Answer(200), Answer(200), "it is for us, and goes no further";
    cparam01 Read, Answer(405), Answer(405), "no registrar";
    cparam02 Read, Answer(405), Answer(405), "no registrar";
    regescrt Read, Answer(405), Answer(405), "no registrar";
    sdp01 Read, Answer(406), Answer(406), "";
    // §3.4: old senders
    inv2543 Read, Answer(404), AnswerAndClose(400), "nobody has that number; no stream without Content-Length";
}

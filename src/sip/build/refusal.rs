//! The refusal of an INVITE that was read in outline.

use std::net::SocketAddr;

use super::Writer;
use crate::base::text;
use crate::sip::header::{Name, Rport};
use crate::sip::outline::{Field, Outline};

/// Writes what [`response_of`](super::response_of) writes to an INVITE that was read whole, for one that was read in outline:
/// a 503 with this tag, and with Retry-After if whoever sent it is to wait. Beside it is the place where To's tag ends. `room`
/// is written anew, and grows where it has to.
pub fn refusal(
    invite: &Outline<'_>,
    source: SocketAddr,
    to_tag: &[u8],
    retry_after_s: Option<u32>,
    room: Vec<u8>,
) -> (Vec<u8>, usize) {
    let mut out = Writer::within(room);
    out.0.extend_from_slice(b"SIP/2.0 503 Service Unavailable\r\n");
    let (via, mut vias) = (invite.via(), invite.vias().iter());
    if let Some(topmost) = vias.next() {
        if via.rport == Rport::Absent && !via.has_received && via.address == Some(source.ip()) {
            out.field(Name::Via, *topmost);
        } else {
            out.name(Name::Via.text());
            out.answered_via(topmost.value, Some(via), source);
            out.end();
        }
    }
    for via in vias {
        out.field(Name::Via, *via);
    }
    out.field(Name::From, invite.from());
    out.field(Name::To, invite.to());
    // Behind the value, instead of the line's end.
    out.0.truncate(out.0.len().saturating_sub(2));
    out.0.extend_from_slice(b";tag=");
    out.0.extend_from_slice(to_tag);
    let tag_ends = out.0.len();
    out.end();
    out.field(Name::CallId, invite.call_id_field());
    out.field(Name::CSeq, invite.cseq());
    if let Some(seconds) = retry_after_s {
        out.0.extend_from_slice(b"Retry-After: ");
        text::number(&mut out.0, seconds.into());
        out.end();
    }
    out.0.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    (out.0, tag_ends)
}

impl Writer {
    fn field(&mut self, name: Name, field: Field<'_>) {
        match field.written {
            Some(line) => self.0.extend_from_slice(line),
            None => self.line(name.text(), field.value),
        }
    }
}

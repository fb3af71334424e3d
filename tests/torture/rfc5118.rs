//! The messages of RFC 5118, typed from its text. Content-Length is counted here: the RFC's own counts are of other
//! line ends. Each has a branch, and where it has a body a Call-ID, of its own: the RFC's would make one a repetition
//! of another.

use super::verdicts::Verdict::{self, Answer};

/// One message.
pub struct Case {
    pub name: &'static str,
    head: &'static [&'static str],
    body: &'static [&'static str],
    /// What is wrong with it, if the reader says so.
    pub fault: Option<&'static str>,
    pub verdict: Verdict,
    /// Why this is what the RFC asks for, where it isn't plain.
    pub why: &'static str,
}

impl Case {
    pub fn bytes(&self) -> Vec<u8> {
        let lines = |lines: &[&str]| lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
        let body = lines(self.body);
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{}{kind}Content-Length: {}\r\n\r\n{body}",
            lines(self.head),
            body.len()
        )
        .into_bytes()
    }
}

pub const CASES: &[Case] = &[
    Case {
        name: "ipv6-good",
        head: &[
            "REGISTER sip:[2001:db8::10] SIP/2.0",
            "To: sip:user@example.com",
            "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111",
            "Call-ID: SSG9559905523997077@hlau_4100",
            "Max-Forwards: 70",
            "Contact: \"Caller\" <sip:caller@[2001:db8::1]>",
            "CSeq: 98176 REGISTER",
        ],
        body: &[],
        fault: None,
        verdict: Answer(405),
        why: "no registrar",
    },
    Case {
        name: "ipv6-bad",
        head: &[
            "REGISTER sip:2001:db8::10 SIP/2.0",
            "To: sip:user@example.com",
            "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-112",
            "Call-ID: SSG9559905523997077@hlau_4100",
            "Max-Forwards: 70",
            "Contact: \"Caller\" <sip:caller@[2001:db8::1]>",
            "CSeq: 98177 REGISTER",
        ],
        body: &[],
        fault: Some("malformed Request-URI"),
        verdict: Answer(400),
        why: "",
    },
    Case {
        name: "port-ambiguous",
        head: &[
            "REGISTER sip:[2001:db8::10:5070] SIP/2.0",
            "To: sip:user@example.com",
            "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-113",
            "Call-ID: SSG9559905523997077@hlau_4100",
            "Contact: \"Caller\" <sip:caller@[2001:db8::1]>",
            "Max-Forwards: 70",
            "CSeq: 98178 REGISTER",
        ],
        body: &[],
        fault: None,
        verdict: Answer(405),
        why: "no registrar; 5070 is a part of the address",
    },
    Case {
        name: "port-unambiguous",
        head: &[
            "REGISTER sip:[2001:db8::10]:5070 SIP/2.0",
            "To: sip:user@example.com",
            "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-114",
            "Call-ID: SSG9559905523997077@hlau_4100",
            "Contact: \"Caller\" <sip:caller@[2001:db8::1]>",
            "Max-Forwards: 70",
            "CSeq: 98179 REGISTER",
        ],
        body: &[],
        fault: None,
        verdict: Answer(405),
        why: "no registrar",
    },
    Case {
        name: "via-received-param-with-delim",
        head: &[
            "BYE sip:[2001:db8::10] SIP/2.0",
            "To: sip:user@example.com;tag=bd76ya",
            "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-115",
            "Call-ID: SSG9559905523997077@hlau_4100",
            "Max-Forwards: 70",
            "CSeq: 321 BYE",
        ],
        body: &[],
        fault: None,
        verdict: Answer(481),
        why: "for a dialog that doesn't exist",
    },
    Case {
        name: "via-received-param-no-delim",
        head: &[
            "OPTIONS sip:[2001:db8::10] SIP/2.0",
            "To: sip:user@example.com",
            "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3",
            "Call-ID: SSG95523997077@hlau_4100",
            "Max-Forwards: 70",
            "Contact: \"Caller\" <sip:caller@[2001:db8::9:1]>",
            "CSeq: 921 OPTIONS",
        ],
        body: &[],
        fault: None,
        verdict: Answer(200),
        why: "",
    },
    Case {
        name: "ipv6-in-sdp",
        head: &[
            "INVITE sip:user@[2001:db8::10] SIP/2.0",
            "To: sip:user@[2001:db8::10]",
            "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-116",
            "Call-ID: SSG9559905523997077@hlau_4101",
            "Contact: \"Caller\" <sip:caller@[2001:db8::20]>",
            "CSeq: 8612 INVITE",
            "Max-Forwards: 70",
        ],
        body: &[
            "v=0",
            "o=assistant 971731711378798081 0 IN IP6 2001:db8::20",
            "s=Live video feed for today's meeting",
            "c=IN IP6 2001:db8::20",
            "t=3338481189 3370017201",
            "m=audio 6000 RTP/AVP 2",
            "a=rtpmap:2 G726-32/8000",
            "m=video 6024 RTP/AVP 107",
            "a=rtpmap:107 H263-1998/90000",
        ],
        fault: None,
        verdict: Answer(404),
        why: "nobody has that number",
    },
    Case {
        name: "mult-ip-in-header",
        head: &[
            "BYE sip:user@host.example.net SIP/2.0",
            "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-117",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144",
            "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200",
            "Call-ID: 997077@lau_4100",
            "Max-Forwards: 70",
            "CSeq: 89187 BYE",
            "To: sip:user@example.net;tag=9817--94",
            "From: sip:user@example.com;tag=81x2",
        ],
        body: &[],
        fault: None,
        verdict: Answer(481),
        why: "for a dialog that doesn't exist",
    },
    Case {
        name: "mult-ip-in-sdp",
        head: &[
            "INVITE sip:user@[2001:db8::10] SIP/2.0",
            "To: sip:user@[2001:db8::10]",
            "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-118",
            "Call-ID: SSG9559905523997077@hlau_4102",
            "Contact: \"Caller\" <sip:caller@[2001:db8::9:1]>",
            "Max-Forwards: 70",
            "CSeq: 8912 INVITE",
        ],
        body: &[
            "v=0",
            "o=bob 280744730 28977631 IN IP4 host.example.com",
            "s=",
            "t=0 0",
            "m=audio 22334 RTP/AVP 0",
            "c=IN IP4 192.0.2.1",
            "m=video 6024 RTP/AVP 107",
            "c=IN IP6 2001:db8::1",
            "a=rtpmap:107 H263-1998/90000",
        ],
        fault: None,
        verdict: Answer(404),
        why: "nobody has that number",
    },
    Case {
        name: "ipv4-mapped-ipv6",
        head: &[
            "INVITE sip:user@example.com SIP/2.0",
            "To: sip:user@example.com",
            "From: sip:user@east.example.com;tag=81x2",
            "Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19",
            "Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-119",
            "Call-ID: SSG9559905523997077@hlau_4103",
            "Contact: \"T. desk phone\" <sip:ted@[::ffff:192.0.2.2]>",
            "CSeq: 612 INVITE",
            "Max-Forwards: 70",
        ],
        body: &[
            "v=0",
            "o=assistant 971731711378798081 0 IN IP6 ::ffff:192.0.2.2",
            "s=Call me soon, please!",
            "c=IN IP6 ::ffff:192.0.2.2",
            "t=3338481189 3370017201",
            "m=audio 6000 RTP/AVP 2",
            "a=rtpmap:2 G726-32/8000",
            "m=video 6024 RTP/AVP 107",
            "a=rtpmap:107 H263-1998/90000",
        ],
        fault: None,
        verdict: Answer(404),
        why: "nobody has that number",
    },
    Case {
        name: "ipv6-bug-abnf-3-colons",
        head: &[
            "OPTIONS sip:user@[2001:db8:::192.0.2.1] SIP/2.0",
            "To: sip:user@[2001:db8:::192.0.2.1]",
            "From: sip:user@example.com;tag=810x2",
            "Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-120",
            "Call-ID: G9559905523997077@hlau_4100",
            "CSeq: 689 OPTIONS",
            "Max-Forwards: 70",
        ],
        body: &[],
        fault: Some("malformed Request-URI"),
        verdict: Answer(400),
        why: "a reader may forgive the third colon; this one doesn't guess at addresses",
    },
    Case {
        name: "ipv6-correct-abnf-2-colons",
        head: &[
            "OPTIONS sip:user@[2001:db8::192.0.2.1] SIP/2.0",
            "To: sip:user@[2001:db8::192.0.2.1]",
            "From: sip:user@example.com;tag=810x2",
            "Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-121",
            "Call-ID: G9559905523997077@hlau_4100",
            "CSeq: 690 OPTIONS",
            "Max-Forwards: 70",
        ],
        body: &[],
        fault: None,
        verdict: Answer(200),
        why: "",
    },
];

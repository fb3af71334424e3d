//! SIP and SDP as far as the phones need them.

use std::net::{IpAddr, SocketAddr};

/// A message, read.
#[derive(Clone)]
pub struct Message {
    text: String,
}

impl Message {
    /// As it came.
    pub fn read(bytes: &[u8]) -> Self {
        Self {
            text: String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// Its first line, for a fault.
    pub fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        let status = self.text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
        status.and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The user of the Request-URI.
    pub fn dialled(&self) -> &str {
        let rest = self.first_line().split_once("sip:").map_or("", |(_, rest)| rest);
        rest.split('@').next().unwrap_or_default()
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Every header of that name.
    pub fn all<'m>(&'m self, name: &str) -> impl Iterator<Item = &'m str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines()
            .skip(1)
            .filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    }

    /// Its Call-ID.
    pub fn call_id(&self) -> &str {
        self.header("Call-ID")
    }

    /// The number of its CSeq.
    pub fn cseq(&self) -> u32 {
        let number = self.header("CSeq").split(' ').next().unwrap_or_default();
        number.parse().unwrap_or(0)
    }

    /// The method, of a response that of its CSeq.
    pub fn method(&self) -> &str {
        self.header("CSeq").rsplit(' ').next().unwrap_or_default()
    }

    /// The tag in From or To; empty if there is none.
    pub fn tag(&self, name: &str) -> &str {
        let rest = self.header(name).split_once(";tag=").map_or("", |(_, tag)| tag);
        rest.split(';').next().unwrap_or_default()
    }

    /// The URI of its Contact.
    pub fn contact(&self) -> &str {
        let contact = self.header("Contact");
        let rest = contact.split_once('<').map_or(contact, |(_, rest)| rest);
        rest.split('>').next().unwrap_or_default()
    }

    /// Its description, if it has one.
    pub fn description(&self) -> Option<Description> {
        let (_, body) = self.text.split_once("\r\n\r\n")?;
        Description::read(body)
    }

    /// A response to it: what is echoed, and `to_tag` if it has no tag yet. `rest` are whole header lines.
    pub fn response(&self, status: &str, to_tag: &str, rest: &str, body: &str) -> String {
        let vias: String = self.all("Via").map(|via| format!("Via: {via}\r\n")).collect();
        let to = self.header("To");
        let tag = if to.contains(";tag=") {
            String::new()
        } else {
            format!(";tag={to_tag}")
        };
        let head = format!(
            "SIP/2.0 {status}\r\n{vias}From: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{rest}",
            self.header("From"),
            self.call_id(),
            self.header("CSeq"),
        );
        with_body(&head, body)
    }
}

/// What a description says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// Who describes, but for the version: `o=` without it.
    pub origin: String,
    /// The version in `o=`.
    pub version: u64,
    /// Where audio goes.
    pub media: SocketAddr,
    /// `sendrecv` if it says nothing.
    pub direction: String,
    /// All of it but `o=`.
    pub rest: String,
}

impl Description {
    fn read(body: &str) -> Option<Self> {
        let line = |start: &str| body.lines().find_map(|line| line.strip_prefix(start));
        let mut words: Vec<&str> = line("o=")?.split(' ').collect();
        let version = words.remove(2).parse().ok()?;
        let ip: IpAddr = line("c=IN IP4 ")?.trim().parse().ok()?;
        let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
        let directions = ["sendrecv", "sendonly", "recvonly", "inactive"];
        let direction = directions
            .into_iter()
            .find(|direction| line(&format!("a={direction}")).is_some());
        Some(Self {
            origin: words.join(" "),
            version,
            media: SocketAddr::new(ip, port),
            direction: direction.unwrap_or("sendrecv").to_owned(),
            rest: body
                .lines()
                .filter(|line| !line.starts_with("o="))
                .collect::<Vec<_>>()
                .join("\n"),
        })
    }
}

/// A phone's description: PCMU at 20 ms and nothing else.
pub fn describe(media: SocketAddr, version: u32, direction: &str) -> String {
    let (ip, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 7 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na={direction}\r\n"
    )
}

/// Headers, and a body if there is one.
pub fn with_body(head: &str, body: &str) -> String {
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

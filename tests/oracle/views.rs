//! One message as each parser sees it, field by field, as text.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use rsip::prelude::{HasHeaders, HeadersExt, ToTypedHeader, UntypedHeader};
use umbra::sip::header::Name;
use umbra::sip::lexer::Start;
use umbra::sip::message::Message;
use umbra::sip::uri::{Host, Uri};

/// What is compared.
pub const FIELDS: &[&str] = &[
    "start",
    "request user",
    "request host",
    "request port",
    "call-id",
    "cseq",
    "from user",
    "from host",
    "from tag",
    "to user",
    "to host",
    "to tag",
    "via branch",
    "via sent-by",
    "contact user",
    "contact host",
    "length",
    "body",
];

/// What one parser reads. A field that isn't there it doesn't see.
#[derive(Default)]
pub struct View(BTreeMap<&'static str, String>);

/// A message that a parser refuses, and its words for it.
pub type Refused = String;

impl View {
    /// The field as text.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    fn put(&mut self, field: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.0.insert(field, value);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// As Umbra's reader sees it.
pub fn ours(bytes: &[u8]) -> Result<View, Refused> {
    let mut view = View::default();
    let message = Message::parse(bytes).map_err(|bad| bad.why.to_owned())?;
    view.put(
        "start",
        Some(match message.start() {
            Start::Request { token, .. } => text(token),
            Start::Response { status, .. } => status.to_string(),
        }),
    );
    let mut uri = |fields: [&'static str; 3], text_of: &[u8]| {
        let Ok(uri) = Uri::parse(text_of) else { return };
        view.put(fields[0], uri.user.map(text));
        let host = match uri.host {
            Host::Name(name) => text(name),
            Host::Ip(ip) => ip.to_string(),
        };
        view.put(fields[1], (!host.is_empty()).then_some(host));
        view.put(fields[2], uri.port.map(|port| port.to_string()));
    };
    if message.status().is_none() {
        uri(
            ["request user", "request host", "request port"],
            message.request_uri(),
        );
    }
    uri(["from user", "from host", ""], message.from().uri);
    uri(["to user", "to host", ""], message.to().uri);
    if let Some(contact) = message.contact() {
        uri(["contact user", "contact host", ""], contact.uri);
    }
    view.put("call-id", Some(text(message.call_id())));
    let cseq = message.get(Name::CSeq).unwrap_or_default();
    let method = cseq.rsplit(|byte| byte.is_ascii_whitespace()).next();
    view.put(
        "cseq",
        Some(format!(
            "{} {}",
            message.cseq().number,
            text(method.unwrap_or_default())
        )),
    );
    view.put("from tag", message.from().tag().map(text));
    view.put("to tag", message.to().tag().map(text));
    view.put("via branch", message.via().branch.map(text));
    let via = message.via();
    let port = via.port.map(|port| format!(":{port}")).unwrap_or_default();
    view.put("via sent-by", Some(format!("{}{port}", text(via.host))));
    let length = message.get(Name::ContentLength).map(text);
    view.put(
        "length",
        length
            .and_then(|text| text.parse::<u32>().ok())
            .map(|n| n.to_string()),
    );
    view.put("body", Some(text(message.body())));
    Ok(view)
}

/// As rsip sees it.
pub fn theirs(bytes: &[u8]) -> Result<View, Refused> {
    let bytes = bytes.to_vec();
    catch_unwind(move || read_by_rsip(&bytes)).unwrap_or_else(|_| Err("a panic".into()))
}

fn read_by_rsip(bytes: &[u8]) -> Result<View, Refused> {
    let message = rsip::SipMessage::try_from(bytes).map_err(|error| error.to_string())?;
    let mut view = View::default();
    let owned = |text: &str| text.as_bytes().escape_ascii().to_string();
    match &message {
        rsip::SipMessage::Request(request) => {
            view.put("start", Some(request.method().to_string()));
            put_uri(
                &mut view,
                ["request user", "request host", "request port"],
                &request.uri,
            );
        }
        rsip::SipMessage::Response(response) => {
            view.put("start", Some(response.status_code().code().to_string()));
        }
    }
    view.put(
        "call-id",
        message.call_id_header().ok().map(|it| owned(it.value())),
    );
    if let Some(cseq) = message.cseq_header().ok().and_then(|it| it.typed().ok()) {
        view.put("cseq", Some(format!("{} {}", cseq.seq, cseq.method)));
    }
    if let Some(from) = message.from_header().ok().and_then(|it| it.typed().ok()) {
        put_uri(&mut view, ["from user", "from host", ""], &from.uri);
        view.put("from tag", from.tag().map(|tag| owned(tag.value())));
    }
    if let Some(to) = message.to_header().ok().and_then(|it| it.typed().ok()) {
        put_uri(&mut view, ["to user", "to host", ""], &to.uri);
        view.put("to tag", to.tag().map(|tag| owned(tag.value())));
    }
    if let Some(via) = message.via_header().ok().and_then(|it| it.typed().ok()) {
        view.put("via branch", via.branch().map(|branch| owned(branch.value())));
        view.put("via sent-by", Some(via.sent_by().host_with_port.to_string()));
    }
    if let Some(contact) = message.contact_header().ok().and_then(|it| it.typed().ok()) {
        put_uri(&mut view, ["contact user", "contact host", ""], &contact.uri);
    }
    let length = message.headers().iter().find_map(|header| match header {
        rsip::Header::ContentLength(length) => length.value().trim().parse::<u32>().ok(),
        _ => None,
    });
    view.put("length", length.map(|length| length.to_string()));
    view.put("body", Some(text(message.body())));
    Ok(view)
}

fn put_uri(view: &mut View, fields: [&'static str; 3], uri: &rsip::Uri) {
    view.put(
        fields[0],
        uri.user().map(|user| user.as_bytes().escape_ascii().to_string()),
    );
    view.put(fields[1], Some(uri.host().to_string()));
    view.put(fields[2], uri.port().map(|port| port.value().to_string()));
}

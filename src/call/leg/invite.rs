//! The called party's INVITE: the allow-list, spelt as fields. What has no field here can't be sent.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;

use super::challenge::Proof;
use super::session_timer::Lines;
use super::{ALLOW, contact, reliable, supported, transport_param};
use crate::base::number::{NumberPlan, RealNumber, Shown};
use crate::base::text;
use crate::call::config::Listener;
use crate::call::targets::Place;
use crate::call::trunk::number_format::{Unfit, Which, Wire};
use crate::call::trunk::overload::Offer;
use crate::call::trunk::showing::{ShowIn, UserParam};
use crate::call::trunk::{Reliability, Trunk};
use crate::sip::build::{self, Body};
use crate::sip::method::Method;
use crate::sip::overload;
use crate::sip::session_id::SessionId;

/// Everything that a called party's INVITE is made of.
pub struct CalleeInvite<'a> {
    /// Whom it calls, and whom it shows.
    pub numbers: &'a Numbers,
    /// By which trunk.
    pub trunk: &'a Trunk,
    /// Whom it addresses: the gateway, as the conf has it.
    pub place: &'a Place,
    /// Which of our addresses its dialog uses: From and Contact.
    pub listener: &'a Listener,
    /// Which of our addresses it leaves from itself: Via.
    pub via: &'a Listener,
    /// Minted for this leg.
    pub call_id: &'a [u8],
    /// Minted for this leg.
    pub from_tag: &'a [u8],
    /// Minted for this request.
    pub branch: &'a [u8],
    /// Hops left.
    pub max_forwards: u8,
    /// Our own session description.
    pub sdp: &'a [u8],
    /// Minted for this leg, where its trunk bills by such a name (RFC 7315 §4.6).
    pub icid: Option<&'a [u8]>,
    /// Minted for this leg, where its trunk wants one (RFC 7989).
    pub session: Option<SessionId>,
    /// Counts on when it is sent again with what a 422 wanted.
    pub cseq: u32,
    /// The session timer that we ask for.
    pub timer: &'a Lines,
    /// The proof that we know the password that this gateway has asked for.
    pub proof: Option<Proof<'a>>,
}

/// The numbers of a called party's INVITE, as its trunk wants them written.
pub struct Numbers {
    /// Whom it calls: the Request-URI and To.
    called: Wire,
    /// Whom it shows: From and P-Asserted-Identity. `None`: nobody (RFC 3323).
    shown: Option<Wire>,
}

impl Numbers {
    /// Writes them for `trunk`.
    ///
    /// # Errors
    /// [`Unfit`]: the trunk's rules leave no number of one of them.
    pub fn written(
        called: RealNumber,
        shown: Shown,
        trunk: &Trunk,
        plan: &NumberPlan,
    ) -> Result<Self, Unfit> {
        let write = |which, tel| trunk.numbers.write(which, tel, plan, &mut |_, _| ());
        let shown = match shown {
            Shown::Virtual(x) => Some(x.tel()),
            Shown::Real(number, _) => Some(number.reveal()),
            Shown::Withheld => None,
        };
        Ok(Self {
            called: write(Which::Called, called.reveal())?,
            shown: shown.map(|shown| write(Which::Calling, shown)).transpose()?,
        })
    }
}

/// The INVITE, and the identities that its dialog goes on with.
pub struct Written {
    /// The whole message.
    pub bytes: Vec<u8>,
    /// From, without a tag.
    pub local: Vec<u8>,
    /// To.
    pub remote: Vec<u8>,
    /// The Request-URI.
    pub target: Vec<u8>,
    /// The header by which it proves that we know a password.
    pub proof: Option<(&'static str, String)>,
}

impl CalleeInvite<'_> {
    /// Writes it.
    pub fn write(&self) -> Written {
        let Numbers { called, shown } = self.numbers;
        let us = self.listener.advertised;
        let showing = &self.trunk.showing;
        let parameter: &[u8] = match showing.user {
            UserParam::None => b"",
            UserParam::Phone => b";user=phone",
        };
        let identity = shown.as_ref().map(|number| {
            let uri = uri_of_ours(number, &showing.domain, us);
            [b"<", &*uri, parameter, b">"].concat()
        });
        let local = match (&identity, showing.show_in) {
            (Some(identity), ShowIn::Both | ShowIn::From) => identity.clone(),
            (Some(_), ShowIn::Pai) => {
                let uri = uri_of_ours(&showing.from_user, &showing.domain, us);
                [b"<", &*uri, b">"].concat()
            }
            // RFC 3323 §4.1.1.3
            (None, ShowIn::Both | ShowIn::From | ShowIn::Pai) => {
                b"\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_vec()
            }
        };
        let mut target = sip_uri(called, &self.place.host_port());
        target.extend_from_slice(parameter);
        let remote = [b"<", &*target, b">"].concat();
        // RFC 3261 §19.1.1: the transport may stand in the Request-URI, and not in To.
        target.extend_from_slice(match self.place {
            Place::At(target) => transport_param(target.transport),
            // What the conf doesn't say is DNS's affair.
            Place::Named(name) => name.transport.map_or(&b""[..], transport_param),
        });
        let from = [&*local, b";tag=", self.from_tag].concat();
        let contact = contact(self.listener);
        let identity = identity.map(|identity| String::from_utf8_lossy(&identity).into_owned());
        let identity = match (&identity, showing.show_in) {
            (Some(identity), ShowIn::Both | ShowIn::Pai) => Some(("P-Asserted-Identity", identity.as_str())),
            (Some(_), ShowIn::From) => None,
            (None, ShowIn::Both | ShowIn::From | ShowIn::Pai) => {
                Some(("Privacy", &*showing.privacy)).filter(|(_, value)| !value.is_empty())
            }
        };
        let charging = self.icid.map(|icid| charging_vector(icid, us));
        let charging = charging.as_deref().map(|vector| ("P-Charging-Vector", vector));
        let supported = supported(self.trunk);
        let required = match self.trunk.reliable_provisionals {
            Reliability::Require => Some(reliable::TAG),
            Reliability::Offer | Reliability::Off => None,
        };
        let timer = self.timer.iter().map(|(name, value)| (*name, value.as_str()));
        let proof = self
            .proof
            .as_ref()
            .and_then(|proof| proof.header(Method::Invite, &target));
        let proved = proof.as_ref().map(|(name, value)| (*name, value.as_str()));
        let headers: ArrayVec<(&str, &str), 8> = [("Allow", ALLOW)]
            .into_iter()
            .chain(identity)
            .chain(supported.map(|tags| ("Supported", tags)))
            .chain(required.map(|tag| ("Require", tag)))
            .chain(timer)
            .chain(charging)
            .chain(proved)
            .collect();
        let mut bytes = build::request(&build::Request {
            method: Method::Invite,
            uri: &target,
            transport: self.via.transport,
            sent_by: self.via.advertised,
            branch: self.branch,
            from: &from,
            to: &remote,
            call_id: self.call_id,
            cseq: self.cseq,
            max_forwards: self.max_forwards,
            routes: &[],
            contact: Some(&contact),
            headers: &headers,
            body: Some(Body {
                content_type: "application/sdp",
                bytes: self.sdp,
            }),
        });
        drop(headers);
        match self.trunk.overload.offer {
            Offer::No => {}
            Offer::Yes => bytes = overload::offering(bytes),
        }
        if let Some(session) = &self.session {
            bytes = build::with_session(&bytes, session);
        }
        Written {
            bytes,
            local,
            remote,
            target,
            proof,
        }
    }
}

/// P-Charging-Vector's value: whose operators these are is not ours to say.
fn charging_vector(icid: &[u8], us: SocketAddr) -> String {
    let icid = String::from_utf8_lossy(icid);
    match us.ip() {
        IpAddr::V4(ip) => format!("icid-value={icid};icid-generated-at={ip}"),
        IpAddr::V6(ip) => format!("icid-value={icid};icid-generated-at=[{ip}]"),
    }
}

/// The URI of an identity of ours: at the trunk's domain, or at our own address; without a user where that is empty.
fn uri_of_ours(user: &str, domain: &str, us: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(b"sip:");
    out.extend_from_slice(user.as_bytes());
    if !user.is_empty() {
        out.push(b'@');
    }
    if domain.is_empty() {
        text::address(&mut out, us);
    } else {
        out.extend_from_slice(domain.as_bytes());
    }
    out
}

fn sip_uri(number: &str, host_port: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(b"sip:");
    out.extend_from_slice(number.as_bytes());
    out.push(b'@');
    out.extend_from_slice(host_port.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::targets::Target;
    use crate::call::trunk::showing::Showing;
    use crate::sip::path::{ListenerId, Transport};

    #[test]
    fn who_shows_nobody_is_anonymous_and_asks_for_privacy() {
        let plan = NumberPlan::default();
        let called = RealNumber::new(plan.normalise("13900000002").unwrap());
        let (us, them) = (
            "192.0.2.1:5060".parse().unwrap(),
            "192.0.2.9:5060".parse().unwrap(),
        );
        let listener = Listener {
            id: ListenerId(0),
            transport: Transport::Udp,
            address: us,
            advertised: us,
        };
        let place = Place::At(Target {
            address: them,
            transport: Transport::Udp,
        });
        for (show_in, privacy, line) in [
            (ShowIn::Both, "id", Some("Privacy: id")),
            (ShowIn::From, "user;id", Some("Privacy: user;id")),
            (ShowIn::Pai, "", None),
        ] {
            let trunk = Trunk {
                showing: Showing {
                    show_in,
                    domain: "sip.example.net".into(),
                    privacy: privacy.into(),
                    ..Showing::default()
                },
                ..Trunk::bare("carrier")
            };
            let numbers = Numbers::written(called, Shown::Withheld, &trunk, &plan).unwrap();
            let written = CalleeInvite {
                numbers: &numbers,
                trunk: &trunk,
                place: &place,
                listener: &listener,
                via: &listener,
                call_id: b"c",
                from_tag: b"t",
                branch: b"z9hG4bKb",
                max_forwards: 70,
                sdp: b"",
                icid: None,
                session: None,
                cseq: 1,
                timer: &Lines::new(),
                proof: None,
            }
            .write();
            let text = String::from_utf8(written.bytes).unwrap();
            let from = "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=t\r\n";
            assert!(text.contains(from), "{text}");
            let found = text.lines().find(|line| line.starts_with("Privacy"));
            assert_eq!(found, line, "{show_in:?}");
            assert!(!text.contains("P-Asserted-Identity"), "{text}");
        }
    }
}

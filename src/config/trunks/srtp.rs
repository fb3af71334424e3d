//! `srtp`, `srtp_suites`, `srtp_keys_in_clear`: whether a trunk's audio is secured, and that its keys stay secret.

use crate::base::keying::{Suite, Suites};
use crate::call::config::Listener;
use crate::call::targets::Place;
use crate::call::trunk::srtp::{KeysInClear, Srtp};
use crate::call::trunk::{Gateway, Trunk};
use crate::config::reader::Section;
use crate::sdp::crypto::Mode;
use crate::sip::path::Transport;

const MODES: [(&str, Mode); 3] = [
    ("off", Mode::Off),
    ("optional", Mode::Optional),
    ("required", Mode::Required),
];

/// Reads the keys.
pub(super) fn read(section: &Section<'_>) -> Srtp {
    Srtp {
        mode: section.choice("srtp", &MODES, Mode::Off),
        suites: suites(section),
        keys_in_clear: match section.flag("srtp_keys_in_clear") {
            true => KeysInClear::Yes,
            false => KeysInClear::No,
        },
    }
}

fn suites(section: &Section<'_>) -> Suites {
    let mut seen = Suites::new();
    let suites = section.list("srtp_suites", Suite::ALL.to_vec(), |text| {
        let Some(suite) = Suite::of(text.as_bytes()) else {
            let names = Suite::ALL.map(Suite::name);
            return Err(format!("write {}", names.join(" or ")));
        };
        if seen.contains(&suite) {
            return Err("named twice: take one away".into());
        }
        seen.push(suite);
        Ok(suite)
    });
    if section.texts("srtp_suites").is_some_and(|texts| texts.is_empty()) {
        section.fault(
            "srtp_suites",
            "the list is empty: name one, or write srtp = \"off\"",
        );
    }
    suites.into_iter().take(Suite::ALL.len()).collect()
}

/// A key that everybody on its way can read keeps nothing secret (RFC 4568 §7).
pub(super) fn keys_stay_secret(section: &Section<'_>, listeners: &[Listener], trunk: &Trunk) {
    let is_off = match trunk.srtp.mode {
        Mode::Off => true,
        Mode::Optional | Mode::Required => false,
    };
    if is_off || trunk.srtp.keys_in_clear == KeysInClear::Yes {
        return;
    }
    const OR: &str =
        "or, if something else keeps that way secret (a VPN, IPsec), write srtp_keys_in_clear = true";
    if let Some(gateway) = trunk.gateways.iter().find(|gateway| !is_over_tls(gateway)) {
        section.fault(
            "srtp",
            format!(
                "SRTP's keys stand in SDP, which everybody on the way to {} could read: speak TLS with it \
                 (;transport=tls), {OR}",
                gateway.place
            ),
        );
    }
    let takes_calls = !trunk.accept_from.is_empty();
    if takes_calls
        && !listeners
            .iter()
            .any(|listener| listener.transport == Transport::Tls)
    {
        section.fault(
            "srtp",
            format!(
                "SRTP's keys stand in SDP, which everybody on its way could read, and no call can come to us over TLS: \
                 give sip.tls an address, {OR}"
            ),
        );
    }
}

fn is_over_tls(gateway: &Gateway) -> bool {
    match &gateway.place {
        Place::At(target) => target.transport == Transport::Tls,
        Place::Named(name) => name.wants() == Some(Transport::Tls),
    }
}

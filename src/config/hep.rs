//! `[hep]`: where copies of SIP messages go.

use std::net::SocketAddr;

use super::reader::Section;
use super::secrets;
use crate::base::limits::HEP_PASSWORD_BYTES_MAX;
use crate::sip::veil::Numbers;
use crate::telemetry::hep::{By, Config, Password};

const KEYS: [&str; 7] = [
    "server",
    "transport",
    "capture_id",
    "password",
    "password_file",
    "password_env",
    "numbers",
];
const TRANSPORTS: [(&str, By); 2] = [("udp", By::Udp), ("tcp", By::Tcp)];
const NUMBERS: [(&str, Numbers); 2] = [("masked", Numbers::Masked), ("clear", Numbers::Clear)];

/// Reads the table; `None` if no server is named. What else stands there is checked all the same.
pub(super) fn read(root: &Section<'_>) -> Option<Config> {
    // A password may stand under a misspelt key.
    root.hide("hep");
    let section = root.section("hep", "[hep]", &KEYS);
    let server = section.parsed("server", None, |text| match text {
        "" => Ok(None),
        text => server(text).map(Some),
    });
    let by = section.choice("transport", &TRANSPORTS, By::Udp);
    let capture_id = section.integer("capture_id", 0..=u32::MAX, 0);
    let password = secrets::optional(&section).and_then(|text| {
        let password = Password::of(&text);
        if password.is_none() {
            let cure = format!("the password is over {HEP_PASSWORD_BYTES_MAX} bytes");
            section.fault("password", cure);
        }
        password
    });
    let numbers = section.choice("numbers", &NUMBERS, Numbers::Masked);
    Some(Config {
        server: server?,
        by,
        capture_id,
        password,
        numbers,
    })
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let cure = "write the capture server's IP address and port: \"127.0.0.1:9060\"";
    let server: SocketAddr = text.parse().map_err(|_| cure.to_owned())?;
    if server.port() == 0 || server.ip().is_unspecified() || server.ip().is_multicast() {
        return Err(cure.to_owned());
    }
    Ok(server)
}

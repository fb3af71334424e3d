//! Where copies of SIP messages go.

use super::*;
use crate::sip::veil::Numbers;
use crate::telemetry::hep::{By, Config, Password};

fn read(table: &str) -> Findings {
    let main = format!("trunks = \"t.toml\"\n[hep]\n{table}\n");
    Reading::of_texts("u.toml", &main, "t.toml", SHIPPED_TRUNKS).check()
}

fn taken(table: &str) -> Option<Config> {
    let found = read(table);
    let conf = found.conf.unwrap_or_else(|| panic!("{}", found.faults));
    assert_eq!(conf.switch.tells_legs, conf.hep.is_some());
    conf.hep
}

#[test]
fn messages_are_copied_masked_where_a_server_is_named_and_nowhere_else() {
    assert_eq!(taken(""), None);
    assert_eq!(taken("server = \"\"\nnumbers = \"clear\""), None);
    let usual = Config {
        server: "192.0.2.9:9060".parse().expect("an address"),
        by: By::Udp,
        capture_id: 0,
        password: None,
        numbers: Numbers::Masked,
    };
    let server = "server = \"192.0.2.9:9060\"\n";
    assert_eq!(taken(server), Some(usual.clone()));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "myHep\n").expect("written");
    let rest = format!(
        "transport = \"tcp\"\ncapture_id = 2001\npassword = \"\"\npassword_file = {:?}\nnumbers = \"clear\"",
        file.path()
    );
    let all = Config {
        by: By::Tcp,
        capture_id: 2_001,
        password: Password::of("myHep"),
        numbers: Numbers::Clear,
        ..usual
    };
    assert_eq!(taken(&format!("{server}{rest}")), Some(all));
}

#[test]
fn what_is_wrong_is_said_without_the_password() {
    for wrong in [
        "server = \"homer.example:9060\"",
        "server = \"127.0.0.1\"",
        "server = \"0.0.0.0:9060\"",
        "server = \"127.0.0.1:0\"",
        "transport = \"tls\"",
        "numbers = \"none\"",
        "capture_id = -1",
        "pasword = \"hunter2\"",
        "password = \"hunter2\"\npassword_env = \"hunter2\"",
        "password_env = \"hunter2\"",
        "password_file = \"hunter2\"",
        "password = [\"hunter2\"]",
        &format!("password = \"{}\"", "hunter2".repeat(30)),
    ] {
        let found = read(wrong);
        assert!(found.conf.is_none(), "{wrong}");
        let shown = format!("{} {:?} {}", found.faults, found.faults, found.warnings);
        assert!(!shown.contains("hunter2"), "{wrong}: {shown}");
    }
}

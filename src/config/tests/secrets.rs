//! Passwords in trunk files.

use super::*;
use crate::sip::digest::Algorithm;

fn read(trunk: &str) -> Findings {
    let text = format!("[[trunk]]\nname = \"b\"\ngateways = [\"sip:127.0.0.3\"]\n{trunk}\n");
    Reading::of_texts("u.toml", SHIPPED, "t.toml", &text).check()
}

#[test]
fn a_password_is_taken_as_it_stands_from_a_file_from_the_environment_or_as_hashes() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "Circle Of Life\n").expect("written");
    let of_file = format!("password_file = {:?}", file.path());
    // The environment of a test is what cargo gives.
    let of_env = "password_env = \"CARGO_PKG_NAME\"";
    let taken = |password: &str| {
        let found = read(&format!(
            "credentials = {{ realm = \"testrealm@host.com\", user = \"Mufasa\", {password} }}"
        ));
        let conf = found.conf.unwrap_or_else(|| panic!("{}", found.faults));
        conf.switch.trunks[0].credentials.clone().expect("credentials")
    };
    let plain = taken("password = \"Circle Of Life\"");
    assert_eq!(taken(&of_file), plain);
    assert_ne!(taken(of_env), plain);
    let hashed = taken("ha1_md5 = \"939e7578ed9e3c518a452acee763bce9\"");
    assert_eq!(
        hashed.secret.ha1(Algorithm::Md5),
        plain.secret.ha1(Algorithm::Md5)
    );
    assert!(hashed.secret.ha1(Algorithm::Sha256).is_none());
    assert!(!format!("{plain:?}").contains("939e"));
}

#[test]
fn a_password_file_that_is_none_or_too_long_is_refused_unread() {
    let long = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(long.path(), "hunter2".repeat(1 << 20)).expect("written");
    let folder = tempfile::tempdir().expect("a folder");
    for (path, why) in [
        (long.path(), "it has more than 258 bytes"),
        (folder.path(), "it is no file"),
        (std::path::Path::new("/dev/zero"), "it is no file"),
    ] {
        let found = read(&format!(
            "credentials = {{ realm = \"r\", user = \"u\", password_file = {path:?} }}"
        ));
        let faults = found.faults.to_string();
        assert!(faults.contains(why) && !faults.contains("hunter2"), "{faults}");
    }
}

#[test]
fn no_fault_of_a_trunk_file_shows_a_password() {
    for wrong in [
        "credentials = { realm = \"r\", user = \"u\", pasword = \"hunter2\" }",
        "credentials = { realm = \"r\", user = 7, password = \"hunter2\" }",
        "credentials = { user = \"u\", password = \"hunter2\" }",
        "credentials = { realm = \"r\", user = \"u\", password = \"hunter2\", password_env = \"hunter2\" }",
        "credentials = { realm = \"r\", user = \"u\", password_env = \"hunter2\" }",
        "credentials = { realm = \"r\", user = \"u\", password_file = \"hunter2\" }",
        "credentials = { realm = \"r\", user = \"u\", ha1_md5 = \"hunter2\" }",
        "credentials = { realm = \"r\", user = \"u\", password = \"\" }",
        "credentials = \"hunter2\"",
        "credentials = [\"hunter2\"]",
        "credential = { password = \"hunter2\" }",
        "credentials = { realm = \"r\", user = \"u\", password = \"hunter2\"",
        "[trunk.credentials]\nrealm = \"r\"\nuser = \"u\"\nsecret = \"hunter2\"",
        "[trunk.credentials]\nrealm = \"r\"\nuser = \"u\"\npassword = \"hunter2",
        "[trunk.credentials]\nrealm = \"r\"\nuser = \"u\"\npassword = hunter2",
        "credentials = { realm = \"r\", user = \"u\", password = hunter2 }",
        "auth = [\n{ user = \"u\", password = hunter2 }]",
        "auth = [\n{ user = \"u\", password =\n hunter2 }]",
        "[trunk.credentials]\npassword = \"\"\"a\nhunter2",
        "[trunk.credentials]\npassword = \"a\\qhunter2\"",
        "[trunk.credentials]\npassword = \"a\"hunter2\"",
        "[trunk.credentials]\npassword = \"a\"\npassword = \"hunter2\"",
        "pasword = \"hunter2\"",
        "Passwd = \"hunter2\"",
        "pwd = \"hunter2\"",
        "HA1 = \"hunter2\"",
    ] {
        let found = read(wrong);
        assert!(found.conf.is_none(), "{wrong}");
        let shown = format!("{} {:?} {}", found.faults, found.faults, found.warnings);
        assert!(!shown.contains("hunter2"), "{wrong}: {shown}");
    }
    let reading = Reading::of_texts("u.toml", SHIPPED, "t.toml", "# hunter2");
    assert!(!format!("{reading:?}").contains("hunter2"));
}

#[test]
fn users_of_a_trunk_are_asked_for_the_hashes_that_all_of_them_have() {
    let demand = |lines: &str| {
        let found = read(lines);
        let conf = found.conf.unwrap_or_else(|| panic!("{}", found.faults));
        conf.switch.trunks[0].auth.clone()
    };
    let md5 = "ha1_md5 = \"939e7578ed9e3c518a452acee763bce9\"";
    assert_eq!(demand("auth = []"), None);
    let both = demand("auth = [{ user = \"a\", password = \"p\" }]").expect("users");
    assert_eq!(both.algorithms, [Algorithm::Sha256, Algorithm::Md5]);
    let old = demand(&format!(
        "auth = [{{ user = \"a\", password = \"p\" }}, {{ user = \"b\", {md5} }}]"
    ));
    assert_eq!(old.expect("users").algorithms, [Algorithm::Md5]);
    let named = demand("auth = [{ user = \"a\", password = \"p\" }]\nauth_algorithms = [\"sha-512-256\"]");
    assert_eq!(named.expect("users").algorithms, [Algorithm::Sha512_256]);
    for wrong in [
        format!("auth = [{{ user = \"b\", {md5} }}]\nauth_algorithms = [\"sha-256\"]"),
        "auth = [{ user = \"b\" }]".into(),
        "auth = [{ user = \"b\", password = \"p\" }, { user = \"b\", password = \"q\" }]".into(),
        "auth_status = 403".into(),
        "auth_algorithms = [\"sha1\"]".into(),
        "auth_realm = \"\"".into(),
    ] {
        assert!(read(&wrong).conf.is_none(), "{wrong}");
    }
}

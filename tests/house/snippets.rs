//! The check, checked: each law is broken once, and seen to be.

use super::*;

fn laws(file: &str, source: &str) -> Vec<(usize, String)> {
    check(file, source)
        .0
        .into_iter()
        .map(|fault| (fault.line, fault.law))
        .collect()
}

#[track_caller]
fn breaks(file: &str, source: &str, line: usize, law: &str) {
    let found = laws(file, source);
    assert!(
        found.iter().any(|(at, said)| *at == line && said.contains(law)),
        "{file} should break «{law}» on line {line}, found {found:?}"
    );
}

#[track_caller]
fn keeps(file: &str, source: &str) {
    assert_eq!(laws(file, source), [], "{file}: {source}");
}

#[test]
fn a_room_may_use_lower_floors_and_itself() {
    keeps(
        "call/switch.rs",
        "use crate::base::time::Now;\nuse crate::{sip, sdp::parse::parse, masking};",
    );
    keeps(
        "sip/dialog.rs",
        "use crate::sip::path::Path;\nuse super::message::Message;",
    );
    keeps("media/thread.rs", "fn f(o: crate::call::media::Order) {}");
    keeps(
        "server.rs",
        "use crate::config::Config;\nuse crate::cli;\nuse crate::api::native;",
    );
    keeps("lib.rs", "pub mod base;\nuse crate::call::switch;");
    keeps(
        "base/id.rs",
        "pub(crate) struct Id;\nimpl crate::base::time::Wall {}",
    );
}

#[test]
fn a_room_may_not_use_its_own_floor_or_a_higher_one() {
    breaks(
        "sip/dialog.rs",
        "\nuse crate::call::port::Input;",
        2,
        "`sip` (floor 1) may not use `call` (floor 3)",
    );
    breaks("sip/dialog.rs", "use crate::sdp::parse;", 1, "may not use `sdp`");
    breaks(
        "store/log.rs",
        "use crate::records::cdr_file;",
        1,
        "may not use `records`",
    );
    breaks(
        "base/id.rs",
        "fn f() -> crate::call::cdr::Cdr {}",
        1,
        "may not use `call`",
    );
    breaks(
        "rtp/relay.rs",
        "use crate::{\n    base::id,\n    call::{media::Order},\n};",
        3,
        "may not use `call`",
    );
    breaks(
        "call/switch.rs",
        "use crate::config::Config;",
        1,
        "may not use `config`",
    );
    breaks(
        "api/mod.rs",
        "use crate::server::Server;",
        1,
        "may not use `server`",
    );
}

#[test]
fn climbing_by_super_is_importing_too() {
    breaks(
        "sip/dialog.rs",
        "use super::super::call::port;",
        1,
        "may not use `call`",
    );
    breaks("sip/mod.rs", "use super::call::port;", 1, "may not use `call`");
    breaks(
        "sip/transaction/key.rs",
        "use super::super::super::call;",
        1,
        "may not use `call`",
    );
    breaks(
        "sip/dialog.rs",
        "mod inner {\n use super::super::super::call;\n}",
        2,
        "may not use `call`",
    );
    breaks(
        "sip/dialog.rs",
        "mod inner {}\nuse super::super::call;",
        2,
        "may not use `call`",
    );
    keeps("sip/transaction/key.rs", "use super::super::message::Message;");
    keeps(
        "call/cdr.rs",
        "pub mod wall {\n use super::super::port::Input;\n}\n",
    );
    keeps("config.rs", "mod inner { use super::Config; }");
}

#[test]
fn the_whole_crate_is_no_import() {
    breaks("sip/dialog.rs", "use crate::*;", 1, "name the room");
    breaks("sip/dialog.rs", "use crate::{self as house};", 1, "name the room");
    breaks("sip/dialog.rs", "use crate as house;", 1, "name the room");
}

#[test]
fn a_room_without_a_floor_is_named() {
    breaks("cellar/mod.rs", "", 1, "every room has a floor");
    breaks(
        "sip/dialog.rs",
        "use crate::cellar::Wine;",
        1,
        "every room has a floor",
    );
}

#[test]
fn the_pure_floors_name_no_clock_socket_thread_disk_chance_or_log() {
    for (source, law) in [
        ("let t = Instant::now();", "a clock"),
        ("use std::time::{Duration, Instant};", "a clock"),
        ("use std::time::SystemTime;", "a clock"),
        ("use std::net::{IpAddr, UdpSocket};", "a socket"),
        ("let s = std::net::TcpStream::connect(a);", "a socket"),
        ("use std::{fmt, thread};", "a thread"),
        ("thread::spawn(f);", "a thread"),
        ("let f = ::std::fs::read(p);", "the disk"),
        ("use ::std::thread::spawn;", "a thread"),
        ("let r = rand::rng();", "chance"),
        ("getrandom::fill(&mut b);", "chance"),
        ("use tokio::sync::mpsc;", "runtime"),
        ("tracing::info!(n);", "the log"),
        ("println!();", "the terminal"),
        ("async fn f() {}", "nothing waits"),
        ("f().await", "nothing waits"),
    ] {
        for file in [
            "base/time.rs",
            "sdp/parse.rs",
            "masking/route.rs",
            "call/switch.rs",
        ] {
            breaks(file, source, 1, law);
        }
        keeps("transport/udp.rs", source);
    }
    keeps(
        "call/switch.rs",
        "use std::time::Duration;\nuse std::net::{IpAddr, SocketAddr};",
    );
    keeps(
        "call/switch.rs",
        "use crate::base::time::{Instant, Now};\nlet t = now.at; let x = self.log.len();",
    );
}

#[test]
fn the_database_is_known_in_one_file() {
    breaks(
        "store/log.rs",
        "use sled::Tree;",
        1,
        "only store/disk.rs knows sled",
    );
    breaks(
        "main.rs",
        "let db = sled::open(p);",
        1,
        "only store/disk.rs knows sled",
    );
    breaks("store/log.rs", "use sled;", 1, "only store/disk.rs knows sled");
    breaks(
        "store/log.rs",
        "extern crate sled;",
        1,
        "only store/disk.rs knows sled",
    );
    breaks(
        "store/log.rs",
        "use ::sled::Tree;",
        1,
        "only store/disk.rs knows sled",
    );
    keeps("store/open.rs", "let p = Places { sled: path }; open(&p.sled);");
    keeps("store/disk.rs", "use sled::Tree;");
}

#[test]
fn unsafe_stands_in_the_socket_files_only() {
    breaks(
        "rtp/relay.rs",
        "fn f() {\n    unsafe { g() }\n}",
        2,
        "`unsafe` stands only in",
    );
    keeps("media/socket.rs", "unsafe { libc::recvmmsg() }");
    keeps("transport/udp.rs", "unsafe { libc::recvmmsg() }");
    keeps("lib.rs", "#![deny(unsafe_op_in_unsafe_fn)]");
}

#[test]
fn unfinished_code_is_named() {
    breaks("call/switch.rs", "fn f() {\n todo!()\n}", 2, "no `todo!`");
    breaks(
        "server.rs",
        "fn f() { unimplemented!() }",
        1,
        "no `unimplemented!`",
    );
    breaks("main.rs", "dbg!(x);", 1, "no `dbg!`");
    keeps("call/switch.rs", "let todo = 1; if todo != 2 {}");
}

#[test]
fn reveals_and_consents_are_counted() {
    let source = "let a = n.reveal();\nlet b = n\n    .reveal();\nlet c = x.map(RealNumber::reveal);\n\
                  let d = Consent::recorded();\npub const fn reveal(self) {}\nfn recorded() {}";
    let (_, counted) = check("call/guard.rs", source);
    let mut reveals = counted.reveals;
    reveals.sort_unstable();
    assert_eq!((reveals, counted.consents), (vec![1, 3, 4], vec![5]));
}

#[test]
fn a_closed_list_says_exactly_what_is_there() {
    let found = BTreeMap::from([
        ("call/a.rs".to_owned(), vec![7]),
        ("call/b.rs".to_owned(), vec![1, 2]),
    ]);
    let said = |list: &[(&str, usize)]| differences("it", list, &found);
    assert!(said(&[("call/a.rs", 1), ("call/b.rs", 2)]).is_empty());
    assert_eq!(said(&[("call/a.rs", 1)]).len(), 1);
    assert_eq!(said(&[("call/a.rs", 1), ("call/b.rs", 3)]).len(), 1);
    assert_eq!(
        said(&[("call/a.rs", 1), ("call/b.rs", 2), ("call/c.rs", 1)]).len(),
        1
    );
    assert!(said(&[("call/b.rs", 2)])[0].starts_with("src/call/a.rs:7:"));
}

#[test]
fn comments_strings_and_tests_do_not_trip() {
    keeps(
        "sip/dialog.rs",
        "// use crate::call::port;\n/* todo!() /* unsafe */ sled */\n//! tokio::spawn",
    );
    keeps(
        "sip/dialog.rs",
        r###"let s = "unsafe sled \" todo!()"; let r = r#"crate::call "x" sled"#;"###,
    );
    keeps(
        "sip/dialog.rs",
        "let b = br\"sled\"; let c = '\"'; let d = b'\\''; let e: &'a str = \"sled\";",
    );
    keeps(
        "sip/dialog.rs",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n use crate::call::x; fn t() { todo!() }\n}",
    );
    keeps("sip/dialog.rs", "#[cfg(test)]\nuse crate::call::{a, b};");
    keeps(
        "sip/dialog.rs",
        "#[cfg(test)]\n#[allow(dead_code)]\npub(crate) fn f() -> [u8; 2] { unsafe {} }",
    );
}

#[test]
fn code_behind_a_string_a_quote_or_a_test_is_seen_again() {
    breaks("sip/dialog.rs", "let s = \"a\\\\\"; unsafe {}", 1, "unsafe");
    breaks("sip/dialog.rs", "let c = '\\''; unsafe {}", 1, "unsafe");
    breaks("sip/dialog.rs", "fn f<'a>(x: &'a u8) { unsafe {} }", 1, "unsafe");
    breaks("sip/dialog.rs", "let r = r#\"x\"#;\nunsafe {}", 2, "unsafe");
    breaks("sip/dialog.rs", "/* a\nb */ unsafe {}", 2, "unsafe");
    breaks(
        "sip/dialog.rs",
        "#[cfg(test)]\nmod tests { fn f() {} }\nunsafe fn g() {}",
        3,
        "unsafe",
    );
    breaks(
        "sip/dialog.rs",
        "#[cfg(test)]\nuse crate::call::a;\nuse crate::call::b;",
        3,
        "may not use `call`",
    );
    breaks(
        "sip/dialog.rs",
        "#[cfg(not(test))]\nmod x { use crate::call::b; }",
        2,
        "may not use `call`",
    );
    breaks(
        "sip/dialog.rs",
        "struct S {\n #[cfg(test)]\n a: u8,\n b: crate::call::B,\n}",
        4,
        "may not use `call`",
    );
}

#[test]
fn test_modules_in_files_of_their_own_are_found_by_their_declaration() {
    assert_eq!(
        test_files("sip/mod.rs", "#[cfg(test)]\nmod tests;\nmod uri;"),
        ["sip/tests.rs"]
    );
    assert_eq!(
        test_files("sip/uri.rs", "#[cfg(test)] mod torture;"),
        ["sip/uri/torture.rs"]
    );
    assert_eq!(test_files("lib.rs", "#[cfg(test)] mod sim;"), ["sim.rs"]);
    assert!(test_files("sip/mod.rs", "mod tests;").is_empty());
}

use super::*;

/// Logs with `write`, and gives what came out.
fn logged(config: Config, write: impl FnOnce(&Log)) -> String {
    let (queue, said) = Queue::new();
    let dropped = Arc::clone(&queue.dropped);
    let (subscriber, log) = subscriber(config, queue);
    tracing::subscriber::with_default(subscriber, || write(&log));
    let shape = log.shape.clone();
    // The last sender: the thread's work ends with what was said.
    drop(log);
    let mut bytes = Vec::new();
    let line = Line {
        out: &mut bytes,
        shape,
    };
    write_all(&said, line, &dropped);
    String::from_utf8(bytes).expect("text")
}

#[test]
fn who_logs_never_waits_for_who_reads_and_what_is_left_out_is_counted() {
    let mut dropped = 0;
    let text = logged(Config::default(), |log| {
        // Nobody reads before this is over.
        (0..WAITING_MAX).for_each(|_| tracing::info!("an event"));
        tracing::error!("an error");
        dropped = log.dropped();
    });
    assert_eq!(dropped, RESERVED as u64);
    assert!(text.contains("an error"));
    assert!(
        text.contains("1024 lines of the log were left out"),
        "{}",
        text.lines().last().unwrap_or("")
    );
}

#[test]
fn level_and_form_change_between_two_lines() {
    let text = logged(Config::default(), |log| {
        tracing::debug!("unheard");
        tracing::info!("for people");
        log.set(Config {
            level: Level::Debug,
            format: Format::Json,
        });
        tracing::debug!("for programs, about 13800000001");
        log.set(Config::default());
        tracing::info!("for people again");
    });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].ends_with("for people") && lines[2].ends_with("for people again"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(lines[1]).expect("JSON");
    assert_eq!(json["level"], "DEBUG");
    assert!(!text.contains("13800000001"), "{text}");
}

#[test]
fn a_flush_returns_when_what_was_said_is_written() {
    let (queue, said) = Queue::new();
    let dropped = Arc::clone(&queue.dropped);
    let (subscriber, log) = subscriber(Config::default(), queue);
    let (tell, told) = std::sync::mpsc::channel();
    struct Tell(std::sync::mpsc::Sender<()>);
    impl Write for Tell {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(()).expect("heard");
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let line = Line {
        out: Tell(tell),
        shape: Shape::default(),
    };
    let thread = std::thread::spawn(move || write_all(&said, line, &dropped));
    tracing::subscriber::with_default(subscriber, || {
        (0..10).for_each(|_| tracing::info!("an event"));
        log.queue.flush();
        assert_eq!(told.try_iter().count(), 10);
    });
    drop(log);
    thread.join().expect("no panic");
}

#[test]
fn no_number_gets_out_by_mistake_and_ids_times_and_addresses_do() {
    let text = logged(Config::default(), |_| {
        tracing::info!(
            number = "+8613800000001",
            digits = 13_800_000_001_u64,
            "call 01KAJ12345678901234567890X from 13900000002 at 192.168.100.200:5060"
        );
    });
    assert!(
        text.contains("call 01KAJ12345678901234567890X from 139****0002 at 192.168.100.200:5060"),
        "{text}"
    );
    assert!(
        text.contains("number=\"+138****0001\" digits=138****0001"),
        "{text}"
    );
    let year = text.split('-').next().unwrap_or("");
    assert!(
        year.len() == 4 && year.bytes().all(|c| c.is_ascii_digit()),
        "the time is readable: {text}"
    );
}

#[test]
fn a_json_line_stays_json_and_holds_no_number() {
    let config = Config {
        format: Format::Json,
        ..Config::default()
    };
    let text = logged(config, |_| {
        tracing::info!(
            digits = 13_800_000_001_u64,
            small = 5_060,
            "from 13900000002\nnext"
        );
    });
    assert_eq!(text.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(line["fields"]["digits"], "138****0001");
    assert_eq!(line["fields"]["small"], 5_060);
    assert_eq!(line["fields"]["message"], "from 139****0002\nnext");
    assert!(line["timestamp"].as_str().is_some_and(|t| !t.contains('*')));
}

#[test]
fn what_others_say_cannot_begin_a_line() {
    let text = logged(Config::default(), |_| {
        tracing::info!(
            "reason {}",
            "x\n2026-11-21T10:00:00Z ERROR umbra: forged\u{1b}[31m"
        );
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn the_level_changes_while_running_and_libraries_stay_at_warn() {
    let text = logged(Config::default(), |log| {
        tracing::debug!("first");
        log.set_level(Level::Trace);
        tracing::debug!("second");
        tracing::info!(target: "hyper", "third");
        tracing::warn!(target: "hyper", "fourth");
        log.set_level(Level::Error);
        tracing::warn!("fifth");
    });
    let seen: Vec<_> = ["first", "second", "third", "fourth", "fifth"]
        .into_iter()
        .filter(|word| text.contains(word))
        .collect();
    assert_eq!(seen, ["second", "fourth"]);
    assert_eq!(Level::from_name("debug"), Some(Level::Debug));
    assert_eq!(Level::from_name("loud"), None);
}

#[test]
fn a_panic_is_logged_in_one_scrubbed_line() {
    let text = logged(Config::default(), |_| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        let outcome = std::panic::catch_unwind(|| panic!("unexpected\n{}", "13800000001"));
        std::panic::set_hook(before);
        assert!(outcome.is_err());
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("panic") && text.contains("138****0001"), "{text}");
}

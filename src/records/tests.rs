use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc;

use super::*;
use crate::base::chance::Chance;
use crate::base::number::Digits;
use crate::call::cdr::{CallerKind, Cdr, Media, Recording, ReleasedBy, SCHEMA};
use crate::call::recording::Why;
use crate::records::cdr_scan::{Filter, More, Order, Page, complete_since, recent_ids, scan};

const HOUR: Duration = Duration::from_secs(3_600);
const START: Wall = Wall::from_millis(1_795_255_200_000);

fn config(dir: &Path) -> Config {
    Config {
        dir: dir.to_owned(),
        rotate: HOUR,
        keep_days: 2,
    }
}

fn cdr(n: u64, ended_at: Wall) -> Cdr {
    let digits = |text: &str| Digits::from(text).expect("short");
    Cdr {
        schema: SCHEMA,
        node: "umbra-1".into(),
        call_id: Id::mint(ended_at, &mut Chance::from_number(n)),
        binding_id: None,
        account: "default".into(),
        pool: None,
        mode: None,
        caller_kind: CallerKind::Stranger,
        direction: None,
        a: None,
        x: Some(digits(&format!("1700000000{}", n % 10))),
        y: None,
        peer: None,
        extension: None,
        group_id: None,
        caller: Some(digits("+8613800000001")),
        dialled: digits(&format!("1700000000{}", n % 10)),
        callee: None,
        shown: None,
        arrived_at: ended_at,
        dialled_at: None,
        early_media_at: None,
        ringing_at: None,
        answered_at: None,
        ended_at,
        released_by: ReleasedBy::Server,
        sip_status: 404,
        callee_sip_status: None,
        q850_cause: 1,
        refusal: None,
        billable_s: 0,
        attempts: Vec::new(),
        recording: Recording::none(Why::NotAsked),
        media: Media::default(),
        sip_call_id_in: "in".into(),
        sip_call_id_out: None,
        trunk_in: "carrier".into(),
        trunk_out: None,
        order_id: None,
        user_data: None,
        end_cause: None,
        charging: None,
        announcement: None,
        collected: None,
        question: None,
    }
}

fn line(cdr: &Cdr) -> Vec<u8> {
    [&*cdr.line().json, b"\n"].concat()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("the folder")
        .map(|f| f.expect("an entry").file_name().into_string().expect("ASCII"))
        .filter(|n| n.starts_with("cdr-"))
        .collect();
    names.sort();
    names
}

fn all(dir: &Path) -> Page {
    scan(dir, &Filter::default(), Order::OldestFirst, None, 1_000).expect("readable")
}

fn files(dir: &Path) -> Files {
    Files::take(config(dir), DISK).expect("the folder is free").0
}

#[test]
fn a_file_is_closed_when_its_time_is_over_and_the_next_has_the_next_number() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut files = files(dir.path());
    assert_eq!(names(dir.path()), [""; 0], "no file without a record");
    files.append(START, &line(&cdr(1, START))).expect("written");
    assert_eq!(names(dir.path()), ["cdr-20261121T100000Z-00000001.jsonl.open"]);
    assert_eq!(files.until_due(START.plus(HOUR / 2)), HOUR / 2);
    assert!(files.until_due(START.plus(HOUR)).is_zero());
    files.close().expect("closed");
    files
        .append(START.plus(HOUR), &line(&cdr(2, START)))
        .expect("written");
    assert_eq!(
        names(dir.path()),
        [
            "cdr-20261121T100000Z-00000001.jsonl",
            "cdr-20261121T110000Z-00000002.jsonl.open"
        ]
    );
    assert_eq!(all(dir.path()).cdrs.len(), 2);
}

#[test]
fn what_a_dead_process_left_is_closed_its_torn_line_cut_off_and_the_sequence_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut dead = files(dir.path());
    dead.append(START, &line(&cdr(1, START))).expect("written");
    let whole = line(&cdr(2, START));
    let torn = [whole.as_slice(), &whole[..100]].concat();
    dead.append(START, &torn).expect("written");
    drop(dead);

    let (mut files, found) = Files::take(config(dir.path()), DISK).expect("the folder is free");
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("100 bytes were cut off"), "{found:?}");
    assert_eq!(names(dir.path()), ["cdr-20261121T100000Z-00000001.jsonl"]);
    let kept = std::fs::read(dir.path().join(&names(dir.path())[0])).expect("readable");
    assert!(kept.ends_with(&whole), "the torn line is gone");
    let page = all(dir.path());
    assert_eq!((page.cdrs.len(), page.unreadable), (2, 0));
    files.append(START, &whole).expect("written");
    assert_eq!(names(dir.path())[1], "cdr-20261121T100000Z-00000002.jsonl.open");
}

#[test]
fn the_sequence_goes_on_when_the_files_were_moved_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut first = files(dir.path());
    first.append(START, &line(&cdr(1, START))).expect("written");
    first.close().expect("closed");
    drop(first);
    for name in names(dir.path()) {
        std::fs::remove_file(dir.path().join(name)).expect("removed");
    }
    let mut second = files(dir.path());
    second.append(START, &line(&cdr(2, START))).expect("written");
    assert_eq!(names(dir.path()), ["cdr-20261121T100000Z-00000002.jsonl.open"]);
}

#[test]
fn a_second_server_is_kept_out_of_the_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let _first = files(dir.path());
    let second = Files::take(config(dir.path()), DISK).err().map(|e| e.to_string());
    assert!(second.is_some_and(|e| e.contains("another server")));
}

/// A disk that is full (`/dev/full` refuses every byte) until `ROOM` says otherwise.
static ROOM: AtomicU64 = AtomicU64::new(0);

fn full_disk(path: &Path, begin: Begin) -> io::Result<File> {
    if ROOM.load(Ordering::Relaxed) == 0 {
        return OpenOptions::new().write(true).open("/dev/full");
    }
    open_file(path, begin)
}

#[test]
fn a_full_disk_loses_nothing_and_what_it_refused_is_written_once() {
    let dir = tempfile::tempdir().expect("a folder");
    ROOM.store(1, Ordering::Relaxed);
    let (mut files, _) = Files::take(
        config(dir.path()),
        Disk {
            open: full_disk,
            ..DISK
        },
    )
    .expect("the folder is free");
    files.append(START, &line(&cdr(1, START))).expect("there is room");
    ROOM.store(0, Ordering::Relaxed);
    // The disk fills up in the middle of a group: half of it is there, then an error.
    let current = files.current.as_mut().expect("a file is open");
    let group = line(&cdr(2, START));
    current
        .file
        .as_ref()
        .expect("open")
        .write_all_at(&group[..50], current.good)
        .expect("half");
    current.file = None;
    let refused = files.append(START, &group).expect_err("no room");
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert_eq!(all(dir.path()).cdrs.len(), 1, "half a line is no record");
    ROOM.store(1, Ordering::Relaxed);
    files.append(START, &group).expect("there is room again");
    files.current.as_mut().expect("a file is open").file = None;
    let current = files.current.as_ref().expect("a file is open");
    let file = open_file(&current.entry.path(dir.path()), Begin::Again).expect("openable");
    file.write_all_at(&group[..50], current.good)
        .expect("half of a group that is never tried again");
    files.close().expect("closed");
    let kept = std::fs::read(dir.path().join(&names(dir.path())[0])).expect("readable");
    assert_eq!(kept, [line(&cdr(1, START)), group].concat());
}

/// A folder whose list of names the disk refuses to sync while `IS_DEAF` says so.
static IS_DEAF: AtomicBool = AtomicBool::new(false);

fn deaf_folder(dir: &Path) -> io::Result<()> {
    if IS_DEAF.load(Ordering::Relaxed) {
        return Err(io::Error::from_raw_os_error(libc::EIO));
    }
    folder::sync(dir)
}

#[test]
fn a_file_that_was_closed_is_never_written_to_again_whatever_the_folders_sync_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Disk {
        sync_folder: deaf_folder,
        ..DISK
    };
    let (mut files, _) = Files::take(config(dir.path()), disk).expect("the folder is free");
    files.append(START, &line(&cdr(1, START))).expect("written");
    IS_DEAF.store(true, Ordering::Relaxed);
    let refused = files.close().expect_err("the names are not durable yet");
    assert_eq!(refused.raw_os_error(), Some(libc::EIO));
    files.close().expect("nothing is left to close");
    files.append(START, &line(&cdr(2, START))).expect_err("refused");
    IS_DEAF.store(false, Ordering::Relaxed);
    files.append(START, &line(&cdr(2, START))).expect("written");
    files.close().expect("closed");
    assert_eq!(
        names(dir.path()),
        [
            "cdr-20261121T100000Z-00000001.jsonl",
            "cdr-20261121T100000Z-00000002.jsonl"
        ]
    );
    for (n, name) in names(dir.path()).iter().enumerate() {
        let kept = std::fs::read(dir.path().join(name)).expect("readable");
        assert_eq!(kept, line(&cdr(n as u64 + 1, START)));
    }
}

#[test]
fn a_file_that_was_moved_away_is_not_made_again_with_a_hole_in_its_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let away = tempfile::tempdir().expect("another");
    let mut files = files(dir.path());
    let move_away = |name: &str| {
        std::fs::rename(dir.path().join(name), away.path().join(name)).expect("moved");
    };
    files.append(START, &line(&cdr(1, START))).expect("written");
    move_away("cdr-20261121T100000Z-00000001.jsonl.open");
    // The disk has refused something, so that the file is opened anew.
    files.current.as_mut().expect("a file is open").file = None;
    files.append(START, &line(&cdr(2, START))).expect("written");
    move_away("cdr-20261121T100000Z-00000002.jsonl.open");
    let gone = files.close().expect_err("it is told");
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    files.close().expect("and given up");
    files.append(START, &line(&cdr(3, START))).expect("written");
    assert_eq!(names(dir.path()), ["cdr-20261121T100000Z-00000003.jsonl.open"]);
    assert_eq!(all(dir.path()).cdrs.len(), 1);
    assert_eq!(names(away.path()).len(), 2);
    for (n, name) in names(away.path()).iter().enumerate() {
        let kept = std::fs::read(away.path().join(name)).expect("readable");
        assert_eq!(kept, line(&cdr(n as u64 + 1, START)));
    }
}

#[test]
fn a_name_with_the_last_of_all_numbers_does_not_stop_the_sequence() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut first = files(dir.path());
    first.append(START, &line(&cdr(1, START))).expect("written");
    first.close().expect("closed");
    drop(first);
    let strange = format!("cdr-20261121T100000Z-{}.jsonl", u64::MAX);
    std::fs::write(dir.path().join(&strange), line(&cdr(9, START))).expect("written");
    let mut second = files(dir.path());
    second.append(START, &line(&cdr(2, START))).expect("written");
    assert_eq!(names(dir.path())[1], "cdr-20261121T100000Z-00000002.jsonl.open");
    drop(second);
    std::fs::write(dir.path().join(NEXT), u64::MAX.to_string()).expect("written");
    let mut third = files(dir.path());
    third.append(START, &line(&cdr(3, START))).expect("written");
    assert!(names(dir.path()).contains(&"cdr-20261121T100000Z-00000003.jsonl.open".to_owned()));
}

#[test]
fn old_files_are_deleted_by_the_next_ones_beginning_and_the_newest_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut files = files(dir.path());
    let day = HOUR * 24;
    for n in 0..3_u32 {
        let now = START.plus(day * n);
        files
            .append(now, &line(&cdr(u64::from(n), now)))
            .expect("written");
        files.close().expect("closed");
    }
    files.delete_old(START.plus(day * 3), 2);
    assert_eq!(
        names(dir.path()).len(),
        3,
        "the first file's records are two days old, not more"
    );
    files.delete_old(START.plus(day * 3 + HOUR), 2);
    assert_eq!(names(dir.path()).len(), 2);
    files.delete_old(START.plus(day * 100), 2);
    assert_eq!(names(dir.path()), ["cdr-20261123T100000Z-00000003.jsonl"]);
}

/// Two files that were closed a month ago.
fn two_of_a_month_ago(dir: &Path) {
    let mut files = files(dir);
    let month = HOUR * 24 * 30;
    let begin = Wall::from_millis(wall_now().as_millis() - month.as_millis() as i64);
    for n in 0..2_u32 {
        let now = begin.plus(HOUR * n);
        files
            .append(now, &line(&cdr(u64::from(n), now)))
            .expect("written");
        files.close().expect("closed");
    }
}

#[test]
fn what_the_law_has_kept_is_kept_however_few_days_the_conf_has() {
    for (law, left) in [(Some(184), 2), (Some(1), 1), (None, 1)] {
        let dir = tempfile::tempdir().expect("a folder");
        two_of_a_month_ago(dir.path());
        let (writer, _) = Writer::start(config(dir.path()), move || law, |_| ()).expect("the folder is free");
        // It looks for old files first.
        writer.stop(Duration::from_secs(5));
        assert_eq!(names(dir.path()).len(), left, "{law:?}");
    }
}

#[test]
fn another_rotation_and_another_keeping_take_effect_while_the_thread_waits() {
    let dir = tempfile::tempdir().expect("a folder");
    two_of_a_month_ago(dir.path());
    let (tell, told) = mpsc::channel();
    let forever = Config {
        rotate: HOUR * 24,
        keep_days: 100_000,
        dir: dir.path().to_owned(),
    };
    let (writer, _) = Writer::start(
        forever,
        || None,
        move |_| {
            let _ = tell.send(());
        },
    )
    .expect("the folder is free");
    writer.write(cdr(7, wall_now()).line());
    told.recv().expect("written");
    assert_eq!(names(dir.path()).len(), 3);
    writer.set(Duration::ZERO, 1);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let is_done = || {
        let names = names(dir.path());
        // Only the first can go: the second's records may be as new as the third's beginning.
        names.len() < 3 && names.iter().all(|name| name.ends_with(".jsonl"))
    };
    while !is_done() {
        assert!(std::time::Instant::now() < deadline, "{:?}", names(dir.path()));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(writer.stop(Duration::from_secs(5)), 0);
}

#[test]
fn the_thread_writes_everything_says_what_is_written_and_closes_at_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tell, told) = mpsc::channel();
    let (writer, found) = Writer::start(
        config(dir.path()),
        || None,
        move |ids| {
            let _ = tell.send(ids.to_vec());
        },
    )
    .expect("the folder is free");
    assert_eq!(found, Vec::<String>::new());
    let wanted: Vec<Id> = (0..3_000)
        .map(|n| {
            let cdr = cdr(n, START);
            let id = cdr.call_id;
            writer.write(cdr.line());
            id
        })
        .collect();
    assert_eq!(writer.state(), Records::Kept);
    assert_eq!(writer.health(), None);
    assert_eq!(writer.stop(Duration::from_secs(60)), 0);
    let acknowledged: Vec<Id> = told.iter().flatten().collect();
    assert_eq!(acknowledged, wanted);
    assert!(names(dir.path()).iter().all(|n| n.ends_with(".jsonl")));
    assert_eq!(recent_ids(dir.path(), 10_000).expect("readable").len(), 3_000);
    let last = recent_ids(dir.path(), 10).expect("readable");
    assert_eq!(last.len(), 10);
    assert!(wanted[2_990..].iter().all(|id| last.contains(id)));
}

#[test]
fn what_no_disk_has_yet_is_looked_at_wherever_it_waits() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("cdr");
    let (writer, _) = Writer::start(config(&folder), || None, |_| ()).expect("the folder is free");
    std::fs::remove_dir_all(&folder).expect("ours");
    std::fs::write(&folder, "in its place").expect("there is room");
    let records: Vec<Cdr> = (0..200).map(|n| cdr(n, START)).collect();
    let wanted: BTreeSet<Id> = records.iter().map(|cdr| cdr.call_id).collect();
    // The thread takes the first of them in hand, at once or later, and the others stay in the queue.
    for record in &records {
        writer.write(record.line());
    }
    let mut looked = BTreeSet::new();
    writer.look_at_waiting(|line| {
        looked.insert(line.call_id);
    });
    assert_eq!(looked, wanted);
    while lock(&writer.shared.in_hand).is_empty() {
        std::thread::yield_now();
    }
    looked.clear();
    writer.look_at_waiting(|line| {
        looked.insert(line.call_id);
    });
    assert_eq!(looked, wanted);
    std::fs::remove_file(&folder).expect("ours");
    assert_eq!(writer.stop(Duration::from_secs(60)), 0);
    assert_eq!(recent_ids(&folder, 1_000).expect("readable").len(), 200);
}

#[test]
fn a_full_buffer_is_said_and_nothing_is_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let (release, hold) = mpsc::channel::<()>();
    let (writer, _) = Writer::start(
        config(dir.path()),
        || None,
        move |_| {
            // The disk is slow until the test lets go; then the channel is closed.
            let _ = hold.recv();
        },
    )
    .expect("the folder is free");
    // The first group may have left the buffer already.
    let count = limits::CDR_BUFFER + GROUP_MAX;
    for n in 0..count {
        writer.write(cdr(n as u64, START).line());
    }
    assert_eq!(writer.state(), Records::Full);
    assert!(writer.health().is_some_and(|h| h.contains("too slow")));
    drop(release);
    assert_eq!(writer.stop(Duration::from_secs(60)), 0);
    assert_eq!(recent_ids(dir.path(), usize::MAX).expect("readable").len(), count);
}

#[test]
fn pages_join_without_gap_or_double_in_both_orders() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut files = files(dir.path());
    let mut wanted = Vec::new();
    for n in 0..250_u32 {
        let now = START.plus(HOUR * (n / 50));
        if files.until_due(now).is_zero() {
            files.close().expect("closed");
        }
        let cdr = cdr(u64::from(n), now);
        files.append(now, &line(&cdr)).expect("written");
        wanted.push(cdr.call_id);
    }
    assert_eq!(names(dir.path()).len(), 5);
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let (mut ids, mut cursor) = (Vec::new(), None);
        loop {
            let page = scan(dir.path(), &Filter::default(), order, cursor, 7).expect("readable");
            ids.extend(page.cdrs.iter().map(|c| c.call_id));
            cursor = page
                .next
                .map(|c| c.to_string().parse().expect("a cursor reads back"));
            if page.more == More::No {
                break;
            }
        }
        assert_eq!(cursor.is_some(), order == Order::OldestFirst);
        if order == Order::NewestFirst {
            ids.reverse();
        }
        assert_eq!(ids, wanted, "{order:?}");
    }
}

#[test]
fn whoever_follows_gets_what_comes_later_across_a_change_of_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut files = files(dir.path());
    let follow =
        |cursor| scan(dir.path(), &Filter::default(), Order::OldestFirst, cursor, 10).expect("readable");
    files.append(START, &line(&cdr(0, START))).expect("written");
    let mut cursor = follow(None).next;
    for n in 1..5 {
        if n % 2 == 0 {
            files.close().expect("closed");
        }
        let later = cdr(n, START);
        files.append(START, &line(&later)).expect("written");
        let page = follow(cursor);
        let ids: Vec<Id> = page.cdrs.iter().map(|c| c.call_id).collect();
        assert_eq!(ids, [later.call_id]);
        cursor = page.next;
    }
    assert_eq!(follow(cursor).cdrs.len(), 0);
}

#[test]
fn a_filter_takes_by_time_number_and_call() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut files = files(dir.path());
    for n in 0..30_u32 {
        let now = START.plus(HOUR * n);
        files
            .append(now, &line(&cdr(u64::from(n), now)))
            .expect("written");
        files.close().expect("closed");
    }
    let count = |filter: &Filter| {
        [Order::OldestFirst, Order::NewestFirst].map(|order| {
            scan(dir.path(), filter, order, None, 100)
                .expect("readable")
                .cdrs
                .len()
        })
    };
    let none = Filter::default();
    let since = Some(START.plus(HOUR * 20));
    let until = Some(START.plus(HOUR * 25));
    let x = Some("17000000003".to_owned());
    assert_eq!(count(&none), [30, 30]);
    assert_eq!(
        count(&Filter {
            since,
            ..none.clone()
        }),
        [10, 10]
    );
    assert_eq!(
        count(&Filter {
            since,
            until,
            ..none.clone()
        }),
        [5, 5]
    );
    assert_eq!(
        count(&Filter {
            x: x.clone(),
            ..none.clone()
        }),
        [3, 3]
    );
    assert_eq!(
        count(&Filter {
            x,
            since,
            until,
            ..none.clone()
        }),
        [1, 1]
    );
    let call_id = Some(cdr(7, START.plus(HOUR * 7)).call_id);
    assert_eq!(count(&Filter { call_id, ..none }), [1, 1]);
}

#[test]
fn a_folder_that_is_made_for_records_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    let deep = dir.path().join("a/cdr");
    folder::make(&deep).expect("made");
    for made in [deep.as_path(), &dir.path().join("a")] {
        let mode = std::fs::metadata(made).expect("there").permissions().mode();
        assert_eq!(mode & 0o027, 0, "{mode:o}");
    }
}

#[test]
fn the_rest_between_groups_ends_early_with_a_full_group_and_with_a_stop() {
    let shared = Shared {
        queue: Mutex::default(),
        in_hand: Mutex::default(),
        wake: Condvar::new(),
        waiting: AtomicUsize::new(0),
        trouble: Mutex::default(),
    };
    for n in 0..2 {
        lock(&shared.queue).lines.push_back(cdr(n, START).line());
    }
    assert_eq!(wait_for(&shared, 2, HOUR).lines.len(), 2);
    assert_eq!(wait_for(&shared, 3, Duration::ZERO).wake_at, 3);
    lock(&shared.queue).stop = Stop::By(std::time::Instant::now());
    assert_eq!(wait_for(&shared, 3, HOUR).lines.len(), 2);
}

/// A file of four records; the third can't be read, for zeros stand before it.
fn zeros(dir: &Path) {
    let [first, second, fourth] = [1, 2, 4].map(|n| line(&cdr(n, START)));
    let torn = [vec![0; 3 << 20], line(&cdr(3, START))].concat();
    let text = [first, second, torn, fourth].concat();
    std::fs::write(dir.join("cdr-20261121T100000Z-00000001.jsonl"), text).expect("room");
}

#[test]
fn a_stretch_of_zeros_hides_none_of_the_records_around_it() {
    let dir = tempfile::tempdir().expect("a folder");
    zeros(dir.path());
    let [first, second, fourth] = [1, 2, 4].map(|n| cdr(n, START).call_id);
    let read = |order| {
        let page = scan(dir.path(), &Filter::default(), order, None, 100).expect("readable");
        assert_eq!((page.unreadable, page.more), (1, More::No));
        page.cdrs.iter().map(|cdr| cdr.call_id).collect::<Vec<_>>()
    };
    assert_eq!(read(Order::OldestFirst), [first, second, fourth]);
    assert_eq!(read(Order::NewestFirst), [fourth, second, first]);
    let recent = recent_ids(dir.path(), 9).expect("readable");
    assert_eq!(recent, [first, second, fourth].into());
}

#[test]
fn records_are_complete_since_the_file_before_which_one_is_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let since = || complete_since(dir.path(), START.plus(HOUR * 9)).expect("readable");
    let begun = |hour: u64, seq: u32| {
        let name = format!("cdr-20261121T{}0000Z-{seq:08}.jsonl", 10 + hour);
        std::fs::write(dir.path().join(name), "").expect("room");
    };
    assert_eq!(since(), Some(START.plus(HOUR * 9)));
    begun(2, 3);
    begun(3, 4);
    assert_eq!(since(), Some(START.plus(HOUR * 2)));
    begun(0, 1);
    assert_eq!(since(), Some(START.plus(HOUR * 2)));
    begun(1, 2);
    assert_eq!(since(), None);
}

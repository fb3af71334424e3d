//! Recordings that somebody changed.

use proptest::prelude::*;

use super::*;

fn changed(block: u64, what: Change) -> Verdict {
    Verdict::Changed { block, what }
}

/// A recording of five seconds whose chain somebody has edited.
fn edited(edit: impl FnOnce(&mut Vec<String>)) -> Verdict {
    let dir = folder();
    let (place, _) = recorded(dir.path(), &begin(1), 5);
    let path = place.chain(Phase::Whole);
    let text = fs::read_to_string(&path).expect("text");
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    edit(&mut lines);
    fs::write(&path, lines.concat()).expect("room");
    found(&place)
}

/// One whose audio somebody has edited.
fn with_audio(edit: impl FnOnce(&mut Vec<u8>)) -> Verdict {
    let dir = folder();
    let (place, finished) = recorded(dir.path(), &begin(1), 5);
    let mut bytes = fs::read(&finished.audio).expect("the file");
    edit(&mut bytes);
    fs::write(&finished.audio, bytes).expect("room");
    found(&place)
}

#[test]
fn whatever_was_changed_is_named_with_its_block() {
    let line = |n: usize, from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        edited(move |lines| {
            assert!(lines[n].contains(&from), "{}", lines[n]);
            lines[n] = lines[n].replacen(&from, &to, 1);
        })
    };
    assert_eq!(line(0, "acme", "them"), changed(0, Change::Head));
    assert_eq!(line(3, "\"marks\":[]", "\"marks\": []"), changed(3, Change::Line));
    assert_eq!(
        line(5, "\"samples\":8", "\"samples\":9"),
        changed(5, Change::Line)
    );
    assert_eq!(line(6, "\"gaps\":0", "\"gaps\":1"), changed(5, Change::End));
    assert_eq!(
        edited(|lines| drop(lines.remove(3))),
        changed(3, Change::LineRemoved)
    );
    assert_eq!(
        edited(|lines| drop(lines.remove(5))),
        changed(5, Change::LineRemoved)
    );
    assert_eq!(edited(|lines| lines.swap(2, 4)), changed(2, Change::LineMoved));
    assert_eq!(edited(|lines| drop(lines.pop())), changed(5, Change::EndRemoved));
    assert_eq!(edited(|lines| lines.truncate(4)), changed(3, Change::EndRemoved));
    assert_eq!(
        edited(|lines| lines.push("\n".into())),
        changed(5, Change::LinesAdded)
    );
    assert_eq!(edited(Vec::clear), changed(0, Change::Head));

    assert_eq!(with_audio(|bytes| bytes[44 + 70] ^= 1), changed(3, Change::Audio));
    assert_eq!(with_audio(|bytes| bytes[24] ^= 1), changed(0, Change::Header));
    assert_eq!(
        with_audio(|bytes| bytes.truncate(44 + 100)),
        changed(4, Change::AudioCut)
    );
    assert_eq!(with_audio(|bytes| bytes.push(0)), changed(5, Change::AudioAdded));
    assert_eq!(
        with_audio(|bytes| drop(bytes.drain(44 + 32..44 + 64))),
        changed(2, Change::Audio),
        "a second was taken out"
    );
    assert_eq!(with_audio(Vec::clear), changed(1, Change::AudioCut));
}

#[test]
fn files_of_another_name_and_missing_audio_are_found() {
    let dir = folder();
    let (place, finished) = recorded(dir.path(), &begin(1), 1);
    let other = Place {
        recording: id(2),
        ..place.clone()
    };
    let (now, then) = (files(&place, Phase::Whole), files(&other, Phase::Whole));
    for (from, to) in now.iter().zip(&then) {
        fs::rename(from, to).expect("a rename");
    }
    assert_eq!(found(&other), changed(0, Change::Name));
    assert!(matches!(
        verify(&place, &Keys::default(), None),
        Err(Error::Absent(_))
    ));
    for (from, to) in now.iter().zip(&then) {
        fs::rename(to, from).expect("a rename");
    }
    assert_eq!(found(&place), whole(&finished, Seals::None));
    fs::remove_file(&finished.audio).expect("it is there");
    assert_eq!(found(&place), changed(0, Change::NoAudio));
}

#[test]
fn a_verdict_is_a_sentence() {
    let said = changed(3, Change::LineRemoved).to_string();
    assert_eq!(said, "changed at block 3: its line was taken out of the chain");
    let dir = folder();
    let (place, _) = recorded(dir.path(), &begin(1), 2);
    assert_eq!(
        found(&place).to_string(),
        "whole: all 2 blocks are as they were written"
    );
}

#[test]
fn silence_that_was_filled_with_something_is_found() {
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 1);
    write(&mut pen, 3).expect("there is room");
    let finished = pen.end(4 * SECOND, after(4)).expect("there is room");
    let mut bytes = fs::read(&finished.audio).expect("the file");
    bytes[44 + 32 + 40] = 1;
    fs::write(&finished.audio, bytes).expect("room");
    assert_eq!(found(pen.place()), changed(2, Change::Audio));
}

#[test]
fn changed_audio_is_refused_where_it_is_read_and_what_is_before_it_is_given() {
    let dir = folder();
    let (place, finished) = recorded(dir.path(), &begin(1), 3);
    let mut bytes = fs::read(&finished.audio).expect("the file");
    bytes[44 + 40] ^= 1;
    fs::write(&finished.audio, bytes).expect("room");
    let mut reader = Reader::open(&place, &Keys::default()).expect("it can be opened");
    assert_eq!(
        reader.read_at(0, &mut [0; 44 + 32]).expect("all is right there"),
        76
    );
    let refused = reader.read_at(44 + 32, &mut [0; 1]).expect_err("it was changed");
    assert!(refused.to_string().contains("block 2"), "{refused}");
}

#[test]
fn a_chain_of_a_newer_program_is_refused_as_that() {
    let dir = folder();
    let (place, _) = recorded(dir.path(), &begin(1), 1);
    let path = place.chain(Phase::Whole);
    let text = fs::read_to_string(&path).expect("text");
    let head = text.split(",\"sha256\":").next().expect("a text");
    let head = head.replace("\"form\":1", "\"form\":3,\"new\":true");
    let (line, _) = crate::records::recordings::lines::next_line(None, &head);
    fs::write(&path, line).expect("room");
    assert!(matches!(
        verify(&place, &Keys::default(), None),
        Err(Error::Newer(_, 3, 2))
    ));
    assert!(matches!(
        Reader::open(&place, &Keys::default()).map(drop),
        Err(Error::Newer(..))
    ));
}

/// Changes one byte of each file in turn, every one of them, and looks whether that is found.
fn every_byte(begin: &Begin, is_whole: bool, to: impl Fn(u8) -> u8) {
    let dir = folder();
    let mut pen = begun(dir.path(), begin, 2);
    // Silence is a hole in the file.
    write_with(
        &mut pen,
        3,
        &[Mark {
            at: 25,
            what: What::Resumed,
        }],
    )
    .expect("there is room");
    if is_whole {
        pen.end(4 * SECOND, after(4)).expect("there is room");
    }
    let place = pen.place().clone();
    let keys = keys(begin);
    let as_it_was = verify(&place, &keys, None).expect("it can be read");
    let names = fs::read_dir(&place.day).expect("the folder");
    for path in names.map(|file| file.expect("a file").path()) {
        let bytes = fs::read(&path).expect("the file");
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] = to(other[at]);
            if other == bytes {
                continue;
            }
            fs::write(&path, &other).expect("room");
            let verdict = match verify(&place, &keys, None) {
                Ok(verdict) => verdict,
                // "form":1 that became "form":9.
                Err(Error::Newer(..)) => panic!("a chain that is not right says nothing of its form"),
                Err(error) => panic!("{error}"),
            };
            assert_ne!(verdict, as_it_was, "{} at {at}", path.display());
            assert!(
                !matches!(verdict, Verdict::Whole { .. }),
                "{} at {at}",
                path.display()
            );
            assert!(
                Reader::open(&place, &keys).is_err() || !is_whole || verdict != as_it_was,
                "{at}"
            );
        }
        fs::write(&path, &bytes).expect("room");
    }
    assert_eq!(verify(&place, &keys, None).expect("it can be read"), as_it_was);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]
    #[test]
    fn any_single_changed_byte_of_either_file_is_found(mask in 1_u8.., is_whole: bool, sealed: bool) {
        let begin = match sealed {
            true => sealed::begin_sealed(1, Cipher::Sm4Gcm),
            false => begin(1),
        };
        every_byte(&begin, is_whole, |byte| byte ^ mask);
    }

    #[test]
    fn any_bytes_are_a_chain_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut: u8) {
        use crate::records::recordings::lines::Chain;
        let _ = Chain::read(&bytes).map(|chain| chain.blocks.len());
        let dir = folder();
        let (place, _) = recorded(dir.path(), &begin(1), 1);
        let chain = fs::read(place.chain(Phase::Whole)).expect("the chain");
        let cut = usize::from(cut) * chain.len() / 256;
        let mixed = [&chain[..cut], &bytes, b"\n", &chain[cut..]].concat();
        let _ = Chain::read(&mixed).map(|chain| chain.blocks.len());
    }
}

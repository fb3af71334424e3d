//! Calls that turn to a fax and back.

use super::*;
use crate::call::recording::Faxing;
use crate::records::recordings::chain::{self, Faxed, Loss};

/// What marks say of a fax: from which sample, for how many, and which of its ends that was told at; the same on both sides.
fn faxes(place: &Place) -> Vec<(u64, u64, Faxed)> {
    let reader = Reader::open(place, &Keys::default()).expect("it can be opened");
    let of = |side: chain::Channel| {
        let fax = |mark: &Mark| match mark.what {
            What::Lost {
                channel,
                samples,
                why: Loss::Fax(faxed),
            } if channel == side => Some((mark.at, samples, faxed)),
            _ => None,
        };
        reader.marks().filter_map(fax).collect::<Vec<_>>()
    };
    let [left, right] = [chain::Channel::Caller, chain::Channel::Callee].map(of);
    assert_eq!(left, right);
    left
}

/// It speaks for a second, and faxes for three.
fn faxed(stage: &mut Stage) {
    stage.speaks(1);
    stage.run(seconds(1));
    stage.order(Order::Fax(id(1), Faxing::Begins));
    stage.speaking.clear();
    stage.run(seconds(3));
}

#[test]
fn a_fax_is_silence_between_marks_in_a_file_of_either_kind() {
    for (sounds, rate) in [(Sound::Narrow, 8), (Sound::Wide, 16), (Sound::Unread, 1)] {
        let dir = folder();
        let mut stage = Stage::at(dir.path(), 0);
        stage.order(Order::Begin(stage.begin(1, sounds)));
        faxed(&mut stage);
        stage.order(Order::Fax(id(1), Faxing::Ends));
        stage.run(seconds(1));
        stage.order(Order::End(id(1), stage.now().at));
        stage.run(ROUND);
        let place = stage.place(1);
        let wanted = [
            (1_000 * rate, 0, Faxed::Begins),
            (1_000 * rate, 3_000 * rate, Faxed::Lasted),
        ];
        assert_eq!(faxes(&place), wanted, "{sounds:?}");
        assert_eq!(is_whole(&place), Some(4));
    }
}

#[test]
fn a_fax_ends_with_its_call_and_goes_on_in_the_next_process() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    let begin = stage.begin(1, Sound::Narrow);
    stage.order(Order::Begin(begin.clone()));
    faxed(&mut stage);
    drop(stage);
    let mut stage = Stage::at(dir.path(), 6_000);
    stage.order(Order::GoOn(begin));
    stage.order(Order::Fax(id(1), Faxing::Begins));
    stage.run(seconds(2));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let wanted = [
        (8_000, 0, Faxed::Begins),
        (48_000, 0, Faxed::Begins),
        (48_000, 16_000, Faxed::Lasted),
    ];
    assert_eq!(faxes(&stage.place(1)), wanted);
}

#[test]
fn chains_say_it_so_that_older_programs_read_it() {
    let mark = |faxed, samples| Mark {
        at: 8_000,
        what: What::Lost {
            channel: chain::Channel::Callee,
            samples,
            why: Loss::Fax(faxed),
        },
    };
    for (mark, said) in [
        (
            mark(Faxed::Begins, 0),
            "\"samples\":0,\"why\":\"codec\",\"fax\":\"begins\"}",
        ),
        (
            mark(Faxed::Lasted, 9),
            "\"samples\":9,\"why\":\"codec\",\"fax\":\"lasted\"}",
        ),
    ] {
        let text = serde_json::to_string(&mark).expect("JSON");
        let wanted = format!("{{\"at\":8000,\"what\":\"lost\",\"channel\":\"callee\",{said}");
        assert_eq!(text, wanted);
        assert_eq!(serde_json::from_str::<Mark>(&text).expect("a mark"), mark);
        // Fields that a reader doesn't know it passes over: so do those before these.
        let later = text.replace("\"fax\"", "\"telex\"");
        let why = Loss::Codec(None);
        let read = serde_json::from_str::<Mark>(&later).expect("a mark").what;
        assert!(
            matches!(read, What::Lost { why: of, .. } if of == why),
            "{read:?}"
        );
    }
}

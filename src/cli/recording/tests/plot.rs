use super::*;

/// The picture of a recording, and what is printed.
fn plotted(written: &Written) -> (String, String) {
    let output = written.dir.path().join("call.svg");
    let said = umbra(&["plot", text(&written.audio), "-o", text(&output)]).expect("a picture");
    (fs::read_to_string(output).expect("a file"), said)
}

/// How high each channel's waveform stands in each second of the six, from 0 to 1 of the larger one.
fn heights(svg: &str) -> Vec<[f64; 6]> {
    let polygons = svg.split("<polygon points=\"").skip(1);
    let spans = polygons.map(|polygon| {
        let points = polygon.split('"').next().expect("points");
        let points = points.split(' ').map(|point| {
            let (x, y) = point.split_once(',').expect("a pair");
            let number = |text: &str| text.parse::<f64>().expect("a number");
            (number(x), number(y))
        });
        let mut spans = [[f64::MAX, f64::MIN]; 6];
        for (x, y) in points {
            let place = (x - 84.0) / 180.0;
            // What stands at the edge of a second may be of either.
            if (0.02..0.98).contains(&place.fract()) {
                let [low, high] = &mut spans[place as usize];
                (*low, *high) = (low.min(y), high.max(y));
            }
        }
        spans.map(|[low, high]| high - low)
    });
    spans.collect()
}

#[test]
fn a_picture_has_each_side_where_it_spoke() {
    let (svg, said) = plotted(&written(&begin(1, Audio::Wav), &[]));
    let heights = heights(&svg);
    let [caller, callee] = heights.as_slice() else {
        panic!("two waveforms: {heights:?}");
    };
    let speaks = |spans: &[f64; 6], most: f64| spans.map(|span| span > most * 0.9 && span < most * 1.1);
    let most = caller[0];
    assert_eq!(speaks(caller, most), [true, true, true, false, true, true]);
    assert_eq!(speaks(callee, most / 2.0), [false, false, true, true, true, true]);
    assert!(caller[3] < 0.2 && callee[0] < 0.2, "silence is a line");
    assert!(svg.contains(">caller</text>") && svg.contains(">callee</text>"));
    assert!(svg.contains("nothing was paused, and nothing is missing"));
    assert!(
        said.contains("6.0 s") && said.contains("0 parts shaded"),
        "{said}"
    );
}

#[test]
fn pauses_gaps_and_restarts_are_shaded_where_they_were_and_named() {
    let at = |ms: u64, what| Mark { at: ms * 8, what };
    let marks = [
        at(500, What::Paused),
        at(1_500, What::Resumed),
        at(
            2_000,
            What::Restarted {
                silent_ms: 1_000,
                cut_blocks: 0,
                clock_ms: 0,
            },
        ),
        at(
            3_000,
            What::Lost {
                channel: Channel::Caller,
                samples: 8_000,
                why: Loss::Network,
            },
        ),
        at(
            4_500,
            What::NotWritten {
                samples: 4_000,
                why: Unwritten::DiskFull,
            },
        ),
        at(5_500, What::Paused),
    ];
    let (svg, said) = plotted(&written(&begin(1, Audio::Wav), &marks));
    // 180 of the 1,080 columns are a second, behind 84.
    for (x, width, height) in [
        ("174.0", "180.0", 330),
        ("444.0", "180.0", 330),
        ("624.0", "180.0", 160),
    ] {
        let shade = format!("<rect x=\"{x}\" y=\"124\" width=\"{width}\" height=\"{height}\"");
        assert!(svg.contains(&shade), "{shade}");
    }
    for label in [
        "paused 1.0 s",
        "server down 1.0 s",
        "1.0 s lost",
        "not written 500 ms: disk full",
        "paused 500 ms",
        "paused (2 \u{d7}, 1.5 s)",
    ] {
        assert!(svg.contains(label), "{label}");
    }
    assert!(said.contains("5 parts shaded"), "{said}");
}

#[test]
fn hundreds_of_gaps_are_shaded_and_those_too_narrow_for_a_name_are_counted() {
    let marks: Vec<Mark> = (0..360)
        .map(|n| Mark {
            at: n * 133,
            what: What::Lost {
                channel: Channel::Callee,
                samples: 40,
                why: Loss::Network,
            },
        })
        .collect();
    let (svg, _) = plotted(&written(&begin(1, Audio::Wav), &marks));
    assert!(svg.contains("lost (360 \u{d7}, 1.8 s)"), "all are counted");
    assert!(!svg.contains("5 ms lost"), "names upon names tell nothing");
    assert!(svg.contains("360 of them have no room for their names"));
}

#[test]
fn a_recording_that_still_runs_and_an_empty_one_are_drawn_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let begin = begin(1, Audio::Wav);
    let pen = Pen::begin(dir.path(), &begin).expect("a new recording");
    let path = pen.place().day.join(format!("{}.chain.part", begin.recording));
    let output = dir.path().join("call.svg");
    umbra(&["plot", text(&path), "-o", text(&output)]).expect("a picture");
    let svg = fs::read_to_string(&output).expect("a file");
    assert!(svg.contains("not finished") && svg.contains("0.0 s"), "{svg}");
}

#[test]
fn a_picture_of_another_kind_is_refused_with_the_way_to_one() {
    let said = umbra(&["plot", "x.wav", "-o", "x.png"]).expect_err("no SVG");
    assert!(said.contains("rsvg-convert -o FILE.png FILE.svg"), "{said}");
}

#[test]
fn a_recordings_own_file_is_never_written_over() {
    let written = written(&begin(1, Audio::Wav), &[]);
    let before = fs::read(&written.audio).expect("a file");
    let said = umbra(&["convert", text(&written.chain), "-o", text(&written.audio)]).expect_err("its own");
    assert!(said.contains("may be that one's own"), "{said}");
    assert_eq!(fs::read(&written.audio).expect("a file"), before);
}

use super::*;
use crate::base::limits::RECORDING_BLOCK;
use crate::records::recordings::aside::aside_of;
use crate::rtp::g711::Law;

const BEGUN: Instant = Instant::from_micros(77_000_000);

/// A dump of six seconds: 400 Hz on the left from 1 s to 3 s, and on the right what `callee` makes of 20 ms, from 2 s to
/// 5 s.
fn dumped(whose: Whose, callee: &mut dyn FnMut() -> Vec<u8>) -> Written {
    let dir = tempfile::tempdir().expect("a folder");
    dumped_in(dir, &begin(1, Audio::Rtpdump), whose, callee)
}

fn dumped_in(dir: TempDir, begin: &Begin, whose: Whose, callee: &mut dyn FnMut() -> Vec<u8>) -> Written {
    let mut dump = Dump::new(BEGUN, noon());
    let mut left = Tone::new(400, 8_000);
    let at = |ms: u64| BEGUN + Duration::from_millis(ms);
    let mut pen = Pen::begin(dir.path(), begin).expect("a new recording");
    let caller = Whose {
        channel: tap::Channel::Caller,
        ssrc: 0x0a0a_0a0a,
        payload_type: 8,
        clock_hz: 8_000,
    };
    let hear = |dump: &mut Dump, whose: Whose, n: u64, payload: &[u8]| {
        dump.hear(&Heard {
            tap: Tap {
                recording: Id::from_bits(1),
                channel: whose.channel,
            },
            at: at(n * 20),
            ssrc: whose.ssrc,
            seq: n as u16,
            timestamp: n as u32 * whose.clock_hz / 50,
            clock_hz: whose.clock_hz,
            marker: false,
            payload_type: whose.payload_type,
            coding: None,
            is_event: false,
            is_back: false,
            payload,
        });
    };
    for n in 0..300 {
        if (50..150).contains(&n) {
            let mut codes = Vec::new();
            Law::A.encode_all(&left.samples(160), &mut codes);
            hear(&mut dump, caller, n, &codes);
        }
        if (100..250).contains(&n) {
            hear(&mut dump, whose, n, &callee());
        }
        put(&mut pen, dump.poll(at(n * 20)));
    }
    dump.end(at(6_000));
    while let Some(piece) = dump.poll(at(6_000)) {
        put(&mut pen, Some(piece));
    }
    ended(dir, pen, 6_000, 6)
}

fn put(pen: &mut Pen, piece: Option<Piece>) {
    let Some(piece) = piece else {
        return;
    };
    let stream = |mark: &dump::Mark| match mark.what {
        dump::What::Stream(whose) => Mark {
            at: mark.at_ms,
            what: What::Stream {
                channel: match whose.channel {
                    tap::Channel::Caller => Channel::Caller,
                    tap::Channel::Callee => Channel::Callee,
                },
                ssrc: whose.ssrc,
                payload_type: whose.payload_type,
                clock_hz: whose.clock_hz,
            },
        },
        dump::What::Paused | dump::What::Resumed | dump::What::Lost { .. } => {
            panic!("nothing was paused or lost")
        }
    };
    let marks: Vec<Mark> = piece.marks.iter().map(stream).collect();
    pen.write_packets(&Packets {
        from: piece.from_ms,
        millis: RECORDING_BLOCK.as_millis() as u64,
        bytes: &piece.bytes,
        marks: &marks,
    })
    .expect("there is room");
}

const CALLEE: Whose = Whose {
    channel: tap::Channel::Callee,
    ssrc: 0x0b0b_0b0b,
    payload_type: 0,
    clock_hz: 8_000,
};

/// Tone or silence in each second: how much of it is that tone.
fn seconds(samples: &[i16], rate_hz: u32, hz: u16) -> Vec<bool> {
    let tone = |second: &[i16]| match rate_hz {
        // `share` reads 8 kHz.
        16_000 => share(second, hz / 2) > 0.9,
        _ => share(second, hz) > 0.9,
    };
    let whole = samples.chunks(rate_hz as usize);
    whole.map(tone).collect()
}

fn converted(written: &Written, options: &[&str]) -> (PathBuf, Result<String, String>) {
    let output = written.dir.path().join("call.wav");
    let words = [&["convert", text(&written.audio), "-o", text(&output)], options].concat();
    let said = umbra(&words);
    (output, said)
}

/// The caller's tone is there in the second and third second, the callee's in the third to fifth.
fn both_are_at_their_times(output: &Path) {
    let ([left, right], rate_hz) = channels(output);
    assert_eq!(
        seconds(&left, rate_hz, 400),
        [false, true, true, false, false, false]
    );
    assert_eq!(
        seconds(&right, rate_hz, 1_000),
        [false, false, true, true, true, false]
    );
}

#[test]
fn a_dump_becomes_a_wav_file_with_each_side_where_it_was_heard() {
    let mut right = Tone::new(1_000, 8_000);
    let written = dumped(CALLEE, &mut || {
        let mut codes = Vec::new();
        Law::Mu.encode_all(&right.samples(160), &mut codes);
        codes
    });
    let (output, said) = converted(&written, &[]);
    let said = said.expect("it can be decoded");
    assert!(
        said.contains("6.0 s of 8000 Hz") && said.contains("250 packets"),
        "{said}"
    );
    both_are_at_their_times(&output);
    assert!(!output.with_file_name("call.wav.part").exists());
}

#[test]
fn opus_is_read_at_16_khz_and_drawn_too() {
    let written = dumped(OPUS, &mut opus());
    let (output, said) = converted(&written, &[]);
    assert!(said.expect("it can be decoded").contains("6.0 s of 16000 Hz"));
    both_are_at_their_times(&output);
    let picture = written.dir.path().join("call.svg");
    let said = umbra(&["plot", text(&written.chain), "-o", text(&picture)]).expect("a picture");
    assert!(said.contains("6.0 s"), "{said}");
}

const OPUS: Whose = Whose {
    payload_type: 111,
    clock_hz: 48_000,
    ..CALLEE
};

/// Packets of 20 ms of 1,000 Hz.
fn opus() -> impl FnMut() -> Vec<u8> {
    use opus_pure::{Application, OpusEncoder};
    let mut encoder = OpusEncoder::new(16_000, 1, Application::Voip).expect("an encoder");
    encoder.bitrate_bps = 24_000;
    let mut at = 0.0_f32;
    move || {
        let samples: Vec<f32> = (0..320)
            .map(|_| {
                // A sixteenth of a turn each.
                at = (at + std::f32::consts::TAU / 16.0) % std::f32::consts::TAU;
                at.sin() * 0.25
            })
            .collect();
        let mut packet = vec![0; 1_500];
        let bytes = encoder.encode(&samples, 320, &mut packet).expect("room");
        packet.truncate(bytes);
        packet
    }
}

#[test]
fn a_wav_file_has_what_lies_beside_it_laid_into_it() {
    let first = begin(1, Audio::Wav);
    let beside = Begin {
        recording: aside_of(first.recording),
        ..begin(1, Audio::Rtpdump)
    };
    // 400 Hz on the left in all but the fourth second, and 700 Hz on the right from the third on.
    let written = written(&first, &[]);
    let plain = channels(&written.audio);
    let (audio, chain) = (written.audio, written.chain);
    let Written { dir, .. } = dumped_in(written.dir, &beside, OPUS, &mut opus());
    let written = Written {
        dir,
        audio,
        chain,
        ..written
    };
    let (output, said) = converted(&written, &[]);
    assert!(said.expect("it can be decoded").contains("6.0 s of 8000 Hz"));
    let ([left, right], rate_hz) = channels(&output);
    assert_eq!((rate_hz, left.len(), right.len()), (8_000, 48_000, 48_000));
    let tones = |second: usize| {
        let right = &right[second * RATE..][..RATE];
        [share(right, 700) > 0.1, share(right, 1_000) > 0.1]
    };
    let heard = [0, 1, 2, 3, 4, 5].map(tones);
    let [none, both, own] = [[false, false], [true, true], [true, false]];
    assert_eq!(heard, [none, none, both, both, both, own]);
    // Where nothing is beside it, it is as it was.
    let [plain, _] = plain.0;
    assert_eq!(
        (&left[..8_000], &left[32_000..]),
        (&plain[..8_000], &plain[32_000..])
    );
}

#[test]
fn what_isnt_decoded_is_named_with_who_reads_it() {
    let amr = Whose {
        payload_type: 97,
        clock_hz: 16_000,
        ..CALLEE
    };
    let written = dumped(amr, &mut || vec![0xf4; 62]);
    let (output, said) = converted(&written, &[]);
    let said = said.expect("the caller can be decoded");
    assert!(
        said.contains(
            "what the callee says may be AMR-WB (payload type 97, 16000 Hz), which isn't decoded here"
        ) && said.contains("Wireshark"),
        "{said}"
    );
    let picture = written.dir.path().join("call.svg");
    let said = umbra(&["plot", text(&written.chain), "-o", text(&picture)]).expect("the caller can be drawn");
    let drawn = std::fs::read_to_string(&picture).expect("a picture");
    for said in [said, drawn] {
        assert!(
            said.contains("not drawn: payload type 97 (16000 Hz) of the callee"),
            "{said}"
        );
    }
    let ([left, right], rate_hz) = channels(&output);
    assert_eq!(
        seconds(&left, rate_hz, 400),
        [false, true, true, false, false, false]
    );
    assert!(right.iter().all(|sample| *sample == 0));
}

#[test]
fn a_dump_of_nothing_that_is_decoded_leaves_no_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut pen = Pen::begin(dir.path(), &begin(1, Audio::Rtpdump)).expect("a new recording");
    let stream = What::Stream {
        channel: Channel::Caller,
        ssrc: 1,
        payload_type: 18,
        clock_hz: 8_000,
    };
    pen.write_packets(&Packets {
        from: 0,
        millis: RECORDING_BLOCK.as_millis() as u64,
        bytes: b"#!rtpplay1.0 0.0.0.0/0\n0123456789abcdef",
        marks: &[Mark { at: 0, what: stream }],
    })
    .expect("there is room");
    let written = ended(dir, pen, 1_000, 1);
    let (output, said) = converted(&written, &[]);
    assert!(
        said.expect_err("nothing is heard")
            .contains("what the caller says is G.729")
    );
    assert!(!output.exists() && !output.with_file_name("call.wav.part").exists());
}

#[test]
fn a_sealed_recording_becomes_a_plain_one() {
    let keys = tempfile::tempdir().expect("a folder");
    let sealed = Begin {
        key: Some(key(keys.path())),
        ..begin(1, Audio::Wav)
    };
    let (sealed, plain) = (written(&sealed, &[]), written(&begin(1, Audio::Wav), &[]));
    let (_, said) = converted(&sealed, &[]);
    assert!(said.expect_err("no key").contains("sealed with the key `acme`"));
    let (output, said) = converted(&sealed, &["--keys", text(keys.path())]);
    assert!(said.is_ok(), "{said:?}");
    assert_eq!(
        fs::read(output).expect("a file"),
        fs::read(&plain.audio).expect("a file")
    );
}

#[test]
fn audio_that_was_changed_is_refused_and_not_converted() {
    let written = written(&begin(1, Audio::Wav), &[]);
    let mut bytes = fs::read(&written.audio).expect("a file");
    bytes[50_000] ^= 1;
    fs::write(&written.audio, bytes).expect("room");
    let (output, said) = converted(&written, &[]);
    assert!(
        said.expect_err("it was changed")
            .contains("block 2 of the recording isn't as it was written")
    );
    assert!(!output.exists());
}

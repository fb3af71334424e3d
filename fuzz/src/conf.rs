//! Conf and trunk file of any contents: a conf that can be used, or faults that say where.

use std::fs;

use umbra::config;

/// The conf, and the trunk file.
pub fn run(bytes: &[u8]) {
    let pieces = super::pieces(bytes);
    let folder = super::folder();
    let path = folder.path().join("umbra.toml");
    let trunks = pieces.get(1).copied().unwrap_or_default();
    fs::write(&path, pieces[0]).expect("the folder can be written");
    fs::write(folder.path().join("trunks.toml"), trunks).expect("the folder can be written");
    let found = config::Reading::of(&path).map(|reading| reading.check());
    match found
        .map_err(|faults| (faults, Default::default()))
        .and_then(|found| match found.conf {
            Some(conf) => Ok(conf),
            None => Err((found.faults, found.warnings)),
        }) {
        Ok(conf) => drop(conf),
        Err((faults, config::Faults(warnings))) => {
            assert!(!faults.0.is_empty());
            for fault in faults.0.iter().chain(&warnings) {
                assert!(!fault.cure.is_empty(), "{fault:?}");
                assert!(!fault.text.contains('\n'), "{fault:?}");
                let lines = pieces
                    .iter()
                    .map(|piece| piece.split(|byte| *byte == b'\n').count());
                match fault.line {
                    Some(line) => assert!(line >= 1 && line <= lines.max().unwrap_or(0), "{fault:?}"),
                    // What is said of a whole file.
                    None => assert!(fault.text.is_empty(), "{fault:?}"),
                }
            }
        }
    }
}

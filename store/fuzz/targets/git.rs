//! Owns the fuzzing of what an import reads of Git: it is refused, or is written again as it was.

#![no_main]

use jitsu_store::git::{Fault, recode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((b'c', commit)) => {
            if let Some(written) = recode::commit(commit) {
                assert_eq!(written, commit);
            }
        }
        Some((b't', tree)) => {
            if let Ok(written) = recode::tree(tree) {
                assert_eq!(written, tree);
            }
        }
        Some((b'f', file)) => match recode::contents(file) {
            Ok(contents) => assert_eq!(recode::file(&contents).unwrap(), file),
            Err(Fault::Text { line, .. }) => {
                let lines = file.split(|byte| *byte == b'\n').count();
                assert!((1..=lines + 1).contains(&line), "line {line} of {lines}");
            }
            Err(other) => panic!("{other}"),
        },
        _ => {}
    }
});

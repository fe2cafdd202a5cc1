//! Owns how contents that may be of several objects are one file: a line for each object. Must not
//! know what the objects are.

use std::collections::HashSet;
use std::sync::Arc;

use super::escape::{escape, unescape};
use crate::backend::{Backend, Memory, Source};
use crate::contents::Contents;
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::LEVELS_MAX;
use crate::references::references;

const FIRST: &str = "jitsu objects\n";

/// The file that contents are: themselves first, then what they refer to, each once.
pub(super) fn write(contents: &Contents) -> Result<String, StorageError> {
    let parts = Source::new(Arc::new(Memory::new()));
    contents.links(&mut |part| part.save(&parts, LEVELS_MAX))?;
    let mut text = FIRST.to_owned();
    let mut line = |bytes: &[u8]| {
        text.push_str(&escape(bytes, ""));
        text.push('\n');
    };
    let bytes = contents.encode();
    line(&bytes);
    let known = |bytes: &[u8]| references(bytes).expect("BUG: an object that was just encoded");
    let (mut next, mut seen) = (known(&bytes), HashSet::new());
    next.reverse();
    while let Some(id) = next.pop() {
        if seen.insert(id) {
            let bytes = parts.fetch(&id)?;
            line(&bytes);
            next.extend(known(&bytes).into_iter().rev());
        }
    }
    Ok(text)
}

/// The contents that a file is, if it is of this form.
pub(super) fn read(file: &[u8]) -> Option<Contents> {
    let lines = std::str::from_utf8(file).ok()?.strip_prefix(FIRST)?;
    let mut lines = lines.split_terminator('\n').map(|line| unescape(line, ""));
    let bytes = lines.next()??;
    let parts = Memory::new();
    for part in lines {
        let part = part?;
        // Whether it is one of them, and well-formed, shows when all of it is written again.
        references(&part).ok()?;
        parts.put(&Id::of(&part), &part).ok()?;
    }
    let contents = Contents::decode(&bytes, &Source::new(Arc::new(parts))).ok()?;
    let again = write(&contents).ok()?;
    (again.as_bytes() == file).then_some(contents)
}

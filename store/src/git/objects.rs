//! Owns how contents that may be of several objects are one file: a line for each object. Must not
//! know what the objects are.

use std::collections::HashSet;
use std::sync::Arc;

use super::escape::escape;
use super::text::{Wrong, lines, wrong};
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

/// Whether a file is of this form.
pub(super) fn are(file: &[u8]) -> bool {
    file.starts_with(FIRST.as_bytes())
}

/// The contents that a file of this form is.
pub(super) fn read(file: &[u8]) -> Result<Contents, Wrong> {
    let mut objects = Vec::new();
    for line in lines(&file[FIRST.len().min(file.len())..])? {
        let bytes = line.bytes()?;
        // Whether it is one of them, and well-formed, shows when all of it is written again.
        references(&bytes).map_err(|error| wrong(line.number, error.to_string()))?;
        objects.push(bytes);
    }
    let (first, below) = objects.split_first().ok_or_else(|| wrong(2, "the first object"))?;
    let parts = Memory::new();
    for part in below {
        parts.put(&Id::of(part), part).map_err(|error| wrong(2, error.to_string()))?;
    }
    let home = Source::new(Arc::new(parts));
    let contents = Contents::decode(first, &home).map_err(|error| wrong(2, error.to_string()))?;
    let again = write(&contents).map_err(|error| wrong(2, error.to_string()))?;
    if again.as_bytes() == file {
        Ok(contents)
    } else {
        Err(Wrong::differs(file, again.as_bytes()))
    }
}

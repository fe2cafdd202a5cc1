//! Owns which file is which contents: each file of exactly one, and the other way round. Must not
//! know how either looks.

use std::borrow::Cow;

use super::error::Fault;
use super::objects;
use super::text::{self, NoText, Writing, Wrong};
use crate::contents::Contents;
use crate::error::StorageError;

/// The file that contents are.
pub(super) fn to_blob(contents: &Contents) -> Result<Cow<'_, [u8]>, StorageError> {
    if let Some(file) = text::single(contents) {
        return Ok(file);
    }
    match Writing::new().file(contents) {
        Ok(file) => Ok(file.into()),
        Err(NoText::TooLarge | NoText::Unfit) => Ok(objects::write(contents)?.into_bytes().into()),
        Err(NoText::Storage(error)) => Err(error),
    }
}

/// The contents that a file is. A file that says it is of some kind must be exactly what is written
/// for that.
pub(super) fn of_blob(blob: &[u8]) -> Result<Contents, Fault> {
    read(blob).map_err(|Wrong { line, what }| Fault::Text { line, what })
}

fn read(blob: &[u8]) -> Result<Contents, Wrong> {
    let contents = text::read(blob, text::LEVELS_MAX)?;
    // A text may be of larger objects than there may be.
    let written = to_blob(&contents).map_err(|error| Wrong::of_first(&error.to_string()))?;
    if *written == *blob {
        return Ok(contents);
    }
    Err(match (objects::are(blob), objects::are(&written)) {
        (true, false) => Wrong::of_first(
            "objects of contents that are a text by now: export them again, to a new repository",
        ),
        (false, true) => Wrong::of_first("a text that is too large, or has no such objects"),
        _ => Wrong::differs(blob, &written),
    })
}

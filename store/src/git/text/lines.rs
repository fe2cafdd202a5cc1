//! Owns the lines of a text, by number, and how it is said what is wrong with one. Must not know
//! what they say.

use std::str;

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::git) struct Wrong {
    /// Counted from 1.
    pub(in crate::git) line: usize,
    pub(in crate::git) what: String,
}

pub(in crate::git) fn wrong(line: usize, what: impl Into<String>) -> Wrong {
    Wrong { line, what: what.into() }
}

impl Wrong {
    /// The same, for the file of which what is wrong is one line.
    pub(super) fn inside(self, number: usize) -> Wrong {
        wrong(number, format!("line {} of what is inside: {}", self.line, self.what))
    }

    /// What is wrong with all of a file.
    pub(in crate::git) fn of_first(what: &str) -> Wrong {
        wrong(1, what)
    }

    /// Where a file differs from the one that would be written for the same.
    pub(in crate::git) fn differs(file: &[u8], written: &[u8]) -> Wrong {
        let mut number = 1;
        let (mut file, mut written) = (file.split(is_end), written.split(is_end));
        loop {
            let (found, wanted) = (file.next(), written.next());
            if found != wanted {
                let Some(wanted) = wanted else {
                    return wrong(number, "nothing should follow the line above");
                };
                let shown: String = String::from_utf8_lossy(wanted).chars().take(60).collect();
                return wrong(number, format!("it would be written as {shown:?}"));
            }
            number += 1;
        }
    }
}

/// A line, without its end.
pub(in crate::git) struct Line<'a> {
    pub(in crate::git) number: usize,
    pub(super) text: &'a str,
}

impl<'a> Line<'a> {
    /// What it says of those around it, if it is no item itself: no item begins so, because its
    /// `%` would be written as `%25`.
    pub(super) fn remark(&self) -> Option<&'a str> {
        self.text.strip_prefix("% ")
    }
}

/// The lines that follow the first one of a file.
pub(in crate::git) fn lines(body: &[u8]) -> Result<impl Iterator<Item = Line<'_>>, Wrong> {
    let text = utf8(body, 2)?;
    let lines = || text.split_terminator('\n').zip(2..);
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(wrong(lines().count() + 1, "the line does not end"));
    }
    Ok(lines().map(|(text, number)| Line { number, text }))
}

/// The only line that follows the first one.
pub(super) fn only<'a>(body: &'a [u8], what: &str) -> Result<Line<'a>, Wrong> {
    let mut lines = lines(body)?;
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line),
        _ => Err(wrong(2, what)),
    }
}

/// Bytes as a text that begins at this line.
pub(super) fn utf8(bytes: &[u8], first: usize) -> Result<&str, Wrong> {
    str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        wrong(first + before.iter().filter(|byte| is_end(byte)).count(), "it is not UTF-8")
    })
}

fn is_end(byte: &u8) -> bool {
    *byte == b'\n'
}

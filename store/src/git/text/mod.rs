//! Owns how contents look as a file, contents inside of contents as well. Must not know names,
//! trees, or Git.
//!
//! The forms are documented above, in the module `git`. A kind whose contents may be several
//! objects is a file beside this one, and an arm in each of [`several`] and [`read`]. That what is
//! read is exactly what would be written is seen to in `blob`.

mod leaves;
mod lines;
mod list;
mod log;
mod map;
mod queue;
mod rope;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use self::lines::{Line, only};
pub(super) use self::lines::{Wrong, lines, wrong};
use super::escape::{escape, unescape};
use super::objects;
use crate::contents::{Contents, Opaque, Register};
use crate::error::StorageError;

/// The most contents inside of each other.
pub(super) const LEVELS_MAX: usize = 32;
/// The most bytes that a text has, each line counted again for all contents it is inside of.
pub(super) const TEXT_BYTES_MAX: usize = 8 << 20;

const BYTES: &[u8] = b"jitsu bytes\n";

/// Why contents have no text.
pub(super) enum NoText {
    /// It would have more bytes than a text may have.
    TooLarge,
    /// They are not as any text says, because their objects do not fit each other, or they are
    /// inside of too many others.
    Unfit,
    Storage(StorageError),
}

/// The way down into contents, and how much may be written of them.
pub(super) struct Writing {
    levels_left: usize,
    bytes_left: usize,
}

/// What a file says that it is.
enum Kind<'a> {
    Counter,
    Register(&'a str, &'a str),
    Set,
    Queue,
    TextRope,
    ByteRope,
    ListRope,
    Map,
    Log,
    Custom(&'a str),
    Objects,
}

/// The file of contents that are one object whatever they hold.
pub(super) fn single(contents: &Contents) -> Option<Cow<'_, [u8]>> {
    Some(match contents {
        Contents::Bytes(bytes) if is_taken(bytes) => [BYTES, &bytes[..]].concat().into(),
        Contents::Bytes(bytes) => Cow::Borrowed(bytes),
        Contents::Counter(count) => format!("jitsu counter\n{count}\n").into_bytes().into(),
        Contents::Register(Register { time_ms, tie_break, value }) => {
            let line = format!("jitsu register {time_ms} {tie_break}\n");
            [line.as_bytes(), value].concat().into()
        }
        Contents::Set(members) => {
            let lines = members.iter().map(|member| escape(member, "") + "\n");
            let text: String = std::iter::once("jitsu set\n".to_owned()).chain(lines).collect();
            text.into_bytes().into()
        }
        Contents::Custom(value) => {
            let (name, bytes) = (escape(value.name().as_bytes(), " "), escape(value.bytes(), ""));
            format!("jitsu custom {name}\n{bytes}\n").into_bytes().into()
        }
        _ => return None,
    })
}

/// The text of contents that may be several objects.
fn several(contents: &Contents, to: &mut Writing) -> Result<Vec<u8>, NoText> {
    match contents {
        Contents::Queue(queue) => queue::write(queue, to),
        Contents::TextRope(rope) => rope::write("jitsu text-rope\n", rope, to),
        Contents::ByteRope(rope) => rope::write("jitsu byte-rope\n", rope, to),
        Contents::ListRope(rope) => list::write(rope, to),
        Contents::Map(map) => map::write(map, to),
        Contents::Log(log) => log::write(log, to),
        _ => Err(NoText::Unfit),
    }
}

impl Writing {
    pub(super) fn new() -> Writing {
        Writing { levels_left: LEVELS_MAX, bytes_left: TEXT_BYTES_MAX }
    }

    /// The file of contents, and as objects if they have no text for another reason than its size.
    pub(super) fn file(&mut self, contents: &Contents) -> Result<Vec<u8>, NoText> {
        let file = match single(contents) {
            Some(file) => file.into_owned(),
            None => match self.below(contents) {
                Ok(text) if self.comes_back(&text, contents) => text,
                Ok(_) | Err(NoText::Unfit) => objects::write(contents)?.into_bytes(),
                Err(error) => return Err(error),
            },
        };
        self.bytes_left = self.bytes_left.checked_sub(file.len()).ok_or(NoText::TooLarge)?;
        Ok(file)
    }

    fn below(&mut self, contents: &Contents) -> Result<Vec<u8>, NoText> {
        self.levels_left = self.levels_left.checked_sub(1).ok_or(NoText::Unfit)?;
        let text = several(contents, self);
        self.levels_left += 1;
        text
    }

    fn comes_back(&self, text: &[u8], contents: &Contents) -> bool {
        read(text, self.levels_left).is_ok_and(|read| read == *contents)
    }

    /// So many items, if there can be room for them: what is in few objects may be more than any
    /// file can hold.
    fn fits(&self, items: u64) -> Result<(), NoText> {
        if items > self.bytes_left as u64 { Err(NoText::TooLarge) } else { Ok(()) }
    }

    /// Contents as a line in what they are inside of.
    fn line(&mut self, contents: &Contents, text: &mut String) -> Result<(), NoText> {
        text.push_str(&escape(&self.file(contents)?, ""));
        text.push('\n');
        Ok(())
    }
}

/// The contents that a file is, as far as that can be told from what it says.
pub(super) fn read(file: &[u8], levels_left: usize) -> Result<Contents, Wrong> {
    if let Some(bytes) = file.strip_prefix(BYTES).filter(|bytes| is_taken(bytes)) {
        return Ok(Contents::bytes(bytes));
    }
    let Some((kind, body)) = kind(file) else { return Ok(Contents::bytes(file)) };
    let number = |text: &str| text.parse().map_err(|_| wrong(1, "numbers belong here"));
    match kind {
        Kind::Counter => {
            let line = only(body, "a counter is one line")?;
            line.text.parse().map(Contents::Counter).map_err(|_| wrong(2, "a counter is a number"))
        }
        Kind::Register(time_ms, tie_break) => Ok(Contents::Register(Register {
            time_ms: number(time_ms)?,
            tie_break: number(tie_break)?,
            value: body.into(),
        })),
        Kind::Set => {
            let mut members: BTreeSet<Arc<[u8]>> = BTreeSet::new();
            for line in lines(body)? {
                let member = line.bytes()?;
                if members.last().is_some_and(|last| **last >= *member) {
                    return Err(wrong(line.number, "a member out of order, or there twice"));
                }
                members.insert(member.into());
            }
            Ok(Contents::Set(members))
        }
        Kind::Custom(name) => {
            let name = unescape(name, " ").and_then(|name| String::from_utf8(name).ok());
            let name = name.ok_or_else(|| wrong(1, "a name of a type is not as it is written"))?;
            let line = only(body, "a value of a type of a user is one line")?;
            Ok(Contents::Custom(Opaque::of(&name, &line.bytes()?)))
        }
        Kind::Objects => objects::read(file),
        _ if levels_left == 0 => {
            Err(wrong(1, format!("more than {LEVELS_MAX} contents inside each other")))
        }
        // It would not be written as one.
        _ if file.len() > TEXT_BYTES_MAX => {
            Err(wrong(1, format!("a text of more than {TEXT_BYTES_MAX} bytes")))
        }
        Kind::Queue => queue::read(body, levels_left - 1),
        Kind::TextRope => rope::read(body).map(Contents::TextRope),
        Kind::ByteRope => rope::read(body).map(Contents::ByteRope),
        Kind::ListRope => list::read(body, levels_left - 1),
        Kind::Map => map::read(body, levels_left - 1),
        Kind::Log => log::read(body, levels_left - 1),
    }
}

/// Whether these bytes as a file would be something else than bytes.
fn is_taken(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(inner) = rest.strip_prefix(BYTES) {
        rest = inner;
    }
    kind(rest).is_some()
}

/// What the first line says, and what follows it. A line end of another system is seen as one, for
/// a file with such must not be taken for bytes.
fn kind(file: &[u8]) -> Option<(Kind<'_>, &[u8])> {
    let said = file.strip_prefix(b"jitsu ")?;
    let end = said.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&said[..end]).ok()?;
    let words: Vec<&str> = line.strip_suffix('\r').unwrap_or(line).split(' ').collect();
    let kind = match words[..] {
        ["counter"] => Kind::Counter,
        ["register", time_ms, tie_break] => Kind::Register(time_ms, tie_break),
        ["set"] => Kind::Set,
        ["queue"] => Kind::Queue,
        ["text-rope"] => Kind::TextRope,
        ["byte-rope"] => Kind::ByteRope,
        ["list-rope"] => Kind::ListRope,
        ["map"] => Kind::Map,
        ["log"] => Kind::Log,
        ["custom", name] => Kind::Custom(name),
        ["objects"] => Kind::Objects,
        _ => return None,
    };
    Some((kind, &said[end + 1..]))
}

impl Line<'_> {
    /// What the line is, without what stands for other characters in it.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Wrong> {
        unescape(self.text, "").ok_or_else(|| self.misspelt())
    }

    fn misspelt(&self) -> Wrong {
        wrong(self.number, "`%` and two digits are not as they are written")
    }

    /// The contents that the line is.
    fn item(&self, levels_left: usize) -> Result<Contents, Wrong> {
        read(&self.bytes()?, levels_left).map_err(|inner| inner.inside(self.number))
    }
}

impl From<StorageError> for NoText {
    fn from(error: StorageError) -> NoText {
        match error {
            // An object that is damaged by itself is met again where all are written.
            StorageError::Corrupt { .. } => NoText::Unfit,
            other => NoText::Storage(other),
        }
    }
}

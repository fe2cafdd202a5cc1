//! Owns the text of a rope of characters or bytes: what is in it, up to the end of the file. Must
//! not know how its tree is kept.

use super::leaves::{self, LEAVES};
use super::lines::{Wrong, utf8};
use super::{NoText, Writing};
use crate::contents::{Chunk, Rope};

/// Items that are bytes of a file as they are.
pub(super) trait Plain: Chunk {
    fn bytes(&self) -> &[u8];

    /// The items that these bytes are, which are in a file from this line on.
    fn of(bytes: &[u8], line: usize) -> Result<Self, Wrong>;

    /// How many bytes the first so many items are; `None` if there are fewer.
    fn bytes_of(bytes: &[u8], items: u64) -> Option<usize>;
}

impl Plain for String {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn of(bytes: &[u8], line: usize) -> Result<String, Wrong> {
        utf8(bytes, line).map(str::to_owned)
    }

    fn bytes_of(bytes: &[u8], items: u64) -> Option<usize> {
        // All bytes of a character but the first one begin with the bits 10.
        let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 != 0x80);
        let mut ends = starts.map(|(at, _)| at).chain([bytes.len()]);
        ends.nth(usize::try_from(items).ok()?)
    }
}

impl Plain for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn of(bytes: &[u8], _: usize) -> Result<Vec<u8>, Wrong> {
        Ok(bytes.to_vec())
    }

    fn bytes_of(bytes: &[u8], items: u64) -> Option<usize> {
        usize::try_from(items).ok().filter(|items| *items <= bytes.len())
    }
}

pub(super) fn write<C: Plain>(
    first: &str,
    rope: &Rope<C>,
    to: &Writing,
) -> Result<Vec<u8>, NoText> {
    to.fits(rope.len())?;
    let mut items = C::default();
    let shape = rope.shape(&mut |leaf| {
        items.append(leaf);
        Ok(())
    })?;
    let mut text = first.as_bytes().to_vec();
    // What begins like the line that says how it is cut must follow one.
    let is_usual = Rope::<C>::of(items.clone()).shape(&mut |_| Ok(()))? == shape;
    if !is_usual || items.bytes().starts_with(LEAVES.as_bytes()) {
        text.extend(leaves::write(&shape).bytes());
        text.push(b'\n');
    }
    text.extend_from_slice(items.bytes());
    Ok(text)
}

pub(super) fn read<C: Plain>(body: &[u8]) -> Result<Rope<C>, Wrong> {
    if !body.starts_with(LEAVES.as_bytes()) {
        return C::of(body, 2).map(Rope::of);
    }
    let end = body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len());
    let shape = leaves::read(2, utf8(&body[..end], 2)?)?;
    let mut rest = body.get(end + 1..).unwrap_or_default();
    C::of(rest, 3)?;
    let rope = Rope::shaped(&shape, &mut |items| {
        let end = items.map_or(Some(rest.len()), |items| C::bytes_of(rest, items))?;
        let (taken, after) = rest.split_at(end);
        rest = after;
        C::of(taken, 3).ok()
    });
    let rope = rope.map_err(|why| leaves::misfit(2, why))?;
    if rest.is_empty() {
        Ok(rope)
    } else {
        Err(leaves::misfit(2, "there is more than in the leaves"))
    }
}

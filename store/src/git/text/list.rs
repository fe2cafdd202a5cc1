//! Owns the text of a rope of contents: a line for each. Must not know how its tree is kept.

use super::leaves::{self, LEAVES};
use super::lines::{Wrong, lines};
use super::{NoText, Writing};
use crate::contents::{Chunk, Contents, ListRope, Rope};

pub(super) fn write(list: &ListRope, to: &mut Writing) -> Result<Vec<u8>, NoText> {
    to.fits(list.len())?;
    let mut items: Vec<Contents> = Vec::new();
    let shape = list.shape(&mut |leaf| {
        items.extend(leaf.items()?);
        Ok(())
    })?;
    let mut text = "jitsu list-rope\n".to_owned();
    if ListRope::of(items.clone()).shape(&mut |_| Ok(()))? != shape {
        text += &leaves::write(&shape);
        text.push('\n');
    }
    for item in &items {
        to.line(item, &mut text)?;
    }
    Ok(text.into_bytes())
}

pub(super) fn read(body: &[u8], levels_left: usize) -> Result<Contents, Wrong> {
    let mut lines = lines(body)?.peekable();
    let said = lines.next_if(|line| line.text.starts_with(LEAVES));
    let items = lines.map(|line| line.item(levels_left));
    let items = items.collect::<Result<Vec<Contents>, Wrong>>()?;
    let Some(said) = said else { return Ok(Contents::ListRope(Rope::of(items))) };
    let shape = leaves::read(said.number, said.text)?;
    let mut rest = items.into_iter();
    let rope = Rope::shaped(&shape, &mut |count| {
        let count = count.map_or(Some(rest.len()), |count| usize::try_from(count).ok())?;
        let taken: Vec<Contents> = rest.by_ref().take(count).collect();
        (taken.len() == count).then(|| taken.into())
    });
    let rope = rope.map_err(|why| leaves::misfit(said.number, why))?;
    if rest.len() == 0 {
        Ok(Contents::ListRope(rope))
    } else {
        Err(leaves::misfit(said.number, "there is more than in the leaves"))
    }
}

//! Owns the text of a map: its keys, with what is at them. Must not know how that is kept.

use super::lines::{Wrong, lines, wrong};
use super::{NoText, Writing};
use crate::contents::{Contents, Map};
use crate::git::escape::{escape, unescape};

pub(super) fn write(map: &Map, to: &mut Writing) -> Result<Vec<u8>, NoText> {
    let mut text = "jitsu map\n".to_owned();
    for entry in map.iter() {
        let (key, contents) = entry?;
        text += &escape(key, "=");
        text.push('=');
        to.line(&contents, &mut text)?;
    }
    Ok(text.into_bytes())
}

pub(super) fn read(body: &[u8], levels_left: usize) -> Result<Contents, Wrong> {
    let mut map = Map::new();
    let mut last: Option<Vec<u8>> = None;
    for mut line in lines(body)? {
        let (key, text) =
            line.text.split_once('=').ok_or_else(|| wrong(line.number, "no `=` after a key"))?;
        let key = unescape(key, "=").ok_or_else(|| line.misspelt())?;
        if last.is_some_and(|last| last >= key) {
            return Err(wrong(line.number, "a key out of order, or there twice"));
        }
        line.text = text;
        map.set(&key, line.item(levels_left)?);
        last = Some(key);
    }
    Ok(Contents::Map(map))
}

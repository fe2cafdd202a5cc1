//! Owns the text of a log: a line for each entry, the oldest first. Must not know how entries are
//! kept.

use super::leaves::{self, LEAVES};
use super::lines::{Wrong, lines, wrong};
use super::{NoText, Writing};
use crate::contents::{Contents, Journal, Layout, Logged};
use crate::error::StorageError;

const TAIL: &str = "% tail";

pub(super) fn write(log: &Journal, to: &mut Writing) -> Result<Vec<u8>, NoText> {
    to.fits(log.len())?;
    let (entries, layout) = log.laid_out()?;
    let is_usual = usual(&entries)?.laid_out()?.1 == layout;
    let mut text = "jitsu log\n".to_owned();
    if !is_usual {
        text += &leaves::write(&layout.shape);
        text.push('\n');
    }
    for (at, entry) in entries.iter().enumerate() {
        if at == layout.below && !is_usual {
            text += &format!("{TAIL}\n");
        }
        text += &format!("{} ", entry.time_ms);
        to.line(&entry.contents, &mut text)?;
    }
    if entries.len() == layout.below && !is_usual {
        text += &format!("{TAIL}\n");
    }
    Ok(text.into_bytes())
}

/// The log to which these were added one by one.
fn usual(entries: &[Logged]) -> Result<Journal, StorageError> {
    let mut log = Journal::new();
    for Logged { time_ms, contents } in entries {
        log.append(*time_ms, contents.clone())?;
    }
    Ok(log)
}

pub(super) fn read(body: &[u8], levels_left: usize) -> Result<Contents, Wrong> {
    let mut lines = lines(body)?.peekable();
    let said = lines.next_if(|line| line.text.starts_with(LEAVES));
    let mut entries: Vec<Logged> = Vec::new();
    let mut below = None;
    for mut line in lines {
        if line.text == TAIL && below.is_none() && said.is_some() {
            below = Some(entries.len());
            continue;
        }
        let parts = line.text.split_once(' ');
        let parts = parts.and_then(|(time, text)| Some((time.parse().ok()?, text)));
        let (time_ms, text) =
            parts.ok_or_else(|| wrong(line.number, "a time in milliseconds belongs here"))?;
        if entries.last().is_some_and(|last| last.time_ms > time_ms) {
            return Err(wrong(line.number, "it is of an earlier time than the line above"));
        }
        line.text = text;
        entries.push(Logged { time_ms, contents: line.item(levels_left)? });
    }
    let Some(said) = said else {
        return Ok(Contents::Log(usual(&entries).expect("BUG: what was just made was loaded")));
    };
    let below = below.ok_or_else(|| leaves::misfit(said.number, "there is no `% tail` below"))?;
    let layout = Layout { shape: leaves::read(said.number, said.text)?, below };
    let log = Journal::of_layout(entries, &layout);
    log.map(Contents::Log).map_err(|why| leaves::misfit(said.number, why))
}

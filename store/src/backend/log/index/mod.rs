//! Owns the index on disk: sorted files, *runs*, that say where the objects of some frames are.
//! Must not know what frames are, nor who has yet to see what.
//!
//! ```text
//!   frames:   1 ─────────────── 5000 ─────── 6000 ── 6400 ── 6500 ─ now
//!   runs:     └──── run 9 ────┘└── run 14 ─┘└ run 15 ┘└ run 16 ┘└ in memory
//! ```
//!
//! Runs follow each other from the first frame on. When enough objects are in memory alone a run
//! is written for them; and runs that together are as large as the one before them are merged with
//! it, so that there are few (O'Neil and others, *The log-structured merge-tree*, 1996).
//!
//! The index is never the truth: a run that is damaged, missing, or not of these segments is made
//! again from them, and a log without any is the same log. A run is durable before anything else
//! is removed for it. But it is a witness, for it is written only of what is durable: segments that
//! end before what a run tells of have lost something.

mod build;
mod page;
mod pages;
mod run;
mod trailer;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

pub(super) use self::build::Job;
pub(super) use self::page::Entry;
pub(super) use self::pages::Pages;
pub(super) use self::run::{Cursor, Run};
pub(super) use self::trailer::{Covered, Trailer};
use super::disk::{self, Disk, failed};
use super::format::Location;
use crate::error::StorageError;
use crate::id::Id;

/// How many runs there must be at least to merge them.
const MERGED_MIN: usize = 4;

/// Why the index could not be read.
pub(super) enum Unread {
    /// The run with this number is damaged.
    Damaged(u32),
    /// The disk refused something.
    Failed(StorageError),
}

impl From<StorageError> for Unread {
    fn from(error: StorageError) -> Unread {
        Unread::Failed(error)
    }
}

fn unread(run: u32, error: io::Error) -> Unread {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => Unread::Damaged(run),
        _ => Unread::Failed(failed("read or write the index", error)),
    }
}

/// The runs that are whole, as far as their ends tell.
pub(super) fn readable(disk: &dyn Disk) -> Result<Vec<Run>, StorageError> {
    let mut readable = Vec::new();
    for number in disk::runs(disk)? {
        match Run::open(disk, number) {
            Ok(run) => readable.extend(run),
            Err(Unread::Damaged(_)) => {}
            Err(Unread::Failed(error)) => return Err(error),
        }
    }
    Ok(readable)
}

/// Up to where segments were flushed, by their numbers, as far as somebody knows.
pub(super) type Flushed = BTreeMap<u32, u64>;

/// What these runs know of that, if they are of the log that has these segments: a run is written
/// only of what is durable.
pub(super) fn flushed(runs: &[Run], present: &BTreeMap<u32, Covered>) -> Flushed {
    let is_there = |covered: &Covered| {
        present.get(&covered.header.number).is_some_and(|there| there.header == covered.header)
    };
    let mut flushed = Flushed::new();
    for run in runs.iter().filter(|run| run.trailer.segments.iter().any(is_there)) {
        for Covered { header, len } in &run.trailer.segments {
            let known = flushed.entry(header.number).or_default();
            *known = (*len).max(*known);
        }
    }
    flushed
}

/// The newest segment, if it was flushed and is not there: nothing removes that.
pub(super) fn lost(flushed: &Flushed, segments: &[u32]) -> Option<u32> {
    let (newest, len) = flushed.last_key_value()?;
    (*len > 0 && segments.last().is_none_or(|last| last < newest)).then_some(*newest)
}

/// Those of these runs that follow each other from the first of these segments on.
pub(super) fn chain(runs: Vec<Run>, present: &BTreeMap<u32, Covered>) -> Vec<Arc<Run>> {
    let mut candidates = runs;
    candidates.retain(|run| is_of(&run.trailer, present));
    let mut chain: Vec<Arc<Run>> = Vec::new();
    let Some(first) = present.values().next() else { return chain };
    let mut next = first.header.first;
    loop {
        // Where the power went between a merged run and the removal of those it is made of, all
        // are there.
        let follows = |run: &&Run| {
            let begins_first = run.trailer.segments[0].header == first.header;
            run.trailer.from == next && (begins_first || !chain.is_empty())
        };
        let widest = candidates.iter().filter(follows).max_by_key(|run| run.trailer.to);
        let Some(number) = widest.map(|run| run.number) else { return chain };
        let at = candidates.iter().position(|run| run.number == number);
        let run = candidates.swap_remove(at.expect("BUG: a run that was just there"));
        next = run.trailer.to;
        chain.push(Arc::new(run));
    }
}

/// Whether a run is of these segments: none but the last goes on behind what it covers.
fn is_of(trailer: &Trailer, present: &BTreeMap<u32, Covered>) -> bool {
    let end = trailer.end();
    let is_there = |covered: &Covered| {
        present.get(&covered.header.number).is_some_and(|there| {
            let is_long_enough =
                if *covered == end { there.len >= covered.len } else { there.len == covered.len };
            there.header == covered.header && is_long_enough
        })
    };
    trailer.segments.iter().all(is_there)
}

/// From which run on all should be merged, if any: those that are together as large as it are
/// enough of them. So each merge of an object doubles the run that it is in, or more.
pub(super) fn merge_from(runs: &[Arc<Run>]) -> Option<usize> {
    let mut behind = 0;
    let mut from = None;
    for (at, run) in runs.iter().enumerate().rev() {
        if run.count() <= behind {
            from = Some(at);
        }
        behind += run.count();
    }
    from.filter(|from| runs.len() - from >= MERGED_MIN)
}

/// Where an object is, and where that is said.
pub(super) struct Spot {
    /// Which of the runs,
    pub(super) run: usize,
    /// and which of its entries.
    pub(super) nth: usize,
    pub(super) location: Location,
}

/// Where an object is: of several places the newest.
pub(super) fn spot(
    runs: &[Arc<Run>],
    disk: &dyn Disk,
    pages: &Pages,
    id: &Id,
) -> Result<Option<Spot>, Unread> {
    for (run, it) in runs.iter().enumerate().rev() {
        if let Some((nth, location)) = it.find(disk, pages, id)? {
            return Ok(Some(Spot { run, nth, location }));
        }
    }
    Ok(None)
}

/// The same, for those who do not ask where it is said.
pub(super) fn find(
    runs: &[Arc<Run>],
    disk: &dyn Disk,
    pages: &Pages,
    id: &Id,
) -> Result<Option<Location>, Unread> {
    Ok(spot(runs, disk, pages, id)?.map(|spot| spot.location))
}

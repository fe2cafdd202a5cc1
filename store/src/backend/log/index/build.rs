//! Owns how a run is written, a step at a time. Must not know when, nor what becomes of it.
//!
//! Pages first, in order; when they are durable the trailer and footer; and only when those are,
//! there is a run.

use std::sync::Arc;

use super::page::{self, Entry, GROUP_ENTRIES, GROUP_PAGES};
use super::run::{Cursor, Run};
use super::trailer::{self, Trailer};
use super::{Unread, unread};
use crate::backend::log::disk::{Disk, LogFile};
use crate::backend::log::format;
use crate::id::Id;

/// After how many bytes they are flushed, so that the last flush is no long one.
const SYNC_BYTES: u64 = 1 << 20;

/// A run being written.
pub(in crate::backend::log) struct Job {
    number: u32,
    salt: u64,
    trailer: Trailer,
    /// The newest first: of one object in several the first counts.
    inputs: Vec<Input>,
    group: Vec<Entry>,
    written: u64,
    synced: u64,
    is_begun: bool,
}

/// Entries in their order.
enum Input {
    Run(Cursor),
    /// Of which so many are taken.
    Sorted(Arc<Vec<Entry>>, usize),
}

impl Job {
    /// Writes sorted entries to a run.
    pub(in crate::backend::log) fn of_sorted(
        number: u32,
        entries: Arc<Vec<Entry>>,
        trailer: Trailer,
    ) -> Job {
        Job::new(number, trailer, vec![Input::Sorted(entries, 0)])
    }

    /// Writes all that these runs hold, which follow each other, to one.
    pub(in crate::backend::log) fn of_runs(number: u32, runs: &[Arc<Run>]) -> Job {
        let trailers: Vec<&Trailer> = runs.iter().map(|run| &run.trailer).collect();
        let inputs = runs.iter().rev().map(|run| Input::Run(Cursor::new(run)));
        Job::new(number, Trailer::of_all(&trailers), inputs.collect())
    }

    fn new(number: u32, trailer: Trailer, inputs: Vec<Input>) -> Job {
        let (group, salt) = (Vec::with_capacity(GROUP_ENTRIES), format::salt());
        Job { number, salt, trailer, inputs, group, written: 0, synced: 0, is_begun: false }
    }

    pub(in crate::backend::log) fn file(&self) -> LogFile {
        LogFile::Run(self.number)
    }

    pub(in crate::backend::log) fn into_trailer(self) -> Trailer {
        self.trailer
    }

    /// Takes this many entries; the run, once it has all and is durable.
    pub(in crate::backend::log) fn advance(
        &mut self,
        disk: &dyn Disk,
        entries: usize,
    ) -> Result<Option<Run>, Unread> {
        if !self.is_begun {
            disk.create(self.file()).map_err(|error| unread(self.number, error))?;
            self.is_begun = true;
        }
        for _ in 0..entries {
            let Some(entry) = self.least(disk)? else { return self.finish(disk).map(Some) };
            self.group.push(entry);
            if self.group.len() == GROUP_ENTRIES {
                self.write_group(disk)?;
            }
        }
        Ok(None)
    }

    /// The least entry of all inputs.
    fn least(&mut self, disk: &dyn Disk) -> Result<Option<Entry>, Unread> {
        let mut least: Option<(usize, Id)> = None;
        for (at, input) in self.inputs.iter_mut().enumerate() {
            if let Some((id, _)) = input.peek(disk)?
                && least.is_none_or(|(_, least)| *id < least)
            {
                least = Some((at, *id));
            }
        }
        let Some((from, id)) = least else { return Ok(None) };
        let entry = self.inputs[from].next(disk)?;
        for older in &mut self.inputs[from + 1..] {
            if older.peek(disk)?.is_some_and(|(other, _)| *other == id) {
                older.next(disk)?;
            }
        }
        Ok(entry)
    }

    fn write_group(&mut self, disk: &dyn Disk) -> Result<(), Unread> {
        let Some((first, _)) = self.group.first() else { return Ok(()) };
        let page = self.trailer.groups.len() * (1 + GROUP_PAGES);
        self.trailer.groups.push(*first);
        self.trailer.count += self.group.len() as u64;
        let pages = page::group(&self.group, self.salt, page as u32);
        self.group.clear();
        self.write(disk, &pages)?;
        if self.written - self.synced >= SYNC_BYTES {
            self.sync(disk)?;
        }
        Ok(())
    }

    fn finish(&mut self, disk: &dyn Disk) -> Result<Run, Unread> {
        self.write_group(disk)?;
        self.sync(disk)?;
        let mut bytes = self.trailer.encode();
        bytes.extend_from_slice(&trailer::footer(self.salt, &bytes));
        self.write(disk, &bytes)?;
        self.sync(disk)?;
        Ok(Run { number: self.number, trailer: self.trailer.clone(), salt: self.salt })
    }

    fn write(&mut self, disk: &dyn Disk, bytes: &[u8]) -> Result<(), Unread> {
        let written = disk.write(self.file(), self.written, bytes);
        written.map_err(|error| unread(self.number, error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self, disk: &dyn Disk) -> Result<(), Unread> {
        disk.sync(self.file()).map_err(|error| unread(self.number, error))?;
        self.synced = self.written;
        Ok(())
    }
}

impl Input {
    fn peek(&mut self, disk: &dyn Disk) -> Result<Option<&Entry>, Unread> {
        match self {
            Input::Run(cursor) => cursor.peek(disk),
            Input::Sorted(entries, taken) => Ok(entries.get(*taken)),
        }
    }

    fn next(&mut self, disk: &dyn Disk) -> Result<Option<Entry>, Unread> {
        match self {
            Input::Run(cursor) => cursor.next(disk),
            Input::Sorted(entries, taken) => {
                *taken += 1;
                Ok(entries.get(*taken - 1).copied())
            }
        }
    }
}

//! Owns a run as it is read: which page an id is in, and all entries in their order. Must not know
//! who wants to know, nor other runs.

use std::sync::Arc;

use super::page::{self, Entry, GROUP_ENTRIES, GROUP_PAGES, PAGE_BYTES, PAGE_ENTRIES, Page};
use super::pages::Pages;
use super::trailer::{self, FOOTER_BYTES, Trailer};
use super::{Unread, unread};
use crate::backend::log::disk::{Disk, LogFile};
use crate::backend::log::format::Location;
use crate::id::Id;

/// A file of entries sorted by id. It never changes.
pub(in crate::backend::log) struct Run {
    pub(in crate::backend::log) number: u32,
    pub(in crate::backend::log) trailer: Trailer,
    pub(super) salt: u64,
}

impl Run {
    pub(super) fn file(&self) -> LogFile {
        LogFile::Run(self.number)
    }

    /// The run in a file; `None` if that does not hold a whole one.
    pub(super) fn open(disk: &dyn Disk, number: u32) -> Result<Option<Run>, Unread> {
        let file = LogFile::Run(number);
        let unread = |error| unread(number, error);
        let len = disk.len(file).map_err(unread)?;
        let Some(footer_at) = len.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
        let mut footer = [0; FOOTER_BYTES];
        disk.read(file, footer_at, &mut footer).map_err(unread)?;
        let Some((salt, trailer_len)) = trailer::parse(&footer) else { return Ok(None) };
        let Some(trailer_at) = footer_at.checked_sub(trailer_len) else { return Ok(None) };
        let mut bytes = vec![0; trailer_len as usize];
        disk.read(file, trailer_at, &mut bytes).map_err(unread)?;
        if trailer::footer(salt, &bytes) != footer {
            return Ok(None);
        }
        let Ok(trailer) = Trailer::decode(&bytes) else { return Ok(None) };
        let run = Run { number, trailer, salt };
        Ok((run.has_all(trailer_at) && run.trailer.from < run.trailer.to).then_some(run))
    }

    /// Whether its pages take as many bytes as there are before its trailer.
    fn has_all(&self, trailer_at: u64) -> bool {
        let Trailer { count, groups, .. } = &self.trailer;
        let pages = count.div_ceil(PAGE_ENTRIES as u64) + groups.len() as u64;
        count.div_ceil(GROUP_ENTRIES as u64) == groups.len() as u64
            && pages * PAGE_BYTES as u64 == trailer_at
            && u32::try_from(pages).is_ok()
    }

    pub(in crate::backend::log) fn count(&self) -> u64 {
        self.trailer.count
    }

    /// Where an object is, and which entry says so.
    pub(super) fn find(
        &self,
        disk: &dyn Disk,
        pages: &Pages,
        id: &Id,
    ) -> Result<Option<(usize, Location)>, Unread> {
        let groups = &self.trailer.groups;
        let Some(group) = groups.partition_point(|first| first <= id).checked_sub(1) else {
            return Ok(None);
        };
        let count = self.count_in(group);
        let which = |head: &Page| page::page_of(head, count.div_ceil(PAGE_ENTRIES), id);
        let Some(at) = pages.look(disk, self, head_of(group), which)? else { return Ok(None) };
        let find =
            |page: &Page| page::find(page, (count - at * PAGE_ENTRIES).min(PAGE_ENTRIES), id);
        let found = pages.look(disk, self, head_of(group) + 1 + at as u32, find)?;
        let before = group * GROUP_ENTRIES + at * PAGE_ENTRIES;
        Ok(found.map(|(nth, location)| (before + nth, location)))
    }

    /// How many entries are in a group.
    fn count_in(&self, group: usize) -> usize {
        let before = group as u64 * GROUP_ENTRIES as u64;
        (self.count() - before).min(GROUP_ENTRIES as u64) as usize
    }

    pub(super) fn read(&self, disk: &dyn Disk, number: u32, into: &mut Page) -> Result<(), Unread> {
        let offset = u64::from(number) * PAGE_BYTES as u64;
        disk.read(self.file(), offset, into).map_err(|error| unread(self.number, error))?;
        if page::is_whole(into, self.salt, number) {
            Ok(())
        } else {
            Err(Unread::Damaged(self.number))
        }
    }

    /// All entries of a group, past the cache.
    fn group(&self, disk: &dyn Disk, group: usize) -> Result<Vec<Entry>, Unread> {
        let count = self.count_in(group);
        let first = head_of(group) + 1;
        let mut bytes = vec![0; count.div_ceil(PAGE_ENTRIES) * PAGE_BYTES];
        let offset = u64::from(first) * PAGE_BYTES as u64;
        disk.read(self.file(), offset, &mut bytes).map_err(|error| unread(self.number, error))?;
        let mut entries = Vec::with_capacity(count);
        for (number, page) in (first..).zip(bytes.as_chunks::<PAGE_BYTES>().0) {
            if !page::is_whole(page, self.salt, number) {
                return Err(Unread::Damaged(self.number));
            }
            entries.extend(page::entries(page, (count - entries.len()).min(PAGE_ENTRIES)));
        }
        Ok(entries)
    }
}

/// The number of the page that is the head of a group.
fn head_of(group: usize) -> u32 {
    (group * (1 + GROUP_PAGES)) as u32
}

/// The entries of a run in their order, a group in memory at a time.
pub(in crate::backend::log) struct Cursor {
    run: Arc<Run>,
    next_group: usize,
    entries: std::vec::IntoIter<Entry>,
}

impl Cursor {
    pub(in crate::backend::log) fn new(run: &Arc<Run>) -> Cursor {
        Cursor { run: run.clone(), next_group: 0, entries: Vec::new().into_iter() }
    }

    /// From the first entry whose id is not less than this one.
    pub(in crate::backend::log) fn from(
        run: &Arc<Run>,
        disk: &dyn Disk,
        id: &Id,
    ) -> Result<Cursor, Unread> {
        let behind = run.trailer.groups.partition_point(|first| first <= id);
        let mut cursor = Cursor::new(run);
        cursor.next_group = behind.saturating_sub(1);
        while cursor.peek(disk)?.is_some_and(|(first, _)| first < id) {
            cursor.entries.next();
        }
        Ok(cursor)
    }

    pub(in crate::backend::log) fn peek(
        &mut self,
        disk: &dyn Disk,
    ) -> Result<Option<&Entry>, Unread> {
        if self.entries.len() == 0 && self.next_group < self.run.trailer.groups.len() {
            self.entries = self.run.group(disk, self.next_group)?.into_iter();
            self.next_group += 1;
        }
        Ok(self.entries.as_slice().first())
    }

    pub(in crate::backend::log) fn next(
        &mut self,
        disk: &dyn Disk,
    ) -> Result<Option<Entry>, Unread> {
        self.peek(disk)?;
        Ok(self.entries.next())
    }
}

//! Owns the upkeep of the index while the log is open: a share of it with each flush, so that none
//! takes long. Must not know the bytes of a run.
//!
//! Nothing here fails a flush: where a run cannot be written its objects stay in memory, and it is
//! tried again later.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::{Disk, LogFile};
use super::format::SegmentHeader;
use super::index::{self, Covered, Entry, Job, Run, Trailer, Unread};
use super::places::Table;
use super::{Found, Heads, Log, LogOptions, PANICKED, Tail, recover};
use crate::error::{Damage, Place, StorageError};
use crate::threads::give_way;

/// How many entries of runs are written for each object that is. Each is written as often as the
/// runs it is in are merged, which is half the binary logarithm of their number at most.
const SHARE: usize = 8;
/// How many entries are merged at a time where somebody may wait: a few milliseconds.
const MERGED_AT_ONCE: usize = 1 << 15;
/// How often a damaged index is made again before that is an error.
const HEALED_MAX: usize = 3;

/// What is being written of the index.
#[derive(Default)]
pub(super) struct Work {
    spill: Option<Job>,
    merge: Option<Merge>,
    /// The number of the next run.
    next: u32,
    /// How many objects there must be in memory to try again what failed.
    retry_at: usize,
    /// Whether runs are to stay as they are.
    pub(super) holds_merges: bool,
}

struct Merge {
    job: Job,
    /// The first of the runs that it merges, and how many they are.
    first: usize,
    count: usize,
}

/// The end of the log that no run covers.
#[derive(Default)]
pub(super) struct Since {
    /// The first of its frames.
    from: u64,
    /// The segments that are full.
    segments: Vec<Covered>,
    pub(super) bytes: u64,
}

impl Since {
    pub(super) fn new(from: u64) -> Since {
        Since { from, ..Since::default() }
    }

    pub(super) fn leave(&mut self, header: SegmentHeader, len: u64) {
        self.segments.push(Covered { header, len });
    }

    /// Takes back what a run was to cover that was not written.
    fn take_back(&mut self, trailer: Trailer, now: u32) {
        let mut segments = trailer.segments;
        let next = self.segments.first().map_or(now, |next| next.header.number);
        segments.pop_if(|last| last.header.number == next);
        segments.append(&mut self.segments);
        *self = Since { from: trailer.from, segments, bytes: self.bytes };
    }
}

impl Tail {
    /// What a run covers that says where all is that no run says yet.
    pub(super) fn cover(&mut self, heads: Heads) -> Trailer {
        let since = std::mem::replace(&mut self.since, Since::new(self.sequence));
        let mut segments = since.segments;
        segments.push(Covered { header: self.header, len: self.len });
        Trailer::new(since.from, self.sequence, segments, heads)
    }

    fn next_run(&mut self) -> u32 {
        self.work.next += 1;
        self.work.next
    }

    pub(super) fn is_run_due(&self, recent: usize, options: &LogOptions) -> bool {
        let is_long = self.since.bytes >= options.segment_bytes;
        recent >= options.unindexed_objects.max(self.work.retry_at).max(1)
            || (is_long && recent > self.work.retry_at)
    }
}

/// In the order of ids.
pub(super) fn sorted(entries: impl Iterator<Item = Entry>) -> Arc<Vec<Entry>> {
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    Arc::new(entries)
}

impl Log {
    /// Does a share of what is to be done after this many objects were written.
    pub(super) fn tend(&self, tail: &mut Tail, written: usize) {
        match self.try_tend(tail, written * SHARE) {
            Ok(()) => {}
            // If that fails, whoever looks into the run is told.
            Err(Unread::Damaged(run)) => drop(self.make_again(tail, run)),
            Err(Unread::Failed(_)) => self.give_up(tail),
        }
    }

    fn try_tend(&self, tail: &mut Tail, share: usize) -> Result<(), Unread> {
        if tail.is_run_due(self.places.objects().recent.len(), &self.options) {
            self.spill(tail, usize::MAX)?;
            self.begin_spill(tail);
        }
        self.spill(tail, share)?;
        self.merge(tail, share)
    }

    fn begin_spill(&self, tail: &mut Tail) {
        let trailer = tail.cover(self.heads().clone());
        let recent = self.places.objects().recent.clone();
        let leaving = sorted(recent.into_iter());
        {
            let mut objects = self.places.objects_mut();
            objects.leaving = Some(leaving.clone());
            objects.recent.clear();
        }
        tail.work.spill = Some(Job::of_sorted(tail.next_run(), leaving, trailer));
    }

    fn spill(&self, tail: &mut Tail, share: usize) -> Result<(), Unread> {
        let Some(job) = &mut tail.work.spill else { return Ok(()) };
        if let Some(run) = job.advance(&*self.disk, share)? {
            tail.work.spill = None;
            tail.work.retry_at = 0;
            let mut table = self.places.table_mut();
            table.now.push(Arc::new(run));
            self.places.objects_mut().leaving = None;
        }
        Ok(())
    }

    fn merge(&self, tail: &mut Tail, share: usize) -> Result<(), Unread> {
        if tail.work.holds_merges {
            return Ok(());
        }
        if tail.work.merge.is_none() {
            let table = self.places.table();
            let Some(first) = index::merge_from(&table.now) else { return Ok(()) };
            let count = table.now.len() - first;
            let job = Job::of_runs(tail.next_run(), &table.now[first..]);
            drop(table);
            tail.work.merge = Some(Merge { job, first, count });
        }
        let Some(Merge { job, first, count }) = &mut tail.work.merge else { return Ok(()) };
        let Some(run) = job.advance(&*self.disk, share)? else { return Ok(()) };
        let merged = *first..*first + *count;
        tail.work.merge = None;
        let merged: Vec<Arc<Run>> =
            self.places.table_mut().now.splice(merged, [Arc::new(run)]).collect();
        for run in merged {
            // If it stays, the next opening removes it.
            drop(self.disk.remove(LogFile::Run(run.number)));
        }
        Ok(())
    }

    /// Merges all runs that are to be, for who is about to look up most of what there is. Where one
    /// cannot be written they stay as they are: the looks only take longer.
    pub(super) fn merge_all(&self) -> Result<(), Unread> {
        loop {
            {
                let mut tail = self.tail.lock().expect(PANICKED);
                if let Err(unread) = self.merge(&mut tail, MERGED_AT_ONCE) {
                    self.drop_merge(&mut tail);
                    return match unread {
                        Unread::Failed(_) => Ok(()),
                        damaged @ Unread::Damaged(_) => Err(damaged),
                    };
                }
                let is_one_due = index::merge_from(&self.places.table().now).is_some();
                if tail.work.merge.is_none() && !is_one_due {
                    return Ok(());
                }
            }
            give_way();
        }
    }

    pub(super) fn drop_merge(&self, tail: &mut Tail) {
        if let Some(Merge { job, .. }) = tail.work.merge.take() {
            // If it stays, the next opening removes it.
            drop(self.disk.remove(job.file()));
        }
    }

    /// Where a collection begins: what a run was written for is old, and will be gone.
    pub(super) fn drop_spill(&self, tail: &mut Tail) {
        if let Some(job) = tail.work.spill.take() {
            drop(self.disk.remove(job.file()));
        }
        tail.since = Since::new(tail.sequence);
    }

    /// Leaves the index as it is, until there is twice as much to write.
    fn give_up(&self, tail: &mut Tail) {
        self.drop_merge(tail);
        let spill = tail.work.spill.take();
        if let Some(job) = &spill {
            drop(self.disk.remove(job.file()));
        }
        let mut objects = self.places.objects_mut();
        if let (Some(spill), Some(leaving)) = (spill, objects.leaving.take()) {
            tail.since.take_back(spill.into_trailer(), tail.header.number);
            for (id, location) in leaving.iter() {
                objects.recent.entry(*id).or_insert(*location);
            }
        }
        tail.work.retry_at = 2 * objects.recent.len();
    }

    /// Looks something up, and makes the index again where it is damaged.
    pub(super) fn healed<T>(
        &self,
        look: impl Fn() -> Result<T, Unread>,
    ) -> Result<T, StorageError> {
        let mut healed = 0;
        loop {
            match look() {
                Ok(found) => return Ok(found),
                Err(Unread::Failed(error)) => return Err(error),
                Err(Unread::Damaged(run)) if healed == HEALED_MAX => {
                    let file = self.disk.name(LogFile::Run(run));
                    let at = Place::File { file, offset: 0 };
                    return Err(StorageError::Corrupt { what: Damage::Index, at });
                }
                Err(Unread::Damaged(run)) => {
                    self.make_again(&mut self.tail.lock().expect(PANICKED), run)?;
                    healed += 1;
                }
            }
        }
    }

    /// Makes a run again that is damaged, and all behind it, from the segments.
    fn make_again(&self, tail: &mut Tail, run: u32) -> Result<(), StorageError> {
        if !self.places.table().runs().any(|it| it.number == run) {
            // Someone else has.
            return Ok(());
        }
        self.reload(tail, Some(run))
    }

    /// Reads again where everything is, as if the log were opened. A collection that is under way
    /// has removed nothing yet, and comes to nothing.
    pub(super) fn reload(&self, tail: &mut Tail, damaged: Option<u32>) -> Result<(), StorageError> {
        let flushed = BTreeMap::from([(tail.header.number, tail.len)]);
        let found = if self.is_read_only {
            recover::look(&*self.disk, false, &flushed)?
        } else {
            recover::recover(&*self.disk, &self.options, &flushed, damaged)?
        };
        let mut table = self.places.table_mut();
        let mut objects = self.places.objects_mut();
        *table = Table { now: found.runs, old: None };
        (objects.recent, objects.leaving) = (found.recent, None);
        *tail = found.tail;
        Ok(())
    }
}

impl Found {
    /// Writes a run at once, if one is due, and merges those that should be.
    pub(super) fn settle(&mut self, disk: &dyn Disk, options: &LogOptions) -> Result<(), Unread> {
        if !self.tail.is_run_due(self.recent.len(), options) {
            return Ok(());
        }
        let leaving = sorted(self.recent.iter().map(|(id, location)| (*id, *location)));
        let trailer = self.tail.cover(self.heads.clone());
        let mut job = Job::of_sorted(self.tail.next_run(), leaving, trailer);
        let Some(run) = complete(disk, &mut job)? else {
            self.tail.since.take_back(job.into_trailer(), self.tail.header.number);
            self.tail.work.retry_at = 2 * self.recent.len();
            return Ok(());
        };
        self.runs.push(run);
        self.recent.clear();
        while let Some(first) = index::merge_from(&self.runs) {
            let mut job = Job::of_runs(self.tail.next_run(), &self.runs[first..]);
            let Some(run) = complete(disk, &mut job)? else { return Ok(()) };
            for run in self.runs.splice(first.., [run]) {
                drop(disk.remove(LogFile::Run(run.number)));
            }
        }
        Ok(())
    }
}

/// Writes a run to its end; `None` if the disk refuses it.
fn complete(disk: &dyn Disk, job: &mut Job) -> Result<Option<Arc<Run>>, Unread> {
    match job.advance(disk, usize::MAX) {
        Ok(run) => Ok(Some(Arc::new(run.expect("BUG: all entries are not all")))),
        Err(Unread::Failed(_)) => {
            drop(disk.remove(job.file()));
            Ok(None)
        }
        Err(damaged) => Err(damaged),
    }
}

impl Work {
    pub(super) fn after(runs: impl Iterator<Item = u32>) -> Work {
        Work { next: runs.max().unwrap_or(0), ..Work::default() }
    }
}

//! Owns the collection of what no branch reaches, while others read and write. Must not know the
//! bytes of the files, nor when it is worth while.
//!
//! ```text
//!   1 2 3          the log; all that branches reach is marked, as far as it goes without a lock
//!   1 2 3 | 4      an epoch begins, with a file of its own: whatever is put goes there
//!   1 2 3 | 4 5    what is marked is written again, behind it
//!   1 2 3 | 4 5*   and all heads once more, and that the log begins at 4
//!       3 | 4 5*   the old files go, the oldest first, each durably before the next
//!           4 5*
//! ```
//!
//! At every moment the files are a log that says the same, as heads are found by reading on: so
//! the power may go anywhere. Where it went behind the star, the next opening removes the rest.
//! What was written in vain the next collection takes away.
//!
//! A tree in memory knows in which epoch its objects were there to stay, and asks again in a later
//! one; what is marked or in the new files is, with all below it. Whoever began to put something
//! in an earlier epoch cannot publish it, and tries again. Those who read have the old files until
//! nobody looks there.

#[cfg(unix)]
use std::path::Path;
use std::sync::{Arc, MutexGuard};

use super::disk::{self, Disk, LogFile, failed};
use super::format::{self, FRAME_HEADER_BYTES, Frame, FrameHeader, Item, SEGMENT_HEADER_BYTES};
use super::format::{OBJECT_AT, SegmentHeader};
use super::group::Outcome;
use super::index::Unread;
use super::kept::Kept;
use super::places::{self, Old};
use super::reach::Amount;
use super::{Log, LogOptions, PANICKED, Tail};
use crate::backend::HeadChange;
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::decode_checked;
use crate::references::references;
use crate::retention::LetGo;

/// How many bytes of objects are written again at a time, while those who publish wait.
const COPIED_BYTES: usize = 1 << 20;
/// How often what was committed meanwhile is marked before that is done while nobody may commit.
const ROUNDS: usize = 3;

/// What a collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// What branches reach.
    pub kept: Amount,
    /// What is gone.
    pub removed: Amount,
}

/// Removes what no branch reaches from the log in this folder, which nobody may have open to
/// write. Damage in what branches reach is an error, and then nothing is removed.
#[cfg(unix)]
pub fn gc(folder: impl AsRef<Path>, options: LogOptions) -> Result<Collected, StorageError> {
    let folder = folder.as_ref();
    // Whoever collects in the wrong folder should not begin a store there.
    drop(super::folder::Folder::open_read_only(folder)?);
    gc_on(Arc::new(super::folder::Folder::open(folder)?), options)
}

/// Removes what no branch reaches from the log on this disk, as [`gc`] does.
pub fn gc_on(disk: Arc<dyn Disk>, options: LogOptions) -> Result<Collected, StorageError> {
    Log::open_on(disk, options)?.collect()
}

impl Log {
    /// Removes what no branch reaches, while others read and write; on the thread that calls it.
    /// Until it ends there must be room for what is kept a second time. Commits that no branch
    /// reaches when it begins are gone for all who still have them in memory: they can be looked
    /// at as far as they were, and not be built upon.
    ///
    /// Damage in what branches reach is an error, and then nothing is removed.
    pub fn collect(&self) -> Result<Collected, StorageError> {
        self.let_go(&LetGo::of(self)?)
    }

    /// The same, and removes the trees of the commits that [`crate::Store::let_go`] found.
    pub fn let_go(&self, let_go: &LetGo) -> Result<Collected, StorageError> {
        self.check_writable()?;
        let _alone = self.collecting.lock().expect(PANICKED);
        self.healed(|| {
            let collected = self.collect_without(let_go);
            self.end_collection(collected.is_ok()).map_err(Unread::Failed).and(collected)
        })
    }

    fn collect_without(&self, let_go: &LetGo) -> Result<Collected, Unread> {
        self.hold_merges()?;
        let runs = self.places.table().now.clone();
        let kept = Kept::none_of(runs);
        let mut marking = Marking { log: self, let_go, kept, amount: Amount::default() };
        for _ in 0..ROUNDS {
            marking.mark()?;
        }
        let mut tail = self.tail();
        marking.mark()?;
        let Marking { kept, amount, .. } = marking;
        if self.places.count() == amount.objects as u64 {
            return Ok(Collected { kept: amount, removed: Amount::default() });
        }
        self.begin_file(&mut tail)?;
        let begin = tail.header.number;
        let old = self.begin_epoch(&mut tail, kept.clone());
        drop(tail);
        let mut copying = Copying {
            log: self,
            old,
            left: kept,
            frame: Frame::default(),
            removed: Amount::default(),
        };
        for segment in disk::segments(&*self.disk)?.into_iter().filter(|it| *it < begin) {
            copying.segment(segment)?;
        }
        copying.rest()?;
        let removed = copying.end(begin)?;
        Ok(Collected { kept: amount, removed })
    }

    /// Leaves the index as it is now, with few runs: what is marked is told by its entries.
    fn hold_merges(&self) -> Result<(), Unread> {
        {
            let mut tail = self.tail();
            if self.places.table().old.is_some() {
                // An earlier collection could not put everything back.
                self.reload(&mut tail, None)?;
            }
        }
        self.merge_all()?;
        let mut tail = self.tail();
        // One may have begun since.
        self.drop_merge(&mut tail);
        tail.work.holds_merges = true;
        Ok(())
    }

    fn end_collection(&self, is_done: bool) -> Result<(), StorageError> {
        let mut tail = self.tail();
        tail.work.holds_merges = false;
        if !is_done && self.places.table().old.is_some() {
            self.reload(&mut tail, None)?;
        }
        Ok(())
    }

    /// From here on what is put goes to new files, and counts only if it is there or is kept.
    fn begin_epoch(&self, tail: &mut Tail, kept: Kept) -> Arc<Old> {
        self.drop_spill(tail);
        let mut table = self.places.table_mut();
        let (recent, unsaved) = self.places.objects_mut().begin_epoch();
        let runs = std::mem::take(&mut table.now);
        let old = Arc::new(Old { runs, recent, unsaved, kept });
        table.old = Some(old.clone());
        tail.work.holds_merges = false;
        old
    }

    /// Writes objects again, and whatever else is in the frame.
    fn write_again(&self, tail: &mut Tail, frame: &mut Frame) -> Result<(), StorageError> {
        self.make_room(tail)?;
        frame.seal(&tail.header, tail.sequence);
        let (file, at) = (tail.header.number, tail.len);
        self.append(tail, frame).or_else(|outcome| self.settled(outcome))?;
        self.places.objects_mut().found(frame, file, at);
        Ok(())
    }

    /// What came of a write that nobody in line asked for.
    fn settled(&self, outcome: Outcome) -> Result<(), StorageError> {
        match outcome {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(error) => Err(error),
            Outcome::Broken(error) => {
                self.group.poison();
                Err(error)
            }
        }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect(PANICKED)
    }
}

/// All that branches reach, while it is found.
struct Marking<'a> {
    log: &'a Log,
    let_go: &'a LetGo,
    kept: Kept,
    amount: Amount,
}

impl Marking<'_> {
    /// Marks what branches reach now and is not marked yet, each object checked.
    fn mark(&mut self) -> Result<(), Unread> {
        let Marking { log, let_go, kept, amount } = self;
        let (disk, places) = (&*log.disk, &log.places);
        let mut line: Vec<Id> = log.heads().values().copied().collect();
        // A commit may have become a head after it was found to be one that needs no tree.
        for head in line.clone() {
            let bytes = places.get(disk, &head)?.ok_or(StorageError::Missing { id: head })?;
            line.extend(decode_checked(&head, &bytes, references)?.first());
        }
        while let Some(id) = line.pop() {
            let added = kept.add(disk, &places.pages, &id)?;
            if !added.is_new {
                continue;
            }
            let bytes = match added.location {
                Some(location) => places::read(disk, &id, location)?,
                None => places.get(disk, &id)?.ok_or(StorageError::Missing { id })?,
            };
            amount.add(bytes.len());
            let is_there = |tree: &Id| places.contains(disk, tree);
            line.extend(let_go.needed(&id, &bytes, is_there)?);
        }
        Ok(())
    }
}

/// What is kept, while it is written again.
struct Copying<'a> {
    log: &'a Log,
    old: Arc<Old>,
    /// What is not written again yet.
    left: Kept,
    frame: Frame,
    removed: Amount,
}

impl Copying<'_> {
    /// Goes through an old segment in the order in which it was written. Behind damage it is left
    /// to [`Copying::rest`].
    fn segment(&mut self, number: u32) -> Result<(), Unread> {
        let file = LogFile::Segment(number);
        let read = |at, len: usize| {
            let mut bytes = vec![0; len];
            let read = self.log.disk.read(file, at, &mut bytes);
            read.map(|()| bytes).map_err(|error| failed("read the store", error))
        };
        let len = self.log.disk.len(file).map_err(|error| failed("read the store", error))?;
        let header = read(0, SEGMENT_HEADER_BYTES)?;
        let Some(Ok(header)) = header.first_chunk().map(SegmentHeader::parse) else {
            return Ok(());
        };
        let mut at = SEGMENT_HEADER_BYTES as u64;
        while at + FRAME_HEADER_BYTES as u64 <= len {
            let frame = FrameHeader::parse(&read(at, FRAME_HEADER_BYTES)?, header.salt);
            let Some(frame) = frame else { return Ok(()) };
            at += FRAME_HEADER_BYTES as u64;
            if at + u64::from(frame.len) > len {
                return Ok(());
            }
            let bytes = read(at, frame.len as usize)?;
            at += u64::from(frame.len);
            let mut next = 0;
            while next < bytes.len() {
                let Ok((item, end)) = format::read_item(&bytes, next) else { break };
                if let Item::Object { id, .. } = item {
                    self.object(&id, &bytes[next + OBJECT_AT..end])?;
                }
                next = end;
            }
        }
        Ok(())
    }

    fn object(&mut self, id: &Id, bytes: &[u8]) -> Result<(), Unread> {
        let (disk, places) = (&*self.log.disk, &self.log.places);
        // A record may say another id than that of what is in it.
        if Id::of(bytes) != *id || !self.left.take(disk, &places.pages, id)? {
            self.removed.add(bytes.len());
            return Ok(());
        }
        // Somebody may have put it again.
        if !places.is_new(disk, id)? {
            self.frame.object(id, bytes);
        }
        if self.frame.object_bytes() >= COPIED_BYTES.min(self.log.options.unsaved_bytes) {
            self.write(&mut self.log.tail())?;
        }
        Ok(())
    }

    /// Looks up what was not come upon.
    fn rest(&mut self) -> Result<(), Unread> {
        let (disk, places) = (&*self.log.disk, &self.log.places);
        for id in self.left.ids(disk)? {
            let bytes = places.get(disk, &id)?.ok_or(StorageError::Missing { id })?;
            self.object(&id, &bytes)?;
            if self.left.has(disk, &places.pages, &id)? {
                return Err(StorageError::Missing { id }.into());
            }
        }
        Ok(())
    }

    fn write(&mut self, tail: &mut Tail) -> Result<(), Unread> {
        self.check_current()?;
        let mut frame = std::mem::take(&mut self.frame);
        self.log.write_again(tail, &mut frame)?;
        self.log.tend(tail, frame.len());
        self.check_current()
    }

    /// Where the index had to be made again all is as it was before the epoch.
    fn check_current(&self) -> Result<(), Unread> {
        let table = self.log.places.table();
        match &table.old {
            Some(old) if Arc::ptr_eq(old, &self.old) => Ok(()),
            _ => Err(Unread::Damaged(0)),
        }
    }

    /// Makes what is written again all that there is, and removes the rest; how much that was.
    fn end(mut self, begin: u32) -> Result<Amount, Unread> {
        let log = self.log;
        let mut tail = log.tail();
        self.check_current()?;
        let heads: Vec<HeadChange> = log
            .heads()
            .iter()
            .map(|(branch, head)| HeadChange {
                branch: branch.clone(),
                old: Some(*head),
                new: Some(*head),
            })
            .collect();
        self.frame.heads(&heads.iter().collect::<Vec<_>>());
        self.frame.begin_at(begin);
        log.write_again(&mut tail, &mut self.frame)?;
        // Waits for those who read in the old files.
        log.places.table_mut().old = None;
        drop(tail);
        let runs = self.old.runs.iter().map(|run| LogFile::Run(run.number));
        let segments = disk::segments(&*log.disk)?.into_iter().filter(|it| *it < begin);
        for file in runs.chain(segments.map(LogFile::Segment)) {
            // Whoever makes the index again meanwhile removes them as well.
            let _tail = log.tail();
            let files =
                log.disk.files().map_err(|error| failed("list the store's files", error))?;
            if files.contains(&file) {
                let removed = log.disk.remove(file);
                removed.map_err(|error| failed("remove an old file", error))?;
            }
        }
        Ok(self.removed)
    }
}

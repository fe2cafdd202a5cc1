//! Owns the collection of what no branch reaches. Must not know the bytes of the files, nor when
//! it is worth while.
//!
//! ```text
//!   1 2 3          the log
//!   1 2 3 | 4 5    all that branches reach is written again, behind it, in files of their own
//!   1 2 3 | 4 5*   and all heads once more: from here on 4 and 5 alone say what 1 to 5 say
//!       3 | 4 5*   the old files go, the oldest first, each durably before the next
//!           4 5*
//! ```
//!
//! At every moment the files are a log that says the same, as heads are found by reading on: so
//! the power may go anywhere. What was written in vain the next collection takes away.
//!
//! It works on a log that nobody has open to write. A tree in memory knows that its objects are
//! stored and does not store them again, so none may outlive what it knows. Those who read have
//! the old files open, and go on.

use std::collections::HashSet;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;

use super::disk::{self, Disk, LogFile, failed};
use super::format::{Frame, Location};
use super::group::Outcome;
use super::stat::Amount;
use super::{Log, LogOptions, PANICKED, Tail, places};
use crate::backend::{Backend, HeadChange};
use crate::error::StorageError;
use crate::id::Id;
use crate::retention::LetGo;

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
    let log = Log::open_on(disk, options)?;
    log.let_go(&LetGo::of(&log)?)
}

type Live = Vec<(Id, Location)>;

impl Log {
    /// Removes what no branch reaches, and the trees that [`crate::Store::let_go`] lets go, from a
    /// log that nobody else writes to.
    pub fn let_go(&self, let_go: &LetGo) -> Result<Collected, StorageError> {
        let live = self.live(let_go)?;
        let mut collected = Collected::default();
        live.iter().for_each(|(_, location)| collected.kept.add(location.len as usize));
        let kept: HashSet<&Id> = live.iter().map(|(id, _)| id).collect();
        let all = self.healed(|| self.places.all(&*self.disk))?;
        for (_, location) in all.iter().filter(|(id, _)| !kept.contains(id)) {
            collected.removed.add(location.len as usize);
        }
        if collected.removed.objects > 0 {
            self.rewrite(&live)?;
        }
        Ok(collected)
    }

    /// All that branches reach, each object checked, in the order of the files.
    fn live(&self, let_go: &LetGo) -> Result<Live, StorageError> {
        let mut line: Vec<Id> = self.heads().values().copied().collect();
        let is_there = |id: &Id| self.contains(id);
        let mut seen = HashSet::new();
        let mut live = Live::new();
        while let Some(id) = line.pop() {
            if !seen.insert(id) {
                continue;
            }
            let location = self.healed(|| self.places.locate(&*self.disk, &id))?;
            let location = location.ok_or(StorageError::Missing { id })?;
            let bytes = places::read(&*self.disk, &id, location)?;
            line.extend(let_go.needed(&id, &bytes, is_there)?);
            live.push((id, location));
        }
        live.sort_by_key(|(_, location)| (location.file, location.offset));
        Ok(live)
    }

    /// Writes these objects and all heads again in new files, and removes the old ones.
    fn rewrite(&self, live: &Live) -> Result<(), StorageError> {
        let mut tail = self.tail.lock().expect(PANICKED);
        let runs = disk::runs(&*self.disk)?.into_iter().map(LogFile::Run);
        let segments = disk::segments(&*self.disk)?.into_iter().map(LogFile::Segment);
        let old: Vec<LogFile> = runs.chain(segments).collect();
        self.begin_file(&mut tail)?;
        let mut frame = Frame::default();
        for (id, location) in live {
            frame.object(id, &places::read(&*self.disk, id, *location)?);
            if frame.object_bytes() >= self.options.unsaved_bytes {
                self.write_again(&mut tail, std::mem::take(&mut frame))?;
            }
        }
        let heads: Vec<HeadChange> = self
            .branches()?
            .into_iter()
            .map(|(branch, head)| HeadChange { branch, old: Some(head), new: Some(head) })
            .collect();
        frame.heads(&heads.iter().collect::<Vec<_>>());
        self.write_again(&mut tail, frame)?;
        for file in old {
            self.disk.remove(file).map_err(|error| failed("remove an old file", error))?;
        }
        Ok(())
    }

    fn write_again(&self, tail: &mut Tail, mut frame: Frame) -> Result<(), StorageError> {
        self.make_room(tail)?;
        frame.seal(&tail.header, tail.sequence);
        match self.append(tail, &frame) {
            Ok(_) => Ok(()),
            Err(Outcome::Refused(error) | Outcome::Broken(error)) => Err(error),
            Err(Outcome::Done(_)) => unreachable!("BUG: an error that is none"),
        }
    }
}

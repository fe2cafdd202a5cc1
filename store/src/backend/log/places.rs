//! Owns where every object is: in memory until its flush, then in a frame that memory knows of,
//! then in one that the index knows of. Must not know when an object goes from one to the next.
//!
//! ```text
//!   put ─▶ unsaved ── flush ─▶ recent ── many ─▶ leaving ── run written ─▶ runs
//! ```
//!
//! While a collection is under way, all that was there before is old: it is found, and counts only
//! if it is kept.

use std::collections::HashSet;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::PANICKED;
use super::disk::{Disk, LogFile, failed};
use super::format::{self, Frame, Location};
use super::index::{self, Cursor, Entry, Pages, Run, Unread};
use super::kept::Kept;
use crate::backend::HeadChange;
use crate::codec::ObjectKind;
use crate::error::{Damage, Place, StorageError};
use crate::id::{Id, IdPrefix};
use crate::id_map::IdMap;

/// Where objects are. Who takes both locks takes that of the table first.
pub(super) struct Places {
    pub(super) pages: Pages,
    /// Held while files are read: whoever has written to it can remove what was replaced, as nobody
    /// looks there any more.
    table: RwLock<Table>,
    objects: RwLock<Objects>,
}

/// What is on disk.
pub(super) struct Table {
    pub(super) now: Vec<Arc<Run>>,
    pub(super) old: Option<Arc<Old>>,
}

/// What was there before the collection that is under way.
pub(super) struct Old {
    pub(super) runs: Vec<Arc<Run>>,
    /// What these do not say.
    pub(super) recent: IdMap<Location>,
    /// What waited for a flush. No head can come to lead to it, so that it needs none.
    pub(super) unsaved: Frame,
    pub(super) kept: Kept,
}

/// Objects that no run tells of.
pub(super) struct Objects {
    /// How many collections have begun, with 1 for none.
    pub(super) epoch: u64,
    /// Those that were flushed since the last run was begun.
    pub(super) recent: IdMap<Location>,
    /// Those for which a run is being written.
    pub(super) leaving: Option<Arc<Vec<Entry>>>,
    /// Those that are being flushed.
    flushing: Option<Arc<Frame>>,
    /// Those that wait for a flush.
    waiting: Frame,
    /// A frame that is empty, for those that wait while this is flushed.
    spare: Frame,
}

impl Places {
    pub(super) fn new(runs: Vec<Arc<Run>>, recent: IdMap<Location>) -> Places {
        let (waiting, spare) = (Frame::default(), Frame::default());
        let objects = Objects { epoch: 1, recent, leaving: None, flushing: None, waiting, spare };
        let table = RwLock::new(Table { now: runs, old: None });
        Places { pages: Pages::new(), table, objects: RwLock::new(objects) }
    }

    pub(super) fn get(&self, disk: &dyn Disk, id: &Id) -> Result<Option<Arc<[u8]>>, Unread> {
        let table = self.table();
        let known = {
            let objects = self.objects();
            if let Some(bytes) = objects.unsaved().find_map(|frame| frame.get(id)) {
                return Ok(Some(bytes.into()));
            }
            objects.flushed(id)
        };
        if known.is_none()
            && let Some(bytes) = table.old.as_ref().and_then(|old| old.unsaved.get(id))
        {
            return Ok(Some(bytes.into()));
        }
        let location = match known {
            Some(location) => Some(location),
            None => table.find(disk, &self.pages, id)?,
        };
        location.map(|at| read(disk, id, at).map_err(Unread::Failed)).transpose()
    }

    /// Whether an object is there to stay.
    pub(super) fn contains(&self, disk: &dyn Disk, id: &Id) -> Result<bool, Unread> {
        let table = self.table();
        Ok(self.objects().has(id) || table.keeps(disk, &self.pages, id)?)
    }

    /// Whether an object was put since the collection began that is under way.
    pub(super) fn is_new(&self, disk: &dyn Disk, id: &Id) -> Result<bool, Unread> {
        let table = self.table();
        Ok(self.objects().has(id) || table.tells(disk, &self.pages, id)?)
    }

    /// Adds an object that is not there to stay, in this epoch only. Whether it is there now.
    pub(super) fn add(
        &self,
        disk: &dyn Disk,
        epoch: Option<u64>,
        id: &Id,
        bytes: &[u8],
    ) -> Result<bool, Unread> {
        let table = self.table();
        // What is found in a later epoch is good for this one.
        if table.keeps(disk, &self.pages, id)? {
            return Ok(true);
        }
        let mut objects = self.objects_mut();
        if objects.has(id) {
            return Ok(true);
        }
        let is_current = epoch.is_none_or(|epoch| epoch == objects.epoch);
        if is_current {
            objects.waiting.object(id, bytes);
        }
        Ok(is_current)
    }

    /// How many objects are flushed; one that is there twice may count twice.
    pub(super) fn count(&self) -> u64 {
        let table = self.table();
        let objects = self.objects();
        let leaving = objects.leaving.as_ref().map_or(0, |leaving| leaving.len());
        table.now.iter().map(|run| run.count()).sum::<u64>()
            + (leaving + objects.recent.len()) as u64
    }

    /// Adds at most `limit` objects whose ids begin so to `found`.
    pub(super) fn with_prefix(
        &self,
        disk: &dyn Disk,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, Unread> {
        let table = self.table();
        let mut found: HashSet<Id> = HashSet::new();
        {
            let objects = self.objects();
            let recent = objects.recent.iter().map(|(id, location)| (id, location.kind));
            let leaving = objects.leaving.iter().flat_map(|it| it.iter());
            let leaving = leaving.map(|(id, location)| (id, location.kind));
            let old = table.old.iter().flat_map(|old| &old.recent);
            let old = old.map(|(id, location)| (id, location.kind));
            let unsaved = table.old.iter().map(|old| &old.unsaved).chain(objects.unsaved());
            let unsaved = unsaved.flat_map(Frame::kinds);
            let in_memory = recent.chain(leaving).chain(old).chain(unsaved);
            let wanted = in_memory.filter(|(id, it)| *it == Some(kind) && prefix.matches(id));
            found.extend(wanted.map(|(id, _)| *id).take(limit));
        }
        for run in table.runs() {
            let mut cursor = Cursor::from(run, disk, &prefix.least())?;
            while found.len() < limit
                && let Some((id, location)) = cursor.next(disk)?
                && prefix.matches(&id)
            {
                if location.kind == Some(kind) {
                    found.insert(id);
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    pub(super) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().expect(PANICKED)
    }

    /// Waits for all who read now.
    pub(super) fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().expect(PANICKED)
    }

    pub(super) fn objects(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read().expect(PANICKED)
    }

    pub(super) fn objects_mut(&self) -> RwLockWriteGuard<'_, Objects> {
        self.objects.write().expect(PANICKED)
    }
}

impl Table {
    pub(super) fn runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.now.iter().chain(self.old.iter().flat_map(|old| &old.runs))
    }

    /// Whether a run has an object that was put since the collection began that is under way.
    fn tells(&self, disk: &dyn Disk, pages: &Pages, id: &Id) -> Result<bool, Unread> {
        Ok(index::find(&self.now, disk, pages, id)?.is_some())
    }

    /// Whether an object is on disk to stay, as far as runs tell.
    fn keeps(&self, disk: &dyn Disk, pages: &Pages, id: &Id) -> Result<bool, Unread> {
        let is_kept = |old: &Arc<Old>| old.kept.has(disk, pages, id);
        Ok(self.tells(disk, pages, id)? || self.old.as_ref().map_or(Ok(false), is_kept)?)
    }

    fn find(&self, disk: &dyn Disk, pages: &Pages, id: &Id) -> Result<Option<Location>, Unread> {
        if let Some(location) = index::find(&self.now, disk, pages, id)? {
            return Ok(Some(location));
        }
        match &self.old {
            Some(old) => match old.recent.get(id) {
                Some(location) => Ok(Some(*location)),
                None => index::find(&old.runs, disk, pages, id),
            },
            None => Ok(None),
        }
    }
}

impl Objects {
    /// Forgets all, which is old from here on: what was flushed, and what was not.
    pub(super) fn begin_epoch(&mut self) -> (IdMap<Location>, Frame) {
        assert!(self.flushing.is_none(), "BUG: a collection begins within a flush");
        self.epoch += 1;
        let mut old = std::mem::take(&mut self.recent);
        for (id, location) in self.leaving.take().iter().flat_map(|it| it.iter()) {
            old.entry(*id).or_insert(*location);
        }
        (old, std::mem::take(&mut self.waiting))
    }

    /// Objects of this frame, which is at this place, are there.
    pub(super) fn found(&mut self, frame: &Frame, file: u32, offset: u64) {
        self.recent.extend(frame.locations(file, offset));
    }

    /// Whether it is here.
    pub(super) fn has(&self, id: &Id) -> bool {
        self.unsaved().any(|frame| frame.has(id)) || self.flushed(id).is_some()
    }

    fn unsaved(&self) -> impl Iterator<Item = &Frame> {
        [&self.waiting].into_iter().chain(self.flushing.as_deref())
    }

    fn flushed(&self, id: &Id) -> Option<Location> {
        if let Some(location) = self.recent.get(id) {
            return Some(*location);
        }
        let leaving = self.leaving.as_ref()?;
        let at = leaving.binary_search_by_key(id, |(id, _)| *id).ok()?;
        Some(leaving[at].1)
    }

    pub(super) fn waiting(&self) -> &Frame {
        &self.waiting
    }

    /// Takes what waits, and these heads, into a frame that is to be flushed.
    pub(super) fn begin_flush(
        &mut self,
        heads: &[&HeadChange],
        seal: impl FnOnce(&mut Frame),
    ) -> Arc<Frame> {
        let spare = std::mem::take(&mut self.spare);
        let mut frame = std::mem::replace(&mut self.waiting, spare);
        frame.heads(heads);
        seal(&mut frame);
        let frame = Arc::new(frame);
        self.flushing = Some(frame.clone());
        frame
    }

    /// The frame that was flushed is at this place.
    pub(super) fn end_flush(&mut self, frame: Arc<Frame>, file: u32, offset: u64) {
        self.flushing = None;
        self.found(&frame, file, offset);
        self.spare = Arc::into_inner(frame).and_then(Frame::emptied).unwrap_or_default();
    }

    /// Its frame is nowhere: what was in it waits again, before what came since.
    pub(super) fn undo_flush(&mut self) {
        let mut waiting = self.flushing.take().expect("BUG: nothing is flushed").as_ref().clone();
        waiting.append(&self.waiting);
        self.waiting = waiting;
    }
}

/// The object at a place, which must be this one.
pub(super) fn read(
    disk: &dyn Disk,
    id: &Id,
    location: Location,
) -> Result<Arc<[u8]>, StorageError> {
    let mut item = vec![0; location.item_len()];
    let (file, offset) = (LogFile::Segment(location.file), u64::from(location.offset));
    disk.read(file, offset, &mut item).map_err(|error| failed("read the store", error))?;
    let damaged = |what| {
        let at = Place::File { file: disk.name(file), offset };
        StorageError::Corrupt { what, at }
    };
    match format::object_of(&item) {
        Some((there, bytes)) if there == *id => Ok(bytes.into()),
        Some(_) => Err(damaged(Damage::Index)),
        None => Err(damaged(Damage::Checksum)),
    }
}

//! Owns where every object is: in memory until its flush, then in a frame that memory knows of,
//! then in one that the index knows of. Must not know when an object goes from one to the next.
//!
//! ```text
//!   put ─▶ unsaved ── flush ─▶ recent ── many ─▶ leaving ── run written ─▶ runs
//! ```

use std::collections::HashSet;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::PANICKED;
use super::disk::{Disk, LogFile, failed};
use super::format::{self, Frame, Location};
use super::index::{self, Cursor, Entry, Pages, Run, Unread};
use crate::backend::HeadChange;
use crate::codec::ObjectKind;
use crate::error::{Damage, Place, StorageError};
use crate::id::{Id, IdPrefix};
use crate::id_map::IdMap;

/// Where objects are. Who takes both locks takes `runs` first.
pub(super) struct Places {
    pages: Pages,
    /// Held while files are read: whoever has written to it can remove what was replaced, as nobody
    /// looks there any more.
    runs: RwLock<Vec<Arc<Run>>>,
    objects: RwLock<Objects>,
}

/// Objects that no run tells of.
#[derive(Default)]
pub(super) struct Objects {
    /// Those that were flushed since the last run was begun.
    pub(super) recent: IdMap<Location>,
    /// Those for which a run is being written.
    pub(super) leaving: Option<Arc<Vec<Entry>>>,
    /// Those that are being flushed.
    flushing: Option<Arc<Frame>>,
    /// Those that wait for a flush.
    waiting: Frame,
}

impl Places {
    pub(super) fn new(runs: Vec<Arc<Run>>, recent: IdMap<Location>) -> Places {
        let objects = Objects { recent, ..Objects::default() };
        Places { pages: Pages::new(), runs: RwLock::new(runs), objects: RwLock::new(objects) }
    }

    pub(super) fn get(&self, disk: &dyn Disk, id: &Id) -> Result<Option<Arc<[u8]>>, Unread> {
        let runs = self.runs();
        let known = {
            let objects = self.objects();
            if let Some(bytes) = objects.unsaved().find_map(|frame| frame.get(id)) {
                return Ok(Some(bytes.into()));
            }
            objects.flushed(id)
        };
        let location = match known {
            Some(location) => Some(location),
            None => index::find(&runs, disk, &self.pages, id)?,
        };
        location.map(|at| read(disk, id, at).map_err(Unread::Failed)).transpose()
    }

    /// Whether an object is there.
    pub(super) fn contains(&self, disk: &dyn Disk, id: &Id) -> Result<bool, Unread> {
        let runs = self.runs();
        Ok(self.objects().has(id) || index::find(&runs, disk, &self.pages, id)?.is_some())
    }

    /// Where an object is in the files.
    pub(super) fn locate(&self, disk: &dyn Disk, id: &Id) -> Result<Option<Location>, Unread> {
        let runs = self.runs();
        let known = self.objects().flushed(id);
        known.map_or_else(|| index::find(&runs, disk, &self.pages, id), |at| Ok(Some(at)))
    }

    /// Adds at most `limit` objects whose ids begin so to `found`.
    pub(super) fn with_prefix(
        &self,
        disk: &dyn Disk,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, Unread> {
        let runs = self.runs();
        let mut found: HashSet<Id> = HashSet::new();
        {
            let objects = self.objects();
            let recent = objects.recent.iter().map(|(id, location)| (id, location.kind));
            let leaving = objects.leaving.iter().flat_map(|it| it.iter());
            let leaving = leaving.map(|(id, location)| (id, location.kind));
            let unsaved = objects.unsaved().flat_map(Frame::kinds);
            let in_memory = recent.chain(leaving).chain(unsaved);
            let wanted = in_memory.filter(|(id, it)| *it == Some(kind) && prefix.matches(id));
            found.extend(wanted.map(|(id, _)| *id).take(limit));
        }
        for run in runs.iter() {
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

    /// All that is flushed, by id.
    pub(super) fn all(&self, disk: &dyn Disk) -> Result<IdMap<Location>, Unread> {
        let runs = self.runs();
        let mut all = IdMap::default();
        for run in runs.iter() {
            let mut cursor = Cursor::new(run);
            while let Some((id, location)) = cursor.next(disk)? {
                all.insert(id, location);
            }
        }
        let objects = self.objects();
        all.extend(objects.leaving.iter().flat_map(|it| it.iter().copied()));
        all.extend(objects.recent.iter().map(|(id, location)| (*id, *location)));
        Ok(all)
    }

    pub(super) fn runs(&self) -> RwLockReadGuard<'_, Vec<Arc<Run>>> {
        self.runs.read().expect(PANICKED)
    }

    /// Waits for all who read now.
    pub(super) fn runs_mut(&self) -> RwLockWriteGuard<'_, Vec<Arc<Run>>> {
        self.runs.write().expect(PANICKED)
    }

    pub(super) fn objects(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read().expect(PANICKED)
    }

    pub(super) fn objects_mut(&self) -> RwLockWriteGuard<'_, Objects> {
        self.objects.write().expect(PANICKED)
    }
}

impl Objects {
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

    pub(super) fn add(&mut self, id: &Id, bytes: &[u8]) {
        self.waiting.object(id, bytes);
    }

    /// Takes what waits, and these heads, into a frame that is to be flushed.
    pub(super) fn begin_flush(
        &mut self,
        heads: &[&HeadChange],
        seal: impl FnOnce(&mut Frame),
    ) -> Arc<Frame> {
        let mut frame = std::mem::take(&mut self.waiting);
        frame.heads(heads);
        seal(&mut frame);
        let frame = Arc::new(frame);
        self.flushing = Some(frame.clone());
        frame
    }

    /// Its frame is at this place.
    pub(super) fn end_flush(&mut self, file: u32, offset: u64) {
        let frame = self.flushing.take().expect("BUG: nothing is flushed");
        self.recent.extend(frame.locations(file, offset));
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

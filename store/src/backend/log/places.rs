//! Owns where every object is: in memory until its flush, then in a frame that memory knows of,
//! then in one that the index knows of. Must not know when an object goes from one to the next.
//!
//! ```text
//!   put ─▶ unsaved ── flush ─▶ recent ── many ─▶ leaving ── run written ─▶ runs
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::PANICKED;
use super::disk::{Disk, LogFile, failed};
use super::format::{self, Location};
use super::index::{self, Cursor, Entry, Pages, Run, Unread};
use crate::codec::ObjectKind;
use crate::error::{Damage, Place, StorageError};
use crate::id::{Id, IdPrefix};

/// Where objects are. Who takes both locks takes `runs` first.
pub(super) struct Places {
    pages: Pages,
    /// Held while files are read: whoever has written to it can remove what was replaced, as nobody
    /// looks there any more.
    runs: RwLock<Vec<Arc<Run>>>,
    objects: RwLock<Objects>,
}

/// What goes into a frame.
pub(super) type Line = Vec<(Id, Arc<[u8]>)>;

/// Objects that no run tells of.
#[derive(Default)]
pub(super) struct Objects {
    /// Those that were flushed since the last run was begun.
    pub(super) recent: HashMap<Id, Location>,
    /// Those for which a run is being written.
    pub(super) leaving: Option<Arc<Vec<Entry>>>,
    /// Those that wait for a flush, or are being flushed.
    unsaved: HashMap<Id, Arc<[u8]>>,
    /// Those that wait for a flush, in the order they were put.
    line: Line,
    line_bytes: usize,
}

impl Places {
    pub(super) fn new(runs: Vec<Arc<Run>>, recent: HashMap<Id, Location>) -> Places {
        let objects = Objects { recent, ..Objects::default() };
        Places { pages: Pages::new(), runs: RwLock::new(runs), objects: RwLock::new(objects) }
    }

    pub(super) fn get(&self, disk: &dyn Disk, id: &Id) -> Result<Option<Arc<[u8]>>, Unread> {
        let runs = self.runs();
        let known = {
            let objects = self.objects();
            if let Some(bytes) = objects.unsaved.get(id) {
                return Ok(Some(bytes.clone()));
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
            let unsaved = objects.unsaved.iter().map(|(id, bytes)| (id, ObjectKind::of(bytes)));
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
    pub(super) fn all(&self, disk: &dyn Disk) -> Result<HashMap<Id, Location>, Unread> {
        let runs = self.runs();
        let mut all = HashMap::new();
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
        self.unsaved.contains_key(id) || self.flushed(id).is_some()
    }

    fn flushed(&self, id: &Id) -> Option<Location> {
        if let Some(location) = self.recent.get(id) {
            return Some(*location);
        }
        let leaving = self.leaving.as_ref()?;
        let at = leaving.binary_search_by_key(id, |(id, _)| *id).ok()?;
        Some(leaving[at].1)
    }

    pub(super) fn line_bytes(&self) -> usize {
        self.line_bytes
    }

    pub(super) fn add(&mut self, id: Id, bytes: &[u8]) {
        let bytes: Arc<[u8]> = bytes.into();
        self.line_bytes += bytes.len();
        self.unsaved.insert(id, bytes.clone());
        self.line.push((id, bytes));
    }

    pub(super) fn take_line(&mut self) -> Line {
        self.line_bytes = 0;
        std::mem::take(&mut self.line)
    }

    /// Puts what could not be saved before what came since.
    pub(super) fn put_back(&mut self, mut line: Line) {
        self.line_bytes += line.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        line.append(&mut self.line);
        self.line = line;
    }

    pub(super) fn flush(&mut self, locations: Vec<Entry>) {
        for (id, location) in locations {
            self.unsaved.remove(&id);
            self.recent.insert(id, location);
        }
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

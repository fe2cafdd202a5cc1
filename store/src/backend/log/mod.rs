//! Owns the backend that appends: what is where, and who may see it. Must not know the bytes
//! (`format`), how the files are read back (`recover`), how flushes are shared (`group`), nor
//! the operating system (`disk`).
//!
//! ```text
//!   put ──▶ unsaved ──┐                      ┌──▶ stored: id → file, offset
//!                     ├──▶ one frame ──▶ disk ┤
//!   set_heads ──▶ queue ┘  write + sync      └──▶ heads, which only now are visible
//! ```
//!
//! A frame is everything that one flush makes durable. The next frame is begun only after the
//! flush of the last one succeeded: so a damaged frame with another one behind it was whole once,
//! and one at the very end may never have been.

mod disk;
#[cfg(unix)]
mod folder;
mod format;
mod group;
mod recover;

use std::collections::{BTreeMap, HashMap};
#[cfg(unix)]
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use self::disk::Disk;
use self::disk::failed;
use self::format::{Frame, Location, SegmentHeader};
use self::group::{Flush, Group, Outcome};
use super::{Backend, HeadChange, check_size};
use crate::codec::ObjectKind;
use crate::error::{Damage, Place, StorageError};
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;

/// How a log is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogOptions {
    /// The size at which a new file is begun.
    pub segment_bytes: u64,
    /// How many bytes of objects may wait in memory for a flush.
    pub unsaved_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { segment_bytes: 64 << 20, unsaved_bytes: 8 << 20 }
    }
}

/// A backend in append-only files. All who publish while a flush is under way share the next one.
///
/// It stays open, and locked for others, as long as a store, tree or commit of it is alive.
pub struct Log {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    objects: RwLock<Objects>,
    heads: RwLock<BTreeMap<BranchName, Id>>,
    group: Group,
    /// Used only by the one who leads a flush.
    tail: Mutex<Tail>,
}

/// Where objects are.
#[derive(Default)]
struct Objects {
    stored: HashMap<Id, Location>,
    /// Those that wait for a flush, or are being flushed.
    unsaved: HashMap<Id, Arc<[u8]>>,
}

/// The end of the log, where the next frame goes.
struct Tail {
    header: SegmentHeader,
    len: u64,
    sequence: u64,
}

/// What is found when a log is opened.
struct Found {
    stored: HashMap<Id, Location>,
    heads: BTreeMap<BranchName, Id>,
    tail: Tail,
}

impl Log {
    /// Opens the log in this folder, or begins one there.
    #[cfg(unix)]
    pub fn open(folder: impl AsRef<Path>, options: LogOptions) -> Result<Log, StorageError> {
        Log::open_on(Arc::new(folder::Folder::open(folder.as_ref())?), options)
    }

    /// Opens the log on this disk, or begins one there. What the last flush did not finish is cut
    /// off; any other damage is an error.
    pub fn open_on(disk: Arc<dyn Disk>, options: LogOptions) -> Result<Log, StorageError> {
        let Found { stored, heads, tail } = recover::recover(&*disk)?;
        Ok(Log {
            disk,
            options,
            objects: RwLock::new(Objects { stored, unsaved: HashMap::new() }),
            heads: RwLock::new(heads),
            group: Group::default(),
            tail: Mutex::new(tail),
        })
    }

    /// Writes and syncs one frame for all who wait, and lets everyone see what is in it.
    fn flush(&self, flush: &Flush) -> Outcome {
        let mut heads = self.heads().clone();
        let moved: Vec<bool> = flush.asked.iter().map(|asked| apply(asked, &mut heads)).collect();
        if !moved.contains(&true) {
            return Outcome::Done { moved, saved: false };
        }
        let changes = flush.asked.iter().zip(&moved).filter(|(_, moved)| **moved);
        let changes: Vec<&HeadChange> = changes.flat_map(|(asked, _)| asked.iter()).collect();
        if changes.is_empty() && flush.unsaved.is_empty() {
            return Outcome::Done { moved, saved: true };
        }
        let mut frame = Frame::new();
        {
            let objects = self.objects();
            for id in flush.unsaved {
                frame.object(id, &objects.unsaved[id]);
            }
        }
        frame.heads(&changes);
        let mut tail = self.tail.lock().expect(PANICKED);
        match self.append(&mut tail, frame) {
            Err(failure) => failure,
            Ok(locations) => {
                let mut objects = self.objects_mut();
                for (id, location) in locations {
                    objects.unsaved.remove(&id);
                    objects.stored.insert(id, location);
                }
                drop(objects);
                *self.heads.write().expect(PANICKED) = heads;
                Outcome::Done { moved, saved: true }
            }
        }
    }

    fn append(&self, tail: &mut Tail, frame: Frame) -> Result<Vec<(Id, Location)>, Outcome> {
        if tail.len >= self.options.segment_bytes {
            let header = SegmentHeader::new(tail.header.number + 1, tail.sequence);
            recover::begin_segment(&*self.disk, &header).map_err(Outcome::Refused)?;
            *tail = Tail { header, len: header.bytes().len() as u64, sequence: tail.sequence };
        }
        let number = tail.header.number;
        let (bytes, locations) = frame.finish(&tail.header, tail.sequence, tail.len);
        if let Err(error) = self.disk.write(number, tail.len, &bytes) {
            let error = failed("append to the store", error);
            // Half a frame must not stay: the next one goes where it began.
            return Err(match self.disk.truncate(number, tail.len) {
                Ok(()) if matches!(error, StorageError::NoSpace) => Outcome::Refused(error),
                Ok(()) | Err(_) => Outcome::Broken(error),
            });
        }
        if let Err(error) = self.disk.sync(number) {
            return Err(Outcome::Broken(failed("flush the store", error)));
        }
        tail.len += bytes.len() as u64;
        tail.sequence += 1;
        Ok(locations)
    }

    fn read(&self, location: Location) -> Result<Arc<[u8]>, StorageError> {
        let mut item = vec![0; location.item_len()];
        let (file, offset) = (location.file, u64::from(location.offset));
        self.disk.read(file, offset, &mut item).map_err(|e| failed("read the store", e))?;
        match format::object_of(&item) {
            Some(bytes) => Ok(bytes.into()),
            None => {
                let at = Place::File { file: self.disk.name(file), offset };
                Err(StorageError::Corrupt { what: Damage::Checksum, at })
            }
        }
    }

    fn objects(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read().expect(PANICKED)
    }

    fn objects_mut(&self) -> RwLockWriteGuard<'_, Objects> {
        self.objects.write().expect(PANICKED)
    }

    fn heads(&self) -> RwLockReadGuard<'_, BTreeMap<BranchName, Id>> {
        self.heads.read().expect(PANICKED)
    }
}

/// Moves all these heads, or none of them: whether all were where they should be.
fn apply(changes: &[HeadChange], heads: &mut BTreeMap<BranchName, Id>) -> bool {
    if changes.iter().any(|change| heads.get(&change.branch) != change.old.as_ref()) {
        return false;
    }
    for HeadChange { branch, new, .. } in changes {
        match new {
            Some(new) => heads.insert(branch.clone(), *new),
            None => heads.remove(branch),
        };
    }
    true
}

impl Backend for Log {
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError> {
        let location = {
            let objects = self.objects();
            if let Some(bytes) = objects.unsaved.get(id) {
                return Ok(Some(bytes.clone()));
            }
            match objects.stored.get(id) {
                Some(location) => *location,
                None => return Ok(None),
            }
        };
        self.read(location).map(Some)
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        check_size(bytes)?;
        if self.group.unsaved_bytes()? >= self.options.unsaved_bytes {
            self.sync()?;
        }
        let mut objects = self.objects_mut();
        if objects.stored.contains_key(id) || objects.unsaved.contains_key(id) {
            return Ok(());
        }
        objects.unsaved.insert(*id, bytes.into());
        // Under the lock still: who finds it unsaved may rely on it being in line.
        self.group.add(*id, bytes.len());
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.set_heads(&[]).map(|_| ())
    }

    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError> {
        Ok(self.heads().get(branch).copied())
    }

    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.group.ask(changes, |flush| self.flush(flush))
    }

    fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        Ok(self.heads().iter().map(|(branch, id)| (branch.clone(), *id)).collect())
    }

    fn ids_with_prefix(
        &self,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError> {
        let objects = self.objects();
        let stored = objects.stored.iter().map(|(id, location)| (id, location.kind));
        let unsaved = objects.unsaved.iter().map(|(id, bytes)| (id, ObjectKind::of(bytes)));
        let of_kind = stored.chain(unsaved).filter(|(_, it)| *it == Some(kind));
        Ok(of_kind.map(|(id, _)| *id).filter(|id| prefix.matches(id)).take(limit).collect())
    }
}

const PANICKED: &str = "BUG: a thread panicked inside the log";

//! Owns the backend that appends: what becomes durable together, and who may see it. Must not know
//! what is where (`places`, and `index` on disk, of which `tend` takes care), the bytes
//! (`format`), how the files are read back (`recover`), how flushes are shared (`group`), the
//! operating system (`disk`), nor how a log that nobody writes is examined (`scan`, `fsck`,
//! `stat`, in the graph that `intact` keeps), repaired and collected (`repair`, `gc`).
//!
//! ```text
//!   put ──▶ unsaved ──┐                      ┌──▶ places: id → file, offset
//!                     ├──▶ one frame ──▶ disk ┤
//!   set_heads ──▶ queue ┘  write + sync      └──▶ heads, which only now are visible
//! ```
//!
//! A frame is everything that one flush makes durable. The next frame is begun only after the
//! flush of the last one succeeded: so a damaged frame with another one behind it was whole once,
//! and one at the very end may never have been.

mod audit;
mod bits;
mod disk;
#[cfg(unix)]
mod folder;
mod format;
mod fsck;
mod gc;
mod graph;
mod group;
mod index;
mod intact;
mod kept;
mod numbers;
mod places;
mod reach;
mod recover;
mod repair;
mod scan;
mod stat;
mod tend;

use std::collections::{BTreeMap, HashMap};
#[cfg(unix)]
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

pub use self::audit::IndexFlaw;
pub(crate) use self::disk::failed;
pub use self::disk::{Disk, LogFile};
use self::format::{Frame, Location, SegmentHeader};
#[cfg(unix)]
pub use self::fsck::fsck;
pub use self::fsck::{Examined, Lost, Report, fsck_on};
#[cfg(unix)]
pub use self::gc::gc;
pub use self::gc::{Collected, gc_on};
use self::group::{Asked, Group, Outcome};
use self::index::{Flushed, Run};
use self::places::Places;
pub use self::reach::{Amount, Reach};
#[cfg(unix)]
pub use self::repair::repair;
pub use self::repair::{Repaired, repair_on};
pub use self::scan::Flaw;
#[cfg(unix)]
pub use self::stat::stat;
pub use self::stat::{Stat, stat_on};
use self::tend::{Since, Work};
use super::{Backend, HeadChange, check_size};
use crate::codec::ObjectKind;
#[cfg(all(unix, feature = "git"))]
use crate::error::Damage;
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::id_map::IdMap;
use crate::name::BranchName;

/// How a log is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogOptions {
    /// The size at which a new file is begun.
    pub segment_bytes: u64,
    /// How many bytes of objects may wait in memory for a flush.
    pub unsaved_bytes: usize,
    /// Of how many objects it is kept in memory alone where they are, before that is written to
    /// the index.
    pub unindexed_objects: usize,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { segment_bytes: 64 << 20, unsaved_bytes: 8 << 20, unindexed_objects: 1 << 16 }
    }
}

/// How often files that look damaged are looked at, where someone may be writing to them.
#[cfg(unix)]
const LOOKS_MAX: usize = 3;

/// A backend in append-only files. All who publish while a flush is under way share the next one.
///
/// It stays open, and locked for others, as long as a store, tree or commit of it is alive.
pub struct Log {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    is_read_only: bool,
    places: Places,
    heads: RwLock<Heads>,
    group: Group,
    /// Used only by the one who leads a flush, and by a collection between flushes.
    tail: Mutex<Tail>,
    /// Held by the one who collects.
    collecting: Mutex<()>,
}

type Heads = BTreeMap<BranchName, Id>;

/// The end of the log, where the next frame goes.
struct Tail {
    header: SegmentHeader,
    len: u64,
    sequence: u64,
    /// What no run covers.
    since: Since,
    work: Work,
}

/// What is found when a log is opened.
struct Found {
    runs: Vec<Arc<Run>>,
    /// What the runs do not say.
    recent: IdMap<Location>,
    heads: Heads,
    /// The segment at which the log begins, if something says so.
    begin: Option<u32>,
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
        let found = recover::recover(&*disk, &options, &Flushed::new(), None)?;
        Ok(Log::new(disk, options, found, false))
    }

    /// Opens the log in this folder as it is now, to be read only, whether or not another process
    /// writes to it. It takes no lock, changes nothing, and does not follow what is written later.
    #[cfg(unix)]
    pub fn open_read_only(folder: impl AsRef<Path>) -> Result<Log, StorageError> {
        let folder = folder.as_ref();
        let mut tries = 0;
        loop {
            tries += 1;
            let disk: Arc<dyn Disk> = Arc::new(folder::Folder::open_read_only(folder)?);
            match Log::open_read_only_on(disk) {
                // A writer whose disk is full takes back half a frame and writes another one in
                // its place: who reads across that sees neither. A collection removes files that
                // were there a moment ago. Real damage is still there.
                Err(StorageError::Corrupt { .. } | StorageError::Io { .. })
                    if tries < LOOKS_MAX => {}
                opened => return opened,
            }
        }
    }

    /// Opens the log on this disk as it is now, to be read only. What the last flush has not
    /// finished is passed over; any other damage is an error.
    pub fn open_read_only_on(disk: Arc<dyn Disk>) -> Result<Log, StorageError> {
        let found = recover::look(&*disk, true, &Flushed::new())?;
        Ok(Log::new(disk, LogOptions::default(), found, true))
    }

    /// Refuses a log that has lost its first files, unless a collection removed them: which cannot
    /// be seen in what is left.
    #[cfg(all(unix, feature = "git"))]
    pub(crate) fn check_uncollected(&self) -> Result<(), StorageError> {
        match disk::segments(&*self.disk)?.first() {
            Some(&recover::FIRST) => Ok(()),
            _ => Err(recover::damaged(&*self.disk, recover::FIRST, 0, Damage::Gap)),
        }
    }

    fn new(disk: Arc<dyn Disk>, options: LogOptions, found: Found, is_read_only: bool) -> Log {
        let Found { runs, recent, heads, tail, .. } = found;
        Log {
            disk,
            options,
            is_read_only,
            places: Places::new(runs, recent),
            heads: RwLock::new(heads),
            group: Group::default(),
            tail: Mutex::new(tail),
            collecting: Mutex::default(),
        }
    }

    fn check_writable(&self) -> Result<(), StorageError> {
        if self.is_read_only { Err(StorageError::ReadOnly) } else { Ok(()) }
    }

    /// Writes and syncs one frame for all who wait, and lets everyone see what is in it.
    fn flush(&self, asked: &[&Asked]) -> Outcome {
        let tail = &mut self.tail.lock().expect(PANICKED);
        let (moved, changes) = self.admit(asked);
        if !moved.contains(&true) {
            return Outcome::Done(moved);
        }
        if changes.is_empty() && self.places.objects().waiting().len() == 0 {
            return Outcome::Done(moved);
        }
        if let Err(error) = self.make_room(tail) {
            return Outcome::Refused(error);
        }
        let seal = |frame: &mut Frame| frame.seal(&tail.header, tail.sequence);
        let frame = self.places.objects_mut().begin_flush(&changes, seal);
        let (file, at) = (tail.header.number, tail.len);
        if let Err(failure) = self.append(tail, &frame) {
            self.places.objects_mut().undo_flush();
            return failure;
        }
        let objects = frame.len();
        self.places.objects_mut().end_flush(frame, file, at);
        self.move_heads(&changes);
        self.tend(tail, objects);
        Outcome::Done(moved)
    }

    fn move_heads(&self, changes: &[&HeadChange]) {
        let mut heads = self.heads.write().expect(PANICKED);
        for HeadChange { branch, new, .. } in changes {
            match new {
                Some(new) => heads.insert(branch.clone(), *new),
                None => heads.remove(branch),
            };
        }
    }

    /// Who of these finds all heads where they should be, after those before moved theirs; and
    /// all that moves.
    fn admit<'a>(&self, asked: &[&'a Asked]) -> (Vec<bool>, Vec<&'a HeadChange>) {
        let (heads, now) = (self.heads(), self.places.objects().epoch);
        let mut news: HashMap<&BranchName, Option<&Id>> = HashMap::new();
        let mut admitted = Vec::new();
        let moved = asked.iter().map(|Asked { changes, epoch }| {
            let is_there = |change: &HeadChange| {
                let now = news.get(&change.branch).copied();
                now.unwrap_or_else(|| heads.get(&change.branch)) == change.old.as_ref()
            };
            let moves = epoch.is_none_or(|epoch| epoch == now) && changes.iter().all(is_there);
            if moves {
                news.extend(changes.iter().map(|change| (&change.branch, change.new.as_ref())));
                admitted.extend(changes);
            }
            moves
        });
        (moved.collect(), admitted)
    }

    /// Begins a file if the last one is full.
    fn make_room(&self, tail: &mut Tail) -> Result<(), StorageError> {
        if tail.len >= self.options.segment_bytes { self.begin_file(tail) } else { Ok(()) }
    }

    /// Writes a frame that is sealed.
    fn append(&self, tail: &mut Tail, frame: &Frame) -> Result<(), Outcome> {
        let file = LogFile::Segment(tail.header.number);
        let bytes = frame.bytes();
        if let Err(error) = self.disk.write(file, tail.len, bytes) {
            let error = failed("append to the store", error);
            // Half a frame must not stay: the next one goes where it began.
            return Err(match self.disk.truncate(file, tail.len) {
                Ok(()) if matches!(error, StorageError::NoSpace) => Outcome::Refused(error),
                Ok(()) | Err(_) => Outcome::Broken(error),
            });
        }
        if let Err(error) = self.disk.sync(file) {
            return Err(Outcome::Broken(failed("flush the store", error)));
        }
        tail.len += bytes.len() as u64;
        tail.since.bytes += bytes.len() as u64;
        tail.sequence += 1;
        Ok(())
    }

    fn begin_file(&self, tail: &mut Tail) -> Result<(), StorageError> {
        let header = SegmentHeader::new(tail.header.number + 1, tail.sequence);
        recover::begin_segment(&*self.disk, &header)?;
        tail.since.leave(tail.header, tail.len);
        (tail.header, tail.len) = (header, header.bytes().len() as u64);
        Ok(())
    }

    /// Puts an object, in this epoch only.
    fn put_when(&self, epoch: Option<u64>, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        check_size(bytes)?;
        self.check_writable()?;
        if self.places.objects().waiting().object_bytes() >= self.options.unsaved_bytes {
            self.sync()?;
        }
        let is_there = self.healed(|| self.places.add(&*self.disk, epoch, id, bytes))?;
        if is_there { Ok(()) } else { Err(StorageError::Outrun) }
    }

    /// Moves heads, in this epoch only.
    fn move_when(&self, epoch: Option<u64>, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.check_writable()?;
        let asked = Asked { changes: changes.to_vec(), epoch };
        self.group.ask(asked, |asked| self.flush(asked))
    }

    fn heads(&self) -> RwLockReadGuard<'_, Heads> {
        self.heads.read().expect(PANICKED)
    }
}

impl Backend for Log {
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError> {
        self.healed(|| self.places.get(&*self.disk, id))
    }

    fn contains(&self, id: &Id) -> Result<bool, StorageError> {
        self.healed(|| self.places.contains(&*self.disk, id))
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.put_when(None, id, bytes)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.set_heads(&[]).map(|_| ())
    }

    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError> {
        Ok(self.heads().get(branch).copied())
    }

    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.move_when(None, changes)
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
        self.healed(|| self.places.with_prefix(&*self.disk, kind, prefix, limit))
    }

    fn epoch(&self) -> u64 {
        self.places.objects().epoch
    }

    fn put_in(&self, epoch: u64, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.put_when(Some(epoch), id, bytes)
    }

    fn set_heads_in(&self, epoch: u64, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.move_when(Some(epoch), changes)
    }
}

const PANICKED: &str = "BUG: a thread panicked inside the log";

#[cfg(all(test, unix))]
mod tests;

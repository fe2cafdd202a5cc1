//! Owns the Git repository on disk: its objects and branches, through `gix`, which only this file
//! names. Must not know what is in them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use gix::lock::acquire::Fail;
use gix::objs::{Exists as _, Find as _, Kind, Write as _};
use gix::refs::transaction::{PreviousValue, RefEdit};

use super::BLOB_BYTES_MAX;
use super::error::{Fault, GitError};
use super::object::{GitId, Type};
use super::packed;

/// How a repository names its objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObjectFormat {
    /// By SHA-1, as most do.
    #[default]
    Sha1,
    /// By SHA-256.
    Sha256,
}

/// An open Git repository.
pub struct Repository {
    inner: gix::Repository,
    read: Cell<u64>,
    written: Cell<u64>,
}

/// A branch to move, by its name below `refs/heads`; `None` where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) branch: String,
    pub(super) old: Option<GitId>,
    pub(super) new: Option<GitId>,
}

/// Branches that nobody else can move, and that are where they should be.
pub(super) struct Locked<'a> {
    repository: &'a Repository,
    transaction: gix::refs::file::Transaction<'a, 'a>,
    /// The folders of the repository in which something changes.
    folders: BTreeSet<PathBuf>,
}

/// How long it is waited for somebody else who moves a branch.
const LOCK_WAIT: Duration = Duration::from_secs(1);

impl Repository {
    /// Opens a repository. Only its own configuration is heard, not that of the user or machine.
    pub fn open(path: impl AsRef<Path>) -> Result<Repository, GitError> {
        let path = path.as_ref();
        let inner = gix::open_opts(path, options()).map_err(|e| failed("open", path, e))?;
        // Where branches are kept in another way they would seem not to be there.
        let storage = inner.config_snapshot().string("extensions.refStorage");
        if let Some(format) = storage.filter(|format| *format != "files") {
            return Err(GitError::Branched { path: path.to_owned(), format: format.to_string() });
        }
        Ok(Repository { inner, read: Cell::new(0), written: Cell::new(0) })
    }

    /// Makes a bare repository in a folder that is empty or not there.
    pub fn create(path: impl AsRef<Path>, format: ObjectFormat) -> Result<Repository, GitError> {
        let path = path.as_ref();
        let object_hash = match format {
            ObjectFormat::Sha1 => None,
            ObjectFormat::Sha256 => Some(gix::hash::Kind::Sha256),
        };
        let options = gix::create::Options { object_hash, ..Default::default() };
        gix::create::into(path, gix::create::Kind::Bare, options)
            .map_err(|e| failed("make a repository in", path, e))?;
        Repository::open(path)
    }

    /// How it names its objects.
    pub fn object_format(&self) -> ObjectFormat {
        match self.inner.object_hash() {
            gix::hash::Kind::Sha256 => ObjectFormat::Sha256,
            _ => ObjectFormat::Sha1,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.inner.common_dir()
    }

    pub(super) fn is_bare(&self) -> bool {
        self.inner.workdir().is_none()
    }

    /// How many objects were read and written.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.read.get(), self.written.get())
    }

    pub(super) fn has(&self, id: &GitId) -> bool {
        self.object_id(id).is_some_and(|id| self.inner.objects.exists(&id))
    }

    /// The bytes of an object, which are those of its id.
    pub(super) fn get(&self, id: &GitId, wanted: Type) -> Result<Vec<u8>, Fault> {
        let there = self.object_id(id).ok_or(Fault::Missing(*id))?;
        let header = self.inner.try_find_header(there).map_err(|_| Fault::Damaged(*id))?;
        let header = header.ok_or(Fault::Missing(*id))?;
        if header.kind() != kind(wanted) {
            return Err(Fault::Malformed(*id));
        }
        if header.size() > BLOB_BYTES_MAX as u64 {
            return Err(Fault::TooLarge { bytes: header.size(), bytes_max: BLOB_BYTES_MAX });
        }
        let found = self.inner.find_object(there).map_err(|_| Fault::Damaged(*id))?.detach();
        self.read.set(self.read.get() + 1);
        match gix::objs::compute_hash(there.kind(), found.kind, &found.data) {
            Ok(hash) if hash == there => Ok(found.data),
            _ => Err(Fault::Damaged(*id)),
        }
    }

    /// Puts an object, unless it is there, all of it: of one that was not flushed when the power
    /// went there may be the name alone. One that is there is as new as if it had been put now, so
    /// that `git prune` leaves it alone until something refers to it.
    pub(super) fn put(&self, what: Type, bytes: &[u8]) -> Result<GitId, GitError> {
        let failed = |error| failed("write to", self.path(), error);
        let hash = self.inner.object_hash();
        let id = gix::objs::compute_hash(hash, kind(what), bytes).map_err(failed)?;
        if !self.is_whole(id, what, bytes) || self.freshen(&id).is_err() {
            self.inner.objects.write_buf_with_known_id(kind(what), bytes, id).map_err(failed)?;
            self.written.set(self.written.get() + 1);
        }
        Ok(git_id(&id))
    }

    fn is_whole(&self, id: gix::ObjectId, what: Type, bytes: &[u8]) -> bool {
        // Of the objects themselves: the repository has an empty tree even where there is none.
        let mut found = Vec::new();
        let found = self.inner.objects.try_find(&id, &mut found);
        found.is_ok_and(|it| it.is_some_and(|it| it.kind == kind(what) && it.data == bytes))
    }

    /// Makes an object new, as Git does, if it has a file of its own.
    fn freshen(&self, id: &gix::oid) -> io::Result<()> {
        let hex = id.to_hex().to_string();
        let (folder, name) = hex.split_at(2);
        let file = fs::File::open(self.path().join("objects").join(folder).join(name))?;
        file.set_modified(SystemTime::now())
    }

    /// Makes all that was written durable, before something refers to it.
    pub(super) fn sync(&self) -> Result<(), GitError> {
        let path = self.path().join("objects");
        let synced = fs::File::open(&path).and_then(|folder| sync_files(&folder));
        synced.map_err(|e| failed("flush", &path, e))
    }

    /// All branches, by their names below `refs/heads`, and what they point at.
    pub(super) fn branches(&self) -> Result<BTreeMap<String, GitId>, GitError> {
        let failed = |error| failed("read the branches of", self.path(), error);
        let references = self.inner.references().map_err(failed)?;
        let mut branches = BTreeMap::new();
        for reference in references.local_branches().map_err(failed)? {
            let mut reference = reference.map_err(failed)?;
            let name = reference.name().shorten().to_string();
            let id = reference.follow_to_object().map_err(failed)?;
            branches.insert(name, git_id(&id));
        }
        Ok(branches)
    }

    /// What a branch points at; `None` if there is no such branch.
    pub(super) fn branch(&self, name: &str) -> Result<Option<GitId>, GitError> {
        let failed = |error| failed("read a branch of", self.path(), error);
        let found = self.inner.try_find_reference(&*reference(name)).map_err(failed)?;
        let Some(mut found) = found else { return Ok(None) };
        Ok(Some(git_id(&found.follow_to_object().map_err(failed)?)))
    }

    /// Moves all these branches or none; none if one is not where it was. They are durable.
    pub(super) fn move_branches(&self, moves: &[Move]) -> Result<(), GitError> {
        self.lock_branches(moves)?.commit()
    }

    /// Locks these branches, as Git does, and sees that each is where it was. What they will point
    /// at is durable in the files that lock them, so that no branch is ever half of a name.
    pub(super) fn lock_branches(&self, moves: &[Move]) -> Result<Locked<'_>, GitError> {
        self.unpack(moves.iter().filter(|it| it.new.is_none()).map(|it| reference(&it.branch)))?;
        let failed = |error| failed("lock branches of", self.path(), error);
        let edits: Vec<RefEdit> = moves.iter().map(|it| self.edit(it)).collect::<Result<_, _>>()?;
        let wait = Fail::AfterDurationWithBackoff(LOCK_WAIT);
        let transaction = self.inner.refs.transaction().prepare(edits, wait, wait);
        let transaction = transaction.map_err(failed)?;
        for Move { branch, .. } in moves {
            match fs::File::open(self.lock_of(&reference(branch))).and_then(|it| it.sync_all()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("flush a branch of", error));
                }
                // One that is there already is not locked by a file.
                _ => {}
            }
        }
        let folders = folders_of(moves.iter().map(|it| reference(&it.branch)));
        Ok(Locked { repository: self, transaction, folders })
    }

    /// Gives these references files of their own, durably, if they are in the one of packed
    /// references: which is written anew if one of them is removed, and not flushed then.
    fn unpack(&self, references: impl Iterator<Item = String>) -> Result<(), GitError> {
        let failed = |error| self.failed("unpack branches of", error);
        let wait = Fail::AfterDurationWithBackoff(LOCK_WAIT);
        let names: Vec<String> = references.collect();
        let is_one = |name: &[u8]| names.iter().any(|it| it.as_bytes() == name);
        let packed = self.path().join("packed-refs");
        let read = || match fs::read(&packed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(failed),
        };
        if packed::take(&read()?, is_one).0.is_empty() {
            return Ok(());
        }
        let lock = gix::lock::File::acquire_to_update_resource(&packed, wait, None, 0);
        let lock = lock.map_err(|error| failed(io::Error::other(error)))?;
        let text = read()?;
        let (taken, rest) = packed::take(&text, is_one);
        for packed::Taken { name, id } in taken {
            let name = String::from_utf8_lossy(name);
            let path = self.path().join(&*name);
            let above = Some(self.path().join("refs"));
            let lock = gix::lock::File::acquire_to_update_resource(&path, wait, above, 0);
            let lock = lock.map_err(|error| failed(io::Error::other(error)))?;
            // What is in a file of its own is newer.
            if !path.is_file() {
                replace(lock, &[id, b"\n"].concat()).map_err(failed)?;
            }
        }
        self.sync_folders(&folders_of(names.iter().cloned()))?;
        replace(lock, &rest).map_err(failed)?;
        self.sync_folders(&BTreeSet::from([PathBuf::new()]))?;
        self.inner.refs.force_refresh_packed_buffer().map_err(|e| failed(io::Error::other(e)))
    }

    /// Makes it durable which files are in these folders of the repository.
    fn sync_folders(&self, folders: &BTreeSet<PathBuf>) -> Result<(), GitError> {
        for folder in folders {
            match fs::File::open(self.path().join(folder)).and_then(|folder| folder.sync_all()) {
                // It went with the last branch in it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                flushed => flushed.map_err(|e| self.failed("flush the branches of", e))?,
            }
        }
        Ok(())
    }

    /// Removes the locks that a process which is no more left behind when it moved these branches,
    /// unless they are of somebody else by now.
    pub(super) fn break_locks(&self, moves: &[Move]) -> Result<(), GitError> {
        for Move { branch, old, new } in moves {
            // One that is removed may have been given a file of its own before.
            let text = new.or(*old).map_or(String::new(), |id| format!("{id}\n"));
            // A crash may leave a part of it, or zeros in its place.
            let is_left = |there: &[u8]| {
                text.as_bytes().starts_with(there) || there.iter().all(|byte| *byte == 0)
            };
            self.break_lock(&reference(branch), is_left)?;
        }
        // The file of packed branches is locked with them, and written anew if one is removed.
        self.break_lock("packed-refs", |_| true)
    }

    /// Removes a lock whose holder seems to be gone, for nothing happens to it.
    fn break_lock(&self, of: &str, is_left: impl Fn(&[u8]) -> bool) -> Result<(), GitError> {
        let path = self.lock_of(of);
        let Ok(before) = fs::read(&path) else { return Ok(()) };
        std::thread::sleep(LOCK_WAIT);
        match fs::read(&path) {
            Ok(after) if after == before && is_left(&after) => fs::remove_file(&path)
                .map_err(|error| failed("remove a lock that was left at", &path, error)),
            _ => Ok(()),
        }
    }

    fn lock_of(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.lock"))
    }

    fn edit(&self, Move { branch, old, new }: &Move) -> Result<RefEdit, GitError> {
        let name = reference(branch).try_into();
        let name = name.map_err(|e| failed("name a branch of", self.path(), e))?;
        let id = |id: &GitId| self.object_id(id).expect("BUG: an id of another format");
        let expected = match old {
            Some(old) => PreviousValue::MustExistAndMatch(id(old).into()),
            None => PreviousValue::MustNotExist,
        };
        Ok(match new {
            Some(new) => RefEdit::update(name, id(new), expected, "jitsu: export"),
            None => RefEdit::delete(name, expected),
        })
    }

    pub(super) fn failed(&self, op: &'static str, cause: io::Error) -> GitError {
        failed(op, self.path(), cause)
    }

    fn object_id(&self, id: &GitId) -> Option<gix::ObjectId> {
        let id = gix::ObjectId::try_from(id.as_bytes()).ok()?;
        (id.kind() == self.inner.object_hash()).then_some(id)
    }
}

impl Locked<'_> {
    /// Moves the branches: one after the other, as Git does.
    pub(super) fn commit(self) -> Result<(), GitError> {
        // Who moved it is in the commits.
        let mut time = gix::date::parse::TimeBuf::default();
        let who = gix::actor::Signature {
            name: "jitsu".into(),
            email: "".into(),
            time: gix::date::Time::new(0, 0),
        };
        let path = self.repository.path();
        self.transaction
            .commit(Some(who.to_ref(&mut time)))
            .map_err(|e| failed("move branches of", path, e))?;
        self.repository.sync_folders(&self.folders)
    }
}

/// The reference that is a branch of this name.
fn reference(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// The folders of a repository that lead to these references.
fn folders_of(references: impl Iterator<Item = String>) -> BTreeSet<PathBuf> {
    let above = |name: String| Path::new(&name).ancestors().skip(1).map(PathBuf::from).collect();
    references.flat_map(|name| -> Vec<PathBuf> { above(name) }).collect()
}

/// Puts these bytes in place of a file that is locked, durably but for its name.
fn replace(mut lock: gix::lock::File, bytes: &[u8]) -> io::Result<()> {
    lock.with_mut(|file| file.write_all(bytes).and_then(|()| file.sync_all()))?;
    lock.commit().map(drop).map_err(|failed| failed.error)
}

fn options() -> gix::open::Options {
    // An object is asked for by its name, so another one in its place is damage.
    gix::open::Options::isolated()
        .with(gix::sec::Trust::Full)
        .config_overrides(["core.useReplaceRefs=false"])
}

fn kind(of: Type) -> Kind {
    match of {
        Type::Commit => Kind::Commit,
        Type::Tree => Kind::Tree,
        Type::Blob => Kind::Blob,
    }
}

fn git_id(id: &gix::oid) -> GitId {
    GitId::from_bytes(id.as_bytes()).expect("BUG: a hash of another length")
}

#[cfg(target_os = "linux")]
fn sync_files(folder: &fs::File) -> io::Result<()> {
    // One flush for all files, of which there is one for each object.
    Ok(nix::unistd::syncfs(folder)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_files(folder: &fs::File) -> io::Result<()> {
    folder.sync_all()
}

fn failed(
    op: &'static str,
    path: &Path,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> GitError {
    GitError::Repository { op, path: PathBuf::from(path), cause: cause.into() }
}

//! Owns the Git repository on disk: its objects and branches, through `gix`, which only this file
//! names. Must not know what is in them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix::objs::{Exists as _, Kind, Write as _};
use gix::refs::transaction::{PreviousValue, RefEdit};

use super::BLOB_BYTES_MAX;
use super::error::{Fault, GitError};
use super::object::{GitId, Type};

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

/// A branch to move, by its name below `refs/heads`.
pub(super) struct Move {
    pub(super) branch: String,
    pub(super) old: Option<GitId>,
    pub(super) new: GitId,
}

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

    /// Puts an object, unless it is there.
    pub(super) fn put(&self, what: Type, bytes: &[u8]) -> Result<GitId, GitError> {
        let failed = |error| failed("write to", self.path(), error);
        let hash = self.inner.object_hash();
        let id = gix::objs::compute_hash(hash, kind(what), bytes).map_err(failed)?;
        if !self.inner.objects.exists(&id) {
            self.inner.objects.write_buf_with_known_id(kind(what), bytes, id).map_err(failed)?;
            self.written.set(self.written.get() + 1);
        }
        Ok(git_id(&id))
    }

    /// Makes all that was written durable, before something refers to it.
    pub(super) fn sync(&self) -> Result<(), GitError> {
        let path = self.path().join("objects");
        let synced = std::fs::File::open(&path).and_then(|folder| sync_files(&folder));
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

    /// Moves all these branches or none; none if one is not where it was.
    pub(super) fn move_branches(&self, moves: &[Move]) -> Result<(), GitError> {
        let mut edits = Vec::new();
        for Move { branch, old, new } in moves {
            let name = format!("refs/heads/{branch}").try_into();
            let name = name.map_err(|e| failed("name a branch of", self.path(), e))?;
            let id = |id: &GitId| self.object_id(id).expect("BUG: an id of another format");
            let expected = match old {
                Some(old) => PreviousValue::MustExistAndMatch(id(old).into()),
                None => PreviousValue::MustNotExist,
            };
            edits.push(RefEdit::update(name, id(new), expected, "jitsu: export"));
        }
        // Who moved it is in the commits.
        let mut time = gix::date::parse::TimeBuf::default();
        let who = gix::actor::Signature {
            name: "jitsu".into(),
            email: "".into(),
            time: gix::date::Time::new(0, 0),
        };
        self.inner
            .edit_references_as(edits, Some(who.to_ref(&mut time)))
            .map_err(|e| failed("move branches of", self.path(), e))?;
        Ok(())
    }

    pub(super) fn failed(&self, op: &'static str, cause: std::io::Error) -> GitError {
        failed(op, self.path(), cause)
    }

    fn object_id(&self, id: &GitId) -> Option<gix::ObjectId> {
        let id = gix::ObjectId::try_from(id.as_bytes()).ok()?;
        (id.kind() == self.inner.object_hash()).then_some(id)
    }
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
fn sync_files(folder: &std::fs::File) -> std::io::Result<()> {
    // One flush for all files, of which there is one for each object.
    Ok(nix::unistd::syncfs(folder)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_files(folder: &std::fs::File) -> std::io::Result<()> {
    folder.sync_all()
}

fn failed(
    op: &'static str,
    path: &Path,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> GitError {
    GitError::Repository { op, path: PathBuf::from(path), cause: cause.into() }
}

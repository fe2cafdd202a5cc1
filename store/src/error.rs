//! Owns the errors of storage, cut where callers branch. Must not know who reports them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::codec::DecodeError;
use crate::id::Id;
use crate::name::BranchName;

/// What a backend could not do. It can be told to everyone who shared a flush, so it is `Clone`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The disk is full. Nothing was changed, and the store goes on working once there is space.
    #[error("no space left for the store")]
    NoSpace,
    /// The operating system refused something.
    #[error("cannot {op}: {cause}")]
    Io {
        /// What was being done.
        op: &'static str,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// A flush failed earlier, so what is on disk is unknown: the store must be opened again.
    #[error("an earlier write to the store failed; open it again")]
    Poisoned,
    /// Something stored is damaged.
    #[error("damaged: {what} at {at}")]
    Corrupt {
        /// What is damaged.
        what: Damage,
        /// Where: a file and offset, or an object.
        at: Place,
    },
    /// Somebody has the store open: another process, or this one.
    #[error("{} is open already{}", path.display(), pid.map(|pid| format!(", in process {pid}")).unwrap_or_default())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process, where it is known.
        pid: Option<u32>,
    },
    /// The folder holds no store.
    #[error("{} holds no store", path.display())]
    NoStore {
        /// The folder.
        path: PathBuf,
    },
    /// What should become a new store has branches already.
    #[error("the place for the new store holds one already")]
    NotEmpty,
    /// The store was opened only to be read.
    #[error("the store was opened only to be read")]
    ReadOnly,
    /// The store was written in a format that this program does not know.
    #[error("the store has format version {found}, this program knows {supported}")]
    Version {
        /// The version found.
        found: u32,
        /// The newest version known here.
        supported: u32,
    },
    /// An object that something else refers to is not there.
    #[error("the object {} is missing", id.short())]
    Missing {
        /// The object.
        id: Id,
    },
    /// A collection began while objects were put: they are to be put again, from the first.
    #[error("a collection of the store began meanwhile; try again")]
    Outrun,
    /// The tree of a commit was let go: see [`crate::Keep`].
    #[error("the tree of the commit {} was let go", commit.short())]
    LetGo {
        /// The commit.
        commit: Id,
    },
    /// An object is larger than the store takes.
    #[error("an object of {bytes} bytes is larger than {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest that is taken.
        bytes_max: usize,
    },
    /// A tree has more levels than the store takes.
    #[error("a tree has more than {levels_max} levels")]
    TooDeep {
        /// The most levels that are taken.
        levels_max: usize,
    },
    /// The Git repository that a store is kept in refused something.
    #[cfg(feature = "git")]
    #[error(transparent)]
    Git(#[from] Arc<crate::git::GitError>),
    /// A fault that a test asked for.
    #[error("a fault asked for by a test")]
    Injected,
}

/// What is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Bytes do not have the checksum written with them.
    #[error("a wrong checksum")]
    Checksum,
    /// Bytes do not hash to the id they were asked by.
    #[error("an object whose bytes are not those of its id")]
    Hash,
    /// Bytes are not the canonical encoding of an object.
    #[error("an object that cannot be decoded ({0})")]
    Decode(#[from] DecodeError),
    /// A file does not begin as a segment does.
    #[error("a file without the header of a store")]
    Header,
    /// A file of the sequence is not there.
    #[error("a gap in the sequence of files")]
    Gap,
    /// A file ends before what was flushed to it.
    #[error("a file whose end is lost")]
    End,
    /// The index says that an object is where it is not, or cannot be made again.
    #[error("an index that is not of this store")]
    Index,
    /// A record is not what must come at this place.
    #[error("a record out of order")]
    Order,
}

/// Where damage is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Place {
    /// An offset in a file.
    #[error("{file}, byte {offset}")]
    File {
        /// The file's name.
        file: String,
        /// The offset in bytes.
        offset: u64,
    },
    /// An object.
    #[error("object {}", .0.short())]
    Object(Id),
}

/// Why a batch was not published. Nothing of it has happened.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Someone else moved this branch since the batch first looked at it.
    #[error("the branch {0} was moved by someone else")]
    Raced(BranchName),
    /// The backend failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why an update did not happen.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError<E> {
    /// The edit itself failed.
    #[error("{0}")]
    Edit(E),
    /// The branch was moved by others at every attempt.
    #[error("the branch {branch} was moved by others {tries} times")]
    Raced {
        /// The branch.
        branch: BranchName,
        /// How often it was tried.
        tries: usize,
    },
    /// The backend failed.
    #[error(transparent)]
    Storage(StorageError),
}

/// Why a merge was not done. Conflicts are not errors: see [`crate::Merged`].
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The branch was moved by others at every attempt.
    #[error("the branch {branch} was moved by others {tries} times")]
    Raced {
        /// The branch.
        branch: BranchName,
        /// How often it was tried.
        tries: usize,
    },
    /// The backend failed, or the commit to merge is not in the store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<UpdateError<StorageError>> for MergeError {
    fn from(error: UpdateError<StorageError>) -> MergeError {
        match error {
            UpdateError::Edit(error) | UpdateError::Storage(error) => MergeError::Storage(error),
            UpdateError::Raced { branch, tries } => MergeError::Raced { branch, tries },
        }
    }
}

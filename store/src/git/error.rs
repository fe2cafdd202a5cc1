//! Owns the errors of the lens. Must not know what was being done.

use std::fmt;
use std::path::PathBuf;

use super::object::GitId;
use crate::error::{StorageError, UpdateError};
use crate::id::Id;
use crate::name::BranchName;

/// Why an export or an import did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The repository could not be opened, read or written.
    #[error("cannot {op} {}: {cause}", path.display())]
    Repository {
        /// What was being done.
        op: &'static str,
        /// The repository, or the file in it.
        path: PathBuf,
        /// What was said.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The repository keeps its branches in another way than as files.
    #[error("{} keeps its branches as {format}, which is not known here; only files are", path.display())]
    Branched {
        /// The repository.
        path: PathBuf,
        /// What its configuration says.
        format: String,
    },
    /// The repository has files checked out, which would not follow a branch that is moved.
    #[error("{} has a work tree; export to a bare repository", .0.display())]
    NotBare(PathBuf),
    /// The repository was exported to by an earlier version, which wrote other files for the same.
    #[error(
        "{} holds an export in the form of an earlier version: export to a new repository",
        .0.display()
    )]
    Earlier(PathBuf),
    /// A commit that was made with Git cannot be one of the store.
    #[error("commit {commit}{}: {fault}", At(path))]
    Import {
        /// The commit.
        commit: GitId,
        /// Where in its tree; empty if it is the commit itself.
        path: String,
        /// What is wrong.
        fault: Fault,
    },
    /// A commit of the store cannot be one of Git.
    #[error("commit {}{}: {fault}", commit.short(), At(path))]
    Export {
        /// The commit.
        commit: Id,
        /// Where in its tree; empty if it is the commit itself.
        path: String,
        /// What is wrong.
        fault: Fault,
    },
    /// A branch of Git is of commits.
    #[error("the branch {branch} would be {}, which is no commit", id.short())]
    Head {
        /// The branch.
        branch: BranchName,
        /// What it would be.
        id: Id,
    },
    /// Git cannot have both branches, because one is a folder where the other is a file.
    #[error("Git cannot have the branches {0} and {1} together; rename one")]
    Branches(String, String),
    /// The branch was moved by others at every attempt.
    #[error("the branch {branch} was moved by others {tries} times")]
    Raced {
        /// The branch.
        branch: BranchName,
        /// How often it was tried.
        tries: usize,
    },
}

impl From<UpdateError<StorageError>> for GitError {
    fn from(error: UpdateError<StorageError>) -> GitError {
        match error {
            UpdateError::Edit(error) | UpdateError::Storage(error) => error.into(),
            UpdateError::Raced { branch, tries } => GitError::Raced { branch, tries },
        }
    }
}

/// What is wrong with a commit, a directory or a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// An object is not in the repository.
    #[error("the object {0} is missing")]
    Missing(GitId),
    /// An object cannot be read, or has not the bytes of its id.
    #[error("the object {0} is damaged")]
    Damaged(GitId),
    /// An object is not a commit, tree or file as Git writes it, or not the one that belongs here.
    #[error("the object {0} is not what Git would write here")]
    Malformed(GitId),
    /// Another repository in place of a file, or `.gitmodules`, which speaks of such.
    #[error("a submodule, which the store cannot hold")]
    Submodule,
    /// A mode that is not that of a file, an executable file, a link or a directory.
    #[error("a file of mode {0:o}, which the store cannot hold")]
    Mode(u32),
    /// A name that cannot be a step.
    #[error("a name that the store cannot hold")]
    Name,
    /// A directory without anything in it.
    #[error("an empty directory, which the store cannot hold")]
    EmptyDirectory,
    /// More directories inside each other than there may be.
    #[error("more than {0} directories inside each other")]
    TooDeep(usize),
    /// A file that is too large.
    #[error("a file of {bytes} bytes, more than {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The largest that is taken.
        bytes_max: usize,
    },
    /// A file that says of what kind of contents it is, and is not written as those are.
    #[error("line {line}: {what}")]
    Text {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// Contents whose file would have lines that Git refuses in `.gitattributes`.
    #[error("contents with lines of more than {0} bytes, which Git refuses in a file of this name")]
    Attributes(usize),
    /// More parents than a commit may have, or one of them twice.
    #[error("more than {0} parents, or one of them twice")]
    Parents(usize),
    /// Fields whose names are kept for what only Git knows, with values that an import never gives
    /// them.
    #[error("a field with a name that is kept for what comes from Git")]
    Reserved,
}

/// A path in a message, if there is one.
struct At<'a>(&'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ", {}", self.0) }
    }
}

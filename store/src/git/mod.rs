//! Owns the lens between a store and a Git repository. Must not know how either is kept.
//!
//! Every commit of the store is one commit of Git, and every commit of Git one of the store: which
//! one follows from the commit alone, so that either side can be made again from the other, with
//! the same ids. [`export`] shows a toolstack's history to `git log --graph`; what is edited,
//! committed, merged and pushed with `git` comes back by [`import`].
//!
//! | store | Git |
//! |---|---|
//! | branch | `refs/heads/…`, with `%2A` for `*` |
//! | directory | tree |
//! | step | name; one that Git refuses, as `.git`, is `%2Egit` |
//! | bytes | the file |
//! | counter, register, set | a file that begins `jitsu counter`, … (see `blob.rs`) |
//! | a set at the step `.git` | which files are executable or links (see `modes.rs`) |
//! | author, time, message, fields | author, date, message, lines at its end (see `words.rs`) |
//!
//! What the store cannot hold is an error that says which commit and path: submodules, empty
//! directories, names that are not UTF-8 or longer than 255 bytes, modes other than the usual four,
//! files of more than 64 MiB, more than 16 parents.
//!
//! A plain file that is exactly what is written for a counter is a counter; one that is nearly so
//! is bytes.

mod blob;
mod error;
mod escape;
mod export;
mod ids;
mod import;
mod modes;
mod names;
mod object;
mod repository;
mod words;

pub use self::error::{Fault, GitError};
pub use self::export::{Exported, Sent, export};
pub use self::import::{Imported, Landed, import};
pub use self::object::GitId;
pub use self::repository::{ObjectFormat, Repository};
use crate::backend::OBJECT_BYTES_MAX;
use crate::path::Step;

/// The largest object of a repository: what contents add to their bytes has room in the rest.
const BLOB_BYTES_MAX: usize = OBJECT_BYTES_MAX - 1024;

/// A path, for people.
fn shown(steps: &[Step]) -> String {
    steps.iter().map(Step::as_str).collect::<Vec<_>>().join("/")
}

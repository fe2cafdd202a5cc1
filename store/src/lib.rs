//! An embedded, branch-consistent store of small structured state, in the spirit of Irmin.
//!
//! Contents are at paths made of steps, in directories, under commits, which branches point at.
//! Everything below a branch is immutable and named by its hash; a branch is moved by
//! compare-and-swap. Branches are merged three-way, each kind of contents in its own manner.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("store");
//! use jitsu_store::{BranchName, Contents, Merged, Meta, Path, Store};
//! let store = Store::open(&folder)?; // or Store::memory()
//! let (main, plan) = (BranchName::new("main")?, BranchName::new("plan")?);
//! let (idle, memory): (Path, Path) = ("www/idle".parse()?, "www/memory".parse()?);
//! // The store asks no clock: who commits says when, in milliseconds since 1970.
//! let by = |author: &str, time_ms| Meta { author: author.into(), time_ms, ..Meta::default() };
//! let (start, ()) = store.update(&main, by("ann", 1), |tree| {
//!     tree.set(&idle, Contents::text("10s"))?;
//!     tree.set(&memory, Contents::text("64"))
//! })?;
//! // A branch begins at any commit.
//! store.transact(|batch| batch.set(&plan, &start))?;
//! store.update(&main, by("ann", 2), |tree| tree.set(&memory, Contents::text("128")))?;
//! let (planned, ()) =
//!     store.update(&plan, by("bob", 3), |tree| tree.set(&idle, Contents::text("1m")))?;
//! // Conflicts are no error: they are told with all three sides, and nothing is changed.
//! match store.merge(&main, &planned, by("ann", 4))? {
//!     Merged::Commit(merged) => assert_eq!(merged.parents().len(), 2),
//!     Merged::Already => println!("nothing new"),
//!     Merged::Conflicts(conflicts) => conflicts.iter().for_each(|it| println!("{it}")),
//! }
//! let tree = store.resolve("main")?.tree();
//! assert_eq!(tree.get(&memory)?, Some(Contents::text("128")));
//! assert_eq!(tree.get(&idle)?, Some(Contents::text("1m")));
//! let changes = store.diff(&store.resolve("main~1")?.tree(), &tree)?;
//! assert_eq!(changes.len(), 1);
//! assert_eq!((&changes[0].path, &changes[0].after), (&idle, &Some(Contents::text("1m"))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Store`]: branches, updates, merges, history, watches. [`Batch`]: several of them at once.
//! - [`Tree`], [`Path`], [`Contents`]: what a commit holds.
//! - [`Queue`], [`Rope`], [`Map`], [`Journal`]: contents that merge by what was done to them, and
//!   [`Custom`], for types of the user's own.
//! - [`backend`]: where it is kept; [`Backend`] is what a new one must do.
//! - [`sync`]: branches from one store to another, and slices of a store. [`Proof`]: what a commit
//!   held, to be seen without the store.
//! - [`Keep`]: letting go of old trees, while the history of who did what stays.
//! - `git` (a feature): the same history in a Git repository, and back; or kept in one.
//! - `stream` (a feature): a [`Watch`] as a stream, for whoever has a runtime.
//!
//! It knows nothing of what is stored in it, asks no clock, starts no thread, and needs no
//! runtime.
//!
//! What it is made of, from the bottom: `codec` and `id` (canonical bytes and their names), `lazy`
//! (objects that are loaded and saved when it must be), `contents`, `tree` (directories as
//! persistent nodes), `commit`, `diff` and `merge` over trees, `history` over commits, `batch` and
//! `store` over branches.

mod batch;
mod cache;
mod codec;
mod commit;
mod contents;
mod diff;
mod error;
mod history;
mod id;
mod id_map;
mod lazy;
mod merge;
mod name;
mod path;
mod proof;
#[cfg(any(test, fuzzing))]
mod recode;
mod references;
mod retention;
mod revision;
#[cfg(all(test, shuttle))]
mod schedules;
mod store;
#[cfg(all(test, not(shuttle)))]
mod tests;
mod threads;
mod tree;
mod watch;

pub mod backend;
#[cfg(feature = "git")]
pub mod git;
pub mod sync;

pub use self::backend::{Backend, HeadChange};
pub use self::batch::{Batch, Forward, Merged};
pub use self::codec::{DecodeError, ObjectKind};
pub use self::commit::{Commit, CommitRef, Meta, PARENTS_MAX};
pub use self::contents::{
    ByteRope, Chunk, Contents, Count, Custom, Elements, Items, Journal, List, ListRope, Logged,
    Map, Mergeable, Opaque, Queue, Register, Rope, RopeError, TextRope, Why,
};
pub use self::diff::Change;
pub use self::error::{Damage, MergeError, Place, PublishError, StorageError, UpdateError};
pub use self::history::Log;
pub use self::id::{Id, IdError, IdPrefix};
pub use self::merge::{Conflict, Side};
pub use self::name::{BRANCH_BYTES_MAX, BranchName, NameError, NameFault};
pub use self::path::{PATH_STEPS_MAX, Path, STEP_BYTES_MAX, Step};
pub use self::proof::{Proof, ProofError, Proven};
#[cfg(any(test, fuzzing))]
pub use self::recode::recode;
pub use self::references::references;
pub use self::retention::{Keep, LetGo, RETENTION};
pub use self::revision::{BACK_MAX, DIGITS_MIN, RevisionError};
pub use self::store::{FOUND_MAX, Store, TRIES_MAX};
pub use self::tree::{Entries, Kind, Tree, TreeError};
#[cfg(feature = "stream")]
pub use self::watch::WatchStream;
pub use self::watch::{HeadMoved, Watch};

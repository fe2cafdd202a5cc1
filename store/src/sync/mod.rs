//! Owns how a branch of one store comes to another: what they say to each other, and what each
//! does about it. Must not know what carries the messages, nor how either store is kept.
//!
//! ```text
//!   fetch:  Want ─▶   ◀─ Offer   Has ─▶   ◀─ Offer …   ◀─ Slice   Taken ─▶ …   ◀─ Head
//!   push:   Give ─▶   ◀─ Taken   Offer ─▶   ◀─ Has …   Slice ─▶   ◀─ Taken …   Head ─▶   ◀─ Moved
//! ```
//!
//! The side that sends offers ids and is told which are there: first of commits, backwards from
//! the head, then of what their trees are made of, from the top. Whatever is there has everything
//! below it there, so that nothing below it is asked about, and the cost follows the difference.
//! What is lacking goes over with everything before what refers to it, the oldest commit first:
//! so a transfer may end anywhere, and the next one goes on where it ended. Who wants the newest
//! trees alone is offered those of all of its newest commits, and of the others none.
//!
//! Two stores in one process; [`Stream`] and [`serve`] carry the same over a pipe or a socket:
//!
//! ```
//! use jitsu_store::sync::{Pulled, Pushed, Server};
//! use jitsu_store::{BranchName, Contents, Meta, Store};
//! let (ours, theirs) = (Store::memory(), Store::memory());
//! let mut peer = Server::new(&theirs);
//! let (main, path) = (BranchName::new("main")?, "greeting".parse()?);
//! let write = |store: &Store, text: &str| {
//!     store.update(&main, Meta::default(), |tree| tree.set(&path, Contents::text(text)))
//! };
//! write(&theirs, "hello")?;
//! // The meta is that of the merge, if it takes one.
//! let came = ours.pull(&mut peer, &main, &Meta::default())?;
//! assert!(matches!(came, Pulled::Forward(_)));
//! write(&ours, "good evening")?;
//! assert_eq!(ours.push(&mut peer, &main)?, Pushed::Moved);
//! let tree = theirs.resolve("main")?.tree();
//! assert_eq!(tree.get(&path)?, Some(Contents::text("good evening")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod lacking;
mod message;
mod receiver;
mod sender;
mod server;
mod slice;
mod stream;

use crate::Commit;
use crate::codec::DecodeError;
use crate::error::{StorageError, UpdateError};
use crate::id::Id;
use crate::merge::Conflict;
use crate::name::BranchName;

pub use self::client::branches;
pub use self::message::{MESSAGE_BYTES_MAX, Message, Moved};
pub use self::server::Server;
pub use self::slice::{Imported, SliceError};
pub use self::stream::{Stream, serve};

/// The store at the other end.
pub trait Peer {
    /// Says something, and gives what is answered.
    fn call(&mut self, message: Message) -> Result<Message, SyncError>;
}

/// What came of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The branch of the other store is where ours is now.
    Moved,
    /// It was there before.
    Already,
    /// It has commits that ours has not, the last of which is this one, and was not moved: they
    /// must be pulled first.
    Behind(Id),
}

/// What came of a pull.
#[derive(Clone, Debug)]
pub enum Pulled {
    /// The other store has no such branch.
    NoBranch,
    /// There was nothing new.
    Already,
    /// The branch was moved on to this commit of the other store.
    Forward(Commit),
    /// Both had something new, and this commit merges it.
    Merged(Commit),
    /// Where the two cannot be merged. The branch was not moved.
    Conflicts(Vec<Conflict>),
}

/// Why stores could not be synchronised. What came before is kept, and no branch was moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// A backend failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The branch was moved by others at every attempt.
    #[error("the branch {branch} was moved by others {tries} times")]
    Raced {
        /// The branch.
        branch: BranchName,
        /// How often it was tried.
        tries: usize,
    },
    /// There is no such branch to be pushed.
    #[error("there is no branch {0}")]
    NoBranch(BranchName),
    /// An object that came is refused.
    #[error("the object {id} is refused: {fault}")]
    Object {
        /// What it hashes to.
        id: Id,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Commits that lack their trees were pushed.
    #[error("commits whose trees were let go can be fetched, not pushed")]
    Thinned,
    /// A message that cannot come at this point.
    #[error("{0} is no answer to what was said")]
    Unexpected(&'static str),
    /// A message that could not be read.
    #[error("a message that cannot be read: {0}")]
    Message(DecodeError),
    /// The other store says what went wrong there.
    #[error("the other store says: {0}")]
    Told(String),
    /// What carries the messages failed.
    #[error("the other store cannot be reached: {0}")]
    Peer(Box<dyn std::error::Error + Send + Sync>),
}

impl From<DecodeError> for SyncError {
    fn from(error: DecodeError) -> SyncError {
        SyncError::Message(error)
    }
}

impl From<UpdateError<StorageError>> for SyncError {
    fn from(error: UpdateError<StorageError>) -> SyncError {
        match error {
            UpdateError::Edit(error) | UpdateError::Storage(error) => SyncError::Storage(error),
            UpdateError::Raced { branch, tries } => SyncError::Raced { branch, tries },
        }
    }
}

/// What is wrong with an object that came from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It was not asked for.
    #[error("it was not asked for")]
    Unasked,
    /// It is larger than the store takes, in bytes.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// Its bytes are not those of an object.
    #[error(transparent)]
    Decode(DecodeError),
    /// It came before something that it refers to.
    #[error("it refers to {}, which is not there", .0.short())]
    Refers(Id),
    /// It refers to something that is not of the kind it must be.
    #[error("it refers to {}, which is something else than it must be", .0.short())]
    Kind(Id),
    /// A commit says another generation than its parents give, which is this one.
    #[error("its generation is not {0}")]
    Generation(u64),
    /// It is said to be there now, and is not.
    #[error("it did not come")]
    Missing,
    /// More than so many objects are awaited.
    #[error("more than {0} objects are offered")]
    TooMany(usize),
}

//! Owns the lens between a store and a Git repository. Must not know how either is kept.
//!
//! Every commit of the store is one commit of Git, and every commit of Git one of the store: which
//! one follows from the commit alone, so that either side can be made again from the other, with
//! the same ids. [`export()`] shows a toolstack's history to `git log --graph`; what is edited,
//! committed, merged and pushed with `git` comes back by [`import()`]. A [`GitBackend`] is a store
//! whose branches are those of a repository.
//!
//! | store | Git |
//! |---|---|
//! | branch | `refs/heads/…`, with `%2A` for `*` |
//! | directory | tree |
//! | step | name; one that Git refuses, as `.git`, is `%2Egit` |
//! | bytes | the file |
//! | other contents | a file that says what it is |
//! | a set at the step `.git` | which files there are executable (`100755 name`) or links (`120000 name`) |
//! | author `Ann <ann@x>` | the same; of any other form: a name without an address, `uid 7 <>` |
//! | time | the date, in seconds of UTC; a part of a second: a line `Jitsu-Milliseconds: 250` |
//! | message | the message, with a line end |
//! | each field | a line `Jitsu-Field: name=value` at the end of the message |
//! | fields `git.author`, `git.committer`, `git.headers`, `git.message` | what only Git says, as it is there |
//!
//! # Files
//!
//! ```text
//!   jitsu counter       jitsu register 1700000000123 7     jitsu set
//!   42                  the value, to the end of the file   a member
//!                                                           another member
//! ```
//!
//! The numbers of a register are its time in milliseconds and its tie-break. A member of a set is
//! a line, in which `%`, control characters, spaces at its ends and what is not UTF-8 are written
//! as `%` and two digits; the lines are sorted as the members are.
//!
//! A file with one of these first lines is of that kind, and must be exactly what is written for
//! it, to the last line end: what is wrong is an error that says in which file and line. So a person
//! may edit it with any editor, and it is another value of the same kind. Any other file is bytes.
//! Bytes that would pass for another kind follow a line `jitsu bytes`.
//!
//! ## Contents of several objects
//!
//! ```text
//!   jitsu queue            jitsu map              jitsu log              jitsu list-rope
//!   first                  title=welcome          1700000000123 first    first
//!   jitsu counter%0A2%0A   visits=jitsu co…%0A    1700000000124 second   jitsu counter%0A2%0A
//!
//!   jitsu text-rope        jitsu byte-rope        jitsu custom example.page
//!   the characters,        the bytes,             the encoding by that type
//!   to the end             to the end
//! ```
//!
//! What is in others is a line: the file that it would be by itself, written as a member of a set
//! is. Keys of a map are written so with `=` as well, sorted, and entries of a log follow their time
//! in milliseconds, the oldest first. Such a line never begins with `%` and a space. One that does
//! says what depends on the history of the value, so that the same objects come back, and is there
//! only if they would not without it:
//!
//! | line | of a queue |
//! |---|---|
//! | `% from 12` | here begins a run of elements that were pushed after each other; the first line is at position 12, counted from the first one ever pushed. At the beginning 0 need not be said |
//! | `% front` | the lines above, up to where the run begins, were popped, and are still in a block of 32 with what was not |
//! | `% back` | the lines below are in such a block, and not in the queue |
//! | `% closed` | the last elements are an object of their own, as after a merge |
//! | `% next 73` | the position of the next element, where it does not follow the last one |
//!
//! So a line added at the end is an element pushed. To pop the first one where there is `% front`,
//! move that behind it; else remove it, and say one position more in `% from`.
//!
//! | line | of a rope or log |
//! |---|---|
//! | `% leaves ((700 650) (300 *))` | the second one: how many characters, bytes or lines are in each leaf, with a pair of brackets for each branch; in the last one are all that are left |
//! | `% tail` | the entries of the log below are in the log itself, those above in the leaves |
//!
//! Without the first of these a rope is as one that is made at once, and a log as one to which the
//! entries were added one by one. So an edit only has to leave room in the last leaf; where it does
//! not, the error says to remove that line (and `% tail`), and the leaves are made anew.
//!
//! ## Objects
//!
//! What has no text follows a line `jitsu objects`, as its own encoding: a line for each object,
//! written as a member of a set is. These are: contents inside of 32 others; those whose text
//! would be larger than 8 MiB, each line counted again for all that it is inside of; and objects
//! that do not fit each other, as no store makes them. A repository that was exported to before
//! there were texts is not exported to any more, and what it has as objects is not imported: export
//! to a new one.
//!
//! # What the store cannot hold
//!
//! is an error that says which commit and path, before any branch has moved: submodules and
//! `.gitmodules`, empty directories, names that are not UTF-8 or longer than 255 bytes, modes other
//! than the usual four, files of more than 64 MiB, more than 16 parents, more than 256 directories
//! inside each other. Nor can Git hold, in a file `.gitattributes`, contents other than bytes whose
//! file would have lines of more than 2,047 bytes. Tags and other references are left alone.

#[cfg(unix)]
mod backend;
mod blob;
#[cfg(unix)]
mod cache;
mod error;
mod escape;
mod export;
mod ids;
mod import;
mod modes;
mod names;
mod object;
mod objects;
mod packed;
#[cfg(unix)]
mod pending;
#[cfg(fuzzing)]
pub mod recode;
mod repository;
mod text;
mod words;

#[cfg(unix)]
pub use self::backend::GitBackend;
pub use self::error::{Fault, GitError};
pub use self::export::{Exported, Sent, export, export_commits};
pub use self::import::{Imported, Landed, import, import_heads};
pub use self::names::git_branch;
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

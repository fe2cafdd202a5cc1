//! Owns the tree: what people see of directories and contents, by path. Must not know commits,
//! nor how a large directory is cut into nodes (`node`).

pub(crate) mod directory;
pub(crate) mod item;
pub(crate) mod node;
pub(crate) mod slots;
mod walk;

use std::fmt;

use self::node::{Entry, Link, Node};
pub use self::walk::Entries;
use crate::backend::Source;
use crate::contents::Contents;
use crate::contents::value::Value;
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::{LEVELS_MAX, Linked};
use crate::path::{Path, Step};

/// Directories of contents, as a value: a clone costs nothing and shares everything, a change
/// copies only what leads to it, and nothing is hashed or encoded before a commit needs it.
///
/// A tree of a commit is loaded as it is looked at, so that every access can fail. It keeps its
/// backend open.
///
/// ```
/// use jitsu_store::{Contents, Path, Tree};
/// let mut tree = Tree::empty();
/// let path: Path = "domains/www/wanted".parse()?;
/// tree.set(&path, Contents::text("running"))?;
/// let before = tree.clone();
/// assert!(tree.remove(&"domains".parse()?)?);
/// assert!(tree.is_empty());
/// assert_eq!(before.get(&path)?.unwrap().as_text(), Some("running"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tree {
    root: Link,
}

/// What a step leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Contents.
    Contents,
    /// A directory.
    Directory,
}

/// Why a tree could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The root of a tree is a directory and cannot hold contents.
    #[error("the root of a tree cannot hold contents")]
    Root,
    /// There are contents where the path needs a directory.
    #[error("{at} holds contents, so nothing can be below it")]
    BelowContents {
        /// Where the contents are.
        at: Path,
    },
    /// Something could not be loaded.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Tree {
    /// A tree without anything in it.
    pub fn empty() -> Tree {
        Tree { root: Link::new(Node::empty()) }
    }

    /// The contents at a path; `None` if there is nothing, or a directory.
    pub fn get(&self, path: &Path) -> Result<Option<Contents>, TreeError> {
        let Some((last, above)) = path.steps().split_last() else { return Ok(None) };
        match self.look(above, last)? {
            Some(Entry::Value(value)) => Ok(Some(value.load()?.clone())),
            Some(Entry::Directory(_)) | None => Ok(None),
        }
    }

    /// The directory at a path as a tree; `None` if there is nothing, or contents. The root is
    /// always there.
    pub fn subtree(&self, path: &Path) -> Result<Option<Tree>, TreeError> {
        match self.entry(path)? {
            Some(Entry::Directory(root)) => Ok(Some(Tree { root })),
            Some(Entry::Value(_)) | None => Ok(None),
        }
    }

    /// Puts contents at a path, in place of whatever is there, and makes the directories that
    /// lead to it.
    pub fn set(&mut self, path: &Path, contents: Contents) -> Result<(), TreeError> {
        if path.is_root() {
            return Err(TreeError::Root);
        }
        self.put(path, Entry::Value(Value::new(contents)))
    }

    /// Puts a directory at a path, in place of whatever is there. An empty one removes it.
    pub fn set_tree(&mut self, path: &Path, tree: Tree) -> Result<(), TreeError> {
        if path.is_root() {
            self.root = tree.root;
            return Ok(());
        }
        if tree.is_empty() {
            self.remove(path)?;
            return Ok(());
        }
        self.put(path, Entry::Directory(tree.root))
    }

    /// Removes the contents or the whole directory at a path, and the directories above it that
    /// become empty. Whether there was anything.
    pub fn remove(&mut self, path: &Path) -> Result<bool, TreeError> {
        let Some((last, above)) = path.steps().split_last() else {
            let removed = !self.is_empty();
            self.root = Link::new(Node::empty());
            return Ok(removed);
        };
        // Looking first leaves a tree without the path as it is: shared, and with its id.
        if self.entry(path)?.is_none() {
            return Ok(false);
        }
        remove_below(&mut self.root, above, last)?;
        Ok(true)
    }

    /// What is in the directory at a path, by step; empty if there is no directory.
    pub fn list(&self, path: &Path) -> Result<Vec<(Step, Kind)>, TreeError> {
        let Some(Entry::Directory(directory)) = self.entry(path)? else { return Ok(Vec::new()) };
        let items = directory::sorted(&directory)?;
        Ok(items.iter().map(|item| (item.step().clone(), item.entry().kind())).collect())
    }

    /// All contents with their paths, in the order of paths.
    pub fn entries(&self) -> Entries {
        Entries::new(&self.root)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        directory::is_empty(&self.root)
    }

    /// The id, for which everything that was changed is hashed now.
    pub fn id(&self) -> Id {
        self.root.id()
    }

    pub(crate) fn new(root: Link) -> Tree {
        Tree { root }
    }

    pub(crate) fn stored(id: Id, home: Source) -> Tree {
        Tree { root: Link::stored(id, home) }
    }

    /// Puts everything that is not known to be there into a backend.
    pub(crate) fn save(&self, to: &Source) -> Result<(), StorageError> {
        self.root.save(to, LEVELS_MAX)
    }

    pub(crate) fn root(&self) -> &Link {
        &self.root
    }

    pub(crate) fn entry(&self, path: &Path) -> Result<Option<Entry>, StorageError> {
        match path.steps().split_last() {
            Some((last, above)) => Ok(self.look(above, last)?.cloned()),
            None => Ok(Some(Entry::Directory(self.root.clone()))),
        }
    }

    /// What the step `last` leads to, in the directory at `above`.
    fn look(&self, above: &[Step], last: &Step) -> Result<Option<&Entry>, StorageError> {
        let mut directory = &self.root;
        for step in above {
            match directory::get(directory, step)? {
                Some(Entry::Directory(next)) => directory = next,
                Some(Entry::Value(_)) | None => return Ok(None),
            }
        }
        directory::get(directory, last)
    }

    fn put(&mut self, path: &Path, entry: Entry) -> Result<(), TreeError> {
        let (last, above) = path.steps().split_last().expect("BUG: the root is put elsewhere");
        let mut directory = &mut self.root;
        for (depth, step) in above.iter().enumerate() {
            // What is made on the way there stays only if all of it is: below what is made there
            // are no contents.
            directory = directory::enter(directory, step)?.ok_or_else(|| {
                TreeError::BelowContents { at: Path::found(path.steps()[..=depth].to_vec()) }
            })?;
        }
        directory::set(directory, last, entry)?;
        Ok(())
    }
}

fn remove_below(directory: &mut Link, above: &[Step], last: &Step) -> Result<(), StorageError> {
    let Some((step, below)) = above.split_first() else {
        return directory::remove(directory, last);
    };
    let child = directory::enter(directory, step)?.expect("BUG: a path that was looked up is gone");
    remove_below(child, below, last)?;
    if directory::is_empty(child) {
        directory::remove(directory, step)?;
    }
    Ok(())
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::empty()
    }
}

/// Compares by id: everything that was changed in either is hashed.
impl PartialEq for Tree {
    fn eq(&self, other: &Tree) -> bool {
        self.root.same(&other.root) || self.id() == other.id()
    }
}

impl Eq for Tree {}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries().filter_map(Result::ok)).finish()
    }
}

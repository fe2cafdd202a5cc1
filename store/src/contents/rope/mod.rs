//! Owns the rope: a long sequence that is edited anywhere, on many branches at once. Must not know
//! paths, nor how its tree is kept in balance (`tree`).

pub(super) mod chunk;
pub(super) mod diff;
mod iter;
mod merge;
pub(super) mod node;
#[cfg(feature = "git")]
pub(super) mod shape;
mod tree;

use std::ops::Range;

use self::chunk::Kind;
pub use self::chunk::{Chunk, List};
pub use self::iter::Items;
use self::node::{Child, Node};
use self::tree::{Part, Tree};
use super::{Contents, Merging, Why};
use crate::error::StorageError;

/// A text whose indices are characters: code points, of which none is ever split.
pub type TextRope = Rope<String>;
/// Bytes.
pub type ByteRope = Rope<Vec<u8>>;
/// Contents of any kind. Where both sides replaced the same ones they are merged one by one, each
/// with the merge of its own kind.
pub type ListRope = Rope<List>;

/// A long sequence that is edited anywhere and merged by what was edited: edits in different
/// places all happen, and overlapping ones are a conflict that names the place. It is a value, as
/// [`Queue`](crate::Queue) is.
///
/// It is a tree of leaves of up to a kilobyte. Every operation takes O(log n); an edit rewrites one
/// leaf and what is above it. A merge costs what was edited: the difference of each side to the
/// base skips what is the same object in both.
///
/// An edit is known by what it replaced in the base and by what is there now; where the same items
/// stand next to each other it cannot be told which of them was inserted. The same edit on both
/// sides is one edit. What is inserted by both at the same place is kept in full, that of the first
/// side first: it is what people expect who type at the same time.
///
/// ```
/// use jitsu_store::{Contents, TextRope};
/// let base = TextRope::of("Xen starts, and stops.");
/// let (mut first, mut second) = (base.clone(), base.clone());
/// first.insert(3, " 4.17")?;
/// second.delete(10..21)?;
/// let [base, first, second] = [base, first, second].map(Contents::TextRope);
/// let Ok(Contents::TextRope(merged)) = Contents::merge(Some(&base), &first, &second)? else {
///     panic!("a conflict")
/// };
/// assert_eq!(merged.text()?, "Xen 4.17 starts.");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Rope<C> {
    /// Kept by value, so that it is inside of its contents.
    pub(super) root: Node<C>,
}

/// Why a rope could not be read or edited.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RopeError {
    /// There is no such index.
    #[error("{at} is beyond the end of a rope of {len}")]
    OutOfRange {
        /// The index.
        at: u64,
        /// The length of the rope.
        len: u64,
    },
    /// A range that ends before it starts.
    #[error("the range {from}..{to} ends before it starts")]
    Backwards {
        /// Its start.
        from: u64,
        /// Its end.
        to: u64,
    },
    /// Something could not be loaded.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl<C: Chunk> Rope<C> {
    /// An empty rope.
    pub fn new() -> Rope<C> {
        Rope { root: Node::Leaf(C::default()) }
    }

    /// A rope of these items.
    pub fn of(items: impl Into<C>) -> Rope<C> {
        Rope::from_tree(tree::build(items.into())).expect("BUG: what was just made was loaded")
    }

    /// How many items there are.
    pub fn len(&self) -> u64 {
        self.root.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at an index; `None` beyond the end.
    pub fn get(&self, at: u64) -> Result<Option<C::Item>, StorageError> {
        let (mut node, mut at) = (&self.root, at);
        loop {
            let (height, children) = match node {
                Node::Leaf(chunk) => {
                    return usize::try_from(at).map_or(Ok(None), |at| chunk.item(at));
                }
                Node::Branch { height, children } => (height, children),
            };
            let child = children.iter().find(|child| {
                let is_in_it = at < child.len;
                at -= if is_in_it { 0 } else { child.len };
                is_in_it
            });
            let Some(child) = child else { return Ok(None) };
            node = child.load(height - 1)?;
        }
    }

    /// Puts items, one or any other number, in place of the one at an index.
    pub fn set(&mut self, at: u64, item: impl Into<C>) -> Result<(), RopeError> {
        self.replace(at..at.saturating_add(1), item)
    }

    /// Puts items before the one at an index, or at the end.
    pub fn insert(&mut self, at: u64, items: impl Into<C>) -> Result<(), RopeError> {
        self.replace(at..at, items)
    }

    /// Takes items away.
    pub fn delete(&mut self, range: Range<u64>) -> Result<(), RopeError> {
        self.replace(range, C::default())
    }

    /// Puts items in place of those in a range.
    pub fn replace(&mut self, range: Range<u64>, items: impl Into<C>) -> Result<(), RopeError> {
        let Range { start, end } = range;
        self.check(start)?;
        self.check(end)?;
        if start > end {
            return Err(RopeError::Backwards { from: start, to: end });
        }
        Ok(self.put(start, end, items.into())?)
    }

    /// Adds all of another rope at the end.
    pub fn append(&mut self, other: &Rope<C>) -> Result<(), StorageError> {
        *self = Rope::from_tree(tree::join(self.tree(), other.tree())?)?;
        Ok(())
    }

    /// Takes everything from an index on off, which is a rope of its own then.
    pub fn split(&mut self, at: u64) -> Result<Rope<C>, RopeError> {
        self.check(at)?;
        let (before, after) = tree::split(self.tree(), at)?;
        let after = Rope::from_tree(after)?;
        *self = Rope::from_tree(before)?;
        Ok(after)
    }

    /// The items from the first on, loaded as they are looked at.
    pub fn iter(&self) -> Items<C> {
        self.iter_from(0)
    }

    /// The items from an index on, loaded as they are looked at.
    pub fn iter_from(&self, at: u64) -> Items<C> {
        Items::new(self, at)
    }

    /// Puts items in place of those in a range, which must be there.
    pub(super) fn put(&mut self, start: u64, end: u64, items: C) -> Result<(), StorageError> {
        let is_few = items.weight() <= node::LEAF_MAX;
        if is_few && let Some(tree) = self.tree() {
            let nodes = tree::splice(&tree.root, tree.height, start, end, &items)?;
            if let Some(nodes) = nodes {
                *self = Rope::from_tree(tree::grow(tree.height, nodes))?;
                return Ok(());
            }
        }
        let [before, _, after] = self.cut(start, end)?;
        *self = Rope::joined([before, tree::build(items), after])?;
        Ok(())
    }

    fn check(&self, at: u64) -> Result<(), RopeError> {
        let len = self.len();
        if at > len { Err(RopeError::OutOfRange { at, len }) } else { Ok(()) }
    }

    fn tree(&self) -> Part<C> {
        let root = Child::new(self.root.clone());
        (root.len > 0).then(|| Tree { height: self.root.height(), root })
    }

    fn from_tree(tree: Part<C>) -> Result<Rope<C>, StorageError> {
        let Some(Tree { mut height, mut root }) = tree else { return Ok(Rope::new()) };
        // A root with one child is that child.
        while height > 0
            && let [only] = root.children(height)?
        {
            (height, root) = (height - 1, only.clone());
        }
        Ok(Rope { root: root.load(height)?.clone() })
    }

    /// Parts after each other.
    fn joined([a, b, c]: [Part<C>; 3]) -> Result<Rope<C>, StorageError> {
        Rope::from_tree(tree::join(tree::join(a, b)?, c)?)
    }

    /// The leaf in which an item is, and where in it; `None` beyond the end.
    pub(super) fn leaf(&self, mut at: u64) -> Result<Option<(&C, usize)>, StorageError> {
        if at >= self.len() {
            return Ok(None);
        }
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(chunk) => return Ok(Some((chunk, at as usize))),
                Node::Branch { height, children } => {
                    let (number, before) = tree::find(children, at + 1);
                    (node, at) = (children[number].load(height - 1)?, at - before);
                }
            }
        }
    }

    /// The items in a range, as one chunk.
    pub(super) fn items(&self, range: &Range<u64>) -> Result<C, StorageError> {
        let mut all = C::default();
        let mut at = range.start;
        while at < range.end {
            let (leaf, from) = self.leaf(at)?.expect("BUG: a range beyond the end of a rope");
            let mut items = leaf.clone().split_off(from);
            items.split_off(items.count().min((range.end - at) as usize));
            at += items.count() as u64;
            all.append(&items);
        }
        Ok(all)
    }

    /// What is before, in, and after a range.
    fn cut(&self, from: u64, to: u64) -> Result<[Part<C>; 3], StorageError> {
        let (before, rest) = tree::split(self.tree(), from)?;
        let (within, after) = tree::split(rest, to - from)?;
        Ok([before, within, after])
    }
}

/// Merges ropes of one kind.
pub(super) fn merge<C: Kind>(
    base: Option<&Contents>,
    first: &Rope<C>,
    second: &Rope<C>,
    merging: Merging<'_>,
) -> Result<Result<Contents, Why>, StorageError> {
    let base = match base {
        // What both put in place of nothing was empty.
        None => &Rope::new(),
        Some(base) => match C::rope(base) {
            Some(base) => base,
            None => return Ok(Err(Why::Kinds)),
        },
    };
    Ok(merge::merge(base, first, second, merging)?.map(C::contents))
}

impl TextRope {
    /// The whole text.
    pub fn text(&self) -> Result<String, StorageError> {
        self.iter().collect()
    }
}

impl ByteRope {
    /// All bytes.
    pub fn bytes(&self) -> Result<Vec<u8>, StorageError> {
        self.iter().collect()
    }
}

impl<C: Chunk> Default for Rope<C> {
    fn default() -> Rope<C> {
        Rope::new()
    }
}

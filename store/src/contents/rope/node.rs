//! Owns the nodes of a rope and their canonical bytes. Must not know how they are split and
//! joined, only how large they may be.

use super::chunk::Chunk;
use crate::backend::Source;
use crate::codec::{DecodeError, ObjectKind, Reader, Writer};
use crate::error::StorageError;
use crate::lazy::{Lazy, Object, See};

/// The heaviest leaf.
pub(super) const LEAF_MAX: usize = 1024;
/// How heavy leaves are, at most, that many items are cut into.
pub(super) const LEAF_FILL: usize = LEAF_MAX / 4 * 3;
/// A leaf that is lighter is joined with its neighbour.
pub(super) const LEAF_MIN: usize = LEAF_MAX / 4;
/// The most children of a branch.
pub(super) const BRANCH_MAX: usize = 32;
/// A branch with fewer is joined with its neighbour.
pub(super) const BRANCH_MIN: usize = BRANCH_MAX / 4;
/// More levels than a rope can have whose branches have two children each.
pub(super) const HEIGHT_MAX: u64 = 64;

/// A part of a rope. All leaves are at height 0.
#[derive(Clone)]
pub(crate) enum Node<C> {
    Leaf(C),
    Branch { height: u32, children: Vec<Child<C>> },
}

/// A shared node that is not empty.
#[derive(Clone)]
pub(crate) struct Child<C> {
    /// How many items are in it.
    pub(super) len: u64,
    pub(super) link: Lazy<Node<C>>,
}

impl<C: Chunk> Child<C> {
    pub(super) fn new(node: Node<C>) -> Child<C> {
        Child { len: node.len(), link: Lazy::new(node) }
    }

    pub(super) fn branch(height: u32, children: Vec<Child<C>>) -> Child<C> {
        Child::new(Node::Branch { height, children })
    }

    /// The node, if it is what its branch says.
    pub(super) fn load(&self, height: u32) -> Result<&Node<C>, StorageError> {
        let node = self.link.load()?;
        if node.height() != height {
            return Err(self.link.misfit("a node of a rope at another height"));
        }
        if node.len() != self.len {
            return Err(self.link.misfit("a node of a rope of another length"));
        }
        Ok(node)
    }

    pub(super) fn leaf(&self) -> Result<&C, StorageError> {
        match self.load(0)? {
            Node::Leaf(chunk) => Ok(chunk),
            Node::Branch { .. } => unreachable!("BUG: a branch at height 0 was loaded"),
        }
    }

    pub(super) fn children(&self, height: u32) -> Result<&[Child<C>], StorageError> {
        match self.load(height)? {
            Node::Branch { children, .. } => Ok(children),
            Node::Leaf(_) => unreachable!("BUG: a leaf above height 0 was loaded"),
        }
    }

    /// Whether it is so small that it should not be alone.
    pub(super) fn is_small(&self, height: u32) -> Result<bool, StorageError> {
        Ok(match self.load(height)? {
            Node::Leaf(chunk) => chunk.weight() < LEAF_MIN,
            Node::Branch { children, .. } => children.len() < BRANCH_MIN,
        })
    }
}

impl<C: Chunk> Node<C> {
    pub(super) fn len(&self) -> u64 {
        match self {
            Node::Leaf(chunk) => chunk.count() as u64,
            Node::Branch { children, .. } => children.iter().map(|child| child.len).sum(),
        }
    }

    pub(super) fn height(&self) -> u32 {
        match self {
            Node::Leaf(_) => 0,
            Node::Branch { height, .. } => *height,
        }
    }

    /// The height, and what is at it: as the root of a rope, which is inside of its contents.
    pub(in crate::contents) fn encode_root(&self, to: &mut Writer) {
        to.number(u64::from(self.height()));
        match self {
            Node::Leaf(chunk) => chunk.encode(to),
            Node::Branch { children, .. } => {
                to.number(children.len() as u64);
                for child in children {
                    to.number(child.len);
                    to.id(&child.link.id());
                }
            }
        }
    }

    pub(in crate::contents) fn decode_root(
        from: &mut Reader<'_>,
        home: &Source,
    ) -> Result<Node<C>, DecodeError> {
        let height = from.number()?;
        if height > HEIGHT_MAX {
            return Err(DecodeError::NotCanonical("a rope with too many levels"));
        }
        if height == 0 {
            let chunk = C::decode(from, home)?;
            if chunk.weight() > LEAF_MAX {
                return Err(DecodeError::NotCanonical("a leaf of a rope that is too large"));
            }
            return Ok(Node::Leaf(chunk));
        }
        let count = from.count(33)?;
        if !(2..=BRANCH_MAX).contains(&count) {
            return Err(DecodeError::NotCanonical("a branch of a rope of an impossible size"));
        }
        let mut children = Vec::with_capacity(count);
        let mut total = 0u64;
        for _ in 0..count {
            let len = from.number()?;
            total = total
                .checked_add(len)
                .filter(|_| len > 0)
                .ok_or(DecodeError::NotCanonical("a rope of an impossible length"))?;
            children.push(Child { len, link: Lazy::stored(from.id()?, home.clone()) });
        }
        Ok(Node::Branch { height: height as u32, children })
    }
}

impl<C: Chunk> Object for Node<C> {
    fn encode(&self) -> Vec<u8> {
        let mut to = Writer::object(ObjectKind::Part);
        let [leaf, branch] = C::TAGS;
        to.byte(if self.height() == 0 { leaf } else { branch });
        self.encode_root(&mut to);
        to.finish()
    }

    fn decode(bytes: &[u8], home: &Source) -> Result<Node<C>, DecodeError> {
        let mut from = Reader::object(bytes, ObjectKind::Part)?;
        let tag = from.byte()?;
        let node = Node::<C>::decode_root(&mut from, home)?;
        if tag != C::TAGS[usize::from(node.height() > 0)] {
            return Err(DecodeError::Tag(tag));
        }
        if node.len() == 0 {
            return Err(DecodeError::NotCanonical("an empty part of a rope"));
        }
        from.end()?;
        Ok(node)
    }

    fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        match self {
            Node::Leaf(chunk) => chunk.links(see),
            Node::Branch { children, .. } => children.iter().try_for_each(|it| see(&it.link)),
        }
    }
}

//! Owns the part of a queue's elements that fills whole blocks of 32: a trie by absolute position,
//! of which what was popped is missing on the left. Must not know runs.
//!
//! ```text
//!   level 2            branch              one object for each box; the slots of a branch and
//!                  ┌─────┴─────┐           the elements of a leaf are found by five bits of the
//!   level 1     branch      branch         position each, so that an element is at the same
//!               ┌──┴──┐     ┌──┴──┐        place in every trie that holds it, and two tries
//!   level 0    leaf  leaf  leaf  leaf      share all objects in which they agree
//! ```

use crate::backend::Source;
use crate::codec::{DecodeError, ObjectKind, Reader, Writer};
use crate::contents::value::{self, Value};
use crate::error::StorageError;
use crate::lazy::{Lazy, Object, See};

/// The elements of a block, and the children of a branch.
pub(super) const WIDTH: u64 = 32;
const BITS: u32 = 5;

/// The first byte of a leaf, after kind and format.
pub(crate) const LEAF: u8 = b'q';
/// The first byte of a branch, after kind and format.
pub(crate) const BRANCH: u8 = b'Q';

pub(super) type Link = Lazy<Node>;

/// A part of a trie.
#[derive(Clone)]
pub(crate) enum Node {
    Leaf(Leaf),
    Branch(Branch),
}

/// Elements of one block that follow each other.
#[derive(Clone, Default)]
pub(crate) struct Leaf {
    /// The place of the first in its block.
    pub(super) start: usize,
    pub(super) elements: Vec<Value>,
}

/// Children that follow each other.
#[derive(Clone)]
pub(crate) struct Branch {
    /// The slot of the first.
    first: usize,
    children: Vec<Link>,
}

/// A trie of all blocks before `blocks` that are not let go of: at least the last one.
#[derive(Clone)]
pub(super) struct Trunk {
    pub(super) blocks: u64,
    pub(super) root: Link,
}

/// The levels of branches over this many leaves.
fn levels(blocks: u64) -> u32 {
    let bits = u64::BITS - blocks.saturating_sub(1).leading_zeros();
    bits.div_ceil(BITS)
}

/// Where in a branch at `level` the block is.
fn slot(block: u64, level: u32) -> usize {
    (block >> (BITS * (level - 1))) as usize % WIDTH as usize
}

impl Trunk {
    /// The position after the last element.
    pub(super) fn end(&self) -> u64 {
        self.blocks * WIDTH
    }

    /// The position of the first element that was not let go of.
    #[cfg(feature = "git")]
    pub(super) fn start(&self) -> Result<u64, StorageError> {
        let (mut link, mut block) = (&self.root, 0);
        for level in (1..=levels(self.blocks)).rev() {
            let branch = branch(link)?;
            block |= (branch.first as u64) << (BITS * (level - 1));
            link = &branch.children[0];
        }
        let start = block * WIDTH + extent(link)?.0 as u64;
        if start >= self.end() {
            return Err(self.root.misfit("a queue without what must be in it"));
        }
        Ok(start)
    }

    pub(super) fn leaf(&self, block: u64) -> Result<&Link, StorageError> {
        let mut link = &self.root;
        for level in (1..=levels(self.blocks)).rev() {
            link = child(link, slot(block, level))?;
        }
        Ok(link)
    }

    /// Adds one block to a trie, which begins with it if there is none; or nothing if that fails.
    pub(super) fn append(
        trunk: &mut Option<Trunk>,
        block: u64,
        leaf: Link,
    ) -> Result<(), StorageError> {
        let (blocks, height) = (block + 1, levels(block + 1));
        let Some(trunk) = trunk else {
            *trunk = Some(Trunk { blocks, root: path(height, block, leaf) });
            return Ok(());
        };
        if height > levels(trunk.blocks) {
            let children = vec![trunk.root.clone()];
            trunk.root = Link::new(Node::Branch(Branch { first: 0, children }));
        }
        insert(&mut trunk.root, height, block, leaf)?;
        trunk.blocks = blocks;
        Ok(())
    }

    /// Lets go of all blocks before this one, or of none if that fails.
    pub(super) fn prune(&mut self, block: u64) -> Result<(), StorageError> {
        prune(&mut self.root, levels(self.blocks), block)
    }

    /// The first position in `from..to` at which the two differ, or `to`. Both hold all of it.
    pub(super) fn agree(&self, other: &Trunk, from: u64, to: u64) -> Result<u64, StorageError> {
        let level = levels(self.blocks).min(levels(other.blocks));
        agree(self.below(level)?, other.below(level)?, level, from, to)
    }

    /// The node for the first blocks, as far as a trie of this many levels holds them.
    fn below(&self, level: u32) -> Result<&Link, StorageError> {
        let mut link = &self.root;
        for _ in level..levels(self.blocks) {
            link = child(link, 0)?;
        }
        Ok(link)
    }
}

fn branch(link: &Link) -> Result<&Branch, StorageError> {
    match link.load()? {
        Node::Branch(branch) => Ok(branch),
        Node::Leaf(_) => Err(link.misfit("a leaf of a queue in place of a branch")),
    }
}

fn branch_mut(link: &mut Link) -> Result<&mut Branch, StorageError> {
    match link.to_mut()? {
        Node::Branch(branch) => Ok(branch),
        Node::Leaf(_) => unreachable!("BUG: a node that was looked at became a leaf"),
    }
}

fn child(link: &Link, slot: usize) -> Result<&Link, StorageError> {
    let branch = branch(link)?;
    let child = slot.checked_sub(branch.first).and_then(|at| branch.children.get(at));
    child.ok_or_else(|| link.misfit("a branch of a queue without what must be in it"))
}

const NO_LEAF: &str = "a branch of a queue in place of a leaf";

/// The place of the first element in a leaf, and how many there are.
#[cfg(feature = "git")]
pub(super) fn extent(link: &Link) -> Result<(usize, usize), StorageError> {
    match link.load()? {
        Node::Leaf(leaf) => Ok((leaf.start, leaf.elements.len())),
        Node::Branch(_) => Err(link.misfit(NO_LEAF)),
    }
}

/// The elements at the places `from..to` of a block.
pub(super) fn elements(link: &Link, from: usize, to: usize) -> Result<&[Value], StorageError> {
    let Node::Leaf(leaf) = link.load()? else {
        return Err(link.misfit(NO_LEAF));
    };
    let range = from.checked_sub(leaf.start).zip(to.checked_sub(leaf.start));
    let found = range.and_then(|(from, to)| leaf.elements.get(from..to));
    found.ok_or_else(|| link.misfit("a leaf of a queue without what must be in it"))
}

/// How many elements agree, from the first on.
pub(super) fn common(a: &[Value], b: &[Value]) -> u64 {
    let same = |(a, b): &(&Value, &Value)| a.same(b) || a.id() == b.id();
    a.iter().zip(b).take_while(same).count() as u64
}

/// Branches that lead to a single leaf.
fn path(levels: u32, block: u64, leaf: Link) -> Link {
    (1..=levels).fold(leaf, |below, level| {
        let (first, children) = (slot(block, level), vec![below]);
        Link::new(Node::Branch(Branch { first, children }))
    })
}

fn insert(link: &mut Link, level: u32, block: u64, leaf: Link) -> Result<(), StorageError> {
    let at = slot(block, level);
    let there = branch(link)?;
    let next = there.first + there.children.len();
    if at == next {
        branch_mut(link)?.children.push(path(level - 1, block, leaf));
        return Ok(());
    }
    if at + 1 != next || level == 1 {
        return Err(link.misfit("a branch of a queue without what must be in it"));
    }
    let last = branch_mut(link)?.children.last_mut().expect("BUG: a branch without children");
    insert(last, level - 1, block, leaf)
}

fn prune(link: &mut Link, level: u32, block: u64) -> Result<(), StorageError> {
    if level == 0 {
        return Ok(());
    }
    let at = slot(block, level);
    child(link, at)?;
    let branch = branch_mut(link)?;
    let before = at - branch.first;
    // A child that begins with the block has nothing to let go of.
    if !block.is_multiple_of(1 << (BITS * (level - 1))) {
        prune(&mut branch.children[before], level - 1, block)?;
    }
    branch.children.drain(..before);
    branch.first = at;
    Ok(())
}

fn agree(a: &Link, b: &Link, level: u32, from: u64, to: u64) -> Result<u64, StorageError> {
    if from >= to || a.same(b) {
        return Ok(to);
    }
    if level == 0 {
        let places = ((from % WIDTH) as usize, (to - from) as usize);
        let (start, end) = (places.0, places.0 + places.1);
        return Ok(from + common(elements(a, start, end)?, elements(b, start, end)?));
    }
    let mut at = from;
    while at < to {
        let width = 1 << (BITS * level);
        let end = to.min((at / width + 1) * width);
        let slot = slot(at / WIDTH, level);
        let agreed = agree(child(a, slot)?, child(b, slot)?, level - 1, at, end)?;
        if agreed < end {
            return Ok(agreed);
        }
        at = end;
    }
    Ok(to)
}

impl Object for Node {
    fn encode(&self) -> Vec<u8> {
        let mut to = Writer::object(ObjectKind::Part);
        match self {
            Node::Leaf(leaf) => {
                to.byte(LEAF);
                to.byte(leaf.start as u8);
                to.number(leaf.elements.len() as u64);
                leaf.elements.iter().for_each(|element| value::encode(element, &mut to));
            }
            Node::Branch(branch) => {
                to.byte(BRANCH);
                to.byte(branch.first as u8);
                to.number(branch.children.len() as u64);
                branch.children.iter().for_each(|child| to.id(&child.id()));
            }
        }
        to.finish()
    }

    fn decode(bytes: &[u8], home: &Source) -> Result<Node, DecodeError> {
        let mut from = Reader::object(bytes, ObjectKind::Part)?;
        let tag = from.byte()?;
        let first = usize::from(from.byte()?);
        let count = from.count(if tag == BRANCH { 32 } else { 5 })?;
        if count == 0 || first + count > WIDTH as usize {
            return Err(DecodeError::NotCanonical("a part of a queue of an impossible size"));
        }
        let node = match tag {
            LEAF => {
                let elements = (0..count).map(|_| value::decode(from.byte()?, &mut from, home));
                let elements = elements.collect::<Result<_, DecodeError>>()?;
                Node::Leaf(Leaf { start: first, elements })
            }
            BRANCH => {
                let children = (0..count).map(|_| Ok(Link::stored(from.id()?, home.clone())));
                let children = children.collect::<Result<_, DecodeError>>()?;
                Node::Branch(Branch { first, children })
            }
            other => return Err(DecodeError::Tag(other)),
        };
        from.end()?;
        Ok(node)
    }

    fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        match self {
            Node::Leaf(leaf) => leaf.elements.iter().try_for_each(|it| value::links(it, see)),
            Node::Branch(branch) => branch.children.iter().try_for_each(|it| see(it)),
        }
    }
}

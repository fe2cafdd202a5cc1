//! Owns the run: a slice of positions of one lineage of elements, and how two runs are compared.
//! Must not know what follows or precedes it in its queue.

use super::trie::{self, Leaf, Link, Node, Trunk, WIDTH};
use crate::contents::Contents;
use crate::contents::value::Value;
use crate::error::StorageError;

/// The elements at `lo..hi` of a lineage, never none. Those in whole blocks are in the trunk, the
/// others in the tail. A trunk is there if some are in it, a tail likewise.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) lo: u64,
    pub(super) hi: u64,
    pub(super) trunk: Option<Trunk>,
    pub(super) tail: Option<Tail>,
    /// The block of the first element, if it is in the trunk and somebody pops: to be found once.
    pub(super) front: Option<Link>,
}

/// The last elements of a lineage, all in one block.
#[derive(Clone)]
pub(super) enum Tail {
    /// Those of the end of a queue, which are inside it, so that a push writes nothing else. It
    /// holds what the run does, and nothing before.
    Open(Leaf),
    /// An object of its own.
    Closed(Link),
}

impl Run {
    /// A new lineage, which begins at this position.
    pub(super) fn new(at: u64, element: Value) -> Run {
        let leaf = Leaf { start: place(at), elements: Vec::new() };
        let mut run =
            Run { lo: at, hi: at, trunk: None, tail: Some(Tail::Open(leaf)), front: None };
        run.push(element).expect("BUG: an open tail was loaded");
        run
    }

    pub(super) fn len(&self) -> u64 {
        self.hi - self.lo
    }

    /// The position from which on elements are in the tail.
    pub(super) fn trunk_end(&self) -> u64 {
        self.trunk.as_ref().map_or(0, Trunk::end)
    }

    /// The elements from `at` up to the end of their block or of the run.
    pub(super) fn block(&self, at: u64) -> Result<&[Value], StorageError> {
        let end = self.hi.min((at / WIDTH + 1) * WIDTH);
        let (from, to) = (place(at), place(at) + (end - at) as usize);
        match (&self.trunk, &self.tail) {
            (Some(trunk), _) if at < trunk.end() => {
                trie::elements(trunk.leaf(at / WIDTH)?, from, to)
            }
            (_, Some(Tail::Closed(link))) => trie::elements(link, from, to),
            (_, Some(Tail::Open(leaf))) => Ok(&leaf.elements[from - leaf.start..to - leaf.start]),
            (_, None) => unreachable!("BUG: a run without its tail"),
        }
    }

    /// Adds an element to a lineage that ends with this run.
    pub(super) fn push(&mut self, element: Value) -> Result<(), StorageError> {
        let (block, is_full) = (self.hi / WIDTH, place(self.hi) + 1 == WIDTH as usize);
        let leaf = self.open()?;
        leaf.elements.push(element);
        if is_full {
            let leaf = Link::new(Node::Leaf(std::mem::take(leaf)));
            // A block may hold more than its run, which it does if it cannot be put into the trunk.
            self.tail = Some(Tail::Closed(leaf.clone()));
            Trunk::append(&mut self.trunk, block, leaf)?;
            self.tail = None;
        }
        self.hi += 1;
        Ok(())
    }

    fn open(&mut self) -> Result<&mut Leaf, StorageError> {
        match &self.tail {
            None => self.tail = Some(Tail::Open(Leaf::default())),
            Some(Tail::Closed(_)) => {
                let at = self.lo.max(self.trunk_end());
                let elements = self.block(at)?.to_vec();
                self.tail = Some(Tail::Open(Leaf { start: place(at), elements }));
            }
            Some(Tail::Open(_)) => {}
        }
        match &mut self.tail {
            Some(Tail::Open(leaf)) => Ok(leaf),
            _ => unreachable!("BUG: the tail was just opened"),
        }
    }

    /// Takes the first element off, and lets go of its block if it was the last of it. The run may
    /// be empty after it.
    pub(super) fn pop(&mut self) -> Result<Contents, StorageError> {
        let (lo, at) = (self.lo + 1, place(self.lo));
        let Some(trunk) = self.trunk.as_mut().filter(|trunk| self.lo < trunk.end()) else {
            let element = self.block(self.lo)?[0].load()?.clone();
            if let Some(Tail::Open(leaf)) = &mut self.tail {
                leaf.start += 1;
                leaf.elements.remove(0);
            }
            self.lo = lo;
            return Ok(element);
        };
        let front = match &self.front {
            Some(front) => front,
            None => self.front.insert(trunk.leaf(self.lo / WIDTH)?.clone()),
        };
        let element = trie::elements(front, at, at + 1)?[0].load()?.clone();
        if place(lo) == 0 {
            if lo == trunk.end() {
                self.trunk = None;
            } else {
                trunk.prune(lo / WIDTH)?;
            }
            self.front = None;
        }
        self.lo = lo;
        Ok(element)
    }

    /// The elements at `lo..hi`, of which there must be some. What is around them is not touched,
    /// so that nothing is loaded; the next pop lets go of what is before.
    pub(super) fn slice(&self, lo: u64, hi: u64) -> Run {
        assert!(self.lo <= lo && lo < hi && hi <= self.hi, "BUG: a slice outside of its run");
        let end = self.trunk_end();
        let trunk = self.trunk.clone().filter(|_| lo < end);
        let tail = self.tail.clone().filter(|_| hi > end);
        let tail = tail.map(|tail| match tail {
            Tail::Open(leaf) => Tail::Closed(Link::new(Node::Leaf(leaf))),
            closed @ Tail::Closed(_) => closed,
        });
        Run { lo, hi, trunk, tail, front: None }
    }

    /// The first position in `from..to` at which the two differ, or `to`. Both hold all of it.
    pub(super) fn agree(&self, other: &Run, from: u64, to: u64) -> Result<u64, StorageError> {
        let shared = to.min(self.trunk_end()).min(other.trunk_end());
        if let (Some(a), Some(b)) = (&self.trunk, &other.trunk)
            && from < shared
        {
            let agreed = a.agree(b, from, shared)?;
            if agreed < shared {
                return Ok(agreed);
            }
        }
        // What is left is in the tail of one of them, and hence in one block.
        let from = from.max(shared);
        if let (Some(Tail::Closed(a)), Some(Tail::Closed(b))) = (&self.tail, &other.tail)
            && a.same(b)
            && from >= self.trunk_end().max(other.trunk_end())
        {
            return Ok(to);
        }
        if from == to {
            return Ok(to);
        }
        Ok(to.min(from + trie::common(self.block(from)?, other.block(from)?)))
    }
}

/// The place of a position in its block.
pub(super) fn place(position: u64) -> usize {
    (position % WIDTH) as usize
}

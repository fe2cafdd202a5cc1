//! Owns the queue: elements that are pushed at one end and popped at the other, on many branches
//! at once. Must not know paths, nor how tries of elements are made (`trie`).
//!
//! ```text
//!   queue   next 73 │ run 3..40 │ run 0..5 │ run 40..73 + the last 9 elements
//!                       │           │            │
//!                     trie        leaf         trie, which shares most with the first
//! ```
//!
//! Elements have positions, which are counted for the whole life of a queue and never used again
//! on any branch that knows of them. A lineage is a trie of elements by position; branches that
//! push after they parted have different ones, which agree up to there. A queue that was never
//! merged is one run of one lineage; a merge lists slices of those of both sides.

#[cfg(feature = "git")]
pub(crate) mod held;
mod iter;
mod merge;
mod run;
pub(super) mod trie;

use self::iter::Elements as Iter;
use self::run::{Run, Tail, place};
use self::trie::{Leaf, Link, Trunk, WIDTH};
use super::Contents;
use super::value::{self, Value};
use crate::backend::Source;
use crate::codec::{DecodeError, Reader, Writer};
use crate::error::StorageError;
use crate::lazy::See;

pub use self::iter::Elements;

/// A queue that is merged as a queue: what either side popped is gone, what both pushed is there,
/// in the order of each. It is a value: a clone costs little and shares its elements, and changing
/// it changes nothing in a store before it is set there.
///
/// A push rewrites one object of at most 32 elements, and so does a pop; large elements are
/// objects of their own, written once. A merge reads a logarithmic number of objects for each run
/// that the sides have in common, and writes at most three. The queue itself is one object, which
/// grows by at most two runs of about 100 bytes with each merge of branches that both pushed, until
/// what was merged is popped.
///
/// An element is known by its position and its bytes. Two branches that push the same bytes as the
/// next element push two elements, and both are there after a merge. But they cannot be told apart:
/// a branch that has only one of them, and pops it, may take the other away when it is merged with
/// one that popped the same and kept the other. Elements that must not be lost so should hold who
/// pushed them.
///
/// ```
/// use jitsu_store::{BranchName, Contents, Merged, Meta, Queue, Store};
/// let store = Store::memory();
/// let (main, fork) = (BranchName::new("main")?, BranchName::new("fork")?);
/// let jobs = "jobs".parse()?;
/// let mut queue = Queue::new();
/// queue.push(Contents::text("first"))?;
/// let set = |branch, queue: &Queue| {
///     let contents = Contents::Queue(queue.clone());
///     store.update(branch, Meta::default(), |tree| tree.set(&jobs, contents.clone()))
/// };
/// let (base, ()) = set(&main, &queue)?;
/// let mut batch = store.batch();
/// batch.set(&fork, &base)?;
/// batch.publish()?;
///
/// // One pops, the other pushes.
/// let mut popped = queue.clone();
/// assert_eq!(popped.pop()?, Some(Contents::text("first")));
/// let (theirs, ()) = set(&fork, &popped)?;
/// queue.push(Contents::text("second"))?;
/// set(&main, &queue)?;
/// let Merged::Commit(merged) = store.merge(&main, &theirs.id(), Meta::default())? else {
///     panic!("queues do not conflict")
/// };
/// let Some(Contents::Queue(merged)) = merged.tree().get(&jobs)? else { panic!() };
/// assert_eq!(merged.iter().collect::<Result<Vec<_>, _>>()?, [Contents::text("second")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Queue {
    /// What is in it, from the front.
    runs: Vec<Run>,
    /// The next position: after all that ever were in it.
    next: u64,
}

/// Positions that follow each other.
#[derive(Clone, Copy)]
struct Range {
    lo: u64,
    hi: u64,
}

impl Queue {
    /// More elements than any queue has had.
    pub(crate) const POSITIONS_MAX: u64 = 1 << 59;

    /// An empty queue.
    pub fn new() -> Queue {
        Queue::default()
    }

    /// Adds an element at the end.
    pub fn push(&mut self, element: Contents) -> Result<(), StorageError> {
        let element = Value::new(element);
        match self.runs.last_mut() {
            // A lineage is continued only at positions that no other one has used.
            Some(run) if run.hi == self.next => run.push(element)?,
            _ => self.runs.push(Run::new(self.next, element)),
        }
        self.next += 1;
        Ok(())
    }

    /// Takes the element at the front; `None` if there is none.
    pub fn pop(&mut self) -> Result<Option<Contents>, StorageError> {
        let Some(run) = self.runs.first_mut() else { return Ok(None) };
        let element = run.pop()?;
        if run.len() == 0 {
            self.runs.remove(0);
        }
        Ok(Some(element))
    }

    /// The element at the front.
    pub fn peek(&self) -> Result<Option<Contents>, StorageError> {
        let Some(run) = self.runs.first() else { return Ok(None) };
        Ok(Some(run.block(run.lo)?[0].load()?.clone()))
    }

    /// How many elements there are.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(Run::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The elements from the front on, loaded as they are looked at.
    pub fn iter(&self) -> Elements {
        Iter::new(self)
    }

    pub(super) fn merge(
        base: &Queue,
        first: &Queue,
        second: &Queue,
    ) -> Result<Queue, StorageError> {
        merge::merge(base, first, second)
    }

    pub(super) fn encode(&self, to: &mut Writer) {
        to.number(self.next);
        to.number(self.runs.len() as u64);
        for run in &self.runs {
            to.number(run.lo);
            to.number(run.len());
            let trunk = u8::from(run.trunk.is_some());
            let tail = match run.tail {
                None => 0,
                Some(Tail::Closed(_)) => CLOSED,
                Some(Tail::Open(_)) => OPEN,
            };
            to.byte(trunk | tail);
            if let Some(trunk) = &run.trunk {
                to.number(trunk.blocks);
                to.id(&trunk.root.id());
            }
            match &run.tail {
                None => {}
                Some(Tail::Closed(link)) => to.id(&link.id()),
                Some(Tail::Open(leaf)) => {
                    leaf.elements.iter().for_each(|element| value::encode(element, to));
                }
            }
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>, home: &Source) -> Result<Queue, DecodeError> {
        let impossible = DecodeError::NotCanonical("a queue with impossible positions");
        let next = from.number()?;
        if next > Queue::POSITIONS_MAX {
            return Err(impossible);
        }
        let count = from.count(8)?;
        let mut runs = Vec::with_capacity(count);
        let mut total = 0u64;
        for at in 0..count {
            let run = decode_run(from, home, next, at + 1 == count)?;
            total = total.checked_add(run.len()).ok_or_else(|| impossible.clone())?;
            runs.push(run);
        }
        Ok(Queue { runs, next })
    }

    pub(super) fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        for run in &self.runs {
            if let Some(trunk) = &run.trunk {
                see(&trunk.root)?;
            }
            match &run.tail {
                None => {}
                Some(Tail::Closed(link)) => see(link)?,
                Some(Tail::Open(leaf)) => {
                    leaf.elements.iter().try_for_each(|element| value::links(element, see))?;
                }
            }
        }
        Ok(())
    }
}

const TRUNK: u8 = 1;
const CLOSED: u8 = 2;
const OPEN: u8 = 4;

fn decode_run(
    from: &mut Reader<'_>,
    home: &Source,
    next: u64,
    is_last: bool,
) -> Result<Run, DecodeError> {
    let impossible = DecodeError::NotCanonical("a queue with impossible positions");
    let (lo, len) = (from.number()?, from.number()?);
    let hi = lo.checked_add(len).filter(|hi| lo < *hi && *hi <= next);
    let hi = hi.ok_or_else(|| impossible.clone())?;
    let form = from.byte()?;
    let trunk = if form & TRUNK == 0 {
        None
    } else {
        let (blocks, id) = (from.number()?, from.id()?);
        if blocks > next / WIDTH || lo >= blocks * WIDTH {
            return Err(impossible);
        }
        Some(Trunk { blocks, root: Link::stored(id, home.clone()) })
    };
    let end = trunk.as_ref().map_or(0, Trunk::end);
    // A tail is there if it is needed, and its elements are all in the block after the trunk.
    let start = lo.max(end);
    let block = if trunk.is_some() { end / WIDTH } else { lo / WIDTH };
    let has_tail = form & (CLOSED | OPEN) != 0;
    if has_tail != (hi > end) || (has_tail && (hi - 1) / WIDTH != block) {
        return Err(impossible);
    }
    let tail = match form & !TRUNK {
        0 => None,
        CLOSED => Some(Tail::Closed(Link::stored(from.id()?, home.clone()))),
        OPEN if is_last && hi == next && place(hi) != 0 => {
            let elements = (start..hi).map(|_| value::decode(from.byte()?, from, home));
            let elements = elements.collect::<Result<_, DecodeError>>()?;
            Some(Tail::Open(Leaf { start: place(start), elements }))
        }
        _ => return Err(DecodeError::Tag(form)),
    };
    Ok(Run { lo, hi, trunk, tail, front: None })
}

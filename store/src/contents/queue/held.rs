//! Owns a queue as all that its objects hold, by position, and how the same objects come of that:
//! for those who write a queue down in another form. Must not know that form.

use super::Queue;
use super::run::{Run, Tail, place};
use super::trie::{self, Leaf, Link, Node, Trunk, WIDTH};
use crate::contents::Contents;
use crate::contents::value::Value;
use crate::error::StorageError;

/// All that the objects of a queue hold.
pub(crate) struct Held {
    pub(crate) runs: Vec<HeldRun>,
    /// The next position.
    pub(crate) next: u64,
}

/// What a run and the lineage below it hold.
pub(crate) struct HeldRun {
    /// The position of the first element.
    pub(crate) start: u64,
    /// Those of the lineage, of which some before and after the run may not have been let go of.
    pub(crate) elements: Vec<Contents>,
    /// The position of the first element that is in the queue.
    pub(crate) lo: u64,
    /// The position after the last one.
    pub(crate) hi: u64,
    /// Whether the last elements are an object of their own though they could be in the queue.
    pub(crate) is_closed: bool,
}

impl Queue {
    /// What it holds; `None` if that is more than so many elements.
    pub(crate) fn held(&self, elements_max: u64) -> Result<Option<Held>, StorageError> {
        let mut left = elements_max;
        let mut runs = Vec::with_capacity(self.runs.len());
        for (at, run) in self.runs.iter().enumerate() {
            let (start, end) = run.extent()?;
            match left.checked_sub(end - start) {
                Some(less) => left = less,
                None => return Ok(None),
            }
            let is_last = at + 1 == self.runs.len();
            let can_be_open = can_be_open(run.hi, is_last, self.next);
            let is_closed = can_be_open && matches!(run.tail, Some(Tail::Closed(_)));
            let elements = run.elements(start, end)?;
            runs.push(HeldRun { start, elements, lo: run.lo, hi: run.hi, is_closed });
        }
        Ok(Some(Held { runs, next: self.next }))
    }

    /// The queue that holds this; or the number of the run that cannot be, and why.
    pub(crate) fn of_held(Held { runs, next }: Held) -> Result<Queue, (usize, &'static str)> {
        let count = runs.len();
        let mut queue = Queue { runs: Vec::with_capacity(count), next };
        for (at, held) in runs.into_iter().enumerate() {
            queue.runs.push(run(held, at + 1 == count, next).map_err(|why| (at, why))?);
        }
        Ok(queue)
    }
}

/// Whether the last elements of a run can be in the queue itself.
fn can_be_open(hi: u64, is_last: bool, next: u64) -> bool {
    is_last && hi == next && place(hi) != 0
}

impl Run {
    /// The positions of all that its objects hold.
    fn extent(&self) -> Result<(u64, u64), StorageError> {
        let tail = match &self.tail {
            None => None,
            Some(Tail::Open(_)) => Some((self.lo.max(self.trunk_end()), self.hi)),
            Some(Tail::Closed(link)) => {
                let block = (self.hi - 1) / WIDTH * WIDTH;
                let (start, count) = trie::extent(link)?;
                Some((block + start as u64, block + (start + count) as u64))
            }
        };
        match (&self.trunk, tail) {
            (Some(trunk), tail) => Ok((trunk.start()?, tail.map_or(trunk.end(), |tail| tail.1))),
            (None, Some(tail)) => Ok(tail),
            (None, None) => unreachable!("BUG: a run without its tail"),
        }
    }

    fn elements(&self, start: u64, end: u64) -> Result<Vec<Contents>, StorageError> {
        let mut all = Vec::with_capacity((end - start) as usize);
        let mut at = start;
        while at < end {
            let block_end = end.min((at / WIDTH + 1) * WIDTH);
            let (from, to) = (place(at), place(at) + (block_end - at) as usize);
            let block = match (&self.trunk, &self.tail) {
                (Some(trunk), _) if at < trunk.end() => {
                    trie::elements(trunk.leaf(at / WIDTH)?, from, to)?
                }
                (_, Some(Tail::Closed(link))) => trie::elements(link, from, to)?,
                (_, Some(Tail::Open(leaf))) => &leaf.elements[..to - from],
                (_, None) => unreachable!("BUG: a run without its tail"),
            };
            for element in block {
                all.push(element.load()?.clone());
            }
            at = block_end;
        }
        Ok(all)
    }
}

fn run(held: HeldRun, is_last: bool, next: u64) -> Result<Run, &'static str> {
    let HeldRun { start, elements, lo, hi, is_closed } = held;
    let end = start.checked_add(elements.len() as u64).filter(|end| *end <= Queue::POSITIONS_MAX);
    let end = end.ok_or("a position that no queue comes to")?;
    if !(start <= lo && lo < hi && hi <= end) {
        return Err("a run with nothing in it that is in the queue");
    }
    if hi > next {
        return Err("an element after the next position");
    }
    let trunk_end = end / WIDTH * WIDTH;
    let mut elements = elements.into_iter().map(Value::new);
    let mut trunk: Option<Trunk> = None;
    let mut at = start;
    while at < trunk_end {
        let count = WIDTH as usize - place(at);
        let leaf = Leaf { start: place(at), elements: elements.by_ref().take(count).collect() };
        let leaf = Link::new(Node::Leaf(leaf));
        let grown = Trunk::append(&mut trunk, at / WIDTH, leaf);
        grown.expect("BUG: a trie that was just made was loaded");
        at += count as u64;
    }
    if trunk.is_some() && lo >= trunk_end {
        return Err("whole blocks before the first element, which are let go of");
    }
    let leaf = Leaf { start: place(at), elements: elements.collect() };
    let tail = if leaf.elements.is_empty() {
        None
    } else if hi <= trunk_end {
        return Err("elements in a block after the last one");
    } else if is_closed || !can_be_open(hi, is_last, next) {
        Some(Tail::Closed(Link::new(Node::Leaf(leaf))))
    } else if hi < end || at < lo && trunk.is_none() {
        return Err("elements that are not in the queue, in a block that is open");
    } else {
        Some(Tail::Open(leaf))
    };
    Ok(Run { lo, hi, trunk, tail, front: None })
}

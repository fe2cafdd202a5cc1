//! Owns the sixteen parts of a branch, which are kept four and four together: who changes one part
//! of a branch that others share copies its four and points to the others, so that it counts seven
//! references and not sixteen. Must not know which part a step is in.

use std::sync::Arc;

use super::node::Link;
use crate::error::StorageError;

/// The parts of a branch: one for each value of four bits of a step's hash.
pub(crate) const SLOTS: usize = 16;
const TOGETHER: usize = 4;

/// A part of a large directory, never empty.
#[derive(Clone)]
pub(crate) struct Part {
    /// How many entries are in it.
    pub(crate) count: u64,
    pub(crate) link: Link,
}

/// The parts of a branch, of which some may not be there.
#[derive(Clone, Default)]
pub(crate) struct Slots {
    fours: [Option<Arc<Four>>; SLOTS / TOGETHER],
    /// How many entries are in all parts.
    count: u64,
}

type Four = [Option<Part>; TOGETHER];

impl Slots {
    /// How many entries are in all parts.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn get(&self, slot: usize) -> Option<&Part> {
        self.fours[slot / TOGETHER].as_ref()?[slot % TOGETHER].as_ref()
    }

    /// All slots in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&Part>> {
        (0..SLOTS).map(|slot| self.get(slot))
    }

    /// The parts that are there.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.fours.iter().flatten().flat_map(|four| four.iter().flatten())
    }

    /// Puts a part, or none, in place of what is there.
    pub(crate) fn put(&mut self, slot: usize, part: Option<Part>) {
        let there = self.slot_mut(slot);
        let before = there.as_ref().map_or(0, |part| part.count);
        let now = part.as_ref().map_or(0, |part| part.count);
        *there = part;
        self.count = self.count - before + now;
    }

    /// Changes a part, which must be there, by what says how many entries it has afterwards; one
    /// that is then empty is gone. If that fails it has as many as before.
    pub(crate) fn change(
        &mut self,
        slot: usize,
        change: impl FnOnce(&mut Part) -> Result<u64, StorageError>,
    ) -> Result<(), StorageError> {
        let there = self.slot_mut(slot);
        let part = there.as_mut().expect("BUG: a part that was looked up is gone");
        let (before, now) = (part.count, change(part)?);
        part.count = now;
        if now == 0 {
            *there = None;
        }
        self.count = self.count - before + now;
        Ok(())
    }

    /// What a part, which must be there, refers to, to be changed without adding or removing
    /// entries.
    pub(crate) fn link_mut(&mut self, slot: usize) -> &mut Link {
        let part = self.slot_mut(slot).as_mut();
        &mut part.expect("BUG: a part that was looked up is gone").link
    }

    fn slot_mut(&mut self, slot: usize) -> &mut Option<Part> {
        let four = self.fours[slot / TOGETHER].get_or_insert_default();
        &mut Arc::make_mut(four)[slot % TOGETHER]
    }
}

impl FromIterator<Option<Part>> for Slots {
    fn from_iter<I: IntoIterator<Item = Option<Part>>>(parts: I) -> Slots {
        let mut parts = parts.into_iter();
        let mut count = 0;
        let fours = std::array::from_fn(|_| {
            let four: Four = std::array::from_fn(|_| parts.next().flatten());
            count += four.iter().flatten().map(|part| part.count).sum::<u64>();
            four.iter().any(Option::is_some).then(|| Arc::new(four))
        });
        Slots { fours, count }
    }
}

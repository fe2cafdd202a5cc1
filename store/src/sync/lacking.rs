//! Owns which commits the other side lacks: a walk back from a head, in which it is asked. Must
//! not know trees.
//!
//! The walk asks about one commit, then about two, then four, so that a short difference reads
//! little and a long one takes few turns. It goes on below those that the other side lacks; who
//! has a commit has all that is before it.

use std::collections::{BTreeMap, HashSet};

use super::message::OFFER_MAX;
use crate::backend::Source;
use crate::commit::Record;
use crate::error::StorageError;
use crate::id::Id;

/// Where a commit is in the order of the walk: the greatest generation is first.
type Turn = (u64, Id);

/// The parents of commits, by turn.
type Line = BTreeMap<Turn, Vec<Id>>;

/// The walk.
pub(super) struct Lacking {
    source: Source,
    /// The head, or parents of commits that are lacking; not asked about yet.
    next: Line,
    /// What the other side is being asked about.
    asked: Vec<(Turn, Vec<Id>)>,
    /// All that were asked about.
    seen: HashSet<Id>,
    found: Vec<Turn>,
    at_once: usize,
}

impl Lacking {
    pub(super) fn new(source: &Source, heads: &[Id]) -> Result<Lacking, StorageError> {
        let mut lacking = Lacking {
            source: source.clone(),
            next: Line::new(),
            asked: Vec::new(),
            seen: HashSet::new(),
            found: Vec::new(),
            at_once: 1,
        };
        lacking.next = lacking.line(heads)?;
        Ok(lacking)
    }

    /// What to ask about next: some that are lacking perhaps, and what is before them, as if they
    /// were. Nothing, when all is known.
    pub(super) fn ask(&mut self) -> Result<Vec<Id>, StorageError> {
        let mut line = self.next.clone();
        while self.asked.len() < self.at_once
            && let Some((turn, parents)) = line.pop_last()
        {
            self.next.remove(&turn);
            self.seen.insert(turn.1);
            line.append(&mut self.line(&parents)?);
            self.asked.push((turn, parents));
        }
        self.at_once = (self.at_once * 2).min(OFFER_MAX);
        Ok(self.asked.iter().map(|((_, id), _)| *id).collect())
    }

    /// How many answers are awaited.
    pub(super) fn asked(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn answer(&mut self, has: &[bool]) -> Result<(), StorageError> {
        for ((turn, parents), has) in std::mem::take(&mut self.asked).into_iter().zip(has) {
            if !has {
                self.found.push(turn);
                let mut line = self.line(&parents)?;
                self.next.append(&mut line);
            }
        }
        Ok(())
    }

    /// What the other side lacks: each after its parents.
    pub(super) fn oldest_first(&mut self) -> Vec<Id> {
        let mut found = std::mem::take(&mut self.found);
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// Those of these commits that were not asked about.
    fn line(&self, commits: &[Id]) -> Result<Line, StorageError> {
        let mut line = Line::new();
        for id in commits.iter().filter(|id| !self.seen.contains(id)) {
            let record = Record::fetch(id, &self.source)?;
            line.insert((record.generation(), *id), record.parents().collect());
        }
        Ok(line)
    }
}

//! Owns the base of a merge: the tree of the lowest common ancestor, or one merged from several.
//! Must not know branches.

use std::cmp::Ordering;

use super::{History, lcas};
use crate::cache::Bounded;
use crate::commit::{Commit, Key};
use crate::contents::Merging;
use crate::error::StorageError;
use crate::merge;
use crate::threads::{Mutex, MutexGuard};
use crate::tree::Tree;

/// Half of how many merged bases are kept: those of recent criss-cross merges, which the next
/// one between the same branches needs again.
const BASES_HALF: usize = 64;

/// Two groups of commits, each of which counts as one commit that merged the group.
type Sides = (Vec<Commit>, Vec<Commit>);

/// What they are remembered by.
type Keys = (Vec<Key>, Vec<Key>);

/// The bases of merges.
pub(crate) struct Bases {
    merged: Mutex<Bounded<Keys, Tree>>,
}

/// A base that is being made: the ancestors that are to be merged, in the order of commits.
struct Work {
    keys: Keys,
    lowest: Vec<Commit>,
}

impl Work {
    fn new(history: &History, sides: &Sides) -> Result<Work, StorageError> {
        let mut lowest = lcas(history, &sides.0, &sides.1)?;
        // As a merge of them would take them.
        lowest.sort_by(|a, b| if a.is_before(b) { Ordering::Less } else { Ordering::Greater });
        Ok(Work { keys: keys(sides), lowest })
    }
}

impl Bases {
    pub(crate) fn new() -> Bases {
        Bases { merged: Mutex::new(Bounded::new(BASES_HALF)) }
    }

    /// The base for merging two commits.
    pub(crate) fn of(
        &self,
        history: &History,
        a: &Commit,
        b: &Commit,
        merging: Merging<'_>,
    ) -> Result<Tree, StorageError> {
        let work = Work::new(history, &(vec![a.clone()], vec![b.clone()]))?;
        match work.lowest.len() {
            0 | 1 => Ok(first(&work.lowest)),
            _ => self.merged(history, work, merging),
        }
    }

    /// Merges several ancestors, each into those before it, for which there must be bases first:
    /// a list of work instead of a recursion, because criss-cross histories may be long.
    fn merged(
        &self,
        history: &History,
        first_work: Work,
        merging: Merging<'_>,
    ) -> Result<Tree, StorageError> {
        let wanted = first_work.keys.clone();
        let mut done: Bounded<Keys, Tree> = Bounded::new(usize::MAX);
        let mut work = vec![first_work];
        while let Some(Work { keys: sides, lowest }) = work.last() {
            let mut tree = first(lowest);
            let mut blocked = None;
            for at in 1..lowest.len() {
                let below = (lowest[..at].to_vec(), vec![lowest[at].clone()]);
                let known = keys(&below);
                let Some(base) = self.known(&known).or_else(|| done.get(&known)) else {
                    blocked = Some(Work::new(history, &below)?);
                    break;
                };
                tree = merge::bases(&base, &tree, &lowest[at].tree(), merging)?;
            }
            match blocked {
                Some(below) => work.push(below),
                None => {
                    done.insert(sides.clone(), tree.clone());
                    self.cache().insert(sides.clone(), tree);
                    work.pop();
                }
            }
        }
        Ok(done.get(&wanted).expect("BUG: the first of the work is done last"))
    }

    fn known(&self, sides: &Keys) -> Option<Tree> {
        self.cache().get(sides)
    }

    fn cache(&self) -> MutexGuard<'_, Bounded<Keys, Tree>> {
        self.merged.lock().expect("BUG: a thread panicked inside the cache of merge bases")
    }
}

fn keys(sides: &Sides) -> Keys {
    let keys = |side: &[Commit]| side.iter().map(Commit::key).collect();
    (keys(&sides.0), keys(&sides.1))
}

fn first(lowest: &[Commit]) -> Tree {
    lowest.first().map_or_else(Tree::empty, Commit::tree)
}

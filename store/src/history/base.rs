//! Owns the base of a merge: the tree of the lowest common ancestor, or one merged from several.
//! Must not know branches.

use std::sync::Mutex;

use super::{History, lcas};
use crate::cache::Bounded;
use crate::error::StorageError;
use crate::id::Id;
use crate::merge;
use crate::tree::Tree;

/// Half of how many merged bases are kept: those of recent criss-cross merges, which the next
/// one between the same branches needs again.
const BASES_HALF: usize = 64;

/// Two groups of commits, each of which counts as one commit that merged the group.
type Sides = (Vec<Id>, Vec<Id>);

/// The bases of merges.
pub(crate) struct Bases {
    merged: Mutex<Bounded<Sides, Tree>>,
}

/// A base that is being made: the ancestors that are to be merged, in the order of commits.
struct Work {
    sides: Sides,
    lowest: Vec<Id>,
}

impl Bases {
    pub(crate) fn new() -> Bases {
        Bases { merged: Mutex::new(Bounded::new(BASES_HALF)) }
    }

    /// The base for merging two commits.
    pub(crate) fn of(&self, history: &History, a: &Id, b: &Id) -> Result<Tree, StorageError> {
        let sides = (vec![*a], vec![*b]);
        let lowest = lowest(history, &sides)?;
        if lowest.len() > 1 {
            self.merged(history, Work { sides, lowest })
        } else {
            single(history, &lowest)
        }
    }

    /// Merges several ancestors, each into those before it, for which there must be bases first:
    /// a list of work instead of a recursion, because criss-cross histories may be long.
    fn merged(&self, history: &History, first: Work) -> Result<Tree, StorageError> {
        let wanted = first.sides.clone();
        let mut done: Bounded<Sides, Tree> = Bounded::new(usize::MAX);
        let mut work = vec![first];
        while let Some(Work { sides, lowest }) = work.last() {
            let mut tree = single(history, &lowest[..lowest.len().min(1)])?;
            let mut blocked = None;
            for at in 1..lowest.len() {
                let below = (lowest[..at].to_vec(), vec![lowest[at]]);
                let Some(base) = self.known(&below).or_else(|| done.get(&below)) else {
                    let lowest = self::lowest(history, &below)?;
                    blocked = Some(Work { sides: below, lowest });
                    break;
                };
                let next = history.commit(&lowest[at])?.tree();
                tree = merge::bases(&base, &tree, &next)?;
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

    fn known(&self, sides: &Sides) -> Option<Tree> {
        self.cache().get(sides)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Bounded<Sides, Tree>> {
        self.merged.lock().expect("BUG: a thread panicked inside the cache of merge bases")
    }
}

/// The lowest common ancestors in the order of commits, as a merge of them would take them.
fn lowest(history: &History, sides: &Sides) -> Result<Vec<Id>, StorageError> {
    let found = lcas(history, &sides.0, &sides.1)?;
    let mut ordered: Vec<_> = found
        .iter()
        .map(|id| Ok(history.record(id)?.order()))
        .collect::<Result<_, StorageError>>()?;
    ordered.sort_unstable();
    Ok(ordered.into_iter().map(|(_, id)| id).collect())
}

fn single(history: &History, lowest: &[Id]) -> Result<Tree, StorageError> {
    match lowest.first() {
        Some(id) => Ok(history.commit(id)?.tree()),
        None => Ok(Tree::empty()),
    }
}

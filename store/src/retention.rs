//! Owns which commits keep their trees when old ones are let go. Must not know how anything is
//! removed.
//!
//! A commit that does not keep its tree stays: who asked for what, when, and with what result is
//! a chain of hashes that must not break, and is small. What stood there at the time is what takes
//! the space.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::rc::Rc;

use crate::backend::{Backend, Source};
use crate::commit::{Commit, Meta, Record};
use crate::error::{StorageError, UpdateError};
use crate::id::Id;
use crate::lazy::decode_checked;
use crate::name::BranchName;
use crate::references::{CommitFacts, commit_facts, references};
use crate::store::Store;

/// Which commits keep their trees: those that any of these rules names, the head of every branch,
/// and the commits that a merge of two branches would be based on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many commits of each branch, whatever was merged into it included.
    pub newest: usize,
    /// All that were made at this time or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// All that these branches lead to. One that is not there keeps nothing.
    pub branches: Vec<BranchName>,
}

/// The branch on which it is written down who let go of what.
pub const RETENTION: &str = "store/retention";

/// The field of its commits that says before which time a commit may lack its tree.
const TREES_SINCE_MS: &str = "trees_since_ms";

/// Commits that need not keep their trees.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LetGo {
    commits: HashSet<Id>,
    /// A time before which all of them were made, and all that may lack their trees already.
    before_ms: u64,
}

impl Store {
    /// Finds the commits whose trees these rules let go, and writes down on [`RETENTION`] that
    /// this was done, when and by whom. The collection of the backend that is given them then
    /// removes the trees: until it has, nothing is gone.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("store");
    /// use std::sync::Arc;
    /// use jitsu_store::backend::{Log, LogOptions};
    /// use jitsu_store::{BranchName, Contents, Keep, Meta, Store, Tree};
    /// let log = Arc::new(Log::open(&folder, LogOptions::default())?);
    /// let store = Store::on(log.clone())?;
    /// let (main, path) = (BranchName::new("main")?, "mood".parse()?);
    /// for mood in ["bad", "so so", "good"] {
    ///     store.update(&main, Meta::default(), |it| it.set(&path, Contents::text(mood)))?;
    /// }
    /// let found = store.let_go(&Keep { newest: 1, ..Keep::default() }, &Meta::default())?;
    /// log.let_go(&found)?;
    /// assert!(store.keeps_tree(&store.resolve("main")?)?);
    /// assert!(!store.keeps_tree(&store.resolve("main~1")?)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn let_go(&self, keep: &Keep, meta: &Meta) -> Result<LetGo, UpdateError<Infallible>> {
        let let_go = self.would_let_go(keep).map_err(UpdateError::Storage)?;
        if !let_go.commits.is_empty() {
            let mut meta = meta.clone();
            meta.fields.insert(TREES_SINCE_MS.to_owned(), let_go.before_ms.to_string());
            self.update(&branch(), meta, |_| Ok(()))?;
        }
        Ok(let_go)
    }

    /// Whether a commit has its tree still.
    pub fn keeps_tree(&self, commit: &Commit) -> Result<bool, StorageError> {
        self.history().keeps_tree(commit)
    }

    /// Takes in that commits before a time may lack their trees, as another store says.
    pub(crate) fn take_let_go(&self, before_ms: u64) -> Result<(), StorageError> {
        if self.let_go_before_ms()? >= before_ms {
            return Ok(());
        }
        let message = "take in commits whose trees another store let go".to_owned();
        let fields = BTreeMap::from([(TREES_SINCE_MS.to_owned(), before_ms.to_string())]);
        let meta = Meta { time_ms: before_ms, author: "store".to_owned(), message, fields };
        match self.update(&branch(), meta, |_| Ok::<(), Infallible>(())) {
            Ok(_) => Ok(()),
            Err(UpdateError::Storage(error)) => Err(error),
            // Whoever moves it so often writes it down as well.
            Err(UpdateError::Raced { .. }) => Ok(()),
            Err(UpdateError::Edit(never)) => match never {},
        }
    }

    /// Before which time a commit may lack its tree here.
    pub(crate) fn let_go_before_ms(&self) -> Result<u64, StorageError> {
        Ok(trees_since_ms(self.head(&branch())?.as_ref().map(Commit::meta)))
    }

    fn would_let_go(&self, keep: &Keep) -> Result<LetGo, StorageError> {
        let mut let_go = keep.of(&self.history().objects()?, &self.branches()?)?;
        let_go.before_ms = let_go.before_ms.max(self.let_go_before_ms()?);
        Ok(let_go)
    }
}

impl LetGo {
    /// How many commits do not keep their trees.
    pub fn commits(&self) -> usize {
        self.commits.len()
    }

    /// What was let go of a backend before.
    pub(crate) fn of(backend: &dyn Backend) -> Result<LetGo, StorageError> {
        let Some(head) = backend.head(&branch())? else { return Ok(LetGo::default()) };
        let bytes = backend.get(&head)?.ok_or(StorageError::Missing { id: head })?;
        let before_ms = commit_facts(&head, &bytes).map_or(0, |facts| facts.trees_since_ms);
        Ok(LetGo { commits: HashSet::new(), before_ms })
    }

    /// What has to stay of what an object refers to. Whether an object is there is asked of
    /// commits that may have been let go before.
    pub(crate) fn needed<E: From<StorageError>>(
        &self,
        id: &Id,
        bytes: &[u8],
        is_there: impl FnOnce(&Id) -> Result<bool, E>,
    ) -> Result<Vec<Id>, E> {
        let mut below = decode_checked(id, bytes, references)?;
        if let Some(CommitFacts { time_ms, .. }) = commit_facts(id, bytes)
            && (self.commits.contains(id) || (time_ms < self.before_ms && !is_there(&below[0])?))
        {
            below.remove(0);
        }
        Ok(below)
    }
}

/// Before which time a commit may lack its tree, as the newest commit of [`RETENTION`] says.
pub(crate) fn trees_since_ms(head: Option<&Meta>) -> u64 {
    let said = head.and_then(|meta| meta.fields.get(TREES_SINCE_MS));
    // Nonsense lets go of nothing.
    said.and_then(|said| said.parse().ok()).unwrap_or(0)
}

/// The metadata of a merge: what either side let go of is let go of.
pub(crate) fn merged(into: &BranchName, ours: &Commit, theirs: &Commit, mut meta: Meta) -> Meta {
    if into.as_str() == RETENTION {
        let since_ms = [ours, theirs].map(|side| trees_since_ms(Some(side.meta())));
        let since_ms = since_ms.into_iter().max().unwrap_or(0);
        meta.fields.insert(TREES_SINCE_MS.to_owned(), since_ms.to_string());
    }
    meta
}

/// The branch [`RETENTION`].
pub(crate) fn branch() -> BranchName {
    BranchName::new(RETENTION).expect("BUG: a name of ours that is none")
}

/// Which of some commits lead to one, by numbers: heads of branches, and bases of merges, as
/// several of them may be merged to be one base, for which there must be bases as well.
#[derive(Clone, Default, PartialEq, Eq)]
struct Colour(Rc<Vec<u64>>);

impl Colour {
    fn add(&mut self, number: usize) {
        let words = Rc::make_mut(&mut self.0);
        if words.len() <= number / 64 {
            words.resize(number / 64 + 1, 0);
        }
        words[number / 64] |= 1 << (number % 64);
    }

    fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn join(&mut self, other: &Colour) {
        let is_new = |(at, theirs): (usize, &u64)| theirs & !self.0.get(at).unwrap_or(&0) != 0;
        if !other.0.iter().enumerate().any(is_new) {
            return;
        }
        let words = Rc::make_mut(&mut self.0);
        words.resize(words.len().max(other.0.len()), 0);
        words.iter_mut().zip(&*other.0).for_each(|(ours, theirs)| *ours |= theirs);
    }
}

/// A commit that is still to be looked at, of which all descendants were.
struct Waiting {
    record: Record,
    colour: Colour,
    /// The colours of its children that differ: no more than two matter.
    children: Vec<Colour>,
}

/// Commits by generation, so that a commit has its turn after all its descendants.
type Line = BTreeMap<(u64, Id), Waiting>;

impl Keep {
    /// What of all that these branches lead to does not keep its tree.
    pub(crate) fn of(
        &self,
        source: &Source,
        heads: &[(BranchName, Id)],
    ) -> Result<LetGo, StorageError> {
        let mut kept = HashSet::new();
        let mut let_go = LetGo::default();
        let mut line = Line::new();
        for (at, (_, head)) in heads.iter().enumerate() {
            let mut colour = Colour::default();
            colour.add(at);
            reach(&mut line, source, *head, &colour)?;
            kept.extend(newest(source, *head, self.newest.max(1))?);
        }
        // What is written down of retention is kept, and so costs no tree each time.
        let is_named = |it: &BranchName| self.branches.contains(it) || it.as_str() == RETENTION;
        let named = heads.iter().enumerate().filter(|(_, (it, _))| is_named(it));
        let named: Vec<usize> = named.map(|(at, _)| at).collect();
        let mut numbers = heads.len()..;
        while let Some(((_, id), Waiting { record, mut colour, children })) = line.pop_last() {
            let time_ms = record.meta().time_ms;
            // Else all that lead to it lead to one of its children together.
            let is_base = !children.contains(&colour);
            let is_named = named.iter().any(|branch| colour.has(*branch));
            let is_young = self.since_ms.is_some_and(|since_ms| time_ms >= since_ms);
            if !(is_base || is_named || is_young || kept.contains(&id)) {
                let_go.commits.insert(id);
                let_go.before_ms = let_go.before_ms.max(time_ms.saturating_add(1));
            }
            if is_base {
                colour.add(numbers.next().expect("BUG: it has no end"));
            }
            for parent in record.parents() {
                let waiting = reach(&mut line, source, parent, &colour)?;
                if !waiting.children.contains(&colour) {
                    waiting.children.push(colour.clone());
                }
            }
        }
        Ok(let_go)
    }
}

fn reach<'a>(
    line: &'a mut Line,
    source: &Source,
    id: Id,
    colour: &Colour,
) -> Result<&'a mut Waiting, StorageError> {
    let record = Record::fetch(&id, source)?;
    let waiting = line.entry((record.generation(), id)).or_insert_with(|| Waiting {
        record,
        colour: colour.clone(),
        children: Vec::new(),
    });
    waiting.colour.join(colour);
    Ok(waiting)
}

/// The newest so many commits of all that a head leads to.
pub(crate) fn newest(source: &Source, head: Id, count: usize) -> Result<Vec<Id>, StorageError> {
    let mut line = BTreeMap::new();
    let turn = |id: Id, record: &Record| (record.generation(), record.meta().time_ms, id);
    let record = Record::fetch(&head, source)?;
    line.insert(turn(head, &record), record);
    let mut newest = Vec::new();
    while newest.len() < count
        && let Some(((.., id), record)) = line.pop_last()
    {
        newest.push(id);
        for parent in record.parents() {
            let record = Record::fetch(&parent, source)?;
            line.insert(turn(parent, &record), record);
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests;

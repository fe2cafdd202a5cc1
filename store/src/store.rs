//! Owns the store: branches over a backend, and what is kept in memory to be quick. Must not know
//! how a backend keeps anything, nor how trees merge.

use std::collections::HashMap;
#[cfg(unix)]
use std::path::Path as FilePath;
use std::sync::Arc;

use crate::backend::{Backend, Source};
#[cfg(unix)]
use crate::backend::{Log as LogBackend, LogOptions};
use crate::batch::{Batch, Merged};
use crate::cache::Bounded;
use crate::commit::{Commit, CommitRef, Meta};
use crate::contents::{Custom, Merging, Types};
use crate::diff::{self, Change};
use crate::error::{MergeError, PublishError, StorageError, UpdateError};
use crate::history::{self, Ancestors, Bases, History, Log, Moved, Stored, Values};
use crate::id::{Id, IdPrefix};
use crate::merge::{self, Conflict, First};
use crate::name::BranchName;
use crate::threads::{Mutex, MutexGuard, RwLock};
use crate::tree::Tree;
use crate::watch::{HeadMoved, Watch, Watches};

/// How often an update or a merge is tried before it gives up.
pub const TRIES_MAX: usize = 13;
/// The most commits that [`Store::find_commits`] finds.
pub const FOUND_MAX: usize = 64;
/// Half of for how many branches it is kept what was merged into them.
const ANCESTORS_HALF: usize = 4;

/// A branch-consistent store: branches of commits of trees, over some backend. A clone is the
/// same store, and may be used by any thread.
///
/// ```
/// use jitsu_store::{BranchName, Contents, Meta, Path, Store};
/// let store = Store::memory();
/// let main = BranchName::new("main")?;
/// let path: Path = "services/www/wanted".parse()?;
/// let meta = Meta { author: "uid 1000".into(), message: "start www".into(), ..Meta::default() };
/// let (commit, ()) = store.update(&main, meta, |tree| {
///     tree.set(&path, Contents::text("running"))
/// })?;
/// let head = store.head(&main)?.unwrap();
/// assert_eq!(head.id(), commit.id());
/// assert_eq!(head.tree().get(&path)?, Some(Contents::text("running")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    history: Arc<History>,
    bases: Bases,
    ancestors: Mutex<Bounded<BranchName, Arc<Mutex<Option<Ancestors>>>>>,
    watches: Watches,
    listeners: RwLock<Vec<Listener>>,
    types: RwLock<Arc<Types>>,
}

type Listener = Box<dyn Fn(&[HeadMoved]) + Send + Sync>;

impl Store {
    /// The store in a folder, on a [`Log`](crate::backend::Log); begun if there is none. Nobody
    /// else may have it open to write. Each commit is durable when it is told.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("store");
    /// use jitsu_store::{BranchName, Contents, Meta, Store, Tree};
    /// let main = BranchName::new("main")?;
    /// let path = "greeting".parse()?;
    /// let set = |tree: &mut Tree| tree.set(&path, Contents::text("hello"));
    /// Store::open(&folder)?.update(&main, Meta::default(), set)?;
    /// let tree = Store::open(&folder)?.head(&main)?.unwrap().tree();
    /// assert_eq!(tree.get(&path)?, Some(Contents::text("hello")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    pub fn open(folder: impl AsRef<FilePath>) -> Result<Store, StorageError> {
        Store::on(Arc::new(LogBackend::open(folder, LogOptions::default())?))
    }

    /// A store on a backend. Two stores on one backend see each other's commits, but not each
    /// other's watches.
    pub fn on(backend: Arc<dyn Backend>) -> Result<Store, StorageError> {
        Ok(Store::over(History::Stored(Stored::open(Source::new(backend))?)))
    }

    fn over(history: History) -> Store {
        let shared = Shared {
            history: Arc::new(history),
            bases: Bases::new(),
            ancestors: Mutex::new(Bounded::new(ANCESTORS_HALF)),
            watches: Watches::default(),
            listeners: RwLock::default(),
            types: RwLock::default(),
        };
        Store { shared: Arc::new(shared) }
    }

    /// An empty store in memory that keeps values: nothing is encoded, and nothing is hashed before
    /// somebody asks for an id. (Over a [`crate::backend::Memory`] it is all done as on a disk.)
    pub fn memory() -> Store {
        Store::over(History::Values(Values::default()))
    }

    /// Makes a type of the user's own known, so that it can be merged here. Values of a type that
    /// is not known are kept, and conflict where both sides change them. It is known to this store
    /// and its clones, until they are closed; of two types of one name, the later.
    pub fn register<T: Custom>(&self) {
        Arc::make_mut(&mut self.shared.types.write().expect(PANICKED)).register::<T>();
    }

    /// The newest durable commit of a branch; `None` if there is no such branch.
    pub fn head(&self, branch: &BranchName) -> Result<Option<Commit>, StorageError> {
        self.shared.history.head(branch)
    }

    /// All branches and their heads, by name.
    pub fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        self.shared.history.branches()
    }

    /// A commit; `None` if it is not in this store.
    pub fn commit(&self, id: &Id) -> Result<Option<Commit>, StorageError> {
        self.shared.history.find(id)
    }

    /// All commits whose ids begin with these hexadecimal digits, sorted, but at most
    /// [`FOUND_MAX`]. Digits that no id has find nothing.
    pub fn find_commits(&self, hex_prefix: &str) -> Result<Vec<Id>, StorageError> {
        let Ok(prefix) = hex_prefix.parse::<IdPrefix>() else { return Ok(Vec::new()) };
        let mut found = self.shared.history.ids_with_prefix(&prefix, FOUND_MAX)?;
        found.sort_unstable();
        Ok(found)
    }

    /// Changes a branch: takes its tree, edits it, and commits the result on top of the head it
    /// was taken from. If someone else moves the branch meanwhile the edit runs again on the new
    /// tree, at most [`TRIES_MAX`] times in all. A branch that is not there begins with the empty
    /// tree; an edit that changes nothing is a commit as well; after one that fails, nothing has
    /// changed.
    pub fn update<T, E>(
        &self,
        branch: &BranchName,
        mut meta: Meta,
        mut edit: impl FnMut(&mut Tree) -> Result<T, E>,
    ) -> Result<(Commit, T), UpdateError<E>> {
        for _ in 0..TRIES_MAX {
            let epoch = self.shared.history.epoch();
            let old = self.head(branch).map_err(UpdateError::Storage)?;
            let mut tree = old.as_ref().map_or_else(Tree::empty, Commit::tree);
            let result = edit(&mut tree).map_err(UpdateError::Edit)?;
            let parents = old.as_ref();
            let made = self.shared.history.create(epoch, parents.as_slice(), tree, meta);
            let (commit, _) = made.map_err(UpdateError::Storage)?;
            let moved = Moved { branch: branch.clone(), old, new: Some(commit.clone()) };
            match self.publish(epoch, &[moved]) {
                Ok(()) => return Ok((commit, result)),
                // A copy for the next one, which is seldom needed.
                Err(PublishError::Raced(_)) => meta = commit.meta().clone(),
                Err(PublishError::Storage(error)) => return Err(UpdateError::Storage(error)),
            }
        }
        Err(UpdateError::Raced { branch: branch.clone(), tries: TRIES_MAX })
    }

    /// A transaction over several branches.
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    /// Changes several branches: publishes what this does with a batch. If someone else moves one
    /// of its branches meanwhile it is done again with a new batch, at most [`TRIES_MAX`] times in
    /// all.
    ///
    /// ```
    /// use jitsu_store::{BranchName, Contents, Forward, Meta, StorageError, Store, TreeError};
    /// let store = Store::memory();
    /// let (main, draft) = (BranchName::new("main")?, BranchName::new("draft")?);
    /// let set = |tree: &mut jitsu_store::Tree| tree.set(&"a".parse().unwrap(), Contents::text("b"));
    /// let (drafted, ()) = store.update(&draft, Meta::default(), set)?;
    /// let came = store.transact(|batch| {
    ///     batch.delete(&draft)?;
    ///     batch.forward(&main, &drafted)
    /// })?;
    /// assert_eq!(came, Forward::Moved);
    /// assert_eq!(store.branches()?, [(main, drafted.id())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transact<T, E>(
        &self,
        mut act: impl FnMut(&mut Batch) -> Result<T, E>,
    ) -> Result<T, UpdateError<E>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut batch = self.batch();
            let done = act(&mut batch).map_err(UpdateError::Edit)?;
            match batch.publish() {
                Ok(()) => return Ok(done),
                Err(PublishError::Raced(branch)) if tries == TRIES_MAX => {
                    return Err(UpdateError::Raced { branch, tries });
                }
                Err(PublishError::Raced(_)) => {}
                Err(PublishError::Storage(error)) => return Err(UpdateError::Storage(error)),
            }
        }
    }

    /// Merges a commit into a branch, as [`Batch::merge`], trying again if someone else moves the
    /// branch meanwhile.
    #[expect(clippy::needless_pass_by_value, reason = "as Batch::commit, which keeps it")]
    pub fn merge(
        &self,
        into: &BranchName,
        from: impl Into<CommitRef>,
        meta: Meta,
    ) -> Result<Merged, MergeError> {
        let from = from.into();
        Ok(self.transact(|batch| batch.merge(into, from.clone(), meta.clone()))?)
    }

    /// What differs between two trees, in the order of paths. The cost follows the change.
    pub fn diff(&self, before: &Tree, after: &Tree) -> Result<Vec<Change>, StorageError> {
        diff::diff(before.root(), after.root())
    }

    /// Merges two trees that were made from `base`. With the tree of a commit as `base` and that
    /// of its parent as `theirs` this reverts the commit in `ours`. Where an order is needed, what
    /// ours did is first.
    pub fn merge_trees(
        &self,
        base: &Tree,
        ours: &Tree,
        theirs: &Tree,
    ) -> Result<Result<Tree, Vec<Conflict>>, StorageError> {
        merge::trees(base, ours, theirs, &|| First::Ours, Merging::with(&self.types()))
    }

    /// The lowest common ancestors of two commits, sorted: none if they are unrelated, several if
    /// their branches were merged into each other crosswise.
    pub fn lcas(&self, a: &Id, b: &Id) -> Result<Vec<Id>, StorageError> {
        let history = &self.shared.history;
        let found = history::lcas(history, &[history.commit(a)?], &[history.commit(b)?])?;
        let mut ids: Vec<Id> = found.iter().map(Commit::id).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Whether a commit is `of` itself or an ancestor of it.
    pub fn is_ancestor(&self, ancestor: &Id, of: &Id) -> Result<bool, StorageError> {
        let history = &self.shared.history;
        history::is_ancestor(history, &history.commit(ancestor)?, &history.commit(of)?)
    }

    /// A commit and all its ancestors, newest first. A commit that is not in this store is the
    /// first thing it says, as [`StorageError::Missing`].
    pub fn log(&self, from: &Id) -> Log {
        Log::new(self.shared.history.clone(), *from)
    }

    /// The movements of a branch from now on, whether it exists or not.
    pub fn watch(&self, branch: &BranchName) -> Result<Watch, StorageError> {
        self.shared.watches.watch(branch, &self.shared.history)
    }

    /// Calls this after each publishing, when the heads are durable, on the thread that published.
    /// Several threads may call at once, in another order than the heads moved in. It must not
    /// call `on_publish` itself.
    pub fn on_publish(&self, listener: Listener) {
        self.shared.listeners.write().expect(PANICKED).push(listener);
    }

    pub(crate) fn publish(&self, epoch: u64, moved: &[Moved]) -> Result<(), PublishError> {
        if moved.is_empty() {
            return Ok(());
        }
        let history = &self.shared.history;
        if !history.set_heads(epoch, moved)? {
            return Err(PublishError::Raced(raced(moved, history)?));
        }
        self.shared.watches.ring(moved, history);
        let listeners = self.shared.listeners.read().expect(PANICKED);
        if !listeners.is_empty() {
            let moved: Vec<HeadMoved> = moved.iter().map(HeadMoved::of).collect();
            listeners.iter().for_each(|listener| listener(&moved));
        }
        Ok(())
    }

    /// Keeps in memory what a batch that was published knows.
    pub(crate) fn keep(&self, ancestors: HashMap<BranchName, Ancestors>) {
        for (branch, known) in ancestors {
            self.ancestors().insert(branch, Arc::new(Mutex::new(Some(known))));
        }
    }

    /// What was kept about the ancestors of the head of a branch. Whoever takes it brings it back
    /// with [`Store::keep`]; others meanwhile begin with nothing.
    pub(crate) fn take_ancestors(&self, of: &BranchName) -> Option<Ancestors> {
        let known = self.ancestors().get(of)?;
        known.lock().expect(PANICKED).take()
    }

    pub(crate) fn types(&self) -> Arc<Types> {
        self.shared.types.read().expect(PANICKED).clone()
    }

    pub(crate) fn history(&self) -> &History {
        &self.shared.history
    }

    pub(crate) fn bases(&self) -> &Bases {
        &self.shared.bases
    }

    fn ancestors(&self) -> MutexGuard<'_, Bounded<BranchName, Arc<Mutex<Option<Ancestors>>>>> {
        self.shared.ancestors.lock().expect(PANICKED)
    }
}

/// Which of these branches is not where it should be.
fn raced(moved: &[Moved], history: &History) -> Result<BranchName, StorageError> {
    for Moved { branch, old, .. } in moved {
        if history::key(history.head(branch)?.as_ref()) != history::key(old.as_ref()) {
            return Ok(branch.clone());
        }
    }
    // By now it is back where it was: the first stands for all.
    Ok(moved[0].branch.clone())
}

const PANICKED: &str = "BUG: a thread panicked inside the store";

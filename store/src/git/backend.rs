//! Owns the backend whose truth is a Git repository: which of its commits a head is, and in what
//! order a movement becomes durable. Must not know how a commit is written there, nor how a branch
//! is.
//!
//! ```text
//!   put, get ──▶ cache, in the store's own encoding        head ──▶ the ref; what Git committed
//!                                                                   meanwhile comes to the cache
//!   set_heads ──▶ Git's objects ──▶ note, flush ──▶ refs locked ──▶ refs moved, flush
//!                                  where they should be? ┘
//! ```
//!
//! No head is kept anywhere but in the refs. Git moves refs one after the other; so the movement of
//! several is noted before the first one moves, and finished by whoever opens the repository next.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard};

use super::error::GitError;
use super::export::{self, check_names};
use super::ids::Ids;
use super::import;
use super::names::{git_branch, store_branch};
use super::object::GitId;
use super::pending::{self, Stage};
use super::repository::{Move, Repository};
use crate::backend::lock::{Lock, lock};
use crate::backend::{Backend, HeadChange, Log, LogOptions, Memory};
use crate::codec::ObjectKind;
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;
use crate::store::Store;

const CACHE: &str = "jitsu-cache";
const LOCK: &str = "jitsu-lock";

/// A backend that keeps its heads, and all that they reach, in a bare Git repository. Git may be
/// used on the repository meanwhile: what it commits, merges, or is pushed is a head here at once,
/// and a head that it moved is raced for as one that another thread moved.
///
/// Objects are found in a cache beside the repository, in the store's own encoding. What is in it
/// and in no head is not in Git. It may be removed while nobody has the repository open, and is
/// made again from the repository.
///
/// When [`Backend::set_heads`] returns, Git's objects, the refs and the cache are flushed. Heads are
/// commits, since Git has no other branches: anything else is refused. All who publish wait for
/// each other, and who asks for a head for the one who publishes. Git itself, and a crash between
/// two refs of one movement, can be seen by Git alone: whoever opens the repository as a backend
/// finishes the movement first.
///
/// One process at a time has the repository open in this way. One that is killed may leave a ref
/// locked, so that Git refuses to move it before the repository is opened here again.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("plans.git");
/// use std::sync::Arc;
/// use jitsu_store::git::{GitBackend, ObjectFormat, Repository};
/// use jitsu_store::{BranchName, Contents, Meta, Store, Tree};
/// let backend = GitBackend::open(Repository::create(&folder, ObjectFormat::Sha1)?)?;
/// let store = Store::on(Arc::new(backend))?;
/// let path = "greeting".parse()?;
/// let set = |tree: &mut Tree| tree.set(&path, Contents::text("hello"));
/// store.update(&BranchName::new("main")?, Meta::default(), set)?;
/// assert!(folder.join("refs/heads/main").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct GitBackend {
    cache: Arc<dyn Backend>,
    /// The commits in the cache, as the lens reads and makes them.
    commits: Store,
    state: Mutex<State>,
    _lock: Lock,
}

struct State {
    repository: Repository,
    ids: Ids,
    /// A flush or a movement failed, so that it is not known what is on disk.
    is_failed: bool,
}

impl GitBackend {
    /// Opens a bare repository, with its cache in a folder `jitsu-cache` inside.
    pub fn open(repository: Repository) -> Result<GitBackend, StorageError> {
        let cache = repository.path().join(CACHE);
        GitBackend::new(repository, || {
            Ok(Arc::new(Log::open(cache, LogOptions::default())?) as Arc<dyn Backend>)
        })
    }

    /// The same with its cache in memory, made from the repository each time it is opened.
    pub fn open_cached_in_memory(repository: Repository) -> Result<GitBackend, StorageError> {
        GitBackend::new(repository, || Ok(Arc::new(Memory::new()) as Arc<dyn Backend>))
    }

    fn new(
        repository: Repository,
        cache: impl FnOnce() -> Result<Arc<dyn Backend>, StorageError>,
    ) -> Result<GitBackend, StorageError> {
        if !repository.is_bare() {
            return Err(GitError::NotBare(repository.path().to_owned()).into());
        }
        let ids = export::known(&repository)?;
        let lock = lock(repository.path().join(LOCK))?;
        finish(&repository)?;
        let cache = cache()?;
        let commits = Store::on(cache.clone())?;
        let state = Mutex::new(State { repository, ids, is_failed: false });
        Ok(GitBackend { cache, commits, state, _lock: lock })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("BUG: a thread panicked inside the Git backend")
    }

    /// The commit of the store that one of Git is, which the cache has then.
    fn taken(&self, state: &mut State, git: GitId) -> Result<Id, GitError> {
        let id = import::commit(&self.commits, &state.repository, &mut state.ids, git)?;
        // What cannot be remembered is looked at again.
        let _ = state.ids.save();
        Ok(id)
    }

    /// What the heads to move point at, if each is where it should be.
    fn heads(
        &self,
        state: &mut State,
        changes: &[HeadChange],
    ) -> Result<Option<Vec<Move>>, GitError> {
        let mut moves = Vec::with_capacity(changes.len());
        for HeadChange { branch, old: expected, .. } in changes {
            let branch = git_branch(branch);
            let old = state.repository.branch(&branch)?;
            let head = old.map(|git| self.taken(state, git)).transpose()?;
            if head != *expected {
                return Ok(None);
            }
            moves.push(Move { branch, old, new: None });
        }
        Ok(Some(moves))
    }

    /// Writes the commit that is to be a head.
    fn written(&self, state: &mut State, branch: &BranchName, id: Id) -> Result<GitId, GitError> {
        let bytes = self.cache.get(&id)?.ok_or(StorageError::Missing { id })?;
        if ObjectKind::of(&bytes) != Some(ObjectKind::Commit) {
            return Err(GitError::Head { branch: branch.clone(), id });
        }
        let written = export::write(&self.commits, &state.repository, &mut state.ids, &[id])?;
        Ok(written[0])
    }
}

impl State {
    /// Moves these branches, durably with all objects, if they are where they were.
    fn publish(&mut self, moves: &[Move]) -> Result<bool, GitError> {
        let State { repository, ids, is_failed } = self;
        // Until it is known again.
        *is_failed = true;
        let path = repository.path();
        let noting = |error| repository.failed("note a movement in", error);
        pending::note(path, Stage::Locking, moves).map_err(noting)?;
        repository.sync()?;
        let locked = match repository.lock_branches(moves) {
            Ok(locked) => locked,
            Err(error) => {
                pending::forget(path, Stage::Locking).map_err(noting)?;
                *is_failed = false;
                return if is_raced(repository, moves)? { Ok(false) } else { Err(error) };
            }
        };
        // One alone has moved or has not.
        let stage = if moves.len() > 1 { Stage::Moving } else { Stage::Locking };
        if stage == Stage::Moving {
            pending::note(path, stage, moves).map_err(noting)?;
        }
        locked.commit()?;
        pending::forget(path, stage).map_err(noting)?;
        *is_failed = false;
        // What cannot be remembered is looked at again.
        let _ = ids.save();
        Ok(true)
    }
}

fn is_raced(repository: &Repository, moves: &[Move]) -> Result<bool, GitError> {
    for Move { branch, old, .. } in moves {
        if repository.branch(branch)? != *old {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Finishes a movement in which the last process that had the repository open came to its end.
fn finish(repository: &Repository) -> Result<(), GitError> {
    let noting = |error| repository.failed("finish a movement in", error);
    let Some((stage, moves)) = pending::noted(repository.path()).map_err(noting)? else {
        return Ok(());
    };
    repository.break_locks(&moves)?;
    if stage == Stage::Moving {
        let mut left = Vec::new();
        for it in moves {
            // One that is elsewhere was moved, and maybe moved on by Git.
            let is_left = repository.branch(&it.branch)? == it.old;
            if is_left && it.new.is_none_or(|new| repository.has(&new)) {
                left.push(it);
            }
        }
        repository.move_branches(&left)?;
    }
    pending::forget(repository.path(), stage).map_err(noting)
}

impl Backend for GitBackend {
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError> {
        self.cache.get(id)
    }

    fn contains(&self, id: &Id) -> Result<bool, StorageError> {
        self.cache.contains(id)
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.cache.put(id, bytes)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.cache.sync()
    }

    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError> {
        let state = &mut self.state();
        let git = state.repository.branch(&git_branch(branch))?;
        Ok(git.map(|git| self.taken(state, git)).transpose()?)
    }

    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError> {
        let state = &mut self.state();
        if state.is_failed {
            return Err(StorageError::Poisoned);
        }
        let Some(mut moves) = self.heads(state, changes)? else { return Ok(false) };
        if moves.iter().zip(changes).any(|(it, change)| it.old.is_none() && change.new.is_some()) {
            let there = state.repository.branches()?;
            check_names(changes.iter().map(|change| &change.branch), there.keys())?;
        }
        for (it, HeadChange { branch, new, .. }) in moves.iter_mut().zip(changes) {
            it.new = new.map(|id| self.written(state, branch, id)).transpose()?;
        }
        self.cache.sync()?;
        moves.retain(|it| it.old.is_some() || it.new.is_some());
        Ok(moves.is_empty() || state.publish(&moves)?)
    }

    fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        let state = &mut self.state();
        let mut branches = Vec::new();
        // In the same order on both sides: what `*` is there comes before all else as well.
        for (name, git) in state.repository.branches()? {
            if let Some(branch) = store_branch(&name) {
                branches.push((branch, self.taken(state, git)?));
            }
        }
        Ok(branches)
    }

    fn ids_with_prefix(
        &self,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError> {
        self.cache.ids_with_prefix(kind, prefix, limit)
    }
}

impl From<GitError> for StorageError {
    fn from(error: GitError) -> StorageError {
        match error {
            GitError::Storage(error) => error,
            other => StorageError::Git(Arc::new(other)),
        }
    }
}

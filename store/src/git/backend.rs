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

use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};

use super::cache::{self, Cache, Place};
use super::error::GitError;
use super::export::{self, check_names};
use super::ids::Ids;
use super::import;
use super::names::{git_branch, store_branch};
use super::object::GitId;
use super::pending::{self, Stage};
use super::repository::{Move, Repository};
use crate::backend::lock::{Lock, lock};
use crate::backend::{Backend, HeadChange};
use crate::codec::ObjectKind;
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;

const CACHE: &str = "jitsu-cache";
const LOCK: &str = "jitsu-lock";

/// A backend that keeps its heads, and all that they reach, in a bare Git repository. Git may be
/// used on the repository meanwhile: what it commits, merges, or is pushed is a head here at once,
/// and a head that it moved is raced for as one that another thread moved.
///
/// Objects are found in a cache beside the repository, in the store's own encoding. What is in it
/// and in no head is not in Git. It may be removed while nobody has the repository open, and is
/// made again from the repository, as it is if it turns out to be damaged. Where that is seen while
/// it is open it is as after a collection: what is in no head goes, and an epoch begins.
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
    place: Place,
    /// Who has the state may take it, and nobody who has it takes the state.
    cached: RwLock<Cached>,
    state: Mutex<State>,
    _lock: Lock,
}

struct Cached {
    /// How often the cache was made again meanwhile, with 1 for never.
    epoch: u64,
    /// None if it could not be made again.
    cache: Option<Cache>,
}

struct State {
    repository: Repository,
    ids: Ids,
    /// Some of these were written, and are not flushed.
    is_unflushed: bool,
    /// A flush or a movement failed, so that it is not known what is on disk.
    is_failed: bool,
}

impl GitBackend {
    /// Opens a bare repository, with its cache in a folder `jitsu-cache` inside.
    pub fn open(repository: Repository) -> Result<GitBackend, StorageError> {
        let cache = repository.path().join(CACHE);
        GitBackend::new(repository, Place::Folder(cache))
    }

    /// The same with its cache in memory, made from the repository each time it is opened.
    pub fn open_cached_in_memory(repository: Repository) -> Result<GitBackend, StorageError> {
        GitBackend::new(repository, Place::Memory)
    }

    fn new(repository: Repository, place: Place) -> Result<GitBackend, StorageError> {
        if !repository.is_bare() {
            return Err(GitError::NotBare(repository.path().to_owned()).into());
        }
        let ids = export::known(&repository)?;
        let lock = lock(repository.path().join(LOCK))?;
        finish(&repository)?;
        let cached = RwLock::new(Cached { epoch: 1, cache: Some(place.open()?) });
        let state = Mutex::new(State { repository, ids, is_unflushed: false, is_failed: false });
        Ok(GitBackend { place, cached, state, _lock: lock })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("BUG: a thread panicked inside the Git backend")
    }

    fn cached(&self) -> RwLockReadGuard<'_, Cached> {
        self.cached.read().expect("BUG: a thread panicked inside the cache of the Git backend")
    }

    /// Asks the cache, which is made again first if it turns out to be damaged.
    fn ask<T>(&self, ask: impl Fn(&Cached) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let (came, epoch) = {
            let cached = self.cached();
            (ask(&cached), cached.epoch)
        };
        match came {
            Err(error) if cache::is_damage(&error) => {
                self.remake(&mut self.state(), epoch)?;
                ask(&self.cached())
            }
            came => came,
        }
    }

    /// Does what needs the cache, which is made again first if it turns out to be damaged.
    fn with_state<T>(
        &self,
        act: impl Fn(&mut State) -> Result<T, GitError>,
    ) -> Result<T, StorageError> {
        let state = &mut self.state();
        let epoch = self.epoch();
        match act(state) {
            Err(GitError::Storage(error)) if cache::is_damage(&error) => {
                self.remake(state, epoch)?;
                Ok(act(state)?)
            }
            came => Ok(came?),
        }
    }

    /// Makes the cache again that was damaged in this epoch, of all that is in Git.
    fn remake(&self, state: &mut State, epoch: u64) -> Result<(), StorageError> {
        let cached = &mut *self.cached.write().expect("BUG: a thread panicked inside the cache");
        if cached.epoch != epoch {
            return Ok(());
        }
        cached.epoch += 1;
        // Closed, so that the next one can be opened.
        drop(cached.cache.take());
        let cache = self.place.begin()?;
        for git in state.repository.branches()?.into_values() {
            match cache.taken(state, git) {
                // What the store cannot hold was not there before either.
                Ok(_) | Err(GitError::Import { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        cached.cache = Some(cache);
        Ok(())
    }

    /// The commit of the store that one of Git is, which the cache has then.
    fn taken(&self, state: &mut State, git: GitId) -> Result<Id, GitError> {
        self.cached().cache()?.taken(state, git)
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

    fn move_heads(&self, state: &mut State, changes: &[HeadChange]) -> Result<bool, GitError> {
        if state.is_failed {
            return Err(StorageError::Poisoned.into());
        }
        let Some(mut moves) = self.heads(state, changes)? else { return Ok(false) };
        if moves.iter().zip(changes).any(|(it, change)| it.old.is_none() && change.new.is_some()) {
            let there = state.repository.branches()?;
            check_names(changes.iter().map(|change| &change.branch), there.keys())?;
        }
        for (it, HeadChange { branch, new, .. }) in moves.iter_mut().zip(changes) {
            it.new = new.map(|id| self.written(state, branch, id)).transpose()?;
        }
        self.cached().objects_in(None)?.sync()?;
        moves.retain(|it| it.old.is_some() || it.new.is_some());
        Ok(moves.is_empty() || state.publish(&moves)?)
    }

    /// Writes the commit that is to be a head.
    fn written(&self, state: &mut State, branch: &BranchName, id: Id) -> Result<GitId, GitError> {
        let cached = self.cached();
        let Cache { objects, commits } = cached.cache()?;
        let bytes = objects.get(&id)?.ok_or(StorageError::Missing { id })?;
        if ObjectKind::of(&bytes) != Some(ObjectKind::Commit) {
            return Err(GitError::Head { branch: branch.clone(), id });
        }
        state.is_unflushed = true;
        let written = export::write(commits, &state.repository, &mut state.ids, &[id])?;
        Ok(written[0])
    }
}

impl Cached {
    fn cache(&self) -> Result<&Cache, StorageError> {
        self.cache.as_ref().ok_or(StorageError::Poisoned)
    }

    /// The objects, in this epoch only.
    fn objects_in(&self, epoch: Option<u64>) -> Result<&dyn Backend, StorageError> {
        if epoch.is_some_and(|epoch| epoch != self.epoch) {
            return Err(StorageError::Outrun);
        }
        Ok(&*self.cache()?.objects)
    }
}

impl Cache {
    fn taken(&self, state: &mut State, git: GitId) -> Result<Id, GitError> {
        let id = import::commit(&self.commits, &state.repository, &mut state.ids, git)?;
        // What a crash may take must not be remembered.
        if !state.is_unflushed {
            // What cannot be remembered is looked at again.
            let _ = state.ids.save();
        }
        Ok(id)
    }
}

impl State {
    /// Moves these branches, durably with all objects, if they are where they were.
    fn publish(&mut self, moves: &[Move]) -> Result<bool, GitError> {
        let State { repository, ids, is_unflushed, is_failed } = self;
        // Until it is known again.
        *is_failed = true;
        let path = repository.path();
        let noting = |error| repository.failed("note a movement in", error);
        pending::note(path, Stage::Locking, moves).map_err(noting)?;
        repository.sync()?;
        *is_unflushed = false;
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
        self.ask(|cached| cached.objects_in(None)?.get(id))
    }

    fn contains(&self, id: &Id) -> Result<bool, StorageError> {
        self.ask(|cached| cached.objects_in(None)?.contains(id))
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.ask(|cached| cached.objects_in(None)?.put(id, bytes))
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.ask(|cached| cached.objects_in(None)?.sync())
    }

    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError> {
        self.with_state(|state| {
            let git = state.repository.branch(&git_branch(branch))?;
            git.map(|git| self.taken(state, git)).transpose()
        })
    }

    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.with_state(|state| self.move_heads(state, changes))
    }

    fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        self.with_state(|state| {
            let mut branches = Vec::new();
            // In the same order on both sides: what `*` is there comes before all else as well.
            for (name, git) in state.repository.branches()? {
                if let Some(branch) = store_branch(&name) {
                    branches.push((branch, self.taken(state, git)?));
                }
            }
            Ok(branches)
        })
    }

    fn ids_with_prefix(
        &self,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError> {
        self.ask(|cached| cached.objects_in(None)?.ids_with_prefix(kind, prefix, limit))
    }

    fn epoch(&self) -> u64 {
        self.cached().epoch
    }

    fn put_in(&self, epoch: u64, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.ask(|cached| cached.objects_in(Some(epoch))?.put(id, bytes))
    }

    fn set_heads_in(&self, epoch: u64, changes: &[HeadChange]) -> Result<bool, StorageError> {
        // Who has the state is the only one to begin an epoch.
        self.with_state(|state| {
            if self.epoch() == epoch { self.move_heads(state, changes) } else { Ok(false) }
        })
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

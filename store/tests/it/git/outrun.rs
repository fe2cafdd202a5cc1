//! Owns the tests of an import that a collection of the store overtakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jitsu_store::backend::{Backend, Log, LogOptions, fsck_on};
use jitsu_store::git::{self, GitError, ObjectFormat};
use jitsu_store::{BranchName, HeadChange, Id, IdPrefix, ObjectKind, StorageError, Store};

use super::fixture::{Repo, heads, merger};
use crate::disk::SimDisk;
use crate::fixture::{at, branch, merged, walk, write};

/// A log that is collected before some of what is asked of it.
struct Collecting {
    log: Arc<Log>,
    asked: AtomicUsize,
    when: Box<dyn Fn(usize) -> bool + Send + Sync>,
}

impl Collecting {
    fn log(&self) -> &Log {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if (self.when)(asked) {
            // There is always something to remove.
            let garbage = format!("c\u{1}bgarbage {asked}");
            self.log.put(&Id::of(garbage.as_bytes()), garbage.as_bytes()).unwrap();
            self.log.sync().unwrap();
            assert!(self.log.collect().unwrap().removed.objects > 0);
        }
        &self.log
    }
}

impl Backend for Collecting {
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError> {
        self.log().get(id)
    }

    fn contains(&self, id: &Id) -> Result<bool, StorageError> {
        self.log().contains(id)
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.log().put(id, bytes)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.log().sync()
    }

    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError> {
        self.log().head(branch)
    }

    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.log().set_heads(changes)
    }

    fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        self.log().branches()
    }

    fn ids_with_prefix(
        &self,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError> {
        self.log().ids_with_prefix(kind, prefix, limit)
    }

    fn epoch(&self) -> u64 {
        self.log.epoch()
    }

    fn put_in(&self, epoch: u64, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.log().put_in(epoch, id, bytes)
    }

    fn set_heads_in(&self, epoch: u64, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.log().set_heads_in(epoch, changes)
    }
}

/// A store in which all but the first commit of a repository is garbage.
fn begin(
    repo: &Repo,
    when: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> (Arc<SimDisk>, Store, Arc<Collecting>) {
    let disk = Arc::new(SimDisk::new());
    let log = Arc::new(Log::open_on(disk.clone(), LogOptions::default()).unwrap());
    let store = Store::on(log.clone()).unwrap();
    let ours = write(&store, "main", "a", "ours", 1);
    repo.import(&store);
    let mut batch = store.batch();
    batch.set(&branch("main"), &ours).unwrap();
    batch.delete(&branch("side")).unwrap();
    batch.publish().unwrap();
    let collecting = Arc::new(Collecting { log, asked: AtomicUsize::new(0), when: Box::new(when) });
    (disk, Store::on(collecting.clone()).unwrap(), collecting)
}

fn exported() -> (Repo, Store) {
    let repo = Repo::new(ObjectFormat::Sha1);
    let theirs = Store::memory();
    write(&theirs, "main", "a", "ours", 1);
    write(&theirs, "side", "b/c", "1", 2);
    let side = write(&theirs, "side", "b/d", "2", 3);
    merged(theirs.merge(&branch("main"), &side.id(), at(4)).unwrap());
    repo.export(&theirs);
    (repo, theirs)
}

#[test]
fn what_a_collection_overtakes_is_imported_again() {
    let (repo, theirs) = exported();
    let import = |store: &Store| git::import(store, &repo.open(), &merger());
    let (_, store, whole) = begin(&repo, |_| false);
    import(&store).unwrap();
    let asked = whole.asked.load(Ordering::Relaxed);
    assert!(asked > 20, "{asked}");
    for n in 0..asked {
        let (disk, store, _) = begin(&repo, move |at| at == n);
        // Another head, so that what is imported is merged with it.
        write(&store, "main", "e", &n.to_string(), 5);
        let imported = import(&store).unwrap_or_else(|error| panic!("collected at {n}: {error}"));
        assert_eq!(imported.branches.len(), 2);
        let found = walk(&store);
        assert_eq!(found[&branch("side")], heads(&theirs)[&branch("side")], "collected at {n}");
        assert!(fsck_on(&*disk).unwrap().is_whole());
        // All of it is in the store.
        repo.import(&store);
        assert_eq!(walk(&store), found);
    }
}

#[test]
fn an_import_that_is_overtaken_again_and_again_gives_up() {
    let (repo, _) = exported();
    let (_, store, _) = begin(&repo, |_| true);
    let before = heads(&store);
    let error = git::import(&store, &repo.open(), &merger()).unwrap_err();
    assert!(matches!(error, GitError::Storage(StorageError::Outrun)), "{error}");
    assert_eq!(heads(&store), before);
}

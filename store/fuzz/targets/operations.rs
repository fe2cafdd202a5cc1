//! Owns the fuzzing of a store in use, on a disk that refuses, tears and forgets, beside a plain
//! model: what was published is there whatever happens, what was refused is not, and what failed is
//! there whole or not at all.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use disk::{LEFT, SimDisk};
use jitsu_store::backend::{Log, LogOptions, fsck_on, gc_on};
use jitsu_store::{BranchName, Contents, Merged, Meta, StorageError, Store, Tree, UpdateError};
use jitsu_store_fuzz::model::{Held, Model, branch, held, model_of, path, published};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "shared with tests, which use more of it")]
#[path = "../../tests/it/disk.rs"]
mod disk;

#[derive(Arbitrary, Debug)]
enum Operation {
    Set { branch: u8, path: u8, value: u8, long: bool },
    Remove { branch: u8, path: u8 },
    Fork { from: u8, to: u8 },
    Delete { branch: u8 },
    Merge { from: u8, into: u8 },
    Full { room: u8 },
    Room,
    FailSync(bool),
    FailTruncate(bool),
    Die { after: u8, bytes: u8 },
    Crash { left: u8 },
    Reopen,
    Collect,
}

struct World {
    disk: Arc<SimDisk>,
    store: Option<Store>,
    model: Model,
    /// What it may be instead, since something failed.
    maybe: Option<Model>,
    clock: u64,
}

fuzz_target!(|operations: Vec<Operation>| {
    let disk = Arc::new(SimDisk::new());
    let mut world = World { disk, store: None, model: Model::new(), maybe: None, clock: 0 };
    world.open();
    operations.iter().take(40).for_each(|operation| world.apply(operation));
    world.crash(0);
    assert!(fsck_on(&*world.disk).unwrap().is_whole());
});

fn options() -> LogOptions {
    let mut options = LogOptions::default();
    options.segment_bytes = 1500;
    options.unsaved_bytes = 400;
    options.unindexed_objects = 8;
    options
}

impl World {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Set { branch: to, path: at, value, long } => {
                let value = value.to_string().repeat(if *long { 300 } else { 1 });
                self.edit(
                    &branch(*to),
                    |held| drop(held.insert(path(*at), value.clone())),
                    |tree| {
                        tree.set(&path(*at), Contents::text(&value)).unwrap();
                    },
                );
            }
            Operation::Remove { branch: on, path: at } => {
                self.edit(
                    &branch(*on),
                    |held| drop(held.remove(&path(*at))),
                    |tree| {
                        tree.remove(&path(*at)).unwrap();
                    },
                );
            }
            Operation::Fork { from, to } => self.fork(&branch(*from), &branch(*to)),
            Operation::Delete { branch: on } => self.delete(&branch(*on)),
            Operation::Merge { from, into } => self.merge(&branch(*from), &branch(*into)),
            Operation::Full { room } => {
                self.disk.fill_at(Some(self.disk.used() + usize::from(*room) * 8))
            }
            Operation::Room => self.disk.fill_at(None),
            Operation::FailSync(fail) => self.disk.fail_sync(*fail),
            Operation::FailTruncate(fail) => self.disk.fail_truncate(*fail),
            Operation::Die { after, bytes } => {
                self.disk.die_after(u64::from(*after % 16), usize::from(*bytes));
            }
            Operation::Crash { left } => self.crash(*left),
            Operation::Reopen => {
                self.store = None;
                self.crash(1);
            }
            Operation::Collect => self.collect(),
        }
    }

    fn meta(&mut self) -> Meta {
        self.clock += 1;
        Meta { time_ms: self.clock, ..Meta::default() }
    }

    fn store(&self) -> Store {
        self.store.clone().expect("a store is open")
    }

    fn edit(&mut self, on: &BranchName, to_model: impl Fn(&mut Held), to_tree: impl Fn(&mut Tree)) {
        let mut then = self.model.clone();
        to_model(then.entry(on.clone()).or_default());
        let meta = self.meta();
        let done = self.store().update(on, meta, |tree| {
            to_tree(tree);
            Ok::<_, StorageError>(())
        });
        self.settle(
            then,
            match done {
                Ok(_) => Ok(()),
                Err(UpdateError::Storage(error)) => Err(error),
                Err(other) => panic!("{other}"),
            },
        );
    }

    fn fork(&mut self, from: &BranchName, to: &BranchName) {
        let mut batch = self.store().batch();
        let Some(head) = batch.head(from).unwrap() else { return };
        let mut then = self.model.clone();
        then.insert(to.clone(), self.model[from].clone());
        batch.set(to, &head).unwrap();
        self.settle(then, published(batch.publish()));
    }

    fn delete(&mut self, on: &BranchName) {
        let mut batch = self.store().batch();
        assert_eq!(batch.delete(on).unwrap(), self.model.contains_key(on));
        let mut then = self.model.clone();
        then.remove(on);
        self.settle(then, published(batch.publish()));
    }

    fn merge(&mut self, from: &BranchName, into: &BranchName) {
        let meta = self.meta();
        let Some(head) = self.store().head(from).unwrap() else { return };
        let mut batch = self.store().batch();
        let merged = match batch.merge(into, &head, meta) {
            Ok(merged) => merged,
            // What it must write for that may not fit.
            Err(error) => return self.settle(self.model.clone(), Err(error)),
        };
        let Merged::Commit(commit) = merged else { return };
        let mut then = self.model.clone();
        then.insert(into.clone(), held(&commit.tree()));
        self.settle(then, published(batch.publish()));
    }

    /// What is there after something was done, or was not.
    fn settle(&mut self, then: Model, done: Result<(), StorageError>) {
        match done {
            Ok(()) => {
                // If something failed before, it was not written, or this could not be.
                (self.model, self.maybe) = (then, None);
            }
            Err(StorageError::NoSpace | StorageError::Poisoned) => {}
            Err(StorageError::Io { .. }) => self.maybe = Some(then),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(model_of(&self.store()), self.model);
    }

    /// The power goes, and comes again.
    fn crash(&mut self, left: u8) {
        self.store = None;
        self.disk = Arc::new(self.disk.crash(LEFT[usize::from(left) % LEFT.len()]));
        self.open();
    }

    fn collect(&mut self) {
        self.store = None;
        drop(gc_on(self.disk.clone(), options()));
        self.crash(0);
    }

    fn open(&mut self) {
        let log = Log::open_on(self.disk.clone(), options()).unwrap();
        self.store = Some(Store::on(Arc::new(log)).unwrap());
        let held = model_of(&self.store());
        if self.maybe.take().is_some_and(|maybe| maybe == held) {
            self.model = held;
        } else {
            assert_eq!(held, self.model);
        }
    }
}

//! Owns the crash tests: every single write of a scripted run fails or tears, and what is found
//! afterwards is what was acknowledged, or what was being published.

use std::collections::BTreeMap;
use std::sync::Arc;

use jitsu_store::backend::{Backend, Fault, Faulty, Log, LogOptions, Memory, fsck_on};
use jitsu_store::{BranchName, Id, PublishError, StorageError, Store, Tree};

use crate::conformance::small;
use crate::disk::{LEFT, Left, SimDisk};
use crate::fixture::{at, branch, path, text, walk, write};

type Heads = BTreeMap<BranchName, Id>;

/// What a run has seen when it ends: heads that are acknowledged, and those it was publishing.
#[derive(Default)]
struct Seen {
    acknowledged: Heads,
    publishing: Heads,
}

/// Subjects with branches of their own, each step merged into `main`, one branch removed at times.
fn script(store: &Store, seen: &mut Seen) -> Result<(), StorageError> {
    for step in 0..12u64 {
        let subject = branch(&format!("subject/{}", step % 3));
        let mut batch = store.batch();
        let head = batch.head(&subject)?;
        let mut tree = head.map_or_else(Tree::empty, |head| head.tree());
        for n in 0..step {
            let at_path = path(&format!("{}/{n}", step % 3));
            tree.set(&at_path, text(&"value".repeat(step as usize))).unwrap();
        }
        let commit = batch.commit(&subject, tree, at(step))?;
        batch.merge(&branch("main"), &commit.id(), at(step))?;
        if step % 5 == 4 {
            batch.delete(&branch("subject/0"))?;
        }
        seen.publishing = seen.acknowledged.clone();
        for name in ["main", "subject/0", "subject/1", "subject/2"].map(branch) {
            match batch.head(&name)? {
                Some(head) => seen.publishing.insert(name, head.id()),
                None => seen.publishing.remove(&name),
            };
        }
        match batch.publish() {
            Ok(()) => seen.acknowledged = seen.publishing.clone(),
            Err(PublishError::Storage(error)) => return Err(error),
            Err(PublishError::Raced(branch)) => panic!("raced on {branch}"),
        }
    }
    Ok(())
}

fn check(store: &Store, seen: &Seen, what: &str) {
    let found = walk(store);
    assert!(
        found == seen.acknowledged || found == seen.publishing,
        "{what}: found {found:?}, acknowledged {:?}, publishing {:?}",
        seen.acknowledged,
        seen.publishing
    );
}

#[test]
fn any_write_of_a_backend_may_fail() {
    let kinds: [fn() -> Arc<dyn Backend>; 2] = [
        || Arc::new(Memory::new()),
        || Arc::new(Log::open_on(Arc::new(SimDisk::new()), small()).unwrap()),
    ];
    for make in kinds {
        let whole = Arc::new(Faulty::new(make(), u64::MAX, Fault::Fail));
        script(&Store::on(whole.clone()).unwrap(), &mut Seen::default()).unwrap();
        assert!(whole.writes() > 50);
        for n in 0..whole.writes() {
            for fault in [Fault::Fail, Fault::Tear] {
                let inner = make();
                let faulty = Arc::new(Faulty::new(inner.clone(), n, fault));
                let mut seen = Seen::default();
                let ended = script(&Store::on(faulty).unwrap(), &mut seen);
                assert!(matches!(ended, Err(StorageError::Injected)), "{ended:?}");
                check(&Store::on(inner).unwrap(), &seen, &format!("{fault:?} at write {n}"));
            }
        }
    }
}

fn run_on(disk: &Arc<SimDisk>, seen: &mut Seen) -> Result<(), StorageError> {
    let store = Store::on(Arc::new(Log::open_on(disk.clone(), small())?))?;
    script(&store, seen)
}

#[test]
fn the_power_may_go_at_any_operation_of_the_disk() {
    let whole = Arc::new(SimDisk::new());
    run_on(&whole, &mut Seen::default()).unwrap();
    let operations = whole.operations();
    assert!(operations > 30);
    let mut unnoticed = 0;
    for operation in 0..operations {
        for bytes in [0, 1, 30, 200, usize::MAX] {
            let disk = Arc::new(SimDisk::dying(operation, bytes));
            let mut seen = Seen::default();
            // Without an error, it went while the index was written behind the last commit.
            if run_on(&disk, &mut seen).is_ok() {
                unnoticed += 1;
            }
            for left in LEFT {
                let what = format!("operation {operation}, {bytes} bytes, {left:?} left");
                let disk = Arc::new(disk.crash(left));
                let log = Log::open_on(disk.clone(), small());
                let log = log.unwrap_or_else(|error| panic!("{what}: {error}"));
                check(&Store::on(Arc::new(log)).unwrap(), &seen, &what);
                assert_eq!(fsck_on(&*disk).unwrap().index, [], "{what}");
                // And it can be gone on with, from whichever it was.
                let log = Arc::new(Log::open_on(disk, small()).unwrap());
                let store = Store::on(log).unwrap();
                let acknowledged = walk(&store);
                let mut again = Seen { acknowledged, ..Seen::default() };
                script(&store, &mut again).unwrap();
            }
        }
    }
    assert!(unnoticed < operations, "{unnoticed} of {operations} times five");
}

/// A frame that was written and not flushed is read when the log is opened again, so that what is
/// written behind it, be it in another file, must not be durable without it.
#[test]
fn what_was_found_when_a_log_was_opened_is_durable_with_what_comes_next() {
    let disk = Arc::new(SimDisk::new());
    let mut options = LogOptions::default();
    // Each frame ends a file.
    options.segment_bytes = 1;
    let open = |disk| Store::on(Arc::new(Log::open_on(disk, options.clone()).unwrap())).unwrap();
    let store = open(disk.clone());
    write(&store, "main", "a", "1", 1);
    disk.fail_sync(true);
    store.update(&branch("main"), at(2), |tree| tree.set(&path("a"), text("2"))).unwrap_err();
    disk.fail_sync(false);
    drop(store);
    let last = write(&open(disk.clone()), "main", "a", "3", 3);
    let after = open(Arc::new(disk.crash(Left::None)));
    assert_eq!(walk(&after)[&branch("main")], last.id());
}

//! Owns the tests of collection: what branches reach stays, the rest goes, and the power may go at
//! any moment.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path as FilePath;
use std::sync::Arc;

use jitsu_store::backend::{Backend, Log, fsck_on, gc, gc_on, stat_on};
use jitsu_store::{BranchName, Contents, HeadChange, Id, Path, StorageError, Store};

use crate::conformance::small;
use crate::disk::{LEFT, Left, SimDisk};
use crate::fixture::{all, branch, walk, write};
use crate::kill::{FOLDER, run_and_kill};

const KILLS: usize = 200;

fn open(disk: &Arc<SimDisk>) -> Store {
    Store::on(Arc::new(Log::open_on(disk.clone(), small()).unwrap())).unwrap()
}

/// Every commit of every branch, with all of its contents.
type Histories = BTreeMap<(BranchName, Id), BTreeMap<Path, Contents>>;

fn histories(store: &Store) -> Histories {
    let branches = store.branches().unwrap();
    let commits = branches.iter().flat_map(|(name, head)| {
        store.log(head).map(|commit| {
            let commit = commit.unwrap();
            ((name.clone(), commit.id()), all(&commit.tree()))
        })
    });
    commits.collect()
}

/// A log of several files, much of which no branch reaches any more.
fn with_garbage() -> Arc<SimDisk> {
    let disk = Arc::new(SimDisk::new());
    let store = open(&disk);
    for n in 0..24 {
        let on = format!("b{}", n % 3);
        write(&store, &on, &format!("a/{}", n % 5), &format!("{n} {}", "long ".repeat(60)), n);
    }
    delete(&store, "b1");
    disk
}

fn delete(store: &Store, name: &str) {
    let mut batch = store.batch();
    batch.delete(&branch(name)).unwrap();
    batch.publish().unwrap();
}

#[test]
fn what_branches_reach_stays_and_the_rest_goes() {
    let disk = with_garbage();
    let before = histories(&open(&disk));
    let (stat, files) = (stat_on(&*disk).unwrap(), fsck_on(&*disk).unwrap().files);
    assert!(stat.garbage.objects > 20 && files > 3);
    let collected = gc_on(disk.clone(), small()).unwrap();
    assert_eq!(collected.removed, stat.garbage);
    let after = stat_on(&*disk).unwrap();
    assert_eq!((after.garbage.objects, after.branches), (0, stat.branches));
    assert!(after.file_bytes < stat.file_bytes - stat.garbage.bytes);
    let report = fsck_on(&*disk).unwrap();
    assert!(report.is_whole() && report.flaws.is_empty(), "{report:?}");
    // The same after a crash; and it is gone on with, and collected again.
    let disk = Arc::new(disk.crash(Left::None));
    let store = open(&disk);
    assert_eq!(histories(&store), before);
    write(&store, "b1", "a", "1", 100);
    delete(&store, "b0");
    let before = histories(&store);
    drop(store);
    assert!(gc_on(disk.clone(), small()).unwrap().removed.objects > 0);
    assert_eq!(histories(&open(&disk)), before);
}

#[test]
fn without_garbage_nothing_is_written() {
    let disk = with_garbage();
    gc_on(disk.clone(), small()).unwrap();
    // Opening brings the index up to date.
    drop(open(&disk));
    let written = disk.bytes_written();
    assert_eq!(gc_on(disk.clone(), small()).unwrap().removed.objects, 0);
    assert_eq!(disk.bytes_written(), written);
}

#[test]
fn a_log_without_branches_becomes_empty() {
    let disk = with_garbage();
    ["b0", "b2"].into_iter().for_each(|name| delete(&open(&disk), name));
    gc_on(disk.clone(), small()).unwrap();
    assert_eq!(fsck_on(&*disk).unwrap().objects, 0);
    write(&open(&disk), "main", "a", "1", 1);
    assert_eq!(walk(&open(&disk)).len(), 1);
}

#[test]
fn the_power_may_go_at_any_operation_of_a_collection() {
    let whole = with_garbage();
    let before = histories(&open(&whole));
    let began = whole.crash(Left::All);
    let whole_run = Arc::new(began.crash(Left::All));
    gc_on(whole_run.clone(), small()).unwrap();
    let operations = whole_run.operations();
    assert!(operations > 20, "{operations}");
    for operation in 0..operations {
        for bytes in [0, 30, usize::MAX] {
            let disk = Arc::new(began.crash(Left::All));
            disk.die_after(operation, bytes);
            let died = gc_on(disk.clone(), small());
            assert!(died.is_err(), "operation {operation}: {died:?}");
            for left in LEFT {
                let what = format!("operation {operation}, {bytes} bytes, {left:?} left");
                let disk = Arc::new(disk.crash(left));
                // Whoever looks before the next opening is told of no loss.
                let report = fsck_on(&*disk).unwrap();
                assert!(report.lost.is_empty(), "{what}: {report:?}");
                assert!(histories(&open(&disk)) == before, "{what}");
                gc_on(disk.clone(), small()).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(histories(&open(&disk)) == before, "{what}, and collected");
                let report = fsck_on(&*disk).unwrap();
                assert!(report.is_whole() && report.flaws.is_empty(), "{what}: {report:?}");
            }
        }
    }
}

#[test]
fn a_full_disk_and_a_failing_one_cost_nothing() {
    let disk = with_garbage();
    let before = histories(&open(&disk));
    for room in [0, 100, 2000] {
        let disk = Arc::new(disk.crash(Left::All));
        disk.fill_at(Some(disk.used() + room));
        assert!(matches!(gc_on(disk.clone(), small()), Err(StorageError::NoSpace)));
        disk.fill_at(None);
        assert_eq!(histories(&open(&disk)), before);
        disk.fail_sync(true);
        assert!(matches!(gc_on(disk.clone(), small()), Err(StorageError::Io { .. })));
        disk.fail_sync(false);
        assert_eq!(histories(&open(&disk)), before);
    }
}

#[test]
fn damage_in_what_is_kept_is_told_and_nothing_is_removed() {
    let disk = with_garbage();
    let altered = Arc::new(disk.altered(2, |bytes| bytes[60] ^= 1));
    // Whole records of what is damaged all the same, which opening the log does not see.
    let with_head = |id: Id, bytes: Option<&[u8]>| {
        let disk = Arc::new(disk.crash(Left::All));
        let log = Log::open_on(disk.clone(), small()).unwrap();
        bytes.into_iter().for_each(|bytes| log.put(&id, bytes).unwrap());
        let change = HeadChange { branch: branch("bad"), old: None, new: Some(id) };
        assert!(log.set_heads(&[change]).unwrap());
        disk
    };
    let other = with_head(Id::of(b"one"), Some(b"another"));
    let missing = with_head(Id::of(b"one"), None);
    for (disk, is_missing) in [(altered, false), (other, false), (missing, true)] {
        let used = disk.used();
        match gc_on(disk.clone(), small()) {
            Err(StorageError::Corrupt { .. }) => assert!(!is_missing),
            Err(StorageError::Missing { .. }) => assert!(is_missing),
            result => panic!("{result:?}"),
        }
        assert_eq!(disk.used(), used);
    }
}

#[test]
fn a_reader_that_is_open_goes_on_and_a_folder_without_a_store_stays_without() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(gc(folder.path(), small()), Err(StorageError::NoStore { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let store = Store::on(Arc::new(Log::open(folder.path(), small()).unwrap())).unwrap();
    for n in 0..20 {
        write(&store, ["main", "plan"][n % 2], "a", &format!("{n}").repeat(300), n as u64);
    }
    let reader = Store::on(Arc::new(Log::open_read_only(folder.path()).unwrap())).unwrap();
    let before = histories(&store);
    delete(&store, "plan");
    assert!(matches!(gc(folder.path(), small()), Err(StorageError::Locked { .. })));
    drop(store);
    assert!(gc(folder.path(), small()).unwrap().removed.objects > 0);
    assert_eq!(histories(&reader), before);
    let after = Store::on(Arc::new(Log::open_read_only(folder.path()).unwrap())).unwrap();
    assert_eq!(histories(&after).len(), before.len() / 2);
}

/// Run by [`collections_that_are_killed_lose_nothing`] as a process of its own; by itself it does
/// nothing. It commits, leaves garbage, collects, and says what is durable.
#[test]
fn collecting_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::abort();
    }));
    let folder: &FilePath = folder.as_ref();
    let said = |line: String| {
        let _ = std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes());
    };
    for n in 0.. {
        let store = Store::on(Arc::new(Log::open(folder, small()).unwrap())).unwrap();
        let at = format!("a/{}", n % 7);
        // Nothing of the store may be held while it is collected.
        let commit = write(&store, "kept", &at, &format!("{n} ").repeat(100), n).id();
        write(&store, "garbage", &at, &format!("{n} garbage").repeat(60), n);
        delete(&store, "garbage");
        drop(store);
        said(format!("ack kept {commit}"));
        gc(folder, small()).unwrap();
        said(format!("ack collected {commit}"));
    }
}

#[test]
fn collections_that_are_killed_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut in_collections = 0;
    for kill in 0..KILLS {
        // The commits of a history that is too long make the test slow.
        if kill % 20 == 0 {
            std::fs::remove_dir_all(folder.path()).unwrap();
            std::fs::create_dir(folder.path()).unwrap();
        }
        let last: HashMap<String, Id> =
            run_and_kill(folder.path(), "gc::collecting_process", 1 + kill % 5);
        let store = Store::on(Arc::new(Log::open(folder.path(), small()).unwrap())).unwrap();
        let head = store.head(&branch("kept")).unwrap().unwrap().id();
        assert!(store.is_ancestor(&last["kept"], &head).unwrap(), "kill {kill}");
        histories(&store);
        in_collections += usize::from(last.get("collected") != last.get("kept"));
    }
    assert!(in_collections > KILLS / 10, "{in_collections} were killed while they collected");
}

//! Owns the tests of the log on disk: damage, full disks, failing flushes, shared flushes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jitsu_store::backend::{Backend, Log, LogOptions};
use jitsu_store::{BranchName, Damage, Id, Place, PublishError, StorageError, Store, UpdateError};

use crate::conformance::small;
use crate::disk::{LEFT, Left, SimDisk};
use crate::fixture::{at, branch, path, text, tree, walk, write};

fn open(disk: Arc<SimDisk>) -> Result<Store, StorageError> {
    Store::on(Arc::new(Log::open_on(disk, small())?))
}

type Heads = BTreeMap<BranchName, Id>;

/// A log with a few branches, and its heads after each commit with the size of the last file.
fn written(commits: u64) -> (Arc<SimDisk>, Vec<Heads>) {
    let disk = Arc::new(SimDisk::new());
    let store = open(disk.clone()).unwrap();
    let mut heads = vec![Heads::new()];
    for n in 0..commits {
        let value = format!("{n} {}", "long ".repeat(n as usize % 40));
        write(&store, &format!("b{}", n % 3), &format!("a/{n}"), &value, n);
        heads.push(store.branches().unwrap().into_iter().collect());
    }
    (disk, heads)
}

#[test]
fn a_log_is_found_as_it_was_left() {
    let (disk, heads) = written(50);
    let disk = Arc::new(disk.crash(Left::None));
    assert!(disk.bytes(3).len() > 100, "there are several files");
    for _ in 0..3 {
        let store = open(disk.clone()).unwrap();
        assert_eq!(&walk(&store), heads.last().unwrap());
    }
    let store = open(disk).unwrap();
    write(&store, "main", "a", "1", 1);
    walk(&store);
}

#[test]
fn a_log_that_is_cut_anywhere_holds_a_prefix_of_its_commits() {
    // One file only, so that every cut is in the last one.
    let disk = Arc::new(SimDisk::new());
    let mut options = small();
    options.segment_bytes = u64::MAX;
    options.unindexed_objects = usize::MAX;
    let log = |disk| Log::open_on(disk, options.clone());
    let store = Store::on(Arc::new(log(disk.clone()).unwrap())).unwrap();
    let mut after = vec![(0, Heads::new())];
    for n in 0..8 {
        write(&store, &format!("b{}", n % 3), &format!("a/{n}"), "value", n);
        after.push((disk.used(), walk(&store)));
    }
    for len in 0..=disk.used() {
        let cut = Arc::new(disk.altered(1, |bytes| bytes.truncate(len)));
        let store = Store::on(Arc::new(log(cut).unwrap())).unwrap();
        let expected = after.iter().rev().find(|(used, _)| *used <= len).unwrap();
        assert_eq!(walk(&store), expected.1, "cut at {len}");
        // And it goes on from there.
        write(&store, "main", "a", "1", 1);
    }
}

#[test]
fn damage_in_the_middle_is_told_with_its_place() {
    let (disk, _) = written(50);
    let len = disk.bytes(1).len();
    for at in 0..len {
        let altered = disk.altered(1, |bytes| bytes[at] ^= 0x10);
        // With its index it is opened without looking, and told when somebody reads there.
        match open(Arc::new(altered.without_index())).map(drop) {
            Err(StorageError::Corrupt { at: Place::File { file, offset }, .. }) => {
                assert_eq!(file, "segment 1");
                assert!(offset <= at as u64, "the record of byte {at} is not at {offset}");
            }
            other => panic!("a flipped bit in byte {at} of {len}: {other:?}"),
        }
    }
}

#[test]
fn damage_in_the_last_file_is_cut_off_only_at_its_end() {
    let mut options = small();
    options.segment_bytes = u64::MAX;
    options.unindexed_objects = usize::MAX;
    let disk = Arc::new(SimDisk::new());
    let log = |disk| Log::open_on(disk, options.clone());
    let store = Store::on(Arc::new(log(disk.clone()).unwrap())).unwrap();
    let mut ends = Vec::new();
    for n in 0..6 {
        write(&store, "main", "a", &n.to_string(), n);
        ends.push((disk.used(), walk(&store)));
    }
    let last = ends[ends.len() - 2].clone();
    for at in 0..disk.used() {
        let altered = Arc::new(disk.altered(1, |bytes| bytes[at] ^= 0x01));
        match log(altered) {
            Ok(log) => {
                assert!(at >= last.0, "damage at {at} was cut off silently");
                assert_eq!(walk(&Store::on(Arc::new(log)).unwrap()), last.1);
            }
            Err(StorageError::Corrupt { .. }) => assert!(at < last.0, "damage at {at} refused"),
            Err(other) => panic!("damage at {at}: {other}"),
        }
    }
}

#[test]
fn stored_bytes_do_not_pass_for_a_frame() {
    // Contents that hold a whole copy of the log, frames and all.
    let (disk, _) = written(3);
    let copy = disk.bytes(1);
    let options = LogOptions::default();
    let disk = Arc::new(SimDisk::new());
    let store = Store::on(Arc::new(Log::open_on(disk.clone(), options.clone()).unwrap())).unwrap();
    write(&store, "main", "a", "1", 1);
    let (end, heads) = (disk.used(), walk(&store));
    let contents = jitsu_store::Contents::bytes(copy);
    store.update(&branch("main"), at(2), |tree| tree.set(&path("b"), contents.clone())).unwrap();
    let torn = Arc::new(disk.altered(1, |bytes| bytes[end] ^= 1));
    let store = Store::on(Arc::new(Log::open_on(torn, options).unwrap())).unwrap();
    assert_eq!(walk(&store), heads);
}

#[test]
fn missing_and_foreign_files_are_told() {
    let (disk, _) = written(50);
    let gap = disk.crash(Left::All);
    gap.lose(2);
    let gap = open(Arc::new(gap)).map(drop);
    assert!(matches!(gap, Err(StorageError::Corrupt { what: Damage::Gap, .. })), "{gap:?}");
    let foreign = Arc::new(disk.altered(1, |bytes| bytes[..8].copy_from_slice(b"notalog!")));
    let foreign = open(foreign).map(drop);
    assert!(matches!(foreign, Err(StorageError::Corrupt { what: Damage::Header, .. })));
    let newer = Arc::new(disk.altered(1, |bytes| {
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
    }));
    let newer = open(newer).map(drop);
    assert!(matches!(newer, Err(StorageError::Version { found: 2, supported: 1 })), "{newer:?}");
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let disk = Arc::new(SimDisk::new());
    let store = open(disk.clone()).unwrap();
    write(&store, "main", "a", "1", 1);
    let heads = walk(&store);
    // Whatever the room left is, the commit fails whole; at the end of a file as well.
    for room in 0..300 {
        disk.fill_at(Some(disk.used() + room));
        let full = store.update(&branch("main"), at(2), |tree| {
            tree.set(&path("long"), text(&"x".repeat(2000)))
        });
        assert!(matches!(full, Err(UpdateError::Storage(StorageError::NoSpace))), "{full:?}");
        assert_eq!(walk(&store), heads);
        let crashed = open(Arc::new(disk.crash(LEFT[room % LEFT.len()]))).unwrap();
        assert_eq!(walk(&crashed), heads);
    }
    disk.fill_at(None);
    let after = write(&store, "main", "b", "2", 3);
    let reopened = open(Arc::new(disk.crash(Left::None))).unwrap();
    assert_eq!(walk(&reopened)[&branch("main")], after.id());
}

#[test]
fn a_tree_whose_objects_were_refused_is_written_with_the_next_commit() {
    let disk = Arc::new(SimDisk::new());
    let log = Log::open_on(disk.clone(), LogOptions::default()).unwrap();
    let store = Store::on(Arc::new(log)).unwrap();
    disk.fill_at(Some(disk.used()));
    let tree = tree(&[("a/b", &"long".repeat(50)), ("a/c", &"other".repeat(50))]);
    let mut batch = store.batch();
    batch.commit(&branch("one"), tree.clone(), at(1)).unwrap();
    let full = batch.publish();
    assert!(matches!(full, Err(PublishError::Storage(StorageError::NoSpace))), "{full:?}");
    disk.fill_at(None);
    // The tree is known to be put; what was put is not on disk yet.
    let mut batch = store.batch();
    batch.commit(&branch("two"), tree, at(2)).unwrap();
    batch.publish().unwrap();
    let reopened = open(Arc::new(disk.crash(Left::None))).unwrap();
    walk(&reopened);
}

#[test]
fn a_failed_flush_poisons_until_the_log_is_opened_again() {
    let disk = Arc::new(SimDisk::new());
    let store = open(disk.clone()).unwrap();
    let first = write(&store, "main", "a", "1", 1);
    for (sync, truncate) in [(true, false), (false, true)] {
        let disk = Arc::new(disk.crash(Left::None));
        let store = open(disk.clone()).unwrap();
        disk.fail_sync(sync);
        disk.fail_truncate(truncate);
        disk.fill_at(truncate.then(|| disk.used()));
        let update = |store: &Store| {
            store.update(&branch("main"), at(2), |tree| tree.set(&path("a"), text("2")))
        };
        assert!(matches!(
            update(&store),
            Err(UpdateError::Storage(StorageError::Io { .. } | StorageError::NoSpace))
        ));
        disk.fail_sync(false);
        disk.fail_truncate(false);
        disk.fill_at(None);
        let poisoned = update(&store);
        assert!(matches!(poisoned, Err(UpdateError::Storage(StorageError::Poisoned))));
        assert_eq!(walk(&store)[&branch("main")], first.id(), "reading goes on");
        drop(store);
        for left in LEFT {
            update(&open(Arc::new(disk.crash(left))).unwrap()).unwrap();
        }
    }
}

#[test]
fn many_objects_without_a_commit_do_not_fill_the_memory() {
    let disk = Arc::new(SimDisk::new());
    let log = Log::open_on(disk.clone(), small()).unwrap();
    for n in 0..100 {
        let bytes = format!("c\u{1}b{n} {}", "x".repeat(100)).into_bytes();
        log.put(&Id::of(&bytes), &bytes).unwrap();
    }
    assert!(disk.bytes_written() > 9000, "most of it is written by now");
}

#[test]
fn what_concurrent_publishers_did_is_durable() {
    let disk = Arc::new(SimDisk::new());
    let log = Log::open_on(disk.clone(), LogOptions::default()).unwrap();
    let store = Store::on(Arc::new(log)).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..100 {
                    write(store, &format!("b{writer}"), "a", &n.to_string(), n);
                }
            });
        }
    });
    let reopened = open(Arc::new(disk.crash(Left::None))).unwrap();
    assert_eq!(walk(&reopened), walk(&store));
    assert_eq!(walk(&store).len(), 8);
}

#[test]
fn two_cannot_open_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at_path = folder.path().join("deep/store");
    let log = Log::open(&at_path, LogOptions::default()).unwrap();
    match Log::open(&at_path, LogOptions::default()).map(drop) {
        Err(error @ StorageError::Locked { .. }) => {
            let shown = error.to_string();
            assert!(shown.contains("deep/store/lock"), "{shown}");
            let here = format!("/lock is open already, in process {}", std::process::id());
            assert!(shown.ends_with(&here), "{shown}");
        }
        other => panic!("{other:?}"),
    }
    drop(log);
    Log::open(&at_path, LogOptions::default()).unwrap();
}

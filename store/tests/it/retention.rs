//! Owns the tests of letting go of old trees: what is kept, what is not, and that the history of
//! who did what stays whole and can be built upon.

use std::collections::BTreeMap;
use std::sync::Arc;

use jitsu_store::backend::{Backend, Log, Memory, fsck_on, gc_on, stat_on};
use jitsu_store::sync::{Fault, Server, SyncError};
use jitsu_store::{Commit, Contents, Id, Keep, Merged, Meta, RETENTION, StorageError, Store, Tree};
use proptest::prelude::*;

use crate::conformance::small;
use crate::disk::{LEFT, SimDisk};
use crate::fixture::{all, at, branch, path, write};
use crate::sync::messages::{bytes_of_commit, give};

const BRANCHES: usize = 3;

fn name(number: usize) -> String {
    format!("branch/{number}")
}

fn open(disk: &Arc<SimDisk>) -> (Arc<Log>, Store) {
    let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
    (log.clone(), Store::on(log).unwrap())
}

fn let_go(disk: &Arc<SimDisk>, keep: &Keep) -> Result<usize, StorageError> {
    let log = Arc::new(Log::open_on(disk.clone(), small())?);
    let let_go = match Store::on(log.clone())?.let_go(keep, &at(1000)) {
        Ok(let_go) => let_go,
        Err(jitsu_store::UpdateError::Storage(error)) => return Err(error),
        Err(other) => panic!("{other}"),
    };
    log.let_go(&let_go)?;
    Ok(let_go.commits())
}

/// The commits that branches lead to, with what is in their trees if that is there.
fn commits(store: &Store) -> BTreeMap<Id, (Meta, Option<Vec<String>>)> {
    let heads = store.branches().unwrap();
    let logs = heads.iter().filter(|(it, _)| it.as_str() != RETENTION);
    let logs = logs.flat_map(|(_, head)| store.log(head)).map(Result::unwrap);
    let shown = |commit: &Commit| {
        let tree = all(&commit.tree());
        tree.into_iter().map(|(path, it)| format!("{path}={it}")).collect()
    };
    logs.map(|commit| {
        let tree = store.keeps_tree(&commit).unwrap().then(|| shown(&commit));
        (commit.id(), (commit.meta().clone(), tree))
    })
    .collect()
}

#[derive(Clone, Debug)]
enum Action {
    Write { to: usize, key: u8 },
    Count { to: usize },
    Merge { into: usize, from: usize },
}

fn action() -> impl Strategy<Value = Action> {
    let it = 0..BRANCHES;
    prop_oneof![
        3 => (it.clone(), 0..40u8).prop_map(|(to, key)| Action::Write { to, key }),
        2 => it.clone().prop_map(|to| Action::Count { to }),
        2 => (it.clone(), it).prop_map(|(into, from)| Action::Merge { into, from }),
    ]
}

fn act(store: &Store, action: &Action, time: u64) -> Option<Merged> {
    match action {
        Action::Write { to, key } => {
            // Everybody has keys of their own.
            write(store, &name(*to), &format!("{to}/{key}"), &format!("{time:080}"), time);
        }
        Action::Count { to } => {
            let count = |tree: &mut Tree| {
                let before = match tree.get(&path("count")).unwrap() {
                    Some(Contents::Counter(count)) => count,
                    _ => 0,
                };
                tree.set(&path("count"), Contents::Counter(before + 1))
            };
            store.update(&branch(&name(*to)), at(time), count).unwrap();
        }
        Action::Merge { into, from } => {
            let from = store.head(&branch(&name(*from))).unwrap()?;
            return Some(store.merge(&branch(&name(*into)), &from, at(time)).unwrap());
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Beside a store in memory that lets go of nothing and to which the same is done.
    #[test]
    fn history_stays_and_merges_are_the_same(
        before in prop::collection::vec(action(), 1..40),
        between in prop::collection::vec(action(), 0..20),
        after in prop::collection::vec(action(), 0..20),
        newest in 0..4usize,
        since_ms in prop::option::of(0..60u64),
    ) {
        let disk = Arc::new(SimDisk::new());
        let whole = Store::on(Arc::new(Memory::new())).unwrap();
        let keep = Keep { newest, since_ms, ..Keep::default() };
        let mut time = 0;
        for actions in [before, between, after] {
            let (log, store) = open(&disk);
            for action in &actions {
                time += 1;
                let (ours, theirs) = (act(&store, action, time), act(&whole, action, time));
                let is_commit = |merged: &Option<Merged>| matches!(merged, Some(Merged::Commit(_)));
                prop_assert_eq!(is_commit(&ours), is_commit(&theirs));
            }
            drop((log, store));
            let_go(&disk, &keep).unwrap();
            prop_assert!(fsck_on(&*disk).unwrap().is_whole(), "{:?}", fsck_on(&*disk));
            prop_assert_eq!(stat_on(&*disk).unwrap().garbage.objects, 0);
            let (ours, theirs) = (commits(&open(&disk).1), commits(&whole));
            prop_assert_eq!(ours.len(), theirs.len());
            for (id, (meta, tree)) in ours {
                let (whole_meta, whole_tree) = &theirs[&id];
                prop_assert_eq!(&meta, whole_meta);
                let is_young = since_ms.is_some_and(|since_ms| meta.time_ms >= since_ms);
                prop_assert!(tree.is_some() || !is_young);
                prop_assert!(tree.is_none() || &tree == whole_tree);
            }
        }
    }
}

/// A line of so many commits, each of which writes some bytes that the next one writes over.
fn a_line(disk: &Arc<SimDisk>, commits: u64) {
    let (_, store) = open(disk);
    for time in 0..commits {
        write(&store, "main", &format!("keys/{}", time % 50), &format!("{time:0200}"), time);
    }
}

#[test]
fn old_trees_go_and_the_rest_says_so() {
    let disk = Arc::new(SimDisk::new());
    a_line(&disk, 500);
    let before = disk.used();
    let keep = Keep { newest: 10, ..Keep::default() };
    assert_eq!(let_go(&disk, &keep).unwrap(), 490);
    assert!(disk.used() * 5 < before, "{} of {before} bytes are left", disk.used());
    let (_, store) = open(&disk);
    let log: Vec<Commit> =
        store.log(&store.resolve("main").unwrap().id()).map(Result::unwrap).collect();
    assert_eq!(log.len(), 500);
    assert!(log[..10].iter().all(|commit| store.keeps_tree(commit).unwrap()));
    assert!(!log[10..].iter().any(|commit| store.keeps_tree(commit).unwrap()));
    let lost = log[10].tree().get(&path("keys/1")).unwrap_err();
    assert!(lost.to_string().contains("is missing"), "{lost}");
    let said = store.head(&branch(RETENTION)).unwrap().unwrap();
    assert_eq!((said.meta().time_ms, &*said.meta().author), (1000, "test"));
    assert_eq!(said.meta().fields["trees_since_ms"], "490");
    drop((store, log, said));
    // Neither a collection without rules nor the same rules again take or write anything.
    let used = disk.used();
    assert_eq!(gc_on(disk.clone(), small()).unwrap().removed.objects, 0);
    assert_eq!(disk.used(), used);
}

#[test]
fn a_tree_that_is_lost_otherwise_is_told() {
    let disk = Arc::new(SimDisk::new());
    write(&open(&disk).1, "stale", "a", "long ago", 0);
    a_line(&disk, 30);
    let_go(&disk, &Keep { newest: 10, ..Keep::default() }).unwrap();
    // A head has its tree, however old it is.
    let root = {
        let (log, store) = open(&disk);
        log.get(&store.resolve("stale").unwrap().tree().id()).unwrap().unwrap()
    };
    let found = segments(&disk).into_iter().find_map(|segment| {
        let bytes = disk.bytes(segment);
        bytes.windows(root.len()).position(|it| *it == *root).map(|at| (segment, at))
    });
    let (segment, at) = found.expect("the root is somewhere");
    let damaged = disk.altered(segment, |bytes| bytes[at + 5] ^= 1);
    let report = fsck_on(&damaged).unwrap();
    assert_eq!(report.lost.len(), 1);
    let stale = report.branches.iter().find(|it| it.branch.as_str() == "stale").unwrap();
    assert_eq!(stale.newest_whole, None);
    assert!(report.branches.iter().all(|it| it == stale || it.newest_whole == Some(it.head)));
}

fn segments(disk: &SimDisk) -> Vec<u32> {
    use jitsu_store::backend::{Disk, LogFile};
    let number = |file| match file {
        LogFile::Segment(number) => Some(number),
        _ => None,
    };
    disk.files().unwrap().into_iter().filter_map(number).collect()
}

#[test]
fn the_power_may_go_at_any_operation_of_letting_go() {
    let keep = Keep { newest: 3, ..Keep::default() };
    let whole = {
        let disk = Arc::new(SimDisk::new());
        a_line(&disk, 25);
        commits(&open(&disk).1)
    };
    for operation in 0.. {
        let disk = Arc::new(SimDisk::new());
        a_line(&disk, 25);
        disk.die_after(operation, 7);
        let done = let_go(&disk, &keep);
        for left in LEFT {
            let disk = Arc::new(disk.crash(left));
            assert!(let_go(&disk, &keep).is_ok());
            assert!(fsck_on(&*disk).unwrap().is_whole());
            let after = commits(&open(&disk).1);
            assert_eq!(after.values().filter(|(_, tree)| tree.is_some()).count(), 3);
            for (id, (meta, tree)) in after {
                assert_eq!(meta, whole[&id].0);
                assert!(tree.is_none() || tree == whole[&id].1);
            }
        }
        if done.is_ok() {
            assert!(operation > 8);
            return;
        }
    }
}

#[test]
fn what_was_let_go_goes_over_as_it_is() {
    let disk = Arc::new(SimDisk::new());
    a_line(&disk, 40);
    let_go(&disk, &Keep { newest: 5, ..Keep::default() }).unwrap();
    let (_, from) = open(&disk);
    let theirs = commits(&from);
    let other = Arc::new(SimDisk::new());
    {
        let (_, to) = open(&other);
        to.pull(&mut Server::new(&from), &branch("main"), &at(0)).unwrap();
        assert_eq!(commits(&to), theirs);
        assert_eq!(
            to.head(&branch(RETENTION)).unwrap().unwrap().meta().fields["trees_since_ms"],
            "35"
        );
        // And on from there.
        write(&from, "main", "keys/1", "new", 50);
        to.pull(&mut Server::new(&from), &branch("main"), &at(0)).unwrap();
        assert_eq!(commits(&to), commits(&from));
    }
    assert!(fsck_on(&*other).unwrap().is_whole());
    // In memory, and as a slice.
    let memory = Store::memory();
    memory.pull(&mut Server::new(&from), &branch("main"), &at(0)).unwrap();
    assert_eq!(memory.resolve("main").unwrap().id(), from.resolve("main").unwrap().id());
    let mut slice = Vec::new();
    from.export_slice(&[branch("main")], &[], &mut slice).unwrap();
    let to = Store::on(Arc::new(Memory::new())).unwrap();
    let imported = to.import_slice(&mut &slice[..]).unwrap();
    assert_eq!(imported.heads[0].1, from.resolve("main").unwrap().id());
    // Who has everything loses nothing.
    let archive = Store::on(Arc::new(Memory::new())).unwrap();
    let refused = from.push(&mut Server::new(&archive), &branch("main")).unwrap_err();
    assert!(matches!(refused, SyncError::Thinned), "{refused}");
    assert!(archive.branches().unwrap().is_empty());
    // A commit without its tree is no head, and one without its parents nothing.
    let (tree, parent) = (Id::of(b"tree"), Id::of(b"parent"));
    for (parents, missing) in [(&[][..], tree), (&[parent][..], parent)] {
        let bytes = bytes_of_commit(tree, parents, 1 + parents.len() as u8);
        let given = give(&from, std::slice::from_ref(&bytes), Id::of(&bytes));
        assert!(
            matches!(given, Err(SyncError::Object { fault: Fault::Refers(id), .. }) if id == missing),
            "{given:?}"
        );
    }
}

#[test]
fn trees_go_while_the_store_is_open_and_what_still_needs_them_is_told() {
    let disk = Arc::new(SimDisk::new());
    a_line(&disk, 30);
    let (log, store) = open(&disk);
    let old = store.resolve("main~20").unwrap();
    let (looked_at, not_looked_at) = (old.tree(), store.resolve("main~21").unwrap().tree());
    let before = all(&looked_at);
    let mut early = store.batch();
    early.set(&branch("early"), &old).unwrap();
    log.let_go(&store.let_go(&Keep { newest: 5, ..Keep::default() }, &at(1000)).unwrap()).unwrap();
    // Nobody gets a branch whose head has no tree, be it begun before or after.
    assert!(early.publish().is_err());
    let mut late = store.batch();
    let refused = late.set(&branch("late"), &old).unwrap_err();
    assert!(matches!(refused, StorageError::LetGo { commit } if commit == old.id()), "{refused}");
    // What somebody has in memory can be committed again; what nobody has is gone.
    let mut batch = store.batch();
    batch.commit(&branch("again"), looked_at, at(1001)).unwrap();
    assert!(batch.commit(&branch("gone"), not_looked_at, at(1002)).is_err());
    batch.publish().unwrap();
    drop((log, store, old, late));
    let (_, store) = open(&disk);
    assert_eq!(all(&store.resolve("again").unwrap().tree()), before);
    assert!(fsck_on(&*disk).unwrap().is_whole());
}

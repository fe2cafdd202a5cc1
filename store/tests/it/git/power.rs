//! Owns the tests of a power loss under a store in a Git repository: after every call to the system
//! of a scripted run, whatever that leaves, the heads that were told to be durable are there, with
//! all that they reach, and it can be gone on with.
//!
//! The run is a process of its own, recorded; what a crash leaves is found by a model.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::Path as FilePath;
use std::process::Command;
use std::sync::{Arc, Mutex};

use jitsu_store::git::{GitBackend, ObjectFormat, Repository};
use jitsu_store::{BranchName, Id, Store};
use tempfile::TempDir;

use super::fixture::git;
use super::recorded::{Call, record};
use super::unflushed::{Disk, Files, LEFT};
use crate::fixture::{at, branch, merged, tree, walk, write};

type Heads = BTreeMap<BranchName, Id>;

const FOLDER: &str = "JITSU_STORE_POWER_FOLDER";
const STEPS: usize = 6;

fn open(folder: &FilePath) -> Store {
    let repository = Repository::open(folder.join("bare")).unwrap();
    Store::on(Arc::new(GitBackend::open(repository).unwrap())).unwrap()
}

/// Publishes once.
fn step(store: &Store, step: usize) {
    let mut batch = store.batch();
    let time = at(step as u64);
    match step {
        0 => drop(batch.commit(&branch("main"), tree(&[("a", "1"), ("b/c", "2")]), time).unwrap()),
        1 => {
            for (name, at) in [("main", "b/d"), ("deep/er", "b/e")] {
                let tree = tree(&[("a", "1"), (at, name)]);
                batch.commit(&branch(name), tree, time.clone()).unwrap();
            }
        }
        2 => {
            let from = batch.head(&branch("deep/er")).unwrap().unwrap();
            merged(batch.merge(&branch("main"), &from.id(), time).unwrap());
            batch.delete(&branch("packed/moved")).unwrap();
        }
        3 => drop(batch.delete(&branch("packed/removed")).unwrap()),
        4 => {
            batch.delete(&branch("deep/er")).unwrap();
            batch.commit(&branch("again"), tree(&[("a", "1")]), time).unwrap();
        }
        _ => drop(batch.commit(&branch("main"), tree(&[("b/c", "2")]), time).unwrap()),
    }
    batch.publish().unwrap();
}

/// Run by the tests below as a process of its own; by itself it does nothing.
#[test]
fn writer_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = FilePath::new(&folder);
    if !folder.join("bare").exists() {
        Repository::create(folder.join("bare"), ObjectFormat::Sha1).unwrap();
    }
    let store = open(folder);
    for n in 0..STEPS {
        step(&store, n);
        let heads = store.branches().unwrap();
        let heads: Vec<String> = heads.iter().map(|(name, id)| format!("{name}={id}")).collect();
        // One call for the whole line.
        let line = format!("\ndurable {}\n", heads.join(" "));
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

/// The heads that the writer said to be durable.
fn said(call: &Call) -> Option<Heads> {
    let Call::Say(line) = call else { return None };
    let pair = |pair: &str| {
        let (name, id) = pair.split_once('=').unwrap();
        (branch(name), id.parse().unwrap())
    };
    Some(line.strip_prefix("durable ")?.split(' ').map(pair).collect())
}

/// A place for files that nobody has to flush.
fn scratch() -> TempDir {
    let memory = FilePath::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// What a crash may leave.
struct Crash {
    what: String,
    files: Files,
    /// How many of the states of the run were told to be durable; none: not even the first.
    durable: Option<usize>,
}

/// Every crash of a run in a folder, and the states that it goes through.
fn crashes(folder: &FilePath, begun: bool) -> (Vec<Crash>, Vec<Heads>) {
    let mut disk = Disk::of(folder);
    let mut states = Vec::new();
    if begun {
        states.push(walk(&open(folder)));
        disk = Disk::of(folder);
    }
    let mut writer = Command::new(std::env::current_exe().unwrap());
    writer.args(["git::power::writer_process", "--exact", "--nocapture", "--test-threads=1"]);
    let calls = record(folder, writer.env(FOLDER, folder));
    let (mut crashes, mut seen) = (Vec::new(), HashSet::new());
    for (n, call) in calls.iter().enumerate() {
        states.extend(said(call));
        if !disk.act(call) {
            continue;
        }
        for left in LEFT {
            let (files, durable) = (disk.left(left), states.len().checked_sub(1));
            if seen.insert((files.clone(), durable)) {
                crashes.push(Crash {
                    what: format!("{left:?} left at {n}: {call:?}"),
                    files,
                    durable,
                });
            }
        }
    }
    assert_eq!(states.len(), STEPS + usize::from(begun));
    (crashes, states)
}

fn check(Crash { files, durable, .. }: &Crash, states: &[Heads]) {
    let folder = scratch();
    for (path, file) in files {
        match file {
            Some(bytes) => fs::write(folder.path().join(path), bytes).unwrap(),
            None => fs::create_dir(folder.path().join(path)).unwrap(),
        }
    }
    let Some(durable) = *durable else { return };
    let store = open(folder.path());
    let found = walk(&store);
    let next = (durable..=durable + 1).find(|at| states.get(*at) == Some(&found));
    let Some(next) = next else {
        panic!("found {found:?}\ndurable {:?}", states[durable]);
    };
    whole(folder.path());
    // What was cut off is done again, and is as if it had never been begun.
    for n in next + STEPS + 1 - states.len()..STEPS {
        step(&store, n);
    }
    assert_eq!(walk(&store), states[states.len() - 1]);
    drop(store);
    whole(folder.path());
}

/// Has Git read all that its heads reach, and nothing else, of which a crash may leave a half.
fn whole(folder: &FilePath) {
    git(&folder.join("bare"), &["pack-objects", "-q", "--all", "--revs", "../packed"]);
}

fn check_all(folder: &FilePath, begun: bool) {
    let (crashes, states) = crashes(folder, begun);
    let line = Mutex::new(crashes.iter());
    // Some wait for the locks that they find.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some(crash) = line.lock().unwrap().next() else { break };
                    let checked = std::panic::catch_unwind(|| check(crash, &states));
                    assert!(checked.is_ok(), "{}", crash.what);
                }
            });
        }
    });
}

#[test]
fn the_power_may_go_at_any_call_under_a_repository_in_use() {
    let folder = scratch();
    git(folder.path(), &["init", "-q", "--bare", "-b", "main", "bare"]);
    let store = open(folder.path());
    for name in ["packed/kept", "packed/moved", "packed/removed"] {
        write(&store, name, "a", "1", 1);
    }
    drop(store);
    git(&folder.path().join("bare"), &["pack-refs", "--all"]);
    check_all(folder.path(), true);
}

#[test]
fn the_power_may_go_at_any_call_under_a_new_repository() {
    check_all(scratch().path(), false);
}

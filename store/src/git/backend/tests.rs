//! Owns the tests of what a process leaves behind that dies while it moves branches.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::commit::Meta;
use crate::git::ObjectFormat;
use crate::store::Store;
use crate::tree::Tree;

/// A repository whose branches `x` and `y` are at its first commit, and its two commits.
fn two_branches(folder: &Path) -> (PathBuf, [GitId; 2]) {
    let path = folder.join("repository");
    let repository = Repository::create(&path, ObjectFormat::Sha1).unwrap();
    let store = Store::memory();
    let main = BranchName::new("main").unwrap();
    let mut batch = store.batch();
    let ids = [1, 2].map(|time_ms| {
        let meta = Meta { time_ms, ..Meta::default() };
        batch.commit(&main, Tree::empty(), meta).unwrap().id()
    });
    batch.publish().unwrap();
    let commits: [GitId; 2] =
        export::export_commits(&store, &repository, &ids).unwrap().try_into().unwrap();
    let first = |name: &str| Move { branch: name.into(), old: None, new: Some(commits[0]) };
    repository.move_branches(&[first("x"), first("y")]).unwrap();
    (path, commits)
}

/// Where `x` and `y` are once the repository is opened.
fn opened(path: &Path) -> [Option<GitId>; 2] {
    let backend = GitBackend::open_cached_in_memory(Repository::open(path).unwrap()).unwrap();
    assert_eq!(pending::noted(path).unwrap(), None);
    let state = backend.state();
    ["x", "y"].map(|name| state.repository.branch(name).unwrap())
}

#[test]
fn a_movement_that_was_cut_off_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (path, [first, second]) = two_branches(folder.path());
    let moved = |name: &str, new| Move { branch: name.into(), old: Some(first), new };
    let moves = [moved("x", Some(second)), moved("y", None)];
    pending::note(&path, Stage::Moving, &moves).unwrap();
    Repository::open(&path).unwrap().move_branches(&moves[..1]).unwrap();
    fs::write(path.join("refs/heads/y.lock"), "").unwrap();
    fs::write(path.join("packed-refs.lock"), "# pack-refs").unwrap();
    assert_eq!(opened(&path), [Some(second), None]);
    assert!(!path.join("packed-refs.lock").exists());
}

#[test]
fn a_movement_that_had_not_begun_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (path, [first, second]) = two_branches(folder.path());
    let moved = |name: &str| Move { branch: name.into(), old: Some(first), new: Some(second) };
    pending::note(&path, Stage::Locking, &[moved("x"), moved("y")]).unwrap();
    let [ours, theirs] = ["x", "y"].map(|name| path.join(format!("refs/heads/{name}.lock")));
    fs::write(&ours, format!("{second}\n")).unwrap();
    fs::write(&theirs, format!("{first}\n")).unwrap();
    assert_eq!(opened(&path), [Some(first), Some(first)]);
    assert!(!ours.exists());
    assert!(theirs.exists(), "the lock of somebody else was broken");
}

#[test]
fn a_branch_that_was_moved_on_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, [first, second]) = two_branches(folder.path());
    let moved = |name: &str, old, new| Move { branch: name.into(), old, new };
    // As if both had moved from nothing to the second commit, and Git moved both back.
    let moves = ["x", "y"].map(|name| moved(name, None, Some(second)));
    pending::note(&path, Stage::Moving, &moves).unwrap();
    assert_eq!(opened(&path), [Some(first), Some(first)]);
}

#[test]
fn a_lock_to_which_something_happens_is_not_broken() {
    let folder = tempfile::tempdir().unwrap();
    let (path, [first, second]) = two_branches(folder.path());
    let moved = [Move { branch: "x".into(), old: Some(first), new: Some(second) }];
    let lock = path.join("refs/heads/x.lock");
    fs::write(&lock, "").unwrap();
    let repository = Repository::open(&path).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(500));
            fs::write(&lock, format!("{second}\n")).unwrap();
        });
        repository.break_locks(&moved).unwrap();
    });
    assert!(lock.exists());
    repository.break_locks(&moved).unwrap();
    assert!(!lock.exists());
}

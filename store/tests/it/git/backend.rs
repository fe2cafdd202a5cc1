//! Owns the tests of a store whose branches are those of a Git repository, with the real `git` on
//! the same repository.

use std::collections::HashMap;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jitsu_store::backend::Backend;
use jitsu_store::git::{GitBackend, GitError, ObjectFormat, Repository};
use jitsu_store::{HeadChange, Id, StorageError, Store, Tree, TreeError, UpdateError};

use super::fixture::{Repo, git, heads};
use crate::fixture::{at, branch, path, text, walk, write};
use crate::kill;

const FORMATS: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

fn backend(path: impl AsRef<FilePath>) -> Arc<GitBackend> {
    Arc::new(GitBackend::open(Repository::open(path).unwrap()).unwrap())
}

fn open(path: impl AsRef<FilePath>) -> Store {
    Store::on(backend(path)).unwrap()
}

/// Commits a file in a clone, and pushes it.
fn push(clone: &FilePath, to: &str, file: &str, bytes: &str) {
    fs::write(clone.join(file), bytes).unwrap();
    git(clone, &["add", "-A"]);
    git(clone, &["commit", "-q", "-m", &format!("git: {file}")]);
    git(clone, &["push", "-q", "origin", &format!("HEAD:{to}")]);
}

fn value(store: &Store, of: &str, at: &str) -> Option<String> {
    let head = store.head(&branch(of)).unwrap()?;
    head.tree().get(&path(at)).unwrap().map(|it| it.to_string())
}

/// The commit that a branch is at, as a head of Git.
fn id_in_git(repo: &Repo, of: &str) -> String {
    repo.git(&["rev-parse", of]).trim().to_owned()
}

#[test]
fn both_sides_see_what_the_other_commits() {
    for format in FORMATS {
        let repo = Repo::new(format);
        let store = open(repo.bare());
        write(&store, "main", "a/b", "1", 1_250);
        write(&store, "gone", "a", "1", 2_000);
        assert_eq!(repo.git(&["log", "--format=%an %s", "main"]), "test at 1250\n");
        assert_eq!(repo.git(&["show", "main:a/b"]), "1");
        repo.check();
        let clone = repo.clone_to("clone");
        push(&clone, "main", "theirs", "2");
        git(&clone, &["checkout", "-q", "-b", "made"]);
        push(&clone, "made", "made", "3");
        git(&clone, &["checkout", "-q", "main"]);
        assert_eq!(value(&store, "main", "theirs"), Some(text("2").to_string()));
        assert_eq!(value(&store, "made", "made"), Some(text("3").to_string()));
        let names: Vec<_> = store.branches().unwrap().into_iter().map(|it| it.0).collect();
        assert_eq!(names, ["gone", "made", "main"].map(branch));
        let theirs = store.head(&branch("main")).unwrap().unwrap();
        assert_eq!(theirs.meta().author, "Ann Lee <ann@example.org>");
        // On top of it, and back.
        let ours = write(&store, "main", "a/b", "4", 3_000);
        assert_eq!(ours.parents(), [theirs.id()]);
        git(&clone, &["pull", "-q", "--ff-only", "origin", "main"]);
        assert_eq!(fs::read_to_string(clone.join("a/b")).unwrap(), "4");
        // Branches that one side removes, packed or not, are not there for the other.
        repo.git(&["gc", "-q", "--prune=now"]);
        let mut batch = store.batch();
        assert!(batch.delete(&branch("gone")).unwrap());
        batch.publish().unwrap();
        assert_eq!(repo.heads().into_keys().collect::<Vec<_>>(), ["made", "main"]);
        repo.git(&["branch", "-q", "-D", "made"]);
        assert!(store.head(&branch("made")).unwrap().is_none());
        write(&store, "main", "a/b", "5", 4_000);
        repo.check();
        // What is read back from Git alone is the same.
        let expected = heads(&store);
        drop((store, theirs, ours));
        fs::remove_dir_all(repo.bare().join("jitsu-cache")).unwrap();
        assert_eq!(walk(&open(repo.bare())), expected);
        fs::remove_dir_all(repo.bare().join("jitsu-cache")).unwrap();
        fs::remove_file(repo.bare().join("jitsu-ids")).unwrap();
        assert_eq!(walk(&open(repo.bare())), expected);
    }
}

#[test]
fn an_update_is_tried_again_when_git_was_first() {
    let repo = Repo::new(ObjectFormat::Sha1);
    let backend = backend(repo.bare());
    let store = Store::on(backend.clone()).unwrap();
    let first = write(&store, "main", "a", "1", 1);
    let clone = repo.clone_to("clone");
    let mut tries = 0;
    let (ours, ()) = store
        .update(&branch("main"), at(2), |tree| {
            tries += 1;
            if tries == 1 {
                push(&clone, "main", "theirs", "2");
            }
            tree.set(&path("ours"), text("3"))
        })
        .unwrap();
    assert_eq!(tries, 2);
    let theirs = store.commit(&ours.parents()[0]).unwrap().unwrap();
    assert_eq!(theirs.parents(), [first.id()]);
    assert_eq!(repo.git(&["log", "--format=%s", "main"]), "at 2\ngit: theirs\nat 1\n");
    let change = HeadChange { branch: branch("main"), old: Some(first.id()), new: None };
    assert!(!backend.set_heads(&[change]).unwrap());
    assert_eq!(value(&store, "main", "ours"), Some(text("3").to_string()));
    repo.check();
}

#[test]
fn a_branch_that_git_has_locked_is_waited_for() {
    let repo = Repo::new(ObjectFormat::Sha1);
    let backend = backend(repo.bare());
    let store = Store::on(backend.clone()).unwrap();
    let first = write(&store, "main", "a", "1", 1);
    let before = id_in_git(&repo, "main");
    let second = write(&store, "main", "a", "2", 2);
    let third = write(&store, "side", "a", "3", 3);
    let refs = repo.bare().join("refs/heads");
    let change =
        |name: &str, old: &Id| HeadChange { branch: branch(name), old: Some(*old), new: None };
    let both = [change("main", &second.id()), change("side", &third.id())];
    // Whoever has it does not give it back: nothing moves.
    fs::write(refs.join("main.lock"), "").unwrap();
    let locked = backend.set_heads(&both).unwrap_err();
    assert!(locked.to_string().contains("cannot lock branches of"), "{locked}");
    assert_eq!(backend.head(&branch("side")).unwrap(), Some(third.id()));
    assert!(!refs.join("side.lock").exists());
    // Or moves it: the one who waited has lost, and sees it.
    fs::write(refs.join("main.lock"), format!("{before}\n")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            fs::rename(refs.join("main.lock"), refs.join("main")).unwrap();
        });
        assert!(!backend.set_heads(&both).unwrap());
    });
    assert_eq!(backend.head(&branch("main")).unwrap(), Some(first.id()));
    assert_eq!(backend.head(&branch("side")).unwrap(), Some(third.id()));
    let both = [change("main", &first.id()), change("side", &third.id())];
    assert!(backend.set_heads(&both).unwrap());
    assert!(repo.heads().is_empty());
}

#[test]
fn what_git_cannot_hold_moves_nothing() {
    let repo = Repo::new(ObjectFormat::Sha1);
    let backend = backend(repo.bare());
    let store = Store::on(backend.clone()).unwrap();
    let head = write(&store, "a", "f", "1", 1);
    let set = |name: &str, new| {
        let other = HeadChange { branch: branch("other"), old: None, new: Some(head.id()) };
        let change = HeadChange { branch: branch(name), old: None, new: Some(new) };
        backend.set_heads(&[other, change]).unwrap_err().to_string()
    };
    let bytes = b"c\x01btext";
    let contents = Id::of(bytes);
    backend.put(&contents, bytes).unwrap();
    let said = set("b", contents);
    assert!(said.starts_with("the branch b would be") && said.ends_with("no commit"), "{said}");
    assert!(set("b", Id::of(b"nothing")).ends_with("is missing"));
    assert!(set("a/b", head.id()).contains("the branches a and a/b together"));
    let attributes = |tree: &mut Tree| {
        tree.set(&path(".gitattributes"), jitsu_store::Contents::set(["x".repeat(3000)]))
    };
    let refused = store.update::<_, TreeError>(&branch("b"), at(2), attributes).unwrap_err();
    let UpdateError::Storage(StorageError::Git(error)) = refused else { panic!("{refused}") };
    assert!(error.to_string().contains(".gitattributes: contents with lines"), "{error}");
    assert_eq!(store.branches().unwrap(), [(branch("a"), head.id())]);
    write(&store, "b", "f", "1", 2);
    // It goes on, with names that are others in Git as well.
    for name in ["b+c", "b*c", "b*"] {
        write(&store, name, "f", "1", 3);
    }
    let names: Vec<_> = store.branches().unwrap().into_iter().map(|it| it.0).collect();
    assert_eq!(names, ["a", "b", "b*", "b*c", "b+c"].map(branch));
    repo.check();
}

#[test]
fn what_the_store_cannot_hold_is_told_and_stays_in_git() {
    let repo = Repo::new(ObjectFormat::Sha1);
    let store = open(repo.bare());
    write(&store, "main", "a", "1", 1);
    write(&store, "side", "a", "1", 1);
    let clone = repo.clone_to("clone");
    push(&clone, "main", ".gitmodules", "x");
    let there = id_in_git(&repo, "main");
    let told = store.head(&branch("main")).unwrap_err().to_string();
    assert_eq!(
        told,
        format!("commit {there}, .gitmodules: a submodule, which the store cannot hold")
    );
    let set = |tree: &mut Tree| tree.set(&path("a"), text("2"));
    store.update(&branch("main"), at(2), set).unwrap_err();
    assert_eq!(id_in_git(&repo, "main"), there);
    write(&store, "side", "a", "2", 2);
    repo.git(&["branch", "-f", "main", "main~1"]);
    write(&store, "main", "a", "2", 2);
    repo.check();
}

#[test]
fn one_process_at_a_time_has_it_open_and_only_if_it_is_bare() {
    let repo = Repo::new(ObjectFormat::Sha1);
    let first = open(repo.bare());
    write(&first, "main", "a", "1", 1);
    let again = GitBackend::open_cached_in_memory(repo.open()).err();
    assert!(
        matches!(&again, Some(StorageError::Locked { path, .. }) if path.ends_with("jitsu-lock")),
        "{again:?}"
    );
    drop(first);
    let store = Store::on(Arc::new(GitBackend::open_cached_in_memory(repo.open()).unwrap()));
    assert_eq!(walk(&store.unwrap()).len(), 1);
    let clone = GitBackend::open(Repository::open(repo.clone_to("clone")).unwrap()).err();
    let Some(StorageError::Git(error)) = &clone else { panic!("{clone:?}") };
    assert!(matches!(**error, GitError::NotBare(_)));
}

fn bare(folder: &FilePath) -> PathBuf {
    folder.join("bare")
}

/// Run by [`every_acknowledged_commit_survives_in_git`] as a process of its own; by itself it does
/// nothing.
#[test]
fn writer_process() {
    if let Some(folder) = std::env::var_os(kill::FOLDER) {
        kill::write_until_killed(&open(bare(folder.as_ref())));
    }
}

#[test]
fn every_acknowledged_commit_survives_in_git() {
    const KILLS: usize = 30;
    let folder = tempfile::tempdir().unwrap();
    Repository::create(bare(folder.path()), ObjectFormat::Sha1).unwrap();
    let mut acknowledged: HashMap<String, Id> = HashMap::new();
    for kill in 0..KILLS {
        let after = 1 + kill * 7 % 12;
        let process = "git::backend::writer_process";
        acknowledged.extend(kill::run_and_kill(folder.path(), process, after));
        kill::check(&open(bare(folder.path())), &acknowledged, kill);
        git(&bare(folder.path()), &["fsck", "--strict", "--full", "--no-dangling"]);
        // Now and then without the cache, which is made again.
        if kill % 5 == 0 {
            fs::remove_dir_all(bare(folder.path()).join("jitsu-cache")).unwrap();
        }
    }
}

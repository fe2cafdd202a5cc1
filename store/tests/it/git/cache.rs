//! Owns the tests of a damaged cache: whatever happens to it, the store is what Git says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use jitsu_store::backend::{Backend, Log, LogOptions};
use jitsu_store::git::{GitBackend, ObjectFormat, Repository};
use jitsu_store::{BranchName, HeadChange, Id, Store, TreeError};

use super::fixture::Repo;
use crate::fixture::{at, branch, merged, path, shown, text, write};

/// Every branch, with its commits and all that is in them.
type Seen = BTreeMap<BranchName, Vec<(Id, Vec<String>)>>;

fn backend(repo: &Repo) -> Arc<GitBackend> {
    Arc::new(GitBackend::open(Repository::open(repo.bare()).unwrap()).unwrap())
}

fn open(repo: &Repo) -> Store {
    Store::on(backend(repo)).unwrap()
}

fn cache(repo: &Repo) -> PathBuf {
    repo.bare().join("jitsu-cache")
}

/// The only file of a small cache.
fn segment(repo: &Repo) -> PathBuf {
    cache(repo).join("00000001.segment")
}

fn seen(store: &Store) -> Seen {
    let commits = |head: &Id| {
        let commits = store.log(head).map(Result::unwrap);
        commits.map(|commit| (commit.id(), shown(&commit.tree()))).collect()
    };
    store.branches().unwrap().into_iter().map(|(name, head)| (name, commits(&head))).collect()
}

/// Two branches, of which one was merged into the other.
fn fill(store: &Store) {
    write(store, "main", "a/b", "1", 1);
    let side = write(store, "side", "c", "2", 2);
    merged(store.merge(&branch("main"), &side.id(), at(3)).unwrap());
    write(store, "main", "a/b", "3", 4);
}

fn small() -> (Repo, Seen) {
    let repo = Repo::new(ObjectFormat::Sha1);
    let store = open(&repo);
    fill(&store);
    let seen = seen(&store);
    (repo, seen)
}

/// That all is as it was, and goes on.
fn check(repo: &Repo, expected: &Seen, what: &str) {
    let store = open(repo);
    assert_eq!(seen(&store), *expected, "{what}");
    let names = |folder: PathBuf| {
        let names = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("jitsu-cache")).count()
    };
    assert_eq!(names(repo.bare()), 1, "{what}: something of it was left");
}

#[test]
fn a_cache_that_is_cut_off_anywhere_is_made_again() {
    let (repo, expected) = small();
    let whole = fs::read(segment(&repo)).unwrap();
    for end in 0..whole.len() {
        fs::write(segment(&repo), &whole[..end]).unwrap();
        check(&repo, &expected, &format!("cut off at {end}"));
    }
    repo.check();
}

#[test]
fn a_cache_in_which_a_bit_is_wrong_is_made_again() {
    let (repo, expected) = small();
    let whole = fs::read(segment(&repo)).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        // Each bit of a byte in its turn.
        damaged[at] ^= 1 << (at * 5 % 8);
        fs::write(segment(&repo), damaged).unwrap();
        check(&repo, &expected, &format!("a wrong bit in byte {at}"));
    }
    repo.check();
}

#[test]
fn a_cache_that_is_damaged_while_it_is_used_is_made_again() {
    let (repo, mut expected) = small();
    for (n, damage) in [cut_off, spoil].into_iter().enumerate() {
        let backend = backend(&repo);
        let store = Store::on(backend.clone()).unwrap();
        let epoch = backend.epoch();
        damage(&segment(&repo));
        assert_eq!(seen(&store), expected);
        assert_eq!(backend.epoch(), epoch + 1);
        // Under an update, which sees it when it reads, and is done again.
        backend.sync().unwrap();
        damage(&segment(&repo));
        let mut tries = 0;
        store
            .update::<_, TreeError>(&branch("side"), at(5), |tree| {
                tries += 1;
                drop(seen(&store));
                tree.set(&path("new"), text(&n.to_string()))
            })
            .unwrap();
        assert_eq!(tries, 2);
        // Under whoever publishes, which cannot be done again where nobody knows of epochs.
        let unpublished = b"c\x01btext";
        let id = Id::of(unpublished);
        backend.put(&id, unpublished).unwrap();
        expected = seen(&store);
        damage(&segment(&repo));
        let [(head, _), ..] = &expected[&branch("side")][..] else { panic!("no commits") };
        let there = HeadChange { branch: branch("same"), old: None, new: Some(*head) };
        assert!(backend.set_heads(std::slice::from_ref(&there)).unwrap());
        assert_eq!(backend.get(&id).unwrap(), None);
        assert!(!backend.set_heads_in(epoch, &[]).unwrap());
        backend.set_heads(&[HeadChange { old: there.new, new: None, ..there }]).unwrap();
        drop((store, backend));
        check(&repo, &expected, "opened again");
    }
    repo.check();
}

fn cut_off(file: &FilePath) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(100).unwrap();
}

fn spoil(file: &FilePath) {
    let spoilt: Vec<u8> = fs::read(file).unwrap().into_iter().map(|byte| !byte).collect();
    fs::write(file, spoilt).unwrap();
}

#[test]
fn a_cache_of_which_a_file_is_missing_is_made_again() {
    let (repo, expected) = small();
    // One of the same objects in many files, with an index.
    let made = tempfile::tempdir().unwrap();
    let mut options = LogOptions::default();
    (options.segment_bytes, options.unindexed_objects) = (100, 2);
    let log = || Arc::new(Log::open(made.path(), options.clone()).unwrap());
    fill(&Store::on(log()).unwrap());
    // What the index lacks still is written to it by whoever opens the log.
    drop(log());
    let files = || fs::read_dir(made.path()).unwrap().map(|it| it.unwrap().path());
    let is_index = |file: &FilePath| file.extension().is_some_and(|it| it == "index");
    assert!(files().any(|file| is_index(&file)) && files().count() > 3);
    for is_indexed in [true, false] {
        for missing in files() {
            fs::remove_dir_all(cache(&repo)).unwrap();
            fs::create_dir(cache(&repo)).unwrap();
            let kept = files().filter(|file| *file != missing && (is_indexed || !is_index(file)));
            for file in kept {
                fs::copy(&file, cache(&repo).join(file.file_name().unwrap())).unwrap();
            }
            check(&repo, &expected, &format!("without {}", missing.display()));
        }
    }
    repo.check();
}

#[test]
fn a_cache_of_something_else_is_made_again() {
    let (repo, expected) = small();
    let other = Repo::new(ObjectFormat::Sha1);
    write(&open(&other), "main", "other", "1", 1);
    let put = |bytes: &[u8]| fs::write(segment(&repo), bytes).unwrap();
    put(&fs::read(segment(&other)).unwrap());
    check(&repo, &expected, "of another repository");
    let mut outdated = fs::read(segment(&repo)).unwrap();
    outdated[8] = 2;
    let crc = crc32fast::hash(&outdated[..32]);
    outdated[32..36].copy_from_slice(&crc.to_le_bytes());
    put(&outdated);
    let log = Log::open_read_only(cache(&repo)).err().unwrap().to_string();
    assert!(log.contains("format version"), "{log}");
    check(&repo, &expected, "of another version");
    // A store of its own, whose heads are elsewhere.
    fs::remove_dir_all(cache(&repo)).unwrap();
    write(&Store::open(cache(&repo)).unwrap(), "else", "a", "1", 1);
    check(&repo, &expected, "a store");
    repo.check();
}

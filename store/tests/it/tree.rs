//! Owns the tests of trees: against a plain model, and of large directories.

use std::collections::BTreeMap;
use std::sync::Arc;

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{Contents, Kind, Path, Store, Tree, TreeError};
use proptest::prelude::*;

use crate::disk::SimDisk;
use crate::fixture::{all, at, branch, path, shown, text, tree};

#[test]
fn contents_are_where_they_were_put() {
    let tree = tree(&[("a/b", "1"), ("a/c/d", "2"), ("e", "3")]);
    assert_eq!(tree.get(&path("a/c/d")).unwrap(), Some(text("2")));
    assert_eq!(tree.get(&path("a/c")).unwrap(), None);
    assert_eq!(tree.get(&path("e/f")).unwrap(), None);
    assert_eq!(tree.get(&path("")).unwrap(), None);
    let listed = tree.list(&path("")).unwrap();
    let listed: Vec<_> = listed.iter().map(|(step, kind)| (step.as_str(), *kind)).collect();
    assert_eq!(listed, [("a", Kind::Directory), ("e", Kind::Contents)]);
    assert_eq!(tree.list(&path("nowhere")).unwrap(), []);
    assert_eq!(shown(&tree), ["a/b=\"1\"", "a/c/d=\"2\"", "e=\"3\""]);
    assert_eq!(shown(&tree.subtree(&path("a")).unwrap().unwrap()), ["b=\"1\"", "c/d=\"2\""]);
    assert!(tree.subtree(&path("e")).unwrap().is_none());
}

#[test]
fn a_path_through_contents_is_refused_and_nothing_changes() {
    let mut changed = tree(&[("a/b", "1")]);
    let id = changed.id();
    let refused = changed.set(&path("a/b/c/d"), text("2"));
    assert!(matches!(refused, Err(TreeError::BelowContents { at }) if at == path("a/b")));
    assert!(matches!(changed.set(&path(""), text("2")), Err(TreeError::Root)));
    assert_eq!(changed.id(), id);
}

#[test]
fn empty_directories_vanish() {
    let mut changed = tree(&[("a/b/c/d", "1")]);
    assert!(!changed.remove(&path("a/b/x")).unwrap());
    assert!(!changed.remove(&path("a/b/c/d/e")).unwrap());
    assert!(changed.remove(&path("a/b/c")).unwrap());
    assert!(changed.is_empty());
    assert_eq!(changed, Tree::empty());
    changed.set_tree(&path("x/y"), Tree::empty()).unwrap();
    assert!(changed.is_empty());
    changed.set_tree(&path("x/y"), tree(&[("z", "2")])).unwrap();
    assert_eq!(shown(&changed), ["x/y/z=\"2\""]);
}

fn numbered(numbers: impl IntoIterator<Item = u32>) -> Tree {
    let mut tree = Tree::empty();
    for number in numbers {
        let path = path(&format!("large/{number}"));
        tree.set(&path, Contents::Counter(i64::from(number))).unwrap();
    }
    tree
}

/// Numbers from 0, in an order that depends on the seed.
fn shuffled(count: u32, seed: u64) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut state = seed;
    for at in (1..numbers.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        numbers.swap(at, (state >> 33) as usize % (at + 1));
    }
    numbers
}

#[test]
fn the_order_of_a_hundred_thousand_entries_does_not_matter() {
    let one = numbered(shuffled(100_000, 1));
    let other = numbered(shuffled(100_000, 2));
    assert_eq!(one.id(), other.id());
}

#[test]
fn removing_entries_gives_what_would_be_without_them() {
    for keep in [0, 1, 31, 32, 33, 40, 500] {
        let mut tree = numbered(shuffled(2000, 3));
        for number in shuffled(2000, 4).into_iter().filter(|number| *number >= keep) {
            assert!(tree.remove(&path(&format!("large/{number}"))).unwrap());
        }
        assert_eq!(tree.id(), numbered(0..keep).id(), "{keep} left of 2000");
    }
}

#[test]
fn one_change_among_a_hundred_thousand_writes_little() {
    let disk = Arc::new(SimDisk::new());
    let backend = Log::open_on(disk.clone(), LogOptions::default()).unwrap();
    let store = Store::on(Arc::new(backend)).unwrap();
    let main = branch("main");
    store
        .update(&main, at(1), |tree| {
            *tree = numbered(0..100_000);
            Ok::<_, TreeError>(())
        })
        .unwrap();
    let before = disk.bytes_written();
    store.update(&main, at(2), |tree| tree.set(&path("large/new"), text("new"))).unwrap();
    let written = disk.bytes_written() - before;
    assert!(written < 16 << 10, "{written} bytes for one change");
    let listed = store.head(&main).unwrap().unwrap().tree().list(&path("large")).unwrap();
    assert_eq!(listed.len(), 100_001);
    assert!(listed.is_sorted());
}

#[test]
fn a_stored_tree_is_the_same_tree() {
    let store = Store::memory();
    let mut expected = numbered(0..1000);
    expected.set(&path("long"), text(&"x".repeat(1000))).unwrap();
    expected.set(&path("set"), Contents::set(["a", "b"])).unwrap();
    let (id, contents) = (expected.id(), all(&expected));
    let main = branch("main");
    let mut batch = store.batch();
    let commit = batch.commit(&main, expected, at(1)).unwrap();
    batch.publish().unwrap();
    let loaded = store.commit(&commit.id()).unwrap().unwrap().tree();
    assert_eq!(all(&loaded), contents);
    assert_eq!(loaded.id(), id);
}

/// What can be done to a tree.
#[derive(Clone, Debug)]
enum Edit {
    Set(Path, Contents),
    Remove(Path),
    /// Stores the tree and loads it again.
    Reload,
}

fn any_path() -> impl Strategy<Value = Path> {
    // Few directories and many steps, so that large directories shrink and grow.
    let step = prop_oneof![2 => "[a-c]", 3 => "[0-9][0-9]"];
    prop::collection::vec(step, 1..4).prop_map(|steps| path(&steps.join("/")))
}

fn any_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        6 => (any_path(), 0..5i64).prop_map(|(path, n)| Edit::Set(path, Contents::Counter(n))),
        1 => any_path().prop_map(|path| Edit::Set(path, text(&"long ".repeat(20)))),
        3 => any_path().prop_map(Edit::Remove),
        1 => Just(Edit::Reload),
    ]
}

/// The model: contents by path, without directories.
type Model = BTreeMap<Path, Contents>;

fn apply(edit: &Edit, tree: &mut Tree, model: &mut Model, store: &Store) {
    match edit {
        Edit::Set(path, contents) => {
            let is_blocked = model.keys().any(|other| path != other && path.starts_with(other));
            match tree.set(path, contents.clone()) {
                Ok(()) => {
                    assert!(!is_blocked);
                    model.retain(|other, _| !other.starts_with(path));
                    model.insert(path.clone(), contents.clone());
                }
                Err(TreeError::BelowContents { .. }) => assert!(is_blocked),
                Err(other) => panic!("{other}"),
            }
        }
        Edit::Remove(path) => {
            let before = model.len();
            model.retain(|other, _| !other.starts_with(path));
            assert_eq!(tree.remove(path).unwrap(), model.len() < before);
        }
        Edit::Reload => {
            let mut batch = store.batch();
            let commit = batch.commit(&branch("main"), tree.clone(), at(0)).unwrap();
            batch.publish().unwrap();
            *tree = store.commit(&commit.id()).unwrap().unwrap().tree();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_is_a_map(edits in prop::collection::vec(any_edit(), 0..300)) {
        let store = Store::memory();
        let (mut tree, mut model) = (Tree::empty(), Model::new());
        for edit in &edits {
            apply(edit, &mut tree, &mut model, &store);
        }
        prop_assert_eq!(&all(&tree), &model);
        for (path, contents) in &model {
            prop_assert_eq!(tree.get(path).unwrap(), Some(contents.clone()));
        }
        let mut rebuilt = Tree::empty();
        for (path, contents) in &model {
            rebuilt.set(path, contents.clone()).unwrap();
        }
        prop_assert_eq!(rebuilt.id(), tree.id());
    }

    #[test]
    fn a_difference_leads_from_one_tree_to_the_other(
        before in prop::collection::vec(any_edit(), 0..100),
        between in prop::collection::vec(any_edit(), 0..20),
    ) {
        let store = Store::memory();
        let (mut old, mut model) = (Tree::empty(), Model::new());
        for edit in &before {
            apply(edit, &mut old, &mut model, &store);
        }
        let (mut new, old_model) = (old.clone(), model.clone());
        for edit in &between {
            apply(edit, &mut new, &mut model, &store);
        }
        let changes = store.diff(&old, &new).unwrap();
        let mut replayed = old_model;
        for change in &changes {
            prop_assert_ne!(&change.before, &change.after);
            let before = match &change.after {
                Some(contents) => replayed.insert(change.path.clone(), contents.clone()),
                None => replayed.remove(&change.path),
            };
            prop_assert_eq!(&before, &change.before);
        }
        prop_assert_eq!(replayed, model);
        prop_assert!(changes.is_sorted_by(|a, b| a.path < b.path));
    }
}
